//! The behavior of a simulated buyer: each request follows from the seed and the answers before it. Pure: no clock, no
//! sockets. Times are seconds since the start of the drop, negative before it.

use super::dice::{Dice, Spread};
use super::waiting::RoomNews;
use crate::types::OrderId;

/// The pause of a person who clicked too early.
const REFLEX: Spread = Spread::LogNormal { median: 0.7, sigma: 0.5 };
/// Orders of a page that repeats by a timer, at most.
const TIMER_TRIES: u32 = 15;
/// From a bot's reservation to its checkout.
const MACHINE_FORM: f64 = 0.08;

/// A request of a simulated buyer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CrowdRequest {
    /// Reads the drop, as its page does.
    Read,
    /// Places an order with a new key.
    Order,
    CheckOut(OrderId),
    /// Takes a ticket of the waiting room, or asks for it again.
    Ticket,
    /// Reads the public body of the waiting room.
    Poll,
}

/// The answer, as far as it decides on the next request.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum CrowdAnswer {
    Reserved(OrderId),
    NotStarted,
    /// The drop is sold out at present.
    SoldOut,
    /// The ticket, with its position where it is known.
    Ticket(Option<u32>),
    Room(RoomNews),
    /// The door rejected the request; it may come again after this many seconds.
    Rejected(f64),
    /// Another answer, with which the buyer has finished.
    Done,
    /// There was no answer, or the server was overloaded.
    Lost,
}

/// The next request of a buyer, and its time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct DueRequest {
    pub(super) at: f64,
    pub(super) ask: CrowdRequest,
}

/// The habits of a buyer.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Habits {
    Human(HumanHabits),
    Machine(MachineHabits),
}

/// The habits of a person, a student or a patient bot.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct HumanHabits {
    pub(super) arrives: f64,
    /// The earliest time of the first order.
    pub(super) clicks: f64,
    /// Reads that are left before the next order.
    pub(super) reads: u32,
    /// Orders that are left before the buyer gives up.
    pub(super) tries: u32,
    pub(super) think: Spread,
    /// From the reservation to the checkout.
    pub(super) form: f64,
    /// The interval of a page or an app that repeats the order by itself.
    pub(super) timer: Option<f64>,
    /// The probability of a read before another try.
    pub(super) looks_again: f64,
    /// The address changes with each request.
    pub(super) roams: bool,
    pub(super) dice: Dice,
}

/// The habits of a bot with a timer.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct MachineHabits {
    pub(super) begins: f64,
    /// The mean interval between two orders.
    pub(super) every: f64,
    /// The standard deviation of the interval, as a share of it.
    pub(super) jitter: f64,
    /// True if the client reads the drop once before its first order.
    pub(super) reads: bool,
    pub(super) dice: Dice,
}

impl Habits {
    /// The first request of the buyer.
    pub(super) fn first(&mut self) -> DueRequest {
        match self {
            Habits::Human(human) => {
                if let Some(timer) = human.timer {
                    human.tries = TIMER_TRIES;
                    human.form = human.form.max(timer);
                }
                if human.reads > 0 {
                    DueRequest { at: human.arrives, ask: CrowdRequest::Read }
                } else {
                    DueRequest { at: human.arrives.max(human.clicks), ask: CrowdRequest::Order }
                }
            }
            Habits::Machine(machine) if machine.reads => {
                DueRequest { at: machine.begins - machine.every, ask: CrowdRequest::Read }
            }
            Habits::Machine(machine) => DueRequest { at: machine.begins, ask: CrowdRequest::Order },
        }
    }

    /// The next request after an answer; none if the buyer has finished. `due` is the time at which the answered request
    /// should have been sent, `now` the time of the answer.
    pub(super) fn after(&mut self, ask: CrowdRequest, answer: CrowdAnswer, due: f64, now: f64) -> Option<DueRequest> {
        match self {
            Habits::Human(human) => human.after(ask, answer, now),
            Habits::Machine(machine) => machine.after(ask, answer, due, now),
        }
    }

    /// True if each request comes from another address.
    pub(super) const fn roams(&self) -> bool {
        match self {
            Habits::Human(human) => human.roams,
            Habits::Machine(_) => false,
        }
    }
}

impl HumanHabits {
    fn after(&mut self, ask: CrowdRequest, answer: CrowdAnswer, now: f64) -> Option<DueRequest> {
        match (ask, answer) {
            (CrowdRequest::Read, CrowdAnswer::Rejected(wait)) => {
                Some(DueRequest { at: now + wait + self.think(), ask: CrowdRequest::Read })
            }
            (
                CrowdRequest::Read,
                CrowdAnswer::Reserved(_)
                | CrowdAnswer::NotStarted
                | CrowdAnswer::SoldOut
                | CrowdAnswer::Ticket(_)
                | CrowdAnswer::Room(_)
                | CrowdAnswer::Done
                | CrowdAnswer::Lost,
            ) => {
                self.reads = self.reads.saturating_sub(1);
                let at = now + self.think();
                Some(if self.reads > 0 {
                    DueRequest { at, ask: CrowdRequest::Read }
                } else {
                    DueRequest { at: at.max(self.clicks), ask: CrowdRequest::Order }
                })
            }
            (CrowdRequest::Order, CrowdAnswer::Reserved(order)) => {
                Some(DueRequest { at: now + self.form, ask: CrowdRequest::CheckOut(order) })
            }
            (CrowdRequest::Order, CrowdAnswer::NotStarted) => {
                let pause = self.timer.unwrap_or_else(|| self.dice.time(REFLEX));
                Some(DueRequest { at: now + pause, ask })
            }
            (CrowdRequest::Order, CrowdAnswer::SoldOut | CrowdAnswer::Lost) => self.again(now, 0.0),
            (CrowdRequest::Order, CrowdAnswer::Rejected(wait)) => self.again(now, wait),
            (CrowdRequest::CheckOut(_), CrowdAnswer::Rejected(wait)) => {
                Some(DueRequest { at: now + wait + self.think(), ask })
            }
            (CrowdRequest::CheckOut(_), CrowdAnswer::Lost) => Some(DueRequest { at: now + self.think(), ask }),
            (CrowdRequest::Order, CrowdAnswer::Done | CrowdAnswer::Ticket(_) | CrowdAnswer::Room(_))
            | (
                CrowdRequest::CheckOut(_),
                CrowdAnswer::Reserved(_)
                | CrowdAnswer::NotStarted
                | CrowdAnswer::SoldOut
                | CrowdAnswer::Ticket(_)
                | CrowdAnswer::Room(_)
                | CrowdAnswer::Done,
            )
            | (CrowdRequest::Ticket | CrowdRequest::Poll, _) => None,
        }
    }

    fn think(&mut self) -> f64 {
        self.dice.time(self.think)
    }

    /// Another order after a pause, if the buyer has not given up.
    fn again(&mut self, now: f64, wait: f64) -> Option<DueRequest> {
        self.tries = self.tries.saturating_sub(1);
        if self.tries == 0 {
            return None;
        }
        if let Some(timer) = self.timer {
            return Some(DueRequest { at: now + wait.max(timer), ask: CrowdRequest::Order });
        }
        let at = now + wait + self.think();
        if self.reads == 0 && self.dice.happens(self.looks_again) {
            self.reads = 1;
            return Some(DueRequest { at, ask: CrowdRequest::Read });
        }
        Some(DueRequest { at, ask: CrowdRequest::Order })
    }
}

impl MachineHabits {
    fn after(&mut self, ask: CrowdRequest, answer: CrowdAnswer, due: f64, now: f64) -> Option<DueRequest> {
        let tick = due + (self.every * (1.0 + self.jitter * self.dice.normal())).max(0.001);
        match (ask, answer) {
            (CrowdRequest::Read, _) => Some(DueRequest { at: self.begins.max(now), ask: CrowdRequest::Order }),
            (CrowdRequest::Order, CrowdAnswer::Reserved(order)) => {
                Some(DueRequest { at: now + MACHINE_FORM, ask: CrowdRequest::CheckOut(order) })
            }
            (
                CrowdRequest::CheckOut(_),
                CrowdAnswer::Done
                | CrowdAnswer::SoldOut
                | CrowdAnswer::NotStarted
                | CrowdAnswer::Reserved(_)
                | CrowdAnswer::Ticket(_)
                | CrowdAnswer::Room(_),
            )
            | (CrowdRequest::Order, CrowdAnswer::Done | CrowdAnswer::Ticket(_) | CrowdAnswer::Room(_))
            | (CrowdRequest::Ticket | CrowdRequest::Poll, _) => None,
            // The timer goes on whatever the answer; `Retry-After` is ignored.
            (
                CrowdRequest::Order,
                CrowdAnswer::NotStarted | CrowdAnswer::SoldOut | CrowdAnswer::Rejected(_) | CrowdAnswer::Lost,
            )
            | (CrowdRequest::CheckOut(_), CrowdAnswer::Rejected(_) | CrowdAnswer::Lost) => {
                Some(DueRequest { at: tick.max(now), ask })
            }
        }
    }
}
