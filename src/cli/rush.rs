//! `firstcome rush`: a crowd storms a drop over real HTTP, and the count is checked at the end.
//!
//! Open-loop: arrivals keep their schedule whatever the server does. The threads of the load know nothing of each
//! other but the line of buyers who wait for returns. Who does what is in `crowd` and `ledger`, which do no I/O;
//! `worker` and `client` do the I/O and know no rules. In reading order: `plan`, `schedule`, `crowd`, `desk`,
//! `ledger`, `worker`, `client`, `report`; `ladder` is many runs, each at a higher rate; `again` is `firstcome replay
//! --to`, with the same client.
//!
//! Invariant: a check that could not be made exactly is never reported as exact.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::exit::Exit;
use crate::output;
use answer::DropView;
use bids::Force;
use client::Fault;
use habits::Rules;
use ledger::{Facts, Ledger, check};
use meter::Meter;
use plan::Plan;
use report::Report;
use request::Requests;
use run::{Limits, Run};
use schedule::{Queue, Schedule};
use worker::{Books, Job};

mod admin;
pub(super) mod again;
mod answer;
mod bids;
mod client;
mod crowd;
mod desk;
mod drops;
mod habits;
mod ladder;
mod ledger;
mod meter;
mod outcome;
mod plan;
mod report;
mod request;
mod run;
mod schedule;
mod target;
mod worker;

pub(super) use admin::Admin;
pub use bids::BidsArgs;
pub use habits::Crowd;
pub use ladder::LadderArgs;
pub(super) use target::Target;

/// All threads start together, this long after their connections are open.
const START_DELAY: Duration = Duration::from_millis(10);

/// Examples, below the options.
const EXAMPLES: &str = "\
Examples:
  firstcome rush                                     100,000 buyers storm 10,000 units
  firstcome rush --buyers 1000000 --connections 512  a million distinct buyers
  firstcome rush --rate 20000 --reads 80             20,000 arrivals/s, four of five only look
  firstcome rush --expire                            lapsed reservations are sold again
  firstcome rush --crowd plain --units 100000        fresh orders only, all of them accepted
  firstcome rush --drop 7 --json result.json         an existing drop; the figures also as JSON
  firstcome rush --ladder 2000,8000,25000 --html l.html   which rates the server keeps, with plots
  firstcome rush --bids 50 --connections 1000 --pace-ms 10   1,000 bidders in a new auction, over the binary protocol
  firstcome rush --bids 500 --connections 8 --subscribers 1000   how late 1,000 who listen hear of the last price

Where operators have tokens, rush makes its drop or its auctions with the one in the variable FIRSTCOME_TOKEN.
Exit code: 0 the check holds; 1 it does not; 64 wrong argument; 69 no server, or no such drop or auction; 73 --json or --html.";

/// The arguments of `firstcome rush`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RushArgs {
    /// The server's public listener: host:port or http://host:port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    public: String,
    /// The server's admin listener, where rush makes its drop
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    admin: String,
    /// How many distinct buyers come
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = value_parser!(u32).range(1..=10_000_000))]
    buyers: u32,
    /// Units of the drop that rush makes
    #[arg(long, value_name = "N", default_value_t = 10_000, conflicts_with = "drop")]
    units: u32,
    /// Connections, kept alive
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = value_parser!(u16).range(1..=20_000))]
    connections: u16,
    /// Arrivals per second; without it, all come at once
    #[arg(long, value_name = "R", value_parser = value_parser!(u32).range(1..=10_000_000))]
    rate: Option<u32>,
    /// Percentage of arrivals that only look at the drop; at 100 nobody orders
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = value_parser!(u8).range(0..=100))]
    reads: u8,
    /// An existing drop, which nobody else should use meanwhile; its free units are the stock
    #[arg(long, value_name = "ID", value_parser = value_parser!(u32).range(1..))]
    drop: Option<u32>,
    /// Abandoned reservations lapse during the run, and their units are asked for again
    #[arg(long)]
    expire: bool,
    /// How the buyers behave
    #[arg(long, value_enum, default_value_t = Crowd::Real)]
    crowd: Crowd,
    /// Load threads; by default one per core, at most 4
    #[arg(long, value_name = "N", value_parser = value_parser!(u8).range(1..=64))]
    threads: Option<u8>,
    /// Makes the same crowd behave the same again; by default a fresh one, which is printed
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// The run is cut off after this; the check fails then
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = value_parser!(u16).range(1..=3_600))]
    deadline: u16,
    /// Write the result to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Load a server on another machine
    #[arg(long)]
    allow_remote: bool,
    #[command(flatten)]
    ladder: LadderArgs,
    #[command(flatten)]
    bids: BidsArgs,
}

/// Runs the storm and the check.
///
/// # Errors
/// See the exit codes in the help; 73 where the JSON file cannot be written.
pub fn run(args: RushArgs) -> Result<(), Exit> {
    let plan = Plan::new(args)?;
    let json = plan.json.as_ref().map(File::create).transpose();
    let json = json.map_err(|error| Exit::cannot_create(format!("--json: {error}")))?;
    if cfg!(debug_assertions) {
        output::note("this is a debug build: the check holds, the figures mean nothing (cargo run --release)");
    }
    if let Some(bids) = &plan.bids {
        let Plan { admin, connections, threads, rate, deadline, .. } = &plan;
        let force = Force { admin, connections: *connections, threads: *threads, rate: *rate, deadline: *deadline };
        return bids::storm(bids, &force, json);
    }
    if let Some(ladder) = &plan.ladder {
        return ladder::climb(&plan, ladder, json);
    }
    let before = prepare(&plan)?;
    let storm = storm(&plan, before)?;
    let after = blocking(drops::see_patiently(&plan.public, before.id)).map_err(|exit| exit.message);
    conclude(&plan, before, after, &storm, json)
}

/// The drop before the first request.
fn prepare(plan: &Plan) -> Result<DropView, Exit> {
    let Some(id) = plan.drop_id else {
        let wanted = drops::NewDrop {
            seed: plan.seed,
            units: plan.units,
            reservation_seconds: plan.reservation_seconds(),
            payment_seconds: plan.payment_seconds(),
        };
        return blocking(drops::create(&plan.admin, &wanted));
    };
    let drop = blocking(drops::see_selling(&plan.public, id))?;
    if plan.expire && drop.reservation_seconds >= plan.deadline.as_secs() {
        return Err(Exit::usage(format!(
            "--expire: drop {id} reserves for {} s, not less than --deadline",
            drop.reservation_seconds
        )));
    }
    Ok(drop)
}

/// Runs something on a runtime of its own.
fn blocking<T>(work: impl Future<Output = Result<T, Exit>>) -> Result<T, Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Exit::system(format!("no runtime: {error}")))?.block_on(work)
}

/// What the threads brought back.
struct Storm {
    schedule: Schedule,
    threads: usize,
    ledger: Ledger,
    meter: Meter,
    waiting: u64,
    took: Duration,
}

/// Starts the threads, waits for the end, and adds up their books.
fn storm(plan: &Plan, drop: DropView) -> Result<Storm, Exit> {
    let schedule = Schedule::new(plan.buyers, plan.reads_percent, plan.rate);
    let (run, ended) = Run::new(schedule.total(), plan.threads);
    let run = Arc::new(run);
    let (ready, readies) = bounded(plan.threads);
    let mut threads = Vec::with_capacity(plan.threads);
    let mut starts = Vec::with_capacity(plan.threads);
    for job in jobs(plan, drop, schedule, &run, &ready)? {
        let (start, go) = bounded(1);
        starts.push(start);
        threads.push(spawn(Job { go, ..job })?);
    }
    all_connected(plan, &readies)?;
    let start = Instant::now() + START_DELAY;
    for go in &starts {
        // A thread that is gone is noticed when it is joined.
        let _gone = go.send(start);
    }
    let limits = Limits { deadline: plan.deadline, at_rate: plan.rate.is_some() };
    run.watch(&ended, start, schedule.total(), limits);
    let took = start.elapsed();
    let (ledger, meter) = add_up(threads)?;
    let waiting = run.desk.lock().waiting();
    Ok(Storm { schedule, threads: plan.threads, ledger, meter, waiting, took })
}

/// What each thread is given; the start is put in where it is spawned.
fn jobs(
    plan: &Plan,
    drop: DropView,
    schedule: Schedule,
    run: &Arc<Run>,
    ready: &Sender<Result<(), Fault>>,
) -> Result<Vec<Job>, Exit> {
    let rules = Arc::new(Rules {
        seed: plan.seed,
        crowd: plan.crowd,
        asks_twice: drop.per_buyer_limit == 1,
        lapse_after: plan.expire.then(|| Duration::from_secs(drop.reservation_seconds)),
        asks_once: plan.ladder.is_some(),
    });
    let requests = Arc::new(Requests::new(&plan.public.authority, drop.id, plan.seed));
    let (_, nobody) = bounded(0);
    let job = |thread: usize| {
        Ok(Job {
            run: Arc::clone(run),
            rules: Arc::clone(&rules),
            requests: Arc::clone(&requests),
            public: plan.public.clone(),
            thread,
            connections: plan.connections / plan.threads + usize::from(thread < plan.connections % plan.threads),
            queue: Queue::new(schedule, thread as u64, plan.threads as u64),
            meter: Meter::new().map_err(|error| Exit::bug(format!("histogram: {error}")))?,
            ready: ready.clone(),
            go: Receiver::clone(&nobody),
        })
    };
    (0..plan.threads).map(job).collect()
}

type Thread = JoinHandle<std::io::Result<Option<Books>>>;

fn spawn(job: Job) -> Result<Thread, Exit> {
    let name = format!("rush-{}", job.thread);
    let spawned = std::thread::Builder::new().name(name).spawn(move || worker::work(job));
    spawned.map_err(|error| Exit::system(format!("no thread: {error}")))
}

/// Waits until every thread has opened its connections.
fn all_connected(plan: &Plan, readies: &Receiver<Result<(), Fault>>) -> Result<(), Exit> {
    for _ in 0..plan.threads {
        match readies.recv() {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => return Err(drops::unreachable_at(&plan.public, "public", &fault)),
            Err(_) => return Err(Exit::system("a load thread did not start")),
        }
    }
    Ok(())
}

fn add_up(threads: Vec<Thread>) -> Result<(Ledger, Meter), Exit> {
    let bug = |what: String| Exit::bug(format!("a load thread failed: {what}"));
    let mut ledger = Ledger::default();
    let mut meter = Meter::new().map_err(|error| bug(error.to_string()))?;
    for thread in threads {
        let worked = thread.join().map_err(|_| bug("it panicked".to_owned()))?;
        let books = worked.map_err(|error| bug(error.to_string()))?;
        let Some(books) = books else { return Err(bug("it has no books".to_owned())) };
        ledger.merge(books.ledger);
        meter.merge(&books.meter).map_err(|error| bug(error.to_string()))?;
    }
    Ok((ledger, meter))
}

/// The check, the table, the file.
fn conclude(
    plan: &Plan,
    before: DropView,
    after: Result<DropView, String>,
    storm: &Storm,
    json: Option<File>,
) -> Result<(), Exit> {
    let lapses_unwatched = !plan.expire && storm.took >= Duration::from_secs(before.reservation_seconds);
    let verdict = check(&Facts {
        ledger: &storm.ledger,
        before,
        after,
        buyers: storm.schedule.buyers(),
        waiting: storm.waiting,
        lapses_unwatched,
    });
    let report = Report {
        plan,
        drop_id: before.id,
        threads: storm.threads,
        arrivals: storm.schedule.total(),
        buyers: storm.schedule.buyers(),
        ledger: &storm.ledger,
        meter: &storm.meter,
        verdict: &verdict,
    };
    for line in report.table() {
        output::line(line);
    }
    if let Some(mut file) = json {
        let written = writeln!(file, "{:#}", report.json());
        written.map_err(|error| Exit::cannot_create(format!("--json: {error}")))?;
    }
    let failed = verdict.findings.iter().filter(|finding| !finding.holds);
    let failed: Vec<String> = failed.map(|finding| format!("check failed: {}", finding.sentence)).collect();
    if failed.is_empty() { Ok(()) } else { Err(Exit::failed(failed.join("\n"))) }
}
