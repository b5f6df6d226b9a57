// Problem documents in words: what happened, and what to do next.
import type { Answer, Problem } from "../shared/api";

export interface Words {
  title: string;
  text: string;
  next: string;
  /** Mistakes by the name of their member. */
  fields: Record<string, string>;
}

const WORDS: Record<string, [title: string, next: string]> = {
  validation: ["Something in the form is not right", "Mend the marked fields."],
  malformed: ["The request was not understood", "Load this page again."],
  forbidden: ["Your token may not do this", "Sign in with a token of a higher role, or ask its owner."],
  "not-found": ["There is no such thing", "Check the number, or search for it."],
  ended: ["It has ended", "An ended drop takes no changes. Clone it to sell again."],
  "precondition-failed": ["Another operator has changed it meanwhile", "The form now has the newest version: look at it, and save again."],
  "illegal-transition": ["Its state does not allow this", "Look at its history for what happened meanwhile."],
  "order-expired": ["The order has expired", "Its units are free again. Record the payment only if money came."],
  "idempotency-key-reused": ["An earlier attempt was done with other values", "Close this form, and look at the result before you try again."],
  "beacon-not-taken": ["The beacon is not taken", "Look at the state of the draw."],
  overloaded: ["The queue is full", "Nothing was done. Try again in a moment."],
  "rate-limited": ["Too many requests at once", "Nothing was done. Try again in a moment."],
  draining: ["The server is stopping", "Nothing was done. It is tried again once the server is back."],
  "read-only": ["The server is read-only: nothing can be changed", "Free disk space, or end what holds the file: see the runbook of FirstcomeReadOnly."],
  "outcome-unknown": ["Whether it was done is not known", "Try again: it is done once at most."],
  "not-leader": ["Another node leads", "Open the console of the node that leads."],
  behind: ["This node is behind", "Try again in a moment."],
  "other-operator": ["Nothing was done yet", "Confirm once more to do it in your own name."],
  internal: ["The server failed", "See its log for the request below."],
};

/** Returns the words for an answer that is no success, or nothing for one that is. */
export function wordsFor<T>(answer: Answer<T>): Words | null {
  if (answer.kind === "ok" || answer.kind === "same") return null;
  if (answer.kind === "lost") {
    const text = "The connection broke before there was an answer.";
    return { title: "Whether it was done is not known", text, next: "Try again: it is done once at most.", fields: {} };
  }
  return wordsOf(answer.problem);
}

function wordsOf(problem: Problem): Words {
  const [title, next] = WORDS[problem.code] ?? ["It was not done", "Look at the reason, and try again."];
  // Of other refusals with this code the detail says what to do.
  if (problem.code === "forbidden" && !problem.detail.startsWith("The token's role")) return { title: "It is refused", text: problem.detail, next: "", fields: {} };
  const wait = problem.retryAfter ? ` The server asks to wait ${problem.retryAfter} s.` : "";
  const fields: Record<string, string> = {};
  const errors = problem.members["errors"];
  for (const error of Array.isArray(errors) ? (errors as { pointer: string; detail: string }[]) : []) {
    fields[error.pointer.slice(1)] = error.detail;
  }
  const id = problem.code === "internal" && problem.requestId ? ` Request ${problem.requestId}.` : "";
  const told = Array.isArray(errors) ? (errors as { pointer: string; detail: string }[]) : [];
  const text = told.map(({ pointer, detail }) => [pointer.slice(1).replaceAll(/[_/]/g, " "), detail].filter(Boolean).join(": ")).join("; ");
  return { title, text: (text || problem.detail) + id, next: next + wait, fields };
}
