// The HTTP API, from the engine's own OpenAPI document: routes by tag, what they take and answer, and a form to try each.

import { get, token } from "./api.js";
import { attempt } from "./attempt.js";
import { $, el, mark, say } from "./dom.js";
import * as prefs from "./prefs.js";
import { example, fields, found, named, type } from "./schema.js";

const METHODS = ["get", "post", "put", "patch", "delete"];
const PROBLEM = "default";

const link = (name) => el("a", { href: `#schema-${name}` }, name);
const words = (schema) => type(schema).map((word) => (word.schema ? link(word.schema) : word));
const json = (value) => el("pre", { tabindex: "0", "aria-label": "Example" }, JSON.stringify(value, null, 2));

function table(caption, headings, rows) {
  const head = el("thead", {}, el("tr", {}, ...headings.map((name) => el("th", { scope: "col" }, name))));
  const body = el("tbody", {}, ...rows.map(([first, ...rest]) => el("tr", {}, el("th", { scope: "row" }, first), ...rest.map((cell) => el("td", {}, ...[cell].flat())))));
  return el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption }, el("table", {}, el("caption", { class: "unseen" }, caption), head, body));
}

const described = (schema) => (schema.description ? el("p", {}, schema.description) : null);

function fieldTable(caption, schema) {
  const rows = fields(schema).map((field) => [el("code", {}, field.name), [field.required ? "" : "optional, ", ...words(field.schema)], field.schema.description ?? ""]);
  return rows.length ? table(caption, ["Field", "Type", "What"], rows) : null;
}

function parameters(operation) {
  const rows = (operation.parameters ?? []).map((one) => [el("code", {}, one.name), `${one.in}${one.required ? ", needed" : ""}`, words(one.schema), one.description ?? ""]);
  return rows.length ? [el("h4", {}, "Parameters"), table("Parameters", ["Name", "Where", "Type", "What"], rows)] : [];
}

function body(document, operation) {
  const schema = operation.requestBody?.content?.["application/json"]?.schema;
  if (!schema) return [];
  return [el("h4", {}, "Body"), el("p", {}, ...words(schema)), fieldTable("Body", found(document, schema)), json(example(document, schema))];
}

function answers(document, operation) {
  const of = ({ content }) => Object.values(content ?? {})[0]?.schema;
  const all = Object.entries(operation.responses);
  const rows = all.map(([status, answer]) => [status === PROBLEM ? "otherwise" : status, answer.description ?? "", of(answer) ? words(of(answer)) : ""]);
  const good = all.map(([status, answer]) => (status.startsWith("2") ? of(answer) : null)).find((schema) => schema && (named(schema) || schema.properties));
  return [el("h4", {}, "Answers"), table("Answers", ["Status", "What", "Body"], rows), good ? json(example(document, good)) : null];
}

/** What is inside is made when it is first opened: most are never looked at. */
function route(document, one) {
  const { operation, method, path } = one;
  const summary = el("summary", {}, el("span", { class: "method", "data-method": method }, method), el("code", {}, path), el("span", { class: "dim" }, operation.summary ?? operation.description ?? ""));
  const details = el("details", { id: operation.operationId, class: "route" }, summary);
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    const inner = [described(operation), ...parameters(operation), ...body(document, operation), ...answers(document, operation), el("h4", {}, "Try it"), attempt(document, one)];
    details.append(el("div", { class: "inner" }, ...inner.filter(Boolean)));
  });
  return details;
}

function routes(document) {
  const byTag = new Map();
  for (const [path, item] of Object.entries(document.paths)) {
    for (const method of METHODS.filter((name) => item[name])) {
      const operation = item[method];
      const tag = operation.tags?.[0] ?? "other";
      if (!byTag.has(tag)) byTag.set(tag, []);
      byTag.get(tag).push({ path, method: method.toUpperCase(), operation });
    }
  }
  for (const [tag, all] of [...byTag].sort(([a], [b]) => (a < b ? -1 : 1))) {
    $("tags").append(el("li", {}, el("a", { href: `#tag-${tag}` }, `${tag} `, el("small", {}, String(all.length)))));
    $("by-tag").append(el("section", { "aria-labelledby": `tag-${tag}` }, el("h2", { id: `tag-${tag}` }, tag), ...all.map((one) => route(document, one))));
  }
}

function schemas(document) {
  for (const [name, schema] of Object.entries(document.components?.schemas ?? {})) {
    $("all-schemas").append(el("section", {}, el("h3", { id: `schema-${name}` }, name), described(schema) ?? "", fieldTable(name, schema) ?? ""));
  }
}

/** Shows the routes whose path, tag or words have this text. */
function find(text) {
  const wanted = text.trim().toLowerCase();
  for (const section of $("by-tag").children) {
    const all = [...section.querySelectorAll(".route")];
    for (const one of all) mark(one, "hidden", !one.querySelector("summary").textContent.toLowerCase().includes(wanted) && !section.firstElementChild.textContent.includes(wanted));
    mark(section, "hidden", all.every((one) => one.hidden));
  }
}

/** Opens what the address names. */
function go() {
  const target = location.hash ? $(decodeURIComponent(location.hash.slice(1))) : null;
  if (!target) return;
  if (target.closest("[hidden]")) {
    $("find").value = "";
    find("");
  }
  if (target.matches("details")) target.open = true;
  target.scrollIntoView({ block: "start" });
}

async function whoAsks() {
  const has = token.get() !== "";
  $("who-field").hidden = has;
  say($("who-button"), has ? "Forget the token" : "Use");
  try {
    const me = await get("/api/v1/token");
    say($("who-text"), `You are ${me.name || me.kind}${me.admin ? ", and may do everything" : ""}.`);
  } catch (error) {
    say($("who-text"), error.message);
  }
}

$("who").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = event.target.elements.token;
  if (token.get()) token.forget();
  else if (input.value.trim()) token.set(input.value.trim());
  input.value = "";
  whoAsks();
});
$("find").addEventListener("input", ({ target }) => find(target.value));
addEventListener("hashchange", go);
prefs.colours();
whoAsks();
try {
  const document = await get("/api/openapi.json");
  say($("about"), document.info.description);
  routes(document);
  schemas(document);
  go();
} catch (error) {
  say($("about"), `${error.message} Load the page again.`);
}
