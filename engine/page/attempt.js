// Sends one request of the document, as whoever has the token of this tab, and shows what comes.

import { headers, part, token } from "./api.js";
import { el, say } from "./dom.js";
import { example } from "./schema.js";

const TIMEOUT_MS = 8_000;
/** A stream of events does not end: so long it is listened to. */
const STREAM_MS = 4_000;
const SHOWN_CHARS_MAX = 20_000;
const JSON_TYPE = "application/json";
const TOLD = ["content-type", "etag", "location", "retry-after", "ratelimit-remaining", "ratelimit-reset", "x-request-id"];

let number = 0;

function field(document, parameter) {
  const id = `try-${++number}`;
  const given = parameter.required ? example(document, parameter.schema, parameter.name) : "";
  const value = parameter.name === "If-Match" ? "*" : parameter.name === "confirm" ? "" : given;
  const input = el("input", { id, name: parameter.name, "data-in": parameter.in, value: String(value), required: Boolean(parameter.required), autocomplete: "off", spellcheck: "false" });
  return el("div", {}, el("label", { for: id }, `${parameter.name}${parameter.required ? "" : " (optional)"}`), input);
}

/** What is to be sent: `{path, options}`. */
function request(form, route) {
  const query = new URLSearchParams();
  const own = {};
  let path = route.path;
  for (const { name, value, dataset } of form.querySelectorAll("input[data-in]")) {
    if (dataset.in === "path") path = path.replace(`{${name}}`, part(value));
    else if (value === "") continue;
    else if (dataset.in === "query") query.set(name, value);
    else own[name] = value;
  }
  const body = form.querySelector("textarea")?.value;
  if (body !== undefined) own["Content-Type"] = JSON_TYPE;
  return { path: query.size ? `${path}?${query}` : path, method: route.method, own, body };
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The same for a shell. The token is not written out. */
export function command({ path, method, own, body }) {
  const words = ["curl", method === "GET" ? "" : `-X ${method}`, token.get() ? '-H "Authorization: Bearer $TOKEN"' : ""];
  words.push(...Object.entries(own).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`));
  if (body !== undefined) words.push(`-d ${quoted(body)}`);
  words.push(quoted(location.origin + path));
  return words.filter(Boolean).join(" ");
}

/** What a stream says within a while. */
async function listen(answer, abort) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const timer = setTimeout(() => abort.abort(), STREAM_MS);
  let text = "";
  try {
    while (text.length < SHOWN_CHARS_MAX) {
      const { done, value } = await reader.read();
      if (done) break;
      text += value;
    }
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
  return `${text}\n(listened for ${STREAM_MS / 1_000} s)`;
}

async function read(answer, abort) {
  const type = answer.headers.get("Content-Type") ?? "";
  if (type.startsWith("text/event-stream")) return listen(answer, abort);
  const text = await answer.text();
  try {
    return type.includes("json") && text ? JSON.stringify(JSON.parse(text), null, 2) : text;
  } catch {
    return text;
  }
}

async function send(wanted) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), TIMEOUT_MS);
  try {
    const { path, method, own, body } = wanted;
    const answer = await fetch(path, { method, headers: headers(own), body, cache: "no-store", credentials: "omit", redirect: "error", signal: abort.signal });
    const told = TOLD.filter((name) => answer.headers.has(name)).map((name) => `${name}: ${answer.headers.get(name)}`);
    return { ok: answer.ok, status: `${answer.status} ${answer.statusText}`, told, text: (await read(answer, abort)).slice(0, SHOWN_CHARS_MAX) };
  } catch {
    const lost = wanted.method === "GET" ? "" : " It may have been carried out all the same: look before you repeat it.";
    return { ok: false, status: `The engine does not answer.${lost}`, told: [], text: "" };
  } finally {
    clearTimeout(timer);
  }
}

/** A form that sends the route's request, with a place for the answer. */
export function attempt(document, route) {
  const { operation, method } = route;
  const content = operation.requestBody?.content?.[JSON_TYPE];
  const inputs = (operation.parameters ?? []).map((parameter) => field(document, parameter));
  if (content) {
    const id = `try-${++number}`;
    inputs.push(el("div", { class: "wide" }, el("label", { for: id }, "Body"), el("textarea", { id, rows: "8", spellcheck: "false" }, JSON.stringify(example(document, content.schema), null, 2))));
  }
  const button = el("button", { type: "submit", class: method === "GET" ? "primary" : "danger" }, method === "GET" ? "Send" : `Send: ${method} is carried out`);
  const shell = el("pre", { class: "shell", tabindex: "0", "aria-label": "The same for a shell" });
  const status = el("p", { class: "status", role: "status" });
  const head = el("pre", { tabindex: "0", "aria-label": "Headers of the answer", hidden: true });
  const body = el("pre", { tabindex: "0", "aria-label": "Body of the answer", hidden: true });
  const form = el("form", { class: "attempt" }, el("div", { class: "fields" }, ...inputs), el("div", { class: "choices" }, button), shell, status, head, body);
  const tell = () => say(shell, command(request(form, route)));
  form.addEventListener("input", tell);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    say(status, "…");
    tell();
    const answer = await send(request(form, route));
    button.disabled = false;
    status.dataset.ok = answer.ok ? "yes" : "no";
    say(status, answer.status);
    say(head, answer.told.join("\n"));
    say(body, answer.text);
    head.hidden = !answer.told.length;
    body.hidden = !answer.text;
  });
  tell();
  return form;
}
