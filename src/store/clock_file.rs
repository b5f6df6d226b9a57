//! The clock file beside the database: the last instant that a running server knew, for the guard of the next start.
//!
//! The file is written at a start, once a minute and at an ordered end (`two_slots`). Nothing that is acknowledged depends on it: without it
//! the guard compares with the last event.

use std::io;
use std::path::Path;

use super::two_slots::{TwoSlotFile, joined, take};
use crate::types::UnixMillis;

/// Clock file inside the data directory.
pub const CLOCK_FILE: &str = "firstcome.clock";

const MAGIC: [u8; 4] = *b"FCC1";
const CONTENT_BYTES: usize = 64;

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
    slots: TwoSlotFile<CONTENT_BYTES>,
    file_id: [u8; 16],
}

impl ClockFile {
    /// Opens the clock file of `directory` or creates it, for its owner alone.
    ///
    /// # Errors
    /// If the file cannot be opened for writing.
    pub fn open(directory: &Path, file_id: [u8; 16]) -> io::Result<ClockFile> {
        Ok(ClockFile { slots: TwoSlotFile::open(&directory.join(CLOCK_FILE), MAGIC)?, file_id })
    }

    /// Returns the newest instant that was kept for this database, if there is one.
    #[must_use]
    pub fn read(&self) -> Option<KeptInstant> {
        let (file_id, kept) = decode(&self.slots.newest()?)?;
        (file_id == self.file_id).then_some(kept)
    }

    /// Writes an instant into the next slot.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn keep(&self, kept: &KeptInstant) -> io::Result<()> {
        self.slots.write(&encode(&self.file_id, kept))
    }

    /// Waits until what was written is on the disk.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn sync(&self) -> io::Result<()> {
        self.slots.sync()
    }
}

fn encode(file_id: &[u8; 16], kept: &KeptInstant) -> [u8; CONTENT_BYTES] {
    let KeptInstant { known, decided, wall, boot } = kept;
    // An id of zeros stands for a system without a boot clock.
    let boot = boot.unwrap_or(BootTime { boot_id: [0; 16], since_boot_ms: 0 });
    joined(&[
        file_id,
        &boot.boot_id,
        &boot.since_boot_ms.to_le_bytes(),
        &known.get().to_le_bytes(),
        &decided.get().to_le_bytes(),
        &wall.get().to_le_bytes(),
    ])
}

fn decode(content: &[u8; CONTENT_BYTES]) -> Option<([u8; 16], KeptInstant)> {
    let mut rest: &[u8] = content;
    let file_id = take(&mut rest)?;
    let boot_id: [u8; 16] = take(&mut rest)?;
    let since_boot_ms = i64::from_le_bytes(take(&mut rest)?);
    let boot = (boot_id != [0; 16]).then_some(BootTime { boot_id, since_boot_ms });
    let known = UnixMillis::new(i64::from_le_bytes(take(&mut rest)?))?;
    let decided = UnixMillis::new(i64::from_le_bytes(take(&mut rest)?))?;
    let wall = UnixMillis::new(i64::from_le_bytes(take(&mut rest)?))?;
    Some((file_id, KeptInstant { known, decided, wall, boot }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::hex;

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
    }

    /// Bytes of a file that a program before `two_slots` wrote: generation 2 in the first slot, 1 in the second.
    const GOLDEN: [&str; 2] = [
        "4643433102000000000000000101010101010101010101010101010100000000000000000000000000000000000000000000\
         00000071020000000000e874020000000000d0780200000000002f7726d6aa217fe9",
        "4643433101000000000000000101010101010101010101010101010105050505050505050505050505050505640000000000\
         0000a086010000000000888a010000000000708e0100000000000d68884f85cff52c",
    ];

    #[test]
    fn older_files_are_read_and_newer_ones_have_the_same_bytes() {
        let slot = |at: usize| hex::decode(GOLDEN[at]).expect("hexadecimal digits");
        let mut bytes = vec![0u8; 512 + 84];
        bytes[..84].copy_from_slice(&slot(0));
        bytes[512..].copy_from_slice(&slot(1));
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join(CLOCK_FILE);
        std::fs::write(&path, &bytes).expect("written");
        let kept = ClockFile::open(scratch.path(), [1; 16]).expect("opened").read();
        assert_eq!(kept, Some(KeptInstant { boot: None, ..instant(160) }));

        std::fs::remove_file(&path).expect("removed");
        let made = ClockFile::open(scratch.path(), [1; 16]).expect("made");
        made.keep(&instant(100)).expect("written");
        made.keep(&KeptInstant { boot: None, ..instant(160) }).expect("written");
        assert_eq!(std::fs::read(&path).expect("read"), bytes);
    }
}
