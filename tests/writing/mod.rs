//! A writer with a real file, without a server: what its tests share.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test cares for one outcome")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

#[path = "../test_drop/mod.rs"]
mod test_drop;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use firstcome::engine::{
    COMMAND_NAMES, ChangeDrop, Command, CommandKey, CreateDrop, DropCommand, DropSpec, OUTCOME_NAMES, OrderCommand,
    PlaceOrder,
};
use firstcome::store::chain::ChainLink;
use firstcome::store::watermark::{Watermark, WatermarkRecord};
use firstcome::store::{Durability, PrivateData, Store, load};
use firstcome::telemetry::{Telemetry, WriterLabels, WriterMeter};
use firstcome::types::{BuyerText, DropId, OrderSecret, Quantity, Seq, Shard, SnapshotGate};
use firstcome::writer::checkpoint::CheckpointLimits;
use firstcome::writer::clock::wall_clock;
use firstcome::writer::{
    Class, Clock, ClockReading, CpuAffinity, Decided, Submission, SubmitError, Ticket, Writer, WriterExit,
    WriterHandle, WriterOptions, WriterReply,
};
pub use test_drop::test_drop;

pub fn options() -> WriterOptions {
    WriterOptions {
        queue_capacity: 64,
        queue_reserve: 8,
        queue_wait_max: Duration::from_secs(60),
        batch_commands_max: 16,
        batch_events_max: 64,
        durability: Durability::Full,
        affinity: CpuAffinity::Off,
        checkpoint: CheckpointLimits {
            passive_bytes: 1 << 20,
            reset_bytes: 1 << 22,
            gate_max: Duration::from_millis(5),
        },
        free_bytes_min: 0,
        mailboxes: 0,
    }
}

pub fn prepare(directory: &Path, options: WriterOptions) -> (Writer, WriterHandle) {
    prepare_at(directory, options, &ClockReading::take())
}

/// The same, with other clocks than this machine's.
pub fn prepare_at(directory: &Path, options: WriterOptions, now: &ClockReading) -> (Writer, WriterHandle) {
    let store = Store::open(directory, wall_clock()).expect("opened");
    let loaded = load::load(&store.connection, &store.digest_key, 1000).expect("loaded");
    let clock = Clock::unguarded(loaded.state.at(), now);
    let labels = WriterLabels { commands: &COMMAND_NAMES, outcomes: &OUTCOME_NAMES };
    let meter = WriterMeter::new(&Arc::new(Telemetry::new()), labels);
    Writer::new(store, loaded, Arc::new(clock), Arc::new(SnapshotGate::default()), meter, options)
}

pub fn run(writer: Writer) -> JoinHandle<WriterExit> {
    std::thread::spawn(move || writer.run(|_, _| {}))
}

pub fn end(handle: &WriterHandle, thread: JoinHandle<WriterExit>) {
    handle.stop();
    let stopped = thread.join().expect("the writer's thread");
    assert!(matches!(stopped, WriterExit::Orderly), "{stopped:?}");
}

pub fn create(handle: &WriterHandle, total: u32, reservation_seconds: u32) -> Ticket {
    create_drop(handle, "create", DropSpec { reservation_seconds, payment_seconds: 60, ..test_drop(total) })
}

pub fn create_drop(handle: &WriterHandle, key: &str, spec: DropSpec) -> Ticket {
    let digest = handle.digest_key.params(key.as_bytes());
    let command = Command::Drop(DropCommand::Create(CreateDrop {
        key: CommandKey { digest, params: digest },
        spec: Box::new(spec),
    }));
    handle.submit(Submission { command, private_data: None, class: Class::Operator }).expect("let in")
}

pub fn submit_resume(handle: &WriterHandle) -> Result<Ticket, SubmitError> {
    let command = Command::Drop(DropCommand::Resume(ChangeDrop { drop_id: drop_one(), reason: "test".into() }));
    handle.submit(Submission { command, private_data: None, class: Class::Operator })
}

pub fn drop_one() -> DropId {
    DropId::new(1).expect("not 0")
}

pub fn order(handle: &WriterHandle, buyer: &str) -> Result<Ticket, SubmitError> {
    order_with_key(handle, buyer, b"k")
}

pub fn order_with_key(handle: &WriterHandle, buyer: &str, key: &[u8]) -> Result<Ticket, SubmitError> {
    submit_order(handle, drop_one(), buyer, key)
}

pub fn order_of(handle: &WriterHandle, drop_id: u32, buyer: &str) -> Result<Ticket, SubmitError> {
    submit_order(handle, DropId::new(drop_id).expect("not 0"), buyer, b"k")
}

fn submit_order(handle: &WriterHandle, drop_id: DropId, buyer: &str, key: &[u8]) -> Result<Ticket, SubmitError> {
    submit_wish(handle, drop_id, buyer, key, OrderCommand::Place)
}

/// Joins the line of the first drop.
pub fn stand_by(handle: &WriterHandle, buyer: &str) -> Result<Ticket, SubmitError> {
    submit_wish(handle, drop_one(), buyer, b"k", OrderCommand::JoinStandby)
}

fn submit_wish(
    handle: &WriterHandle,
    drop_id: DropId,
    buyer: &str,
    key: &[u8],
    command: fn(PlaceOrder) -> OrderCommand,
) -> Result<Ticket, SubmitError> {
    let digest = handle.digest_key.buyer(buyer);
    let command = Command::Order(command(PlaceOrder {
        drop_id,
        buyer: digest,
        key: handle.digest_key.order_key(drop_id, &digest, key),
        quantity: Quantity::ONE,
        contact_given: false,
        facts: None,
    }));
    let private_data = PrivateData::Order {
        secret: OrderSecret::from_random(Shard::SINGLE, [1; 10]),
        buyer: BuyerText::new(buyer).expect("a buyer"),
        contact: None,
    };
    handle.submit(Submission { command, private_data: Some(private_data), class: Class::Buyer })
}

pub fn decided(ticket: Ticket) -> Decided {
    match ticket.wait() {
        WriterReply::Decided(decided) => decided,
        other => panic!("not decided: {other:?}"),
    }
}

/// Writes a watermark beside a file of schema 2, as its program did; `missing` events were acknowledged and are not in it.
pub fn mark_older_file(directory: &Path, missing: u64) {
    let connection = rusqlite::Connection::open(directory.join("firstcome.db")).expect("opened");
    let (epoch, file_id): (i64, [u8; 16]) = connection
        .query_row("SELECT epoch, file_id FROM meta", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("a row");
    let (seq, link): (Seq, [u8; 32]) = connection
        .query_row("SELECT seq, hash FROM chain ORDER BY seq DESC LIMIT 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("a link");
    let seq = Seq::new(seq.get() + missing).expect("in range");
    let epoch = u64::try_from(epoch).expect("not negative");
    let mark = WatermarkRecord { file_id, epoch, seq, link: ChainLink(link), synced: seq };
    Watermark::open(directory).expect("opened").establish(&mark).expect("written");
}

/// Waits until something holds; a test that waits for ever fails after 20 s.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}
