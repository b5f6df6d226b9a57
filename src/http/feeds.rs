//! Feeds: what the event streams of one thread show of a drop or an auction, made once for all of them.
//!
//! A stream has no task of its own: its body waits for the feed, so that an update costs each stream one write to its socket.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use hyper::body::{Body, Bytes, Frame};

use crate::telemetry::StreamKind;
use crate::types::DropId;

/// The piece of a stream that has nothing new to show.
const HEARTBEAT: &[u8] = b": still here\n\n";

/// The feeds of a thread, by what they show. Each lives from its first stream to its last.
pub(super) type Feeds = RefCell<HashMap<(StreamKind, DropId), Rc<Feed>>>;

/// The last event of a drop or an auction, for all streams of it.
pub(super) struct Feed {
    /// The version of the last event.
    version: Cell<u64>,
    event: RefCell<Bytes>,
    heartbeats: Cell<u64>,
    has_ended: Cell<bool>,
    /// The number of open streams.
    open: Cell<usize>,
    /// Streams that have shown everything, by their numbers.
    waiting: RefCell<BTreeMap<u64, Waker>>,
    /// The number of the next stream.
    next: Cell<u64>,
}

impl Feed {
    /// Returns a feed whose first stream has shown this version.
    pub(super) fn new(version: u64) -> Rc<Feed> {
        Rc::new(Feed {
            version: Cell::new(version),
            event: RefCell::default(),
            heartbeats: Cell::new(0),
            has_ended: Cell::new(false),
            open: Cell::new(0),
            waiting: RefCell::default(),
            next: Cell::new(0),
        })
    }

    /// Returns the version of the last event.
    pub(super) const fn version(&self) -> u64 {
        self.version.get()
    }

    /// Returns true while a stream is open.
    pub(super) const fn is_followed(&self) -> bool {
        self.open.get() > 0
    }

    /// Sends an event to every stream that has not shown its version.
    pub(super) fn tell(&self, version: u64, event: Bytes) {
        self.version.set(version);
        self.event.replace(event);
        self.wake();
    }

    /// Lets every stream say that it is still there.
    pub(super) fn beat(&self) {
        self.heartbeats.set(self.heartbeats.get().wrapping_add(1));
        self.wake();
    }

    /// Ends every stream.
    pub(super) fn end(&self) {
        self.has_ended.set(true);
        self.wake();
    }

    fn wake(&self) {
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.into_values().for_each(Waker::wake);
    }

    /// Opens a stream that begins with a snapshot of this version.
    pub(super) fn follow(self: &Rc<Feed>, slot: Box<dyn Any>, snapshot: Bytes, version: u64) -> Following {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        self.open.set(self.open.get().saturating_add(1));
        Following {
            feed: Rc::clone(self),
            _slot: slot,
            number,
            snapshot: Some(snapshot),
            shown: version,
            heartbeats: self.heartbeats.get(),
        }
    }
}

/// The body of a stream. A client that reads slowly misses what came between; hyper drops the body when it has disconnected.
pub(super) struct Following {
    feed: Rc<Feed>,
    /// The place among the thread's streams, given back when this one ends.
    _slot: Box<dyn Any>,
    number: u64,
    snapshot: Option<Bytes>,
    /// The version that was shown last.
    shown: u64,
    heartbeats: u64,
}

impl Following {
    /// Returns what is to be shown next, if there is anything.
    fn next(&mut self) -> Option<Bytes> {
        if let Some(snapshot) = self.snapshot.take() {
            return Some(snapshot);
        }
        let (version, heartbeats) = (self.feed.version.get(), self.feed.heartbeats.get());
        let is_silent = std::mem::replace(&mut self.heartbeats, heartbeats) != heartbeats;
        if version > self.shown {
            self.shown = version;
            return Some(self.feed.event.borrow().clone());
        }
        is_silent.then(|| Bytes::from_static(HEARTBEAT))
    }
}

impl Body for Following {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(event) = self.next() {
            return Poll::Ready(Some(Ok(Frame::data(event))));
        }
        if self.feed.has_ended.get() {
            return Poll::Ready(None);
        }
        self.feed.waiting.borrow_mut().insert(self.number, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.feed.waiting.borrow_mut().remove(&self.number);
        self.feed.open.set(self.feed.open.get().saturating_sub(1));
    }
}
