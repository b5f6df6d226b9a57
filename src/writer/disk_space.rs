//! Free space on the disk: the writer stops selling before the disk is full, and resumes when space is free again.

use std::path::Path;

/// Part of the bound that must be free beyond it before sales resume: a quarter, so that the state does not flap.
const RESUME_DIVISOR: u64 = 4;

/// Free bytes of a file system, and the bound below which the writer stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FreeSpace {
    pub(super) free_bytes: u64,
    min_bytes: u64,
}

impl FreeSpace {
    /// Measures the file system of `path`. If that fails, all space counts as free: a failed write reports a full disk.
    pub(super) fn of(path: &Path, min_bytes: u64) -> FreeSpace {
        let free_bytes =
            rustix::fs::statvfs(path).map_or(u64::MAX, |found| found.f_bavail.saturating_mul(found.f_frsize.max(1)));
        FreeSpace { free_bytes, min_bytes }
    }

    /// Returns true if sales must stop.
    pub(super) fn is_short(self) -> bool {
        self.free_bytes < self.min_bytes
    }

    /// Returns true if sales may resume.
    pub(super) fn is_ample(self) -> bool {
        self.free_bytes >= self.min_bytes.saturating_add(self.min_bytes / RESUME_DIVISOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sales_stop_below_the_bound_and_resume_a_quarter_above_it() {
        let at = |free_bytes| FreeSpace { free_bytes, min_bytes: 1000 };
        assert_eq!((at(999).is_short(), at(1000).is_short()), (true, false));
        assert_eq!((at(1249).is_ample(), at(1250).is_ample()), (false, true));
        let nothing_asked = FreeSpace { free_bytes: 0, min_bytes: 0 };
        assert!(!nothing_asked.is_short() && nothing_asked.is_ample());
    }

    #[test]
    fn what_cannot_be_measured_counts_as_free() {
        assert_eq!(FreeSpace::of(Path::new("/no/such/place"), 1).free_bytes, u64::MAX);
        let measured = FreeSpace::of(Path::new("/"), 1).free_bytes;
        assert!((1..u64::MAX).contains(&measured), "{measured}");
    }
}
