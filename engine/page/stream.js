// The stream of events. `EventSource` cannot send a token, so the body of a `fetch` is read; after a break it goes on behind
// the last event that came, and waits longer after each failure.

import { Problem, headers, problem } from "./api.js";

const PAUSE_FIRST_MS = 500;
const PAUSE_MAX_MS = 15_000;
/** The engine says something every 15 s; who is silent for longer is not there any more. */
const SILENCE_MAX_MS = 40_000;
const CONNECT_MAX_MS = 8_000;
/** Longest event; a strategy's fields have at most 16 KiB of ours. */
const EVENT_CHARS_MAX = 4 * 1024 * 1024;

/** Cuts text into server-sent events, wherever the packets are. */
export class Parser {
  #rest = "";
  #event = { id: null, type: "message", data: [] };

  /** The events that are whole now. */
  push(text) {
    const found = [];
    this.#rest += text;
    if (this.#rest.length > EVENT_CHARS_MAX) throw new Error("an event is too long");
    // A carriage return at the end may be half of a line's end.
    const lines = this.#rest.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      const event = this.#take(line);
      if (event) found.push(event);
    }
    return found;
  }

  #take(line) {
    const event = this.#event;
    if (line === "") {
      this.#event = { id: null, type: "message", data: [] };
      return event.data.length ? { ...event, data: event.data.join("\n") } : null;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") event.data.push(value);
    else if (name === "event") event.type = value;
    else if (name === "id") event.id = value;
    return null;
  }
}

/** How long to wait after so many failures: doubled each time, bounded, and not the same for everybody. */
export function pause(failures, random = Math.random()) {
  const longest = Math.min(PAUSE_FIRST_MS * 2 ** Math.min(failures, 10), PAUSE_MAX_MS);
  return Math.round(longest / 2 + (longest / 2) * random);
}

/** Follows the events of a user, or of everybody. */
export class Stream {
  #on;
  #user = "";
  #last = null;
  #abort = null;
  #wake = null;
  #running = false;

  /** `on` has `event(event)`, `open()`, `waits(problem, until)` and `refused(problem)`. */
  constructor(on) {
    this.#on = on;
  }

  /** Begins anew, for this user; what came before is of no account. */
  start(user) {
    this.stop();
    this.#user = user;
    this.#last = null;
    this.#running = true;
    const abort = new AbortController();
    this.#abort = abort;
    this.#follow(abort);
  }

  stop() {
    this.#running = false;
    this.#abort?.abort();
    this.#wake?.();
  }

  /** Tries now instead of when the pause is over. */
  now() {
    this.#wake?.();
  }

  async #follow(abort) {
    let failures = 0;
    while (this.#running && !abort.signal.aborted) {
      let why = new Problem("OFFLINE", 0, "The engine has closed the connection.");
      try {
        await this.#read(abort, () => (failures = 0));
      } catch (error) {
        if (error instanceof Problem) why = error;
        else why = new Problem("OFFLINE", 0, "The engine cannot be reached.");
      }
      if (abort.signal.aborted) return;
      if (why.status === 401 || why.status === 403) return this.#on.refused(why);
      const wait = Math.max(pause(failures), why.retryAfterMs);
      failures += 1;
      this.#on.waits(why, performance.now() + wait);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, wait);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
    }
  }

  async #read(outer, began) {
    const inner = new AbortController();
    const end = () => inner.abort();
    outer.signal.addEventListener("abort", end);
    let watchdog = setTimeout(end, CONNECT_MAX_MS);
    try {
      const own = { Accept: "text/event-stream", ...(this.#last === null ? {} : { "Last-Event-ID": this.#last }) };
      const query = this.#user ? `?${new URLSearchParams({ user_id: this.#user })}` : "";
      const answer = await fetch(`/api/v1/events${query}`, { headers: headers(own), cache: "no-store", credentials: "omit", redirect: "error", signal: inner.signal });
      if (!answer.ok) throw await problem(answer);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new Parser();
      for (;;) {
        clearTimeout(watchdog);
        watchdog = setTimeout(end, SILENCE_MAX_MS);
        const { done, value } = await reader.read();
        if (done) return;
        this.#on.heard();
        for (const event of parser.push(value)) {
          if (outer.signal.aborted) return;
          if (event.id) this.#last = event.id;
          if (event.type === "ready" || event.type === "reset") {
            began();
            this.#on.open(event.type === "reset");
          } else this.#on.event(event);
        }
      }
    } finally {
      clearTimeout(watchdog);
      outer.signal.removeEventListener("abort", end);
      inner.abort();
    }
  }
}
