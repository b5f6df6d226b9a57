// Buyers at the storefront while `firstcome rush` storms the same drop (scripts/browser.sh): one with scripts, one without. Stock
// falls, is sold out, comes back when reservations end; a reservation runs out, and a late payment finds stock again.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { WAIT_MS } from "./browser.mjs";
import { Shop, button, end, run, shows, until, visitor } from "./shop.mjs";

const { PUBLIC, ADMIN, PROGRAM = "target/release/firstcome" } = process.env;
const shop = new Shop(PUBLIC, ADMIN);
const UNITS = 150;
const RESERVATION_SECONDS = 12;

function rush(id) {
  // Every buyer reserves once and leaves: what they hold comes back when their time is over.
  const args = ["rush", "--public", PUBLIC, "--admin", ADMIN, "--drop", `${id}`, "--crowd", "plain", "--buyers", "300", "--rate", "30", "--connections", "8"];
  const storm = spawn(PROGRAM, args, { stdio: "ignore" });
  process.on("exit", () => storm.kill("SIGKILL"));
  return storm;
}

const number = async (locator) => Number((await locator.innerText()).replaceAll(/\D/g, ""));

const tests = {
  async "a drop is bought from during a storm, with and without scripts, is sold out, and comes back"() {
    const id = await shop.drop("Storm", { total: UNITS, reservation_seconds: RESERVATION_SECONDS, payment_seconds: 600, per_buyer_limit: 1 });
    const page = await visitor({ locale: "en-GB" });
    const plain = await visitor({ javaScriptEnabled: false, locale: "en-GB" });
    await page.goto(`${shop.url}/drops/${id}`);
    await button(page, "Reserve · ").waitFor();
    await plain.goto(`${shop.url}/drops/${id}`);
    // What a page that is only looked at says, from before the storm to its end: no state is missed, however slow this test is.
    const looker = await page.context().newPage();
    await looker.goto(`${shop.url}/drops/${id}`);
    await button(looker, "Reserve · ").waitFor();
    await looker.evaluate(() => {
      globalThis.said = [];
      const note = () => globalThis.said.push([document.querySelector("[x-text=availableText]").textContent, document.querySelector("form.buy .button").textContent]);
      new MutationObserver(note).observe(document.querySelector("main"), { subtree: true, childList: true, characterData: true });
    });
    const storm = rush(id);
    const left = page.locator("[x-text=availableText]");
    await until("the stock falls while it is looked at", async () => (await number(left)) < UNITS - 3);
    await plain.getByLabel("Your name").fill("plain");
    await until("the buyer without scripts gets a unit", async () => {
      if ((await plain.getByRole("heading", { name: "Reserved for you" }).count()) > 0) return true;
      // Sold out for a moment, the form stands by; the page of the place loads by itself and leads to the order.
      const form = plain.locator("form.buy .button");
      if ((await form.count()) > 0) await form.click();
      return false;
    });
    await plain.getByLabel("E-mail").fill("plain@example.org");
    await button(plain, "Proceed to payment").click();
    await plain.getByRole("button", { name: "Pay", exact: true }).click();
    await shows(plain, "Paid");
    await plain.getByText("149.00 EUR received: the order is paid").waitFor();
    await until("the buyer with scripts gets a unit", async () => {
      if ((await page.getByRole("heading", { name: /Reserved for you|Expired/ }).count()) > 0) return true;
      const buy = button(page, "Reserve · ");
      if (await buy.isVisible()) await buy.click({ timeout: 1_000 }).catch(() => {});
      return false;
    });
    const order = new URL(page.url()).pathname;
    // The reservation runs out under the reader's eyes.
    await page.getByRole("heading", { level: 1, name: "Expired", exact: true }).waitFor({ timeout: WAIT_MS + RESERVATION_SECONDS * 1000 });
    await page.getByText("The time to pay ran out", { exact: true }).waitFor();
    await end(storm);
    await until("what the storm held comes back", async () => (await number(looker.locator("[x-text=availableText]"))) > UNITS / 2);
    const said = await looker.evaluate(() => globalThis.said);
    const [soldOut, back] = [said.findIndex(([free, offer]) => free === "0" && offer === "Stand by"), said.findLastIndex(([, offer]) => offer.startsWith("Reserve · "))];
    assert.ok(said.some(([free]) => free !== "0" && Number(free) < UNITS) && soldOut >= 0 && back > soldOut, "it falls, is sold out, and comes back");
    await page.goto(`${shop.url}${order.replace("/orders/", "/pay/")}`);
    await button(page, "Pay late").click();
    await shows(page, "Paid");
    await page.getByText(/received late; there was still stock/).waitFor();
    const own = (await (await fetch(`${shop.url}/v1/drops/${id}`)).json());
    assert.equal(own.sold, 2, "two paid");
    await plain.context().close();
    await page.context().close();
  },
};

await run(tests, /status of (4(04|09)|503)|ERR_/);
