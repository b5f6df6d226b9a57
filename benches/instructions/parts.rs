//! Cases that run on one thread.

use std::hint::black_box;
use std::path::PathBuf;

use firstcome::api::json::{OrderContext, OrderRequest, reservation_body};
use firstcome::capture::format::{Header, Record, RecordReader, RecordWriter};
use firstcome::engine::{Command, Effect, OrderCommand, Outcome, Reservation, State};
use firstcome::store::{Batch, PrivateData, Recorder, Store, load};
use firstcome::types::{BuyerText, OrderSecret, OrderState, Quantity, Seq, Shard, UnixMillis};
use firstcome::writer::clock::wall_clock;

use super::counted;
use super::measure::sale::{self, START};

/// Live orders, remembered keys and buyers in a state: many, yet made in a moment under valgrind.
const MANY: u32 = 20_000;
const BATCH: usize = 256;

/// Runs the commands and counts that.
fn take_all(state: &mut State, commands: &[Command], expected: impl Fn(&Outcome) -> bool) {
    let mut events = Vec::with_capacity(64);
    let mut last = None;
    counted(&mut || {
        for command in commands {
            last = Some(sale::take(state, black_box(command), &mut events));
        }
    });
    assert!(last.as_ref().is_some_and(expected), "{last:?}");
}

pub(crate) fn order(count: u32) {
    let mut state = sale::state(u32::MAX);
    let mut events = Vec::new();
    for number in 0..MANY {
        sale::take(&mut state, &sale::order(number), &mut events);
    }
    let commands: Vec<_> = (MANY..MANY + count).map(sale::order).collect();
    take_all(&mut state, &commands, |outcome| matches!(outcome, Outcome::Accepted(Effect::Reserved(_))));
}

pub(crate) fn refusal(count: u32) {
    let commands: Vec<_> = (MANY..MANY + count).map(sale::order).collect();
    take_all(&mut sale::sold_out(MANY), &commands, |outcome| matches!(outcome, Outcome::Refused { .. }));
}

pub(crate) fn limit(count: u32) {
    let commands: Vec<_> = (0..count).map(|number| sale::order_with_key(number, 2)).collect();
    take_all(&mut sale::sold_out(MANY), &commands, |outcome| matches!(outcome, Outcome::Refused { .. }));
}

pub(crate) fn repeat(count: u32) {
    let commands: Vec<_> = (0..count).map(sale::order).collect();
    take_all(&mut sale::sold_out(MANY), &commands, |outcome| matches!(outcome, Outcome::Repeated { .. }));
}

pub(crate) fn checkout(count: u32) {
    // The first event made the drop, the orders follow.
    let checkout =
        |number| Command::Order(OrderCommand::Checkout { order: Seq::new(u64::from(number) + 2).expect("a number") });
    let commands: Vec<_> = (0..count).map(checkout).collect();
    take_all(&mut sale::sold_out(MANY), &commands, |outcome| {
        matches!(outcome, Outcome::Accepted(Effect::Changed { .. }))
    });
}

pub(crate) fn expiry(count: u32) {
    let mut state = sale::sold_out(MANY);
    let mut events = Vec::with_capacity(usize::try_from(count).expect("small"));
    let (at, most) = (START.plus_seconds(sale::RESERVATION_SECONDS), events.capacity());
    counted(&mut || {
        state.advance(black_box(at), &mut events, most);
        state.release_settled();
    });
    assert_eq!(events.len(), most);
}

/// Rows of orders, their audit, the chain, the commit: what SQLite does for them included.
pub(crate) fn record(count: u32) {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let store = Store::open(scratch.path(), wall_clock()).expect("opened");
    let loaded = load::load(&store.connection, &store.digest_key, 1_000_000).expect("loaded");
    let mut recorder = Recorder::new(&store.connection, loaded.link).expect("prepared");
    let mut state = loaded.state;
    let (mut batches, mut batch) = (Vec::new(), Batch::default());
    state.apply(START, &sale::create(u32::MAX), &mut batch.events);
    batches.push(std::mem::take(&mut batch));
    for number in 0..MANY + count {
        state.apply(START, &sale::order(number), &mut batch.events);
        let mut secret = [0; 10];
        secret[..4].copy_from_slice(&number.to_le_bytes());
        let buyer = BuyerText::new(&format!("buyer-{number:08}")).expect("a buyer");
        let private_data =
            PrivateData::Order { secret: OrderSecret::from_random(Shard::SINGLE, secret), buyer, contact: None };
        batch.private_data.push((state.seq(), private_data));
        // The batches that are not counted are large.
        let full = if number < MANY { 4096 } else { BATCH };
        if batch.events.len() >= full || number + 1 == MANY || number + 1 == MANY + count {
            batches.push(std::mem::take(&mut batch));
        }
    }
    let mut write = |batch: &Batch| {
        recorder.begin().expect("begun");
        recorder.record(batch).expect("recorded");
        recorder.commit().expect("committed");
    };
    let measured = usize::try_from(count).expect("small").div_ceil(BATCH);
    let (before, measured) = batches.split_at(batches.len() - measured);
    before.iter().for_each(&mut write);
    counted(&mut || measured.iter().for_each(&mut write));
}

/// The committed capture: a rush with refusals, repeats, cancellations and expiries.
fn captured() -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches").join("captures").join("rush.capture");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Its first records.
fn read(bytes: &[u8], count: u32) -> Vec<Record> {
    let mut reader = RecordReader::open(bytes).expect("a capture");
    (0..count).map(|_| reader.read().expect("whole").expect("a record")).collect()
}

pub(crate) fn capture_read(count: u32) {
    let bytes = captured();
    let mut reader = RecordReader::open(&bytes[..]).expect("a capture");
    counted(&mut || {
        for _ in 0..count {
            black_box(reader.read().expect("whole").expect("a record"));
        }
    });
}

pub(crate) fn capture_write(count: u32) {
    let bytes = captured();
    let records = read(&bytes, count);
    let mut written = Vec::with_capacity(bytes.len());
    let mut writer = RecordWriter::begin(&mut written, &Header { file_id: [0; 16], epoch: 0 }).expect("in memory");
    counted(&mut || {
        for record in &records {
            writer.write(black_box(record)).expect("in memory");
        }
    });
}

pub(crate) fn read_body(count: u32) {
    let body = br#"{"buyer":"buyer-00001234","quantity":1}"#;
    counted(&mut || {
        for _ in 0..count {
            let request = OrderRequest::parse(black_box(body), None);
            assert!(black_box(request).is_ok(), "an order");
        }
    });
}

pub(crate) fn write_body(count: u32) {
    let at = UnixMillis::new(1_795_000_000_123).expect("in range");
    let seq = Seq::new(123_456).expect("in range");
    let reservation = Reservation {
        order: seq,
        seq,
        drop_id: sale::drop_id(),
        state: OrderState::Reserved,
        quantity: Quantity::ONE,
        unit_price: sale::spec(1).unit_price,
        currency: sale::spec(1).currency,
        reserved_at: at,
        expires_at: at.plus_seconds(120),
    };
    let frame = OrderContext { public_url: "http://127.0.0.1:8080", epoch: 1 };
    let secret = OrderSecret::from_random(Shard::SINGLE, [7; 10]);
    counted(&mut || {
        for _ in 0..count {
            black_box(reservation_body(black_box(&reservation), secret, "buyer-00001234", frame));
        }
    });
}
