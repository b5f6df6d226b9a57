//! Two shards of one cluster as processes over a real member of etcd: each sells by itself, with ids of its own, and neither
//! takes an id of the other for one of its own.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod etcd;
mod http;
mod peer;
mod process;
mod provider_webhooks;
mod router;
mod shards;

use firstcome::http::routes::{Listener, ROUTES};
use firstcome::types::{OrderId, Shard};
use firstcome::wire::messages::{Bid, Request, Reserve};
use peer::{Peer, Said};
use process::{Answer, Client, Process};
use provider_webhooks::{Webhook, payos, transfer};
use router::Router;
use serde_json::{Value, json};
use shards::{SHARDS, Shards, end, firstcome};
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};

fn get(address: SocketAddr, path: &str) -> Answer {
    Client::connect(address).and_then(|mut client| client.get(path)).expect("answered")
}

fn post(address: SocketAddr, path: &str, key: &str, body: &Value) -> Answer {
    Client::connect(address).and_then(|mut client| client.post(path, key, body)).expect("answered")
}

fn number(answer: &Answer, status: u16, member: &str) -> u32 {
    assert_eq!(answer.status, status, "{:?}", answer.body);
    answer.body[member].as_u64().and_then(|number| u32::try_from(number).ok()).expect("a number")
}

fn wire(node: &Process) -> Peer {
    let stream = TcpStream::connect(node.wire).expect("connected");
    stream.set_read_timeout(Some(peer::PATIENCE)).expect("set");
    Peer::over(stream)
}

/// Everything that a shard sold.
struct Sold {
    drop: u32,
    auction: u32,
    /// An order with its seq, paid by its number at PayOS.
    order: String,
    seq: u64,
    /// The order's short code.
    code: String,
    /// All order ids.
    orders: Vec<String>,
}

fn reserve(drop_id: u32, key: u8) -> Request<'static> {
    Request::Reserve(Reserve { drop_id, quantity: 1, key: [key; 16], buyer: b"wired" })
}

fn create_drop(node: &Process, key: &str) -> u32 {
    let drop = json!({ "sku": "S", "name": "N", "currency": "VND", "unit_price": 3000, "total": 50,
        "starts_at": "2020-01-01T00:00:00.000Z", "reservation_seconds": 86_400 });
    number(&post(node.admin, "/v1/drops", key, &drop), 201, "id")
}

fn create_auction(node: &Process, key: &str) -> u32 {
    let auction = json!({ "sku": "A", "name": "N", "currency": "EUR", "start_price": 1000, "increments": [[0, 100]],
        "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2099-11-21T10:00:00Z", "buy_now": 90_000 });
    number(&post(node.admin, "/v1/auctions", key, &auction), 201, "id")
}

fn pay(node: &Process, order_code: u64, reference: &str) -> (Value, Value) {
    let webhook = paid(order_code, reference);
    let answer = http::call(node.public, "POST", "/v1/payments/payos", &webhook.head(), &webhook.body);
    assert_eq!(answer.status, 200, "{}", answer.text);
    (answer.body["result"].clone(), answer.body["reason"].clone())
}

/// What PayOS says of a transfer of today.
fn paid(order_code: u64, reference: &str) -> Webhook {
    let today = firstcome::types::text::rfc3339(firstcome::writer::clock::wall_clock());
    payos(&transfer(order_code, reference, 3000, &today[..19].replace('T', " ")))
}

/// Searches an order by the short code that a buyer tells.
fn found_by_code(node: &Process, code: &str) -> Vec<String> {
    found_by_code_at(node.admin, code)
}

fn found_by_code_at(admin: SocketAddr, code: &str) -> Vec<String> {
    let page = post(admin, "/v1/orders/search", "s", &json!({ "code": code })).body;
    let found = page["data"].as_array().expect("a list").iter();
    found.map(|order| order["id"].as_str().expect("an id").to_string()).collect()
}

/// The number that a shop gives PayOS for an order: its seq below its shard.
fn order_code(shard: u8, seq: u64) -> u64 {
    (u64::from(shard) << 45) | seq
}

/// Sells, pays and auctions on a shard.
fn sell(shard: u8, node: &Process) -> Sold {
    let above = u32::from(shard) << 24;
    let mut orders = Vec::new();
    let mut note = |answer: &Answer| {
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        let id = answer.body["id"].as_str().expect("an id").to_string();
        assert_eq!(OrderId::parse(&id).map(|id| id.secret.shard()), Some(Shard::new(shard)), "{id}");
        orders.push(id.clone());
        id
    };
    let drop = create_drop(node, "d1");
    assert_eq!((drop, create_drop(node, "d2")), (above + 1, above + 2));
    assert_eq!(create_drop(node, "d1"), above + 1, "a repeat names the drop that was made");
    let placed =
        post(node.public, &format!("/v1/drops/{drop}/orders"), "o1", &json!({ "buyer": "ann", "quantity": 1 }));
    let order = note(&placed);
    let checkout = json!({ "contact": { "email": "ann@example.org" } });
    let checked_out = post(node.public, &format!("/v1/orders/{order}/checkout"), "c1", &checkout);
    assert_eq!(checked_out.status, 200, "{:?}", checked_out.body);
    let (seq, code) = (placed.body["seq"].as_u64().expect("a number"), placed.body["code"].as_str().expect("a code"));
    assert_eq!(found_by_code(node, code), [&*order]);
    let code = code.to_string();
    assert_eq!(pay(node, order_code(shard, seq), "FT1"), (json!("applied"), Value::Null));
    assert_eq!(get(node.public, &format!("/v1/orders/{order}")).body["state"], "paid");

    let auction = create_auction(node, "a1");
    let hidden = get(node.admin, &format!("/v1/auctions/{auction}")).body;
    assert_eq!(auction, above + 1, "{hidden}");
    let bid = json!({ "buyer": "7", "amount": 1000 });
    assert_eq!(post(node.public, &format!("/v1/auctions/{auction}/bids"), "b1", &bid).status, 201);
    let bought = create_auction(node, "a2");
    note(&post(node.public, &format!("/v1/auctions/{bought}/buy-now"), "n1", &json!({ "buyer": "bob" })));
    assert_eq!(create_drop(node, "d3"), above + 5, "auctions have hidden drops of the same shard");

    let mut wired = wire(node);
    let reserved = wired.ask(reserve(drop, 1)).order();
    let id = OrderId::from_bytes(reserved.order_id).expect("an id");
    assert_eq!(id.secret.shard(), Shard::new(shard));
    orders.push(id.to_string());
    assert_eq!(wired.ask(Request::Bid(Bid { auction_id: auction, user_id: 8, amount: 1100 })).no(), 0);
    assert!(matches!(wired.ask(Request::Subscribe { auction_id: auction, from_seq: 0 }), Said::Ok(_)));
    Sold { drop, auction, order, seq, code, orders }
}

/// Asks a node for everything that another shard sold: nothing of it is found.
fn finds_nothing_of(node: &Process, shard: u8, sold: &Sold) {
    let Sold { drop, auction, order, seq, code, .. } = sold;
    let mut asked = 0;
    for route in ROUTES.iter().filter(|route| !route.is_page) {
        let path = route.path.replace("{drop_id}", &drop.to_string()).replace("{auction_id}", &auction.to_string());
        let path = path.replace("{order_id}", order);
        if path == route.path {
            continue;
        }
        let address = if route.listener == Listener::Public { node.public } else { node.admin };
        let method = route.method.as_str();
        let operation = http::contract::operation(method, route.path).expect("an operation");
        let example = &operation["requestBody"]["content"]["application/json"]["example"];
        let body = if example.is_null() { String::new() } else { example.to_string() };
        let answer =
            http::call(address, method, &path, "Content-Type: application/json\r\nIdempotency-Key: s\r\n", &body);
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
        assert!(route.operation == "OrderPage" || answer.body["code"] == "not-found", "{path}: {}", answer.text);
        asked += 1;
    }
    assert!(asked > 25, "{asked} routes have the id of a drop, an auction or an order");
    for query in [
        format!("/v1/orders?drop_id={drop}"),
        format!("/v1/audit?drop_id={drop}"),
        format!("/v1/audit?order_id={order}"),
    ] {
        let answer = http::call(node.admin, "GET", &query, "", "");
        let is_empty = answer.text.is_empty() || answer.body["data"] == json!([]);
        assert!(answer.status == 404 || is_empty, "{query}: {}", answer.text);
    }
    let exported = format!("/v1/orders?contacts=true&drop_id={drop}");
    assert_eq!(http::call(node.admin, "GET", &exported, "Accept: text/csv\r\n", "").status, 404);
    let below = get(node.public, &format!("/v1/drops/{}", u32::from(shard) << 24));
    assert_eq!(below.status, 404, "{:?}", below.body);
    let mut wired = wire(node);
    assert_eq!(wired.ask(reserve(*drop, 9)).no(), 7);
    assert_eq!(wired.ask(Request::Bid(Bid { auction_id: *auction, user_id: 9, amount: 9000 })).no(), 7);
    assert_eq!(wired.ask(Request::Subscribe { auction_id: *auction, from_seq: 0 }).no(), 7);
    assert_eq!(found_by_code(node, code), Vec::<String>::new(), "{code}");
    // The numbers below both shards are the same: only the shard tells the orders apart.
    assert_eq!(pay(node, order_code(shard, *seq), "FT-strange"), (json!("ignored"), json!("unknown-order")));
}

/// One address for both shards: each id leads to what its shard sold, and what is new has a new id.
fn finds_everything_through_a_router(nodes: &[Process; 2], sold: &[Sold; 2]) {
    let addresses = |node: &Process| vec![(node.public, node.admin)];
    let router = Router::start(&[(SHARDS[0], addresses(&nodes[0])), (SHARDS[1], addresses(&nodes[1]))], "");
    for ((shard, node), sold) in SHARDS.into_iter().zip(nodes).zip(sold) {
        let paths = [
            format!("/v1/drops/{}", sold.drop),
            format!("/v1/auctions/{}", sold.auction),
            format!("/v1/orders/{}", sold.order),
        ];
        for path in paths {
            let (routed, direct) = (router.get(&path), get(node.public, &path));
            assert_eq!((routed.status, routed.header("Firstcome-Shard")), (200, Some(&*shard.to_string())), "{path}");
            assert_eq!(routed.body["id"], direct.body["id"], "{path}");
        }
        let order = json!({ "buyer": "routed", "quantity": 1 });
        let placed = post(router.public, &format!("/v1/drops/{}/orders", sold.drop), "routed", &order);
        assert_eq!(placed.status, 201, "{:?}", placed.body);
        let id = placed.body["id"].as_str().expect("an id");
        assert_eq!(get(node.public, &format!("/v1/orders/{id}")).status, 200, "{id}");
        let cancelled = post(router.public, &format!("/v1/orders/{id}/cancel"), "routed", &json!({}));
        assert_eq!((cancelled.status, &cancelled.body["state"]), (200, &json!("cancelled")));
    }
    what_goes_over_both_shards(&router, nodes, sold);
}

/// Lists, searches, new drops and webhooks through the router.
fn what_goes_over_both_shards(router: &Router, nodes: &[Process; 2], sold: &[Sold; 2]) {
    let ids = |address: SocketAddr, path: &str| -> Vec<Value> {
        let page = get(address, path);
        assert_eq!((page.status, &page.body["has_more"]), (200, &json!(false)), "{path}: {:?}", page.body);
        page.body["data"].as_array().expect("a list").iter().map(|item| item["id"].clone()).collect()
    };
    let one_after_the_other = |path: &str, address: fn(&Process) -> SocketAddr| -> Vec<Value> {
        nodes.iter().flat_map(|node| ids(address(node), path)).collect()
    };
    for path in ["/v1/drops?limit=100", "/v1/auctions?limit=100"] {
        assert_eq!(ids(router.public, path), one_after_the_other(path, |node| node.public), "{path}");
    }
    let orders = "/v1/orders?limit=100";
    assert_eq!(ids(router.admin, orders), one_after_the_other(orders, |node| node.admin));
    for (shard, sold) in SHARDS.into_iter().zip(sold) {
        assert_eq!(found_by_code_at(router.admin, &sold.code), [&*sold.order], "{}", sold.code);
        let again = serde_json::from_str(&paid(order_code(shard, sold.seq), "FT1").body).expect("JSON");
        let known = post(router.public, "/v1/payments/payos", "none", &again);
        assert_eq!(known.body["result"], "duplicate", "its own shard knows it: {:?}", known.body);
    }
    // A key has one effect, although the next drop would go to the other shard.
    let drop = json!({ "sku": "S", "name": "N", "currency": "VND", "unit_price": 10_000, "total": 5,
        "starts_at": "2020-01-01T00:00:00Z" });
    let made: Vec<Answer> = ["r1", "r2", "r1", "r2"].map(|key| post(router.admin, "/v1/drops", key, &drop)).into();
    assert!(made.iter().all(|answer| answer.status == 201), "{made:?}");
    assert_eq!((&made[0].body["id"], &made[1].body["id"]), (&made[2].body["id"], &made[3].body["id"]));
    let of: BTreeSet<&str> = made[..2].iter().filter_map(|answer| answer.header("Firstcome-Shard")).collect();
    assert_eq!(of.len(), 2, "equal loads: one each");
}

#[test]
fn two_shards_sell_side_by_side_and_neither_knows_the_others_ids() {
    let shards = Shards::start();
    let nodes = SHARDS.map(|shard| shards.run(shard));
    let sold = [sell(SHARDS[0], &nodes[0]), sell(SHARDS[1], &nodes[1])];
    assert_eq!(sold[0].seq, sold[1].seq, "both files have equal numbers, so that only shards differ");
    finds_nothing_of(&nodes[0], SHARDS[1], &sold[1]);
    finds_nothing_of(&nodes[1], SHARDS[0], &sold[0]);
    let ids: BTreeSet<&String> = sold.iter().flat_map(|sold| &sold.orders).collect();
    assert_eq!(ids.len(), 6, "{ids:?}");

    finds_everything_through_a_router(&nodes, &sold);

    for (shard, node) in SHARDS.into_iter().zip(nodes) {
        let (drop, above) = (create_drop(&node, "before"), u32::from(shard) << 24);
        end(node);
        let data = shards.data(shard);
        let verified = firstcome(&["verify", "--data", data.to_str().expect("a path")]);
        let told = String::from_utf8_lossy(&verified.stdout);
        assert!(verified.status.success() && told.contains(&format!("; shard {shard}\n")), "{verified:?}");
        let node = shards.run(shard);
        assert_eq!((create_drop(&node, "before"), create_drop(&node, "after")), (drop, drop + 1));
        assert_eq!(create_auction(&node, "after"), above + 3);
        let page = get(node.public, &format!("/v1/drops?limit=2&after={}", above + 1)).body;
        let listed: Vec<u64> =
            page["data"].as_array().expect("a list").iter().filter_map(|item| item["id"].as_u64()).collect();
        assert_eq!(listed, [above + 2, above + 5].map(u64::from), "{page}");
        end(node);
    }
}

#[test]
fn a_start_with_another_shard_than_that_of_the_files_ids_is_refused() {
    let shards = Shards::start();
    let node = shards.run(3);
    create_drop(&node, "d1");
    end(node);
    let other = shards.file(5);
    for (what, (code, lines)) in [
        ("a node of another shard", shards.refused(3, &["--cluster", &other])),
        ("a server without a cluster", shards.refused(3, &[])),
        ("a new log", shards.init(5, 3)),
    ] {
        assert_eq!((code, lines.lines().count()), (65, 1), "{what}: {lines}");
        assert!(lines.contains("drops are of shard 3") && lines.contains("firstcome.db"), "{what}: {lines}");
    }
    let _leads_as_ever = shards.run(3);
}
