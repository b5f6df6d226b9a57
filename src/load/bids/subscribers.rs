//! Subscribers, which receive updates of auctions and do not bid, on a thread of their own: the delay of the last price.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use hdrhistogram::Histogram;
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::bidder::BidLedger;
use super::connection::{BidConnection, BidReply};
use super::plan::{BidPlan, LoadAuction};
use crate::exit::Exit;
use crate::wire::messages::{Echo, Request};

/// The longest wait for the last price.
const PATIENCE: Duration = Duration::from_secs(5);
/// The interval of pings, which keep the server from closing a silent connection.
const PING_EVERY: Duration = Duration::from_secs(50);

/// The delays of the last prices at the subscribers.
pub(super) struct SubscriberResult {
    /// The number of connections that subscribed.
    pub(super) subscribers: u64,
    /// From the acknowledgement of the last price to its UPDATE, in nanoseconds.
    pub(super) delays: Histogram<u64>,
    /// Errors of subscribers that did not receive the last price.
    pub(super) errors: Vec<String>,
}

/// The last prices, each with the instant of its acknowledgement.
type Last = Arc<BTreeMap<u32, (u64, Instant)>>;

/// The thread of all subscribers.
pub(super) struct Subscribers {
    thread: Option<JoinHandle<Result<SubscriberResult, String>>>,
    last: watch::Sender<Option<Last>>,
}

impl Subscribers {
    /// Connects all subscribers, and waits until the server has confirmed every subscription.
    ///
    /// # Errors
    /// A subscription was not confirmed (69).
    pub(super) fn connect(bids: &BidPlan, auctions: &Arc<[LoadAuction]>) -> Result<Subscribers, Exit> {
        let (last, told) = watch::channel(None);
        if bids.subscribers == 0 {
            return Ok(Subscribers { thread: None, last });
        }
        let (ready, readies) = bounded(usize::from(bids.subscribers));
        let (bids, auctions, count) = (bids.clone(), Arc::clone(auctions), bids.subscribers);
        let thread = std::thread::spawn(move || watch_all(&bids, &auctions, &ready, &told));
        for _ in 0..count {
            let heard = readies.recv().map_err(|_| Exit::system("the thread of the subscribers did not start"))?;
            heard.map_err(|why| Exit::unavailable(format!("a subscriber: {why}; --wire names the listener")))?;
        }
        Ok(Subscribers { thread: Some(thread), last })
    }

    /// Waits until every subscriber has received the last price, for some seconds.
    ///
    /// # Errors
    /// The thread failed (70).
    pub(super) fn await_last_price(self, ledger: &BidLedger) -> Result<SubscriberResult, Exit> {
        let failed = |what: String| Exit::bug(format!("the thread of the subscribers failed: {what}"));
        self.last.send_replace(Some(Arc::new(ledger.highest.clone())));
        match self.thread {
            Some(thread) => thread.join().map_err(|_| failed("it panicked".into()))?.map_err(failed),
            None => SubscriberResult::empty().map_err(failed),
        }
    }
}

impl SubscriberResult {
    fn empty() -> Result<SubscriberResult, String> {
        let delays = Histogram::new_with_bounds(1_000, 600_000_000_000, 3);
        Ok(SubscriberResult { subscribers: 0, delays: delays.map_err(|error| error.to_string())?, errors: Vec::new() })
    }
}

type Ready = Sender<Result<(), String>>;

fn watch_all(
    bids: &BidPlan,
    auctions: &Arc<[LoadAuction]>,
    ready: &Ready,
    last: &watch::Receiver<Option<Last>>,
) -> Result<SubscriberResult, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let mut all = SubscriberResult::empty()?;
    LocalSet::new().block_on(&runtime, async {
        let tasks: Vec<_> = (0..usize::from(bids.subscribers))
            .map(|number| {
                let (bids, auctions) = (bids.clone(), Arc::clone(auctions));
                let (ready, last) = (ready.clone(), last.clone());
                tokio::task::spawn_local(async move { watch_one(number, &bids, &auctions, &ready, last).await })
            })
            .collect();
        for task in tasks {
            all.subscribers = all.subscribers.saturating_add(1);
            match task.await.map_err(|error| error.to_string())? {
                Ok(delay) => all.delays.saturating_record(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)),
                Err(why) => all.errors.push(why),
            }
        }
        Ok(all)
    })
}

/// One subscriber; gives the delay of the last price.
async fn watch_one(
    number: usize,
    bids: &BidPlan,
    auctions: &[LoadAuction],
    ready: &Ready,
    mut last: watch::Receiver<Option<Last>>,
) -> Result<Duration, String> {
    let subscribed = subscribe(number, bids, auctions).await;
    let told = subscribed.as_ref().map(|_| ()).map_err(Clone::clone);
    // The other end is closed if another subscriber failed.
    let _not_waited_for = ready.send(told);
    let (mut connection, auction) = subscribed?;
    let mut watch = PriceWatch { price: auction.before, at: Instant::now() };
    let last = watch.until_bidders_finish(&mut connection, &mut last).await?;
    let Some((price, acknowledged)) = last.get(&auction.id).copied() else { return Ok(Duration::ZERO) };
    let heard = tokio::time::timeout(PATIENCE, watch.until(&mut connection, price)).await;
    heard.unwrap_or_else(|_| Err(format!("a subscriber of auction {} did not receive its last price", auction.id)))?;
    Ok(watch.at.saturating_duration_since(acknowledged))
}

async fn subscribe<'a>(
    number: usize,
    bids: &BidPlan,
    auctions: &'a [LoadAuction],
) -> Result<(BidConnection, &'a LoadAuction), String> {
    let auction = auctions.get(number % auctions.len().max(1)).ok_or("no auction")?;
    let mut connection = BidConnection::open(&bids.wire, bids.tokens.of_connection(number)).await?;
    connection.send_request(Request::Subscribe { auction_id: auction.id, from_seq: 0 }).await?;
    match connection.receive().await? {
        BidReply::Ok => Ok((connection, auction)),
        BidReply::Result(_) | BidReply::Update(_) | BidReply::Pong => Err("a reply of another type".into()),
    }
}

/// The highest price that a subscriber received, and the instant.
struct PriceWatch {
    price: u64,
    at: Instant,
}

impl PriceWatch {
    /// Receives updates until the bidders are done.
    async fn until_bidders_finish(
        &mut self,
        connection: &mut BidConnection,
        last: &mut watch::Receiver<Option<Last>>,
    ) -> Result<Last, String> {
        let mut ping = tokio::time::interval(PING_EVERY);
        loop {
            tokio::select! {
                said = connection.next() => self.note(&said?),
                _ = ping.tick() => connection.send_request(Request::Ping(Echo::default())).await?,
                last = last.wait_for(Option::is_some) => {
                    return last.map_err(|_| "the bidders did not finish".to_owned())?.clone().ok_or_else(|| "the bidders did not finish".to_owned());
                }
            }
        }
    }

    /// Receives updates until this price has arrived.
    async fn until(&mut self, connection: &mut BidConnection, price: u64) -> Result<(), String> {
        while self.price < price {
            let said = connection.next().await?;
            self.note(&said);
        }
        Ok(())
    }

    fn note(&mut self, said: &BidReply) {
        if let BidReply::Update(update) = said
            && update.current > self.price
        {
            (self.price, self.at) = (update.current, Instant::now());
        }
    }
}
