//! The requests of a crowd in a room, written into a reused buffer.

use std::io::Write;

use crate::load::client::EntityTag;
use crate::types::OrderId;

/// The constant parts of the requests to one drop.
pub(super) struct RoomRequests {
    host: String,
    drop: u32,
    /// `room-<seed>-`: before the buyer's number.
    who: String,
}

impl RoomRequests {
    pub(super) fn new(authority: &str, drop: u32, seed: u64) -> RoomRequests {
        RoomRequests { host: format!("HTTP/1.1\r\nHost: {authority}\r\n"), drop, who: format!("room-{seed}-") }
    }

    /// The request for a buyer's ticket; a second one gives the same ticket.
    pub(super) fn ticket(&self, buyer: u32, out: &mut Vec<u8>) {
        let body = format!("{{\"buyer\":\"{}{buyer}\"}}", self.who);
        self.post(out, &format!("/v1/drops/{}/tickets", self.drop), "", &body);
    }

    /// The order of a buyer; `early` has a key of its own, because it is another wish than the order in the own turn.
    pub(super) fn order(&self, buyer: u32, early: bool, out: &mut Vec<u8>) {
        let body = format!("{{\"buyer\":\"{}{buyer}\",\"quantity\":1}}", self.who);
        let wish = if early { "early" } else { "turn" };
        let key = format!("Idempotency-Key: {}{buyer}-{wish}\r\n", self.who);
        self.post(out, &format!("/v1/drops/{}/orders", self.drop), &key, &body);
    }

    pub(super) fn check_out(&self, buyer: u32, order: OrderId, out: &mut Vec<u8>) {
        let body = format!("{{\"contact\":{{\"email\":\"{}{buyer}@example.com\"}}}}", self.who);
        self.post(out, &format!("/v1/orders/{order}/checkout"), "", &body);
    }

    /// A read of the public body; with the tag of the last one, an unchanged body is not sent again.
    pub(super) fn room(&self, known: Option<&EntityTag>, out: &mut Vec<u8>) {
        out.clear();
        // Writing to a Vec cannot fail.
        let _ = write!(out, "GET /v1/drops/{}/room {}", self.drop, self.host);
        if let Some(tag) = known {
            out.extend_from_slice(b"If-None-Match: ");
            out.extend_from_slice(tag.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
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
