//! Subscriptions to auctions. A worker compares the published versions of the auctions that its clients subscribe to,
//! reads a row once when one has changed, and wakes the subscribed connections; each of them sends its client the latest
//! state when the client has read the one before. So the writer never waits for a client, and a slow reader receives
//! fewer states instead of later ones.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::Notify;

use super::messages::{Reply, Update};
use crate::read::Reader;
use crate::read::auction_update::{AuctionUpdate, auction_update};
use crate::types::{AuctionId, Published};

/// Interval of the comparison: a client receives at most one state of an auction in it.
const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// The auctions that a worker's clients subscribe to.
pub(super) struct Subscriptions {
    reader: Reader,
    published: Arc<Published>,
    /// Counts states that a client did not receive, because a newer one replaced it before the client had read the last.
    conflated: metrics::Counter,
    auctions: RefCell<BTreeMap<AuctionId, WatchedAuction>>,
    first: Notify,
}

struct WatchedAuction {
    latest: AuctionUpdate,
    /// The UPDATE frame of `latest`: written once for all subscribers.
    frame: Vec<u8>,
    subscribers: Vec<Weak<SubscriptionWaker>>,
}

/// Wakes a connection that has subscriptions.
#[derive(Default)]
pub(super) struct SubscriptionWaker {
    waker: RefCell<Option<Waker>>,
    pending: Cell<bool>,
}

impl SubscriptionWaker {
    /// Notes a change and wakes the connection. Returns whether the change before is still unsent.
    fn notify(&self) -> bool {
        let unsent = self.pending.replace(true);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
        unsent
    }

    /// Notes that there may be an update to send.
    pub(super) fn set_pending(&self) {
        self.pending.set(true);
    }

    /// Returns whether there may be an update to send; the caller sends it.
    pub(super) fn take_pending(&self) -> bool {
        self.pending.replace(false)
    }

    /// Registers the task to be woken at the next change.
    pub(super) fn register(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
    }
}

impl Subscriptions {
    pub(super) fn new(reader: Reader, published: Arc<Published>, conflated: metrics::Counter) -> Subscriptions {
        Subscriptions { reader, published, conflated, auctions: RefCell::default(), first: Notify::new() }
    }

    /// Subscribes a connection to an auction and returns its present state; `None` if there is no such auction.
    pub(super) fn subscribe(
        &self,
        id: AuctionId,
        subscriber: &Rc<SubscriptionWaker>,
    ) -> rusqlite::Result<Option<AuctionUpdate>> {
        if let Some(auction) = self.auctions.borrow_mut().get_mut(&id) {
            // A client that has the answer to a bid never receives an older state.
            self.refresh(auction, id)?;
            auction.add(subscriber);
            return Ok(Some(auction.latest));
        }
        let Some(latest) = self.read(id)? else { return Ok(None) };
        let subscribers = vec![Rc::downgrade(subscriber)];
        let auction = WatchedAuction { latest, frame: update_frame(id, &latest), subscribers };
        self.auctions.borrow_mut().insert(id, auction);
        self.first.notify_one();
        Ok(Some(latest))
    }

    /// Writes the state of an auction, if it is newer than the change `sent`; returns the last change sent then.
    pub(super) fn write_update(&self, id: AuctionId, sent: u64, out: &mut Vec<u8>) -> u64 {
        let auctions = self.auctions.borrow();
        let Some(auction) = auctions.get(&id).filter(|auction| auction.latest.seq.get() > sent) else { return sent };
        out.extend_from_slice(&auction.frame);
        auction.latest.seq.get()
    }

    /// Drops auctions without subscribers. Returns the number of subscriptions left.
    pub(super) fn sweep(&self) -> u32 {
        let mut auctions = self.auctions.borrow_mut();
        auctions.retain(|_, auction| {
            auction.subscribers.retain(|subscriber| subscriber.strong_count() > 0);
            !auction.subscribers.is_empty()
        });
        let left = auctions.values().map(|auction| auction.subscribers.len()).sum::<usize>();
        u32::try_from(left).unwrap_or(u32::MAX)
    }

    /// Polls for changes as long as there are subscribers.
    pub(super) async fn watch(self: Rc<Subscriptions>) {
        loop {
            if self.auctions.borrow().is_empty() {
                self.first.notified().await;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
            for (id, auction) in self.auctions.borrow_mut().iter_mut() {
                if let Err(error) = self.refresh(auction, *id) {
                    tracing::error!(%error, "database read failed");
                }
            }
        }
    }

    /// Reads the row if it has changed, and wakes the subscribers.
    fn refresh(&self, auction: &mut WatchedAuction, id: AuctionId) -> rusqlite::Result<()> {
        if self.published.version(auction.latest.drop_id) <= auction.latest.seq.get() {
            return Ok(());
        }
        if let Some(latest) = self.read(id)? {
            (auction.latest, auction.frame) = (latest, update_frame(id, &latest));
            let subscribers = auction.subscribers.iter().filter_map(Weak::upgrade);
            let unsent = subscribers.filter(|subscriber| subscriber.notify()).count();
            if unsent > 0 {
                self.conflated.increment(u64::try_from(unsent).unwrap_or(u64::MAX));
            }
        }
        Ok(())
    }

    fn read(&self, id: AuctionId) -> rusqlite::Result<Option<AuctionUpdate>> {
        self.reader.read(|connection| auction_update(connection, id))
    }
}

impl WatchedAuction {
    fn add(&mut self, subscriber: &Rc<SubscriptionWaker>) {
        let subscriber = Rc::downgrade(subscriber);
        if !self.subscribers.iter().any(|known| known.ptr_eq(&subscriber)) {
            self.subscribers.push(subscriber);
        }
    }
}

/// Returns the UPDATE frame of an auction's state.
fn update_frame(id: AuctionId, latest: &AuctionUpdate) -> Vec<u8> {
    let mut frame = Vec::new();
    let update = Update {
        auction_id: id.get(),
        seq: latest.seq.get(),
        current: latest.current.map_or(0, |current| current.get()),
        user_id: latest.user_id.unwrap_or(0),
        ends_at_ms: u64::try_from(latest.ends_at.get()).unwrap_or(0),
    };
    Reply::Update(update).write(&mut frame);
    frame
}
