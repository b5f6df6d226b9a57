//! The requests of buyers who pay, and the webhooks of their provider, written into a reused buffer.

use std::io::Write;

use crate::payments::WebhookSigner;
use crate::types::{OrderId, Provider};

/// The price of a unit, in cents.
pub(super) const UNIT_PRICE: u64 = 1_999;
pub(super) const CURRENCY: &str = "EUR";

/// The constant parts of the requests to one drop.
pub(super) struct PayRequests {
    host: String,
    drop: u32,
    /// `pay-<seed>-<drop>-`: before the buyer's number, so that no other run has the same events.
    who: String,
    provider: Provider,
    signer: WebhookSigner,
}

impl PayRequests {
    pub(super) fn new(authority: &str, drop: u32, seed: u64, provider: Provider, signer: WebhookSigner) -> PayRequests {
        let host = format!("HTTP/1.1\r\nHost: {authority}\r\n");
        PayRequests { host, drop, who: format!("pay-{seed}-{drop}-"), provider, signer }
    }

    pub(super) fn order(&self, buyer: u32, out: &mut Vec<u8>) {
        let body = format!("{{\"buyer\":\"{}{buyer}\",\"quantity\":1}}", self.who);
        let key = format!("Idempotency-Key: {}{buyer}\r\n", self.who);
        self.post(out, &format!("/v1/drops/{}/orders", self.drop), &key, &body);
    }

    pub(super) fn check_out(&self, buyer: u32, order: OrderId, out: &mut Vec<u8>) {
        let body = format!("{{\"contact\":{{\"email\":\"{}{buyer}@example.com\"}}}}", self.who);
        self.post(out, &format!("/v1/orders/{order}/checkout"), "", &body);
    }

    /// The provider's reference of a buyer's payment.
    pub(super) fn reference(&self, buyer: u32) -> String {
        format!("{}{buyer}", self.who)
    }

    /// The event of a buyer's payment at an instant. Each delivery has the same id and body, and is signed at its own time.
    pub(super) fn payment(
        &self,
        buyer: u32,
        order: OrderId,
        (at, now): (jiff::Timestamp, jiff::Timestamp),
        out: &mut Vec<u8>,
    ) {
        let reference = self.reference(buyer);
        let body = format!(
            "{{\"type\":\"payment.succeeded\",\"timestamp\":\"{at:.3}\",\"data\":{{\"order_id\":\"{order}\",\
             \"reference\":\"{reference}\",\"amount\":{UNIT_PRICE},\"currency\":\"{CURRENCY}\"}}}}"
        );
        self.event(&format!("evt-{reference}"), now, &body, out);
    }

    /// An event of a type that the server verifies and does not record.
    pub(super) fn probe(&self, now: jiff::Timestamp, out: &mut Vec<u8>) {
        self.event(&format!("evt-{}probe", self.who), now, "{\"type\":\"rush.probe\"}", out);
    }

    fn event(&self, id: &str, now: jiff::Timestamp, body: &str, out: &mut Vec<u8>) {
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let signature = self.signer.sign(id, seconds, body.as_bytes());
        let headers = format!("webhook-id: {id}\r\nwebhook-timestamp: {seconds}\r\nwebhook-signature: {signature}\r\n");
        self.post(out, &format!("/v1/payments/{}", self.provider.as_str()), &headers, body);
    }

    fn post(&self, out: &mut Vec<u8>, path: &str, headers: &str, body: &str) {
        out.clear();
        // Writing to a Vec cannot fail.
        let _ = write!(
            out,
            "POST {path} {}Content-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
    }
}
