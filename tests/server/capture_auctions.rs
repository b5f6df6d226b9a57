//! A capture of the real binary's auctions: bids over the wire and over HTTP, an end that a late bid moved, an award that
//! nobody paid, and the next one; `firstcome replay` makes the same events of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::{Client, Process};
use firstcome::types::text::rfc3339;
use firstcome::wire::messages::{Bid, BidResult, Reply, Request};
use firstcome::writer::clock::wall_clock;
use rustix::process::Signal;
use serde_json::{Value, json};

fn bid_over_the_wire(server: &Process, user_id: u32, amount: u64) -> BidResult {
    let mut stream = TcpStream::connect(server.wire).expect("connected");
    let (mut out, mut heard) = (Vec::new(), [0u8; 64]);
    assert!(Request::Bid(Bid { auction_id: 1, user_id, amount }).write(&mut out));
    stream.write_all(&out).expect("sent");
    stream.read_exact(&mut heard[..36]).expect("heard");
    match Reply::first(&heard).expect("a frame") {
        Some((Reply::Result(result), _)) => result,
        other => panic!("no answer to a bid: {other:?}"),
    }
}

/// Asks until it is so.
fn until(client: &mut Client, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = client.get(path).expect("answered").body;
        if holds(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "{path}: {found}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn an_auction_with_a_soft_close_an_unpaid_award_and_a_second_offer_replays_to_the_same_events() {
    let scratch = tempfile::tempdir().expect("scratch");
    let capture = scratch.path().join("auction.capture");
    let environment = [
        ("FIRSTCOME__CAPTURE__FILE", capture.to_str().expect("a path").to_string()),
        ("FIRSTCOME__AUCTIONS__PAYMENT_SECONDS", "1".into()),
    ];
    let mut server = Process::start(&scratch.path().join("data"), &environment);
    let mut admin = Client::connect(server.admin).expect("connected");
    let mut public = Client::connect(server.public).expect("connected");
    // Every bid before the end is in its last hour, and moves it to its hard end.
    let (ends_at, hard_end_at) = (wall_clock().plus_millis(4_000), wall_clock().plus_millis(5_000));
    let auction = json!({ "sku": "A", "name": "N", "currency": "EUR", "start_price": 100, "reserve_price": 150,
        "starts_at": "2020-01-01T00:00:00.000Z", "ends_at": rfc3339(ends_at), "soft_close_seconds": 3600,
        "extensions_max": 1, "hard_end_at": rfc3339(hard_end_at) });
    assert_eq!(admin.post("/v1/auctions", "a", &auction).expect("answered").status, 201);
    let first = bid_over_the_wire(&server, 7, 100);
    assert_eq!((first.reason, first.ends_at_ms), (0, u64::try_from(hard_end_at.get()).expect("positive")), "moved");
    let anns = json!({ "buyer": "ann", "amount": 120, "maximum": 300 });
    assert_eq!(public.post("/v1/auctions/1/bids", "ann-1", &anns).expect("answered").status, 201);
    assert_eq!(bid_over_the_wire(&server, 7, 250).reason, 0);
    assert_eq!(bid_over_the_wire(&server, 8, 110).reason, 16, "too low");
    let again = public.post("/v1/auctions/1/bids", "ann-1", &anns).expect("answered");
    assert!(again.is_repeat());
    let shown = until(&mut public, "/v1/auctions/1", |auction| auction["state"] == "ended");
    assert_eq!((&shown["buyer"], &shown["current"]), (&json!("ann"), &json!(251)));
    let orders = format!("/v1/orders?drop_id={}", shown["drop_id"]);
    let found = until(&mut admin, &orders, |page| page["data"].as_array().is_some_and(|orders| orders.len() == 2));
    let told: Vec<_> =
        found["data"].as_array().expect("a page").iter().map(|order| (&order["buyer"], &order["amount"])).collect();
    assert_eq!(told, [(&json!("ann"), &json!(251)), (&json!("7"), &json!(250))], "nobody paid, the next is offered it");
    until(&mut admin, &orders, |page| page["data"][1]["state"] == "expired");
    server.signal(Signal::TERM);
    assert!(server.wait().success());

    let output = Command::new(env!("CARGO_BIN_EXE_firstcome")).arg("replay").arg(&capture).output().expect("run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("the same outcomes and, byte for byte, the same events"), "{said}");
    // The auction, three bids, the end, two awards, two lapses.
    assert!(said.contains("  6 commands, 9 events"), "{said}");
}
