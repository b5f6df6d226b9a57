//! Auctions over HTTP, for tests: how they are made and bid in, and every answer that their routes may give.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

use firstcome::api::code::Code;
use serde_json::{Value, json};

use crate::http::{Answer, Server, call, listen};

const JSON: &str = "Content-Type: application/json\r\n";

/// The most that a buyer of these tests may stand for.
pub const EXPOSURE_LIMIT: u64 = 1_000_000;

/// A running auction from 100 on, changed by `with`.
pub fn auction(server: &Server, key: &str, with: &Value) -> Answer {
    let mut auction = json!({ "sku": "A", "name": "N", "currency": "EUR", "start_price": 100, "increments": [[0, 10]],
                              "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2999-01-01T00:00:00Z" });
    auction.as_object_mut().expect("an object").extend(with.as_object().expect("an object").clone());
    let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
    call(server.0.server.admin_address, "POST", "/v1/auctions", &headers, &auction.to_string())
}

/// Its number.
pub fn made(answer: &Answer) -> Value {
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.body["id"].clone()
}

pub fn post(server: &Server, id: &Value, what: &str, key: &str, body: &Value) -> Answer {
    let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
    call(server.0.server.public_address, "POST", &format!("/v1/auctions/{id}/{what}"), &headers, &body.to_string())
}

pub fn bid(server: &Server, id: &Value, key: &str, body: &Value) -> Answer {
    post(server, id, "bids", key, body)
}

pub fn look(server: &Server, id: &Value) -> Value {
    let answer = server.public("GET", &format!("/v1/auctions/{id}"));
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

#[track_caller]
pub fn is(answer: &Answer, code: Code) {
    let found = (answer.status, answer.body["code"].as_str());
    assert_eq!(found, (code.kind().status.as_u16(), Some(code.kind().code)), "{}", answer.text);
}

/// Every good end of the auctions' routes.
pub fn good_ends(server: &Server) {
    let public = server.0.server.public_address;
    let id = made(&auction(server, "good", &json!({ "buy_now": 500 })));
    let again = auction(server, "good", &json!({ "buy_now": 500 }));
    assert_eq!((again.status, again.headers["idempotent-replayed"].as_str()), (201, "true"));
    is(&auction(server, "good", &json!({ "buy_now": 501 })), Code::KeyReused);
    let first = json!({ "buyer": "ann", "amount": 100, "maximum": 200 });
    let placed = bid(server, &id, "one", &first);
    assert_eq!(placed.status, 201, "{}", placed.text);
    let again = bid(server, &id, "one", &first);
    assert_eq!((again.status, again.headers["idempotent-replayed"].as_str()), (201, "true"));
    assert_eq!(again.body, placed.body);
    let reachable = json!({ "buyer": "bob", "amount": 250, "contact": { "email": "bob@mail.example" } });
    assert_eq!(bid(server, &id, "two", &reachable).status, 201);
    let contact = |buyer: &str| server.admin("DELETE", &format!("/v1/auctions/{id}/bidder-contact{buyer}"), &json!({}));
    assert_eq!(contact("?buyer=bob").status, 204);
    is(&contact("?buyer=bob"), Code::NotFound);
    is(&contact(""), Code::Validation);
    for path in ["/v1/auctions", &format!("/v1/auctions/{id}/bids")] {
        let page = server.public("GET", path);
        assert_eq!(page.status, 200);
        let head = format!("If-None-Match: {}\r\n", page.headers["etag"]);
        assert_eq!(call(public, "GET", path, &head, "").status, 304, "{path}");
        is(&server.public("GET", &format!("{path}?limit=0")), Code::Validation);
    }
    let path = format!("/v1/auctions/{id}");
    let answer = server.public("GET", &path);
    assert_eq!((answer.status, answer.headers["cache-control"].as_str()), (200, "no-store"));
    let head = format!("If-None-Match: {}\r\n", answer.headers["etag"]);
    assert_eq!(call(public, "GET", &path, &head, "").status, 304);
    listen(public, &format!("{path}/stream"), || {}, &["event: snapshot"]);
    let other = made(&auction(server, "bought", &json!({ "buy_now": 500 })));
    let bought = post(server, &other, "buy-now", "now", &json!({ "buyer": "bob" }));
    assert_eq!((bought.status, bought.body["amount"].as_u64()), (201, Some(500)), "{}", bought.text);
    let again = post(server, &other, "buy-now", "now", &json!({ "buyer": "bob" }));
    assert_eq!((again.status, again.headers["idempotent-replayed"].as_str()), (201, "true"));
    assert_eq!(again.body, bought.body);
    let path = format!("/v1/auctions/{other}/order?buyer=bob");
    let found = server.public("GET", &path);
    assert_eq!((found.status, &found.body), (200, &bought.body));
    let head = format!("If-None-Match: {}\r\n", found.headers["etag"]);
    assert_eq!(call(public, "GET", &path, &head, "").status, 304);
}

/// Every refusal of theirs. Exposure is limited to [`EXPOSURE_LIMIT`].
pub fn refusals(server: &Server) {
    let id = made(&auction(server, "no", &json!({ "buy_now": 500 })));
    let of = |buyer: &str, amount: u64| json!({ "buyer": buyer, "amount": amount });
    is(&bid(server, &id, "k", &of("ann", 99)), Code::BidTooLow);
    is(&bid(server, &id, "k", &of("ann", EXPOSURE_LIMIT + 1)), Code::LimitReached);
    is(&bid(server, &id, "k", &json!({ "buyer": "ann", "amount": 100, "maximum": 99 })), Code::Validation);
    assert_eq!(bid(server, &id, "k", &of("ann", 100)).status, 201);
    is(&bid(server, &id, "k", &of("ann", 110)), Code::KeyReused);
    let low = bid(server, &id, "l", &of("bob", 109));
    is(&low, Code::BidTooLow);
    assert_eq!((&low.body["current"], &low.body["minimum_next"]), (&json!(100), &json!(110)));
    is(&post(server, &id, "buy-now", "k", &json!({ "buyer": "bob" })), Code::BidTooLow);
    let cancel = |id: &Value| server.admin("POST", &format!("/v1/auctions/{id}/cancel"), &json!({ "reason": "x" }));
    let cancelled = cancel(&id);
    assert_eq!((cancelled.status, cancelled.body["state"].as_str()), (200, Some("cancelled")));
    assert_eq!(cancel(&id).status, 200, "repeated, it answers the same");
    is(&bid(server, &id, "m", &of("bob", 200)), Code::Ended);
    is(&post(server, &id, "buy-now", "k", &json!({ "buyer": "bob" })), Code::Ended);
    let later = json!({ "starts_at": "2998-01-01T00:00:00Z", "buy_now": 500 });
    let later = made(&auction(server, "later", &later));
    let early = bid(server, &later, "k", &of("ann", 100));
    is(&early, Code::NotStarted);
    assert!(early.headers.contains_key("retry-after"));
    is(&post(server, &later, "buy-now", "k", &json!({ "buyer": "bob" })), Code::NotStarted);
    let sold = made(&auction(server, "sold", &json!({ "buy_now": 500 })));
    assert_eq!(post(server, &sold, "buy-now", "k", &json!({ "buyer": "bob" })).status, 201);
    is(&cancel(&sold), Code::Ended);
    is(&server.public("GET", &format!("/v1/auctions/{sold}/order")), Code::Validation);
    is(&server.public("GET", &format!("/v1/auctions/{sold}/order?buyer=ann")), Code::NotFound);
    is(&server.public("GET", "/v1/auctions/4000000000/order?buyer=bob"), Code::NotFound);
}
