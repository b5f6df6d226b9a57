//! The counts of a run: per buyer while it lasts, added up by kind at its end. Pure.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::habits::CrowdRequest;
use super::population::BuyerKind;
use crate::load::client::ResponseHead;

/// The longest delay of the load itself that is counted as it is, in microseconds.
const LATE_US_MAX: u64 = 60_000_000;

/// The result of a request at the door.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DoorVerdict {
    /// The request passed at the pace of its buyer's own tier.
    Admitted,
    /// The request passed under the limits of suspected buyers.
    Slowed,
    /// The request got 429 or 428: nothing was decided.
    Rejected,
    /// There was no answer of the door: no connection, no time, an overload, or a token that is not valid.
    Failed,
}

impl DoorVerdict {
    /// The verdict that an answer shows. `RateLimit-Policy` names the policies that a write was charged by; a buyer with a token is
    /// charged by `buyer-suspected` and by those of the address only as a suspected one.
    pub(super) const fn of(head: &ResponseHead) -> DoorVerdict {
        match head.status {
            428 | 429 => DoorVerdict::Rejected,
            400 | 401 | 500..=599 => DoorVerdict::Failed,
            _ if is_suspected(head) => DoorVerdict::Slowed,
            _ => DoorVerdict::Admitted,
        }
    }
}

/// True if an answer shows that its buyer is suspected.
pub(super) const fn is_suspected(head: &ResponseHead) -> bool {
    head.suspected_quota.is_some() || head.is_charged_by_address
}

/// Requests by verdict.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct VerdictCounts {
    pub(super) admitted: u64,
    pub(super) slowed: u64,
    pub(super) rejected: u64,
    pub(super) failed: u64,
}

impl VerdictCounts {
    pub(super) const fn add(&mut self, verdict: DoorVerdict) {
        match verdict {
            DoorVerdict::Admitted => self.admitted += 1,
            DoorVerdict::Slowed => self.slowed += 1,
            DoorVerdict::Rejected => self.rejected += 1,
            DoorVerdict::Failed => self.failed += 1,
        }
    }

    const fn add_all(&mut self, other: VerdictCounts) {
        self.admitted += other.admitted;
        self.slowed += other.slowed;
        self.rejected += other.rejected;
        self.failed += other.failed;
    }

    pub(super) const fn all(self) -> u64 {
        self.admitted + self.slowed + self.rejected + self.failed
    }

    /// The share that was rejected or slowed, of the requests that the door answered; without one, 0.
    pub(super) fn held_back(self, slowed_counts: bool) -> f64 {
        let held = self.rejected + if slowed_counts { self.slowed } else { 0 };
        share(held, self.all() - self.failed)
    }
}

/// A part of a whole; 0 of nothing.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The counts of one buyer.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub(super) struct BuyerTally {
    pub(super) requests: VerdictCounts,
    /// Orders and checkouts alone.
    pub(super) writes: u64,
    /// Seconds since the start of the drop.
    pub(super) first_write: f64,
    pub(super) last_write: f64,
    pub(super) has_unit: bool,
    pub(super) has_ticket: bool,
    /// Reads of the waiting room, which are in no other count.
    pub(super) polls: u64,
    pub(super) is_suspected: bool,
}

impl BuyerTally {
    /// Counts a request that was sent at this time.
    pub(super) fn note(&mut self, ask: CrowdRequest, verdict: DoorVerdict, sent: f64) {
        if ask == CrowdRequest::Poll && verdict == DoorVerdict::Admitted {
            self.polls += 1;
            return;
        }
        self.requests.add(verdict);
        match ask {
            CrowdRequest::Read | CrowdRequest::Poll => {}
            CrowdRequest::Order | CrowdRequest::CheckOut(_) | CrowdRequest::Ticket => {
                if self.writes == 0 {
                    self.first_write = sent;
                }
                self.writes += 1;
                self.last_write = sent;
            }
        }
    }
}

/// The counts of all buyers.
pub(super) struct CrowdTally {
    pub(super) buyers: Vec<BuyerTally>,
    /// The largest quota of `buyer-suspected` in an answer.
    pub(super) suspected_quota: u32,
    /// The time from which requests were due to which they were sent, in microseconds.
    pub(super) late: Histogram<u64>,
}

impl CrowdTally {
    /// Counts for this number of buyers.
    ///
    /// # Errors
    /// The histogram cannot be made.
    pub(super) fn new(buyers: usize) -> Result<CrowdTally, hdrhistogram::CreationError> {
        let late = Histogram::new_with_bounds(1, LATE_US_MAX, 3)?;
        Ok(CrowdTally { buyers: vec![BuyerTally::default(); buyers], suspected_quota: 0, late })
    }
}

/// The counts of a kind of buyers.
#[derive(Clone, PartialEq, Default, Debug)]
pub(super) struct KindTally {
    pub(super) buyers: u64,
    pub(super) requests: VerdictCounts,
    pub(super) writes: u64,
    /// Gaps between writes of one buyer, and their sum in seconds.
    gaps: u64,
    gap_seconds: f64,
    pub(super) suspected: u64,
    pub(super) units: u64,
    pub(super) tickets: u64,
    pub(super) polls: u64,
    /// Suspected buyers by the names of their signals.
    pub(super) signals: BTreeMap<String, u64>,
}

impl KindTally {
    /// Adds one buyer; `signals` are those of a suspected one.
    pub(super) fn add(&mut self, buyer: &BuyerTally, signals: &[String]) {
        self.buyers += 1;
        self.requests.add_all(buyer.requests);
        self.writes += buyer.writes;
        if buyer.writes > 1 {
            self.gaps += buyer.writes - 1;
            self.gap_seconds += buyer.last_write - buyer.first_write;
        }
        self.suspected += u64::from(buyer.is_suspected);
        self.units += u64::from(buyer.has_unit);
        self.tickets += u64::from(buyer.has_ticket);
        self.polls += buyer.polls;
        for signal in signals {
            *self.signals.entry(signal.clone()).or_default() += 1;
        }
    }

    /// Writes a minute that a buyer of this kind tries while trying: 60 s by the mean gap between two writes of one buyer.
    pub(super) fn writes_per_minute(&self) -> f64 {
        if self.gap_seconds > 0.0 { 60.0 * self.gaps as f64 / self.gap_seconds } else { 0.0 }
    }
}

/// The counts by kind, in the order of [`BuyerKind::ALL`].
pub(super) type KindTallies = BTreeMap<BuyerKind, KindTally>;
