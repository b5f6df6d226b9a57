//! Mails to bidders, by a real server with a real SMTP server: outbid, won and lost, each to those whom it concerns and once.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::bidding::{auction, bid, look, made};
use crate::http::{Server, call, serve_with, until};
use crate::mail_sink::{MailSink, ReceivedMail};
use crate::process::{Client, Pause, Process, wait_until};
use firstcome::config::{Config, MailTls};
use firstcome::types::text::rfc3339;
use firstcome::writer::clock::wall_clock;
use rustix::process::Signal;
use serde_json::{Value, json};

fn mails_to(port: u16) -> impl Fn(&mut Config) {
    move |config| {
        config.mail.host = "127.0.0.1".into();
        config.mail.port = port;
        config.mail.tls = MailTls::None;
        config.mail.from = "shop@shop.example".into();
        config.mail.per_second = 1000;
        config.outbox.retry_waits = vec![Duration::from_millis(500); 20];
        config.auctions.payment_seconds = 900;
    }
}

fn ends_in(seconds: u32) -> Value {
    json!({ "ends_at": rfc3339(wall_clock().plus_seconds(seconds)) })
}

fn address(buyer: &str) -> String {
    format!("{buyer}@mail.example")
}

/// Bids with a contact; `limits` are the amount and the maximum.
fn bids(server: &Server, id: &Value, buyer: &str, limits: (u64, u64)) -> Value {
    let contact = json!({ "email": address(buyer), "name": format!("Name of {buyer}") });
    let body = json!({ "buyer": buyer, "amount": limits.0, "maximum": limits.1, "contact": contact });
    let placed = bid(server, id, &format!("{buyer}-{}-{}", limits.0, limits.1), &body);
    assert_eq!(placed.status, 201, "{}", placed.text);
    placed.body
}

/// Returns the path of the built-in endpoint.
fn endpoint(server: &Server) -> String {
    let list = call(server.0.server.admin_address, "GET", "/v1/webhook-endpoints", "", "");
    let endpoints = list.body["data"].as_array().expect("a list").clone();
    let endpoint = endpoints.into_iter().find(|endpoint| endpoint["url"] == "mail:buyers").expect("the mails");
    format!("/v1/webhook-endpoints/{}", endpoint["id"])
}

/// Holds mails back, or sends those that were held back.
fn set_mails(server: &Server, state: &str) {
    let body = json!({ "state": state, "reason": "a test" });
    let answer = server.admin("PATCH", &endpoint(server), &body);
    assert_eq!((answer.status, &answer.body["state"]), (200, &json!(state)), "{}", answer.text);
}

fn deliveries(server: &Server, state: &str) -> Vec<Value> {
    let path = format!("{}/deliveries?state={state}", endpoint(server));
    call(server.0.server.admin_address, "GET", &path, "", "").body["data"].as_array().expect("a list").clone()
}

/// Returns the first words of the subjects that a buyer has read.
fn read(sink: &MailSink, buyer: &str) -> Vec<&'static str> {
    let kind = |mail: ReceivedMail| {
        let (subject, _) = mail.words();
        let kinds = [
            ("You were outbid", "outbid"),
            ("You won", "won"),
            ("The auction is over", "lost"),
            ("Expired", "expired"),
            ("Paid", "paid"),
        ];
        kinds.into_iter().find(|(begins, _)| subject.starts_with(begins)).map_or("other", |(_, kind)| kind)
    };
    sink.to(&address(buyer)).into_iter().map(kind).collect()
}

#[test]
fn bidders_read_that_they_were_outbid_and_lost_and_a_winner_without_an_address_reads_at_the_checkout() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sink = MailSink::new();
    let server = serve_with(scratch.path(), |config| {
        mails_to(sink.port)(config);
        config.storefront.enabled = true;
    });
    let id = made(&auction(&server, "one", &json!({ "ends_at": ends_in(6)["ends_at"], "soft_close_seconds": 2 })));
    bids(&server, &id, "ann", (100, 300));
    assert_eq!(bids(&server, &id, "bob", (150, 150))["leading"], false, "the answer says so, and no mail does");
    assert_eq!(bids(&server, &id, "bob", (320, 350))["leading"], true);
    until("ann is told", || read(&sink, "ann") == ["outbid"]);
    let (_, text) = sink.to(&address("ann"))[0].words();
    assert!(text.contains("now 3.20 EUR") && text.contains("at least 3.30 EUR"), "{text}");
    assert!(text.contains("Hello Name of ann"), "{text}");
    let page = format!("http://{}/auctions/{id}", server.0.server.public_address);
    assert!(text.contains(&format!("Bid again: {page}\n")), "{text}");
    bids(&server, &id, "bob", (330, 400));
    bids(&server, &id, "cyd", (410, 600));
    until("bob is told", || read(&sink, "bob") == ["outbid"]);
    // Without a contact, as over the wire protocol.
    assert_eq!(bid(&server, &id, "d", &json!({ "buyer": "dan", "amount": 610 })).body["leading"], true);
    until("cyd is told", || read(&sink, "cyd") == ["outbid"]);
    until("the auction ends", || look(&server, &id)["state"] == "ended");
    for buyer in ["ann", "bob", "cyd"] {
        until("every loser is told", || read(&sink, buyer) == ["outbid", "lost"]);
        let (_, text) = sink.to(&address(buyer))[1].words();
        assert!(text.contains("ended at 6.10 EUR") && text.contains("another bid won"), "{text}");
    }
    let order = server.public("GET", &format!("/v1/auctions/{id}/order?buyer=dan")).body;
    let checkout = format!("/v1/orders/{}/checkout", order["id"].as_str().expect("an id"));
    let check_out = |email: &str| {
        let body = json!({ "contact": { "email": email } }).to_string();
        let json = "Content-Type: application/json\r\n";
        assert_eq!(call(server.0.server.public_address, "POST", &checkout, json, &body).status, 200);
    };
    check_out(&address("dan"));
    until("the winner is told", || read(&sink, "dan") == ["won"]);
    check_out("dan.2@mail.example");
    let skipped = server.metric("firstcome_mails_total{result=\"skipped\"}");
    until("the correction is no second mail", || {
        server.metric("firstcome_mails_total{result=\"skipped\"}") > skipped
            || deliveries(&server, "waiting").is_empty()
    });
    server.stop();
    // Nothing is sent again by a restart.
    let server = serve_with(scratch.path(), mails_to(sink.port));
    until("the mails are scanned", || server.metric("firstcome_outbox_waiting") == 0.0);
    server.stop();
    assert_eq!(sink.received().len(), 7);
    let ids: BTreeSet<String> = sink.received().iter().map(ReceivedMail::id).collect();
    assert_eq!(ids.len(), 7, "one per event and recipient");
}

#[test]
fn the_winner_is_told_at_the_award_with_the_link_and_the_next_bidder_when_the_unit_is_offered() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sink = MailSink::new();
    let server = serve_with(scratch.path(), |config| {
        mails_to(sink.port)(config);
        config.auctions.payment_seconds = 6;
        config.auctions.offer_next = true;
    });
    let id = made(&auction(&server, "one", &ends_in(4)));
    bids(&server, &id, "bob", (100, 300));
    bids(&server, &id, "ann", (310, 500));
    until("the other is told", || read(&sink, "bob").first() == Some(&"outbid"));
    let (_, text) = sink.to(&address("bob"))[0].words();
    assert!(!text.contains("/auctions/") && !text.contains("Bid again"), "there is no storefront: {text}");
    until("the winner is told", || read(&sink, "ann").first() == Some(&"won"));
    let order = server.public("GET", &format!("/v1/auctions/{id}/order?buyer=ann")).body;
    let order = order["id"].as_str().expect("an id").to_owned();
    let (_, text) = sink.to(&address("ann"))[0].words();
    assert!(text.contains(&format!("/pay/{order}")) && text.contains("3.10 EUR"), "{text}");
    until("the loser is told", || read(&sink, "bob") == ["outbid", "lost"]);
    // Another contact at the checkout is no second mail.
    let body = json!({ "contact": { "email": address("ann") } }).to_string();
    let json = "Content-Type: application/json\r\n";
    let checkout = format!("/v1/orders/{order}/checkout");
    assert_eq!(call(server.0.server.public_address, "POST", &checkout, json, &body).status, 200);
    until("the order expires, and the unit is offered", || read(&sink, "bob") == ["outbid", "lost", "won"]);
    until("the expiry is told", || read(&sink, "ann") == ["won", "expired"]);
    server.stop();
}

#[test]
fn a_cancelled_auction_and_one_below_its_reserve_have_words_of_their_own() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sink = MailSink::new();
    let server = serve_with(scratch.path(), mails_to(sink.port));
    let cancelled = made(&auction(&server, "one", &json!({})));
    bids(&server, &cancelled, "ann", (100, 100));
    let path = format!("/v1/auctions/{cancelled}/cancel");
    assert_eq!(server.admin("POST", &path, &json!({ "reason": "broken" })).status, 200);
    until("the leader is told", || read(&sink, "ann") == ["lost"]);
    let (_, text) = sink.to(&address("ann"))[0].words();
    assert!(text.contains("was cancelled, and nothing is sold") && !text.contains("broken"), "{text}");
    let low = json!({ "ends_at": ends_in(2)["ends_at"], "reserve_price": 90_000 });
    let low = made(&auction(&server, "two", &low));
    bids(&server, &low, "bob", (100, 100));
    until("the leader is told", || read(&sink, "bob") == ["lost"]);
    let (_, text) = sink.to(&address("bob"))[0].words();
    assert!(text.contains("below the reserve price, and nothing is sold"), "{text}");
    server.stop();
}

#[test]
fn of_many_losers_one_that_is_greylisted_holds_up_no_other_and_one_that_is_refused_is_no_dead_letter() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sink = MailSink::new();
    let server = serve_with(scratch.path(), mails_to(sink.port));
    let id = made(&auction(&server, "one", &json!({})));
    let losers = ["b0", "grey", "b2", "nobody", "b4", "b5"];
    // Mails about being outbid have nothing to say any more when they are sent.
    set_mails(&server, "disabled");
    for (number, buyer) in losers.iter().enumerate() {
        let amount = 100 + 10 * u64::try_from(number).expect("small");
        bids(&server, &id, buyer, (amount, amount));
    }
    let path = format!("/v1/auctions/{id}/cancel");
    assert_eq!(server.admin("POST", &path, &json!({ "reason": "x" })).status, 200);
    set_mails(&server, "enabled");
    until("all others are told", || ["b0", "b2", "b4", "b5"].iter().all(|buyer| read(&sink, buyer) == ["lost"]));
    until("the greylisted one is told", || read(&sink, "grey") == ["lost"]);
    until("the delivery has ended", || deliveries(&server, "waiting").is_empty());
    assert_eq!((sink.events("greylisted").len(), sink.events("refused").len()), (1, 1));
    assert_eq!(sink.received().len(), 5, "nobody has two");
    assert!(deliveries(&server, "dead").is_empty());
    let count = |result: &str| server.metric(&format!("firstcome_mails_total{{result=\"{result}\"}}"));
    assert_eq!((count("sent"), count("deferred"), count("rejected")), (5.0, 1.0, 1.0));
    server.stop();
}

#[test]
fn of_many_changes_of_the_lead_a_late_mail_tells_the_last_alone_and_an_erased_bidder_nothing() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sink = MailSink::new();
    let server = serve_with(scratch.path(), mails_to(sink.port));
    set_mails(&server, "disabled");
    let id = made(&auction(&server, "one", &json!({})));
    for round in 0..10 {
        bids(&server, &id, "ann", (100 + 20 * round, 100 + 20 * round));
        bids(&server, &id, "bob", (110 + 20 * round, 110 + 20 * round));
    }
    bids(&server, &id, "eve", (500, 500));
    let erase = format!("/v1/auctions/{id}/bidder-contact?buyer=bob");
    assert_eq!(call(server.0.server.admin_address, "DELETE", &erase, "", "").status, 204);
    set_mails(&server, "enabled");
    until("ann is told", || read(&sink, "ann") == ["outbid"]);
    until("nothing waits", || deliveries(&server, "waiting").is_empty());
    until("all are scanned", || server.metric("firstcome_mails_total{result=\"skipped\"}") >= 18.0);
    assert_eq!(sink.received().len(), 1, "neither the erased one, nor what ann has answered");
    // A name breaks out of no header.
    let contact = json!({ "email": address("cyd"), "name": "Cyd\u{2028}Bcc: all@mail.example {{ 7 }}" });
    let body = json!({ "buyer": "cyd", "amount": 600, "contact": contact });
    assert_eq!(bid(&server, &id, "c", &body).status, 201);
    until("eve is told", || read(&sink, "eve") == ["outbid"]);
    bids(&server, &id, "ann", (700, 700));
    until("cyd is told", || read(&sink, "cyd") == ["outbid"]);
    let mail = sink.to(&address("cyd")).remove(0);
    assert_eq!((mail.header("Bcc"), mail.header("To").as_deref()), (None, Some("cyd@mail.example")));
    server.stop();
}

#[test]
fn kills_between_the_mails_of_one_event_skip_no_one_and_copies_have_one_message_id() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, pause) = (scratch.path().join("data"), Pause::new(scratch.path()));
    let sink = MailSink::new();
    let environment = [
        ("FIRSTCOME__MAIL__HOST", "127.0.0.1".to_string()),
        ("FIRSTCOME__MAIL__PORT", sink.port.to_string()),
        ("FIRSTCOME__MAIL__TLS", "none".to_string()),
        ("FIRSTCOME__MAIL__FROM", "shop@shop.example".to_string()),
        ("FIRSTCOME__OUTBOX__RETRY_SECONDS", ["0"; 30].join(",")),
    ];
    sink.mode("busy");
    let mut server = Process::start(&data, &environment);
    let mut admin = Client::connect(server.admin).expect("connected");
    let spec = json!({ "sku": "A", "name": "N", "currency": "EUR", "start_price": 100, "increments": [[0, 10]],
                       "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2999-01-01T00:00:00Z" });
    assert_eq!(admin.post("/v1/auctions", "one", &spec).expect("answered").status, 201);
    let mut client = Client::connect(server.public).expect("connected");
    for number in 0..6 {
        let buyer = format!("b{number}");
        let body = json!({ "buyer": buyer, "amount": 100 + 10 * number, "contact": { "email": address(&buyer) } });
        assert_eq!(client.post("/v1/auctions/1/bids", &buyer, &body).expect("answered").status, 201);
    }
    assert_eq!(admin.post("/v1/auctions/1/cancel", "c", &json!({ "reason": "x" })).expect("answered").status, 200);
    server.kill();
    sink.mode("ok");
    let moments: &[u64] = if cfg!(feature = "failpoints") { &[7, 8, 10] } else { &[] };
    for times in moments {
        let mut wanted = environment.to_vec();
        wanted.extend(pause.at("AfterDelivery", *times));
        let mut server = Process::start(&data, &wanted);
        pause.wait();
        server.kill();
    }
    let mut server = Process::start(&data, &environment);
    let everyone: BTreeSet<String> = (0..6).map(|number| address(&format!("b{number}"))).collect();
    let told = || sink.received().into_iter().map(|mail| mail.to).collect::<BTreeSet<String>>();
    wait_until("every loser is told", || told() == everyone);
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    let ids: BTreeSet<(String, String)> = sink.received().iter().map(|mail| (mail.to.clone(), mail.id())).collect();
    assert_eq!(ids.len(), 6, "one per recipient: {ids:?}");
    assert_eq!(ids.iter().map(|(_, id)| id).collect::<BTreeSet<_>>().len(), 6);
    assert!(moments.is_empty() || sink.received().len() > 6, "the kills missed the mails");
}
