// Steps of the console's browser test: every page in six looks, the keyboard, tokens, backups, auctions, tiers and two consoles.
import assert from "node:assert/strict";
import { WAIT_MS } from "./browser.mjs";
import { PUBLIC, OWNER, DATA, console_, findings, axe, dialog, row, stateOf, open, signIn, api, until, keep } from "./console-kit.mjs";

/// Axe finds nothing, by WCAG 2.2 AA. A change of colours alone is judged by the rules of colours.
export async function accessible(page, what, isRecoloured = false) {
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
export async function everyPage(drop, auction) {
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

/// The page of the API: an operation opens, and axe finds nothing.
export async function theApi() {
  for (const [width, scheme] of [[390, "light"], [1280, "dark"]]) {
    const page = await open(width, scheme);
    await page.goto(console_.replace("/console", "/docs"));
    await page.locator("#CreateDrop summary").click();
    await page.locator("#CreateDrop").getByRole("link", { name: "NewDrop" }).first().waitFor();
    const [content, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    assert.ok(content <= screen, `the API is ${content} wide on ${screen}`);
    await page.evaluate(axe);
    await accessible(page, `the API at ${width}, ${scheme}`);
    await page.context().close();
  }
}

/// Presses Tab until the focus is where it should be.
export async function tabTo(page, holds, most = 60) {
  for (let presses = 0; presses < most; presses += 1) {
    if (await page.evaluate(holds)) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`not reached by keyboard: ${holds}`);
}

/// A drop is closed for good with the keyboard alone, and a dialog keeps the focus and gives it back.
export async function byKeyboard(page, drop) {
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
export async function tokens(page) {
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
export async function aBackup(page) {
  await page.goto(`${console_}#/backups`);
  await page.getByRole("button", { name: "Make one now" }).click();
  await dialog(page).getByLabel("Directory or file").fill(DATA.replace(/data$/, "copy.db"));
  await dialog(page).getByRole("button", { name: "Make it" }).click();
  await dialog(page).waitFor({ state: "detached" });
  // It has the lowest priority: the storm goes first.
  await page.getByText("made and verified").waitFor({ timeout: 3 * WAIT_MS });
  await page.getByText("copy.db").waitFor();
}

/// An auction is made from its form, bid on, and cancelled.
export async function anAuction(page) {
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

export async function anAuctionIsCancelled(page, auction) {
  await page.goto(`${console_}#/auctions/${auction.id}`);
  await page.getByRole("button", { name: "Cancel the auction" }).click();
  await dialog(page).getByLabel("Reason").fill("it is broken");
  await dialog(page).getByLabel("To go on, type").fill(auction.name);
  await dialog(page).getByRole("button", { name: "Cancel the auction" }).click();
  await page.locator("main .chip", { hasText: "cancelled" }).waitFor();
}

/// A buyer's tier is set with its reason, is in force, and is removed.
export async function aTier(page) {
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
export async function twoConsoles(page, drop) {
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
