//! Entries of the replicated log: every batch of random worlds goes through its bytes into a second copy of the file, and
//! both files stay the same, link by link and row by row. Damaged bytes are refused.
//!
//! `FIRSTCOME_TEST_SEED` replays one world, `FIRSTCOME_TEST_SCALE` multiplies the count.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod file_rows;
mod model;
#[path = "log_entries/rooms.rs"]
mod rooms;
mod test_drop;

use std::path::Path;

use file_rows::rows_of_tables_but;
use firstcome::engine::{Event, EventBody, EventSubject, OrderEvent, OrderReserved, ReservedWithFacts};
use firstcome::log::{ENTRY_BYTES_MAX, Entry, EntryError, Tenure};
use firstcome::sqlite::{self, Access};
use firstcome::store::chain::ChainLink;
use firstcome::store::{Batch, PerSecondFigures, PrivateData, Recorder, Store, load};
use firstcome::types::{
    BuyerText, Contact, Digest, DropId, IdentityDigests, OrderFacts, OrderSecret, Quantity, RiskNote, Seq, Shard,
    Signal, SignalSet, UnitPrice, UnixMillis, hex,
};
use model::World;
use model::recording::Recording;
use rusqlite::Connection;

const KEYS_MAX: usize = 40;
const COMMANDS_PER_WORLD: usize = 400;

/// Opens a copy of a store's file, as a node does that joins.
fn copy_of(store: &Store, directory: &Path) -> Connection {
    let path = directory.join("copy.db");
    store.connection.execute("VACUUM INTO ?1", [path.to_str().expect("a path")]).expect("copied");
    sqlite::open(&path, Access::Write).expect("opened")
}

fn run_world(seed: u64) {
    let scratch = tempfile::tempdir().expect("scratch");
    let store = Store::open(scratch.path(), UnixMillis::ZERO).expect("opened");
    let follower = copy_of(&store, scratch.path());
    let mut world = World::new(seed, store.digest_key.clone());
    world.shard = Shard::new([0, 3, 255][usize::try_from(seed % 3).expect("small")]);
    let (mut recording, mut recorder) = Recording::begin_shard(&store, KEYS_MAX, world.shard);
    let mut loaded = load::load(&follower, &store.digest_key, KEYS_MAX).expect("an empty file");
    loaded.settle_shard(world.shard).expect("without drops");
    let (mut followed, mut applied) = (loaded.state, Recorder::new(&follower, loaded.link).expect("prepared"));
    let mut number = 0;
    for step in 0..COMMANDS_PER_WORLD {
        let at = world.instant(&recording.state);
        recording.advance(at);
        let command = world.command(&recording.state);
        recording.decide(&mut world, &command, at);
        if !world.random.one_in(4) && step + 1 < COMMANDS_PER_WORLD {
            continue;
        }
        let what = format!("seed {seed} step {step}");
        number += 1;
        let before = recorder.link();
        let batch = recording.take_and_commit(&mut recorder, &what);
        let (seq, at, link) = (recording.state.seq(), recording.state.at(), recorder.link());
        let entry = Entry { number, epoch: 1, tenure: Tenure(1), seq, before, link, at, batch };
        let bytes = entry.encode().expect("encoded");
        let read = Entry::decode(&bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(read, entry, "{what}");
        assert_eq!(read.before, applied.link(), "{what}");
        load::admit_orders_of(&follower, &store.digest_key, &read.batch.events, &mut followed).expect("loaded");
        applied.begin().expect("begun");
        applied.record(&read.batch).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(applied.link(), read.link, "{what}: the links differ");
        applied.commit().expect("committed");
        for event in &read.batch.events {
            followed.evolve(event);
        }
        followed.release_settled();
        assert_eq!(followed.seq(), recording.state.seq(), "{what}");
    }
    drop((recorder, applied));
    // A follower that is elected goes on with what it has in memory.
    let mut loaded = load::load(&follower, &store.digest_key, KEYS_MAX).expect("loaded").state;
    for state in [&mut loaded, &mut followed] {
        assert!(state.advance(recording.state.at(), &mut Vec::new(), usize::MAX), "seed {seed}");
    }
    assert!(followed == loaded, "seed {seed}: in memory\n{followed:#?}\nloaded\n{loaded:#?}");
    assert_eq!(rows_of_tables_but(&follower, &[]), rows_of_tables_but(&store.connection, &[]), "seed {seed}");
}

#[test]
fn a_batch_makes_the_same_rows_and_the_same_link_in_every_copy_of_the_file() {
    if let Some(seed) = model::replayed_seed() {
        return run_world(seed);
    }
    for seed in 0..model::scaled(40, 5) {
        run_world(seed.wrapping_mul(0x9e37_79b9) ^ 0x106e);
    }
}

fn seq(number: u64) -> Seq {
    Seq::new(number).expect("in range")
}

/// An order and its tally.
fn sample() -> Entry {
    let at = UnixMillis::new(1_795_251_600_007).expect("in range");
    let drop_id = DropId::new(1).expect("not 0");
    let reserved = OrderReserved {
        buyer: Digest([0xb0; 16]),
        key: Digest([0xce; 16]),
        quantity: Quantity::new(2).expect("not 0"),
        unit_price: UnitPrice::new(14_900).expect("a price"),
        expires_at: at.plus_seconds(120),
    };
    let event = Event {
        seq: seq(7),
        at,
        prev_seq: Seq::ZERO,
        subject: EventSubject::Order { order: seq(7), drop_id },
        body: EventBody::Order(OrderEvent::Reserved(reserved)),
    };
    let contact = Contact { email: Some("ann@example.com".into()), ..Contact::default() };
    let private_data = PrivateData::Order {
        secret: OrderSecret::from_random(Shard::SINGLE, [0x5e; 10]),
        buyer: BuyerText::new("ann").expect("a buyer"),
        contact: Some(Box::new(contact)),
    };
    let mut batch = Batch { events: vec![event], private_data: vec![(seq(7), private_data)], ..Batch::default() };
    let figures =
        PerSecondFigures { orders: 1, units: 2, queue_wait_us: 41, queue_wait_us_max: 41, ..Default::default() };
    batch.tally.figures.insert((drop_id, at.second()), figures);
    Entry {
        number: 3,
        epoch: 1,
        tenure: Tenure(5),
        seq: seq(7),
        before: ChainLink([1; 32]),
        link: ChainLink([2; 32]),
        at,
        batch,
    }
}

const GOLDEN: &str = "0303010507010101010101010101010101010101010101010101010101010101010101010102020202020202020202020202\
    02020202020202020202020202020202020202fd0ef5aafa430300000107fd0ef5aafa43030000000307010201b0b0b0b0b0\
    b0b0b0b0b0b0b0b0b0b0b0cececececececececececececececece02fb343afd8e9eaefa4303000001070100025e5e5e5e5e\
    5e5e5e03616e6e0100010f616e6e406578616d706c652e636f6d00000101fc20bb02d6010200000000000000000029290000\
    4178bc9f";

#[test]
fn the_bytes_of_an_entry_change_only_with_the_version() {
    let bytes = sample().encode().expect("encoded");
    assert_eq!(hex::encode(&bytes), GOLDEN);
    assert_eq!(Entry::decode(&bytes), Ok(sample()));
}

#[test]
fn an_entry_of_version_1_is_read() {
    let mut bytes = sample().encode().expect("encoded");
    bytes[0] = 1;
    assert_eq!(Entry::decode(&resealed(bytes)), Ok(sample()));
}

const GOLDEN_FACTS: &str = "0303010507010101010101010101010101010101010101010101010101010101010101010102020202020202020202020202\
    02020202020202020202020202020202020202fd0ef5aafa430300000107fd0ef5aafa43030000000307010209b0b0b0b0b0\
    b0b0b0b0b0b0b0b0b0b0b0cececececececececececececececece02fb343afd8e9eaefa4303000001e0e0e0e0e0e0e0e0e0\
    e0e0e0e0e0e0e001f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f00000014b0201070100025e5e5e5e5e5e5e5e03616e6e0100010f\
    616e6e406578616d706c652e636f6d00000101fc20bb02d60102000000000000000000292900008f90acc4";

/// The sample, with an order that counts for an e-mail address and a phone.
fn sample_with_facts() -> Entry {
    let mut entry = sample();
    let EventBody::Order(OrderEvent::Reserved(reserved)) = entry.batch.events[0].body else { panic!("an order") };
    let identities = IdentityDigests {
        email: Some(Digest([0xe0; 16])),
        phone: Some(Digest([0xf0; 16])),
        ..IdentityDigests::default()
    };
    let risk = Some(RiskNote { score: 75, signals: SignalSet::default().with(Signal::NoReadBeforePurchase) });
    let facts = OrderFacts { identities, risk, origin: None };
    let event = OrderEvent::ReservedWithFacts(Box::new(ReservedWithFacts { reserved, facts }));
    entry.batch.events[0].body = EventBody::Order(event);
    entry
}

#[test]
fn buyers_who_were_not_admitted_are_counted_behind_the_body_and_only_of_its_seconds() {
    let mut entry = sample();
    let figures = entry.batch.tally.figures.values_mut().next().expect("a second");
    figures.not_admitted = 300;
    let bytes = entry.encode().expect("encoded");
    let golden = hex::decode(GOLDEN).expect("hex");
    let body = golden.len() - 4;
    assert_eq!(hex::encode(&bytes[body..bytes.len() - 4]), "0101fc20bb02d6fb2c01");
    assert_eq!(Entry::decode(&bytes), Ok(entry));
    for rest in ["00", "0102fc20bb02d6fb2c01", "0101fc20bb02d600", "0101fc20bb02d6fb2c0100"] {
        let with = [&golden[..body], &hex::decode(rest).expect("hex"), &[0; 4]].concat();
        assert!(matches!(Entry::decode(&resealed(with)), Err(EntryError::Malformed(_))), "{rest}");
    }
}

#[test]
fn an_order_with_facts_has_a_tag_of_its_own() {
    let bytes = sample_with_facts().encode().expect("encoded");
    assert_eq!(hex::encode(&bytes), GOLDEN_FACTS);
    assert_eq!(Entry::decode(&bytes), Ok(sample_with_facts()));
}

#[test]
fn an_entry_with_a_flipped_bit_or_without_its_end_is_refused() {
    let bytes = sample().encode().expect("encoded");
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Entry::decode(&flipped), Err(EntryError::Damaged), "bit {bit}");
    }
    for end in 0..bytes.len() {
        assert_eq!(Entry::decode(&bytes[..end]), Err(EntryError::Damaged), "{end} bytes");
    }
}

/// Replaces the checksum by the right one.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() - 4);
    let crc = crc32c::crc32c(&bytes);
    bytes.extend(crc.to_le_bytes());
    bytes
}

/// Runs the fuzz target's check on the inputs that are kept for it and on all that differ in one byte.
#[test]
fn the_corpus_of_the_fuzz_target_is_refused_or_written_again_as_it_was() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/log_entry");
    let (mut entries, mut refused) = (0, 0);
    let mut check = |bytes: &[u8]| {
        let Ok(entry) = Entry::decode(bytes) else {
            refused += 1;
            return;
        };
        entries += 1;
        let again = entry.encode().expect("it was read");
        assert_eq!(Entry::decode(&again).as_ref(), Ok(&entry));
        assert!(again.len() <= bytes.len(), "a number may come in a longer form than it is written in");
    };
    for file in std::fs::read_dir(folder).expect("a corpus") {
        let input = std::fs::read(file.expect("an entry").path()).expect("an input");
        check(&input);
        let sealed = [&input[..], &[0; 4]].concat();
        check(&resealed(sealed.clone()));
        for at in 0..input.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut near = sealed.clone();
                near[at] = value;
                check(&resealed(near));
            }
            check(&resealed([&input[..at], &[0; 4]].concat()));
        }
    }
    assert!(entries >= 100 && refused >= 100, "{entries} entries, {refused} refused");
}

#[test]
fn an_entry_of_a_newer_version_is_told_from_a_damaged_one() {
    let mut bytes = sample().encode().expect("encoded");
    bytes[0] = 4;
    assert_eq!(Entry::decode(&resealed(bytes)), Err(EntryError::Newer { found: 4 }));
    let mut longer = sample().encode().expect("encoded");
    longer.insert(longer.len() - 4, 0);
    assert!(matches!(Entry::decode(&resealed(longer)), Err(EntryError::Malformed(_))));
}

/// Changes one part of the sample, which no longer fits the others.
fn refused(change: impl FnOnce(&mut Entry)) {
    let mut entry = sample();
    change(&mut entry);
    let read = Entry::decode(&entry.encode().expect("encoded"));
    assert!(matches!(read, Err(EntryError::Malformed(_))), "{read:?}");
}

#[test]
fn parts_that_do_not_belong_together_are_refused_before_a_file_sees_them() {
    refused(|entry| entry.batch.private_data.clear());
    refused(|entry| entry.batch.private_data[0].0 = seq(8));
    refused(|entry| entry.batch.private_data.push((seq(8), PrivateData::ProviderEvent { event_id: "evt".into() })));
    refused(|entry| {
        entry.batch.private_data[0].1 = PrivateData::Bid { buyer: BuyerText::new("ann").expect("a buyer") }
    });
    refused(|entry| entry.batch.events.clear());
    refused(|entry| entry.at = entry.at.plus_millis(-1));
    refused(|entry| {
        let mut second = entry.batch.events[0].clone();
        second.seq = seq(9);
        entry.batch.events.push(second);
    });
}

#[test]
fn a_batch_longer_than_an_entry_may_be_is_refused_where_it_is_made() {
    let mut entry = sample();
    let event = entry.batch.events[0].clone();
    let own = entry.batch.private_data[0].1.clone();
    for number in 8..8 + 6000 {
        let mut next = event.clone();
        next.seq = seq(number);
        entry.batch.events.push(next);
        entry.batch.private_data.push((seq(number), own.clone()));
    }
    let error = entry.encode().expect_err("too long");
    assert!(matches!(error, EntryError::TooLong { bytes } if bytes > ENTRY_BYTES_MAX), "{error}");
}
