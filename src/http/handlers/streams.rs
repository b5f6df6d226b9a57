//! Event streams: a drop's or an auction's changes as they come, at most ten a second.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};

use super::desk_busy;
use super::drops::ready;
use crate::http::Problem;
use crate::http::body::{Body, pieces};
use crate::http::core::Core;
use crate::http::request::Call;
use crate::read::CachedResponse;
use crate::telemetry::StreamKind;
use crate::types::DropId;

/// At most ten updates a second, and a look at the version as often.
const UPDATE_EVERY: Duration = Duration::from_millis(100);
/// A comment when nothing happens, so that proxies keep the connection.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);

/// A place among a thread's streams, given back when the stream ends.
pub(super) struct Slot(Rc<Core>, StreamKind);

impl Slot {
    /// Takes a place, unless there are too many streams.
    pub(super) fn take(core: &Rc<Core>, of: StreamKind) -> Option<Slot> {
        if core.streams.get() >= core.site.config.limits.streams_max {
            return None;
        }
        core.streams.set(core.streams.get().saturating_add(1));
        core.meter.borrow_mut().stream_opened(of);
        Some(Slot(Rc::clone(core), of))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get().saturating_sub(1));
        self.0.meter.borrow_mut().stream_closed(self.1);
    }
}

/// `GET /v1/drops/{drop_id}/stream`.
pub(super) fn drop_changes(core: &Rc<Core>, call: &Call) -> Result<Response<Body>, Problem> {
    let id = call.drop_id()?;
    let first = ready(core, id, call.started)?;
    changes(core, StreamKind::Drop, id, first, move |core| ready(core, id, Instant::now()))
}

/// `GET /v1/auctions/{auction_id}/stream`. Its version is its hidden drop's.
pub(super) fn auction_changes(core: &Rc<Core>, call: &Call) -> Result<Response<Body>, Problem> {
    let id = call.auction_id()?;
    let (drop_id, first) = super::auctions::ready(core, id, call.started)?;
    changes(core, StreamKind::Auction, drop_id, first, move |core| {
        super::auctions::ready(core, id, Instant::now()).map(|(_, body)| body)
    })
}

/// A snapshot, and an update whenever a newer version of the drop is published.
fn changes(
    core: &Rc<Core>,
    of: StreamKind,
    id: DropId,
    first: CachedResponse,
    read: impl Fn(&Core) -> Result<CachedResponse, Problem> + 'static,
) -> Result<Response<Body>, Problem> {
    let slot = Slot::take(core, of).ok_or_else(|| desk_busy(core))?;
    let (sender, body) = pieces();
    let core = Rc::clone(core);
    tokio::task::spawn_local(async move {
        let _slot = slot;
        let mut stopping = core.site.stopping.clone();
        let published = Arc::clone(&core.writer.published);
        let mut sent = first.version;
        let mut last_word = Instant::now();
        if sender.send(event("snapshot", core.site.epoch, &first)).await.is_err() {
            return;
        }
        while !*stopping.borrow() {
            tokio::select! {
                () = tokio::time::sleep(UPDATE_EVERY) => {}
                _ = stopping.changed() => continue,
                () = sender.closed() => return,
            }
            let word = if published.version(id) > sent {
                let Ok(body) = read(&core) else { return };
                sent = body.version;
                event("update", core.site.epoch, &body)
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
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn event(name: &str, epoch: u64, body: &CachedResponse) -> Bytes {
    let json = String::from_utf8_lossy(&body.body);
    Bytes::from(format!("event: {name}\nid: {epoch}-{}\nretry: 1000\ndata: {json}\n\n", body.version))
}
