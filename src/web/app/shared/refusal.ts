// A refusal in words: what happened, with its numbers, and its reference.

import type { Problem } from "./api";
import type { Words } from "./words";

/** Problems after which a page tries again by itself: nothing was decided, or the same key asks for what was. */
const TRANSIENT = new Set(["overloaded", "draining", "read-only", "outcome-unknown", "not-leader", "behind", "rate-limited", "drop-paused", "internal"]);

export function isTransient(problem: Problem): boolean {
  return TRANSIENT.has(problem.code) || problem.status >= 500;
}

/** Tries of one wish in a row, after which a page waits for the buyer. */
export const TRIES_MAX = 30;

export interface Refusal {
  tone: string;
  title: string;
  text: string;
  /** A sentence with the number of the request, where the shop could be asked; else empty. */
  reference: string;
}

/** Returns the words for a problem. */
export function refusalOf(problem: Problem, { t, hasText }: Pick<Words, "t" | "hasText">, values: Record<string, string | number> = {}): Refusal {
  const key = hasText(`problem.${problem.code}`) ? problem.code : "other";
  const numbers: Record<string, string | number> = { detail: problem.detail, ...values };
  for (const [name, value] of Object.entries(problem.members)) {
    if (typeof value === "number" && !(name in numbers)) numbers[name] = value;
  }
  const isReported = problem.requestId !== "" && (key === "other" || problem.status >= 500);
  return {
    tone: isTransient(problem) ? "warn" : "bad",
    title: t(`problem.${key}`),
    text: t(`problem.${key}.text`, numbers),
    reference: isReported ? t("try.reference", { id: problem.requestId }) : "",
  };
}
