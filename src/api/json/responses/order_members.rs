//! The members of an order, written member by member.
//!
//! Every answer to an order has this body. `serde_json` looks at each byte of each key and text for what must be escaped, which
//! took 6,000 instructions an order; most texts are ours and have no such bytes. A test holds the bytes equal to those of
//! `serde_json`.

use serde::Serialize;

use super::OrderJson;
use crate::types::UnixMillis;
use crate::types::text::write_rfc3339;

/// Appends an order as `serde_json` serializes it.
pub(super) fn write_order(out: &mut Vec<u8>, order: &OrderJson<'_>) {
    out.push(b'{');
    plain(out, "\"id\":", &order.id);
    plain(out, ",\"code\":", &order.code);
    value(out, ",\"drop_id\":", &order.drop_id);
    value(out, ",\"buyer\":", order.buyer);
    value(out, ",\"quantity\":", &order.quantity);
    value(out, ",\"unit_price\":", &order.unit_price);
    value(out, ",\"amount\":", &order.amount);
    plain(out, ",\"currency\":", order.currency);
    plain(out, ",\"state\":", order.state);
    value(out, ",\"seq\":", &order.seq);
    time(out, ",\"reserved_at\":", order.reserved_at);
    time(out, ",\"expires_at\":", order.expires_at);
    if let Some(url) = &order.payment_url {
        value(out, ",\"payment_url\":", url);
    }
    if let Some(at) = order.paid_at {
        time(out, ",\"paid_at\":", at);
    }
    if let Some(at) = order.ended_at {
        time(out, ",\"ended_at\":", at);
    }
    if let Some(reason) = order.end_reason {
        plain(out, ",\"end_reason\":", reason);
    }
    value(out, ",\"refunded_amount\":", &order.refunded_amount);
    if order.refund_due_amount > 0 {
        value(out, ",\"refund_due_amount\":", &order.refund_due_amount);
    }
    plain(out, ",\"version\":", &order.version);
    out.push(b'}');
}

/// A text of ours, in which nothing is to be escaped.
fn plain(out: &mut Vec<u8>, key: &str, text: &str) {
    debug_assert!(!text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\'), "{text} must be escaped");
    out.extend_from_slice(key.as_bytes());
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn value(out: &mut Vec<u8>, key: &str, value: &(impl Serialize + ?Sized)) {
    out.extend_from_slice(key.as_bytes());
    // Numbers and texts: serializing them to memory cannot fail.
    let _infallible = serde_json::to_writer(out, value);
}

fn time(out: &mut Vec<u8>, key: &str, at: UnixMillis) {
    out.extend_from_slice(key.as_bytes());
    out.push(b'"');
    write_rfc3339(&mut *out, at);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_written_as_serde_json_writes_it() {
        let at = |ms| UnixMillis::new(ms).expect("in range");
        for (bits, buyer) in (0..32u8).zip(["ann", "\u{1}\"\\</script>\u{2028}", "Ở Đà Nẵng", ""].into_iter().cycle())
        {
            let has = |bit: u8| bits & (1 << bit) != 0;
            let order = OrderJson {
                id: "00000000-0000-8000-8000-0000000000ff".into(),
                code: "FC-7Z".into(),
                drop_id: u32::MAX,
                buyer,
                quantity: 1,
                unit_price: 0,
                amount: u64::MAX,
                currency: "EUR",
                state: "awaiting_payment",
                seq: 10,
                reserved_at: at(0),
                expires_at: UnixMillis::MAX,
                payment_url: has(0).then(|| "https://shop.example/a\"b/pay/1".into()),
                paid_at: has(1).then(|| at(1_795_000_000_120)),
                ended_at: has(2).then(|| at(1_795_000_000_000)),
                end_reason: has(3).then_some("cancelled"),
                refunded_amount: 7,
                refund_due_amount: u64::from(has(4)),
                version: "3-99".into(),
            };
            let mut written = Vec::new();
            write_order(&mut written, &order);
            let expected = serde_json::to_vec(&order).expect("json");
            assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&expected), "{bits:05b}");
        }
    }
}
