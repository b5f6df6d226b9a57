//! The report of a run of bids: the table, the check, the JSON.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::bidder::BidLedger;
use super::plan::{BidPlan, LoadAuction, LoadParams};
use super::subscribers::SubscriberResult;
use crate::api::code::Code;
use crate::load::numbers::grouped;
use crate::wire::reason;

/// The figures of a run of bids.
pub(crate) struct BidReport<'a> {
    pub(super) bids: &'a BidPlan,
    pub(super) params: &'a LoadParams<'a>,
    pub(super) ledger: BidLedger,
    pub(super) took: Duration,
    pub(super) auctions: Arc<[LoadAuction]>,
    /// The server's prices at the end, in the order of the auctions.
    pub(super) prices: Vec<u64>,
    pub(super) subscribed: SubscriberResult,
}

impl BidReport<'_> {
    /// The table, line by line, with the result of the check at its end.
    pub(crate) fn table(&self) -> Vec<String> {
        let mut lines = self.figures();
        let result = if self.failures().is_empty() {
            "exact: every bid has its answer, every price is the highest acknowledged bid"
        } else {
            "fails"
        };
        lines.push(format!("check        {result}"));
        lines
    }

    fn asked(&self) -> u64 {
        u64::from(self.bids.each).saturating_mul(u64::try_from(self.params.connections).unwrap_or(u64::MAX))
    }

    /// Bids that the writer decided: acknowledged, or too low.
    fn answered(&self) -> u64 {
        self.ledger.with(0).saturating_add(self.ledger.with(reason::BID_TOO_LOW))
    }

    fn seconds(&self) -> f64 {
        self.took.as_secs_f64().max(1e-9)
    }

    fn per_second(&self) -> f64 {
        self.ledger.with(0) as f64 / self.seconds()
    }

    fn figures(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{} bids on {} connections in {} auctions, {} on their way at once, {:.2} s",
            grouped(self.asked()),
            self.params.connections,
            self.auctions.len(),
            self.bids.pipeline,
            self.seconds()
        )];
        for (reason, count) in &self.ledger.reasons {
            lines.push(format!("  {:<34}{:>14}", words(*reason), grouped(*count)));
        }
        lines.push(format!("acknowledged {:.0} bids/s", self.per_second()));
        lines.push(format!("answers      {}", in_words(&self.ledger.answers)));
        if self.subscribed.subscribers > 0 {
            let (delays, subscribers) = (in_words(&self.subscribed.delays), self.subscribed.subscribers);
            lines.push(format!("last price   {delays} after its acknowledgement, at {subscribers} subscribers"));
        }
        lines
    }

    /// The parts of the check that do not hold, a line each.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failed = Vec::new();
        let all: u64 = self.ledger.reasons.values().sum();
        if all != self.asked() {
            failed.push(format!("{} bids have no answer", grouped(self.asked().saturating_sub(all))));
        }
        for (reason, count) in &self.ledger.reasons {
            if ![0, reason::BID_TOO_LOW].contains(reason) {
                failed.push(format!("{} bids were not decided: {}", grouped(*count), words(*reason)));
            }
        }
        if self.ledger.with(0) == 0 {
            failed.push("no bid was acknowledged".into());
        }
        failed.extend(self.ledger.broken.iter().take(3).cloned());
        failed.extend(self.subscribed.errors.iter().take(3).cloned());
        let told = self.auctions.iter().zip(&self.prices).filter_map(|(auction, price)| {
            let highest = self.ledger.highest.get(&auction.id).map_or(auction.before, |(amount, _)| *amount);
            let id = auction.id;
            (*price != highest)
                .then(|| format!("auction {id}: the price is {price}, the highest acknowledged bid {highest}"))
        });
        failed.extend(told.take(3));
        failed
    }

    pub(crate) fn json(&self) -> Value {
        let reasons: BTreeMap<String, u64> =
            self.ledger.reasons.iter().map(|(reason, n)| (words(*reason), *n)).collect();
        json!({
            "bids": self.asked(), "connections": self.params.connections, "auctions": self.auctions.len(),
            "pipeline": self.bids.pipeline, "seconds": self.seconds(), "answers": reasons,
            "answered": self.answered(), "acknowledged": self.ledger.with(0),
            "acknowledged_per_second": self.per_second(), "answer_ms": in_json(&self.ledger.answers),
            "subscribers": self.subscribed.subscribers, "last_price_ms": in_json(&self.subscribed.delays), "exact": self.failures().is_empty(),
        })
    }
}

/// The problem code of a reason, or `acknowledged`.
pub(super) fn words(reason: u8) -> String {
    let known = Code::ALL.into_iter().map(Code::kind).find(|kind| kind.number == reason);
    match (reason, known) {
        (0, _) => "acknowledged".into(),
        (_, Some(kind)) => kind.code.into(),
        (other, None) => format!("reason {other}"),
    }
}

fn in_words(times: &Histogram<u64>) -> String {
    let shown: Vec<String> = percentiles(times).iter().map(|(name, ms)| format!("{name} {ms:.2} ms")).collect();
    shown.join(", ")
}

fn in_json(times: &Histogram<u64>) -> Value {
    percentiles(times).iter().map(|(name, ms)| (name.to_string(), json!(ms))).collect()
}

fn percentiles(times: &Histogram<u64>) -> [(&'static str, f64); 5] {
    [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99_9", 0.999), ("max", 1.0)]
        .map(|(name, quantile)| (name, times.value_at_quantile(quantile) as f64 / 1e6))
}
