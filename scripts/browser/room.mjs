// Waiting rooms in the storefront, in Debian's chromium, from the real program with --demo (scripts/browser.sh): tickets, places,
// turns, and what a phone sees that slept. No step sleeps: each waits for what the page shows, for at most WAIT_MS.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Shop, button, hasNoFindings, run, runShown, send, serve, until, visitor } from "./shop.mjs";

const { PUBLIC, ADMIN } = process.env;
const shop = new Shop(PUBLIC, ADMIN);
const at = (seconds) => new Date(Date.now() + seconds * 1000).toISOString();

/// A drop with a room that is open, and whose sale starts in so many seconds.
function roomDrop(name, startsIn, room = {}, with_ = {}, of = shop) {
  return of.drop(name, { starts_at: at(startsIn), room: { opens_at: at(-60), admit_per_second: 20, ...room }, ...with_ });
}

async function takeTickets(dropId, names, of = shop) {
  const take = async (buyer) => {
    const headers = { "Content-Type": "application/json" };
    const answer = await send(`${of.url}/v1/drops/${dropId}/tickets`, { method: "POST", headers, body: JSON.stringify({ buyer }) });
    assert.equal(answer.status, 201, await answer.clone().text());
    return answer.json();
  };
  // One after the other: the numbers are those of the order of arrival.
  const taken = [];
  for (const name of names) taken.push(await take(name));
  return taken;
}

const crowd = (count) => Array.from({ length: count }, (_, index) => `crowd-${index}`);
const room = (dropId, of = shop) => fetch(`${of.url}/v1/drops/${dropId}/room`).then((answer) => answer.json());
const draw = (dropId) => fetch(`${shop.url}/v1/drops/${dropId}/draw`).then((answer) => answer.json());
const title = (page, text) => page.locator(".room").getByRole("heading", { name: text, exact: true }).waitFor();

/// The tab goes into the background, or comes back: a phone that sleeps and wakes.
function hide(page, isHidden) {
  return page.evaluate((isHidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => isHidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, isHidden);
}

const tests = {
  async "a room opens by itself, and a buyer takes one ticket and keeps it over reloads and in other tabs"() {
    const id = await shop.drop("Room", { starts_at: at(600), room: { opens_at: at(300), admit_per_second: 20 } });
    const page = await visitor({ locale: "en-GB" });
    await page.goto(`${shop.url}/drops/${id}`);
    await title(page, "The waiting room is not open yet");
    assert.equal(await button(page, /Reserve/).isVisible(), false, "nobody orders yet");
    // The page has been seen closed by now, however slow the machine is.
    await shop.change(id, { room: { opens_at: at(2) } });
    await title(page, "The waiting room is open");
    await hasNoFindings(page, "an open room");
    await button(page, "Take a ticket").dblclick();
    await title(page, "Your ticket: no. 1");
    assert.equal((await room(id)).tickets, 1, "a double click is one ticket");
    await page.reload();
    await title(page, "Your ticket: no. 1");
    await hasNoFindings(page, "a ticket");
    const other = await page.context().newPage();
    await other.goto(`${shop.url}/drops/${id}`);
    await title(other, "Your ticket: no. 1");
    await page.context().close();
  },

  async "at the turn there are a clock and the form of the order, and the order uses it once"() {
    const id = await roomDrop("Turn", 2);
    const page = await visitor({ locale: "en-GB" });
    await page.goto(`${shop.url}/drops/${id}`);
    await button(page, "Take a ticket").click();
    await title(page, "It is your turn");
    await until("the clock of the turn", async () => /^[12]:\d\d$/.test(await page.getByRole("timer").textContent()));
    await until("a tab in the background says so", async () => /It is your turn/.test(await page.title()));
    await hasNoFindings(page, "a turn");
    const other = await page.context().newPage();
    await other.goto(`${shop.url}/drops/${id}`);
    await title(other, "It is your turn");
    await button(page, "Reserve · €149.00").click();
    await page.getByRole("heading", { level: 1, name: "Reserved for you" }).waitFor();
    await shop.hasOneOrder(id, "a buyer with a ticket");
    await page.goBack();
    await page.getByText("You already have an order of this drop.").waitFor();
    // The turn is used: the page neither calls the buyer nor says that it has passed.
    await page.getByText(/^(It is your turn|Your time for the order has passed)$/).waitFor({ state: "hidden" });
    await until("the tab does not call", async () => (await page.title()) === "Turn");
    // A tab that was open meanwhile offers no second order.
    await other.getByText("You already have an order of this drop.").waitFor();
    await other.getByText(/^It is your turn$/).waitFor({ state: "hidden" });
    await page.context().close();
  },

  async "a buyer who waits sees the place and how many are ahead, also after the phone slept, offline, and in a tab that is opened anew"() {
    // Nobody orders, so that turns come and pass.
    const id = await roomDrop("Wait", -1, { admit_per_second: 5, order_seconds: 2 }, { total: 2 });
    // A pause holds the line until the place has been read: tickets are still taken, and nobody is let in.
    await shop.pause(id);
    await takeTickets(id, crowd(13));
    const page = await visitor({ locale: "en-GB", viewport: { width: 390, height: 844 } });
    await page.goto(`${shop.url}/drops/${id}`);
    await title(page, "The line is moving");
    await button(page, "Take a ticket").click();
    await title(page, "Your place: 14");
    const ahead = async () => Number(/(\d+) ahead of you/.exec(await page.locator(".room").textContent())?.[1] ?? -1);
    const before = await ahead();
    assert.equal(before, 13, `${before} are ahead`);
    await hasNoFindings(page, "a place");
    await hide(page, true);
    const { serving } = await room(id);
    await shop.resume(id);
    await until("the line moves while the phone sleeps", async () => (await room(id)).serving > serving);
    await hide(page, false);
    await until("the page knows it", async () => (await ahead()) < before);
    await page.context().setOffline(true);
    await page.getByText("No answer from the shop").waitFor();
    await page.context().setOffline(false);
    await page.close();
    const anew = await page.context().newPage();
    await anew.goto(`${shop.url}/drops/${id}`);
    // Its turn comes and passes: on a busy machine before the page is there.
    await title(anew, "Your time for the order has passed");
    // No other ticket waits: a late buyer may have what is left.
    await button(anew, /Reserve/).waitFor();
    await anew.context().close();
  },

  async "a ticket outlives a body of the room that is older than it, and a newer one without it forgets it"() {
    const id = await roomDrop("Cached", 600);
    const page = await visitor({ locale: "en-GB" });
    await page.goto(`${shop.url}/drops/${id}`);
    await button(page, "Take a ticket").click();
    await title(page, "Your ticket: no. 1");
    // As a cache in front of the server answers: without a stream, and with the body of before the ticket.
    const { updated_at: _, ...body } = { ...(await room(id)), tickets: 0 };
    let [asked, updated_at] = [0, at(-2)];
    await page.route(`**/drops/${id}/room/stream`, (route) => route.abort());
    await page.route(`**/drops/${id}/room`, (route) => {
      asked += 1;
      return route.fulfill({ json: { ...body, updated_at } });
    });
    await page.reload();
    await until("the page asks twice", async () => asked >= 2);
    await title(page, "Your ticket: no. 1");
    updated_at = at(60);
    await title(page, "The waiting room is open");
    await page.context().close();
  },

  async "a refused ticket is asked for once, and again after a click"() {
    const id = await roomDrop("Refused", 12, { draw: "random" }, { ends_at: at(3600) });
    const page = await visitor({ locale: "en-GB" });
    await page.goto(`${shop.url}/drops/${id}`);
    await button(page, "Take a ticket").click();
    await title(page, "Your ticket: no. 1");
    const clock = async () => page.locator(".drop b.num.ink").textContent();
    const passesSecond = async () => {
      const before = await clock();
      await until("a second passes on the page", async () => (await clock()) !== before);
    };
    let asked = 0;
    await page.route(`**/drops/${id}/tickets`, async (route) => {
      asked += 1;
      // The page asks nothing while an answer is on its way.
      await passesSecond();
      await route.fulfill({ status: 403, contentType: "application/problem+json", body: '{"code":"forbidden","status":403,"title":"t","detail":"d"}' });
    });
    // The place is asked for after the draw.
    await page.getByText("This did not work").waitFor();
    for (let seconds = 0; seconds < 3; seconds += 1) await passesSecond();
    assert.equal(asked, 1, "a refusal is no reason to ask again");
    await page.context().close();
  },

  async "more people ahead than units are told, a paused sale lets nobody in, and a sold one says so"() {
    const id = await roomDrop("Short", -1, { admit_per_second: 20, order_seconds: 600 }, { total: 1 });
    await takeTickets(id, crowd(3));
    const page = await visitor({ locale: "vi-VN" });
    await page.goto(`${shop.url}/drops/${id}`);
    await button(page, "Lấy vé").click();
    await title(page, "Chỗ của bạn: 4");
    await page.getByText(/ít nhất từng ấy người đứng trước bạn/).waitFor();
    await shop.operate(`/v1/drops/${id}/pause`, { reason: "a test" });
    await page.getByText(/hiện không ai được mời vào/).waitFor();
    await shop.operate(`/v1/drops/${id}/resume`, { reason: "a test" });
    await until("the first buyer is admitted", async () => (await room(id)).serving > 0);
    const order = await shop.take(id, "crowd-0");
    const [{ amount, currency }] = await shop.orders(id);
    await shop.operate(`/v1/orders/${order}/payments`, { reference: `room-${id}`, amount, currency, reason: "a test" });
    await title(page, "Tất cả đã được bán");
    await hasNoFindings(page, "a room whose units are sold");
    await page.context().close();
  },

  async "a pause stops the clock of a turn and gives the time back, also to a phone that slept through it"() {
    const id = await roomDrop("Pause", -1, { order_seconds: 17 }, { total: 3 });
    const [page, phone] = [await visitor({ locale: "en-GB" }), await visitor({ locale: "en-GB", viewport: { width: 390, height: 844 } })];
    const plain = await visitor({ javaScriptEnabled: false, locale: "en-GB" });
    // Both at once: each step takes from the time of both turns.
    await Promise.all([page, phone].map(async (one) => {
      await one.goto(`${shop.url}/drops/${id}`);
      await button(one, "Take a ticket").click();
      await title(one, "It is your turn");
      await until("the clock of the turn", async () => /^0:\d\d$/.test(await one.getByRole("timer").textContent()));
    }));
    await plain.goto(`${shop.url}/drops/${id}`);
    await plain.getByLabel("Your name").first().fill("Zoë");
    await button(plain, "Take a ticket").click();
    await until("the last buyer is admitted", async () => (await room(id)).serving === 3);
    await hide(phone, true);
    await shop.operate(`/v1/drops/${id}/pause`, { reason: "a test" });
    const paused = Date.now();
    await page.getByText("Your time for the order stands still until the sale goes on.").waitFor();
    await page.getByRole("timer").waitFor({ state: "hidden" });
    await hasNoFindings(page, "a turn that stands still");
    await until("turns would have passed", () => Date.now() > paused + 18_000);
    await title(page, "It is your turn");
    await page.reload();
    await title(page, "It is your turn");
    await plain.reload();
    await plain.getByText("Your time for the order stands still until the sale goes on.").waitFor();
    await shop.operate(`/v1/drops/${id}/resume`, { reason: "a test" });
    await hide(phone, false);
    await Promise.all([page, phone].map(async (one) => {
      await title(one, "It is your turn");
      await until("the clock goes on", async () => /^0:\d\d$/.test(await one.getByRole("timer").textContent()));
      await button(one, /^Reserve/).click();
      await one.getByRole("heading", { level: 1, name: "Reserved for you" }).waitFor();
    }));
    for (const one of [page, phone, plain]) await one.context().close();
  },

  async "a page says that there will be no draw once the drop has ended before it"() {
    const id = await roomDrop("Cancelled", 600, { draw: "random" });
    const page = await visitor({ locale: "en-GB" });
    await page.goto(`${shop.url}/drops/${id}`);
    await button(page, "Take a ticket").click();
    await title(page, "Your ticket: no. 1");
    await page.getByText("The draw and its proof").click();
    await page.getByText("At the end the secret number is published").waitFor();
    await shop.operate(`/v1/drops/${id}/close`, { reason: "a test" });
    await page.getByText("The sale ended before the draw: nothing is drawn").waitFor();
    await page.getByText("At the end the secret number is published").waitFor({ state: "hidden" });
    await page.locator(".command").waitFor({ state: "hidden" });
    await hasNoFindings(page, "a draw that is cancelled");
    await page.context().close();
  },

  async "a ticket outlives a restart of the server; one of another shop under the same address is forgotten"() {
    const directory = await mkdtemp(join(tmpdir(), "room-"));
    const own = await serve(join(directory, "one"));
    const id = await roomDrop("Restart", 600, {}, {}, own);
    await takeTickets(id, crowd(2), own);
    const page = await visitor();
    await page.goto(`${own.url}/drops/${id}`);
    await button(page, "Take a ticket").click();
    await title(page, "Your ticket: no. 3");
    await own.stop();
    const again = await serve(join(directory, "one"), {}, own);
    await page.reload();
    await title(page, "Your ticket: no. 3");
    // The other shop has no such drop for a moment: a page that is open would ask for it.
    await page.goto("about:blank");
    await again.stop();
    const other = await serve(join(directory, "two"), {}, own);
    const otherId = await roomDrop("Other", 600, {}, {}, other);
    assert.equal(otherId, id);
    await page.goto(`${other.url}/drops/${id}`);
    await title(page, "The waiting room is open");
    await other.stop();
    await rm(directory, { recursive: true, force: true });
    await page.context().close();
  },

  async "a buyer stands by for a drop that is sold out, keeps the place in a tab that is opened anew, and gets the order"() {
    const id = await shop.drop("Line", { total: 1 });
    const first = await shop.take(id, "first");
    const page = await visitor({ locale: "en-GB" });
    await page.goto(`${shop.url}/drops/${id}`);
    await button(page, "Stand by").dblclick();
    await page.getByRole("heading", { name: "Your place in the line: 1" }).waitFor();
    await page.getByText(/The next reservation ends in [12]:\d\d/).waitFor();
    await hasNoFindings(page, "a place in the line");
    const other = await visitor({ locale: "vi-VN" });
    await other.goto(`${shop.url}/drops/${id}`);
    await other.getByText("Có 1 người đang chờ trước bạn").waitFor();
    await button(other, "Chờ hàng trở lại").click();
    await other.getByRole("heading", { name: "Chỗ của bạn trong hàng: 2" }).waitFor();
    await button(other, "Rời hàng chờ").click();
    await other.getByText("Bạn đã rời hàng chờ.").waitFor();
    await other.context().close();
    await page.close();
    const anew = await page.context().newPage();
    await anew.goto(`${shop.url}/drops/${id}`);
    await anew.getByRole("heading", { name: "Your place in the line: 1" }).waitFor();
    assert.equal((await fetch(`${shop.url}/v1/orders/${first}/cancel`, { method: "POST" })).status, 200);
    await anew.getByRole("heading", { level: 1, name: "Reserved for you" }).waitFor();
    await anew.context().close();
  },

  async "without scripts a buyer stands by with the form, and the page of the place leads to the order"() {
    const id = await shop.drop("Plain line", { total: 1 });
    const first = await shop.take(id, "first");
    const page = await visitor({ javaScriptEnabled: false, locale: "en-GB" });
    const join = async (name) => {
      await page.goto(`${shop.url}/drops/${id}`);
      await page.getByLabel("Your name").fill(name);
      await button(page, "Stand by").click();
    };
    await join("Zoë & Co");
    await page.getByRole("heading", { name: "Your place in the line: 1" }).waitFor();
    assert.equal(await page.locator("meta[http-equiv=refresh]").count(), 1, "the page loads again by itself");
    await button(page, "Leave the line").click();
    await page.getByRole("heading", { name: "Plain line" }).waitFor();
    await join("Zoë");
    await page.getByRole("heading", { name: "Your place in the line: 1" }).waitFor();
    assert.equal((await fetch(`${shop.url}/v1/orders/${first}/cancel`, { method: "POST" })).status, 200);
    await page.getByRole("heading", { level: 1, name: "Reserved for you" }).waitFor();
    await page.context().close();
  },

  async "a draw gives the places, and the page proves it in plain words with a command that verifies it"() {
    const id = await roomDrop("Draw", 12, { draw: "random" }, { total: 50 });
    await takeTickets(id, crowd(3));
    const page = await visitor({ locale: "en-GB" });
    await page.goto(`${shop.url}/drops/${id}`);
    await button(page, "Take a ticket").click();
    await page.locator(".room").getByRole("heading", { name: /^(Your place: \d|It is your turn)$/ }).waitFor();
    await page.getByText("The draw and its proof").click();
    const ticket = (await room(id)).tickets;
    await page.getByText(new RegExp(`Your ticket no\\. ${ticket} was in the draw, and got place \\d`)).waitFor();
    await hasNoFindings(page, "a proof");
    const { told } = await runShown(page);
    assert.match(told, new RegExp(`^ticket ${ticket}: among the tickets`, "m"), "the command of the page verifies the ticket");
    await page.context().close();
  },

  async "a draw that waits for public randomness says so and until when, and shows the places once it is there"() {
    const id = await roomDrop("Beacon", 16, { draw: "random", beacon: "required", beacon_seconds: 1800 }, { total: 50 });
    await takeTickets(id, crowd(3));
    const plain = await visitor({ javaScriptEnabled: false, locale: "en-GB" });
    await plain.goto(`${shop.url}/drops/${id}`);
    await plain.getByLabel("Your name").first().fill("Zoë");
    await button(plain, "Take a ticket").click();
    await plain.getByRole("heading", { name: /^Your ticket: no\. \d$/ }).waitFor();
    const page = await visitor({ locale: "vi-VN", viewport: { width: 390, height: 844 } });
    await page.goto(`${shop.url}/drops/${id}`);
    await button(page, "Lấy vé").click();
    await page.getByText(/^Lượt bốc thăm chờ/).waitFor();
    await title(page, "Vé của bạn: số 5");
    await page.goto(`${shop.url}/drops/${id}?lang=en`);
    await page.getByText(/^The draw waits for public randomness.* at most until .*\. Every ticket gets its place/).waitFor();
    await page.getByText("The draw and its proof").click();
    await page.getByText(/^The draw waits for public randomness.* at most until /).nth(1).waitFor();
    await hasNoFindings(page, "a draw that waits");
    await until("the tickets are fixed", async () => (await draw(id)).state === "awaiting_beacon");
    await shop.operate(`/v1/drops/${id}/room/beacon`, { value: "c0ffee", source: "drand, round 7" });
    await page.getByText("Public randomness that nobody could know before: drand, round 7").waitFor();
    await page.getByText(/Your ticket no\. 5 was in the draw, and got place \d/).waitFor();
    await page.context().close();
    // The page without scripts loads again by itself, and knows the place without a button.
    await plain.getByRole("heading", { name: /^(Your place: \d|It is your turn)$/ }).waitFor();
    await plain.context().close();
  },

  async "a ticket that was taken after the start is said to queue behind the draw, whose command verifies the draw alone"() {
    const id = await roomDrop("Late", 2, { draw: "random" }, { total: 50 });
    await takeTickets(id, crowd(3));
    await until("the tickets are drawn", async () => (await draw(id)).state === "drawn");
    const page = await visitor({ locale: "en-GB" });
    await page.goto(`${shop.url}/drops/${id}`);
    await button(page, "Take a ticket").click();
    await title(page, "It is your turn");
    await page.getByText("The draw and its proof").click();
    await page.getByText("Your ticket no. 4 was taken after the start").waitFor();
    const { command } = await runShown(page);
    assert.ok(command.endsWith(` --drop ${id}`), command);
    await page.context().close();
  },

  async "an admitted buyer who finds every unit held is offered the line, and is not called while they stand by"() {
    const id = await roomDrop("Held", -1, { oversubscribe_percent: 300, order_seconds: 600 }, { total: 1 });
    await takeTickets(id, ["first"]);
    await until("the first buyer is admitted", async () => (await room(id)).serving === 1);
    const page = await visitor({ locale: "en-GB" });
    await page.goto(`${shop.url}/drops/${id}`);
    await button(page, "Take a ticket").click();
    await title(page, "It is your turn");
    await page.getByText("Order before the clock runs out.").waitFor();
    const order = await shop.take(id, "first");
    await page.getByText("Every unit is held by others at the moment").waitFor();
    await hasNoFindings(page, "a turn without a free unit");
    await button(page, "Stand by").click();
    await page.getByRole("heading", { name: "Your place in the line: 1" }).waitFor();
    await page.getByText("It is your turn").waitFor({ state: "hidden" });
    assert.equal((await fetch(`${shop.url}/v1/orders/${order}/cancel`, { method: "POST" })).status, 200);
    await page.getByRole("heading", { level: 1, name: "Reserved for you" }).waitFor();
    await page.context().close();
  },

  async "a draw whose public randomness did not come goes on without it and says so"() {
    const id = await roomDrop("Missed", 6, { draw: "random", beacon: "required", beacon_seconds: 1 }, { total: 50 });
    const page = await visitor({ locale: "en-GB" });
    await page.goto(`${shop.url}/drops/${id}`);
    await button(page, "Take a ticket").click();
    await title(page, "It is your turn");
    await page.getByText("The draw and its proof").click();
    await page.getByText("The public randomness did not come in time: the draw was made without it.").waitFor();
    await hasNoFindings(page, "a draw without its public randomness");
    await page.context().close();
  },

  async "without scripts a form takes the ticket, the page asks again by itself, and the turn has the form of the order"() {
    const id = await roomDrop("Plain", 12, { admit_per_second: 1 });
    await takeTickets(id, crowd(2));
    const page = await visitor({ javaScriptEnabled: false, locale: "en-GB" });
    await page.goto(`${shop.url}/drops/${id}`);
    assert.equal(await button(page, "Reserve").isVisible(), false);
    await page.getByLabel("Your name").first().fill("Zoë & Co");
    await button(page, "Take a ticket").click();
    await page.getByRole("heading", { name: "Your ticket: no. 3" }).waitFor();
    assert.equal(await page.locator("meta[http-equiv=refresh]").count(), 1, "the page loads again by itself");
    await page.getByRole("link", { name: "VI" }).click();
    await page.getByRole("heading", { name: "Vé của bạn: số 3" }).waitFor();
    await page.getByRole("link", { name: "EN" }).click();
    await page.getByRole("heading", { name: "It is your turn" }).waitFor();
    assert.equal(await page.locator("meta[http-equiv=refresh]").count(), 0, "a form that is filled in stays");
    await button(page, "Reserve").click();
    await page.getByRole("heading", { level: 1, name: "Reserved for you" }).waitFor();
    const [order, ...more] = await shop.orders(id);
    assert.deepEqual([order.buyer, more.length], ["Zoë & Co", 0]);
    await page.context().close();
  },
};

await run(tests, /ERR_INTERNET_DISCONNECTED|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE|net::ERR|403|409|503/, { lanes: 3 });
