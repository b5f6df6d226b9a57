//! Payment sessions that a stop or a lost answer could leave open: those of orders that have ended are closed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::http::until;
use crate::provider_stub::{StubProvider, new_drop, order, sessions, shop, with_stripe};
use crate::provider_webhooks::settings;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// A stub of Stripe that makes a session for each idempotency key, and tells which are open. While `is_mute` is true, it
/// makes sessions and leaves the requests for them unanswered.
fn stripe_with_sessions(is_mute: Arc<AtomicBool>) -> (StubProvider, Arc<Mutex<BTreeMap<String, bool>>>) {
    let open: Arc<Mutex<BTreeMap<String, bool>>> = Arc::default();
    let known = Arc::clone(&open);
    let stub = StubProvider::new(Box::new(move |_, asked| {
        let mut known = known.lock();
        if let Some(path) = asked.line.strip_prefix("POST /v1/checkout/sessions/cs_") {
            let (key, _) = path.split_once("/expire").expect("an end");
            *known.get_mut(key).expect("a session") = false;
            return Some((200, "", "{}".into()));
        }
        let key = asked.headers["idempotency-key"].clone();
        known.entry(key.clone()).or_insert(true);
        let url = format!("https://checkout.stripe.com/c/pay/cs_{key}");
        let answer = json!({ "id": format!("cs_{key}"), "url": url }).to_string();
        (!is_mute.load(Ordering::SeqCst)).then_some((200, "", answer))
    }));
    (stub, open)
}

#[test]
fn a_session_whose_answer_was_lost_is_expired_when_its_order_ends_before_or_during_a_stop() {
    let scratch = tempfile::tempdir().expect("scratch");
    let is_mute = Arc::new(AtomicBool::new(true));
    let (stub, open) = stripe_with_sessions(Arc::clone(&is_mute));
    let server = shop(scratch.path(), with_stripe(scratch.path(), &stub.url()));
    new_drop(&server, "EUR");
    let (first, second, paid) = (order(&server, "a"), order(&server, "b"), order(&server, "c"));
    let path = |order: &Value, what: &str| format!("/v1/orders/{}/{what}", order["id"].as_str().expect("an id"));
    until("three sessions exist", || open.lock().len() == 3);
    assert_eq!(server.public("POST", &path(&first, "cancel")).status, 200);
    let payment = json!({ "reference": "R", "amount": 6000, "currency": "EUR", "reason": "seen" });
    assert_eq!(server.admin("POST", &path(&paid, "payments"), &payment).status, 200);
    assert!(open.lock().values().all(|is_open| *is_open), "no answer, nothing to expire yet");
    is_mute.store(false, Ordering::SeqCst);
    let is_open = |order: &Value| {
        let id = order["id"].as_str().expect("an id");
        open.lock().iter().any(|(key, is_open)| key.contains(id) && *is_open)
    };
    until("the cancelled order's session is expired", || !is_open(&first));
    until("so is that of the order that was paid elsewhere", || !is_open(&paid));
    until("the third one is recorded", || sessions(scratch.path()).len() == 1);
    assert!(is_open(&second));
    // Another order, whose answer is lost as well, ends while no provider is asked.
    is_mute.store(true, Ordering::SeqCst);
    let stopped = order(&server, "d");
    until("a fourth session exists", || open.lock().len() == 4);
    server.stop();
    let server = shop(scratch.path(), settings(scratch.path()));
    assert_eq!(server.public("POST", &path(&stopped, "cancel")).status, 200);
    server.stop();
    is_mute.store(false, Ordering::SeqCst);
    let server = shop(scratch.path(), with_stripe(scratch.path(), &stub.url()));
    until("the session of the order that ended in the stop is expired", || !is_open(&stopped));
    assert_eq!(open.lock().len(), 4, "the same key and the same parameters: no second session was made");
    assert!(is_open(&second));
    server.stop();
}

#[test]
fn a_start_requests_missing_sessions_and_no_others() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = shop(scratch.path(), settings(scratch.path()));
    new_drop(&server, "EUR");
    let (waits, cancelled, paid) = (order(&server, "a"), order(&server, "b"), order(&server, "c"));
    let path = |order: &Value, what: &str| format!("/v1/orders/{}/{what}", order["id"].as_str().expect("an id"));
    assert_eq!(server.public("POST", &path(&cancelled, "cancel")).status, 200);
    let payment = json!({ "reference": "R", "amount": 6000, "currency": "EUR", "reason": "seen" });
    assert_eq!(server.admin("POST", &path(&paid, "payments"), &payment).status, 200);
    server.stop();
    let (stub, open) = stripe_with_sessions(Arc::default());
    for run in 1..=2 {
        let server = shop(scratch.path(), with_stripe(scratch.path(), &stub.url()));
        // A repeated request for the older order would come first.
        if run == 2 {
            order(&server, "d");
        }
        until("the session is recorded", || sessions(scratch.path()).len() == run);
        let open_now = || open.lock().values().filter(|is_open| **is_open).count();
        until("orders that ended lately have no open session", || open.lock().len() == run + 2 && open_now() == run);
        server.stop();
    }
    assert_eq!(sessions(scratch.path())[0].0, waits["seq"].as_u64().expect("a number"));
    let asked_for = |order: &Value| {
        let id = order["id"].as_str().expect("an id");
        stub.requests()
            .iter()
            .filter(|asked| asked.headers.get("idempotency-key").is_some_and(|key| key.contains(id)))
            .count()
    };
    assert_eq!(asked_for(&waits), 1, "a session that is recorded is not requested again");
}
