//! The threads of the server: one worker per core, each a current-thread runtime with listeners of its own on the shared
//! ports, and the query thread for operators and long queries.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::acceptor::{Acceptor, SharedConnections, accept};
use super::auditor_task::{self, MismatchHook};
use super::draw_task;
use super::listeners::{Listeners, ServerError};
use super::note_task;
use super::tls::Tls;
use crate::admission::Admission;
use crate::config::Config;
use crate::egress::EgressClient;
use crate::exit::{self, exit_now};
use crate::failpoints;
use crate::http::console::prometheus::PrometheusClient;
use crate::http::draw_proofs::DrawProofCache;
use crate::http::routes::{Listener, ROUTES};
use crate::http::slow_queries::{QueryQueue, QueryThread};
use crate::http::worker::{ServerState, Worker};
use crate::http::{openapi, trace_context};
use crate::payments::WebhookVerifiers;
use crate::payments::refunds::RefundStates;
use crate::payments::sessions::RefusedSessions;
use crate::read::{AuditorState, Reader};
use crate::store::backup_requests::BackupRequests;
use crate::store::beside::NoteKeeper;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::{PanicMeter, Telemetry, catalogue as metric, logging};
use crate::types::DropId;
use crate::types::shard::NumberSeries;
use crate::wire::{self, WireWorker, WireWorkerParts};
use crate::writer::WriterHandle;

/// The running threads, and the addresses that they listen on.
pub struct ServerThreads {
    pub public_address: SocketAddr,
    pub admin_address: SocketAddr,
    pub wire_address: SocketAddr,
    /// The limits can be replaced.
    pub admission: Arc<Admission>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

/// The parts of the server that the threads use.
pub(super) struct ServerParts {
    pub(super) config: Config,
    pub(super) epoch: u64,
    pub(super) series: NumberSeries,
    pub(super) reader: Reader,
    pub(super) admission: Admission,
    pub(super) verifiers: WebhookVerifiers,
    pub(super) refused_sessions: Arc<RefusedSessions>,
    pub(super) refund_states: Arc<RefundStates>,
    pub(super) tls: Tls,
    pub(super) egress: EgressClient,
    pub(super) prometheus: Option<PrometheusClient>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) access_log: Option<AccessLog>,
    pub(super) backups: Arc<BackupRequests>,
    /// The handle has a reply mailbox for each worker and one for the query thread.
    pub(super) writer: WriterHandle,
    pub(super) note: NoteKeeper,
    /// Drops whose counters were known to disagree at the start.
    pub(super) mismatched: Vec<DropId>,
    pub(super) on_mismatch: MismatchHook,
}

/// Places for bodies above `http.body_bytes_max` that are read at once, of 64 KiB each: 16 MiB in all.
const LONG_BODY_PLACES: usize = 256;

/// The workers and the query thread in the metric of panics.
const WORKERS: &str = "fc-http";

/// Host names of endpoints that a thread resolves at once.
const LOOK_UPS_MAX: usize = 4;

impl ServerThreads {
    /// Starts all threads.
    ///
    /// # Errors
    /// If a thread fails to start.
    pub(super) fn start(listeners: Listeners, parts: ServerParts) -> Result<ServerThreads, ServerError> {
        let Listeners { public_address, admin_address, wire_address, workers, admin } = listeners;
        parts.admission.door.ask_operators_by(Box::new(parts.writer.operator_tiers()));
        let (stop, stopping) = watch::channel(false);
        let (queries, query_thread) = QueryQueue::new(parts.config.reply_deadline);
        let shared = Arc::new(SharedConnections::new(parts.tls, parts.config.limits.tls_handshakes_max));
        let server = Arc::new(ServerState {
            routes: &ROUTES,
            openapi: |public_url| openapi::served_document(public_url, None),
            openapi_document: OnceLock::new(),
            openapi_gzip: OnceLock::new(),
            docs_page: OnceLock::new(),
            docs_gzip: OnceLock::new(),
            queue_rejections: parts.telemetry.counter(&metric::TURNED_AWAY, &[("reason", "queue")]),
            reply_timeouts: parts.telemetry.counter(&metric::REPLY_TIMEOUT, &[]),
            epoch: parts.epoch,
            series: parts.series,
            admission: Arc::new(parts.admission),
            verifiers: parts.verifiers,
            refused_sessions: parts.refused_sessions,
            refund_states: parts.refund_states,
            egress: parts.egress,
            prometheus: parts.prometheus,
            long_bodies: Semaphore::new(LONG_BODY_PLACES),
            telemetry: parts.telemetry,
            access_log: parts.access_log,
            backups: parts.backups,
            draw_proofs: DrawProofCache::default(),
            auditor: AuditorState::default(),
            stopping,
            config: parts.config,
        });
        let admission = Arc::clone(&server.admission);
        let panics = PanicMeter::new(&server.telemetry, WORKERS);
        let query_mailbox = workers.len();
        let mut threads = Vec::with_capacity(query_mailbox.saturating_add(1));
        let (ready, readiness) = mpsc::channel();
        for (index, listeners) in workers.into_iter().enumerate() {
            let (server, writer, queries) = (Arc::clone(&server), parts.writer.clone(), queries.clone());
            let reader = parts.reader.clone();
            let make = move || Worker::new(server, Listener::Public, writer, index, reader, queries);
            let shared = Arc::clone(&shared);
            let duties = Duties::Worker(listeners.wire);
            let ready = ready.clone();
            let run = move || serve(make(), &shared, listeners.public, duties, &ready);
            threads.push(spawn(format!("fc-http-{index}"), panics.clone(), parts.writer.clone(), run)?);
        }

        let duties = QueryThreadDuties {
            query_thread,
            note: parts.note,
            mismatched: parts.mismatched,
            on_mismatch: parts.on_mismatch,
        };
        let (writer, ending, reader) = (parts.writer.clone(), parts.writer, parts.reader);
        let make = move || Worker::new(server, Listener::Admin, writer, query_mailbox, reader, queries);
        threads.push(spawn("fc-query".into(), panics, ending, move || {
            serve(make(), &shared, admin, Duties::QueryThread(Box::new(duties)), &ready)
        })?);
        // A thread without a runtime would leave its share of the connections without an answer.
        readiness.iter().take(threads.len()).collect::<io::Result<()>>().map_err(ServerError::Thread)?;
        Ok(ServerThreads { public_address, admin_address, wire_address, admission, stop, threads })
    }

    /// Stops the threads: they accept nothing more, end event streams, and finish the requests in flight.
    pub(super) fn stop(self) {
        let _all_ended = self.stop.send(true);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("worker thread panicked");
            }
        }
    }
}

/// Starts a thread whose panic ends the process: its connections and replies are gone, and a supervisor starts it again
/// with everything that was acknowledged.
fn spawn(
    name: String,
    panics: PanicMeter,
    writer: WriterHandle,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, ServerError> {
    let work = move || {
        if panics.catch(run).is_none() {
            end_for_a_panic(&writer);
        }
    };
    std::thread::Builder::new().name(name).spawn(work).map_err(ServerError::Thread)
}

/// Starts a task without which its thread is of no use: a panic ends the process.
fn spawn_vital(worker: &Worker, work: impl Future<Output = ()> + 'static) {
    let panics = PanicMeter::new(&worker.server.telemetry, WORKERS);
    let work = tokio::task::spawn_local(work);
    let writer = worker.writer.clone();
    tokio::task::spawn_local(async move {
        if let Err(ended) = work.await
            && ended.is_panic()
        {
            panics.note(&*ended.into_panic());
            end_for_a_panic(&writer);
        }
    });
}

fn end_for_a_panic(writer: &WriterHandle) {
    end_without("a worker panicked", exit::BUG, writer);
}

/// Ends the process because a part of it is missing, unless its open files are all that is left of lost ones: then the writer
/// ends it, after the rescue.
pub(super) fn end_without(what: &str, exit_code: u8, writer: &WriterHandle) {
    if writer.has_the_only_copy() {
        tracing::error!("{what}, and the process stays until the lost files are copied out");
        return;
    }
    logging::flush();
    exit_now(exit_code);
}

/// Duties of the query thread besides serving operators.
struct QueryThreadDuties {
    query_thread: QueryThread,
    note: NoteKeeper,
    mismatched: Vec<DropId>,
    on_mismatch: MismatchHook,
}

/// The duties of a thread besides serving HTTP.
enum Duties {
    /// The thread serves the wire protocol on these listeners.
    Worker(Vec<TcpListener>),
    /// The thread answers long queries.
    QueryThread(Box<QueryThreadDuties>),
}

/// Runs a thread until the server stops. Reports to `ready` when it has its runtime, or why it has none.
fn serve(
    worker: Worker,
    shared: &Arc<SharedConnections>,
    listeners: Vec<TcpListener>,
    duties: Duties,
    ready: &mpsc::Sender<io::Result<()>>,
) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = match builder.enable_all().max_blocking_threads(LOOK_UPS_MAX).build_local(Default::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            let _start_given_up = ready.send(Err(error));
            return;
        }
    };
    let _start_given_up = ready.send(Ok(()));
    // The thread's first client does not wait for it.
    if let Err(error) = worker.reader.connect() {
        tracing::error!(%error, "a worker's connection to the database failed to open");
    }
    let worker = Rc::new(worker);
    runtime.block_on(async {
        let deliver = {
            let worker = Rc::clone(&worker);
            async move { worker.writer.deliver(worker.mailbox).await }
        };
        spawn_vital(&worker, deliver);
        spawn_vital(&worker, tick(Rc::clone(&worker), Arc::clone(shared)));
        let http = accept(Acceptor::http(&worker, shared), listeners);
        match duties {
            Duties::Worker(listeners) => {
                let wire = Rc::new(WireWorker::new(wire_parts(&worker)));
                spawn_vital(&worker, wire::upkeep(Rc::clone(&wire)));
                tokio::join!(http, accept(Acceptor::wire(&worker, shared, Rc::clone(&wire)), listeners));
                wire.flush();
            }
            Duties::QueryThread(duties) => {
                let QueryThreadDuties { query_thread, note, mismatched, on_mismatch } = *duties;
                let query_worker = Rc::clone(&worker);
                let panics = PanicMeter::new(&worker.server.telemetry, "fc-query");
                spawn_vital(&worker, async move { query_thread.run(&query_worker.reader, &panics).await });
                let audit = auditor_task::supervise(Rc::clone(&worker), mismatched, on_mismatch);
                spawn_vital(&worker, audit);
                spawn_vital(&worker, draw_task::supervise(Rc::clone(&worker)));
                spawn_vital(&worker, note_task::keep(Rc::clone(&worker), note));
                http.await;
            }
        }
        worker.meter.borrow_mut().flush(&worker.server.telemetry);
    });
    // A host name that is still being resolved must not keep the process from ending.
    runtime.shutdown_background();
}

/// Returns the parts that the worker's wire connections use.
fn wire_parts(worker: &Worker) -> WireWorkerParts {
    WireWorkerParts {
        limits: worker.server.config.wire.clone(),
        traces: trace_context::options(&worker.server.config.traces),
        reply_deadline: worker.server.config.reply_deadline,
        admission: Arc::clone(&worker.server.admission),
        telemetry: Arc::clone(&worker.server.telemetry),
        stopping: worker.server.stopping.clone(),
        writer: worker.writer.clone(),
        mailbox: worker.mailbox,
        reader: worker.reader.clone(),
        verified: Rc::clone(&worker.verified),
        room_facts: Rc::clone(&worker.room_facts),
        largest_amounts: Rc::clone(&worker.largest_amounts),
    }
}

/// Adds the thread's figures to the shared metrics once a second; the query thread also reloads changed certificates.
async fn tick(worker: Rc<Worker>, shared: Arc<SharedConnections>) {
    let mut interval = tokio::time::interval(Duration::from_secs(1));
    loop {
        interval.tick().await;
        worker.meter.borrow_mut().flush(&worker.server.telemetry);
        worker.look_at_clocks();
        failpoints::panic_in(WORKERS);
        if worker.listener == Listener::Admin {
            worker.server.telemetry.run_upkeep();
            shared.tls.reload_changed();
        }
    }
}
