// The audit: rows in words, and a reader of its stream of lines.
import { count } from "../shared/words";
import { price, spoken } from "./format";
import { ask, authorization, signedIn } from "./session";
import type { AuditRow, Drop } from "./shapes";

/** The currencies of drops, which rows do not have. An empty text: it is not known. */
const currencies = new Map<number, string>();
/** Drops that are asked for their currency, for one piece of the stream. */
const ASKED_MAX = 20;

/** Learns the currencies of the drops that rows with an amount name. */
async function learnCurrencies(rows: AuditRow[]): Promise<void> {
  const unknown = new Set(rows.filter((row) => row.amount !== undefined).map((row) => row.drop_id));
  for (const id of [...unknown].filter((one) => one !== undefined && !currencies.has(one)).slice(0, ASKED_MAX)) {
    const answer = await ask<Drop>(`/v1/console/drops/${id}`);
    currencies.set(id as number, answer.kind === "ok" ? answer.body.currency : "");
  }
}

const WORDS: Record<string, string> = {
  drop_created: "Drop {drop} was created with {units}",
  drop_started: "Drop {drop} went on sale",
  drop_ended: "Drop {drop} ended",
  drop_paused: "Drop {drop} was paused",
  drop_resumed: "Drop {drop} was resumed",
  drop_closed: "Drop {drop} was closed",
  drop_patched: "Drop {drop} was changed",
  stock_adjusted: "The total of drop {drop} was changed by {units}",
  mismatch_found: "Drop {drop} was paused: its counters and the recount disagree",
  mismatch_cleared: "The counters of drop {drop} agree again",
  order_reserved: "{order} reserved {units}",
  order_checked_out: "{order} went to payment",
  order_paid: "{order} was paid",
  order_retaken: "{order} was paid late, and took its units again",
  order_cancelled: "{order} was cancelled",
  order_expired: "{order} expired",
  order_refunded: "{order} was refunded {amount}",
  payment_not_kept: "A payment for {order} is due to its buyer",
  refund_requested: "A refund of {order} was requested",
  refund_settled: "A refund of {order} was settled",
  contact_read: "The contact of {order} was read",
  contact_erased: "The contact of {order} was erased",
  contacts_exported: "Contacts of buyers were exported",
  bid_placed: "A bid was placed",
  room_opened: "The waiting room of drop {drop} opened",
  ticket_taken: "A ticket of drop {drop} was taken",
  room_served: "Buyers were admitted to drop {drop}",
  room_tickets_fixed: "The tickets of drop {drop} were fixed for its draw",
  room_beacon_posted: "The beacon of drop {drop} was posted",
  room_beacon_missed: "No beacon came for drop {drop}: it is drawn without one",
  room_drawn: "The line of drop {drop} was drawn",
  standby_joined: "A buyer stands by for {units} of drop {drop}",
  standby_left: "A buyer no longer stands by for drop {drop}",
};

/** The words of one row: the event, then the operator and their reason. */
export function sentence(row: AuditRow): string {
  const order = row.order_seq === undefined ? "" : `Order ${row.order_seq}`;
  const units = row.quantity === undefined ? "" : `${count(Math.abs(row.quantity))} ${Math.abs(row.quantity) === 1 ? "unit" : "units"}`;
  const detail = row.detail ?? {};
  const currency = typeof detail["currency"] === "string" ? detail["currency"] : (currencies.get(row.drop_id ?? 0) ?? "");
  const amount = row.amount === undefined ? "" : currency ? price(row.amount, currency) : `${row.amount} minor units`;
  const known = WORDS[row.kind];
  const said = known
    ? known.replace("{drop}", String(row.drop_id ?? "")).replace("{order}", order).replace("{units}", units).replace("{amount}", amount)
    : [spoken(row.kind).replace(/^./, (first) => first.toUpperCase()), order, units, amount].filter(Boolean).join(" · ");
  return said.trim();
}

/** Who did it and why, where the row tells. */
export function reasonOf(row: AuditRow): string {
  const detail = row.detail ?? {};
  const text = (name: string) => (typeof detail[name] === "string" ? (detail[name] as string) : "");
  const by = text("operator") || text("by");
  return [by, text("reason")].filter(Boolean).join(": ");
}

/** Reads the rows of the audit until it ends or `signal` does. Follows it, if the query says so. */
export async function readAudit(query: string, signal: AbortSignal, take: (rows: AuditRow[]) => void): Promise<string> {
  try {
    const response = await fetch(`/v1/audit?${query}`, { headers: authorization(), signal, cache: "no-store", credentials: "omit" });
    if (response.status === 401) {
      await signedIn("Your token has expired or was revoked. Sign in again: what you began goes on.");
      return readAudit(query, signal, take);
    }
    if (!response.ok) return ((await response.json()) as { detail?: string }).detail ?? `The server answers ${response.status}.`;
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (reader) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (text + value).split("\n");
      text = lines.pop() ?? "";
      const rows = lines.filter(Boolean).map((line) => JSON.parse(line) as AuditRow);
      await learnCurrencies(rows);
      take(rows);
    }
    return "";
  } catch {
    return signal.aborted ? "" : "The server does not answer.";
  }
}
