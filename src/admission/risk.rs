//! Bot signals, and the risk score of each buyer.
//!
//! A signal is raised by a request, with a weight that halves with each half-life until it is raised again. The sum of a
//! buyer's weights is their score. Weights do not add up by repetition, so one signal alone never exceeds its weight.
//! Buyers are known by a hash that is secret to this process; no name, address or header is kept.

mod buyer_table;
pub mod headers;
mod read_filter;
mod rules;
mod shared_clients;
pub mod signals;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use buyer_table::BuyerTable;
use headers::BrowserHeaders;
use read_filter::{Hours, ReadFilter};
use rules::CurrentRiskRules;
use shared_clients::SharedClients;

use crate::config::RiskSettings;
use crate::failpoints::{self, Bug};
use crate::telemetry::{Telemetry, catalogue as metric};
use crate::types::{BuyerText, DropId, RiskNote, Signal, SignalSet};

/// Milliseconds since the start of the process, which is not 0.
type Millis = u64;

/// The facts that a listener saw of a write that names a buyer.
#[derive(Clone, Copy, Default)]
pub struct SeenWrite<'request> {
    /// A secret hash of the client's own address; none behind the shop's back end.
    pub address: Option<u64>,
    /// The headers of a browser or an app; none over the wire protocol, whose clients are programs.
    pub headers: Option<&'request BrowserHeaders<'request>>,
    /// The drop, if the write is an order over HTTP.
    pub order: Option<SeenOrder>,
}

/// An order, as signals see it.
#[derive(Clone, Copy, Debug)]
pub struct SeenOrder {
    pub drop_id: DropId,
    /// Time since the start of the drop; none before it, or if it is not known.
    pub since_start: Option<Duration>,
}

/// The numbers of buyers that the metrics show.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RiskCounts {
    /// Buyers whose score is at least `risk.suspect_at`.
    pub suspected: u64,
    /// Places of the table with a buyer, and all places.
    pub entries: (u64, u64),
}

/// The signals of all buyers.
pub struct Risk {
    started: Instant,
    hasher: RandomState,
    rules: CurrentRiskRules,
    buyers: BuyerTable,
    shared: SharedClients,
    reads: ReadFilter,
    /// The hour that reads are marked with.
    hour: AtomicU64,
    raised: [metrics::Counter; Signal::ALL.len()],
}

impl Risk {
    /// Returns the memory of a server that has seen nobody.
    #[must_use]
    pub fn new(settings: &RiskSettings, telemetry: &Telemetry) -> Risk {
        let counter = |signal: Signal| telemetry.counter(&metric::RISK_SIGNALS, &[("signal", signal.as_str())]);
        Risk {
            started: Instant::now(),
            hasher: RandomState::new(),
            rules: CurrentRiskRules::new(settings),
            buyers: BuyerTable::new(settings.entries_max),
            shared: SharedClients::new(settings.entries_max),
            reads: ReadFilter::default(),
            hour: AtomicU64::new(0),
            raised: Signal::ALL.map(counter),
        }
    }

    /// Puts other weights and thresholds in force; the number of entries stays.
    pub fn replace_rules(&self, settings: &RiskSettings) {
        self.rules.replace(settings);
    }

    /// Returns whether signals are collected.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.rules.is_enabled()
    }

    /// Sets the hour that reads are marked with; each thread does it once a second, so that no read computes it.
    pub fn tick(&self, now: Instant) {
        self.hour.store(self.hours(now), Ordering::Relaxed);
    }

    /// Notes that somebody at an address has read a drop; `None` for a list of drops.
    pub fn note_read_from(&self, address: u64, drop_id: Option<DropId>) {
        if self.rules.is_enabled() {
            self.reads.mark(address, number_of(drop_id), self.hour.load(Ordering::Relaxed));
        }
    }

    /// Notes that a buyer with a token has read a drop; `None` for a list of drops.
    pub fn note_read_by(&self, buyer: &BuyerText, drop_id: Option<DropId>) {
        if self.rules.is_enabled() {
            self.reads.mark(self.key(buyer), number_of(drop_id), self.hour.load(Ordering::Relaxed));
        }
    }

    /// Notes a write of a buyer, and raises its signals. Returns whether they make a buyer suspected who has written within the
    /// minute before.
    pub fn note_write(&self, buyer: &BuyerText, write: &SeenWrite<'_>, now: Instant) -> bool {
        let Some(rules) = self.rules.in_force() else { return false };
        let (key, hour, now) = (self.key(buyer), self.hours(now), self.millis(now));
        let mut raised = SignalSet::default();
        let mut raise_if = |holds: bool, signal| {
            if holds {
                raised = raised.with(signal);
            }
        };
        let agent = write.headers.map(|headers| self.hasher.hash_one(headers.user_agent));
        if let Some(headers) = write.headers {
            raise_if(headers::are_odd(headers), Signal::OddHeaders);
        }
        if let (Some(address), Some(agent)) = (write.address, agent) {
            let client = if failpoints::enabled(Bug::CampusByAddress) { address } else { address ^ agent };
            let buyers = self.shared.note(client, key, rules.shared_window_seconds, now);
            raise_if(buyers > rules.shared_buyers_max, Signal::SharedClient);
        }
        if let Some(order) = &write.order {
            if let Some(address) = write.address {
                let has_read = self.has_read(address, order.drop_id, hour) || self.has_read(key, order.drop_id, hour);
                raise_if(!has_read, Signal::NoReadBeforePurchase);
            }
            let is_first = self.reads.mark_order(key, order.drop_id.get(), hour);
            raise_if(signals::is_first_instant(order.since_start, is_first, &rules), Signal::FirstInstant);
        }
        let was_suspected = self.buyers.is_suspected(key, &rules, now);
        let seen = self.buyers.note_write(key, (write.address, agent), &rules, now);
        raise_if(seen.is_regular, Signal::RegularIntervals);
        raise_if(seen.has_many_origins, Signal::ManyAddresses);
        self.raise(key, raised, &rules, now);
        seen.has_written && !was_suspected && self.buyers.is_suspected(key, &rules, now)
    }

    /// Notes a checkout of a buyer, so long after the reservation.
    pub fn note_checkout(&self, buyer: &BuyerText, since_reservation: Duration, now: Instant) {
        let Some(rules) = self.rules.in_force() else { return };
        if signals::is_fast_checkout(since_reservation, &rules) {
            self.raise(self.key(buyer), SignalSet::default().with(Signal::FastCheckout), &rules, self.millis(now));
        }
    }

    /// Notes that a buyer failed a challenge, replayed one, or solved it faster than hardware can.
    pub fn note_challenge(&self, buyer: &BuyerText, now: Instant) {
        let Some(rules) = self.rules.in_force() else { return };
        self.raise(self.key(buyer), SignalSet::default().with(Signal::Challenge), &rules, self.millis(now));
    }

    /// Returns a buyer's score with the names of its signals; `None` without any.
    #[must_use]
    pub fn of(&self, buyer: &BuyerText, now: Instant) -> Option<RiskNote> {
        let rules = self.rules.in_force()?;
        self.buyers.note_of(self.key(buyer), &rules, self.millis(now))
    }

    /// Returns whether a buyer's score has reached `risk.suspect_at`.
    #[must_use]
    pub fn is_suspected(&self, buyer: &BuyerText, now: Instant) -> bool {
        let Some(rules) = self.rules.in_force() else { return false };
        self.buyers.is_suspected(self.key(buyer), &rules, self.millis(now))
    }

    /// Counts suspected buyers, and the used places.
    #[must_use]
    pub fn counts(&self, now: Instant) -> RiskCounts {
        let Some(rules) = self.rules.in_force() else { return RiskCounts::default() };
        let (suspected, used, places) = self.buyers.counts(&rules, self.millis(now));
        RiskCounts { suspected, entries: (used, places) }
    }

    /// Raises signals that have a weight.
    fn raise(&self, key: u64, signals: SignalSet, rules: &RiskSettings, now: Millis) {
        let weighty = |signal: &Signal| rules.weights[*signal as usize] > 0;
        let signals = signals.iter().filter(weighty).fold(SignalSet::default(), SignalSet::with);
        if signals.is_empty() {
            return;
        }
        self.buyers.raise(key, signals, rules, now);
        for signal in signals.iter() {
            self.raised[signal as usize].increment(1);
        }
    }

    /// Returns whether a reader has read a drop, or a list of drops.
    fn has_read(&self, reader: u64, drop_id: DropId, hour: Hours) -> bool {
        self.reads.is_marked(reader, drop_id.get(), hour) || self.reads.is_marked(reader, number_of(None), hour)
    }

    fn key(&self, buyer: &BuyerText) -> u64 {
        self.hasher.hash_one(buyer.as_str()).max(1)
    }

    fn hours(&self, now: Instant) -> Hours {
        now.saturating_duration_since(self.started).as_secs() / 3600
    }

    fn millis(&self, now: Instant) -> Millis {
        let since = now.saturating_duration_since(self.started);
        since.as_secs().saturating_mul(1000).saturating_add(since.subsec_millis().into()).saturating_add(1)
    }
}

/// Returns the number of a drop for the filter of reads; 0 for all of them.
fn number_of(drop_id: Option<DropId>) -> u32 {
    drop_id.map_or(0, DropId::get)
}
