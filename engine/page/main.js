// Wires the page: who asks, what is looked at, what is done.

import * as alerts from "./alerts.js";
import { Problem, get, part, signals, token, write } from "./api.js";
import * as detail from "./detail.js";
import { $, button, el, say } from "./dom.js";
import * as events from "./events.js";
import * as forms from "./forms.js";
import * as health from "./health.js";
import * as list from "./list.js";
import { Live } from "./live.js";
import { Model, isOpen, keyOf } from "./model.js";
import * as prefs from "./prefs.js";
import * as words from "./words.js";

const NOTE_MS = 12_000;
const REDRAW_MS = 1_000;
/** Longest wait between two attempts to learn who asks. */
const WHO_PAUSE_MAX_MS = 10_000;

const model = new Model();
const filter = { find: "", status: "" };
/** Who asks: `{kind, name, admin}`. */
let me = null;

const live = new Live(model, {
  event: (event) => {
    events.show(event);
    if (event.type === "ORDER_EXECUTED" && keyOf(event.user_id, event.strategy_id) === detail.key()) look().catch(() => {});
  },
  alert: (event) => {
    alerts.fired(event);
    events.show(event);
    note(words.event(event));
  },
  alerts: () => alerts.read(),
  change: () => paint(),
  lookedAt: () => model.strategies.get(detail.key()),
  selected: () => look(),
});

/** Reads what belongs to the strategy that is looked at. */
async function look() {
  const strategy = model.strategies.get(detail.key());
  if (!strategy) return;
  await Promise.all([detail.readFills(strategy), strategy.fields.symbol ? detail.readCandles(strategy.fields.symbol) : null]);
}

function paint() {
  const { state } = live;
  list.totals(model);
  const visible = list.render(model, filter, detail.key(), state);
  detail.render(model, act);
  const offline = state.trouble?.code === "OFFLINE" ? state.trouble : null;
  health.show({ health: state.health, engine: state.engine, offline });
  health.offline(offline?.message, state.heardAt, state.until, () => live.now());
  const other = state.refused ?? (offline ? null : state.trouble);
  health.banner("stream", "warn", other ? `The list and the events are not live now: ${other.message}` : "");
  say($("halt"), state.engine?.halted ? "Let entries go on" : "Halt entries");
  // Removing what is looked at must not leave the page without a word.
  document.title = `${visible.filter(isOpen).length} open · strat`;
}

/** Says something that somebody should see, for a while. */
function note(text, look = "") {
  const made = el("p", { class: `note ${look}` }, text, button("Dismiss", {}, () => made.remove()));
  $("notes").append(made);
  while ($("notes").childElementCount > 3) $("notes").firstElementChild.remove();
  setTimeout(() => made.remove(), NOTE_MS);
}

async function change(strategy, what, body) {
  const path = `/api/v1/strategies/${part(strategy.id)}`;
  const query = `?${new URLSearchParams({ user_id: strategy.user_id })}`;
  if (what === "remove") {
    await write("DELETE", `${path}${query}`);
    model.drop(keyOf(strategy.user_id, strategy.id), strategy.version);
    location.hash = "";
    return;
  }
  model.put(await write("POST", `${path}/${what}${query}`, body));
  live.reread(strategy.user_id, strategy.id);
}

/** A button of a strategy was pressed. */
function act(name, key) {
  const strategy = model.strategies.get(key);
  if (!strategy) return;
  const about = `${strategy.id} (${strategy.fields.symbol})`;
  const stop = (square_off) => change(strategy, "stop", { square_off });
  if (name === "start") return change(strategy, "start").catch((error) => note(error.message, "bad"));
  if (name === "remove") {
    const does = () => change(strategy, "remove");
    return forms.confirm({ title: `Remove ${strategy.id}?`, text: `The strategy ${about} is deleted. Its orders and fills stay in the books.`, choices: [{ text: "Remove", look: "danger", does }] });
  }
  if (name === "square-off" || (name === "stop" && isOpen(strategy))) {
    const ends = strategy.fields.position === "SHORTED" ? "buys it back" : "sells it";
    const left = name === "stop" ? " Left open, it has no stop any more: nobody watches it." : "";
    const text = `${about} holds ${strategy.fields.filled_quantity ?? "a position"}. Squaring off stops the strategy and ${ends} at the market.${left}`;
    const choices = [{ text: "Stop and square off", look: "danger", does: () => stop(true) }];
    if (name === "stop") choices.unshift({ text: "Stop, leave it open without a stop", look: "", does: () => stop(false) });
    return forms.confirm({ title: name === "stop" ? `Stop ${strategy.id}?` : `Square off ${strategy.id}?`, text, choices });
  }
  const does = () => stop(true);
  forms.confirm({ title: `Stop ${strategy.id}?`, text: `${about} holds nothing. It will not trade until it is started again.`, choices: [{ text: "Stop", look: "primary", does }] });
}

function create() {
  forms.create({ needsUser: me?.kind !== "user", user: $("user").value.trim() }, async (wanted) => {
    const made = await write("POST", "/api/v1/strategies", wanted);
    model.put(made);
    live.reread(made.user_id, made.id);
    location.hash = list.link(made);
  });
  symbols();
}

/** What may be typed as a symbol. */
function symbols() {
  get("/api/v1/symbols").then((known) => {
    $("symbols").replaceChildren(...known.symbols.slice(0, 500).map((symbol) => el("option", { value: symbol })));
  }, () => {});
}

function halt() {
  const halted = Boolean(live.state.engine?.halted);
  const does = async (reason) => {
    await write("POST", `/api/v1/admin/${halted ? "resume" : "halt"}`, { reason });
    live.now();
  };
  forms.confirm({
    title: halted ? "Let entries go on?" : "Halt entries?",
    text: halted ? "Engines send entries again. Those whose time has passed for too long are skipped." : "No engine sends an entry any more until somebody lets them go on. Exits always go on.",
    reason: true,
    choices: [{ text: halted ? "Let them go on" : "Halt entries", look: halted ? "primary" : "danger", does }],
  });
}

function squareOffAll() {
  const user = $("user").value.trim();
  const does = async () => {
    const done = await write("POST", "/api/v1/admin/square-off", { confirm: true, ...(user ? { user_id: user } : {}) });
    note(`${done.stopped} strategies were stopped.${done.complete ? "" : " Some are left: do it again."}`, done.complete ? "" : "bad");
    live.now();
  };
  const whose = user ? `of ${user}` : "of all users";
  forms.confirm({ title: `Square off everything ${whose}?`, text: `Every running strategy ${whose} is stopped, and what it holds is sold at the market or bought back.`, choices: [{ text: `Square off everything ${whose}`, look: "danger", does }] });
}

/** Calm mode is the user's on the engine too, where it is clear whose. */
function calm(is) {
  const user = me?.kind === "user" ? me.name : $("user").value.trim();
  paint();
  if (!user) return;
  write("PUT", "/api/v1/calm", { calm: is, user_id: user }).then(() => live.now(), () => note("Calm mode is on in this browser only: the engine did not take it.", "bad"));
}

function route() {
  const [, user, id] = /^#\/([^/]+)\/([^/]+)$/.exec(location.hash) ?? [];
  let key = null;
  try {
    key = user && id ? keyOf(decodeURIComponent(user), decodeURIComponent(id)) : null;
  } catch {
    // A link that somebody cut off.
  }
  const before = detail.key();
  if (!detail.select(key)) return;
  paint();
  if (key) {
    $("detail-title").focus({ preventScroll: true });
    $("detail").scrollIntoView({ block: "nearest" });
    live.now();
  } else if (before) {
    const [name, strategy] = before.split(":");
    const link = document.querySelector(`#rows a[href="#/${encodeURIComponent(name)}/${encodeURIComponent(strategy)}"]`);
    (link ?? $("main")).focus();
  }
}

/** Whose alerts are listed: the user's own, else those of the one who is chosen. */
const whose = () => (me?.kind === "user" ? me.name : $("user").value.trim()) || null;

/** Learns who asks, and begins. */
async function begin() {
  me = await get("/api/v1/token");
  $("sign-out").hidden = !token.get();
  $("user-field").hidden = !me.admin;
  $("admin").hidden = !me.admin;
  alerts.of(whose());
  live.start(me.admin ? $("user").value.trim() : "", me.admin);
}

function signIn(why) {
  live.stop();
  forms.login(why, async (text) => {
    token.set(text);
    try {
      await begin();
    } catch (error) {
      token.forget();
      throw error;
    }
  });
}

signals.addEventListener("unauthorized", ({ detail: why }) => {
  // The dialog says itself why a token is not taken.
  if ($("login").open) return;
  const had = token.get() !== "";
  token.forget();
  signIn(had ? why.message : "");
});

/** Tries until somebody answers. */
async function boot(failures = 0) {
  try {
    await begin();
    health.offline("");
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.status === 401) return;
    const wait = Math.max(Math.min(500 * 2 ** failures, WHO_PAUSE_MAX_MS), error.retryAfterMs);
    const timer = setTimeout(() => boot(failures + 1), wait);
    const now = () => {
      clearTimeout(timer);
      boot();
    };
    health.offline(error.message, null, performance.now() + wait, now);
  }
}

prefs.start(calm);
detail.begin({
  looked: () => model.strategies.get(detail.key()),
  read: async () => {
    const { id, user_id } = model.strategies.get(detail.key());
    const now = await get(`/api/v1/strategies/${part(id)}`, { user_id });
    model.put(now);
    return now;
  },
  saved: (strategy) => {
    model.put(strategy);
    live.reread(strategy.user_id, strategy.id);
  },
});
model.addEventListener("change", paint);
addEventListener("hashchange", route);
addEventListener("resize", () => requestAnimationFrame(paint));
$("new").addEventListener("click", create);
$("alert-form").elements.symbol.addEventListener("focus", symbols);
$("halt").addEventListener("click", halt);
$("square-off-all").addEventListener("click", squareOffAll);
$("more").addEventListener("click", () => (list.more(), paint()));
$("find").addEventListener("input", ({ target }) => ((filter.find = target.value), paint()));
$("status").addEventListener("change", ({ target }) => ((filter.status = target.value), paint()));
$("user").addEventListener("change", ({ target }) => {
  events.clear();
  alerts.of(whose());
  live.start(target.value.trim(), true);
});
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("close").addEventListener("click", (event) => {
  event.preventDefault();
  location.hash = "";
});
$("sign-out").addEventListener("click", () => {
  token.forget();
  location.reload();
});
// Ages grow while nothing comes.
setInterval(() => document.hidden || paint(), REDRAW_MS);
route();
boot();
