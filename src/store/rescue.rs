//! The rescue of a file that was lost under the running server: SQLite still has it open, with everything that was
//! acknowledged, until the process ends. Its content is copied out to a new directory, which can be served.
//!
//! While there is no place for the copy, such as on a full disk, the process must not end: the open files are all there is.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{ErrorCode, ffi, params};

use super::beside;
use super::chain::ChainLink;
use super::fault_marker::FaultMarker;
use super::kept_tokens::KeptTokens;
use super::lock::sync_directory;
use super::open::{DATABASE_FILE, last_link};
use super::open_files::Lost;
use super::ownership::{create_private_directory, open_private};
use super::verify;
use super::watermark::{WATERMARK_FILE, Watermark, WatermarkRecord};
use super::{Store, StoreError};
use crate::failpoints::{self, Bug};
use crate::sqlite::{self, Access};
use crate::types::{Seq, UnixMillis};

pub mod found;

/// Bytes beside the database that a copy takes: its watermark, directory and fault marker.
const SMALL_FILES_BYTES: u64 = 65_536;
/// Bytes of one read of the raw copy.
const CHUNK_BYTES: usize = 1 << 20;
/// Pause between looks for a place. A copy that failed although there was space is tried again after ten times its
/// duration.
const RETRY: Duration = Duration::from_secs(1);
const SLOW_DOWN: u32 = 10;
/// Interval of the line that tells what is needed.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// A rescue under way.
pub struct Rescue {
    lost: Lost,
    /// Last event whose outcome was sent.
    acknowledged: u64,
    targets: Vec<PathBuf>,
    /// Tokens of operators, whose file is lost with the directory.
    tokens: KeptTokens,
    /// Last event of the copy, and the link of the chain that ends with it.
    kept: Option<(Seq, ChainLink)>,
    not_before: Option<Instant>,
    said: Option<Instant>,
}

/// Reason of a copy that was not made.
enum Failure {
    /// No space, no permission, no directory: another attempt may succeed.
    NoPlace { why: String, lack: Lack },
    /// Not all of the open files can be read.
    Unreadable(String),
    /// A copy of the open files was made and stays, but it does not have everything, or has a problem.
    Unverified(String),
}

/// The part of a place for a copy that is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lack {
    Space,
    /// This user may not write there, or no user may.
    Permission,
    /// The directory above is gone.
    Directory,
}

impl Lack {
    fn of(error: &StoreError) -> Lack {
        let StoreError::Io { source, .. } = error else {
            let is_denied = error.sqlite_code().is_some_and(|code| code.code == ErrorCode::PermissionDenied);
            return if is_denied { Lack::Permission } else { Lack::Space };
        };
        if matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) {
            Lack::Permission
        } else if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
            Lack::Directory
        } else {
            Lack::Space
        }
    }

    /// Returns what an operator may do, so that `target` can be made.
    fn remedy(self, target: &Path, needed: u64) -> String {
        let above = target.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new(".")).display();
        match self {
            Lack::Space => format!("free {needed} bytes in {above}"),
            Lack::Permission => {
                let user = rustix::process::geteuid().as_raw();
                format!(
                    "let user {user} make a directory in {above} (`chown`, `chmod`, `chattr -i`, or mount it read-write)"
                )
            }
            Lack::Directory => format!("make the directory {above}"),
        }
    }
}

impl Rescue {
    /// Begins the rescue; `acknowledged` is the last event whose outcome was sent.
    #[must_use]
    pub fn begin(store: &Store, lost: Lost, acknowledged: u64, operators: Option<String>, now: UnixMillis) -> Rescue {
        if !lost.content_is_safe
            && let Some(last) = store.watermark.last()
            && let Err(error) = store.watermark.write(&last)
        {
            // An older one that was written into the open file would call an older database complete.
            tracing::warn!(%error, "the watermark cannot be written again");
        }
        let (targets, tokens) = (targets(store, now), KeptTokens::of(store.directory(), operators));
        Rescue { lost, acknowledged, targets, tokens, kept: None, not_before: None, said: None }
    }

    /// Keeps what the open files hold, and returns the error that ends the server. `None` while there is no place for the
    /// copy: the process must not end, and another attempt is to follow.
    pub fn attempt(&mut self, store: &Store) -> Option<StoreError> {
        let Lost { path, what, content_is_safe } = self.lost.clone();
        let kept = if content_is_safe {
            // The watermark is to call everything synced. After a failed sync this is a fault of the disk, not a lost file.
            if let Err(error) = store.files.sync_log() {
                return Some(error);
            }
            match rewrite_watermark(store, None) {
                Ok(()) => "the database is whole: start the server again".to_string(),
                Err(error) => format!("the watermark could not be written: {error}"),
            }
        } else {
            self.keep(store)?
        };
        let directory = store.directory();
        let is_here = store.files.known().directory_is_here();
        if !content_is_safe {
            // Also if the note was removed with the directory: no empty database takes the place of this one.
            beside::write_of_a_lost_one(directory, store, self.kept, self.tokens.had());
        }
        if !content_is_safe && is_here {
            let text = format!("{} {what} while the server ran; {kept}", path.display());
            if let Err(error) = FaultMarker::open(directory).and_then(|marker| marker.raise(&text)) {
                tracing::error!(%error, "fault marker not written");
            }
        }
        Some(StoreError::FileLost { path, what, kept })
    }

    /// Copies the content to the first directory that can be made. Returns what an operator must know.
    fn keep(&mut self, store: &Store) -> Option<String> {
        let now = Instant::now();
        if self.not_before.is_some_and(|at| now < at) {
            return None;
        }
        let is_first = self.not_before.is_none();
        let needed = bytes_needed(store);
        let (mut failures, mut remedies) = (Vec::new(), Vec::new());
        for target in &self.targets {
            let free = free_bytes(target);
            if !is_first && free < needed {
                failures.push(format!("{}: {free} bytes are free", target.display()));
                remedies.push(Lack::Space.remedy(target, needed));
                continue;
            }
            match copy(store, target, self.acknowledged, &self.tokens) {
                Ok((seq, link)) => {
                    self.kept = Some((seq, link));
                    return Some(format!(
                        "everything up to event {seq} is kept in {}: run `firstcome verify --data` on it, and put it in \
                         the place of the lost one",
                        target.display()
                    ));
                }
                Err(Failure::NoPlace { why, lack }) => {
                    failures.push(format!("{}: {why}", target.display()));
                    remedies.push(lack.remedy(target, needed));
                }
                Err(Failure::Unreadable(why)) => failures.push(format!("{}: {why}", target.display())),
                Err(Failure::Unverified(why)) => {
                    return Some(format!(
                        "what the open files held is kept in {}, but it is not sound ({why}): compare it with a backup before you use either",
                        target.display()
                    ));
                }
            }
        }
        let failures = failures.join("; ");
        let remedies = remedies.join(", or ");
        if remedies.is_empty() || failpoints::enabled(Bug::EndsWithoutCopy) {
            return Some(format!(
                "what the open file held could not be kept ({failures}): restore the file or a backup"
            ));
        }
        if !store.files.known().content_is_lost() {
            // The process may end: the files are where a recovery looks for them.
            return Some(format!("no copy could be made ({failures}): {remedies}; then run `firstcome recover`"));
        }
        self.not_before = Some(Instant::now() + RETRY.max(now.elapsed() * SLOW_DOWN));
        self.say_what_is_needed(store, &remedies, &failures);
        None
    }

    fn say_what_is_needed(&mut self, store: &Store, remedies: &str, failures: &str) {
        if self.said.is_some_and(|at| at.elapsed() < SAY_AGAIN) {
            return;
        }
        self.said = Some(Instant::now());
        let Lost { path, what, .. } = &self.lost;
        tracing::error!(
            "{} {what} while the server ran, and there is no place for a copy of what was acknowledged ({failures}). Nothing is \
             sold. Do not end this process: only its open files have everything. Do one of these, and the copy is made within \
             seconds: {remedies}; or copy the files to another disk: {}",
            path.display(),
            by_hand(store, &self.tokens)
        );
    }
}

/// Returns the commands that copy the open files of this process into a directory `COPY`.
fn by_hand(store: &Store, tokens: &KeptTokens) -> String {
    let process = std::process::id();
    let content = store.files.content().map(|(name, file)| (name, file.as_raw_fd()));
    let files = content.into_iter().chain([(WATERMARK_FILE, store.watermark.descriptor())]);
    let copied = files.map(|(name, number)| format!("cp /proc/{process}/fd/{number} COPY/{name}"));
    // First: a copy that ends in the middle is closed, too.
    let lines: Vec<String> = tokens.by_hand().into_iter().chain(copied).collect();
    lines.join(" && ")
}

/// Writes the watermark of the last commit to its path, which may be lost. `synced` is the last event that is known to be on
/// the disk; `None` if all are.
pub fn rewrite_watermark(store: &Store, synced: Option<Seq>) -> Result<(), StoreError> {
    let (seq, link) = last_link(&store.connection)?;
    Watermark::open(store.directory())?.establish(&store.mark(seq, link, synced.unwrap_or(seq)))
}

/// New names for the copy: inside the directory if it is still there, and beside it.
fn targets(store: &Store, now: UnixMillis) -> Vec<PathBuf> {
    let directory = store.directory();
    let mut targets = Vec::new();
    if store.files.known().directory_is_here() {
        targets.push(directory.join(format!("rescued-{}", now.get())));
    }
    if let (Some(parent), Some(name)) = (directory.parent(), directory.file_name()) {
        targets.push(parent.join(format!("{}.rescued-{}", name.to_string_lossy(), now.get())));
    }
    targets
}

/// Returns the bytes that a copy takes at most: those of the content, or of the open files, whichever are more.
fn bytes_needed(store: &Store) -> u64 {
    let pragma = |name| store.connection.pragma_query_value::<i64, _>(None, name, |row| row.get(0)).ok();
    let logical = pragma("page_count").zip(pragma("page_size")).map(|(pages, bytes)| pages.saturating_mul(bytes));
    let files: u64 = store.files.content().iter().map(|(_, file)| file.metadata().map_or(0, |found| found.len())).sum();
    logical.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0).max(files).saturating_add(SMALL_FILES_BYTES)
}

/// Returns the free bytes of the file system that `target` would be on. If that fails, all space counts as free.
fn free_bytes(target: &Path) -> u64 {
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    rustix::fs::statvfs(parent).map_or(u64::MAX, |found| found.f_bavail.saturating_mul(found.f_frsize.max(1)))
}

/// Copies the content through SQLite; if that cannot read it, such as after its index of the log was overwritten, copies
/// the open files byte by byte. Returns the copy's last event and link. What cannot be made whole is removed; a whole copy
/// of the bytes stays whatever is wrong with it, because the open files end with the process.
fn copy(store: &Store, target: &Path, acknowledged: u64, tokens: &KeptTokens) -> Result<(Seq, ChainLink), Failure> {
    let by_sqlite = made(target, || {
        let path = target.join(DATABASE_FILE);
        open_private(&path).map_err(|source| StoreError::Io { path: path.clone(), source })?;
        store.connection.execute("VACUUM INTO ?1", params![path.to_string_lossy()])?;
        tokens.write(target)?;
        check(store, target, acknowledged)
    });
    let why = match by_sqlite {
        Err(Failure::Unreadable(why)) => why,
        made => return made,
    };
    let also = |failure| match failure {
        Failure::Unreadable(also) => Failure::Unreadable(format!("{why}; byte by byte: {also}")),
        Failure::NoPlace { .. } | Failure::Unverified(_) => failure,
    };
    made(target, || {
        copy_bytes(store, target)?;
        tokens.write(target)?;
        write_acknowledged(store, target)
    })
    .map_err(also)?;
    check(store, target, acknowledged).map_err(|error| {
        if is_of_the_place(&error) {
            let _not_made = fs::remove_dir_all(target);
            Failure::NoPlace { why: error.to_string(), lack: Lack::of(&error) }
        } else {
            Failure::Unverified(error.to_string())
        }
    })
}

/// Makes the directory `target` and its content, or neither.
fn made<T>(target: &Path, fill: impl FnOnce() -> Result<T, StoreError>) -> Result<T, Failure> {
    let fresh =
        create_private_directory(target).map_err(|source| StoreError::Io { path: target.to_path_buf(), source });
    fresh.and_then(|()| fill()).map_err(|error| {
        let _not_made = fs::remove_dir_all(target);
        if is_of_the_place(&error) {
            Failure::NoPlace { why: error.to_string(), lack: Lack::of(&error) }
        } else {
            Failure::Unreadable(error.to_string())
        }
    })
}

/// Errors of a file system that the copy is written to. A copy of the bytes has a log, whose index takes space, too.
const OF_THE_PLACE: [i32; 7] = [
    ffi::SQLITE_IOERR_WRITE,
    ffi::SQLITE_IOERR_FSYNC,
    ffi::SQLITE_IOERR_DIR_FSYNC,
    ffi::SQLITE_IOERR_TRUNCATE,
    ffi::SQLITE_IOERR_SHMOPEN,
    ffi::SQLITE_IOERR_SHMSIZE,
    ffi::SQLITE_IOERR_SHMMAP,
];

/// Returns true if an error is one of the copy, and not of what is copied.
fn is_of_the_place(error: &StoreError) -> bool {
    if let StoreError::Io { source, .. } = error {
        // A read of the open files that failed is `InvalidData`.
        return source.kind() != ErrorKind::InvalidData;
    }
    error.sqlite_code().is_some_and(|code| {
        matches!(code.code, ErrorCode::DiskFull | ErrorCode::CannotOpen | ErrorCode::PermissionDenied)
            || OF_THE_PLACE.contains(&code.extended_code)
    })
}

/// Puts the watermark of what was acknowledged beside a copy that may lack some of it, so that a start, `verify` and
/// `recover` count what is missing. The process ends by no power failure: all of it counts as on the disk.
fn write_acknowledged(store: &Store, target: &Path) -> Result<(), StoreError> {
    if let Some(last) = store.watermark.last() {
        Watermark::open(target)?.establish(&WatermarkRecord { synced: last.seq, ..last })?;
    }
    sync_directory(target)
}

fn copy_bytes(store: &Store, target: &Path) -> Result<(), StoreError> {
    for (name, from) in store.files.content() {
        let path = target.join(name);
        let copied = open_private(&path).and_then(|to| copy_open_file(from, &to));
        copied.map_err(|source| StoreError::Io { path, source })?;
    }
    Ok(())
}

/// Copies an open file from its first byte on. A read that fails is [`ErrorKind::InvalidData`].
fn copy_open_file(from: &File, to: &File) -> io::Result<()> {
    let mut chunk = vec![0u8; CHUNK_BYTES];
    let mut at = 0u64;
    loop {
        let read = match from.read_at(&mut chunk, at) {
            Ok(0) => return to.sync_all(),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
        };
        to.write_all_at(chunk.get(..read).unwrap_or_default(), at)?;
        at = at.saturating_add(u64::try_from(read).unwrap_or(0));
    }
}

/// Verifies a copy, waits until it is on the disk, and puts a watermark beside it. Returns its last event and link.
fn check(store: &Store, target: &Path, acknowledged: u64) -> Result<(Seq, ChainLink), StoreError> {
    let path = target.join(DATABASE_FILE);
    let copy = sqlite::open(&path, Access::Write)?;
    let report = verify::verify_connection(&copy)?;
    if let Some(problem) = report.problems.first() {
        return Err(StoreError::Inconsistent(format!("the copy is damaged: {problem}")));
    }
    let (seq, link) = last_link(&copy)?;
    if seq.get() < acknowledged {
        let missing = acknowledged.saturating_sub(seq.get());
        return Err(StoreError::EventsMissing { path, found: seq.get(), acknowledged, missing });
    }
    // A copy of the raw files has a log.
    copy.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    drop(copy);
    File::open(&path).and_then(|file| file.sync_all()).map_err(|source| StoreError::Io { path, source })?;
    let mark = WatermarkRecord { file_id: store.file_id, epoch: store.epoch, seq, link, synced: seq };
    Watermark::open(target)?.establish(&mark)?;
    sync_directory(target)?;
    Ok((seq, link))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::watermark::WatermarkState;
    use crate::store::{accepted_loss, load::load};

    #[test]
    fn a_copy_must_have_every_event_that_was_acknowledged_and_may_have_more() {
        let scratch = tempfile::tempdir().expect("scratch");
        let mut store = Store::open(&scratch.path().join("data"), UnixMillis::ZERO).expect("made");
        let mut loaded = load(&store.connection, &store.digest_key, 10).expect("loaded");
        for _ in 0..2 {
            accepted_loss::record(&mut store, &mut loaded, UnixMillis::ZERO, 0).expect("recorded");
        }
        let tokens = KeptTokens::of(store.directory(), None);
        let copied = |name: &str, acknowledged| match copy(&store, &scratch.path().join(name), acknowledged, &tokens) {
            Ok((seq, _)) => Ok(seq.get()),
            Err(Failure::NoPlace { why, .. } | Failure::Unreadable(why) | Failure::Unverified(why)) => Err(why),
        };
        assert_eq!(copied("more", 1), Ok(2));
        assert_eq!(copied("all", 2), Ok(2));
        let why = copied("less", 3).expect_err("an event is missing");
        assert!(why.contains('3'), "{why}");
        // It stays all the same: two of three events are more than none.
        let kept = sqlite::open(&scratch.path().join("less").join(DATABASE_FILE), Access::Read).expect("opened");
        assert_eq!(last_link(&kept).expect("read").0.get(), 2);
        let found = Watermark::read(&scratch.path().join("less")).expect("read");
        assert_eq!(found, WatermarkState::Present(store.watermark.last().expect("written")));
    }

    #[test]
    fn a_copy_needs_the_bytes_of_the_open_files_also_if_sqlite_counts_less() {
        let scratch = tempfile::tempdir().expect("scratch");
        let store = Store::open(&scratch.path().join("data"), UnixMillis::ZERO).expect("made");
        store.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("emptied");
        let bytes = fs::metadata(&store.path).expect("there").len();
        assert_eq!(bytes_needed(&store), bytes + SMALL_FILES_BYTES);
        let log = fs::OpenOptions::new().write(true).open(store.directory().join("firstcome.db-wal")).expect("opened");
        log.set_len(3_000_000).expect("grown");
        assert_eq!(bytes_needed(&store), bytes + 3_000_000 + SMALL_FILES_BYTES);
    }

    #[test]
    fn a_read_of_the_open_file_that_fails_ends_the_copy_and_is_told_from_an_error_of_its_place() {
        let scratch = tempfile::tempdir().expect("scratch");
        let to = File::create(scratch.path().join("to")).expect("made");
        // Its first bytes cannot be read: EIO.
        let from = File::open("/proc/self/mem").expect("opened");
        let failed = copy_open_file(&from, &to).expect_err("unreadable");
        assert_eq!(failed.kind(), ErrorKind::InvalidData);
        let bytes: Vec<u8> = (0..=250).cycle().take(CHUNK_BYTES + 7).collect();
        fs::write(scratch.path().join("from"), &bytes).expect("written");
        copy_open_file(&File::open(scratch.path().join("from")).expect("opened"), &to).expect("copied");
        assert!(fs::read(scratch.path().join("to")).expect("read") == bytes);
    }
}
