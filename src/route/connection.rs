//! Connections of clients: accepted up to a bound, and closed when a client is too slow.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;

use super::worker::RouteWorker;
use crate::http::routes::Listener;
use crate::sockets::{ACCEPT_PAUSE, DRAIN_MAX, RuledStream, StreamRule, accept_until_stop};

/// The connections of a listener, over all threads.
#[derive(Clone)]
pub(super) struct OpenConnections {
    count: Arc<AtomicUsize>,
    max: usize,
}

impl OpenConnections {
    pub(super) fn new(max: usize) -> OpenConnections {
        OpenConnections { count: Arc::default(), max }
    }
}

/// Accepts connections until the router stops, then waits for those that are open.
pub(super) async fn accept(worker: Rc<RouteWorker>, listener: TcpListener, kind: Listener, open: OpenConnections) {
    let mut tasks = tokio::task::JoinSet::new();
    let begin = |stream, peer| {
        while tasks.try_join_next().is_some() {}
        // One beyond is closed at once, and its client learns that it will not be served.
        if let Some(place) = OpenConnection::take(&open.count, open.max) {
            tasks.spawn_local(serve(Rc::clone(&worker), stream, peer, kind, place));
        }
    };
    accept_until_stop(&listener, worker.stopping.clone(), begin, async |error| {
        tracing::warn!(%error, "accepting a connection failed");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    })
    .await;
    drop(listener);
    let drained = async { while tasks.join_next().await.is_some() {} };
    let _in_time = tokio::time::timeout(DRAIN_MAX, drained).await;
}

/// One of the connections that may be open at once.
struct OpenConnection(Arc<AtomicUsize>);

impl OpenConnection {
    fn take(open: &Arc<AtomicUsize>, max: usize) -> Option<OpenConnection> {
        let before = open.fetch_add(1, Ordering::Relaxed);
        let place = OpenConnection(Arc::clone(open));
        (before < max).then_some(place)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve(worker: Rc<RouteWorker>, stream: TcpStream, peer: SocketAddr, kind: Listener, _open: OpenConnection) {
    let _best_effort = stream.set_nodelay(true);
    let limits = &worker.shared.limits;
    let patience = WritePatience { longest: limits.response_write_timeout, waiting: None };
    let stream = RuledStream::new(stream, patience);
    let service = service_fn(|request| {
        let worker = Rc::clone(&worker);
        async move { Ok::<_, Infallible>(worker.answer(kind, peer.ip(), request).await) }
    });
    let mut parser = http1::Builder::new();
    parser
        .timer(TokioTimer::new())
        .header_read_timeout(head_max(&worker, peer.ip()))
        .half_close(true)
        .max_buf_size(limits.header_bytes_max);
    let mut connection = pin!(parser.serve_connection(TokioIo::new(stream), service));
    let mut stopping = worker.stopping.clone();
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopping.wait_for(|stopping| *stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

/// Returns the time between two heads. A proxy keeps spare connections, so it may be silent for longer.
fn head_max(worker: &RouteWorker, peer: IpAddr) -> Duration {
    let peer = peer.to_canonical();
    let is_proxy =
        peer.is_loopback() || worker.shared.config.trusted_proxies.iter().any(|network| network.contains(&peer));
    if is_proxy { worker.shared.limits.proxy_idle_timeout } else { worker.shared.limits.idle_timeout }
}

/// The patience with a client that does not read: a write that takes longer ends the connection.
struct WritePatience {
    longest: Duration,
    /// Runs while the socket takes no more bytes.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl StreamRule for WritePatience {
    fn read(&mut self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn written(&mut self, written: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let longest = self.longest;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(longest)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}
