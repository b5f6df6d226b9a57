//! The relay: its own thread, its own runtime, its own read-only connection. It follows the audit, sends, and has the
//! writer write down how far it came.
//!
//! It sends what a snapshot shows, so nothing before its commit. What it did and could not write down, it does again.

mod endpoint_worker;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use self::endpoint_worker::{EndpointWorker, FinishedAttempt, Gone, SavedCheckpoint};
use super::RetrySchedule;
use crate::egress::EgressClient;
use crate::engine::{Command, EndpointCommand, EndpointPatch, Outcome};
use crate::failpoints::{self, PausePoint};
use crate::read::Reader;
use crate::read::outbox as rows;
use crate::telemetry::{OutboxMeter, Telemetry};
use crate::types::{EndpointState, Seq, SnapshotGate, UnixMillis, random};
use crate::writer::{Class, Submission, WriterHandle, WriterReply};

/// How often the relay looks for new events when it has nothing to wait for: an endpoint learns of an order so much
/// later at most, and an idle server does next to nothing.
const POLL_INTERVAL: Duration = Duration::from_millis(25);
/// The same where there is nobody to be told.
const IDLE_INTERVAL: Duration = Duration::from_millis(250);
/// Results are written down together; what is not written down is delivered again after a crash.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(250);
/// After a mark that could not be written, or a row that could not be read.
const ERROR_PAUSE: Duration = Duration::from_secs(1);
/// For the last marks at an ordered end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);
const GAUGES_INTERVAL: Duration = Duration::from_secs(1);

/// The bounds of the relay.
#[derive(Clone, Debug)]
pub struct RelayOptions {
    /// When a delivery that failed is tried again.
    pub schedule: RetrySchedule,
    /// Deliveries of one endpoint at once.
    pub in_flight_max: usize,
}

/// What the relay works with.
pub struct RelayDependencies {
    /// Its bounds.
    pub options: RelayOptions,
    /// The database.
    pub database: PathBuf,
    /// The gate of snapshots.
    pub gate: Arc<SnapshotGate>,
    /// The way to the writer.
    pub writer: WriterHandle,
    /// The way to the endpoints.
    pub client: EgressClient,
    /// The metrics.
    pub telemetry: Arc<Telemetry>,
}

/// A running relay.
pub struct Relay {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Relay {
    /// Starts the relay.
    ///
    /// # Errors
    /// If its connection or its thread cannot be had.
    pub fn start(parts: RelayDependencies) -> Result<Relay, String> {
        let reader = Reader::open(&parts.database, Arc::clone(&parts.gate)).map_err(|error| error.to_string())?;
        let file_id = reader.read(rows::file_id).map_err(|error| error.to_string())?;
        let (stop, stopping) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(4)
            .build()
            .map_err(|error| error.to_string())?;
        let thread = std::thread::Builder::new().name("fc-outbox".into()).spawn(move || {
            let mut work = RelayLoop::new(parts, reader, file_id);
            runtime.block_on(work.run(stopping));
            // A name that is still being resolved must not keep the program from ending.
            runtime.shutdown_background();
        });
        Ok(Relay { stop, thread: thread.map_err(|error| error.to_string())? })
    }

    /// Ends it in order: what was delivered is written down, as far as there is time.
    pub fn stop(self) {
        self.stop.send_replace(true);
        if self.thread.join().is_err() {
            tracing::error!("the outbox' thread panicked");
        }
    }
}

struct RelayLoop {
    options: RelayOptions,
    reader: Reader,
    file_id: [u8; 16],
    writer: WriterHandle,
    client: EgressClient,
    meter: OutboxMeter,
    workers: BTreeMap<Seq, EndpointWorker>,
    /// What the workers were made from.
    revisions: Vec<(Seq, u32)>,
    /// The newest event when the endpoints were looked at last.
    refreshed_at_seq: Option<u64>,
    sent: JoinSet<FinishedAttempt>,
    written: JoinSet<SavedCheckpoint>,
    /// Tells the answers to a worker from those to the worker before it.
    generation: u64,
    paused_until: Instant,
    gauges_at: Instant,
}

impl RelayLoop {
    fn new(parts: RelayDependencies, reader: Reader, file_id: [u8; 16]) -> RelayLoop {
        let now = Instant::now();
        RelayLoop {
            options: parts.options,
            reader,
            file_id,
            writer: parts.writer,
            client: parts.client,
            meter: OutboxMeter::new(&parts.telemetry),
            workers: BTreeMap::new(),
            revisions: Vec::new(),
            refreshed_at_seq: None,
            sent: JoinSet::new(),
            written: JoinSet::new(),
            generation: 0,
            paused_until: now,
            gauges_at: now,
        }
    }

    async fn run(&mut self, mut stopping: watch::Receiver<bool>) {
        while !*stopping.borrow() {
            if let Err(error) = self.work() {
                tracing::error!(%error, "the outbox could not read");
                self.pause();
            }
            tokio::select! {
                Some(sent) = self.sent.join_next() => {
                    self.joined(sent);
                    while let Some(sent) = self.sent.try_join_next() {
                        self.joined(sent);
                    }
                }
                Some(Ok(written)) = self.written.join_next() => self.checkpoint_result(written),
                () = tokio::time::sleep(if self.workers.is_empty() { IDLE_INTERVAL } else { POLL_INTERVAL }) => {}
                _ = stopping.changed() => {}
            }
        }
        // Answers that are there already count.
        while let Some(sent) = self.sent.try_join_next() {
            self.joined(sent);
        }
        let farewell = async {
            for id in self.workers.keys().copied().collect::<Vec<_>>() {
                self.save_checkpoint(id);
            }
            while self.written.join_next().await.is_some() {}
        };
        let _late = tokio::time::timeout(SHUTDOWN_TIMEOUT, farewell).await;
    }

    /// Everything that can be done now.
    fn work(&mut self) -> rusqlite::Result<()> {
        let started = Instant::now();
        // While nothing can be written down nothing is sent: it would all be sent again.
        if started < self.paused_until || self.writer.is_read_only() {
            return Ok(());
        }
        self.refresh_endpoints()?;
        let now = self.writer.clock.now();
        let published = Seq::new(self.writer.published.seq()).unwrap_or(Seq::ZERO);
        for id in self.workers.keys().copied().collect::<Vec<_>>() {
            let Some(worker) = self.workers.get_mut(&id) else { continue };
            worker.scan_events(&self.reader, published)?;
            while let Some(seq) = worker.queue.next(now) {
                let call = worker.prepare(&self.reader, &self.file_id, seq, now)?;
                worker.queue.sent(seq);
                failpoints::pause(PausePoint::BeforeDelivery);
                worker.send(&self.client, seq, call, now, &mut self.sent);
            }
            if worker.is_checkpoint_due(started, CHECKPOINT_INTERVAL) {
                self.save_checkpoint(id);
            }
        }
        if started >= self.gauges_at {
            self.gauges_at = started + GAUGES_INTERVAL;
            self.show(now)?;
        }
        Ok(())
    }

    /// Takes up new endpoints and those that operators changed, and lets go of those that are gone.
    fn refresh_endpoints(&mut self) -> rusqlite::Result<()> {
        let newest = self.writer.published.seq();
        let exhausted = self.workers.values().any(|worker| worker.queue.needs_reload());
        if self.refreshed_at_seq == Some(newest) && !exhausted {
            return Ok(());
        }
        let revisions = self.reader.read(rows::revisions)?;
        if revisions != self.revisions || exhausted {
            let endpoints = self.reader.read(rows::endpoints)?;
            self.workers.retain(|id, worker| {
                let known = endpoints.iter().find(|endpoint| endpoint.id == *id);
                known.is_some_and(|known| known.revision == worker.endpoint.revision) && !worker.queue.needs_reload()
            });
            for endpoint in endpoints.into_iter().filter(|endpoint| endpoint.state == EndpointState::Enabled) {
                if !self.workers.contains_key(&endpoint.id) {
                    self.generation = self.generation.wrapping_add(1);
                    let worker =
                        EndpointWorker::open(endpoint, &self.reader, &self.options, &self.client, self.generation)?;
                    self.workers.insert(worker.endpoint.id, worker);
                }
            }
            self.revisions = revisions;
        }
        self.refreshed_at_seq = Some(newest);
        Ok(())
    }

    fn joined(&mut self, sent: Result<FinishedAttempt, JoinError>) {
        match sent {
            Ok(sent) => self.attempt_finished(sent),
            Err(error) if error.is_panic() => {
                tracing::error!("a delivery panicked: all workers begin anew");
                self.workers.clear();
                self.invalidate();
                self.pause();
            }
            // Its worker is gone.
            Err(_) => {}
        }
    }

    fn attempt_finished(&mut self, sent: FinishedAttempt) {
        failpoints::pause(PausePoint::AfterDelivery);
        let Some(worker) = self.workers.get_mut(&sent.endpoint).filter(|worker| worker.generation == sent.generation)
        else {
            return;
        };
        let now = self.writer.clock.now();
        self.meter.attempt(sent.took, sent.ended.is_delivered());
        let mut chance = [0u8; 4];
        random::fill(&mut chance);
        if worker.queue.ended(sent.seq, sent.ended, now, u32::from_le_bytes(chance)) {
            self.meter.dead();
            let (endpoint, seq) = (sent.endpoint, sent.seq);
            tracing::warn!(%endpoint, %seq, "a delivery was given up: send it again when the endpoint is well");
        }
        if let Some(Gone) = sent.gone {
            tracing::warn!(endpoint = %sent.endpoint, "the endpoint answered 410 Gone: it is disabled");
            let patch = EndpointPatch { state: Some(EndpointState::Disabled), ..EndpointPatch::default() };
            let command =
                EndpointCommand::Patch { endpoint: sent.endpoint, patch, reason: "it answered 410 Gone".into() };
            // If it does not get through, the next 410 tries again. Its event is not delivered, and not failed.
            let _later = self.writer.submit(submission(command));
            self.workers.remove(&sent.endpoint);
            self.revisions.clear();
        }
    }

    /// Has the writer write down what became of a worker's deliveries.
    fn save_checkpoint(&mut self, id: Seq) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Some(command) = worker.take_checkpoint() else { return };
        let generation = worker.generation;
        match self.writer.submit(submission(command)) {
            Ok(ticket) => {
                self.written
                    .spawn(async move { SavedCheckpoint { endpoint: id, generation, answer: ticket.answer().await } });
            }
            Err(_) => self.restart_after_error(id),
        }
    }

    fn checkpoint_result(&mut self, written: SavedCheckpoint) {
        let SavedCheckpoint { endpoint, generation, answer } = written;
        let Some(worker) = self.workers.get_mut(&endpoint).filter(|worker| worker.generation == generation) else {
            return;
        };
        match answer {
            WriterReply::Decided(decided) if matches!(decided.outcome, Outcome::Accepted { .. }) => {
                worker.checkpoint_saved()
            }
            // An operator was faster, or the writer is in trouble: the file says from where to go on.
            WriterReply::Decided(_) => {
                self.workers.remove(&endpoint);
                self.invalidate();
            }
            WriterReply::TooOld | WriterReply::NotApplied(_) | WriterReply::Unknown => {
                self.restart_after_error(endpoint)
            }
        }
    }

    fn restart_after_error(&mut self, endpoint: Seq) {
        self.workers.remove(&endpoint);
        self.invalidate();
        self.pause();
    }

    fn invalidate(&mut self) {
        self.revisions.clear();
        self.refreshed_at_seq = None;
    }

    fn pause(&mut self) {
        self.paused_until = Instant::now() + ERROR_PAUSE;
    }

    fn show(&mut self, now: UnixMillis) -> rusqlite::Result<()> {
        let (mut waiting, mut dead, mut broken) = (0u64, 0u64, 0u64);
        for (id, _) in &self.revisions {
            let (more, lost) = self.reader.read(|connection| rows::counts(connection, *id))?;
            waiting = waiting.saturating_add(more);
            dead = dead.saturating_add(lost);
        }
        for worker in self.workers.values() {
            broken = broken.saturating_add(u64::from(worker.queue.is_breaker_open()));
        }
        let oldest = self.workers.values().filter_map(|worker| worker.queue.oldest()).min();
        self.meter.show(oldest.map_or(0, |at| now.since(at)), waiting, dead, broken);
        Ok(())
    }
}

fn submission(command: EndpointCommand) -> Submission {
    Submission { command: Command::Endpoint(Box::new(command)), beside: None, class: Class::Operator }
}
