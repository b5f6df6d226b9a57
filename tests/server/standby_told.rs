//! A buyer who stands by learns of the order that came of it: by a mail with the link to the payment, and the shop by a webhook;
//! once, also when the unit comes back while no server runs, or the endpoints answer only after a restart.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::http::{Server, call, serve_with, until};
use crate::mail_sink::{MailSink, ReceivedMail};
use crate::webhook_sink::{ReceivedWebhook, Sink, SinkReply};
use firstcome::config::{Config, MailTls};
use firstcome::types::{EventFilter, SigningSecret};
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json\r\n";

/// Settings with both sinks, and retries that come soon.
fn tells(directory: &Path, mails: u16, webhooks: &Sink) -> impl Fn(&mut Config) + use<> {
    use std::os::unix::fs::PermissionsExt;
    let secret = directory.join("outbox.secret");
    if !secret.exists() {
        std::fs::write(&secret, SigningSecret::random().reveal()).expect("written");
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("set");
    }
    let url = webhooks.url();
    move |config| {
        config.mail.host = "127.0.0.1".into();
        config.mail.port = mails;
        config.mail.tls = MailTls::None;
        config.mail.from = "shop@shop.example".into();
        config.mail.per_second = 1000;
        config.outbox.endpoint_url.clone_from(&url);
        config.outbox.endpoint_secret_file = Some(secret.clone());
        config.outbox.allow_private_networks = vec!["127.0.0.0/8".parse().expect("a network")];
        config.outbox.retry_waits = vec![Duration::from_millis(200); 50];
        config.outbox.timeout = Duration::from_millis(500);
    }
}

fn create(server: &Server, reservation_seconds: u32) {
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 1,
                       "starts_at": "2020-01-01T00:00:00Z", "reservation_seconds": reservation_seconds });
    assert_eq!(server.admin("POST", "/v1/drops", &drop).status, 201);
}

fn take(server: &Server) -> String {
    let order = server.order("ann", r#"{"buyer":"ann","quantity":1}"#);
    assert_eq!(order.status, 201, "{}", order.text);
    order.body["id"].as_str().expect("an id").to_owned()
}

fn join(server: &Server, buyer: &str) {
    let email = format!("{buyer}@mail.example");
    let body = json!({ "buyer": buyer, "quantity": 1, "contact": { "email": email, "name": "Name of bob" } });
    let headers = format!("{JSON}Idempotency-Key: key-{buyer}\r\n");
    let public = server.0.server.public_address;
    let joined = call(public, "POST", "/v1/drops/1/standby", &headers, &body.to_string());
    assert_eq!(joined.status, 202, "{}", joined.text);
}

fn granted(server: &Server, buyer: &str) -> Value {
    let headers = format!("Idempotency-Key: key-{buyer}\r\n");
    let path = format!("/v1/drops/1/standby?buyer={buyer}");
    let found = call(server.0.server.public_address, "GET", &path, &headers, "");
    assert_eq!((found.status, &found.body["state"]), (200, &json!("ordered")), "{}", found.text);
    found.body["order"].clone()
}

/// The events `order.reserved` that came out of a line.
fn of_line(webhooks: &[ReceivedWebhook]) -> Vec<&ReceivedWebhook> {
    let is_of_line = |one: &&ReceivedWebhook| one.kind() == "order.reserved" && one.body["data"]["standby"] == true;
    webhooks.iter().filter(is_of_line).collect()
}

/// Compares what the buyer and the shop were told with the order, each once.
fn check(mails: &MailSink, webhooks: &[ReceivedWebhook], order: &Value, base: &str) {
    let to_bob = mails.to("bob@mail.example");
    assert_eq!(to_bob.iter().map(ReceivedMail::kind).collect::<Vec<_>>(), ["Reserved"], "one mail");
    let (_, text) = to_bob[0].words();
    let link = format!("{base}/pay/{}", order["id"].as_str().expect("an id"));
    assert!(text.contains(&link), "{text}");
    let events = of_line(webhooks);
    assert_eq!(events.len(), 1, "one webhook: {:?}", events.iter().map(|one| &one.text).collect::<Vec<_>>());
    assert_eq!(events[0].order(), order["seq"].as_u64().expect("a number"), "{}", events[0].text);
    assert!(!events[0].text.contains("mail.example"), "no contact: {}", events[0].text);
    let plain = webhooks.iter().filter(|one| one.kind() == "order.reserved").count();
    assert_eq!(plain, 2, "the first buyer's, and that of the line");
}

#[test]
fn a_grant_is_told_once_although_mail_server_and_endpoint_answer_only_after_a_restart() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mails = MailSink::new();
    let open = Arc::new(AtomicBool::new(true));
    let is_open = Arc::clone(&open);
    let answer = move |_: &ReceivedWebhook| SinkReply::Status(if is_open.load(Ordering::SeqCst) { 204 } else { 503 });
    let webhooks = Sink::new(answer);
    mails.mode("busy");
    let settings = tells(scratch.path(), mails.port, &webhooks);
    let server = serve_with(scratch.path(), &settings);
    create(&server, 600);
    let order = take(&server);
    join(&server, "bob");
    // The endpoint refuses from here on: refusals of what came before could have opened its breaker.
    until("the shop has what came before", || webhooks.received().iter().any(|one| one.kind() == "order.reserved"));
    let mut taken = webhooks.received();
    open.store(false, Ordering::SeqCst);
    assert_eq!(server.public("POST", &format!("/v1/orders/{order}/cancel")).status, 200);
    let order = granted(&server, "bob");
    assert_eq!(order["state"], "awaiting_payment", "{order}");
    until("the endpoint has refused it", || !of_line(&webhooks.received()).is_empty());
    server.stop();
    assert_eq!(mails.received().len(), 0);
    let refused = webhooks.received().len();
    open.store(true, Ordering::SeqCst);
    mails.mode("ok");
    let server = serve_with(scratch.path(), &settings);
    let base = format!("http://{}", server.0.server.public_address);
    until("everything is told", || server.metric("firstcome_outbox_waiting") == 0.0 && !mails.received().is_empty());
    let all = webhooks.received().len();
    taken.extend(webhooks.received().split_off(refused));
    server.stop();
    // A further restart tells nothing again.
    let server = serve_with(scratch.path(), &settings);
    until("the outbox is read", || server.metric("firstcome_outbox_waiting") == 0.0);
    server.stop();
    assert_eq!(webhooks.received().len(), all, "nothing is sent twice");
    check(&mails, &taken, &order, &base);
}

#[test]
fn a_unit_that_comes_back_while_no_server_runs_is_given_at_the_start_and_told_once() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mails = MailSink::new();
    let webhooks = Sink::new(|_| SinkReply::Status(204));
    let settings = tells(scratch.path(), mails.port, &webhooks);
    let server = serve_with(scratch.path(), &settings);
    create(&server, 2);
    take(&server);
    join(&server, "bob");
    server.stop();
    let file = rusqlite::Connection::open(scratch.path().join("data/firstcome.db")).expect("opened");
    let expires_at: i64 = file.query_row("SELECT expires_at_ms FROM orders", [], |row| row.get(0)).expect("an order");
    drop(file);
    until("the reservation has ended", || firstcome::writer::clock::wall_clock().get() > expires_at);
    let server = serve_with(scratch.path(), &settings);
    let base = format!("http://{}", server.0.server.public_address);
    let order = granted(&server, "bob");
    until("the buyer is told", || !mails.received().is_empty());
    until("the shop is told", || !of_line(&webhooks.received()).is_empty());
    server.stop();
    let server = serve_with(scratch.path(), &settings);
    until("the outbox is read", || server.metric("firstcome_outbox_waiting") == 0.0);
    server.stop();
    check(&mails, &webhooks.received(), &order, &base);
}

#[test]
fn a_buyer_whom_a_limit_puts_out_of_the_line_learns_it_and_so_does_a_shop_that_asks_for_it_once() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mails = MailSink::new();
    let webhooks = Sink::new(|_| SinkReply::Status(204));
    let plain = tells(scratch.path(), mails.port, &webhooks);
    let settings = move |config: &mut Config| {
        plain(config);
        config.outbox.endpoint_events = EventFilter::of_names(["*", "standby.left"]).expect("a filter");
        config.storefront.enabled = true;
    };
    let server = serve_with(scratch.path(), &settings);
    assert_eq!(server.create(2).status, 201);
    let order = server.order("ann", r#"{"buyer":"ann","quantity":2}"#);
    assert_eq!(order.status, 201, "{}", order.text);
    let public = server.0.server.public_address;
    let wish = json!({ "buyer": "bob", "quantity": 2, "contact": { "email": "bob@mail.example" } });
    let headers = format!("{JSON}Idempotency-Key: key-bob\r\n");
    assert_eq!(call(public, "POST", "/v1/drops/1/standby", &headers, &wish.to_string()).status, 202);
    let patch = json!({ "per_buyer_limit": 1, "expected_revision": 1, "reason": "one each" });
    assert_eq!(server.admin("PATCH", "/v1/drops/1", &patch).status, 200);
    let cancel = format!("/v1/orders/{}/cancel", order.body["id"].as_str().expect("an id"));
    assert_eq!(server.public("POST", &cancel).status, 200);
    let find = |server: &Server, headers: &str| {
        call(server.0.server.public_address, "GET", "/v1/drops/1/standby?buyer=bob", headers, "")
    };
    let left = json!({ "drop_id": 1, "buyer": "bob", "quantity": 2, "state": "left", "reason": "limit" });
    assert_eq!((find(&server, &headers).status, find(&server, &headers).body), (200, left.clone()));
    assert_eq!(find(&server, "").status, 404, "a name alone does not get the reason");
    let page = call(public, "GET", "/drops/1/standby?buyer=bob&key=key-bob", "", "");
    assert!(page.status == 200 && page.text.contains("A limit of this drop left no room"), "{}", page.text);
    assert_eq!(call(public, "GET", "/drops/1/standby?buyer=bob&key=other", "", "").status, 303);
    let told = || webhooks.received().into_iter().filter(|one| one.kind() == "standby.left").collect::<Vec<_>>();
    until("the shop is told", || !told().is_empty());
    server.stop();
    let server = serve_with(scratch.path(), &settings);
    until("the outbox is read", || server.metric("firstcome_outbox_waiting") == 0.0);
    assert_eq!(find(&server, &headers).body, left, "also after a restart");
    server.stop();
    let told = told();
    assert_eq!(told.len(), 1, "one webhook");
    let data = &told[0].body["data"];
    assert_eq!((&data["drop_id"], &data["buyer"], &data["quantity"]), (&json!(1), &json!("bob"), &json!(2)), "{data}");
    assert_eq!((&data["reason"], data["joined_seq"].is_u64()), (&json!("limit"), true), "{data}");
    assert!(!told[0].text.contains("mail.example"), "no contact: {}", told[0].text);
}
