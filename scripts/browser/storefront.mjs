// The storefront with its scripts, in Debian's chromium, from the real program with --demo (scripts/browser.sh). No step sleeps:
// each waits for what the page shows, for at most WAIT_MS.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { WAIT_MS, bound, launch } from "./browser.mjs";
import { ordersOf } from "./orders.mjs";

const { PUBLIC, ADMIN, SCREENSHOTS } = process.env;
const shop = `http://${PUBLIC}`;
/// The most bytes of all scripts and styles of the storefront, as they come over the wire.
const BYTES_MAX = 60_000;
const WIDTHS = { phone: [390, 844], tablet: [768, 1024], desktop: [1280, 900] };

bound();

const browser = await launch();
const axe = await readFile(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const complaints = [];

/// Returns a page of a new visitor, with nothing kept from others.
async function visitor(options = {}) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(WAIT_MS);
  const page = await context.newPage();
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  return page;
}

let requests = 0;
async function admin(path, body, method = "POST") {
  requests += 1;
  const answer = await fetch(`http://${ADMIN}${path}`, {
    method,
    headers: { "Content-Type": "application/json", "Idempotency-Key": `storefront-${requests}` },
    body: JSON.stringify(body),
  });
  assert.ok(answer.ok, `${path}: ${await answer.clone().text()}`);
  return answer.json();
}

async function drop(name, with_) {
  return (await admin("/v1/drops", { sku: "S", name, currency: "EUR", unit_price: 14900, total: 5, starts_at: "2020-01-01T00:00:00Z", ...with_ })).id;
}

async function orders(dropId) {
  return ordersOf(ADMIN, dropId);
}

async function takeFromApi(dropId, buyer) {
  const answer = await fetch(`${shop}/v1/drops/${dropId}/orders`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "Idempotency-Key": `${dropId}-${buyer}` },
    body: JSON.stringify({ buyer, quantity: 1 }),
  });
  assert.equal(answer.status, 201);
  return (await answer.json()).id;
}

const button = (page, name) => page.getByRole("button", { name });

async function shows(page, heading) {
  await page.getByRole("heading", { level: 1, name: heading, exact: true }).waitFor();
}

async function hasNoFindings(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"], selectors: false }));
  const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ").slice(0, 300)}`);
  assert.deepEqual(told, [], what);
}

const tests = {
  async "a buyer reserves with one click, gives contact details and pays, and sees it paid"() {
    const id = await drop("Runner 04", { per_buyer_limit: 3 });
    const page = await visitor({ locale: "en-GB", timezoneId: "Europe/Berlin" });
    await page.goto(`${shop}/drops/${id}`);
    await page.getByText("€149.00").first().waitFor();
    await button(page, "One more").click();
    await button(page, "Reserve · €298.00").dblclick();
    await shows(page, "Reserved for you");
    assert.match(await page.getByRole("timer").textContent(), /^[12]:\d\d$/);
    // The time is the reader's as soon as the page's script has run.
    await page.locator("time").first().filter({ hasText: /(CET|CEST|GMT\+[12])$/ }).waitFor();
    await page.getByLabel("E-mail").fill("ann@example.org");
    await button(page, "Proceed to payment").click();
    await shows(page, "Waiting for your payment");
    await page.getByRole("button", { name: "Pay", exact: true }).click();
    await shows(page, "Paid");
    const [order, ...more] = await orders(id);
    assert.deepEqual([order.state, order.quantity, more.length], ["paid", 2, 0], "a double click is one order");
    await page.context().close();
  },

  async "an answer that is lost is asked for again, also after a reload, and the order exists once"() {
    const id = await drop("Lost", {});
    const page = await visitor();
    await page.goto(`${shop}/drops/${id}`);
    let lost = 0;
    // The server decides; the answer does not come back.
    await page.route(`${shop}/v1/drops/${id}/orders`, async (route) => {
      lost += 1;
      await route.fetch();
      await route.abort("connectionreset");
    });
    await button(page, "Reserve · ").click();
    await page.getByText("No answer from the shop").waitFor();
    assert.equal((await orders(id)).length, 1, "it was decided");
    await page.reload();
    await page.getByText("No answer from the shop").waitFor();
    assert.ok(lost >= 2, `the page asked ${lost} times`);
    await page.unroute(`${shop}/v1/drops/${id}/orders`);
    await shows(page, "Reserved for you");
    assert.equal((await orders(id)).length, 1, "asked again, and bought once");
    await page.goBack();
    await page.getByText("You already have an order of this drop.").waitFor();
    await page.context().close();
  },

  async "a server that cannot decide is waited for, and no sale is shown that did not happen"() {
    const id = await drop("Draining", {});
    const page = await visitor();
    await page.goto(`${shop}/drops/${id}`);
    let [refused, isDraining] = [0, true];
    const problem = { code: "draining", status: 503, title: "t", detail: "d", applied: "no" };
    await page.route(`${shop}/v1/drops/${id}/orders`, (route) => {
      refused += 1;
      if (refused > 2 && !isDraining) return route.fallback();
      return route.fulfill({ status: 503, headers: { "Retry-After": "1", "Content-Type": "application/problem+json" }, body: JSON.stringify(problem) });
    });
    await button(page, "Reserve · ").click();
    await page.getByText("The shop is restarting").waitFor();
    assert.equal((await orders(id)).length, 0);
    isDraining = false;
    await shows(page, "Reserved for you");
    assert.equal((await orders(id)).length, 1);
    await page.context().close();
  },

  async "stock falls while it is looked at, is sold out, and is offered again when a unit comes back"() {
    const id = await drop("Last one", { total: 1 });
    const page = await visitor();
    await page.goto(`${shop}/drops/${id}`);
    await button(page, "Reserve · ").waitFor();
    const other = await takeFromApi(id, "another");
    await page.getByText("Sold out").waitFor();
    await button(page, "Stand by").waitFor();
    await page.getByText("1 unit is held by a person who is checking out").waitFor();
    const cancelled = await fetch(`${shop}/v1/orders/${other}/cancel`, { method: "POST" });
    assert.equal(cancelled.status, 200);
    await button(page, "Reserve · ").click();
    await shows(page, "Reserved for you");
    await page.context().close();
  },

  async "a sale opens and pauses by itself on the server's clock, which this machine's is an hour off"() {
    const at = (ms) => new Date(Date.now() + ms).toISOString();
    const id = await drop("Opens", { starts_at: at(600_000) });
    const page = await visitor();
    await page.addInitScript(() => {
      const real = Date.now;
      Date.now = () => real() - 3_600_000;
    });
    await page.goto(`${shop}/drops/${id}`);
    await page.getByText(/^starts in (10:00|9:\d\d)$/).waitFor();
    assert.equal(await button(page, "Not on sale yet").isDisabled(), true);
    const { revision } = await fetch(`http://${ADMIN}/v1/console/drops/${id}`).then((answer) => answer.json());
    await admin(`/v1/drops/${id}`, { starts_at: at(2_000), expected_revision: revision, reason: "sooner" }, "PATCH");
    await button(page, "Reserve · ").waitFor();
    await admin(`/v1/drops/${id}/pause`, { reason: "a look" });
    await button(page, "The sale is paused").waitFor();
    await admin(`/v1/drops/${id}/resume`, { reason: "go on" });
    await button(page, "Reserve · ").waitFor();
    await page.context().close();
  },

  async "a proof of work is solved in the page"() {
    const id = await drop("Challenged", { challenge: "proof_of_work" });
    const page = await visitor({ extraHTTPHeaders: { "X-Forwarded-For": "192.0.2.77" } });
    await page.goto(`${shop}/drops/${id}`);
    await button(page, "Reserve · ").click();
    await shows(page, "Reserved for you");
    await page.context().close();
  },

  async "names are text, and pages fit and have no findings at every width, light and dark"() {
    const odd = await drop("<b>مرحبا</b> 👟 <script>alert(1)</script> " + "Long".repeat(30), {
      description: "<img src=x onerror=alert(1)> " + "word ".repeat(60), unit_price: 100_000_000_000, currency: "KWD",
    });
    const paused = await drop("Paused", { currency: "JPY" });
    await admin(`/v1/drops/${paused}/pause`, { reason: "a look" });
    const held = await takeFromApi(odd, "fay");
    const auction = await admin("/v1/auctions", {
      sku: "b", name: "Second pair", currency: "VND", start_price: 1_000_000, starts_at: "2020-01-01T00:00:00Z",
      ends_at: new Date(Date.now() + 3_600_000).toISOString(),
    });
    const paths = { list: "/", drop: `/drops/${odd}`, paused: `/drops/${paused}?lang=vi`, auction: `/auctions/${auction.id}`, order: `/orders/${held}`, gone: "/orders/x" };
    for (const [device, [width, height]] of Object.entries(WIDTHS)) {
      for (const colorScheme of ["light", "dark"]) {
        const page = await visitor({ viewport: { width, height }, colorScheme, reducedMotion: "reduce" });
        page.on("dialog", (dialog) => complaints.push(`a dialog: ${dialog.message()}`));
        for (const [name, path] of Object.entries(paths)) {
          await page.goto(`${shop}${path}`);
          await page.locator("h1").waitFor();
          const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(over <= 0, `${name} on a ${device} is ${over} pixels too wide`);
          await hasNoFindings(page, `${name} on a ${device}, ${colorScheme}`);
          if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/${name}-${device}-${colorScheme}.png`, fullPage: true });
        }
        await page.context().close();
      }
    }
  },

  async "a purchase is made with the keyboard alone"() {
    const id = await drop("Keys", {});
    const page = await visitor();
    await page.goto(`${shop}/drops/${id}`);
    await button(page, "Reserve · ").waitFor();
    for (let presses = 0; presses < 12; presses += 1) {
      await page.keyboard.press("Tab");
      if ((await page.evaluate(() => document.activeElement?.textContent ?? "")).startsWith("Reserve")) break;
    }
    await page.keyboard.press("Enter");
    await shows(page, "Reserved for you");
    await page.context().close();
  },

  async "the page of a drop stays within its budget"() {
    const id = await drop("Light", {});
    const page = await visitor();
    const session = await page.context().newCDPSession(page);
    await session.send("Network.enable");
    await session.send("Emulation.setCPUThrottlingRate", { rate: 4 });
    let [bytes, requests] = [0, 0];
    session.on("Network.loadingFinished", ({ encodedDataLength }) => {
      bytes += encodedDataLength;
      requests += 1;
    });
    await page.goto(`${shop}/drops/${id}`);
    await button(page, "Reserve · ").waitFor();
    const ready = await page.evaluate(() => Math.round(performance.now()));
    console.log(`      budget: ${bytes} bytes in ${requests} requests, ready to buy after ${ready} ms on a CPU of a quarter`);
    assert.ok(bytes <= BYTES_MAX, `${bytes} bytes`);
    await page.context().close();
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
// The console has the statuses that the tests cause, and the connections that they cut.
const refused = complaints.filter((text) => !/status of (4(04|09|28)|503)|ERR_CONNECTION_RESET/.test(text));
if (refused.length > 0) {
  failed += 1;
  console.error(`FAILED the browser complains:\n${[...new Set(refused)].join("\n")}`);
}
await browser.close();
process.exit(failed === 0 ? 0 : 1);
