//! Pinning of the writer's thread to a core: its caches stay warm, and no worker displaces it.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// CPU core of the writer's thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CpuAffinity {
    /// The last core of the process, if it has two or more.
    Auto,
    Off,
    Core(usize),
}

/// Lets a thread that the pinned one has started run on every core of the process.
pub fn release() {
    // The main thread is not pinned. A failure leaves this thread slow.
    let _unchanged = sched_getaffinity(Some(rustix::process::getpid())).and_then(|mask| sched_setaffinity(None, &mask));
}

/// Pins the calling thread. Returns the core if it was pinned.
///
/// Cores are counted in the process's own mask, because containers get any set of cores.
pub fn apply(affinity: CpuAffinity) -> Option<usize> {
    let mask = sched_getaffinity(None).ok()?;
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| mask.is_set(*core)).collect();
    let core = choose(affinity, &cores)?;
    let mut only = CpuSet::new();
    only.set(core);
    match sched_setaffinity(None, &only) {
        Ok(()) => Some(core),
        Err(error) => {
            tracing::warn!(core, %error, "writer thread not pinned: it runs on any core");
            None
        }
    }
}

/// Returns the core to pin to, of the cores that the process may use.
fn choose(affinity: CpuAffinity, cores: &[usize]) -> Option<usize> {
    match (affinity, cores) {
        (CpuAffinity::Core(core), _) => Some(core),
        // Two cores are enough: the figures are in src/config/README.md.
        (CpuAffinity::Auto, [_, .., last]) => Some(*last),
        (CpuAffinity::Auto, [_] | []) | (CpuAffinity::Off, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores_of_this_thread() -> Vec<usize> {
        let mask = sched_getaffinity(None).expect("read");
        (0..CpuSet::MAX_CPU).filter(|core| mask.is_set(*core)).collect()
    }

    #[test]
    fn a_pinned_thread_runs_on_its_core_alone_until_it_is_released() {
        let cores = cores_of_this_thread();
        let pinned = |affinity| {
            let thread = std::thread::spawn(move || {
                let pinned = apply(affinity);
                let own = cores_of_this_thread();
                release();
                (pinned, own, cores_of_this_thread())
            });
            thread.join().expect("it ends")
        };
        for core in &cores {
            assert_eq!(pinned(CpuAffinity::Core(*core)), (Some(*core), vec![*core], cores.clone()));
        }
        assert_eq!(pinned(CpuAffinity::Off), (None, cores.clone(), cores.clone()));
        assert_eq!(pinned(CpuAffinity::Core(CpuSet::MAX_CPU - 1)).0, None, "no machine of ours has that core");
    }

    #[test]
    fn the_writer_has_the_last_of_two_or_more_cores() {
        assert_eq!(choose(CpuAffinity::Auto, &[0]), None);
        assert_eq!(choose(CpuAffinity::Auto, &[0, 1]), Some(1));
        assert_eq!(choose(CpuAffinity::Auto, &[2, 5, 7]), Some(7));
        assert_eq!(choose(CpuAffinity::Off, &[0, 1]), None);
        assert_eq!(choose(CpuAffinity::Core(0), &[0, 1]), Some(0));
    }
}
