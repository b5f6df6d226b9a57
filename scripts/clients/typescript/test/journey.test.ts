// The journey of a shop and its buyers against a real server. scripts/clients.sh starts the server and sets the addresses.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";

import {
  Firstcome,
  FirstcomeAdmin,
  ProblemError,
  type WebhookEvent,
  WebhookVerificationError,
  verifyWebhook,
} from "../src/index.ts";

function address(name: string): string {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: run scripts/clients.sh`);
  return value;
}

const buyers = new Firstcome({ baseUrl: address("FIRSTCOME_PUBLIC") });
const admin = new FirstcomeAdmin({ baseUrl: address("FIRSTCOME_ADMIN") });

/** What arrived at the shop's endpoint. */
const received: { body: string; headers: Record<string, string | string[] | undefined> }[] = [];
let arrived: () => void = () => {};
const shop = createServer((request, response) => {
  let body = "";
  request.setEncoding("utf8").on("data", (part: string) => (body += part));
  request.on("end", () => {
    received.push({ body, headers: request.headers });
    response.writeHead(204).end();
    arrived();
  });
});

before(() => new Promise<void>((resolve) => shop.listen(0, "127.0.0.1", resolve)));
after(() => shop.close());

function drop(total: number) {
  return admin.createDrop({
    sku: "TS-1",
    name: "A drop of the client's tests",
    currency: "EUR",
    unit_price: 12_900,
    total,
    per_buyer_limit: 2,
    starts_at: "2020-01-01T00:00:00Z",
  });
}

async function webhook(type: WebhookEvent["type"]) {
  for (;;) {
    const found = received.find(({ body }) => (JSON.parse(body) as WebhookEvent).type === type);
    if (found) return found;
    await new Promise<void>((resolve) => (arrived = resolve));
  }
}

test("a buyer reserves, checks out and has paid, and the shop hears of it", async () => {
  const { port } = shop.address() as AddressInfo;
  const endpoint = await admin.createEndpoint({ url: `http://127.0.0.1:${port}/hooks` });
  const { id } = await drop(5);
  const reserved = await buyers.placeOrder(id, { buyer: "ann", quantity: 2 });
  assert.equal(reserved.state, "reserved");
  assert.equal(reserved.amount, 25_800);
  const awaiting = await buyers.checkOut(reserved.id, { email: "ann@mail.example" });
  assert.equal(awaiting.state, "awaiting_payment");
  await admin.recordPayment(reserved.id, { reference: "bank-1", amount: 25_800, currency: "EUR", reason: "bank transfer" });
  assert.equal((await buyers.order(reserved.id)).state, "paid");
  assert.equal((await buyers.drop(id)).sold, 2);

  const { body, headers } = await webhook("order.paid");
  assert.ok(endpoint.secret);
  const event = verifyWebhook(endpoint.secret, body, headers);
  assert.ok(event.type === "order.paid");
  assert.equal(event.data.order_id, reserved.id);
  assert.equal(event.data.amount, 25_800);
  const forged = () => verifyWebhook(endpoint.secret ?? "", body.replace("25800", "1"), headers);
  assert.throws(forged, WebhookVerificationError);

  const refunded = await admin.refund(reserved.id, { amount: 25_800, restock_quantity: 2, reason: "returned" });
  assert.equal(refunded.state, "refunded");
  const orders = [];
  for await (const order of admin.orders(id)) orders.push(order.id);
  assert.deepEqual(orders, [reserved.id]);
});

test("an order with the same key is one order, and with other members a problem", async () => {
  const { id } = await drop(5);
  const idempotencyKey = crypto.randomUUID();
  const first = await buyers.placeOrder(id, { buyer: "ben", quantity: 1 }, { idempotencyKey });
  const again = await buyers.placeOrder(id, { buyer: "ben", quantity: 1 }, { idempotencyKey });
  assert.equal(again.id, first.id);
  await assert.rejects(buyers.placeOrder(id, { buyer: "ben", quantity: 2 }, { idempotencyKey }), (error) => {
    assert.ok(error instanceof ProblemError && error.is("idempotency-key-reused"));
    return true;
  });
});

test("a refusal is an error whose members the compiler knows", async () => {
  const { id } = await drop(1);
  await buyers.placeOrder(id, { buyer: "cat", quantity: 1 });
  await assert.rejects(buyers.placeOrder(id, { buyer: "dan", quantity: 1 }), (error) => {
    assert.ok(error instanceof ProblemError && error.is("sold-out"));
    assert.deepEqual([error.status, error.problem.available, error.problem.held], [409, 0, 1]);
    return true;
  });
  await assert.rejects(buyers.drop(4_000_000), (error) => error instanceof ProblemError && error.code === "not-found");
});

test("a stream gives the state first and each change after it, and ends with its signal", async () => {
  const { id } = await drop(3);
  const stop = new AbortController();
  const seen: [string, number][] = [];
  for await (const { event, data } of buyers.followDrop(id, stop.signal)) {
    seen.push([event, data.available]);
    if (seen.length === 1) await buyers.placeOrder(id, { buyer: "eve", quantity: 1 });
    if (data.available === 2) stop.abort();
  }
  assert.deepEqual(seen, [["snapshot", 3], ["update", 2]]);
});

test("a stream of an unknown drop is refused", async () => {
  const events = buyers.followDrop(4_000_000, new AbortController().signal);
  await assert.rejects(events.next(), (error) => error instanceof ProblemError && error.is("not-found"));
});

test("auctions take bids, and refuse those that are too low", async () => {
  const auction = await admin.createAuction({
    sku: "TS-2",
    name: "One of one",
    currency: "EUR",
    start_price: 1_000,
    starts_at: "2020-01-01T00:00:00Z",
    ends_at: "9000-01-01T00:00:00Z",
  });
  const bid = await buyers.placeBid(auction.id, { buyer: "fay", amount: 2_000 });
  assert.equal(bid.leading, true);
  await assert.rejects(buyers.placeBid(auction.id, { buyer: "gus", amount: 1 }), (error) => {
    return error instanceof ProblemError && error.is("bid-too-low") && error.problem.minimum_next > 1;
  });
});
