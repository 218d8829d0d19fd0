// What statuses, positions and events are called.

import { shown } from "./decimal.js";
import { time } from "./time.js";

const POSITIONS = {
  BOUGHT: "Long",
  SHORTED: "Short",
  SOLD: "Sold",
  COVERED: "Covered",
  EXITED_BY_SL: "Stopped out",
  EXITED_BY_TP: "Target reached",
};

const ACTIONS = { BUY: "buy", SELL: "sell", STOPLOSS: "stop-loss", TAKEPROFIT: "target", SQUAREOFF: "square-off" };

export const MOODS = { DEEP_LOSS: "Deep loss", LOSS: "Loss", FLAT: "Flat", GAIN: "Gain", HIGH_GAIN: "High gain" };

export const action = (name) => ACTIONS[name] ?? name;

/** A position, with how much and from which price on. */
export function position(fields) {
  const { position: name, filled_quantity: quantity, entry_price: entry, exit_price: exit } = fields;
  if (name === "BOUGHT" || name === "SHORTED") return `${POSITIONS[name]}${quantity ? ` ${quantity}` : ""}${entry ? ` at ${shown(entry)}` : ""}`;
  if (POSITIONS[name]) return `${POSITIONS[name]}${exit ? ` at ${shown(exit)}` : ""}`;
  return "None";
}

const CONDITIONS = { ABOVE: "at or above", BELOW: "at or below" };

export const condition = (name) => CONDITIONS[name] ?? name;

const EVENTS = {
  STRATEGY_STARTED: () => "started",
  STRATEGY_UPDATED: (data) => `changed${changes(data)}`,
  STRATEGY_STOPPED: () => "stopped",
  STRATEGY_REMOVED: () => "removed",
  STRATEGY_COMPLETED: (data) => `done for the day${data.position ? `: ${position(data).toLowerCase()}` : ""}`,
  STRATEGY_ERROR: (data) => `needs a look: ${data.error || "see its error"}`,
  ORDER_QUEUED: (data) => `order to ${action(data.pending)} is on its way`,
  ORDER_ACCEPTED: (data) => `the broker has the order${data.pending ? ` to ${action(data.pending)}` : ""}`,
  ORDER_EXECUTED: (data) => `filled${data.position ? `: ${position(data).toLowerCase()}` : ""}`,
  ORDER_CANCELED: () => "the order ended before it was filled",
  SL_TRIGGERED: (data) => `stop-loss reached${data.price ? ` at ${shown(data.price)}` : ""}`,
  PRICE_ALERT: (data) => `price alert: ${data.symbol} ${condition(data.condition)} ${shown(data.price)}, at ${shown(data.triggered_price)}`,
  TP_TRIGGERED: (data) => `target reached${data.price ? ` at ${shown(data.price)}` : ""}`,
};

/** Kept by the server with every change, and so no news. */
const KEPT = new Set(["version", "updated_at", "id", "user_id", "status"]);

/** What the engine makes of the times that were given. */
const TIMES = { buy_at: "buys", sell_at: "sells" };

function change([name, value]) {
  if (TIMES[name]) return value === "" ? "" : `${TIMES[name]} at ${time(Number(value))}`;
  const called = name.replaceAll("_", " ");
  return value === "" ? `no ${called}` : `${called} ${value}`;
}

function changes(data) {
  const names = Object.entries(data).filter(([name]) => !KEPT.has(name));
  const said = names.slice(0, 4).map(change).filter(Boolean);
  return said.length ? `: ${said.join(", ")}${names.length > 4 ? ", …" : ""}` : "";
}

/** What an event says. */
export function event({ type, data }) {
  return EVENTS[type]?.(data ?? {}) ?? String(type).toLowerCase().replaceAll("_", " ");
}

/** How much an event matters: `bad`, `good` or nothing. */
export function weight(type) {
  if (type === "STRATEGY_ERROR" || type === "SL_TRIGGERED") return "bad";
  return type === "TP_TRIGGERED" || type === "ORDER_EXECUTED" ? "good" : "";
}
