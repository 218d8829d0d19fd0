// One strategy: its chart, what is known of it, what can be done with it, its fills.

import { get, part } from "./api.js";
import { amount, distance, price } from "./amounts.js";
import * as chart from "./chart.js";
import { shown } from "./decimal.js";
import { $, button, el, mark, say } from "./dom.js";
import { total } from "./list.js";
import { Level } from "./levels.js";
import { isOpen, keyOf } from "./model.js";
import { FRESH_MS, age, moment, time } from "./time.js";
import { action, position } from "./words.js";

/** Candles are read again after so long: in between the live prices go on. */
const CANDLES_EVERY_MS = 60_000;
const MINUTE_MS = 60_000;
const FILLS_MAX = 50;

let selected = null;
let fills = { key: null, rows: [] };
let candles = { symbol: null, at: null, rows: [] };

/** Which strategy is shown: its key, or null. */
export const key = () => selected;

/** Reads the fills of the strategy that is shown. */
export async function readFills(strategy) {
  const of = keyOf(strategy.user_id, strategy.id);
  const answer = await get("/api/v1/fills", { strategy_id: strategy.id, user_id: strategy.user_id, limit: FILLS_MAX });
  if (of === selected) fills = { key: of, rows: answer.fills };
}

/** Reads what the price did before this page was opened, as far as candles are kept. */
export async function readCandles(symbol) {
  if (candles.symbol === symbol && age(candles.at) < CANDLES_EVERY_MS) return;
  if (candles.symbol !== symbol) candles = { symbol, at: null, rows: [] };
  const answer = await get(`/api/v1/candles/${part(symbol)}`, { timeframe: "1m" });
  if (candles.symbol === symbol) candles = { symbol, at: moment(), rows: answer.candles };
}

/** Points to draw: closes of the candles up to where the live prices begin. */
function points(symbol, live) {
  const begin = live[0]?.at ?? Date.now();
  const old = candles.symbol === symbol ? candles.rows : [];
  // The close of a minute that is not over yet is later than where the live prices begin.
  const before = old.filter((candle) => candle.end <= begin).map((candle) => ({ at: candle.end, price: candle.close, wide: 2 * MINUTE_MS }));
  const joined = before.length && live.length ? [{ ...live[0], wide: 2 * MINUTE_MS }, ...live.slice(1)] : live;
  return [...before, ...joined];
}

const FACTS = [
  ["Status", (strategy) => strategy.fields.status],
  ["Position", (strategy) => position(strategy.fields)],
  ["Last price", null],
  ["To stop", null],
  ["To target", null],
  ["Profit and loss", null],
  ["Order in flight", ({ fields }) => (fields.pending ? action(fields.pending) : "")],
  ["Buy at", ({ fields }) => at(fields.buy_time, fields.timezone)],
  ["Sell at", ({ fields }) => at(fields.sell_time, fields.timezone)],
  ["Stop-loss", null],
  ["Target", null],
  ["Trailing stop", ({ fields }) => fields.trail],
  ["Error", ({ fields }) => fields.error],
  ["User", (strategy) => strategy.user_id],
  ["Version", (strategy) => String(strategy.version)],
];
const at = (time, zone) => (time ? `${time}${zone ? ` ${zone}` : ""}` : "");
const cells = new Map();
let levels = [];

/** Makes what the levels are changed with; `does` is theirs. */
export function begin(does) {
  levels = [
    ["Stop-loss", new Level("stop_loss", does)],
    ["Target", new Level("take_profit", does)],
  ];
}

function facts(model, strategy) {
  if (!cells.size) {
    const own = new Map(levels);
    for (const [name] of FACTS) {
      const pair = own.get(name)?.pair ?? el("div", {}, el("dt", {}, name), el("dd", {}));
      cells.set(name, pair);
      $("facts").append(pair);
    }
  }
  const held = model.position(strategy);
  for (const [name, of] of FACTS) {
    if (!of) continue;
    const value = of(strategy) || "";
    cells.get(name).hidden = !value;
    say(cells.get(name).lastChild, value);
  }
  for (const [, level] of levels) level.show(strategy);
  const cell = (name) => cells.get(name).lastChild;
  price(cell("Last price"), model.quote(strategy.fields.symbol));
  distance(cell("To stop"), "stop", held?.stop, held?.fresh, null);
  distance(cell("To target"), "target", held?.target, held?.fresh, null);
  for (const name of ["To stop", "To target"]) cells.get(name).hidden = !isOpen(strategy);
  amount(cell("Profit and loss"), total(model, strategy), { fresh: held?.fresh ?? true, mood: held?.mood, calm: held?.calm });
}

function actions(strategy, does) {
  const running = strategy.fields.status === "RUNNING";
  const wanted = [
    !running && ["start", "Start", "primary"],
    running && ["stop", isOpen(strategy) ? "Stop…" : "Stop", ""],
    isOpen(strategy) && ["square-off", "Square off…", "danger"],
    !running && !isOpen(strategy) && ["remove", "Remove…", ""],
  ].filter(Boolean);
  const box = $("actions");
  const names = wanted.map(([name]) => name).join(" ") + keyOf(strategy.user_id, strategy.id) + wanted.map(([, text]) => text);
  if (box.dataset.names === names) return;
  const had = box.contains(document.activeElement);
  box.dataset.names = names;
  box.replaceChildren(...wanted.map(([name, text, look]) => button(text, { class: look, "data-action": name }, () => does(name, selected))));
  // The button that had the focus is gone with what it did: its heading takes it.
  if (had) $("detail-title").focus({ preventScroll: true });
}

function drawFills() {
  const rows = fills.key === selected ? fills.rows : [];
  const said = rows.map((fill) => `${fill.client_order_id} ${fill.at} ${fill.filled}`).join();
  if ($("fills").dataset.said === said) return rows;
  $("fills").dataset.said = said;
  $("no-fills").hidden = rows.length > 0;
  mark($("fills").parentElement, "hidden", rows.length === 0);
  $("fills").replaceChildren(
    ...rows.map((fill) =>
      el("tr", {}, el("td", {}, time(fill.at)), el("td", {}, action(fill.action)), el("td", { class: "number" }, fill.quantity), el("td", { class: "number" }, shown(fill.price))),
    ),
  );
  return rows;
}

/** Where the stop lies: a trailing one where the engine says, else where it was set. */
function drawn(model, strategy, quote, rows) {
  const { fields } = strategy;
  const held = model.position(strategy);
  return {
    points: points(fields.symbol, quote?.points ?? []),
    entry: fields.entry_price,
    stop: held?.stop?.level ?? fields.stop_loss,
    target: held?.target?.level ?? fields.take_profit,
    fills: rows,
    fresh: Boolean(quote && quote.age <= FRESH_MS),
  };
}

/** Shows a strategy, or hides the section. Answers whether another one is shown than before. */
export function select(wanted) {
  const other = wanted !== selected;
  selected = wanted;
  if (other) fills = { key: wanted, rows: [] };
  return other;
}

/** Shows it as it is now. `does(name, key)` is called for a button. */
export function render(model, does) {
  const strategy = selected && model.strategies.get(selected);
  $("detail").hidden = !selected;
  document.body.classList.toggle("with-detail", Boolean(selected));
  if (!selected) return;
  const name = selected.slice(selected.indexOf(":") + 1);
  say($("detail-title"), strategy ? `${name} · ${strategy.fields.symbol ?? ""}` : name);
  const gone = !strategy;
  $("detail-trouble").hidden = !gone;
  say($("detail-trouble"), gone ? "There is no such strategy here, or it was removed." : "");
  for (const part of $("detail").querySelectorAll(".chart, .facts, .actions, h3, .fills, #no-fills")) mark(part, "data-gone", gone ? "yes" : null);
  if (gone) return;
  const quote = model.quote(strategy.fields.symbol);
  facts(model, strategy);
  actions(strategy, does);
  const of = drawn(model, strategy, quote, drawFills());
  chart.draw($("chart"), of);
  say($("chart-text"), chart.words(strategy.fields.symbol, of));
}
