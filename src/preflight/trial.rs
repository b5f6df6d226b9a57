//! A trial of this machine: the real engine and store decide and record orders in a scratch database beside the real one, which
//! is never opened.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::sizing::{BATCH_COMMANDS, BATCH_EVENTS};
use crate::config::Config;
use crate::engine::{
    COMMAND_NAMES, Command, CommandKey, CreateDrop, DropCommand, DropSpec, Effect, OUTCOME_NAMES, OrderCommand,
    Outcome, PlaceOrder,
};
use crate::store::{Durability, PrivateData, Store, load};
use crate::telemetry::{Telemetry, WriterLabels, WriterMeter};
use crate::types::{
    BuyerText, ChallengeRule, Currency, DropId, IdentityLimits, OrderSecret, Quantity, Shard, SnapshotGate, UnitPrice,
    UnixMillis,
};
use crate::writer::checkpoint::CheckpointLimits;
use crate::writer::clock::wall_clock;
use crate::writer::{
    Class, Clock, ClockReading, CpuAffinity, Submission, Ticket, Writer, WriterExit, WriterHandle, WriterOptions,
    WriterReply,
};

/// Orders in flight: they fill a batch while the one before is committed.
const IN_FLIGHT: usize = 1_024;
/// The most orders of a trial: they take less than 200 MB.
const ORDERS_MAX: u32 = 200_000;
/// Free disk space without which there is no trial, beside what the server keeps free.
const FREE_BYTES_MIN: u64 = 512 << 20;
/// Remembered keys: as many as there are orders.
const KEYS_MAX: usize = 1 << 18;

/// The reason for the lack of a trial that a signal has ended.
pub const INTERRUPTED: &str = "interrupted";

/// The result of a trial.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Trial {
    pub orders: u32,
    /// The time from the first order to the last answer.
    pub took: Duration,
    /// CPU time of the writer's thread.
    pub cpu: Duration,
}

impl Trial {
    /// Returns CPU time of the writer's thread for an order, in microseconds.
    #[must_use]
    pub fn order_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / f64::from(self.orders.max(1))
    }

    /// Returns durable orders a second, with the waits for the disk.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        f64::from(self.orders) / self.took.as_secs_f64().max(1e-9)
    }
}

/// A directory that is removed on drop, with all that is in it.
struct ScratchDirectory(PathBuf);

impl ScratchDirectory {
    /// Makes a directory that did not exist; no other program's is taken.
    fn new(parent: &Path) -> Result<ScratchDirectory, String> {
        let path = parent.join(format!(".preflight-plan-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(ScratchDirectory(path))
    }

    /// Returns the directory of the database: the store has a file beside it, too.
    fn data(&self) -> PathBuf {
        self.0.join("data")
    }
}

impl Drop for ScratchDirectory {
    fn drop(&mut self) {
        let _left_behind = fs::remove_dir_all(&self.0);
    }
}

/// The runtime of the thread that delivers answers, and the signals that end a trial: SIGINT and SIGTERM.
#[derive(Debug)]
pub struct TrialSignals {
    runtime: Runtime,
    interrupt: Signal,
    terminate: Signal,
}

impl TrialSignals {
    /// Handles the signals from now on: they do not end the program any more, so that it removes what it has made.
    ///
    /// # Errors
    /// One line: the system refuses a runtime or a handler.
    pub fn listen() -> Result<TrialSignals, String> {
        let refused = |error: std::io::Error| format!("no signal handler: {error}");
        let runtime = Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let interrupt = runtime.block_on(async { signal(SignalKind::interrupt()) }).map_err(refused)?;
        let terminate = runtime.block_on(async { signal(SignalKind::terminate()) }).map_err(refused)?;
        Ok(TrialSignals { runtime, interrupt, terminate })
    }

    /// Delivers the writer's answers on a thread that ends with the program. Returns a flag, which the first signal sets.
    fn deliver(self, handle: WriterHandle) -> std::io::Result<Arc<AtomicBool>> {
        let TrialSignals { runtime, mut interrupt, mut terminate } = self;
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&interrupted);
        let note_signal = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            flag.store(true, Ordering::Relaxed);
        };
        let run = move || {
            runtime.block_on(async move {
                tokio::join!(handle.deliver(0), note_signal);
            });
        };
        std::thread::Builder::new().name("plan-answers".into()).spawn(run)?;
        Ok(interrupted)
    }
}

/// Decides and records orders for this long in a new database below `parent`. Batches are full and the durability is `full`, whatever
/// the settings are: the trial is compared with [`super::sizing::TRIAL_US`].
///
/// # Errors
/// One line: the disk is full, no directory or database can be made, an order was not accepted, or [`INTERRUPTED`].
pub fn run(parent: &Path, config: &Config, signals: TrialSignals, lasts: Duration) -> Result<Trial, String> {
    let free = rustix::fs::statvfs(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
    let free = free.f_bavail.saturating_mul(free.f_frsize.max(1));
    if free < config.free_bytes_min.saturating_add(FREE_BYTES_MIN) {
        return Err(format!("{}: {} MB free are too few for a trial", parent.display(), free >> 20));
    }
    let scratch = ScratchDirectory::new(parent)?;
    let writer = TrialWriter::start(&scratch.data(), config, signals)?;
    let sold = writer.sell(lasts);
    let cpu = writer.end()?;
    let (orders, took) = sold?;
    Ok(Trial { orders, took, cpu })
}

/// A writer with its thread and the thread that delivers its answers.
struct TrialWriter {
    handle: WriterHandle,
    thread: std::thread::JoinHandle<(WriterExit, Duration)>,
    drop_id: DropId,
    /// A signal asks for the end of the trial.
    interrupted: Arc<AtomicBool>,
}

impl TrialWriter {
    fn start(directory: &Path, config: &Config, signals: TrialSignals) -> Result<TrialWriter, String> {
        let store = Store::open(directory, wall_clock()).map_err(|error| error.to_string())?;
        let loaded = load::load(&store.connection, &store.digest_key, KEYS_MAX).map_err(|error| error.to_string())?;
        let clock = Arc::new(Clock::unguarded(loaded.state.at(), &ClockReading::take()));
        let labels = WriterLabels { commands: &COMMAND_NAMES, outcomes: &OUTCOME_NAMES };
        let meter = WriterMeter::new(&Arc::new(Telemetry::new()), labels);
        let (writer, handle) =
            Writer::new(store, loaded, clock, Arc::new(SnapshotGate::default()), meter, options(config));
        let no_thread = |error: std::io::Error| format!("no thread: {error}");
        let run = move || {
            let before = own_cpu_time();
            // A fault comes back as the exit.
            let exit = writer.run(|_line, _exit_code| {});
            (exit, own_cpu_time().saturating_sub(before))
        };
        let thread = std::thread::Builder::new().name("plan-writer".into()).spawn(run).map_err(no_thread)?;
        let interrupted = signals.deliver(handle.clone()).map_err(no_thread)?;
        let digest = handle.digest_key.params(b"preflight");
        let command = Command::Drop(DropCommand::Create(CreateDrop {
            key: CommandKey { digest, params: digest },
            spec: Box::new(trial_drop()?),
        }));
        let created = handle.submit(Submission { command, private_data: None, class: Class::Operator });
        let created = created.map_err(|error| format!("a drop: {error:?}"))?.wait();
        let is_made =
            matches!(&created, WriterReply::Decided(decided) if matches!(decided.outcome, Outcome::Accepted(_)));
        if !is_made {
            return Err(format!("a drop was not made: {created:?}"));
        }
        let drop_id = DropId::new(1).ok_or("no drop")?;
        Ok(TrialWriter { handle, thread, drop_id, interrupted })
    }

    /// Sells for this long or until a signal; returns the orders and the time that they took.
    fn sell(&self, lasts: Duration) -> Result<(u32, Duration), String> {
        let (mut waiting, mut sent) = (VecDeque::<Ticket>::with_capacity(IN_FLIGHT), 0u32);
        let began = Instant::now();
        while began.elapsed() < lasts && sent < ORDERS_MAX {
            self.check_signals()?;
            while waiting.len() < IN_FLIGHT && sent < ORDERS_MAX {
                sent = sent.saturating_add(1);
                let submission = self.order(sent)?;
                waiting.push_back(self.handle.submit(submission).map_err(|error| format!("an order: {error:?}"))?);
            }
            if let Some(ticket) = waiting.pop_front() {
                check(&ticket.wait())?;
            }
        }
        for ticket in waiting {
            self.check_signals()?;
            check(&ticket.wait())?;
        }
        Ok((sent, began.elapsed()))
    }

    fn check_signals(&self) -> Result<(), String> {
        if self.interrupted.load(Ordering::Relaxed) { Err(INTERRUPTED.to_owned()) } else { Ok(()) }
    }

    fn order(&self, number: u32) -> Result<Submission, String> {
        let (drop_id, key) = (self.drop_id, &self.handle.digest_key);
        let buyer = format!("preflight-{number:010}");
        let digest = key.buyer(&buyer);
        let mut secret = [0u8; 10];
        secret[..4].copy_from_slice(&number.to_le_bytes());
        Ok(Submission {
            command: Command::Order(OrderCommand::Place(PlaceOrder {
                drop_id,
                buyer: digest,
                key: key.order_key(drop_id, &digest, b"k"),
                quantity: Quantity::ONE,
                contact_given: false,
                facts: None,
            })),
            private_data: Some(PrivateData::Order {
                secret: OrderSecret::from_random(Shard::SINGLE, secret),
                buyer: BuyerText::new(&buyer).ok_or("no buyer")?,
                contact: None,
            }),
            class: Class::Buyer,
        })
    }

    /// Stops the writer; returns the CPU time of its thread.
    fn end(self) -> Result<Duration, String> {
        self.handle.stop();
        match self.thread.join() {
            Ok((WriterExit::Orderly, cpu)) => Ok(cpu),
            Ok((WriterExit::Fault { message, .. }, _)) => Err(message),
            Err(_) => Err("the writer panicked".to_owned()),
        }
    }
}

fn check(reply: &WriterReply) -> Result<(), String> {
    let is_reserved = matches!(reply, WriterReply::Decided(decided) if matches!(decided.outcome, Outcome::Accepted(Effect::Reserved(_))));
    if is_reserved { Ok(()) } else { Err(format!("an order was not accepted: {reply:?}")) }
}

/// The writer's options: those of the server by these settings, except for what the CPU time of an order depends on.
fn options(config: &Config) -> WriterOptions {
    WriterOptions {
        queue_capacity: config.queue_capacity.max(IN_FLIGHT.saturating_mul(2)),
        queue_reserve: 1,
        queue_wait_max: Duration::from_secs(60),
        batch_commands_max: BATCH_COMMANDS,
        batch_events_max: BATCH_EVENTS,
        durability: Durability::Full,
        affinity: CpuAffinity::Off,
        checkpoint: CheckpointLimits {
            passive_bytes: config.checkpoint_wal_bytes,
            reset_bytes: config.reset_wal_bytes,
            gate_max: config.reset_gate,
        },
        free_bytes_min: config.free_bytes_min,
        mailboxes: 1,
    }
}

/// A drop on sale without an end, of which a trial sells.
fn trial_drop() -> Result<DropSpec, String> {
    Ok(DropSpec {
        sku: "PREFLIGHT".into(),
        name: "A trial of this machine".into(),
        description: None,
        image_url: None,
        currency: Currency::new("EUR").ok_or("no currency")?,
        unit_price: UnitPrice::new(1_999).ok_or("no price")?,
        total: ORDERS_MAX,
        starts_at: UnixMillis::ZERO,
        ends_at: None,
        per_buyer_limit: 1,
        reservation_seconds: 3_600,
        payment_seconds: 3_600,
        identity_limits: IdentityLimits::default(),
        challenge: ChallengeRule::default(),
        room: None,
        commitment: None,
        blind_ms: 0,
    })
}

fn own_cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
