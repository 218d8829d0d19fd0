// Requests to the engine. Each ends in time, says why it failed, and shows the token where there is one.

const TIMEOUT_MS = 8_000;
const TOKEN = "strat.token";

/** A refusal or a failure: `code` is the engine's, or OFFLINE where nobody answered. */
export class Problem extends Error {
  constructor(code, status, detail, retryAfter = 0) {
    super(detail);
    this.code = code;
    this.status = status;
    this.retryAfterMs = retryAfter * 1_000;
  }

  /** Whether it is not known if a write was carried out. */
  get unknown() {
    return this.code === "OUTCOME_UNKNOWN" || this.code === "TIMEOUT" || this.code === "OFFLINE";
  }
}

/** Emits `unauthorized` where a token is needed or was refused, and `heard` with each answer. */
export const signals = new EventTarget();

export const token = {
  get: () => sessionStorage.getItem(TOKEN) ?? "",
  set: (text) => sessionStorage.setItem(TOKEN, text),
  forget: () => sessionStorage.removeItem(TOKEN),
};

/** Headers of a request, with those that it has of its own. */
export function headers(own = {}) {
  const known = token.get();
  return known ? { ...own, Authorization: `Bearer ${known}` } : own;
}

/** What a failed answer says. */
export async function problem(answer) {
  const body = await answer.json().catch(() => ({}));
  const after = Number.parseInt(answer.headers.get("Retry-After") ?? "", 10) || 0;
  const why = new Problem(body.code ?? `HTTP_${answer.status}`, answer.status, body.detail ?? `The engine answers ${answer.status}.`, after);
  if (answer.status === 401) signals.dispatchEvent(new CustomEvent("unauthorized", { detail: why }));
  return why;
}

async function send(path, options) {
  try {
    const answer = await fetch(path, { ...options, cache: "no-store", credentials: "omit", redirect: "error", signal: AbortSignal.timeout(TIMEOUT_MS) });
    signals.dispatchEvent(new Event("heard"));
    return answer;
  } catch (error) {
    const why = error.name === "TimeoutError" ? "The engine does not answer in time." : "The engine cannot be reached.";
    throw new Problem("OFFLINE", 0, why);
  }
}

async function body(answer) {
  if (!answer.ok) throw await problem(answer);
  if (answer.status === 202 || answer.status === 204) return null;
  return answer.json().catch(() => {
    throw new Problem("OFFLINE", 0, "The engine's answer broke off.");
  });
}

/** Reads; parameters that are empty are left out. */
export async function get(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== "" && value != null));
  return body(await send(query.size ? `${path}?${query}` : path, { headers: headers() }));
}

/** Writes. */
export async function write(method, path, content, own = {}) {
  const given = content === undefined ? {} : { body: JSON.stringify(content) };
  return body(await send(path, { method, headers: headers({ "Content-Type": "application/json", ...own }), ...given }));
}

/** What `/health` says, which has a body even where things are not well. */
export async function health() {
  const answer = await send("/health", {});
  return answer.json().catch(() => {
    throw new Problem("OFFLINE", 0, "The engine's answer broke off.");
  });
}

/** A part of a path. */
export const part = encodeURIComponent;
