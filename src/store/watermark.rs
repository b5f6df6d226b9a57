//! The watermark: a record of the last acknowledged event beside the file, which detects a file that has lost events.
//! One flipped bit in SQLite's write-ahead log silently drops every commit after it.
//!
//! It is written after every COMMIT and before the replies, without waiting for the disk: one small write. Two slots,
//! each with a checksum, are written in turn, so that a torn write leaves the older one intact.

use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use super::StoreError;
use super::chain::ChainLink;
use super::ownership::open_private;
use crate::types::Seq;

/// Watermark file inside the data directory.
pub const WATERMARK_FILE: &str = "firstcome.watermark";

const MAGIC: [u8; 4] = *b"FCW1";
/// One sector per slot, so that a torn write never damages both.
const SLOT_BYTES: u64 = 512;
const CHECKSUM_AT: usize = 84;
const MARK_BYTES: usize = 92;

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
    file: File,
    path: PathBuf,
    /// Number of writes; its lowest bit selects the slot.
    generation: Cell<u64>,
}

impl Watermark {
    /// Opens the watermark of `directory` or creates it. Writes continue after its generation.
    pub fn open(directory: &Path) -> Result<Watermark, StoreError> {
        let path = directory.join(WATERMARK_FILE);
        let refuse = |source| StoreError::Io { path: path.clone(), source };
        let file = open_private(&path).map_err(refuse)?;
        let generation = slots(&file).into_iter().flatten().map(|(generation, _)| generation).max().unwrap_or(0);
        Ok(Watermark { file, path, generation: Cell::new(generation) })
    }

    /// Reads the watermark of `directory`.
    pub fn read(directory: &Path) -> Result<WatermarkState, StoreError> {
        let path = directory.join(WATERMARK_FILE);
        match File::open(&path) {
            Ok(file) => {
                let newest = slots(&file).into_iter().flatten().max_by_key(|(generation, _)| *generation);
                Ok(newest.map_or(WatermarkState::Unreadable, |(_, mark)| WatermarkState::Present(mark)))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(WatermarkState::Absent),
            Err(source) => Err(StoreError::Io { path, source }),
        }
    }

    /// Writes the record into the next slot. Does not wait for the disk.
    pub fn write(&self, mark: &WatermarkRecord) -> Result<(), StoreError> {
        let generation = self.generation.get().saturating_add(1);
        self.generation.set(generation);
        let at = generation % 2 * SLOT_BYTES;
        self.file.write_all_at(&encode(generation, mark), at).map_err(|source| self.fault(source))
    }

    /// Writes both slots and waits for the disk, for a new file.
    pub fn establish(&self, mark: &WatermarkRecord) -> Result<(), StoreError> {
        self.write(mark)?;
        self.write(mark)?;
        self.file.sync_all().map_err(|source| self.fault(source))
    }

    fn fault(&self, source: std::io::Error) -> StoreError {
        StoreError::Io { path: self.path.clone(), source }
    }
}

fn slots(file: &File) -> [Option<(u64, WatermarkRecord)>; 2] {
    [0, SLOT_BYTES].map(|at| {
        let mut bytes = [0u8; MARK_BYTES];
        file.read_exact_at(&mut bytes, at).ok()?;
        decode(&bytes)
    })
}

fn checksum(bytes: &[u8]) -> [u8; 8] {
    let mut sum = [0u8; 8];
    sum.iter_mut().zip(digest::digest(&digest::SHA256, bytes).as_ref()).for_each(|(to, from)| *to = *from);
    sum
}

fn encode(generation: u64, mark: &WatermarkRecord) -> [u8; MARK_BYTES] {
    let mut bytes = [0u8; MARK_BYTES];
    let parts: [&[u8]; 7] = [
        &MAGIC,
        &generation.to_le_bytes(),
        &mark.file_id,
        &mark.epoch.to_le_bytes(),
        &mark.seq.get().to_le_bytes(),
        &mark.link.0,
        &mark.synced.get().to_le_bytes(),
    ];
    bytes.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
    let sum = checksum(&bytes[..CHECKSUM_AT]);
    bytes[CHECKSUM_AT..].copy_from_slice(&sum);
    bytes
}

fn decode(bytes: &[u8; MARK_BYTES]) -> Option<(u64, WatermarkRecord)> {
    let (body, sum) = bytes.split_at(CHECKSUM_AT);
    if sum != checksum(body) {
        return None;
    }
    let mut rest = body;
    let magic: [u8; 4] = take(&mut rest)?;
    let generation = u64::from_le_bytes(take(&mut rest)?);
    let file_id = take(&mut rest)?;
    let epoch = u64::from_le_bytes(take(&mut rest)?);
    let seq = Seq::new(u64::from_le_bytes(take(&mut rest)?))?;
    let link = ChainLink(take(&mut rest)?);
    let synced = Seq::new(u64::from_le_bytes(take(&mut rest)?))?;
    (magic == MAGIC).then_some((generation, WatermarkRecord { file_id, epoch, seq, link, synced }))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (part, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*part)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
