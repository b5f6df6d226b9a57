// Operates a sale from the console with Debian's chromium (scripts/console.sh). No step sleeps: each waits for what the page or
// the server shows, for a bounded time.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { PUBLIC, OWNER, OPERATOR, VIEWER, PROGRAM, DATA, GONE, SEEN, BACK, console_, browser, complaints, findings, axe, dialog, row, stateOf, open, signIn, api, until, keep } from "./console-kit.mjs";
import { everyPage, theApi, byKeyboard, tokens, aBackup, anAuction, anAuctionIsCancelled, aTier, twoConsoles } from "./console-pages.mjs";
import { aDraw, aRoom, aRoomServes } from "./console-rooms.mjs";
import { aSettlement, aStock, anEndpoint, anErasure } from "./console-levers.mjs";

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
  await anErasure(page, bought);
  await aSettlement(page, await order(drop, "zoe"));
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

async function storm() {
  const page = await open();
  await theStorm(page);
  const drop = await aDropIsMadeOnce(page);
  await aChangeMeetsAnother(page, drop);
  await aRefund(page, drop);
  await aStock(page, drop);
  await anEndpoint(page);
  await anUndo(page, drop);
  await byKeyboard(page, drop);
  await aClone(page);
  await aRoom(page);
  await aRoomServes(page);
  await aDraw(page);
  const auction = await anAuction(page);
  await aTier(page);
  await aBackup(page);
  await twoConsoles(page, drop);
  await aTokenEnds(drop);
  await tokens(page);
  await aViewer(drop);
  await theApi();
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
  writeFileSync(SEEN, "");
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
