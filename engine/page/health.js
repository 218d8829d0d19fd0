// How the parts are, as chips in the head, and what is wrong as banners below it.

import { $, arrange, button, el, mark, say } from "./dom.js";
import { age, span, time } from "./time.js";

const chips = new Map();
const banners = new Map();

function chip(name, state, about) {
  if (!chips.has(name)) {
    const word = el("span", { class: "state" });
    const item = el("li", {}, el("span", { class: "dot", "aria-hidden": "true" }), el("span", {}, name), word);
    chips.set(name, { item, word });
    $("health").append(item);
  }
  const { item, word } = chips.get(name);
  item.dataset.state = state;
  item.dataset.part = name.toLowerCase();
  mark(item, "title", about || null);
  say(word, { ok: "ok", bad: "away", warn: "waits", unknown: "not known" }[state]);
}

/** Shows a banner, or takes it away where there is nothing to say. `ticking` changes all the time and is not read out. */
export function banner(name, level, text, ticking = "", act = null) {
  if (!text) {
    banners.get(name)?.remove();
    banners.delete(name);
    return;
  }
  if (!banners.has(name)) {
    const made = el("div", { class: `banner ${level}`, "data-banner": name }, el("span", {}), el("span", { "aria-hidden": "true", class: "ticking" }));
    if (act) made.append(button(act.text, {}, act.does));
    banners.set(name, made);
    arrange($("banners"), [...banners.values()]);
  }
  const [words, clock] = banners.get(name).children;
  say(words, text);
  say(clock, ticking);
}

const state = (part) => (!part ? "unknown" : part.status === "ok" ? "ok" : "bad");

/** As its calls have gone; it is not asked for the sake of this. */
function broker(health) {
  const part = health?.broker;
  if (!part) return ["unknown", ""];
  if (part.status !== "ok") return ["bad", part.error];
  if (!health.reconciled) return ["warn", "its books were not compared yet, no order is sent"];
  if (!part.trading) return ["warn", "another engine trades, or none may"];
  const unknown = part.unknown_orders ? `, ${part.unknown_orders} of them not known to be there` : "";
  return ["ok", `${part.kind}, ${part.orders_working} orders at work${unknown}`];
}

/** Shows how everything is; where nobody answers, nothing is known. */
export function show({ health, engine, offline }) {
  const known = offline ? null : health;
  chip("Redis", state(known?.redis), known?.redis?.error);
  chip("Postgres", state(known?.postgres), known?.postgres?.error);
  // Without Redis nobody can tell how the feed is.
  const feed = known?.redis?.status === "ok" ? known.market : null;
  chip("Feed", state(feed), feed?.error);
  chip("Broker", ...broker(known));
  if (!known) {
    for (const name of ["redis", "postgres", "feed", "broker", "halted"]) banner(name, "", "");
    return;
  }
  const redis = known.redis?.status === "ok";
  const watcher = known.guard?.watching === "engine" ? " The engine watches the stops by itself." : "";
  banner("redis", "bad", redis ? "" : `Redis is away: prices are not confirmed, and nothing new can be started.${watcher}`);
  banner("postgres", "bad", known.postgres?.status === "ok" ? "" : "Postgres is away: the list and the events stand still, and entries wait. Exits go on.");
  banner("feed", "warn", redis && known.market?.status !== "ok" ? `The feed: ${known.market?.error ?? "nothing is known of it"}.` : "");
  const ill = known.broker?.status === "unhealthy" ? known.broker : null;
  const since = ill?.since ? ` since ${time(ill.since)}` : "";
  banner("broker", "bad", ill ? `The broker is in trouble${since}: ${ill.error}. No order is taken for dead: each is looked up.` : "");
  const halt = engine?.halted ? engine.halt : null;
  banner("halted", "warn", halt ? `Entries are halted by ${halt.by || "somebody"}: ${halt.reason}` : "");
}

/** Says that the connection is away, since when, and when it is tried again. */
export function offline(why, heardAt, until, retry) {
  if (!why) return banner("offline", "", "");
  const left = Math.max(0, Math.ceil((until - performance.now()) / 1_000));
  const when = heardAt ? `It is ${span(age(heardAt))} old.` : "";
  banner("offline", "bad", `${why} What you see may not be true any more.`, `${when} Next try in ${left} s.`, { text: "Try now", does: retry });
}
