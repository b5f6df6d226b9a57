//! The thread of backups: makes those that operators want, and those of the schedule, at the lowest priority.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge};

use crate::config::BackupSettings;
use crate::store::backup_file::{self, BackupPlan, MadeBackup};
use crate::store::backup_requests::{BackupOrder, BackupRequests, BackupResult};
use crate::store::live_copy::LiveCopy;
use crate::store::{Store, StoreError};
use crate::telemetry::{PanicMeter, Telemetry, catalogue as metric};
use crate::types::UnixMillis;
use crate::writer::NodeView;
use crate::writer::clock::wall_clock;

/// Interval of looks at the schedule.
const LOOK: Duration = Duration::from_secs(1);
/// Shortest pause between two attempts by schedule: one that fails at once is not tried all the time.
const RETRY_MIN: Duration = Duration::from_secs(60);
/// The lowest priority (nice): a copy takes a core only where the sale leaves it one.
const NICE: i32 = 19;

/// The running thread.
pub(super) struct BackupThread {
    requests: Arc<BackupRequests>,
    thread: JoinHandle<()>,
}

/// The parts that the thread uses.
pub(super) struct BackupParts {
    pub(super) requests: Arc<BackupRequests>,
    pub(super) source: Arc<LiveCopy>,
    pub(super) file_id: [u8; 16],
    pub(super) settings: BackupSettings,
    pub(super) free_bytes_min: u64,
    pub(super) node: Option<Arc<NodeView>>,
    pub(super) telemetry: Arc<Telemetry>,
}

impl BackupParts {
    /// Returns the parts for an open database. The node is set once it is known.
    pub(super) fn of(
        store: &Store,
        settings: &BackupSettings,
        free_bytes_min: u64,
        telemetry: &Arc<Telemetry>,
    ) -> BackupParts {
        BackupParts {
            requests: Arc::new(BackupRequests::of(store.file_id)),
            source: Arc::clone(&store.live_copy),
            file_id: store.file_id,
            settings: settings.clone(),
            free_bytes_min,
            node: None,
            telemetry: Arc::clone(telemetry),
        }
    }

    /// Starts the thread.
    pub(super) fn start(self) -> std::io::Result<BackupThread> {
        let panics = PanicMeter::new(&self.telemetry, "fc-backup");
        let requests = Arc::clone(&self.requests);
        let thread = std::thread::Builder::new().name("fc-backup".into()).spawn(move || {
            if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                tracing::warn!(%error, "backups have the priority of the sale");
            }
            let mut backups = BackupLoop::new(&self);
            panics.restart_until(|| self.requests.stopping.load(Ordering::Relaxed), || backups.run());
        })?;
        Ok(BackupThread { requests, thread })
    }
}

impl BackupThread {
    /// Ends a backup under way, of which nothing is left, and the thread.
    pub(super) fn stop(self) {
        self.requests.stop();
        if self.thread.join().is_err() {
            tracing::error!("the backup thread panicked");
        }
    }
}

/// The figures of backups.
struct Meter {
    last_at: Gauge,
    seconds: Gauge,
    bytes: Gauge,
    interval: Gauge,
    made: Counter,
    failed: Counter,
}

/// The loop of the thread.
struct BackupLoop<'a> {
    parts: &'a BackupParts,
    meter: Meter,
    /// Instant of the newest backup of the schedule.
    newest: Option<UnixMillis>,
    tried: Option<Instant>,
    has_begun: bool,
}

impl<'a> BackupLoop<'a> {
    fn new(parts: &'a BackupParts) -> BackupLoop<'a> {
        let telemetry = &parts.telemetry;
        let count = |result| telemetry.counter(&metric::BACKUPS, &[("result", result)]);
        let gauge = |metric| telemetry.gauge(metric, &[]);
        let meter = Meter {
            last_at: gauge(&metric::BACKUP_LAST),
            seconds: gauge(&metric::BACKUP_SECONDS),
            bytes: gauge(&metric::BACKUP_BYTES),
            interval: gauge(&metric::BACKUP_INTERVAL),
            made: count("made"),
            failed: count("failed"),
        };
        let newest = parts.settings.directory.as_ref().and_then(|at| backup_file::newest(at, parts.file_id));
        // A server that has none yet counts from its start.
        meter.last_at.set(newest.unwrap_or(wall_clock()).get() as f64 / 1000.0);
        BackupLoop { parts, meter, newest, tried: None, has_begun: false }
    }

    fn run(&mut self) {
        // A panic has ended the one before. An order may have come before the first run.
        if std::mem::replace(&mut self.has_begun, true) {
            self.parts.requests.fail_running(wall_clock());
        }
        while !self.parts.requests.stopping.load(Ordering::Relaxed) {
            match self.parts.requests.wait(LOOK) {
                Some(order) => drop(self.make(&order)),
                None => self.keep_schedule(),
            }
        }
    }

    /// Makes a backup by schedule if one is due, and removes the oldest.
    fn keep_schedule(&mut self) {
        let settings = &self.parts.settings;
        let Some(directory) = settings.directory.as_ref().filter(|_| self.is_due()) else { return };
        if !directory.is_dir() {
            // Its name is not taken for that of a file: a disk that is not mounted yet has its backups when it is.
            self.tried = Some(Instant::now());
            self.meter.failed.increment(1);
            tracing::error!(
                path = %directory.display(),
                "no backup was made; the sale goes on: backup.directory is missing: make it, as the server's user"
            );
            return;
        }
        let order = BackupOrder { to: directory.clone(), packing: settings.packing };
        if self.parts.requests.begin(order, wall_clock()).is_none() {
            return;
        }
        let Some(order) = self.parts.requests.wait(Duration::ZERO) else { return };
        self.tried = Some(Instant::now());
        if self.make(&order) {
            self.newest = Some(wall_clock());
            if let Err(error) = backup_file::prune(directory, self.parts.file_id, settings.keep) {
                tracing::error!(%error, "an old backup is not removed");
            }
        }
    }

    fn is_due(&self) -> bool {
        let settings = &self.parts.settings;
        let leaves_it = !settings.at_leader && self.parts.node.as_ref().is_some_and(|node| node.may_lead());
        self.meter.interval.set(if leaves_it { 0.0 } else { settings.every_seconds as f64 });
        let waits =
            self.tried.is_some_and(|at| at.elapsed() < RETRY_MIN.min(Duration::from_secs(settings.every_seconds)));
        if settings.every_seconds == 0 || waits || leaves_it {
            return false;
        }
        let age_ms = self.newest.map_or(i64::MAX, |at| wall_clock().get().saturating_sub(at.get()));
        // A clock that was set back does not put the next one off.
        age_ms < 0 || u64::try_from(age_ms).unwrap_or(0) / 1000 >= settings.every_seconds
    }

    /// Makes a backup, tells its end, and returns whether it is whole.
    fn make(&mut self, order: &BackupOrder) -> bool {
        let began = Instant::now();
        let result = self.try_make(order);
        self.meter.seconds.set(began.elapsed().as_secs_f64());
        let at = wall_clock();
        match result {
            Ok(made) => {
                self.meter.made.increment(1);
                self.meter.last_at.set(at.get() as f64 / 1000.0);
                self.meter.bytes.set(made.bytes as f64);
                tracing::info!(
                    path = %made.path.display(), seq = made.seq.get(), bytes = made.bytes,
                    took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX), "backup made and verified"
                );
                self.parts.requests.end(BackupResult::Made { at, made });
                true
            }
            Err(error) => {
                let error = error.told(&order.to);
                if !self.parts.requests.stopping.load(Ordering::Relaxed) {
                    self.meter.failed.increment(1);
                    tracing::error!(error, "no backup was made; the sale goes on");
                }
                self.parts.requests.end(BackupResult::Failed { at, error });
                false
            }
        }
    }

    fn try_make(&self, order: &BackupOrder) -> Result<MadeBackup, StoreError> {
        let plan = BackupPlan {
            to: PathBuf::from(&order.to),
            packing: order.packing,
            free_bytes_min: self.parts.free_bytes_min,
            bytes_per_second: self.parts.settings.bytes_per_second,
            now: wall_clock(),
        };
        backup_file::make(&self.parts.source, self.parts.file_id, &plan, &self.parts.requests.stopping)
    }
}
