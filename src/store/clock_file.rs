//! The clock file beside the database: the last instant that a running server knew, for the guard of the next start.
//!
//! It is written once a minute and at an ordered end. Two slots, each with a checksum, are written in turn, so that a torn
//! write leaves the older one intact. Nothing that is acknowledged depends on it: without it the guard compares with the
//! last event.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use aws_lc_rs::digest;

use super::ownership::open_private;
use crate::types::UnixMillis;

/// Clock file inside the data directory.
pub const CLOCK_FILE: &str = "firstcome.clock";

const MAGIC: [u8; 4] = *b"FCC1";
/// One sector per slot, so that a torn write never damages both.
const SLOT_BYTES: u64 = 512;
const CHECKSUM_AT: usize = 76;
const RECORD_BYTES: usize = 84;

/// A reading of the boot clock, which runs while the machine sleeps and begins with each boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BootTime {
    /// Random id of the boot; only readings of one boot can be compared.
    pub boot_id: [u8; 16],
    /// Milliseconds since that boot, sleep included.
    pub since_boot_ms: i64,
}

/// All clocks of a server at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeptInstant {
    /// Time by the wall clock that the start accepted, carried on by the boot clock.
    pub known: UnixMillis,
    /// Time by the clock of decisions.
    pub decided: UnixMillis,
    /// Time that the wall clock showed.
    pub wall: UnixMillis,
    /// The boot clock, where the system has one.
    pub boot: Option<BootTime>,
}

/// The open clock file of one database.
#[derive(Debug)]
pub struct ClockFile {
    file: File,
    file_id: [u8; 16],
    /// Number of writes; its lowest bit selects the slot.
    generation: Cell<u64>,
}

impl ClockFile {
    /// Opens the clock file of `directory` or creates it, for its owner alone.
    ///
    /// # Errors
    /// If the file cannot be opened for writing.
    pub fn open(directory: &Path, file_id: [u8; 16]) -> io::Result<ClockFile> {
        let file = open_private(&directory.join(CLOCK_FILE))?;
        let generation = slots(&file).into_iter().flatten().map(|slot| slot.generation).max().unwrap_or(0);
        Ok(ClockFile { file, file_id, generation: Cell::new(generation) })
    }

    /// Returns the newest instant that was kept for this database, if there is one.
    #[must_use]
    pub fn read(&self) -> Option<KeptInstant> {
        let newest = slots(&self.file).into_iter().flatten().max_by_key(|slot| slot.generation)?;
        (newest.file_id == self.file_id).then_some(newest.kept)
    }

    /// Writes an instant into the next slot.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn keep(&self, kept: &KeptInstant) -> io::Result<()> {
        let generation = self.generation.get().saturating_add(1);
        self.generation.set(generation);
        let slot = Slot { generation, file_id: self.file_id, kept: *kept };
        self.file.write_all_at(&encode(&slot), generation % 2 * SLOT_BYTES)
    }

    /// Waits until what was written is on the disk.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

struct Slot {
    generation: u64,
    file_id: [u8; 16],
    kept: KeptInstant,
}

fn slots(file: &File) -> [Option<Slot>; 2] {
    [0, SLOT_BYTES].map(|at| {
        let mut bytes = [0u8; RECORD_BYTES];
        file.read_exact_at(&mut bytes, at).ok()?;
        decode(&bytes)
    })
}

fn checksum(bytes: &[u8]) -> [u8; 8] {
    let mut sum = [0u8; 8];
    sum.iter_mut().zip(digest::digest(&digest::SHA256, bytes).as_ref()).for_each(|(to, from)| *to = *from);
    sum
}

fn encode(slot: &Slot) -> [u8; RECORD_BYTES] {
    let Slot { generation, file_id, kept: KeptInstant { known, decided, wall, boot } } = slot;
    // An id of zeros stands for a system without a boot clock.
    let boot = boot.unwrap_or(BootTime { boot_id: [0; 16], since_boot_ms: 0 });
    let mut bytes = [0u8; RECORD_BYTES];
    let parts: [&[u8]; 8] = [
        &MAGIC,
        &generation.to_le_bytes(),
        file_id,
        &boot.boot_id,
        &boot.since_boot_ms.to_le_bytes(),
        &known.get().to_le_bytes(),
        &decided.get().to_le_bytes(),
        &wall.get().to_le_bytes(),
    ];
    bytes.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
    let sum = checksum(&bytes[..CHECKSUM_AT]);
    bytes[CHECKSUM_AT..].copy_from_slice(&sum);
    bytes
}

fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<Slot> {
    let (body, sum) = bytes.split_at(CHECKSUM_AT);
    if sum != checksum(body) {
        return None;
    }
    let mut rest = body;
    let magic: [u8; 4] = take(&mut rest)?;
    let generation = u64::from_le_bytes(take(&mut rest)?);
    let file_id = take(&mut rest)?;
    let boot_id: [u8; 16] = take(&mut rest)?;
    let since_boot_ms = i64::from_le_bytes(take(&mut rest)?);
    let boot = (boot_id != [0; 16]).then_some(BootTime { boot_id, since_boot_ms });
    let known = UnixMillis::new(i64::from_le_bytes(take(&mut rest)?))?;
    let decided = UnixMillis::new(i64::from_le_bytes(take(&mut rest)?))?;
    let wall = UnixMillis::new(i64::from_le_bytes(take(&mut rest)?))?;
    (magic == MAGIC).then_some(Slot { generation, file_id, kept: KeptInstant { known, decided, wall, boot } })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (part, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(second: i64) -> KeptInstant {
        let at = |more: i64| UnixMillis::new((second + more) * 1000).expect("in range");
        let boot = Some(BootTime { boot_id: [5; 16], since_boot_ms: second });
        KeptInstant { known: at(0), decided: at(1), wall: at(2), boot }
    }

    #[test]
    fn the_newest_intact_instant_of_this_database_counts() {
        let scratch = tempfile::tempdir().expect("scratch");
        let open = |id| ClockFile::open(scratch.path(), [id; 16]).expect("opened");
        assert_eq!(open(1).read(), None);
        open(1).keep(&instant(100)).expect("written");
        open(1).keep(&KeptInstant { boot: None, ..instant(160) }).expect("written");
        assert_eq!(open(1).read(), Some(KeptInstant { boot: None, ..instant(160) }));
        assert_eq!(open(2).read(), None, "kept for another database");

        let path = scratch.path().join(CLOCK_FILE);
        let whole = std::fs::read(&path).expect("read");
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            std::fs::write(&path, &flipped).expect("written");
            let found = open(1).read().map(|kept| kept.known);
            assert!([Some(instant(100).known), Some(instant(160).known)].contains(&found), "bit at {at}: {found:?}");
        }
        for length in [0, 1, 83, 511, 512, 560] {
            std::fs::write(&path, &whole[..length]).expect("cut");
            let found = open(1).read().map(|kept| kept.known);
            assert!(found.is_none_or(|known| known >= instant(100).known), "cut at {length}: {found:?}");
        }
    }
}
