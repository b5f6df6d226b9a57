//! A copy of the database beside the writer that sells: page by page from the open files, without a snapshot, which would keep
//! the write-ahead log from being emptied for as long as the copy takes.
//!
//! First the database file is copied as it lies there, while checkpoints write it. Before each checkpoint the writer notes
//! the pages that the log has, so that those which a checkpoint may have written meanwhile are copied again. At the end
//! checkpoints wait, for at most [`HOLD_MAX`], and the pages that the log has up to one commit are taken from there. The copy
//! is the database after that commit.
//!
//! The files are read through the descriptors of `open_files`: to close another one would release SQLite's locks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::StoreError;
use super::log_index::{FRAME_BYTES, LOG_HEADER_BYTES, pages};
use crate::failpoints::{self, Bug};

/// Longest time for which checkpoints wait for the last pages of a copy. The log grows meanwhile, by some 10 MB in a rush.
pub const HOLD_MAX: Duration = Duration::from_secs(1);
/// Attempts to take the last pages within that time.
const ATTEMPTS_MAX: u32 = 8;
/// Pages that are copied at the end, while checkpoints wait, rather than before: 16 MB.
const FEW_PAGES: usize = 4096;
/// Rounds of copying pages again before the end.
const ROUNDS_MAX: u32 = 4;
const PAGE: usize = 4096;
const PAGE_BYTES: u64 = 4096;
/// Pages of one read of the database.
const PIECE_PAGES: u64 = 256;
/// Bytes of the header of a frame, which begins with the number of its page.
const FRAME_HEADER: usize = 24;
/// Bytes of the header of the index, which lies there twice, and the number of frames that checkpoints have copied behind it.
const INDEX_HEADER: usize = 48;
/// Reads of the index until both headers agree: the writer changes them within microseconds.
const HEADER_READS_MAX: u32 = 1000;

/// The open database, its log and the index of the log.
pub(super) struct SharedFiles {
    pub(super) database: Arc<File>,
    pub(super) log: Arc<File>,
    pub(super) index: Arc<File>,
}

/// The open files of a database, and what its writer and a copy agree on. One copy is made at a time.
pub struct LiveCopy {
    path: PathBuf,
    files: SharedFiles,
    turns: Mutex<Turns>,
}

#[derive(Default)]
struct Turns {
    /// Pages that checkpoints may have written since they were copied. `None` while no copy is made, and once the writer could
    /// not tell them.
    written: Option<PageSet>,
    /// Checkpoints wait until then.
    held_until: Option<Instant>,
}

/// The right to run a checkpoint, to be kept until it ends.
pub struct CheckpointTurn<'a> {
    _turns: MutexGuard<'a, Turns>,
}

impl LiveCopy {
    pub(super) fn new(path: &Path, files: SharedFiles) -> LiveCopy {
        LiveCopy { path: path.to_path_buf(), files, turns: Mutex::default() }
    }

    /// Path of the database.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the right to run a checkpoint. `None` while a copy takes its last pages: then it is tried again after the next
    /// commit. The writer alone calls this, between batches.
    #[must_use]
    pub fn checkpoint_turn(&self) -> Option<CheckpointTurn<'_>> {
        let turns = self.turns.lock();
        if turns.held_until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        Some(self.begin_checkpoint(turns))
    }

    /// Returns true while checkpoints wait for a copy.
    #[must_use]
    pub fn holds_checkpoints(&self) -> bool {
        self.turns.lock().held_until.is_some_and(|until| Instant::now() < until)
    }

    /// Returns the right to run a checkpoint whatever a copy does, which begins its end again.
    #[must_use]
    pub fn last_checkpoint_turn(&self) -> CheckpointTurn<'_> {
        self.begin_checkpoint(self.turns.lock())
    }

    fn begin_checkpoint<'a>(&self, mut turns: MutexGuard<'a, Turns>) -> CheckpointTurn<'a> {
        turns.held_until = None;
        if let Some(written) = &mut turns.written {
            let noted = LogHead::read(&self.files.index).and_then(|head| pages(&self.files.index, head.frames));
            match noted {
                Ok(numbers) => page_numbers(&numbers).for_each(|page| written.insert(page)),
                Err(_) => turns.written = None,
            }
        }
        CheckpointTurn { _turns: turns }
    }

    /// Ends a copy that is being made with an error: another program has written the database.
    pub fn spoil(&self) {
        self.turns.lock().written = None;
    }

    /// Copies the database into an empty file. `pace` gets the number of bytes of each piece, and may wait, or end the copy.
    ///
    /// # Errors
    /// If a file cannot be read or written, or `pace` ends it.
    pub fn copy_to(
        &self,
        to: &File,
        path: &Path,
        mut pace: impl FnMut(u64) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let _ending = Ending::begin(self)?;
        let at = |source| StoreError::Io { path: path.to_path_buf(), source };
        let pages = self.files.database.metadata().map_err(|source| self.unread(source))?.len() / PAGE_BYTES;
        let mut piece = vec![0; PAGE * 256];
        let mut page = 0;
        while page < pages {
            let bytes = (pages - page).min(PIECE_PAGES) * PAGE_BYTES;
            let piece = piece.get_mut(..usize::try_from(bytes).unwrap_or(0)).unwrap_or_default();
            let read = self.files.database.read_exact_at(piece, page * PAGE_BYTES);
            read.map_err(|source| self.unread(source))?;
            to.write_all_at(piece, page * PAGE_BYTES).map_err(at)?;
            pace(bytes)?;
            page = page.saturating_add(PIECE_PAGES);
        }
        let mut again = PageSet::default();
        for _ in 0..ROUNDS_MAX {
            again.merge(&self.take_written()?);
            if again.count <= FEW_PAGES {
                break;
            }
            for page in std::mem::take(&mut again).iter() {
                // One that is not in the file yet is in the log, and is noted again.
                if self.copy_page(page, to, path)? {
                    pace(PAGE_BYTES)?;
                }
            }
        }
        to.sync_data().map_err(at)?;
        for _ in 0..ATTEMPTS_MAX {
            if self.end(&mut again, to, path)? {
                return Ok(());
            }
        }
        let what = format!(
            "was not copied: the pages that changed meanwhile could not be read within {} s, {ATTEMPTS_MAX} times",
            HOLD_MAX.as_secs()
        );
        Err(StoreError::Backup { path: self.path.clone(), what })
    }

    /// Takes the pages that have changed, while checkpoints wait. Returns false if the writer did not wait long enough.
    fn end(&self, again: &mut PageSet, to: &File, path: &Path) -> Result<bool, StoreError> {
        {
            let mut turns = self.turns.lock();
            again.merge(&take(&mut turns).ok_or_else(|| self.spoiled())?);
            turns.held_until = Some(Instant::now() + HOLD_MAX);
        }
        let taken = self.take_last(again, to, path);
        let mut turns = self.turns.lock();
        let was_held = turns.held_until.take().is_some();
        if turns.written.is_none() {
            return Err(self.spoiled());
        }
        // What was read while a checkpoint ran may be of two states, and so may be an error.
        if was_held { taken.map(|()| true) } else { Ok(false) }
    }

    fn take_last(&self, again: &PageSet, to: &File, path: &Path) -> Result<(), StoreError> {
        let at = |source| StoreError::Io { path: path.to_path_buf(), source };
        let head = LogHead::read(&self.files.index).map_err(|source| self.unread(source))?;
        // A log that is copied as a whole may begin again at any moment, and the database has all of it.
        let frames = if head.copied == head.frames { 0 } else { head.frames };
        let numbers = pages(&self.files.index, frames).map_err(|source| self.unread(source))?;
        let newest: BTreeMap<u32, u64> = page_numbers(&numbers).zip(0..).collect();
        let count = match head.frames {
            0 => self.files.database.metadata().map_err(|source| self.unread(source))?.len() / PAGE_BYTES,
            _ => u64::from(head.pages),
        };
        let mut frame = [0; FRAME_HEADER + PAGE];
        for (page, place) in &newest {
            let read = self.files.log.read_exact_at(&mut frame, LOG_HEADER_BYTES + place * FRAME_BYTES);
            read.map_err(|source| self.unread(source))?;
            let (header, content) = frame.split_at(FRAME_HEADER);
            if header.first_chunk() != Some(&page.to_be_bytes()) {
                let what = format!("was not copied: its log does not have page {page} where its index says");
                return Err(StoreError::Backup { path: self.path.clone(), what });
            }
            to.write_all_at(content, place_of(*page)).map_err(at)?;
        }
        for page in again.iter().filter(|page| !newest.contains_key(page) && u64::from(*page) <= count) {
            self.copy_page(page, to, path)?;
        }
        to.set_len(count * PAGE_BYTES).map_err(at)
    }

    /// Copies a page from the database file. Returns false if that does not have it.
    fn copy_page(&self, page: u32, to: &File, path: &Path) -> Result<bool, StoreError> {
        let mut content = [0; PAGE];
        if failpoints::enabled(Bug::BackupForgetsWritten) {
            return Ok(true);
        }
        match self.files.database.read_exact_at(&mut content, place_of(page)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(source) => return Err(self.unread(source)),
        }
        let written = to.write_all_at(&content, place_of(page));
        written.map(|()| true).map_err(|source| StoreError::Io { path: path.to_path_buf(), source })
    }

    fn take_written(&self) -> Result<PageSet, StoreError> {
        take(&mut self.turns.lock()).ok_or_else(|| self.spoiled())
    }

    fn unread(&self, source: io::Error) -> StoreError {
        StoreError::Io { path: self.path.clone(), source }
    }

    fn spoiled(&self) -> StoreError {
        let what = "was not copied: another program has written it, or its log could not be read".into();
        StoreError::Backup { path: self.path.clone(), what }
    }
}

fn take(turns: &mut Turns) -> Option<PageSet> {
    turns.written.as_mut().map(std::mem::take)
}

/// A copy under way, for which the writer notes pages.
struct Ending<'a>(&'a LiveCopy);

impl Ending<'_> {
    /// Begins between two checkpoints: what one is writing would not be noted.
    fn begin(copy: &LiveCopy) -> Result<Ending<'_>, StoreError> {
        let mut turns = copy.turns.lock();
        if turns.written.is_some() {
            let what = "is being copied already".into();
            return Err(StoreError::Backup { path: copy.path.clone(), what });
        }
        turns.written = Some(PageSet::default());
        drop(turns);
        Ok(Ending(copy))
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        *self.0.turns.lock() = Turns::default();
    }
}

/// The head of the log, as its index has it (sqlite.org/walformat.html).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct LogHead {
    /// Frames of committed transactions.
    frames: u64,
    /// Pages of the database after the last of them.
    pages: u32,
    /// Frames that checkpoints have copied into the database.
    copied: u64,
}

impl LogHead {
    /// Reads the head while the writer may change it: the header lies there twice, and is read twice, around the number of
    /// copied frames, which a log that begins again sets to 0 after it.
    fn read(index: &File) -> io::Result<LogHead> {
        for _ in 0..HEADER_READS_MAX {
            let (mut first, mut copied, mut again) = ([0; 2 * INDEX_HEADER], [0; 4], [0; 2 * INDEX_HEADER]);
            index.read_exact_at(&mut first, 0)?;
            index.read_exact_at(&mut copied, 2 * 48)?;
            index.read_exact_at(&mut again, 0)?;
            let (one, other) = first.split_at(INDEX_HEADER);
            if first != again || one != other {
                std::thread::yield_now();
                continue;
            }
            let number = |at: usize| {
                one.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |four| u32::from_ne_bytes(*four))
            };
            return Ok(LogHead {
                frames: u64::from(number(16)),
                pages: number(20),
                copied: u64::from(u32::from_ne_bytes(copied)),
            });
        }
        Err(io::Error::other("the index of the log changes all the time"))
    }
}

/// Place of a page in the database, in bytes. The first page is page 1.
fn place_of(page: u32) -> u64 {
    u64::from(page).saturating_sub(1) * PAGE_BYTES
}

fn page_numbers(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks::<4>().0.iter().map(|four| u32::from_ne_bytes(*four))
}

/// A set of pages, as one bit for each page of the database: 32 kB for 1 GB.
#[derive(Default)]
struct PageSet {
    bits: Vec<u64>,
    count: usize,
}

impl PageSet {
    fn insert(&mut self, page: u32) {
        let (word, bit) = (usize::try_from(page / 64).unwrap_or(0), 1 << (page % 64));
        if self.bits.len() <= word {
            self.bits.resize(word.saturating_add(1), 0);
        }
        if let Some(found) = self.bits.get_mut(word)
            && *found & bit == 0
        {
            *found |= bit;
            self.count = self.count.saturating_add(1);
        }
    }

    fn merge(&mut self, other: &PageSet) {
        other.iter().for_each(|page| self.insert(page));
    }

    /// Returns the pages in ascending order.
    fn iter(&self) -> impl Iterator<Item = u32> {
        self.bits
            .iter()
            .zip(0_u32..)
            .flat_map(|(word, place)| (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| place * 64 + bit))
    }
}
