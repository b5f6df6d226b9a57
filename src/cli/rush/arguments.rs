//! The arguments of `firstcome rush`.

use std::path::PathBuf;

use clap::{Args, value_parser};

use crate::load::bids::AUCTIONS_MAX;
use crate::load::mixed::PopulationName;
use crate::load::pay::PayProvider;
use crate::load::rooms::DrawKind;

/// Examples, below the options.
const EXAMPLES: &str = "\
Examples:
  firstcome rush                                     100,000 buyers for 10,000 units
  firstcome rush --buyers 1000000 --connections 512  a million distinct buyers
  firstcome rush --rate 20000 --reads 80             20,000 arrivals/s, four of five are reads
  firstcome rush --expire                            lapsed reservations are sold again
  firstcome rush --crowd plain --units 100000        fresh orders only, all of them accepted
  firstcome rush --crowd plain --streams 2000        2,000 shop windows open meanwhile: how late they show the stock
  firstcome rush --crowd plain --blind-ms 3000       orders of the first 3 s are recorded, and decided in the order of a draw
  firstcome rush --drop 7 --json result.json         an existing drop; the figures also as JSON
  firstcome rush --public 127.0.0.1:8110 --nodes 127.0.0.1:8120,127.0.0.1:8130 --admin 127.0.0.1:8111   nodes of a cluster
  firstcome rush --ladder 2000,8000,25000 --html l.html   which rates the server keeps, with plots
  firstcome rush --bids 50 --connections 1000 --pace-ms 10   1,000 bidders in a new auction, over the wire protocol
  firstcome rush --bids 500 --connections 8 --subscribers 1000   the delay of the last price at 1,000 subscribers
  firstcome rush --crowd mixed --token-key secret --audience shop --check   people, campuses and bots: what the door does with each
  firstcome rush --crowd mixed --token-key secret --audience shop --waiting-room --draw random   the same crowd in a waiting room
  firstcome rush --crowd room --buyers 1000000 --gather-seconds 90   a million tickets of a waiting room, then the sale
  firstcome rush --crowd pay --webhook-secret provider.secret --buyers 50000 --units 50000   each order is checked out and paid by a signed webhook
  firstcome rush --crowd pay --webhook-secret provider.secret --buyers 5000 --units 5000 --copies 20   20 copies of each webhook at once

Where operators have tokens, rush creates its drop or its auctions with the one in the variable FIRSTCOME_TOKEN.
Exit code: 0 the check holds; 1 it does not; 64 wrong argument; 69 no server, or no such drop or auction; 73 --json or --html.";

/// The arguments of `firstcome rush`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RushArgs {
    /// The server's public listener: host:port or http://host:port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(super) public: String,
    /// With a cluster: public listeners of the other nodes; buyers go on there when the node that they use does not lead
    #[arg(long, value_name = "ADDRS", value_delimiter = ',', conflicts_with_all = ["bids", "ladder"])]
    pub(super) nodes: Vec<String>,
    /// The server's admin listener, where rush creates its drop; https://host:port if it is under TLS
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    pub(super) admin: String,
    /// With --admin https://… or --wire tls://…: trust the authorities in this PEM file as well
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// Number of distinct buyers [default: 100000]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=10_000_000))]
    pub(super) buyers: Option<u32>,
    /// Units of the drop that rush creates [default: 10000]
    #[arg(long, value_name = "N", conflicts_with = "drop")]
    pub(super) units: Option<u32>,
    /// Blind window of the drop that rush creates, in milliseconds: orders are recorded, drawn and asked for again
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = value_parser!(u16).range(0..=5_000), conflicts_with_all = ["drop", "bids", "ladder"])]
    pub(super) blind_ms: u16,
    /// Number of kept-alive connections
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = value_parser!(u16).range(1..=20_000))]
    pub(super) connections: u16,
    /// Arrivals per second; by default all at once
    #[arg(long, value_name = "R", value_parser = value_parser!(u32).range(1..=10_000_000))]
    pub(super) rate: Option<u32>,
    /// Percentage of arrivals that only read the drop; at 100 there are no orders
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = value_parser!(u8).range(0..=100))]
    pub(super) reads: u8,
    /// Event streams of the drop that are open meanwhile; the delay of its changes is printed
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u16).range(0..=20_000), conflicts_with_all = ["nodes", "expire", "ladder", "bids"])]
    pub(super) streams: u16,
    /// An existing drop without other clients during the run; its free units are the stock
    #[arg(long, value_name = "ID", value_parser = value_parser!(u32).range(1..))]
    pub(super) drop: Option<u32>,
    /// Abandoned reservations lapse during the run, and their units are asked for again
    #[arg(long)]
    pub(super) expire: bool,
    /// Behavior of the buyers
    #[arg(long, value_enum, default_value_t = CrowdName::Real)]
    pub(super) crowd: CrowdName,
    /// Load threads; by default one per core, at most 4
    #[arg(long, value_name = "N", value_parser = value_parser!(u8).range(1..=64))]
    pub(super) threads: Option<u8>,
    /// Seed of the crowd's behavior; by default a new one, which is printed
    #[arg(long, value_name = "S")]
    pub(super) seed: Option<u64>,
    /// Time limit of the run; the check fails if it is reached [default: 120]
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u16).range(1..=3_600))]
    pub(super) deadline: Option<u16>,
    /// Write the result to this file as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Load a server on another machine
    #[arg(long)]
    pub(super) allow_remote: bool,
    #[command(flatten)]
    pub(super) ladder: LadderArgs,
    #[command(flatten)]
    pub(super) bids: BidsArgs,
    #[command(flatten)]
    pub(super) mixed: MixedArgs,
    #[command(flatten)]
    pub(super) room: RoomArgs,
    #[command(flatten)]
    pub(super) pay: PayArgs,
}

/// The crowds of the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum CrowdName {
    /// Every buyer places one order and leaves, whatever the answer.
    Plain,
    /// Every buyer places one order and checks out at once.
    Checkout,
    /// Like people: some repeat, ask twice, cancel, check out or never do; buyers who found it sold out wait for returns.
    Real,
    /// People, campuses and bots of several kinds, each with an address and a token: what the door does with each.
    Mixed,
    /// Buyers of a waiting room: tickets before the start, polls, an order once admitted; some come late, never or too early.
    Room,
    /// Every buyer orders, checks out and pays; rush is the payment provider, too, and sends its signed webhooks.
    Pay,
}

/// The arguments of a crowd that pays.
#[derive(Args, Clone, Debug)]
pub(super) struct PayArgs {
    /// With --crowd pay: the server's file of the provider's secret, readable by its owner alone, to sign the webhooks
    #[arg(long, value_name = "FILE")]
    pub(super) webhook_secret: Option<PathBuf>,
    /// With --crowd pay: the provider, by whose setting the server has the secret [default: standard-webhooks]
    #[arg(long, value_enum)]
    pub(super) webhook_provider: Option<PayProvider>,
    /// With --crowd pay: deliveries of each event, all at once; it must count once [default: 1]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1_000))]
    pub(super) copies: Option<u32>,
    /// With --crowd pay: connections of the provider [default: 32]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1_024))]
    pub(super) provider_connections: Option<u16>,
}

/// The arguments of the mixed crowd.
#[derive(Args, Clone, Debug)]
pub(super) struct MixedArgs {
    /// With --crowd mixed: the population; defaults of the door are tuned on `a` alone [default: a]
    #[arg(long, value_enum)]
    pub(super) population: Option<PopulationName>,
    /// With --crowd mixed: size of the population, in percent of the full one (some 7,000 buyers) [default: 100]
    #[arg(long, value_name = "PERCENT", value_parser = value_parser!(u32).range(1..=100))]
    pub(super) percent: Option<u32>,
    /// With --crowd mixed: time from the start of the drop to the end of the run; the crowd begins 12 s before the start
    /// [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u16).range(5..=600))]
    pub(super) sale_seconds: Option<u16>,
    /// With --crowd mixed: the server's file of `identity.hs256_secret_files`, to sign the buyers' tokens
    #[arg(long, value_name = "FILE")]
    pub(super) token_key: Option<PathBuf>,
    /// With --crowd mixed: the server's `identity.audience` [default: shop]
    #[arg(long, value_name = "NAME")]
    pub(super) audience: Option<String>,
    /// With --crowd mixed: the drop has a waiting room, with --draw, --admit-per-second and --order-seconds
    #[arg(long)]
    pub(super) waiting_room: bool,
    /// With --crowd mixed: exit with 1 if an aim of the door is missed
    #[arg(long)]
    pub(super) check: bool,
}

/// The arguments of a crowd in a waiting room.
#[derive(Args, Clone, Debug)]
pub(super) struct RoomArgs {
    /// With --crowd room: time from the opening of the room to the start; by default 5 s and one more for 10,000 buyers
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u16).range(1..=3_600))]
    pub(super) gather_seconds: Option<u16>,
    /// With a waiting room: the rule that gives tickets their positions [default: arrival]
    #[arg(long, value_enum)]
    pub(super) draw: Option<DrawKind>,
    /// With a waiting room: the most buyers who are admitted in a second [default: 5000]
    #[arg(long, value_name = "R", value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(super) admit_per_second: Option<u32>,
    /// With a waiting room: the time that an admitted buyer has for an order [default: 5, of the mixed crowd 20]
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u32).range(2..=3_600))]
    pub(super) order_seconds: Option<u32>,
    /// With --crowd room: all connections poll the room as fast as they can for so long, once the tickets are taken [default: 2]
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u16).range(0..=600))]
    pub(super) poll_seconds: Option<u16>,
}

/// The arguments of a ladder.
#[derive(Args, Clone, Debug)]
pub(super) struct LadderArgs {
    /// Offer these rates one after another, arrivals per second: 2000,5000,8000,15000,25000,50000
    #[arg(long, value_name = "RATES", value_delimiter = ',', value_parser = value_parser!(u32).range(1..=1_000_000),
        conflicts_with_all = ["buyers", "units", "rate", "reads", "drop", "expire", "crowd"])]
    pub(super) ladder: Vec<u32>,
    /// With --ladder: reads of the drop to orders, in percent; or `orders`, or `reads`
    #[arg(long, value_name = "MIX", default_value = "94:6", value_parser = parse_mix, requires = "ladder")]
    pub(super) mix: u8,
    /// With --ladder: duration of each rate
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = value_parser!(u32).range(1..=600), requires = "ladder")]
    pub(super) rung_seconds: u32,
    /// With --ladder: a rung with a slower 99th percentile is not kept
    #[arg(long, value_name = "MS", default_value_t = 50, value_parser = value_parser!(u32).range(1..=60_000), requires = "ladder")]
    pub(super) p99_ms: u32,
    /// With --ladder: write a page with plots to this file
    #[arg(long, value_name = "FILE", requires = "ladder")]
    pub(super) html: Option<PathBuf>,
}

/// The arguments of a run of bids.
#[derive(Args, Clone, Debug)]
pub(super) struct BidsArgs {
    /// Bid instead of ordering, over the wire protocol: number of bids per connection
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=10_000_000))]
    pub(super) bids: Option<u32>,
    /// With --bids: running auctions without other bidders, ID or FIRST-LAST; by default rush creates its own
    #[arg(long, value_name = "IDS", requires = "bids")]
    pub(super) auctions: Option<String>,
    /// With --bids: number of auctions that rush creates; connections take them in turn
    #[arg(long, value_name = "N", default_value_t = 1, requires = "bids", conflicts_with = "auctions", value_parser = value_parser!(u32).range(1..=i64::from(AUCTIONS_MAX)))]
    pub(super) new_auctions: u32,
    /// With --bids: the server's wire listener; tls://HOST:PORT if it is under TLS
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8082", requires = "bids")]
    pub(super) wire: String,
    /// With --bids: file of buyers' tokens, one per line, whose `sub` is the bidder's number; connections take them in turn
    #[arg(long, value_name = "FILE", requires = "bids")]
    pub(super) tokens: Option<PathBuf>,
    /// With --bids: bids of one connection in flight at once
    #[arg(long, value_name = "N", default_value_t = 1, requires = "bids", value_parser = value_parser!(u16).range(1..=4_096))]
    pub(super) pipeline: u16,
    /// With --bids: milliseconds from one bid of a connection to its next; by default none
    #[arg(long, value_name = "MS", requires = "bids", conflicts_with = "rate", value_parser = value_parser!(u32).range(1..=600_000))]
    pub(super) pace_ms: Option<u32>,
    /// With --bids: further connections that subscribe to the auctions; the delay of the last price is printed
    #[arg(long, value_name = "N", default_value_t = 0, requires = "bids", value_parser = value_parser!(u16).range(0..=20_000))]
    pub(super) subscribers: u16,
}

/// `94:6`, `orders` or `reads`: the percentage of reads.
fn parse_mix(text: &str) -> Result<u8, String> {
    let wrong = || "expected reads:orders that add up to 100 (94:6), or `orders`, or `reads`".to_owned();
    match text {
        "orders" => Ok(0),
        "reads" => Ok(100),
        _ => {
            let (reads, orders) = text.split_once(':').ok_or_else(wrong)?;
            match (reads.parse::<u8>(), orders.parse::<u8>()) {
                (Ok(reads), Ok(orders)) if reads.checked_add(orders) == Some(100) => Ok(reads),
                (Ok(_) | Err(_), Ok(_) | Err(_)) => Err(wrong()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_two_numbers_that_add_up_to_a_hundred_or_a_word() {
        assert_eq!(parse_mix("94:6"), Ok(94));
        assert_eq!((parse_mix("orders"), parse_mix("reads")), (Ok(0), Ok(100)));
        for wrong in ["", "94", "94:7", "200:56", "a:b", "94:6:0", "-1:101"] {
            assert!(parse_mix(wrong).is_err(), "{wrong}");
        }
    }
}
