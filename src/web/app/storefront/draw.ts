// The draw of a waiting room or a blind window and its proof, in plain words with the values that prove it.

import { send } from "../shared/api";
import type { Draw } from "../shared/draw";
import type { Ticket } from "../shared/room";
import { instant, t } from "../shared/words";

/** The pause before a draw is asked for again, in seconds, where the server names none. */
const ASK_AGAIN_SECONDS = 2;

/**
 * Returns a draw with a ticket's proof. The server computes proofs beside the sale, so it may have no time for an answer: the draw is
 * asked for again as long as `isWanted`. Without one, the answer is undefined.
 */
export async function askForDraw(link: string, isWanted: () => boolean): Promise<Draw | undefined> {
  while (isWanted()) {
    const answer = await send<Draw>(link);
    if (answer.kind === "ok") return answer.body;
    const problem = answer.kind === "problem" ? answer.problem : undefined;
    if (problem && problem.status !== 429 && problem.status !== 503) return undefined;
    const seconds = problem?.retryAfter ?? ASK_AGAIN_SECONDS;
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
  return undefined;
}

/**
 * Returns the command that recomputes a draw of this shop, in several lines, as a shell takes it. The digest that came
 * with the ticket is the buyer's own note: the server's is compared with it.
 */
export function verifyCommand(drop: string, ticket?: number, digest?: string): string {
  const parts = ["firstcome draw verify", `--url ${location.origin}`, `--drop ${drop}${ticket ? ` --ticket ${ticket}` : ""}`];
  if (digest) parts.push(`--digest ${digest}`);
  return parts.join(" \\\n  ");
}

export interface ProofStep {
  tone: string;
  text: string;
  value: string;
}

/** Returns whether a ticket was taken after those of the draw were fixed. */
export function isLate(draw: Draw, ticket: Ticket | undefined): boolean {
  return draw.tickets !== undefined && (ticket?.number ?? 0) > draw.tickets.count;
}

/** The words for what is drawn: tickets of a room, or orders of a blind window. */
const WORDS = {
  room: { commitment: "draw.commitment", drawn: "draw.tickets", later: "draw.tickets_later", seed: "draw.seed", own: "draw.own" },
  blind: { commitment: "blind.commitment", drawn: "blind.orders", later: "blind.orders_later", seed: "blind.seed", own: "blind.own" },
} as const;

/** Returns the steps of a draw in their order, those that are still to come, too. */
export function proofSteps(draw: Draw, ticket: Ticket | undefined, hasBeacon: boolean, of: keyof typeof WORDS = "room"): ProofStep[] {
  const words = WORDS[of];
  const { commitment, seed, beacon, beacon_source: source, tickets, ticket: proven } = draw;
  const step = (isDone: boolean, text: string, value = "") => ({ tone: isDone ? "good" : "next", text, value });
  const steps = [step(true, t(words.commitment), commitment)];
  if (draw.state === "cancelled") {
    if (tickets) steps.push(step(true, t(words.drawn, { n: tickets.count }), tickets.root));
    return [...steps, { tone: "bad", text: t("draw.cancelled"), value: "" }];
  }
  steps.push(tickets ? step(true, t(words.drawn, { n: tickets.count }), tickets.root) : step(false, t(words.later)));
  if (beacon) steps.push(step(true, t("draw.beacon", { source: source ?? "" }), beacon));
  else if (hasBeacon && !seed) {
    const until = draw.beacon_until;
    steps.push(step(false, until ? t("draw.beacon_until", { at: instant(until) }) : t("draw.beacon_later")));
  } else if (hasBeacon) steps.push(step(true, t("draw.beacon_missed")));
  steps.push(seed ? step(true, t(words.seed), seed) : step(false, t("draw.seed_later")));
  const position = proven?.position ?? ticket?.position;
  if (ticket?.position !== undefined && isLate(draw, ticket)) {
    steps.push({ tone: "next", text: t("draw.late", { number: ticket.number, n: ticket.position + 1 }), value: "" });
  }
  if (seed && proven && position !== undefined) {
    // The digest that the buyer was given with the ticket: another one here would be another ticket.
    const isOwn = ticket?.digest === undefined || ticket.digest === proven.digest;
    const text = t(isOwn ? words.own : "draw.not_own", { number: proven.number, n: position + 1 });
    steps.push({ tone: isOwn ? "good" : "bad", text, value: proven.digest });
  }
  return steps;
}
