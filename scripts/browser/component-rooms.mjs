// The web component before a room and behind a drop that is sold out, on pages of another origin, in Debian's chromium, from the real
// program (scripts/browser.sh). With TOKEN_KEY only the tests of tokens run. No step sleeps: each waits for what the page shows.
import assert from "node:assert/strict";
import { LOOKS, api, heard, listen, open, shop, token } from "./component-host.mjs";
import { button, hasNoFindings, run, until, visitor } from "./shop.mjs";

const { TOKEN_KEY, SCREENSHOTS } = process.env;

await listen();

async function cancel(order, headers = {}) {
  const answer = await fetch(`${api}/v1/orders/${order}/cancel`, { method: "POST", headers });
  assert.equal(answer.status, 200, await answer.clone().text());
}

const tests = {
  async "an order of a blind window is recorded in place, outlives a reload, and becomes the order"() {
    const id = await shop.drop("Blind", { starts_at: new Date(Date.now() + 600_000).toISOString(), blind_ms: 5000, total: 1 });
    const page = await visitor({ locale: "en-GB" });
    await open(page, id);
    await page.getByText("All orders of the first 5 seconds after the start are decided together").waitFor();
    await shop.begin(id);
    await button(page, /Reserve/).click();
    await page.getByText("Your order is recorded: no. 1").waitFor();
    await shop.pause(id);
    await page.reload();
    await page.getByText("Your order is recorded: no. 1").waitFor();
    await hasNoFindings(page, "a recorded order in the component");
    await shop.resume(id);
    await page.getByText("Reserved for you", { exact: true }).waitFor();
    await shop.hasOneOrder(id, "a recorded order");
    await page.context().close();
  },

  async "a drop with a waiting room gives a ticket in place, and the form at the buyer's turn"() {
    const soon = (seconds) => new Date(Date.now() + seconds * 1000).toISOString();
    const room = { opens_at: soon(-60), admit_per_second: 20 };
    const id = await shop.drop("Room", { starts_at: soon(12), room });
    const page = await visitor();
    await open(page, id);
    await button(page, "Take a ticket").click();
    await page.getByText("Your ticket: no. 1").waitFor();
    await page.reload();
    await page.getByText(/Your ticket: no. 1|It is your turn/).waitFor();
    await page.getByText("It is your turn").waitFor();
    await hasNoFindings(page, "a turn in the component");
    await button(page, "Reserve · €149.00").click();
    await page.getByText("Reserved for you", { exact: true }).waitFor();
    await shop.hasOneOrder(id, "a buyer with a ticket");
    await page.context().close();
  },

  async "a buyer stands by with a double click, keeps the place over a reload, and the order is there when a unit comes back"() {
    const id = await shop.drop("Line", { total: 1 });
    const first = await shop.take(id, "first");
    const page = await visitor({ locale: "en-GB" });
    await open(page, id);
    await page.getByText("1 unit is held by a person who is checking out").waitFor();
    await button(page, "Stand by").dblclick();
    await page.getByText("Your place in the line: 1").waitFor();
    await page.getByText(/^The next reservation ends in [12]:\d\d$/).waitFor();
    assert.equal(await button(page, "Stand by").isVisible(), false, "one place for each buyer");
    await hasNoFindings(page, "a place in the line in the component");
    await page.reload();
    await page.getByText("Your place in the line: 1").waitFor();
    assert.equal((await shop.orders(id)).length, 1, "a place is no order");
    await cancel(first);
    await page.getByText("Reserved for you", { exact: true }).waitFor();
    assert.deepEqual(await heard(page), [["firstcome-order", "reserved"]]);
    assert.deepEqual((await shop.orders(id)).map(({ state }) => state).sort(), ["cancelled", "reserved"]);
    await page.reload();
    await page.getByText("Reserved for you", { exact: true }).waitFor();
    await page.context().close();
  },

  async "those who stand by before are told, a buyer leaves the line, and one with an address pays at once"() {
    const id = await shop.drop("Two places", { total: 1 });
    const first = await shop.take(id, "first");
    const [one, two] = [await visitor({ locale: "en-GB" }), await visitor({ locale: "vi-VN" })];
    await open(one, id);
    await one.getByLabel("E-mail").fill("ann@example.org");
    await button(one, "Stand by").click();
    await one.getByText("Your place in the line: 1").waitFor();
    await open(two, id, { "page-lang": "vi" });
    await two.getByText("Có 1 người đang chờ trước bạn").waitFor();
    await button(two, "Chờ hàng trở lại").click();
    await two.getByText("Chỗ của bạn trong hàng: 2").waitFor();
    await button(two, "Rời hàng chờ").click();
    await two.getByText("Bạn đã rời hàng chờ.").waitFor();
    await button(two, "Chờ hàng trở lại").waitFor();
    await two.reload();
    await button(two, "Chờ hàng trở lại").waitFor();
    await two.context().close();
    await cancel(first);
    await one.getByText("You pay on the next page.").waitFor();
    assert.deepEqual((await shop.orders(id)).map(({ state }) => state).sort(), ["awaiting_payment", "cancelled"]);
    await one.context().close();
  },

  async "a buyer whose drop ends has no place any more, and a room that is sold offers one"() {
    const id = await shop.drop("Over", { total: 1 });
    await shop.take(id, "first");
    const page = await visitor({ locale: "en-GB" });
    await open(page, id);
    await button(page, "Stand by").click();
    await page.getByText("Your place in the line: 1").waitFor();
    await shop.operate(`/v1/drops/${id}/close`, { reason: "a test" });
    await page.getByText("Thank you for coming.").waitFor();
    await page.getByText("Your place in the line: 1").waitFor({ state: "hidden" });
    await page.context().close();

    const past = (seconds) => new Date(Date.now() - seconds * 1000).toISOString();
    const sold = await shop.drop("Sold room", { total: 1, unit_price: 0, starts_at: past(5), room: { opens_at: past(60), admit_per_second: 20 } });
    const headers = { "Content-Type": "application/json" };
    await fetch(`${api}/v1/drops/${sold}/tickets`, { method: "POST", headers, body: '{"buyer":"first"}' });
    await until("the first buyer is admitted", async () => (await (await fetch(`${api}/v1/drops/${sold}/room`)).json()).serving > 0);
    const body = JSON.stringify({ buyer: "first", quantity: 1, contact: { email: "f@example.org" } });
    const order = await fetch(`${api}/v1/drops/${sold}/orders`, { method: "POST", headers: { ...headers, "Idempotency-Key": "sold" }, body });
    assert.equal((await order.json()).state, "paid");
    const late = await visitor({ locale: "en-GB" });
    await open(late, sold);
    await late.getByText("Every unit is sold", { exact: true }).waitFor();
    await button(late, "Stand by").click();
    await late.getByText("Your place in the line: 1").waitFor();
    await late.context().close();
  },

  async "a place and a ticket have no findings at every width, light and dark, and fit"() {
    const soon = (seconds) => new Date(Date.now() + seconds * 1000).toISOString();
    const line = await shop.drop("Runner 04 “Ember”", { total: 1, per_buyer_limit: 2 });
    await shop.take(line, "first");
    const gathers = await shop.drop("Gathers", { starts_at: soon(3600), room: { opens_at: soon(-60), admit_per_second: 20, draw: "random" } });
    for (const [device, [width, height, colorScheme]] of Object.entries(LOOKS)) {
      const page = await visitor({ locale: "en-GB", viewport: { width, height }, colorScheme, reducedMotion: "reduce" });
      const dark = colorScheme === "dark" ? { dark: "" } : {};
      const look = async (name) => {
        await hasNoFindings(page, `${name} on a ${device}`);
        if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/component-${name}-${device}.png`, fullPage: true });
      };
      await open(page, line, dark);
      await button(page, "Stand by").waitFor();
      await look("sold-out");
      await button(page, "Stand by").click();
      await page.getByText("Your place in the line: ").waitFor();
      await look("place");
      await open(page, gathers, dark);
      await button(page, "Take a ticket").click();
      await page.getByText("Your ticket: no. ").waitFor();
      await look("ticket");
      await page.context().close();
    }
  },
};

const testsOfTokens = {
  async "another buyer in the same tab has another ticket"() {
    const room = { opens_at: "2020-01-01T00:00:00Z", admit_per_second: 20 };
    const id = await shop.drop("Two members", { starts_at: new Date(Date.now() + 3_600_000).toISOString(), room });
    const page = await visitor({ locale: "en-GB" });
    const signIn = (buyer) => page.evaluate((token) => document.querySelector("firstcome-drop").setAttribute("token", token), token(buyer));
    await open(page, id, { token: token("ann") });
    await button(page, "Take a ticket").click();
    await page.getByText("Your ticket: no. 1").waitFor();
    await signIn("bob");
    await button(page, "Take a ticket").click();
    await page.getByText("Your ticket: no. 2").waitFor();
    await signIn("ann");
    await page.getByText("Your ticket: no. 1").waitFor();
    await page.context().close();
  },

  async "a buyer with a token stands by, and the place is theirs alone"() {
    const id = await shop.drop("Members' line", { total: 1 });
    const headers = { "Content-Type": "application/json", Authorization: `Bearer ${token("first")}`, "Idempotency-Key": "first" };
    const answer = await fetch(`${api}/v1/drops/${id}/orders`, { method: "POST", headers, body: '{"quantity":1}' });
    assert.equal(answer.status, 201, await answer.clone().text());
    const page = await visitor({ locale: "en-GB" });
    await open(page, id);
    await button(page, "Stand by").click();
    await page.getByText("Please sign in").waitFor();
    await page.evaluate((token) => {
      document.querySelector("firstcome-drop").token = token;
    }, token("ann"));
    await page.getByText("Your place in the line: 1").waitFor();
    await cancel((await answer.json()).id, { Authorization: headers.Authorization });
    await page.getByText("Reserved for you", { exact: true }).waitFor();
    assert.deepEqual((await shop.orders(id)).map(({ buyer }) => buyer).sort(), ["ann", "first"]);
    await page.context().close();
  },
};

await run(TOKEN_KEY ? testsOfTokens : tests, /status of (4(01|04|09|10)|503)|net::ERR_(CONNECTION_RESET|FAILED)|TrustedScriptURL|Content Security Policy/, { lanes: 3 });
