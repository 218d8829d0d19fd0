// The feed of events: the newest on top, a bounded number of them, and what matters read out, not faster than one can listen.

import { $, el, say } from "./dom.js";
import { time } from "./time.js";
import { event as words, weight } from "./words.js";

const EVENTS_MAX = 200;
const READ_EVERY_MS = 2_500;
const READ_AT_ONCE = 3;

let waiting = [];
let timer = null;

/** Shows an event. */
export function show(event) {
  const at = Date.parse(event.timestamp);
  const line = [event.strategy_id, words(event)].filter(Boolean).join(" ");
  $("events").prepend(
    el(
      "li",
      { class: weight(event.type), "data-type": event.type },
      el("time", { datetime: event.timestamp }, time(at)),
      event.strategy_id && el("a", { href: `#/${encodeURIComponent(event.user_id)}/${encodeURIComponent(event.strategy_id)}` }, event.strategy_id),
      el("span", {}, words(event)),
    ),
  );
  while ($("events").childElementCount > EVENTS_MAX) $("events").lastElementChild.remove();
  $("no-events").hidden = true;
  announce(line);
}

/** Forgets them: another user's are shown from now on. */
export function clear() {
  $("events").replaceChildren();
  $("no-events").hidden = false;
  waiting = [];
}

/** Has a line read out. Where more come than can be heard, the last of them are, and how many there were. */
export function announce(line) {
  waiting.push(line);
  if (waiting.length > EVENTS_MAX) waiting.shift();
  timer ??= setTimeout(read, 100);
}

function read() {
  const more = waiting.length - READ_AT_ONCE;
  const lines = waiting.slice(-READ_AT_ONCE);
  waiting = [];
  say($("announcer"), (more > 0 ? `${more} more, then: ` : "") + lines.join(". "));
  timer = setTimeout(() => {
    timer = null;
    if (waiting.length) timer = setTimeout(read, 0);
  }, READ_EVERY_MS);
}
