// What the tests of the storefront share: visitors, servers of their own, and the API. No helper sleeps for a fixed time: each
// waits for what the page or the server shows, for at most WAIT_MS.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { WAIT_MS, bound, launch } from "./browser.mjs";
import { ordersOf } from "./orders.mjs";

const { PROGRAM = "target/release/firstcome" } = process.env;

export const browser = await launch();
const axe = await readFile(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const complaints = [];

/// Returns a page of a new visitor, with nothing kept from others.
export async function visitor(options = {}) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(WAIT_MS);
  context.on("page", watch);
  return context.newPage();
}

function watch(page) {
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push({ text: message.text(), url: message.location().url });
  });
  page.on("pageerror", (error) => complaints.push({ text: error.message }));
  page.on("dialog", (dialog) => complaints.push({ text: `a dialog: ${dialog.message()}` }));
}

export async function until(what, holds) {
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    const found = await holds();
    if (found) return found;
    assert.ok(Date.now() < deadline, `waited in vain: ${what}`);
    await new Promise((go) => setTimeout(go, 25));
  }
}

/// Sends a request, and again while the server has no time for it: with the same key, as a client does.
export async function send(url, init) {
  for (let tries = 0; ; tries += 1) {
    const answer = await fetch(url, init);
    if (answer.status !== 503 || tries === 20) return answer;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/// Runs the command that a page shows, as a shell does into which it is pasted. Returns the command and what it told.
export async function runShown(page) {
  // As it is seen and copied, not as it is written: each line but the last goes on in the next.
  const command = await page.locator(".command").innerText();
  const lines = command.split("\n");
  assert.ok(lines.length > 1 && lines.slice(0, -1).every((line) => line.endsWith(" \\")), command);
  const script = `firstcome() { "$PROGRAM" "$@"; }\n${command}\n`;
  const told = execFileSync("sh", ["-c", script], { encoding: "utf8", env: { ...process.env, PROGRAM } });
  return { command, told };
}

/// A server: its addresses, and the API of its operators.
export class Shop {
  #keys = 0;

  constructor(publicAddress, adminAddress) {
    this.public = publicAddress;
    this.admin = adminAddress;
    this.url = `http://${publicAddress}`;
  }

  async operate(path, body, method = "POST") {
    this.#keys += 1;
    const headers = { "Content-Type": "application/json", "Idempotency-Key": `${process.pid}-${this.#keys}` };
    const answer = await send(`http://${this.admin}${path}`, { method, headers, body: JSON.stringify(body) });
    assert.ok(answer.ok, `${path}: ${await answer.clone().text()}`);
    return answer.json();
  }

  async drop(name, with_ = {}) {
    const drop = { sku: "S", name, currency: "EUR", unit_price: 14900, total: 5, starts_at: "2020-01-01T00:00:00Z", ...with_ };
    return (await this.operate("/v1/drops", drop)).id;
  }

  /// Changes a drop as it is now.
  async change(dropId, changes) {
    const { revision } = await fetch(`http://${this.admin}/v1/console/drops/${dropId}`).then((answer) => answer.json());
    await this.operate(`/v1/drops/${dropId}`, { ...changes, expected_revision: revision, reason: "a test" }, "PATCH");
  }

  /// A drop whose start lies ahead starts within moments.
  begin(dropId) {
    return this.change(dropId, { starts_at: new Date(Date.now() + 200).toISOString() });
  }

  /// A pause holds a blind window open: nothing is decided in it.
  pause(dropId) {
    return this.operate(`/v1/drops/${dropId}/pause`, { reason: "a test" });
  }

  resume(dropId) {
    return this.operate(`/v1/drops/${dropId}/resume`, { reason: "a test" });
  }

  orders(dropId) {
    return ordersOf(this.admin, dropId);
  }

  /// Asserts that a wish was granted once.
  async hasOneOrder(dropId, what) {
    assert.equal((await this.orders(dropId)).length, 1, `${what}: bought once`);
  }

  async take(dropId, buyer) {
    const answer = await send(`${this.url}/v1/drops/${dropId}/orders`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": `${dropId}-${buyer}` },
      body: JSON.stringify({ buyer, quantity: 1 }),
    });
    assert.equal(answer.status, 201, await answer.clone().text());
    return (await answer.json()).id;
  }
}

/// Starts a server of a test's own. `at` has the addresses and the directory of an earlier one.
export async function serve(data, settings = {}, at = { public: "127.0.0.1:0", admin: "127.0.0.1:0" }) {
  const args = ["serve", "--demo", "--data", data, "--public", at.public, "--admin", at.admin, "--wire", "127.0.0.1:0"];
  const process_ = spawn(PROGRAM, args, { env: { ...process.env, ...settings }, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  process_.stdout.on("data", (text) => (said += text));
  process_.stderr.on("data", (text) => (said += text));
  const address = (who) => new RegExp(`${who} *http://([0-9.:]+)/`).exec(said)?.[1];
  await until(`a server that listens: ${data}`, async () => {
    assert.equal(process_.exitCode, null, said);
    if (!address("buyers") || !address("operators")) return false;
    return fetch(`http://${address("operators")}/readyz`).then((answer) => answer.ok, () => false);
  });
  const shop = new Shop(address("buyers"), address("operators"));
  shop.stop = async () => {
    await end(process_);
    assert.equal(process_.exitCode, 0, said);
  };
  process.on("exit", () => process_.kill("SIGKILL"));
  return shop;
}

/// Ends a child process, if it has not ended by itself.
export async function end(child, signal = "SIGTERM") {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill(signal);
  await ended;
}

export const button = (page, name) => page.getByRole("button", { name });

export async function shows(page, heading) {
  await page.getByRole("heading", { level: 1, name: heading, exact: true }).waitFor();
}

/// Records the idempotency keys with which a page orders.
export function keysOf(page) {
  const keys = [];
  page.on("request", (request) => {
    const key = request.headers()["idempotency-key"];
    if (request.method() === "POST" && key) keys.push(key);
  });
  return keys;
}

/// Axe finds nothing, by WCAG 2.2 AA and its best practices, and nothing is wider than the screen.
export async function hasNoFindings(page, what) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(over <= 0, `${what} is ${over} pixels too wide`);
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"], selectors: false }));
  const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ").slice(0, 300)}`);
  assert.deepEqual(told, [], what);
}

/// Runs the tests, `lanes` of them at once where each has a drop and visitors of its own; ends the process. `expected` are complaints
/// that the tests cause.
export async function run(tests, expected, { lanes = 1 } = {}) {
  const running = new Set();
  bound(() => `at: ${[...running].join("; ")}`);
  let failed = 0;
  const waiting = Object.entries(tests);
  const lane = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [name, test] = next;
      const started = performance.now();
      running.add(name);
      try {
        await test();
        console.log(`ok    ${name} (${Math.round(performance.now() - started)} ms)`);
      } catch (error) {
        failed += 1;
        console.error(`FAILED ${name}\n${error.stack}`);
      }
      running.delete(name);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  const refused = complaints.filter(({ text }) => !expected.test(text)).map(({ text, url = "" }) => `${text} ${url}`);
  if (refused.length > 0) {
    failed += 1;
    console.error(`FAILED the browser complains:\n${[...new Set(refused)].join("\n")}`);
  }
  await browser.close();
  process.exit(failed === 0 ? 0 : 1);
}
