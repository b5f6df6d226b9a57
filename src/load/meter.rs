//! Latencies, per thread, merged at the end.
//!
//! Invariant: the first of the two figures counts from the instant at which the schedule meant the request to start,
//! so a slow server cannot hide behind requests that were not sent yet (no coordinated omission).

use hdrhistogram::{CreationError, Histogram};

/// Microseconds; one hour is above every time limit of a run.
pub(super) const LATENCY_US_MAX: u64 = 3_600_000_000;
/// Three digits are right: 0.1 %.
pub(super) const DIGITS: u8 = 3;

/// The kinds of requests that are timed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RequestKind {
    /// Placing orders, repeats included.
    Orders,
    /// Checkouts, cancellations, reads of an order.
    FollowUps,
    /// Looks at the drop.
    Reads,
}

impl RequestKind {
    /// Every kind, in the order of the table.
    pub(super) const ALL: [RequestKind; 3] = [RequestKind::Orders, RequestKind::FollowUps, RequestKind::Reads];

    /// The word in the table and in JSON.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            RequestKind::Orders => "orders",
            RequestKind::FollowUps => "follow_ups",
            RequestKind::Reads => "reads",
        }
    }
}

/// The two latencies of one kind of request.
pub(super) struct Latencies {
    /// From the intended start to the answer.
    pub(super) from_intended: Histogram<u64>,
    /// From the request written to the answer read.
    pub(super) service: Histogram<u64>,
}

/// The latencies of one thread, or of all.
pub(super) struct LatencyMeter {
    kinds: [Latencies; 3],
    /// The instant of the last answer.
    pub(super) last_ns: u64,
    /// The instant of the first "sold out".
    pub(super) sold_out_ns: Option<u64>,
}

impl LatencyMeter {
    /// A meter without readings.
    ///
    /// # Errors
    /// Never with these bounds; the histogram's own.
    pub(super) fn new() -> Result<LatencyMeter, CreationError> {
        let one = || Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS);
        let pair = || Ok(Latencies { from_intended: one()?, service: one()? });
        Ok(LatencyMeter { kinds: [pair()?, pair()?, pair()?], last_ns: 0, sold_out_ns: None })
    }

    /// Notes one answered request.
    pub(super) fn record(&mut self, kind: RequestKind, intended_ns: u64, sent_ns: u64, done_ns: u64) {
        let latencies = &mut self.kinds[kind as usize];
        latencies.from_intended.saturating_record(done_ns.saturating_sub(intended_ns) / 1_000);
        latencies.service.saturating_record(done_ns.saturating_sub(sent_ns) / 1_000);
        self.last_ns = self.last_ns.max(done_ns);
    }

    /// Notes that the drop was seen sold out.
    pub(super) fn sold_out(&mut self, at_ns: u64) {
        self.sold_out_ns = Some(self.sold_out_ns.map_or(at_ns, |first| first.min(at_ns)));
    }

    /// The latencies of a kind.
    pub(super) const fn of(&self, kind: RequestKind) -> &Latencies {
        &self.kinds[kind as usize]
    }

    /// Adds another thread's readings.
    ///
    /// # Errors
    /// Never among meters, whose bounds are the same; the histogram's own.
    pub(super) fn merge(&mut self, other: &LatencyMeter) -> Result<(), hdrhistogram::AdditionError> {
        for (sum, part) in self.kinds.iter_mut().zip(&other.kinds) {
            sum.from_intended.add(&part.from_intended)?;
            sum.service.add(&part.service)?;
        }
        self.last_ns = self.last_ns.max(other.last_ns);
        if let Some(at_ns) = other.sold_out_ns {
            self.sold_out(at_ns);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_a_connection_counts_from_the_intended_start() {
        let mut all = LatencyMeter::new().expect("bounds");
        let mut one = LatencyMeter::new().expect("bounds");
        one.record(RequestKind::Orders, 0, 9_000_000, 10_000_000);
        one.sold_out(10);
        one.sold_out(5);
        all.merge(&one).expect("same bounds");
        let latencies = all.of(RequestKind::Orders);
        assert!(latencies.from_intended.max().abs_diff(10_000) <= 10);
        assert!(latencies.service.max().abs_diff(1_000) <= 1);
        assert_eq!((all.last_ns, all.sold_out_ns), (10_000_000, Some(5)));
        assert_eq!(all.of(RequestKind::Reads).service.len(), 0);
    }
}
