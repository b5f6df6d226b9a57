//! The rules of a blind window: what is recorded, that the draw and not the arrival decides, and when a drop goes on by arrival.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test cares for some outcomes")]

mod test_drop;

use firstcome::engine::draw::TreeBuilder;
use firstcome::engine::{
    ChangeDrop, Command, CommandKey, CreateDrop, DropCommand, DropEvent, DropPatch, DropSpec, Effect, Event, EventBody,
    FinishDraw, FinishedDraw, Invalid, OrderCommand, OrderEvent, Outcome, PatchDrop, PlaceOrder, PreparedDraw,
    RecordedReceipt, Refusal, RoomCommand, StandbyLeaving, State, Subject, invariants,
};
use firstcome::types::{
    Digest, DigestKey, DropId, IdentityDigests, IdentityLimits, MerkleRoot, OrderFacts, Quantity, Seed, Seq,
    TicketDigest, TicketNumber, TicketPosition, UnixMillis,
};
use test_drop::test_drop;

/// A drop in the engine alone: it starts at 10 s and is blind until 12 s.
struct Sale {
    state: State,
    events: Vec<Event>,
    digests: DigestKey,
}

const END: i64 = 12_000;

fn at(ms: i64) -> UnixMillis {
    UnixMillis::new(ms).expect("in range")
}

fn id() -> DropId {
    DropId::new(1).expect("not 0")
}

fn seed() -> Seed {
    Seed::from_slice(&[5; 32]).expect("32 bytes")
}

fn is_recorded(outcome: &Outcome) -> Option<&RecordedReceipt> {
    if let Outcome::Accepted(Effect::Recorded(receipt)) = outcome { Some(receipt) } else { None }
}

impl Sale {
    fn of(spec: DropSpec) -> Sale {
        Sale::created_at(0, spec)
    }
    fn created_at(ms: i64, spec: DropSpec) -> Sale {
        let spec = DropSpec {
            starts_at: at(10_000),
            blind_ms: 2000,
            commitment: Some(seed().commitment()),
            per_buyer_limit: 4,
            ..spec
        };
        let mut sale = Sale { state: State::new(1000), events: Vec::new(), digests: DigestKey::new(&[7; 32]) };
        let digest = sale.digests.params(b"drop");
        let create = CreateDrop { key: CommandKey { digest, params: digest }, spec: Box::new(spec) };
        let made = sale.apply(ms, &Command::Drop(DropCommand::Create(create)));
        assert!(matches!(made, Outcome::Accepted(_)), "{made:?}");
        sale
    }
    fn with_units(total: u32) -> Sale {
        Sale::of(test_drop(total))
    }
    fn apply(&mut self, ms: i64, command: &Command) -> Outcome {
        let outcome = self.state.apply(at(ms), command, &mut self.events);
        invariants::check(&self.state).expect("whole");
        outcome
    }
    fn buyer(&self, n: u32) -> Digest {
        self.digests.buyer(&format!("buyer{n}"))
    }
    fn placed(&self, n: u32, key: &str, quantity: u16) -> PlaceOrder {
        let buyer = self.buyer(n);
        PlaceOrder {
            drop_id: id(),
            buyer,
            key: self.digests.order_key(id(), &buyer, key.as_bytes()),
            quantity: Quantity::new(quantity).expect("not 0"),
            contact_given: false,
            facts: None,
        }
    }
    fn order(&mut self, ms: i64, n: u32, key: &str, quantity: u16) -> Outcome {
        let order = self.placed(n, key, quantity);
        self.apply(ms, &Command::Order(OrderCommand::Place(order)))
    }
    /// Records an order of each buyer of a range.
    fn record(&mut self, ms: i64, buyers: std::ops::RangeInclusive<u32>) {
        for n in buyers {
            let outcome = self.order(ms, n, "k", 1);
            let receipt = is_recorded(&outcome).unwrap_or_else(|| panic!("{n}: {outcome:?}"));
            assert_eq!((receipt.ticket.get(), receipt.decided_at, receipt.repeated), (n, at(END), false));
        }
    }
    fn root(&self, buyers: u32) -> MerkleRoot {
        let mut tree = TreeBuilder::default();
        for n in 1..=buyers {
            tree.push(&TicketDigest::of(&seed().commitment(), &self.buyer(n)));
        }
        tree.finish().tickets().root()
    }
    /// Draws the orders of so many buyers.
    fn draw(&mut self, ms: i64, buyers: u32) {
        self.fix(ms, buyers);
        let finished = self.finish(ms);
        assert!(matches!(finished, Outcome::Accepted(_)), "{finished:?}");
    }
    fn fix(&mut self, ms: i64, buyers: u32) {
        let root = self.root(buyers);
        let fixed = self.apply(ms, &Command::Room(RoomCommand::FixTickets { drop_id: id(), root }));
        assert!(matches!(fixed, Outcome::Accepted(_)), "{fixed:?}");
    }
    fn finish(&mut self, ms: i64) -> Outcome {
        let finish = FinishDraw { drop_id: id(), seed: seed(), prepared: PreparedDraw::default() };
        self.apply(ms, &Command::Room(RoomCommand::FinishDraw(Box::new(finish))))
    }
    /// The numbers by the draw's order, as an outsider computes them.
    fn order_of(&self, buyers: u32) -> Vec<u32> {
        let tickets = firstcome::engine::draw::TicketSet::new(buyers, self.root(buyers)).expect("few");
        let drawn = FinishedDraw::draw(tickets, seed(), None).drawn;
        (0..buyers).map(|position| drawn.order.number(TicketPosition(position)).expect("drawn").get()).collect()
    }
    /// The numbers of those who got an order, and of those who did not, in the order of the decisions.
    fn decided(&self) -> (Vec<u32>, Vec<u32>) {
        let number_of = |joined: Seq| {
            let event = self.events.iter().find(|event| event.seq == joined).map(|event| &event.body);
            let Some(EventBody::Drop(DropEvent::StandbyJoined(joined))) = event else { panic!("{event:?}") };
            joined.number.map(TicketNumber::get).expect("recorded")
        };
        let (mut orders, mut others) = (Vec::new(), Vec::new());
        for event in &self.events {
            match &event.body {
                EventBody::Order(OrderEvent::Granted(granted)) => orders.push(number_of(granted.joined)),
                EventBody::Drop(DropEvent::StandbyLeft { joined, leaving: StandbyLeaving::SoldOut, .. }) => {
                    others.push(number_of(*joined));
                }
                _ => {}
            }
        }
        (orders, others)
    }
}

#[test]
fn recorded_orders_are_decided_in_the_order_of_the_draw_and_not_of_their_arrival() {
    let mut sale = Sale::with_units(7);
    assert!(matches!(sale.order(9999, 1, "k", 1), Outcome::Refused { refusal: Refusal::NotStarted { .. }, .. }));
    sale.record(10_000, 1..=10);
    sale.record(END - 1, 11..=20);
    assert_eq!(sale.state.drop_entry(id()).expect("there").held, 0, "nothing is decided in the window");
    sale.draw(END, 20);
    sale.apply(END + 1, &Command::Advance);
    let order = sale.order_of(20);
    let (orders, others) = sale.decided();
    assert_eq!(orders, order[..7], "the first seven by the draw have the units");
    assert_eq!(others, order[7..]);
    assert_ne!(orders, [1, 2, 3, 4, 5, 6, 7], "that would be the arrival");
    // Each buyer learns it by the same request.
    for n in 1..=20 {
        match sale.order(END + 2, n, "k", 1) {
            Outcome::Repeated { subject: Subject::Order(_), .. } => assert!(orders.contains(&n), "{n}"),
            Outcome::Refused { refusal: Refusal::SoldOut(left), .. } => {
                assert!(others.contains(&n) && left.available == 0 && left.standby == 0, "{n}: {left:?}");
            }
            other => panic!("{n}: {other:?}"),
        }
    }
}

#[test]
fn a_recorded_order_is_told_again_and_each_buyer_has_one() {
    let mut sale = Sale::with_units(7);
    sale.record(10_000, 1..=2);
    for (key, quantity) in [("k", 1), ("another", 1), ("another", 2)] {
        let outcome = sale.order(10_500, 1, key, quantity);
        let told = is_recorded(&outcome).unwrap_or_else(|| panic!("{key}: {outcome:?}"));
        assert_eq!((told.ticket.get(), told.quantity.get(), told.repeated), (1, 1, true), "{key}");
    }
    let reused = sale.order(10_500, 1, "k", 2);
    assert!(matches!(reused, Outcome::Refused { refusal: Refusal::KeyReused, .. }), "{reused:?}");
    let beyond = sale.order(10_500, 3, "k", 5);
    assert!(matches!(beyond, Outcome::Refused { refusal: Refusal::LimitReached { limit: 4, used: 0 }, .. }));
}

#[test]
fn orders_that_come_while_the_draw_runs_are_recorded_behind_and_then_the_drop_goes_on_by_arrival() {
    let mut sale = Sale::with_units(6);
    sale.record(10_000, 1..=4);
    // The end of the window comes first: these are not drawn.
    sale.record(END, 5..=6);
    sale.draw(END, 4);
    sale.record(END, 7..=8);
    sale.apply(END + 1, &Command::Advance);
    let (orders, others) = sale.decided();
    assert_eq!(orders[..4], sale.order_of(4));
    assert_eq!((&orders[4..], &others[..]), (&[5, 6][..], &[7, 8][..]), "by their numbers");
    assert!(sale.state.drop_entry(id()).expect("there").draw().is_none(), "the window is over");
    assert!(matches!(sale.order(END + 2, 9, "k", 1), Outcome::Refused { refusal: Refusal::SoldOut(_), .. }));

    // A window without orders ends with an empty draw.
    let mut sale = Sale::with_units(1);
    sale.draw(END, 0);
    assert!(matches!(sale.order(END, 1, "k", 1), Outcome::Accepted(Effect::Reserved(_))));
}

#[test]
fn a_larger_wish_does_not_wait_for_units_and_smaller_ones_behind_it_are_served() {
    let mut sale = Sale::with_units(3);
    for n in 1..=4 {
        assert!(is_recorded(&sale.order(10_000, n, "k", 2)).is_some());
    }
    assert!(is_recorded(&sale.order(10_000, 5, "k", 1)).is_some());
    sale.draw(END, 5);
    sale.apply(END + 1, &Command::Advance);
    let (orders, others) = sale.decided();
    let expected = sale.order_of(5);
    let of_two: Vec<u32> = expected.iter().copied().filter(|n| *n < 5).collect();
    assert!(orders.contains(&of_two[0]) && orders.contains(&5) && orders.len() == 2, "{expected:?}: {orders:?}");
    assert_eq!(others, of_two[1..]);
}

#[test]
fn an_order_that_its_buyer_takes_back_keeps_its_number_and_is_not_decided() {
    let mut sale = Sale::with_units(2);
    sale.record(10_000, 1..=3);
    let first = sale.order_of(3)[0];
    let leave = OrderCommand::LeaveStandby { drop_id: id(), buyer: sale.buyer(first) };
    assert!(matches!(sale.apply(10_500, &Command::Order(leave)), Outcome::Accepted(_)));
    sale.draw(END, 3);
    sale.apply(END + 1, &Command::Advance);
    assert_eq!(sale.decided(), (sale.order_of(3)[1..].to_vec(), Vec::new()));
}

#[test]
fn a_few_orders_among_thousands_that_were_taken_back_are_decided_in_the_order_of_the_draw() {
    let mut sale = Sale::with_units(2);
    let kept = [77, 2048, 4999];
    for n in 1..=5000 {
        let place = Command::Order(OrderCommand::Place(sale.placed(n, "k", 1)));
        let recorded = sale.state.apply(at(10_000), &place, &mut sale.events);
        assert!(is_recorded(&recorded).is_some(), "{n}: {recorded:?}");
    }
    for n in (1..=5000).filter(|n| !kept.contains(n)) {
        let leave = OrderCommand::LeaveStandby { drop_id: id(), buyer: sale.buyer(n) };
        let left = sale.state.apply(at(11_000), &Command::Order(leave), &mut sale.events);
        assert!(matches!(left, Outcome::Accepted(_)), "{n}: {left:?}");
    }
    sale.draw(END, 5000);
    sale.apply(END + 1, &Command::Advance);
    let drawn: Vec<u32> = sale.order_of(5000).into_iter().filter(|n| kept.contains(n)).collect();
    assert_eq!(sale.decided(), (drawn[..2].to_vec(), drawn[2..].to_vec()));
    assert!(matches!(sale.order(END + 2, 6000, "k", 1), Outcome::Refused { .. }), "the drop goes on by arrival");
}

#[test]
fn decisions_are_made_in_steps_so_that_other_commands_need_not_wait() {
    let mut sale = Sale::with_units(1000);
    sale.record(10_000, 1..=900);
    sale.draw(END, 900);
    // After a standstill of a second there is one step, too.
    for (ms, orders) in [(0, 0), (1, 200), (1, 200), (2, 400), (1002, 600), (1003, 800), (1005, 900)] {
        sale.apply(END + ms, &Command::Advance);
        assert_eq!(sale.decided().0.len(), orders, "after {ms} ms");
    }
    assert_eq!(sale.decided().0, sale.order_of(900));
}

#[test]
fn a_paused_drop_decides_nothing_and_the_end_of_a_drop_is_the_end_of_its_window() {
    let change = || ChangeDrop { drop_id: id(), reason: "because".into() };
    let mut sale = Sale::with_units(7);
    sale.record(10_000, 1..=3);
    sale.apply(11_000, &Command::Drop(DropCommand::Pause(change())));
    assert!(matches!(sale.order(11_000, 4, "k", 1), Outcome::Refused { refusal: Refusal::DropPaused, .. }));
    sale.fix(END, 3);
    let refused = sale.finish(END);
    assert!(matches!(refused, Outcome::Refused { refusal: Refusal::DropPaused, .. }), "{refused:?}");
    sale.apply(END + 5000, &Command::Advance);
    assert_eq!(sale.decided().0, [0; 0]);
    sale.apply(END + 6000, &Command::Drop(DropCommand::Resume(change())));
    sale.finish(END + 6001);
    sale.apply(END + 6002, &Command::Advance);
    assert_eq!(sale.decided().0, sale.order_of(3));

    let mut sale = Sale::with_units(7);
    sale.record(10_000, 1..=3);
    sale.apply(11_000, &Command::Drop(DropCommand::Close(change())));
    sale.apply(END + 5000, &Command::Advance);
    assert_eq!(sale.decided().0, [0; 0]);
    assert!(matches!(sale.order(END + 5000, 1, "k", 1), Outcome::Refused { refusal: Refusal::Ended { .. }, .. }));
}

#[test]
fn the_start_of_a_blind_drop_stays_once_it_has_come_and_no_other_seed_is_taken() {
    let mut sale = Sale::with_units(7);
    let patch = |revision, ms| {
        Command::Drop(DropCommand::Patch(PatchDrop {
            drop_id: id(),
            expected_revision: revision,
            patch: Box::new(DropPatch { starts_at: Some(at(ms)), ..DropPatch::default() }),
            reason: "because".into(),
        }))
    };
    assert!(matches!(sale.apply(1, &patch(1, 10_001)), Outcome::Accepted(_)));
    assert!(matches!(sale.apply(2, &patch(2, 10_000)), Outcome::Accepted(_)));
    sale.record(10_000, 1..=2);
    let moved = sale.apply(10_001, &patch(3, 11_000));
    assert!(matches!(moved, Outcome::Refused { refusal: Refusal::Invalid(Invalid::RoomIsOpen), .. }), "{moved:?}");
    let root = sale.root(2);
    let early = sale.apply(10_001, &Command::Room(RoomCommand::FixTickets { drop_id: id(), root }));
    assert!(matches!(early, Outcome::Refused { refusal: Refusal::Invalid(Invalid::DrawNotReady), .. }), "{early:?}");
    sale.apply(END, &Command::Room(RoomCommand::FixTickets { drop_id: id(), root }));
    let other = Seed::from_slice(&[6; 32]).expect("32 bytes");
    let finish = FinishDraw { drop_id: id(), seed: other, prepared: PreparedDraw::default() };
    let refused = sale.apply(END, &Command::Room(RoomCommand::FinishDraw(Box::new(finish))));
    assert!(matches!(refused, Outcome::Refused { refusal: Refusal::Invalid(Invalid::SeedDiffers), .. }), "{refused:?}");
}

#[test]
fn a_start_that_is_moved_to_the_past_ends_the_window_and_the_drop_goes_on_by_arrival() {
    let moved_to = |ms| {
        Command::Drop(DropCommand::Patch(PatchDrop {
            drop_id: id(),
            expected_revision: 1,
            patch: Box::new(DropPatch { starts_at: Some(at(ms)), ..DropPatch::default() }),
            reason: "because".into(),
        }))
    };
    // The window would have been from 1 s to 3 s.
    let mut sale = Sale::with_units(1);
    assert!(matches!(sale.apply(5000, &moved_to(1000)), Outcome::Accepted(_)));
    sale.apply(5001, &Command::Advance);
    let recorded = sale.order(5002, 1, "k", 1);
    assert_eq!(is_recorded(&recorded).map(|told| (told.ticket.get(), told.decided_at)), Some((1, at(3000))));
    sale.draw(5003, 0);
    sale.apply(5010, &Command::Advance);
    assert_eq!(sale.decided().0, [1], "the order that came while the draw ran");
    assert!(matches!(sale.order(5011, 2, "k", 1), Outcome::Refused { refusal: Refusal::SoldOut(_), .. }));

    // A part of the window is left: from 4 s to 6 s.
    let mut sale = Sale::with_units(1);
    assert!(matches!(sale.apply(5000, &moved_to(4000)), Outcome::Accepted(_)));
    for n in 1..=3 {
        let told = sale.order(5999, n, "k", 1);
        assert_eq!(is_recorded(&told).map(|told| told.decided_at), Some(at(6000)), "{told:?}");
    }
    sale.draw(6000, 3);
    sale.apply(6010, &Command::Advance);
    assert_eq!(sale.decided().0, sale.order_of(3)[..1]);
}

#[test]
fn a_drop_that_is_created_after_its_window_draws_nothing_and_sells_by_arrival() {
    let mut sale = Sale::created_at(60_000, test_drop(1));
    sale.draw(60_001, 0);
    assert!(matches!(sale.order(60_002, 1, "k", 1), Outcome::Accepted(Effect::Reserved(_))));
    assert!(matches!(sale.order(60_002, 2, "k", 1), Outcome::Refused { refusal: Refusal::SoldOut(_), .. }));
}

#[test]
fn who_would_stand_by_is_recorded_as_others_and_joins_the_line_by_asking_again() {
    let mut sale = Sale::with_units(1);
    let stands_by = |sale: &Sale, n: u32| match sale.placed(n, "k", 1) {
        order if n == 1 => Command::Order(OrderCommand::JoinStandby(order)),
        order => Command::Order(OrderCommand::PlaceOrStandBy(order)),
    };
    for n in 1..=3 {
        let command = stands_by(&sale, n);
        let outcome = sale.apply(10_000, &command);
        assert_eq!(is_recorded(&outcome).map(|told| told.ticket.get()), Some(n), "{outcome:?}");
    }
    sale.draw(END, 3);
    sale.apply(END + 5, &Command::Advance);
    assert_eq!(sale.decided().0, sale.order_of(3)[..1]);
    for (n, position) in sale.order_of(3)[1..].to_vec().into_iter().zip(1..) {
        let command = stands_by(&sale, n);
        match sale.apply(END + 6, &command) {
            Outcome::Accepted(Effect::Standby(receipt)) => assert_eq!(receipt.position, position),
            other => panic!("{n}: {other:?}"),
        }
    }
}

#[test]
fn a_cap_that_two_recorded_orders_reach_together_lets_the_first_by_the_draw_through() {
    let limits = IdentityLimits { email: Some(1), ..IdentityLimits::default() };
    let mut sale = Sale::of(DropSpec { identity_limits: limits, ..test_drop(5) });
    let of = |sale: &Sale, n: u32, email: Option<u8>| {
        let identities = IdentityDigests { email: email.map(|byte| Digest([byte; 16])), ..IdentityDigests::NONE };
        let facts = Some(Box::new(OrderFacts { identities, ..OrderFacts::default() }));
        Command::Order(OrderCommand::Place(PlaceOrder { facts, ..sale.placed(n, "k", 1) }))
    };
    let without = of(&sale, 9, None);
    assert!(is_recorded(&sale.apply(10_000, &without)).is_none(), "the cap compares addresses");
    for n in 1..=2 {
        let same = of(&sale, n, Some(7));
        assert!(is_recorded(&sale.apply(10_000, &same)).is_some(), "no order has the address yet");
    }
    sale.draw(END, 2);
    sale.apply(END + 5, &Command::Advance);
    assert_eq!(sale.decided(), (sale.order_of(2)[..1].to_vec(), Vec::new()));
    let left = sale.events.iter().filter(|event| {
        let EventBody::Drop(DropEvent::StandbyLeft { leaving, .. }) = &event.body else { return false };
        *leaving == StandbyLeaving::Limit
    });
    assert_eq!(left.count(), 1, "the other one leaves");
    let again = of(&sale, sale.order_of(2)[1], Some(7));
    let refused = sale.apply(END + 6, &again);
    assert!(matches!(refused, Outcome::Refused { refusal: Refusal::IdentityLimitReached { .. }, .. }), "{refused:?}");
}
