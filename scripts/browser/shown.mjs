// What the storefront's pages show (scripts/browser.sh): amounts and names of every kind, histories, lists, refusals without
// scripts, pages at three widths, a purchase by keyboard.
import assert from "node:assert/strict";
import { Shop, button, hasNoFindings, run, shows, until, visitor } from "./shop.mjs";

const { PUBLIC, ADMIN, SCREENSHOTS } = process.env;
const shop = new Shop(PUBLIC, ADMIN);
const WIDTHS = { phone: [390, 844], tablet: [768, 1024], desktop: [1280, 900] };
const MARKUP = '<script>globalThis.pwned=1</script><img src=x onerror="globalThis.pwned=2">';

/// Returns the page's own way to write an amount of minor units.
const written = (page, amount, currency, digits) =>
  page.evaluate(([minor, code, fraction]) => {
    const text = String(minor).padStart(fraction + 1, "0");
    const exact = fraction ? `${text.slice(0, -fraction)}.${text.slice(-fraction)}` : text;
    const options = { style: "currency", currency: code, minimumFractionDigits: fraction, maximumFractionDigits: fraction };
    return new Intl.NumberFormat(document.documentElement.lang, options).format(exact);
  }, [amount, currency, digits]);

async function reserve(page, id) {
  await page.goto(`${shop.url}/drops/${id}`);
  await button(page, "Reserve · ").click();
  await shows(page, "Reserved for you");
}

async function checkOut(page, email) {
  await page.getByLabel("E-mail").fill(email);
  await button(page, "Proceed to payment").click();
  await shows(page, "Waiting for your payment");
}

/// A browser without scripts that reads Vietnamese.
const plainVisitor = (options = {}) => visitor({ javaScriptEnabled: false, locale: "vi-VN", ...options });

const tests = {
  async "amounts of every size are written as the reader's language does, with scripts and without"() {
    const prices = [["JPY", 14_900, 0, "14,900 JPY", "14.900 JPY"], ["KWD", 100_000_000_000, 3, "100,000,000.000 KWD", "100.000.000,000 KWD"], ["EUR", 100_000_000_000, 2, "1,000,000,000.00 EUR", "1.000.000.000,00 EUR"]];
    const plain = await plainVisitor();
    for (const [currency, unit_price, digits, english, vietnamese] of prices) {
      const id = await shop.drop(`Price in ${currency}`, { currency, unit_price, per_buyer_limit: 3 });
      for (const locale of ["en-GB", "vi-VN"]) {
        const page = await visitor({ locale });
        await page.goto(`${shop.url}/drops/${id}`);
        const price = await written(page, unit_price, currency, digits);
        await page.locator(".price", { hasText: price }).waitFor();
        await button(page, locale === "en-GB" ? "One more" : "Tăng").click();
        const total = await written(page, 2 * unit_price, currency, digits);
        await page.getByRole("button", { name: total }).click();
        await page.locator("dd", { hasText: total }).waitFor();
        await page.context().close();
      }
      await plain.goto(`${shop.url}/drops/${id}`);
      assert.equal(await plain.locator(".price .num").innerText(), vietnamese);
      await plain.goto(`${shop.url}/drops/${id}?lang=en`);
      assert.equal(await plain.locator(".price .num").innerText(), english);
    }
    await plain.context().close();
  },

  async "names with markup, from right to left, with emoji, and long ones are text, and are executed nowhere"() {
    const names = [`${MARKUP} shoe`, "حذاء محدود الإصدار غيوم", "👨‍👩‍👧‍👦 🇻🇳 sneaker 👟", "W".repeat(200)];
    const page = await visitor();
    for (const name of names) {
      const id = await shop.drop(name, { description: `${MARKUP} ${"وصف ".repeat(20)}`, per_buyer_limit: 2 });
      for (const path of ["/", `/drops/${id}`]) {
        await page.goto(`${shop.url}${path}`);
        const heading = page.getByRole("heading", { name, exact: true }).first();
        await heading.waitFor();
        const isRtl = await heading.evaluate((element) => element.matches(":dir(rtl)"));
        assert.equal(isRtl, name.startsWith("ح"), `${name} on ${path}`);
      }
      await button(page, "Reserve · ").click();
      await shows(page, "Reserved for you");
      assert.equal(await page.locator("dd bdi").innerText(), name);
      await page.goto(page.url().replace("/orders/", "/pay/"));
      assert.equal(await page.locator("dd bdi").innerText(), name);
      const [marks, scripts, pictures] = await page.evaluate(() => [globalThis.pwned, document.scripts.length, document.images.length]);
      assert.deepEqual([marks, scripts, pictures], [undefined, 2, 0], name);
    }
    await page.context().close();
  },

  async "an address of 500 bytes is kept whole, and one of more is refused in words with what was typed"() {
    const id = await shop.drop("Far away");
    const page = await visitor();
    await reserve(page, id);
    const order = new URL(page.url()).pathname.split("/").pop();
    await page.getByLabel("Address").fill("đ".repeat(260));
    await page.getByLabel("E-mail").fill("far@example.org");
    await button(page, "Proceed to payment").click();
    await page.getByText("Please check: Address.").waitFor();
    assert.equal(await page.getByLabel("Address").inputValue(), "đ".repeat(260));
    const address = `${MARKUP}\n${"x".repeat(498 - MARKUP.length)}!`;
    await page.getByLabel("Address").fill(address);
    await button(page, "Proceed to payment").click();
    await shows(page, "Waiting for your payment");
    const kept = await (await fetch(`http://${ADMIN}/v1/orders/${order}/contact`)).json();
    assert.deepEqual([kept.address, Buffer.byteLength(kept.address)], [address, 500]);
    assert.equal(await page.evaluate(() => globalThis.pwned), undefined);
    await page.context().close();
  },

  async "an order's history is told in words and local time, and grows while it is looked at"() {
    const id = await shop.drop("History");
    const page = await visitor({ locale: "vi-VN", timezoneId: "Asia/Ho_Chi_Minh" });
    await page.goto(`${shop.url}/drops/${id}`);
    await button(page, "Giữ chỗ · ").click();
    await shows(page, "Đã giữ cho bạn");
    const order = new URL(page.url()).pathname.split("/").pop();
    await page.getByLabel("E-mail").fill("ann@example.org");
    await button(page, "Tiếp tục thanh toán").click();
    await shows(page, "Đang chờ bạn thanh toán");
    await page.evaluate(() => (globalThis.isTheSamePage = true));
    const change = { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"contact":{"email":"bob@example.org"}}' };
    assert.equal((await fetch(`${shop.url}/v1/orders/${order}/checkout`, change)).status, 200);
    await page.getByText("Đã sửa thông tin liên hệ").waitFor();
    assert.equal(await page.evaluate(() => globalThis.isTheSamePage), true, "without loading the page anew");
    for (const text of await page.locator(".steps time").allInnerTexts()) assert.match(text, /GMT\+7/);
    await page.getByRole("button", { name: "Thanh toán", exact: true }).click();
    await shows(page, "Đã thanh toán");
    await page.getByText(`Đã nhận ${(await written(page, 14_900, "EUR", 2)).replace("\u00a0", " ")}: đơn đã được thanh toán`).waitFor();
    // Paid from elsewhere, and partly refunded by the shop, which says nothing else of it.
    await shop.operate(`/v1/orders/${order}/refund`, { amount: 900, reason: "a scratch" });
    await page.locator(".steps li", { hasText: "9,00" }).waitFor();
    assert.ok(!(await page.content()).includes("scratch"));
    assert.ok(!(await page.content()).includes("example.org"), "no personal data");
    await page.context().close();
  },

  async "the list leads to older drops and to one state, without scripts"() {
    for (let n = 0; n < 26; n += 1) await shop.drop(`Of many ${n}`);
    const paused = await shop.drop("One that is paused");
    await shop.operate(`/v1/drops/${paused}/pause`, { reason: "a look" });
    const page = await plainVisitor();
    await page.goto(`${shop.url}/`);
    const seen = new Set();
    for (;;) {
      const names = await page.locator(".tile h2").allInnerTexts();
      names.forEach((name) => seen.add(name));
      const older = page.getByRole("link", { name: "Các đợt cũ hơn" });
      if ((await older.count()) === 0) break;
      const { href } = new URL(page.url());
      await older.click();
      await page.waitForURL((url) => url.href !== href);
    }
    assert.ok(seen.has("Of many 0") && seen.has("Demo sneaker, limited"), "the first drop of all is reached");
    await page.goto(`${shop.url}/`);
    await page.getByRole("link", { name: "Tạm dừng" }).click();
    // The list before has the same heading.
    await page.waitForURL(/[?&]state=paused/);
    await page.getByRole("heading", { name: "One that is paused" }).waitFor();
    assert.equal(await page.getByRole("heading", { name: /^Of many/ }).count(), 0);
    assert.equal(await page.locator('nav [aria-current="true"]').first().innerText(), "VI");
    await page.context().close();
  },

  async "without scripts a refusal is a page of the reader's language with a form that sends the same again"() {
    const [paused, limited] = [await shop.drop("Refused"), await shop.drop("Refused by a limit")];
    const page = await plainVisitor({ extraHTTPHeaders: { "X-Forwarded-For": "192.0.2.55" } });
    await page.goto(`${shop.url}/drops/${paused}`);
    const key = await page.locator("input[name=key]").first().inputValue();
    await shop.operate(`/v1/drops/${paused}/pause`, { reason: "a look" });
    await page.getByLabel("Tên của bạn").fill("ann");
    await button(page, "Giữ chỗ").click();
    await page.getByRole("alert").getByText("Đợt bán đang tạm dừng").waitFor();
    assert.deepEqual([await page.locator("input[name=key]").first().inputValue(), await page.getByLabel("Tên của bạn").inputValue()], [key, "ann"]);
    await shop.operate(`/v1/drops/${paused}/resume`, { reason: "on" });
    await button(page, "Giữ chỗ").click();
    await shows(page, "Đã giữ cho bạn");
    await shop.hasOneOrder(paused, "after a pause");
    await page.context().close();
    // The budget of another address is whole: once used up, it has no room again within moments.
    const address = { "X-Forwarded-For": "192.0.2.56" };
    const other = await plainVisitor({ extraHTTPHeaders: address });
    await other.goto(`${shop.url}/drops/${limited}`);
    await other.getByLabel("Tên của bạn").fill("bob");
    const spend = () => fetch(`${shop.url}/v1/drops/${limited}/orders`, { method: "POST", headers: { ...address, "Content-Type": "application/json", "Idempotency-Key": "x" }, body: '{"buyer":"spender","quantity":0}' });
    await until("the budget is used up", async () => (await Promise.all(Array.from({ length: 20 }, spend))).every(({ status }) => status === 429));
    await button(other, "Giữ chỗ").click();
    await shows(other, "Quá nhiều yêu cầu");
    assert.ok(!/Nothing|decided|problem/.test(await other.innerText("body")), "no English, no document for machines");
    await until("the limit has room again", async () => {
      await other.waitForLoadState();
      if ((await other.getByRole("heading", { name: "Đã giữ cho bạn" }).count()) > 0) return true;
      // The page that answers the click is there before it is looked at.
      await Promise.all([other.waitForEvent("load"), button(other, "Gửi lại").click()]);
      return false;
    });
    await shop.hasOneOrder(limited, "after a limit");
    await other.context().close();
  },

  async "a whole purchase is made with the keyboard alone"() {
    const id = await shop.drop("All by keys");
    const page = await visitor();
    const focus = async (text) => {
      for (let presses = 0; presses < 25; presses += 1) {
        await page.keyboard.press("Tab");
        const found = await page.evaluate(() => {
          const element = document.activeElement;
          const outline = getComputedStyle(element).outlineStyle;
          return { name: element?.textContent?.trim() || element?.getAttribute("name") || "", isSeen: outline !== "none" || element?.matches(".tile a") };
        });
        if (found.name.startsWith(text)) {
          assert.ok(found.isSeen, `the focus on ${text} is seen`);
          return;
        }
      }
      assert.fail(`no way by keyboard to ${text}`);
    };
    await page.goto(`${shop.url}/`);
    await focus("All by keys");
    await page.keyboard.press("Enter");
    await button(page, "Reserve · ").waitFor();
    await focus("Reserve · ");
    await page.keyboard.press("Enter");
    await shows(page, "Reserved for you");
    await focus("email");
    await page.keyboard.type("ann@example.org");
    await focus("Proceed");
    await page.keyboard.press("Enter");
    await shows(page, "Waiting for your payment");
    await focus("Pay");
    await page.keyboard.press("Enter");
    await shows(page, "Paid");
    await shop.hasOneOrder(id, "by keyboard");
    await page.context().close();
  },

  async "orders, payments, refusals and parts of the list fit and have no findings at every width, light and dark"() {
    const id = await shop.drop(`${MARKUP} غيوم ${"Long".repeat(20)}`, { unit_price: 100_000_000_000, currency: "KWD", per_buyer_limit: 9, total: 9 });
    const first = await visitor();
    await reserve(first, id);
    const order = new URL(first.url()).pathname;
    await checkOut(first, "ann@example.org");
    const paid = await visitor();
    await reserve(paid, id);
    const receipt = new URL(paid.url()).pathname;
    await checkOut(paid, "bob@example.org");
    await paid.getByRole("button", { name: "Pay", exact: true }).click();
    await shows(paid, "Paid");
    const paths = { awaiting: order, pay: order.replace("/orders/", "/pay/"), paid: `${receipt}?lang=vi`, state: "/?state=sold_out", older: "/?before=20" };
    for (const [device, [width, height]] of Object.entries(WIDTHS)) {
      for (const colorScheme of ["light", "dark"]) {
        const page = await visitor({ viewport: { width, height }, colorScheme, reducedMotion: "reduce" });
        const look = async (name) => {
          await page.locator("h1").waitFor();
          await hasNoFindings(page, `${name} on a ${device}, ${colorScheme}`);
          if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/${name}-${device}-${colorScheme}.png`, fullPage: true });
        };
        for (const [name, path] of Object.entries(paths)) {
          await page.goto(`${shop.url}${path}`);
          await look(name);
        }
        // The form as a browser without scripts sends it.
        for (const [name, quantity] of [["refused", "99"], ["mistaken", "0"]]) {
          await page.goto(`${shop.url}/drops/${id}`);
          await page.evaluate((value) => {
            const form = document.querySelector("form.buy");
            form.quantity.value = value;
            HTMLFormElement.prototype.submit.call(form);
          }, quantity);
          await page.getByRole("alert").waitFor();
          await look(name);
        }
        await page.context().close();
      }
    }
    await Promise.all([first.context().close(), paid.context().close()]);
  },
};

await run(tests, /status of 4(0[0349]|29)/);
