//! The open-loop schedule of arrivals, and a thread's queue of due work. Pure: instants are arguments.
//!
//! Arrivals are computed when they are due, never stored. Instants are nanoseconds since the start of the run.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::buyer::{Buyer, BuyerStep};

/// The work of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum LoadWork {
    /// Reads the drop once.
    ReadDrop,
    /// Takes the next step of a buyer.
    BuyerStep(BuyerStep, Buyer),
}

/// The arrivals of the whole run: buyers in their order, reads spread evenly between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Schedule {
    buyers: u64,
    total: u64,
    /// Arrivals per second; without a rate, all at once.
    rate: Option<u32>,
}

impl Schedule {
    /// `reads_percent` of all arrivals only read the drop; at 100 there are no orders.
    pub(super) fn new(buyers: u32, reads_percent: u8, rate: Option<u32>) -> Schedule {
        let (all, percent) = (u64::from(buyers), u64::from(reads_percent.min(100)));
        match percent {
            100 => Schedule { buyers: 0, total: all, rate },
            _ => Schedule { buyers: all, total: all + all * percent / (100 - percent), rate },
        }
    }

    /// The number of buyers with an order.
    pub(super) const fn buyers(&self) -> u64 {
        self.buyers
    }

    /// The number of arrivals, reads included.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// The due instant of an arrival.
    const fn due_ns(&self, index: u64) -> u64 {
        match self.rate {
            Some(rate) => index.saturating_mul(1_000_000_000) / rate as u64,
            None => 0,
        }
    }

    fn work(&self, index: u64) -> LoadWork {
        let buyers_before = |index: u64| index * self.buyers / self.total;
        let number = buyers_before(index);
        match u32::try_from(number) {
            Ok(number) if buyers_before(index + 1) > u64::from(number) => {
                LoadWork::BuyerStep(BuyerStep::Order, Buyer::new(number, 0))
            }
            Ok(_) | Err(_) => LoadWork::ReadDrop,
        }
    }
}

/// Work and its intended start.
#[derive(Debug)]
pub(super) struct DueWork {
    pub(super) at_ns: u64,
    order: u64,
    pub(super) work: LoadWork,
}

impl PartialEq for DueWork {
    fn eq(&self, other: &DueWork) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for DueWork {}

impl PartialOrd for DueWork {
    fn partial_cmp(&self, other: &DueWork) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for DueWork {
    fn cmp(&self, other: &DueWork) -> Ordering {
        (self.at_ns, self.order).cmp(&(other.at_ns, other.order))
    }
}

/// One thread's work: its share of the arrivals, and the next steps of its buyers.
#[derive(Debug)]
pub(super) struct WorkQueue {
    schedule: Schedule,
    threads: u64,
    thread: u64,
    round: u64,
    later: BinaryHeap<Reverse<DueWork>>,
    pushed: u64,
}

impl WorkQueue {
    /// The queue of thread `thread` of `threads`.
    pub(super) const fn new(schedule: Schedule, thread: u64, threads: u64) -> WorkQueue {
        WorkQueue { schedule, threads, thread, round: 0, later: BinaryHeap::new(), pushed: 0 }
    }

    /// This thread's next arrival. Each round the threads take another place, so that no thread gets all the reads.
    fn next_arrival(&self) -> Option<u64> {
        let index = self.round * self.threads + (self.thread + self.round) % self.threads;
        (index < self.schedule.total).then_some(index)
    }

    /// Adds work at an instant.
    pub(super) fn push(&mut self, at_ns: u64, work: LoadWork) {
        self.pushed += 1;
        self.later.push(Reverse(DueWork { at_ns, order: self.pushed, work }));
    }

    /// The due instant of the earliest work.
    pub(super) fn next_due_ns(&self) -> Option<u64> {
        let arrival = self.next_arrival().map(|index| self.schedule.due_ns(index));
        let later = self.later.peek().map(|due| due.0.at_ns);
        match (arrival, later) {
            (Some(arrival), Some(later)) => Some(arrival.min(later)),
            (arrival, later) => arrival.or(later),
        }
    }

    /// The earliest work, if it is due.
    pub(super) fn pop(&mut self, now_ns: u64) -> Option<DueWork> {
        let at_ns = self.next_due_ns().filter(|at_ns| *at_ns <= now_ns)?;
        if self.later.peek().is_some_and(|due| due.0.at_ns == at_ns) {
            return self.later.pop().map(|due| due.0);
        }
        let index = self.next_arrival()?;
        self.round += 1;
        Some(DueWork { at_ns, order: 0, work: self.schedule.work(index) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut WorkQueue) -> Vec<(u64, LoadWork)> {
        std::iter::from_fn(|| queue.pop(u64::MAX)).map(|due| (due.at_ns, due.work)).collect()
    }

    #[test]
    fn every_buyer_arrives_once_whatever_the_mix_and_the_threads() {
        for (buyers, percent, threads) in [(1, 0, 1), (7, 50, 2), (100, 90, 3), (13, 33, 4), (5, 99, 4), (3, 100, 2)] {
            let schedule = Schedule::new(buyers, percent, None);
            let mut seen = Vec::new();
            let mut reads = 0;
            for thread in 0..threads {
                for (_, work) in drain(&mut WorkQueue::new(schedule, thread, threads)) {
                    match work {
                        LoadWork::ReadDrop => reads += 1,
                        LoadWork::BuyerStep(_, buyer) => seen.push(u64::from(buyer.number)),
                    }
                }
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..schedule.buyers()).collect::<Vec<_>>(), "{buyers} {percent} {threads}");
            assert_eq!(reads + schedule.buyers(), schedule.total());
        }
    }

    #[test]
    fn looks_are_shared_among_the_threads() {
        let schedule = Schedule::new(1_000, 50, None);
        for thread in 0..2 {
            let work = drain(&mut WorkQueue::new(schedule, thread, 2));
            assert_eq!(work.iter().filter(|(_, work)| *work == LoadWork::ReadDrop).count(), 500, "{thread}");
        }
    }

    #[test]
    fn arrivals_keep_their_rate_and_later_steps_their_place() {
        let mut queue = WorkQueue::new(Schedule::new(3, 0, Some(1_000)), 0, 1);
        queue.push(1_500_000, LoadWork::ReadDrop);
        assert_eq!(queue.pop(0).map(|due| due.at_ns), Some(0));
        assert_eq!(queue.pop(999_999), None);
        assert_eq!(queue.next_due_ns(), Some(1_000_000));
        let rest: Vec<u64> = drain(&mut queue).into_iter().map(|(at_ns, _)| at_ns).collect();
        assert_eq!(rest, [1_000_000, 1_500_000, 2_000_000]);
    }
}
