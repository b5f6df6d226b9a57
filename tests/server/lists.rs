//! The lists of drops and auctions are served from ready pages, which are never older than what was acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::http::{Server, call, serve};
use parking_lot::Mutex;
use serde_json::json;

const JSON: &str = "Content-Type: application/json\r\n";

fn drop_named(server: &Server, key: &str, total: u32) {
    let drop = json!({ "sku": key, "name": "N", "currency": "EUR", "unit_price": 100, "total": total,
                       "starts_at": "2020-01-01T00:00:00Z", "per_buyer_limit": 100 });
    let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
    assert_eq!(call(server.0.server.admin_address, "POST", "/v1/drops", &headers, &drop.to_string()).status, 201);
}

#[test]
fn a_page_has_a_tag_that_changes_with_every_change_of_it_and_with_nothing_else() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let public = server.0.server.public_address;
    let mut seen = BTreeMap::new();
    let mut read = |path: &str| {
        // Both workers, most likely.
        let pages: Vec<_> = (0..8).map(|_| server.public("GET", path)).collect();
        for page in &pages {
            let tag = page.headers["etag"].clone();
            assert_eq!((page.status, &page.text), (200, &pages[0].text), "{path}");
            assert_eq!(*seen.entry((path.to_string(), tag.clone())).or_insert_with(|| page.text.clone()), page.text);
            let again = call(public, "GET", path, &format!("If-None-Match: {tag}\r\n"), "");
            assert_eq!((again.status, again.text.as_str()), (304, ""), "{path}");
        }
        pages[0].headers["etag"].clone()
    };
    let paths = ["/v1/drops", "/v1/drops?limit=1", "/v1/drops?after=1", "/v1/auctions"];
    let empty = paths.map(&mut read);
    drop_named(&server, "a", 9);
    let one = paths.map(&mut read);
    assert_eq!([0, 1, 2, 3].map(|n| one[n] != empty[n]), [true, true, false, false], "{one:?}");
    drop_named(&server, "b", 9);
    let two = paths.map(&mut read);
    assert_eq!([0, 1, 2, 3].map(|n| two[n] != one[n]), [true, true, true, false], "more follows the first: {two:?}");
    assert_eq!(server.order("k", r#"{"buyer":"ann","quantity":1}"#).status, 201);
    let sold = paths.map(&mut read);
    assert_eq!([0, 1, 2, 3].map(|n| sold[n] != two[n]), [true, true, false, false], "{sold:?}");
    let auction = json!({ "sku": "A", "name": "N", "currency": "EUR", "start_price": 100,
                          "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2999-01-01T00:00:00Z" });
    assert_eq!(server.admin("POST", "/v1/auctions", &auction).status, 201);
    let offered = paths.map(&mut read);
    assert_eq!([0, 1, 2, 3].map(|n| offered[n] != sold[n]), [false, false, false, true], "{offered:?}");
    let headers = format!("{JSON}Idempotency-Key: bid\r\n");
    let bid = json!({ "buyer": "ann", "amount": 100 }).to_string();
    assert_eq!(call(public, "POST", "/v1/auctions/1/bids", &headers, &bid).status, 201);
    let bidden = paths.map(&mut read);
    assert_eq!([0, 1, 2, 3].map(|n| bidden[n] != offered[n]), [false, false, false, true], "{bidden:?}");
    for path in ["/v1/drops?limit=0", "/v1/auctions?limit=101"] {
        assert_eq!(server.public("GET", path).body["code"], "validation");
    }
    server.stop();
}

#[test]
fn whoever_has_an_order_finds_it_in_the_next_page() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = Arc::new(serve(scratch.path()));
    drop_named(&server, "a", 1000);
    let tags = Arc::new(Mutex::new(BTreeMap::new()));
    let buyers = (0..4).map(|buyer| {
        let (server, tags) = (Arc::clone(&server), Arc::clone(&tags));
        std::thread::spawn(move || {
            for n in 1..=60u64 {
                let body = json!({ "buyer": format!("buyer-{buyer}"), "quantity": 1 }).to_string();
                let order = server.order(&format!("{buyer}-{n}"), &body);
                assert_eq!(order.status, 201);
                let page = server.public("GET", "/v1/drops");
                let held = page.body["data"][0]["held"].as_u64().expect("a number");
                assert!(held >= n, "{held} of at least {n}");
                let version = page.body["data"][0]["version"].as_str().expect("a version").to_string();
                let seq = |version: &str| version.rsplit('-').next().and_then(|seq| seq.parse::<u64>().ok());
                assert!(seq(&version) >= order.headers["firstcome-seq"].parse().ok(), "{version}");
                let tag = page.headers["etag"].clone();
                let mut tags = tags.lock();
                assert_eq!(*tags.entry(tag).or_insert_with(|| page.text.clone()), page.text);
            }
        })
    });
    let buyers: Vec<_> = buyers.collect();
    buyers.into_iter().for_each(|buyer| buyer.join().expect("served"));
    assert_eq!(server.public("GET", "/v1/drops").body["data"][0]["held"], 240);
    Arc::into_inner(server).expect("the last").stop();
}

#[test]
fn a_page_of_bids_has_a_tag_that_changes_with_every_bid_and_a_crowd_that_asks_for_it_is_never_turned_away() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = Arc::new(serve(scratch.path()));
    let public = server.0.server.public_address;
    let auction = json!({ "sku": "A", "name": "N", "currency": "EUR", "start_price": 100,
                          "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2999-01-01T00:00:00Z" });
    for key in ["one", "two"] {
        let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
        let made = call(server.0.server.admin_address, "POST", "/v1/auctions", &headers, &auction.to_string());
        assert_eq!(made.status, 201, "{}", made.text);
    }
    let bid = |auction: u32, n: u32| {
        let headers = format!("{JSON}Idempotency-Key: bid-{n}\r\n");
        let body = json!({ "buyer": format!("buyer-{n}"), "amount": 100 + 1000 * n }).to_string();
        let path = format!("/v1/auctions/{auction}/bids");
        let answer = call(public, "POST", &path, &headers, &body);
        assert_eq!(answer.status, 201, "{}", answer.text);
    };
    let paths = ["/v1/auctions/1/bids", "/v1/auctions/1/bids?limit=1", "/v1/auctions/2/bids"];
    let read = |path: &str| {
        let page = server.public("GET", path);
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        let tag = page.headers["etag"].clone();
        let again = call(public, "GET", path, &format!("If-None-Match: {tag}\r\n"), "");
        assert_eq!((again.status, again.text.as_str()), (304, ""), "{path}");
        (tag, page.body["data"].as_array().map_or(0, Vec::len))
    };
    let before = paths.map(read);
    assert_eq!(before.each_ref().map(|(_, bids)| *bids), [0, 0, 0]);
    let tags: std::collections::BTreeSet<_> = before.iter().map(|(tag, _)| tag).collect();
    assert_eq!(tags.len(), 3, "each page has its own: {before:?}");
    for n in 1..4usize {
        bid(1, u32::try_from(n).expect("small"));
        let after = paths.map(read);
        assert_eq!(after.each_ref().map(|(_, bids)| *bids), [n, 1, 0], "a client reads its own bid");
    }
    assert_eq!(paths.map(read)[2], before[2], "the bids of another auction change nothing");
    assert_eq!(server.public("GET", "/v1/auctions/3/bids").status, 404);
    for wrong in ["limit=0", "limit=101", "after=281474976710656"] {
        assert_eq!(server.public("GET", &format!("/v1/auctions/1/bids?{wrong}")).body["code"], "validation", "{wrong}");
    }
    let crowd = (0..64).map(|_| {
        let server = Arc::clone(&server);
        std::thread::spawn(move || {
            for path in paths.iter().cycle().take(12) {
                assert_eq!(server.public("GET", path).status, 200, "{path}");
            }
        })
    });
    let crowd: Vec<_> = crowd.collect();
    (10..30).for_each(|n| bid(2, n));
    crowd.into_iter().for_each(|reader| reader.join().expect("served"));
    Arc::into_inner(server).expect("the last").stop();
}

#[test]
fn a_crowd_that_lists_is_never_turned_away() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = Arc::new(serve(scratch.path()));
    (0..100).for_each(|n| drop_named(&server, &n.to_string(), 9));
    let crowd = (0..64).map(|reader| {
        let server = Arc::clone(&server);
        std::thread::spawn(move || {
            for n in 0..10 {
                // Some pages are asked for often, some once.
                let path = format!("/v1/drops?limit=100&after={}", if n % 2 == 0 { 0 } else { reader });
                assert_eq!(server.public("GET", &path).status, 200);
            }
        })
    });
    let crowd: Vec<_> = crowd.collect();
    crowd.into_iter().for_each(|reader| reader.join().expect("served"));
    Arc::into_inner(server).expect("the last").stop();
}
