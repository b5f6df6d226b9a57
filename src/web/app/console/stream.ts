// The stream of figures: one request that does not end, read with `fetch`, because it carries a token. It begins again by itself.
import { reactive } from "./reactive";
import { authorization, session, signedIn } from "./session";

export interface Point {
  at: string;
  orders: number;
  turned_down: number;
  queue_depth: number;
  p99_ms?: number;
}

export interface Rates {
  events: number;
  orders: number;
  refused: number;
  rejected: number;
  errors: number;
  bids: number;
  outcomes: { name: string; level: "normal" | "warning" | "alarm"; per_second: number }[];
  latencies: { stage: string; per_second: number; p50_ms?: number; p99_ms?: number }[];
}

export interface Stock {
  id: number;
  name: string;
  total: number;
  available: number;
  held: number;
  sold: number;
}

export interface Frame {
  at: string;
  seq: number;
  read_only: boolean;
  queue_depth: number;
  queue_capacity: number;
  rates?: Rates;
  gauges: Record<string, number>;
  drops: Stock[];
  auctions: { id: number; name: string; current?: number; bids: number; ends_at: string }[];
  recent?: Point[];
}

export const stream = reactive({
  frame: null as Frame | null,
  /** The last frame came within the last seconds. */
  isLive: false,
  /** Why there is no stream, in words. */
  trouble: "",
  peak: 0,
  /** Changes with every point of the charts. */
  points: 0,
});

/** The points of the charts, the newest last. Not reactive: five minutes of them are drawn, not watched. */
export const points: Point[] = [];
const POINTS_MAX = 300;
const SILENT_MS = 4000;

let heardAt = 0;
let reading = new AbortController();

function take(frame: Frame): void {
  heardAt = Date.now();
  if (frame.recent) points.splice(0, points.length, ...frame.recent);
  const rates = frame.rates;
  if (rates && points.at(-1)?.at !== frame.at) {
    const p99 = rates.latencies.find((latency) => latency.stage === "order")?.p99_ms;
    const turned_down = rates.refused + rates.rejected;
    points.push({ at: frame.at, orders: rates.orders, turned_down, queue_depth: frame.queue_depth, ...(p99 === undefined ? {} : { p99_ms: p99 }) });
    points.splice(0, points.length - POINTS_MAX);
  }
  stream.peak = points.reduce((most, point) => Math.max(most, point.orders), 0);
  stream.frame = frame;
  stream.points += 1;
  stream.isLive = true;
  stream.trouble = "";
}

/** Reads events until the stream ends. */
async function listen(response: Response): Promise<void> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (reader) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const events = text.split("\n\n");
    text = events.pop() ?? "";
    for (const event of events) {
      const data = event.split("\n").find((line) => line.startsWith("data: "));
      if (data) take(JSON.parse(data.slice(6)) as Frame);
      else heardAt = Date.now();
    }
  }
}

const pause = (ms: number) => new Promise((go) => setTimeout(go, ms));

/** Follows the server for as long as the page is open. */
export async function follow(): Promise<void> {
  setInterval(() => {
    if (!stream.isLive || Date.now() - heardAt <= SILENT_MS) return;
    stream.isLive = false;
    stream.trouble = "The server has been silent for some seconds.";
    // A connection that hangs says nothing of its end.
    reading.abort();
  }, 1000);
  let wait = 500;
  for (;;) {
    if (session.me === null) await pause(200);
    else {
      try {
        reading = new AbortController();
        const response = await fetch("/v1/console/stream", { headers: authorization(), cache: "no-store", credentials: "omit", signal: reading.signal });
        if (response.status === 401) await signedIn("Your token has expired or was revoked. Sign in again: what you began goes on.");
        else if (response.ok) {
          wait = 500;
          await listen(response);
          stream.trouble = "The stream of figures has ended.";
        } else {
          const text = ((await response.json()) as { detail?: string }).detail;
          stream.trouble = text ?? `The server answers ${response.status}.`;
          wait = Math.max(wait, Number(response.headers.get("Retry-After")) * 1000);
        }
      } catch {
        if (!reading.signal.aborted) stream.trouble = "The server does not answer.";
      }
      stream.isLive = false;
      await pause(wait + Math.random() * 300);
      wait = Math.min(wait * 2, 5000);
    }
  }
}
