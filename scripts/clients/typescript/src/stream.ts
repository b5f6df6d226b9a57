import { EventSourceParserStream } from "eventsource-parser/stream";

import { errorOf } from "./problem.ts";

/** One event of a stream: the state first, then the state after each change. */
export interface StreamEvent<T> {
  event: "snapshot" | "update";
  /** The version of the state, `epoch-seq`. */
  id: string;
  data: T;
}

/** The server sends a comment every 15 s: a stream that says nothing for so long is broken. */
const SILENCE_MAX_MS = 45_000;
const RECONNECT_MS = 1_000;

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}

/** Stops a connection on which nothing arrives. */
function watchdog(stop: () => void): { stream: TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>; end: () => void } {
  let timer = setTimeout(stop, SILENCE_MAX_MS);
  const stream = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(chunk, controller) {
      clearTimeout(timer);
      timer = setTimeout(stop, SILENCE_MAX_MS);
      controller.enqueue(chunk);
    },
  });
  return { stream, end: () => clearTimeout(timer) };
}

/**
 * Yields the events of a stream, and connects again when it ends: each connection begins with a snapshot. Ends when the signal
 * is aborted.
 *
 * @throws ProblemError if the server refuses the stream, such as `not-found`
 */
export async function* follow<T>(
  open: (signal: AbortSignal) => Promise<Response>,
  signal: AbortSignal,
): AsyncGenerator<StreamEvent<T>, void, undefined> {
  let reconnectMs = RECONNECT_MS;
  while (!signal.aborted) {
    const connection = new AbortController();
    const stop = () => connection.abort();
    signal.addEventListener("abort", stop, { once: true });
    const silence = watchdog(stop);
    try {
      const response = await open(connection.signal);
      if (!response.ok || response.body === null) {
        throw errorOf(response, await response.json().catch(() => ""));
      }
      const events = response.body
        .pipeThrough(silence.stream)
        .pipeThrough(new TextDecoderStream())
        .pipeThrough(new EventSourceParserStream({ onRetry: (ms) => (reconnectMs = ms) }));
      const reader = events.getReader();
      for (let read = await reader.read(); !read.done; read = await reader.read()) {
        const { event, id, data } = read.value;
        if (event === "snapshot" || event === "update") yield { event, id: id ?? "", data: JSON.parse(data) as T };
      }
    } catch (error) {
      const isBroken = error instanceof TypeError || connection.signal.aborted;
      if (!signal.aborted && !isBroken) throw error;
    } finally {
      silence.end();
      signal.removeEventListener("abort", stop);
      connection.abort();
    }
    await pause(reconnectMs, signal);
  }
}
