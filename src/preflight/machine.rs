//! Checks of the machine: clock, disk and kernel.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::finding::Finding;
use crate::config::{self, Config};

/// Time limit for another program.
const PROGRAM_WITHIN: Duration = Duration::from_secs(2);
/// Limit for the output of another program.
const OUTPUT_BYTES_MAX: u64 = 16 * 1024;
/// Number of measured syncs: few enough not to disturb a running sale, and enough for a median.
const SYNCS: usize = 11;
/// Every batch waits for a sync: above the first limit buyers notice it, above the second the plan's 150 ms are exceeded.
const SYNC_WARN: Duration = Duration::from_millis(10);
const SYNC_FAIL: Duration = Duration::from_millis(50);

/// Checks that a time service keeps the clock.
pub fn clock_synchronization() -> Finding {
    let systemd = output_of("timedatectl", &["show", "--property=NTPSynchronized", "--value"]);
    let chrony = output_of("chronyc", &["-n", "tracking"]);
    judge_clock(systemd.as_deref(), chrony.as_deref())
}

/// Checks that a start with a wrong clock is refused.
pub fn clock_guard(accept_clock: bool) -> Finding {
    const CHECK: &str = "clock guard";
    if accept_clock {
        return Finding::warn(
            CHECK,
            "off: clock.accept = true; a start with a wrong clock expires orders and ends drops for good",
            "remove clock.accept (FIRSTCOME__CLOCK__ACCEPT) after the start that needed it",
        );
    }
    Finding::pass(
        CHECK,
        "a start is refused if the wall clock is 60 s behind the last run's, or 1 h ahead of it (after a boot: while anything is \
         due); within a boot a step of 60 s to 1 h is not adopted while anything is due",
    )
}

fn judge_clock(systemd: Option<&str>, chrony: Option<&str>) -> Finding {
    const CHECK: &str = "clock kept";
    let by_chrony = chrony.and_then(|output| {
        let line = output.lines().find(|line| line.starts_with("Leap status"))?;
        line.split_once(':').map(|(_, status)| !status.contains("Not synchronised"))
    });
    let by_systemd = systemd.map(str::trim).and_then(|output| match output {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    });
    match (by_systemd, by_chrony) {
        (Some(true), _) | (_, Some(true)) => Finding::pass(CHECK, "synchronised"),
        (Some(false), _) | (_, Some(false)) => Finding::fail(
            CHECK,
            "not synchronised: the sale would begin and end at the wrong time",
            "start a time service (systemd-timesyncd, chrony) and wait until `timedatectl` says yes",
        ),
        (None, None) => Finding::warn(
            CHECK,
            "unknown: neither timedatectl nor chronyc is available",
            "check the machine's time service yourself; in a container, the host's",
        ),
    }
}

/// Returns the output of a program that succeeds within the time limit.
fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let stdout = child.stdout.take()?;
    let (sender, receiver) = crossbeam_channel::bounded(1);
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.take(OUTPUT_BYTES_MAX).read_to_string(&mut text);
        let _given_up = sender.send(read.ok().map(|_| text));
    });
    let output = receiver.recv_timeout(PROGRAM_WITHIN).ok().flatten();
    if output.is_none() {
        let _ended_already = child.kill();
    }
    let succeeded = child.wait().is_ok_and(|status| status.success());
    let _ended = reader.join();
    output.filter(|_| succeeded)
}

/// Measures syncs in the directory of the database.
pub fn disk_syncs(data: &Path) -> Finding {
    const CHECK: &str = "disk syncs";
    match sync_times(data, SYNCS, Duration::MAX) {
        Ok(mut times) => {
            times.sort_unstable();
            let median = times.get(times.len() / 2).copied().unwrap_or_default();
            let slowest = times.last().copied().unwrap_or_default();
            let found = format!("median {}, slowest {} of {}", millis(median), millis(slowest), times.len());
            let to_do = "every batch waits for a sync: use a faster disk, or one that is not shared; \
                         writer.durability = interval may lose the last 20 ms in a power loss";
            Finding::graded(CHECK, median, (SYNC_WARN, SYNC_FAIL), found, to_do)
        }
        Err(error) => Finding::warn(
            CHECK,
            format!("not measured: {}: {error}", data.display()),
            "run preflight on the server's machine as the server's user, with its --data or --config",
        ),
    }
}

/// A file that is removed on drop.
struct ScratchFile(PathBuf);

impl Drop for ScratchFile {
    fn drop(&mut self) {
        let _left_behind = fs::remove_file(&self.0);
    }
}

/// Measures up to so many syncs of one appended page, for at most this long.
pub(super) fn sync_times(data: &Path, count: usize, lasts: Duration) -> io::Result<Vec<Duration>> {
    let path = data.join(format!(".preflight-{}", std::process::id()));
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let _scratch = ScratchFile(path);
    let page = [0u8; 4096];
    let (mut times, began) = (Vec::with_capacity(count), Instant::now());
    while times.len() < count && began.elapsed() < lasts {
        let start = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    Ok(times)
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// Compares the kernel's limits with the settings.
pub fn kernel(config: &Config, descriptors_max: Option<u64>) -> Vec<Finding> {
    let cookies = fs::read_to_string("/proc/sys/net/ipv4/tcp_syncookies").ok();
    let mut findings = limits(config, config::somaxconn(), descriptors_max);
    findings.push(judge_cookies(cookies.as_deref()));
    findings
}

fn limits(config: &Config, somaxconn: Option<i32>, descriptors_max: Option<u64>) -> Vec<Finding> {
    let of_backlog = config::warnings(config, somaxconn, None);
    let all = config::warnings(config, somaxconn, descriptors_max);
    let of_descriptors = all.iter().find(|mistake| !of_backlog.contains(mistake));
    let connections = config.limits.connections_max;
    let descriptors = match (of_descriptors, descriptors_max) {
        (Some(mistake), _) => {
            Finding::warn("descriptors", mistake.to_string(), "LimitNOFILE in the unit, or ulimit -n before the start")
        }
        (None, Some(max)) => Finding::pass("descriptors", format!("{max}, enough for {connections} connections")),
        (None, None) => {
            Finding::warn("descriptors", "unknown: the server does not report its limit", "run preflight again")
        }
    };
    let backlog = match (of_backlog.first(), somaxconn) {
        (Some(mistake), _) => {
            Finding::warn("somaxconn", mistake.to_string(), "sysctl -w net.core.somaxconn=4096, and start again")
        }
        (None, Some(max)) => Finding::pass("somaxconn", format!("{max}, enough for {connections} at once")),
        (None, None) => {
            Finding::warn("somaxconn", "unknown", "see /proc/sys/net/core/somaxconn on the server's machine")
        }
    };
    vec![descriptors, backlog]
}

fn judge_cookies(setting: Option<&str>) -> Finding {
    const CHECK: &str = "SYN cookies";
    match setting.map(str::trim) {
        Some("1" | "2") => Finding::pass(CHECK, "on"),
        Some(_) => Finding::warn(
            CHECK,
            "off: a flood of half-open connections would lock buyers out",
            "sysctl -w net.ipv4.tcp_syncookies=1",
        ),
        None => Finding::warn(CHECK, "unknown", "sysctl net.ipv4.tcp_syncookies on the server's machine"),
    }
}

/// File systems whose files end with the machine or the container, by their `statfs(2)` type.
const PASSING: [(u64, &str, &str); 3] = [
    (0x0102_1994, "tmpfs", "it is memory: a reboot or a power loss takes everything that was sold"),
    (0x8584_58f6, "ramfs", "it is memory: a reboot or a power loss takes everything that was sold"),
    (0x794c_7630, "an overlay", "it ends with its container, and everything that was sold with it"),
];

/// Checks that the file system of the database outlives the machine's and the container's end.
pub fn disk_kind(data: &Path) -> Finding {
    let found = rustix::fs::statfs(data).map(|found| u64::try_from(found.f_type).unwrap_or(0));
    judge_disk_kind(data, found.map_err(io::Error::from))
}

fn judge_disk_kind(data: &Path, found: io::Result<u64>) -> Finding {
    const CHECK: &str = "disk kind";
    match found {
        Ok(magic) => match PASSING.iter().find(|(known, ..)| *known == magic) {
            Some((_, kind, why)) => Finding::warn(
                CHECK,
                format!("{} is on {kind}: {why}", data.display()),
                "keep the data directory on a disk of the machine; in a container, on a volume",
            ),
            None => Finding::pass(CHECK, "neither memory nor a layer of a container"),
        },
        Err(error) => Finding::warn(
            CHECK,
            format!("unknown: {}: {error}", data.display()),
            "run preflight on the server's machine as the server's user, with its --data or --config",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_clock_is_synchronised_if_one_service_says_so() {
        let chrony = |status: &str| format!("Reference ID    : 7F7F0101\nLeap status     : {status}\n");
        let verdict = |systemd: Option<&str>, chrony: Option<&str>| judge_clock(systemd, chrony).verdict;
        assert_eq!(verdict(Some("yes\n"), None), Verdict::Pass);
        assert_eq!(verdict(Some("no\n"), Some(&chrony("Normal"))), Verdict::Pass);
        assert_eq!(verdict(None, Some(&chrony("Not synchronised"))), Verdict::Fail);
        assert_eq!(verdict(Some("no\n"), None), Verdict::Fail);
        assert_eq!(verdict(Some("what?"), Some("506 Cannot talk to daemon")), Verdict::Warn);
        assert_eq!(verdict(None, None), Verdict::Warn);
    }

    #[test]
    fn other_programs_have_a_time_limit() {
        assert_eq!(output_of("echo", &["yes"]).as_deref(), Some("yes\n"));
        assert_eq!(output_of("false", &[]), None);
        assert_eq!(output_of("no-such-program-of-preflight", &[]), None);
    }

    #[test]
    fn the_disk_is_measured_in_a_file_that_is_removed_afterwards() {
        let scratch = tempfile::tempdir().expect("scratch");
        assert_eq!(sync_times(scratch.path(), SYNCS, Duration::MAX).expect("measured").len(), SYNCS);
        assert_eq!(fs::read_dir(scratch.path()).expect("a directory").count(), 0);
        let nowhere = disk_syncs(&scratch.path().join("nowhere"));
        assert_eq!(nowhere.verdict, Verdict::Warn, "{nowhere:?}");
    }

    #[test]
    fn the_kernel_is_compared_with_the_settings() {
        let mut config = Config::defaults();
        config.http_threads = 2;
        let verdicts = |somaxconn, descriptors| -> Vec<Verdict> {
            limits(&config, somaxconn, descriptors).iter().map(|finding| finding.verdict).collect()
        };
        assert_eq!(verdicts(Some(4096), Some(20_000)), [Verdict::Pass, Verdict::Pass]);
        assert_eq!(verdicts(Some(4096), Some(1024)), [Verdict::Warn, Verdict::Pass]);
        assert_eq!(verdicts(Some(128), Some(20_000)), [Verdict::Pass, Verdict::Warn]);
        assert_eq!(verdicts(None, None), [Verdict::Warn, Verdict::Warn]);
        let cookies = [Some("1\n"), Some("0\n"), None].map(|setting| judge_cookies(setting).verdict);
        assert_eq!(cookies, [Verdict::Pass, Verdict::Warn, Verdict::Warn]);
    }

    #[test]
    fn a_file_system_that_ends_with_the_machine_or_the_container_is_a_warning() {
        let verdict = |magic| judge_disk_kind(Path::new("data"), Ok(magic)).verdict;
        assert_eq!([0x0102_1994, 0x8584_58f6, 0x794c_7630].map(verdict), [Verdict::Warn; 3]);
        assert_eq!([0xef53, 0x5846_5342, 0x9123_683e].map(verdict), [Verdict::Pass; 3], "ext4, XFS, Btrfs");
        assert_eq!(disk_kind(Path::new("/no/such/directory")).verdict, Verdict::Warn);
    }
}
