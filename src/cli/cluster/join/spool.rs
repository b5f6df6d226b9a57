//! Entries of the log in a file, from the moment at which a join begins: the log itself may overwrite them before the copy
//! is there.
//!
//! Each record is the length of an entry, four bytes, and its bytes. The file is its owner's alone, and ends with the join.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use crate::config::ClusterConfig;
use crate::exit::Exit;
use crate::log::etcd::EtcdLog;
use crate::log::etcd_connect::open_log;
use crate::log::{ENTRY_BYTES_MAX, Entry, EntryError, Head, LogAnswer, LogRequest};
use crate::store::chain::ChainLink;
use crate::store::ownership::open_new_private;

/// Most bytes of entries that are kept: at 20 MB/s, which is etcd's limit, a copy of half an hour.
const BYTES_MAX: u64 = 36 << 30;
/// Entries before the head that are kept, too: far more than a follower in order is behind, and soon read.
const BACKLOG: u64 = 256;
/// Interval of looks for the next entry, a follower's own.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The entries, while a thread goes on to keep them.
pub(super) struct Spool {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    file: File,
    /// Number of the next entry in the file.
    next: u64,
}

struct Shared {
    /// Number of the last entry in the file.
    last: AtomicU64,
    stopping: AtomicBool,
    /// The reason why no more entries are kept.
    failed: Mutex<Option<String>>,
}

impl Spool {
    /// Begins to keep the entries after a head of the log, and some before it: the node that is copied is a little behind.
    pub(super) fn begin(cluster: &ClusterConfig, slots: u64, head: Head, path: PathBuf) -> Result<Spool, Exit> {
        let failed = |error: std::io::Error| Exit::disk(format!("{}: {error}", path.display()));
        let writing = open_new_private(&path).map_err(failed)?;
        let file = File::open(&path).map_err(failed)?;
        let before_first = head.number.saturating_sub(BACKLOG.min(slots / 4));
        let shared = Arc::new(Shared {
            last: AtomicU64::new(before_first),
            stopping: AtomicBool::new(false),
            failed: Mutex::default(),
        });
        let keeper = Keeper { shared: Arc::clone(&shared), file: writing, link: None, bytes: 0 };
        let cluster = cluster.clone();
        let thread = std::thread::Builder::new().name("fc-spool".into());
        let thread = thread.spawn(move || keeper.run(&cluster, slots));
        let thread = thread.map_err(|error| Exit::system(format!("the spool's thread could not start: {error}")))?;
        Ok(Spool { shared, thread: Some(thread), file, next: before_first.saturating_add(1) })
    }

    /// Returns an entry, and waits until it is there. `None` if it is older than the first.
    pub(super) fn read(&mut self, number: u64) -> Result<Option<Vec<u8>>, Exit> {
        if number < self.next {
            return Ok(None);
        }
        while self.shared.last.load(Ordering::Acquire) < number {
            if let Some(reason) = self.shared.failed.lock().clone() {
                return Err(Exit::unavailable(format!("{reason}: run the same command again")));
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
        loop {
            let bytes = self.record().map_err(|error| Exit::disk(format!("the kept entries: {error}")))?;
            let found = self.next;
            self.next = found.saturating_add(1);
            if found == number {
                return Ok(Some(bytes));
            }
        }
    }

    fn record(&mut self) -> std::io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.file.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX).min(ENTRY_BYTES_MAX);
        let mut bytes = vec![0; length];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Ends the thread.
    pub(super) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.end();
    }
}

/// The thread's part.
struct Keeper {
    shared: Arc<Shared>,
    file: File,
    /// The link of the last entry; `None` before the first.
    link: Option<ChainLink>,
    bytes: u64,
}

/// The content of a slot of the log.
enum Found {
    Kept,
    /// The entry has not been made, or no member answers.
    NotYet,
    /// The copy is damaged: another member is asked.
    Doubted,
}

impl Keeper {
    fn run(mut self, cluster: &ClusterConfig, slots: u64) {
        let failed = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(self.keep(cluster, slots)).err(),
            Err(error) => Some(format!("no runtime: {error}")),
        };
        *self.shared.failed.lock() = failed;
    }

    async fn keep(&mut self, cluster: &ClusterConfig, slots: u64) -> Result<(), String> {
        let log = open_log(cluster, slots).await.map_err(|mistake| mistake.to_string())?;
        let mut elsewhere = false;
        while !self.shared.stopping.load(Ordering::Relaxed) {
            match self.keep_next(&log, elsewhere).await? {
                Found::Kept => elsewhere = false,
                Found::Doubted => {
                    elsewhere = !elsewhere;
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Found::NotYet => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
        Ok(())
    }

    async fn keep_next(&mut self, log: &EtcdLog, elsewhere: bool) -> Result<Found, String> {
        let number = self.shared.last.load(Ordering::Relaxed).saturating_add(1);
        let LogAnswer::Entry(bytes) = log.carry_out(&LogRequest::Read { number, elsewhere }).await else {
            return Ok(Found::NotYet);
        };
        if bytes.is_empty() {
            return Ok(Found::NotYet);
        }
        let entry = match Entry::decode(&bytes) {
            Ok(entry) => entry,
            Err(error @ EntryError::Newer { .. }) => return Err(error.to_string()),
            Err(EntryError::Damaged | EntryError::Malformed(_) | EntryError::TooLong { .. }) => {
                return Ok(Found::Doubted);
            }
        };
        if entry.number < number {
            return Ok(Found::NotYet);
        }
        if entry.number > number {
            return Err(format!("the log has overwritten entry {number} before it was kept"));
        }
        if self.link.is_some_and(|link| link != entry.before) {
            return Ok(Found::Doubted);
        }
        self.write(&bytes)?;
        self.link = Some(entry.link);
        self.shared.last.store(number, Ordering::Release);
        Ok(Found::Kept)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.bytes = self.bytes.saturating_add(u64::from(length)).saturating_add(4);
        if self.bytes > BYTES_MAX {
            return Err(format!("the entries that came during the copy have more than {BYTES_MAX} bytes"));
        }
        let written = self.file.write_all(&length.to_le_bytes()).and_then(|()| self.file.write_all(bytes));
        written.map_err(|error| format!("the entries of the log cannot be kept: {error}"))
    }
}
