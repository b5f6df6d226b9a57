// The console's levers over one order's money and contact, over stock, and over webhook endpoints.
import assert from "node:assert/strict";
import { PUBLIC, console_, api, dialog, keep, until } from "./console-kit.mjs";

/** Settles the refund of an order that is paid twice: one payment is kept, the other is due to the buyer. */
export async function aSettlement(page, order) {
  const form = new URLSearchParams({ what: "pay_twice", seen: "0" });
  assert.equal((await fetch(`http://${PUBLIC}/pay/${order.id}/sandbox`, { method: "POST", body: form, redirect: "manual" })).status, 303);
  const due = (await api("GET", `/v1/console/orders/${order.id}`)).body.refund_due_amount;
  assert.equal(due, order.amount);
  await page.goto(`${console_}#/orders/${order.id}`);
  await page.getByRole("button", { name: "Settle the refund" }).click();
  await dialog(page).getByLabel("Reference of what you paid").fill("bank 20");
  await dialog(page).getByLabel("Reason").fill("paid back by hand");
  await dialog(page).getByRole("button", { name: "Record it" }).dblclick();
  await page.getByText("the refund is settled.").waitFor();
  const { body } = await api("GET", `/v1/console/orders/${order.id}`);
  assert.deepEqual([body.refunded_amount, body.refund_due_amount ?? 0], [due, 0], "settled once");
  await page.getByRole("button", { name: "Settle the refund" }).waitFor({ state: "hidden" });
}

/** Erases the contact of the order whose page is open. */
export async function anErasure(page, order) {
  await page.getByRole("button", { name: "Erase", exact: true }).click();
  const erase = dialog(page).getByRole("button", { name: "Erase for good" });
  await erase.click();
  await dialog(page).getByText("Type the name as it stands above.").waitFor();
  await dialog(page).getByLabel("To go on, type").fill(order.code);
  await erase.click();
  await page.getByText(`The contact of ${order.code} is erased.`).waitFor();
  assert.equal((await api("GET", `/v1/orders/${order.id}/contact`)).status, 404, "no contact is left");
}

export async function aStock(page, drop) {
  const { total } = (await api("GET", `/v1/console/drops/${drop.id}`)).body;
  await page.goto(`${console_}#/drops/${drop.id}`);
  await page.getByRole("button", { name: "Stock" }).click();
  await dialog(page).getByLabel("Units to add").fill("1,5");
  await dialog(page).getByLabel("Reason").fill("found in the store");
  await dialog(page).getByRole("button", { name: "Change the stock" }).click();
  await dialog(page).getByText("A whole number.").waitFor();
  await dialog(page).getByLabel("Units to add").fill("5");
  await dialog(page).getByRole("button", { name: "Change the stock" }).click();
  await dialog(page).waitFor({ state: "detached" });
  assert.equal((await api("GET", `/v1/console/drops/${drop.id}`)).body.total, total + 5);
}

const endpoints = async () => (await api("GET", "/v1/webhook-endpoints")).body.data;

/** An endpoint without a listener: its deliveries wait, are sent again, and go with it. */
export async function anEndpoint(page) {
  const url = "http://127.0.0.1:9/hook";
  await page.goto(`${console_}#/webhooks`);
  await page.getByRole("button", { name: "New endpoint" }).click();
  await dialog(page).getByLabel("URL").fill(url);
  await dialog(page).getByRole("button", { name: "Create the endpoint" }).click();
  await dialog(page).waitFor({ state: "detached" });
  const { id } = await until("the endpoint is made", async () => (await endpoints()).find((endpoint) => endpoint.url === url));
  await page.getByText("whsec_").first().waitFor();
  await until("a delivery waits", async () => (await api("GET", `/v1/webhook-endpoints/${id}`)).body.waiting > 0);
  await page.goto(`${console_}#/webhooks/${id}`);
  await page.getByLabel("Which").selectOption("waiting");
  await page.getByRole("region", { name: "Deliveries" }).getByRole("button", { name: /^Send again from event/ }).first().waitFor();
  await keep(page, "deliveries");
  await page.goto(`${console_}#/webhooks`);
  const own = page.getByRole("listitem").filter({ hasText: url });
  await own.getByRole("button", { name: "Send again" }).click();
  await dialog(page).getByLabel("Reason").fill("it is back");
  await dialog(page).getByRole("button", { name: "Send again" }).click();
  await page.getByText(`Endpoint ${id} gets its events again.`).waitFor();
  await own.getByRole("button", { name: "New secret" }).click();
  await dialog(page).getByLabel("Reason").fill("it was shown");
  await dialog(page).getByRole("button", { name: "Make a new secret" }).click();
  await page.getByText(`Endpoint ${id} has a new secret.`).waitFor();
  await own.getByRole("button", { name: "Delete" }).click();
  await dialog(page).getByLabel("To go on, type").fill(`endpoint ${id}`);
  await dialog(page).getByRole("button", { name: "Delete for good" }).click();
  await page.getByText(`Endpoint ${id} is deleted.`).waitFor();
  assert.ok(!(await endpoints()).some((endpoint) => endpoint.id === id), "it is gone");
}
