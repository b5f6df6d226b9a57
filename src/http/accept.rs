//! The way in: who is accepted, how many, and what happens when the process runs out of descriptors.

use std::cell::Cell;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::connection::{self, CAUSES};
use super::core::Core;
use super::routes::Listener;
use crate::admission::address::{AddressGroup, ClientAddress};
use crate::config::OPERATOR_PLACES;
use crate::telemetry::catalogue as metric;
use crate::wire::{self, Wire};

/// How long connections get to finish when the server ends.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long accepting pauses when the process is out of descriptors and has not even one in reserve.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often running out of descriptors is told, at most.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Accepts until the server ends, then waits for open connections.
pub(super) async fn accept(door: Door, listeners: Vec<TcpListener>) {
    let door = Rc::new(door);
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|listener| tokio::task::spawn_local(accept_from(Rc::clone(&door), listener)))
        .collect();
    for ended in accepting {
        if ended.await.is_err() {
            tracing::error!("accepting connections panicked");
        }
    }
    let drained = async {
        while door.open.get() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(DRAIN_MAX, drained).await.is_err() {
        tracing::warn!(open = door.open.get(), "connections were cut at the end");
    }
}

/// Accepts from one listener until the server ends.
async fn accept_from(door: Rc<Door>, listener: TcpListener) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a listener cannot be used");
            return;
        }
    };
    let mut reserve = Reserve::new();
    let mut stopping = door.core.site.stopping.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.changed() => return,
        };
        match accepted {
            Ok((stream, peer)) => door.let_in(stream, peer),
            // A client that left already is no reason to wait.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                reserve.tell(&error);
                if !reserve.turn_one_away(&listener, &door).await {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// What is spoken behind a door.
#[derive(Clone)]
enum Language {
    /// HTTP, by hyper.
    Http,
    /// The binary protocol.
    Wire(Rc<Wire>),
}

/// What all connections of a thread and a listener share.
pub(super) struct Door {
    pub(super) core: Rc<Core>,
    /// How hyper reads requests.
    pub(super) http: http1::Builder,
    language: Language,
    /// Whether it is the operators': they have places of their own, and nobody counts their addresses.
    operators: bool,
    /// Closed by the server, by cause.
    pub(super) closed: [metrics::Counter; CAUSES.len()],
    tls: Option<TlsAcceptor>,
    open: Cell<usize>,
    gauge: metrics::Gauge,
    too_many: metrics::Counter,
    too_many_of_address: metrics::Counter,
    no_descriptors: metrics::Counter,
}

impl Door {
    /// The way in to the thread's HTTP.
    pub(super) fn http(core: &Rc<Core>) -> Door {
        let operators = core.listener == Listener::Admin;
        let label = if operators { "admin" } else { "public" };
        Door::new(core, Language::Http, operators, label, core.site.tls.acceptor(core.listener))
    }

    /// The way in to the thread's binary protocol.
    pub(super) fn wire(core: &Rc<Core>, wire: Rc<Wire>) -> Door {
        Door::new(core, Language::Wire(wire), false, "wire", core.site.tls.wire_acceptor())
    }

    fn new(
        core: &Rc<Core>,
        language: Language,
        operators: bool,
        label: &'static str,
        tls: Option<TlsAcceptor>,
    ) -> Door {
        let telemetry = &core.site.telemetry;
        let refused = |reason| telemetry.counter(&metric::CONNECTIONS_REFUSED, &[("reason", reason)]);
        Door {
            core: Rc::clone(core),
            http: connection::http(&core.site.config.limits),
            language,
            operators,
            closed: CAUSES.map(|cause| telemetry.counter(&metric::CONNECTIONS_CLOSED, &[("cause", cause)])),
            tls,
            open: Cell::new(0),
            gauge: telemetry.gauge(&metric::CONNECTIONS, &[("listener", label)]),
            too_many: refused("total"),
            too_many_of_address: refused("address"),
            no_descriptors: refused("descriptors"),
        }
    }

    /// Serves a connection, if there is a place for it.
    fn let_in(self: &Rc<Door>, stream: TcpStream, peer: SocketAddr) {
        let (site, client) = (&self.core.site, ClientAddress::new(peer.ip()));
        let local = client.is_loopback() && !site.config.limits.loopback_is_client;
        let is_proxy = local || site.admission.is_proxy(client.get());
        let counted = (!is_proxy && !self.operators).then(|| client.group());
        if let Some(place) = Place::take(self, counted) {
            let _best_effort = stream.set_nodelay(true);
            // A task each, so that a connection takes no more room than what is spoken on it.
            match (&self.tls, &self.language) {
                (None, Language::Http) => {
                    tokio::task::spawn_local(connection::serve(stream, peer.ip(), is_proxy, place))
                }
                (None, Language::Wire(wire)) => {
                    tokio::task::spawn_local(wire::serve(Rc::clone(wire), stream, peer.ip(), place))
                }
                (Some(tls), Language::Http) => {
                    let tls = tls.clone();
                    tokio::task::spawn_local(async move {
                        if let Some(stream) = connection::handshake(tls, stream, &place).await {
                            connection::serve(stream, peer.ip(), is_proxy, place).await;
                        }
                    })
                }
                (Some(tls), Language::Wire(wire)) => {
                    let (tls, wire) = (tls.clone(), Rc::clone(wire));
                    tokio::task::spawn_local(async move {
                        if let Some(stream) = connection::handshake(tls, stream, &place).await {
                            wire::serve(wire, stream, peer.ip(), place).await;
                        }
                    })
                }
            };
        }
    }
}

/// A connection's place among all, and among its address's; given back when it ends.
pub(super) struct Place {
    pub(super) door: Rc<Door>,
    counted: Option<AddressGroup>,
}

impl Place {
    fn take(door: &Rc<Door>, counted: Option<AddressGroup>) -> Option<Place> {
        let site = &door.core.site;
        let limits = &site.config.limits;
        let max = limits.connections_max.saturating_add(if door.operators { OPERATOR_PLACES } else { 0 });
        // Counted first and looked at then: threads that accept at the same moment do not overshoot.
        if site.connections.fetch_add(1, Ordering::Relaxed) >= max {
            site.connections.fetch_sub(1, Ordering::Relaxed);
            door.too_many.increment(1);
            return None;
        }
        if counted.is_some_and(|key| !site.addresses.take(key, limits.connections_per_address_max)) {
            site.connections.fetch_sub(1, Ordering::Relaxed);
            door.too_many_of_address.increment(1);
            return None;
        }
        door.open.set(door.open.get().saturating_add(1));
        door.gauge.increment(1.0);
        Some(Place { door: Rc::clone(door), counted })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let site = &self.door.core.site;
        site.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(key) = self.counted {
            site.addresses.give_back(key);
        }
        self.door.open.set(self.door.open.get().saturating_sub(1));
        self.door.gauge.decrement(1.0);
    }
}

/// A descriptor kept for the day when there is no other: with it a client is told by a closed connection that it will
/// not be served, instead of waiting in the kernel's queue for what never comes.
struct Reserve {
    kept: Option<File>,
    told: Option<Instant>,
}

impl Reserve {
    fn new() -> Reserve {
        Reserve { kept: Self::keep(), told: None }
    }

    fn keep() -> Option<File> {
        File::open("/dev/null").ok()
    }

    /// Accepts one connection and closes it; `false` if that was not possible, or not what is missing.
    async fn turn_one_away(&mut self, listener: &tokio::net::TcpListener, door: &Door) -> bool {
        let Some(kept) = self.kept.take().or_else(Self::keep) else { return false };
        drop(kept);
        let waiting = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
        let turned_away = matches!(waiting, Ok(Ok(_)));
        drop(waiting);
        if turned_away {
            door.no_descriptors.increment(1);
        }
        self.kept = Self::keep();
        turned_away
    }

    fn tell(&mut self, error: &std::io::Error) {
        if self.told.is_none_or(|at| at.elapsed() >= TOLD_EVERY) {
            self.told = Some(Instant::now());
            tracing::warn!(%error, "a connection could not be accepted");
        }
    }
}
