//! The rules of waiting rooms: who gets a ticket, who is admitted when, and what an order of somebody else gets.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod test_drop;
#[path = "room_rules/turns.rs"]
mod turns;

use firstcome::engine::{
    AdjustStock, ChangeDrop, Command, CommandKey, CreateDrop, DropCommand, DropPatch, DropSpec, Effect, Event,
    EventBody, Invalid, OrderCommand, OrderEvent, Outcome, PatchDrop, PlaceOrder, Refusal, RoomCommand, RoomSpec,
    SoldOut, State, TakeTicket, TicketReceipt, invariants,
};
use firstcome::types::{
    Digest, DigestKey, DropId, OrderState, Quantity, RoomDraw, RoomMember, RoomPatch, RoomState, Seq, TicketPosition,
    UnixMillis,
};
use test_drop::test_drop;

/// A drop with a room in the engine alone.
struct Sale {
    state: State,
    events: Vec<Event>,
    digests: DigestKey,
}

fn at(ms: i64) -> UnixMillis {
    UnixMillis::new(ms).expect("in range")
}

/// A room that opens at 1 s in front of a drop that starts at 10 s, so generous that the stock does not matter.
fn room() -> RoomSpec {
    RoomSpec {
        opens_at: at(1000),
        draw: RoomDraw::Arrival,
        admit_per_second: 10,
        order_seconds: 60,
        oversubscribe_percent: 1000,
    }
}

fn spec(total: u32, room: RoomSpec) -> DropSpec {
    DropSpec { starts_at: at(10_000), reservation_seconds: 5, room: Some(Box::new(room)), ..test_drop(total) }
}

const ID: u32 = 1;

fn id() -> DropId {
    DropId::new(ID).expect("not 0")
}

impl Sale {
    fn of(spec: DropSpec) -> Sale {
        let mut sale = Sale { state: State::new(1000), events: Vec::new(), digests: DigestKey::new(&[7; 32]) };
        let made = sale.create(0, spec);
        assert!(matches!(made, Outcome::Accepted(_)), "{made:?}");
        sale
    }
    fn create(&mut self, ms: i64, spec: DropSpec) -> Outcome {
        let digest = self.digests.params(format!("{spec:?}").as_bytes());
        let create = CreateDrop { key: CommandKey { digest, params: digest }, spec: Box::new(spec) };
        self.apply(ms, &Command::Drop(DropCommand::Create(create)))
    }
    fn apply(&mut self, ms: i64, command: &Command) -> Outcome {
        let outcome = self.state.apply(at(ms), command, &mut self.events);
        invariants::check(&self.state).expect("whole");
        outcome
    }
    /// Decides without an advance, as a start does.
    fn decide(&mut self, command: &Command) {
        let first = self.events.len();
        self.state.decide(command, &mut self.events);
        for event in &self.events[first..] {
            self.state.evolve(event);
        }
        invariants::check(&self.state).expect("whole");
    }
    fn buyer(&self, n: u32) -> Digest {
        self.digests.buyer(&format!("buyer{n}"))
    }
    fn ask(&mut self, ms: i64, buyer: u32) -> Outcome {
        let command = RoomCommand::TakeTicket(TakeTicket { drop_id: id(), buyer: self.buyer(buyer), origin: None });
        self.apply(ms, &Command::Room(command))
    }
    fn ticket(&mut self, ms: i64, buyer: u32) -> TicketReceipt {
        let outcome = self.ask(ms, buyer);
        let Outcome::Accepted(Effect::Ticket(receipt)) = outcome else { panic!("{outcome:?}") };
        receipt
    }
    fn tickets(&mut self, ms: i64, count: u32) {
        for buyer in 0..count {
            self.ticket(ms, buyer);
        }
    }
    fn wish(&self, buyer: u32, key: Digest) -> PlaceOrder {
        let (drop_id, buyer, quantity) = (id(), self.buyer(buyer), Quantity::ONE);
        PlaceOrder { drop_id, buyer, key, quantity, contact_given: false, facts: None }
    }
    fn order(&mut self, ms: i64, buyer: u32) -> Result<Seq, Refusal> {
        let key = self.digests.params(format!("{buyer} {ms}").as_bytes());
        let wish = self.wish(buyer, key);
        match self.apply(ms, &Command::Order(OrderCommand::Place(wish))) {
            Outcome::Accepted(Effect::Reserved(reservation)) => Ok(reservation.order),
            Outcome::Refused { refusal, .. } => Err(refusal),
            other @ (Outcome::Accepted(_) | Outcome::Repeated { .. } | Outcome::Advanced) => panic!("{other:?}"),
        }
    }
    fn stand_by(&mut self, ms: i64, buyer: u32) -> Result<u32, Refusal> {
        let wish = self.wish(buyer, self.digests.params(format!("line {buyer} {ms}").as_bytes()));
        match self.apply(ms, &Command::Order(OrderCommand::JoinStandby(wish))) {
            Outcome::Accepted(Effect::Standby(receipt)) => Ok(receipt.position),
            Outcome::Refused { refusal, .. } => Err(refusal),
            other @ (Outcome::Accepted(_) | Outcome::Repeated { .. } | Outcome::Advanced) => panic!("{other:?}"),
        }
    }
    fn change(&mut self, ms: i64, change: fn(ChangeDrop) -> DropCommand) {
        let change = change(ChangeDrop { drop_id: id(), reason: "because".into() });
        let outcome = self.apply(ms, &Command::Drop(change));
        assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
    }
    fn patch(&mut self, ms: i64, patch: DropPatch) -> Outcome {
        let expected_revision = self.state.drop_entry(id()).expect("a drop").revision;
        let patch = PatchDrop { drop_id: id(), expected_revision, patch: Box::new(patch), reason: "because".into() };
        self.apply(ms, &Command::Drop(DropCommand::Patch(patch)))
    }
    fn move_start(&mut self, ms: i64, starts_at: i64) -> Outcome {
        self.patch(ms, DropPatch { starts_at: Some(at(starts_at)), ..DropPatch::default() })
    }
    /// What the change of a room's parameters is refused for.
    fn change_room(&mut self, ms: i64, room: RoomPatch) -> Option<Invalid> {
        match self.patch(ms, DropPatch { room: Some(room), ..DropPatch::default() }) {
            Outcome::Accepted(_) => None,
            Outcome::Refused { refusal: Refusal::Invalid(invalid), .. } => Some(invalid),
            other @ (Outcome::Refused { .. } | Outcome::Repeated { .. } | Outcome::Advanced) => panic!("{other:?}"),
        }
    }
    /// Does what is due, and returns the first position that has not been admitted.
    fn serving(&mut self, ms: i64) -> u32 {
        self.apply(ms, &Command::Advance);
        self.state.drop_entry(id()).and_then(|entry| Some(entry.room.as_ref()?.serving)).expect("a room")
    }
    fn admissions(&self) -> Vec<i64> {
        let served = self.events.iter().filter(|event| event.body.name() == "room_served");
        served.map(|event| event.at.get()).collect()
    }
}

fn waits(position: u32, serving: u32) -> Result<Seq, Refusal> {
    Err(Refusal::NotAdmitted { position: Some(TicketPosition(position)), serving })
}

#[test]
fn tickets_are_taken_from_the_opening_on_one_for_each_buyer_in_the_order_of_arrival() {
    let mut sale = Sale::of(spec(5, room()));
    let refused = sale.ask(999, 0);
    assert!(
        matches!(refused, Outcome::Refused { refusal: Refusal::NotOpen { opens_at }, .. } if opens_at == at(1000)),
        "{refused:?}"
    );
    let first = sale.ticket(1000, 7);
    assert_eq!((first.number.get(), first.position, first.repeated), (1, Some(TicketPosition(0)), false));
    assert_eq!((first.state, first.serving), (RoomState::Gathering, 0));
    let second = sale.ticket(1000, 3);
    assert_eq!((second.number.get(), second.position), (2, Some(TicketPosition(1))));
    let again = sale.ticket(5000, 7);
    assert_eq!((again.number, again.position, again.repeated), (first.number, first.position, true));
    let late = sale.ticket(10_000, 4);
    assert_eq!((late.number.get(), late.state, late.serving), (3, RoomState::Serving, 2), "behind those who gathered");
}

#[test]
fn a_drop_without_a_room_has_no_tickets_and_needs_none() {
    let mut sale = Sale::of(DropSpec { room: None, ..spec(5, room()) });
    assert!(matches!(sale.ask(10_000, 0), Outcome::Refused { refusal: Refusal::NotFound, .. }));
    assert!(sale.order(10_000, 0).is_ok());
}

#[test]
fn buyers_are_admitted_by_the_rate_at_most_ten_times_a_second_and_nothing_is_saved_up() {
    let mut sale = Sale::of(spec(1000, RoomSpec { admit_per_second: 30, ..room() }));
    sale.tickets(2000, 100);
    assert_eq!(sale.serving(9999), 0);
    // Two steps of 100 ms at once, then three a step.
    assert_eq!(sale.serving(10_000), 6);
    assert_eq!(sale.serving(10_099), 6);
    assert_eq!(sale.serving(10_100), 9);
    assert_eq!(sale.serving(11_000), 36);
    assert!(sale.admissions().windows(2).all(|pair| pair[1] - pair[0] >= 100), "{:?}", sale.admissions());
    // A pause is no time in which the rate runs.
    sale.change(11_000, DropCommand::Pause);
    assert_eq!(sale.serving(60_000), 36);
    sale.change(60_000, DropCommand::Resume);
    assert_eq!(sale.serving(60_000), 42);
    assert_eq!(sale.serving(60_100), 45);
}

#[test]
fn a_slow_rate_admits_one_buyer_after_the_other() {
    let mut sale = Sale::of(spec(1000, RoomSpec { admit_per_second: 1, ..room() }));
    sale.tickets(2000, 5);
    assert_eq!(sale.serving(10_000), 2);
    assert_eq!(sale.serving(10_999), 2);
    assert_eq!(sale.serving(11_000), 3);
    assert_eq!(sale.serving(12_000), 4);
}

#[test]
fn never_more_buyers_are_admitted_without_an_order_than_the_stock_allows() {
    let mut sale = Sale::of(spec(4, RoomSpec { admit_per_second: 1000, oversubscribe_percent: 150, ..room() }));
    sale.tickets(2000, 20);
    assert_eq!(sale.serving(10_000), 6, "4 units, half as many again");
    assert_eq!(sale.serving(20_000), 6);
    // An order takes a place and a unit: 3 units allow 4 buyers, and 5 are admitted without an order.
    let first = sale.order(20_000, 0).expect("admitted");
    assert_eq!(sale.serving(20_000), 6);
    sale.order(20_000, 1).expect("admitted");
    sale.order(20_000, 2).expect("admitted");
    assert_eq!(sale.serving(20_100), 6, "1 unit allows 1 buyer, and 3 are admitted without an order");
    // Units that come back make room.
    assert!(matches!(sale.apply(20_200, &Command::Order(OrderCommand::Cancel { order: first })), Outcome::Accepted(_)));
    assert_eq!(sale.serving(20_200), 6, "2 units allow 3 buyers, and 3 are admitted without an order");
    // Two orders expire at once: the first unit admits a buyer, the second the others a step later.
    assert_eq!(sale.serving(25_000), 7);
    assert_eq!(sale.serving(25_100), 9, "4 units allow 6 buyers, and 3 were admitted without an order");
}

#[test]
fn units_that_are_expected_back_admit_buyers_shortly_before_they_come() {
    let room = RoomSpec { admit_per_second: 1000, order_seconds: 5, oversubscribe_percent: 100, ..room() };
    let mut sale = Sale::of(DropSpec { reservation_seconds: 10, payment_seconds: 10, ..spec(40, room) });
    sale.tickets(2000, 100);
    assert_eq!(sale.serving(10_000), 40);
    let orders: Vec<Seq> = (0..40).map(|buyer| sale.order(10_000, buyer).expect("admitted")).collect();
    assert_eq!(sale.serving(10_050), 40, "nothing has come back so far, so nothing is expected");
    for order in &orders[..20] {
        sale.apply(10_100, &Command::Order(OrderCommand::Cancel { order: *order }));
    }
    assert_eq!(sale.serving(10_200), 60);
    assert!((40..60).all(|buyer| sale.order(10_200, buyer).is_ok()));
    // Of 60 units ever ordered 20 came back, so 40 * 20 / 60 will; in half of the 10 s of a hold, half of them.
    assert_eq!(sale.serving(14_999), 60, "the first hold ends after those who would be admitted have to order");
    assert_eq!(sale.serving(15_000), 66);
    assert_eq!(sale.serving(19_999), 66);
    // Then 20 holds end: those who were admitted in time have 5 s, and 20 units are free for others.
    assert!(sale.order(19_999, 60).is_err_and(|refusal| matches!(refusal, Refusal::SoldOut(SoldOut { held: 40, .. }))));
    assert!(sale.serving(20_000) > 66);
}

#[test]
fn parameters_change_until_the_room_is_open_and_the_speed_of_admission_once_the_sale_has_started() {
    let mut sale = Sale::of(spec(1000, room()));
    let all = RoomPatch {
        opens_at: Some(at(1500)),
        admit_per_second: Some(20),
        order_seconds: Some(30),
        oversubscribe_percent: Some(200),
    };
    assert_eq!(sale.change_room(500, all), None);
    assert!(
        matches!(sale.ask(1499, 0), Outcome::Refused { refusal: Refusal::NotOpen { opens_at }, .. } if opens_at == at(1500))
    );
    sale.tickets(1500, 100);
    let (speed, places, time, opening) = (
        RoomPatch { admit_per_second: Some(10), ..RoomPatch::default() },
        RoomPatch { oversubscribe_percent: Some(100), ..RoomPatch::default() },
        RoomPatch { order_seconds: Some(31), ..RoomPatch::default() },
        RoomPatch { opens_at: Some(at(1600)), ..RoomPatch::default() },
    );
    let fixed = |member, started| Some(Invalid::RoomFixed { member, started });
    assert_eq!(sale.change_room(1600, speed), fixed(RoomMember::AdmitPerSecond, false));
    assert_eq!(sale.change_room(1600, places), fixed(RoomMember::OversubscribePercent, false));
    assert_eq!(sale.change_room(1600, time), fixed(RoomMember::OrderSeconds, false));
    assert_eq!(sale.change_room(1600, opening), fixed(RoomMember::OpensAt, false));
    assert_eq!(sale.change_room(1600, all), None, "what stays as it is may be said again");
    assert_eq!(sale.serving(10_000), 4);
    assert_eq!(sale.change_room(10_000, time), fixed(RoomMember::OrderSeconds, true));
    assert_eq!(sale.serving(10_100), 6);
    assert_eq!(sale.change_room(10_100, speed), None);
    assert_eq!(sale.serving(10_200), 7, "half as fast");
    assert_eq!(sale.change_room(10_200, places), None);
    let mut plain = Sale::of(DropSpec { room: None, ..spec(5, room()) });
    assert_eq!(plain.change_room(500, speed), Some(Invalid::NoRoom));
    let mut early = Sale::of(spec(5, room()));
    let now = RoomPatch { opens_at: Some(at(400)), ..RoomPatch::default() };
    assert_eq!(early.change_room(500, now), None);
    assert_eq!(early.ticket(500, 1).number.get(), 1, "an opening in the past opens it at once");
    assert_eq!(early.state.next_due(), Some(at(10_000)));
}

#[test]
fn stock_that_is_added_admits_more_buyers_at_once() {
    let mut sale = Sale::of(spec(1, RoomSpec { oversubscribe_percent: 100, ..room() }));
    sale.tickets(2000, 5);
    assert_eq!(sale.serving(10_000), 1);
    let add = AdjustStock { drop_id: id(), delta: 1, expected_total: 1, reason: "a box".into() };
    sale.apply(12_000, &Command::Drop(DropCommand::AdjustStock(add)));
    assert_eq!(sale.serving(12_000), 2);
}

#[test]
fn an_admitted_buyer_has_the_time_to_order_and_then_makes_room() {
    let mut sale = Sale::of(spec(1, RoomSpec { order_seconds: 3, oversubscribe_percent: 100, ..room() }));
    sale.tickets(2000, 3);
    assert_eq!(sale.serving(10_000), 1);
    assert_eq!(sale.order(10_000, 1), waits(1, 1));
    assert_eq!(sale.serving(12_999), 1);
    assert_eq!(sale.serving(13_000), 2, "the first has let the time pass");
    assert_eq!(sale.order(13_000, 0), waits(0, 2), "and does not come back");
    assert!(sale.order(15_999, 1).is_ok());
    // The unit is held: nobody is admitted until it comes back.
    assert_eq!(sale.serving(20_998), 2);
    assert_eq!(sale.serving(20_999), 3);
}

#[test]
fn a_buyer_whose_time_has_passed_gets_what_is_left_once_every_ticket_has_been_admitted() {
    let mut sale = Sale::of(spec(2, RoomSpec { order_seconds: 3, oversubscribe_percent: 100, ..room() }));
    sale.tickets(2000, 4);
    assert_eq!(sale.serving(10_100), 2);
    assert_eq!(sale.order(13_100, 0), waits(0, 4), "both units are for those in their time");
    assert!(sale.order(13_200, 2).is_ok());
    assert_eq!(sale.order(13_300, 1), waits(1, 4), "the last unit is for the last ticket");
    assert_eq!(sale.order(15_999, 9), Err(Refusal::NotAdmitted { position: None, serving: 4 }), "without a ticket");
    assert!(sale.order(16_000, 0).is_ok(), "nobody is in their time");
    assert_eq!(sale.stand_by(16_001, 1), Ok(1), "and the line is open to the others");
    sale.ticket(16_002, 4);
    assert_eq!(sale.order(16_003, 3), waits(3, 4), "a ticket waits, and nobody passes it over");
}

#[test]
fn an_order_without_an_admission_is_refused_before_limits_and_stock_and_after_a_pause() {
    let mut sale = Sale::of(spec(1, room()));
    sale.ticket(2000, 0);
    assert_eq!(sale.order(9999, 0), Err(Refusal::NotStarted { starts_at: at(10_000) }));
    assert_eq!(sale.order(10_000, 9), Err(Refusal::NotAdmitted { position: None, serving: 1 }), "no ticket");
    sale.change(10_000, DropCommand::Pause);
    assert_eq!(sale.order(10_000, 9), Err(Refusal::DropPaused));
    sale.change(10_000, DropCommand::Resume);
    let order = sale.order(10_001, 0).expect("admitted");
    assert_eq!(sale.state.order(order).expect("live").state, OrderState::Reserved);
    assert_eq!(sale.order(10_002, 0), Err(Refusal::LimitReached { limit: 1, used: 1 }), "admitted, and at the limit");
    let key = sale.digests.params(b"0 10001");
    let again = sale.wish(0, key);
    let again = sale.apply(80_000, &Command::Order(OrderCommand::Place(again)));
    assert!(matches!(again, Outcome::Repeated { .. }), "a repeat needs no admission: {again:?}");
}

#[test]
fn when_every_unit_is_sold_waiting_buyers_and_new_ones_are_told_so() {
    let mut sale = Sale::of(DropSpec {
        unit_price: firstcome::types::UnitPrice::default(),
        ..spec(1, RoomSpec { oversubscribe_percent: 100, ..room() })
    });
    sale.tickets(2000, 2);
    let order = sale.order(10_000, 0).expect("admitted");
    assert_eq!(sale.order(10_000, 1), waits(1, 1), "the unit may come back");
    assert_eq!(sale.ticket(10_000, 2).number.get(), 3);
    sale.apply(10_001, &Command::Order(OrderCommand::Checkout { order }));
    let nothing = Refusal::AllSold { standby: 0 };
    assert_eq!(sale.order(10_002, 1), Err(nothing.clone()));
    assert!(matches!(sale.ask(10_002, 3), Outcome::Refused { refusal, .. } if refusal == nothing));
    assert!(sale.ticket(10_002, 1).repeated, "a ticket stays");
}

#[test]
fn units_that_come_back_go_to_those_who_stand_by_before_new_buyers_are_admitted() {
    let free = firstcome::types::UnitPrice::default();
    let mut sale = Sale::of(DropSpec { unit_price: free, ..spec(1, room()) });
    sale.tickets(2000, 3);
    assert_eq!(sale.serving(10_500), 3);
    let first = sale.order(10_500, 0).expect("admitted");
    // Nothing is free, so the fourth ticket waits.
    sale.ticket(10_600, 3);
    assert_eq!(sale.stand_by(10_700, 2), Ok(1), "admitted, and too late");
    assert_eq!(sale.stand_by(10_700, 1), Ok(2));
    assert_eq!(sale.stand_by(10_700, 3), waits(3, 3).map(|_| 0), "a buyer who is not admitted waits in the room");
    let holder = |sale: &Sale| {
        let granted = |event: &Event| {
            let EventBody::Order(OrderEvent::Granted(granted)) = &event.body else { return None };
            Some((event.seq, granted.reserved.buyer))
        };
        sale.events.iter().filter_map(granted).next_back()
    };
    sale.apply(11_000, &Command::Order(OrderCommand::Cancel { order: first }));
    assert_eq!(sale.serving(11_000), 3, "the unit is not for the fourth ticket");
    let (second, buyer) = holder(&sale).expect("an order from the line");
    assert_eq!(buyer, sale.buyer(2));
    sale.apply(11_001, &Command::Order(OrderCommand::Cancel { order: second }));
    assert_eq!(sale.serving(12_000), 3);
    let (third, buyer) = holder(&sale).expect("an order from the line");
    assert_eq!(buyer, sale.buyer(1));
    sale.apply(12_001, &Command::Order(OrderCommand::Cancel { order: third }));
    assert_eq!(sale.serving(12_200), 4, "the line is empty");
    let last = sale.order(12_300, 3).expect("admitted");
    sale.apply(12_301, &Command::Order(OrderCommand::Checkout { order: last }));
    assert_eq!(sale.stand_by(12_400, 9), Ok(1), "every unit is sold: others may stand by");
}

#[test]
fn the_start_may_only_become_later_while_buyers_wait_and_stays_once_it_has_come() {
    let open =
        |outcome: Outcome| matches!(outcome, Outcome::Refused { refusal: Refusal::Invalid(Invalid::RoomIsOpen), .. });
    let late = |outcome: Outcome| {
        matches!(outcome, Outcome::Refused { refusal: Refusal::Invalid(Invalid::RoomOpensLate), .. })
    };
    let mut sale = Sale::of(spec(5, room()));
    assert!(late(sale.create(0, spec(5, RoomSpec { opens_at: at(10_000), ..room() }))));
    assert!(late(sale.move_start(500, 1000)));
    assert!(matches!(sale.move_start(500, 9000), Outcome::Accepted(_)));
    sale.ticket(1000, 0);
    assert!(open(sale.move_start(1000, 8999)));
    assert!(matches!(sale.move_start(1000, 12_000), Outcome::Accepted(_)));
    assert_eq!(sale.serving(11_999), 0);
    assert_eq!(sale.serving(12_000), 1, "the ticket is still the first");
    assert!(open(sale.move_start(12_000, 20_000)));
}

#[test]
fn the_start_of_a_room_that_is_closed_moves_to_the_future_only_so_that_it_comes_as_an_event() {
    let mut sale = Sale::of(spec(5, room()));
    let both = |opens_at, starts_at| DropPatch {
        starts_at: Some(at(starts_at)),
        room: Some(RoomPatch { opens_at: Some(at(opens_at)), ..RoomPatch::default() }),
        ..DropPatch::default()
    };
    for starts_at in [400, 500] {
        let refused = sale.patch(500, both(100, starts_at));
        let is_open = matches!(refused, Outcome::Refused { refusal: Refusal::Invalid(Invalid::RoomIsOpen), .. });
        assert!(is_open, "{starts_at}: {refused:?}");
    }
    assert!(matches!(sale.patch(500, both(100, 501)), Outcome::Accepted(_)));
    sale.ticket(500, 0);
    assert_eq!(sale.serving(500), 0, "it has not come");
    assert_eq!(sale.serving(501), 1);
    let starts: Vec<i64> =
        sale.events.iter().filter(|event| event.body.name() == "drop_started").map(|event| event.at.get()).collect();
    assert_eq!(starts, [501]);
    // Without a room a drop starts at once by such a change.
    let mut plain = Sale::of(DropSpec { room: None, ..spec(5, room()) });
    assert!(matches!(plain.move_start(500, 400), Outcome::Accepted(_)));
    assert!(plain.order(500, 0).is_ok());
}

#[test]
fn a_drop_that_ends_has_no_tickets_and_admits_nobody() {
    let mut sale = Sale::of(spec(5, room()));
    sale.ticket(2000, 0);
    sale.change(3000, DropCommand::Close);
    let ended = |outcome: Outcome| matches!(outcome, Outcome::Refused { refusal: Refusal::Ended { .. }, .. });
    assert!(ended(sale.ask(3000, 0)) && ended(sale.ask(3000, 1)));
    sale.apply(20_000, &Command::Advance);
    assert_eq!(sale.admissions(), Vec::<i64>::new());
    assert_eq!(sale.state.drop_entry(id()).expect("a drop").room_state(), RoomState::Over);
    assert_eq!(sale.state.next_due(), None);
}

#[test]
fn a_million_tickets_take_at_most_250_bytes_each() {
    // The table of buyers doubles, so the worst number is just above a power of two of its capacity.
    let mut sale = Sale::of(spec(5, room()));
    let allocated = |state: &State| {
        let room = state.drop_entry(id()).and_then(|entry| entry.room.as_ref()).expect("a room");
        room.bytes_in_memory()
    };
    sale.apply(2000, &Command::Advance);
    for buyer in 0..20_000u32 {
        let command = RoomCommand::TakeTicket(TakeTicket { drop_id: id(), buyer: sale.buyer(buyer), origin: None });
        sale.state.apply(at(2000), &Command::Room(command), &mut sale.events);
        let tickets = usize::try_from(buyer).expect("small") + 1;
        assert!(tickets < 64 || allocated(&sale.state) <= 250 * tickets, "{tickets} tickets");
    }
}

#[test]
fn a_crowd_is_admitted_in_steps_of_5000_buyers_a_millisecond_apart() {
    let fast = RoomSpec { admit_per_second: 1_000_000, ..room() };
    let mut sale = Sale::of(spec(20_000, fast));
    for buyer in 0..12_000 {
        let command = RoomCommand::TakeTicket(TakeTicket { drop_id: id(), buyer: sale.buyer(buyer), origin: None });
        sale.state.apply(at(2000), &Command::Room(command), &mut sale.events);
    }
    assert_eq!(sale.serving(10_000), 5000);
    assert_eq!(sale.serving(10_001), 10_000);
    assert_eq!(sale.serving(10_002), 12_000);
    assert_eq!(sale.admissions(), [10_000, 10_001, 10_002]);
    // An admission that admitted all it could is followed by the usual pause.
    sale.ticket(10_010, 12_000);
    assert_eq!((sale.serving(10_101), sale.serving(10_102)), (12_000, 12_001));
    // The steps do not lengthen the time to order: each buyer has it from their own admission on.
    let until = [4999, 9999].map(|buyer| sale.ticket(10_103, buyer).order_until);
    assert_eq!(until, [Some(at(70_000)), Some(at(70_001))]);
}
