//! The state that the threads share: the tickets and positions of all buyers, the room's last known state, and what is to be done.
//!
//! A position is called once: when the room serves it and its buyer is known, whichever is later. Both sides swap the cell, so
//! exactly one of them finds the buyer.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::answers::{RoomView, TicketView};
use super::habits::RoomHabits;
use super::ledger::RoomViolation;
use super::plan::{DrawKind, RoomPlan};
use crate::types::OrderId;

/// No buyer is known at this position, or no position of this buyer.
const UNKNOWN: u32 = 0;
/// The position was called.
const CALLED: u32 = u32::MAX;
/// One buyer without a ticket for so many with one.
const STRANGER_EVERY: u32 = 1_000;

/// Something to do, beside polls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Errand {
    /// A ticket of a buyer who has none.
    Ticket(u32),
    /// The own ticket again, for its position.
    Position(u32),
    /// The order of a buyer whose turn began after that instant, at which the room was seen without it; `None` if the turn came before
    /// the position was known, which may be any time ago.
    Order(u32, Option<Instant>),
    CheckOut(u32, OrderId),
    /// The order of a buyer before the own turn.
    Early(u32),
    /// The order of a buyer without a ticket.
    Stranger(u32),
}

/// The positions that were called.
struct Called {
    /// Positions below it were looked at.
    below: u32,
    /// The last look at the room. Turns that the next one shows began after it, however late that comes.
    seen_at: Instant,
}

/// The shared state of a run.
pub(super) struct WaitingLine {
    seed: u64,
    buyers: u32,
    asks_positions: bool,
    polls: Duration,
    /// By position: the buyer plus one.
    places: Box<[AtomicU32]>,
    /// By number of the ticket, from 0: the buyer plus one.
    numbers: Box<[AtomicU32]>,
    /// By buyer: the position plus one.
    positions: Box<[AtomicU32]>,
    next_ticket: AtomicU32,
    next_position: AtomicU32,
    /// Buyers of before the start without a ticket.
    tickets_left: AtomicU32,
    tickets_taken_at: OnceLock<Instant>,
    serving_since: OnceLock<Instant>,
    sold_out_at: OnceLock<Instant>,
    serving: AtomicU32,
    called: Mutex<Called>,
    due: Mutex<VecDeque<Errand>>,
    /// Errands of others, done one at a time after the start, where nothing else is due.
    others: Mutex<Vec<Errand>>,
    /// Errands that were taken and are not done.
    under_way: AtomicU32,
    over: AtomicBool,
    was_cut_off: AtomicBool,
    pub(super) began: Instant,
}

impl WaitingLine {
    pub(super) fn new(plan: &RoomPlan) -> WaitingLine {
        let cells = || std::iter::repeat_with(|| AtomicU32::new(UNKNOWN)).take(plan.buyers as usize).collect();
        let mut others: Vec<Errand> = Vec::new();
        for buyer in 0..plan.buyers {
            let habits = RoomHabits::of(plan.seed, buyer);
            if habits.is_late {
                others.push(Errand::Ticket(buyer));
            } else if habits.jumps {
                others.push(Errand::Early(buyer));
            }
            if buyer % STRANGER_EVERY == STRANGER_EVERY / 2 {
                others.push(Errand::Stranger(plan.buyers + buyer));
            }
        }
        let late = others.iter().filter(|errand| matches!(errand, Errand::Ticket(_))).count();
        WaitingLine {
            seed: plan.seed,
            buyers: plan.buyers,
            asks_positions: plan.draw == DrawKind::Random,
            polls: plan.polls,
            places: cells(),
            numbers: cells(),
            positions: cells(),
            next_ticket: AtomicU32::new(0),
            next_position: AtomicU32::new(0),
            tickets_left: AtomicU32::new(plan.buyers - u32::try_from(late).unwrap_or(0)),
            tickets_taken_at: OnceLock::new(),
            serving_since: OnceLock::new(),
            sold_out_at: OnceLock::new(),
            serving: AtomicU32::new(0),
            called: Mutex::new(Called { below: 0, seen_at: Instant::now() }),
            due: Mutex::default(),
            others: Mutex::new(others),
            under_way: AtomicU32::new(0),
            over: AtomicBool::new(false),
            was_cut_off: AtomicBool::new(false),
            began: Instant::now(),
        }
    }

    pub(super) fn habits(&self, buyer: u32) -> RoomHabits {
        RoomHabits::of(self.seed, buyer)
    }

    /// The next errand; `None` where there is only to wait and to poll.
    pub(super) fn next(&self) -> Option<Errand> {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        let errand = self.take();
        if errand.is_none() {
            self.done();
        }
        errand
    }

    fn take(&self) -> Option<Errand> {
        if let Some(errand) = self.due.lock().pop_front() {
            return Some(errand);
        }
        if self.tickets_taken_at.get().is_none() {
            return self.next_of(&self.next_ticket, |habits| !habits.is_late).map(Errand::Ticket);
        }
        self.serving_since.get()?;
        if self.asks_positions
            && let Some(buyer) = self.next_of(&self.next_position, |habits| !habits.is_late)
        {
            return Some(Errand::Position(buyer));
        }
        None
    }

    /// An errand of a buyer who does not wait for a turn.
    pub(super) fn next_other(&self) -> Option<Errand> {
        self.serving_since.get()?;
        self.under_way.fetch_add(1, Ordering::AcqRel);
        let errand = self.others.lock().pop();
        if errand.is_none() {
            self.done();
        }
        errand
    }

    fn next_of(&self, counter: &AtomicU32, wanted: impl Fn(&RoomHabits) -> bool) -> Option<u32> {
        loop {
            let buyer = counter.fetch_add(1, Ordering::AcqRel);
            if buyer >= self.buyers {
                counter.store(self.buyers, Ordering::Release);
                return None;
            }
            if wanted(&self.habits(buyer)) {
                return Some(buyer);
            }
        }
    }

    /// Ends an errand.
    pub(super) fn done(&self) {
        self.under_way.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn push(&self, errand: Errand) {
        self.due.lock().push_back(errand);
    }

    /// Takes in a buyer's ticket; returns what of it breaks a promise.
    pub(super) fn ticket(&self, buyer: u32, ticket: TicketView) -> Option<RoomViolation> {
        let own = buyer + 1;
        let cell = ticket.number.checked_sub(1).and_then(|index| self.numbers.get(index as usize));
        let Some(cell) = cell else { return Some(RoomViolation::NumberTwice) };
        let is_new = match cell.compare_exchange(UNKNOWN, own, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(before) if before == own => false,
            Err(_) => return Some(RoomViolation::NumberTwice),
        };
        if is_new && !self.habits(buyer).is_late && self.tickets_left.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Set once: the last ticket of before the start.
            let _set_before = self.tickets_taken_at.set(Instant::now());
        }
        ticket.position.and_then(|position| self.place(buyer, position))
    }

    fn place(&self, buyer: u32, position: u32) -> Option<RoomViolation> {
        let (own, known) = (buyer + 1, self.positions.get(buyer as usize)?);
        match known.swap(position + 1, Ordering::AcqRel) {
            UNKNOWN => {}
            before if before == position + 1 => return None,
            _ => return Some(RoomViolation::AnotherPosition),
        }
        let Some(place) = self.places.get(position as usize) else { return Some(RoomViolation::PositionTwice) };
        if place.compare_exchange(UNKNOWN, own, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return Some(RoomViolation::PositionTwice);
        }
        if position < self.called.lock().below {
            self.call(position, None);
        }
        None
    }

    /// The position of a buyer, once it is known.
    pub(super) fn position(&self, buyer: u32) -> Option<u32> {
        self.positions.get(buyer as usize)?.load(Ordering::Acquire).checked_sub(1)
    }

    pub(super) fn serving(&self) -> u32 {
        self.serving.load(Ordering::Acquire)
    }

    /// Notes a look at the room that found it as before.
    pub(super) fn saw_unchanged(&self) {
        self.called.lock().seen_at = Instant::now();
    }

    /// Takes in what the room shows, and calls the buyers who are admitted by it.
    pub(super) fn show(&self, view: &RoomView) {
        if view.state == "serving" {
            let _set_before = self.serving_since.set(Instant::now());
        }
        let mut called = self.called.lock();
        self.serving.fetch_max(view.serving, Ordering::AcqRel);
        let Called { below: from, seen_at: since } = *called;
        *called = Called { below: from.max(view.serving), seen_at: Instant::now() };
        drop(called);
        for position in from..view.serving.max(from) {
            self.call(position, Some(since));
        }
        let is_sold_out = view.available == 0 && view.tickets > 0 && view.serving > 0;
        if is_sold_out {
            let _set_before = self.sold_out_at.set(Instant::now());
        }
        let all_asked = self.next_position.load(Ordering::Acquire) >= self.buyers || !self.asks_positions;
        let all_served = view.state == "serving" && view.serving == view.tickets && all_asked;
        let is_idle = self.under_way.load(Ordering::Acquire) == 0 && self.due.lock().is_empty();
        if is_idle && (is_sold_out || (all_served && self.others.lock().is_empty())) || view.state == "over" {
            self.over.store(true, Ordering::Release);
        }
    }

    fn call(&self, position: u32, since: Option<Instant>) {
        let Some(place) = self.places.get(position as usize) else { return };
        // A place without a buyer stays as it is: its buyer calls later.
        let taken = place.fetch_update(Ordering::AcqRel, Ordering::Acquire, |buyer| {
            (buyer != UNKNOWN && buyer != CALLED).then_some(CALLED)
        });
        if let Ok(buyer) = taken {
            self.push(Errand::Order(buyer - 1, since));
        }
    }

    /// Returns whether the connections poll as fast as they can: all tickets are taken, and the sale has not started.
    pub(super) fn polls_fast(&self) -> bool {
        self.serving_since.get().is_none() && self.tickets_taken_at.get().is_some_and(|at| at.elapsed() < self.polls)
    }

    pub(super) fn tickets_taken_at(&self) -> Option<Instant> {
        self.tickets_taken_at.get().copied()
    }

    pub(super) fn serving_since(&self) -> Option<Instant> {
        self.serving_since.get().copied()
    }

    pub(super) fn sold_out_at(&self) -> Option<Instant> {
        self.sold_out_at.get().copied()
    }

    /// The time for which the connections polled as fast as they could.
    pub(super) fn polled_fast_for(&self) -> Option<Duration> {
        let from = self.tickets_taken_at()?;
        let until = self.serving_since().unwrap_or_else(Instant::now);
        Some(until.saturating_duration_since(from).min(self.polls))
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Ends the run at its time limit.
    pub(super) fn cut_off(&self) {
        self.was_cut_off.store(true, Ordering::Release);
        self.over.store(true, Ordering::Release);
    }

    pub(super) fn was_cut_off(&self) -> bool {
        self.was_cut_off.load(Ordering::Acquire)
    }
}
