// The orders of a drop, as its operators list them.
import assert from "node:assert/strict";

/// Returns all orders of a drop. A page of the list may be empty although there are more: a page looks at a bounded number of orders
/// of all drops.
export async function ordersOf(adminAddress, dropId) {
  const found = [];
  for (let after = 0, more = true; more; ) {
    const answer = await fetch(`http://${adminAddress}/v1/orders?drop_id=${dropId}&limit=100&after=${after}`);
    const page = await answer.json();
    assert.ok(answer.ok, JSON.stringify(page));
    found.push(...page.data);
    [after, more] = [page.next_after, page.has_more];
  }
  return found;
}
