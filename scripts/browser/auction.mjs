// The page of an auction with two bidders in two browsers, in Debian's chromium, from the real program with --demo
// (scripts/browser.sh). No step sleeps: each waits for what the pages show.
import assert from "node:assert/strict";
import { WAIT_MS } from "./browser.mjs";
import { Shop, hasNoFindings, run, shows, visitor } from "./shop.mjs";

const { PUBLIC, ADMIN, SCREENSHOTS } = process.env;
const shop = new Shop(PUBLIC, ADMIN);
const LOOKS = { phone: [390, 844, "light"], "dark-phone": [390, 844, "dark"], tablet: [768, 1024, "light"], desktop: [1280, 900, "light"], "dark-desktop": [1280, 900, "dark"] };
/// Tests that run at once: each waits most of its time, and has an auction and visitors of its own.
const LANES = 3;

/// The length of an auction that a test sees end, from its last bid on: every bid moves its end.
const LAST_SECONDS = 20;

const inSeconds = (seconds) => new Date(Date.now() + seconds * 1000).toISOString();

async function auction(name, with_ = {}) {
  const made = await shop.operate("/v1/auctions", { sku: "a", name, currency: "EUR", start_price: 10000, starts_at: "2020-01-01T00:00:00Z", ends_at: inSeconds(3600), ...with_ });
  return { id: made.id, path: `${shop.url}/auctions/${made.id}`, dropId: made.drop_id };
}

const state = async (id) => (await fetch(`${shop.url}/v1/auctions/${id}`)).json();
const bids = async (id) => (await (await fetch(`${shop.url}/v1/auctions/${id}/bids`)).json()).data;
const bidButton = (page) => page.getByRole("button", { name: "Bid", exact: true });
const exactly = (page, name) => page.getByRole("button", { name, exact: true });
/// The word beside the price.
const standing = (page, word) => page.locator(".chip", { hasText: word }).waitFor();

async function bid(page, amount, maximum = "") {
  await page.getByLabel("Your bid (EUR)").fill(amount);
  await page.getByLabel(/^Your maximum/).fill(maximum);
  await bidButton(page).click();
}

const tests = {
  async "two bidders see live who leads, what the next bid must be, and a late bid moves the end; the winner pays"() {
    const lot = await auction("The first pair", { ends_at: inSeconds(LAST_SECONDS), soft_close_seconds: LAST_SECONDS });
    const [ann, bob] = await Promise.all([visitor({ locale: "en-GB" }), visitor({ locale: "en-GB" })]);
    await Promise.all([ann, bob].map((page) => page.goto(lot.path)));
    await bid(ann, "1,5,");
    await ann.getByText("This is not an amount in EUR.").waitFor();
    await bid(ann, "99.99");
    await ann.getByText("Bid at least €100.00").waitFor();
    await bid(ann, "100", "150");
    await standing(ann, "You lead");
    await bob.getByText("Next bid at least").waitFor();
    await bob.locator("form .row b", { hasText: "€101.00" }).first().waitFor();
    // A bid below the other's maximum is outbid at once.
    await bid(bob, "120");
    await standing(bob, "You have been outbid");
    const before = Date.parse((await state(lot.id)).ends_at);
    await bid(bob, "200");
    await standing(bob, "You lead");
    await standing(ann, "You have been outbid");
    await ann.getByText("Bid more to lead again.").waitFor();
    await ann.locator(".clock", { hasText: "€200.00" }).waitFor();
    const after = Date.parse((await state(lot.id)).ends_at);
    assert.ok(after > before, "the end has moved");
    await ann.getByText("another bid won").waitFor({ timeout: WAIT_MS + LAST_SECONDS * 1000 });
    await bob.getByText("You have won. Your order is ready.").waitFor();
    await bob.getByRole("link", { name: "Open your order" }).click();
    await bob.getByRole("heading", { level: 1 }).waitFor();
    assert.match(bob.url(), /\/orders\//);
    await bob.getByText("€200.00").first().waitFor();
    await bob.getByRole("link", { name: /^Pay / }).click();
    await exactly(bob, "Pay").click();
    await shows(bob, "Paid");
    const [order, ...more] = await shop.orders(lot.dropId);
    assert.deepEqual([order.state, order.amount, more.length], ["paid", 20000, 0]);
    for (const page of [ann, bob]) await page.context().close();
  },

  async "a bid whose answer is lost is asked for again with its key, and a double click is one bid"() {
    const lot = await auction("Lost");
    const page = await visitor({ locale: "en-GB" });
    await page.goto(lot.path);
    await page.route(`${shop.url}/v1/auctions/${lot.id}/bids`, async (route) => {
      await route.fetch();
      await route.abort("connectionreset");
    });
    await bid(page, "100");
    await page.getByText("No answer from the shop").waitFor();
    await page.reload();
    await page.getByText("No answer from the shop").waitFor();
    await page.unroute(`${shop.url}/v1/auctions/${lot.id}/bids`);
    await standing(page, "You lead");
    assert.equal((await bids(lot.id)).length, 1);
    await page.getByLabel("Your bid (EUR)").fill("150");
    await bidButton(page).dblclick();
    await page.locator(".clock", { hasText: "€150.00" }).waitFor();
    assert.equal((await bids(lot.id)).length, 2);
    await page.context().close();
  },

  async "the unit is bought at once with a confirmation, and only until the first bid"() {
    const lot = await auction("At once", { buy_now: 90000 });
    const [ann, bob] = await Promise.all([visitor({ locale: "en-GB" }), visitor({ locale: "en-GB" })]);
    await Promise.all([ann, bob].map((page) => page.goto(lot.path)));
    await exactly(ann, "Buy now").click();
    assert.equal((await shop.orders(lot.dropId)).length, 0, "nothing is bought without the box");
    await ann.getByLabel("I buy it now for €900.00").check();
    await exactly(ann, "Buy now").dblclick();
    await shows(ann, "Reserved for you");
    await bob.getByText("Ended").first().waitFor();
    const made = await shop.orders(lot.dropId);
    assert.deepEqual([made.length, made[0].amount], [1, 90000]);
    // The way back to the order.
    await ann.goto(lot.path);
    await ann.getByRole("link", { name: "Open your order" }).waitFor();

    const other = await auction("Bid first", { buy_now: 90000 });
    await Promise.all([ann, bob].map((page) => page.goto(other.path)));
    await ann.getByLabel("I buy it now for €900.00").check();
    await bid(bob, "100");
    await standing(bob, "You lead");
    await exactly(ann, "Buy now").waitFor({ state: "hidden" });
    for (const page of [ann, bob]) await page.context().close();
  },

  async "an e-mail address comes with a bid, and an owner erases it"() {
    const lot = await auction("Mails");
    const page = await visitor({ locale: "en-GB" });
    await page.goto(lot.path);
    const sent = page.waitForRequest((request) => request.method() === "POST" && request.url().endsWith("/bids"));
    await page.getByLabel(/^E-mail/).fill("ann@example.org");
    await bid(page, "100");
    const { buyer, contact } = (await sent).postDataJSON();
    assert.deepEqual(contact, { email: "ann@example.org" });
    await standing(page, "You lead");
    const erase = () => fetch(`http://${ADMIN}/v1/auctions/${lot.id}/bidder-contact?buyer=${buyer}`, { method: "DELETE" });
    assert.equal((await erase()).status, 204);
    await page.context().close();
  },

  async "without JavaScript a buyer bids, is outbid, buys at once and finds the order"() {
    const lot = await auction("By forms");
    const page = await visitor({ locale: "en-GB", javaScriptEnabled: false });
    await page.goto(lot.path);
    const send = async (amount) => {
      await page.getByLabel("Your name").first().fill("ann");
      await page.getByLabel("Your bid (EUR)").fill(amount);
      await bidButton(page).click();
    };
    await send("100,50");
    await page.getByText("You lead").waitFor();
    assert.equal((await state(lot.id)).current, 10050);
    // A reload sends the form again: it is the same bid.
    await page.reload();
    assert.equal((await bids(lot.id)).length, 1);
    assert.equal(await page.getByLabel("Your name").first().inputValue(), "ann");
    await fetch(`${shop.url}/v1/auctions/${lot.id}/bids`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": "other" },
      body: JSON.stringify({ buyer: "other", amount: 20000, maximum: 50000 }),
    });
    await send("50");
    await page.getByText("The bid is too low").waitFor();
    await send("250");
    await page.getByText("You have been outbid").waitFor();

    const fixed = await auction("At once by forms", { buy_now: 90000 });
    await page.goto(fixed.path);
    const form = page.locator("form", { hasText: "I buy it now for" });
    await form.getByLabel("Your name").fill("ann");
    await form.getByRole("checkbox").check();
    await form.getByRole("button").click();
    await shows(page, "Reserved for you");
    const order = page.url();
    await page.goto(fixed.path);
    await page.getByLabel("Your name").fill("bob");
    await exactly(page, "Open your order").click();
    await page.getByText("There is no order for this name.").waitFor();
    await page.getByLabel("Your name").fill("ann");
    await exactly(page, "Open your order").click();
    await shows(page, "Reserved for you");
    assert.equal(page.url(), order);
    await page.context().close();
  },

  async "the page fits and has no findings at every width, light and dark, in both languages"() {
    const live = await auction("Runner 04 “Ember”, no. 1 of 100", { buy_now: 90000, soft_close_seconds: 60, reserve_price: 20000 });
    const odd = await auction("<b>مرحبا</b> 👟 " + "Long".repeat(30), { currency: "VND", start_price: 100_000_000_000 });
    const cancelled = await auction("Cancelled");
    await shop.operate(`/v1/auctions/${cancelled.id}/cancel`, { reason: "a look" });
    for (const [device, [width, height, colorScheme]] of Object.entries(LOOKS)) {
      const page = await visitor({ locale: "en-GB", viewport: { width, height }, colorScheme, reducedMotion: "reduce" });
      for (const [name, path] of Object.entries({ live: live.path, odd: `${odd.path}?lang=vi`, cancelled: cancelled.path })) {
        await page.goto(path);
        await page.locator("h1").waitFor();
        if (name === "live" && device === "desktop") {
          await page.getByLabel("Your bid (EUR)").fill("5");
          await bidButton(page).click();
          await page.getByText("The bid is too low").waitFor();
        }
        await hasNoFindings(page, `${name} on a ${device}`);
        if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/auction-${name}-${device}.png`, fullPage: true });
      }
      await page.context().close();
    }
  },
};

// The console has the statuses that the tests cause, and the connections that they cut.
await run(tests, /status of (4(04|09)|503)|ERR_CONNECTION_RESET/, { lanes: LANES });
