//! The tags that version 3 added: events of waiting rooms, draws, lines of buyers who stand by, and blind windows, with their
//! private data. The bytes stand in `tests/fixtures/entry-rooms.txt`.

use firstcome::engine::{
    BeaconPosted, CommandKey, DrawFinished, DropCreated, DropEvent, DropPatch, DropPatched, Event, EventBody,
    EventSubject, OrderEvent, OrderReserved, PreparedDraw, RoomEvent, RoomServed, StandbyGranted, StandbyJoined,
    StandbyLeaving, TicketTaken, Waiting,
};
use firstcome::log::{Entry, EntryError};
use firstcome::store::PrivateData;
use firstcome::types::{
    Beacon, BeaconRule, BuyerOrigin, BuyerText, Digest, DrawResult, DropId, MerkleRoot, OrderSecret, Quantity,
    RoomDraw, RoomPatch, RoomSpec, Seed, Seq, Shard, TicketNumber, Tier, hex,
};

use super::test_drop::test_drop;
use super::{resealed, sample, seq};

const BUYER: Digest = Digest([0xb0; 16]);
const KEY: Digest = Digest([0xce; 16]);

fn id() -> DropId {
    DropId::new(1).expect("not 0")
}

fn seed() -> Seed {
    Seed::from_slice(&[0x5e; 32]).expect("32 bytes")
}

fn ann() -> BuyerText {
    BuyerText::new("ann").expect("a buyer")
}

/// An entry of one event of a drop, with its private data.
fn entry(body: EventBody, own: Option<PrivateData>) -> Entry {
    let mut entry = sample();
    let at = entry.at;
    let is_order = matches!(body, EventBody::Order(_));
    let subject =
        if is_order { EventSubject::Order { order: seq(7), drop_id: id() } } else { EventSubject::Drop(id()) };
    entry.batch.events = vec![Event { seq: seq(7), at, prev_seq: Seq::ZERO, subject, body }];
    entry.batch.private_data = own.into_iter().map(|own| (seq(7), own)).collect();
    entry
}

fn created(room: Option<RoomDraw>) -> (EventBody, Option<PrivateData>) {
    let at = sample().at;
    let room = room.map(|draw| {
        let (admit_per_second, order_seconds) = (300, 120);
        Box::new(RoomSpec { opens_at: at, draw, admit_per_second, order_seconds, oversubscribe_percent: 150 })
    });
    let has_seed = room.as_ref().is_none_or(|room| room.draw.is_random());
    let commitment = has_seed.then(|| seed().commitment());
    let blind_ms = if room.is_none() { 5000 } else { 0 };
    let spec = Box::new(firstcome::engine::DropSpec { room, commitment, blind_ms, ..test_drop(300) });
    let body =
        EventBody::Drop(DropEvent::Created(DropCreated { spec, key: CommandKey { digest: KEY, params: BUYER } }));
    (body, has_seed.then(|| PrivateData::Seed { seed: seed() }))
}

fn events() -> Vec<(&'static str, EventBody, Option<PrivateData>)> {
    let number = TicketNumber::new(300).expect("not 0");
    let at = sample().at;
    let of_order = || {
        Some(PrivateData::Order {
            secret: OrderSecret::from_random(Shard::SINGLE, [0x5e; 10]),
            buyer: ann(),
            contact: None,
        })
    };
    let changes = RoomPatch { admit_per_second: Some(20), ..RoomPatch::default() };
    let patch = Box::new(DropPatch { room: Some(changes), ..DropPatch::default() });
    let waiting = || Waiting { buyer: BUYER, key: KEY, quantity: Quantity::ONE, contact_given: true, facts: None };
    let joined =
        |number| EventBody::Drop(DropEvent::StandbyJoined(Box::new(StandbyJoined { waiting: waiting(), number })));
    let left = |leaving| EventBody::Drop(DropEvent::StandbyLeft { joined: seq(5), buyer: BUYER, leaving });
    let reserved = OrderReserved {
        buyer: BUYER,
        key: KEY,
        quantity: Quantity::ONE,
        unit_price: firstcome::types::UnitPrice::new(14_900).expect("a price"),
        expires_at: at.plus_seconds(120),
    };
    let granted = |number| {
        let granted = StandbyGranted { reserved, joined: seq(5), awaits_payment: true, number, facts: None };
        EventBody::Order(OrderEvent::Granted(Box::new(granted)))
    };
    let beacon = || Beacon::from_slice(&[0xbe, 0xac]).expect("short");
    let room = EventBody::Room;
    let posted = BeaconPosted { beacon: beacon(), source: "a die".into(), reason: "r".into() };
    let drawn = DrawFinished {
        seed: seed(),
        beacon: Some(beacon()),
        result: DrawResult([0x4e; 32]),
        prepared: PreparedDraw::default(),
    };
    let random = RoomDraw::Random { beacon: None };
    let with_beacon = RoomDraw::Random { beacon: Some(BeaconRule { seconds: 300 }) };
    let mut all = Vec::new();
    for (name, draw) in [
        ("a room by arrival", Some(RoomDraw::Arrival)),
        ("a room with a draw", Some(random)),
        ("a room with a beacon", Some(with_beacon)),
        ("a blind window", None),
    ] {
        let (body, own) = created(draw);
        all.push((name, body, own));
    }
    let of_drop = |event| EventBody::Drop(event);
    let origin = BuyerOrigin { tier: Tier::Verified, block: None };
    let taken = |origin| room(RoomEvent::TicketTaken(TicketTaken { buyer: BUYER, number, origin }));
    all.extend([
        ("a changed room", of_drop(DropEvent::Patched(DropPatched { patch, reason: "r".into() })), None),
        ("the end of a window", of_drop(DropEvent::WindowEnded { recorded: 300 }), None),
        ("a buyer stands by", joined(None), of_order()),
        ("a recorded order", joined(Some(number)), of_order()),
        ("a buyer left", left(StandbyLeaving::Buyer), None),
        ("a limit was there", left(StandbyLeaving::Limit), None),
        ("sold out at the turn", left(StandbyLeaving::SoldOut), None),
        ("a grant", granted(None), None),
        ("a grant of a window", granted(Some(number)), None),
        ("an opening", room(RoomEvent::Opened), None),
        ("a ticket", taken(None), Some(PrivateData::Ticket { buyer: ann() })),
        ("a ticket with an origin", taken(Some(origin)), Some(PrivateData::Ticket { buyer: ann() })),
        ("an admission", room(RoomEvent::Served(RoomServed { serving: 300, window_from: 20, rate_from: at })), None),
        ("fixed tickets", room(RoomEvent::TicketsFixed { tickets: 300, root: MerkleRoot([0x70; 32]) }), None),
        ("a beacon", room(RoomEvent::BeaconPosted(Box::new(posted))), None),
        ("no beacon", room(RoomEvent::BeaconMissed), None),
        ("a draw", room(RoomEvent::Drawn(Box::new(drawn))), None),
    ]);
    all
}

#[test]
fn events_of_rooms_draws_lines_and_windows_have_tags_of_their_own() {
    let mut shown = String::new();
    for (name, body, own) in events() {
        let bytes = entry(body.clone(), own.clone()).encode().expect("encoded");
        assert_eq!(Entry::decode(&bytes), Ok(entry(body, own)), "{name}");
        shown += &format!("{name}: {}\n", hex::encode(&bytes));
    }
    let golden = include_str!("../fixtures/entry-rooms.txt");
    for (shown, golden) in shown.lines().zip(golden.lines()) {
        assert_eq!(shown, golden, "a change of the bytes needs another version of the entry");
    }
    assert_eq!(shown.lines().count(), golden.lines().count(), "{shown}");
}

#[test]
fn an_event_that_needs_private_data_of_a_room_is_refused_without_it_and_a_drop_with_another_seed_than_its_own() {
    let refused = |entry: Entry| {
        let read = Entry::decode(&resealed(entry.encode().expect("encoded")));
        assert!(matches!(read, Err(EntryError::Malformed(_))), "{read:?}");
    };
    for (_, body, own) in events() {
        if own.is_some() {
            refused(entry(body, None));
        }
    }
    let (body, _) = created(Some(RoomDraw::Random { beacon: None }));
    let other = Seed::from_slice(&[0x5f; 32]).expect("32 bytes");
    refused(entry(body, Some(PrivateData::Seed { seed: other })));
}
