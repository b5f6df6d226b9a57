//! The thread that writes a capture.
//!
//! It begins with the state of the start. After a gap it loads the state from the database, on a connection of its own,
//! so that the writer pays nothing for it: every commit is a boundary of a batch, so the first batch that begins where
//! the loaded state ends is the one to go on with.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError, bounded};
use metrics::Counter;

use super::format::{Committed, Header, Record, RecordWriter, Recorded, digest_of};
use super::snapshot;
use super::tap::{DurableBatch, Tap, WAITING_MAX};
use crate::engine::State;
use crate::types::UnixMillis;

/// Loading a state may take this part of the time: one in so many.
const LOADING_SHARE: u32 = 20;
/// At least this long from one gap's snapshot to the next.
const LOADING_PAUSE: Duration = Duration::from_secs(1);
/// The most names that are tried for a file: `sale.capture`, then `sale.capture.1` and so on.
const NAMES_MAX: u32 = 1000;
/// Batches that may wait; what they weigh is bounded by [`WAITING_MAX`].
const BATCHES_MAX: usize = 4096;
/// Only its owner may read a capture: it tells when who ordered how often.
const MODE: u32 = 0o600;

/// Loads the state from the database; what went wrong in words.
pub type Load = Box<dyn FnMut() -> Result<State, String> + Send>;

/// The bounds of a capture.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest file; then the capture ends.
    pub bytes_max: u64,
    /// Commands and events that may wait for the recorder.
    pub waiting_max: usize,
    /// At least this long from one gap's snapshot to the next.
    pub load_pause: Duration,
}

impl Limits {
    /// With room for a file of this length.
    #[must_use]
    pub const fn of_bytes(bytes_max: u64) -> Limits {
        Limits { bytes_max, waiting_max: WAITING_MAX, load_pause: LOADING_PAUSE }
    }
}

enum Mode {
    /// Every batch follows the one before.
    Following,
    /// Commands are missing; a snapshot is to come.
    Behind { dropped: u64 },
    /// The state is loaded; it waits for the batch that begins where it ends.
    Loaded { state: Box<State>, dropped: u64 },
}

/// The recorder before it runs.
pub struct CaptureRecorder {
    output: RecordWriter<BufWriter<File>>,
    path: PathBuf,
    receiver: Receiver<DurableBatch>,
    waiting: Arc<AtomicUsize>,
    limits: Limits,
    dropped: Counter,
    load: Load,
    mode: Mode,
    load_next: Instant,
    at: UnixMillis,
}

/// Begins a capture with the state from which the writer starts: the writer's end, and the recorder, whose
/// [`CaptureRecorder::run`] wants a thread. Never overwrites a file: if there is one, the next free name is taken.
///
/// # Errors
/// If the file cannot be made or written.
pub fn begin(
    path: &Path,
    header: Header,
    state: &State,
    limits: Limits,
    dropped: Counter,
    load: Load,
) -> io::Result<(Tap, CaptureRecorder)> {
    let (file, path) = make(path)?;
    let mut output = RecordWriter::begin(BufWriter::with_capacity(1 << 16, file), &header)?;
    snapshot::write(state, &mut output)?;
    output.flush()?;
    let (sender, receiver) = bounded(BATCHES_MAX);
    let waiting = Arc::new(AtomicUsize::new(0));
    let tap = Tap {
        sender,
        waiting: Arc::clone(&waiting),
        waiting_max: limits.waiting_max,
        dropped: dropped.clone(),
        noted: Vec::new(),
        seq: state.seq(),
        clean: true,
        gap: None,
    };
    let (mode, load_next, at) = (Mode::Following, Instant::now(), state.at());
    Ok((tap, CaptureRecorder { output, path, receiver, waiting, limits, dropped, load, mode, load_next, at }))
}

fn make(path: &Path) -> io::Result<(File, PathBuf)> {
    let mut tried = path.to_path_buf();
    for number in 1..=NAMES_MAX {
        match OpenOptions::new().write(true).create_new(true).mode(MODE).open(&tried) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < NAMES_MAX => {
                let mut name = path.as_os_str().to_owned();
                name.push(format!(".{number}"));
                tried = name.into();
            }
            made => return made.map(|file| (file, tried)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

impl CaptureRecorder {
    /// Returns the file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Records until the writer is gone, the file is full, or the disk fails: selling goes on without it.
    pub fn run(mut self) {
        let path = self.path.display().to_string();
        match self.record_all() {
            Ok(true) => tracing::info!(path, bytes = self.output.written(), "the capture is complete"),
            Ok(false) => tracing::warn!(path, bytes = self.output.written(), "the capture is full: it ends here"),
            Err(error) => tracing::error!(path, %error, "the capture cannot be written: it ends here"),
        }
    }

    fn record_all(&mut self) -> io::Result<bool> {
        loop {
            let batch = match self.receiver.try_recv() {
                Ok(batch) => batch,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    self.output.flush()?;
                    match self.receiver.recv() {
                        Ok(batch) => batch,
                        Err(_) => break,
                    }
                }
            };
            let weight = batch.weight();
            if self.output.written() >= self.limits.bytes_max {
                self.dropped.increment(batch.noted.len() as u64);
                self.output.flush()?;
                return Ok(false);
            }
            self.record(batch)?;
            self.waiting.fetch_sub(weight, Ordering::Relaxed);
        }
        if let Mode::Behind { dropped } | Mode::Loaded { dropped, .. } = self.mode {
            self.output.write(&Record::Gap(dropped))?;
        }
        self.output.flush()?;
        Ok(true)
    }

    fn record(&mut self, batch: DurableBatch) -> io::Result<()> {
        if let Some(more) = batch.gap {
            self.mode = match std::mem::replace(&mut self.mode, Mode::Following) {
                Mode::Following => Mode::Behind { dropped: more },
                Mode::Behind { dropped } => Mode::Behind { dropped: dropped.saturating_add(more) },
                Mode::Loaded { state, dropped } => Mode::Loaded { state, dropped: dropped.saturating_add(more) },
            };
        }
        if let Mode::Behind { dropped } = self.mode
            && Instant::now() >= self.load_next
        {
            self.load_state(dropped);
        }
        match std::mem::replace(&mut self.mode, Mode::Following) {
            Mode::Following => self.write(batch),
            // Behind a batch without events that was left out, memory may hold an order that the loaded state lacks.
            Mode::Loaded { state, dropped } if batch.before == state.seq() && batch.was_clean => {
                self.output.write(&Record::Gap(dropped))?;
                snapshot::write(&state, &mut self.output)?;
                self.at = state.at();
                self.write(batch)
            }
            // It is in the loaded state already, or changed nothing.
            Mode::Loaded { state, dropped } if batch.after <= state.seq() => {
                let dropped = self.leave_out(&batch, dropped);
                self.mode = Mode::Loaded { state, dropped };
                Ok(())
            }
            Mode::Loaded { dropped, .. } | Mode::Behind { dropped } => {
                self.mode = Mode::Behind { dropped: self.leave_out(&batch, dropped) };
                Ok(())
            }
        }
    }

    fn leave_out(&mut self, batch: &DurableBatch, dropped: u64) -> u64 {
        let commands = batch.noted.len() as u64;
        self.dropped.increment(commands);
        dropped.saturating_add(commands)
    }

    fn load_state(&mut self, dropped: u64) {
        let started = Instant::now();
        match (self.load)() {
            Ok(state) => self.mode = Mode::Loaded { state: Box::new(state), dropped },
            Err(error) => tracing::warn!(error, "the capture has a gap, and the state cannot be loaded yet"),
        }
        let pause = started.elapsed().saturating_mul(LOADING_SHARE).max(self.limits.load_pause);
        self.load_next = Instant::now() + pause;
    }

    fn write(&mut self, batch: DurableBatch) -> io::Result<()> {
        let mut first = 0;
        for noted in batch.noted {
            let events = batch.events.get(first..noted.events_until).unwrap_or_default();
            first = noted.events_until;
            self.output.write(&Record::Decided(Box::new(Recorded {
                at: noted.at,
                command: noted.command,
                admitted: noted.admitted,
                outcome: noted.outcome,
                events: digest_of(events),
            })))?;
        }
        let rest = batch.events.get(first..).unwrap_or_default();
        self.at = batch.events.last().map_or(self.at, |event| event.at);
        self.output.write(&Record::Committed(Committed {
            seq: batch.after,
            at: self.at,
            events: digest_of(rest),
            released: !batch.events.is_empty(),
        }))
    }
}
