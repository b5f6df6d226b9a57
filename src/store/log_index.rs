//! SQLite's index of the write-ahead log (`-shm`, sqlite.org/walformat.html), held against the log and against itself. An older
//! copy that is written over it hides the newest pages from SQLite, which reads and writes on without an error.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes before the first frame of a write-ahead log.
pub(super) const LOG_HEADER_BYTES: u64 = 32;
/// Bytes of a frame: its header, which begins with the number of the page, and a page.
pub(super) const FRAME_BYTES: u64 = 24 + 4096;
/// Bytes of a block of the index; the first begins with the header.
pub(super) const INDEX_BYTES: u64 = 32_768;
/// Places in the header of the index: the last frame, and the salt of the log.
const INDEX_LAST_FRAME_AT: u64 = 16;
const INDEX_SALT_AT: u64 = 32;
/// Place of the page numbers in the first block, and how many it has; a later block begins with them.
const FIRST_PAGES_AT: u64 = 136;
const FIRST_PAGES: u64 = 4062;
const BLOCK_PAGES: u64 = 4096;
const PAGE_NUMBER_BYTES: u64 = 4;
/// Place of the salt in the header of the log.
const LOG_SALT_AT: u64 = 16;
/// Frames that are new since the last look and are held against the log.
const SAMPLES_MAX: u64 = 64;

/// Result of a look at the log and its index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LogState {
    Whole,
    LogChanged,
    IndexChanged,
}

/// The open log and its index. They stay open: closing one would release SQLite's own locks on it.
pub(super) struct LogIndex {
    pub(super) log: Arc<File>,
    pub(super) index: Arc<File>,
    seen: RefCell<SeenIndex>,
}

/// The index at the last look: the salt of the log, and the number of the page of each frame, of four bytes.
#[derive(Default)]
struct SeenIndex {
    salt: [u8; 8],
    pages: Vec<u8>,
}

impl LogIndex {
    pub(super) fn new(log: Arc<File>, index: Arc<File>) -> LogIndex {
        LogIndex { log, index, seen: RefCell::default() }
    }

    /// Looks at both, when this process writes nothing. Another program may begin the log again during a look, so that a
    /// difference must be there twice.
    pub(super) fn look(&self) -> io::Result<LogState> {
        match self.look_once()? {
            LogState::Whole => Ok(LogState::Whole),
            LogState::LogChanged | LogState::IndexChanged => self.look_once(),
        }
    }

    fn look_once(&self) -> io::Result<LogState> {
        let (mut last_frame, mut salt) = ([0; 4], [0; 8]);
        self.index.read_exact_at(&mut last_frame, INDEX_LAST_FRAME_AT)?;
        self.index.read_exact_at(&mut salt, INDEX_SALT_AT)?;
        let frames = u64::from(u32::from_ne_bytes(last_frame));
        let is_older = self.seen.borrow().is_newer_than(frames, salt);
        if frames == 0 {
            return Ok(if is_older { LogState::IndexChanged } else { LogState::Whole });
        }
        if !self.log_has(frames, salt)? {
            return Ok(if is_older { LogState::IndexChanged } else { LogState::LogChanged });
        }
        let pages = pages(&self.index, frames)?;
        let mut seen = self.seen.borrow_mut();
        let known = if seen.salt == salt { seen.pages.as_slice() } else { &[] };
        if !pages.starts_with(known) || !self.has_new_frames(&pages, known.len())? {
            return Ok(LogState::IndexChanged);
        }
        *seen = SeenIndex { salt, pages };
        Ok(LogState::Whole)
    }

    /// Returns true if the log has so many frames, without a hole, under this salt.
    fn log_has(&self, frames: u64, salt: [u8; 8]) -> io::Result<bool> {
        let bytes = LOG_HEADER_BYTES.saturating_add(frames.saturating_mul(FRAME_BYTES));
        if self.log.metadata()?.len() < bytes {
            return Ok(false);
        }
        let mut found = [0; 8];
        self.log.read_exact_at(&mut found, LOG_SALT_AT)?;
        // A log that was cut and written on has a hole. A file system that does not know holes reports the end of the file.
        let hole = rustix::fs::seek(&self.log, rustix::fs::SeekFrom::Hole(0)).unwrap_or(u64::MAX);
        Ok(found == salt && hole >= bytes)
    }

    /// Holds a sample of the page numbers from byte `from` on against the log, the first and the last among them.
    fn has_new_frames(&self, pages: &[u8], from: usize) -> io::Result<bool> {
        let numbers = pages.get(from..).unwrap_or_default().as_chunks::<4>().0;
        let step = numbers.len().div_ceil(usize::try_from(SAMPLES_MAX).unwrap_or(1)).max(1);
        let first_frame = u64::try_from(from).unwrap_or(0) / PAGE_NUMBER_BYTES;
        let last = numbers.len().saturating_sub(1);
        for (place, number) in numbers.iter().enumerate().filter(|(place, _)| place % step == 0 || *place == last) {
            let frame = first_frame.saturating_add(u64::try_from(place).unwrap_or(0));
            let mut found = [0; 4];
            self.log.read_exact_at(&mut found, LOG_HEADER_BYTES.saturating_add(frame.saturating_mul(FRAME_BYTES)))?;
            if u32::from_be_bytes(found) != u32::from_ne_bytes(*number) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Reads the page numbers of the first `frames` frames, of four bytes each in the order of this machine.
pub(super) fn pages(index: &File, frames: u64) -> io::Result<Vec<u8>> {
    let mut pages = Vec::new();
    let (mut left, mut at, mut here) = (frames, FIRST_PAGES_AT, FIRST_PAGES);
    let mut block = 0u64;
    while left > 0 {
        let count = left.min(here);
        let begin = pages.len();
        pages.resize(begin.saturating_add(usize::try_from(count * PAGE_NUMBER_BYTES).unwrap_or(0)), 0);
        index.read_exact_at(pages.get_mut(begin..).unwrap_or_default(), at)?;
        left = left.saturating_sub(count);
        block = block.saturating_add(1);
        (at, here) = (block.saturating_mul(INDEX_BYTES), BLOCK_PAGES);
    }
    Ok(pages)
}

impl SeenIndex {
    /// Returns true if an index of so many frames under this salt is from before this one: a log only grows, and the first half
    /// of its salt counts up by one when it begins again. The first commit of a program that has not begun the log itself takes
    /// any salt; then log and index have the same.
    fn is_newer_than(&self, frames: u64, salt: [u8; 8]) -> bool {
        if self.pages.is_empty() {
            return false;
        }
        if self.salt == salt {
            return frames.saturating_mul(PAGE_NUMBER_BYTES) < u64::try_from(self.pages.len()).unwrap_or(u64::MAX);
        }
        let count = |salt: [u8; 8]| salt.first_chunk().map_or(0, |first| u32::from_be_bytes(*first));
        let steps = count(salt).wrapping_sub(count(self.salt));
        !(1..=u32::MAX / 2).contains(&steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::types::UnixMillis;

    #[test]
    fn a_log_that_is_shorter_under_its_salt_or_begun_before_is_older() {
        let salt = |count: u32| {
            let mut salt = [7; 8];
            salt[..4].copy_from_slice(&count.to_be_bytes());
            salt
        };
        let seen = SeenIndex { salt: salt(5), pages: vec![1; 40] };
        // Ten pages were seen.
        for (frames, older) in [(0, true), (9, true), (10, false), (11, false)] {
            assert_eq!(seen.is_newer_than(frames, salt(5)), older, "{frames} frames");
        }
        for (count, older) in [(6, false), (7, false), (900, false), (4, true), (0, true), (u32::MAX, true)] {
            assert_eq!(seen.is_newer_than(1, salt(count)), older, "begun {count} times");
        }
        assert!(!SeenIndex::default().is_newer_than(0, salt(1)), "nothing was seen");
    }

    #[test]
    fn an_older_index_is_told_from_one_that_has_grown_or_begun_again() {
        let scratch = tempfile::tempdir().expect("scratch");
        let store = Store::open(scratch.path(), UnixMillis::ZERO).expect("made");
        store.connection.pragma_update(None, "synchronous", "OFF").expect("set");
        let path = scratch.path().join("firstcome.db-shm");
        let open = |name: &str| Arc::new(File::open(scratch.path().join(name)).expect("opened"));
        let looks = LogIndex::new(open("firstcome.db-wal"), open("firstcome.db-shm"));
        let write = |times: u32| {
            for _ in 0..times {
                let changed = store.connection.execute("UPDATE meta SET synced_at_ms = synced_at_ms + 1", []);
                assert_eq!(changed.expect("written"), 1);
            }
        };
        let reset = || store.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("reset");
        assert_eq!(looks.look().expect("read"), LogState::Whole);
        // More than the first block has, twice.
        for _ in 0..2 {
            for times in [1, 100, 5000] {
                write(times);
                assert_eq!(looks.look().expect("read"), LogState::Whole);
            }
            reset();
            assert_eq!(looks.look().expect("read"), LogState::Whole);
        }
        write(10);
        let older = std::fs::read(&path).expect("read");
        reset();
        write(20);
        assert_eq!(looks.look().expect("read"), LogState::Whole);
        let newer = std::fs::read(&path).expect("read");
        let over = |bytes: &[u8]| {
            File::options().write(true).open(&path).expect("opened").write_all_at(bytes, 0).expect("written")
        };
        over(&older);
        assert_eq!(looks.look().expect("read"), LogState::IndexChanged, "of the log before");
        over(&newer);
        assert_eq!(looks.look().expect("read"), LogState::Whole);
        // With the header of the newer one, which each commit writes again.
        over(&[&newer[..136], &older[136..]].concat());
        assert_eq!(looks.look().expect("read"), LogState::IndexChanged, "with its header written again");
        over(&newer);
        // Another program that begins the log takes a random salt.
        for _ in 0..8 {
            reset();
            let other = rusqlite::Connection::open(scratch.path().join("firstcome.db")).expect("opened");
            other.execute_batch("UPDATE meta SET synced_at_ms = synced_at_ms + 1").expect("written");
            assert_eq!(looks.look().expect("read"), LogState::Whole, "of another program");
            write(1);
            assert_eq!(looks.look().expect("read"), LogState::Whole);
        }
        let fresh = LogIndex::new(open("firstcome.db-wal"), open("firstcome.db-shm"));
        assert_eq!(fresh.look().expect("read"), LogState::Whole, "nothing is known of it");
    }
}
