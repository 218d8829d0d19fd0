// What the page knows, and since when. It changes by what the engine says only, and never takes an older version.

import { age, FRESH_MS, moment } from "./time.js";

/** Strategies on the page; who has more narrows them down. */
export const STRATEGIES_MAX = 1_000;
/** Removed ones that are remembered, so that a late answer does not bring them back. */
const REMOVED_MAX = 1_000;
/** Prices of a symbol that are drawn. */
const POINTS_MAX = 900;
const SYMBOLS_MAX = 200;
const OPEN = new Set(["BOUGHT", "SHORTED"]);

export const keyOf = (user, id) => `${user}:${id}`;
export const isOpen = (strategy) => OPEN.has(strategy.fields.position);

export class Model extends EventTarget {
  strategies = new Map();
  positions = new Map();
  prices = new Map();
  earned = new Map();
  /** Sums: of the open positions, and of what was earned; null where they are not known. */
  unrealised = null;
  realised = null;
  #removed = new Map();
  #due = false;

  /** Tells whoever looks, once for all changes until the next picture. */
  changed() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.dispatchEvent(new Event("change"));
    });
  }

  /** Forgets everything about strategies; prices are everybody's. */
  clear() {
    for (const map of [this.strategies, this.positions, this.earned, this.#removed]) map.clear();
    this.unrealised = this.realised = null;
    this.changed();
  }

  /** A strategy as the engine says it is. */
  put(strategy) {
    const key = keyOf(strategy.user_id, strategy.id);
    const known = this.strategies.get(key);
    if ((known && known.version > strategy.version) || this.#removed.get(key) >= strategy.version) return;
    if (!known && this.strategies.size >= STRATEGIES_MAX) return;
    this.strategies.set(key, strategy);
    this.changed();
  }

  drop(key, version) {
    const known = this.strategies.get(key);
    if (known && known.version > version) return;
    this.#removed.set(key, version);
    if (this.#removed.size > REMOVED_MAX) this.#removed.delete(this.#removed.keys().next().value);
    this.strategies.delete(key);
    this.positions.delete(key);
    this.changed();
  }

  /** Takes an event in; false where it does not follow what is known, so that the strategy has to be read. */
  apply(event) {
    const key = keyOf(event.user_id, event.strategy_id);
    if (event.type === "STRATEGY_REMOVED") {
      this.drop(key, event.version);
      return true;
    }
    const known = this.strategies.get(key);
    if (known && event.version <= known.version) return true;
    // One that was started may have been replaced as a whole.
    if (!known || event.version !== known.version + 1 || event.type === "STRATEGY_STARTED") return false;
    const fields = { ...known.fields };
    for (const [name, value] of Object.entries(event.data ?? {})) {
      if (value === "" || value === null) delete fields[name];
      else fields[name] = String(value);
    }
    this.put({ ...known, version: event.version, fields });
    return true;
  }

  /** A price that was true so long before now. */
  price(symbol, price, agoMs) {
    const at = moment(agoMs);
    const known = this.prices.get(symbol);
    const points = known?.points ?? [];
    if (!known && this.prices.size >= SYMBOLS_MAX) this.prices.delete(this.prices.keys().next().value);
    // An older answer that comes late.
    if (known?.at && known.at.wall > at.wall + 1_500) return;
    const last = points.at(-1);
    if (!last || last.price !== price || at.wall - last.at > 1_000) points.push({ at: at.wall, price });
    if (points.length > POINTS_MAX) points.shift();
    this.prices.set(symbol, { price, at, points });
    this.changed();
  }

  /** The last price of a symbol, how old it is, and whether it counts as fresh. */
  quote(symbol) {
    const known = this.prices.get(symbol);
    if (!known) return null;
    const old = age(known.at);
    return { price: known.price, age: old, fresh: old <= FRESH_MS, points: known.points };
  }

  /** The open positions of a user, all of them. */
  holds(user, positions) {
    const at = moment();
    for (const [key, position] of this.positions) if (position.user_id === user) this.positions.delete(key);
    for (const position of positions) this.positions.set(keyOf(position.user_id, position.strategy_id), { ...position, at });
    this.changed();
  }

  /** The position of a strategy that is in the market, and whether what it says of the price is fresh. */
  position(strategy) {
    const position = this.positions.get(keyOf(strategy.user_id, strategy.id));
    if (!position || !isOpen(strategy)) return null;
    // The engine computes it from the last price, which may have been old by then.
    const priced = this.quote(strategy.fields.symbol)?.fresh ?? true;
    return { ...position, fresh: priced && age(position.at) <= FRESH_MS };
  }
}
