//! Clients that are too many, that ask too much at once, or that leave.

use std::net::TcpStream;

use super::http::until;
use super::process::Process;
use super::raw::{LOOK, Raw, Site, order};

/// Whether a connection is served; if not, it was closed at once.
fn served(raw: &mut Raw) -> bool {
    // Who is turned away may notice it while sending.
    let _closed_already = raw.send(LOOK.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    match raw.hear_all().statuses()[..] {
        [200] => true,
        [] => false,
        _ => panic!("neither served nor turned away"),
    }
}

fn refused(site: &Site, reason: &str) -> f64 {
    site.server.metric(&format!("firstcome_connections_refused_total{{reason=\"{reason}\"}}"))
}

#[test]
fn an_address_has_its_share_of_connections_and_no_more() {
    // The good client, three others, and a place to come and go.
    let site = Site::open(|limits| limits.connections_per_address_max = 5);
    let mut held: Vec<Raw> = (0..4).map(|_| site.connect()).collect();
    for raw in &mut held {
        raw.send(LOOK).expect("sent");
        raw.hear("\"version\"", 1);
    }
    assert!(!served(&mut site.connect()), "the sixth is one too many");
    // Another address has a share of its own.
    let elsewhere = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let address: std::net::SocketAddr = "127.0.0.77:0".parse().expect("an address");
    elsewhere.bind(&address.into()).expect("bound");
    elsewhere.connect(&site.server.0.server.public_address.into()).expect("connected");
    assert!(served(&mut Raw::over(TcpStream::from(elsewhere))));
    held.pop();
    until("a place is free again", || served(&mut site.connect()));
    assert!(refused(&site, "address") >= 1.0);
    assert_eq!(refused(&site, "total"), 0.0);
    drop(held);
    site.end();
}

#[test]
fn when_buyers_have_taken_all_places_operators_still_get_in() {
    let site = Site::open(|limits| {
        limits.connections_max = 6;
        limits.connections_per_address_max = 6;
        limits.loopback_is_client = false;
    });
    let mut held: Vec<Raw> = (0..5).map(|_| site.connect()).collect();
    for raw in &mut held {
        raw.send(LOOK).expect("sent");
        raw.hear("\"version\"", 1);
    }
    assert!(!served(&mut site.connect()));
    let reason = serde_json::json!({ "reason": "a storm" });
    assert_eq!(site.server.admin("POST", "/v1/drops/1/pause", &reason).body["state"], "paused");
    assert_eq!(refused(&site, "total"), 1.0);
    drop(held);
    until("a place is free again", || served(&mut site.connect()));
    site.end();
}

#[test]
fn many_requests_in_one_packet_are_answered_in_order_and_one_at_a_time() {
    const MANY: usize = 60;
    let site = Site::open(|_| {});
    let mut raw = site.connect();
    let requests: String = (0..MANY).map(|n| order(&format!("k{n}"), "") + LOOK).collect();
    raw.send(&requests).expect("sent");
    let said = raw.hear("\"per_buyer_limit\"", MANY);
    let statuses: Vec<u16> = (0..MANY).flat_map(|n| [if n < 9 { 201 } else { 409 }, 200]).collect();
    assert_eq!(said.statuses(), statuses);
    let buyers: Vec<&str> =
        said.text.match_indices("\"buyer\":\"").map(|(at, _)| &said.text[at + 9..at + 11]).collect();
    assert_eq!(buyers, (0..9).map(|n| format!("k{n}")).collect::<Vec<_>>(), "each answer has its request");
    // Had two orders of the connection been in flight together, they would have shared a commit.
    let batches =
        |bound: &str| site.server.metric(&format!("firstcome_writer_batch_commands_bucket{{le=\"{bound}\"}}"));
    until("all are counted", || batches("+Inf") > 60.0);
    assert_eq!(batches("1"), batches("+Inf"));
    drop(raw);
    site.end();
}

#[test]
fn an_answer_does_not_wait_for_a_stream_that_was_asked_for_in_the_same_packet() {
    let site = Site::open(|_| {});
    let mut raw = site.connect();
    raw.send(format!("{LOOK}GET /v1/drops/1/stream HTTP/1.1\r\nHost: shop\r\n\r\n")).expect("sent");
    assert_eq!(raw.hear("\"version\"", 2).statuses(), [200, 200]);
    let ordered = site.server.order("ann", r#"{"buyer":"ann","quantity":1}"#);
    assert_eq!(ordered.status, 201, "{}", ordered.text);
    raw.hear("\"held\":1", 1);
    drop(raw);
    site.end();
}

#[test]
fn a_client_that_leaves_after_submitting_has_its_order_and_learns_it_by_asking_again() {
    let site = Site::open(|_| {});
    let mut gone = site.connect();
    gone.send(order("gone", "")).expect("sent");
    drop(gone);
    let held = || site.server.public("GET", "/v1/drops/1").body["held"] == 1;
    until("it is committed", held);
    let mut raw = site.connect();
    raw.send(order("gone", "Connection: close\r\n")).expect("sent");
    let said = raw.hear_all();
    assert_eq!(said.statuses(), [201]);
    assert!(said.text.contains("idempotent-replayed: true"), "{said:?}");
    assert!(held(), "it was not ordered twice");
    site.end();
}

#[test]
fn a_crowd_that_leaves_in_the_middle_leaves_nothing() {
    let site = Site::open(|_| {});
    let whole = order("half", "");
    for end in (0..whole.len()).step_by(7) {
        let mut raw = site.connect();
        raw.send(&whole[..end]).expect("sent");
    }
    site.end();
}

#[test]
fn out_of_descriptors_clients_are_turned_away_instead_of_left_waiting() {
    let scratch = tempfile::tempdir().expect("scratch");
    // One listener: with several, threads could take a descriptor from each other.
    let one = [("FIRSTCOME__HTTP__THREADS", "1".to_string()), ("FIRSTCOME__HTTP__CONNECTIONS_MAX", "2000".to_string())];
    let one = [one.as_slice(), &[("FIRSTCOME__HTTP__CONNECTIONS_PER_ADDRESS_MAX", "2000".to_string())]].concat();
    let server = Process::start(&scratch.path().join("data"), &one);
    server.create_drop(9);
    let look = |raw: &mut Raw, times| {
        // Who is turned away may notice it while sending.
        let _closed_already = raw.send(LOOK);
        !raw.hear_unless_closed("\"version\"", times).closed
    };
    let mut good = Raw::connect(server.public);
    assert!(look(&mut good, 1));
    let before = server.descriptors();
    server.limit_descriptors(before + 10);
    let mut held: Vec<Raw> = (0..40).map(|_| Raw::connect(server.public)).collect();
    let served = held.iter_mut().map(|raw| look(raw, 1)).filter(|served| *served).count();
    // A few more than ten where the start gave some back meanwhile.
    assert!((8..=20).contains(&served), "{served} of 40 were served with 10 descriptors");
    assert!(look(&mut good, 2), "who is in is served as before");
    drop(held);
    until("there is room again", || look(&mut Raw::connect(server.public), 1));
    until("all descriptors are given back", || server.descriptors() <= before);
}
