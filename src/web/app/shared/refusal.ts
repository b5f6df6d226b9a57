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

/** Labels of fields by their JSON pointers. */
const FIELDS: Record<string, string> = {
  "/contact": "order.contact", "/contact/email": "order.email", "/contact/name": "order.name", "/contact/phone": "order.phone",
  "/contact/address": "order.address", "/quantity": "drop.quantity", "/buyer": "drop.buyer", "/amount": "auction.amount",
  "/maximum": "auction.maximum",
};

/** Returns the fields that a validation problem names, by their labels. */
function fieldsOf(problem: Problem, { t, hasText }: Pick<Words, "t" | "hasText">): string {
  const errors = (problem.members["errors"] ?? []) as { pointer?: string }[];
  const keys = errors.map(({ pointer = "" }) => FIELDS[pointer] ?? "");
  return [...new Set(keys.filter((key) => hasText(key)))].map((key) => t(key)).join(", ");
}

/** Returns the words for a problem. The detail of a problem is for programs, in English: it is not shown. */
export function refusalOf(problem: Problem, { t, hasText }: Pick<Words, "t" | "hasText">, values: Record<string, string | number> = {}): Refusal {
  const fields = fieldsOf(problem, { t, hasText });
  const isKnown = hasText(`problem.${problem.code}`) && (problem.code !== "validation" || fields !== "");
  const key = isKnown ? problem.code : problem.status >= 500 ? "outcome-unknown" : "other";
  const numbers: Record<string, string | number> = { fields, ...values };
  for (const [name, value] of Object.entries(problem.members)) {
    if (typeof value === "number" && !(name in numbers)) numbers[name] = value;
  }
  const isReported = problem.requestId !== "" && (!isKnown || problem.status >= 500);
  return {
    tone: isTransient(problem) ? "warn" : "bad",
    title: t(`problem.${key}`),
    text: t(`problem.${key}.text`, numbers),
    reference: isReported ? t("try.reference", { id: problem.requestId }) : "",
  };
}
