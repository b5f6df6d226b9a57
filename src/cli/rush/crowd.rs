//! How buyers behave: what each one wants, and what he does next after an answer. Pure: no clock, no sockets.
//!
//! Runs on every load thread, for that thread's buyers. Everything here follows from the seed, the buyer's number and
//! the answers, so a run can be repeated. Invariant: a buyer who asks again after an answer that left it open whether
//! something happened asks with the same key.

use std::time::Duration;

use super::answer::{Answer, OrderView, Refusal, Stamp};
use super::habits::{Crowd, Rules, part};
use super::ledger::{End, Ledger, Violation};
use crate::types::{OrderId, OrderState};

/// How often a buyer who is turned away (429, 503 with `applied: "no"`) comes back before he gives up.
const TURNED_AWAY_MAX: u16 = 200;
/// How often a request without a definite answer is sent again: with the pauses below, a good 15 s of outage.
const FAILURES_MAX: u16 = 12;
/// How often a lapsed reservation is looked at until it shows as expired: 10 s at [`LAPSE_LOOK_EVERY`].
const LAPSE_LOOKS_MAX: u16 = 100;
/// How many orders one buyer places when his reservations lapse before he comes to check out.
const KEYS_MAX: u16 = 1_000;
/// The pause between two looks at a reservation that should have lapsed.
const LAPSE_LOOK_EVERY: Duration = Duration::from_millis(100);
/// How much later than the length of a reservation it is looked at for the first time.
const LAPSE_SLACK: Duration = Duration::from_millis(30);
/// The longest `Retry-After` that a buyer has the patience for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);
/// The pause after the first failure; it doubles up to [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE_FIRST: Duration = Duration::from_millis(50);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);
/// One request in a buyer's life, in the order of that life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Places an order.
    Order,
    /// Sends the same order again with the same key.
    Repeat,
    /// Asks for another unit with another key.
    AskTwice,
    /// Checks out with a contact.
    CheckOut,
    /// Gives the unit back.
    Cancel,
    /// Looks whether the abandoned reservation has lapsed.
    SeeLapse,
}

/// The steps after the order, in the order of a buyer's life.
const AFTER_THE_ORDER: [Step; 5] = [Step::Repeat, Step::AskTwice, Step::CheckOut, Step::Cancel, Step::SeeLapse];

/// A reservation as its buyer knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Held {
    pub(super) id: OrderId,
    expires_at: Option<Stamp>,
}

/// A buyer between two requests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Buyer {
    pub(super) number: u32,
    /// Which of his keys the order goes by; [`Step::AskTwice`] uses the next one.
    pub(super) key: u16,
    /// Tries of the present step that led to no answer.
    tries: u16,
    /// An earlier try of this step may have been applied.
    unsure: bool,
    pub(super) order: Option<Held>,
}

/// What happens after an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// The buyer sends this, after a pause.
    Again { step: Step, pause: Duration },
    /// The buyer found it sold out and waits for a unit to come back.
    WaitForUnit,
    /// The buyer is through.
    Done,
}

/// The outcome of an answer: what the buyer does, and whether a unit is free again that nobody asks for yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Turn {
    pub(super) next: Next,
    pub(super) unit_back: bool,
}

impl Buyer {
    /// A buyer who has not asked yet, or has been told "sold out".
    pub(super) const fn new(number: u32, key: u16) -> Buyer {
        Buyer { number, key, tries: 0, unsure: false, order: None }
    }

    /// The key that goes with a step.
    pub(super) const fn key_of(&self, step: Step) -> u16 {
        match step {
            Step::Order | Step::Repeat | Step::CheckOut | Step::Cancel | Step::SeeLapse => self.key,
            Step::AskTwice => self.key + 1,
        }
    }

    fn hold(&mut self, view: &OrderView) {
        self.order = Some(Held { id: view.id, expires_at: view.expires_at });
    }
}

impl Rules {
    /// What the buyer does after an answer; the ledger is kept on the way.
    pub(super) fn answered(&self, buyer: &mut Buyer, step: Step, answer: &Answer, ledger: &mut Ledger) -> Turn {
        match answer {
            Answer::Order(view) => self.granted(buyer, step, view, ledger),
            Answer::No(refusal) => self.refused(buyer, step, *refusal, ledger),
            Answer::TurnedAway { retry_after } => {
                let wait = (*retry_after).min(RETRY_AFTER_MAX);
                self.try_again(buyer, step, TURNED_AWAY_MAX, wait, ledger)
            }
            Answer::NotSent => self.try_again(buyer, step, FAILURES_MAX, doubled(buyer.tries), ledger),
            Answer::Unsure => {
                buyer.unsure = true;
                self.try_again(buyer, step, FAILURES_MAX, doubled(buyer.tries), ledger)
            }
            Answer::Drop(_) | Answer::Strange => odd(buyer, Violation::StrangeAnswer, ledger),
        }
    }

    /// The same step with the same key, after a pause of once to one and a half times `wait`.
    fn try_again(&self, buyer: &mut Buyer, step: Step, tries_max: u16, wait: Duration, ledger: &mut Ledger) -> Turn {
        if self.asks_once || buyer.tries >= tries_max {
            ledger.end(End::GaveUp);
            return Turn { next: Next::Done, unit_back: false };
        }
        buyer.tries += 1;
        let jitter = part(wait / 2, self.dice(buyer.number, (u64::from(buyer.tries) << 32) + step as u64));
        Turn { next: Next::Again { step, pause: wait + jitter }, unit_back: false }
    }

    /// The server answered with an order.
    fn granted(&self, buyer: &mut Buyer, step: Step, view: &OrderView, ledger: &mut Ledger) -> Turn {
        match step {
            Step::Order => self.reserved(buyer, view, ledger),
            Step::Repeat => self.repeated(buyer, view, ledger),
            Step::AskTwice => self.reserved_again(buyer, view, ledger),
            Step::CheckOut if is_his(buyer, view) && view.state == OrderState::AwaitingPayment => {
                self.go_on(buyer, step, ledger)
            }
            Step::Cancel if is_his(buyer, view) && view.state == OrderState::Cancelled => {
                ledger.cancelled();
                ledger.end(End::Cancelled);
                Turn { next: Next::Done, unit_back: true }
            }
            Step::SeeLapse if is_his(buyer, view) => self.looked(buyer, view, ledger),
            Step::CheckOut | Step::Cancel | Step::SeeLapse => odd(buyer, Violation::WrongState, ledger),
        }
    }

    fn reserved(&self, buyer: &mut Buyer, view: &OrderView, ledger: &mut Ledger) -> Turn {
        if view.replayed && !buyer.unsure {
            return odd(buyer, Violation::ReplayedUnasked, ledger);
        }
        ledger.reserved(view.id);
        buyer.hold(view);
        match view.state {
            OrderState::Reserved => self.go_on(buyer, Step::Order, ledger),
            // A try without an answer was applied, and the reservation ran out before the buyer learnt of it.
            OrderState::Expired if view.replayed => self.lapsed(buyer, ledger),
            OrderState::Expired
            | OrderState::AwaitingPayment
            | OrderState::Paid
            | OrderState::Cancelled
            | OrderState::RefundDue
            | OrderState::Refunded => odd(buyer, Violation::WrongState, ledger),
        }
    }

    fn repeated(&self, buyer: &mut Buyer, view: &OrderView, ledger: &mut Ledger) -> Turn {
        if !is_his(buyer, view) {
            ledger.reserved(view.id);
            return odd(buyer, Violation::RepeatGaveAnotherOrder, ledger);
        }
        if !view.replayed {
            return odd(buyer, Violation::RepeatNotMarked, ledger);
        }
        match view.state {
            OrderState::Reserved => self.go_on(buyer, Step::Repeat, ledger),
            OrderState::Expired => self.lapsed(buyer, ledger),
            OrderState::AwaitingPayment
            | OrderState::Paid
            | OrderState::Cancelled
            | OrderState::RefundDue
            | OrderState::Refunded => odd(buyer, Violation::WrongState, ledger),
        }
    }

    /// A second unit for a buyer who may have one: right only if the first reservation was over by then.
    fn reserved_again(&self, buyer: &mut Buyer, view: &OrderView, ledger: &mut Ledger) -> Turn {
        ledger.reserved(view.id);
        let first_until = buyer.order.and_then(|held| held.expires_at);
        let over = match (first_until, view.reserved_at) {
            (Some(until), Some(second_from)) => until <= second_from,
            (None, _) | (_, None) => false,
        };
        if !over || (view.replayed && !buyer.unsure) {
            return odd(buyer, Violation::LimitNotHeld, ledger);
        }
        ledger.lapsed();
        if self.lapse_after.is_none() {
            return odd(buyer, Violation::LapsedEarly, ledger);
        }
        buyer.key += 1;
        buyer.hold(view);
        match view.state {
            OrderState::Expired => self.lapsed(buyer, ledger),
            OrderState::Reserved
            | OrderState::AwaitingPayment
            | OrderState::Paid
            | OrderState::Cancelled
            | OrderState::RefundDue
            | OrderState::Refunded => self.go_on(buyer, Step::AskTwice, ledger),
        }
    }

    fn looked(&self, buyer: &mut Buyer, view: &OrderView, ledger: &mut Ledger) -> Turn {
        match view.state {
            OrderState::Expired => self.lapsed(buyer, ledger),
            OrderState::Reserved if buyer.tries < LAPSE_LOOKS_MAX => {
                buyer.tries += 1;
                Turn { next: Next::Again { step: Step::SeeLapse, pause: LAPSE_LOOK_EVERY }, unit_back: false }
            }
            OrderState::Reserved => odd(buyer, Violation::NotLapsed, ledger),
            OrderState::AwaitingPayment
            | OrderState::Paid
            | OrderState::Cancelled
            | OrderState::RefundDue
            | OrderState::Refunded => odd(buyer, Violation::WrongState, ledger),
        }
    }

    /// The engine decided "no".
    fn refused(&self, buyer: &mut Buyer, step: Step, refusal: Refusal, ledger: &mut Ledger) -> Turn {
        match (step, refusal) {
            (Step::Order, Refusal::SoldOut) => match self.crowd {
                Crowd::Real => Turn { next: Next::WaitForUnit, unit_back: false },
                Crowd::Plain | Crowd::Checkout => {
                    ledger.end(End::Unsatisfied);
                    Turn { next: Next::Done, unit_back: false }
                }
            },
            (Step::AskTwice, Refusal::LimitReached) => self.go_on(buyer, step, ledger),
            // The limit is looked at before the stock: told "sold out", he holds nothing any more.
            (Step::AskTwice, Refusal::SoldOut) => self.lapsed(buyer, ledger),
            (Step::CheckOut | Step::Cancel, Refusal::OrderExpired) => self.lapsed(buyer, ledger),
            (
                Step::Order | Step::Repeat | Step::AskTwice | Step::CheckOut | Step::Cancel | Step::SeeLapse,
                Refusal::SoldOut
                | Refusal::LimitReached
                | Refusal::OrderExpired
                | Refusal::IllegalTransition
                | Refusal::NotStarted
                | Refusal::Ended
                | Refusal::NotFound
                | Refusal::Other,
            ) => odd(buyer, Violation::UnexpectedRefusal, ledger),
        }
    }

    /// The buyer's reservation ran out. Who wanted to keep the unit asks again; another's is free for the next buyer.
    fn lapsed(&self, buyer: &mut Buyer, ledger: &mut Ledger) -> Turn {
        ledger.lapsed();
        buyer.order = None;
        if self.lapse_after.is_none() {
            return odd(buyer, Violation::LapsedEarly, ledger);
        }
        if !self.keeps(buyer.number) {
            ledger.end(End::Lapsed);
            return Turn { next: Next::Done, unit_back: true };
        }
        if buyer.key >= KEYS_MAX {
            ledger.end(End::GaveUp);
            return Turn { next: Next::Done, unit_back: true };
        }
        *buyer = Buyer::new(buyer.number, buyer.key + 1);
        Turn { next: Next::Again { step: Step::Order, pause: self.think(buyer, Step::Order) }, unit_back: false }
    }

    /// The next step of a buyer who has his unit.
    fn go_on(&self, buyer: &mut Buyer, done: Step, ledger: &mut Ledger) -> Turn {
        buyer.tries = 0;
        buyer.unsure = false;
        let later = AFTER_THE_ORDER.into_iter().filter(|step| *step as u8 > done as u8);
        let Some(step) = later.into_iter().find(|step| self.takes(buyer.number, *step)) else {
            ledger.end(End::Keeps);
            return Turn { next: Next::Done, unit_back: false };
        };
        let pause = match (step, self.lapse_after) {
            (Step::SeeLapse, Some(reservation)) => reservation + LAPSE_SLACK,
            (Step::Order | Step::Repeat | Step::AskTwice | Step::CheckOut | Step::Cancel | Step::SeeLapse, _) => {
                self.think(buyer, step)
            }
        };
        Turn { next: Next::Again { step, pause }, unit_back: false }
    }
}

/// Whether an answer is about the order that the buyer has.
fn is_his(buyer: &Buyer, view: &OrderView) -> bool {
    buyer.order.is_some_and(|held| held.id == view.id)
}

/// The answer breaks the contract: noted, and the buyer leaves.
fn odd(buyer: &Buyer, violation: Violation, ledger: &mut Ledger) -> Turn {
    ledger.violated(violation, buyer.number);
    ledger.end(End::Odd);
    Turn { next: Next::Done, unit_back: false }
}

/// The pause after this many failures.
fn doubled(failures: u16) -> Duration {
    (RETRY_PAUSE_FIRST * (1 << failures.min(10))).min(RETRY_PAUSE_MAX)
}

#[cfg(test)]
mod tests;
