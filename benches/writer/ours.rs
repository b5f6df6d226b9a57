//! The writer under test: a real one with a real file, held at its first commit until its whole queue is filled.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use firstcome::engine::{
    COMMAND_NAMES, Command, CommandKey, CreateDrop, DropCommand, DropSpec, Effect, OUTCOME_NAMES, OrderCommand,
    Outcome, PlaceOrder, Refusal,
};
use firstcome::store::open::DATABASE_FILE;
use firstcome::store::{Durability, PrivateData, Store, load};
use firstcome::telemetry::{Telemetry, WriterLabels, WriterMeter};
use firstcome::types::{BuyerText, DropId, OrderSecret, Quantity, Shard, SnapshotGate};
use firstcome::writer::clock::wall_clock;
use firstcome::writer::{
    Class, Clock, ClockReading, CpuAffinity, Submission, Ticket, Writer, WriterExit, WriterHandle, WriterOptions,
    WriterReply, checkpoint,
};

use super::Turn;
use super::measure::sale::test_drop::test_drop;
use super::measure::{cpu_time, find_thread};
use super::shim::Shim;

/// As the server's defaults.
pub(crate) const CHECKPOINT: checkpoint::CheckpointLimits =
    checkpoint::CheckpointLimits { passive_bytes: 16 << 20, reset_bytes: 64 << 20, gate_max: Duration::from_millis(5) };
/// More than a turn has.
const QUEUE: usize = 1 << 16;
/// Writers of this process, so that each thread has a name of its own.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// A running writer.
pub(crate) struct Ours {
    pub(crate) handle: WriterHandle,
    pub(crate) database: PathBuf,
    writer: JoinHandle<WriterExit>,
    thread: String,
    buyers: u32,
}

impl Ours {
    /// A writer with a new file, a drop of many units (1) and one that is sold out (2).
    pub(crate) fn start(directory: &Path, durability: Durability, batch_commands_max: usize) -> Ours {
        let store = Store::open(directory, wall_clock()).expect("opened");
        let loaded = load::load(&store.connection, &store.digest_key, 4_000_000).expect("loaded");
        let clock = Clock::unguarded(loaded.state.at(), &ClockReading::take());
        let labels = WriterLabels { commands: &COMMAND_NAMES, outcomes: &OUTCOME_NAMES };
        let meter = WriterMeter::new(&Arc::new(Telemetry::new()), labels);
        let options = WriterOptions {
            queue_capacity: QUEUE,
            queue_reserve: 1,
            queue_wait_max: Duration::from_secs(3600),
            batch_commands_max,
            batch_events_max: 4096,
            durability,
            affinity: CpuAffinity::Off,
            checkpoint: CHECKPOINT,
            free_bytes_min: 0,
            mailboxes: 1,
        };
        let gate = Arc::new(SnapshotGate::default());
        let (writer, handle) = Writer::new(store, loaded, Arc::new(clock), gate, meter, options);
        let run = move || writer.run(|message, _| panic!("the writer ended: {message}"));
        let name = format!("writer-{}", STARTED.fetch_add(1, Ordering::Relaxed));
        let writer = std::thread::Builder::new().name(name.clone()).spawn(run).expect("a thread");
        deliver(handle.clone());
        let created = [4_000_000_000, 0].map(|total| create(&handle, total));
        for ticket in created {
            assert!(matches!(ticket.wait(), WriterReply::Decided(_)));
        }
        let database = directory.join(DATABASE_FILE);
        Ours { handle, database, writer, thread: find_thread(&name), buyers: 0 }
    }

    fn order(&mut self, drop_id: u32) -> Submission {
        self.buyers += 1;
        let drop_id = DropId::new(drop_id).expect("not 0");
        let buyer = format!("buyer-{:08}", self.buyers);
        let digest = self.handle.digest_key.buyer(&buyer);
        let mut secret = [0u8; 10];
        secret[..4].copy_from_slice(&self.buyers.to_le_bytes());
        Submission {
            command: Command::Order(OrderCommand::Place(PlaceOrder {
                drop_id,
                buyer: digest,
                key: self.handle.digest_key.order_key(drop_id, &digest, b"k"),
                quantity: Quantity::ONE,
                contact_given: false,
                facts: None,
            })),
            private_data: Some(PrivateData::Order {
                secret: OrderSecret::from_random(Shard::SINGLE, secret),
                buyer: BuyerText::new(&buyer).expect("a buyer"),
                contact: None,
            }),
            class: Class::Buyer,
        }
    }

    /// Fills the queue with so many orders while the writer is held, lets go, and waits for the last answer. The orders
    /// are of drop 1, or, to be refused, of drop 2.
    pub(crate) fn turn(&mut self, shim: &Shim, orders: u32, drop_id: u32) -> Turn {
        let held = shim.hold_writes();
        let mut tickets = vec![self.submit(1)];
        let since = Instant::now();
        while !shim.write_is_held() {
            assert!(since.elapsed() < Duration::from_secs(20), "the writer does not write");
            std::thread::yield_now();
        }
        tickets.extend((0..orders).map(|_| self.submit(drop_id)));
        let cpu = cpu_time(&self.thread);
        let started = Instant::now();
        drop(held);
        let last = tickets.pop().expect("an order").wait();
        let took = started.elapsed();
        let cpu = cpu_time(&self.thread).saturating_sub(cpu);
        expect(&last, drop_id);
        for ticket in tickets.drain(1..) {
            expect(&ticket.wait(), drop_id);
        }
        Turn { orders: orders + 1, took, cpu }
    }

    fn submit(&mut self, drop_id: u32) -> Ticket {
        let submission = self.order(drop_id);
        self.handle.submit_from(submission, 0).expect("let in")
    }

    /// How long one order takes whose buyer is alone.
    pub(crate) fn alone(&mut self) -> Duration {
        let submission = self.order(1);
        let started = Instant::now();
        let answer = self.handle.submit(submission).expect("let in").wait();
        let took = started.elapsed();
        expect(&answer, 1);
        took
    }

    pub(crate) fn end(self) {
        self.handle.stop();
        let stopped = self.writer.join().expect("the writer's thread");
        assert!(matches!(stopped, WriterExit::Orderly), "{stopped:?}");
    }
}

/// A serving thread's part: it takes the answers of a batch and passes them on to who waits.
fn deliver(handle: WriterHandle) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    std::thread::spawn(move || runtime.block_on(handle.deliver(0)));
}

fn expect(answer: &WriterReply, drop_id: u32) {
    let WriterReply::Decided(decided) = answer else { panic!("not decided: {answer:?}") };
    let as_wanted = match &decided.outcome {
        Outcome::Accepted(Effect::Reserved(_)) => drop_id == 1,
        Outcome::Refused { refusal: Refusal::SoldOut(_), .. } => drop_id == 2,
        Outcome::Accepted(Effect::Changed { .. })
        | Outcome::Accepted(Effect::ProviderEventRecorded { .. })
        | Outcome::Accepted(Effect::Bid(_) | Effect::Ticket(_) | Effect::Standby(_) | Effect::Recorded(_))
        | Outcome::Repeated { .. }
        | Outcome::Refused { .. }
        | Outcome::Advanced => false,
    };
    assert!(as_wanted, "{decided:?}");
}

fn create(handle: &WriterHandle, total: u32) -> Ticket {
    let spec = DropSpec { reservation_seconds: 86_400, payment_seconds: 60, ..test_drop(total) };
    let digest = handle.digest_key.params(&total.to_le_bytes());
    let command = Command::Drop(DropCommand::Create(CreateDrop {
        key: CommandKey { digest, params: digest },
        spec: Box::new(spec),
    }));
    handle.submit(Submission { command, private_data: None, class: Class::Operator }).expect("let in")
}
