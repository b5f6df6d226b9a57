// The web component on pages of another origin with a strict content security policy, in Debian's chromium, from the real program
// (scripts/browser.sh). HOST_PORT is the port of the origin in `public.cors_origins`. With TOKEN_KEY the server's buyers have
// tokens, and only the tests of tokens run. No step sleeps: each waits for what the page shows.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { Shop, button, hasNoFindings, run, visitor } from "./shop.mjs";

const { PUBLIC, ADMIN, HOST_PORT, TOKEN_KEY, SCREENSHOTS } = process.env;
const shop = new Shop(PUBLIC, ADMIN);
const api = shop.url;
const host = `http://127.0.0.1:${HOST_PORT}`;
/// The most bytes of the component as it comes over the wire.
const BYTES_MAX = 16_500;
/// Width, height and colours. The element is at most 440 pixels wide: between a phone and a desktop nothing changes.
const LOOKS = { phone: [390, 844, "light"], "dark-phone": [390, 844, "dark"], desktop: [1280, 900, "light"] };
/// Tests that run at once: each waits most of its time, and has a drop and a visitor of its own.
const LANES = 4;

/// The page's own script: it hears the component's events, and signs in where the address says so.
const HOST_SCRIPT = `
globalThis.heard = [];
for (const name of ["firstcome-order", "firstcome-sign-in", "firstcome-checkout"]) {
  document.addEventListener(name, (event) => {
    heard.push([name, event.detail.order?.state ?? event.detail.isRenewal ?? null]);
    if (name === "firstcome-checkout" && document.body.dataset.ownCheckout) event.preventDefault();
  });
}`;

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");

/// Serves the pages of a shop. The query has the element's attributes; `policy=closed` forbids connections to the server.
function pages(request, response) {
  const { pathname, searchParams } = new URL(request.url, host);
  if (pathname === "/host.js") return response.writeHead(200, { "Content-Type": "text/javascript" }).end(HOST_SCRIPT);
  if (pathname !== "/") return response.writeHead(404).end();
  const attributes = new Map([["api", api], ...searchParams]);
  const connect = attributes.get("policy") === "closed" ? "'none'" : api;
  const policy = `default-src 'none'; script-src 'self' ${api}; connect-src ${connect}; style-src 'self'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'`;
  const [language, dark] = [attributes.get("page-lang") ?? "en", attributes.has("dark")];
  for (const name of ["policy", "page-lang", "dark"]) attributes.delete(name);
  const element = [...attributes].map(([name, value]) => `${name}="${escaped(value)}"`).join(" ");
  response.writeHead(200, { "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy });
  response.end(`<!doctype html><html lang="${escaped(language)}"><head><meta charset="utf-8"><title>A shop</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="${dark ? "dark" : "light"}">
<link rel="icon" href="data:,"><script src="/host.js"></script>
<script type="module" src="${api}/assets/firstcome-drop.js"></script></head>
<body><main><h1>North Pier</h1><firstcome-drop ${element}></firstcome-drop></main></body></html>`);
}

const server = createServer(pages).listen(Number(HOST_PORT), "127.0.0.1");
const stranger = createServer(pages).listen(0, "127.0.0.1");
await Promise.all([server, stranger].map((one) => one.listening || new Promise((resolve) => one.once("listening", resolve))));

/// Opens a page of the shop with the component for a drop.
async function open(page, drop, attributes = {}, origin = host) {
  await page.goto(`${origin}/?${new URLSearchParams({ "drop-id": drop, ...attributes })}`);
}

/// Signs a token as the shop's sign-in does.
function token(buyer, seconds = 600) {
  const encode = (part) => Buffer.from(part).toString("base64url");
  const signed = `${encode('{"alg":"HS256"}')}.${encode(JSON.stringify({ sub: buyer, aud: "shop", exp: Math.floor(Date.now() / 1000) + seconds }))}`;
  return `${signed}.${createHmac("sha256", TOKEN_KEY).update(signed).digest("base64url")}`;
}

const heard = (page) => page.evaluate(() => globalThis.heard);

const tests = {
  async "a buyer reserves in place with a double click, pays on the server's page, and the shop's page sees it paid"() {
    const id = await shop.drop("Runner 04", { per_buyer_limit: 3 });
    const page = await visitor({ locale: "en-GB" });
    await open(page, id);
    await page.getByText("€149.00").first().waitFor();
    await button(page, "One more").click();
    await button(page, "Reserve · €298.00").dblclick();
    await page.getByText("Reserved for you").waitFor();
    assert.match(await page.getByRole("timer").textContent(), /^[12]:\d\d$/);
    assert.deepEqual(await heard(page), [["firstcome-order", "reserved"]]);
    assert.equal((await shop.orders(id)).length, 1, "a double click is one order");
    await page.reload();
    await page.getByText("Reserved for you").waitFor();
    await page.getByRole("link", { name: "Continue to payment" }).click();
    await page.waitForURL(`${api}/pay/**`);
    await page.getByLabel("E-mail").fill("ann@example.org");
    await button(page, "Proceed to payment").click();
    await page.getByRole("button", { name: "Pay", exact: true }).click();
    await page.getByRole("heading", { level: 1, name: "Paid", exact: true }).waitFor();
    await open(page, id);
    await page.getByText("Thank you. Your order is paid.").waitFor();
    const [order, ...more] = await shop.orders(id);
    assert.deepEqual([order.state, order.quantity, more.length], ["paid", 2, 0]);
    await button(page, "Back to the offer").click();
    await button(page, "Reserve · €149.00").waitFor();
    await page.context().close();
  },

  async "a shop takes the checkout over, and a buyer gives the unit back"() {
    const id = await shop.drop("Own checkout");
    const page = await visitor({ locale: "en-GB" });
    await open(page, id);
    await page.evaluate(() => {
      document.body.dataset.ownCheckout = "1";
    });
    await button(page, "Reserve · ").click();
    await page.getByRole("link", { name: "Continue to payment" }).click();
    await page.waitForFunction(() => globalThis.heard.length === 2);
    assert.equal(new URL(page.url()).origin, host, "the shop's page stays");
    await button(page, "Give it back").click();
    await page.getByText("You cancelled this order.").waitFor();
    assert.deepEqual((await heard(page)).map(([name, state]) => `${name} ${state}`), ["firstcome-order reserved", "firstcome-checkout reserved", "firstcome-order cancelled"]);
    assert.equal((await shop.orders(id))[0].state, "cancelled");
    await page.context().close();
  },

  async "an answer that is lost is asked for again, also after a reload, and the order exists once"() {
    const id = await shop.drop("Lost");
    const page = await visitor({ locale: "en-GB" });
    await open(page, id);
    let lost = 0;
    // The server decides; the answer does not come back.
    await page.route(`${api}/v1/drops/${id}/orders`, async (route) => {
      if (route.request().method() !== "POST") return route.fallback();
      lost += 1;
      await route.fetch();
      await route.abort("connectionreset");
    });
    await button(page, "Reserve · ").click();
    await page.getByText("No answer from the shop").waitFor();
    assert.equal((await shop.orders(id)).length, 1, "it was decided");
    await page.reload();
    await page.getByText("No answer from the shop").waitFor();
    assert.ok(lost >= 2, `the page asked ${lost} times`);
    await page.unroute(`${api}/v1/drops/${id}/orders`);
    await page.getByText("Reserved for you").waitFor();
    assert.equal((await shop.orders(id)).length, 1, "asked again, and bought once");
    await page.context().close();
  },

  async "a server that is draining and a sale that is paused are waited for by Retry-After, and the buyer may stop"() {
    const id = await shop.drop("Draining");
    const page = await visitor({ locale: "en-GB" });
    await open(page, id);
    let refused = 0;
    const problem = { code: "draining", status: 503, title: "t", detail: "d", applied: "no" };
    await page.route(`${api}/v1/drops/${id}/orders`, (route) => {
      if (route.request().method() !== "POST") return route.fallback();
      refused += 1;
      if (refused > 2) return route.fallback();
      const headers = { "Retry-After": "1", "Content-Type": "application/problem+json", "Access-Control-Allow-Origin": host, "Access-Control-Expose-Headers": "Retry-After" };
      return route.fulfill({ status: 503, headers, body: JSON.stringify(problem) });
    });
    await button(page, "Reserve · ").click();
    await page.getByText("The shop is restarting").waitFor();
    await page.getByText(/^The page tries again by itself in 0:0\d$/).waitFor();
    assert.equal((await shop.orders(id)).length, 0);
    await page.getByText("Reserved for you").waitFor();
    assert.equal((await shop.orders(id)).length, 1);
    await page.context().close();

    const paused = await shop.drop("Paused");
    const other = await visitor({ locale: "en-GB" });
    await open(other, paused);
    await button(other, "Reserve · ").waitFor();
    // The page knows nothing of the pause until it asks.
    await other.route(`${api}/v1/drops/${paused}/stream`, (route) => route.abort());
    await other.route(`${api}/v1/drops/${paused}`, (route) => route.abort());
    await other.reload();
    await other.unroute(`${api}/v1/drops/${paused}`);
    await button(other, "Reserve · ").waitFor();
    await other.route(`${api}/v1/drops/${paused}`, (route) => route.abort());
    await shop.operate(`/v1/drops/${paused}/pause`, { reason: "a look" });
    await button(other, "Reserve · ").click();
    await other.getByText("The sale is paused").first().waitFor();
    await button(other, "Stop trying").click();
    await shop.operate(`/v1/drops/${paused}/resume`, { reason: "go on" });
    await button(other, "Reserve · ").click();
    await other.getByText("Reserved for you").waitFor();
    await other.context().close();
  },

  async "stock falls without a stream, is sold out with the next return, and is offered again when a unit comes back"() {
    const id = await shop.drop("Last one", { total: 1 });
    const page = await visitor({ locale: "en-GB" });
    await page.route("**/stream", (route) => route.abort());
    await open(page, id);
    await button(page, "Reserve · ").waitFor();
    const other = await shop.take(id, "another");
    await page.getByText("Sold out").waitFor();
    await button(page, "Ask for one that comes back").click();
    await page.getByText("Not enough units are free").waitFor();
    await page.getByText(/^The next reservation ends in [12]:\d\d$/).waitFor();
    assert.equal((await fetch(`${api}/v1/orders/${other}/cancel`, { method: "POST" })).status, 200);
    await button(page, "Reserve · ").click();
    await page.getByText("Reserved for you").waitFor();
    await page.context().close();
  },

  async "a reservation runs out on the server's clock, which this machine's is an hour off, and the offer is back"() {
    const id = await shop.drop("Runs out", { reservation_seconds: 3, starts_at: new Date(Date.now() + 3_000).toISOString() });
    const page = await visitor({ locale: "en-GB" });
    await page.addInitScript(() => {
      const real = Date.now;
      Date.now = () => real() - 3_600_000;
    });
    await open(page, id);
    await page.getByText(/^starts in 0:0\d$/).waitFor();
    assert.equal(await button(page, "Not on sale yet").isDisabled(), true);
    await button(page, "Reserve · ").click();
    await page.getByRole("timer").waitFor();
    assert.match(await page.getByRole("timer").textContent(), /^0:0\d$/);
    await page.getByText("The time to pay ran out").waitFor();
    await button(page, "Back to the offer").click();
    await button(page, "Reserve · ").waitFor();
    await page.context().close();
  },

  async "a page of an origin that is not allowed, and one whose policy forbids the server, say what is missing"() {
    const id = await shop.drop("Elsewhere");
    const page = await visitor({ locale: "en-GB" });
    const elsewhere = `http://127.0.0.1:${stranger.address().port}`;
    await open(page, id, {}, elsewhere);
    await page.getByText(`${api} does not answer pages of ${elsewhere}.`).waitFor();
    await page.getByText("public.cors_origins").waitFor();
    await open(page, id, { policy: "closed" });
    await page.getByText("The page has to name it in connect-src.").waitFor();
    await open(page, 999_999);
    await page.getByText(`There is no drop 999999 at ${api}.`).waitFor();
    await open(page, "", { "page-lang": "vi" });
    await page.getByText("thuộc tính drop-id bị thiếu").waitFor();
    await page.context().close();
  },

  async "a proof of work is solved although the page's policy allows no worker"() {
    const id = await shop.drop("Challenged", { challenge: "proof_of_work" });
    const page = await visitor({ locale: "en-GB" });
    // As a proxy would forward a buyer's address: loopback needs no challenge.
    await page.route(`${api}/v1/**`, (route) => route.continue({ headers: { ...route.request().headers(), "x-forwarded-for": "192.0.2.78" } }));
    await open(page, id);
    await button(page, "Reserve · ").click();
    await page.getByText("Reserved for you").waitFor();
    await page.context().close();
  },

  async "names are text, the element has no findings at every width, light and dark, and fits"() {
    const odd = await shop.drop("<b>مرحبا</b> 👟 <script>alert(1)</script> " + "Long".repeat(30), { unit_price: 100_000_000_000, currency: "KWD", per_buyer_limit: 9, identity_limits: { email: 2 } });
    const plain = await shop.drop("Runner 04 “Ember”", { total: 9_000, per_buyer_limit: 3, currency: "HUF", unit_price: 4_990_000, ends_at: new Date(Date.now() + 7_200_000).toISOString() });
    const paused = await shop.drop("Tạm dừng", { currency: "VND", unit_price: 1_490_000 });
    await shop.operate(`/v1/drops/${paused}/pause`, { reason: "a look" });
    for (const [device, [width, height, colorScheme]] of Object.entries(LOOKS)) {
      const page = await visitor({ locale: "en-GB", viewport: { width, height }, colorScheme, reducedMotion: "reduce" });
      const dark = colorScheme === "dark" ? { dark: "" } : {};
      const look = async (name) => {
        await hasNoFindings(page, `${name} on a ${device}`);
        if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/component-${name}-${device}.png`, fullPage: true });
      };
      await open(page, odd, dark);
      await page.getByLabel("E-mail").waitFor();
      await look("odd");
      await open(page, paused, { ...dark, "page-lang": "vi-VN" });
      await page.getByText("1.490.000").first().waitFor();
      await look("paused");
      await open(page, plain, dark);
      await page.getByText("HUF 49,900.00").first().waitFor();
      await look("offer");
      await button(page, "Reserve · ").click();
      await page.getByRole("timer").waitFor();
      await look("order");
      await page.context().close();
    }
  },

  async "a purchase is made with the keyboard alone, and the focus is where it goes on"() {
    const id = await shop.drop("Keys", { per_buyer_limit: 2 });
    const page = await visitor({ locale: "en-GB" });
    await open(page, id);
    await button(page, "Reserve · ").waitFor();
    const focused = () => page.evaluate(() => document.activeElement?.shadowRoot?.activeElement?.textContent ?? "");
    for (let presses = 0; presses < 8 && !(await focused()).startsWith("Reserve"); presses += 1) await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByRole("timer").waitFor();
    await page.waitForFunction(() => document.activeElement?.shadowRoot?.activeElement?.textContent === "Reserved for you");
    await page.keyboard.press("Tab");
    assert.equal(await focused(), "Continue to payment");
    await page.context().close();
  },

  async "the component is small, and a shop's variables and parts style it"() {
    const id = await shop.drop("Small");
    const page = await visitor({ locale: "en-GB" });
    const session = await page.context().newCDPSession(page);
    await session.send("Network.enable");
    let bytes = 0;
    const sizes = new Map();
    session.on("Network.responseReceived", ({ requestId, response }) => response.url.endsWith("/firstcome-drop.js") && sizes.set(requestId, true));
    session.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
      if (sizes.has(requestId)) bytes += encodedDataLength;
    });
    await open(page, id);
    await button(page, "Reserve · ").waitFor();
    console.log(`      budget: ${bytes} bytes of the component over the wire`);
    assert.ok(bytes > 0 && bytes <= BYTES_MAX, `${bytes} bytes`);
    await page.evaluate(() => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync("firstcome-drop { --firstcome-accent: rgb(1, 2, 3); } firstcome-drop::part(price) { letter-spacing: 7px; }");
      document.adoptedStyleSheets = [sheet];
    });
    const look = (part, property) =>
      page.evaluate(([part, property]) => getComputedStyle(document.querySelector("firstcome-drop").shadowRoot.querySelector(`[part="${part}"]`))[property], [part, property]);
    assert.equal(await look("button", "backgroundColor"), "rgb(1, 2, 3)");
    assert.equal(await look("price", "letterSpacing"), "7px");
    await page.context().close();
  },
};

const testsOfTokens = {
  async "a buyer without a token is asked to sign in, and the wish goes on with the same key when the page sets it"() {
    const id = await shop.drop("Members");
    const page = await visitor({ locale: "en-GB" });
    await open(page, id);
    const keys = new Set();
    page.on("request", (request) => {
      const key = request.headers()["idempotency-key"];
      if (key && request.method() === "POST") keys.add(key);
    });
    await button(page, "Reserve · ").click();
    await page.getByText("Please sign in").waitFor();
    assert.deepEqual(await heard(page), [["firstcome-sign-in", false]]);
    await page.reload();
    // After the reload nobody is sent away by itself.
    await button(page, "Sign in").waitFor();
    assert.deepEqual(await heard(page), []);
    await button(page, "Sign in").click();
    assert.deepEqual(await heard(page), [["firstcome-sign-in", false]]);
    assert.equal((await shop.orders(id)).length, 0);
    await page.evaluate((token) => {
      document.querySelector("firstcome-drop").token = token;
    }, token("ann"));
    await page.getByText("Reserved for you").waitFor();
    assert.equal(keys.size, 1, "one wish has one key");
    assert.deepEqual((await shop.orders(id)).map(({ buyer }) => buyer), ["ann"]);
    assert.equal(await page.evaluate(() => document.querySelector("firstcome-drop").outerHTML.includes("eyJ")), false, "the token is not in the document");
    await page.context().close();
  },

  async "a token that has expired is renewed, and nothing is lost"() {
    const id = await shop.drop("Renewed");
    const page = await visitor({ locale: "en-GB" });
    await open(page, id, { token: token("bob", -600) });
    await button(page, "Reserve · ").click();
    await page.getByText("Please sign in again").waitFor();
    assert.deepEqual(await heard(page), [["firstcome-sign-in", true]]);
    await page.evaluate((token) => document.querySelector("firstcome-drop").setAttribute("token", token), token("bob"));
    await page.getByText("Reserved for you").waitFor();
    // The order of a buyer is shown again once their token is there.
    await open(page, id);
    await page.evaluate((token) => {
      document.querySelector("firstcome-drop").token = token;
    }, token("bob"));
    await page.getByText("Reserved for you").waitFor();
    assert.deepEqual((await shop.orders(id)).map(({ buyer }) => buyer), ["bob"]);
    await page.context().close();
  },
};

// The console has what the tests cause: refusals, connections that they cut, origins and workers that are not allowed, and the
// component's own words for the page's author.
const caused = /status of (4(01|04|09|28)|503)|net::ERR_(CONNECTION_RESET|FAILED)|blocked by CORS policy|Content Security Policy|TrustedScriptURL|^firstcome-drop: /;
await run(TOKEN_KEY ? testsOfTokens : tests, caused, { lanes: LANES });
