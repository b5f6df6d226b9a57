//! What a node of a cluster does by itself: webhooks to the shop and payment sessions are the leader's, and its metrics say
//! which one that is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::http::{call, serve, serve_node, until};
use crate::provider_stub::{StubProvider, made, new_drop, sessions, with_stripe};
use crate::viewed_node::{Node, follow, lead};
use crate::webhook_sink::{Sink, SinkReply};
use firstcome::writer::NodeView;
use firstcome::writer::clock::{boot_clock, wall_clock};
use serde_json::{Value, json};

#[test]
fn webhooks_to_the_shop_are_the_leader_s_and_begin_with_its_leadership() {
    let sink = Sink::new(|_| SinkReply::Status(204));
    let scratch = tempfile::tempdir().expect("scratch");
    let view = Arc::new(NodeView::new("a".into()));
    lead(&view);
    let server = serve_node(scratch.path(), &view, |config| {
        config.outbox.allow_private_networks = vec!["127.0.0.0/8".parse().expect("a network")];
    });
    let endpoint = json!({ "url": sink.url(), "events": ["*"] });
    assert_eq!(server.admin("POST", "/v1/webhook-endpoints", &endpoint).status, 201);
    assert_eq!(server.create(9).status, 201);
    until("the drop is told", || sink.received().len() == 1);
    let marks = || {
        let audit = server.admin("GET", "/v1/audit", &Value::Null);
        audit.text.lines().filter(|line| line.contains("deliveries_marked")).count()
    };
    until("what was delivered is stored", || marks() > 0);

    // The order is decided with a lease that has ended a moment ago, as the writer may: the outbox stays still.
    view.set_leads_until(Some(boot_clock()));
    until("the outbox noticed", || server.metric("firstcome_node_leads") == 0.0);
    let relay_stands_by = Instant::now() + Duration::from_millis(600);
    until("several looks of the outbox", || Instant::now() > relay_stands_by);
    assert_eq!(server.order("k", r#"{"buyer":"ann","quantity":1}"#).status, 201);
    let looks = Instant::now() + Duration::from_millis(600);
    until("several looks of the outbox", || Instant::now() > looks);
    assert_eq!(sink.received().len(), 1, "a node that does not surely lead sends nothing");
    lead(&view);
    until("the order is told", || sink.received().len() == 2);
    assert_eq!(sink.received()[1].kind(), "order.reserved");
    server.stop();
}

#[test]
fn payment_sessions_are_the_leader_s_and_are_requested_by_who_leads_next() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let stub = StubProvider::new(Box::new(move |number, _| {
        count.fetch_add(1, Ordering::SeqCst);
        made(number)
    }));
    let scratch = tempfile::tempdir().expect("scratch");
    let view = Arc::new(NodeView::new("a".into()));
    let server = serve_node(scratch.path(), &view, |config| {
        config.payments = with_stripe(scratch.path(), &stub.url());
        config.public_url = "https://drops.example".into();
    });
    // The writer decides, the lease has ended: the session is left to who leads.
    view.set_leads_until(Some(boot_clock()));
    new_drop(&server, "EUR");
    crate::provider_stub::order(&server, "k");
    let looks = Instant::now() + Duration::from_millis(500);
    until("several looks of the sessions", || Instant::now() > looks);
    assert_eq!((asked.load(Ordering::SeqCst), sessions(scratch.path()).len()), (0, 0));
    lead(&view);
    until("the session is recorded", || sessions(scratch.path()).len() == 1);
    follow(&view);
    let looks = Instant::now() + Duration::from_millis(500);
    until("several looks of the sessions", || Instant::now() > looks);
    lead(&view);
    crate::provider_stub::order(&server, "l");
    until("the next session is recorded", || sessions(scratch.path()).len() == 2);
    assert_eq!(asked.load(Ordering::SeqCst), 2, "what is recorded is not requested again");
    server.stop();
}

#[test]
fn the_place_of_a_node_is_shown_and_a_single_machine_has_none() {
    let scratch = tempfile::tempdir().expect("scratch");
    let alone = serve(scratch.path());
    let page = call(alone.0.server.admin_address, "GET", "/metrics", "", "").text;
    assert!(!page.lines().any(|line| line.starts_with("firstcome_node_")), "{page}");
    alone.stop();
    let node = Node::leading(|_, _| {});
    let shown = || {
        let metric = |name: &str| node.server.metric(&format!("firstcome_node_{name}"));
        (metric("leads"), metric("applied_entry"), metric("stale_seconds"))
    };
    node.view.set_applied(41, wall_clock());
    assert_eq!(shown(), (1.0, 41.0, 0.0));
    follow(&node.view);
    node.view.set_applied(42, wall_clock().plus_millis(-2_500));
    let (leads, applied, stale) = shown();
    assert_eq!((leads, applied), (0.0, 42.0));
    assert!((2.5..60.0).contains(&stale), "{stale}");
    node.server.stop();
}

#[test]
fn counters_that_are_wrong_are_told_by_every_node_and_pause_the_drop_when_the_node_leads() {
    let node = Node::leading(|_, _| {});
    // The writer would decide, the lease has ended.
    node.view.set_leads_until(Some(boot_clock()));
    let meddle = |sql: &str| {
        let connection = rusqlite::Connection::open(node.directory().join("firstcome.db")).expect("opened");
        connection.busy_timeout(Duration::from_secs(5)).expect("patient");
        connection.execute(sql, []).expect("changed");
    };
    meddle("UPDATE drops SET held = held + 4");
    let before = node.seq();
    until("the gauge rises", || node.server.metric("firstcome_undersold_units ") >= 4.0);
    let comparisons = Instant::now() + Duration::from_millis(500);
    until("several comparisons", || Instant::now() > comparisons);
    assert_eq!(node.seq(), before, "a node that does not surely lead decides nothing by itself");
    lead(&node.view);
    until("the drop is paused", || node.get("/v1/drops/1", "").body["state"] == "paused");
    meddle("UPDATE drops SET held = held - 4");
    until("the gauge falls", || node.server.metric("firstcome_undersold_units ") == 0.0);
    node.server.stop();
}
