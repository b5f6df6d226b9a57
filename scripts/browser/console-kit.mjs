// Helpers of the console's browser tests: pages, requests, and waiting.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { WAIT_MS, bound, launch } from "./browser.mjs";

export const { PUBLIC, ADMIN, OWNER, OPERATOR, VIEWER, PROGRAM, DATA, GONE, SEEN, BACK, SCREENSHOTS } = process.env;
export const console_ = `http://${ADMIN}/console`;

bound();

export const browser = await launch();
export const complaints = [];
export const findings = [];
export const axe = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

export async function open(width = 1440, colorScheme = "light") {
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

export async function signIn(page, token) {
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
}

export async function api(method, path, body, { at = ADMIN, token = OWNER, key } = {}) {
  const headers = { Authorization: `Bearer ${token}` };
  if (body) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  const answer = await fetch(`http://${at}${path}`, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
  const text = await answer.text();
  return { status: answer.status, body: text ? JSON.parse(text) : null };
}

export async function until(what, holds) {
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    const found = await holds();
    if (found) return found;
    assert.ok(Date.now() < deadline, `waited in vain: ${what}`);
    await new Promise((go) => setTimeout(go, 50));
  }
}

export const dialog = (page) => page.getByRole("dialog");
export const row = (page, name) => page.getByRole("row").filter({ hasText: name });
export const stateOf = async (id) => (await api("GET", `/v1/console/drops/${id}`)).body.state;

export async function keep(page, name) {
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/console-${name}.png`, fullPage: true });
}
