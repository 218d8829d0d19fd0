// Ages and times of day.

/** Prices that are older are shown as old. */
export const FRESH_MS = 5_000;

/** A moment by both clocks: the one of the wall may be set, the other one stands still while the machine sleeps. */
export const moment = (agoMs = 0) => ({ steady: performance.now() - agoMs, wall: Date.now() - agoMs });

/** How long ago a moment was, by the clock that says more. */
export const age = (at) => (at ? Math.max(0, performance.now() - at.steady, Date.now() - at.wall) : Infinity);

/** "12 s", "5 min", "3 h". */
export function span(ms) {
  if (!Number.isFinite(ms)) return "an unknown time";
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 100) return `${seconds} s`;
  if (seconds < 6_000) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3_600)} h`;
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** The time of day here; with the day where it is not today. */
export function time(ms) {
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return "";
  const today = at.toDateString() === new Date().toDateString();
  return today ? clock.format(at) : `${day.format(at)} ${clock.format(at)}`;
}
