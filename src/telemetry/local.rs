//! Figures of one thread: no lock, no contention, bounded memory.

use std::sync::Arc;
use std::time::Duration;

use super::histogram::SharedHistogram;

/// A histogram of one thread, added to the shared one at each flush. It holds one number per bucket, which is all that the
/// output shows.
pub struct LocalHistogram {
    counts: Box<[u64]>,
    sum: u64,
    shared: Arc<SharedHistogram>,
}

impl LocalHistogram {
    /// Returns an empty histogram that is flushed into `shared`.
    #[must_use]
    pub fn new(shared: Arc<SharedHistogram>) -> LocalHistogram {
        LocalHistogram { counts: shared.empty_counts(), sum: 0, shared }
    }

    pub fn record_duration(&mut self, duration: Duration) {
        self.record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Records a value in the unit of the bucket bounds.
    pub fn record(&mut self, value: u64) {
        if let Some(count) = self.counts.get_mut(self.shared.bucket(value)) {
            *count = count.saturating_add(1);
        }
        self.sum = self.sum.saturating_add(value);
    }

    /// Adds the counts to the shared histogram: one addition per bucket with values.
    pub fn flush(&mut self) {
        self.shared.add(&mut self.counts, std::mem::take(&mut self.sum));
    }
}

/// A counter of one thread.
pub struct LocalCounter {
    count: u64,
    shared: Option<metrics::Counter>,
}

impl LocalCounter {
    /// Returns a counter that registers its shared one at the first flush with a count.
    #[must_use]
    pub const fn new() -> LocalCounter {
        LocalCounter { count: 0, shared: None }
    }

    /// Adds one.
    pub fn bump(&mut self) {
        self.count = self.count.saturating_add(1);
    }

    /// Adds the count to the shared counter, which is registered if it does not exist yet.
    pub fn flush(&mut self, register: impl FnOnce() -> metrics::Counter) {
        if self.count > 0 {
            self.shared.get_or_insert_with(register).increment(std::mem::take(&mut self.count));
        }
    }
}

impl Default for LocalCounter {
    fn default() -> Self {
        LocalCounter::new()
    }
}

/// The part of one thread in a gauge that all threads share.
pub struct LocalGauge {
    value: u32,
    shown: u32,
    shared: metrics::Gauge,
}

impl LocalGauge {
    /// Returns a part of `shared` with the value 0.
    #[must_use]
    pub fn new(shared: metrics::Gauge) -> LocalGauge {
        LocalGauge { value: 0, shown: 0, shared }
    }

    #[must_use]
    pub fn get(&self) -> u32 {
        self.value
    }

    pub fn set(&mut self, value: u32) {
        self.value = value;
    }

    /// Adds the change since the last flush to the shared gauge.
    pub fn flush(&mut self) {
        if self.value != self.shown {
            self.shared.increment(f64::from(self.value) - f64::from(self.shown));
            self.shown = self.value;
        }
    }
}
