//! The rules of a room that is drawn: which tickets are drawn and when, what a beacon may do, and that seed and order follow
//! from what was promised.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(clippy::print_stdout, reason = "a measurement")]

mod test_drop;

use firstcome::engine::draw::{TicketProof, TicketTree, Transcript, TreeBuilder};
use firstcome::engine::{
    BeaconObstacle, ChangeDrop, Command, CommandKey, CreateDrop, DrawFinished, DropCommand, DropSpec, Effect, Event,
    EventBody, FinishDraw, FinishedDraw, Invalid, OrderCommand, Outcome, PlaceOrder, PostBeacon, PreparedDraw, Refusal,
    Room, RoomCommand, RoomEvent, RoomSpec, State, TakeTicket, TicketReceipt, invariants,
};
use firstcome::types::{
    Beacon, BeaconRule, Commitment, Digest, DigestKey, DrawState, DropId, MerkleRoot, Quantity, RoomDraw, RoomState,
    Seed, Seq, TicketDigest, TicketNumber, TicketPosition, UnixMillis,
};
use test_drop::test_drop;

/// A drop with a room that is drawn, in the engine alone: it opens at 1 s and starts at 10 s.
struct Sale {
    state: State,
    events: Vec<Event>,
    digests: DigestKey,
}

const TICKETS: u32 = 40;

fn at(ms: i64) -> UnixMillis {
    UnixMillis::new(ms).expect("in range")
}

fn id() -> DropId {
    DropId::new(1).expect("not 0")
}

fn seed() -> Seed {
    Seed::from_slice(&[5; 32]).expect("32 bytes")
}

fn number(n: u32) -> TicketNumber {
    TicketNumber::new(n).expect("not 0")
}

fn beacon(byte: u8) -> Beacon {
    Beacon::from_slice(&[byte; 32]).expect("short")
}

impl Sale {
    fn begin(beacon: Option<BeaconRule>) -> Sale {
        Sale::begin_at_rate(beacon, 1_000_000)
    }
    fn begin_at_rate(beacon: Option<BeaconRule>, admit_per_second: u32) -> Sale {
        let room = RoomSpec {
            opens_at: at(1000),
            draw: RoomDraw::Random { beacon },
            admit_per_second,
            order_seconds: 60,
            oversubscribe_percent: 1000,
        };
        let spec = DropSpec {
            starts_at: at(10_000),
            room: Some(Box::new(room)),
            commitment: Some(seed().commitment()),
            ..test_drop(1000)
        };
        let mut sale = Sale { state: State::new(1000), events: Vec::new(), digests: DigestKey::new(&[7; 32]) };
        let digest = sale.digests.params(b"drop");
        let create = CreateDrop { key: CommandKey { digest, params: digest }, spec: Box::new(spec) };
        let made = sale.apply(0, &Command::Drop(DropCommand::Create(create)));
        assert!(matches!(made, Outcome::Accepted(_)), "{made:?}");
        sale
    }
    /// The same with tickets of the gathering.
    fn gathered(beacon: Option<BeaconRule>) -> Sale {
        Sale::begin(beacon).gather()
    }
    fn gather(mut self) -> Sale {
        let sale = &mut self;
        for buyer in 1..=TICKETS {
            assert_eq!(sale.ticket(2000, buyer).position, None, "nobody knows it before the draw");
        }
        self
    }
    fn waiting(seconds: u32) -> Sale {
        let mut sale = Sale::gathered(Some(BeaconRule { seconds }));
        sale.fix(10_000);
        sale
    }
    fn apply(&mut self, ms: i64, command: &Command) -> Outcome {
        let outcome = self.state.apply(at(ms), command, &mut self.events);
        invariants::check(&self.state).expect("whole");
        outcome
    }
    fn buyer(&self, n: u32) -> Digest {
        self.digests.buyer(&format!("buyer{n}"))
    }
    fn ticket(&mut self, ms: i64, buyer: u32) -> TicketReceipt {
        let command = RoomCommand::TakeTicket(TakeTicket { drop_id: id(), buyer: self.buyer(buyer), origin: None });
        let outcome = self.apply(ms, &Command::Room(command));
        let Outcome::Accepted(Effect::Ticket(receipt)) = outcome else { panic!("{outcome:?}") };
        receipt
    }
    fn room(&self) -> &Room {
        self.state.drop_entry(id()).and_then(|entry| entry.room.as_deref()).expect("a room")
    }
    fn state_of_draw(&self) -> DrawState {
        self.room().draw.as_ref().expect("a draw").state()
    }
    fn state_of_room(&self) -> RoomState {
        self.state.drop_entry(id()).expect("a drop").room_state()
    }
    fn digests_of_tickets(&self, count: u32) -> Vec<TicketDigest> {
        (1..=count).map(|buyer| TicketDigest::of(&seed().commitment(), &self.buyer(buyer))).collect()
    }
    fn tree(&self, count: u32) -> TicketTree {
        let mut tree = TreeBuilder::default();
        self.digests_of_tickets(count).iter().for_each(|digest| tree.push(digest));
        tree.finish()
    }
    fn fix_by(&mut self, ms: i64, root: MerkleRoot) -> Outcome {
        self.apply(ms, &Command::Room(RoomCommand::FixTickets { drop_id: id(), root }))
    }
    fn fix(&mut self, ms: i64) {
        let root = self.tree(TICKETS).tickets().root();
        let fixed = self.fix_by(ms, root);
        assert!(matches!(fixed, Outcome::Accepted(_)), "{fixed:?}");
    }
    fn post(&mut self, ms: i64, beacon: Beacon) -> Outcome {
        let post = PostBeacon { drop_id: id(), beacon, source: "block 7".into(), reason: "ann".into() };
        self.apply(ms, &Command::Room(RoomCommand::PostBeacon(Box::new(post))))
    }
    fn finish_by(&mut self, ms: i64, seed: Seed, prepared: PreparedDraw) -> Outcome {
        let finish = FinishDraw { drop_id: id(), seed, prepared };
        self.apply(ms, &Command::Room(RoomCommand::FinishDraw(Box::new(finish))))
    }
    fn finish(&mut self, ms: i64) {
        let finished = self.finish_by(ms, seed(), PreparedDraw::default());
        assert!(matches!(finished, Outcome::Accepted(_)), "{finished:?}");
    }
    fn drawn(&self) -> Vec<&DrawFinished> {
        let found = self.events.iter().filter_map(|event| {
            if let EventBody::Room(RoomEvent::Drawn(finished)) = &event.body { Some(&**finished) } else { None }
        });
        found.collect()
    }
    fn order(&mut self, ms: i64, buyer: u32) -> Result<Seq, Refusal> {
        let key = self.digests.params(format!("{buyer} {ms}").as_bytes());
        let (drop_id, buyer) = (id(), self.buyer(buyer));
        let order = PlaceOrder { drop_id, buyer, key, quantity: Quantity::ONE, contact_given: false, facts: None };
        match self.apply(ms, &Command::Order(OrderCommand::Place(order))) {
            Outcome::Accepted(Effect::Reserved(reservation)) => Ok(reservation.order),
            Outcome::Refused { refusal, .. } => Err(refusal),
            other @ (Outcome::Accepted(_) | Outcome::Repeated { .. } | Outcome::Advanced) => panic!("{other:?}"),
        }
    }
    /// The positions of the drawn tickets, by number.
    fn positions(&self) -> Vec<u32> {
        let position = |n| self.room().position_of(number(n)).expect("drawn").0;
        (1..=TICKETS).map(position).collect()
    }
}

fn refused_as(outcome: &Outcome, why: BeaconObstacle) {
    let refused =
        matches!(outcome, Outcome::Refused { refusal: Refusal::BeaconNotTaken { why: found }, .. } if *found == why);
    assert!(refused, "{outcome:?} for {why:?}");
}

fn invalid(outcome: &Outcome, expected: &Invalid) {
    let refused = matches!(outcome, Outcome::Refused { refusal: Refusal::Invalid(found), .. } if found == expected);
    assert!(refused, "{outcome:?} for {expected:?}");
}

#[test]
fn tickets_of_the_gathering_are_drawn_and_later_ones_queue_behind_them_at_once() {
    let mut sale = Sale::gathered(None);
    assert_eq!((sale.state_of_draw(), sale.state_of_room()), (DrawState::Pending, RoomState::Gathering));
    invalid(&sale.fix_by(9999, MerkleRoot([1; 32])), &Invalid::DrawNotReady);
    let late = sale.ticket(10_000, 100);
    assert_eq!((late.number, late.position), (number(TICKETS + 1), Some(TicketPosition(TICKETS))));
    assert_eq!((late.state, sale.state_of_draw()), (RoomState::Drawing, DrawState::Fixing));
    assert_eq!(sale.ticket(10_000, 1).position, None);
    // Nobody is admitted before the draw, whatever passes.
    sale.apply(20_000, &Command::Advance);
    assert_eq!(sale.room().serving, 0);
    assert_eq!(sale.order(20_000, 1), Err(Refusal::NotAdmitted { position: None, serving: 0 }));
    sale.fix(20_000);
    assert_eq!(sale.state_of_draw(), DrawState::Drawing);
    sale.finish(20_001);
    assert_eq!((sale.state_of_draw(), sale.state_of_room()), (DrawState::Drawn, RoomState::Serving));
    let mut positions = sale.positions();
    assert_ne!(positions, (0..TICKETS).collect::<Vec<_>>(), "not by arrival");
    positions.sort_unstable();
    assert_eq!(positions, (0..TICKETS).collect::<Vec<_>>());
    assert_eq!(sale.ticket(20_001, 100).position, Some(TicketPosition(TICKETS)), "a position never changes");
    assert_eq!(sale.ticket(20_002, 101).position, Some(TicketPosition(TICKETS + 1)));
    sale.apply(20_200, &Command::Advance);
    assert_eq!(sale.room().serving, TICKETS + 2);
    assert!(sale.order(20_200, 1).is_ok() && sale.order(20_200, 101).is_ok());
}

#[test]
fn buyers_are_admitted_in_the_order_of_the_draw() {
    let mut sale = Sale::begin_at_rate(None, 30).gather();
    sale.fix(10_000);
    sale.finish(10_000);
    sale.apply(10_000, &Command::Advance);
    let serving = sale.room().serving;
    assert!((1..TICKETS).contains(&serving));
    for buyer in 1..=TICKETS {
        let position = sale.room().position_of(number(buyer)).expect("drawn");
        let ordered = sale.order(10_000, buyer);
        assert_eq!(ordered.is_ok(), position.0 < serving, "{buyer} at {position}: {ordered:?}");
    }
}

#[test]
fn a_transcript_of_the_published_values_is_accepted_and_proves_every_ticket() {
    let mut sale = Sale::waiting(300);
    assert!(matches!(sale.post(11_000, beacon(7)), Outcome::Accepted(_)));
    sale.finish(11_000);
    let tree = sale.tree(TICKETS);
    let finished = sale.drawn()[0].clone();
    let transcript = Transcript {
        commitment: seed().commitment(),
        seed: finished.seed,
        beacon: finished.beacon.expect("posted"),
        tickets: tree.tickets(),
        result: finished.result,
    };
    let digests = sale.digests_of_tickets(TICKETS);
    for n in 1..=TICKETS {
        let number = number(n);
        let path = tree.path(number, &digests).expect("one block");
        let position = sale.room().position_of(number).expect("drawn");
        let proof = TicketProof { number, digest: digests[number.index()], position, path };
        transcript.check(Some(&proof)).unwrap_or_else(|fault| panic!("{number}: {fault}"));
    }
    let other = Transcript { beacon: beacon(8), ..transcript };
    assert!(other.check(None).is_err(), "another beacon is another draw");
}

#[test]
fn a_beacon_is_taken_once_after_the_tickets_are_fixed_and_in_its_time() {
    let mut none = Sale::gathered(None);
    none.fix(10_000);
    refused_as(&none.post(10_000, beacon(1)), BeaconObstacle::NotAwaited);
    let mut sale = Sale::gathered(Some(BeaconRule { seconds: 60 }));
    refused_as(&sale.post(5000, beacon(1)), BeaconObstacle::TicketsNotFixed);
    refused_as(&sale.post(10_000, beacon(1)), BeaconObstacle::TicketsNotFixed);
    sale.fix(12_000);
    assert_eq!(sale.state_of_draw(), DrawState::AwaitingBeacon);
    invalid(&sale.finish_by(12_000, seed(), PreparedDraw::default()), &Invalid::DrawNotReady);
    assert!(matches!(sale.post(71_999, beacon(1)), Outcome::Accepted(_)));
    refused_as(&sale.post(71_999, beacon(2)), BeaconObstacle::Posted);
    refused_as(&sale.post(71_999, beacon(1)), BeaconObstacle::Posted);
    // The end of its time is no longer waited for.
    sale.apply(100_000, &Command::Advance);
    assert!(!sale.events.iter().any(|event| event.body.name() == "room_beacon_missed"));
    sale.finish(100_000);
    refused_as(&sale.post(100_000, beacon(1)), BeaconObstacle::Drawn);
    assert_eq!(sale.drawn()[0].beacon, Some(beacon(1)));
}

#[test]
fn without_a_beacon_in_its_time_the_draw_goes_on_without_it() {
    let mut sale = Sale::waiting(60);
    sale.apply(69_999, &Command::Advance);
    assert_eq!(sale.state_of_draw(), DrawState::AwaitingBeacon);
    sale.apply(70_000, &Command::Advance);
    assert_eq!(sale.state_of_draw(), DrawState::Drawing);
    let missed = sale.events.iter().find(|event| event.body.name() == "room_beacon_missed").expect("an event");
    assert_eq!(missed.at, at(70_000));
    refused_as(&sale.post(70_000, beacon(1)), BeaconObstacle::TooLate);
    sale.finish(70_000);
    assert_eq!(sale.drawn()[0].beacon, None);
}

#[test]
fn a_beacon_changes_the_order() {
    let positions = |post: Option<Beacon>| {
        let mut sale = Sale::waiting(60);
        match post {
            Some(beacon) => drop(sale.post(10_000, beacon)),
            None => drop(sale.apply(70_000, &Command::Advance)),
        }
        sale.finish(70_000);
        sale.positions()
    };
    let (one, other, without) = (positions(Some(beacon(1))), positions(Some(beacon(2))), positions(None));
    assert!(one != other && one != without && other != without);
    assert_eq!(one, positions(Some(beacon(1))));
}

#[test]
fn the_tickets_are_fixed_once_and_the_draw_is_done_once() {
    let mut sale = Sale::gathered(None);
    sale.fix(10_000);
    let root = sale.tree(TICKETS).tickets().root();
    assert!(matches!(sale.fix_by(10_000, root), Outcome::Repeated { .. }));
    invalid(&sale.fix_by(10_000, MerkleRoot([1; 32])), &Invalid::RootDiffers);
    let other = Seed::from_slice(&[6; 32]).expect("32 bytes");
    invalid(&sale.finish_by(10_000, other.clone(), PreparedDraw::default()), &Invalid::SeedDiffers);
    sale.finish(10_000);
    let before = sale.positions();
    for seed in [seed(), other] {
        assert!(matches!(sale.finish_by(11_000, seed, PreparedDraw::default()), Outcome::Repeated { .. }));
    }
    invalid(&sale.fix_by(11_000, MerkleRoot([1; 32])), &Invalid::RootDiffers);
    assert_eq!((sale.positions(), sale.drawn().len()), (before, 1));
}

#[test]
fn an_order_that_was_prepared_for_something_else_is_not_used() {
    let mut sale = Sale::waiting(60);
    let tickets = sale.tree(TICKETS).tickets();
    sale.post(10_000, beacon(1));
    let prepared = PreparedDraw::new(FinishedDraw::draw(tickets, seed(), Some(beacon(2))));
    assert!(matches!(sale.finish_by(10_000, seed(), prepared), Outcome::Accepted(_)));
    let expected = FinishedDraw::draw(tickets, seed(), Some(beacon(1)));
    assert_eq!(
        (sale.positions(), sale.drawn()[0].result),
        (expected.drawn.order.positions().into(), expected.drawn.result)
    );
}

#[test]
fn a_replay_without_prepared_orders_comes_to_the_same_state() {
    let mut sale = Sale::waiting(60);
    let tickets = sale.tree(TICKETS).tickets();
    sale.post(10_000, beacon(1));
    let prepared = PreparedDraw::new(FinishedDraw::draw(tickets, seed(), Some(beacon(1))));
    assert!(matches!(sale.finish_by(10_000, seed(), prepared), Outcome::Accepted(_)));
    let mut follower = State::new(1000);
    for event in &sale.events {
        let mut event = event.clone();
        if let EventBody::Room(RoomEvent::Drawn(finished)) = &mut event.body {
            finished.prepared = PreparedDraw::default();
        }
        follower.evolve(&event);
    }
    follower.advance(at(10_000), &mut Vec::new(), usize::MAX);
    sale.state.advance(at(10_000), &mut Vec::new(), usize::MAX);
    assert!(follower == sale.state);
}

#[test]
fn a_room_without_tickets_is_drawn_too() {
    let mut sale = Sale::begin(None);
    sale.apply(10_000, &Command::Advance);
    let root = sale.tree(0).tickets().root();
    assert!(matches!(sale.fix_by(10_000, root), Outcome::Accepted(_)));
    sale.finish(10_000);
    assert_eq!(sale.ticket(10_001, 1).position, Some(TicketPosition(0)));
}

#[test]
fn a_drop_that_ends_is_not_drawn_and_waits_for_no_beacon() {
    let mut sale = Sale::waiting(60);
    let close = ChangeDrop { drop_id: id(), reason: "because".into() };
    sale.apply(11_000, &Command::Drop(DropCommand::Close(close)));
    assert_eq!(sale.state.next_due(), None);
    for outcome in [sale.post(11_000, beacon(1)), sale.finish_by(11_000, seed(), PreparedDraw::default())] {
        assert!(matches!(outcome, Outcome::Refused { refusal: Refusal::Ended { .. }, .. }), "{outcome:?}");
    }
    assert_eq!(sale.state_of_room(), RoomState::Over);
    assert!(sale.drawn().is_empty(), "the seed stays a secret");
}

#[test]
fn a_draw_that_was_being_computed_when_its_drop_was_paused_is_not_published_before_the_drop_resumes() {
    let mut sale = Sale::waiting(60);
    sale.post(10_000, beacon(1));
    let change = ChangeDrop { drop_id: id(), reason: "a mistake".into() };
    sale.apply(10_001, &Command::Drop(DropCommand::Pause(change.clone())));
    let refused = sale.finish_by(10_002, seed(), PreparedDraw::default());
    assert!(matches!(refused, Outcome::Refused { refusal: Refusal::DropPaused, .. }), "{refused:?}");
    assert!(sale.drawn().is_empty(), "the seed stays a secret");
    sale.apply(10_003, &Command::Drop(DropCommand::Resume(change)));
    sale.finish(10_004);
}

#[test]
fn no_printed_command_event_or_state_shows_a_seed_before_the_draw() {
    let mut sale = Sale::waiting(60);
    sale.post(10_000, beacon(1));
    let finish = FinishDraw { drop_id: id(), seed: seed(), prepared: PreparedDraw::default() };
    let printed = format!("{:?} {:?} {finish:?}", sale.state, sale.events);
    assert!(!printed.contains(&seed().reveal()) && !printed.contains("5, 5, 5, 5"), "{printed}");
    let commitment: Commitment = seed().commitment();
    assert!(printed.contains(&commitment.to_string()));
}

/// Prints what each step of the draw of a million tickets takes on the writer's thread, and the memory.
#[test]
#[ignore = "a million tickets take a minute in debug code"]
fn a_million_tickets_are_drawn_without_a_pause_of_the_writer() {
    const MANY: u32 = 1_000_000;
    let mut sale = Sale::begin(None);
    let mut tree = TreeBuilder::default();
    for buyer in 1..=MANY {
        let buyer = sale.buyer(buyer);
        tree.push(&TicketDigest::of(&seed().commitment(), &buyer));
        let command = RoomCommand::TakeTicket(TakeTicket { drop_id: id(), buyer, origin: None });
        sale.state.apply(at(2000), &Command::Room(command), &mut sale.events);
        sale.events.clear();
    }
    let tickets = tree.finish().tickets();
    let prepared = PreparedDraw::new(FinishedDraw::draw(tickets, seed(), None));
    let finish = FinishDraw { drop_id: id(), seed: seed(), prepared };
    let steps = [
        ("start", 10_000, Command::Advance),
        ("root", 10_001, Command::Room(RoomCommand::FixTickets { drop_id: id(), root: tickets.root() })),
        ("seed and order", 10_002, Command::Room(RoomCommand::FinishDraw(Box::new(finish)))),
        ("first admission", 10_003, Command::Advance),
    ];
    for (what, ms, command) in steps {
        let began = std::time::Instant::now();
        let outcome = sale.state.apply(at(ms), &command, &mut sale.events);
        let took = began.elapsed();
        println!("{what}: {took:?}");
        assert!(!matches!(outcome, Outcome::Refused { .. }), "{what}: {outcome:?}");
        assert!(took < std::time::Duration::from_millis(20), "{what} took {took:?}");
    }
    assert!(sale.room().is_drawn() && sale.room().serving > 0);
    let of_order = 2 * size_of::<u32>();
    let bytes = sale.room().bytes_in_memory() / MANY as usize + of_order;
    println!("{bytes} bytes a ticket");
    assert!(bytes <= 250);
}
