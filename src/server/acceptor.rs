//! Accepts connections: how many there may be, for whom, and what happens when the process runs out of descriptors.

use std::cell::Cell;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::per_address::ConnectionsPerAddress;
use super::threads::end_without;
use super::tls::Tls;
use crate::admission::address::{AddressGroup, ClientAddress};
use crate::config::OPERATOR_CONNECTIONS_MAX;
use crate::deadlines::within;
use crate::exit;
use crate::http::connection::HttpConnections;
use crate::http::routes::Listener;
use crate::http::worker::Worker;
use crate::sockets::{ACCEPT_PAUSE, DRAIN_MAX, accept_until_stop};
use crate::telemetry::catalogue as metric;
use crate::{http, wire};

/// Least time between two log lines about connections that could not be accepted.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The connections of all listeners and threads.
pub(super) struct SharedConnections {
    pub(super) tls: Tls,
    /// Number of open connections, over all listeners.
    open: AtomicUsize,
    per_address: ConnectionsPerAddress,
    /// TLS handshakes take turns: a crowd of them must not take the cores from established connections.
    handshakes: Semaphore,
}

impl SharedConnections {
    pub(super) fn new(tls: Tls, handshakes_max: usize) -> SharedConnections {
        SharedConnections {
            tls,
            open: AtomicUsize::new(0),
            per_address: ConnectionsPerAddress::default(),
            handshakes: Semaphore::new(handshakes_max),
        }
    }
}

/// Accepts until the server stops, then waits for open connections.
pub(super) async fn accept(acceptor: Acceptor, listeners: Vec<TcpListener>) {
    let acceptor = Rc::new(acceptor);
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|listener| tokio::task::spawn_local(accept_from(Rc::clone(&acceptor), listener)))
        .collect();
    for ended in accepting {
        if ended.await.is_err() {
            tracing::error!("accepting connections panicked");
        }
    }
    let drained = async {
        while acceptor.open.get() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(DRAIN_MAX, drained).await.is_err() {
        tracing::warn!(open = acceptor.open.get(), "connections closed before they finished: the server is stopping");
    }
}

/// Accepts from one listener until the server stops.
async fn accept_from(acceptor: Rc<Acceptor>, listener: TcpListener) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the system refused a listener to its thread, and connections to it would wait for ever");
            return end_without("a listener is unusable", exit::SYSTEM, &acceptor.worker.writer);
        }
    };
    let mut spare = SpareDescriptor::new();
    let stopping = acceptor.worker.server.stopping.clone();
    let start = |stream, peer| acceptor.start_connection(stream, peer);
    accept_until_stop(&listener, stopping, start, async |error| {
        spare.log(error);
        if !spare.reject_one(&listener, &acceptor).await {
            // The spare descriptor is gone, too.
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    })
    .await;
}

/// The protocol of an acceptor's connections.
#[derive(Clone)]
enum Protocol {
    Http(Rc<HttpConnections>),
    Wire(Rc<wire::WireWorker>),
}

/// Accepts the connections of one thread and one listener.
pub(super) struct Acceptor {
    worker: Rc<Worker>,
    shared: Arc<SharedConnections>,
    protocol: Protocol,
    /// Operators' connections have permits of their own and are not counted by address.
    is_admin: bool,
    tls: Option<TlsAcceptor>,
    open: Cell<usize>,
    gauge: metrics::Gauge,
    too_many: metrics::Counter,
    too_many_of_address: metrics::Counter,
    no_descriptors: metrics::Counter,
    slow_handshakes: metrics::Counter,
}

impl Acceptor {
    /// Returns the acceptor of the thread's HTTP connections.
    pub(super) fn http(worker: &Rc<Worker>, shared: &Arc<SharedConnections>) -> Acceptor {
        let is_admin = worker.listener == Listener::Admin;
        let label = if is_admin { "admin" } else { "public" };
        let protocol = Protocol::Http(Rc::new(HttpConnections::new(worker)));
        Acceptor::new(worker, shared, protocol, label, shared.tls.acceptor(worker.listener))
    }

    /// Returns the acceptor of the thread's wire connections.
    pub(super) fn wire(worker: &Rc<Worker>, shared: &Arc<SharedConnections>, wire: Rc<wire::WireWorker>) -> Acceptor {
        Acceptor::new(worker, shared, Protocol::Wire(wire), "wire", shared.tls.wire_acceptor())
    }

    fn new(
        worker: &Rc<Worker>,
        shared: &Arc<SharedConnections>,
        protocol: Protocol,
        label: &'static str,
        tls: Option<TlsAcceptor>,
    ) -> Acceptor {
        let telemetry = &worker.server.telemetry;
        let rejected = |reason| telemetry.counter(&metric::CONNECTIONS_REFUSED, &[("reason", reason)]);
        Acceptor {
            worker: Rc::clone(worker),
            shared: Arc::clone(shared),
            protocol,
            is_admin: worker.listener == Listener::Admin,
            tls,
            open: Cell::new(0),
            gauge: telemetry.gauge(&metric::CONNECTIONS, &[("listener", label)]),
            too_many: rejected("total"),
            too_many_of_address: rejected("address"),
            no_descriptors: rejected("descriptors"),
            slow_handshakes: telemetry.counter(&metric::CONNECTIONS_CLOSED, &[("cause", "handshake")]),
        }
    }

    /// Serves a connection, if there is a permit for it.
    fn start_connection(self: &Rc<Acceptor>, stream: TcpStream, peer: SocketAddr) {
        let (server, client) = (&self.worker.server, ClientAddress::new(peer.ip()));
        let local = client.is_loopback() && !server.config.limits.loopback_is_client;
        let is_proxy = local || server.admission.is_proxy(client.get());
        let counted = (!is_proxy && !self.is_admin).then(|| client.group());
        if let Some(permit) = ConnectionPermit::take(self, counted) {
            let _best_effort = stream.set_nodelay(true);
            // A task of its own type for each, so that a connection takes no more memory than its protocol needs.
            match (&self.tls, self.protocol.clone()) {
                (None, Protocol::Http(shared)) => {
                    tokio::task::spawn_local(http::connection::serve(shared, stream, peer.ip(), is_proxy, permit))
                }
                (None, Protocol::Wire(wire)) => tokio::task::spawn_local(wire::serve(wire, stream, peer.ip(), permit)),
                (Some(tls), Protocol::Http(shared)) => {
                    let tls = tls.clone();
                    tokio::task::spawn_local(async move {
                        if let Some(stream) = handshake(tls, stream, &permit.acceptor).await {
                            http::connection::serve(shared, stream, peer.ip(), is_proxy, permit).await;
                        }
                    })
                }
                (Some(tls), Protocol::Wire(wire)) => {
                    let tls = tls.clone();
                    tokio::task::spawn_local(async move {
                        if let Some(stream) = handshake(tls, stream, &permit.acceptor).await {
                            wire::serve(wire, stream, peer.ip(), permit).await;
                        }
                    })
                }
            };
        }
    }
}

/// Returns the connection under TLS, if its handshake ends in time. The time includes the wait for its turn.
async fn handshake(tls: TlsAcceptor, stream: TcpStream, acceptor: &Acceptor) -> Option<TlsStream<TcpStream>> {
    let handshake = async {
        let _turn = acceptor.shared.handshakes.acquire().await.map_err(std::io::Error::other)?;
        tls.accept(stream).await
    };
    let server = &acceptor.worker.server;
    let mut stopping = server.stopping.clone();
    let ended = tokio::select! {
        ended = within(server.config.limits.tls_handshake_timeout, handshake) => ended,
        // No request was sent yet.
        _ = stopping.changed() => return None,
    };
    match ended {
        Some(Ok(stream)) => return Some(stream),
        Some(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        None => acceptor.slow_handshakes.increment(1),
    }
    None
}

/// One of the connections that may be open at once, over all and per address; given back when it is dropped.
struct ConnectionPermit {
    acceptor: Rc<Acceptor>,
    counted: Option<AddressGroup>,
}

impl ConnectionPermit {
    fn take(acceptor: &Rc<Acceptor>, counted: Option<AddressGroup>) -> Option<ConnectionPermit> {
        let (shared, limits) = (&acceptor.shared, &acceptor.worker.server.config.limits);
        let max = limits.connections_max.saturating_add(if acceptor.is_admin { OPERATOR_CONNECTIONS_MAX } else { 0 });
        // Counted first and compared then: threads that accept at the same moment do not exceed the limit.
        if shared.open.fetch_add(1, Ordering::Relaxed) >= max {
            shared.open.fetch_sub(1, Ordering::Relaxed);
            acceptor.too_many.increment(1);
            return None;
        }
        if counted.is_some_and(|group| !shared.per_address.take(group, limits.connections_per_address_max)) {
            shared.open.fetch_sub(1, Ordering::Relaxed);
            acceptor.too_many_of_address.increment(1);
            return None;
        }
        acceptor.open.set(acceptor.open.get().saturating_add(1));
        acceptor.gauge.increment(1.0);
        Some(ConnectionPermit { acceptor: Rc::clone(acceptor), counted })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let Acceptor { shared, open, gauge, .. } = &*self.acceptor;
        shared.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(group) = self.counted {
            shared.per_address.give_back(group);
        }
        open.set(open.get().saturating_sub(1));
        gauge.decrement(1.0);
    }
}

/// A descriptor kept for the time when the process has no other: it lets the thread accept a connection and close it, so
/// that the client learns at once that it will not be served, instead of waiting in the kernel's queue.
struct SpareDescriptor {
    file: Option<File>,
    logged_at: Option<Instant>,
}

impl SpareDescriptor {
    fn new() -> SpareDescriptor {
        SpareDescriptor { file: Self::open(), logged_at: None }
    }

    fn open() -> Option<File> {
        File::open("/dev/null").ok()
    }

    /// Accepts one connection and closes it; `false` if that was not possible, or if descriptors are not the problem.
    async fn reject_one(&mut self, listener: &tokio::net::TcpListener, acceptor: &Acceptor) -> bool {
        let Some(file) = self.file.take().or_else(Self::open) else { return false };
        drop(file);
        let waiting = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
        let rejected = matches!(waiting, Ok(Ok(_)));
        drop(waiting);
        if rejected {
            acceptor.no_descriptors.increment(1);
        }
        self.file = Self::open();
        rejected
    }

    fn log(&mut self, error: &std::io::Error) {
        if self.logged_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            self.logged_at = Some(Instant::now());
            tracing::warn!(%error, "accepting a connection failed");
        }
    }
}
