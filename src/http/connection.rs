//! An HTTP connection, from its first byte to its end.

mod head_scan;
mod message_place;
mod monitored_stream;
mod service;
mod timeouts;
mod write_coalescing;

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http_body_util::Either;
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::coop::has_budget_remaining;

use self::monitored_stream::MonitoredStream;
use self::service::RequestFuture;
use self::timeouts::{CLOSE_CAUSES, CloseCause, ConnectionTimeouts};
use super::worker::Worker;
use crate::admission::peer::Peer;
use crate::config::ConnectionLimits;
use crate::deadlines::{DeadlineTimer, noticed_late};
use crate::telemetry::catalogue as metric;

/// hyper's own default: setting it to the same value would select a slower parser.
const HYPER_HEADERS_MAX: usize = 100;

/// The settings and counters that all HTTP connections of a worker share.
pub struct HttpConnections {
    worker: Rc<Worker>,
    http1: http1::Builder,
    /// Counts the connections that the server closed, by cause.
    closed: [metrics::Counter; CLOSE_CAUSES.len()],
}

impl HttpConnections {
    /// Returns the settings of a worker's connections.
    #[must_use]
    pub fn new(worker: &Rc<Worker>) -> HttpConnections {
        let telemetry = &worker.server.telemetry;
        HttpConnections {
            http1: parser(&worker.server.config.limits),
            closed: CLOSE_CAUSES.map(|cause| telemetry.counter(&metric::CONNECTIONS_CLOSED, &[("cause", cause)])),
            worker: Rc::clone(worker),
        }
    }
}

/// Returns hyper's settings for reading requests. Its header timeout is off because `timeouts` covers that and more.
/// Requests of a connection are served one after the other, so that one is in flight however many a client sends at
/// once; and a client that closes its half still receives its response.
fn parser(limits: &ConnectionLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).half_close(true).max_buf_size(limits.header_bytes_max);
    if limits.headers_max != HYPER_HEADERS_MAX {
        builder.max_headers(limits.headers_max);
    }
    builder
}

/// Serves one connection to its end; the permit is given back then.
pub async fn serve<S, P>(shared: Rc<HttpConnections>, stream: S, peer: IpAddr, is_proxy: bool, permit: P)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    serve_requests(&shared, stream, peer, is_proxy).await;
    drop(permit);
}

async fn serve_requests<S>(shared: &HttpConnections, stream: S, peer: IpAddr, is_proxy: bool)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let accepted = Instant::now();
    let (worker, limits) = (&shared.worker, &shared.worker.server.config.limits);
    let timeouts = Rc::new(ConnectionTimeouts::new(limits, is_proxy, accepted));
    let socket = MonitoredStream::new(stream, Rc::clone(&timeouts));
    let peer = &Peer::new(peer);
    let service = service_fn(|request: Request<Incoming>| {
        let length = request.body().size_hint().exact();
        let (mut response, timeouts) = match socket.request_started(length) {
            true if length == Some(0) => (RequestFuture::new(worker, peer, request), &timeouts),
            true => (RequestFuture::with_body(worker, peer, request), &timeouts),
            false => (RequestFuture::refused(), &timeouts),
        };
        poll_fn(move |context| {
            response.poll(context).map(|mut response| {
                if timeouts.response_started(matches!(response.body(), Either::Right(_))) {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            })
        })
    });
    let mut connection = pin!(shared.http1.serve_connection(TokioIo::new(socket.clone()), service));
    let mut age_limit = accepted.checked_add(limits.connection_age_max);
    let mut timer = DeadlineTimer::new();
    let mut stopping = worker.server.stopping.clone();
    let mut stop = pin!(stopping.changed());
    let (mut stop_is_awaited, mut closing) = (false, false);
    let ended = poll_fn(|context| {
        loop {
            let polled = connection.as_mut().poll(context);
            let sent = socket.send_coalesced(context);
            if let Poll::Ready(ended) = polled {
                return Poll::Ready(ended.map_err(|error| tracing::debug!(%error, "connection ended early")));
            }
            if let Err(error) = sent {
                tracing::debug!(%error, "client disconnected");
                return Poll::Ready(Err(()));
            }
            if let Poll::Ready(cause) = poll_timeouts(&mut timer, &timeouts, &mut age_limit, context) {
                shared.closed[cause as usize].increment(1);
                return Poll::Ready(Err(()));
            }
            // `stop` wakes this task after its first poll. `has_changed` then costs less than a poll for each request.
            let is_stopping = || worker.server.stopping.has_changed().unwrap_or(true);
            if closing || (stop_is_awaited && !is_stopping()) {
                return Poll::Pending;
            }
            // Without a budget a poll returns before it registers the task.
            stop_is_awaited = has_budget_remaining();
            if stop.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            // The request in flight gets its response, which is marked as the last.
            closing = true;
            timeouts.stopping(Instant::now());
            connection.as_mut().graceful_shutdown();
        }
    });
    // Clients disconnect, time out and send malformed requests all the time: the server counts it and goes on.
    let _counted = ended.await;
}

/// Waits for the next deadline, of the client or of the connection's age.
fn poll_timeouts(
    timer: &mut DeadlineTimer,
    timeouts: &ConnectionTimeouts,
    age_limit: &mut Option<Instant>,
    context: &mut Context<'_>,
) -> Poll<CloseCause> {
    loop {
        let slow = timeouts.deadline();
        let next = [slow.map(|(at, _)| at), *age_limit].into_iter().flatten().min();
        let now = ready!(timer.poll(next, context));
        if let Some((at, cause)) = slow.filter(|(at, _)| *at <= now) {
            if noticed_late(at, now) {
                timeouts.begin_again(now);
                if timeouts.deadline() != slow {
                    continue;
                }
            }
            return Poll::Ready(cause);
        }
        if age_limit.is_some_and(|at| at <= now) {
            *age_limit = None;
            timeouts.reached_age_limit();
        }
    }
}
