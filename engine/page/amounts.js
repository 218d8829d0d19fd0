// Prices and amounts as elements: old ones are marked as old, and in calm mode amounts are blurred and said as a mood.

import { percent, shown, sign, signed } from "./decimal.js";
import { el, mark, say } from "./dom.js";
import { isCalm } from "./prefs.js";
import { span } from "./time.js";
import { MOODS } from "./words.js";

/** What stands where nothing is known, and how it is read out. */
export const nothing = (why) => [el("span", { "aria-hidden": "true" }, "–"), el("span", { class: "unseen" }, why)];

/** Shows the last price of a symbol, with its age where it is not fresh. */
export function price(cell, quote) {
  const state = !quote ? "none" : quote.fresh ? "fresh" : "old";
  if (cell.dataset.price !== state) {
    cell.dataset.price = state;
    if (state === "none") cell.replaceChildren(...nothing("no price"));
    else cell.replaceChildren(el("span", { class: "value" }), el("small", { class: "age" }));
  }
  if (!quote) return;
  const [value, old] = cell.children;
  say(value, shown(quote.price));
  say(old, quote.fresh ? "" : `${span(quote.age)} old`);
}

/** From here on a level is near, in hundredths of a percent. */
const NEAR_BPS = 50;

/** Shows how far a `kind` of level is; where there is no open position, just where it is set. */
export function distance(cell, kind, level, fresh, set) {
  const text = level ? `${shown(level.left)}` : set ? `at ${shown(set)}` : "";
  if (cell.dataset.text !== `${text} ${fresh}`) {
    cell.dataset.text = `${text} ${fresh}`;
    if (!text) cell.replaceChildren(...nothing("none"));
    else {
      const note = level && fresh ? percent(level.left_bps) : level ? "old" : "";
      cell.replaceChildren(el("span", { class: level && fresh ? "value" : "value dim" }, text), el("small", {}, note));
    }
  }
  const near = level && fresh && Number.isInteger(level.left_bps) && level.left_bps <= NEAR_BPS;
  mark(cell, "data-near", near ? kind : null);
}

/** Shows an amount: its sign by a word for who cannot see the colour, and blurred in calm mode. */
export function amount(cell, value, { fresh = true, mood = null, calm = false } = {}) {
  const direction = sign(value);
  const hidden = calm || isCalm();
  const said = `${value} ${fresh} ${hidden} ${mood}`;
  if (cell.dataset.said === said) return;
  cell.dataset.said = said;
  mark(cell, "data-sign", direction === null ? null : direction);
  if (direction === null) return cell.replaceChildren(...nothing("not known"));
  const parts = [el("span", { class: `value${hidden ? " blurred" : ""}${fresh ? "" : " dim"}`, "aria-hidden": hidden ? "true" : null }, signed(value))];
  if (hidden) parts.push(el("small", {}, MOODS[mood] ?? "hidden"));
  else if (!fresh) parts.push(el("small", { class: "age" }, "old"));
  cell.replaceChildren(...parts);
}
