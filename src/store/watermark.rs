//! The watermark: a record of the last acknowledged event beside the file, which detects a file that has lost events.
//! One flipped bit in SQLite's write-ahead log silently drops every commit after it.
//!
//! The file is written after every COMMIT and before the replies, without waiting for the disk: one small write (`two_slots`).

use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::StoreError;
use super::chain::ChainLink;
use super::ownership::refusal;
use super::two_slots::{TwoSlotFile, joined, take};
use crate::types::Seq;

/// Watermark file inside the data directory.
pub const WATERMARK_FILE: &str = "firstcome.watermark";

const MAGIC: [u8; 4] = *b"FCW1";
const CONTENT_BYTES: usize = 72;

/// The content of a watermark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WatermarkRecord {
    /// Random id that the file got at its creation.
    pub file_id: [u8; 16],
    /// Epoch of the file, raised by each accepted loss.
    pub epoch: u64,
    /// Last event whose outcome may have been sent.
    pub seq: Seq,
    /// Link of the audit chain that ends with that event.
    pub link: ChainLink,
    /// Last event that was known to be on the disk.
    pub synced: Seq,
}

/// State of a watermark's file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WatermarkState {
    Absent,
    /// The file exists, but neither slot is intact.
    Unreadable,
    /// The newer intact slot.
    Present(WatermarkRecord),
}

/// The open watermark.
pub struct Watermark {
    slots: TwoSlotFile<CONTENT_BYTES>,
    /// Record that was written last: another program may have changed the file since.
    last: Cell<Option<WatermarkRecord>>,
    path: PathBuf,
}

impl Watermark {
    /// Opens the watermark of `directory` or creates it. Writes continue after its generation.
    pub fn open(directory: &Path) -> Result<Watermark, StoreError> {
        Watermark::open_at(directory.join(WATERMARK_FILE))
    }

    /// The same of a watermark with another name.
    pub(super) fn open_at(path: PathBuf) -> Result<Watermark, StoreError> {
        match TwoSlotFile::open(&path, MAGIC) {
            Ok(slots) => {
                let last = Cell::new(slots.newest().and_then(|content| decode(&content)));
                Ok(Watermark { slots, last, path })
            }
            Err(source) => Err(StoreError::Io { path, source }),
        }
    }

    /// Reads the watermark of `directory`.
    pub fn read(directory: &Path) -> Result<WatermarkState, StoreError> {
        Watermark::read_at(directory.join(WATERMARK_FILE))
    }

    /// Reads a watermark with another name.
    pub(super) fn read_at(path: PathBuf) -> Result<WatermarkState, StoreError> {
        match File::open(&path) {
            Ok(file) => {
                let mark = TwoSlotFile::newest_of(&file, MAGIC).and_then(|content| decode(&content));
                Ok(mark.map_or(WatermarkState::Unreadable, WatermarkState::Present))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(WatermarkState::Absent),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(refusal(&path)),
            Err(source) => Err(StoreError::Io { path, source }),
        }
    }

    /// Writes the record into the next slot. Does not wait for the disk.
    pub fn write(&self, mark: &WatermarkRecord) -> Result<(), StoreError> {
        self.slots.write(&encode(mark)).map_err(|source| self.fault(source))?;
        self.last.set(Some(*mark));
        Ok(())
    }

    /// Returns the record that was written last, or was in the file when it was opened.
    #[must_use]
    pub fn last(&self) -> Option<WatermarkRecord> {
        self.last.get()
    }

    /// Returns the number of the open file's descriptor.
    #[must_use]
    pub fn descriptor(&self) -> i32 {
        self.slots.descriptor()
    }

    /// Writes both slots and waits for the disk, for a new file.
    pub fn establish(&self, mark: &WatermarkRecord) -> Result<(), StoreError> {
        self.write(mark)?;
        self.write(mark)?;
        self.slots.sync().map_err(|source| self.fault(source))
    }

    fn fault(&self, source: std::io::Error) -> StoreError {
        StoreError::Io { path: self.path.clone(), source }
    }
}

fn encode(mark: &WatermarkRecord) -> [u8; CONTENT_BYTES] {
    joined(&[
        &mark.file_id,
        &mark.epoch.to_le_bytes(),
        &mark.seq.get().to_le_bytes(),
        &mark.link.0,
        &mark.synced.get().to_le_bytes(),
    ])
}

fn decode(content: &[u8; CONTENT_BYTES]) -> Option<WatermarkRecord> {
    let mut rest: &[u8] = content;
    let file_id = take(&mut rest)?;
    let epoch = u64::from_le_bytes(take(&mut rest)?);
    let seq = Seq::new(u64::from_le_bytes(take(&mut rest)?))?;
    let link = ChainLink(take(&mut rest)?);
    let synced = Seq::new(u64::from_le_bytes(take(&mut rest)?))?;
    Some(WatermarkRecord { file_id, epoch, seq, link, synced })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::hex;

    fn mark(seq: u64) -> WatermarkRecord {
        let seq = Seq::new(seq).expect("in range");
        WatermarkRecord { file_id: [7; 16], epoch: 3, seq, link: ChainLink([9; 32]), synced: seq }
    }

    #[test]
    fn the_newer_slot_counts_and_a_torn_one_leaves_the_one_before() {
        let scratch = tempfile::tempdir().expect("scratch");
        assert_eq!(Watermark::read(scratch.path()).expect("read"), WatermarkState::Absent);
        let watermark = Watermark::open(scratch.path()).expect("made");
        assert_eq!(Watermark::read(scratch.path()).expect("read"), WatermarkState::Unreadable);
        watermark.establish(&mark(1)).expect("written");
        watermark.write(&mark(2)).expect("written");
        watermark.write(&mark(3)).expect("written");
        assert_eq!(Watermark::read(scratch.path()).expect("read"), WatermarkState::Present(mark(3)));

        let path = scratch.path().join(WATERMARK_FILE);
        let whole = std::fs::read(&path).expect("read");
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            std::fs::write(&path, &flipped).expect("written");
            let found = Watermark::read(scratch.path()).expect("read");
            assert!([mark(2), mark(3)].map(WatermarkState::Present).contains(&found), "bit at {at}: {found:?}");
        }
    }

    #[test]
    fn it_goes_on_after_what_is_in_the_file() {
        let scratch = tempfile::tempdir().expect("scratch");
        Watermark::open(scratch.path()).expect("made").establish(&mark(1)).expect("written");
        for seq in 2..6 {
            Watermark::open(scratch.path()).expect("opened").write(&mark(seq)).expect("written");
            assert_eq!(Watermark::read(scratch.path()).expect("read"), WatermarkState::Present(mark(seq)));
        }
    }

    /// Bytes of a file that a program before `two_slots` wrote: generation 2 in the first slot, 1 in the second.
    const GOLDEN: [&str; 2] = [
        "4643573102000000000000000707070707070707070707070707070703000000000000000200000000000000090909090909\
         09090909090909090909090909090909090909090909090909090200000000000000dc2105ab5d718224",
        "4643573101000000000000000707070707070707070707070707070703000000000000000100000000000000090909090909\
         09090909090909090909090909090909090909090909090909090100000000000000f04fb6cf505c036f",
    ];

    #[test]
    fn older_files_are_read_and_newer_ones_have_the_same_bytes() {
        let slot = |at: usize| hex::decode(GOLDEN[at]).expect("hexadecimal digits");
        let mut bytes = vec![0u8; 512 + 92];
        bytes[..92].copy_from_slice(&slot(0));
        bytes[512..].copy_from_slice(&slot(1));
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join(WATERMARK_FILE);
        std::fs::write(&path, &bytes).expect("written");
        assert_eq!(Watermark::read(scratch.path()).expect("read"), WatermarkState::Present(mark(2)));

        std::fs::remove_file(&path).expect("removed");
        let made = Watermark::open(scratch.path()).expect("made");
        made.write(&mark(1)).expect("written");
        made.write(&mark(2)).expect("written");
        assert_eq!(std::fs::read(&path).expect("read"), bytes);
    }
}
