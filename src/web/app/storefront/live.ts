// A resource that changes while it is looked at: by its event stream, and by polling with its ETag while there is no stream.

import { type Problem, send } from "../shared/api";

const POLL_EVERY_MS = 2_000;
const STREAM_AGAIN_MS = 10_000;

/** Calls `changed` with each state of a resource, and `reached` with whether there is an answer, and with the problem if it is
 *  one. Returns the function that ends it. */
export function follow<T>(path: string, changed: (state: T) => void, reached: (isReached: boolean, problem?: Problem) => void): () => void {
  let etag: string | null = null;
  let stream: EventSource | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let again: ReturnType<typeof setTimeout> | undefined;
  let isOver = false;

  async function poll(): Promise<void> {
    clearTimeout(timer);
    const answer = await send<T>(path, { etag });
    if (isOver) return;
    if (answer.kind === "ok") {
      etag = answer.etag;
      changed(answer.body);
    }
    if (answer.kind === "problem") reached(false, answer.problem);
    else reached(answer.kind !== "lost");
    if (stream?.readyState !== EventSource.OPEN && !document.hidden) {
      const seconds = answer.kind === "problem" ? (answer.problem.retryAfter ?? 0) : 0;
      // Spread, so that the pages of a crowd do not ask at the same instant.
      timer = setTimeout(() => void poll(), Math.max(POLL_EVERY_MS, seconds * 1000) * (1 + Math.random() / 2));
    }
  }

  function listen(): void {
    clearTimeout(again);
    stream?.close();
    stream = new EventSource(`${path}/stream`);
    const event = (message: MessageEvent<string>) => {
      clearTimeout(timer);
      reached(true);
      changed(JSON.parse(message.data) as T);
    };
    stream.addEventListener("snapshot", event);
    stream.addEventListener("update", event);
    stream.addEventListener("error", () => {
      void poll();
      // A browser gives a stream up after an answer such as 503: ask for it again.
      if (stream?.readyState === EventSource.CLOSED) again = setTimeout(listen, STREAM_AGAIN_MS * (1 + Math.random()));
    });
  }

  // The first answer has the server's clock, which a stream's events do not.
  void poll();
  listen();
  // A hidden page holds no place among the streams.
  const shown = () => {
    if (document.hidden) {
      clearTimeout(timer);
      clearTimeout(again);
      stream?.close();
    } else {
      void poll();
      listen();
    }
  };
  document.addEventListener("visibilitychange", shown);
  return () => {
    isOver = true;
    clearTimeout(timer);
    clearTimeout(again);
    stream?.close();
    document.removeEventListener("visibilitychange", shown);
  };
}
