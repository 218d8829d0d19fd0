// What the page remembers in this browser: colours and calm mode.

import { $ } from "./dom.js";

const THEME = "strat.theme";
const CALM = "strat.calm";

// A browser may refuse to keep anything: then it is forgotten with the page.
function kept(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function keep(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Not kept.
  }
}

/** Whether amounts are hidden. */
export const isCalm = () => document.documentElement.dataset.calm === "on";

/** Applies the colours that were kept, and follows their switch. */
export function colours() {
  const theme = $("theme");
  theme.value = ["light", "dark"].includes(kept(THEME)) ? kept(THEME) : "system";
  const paint = () => (document.documentElement.dataset.theme = theme.value);
  theme.addEventListener("change", () => {
    keep(THEME, theme.value);
    paint();
  });
  paint();
}

/** The same with calm mode; `onCalm(calm)` hears of each change. */
export function start(onCalm) {
  colours();
  const calm = $("calm");
  calm.checked = kept(CALM) === "on";
  const hide = () => (document.documentElement.dataset.calm = calm.checked ? "on" : "off");
  calm.addEventListener("change", () => {
    keep(CALM, calm.checked ? "on" : "off");
    hide();
    onCalm(calm.checked);
  });
  hide();
}
