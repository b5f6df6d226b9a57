//! Bot signals: by simulated clocks, and on the real server.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::http::{Answer, Server, call, serve_with};
use firstcome::admission::Caller;
use firstcome::admission::address::ClientAddress;
use firstcome::admission::limits::{Client, Door};
use firstcome::admission::risk::headers::BrowserHeaders;
use firstcome::admission::risk::{SeenOrder, SeenWrite};
use firstcome::config::Config;
use firstcome::telemetry::Telemetry;
use firstcome::types::{BuyerText, DropId};
use serde_json::json;

fn door() -> Door {
    let config = Config::defaults();
    Door::new(&config.admission, &config.risk, false, &Telemetry::new())
}

fn at(door: &Door, address: &str) -> Client {
    door.client(ClientAddress::new(address.parse().expect("an address")), true, false)
}

fn buyer(name: &str) -> BuyerText {
    BuyerText::new(name).expect("a buyer")
}

fn order_with<'r>(headers: &'r BrowserHeaders<'r>, since_start: Option<Duration>) -> SeenWrite<'r> {
    let order = Some(SeenOrder { drop_id: DropId::new(1).expect("an id"), since_start });
    SeenWrite { headers: Some(headers), order, ..SeenWrite::default() }
}

#[test]
fn a_suspicion_ends_when_its_signals_have_decayed() {
    let (door, began) = (door(), Instant::now());
    let headers = BrowserHeaders::default();
    let client = at(&door, "192.0.2.1");
    for number in 0..8 {
        door.note_write(
            client,
            &buyer("bot"),
            &order_with(&headers, None),
            began + Duration::from_millis(250 * number),
        );
    }
    let now = began + Duration::from_secs(2);
    assert!(door.risk().is_suspected(&buyer("bot"), now));
    assert_eq!(door.risk().counts(now).suspected, 1);
    let half = door.risk().of(&buyer("bot"), now + Duration::from_secs(600)).expect("a score");
    assert!(!door.risk().is_suspected(&buyer("bot"), now + Duration::from_secs(600)), "{half:?}");
    assert_eq!(door.risk().of(&buyer("bot"), now + Duration::from_secs(24 * 3600)), None);
}

#[test]
fn a_campus_behind_one_address_with_its_own_user_agents_raises_nothing_and_a_farm_with_one_does() {
    let (door, now) = (door(), Instant::now());
    let campus = at(&door, "192.0.2.1");
    door.note_read(campus, &Caller::Anonymous, DropId::new(1));
    for number in 0..2_000 {
        // Twenty students have the same telephone and browser.
        let agent = format!("ShopApp/{}", number % 100);
        let headers = BrowserHeaders { user_agent: agent.as_bytes(), ..BrowserHeaders::default() };
        let student = buyer(&format!("student-{number}"));
        door.note_write(campus, &student, &order_with(&headers, Some(Duration::from_secs(1))), now);
        assert_eq!(door.risk().of(&student, now), None, "student {number}");
    }
    let farm = at(&door, "192.0.2.2");
    let headers = BrowserHeaders { user_agent: b"ShopApp/1", ..BrowserHeaders::default() };
    for number in 0..200 {
        door.note_write(farm, &buyer(&format!("bot-{number}")), &order_with(&headers, None), now);
    }
    let note = door.risk().of(&buyer("bot-199"), now).expect("signals");
    let names: Vec<&str> = note.signals.iter().map(|signal| signal.as_str()).collect();
    assert_eq!(names, ["no_read_before_purchase", "shared_client"]);
    assert!(!door.risk().is_suspected(&buyer("bot-199"), now), "weak signals do not suspect anybody");
}

/// A server behind a proxy on this machine: a request comes from the address that it forwards.
fn behind_a_proxy(directory: &Path, change: impl FnOnce(&mut Config)) -> Server {
    serve_with(directory, |config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        change(config);
    })
}

fn from(server: &Server, address: &str, method: &str, path: &str, more: &str, body: &str) -> Answer {
    let headers = format!("X-Forwarded-For: {address}\r\nContent-Type: application/json\r\n{more}");
    call(server.0.server.public_address, method, path, &headers, body)
}

fn order(server: &Server, address: &str, buyer: &str, key: u32) -> Answer {
    let body = json!({ "buyer": buyer, "quantity": 1 }).to_string();
    let more = format!("Idempotency-Key: {buyer}-{key}\r\nUser-Agent: ShopApp/7\r\n");
    from(server, address, "POST", "/v1/drops/1/orders", &more, &body)
}

#[test]
fn an_address_raises_signals_of_no_more_buyers_than_it_may_name() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = behind_a_proxy(scratch.path(), |config| {
        config.admission.address_buyers = 3;
        config.risk.shared_buyers_max = 10;
    });
    assert_eq!(server.create(100).status, 201);
    let statuses: Vec<u16> = (0..40)
        .map(|number| {
            let body = json!({ "buyer": format!("victim-{number}"), "quantity": 1 }).to_string();
            let more = format!("Idempotency-Key: {number}\r\nUser-Agent: \r\n");
            from(&server, "192.0.2.66", "POST", "/v1/drops/1/orders", &more, &body).status
        })
        .collect();
    assert!(statuses[..3].iter().all(|status| *status == 201) && statuses[39] == 429, "{statuses:?}");
    assert!(metric(&server, "firstcome_suspected_buyers 0"), "the 11th name of an address raises shared_client");
    let risk = server.admin("GET", "/v1/buyers/victim-30/tier", &json!({}));
    assert_eq!((risk.body.get("risk_score"), &risk.body["tier"]), (None, &json!("new")), "{}", risk.text);
    server.stop();
}

fn metric(server: &Server, line: &str) -> bool {
    server.admin("GET", "/metrics", &json!({})).text.lines().any(|shown| shown == line)
}

#[test]
fn an_order_without_a_read_raises_a_signal_and_one_after_any_kind_of_read_does_not() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = behind_a_proxy(scratch.path(), |config| config.risk.weights[2] = 0);
    assert_eq!(server.create(100).status, 201);
    for (address, path) in [("192.0.2.1", "/v1/drops/1"), ("192.0.2.2", "/v1/drops")] {
        assert_eq!(from(&server, address, "GET", path, "", "").status, 200);
        assert_eq!(order(&server, address, "reader", 1).status, 201, "{path}");
    }
    assert!(metric(&server, r#"firstcome_risk_signals_total{signal="no_read_before_purchase"} 0"#));
    assert_eq!(order(&server, "192.0.2.3", "unread", 1).status, 201);
    assert!(metric(&server, r#"firstcome_risk_signals_total{signal="no_read_before_purchase"} 1"#));
    let exempt = call(
        server.0.server.public_address,
        "POST",
        "/v1/drops/1/orders",
        "Content-Type: application/json\r\nIdempotency-Key: 9\r\n",
        r#"{"buyer":"of-the-shop","quantity":1}"#,
    );
    assert_eq!(exempt.status, 201);
    assert!(metric(&server, r#"firstcome_risk_signals_total{signal="no_read_before_purchase"} 1"#), "the back end");
}

#[test]
fn the_order_that_raises_the_score_over_the_threshold_is_decided_as_that_of_a_suspected_buyer() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = behind_a_proxy(scratch.path(), |config| {
        config.risk.suspect_at = 20;
        config.risk.weights = [0, 35, 0, 0, 0, 0, 0, 0];
        config.admission.tier_writes[0] = 1;
    });
    assert_eq!(server.create(100).status, 201);
    let first = order(&server, "192.0.2.1", "bot", 1);
    assert!(first.headers["ratelimit-policy"].contains(r#""buyer-suspected";q=1;"#), "{:?}", first.headers);
    assert_eq!(order(&server, "192.0.2.1", "bot", 2).status, 429);
    assert!(metric(&server, "firstcome_suspected_buyers 1"));
    assert_eq!(from(&server, "192.0.2.2", "GET", "/v1/drops/1", "", "").status, 200);
    let mut changed = Config::defaults();
    changed.risk.suspect_at = 36;
    server.0.server.admission.replace_rules(&changed).expect("good");
    assert!(metric(&server, "firstcome_suspected_buyers 0"), "a larger threshold ends suspicions at once");
    let forgiven = order(&server, "192.0.2.4", "bot", 3);
    assert!(forgiven.headers["ratelimit-policy"].contains(r#""buyer-new";q=50;"#), "{:?}", forgiven.headers);
    let person = order(&server, "192.0.2.2", "person", 1);
    assert!(person.headers["ratelimit-policy"].contains(r#""buyer-new";q=50;"#), "{:?}", person.headers);
}

#[test]
fn operators_read_the_score_and_the_signals_of_an_order_in_its_audit_and_its_buyer_sees_neither() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = behind_a_proxy(scratch.path(), |config| config.risk.weights[2] = 0);
    assert_eq!(server.create(100).status, 201);
    let suspicious = order(&server, "192.0.2.3", "unread", 1);
    assert_eq!(suspicious.status, 201);
    assert!(!suspicious.text.contains("risk") && !suspicious.text.contains("no_read"), "{}", suspicious.text);
    assert_eq!(from(&server, "192.0.2.1", "GET", "/v1/drops/1", "", "").status, 200);
    let clean = order(&server, "192.0.2.1", "reader", 1);
    for (answer, risk) in [
        (&suspicious, json!({ "score": 35, "signals": ["no_read_before_purchase"] })),
        (&clean, serde_json::Value::Null),
    ] {
        let id = answer.body["id"].as_str().expect("an id");
        let audit = server.admin("GET", &format!("/v1/audit?order_id={id}"), &json!({}));
        assert_eq!(audit.status, 200, "{}", audit.text);
        let row = audit.text.lines().find(|line| line.starts_with('{')).expect("a row");
        let row: serde_json::Value = serde_json::from_str(row).expect("JSON");
        assert_eq!(row["detail"]["risk"], risk, "{}", audit.text);
    }
}
