//! Metrics of the writer.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge};

use super::catalogue as metric;
use super::local::{LocalCounter, LocalHistogram};
use super::{Metric, Telemetry};
use crate::types::OrderState;

/// Closed sets of labels, from the engine.
pub struct WriterLabels {
    pub commands: &'static [&'static str],
    pub outcomes: &'static [&'static str],
}

/// Meter of the writer, flushed once a second.
pub struct WriterMeter {
    queue_wait: LocalHistogram,
    batch_commands: LocalHistogram,
    decide: LocalHistogram,
    record: LocalHistogram,
    /// Made at the first append: a single machine has none.
    append: Option<LocalHistogram>,
    commit: LocalHistogram,
    checkpoint: LocalHistogram,
    too_old: Counter,
    checkpoint_busy: Counter,
    wal_bytes: Gauge,
    clock_offset: Gauge,
    keys_evicted: Gauge,
    disk_free: Gauge,
    read_only: Gauge,
    orders: [Gauge; OrderState::ALL.len()],
    outcomes: Vec<LocalCounter>,
    labels: WriterLabels,
    telemetry: Arc<Telemetry>,
}

fn seconds(telemetry: &Telemetry, metric: &'static Metric) -> LocalHistogram {
    LocalHistogram::new(telemetry.histogram(metric, &[]))
}

impl WriterMeter {
    #[must_use]
    pub fn new(telemetry: &Arc<Telemetry>, labels: WriterLabels) -> WriterMeter {
        let combinations = labels.commands.len().saturating_mul(labels.outcomes.len());
        WriterMeter {
            queue_wait: seconds(telemetry, &metric::QUEUE_WAIT),
            batch_commands: LocalHistogram::new(telemetry.histogram(&metric::BATCH_COMMANDS, &[])),
            decide: seconds(telemetry, &metric::DECIDE),
            record: seconds(telemetry, &metric::RECORD),
            append: None,
            commit: seconds(telemetry, &metric::COMMIT),
            checkpoint: seconds(telemetry, &metric::CHECKPOINT),
            too_old: telemetry.counter(&metric::TOO_OLD, &[]),
            checkpoint_busy: telemetry.counter(&metric::CHECKPOINT_BUSY, &[]),
            wal_bytes: telemetry.gauge(&metric::WAL_BYTES, &[]),
            clock_offset: telemetry.gauge(&metric::CLOCK_OFFSET, &[]),
            keys_evicted: telemetry.gauge(&metric::KEYS_EVICTED, &[]),
            disk_free: telemetry.gauge(&metric::DISK_FREE, &[]),
            read_only: telemetry.gauge(&metric::READ_ONLY, &[]),
            orders: OrderState::ALL.map(|state| telemetry.gauge(&metric::ORDERS, &[("state", state.as_str())])),
            outcomes: (0..combinations).map(|_| LocalCounter::new()).collect(),
            labels,
            telemetry: Arc::clone(telemetry),
        }
    }

    /// Records the queue time of a command.
    pub fn queue_wait(&mut self, wait: Duration) {
        self.queue_wait.record_duration(wait);
    }

    /// Counts a command that waited too long and was not decided.
    pub fn too_old(&mut self) {
        self.too_old.increment(1);
    }

    /// Records the number of commands in a batch.
    pub fn batch_commands(&mut self, commands: usize) {
        self.batch_commands.record(u64::try_from(commands).unwrap_or(u64::MAX));
    }

    /// Records the duration of a decision.
    pub fn decide(&mut self, took: Duration) {
        self.decide.record_duration(took);
    }

    /// Records the duration of writing a batch's rows.
    pub fn record(&mut self, took: Duration) {
        self.record.record_duration(took);
    }

    /// Records the duration of an append to the replicated log.
    pub fn append(&mut self, took: Duration) {
        self.append.get_or_insert_with(|| seconds(&self.telemetry, &metric::APPEND)).record_duration(took);
    }

    /// Records the duration of a commit.
    pub fn commit(&mut self, took: Duration) {
        self.commit.record_duration(took);
    }

    /// Records the duration of a checkpoint, and counts it as busy if open snapshots prevented it.
    pub fn checkpoint(&mut self, took: Duration, busy: bool) {
        self.checkpoint.record_duration(took);
        if busy {
            self.checkpoint_busy.increment(1);
        }
    }

    /// Sets the free bytes of the disk, and the read-only state.
    pub fn disk_space(&mut self, free_bytes: u64, read_only: bool) {
        set(&self.disk_free, free_bytes);
        set(&self.read_only, u64::from(read_only));
    }

    /// Sets the numbers of orders, in the order of [`OrderState::ALL`].
    pub fn orders(&mut self, by_state: [u64; OrderState::ALL.len()]) {
        for (gauge, orders) in self.orders.iter().zip(by_state) {
            set(gauge, orders);
        }
    }

    /// Counts an outcome of a command; both are given by their index in the labels.
    pub fn outcome(&mut self, command: usize, outcome: usize) {
        let index = command.saturating_mul(self.labels.outcomes.len()).saturating_add(outcome);
        if let Some(counter) = self.outcomes.get_mut(index) {
            counter.bump();
        }
    }

    /// Adds everything to the shared metrics, once a second.
    pub fn tick(&mut self, clock_offset_ms: i64, wal_bytes: u64, keys_evicted: u64) {
        for histogram in [
            &mut self.queue_wait,
            &mut self.batch_commands,
            &mut self.decide,
            &mut self.record,
            &mut self.commit,
            &mut self.checkpoint,
        ]
        .into_iter()
        .chain(&mut self.append)
        {
            histogram.flush();
        }
        let combinations = self
            .labels
            .commands
            .iter()
            .flat_map(|command| self.labels.outcomes.iter().map(move |outcome| (*command, *outcome)));
        for (counter, (command, outcome)) in self.outcomes.iter_mut().zip(combinations) {
            let labels = [("command", command), ("outcome", outcome)];
            counter.flush(|| self.telemetry.counter(&metric::OUTCOMES, &labels));
        }
        #[expect(clippy::cast_precision_loss, reason = "milliseconds, far below 2^53")]
        self.clock_offset.set(clock_offset_ms as f64 / 1000.0);
        set(&self.wal_bytes, wal_bytes);
        set(&self.keys_evicted, keys_evicted);
    }
}

/// Sets a gauge to a whole number.
pub(super) fn set(gauge: &Gauge, value: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float by its format")]
    gauge.set(value as f64);
}
