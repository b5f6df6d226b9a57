//! Event streams of a drop's or an auction's changes, at most ten a second. Each thread looks at a drop once for all its streams.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response};

use super::drops::cached_drop;
use super::{RouteEntry, query_thread_busy};
use crate::api::Problem;
use crate::http::allowed_responses::{BUSY, ID};
use crate::http::body::{Body, made};
use crate::http::feeds::Feed;
use crate::http::request::{Call, X_ACCEL_BUFFERING};
use crate::http::route::ResponseBody::Named;
use crate::http::route::{Presence, Route};
use crate::http::worker::Worker;
use crate::read::CachedResponse;
use crate::telemetry::StreamKind;
use crate::types::DropId;

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::public(Method::GET, "/v1/drops/{drop_id}/stream", "StreamDrop", "Stream a drop's changes")
        // OpenAPI 3.1 has no word for a sequence: the schema is that of each event.
        .responds(&[200], &[Named("text/event-stream", "DropEvent")])
        .headers(&[("X-Accel-Buffering", Presence::Always)])
        .problems(&[ID, BUSY])
        .now(drop_changes),
    Route::public(Method::GET, "/v1/auctions/{auction_id}/stream", "StreamAuction", "Stream an auction's changes")
        .responds(&[200], &[Named("text/event-stream", "AuctionEvent")])
        .headers(&[("X-Accel-Buffering", Presence::Always)])
        .problems(&[ID, BUSY])
        .now(auction_changes),
];

/// The shortest interval of updates.
const UPDATE_EVERY: Duration = Duration::from_millis(100);
/// A thread with many streams sends each fewer updates: the interval per open stream. With 1,000 it is 180 ms, so that 2,000 storefronts on
/// two threads take a bounded part of the sale, and still show a change within 250 ms.
const UPDATE_EVERY_PER_STREAM: Duration = Duration::from_micros(180);
/// The longest interval of updates.
const UPDATE_EVERY_MAX: Duration = Duration::from_secs(1);
/// The interval of comments while nothing changes, so that proxies keep the connection.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);

/// A slot among the thread's streams, released when the stream ends.
pub(in crate::http) struct Slot(Rc<Worker>, StreamKind);

impl Slot {
    /// Takes a slot, unless there are too many streams.
    pub(super) fn take(worker: &Rc<Worker>, of: StreamKind) -> Option<Slot> {
        if worker.streams.get() >= worker.server.config.limits.streams_max {
            return None;
        }
        worker.streams.set(worker.streams.get().saturating_add(1));
        worker.meter.borrow_mut().stream_opened(of);
        Some(Slot(Rc::clone(worker), of))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get().saturating_sub(1));
        self.0.meter.borrow_mut().stream_closed(self.1);
    }
}

/// `GET /v1/drops/{drop_id}/stream`.
pub(super) fn drop_changes(worker: &Rc<Worker>, call: &Call) -> Result<Response<Body>, Problem> {
    let id = call.drop_id()?;
    let first = cached_drop(worker, id, call.started)?;
    worker.note_read(call, Some(id));
    changes(worker, StreamKind::Drop, id, first, move |worker| cached_drop(worker, id, Instant::now()))
}

/// `GET /v1/auctions/{auction_id}/stream`. Its version is its hidden drop's.
pub(super) fn auction_changes(worker: &Rc<Worker>, call: &Call) -> Result<Response<Body>, Problem> {
    let id = call.auction_id()?;
    let (drop_id, first) = super::auctions::cached_auction(worker, id, call.started)?;
    changes(worker, StreamKind::Auction, drop_id, first, move |worker| {
        super::auctions::cached_auction(worker, id, Instant::now()).map(|(_, body)| body)
    })
}

/// Streams a snapshot, then an update whenever a newer version of the drop is published.
pub(super) fn changes(
    worker: &Rc<Worker>,
    of: StreamKind,
    id: DropId,
    first: CachedResponse,
    read: impl Fn(&Worker) -> Result<CachedResponse, Problem> + 'static,
) -> Result<Response<Body>, Problem> {
    let slot = Slot::take(worker, of).ok_or_else(|| query_thread_busy(worker))?;
    let snapshot = event("snapshot", worker.server.epoch, &first);
    let feed = feed(worker, of, id, first.version, read);
    Ok(event_stream(made(feed.follow(Box::new(slot), snapshot, first.version))))
}

/// Returns the feed of a drop or an auction.
fn feed(
    worker: &Rc<Worker>,
    of: StreamKind,
    id: DropId,
    version: u64,
    read: impl Fn(&Worker) -> Result<CachedResponse, Problem> + 'static,
) -> Rc<Feed> {
    if let Some(feed) = worker.feeds.borrow().get(&(of, id)) {
        return Rc::clone(feed);
    }
    let feed = Feed::new(version);
    worker.feeds.borrow_mut().insert((of, id), Rc::clone(&feed));
    let (worker, kept) = (Rc::clone(worker), Rc::clone(&feed));
    tokio::task::spawn_local(async move {
        keep_current(&worker, id, &kept, read).await;
        worker.feeds.borrow_mut().remove(&(of, id));
        kept.end();
    });
    feed
}

/// Tells the streams of a drop each newer version, until there are no streams or the server stops.
async fn keep_current(
    worker: &Worker,
    id: DropId,
    feed: &Feed,
    read: impl Fn(&Worker) -> Result<CachedResponse, Problem>,
) {
    let mut stopping = worker.server.stopping.clone();
    let published = Arc::clone(&worker.writer.published);
    let mut last_word = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(update_every(worker.streams.get())) => {}
            _ = stopping.changed() => {}
        }
        if *stopping.borrow() || !worker.writer.may_serve() || !feed.is_followed() {
            return;
        }
        if published.version(id) > feed.version() {
            let Ok(body) = read(worker) else { return };
            feed.tell(body.version, event("update", worker.server.epoch, &body));
        } else if last_word.elapsed() >= HEARTBEAT_EVERY {
            feed.beat();
        } else {
            continue;
        }
        last_word = Instant::now();
    }
}

/// Returns the interval of updates of a thread with this number of streams.
fn update_every(streams: usize) -> Duration {
    let streams = u32::try_from(streams).unwrap_or(u32::MAX);
    UPDATE_EVERY_PER_STREAM.saturating_mul(streams).clamp(UPDATE_EVERY, UPDATE_EVERY_MAX)
}

/// Responds with a stream of events.
pub(super) fn event_stream(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

fn event(name: &str, epoch: u64, body: &CachedResponse) -> Bytes {
    let json = String::from_utf8_lossy(&body.body);
    Bytes::from(format!("event: {name}\nid: {epoch}-{}\nretry: 1000\ndata: {json}\n\n", body.version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_streams_of_a_thread_get_fewer_updates_each() {
        let every = |streams| update_every(streams).as_millis();
        assert_eq!([every(0), every(500), every(1_000), every(1_250)], [100, 100, 180, 225]);
        assert_eq!(update_every(usize::MAX), UPDATE_EVERY_MAX);
    }
}
