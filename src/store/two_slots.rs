//! A small file of two slots, written in turn, each with a generation and a checksum: a torn write leaves the older slot
//! intact. The watermark and the clock file have this form.
//!
//! A slot: 4 bytes of magic, the generation as 8 bytes in little-endian order, the content, and the first 8 bytes of the
//! SHA-256 of all of these.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use aws_lc_rs::digest;

use super::ownership::open_private;

/// One sector per slot, so that a torn write never damages both.
const SLOT_BYTES: u64 = 512;
/// Bytes before the content: magic and generation.
const HEADER_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 8;
/// Longest slot that is used.
const USED_BYTES_MAX: usize = 128;

/// The open file, whose slots have `CONTENT` bytes of content.
#[derive(Debug)]
pub(super) struct TwoSlotFile<const CONTENT: usize> {
    file: File,
    magic: [u8; 4],
    /// Number of writes; its lowest bit selects the slot.
    generation: Cell<u64>,
}

impl<const CONTENT: usize> TwoSlotFile<CONTENT> {
    const CHECKSUM_AT: usize = HEADER_BYTES + CONTENT;
    const USED_BYTES: usize = {
        assert!(Self::CHECKSUM_AT + CHECKSUM_BYTES <= USED_BYTES_MAX);
        Self::CHECKSUM_AT + CHECKSUM_BYTES
    };

    /// Opens a file or creates it, for its owner alone. Writes continue after its generation.
    pub(super) fn open(path: &Path, magic: [u8; 4]) -> io::Result<Self> {
        let file = open_private(path)?;
        let generation = Self::newest_slot(&file, magic).map_or(0, |(generation, _)| generation);
        Ok(TwoSlotFile { file, magic, generation: Cell::new(generation) })
    }

    /// Returns the content of the newest intact slot, if there is one.
    pub(super) fn newest(&self) -> Option<[u8; CONTENT]> {
        Self::newest_of(&self.file, self.magic)
    }

    /// Returns the same of any open file.
    pub(super) fn newest_of(file: &File, magic: [u8; 4]) -> Option<[u8; CONTENT]> {
        Self::newest_slot(file, magic).map(|(_, content)| content)
    }

    /// Writes the next slot. Does not wait for the disk.
    pub(super) fn write(&self, content: &[u8; CONTENT]) -> io::Result<()> {
        let generation = self.generation.get().saturating_add(1);
        self.generation.set(generation);
        let mut bytes = [0u8; USED_BYTES_MAX];
        let parts: [&[u8]; 3] = [&self.magic, &generation.to_le_bytes(), content];
        bytes.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        let sum = checksum(&bytes[..Self::CHECKSUM_AT]);
        bytes[Self::CHECKSUM_AT..Self::USED_BYTES].copy_from_slice(&sum);
        self.file.write_all_at(&bytes[..Self::USED_BYTES], generation % 2 * SLOT_BYTES)
    }

    pub(super) fn descriptor(&self) -> i32 {
        self.file.as_raw_fd()
    }

    /// Waits until what was written is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn newest_slot(file: &File, magic: [u8; 4]) -> Option<(u64, [u8; CONTENT])> {
        let slots = [0, SLOT_BYTES].map(|at| {
            let mut bytes = [0u8; USED_BYTES_MAX];
            let used = &mut bytes[..Self::USED_BYTES];
            file.read_exact_at(used, at).ok()?;
            Self::decode(used, magic)
        });
        slots.into_iter().flatten().max_by_key(|(generation, _)| *generation)
    }

    fn decode(used: &[u8], magic: [u8; 4]) -> Option<(u64, [u8; CONTENT])> {
        let (body, sum) = used.split_at_checked(Self::CHECKSUM_AT)?;
        let mut rest = body;
        let is_intact = sum == checksum(body) && take(&mut rest)? == magic;
        let generation = u64::from_le_bytes(take(&mut rest)?);
        is_intact.then_some((generation, take(&mut rest)?))
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut sum = [0u8; CHECKSUM_BYTES];
    sum.iter_mut().zip(digest::digest(&digest::SHA256, bytes).as_ref()).for_each(|(to, from)| *to = *from);
    sum
}

/// Takes the next bytes of a content.
pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (part, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*part)
}

/// Returns the parts of a content, one after the other.
pub(super) fn joined<const CONTENT: usize>(parts: &[&[u8]]) -> [u8; CONTENT] {
    let mut content = [0u8; CONTENT];
    content.iter_mut().zip(parts.iter().copied().flatten()).for_each(|(to, from)| *to = *from);
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: [u8; 4] = *b"TEST";

    #[test]
    fn whatever_bit_or_end_is_lost_one_of_the_last_two_contents_is_read() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("file");
        let open = |magic| TwoSlotFile::<16>::open(&path, magic).expect("opened");
        assert_eq!(open(MAGIC).newest(), None);
        for number in 1..=3 {
            // Each opening goes on after what is in the file.
            open(MAGIC).write(&[number; 16]).expect("written");
            assert_eq!(open(MAGIC).newest(), Some([number; 16]));
        }
        assert_eq!(open(*b"ELSE").newest(), None, "a file of another kind");

        let whole = std::fs::read(&path).expect("read");
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            std::fs::write(&path, &flipped).expect("written");
            let found = open(MAGIC).newest();
            assert!([Some([2; 16]), Some([3; 16])].contains(&found), "bit at {at}: {found:?}");
        }
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).expect("cut");
            let found = open(MAGIC).newest();
            assert!([None, Some([2; 16]), Some([3; 16])].contains(&found), "cut at {length}: {found:?}");
        }
    }
}
