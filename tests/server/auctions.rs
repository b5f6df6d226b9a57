//! Auctions over the real server: from the first bid to the winner's payment, or to the next buyer.

use crate::bidding::{auction, bid, is, look, made, post};
use crate::http::{Server, call, listen, serve, serve_with, until};
use firstcome::api::code::Code;
use firstcome::types::text::rfc3339;
use firstcome::writer::clock::wall_clock;
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json\r\n";

fn ends_in(seconds: u32) -> Value {
    json!({ "ends_at": rfc3339(wall_clock().plus_seconds(seconds)) })
}

/// What the operators' list says of the orders of an auction's hidden drop.
fn orders_of(server: &Server, auction: &Value) -> Vec<Value> {
    let drop_id = &look(server, auction)["drop_id"];
    let page = server.admin("GET", &format!("/v1/orders?drop_id={drop_id}"), &Value::Null);
    page.body["data"].as_array().expect("a page").clone()
}

fn verified(directory: &std::path::Path) {
    let report = firstcome::store::verify::verify(&directory.join("data")).expect("verified");
    assert_eq!(report.problems, Vec::<String>::new());
}

#[test]
fn an_auction_goes_to_the_highest_bid_over_a_restart_and_its_winner_pays() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let id = made(&auction(&server, "one", &ends_in(5)));
    let anns = json!({ "buyer": "ann", "amount": 100, "maximum": 300 });
    let first = bid(&server, &id, "a", &anns);
    assert_eq!((first.status, &first.body["leading"], &first.body["current"]), (201, &json!(true), &json!(100)));
    let beaten = bid(&server, &id, "b", &json!({ "buyer": "bob", "amount": 150 }));
    assert_eq!((beaten.status, &beaten.body["leading"]), (201, &json!(false)), "accepted, but a maximum beats it");
    assert_eq!((&beaten.body["current"], &beaten.body["minimum_next"]), (&json!(160), &json!(170)));
    let before = look(&server, &id);
    assert_eq!((&before["buyer"], &before["bids"], &before["reserve_met"]), (&json!("ann"), &json!(2), &json!(true)));
    server.stop();

    let server = serve(scratch.path());
    assert_eq!(look(&server, &id), before, "a restart changes nothing");
    let again = bid(&server, &id, "a", &anns);
    assert_eq!((again.status, again.headers["idempotent-replayed"].as_str()), (201, "true"));
    assert_eq!((&again.body["seq"], &again.body["current"]), (&first.body["seq"], &json!(160)), "as it is now");
    assert_eq!(bid(&server, &id, "c", &json!({ "buyer": "bob", "amount": 310 })).body["leading"], true);
    let bobs = format!("/v1/auctions/{id}/order?buyer=bob");
    is(&server.public("GET", &bobs), Code::NotFound);
    until("the auction ends", || look(&server, &id)["state"] == "ended");
    is(&bid(&server, &id, "d", &json!({ "buyer": "ann", "amount": 999 })), Code::Ended);
    until("the winner has an order", || !orders_of(&server, &id).is_empty());
    let order = orders_of(&server, &id).remove(0);
    assert_eq!(
        (&order["buyer"], &order["state"], &order["amount"]),
        (&json!("bob"), &json!("awaiting_payment"), &json!(310))
    );
    let won = server.public("GET", &bobs);
    assert_eq!((won.status, &won.body), (200, &order), "the winner finds it");
    is(&server.public("GET", &format!("/v1/auctions/{id}/order?buyer=ann")), Code::NotFound);
    let order = order["id"].as_str().expect("an id");
    let contact = json!({ "contact": { "email": "bob@example.org" } }).to_string();
    let checkout = format!("/v1/orders/{order}/checkout");
    assert_eq!(call(server.0.server.public_address, "POST", &checkout, JSON, &contact).status, 200);
    let payment = json!({ "reference": "R", "amount": 310, "currency": "EUR", "reason": "seen" });
    let paid = server.admin("POST", &format!("/v1/orders/{order}/payments"), &payment);
    assert_eq!((paid.status, &paid.body["state"]), (200, &json!("paid")));
    assert_eq!(server.public("GET", &bobs).body, paid.body);
    assert_eq!(orders_of(&server, &id).len(), 1);
    server.stop();
    verified(scratch.path());
}

#[test]
fn what_its_winner_does_not_pay_is_offered_to_the_next() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| config.auctions.payment_seconds = 2);
    let id = made(&auction(&server, "one", &ends_in(3)));
    let of = |buyer: &str, amount: u64| json!({ "buyer": buyer, "amount": amount, "maximum": amount + 50 });
    assert_eq!(bid(&server, &id, "b", &of("bob", 100)).status, 201);
    assert_eq!(bid(&server, &id, "a", &of("ann", 200)).status, 201);
    until("both were offered it", || orders_of(&server, &id).len() == 2);
    let orders = orders_of(&server, &id);
    assert_eq!((&orders[0]["buyer"], &orders[0]["state"]), (&json!("ann"), &json!("expired")));
    assert_eq!(
        (&orders[0]["amount"], &orders[1]["amount"]),
        (&json!(200), &json!(150)),
        "the next pays the most that they bid"
    );
    assert_eq!(orders[1]["buyer"], "bob");
    assert_eq!(server.public("GET", &format!("/v1/auctions/{id}/order?buyer=bob")).body["id"], orders[1]["id"]);
    is(&server.public("GET", &format!("/v1/auctions/{id}/order?buyer=ann")), Code::NotFound);
    server.stop();
    verified(scratch.path());
}

#[test]
fn a_winner_whose_time_to_pay_lies_in_a_stop_has_it_from_the_start_on() {
    let scratch = tempfile::tempdir().expect("scratch");
    let open = || serve_with(scratch.path(), |config| config.auctions.payment_seconds = 2);
    let server = open();
    let ending = wall_clock().plus_seconds(4);
    let id = made(&auction(&server, "one", &json!({ "ends_at": rfc3339(ending) })));
    for (buyer, amount) in [("bob", 100), ("ann", 200)] {
        let body = json!({ "buyer": buyer, "amount": amount, "maximum": amount });
        assert_eq!(bid(&server, &id, buyer, &body).status, 201);
    }
    server.stop();
    // Longer than both of them would have had in turn.
    until("the time to pay lapses", || wall_clock() > ending.plus_seconds(5));
    let started = wall_clock();
    let server = open();
    let orders = orders_of(&server, &id);
    assert_eq!((orders.len(), &orders[0]["buyer"]), (1, &json!("ann")), "{orders:?}");
    assert!(orders[0]["expires_at"].as_str().expect("an instant") >= &*rfc3339(started.plus_seconds(2)), "{orders:?}");
    until("ann does not pay, so that bob is offered it", || orders_of(&server, &id).len() == 2);
    server.stop();
    verified(scratch.path());
}

#[test]
fn what_its_winner_cancels_is_offered_to_the_next_before_the_cancellation_is_answered() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let id = made(&auction(&server, "one", &ends_in(4)));
    let buyers = ["ann", "bob", "cat", "dan", "eve", "fay"];
    for (place, buyer) in buyers.iter().enumerate() {
        let amount = 900 - 100 * place;
        let key = format!("k{place}");
        let body = json!({ "buyer": buyer, "amount": 1000 - amount, "maximum": 1000 - amount });
        assert_eq!(bid(&server, &id, &key, &body).status, 201, "{buyer}");
    }
    let own = |buyer: &str| server.public("GET", &format!("/v1/auctions/{id}/order?buyer={buyer}"));
    until("the winner has an order", || own("fay").status == 200);
    for pair in buyers.windows(2).rev() {
        let order = own(pair[1]).body["id"].as_str().expect("an id").to_string();
        let cancelled = call(server.0.server.public_address, "POST", &format!("/v1/orders/{order}/cancel"), JSON, "{}");
        assert_eq!((cancelled.status, &cancelled.body["state"]), (200, &json!("cancelled")));
        let next = own(pair[0]);
        assert_eq!((next.status, &next.body["state"]), (200, &json!("awaiting_payment")), "{}", pair[0]);
    }
    server.stop();
    verified(scratch.path());
}

#[test]
fn the_hidden_drop_is_nowhere_and_takes_no_orders() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let id = made(&auction(&server, "one", &json!({})));
    let hidden = look(&server, &id)["drop_id"].clone();
    assert_eq!(server.public("GET", "/v1/drops").body["data"], json!([]));
    is(&server.public("GET", &format!("/v1/drops/{hidden}")), Code::NotFound);
    is(&server.public("GET", &format!("/v1/drops/{hidden}/stream")), Code::NotFound);
    let headers = format!("{JSON}Idempotency-Key: k\r\n");
    let path = format!("/v1/drops/{hidden}/orders");
    let order = r#"{"buyer":"ann","quantity":1}"#;
    is(&call(server.0.server.public_address, "POST", &path, &headers, order), Code::NotFound);
    let reason = json!({ "reason": "x" });
    for what in ["pause", "resume", "close"] {
        is(&server.admin("POST", &format!("/v1/drops/{hidden}/{what}"), &reason), Code::NotFound);
    }
    server.stop();
}

#[test]
fn bids_come_in_pages_and_tell_no_maximum_and_no_reserve() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let id = made(&auction(&server, "one", &json!({ "reserve_price": 98765 })));
    let with = json!({ "buyer": "ann", "amount": 100, "maximum": 43210 });
    assert_eq!(bid(&server, &id, "a", &with).status, 201);
    for amount in [150, 200] {
        let beaten = json!({ "buyer": "bob", "amount": amount });
        assert_eq!(bid(&server, &id, &format!("b{amount}"), &beaten).status, 201);
    }
    let bids = format!("/v1/auctions/{id}/bids");
    let page = server.public("GET", &format!("{bids}?limit=2")).body;
    assert_eq!(page["has_more"], true);
    let rest = server.public("GET", &format!("{bids}?limit=2&after={}", page["next_after"])).body;
    assert_eq!(rest["has_more"], false);
    let all: Vec<Value> =
        [&page, &rest].iter().flat_map(|page| page["data"].as_array().expect("a page")).cloned().collect();
    let told: Vec<_> = all.iter().map(|bid| (&bid["amount"], &bid["leading"], &bid["current"])).collect();
    let (yes, no) = (json!(true), json!(false));
    let expected = [(100, &yes, 100), (150, &no, 160), (200, &no, 210)].map(|(a, l, c)| (json!(a), l, json!(c)));
    assert_eq!(told, expected.iter().map(|(a, l, c)| (a, *l, c)).collect::<Vec<_>>());
    let listed = server.public("GET", "/v1/auctions").text;
    let auction = look(&server, &id);
    assert_eq!((&auction["reserve_met"], &auction["current"]), (&no, &json!(210)));
    for text in [listed, auction.to_string(), page.to_string(), rest.to_string()] {
        assert!(!text.contains("43210") && !text.contains("98765"), "{text}");
    }
    server.stop();
}

#[test]
fn a_stream_tells_of_every_bid_and_buying_is_over_with_the_first() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let id = made(&auction(&server, "one", &json!({ "buy_now": 500 })));
    assert_eq!(look(&server, &id)["buy_now"], 500);
    let place = || assert_eq!(bid(&server, &id, "a", &json!({ "buyer": "ann", "amount": 100 })).status, 201);
    let path = format!("/v1/auctions/{id}/stream");
    let heard = listen(server.0.server.public_address, &path, place, &["event: snapshot", "event: update"]);
    let last = heard.rsplit("data: ").next().and_then(|data| data.lines().next()).expect("data");
    let last: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(last, look(&server, &id));
    assert_eq!((&last["current"], last.get("buy_now")), (&json!(100), None));
    is(&post(&server, &id, "buy-now", "k", &json!({ "buyer": "bob" })), Code::BidTooLow);
    server.stop();
}

#[test]
fn an_auction_is_read_from_ready_bytes_and_never_older_than_ones_own_bid() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let id = made(&auction(&server, "one", &json!({})));
    for n in 0..50 {
        let amount = 100 + n * 10;
        assert_eq!(bid(&server, &id, &format!("k{n}"), &json!({ "buyer": "ann", "amount": amount })).status, 201);
        // On whichever thread the connection lands.
        for _ in 0..3 {
            assert_eq!(look(&server, &id)["current"], amount);
        }
    }
    until("figures are handed over", || {
        let shown = server.admin("GET", "/metrics", &Value::Null).text;
        let hot = shown.lines().find_map(|line| line.strip_prefix("firstcome_reads_total{source=\"hot\"} "));
        hot.is_some_and(|count| count != "0")
    });
    let hidden = look(&server, &id)["drop_id"].clone();
    is(&server.public("GET", &format!("/v1/drops/{hidden}")), Code::NotFound);
    server.stop();
}
