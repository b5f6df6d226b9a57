//! `firstcome route` over several shards: lists without a gap, new drops, searches and webhooks; and what is said of a shard
//! that does not answer.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use crate::process::wait_until;
use crate::router::{NodeAddresses, Router};
use crate::stand_in::{Arrived, Part, Reaction, StandIn};
use parking_lot::Mutex;
use serde_json::{Value, json};

const QUICK: &str =
    "[limits]\nview_ttl_ms = 100\nwrite_deadline_ms = 1000\nread_deadline_ms = 500\nconnect_timeout_ms = 300";
const JSON: &str = "Content-Type: application/json\r\n";

/// A shard in the memory of the test, with what a node has of it.
struct Shard {
    number: u64,
    drops: Vec<Value>,
    orders: Vec<Value>,
    keys: BTreeMap<String, Value>,
    webhooks: Vec<String>,
}

impl Shard {
    fn new(number: u64, drops: u64, orders: u64) -> Shard {
        let drops = (1..=drops).map(|drop| json!({ "id": (number << 24) | drop, "state": "live" })).collect();
        let order = |seq: u64| json!({ "seq": seq * 3, "buyer": format!("b\"{seq}\r\nof {number}") });
        Shard { number, drops, orders: (1..=orders).map(order).collect(), keys: BTreeMap::new(), webhooks: Vec::new() }
    }

    fn react(&mut self, request: &Arrived) -> Reaction {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let parameter = |name: &str| {
            let parts = query.split('&').filter_map(|part| part.split_once('='));
            parts.filter(|(found, _)| *found == name).map(|(_, value)| value).next_back()
        };
        let number = |name: &str| parameter(name).map(|value| value.parse::<u64>().expect("a number"));
        let is_csv = request.headers("Accept").contains(&"text/csv");
        match (request.method.as_str(), path) {
            ("GET", "/v1/drops") => Shard::page(&self.drops, "id", number("after"), number("limit"), false),
            ("GET", "/v1/auctions") => Shard::page(&[], "id", None, None, false),
            ("GET", "/v1/orders") => Shard::page(&self.orders, "seq", number("after"), number("limit"), is_csv),
            ("POST", "/v1/orders/search") => Shard::page(&self.orders, "seq", None, Some(100), false),
            ("POST", "/v1/drops") => self.create(request),
            ("POST", _) if path.starts_with("/v1/payments/") => {
                self.webhooks.push(request.body.clone());
                let is_ours = request.body.contains(&format!("of-{}", self.number));
                let ignored = json!({ "result": "ignored", "reason": "unknown-order" });
                Reaction::json(200, &if is_ours { json!({ "result": "applied" }) } else { ignored })
            }
            _ => Reaction::json(404, &json!({ "code": "not-found", "shard": self.number })),
        }
    }

    fn page(items: &[Value], place: &str, after: Option<u64>, limit: Option<u64>, is_csv: bool) -> Reaction {
        let limit = usize::try_from(limit.unwrap_or(if is_csv { 5_000 } else { 10 })).expect("few");
        let behind: Vec<&Value> = items.iter().filter(|item| item[place].as_u64() > Some(after.unwrap_or(0))).collect();
        let page = &behind[..behind.len().min(limit)];
        let has_more = behind.len() > page.len();
        let last = page.last().and_then(|item| item[place].as_u64()).filter(|_| has_more);
        if is_csv {
            let mut text = String::from("seq,buyer\r\n");
            for item in page {
                let buyer = item["buyer"].as_str().expect("a text").replace('"', "\"\"");
                text.push_str(&format!("{},\"{buyer}\"\r\n", item["seq"]));
            }
            let next = last.map(|last| format!("Firstcome-Next-After: {last}\r\n")).unwrap_or_default();
            return Reaction::Answer(200, format!("Content-Type: text/csv; charset=utf-8\r\n{next}"), text);
        }
        let mut body = json!({ "data": page, "has_more": has_more });
        if let Some(last) = last {
            body["next_after"] = last.into();
        }
        Reaction::json(200, &body)
    }

    fn create(&mut self, request: &Arrived) -> Reaction {
        let key = request.headers("Idempotency-Key").first().map(ToString::to_string);
        let Some(key) = key else { return Reaction::json(400, &json!({ "code": "idempotency-key-missing" })) };
        if let Some(made) = self.keys.get(&key) {
            return Reaction::Answer(201, "Idempotent-Replayed: true\r\n".into(), made.to_string());
        }
        if !request.headers("Firstcome-Repeat-Only").is_empty() {
            return Reaction::json(404, &json!({ "code": "not-found" }));
        }
        let count = u64::try_from(self.drops.len()).expect("few");
        let made = json!({ "id": (self.number << 24) | (count + 1), "state": "live" });
        self.drops.push(made.clone());
        self.keys.insert(key, made.clone());
        Reaction::json(201, &made)
    }
}

/// Shards and a node of each.
struct Shards {
    shards: Vec<Arc<Mutex<Shard>>>,
    nodes: Vec<StandIn>,
}

impl Shards {
    fn start(shards: Vec<Shard>) -> Shards {
        let shards: Vec<_> = shards.into_iter().map(|shard| Arc::new(Mutex::new(shard))).collect();
        let nodes = shards.iter().map(|shard| {
            let (number, shard) = (shard.lock().number, Arc::clone(shard));
            let node = StandIn::start(Part::Leads, move |request| shard.lock().react(request));
            node.is_of(number);
            node
        });
        Shards { nodes: nodes.collect(), shards }
    }

    fn addresses(&self) -> Vec<(u8, Vec<NodeAddresses>)> {
        let number = |shard: &Arc<Mutex<Shard>>| u8::try_from(shard.lock().number).expect("small");
        self.shards
            .iter()
            .zip(&self.nodes)
            .map(|(shard, node)| (number(shard), vec![(node.public, node.admin)]))
            .collect()
    }

    /// The same, with one shard whose node is dead.
    fn without(&self, dead: usize) -> Vec<(u8, Vec<NodeAddresses>)> {
        let mut addresses = self.addresses();
        addresses[dead].1 = vec![(closed(), closed())];
        addresses
    }
}

fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address")
}

/// Reads a list to its end, in pages, and returns the places of its items.
fn walk(router: &Router, address: SocketAddr, path: &str, limit: usize, place: &str) -> Vec<u64> {
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let page = router.send(address, &format!("GET {path}?limit={limit}&after={after}"), "", "");
        assert_eq!(page.status, 200, "{:?}", page.body);
        let items = page.body["data"].as_array().expect("a list");
        assert!(items.len() <= limit, "{} of {limit}", items.len());
        found.extend(items.iter().map(|item| item[place].as_u64().expect("a place")));
        if page.body["has_more"] == false {
            assert!(page.body.get("next_after").is_none());
            return found;
        }
        let next = page.body["next_after"].as_u64().expect("a position");
        assert!(next > after, "{next} is not behind {after}");
        after = next;
    }
}

#[test]
fn lists_go_over_all_shards_without_a_gap_or_a_double_whatever_the_pages() {
    let shards =
        Shards::start(vec![Shard::new(0, 7, 4), Shard::new(2, 0, 0), Shard::new(3, 12, 9), Shard::new(9, 1, 1)]);
    let router = Router::start(&shards.addresses(), QUICK);
    let drops: Vec<u64> = shards
        .shards
        .iter()
        .flat_map(|shard| shard.lock().drops.clone())
        .map(|drop| drop["id"].as_u64().expect("an id"))
        .collect();
    let orders: Vec<u64> = shards
        .shards
        .iter()
        .flat_map(|shard| shard.lock().orders.clone())
        .map(|order| order["seq"].as_u64().expect("a number"))
        .collect();
    for limit in [1, 2, 3, 5, 7, 12, 19, 20, 100] {
        assert_eq!(walk(&router, router.public, "/v1/drops", limit, "id"), drops, "{limit}");
        assert_eq!(walk(&router, router.admin, "/v1/orders", limit, "seq"), orders, "{limit}");
    }
    assert_eq!(router.get("/v1/drops").body["data"].as_array().map(Vec::len), Some(10), "as a node has it");
    assert_eq!(router.get("/v1/drops?after=4294967295").body, json!({ "data": [], "has_more": false }));
    for (address, path) in
        [(router.public, "/v1/drops?after=4294967296"), (router.admin, "/v1/orders?after=9007199254740992")]
    {
        let beyond = router.send(address, &format!("GET {path}"), "", "");
        assert_eq!((beyond.status, &beyond.body["errors"][0]["pointer"]), (400, &json!("/after")), "{:?}", beyond.body);
    }
    // One shard's list, by its name.
    let one = router.send(router.public, "GET /v1/drops?limit=100", "Firstcome-Shard: 3\r\n", "");
    assert_eq!((one.body["data"].as_array().map(Vec::len), one.header("Firstcome-Shard")), (Some(12), Some("3")));
    let of_an_event = router.send(router.public, "GET /v1/drops", "Firstcome-Min-Seq: 5\r\n", "");
    assert_eq!(of_an_event.body["code"], "shard-not-named", "each shard counts its events anew");
    let found = router.send(router.admin, "POST /v1/orders/search", JSON, "{\"email\":\"a@b\"}");
    assert_eq!((found.body["data"].as_array().map(Vec::len), &found.body["has_more"]), (Some(14), &json!(false)));
}

#[test]
fn lists_of_orders_as_csv_go_over_all_shards_with_one_header() {
    let shards = Shards::start(vec![Shard::new(0, 0, 4), Shard::new(1, 0, 9)]);
    let router = Router::start(&shards.addresses(), QUICK);
    for limit in [1, 3, 4, 5, 13, 50] {
        let (mut text, mut after) = (String::new(), 0_u64);
        loop {
            let mut client = crate::process::Client::connect(router.admin).expect("connected");
            client
                .send(&format!(
                    "GET /v1/orders?after={after}&limit={limit} HTTP/1.1\r\nHost: localhost\r\nAccept: text/csv\r\n\
                     Connection: close\r\n\r\n"
                ))
                .expect("sent");
            let answer = client.read_to_end();
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
            text.push_str(body.strip_prefix("seq,buyer\r\n").expect("one header"));
            let next = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("firstcome-next-after: ").map(String::from));
            match next {
                Some(next) => after = next.trim().parse().expect("a position"),
                None => break,
            }
        }
        let expected: String = shards
            .shards
            .iter()
            .flat_map(|shard| shard.lock().orders.clone())
            .map(|order| {
                format!("{},\"{}\"\r\n", order["seq"], order["buyer"].as_str().expect("a text").replace('"', "\"\""))
            })
            .collect();
        assert_eq!(text, expected, "{limit}");
    }
}

#[test]
fn a_shard_that_does_not_answer_is_named_and_never_left_out_in_silence() {
    let shards = Shards::start(vec![Shard::new(0, 3, 1), Shard::new(1, 5, 1), Shard::new(2, 2, 1)]);
    let router = Router::begin(&shards.without(1), QUICK);
    wait_until("two leaders", || router.metric("firstcome_route_leader_known", &[]) > 1.5);
    let first = router.get("/v1/drops?limit=100");
    assert_eq!((first.body["data"].as_array().map(Vec::len), &first.body["has_more"]), (Some(3), &json!(true)));
    let after = first.body["next_after"].as_u64().expect("a position");
    // The rest of shard 0 is nothing, so the next page would begin with shard 1.
    let gap = router.get(&format!("/v1/drops?limit=100&after={after}"));
    assert_eq!((gap.status, gap.body["code"].as_str()), (503, Some("shard-unavailable")));
    assert_eq!((&gap.body["shard"], gap.body["applied"].as_str()), (&json!(1), Some("no")));
    let behind = gap.body["next_after"].as_u64().expect("a position");
    let rest = router.get(&format!("/v1/drops?limit=100&after={behind}"));
    assert_eq!((rest.body["data"].as_array().map(Vec::len), &rest.body["has_more"]), (Some(2), &json!(false)));
    let search = router.send(router.admin, "POST /v1/orders/search", JSON, "{\"email\":\"a@b\"}");
    assert_eq!((search.status, &search.body["shard"]), (503, &json!(1)));
    let named = router.send(router.public, "GET /v1/drops", "Firstcome-Shard: 1\r\n", "");
    assert_eq!((named.status, &named.body["shard"]), (503, &json!(1)));
}

#[test]
fn a_new_drop_is_made_on_the_shard_with_the_least_load_and_a_key_has_one_effect_through_any_router() {
    let shards = Shards::start(vec![Shard::new(0, 3, 0), Shard::new(1, 1, 0), Shard::new(2, 2, 0)]);
    let one = Router::start(&shards.addresses(), QUICK);
    let other = Router::start(&shards.addresses(), QUICK);
    let create = |router: &Router, key: &str, head: &str| {
        router.send(router.admin, "POST /v1/drops", &format!("{JSON}{head}Idempotency-Key: {key}\r\n"), "{}")
    };
    let made = create(&one, "a", "");
    assert_eq!((made.status, made.header("Firstcome-Shard")), (201, Some("1")));
    // Shards 1 and 2 have the same load now; after the next creation shard 1 has not the least any more.
    assert_eq!(create(&one, "b", "").header("Firstcome-Shard"), Some("1"), "the first of equal ones");
    for router in [&one, &other, &one] {
        for (key, shard) in [("a", "1"), ("b", "1")] {
            let again = create(router, key, "");
            assert_eq!((again.status, again.is_repeat()), (201, true), "{key}");
            assert_eq!(again.header("Firstcome-Shard"), Some(shard));
        }
        assert_eq!(create(router, "a", "").body["id"], made.body["id"]);
    }
    let counts: Vec<usize> = shards.shards.iter().map(|shard| shard.lock().drops.len()).collect();
    assert_eq!(counts, [3, 3, 2]);
    assert!((one.metric("firstcome_route_drops_made_total", &[("shard", "1")]) - 2.0).abs() < 0.5);
    assert_eq!(
        create(&one, "a", "Firstcome-Shard: 2\r\n").header("Firstcome-Shard"),
        Some("2"),
        "its operator says so"
    );
    let without = one.send(one.admin, "POST /v1/drops", JSON, "{}");
    assert_eq!(without.body["code"], "idempotency-key-missing");
    // A key may be known to a shard that does not answer.
    let router = Router::begin(&shards.without(0), QUICK);
    wait_until("two leaders", || router.metric("firstcome_route_leader_known", &[]) > 1.5);
    let refused = create(&router, "new", "");
    assert_eq!((refused.status, refused.body["code"].as_str()), (503, Some("shard-unavailable")));
    assert_eq!((&refused.body["shard"], refused.body["applied"].as_str()), (&json!(0), Some("no")));
    assert_eq!(create(&router, "new", "Firstcome-Shard: 2\r\n").status, 201);
}

#[test]
fn a_webhook_goes_to_the_shard_of_its_order_and_to_all_if_it_names_none() {
    let shards = Shards::start(vec![Shard::new(0, 0, 0), Shard::new(1, 0, 0), Shard::new(5, 0, 0)]);
    let router = Router::start(&shards.addresses(), QUICK);
    let send = |body: Value| router.send(router.public, "POST /v1/payments/payos", JSON, &body.to_string());
    let seen = || -> Vec<usize> { shards.shards.iter().map(|shard| shard.lock().webhooks.drain(..).count()).collect() };
    let number = |shard: u64| (shard << 45) | (3 << 37) | 77;
    let answer = send(json!({ "data": { "orderCode": number(5), "x": "of-5" } }));
    assert_eq!((answer.body["result"].as_str(), seen()), (Some("applied"), vec![0, 0, 1]));
    let answer = send(json!({ "data": { "object": { "payment_intent": "pi_1", "x": "of-1" } } }));
    assert_eq!((answer.body["result"].as_str(), seen()), (Some("applied"), vec![1, 1, 0]), "until one applies it");
    let answer = send(json!({ "data": { "x": "of no shard" } }));
    assert_eq!((answer.body["reason"].as_str(), seen()), (Some("unknown-order"), vec![1, 1, 1]));
    let router = Router::begin(&shards.without(1), QUICK);
    wait_until("two leaders", || router.metric("firstcome_route_leader_known", &[]) > 1.5);
    let unknown = router.send(router.public, "POST /v1/payments/payos", JSON, "{\"data\":{\"x\":\"of-5\"}}");
    assert_eq!((unknown.status, &unknown.body["shard"]), (503, &json!(1)), "the provider sends it again");
}

/// A running nginx; ended with the test.
struct Nginx(std::process::Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[test]
fn the_maps_for_nginx_send_each_id_to_its_shard() {
    use std::process::{Command, Stdio};
    let Some(nginx) =
        ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| std::path::Path::new(path).exists())
    else {
        println!("nginx is not installed: its maps were not tried");
        return;
    };
    let scratch = tempfile::tempdir().expect("scratch");
    let shards = scratch.path().join("shards.toml");
    let node = (closed(), closed());
    let other = (closed(), closed());
    let more = (closed(), closed());
    std::fs::write(&shards, crate::router::shards_file(&[(0, vec![node]), (1, vec![other]), (200, vec![more])], ""))
        .expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    let printed = command.args(["route", "--print-nginx", "--shards"]).arg(&shards).output().expect("run");
    assert!(printed.status.success());
    let port = closed();
    let directory = scratch.path().to_str().expect("a path");
    let text = format!(
        "daemon off;\nmaster_process off;\npid {directory}/pid;\nerror_log {directory}/errors;\nevents {{}}\nhttp {{\naccess_log off;\n\
         client_body_temp_path {directory}/b;\nproxy_temp_path {directory}/p;\nfastcgi_temp_path {directory}/f;\n\
         uwsgi_temp_path {directory}/u;\nscgi_temp_path {directory}/s;\n{}\nserver {{\nlisten {port};\n\
         location /passed {{ proxy_pass http://firstcome_public_$firstcome_shard; }}\n\
         location / {{ default_type application/json; return 200 \"$firstcome_shard\"; }}\n}}\n}}\n",
        String::from_utf8(printed.stdout).expect("text")
    );
    let file = scratch.path().join("nginx.conf");
    std::fs::write(&file, text).expect("written");
    let tried = Command::new(nginx).arg("-t").arg("-p").arg(scratch.path()).arg("-c").arg(&file).output().expect("run");
    assert!(tried.status.success(), "{}", String::from_utf8_lossy(&tried.stderr));
    let mut running = Command::new(nginx);
    running.arg("-p").arg(scratch.path()).arg("-c").arg(&file).stdin(Stdio::null()).stderr(Stdio::null());
    let _nginx = Nginx(running.spawn().expect("started"));
    wait_until("nginx listens", || crate::process::Client::connect(port).is_ok());
    let shard_of = |path: &str, head: &str| {
        let mut client = crate::process::Client::connect(port).expect("connected");
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n")).expect("sent");
        client.receive().expect("answered").body
    };
    let order = |shard: u8| {
        let secret = firstcome::types::order_id::OrderSecret::from_random(firstcome::types::Shard::new(shard), [9; 10]);
        firstcome::types::OrderId { seq: firstcome::types::Seq::new(5).expect("in range"), secret }.to_string()
    };
    for (path, head, shard) in [
        ("/v1/drops/1".to_string(), "", 0),
        ("/v1/drops/16777215/orders".into(), "", 0),
        (format!("/v1/drops/{}", (1 << 24) | 1), "", 1),
        (format!("/v1/auctions/{}/bids", (200_u32 << 24) | 0xff_ffff), "", 200),
        (format!("/v1/orders/{}/cancel", order(200)), "", 200),
        (format!("/v1/orders/{}", order(1).to_uppercase()), "", 1),
        (format!("/pay/{}", order(1)), "", 1),
        (format!("/v1/orders/{}", order(77)), "", 0),
        ("/v1/drops".into(), "", 0),
        ("/v1/drops".into(), "Firstcome-Shard: 200\r\n", 200),
        ("/v1/drops".into(), "Firstcome-Shard: 7\r\n", 0),
        (format!("/v1/drops/{}", (1 << 24) | 1), "Firstcome-Shard: 200\r\n", 1),
    ] {
        assert_eq!(shard_of(&path, head), json!(shard), "{path} {head}");
    }
}
