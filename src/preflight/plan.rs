//! The check of a plan (`plan.` settings) against this machine: what fits and what does not, in plain words.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::finding::Finding;
use super::machine::sync_times;
use super::memory::available_bytes;
use super::server::BYTES_PER_UNIT;
use super::sizing::{self, BUSY_MAX, Machine, grouped};
use super::trial::{self, Trial, TrialSignals};
use crate::config::{Config, PlanSettings};

/// The time of the trial. With the syncs before it the check takes less than ten seconds.
const TRIAL_LASTS: Duration = Duration::from_secs(4);
/// Measured syncs, and the longest time for them.
const SYNCS: usize = 200;
const SYNCS_LAST: Duration = Duration::from_secs(2);

/// The figures of this machine.
#[derive(Clone, Debug)]
pub struct Measured {
    pub cores: usize,
    pub sync_median: Duration,
    pub sync_slowest: Duration,
    pub syncs_per_second: f64,
    /// The trial, or the reason why it could not be made.
    pub trial: Result<Trial, String>,
    pub memory_available: Option<u64>,
    pub free_bytes: Option<u64>,
}

/// Measures this machine in the file system of the database, for some seconds.
///
/// # Errors
/// One line: nothing can be written there.
pub fn measure(config: &Config) -> Result<Measured, String> {
    let directory = directory_of(&config.data)?;
    let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
    // A signal during the syncs ends the trial as it begins, so that neither leaves a file behind.
    let signals = TrialSignals::listen();
    let mut syncs = sync_times(&directory, SYNCS, SYNCS_LAST).map_err(failed)?;
    syncs.sort_unstable();
    let all: Duration = syncs.iter().sum();
    let space = rustix::fs::statvfs(&directory).ok();
    Ok(Measured {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        sync_median: syncs.get(syncs.len() / 2).copied().unwrap_or_default(),
        sync_slowest: syncs.last().copied().unwrap_or_default(),
        syncs_per_second: syncs.len() as f64 / all.as_secs_f64().max(1e-9),
        trial: signals.and_then(|signals| trial::run(&directory, config, signals, TRIAL_LASTS)),
        memory_available: available_bytes(Path::new("/")),
        free_bytes: space.map(|space| space.f_bavail.saturating_mul(space.f_frsize.max(1))),
    })
}

/// Returns the data directory, or before its first start the directory in which it will be made.
fn directory_of(data: &Path) -> Result<PathBuf, String> {
    if data.exists() && !data.is_dir() {
        return Err(format!("{} is not a directory; name the directory of the database with --data", data.display()));
    }
    let parent = data.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    let found = [Some(data), parent].into_iter().flatten().find(|path| path.is_dir());
    found.map(Path::to_path_buf).ok_or_else(|| format!("{}: neither it nor its parent exists", data.display()))
}

/// Compares a plan with what was measured.
#[must_use]
pub fn judge(plan: &PlanSettings, config: &Config, measured: &Measured) -> Vec<Finding> {
    let mut findings = vec![];
    let waits_for_log = config.cluster.is_some() || config.cluster_file.is_some();
    let machine = match &measured.trial {
        Ok(trial) => {
            let slowness = trial.order_us() / sizing::TRIAL_US;
            let machine = Machine {
                cores: measured.cores as f64,
                slowness,
                sync: if config.durability_full && !waits_for_log { measured.sync_median } else { Duration::ZERO },
                batch: config.batch_commands_max as f64,
            };
            let disk = if waits_for_log { disk_of_node(plan, measured) } else { disk(plan, measured, &machine) };
            findings.extend([disk, writer(plan, trial, &machine), cores(plan, &machine)]);
            Some(machine)
        }
        Err(why) => {
            let to_do = if why == trial::INTERRUPTED {
                "run it again, and let it end"
            } else {
                "run it as the server's user, with its --config, on a disk with room"
            };
            findings.push(Finding::fail("trial", format!("orders could not be recorded: {why}"), to_do));
            None
        }
    };
    findings.extend([connections(plan, config), memory(plan, measured), disk_room(plan, config, measured)]);
    if let Some(machine) = machine {
        findings.extend([reads(plan, &machine), payments(plan, &machine)]);
    }
    findings
}

/// Shares above which a plan has little room, and none.
const LIMITS: (f64, f64) = (BUSY_MAX, 1.0);

fn rate(value: f64, of: &str) -> String {
    format!("{} {of}/s", grouped(value))
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn disk(plan: &PlanSettings, measured: &Measured, machine: &Machine) -> Finding {
    let planned = f64::from(plan.orders_per_second);
    let most = machine.orders_by_disk();
    let waits = if machine.sync.is_zero() { " that do not wait for it" } else { "" };
    let found = format!(
        "an fsync takes {} (slowest {}, {} one after another): commits of {} orders{waits} let {} pass; the plan has {}",
        millis(measured.sync_median),
        millis(measured.sync_slowest),
        rate(measured.syncs_per_second, "fsyncs"),
        grouped(machine.batch),
        rate(most, "orders"),
        rate(planned, "orders")
    );
    let to_do = "use a faster disk, or one that is not shared: every order waits for an fsync";
    Finding::graded("plan: disk", planned / most, LIMITS, found, to_do)
}

/// A node of a cluster acknowledges orders that are in the log of the cluster, and syncs its own file now and then.
fn disk_of_node(plan: &PlanSettings, measured: &Measured) -> Finding {
    let found = format!(
        "an fsync takes {} (slowest {}), but a node of a cluster waits for the log of the cluster instead, which this does not \
         measure; the plan has {}",
        millis(measured.sync_median),
        millis(measured.sync_slowest),
        rate(f64::from(plan.orders_per_second), "orders")
    );
    let to_do = "measure a cluster: scripts/cluster/drill.sh starts one on this machine, kills its leader under load and prints \
                 orders, latencies and the longest time without an order; firstcome rush --nodes loads one that runs";
    Finding::warn("plan: disk", found, to_do)
}

fn writer(plan: &PlanSettings, trial: &Trial, machine: &Machine) -> Finding {
    let planned = f64::from(plan.orders_per_second);
    let order_us = sizing::ORDER_WRITER_US * machine.slowness;
    let found = format!(
        "one core decides and records {} of a server, {order_us:.1} us each with full batches (calculated from the trial: \
         {:.1} us each, {} with the waits for this disk); the plan has {}",
        rate(1e6 / order_us, "orders"),
        trial.order_us(),
        rate(trial.per_second(), "orders"),
        rate(planned, "orders")
    );
    let to_do = "use a faster core: one thread decides all orders of a file. More cores do not help; several shards do \
                 (src/route/README.md)";
    Finding::graded("plan: writer", planned * order_us / 1e6, LIMITS, found, to_do)
}

fn cores(plan: &PlanSettings, machine: &Machine) -> Finding {
    let (orders, reads) = (f64::from(plan.orders_per_second), f64::from(plan.reads_per_second));
    let needed = machine.cores_for(orders, reads);
    let found = format!(
        "{} and {} keep {needed:.1} of {} cores busy (calculated from one core's speed with full batches)",
        rate(orders, "orders"),
        rate(reads, "reads"),
        grouped(machine.cores)
    );
    let to_do = "more cores, fewer polls (http caches: scripts/edge), or a waiting room, which spreads the start";
    Finding::graded("plan: cores", needed / machine.cores, LIMITS, found, to_do)
}

/// The rate that is left for orders beside the planned reads, for information.
fn reads(plan: &PlanSettings, machine: &Machine) -> Finding {
    const CHECK: &str = "plan: reads";
    let planned_reads = f64::from(plan.reads_per_second);
    let left = machine.orders_by_cores(planned_reads).min(machine.orders_by_writer()).min(machine.orders_by_disk());
    let beside = format!("beside {} this machine can take {}", rate(planned_reads, "reads"), rate(left, "orders"));
    if left < 1.0 {
        let to_do = "the reads alone take all cores: put a cache in front, or poll less often";
        return Finding::fail(CHECK, beside, to_do);
    }
    let seconds = f64::from(plan.units) / left.min(f64::from(plan.orders_per_second)).max(1.0);
    let units = grouped(f64::from(plan.units));
    Finding::pass(CHECK, format!("{beside}; at the planned pace {units} units are sold in {seconds:.1} s"))
}

/// The rate of orders with checkout and payment, for information: a plan has no rate of payments.
fn payments(plan: &PlanSettings, machine: &Machine) -> Finding {
    let (units, most) = (f64::from(plan.units), machine.paid_orders());
    let found = format!(
        "the lines above are for orders without checkout and payment; with both this machine serves {} at most: {} units are \
         paid in {:.1} s at least",
        rate(most, "paid orders"),
        grouped(units),
        units / most
    );
    Finding::pass("plan: payments", found)
}

/// A server of these settings closes connections beyond its limit at once.
fn connections(plan: &PlanSettings, config: &Config) -> Finding {
    let (buyers, most) = (f64::from(plan.buyers), config.limits.connections_max as f64);
    let found =
        format!("{} buyers, each with a connection; http.connections_max is {}", grouped(buyers), grouped(most));
    let to_do = "raise http.connections_max and the limit of file descriptors (ulimit -n), or put a proxy in front: further \
                 connections are closed at once";
    Finding::graded("plan: connections", buyers / most, (1.0, f64::INFINITY), found, to_do)
}

fn memory(plan: &PlanSettings, measured: &Measured) -> Finding {
    const CHECK: &str = "plan: memory";
    let needed = sizing::memory_bytes(f64::from(plan.buyers), f64::from(plan.units.max(plan.buyers)));
    let mb = |bytes: f64| format!("{} MB", grouped((bytes / 1e6).ceil()));
    let Some(available) = measured.memory_available else {
        let found = format!(
            "{} for {} buyers; how much is available is not known",
            mb(needed),
            grouped(f64::from(plan.buyers))
        );
        return Finding::warn(CHECK, found, "compare it with the machine's memory yourself");
    };
    let found = format!(
        "{} for {} buyers, each with a connection and an order; {} are available",
        mb(needed),
        grouped(f64::from(plan.buyers)),
        mb(available as f64)
    );
    let to_do = "more memory (in a container: a higher limit), or fewer connections: http.connections_max bounds them";
    Finding::graded(CHECK, needed / available as f64, LIMITS, found, to_do)
}

fn disk_room(plan: &PlanSettings, config: &Config, measured: &Measured) -> Finding {
    const CHECK: &str = "plan: room";
    // Units of orders that lapse are sold again: twice as many orders as units, at most one for each buyer and unit.
    let orders = f64::from(plan.units.saturating_mul(2).min(plan.buyers.max(plan.units)));
    let beside = config.free_bytes_min.saturating_add(config.reset_wal_bytes.saturating_mul(2)) as f64;
    let needed = orders * BYTES_PER_UNIT as f64 + beside;
    let mb = |bytes: f64| format!("{} MB", grouped((bytes / 1e6).ceil()));
    let Some(free) = measured.free_bytes else {
        return Finding::warn(CHECK, format!("{} needed; the free space is not known", mb(needed)), "see df");
    };
    let found =
        format!("{} needed for {} orders and the log; {} are free", mb(needed), grouped(orders), mb(free as f64));
    Finding::graded(CHECK, needed / free as f64, LIMITS, found, "free disk space: a full disk stops sales")
}

/// Returns the plan and what was measured as JSON.
#[must_use]
pub fn json(plan: &PlanSettings, measured: &Measured) -> Value {
    let trial = measured.trial.as_ref().ok().map(|trial| {
        json!({ "orders": trial.orders, "order_us": trial.order_us(), "orders_per_second": trial.per_second() })
    });
    json!({
        "plan": {
            "buyers": plan.buyers, "orders_per_second": plan.orders_per_second,
            "reads_per_second": plan.reads_per_second, "units": plan.units,
        },
        "measured": {
            "cores": measured.cores,
            "fsync_ms": measured.sync_median.as_secs_f64() * 1e3,
            "fsync_slowest_ms": measured.sync_slowest.as_secs_f64() * 1e3,
            "fsyncs_per_second": measured.syncs_per_second,
            "trial": trial,
            "memory_available_bytes": measured.memory_available,
            "free_bytes": measured.free_bytes,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    const QUICK: Trial = Trial { orders: 100_000, took: Duration::from_secs(1), cpu: Duration::from_millis(570) };

    fn measured() -> Measured {
        Measured {
            cores: 2,
            sync_median: Duration::from_micros(200),
            sync_slowest: Duration::from_millis(2),
            syncs_per_second: 4_000.0,
            trial: Ok(QUICK),
            memory_available: Some(4_000_000_000),
            free_bytes: Some(20_000_000_000),
        }
    }

    fn plan() -> PlanSettings {
        PlanSettings {
            buyers: 10_000,
            orders_per_second: 5_000,
            reads_per_second: 20_000,
            units: 5_000,
            ..PlanSettings::default()
        }
    }

    fn not_passing(plan: &PlanSettings, measured: &Measured) -> Vec<(&'static str, Verdict)> {
        let config = Config::load(None, std::iter::empty(), &[]).expect("defaults");
        let findings = judge(plan, &config, measured).into_iter();
        findings.filter(|one| one.verdict != Verdict::Pass).map(|one| (one.check, one.verdict)).collect()
    }

    #[test]
    fn each_limit_of_a_machine_is_told_by_its_own_line() {
        assert_eq!(not_passing(&plan(), &measured()), []);
        let slow_disk = Measured { sync_median: Duration::from_millis(200), ..measured() };
        assert_eq!(not_passing(&plan(), &slow_disk), [("plan: disk", Verdict::Fail)]);
        let many = PlanSettings { reads_per_second: 200_000, ..plan() };
        assert_eq!(not_passing(&many, &measured()), [("plan: cores", Verdict::Fail), ("plan: reads", Verdict::Fail)]);
        let small = Measured { memory_available: Some(50_000_000), ..measured() };
        assert_eq!(not_passing(&plan(), &small), [("plan: memory", Verdict::Fail)]);
        let full = Measured { free_bytes: Some(1_000_000), ..measured() };
        assert_eq!(not_passing(&plan(), &full), [("plan: room", Verdict::Fail)]);
        let busy = PlanSettings { orders_per_second: 33_000, reads_per_second: 0, ..plan() };
        assert_eq!(not_passing(&busy, &measured()), [("plan: cores", Verdict::Warn)]);
        let crowd = PlanSettings { buyers: 13_000, ..plan() };
        assert_eq!(not_passing(&crowd, &measured()), [("plan: connections", Verdict::Warn)]);
        let none = Measured { trial: Err("no room".to_owned()), ..measured() };
        assert_eq!(not_passing(&plan(), &none), [("trial", Verdict::Fail)]);
    }

    fn found(plan: &PlanSettings, settings: &[(&'static str, String)], check: &str) -> Finding {
        let config = Config::load(None, std::iter::empty(), settings).expect("settings");
        judge(plan, &config, &measured()).into_iter().find(|finding| finding.check == check).expect("judged")
    }

    #[test]
    fn commits_are_those_of_the_settings() {
        let small = [("writer.batch_commands_max", "2".to_owned())];
        let found_small = found(&plan(), &small, "plan: disk");
        assert!(found_small.found.contains("commits of 2 orders let 9,"), "{}", found_small.found);
        let interval = [("writer.durability", "interval".to_owned())];
        let found_interval = found(&plan(), &interval, "plan: disk");
        assert!(found_interval.found.contains("orders that do not wait for it let 90,909"), "{}", found_interval.found);
    }

    #[test]
    fn the_disk_of_a_node_is_not_judged_and_bounds_nothing() {
        let mut config = Config::load(None, std::iter::empty(), &[]).expect("defaults");
        config.cluster_file = Some("cluster.toml".into());
        let slow_disk = Measured { sync_median: Duration::from_millis(200), ..measured() };
        let findings = judge(&plan(), &config, &slow_disk);
        let others = findings.iter().filter(|one| one.check != "plan: disk");
        assert!(others.clone().all(|one| one.verdict == Verdict::Pass), "{:?}", others.collect::<Vec<_>>());
        let of = |check: &str| findings.iter().find(|one| one.check == check).expect("judged");
        let disk = of("plan: disk");
        assert_eq!(disk.verdict, Verdict::Warn);
        assert!(disk.found.contains("waits for the log of the cluster instead"), "{}", disk.found);
        assert!(disk.to_do.contains("scripts/cluster/drill.sh"), "{}", disk.to_do);
        assert_eq!(of("plan: reads").found, found(&plan(), &[], "plan: reads").found, "as with a quick disk");
    }

    #[test]
    fn payments_have_a_line_of_their_own_for_information() {
        let finding = found(&plan(), &[], "plan: payments");
        assert_eq!(finding.verdict, Verdict::Pass);
        let said = "serves 8,187 paid orders/s at most: 5,000 units are paid in 0.6 s at least";
        assert!(finding.found.contains(said), "{}", finding.found);
    }

    #[test]
    fn the_trial_has_the_batches_of_the_defaults() {
        let config = Config::load(None, std::iter::empty(), &[]).expect("defaults");
        let batch = (config.batch_commands_max, config.batch_events_max);
        assert_eq!(batch, (sizing::BATCH_COMMANDS, sizing::BATCH_EVENTS));
    }

    #[test]
    fn a_trial_that_a_signal_has_ended_is_to_be_run_again() {
        let config = Config::load(None, std::iter::empty(), &[]).expect("defaults");
        let ended = Measured { trial: Err(trial::INTERRUPTED.to_owned()), ..measured() };
        let findings = judge(&plan(), &config, &ended);
        let trial = findings.iter().find(|one| one.check == "trial").expect("judged");
        assert!(trial.verdict == Verdict::Fail && trial.to_do.contains("run it again"), "{trial:?}");
        assert!(findings.iter().all(|one| one.check != "plan: payments"));
    }

    #[test]
    fn the_sentence_about_the_writer_has_the_rate_that_the_verdict_is_about() {
        let quick = PlanSettings { orders_per_second: 95_000, ..plan() };
        let finding = found(&quick, &[], "plan: writer");
        assert_eq!(finding.verdict, Verdict::Fail);
        assert!(finding.found.contains("records 90,909 orders/s of a server"), "{}", finding.found);
    }

    #[test]
    fn a_directory_that_is_not_made_yet_is_measured_where_it_will_be() {
        let scratch = tempfile::tempdir().expect("scratch");
        assert_eq!(directory_of(scratch.path()).as_deref(), Ok(scratch.path()));
        assert_eq!(directory_of(&scratch.path().join("new")).as_deref(), Ok(scratch.path()));
        assert!(directory_of(&scratch.path().join("no/such")).is_err());
    }
}
