//! Event streams of a drop's or an auction's changes, at most ten a second.

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
use crate::http::body::{Body, pieces};
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

/// The interval of updates and of checks of the version.
const UPDATE_EVERY: Duration = Duration::from_millis(100);
/// The interval of comments while nothing changes, so that proxies keep the connection.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);

/// A slot among the thread's streams, released when the stream ends.
pub(super) struct Slot(Rc<Worker>, StreamKind);

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
fn changes(
    worker: &Rc<Worker>,
    of: StreamKind,
    id: DropId,
    first: CachedResponse,
    read: impl Fn(&Worker) -> Result<CachedResponse, Problem> + 'static,
) -> Result<Response<Body>, Problem> {
    let slot = Slot::take(worker, of).ok_or_else(|| query_thread_busy(worker))?;
    let (sender, body) = pieces();
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        let _slot = slot;
        let mut stopping = worker.server.stopping.clone();
        let published = Arc::clone(&worker.writer.published);
        let mut sent = first.version;
        let mut last_word = Instant::now();
        if sender.send(event("snapshot", worker.server.epoch, &first)).await.is_err() {
            return;
        }
        while !*stopping.borrow() && worker.writer.may_serve() {
            tokio::select! {
                () = tokio::time::sleep(UPDATE_EVERY) => {}
                _ = stopping.changed() => continue,
                () = sender.closed() => return,
            }
            let word = if published.version(id) > sent {
                let Ok(body) = read(&worker) else { return };
                sent = body.version;
                event("update", worker.server.epoch, &body)
            } else if last_word.elapsed() >= HEARTBEAT_EVERY {
                Bytes::from_static(b": still here\n\n")
            } else {
                continue;
            };
            last_word = Instant::now();
            if sender.send(word).await.is_err() {
                return;
            }
        }
    });
    Ok(event_stream(body))
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
