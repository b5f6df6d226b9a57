//! Bidders: one task per connection, which keeps a number of bids in flight and reads their replies.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hdrhistogram::errors::CreationError;
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;
use tokio::task::LocalSet;

use super::connection::BidConnection;
use super::pacer;
use super::plan::{BidPlan, LoadAuction};
use crate::wire::messages::{Bid, BidResult, Reply, Request};

/// The replies of one connection, or of all.
pub(super) struct BidLedger {
    /// Replies by reason code; 0 is acknowledged.
    pub(super) reasons: BTreeMap<u8, u64>,
    /// From a bid's due instant to its reply, in nanoseconds.
    pub(super) answers: Histogram<u64>,
    pub(super) last_answer: Option<Instant>,
    /// The highest acknowledged bid of each auction, and the instant of its reply.
    pub(super) highest: BTreeMap<u32, (u64, Instant)>,
    /// Errors of connections that ended early.
    pub(super) broken: Vec<String>,
}

impl BidLedger {
    pub(super) fn new() -> Result<BidLedger, CreationError> {
        let answers = Histogram::new_with_bounds(1_000, 600_000_000_000, 3)?;
        let (reasons, highest) = (BTreeMap::new(), BTreeMap::new());
        Ok(BidLedger { reasons, answers, last_answer: None, highest, broken: Vec::new() })
    }

    pub(super) fn add(&mut self, other: BidLedger) {
        for (reason, count) in other.reasons {
            let all = self.reasons.entry(reason).or_insert(0);
            *all = all.saturating_add(count);
        }
        for (auction, (amount, at)) in other.highest {
            self.acknowledged(auction, amount, at);
        }
        let _same_bounds = self.answers.add(other.answers);
        self.last_answer = self.last_answer.max(other.last_answer);
        self.broken.extend(other.broken);
    }

    /// The number of bids with this reason code.
    pub(super) fn with(&self, reason: u8) -> u64 {
        self.reasons.get(&reason).copied().unwrap_or(0)
    }

    fn acknowledged(&mut self, auction: u32, amount: u64, at: Instant) {
        let highest = self.highest.entry(auction).or_insert((amount, at));
        if highest.0 < amount {
            *highest = (amount, at);
        }
    }

    fn answered(&mut self, reason: u8, since: Instant, now: Instant) {
        let count = self.reasons.entry(reason).or_insert(0);
        *count = count.saturating_add(1);
        let took = now.saturating_duration_since(since).as_nanos();
        self.answers.saturating_record(u64::try_from(took).unwrap_or(u64::MAX));
        self.last_answer = Some(now);
    }
}

/// Bids at fixed instants, spread over all connections.
#[derive(Clone, Copy)]
pub(super) struct Pacing {
    pub(super) pace: Duration,
    pub(super) all: usize,
}

/// Bids on these connections until every bid has its reply, or the deadline.
pub(super) fn bid_all(
    bids: &BidPlan,
    auctions: &Arc<[LoadAuction]>,
    connections: &[usize],
    paced: Option<Pacing>,
    until: Instant,
) -> Result<BidLedger, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let mut ledger = BidLedger::new().map_err(|error| format!("histogram: {error}"))?;
    LocalSet::new().block_on(&runtime, async {
        let began = Instant::now();
        let mut bidders = Vec::with_capacity(connections.len());
        let mut wakers = Vec::with_capacity(connections.len());
        for number in connections {
            let due =
                paced.map(|Pacing { pace, all }| (began + pace.mul_f64(*number as f64 / all.max(1) as f64), pace));
            let pacer = Arc::new(Notify::new());
            wakers.extend(due.map(|(first, _)| (first, Arc::clone(&pacer))));
            let bidder = Bidder {
                pacer,
                bids: bids.clone(),
                auctions: Arc::clone(auctions),
                number: *number,
                pipeline: u64::try_from(bids.pipeline).unwrap_or(1),
                due,
            };
            bidders.push(tokio::task::spawn_local(bidder.run(until)));
        }
        let (over, received) = crossbeam_channel::bounded::<()>(0);
        let times = bids.each;
        let pacing =
            paced.map(|Pacing { pace, .. }| std::thread::spawn(move || pacer::run(&wakers, pace, times, &received)));
        for bidder in bidders {
            ledger.add(bidder.await.map_err(|error| format!("a bidder: {error}"))??);
        }
        drop(over);
        if let Some(pacing) = pacing {
            pacing.join().map_err(|_| "the pacer's thread panicked")?;
        }
        Ok(ledger)
    })
}

/// One connection that bids.
struct Bidder {
    bids: BidPlan,
    auctions: Arc<[LoadAuction]>,
    number: usize,
    pipeline: u64,
    /// The due instant of the next bid, and the time from one bid to the next.
    due: Option<(Instant, Duration)>,
    /// Wakes the task at that instant.
    pacer: Arc<Notify>,
}

/// Bids without a reply: their amounts, and the instants from which they wait.
type PendingBids = VecDeque<(u64, Instant)>;

impl Bidder {
    async fn run(mut self, until: Instant) -> Result<BidLedger, String> {
        let mut ledger = BidLedger::new().map_err(|error| format!("histogram: {error}"))?;
        let ended = tokio::time::timeout_at(until.into(), self.bid(&mut ledger)).await;
        let ended = ended.unwrap_or_else(|_| Err("the time is over".into()));
        ledger.broken.extend(ended.err().map(|error| format!("connection {}: {error}", self.number)));
        Ok(ledger)
    }

    async fn bid(&mut self, ledger: &mut BidLedger) -> Result<(), String> {
        let auctions = Arc::clone(&self.auctions);
        let auction = auctions.get(self.number % auctions.len().max(1)).ok_or("no auction")?;
        let (user_id, mut connection) = {
            let identity = self.bids.tokens.of_connection(self.number);
            (identity.user_id, BidConnection::open(&self.bids.wire, identity).await?)
        };
        let (mut out, mut pending, all) = (Vec::new(), PendingBids::new(), u64::from(self.bids.each));
        let (mut sent, mut piece) = (0u64, [0u8; 8192]);
        while sent < all || !pending.is_empty() {
            let now = Instant::now();
            while sent < all && (pending.len() as u64) < self.pipeline && self.is_due(now) {
                let amount = auction.next.fetch_add(auction.step, Ordering::Relaxed);
                let bid = Bid { auction_id: auction.id, user_id, amount };
                if !Request::Bid(bid).write(&mut out) {
                    return Err("a bid does not fit its frame".into());
                }
                // The latency counts from the due instant, so that a wait for the connection is part of it.
                pending.push_back((amount, self.take_due().unwrap_or(now)));
                sent = sent.saturating_add(1);
            }
            if !out.is_empty() {
                connection.send(&out).await?;
                out.clear();
            }
            let may_send = sent < all && (pending.len() as u64) < self.pipeline;
            let count = match self.due.filter(|_| may_send) {
                Some((due, _)) if due <= Instant::now() => continue,
                Some(_) => tokio::select! {
                    count = connection.stream.read(&mut piece) => count,
                    () = self.pacer.notified() => continue,
                },
                None => connection.stream.read(&mut piece).await,
            };
            let count = count.map_err(|error| error.to_string())?;
            if count == 0 {
                return Err("the server closed it".into());
            }
            connection.received.extend_from_slice(piece.get(..count).unwrap_or_default());
            take_answers(auction.id, &mut connection.received, &mut pending, ledger)?;
        }
        Ok(())
    }

    fn is_due(&self, now: Instant) -> bool {
        self.due.is_none_or(|(due, _)| due <= now)
    }

    /// The due instant of the bid that is sent now; moves on to the next one.
    fn take_due(&mut self) -> Option<Instant> {
        let (due, pace) = self.due?;
        self.due = Some((due + pace, pace));
        Some(due)
    }
}

fn take_answers(
    auction: u32,
    received: &mut Vec<u8>,
    pending: &mut PendingBids,
    ledger: &mut BidLedger,
) -> Result<(), String> {
    let (now, mut taken, mut highest) = (Instant::now(), 0, 0);
    while let Some((reply, length)) =
        Reply::first(received.get(taken..).unwrap_or_default()).map_err(|error| error.to_string())?
    {
        taken += length;
        match reply {
            Reply::Result(BidResult { reason, .. }) => {
                let (amount, since) = pending.pop_front().ok_or("a reply without a bid")?;
                if reason == 0 {
                    highest = highest.max(amount);
                }
                ledger.answered(reason, since, now);
            }
            Reply::Error { code, message } => return Err(format!("ERROR {code}: {message}")),
            Reply::Update(_)
            | Reply::Pong(_)
            | Reply::Reserved(_)
            | Reply::Ok { .. }
            | Reply::Ticket(_)
            | Reply::RoomState(_) => {
                return Err("a reply of another type".into());
            }
        }
    }
    if highest > 0 {
        ledger.acknowledged(auction, highest, now);
    }
    received.drain(..taken);
    Ok(())
}
