// Elements, made and changed without a word of HTML: what comes from outside is text and stays text.

export const $ = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null && child !== false));
  return node;
}

/** An element with attributes and children. */
export const el = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);

/** The same of a drawing. */
export const svg = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

/** A button that does something. */
export function button(text, attributes, does) {
  const made = el("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", does);
  return made;
}

/** Says a text where another stood: what has not changed is left alone, for it would be read out again. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets or takes an attribute. */
export function mark(node, name, value) {
  if (value === false || value == null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value === true ? "" : value);
}

/** Puts these children into this order, and moves none that stands right. The one that has the focus keeps it. */
export function arrange(parent, children) {
  const focused = document.activeElement;
  let at = parent.firstChild;
  for (const child of children) {
    if (child === at) at = at.nextSibling;
    else parent.insertBefore(child, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
}
