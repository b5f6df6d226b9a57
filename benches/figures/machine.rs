//! The machine: its own lateness, the share that the host takes, limits of memory, and a process's memory and threads.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The state of the idle machine before a load.
pub(crate) struct Quiet {
    lateness_ms: f64,
    ticks: (f64, f64),
}

/// The state of the machine during a load.
pub(crate) struct Load {
    /// 99th percentile of the lateness of a sleep of a millisecond, before the load.
    pub(crate) lateness_ms: f64,
    /// Share of the machine that the host took for others during the load.
    pub(crate) stolen_percent: f64,
}

impl Quiet {
    /// Measures for three seconds how late a sleep of a millisecond ends while nothing else runs: the part of a latency
    /// that the machine itself adds (as jHiccup measures it).
    pub(crate) fn measure() -> Result<Quiet, String> {
        let (pause, began) = (Duration::from_millis(1), Instant::now());
        let mut late = Vec::new();
        while began.elapsed() < Duration::from_secs(3) {
            let before = Instant::now();
            wait(pause);
            late.push(before.elapsed().saturating_sub(pause).as_secs_f64() * 1e3);
        }
        late.sort_by(f64::total_cmp);
        let lateness_ms = late.get(late.len() * 99 / 100).copied().unwrap_or(f64::NAN);
        Ok(Quiet { lateness_ms, ticks: ticks()? })
    }

    /// The end of the load.
    pub(crate) fn after_load(self) -> Result<Load, String> {
        let ((stolen_before, all_before), (stolen, all)) = (self.ticks, ticks()?);
        let stolen_percent = 100.0 * (stolen - stolen_before) / (all - all_before).max(1.0);
        Ok(Load { lateness_ms: self.lateness_ms, stolen_percent })
    }
}

#[expect(clippy::disallowed_methods, reason = "the time itself is what is waited for")]
pub(crate) fn wait(time: Duration) {
    std::thread::sleep(time);
}

/// Ticks that the host has taken for others (steal), and all ticks.
fn ticks() -> Result<(f64, f64), String> {
    let text = read(Path::new("/proc/stat"))?;
    let all = text.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = all.split_whitespace().skip(1).take(8).filter_map(|field| field.parse().ok()).collect();
    let steal = ticks.get(7).copied().ok_or("/proc/stat has no steal time")?;
    Ok((steal, ticks.iter().sum()))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Megabytes of a field of `/proc/PID/status`: `VmRSS`, `VmHWM`, `RssAnon`.
pub(crate) fn megabytes(process: u32, field: &str) -> Result<f64, String> {
    let text = read(Path::new(&format!("/proc/{process}/status")))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.map(|kilobytes| kilobytes / 1024.0).ok_or_else(|| format!("no {field} of process {process}"))
}

/// CPU time of a process in milliseconds: of its query thread, which answers scrapes, and of all its threads.
pub(crate) fn worked_ms(process: u32) -> Result<(f64, f64), String> {
    let tasks = PathBuf::from(format!("/proc/{process}/task"));
    let entries = fs::read_dir(&tasks).map_err(|error| format!("{}: {error}", tasks.display()))?;
    let (mut query, mut all) = (0.0, 0.0);
    for task in entries.flatten().map(|entry| entry.path()) {
        let text = read(&task.join("schedstat"))?;
        let nanoseconds: f64 = text.split_whitespace().next().and_then(|field| field.parse().ok()).unwrap_or(0.0);
        all += nanoseconds / 1e6;
        if read(&task.join("comm"))?.starts_with(QUERY_THREAD) {
            query += nanoseconds / 1e6;
        }
    }
    if query > 0.0 { Ok((query, all)) } else { Err(format!("no thread is called {QUERY_THREAD}")) }
}

/// Appended pages that the disk makes durable in a second, one after another, in this directory.
pub(crate) fn syncs_per_second(directory: &Path) -> Result<f64, String> {
    let mut file = tempfile::tempfile_in(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let (began, mut syncs) = (Instant::now(), 0u32);
    while began.elapsed() < Duration::from_secs(1) {
        file.write_all(&[7; 4096]).and_then(|()| file.sync_data()).map_err(|error| format!("fdatasync: {error}"))?;
        syncs += 1;
    }
    Ok(f64::from(syncs) / began.elapsed().as_secs_f64())
}

const QUERY_THREAD: &str = "fc-query";

/// A limit of memory for a process that is started, if this machine lets us set one.
pub(crate) struct MemoryLimit {
    /// For the table: the means and the limit.
    pub(crate) name: String,
    /// Words before the command.
    pub(crate) prefix: Vec<String>,
    /// The group that was made for it.
    group: Option<PathBuf>,
}

impl MemoryLimit {
    /// By systemd where it runs, else by a control group below this process's own (version 2 or 1).
    pub(crate) fn new(megabytes: u32) -> MemoryLimit {
        let limit = format!("MemoryMax={megabytes}M");
        let scope = ["systemd-run", "--quiet", "--scope", "-p", &limit, "-p", "MemorySwapMax=0"];
        let probe = |words: &[&str]| Command::new(words[0]).args(&words[1..]).arg("true").output();
        if Path::new("/run/systemd/system").is_dir() && probe(&scope).is_ok_and(|output| output.status.success()) {
            let prefix = scope.map(str::to_owned).to_vec();
            return MemoryLimit { name: format!("systemd-run, {limit}"), prefix, group: None };
        }
        by_group(megabytes).unwrap_or_else(|| MemoryLimit {
            name: "no limit here".into(),
            prefix: Vec::new(),
            group: None,
        })
    }
}

fn by_group(megabytes: u32) -> Option<MemoryLimit> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let of = |prefix: &str| own.lines().find_map(|line| line.split_once(prefix).map(|(_, path)| path.to_owned()));
    let name = format!("firstcome.{}", std::process::id());
    let second = Path::new("/sys/fs/cgroup").join(of("0::").unwrap_or_default().trim_start_matches('/'));
    let (parent, file) = if second.join("cgroup.controllers").exists() {
        (second, "memory.max")
    } else {
        let path = of(":memory:")?;
        (Path::new("/sys/fs/cgroup/memory").join(path.trim_start_matches('/')), "memory.limit_in_bytes")
    };
    let group = parent.join(name);
    fs::create_dir(&group).ok()?;
    if fs::write(group.join(file), format!("{megabytes}M")).is_err() {
        let _left_behind = fs::remove_dir(&group);
        return None;
    }
    let enter = "echo $$ >\"$0/cgroup.procs\" && exec \"$@\"";
    let prefix = vec!["bash".into(), "-c".into(), enter.into(), group.display().to_string()];
    Some(MemoryLimit { name: format!("{file}={megabytes}M"), prefix, group: Some(group) })
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        // A group that still has a process stays.
        let _left_behind = self.group.as_ref().map(fs::remove_dir);
    }
}
