// The list of strategies: a table, on a phone a row of cards.

import { amount, distance, price } from "./amounts.js";
import { sum } from "./decimal.js";
import { $, arrange, el, mark, say } from "./dom.js";
import { isOpen, keyOf } from "./model.js";
import { action, position } from "./words.js";

/** Rows in the document; the rest is found by narrowing the list down, or shown on demand. */
const PAGE = 100;
const COLUMNS = ["Status", "Position", "Last price", "To stop", "To target", "Profit and loss"];

const rows = new Map();
let shown = PAGE;

/** The link to a strategy. */
export const link = (strategy) => `#/${encodeURIComponent(strategy.user_id)}/${encodeURIComponent(strategy.id)}`;

const rank = (strategy) => (isOpen(strategy) ? 0 : strategy.fields.status === "RUNNING" ? 1 : 2);

/** What was earned and what is held together; null where a part is not known. */
export function total(model, strategy) {
  const earned = model.earned.get(keyOf(strategy.user_id, strategy.id)) ?? "0";
  if (!isOpen(strategy)) return earned;
  const held = model.position(strategy);
  return held?.unrealised ? sum([earned, held.unrealised]) : null;
}

function make(strategy) {
  const anchor = el("a", { href: link(strategy) }, strategy.id);
  const cells = COLUMNS.map((name, at) => el("td", { role: "cell", "data-label": name, class: at > 1 ? "number" : "" }));
  const about = el("small", {});
  return { row: el("tr", { role: "row" }, el("th", { scope: "row", role: "rowheader" }, anchor, about), ...cells), anchor, about, cells };
}

function paint(model, made, strategy, selected, manyUsers) {
  const { fields } = strategy;
  const held = model.position(strategy);
  const [status, where, last, stop, target, gain] = made.cells;
  mark(made.anchor, "aria-current", selected ? "true" : null);
  mark(made.row, "data-selected", selected ? "yes" : null);
  say(made.about, [fields.symbol, fields.side === "SHORT" ? "short" : "long", fields.quantity, manyUsers ? strategy.user_id : ""].filter(Boolean).join(" · "));
  const doing = fields.pending ? `${fields.status}: ${action(fields.pending)}` : (fields.status ?? "");
  if (status.dataset.text !== doing + fields.error) {
    status.dataset.text = doing + fields.error;
    const pill = el("span", { class: "pill", "data-status": fields.status }, fields.status ?? "");
    status.replaceChildren(pill, el("small", {}, fields.pending ? `${action(fields.pending)} in flight` : (fields.error ?? "")));
  }
  say(where, position(fields));
  price(last, model.quote(fields.symbol));
  distance(stop, "stop", held?.stop, held?.fresh, fields.stop_loss);
  distance(target, "target", held?.target, held?.fresh, fields.take_profit);
  amount(gain, total(model, strategy), { fresh: held?.fresh ?? true, mood: held?.mood, calm: held?.calm });
}

function matches(strategy, { find, status }) {
  if (status && strategy.fields.status !== status) return false;
  const text = find.trim().toLowerCase();
  return !text || [strategy.id, strategy.user_id, strategy.fields.symbol ?? ""].some((word) => word.toLowerCase().includes(text));
}

function order(a, b) {
  const words = ([x, y]) => (x < y ? -1 : x > y ? 1 : 0);
  return rank(a) - rank(b) || words([a.user_id, b.user_id]) || words([a.id, b.id]);
}

/** Shows the strategies that fit; `whole` says whether the engine has told of all. */
export function render(model, filter, selected, { loaded, whole }) {
  const all = [...model.strategies.values()];
  const fitting = all.filter((strategy) => matches(strategy, filter)).sort(order);
  const manyUsers = new Set(all.map((strategy) => strategy.user_id)).size > 1;
  const visible = fitting.slice(0, shown);
  const elements = visible.map((strategy) => {
    const key = keyOf(strategy.user_id, strategy.id);
    if (!rows.has(key)) rows.set(key, make(strategy));
    const made = rows.get(key);
    paint(model, made, strategy, key === selected, manyUsers);
    return made.row;
  });
  arrange($("rows"), elements);
  if (rows.size > visible.length) {
    const kept = new Set(visible.map((strategy) => keyOf(strategy.user_id, strategy.id)));
    for (const key of rows.keys()) if (!kept.has(key)) rows.delete(key);
  }
  $("more").hidden = fitting.length <= shown;
  const none = !loaded ? "Loading…" : all.length ? "No strategy fits." : "There is no strategy yet.";
  $("empty").hidden = fitting.length > 0 && whole;
  say($("empty"), fitting.length ? "There are more strategies than this page holds: narrow them down by user." : none);
  return visible;
}

export function more() {
  shown += PAGE;
}

/** The sums above the list. */
export function totals(model) {
  const open = [...model.strategies.values()].filter(isOpen);
  const held = open.map((strategy) => model.position(strategy));
  const unrealised = held.every((position) => position?.unrealised) ? sum(held.map((position) => position.unrealised)) : null;
  const fresh = held.every((position) => position?.fresh);
  const calm = held.some((position) => position?.calm);
  const box = $("totals");
  if (!box.childElementCount) {
    box.append(el("span", {}, "Realised ", el("b", { id: "realised" })), el("span", {}, "Open ", el("b", { id: "unrealised" })));
  }
  amount($("realised"), model.realised, { calm });
  amount($("unrealised"), unrealised, { fresh, calm });
}
