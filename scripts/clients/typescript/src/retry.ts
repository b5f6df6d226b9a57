import { retryAfterOf } from "./problem.ts";

/** How requests are repeated. */
export interface RetryOptions {
  /** Attempts of one request, the first included. Default 6. */
  attempts?: number;
  /** The time limit of one attempt in milliseconds. Default 30 000. */
  attemptTimeoutMs?: number;
  /** The longest `Retry-After` that is waited for, in milliseconds. Default 60 000. */
  waitMaxMs?: number;
  /** Waits; tests give another one. */
  sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

const SAFE_TO_REPEAT = new Set(["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]);
/** Commands whose repeat gets the same answer without a key. */
const REPEATABLE_COMMAND = /\/(checkout|cancel|pause|resume|close|payments)$/;
const FIRST_WAIT_MS = 100;
const LAST_WAIT_MS = 5_000;

/** Returns whether two requests have the effect of one: by the method, by the command, or because the server knows the key. */
function isIdempotent(request: Request): boolean {
  if (SAFE_TO_REPEAT.has(request.method) || request.headers.has("Idempotency-Key")) return true;
  return REPEATABLE_COMMAND.test(new URL(request.url).pathname);
}

async function wait(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}

/** Returns what a 503 says of the effect: `no` is never an effect, `unknown` may be one. */
async function appliedOf(response: Response): Promise<{ applied?: unknown; code?: unknown }> {
  try {
    const body: unknown = await response.clone().json();
    return typeof body === "object" && body !== null ? body : {};
  } catch {
    return {};
  }
}

async function mayRepeat(request: Request, response: Response): Promise<boolean> {
  if (response.status === 429) return true;
  if (response.status === 502 || response.status === 504) return isIdempotent(request);
  if (response.status !== 503) return false;
  const { applied, code } = await appliedOf(response);
  // A pause is an operator's decision, and may last.
  if (code === "drop-paused") return false;
  return applied === "no" || isIdempotent(request);
}

function backoff(attempt: number): number {
  const most = Math.min(LAST_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempt - 1));
  return most / 2 + (Math.random() * most) / 2;
}

/**
 * Returns a fetch that repeats what had no effect, or is the same when repeated, with the same headers and so with the same
 * `Idempotency-Key`. `Retry-After` is honoured.
 */
export function retryingFetch(options: RetryOptions = {}, send: typeof fetch = fetch): (request: Request) => Promise<Response> {
  const { attempts = 6, attemptTimeoutMs = 30_000, waitMaxMs = 60_000, sleep = wait } = options;
  return async (request) => {
    for (let attempt = 1; ; attempt += 1) {
      const last = attempt >= attempts;
      const limit = AbortSignal.timeout(attemptTimeoutMs);
      let response: Response;
      try {
        response = await send(request.clone(), { signal: AbortSignal.any([request.signal, limit]) });
      } catch (error) {
        if (request.signal.aborted || last || !isIdempotent(request)) throw error;
        await sleep(backoff(attempt), request.signal);
        continue;
      }
      if (last || !(await mayRepeat(request, response))) return response;
      const retryAfter = retryAfterOf(response.headers);
      const pause = retryAfter === undefined ? backoff(attempt) : retryAfter * 1_000;
      if (pause > waitMaxMs) return response;
      await response.body?.cancel();
      await sleep(pause, request.signal);
    }
  };
}
