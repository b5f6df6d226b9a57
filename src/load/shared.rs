//! The state that load threads share during a run, and the loop that supervises it.
//!
//! The supervising thread also wakes idle connections when work falls due: the timers of the threads' runtimes have a
//! resolution of a millisecond, too coarse for a schedule. Invariant: the run is over when no buyer has a request under way or to come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::numbers::grouped;
use super::streams::AnswerTimes;
use super::waiting_list::WaitingList;

/// The longest interval of checks for due work, where arrivals keep a rate.
const TICK_AT_RATE: Duration = Duration::from_micros(250);
/// The shortest one: at high rates a wake-up for each arrival would cost more than the arrival.
const TICK_AT_RATE_MIN: Duration = Duration::from_micros(100);
/// The timer slack of a thread that keeps time; the kernel's default of 50 us would show in every latency.
const TIMER_SLACK_NS: u64 = 1_000;
/// The interval where all buyers come at once: only later steps fall due then.
const TICK_AT_ONCE: Duration = Duration::from_millis(1);
/// The interval of the progress line.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// The value while no connection waits for work to fall due.
const NOT_WAITING: u64 = u64::MAX;

/// One thread's part of the shared state, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct ThreadLane {
    /// Wakes one idle connection.
    pub(super) wake: Notify,
    /// Notified at the end of the run.
    pub(super) over: Notify,
    /// The due instant of the thread's next work, while a connection is idle.
    next_due_ns: AtomicU64,
    pub(super) answers: AtomicU64,
    pub(super) reserved: AtomicU64,
}

impl ThreadLane {
    /// Asks for a wake-up of an idle connection at this instant.
    pub(super) fn wake_at(&self, next_due_ns: Option<u64>) {
        self.next_due_ns.store(next_due_ns.unwrap_or(NOT_WAITING), Ordering::Release);
    }

    /// Wakes an idle connection if its work is due.
    fn wake_if_due(&self, now_ns: u64) {
        let due_ns = self.next_due_ns.load(Ordering::Acquire);
        if due_ns > now_ns {
            return;
        }
        // A connection may have named another instant meanwhile: then the next tick looks at that one.
        let named = self.next_due_ns.compare_exchange(due_ns, NOT_WAITING, Ordering::AcqRel, Ordering::Relaxed);
        if named.is_ok() {
            self.wake.notify_one();
        }
    }
}

/// The shared state of a run.
pub(super) struct SharedRun {
    pub(super) waiting_list: Mutex<WaitingList>,
    pub(super) lanes: Vec<ThreadLane>,
    /// Arrivals and buyers that are not done.
    open: AtomicU64,
    /// The instants at which orders were answered, where streams compare with them.
    pub(super) answers: Option<Arc<AnswerTimes>>,
    over: AtomicBool,
    done: Sender<()>,
}

impl SharedRun {
    /// A run of these arrivals on this number of threads, and the receiver of its end.
    pub(super) fn new(arrivals: u64, threads: usize, answers: Option<Arc<AnswerTimes>>) -> (SharedRun, Receiver<()>) {
        let (done, ended) = bounded(1);
        let lanes = std::iter::repeat_with(ThreadLane::default).take(threads).collect();
        let open = AtomicU64::new(arrivals);
        (SharedRun { waiting_list: Mutex::default(), lanes, open, answers, over: AtomicBool::new(false), done }, ended)
    }

    /// Counts a buyer who left the waiting list.
    pub(super) fn opened(&self) {
        self.open.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts an arrival or buyer that is done. The last one ends the run.
    pub(super) fn closed(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Full only if the end was sent before.
            let _already_sent = self.done.try_send(());
        }
    }

    /// The number of arrivals and buyers that are not done.
    pub(super) fn open(&self) -> u64 {
        self.open.load(Ordering::Acquire)
    }

    fn finish(&self) {
        self.over.store(true, Ordering::Release);
        for lane in &self.lanes {
            lane.over.notify_one();
        }
    }

    /// Waits for the end of the run or its time limit; wakes connections with due work and draws the progress line meanwhile.
    pub(super) fn watch(&self, ended: &Receiver<()>, start: Instant, arrivals: u64, limits: RunLimits) {
        let bar = progress_bar(arrivals);
        be_punctual();
        let mut drawn = start;
        loop {
            let tick = if limits.at_rate { self.until_due(start) } else { TICK_AT_ONCE };
            match ended.recv_timeout(tick) {
                Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            let now_ns = nanos(now.saturating_duration_since(start));
            for lane in &self.lanes {
                lane.wake_if_due(now_ns);
            }
            if now.saturating_duration_since(drawn) >= PROGRESS_EVERY {
                drawn = now;
                self.draw(&bar, arrivals);
            }
            if now.saturating_duration_since(start) >= limits.deadline {
                break;
            }
        }
        bar.finish_and_clear();
        self.finish();
    }

    /// The time until the next work of an idle connection.
    fn until_due(&self, start: Instant) -> Duration {
        let due_ns = self.lanes.iter().map(|lane| lane.next_due_ns.load(Ordering::Acquire)).min();
        let now_ns = nanos(start.elapsed());
        let wait = Duration::from_nanos(due_ns.unwrap_or(NOT_WAITING).saturating_sub(now_ns));
        wait.clamp(TICK_AT_RATE_MIN, TICK_AT_RATE)
    }

    fn draw(&self, bar: &ProgressBar, arrivals: u64) {
        let sum = |part: fn(&ThreadLane) -> &AtomicU64| {
            self.lanes.iter().map(|lane| part(lane).load(Ordering::Relaxed)).sum::<u64>()
        };
        bar.set_position(arrivals.saturating_sub(self.open()));
        let answers = grouped(sum(|lane| &lane.answers));
        bar.set_message(format!("{answers} answers, {} reserved", grouped(sum(|lane| &lane.reserved))));
    }
}

/// The kernel wakes this thread when it asks to be, as nearly as it can.
pub(super) fn be_punctual() {
    // Without it a run is right, only a little later than meant.
    let _not_granted = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(TIMER_SLACK_NS));
}

/// The limits of a run.
#[derive(Clone, Copy)]
pub(super) struct RunLimits {
    pub(super) deadline: Duration,
    pub(super) at_rate: bool,
}

/// A line on standard error that redraws itself on a terminal, and nothing elsewhere.
fn progress_bar(arrivals: u64) -> ProgressBar {
    let bar = ProgressBar::new(arrivals);
    let template = "{elapsed_precise} {wide_bar} {human_pos} of {human_len} done, {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// A length of time in nanoseconds; it would take 584 years to overflow.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_through_ends_the_run() {
        let (run, ended) = SharedRun::new(2, 1, None);
        run.closed();
        run.opened();
        run.closed();
        assert!(ended.is_empty());
        run.closed();
        assert_eq!((ended.len(), run.open()), (1, 0));
    }

    #[test]
    fn an_idle_connection_is_woken_once_its_work_is_due() {
        let lane = ThreadLane::default();
        lane.wake_at(Some(1_000));
        lane.wake_if_due(999);
        assert_eq!(lane.next_due_ns.load(Ordering::Relaxed), 1_000);
        lane.wake_if_due(1_000);
        assert_eq!(lane.next_due_ns.load(Ordering::Relaxed), NOT_WAITING);
    }
}
