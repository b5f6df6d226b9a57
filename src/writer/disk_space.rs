//! Free space on the disk: the writer stops selling before the disk is full, and resumes when space is free again.

use std::path::Path;

/// How much more than the bound must be free before selling goes on: a quarter, so that it does not flap.
const AGAIN_DIVISOR: u64 = 4;

/// What is free, and what must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FreeSpace {
    pub(super) free_bytes: u64,
    min_bytes: u64,
}

impl FreeSpace {
    /// Looks at the file system of `path`. Where the system does not say, there is room: a write will tell.
    pub(super) fn of(path: &Path, min_bytes: u64) -> FreeSpace {
        let free_bytes =
            rustix::fs::statvfs(path).map_or(u64::MAX, |found| found.f_bavail.saturating_mul(found.f_frsize.max(1)));
        FreeSpace { free_bytes, min_bytes }
    }

    /// Whether it is time to stop.
    pub(super) fn is_short(self) -> bool {
        self.free_bytes < self.min_bytes
    }

    /// Whether it is worth a try again.
    pub(super) fn is_ample(self) -> bool {
        self.free_bytes >= self.min_bytes.saturating_add(self.min_bytes / AGAIN_DIVISOR)
    }
}
