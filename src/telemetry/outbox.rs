//! What the relay records.

use std::time::Duration;

use metrics::{Counter, Gauge};

use super::local::LocalHistogram;
use super::{Telemetry, catalogue as metric, meters};

/// What the relay records: at the pace of deliveries, which is not the hot path's.
pub struct OutboxMeter {
    delivered: Counter,
    failed: Counter,
    dead: Counter,
    attempt: LocalHistogram,
    age: Gauge,
    waiting: Gauge,
    dead_letters: Gauge,
    broken: Gauge,
}

impl OutboxMeter {
    /// The relay's meter.
    #[must_use]
    pub fn new(telemetry: &Telemetry) -> OutboxMeter {
        let deliveries = |result| telemetry.counter(&metric::OUTBOX_DELIVERIES, &[("result", result)]);
        OutboxMeter {
            delivered: deliveries("delivered"),
            failed: deliveries("failed"),
            dead: deliveries("dead"),
            attempt: LocalHistogram::new(telemetry.histogram(&metric::OUTBOX_ATTEMPT, &[])),
            age: telemetry.gauge(&metric::OUTBOX_AGE, &[]),
            waiting: telemetry.gauge(&metric::OUTBOX_WAITING, &[]),
            dead_letters: telemetry.gauge(&metric::OUTBOX_DEAD, &[]),
            broken: telemetry.gauge(&metric::OUTBOX_BROKEN, &[]),
        }
    }

    /// An attempt ended.
    pub fn attempt(&mut self, took: Duration, delivered: bool) {
        if delivered { &self.delivered } else { &self.failed }.increment(1);
        self.attempt.record_duration(took);
    }

    /// A delivery was given up.
    pub fn dead(&self) {
        self.dead.increment(1);
    }

    /// How things stand: the age of the oldest undelivered event in milliseconds, deliveries that wait, dead letters,
    /// and endpoints to which nothing gets through.
    pub fn show(&mut self, age_ms: u64, waiting: u64, dead_letters: u64, broken: u64) {
        #[expect(clippy::cast_precision_loss, reason = "an age for people")]
        self.age.set(age_ms as f64 / 1000.0);
        meters::set(&self.waiting, waiting);
        meters::set(&self.dead_letters, dead_letters);
        meters::set(&self.broken, broken);
        self.attempt.flush();
    }
}
