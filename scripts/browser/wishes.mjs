// One order per wish, whatever happens: sign-in that ends, servers that restart or cannot decide, limits, two tabs, wrong clocks
// (scripts/browser.sh). Each trouble is made on the real server.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Shop, button, end, keysOf, run, serve, shows, until, visitor } from "./shop.mjs";

const { PUBLIC, ADMIN, PROGRAM = "target/release/firstcome" } = process.env;
const shop = new Shop(PUBLIC, ADMIN);
const scratch = mkdtempSync(join(tmpdir(), "wishes-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

const base64 = (data) => Buffer.from(data).toString("base64url");
const SECRET = "a secret of the shop with 32 bytes or more";

/// A buyer's token as src/http/README.md describes it.
function token(buyer, seconds) {
  const claims = { sub: buyer, aud: "drops", exp: Math.floor(Date.now() / 1000) + seconds };
  const signed = `${base64('{"alg":"HS256","typ":"JWT"}')}.${base64(JSON.stringify(claims))}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

/// The shop's page that signs buyers in, for so many seconds.
async function signInPage() {
  const page = { seconds: 600, signedIn: 0, tokens: [] };
  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://login");
    const back = url.searchParams.get("return_to") ?? "";
    if (url.pathname === "/go") {
      page.signedIn += 1;
      page.tokens.push(token(url.searchParams.get("name"), page.seconds));
      response.writeHead(303, { Location: `${back}#token=${page.tokens.at(-1)}` }).end();
      return;
    }
    const kept = back.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
    response.writeHead(200, { "Content-Type": "text/html" }).end(
      `<!doctype html><html lang="en"><title>Sign in</title><link rel="icon" href="data:,"><h1>Sign in</h1><form action="/go">` +
        `<input type="hidden" name="return_to" value="${kept}"><label>Name <input name="name"></label><button>Go on</button></form></html>`,
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  server.unref();
  page.url = `http://127.0.0.1:${server.address().port}/`;
  return page;
}

async function signIn(page, name) {
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.getByLabel("Name").fill(name);
  await button(page, "Go on").click();
}

/// A purchase whose answer is lost after the server has decided. `change` makes another page of it.
async function buysAlthoughTheAnswerIsLost(name, change = async () => {}) {
  const id = await shop.drop(name, { per_buyer_limit: 2 });
  const page = await visitor();
  await change(page);
  await page.goto(`${shop.url}/drops/${id}`);
  const losesTheAnswer = async (route) => {
    await route.fetch();
    await route.abort("connectionreset");
  };
  await page.route(`${shop.url}/v1/drops/${id}/orders`, losesTheAnswer, { times: 1 });
  await button(page, "Reserve · ").click();
  await shows(page, "Reserved for you");
  await page.context().close();
  await shop.hasOneOrder(id, name);
}

const tests = {
  async "a buyer signs in, a token that ends in the middle leads there again, and the purchase goes on with its key"() {
    const login = await signInPage();
    writeFileSync(join(scratch, "secret"), SECRET, { mode: 0o600 });
    const own = await serve(join(scratch, "tokens"), {
      FIRSTCOME__IDENTITY__AUDIENCE: "drops",
      FIRSTCOME__IDENTITY__HS256_SECRET_FILES: join(scratch, "secret"),
      FIRSTCOME__IDENTITY__LEEWAY_SECONDS: "0",
      FIRSTCOME__STOREFRONT__LOGIN_URL: login.url,
    });
    const [first, second] = [await own.drop("Signed in"), await own.drop("Signed in again")];
    const page = await visitor();
    login.seconds = 10;
    const left = await own.drop("Left at the sign-in");
    await page.goto(`${own.url}/drops/${left}`);
    await button(page, "Sign in to reserve").click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await page.goto(`${own.url}/drops/${first}?lang=en`);
    await button(page, "Sign in to reserve").click();
    await signIn(page, "ann");
    await shows(page, "Reserved for you"); // the wish was kept
    assert.equal(new URL(page.url()).hash, "", "the token is not in the address");
    await own.hasOneOrder(first, "signed in");
    // A wish that was left is not bought by looking at it, and a link of others signs nobody in.
    await page.goto(`${own.url}/drops/${left}`);
    await button(page, "Reserve · ").waitFor();
    await page.goto(`${own.url}/drops/${second}#token=${token("eve", 600)}`);
    await button(page, "Reserve · ").waitFor();
    assert.equal(new URL(page.url()).hash, "");
    const keys = keysOf(page);
    // The token has to end while the page believes in it.
    const headers = { Authorization: `Bearer ${login.tokens[0]}` };
    const [order] = await own.orders(first);
    await until("the token ends", async () => (await fetch(`${own.url}/v1/orders/${order.id}`, { headers })).status === 401);
    login.seconds = 600;
    await button(page, "Reserve · ").click();
    await page.getByText("Please sign in again").waitFor();
    await signIn(page, "ann");
    await shows(page, "Reserved for you");
    assert.ok(keys.length >= 2 && new Set(keys).size === 1, `one key: ${keys}`);
    const made = await own.orders(second);
    assert.deepEqual([made.length, made[0].buyer, login.signedIn], [1, "ann", 2]);
    assert.equal((await own.orders(left)).length, 0, "looked at, not bought");
    await page.getByLabel("E-mail").fill("ann@example.org");
    await button(page, "Proceed to payment").click();
    await page.getByRole("button", { name: "Pay", exact: true }).click();
    await shows(page, "Paid");
    assert.equal((await page.context().cookies()).length, 0, "no cookie");
    await page.context().close();
    await own.stop();
  },

  async "a server that goes away and comes back: the page says so, keeps the wish, and the order exists once"() {
    const data = join(scratch, "restart");
    let own = await serve(data);
    const id = await own.drop("Restart");
    const page = await visitor();
    await page.goto(`${own.url}/drops/${id}`);
    await button(page, "Reserve · ").waitFor();
    const keys = keysOf(page);
    await own.stop();
    await button(page, "Reserve · ").click();
    await page.getByText("No answer from the shop").first().waitFor();
    assert.ok(await button(page, "Reserving…").isDisabled(), "the wish is under way");
    own = await serve(data, {}, own);
    await shows(page, "Reserved for you");
    assert.equal(new Set(keys).size, 1);
    await own.hasOneOrder(id, "after a restart");
    await page.context().close();
    await own.stop();
  },

  async "an overloaded server and one that is read-only say so, and the page goes on by itself when they can decide"() {
    const data = join(scratch, "busy");
    const own = await serve(data, { FIRSTCOME__WRITER__QUEUE_WAIT_MAX_MS: "1" });
    const page = await visitor();
    const storm = spawn(PROGRAM, ["rush", "--public", own.public, "--admin", own.admin, "--buyers", "1000000", "--units", "900000", "--crowd", "plain"], { stdio: "ignore" });
    process.on("exit", () => storm.kill("SIGKILL"));
    // An order that waits for less than a millisecond is decided: then another drop is asked for.
    const isRefused = async () => {
      const id = await own.drop("Busy");
      await page.goto(`${own.url}/drops/${id}`);
      await button(page, "Reserve · ").click();
      const [busy, bought] = [page.getByText("Many people are here right now"), page.getByRole("heading", { name: "Reserved for you" })];
      await busy.or(bought).first().waitFor();
      return (await busy.count()) > 0 ? id : undefined;
    };
    const first = await until("an order that is refused", isRefused);
    await page.getByText("The page tries again by itself in").waitFor();
    await end(storm, "SIGKILL");
    await shows(page, "Reserved for you");
    await own.hasOneOrder(first, "after the overload");
    const second = await own.drop("Locked");
    // Another program has the file locked.
    await page.goto(`${own.url}/drops/${second}`);
    await button(page, "Reserve · ").waitFor();
    const lock = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1],isolation_level=None)\nc.execute('BEGIN IMMEDIATE')\nprint(1,flush=True)\nsys.stdin.read()";
    const locker = spawn("python3", ["-c", lock, join(data, "firstcome.db")], { stdio: ["pipe", "pipe", "inherit"] });
    await once(locker.stdout, "data");
    await button(page, "Reserve · ").click();
    await page.getByText("The shop can take no orders at the moment").waitFor();
    locker.stdin.end();
    await once(locker, "exit");
    await shows(page, "Reserved for you");
    await own.hasOneOrder(second, "after the lock");
    await page.context().close();
    await own.stop();
  },

  async "a sale that is paused in between, and a rate limit, are waited for by Retry-After with the same key"() {
    const [paused, limited] = [await shop.drop("Paused in between"), await shop.drop("Limited")];
    const page = await visitor();
    await page.goto(`${shop.url}/drops/${paused}`);
    const keys = keysOf(page);
    const pausesBefore = async (route) => {
      await shop.operate(`/v1/drops/${paused}/pause`, { reason: "a look" });
      await route.continue();
    };
    await page.route(`${shop.url}/v1/drops/${paused}/orders`, pausesBefore, { times: 1 });
    await button(page, "Reserve · ").click();
    await page.getByText("Nothing was reserved. The page tries again by itself.").waitFor();
    assert.equal((await shop.orders(paused)).length, 0);
    await shop.operate(`/v1/drops/${paused}/resume`, { reason: "go on" });
    await shows(page, "Reserved for you");
    assert.equal(new Set(keys).size, 1);
    await page.context().close();
    const address = { "X-Forwarded-For": "192.0.2.99" };
    const other = await visitor({ extraHTTPHeaders: address });
    await other.goto(`${shop.url}/drops/${limited}`);
    await button(other, "Reserve · ").waitFor();
    const spend = () => fetch(`${shop.url}/v1/drops/${limited}/orders`, { method: "POST", headers: { ...address, "Content-Type": "application/json", "Idempotency-Key": "x" }, body: '{"buyer":"spender","quantity":0}' });
    await until("the budget is used up", async () => (await Promise.all(Array.from({ length: 20 }, spend))).every(({ status }) => status === 429));
    await button(other, "Reserve · ").click();
    await other.getByText("Too many requests").waitFor();
    await shows(other, "Reserved for you");
    await shop.hasOneOrder(limited, "after the limit");
    await other.context().close();
  },

  async "a tab and its copy are one wish, and two tabs of one buyer never get beyond the limit"() {
    const [copied, limited] = [await shop.drop("Copied", { per_buyer_limit: 4 }), await shop.drop("Two tabs", { per_buyer_limit: 1 })];
    const page = await visitor();
    await page.goto(`${shop.url}/drops/${copied}`);
    await button(page, "Reserve · ").waitFor();
    // A copied tab has the storage of the first.
    const [copy] = await Promise.all([page.waitForEvent("popup"), page.evaluate(() => void window.open(location.href))]);
    await button(copy, "Reserve · ").waitFor();
    await Promise.all([button(page, "Reserve · ").click(), button(copy, "Reserve · ").click()]);
    await Promise.all([shows(page, "Reserved for you"), shows(copy, "Reserved for you")]);
    assert.equal(page.url(), copy.url());
    await shop.hasOneOrder(copied, "a copied tab");
    const other = await page.context().newPage();
    await page.goto(`${shop.url}/drops/${limited}`);
    await other.goto(`${shop.url}/drops/${limited}`);
    await button(page, "Reserve · ").click();
    await shows(page, "Reserved for you");
    await button(other, "Reserve · ").click();
    await other.getByText("You have reached the limit").waitFor();
    await shop.hasOneOrder(limited, "two tabs");
    await page.context().close();
  },

  async "who stops after a lost answer and asks for another number finds the order that was made"() {
    const id = await shop.drop("Found again", { per_buyer_limit: 5 });
    const page = await visitor();
    await page.goto(`${shop.url}/drops/${id}`);
    const losesTheAnswer = async (route) => {
      await route.fetch();
      await route.abort("connectionreset");
    };
    // Every answer is lost until the buyer has stopped: the page would find the order by itself.
    await page.route(`${shop.url}/v1/drops/${id}/orders`, losesTheAnswer);
    await button(page, "Reserve · ").click();
    await button(page, "Stop trying").click();
    await page.unroute(`${shop.url}/v1/drops/${id}/orders`, losesTheAnswer);
    await button(page, "One more").click();
    await button(page, "Reserve · ").click();
    await shows(page, "Reserved for you");
    await shop.hasOneOrder(id, "found again");
    assert.equal((await shop.orders(id))[0].quantity, 1);
    await page.context().close();
  },

  async "another price is told, and a click that was meant for the one before buys nothing"() {
    const id = await shop.drop("Another price");
    const page = await visitor({ locale: "en-GB" });
    await page.goto(`${shop.url}/drops/${id}`);
    await button(page, "Reserve · €149.00").waitFor();
    // The two seconds after the change do not pass on this page, however slow the machine is.
    await page.evaluate(() => {
      const now = performance.now();
      performance.now = () => now;
    });
    await shop.change(id, { unit_price: 19900 });
    await page.getByText("A unit costs €199.00 now.").waitFor();
    assert.match(await page.locator(".price").innerText(), /€199\.00/);
    await button(page, "Reserve · €199.00").click();
    assert.equal((await shop.orders(id)).length, 0, "a click within two seconds is not sent");
    await page.context().close();
  },

  async "clocks that are an hour off, either way, count down what the server counts"() {
    for (const hours of [-1, 1]) {
      const id = await shop.drop(`Clock ${hours}`, { starts_at: new Date(Date.now() + 600_000).toISOString(), reservation_seconds: 120 });
      const page = await visitor();
      await page.addInitScript((ms) => {
        const real = Date.now;
        Date.now = () => real() + ms;
      }, hours * 3_600_000);
      await page.goto(`${shop.url}/drops/${id}`);
      await page.getByText(/^starts in (10:00|9:\d\d)$/).waitFor();
      await shop.begin(id);
      await button(page, "Reserve · ").click();
      await shows(page, "Reserved for you");
      assert.match(await page.getByRole("timer").textContent(), /^(2:00|1:\d\d)$/, `${hours} hours off`);
      await page.context().close();
    }
  },

  async "an answer that is lost buys once, and this test notices a page that makes a new key for each try"() {
    await buysAlthoughTheAnswerIsLost("Lost on the way");
    const forgetful = (page) =>
      page.addInitScript(() => {
        const real = globalThis.fetch;
        globalThis.fetch = (url, init) => {
          if (init?.headers?.["Idempotency-Key"]) init.headers["Idempotency-Key"] = crypto.getRandomValues(new Uint32Array(2)).join("-");
          return real(url, init);
        };
      });
    await assert.rejects(buysAlthoughTheAnswerIsLost("A new key per try", forgetful), /bought once/);
  },
};

await run(tests, /status of (4(01|04|09|22|29)|503)|ERR_(CONNECTION_(RESET|REFUSED)|EMPTY_RESPONSE|INCOMPLETE_CHUNKED_ENCODING|FAILED|ABORTED)/);
