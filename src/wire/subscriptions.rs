//! Who wants to hear of which auction. A thread looks at the published versions of the auctions that its clients want to
//! hear of, reads a row once when one has changed, and wakes those who listen; each of them tells its client the latest
//! state when the client has read the one before. So the writer never waits for anybody, and a slow reader hears of fewer
//! states instead of later ones.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::Notify;

use super::listener::Wire;
use super::messages::{Reply, Update};
use crate::read::auction_update::{AuctionUpdate, auction_update};
use crate::types::AuctionId;

/// How often a thread looks: at most so often a client hears of an auction.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(25);

/// What a thread's clients want to hear of.
#[derive(Default)]
pub(super) struct Subscriptions {
    watched: RefCell<BTreeMap<AuctionId, Watched>>,
    first: Notify,
}

struct Watched {
    news: AuctionUpdate,
    /// The UPDATE that tells it: written once, however many hear it.
    frame: Vec<u8>,
    ears: Vec<Weak<Ear>>,
}

/// A connection that listens.
#[derive(Default)]
pub(super) struct Ear {
    waker: RefCell<Option<Waker>>,
    news: Cell<bool>,
}

impl Ear {
    /// Something has changed. Returns whether the client has not been told of the change before, either.
    fn hear(&self) -> bool {
        let untold = self.news.replace(true);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
        untold
    }

    /// There may be something to tell.
    pub(super) fn note(&self) {
        self.news.set(true);
    }

    /// Whether there may be something to tell; whoever asks will tell it.
    pub(super) fn take_news(&self) -> bool {
        self.news.replace(false)
    }

    /// Wakes this task when something has changed.
    pub(super) fn wake(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
    }
}

impl Subscriptions {
    /// Listens to an auction from now on; where it stands, or nothing if there is no such auction.
    pub(super) fn listen(&self, wire: &Wire, id: AuctionId, ear: &Rc<Ear>) -> rusqlite::Result<Option<AuctionUpdate>> {
        let mut watched = self.watched.borrow_mut();
        if let Some(watched) = watched.get_mut(&id) {
            // Who has an answer to a bid never hears of an older state.
            watched.refresh(wire, id)?;
            watched.add(ear);
            return Ok(Some(watched.news));
        }
        let Some(news) = read(wire, id)? else { return Ok(None) };
        watched.insert(id, Watched { news, frame: update(id, &news), ears: vec![Rc::downgrade(ear)] });
        self.first.notify_one();
        Ok(Some(news))
    }

    /// Tells where an auction stands that somebody listens to, if that is newer than what he has been told; gives the
    /// last change that he knows of then.
    pub(super) fn tell(&self, id: AuctionId, told: u64, out: &mut Vec<u8>) -> u64 {
        let watched = self.watched.borrow();
        let Some(watched) = watched.get(&id).filter(|watched| watched.news.seq.get() > told) else { return told };
        out.extend_from_slice(&watched.frame);
        watched.news.seq.get()
    }

    /// Looks what has changed.
    fn look(&self, wire: &Wire) {
        for (id, watched) in self.watched.borrow_mut().iter_mut() {
            if let Err(error) = watched.refresh(wire, *id) {
                tracing::error!(%error, "a read failed");
            }
        }
    }

    /// Forgets what nobody listens to any more. Returns how many subscriptions are left.
    pub(super) fn sweep(&self) -> u32 {
        let mut watched = self.watched.borrow_mut();
        watched.retain(|_, watched| {
            watched.ears.retain(|ear| ear.strong_count() > 0);
            !watched.ears.is_empty()
        });
        let left = watched.values().map(|watched| watched.ears.len()).sum::<usize>();
        u32::try_from(left).unwrap_or(u32::MAX)
    }
}

impl Watched {
    /// Reads the row if it has changed, and wakes those who listen.
    fn refresh(&mut self, wire: &Wire, id: AuctionId) -> rusqlite::Result<()> {
        if wire.parts.writer.published.version(self.news.drop_id) <= self.news.seq.get() {
            return Ok(());
        }
        if let Some(news) = read(wire, id)? {
            (self.news, self.frame) = (news, update(id, &news));
            let untold = self.ears.iter().filter_map(Weak::upgrade).filter(|ear| ear.hear()).count();
            wire.conflated(untold);
        }
        Ok(())
    }

    fn add(&mut self, ear: &Rc<Ear>) {
        let ear = Rc::downgrade(ear);
        if !self.ears.iter().any(|known| known.ptr_eq(&ear)) {
            self.ears.push(ear);
        }
    }
}

/// The frame that tells where an auction stands.
fn update(id: AuctionId, news: &AuctionUpdate) -> Vec<u8> {
    let mut frame = Vec::new();
    let update = Update {
        auction_id: id.get(),
        seq: news.seq.get(),
        current: news.current.map_or(0, |current| current.get()),
        user_id: news.user_id.unwrap_or(0),
        ends_at_ms: u64::try_from(news.ends_at.get()).unwrap_or(0),
    };
    Reply::Update(update).write(&mut frame);
    frame
}

fn read(wire: &Wire, id: AuctionId) -> rusqlite::Result<Option<AuctionUpdate>> {
    wire.parts.reader.read(|connection| auction_update(connection, id))
}

/// Looks as long as anybody listens.
pub(super) async fn watch(wire: Rc<Wire>) {
    loop {
        if wire.subscriptions.watched.borrow().is_empty() {
            wire.subscriptions.first.notified().await;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        wire.subscriptions.look(&wire);
    }
}
