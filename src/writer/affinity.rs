//! Pinning the writer to a core: its caches stay warm and no serving thread pushes it aside.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where the writer's thread runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CpuAffinity {
    /// On the last core of the process, if it has more than two.
    Auto,
    /// Wherever the kernel likes.
    Off,
    /// On this core.
    Core(usize),
}

/// Pins the calling thread. Returns the core, if it was pinned.
///
/// The mask is the process's own, not 0..n: containers get any set of cores.
pub fn apply(affinity: CpuAffinity) -> Option<usize> {
    let mask = sched_getaffinity(None).ok()?;
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| mask.is_set(*core)).collect();
    let core = match affinity {
        CpuAffinity::Off => return None,
        CpuAffinity::Auto if cores.len() > 2 => *cores.last()?,
        CpuAffinity::Auto => return None,
        CpuAffinity::Core(core) => core,
    };
    let mut only = CpuSet::new();
    only.set(core);
    match sched_setaffinity(None, &only) {
        Ok(()) => Some(core),
        Err(error) => {
            tracing::warn!(core, %error, "the writer could not be pinned; it runs on any core");
            None
        }
    }
}
