//! The outbox of a real server with an endpoint that succeeds, fails, is slow, or never replies.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::http::{Server, serve_with, until};
use crate::webhook_sink::{ReceivedWebhook, Sink, SinkReply};
use firstcome::config::Config;
use firstcome::types::{EventFilter, SigningSecret};
use serde_json::json;

const OK: SinkReply = SinkReply::Status(204);

fn secret_file(directory: &Path, secret: &str) -> PathBuf {
    let path = directory.join("outbox.secret");
    std::fs::write(&path, secret).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
    path
}

/// Returns settings with the sink as endpoint, and a short retry schedule.
fn outbox_settings(directory: &Path, sink: &Sink, secret: &str) -> impl FnOnce(&mut Config) + use<> {
    let (url, file) = (sink.url(), secret_file(directory, secret));
    move |config| {
        config.outbox.endpoint_url = url;
        config.outbox.endpoint_secret_file = Some(file);
        config.outbox.allow_private_networks = vec!["127.0.0.0/8".parse().expect("a network")];
        config.outbox.retry_waits = [0, 0, 0, 0].map(Duration::from_secs).to_vec();
        config.outbox.timeout = Duration::from_millis(300);
    }
}

fn buy(server: &Server, key: &str) -> u64 {
    let order = server.order(key, &format!(r#"{{"buyer":"{key}","quantity":1}}"#));
    assert_eq!(order.status, 201, "{}", order.text);
    order.body["seq"].as_u64().expect("a number")
}

/// Returns the events of the audit that endpoints receive.
fn events_to_send(server: &Server) -> Vec<u64> {
    let audit = crate::http::call(server.0.server.admin_address, "GET", "/v1/audit", "", "");
    let mut seqs = Vec::new();
    for line in audit.text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if firstcome::types::webhooks::type_of(row["kind"].as_str().expect("a kind")).is_some() {
            seqs.push(row["seq"].as_u64().expect("a number"));
        }
    }
    seqs
}

#[test]
fn an_endpoint_receives_signed_events_without_contacts() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sink = Sink::new(|_| OK);
    let secret = SigningSecret::random().reveal();
    let server = serve_with(scratch.path(), outbox_settings(scratch.path(), &sink, &secret));
    assert_eq!(server.create(10).status, 201);
    let body = r#"{"buyer":"ann","quantity":1,"contact":{"email":"ann@secret.example","phone":"0170 1234567"}}"#;
    let order = server.order("k1", body);
    assert_eq!(order.status, 201);
    let id = order.body["id"].as_str().expect("an id").to_string();
    let paid = server.admin(
        "POST",
        &format!("/v1/orders/{id}/payments"),
        &json!({ "reference": "r-1", "amount": 100, "currency": "EUR", "reason": "phoned 0170 7654321" }),
    );
    assert_eq!(paid.status, 200, "{}", paid.text);
    until("everything is sent", || sink.received().len() >= 4);
    let received = sink.received();
    // In sequence per order; the event of the drop is delivered in parallel.
    let (orders, drops): (Vec<&ReceivedWebhook>, Vec<&ReceivedWebhook>) =
        received.iter().partition(|one| one.kind().starts_with("order."));
    let kinds = |received: &[&ReceivedWebhook]| received.iter().map(|one| one.kind().to_string()).collect::<Vec<_>>();
    assert_eq!(kinds(&orders), ["order.reserved", "order.checked_out", "order.paid"]);
    assert_eq!(kinds(&drops), ["drop.created"]);
    for one in &received {
        assert!(one.is_signed_by(&secret), "{}", one.text);
        assert!(!one.is_signed_by(&SigningSecret::random().reveal()));
        assert!(!one.text.contains("secret.example") && !one.text.contains("0170"), "{}", one.text);
        assert_eq!(one.headers["content-type"], "application/json");
    }
    let paid = &orders[2].body["data"];
    assert_eq!((&paid["order_id"], &paid["buyer"], &paid["amount"]), (&json!(id), &json!("ann"), &json!(100)));
    assert_eq!(paid["reference"], "r-1");
    server.stop();
}

#[test]
fn an_idle_server_writes_nothing_and_checkpoints_are_not_sent() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sink = Sink::new(|_| OK);
    let secret = SigningSecret::random().reveal();
    let server = serve_with(scratch.path(), outbox_settings(scratch.path(), &sink, &secret));
    server.create(10);
    let marks = |server: &Server| {
        let audit = crate::http::call(server.0.server.admin_address, "GET", "/v1/audit", "", "");
        audit.text.lines().filter(|line| line.contains("deliveries_marked")).count()
    };
    until("a checkpoint is stored", || marks(&server) == 1);
    // Several checkpoint intervals.
    let started = std::time::Instant::now();
    until("a while", || started.elapsed() > Duration::from_millis(1200));
    assert_eq!((marks(&server), sink.received().len()), (1, 1));
    server.stop();
    // A restart sends and writes nothing either.
    let server = serve_with(scratch.path(), outbox_settings(scratch.path(), &sink, &secret));
    buy(&server, "k1");
    until("the order is sent", || sink.received().len() == 2);
    assert_eq!(sink.received()[1].kind(), "order.reserved");
    server.stop();
}

#[test]
fn events_of_an_order_arrive_in_sequence_despite_failures_and_each_attempt_has_the_same_bytes() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut calls = 0u64;
    let mut failed: BTreeMap<u64, u32> = BTreeMap::new();
    let sink = Sink::new(move |received| {
        calls += 1;
        let times = failed.entry(received.seq()).or_default();
        // Every third request fails, each event at most twice.
        if calls.is_multiple_of(3) && *times < 2 {
            *times += 1;
            return [
                SinkReply::Status(500),
                SinkReply::Close,
                SinkReply::Status(301),
                SinkReply::Nothing,
                SinkReply::Status(404),
            ][(calls % 5) as usize];
        }
        OK
    });
    let secret = SigningSecret::random().reveal();
    let server = serve_with(scratch.path(), outbox_settings(scratch.path(), &sink, &secret));
    server.create(60);
    let orders: Vec<u64> = (0..20).map(|n| buy(&server, &format!("k{n}"))).collect();
    for n in 0..20 {
        let repeat = server.order(&format!("k{n}"), &format!(r#"{{"buyer":"k{n}","quantity":1}}"#));
        let id = repeat.body["id"].as_str().expect("an id").to_string();
        let body = r#"{"contact":{"name":"N"}}"#;
        let path = format!("/v1/orders/{id}/checkout");
        let json = "Content-Type: application/json\r\n";
        assert_eq!(crate::http::call(server.0.server.public_address, "POST", &path, json, body).status, 200);
        assert_eq!(
            crate::http::call(server.0.server.public_address, "POST", &format!("/v1/orders/{id}/cancel"), "", "")
                .status,
            200
        );
    }
    let expected = events_to_send(&server);
    until("everything is sent", || expected.iter().all(|seq| sink.seqs().contains(seq)));
    until("every result is stored", || server.metric("firstcome_outbox_waiting") == 0.0);
    let mut bytes: BTreeMap<String, String> = BTreeMap::new();
    for received in sink.received() {
        let same = bytes.entry(received.id().into()).or_insert_with(|| received.text.clone());
        assert_eq!(*same, received.text);
    }
    for order in orders {
        let seqs: Vec<u64> =
            sink.received().iter().filter(|received| received.order() == order).map(ReceivedWebhook::seq).collect();
        assert!(seqs.is_sorted(), "order {order}: {seqs:?}");
        assert_eq!(seqs.iter().collect::<BTreeSet<_>>().len(), 3);
    }
    server.stop();
}

#[test]
fn a_filter_selects_event_types() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sink = Sink::new(|_| OK);
    let secret = SigningSecret::random().reveal();
    let change = outbox_settings(scratch.path(), &sink, &secret);
    let server = serve_with(scratch.path(), |config| {
        change(config);
        config.outbox.endpoint_events = EventFilter::of_names(["drop.paused"]).expect("a filter");
    });
    server.create(10);
    buy(&server, "k1");
    server.admin("POST", "/v1/drops/1/pause", &json!({ "reason": "a secret reason" }));
    until("the pause is sent", || !sink.received().is_empty());
    let received = sink.received();
    assert_eq!((received.len(), received[0].kind()), (1, "drop.paused"));
    assert!(!received[0].text.contains("secret reason"));
    server.stop();
}

#[test]
fn an_endpoint_that_answers_410_is_disabled_and_gets_missed_events_later() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sink = Sink::new(|_| SinkReply::Status(410));
    let secret = SigningSecret::random().reveal();
    let server = serve_with(scratch.path(), outbox_settings(scratch.path(), &sink, &secret));
    server.create(10);
    let audit = |server: &Server| crate::http::call(server.0.server.admin_address, "GET", "/v1/audit", "", "").text;
    until("it is disabled", || audit(&server).contains("410 Gone"));
    let calls = sink.received().len();
    buy(&server, "k1");
    server.stop();
    assert_eq!(sink.received().len(), calls, "a disabled endpoint receives nothing");
    sink.reply_with(|_| OK);
    let server = serve_with(scratch.path(), outbox_settings(scratch.path(), &sink, &secret));
    let expected = events_to_send(&server);
    until("everything is sent", || expected.iter().all(|seq| sink.seqs()[calls..].contains(seq)));
    server.stop();
}

#[test]
fn a_dead_endpoint_slows_nothing_and_makes_no_row_per_event() {
    let scratch = tempfile::tempdir().expect("scratch");
    // A port without a listener.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let sink_address = listener.local_addr().expect("an address");
    drop(listener);
    let sink = Sink::new(|_| OK);
    let secret = SigningSecret::random().reveal();
    let change = outbox_settings(scratch.path(), &sink, &secret);
    let server = serve_with(scratch.path(), |config| {
        change(config);
        config.outbox.endpoint_url = format!("http://{sink_address}/");
        config.outbox.retry_waits = vec![Duration::from_secs(3600)];
    });
    server.create(1000);
    for n in 0..100 {
        buy(&server, &format!("k{n}"));
    }
    until("the breaker opens", || server.metric("firstcome_outbox_breakers_open") == 1.0);
    for n in 100..200 {
        buy(&server, &format!("k{n}"));
    }
    let started = std::time::Instant::now();
    until("a while", || started.elapsed() > Duration::from_millis(1200));
    let rows = server.metric("firstcome_outbox_waiting");
    assert!(rows < 20.0, "{rows} rows of 200 events");
    assert!(server.metric("firstcome_outbox_age_seconds") >= 1.0);
    server.stop();
}

#[test]
fn a_delivery_that_is_given_up_is_a_dead_letter_and_others_continue() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sink = Sink::new(|received| if received.kind() == "drop.created" { SinkReply::Status(400) } else { OK });
    let secret = SigningSecret::random().reveal();
    let server = serve_with(scratch.path(), outbox_settings(scratch.path(), &sink, &secret));
    server.create(10);
    buy(&server, "k1");
    until("the delivery is given up", || server.metric("firstcome_outbox_dead_letters") == 1.0);
    let attempts = sink.received().iter().filter(|received| received.kind() == "drop.created").count();
    assert_eq!(attempts, 5, "the first, and one per wait of the schedule");
    assert!(sink.received().iter().any(|received| received.kind() == "order.reserved"));
    server.stop();
}

#[test]
fn a_new_secret_signs_beside_the_old_one() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sink = Sink::new(|_| OK);
    let (old, new) = (SigningSecret::random().reveal(), SigningSecret::random().reveal());
    let server = serve_with(scratch.path(), outbox_settings(scratch.path(), &sink, &old));
    server.create(10);
    until("it is sent", || sink.received().len() == 1);
    server.stop();
    let server = serve_with(scratch.path(), outbox_settings(scratch.path(), &sink, &new));
    buy(&server, "k1");
    until("it is sent", || sink.received().len() == 2);
    let received = sink.received();
    assert!(received[0].is_signed_by(&old) && !received[0].is_signed_by(&new));
    assert!(received[1].is_signed_by(&old) && received[1].is_signed_by(&new));
    server.stop();
}

#[test]
fn a_bad_configuration_is_reported_at_start_without_the_secret() {
    let scratch = tempfile::tempdir().expect("scratch");
    let refused = |url: &str, secret: &str, allowed: &[&str]| {
        let mut config = crate::http::config(scratch.path());
        config.outbox.endpoint_url = url.into();
        config.outbox.endpoint_secret_file = Some(secret_file(scratch.path(), secret));
        config.outbox.allow_private_networks = allowed.iter().map(|n| n.parse().expect("a network")).collect();
        crate::http::try_serve(config).err().expect("refused")
    };
    let secret = SigningSecret::random().reveal();
    for url in
        ["http://127.0.0.1:1/", "https://127.0.0.1:1/", "https://10.0.0.1/", "ftp://shop.example/", "https://[::1]/"]
    {
        let (code, message) = refused(url, &secret, &[]);
        assert!(code == 64 && message.contains("outbox.endpoint_url"), "{url}: {message}");
    }
    let (code, message) = refused("https://shop.example/", "whsec_tooshort", &[]);
    assert!(code == 64 && message.contains("24 to 64 bytes") && !message.contains("tooshort"), "{message}");
}

fn create_endpoint(server: &Server, key: &str, body: &serde_json::Value) -> crate::http::Answer {
    let headers = format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\n");
    crate::http::call(server.0.server.admin_address, "POST", "/v1/webhook-endpoints", &headers, &body.to_string())
}

#[test]
fn internal_addresses_are_refused_as_endpoints() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = crate::http::serve(scratch.path());
    for url in [
        "http://127.0.0.1/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://10.0.0.1/",
        "https://172.16.5.4/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[fe80::1]/",
        "https://[fd00::1]/",
        "https://224.0.0.1/",
        "https://198.51.100.7/",
        "https://127.1/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://user@shop.example/",
        "gopher://shop.example/",
        "https://shop.example:0/",
        "https://no-such-name.invalid/",
        "not a url",
        "",
    ] {
        let refused = create_endpoint(&server, "k", &json!({ "url": url }));
        assert_eq!((refused.status, refused.body["code"].as_str()), (400, Some("validation")), "{url}");
        assert_eq!(refused.body["errors"][0]["pointer"], "/url", "{url}");
        assert!(!refused.text.contains("127.0.0.1") || url.contains("127.0.0.1"), "{url}: {}", refused.text);
    }
    assert_eq!(
        crate::http::call(server.0.server.admin_address, "GET", "/v1/webhook-endpoints", "", "").body["data"],
        json!([])
    );
    server.stop();
}

#[test]
fn dead_letters_are_listed_and_sent_again_and_so_is_everything() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sink = Sink::new(|received| if received.kind() == "order.reserved" { SinkReply::Status(500) } else { OK });
    let server = serve_with(scratch.path(), |config| {
        config.outbox.allow_private_networks = vec!["127.0.0.0/8".parse().expect("a network")];
        config.outbox.retry_waits = vec![Duration::ZERO];
    });
    let made = create_endpoint(&server, "k", &json!({ "url": sink.url() }));
    assert_eq!(made.status, 201, "{}", made.text);
    let secret = made.body["secret"].as_str().expect("a secret").to_string();
    let one = format!("/v1/webhook-endpoints/{}", made.body["id"]);
    let get = |path: &str| crate::http::call(server.0.server.admin_address, "GET", path, "", "");
    server.create(10);
    let order = buy(&server, "k1");
    until("the delivery is given up", || get(&one).body["dead"] == 1);
    let dead = get(&format!("{one}/deliveries?state=dead"));
    let letter = &dead.body["data"][0];
    assert_eq!((&letter["seq"], &letter["type"]), (&json!(order), &json!("order.reserved")));
    assert_eq!((&letter["attempts"], &letter["trouble"]), (&json!(2), &json!("status 500")));
    sink.reply_with(|_| OK);
    let again = json!({ "from_seq": 1, "reason": "repaired" }).to_string();
    let send = |body: &str| {
        let json = "Content-Type: application/json\r\n";
        crate::http::call(server.0.server.admin_address, "POST", &format!("{one}/resend"), json, body).status
    };
    assert_eq!(send(&again), 200);
    until("it is sent", || get(&one).body["dead"] == 0 && get(&one).body["waiting"] == 0);
    let before = sink.received();
    assert!(before.last().expect("some").seq() == order && before.last().expect("some").is_signed_by(&secret));
    let all = json!({ "from_seq": 1, "all": true, "reason": "the shop lost its database" }).to_string();
    assert_eq!(send(&all), 200);
    let expected = events_to_send(&server);
    until("everything is sent again", || expected.iter().all(|seq| sink.seqs()[before.len()..].contains(seq)));
    let ids = |received: &[ReceivedWebhook]| received.iter().map(|one| one.id().to_string()).collect::<BTreeSet<_>>();
    assert_eq!(ids(&sink.received()[before.len()..]), ids(&before), "with the same ids");
    // A disabled endpoint receives its events once it is enabled again.
    let patch = json!({ "state": "disabled", "reason": "x" }).to_string();
    let json_header = "Content-Type: application/json\r\n";
    assert_eq!(crate::http::call(server.0.server.admin_address, "PATCH", &one, json_header, &patch).status, 200);
    let missed = buy(&server, "k2");
    let enable = json!({ "state": "enabled", "reason": "x" }).to_string();
    assert_eq!(crate::http::call(server.0.server.admin_address, "PATCH", &one, json_header, &enable).status, 200);
    until("the missed event is sent", || sink.seqs().contains(&missed));
    server.stop();
}

/// The kinds of events are the names in the event's files. An event that endpoints do not receive has the reason behind
/// its name there: `// not sent: for the audit`.
#[test]
fn every_event_is_sent_or_has_a_reason_not_to_be() {
    let sources = [
        include_str!("../../src/engine/event/drop.rs"),
        include_str!("../../src/engine/event/order.rs"),
        include_str!("../../src/engine/event/payment.rs"),
        include_str!("../../src/engine/event/auction.rs"),
        include_str!("../../src/engine/event/endpoint.rs"),
        include_str!("../../src/engine/event/file.rs"),
        include_str!("../../src/engine/event/room.rs"),
    ];
    let (mut sent, mut not_sent) = (BTreeSet::new(), BTreeSet::new());
    for source in sources {
        let (_, names) = source.split_once("const fn name(&self)").expect("the names");
        let (names, _) = names.split_once("\n    }\n").expect("its end");
        for line in names.lines() {
            let Some(kind) = line.split('"').nth(1) else { continue };
            let reason = line.split_once("// not sent: ").map(|(_, reason)| reason.trim());
            let is_sent = firstcome::types::webhooks::type_of(kind).is_some();
            assert_ne!(is_sent, reason.is_some_and(|reason| reason.len() > 5), "{kind}");
            if is_sent {
                sent.insert(kind)
            } else {
                not_sent.insert(kind)
            };
        }
    }
    let kinds: usize = firstcome::types::webhooks::CATALOGUE.iter().map(|event| event.kinds.len()).sum();
    assert_eq!(sent.len(), kinds, "every kind in the catalogue exists");
    assert!(not_sent.len() >= 14, "{not_sent:?}");
}
