//! Listeners, threads, connections: one current-thread runtime per core, each with its own listener on the same port;
//! and one more thread, the desk, for operators and everything longer.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::core::{Core, Site, answer};
use super::desk::{Desk, DeskWork};
use super::routes::Listener;
use crate::admission::Admission;
use crate::config::Config;
use crate::read::{Auditor, AuditorState, Reader};
use crate::telemetry::{Telemetry, catalogue as metric};
use crate::types::{DropId, SnapshotGate};
use crate::writer::WriterHandle;

/// How long connections get to finish when the server ends.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long accepting pauses when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The server could not start.
#[derive(thiserror::Error, Debug)]
pub enum ServerError {
    /// A listener's address is taken.
    #[error("{address} is in use by another program; stop it, or choose another address with {flag}")]
    InUse {
        /// Which address.
        address: SocketAddr,
        /// The flag that changes it.
        flag: &'static str,
    },
    /// A listener's address cannot be used.
    #[error("{address} cannot be listened on: {source}; choose another address with {flag}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// The flag that changes it.
        flag: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A reader could not be opened.
    #[error("SQLite: {0}")]
    Reader(#[from] rusqlite::Error),
    /// A thread could not be started.
    #[error("a serving thread could not start: {0}")]
    Thread(std::io::Error),
}

impl ServerError {
    /// The exit code of a process that ends because of this.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            ServerError::InUse { .. } => 69,
            ServerError::Listen { .. } => 64,
            ServerError::Reader(_) => 74,
            ServerError::Thread(_) => 71,
        }
    }
}

/// Bound listeners, before anything is served.
pub struct Listeners {
    /// Where buyers connect.
    pub public_address: SocketAddr,
    /// Where operators connect.
    pub admin_address: SocketAddr,
    public: Vec<TcpListener>,
    admin: TcpListener,
}

impl Listeners {
    /// Binds all listeners: before the first accept, so that no thread gets all connections.
    ///
    /// # Errors
    /// If an address is in use or cannot be used.
    pub fn bind(config: &Config) -> Result<Listeners, ServerError> {
        let (public_address, public) =
            bind(config.public_listen, "--public", config.serving_threads(), config.listen_backlog)?;
        let (admin_address, admin) = bind(config.admin_listen, "--admin", 1, config.listen_backlog)?;
        let admin = admin.into_iter().next().ok_or(ServerError::InUse { address: admin_address, flag: "--admin" })?;
        Ok(Listeners { public_address, admin_address, public, admin })
    }
}

fn bind(
    address: SocketAddr,
    flag: &'static str,
    count: usize,
    backlog: i32,
) -> Result<(SocketAddr, Vec<TcpListener>), ServerError> {
    let refuse = |source: std::io::Error| {
        let in_use = source.kind() == std::io::ErrorKind::AddrInUse;
        if in_use { ServerError::InUse { address, flag } } else { ServerError::Listen { address, flag, source } }
    };
    // Once without SO_REUSEPORT: with it, two servers would share a port without a word.
    let alone = socket(address, false).map_err(refuse)?;
    let address = alone.local_addr().ok().and_then(|bound| bound.as_socket()).unwrap_or(address);
    drop(alone);
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = socket(address, true).map_err(refuse)?;
        socket.listen(backlog).map_err(refuse)?;
        listeners.push(TcpListener::from(socket));
    }
    Ok((address, listeners))
}

fn socket(address: SocketAddr, reuse_port: bool) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A running server.
pub struct Server {
    /// Where buyers connect.
    pub public_address: SocketAddr,
    /// Where operators connect.
    pub admin_address: SocketAddr,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

/// What the server needs of the rest.
pub struct Parts {
    /// The settings.
    pub config: Config,
    /// The file's epoch.
    pub epoch: u64,
    /// Where the database is.
    pub database: PathBuf,
    /// Who may come in.
    pub admission: Admission,
    /// The metrics.
    pub telemetry: Arc<Telemetry>,
    /// The way to the writer; it has a port per serving thread and one for the desk.
    pub writer: WriterHandle,
    /// The readers' gate.
    pub gate: Arc<SnapshotGate>,
    /// Drops whose mismatch was known at the start.
    pub mismatched: Vec<DropId>,
    /// What to do when the recount stops agreeing with a drop's counters, or agrees again.
    pub on_mismatch: MismatchHook,
}

/// Called on the desk's thread with a drop and whether a mismatch stands; returns whether that was passed on.
pub type MismatchHook = Arc<dyn Fn(DropId, bool) -> bool + Send + Sync>;

impl Server {
    /// Starts all threads.
    ///
    /// # Errors
    /// If a reader cannot be opened or a thread not be started.
    pub fn start(listeners: Listeners, parts: Parts) -> Result<Server, ServerError> {
        let Listeners { public_address, admin_address, public, admin } = listeners;
        let (stop, stopping) = watch::channel(false);
        let (desk, work) = Desk::new();
        let site = Arc::new(Site {
            turned_away: parts.telemetry.counter(&metric::TURNED_AWAY, &[("reason", "queue")]),
            reply_timeouts: parts.telemetry.counter(&metric::REPLY_TIMEOUT, &[]),
            config: parts.config,
            epoch: parts.epoch,
            admission: parts.admission,
            telemetry: parts.telemetry,
            auditor: AuditorState::default(),
            connections: AtomicUsize::new(0),
            stopping,
        });
        let desk_port = public.len();
        let mut threads = Vec::with_capacity(desk_port.saturating_add(1));
        for (port, listener) in public.into_iter().enumerate() {
            let reader = Reader::open(&parts.database, Arc::clone(&parts.gate))?;
            let (site, writer, desk) = (Arc::clone(&site), parts.writer.clone(), desk.clone());
            let make = move || Core::new(site, Listener::Public, writer, port, reader, desk);
            threads.push(spawn(format!("fc-http-{port}"), move || serve(make(), listener, None))?);
        }
        let reader = Reader::open(&parts.database, Arc::clone(&parts.gate))?;
        let audit_reader = Reader::open(&parts.database, Arc::clone(&parts.gate))?;
        let duties = DeskDuties { work, audit_reader, mismatched: parts.mismatched, on_mismatch: parts.on_mismatch };
        let writer = parts.writer;
        let make = move || Core::new(site, Listener::Admin, writer, desk_port, reader, desk);
        threads.push(spawn("fc-desk".into(), move || serve(make(), admin, Some(duties)))?);
        Ok(Server { public_address, admin_address, stop, threads })
    }

    /// Ends it: nothing more is accepted, streams end first, requests in flight are answered.
    pub fn stop(self) {
        let _nobody_left = self.stop.send(true);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a serving thread panicked");
            }
        }
    }
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, ServerError> {
    std::thread::Builder::new().name(name).spawn(run).map_err(ServerError::Thread)
}

/// What the desk does besides serving operators.
struct DeskDuties {
    work: DeskWork,
    audit_reader: Reader,
    mismatched: Vec<DropId>,
    on_mismatch: MismatchHook,
}

/// A serving thread, from start to end.
fn serve(core: Core, listener: TcpListener, duties: Option<DeskDuties>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "a serving thread has no runtime");
            return;
        }
    };
    let core = Rc::new(core);
    runtime.block_on(async {
        let deliver = {
            let core = Rc::clone(&core);
            async move { core.writer.deliver(core.port).await }
        };
        tokio::task::spawn_local(deliver);
        tokio::task::spawn_local(tick(Rc::clone(&core)));
        if let Some(duties) = duties {
            let DeskDuties { work, audit_reader, mismatched, on_mismatch } = duties;
            let desk_core = Rc::clone(&core);
            tokio::task::spawn_local(async move { work.work(&desk_core.reader).await });
            tokio::task::spawn_local(audit(Rc::clone(&core), audit_reader, mismatched, on_mismatch));
        }
        accept(&core, listener).await;
    });
}

/// Once a second: figures go to the shared ones.
async fn tick(core: Rc<Core>) {
    let mut interval = tokio::time::interval(Duration::from_secs(1));
    loop {
        interval.tick().await;
        core.meter.borrow_mut().flush(&core.site.telemetry);
        if core.listener == Listener::Admin {
            core.site.telemetry.run_upkeep();
        }
    }
}

/// How often the auditor counts what is new, between two comparisons.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// The auditor's rounds: it counts what is new every second, and compares at every interval.
async fn audit(core: Rc<Core>, reader: Reader, mismatched: Vec<DropId>, on_mismatch: MismatchHook) {
    let mut auditor = Auditor::default();
    mismatched.into_iter().for_each(|drop_id| auditor.expect_mismatch(drop_id));
    let compare_interval = core.site.config.compare_interval;
    let mut compared = None;
    loop {
        // In short steps, with room for operators in between.
        while let Ok(true) = auditor.follow(&reader, &core.site.auditor) {
            tokio::task::yield_now().await;
        }
        if compared.is_none_or(|at: Instant| at.elapsed() >= compare_interval) {
            compared = Some(Instant::now());
            match auditor.compare(&reader, &core.site.auditor) {
                Ok(changes) => {
                    for change in changes.into_iter().filter(|change| on_mismatch(change.drop_id, change.stands)) {
                        auditor.noted(change);
                    }
                }
                Err(error) => tracing::error!(%error, "the auditor could not read"),
            }
        }
        tokio::time::sleep(FOLLOW_EVERY.min(compare_interval)).await;
    }
}

/// Accepts until the server ends, then waits for open connections.
async fn accept(core: &Rc<Core>, listener: TcpListener) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a listener cannot be used");
            return;
        }
    };
    let label = match core.listener {
        Listener::Public => "public",
        Listener::Admin => "admin",
    };
    let gauge = core.site.telemetry.gauge(&metric::CONNECTIONS, &[("listener", label)]);
    let refused = core.site.telemetry.counter(&metric::CONNECTIONS_REFUSED, &[]);
    let open = Rc::new(Cell::new(0usize));
    let mut stopping = core.site.stopping.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.changed() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                if core.site.connections.load(Ordering::Relaxed) >= core.site.config.connections_max {
                    refused.increment(1);
                    continue;
                }
                let place = Place::take(Rc::clone(core), Rc::clone(&open), gauge.clone());
                tokio::task::spawn_local(connection(stream, peer.ip(), place));
            }
            // A client that left already is no reason to wait.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let drained = async {
        while open.get() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(DRAIN_MAX, drained).await.is_err() {
        tracing::warn!(open = open.get(), "connections were cut at the end");
    }
    core.meter.borrow_mut().flush(&core.site.telemetry);
}

/// A connection's place among all; given back when it ends.
struct Place {
    core: Rc<Core>,
    open: Rc<Cell<usize>>,
    gauge: metrics::Gauge,
}

impl Place {
    fn take(core: Rc<Core>, open: Rc<Cell<usize>>, gauge: metrics::Gauge) -> Place {
        core.site.connections.fetch_add(1, Ordering::Relaxed);
        open.set(open.get().saturating_add(1));
        gauge.increment(1.0);
        Place { core, open, gauge }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.core.site.connections.fetch_sub(1, Ordering::Relaxed);
        self.open.set(self.open.get().saturating_sub(1));
        self.gauge.decrement(1.0);
    }
}

/// Serves one connection to its end.
async fn connection(stream: TcpStream, peer: IpAddr, place: Place) {
    let core = &place.core;
    let config = &core.site.config;
    let _best_effort = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let core = Rc::clone(core);
        async move { Ok::<_, std::convert::Infallible>(answer(&core, peer, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_read_timeout)
        .max_buf_size(config.header_bytes_max);
    if config.headers_max != HYPER_HEADERS_MAX {
        builder.max_headers(config.headers_max);
    }
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut stopping = core.site.stopping.clone();
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients break off, time out and talk nonsense all day: that is theirs to notice.
        tracing::debug!(%error, "a connection ended early");
    }
}

/// hyper's own default; setting it to the same value would cost a slower parser.
const HYPER_HEADERS_MAX: usize = 100;
