// Blind windows in the storefront, in Debian's chromium, from the real program with --demo (scripts/browser.sh): an order is recorded,
// drawn with others, and becomes an order or none; with scripts and without, over reloads, in other tabs and on a phone that slept.
// No step sleeps: each waits for what the page shows, for at most WAIT_MS.
import assert from "node:assert/strict";
import { Shop, button, hasNoFindings, run, runShown, send, shows, until, visitor } from "./shop.mjs";

const { PUBLIC, ADMIN, SCREENSHOTS } = process.env;
const shop = new Shop(PUBLIC, ADMIN);
const at = (seconds) => new Date(Date.now() + seconds * 1000).toISOString();

/// A drop with the longest blind window there is. Its start lies far ahead: pages are there before it, however slow the machine.
const blindDrop = (name, with_ = {}) => shop.drop(name, { starts_at: at(600), blind_ms: 5000, ...with_ });

async function place(dropId, buyer) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": `${dropId}-${buyer}` };
  const answer = await send(`${shop.url}/v1/drops/${dropId}/orders`, { method: "POST", headers, body: JSON.stringify({ buyer, quantity: 1 }) });
  assert.equal(answer.status, 202, await answer.clone().text());
  return answer.json();
}

/// Waits until the server has started a drop that begins.
const started = (dropId) => until("the start", async () => (await fetch(`${shop.url}/v1/drops/${dropId}`).then((answer) => answer.json())).state === "live");
const draw = (dropId) => fetch(`${shop.url}/v1/drops/${dropId}/draw`).then((answer) => answer.json());
const recorded = (page, number, in_ = /Your order is recorded: no\. /) => page.getByRole("heading", { name: new RegExp(`${in_.source}${number}$`) }).waitFor();
const keep = async (page, name) => SCREENSHOTS && page.screenshot({ path: `${SCREENSHOTS}/${name}.png`, fullPage: true });

function hide(page, isHidden) {
  return page.evaluate((isHidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => isHidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, isHidden);
}

const tests = {
  async "an order of the first moments is recorded once, outlives a reload and is known to other tabs, and becomes the order"() {
    const id = await blindDrop("Recorded");
    const page = await visitor({ locale: "en-GB", viewport: { width: 390, height: 844 } });
    await page.goto(`${shop.url}/drops/${id}`);
    await page.getByText("All orders of the first 5 seconds after the start are decided together").waitFor();
    await shop.begin(id);
    await button(page, "Reserve · €149.00").dblclick();
    await recorded(page, 1);
    await shop.pause(id);
    assert.equal(await button(page, /Reserve/).isVisible(), false, "there is one order for each buyer");
    await page.reload();
    await recorded(page, 1);
    await hasNoFindings(page, "a recorded order");
    await keep(page, "blind-recorded-phone");
    const other = await page.context().newPage();
    await other.goto(`${shop.url}/drops/${id}`);
    await recorded(other, 1);
    await shop.resume(id);
    await shows(page, "Reserved for you");
    await shop.hasOneOrder(id, "a recorded order in two tabs");
    await page.context().close();
  },

  async "a phone that slept over the decision goes to the order when it wakes"() {
    const id = await blindDrop("Asleep");
    const page = await visitor({ locale: "vi-VN", viewport: { width: 390, height: 844 } });
    await page.goto(`${shop.url}/drops/${id}`);
    await shop.begin(id);
    await button(page, /Giữ chỗ/).click();
    await recorded(page, 1, /Đơn của bạn đã được ghi nhận: số /);
    await shop.pause(id);
    await hasNoFindings(page, "a recorded order in Vietnamese");
    await hide(page, true);
    await shop.resume(id);
    await until("the order is there while the phone sleeps", async () => (await shop.orders(id)).length === 1);
    await hide(page, false);
    await page.waitForURL(/\/orders\//);
    await page.context().close();
  },

  async "who gets no unit is told so, and the proof of the draw is on the page with a command that verifies it"() {
    const id = await blindDrop("Missed", { total: 1 });
    const page = await visitor({ locale: "en-GB" });
    await page.goto(`${shop.url}/drops/${id}`);
    await shop.begin(id);
    await started(id);
    // All at once: on a slow machine the window would be over by the end of the crowd.
    await Promise.all([button(page, "Reserve · €149.00").click(), ...Array.from({ length: 20 }, (_, n) => place(id, `crowd-${n}`))]);
    const heading = await page.getByRole("heading", { name: /^Your order is recorded: no\. \d+$/ }).textContent();
    const [, number] = /no\. (\d+)$/.exec(heading);
    await until("it is decided", async () => (await draw(id)).state === "drawn");
    // One of 21 gets the unit: mostly another.
    const [order] = await until("an order", async () => { const all = await shop.orders(id); return all.length > 0 && all; });
    const isOwn = !order.buyer.startsWith("crowd-");
    if (isOwn) await shows(page, "Reserved for you");
    else await page.getByText("No unit was left for your order").waitFor();
    if (isOwn) await page.goto(`${shop.url}/drops/${id}`);
    // The server has no time for the proof at first: the page asks again by itself.
    const busy = JSON.stringify({ code: "overloaded", status: 503, title: "t", detail: "d", applied: "no" });
    const headers = { "Retry-After": "1", "Content-Type": "application/problem+json" };
    await page.route(/\/draw\?ticket=/, (route) => route.fulfill({ status: 503, headers, body: busy }), { times: 2 });
    await page.getByText("The draw and its proof").click();
    await page.getByText(new RegExp(`Your order no\\. ${number} was in the draw, and got place \\d`)).waitFor();
    await page.getByText("21 orders are in the draw.").waitFor();
    await hasNoFindings(page, "the proof of a window");
    await keep(page, "blind-proof-desktop");
    const { command, told } = await runShown(page);
    assert.ok(command.endsWith(` --ticket ${number}`), command);
    assert.match(told, new RegExp(`^ticket ${number}: among the tickets`, "m"), "the command of the page verifies the order");
    await page.context().close();
  },

  async "a buyer takes the order back, and orders again"() {
    const id = await blindDrop("Taken back");
    const page = await visitor({ locale: "en-GB" });
    await page.goto(`${shop.url}/drops/${id}`);
    await shop.begin(id);
    await button(page, /Reserve/).click();
    await recorded(page, 1);
    await shop.pause(id);
    await button(page, "Take the order back").click();
    await page.getByText("You took your order back").waitFor();
    await shop.resume(id);
    await button(page, /Reserve/).click();
    // The window may be over by then on a busy machine: then it is an order at once.
    await page.getByRole("heading", { name: /Your order is recorded: no\. 2|Reserved for you/ }).first().waitFor();
    await shows(page, "Reserved for you");
    await shop.hasOneOrder(id, "an order that was taken back and placed again");
    await page.context().close();
  },

  async "a pause is told while an order is recorded, and the draw comes when the sale goes on"() {
    const id = await blindDrop("Paused");
    const page = await visitor({ locale: "en-GB" });
    await page.goto(`${shop.url}/drops/${id}`);
    await shop.begin(id);
    await button(page, /Reserve/).click();
    await recorded(page, 1);
    await shop.pause(id);
    await page.getByText(/nothing is decided at the moment/).waitFor();
    // A paused drop is not drawn.
    await until("the window is over", async () => (await draw(id)).state === "fixing");
    await recorded(page, 1);
    await shop.resume(id);
    await shows(page, "Reserved for you");
    await page.context().close();
  },

  async "without scripts a recorded order has a page that loads again by itself, and tells what the draw decided"() {
    const id = await blindDrop("Plain", { total: 1 });
    const [first, second] = await Promise.all(["Zoë & Co", "Bob"].map(async (name) => {
      const page = await visitor({ javaScriptEnabled: false, locale: "en-GB", viewport: { width: 390, height: 844 } });
      await page.goto(`${shop.url}/drops/${id}`);
      await page.getByLabel("Your name").fill(name);
      return page;
    }));
    await shop.begin(id);
    await started(id);
    await Promise.all([first, second].map(async (page) => {
      await button(page, "Reserve").click();
      await page.getByRole("heading", { name: /Your order is recorded: no\. [12]/ }).waitFor();
    }));
    await shop.pause(id);
    assert.equal(await first.locator("meta[http-equiv=refresh]").count(), 1, "the page loads again by itself");
    await first.getByRole("link", { name: "VI" }).click();
    await first.getByRole("heading", { name: /Đơn của bạn đã được ghi nhận: số [12]/ }).waitFor();
    await first.getByRole("link", { name: "EN" }).click();
    await keep(first, "blind-plain-phone");
    await shop.resume(id);
    // Nobody reloads: the page does.
    const ends = await Promise.all([first, second].map(async (page) => {
      const end = page.getByRole("heading", { name: /^(Reserved for you|No unit was left for your order)$/ });
      await end.waitFor();
      return (await end.textContent()) === "Reserved for you" ? "order" : "missed";
    }));
    assert.deepEqual(ends.toSorted(), ["missed", "order"]);
    const missed = ends[0] === "missed" ? first : second;
    await keep(missed, "blind-missed-phone");
    await missed.getByRole("link", { name: "Back to the drop" }).click();
    await missed.getByRole("heading", { name: "Plain" }).waitFor();
    await Promise.all([first, second].map((page) => page.context().close()));
  },
};

await run(tests, /ERR_INCOMPLETE_CHUNKED|net::ERR|404|409|503/, { lanes: 3 });
