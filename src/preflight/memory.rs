//! The memory that this process can still take, on the machine and in its control groups (a container, a unit of systemd).

use std::fs;
use std::path::{Component, Path};

/// Returns the memory in bytes that this process can still take: the smaller of what the machine has available and what the control
/// groups leave. `root` is the root of the file system.
#[must_use]
pub fn available_bytes(root: &Path) -> Option<u64> {
    [left_by_machine(root), left_by_groups(root)].into_iter().flatten().min()
}

fn left_by_machine(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok()?.checked_mul(1024)
}

/// Returns the least that the process's own control group and its parents leave (version 2), or nothing without a limit.
fn left_by_groups(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let own = Path::new(groups.lines().find_map(|line| line.strip_prefix("0::"))?);
    // The group is outside of what this namespace shows.
    if own.components().any(|part| part == Component::ParentDir) {
        return None;
    }
    let top = root.join("sys/fs/cgroup");
    let below_top = own.strip_prefix("/").unwrap_or(own);
    below_top.ancestors().filter_map(|group| left_by(&top.join(group))).min()
}

/// Returns what a group with a limit leaves. The kernel takes back its inactive pages of files before it ends a process.
fn left_by(group: &Path) -> Option<u64> {
    let number = |name: &str| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
    let most = number("memory.max")?;
    let used = number("memory.current").unwrap_or(0);
    let statistics = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let inactive = statistics.lines().find_map(|line| line.strip_prefix("inactive_file "));
    let inactive = inactive.and_then(|value| value.trim().parse::<u64>().ok()).unwrap_or(0);
    Some(most.saturating_sub(used.saturating_sub(inactive)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("below the root")).expect("made");
        fs::write(path, text).expect("written");
    }

    #[test]
    fn the_smallest_of_the_machine_the_group_and_its_parents_counts() {
        let scratch = tempfile::tempdir().expect("scratch");
        let root = scratch.path();
        assert_eq!(available_bytes(root), None, "no file is there");
        write(root, "proc/meminfo", "MemTotal:  9000 kB\nMemAvailable:    8000 kB\nBuffers: 1 kB\n");
        assert_eq!(available_bytes(root), Some(8_192_000), "no control group");
        write(root, "proc/self/cgroup", "4:memory:/old\n0::/a/b\n");
        assert_eq!(available_bytes(root), Some(8_192_000), "no files of the groups");
        write(root, "sys/fs/cgroup/a/b/memory.max", "max\n");
        write(root, "sys/fs/cgroup/a/b/memory.current", "7000\n");
        assert_eq!(available_bytes(root), Some(8_192_000), "no limit");

        write(root, "sys/fs/cgroup/a/memory.max", "10000\n");
        assert_eq!(available_bytes(root), Some(10_000), "a parent's limit; its use is not known");
        write(root, "sys/fs/cgroup/a/memory.current", "8000\n");
        assert_eq!(available_bytes(root), Some(2_000));
        write(root, "sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 3000\nactive_file 4000\n");
        assert_eq!(available_bytes(root), Some(5_000), "inactive pages of files can be taken back");

        write(root, "sys/fs/cgroup/a/b/memory.max", "7100\n");
        assert_eq!(available_bytes(root), Some(100), "the group itself is the smallest");
        write(root, "sys/fs/cgroup/a/b/memory.current", "9000\n");
        assert_eq!(available_bytes(root), Some(0), "over its limit");

        write(root, "proc/self/cgroup", "0::/\n");
        assert_eq!(available_bytes(root), Some(8_192_000), "the top has no limit");
        write(root, "sys/fs/cgroup/memory.max", "6000\n");
        assert_eq!(available_bytes(root), Some(6_000), "a container sees its own group as the top");
        write(root, "proc/self/cgroup", "0::/../a\n");
        assert_eq!(available_bytes(root), Some(8_192_000), "a group outside of the namespace");
        fs::remove_file(root.join("proc/meminfo")).expect("removed");
        write(root, "proc/self/cgroup", "0::/a\n");
        assert_eq!(available_bytes(root), Some(5_000), "only the group is known");
    }
}
