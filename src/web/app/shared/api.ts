// Requests to the server: its clock, its problems, and what to do with an answer that did not come.

/** The problem document of an answer that is not a success (src/http/README.md, Errors). */
export interface Problem {
  code: string;
  status: number;
  detail: string;
  requestId: string;
  /** Seconds, from `Retry-After`. */
  retryAfter?: number;
  /** The members of this kind of problem. */
  members: Record<string, unknown>;
}

export type Answer<T> =
  | { kind: "ok"; body: T; etag: string | null; status: number; replayed: boolean }
  | { kind: "same" }
  | { kind: "problem"; problem: Problem }
  /** No answer: whether anything was done is not known. */
  | { kind: "lost" };

/** The milliseconds that the server's clock is ahead of this machine's, and the width of the guess. */
let ahead = 0;
let roundTrip = Number.POSITIVE_INFINITY;

/** Returns the server's time in milliseconds since 1970. */
export function serverNow(): number {
  return Date.now() + ahead;
}

/** Learns the server's clock from an answer. The quickest answer is the best guess, for a minute. */
function learnClock(header: string | null, sent: number): void {
  const told = Number(header);
  const took = performance.now() - sent;
  if (!header || !Number.isFinite(told)) return;
  roundTrip += 0.01;
  if (took <= roundTrip) {
    roundTrip = took;
    ahead = told + took / 2 - Date.now();
  }
}

/** Starts from the time that the server wrote into the page: a first guess until an answer comes. */
export function startClock(now: number): void {
  if (Number.isFinite(now) && now > 0 && roundTrip === Number.POSITIVE_INFINITY) ahead = now - Date.now();
}

export interface Call {
  method?: "GET" | "POST" | "PATCH" | "PUT" | "DELETE";
  body?: unknown;
  token?: string | null;
  headers?: Record<string, string>;
  etag?: string | null;
  signal?: AbortSignal;
}

const ANSWER_WITHIN_MS = 15_000;

export async function send<T>(url: string, call: Call = {}): Promise<Answer<T>> {
  const headers: Record<string, string> = { Accept: "application/json", ...call.headers };
  if (call.token) headers["Authorization"] = `Bearer ${call.token}`;
  if (call.etag) headers["If-None-Match"] = call.etag;
  const init: RequestInit = { method: call.method ?? "GET", headers, cache: "no-store", credentials: "omit" };
  if (call.body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(call.body);
  }
  const timeout = AbortSignal.timeout(ANSWER_WITHIN_MS);
  init.signal = call.signal ? AbortSignal.any([timeout, call.signal]) : timeout;
  const sent = performance.now();
  try {
    const response = await fetch(url, init);
    learnClock(response.headers.get("Firstcome-Time-Ms"), sent);
    if (response.status === 304) return { kind: "same" };
    const text = await response.text();
    if (response.ok) {
      const replayed = response.headers.get("Idempotent-Replayed") === "true";
      const body = (text ? JSON.parse(text) : null) as T;
      return { kind: "ok", body, etag: response.headers.get("ETag"), status: response.status, replayed };
    }
    return { kind: "problem", problem: problemOf(response, text) };
  } catch {
    return { kind: "lost" };
  }
}

function problemOf(response: Response, text: string): Problem {
  let members: Record<string, unknown> = {};
  try {
    members = JSON.parse(text) as Record<string, unknown>;
  } catch {
    // A proxy's page, or an answer without a body.
  }
  const seconds = Number(response.headers.get("Retry-After"));
  return {
    code: typeof members["code"] === "string" ? members["code"] : response.status >= 500 ? "outcome-unknown" : "malformed",
    status: response.status,
    detail: typeof members["detail"] === "string" ? members["detail"] : "",
    requestId: response.headers.get("Request-Id") ?? "",
    ...(seconds > 0 ? { retryAfter: seconds } : {}),
    members,
  };
}
