//! The bytes of a capture. They may only change together with the version of the format: old files must stay readable,
//! or be refused by their version.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

#[path = "capture_golden/rooms.rs"]
mod rooms;
mod test_drop;

use firstcome::capture::format::{
    Committed, Header, OrderKey, Record, RecordReader, RecordWriter, Recorded, SavedCommandKey, SavedDrop,
    SnapshotBegun, Used, digest_of,
};
use firstcome::capture::replay::{Pace, replay};
use firstcome::engine::{
    Admitted, Command, CommandKey, CreateDrop, DropCommand, DropEvent, DropPatch, DropSpec, Effect, Event, EventBody,
    EventSubject, Order, OrderCommand, OrderEvent, OrderReserved, Outcome, PatchDrop, PlaceOrder, Refusal,
    RememberedCommand, RememberedOrder, Reservation, SoldOut,
};
use firstcome::types::{
    ChallengeKind, ChallengeRule, Currency, Digest, DropId, IdentityDigests, IdentityLimits, OrderFacts, OrderState,
    Quantity, RiskNote, Seq, Signal, SignalSet, Tier, UnitPrice, UnixMillis, hex,
};
use test_drop::test_drop;

const HEADER: &str = "464363617074757205000000f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f102000000000000009efc2b49";
const RECORDS: &[&str] = &[
    "10000000a8583a420102fd0ef5aafa43030000fc40420f00",
    "2d00000097ca53e302010153014e0001017503455552fb343afb2c010001fd0ef5aafa430300000278fb8403020101000001000102",
    "1300000042fde3140301b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b002",
    "340000009554618004020201b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0cececececececececececececececece0200fb343a01fd0ef5aafa4303000000",
    "1c000000f8177c7a05cececececececececececececececece0102fd0ef5aafa43030000",
    "2c000000de99e09906cececececececececececececececece01b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b001fd0ef5aafa43030000",
    "020000008baafdbe0705",
    "5a0000001bb451e908fd0ef5aafa43030000020101b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0cececececececececececececececece0200000001010303010102fb343a03455552fd0ef5aafa43030000fd0ef5aafa43030000fdefcdab8967452301",
    "41000000707ddb2c08fd0ef5aafa43030000020101b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0cececececececececececececececece02000000030307000401fd0ef5aafa4303000000",
    "48000000d737b4cd08fd0ef5aafa4303000002030201020201b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0cececececececececececececececece0200fb343a01fd0ef5aafa430300000000030309050400",
    "0d000000104f94ae0903fd0ef5aafa430300000001",
    "06000000d3975d570afc70110100",
];

fn sample() -> Vec<Record> {
    let seq = |n| Seq::new(n).expect("in range");
    let at = UnixMillis::new(1_795_251_600_007).expect("in range");
    let drop_id = DropId::new(1).expect("not 0");
    let (buyer, key) = (Digest([0xb0; 16]), Digest([0xce; 16]));
    let quantity = Quantity::new(2).expect("not 0");
    let unit_price = UnitPrice::new(14_900).expect("a price");
    let currency = Currency::new("EUR").expect("a currency");
    let spec =
        DropSpec { image_url: Some("u".into()), unit_price, ends_at: Some(at), per_buyer_limit: 2, ..test_drop(300) };
    let order = Order {
        seq: seq(2),
        last_seq: seq(2),
        drop_id,
        buyer,
        key,
        quantity,
        returned: 0,
        unit_price,
        state: OrderState::Reserved,
        expires_at: at,
        payments: Box::default(),
    };
    let reservation = Reservation {
        order: seq(3),
        seq: seq(3),
        drop_id,
        state: OrderState::Reserved,
        quantity,
        unit_price,
        currency,
        reserved_at: at,
        expires_at: at,
    };
    let place = Command::Order(OrderCommand::Place(PlaceOrder {
        drop_id,
        buyer,
        key,
        quantity,
        contact_given: false,
        facts: None,
    }));
    let refused = Outcome::Refused {
        as_of_seq: seq(3),
        refusal: Refusal::SoldOut(SoldOut { available: 0, held: 4, next_expiry_at: Some(at), standby: 0 }),
    };
    let decided = |command, admitted, outcome, events| {
        Record::Decided(Box::new(Recorded { at, command, admitted, outcome, events }))
    };
    vec![
        Record::SnapshotBegun(SnapshotBegun { seq: seq(2), at, idempotency_keys_max: 1_000_000 }),
        Record::Drop(Box::new(SavedDrop {
            id: drop_id,
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
        })),
        Record::Used(Used { drop_id, buyer, units: 2 }),
        Record::LiveOrder(Box::new(order.clone())),
        Record::OrderKey(OrderKey { key, remembered: RememberedOrder { seq: seq(1), quantity }, idle_since: at }),
        Record::CommandKey(SavedCommandKey {
            key,
            remembered: RememberedCommand { seq: seq(1), params: buyer, subject: 1 },
            at,
        }),
        Record::SnapshotEnded(5),
        decided(
            place.clone(),
            Admitted::default(),
            Outcome::Accepted(Effect::Reserved(reservation)),
            0x0123_4567_89ab_cdef,
        ),
        decided(place, Admitted::default(), refused, 0),
        decided(
            Command::Order(OrderCommand::Cancel { order: seq(2) }),
            Admitted { order: Some(order), ..Admitted::default() },
            Outcome::Refused {
                as_of_seq: seq(3),
                refusal: Refusal::IllegalTransition { from: OrderState::Expired, to: OrderState::Cancelled },
            },
            0,
        ),
        Record::Committed(Committed { seq: seq(3), at, events: 0, released: true }),
        Record::Gap(70_000),
    ]
}

#[test]
fn the_bytes_of_every_record_are_what_they_were() {
    let header = Header { file_id: [0xf1; 16], epoch: 2 };
    let mut bytes = Vec::new();
    let mut writer = RecordWriter::begin(&mut bytes, &header).expect("in memory");
    let mut ends = vec![writer.written()];
    for record in sample() {
        writer.write(&record).expect("in memory");
        ends.push(writer.written());
    }
    let at = |end: u64| usize::try_from(end).expect("small");
    let mut shown = vec![hex::encode(&bytes[..at(ends[0])])];
    shown.extend(ends.windows(2).map(|pair| hex::encode(&bytes[at(pair[0])..at(pair[1])])));
    let golden: Vec<&str> = std::iter::once(HEADER).chain(RECORDS.iter().copied()).collect();
    assert_eq!(shown, golden, "a change of the bytes needs another version of the format");

    let mut reader = RecordReader::open(&bytes[..]).expect("a header");
    assert_eq!(reader.header, header);
    for record in sample() {
        assert_eq!(reader.read().expect("whole"), Some(record));
    }
    assert_eq!(reader.read().expect("whole"), None);
    assert_eq!(reader.offset(), bytes.len() as u64);
}

const LATER_RECORDS: &[&str] = &[
    "2a0000003c465dbf0f010153014e00000345555264fb2c0100000178fb84030201010000010001020102000001fb2c010204",
    "510000006e14dd2d08fd0ef5aafa430300000108cecececececececececececececececeb0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b00153014e00000345555264fb2c0100000178fb84030102000001fb2c010204000003030100",
    "23000000807b3b0108fd0ef5aafa4303000001090101000000000000000000017200010100000003030100",
    "4c0000006591df6f08fd0ef5aafa43030000020701b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0cececececececececececececececece010101e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0000000014b82000003030100",
];

/// A drop with caps and a challenge, its changes, and an order with facts.
fn later_sample() -> Vec<Record> {
    let seq = |n| Seq::new(n).expect("in range");
    let at = UnixMillis::new(1_795_251_600_007).expect("in range");
    let drop_id = DropId::new(1).expect("not 0");
    let (buyer, key) = (Digest([0xb0; 16]), Digest([0xce; 16]));
    let identity_limits = IdentityLimits { email: Some(2), address: Some(300), ..IdentityLimits::default() };
    let challenge = ChallengeRule { kind: ChallengeKind::ProofOfWork, below: Tier::Premium };
    let spec = DropSpec { identity_limits, challenge, ..test_drop(300) };
    let command_key = CommandKey { digest: key, params: buyer };
    let patch = DropPatch { challenge: Some(ChallengeKind::None), ..DropPatch::default() };
    let identities = IdentityDigests { email: Some(Digest([0xe0; 16])), ..IdentityDigests::default() };
    let signals = SignalSet::default().with(Signal::NoReadBeforePurchase).with(Signal::Challenge);
    let facts = OrderFacts { identities, risk: Some(RiskNote { score: 75, signals }), origin: None };
    let decided = |command| {
        let outcome = Outcome::Refused { as_of_seq: seq(3), refusal: Refusal::NotFound };
        Record::Decided(Box::new(Recorded { at, command, admitted: Admitted::default(), outcome, events: 0 }))
    };
    vec![
        Record::Drop(Box::new(SavedDrop {
            id: drop_id,
            spec: spec.clone(),
            held: 2,
            sold: 1,
            revision: 1,
            paused: false,
            ended: false,
            started: true,
            mismatch: false,
            last_seq: seq(1),
            version: seq(2),
        })),
        decided(Command::Drop(DropCommand::Create(CreateDrop { key: command_key, spec: Box::new(spec) }))),
        decided(Command::Drop(DropCommand::Patch(PatchDrop {
            drop_id,
            expected_revision: 1,
            patch: Box::new(patch),
            reason: "r".into(),
        }))),
        decided(Command::Order(OrderCommand::Place(PlaceOrder {
            drop_id,
            buyer,
            key,
            quantity: Quantity::ONE,
            contact_given: true,
            facts: facts.boxed(),
        }))),
    ]
}

fn bytes_of(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = RecordWriter::begin(&mut bytes, &Header { file_id: [0xf1; 16], epoch: 2 }).expect("in memory");
    for record in records {
        writer.write(record).expect("in memory");
    }
    bytes
}

#[test]
fn caps_challenges_and_facts_have_tags_of_their_own() {
    let header = bytes_of(&[]).len();
    let shown: Vec<String> =
        later_sample().into_iter().map(|record| hex::encode(&bytes_of(&[record])[header..])).collect();
    assert_eq!(shown, LATER_RECORDS, "a change of the bytes needs another version of the format");
    let bytes = bytes_of(&later_sample());
    let mut reader = RecordReader::open(&bytes[..]).expect("a header");
    for record in later_sample() {
        assert_eq!(reader.read().expect("whole"), Some(record));
    }
}

#[test]
fn a_capture_of_version_3_is_read() {
    let mut bytes = bytes_of(&sample());
    bytes[8] = 3;
    let body = bytes.len().min(36);
    let sum = crc32c::crc32c(&bytes[..body]).to_le_bytes();
    bytes[36..40].copy_from_slice(&sum);
    let mut reader = RecordReader::open(&bytes[..]).expect("a header of version 3");
    for record in sample() {
        assert_eq!(reader.read().expect("whole"), Some(record));
    }
}

#[test]
fn an_extension_that_says_nothing_is_damage() {
    let good = bytes_of(&[later_sample().remove(3)]);
    let header = bytes_of(&[]).len();
    // Facts with neither identities nor risk: four bytes without digests, one without a note.
    let Record::Decided(mut decided) = later_sample().remove(3) else { panic!("an order") };
    let Command::Order(OrderCommand::Place(order)) = &mut decided.command else { panic!("an order") };
    order.facts = None;
    let plain = bytes_of(&[Record::Decided(decided)]);
    assert!(good.len() > plain.len() + 16);
    let place = plain[header + 8..].windows(2).position(|pair| pair == [2, 1]).expect("the tags of an order");
    let mut body = plain[header + 8..].to_vec();
    body[place + 1] = 7;
    // Behind `contact_given`, the last member of the order without facts.
    let end = place + 2 + 1 + 16 + 16 + 1 + 1;
    body.splice(end..end, [0, 0, 0, 0, 0]);
    let mut bytes = bytes_of(&[]);
    bytes.extend(u32::try_from(body.len()).expect("small").to_le_bytes());
    bytes.extend(crc32c::crc32c(&body).to_le_bytes());
    bytes.extend(body);
    let error = RecordReader::open(&bytes[..]).expect("a header").read().expect_err("refused");
    assert!(error.to_string().contains("an extension that says nothing"), "{error}");
}

#[test]
fn the_digest_of_events_is_what_it_was() {
    let seq = |n| Seq::new(n).expect("in range");
    let at = UnixMillis::new(1_795_251_600_007).expect("in range");
    let drop_id = DropId::new(1).expect("not 0");
    let quantity = Quantity::new(2).expect("not 0");
    let reserved = OrderReserved {
        buyer: Digest([0xb0; 16]),
        key: Digest([0xce; 16]),
        quantity,
        unit_price: UnitPrice::new(14_900).expect("a price"),
        expires_at: at,
    };
    let bodies = [
        (EventSubject::Drop(drop_id), EventBody::Drop(DropEvent::Started)),
        (EventSubject::Order { order: seq(2), drop_id }, EventBody::Order(OrderEvent::Reserved(reserved))),
        (EventSubject::Order { order: seq(2), drop_id }, EventBody::Order(OrderEvent::Expired { quantity })),
    ];
    let event = |((subject, body), n)| Event { seq: seq(n), at, prev_seq: seq(n - 1), subject, body };
    let events: Vec<Event> = bodies.into_iter().zip(1..).map(event).collect();
    assert_eq!(digest_of(&[]), 0);
    assert_eq!(digest_of(&events), 0x9b5d_0198_97c4_fa03, "captures of before would seem to differ");
    assert_ne!(digest_of(&events[..2]), digest_of(&events));
}

#[test]
fn the_captures_of_the_benches_replay_and_have_expiries_and_refusals_in_them() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join("captures");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("captures") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("a capture");
        assert!(bytes.len() < 1_000_000, "{}: {} bytes", path.display(), bytes.len());
        let mut reader = RecordReader::open(&bytes[..]).expect("a header");
        let found = replay(&mut reader, Pace::Max).unwrap_or_else(|trouble| panic!("{}: {trouble}", path.display()));
        assert_eq!((found.difference, found.torn_at, found.gaps), (None, None, 0), "{}", path.display());
        let refused: u64 = found.outcomes[2..].iter().sum();
        assert!(refused > 1000, "{refused} refusals");
        let accepted = found.outcomes[0];
        assert!(found.events > accepted + 100, "{} events of {accepted} commands: others lapsed", found.events);
        count += 1;
    }
    assert!(count > 0);
}
