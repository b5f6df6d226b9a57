// A resource that changes while it is looked at: by its event stream, and by polling with its ETag while there is no stream.

import { send } from "../shared/api";

const POLL_EVERY_MS = 2_000;
const STREAM_AGAIN_MS = 10_000;

/** Calls `changed` with each state of a resource, and `reached` with whether there is an answer. */
export function follow<T>(path: string, changed: (state: T) => void, reached: (isReached: boolean) => void): void {
  let etag: string | null = null;
  let stream: EventSource | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  async function poll(): Promise<void> {
    clearTimeout(timer);
    const answer = await send<T>(path, { etag });
    if (answer.kind === "ok") {
      etag = answer.etag;
      changed(answer.body);
    }
    reached(answer.kind === "ok" || answer.kind === "same");
    if (stream?.readyState !== EventSource.OPEN && !document.hidden) {
      const seconds = answer.kind === "problem" ? (answer.problem.retryAfter ?? 0) : 0;
      // Spread, so that the pages of a crowd do not ask at the same instant.
      timer = setTimeout(() => void poll(), Math.max(POLL_EVERY_MS, seconds * 1000) * (1 + Math.random() / 2));
    }
  }

  function listen(): void {
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
      if (stream?.readyState === EventSource.CLOSED) setTimeout(listen, STREAM_AGAIN_MS * (1 + Math.random()));
    });
  }

  // The first answer has the server's clock, which a stream's events do not.
  void poll();
  listen();
  // A hidden page holds no place among the streams.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(timer);
      stream?.close();
    } else {
      void poll();
      listen();
    }
  });
}
