//! How buyers behave: what each one wants, and what he does next after an answer. Pure: no clock, no sockets.
//!
//! Runs on every load thread, for that thread's buyers. Everything here follows from the seed, the buyer's number and
//! the answers, so a run can be repeated. Invariant: a buyer who asks again after an answer that left it open whether
//! something happened asks with the same key.

use std::time::Duration;

use super::behavior::{BehaviorRules, Crowd, part};
use super::buyer::{Buyer, BuyerStep};
use super::ledger::{BuyerEnd, Ledger, Violation};
use super::response::{LoadResponse, OrderView, RefusalKind};
use crate::types::OrderState;

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

/// The steps after the order, in the order of a buyer's life.
const AFTER_THE_ORDER: [BuyerStep; 5] =
    [BuyerStep::Repeat, BuyerStep::AskTwice, BuyerStep::CheckOut, BuyerStep::Cancel, BuyerStep::SeeLapse];

/// What happens after an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NextAction {
    /// The buyer sends this, after a pause.
    Again { step: BuyerStep, pause: Duration },
    /// The buyer found it sold out and waits for a unit to come back.
    WaitForUnit,
    /// The buyer is through.
    Done,
}

/// The outcome of an answer: what the buyer does, and whether a unit is free again that nobody asks for yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reaction {
    pub(super) next: NextAction,
    pub(super) unit_back: bool,
}

impl BehaviorRules {
    /// What the buyer does after an answer; the ledger is kept on the way.
    pub(super) fn answered(
        &self,
        buyer: &mut Buyer,
        step: BuyerStep,
        answer: &LoadResponse,
        ledger: &mut Ledger,
    ) -> Reaction {
        match answer {
            LoadResponse::Order(view) => self.granted(buyer, step, view, ledger),
            LoadResponse::No(refusal) => self.refused(buyer, step, *refusal, ledger),
            LoadResponse::TurnedAway { retry_after } => {
                let wait = (*retry_after).min(RETRY_AFTER_MAX);
                self.try_again(buyer, step, TURNED_AWAY_MAX, wait, ledger)
            }
            LoadResponse::NotSent => self.try_again(buyer, step, FAILURES_MAX, doubled(buyer.tries), ledger),
            LoadResponse::Unsure => {
                buyer.unsure = true;
                self.try_again(buyer, step, FAILURES_MAX, doubled(buyer.tries), ledger)
            }
            LoadResponse::Drop(_) | LoadResponse::Strange => odd(buyer, Violation::StrangeAnswer, ledger),
        }
    }

    /// The same step with the same key, after a pause of once to one and a half times `wait`.
    fn try_again(
        &self,
        buyer: &mut Buyer,
        step: BuyerStep,
        tries_max: u16,
        wait: Duration,
        ledger: &mut Ledger,
    ) -> Reaction {
        if self.asks_once || buyer.tries >= tries_max {
            ledger.end(BuyerEnd::GaveUp);
            return Reaction { next: NextAction::Done, unit_back: false };
        }
        buyer.tries += 1;
        let jitter = part(wait / 2, self.dice(buyer.number, (u64::from(buyer.tries) << 32) + step as u64));
        Reaction { next: NextAction::Again { step, pause: wait + jitter }, unit_back: false }
    }

    /// The server answered with an order.
    fn granted(&self, buyer: &mut Buyer, step: BuyerStep, view: &OrderView, ledger: &mut Ledger) -> Reaction {
        match step {
            BuyerStep::Order => self.reserved(buyer, view, ledger),
            BuyerStep::Repeat => self.repeated(buyer, view, ledger),
            BuyerStep::AskTwice => self.reserved_again(buyer, view, ledger),
            BuyerStep::CheckOut if is_his(buyer, view) && view.state == OrderState::AwaitingPayment => {
                self.go_on(buyer, step, ledger)
            }
            BuyerStep::Cancel if is_his(buyer, view) && view.state == OrderState::Cancelled => {
                ledger.cancelled();
                ledger.end(BuyerEnd::Cancelled);
                Reaction { next: NextAction::Done, unit_back: true }
            }
            BuyerStep::SeeLapse if is_his(buyer, view) => self.looked(buyer, view, ledger),
            BuyerStep::CheckOut | BuyerStep::Cancel | BuyerStep::SeeLapse => odd(buyer, Violation::WrongState, ledger),
        }
    }

    fn reserved(&self, buyer: &mut Buyer, view: &OrderView, ledger: &mut Ledger) -> Reaction {
        if view.replayed && !buyer.unsure {
            return odd(buyer, Violation::ReplayedUnasked, ledger);
        }
        ledger.reserved(view.id);
        buyer.hold(view);
        match view.state {
            OrderState::Reserved => self.go_on(buyer, BuyerStep::Order, ledger),
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

    fn repeated(&self, buyer: &mut Buyer, view: &OrderView, ledger: &mut Ledger) -> Reaction {
        if !is_his(buyer, view) {
            ledger.reserved(view.id);
            return odd(buyer, Violation::RepeatGaveAnotherOrder, ledger);
        }
        if !view.replayed {
            return odd(buyer, Violation::RepeatNotMarked, ledger);
        }
        match view.state {
            OrderState::Reserved => self.go_on(buyer, BuyerStep::Repeat, ledger),
            OrderState::Expired => self.lapsed(buyer, ledger),
            OrderState::AwaitingPayment
            | OrderState::Paid
            | OrderState::Cancelled
            | OrderState::RefundDue
            | OrderState::Refunded => odd(buyer, Violation::WrongState, ledger),
        }
    }

    /// A second unit for a buyer who may have one: right only if the first reservation was over by then.
    fn reserved_again(&self, buyer: &mut Buyer, view: &OrderView, ledger: &mut Ledger) -> Reaction {
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
            | OrderState::Refunded => self.go_on(buyer, BuyerStep::AskTwice, ledger),
        }
    }

    fn looked(&self, buyer: &mut Buyer, view: &OrderView, ledger: &mut Ledger) -> Reaction {
        match view.state {
            OrderState::Expired => self.lapsed(buyer, ledger),
            OrderState::Reserved if buyer.tries < LAPSE_LOOKS_MAX => {
                buyer.tries += 1;
                Reaction {
                    next: NextAction::Again { step: BuyerStep::SeeLapse, pause: LAPSE_LOOK_EVERY },
                    unit_back: false,
                }
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
    fn refused(&self, buyer: &mut Buyer, step: BuyerStep, refusal: RefusalKind, ledger: &mut Ledger) -> Reaction {
        match (step, refusal) {
            (BuyerStep::Order, RefusalKind::SoldOut) => match self.crowd {
                Crowd::Real => Reaction { next: NextAction::WaitForUnit, unit_back: false },
                Crowd::Plain | Crowd::Checkout => {
                    ledger.end(BuyerEnd::Unsatisfied);
                    Reaction { next: NextAction::Done, unit_back: false }
                }
            },
            (BuyerStep::AskTwice, RefusalKind::LimitReached) => self.go_on(buyer, step, ledger),
            // The limit is looked at before the stock: told "sold out", he holds nothing any more.
            (BuyerStep::AskTwice, RefusalKind::SoldOut) => self.lapsed(buyer, ledger),
            (BuyerStep::CheckOut | BuyerStep::Cancel, RefusalKind::OrderExpired) => self.lapsed(buyer, ledger),
            (
                BuyerStep::Order
                | BuyerStep::Repeat
                | BuyerStep::AskTwice
                | BuyerStep::CheckOut
                | BuyerStep::Cancel
                | BuyerStep::SeeLapse,
                RefusalKind::SoldOut
                | RefusalKind::LimitReached
                | RefusalKind::OrderExpired
                | RefusalKind::IllegalTransition
                | RefusalKind::NotStarted
                | RefusalKind::Ended
                | RefusalKind::NotFound
                | RefusalKind::Other,
            ) => odd(buyer, Violation::UnexpectedRefusal, ledger),
        }
    }

    /// The buyer's reservation ran out. Who wanted to keep the unit asks again; another's is free for the next buyer.
    fn lapsed(&self, buyer: &mut Buyer, ledger: &mut Ledger) -> Reaction {
        ledger.lapsed();
        buyer.order = None;
        if self.lapse_after.is_none() {
            return odd(buyer, Violation::LapsedEarly, ledger);
        }
        if !self.keeps(buyer.number) {
            ledger.end(BuyerEnd::Lapsed);
            return Reaction { next: NextAction::Done, unit_back: true };
        }
        if buyer.key >= KEYS_MAX {
            ledger.end(BuyerEnd::GaveUp);
            return Reaction { next: NextAction::Done, unit_back: true };
        }
        *buyer = Buyer::new(buyer.number, buyer.key + 1);
        Reaction {
            next: NextAction::Again { step: BuyerStep::Order, pause: self.think(buyer, BuyerStep::Order) },
            unit_back: false,
        }
    }

    /// The next step of a buyer who has his unit.
    fn go_on(&self, buyer: &mut Buyer, done: BuyerStep, ledger: &mut Ledger) -> Reaction {
        buyer.tries = 0;
        buyer.unsure = false;
        let later = AFTER_THE_ORDER.into_iter().filter(|step| *step as u8 > done as u8);
        let Some(step) = later.into_iter().find(|step| self.takes(buyer.number, *step)) else {
            ledger.end(BuyerEnd::Keeps);
            return Reaction { next: NextAction::Done, unit_back: false };
        };
        let pause = match (step, self.lapse_after) {
            (BuyerStep::SeeLapse, Some(reservation)) => reservation + LAPSE_SLACK,
            (
                BuyerStep::Order
                | BuyerStep::Repeat
                | BuyerStep::AskTwice
                | BuyerStep::CheckOut
                | BuyerStep::Cancel
                | BuyerStep::SeeLapse,
                _,
            ) => self.think(buyer, step),
        };
        Reaction { next: NextAction::Again { step, pause }, unit_back: false }
    }
}

/// Whether an answer is about the order that the buyer has.
fn is_his(buyer: &Buyer, view: &OrderView) -> bool {
    buyer.order.is_some_and(|held| held.id == view.id)
}

/// The answer breaks the contract: noted, and the buyer leaves.
fn odd(buyer: &Buyer, violation: Violation, ledger: &mut Ledger) -> Reaction {
    ledger.violated(violation, buyer.number);
    ledger.end(BuyerEnd::Odd);
    Reaction { next: NextAction::Done, unit_back: false }
}

/// The pause after this many failures.
fn doubled(failures: u16) -> Duration {
    (RETRY_PAUSE_FIRST * (1 << failures.min(10))).min(RETRY_PAUSE_MAX)
}

#[cfg(test)]
mod tests;
