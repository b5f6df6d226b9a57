// Pictures of waiting rooms: gathering, a draw that waits, the line, the turn, the proof of a draw, a place behind a sold drop, and
// the console's page of a room (screenshots.mjs).
const BUYERS = 240;

const seconds = (count) => new Date(Date.now() + count * 1000).toISOString();

/// Takes tickets for this number of buyers, one after the other.
async function tickets({ post }, id, count = BUYERS) {
  for (let number = 0; number < count; number += 1) await post(`/v1/drops/${id}/tickets`, { buyer: `member-${31_007 + number * 3}` });
}

/// Makes a drop whose room opened some minutes ago.
async function roomDrop({ drop, image }, name, startsIn, room, more = {}) {
  const body = { sku: "ROOM", name, unit_price: 18_900, total: 200, image_url: image("runner"), per_buyer_limit: 1, reservation_seconds: 600 };
  const { id } = await drop({ ...body, starts_at: seconds(startsIn), room: { opens_at: seconds(-600), admit_per_second: 5, ...room }, ...more });
  return id;
}

/// Makes the drops of the pictures that wait for no instant.
export async function fillRooms(kit) {
  const { drop, image, order, paid } = kit;
  const gathering = await roomDrop(kit, "Runner 05 “Slate”", 1_260, { draw: "random", beacon: "required" });
  await tickets(kit, gathering, 180);
  const line = await roomDrop(kit, "Runner 05 “Moss”", -2, { admit_per_second: 2, order_seconds: 20 }, { total: 60 });
  await tickets(kit, line);
  const sold = await drop({ sku: "TOTE-2", name: "Field tote No. 2", unit_price: 6_400, total: 12, image_url: image("tote"), reservation_seconds: 600 });
  for (let number = 0; number < 12; number += 1) {
    const placed = await order(sold.id, `member-${52_000 + number}`);
    if (number < 9) await paid(placed, `SEPA ${sold.id}-${number}`);
  }
  for (let number = 0; number < 3; number += 1) await kit.post(`/v1/drops/${sold.id}/standby`, { buyer: `member-${53_000 + number}`, quantity: 1 });
  return { gathering, line, sold: sold.id };
}

export async function roomPages(kit, device, goods) {
  const { visitor, keep, button, shop } = kit;
  const page = await visitor(device);
  const title = (text) => page.locator(".room").getByRole("heading", { name: text }).waitFor();
  const take = async (id) => {
    await page.goto(`${shop}/drops/${id}`);
    await button(page, "Take a ticket").click();
  };
  const beacon = await roomDrop(kit, "Runner 05 “Chalk”", 8, { draw: "random", beacon: "required", beacon_seconds: 1_800 });
  const drawn = await roomDrop(kit, "Runner 05 “Sand”", 8, { draw: "random", order_seconds: 900 }, { total: 400 });
  await Promise.all([tickets(kit, beacon, 60), tickets(kit, drawn, 60)]);
  for (const id of [beacon, drawn]) {
    await take(id);
    await title(/^Your ticket: no\. \d+$/);
  }
  await take(goods.gathering);
  await title(/^Your ticket: no\. \d+$/);
  await keep(page, device, "room-gathering");
  await take(goods.line);
  await title(/^Your place: \d+$/);
  await keep(page, device, "room-line");
  await page.goto(`${shop}/drops/${beacon}`);
  await page.getByText(/^The draw waits for public randomness/).first().waitFor();
  await page.getByText("The draw and its proof").click();
  await page.locator(".proof li").nth(3).waitFor();
  await keep(page, device, "room-beacon", 1900);
  await page.goto(`${shop}/drops/${drawn}`);
  await title("It is your turn");
  await page.getByRole("timer").waitFor();
  await keep(page, device, "room-turn");
  await page.getByText("The draw and its proof").click();
  await page.getByText("The secret number is published.").waitFor();
  await keep(page, device, "room-proof", 1900);
  await page.goto(`${shop}/drops/${goods.sold}`);
  await button(page, "Stand by").click();
  await page.getByRole("heading", { name: /^Your place in the line: \d$/ }).waitFor();
  await keep(page, device, "standby");
  await page.context().close();
}
