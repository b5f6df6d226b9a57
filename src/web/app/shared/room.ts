// A waiting room in front of a drop: the public body, the buyer's ticket, and what follows from both. A position never changes, so
// that each page computes how many are ahead.

import type { Words } from "./words";

export interface Room {
  state: "closed" | "gathering" | "drawing" | "serving" | "over";
  paused: boolean;
  /** Milliseconds of all pauses that are over. */
  paused_ms: number;
  opens_at: string;
  starts_at: string;
  draw: "arrival" | "random";
  order_seconds: number;
  tickets: number;
  /** Tickets at positions below it have been admitted. */
  serving: number;
  /** Tickets whose time to order had not passed at the last admission. */
  admitted: number;
  available: number;
  /** Units in orders that are not paid: those may come back. */
  held?: number;
  /** Admitted buyers without an order who can still place one, and buyers who stand by: both come first. */
  idle?: number;
  standby?: number;
  rate?: number;
  /** The slowest and the fastest 10 seconds of the time of the rate. */
  rate_least?: number;
  rate_most?: number;
  odds: "open" | "none";
  updated_at: string;
}

/** What a server says of a ticket. */
export interface TicketAnswer {
  number: number;
  position?: number;
  paused: boolean;
  paused_ms: number;
  /** The end of the buyer's time to order, once admitted; not of one that stands still. */
  order_until?: string;
  digest?: string;
}

/** What a browser keeps of its ticket. */
export interface Ticket {
  number: number;
  position?: number;
  /** The end of the time to order as the server told it, in milliseconds since 1970. */
  until?: number;
  /** Whether the sale was paused at that answer, and the milliseconds of all pauses that were over. */
  paused?: boolean | undefined;
  paused_ms?: number | undefined;
  digest?: string;
  /** The room's opening: another one is another room, whose ticket this is not. */
  opens: string;
  /** The server's time at which the ticket was given, in milliseconds since 1970. */
  at?: number;
}

export type Stage =
  | "closed"
  | "gathering"
  | "drawing"
  /** Buyers are admitted, and this one has no ticket. */
  | "line"
  /** The position of the ticket has to be asked for. */
  | "unknown"
  | "waiting"
  | "admitted"
  | "passed"
  /** The buyer has an order, and the turn is used. */
  | "ordered"
  /** Every unit is sold. */
  | "none"
  | "over";

/** Returns the end of the buyer's time to order, in milliseconds since 1970, or 0 while it is not known: pauses since the answer
 *  moved it on. */
export function endOf(room: Room, ticket: Ticket | undefined): number {
  return ticket?.until ? ticket.until + Math.max(0, room.paused_ms - (ticket.paused_ms ?? 0)) : 0;
}

/** Returns whether the buyer's time to order has passed. In a pause no time passes: only an answer of that pause tells of an
 *  earlier end. */
function hasPassed(room: Room, ticket: Ticket, position: number, now: number): boolean | undefined {
  const end = endOf(room, ticket);
  return position < room.serving - room.admitted || (end > 0 && end <= now && (ticket.paused || !room.paused));
}

/** Returns the stage of a buyer. `hasOrder` is true for one who has an order that stands, and may not place another. */
export function stageOf(room: Room, ticket: Ticket | undefined, now: number, hasOrder = false): Stage {
  if (room.state !== "serving") return room.state;
  const position = ticket?.position;
  if (ticket !== undefined && position !== undefined && position < room.serving) {
    if (hasOrder) return "ordered";
    return hasPassed(room, ticket, position, now) ? "passed" : room.odds === "none" ? "none" : "admitted";
  }
  if (room.odds === "none") return "none";
  if (ticket === undefined) return "line";
  return position === undefined ? "unknown" : "waiting";
}

/** Returns whether a buyer at a stage may ask for an order: in their turn, and after it once every ticket has been admitted and
 *  more units are left than those who still have their turn may take. The body counts these at its own instant: once the time to order
 *  has passed since then, all turns have. */
export function mayAsk(room: Room, stage: Stage, now: number): boolean {
  if (stage !== "passed") return stage === "admitted";
  const idle = now - Date.parse(room.updated_at) < room.order_seconds * 1000 ? (room.idle ?? 0) : 0;
  return room.serving >= room.tickets && room.available > idle;
}

/** Returns how many have their turn before a position. */
export function aheadOf(room: Room, position: number): number {
  return Math.max(0, position - room.serving);
}

/** Returns how many units that are left or may come back those who have their turn and those who stand by leave. */
export function unitsOf(room: Room): number {
  return Math.max(0, room.available + (room.held ?? 0) - (room.idle ?? 0) - (room.standby ?? 0));
}

/** Milliseconds after which a measured rate says nothing more. */
export const RATE_FOR_MS = 30_000;

/** Returns the seconds until a turn, from and to, or nothing where no honest number is known: nobody is admitted at the moment,
 *  no unit is free, the figures are old, or not even the slowest part of the last 30 s let anybody in. */
export function estimateOf(room: Room, ahead: number, now: number): { from: number; until: number } | undefined {
  const { rate_least: least = 0, rate_most: most = 0 } = room;
  const isFresh = now - Date.parse(room.updated_at) < RATE_FOR_MS;
  if (room.state !== "serving" || room.paused || room.available <= 0 || !isFresh || least <= 0 || most <= 0) return undefined;
  return { from: ahead / most, until: (ahead + 1) / least };
}

/** Returns a range of seconds in words: `about 3 to 5 min`. */
export function spanText({ t }: Pick<Words, "t">, { from, until }: { from: number; until: number }): string {
  if (until <= 60) return t("room.soon");
  const [unit, seconds] = until < 5_400 ? ["min", 60] : ["hours", 3_600];
  const [low, high] = [Math.max(1, Math.floor(from / seconds)), Math.ceil(until / seconds)];
  return low === high ? t(`room.about_${unit}`, { n: high }) : t(`room.between_${unit}`, { low, n: high });
}

/** Milliseconds by which a page's guess of the server's clock is surely less wrong. */
const CLOCK_WITHIN_MS = 10_000;

/** Returns whether a kept ticket is of another room: one that opens at another instant, or that has fewer tickets long after this one
 *  was given. A server that begins anew has other rooms under the same numbers; a body from a cache is a little older than a ticket. */
export function isOfAnother(room: Room, ticket: Ticket): boolean {
  const isNewer = Date.parse(room.updated_at) > (ticket.at ?? Number.POSITIVE_INFINITY) + CLOCK_WITHIN_MS;
  return ticket.opens !== room.opens_at || (ticket.number > room.tickets && isNewer);
}

/** Returns a ticket as a browser keeps it. `now` is the server's time. */
export function ticketOf(answer: TicketAnswer, room: Room, now: number): Ticket {
  const until = answer.order_until === undefined ? Number.NaN : Date.parse(answer.order_until);
  return {
    number: answer.number,
    opens: room.opens_at,
    at: now,
    paused: answer.paused,
    paused_ms: answer.paused_ms,
    ...(answer.position === undefined ? {} : { position: answer.position }),
    ...(Number.isNaN(until) ? {} : { until }),
    ...(answer.digest === undefined ? {} : { digest: answer.digest }),
  };
}

/** Returns the phase of a ticket: a page asks once in each pause, and once after it, for the end of the buyer's time. */
export function phaseOf(room: Room, ticket: Ticket | undefined): string {
  return `${room.paused} ${room.paused_ms} ${ticket?.position}`;
}

/** Returns whether the server should be asked for the ticket again: for its position after the draw, and once for the end of the
 *  buyer's time, also when a pause begins or ends. `askedIn` is the phase in which it was asked for last. */
export function needsAnswer(room: Room, ticket: Ticket | undefined, askedIn: string): boolean | undefined {
  if (ticket === undefined || room.state !== "serving") return false;
  if (ticket.position === undefined) return true;
  const isAdmitted = ticket.position < room.serving && ticket.position >= room.serving - room.admitted;
  return isAdmitted && (room.paused ? !ticket.paused : ticket.paused || !ticket.until) && askedIn !== phaseOf(room, ticket);
}
