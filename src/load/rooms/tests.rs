//! Tests of the rules of a crowd in a room.

use std::time::{Duration, Instant};

use super::answers::{RoomAnswer, RoomView, TicketView, read_order, read_room, read_ticket};
use super::habits::RoomHabits;
use super::ledger::RoomViolation;
use super::line::{Errand, WaitingLine};
use super::plan::{DrawKind, RoomPlan};
use crate::client::http::HttpClient;
use crate::client::target::ServerAddress;
use crate::load::client::ResponseHead;

fn plan(buyers: u32, draw: DrawKind) -> RoomPlan {
    RoomPlan {
        public: ServerAddress::parse("127.0.0.1:1", false).expect("an address"),
        admin: HttpClient::new("127.0.0.1:1", "--admin", None).expect("a client"),
        buyers,
        units: 10,
        connections: 1,
        threads: 1,
        seed: 1,
        deadline: Duration::from_secs(1),
        gather: Duration::from_secs(1),
        draw,
        admit_per_second: 10,
        order_seconds: 10,
        polls: Duration::ZERO,
    }
}

fn ticket(number: u32, position: Option<u32>) -> TicketView {
    TicketView { number, position }
}

fn room(serving: u32, tickets: u32, available: u32) -> RoomView {
    RoomView { state: "serving".into(), tickets, serving, available, odds: String::new() }
}

fn orders(line: &WaitingLine) -> Vec<u32> {
    let mut called = Vec::new();
    while let Some(Errand::Order(buyer, _)) = line.next() {
        line.done();
        called.push(buyer);
    }
    called
}

#[test]
fn a_turn_counts_from_the_look_before_the_one_that_shows_it() {
    let line = WaitingLine::new(&plan(2, DrawKind::Arrival));
    while line.next().is_some() {
        line.done();
    }
    for (buyer, number) in [(0, 1), (1, 2)] {
        assert_eq!(line.ticket(buyer, ticket(number, Some(number - 1))), None);
    }
    line.show(&room(0, 2, 10));
    let after_first = Instant::now();
    line.show(&room(1, 2, 10));
    let Some(Errand::Order(0, Some(first))) = line.next() else { panic!("the first buyer is called") };
    assert!(first <= after_first, "it may have begun as soon as the first look was over");
    let before_unchanged = Instant::now();
    line.saw_unchanged();
    line.show(&room(2, 2, 10));
    let Some(Errand::Order(1, Some(second))) = line.next() else { panic!("the second buyer is called") };
    assert!(second >= before_unchanged, "a look that found the room as before counts, too");
}

#[test]
fn a_buyer_is_called_once_whichever_of_position_and_turn_is_known_first() {
    let line = WaitingLine::new(&plan(5, DrawKind::Arrival));
    // The numbers of the buyers' tickets, taken in another order than the buyers' own.
    while line.next().is_some() {
        line.done();
    }
    for (buyer, number) in [(0, 1), (4, 2), (2, 3), (1, 4)] {
        assert_eq!(line.ticket(buyer, ticket(number, Some(number - 1))), None);
    }
    line.show(&room(3, 5, 10));
    assert_eq!(orders(&line), [0, 4, 2], "by position");
    line.show(&room(5, 5, 10));
    line.show(&room(5, 5, 10));
    assert_eq!(orders(&line), [1], "the fifth position has no known buyer yet");
    assert_eq!(line.ticket(3, ticket(5, Some(4))), None);
    assert_eq!(line.next(), Some(Errand::Order(3, None)), "its turn had come before");
    line.done();
    assert_eq!(line.ticket(3, ticket(5, Some(4))), None, "a repeat calls no buyer again");
    assert_eq!(orders(&line), [0u32; 0]);
}

#[test]
fn a_number_a_position_and_a_ticket_belong_to_one_buyer() {
    let line = WaitingLine::new(&plan(5, DrawKind::Random));
    assert_eq!(line.ticket(0, ticket(1, None)), None);
    assert_eq!(line.ticket(0, ticket(1, Some(3))), None);
    assert_eq!(line.ticket(1, ticket(1, None)), Some(RoomViolation::NumberTwice));
    assert_eq!(line.ticket(2, ticket(2, Some(3))), Some(RoomViolation::PositionTwice));
    assert_eq!(line.ticket(0, ticket(1, Some(2))), Some(RoomViolation::AnotherPosition));
    assert_eq!(line.ticket(3, ticket(0, None)), Some(RoomViolation::NumberTwice), "numbers begin with 1");
    assert_eq!(line.ticket(3, ticket(6, None)), Some(RoomViolation::NumberTwice), "or end with the last buyer");
}

#[test]
fn a_run_ends_with_the_last_unit_or_the_last_buyer() {
    let line = WaitingLine::new(&plan(1, DrawKind::Arrival));
    line.show(&RoomView { state: "gathering".into(), ..room(0, 0, 10) });
    assert!(!line.is_over());
    let taken = line.next();
    assert_eq!(taken, Some(Errand::Ticket(0)));
    assert_eq!(line.ticket(0, ticket(1, Some(0))), None);
    line.show(&room(1, 1, 0));
    assert!(!line.is_over(), "an errand is under way, and an order is due");
    line.done();
    assert_eq!(orders(&line), [0]);
    line.show(&room(1, 1, 0));
    assert!(line.is_over());
}

#[test]
fn a_thousand_buyers_have_every_habit_and_most_have_none() {
    let all: Vec<RoomHabits> = (0..10_000).map(|buyer| RoomHabits::of(7, buyer)).collect();
    let share = |has: fn(&RoomHabits) -> bool| all.iter().filter(|habits| has(habits)).count();
    assert!((50..=150).contains(&share(|habits| habits.is_late)), "{}", share(|habits| habits.is_late));
    assert!((130..=260).contains(&share(|habits| habits.asks_twice)));
    assert!((50..=150).contains(&share(|habits| habits.jumps)));
    assert!((650..=950).contains(&share(|habits| habits.is_gone)));
    assert!((6_700..=7_300).contains(&share(|habits| habits.checks_out)), "three of ten never check out");
}

#[test]
fn answers_are_read_by_status_and_code() {
    let head = |status: u16| ResponseHead { status, ..ResponseHead::default() };
    let body = br#"{"drop_id":1,"number":7,"state":"gathering","serving":0}"#;
    let taken = RoomAnswer::Ticket { ticket: ticket(7, None), repeated: false };
    assert_eq!(read_ticket(&head(201), body), taken);
    assert_eq!(read_ticket(&head(201), b"{}"), RoomAnswer::Invalid);
    let refused = br#"{"code":"not-admitted","position":5,"serving":3,"status":409}"#;
    assert_eq!(read_order(&head(409), refused), RoomAnswer::NotAdmitted { position: Some(5), serving: 3 });
    for status in [409, 410] {
        assert_eq!(read_order(&head(status), br#"{"code":"sold-out"}"#), RoomAnswer::SoldOut);
    }
    let shown = br#"{"state":"serving","tickets":9,"serving":3,"available":2,"rate":1.5}"#;
    assert_eq!(read_room(&head(200), shown), RoomAnswer::Room(room(3, 9, 2)));
    assert_eq!(read_room(&head(304), b""), RoomAnswer::Unchanged);
}
