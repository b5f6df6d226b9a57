//! `firstcome rush --bids`: many connections bid over the binary protocol. Counted is what was acknowledged, and at the end
//! the price of every auction must be the highest bid that was.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::report::grouped;
use super::target::Target;
use crate::cli::{Exit, output};
use crate::http::code::Code;

mod bidder;

use bidder::{Book, Paced, bid_all, price_of, probe};

/// The part of `rush` that bids.
#[derive(Args, Clone, Debug)]
pub struct BidsArgs {
    /// Bids instead of orders: so many on each connection, over the binary protocol
    #[arg(long, value_name = "N", requires = "auctions", value_parser = value_parser!(u32).range(1..=10_000_000))]
    bids: Option<u32>,
    /// With --bids: the running auctions, ID or FIRST-LAST, where nobody else bids; connections take them in turn
    #[arg(long, value_name = "IDS", requires = "bids")]
    auctions: Option<String>,
    /// With --bids: where the binary protocol is spoken
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8082", requires = "bids")]
    wire: String,
    /// With --bids: bids of one connection that are on their way at once
    #[arg(long, value_name = "N", default_value_t = 1, requires = "bids", value_parser = value_parser!(u16).range(1..=4_096))]
    pipeline: u16,
    /// With --bids: from one bid of a connection to its next, in milliseconds; without it (and --rate), at once
    #[arg(long, value_name = "MS", requires = "bids", conflicts_with = "rate", value_parser = value_parser!(u32).range(1..=600_000))]
    pace_ms: Option<u32>,
}

/// A storm of bids, checked.
#[derive(Clone, Debug)]
pub(super) struct Bids {
    wire: Target,
    auctions: Vec<u32>,
    each: u32,
    pipeline: usize,
    pace: Option<Duration>,
}

/// Auctions that take part, at most.
const AUCTIONS_MAX: u32 = 20_000;

impl Bids {
    /// The bids that the arguments ask for, if they ask for any.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn new(args: &BidsArgs, allow_remote: bool) -> Result<Option<Bids>, String> {
        let Some(each) = args.bids else { return Ok(None) };
        let wire = Target::parse(&args.wire, allow_remote)?;
        let text = args.auctions.as_deref().unwrap_or("");
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let ids = first.parse::<u32>().ok().zip(last.parse::<u32>().ok());
        let ids = ids.filter(|(first, last)| *first > 0 && first <= last && last - first < AUCTIONS_MAX);
        let (first, last) =
            ids.ok_or_else(|| format!("--auctions {text}: an id such as 1, or at most {AUCTIONS_MAX} such as 1-8"))?;
        let pace = args.pace_ms.map(|ms| Duration::from_millis(u64::from(ms)));
        let pipeline = usize::from(args.pipeline);
        Ok(Some(Bids { wire, auctions: (first..=last).collect(), each, pipeline, pace }))
    }
}

/// An auction of the storm.
pub(super) struct Auction {
    id: u32,
    /// What the next bid asks.
    next: AtomicU64,
    step: u64,
    /// The highest acknowledged bid.
    highest: AtomicU64,
}

/// How hard the storm is.
pub(super) struct Force {
    pub(super) connections: usize,
    pub(super) threads: usize,
    pub(super) rate: Option<u32>,
    pub(super) deadline: Duration,
}

/// Bids, counts, and holds the prices against what was acknowledged.
///
/// # Errors
/// 69 without a server or a running auction, 1 if a bid has no answer or a price is another, 73 for the JSON file.
pub(super) fn storm(bids: &Bids, force: &Force, json: Option<File>) -> Result<(), Exit> {
    let auctions: Vec<Auction> = super::blocking(async {
        let mut found = Vec::new();
        for id in &bids.auctions {
            found.push(probe(&bids.wire, *id).await?);
        }
        Ok(found)
    })?;
    let auctions: Arc<[Auction]> = auctions.into();
    let pace = match force.rate {
        // Each connection has its share of the rate.
        Some(rate) => Some(Duration::from_secs(1).mul_f64(force.connections as f64 / f64::from(rate))),
        None => bids.pace,
    };
    let began = Instant::now();
    let threads: Vec<_> = (0..force.threads)
        .map(|thread| {
            let (auctions, bids) = (Arc::clone(&auctions), bids.clone());
            let mine: Vec<usize> = (thread..force.connections).step_by(force.threads).collect();
            let (all, until) = (force.connections, began + force.deadline);
            std::thread::spawn(move || bid_all(&bids, &auctions, &mine, pace.map(|pace| Paced { pace, all }), until))
        })
        .collect();
    let mut book = Book::new().map_err(|error| Exit::new(70, format!("histogram: {error}")))?;
    for thread in threads {
        let brought = thread.join().map_err(|_| Exit::new(70, "a load thread panicked"))?;
        book.add(brought.map_err(|error| Exit::new(71, error))?);
    }
    let took = book.last_answer.map_or(Duration::ZERO, |last| last.saturating_duration_since(began));
    let prices = super::blocking(async {
        let mut wrong = Vec::new();
        for auction in auctions.iter() {
            let (price, highest) = (price_of(&bids.wire, auction.id).await?, auction.highest.load(Ordering::Relaxed));
            if price != highest {
                wrong.push(format!(
                    "auction {}: the price is {price}, the highest acknowledged bid {highest}",
                    auction.id
                ));
            }
        }
        Ok(wrong)
    })?;
    conclude(bids, force, &book, took, &prices, json)
}

fn conclude(
    bids: &Bids,
    force: &Force,
    book: &Book,
    took: Duration,
    wrong_prices: &[String],
    json: Option<File>,
) -> Result<(), Exit> {
    let asked = u64::from(bids.each).saturating_mul(u64::try_from(force.connections).unwrap_or(u64::MAX));
    let accepted = book.reasons.get(&0).copied().unwrap_or(0);
    let answered: u64 = book.reasons.values().sum();
    let seconds = took.as_secs_f64().max(1e-9);
    let per_second = accepted as f64 / seconds;
    output::line(format!(
        "{} bids on {} connections in {} auctions, {} on their way at once, {:.2} s",
        grouped(asked),
        force.connections,
        bids.auctions.len(),
        bids.pipeline,
        seconds
    ));
    for (reason, count) in &book.reasons {
        output::line(format!("  {:<34}{:>14}", words(*reason), grouped(*count)));
    }
    output::line(format!("acknowledged {per_second:.0} bids/s"));
    let shown: Vec<String> = percentiles(&book.answers).iter().map(|(name, ms)| format!("{name} {ms:.2} ms")).collect();
    output::line(format!("answers      {}", shown.join(", ")));
    let mut failed = Vec::new();
    if answered != asked {
        failed.push(format!("{} bids have no answer", grouped(asked.saturating_sub(answered))));
    }
    failed.extend(book.broken.iter().take(3).cloned());
    failed.extend(wrong_prices.iter().take(3).cloned());
    output::line(format!(
        "check        {}",
        if failed.is_empty() {
            "exact: every bid has its answer, every price is the highest acknowledged bid"
        } else {
            "fails"
        }
    ));
    if let Some(mut file) = json {
        let reasons: BTreeMap<String, u64> = book.reasons.iter().map(|(reason, n)| (words(*reason), *n)).collect();
        let latencies: Value =
            percentiles(&book.answers).iter().map(|(name, ms)| (name.to_string(), json!(ms))).collect();
        let found = json!({
            "bids": asked, "connections": force.connections, "auctions": bids.auctions.len(), "pipeline": bids.pipeline,
            "seconds": seconds, "answers": reasons, "acknowledged_per_second": per_second, "answer_ms": latencies,
            "exact": failed.is_empty(),
        });
        writeln!(file, "{found:#}").map_err(|error| Exit::new(73, format!("--json: {error}")))?;
    }
    if failed.is_empty() { Ok(()) } else { Err(Exit::new(1, failed.join("\n"))) }
}

fn words(reason: u8) -> String {
    let known = Code::ALL.into_iter().map(Code::kind).find(|kind| kind.number == reason);
    match (reason, known) {
        (0, _) => "acknowledged".into(),
        (_, Some(kind)) => kind.code.into(),
        (other, None) => format!("reason {other}"),
    }
}

fn percentiles(answers: &Histogram<u64>) -> [(&'static str, f64); 5] {
    [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99_9", 0.999), ("max", 1.0)]
        .map(|(name, quantile)| (name, answers.value_at_quantile(quantile) as f64 / 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auctions_are_one_or_a_run() {
        let args = |auctions: &str| BidsArgs {
            bids: Some(1),
            auctions: Some(auctions.into()),
            wire: "127.0.0.1:1".into(),
            pipeline: 1,
            pace_ms: None,
        };
        let ids = |text: &str| Bids::new(&args(text), false).map(|bids| bids.map(|bids| bids.auctions));
        assert_eq!(ids("7"), Ok(Some(vec![7])));
        assert_eq!(ids("7-9"), Ok(Some(vec![7, 8, 9])));
        for bad in ["", "0", "9-7", "a", "1-", "1-20001"] {
            assert!(ids(bad).is_err(), "{bad}");
        }
    }
}
