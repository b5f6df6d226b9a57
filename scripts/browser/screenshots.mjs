// Takes a picture of every page, on a phone and on a desktop (scripts/screenshots.sh). The shop is filled first, in the same order
// each time; clocks and the storm are those of the moment.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { WAIT_MS, bound, launch } from "./browser.mjs";
import { fillRooms, roomPages } from "./screenshots-rooms.mjs";

const { PUBLIC, ADMIN, OWNER, PROGRAM, PICTURES, SCRATCH } = process.env;
const shop = `http://${PUBLIC}`;
const console_ = `http://${ADMIN}/console`;
const DEVICES = { phone: { width: 390, height: 844, dense: 1.5, most: 1500 }, desktop: { width: 1280, height: 800, dense: 1, most: 1600 } };
const STORM_SECONDS = 75;

bound();

// The pictures of the goods come from a server of the shop's own, as they would; it takes the shop's webhooks, too.
const goods = createServer(async (request, response) => {
  if (request.method === "POST") return response.writeHead(204).end();
  const file = /^\/([a-z]+\.svg)$/.exec(request.url ?? "")?.[1];
  if (!file) return response.writeHead(404).end();
  response.writeHead(200, { "Content-Type": "image/svg+xml" }).end(await readFile(new URL(`goods/${file}`, import.meta.url)));
});
await new Promise((ready) => goods.listen(0, "127.0.0.1", ready));
const image = (name) => `http://127.0.0.1:${goods.address().port}/${name}.svg`;

let asked = 0;
async function api(method, path, body, at = ADMIN) {
  asked += 1;
  const headers = { "Content-Type": "application/json", "Idempotency-Key": `pictures-${asked}` };
  if (at === ADMIN) headers.Authorization = `Bearer ${OWNER}`;
  const answer = await fetch(`http://${at}${path}`, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
  assert.ok(answer.ok, `${method} ${path}: ${await answer.clone().text()}`);
  return answer.status === 204 ? null : answer.json();
}

const from_now = (hours) => new Date(Date.now() + hours * 3_600_000).toISOString();
const next = (hour) => {
  const at = new Date(Date.now() + 24 * 3_600_000);
  at.setUTCHours(hour, 0, 0, 0);
  return at.toISOString();
};

const drop = (body) => api("POST", "/v1/drops", { currency: "EUR", starts_at: from_now(-0.2), per_buyer_limit: 2, ...body });

async function order(dropId, buyer, quantity = 1, contact = {}) {
  return api("POST", `/v1/drops/${dropId}/orders`, { buyer, quantity, contact: { email: `${buyer}@example.org`, ...contact } }, PUBLIC);
}

async function paid(made, reference) {
  await api("POST", `/v1/orders/${made.id}/payments`, { reference, amount: made.amount, currency: made.currency, reason: "seen at the bank" });
  return made;
}

/// Places this number of orders, of which some are paid.
async function crowd(dropId, buyers, isPaid) {
  for (let from = 0; from < buyers; from += 40) {
    const numbers = Array.from({ length: Math.min(40, buyers - from) }, (_, index) => from + index);
    await Promise.all(
      numbers.map(async (number) => {
        const made = await order(dropId, `member-${20_481 + number * 7}`);
        if (isPaid(number)) await paid(made, `SEPA ${dropId}-${number}`);
      }),
    );
  }
}

/// Fills the shop, and returns the ids of what it sells.
async function fill() {
  const clock = 1;
  const { revision } = await api("GET", `/v1/console/drops/${clock}`);
  await crowd(clock, 60, () => true);
  await api("PATCH", `/v1/drops/${clock}`, {
    expected_revision: revision, reason: "the first batch", name: "Pier clock, first batch", unit_price: 8_900, image_url: image("clock"),
    description: "Brass, hand-set, signed by the maker. The second batch comes in spring.",
  });
  await api("POST", `/v1/drops/${clock}/close`, { reason: "the batch is shipped" });
  const tote = await drop({
    sku: "TOTE-3", name: "Field tote No. 3", unit_price: 6_400, total: 120, image_url: image("tote"), reservation_seconds: 300,
    description: "Waxed canvas from Dundee, bridle leather, 14 litres. Each one is numbered inside the pocket.",
  });
  await crowd(tote.id, 46, (number) => number % 4 > 0);
  const mug = await drop({
    sku: "MUG-S", name: "Harbour mug, salt glaze", unit_price: 3_800, total: 80, image_url: image("mug"), reservation_seconds: 240,
    description: "Thrown and glazed on the pier, so no two are alike. Holds 350 ml, and the dishwasher does not mind.",
  });
  await crowd(mug.id, 80, (number) => number % 9 > 0);
  const record = await drop({
    sku: "LP-12", name: "Slow Tide, LP on blue vinyl", unit_price: 2_900, total: 1_500, image_url: image("record"), starts_at: next(17), ends_at: next(21),
    description: "Eight songs recorded in one night at the lighthouse. 1,500 copies, lacquer cut at half speed.",
  });
  const runner = await drop({
    sku: "RUN-04", name: "Runner 04 “Ember”, limited to 10,000", unit_price: 14_900, total: 10_000, image_url: image("runner"), reservation_seconds: 600,
    ends_at: from_now(1.46), description: "Recycled mesh, a cork midsole, and the colour of the last light on the water. Numbered, never made again.",
  });
  await crowd(runner.id, 640, (number) => number % 5 > 0);
  const print = await api("POST", "/v1/auctions", {
    sku: "PRINT-1", name: "Harbour, Dawn: screen print 1 of 1", currency: "EUR", start_price: 20_000, starts_at: "2020-01-01T00:00:00Z", ends_at: from_now(5.2),
  });
  let amount = 20_000;
  for (const buyer of ["member-20544", "member-21832", "member-20544", "member-22910"]) {
    await api("POST", `/v1/auctions/${print.id}/bids`, { buyer, amount }, PUBLIC);
    amount += 4_500;
  }
  await api("POST", "/v1/webhook-endpoints", { url: `http://127.0.0.1:${goods.address().port}/hooks/firstcome` });
  const bought = await order(tote.id, "member-40733", 2, { name: "Mara Lindqvist", email: "mara.lindqvist@example.org", phone: "+46 70 123 45 67", address: "Hamngatan 4\n411 14 Göteborg" });
  await paid(bought, "SEPA 2026-11-28/4471");
  await api("POST", `/v1/orders/${bought.id}/refund`, { amount: 1_200, reason: "a scratch on the buckle" });
  return { clock, tote: tote.id, mug: mug.id, record: record.id, runner: runner.id, print: print.id, bought };
}

const browser = await launch();
const complaints = [];

async function visitor(device, colorScheme = "light") {
  const { width, height, dense } = DEVICES[device];
  const context = await browser.newContext({
    viewport: { width, height }, deviceScaleFactor: dense, colorScheme, reducedMotion: "reduce", locale: "en-GB", timezoneId: "Europe/Berlin", isMobile: device === "phone", hasTouch: device === "phone",
  });
  context.setDefaultTimeout(WAIT_MS);
  const page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    // A page asks with no token before it shows the sign-in.
    if (message.type() === "error" && !/status of 401/.test(message.text())) complaints.push(`${page.url()}: ${message.text()} ${message.location().url}`);
  });
  return page;
}

/// Keeps a picture of the page: as high as the page is, within bounds, so that what is fixed to an edge stays there.
async function keep(page, device, name, most = DEVICES[device].most) {
  const { width, height } = DEVICES[device];
  const content = await page.evaluate(() => Math.max(...[...document.body.children].map((child) => child.getBoundingClientRect().bottom + scrollY)));
  await page.setViewportSize({ width, height: Math.round(Math.min(Math.max(content, Math.min(height, 720)), most)) });
  await page.evaluate(() => {
    scrollTo(0, 0);
    document.activeElement?.blur();
    return Promise.all([...document.images].map((one) => one.decode().catch(() => undefined))).then(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  });
  const session = await page.context().newCDPSession(page);
  const { data } = await session.send("Page.captureScreenshot", { format: "webp", quality: 72 });
  await session.detach();
  await writeFile(`${PICTURES}/${name}-${device}.webp`, Buffer.from(data, "base64"));
  await page.setViewportSize({ width, height });
}

const button = (page, name) => page.getByRole("button", { name });
const heading = (page, name) => page.getByRole("heading", { level: 1, name, exact: true }).waitFor();

async function storefront(device, goods) {
  const page = await visitor(device);
  const look = async (path, name, ready) => {
    await page.goto(`${shop}${path}`);
    await ready();
    await keep(page, device, name);
  };
  await look("/", "list", () => heading(page, "Drops and auctions"));
  await look(`/drops/${goods.runner}`, "drop-live", () => button(page, "Reserve · ").waitFor());
  await look(`/drops/${goods.record}`, "drop-scheduled", () => page.getByText(/starts in/).waitFor());
  await look(`/drops/${goods.mug}`, "drop-sold-out", () => page.getByText("Sold out").first().waitFor());
  await page.goto(`${shop}/auctions/${goods.print}`);
  await page.getByLabel("Your bid (EUR)").fill(device === "phone" ? "360" : "380");
  await page.getByLabel("Your maximum").fill(device === "phone" ? "500" : "800");
  await button(page, "Bid").click();
  await page.getByText("You lead").first().waitFor();
  await keep(page, device, "auction");
  await page.goto(`${shop}/drops/${goods.tote}`);
  await button(page, "Reserve · ").click();
  await heading(page, "Reserved for you");
  await page.getByLabel("Name").fill("Mara Lindqvist");
  await page.getByLabel("E-mail").fill("mara.lindqvist@example.org");
  await keep(page, device, "order-reserved");
  await button(page, "Proceed to payment").click();
  await heading(page, "Waiting for your payment");
  const id = new URL(page.url()).pathname.split("/").pop();
  await keep(page, device, "order-payment");
  await page.goto(`${shop}/pay/${id}`);
  await heading(page, "Waiting for your payment");
  await keep(page, device, "pay");
  await page.getByRole("button", { name: "Pay", exact: true }).click();
  await heading(page, "Paid");
  await page.goto(`${shop}/orders/${id}`);
  await heading(page, "Paid");
  await keep(page, device, "order-paid");
  if (device === "desktop") {
    await page.emulateMedia({ media: "print" });
    await keep(page, device, "receipt");
  }
  await page.context().close();
}

async function theConsole(device, goods) {
  const page = await visitor(device, device === "phone" ? "dark" : "light");
  await page.goto(console_);
  await page.getByLabel("Token").waitFor();
  await keep(page, device, "console-sign-in");
  await page.getByLabel("Token").fill(OWNER);
  await button(page, "Sign in").click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  const look = async (path, name, ready = page.locator("main .card:visible").first(), most = 1200) => {
    await page.goto(`${console_}#/${path}`);
    await ready.waitFor();
    await keep(page, device, `console-${name}`, most);
  };
  const row = page.locator("tbody tr:visible").first();
  await look("drops", "drops", row);
  await look(`drops/${goods.runner}`, "drop", button(page, "Stock").first());
  await look(`drops/${goods.line}`, "room", page.getByRole("region", { name: "Waiting room" }), 1800);
  await page.goto(`${console_}#/drops/new`);
  const fields = {
    Name: "Runner 05 “Slate”", SKU: "RUN-05", Currency: "EUR", "Price of a unit": "159.00", "Units per buyer": "2", Starts: `${next(11).slice(0, 10)}T12:00:00`,
  };
  for (const [label, text] of Object.entries(fields)) await page.getByLabel(label, { exact: label !== "Starts" }).first().fill(text);
  await page.getByLabel("Units", { exact: true }).fill("6000");
  await page.getByText("€954,000.00").waitFor();
  await keep(page, device, "console-drop-form", 1200);
  await page.goto(`${console_}#/orders`);
  await page.getByLabel("Drop", { exact: true }).fill(String(goods.tote));
  await button(page, "List").click();
  await row.waitFor();
  await keep(page, device, "console-orders", 1000);
  await look(`orders/${goods.bought.id}`, "order", button(page, "Show the contact"));
  await button(page, "Show the contact").click();
  await page.getByText("mara.lindqvist@example.org").waitFor();
  await keep(page, device, "console-order", 1200);
  await look("auctions", "auctions", row);
  await look("webhooks", "webhooks");
  await look("audit", "audit");
  await look("gauges", "gauges", row, 1000);
  await look("tokens", "tokens", row, 1000);
  await page.goto(`${console_}#/preflight`);
  await button(page, "Check").click();
  await row.waitFor();
  await keep(page, device, "console-preflight", 1000);
  await look("settings", "settings", row, 1000);
  await look("live", "live", row, device === "phone" ? 1800 : 1400);
  await page.context().close();
}

async function others(device, goods) {
  const page = await visitor(device);
  const file = `${SCRATCH}/report-${device}.html`;
  execFileSync(PROGRAM, ["report", String(goods.runner), "--html", file, "--admin", ADMIN], { env: { ...process.env, FIRSTCOME_TOKEN: OWNER } });
  await page.goto(`file://${file}`);
  await keep(page, device, "report", 1800);
  await page.goto(`http://${ADMIN}/docs`);
  await page.locator("h1").first().waitFor();
  await keep(page, device, "docs", 1200);
  await page.context().close();
}

const filled = await fill();
const kit = { drop, image, order, paid, post: (path, body) => api("POST", path, body, PUBLIC), visitor, keep, button, shop };
const rooms = await fillRooms(kit);
for (const device of Object.keys(DEVICES)) await roomPages(kit, device, rooms);
const storm = spawn(PROGRAM, ["rush", "--public", PUBLIC, "--admin", ADMIN, "--drop", String(filled.runner), "--rate", "70", "--buyers", String(70 * STORM_SECONDS * 4), "--connections", "16", "--threads", "1", "--deadline", "300", "--seed", "4"], {
  env: { ...process.env, FIRSTCOME_TOKEN: OWNER }, stdio: "ignore",
});
const stormed = Date.now();
try {
  for (const device of Object.keys(DEVICES)) await storefront(device, filled);
  // The charts of the console have the seconds that it was open or that the server remembers.
  const left = STORM_SECONDS * 1000 - (Date.now() - stormed);
  if (left > 0 && !process.env.QUICK) await new Promise((go) => setTimeout(go, left));
  for (const device of Object.keys(DEVICES)) await theConsole(device, { ...filled, line: rooms.line });
} finally {
  storm.kill();
}
for (const device of Object.keys(DEVICES)) await others(device, filled);
await browser.close();
goods.close();
assert.deepEqual(complaints, [], "the browser complains");
