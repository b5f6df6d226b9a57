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
    COMMAND_NAMES, Command, CommandKey, CreateDrop, DropCommand, DropSpec, OUTCOME_NAMES, OrderCommand, PlaceOrder,
};
use firstcome::store::{Durability, PrivateData, Store, load};
use firstcome::telemetry::{Telemetry, WriterLabels, WriterMeter};
use firstcome::types::{BuyerText, DropId, OrderSecret, Quantity, SnapshotGate};
use firstcome::writer::checkpoint::CheckpointLimits;
use firstcome::writer::clock::wall_clock;
use firstcome::writer::{
    Class, Clock, ClockReading, CpuAffinity, Decided, Submission, SubmitError, Ticket, Writer, WriterExit,
    WriterHandle, WriterOptions, WriterReply,
};
use test_drop::test_drop;

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
    let spec = DropSpec { reservation_seconds, payment_seconds: 60, ..test_drop(total) };
    let digest = handle.digest_key.params(b"create");
    let command = Command::Drop(DropCommand::Create(CreateDrop {
        key: CommandKey { digest, params: digest },
        spec: Box::new(spec),
    }));
    handle.submit(Submission { command, private_data: None, class: Class::Operator }).expect("let in")
}

pub fn drop_one() -> DropId {
    DropId::new(1).expect("not 0")
}

pub fn order(handle: &WriterHandle, buyer: &str) -> Result<Ticket, SubmitError> {
    order_with_key(handle, buyer, b"k")
}

pub fn order_with_key(handle: &WriterHandle, buyer: &str, key: &[u8]) -> Result<Ticket, SubmitError> {
    let digest = handle.digest_key.buyer(buyer);
    let command = Command::Order(OrderCommand::Place(PlaceOrder {
        drop_id: drop_one(),
        buyer: digest,
        key: handle.digest_key.order_key(drop_one(), &digest, key),
        quantity: Quantity::ONE,
        contact_given: false,
    }));
    let private_data = PrivateData::Order {
        secret: OrderSecret::from_random([1; 10]),
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

/// Waits until something holds; a test that waits for ever fails after 20 s.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}
