//! Metrics of the outbox.

use std::time::Duration;

use metrics::{Counter, Gauge};

use super::local::LocalHistogram;
use super::{Telemetry, catalogue as metric, meters};

/// Meter of the relay. Deliveries are not a hot path, so it counts into shared metrics.
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

    /// Counts an attempt and its duration.
    pub fn attempt(&mut self, took: Duration, delivered: bool) {
        if delivered { &self.delivered } else { &self.failed }.increment(1);
        self.attempt.record_duration(took);
    }

    /// Counts a delivery that became a dead letter.
    pub fn dead(&self) {
        self.dead.increment(1);
    }

    /// Sets the gauges: age of the oldest undelivered event in milliseconds, waiting deliveries, dead letters, and
    /// endpoints with an open circuit breaker.
    pub fn show(&mut self, age_ms: u64, waiting: u64, dead_letters: u64, broken: u64) {
        #[expect(clippy::cast_precision_loss, reason = "an age for people")]
        self.age.set(age_ms as f64 / 1000.0);
        meters::set(&self.waiting, waiting);
        meters::set(&self.dead_letters, dead_letters);
        meters::set(&self.broken, broken);
        self.attempt.flush();
    }
}
