// Buys with Debian's chromium, without JavaScript, from the real program with --demo (scripts/browser.sh). No step sleeps:
// each waits for what the page shows, for at most WAIT_MS.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { WAIT_MS, bound, launch } from "./browser.mjs";

const { PUBLIC, ADMIN, SCREENSHOTS } = process.env;
const shop = `http://${PUBLIC}`;

bound();

const browser = await launch();
const context = await browser.newContext({ javaScriptEnabled: false });
context.setDefaultTimeout(WAIT_MS);
// Pages load nothing from elsewhere, and their own policy blocks none of their requests.
context.on("request", (request) => assert.ok(request.url().startsWith(shop), `requests ${request.url()}`));
const complaints = [];

async function buyer() {
  const page = await context.newPage();
  page.on("console", (message) => complaints.push(message.text()));
  return page;
}

async function drop(key, with_) {
  const answer = await fetch(`http://${ADMIN}/v1/drops`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "Idempotency-Key": key },
    body: JSON.stringify({
      sku: key, name: `Shoe ${key}`, currency: "EUR", unit_price: 14900, starts_at: "2020-01-01T00:00:00Z", ...with_,
    }),
  });
  assert.equal(answer.status, 201, await answer.clone().text());
  return `Shoe ${key}`;
}

async function shows(page, heading) {
  await page.getByRole("heading", { level: 1, name: heading, exact: true }).waitFor();
}

async function ask(page, what, name) {
  await page.goto(shop);
  await page.getByRole("link", { name: what, exact: true }).click();
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Reserve" }).click();
}

async function reserve(page, what, name) {
  await ask(page, what, name);
  await shows(page, "Reserved for you");
}

/// Goes from the order's page to the one where it is paid.
async function toPayment(page) {
  await page.goto(page.url().replace("/orders/", "/pay/"));
}

async function checkOut(page, name) {
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("E-mail").fill(`${name}@example.org`);
  await page.getByRole("button", { name: "Proceed to payment" }).click();
  await shows(page, "Waiting for your payment");
}

/// Returns the page of the documentation that solves and orders, for this drop.
async function documentedPage(drop) {
  const text = await readFile(new URL("../../src/admission/README.md", import.meta.url), "utf8");
  const page = text.split("```html\n")[1].split("```")[0];
  assert.ok(page.includes("/v1/drops/7/"));
  return `<!doctype html><title>Order</title>${page.replaceAll("/v1/drops/7/", `/v1/drops/${drop}/`)}`;
}

async function click(page, button) {
  await page.getByRole("button", { name: button, exact: true }).click();
}

/// Returns the order of a page from the API.
async function order(page) {
  const id = new URL(page.url()).pathname.split("/").pop();
  return (await fetch(`${shop}/v1/orders/${id}`)).json();
}

async function keep(page, name) {
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/${name}.png`, fullPage: true });
}

const tests = {
  async "reserves, checks out, pays and sees it paid"() {
    const page = await buyer();
    await page.goto(shop);
    await keep(page, "shop");
    await reserve(page, "Demo sneaker, limited", "ann");
    await keep(page, "reserved");
    await checkOut(page, "ann");
    await keep(page, "awaiting");
    await click(page, "Fail");
    await shows(page, "Waiting for your payment");
    await click(page, "Pay");
    await shows(page, "Paid");
    await keep(page, "paid");
    assert.equal((await order(page)).state, "paid");
    assert.equal(await page.getByRole("button", { name: "Pay", exact: true }).isDisabled(), true);
  },

  async "pays twice, keeps the order and is owed the second payment"() {
    const page = await buyer();
    await reserve(page, "Demo sneaker, limited", "bob");
    await checkOut(page, "bob");
    await click(page, "Pay twice");
    await shows(page, "Paid");
    await page.getByText("You paid 149.00 EUR too much, which will be refunded").waitFor();
    assert.equal((await order(page)).refund_due_amount, 14900);
  },

  async "lets it expire, pays late and gets it again: there is stock"() {
    const what = await drop("late", { total: 1, reservation_seconds: 6 });
    const page = await buyer();
    await reserve(page, what, "carl");
    await shows(page, "Expired"); // by itself: the page knows when
    await toPayment(page);
    await keep(page, "expired");
    await click(page, "Pay late");
    await shows(page, "Paid");
    assert.equal((await order(page)).state, "paid");
  },

  async "lets it expire, somebody else takes it, and the late payment goes back"() {
    const what = await drop("last", { total: 1, reservation_seconds: 6, payment_seconds: 600 });
    const [late, quick] = [await buyer(), await buyer()];
    await reserve(late, what, "dora");
    await shows(late, "Expired");
    await toPayment(late);
    await reserve(quick, what, "emil");
    await checkOut(quick, "emil");
    await click(quick, "Pay");
    await shows(quick, "Paid");
    await click(late, "Pay late");
    await shows(late, "Refund pending");
    await late.getByText("149.00 EUR will be refunded to you").waitFor();
    await keep(late, "owed");
    assert.equal((await order(late)).state, "refund_due");
  },

  async "solves a challenge with ALTCHA's widget in the page of the documentation, and orders once"() {
    const name = await drop("challenged", { total: 5, challenge: "proof_of_work" });
    const { data } = await (await fetch(`${shop}/v1/drops`)).json();
    const { id } = data.find((found) => found.name === name);
    // A shop's own page at the shop's own address: what it loads besides comes from the server.
    const scripted = await browser.newContext({ extraHTTPHeaders: { "X-Forwarded-For": "192.0.2.7" } });
    scripted.setDefaultTimeout(WAIT_MS);
    const widget = await readFile(new URL("node_modules/altcha/dist/main/altcha.min.js", import.meta.url));
    await scripted.route(`${shop}/altcha.min.js`, (route) => route.fulfill({ contentType: "text/javascript", body: widget }));
    const html = await documentedPage(id);
    await scripted.route(`${shop}/order`, (route) => route.fulfill({ contentType: "text/html", body: html }));
    const page = await scripted.newPage();
    await page.goto(`${shop}/order`);
    await click(page, "Reserve");
    assert.equal(await page.locator("#answer").textContent(), "", "the widget asks for its box first");
    await page.locator("altcha-widget input[type=checkbox]").click({ force: true });
    await page.locator("altcha-widget input[name=altcha]").waitFor({ state: "attached" });
    await page.waitForFunction(() => new FormData(document.querySelector("#order")).get("altcha"));
    await click(page, "Reserve");
    await page.waitForFunction(() => document.querySelector("#answer").textContent);
    const answer = await page.locator("#answer").textContent();
    assert.match(answer, /^[0-9a-f]{8}-/, answer);
    const solution = await page.evaluate(() => new FormData(document.querySelector("#order")).get("altcha"));
    const headers = { "Content-Type": "application/json", "X-Forwarded-For": "192.0.2.7", "Idempotency-Key": "another" };
    const again = await fetch(`${shop}/v1/drops/${id}/orders`, {
      method: "POST",
      headers: { ...headers, "Firstcome-Challenge": solution },
      body: JSON.stringify({ buyer: "another", quantity: 1 }),
    });
    assert.deepEqual([again.status, (await again.json()).reason], [428, "replayed"]);
    await keep(page, "challenge");
    await scripted.close();
  },

  async "is told that it is sold out, and that there is no such order"() {
    const page = await buyer();
    await page.goto(shop);
    await page.getByRole("link", { name: "Shoe last", exact: true }).click();
    const [taken, paid] = ["All units are taken for now", "Every unit is sold and paid"].map((text) => page.getByText(text));
    await taken.or(paid).first().waitFor();
    assert.equal(await page.getByRole("button", { name: "Reserve" }).count(), 0, "nothing is reserved");
    await page.goto(`${shop}/pay/00000000-002a-8c0d-9e1f-5a6b7c8d9e0f`);
    await shows(page, "Page not found");
  },
};

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  const started = performance.now();
  try {
    await test();
    console.log(`ok    ${name} (${Math.round(performance.now() - started)} ms)`);
  } catch (error) {
    failed += 1;
    console.error(`FAILED ${name}\n${error.stack}`);
  }
}
// The console has blocked requests, and the expected statuses 404 and 409.
const refused = complaints.filter((text) => !/status of 4(04|09)/.test(text));
if (refused.length > 0) {
  failed += 1;
  console.error(`FAILED the browser complains:\n${refused.join("\n")}`);
}
await browser.close();
process.exit(failed === 0 ? 0 : 1);
