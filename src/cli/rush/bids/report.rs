//! What a storm of bids found: the table, the check, the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::audience::Heard;
use super::bidder::Book;
use super::{Auction, Bids, Force};
use crate::cli::rush::report::grouped;
use crate::exit::Exit;
use crate::http::code::Code;
use crate::output;
use crate::wire::reason;

/// Everything that is known at the end.
pub(super) struct Report<'a> {
    pub(super) bids: &'a Bids,
    pub(super) force: &'a Force<'a>,
    pub(super) book: &'a Book,
    pub(super) took: Duration,
    pub(super) auctions: &'a [Auction],
    /// What the server says the prices are, in the order of the auctions.
    pub(super) prices: &'a [u64],
    pub(super) heard: &'a Heard,
}

impl Report<'_> {
    /// Says what was found.
    ///
    /// # Errors
    /// The check fails (1); the JSON file cannot be written (73).
    pub(super) fn conclude(&self, json: Option<File>) -> Result<(), Exit> {
        let failed = self.failed();
        self.table();
        output::line(format!(
            "check        {}",
            if failed.is_empty() {
                "exact: every bid has its answer, every price is the highest acknowledged bid"
            } else {
                "fails"
            }
        ));
        if let Some(mut file) = json {
            let found = self.json(failed.is_empty());
            writeln!(file, "{found:#}").map_err(|error| Exit::cannot_create(format!("--json: {error}")))?;
        }
        if failed.is_empty() { Ok(()) } else { Err(Exit::failed(failed.join("\n"))) }
    }

    fn asked(&self) -> u64 {
        u64::from(self.bids.each).saturating_mul(u64::try_from(self.force.connections).unwrap_or(u64::MAX))
    }

    /// Bids that the writer decided: acknowledged, or beaten by a faster one.
    fn answered(&self) -> u64 {
        self.book.with(0).saturating_add(self.book.with(reason::BID_TOO_LOW))
    }

    fn seconds(&self) -> f64 {
        self.took.as_secs_f64().max(1e-9)
    }

    fn per_second(&self) -> f64 {
        self.book.with(0) as f64 / self.seconds()
    }

    fn table(&self) {
        output::line(format!(
            "{} bids on {} connections in {} auctions, {} on their way at once, {:.2} s",
            grouped(self.asked()),
            self.force.connections,
            self.auctions.len(),
            self.bids.pipeline,
            self.seconds()
        ));
        for (reason, count) in &self.book.reasons {
            output::line(format!("  {:<34}{:>14}", words(*reason), grouped(*count)));
        }
        output::line(format!("acknowledged {:.0} bids/s", self.per_second()));
        output::line(format!("answers      {}", in_words(&self.book.answers)));
        if self.heard.subscribers > 0 {
            let (delays, subscribers) = (in_words(&self.heard.delays), self.heard.subscribers);
            output::line(format!("last price   {delays} after its acknowledgement, at {subscribers} subscribers"));
        }
    }

    /// What does not hold.
    fn failed(&self) -> Vec<String> {
        let mut failed = Vec::new();
        let all: u64 = self.book.reasons.values().sum();
        if all != self.asked() {
            failed.push(format!("{} bids have no answer", grouped(self.asked().saturating_sub(all))));
        }
        for (reason, count) in &self.book.reasons {
            if ![0, reason::BID_TOO_LOW].contains(reason) {
                failed.push(format!("{} bids were not decided: {}", grouped(*count), words(*reason)));
            }
        }
        if self.book.with(0) == 0 {
            failed.push("no bid was acknowledged".into());
        }
        failed.extend(self.book.broken.iter().take(3).cloned());
        failed.extend(self.heard.deaf.iter().take(3).cloned());
        let told = self.auctions.iter().zip(self.prices).filter_map(|(auction, price)| {
            let highest = self.book.highest.get(&auction.id).map_or(auction.before, |(amount, _)| *amount);
            let id = auction.id;
            (*price != highest)
                .then(|| format!("auction {id}: the price is {price}, the highest acknowledged bid {highest}"))
        });
        failed.extend(told.take(3));
        failed
    }

    fn json(&self, exact: bool) -> Value {
        let reasons: BTreeMap<String, u64> = self.book.reasons.iter().map(|(reason, n)| (words(*reason), *n)).collect();
        json!({
            "bids": self.asked(), "connections": self.force.connections, "auctions": self.auctions.len(),
            "pipeline": self.bids.pipeline, "seconds": self.seconds(), "answers": reasons,
            "answered": self.answered(), "acknowledged": self.book.with(0),
            "acknowledged_per_second": self.per_second(), "answer_ms": in_json(&self.book.answers),
            "subscribers": self.heard.subscribers, "last_price_ms": in_json(&self.heard.delays), "exact": exact,
        })
    }
}

/// A reason in words.
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
