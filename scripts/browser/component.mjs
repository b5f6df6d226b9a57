// The web component on pages of another origin with a strict content security policy, in Debian's chromium, from the real program
// (scripts/browser.sh). With TOKEN_KEY the server's buyers have tokens, and only the tests of tokens run. No step sleeps: each
// waits for what the page shows.
import assert from "node:assert/strict";
import { LOOKS, api, heard, host, listen, open, shop, token } from "./component-host.mjs";
import { button, hasNoFindings, run, shows, visitor } from "./shop.mjs";

const { TOKEN_KEY, SCREENSHOTS } = process.env;
/// The most bytes of the component as it comes over the wire: 19,500 and those of its headers.
const BYTES_MAX = 20_100;
/// Tests that run at once: each waits most of its time, and has a drop and a visitor of its own.
const LANES = 4;

const elsewhere = await listen();

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
    // The page of an order without contact details has the button, too.
    await shows(page, "Waiting for your payment");
    await page.getByRole("button", { name: "Pay", exact: true }).click();
    await shows(page, "Paid");
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
    let [refused, isDraining] = [0, true];
    const problem = { code: "draining", status: 503, title: "t", detail: "d", applied: "no" };
    await page.route(`${api}/v1/drops/${id}/orders`, (route) => {
      if (route.request().method() !== "POST") return route.fallback();
      refused += 1;
      if (refused > 2 && !isDraining) return route.fallback();
      const headers = { "Retry-After": "1", "Content-Type": "application/problem+json", "Access-Control-Allow-Origin": host, "Access-Control-Expose-Headers": "Retry-After" };
      return route.fulfill({ status: 503, headers, body: JSON.stringify(problem) });
    });
    await button(page, "Reserve · ").click();
    await page.getByText("The shop is restarting").waitFor();
    await page.getByText(/^The page tries again by itself in 0:0\d$/).waitFor();
    assert.equal((await shop.orders(id)).length, 0);
    isDraining = false;
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

  async "stock falls without a stream, a refusal tells the next return, and the offer is back when a unit comes back"() {
    const id = await shop.drop("Last one", { total: 1 });
    const page = await visitor({ locale: "en-GB" });
    await page.route("**/stream", (route) => route.abort());
    await open(page, id);
    await button(page, "Reserve · ").waitFor();
    // The page learns of it by the refusal: its next look would make the button one that stands by, maybe just before the click.
    let goOn;
    const looks = new Promise((resolve) => (goOn = resolve));
    await page.route(`**/v1/drops/${id}`, (route) => looks.then(() => route.continue()));
    const other = await shop.take(id, "another");
    await button(page, "Reserve · ").click();
    await page.getByText("Not enough units are free").waitFor();
    goOn();
    await button(page, "Stand by").waitFor();
    await page.getByText(/^The next reservation ends in [12]:\d\d$/).waitFor();
    assert.equal((await fetch(`${api}/v1/orders/${other}/cancel`, { method: "POST" })).status, 200);
    await button(page, "Reserve · ").click();
    await page.getByText("Reserved for you").waitFor();
    await page.context().close();
  },

  async "a reservation runs out on the server's clock, which this machine's is an hour off, and the offer is back"() {
    const id = await shop.drop("Runs out", { reservation_seconds: 6, starts_at: new Date(Date.now() + 600_000).toISOString() });
    const page = await visitor({ locale: "en-GB" });
    await page.addInitScript(() => {
      const real = Date.now;
      Date.now = () => real() - 3_600_000;
    });
    await open(page, id);
    await page.getByText(/^starts in (10:00|9:\d\d)$/).waitFor();
    assert.equal(await button(page, "Not on sale yet").isDisabled(), true);
    await shop.begin(id);
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
