// Steps of the console's browser test: waiting rooms in the form, on the page of a drop, and their draws.
import assert from "node:assert/strict";
import { PUBLIC, console_, api, dialog, keep, until } from "./console-kit.mjs";

const local = (ms) => {
  const date = new Date(Date.now() + ms);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
};
const roomOf = async (id) => (await api("GET", `/v1/console/drops/${id}/room`)).body;
const dropOf = async (id) => (await api("GET", `/v1/console/drops/${id}`)).body;
const newest = async (name) => (await api("GET", "/v1/console/drops?limit=100")).body.data.find((drop) => drop.name === name);

async function ticket(drop, buyer) {
  const taken = await api("POST", `/v1/drops/${drop.id}/tickets`, { buyer }, { at: PUBLIC });
  assert.equal(taken.status, 201, JSON.stringify(taken.body));
  return taken.body;
}

/** Fills in the form of a new drop with a room that opens at once. */
async function fillIn(page, name, rule, startsInMs) {
  await page.goto(`${console_}#/drops/new`);
  for (const [label, value] of [["Name", name], ["SKU", "ROOM"], ["Price of a unit", "10"]]) await page.getByLabel(label, { exact: true }).fill(value);
  await page.getByLabel("Units", { exact: true }).fill("3");
  await page.getByLabel("Starts").fill(local(startsInMs));
  await page.getByLabel("Waiting room", { exact: true }).selectOption(rule);
}

/** A room is typed, refused where it opens too late, made, cloned, and its admission is changed while it serves. */
export async function aRoom(page) {
  const name = "Behind a room";
  await fillIn(page, name, "arrival", 3_600_000);
  await page.getByLabel("Waiting room opens").fill(local(7_200_000));
  await page.getByRole("button", { name: "Create the drop" }).click();
  await page.getByText("Before the start.").waitFor();
  await page.getByLabel("Waiting room opens").fill(local(-60_000));
  await page.getByLabel("Buyers admitted per second").fill("7");
  await page.getByText("in the order of arrival", { exact: true }).waitFor();
  await keep(page, "room-form");
  await page.getByRole("button", { name: "Create the drop" }).click();
  await page.getByRole("heading", { name }).waitFor();
  const drop = await newest(name);
  assert.deepEqual([drop.room.draw, drop.room.admit_per_second, drop.room.order_seconds], ["arrival", 7, 120]);

  const card = page.getByRole("region", { name: "Waiting room" });
  await card.getByText("gathering").waitFor();
  for (const buyer of ["ann", "bob", "eve", "joe", "zoe"]) await ticket(drop, buyer);
  await until("the tickets are shown", async () => (await card.locator(".tile", { hasText: "Tickets" }).locator(".figure").innerText()) === "5");
  assert.equal(await card.getByRole("button", { name: "Change admission" }).isVisible(), false, "nothing of it changes while it gathers");

  await page.getByRole("link", { name: "Clone" }).click();
  await page.getByLabel("Buyers admitted per second").waitFor();
  assert.equal(await page.getByLabel("Buyers admitted per second").inputValue(), "7");
  assert.equal(await page.getByLabel("Waiting room", { exact: true }).inputValue(), "arrival");
  return drop;
}

/** A room that serves: figures, the admission is changed, and a pause is told. */
export async function aRoomServes(page) {
  const room = { opens_at: "2020-01-01T00:00:00Z", admit_per_second: 100, order_seconds: 600 };
  const made = await api("POST", "/v1/drops", { sku: "S", name: "Serving", currency: "EUR", unit_price: 100, total: 3, starts_at: "2020-01-02T00:00:00Z", room }, { key: "serving" });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  for (const buyer of ["ann", "bob", "eve", "joe", "zoe"]) await ticket(made.body, buyer);
  await until("three are admitted", async () => (await roomOf(made.body.id)).serving === 3);
  await page.goto(`${console_}#/drops/${made.body.id}`);
  const card = page.getByRole("region", { name: "Waiting room" });
  const figure = (label) => card.locator(".tile", { hasText: label }).locator(".figure").innerText();
  await until("the line is shown", async () => (await figure("Waiting")) === "2" && (await figure("Within their time to order")) === "3");
  await keep(page, "room");
  await card.getByRole("button", { name: "Change admission" }).click();
  await dialog(page).getByLabel("Buyers admitted per second").fill("5");
  await dialog(page).getByLabel("in % of free units").fill("99");
  await dialog(page).getByLabel("Reason").fill("slower");
  await dialog(page).getByRole("button", { name: "Change admission" }).click();
  await dialog(page).getByText("At least 100.").waitFor();
  await dialog(page).getByLabel("in % of free units").fill("200");
  await dialog(page).getByRole("button", { name: "Change admission" }).dblclick();
  await dialog(page).waitFor({ state: "detached" });
  const { room: changed, revision } = await dropOf(made.body.id);
  assert.deepEqual([changed.admit_per_second, changed.oversubscribe_percent, revision], [5, 200, 2], "once");
  await until("more are admitted", async () => (await figure("Within their time to order")) === "5");
  await page.getByRole("button", { name: "Pause" }).click();
  await dialog(page).getByLabel("Reason").fill("a look");
  await dialog(page).getByRole("button", { name: "Pause" }).click();
  await card.getByText("nobody is admitted, and every position stays").waitFor();
  return made.body;
}

/** A draw that waits for public randomness: it is posted once, and the proof is shown. */
export async function aDraw(page) {
  const name = "Drawn by lot";
  await fillIn(page, name, "random", 4000);
  await page.getByLabel("Waiting room opens").fill(local(-60_000));
  await page.getByLabel("Public randomness for the draw").selectOption("required");
  await page.getByLabel("Seconds that the draw waits for it").fill("600");
  await page.getByText("drawn by lot; anybody can check the draw").waitFor();
  await page.getByRole("button", { name: "Create the drop" }).click();
  await page.getByRole("heading", { name }).waitFor();
  const drop = await newest(name);
  const numbers = [];
  for (const buyer of ["ann", "bob", "eve"]) numbers.push((await ticket(drop, buyer)).number);
  assert.deepEqual(numbers, [1, 2, 3]);
  const card = page.getByRole("region", { name: "Waiting room" });
  await card.getByText(drop.commitment).waitFor();
  await card.getByText("The draw waits for public randomness").waitFor();
  await keep(page, "beacon");
  await card.getByRole("button", { name: "Post the beacon" }).click();
  await dialog(page).getByLabel("Value").fill("no digits");
  await dialog(page).getByLabel("Source").fill("drand, round 7");
  await dialog(page).getByLabel("Reason").fill("as promised");
  await dialog(page).getByRole("button", { name: "Post the beacon" }).click();
  await dialog(page).getByText("Something in the form is not right").waitFor();
  const beacon = "c0ffee".repeat(10);
  await dialog(page).getByLabel("Value").fill(beacon);
  await dialog(page).getByRole("button", { name: "Post the beacon" }).dblclick();
  await dialog(page).waitFor({ state: "detached" });
  await card.getByText("anybody can check it").waitFor();
  for (const part of [beacon, "drand, round 7", drop.commitment]) await card.getByText(part, { exact: true }).waitFor();
  const { seed } = (await api("GET", `/v1/console/drops/${drop.id}/draw`)).body;
  await card.getByText(seed, { exact: true }).waitFor();
  await keep(page, "draw");
  return drop;
}
