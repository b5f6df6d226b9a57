//! Every answer that the OpenAPI document names, from the real server; and the reverse: `http::contract` holds every
//! answer of every test against the document.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

#[path = "../bidding/mod.rs"]
mod bidding;
#[path = "../http/mod.rs"]
mod http;
#[path = "../provider_webhooks/mod.rs"]
mod provider_webhooks;

mod console;
mod order_batches;
mod paths;
mod repeats;
mod rooms;
mod standby;
mod tokens;
mod unseen;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use firstcome::api::code::Code;
use firstcome::engine::{Command, PaymentCommand};
use firstcome::http::routes::{Listener, ROUTES, Route};
use firstcome::store::PrivateData;
use firstcome::types::{Amount, Provider, Seq};
use firstcome::writer::{Class, Submission, WriterReply};
use http::contract::{DOCUMENT, SEEN};
use http::{Answer, Server, call, call_announcing, listen, serve_with, until};
use hyper::Method;
use paths::{filled, path_with};
use serde_json::{Value, json};
use tokens::{streams_that_are_too_many, tokens_that_are_needed};
use unseen::unseen;

const JSON: &str = "Content-Type: application/json\r\n";

/// The server here is no node of a cluster.
const OF_NODES: [&str; 3] = ["CopyNode", "HandOver", "LeaveCluster"];

#[test]
fn every_documented_answer_can_be_had_and_no_other_is_given() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| {
        config.auctions.exposure_limit = Amount::new(bidding::EXPOSURE_LIMIT);
        config.payments = provider_webhooks::settings(scratch.path());
        config.outbox.allow_private_networks = vec!["127.0.0.0/8".parse().expect("a network")];
    });
    let orders = Orders::of(&server);
    bidding::good_ends(&server);
    bidding::refusals(&server);
    what_providers_tell(&server);
    good_ends(&server, &orders);
    endpoints(&server);
    refusals_of_drops(&server);
    rooms::rooms(&server);
    standby::standby(&server);
    order_batches::batches(&server);
    standby::blind(&server);
    refusals_of_orders(&server, &orders);
    mistakes_of_any_request(&server, &orders);
    tokens_that_are_needed();
    good_ends_that_are_left(&server);
    console::good_ends(&server, &orders.paid);
    streams_that_are_too_many();
    server.stop();

    let seen = SEEN.lock();
    let mut missing = Vec::new();
    for route in ROUTES.iter().filter(|route| !route.is_page) {
        let operation = route.operation.to_string();
        let of_nodes = OF_NODES.contains(&route.operation).then_some("a node of a cluster");
        let good = route.success.iter().map(|status| (*status, String::new(), of_nodes));
        let problems = route
            .problem_codes()
            .map(|code| (code.kind().status.as_u16(), code.kind().code.to_string(), unseen(route.operation, code)));
        for (status, code, reason) in good.chain(problems) {
            let was_seen = seen.contains(&(operation.clone(), status, code.clone()));
            if was_seen == reason.is_some() {
                missing.push(format!(
                    "{operation} {status} {code}: {}",
                    if was_seen { "seen after all" } else { "unseen" }
                ));
            }
        }
        assert!(seen.contains(&(operation.clone(), 414, String::new())), "{operation} 414");
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_document_names_the_statuses_of_the_table_and_no_other() {
    for route in ROUTES.iter().filter(|route| !route.is_page) {
        let operation = http::contract::operation(route.method.as_str(), route.path).expect("an operation");
        let documented = operation["responses"].as_object().expect("responses").keys();
        let documented: BTreeSet<u16> = documented.map(|s| s.parse().expect("a status")).collect();
        let of_code = |code: Code| [Some(code.kind().status), code.redirect().filter(|_| route.needs_leader())];
        let problems = route.problem_codes().flat_map(of_code).flatten().map(|status| status.as_u16());
        let good = route.success.iter().copied();
        assert_eq!(documented, good.chain(problems).chain([414]).collect(), "{}", route.operation);
    }
    assert_eq!(DOCUMENT["openapi"], "3.1.0");
}

/// Orders in every state, on the first drop.
struct Orders {
    reserved: String,
    paid: String,
    expired: String,
    cancelled: String,
}

impl Orders {
    fn of(server: &Server) -> Orders {
        create(server, "first", &json!({ "reservation_seconds": 1, "per_buyer_limit": 9 }));
        let order = |key: &str| id(&server.order(key, r#"{"buyer":"ann","quantity":1}"#));
        let expired = order("expired");
        until("the order expires", || {
            server.public("GET", &format!("/v1/orders/{expired}")).body["state"] == "expired"
        });
        let patch = json!({ "expected_revision": 1, "reason": "time", "reservation_seconds": 600 });
        assert_eq!(server.admin("PATCH", "/v1/drops/1", &patch).status, 200);
        let cancelled = order("cancelled");
        assert_eq!(server.public("POST", &format!("/v1/orders/{cancelled}/cancel")).status, 200);
        let paid = order("paid");
        let payment = json!({ "reference": "R", "amount": 100, "currency": "EUR", "reason": "seen" });
        assert_eq!(server.admin("POST", &format!("/v1/orders/{paid}/payments"), &payment).status, 200);
        let listed = server.admin("GET", &format!("/v1/orders/{paid}/payments"), &Value::Null);
        assert_eq!(listed.status, 200, "{}", listed.text);
        let told = server.admin("GET", &format!("/v1/orders/{paid}/history"), &Value::Null);
        assert_eq!(told.status, 200, "{}", told.text);
        Orders { reserved: order("reserved"), paid, expired, cancelled }
    }
}

fn id(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.body["id"].as_str().expect("an id").into()
}

/// Makes a drop of five units, changed by `with`.
fn create(server: &Server, key: &str, with: &Value) -> Value {
    let mut drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 5,
                           "starts_at": "2020-01-01T00:00:00Z" });
    drop.as_object_mut().expect("an object").extend(with.as_object().expect("an object").clone());
    let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
    let answer = call(server.0.server.admin_address, "POST", "/v1/drops", &headers, &drop.to_string());
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.body["id"].clone()
}

fn order_on(server: &Server, drop_id: &Value, key: &str, buyer: &str, quantity: u32) -> Answer {
    let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
    let body = json!({ "buyer": buyer, "quantity": quantity }).to_string();
    call(server.0.server.public_address, "POST", &format!("/v1/drops/{drop_id}/orders"), &headers, &body)
}

#[track_caller]
fn is(answer: &Answer, code: Code) {
    assert_eq!((answer.status, answer.body["code"].as_str()), (code.kind().status.as_u16(), Some(code.kind().code)));
}

fn good_ends(server: &Server, orders: &Orders) {
    let (public, admin) = (server.0.server.public_address, server.0.server.admin_address);
    for path in [
        "/v1/drops",
        "/v1/drops/1",
        "/v1/drops/1/challenge",
        "/v1/auctions",
        "/openapi.json",
        &format!("/v1/orders/{}", orders.paid),
    ] {
        let answer = server.public("GET", path);
        assert_eq!(answer.status, 200);
        let head = call(public, "HEAD", path, "", "");
        assert_eq!((head.status, head.text.as_str()), (200, ""));
        if let Some(tag) = answer.headers.get("etag") {
            assert_eq!(head.headers.get("etag"), Some(tag), "{path}");
            let again = call(public, "GET", path, &format!("If-None-Match: W/\"x\", {tag}\r\n"), "");
            assert_eq!(again.status, 304, "{path}");
        }
    }
    the_page_of_an_order(server, &orders.reserved);
    listen(public, "/v1/drops/1/stream", || {}, &["event: snapshot"]);
    for path in ["/v1/orders", "/v1/payments", "/v1/audit", "/v1/drops/1/report", "/metrics", "/healthz", "/readyz"] {
        assert_eq!(call(admin, "GET", path, "", "").status, 200, "{path}");
    }
    let csv = call(admin, "GET", "/v1/orders?limit=1", "Accept: text/csv\r\n", "");
    assert!(csv.headers.contains_key("firstcome-next-after") && csv.headers["vary"] == "Accept");
    let id = &orders.reserved;
    let contact = json!({ "contact": { "email": "ann@example.org", "name": "Ann" } });
    let checkout = call(public, "POST", &format!("/v1/orders/{id}/checkout"), JSON, &contact.to_string());
    assert_eq!(checkout.body["state"], "awaiting_payment");
    assert_eq!(server.admin("POST", "/v1/orders/search", &json!({ "email": "ann@example.org" })).status, 200);
    assert_eq!(call(admin, "GET", &format!("/v1/orders/{id}/contact"), "", "").body, contact["contact"]);
    assert_eq!(call(admin, "DELETE", &format!("/v1/orders/{id}/contact"), "", "").status, 204);
    assert_eq!(call(admin, "GET", &format!("/v1/orders/{id}/contact"), "", "").status, 404);
    let refund = json!({ "amount": 40, "reason": "a scratch" });
    assert_eq!(server.admin("POST", &format!("/v1/orders/{}/refund", orders.paid), &refund).status, 200);
    let again = server.admin("POST", &format!("/v1/orders/{}/refund", orders.paid), &refund);
    assert_eq!((again.status, again.headers["idempotent-replayed"].as_str()), (200, "true"));
    assert_eq!(server.admin("GET", "/v1/drops/1/remedy?last=1", &Value::Null).status, 200);
    let undo = json!({ "run": "1-1", "reason": "nothing lies there" });
    assert_eq!(server.admin("POST", "/v1/drops/1/remedy", &undo).status, 200);
    let again = server.order("reserved", r#"{"buyer":"ann","quantity":1}"#);
    assert_eq!((again.status, again.headers["idempotent-replayed"].as_str()), (201, "true"));
}

/// Operators' commands that no test here has sent: the document's own example must succeed on a new drop, a new order or a
/// new auction. Commands that need another state have a line above.
fn good_ends_that_are_left(server: &Server) {
    for route in ROUTES.iter().filter(|route| route.listener == Listener::Admin && route.method != Method::GET) {
        let status = route.success[0];
        let was_seen = SEEN.lock().contains(&(route.operation.to_string(), status, String::new()));
        if was_seen || OF_NODES.contains(&route.operation) {
            continue;
        }
        let key = format!("left-{}", route.operation);
        let on = match route.parameter() {
            Some("drop_id") => create(server, &key, &json!({})).to_string(),
            Some("order_id") => id(&order_on(server, &create(server, &key, &json!({})), &key, "ann", 1)),
            Some("auction_id") => bidding::made(&bidding::auction(server, &key, &json!({}))).to_string(),
            Some("buyer") => "ann".to_string(),
            Some(_) | None => String::new(),
        };
        let path = route.parameter().map(|name| route.path.replace(&format!("{{{name}}}"), &on));
        let path = path.unwrap_or(route.path.to_string());
        let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
        let admin = server.0.server.admin_address;
        let answer = call(admin, route.method.as_str(), &path, &headers, &good_body(route));
        assert_eq!(answer.status, status, "{}: give it a line above: {}", route.operation, answer.text);
    }
}

/// Whom the outbox tells: nobody listens there, which is not asked.
fn endpoints(server: &Server) {
    let admin = server.0.server.admin_address;
    let send = |key: &str, body: Value| {
        let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
        call(admin, "POST", "/v1/webhook-endpoints", &headers, &body.to_string())
    };
    let wish = json!({ "url": "http://127.0.0.1:9/hooks", "events": ["order.paid"] });
    let made = send("one", wish.clone());
    let has_secret = made.body["secret"].as_str().is_some_and(|s| s.starts_with("whsec_"));
    assert!(made.status == 201 && has_secret, "{}", made.text);
    let again = send("one", wish.clone());
    assert_eq!((again.status, again.headers["idempotent-replayed"].as_str()), (201, "true"));
    assert!(again.body.get("secret").is_none(), "shown once");
    is(&send("one", json!({ "url": "http://127.0.0.1:9/hooks" })), Code::KeyReused);
    let one = format!("/v1/webhook-endpoints/{}", made.body["id"]);
    assert_eq!(call(admin, "GET", "/v1/webhook-endpoints", "", "").body["data"][0]["id"], made.body["id"]);
    assert_eq!(call(admin, "GET", &one, "", "").body["url"], wish["url"]);
    let patch = json!({ "state": "disabled", "events": ["*"], "reason": "x" });
    assert_eq!(call(admin, "PATCH", &one, JSON, &patch.to_string()).body["state"], "disabled");
    let reason = json!({ "reason": "x" }).to_string();
    let rotated = call(admin, "POST", &format!("{one}/rotate-secret"), JSON, &reason);
    assert!(rotated.body["secret"] != made.body["secret"] && rotated.body["old_secret_until"].is_string());
    let resend = json!({ "from_seq": 1, "all": true, "reason": "x" }).to_string();
    assert_eq!(call(admin, "POST", &format!("{one}/resend"), JSON, &resend).body["position"], 0);
    assert_eq!(call(admin, "GET", &format!("{one}/deliveries?state=waiting"), "", "").body["data"], json!([]));
    is(&call(admin, "GET", &format!("{one}/deliveries?limit=0"), "", ""), Code::Validation);
    assert_eq!(call(admin, "DELETE", &one, "", "").status, 204);
    is(&call(admin, "GET", &one, "", ""), Code::NotFound);
    is(&send("one", wish), Code::NotFound);
}

/// A payment by its provider, a refund that is due until somebody says that it was paid out, and webhooks that are none.
fn what_providers_tell(server: &Server) {
    let public = server.0.server.public_address;
    let tell = |webhook: &provider_webhooks::Webhook| {
        call(public, "POST", "/v1/payments/sandbox", &webhook.head(), &webhook.body)
    };
    let signed = |body: &str| {
        provider_webhooks::standard(&provider_webhooks::SANDBOX_KEY, "msg_1", provider_webhooks::now(), body)
    };
    let order = id(&server.order("by-a-provider", r#"{"buyer":"zoe","quantity":1}"#));
    let paid = provider_webhooks::event("payment.succeeded", &order, "pay_1", 100, "EUR").to_string();
    assert_eq!(tell(&signed(&paid)).body, json!({ "result": "applied" }));
    is(&tell(&signed(&paid).without("webhook-signature")), Code::Unauthorized);
    is(&tell(&signed(&"x".repeat(65 * 1024))), Code::BodyTooLarge);
    is(&tell(&signed("{")), Code::Malformed);
    is(&tell(&signed("{}")), Code::Validation);
    let refund = json!({ "reason": "x" });
    let (headers, admin) = (format!("{JSON}Idempotency-Key: providers\r\n"), server.0.server.admin_address);
    let refund = call(admin, "POST", &format!("/v1/orders/{order}/refund"), &headers, &refund.to_string());
    assert_eq!(refund.body["state"], "refund_due", "{}", refund.text);
    let settled = json!({ "reference": "R", "reason": "x" });
    let settled = server.admin("POST", &format!("/v1/orders/{order}/refund-settled"), &settled);
    assert_eq!((settled.status, settled.body["state"].as_str()), (200, Some("refunded")));
}

/// It shows the order, and forwards to its provider's session when there is one.
fn the_page_of_an_order(server: &Server, order: &str) {
    let path = format!("/pay/{order}");
    assert_eq!(server.public("GET", &path).status, 200);
    let order = Seq::new(server.public("GET", &format!("/v1/orders/{order}")).body["seq"].as_u64().expect("a number"));
    let command =
        Command::Payment(PaymentCommand::RecordSession { order: order.expect("in range"), provider: Provider::Stripe });
    let private_data = PrivateData::Session { reference: "cs_1".into(), url: "https://checkout.example/cs_1".into() };
    let submission = Submission { command, private_data: Some(private_data), class: Class::Operator };
    let decided = server.0.writer.submit(submission).expect("let in").wait();
    assert!(matches!(decided, WriterReply::Decided(_)), "a session is recorded");
    assert_eq!(server.public("GET", &path).status, 303);
}

fn refusals_of_drops(server: &Server) {
    let capped = create(server, "capped", &json!({ "identity_limits": { "email": 1 } }));
    let with_email = |buyer: &str| {
        let body = json!({ "buyer": buyer, "quantity": 1, "contact": { "email": "ann@shop.example" } }).to_string();
        let headers = format!("{JSON}Idempotency-Key: {buyer}\r\n");
        call(server.0.server.public_address, "POST", &format!("/v1/drops/{capped}/orders"), &headers, &body)
    };
    assert_eq!(with_email("ann").status, 201);
    is(&with_email("bob"), Code::IdentityLimitReached);
    is(&order_on(server, &capped, "e", "eve", 1), Code::Validation);
    let reason = json!({ "reason": "because" });
    let do_it = |drop_id: &Value, what: &str| server.admin("POST", &format!("/v1/drops/{drop_id}/{what}"), &reason);
    let drop_id = create(server, "small", &json!({ "per_buyer_limit": 3 }));
    is(&order_on(server, &drop_id, "k", "ann", 4), Code::LimitReached);
    assert_eq!(order_on(server, &drop_id, "k", "ann", 3).status, 201);
    is(&order_on(server, &drop_id, "k", "ann", 2), Code::KeyReused);
    is(&order_on(server, &drop_id, "l", "bob", 3), Code::SoldOut);
    assert_eq!(do_it(&drop_id, "pause").status, 200);
    is(&order_on(server, &drop_id, "l", "bob", 1), Code::DropPaused);
    assert_eq!(do_it(&drop_id, "resume").status, 200);
    let stock = json!({ "delta": 1, "expected_total": 4, "reason": "x" });
    is(&server.admin("POST", &format!("/v1/drops/{drop_id}/stock"), &stock), Code::PreconditionFailed);
    let stock = json!({ "delta": 1, "expected_total": 5, "reason": "x" });
    assert_eq!(server.admin("POST", &format!("/v1/drops/{drop_id}/stock"), &stock).body["total"], 6);
    let patch = json!({ "expected_revision": 9, "reason": "x" });
    is(&server.admin("PATCH", &format!("/v1/drops/{drop_id}"), &patch), Code::PreconditionFailed);
    assert_eq!(do_it(&drop_id, "close").status, 200);
    is(&order_on(server, &drop_id, "l", "bob", 1), Code::Ended);
    is(&do_it(&drop_id, "pause"), Code::Ended);
    is(&do_it(&drop_id, "resume"), Code::Ended);
    is(&server.admin("PATCH", &format!("/v1/drops/{drop_id}"), &patch), Code::Ended);
    is(&server.admin("POST", &format!("/v1/drops/{drop_id}/stock"), &stock), Code::Ended);
    let later = create(server, "later", &json!({ "starts_at": "2999-01-01T00:00:00Z" }));
    let early = order_on(server, &later, "k", "ann", 1);
    is(&early, Code::NotStarted);
    assert!(early.headers.contains_key("retry-after"));
    let other = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 1, "total": 5,
                        "starts_at": "2020-01-01T00:00:00Z" });
    let headers = format!("{JSON}Idempotency-Key: later\r\n");
    is(&call(server.0.server.admin_address, "POST", "/v1/drops", &headers, &other.to_string()), Code::KeyReused);
    repeats::only(server, "/v1/drops", &other);
    let auction = json!({ "sku": "S", "name": "N", "currency": "EUR", "start_price": 100, "starts_at": "2020-01-01T00:00:00Z",
                          "ends_at": "2999-01-01T00:00:00Z" });
    repeats::only(server, "/v1/auctions", &auction);
}

fn refusals_of_orders(server: &Server, orders: &Orders) {
    let contact = json!({ "contact": { "phone": "1" } }).to_string();
    let payment = json!({ "reference": "other", "amount": 100, "currency": "EUR", "reason": "x" });
    let refund = json!({ "reason": "x" });
    let settled = json!({ "reference": "R", "reason": "x" });
    let public = server.0.server.public_address;
    let wrong = [(&orders.expired, Code::OrderExpired), (&orders.cancelled, Code::IllegalTransition)];
    for (id, code) in wrong {
        is(&call(public, "POST", &format!("/v1/orders/{id}/checkout"), JSON, &contact), code);
        is(&server.admin("POST", &format!("/v1/orders/{id}/payments"), &payment), code);
        is(&server.admin("POST", &format!("/v1/orders/{id}/refund"), &refund), code);
        is(&server.admin("POST", &format!("/v1/orders/{id}/refund-settled"), &settled), code);
    }
    is(&server.public("POST", &format!("/v1/orders/{}/cancel", orders.expired)), Code::OrderExpired);
    is(&server.public("POST", &format!("/v1/orders/{}/cancel", orders.paid)), Code::IllegalTransition);
    is(&server.admin("POST", &format!("/v1/orders/{}/refund", orders.paid), &refund), Code::KeyReused);
}

fn mistakes_of_any_request(server: &Server, orders: &Orders) {
    for route in ROUTES.iter().filter(|route| !route.is_page) {
        let address = match route.listener {
            Listener::Public => server.0.server.public_address,
            Listener::Admin => server.0.server.admin_address,
        };
        let path = path_with(route, &orders.reserved);
        mistakes_of_a_body(address, route, &path);
        let method = route.method.as_str();
        let good = good_body(route);
        if route.path.contains('{') {
            let nobody = filled(route.path, ["999", UNKNOWN, "nobody", "999", "999", "%00", "Nobody", "none"]);
            let told = call(address, method, &nobody, &format!("{JSON}Idempotency-Key: nobody\r\n"), &good);
            if route.operation == "OrderPage" {
                assert_eq!((told.status, told.headers["content-type"].as_str()), (404, "text/html; charset=utf-8"));
            } else {
                is(&told, Code::NotFound);
            }
        }
        if route.listener == Listener::Admin {
            is(&call(address, method, &path, "Host: rebound.example\r\n", ""), Code::Forbidden);
        }
        if !route.ignores_query {
            let unknown = call(address, method, &format!("{path}?colour=red"), JSON, &good);
            assert_eq!((unknown.status, &unknown.body["errors"][0]["pointer"]), (400, &json!("/colour")), "{path}");
        }
        assert_eq!(call(address, method, &format!("{path}?{}", "x".repeat(3000)), "", "").status, 414);
        let wrong = call(address, "TRACE", &path, "", "");
        is(&wrong, Code::MethodNotAllowed);
        assert!(wrong.headers["allow"].split(", ").any(|allowed| allowed == method), "{path}");
    }
    let admin = server.0.server.admin_address;
    is(&server.public("GET", "/v1/drops?limit=0"), Code::Validation);
    for path in ["/v1/orders?limit=0", "/v1/payments?limit=0", "/v1/audit?drop_id=0"] {
        is(&call(admin, "GET", path, "", ""), Code::Validation);
    }
    is(&call(admin, "GET", "/v1/orders?contacts=true&drop_id=999", "Accept: text/csv\r\n", ""), Code::NotFound);
    console::mistakes(server);
    is(&call(admin, "GET", &format!("/v1/audit?order_id={UNKNOWN}"), "", ""), Code::NotFound);
    for (method, path) in [("GET", "backup"), ("GET", "node/copy"), ("POST", "node/handover"), ("POST", "node/leave")] {
        is(&call(admin, method, &format!("/v1/{path}"), "", ""), Code::NotFound);
    }
}

const UNKNOWN: &str = firstcome::api::json::scalars::ORDER_ID_EXAMPLE;

/// The document's own example of a route's body.
fn good_body(route: &Route) -> String {
    let operation = http::contract::operation(route.method.as_str(), route.path).expect("an operation");
    let example = &operation["requestBody"]["content"]["application/json"]["example"];
    if example.is_null() { String::new() } else { example.to_string() }
}

fn mistakes_of_a_body(address: SocketAddr, route: &Route, path: &str) {
    let has = |code: Code| route.problem_codes().any(|known| known == code);
    let send = |headers: &str, body: &str| call(address, route.method.as_str(), path, headers, body);
    if path.starts_with("/v1/payments/") {
        // Any media type, since the signature is over the bytes.
        is(&send("Content-Encoding: gzip\r\n", "{}"), Code::UnsupportedMediaType);
    } else if has(Code::UnsupportedMediaType) {
        is(&send("Content-Type: text/plain\r\n", "{}"), Code::UnsupportedMediaType);
        // Refused by its length alone: a client that goes on to send all of it may lose the answer.
        let length = route.long_body.unwrap_or(8192) + 1;
        is(&call_announcing(length, address, route.method.as_str(), path, JSON, "x"), Code::BodyTooLarge);
        is(&send(JSON, "{"), Code::Malformed);
        let twice = send(JSON, r#"{"sku":"a","x":[{"b":1,"b":2}]}"#);
        is(&twice, Code::Validation);
        assert_eq!(twice.body["errors"][0]["pointer"], "/x/0/b", "{path}: {}", twice.text);
        is(&send(&format!("{JSON}{JSON}"), "{}"), Code::UnsupportedMediaType);
        is(&send(JSON, r#"{"colour":"red"}"#), Code::Validation);
    }
    if has(Code::KeyMissing) {
        is(&send(JSON, &good_body(route)), Code::KeyMissing);
    }
}
