// Keeps the model in step with the engine: the list, then the stream of events, and prices, positions and health by asking.

import { Problem, get, health, part, signals } from "./api.js";
import { isOpen, keyOf } from "./model.js";
import { Stream, pause } from "./stream.js";
import { moment } from "./time.js";

const TICK_MS = 1_500;
/** Every so many ticks. */
const HEALTH_EVERY = 2;
const EARNED_EVERY = 8;
const ENGINE_EVERY = 3;
/** What is asked for in one tick. */
const SYMBOLS_MAX = 30;
const USERS_MAX = 20;
const REREAD_MAX = 20;
const PAGE = 500;
const PAGES_MAX = 2;
const WAITING_MAX = 5_000;

export class Live {
  #model;
  #on;
  #stream;
  #user = "";
  #admin = false;
  #generation = 0;
  #ticks = 0;
  #failures = 0;
  #timer = null;
  #unread = new Set();
  /** Events that came while the list was read. */
  #early = null;
  #earnedDue = true;
  /** What is known besides the model. */
  state = { loaded: false, whole: true, health: null, engine: null, heardAt: null, trouble: null, until: 0, refused: null };

  /** `on` has `event(event)`, `alert(event)`, `alerts()`, `change()`, `lookedAt()` and `selected()`: what happened, an alert that fired,
   * alerts to be read, something else is known, the strategy that is looked at, and what belongs to it to be read. */
  constructor(model, on) {
    this.#model = model;
    this.#on = on;
    this.#stream = new Stream({
      heard: () => this.#heard(),
      open: (anew) => this.#opened(anew),
      event: (event) => this.#event(event),
      waits: (why, until) => this.#waits(why, until),
      refused: (why) => (this.state.refused = why),
    });
    signals.addEventListener("heard", () => this.#heard());
    addEventListener("online", () => this.now());
    document.addEventListener("visibilitychange", () => document.hidden || this.now());
  }

  /** Begins anew for a user, or for everybody. */
  start(user, admin) {
    this.#generation += 1;
    [this.#user, this.#admin] = [user, admin];
    this.#model.clear();
    this.#unread.clear();
    Object.assign(this.state, { loaded: false, whole: true, engine: null, trouble: null, refused: null });
    this.#early = [];
    this.#stream.start(user);
    this.now();
  }

  stop() {
    this.#generation += 1;
    this.#stream.stop();
    clearTimeout(this.#timer);
  }

  /** Asks at once. */
  now() {
    this.#stream.now();
    clearTimeout(this.#timer);
    this.#ticks = 0;
    this.#tick(this.#generation);
  }

  /** Reads a strategy again. */
  reread(user, id) {
    this.#unread.add(keyOf(user, id));
  }

  #heard() {
    this.state.heardAt = moment();
  }

  #waits(why, until) {
    Object.assign(this.state, { trouble: why, until });
    this.#on.change();
  }

  async #opened(anew) {
    const generation = this.#generation;
    this.state.trouble = null;
    if (anew) this.state.loaded = false;
    if (!this.state.loaded) {
      this.#early ??= [];
      await this.#load(generation);
    }
    this.#on.change();
  }

  /** The list, as Postgres has it at least since the stream began. */
  async #load(generation) {
    try {
      let cursor = null;
      for (let page = 0; page < PAGES_MAX; page += 1) {
        const answer = await get("/api/v1/strategies", { user_id: this.#user, limit: PAGE, cursor });
        if (generation !== this.#generation) return;
        answer.strategies.forEach((strategy) => this.#model.put(strategy));
        cursor = answer.cursor;
        if (!cursor) break;
      }
      this.state.whole = !cursor;
      this.state.loaded = true;
      const early = this.#early ?? [];
      this.#early = null;
      early.forEach((event) => this.#apply(event));
      this.#earnedDue = true;
      this.now();
    } catch (error) {
      if (generation !== this.#generation || !(error instanceof Problem)) return;
      this.state.trouble ??= error;
      setTimeout(() => generation === this.#generation && !this.state.loaded && this.#opened(false), pause(this.#failures));
    }
  }

  #event(message) {
    // Which were missed before can be read now.
    if (message.type === "alerts") return void this.#on.alerts().catch(() => {});
    let event;
    try {
      event = JSON.parse(message.data);
    } catch {
      return;
    }
    if (event.type === "PRICE_ALERT") return this.#on.alert(event);
    this.#on.event(event);
    if (!this.#early) this.#apply(event);
    else if (this.#early.length < WAITING_MAX) this.#early.push(event);
    else this.reread(event.user_id, event.strategy_id);
  }

  #apply(event) {
    if (!this.#model.apply(event)) this.reread(event.user_id, event.strategy_id);
    if (["ORDER_EXECUTED", "STRATEGY_COMPLETED", "STRATEGY_STARTED"].includes(event.type)) this.#earnedDue = true;
    // What changed is asked for now, but many changes at once only once.
    if (!document.hidden) this.#soon();
  }

  #soon() {
    clearTimeout(this.#timer);
    const generation = this.#generation;
    this.#timer = setTimeout(() => this.#tick(generation), 100);
  }

  async #tick(generation) {
    if (document.hidden || generation !== this.#generation) return;
    const at = this.#ticks++;
    const asked = [this.#prices(), this.#positions(), this.#reread()];
    if (at % HEALTH_EVERY === 0) asked.push(this.#health());
    if (at % ENGINE_EVERY === 0 && this.#admin) asked.push(this.#engine());
    if (at % EARNED_EVERY === 0 || this.#earnedDue) asked.push(this.#earned());
    // They are told of as they fire; this is for those that were set or deleted elsewhere.
    if (at % EARNED_EVERY === 0) asked.push(this.#on.alerts());
    asked.push(this.#on.selected());
    const outcomes = await Promise.allSettled(asked);
    if (generation !== this.#generation) return;
    const offline = outcomes.find(({ reason }) => reason?.code === "OFFLINE")?.reason;
    const later = Math.max(0, ...outcomes.map(({ reason }) => reason?.retryAfterMs ?? 0));
    this.#failures = offline ? this.#failures + 1 : 0;
    const wait = Math.max(offline ? pause(this.#failures) : TICK_MS, later);
    if (offline) Object.assign(this.state, { trouble: offline, until: performance.now() + wait });
    else if (this.state.trouble?.code === "OFFLINE") this.#stream.now();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tick(generation), wait);
    this.#on.change();
  }

  /** Prices of what is looked at, of open positions, then of what runs. */
  async #prices() {
    const look = this.#on.lookedAt();
    const rank = (strategy) => (strategy === look ? 0 : isOpen(strategy) ? 1 : strategy.fields.status === "RUNNING" ? 2 : 3);
    const wanted = [...this.#model.strategies.values()].filter((strategy) => rank(strategy) < 3).sort((a, b) => rank(a) - rank(b));
    const symbols = [...new Set(wanted.map((strategy) => strategy.fields.symbol).filter(Boolean))].slice(0, SYMBOLS_MAX);
    await each(symbols, async (symbol) => {
      const began = performance.now();
      try {
        const answer = await get(`/api/v1/price/${part(symbol)}`);
        // It was true at the latest when the question was asked.
        this.#model.price(symbol, answer.price, (answer.age_ms ?? 0) + (performance.now() - began));
      } catch (error) {
        // No fresh price: the last one grows old on the page.
        if (error.code !== "NOT_FOUND") throw error;
      }
    });
  }

  async #positions() {
    const generation = this.#generation;
    const open = [...this.#model.strategies.values()].filter(isOpen);
    const users = [...new Set(open.map((strategy) => strategy.user_id))].slice(0, USERS_MAX);
    await each(users, async (user) => {
      const answer = await get("/api/v1/positions", { user_id: user });
      if (generation === this.#generation) this.#model.holds(user, answer.positions);
    });
  }

  async #reread() {
    const generation = this.#generation;
    const keys = [...this.#unread].slice(0, REREAD_MAX);
    await each(keys, async (key) => {
      const [user, id] = [key.slice(0, key.indexOf(":")), key.slice(key.indexOf(":") + 1)];
      this.#unread.delete(key);
      try {
        const strategy = await get(`/api/v1/strategies/${part(id)}`, { user_id: user });
        if (generation === this.#generation) this.#model.put(strategy);
      } catch (error) {
        // Removed meanwhile: its event says so.
        if (error.code === "NOT_FOUND") return;
        this.#unread.add(key);
        throw error;
      }
    });
  }

  async #earned() {
    const generation = this.#generation;
    const answer = await get("/api/v1/pnl", { user_id: this.#user, limit: PAGE });
    if (generation !== this.#generation) return;
    this.#earnedDue = false;
    this.#model.realised = answer.realised;
    for (const row of answer.strategies) this.#model.earned.set(keyOf(row.user_id, row.strategy_id), row.realised);
    this.#model.changed();
  }

  async #health() {
    this.state.health = await health();
  }

  async #engine() {
    this.state.engine = await get("/api/v1/admin/engine");
  }
}

/** Does it for all, and fails with the first failure after all were tried. */
async function each(items, does) {
  const outcomes = await Promise.allSettled(items.map(does));
  const failed = outcomes.find(({ status }) => status === "rejected");
  if (failed) throw failed.reason;
}
