//! What is good, and what is refused or turned away: answers in the order of the frames, and the connection goes on.

use firstcome::api::Problem;
use firstcome::api::code::Code;
use firstcome::engine::{BeaconObstacle, Invalid, Refusal, SoldOut};
use firstcome::types::text::rfc3339;
use firstcome::types::{Amount, DropState, IdentityKind, OrderId, OrderState, Seq, UnitPrice, UnixMillis};
use firstcome::wire::messages::{Bid, Request, Reserve};
use firstcome::wire::reason;
use firstcome::writer::clock::wall_clock;
use serde_json::json;

use super::http::{call, until};
use super::peer::{Said, Site, bytes, ping, pong, reserve};

#[test]
fn an_order_over_the_wire_is_the_order_that_http_knows_under_the_same_key() {
    let site = Site::open(|_| {});
    let mut peer = site.connect();
    let made = peer.ask(reserve(0xab, "ann")).order();
    let id = OrderId::from_bytes(made.order_id).expect("an id");
    assert_eq!(id.seq.get(), made.seq);
    let known = site.server.public("GET", &format!("/v1/orders/{id}"));
    assert_eq!(
        (known.status, known.body["buyer"].as_str(), known.body["quantity"].as_u64()),
        (200, Some("ann"), Some(1))
    );
    let again = site.server.order(&"ab".repeat(16), r#"{"buyer":"ann","quantity":1}"#);
    assert_eq!((again.status, again.headers["idempotent-replayed"].as_str()), (201, "true"));
    assert_eq!(again.body["id"], known.body["id"]);
    assert_eq!(peer.ask(reserve(0xab, "ann")).order(), made, "a repeat is the same answer");
    let more = Reserve { drop_id: 1, quantity: 2, key: [0xab; 16], buyer: b"ann" };
    assert_eq!(peer.ask(Request::Reserve(more)).no(), 4, "the same key for another quantity");
    assert_eq!(site.held(), 1);
    until("figures are handed over", || {
        let shown = site.server.admin("GET", "/metrics", &json!({})).text;
        let count = |outcome, count| shown.contains(&format!("{{type=\"reserve\",outcome=\"{outcome}\"}} {count}\n"));
        count("accepted", 2) && count("refused", 1)
    });
    drop(peer);
    site.end();
}

#[test]
fn a_client_over_its_limit_is_answered_so_and_the_connection_goes_on() {
    let site = Site::open(|config| {
        config.limits.loopback_is_client = true;
        config.admission.tier_writes = [1, 3, 3, 3];
        config.admission.address_reads = 2;
    });
    let mut peer = site.connect();
    for key in 0..3 {
        assert_ne!(peer.ask(reserve(key, "ann")).no(), reason::RATE_LIMITED);
    }
    for key in 3..6 {
        assert_eq!(peer.ask(reserve(key, "ann")).no(), reason::RATE_LIMITED);
        assert_eq!(peer.ask(ping("on")), pong("on"));
    }
    assert_ne!(peer.ask(reserve(1, "bob")).no(), reason::RATE_LIMITED, "another buyer has a budget of their own");
    let unknown = |key| Request::Reserve(Reserve { drop_id: 99, quantity: 1, key: [key; 16], buyer: b"eve" });
    let asked = [1, 2, 3, 4].map(|key| peer.ask(unknown(key)).no());
    assert_eq!(asked, [7, 7, 7, reason::RATE_LIMITED], "what is not there costs as much");
    let subscribe = Request::Subscribe { auction_id: 9, from_seq: 0 };
    assert_eq!([(); 3].map(|()| peer.ask(subscribe).no()), [7, 7, reason::RATE_LIMITED]);
    drop(peer);
    site.end();
}

#[test]
fn what_is_refused_is_an_answer_with_its_reason_and_the_connection_goes_on() {
    let site = Site::open(|_| {});
    let mut peer = site.connect();
    let of =
        |drop_id, quantity, buyer: &'static [u8]| Request::Reserve(Reserve { drop_id, quantity, key: [7; 16], buyer });
    for (request, reason) in [
        (of(2, 1, b"ann"), 7),
        (of(0, 1, b"ann"), 7),
        (of(u32::MAX, 1, b"ann"), 7),
        (of(1, 0, b"ann"), 2),
        (of(1, 1, b"\xff\xfe"), 2),
        (of(1, 1, b"a\nb"), 2),
        (of(1, 3, b"ann"), 12),
        (Request::Bid(Bid { auction_id: 9, user_id: 7, amount: 1500 }), 7),
        (Request::Subscribe { auction_id: 9, from_seq: 0 }, 7),
        (Request::Hello { version: 2, token: b"" }, 2),
    ] {
        assert_eq!(peer.ask(request).no(), reason, "{request:?}");
        assert_eq!(peer.ask(ping("on")), pong("on"));
    }
    for buyer in ["a", "b", "c", "d"] {
        let two = Reserve { drop_id: 1, quantity: 2, key: [1; 16], buyer: buyer.as_bytes() };
        peer.ask(Request::Reserve(two)).order();
    }
    let Said::Reserved(sold_out) = peer.ask(of(1, 2, b"e")) else { panic!("no answer to an order") };
    assert_eq!((sold_out.reason, sold_out.order_id, sold_out.expires_at_ms), (13, [0; 16], 0));
    assert!(sold_out.seq > 0, "the last event that it saw");
    // RESERVE has no contact: an order of a drop with caps lacks what is capped.
    let capped = json!({ "expected_revision": 1, "reason": "a test", "identity_limits": { "email": 1 } });
    assert_eq!(site.server.admin("PATCH", "/v1/drops/1", &capped).status, 200);
    assert_eq!(peer.ask(of(1, 1, b"e")).no(), reason::VALIDATION);
    let why = json!({ "reason": "a test" });
    assert_eq!(site.server.admin("POST", "/v1/drops/1/pause", &why).status, 200);
    assert_eq!(peer.ask(of(1, 1, b"e")).no(), 11);
    assert_eq!(site.server.admin("POST", "/v1/drops/1/close", &why).status, 200);
    assert_eq!(peer.ask(of(1, 1, b"e")).no(), 10);
    drop(peer);
    site.end();
}

#[test]
fn an_order_of_a_blind_window_is_recorded_and_the_answer_tells_when_to_ask_again() {
    let site = Site::open(|_| {});
    let starts_at = rfc3339(wall_clock());
    let blind = json!({ "sku": "B", "name": "N", "currency": "EUR", "unit_price": 100, "total": 1, "blind_ms": 5000,
                       "starts_at": starts_at });
    let headers = "Content-Type: application/json\r\nIdempotency-Key: blind\r\n";
    let made = call(site.server.0.server.admin_address, "POST", "/v1/drops", headers, &blind.to_string());
    assert_eq!(made.status, 201, "{}", made.text);
    let mut peer = site.connect();
    let reserve = Request::Reserve(Reserve { drop_id: 2, quantity: 1, key: [7; 16], buyer: b"ann" });
    for _ in 0..2 {
        let Said::Reserved(recorded) = peer.ask(reserve) else { panic!("no answer to an order") };
        assert_eq!((recorded.reason, recorded.order_id), (reason::RECORDED, [0; 16]));
        assert!(recorded.seq > 0 && recorded.expires_at_ms > 0, "{recorded:?}");
    }
    drop(peer);
    site.end();
}

#[test]
fn answers_come_in_the_order_of_the_frames_however_many_are_sent_at_once() {
    for in_flight_max in [1, 3, 64] {
        let site = Site::open(|config| config.wire.in_flight_max = in_flight_max);
        let mut peer = site.connect();
        let buyers: Vec<String> = (0..100).map(|n| format!("buyer-{n}")).collect();
        let words: Vec<String> = (0..100).map(|n| format!("p{n}")).collect();
        let mut sent = Vec::new();
        for (buyer, word) in buyers.iter().zip(&words) {
            sent.extend([reserve(1, buyer), ping(word)]);
        }
        peer.send(&sent);
        peer.close_its_half();
        let said = peer.hear_all();
        assert_eq!(said.len(), 200, "a client that closes its half still gets its answers");
        let mut seqs = Vec::new();
        for (n, (pair, word)) in said.chunks(2).zip(&words).enumerate() {
            assert_eq!(pair[0].no(), if n < 9 { 0 } else { 13 }, "{n}");
            assert_eq!(pair[1], pong(word));
            seqs.extend((n < 9).then(|| pair[0].order().seq));
        }
        assert!(seqs.is_sorted_by(|one, next| one < next), "first come, first served: {seqs:?}");
        assert_eq!(site.held(), 9);
        site.end();
    }
}

#[test]
fn a_full_queue_is_an_answer_and_the_connection_goes_on() {
    // One place for buyers.
    let site = Site::open(|config| (config.queue_capacity, config.queue_reserve) = (16, 15));
    let mut peer = site.connect();
    let mut overloaded = 0;
    for round in 0..200 {
        peer.send(&[reserve(9, "x"); 50]);
        let said = peer.hear_many(50);
        overloaded += said.iter().filter(|said| said.no() == 21).count();
        assert!(said.iter().all(|said| [0, 21].contains(&said.no())), "{round}: {said:?}");
        if overloaded > 0 {
            break;
        }
    }
    assert!(overloaded > 0);
    assert_eq!(peer.ask(ping("on")), pong("on"));
    assert!(site.server.metric("firstcome_turned_away_total{reason=\"queue\"}") >= 1.0);
    drop(peer);
    site.end();
}

#[test]
fn the_server_ends_with_an_answer_to_all_that_it_took_and_a_last_word() {
    let site = Site::open(|_| {});
    let mut peers: Vec<_> = (0..4).map(|_| site.connect()).collect();
    for peer in &mut peers {
        assert_eq!(peer.ask(ping("here")), pong("here"));
    }
    let clients: Vec<_> = peers
        .into_iter()
        .enumerate()
        .map(|(n, mut peer)| {
            std::thread::spawn(move || {
                let buyer = format!("buyer-{n}");
                let batch = bytes(&[reserve(1, &buyer); 20]);
                let mut said = Vec::new();
                while peer.send_bytes(&batch).is_ok() {
                    for _ in 0..20 {
                        match peer.hear() {
                            Some(answer) => said.push(answer),
                            None => return said,
                        }
                    }
                }
                said.extend(peer.hear_all());
                said
            })
        })
        .collect();
    until("orders come", || site.held() == 4);
    site.server.stop();
    for client in clients {
        let said = client.join().expect("a client");
        let (last, before) = said.split_last().expect("answers");
        assert_eq!(last.no(), 22, "{last:?}");
        assert!(matches!(last, Said::Error(..)));
        // All but those that were turned away at the very end are the one order and its repeats.
        let made = before[0].order();
        assert!(before.iter().all(|said| said.no() == 22 || said.order() == made), "{before:?}");
    }
}

#[test]
fn reasons_are_the_numbers_of_the_problem_table() {
    let number = |code: Code| code.kind().number;
    for (here, there) in [
        (reason::MALFORMED, Code::Malformed),
        (reason::VALIDATION, Code::Validation),
        (reason::UNAUTHORIZED, Code::Unauthorized),
        (reason::FORBIDDEN, Code::Forbidden),
        (reason::NOT_FOUND, Code::NotFound),
        (reason::LIMIT_REACHED, Code::LimitReached),
        (reason::BID_TOO_LOW, Code::BidTooLow),
        (reason::RATE_LIMITED, Code::RateLimited),
        (reason::OVERLOADED, Code::Overloaded),
        (reason::DRAINING, Code::Draining),
        (reason::READ_ONLY, Code::ReadOnly),
        (reason::OUTCOME_UNKNOWN, Code::OutcomeUnknown),
        (reason::INTERNAL, Code::Internal),
        (reason::NOT_LEADER, Code::NotLeader),
        (reason::IDENTITY_LIMIT_REACHED, Code::IdentityLimitReached),
        (reason::NOT_ADMITTED, Code::NotAdmitted),
    ] {
        assert_eq!(here, number(there), "{there:?}");
    }
    let (at, price) = (UnixMillis::ZERO, UnitPrice::default());
    for refusal in [
        Refusal::NotFound,
        Refusal::KeyReused,
        Refusal::NotStarted { starts_at: at },
        Refusal::Ended { ends_at: at },
        Refusal::DropPaused,
        Refusal::LimitReached { limit: 1, used: 1 },
        Refusal::IdentityLimitReached { identity: IdentityKind::Email, limit: 1 },
        Refusal::NotAdmitted { position: None, serving: 0 },
        Refusal::NotOpen { opens_at: at },
        Refusal::BeaconNotTaken { why: BeaconObstacle::Posted },
        Refusal::SoldOut(SoldOut { available: 0, held: 0, next_expiry_at: None, standby: 0 }),
        Refusal::AllSold { standby: 0 },
        Refusal::OrderExpired { expired_at: at },
        Refusal::IllegalTransition { from: OrderState::Paid, to: OrderState::Cancelled },
        Refusal::MismatchStands { from: DropState::Paused },
        Refusal::PreconditionFailed { revision: 1 },
        Refusal::Invalid(Invalid::EndBeforeStart),
        Refusal::BidTooLow { current: price, minimum_next: price, ends_at: at },
        Refusal::ExposureReached { limit: Amount::ZERO, used: Amount::ZERO },
    ] {
        let here = reason::of_refusal(&refusal);
        let problem = Problem::Refused { refusal, as_of_seq: Seq::ZERO, at };
        assert_eq!(here, number(problem.code()), "{problem:?}");
    }
}
