// Repeats, against a real server behind a broken network: a fetch that loses answers and makes others up.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Firstcome, FirstcomeAdmin, ProblemError } from "../src/index.ts";

const publicUrl = process.env["FIRSTCOME_PUBLIC"] ?? "";
const adminUrl = process.env["FIRSTCOME_ADMIN"] ?? "";

type Fault = (answer: () => Promise<Response>) => Promise<Response>;

/** Sends through the faults, one per attempt, then undisturbed. Keeps the keys of all attempts, and the waits. */
function broken(...faults: Fault[]) {
  const keys: (string | null)[] = [];
  const waits: number[] = [];
  const send: typeof fetch = (input, init) => {
    keys.push((input as Request).headers.get("Idempotency-Key"));
    const answer = () => fetch(input, init);
    return (faults.shift() ?? ((answer) => answer()))(answer);
  };
  const sleep = async (ms: number) => void waits.push(ms);
  return { client: new Firstcome({ baseUrl: publicUrl, fetch: send, retry: { sleep } }), keys, waits };
}

const losesTheAnswer: Fault = async (answer) => {
  await (await answer()).text();
  throw new TypeError("the connection broke");
};

function says(status: number, code: string, members: object = {}, headers: Record<string, string> = {}): Fault {
  const problem = { type: "about:blank", code, title: code, status, detail: "made up", request_id: "r", ...members };
  return async () => new Response(JSON.stringify(problem), { status, headers: { "Content-Type": "application/problem+json", ...headers } });
}

async function drop(): Promise<number> {
  const made = await new FirstcomeAdmin({ baseUrl: adminUrl }).createDrop({
    sku: "R",
    name: "Repeats",
    currency: "EUR",
    unit_price: 100,
    total: 10,
    starts_at: "2020-01-01T00:00:00Z",
  });
  return made.id;
}

test("an order whose answer is lost is sent again with its key, and is one order", async () => {
  const id = await drop();
  const { client, keys } = broken(losesTheAnswer, losesTheAnswer);
  const order = await client.placeOrder(id, { buyer: "ann", quantity: 1 });
  assert.equal(order.state, "reserved");
  assert.equal(keys.length, 3);
  assert.equal(new Set(keys).size, 1);
  assert.equal((await client.drop(id)).held, 1);
});

test("Retry-After is waited for, to the second", async () => {
  const id = await drop();
  const limited = says(429, "rate-limited", { violated_policies: ["address-writes"] }, { "Retry-After": "7" });
  const { client, waits } = broken(limited, says(503, "overloaded", { applied: "no", queue_depth: 9 }, { "Retry-After": "2" }));
  await client.placeOrder(id, { buyer: "ann", quantity: 1 });
  assert.deepEqual(waits, [7_000, 2_000]);
});

test("an unknown outcome is sent again with the same key", async () => {
  const id = await drop();
  const { client, keys } = broken(says(503, "outcome-unknown", { applied: "unknown" }));
  await client.placeOrder(id, { buyer: "ann", quantity: 1 });
  assert.equal(keys.length, 2);
  assert.equal(keys[0], keys[1]);
});

test("decisions, pauses and long waits are not repeated, and the last attempt's problem is thrown", async () => {
  const id = await drop();
  const cases: [Fault, string][] = [
    [says(409, "sold-out", { available: 0, held: 0 }), "sold-out"],
    [says(503, "drop-paused", { applied: "no" }, { "Retry-After": "1" }), "drop-paused"],
    [says(429, "rate-limited", { violated_policies: ["buyer-new"] }, { "Retry-After": "3600" }), "rate-limited"],
  ];
  for (const [fault, code] of cases) {
    const { client, keys } = broken(fault);
    await assert.rejects(client.placeOrder(id, { buyer: "ann", quantity: 1 }), (error) => {
      return error instanceof ProblemError && error.code === code;
    });
    assert.equal(keys.length, 1, code);
  }
  const unready = () => says(503, "read-only", { applied: "no" });
  const { client, keys, waits } = broken(...Array.from({ length: 9 }, unready));
  await assert.rejects(client.drop(id), (error) => error instanceof ProblemError && error.is("read-only"));
  assert.equal(keys.length, 6);
  assert.ok(waits.every((wait, attempt) => wait >= 50 * 2 ** attempt && wait <= 100 * 2 ** attempt), String(waits));
});

test("a request that is aborted is not repeated", async () => {
  const abort = new AbortController();
  const { client, keys } = broken(async () => {
    abort.abort();
    throw new DOMException("aborted", "AbortError");
  });
  const call = client.api.GET("/v1/drops/{drop_id}", { params: { path: { drop_id: 1 } }, signal: abort.signal });
  await assert.rejects(call);
  assert.equal(keys.length, 1);
});
