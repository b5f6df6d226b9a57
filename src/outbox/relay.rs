//! The relay: a thread with its own runtime, which reads through its connection. It follows the audit, sends webhooks, and
//! has the writer store checkpoints of the deliveries.
//!
//! It reads committed snapshots only, so no event is sent before its commit. Deliveries whose checkpoint was not stored
//! are sent again.

mod endpoint_worker;
mod mail_delivery;
mod recipients;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use self::endpoint_worker::{EndpointWorker, FinishedAttempt, SavedCheckpoint};
use super::delivery_queue::AttemptResult;
use super::{RetrySchedule, mail_endpoint};
use crate::config::SuccessRedirect;
use crate::egress::EgressClient;
use crate::engine::{Command, EndpointCommand, EndpointPatch, Outcome, PatchEndpoint};
use crate::failpoints::{self, PausePoint};
use crate::mail::Mailer;
use crate::read::Reader;
use crate::read::outbox as rows;
use crate::telemetry::{MailMeter, MailOutcome, OutboxMeter, PanicMeter, Telemetry};
use crate::types::{EndpointState, EventFilter, Seq, UnixMillis, random};
use crate::writer::{Class, Submission, WriterHandle, WriterReply};

/// Pause between two scans for new events: the delay that the relay adds to a webhook, and cheap for an idle server.
const POLL_INTERVAL: Duration = Duration::from_millis(25);
/// Pause between two scans while no endpoint is enabled.
const IDLE_INTERVAL: Duration = Duration::from_millis(250);
/// Results of deliveries are stored together in this interval; after a crash those not stored are delivered again.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(250);
/// Pause after a checkpoint that could not be stored, or a row that could not be read.
const ERROR_PAUSE: Duration = Duration::from_secs(1);
/// Bounds the last checkpoints at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);
const GAUGES_INTERVAL: Duration = Duration::from_secs(1);

/// Limits of the relay.
#[derive(Clone, Debug)]
pub struct RelayOptions {
    pub schedule: RetrySchedule,
    /// Requests in flight to one endpoint.
    pub in_flight_max: usize,
    pub success_redirects: Vec<SuccessRedirect>,
}

/// The mails that the relay sends.
#[derive(Clone)]
pub struct MailRelay {
    pub mailer: Arc<Mailer>,
    /// The first part of a payment's link.
    pub public_url: Arc<str>,
}

/// The parts of the server that the relay uses.
#[derive(Clone)]
pub struct RelayDependencies {
    pub options: RelayOptions,
    pub reader: Reader,
    pub writer: WriterHandle,
    pub client: EgressClient,
    /// `None` if the configuration has no mail server.
    pub mail: Option<MailRelay>,
    pub telemetry: Arc<Telemetry>,
}

/// The relay's thread.
pub struct Relay {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Relay {
    /// Starts the relay.
    ///
    /// # Errors
    /// The database cannot be read, or the thread cannot be started.
    pub fn start(parts: RelayDependencies) -> Result<Relay, String> {
        let file_id = parts.reader.read(rows::file_id).map_err(|error| error.to_string())?;
        let (stop, stopping) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(4)
            .build()
            .map_err(|error| error.to_string())?;
        let panics = PanicMeter::new(&parts.telemetry, "fc-outbox");
        let thread = std::thread::Builder::new().name("fc-outbox".into()).spawn(move || {
            let work = || runtime.block_on(RelayLoop::new(parts.clone(), file_id).run(stopping.clone()));
            // Deliveries whose checkpoint was not stored are sent again.
            panics.restart_until(|| *stopping.borrow(), work);
            // A name that is still being resolved must not delay the end of the program.
            runtime.shutdown_background();
        });
        Ok(Relay { stop, thread: thread.map_err(|error| error.to_string())? })
    }

    /// Stops the relay. Checkpoints of finished deliveries are stored within one second, or not at all.
    pub fn stop(self) {
        self.stop.send_replace(true);
        if self.thread.join().is_err() {
            tracing::error!("the outbox thread panicked");
        }
    }
}

struct RelayLoop {
    options: RelayOptions,
    reader: Reader,
    file_id: [u8; 16],
    writer: WriterHandle,
    client: EgressClient,
    mail: Option<MailRelay>,
    /// The built-in endpoint of mails with its events, if the file has it.
    mail_endpoint: Option<(Seq, EventFilter)>,
    /// True once the writer was asked for that endpoint under this leadership: it is asked once.
    mail_endpoint_asked: bool,
    meter: OutboxMeter,
    mail_meter: MailMeter,
    workers: BTreeMap<Seq, EndpointWorker>,
    /// The endpoints and their revisions from which `workers` was made.
    revisions: Vec<(Seq, u32)>,
    /// The newest event when `workers` was last compared with the file.
    refreshed_at_seq: Option<u64>,
    attempts: JoinSet<FinishedAttempt>,
    saved: JoinSet<SavedCheckpoint>,
    /// Number of workers made so far; results for an earlier worker of the same endpoint are ignored.
    generation: u64,
    paused_until: Instant,
    gauges_at: Instant,
    /// Another node of the cluster leads.
    stands_by: bool,
}

impl RelayLoop {
    fn new(parts: RelayDependencies, file_id: [u8; 16]) -> RelayLoop {
        let now = Instant::now();
        RelayLoop {
            options: parts.options,
            reader: parts.reader,
            file_id,
            writer: parts.writer,
            client: parts.client,
            mail: parts.mail,
            mail_endpoint: None,
            mail_endpoint_asked: false,
            mail_meter: MailMeter::new(&parts.telemetry),
            meter: OutboxMeter::new(&parts.telemetry),
            workers: BTreeMap::new(),
            revisions: Vec::new(),
            refreshed_at_seq: None,
            attempts: JoinSet::new(),
            saved: JoinSet::new(),
            generation: 0,
            paused_until: now,
            gauges_at: now,
            stands_by: false,
        }
    }

    async fn run(&mut self, mut stopping: watch::Receiver<bool>) {
        while !*stopping.borrow() {
            if let Err(error) = self.work() {
                tracing::error!(%error, "the outbox could not read the database");
                self.pause();
            }
            failpoints::panic_in("fc-outbox");
            tokio::select! {
                Some(sent) = self.attempts.join_next() => {
                    self.on_joined(sent);
                    while let Some(sent) = self.attempts.try_join_next() {
                        self.on_joined(sent);
                    }
                }
                Some(Ok(saved)) = self.saved.join_next() => self.on_checkpoint_saved(saved),
                () = tokio::time::sleep(if self.workers.is_empty() { IDLE_INTERVAL } else { POLL_INTERVAL }) => {}
                _ = stopping.changed() => {}
            }
        }
        // Responses that have arrived already are still stored.
        while let Some(sent) = self.attempts.try_join_next() {
            self.on_joined(sent);
        }
        let last_checkpoints = async {
            for id in self.workers.keys().copied().collect::<Vec<_>>() {
                self.save_checkpoint(id);
            }
            while self.saved.join_next().await.is_some() {}
        };
        let _late = tokio::time::timeout(SHUTDOWN_TIMEOUT, last_checkpoints).await;
    }

    /// Returns whether another node leads. Requests in flight are given up then: the leader repeats those that were not stored,
    /// and this node begins again from what the file says.
    fn stands_by(&mut self) -> bool {
        let stands_by = !self.writer.may_act();
        if stands_by && !self.stands_by {
            self.workers.clear();
            self.forget_revisions();
            self.mail_endpoint_asked = false;
            self.meter.show(0, 0, 0, 0);
        }
        self.stands_by = stands_by;
        stands_by
    }

    /// Scans, sends and stores everything that is due now.
    fn work(&mut self) -> rusqlite::Result<()> {
        let started = Instant::now();
        // While no checkpoint can be stored nothing is sent: it would all be sent again.
        if self.stands_by() || started < self.paused_until || self.writer.is_read_only() {
            return Ok(());
        }
        self.refresh_endpoints()?;
        let now = self.writer.clock.now();
        let published = Seq::new(self.writer.published.seq()).unwrap_or(Seq::ZERO);
        for id in self.workers.keys().copied().collect::<Vec<_>>() {
            let Some(worker) = self.workers.get_mut(&id) else { continue };
            worker.scan_events(&self.reader, published)?;
            while let Some(seq) = worker.next_due(now, started) {
                let call = worker.prepare(&self.reader, &self.file_id, seq, now)?;
                worker.queue.mark_in_flight(seq);
                failpoints::pause(PausePoint::BeforeDelivery);
                worker.send(&self.client, seq, call, &mut self.attempts);
            }
            if worker.is_checkpoint_due(started, CHECKPOINT_INTERVAL) {
                self.save_checkpoint(id);
            }
        }
        if started >= self.gauges_at {
            self.gauges_at = started + GAUGES_INTERVAL;
            self.update_gauges(now)?;
        }
        Ok(())
    }

    /// Makes workers for new and changed endpoints, and drops those of endpoints that are deleted or disabled.
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
            let mail = endpoints.iter().find(|endpoint| endpoint.is_mail());
            self.mail_endpoint = mail.map(|endpoint| (endpoint.id, endpoint.events));
            for endpoint in endpoints.into_iter().filter(|endpoint| endpoint.state == EndpointState::Enabled) {
                let mail = self.mail.as_ref().filter(|_| endpoint.is_mail());
                // A node without a mail server leaves the mails to one that has it.
                let has_channel = !endpoint.is_mail() || mail.is_some();
                if has_channel && !self.workers.contains_key(&endpoint.id) {
                    self.generation = self.generation.wrapping_add(1);
                    let channels = (&self.client, mail);
                    let worker =
                        EndpointWorker::open(endpoint, &self.reader, &self.options, channels, self.generation)?;
                    self.workers.insert(worker.endpoint.id, worker);
                }
            }
            self.revisions = revisions;
        }
        if self.writer.node.is_some() && self.mail.is_some() {
            self.bring_mail_endpoint_in_line();
        }
        self.refreshed_at_seq = Some(newest);
        Ok(())
    }

    /// Creates the built-in endpoint of mails, or gives it the events of this version: in a cluster no start does it, because
    /// only the leader writes.
    fn bring_mail_endpoint_in_line(&mut self) {
        if !std::mem::replace(&mut self.mail_endpoint_asked, true)
            && let Some(submission) = mail_endpoint::bring_in_line(self.mail_endpoint)
        {
            // If it is rejected, the next leadership asks again.
            let _later = self.writer.submit(submission);
        }
    }

    fn on_joined(&mut self, sent: Result<FinishedAttempt, JoinError>) {
        match sent {
            Ok(sent) => self.on_attempt_finished(sent),
            Err(error) if error.is_panic() => {
                tracing::error!("a webhook delivery panicked: all endpoint workers are restarted");
                self.workers.clear();
                self.forget_revisions();
                self.pause();
            }
            // Aborted: its worker was dropped.
            Err(_) => {}
        }
    }

    fn on_attempt_finished(&mut self, sent: FinishedAttempt) {
        failpoints::pause(PausePoint::AfterDelivery);
        let Some(worker) = current(&mut self.workers, sent.endpoint, sent.generation) else { return };
        let now = self.writer.clock.now();
        self.meter.attempt(sent.took, sent.result.is_delivered());
        if let Some(outcome) = sent.mail {
            self.mail_meter.count(outcome);
        }
        let mut chance = [0u8; 4];
        random::fill(&mut chance);
        let result = worker.settle(sent.seq, sent.result);
        let is_dead = worker.queue.record_result(sent.seq, result, now, u32::from_le_bytes(chance));
        if is_dead || matches!(result, AttemptResult::Delivered) {
            worker.forget_recipients(sent.seq);
        }
        if is_dead {
            self.meter.dead();
            let (endpoint, seq) = (sent.endpoint, sent.seq);
            if worker.endpoint.is_mail() {
                self.mail_meter.count(MailOutcome::Dead);
                tracing::warn!(%endpoint, %seq, result = ?sent.result, "mail given up: see its dead letter");
            } else {
                tracing::warn!(%endpoint, %seq, "webhook delivery given up; resend it when the endpoint works again");
            }
        }
        if sent.gone {
            tracing::warn!(endpoint = %sent.endpoint, "webhook endpoint disabled: it answered 410 Gone");
            let patch = EndpointPatch { state: Some(EndpointState::Disabled), ..EndpointPatch::default() };
            let command = EndpointCommand::Patch(PatchEndpoint {
                endpoint: sent.endpoint,
                patch,
                reason: "the endpoint answered 410 Gone".into(),
            });
            // If the command is rejected, the next 410 repeats it. The event counts neither as delivered nor as failed.
            let _later = self.writer.submit(submission(command));
            self.workers.remove(&sent.endpoint);
            self.revisions.clear();
        }
    }

    /// Has the writer store the checkpoint of a worker's deliveries.
    fn save_checkpoint(&mut self, id: Seq) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Some(command) = worker.take_checkpoint() else { return };
        let generation = worker.generation;
        match self.writer.submit(submission(command)) {
            Ok(ticket) => {
                self.saved
                    .spawn(async move { SavedCheckpoint { endpoint: id, generation, answer: ticket.answer().await } });
            }
            Err(_) => self.restart_after_error(id),
        }
    }

    fn on_checkpoint_saved(&mut self, saved: SavedCheckpoint) {
        let SavedCheckpoint { endpoint, generation, answer } = saved;
        let Some(worker) = current(&mut self.workers, endpoint, generation) else { return };
        match answer {
            WriterReply::Decided(decided) if matches!(decided.outcome, Outcome::Accepted(_)) => {
                worker.checkpoint_saved()
            }
            // An operator changed the endpoint first: the file says where to continue.
            WriterReply::Decided(_) => {
                self.workers.remove(&endpoint);
                self.forget_revisions();
            }
            WriterReply::TooOld | WriterReply::NotApplied(_) | WriterReply::Unknown => {
                self.restart_after_error(endpoint)
            }
        }
    }

    fn restart_after_error(&mut self, endpoint: Seq) {
        self.workers.remove(&endpoint);
        self.forget_revisions();
        self.pause();
    }

    fn forget_revisions(&mut self) {
        self.revisions.clear();
        self.refreshed_at_seq = None;
    }

    fn pause(&mut self) {
        self.paused_until = Instant::now() + ERROR_PAUSE;
    }

    fn update_gauges(&mut self, now: UnixMillis) -> rusqlite::Result<()> {
        let (mut waiting, mut dead, mut breakers_open) = (0u64, 0u64, 0u64);
        let mut dead_mails = 0;
        for (id, _) in &self.revisions {
            let (more_waiting, more_dead) = self.reader.read(|connection| rows::counts(connection, *id))?;
            waiting = waiting.saturating_add(more_waiting);
            // Addresses that were mistyped make dead letters that no operator can repair: they are counted apart.
            if self.mail_endpoint.is_some_and(|(mail, _)| mail == *id) {
                dead_mails = more_dead;
            } else {
                dead = dead.saturating_add(more_dead);
            }
        }
        for worker in self.workers.values() {
            breakers_open = breakers_open.saturating_add(u64::from(worker.queue.is_breaker_open()));
        }
        self.mail_meter.show(dead_mails);
        let oldest = self.workers.values().filter_map(|worker| worker.queue.oldest()).min();
        self.meter.show(oldest.map_or(0, |at| now.since(at)), waiting, dead, breakers_open);
        Ok(())
    }
}

/// Returns the worker of an endpoint, unless it has been replaced since that generation.
fn current(workers: &mut BTreeMap<Seq, EndpointWorker>, endpoint: Seq, generation: u64) -> Option<&mut EndpointWorker> {
    workers.get_mut(&endpoint).filter(|worker| worker.generation == generation)
}

fn submission(command: EndpointCommand) -> Submission {
    Submission { command: Command::Endpoint(Box::new(command)), private_data: None, class: Class::Operator }
}
