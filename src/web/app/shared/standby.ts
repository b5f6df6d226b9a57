// The line of buyers who stand by for a drop that is sold out, and orders that a blind window has recorded: what the server says of
// them, and when a page asks again.

import { serverNow } from "./api";
import type { Words } from "./words";

/** What the server says of a buyer who stands by, or whose order is recorded. */
export interface Standby<Order = { id: string }> {
  state: "waiting" | "ordered" | "recorded" | "left";
  quantity: number;
  /** From 1. */
  position?: number;
  /** Buyers in the line. */
  standby: number;
  held: number;
  next_expiry_at?: string;
  order?: Order;
  /** Of a buyer who left without an order. */
  reason?: "limit" | "sold_out";
  /** The number of a recorded order, and the end of its window. */
  ticket?: number;
  decided_at?: string;
}

/** The line may move with each order of a storm, and the writer answers for it: a page asks at most so often, those that are far
 *  behind less, and each now and then. */
const ASK_EVERY_MS = 2_000;
const ASK_ALWAYS_MS = 60_000;
/** The pages of a crowd ask within this time what the draw decided, and again while it is not. */
const DECIDED_WITHIN_MS = 1_000;

/** What a browser keeps of a buyer in the line, and of one whose order is recorded. */
export const RECORDED = "recorded";

export function isRecorded(line: Standby<unknown> | undefined): boolean {
  return line?.state === RECORDED;
}

/** Returns the time until the end of the window of a recorded order. */
export function untilDecided(line: Standby<unknown> | undefined): number {
  return Date.parse(line?.decided_at ?? "") - serverNow();
}

/** Returns the instant, in milliseconds of this machine's clock, at which a page asks again although nothing has moved. */
export function nextLook(line?: Standby<unknown>): number {
  if (isRecorded(line)) return Date.now() + Math.max(untilDecided(line), DECIDED_WITHIN_MS / 2) + DECIDED_WITHIN_MS * Math.random();
  return Date.now() + ASK_ALWAYS_MS * (1 + Math.random());
}

/** Returns the instant at which a page asks again because the line has moved. */
export function soonerLook(line: Standby<unknown>, before: number): number {
  if (isRecorded(line)) return before;
  const wait = Math.min(ASK_ALWAYS_MS, ASK_EVERY_MS + (line.position ?? 1)) * (0.5 + Math.random());
  return Math.min(before, Date.now() + wait);
}

/** Returns the keys of the words for a buyer who left without an order. */
export function leftWords({ ticket, reason }: Standby<unknown>) {
  return [ticket ? "blind.missed" : "standby.left", reason === "limit" ? "blind.limit_text" : "blind.missed_text"] as const;
}

/** Returns the words of a place: its number, how many are ahead, how many units are held, and what will happen. */
export function placeWords(line: Standby<unknown> | undefined, { t, count }: Pick<Words, "t" | "count">) {
  const { position = 1, quantity = 1, held = 0 } = line ?? {};
  return {
    title: t("standby.place", { n: position }),
    ahead: count(Math.max(0, position - 1)),
    held: t("standby.held", { n: held }),
    text: `${t(held > 0 ? "standby.text" : "standby.text_none", { n: quantity })} ${t("standby.stay")}`,
  };
}
