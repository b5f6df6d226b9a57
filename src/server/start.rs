//! Starts a whole server: file, clock, writer, listeners and threads. `serve` does it for operators, tests on port 0.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::auditor_task::MismatchHook;
use super::backup_task::{BackupParts, BackupThread};
use super::capture_file;
use super::listeners::Listeners;
use super::node::{self, NodeStart, NodeThread};
use super::start_losses::record_losses;
use super::threads::{ServerParts, ServerThreads};
use super::tls::Tls;
use super::unpayable;
use crate::admission::Admission;
use crate::admission::operators::file;
use crate::config::{self, AccessLogSettings, ClusterConfig, Config, PinCore, TlsFiles};
use crate::engine::{COMMAND_NAMES, Command, DropCommand, OUTCOME_NAMES};
use crate::exit::Exit;
use crate::http::console::prometheus::PrometheusClient;
use crate::outbox::{OutboxSetup, Relay};
use crate::payments::WebhookVerifiers;
use crate::payments::refunds::{RefundDependencies, RefundService, RefundThread};
use crate::payments::sessions::{self, SessionService};
use crate::read::{Reader, outbox as outbox_rows};
use crate::store::advice;
use crate::store::beside::{self, NoteKeeper};
use crate::store::clock_file::ClockFile;
use crate::store::open::{self, DATABASE_FILE};
use crate::store::recover::explain;
use crate::store::{Durability, Loaded, Store, StoreError, load, ownership, resumption};
use crate::telemetry::access_log::{self, AccessLog, AccessLogOptions, AccessLogThread};
use crate::telemetry::{Telemetry, WriterLabels, WriterMeter};
use crate::types::shard::NumberSeries;
use crate::types::text::rfc3339;
use crate::types::{DropId, Shard, SnapshotGate, UnixMillis};
use crate::writer::checkpoint::CheckpointLimits;
use crate::writer::clock::wall_clock;
use crate::writer::{
    Class, Clock, ClockReading, CpuAffinity, NodeView, StartEvidence, Submission, Writer, WriterExit, WriterHandle,
    WriterOptions, keep_and_sync,
};

/// Lead of the clock of decisions over the wall clock from which a start logs it; less is slewed away.
const CLOCK_AHEAD_LOGGED_MS: u64 = 1000;

/// Interval at which a node's commits wait for its disk: the log has every entry on most of its members' disks.
const NODE_SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// The state of the file at the start.
#[derive(Clone, Copy, Debug)]
pub struct StartState {
    /// Number of drops that take orders.
    pub drops_live: usize,
    pub newest_live: Option<DropId>,
    pub orders_live: usize,
    /// Sequence number of the last event.
    pub seq: u64,
    /// Time of the last event.
    pub at: UnixMillis,
}

/// A whole server, running.
pub struct RunningServer {
    pub server: ServerThreads,
    pub writer: WriterHandle,
    pub found: StartState,
    pub telemetry: Arc<Telemetry>,
    thread: JoinHandle<WriterExit>,
    recorder: Option<JoinHandle<()>>,
    sessions: Vec<sessions::SessionThread>,
    refunds: Vec<RefundThread>,
    relay: Relay,
    access_log: Option<AccessLogThread>,
    node: Option<NodeThread>,
    backup: BackupThread,
}

/// Starts a server. `on_fault` is called on the writer's thread if the writer ends in a fault: the process must end then.
///
/// # Errors
/// Lines for the operator, and the exit code.
pub fn start(config: Config, on_fault: impl FnOnce(&str, u8) + Send + 'static) -> Result<RunningServer, Exit> {
    start_viewed(config, None, on_fault)
}

/// Starts a server without a log, which takes itself for the node of this view, if there is one.
///
/// # Errors
/// Lines for the operator, and the exit code.
pub fn start_viewed(
    mut config: Config,
    view: Option<Arc<NodeView>>,
    on_fault: impl FnOnce(&str, u8) + Send + 'static,
) -> Result<RunningServer, Exit> {
    let wall = wall_clock();
    let telemetry = Arc::new(Telemetry::new());
    let descriptors_max = raise_descriptor_limit();
    config::check_descriptors(&config, config::somaxconn(), descriptors_max)
        .map_err(|error| Exit::system(error.to_string()))?;
    // Before the tokens are read: a directory of another user is one mistake, not one of each file.
    ownership::check(&config.data)
        .and_then(|()| ownership::check_readable(&config.data.join(file::TOKENS_FILE)))
        .and_then(|()| beside::check(&config.data))
        .map_err(|error| Exit::new(error.exit_code(), error.to_string()))?;
    let OpenedFiles { admission, tls, verifiers, sessions, refunds, outbox, prometheus } =
        open_configured_files(&config, &telemetry, wall)?;
    if beside::had_tokens(&config.data) || file::had_tokens(&config.data) {
        admission.operators.require_token();
    }
    check_wall_clock(wall)?;
    node::refuse_new_file(&config)?;
    let bind = || Listeners::bind(&config).map_err(|error| Exit::new(error.exit_code(), error.to_string()));
    // A start that cannot listen leaves no new database behind. With a database its load comes first: until it ends, clients
    // of a bound port would hang.
    let bound = if open::is_new(&config.data) { Some(bind()?) } else { None };
    let database = config.data.join(DATABASE_FILE);
    let explained = |error: StoreError| {
        let error = explain(&database, error);
        Exit::new(error.exit_code(), error.told(&database))
    };
    let mut store = Store::open(&config.data, wall).map_err(explained)?;
    let at_file = |error: StoreError, path: &Path| Exit::new(error.exit_code(), error.told(path));
    let mut loaded =
        load::load_verified(&store, config.idempotency_keys_max).map_err(|error| explained(store.with_cause(error)))?;
    let shard = config.cluster.as_ref().map_or(Shard::SINGLE, |cluster| cluster.shard);
    loaded.settle_shard(shard).map_err(|error| at_file(error, &store.path))?;
    for (path, mode) in ownership::open_to_others(store.directory()) {
        tracing::warn!(path = %path.display(), mode = format!("{mode:04o}"), "others can use this file: chmod go-rwx");
    }
    unpayable::warn(&config, &loaded.state);
    let closed_at: Vec<_> = sessions.iter().map(SessionService::provider).collect();
    unpayable::warn_of_open_sessions(&store.connection, &loaded.state, &closed_at)
        .map_err(|error| at_file(error.into(), &store.path))?;
    let found = start_state(&loaded);
    let options = writer_options(&config);
    // The wall clock is read again: a file of a million orders takes seconds to load.
    let clock = start_clock(&store, &loaded, config.accept_clock)?;
    if config.cluster.is_none() {
        node::refuse_alone(&store)?;
        record_losses(&mut store, &mut loaded, &clock).map_err(|error| at_file(error, &store.path))?;
    }
    let listeners = bound.map_or_else(bind, Ok)?;
    // A start that could not serve must not begin anybody's time to pay.
    let now = clock.now();
    if config.cluster.is_none()
        && resumption::record(&mut store, &mut loaded, now, options.batch_events_max)
            .map_err(|error| at_file(error, &store.path))?
    {
        tracing::warn!(
            "auctions' units were due to be offered while the server was stopped: their buyers' time to pay begins now"
        );
    }
    config.settle_public_url(listeners.public_address);
    for warning in config::warnings(&config, config::somaxconn(), descriptors_max) {
        tracing::warn!("{warning}");
    }
    config::settle_connections_max(&mut config, descriptors_max);

    let node = node::join(&mut config, &store, &listeners)?;
    if node.is_some() {
        // The log has what the file lacks. An event that only this file had would be in no other node's.
        let mark = store.mark(loaded.state.seq(), loaded.link, loaded.state.seq());
        store.watermark.establish(&mark).map_err(|error| at_file(error, &store.path))?;
    }
    let meter = WriterMeter::new(&telemetry, WriterLabels { commands: &COMMAND_NAMES, outcomes: &OUTCOME_NAMES });
    let gate = Arc::new(SnapshotGate::default());
    let mismatched = loaded.state.drops().filter(|entry| entry.mismatch).map(|entry| entry.id).collect();
    let (epoch, note) = (store.epoch, NoteKeeper::new(&store));
    let series = NumberSeries::of(&store.file_id, epoch);
    let mut backup = BackupParts::of(&store, &config.backup, config.free_bytes_min, &telemetry);
    let reader = Reader::open(&store.path, Arc::clone(&gate)).map_err(|error| read_fault(&store.path, error))?;
    let capture = capture_file::begin(&config, &store, &loaded.state, &reader, &telemetry)?;
    let (mut writer, mut handle) = Writer::new(store, loaded, Arc::new(clock), gate, meter, options);
    handle.node = view;
    let (handle, node_thread) = match node {
        Some(NodeStart { parts, thread }) => (writer.replicate(parts, handle), Some(thread)),
        None => (handle, None),
    };
    backup.node.clone_from(&handle.node);
    let operators = Arc::clone(&admission.operators);
    writer.rescue_with(Box::new(move || operators.file_content()));
    let recorder = capture.map(|capture| {
        writer.capture(capture.tap);
        capture.thread
    });
    let thread = std::thread::Builder::new()
        .name("fc-writer".into())
        .spawn(move || writer.run(on_fault))
        .map_err(|error| Exit::system(format!("the writer's thread could not start: {error}")))?;
    let egress = outbox.client.clone();
    let relay = relay(outbox, &reader, &handle, &telemetry, &config.public_url)?;
    let on_mismatch = mismatch_hook(handle.clone());
    let (public_url, session_reader) = (config.public_url.clone(), reader.clone());
    let refused = Arc::default();
    let (session_telemetry, shown) = (Arc::clone(&telemetry), Arc::clone(&telemetry));
    let (access_log, access_thread) = access_log(&config, &telemetry)?.unzip();
    let parts = ServerParts {
        config,
        epoch,
        series,
        reader,
        admission,
        verifiers,
        refused_sessions: Arc::clone(&refused),
        refund_states: RefundService::states(&refunds),
        tls,
        egress,
        prometheus,
        telemetry,
        access_log,
        backups: Arc::clone(&backup.requests),
        writer: handle.clone(),
        note,
        mismatched,
        on_mismatch,
    };
    let server =
        ServerThreads::start(listeners, parts).map_err(|error| Exit::new(error.exit_code(), error.to_string()))?;
    let backup =
        backup.start().map_err(|error| Exit::system(format!("the thread of backups could not start: {error}")))?;
    let (reader, writer, telemetry) = (session_reader, handle.clone(), session_telemetry);
    let parts =
        RefundDependencies { reader: reader.clone(), writer: writer.clone(), telemetry: Arc::clone(&telemetry) };
    let refunds = refunds
        .into_iter()
        .map(|refunds| refunds.start(parts.clone()))
        .collect::<Result<_, _>>()
        .map_err(|error| Exit::system(format!("the thread of refunds could not start: {error}")))?;
    let parts = sessions::SessionDependencies { reader, writer, public_url, telemetry, series, refused };
    let sessions = sessions
        .into_iter()
        .map(|sessions| sessions.start(parts.clone()))
        .collect::<Result<_, _>>()
        .map_err(|error| Exit::system(format!("the thread of payment sessions could not start: {error}")))?;
    Ok(RunningServer {
        server,
        writer: handle,
        found,
        telemetry: shown,
        thread,
        recorder,
        sessions,
        refunds,
        relay,
        access_log: access_thread,
        node: node_thread,
        backup,
    })
}

/// The objects made of the files that the configuration names.
struct OpenedFiles {
    admission: Admission,
    tls: Tls,
    verifiers: WebhookVerifiers,
    sessions: Vec<SessionService>,
    refunds: Vec<RefundService>,
    outbox: OutboxSetup,
    prometheus: Option<PrometheusClient>,
}

/// Returns the mistakes of the files that the settings name, one line each: tokens, certificates, keys and secrets.
#[must_use]
pub fn mistakes_of_files(config: &Config) -> Vec<String> {
    let mut config = config.clone();
    // Half a pair is a mistake of the settings.
    let is_whole =
        |files: &mut TlsFiles| ![&files.certificate, &files.key].iter().any(|path| path.as_os_str().is_empty());
    for files in [&mut config.public_tls, &mut config.admin_tls, &mut config.wire_tls] {
        files.take_if(|files| !is_whole(files));
    }
    match open_configured_files(&config, &Telemetry::new(), wall_clock()) {
        Ok(_) => Vec::new(),
        Err(exit) => exit.message.lines().map(String::from).collect(),
    }
}

/// Reads tokens, certificates, and secrets of payment providers and of the outbox.
fn open_configured_files(config: &Config, telemetry: &Telemetry, wall: UnixMillis) -> Result<OpenedFiles, Exit> {
    let admission = Admission::open(config, telemetry, wall);
    let tls = Tls::open(config, telemetry);
    let (verifiers, sessions) = (WebhookVerifiers::open(config), SessionService::open(config));
    let refunds = RefundService::open(config);
    let cluster = config.cluster.as_ref().map(ClusterConfig::mistakes_of_files).filter(|found| !found.is_empty());
    let prometheus = PrometheusClient::open(&config.prometheus_url).map_err(|mistake| vec![mistake]);
    match (admission, tls, verifiers, sessions, refunds, OutboxSetup::open(config), prometheus) {
        (Ok(admission), Ok(tls), Ok(verifiers), Ok(sessions), Ok(refunds), Ok(outbox), Ok(prometheus))
            if cluster.is_none() =>
        {
            Ok(OpenedFiles { admission, tls, verifiers, sessions, refunds, outbox, prometheus })
        }
        (admission, tls, verifiers, sessions, refunds, outbox, prometheus) => {
            let (sessions, refunds) = (sessions.err(), refunds.err());
            let (outbox, prometheus) = (outbox.err(), prometheus.err());
            let mistakes =
                [admission.err(), tls.err(), verifiers.err(), sessions, refunds, outbox, prometheus, cluster];
            let mut lines: Vec<String> =
                mistakes.into_iter().flatten().flatten().map(|mistake| mistake.to_string()).collect();
            // A checksum key of PayOS is read for its webhooks and for its sessions: one line is enough.
            let mut seen = std::collections::BTreeSet::new();
            lines.retain(|line| seen.insert(line.clone()));
            Err(Exit::usage(lines.join("\n")))
        }
    }
}

fn start_state(loaded: &Loaded) -> StartState {
    let state = &loaded.state;
    let live = || state.drops().filter(|entry| entry.started && !entry.ended && !entry.paused);
    StartState {
        drops_live: live().count(),
        newest_live: live().last().map(|entry| entry.id),
        orders_live: state.orders_in_memory(),
        seq: state.seq().get(),
        at: state.at(),
    }
}

/// Wall clocks at which a server may start: from 1970-01-02, after which HTTP has dates, to the year 9000, which leaves
/// room for every end of a reservation. In milliseconds since 1970.
const WALL_CLOCK: RangeInclusive<i64> = 86_400_000..=221_845_392_000_000;

/// Refuses a wall clock that no machine in order has; `--accept-clock` does not allow it either.
fn check_wall_clock(wall: UnixMillis) -> Result<(), Exit> {
    if WALL_CLOCK.contains(&wall.get()) {
        return Ok(());
    }
    Err(Exit::clock(format!("the wall clock of this machine says {}; set it, and start again", rfc3339(wall))))
}

/// Starts the clock, if the wall clock agrees with what the last run knew.
fn start_clock(store: &Store, loaded: &Loaded, accept: bool) -> Result<Clock, Exit> {
    let evidence = StartEvidence {
        last_event: loaded.state.at(),
        kept: store.clock_file.as_ref().and_then(ClockFile::read),
        orders_live: loaded.state.orders_in_memory() > 0,
        anything_due: loaded.state.next_due().is_some(),
    };
    let now = ClockReading::take();
    check_wall_clock(now.wall)?;
    if accept {
        tracing::warn!(
            "clock.accept is set: this start does not compare the wall clock with the file; unset it after one start"
        );
    }
    let clock = Clock::start(&evidence, &now, accept).map_err(|error| Exit::clock(error.to_string()))?;
    if let Some(believed) = evidence.by_boot_clock(&now).filter(|_| !accept) {
        let seconds = now.wall.since(believed) / 1000;
        tracing::error!(
            seconds,
            "the wall clock is ahead of the clock of this boot since the last run: decisions go on by that one, so that no \
             reservation ends early; set the wall clock, or start with --accept-clock if it is right"
        );
    }
    let ahead_ms = clock.at(now.monotonic).since(now.wall);
    if ahead_ms > CLOCK_AHEAD_LOGGED_MS {
        let seconds = ahead_ms / 1000;
        tracing::error!(
            seconds,
            "the clock of decisions is ahead of the wall clock: it cannot go back behind the last event; drops, auctions \
             and reservations begin and end this many seconds early: see FirstcomeClockOff"
        );
    }
    keep_and_sync(store.clock_file.as_ref(), &clock, &now);
    Ok(clock)
}

fn writer_options(config: &Config) -> WriterOptions {
    WriterOptions {
        queue_capacity: config.queue_capacity,
        queue_reserve: config.queue_reserve,
        queue_wait_max: config.queue_wait_max,
        batch_commands_max: config.batch_commands_max,
        batch_events_max: node::batch_events_max(config),
        durability: match &config.cluster {
            Some(_) => Durability::Interval(NODE_SYNC_INTERVAL),
            None if config.durability_full => Durability::Full,
            None => Durability::Interval(config.sync_interval),
        },
        affinity: match config.pin_core {
            PinCore::Auto => CpuAffinity::Auto,
            PinCore::Off => CpuAffinity::Off,
            PinCore::Core(core) => CpuAffinity::Core(core),
        },
        checkpoint: CheckpointLimits {
            passive_bytes: config.checkpoint_wal_bytes,
            reset_bytes: config.reset_wal_bytes,
            gate_max: config.reset_gate,
        },
        free_bytes_min: config.free_bytes_min,
        // One more for the query thread.
        mailboxes: config.serving_threads().saturating_add(1),
    }
}

/// Starts the access log on standard output, if one is configured.
fn access_log(config: &Config, telemetry: &Telemetry) -> Result<Option<(AccessLog, AccessLogThread)>, Exit> {
    let AccessLogSettings { one_in, queue_lines } = config.access_log;
    if one_in == 0 {
        return Ok(None);
    }
    let options = AccessLogOptions { one_in, queue_lines, json: config.log_json };
    let started = access_log::start(options, telemetry, std::io::stdout());
    started.map(Some).map_err(|error| Exit::system(format!("the thread of the access log could not start: {error}")))
}

fn read_fault(path: &Path, error: rusqlite::Error) -> Exit {
    let error = advice::named(path, None, error.into());
    Exit::new(error.exit_code(), error.told(path))
}

/// Starts the outbox, after the endpoints of the configuration are stored.
fn relay(
    outbox: OutboxSetup,
    reader: &Reader,
    writer: &WriterHandle,
    telemetry: &Arc<Telemetry>,
    public_url: &str,
) -> Result<Relay, Exit> {
    let endpoints = reader.read(outbox_rows::endpoints);
    let endpoints = endpoints.map_err(|error| read_fault(reader.path(), error))?;
    // A node's endpoints are in the log, so every leader has them.
    if writer.node.is_none() {
        outbox.apply(&endpoints, writer).map_err(Exit::usage)?;
    }
    let parts = outbox.into_relay(reader.clone(), writer.clone(), Arc::clone(telemetry), public_url);
    Relay::start(parts).map_err(|message| Exit::system(format!("the outbox could not start: {message}")))
}

/// Returns the auditor's hook, which pauses a drop, or allows it to be resumed, by a command like any other.
fn mismatch_hook(writer: WriterHandle) -> MismatchHook {
    Arc::new(move |drop_id, stands| {
        let command = Command::Drop(DropCommand::ReportMismatch { drop_id, stands });
        writer.may_act() && writer.submit(Submission { command, private_data: None, class: Class::Operator }).is_ok()
    })
}

/// Raises the limit of open descriptors to the system's maximum, since each connection needs one; returns the limit.
fn raise_descriptor_limit() -> Option<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "raising the limit of open descriptors failed");
    }
    getrlimit(Resource::Nofile).current
}

impl RunningServer {
    /// Stops the server in order: workers first, then the writer, which decides accepted commands, commits and checkpoints.
    ///
    /// # Errors
    /// If the writer ended in a fault.
    pub fn stop(self) -> Result<(), Exit> {
        self.server.stop();
        self.backup.stop();
        if let Some(access_log) = self.access_log {
            access_log.stop();
        }
        for sessions in self.sessions {
            sessions.stop();
        }
        for refunds in self.refunds {
            refunds.stop();
        }
        self.relay.stop();
        self.writer.stop();
        let stopped = self.thread.join();
        if let Some(node) = self.node {
            node.stop();
        }
        if let Some(recorder) = self.recorder {
            // The recorder has logged how it ended.
            let _panicked = recorder.join();
        }
        match stopped {
            Ok(WriterExit::Orderly) => Ok(()),
            Ok(WriterExit::Fault { message, exit_code }) => Err(Exit::new(exit_code, message)),
            Err(_) => Err(Exit::bug("the writer's thread panicked")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_before_all_http_dates_or_at_the_end_of_time_is_refused() {
        for (wall, fits) in [(0, false), (86_400_000, true), (1_800_000_000_000, true), (221_845_392_000_001, false)] {
            assert_eq!(check_wall_clock(UnixMillis::new(wall).expect("in range")).is_ok(), fits, "{wall}");
        }
    }
}
