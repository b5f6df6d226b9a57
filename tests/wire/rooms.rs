//! Tickets over the wire, and the changes of waiting rooms.

use firstcome::types::RoomState;
use firstcome::wire::messages::{Join, Request, Reserve, RoomUpdate, TicketReply};
use serde_json::{Value, json};

use super::http::{call, until};
use super::peer::{Peer, Said, Site, bytes, ping, pong};

pub(crate) const LATER: &str = "2999-01-01T00:00:00Z";
const STARTED: &str = "2020-01-02T00:00:00Z";
const JSON: &str = "Content-Type: application/json\r\n";

/// A drop of so many units whose room is open; returns its number.
pub(crate) fn room_drop(site: &Site, starts_at: &str, units: u32) -> u32 {
    let room = json!({ "opens_at": "2020-01-01T00:00:00Z", "admit_per_second": 100, "order_seconds": 600 });
    created(site, starts_at, units, &room)
}

fn created(site: &Site, starts_at: &str, units: u32, room: &Value) -> u32 {
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": units,
                       "starts_at": starts_at, "room": room });
    let headers = format!("{JSON}Idempotency-Key: {starts_at}-{}\r\n", room["opens_at"]);
    let made = call(site.server.0.server.admin_address, "POST", "/v1/drops", &headers, &drop.to_string());
    assert_eq!(made.status, 201, "{}", made.text);
    u32::try_from(made.body["id"].as_u64().expect("a number")).expect("small")
}

pub(crate) fn join(drop_id: u32, buyer: &str) -> Request<'_> {
    Request::Join(Join { drop_id, buyer: buyer.as_bytes() })
}

fn reserve(drop_id: u32, buyer: &str) -> Request<'_> {
    Request::Reserve(Reserve { drop_id, quantity: 1, key: [7; 16], buyer: buyer.as_bytes() })
}

fn ticket(said: Said) -> TicketReply {
    let Said::Ticket(ticket) = said else { panic!("no answer to a JOIN: {said:?}") };
    ticket
}

fn state(peer: &mut Peer) -> RoomUpdate {
    match peer.hear() {
        Some(Said::Room(room)) => room,
        other => panic!("no state of a room: {other:?}"),
    }
}

/// What is heard until a state of the room has what is waited for.
fn state_with(peer: &mut Peer, has: impl Fn(&RoomUpdate) -> bool) -> RoomUpdate {
    let mut last = state(peer);
    while !has(&last) {
        let next = state(peer);
        assert!(
            next.seq > last.seq && next.serving >= last.serving && next.tickets >= last.tickets,
            "{last:?} {next:?}"
        );
        last = next;
    }
    last
}

#[test]
fn tickets_are_numbered_as_they_come_and_the_same_over_http() {
    let site = Site::open(|_| {});
    let drop_id = room_drop(&site, LATER, 3);
    let mut peer = site.connect();
    peer.send(&[join(drop_id, "zoe"), join(drop_id, "bob"), join(drop_id, "zoe")]);
    let [zoe, bob, again] = [(); 3].map(|()| ticket(peer.hear().expect("an answer")));
    assert_eq!((zoe.reason, zoe.number, zoe.position, zoe.serving), (0, 1, Some(0), 0));
    assert_eq!((zoe.state, zoe.paused, zoe.at_ms), (Some(RoomState::Gathering), false, 0));
    assert_eq!((bob.number, bob.position), (2, Some(1)));
    assert_eq!(again, TicketReply { seq: bob.seq, ..zoe }, "a repeat says what it saw last");
    let path = format!("/v1/drops/{drop_id}/tickets");
    let over_http = |buyer: &str| {
        let body = json!({ "buyer": buyer }).to_string();
        call(site.server.0.server.public_address, "POST", &path, JSON, &body)
    };
    let told = over_http("bob");
    assert_eq!((told.status, &told.body["number"], &told.body["position"]), (201, &json!(2), &json!(1)));
    assert_eq!(over_http("eve").body["number"], 3);
    assert_eq!(ticket(peer.ask(join(drop_id, "eve"))).number, 3);
    assert!(zoe.digest.is_none() && told.body.get("digest").is_none(), "nothing is drawn: {}", told.text);
    drop(peer);
    site.end();
}

#[test]
fn a_ticket_of_a_room_that_draws_has_its_digest_before_the_draw_and_the_same_over_http() {
    let site = Site::open(|_| {});
    let room = json!({ "opens_at": "2020-01-01T00:00:00Z", "admit_per_second": 100, "draw": "random" });
    let drop_id = created(&site, LATER, 3, &room);
    let mut peer = site.connect();
    peer.send(&[join(drop_id, "zoe"), join(drop_id, "bob"), join(drop_id, "zoe")]);
    let [zoe, bob, again] = [(); 3].map(|()| ticket(peer.hear().expect("an answer")));
    assert_eq!((zoe.position, bob.position, zoe.state), (None, None, Some(RoomState::Gathering)));
    assert!(zoe.digest.is_some() && zoe.digest == again.digest && zoe.digest != bob.digest, "{zoe:?} {bob:?}");
    let path = format!("/v1/drops/{drop_id}/tickets");
    let told = call(site.server.0.server.public_address, "POST", &path, JSON, &json!({ "buyer": "zoe" }).to_string());
    assert_eq!(told.body["digest"], zoe.digest.map(|digest| digest.to_string()).unwrap_or_default());
    drop(peer);
    site.end();
}

#[test]
fn a_ticket_over_the_wire_has_the_tier_and_the_address_block_of_its_buyer_in_the_audit() {
    let site = Site::open(|config| config.limits.loopback_is_client = true);
    let drop_id = room_drop(&site, LATER, 3);
    assert_eq!(site.connect().ask(join(drop_id, "zoe")).no(), 0);
    let told = site.server.admin("GET", &format!("/v1/audit?drop_id={drop_id}"), &Value::Null).text;
    let line = told.lines().find(|line| line.contains("ticket_taken")).expect("a ticket");
    let detail = serde_json::from_str::<Value>(line).expect("JSON")["detail"].clone();
    assert_eq!((&detail["number"], &detail["tier"]), (&json!(1), &json!("new")), "{detail}");
    assert_eq!(detail["block"].as_str().map(str::len), Some(6), "{detail}");
    site.end();
}

#[test]
fn an_admitted_buyer_orders_with_the_clock_that_the_ticket_tells_and_others_wait() {
    let site = Site::open(|_| {});
    let drop_id = room_drop(&site, STARTED, 1);
    let mut peer = site.connect();
    assert_eq!(peer.ask(reserve(drop_id, "ann")).no(), 31, "no ticket");
    let mut watcher = site.connect();
    assert!(matches!(watcher.ask(Request::Room { drop_id, from_seq: 0 }), Said::Ok(_)));
    for buyer in ["ann", "bob"] {
        assert_eq!(peer.ask(join(drop_id, buyer)).no(), 0);
    }
    let room = state_with(&mut watcher, |room| room.serving == 1 && room.tickets == 2);
    assert_eq!((room.drop_id, room.state, room.admitted, room.available), (drop_id, RoomState::Serving, 1, 1));
    assert!(room.rate[0].is_some() && room.updated_at_ms > 1_700_000_000_000, "{room:?}");
    let ann = ticket(peer.ask(join(drop_id, "ann")));
    assert_eq!((ann.position, ann.serving, ann.state), (Some(0), 1, Some(RoomState::Serving)));
    assert!(ann.at_ms > 1_700_000_000_000, "{ann:?}");
    let bob = ticket(peer.ask(join(drop_id, "bob")));
    assert_eq!((bob.position, bob.at_ms), (Some(1), 0));
    assert_eq!(peer.ask(reserve(drop_id, "bob")).no(), 31);
    assert!(peer.ask(reserve(drop_id, "ann")).order().expires_at_ms > 0);
    let room = state_with(&mut watcher, |room| room.held == 1);
    assert_eq!((room.available, room.is_sold_for_good), (0, false), "the unit may come back");
    let body = site.server.public("GET", &format!("/v1/drops/{drop_id}/room")).body;
    for (name, number) in [
        ("tickets", room.tickets),
        ("serving", room.serving),
        ("admitted", room.admitted),
        ("available", room.available),
        ("held", room.held),
    ] {
        assert_eq!(body[name], json!(number), "{name}: {body}");
    }
    drop((peer, watcher));
    site.end();
}

#[test]
fn a_client_of_a_room_hears_its_state_if_it_is_news_and_then_each_change() {
    let site = Site::open(|_| {});
    let drop_id = room_drop(&site, LATER, 3);
    let mut peer = site.connect();
    let ann = ticket(peer.ask(join(drop_id, "ann")));
    assert_eq!(peer.ask(Request::Room { drop_id, from_seq: 0 }), Said::Ok(ann.seq));
    let first = state(&mut peer);
    assert_eq!((first.seq, first.tickets, first.serving, first.paused), (ann.seq, 1, 0, false));
    assert_eq!((first.state, first.rate), (RoomState::Gathering, [None; 3]), "nothing is measured before the start");
    let mut informed = site.connect();
    informed.send(&[Request::Room { drop_id, from_seq: ann.seq }, ping("then")]);
    assert_eq!(informed.hear_many(2), [Said::Ok(ann.seq), pong("then")], "nothing new, no state");
    let bob = ticket(informed.ask(join(drop_id, "bob")));
    for peer in [&mut peer, &mut informed] {
        let told = state(peer);
        assert_eq!((told.seq, told.tickets), (bob.seq, 2));
    }
    let why = json!({ "reason": "a test" });
    let paused = site.server.admin("POST", &format!("/v1/drops/{drop_id}/pause"), &why);
    assert_eq!(paused.status, 200, "{}", paused.text);
    assert!(state(&mut peer).paused);
    assert!(ticket(peer.ask(join(drop_id, "bob"))).paused, "the ticket is told, and stays");
    drop((peer, informed));
    site.end();
}

#[test]
fn a_refused_join_is_an_answer_with_its_reason_and_the_connection_goes_on() {
    let site = Site::open(|_| {});
    let opens_late = json!({ "opens_at": "2998-12-31T00:00:00Z", "admit_per_second": 1 });
    let (closed, open) = (created(&site, LATER, 3, &opens_late), room_drop(&site, LATER, 3));
    let mut peer = site.connect();
    let refused = ticket(peer.ask(join(closed, "ann")));
    assert_eq!((refused.reason, refused.number, refused.position, refused.state), (32, 0, None, None));
    assert!(refused.at_ms > 32_000_000_000_000, "when it opens: {refused:?}");
    let bad = |buyer: &'static [u8]| Request::Join(Join { drop_id: open, buyer });
    for (request, reason) in [
        (join(0, "ann"), 7),
        (join(99, "ann"), 7),
        (join(1, "ann"), 7),
        (bad(b"\xff\xfe"), 2),
        (bad(b"a\nb"), 2),
        (Request::Room { drop_id: 0, from_seq: 0 }, 7),
        (Request::Room { drop_id: 1, from_seq: 0 }, 7),
        (Request::Room { drop_id: 99, from_seq: 0 }, 7),
    ] {
        assert_eq!(peer.ask(request).no(), reason, "{request:?}");
        assert_eq!(peer.ask(ping("on")), pong("on"));
    }
    let why = json!({ "reason": "a test" });
    let ended = site.server.admin("POST", &format!("/v1/drops/{open}/close"), &why);
    assert_eq!(ended.status, 200, "{}", ended.text);
    assert_eq!(peer.ask(join(open, "ann")).no(), 10);
    drop(peer);
    site.end();
}

#[test]
fn a_join_cut_at_every_byte_changes_nothing_and_the_whole_one_does() {
    let site = Site::open(|_| {});
    let drop_id = room_drop(&site, LATER, 3);
    let whole = bytes(&[join(drop_id, "ann")]);
    for end in 1..whole.len() {
        let mut peer = site.connect();
        peer.send_bytes(&whole[..end]).expect("sent");
        peer.close_its_half();
        assert_eq!(peer.hear_all().last().map(Said::no), Some(1), "cut at {end}");
    }
    let mut peer = site.connect();
    peer.send_bytes(&whole).expect("sent");
    assert_eq!(ticket(peer.hear().expect("an answer")).number, 1, "no ticket was taken before");
    drop(peer);
    until("frames are counted by their type", || {
        let shown = call(site.server.0.server.admin_address, "GET", "/metrics", "", "").text;
        shown.contains("{type=\"join\",outcome=\"accepted\"} 1\n")
    });
    site.end();
}

#[test]
fn a_token_takes_tickets_for_its_own_buyer_only() {
    let site = super::hello::site(|_| {});
    let drop_id = room_drop(&site, LATER, 3);
    let mut peer = site.connect();
    for request in [join(drop_id, "ann"), Request::Room { drop_id, from_seq: 0 }] {
        assert_eq!(peer.ask(request).no(), 5, "{request:?}");
    }
    let token = super::hello::token("ann", 60);
    assert!(matches!(peer.ask(Request::Hello { version: 1, token: token.as_bytes() }), Said::Ok(_)));
    assert_eq!(peer.ask(join(drop_id, "bob")).no(), 6);
    assert_eq!(ticket(peer.ask(join(drop_id, "ann"))).number, 1);
    drop(peer);
    let mut other = site.connect();
    let token = super::hello::token("end", 60);
    assert!(matches!(other.ask(Request::Hello { version: 1, token: token.as_bytes() }), Said::Ok(_)));
    drop(other);
    site.server.stop();
}
