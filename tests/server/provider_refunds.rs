//! Refunds that are due are made at Stripe, each once, whatever fails: with a stand-in that keeps books as Stripe does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::http::{Server, call, serve_node, until};
use crate::provider_stub::shop;
use crate::provider_webhooks::{STANDARD_KEY, Webhook, event, now, secret_file, settings, standard};
use crate::refund_stand_in::{Act, PAID, StandIn, event_of, payment_of};
use crate::viewed_node::{follow, lead};
use firstcome::config::PaymentSettings;
use firstcome::store::verify;
use firstcome::writer::NodeView;
use firstcome::writer::clock::boot_clock;
use serde_json::{Value, json};

fn automatic(directory: &Path, stand_in: &StandIn) -> PaymentSettings {
    PaymentSettings {
        automatic_refunds: true,
        stripe_api_key_file: Some(secret_file(directory, "stripe-key", "sk_test_stub")),
        stripe_url: stand_in.stub.url(),
        session_timeout: Duration::from_millis(500),
        ..settings(directory)
    }
}

fn start(directory: &Path, stand_in: &StandIn) -> Server {
    let server = shop(directory, automatic(directory, stand_in));
    create_drop(&server);
    server
}

fn create_drop(server: &Server) {
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": PAID, "total": 1000,
                       "starts_at": "2020-01-01T00:00:00Z", "per_buyer_limit": 1000 });
    assert_eq!(server.admin("POST", "/v1/drops", &drop).status, 201);
}

fn order(server: &Server, key: &str) -> String {
    let answer = server.order(key, r#"{"buyer":"ann","quantity":1}"#);
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.body["id"].as_str().expect("an id").into()
}

fn send(server: &Server, provider: &str, webhook: &Webhook) -> Value {
    let path = format!("/v1/payments/{provider}");
    let answer = call(server.0.server.public_address, "POST", &path, &webhook.head(), &webhook.body);
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

fn pay(server: &Server, order: &str, payment: &str) {
    assert_eq!(send(server, "stripe", &payment_of(order, payment, PAID))["result"], "applied");
}

/// An order that was cancelled before its payment came: all of it is due.
fn unkept(server: &Server, payment: &str) -> String {
    let order = order(server, payment);
    assert_eq!(server.public("POST", &format!("/v1/orders/{order}/cancel")).status, 200);
    pay(server, &order, payment);
    order
}

fn refund(server: &Server, order: &str, key: &str, amount: u64) {
    let body = json!({ "amount": amount, "reason": "came back" }).to_string();
    let headers = format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\n");
    let path = format!("/v1/orders/{order}/refund");
    assert_eq!(call(server.0.server.admin_address, "POST", &path, &headers, &body).status, 200);
}

fn payment(server: &Server, order: &str) -> Value {
    server.admin("GET", &format!("/v1/orders/{order}/payments"), &Value::Null).body["data"][0].clone()
}

fn is_refunded(server: &Server, order: &str, amount: u64) -> bool {
    let payment = payment(server, order);
    payment["refund_due_amount"] == 0 && payment["refunded_amount"] == amount
}

fn count(server: &Server, result: &str) -> u64 {
    let series = format!("firstcome_provider_refunds_total{{provider=\"stripe\",result=\"{result}\"}}");
    // A counter below 2^53.
    server.metric(&series).to_string().parse().expect("a whole number")
}

fn given_up(server: &Server) -> bool {
    server.metric("firstcome_provider_refunds_given_up{provider=\"stripe\"}") > 0.0
}

fn stop_and_verify(server: Server, directory: &Path) {
    server.stop();
    assert_eq!(verify::verify(&directory.join("data")).expect("verified").problems, Vec::<String>::new());
}

#[test]
fn what_is_due_is_refunded_at_stripe_as_documented_and_its_webhook_is_a_duplicate() {
    let scratch = tempfile::tempdir().expect("scratch");
    let stand_in = StandIn::start();
    let server = start(scratch.path(), &stand_in);
    let late = unkept(&server, "pi_late");
    until("the payment that is not kept is refunded", || is_refunded(&server, &late, PAID));
    let kept = order(&server, "kept");
    pay(&server, &kept, "pi_kept");
    refund(&server, &kept, "a", 1000);
    until("a part is refunded", || is_refunded(&server, &kept, 1000));
    refund(&server, &kept, "b", 1000);
    until("another part is refunded", || is_refunded(&server, &kept, 2000));
    let requests = stand_in.requests();
    assert_eq!(requests.len(), 3);
    let keys: BTreeSet<&String> = requests.iter().map(|asked| &asked.headers["idempotency-key"]).collect();
    assert_eq!(keys.len(), 3, "two refunds of one payment and amount are two");
    let form: BTreeMap<String, String> = serde_html_form::from_str(&requests[0].body).expect("a form");
    let expected = [
        ("payment_intent", "pi_late"),
        ("amount", "6000"),
        ("reason", "requested_by_customer"),
        ("metadata[firstcome_order]", &late),
        ("metadata[firstcome_refund]", &requests[0].headers["idempotency-key"]),
    ];
    assert_eq!(form, expected.map(|(name, value)| (name.to_string(), value.to_string())).into());
    let lists: Vec<_> = stand_in.stub.requests().into_iter().filter(|asked| asked.line.starts_with("GET ")).collect();
    assert_eq!(lists[0].line, "GET /v1/refunds?payment_intent=pi_late&limit=100 HTTP/1.1");
    assert!(stand_in.stub.requests().iter().all(|asked| asked.headers["authorization"] == "Bearer sk_test_stub"));
    let history = server.admin("GET", &format!("/v1/orders/{late}/history"), &Value::Null).text;
    assert!(history.contains("by re_1") && history.contains("automatic refund"), "{history}");
    for refund in stand_in.refunds() {
        assert_eq!(send(&server, "stripe", &event_of(&refund, "refund.created"))["result"], "duplicate");
    }
    until("all are counted", || count(&server, "made") == 3 && server.metric("firstcome_refunds_due") < 0.5);
    assert!(is_refunded(&server, &late, PAID) && is_refunded(&server, &kept, 2000));
    assert_eq!((count(&server, "found"), count(&server, "failed"), count(&server, "given_up")), (0, 0, 0));
    stop_and_verify(server, scratch.path());
}

#[test]
fn a_refund_whose_answers_are_lost_late_or_errors_is_made_once() {
    let error = |status, more, class| Act::Refuse(status, more, class, "");
    for (acts, lists_behind, requests) in [
        (vec![Act::Hang], 0, 2),
        (vec![error(500, "", "api_error")], 0, 2),
        (vec![error(429, "Retry-After: 1\r\n", "rate_limit_error")], 0, 2),
        (vec![error(401, "", "invalid_request_error"), error(403, "", "invalid_request_error")], 0, 3),
        (vec![error(409, "", "idempotency_error")], 0, 2),
        (vec![Act::Lose], 0, 1),
        // The list does not show it yet: the repeat has the same key.
        (vec![Act::Lose], 1, 2),
    ] {
        let scratch = tempfile::tempdir().expect("scratch");
        let stand_in = StandIn::start();
        stand_in.acts(&acts);
        stand_in.books.lock().lists_behind = lists_behind;
        let server = start(scratch.path(), &stand_in);
        let kept = order(&server, "kept");
        pay(&server, &kept, "pi_kept");
        let began = Instant::now();
        refund(&server, &kept, "a", 1000);
        until("it is refunded", || is_refunded(&server, &kept, 1000));
        assert_eq!(stand_in.refunds().len(), 1, "{acts:?}");
        let asked = stand_in.requests();
        assert_eq!(asked.len(), requests, "{acts:?}");
        assert!(asked.iter().all(|one| one.headers["idempotency-key"] == asked[0].headers["idempotency-key"]));
        assert!(asked.iter().all(|one| one.body == asked[0].body), "a repeat is the same request");
        assert!(began.elapsed() > Duration::from_millis(900), "{acts:?}: a pause comes before a repeat");
        assert!(count(&server, "failed") >= 1 && count(&server, "given_up") == 0, "{acts:?}");
        stop_and_verify(server, scratch.path());
    }
}

#[test]
fn a_refund_on_which_stripe_works_is_not_requested_again_and_its_webhook_ends_it() {
    let scratch = tempfile::tempdir().expect("scratch");
    let stand_in = StandIn::start();
    stand_in.acts(&[Act::Make("pending"), Act::Make("requires_action")]);
    let server = start(scratch.path(), &stand_in);
    let (first, second) = (unkept(&server, "pi_1"), unkept(&server, "pi_2"));
    until("Stripe has both", || count(&server, "pending") == 2);
    assert_eq!(payment(&server, &first)["automatic_refund"], "pending");
    server.stop();
    let server = shop(scratch.path(), automatic(scratch.path(), &stand_in));
    until("a start finds them under way", || count(&server, "pending") == 2);
    assert_eq!(payment(&server, &first)["refund_due_amount"], PAID);
    let of =
        |payment: &str| stand_in.refunds().into_iter().find(|known| known.payment == payment).expect("a refund").id;
    let succeeded = stand_in.set_status(&of("pi_1"), "succeeded");
    assert_eq!(send(&server, "stripe", &event_of(&succeeded, "refund.updated"))["result"], "applied");
    assert!(is_refunded(&server, &first, PAID));
    // The other one fails later: its money stays due, and nothing is requested in its place.
    let failed = stand_in.set_status(&of("pi_2"), "failed");
    send(&server, "stripe", &event_of(&failed, "refund.failed"));
    server.stop();
    let server = shop(scratch.path(), automatic(scratch.path(), &stand_in));
    until("it is left to the operator", || given_up(&server));
    assert_eq!(payment(&server, &second)["refund_due_amount"], PAID);
    assert_eq!(stand_in.requests().len(), 2);
    stop_and_verify(server, scratch.path());
}

#[test]
fn a_refund_that_fails_after_it_had_succeeded_is_due_again_and_left_to_the_operator() {
    let scratch = tempfile::tempdir().expect("scratch");
    let stand_in = StandIn::start();
    let server = start(scratch.path(), &stand_in);
    let late = unkept(&server, "pi_1");
    until("it is refunded", || is_refunded(&server, &late, PAID));
    assert_eq!(send(&server, "stripe", &event_of(&stand_in.refunds()[0], "refund.created"))["result"], "duplicate");
    let failed = stand_in.set_status("re_1", "failed");
    assert_eq!(send(&server, "stripe", &event_of(&failed, "refund.failed"))["result"], "applied");
    until("it is left to the operator", || given_up(&server));
    assert_eq!(payment(&server, &late)["refund_due_amount"], PAID);
    assert_eq!(stand_in.requests().len(), 1);
    let settled = json!({ "reference": "transfer 1", "reason": "paid by transfer" });
    assert_eq!(server.admin("POST", &format!("/v1/orders/{late}/refund-settled"), &settled).status, 200);
    until("nothing is left", || !given_up(&server));
    stop_and_verify(server, scratch.path());
}

#[test]
fn what_the_shop_refunded_in_stripes_dashboard_is_settled_and_not_refunded_again() {
    let scratch = tempfile::tempdir().expect("scratch");
    let stand_in = StandIn::start();
    let all = stand_in.refund_by_hand("pi_all", PAID);
    let part = stand_in.refund_by_hand("pi_part", 1000);
    let server = start(scratch.path(), &stand_in);
    let (whole, partly) = (unkept(&server, "pi_all"), unkept(&server, "pi_part"));
    until("both are refunded", || is_refunded(&server, &whole, PAID) && is_refunded(&server, &partly, PAID));
    let amounts: Vec<(String, u64)> =
        stand_in.refunds().into_iter().map(|refund| (refund.payment, refund.amount)).collect();
    let expected = [("pi_all", PAID), ("pi_part", 1000), ("pi_part", PAID - 1000)];
    assert_eq!(amounts, expected.map(|(payment, amount)| (payment.to_string(), amount)));
    for refund in [all, part] {
        assert_eq!(send(&server, "stripe", &event_of(&refund, "refund.created"))["result"], "duplicate");
    }
    until("they are counted", || (count(&server, "found"), count(&server, "made")) == (2, 1));
    stop_and_verify(server, scratch.path());
}

#[test]
fn a_refund_that_stripe_does_not_make_is_given_up_at_once_and_told() {
    let scratch = tempfile::tempdir().expect("scratch");
    let stand_in = StandIn::start();
    let refused = |code| Act::Refuse(400, "", "invalid_request_error", code);
    stand_in.acts(&[refused("charge_already_refunded"), refused("charge_disputed"), Act::Make("failed")]);
    let server = start(scratch.path(), &stand_in);
    let orders = ["pi_1", "pi_2", "pi_3"].map(|payment| unkept(&server, payment));
    until("all are given up", || count(&server, "given_up") == 3);
    assert!(server.metric("firstcome_provider_refunds_given_up{provider=\"stripe\"}") > 2.5);
    // Another payment is refunded, and nothing is requested again meanwhile.
    let late = unkept(&server, "pi_4");
    until("it is refunded", || is_refunded(&server, &late, PAID));
    assert_eq!(stand_in.requests().len(), 4);
    let left = orders.map(|order| payment(&server, &order));
    assert!(left.iter().all(|left| left["refund_due_amount"] == PAID && left["automatic_refund"] == "given_up"));
    let mut reasons = left.map(|left| left["automatic_refund_reason"].as_str().expect("a reason").to_string());
    reasons.sort();
    assert_eq!(reasons[..2], ["400 charge_already_refunded", "400 charge_disputed"].map(String::from));
    assert!(reasons[2].ends_with(" failed at the provider"), "{reasons:?}");
    assert_eq!(payment(&server, &late).get("automatic_refund"), None);
    stop_and_verify(server, scratch.path());
}

#[test]
fn what_an_operator_settles_while_stripe_fails_is_not_requested_again_and_a_part_leaves_the_rest() {
    let scratch = tempfile::tempdir().expect("scratch");
    let stand_in = StandIn::start();
    // No request succeeds before the settlement, however long it takes.
    let fails = vec![Act::Refuse(500, "Retry-After: 1\r\n", "api_error", ""); 100];
    stand_in.acts(&fails);
    let server = start(scratch.path(), &stand_in);
    let late = unkept(&server, "pi_1");
    until("the first request failed", || payment(&server, &late)["automatic_refund"] == "retried");
    let settle = |amount: u64| {
        let body = json!({ "reference": format!("transfer {amount}"), "amount": amount, "reason": "paid by transfer" });
        assert_eq!(server.admin("POST", &format!("/v1/orders/{late}/refund-settled"), &body).status, 200);
    };
    settle(1000);
    stand_in.acts(&[]);
    until("the rest is refunded", || is_refunded(&server, &late, PAID));
    let amounts: Vec<u64> = stand_in.refunds().iter().map(|refund| refund.amount).collect();
    assert_eq!(amounts, [PAID - 1000], "never more than is due");
    stand_in.acts(&fails);
    let other = unkept(&server, "pi_2");
    until("the request failed", || payment(&server, &other)["automatic_refund"] == "retried");
    let all = json!({ "reference": "transfer 2", "reason": "paid by transfer" });
    assert_eq!(server.admin("POST", &format!("/v1/orders/{other}/refund-settled"), &all).status, 200);
    stand_in.acts(&[]);
    // A later refund shows that the thread has gone on without it.
    let third = unkept(&server, "pi_3");
    until("the next one is refunded", || is_refunded(&server, &third, PAID));
    assert!(stand_in.refunds().iter().all(|refund| refund.payment != "pi_2"), "it was paid by hand");
    stop_and_verify(server, scratch.path());
}

#[test]
fn three_hundred_refunds_of_a_closed_drop_are_made_by_the_server_and_not_by_hand() {
    let scratch = tempfile::tempdir().expect("scratch");
    let stand_in = StandIn::start();
    let server = start(scratch.path(), &stand_in);
    // Every tenth request fails, and every tenth answer is lost.
    let act = |number: usize| match number % 10 {
        3 => Act::Refuse(500, "", "api_error", ""),
        6 => Act::Lose,
        _ => Act::Make("succeeded"),
    };
    stand_in.acts(&(0..330).map(act).collect::<Vec<_>>());
    let orders: Vec<String> = (0..300).map(|number| unkept(&server, &format!("pi_{number}"))).collect();
    until("nothing is due", || server.metric("firstcome_refunds_due") < 0.5 && stand_in.refunds().len() >= 300);
    let payments: BTreeSet<String> = stand_in.refunds().into_iter().map(|refund| refund.payment).collect();
    assert_eq!((stand_in.refunds().len(), payments.len()), (300, 300), "one refund of each payment");
    assert!(orders.iter().all(|order| is_refunded(&server, order, PAID)));
    stop_and_verify(server, scratch.path());
}

#[test]
fn in_a_cluster_refunds_are_the_leader_s_and_who_leads_next_makes_none_again() {
    let scratch = tempfile::tempdir().expect("scratch");
    let stand_in = StandIn::start();
    stand_in.acts(&[Act::Lose]);
    let view = Arc::new(NodeView::new("a".into()));
    let server = serve_node(scratch.path(), &view, |config| config.payments = automatic(scratch.path(), &stand_in));
    // The writer decides, the lease has ended: the refund is left to who leads.
    view.set_leads_until(Some(boot_clock()));
    create_drop(&server);
    let late = unkept(&server, "pi_1");
    let looks = Instant::now() + Duration::from_millis(500);
    until("several looks at what is due", || Instant::now() > looks);
    assert_eq!(stand_in.stub.requests().len(), 0);
    lead(&view);
    until("it is requested, and the answer is lost", || stand_in.refunds().len() == 1);
    follow(&view);
    lead(&view);
    until("it is found and settled", || is_refunded(&server, &late, PAID));
    assert_eq!((stand_in.refunds().len(), stand_in.requests().len()), (1, 1));
    server.stop();
}

#[test]
fn money_of_other_providers_and_without_the_setting_stays_with_the_operator() {
    let scratch = tempfile::tempdir().expect("scratch");
    let stand_in = StandIn::start();
    let server = start(scratch.path(), &stand_in);
    let other = order(&server, "other");
    assert_eq!(server.public("POST", &format!("/v1/orders/{other}/cancel")).status, 200);
    let body = event("payment.succeeded", &other, "pi_1", PAID, "EUR");
    send(&server, "standard-webhooks", &standard(&STANDARD_KEY, "m1", now(), &body.to_string()));
    let late = unkept(&server, "pi_2");
    until("Stripe's is refunded", || is_refunded(&server, &late, PAID));
    assert_eq!(payment(&server, &other)["refund_due_amount"], PAID);
    server.stop();
    let manual = PaymentSettings { automatic_refunds: false, ..automatic(scratch.path(), &stand_in) };
    let server = shop(scratch.path(), manual);
    let later = unkept(&server, "pi_3");
    let page = call(server.0.server.admin_address, "GET", "/metrics", "", "").text;
    assert!(!page.contains("firstcome_provider_refunds_total{"), "nothing makes refunds");
    assert_eq!(payment(&server, &later)["refund_due_amount"], PAID);
    server.stop();
    let server = shop(scratch.path(), automatic(scratch.path(), &stand_in));
    until("a start makes what is due", || is_refunded(&server, &later, PAID));
    assert_eq!(stand_in.refunds().len(), 2);
    stop_and_verify(server, scratch.path());
}
