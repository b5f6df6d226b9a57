//! The loop of the refund thread: finds payments with money that is due, and repeats attempts.
//!
//! Bounded are the payments in memory and the attempts in flight; while the provider fails, one is in flight at a time. An
//! attempt is repeated until nothing is due or the refund is left to the operator.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::due::{Attempt, Attempts, Left};
use super::{RefundDependencies, RefundError, RefundProvider, RefundStates};
use crate::failpoints;
use crate::payments::provider_api::backoff;
use crate::read::refunds::{self, PaymentKey, TouchedOrders};
use crate::read::sessions::last_event;
use crate::telemetry::{Telemetry, catalogue as metric};
use crate::types::{AutomaticRefund, Provider, Seq};

/// Pause between two searches for refunds that are due.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Payments in memory; more stay in the file until there is room.
const WAITING_MAX: usize = 10_000;
/// Attempts in flight, each of one request at a time: below the 25 requests per second that Stripe's test mode takes, and
/// enough for a thousand refunds in minutes.
const IN_FLIGHT_MAX: usize = 8;
/// Failures in a row after which one attempt is in flight at a time.
const FAILURES_IN_A_ROW: u32 = 5;
/// The shortest and the longest wait before a refund is looked up again on which the provider works. Its webhook tells most
/// of them.
const PENDING_MIN: Duration = Duration::from_secs(30);
const PENDING_MAX: Duration = Duration::from_secs(3600);
/// Wait after an error that the provider repeats for a key: Stripe forgets a key after a day.
const REPLAYED_WAIT: Duration = Duration::from_secs(3600);

/// The state of the refund thread.
pub(super) struct RefundLoop {
    attempts: Attempts,
    meter: RefundMetrics,
    /// Shared with the list of an order's payments.
    states: Arc<RefundStates>,
    /// The last event that was read; `None` before the first read.
    read_to: Option<Seq>,
    /// The last order of the scan at start that was read; `None` once the scan is complete.
    scanned: Option<Seq>,
    /// Payments with money that is due: the attempts so far, and the earliest time of the next one.
    waiting: BTreeMap<PaymentKey, (u32, Instant)>,
    /// Payments with an attempt in flight. True if their money changed meanwhile.
    busy: BTreeMap<PaymentKey, bool>,
    /// Payments that are left to the operator.
    given_up: BTreeSet<PaymentKey>,
    in_flight: JoinSet<RefundAttemptEnd>,
    failures: u32,
    /// No attempts before this time.
    paused_until: Option<Instant>,
}

struct RefundAttemptEnd {
    key: PaymentKey,
    attempts: u32,
    result: Result<Attempt, RefundError>,
}

#[derive(Clone)]
pub(super) struct RefundMetrics {
    made: metrics::Counter,
    found: metrics::Counter,
    pending: metrics::Counter,
    failed: metrics::Counter,
    given_up: metrics::Counter,
    waiting: metrics::Gauge,
    left: metrics::Gauge,
}

impl RefundMetrics {
    pub(super) fn new(telemetry: &Telemetry, provider: Provider) -> RefundMetrics {
        let name = provider.as_str();
        let counter = |result| telemetry.counter(&metric::PROVIDER_REFUNDS, &[("provider", name), ("result", result)]);
        let gauge = |metric| telemetry.gauge(metric, &[("provider", name)]);
        RefundMetrics {
            made: counter("made"),
            found: counter("found"),
            pending: counter("pending"),
            failed: counter("failed"),
            given_up: counter("given_up"),
            waiting: gauge(&metric::PROVIDER_REFUNDS_WAITING),
            left: gauge(&metric::PROVIDER_REFUNDS_GIVEN_UP),
        }
    }
}

impl RefundLoop {
    pub(super) fn new(
        provider: Arc<RefundProvider>,
        meter: RefundMetrics,
        states: Arc<RefundStates>,
        parts: RefundDependencies,
    ) -> RefundLoop {
        RefundLoop {
            attempts: Attempts { provider, reader: parts.reader, writer: parts.writer },
            meter,
            states,
            read_to: None,
            scanned: Some(Seq::ZERO),
            waiting: BTreeMap::new(),
            busy: BTreeMap::new(),
            given_up: BTreeSet::new(),
            in_flight: JoinSet::new(),
            failures: 0,
            paused_until: None,
        }
    }

    /// Runs until `stopping` becomes true, or another node of the cluster leads. What is in flight then is found at the
    /// provider at the next start, or by that node.
    pub(super) async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        while !*stopping.borrow() && self.attempts.writer.may_act() {
            let more = self.find_due().unwrap_or_else(|error| {
                tracing::error!(%error, "refunds: what is due could not be read");
                false
            });
            self.attempt_due();
            failpoints::panic_in("fc-refunds");
            self.measure(self.waiting.len().saturating_add(self.busy.len()), self.given_up.len());
            let pause = if more { Duration::ZERO } else { POLL_INTERVAL };
            tokio::select! {
                Some(ended) = self.in_flight.join_next() => match ended {
                    Ok(finished) => self.finished(finished),
                    Err(error) => {
                        // The attempt cannot be told from others: all that is due is looked at again.
                        tracing::error!(%error, "refunds: an attempt panicked");
                        (self.scanned, self.busy) = (Some(Seq::ZERO), BTreeMap::new());
                    }
                },
                () = tokio::time::sleep(pause) => {}
                _ = stopping.changed() => {}
            }
        }
        self.measure(0, 0);
        self.states.clear();
    }

    fn measure(&self, waiting: usize, left: usize) {
        let of = |count| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        self.meter.waiting.set(of(waiting));
        self.meter.left.set(of(left));
    }

    /// Looks for payments with money that is due. Returns true if there may be more at once.
    fn find_due(&mut self) -> rusqlite::Result<bool> {
        if self.waiting.len() >= WAITING_MAX {
            return Ok(false);
        }
        let reader = self.attempts.reader.clone();
        let Some(read_to) = self.read_to else {
            // Money that becomes due after this event is found by events, and that before it by the scan.
            self.read_to = Some(reader.read(last_event)?);
            return Ok(true);
        };
        let TouchedOrders { orders, last, more } = match self.scanned {
            Some(scanned) => reader.read(|connection| refunds::due_after(connection, scanned))?,
            None => reader.read(|connection| refunds::touched_since(connection, read_to))?,
        };
        for order in &orders {
            self.look_at(*order)?;
        }
        match self.scanned {
            Some(_) => self.scanned = more.then_some(last),
            None => self.read_to = Some(last),
        }
        Ok(more || self.scanned.is_some())
    }

    /// Notes the payments of an order that are owed. Each is attempted at once: what changed may end a wait.
    fn look_at(&mut self, order: Seq) -> rusqlite::Result<()> {
        let provider = self.attempts.provider.provider();
        let due = self.attempts.reader.read(|connection| refunds::due_of_order(connection, order, provider))?;
        let of_order = |key: &PaymentKey| key.order == order;
        self.waiting.retain(|key, _| !of_order(key));
        for key in self.given_up.extract_if(.., of_order) {
            self.states.set(key, None);
        }
        for key in due {
            match self.busy.get_mut(&key) {
                Some(is_stale) => *is_stale = true,
                None => {
                    self.waiting.insert(key, (0, Instant::now()));
                }
            }
        }
        Ok(())
    }

    /// Begins the attempts that are due.
    fn attempt_due(&mut self) {
        let now = Instant::now();
        if self.paused_until.is_some_and(|until| now < until) {
            return;
        }
        let limit = if self.failures < FAILURES_IN_A_ROW { IN_FLIGHT_MAX } else { 1 };
        let free = limit.saturating_sub(self.in_flight.len());
        let due = self.waiting.iter().filter(|(_, (_, not_before))| *not_before <= now);
        let mut due: Vec<(Instant, PaymentKey, u32)> =
            due.map(|(key, (attempts, not_before))| (*not_before, *key, *attempts)).collect();
        // The longest wait first: payments that always fail do not keep the others from their turn.
        due.sort_unstable_by_key(|(not_before, _, _)| *not_before);
        for (_, key, attempts) in due.into_iter().take(free) {
            self.waiting.remove(&key);
            self.busy.insert(key, false);
            let work = self.attempts.clone();
            self.in_flight.spawn(async move {
                let result = work.attempt(key).await;
                RefundAttemptEnd { key, attempts, result }
            });
        }
    }

    fn finished(&mut self, RefundAttemptEnd { key, attempts, result }: RefundAttemptEnd) {
        let is_stale = self.busy.remove(&key).unwrap_or(false);
        let PaymentKey { order, payment } = key;
        let wait = match result {
            Ok(attempt) => {
                self.failures = 0;
                self.meter.made.increment(attempt.made);
                self.meter.found.increment(attempt.found);
                self.states.set(key, (attempt.left == Left::Pending).then_some(AutomaticRefund::Pending));
                match attempt.left {
                    Left::Nothing => {
                        tracing::info!(%order, %payment, made = attempt.made, found = attempt.found, "refund settled");
                        None
                    }
                    Left::Pending => {
                        self.meter.pending.increment(1);
                        tracing::info!(%order, %payment, "the provider works on a refund; it is looked up again");
                        Some(PENDING_MIN.saturating_mul(1 << attempts.min(8)).min(PENDING_MAX))
                    }
                    Left::More => Some(backoff(attempts)),
                }
            }
            Err(RefundError::GivenUp(reason)) => {
                self.failures = 0;
                self.meter.given_up.increment(1);
                self.given_up.insert(key);
                self.states.set(key, Some(AutomaticRefund::GivenUp(reason.clone())));
                tracing::error!(
                    %order, %payment, %reason,
                    "the provider does not make a refund: it is left to the operator; see FirstcomeRefundsGivenUp"
                );
                None
            }
            Err(RefundError::Replayed(reason)) => {
                self.meter.failed.increment(1);
                tracing::warn!(%order, %payment, %reason, "the provider repeats its error; the refund is tried again in an hour");
                self.states.set(key, Some(AutomaticRefund::Retried(reason)));
                Some(REPLAYED_WAIT)
            }
            Err(RefundError::Retry { reason, retry_after }) => {
                self.meter.failed.increment(1);
                self.failures = self.failures.saturating_add(1);
                tracing::warn!(%order, %payment, attempts, %reason, "refund not made; it is tried again");
                self.states.set(key, Some(AutomaticRefund::Retried(reason)));
                let all = self.failures.checked_sub(FAILURES_IN_A_ROW).map(backoff);
                if let Some(wait) = retry_after.max(all) {
                    self.paused_until = Some(Instant::now() + wait);
                }
                Some(backoff(attempts).max(retry_after.unwrap_or_default()))
            }
        };
        // Its money changed while the attempt was under way.
        let wait = if is_stale { Some(wait.unwrap_or_default().min(POLL_INTERVAL)) } else { wait };
        if let Some(wait) = wait {
            self.given_up.remove(&key);
            self.waiting.insert(key, (attempts.saturating_add(1), Instant::now() + wait));
        }
    }
}
