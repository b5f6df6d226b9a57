//! One thread's own figures: no lock, no contention, bounded memory.

use std::sync::Arc;
use std::time::Duration;

use super::histogram::SharedHistogram;

/// A histogram of one thread, folded into the shared one at each flush. It takes a number per bucket, whatever is
/// recorded, and is exact in the output: buckets are all that the output has.
pub struct LocalHistogram {
    counts: Box<[u64]>,
    sum: u64,
    shared: Arc<SharedHistogram>,
}

impl LocalHistogram {
    /// An empty histogram that goes into this one.
    #[must_use]
    pub fn new(shared: Arc<SharedHistogram>) -> LocalHistogram {
        LocalHistogram { counts: shared.empty_counts(), sum: 0, shared }
    }

    /// Records a duration.
    pub fn record_duration(&mut self, duration: Duration) {
        self.record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Records a value in the unit of the bounds.
    pub fn record(&mut self, value: u64) {
        if let Some(count) = self.counts.get_mut(self.shared.bucket(value)) {
            *count = count.saturating_add(1);
        }
        self.sum = self.sum.saturating_add(value);
    }

    /// Hands everything over to the shared histogram: an addition per bucket that was hit.
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
    /// A counter that registers its shared one when it first has something to hand over.
    #[must_use]
    pub const fn new() -> LocalCounter {
        LocalCounter { count: 0, shared: None }
    }

    /// Counts one.
    pub fn bump(&mut self) {
        self.count = self.count.saturating_add(1);
    }

    /// Hands everything over; registers the shared counter if there is something and it is not there yet.
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

/// One thread's part of a gauge that all threads share.
pub struct LocalGauge {
    value: u32,
    shown: u32,
    shared: metrics::Gauge,
}

impl LocalGauge {
    /// A part of this gauge: 0 so far.
    #[must_use]
    pub fn new(shared: metrics::Gauge) -> LocalGauge {
        LocalGauge { value: 0, shown: 0, shared }
    }

    /// What it is.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.value
    }

    /// Sets it.
    pub fn set(&mut self, value: u32) {
        self.value = value;
    }

    /// Hands over by how much it has changed.
    pub fn flush(&mut self) {
        if self.value != self.shown {
            self.shared.increment(f64::from(self.value) - f64::from(self.shown));
            self.shown = self.value;
        }
    }
}
