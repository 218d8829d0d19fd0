// The chart of a strategy: the price, its entry, stop and target, and its fills. Pixels are floats; what is written is not.

import { shown } from "./decimal.js";
import { svg } from "./dom.js";
import { time } from "./time.js";

const HEIGHT = 260;
const MARGIN = { top: 14, right: 118, bottom: 24, left: 8 };
/** Between two points that are farther apart nothing is drawn: nobody knows what the price did. */
const GAP_MS = 15_000;
const LABEL_PX = 17;

/** Where values lie on a length; a flat line lies in the middle. */
export function scale(values, from, to) {
  let least = Math.min(...values);
  let most = Math.max(...values);
  if (most - least < 1e-9) [least, most] = [least - Math.max(Math.abs(least) * 0.001, 1e-6), most + Math.max(Math.abs(most) * 0.001, 1e-6)];
  const room = (most - least) * 0.06;
  [least, most] = [least - room, most + room];
  return (value) => from + ((value - least) / (most - least)) * (to - from);
}

/** Moves labels apart so that none covers another; the first stays where it is as far as there is room. */
export function spread(labels, gap, top, bottom) {
  const sorted = [...labels].sort((a, b) => a.y - b.y);
  for (let at = 0; at < sorted.length; at += 1) sorted[at].y = Math.max(sorted[at].y, at ? sorted[at - 1].y + gap : top);
  for (let at = sorted.length - 1; at >= 0; at -= 1) {
    sorted[at].y = Math.min(sorted[at].y, at === sorted.length - 1 ? bottom : sorted[at + 1].y - gap);
  }
  return labels;
}

/** Pieces of a line, broken where nothing is known. */
export function pieces(points, gapMs) {
  const found = [];
  for (const point of points) {
    const last = found.at(-1)?.at(-1);
    if (last && point.at - last.at <= Math.max(gapMs, point.wide ?? 0)) found.at(-1).push(point);
    else found.push([point]);
  }
  return found;
}

function levels(of) {
  const all = [
    { kind: "target", name: "Target", value: of.target },
    { kind: "entry", name: "Entry", value: of.entry },
    { kind: "stop", name: "Stop", value: of.stop },
  ];
  return all.filter((level) => level.value);
}

function marks(fills, x, y, box) {
  return fills
    .filter((fill) => fill.price && x(fill.at) >= box.left - 1)
    .map((fill) => {
      const [at, level] = [x(fill.at), y(Number(fill.price))];
      const up = fill.leg === "ENTRY";
      const shape = up ? `M${at} ${level + 4}l6 11h-12z` : `M${at} ${level - 4}l6 -11h-12z`;
      const about = `${up ? "Entry" : "Exit"} ${fill.quantity} at ${shown(fill.price)}, ${time(fill.at)}`;
      return svg("path", { d: shape, class: `fill ${up ? "entry" : "exit"}` }, svg("title", {}, about));
    });
}

function ticks(from, to, x, bottom) {
  const steps = Math.max(1, Math.min(4, Math.floor((x(to) - x(from)) / 110)));
  const found = [];
  for (let at = 0; at <= steps; at += 1) {
    const when = from + ((to - from) * at) / steps;
    const anchor = at === 0 ? "start" : at === steps ? "end" : "middle";
    found.push(svg("text", { x: x(when), y: bottom + 17, class: "tick", "text-anchor": anchor }, time(when)));
  }
  return found;
}

/**
 * Draws. `of` has `points` (`{at, price, wide}`, oldest first; `wide` is how much time a point stands for), `entry`, `stop`,
 * `target`, `fills`, and `fresh`, whether the last point is the price of now.
 */
export function draw(into, of) {
  const width = Math.max(280, Math.round(into.getBoundingClientRect().width) || 600);
  const box = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: HEIGHT - MARGIN.bottom };
  into.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  const lines = levels(of);
  const last = of.points.at(-1);
  const values = [...of.points.map((point) => Number(point.price)), ...lines.map((line) => Number(line.value))];
  if (!values.length) {
    into.replaceChildren(svg("text", { x: width / 2, y: HEIGHT / 2, class: "tick", "text-anchor": "middle" }, "No price yet"));
    return;
  }
  const to = of.fresh || !last ? Date.now() : last.at;
  const from = Math.min(of.points[0]?.at ?? to, to - 60_000);
  const x = (at) => box.left + ((at - from) / (to - from)) * (box.right - box.left);
  const y = scale(values, box.bottom, box.top);
  const parts = [svg("path", { d: `M${box.left} ${box.bottom}H${box.right}`, class: "axis" }), ...ticks(from, to, x, box.bottom)];
  for (const line of lines) {
    const at = y(Number(line.value));
    parts.push(svg("path", { d: `M${box.left} ${at}H${box.right}`, class: `level ${line.kind}` }));
  }
  for (const piece of pieces(of.points, GAP_MS)) {
    const path = piece.map((point, at) => `${at ? "L" : "M"}${x(point.at).toFixed(1)} ${y(Number(point.price)).toFixed(1)}`);
    parts.push(svg("path", { d: path.join("") + (piece.length === 1 ? "h0.1" : ""), class: "price" }));
  }
  parts.push(...marks(of.fills, x, y, box));
  const labels = lines.map((line) => ({ kind: line.kind, text: `${line.name} ${shown(line.value)}`, y: y(Number(line.value)) }));
  if (last) {
    const level = y(Number(last.price));
    parts.push(svg("circle", { cx: x(last.at), cy: level, r: 4, class: of.fresh ? "now" : "now old" }));
    labels.push({ kind: of.fresh ? "last" : "last old", text: `${of.fresh ? "Last" : "Old"} ${shown(last.price)}`, y: level });
  }
  for (const label of spread(labels, LABEL_PX, box.top, box.bottom)) {
    parts.push(svg("text", { x: box.right + 8, y: label.y + 4, class: `label ${label.kind}` }, label.text));
  }
  into.replaceChildren(...parts);
}

/** The same in words. */
export function words(symbol, of) {
  const last = of.points.at(-1);
  const price = last ? `${of.fresh ? "last price" : `old price of ${time(last.at)}`} ${shown(last.price)}` : "no price yet";
  const named = levels(of).map((level) => `${level.name.toLowerCase()} ${shown(level.value)}`);
  return `${[`${symbol}: ${price}`, ...named].join(", ")}.`;
}
