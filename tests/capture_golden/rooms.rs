//! The tags that version 5 added: waiting rooms, draws, lines of buyers who stand by, and blind windows. The bytes stand in
//! `tests/fixtures/capture-rooms.txt`.

use firstcome::capture::format::{
    Record, RecordReader, Recorded, SavedAdmission, SavedDraw, SavedDrop, SavedGrant, SavedLeaving, SavedPhase,
    SavedRecorded, SavedRoom, SavedStandby, SavedTicket,
};
use firstcome::engine::draw::TicketSet;
use firstcome::engine::{
    Admitted, BeaconObstacle, Command, CommandKey, CreateDrop, DropCommand, DropPatch, DropSpec, Effect, FinishDraw,
    Invalid, OrderCommand, Outcome, PatchDrop, PlaceOrder, PostBeacon, PreparedDraw, RecordedReceipt, Refusal,
    RoomClock, RoomCommand, RoomInstant, SoldOut, StandbyReceipt, TakeTicket, TicketReceipt, Waiting,
};
use firstcome::types::{
    Beacon, BeaconRule, BlockMark, BuyerOrigin, Digest, DropId, IdentityDigests, IdentityLimits, MerkleRoot,
    OrderFacts, Quantity, RoomDraw, RoomMember, RoomPatch, RoomSpec, RoomState, Seed, Seq, TicketNumber,
    TicketPosition, Tier, UnixMillis, hex,
};

use super::bytes_of;
use super::test_drop::test_drop;

const BUYER: Digest = Digest([0xb0; 16]);
const KEY: Digest = Digest([0xce; 16]);

fn seq(n: u64) -> Seq {
    Seq::new(n).expect("in range")
}

fn at() -> UnixMillis {
    UnixMillis::new(1_795_251_600_007).expect("in range")
}

fn id() -> DropId {
    DropId::new(1).expect("not 0")
}

fn seed() -> Seed {
    Seed::from_slice(&[0x5e; 32]).expect("32 bytes")
}

fn beacon() -> Beacon {
    Beacon::from_slice(&[0xbe, 0xac]).expect("short")
}

fn tickets() -> TicketSet {
    TicketSet::new(300, MerkleRoot([0x70; 32])).expect("few")
}

fn room(draw: RoomDraw) -> Option<Box<RoomSpec>> {
    let (opens_at, admit_per_second) = (at(), 300);
    Some(Box::new(RoomSpec { opens_at, draw, admit_per_second, order_seconds: 120, oversubscribe_percent: 150 }))
}

/// Drops by what stands in front of their orders.
fn specs() -> Vec<(&'static str, DropSpec)> {
    let random = RoomDraw::Random { beacon: None };
    let with_beacon = RoomDraw::Random { beacon: Some(BeaconRule { seconds: 300 }) };
    let commitment = Some(seed().commitment());
    let identity_limits = IdentityLimits { email: Some(2), ..IdentityLimits::default() };
    vec![
        ("by arrival", DropSpec { room: room(RoomDraw::Arrival), ..test_drop(300) }),
        ("random", DropSpec { room: room(random), commitment, ..test_drop(300) }),
        ("with a beacon and caps", DropSpec { room: room(with_beacon), commitment, identity_limits, ..test_drop(300) }),
        ("blind", DropSpec { blind_ms: 5000, commitment, ..test_drop(300) }),
    ]
}

fn saved(spec: DropSpec) -> Record {
    Record::Drop(Box::new(SavedDrop {
        id: id(),
        spec,
        held: 2,
        sold: 1,
        revision: 1,
        paused: false,
        ended: false,
        started: true,
        mismatch: false,
        last_seq: seq(1),
        version: seq(2),
    }))
}

fn decided(command: Command, outcome: Outcome) -> Record {
    Record::Decided(Box::new(Recorded { at: at(), command, admitted: Admitted::default(), outcome, events: 0 }))
}

fn refused(command: Command, refusal: Refusal) -> Record {
    decided(command, Outcome::Refused { as_of_seq: seq(3), refusal })
}

fn place(facts: Option<Box<OrderFacts>>) -> PlaceOrder {
    PlaceOrder { drop_id: id(), buyer: BUYER, key: KEY, quantity: Quantity::ONE, contact_given: true, facts }
}

fn facts() -> Option<Box<OrderFacts>> {
    let identities = IdentityDigests { email: Some(Digest([0xe0; 16])), ..IdentityDigests::default() };
    OrderFacts { identities, risk: None, origin: None }.boxed()
}

fn take_ticket() -> Command {
    take_ticket_from(None)
}

fn take_ticket_from(origin: Option<BuyerOrigin>) -> Command {
    Command::Room(RoomCommand::TakeTicket(TakeTicket { drop_id: id(), buyer: BUYER, origin }))
}

fn parts_of_snapshots() -> Vec<(&'static str, Record)> {
    let draw = |phase| Record::Draw(Box::new(SavedDraw { drop_id: id(), phase }));
    let (served_at, rate_from, clock) = (at(), at(), RoomClock { paused_ms: 7000, paused_at: Some(at()) });
    let room = SavedRoom { drop_id: id(), opened: true, first: 7, served_at, rate_from, returned: 70_000, clock };
    let waiting = Waiting { buyer: BUYER, key: KEY, quantity: Quantity::ONE, contact_given: false, facts: facts() };
    vec![
        ("a room", Record::Room(room)),
        ("a draw that has begun", draw(SavedPhase::Begun { tickets: 300 })),
        (
            "a draw whose tickets are fixed",
            draw(SavedPhase::Fixed { tickets: tickets(), at: at(), beacon: Some(beacon()), missed: false }),
        ),
        ("a draw that is done", draw(SavedPhase::Drawn { tickets: tickets(), seed: seed(), beacon: None })),
        ("a ticket", Record::Ticket(SavedTicket { drop_id: id(), buyer: BUYER, ordered: true })),
        ("an admission", Record::Admission(SavedAdmission { drop_id: id(), until: 300, at: RoomInstant(at()) })),
        ("a buyer who stands by", Record::Standby(Box::new(SavedStandby { drop_id: id(), seq: seq(9), waiting }))),
        ("a buyer who left a line", Record::LeftLine(SavedLeaving { drop_id: id(), buyer: BUYER, joined: seq(9) })),
        ("an order from a line", Record::Granted(SavedGrant { drop_id: id(), buyer: BUYER, order: seq(10) })),
        (
            "an order that a window recorded",
            Record::Recorded(SavedRecorded { drop_id: id(), seq: seq(11), quantity: Quantity::ONE }),
        ),
        ("a window that is over", Record::WindowOver(id())),
    ]
}

fn commands() -> Vec<(&'static str, Record)> {
    let number = TicketNumber::new(300).expect("not 0");
    let ticket = TicketReceipt {
        drop_id: id(),
        seq: seq(5),
        number,
        position: Some(TicketPosition(299)),
        serving: 20,
        state: RoomState::Serving,
        paused: false,
        paused_ms: 7000,
        order_until: Some(at()),
        available: 4,
        held: 5,
        repeated: true,
    };
    let line = StandbyReceipt {
        drop_id: id(),
        seq: seq(6),
        quantity: Quantity::ONE,
        position: 3,
        standby: 4,
        available: 0,
        held: 5,
        next_expiry_at: Some(at()),
        repeated: false,
    };
    let recorded = RecordedReceipt {
        drop_id: id(),
        seq: seq(7),
        quantity: Quantity::ONE,
        ticket: number,
        decided_at: at(),
        repeated: false,
    };
    let accepted = |command, effect| decided(command, Outcome::Accepted(effect));
    let order = |command| Command::Order(command);
    let post = PostBeacon { drop_id: id(), beacon: beacon(), source: "a die".into(), reason: "r".into() };
    let finish = FinishDraw { drop_id: id(), seed: seed(), prepared: PreparedDraw::default() };
    let changes = RoomPatch { opens_at: Some(at()), admit_per_second: Some(20), ..RoomPatch::default() };
    let patch = DropPatch { room: Some(changes), ..DropPatch::default() };
    let patch = PatchDrop { drop_id: id(), expected_revision: 1, patch: Box::new(patch), reason: "r".into() };
    let nothing = || Refusal::NotFound;
    let origin = BuyerOrigin { tier: Tier::Verified, block: BlockMark::new(0x00ab_cdef) };
    vec![
        ("a ticket is taken", accepted(take_ticket(), Effect::Ticket(ticket))),
        ("the same with an origin", refused(take_ticket_from(Some(origin)), nothing())),
        (
            "tickets are fixed",
            refused(Command::Room(RoomCommand::FixTickets { drop_id: id(), root: MerkleRoot([0x70; 32]) }), nothing()),
        ),
        ("a beacon is posted", refused(Command::Room(RoomCommand::PostBeacon(Box::new(post))), nothing())),
        ("a draw is finished", refused(Command::Room(RoomCommand::FinishDraw(Box::new(finish))), nothing())),
        ("a room is changed", refused(Command::Drop(DropCommand::Patch(patch)), nothing())),
        (
            "an order that may stand by",
            accepted(order(OrderCommand::PlaceOrStandBy(place(None))), Effect::Standby(line)),
        ),
        ("the same with facts", refused(order(OrderCommand::PlaceOrStandBy(place(facts()))), nothing())),
        ("a buyer stands by", refused(order(OrderCommand::JoinStandby(place(None))), nothing())),
        ("the same with facts", refused(order(OrderCommand::JoinStandby(place(facts()))), nothing())),
        (
            "a buyer leaves the line",
            refused(order(OrderCommand::LeaveStandby { drop_id: id(), buyer: BUYER }), nothing()),
        ),
        (
            "a buyer asks for the place",
            refused(order(OrderCommand::FindStandby { drop_id: id(), buyer: BUYER }), nothing()),
        ),
        ("a window records an order", accepted(order(OrderCommand::Place(place(None))), Effect::Recorded(recorded))),
    ]
}

fn refusals() -> Vec<(&'static str, Record)> {
    let left = SoldOut { available: 0, held: 4, next_expiry_at: None, standby: 300 };
    let invalid = |invalid| Refusal::Invalid(invalid);
    let why = |why| Refusal::BeaconNotTaken { why };
    let refusals = vec![
        ("not admitted", Refusal::NotAdmitted { position: Some(TicketPosition(300)), serving: 20 }),
        ("without a ticket", Refusal::NotAdmitted { position: None, serving: 20 }),
        ("not open", Refusal::NotOpen { opens_at: at() }),
        ("sold out with a line", Refusal::SoldOut(left)),
        ("all sold", Refusal::AllSold { standby: 300 }),
        ("no beacon is awaited", why(BeaconObstacle::NotAwaited)),
        ("tickets are not fixed", why(BeaconObstacle::TicketsNotFixed)),
        ("a beacon is there", why(BeaconObstacle::Posted)),
        ("too late for a beacon", why(BeaconObstacle::TooLate)),
        ("drawn", why(BeaconObstacle::Drawn)),
        ("the line is full", invalid(Invalid::StandbyFull)),
        ("the room opens late", invalid(Invalid::RoomOpensLate)),
        ("the room is open", invalid(Invalid::RoomIsOpen)),
        ("too many tickets", invalid(Invalid::TooManyTickets)),
        ("the draw is not ready", invalid(Invalid::DrawNotReady)),
        ("another seed", invalid(Invalid::SeedDiffers)),
        ("another root", invalid(Invalid::RootDiffers)),
        ("no room", invalid(Invalid::NoRoom)),
        ("fixed", invalid(Invalid::RoomFixed { member: RoomMember::OversubscribePercent, started: true })),
    ];
    refusals.into_iter().map(|(name, refusal)| (name, refused(take_ticket(), refusal))).collect()
}

fn sample() -> Vec<(&'static str, Record)> {
    let key = CommandKey { digest: KEY, params: BUYER };
    let create = |spec| Command::Drop(DropCommand::Create(CreateDrop { key, spec: Box::new(spec) }));
    let mut all: Vec<_> = specs().into_iter().map(|(name, spec)| (name, saved(spec))).collect();
    all.extend(specs().into_iter().map(|(name, spec)| (name, refused(create(spec), Refusal::NotFound))));
    all.extend(parts_of_snapshots());
    all.extend(commands());
    all.extend(refusals());
    all
}

#[test]
fn rooms_draws_lines_and_windows_have_tags_of_their_own() {
    let header = bytes_of(&[]).len();
    let mut shown = String::new();
    for (name, record) in sample() {
        let bytes = bytes_of(std::slice::from_ref(&record));
        let mut reader = RecordReader::open(&bytes[..]).expect("a header");
        assert_eq!(reader.read().expect("whole"), Some(record), "{name}");
        shown += &format!("{name}: {}\n", hex::encode(&bytes[header..]));
    }
    let golden = include_str!("../fixtures/capture-rooms.txt");
    for (shown, golden) in shown.lines().zip(golden.lines()) {
        assert_eq!(shown, golden, "a change of the bytes needs another version of the format");
    }
    assert_eq!(shown.lines().count(), golden.lines().count(), "{shown}");
}
