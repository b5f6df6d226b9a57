//! The parameters of a run of bids, checked, and its auctions.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::tokens::BidderTokens;
use crate::client::http::HttpClient;
use crate::client::wire::WireClient;

/// The number of auctions that take part in a run, at most.
pub(crate) const AUCTIONS_MAX: u32 = 20_000;

/// The auctions of a run.
#[derive(Clone, Debug)]
pub(crate) enum AuctionSource {
    /// New auctions, this many.
    New(u32),
    /// Existing auctions, by their ids.
    Existing(Vec<u32>),
}

/// A run of bids.
#[derive(Clone, Debug)]
pub(crate) struct BidPlan {
    pub(crate) wire: WireClient,
    pub(crate) source: AuctionSource,
    pub(crate) tokens: BidderTokens,
    /// The number of bids of each connection.
    pub(crate) each: u32,
    /// Bids of one connection without a reply yet, at most.
    pub(crate) pipeline: usize,
    /// From one bid of a connection to its next; without it, as fast as replies come.
    pub(crate) pace: Option<Duration>,
    /// Connections that subscribe without bidding.
    pub(crate) subscribers: u16,
}

/// The load of a run of bids, and the admin listener where its auctions are made.
pub(crate) struct LoadParams<'a> {
    pub(crate) admin: &'a HttpClient,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    /// Bids per second of all connections together.
    pub(crate) rate: Option<u32>,
    pub(crate) deadline: Duration,
}

/// An auction under load.
pub(super) struct LoadAuction {
    pub(super) id: u32,
    /// The amount of the next bid.
    pub(super) next: AtomicU64,
    pub(super) step: u64,
    /// The price before the run.
    pub(super) before: u64,
}
