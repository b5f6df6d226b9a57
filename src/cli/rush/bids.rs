//! `firstcome rush --bids`: many connections bid over the binary protocol. Counted is what was acknowledged, and at the end
//! the price of every auction must be the highest bid that was.
//!
//! `auctions` makes them or looks them up, `bidder` bids, `audience` listens without bidding, `report` says what was found.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use clap::{Args, value_parser};

use super::target::Target;
use crate::cli::link::Link;
use crate::exit::Exit;

mod auctions;
mod audience;
mod bell;
mod bidder;
mod report;
mod talk;
mod tokens;

use audience::Audience;
use bidder::{Book, Paced, bid_all};
use report::Report;
use tokens::Tokens;

/// The part of `rush` that bids.
#[derive(Args, Clone, Debug)]
pub struct BidsArgs {
    /// Bids instead of orders: so many on each connection, over the binary protocol
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=10_000_000))]
    bids: Option<u32>,
    /// With --bids: running auctions, ID or FIRST-LAST, where nobody else bids; by default rush makes its own
    #[arg(long, value_name = "IDS", requires = "bids")]
    auctions: Option<String>,
    /// With --bids: how many auctions rush makes; connections take them in turn
    #[arg(long, value_name = "N", default_value_t = 1, requires = "bids", conflicts_with = "auctions", value_parser = value_parser!(u32).range(1..=i64::from(AUCTIONS_MAX)))]
    new_auctions: u32,
    /// With --bids: where the binary protocol is spoken; tls://HOST:PORT where it is under TLS
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8082", requires = "bids")]
    wire: String,
    /// With --wire tls://…: trust this authority too, a certificate in PEM
    #[arg(long, value_name = "FILE", requires = "bids")]
    ca: Option<PathBuf>,
    /// With --bids: buyers' tokens, one a line, where the server wants them; `sub` is the number of a bidder. Connections take them in turn
    #[arg(long, value_name = "FILE", requires = "bids")]
    tokens: Option<PathBuf>,
    /// With --bids: bids of one connection that are on their way at once
    #[arg(long, value_name = "N", default_value_t = 1, requires = "bids", value_parser = value_parser!(u16).range(1..=4_096))]
    pipeline: u16,
    /// With --bids: from one bid of a connection to its next, in milliseconds; without it (and --rate), at once
    #[arg(long, value_name = "MS", requires = "bids", conflicts_with = "rate", value_parser = value_parser!(u32).range(1..=600_000))]
    pace_ms: Option<u32>,
    /// With --bids: so many more connections hear of the auctions; shown is how late they hear of the last price
    #[arg(long, value_name = "N", default_value_t = 0, requires = "bids", value_parser = value_parser!(u16).range(0..=20_000))]
    subscribers: u16,
}

/// Where the bids go.
#[derive(Clone, Debug)]
enum Which {
    /// Into so many new auctions.
    New(u32),
    /// Into these.
    Named(Vec<u32>),
}

/// A storm of bids, checked.
#[derive(Clone, Debug)]
pub(super) struct Bids {
    link: Link,
    which: Which,
    tokens: Tokens,
    each: u32,
    pipeline: usize,
    pace: Option<Duration>,
    subscribers: u16,
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
        let link = Link::parse(&args.wire, args.ca.as_deref(), allow_remote)?;
        let which = match &args.auctions {
            Some(ids) => Which::Named(run_of_ids(ids)?),
            None => Which::New(args.new_auctions),
        };
        let tokens = args.tokens.as_deref().map(Tokens::read).transpose()?.unwrap_or_default();
        let pace = args.pace_ms.map(|ms| Duration::from_millis(u64::from(ms)));
        let (pipeline, subscribers) = (usize::from(args.pipeline), args.subscribers);
        Ok(Some(Bids { link, which, tokens, each, pipeline, pace, subscribers }))
    }

    /// Connections beside those that bid.
    pub(super) fn subscribers(&self) -> u16 {
        self.subscribers
    }
}

fn run_of_ids(text: &str) -> Result<Vec<u32>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let ids = first.parse::<u32>().ok().zip(last.parse::<u32>().ok());
    let ids = ids.filter(|(first, last)| *first > 0 && first <= last && last - first < AUCTIONS_MAX);
    let (first, last) =
        ids.ok_or_else(|| format!("--auctions {text}: an id such as 1, or at most {AUCTIONS_MAX} such as 1-8"))?;
    Ok((first..=last).collect())
}

/// An auction of the storm.
struct Auction {
    id: u32,
    /// What the next bid asks.
    next: AtomicU64,
    step: u64,
    /// The price before the storm.
    before: u64,
}

/// How hard the storm is, and where auctions are made for it.
pub(super) struct Force<'a> {
    pub(super) admin: &'a Target,
    pub(super) connections: usize,
    pub(super) threads: usize,
    pub(super) rate: Option<u32>,
    pub(super) deadline: Duration,
}

/// Bids, counts, and holds the prices against what was acknowledged.
///
/// # Errors
/// 69 without a server or a running auction, 1 if the check fails, 73 for the JSON file.
pub(super) fn storm(bids: &Bids, force: &Force<'_>, json: Option<File>) -> Result<(), Exit> {
    let auctions: Arc<[Auction]> = super::blocking(async {
        match &bids.which {
            Which::New(count) => auctions::create(force.admin, *count, force.deadline).await,
            Which::Named(ids) => auctions::look_up(&bids.link, &bids.tokens, ids).await,
        }
    })?
    .into();
    let audience = Audience::gather(bids, &auctions)?;
    let began = Instant::now();
    let book = bid(bids, force, &auctions, began)?;
    let took = book.last_answer.map_or(Duration::ZERO, |last| last.saturating_duration_since(began));
    let heard = audience.hear_the_last(&book)?;
    let prices = super::blocking(auctions::prices(&bids.link, &bids.tokens, &auctions))?;
    let report = Report { bids, force, book: &book, took, auctions: &auctions, prices: &prices, heard: &heard };
    report.conclude(json)
}

/// All load threads, from their start to their end.
fn bid(bids: &Bids, force: &Force<'_>, auctions: &Arc<[Auction]>, began: Instant) -> Result<Book, Exit> {
    let pace = match force.rate {
        // Each connection has its share of the rate.
        Some(rate) => Some(Duration::from_secs(1).mul_f64(force.connections as f64 / f64::from(rate))),
        None => bids.pace,
    };
    let threads: Vec<_> = (0..force.threads)
        .map(|thread| {
            let (auctions, bids) = (Arc::clone(auctions), bids.clone());
            let mine: Vec<usize> = (thread..force.connections).step_by(force.threads).collect();
            let (all, until) = (force.connections, began + force.deadline);
            std::thread::spawn(move || bid_all(&bids, &auctions, &mine, pace.map(|pace| Paced { pace, all }), until))
        })
        .collect();
    let mut book = Book::new().map_err(|error| Exit::bug(format!("histogram: {error}")))?;
    for thread in threads {
        let brought = thread.join().map_err(|_| Exit::bug("a load thread panicked"))?;
        book.add(brought.map_err(|error| Exit::system(error))?);
    }
    Ok(book)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auctions_are_one_or_a_run() {
        assert_eq!(run_of_ids("7"), Ok(vec![7]));
        assert_eq!(run_of_ids("7-9"), Ok(vec![7, 8, 9]));
        for bad in ["", "0", "9-7", "a", "1-", "1-20001"] {
            assert!(run_of_ids(bad).is_err(), "{bad}");
        }
    }
}
