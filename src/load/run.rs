//! One run of orders and reads: the drop, the threads, the check.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::behavior::BehaviorRules;
use super::check::{CheckInput, CheckResult, check, check_streams};
use super::client::ExchangeError;
use super::drops;
use super::ledger::Ledger;
use super::meter::LatencyMeter;
use super::plan::LoadPlan;
use super::report::RunReport;
use super::request::Requests;
use super::response::DropView;
use super::schedule::{Schedule, WorkQueue};
use super::shared::{RunLimits, SharedRun};
use super::streams::Streams;
use super::worker::{self, WorkerJob, WorkerResult};
use crate::client::http::block_on;
use crate::exit::Exit;

/// All threads start together, this long after their connections are open.
const START_DELAY: Duration = Duration::from_millis(10);

/// Runs the load, and compares the load's books with the server's counters.
///
/// # Errors
/// 64 a drop whose reservations outlast the deadline, 69 no server or no such drop, 70 a bug, 71 no thread or runtime.
pub(crate) fn run(plan: &LoadPlan) -> Result<RunReport<'_>, Exit> {
    let before = prepare(plan)?;
    let mut found = load(plan, before)?;
    let lapses_unwatched = !plan.expire && found.took >= Duration::from_secs(before.reservation_seconds);
    let streams = found.streams.take();
    let mut result = found.check(plan, before, lapses_unwatched);
    let taken = before.taken().saturating_add(result.accepted.unwrap_or(0));
    let streams = streams.map(|streams| streams.close(taken)).transpose()?;
    result.findings.extend(streams.as_ref().map(check_streams));
    let RunFigures { schedule, ledger, meter, .. } = found;
    Ok(RunReport {
        plan,
        drop_id: before.id,
        arrivals: schedule.total(),
        buyers: schedule.buyers(),
        ledger,
        meter,
        streams,
        result,
    })
}

/// The drop before the first request.
fn prepare(plan: &LoadPlan) -> Result<DropView, Exit> {
    let Some(id) = plan.drop_id else {
        let wanted = drops::NewDrop {
            seed: plan.seed,
            units: plan.units,
            reservation_seconds: plan.reservation_seconds(),
            payment_seconds: plan.payment_seconds(),
            blind_ms: plan.blind_ms,
        };
        return block_on(drops::create(&plan.admin, &wanted));
    };
    let drop = block_on(drops::read_live(&plan.public, id))?;
    if plan.expire && drop.reservation_seconds >= plan.deadline.as_secs() {
        return Err(Exit::usage(format!(
            "--expire: drop {id} reserves for {} s, not less than --deadline",
            drop.reservation_seconds
        )));
    }
    Ok(drop)
}

/// The figures of all threads of a run.
pub(super) struct RunFigures {
    pub(super) schedule: Schedule,
    pub(super) ledger: Ledger,
    pub(super) meter: LatencyMeter,
    /// Buyers who were still on the waiting list at the end.
    waiting: u64,
    took: Duration,
    streams: Option<Streams>,
}

impl RunFigures {
    /// Reads the drop once more, and compares.
    pub(super) fn check(&self, plan: &LoadPlan, before: DropView, lapses_unwatched: bool) -> CheckResult {
        let after = block_on(drops::read_patiently(plan.nodes(), before.id)).map_err(|exit| exit.message);
        let (ledger, buyers, waiting) = (&self.ledger, self.schedule.buyers(), self.waiting);
        check(&CheckInput { ledger, before, after, buyers, waiting, lapses_unwatched })
    }
}

/// Starts the threads, waits for the end, and adds up their figures.
///
/// # Errors
/// 69 no server, 70 a thread failed, 71 no thread.
pub(super) fn load(plan: &LoadPlan, drop: DropView) -> Result<RunFigures, Exit> {
    let schedule = Schedule::new(plan.buyers, plan.reads_percent, plan.rate);
    let streams = Streams::open(plan, drop)?;
    let answers = streams.as_ref().map(|streams| Arc::clone(&streams.answers));
    let (run, ended) = SharedRun::new(schedule.total(), plan.threads, answers);
    let run = Arc::new(run);
    let (ready, readies) = bounded(plan.threads);
    let mut threads = Vec::with_capacity(plan.threads);
    let mut starts = Vec::with_capacity(plan.threads);
    for job in jobs(plan, drop, schedule, &run, &ready)? {
        let (start, go) = bounded(1);
        starts.push(start);
        threads.push(spawn(WorkerJob { go, ..job })?);
    }
    all_connected(plan, &readies)?;
    let start = Instant::now() + START_DELAY;
    for go in &starts {
        // A thread that is gone is noticed when it is joined.
        let _gone = go.send(start);
    }
    let limits = RunLimits { deadline: plan.deadline, at_rate: plan.rate.is_some() };
    run.watch(&ended, start, schedule.total(), limits);
    let took = start.elapsed();
    let (ledger, meter) = add_up(threads)?;
    let waiting = run.waiting_list.lock().waiting();
    Ok(RunFigures { schedule, ledger, meter, waiting, took, streams })
}

/// The work of each thread; the start is put in where it is spawned.
fn jobs(
    plan: &LoadPlan,
    drop: DropView,
    schedule: Schedule,
    run: &Arc<SharedRun>,
    ready: &Sender<Result<(), ExchangeError>>,
) -> Result<Vec<WorkerJob>, Exit> {
    let rules = Arc::new(BehaviorRules {
        seed: plan.seed,
        crowd: plan.crowd,
        asks_twice: drop.per_buyer_limit == 1,
        lapse_after: plan.expire.then(|| Duration::from_secs(drop.reservation_seconds)),
        asks_once: plan.asks_once,
        has_other_nodes: !plan.others.is_empty(),
    });
    let requests = Arc::new(Requests::new(&plan.public.authority, drop.id, plan.seed));
    let nodes: Arc<[SocketAddr]> = plan.nodes().map(|node| node.address).collect();
    let (_, never) = bounded(0);
    let job = |thread: usize| {
        Ok(WorkerJob {
            run: Arc::clone(run),
            rules: Arc::clone(&rules),
            requests: Arc::clone(&requests),
            nodes: Arc::clone(&nodes),
            thread,
            connections: plan.connections / plan.threads + usize::from(thread < plan.connections % plan.threads),
            queue: WorkQueue::new(schedule, thread as u64, plan.threads as u64),
            meter: LatencyMeter::new().map_err(|error| Exit::bug(format!("histogram: {error}")))?,
            ready: ready.clone(),
            go: Receiver::clone(&never),
        })
    };
    (0..plan.threads).map(job).collect()
}

type WorkerThread = JoinHandle<std::io::Result<Option<WorkerResult>>>;

fn spawn(job: WorkerJob) -> Result<WorkerThread, Exit> {
    let name = format!("rush-{}", job.thread);
    let spawned = std::thread::Builder::new().name(name).spawn(move || worker::work(job));
    spawned.map_err(|error| Exit::system(format!("no thread: {error}")))
}

/// Waits until every thread has opened its connections.
fn all_connected(plan: &LoadPlan, readies: &Receiver<Result<(), ExchangeError>>) -> Result<(), Exit> {
    for _ in 0..plan.threads {
        match readies.recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(drops::unreachable_at(&plan.public, &error)),
            Err(_) => return Err(Exit::system("a load thread did not start")),
        }
    }
    Ok(())
}

fn add_up(threads: Vec<WorkerThread>) -> Result<(Ledger, LatencyMeter), Exit> {
    let bug = |what: String| Exit::bug(format!("a load thread failed: {what}"));
    let mut ledger = Ledger::default();
    let mut meter = LatencyMeter::new().map_err(|error| bug(error.to_string()))?;
    for thread in threads {
        let worked = thread.join().map_err(|_| bug("it panicked".to_owned()))?;
        let result = worked.map_err(|error| bug(error.to_string()))?;
        let Some(result) = result else { return Err(bug("it has no figures".to_owned())) };
        ledger.merge(result.ledger);
        meter.merge(&result.meter).map_err(|error| bug(error.to_string()))?;
    }
    Ok((ledger, meter))
}
