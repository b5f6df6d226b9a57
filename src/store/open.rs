//! Opening of the file: its identity, its completeness, and the files beside it.
//!
//! Invariant: a server starts with everything that was acknowledged, or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use super::advice;
use super::beside::{self, Replaced};
use super::chain::ChainLink;
use super::clock_file::ClockFile;
use super::fault_marker::{FaultMarker, MARKER_FILE, is_interrupted};
use super::foreign_commits::ForeignCommits;
use super::live_copy::LiveCopy;
use super::lock::{DirectoryLock, sync_directory};
use super::open_files::{LOG_FILE, OpenFiles};
use super::ownership::{is_there, open_private};
use super::schema_parts::{self, SCHEMA};
use super::settings::{PAGE_BYTES, configure_writer};
use super::watermark::{Watermark, WatermarkRecord, WatermarkState};
use crate::sqlite::{self, Access};
use crate::types::digest_key::DIGEST_KEY_BYTES;
use crate::types::{DigestKey, Seq, UnixMillis};

/// Database file inside the data directory.
pub const DATABASE_FILE: &str = "firstcome.db";

const APPLICATION_ID: i64 = 0x4643_5331; // "FCS1"
/// Version of the schema in `schema.sql`.
pub(super) const SCHEMA_VERSION: i64 = 6;

/// Durability of commits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Each commit waits for the disk: an acknowledged order survives a power failure.
    Full,
    /// A commit waits for the disk at least this often: a crash of the process loses nothing, a power failure at most
    /// this much.
    Interval(Duration),
}

/// The open file: the writing connection, the lock, and the files beside the database.
pub struct Store {
    /// The only connection that writes.
    pub connection: Connection,
    pub digest_key: DigestKey,
    /// Random id that the file got at its creation.
    pub file_id: [u8; 16],
    /// Number of times that the file's history was set back, by a restore or an accepted loss.
    pub epoch: u64,
    /// The file that lay here, if this one is a copy that was put in its place: a new epoch must begin.
    pub replaced: Option<Replaced>,
    /// Path of the database file.
    pub path: PathBuf,
    /// Files as they were opened, to notice the loss of one.
    pub files: OpenFiles,
    /// The copy for a backup, which the writer and the thread of backups share.
    pub live_copy: Arc<LiveCopy>,
    pub foreign_commits: ForeignCommits,
    pub watermark: Watermark,
    pub marker: FaultMarker,
    /// The clock file; `None` if it cannot be written, which only weakens the guard of the next start.
    pub clock_file: Option<ClockFile>,
    /// Events lost in a power failure that durability `interval` did not promise to keep.
    pub lost: Option<MissingEvents>,
    /// The run before left a write-ahead log with content: it may have ended between an erasure and its emptying of the log.
    pub found_log: bool,
    _lock: DirectoryLock,
}

/// Acknowledged events that are not in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MissingEvents {
    pub events: u64,
    /// Last event that was acknowledged.
    pub acknowledged: Seq,
}

/// Source of the watermark at an opening.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trust {
    /// The existing watermark, which must match the file.
    Watermark,
    /// A new one made from the file, which has just been copied and verified.
    File,
}

impl Store {
    /// Opens the file in `directory`, or creates it.
    pub fn open(directory: &Path, now: UnixMillis) -> Result<Store, StoreError> {
        Store::open_trusting(directory, now, Trust::Watermark)
    }

    pub(super) fn open_trusting(directory: &Path, now: UnixMillis, trust: Trust) -> Result<Store, StoreError> {
        let path = directory.join(DATABASE_FILE);
        Store::open_files(directory, now, trust).map_err(|error| advice::named(&path, None, error))
    }

    fn open_files(directory: &Path, now: UnixMillis, trust: Trust) -> Result<Store, StoreError> {
        let lock = DirectoryLock::take(directory)?;
        beside::check(directory)?;
        if let Some(what) = FaultMarker::read(directory)? {
            return Err(StoreError::Marked { directory: directory.to_path_buf(), what });
        }
        if is_interrupted(directory) {
            return Err(StoreError::Interrupted { directory: directory.to_path_buf() });
        }
        let path = directory.join(DATABASE_FILE);
        let found_log = std::fs::metadata(directory.join(LOG_FILE)).is_ok_and(|log| log.len() > 0);
        let found = Watermark::read(directory)?;
        let had_one = trust == Trust::Watermark && had_a_database(directory);
        refuse_vanished(&path, found, had_one)?;
        if !path.exists() {
            // SQLite gives its log and its index the mode of the database.
            let made = open_private(&path);
            made.map_err(|source| StoreError::Directory { path: path.clone(), source })?;
        }
        let connection = sqlite::open(&path, Access::Write).map_err(|error| cannot_open(&path, error))?;
        let named = |error| advice::named(&path, Some(&connection), error);
        let fresh = check_identity(&connection, &path).map_err(named)? == FileIdentity::Empty;
        if fresh && (found != WatermarkState::Absent || had_one) {
            let what = "the database is empty, and there was one with events".into();
            return Err(StoreError::Strange { path, what });
        }
        if !fresh {
            refuse_other_pages(&connection, &path)?;
            schema_parts::require_all(&connection)?;
        }
        configure_writer(&connection).map_err(named)?;
        if fresh {
            create(&connection, now).map_err(named)?;
        }
        let (epoch, key, file_id): (u64, [u8; DIGEST_KEY_BYTES], [u8; 16]) = connection
            .query_row("SELECT epoch, digest_key, file_id FROM meta WHERE id = 1", [], |row| {
                Ok((u64::try_from(row.get::<_, i64>(0)?).unwrap_or(1), row.get(1)?, row.get(2)?))
            })
            .map_err(|error| named(error.into()))?;
        let last = last_link(&connection).map_err(|error| named(error.into()))?;
        let mark = WatermarkRecord { file_id, epoch, seq: last.0, link: last.1, synced: last.0 };
        let (watermark, lost) = match (found, trust) {
            (WatermarkState::Present(written), Trust::Watermark) => {
                let lost = compare(&connection, &path, &written, &mark).map_err(named)?;
                (Watermark::open(directory)?, lost)
            }
            (WatermarkState::Absent, Trust::Watermark) if mark.seq != Seq::ZERO => {
                return Err(StoreError::Strange { path, what: "there is no watermark".into() });
            }
            (WatermarkState::Unreadable, Trust::Watermark) if mark.seq != Seq::ZERO => {
                return Err(StoreError::Strange { path, what: "the watermark is damaged".into() });
            }
            (WatermarkState::Absent | WatermarkState::Unreadable | WatermarkState::Present(_), _) => {
                let watermark = Watermark::open(directory)?;
                watermark.establish(&mark)?;
                (watermark, None)
            }
        };
        let marker = FaultMarker::open(directory)?;
        let replaced = match trust {
            Trust::Watermark => beside::replaced(&path, &mark, &connection)?,
            Trust::File => None,
        };
        let clock_file = ClockFile::open(directory, file_id)
            .inspect_err(|error| tracing::warn!(%error, "the clock file cannot be opened"))
            .ok();
        let files = OpenFiles::note(directory)?;
        // What is found may be in the page cache only, and counts as on the disk from now on.
        files.sync_log()?;
        if trust == Trust::Watermark && replaced.is_none() {
            beside::write_of(&path, &mark);
        }
        let live_copy = Arc::new(LiveCopy::new(&path, files.shared()));
        let foreign_commits = ForeignCommits::watch(&connection)?;
        sync_directory(directory)?;
        let digest_key = DigestKey::new(&key);
        Ok(Store {
            connection,
            digest_key,
            file_id,
            epoch,
            replaced,
            path,
            files,
            live_copy,
            foreign_commits,
            watermark,
            marker,
            clock_file,
            lost,
            found_log,
            _lock: lock,
        })
    }

    /// Returns an I/O error of SQLite with the file and the cause in words.
    #[must_use]
    pub fn with_cause(&self, error: StoreError) -> StoreError {
        let error = advice::unread(&self.path, &self.connection, &error).unwrap_or(error);
        let StoreError::Sqlite(cause) = error else { return error };
        let is_of_the_disk = cause.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure);
        match sqlite::system_error(&self.connection).filter(|_| is_of_the_disk) {
            Some(source) => StoreError::DiskFault { path: self.path.clone(), cause, source },
            None => StoreError::Sqlite(cause),
        }
    }

    /// Returns the data directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Returns the watermark of the file at event `seq`.
    #[must_use]
    pub fn mark(&self, seq: Seq, link: ChainLink, synced: Seq) -> WatermarkRecord {
        WatermarkRecord { file_id: self.file_id, epoch: self.epoch, seq, link, synced }
    }
}

pub(super) fn refuse_other_pages(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let found: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    if found == PAGE_BYTES {
        return Ok(());
    }
    let directory = path.parent().unwrap_or(path).to_path_buf();
    Err(StoreError::PageSize { path: path.to_path_buf(), found, directory })
}

/// Returns true if the directory neither has a database nor had one; false if this user cannot see that.
#[must_use]
pub fn is_new(directory: &Path) -> bool {
    is_there(&directory.join(DATABASE_FILE)).is_ok_and(|is_there| !is_there) && !had_a_database(directory)
}

/// Returns true if something tells that the directory had a database: the note beside it, or the fault marker inside, which
/// is made after the database.
pub(super) fn had_a_database(directory: &Path) -> bool {
    beside::existing(directory).is_some() || directory.join(MARKER_FILE).exists()
}

/// Refuses to create an empty database in place of one that had events.
pub(super) fn refuse_vanished(path: &Path, found: WatermarkState, had_one: bool) -> Result<(), StoreError> {
    if path.exists() {
        return Ok(());
    }
    match found {
        WatermarkState::Absent if had_one => {
            let note = beside::existing(path.parent().unwrap_or(path)).unwrap_or_default();
            Err(StoreError::NoEmptyFile { path: path.to_path_buf(), note })
        }
        WatermarkState::Absent => Ok(()),
        WatermarkState::Unreadable => Err(StoreError::Vanished { path: path.to_path_buf(), seq: 0 }),
        WatermarkState::Present(mark) => Err(StoreError::Vanished { path: path.to_path_buf(), seq: mark.seq.get() }),
    }
}

/// Returns the last link of the chain, and the event that it ends with.
pub(super) fn last_link(connection: &Connection) -> rusqlite::Result<(Seq, ChainLink)> {
    let last = connection
        .query_row("SELECT seq, hash FROM chain ORDER BY seq DESC LIMIT 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(last.map_or((Seq::ZERO, ChainLink::START), |(seq, hash)| (seq, ChainLink(hash))))
}

/// Returns the link of the chain that ends with event `seq`; `None` if no batch of the file ends there.
///
/// # Errors
/// If the file cannot be read.
pub fn link_at(connection: &Connection, seq: Seq) -> rusqlite::Result<Option<ChainLink>> {
    if seq == Seq::ZERO {
        return Ok(Some(ChainLink::START));
    }
    let hash = connection.query_row("SELECT hash FROM chain WHERE seq = ?1", [seq], |row| row.get(0)).optional()?;
    Ok(hash.map(ChainLink))
}

/// Compares the file with the watermark. The file may have more events, if its last commit was not acknowledged yet.
///
/// # Errors
/// If events are missing that must be present, or the watermark belongs to another file.
pub(super) fn compare(
    connection: &Connection,
    path: &Path,
    acknowledged: &WatermarkRecord,
    file: &WatermarkRecord,
) -> Result<Option<MissingEvents>, StoreError> {
    let strange = |what: &str| StoreError::Strange { path: path.to_path_buf(), what: what.into() };
    if acknowledged.file_id != file.file_id {
        return Err(strange("the watermark belongs to another file"));
    }
    if acknowledged.epoch > file.epoch {
        return Err(strange("the file is older than its last recovery"));
    }
    if acknowledged.epoch < file.epoch {
        // The process ended after it recorded a loss in the file and before it wrote the watermark.
        let explained = loss_recorded(connection, acknowledged.seq)?;
        return if explained { Ok(None) } else { Err(strange("the watermark is older than the file's last recovery")) };
    }
    if file.seq >= acknowledged.seq {
        let same = link_at(connection, acknowledged.seq)? == Some(acknowledged.link);
        return if same { Ok(None) } else { Err(strange("the histories differ")) };
    }
    let events = acknowledged.seq.get().saturating_sub(file.seq.get());
    if file.seq >= acknowledged.synced {
        return Ok(Some(MissingEvents { events, acknowledged: acknowledged.seq }));
    }
    Err(StoreError::EventsMissing {
        path: path.to_path_buf(),
        found: file.seq.get(),
        acknowledged: acknowledged.seq.get(),
        missing: events,
    })
}

fn loss_recorded(connection: &Connection, acknowledged: Seq) -> rusqlite::Result<bool> {
    let detail: Option<String> = connection
        .query_row("SELECT detail FROM audit WHERE kind = 'events_lost' ORDER BY seq DESC LIMIT 1", [], |row| {
            row.get(0)
        })
        .optional()?;
    let detail: Option<serde_json::Value> = detail.and_then(|text| serde_json::from_str(&text).ok());
    Ok(detail.is_some_and(|detail| detail["acknowledged_seq"] == acknowledged.get()))
}

pub(super) fn cannot_open(path: &Path, error: impl Into<StoreError>) -> StoreError {
    let error = error.into();
    let StoreError::Sqlite(cause) = &error else { return error };
    match cause.sqlite_error_code() {
        Some(rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::ReadOnly) => {
            let (path, source) = advice::refused_open(path)
                .unwrap_or_else(|| (path.to_path_buf(), std::io::Error::other(cause.to_string())));
            StoreError::Directory { path, source }
        }
        _ => error,
    }
}

/// Identity of a file.
#[derive(PartialEq, Eq)]
pub(super) enum FileIdentity {
    /// The file has no tables and no owner.
    Empty,
    Ours,
}

/// Checks the application id and the schema of a file.
pub(super) fn check_identity(connection: &Connection, path: &Path) -> Result<FileIdentity, StoreError> {
    let not_ours = |found: String| StoreError::NotOurs { path: path.to_path_buf(), found };
    let number = |name: &str| -> Result<i64, StoreError> {
        connection.pragma_query_value(None, name, |row| row.get(0)).map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => not_ours("it is not an SQLite file".into()),
            Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen) => cannot_open(path, error),
            _ => StoreError::Sqlite(error),
        })
    };
    let tables: i64 = {
        number("schema_version")?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?
    };
    let application_id = number("application_id")?;
    if application_id == 0 && tables == 0 {
        return Ok(FileIdentity::Empty);
    }
    if application_id != APPLICATION_ID {
        return Err(not_ours(format!("application id {application_id}, {tables} tables and indexes")));
    }
    match number("user_version")? {
        SCHEMA_VERSION => Ok(FileIdentity::Ours),
        found if found < SCHEMA_VERSION => {
            Err(StoreError::OlderSchema { path: path.to_path_buf(), found, expected: SCHEMA_VERSION })
        }
        found => Err(StoreError::NewerSchema { path: path.to_path_buf(), found, expected: SCHEMA_VERSION }),
    }
}

fn create(connection: &Connection, now: UnixMillis) -> Result<(), StoreError> {
    let mut key = [0u8; DIGEST_KEY_BYTES];
    crate::types::random::fill(&mut key);
    let mut file_id = [0u8; 16];
    crate::types::random::fill(&mut file_id);
    connection.execute_batch("BEGIN IMMEDIATE")?;
    connection.execute_batch(SCHEMA)?;
    connection.execute(
        "INSERT INTO meta (id, epoch, digest_key, file_id, created_at_ms, synced_at_ms) VALUES (1, 1, ?1, ?2, ?3, ?3)",
        params![&key[..], &file_id[..], now],
    )?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &Path) -> Result<Store, StoreError> {
        Store::open(directory, UnixMillis::ZERO)
    }

    #[test]
    fn a_new_directory_gets_a_file_with_our_marks_and_keeps_its_key() {
        let scratch = tempfile::tempdir().expect("scratch");
        let directory = scratch.path().join("data");
        let first = open(&directory).expect("made").digest_key.buyer("ann");
        let again = open(&directory).expect("opened").digest_key.buyer("ann");
        assert_eq!(first, again);
    }

    #[test]
    fn a_damaged_watermark_is_refused_with_events_and_made_again_without() {
        let scratch = tempfile::tempdir().expect("scratch");
        drop(open(scratch.path()).expect("made"));
        let watermark = scratch.path().join(super::super::watermark::WATERMARK_FILE);
        let ruin = || std::fs::write(&watermark, "no watermark").expect("written");
        ruin();
        let mut store = open(scratch.path()).expect("nothing can be missing");
        assert!(matches!(Watermark::read(scratch.path()), Ok(WatermarkState::Present(_))));
        let mut loaded = super::super::load::load(&store.connection, &store.digest_key, 10).expect("loaded");
        super::super::accepted_loss::record(&mut store, &mut loaded, UnixMillis::ZERO, 0).expect("recorded");
        drop(store);
        ruin();
        let error = open(scratch.path()).err().expect("refused");
        assert!(error.exit_code() == 65 && error.to_string().contains("the watermark is damaged"), "{error}");
        std::fs::remove_file(&watermark).expect("removed");
        let error = open(scratch.path()).err().expect("refused");
        assert!(error.exit_code() == 65 && error.to_string().contains("there is no watermark"), "{error}");
    }

    #[test]
    fn a_missing_parent_is_refused_with_64() {
        let scratch = tempfile::tempdir().expect("scratch");
        let error = open(&scratch.path().join("no/such")).err().expect("refused");
        assert_eq!(error.exit_code(), 64, "{error}");
    }

    #[test]
    fn a_second_opener_is_refused_with_73_and_told_who_has_it() {
        let scratch = tempfile::tempdir().expect("scratch");
        let _first = open(scratch.path()).expect("opened");
        let error = open(scratch.path()).err().expect("refused");
        assert_eq!(error.exit_code(), 73);
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    }

    #[test]
    fn files_of_others_are_refused_with_65_and_left_as_they_are() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join(DATABASE_FILE);
        std::fs::write(&path, "this is a shopping list, not a database, and long enough to have a header".repeat(20))
            .expect("written");
        let before = std::fs::read(&path).expect("read");
        let error = open(scratch.path()).err().expect("refused");
        assert_eq!(error.exit_code(), 65, "{error}");
        assert_eq!(std::fs::read(&path).expect("read"), before);

        std::fs::remove_file(&path).expect("removed");
        Connection::open(&path).expect("opened").execute_batch("CREATE TABLE theirs (x)").expect("made");
        let error = open(scratch.path()).err().expect("refused");
        assert_eq!(error.exit_code(), 65, "{error}");
    }

    #[test]
    fn another_schema_is_refused_with_65() {
        let scratch = tempfile::tempdir().expect("scratch");
        drop(open(scratch.path()).expect("made"));
        let path = scratch.path().join(DATABASE_FILE);
        Connection::open(&path).expect("opened").pragma_update(None, "user_version", SCHEMA_VERSION + 1).expect("set");
        let error = open(scratch.path()).err().expect("refused");
        assert!(matches!(error, StoreError::NewerSchema { .. }), "{error}");
        assert_eq!(error.exit_code(), 65);
    }
    /// What happens for every row must not make a table in memory: SQLite does for `IN` with three or more values.
    #[test]
    fn checks_of_rows_on_the_hot_path_need_no_table_of_their_own() {
        let scratch = tempfile::tempdir().expect("scratch");
        let store = open(scratch.path()).expect("made");
        for sql in [
            "INSERT INTO orders (seq, secret, drop_id, buyer, key_digest, quantity, returned, unit_price, state,
                 reserved_at_ms, expires_at_ms, last_seq) VALUES (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)",
            "INSERT INTO audit (seq, at_ms, kind, prev_seq) VALUES (1, 2, 3, 4)",
            "UPDATE orders SET last_seq = 2, state = 'paid' WHERE seq = 1",
            "UPDATE drops SET held = held + 1 WHERE id = 1",
        ] {
            let mut explain = store.connection.prepare(&format!("EXPLAIN {sql}")).expect("prepared");
            let steps = explain.query_map([], |row| row.get::<_, String>("opcode")).expect("explained");
            let steps: Vec<String> = steps.collect::<Result<_, _>>().expect("read");
            assert!(steps.iter().any(|step| step == "OpenWrite"), "{steps:?}");
            assert!(!steps.iter().any(|step| step == "OpenEphemeral"), "{sql}: {steps:?}");
        }
    }
}
