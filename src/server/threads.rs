//! Listeners and threads: one current-thread runtime per core, each with listeners of its own on the same ports, and one
//! more, the query thread, for operators and long queries.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{Semaphore, watch};

use super::acceptor::{Acceptor, SharedConnections, accept};
use super::auditor_task::{MismatchHook, audit};
use super::tls::Tls;
use crate::admission::Admission;
use crate::config::{Config, somaxconn};
use crate::egress::EgressClient;
use crate::exit;
use crate::http::routes::{Listener, ROUTES};
use crate::http::slow_queries::{QueryQueue, QueryThread};
use crate::http::worker::{ServerState, Worker};
use crate::http::{openapi, trace_context};
use crate::payments::WebhookVerifiers;
use crate::read::{AuditorState, Reader};
use crate::telemetry::{Telemetry, catalogue as metric};
use crate::types::{DropId, SnapshotGate};
use crate::wire::{self, WireWorker, WireWorkerParts};
use crate::writer::WriterHandle;

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
            ServerError::InUse { .. } => exit::UNAVAILABLE,
            ServerError::Listen { .. } => exit::USAGE,
            ServerError::Reader(_) => exit::DISK,
            ServerError::Thread(_) => exit::SYSTEM,
        }
    }
}

/// Bound listeners, before anything is served.
pub(super) struct Listeners {
    /// Where buyers connect.
    pub(super) public_address: SocketAddr,
    /// Where operators connect.
    pub(super) admin_address: SocketAddr,
    /// Where the binary protocol is spoken.
    pub(super) wire_address: SocketAddr,
    /// By thread: buyers', and those of the binary protocol.
    buyers: Vec<Buyers>,
    admin: Vec<TcpListener>,
}

/// The listeners of a serving thread.
struct Buyers {
    public: Vec<TcpListener>,
    wire: Vec<TcpListener>,
}

impl Listeners {
    /// Binds all listeners: before the first accept, so that no thread gets all connections.
    ///
    /// # Errors
    /// If an address is in use or cannot be used.
    pub(super) fn bind(config: &Config) -> Result<Listeners, ServerError> {
        let (threads, backlog) = (config.serving_threads(), config.limits.listen_backlog);
        let each = config.limits.listeners_per_thread(threads, somaxconn());
        let all = threads.saturating_mul(each);
        let (public_address, mut public) = bind(config.public_listen, "--public", all, backlog)?;
        let (wire_address, mut wire) = bind(config.wire_listen, "--wire", all, backlog)?;
        let mut buyers = Vec::with_capacity(threads);
        while !public.is_empty() {
            let share = |free: &mut Vec<TcpListener>| free.split_off(free.len().saturating_sub(each));
            buyers.push(Buyers { public: share(&mut public), wire: share(&mut wire) });
        }
        let (admin_address, admin) = bind(config.admin_listen, "--admin", 1, backlog)?;
        Ok(Listeners { public_address, admin_address, wire_address, buyers, admin })
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
    /// Where the binary protocol is spoken.
    pub wire_address: SocketAddr,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

/// What the server needs of the rest.
pub(super) struct ServerParts {
    /// The settings.
    pub(super) config: Config,
    /// The file's epoch.
    pub(super) epoch: u64,
    /// Where the database is.
    pub(super) database: PathBuf,
    /// Who may come in.
    pub(super) admission: Admission,
    /// Which payment providers may tell us anything.
    pub(super) verifiers: WebhookVerifiers,
    /// The listeners' certificates.
    pub(super) tls: Tls,
    /// The way to endpoints.
    pub(super) calls: EgressClient,
    /// The metrics.
    pub(super) telemetry: Arc<Telemetry>,
    /// The way to the writer; it has a port per serving thread and one for the query thread.
    pub(super) writer: WriterHandle,
    /// The readers' gate.
    pub(super) gate: Arc<SnapshotGate>,
    /// Drops whose mismatch was known at the start.
    pub(super) mismatched: Vec<DropId>,
    /// What to do when the recount stops agreeing with a drop's counters, or agrees again.
    pub(super) on_mismatch: MismatchHook,
}

/// Webhooks of more than `http.body_bytes_max` bytes that are read at once: 64 KiB each, whoever sends them.
const LONG_BODIES_MAX: usize = 256;

/// Names of endpoints that are looked up at once, while somebody creates one.
const LOOK_UPS_MAX: usize = 4;

impl Server {
    /// Starts all threads.
    ///
    /// # Errors
    /// If a reader cannot be opened or a thread not be started.
    pub(super) fn start(listeners: Listeners, parts: ServerParts) -> Result<Server, ServerError> {
        let Listeners { public_address, admin_address, wire_address, buyers, admin } = listeners;
        let (stop, stopping) = watch::channel(false);
        let (queries, query_thread) = QueryQueue::new(parts.config.reply_deadline);
        let shared = Arc::new(SharedConnections::new(parts.tls, parts.config.limits.tls_handshakes_max));
        let server = Arc::new(ServerState {
            routes: &ROUTES,
            openapi: openapi::document,
            turned_away: parts.telemetry.counter(&metric::TURNED_AWAY, &[("reason", "queue")]),
            reply_timeouts: parts.telemetry.counter(&metric::REPLY_TIMEOUT, &[]),
            epoch: parts.epoch,
            admission: Arc::new(parts.admission),
            verifiers: parts.verifiers,
            calls: parts.calls,
            long_bodies: Semaphore::new(LONG_BODIES_MAX),
            telemetry: parts.telemetry,
            auditor: AuditorState::default(),
            stopping,
            config: parts.config,
        });
        let query_thread_port = buyers.len();
        let mut threads = Vec::with_capacity(query_thread_port.saturating_add(1));
        for (port, listeners) in buyers.into_iter().enumerate() {
            let reader = Reader::open(&parts.database, Arc::clone(&parts.gate))?;
            let (server, writer, queries) = (Arc::clone(&server), parts.writer.clone(), queries.clone());
            let make = move || Worker::new(server, Listener::Public, writer, port, reader, queries);
            let shared = Arc::clone(&shared);
            let duties = Duties::Buyers(listeners.wire);
            threads.push(spawn(format!("fc-http-{port}"), move || serve(make(), &shared, listeners.public, duties))?);
        }
        let reader = Reader::open(&parts.database, Arc::clone(&parts.gate))?;
        let audit_reader = Reader::open(&parts.database, Arc::clone(&parts.gate))?;
        let duties = QueryThreadDuties {
            query_thread,
            audit_reader,
            mismatched: parts.mismatched,
            on_mismatch: parts.on_mismatch,
        };
        let writer = parts.writer;
        let make = move || Worker::new(server, Listener::Admin, writer, query_thread_port, reader, queries);
        threads.push(spawn("fc-query".into(), move || {
            serve(make(), &shared, admin, Duties::QueryThread(Box::new(duties)))
        })?);
        Ok(Server { public_address, admin_address, wire_address, stop, threads })
    }

    /// Ends it: nothing more is accepted, streams end first, requests in flight are answered.
    pub(super) fn stop(self) {
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

/// Duties of the query thread besides serving operators.
struct QueryThreadDuties {
    query_thread: QueryThread,
    audit_reader: Reader,
    mismatched: Vec<DropId>,
    on_mismatch: MismatchHook,
}

/// What a thread does besides serving HTTP.
enum Duties {
    /// It speaks the binary protocol on these listeners.
    Buyers(Vec<TcpListener>),
    /// It is the query thread.
    QueryThread(Box<QueryThreadDuties>),
}

/// A serving thread, from start to end.
fn serve(worker: Worker, shared: &Arc<SharedConnections>, listeners: Vec<TcpListener>, duties: Duties) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = match builder.enable_all().max_blocking_threads(LOOK_UPS_MAX).build_local(Default::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "a serving thread has no runtime");
            return;
        }
    };
    let worker = Rc::new(worker);
    runtime.block_on(async {
        let deliver = {
            let worker = Rc::clone(&worker);
            async move { worker.writer.deliver(worker.port).await }
        };
        tokio::task::spawn_local(deliver);
        tokio::task::spawn_local(tick(Rc::clone(&worker), Arc::clone(shared)));
        let http = accept(Acceptor::http(&worker, shared), listeners);
        match duties {
            Duties::Buyers(listeners) => {
                let wire = Rc::new(WireWorker::new(wire_parts(&worker)));
                tokio::task::spawn_local(wire::upkeep(Rc::clone(&wire)));
                tokio::join!(http, accept(Acceptor::wire(&worker, shared, Rc::clone(&wire)), listeners));
                wire.flush();
            }
            Duties::QueryThread(duties) => {
                let QueryThreadDuties { query_thread, audit_reader, mismatched, on_mismatch } = *duties;
                let query_worker = Rc::clone(&worker);
                tokio::task::spawn_local(async move { query_thread.run(&query_worker.reader).await });
                tokio::task::spawn_local(audit(Rc::clone(&worker), audit_reader, mismatched, on_mismatch));
                http.await;
            }
        }
        worker.meter.borrow_mut().flush(&worker.server.telemetry);
    });
    // A name that is still being resolved must not keep the program from ending.
    runtime.shutdown_background();
}

/// What a thread's binary protocol needs of it.
fn wire_parts(worker: &Worker) -> WireWorkerParts {
    WireWorkerParts {
        limits: worker.server.config.wire.clone(),
        traces: trace_context::options(&worker.server.config.traces),
        reply_deadline: worker.server.config.reply_deadline,
        admission: Arc::clone(&worker.server.admission),
        telemetry: Arc::clone(&worker.server.telemetry),
        stopping: worker.server.stopping.clone(),
        writer: worker.writer.clone(),
        port: worker.port,
        reader: Rc::clone(&worker.reader),
        verified: Rc::clone(&worker.verified),
    }
}

/// Once a second: figures go to the shared ones.
async fn tick(worker: Rc<Worker>, shared: Arc<SharedConnections>) {
    let mut interval = tokio::time::interval(Duration::from_secs(1));
    loop {
        interval.tick().await;
        worker.meter.borrow_mut().flush(&worker.server.telemetry);
        if worker.listener == Listener::Admin {
            worker.server.telemetry.run_upkeep();
            shared.tls.look();
        }
    }
}
