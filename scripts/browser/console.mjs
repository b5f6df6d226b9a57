// Operates a sale from the console with Debian's chromium (scripts/console.sh). No step sleeps: each waits for what the page or
// the server shows, for at most WAIT_MS.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { chromium } from "playwright-core";

const { PUBLIC, ADMIN, OWNER, OPERATOR, VIEWER, PROGRAM, DATA, GONE, BACK, SCREENSHOTS, CHROMIUM = "/usr/bin/chromium" } = process.env;
const console_ = `http://${ADMIN}/console`;
const WAIT_MS = 15_000;

setTimeout(() => {
  console.error("the test of the console took longer than 4 minutes");
  process.exit(1);
}, 240_000).unref();

const browser = await chromium.launch({ executablePath: CHROMIUM });
const complaints = [];
const findings = [];
const axe = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

async function open(width = 1440, colorScheme = "light") {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, reducedMotion: "reduce" });
  context.setDefaultTimeout(WAIT_MS);
  context.on("request", (request) => assert.ok(request.url().startsWith(`http://${ADMIN}/`), `requests ${request.url()}`));
  const page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    // A refusal that the console shows is a failed request to the browser.
    if (["error", "warning"].includes(message.type()) && !/status of 4|status of 5|ERR_/.test(message.text())) complaints.push(message.text());
  });
  return page;
}

async function signIn(page, token) {
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
}

async function api(method, path, body, { at = ADMIN, token = OWNER, key } = {}) {
  const headers = { Authorization: `Bearer ${token}` };
  if (body) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  const answer = await fetch(`http://${at}${path}`, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
  const text = await answer.text();
  return { status: answer.status, body: text ? JSON.parse(text) : null };
}

async function until(what, holds) {
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    const found = await holds();
    if (found) return found;
    assert.ok(Date.now() < deadline, `waited in vain: ${what}`);
    await new Promise((go) => setTimeout(go, 50));
  }
}

const dialog = (page) => page.getByRole("dialog");
const row = (page, name) => page.getByRole("row").filter({ hasText: name });
const stateOf = async (id) => (await api("GET", `/v1/console/drops/${id}`)).body.state;

async function keep(page, name) {
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/console-${name}.png`, fullPage: true });
}

async function theStorm(page) {
  await page.goto(console_);
  await page.getByLabel("Token").fill("fc_0123456789ab_wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("This token is unknown, expired or revoked.").waitFor();
  await signIn(page, OWNER);
  assert.equal((await page.context().cookies()).length, 0, "no cookie");
  const storm = await until("the storm has a drop", async () => (await api("GET", "/v1/console/drops?limit=100")).body.data.find((drop) => drop.name.startsWith("Rush")));
  const live = row(page, storm.name);
  await live.waitFor();
  await until("orders are counted", async () => Number((await page.locator(".tile", { hasText: "Orders/s" }).locator(".figure").innerText()).replace(",", "")) > 0);
  await until("the stock falls", async () => Number((await live.locator("td[data-label=Held]").innerText()).replace(",", "")) > 0);
  await keep(page, "live");
  await live.getByRole("button", { name: `Pause ${storm.name}` }).click();
  await dialog(page).getByRole("button", { name: "Pause" }).click();
  await dialog(page).getByText("This is needed.").waitFor();
  await dialog(page).getByLabel("Reason").fill("the price was wrong");
  await dialog(page).getByRole("button", { name: "Pause" }).click();
  await dialog(page).waitFor({ state: "detached" });
  assert.equal(await stateOf(storm.id), "paused");
  await live.getByText("paused").waitFor();
  await page.getByText("the price was wrong").waitFor();
  await live.getByRole("button", { name: `Resume ${storm.name}` }).click();
  await dialog(page).getByLabel("Reason").fill("it is right");
  await page.keyboard.press("Enter");
  await dialog(page).waitFor({ state: "detached" });
  assert.notEqual(await stateOf(storm.id), "paused");
  return storm;
}

/// A clone has the caps and the challenge of its drop.
async function aClone(page) {
  const capped = { sku: "CAP", name: "Capped", currency: "EUR", unit_price: 100, total: 3, starts_at: "2020-01-01T00:00:00Z", identity_limits: { email: 2 }, challenge: "proof_of_work" };
  const made = await api("POST", "/v1/drops", capped, { key: "capped" });
  await page.goto(`${console_}#/drops/new/${made.body.id}`);
  await page.getByLabel("Units per e-mail address").waitFor();
  assert.equal(await page.getByLabel("Units per e-mail address").inputValue(), "2");
  await page.getByLabel("Units per phone number").fill("1,5");
  await page.getByRole("button", { name: "Create the drop" }).click();
  await page.getByText("A whole number.").waitFor();
  await page.getByLabel("Units per phone number").fill("");
  await page.getByRole("button", { name: "Create the drop" }).click();
  await page.getByRole("heading", { name: "Capped (copy)" }).waitFor();
  const clone = (await api("GET", "/v1/console/drops?limit=100")).body.data.find((drop) => drop.name === "Capped (copy)");
  assert.deepEqual([clone.identity_limits, clone.challenge], [{ email: 2 }, "proof_of_work"]);
}

async function aDropIsMadeOnce(page) {
  await page.getByRole("link", { name: "New drop" }).click();
  await page.getByRole("button", { name: "Create the drop" }).click();
  await page.getByText("This is needed.").first().waitFor();
  const name = 'Runner "Ember" <b>غيوم</b> 🔥';
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("SKU").fill("EMBER");
  await page.getByLabel("Currency").fill("JPY");
  await page.getByLabel("Price of a unit").fill("14.9");
  await page.getByLabel("Units", { exact: true }).fill("20");
  await page.getByLabel("Units per buyer").fill("5");
  await page.getByRole("button", { name: "Create the drop" }).click();
  await page.getByText("An amount in JPY").waitFor();
  await page.getByLabel("Price of a unit").fill("14900");
  await page.getByLabel("Starts").fill("2020-01-01T00:00:00");
  await page.getByText("It goes on sale at once.").waitFor();
  await page.reload();
  assert.equal(await page.getByLabel("SKU").inputValue(), "EMBER", "what was typed outlives a reload");
  await page.getByText("¥298,000").waitFor();
  await keep(page, "new-drop");
  await page.getByRole("button", { name: "Create the drop" }).dblclick();
  await page.getByRole("heading", { name }).waitFor();
  const made = (await api("GET", "/v1/console/drops?limit=100")).body.data.filter((drop) => drop.sku === "EMBER");
  assert.equal(made.length, 1, "a double click makes one");
  assert.equal(made[0].unit_price, 14_900);
  await keep(page, "drop");
  return made[0];
}

async function aChangeMeetsAnother(page, drop) {
  await page.getByRole("link", { name: "Change" }).click();
  await page.getByLabel("Units per buyer").fill("7");
  await page.getByLabel("Reason").fill("more for each");
  const other = await api("PATCH", `/v1/drops/${drop.id}`, { expected_revision: drop.revision, reason: "x", description: "by another" });
  assert.equal(other.status, 200);
  await page.getByRole("button", { name: "Save the change" }).click();
  await page.getByText("Another operator has changed it meanwhile").waitFor();
  assert.equal(await page.getByLabel("Units per buyer").inputValue(), "7", "what was typed stays");
  assert.equal(await page.getByLabel("Description").inputValue(), "by another", "what was not touched is the newest");
  await page.getByRole("button", { name: "Save the change" }).click();
  await page.getByRole("button", { name: "Pause" }).waitFor();
  const { body } = await api("GET", `/v1/console/drops/${drop.id}`);
  assert.deepEqual([body.per_buyer_limit, body.revision, body.description], [7, drop.revision + 2, "by another"]);
}

async function order(drop, buyer) {
  const contact = { email: `${buyer}@shop.example`, name: buyer };
  const made = await api("POST", `/v1/drops/${drop.id}/orders`, { buyer, quantity: 1, contact }, { at: PUBLIC, key: buyer });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  return made.body;
}

async function aRefund(page, drop) {
  const bought = await order(drop, "ann");
  await page.goto(`${console_}#/orders`);
  await page.getByLabel("Code, id, e-mail address or phone number").fill("ann@shop.example");
  await page.getByRole("button", { name: "Search" }).click();
  await page.getByRole("link", { name: bought.code, exact: true }).click();
  await page.getByRole("button", { name: "Record a payment" }).click();
  await dialog(page).getByLabel("Reference").fill("bank 17");
  await dialog(page).getByLabel("Reason").fill("seen at the bank");
  await dialog(page).getByRole("button", { name: "Record the payment" }).click();
  await page.getByText("bank 17", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Show the contact" }).click();
  await page.getByText("ann@shop.example").waitFor();
  await page.getByRole("button", { name: "Refund", exact: true }).click();
  await dialog(page).getByLabel("Amount in JPY").fill("900.5");
  await dialog(page).getByLabel("To go on, type").fill(drop.name);
  await dialog(page).getByRole("button", { name: "Refund" }).click();
  await dialog(page).getByText("An amount in JPY").waitFor();
  await dialog(page).getByLabel("Amount in JPY").fill("900");
  await dialog(page).getByLabel("Reason").fill("a scratch");
  await dialog(page).getByRole("button", { name: "Refund" }).dblclick();
  await page.getByText("¥900 refunded.").waitFor();
  assert.equal((await api("GET", `/v1/console/orders/${bought.id}`)).body.refunded_amount, 900, "once");
  await keep(page, "order");
}

async function anUndo(page, drop) {
  const orders = [];
  for (const buyer of ["bob", "eve", "joe"]) orders.push(await order(drop, buyer));
  await page.goto(`${console_}#/drops/${drop.id}/undo`);
  await page.getByLabel("How many orders").fill("2");
  await page.getByRole("button", { name: "Show them" }).click();
  await page.getByText("2 are cancelled, 0 refunded").waitFor();
  const undo = page.getByRole("button", { name: "Undo these orders" });
  await page.getByLabel("Reason").fill("two too many");
  assert.ok(await undo.isDisabled(), "the name is not typed");
  await page.getByLabel("Type the drop's name").fill(drop.name);
  assert.ok(await undo.isDisabled(), "orders come meanwhile");
  await page.getByLabel("although new orders come").check();
  await keep(page, "undo");
  await undo.click();
  await page.getByText("Lower the total by the cancelled units").waitFor();
  const states = await Promise.all(orders.map(async ({ id }) => (await api("GET", `/v1/console/orders/${id}`)).body.state));
  assert.deepEqual(states, ["awaiting_payment", "cancelled", "cancelled"]);
}

/// A token that is revoked while a form is open: the operator signs in again, and the step that was begun is done.
async function aTokenEnds(drop) {
  const page = await open();
  await page.goto(`${console_}#/drops/${drop.id}`);
  await signIn(page, OPERATOR);
  await page.getByRole("button", { name: "Pause" }).click();
  await dialog(page).getByLabel("Reason").fill("a token ends");
  execFileSync(PROGRAM, ["token", "revoke", OPERATOR.split("_")[1], "--data", DATA]);
  await dialog(page).getByRole("button", { name: "Pause" }).click();
  await page.getByText("Your token has expired or was revoked.").waitFor();
  const next = (await api("POST", "/v1/tokens", { name: "operator", role: "operator" }, { key: "next" })).body.token;
  await page.getByLabel("Token").fill(next);
  await page.getByRole("button", { name: "Sign in" }).click();
  await until("both dialogs are gone", async () => (await dialog(page).count()) === 0);
  await until("the step was done", async () => (await stateOf(drop.id)) === "paused");
  // Another operator who signs in confirms the step in their own name.
  await page.getByRole("button", { name: "Resume" }).click();
  await dialog(page).getByLabel("Reason").fill("a token ends again");
  execFileSync(PROGRAM, ["token", "revoke", next.split("_")[1], "--data", DATA]);
  await dialog(page).getByRole("button", { name: "Resume" }).click();
  await page.getByText("Your token has expired or was revoked.").waitFor();
  await page.getByLabel("Token").fill(OWNER);
  await page.getByRole("button", { name: "Sign in" }).click();
  await dialog(page).getByText("the step was begun by another operator").waitFor();
  assert.equal(await stateOf(drop.id), "paused", "nothing was done in the other's name");
  await dialog(page).getByRole("button", { name: "Resume" }).click();
  await until("both dialogs are gone", async () => (await dialog(page).count()) === 0);
  assert.notEqual(await stateOf(drop.id), "paused");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("With the token of an operator.").waitFor();
  await page.getByRole("heading", { name: drop.name }).waitFor({ state: "detached" });
  await page.context().close();
}

async function aViewer(drop) {
  const page = await open(390, "dark");
  await page.goto(console_);
  await signIn(page, VIEWER);
  await page.getByRole("link", { name: drop.name }).waitFor();
  assert.equal(await page.getByRole("button", { name: /^(Pause|Resume|Stock)/ }).count(), 0, "no lever");
  await page.goto(`${console_}#/orders`);
  await page.getByText("Viewers do not see orders").waitFor();
  for (const [where, words] of [["tokens", "Only owners see tokens."], ["buyers", "Viewers do not see buyers."], ["preflight", "Viewers run no checks."], ["backups", "Owners see its file"]]) {
    await page.goto(`${console_}#/${where}`);
    await page.getByText(words).waitFor();
  }
  for (const [method, path, body] of [["POST", `/v1/drops/${drop.id}/pause`, { reason: "x" }], ["POST", "/v1/tokens", { name: "x", role: "owner" }], ["GET", "/v1/preflight"]]) {
    assert.equal((await api(method, path, body, { token: VIEWER, key: "viewer" })).status, 403, path);
  }
  await page.context().close();
}

/// Axe finds nothing, by WCAG 2.2 AA. A change of colours alone is judged by the rules of colours.
async function accessible(page, what, isRecoloured = false) {
  const found = await page.evaluate(async (recoloured) => {
    const runOnly = recoloured
      ? { type: "rule", values: ["color-contrast", "link-in-text-block"] }
      : { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"] };
    const run = await globalThis.axe.run(document, { runOnly, resultTypes: ["violations"] });
    return run.violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`);
  }, isRecoloured);
  findings.push(...found.map((finding) => `${what}: ${finding}`));
}

/// Every page at three widths, light and dark: axe finds nothing, and nothing is wider than the screen. A page that waits for
/// figures has them before it is judged.
async function everyPage(drop, auction) {
  const pages = [
    "live", "drops", `drops/${drop.id}`, "drops/new", `drops/${drop.id}/change`, `drops/${drop.id}/undo`, "orders", "refunds", "auctions",
    `auctions/${auction.id}`, "auctions/new", "buyers", "buyers/bo", "webhooks", "audit", "gauges", "preflight", "backups", "tokens", "settings",
    "runbooks/FirstcomeRefundsDue", "orders/0190a1b2-0000-8000-8000-000000000000",
  ];
  const page = await open();
  await page.goto(console_);
  await signIn(page, OWNER);
  await page.evaluate(axe);
  for (const name of pages) {
    await page.evaluate((hash) => (location.hash = hash), `#/${name}`);
    await page.locator("main .card:visible, main .note:visible").first().waitFor();
    if (["live", "drops", "orders", "auctions", "gauges", "settings", "tokens"].includes(name)) await page.locator("tbody tr:visible").first().waitFor();
    if (name === "preflight") {
      await page.getByRole("button", { name: "Check" }).click();
      await page.getByRole("status").filter({ hasText: "Not ready for a sale" }).waitFor();
    }
    for (const width of [390, 768, 1280]) {
      await page.setViewportSize({ width, height: 900 });
      const [content, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
      assert.ok(content <= screen, `${name} is ${content} wide on ${screen}`);
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        await accessible(page, `${name} at ${width}, ${colorScheme}`, colorScheme === "dark");
        await keep(page, `${name.replaceAll("/", "-")}-${width}-${colorScheme}`);
      }
      await page.emulateMedia({ colorScheme: "light" });
    }
  }
  await page.context().close();
}

/// Presses Tab until the focus is where it should be.
async function tabTo(page, holds, most = 60) {
  for (let presses = 0; presses < most; presses += 1) {
    if (await page.evaluate(holds)) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`not reached by keyboard: ${holds}`);
}

/// A drop is closed for good with the keyboard alone, and a dialog keeps the focus and gives it back.
async function byKeyboard(page, drop) {
  await page.goto(`${console_}#/drops/${drop.id}`);
  const lever = page.getByRole("button", { name: "Stock" });
  await lever.focus();
  await page.keyboard.press("Enter");
  await until("the dialog has the focus", () => page.evaluate(() => document.activeElement?.id === "act-delta"));
  for (let presses = 0; presses < 8; presses += 1) await page.keyboard.press("Tab");
  assert.ok(await page.evaluate(() => document.querySelector("[role=dialog]")?.contains(document.activeElement)), "the focus stays within");
  await page.keyboard.press("Escape");
  await dialog(page).waitFor({ state: "detached" });
  assert.ok(await lever.evaluate((element) => element === document.activeElement), "and goes back");

  const name = "Closed by keyboard";
  const made = await api("POST", "/v1/drops", { sku: "K", name, currency: "KWD", unit_price: 1500, total: 3, starts_at: "2020-01-01T00:00:00Z" }, { key: "by-keyboard" });
  await page.goto(`${console_}#/drops/${made.body.id}`);
  await page.getByRole("heading", { name }).waitFor();
  await page.evaluate(() => document.activeElement?.blur?.());
  await tabTo(page, () => document.activeElement?.textContent === "Close");
  await page.keyboard.press("Enter");
  await until("the dialog has the focus", () => page.evaluate(() => document.activeElement?.id === "act-reason"));
  await page.keyboard.type("nobody wants it");
  await page.keyboard.press("Tab");
  await page.keyboard.type("Closed by key");
  await page.keyboard.press("Enter");
  await dialog(page).getByText("Type the name as it stands above.").waitFor();
  assert.equal(await stateOf(made.body.id), "live", "half a name closes nothing");
  await page.keyboard.type("board");
  await page.keyboard.press("Enter");
  await dialog(page).waitFor({ state: "detached" });
  assert.equal(await stateOf(made.body.id), "ended");
}

/// Tokens: one is made and shown once, works, and is revoked; the last owner's stays.
async function tokens(page) {
  await page.goto(`${console_}#/tokens`);
  await row(page, "viewer").first().waitFor();
  await page.getByRole("button", { name: "New token" }).click();
  await dialog(page).getByLabel("Name of its holder").fill("night shift");
  await dialog(page).getByRole("button", { name: "Make the token" }).click();
  await dialog(page).locator("#act-wrong-name").getByText("must be 1 to 64 letters").waitFor();
  await dialog(page).getByLabel("Name of its holder").fill("night-shift");
  await dialog(page).getByLabel("Role").selectOption("operator");
  await dialog(page).getByRole("button", { name: "Make the token" }).dblclick();
  await dialog(page).waitFor({ state: "detached" });
  const secret = await page.locator(".note code").innerText();
  assert.equal((await api("GET", "/v1/console/session", undefined, { token: secret })).body.name, "night-shift");
  const made = (await api("GET", "/v1/tokens")).body.data.filter((token) => token.name === "night-shift");
  assert.equal(made.length, 1, "a double click makes one");
  await page.getByRole("button", { name: "Hide it" }).click();
  await page.getByText(secret).waitFor({ state: "hidden" });
  await page.getByRole("button", { name: "Revoke the token of night-shift" }).click();
  await dialog(page).getByLabel("To go on, type").fill("night-shift");
  await dialog(page).getByRole("button", { name: "Revoke for good" }).click();
  await row(page, "night-shift").getByText("revoked", { exact: true }).waitFor();
  assert.equal((await api("GET", "/v1/console/session", undefined, { token: secret })).status, 401);
  await page.getByRole("button", { name: "Revoke the token of owner" }).click();
  await dialog(page).getByLabel("To go on, type").fill("owner");
  await dialog(page).getByRole("button", { name: "Revoke for good" }).click();
  await dialog(page).getByText("the last owner's token in force").waitFor();
  await page.keyboard.press("Escape");
  await dialog(page).waitFor({ state: "detached" });
}

/// A backup is made while the sale goes on, and its file is shown.
async function aBackup(page) {
  await page.goto(`${console_}#/backups`);
  await page.getByRole("button", { name: "Make one now" }).click();
  await dialog(page).getByLabel("Directory or file").fill(DATA.replace(/data$/, "copy.db"));
  await dialog(page).getByRole("button", { name: "Make it" }).click();
  await dialog(page).waitFor({ state: "detached" });
  // It has the lowest priority: the storm goes first.
  await page.getByText("made and verified").waitFor({ timeout: 60_000 });
  await page.getByText("copy.db").waitFor();
}

/// An auction is made from its form, bid on, and cancelled.
async function anAuction(page) {
  await page.goto(`${console_}#/auctions/new`);
  const name = 'The first <i>Ember</i> "אבא" 🔥';
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("SKU").fill("LOT-1");
  await page.getByLabel("Currency").fill("KWD");
  await page.getByLabel("First price").fill("90000000.000");
  await page.getByLabel("Starts").fill("2020-01-01T00:00:00");
  await page.getByLabel("Ends", { exact: true }).fill("2019-01-01T00:00:00");
  await page.getByRole("button", { name: "Create the auction" }).click();
  await page.getByText("After the start.").waitFor();
  await page.getByLabel("Ends", { exact: true }).fill("2099-01-01T00:00:00");
  await page.getByLabel("Steps").fill("1: 1");
  await page.getByRole("button", { name: "Create the auction" }).click();
  await page.getByText("ascending from 0.").waitFor();
  await page.getByLabel("Steps").fill("0: 1000");
  await page.getByText("KWD 90,000,000.000").waitFor();
  await page.getByText("It takes bids at once.").waitFor();
  await page.getByRole("button", { name: "Create the auction" }).dblclick();
  await page.getByRole("heading", { name }).waitFor();
  const made = (await api("GET", "/v1/console/auctions?limit=100")).body.data.filter((auction) => auction.sku === "LOT-1");
  assert.equal(made.length, 1, "a double click makes one");
  assert.equal(made[0].start_price, 90_000_000_000);
  const bid = async (buyer, amount) => {
    const answer = await api("POST", `/v1/auctions/${made[0].id}/bids`, { buyer, amount }, { at: PUBLIC, key: `${buyer}-${amount}` });
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
  };
  await bid("bo", 90_000_000_000);
  await bid("cy", 95_000_000_000);
  // 10^11 minor units, the most that a price may be.
  await bid("bo", 100_000_000_000);
  const places = page.getByRole("region", { name: "Table of bidders" }).getByRole("row");
  await places.filter({ hasText: "bo" }).getByText("KWD 100,000,000.000").waitFor();
  assert.match(await places.nth(1).innerText(), /bo/, "the leader is first");
  await places.nth(1).getByText("leads").waitFor();
  await keep(page, "auction");
  return made[0];
}

async function anAuctionIsCancelled(page, auction) {
  await page.goto(`${console_}#/auctions/${auction.id}`);
  await page.getByRole("button", { name: "Cancel the auction" }).click();
  await dialog(page).getByLabel("Reason").fill("it is broken");
  await dialog(page).getByLabel("To go on, type").fill(auction.name);
  await dialog(page).getByRole("button", { name: "Cancel the auction" }).click();
  await page.locator("main .chip", { hasText: "cancelled" }).waitFor();
}

/// A buyer's tier is set with its reason, is in force, and is removed.
async function aTier(page) {
  await page.goto(`${console_}#/buyers`);
  await page.getByLabel("Buyer, as the shop names them").fill("a/b <i>x</i>");
  await page.getByRole("button", { name: "Look up" }).click();
  await page.getByRole("heading", { name: "a/b <i>x</i>" }).waitFor();
  await page.getByRole("button", { name: "Set the tier" }).click();
  await dialog(page).getByLabel("Tier").selectOption("premium");
  await dialog(page).getByLabel("Reason").fill("a good customer");
  await dialog(page).getByRole("button", { name: "Set the tier" }).click();
  await page.getByText("owner: a good customer").waitFor();
  assert.equal((await api("GET", `/v1/buyers/${encodeURIComponent("a/b <i>x</i>")}/tier`)).body.tier, "premium");
  await page.getByRole("button", { name: "Remove" }).click();
  await dialog(page).getByRole("button", { name: "Remove the tier" }).click();
  await page.getByText("nothing is known against them").waitFor();
}

/// Two consoles at once: what one does, the other shows by itself; of two steps at once one is done, and the other is told why not.
async function twoConsoles(page, drop) {
  const other = await open();
  for (const one of [page, other]) await one.goto(`${console_}#/drops/${drop.id}`);
  await signIn(other, OWNER);
  for (const one of [page, other]) await one.getByRole("button", { name: "Stock" }).click();
  for (const [one, delta] of [[page, 1], [other, 2]]) {
    await dialog(one).getByLabel("Units to add").fill(String(delta));
    await dialog(one).getByLabel("Reason").fill("found in the cellar");
  }
  const before = (await api("GET", `/v1/console/drops/${drop.id}`)).body.total;
  await dialog(page).getByRole("button", { name: "Change the stock" }).click();
  await dialog(page).waitFor({ state: "detached" });
  await dialog(other).getByRole("button", { name: "Change the stock" }).click();
  await dialog(other).getByText("Another operator has changed it meanwhile").waitFor();
  await dialog(other).getByRole("button", { name: "Leave it" }).click();
  await other.getByText(`of ${before + 1}`).waitFor();
  assert.equal((await api("GET", `/v1/console/drops/${drop.id}`)).body.total, before + 1, "once");
  await other.context().close();
}

async function storm() {
  const page = await open();
  await theStorm(page);
  const drop = await aDropIsMadeOnce(page);
  await aChangeMeetsAnother(page, drop);
  await aRefund(page, drop);
  await anUndo(page, drop);
  await byKeyboard(page, drop);
  await aClone(page);
  const auction = await anAuction(page);
  await aTier(page);
  await aBackup(page);
  await twoConsoles(page, drop);
  await aTokenEnds(drop);
  await tokens(page);
  await aViewer(drop);
  await everyPage(drop, auction);
  await anAuctionIsCancelled(page, auction);
}

async function away() {
  const page = await open();
  await page.goto(console_);
  await signIn(page, OWNER);
  await page.getByText(/event/).first().waitFor();
  // A form that is open stays, and its step is done once the server is back.
  const made = await api("POST", "/v1/drops", { sku: "A", name: "Away", currency: "JPY", unit_price: 100, total: 3, starts_at: "2020-01-01T00:00:00Z" }, { key: "away" });
  await page.goto(`${console_}#/drops/${made.body.id}`);
  await page.getByRole("button", { name: "Pause" }).click();
  await dialog(page).getByLabel("Reason").fill("before it went away");
  writeFileSync(GONE, "");
  await page.getByText("No figures").waitFor();
  await dialog(page).getByRole("button", { name: "Pause" }).click();
  await dialog(page).getByText("Whether it was done is not known").waitFor();
  await keep(page, "away");
  await until("the server is back", () => existsSync(BACK));
  await page.getByText("No figures").waitFor({ state: "hidden" });
  assert.equal(await dialog(page).getByLabel("Reason").inputValue(), "before it went away");
  await dialog(page).getByRole("button", { name: "Pause" }).click();
  await dialog(page).waitFor({ state: "detached" });
  assert.equal(await stateOf(made.body.id), "paused");
}

await (process.argv[2] === "away" ? away() : storm());
await browser.close();
assert.deepEqual(complaints, [], "the browser complains");
assert.deepEqual(findings, [], "axe finds");
console.log(`the console: ${process.argv[2]} is as it should be`);
