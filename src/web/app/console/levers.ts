// The levers: each opens the dialog with what will happen, and sends one request.
import { act, say, type Field, type Values } from "./dialog";
import { price, typedMoney } from "./format";
import { count } from "../shared/words";
import { ask } from "./session";
import type { Auction, Drop, Endpoint, Order, Payment } from "./shapes";

function post(path: string, body: Values | object, key?: string) {
  return ask<never>(path, { method: "POST", body, ...(key ? { headers: { "Idempotency-Key": key } } : {}) });
}

const dropPath = (drop: Drop, verb: string) => `/v1/drops/${drop.id}/${verb}`;

export function pauseDrop(drop: Drop): void {
  act({
    title: `Pause “${drop.name}”`,
    lines: ["New orders are refused at once.", `${count(drop.held)} units are held: checkout, cancel and payment of their orders go on.`],
    confirm: "Pause",
    run: (values) => post(dropPath(drop, "pause"), values),
    done: () => `“${drop.name}” is paused.`,
  });
}

export function resumeDrop(drop: Drop): void {
  act({
    title: `Resume “${drop.name}”`,
    lines: [`${count(drop.available)} units are on sale again at once.`],
    confirm: "Resume",
    run: (values) => post(dropPath(drop, "resume"), values),
    done: () => `“${drop.name}” takes orders again.`,
  });
}

export function closeDrop(drop: Drop): void {
  act({
    title: `Close “${drop.name}” for good`,
    lines: ["The drop ends now, and cannot be opened again.", `${count(drop.available)} free units are not sold. Orders that are held can still be paid.`],
    confirm: "Close for good",
    isDangerous: true,
    typed: drop.name,
    run: (values) => post(dropPath(drop, "close"), values),
    done: () => `“${drop.name}” has ended.`,
  });
}

export function adjustStock(drop: Drop): void {
  act({
    title: `Stock of “${drop.name}”`,
    lines: [`The total is ${count(drop.total)}: ${count(drop.available)} free, ${count(drop.held)} held, ${count(drop.sold)} sold.`, "The total never falls below what is held and sold."],
    confirm: "Change the stock",
    fields: [{ name: "delta", label: "Units to add; with a minus, to take away", kind: "number", value: "", min: -drop.available, help: `At least ${-drop.available}.` }],
    run: (values) => post(dropPath(drop, "stock"), { ...values, expected_total: drop.total }),
    done: (body) => `The total of “${drop.name}” is ${count((body as Drop).total)}.`,
  });
}

export function changeAdmission(drop: Drop): void {
  const room = drop.room;
  if (!room) return;
  act({
    title: `Admission to “${drop.name}”`,
    lines: ["It holds from the next admission on. Positions stay, and nobody who was admitted is sent back."],
    confirm: "Change admission",
    fields: [
      { name: "admit_per_second", label: "Buyers admitted per second, at most", kind: "number", value: String(room.admit_per_second), min: 1, max: 1_000_000 },
      { name: "oversubscribe_percent", label: "Admitted buyers without an order, in % of free units", kind: "number", value: String(room.oversubscribe_percent), min: 100, max: 1000 },
    ],
    run: ({ reason, ...members }) => ask(`/v1/drops/${drop.id}`, { method: "PATCH", body: { room: members, expected_revision: drop.revision, reason } }),
    done: () => `Admission to “${drop.name}” is changed.`,
  });
}

export function postBeacon(drop: Drop): void {
  act({
    title: `Post the beacon of “${drop.name}”`,
    lines: [
      "Public randomness that nobody could know when the tickets were fixed, such as a drand round or a lottery's numbers.",
      "It is taken once, cannot be changed, and the line is drawn with it at once.",
    ],
    confirm: "Post the beacon",
    isDangerous: true,
    fields: [
      { name: "value", label: "Value, in hexadecimal digits", kind: "text", value: "" },
      { name: "source", label: "Source, so that buyers can look it up", kind: "text", value: "", help: "For example “drand quicknet, round 12345678”." },
    ],
    run: (values) => post(dropPath(drop, "room/beacon"), values),
    done: () => `The beacon of “${drop.name}” is posted.`,
  });
}

export function refundOrder(order: Order, drop: Drop | null): void {
  const left = order.amount - order.refunded_amount - (order.refund_due_amount ?? 0);
  act({
    title: `Refund ${order.code}`,
    lines: [`${price(left, order.currency)} of ${price(order.amount, order.currency)} are left of the payment.`, "A payment through a provider is paid back there; one by hand is yours to pay back."],
    confirm: "Refund",
    isDangerous: true,
    ...(drop ? { typed: drop.name } : {}),
    fields: [
      { name: "amount", label: `Amount in ${order.currency}`, kind: "money", value: typedMoney(left, order.currency), currency: order.currency },
      { name: "restock_quantity", label: "Units that are on sale again", kind: "number", value: "0", min: 0, max: order.quantity, help: `0 keeps them sold; at most ${order.quantity}.` },
    ],
    run: (values, key) => post(`/v1/orders/${order.id}/refund`, values, key),
    done: (body) => `${order.code}: ${(body as Order).state === "refund_due" ? "the refund is due" : "refunded"}.`,
  });
}

export function settleRefund(order: Order, payment?: Payment): void {
  const due = payment?.refund_due_amount ?? order.refund_due_amount ?? 0;
  act({
    title: `Money of ${order.code} has gone back`,
    lines: [`${price(due, order.currency)} are due. Record this only if you paid it back in another way: a provider reports its own refunds.`],
    confirm: "Record it",
    fields: [
      { name: "reference", label: "Reference of what you paid", kind: "text", value: "" },
      { name: "amount", label: `Amount in ${order.currency}`, kind: "money", value: typedMoney(due, order.currency), currency: order.currency },
    ],
    run: (values) => post(`/v1/orders/${order.id}/refund-settled`, { ...values, ...(payment ? { payment: payment.reference } : {}) }),
    done: () => `${order.code}: the refund is settled.`,
  });
}

export function recordPayment(order: Order): void {
  act({
    title: `Record a payment for ${order.code}`,
    lines: ["The order counts as paid. If its units are gone, the money is due to the buyer."],
    confirm: "Record the payment",
    fields: [
      { name: "reference", label: "Reference of the transfer", kind: "text", value: "" },
      { name: "amount", label: `Amount in ${order.currency}`, kind: "money", value: typedMoney(order.amount, order.currency), currency: order.currency },
    ],
    run: (values) => post(`/v1/orders/${order.id}/payments`, { ...values, currency: order.currency }),
    done: (body) => `${order.code} is ${(body as Order).state.replaceAll("_", " ")}.`,
  });
}

export function eraseContact(order: Order): void {
  act({
    title: `Erase the contact of ${order.code}`,
    lines: ["Name, e-mail, phone and address of the buyer are gone for good. The order stays."],
    confirm: "Erase for good",
    isDangerous: true,
    typed: order.code,
    hasNoReason: true,
    run: () => ask(`/v1/orders/${order.id}/contact`, { method: "DELETE" }),
    done: () => `The contact of ${order.code} is erased.`,
  });
}

export function cancelAuction(auction: Auction): void {
  act({
    title: `Cancel the auction “${auction.name}”`,
    lines: ["It ends without a winner, and its bids are void."],
    confirm: "Cancel the auction",
    isDangerous: true,
    typed: auction.name,
    run: (values) => post(`/v1/auctions/${auction.id}/cancel`, values),
    done: () => `“${auction.name}” is cancelled.`,
  });
}

const EVENTS_HELP = "Names of event types with commas between them, or * for all but standby.left.";
const events = (text: unknown) => String(text ?? "*").split(/[\s,]+/).filter(Boolean);

export function createEndpoint(show: (secret: string) => void): void {
  const fields: Field[] = [
    { name: "url", label: "URL", kind: "text", value: "https://" },
    { name: "events", label: "Events", kind: "text", value: "*", help: EVENTS_HELP },
  ];
  act({
    title: "New webhook endpoint",
    lines: ["Its signing secret is shown once, when it is made."],
    confirm: "Create the endpoint",
    fields,
    hasNoReason: true,
    run: ({ url, events: named }, key) => post("/v1/webhook-endpoints", { url, events: events(named) }, key),
    done: (body) => {
      const { id, secret } = body as Endpoint;
      show(secret ?? "");
      return `Endpoint ${id} is made.`;
    },
  });
}

export function changeEndpoint(endpoint: Endpoint): void {
  act({
    title: `Endpoint ${endpoint.id}`,
    lines: endpoint.configured ? ["The configuration names it: each start resets it."] : [],
    confirm: "Save",
    fields: [
      { name: "url", label: "URL", kind: "text", value: endpoint.url },
      { name: "events", label: "Events", kind: "text", value: endpoint.events.join(", "), help: EVENTS_HELP },
      { name: "state", label: "State", kind: "select", value: endpoint.state, options: ["enabled", "disabled"].map((value) => ({ value, label: value })) },
    ],
    run: (values) => ask(`/v1/webhook-endpoints/${endpoint.id}`, { method: "PATCH", body: { ...values, events: events(values["events"]) } }),
    done: () => `Endpoint ${endpoint.id} is changed.`,
  });
}

export function deleteEndpoint(endpoint: Endpoint): void {
  act({
    title: `Delete endpoint ${endpoint.id}`,
    lines: [endpoint.url, `${count(endpoint.waiting)} deliveries wait and ${endpoint.dead} were given up: they are lost.`],
    confirm: "Delete for good",
    isDangerous: true,
    typed: `endpoint ${endpoint.id}`,
    hasNoReason: true,
    run: () => ask(`/v1/webhook-endpoints/${endpoint.id}`, { method: "DELETE" }),
    done: () => `Endpoint ${endpoint.id} is deleted.`,
  });
}

export function rotateSecret(endpoint: Endpoint, show: (secret: string) => void): void {
  act({
    title: `New secret for endpoint ${endpoint.id}`,
    lines: ["The old secret signs beside the new one for 24 hours."],
    confirm: "Make a new secret",
    run: (values) => post(`/v1/webhook-endpoints/${endpoint.id}/rotate-secret`, values),
    done: (body) => {
      show((body as Endpoint).secret ?? "");
      return `Endpoint ${endpoint.id} has a new secret.`;
    },
  });
}

export function resendFrom(endpoint: Endpoint, seq: number): void {
  act({
    title: `Send again to endpoint ${endpoint.id}`,
    lines: ["Dead letters from this event on are sent again; or all events from there, which the endpoint must recognize."],
    confirm: "Send again",
    fields: [
      { name: "from_seq", label: "From event", kind: "number", value: String(seq), min: 1 },
      { name: "all", label: "All events, not only dead letters", kind: "check", value: "false" },
    ],
    run: (values) => post(`/v1/webhook-endpoints/${endpoint.id}/resend`, values),
    done: () => `Endpoint ${endpoint.id} gets its events again.`,
  });
}

/** Copies a text, and says so. */
export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    say("It could not be copied: select it by hand.");
  }
}
