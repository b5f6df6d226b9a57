//! Subscriptions to auctions and waiting rooms. A worker compares the published versions of what its clients subscribe to,
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

use super::messages::{Reply, RoomUpdate, Update};
use crate::read::auction_update::{AuctionUpdate, auction_update};
use crate::read::rooms::room_by_drop;
use crate::read::{Reader, RoomRow};
use crate::types::{AuctionId, DropId, Published, Seq, UnixMillis};

/// Interval of the comparison: a client receives at most one state of an auction or a room in it.
const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// An auction or a waiting room, whose changes clients subscribe to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Topic {
    Auction(AuctionId),
    /// The room of a drop.
    Room(DropId),
}

/// The auctions and rooms that a worker's clients subscribe to.
pub(super) struct Subscriptions {
    reader: Reader,
    published: Arc<Published>,
    /// Counts states that a client did not receive, because a newer one replaced it before the client had read the last.
    conflated: metrics::Counter,
    watched: RefCell<BTreeMap<Topic, WatchedTopic>>,
    first: Notify,
}

struct WatchedTopic {
    latest: LatestState,
    subscribers: Vec<Weak<SubscriptionWaker>>,
}

/// The latest state of an auction or a room.
struct LatestState {
    /// The drop of the room, or the hidden one of the auction: its published version shows a change.
    drop_id: DropId,
    /// The last event that changed it.
    seq: Seq,
    /// The frame with the state: written once for all subscribers.
    frame: Vec<u8>,
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
        Subscriptions { reader, published, conflated, watched: RefCell::default(), first: Notify::new() }
    }

    /// Subscribes a connection and returns the last event that changed the auction or room; `None` if it does not exist.
    pub(super) fn subscribe(&self, topic: Topic, subscriber: &Rc<SubscriptionWaker>) -> rusqlite::Result<Option<Seq>> {
        if let Some(watched) = self.watched.borrow_mut().get_mut(&topic) {
            // A client that has the answer to a command never receives an older state.
            self.refresh(watched, topic)?;
            watched.add(subscriber);
            return Ok(Some(watched.latest.seq));
        }
        let Some(latest) = self.read(topic)? else { return Ok(None) };
        let seq = latest.seq;
        let watched = WatchedTopic { latest, subscribers: vec![Rc::downgrade(subscriber)] };
        self.watched.borrow_mut().insert(topic, watched);
        self.first.notify_one();
        Ok(Some(seq))
    }

    /// Writes the state of an auction or a room, if it is newer than the change `sent`; returns the last change sent then.
    pub(super) fn write_update(&self, topic: Topic, sent: u64, out: &mut Vec<u8>) -> u64 {
        let watched = self.watched.borrow();
        let Some(LatestState { seq, frame, .. }) =
            watched.get(&topic).map(|watched| &watched.latest).filter(|latest| latest.seq.get() > sent)
        else {
            return sent;
        };
        out.extend_from_slice(frame);
        seq.get()
    }

    /// Drops auctions and rooms without subscribers. Returns the number of subscriptions left.
    pub(super) fn sweep(&self) -> u32 {
        let mut watched = self.watched.borrow_mut();
        watched.retain(|_, watched| {
            watched.subscribers.retain(|subscriber| subscriber.strong_count() > 0);
            !watched.subscribers.is_empty()
        });
        let left = watched.values().map(|watched| watched.subscribers.len()).sum::<usize>();
        u32::try_from(left).unwrap_or(u32::MAX)
    }

    /// Polls for changes as long as there are subscribers.
    pub(super) async fn watch(self: Rc<Subscriptions>) {
        loop {
            if self.watched.borrow().is_empty() {
                self.first.notified().await;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
            for (topic, watched) in self.watched.borrow_mut().iter_mut() {
                if let Err(error) = self.refresh(watched, *topic) {
                    tracing::error!(%error, "database read failed");
                }
            }
        }
    }

    /// Reads the row if it has changed, and wakes the subscribers.
    fn refresh(&self, watched: &mut WatchedTopic, topic: Topic) -> rusqlite::Result<()> {
        if self.published.version(watched.latest.drop_id) <= watched.latest.seq.get() {
            return Ok(());
        }
        if let Some(latest) = self.read(topic)? {
            watched.latest = latest;
            let subscribers = watched.subscribers.iter().filter_map(Weak::upgrade);
            let unsent = subscribers.filter(|subscriber| subscriber.notify()).count();
            if unsent > 0 {
                self.conflated.increment(u64::try_from(unsent).unwrap_or(u64::MAX));
            }
        }
        Ok(())
    }

    fn read(&self, topic: Topic) -> rusqlite::Result<Option<LatestState>> {
        self.reader.read(|connection| {
            Ok(match topic {
                Topic::Auction(id) => auction_update(connection, id)?.map(|update| state_of_auction(id, &update)),
                Topic::Room(drop_id) => room_by_drop(connection, drop_id)?.map(|row| state_of_room(&row)),
            })
        })
    }
}

impl WatchedTopic {
    fn add(&mut self, subscriber: &Rc<SubscriptionWaker>) {
        let subscriber = Rc::downgrade(subscriber);
        if !self.subscribers.iter().any(|known| known.ptr_eq(&subscriber)) {
            self.subscribers.push(subscriber);
        }
    }
}

/// Returns an auction's state with its UPDATE frame.
fn state_of_auction(id: AuctionId, latest: &AuctionUpdate) -> LatestState {
    let update = Update {
        auction_id: id.get(),
        seq: latest.seq.get(),
        current: latest.current.map_or(0, |current| current.get()),
        user_id: latest.user_id.unwrap_or(0),
        ends_at_ms: millis(latest.ends_at),
    };
    LatestState { drop_id: latest.drop_id, seq: latest.seq, frame: frame(&Reply::Update(update)) }
}

/// Returns a room's state with its ROOM_STATE frame, which has the numbers of the public body.
fn state_of_room(row: &RoomRow) -> LatestState {
    let bounds = row.rate.and_then(|rate| rate.bounds());
    let rates = [row.rate.map(|rate| rate.mean), bounds.map(|(least, _)| least), bounds.map(|(_, most)| most)];
    let update = RoomUpdate {
        drop_id: row.drop_id.get(),
        seq: row.version.get(),
        state: row.state(),
        paused: row.paused,
        is_sold_for_good: row.is_sold_for_good(),
        tickets: row.tickets,
        serving: row.serving,
        admitted: row.serving.saturating_sub(row.window_from),
        available: row.available,
        held: row.held,
        rate: rates.map(|rate| rate.map(hundredths)),
        updated_at_ms: millis(row.updated_at),
    };
    LatestState { drop_id: row.drop_id, seq: row.version, frame: frame(&Reply::RoomState(update)) }
}

/// Returns a rate in hundredths: it was computed from a whole number of them.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is at most the tickets of a room")]
fn hundredths(rate: f64) -> u32 {
    (rate * 100.0).round() as u32
}

fn frame(reply: &Reply<'_>) -> Vec<u8> {
    let mut frame = Vec::new();
    reply.write(&mut frame);
    frame
}

fn millis(at: UnixMillis) -> u64 {
    u64::try_from(at.get()).unwrap_or(0)
}
