// Price alerts of one user: listed, set, deleted, and seen to fire. They have no journal: the stream says when it hears of
// them, and then they are read; from then on it tells of each that fires.

import { get, write } from "./api.js";
import { shown, sign } from "./decimal.js";
import { $, button, el, say } from "./dom.js";
import { time } from "./time.js";
import { condition } from "./words.js";

const ID_BYTES = 8;

/** `undefined` before anybody is known. */
let user;
let alerts = new Map();
let more = false;
/** Counts readings: an answer that comes late is not shown. */
let readings = 0;

/** A name that nobody else has. */
function fresh() {
  const bytes = crypto.getRandomValues(new Uint8Array(ID_BYTES));
  return `page-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function complain(text) {
  $("alert-error").hidden = !text;
  say($("alert-error"), text);
}

/** Whose they are; null for nobody's: those of everybody are not listed. */
export function of(whose) {
  if (user === whose) return;
  user = whose;
  alerts = new Map();
  more = false;
  readings += 1;
  complain("");
  render();
}

/** Reads them, where it is clear whose. */
export async function read() {
  if (!user) return;
  const reading = ++readings;
  const answer = await get("/api/v1/alerts", { user_id: user });
  if (reading !== readings) return;
  alerts = new Map(answer.alerts.map((alert) => [alert.id, alert]));
  more = Boolean(answer.cursor);
  render();
}

/** One has fired. */
export function fired(event) {
  if (event.user_id !== user) return;
  // What is being read may be older than this.
  readings += 1;
  const { symbol, condition, price, triggered_price, triggered_at } = event.data;
  alerts.set(event.alert_id, { id: event.alert_id, symbol, condition, price, status: "TRIGGERED", triggered: { ts: Number(triggered_at), price: triggered_price } });
  render();
}

const where = ({ symbol, condition: name, price }) => `${symbol} ${condition(name)} ${shown(price)}`;

function state({ status, triggered }) {
  if (status === "ACTIVE") return "waits";
  return triggered ? `fired at ${shown(triggered.price)}, ${time(triggered.ts)}` : "cannot fire: one of its fields is not right";
}

function row(alert) {
  const about = where(alert);
  const remove = button("Delete", { class: "small", "aria-label": `Delete the alert ${about}` }, () => end(alert, remove));
  return el("li", { "data-alert": alert.id, "data-state": alert.status }, el("span", {}, el("b", {}, about), el("small", {}, state(alert))), remove);
}

/** Those that wait come first, then the latest that fired. */
function order(a, b) {
  const waits = ({ status }) => (status === "ACTIVE" ? 0 : 1);
  return waits(a) - waits(b) || (b.triggered?.ts ?? 0) - (a.triggered?.ts ?? 0) || (where(a) < where(b) ? -1 : 1);
}

function render() {
  const all = [...alerts.values()].sort(order);
  const said = JSON.stringify(all);
  $("alert-form").hidden = !user;
  $("no-alerts").hidden = all.length > 0 && !more;
  say($("no-alerts"), !user ? "Choose a user above to see price alerts." : more ? "There are more than these." : "None yet.");
  if ($("alerts").dataset.said === said) return;
  $("alerts").dataset.said = said;
  // A button that had the focus is replaced by the same one, or is gone.
  const focused = document.activeElement?.closest?.("#alerts li")?.dataset.alert;
  $("alerts").replaceChildren(...all.map(row));
  if (focused) ($("alerts").querySelector(`[data-alert="${CSS.escape(focused)}"] button`) ?? $("alerts-title")).focus();
}

async function end(alert, control) {
  control.disabled = true;
  complain("");
  try {
    await write("DELETE", `/api/v1/alerts?${new URLSearchParams({ id: alert.id, user_id: user })}`);
  } catch (error) {
    if (error.code !== "NOT_FOUND") {
      control.disabled = false;
      return complain(error.message);
    }
  }
  readings += 1;
  alerts.delete(alert.id);
  render();
}

async function set(form) {
  const { symbol, condition, price } = form.elements;
  const wanted = { symbol: symbol.value.trim(), condition: condition.value, price: price.value.trim() };
  for (const control of [symbol, price]) control.removeAttribute("aria-invalid");
  const wrong = !wanted.symbol ? [symbol, "Symbol is missing."] : sign(wanted.price) !== 1 ? [price, `Price is not a price such as ${shown("2500")}.`] : null;
  if (wrong) {
    wrong[0].setAttribute("aria-invalid", "true");
    complain(wrong[1]);
    return wrong[0].focus();
  }
  complain("");
  const send = form.querySelector("[type=submit]");
  send.disabled = true;
  try {
    const id = fresh();
    await write("POST", "/api/v1/alerts", { id, user_id: user, ...wanted });
    form.reset();
    symbol.focus();
    await read().catch(() => {});
  } catch (error) {
    complain(error.unknown ? `${error.message} It may have been set all the same: look before you repeat it.` : error.message);
  } finally {
    send.disabled = false;
  }
}

$("alert-form").addEventListener("submit", (event) => {
  event.preventDefault();
  set(event.target);
});
