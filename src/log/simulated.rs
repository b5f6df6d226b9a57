//! A log in memory, for simulations: what etcd would answer to requests that arrive one after another. What a network does
//! to requests and answers is the simulation's part (`tests/log_simulated.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Head, LogAnswer, LogRequest, Tenure};
use crate::failpoints::{self, Bug};

/// The log. A clone is what a backup of it has.
#[derive(Clone, Debug)]
pub struct SimulatedLog {
    head: Head,
    slots: Vec<Arc<[u8]>>,
    lease_ms: u64,
    /// The leader's tenure, and when its lease ends.
    leader: Option<(Tenure, u64)>,
    tenures: u64,
    /// Slots whose copy at the member that is asked first is damaged, with that copy.
    damaged: BTreeMap<u64, Arc<[u8]>>,
    /// The head that the member tells that is asked first, if it has lost entries.
    old_head: Option<Head>,
    /// The largest number of an entry that a node says it has.
    furthest: u64,
}

impl SimulatedLog {
    /// Returns a log of `slots` slots that begins after `head`.
    #[must_use]
    pub fn new(head: Head, slots: usize, lease_ms: u64) -> SimulatedLog {
        let slots = vec![Arc::from(Vec::new()); slots];
        SimulatedLog {
            head,
            slots,
            lease_ms,
            leader: None,
            tenures: 0,
            damaged: BTreeMap::new(),
            old_head: None,
            furthest: 0,
        }
    }

    /// The last entry.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Damages one member's copy of an entry, until the slot is written again.
    pub fn damage(&mut self, number: u64, bit: usize) {
        let slot = self.slot(number);
        let mut bytes = self.slots[slot].to_vec();
        if let Some(byte) = bytes.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
            self.damaged.insert(slot as u64, bytes.into());
        }
    }

    /// The member that is asked first tells the present head from now on, whatever is appended; or the right one again.
    pub fn hold_head(&mut self, is_held: bool) {
        self.old_head = is_held.then_some(self.head);
    }

    /// A node says how far it is.
    pub fn announce(&mut self, number: u64) {
        self.furthest = self.furthest.max(number);
    }

    /// Carries out a request at the time `now`, in milliseconds.
    pub fn carry_out(&mut self, request: &LogRequest, now: u64) -> LogAnswer {
        if self.leader.is_some_and(|(_, ends)| ends <= now) {
            self.leader = None;
        }
        let leads = |tenure: &Tenure| self.leader.is_some_and(|(leader, _)| leader == *tenure);
        match request {
            LogRequest::Append { tenure, from, to, bytes } => {
                let fits = *from == self.head || failpoints::enabled(Bug::HeadNotCompared);
                if !fits || !leads(tenure) {
                    return LogAnswer::Fenced(self.head);
                }
                self.head = *to;
                let slot = self.slot(to.number);
                self.damaged.remove(&(slot as u64));
                self.slots[slot] = Arc::clone(bytes);
                LogAnswer::Appended
            }
            LogRequest::Head { elsewhere } => {
                LogAnswer::Head(self.old_head.filter(|_| !elsewhere).unwrap_or(self.head))
            }
            LogRequest::Furthest => LogAnswer::Furthest(self.furthest),
            LogRequest::Read { number, elsewhere } => {
                let slot = self.slot(*number);
                let damaged = self.damaged.get(&(slot as u64)).filter(|_| !elsewhere);
                LogAnswer::Entry(Arc::clone(damaged.unwrap_or(&self.slots[slot])))
            }
            LogRequest::Await { number } if *number > self.head.number => LogAnswer::NoNews,
            LogRequest::Await { number } => {
                self.carry_out(&LogRequest::Read { number: *number, elsewhere: false }, now)
            }
            LogRequest::Campaign if self.leader.is_some() => LogAnswer::Held,
            LogRequest::Campaign => {
                self.tenures += 1;
                self.leader = Some((Tenure(self.tenures), now.saturating_add(self.lease_ms)));
                LogAnswer::Elected(Tenure(self.tenures))
            }
            LogRequest::KeepAlive { tenure } if leads(tenure) => {
                self.leader = Some((*tenure, now.saturating_add(self.lease_ms)));
                LogAnswer::Kept
            }
            LogRequest::Resign { tenure } if leads(tenure) => {
                self.leader = None;
                LogAnswer::Kept
            }
            LogRequest::KeepAlive { .. } | LogRequest::Resign { .. } => LogAnswer::Gone,
        }
    }

    fn slot(&self, number: u64) -> usize {
        usize::try_from(number).unwrap_or(0) % self.slots.len()
    }
}
