//! The reactions of buyers to responses: the next step of each buyer. Pure: no clock, no sockets.
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

/// Attempts of a buyer who is rejected (429, 503 with `applied: "no"`), before giving up.
const REJECTED_MAX: u16 = 200;
/// Attempts of a request without a definite answer: with the pauses below, enough for an outage of 15 s.
const FAILURES_MAX: u16 = 12;
/// Reads of a lapsed reservation until it must show as expired: 10 s at [`LAPSE_LOOK_EVERY`].
const LAPSE_LOOKS_MAX: u16 = 100;
/// Orders of one buyer whose reservations lapse before the checkout.
const KEYS_MAX: u16 = 1_000;
/// The pause between two reads of a reservation that should have lapsed.
const LAPSE_LOOK_EVERY: Duration = Duration::from_millis(100);
/// The time from the end of a reservation to its first read.
const LAPSE_SLACK: Duration = Duration::from_millis(30);
/// The longest `Retry-After` that a buyer waits for; longer ones are cut.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);
/// The pause after the first failure; it doubles up to [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE_FIRST: Duration = Duration::from_millis(50);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// The steps after the order, in the order in which buyers take them.
const AFTER_THE_ORDER: [BuyerStep; 5] =
    [BuyerStep::Repeat, BuyerStep::AskTwice, BuyerStep::CheckOut, BuyerStep::Cancel, BuyerStep::ReadLapsed];

/// The next action of a buyer after a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NextAction {
    /// The buyer takes this step after a pause.
    Again { step: BuyerStep, pause: Duration },
    /// The buyer found the drop sold out and waits for a returned unit.
    WaitForUnit,
    /// The buyer leaves for good.
    Done,
}

/// The reaction to a response: the buyer's next action, and a unit that this buyer has returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reaction {
    pub(super) next: NextAction,
    pub(super) unit_returned: bool,
}

impl BehaviorRules {
    /// The buyer's reaction to a response; also writes the ledger.
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
            LoadResponse::Rejected { retry_after } => {
                let wait = (*retry_after).min(RETRY_AFTER_MAX);
                self.try_again(buyer, step, REJECTED_MAX, wait, ledger)
            }
            LoadResponse::Recorded { wait } => {
                // The order that the draw gives is the answer to a repeated request.
                buyer.unsure = true;
                self.try_again(buyer, step, REJECTED_MAX, *wait, ledger)
            }
            LoadResponse::NotSent => self.try_again(buyer, step, self.failures_max(), doubled(buyer.tries), ledger),
            LoadResponse::Unsure => {
                buyer.unsure = true;
                self.try_again(buyer, step, self.failures_max(), doubled(buyer.tries), ledger)
            }
            LoadResponse::Drop(_) | LoadResponse::Ticket | LoadResponse::Invalid => {
                violation(buyer, Violation::InvalidResponse, ledger)
            }
        }
    }

    const fn failures_max(&self) -> u16 {
        if self.has_other_nodes { REJECTED_MAX } else { FAILURES_MAX }
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
            return Reaction { next: NextAction::Done, unit_returned: false };
        }
        buyer.tries += 1;
        let jitter = part(wait / 2, self.dice(buyer.number, (u64::from(buyer.tries) << 32) + step as u64));
        Reaction { next: NextAction::Again { step, pause: wait + jitter }, unit_returned: false }
    }

    /// The server answered with an order.
    fn granted(&self, buyer: &mut Buyer, step: BuyerStep, view: &OrderView, ledger: &mut Ledger) -> Reaction {
        match step {
            BuyerStep::Order => self.reserved(buyer, view, ledger),
            BuyerStep::Repeat => self.repeated(buyer, view, ledger),
            BuyerStep::AskTwice => self.reserved_again(buyer, view, ledger),
            BuyerStep::CheckOut if is_own(buyer, view) && view.state == OrderState::AwaitingPayment => {
                self.go_on(buyer, step, ledger)
            }
            BuyerStep::Cancel if is_own(buyer, view) && view.state == OrderState::Cancelled => {
                ledger.cancelled();
                ledger.end(BuyerEnd::Cancelled);
                Reaction { next: NextAction::Done, unit_returned: true }
            }
            BuyerStep::ReadLapsed if is_own(buyer, view) => self.looked(buyer, view, ledger),
            BuyerStep::CheckOut | BuyerStep::Cancel | BuyerStep::ReadLapsed => {
                violation(buyer, Violation::WrongState, ledger)
            }
        }
    }

    fn reserved(&self, buyer: &mut Buyer, view: &OrderView, ledger: &mut Ledger) -> Reaction {
        if view.replayed && !buyer.unsure {
            return violation(buyer, Violation::ReplayedUnasked, ledger);
        }
        ledger.reserved(view.id);
        buyer.hold(view);
        match view.state {
            OrderState::Reserved => self.go_on(buyer, BuyerStep::Order, ledger),
            // An attempt without an answer was applied, and the reservation lapsed before the buyer knew of it.
            OrderState::Expired if view.replayed => self.lapsed(buyer, ledger),
            OrderState::Expired
            | OrderState::AwaitingPayment
            | OrderState::Paid
            | OrderState::Cancelled
            | OrderState::RefundDue
            | OrderState::Refunded => violation(buyer, Violation::WrongState, ledger),
        }
    }

    fn repeated(&self, buyer: &mut Buyer, view: &OrderView, ledger: &mut Ledger) -> Reaction {
        if !is_own(buyer, view) {
            ledger.reserved(view.id);
            return violation(buyer, Violation::RepeatGaveAnotherOrder, ledger);
        }
        if !view.replayed {
            return violation(buyer, Violation::RepeatNotMarked, ledger);
        }
        match view.state {
            OrderState::Reserved => self.go_on(buyer, BuyerStep::Repeat, ledger),
            OrderState::Expired => self.lapsed(buyer, ledger),
            OrderState::AwaitingPayment
            | OrderState::Paid
            | OrderState::Cancelled
            | OrderState::RefundDue
            | OrderState::Refunded => violation(buyer, Violation::WrongState, ledger),
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
            return violation(buyer, Violation::LimitNotHeld, ledger);
        }
        ledger.lapsed();
        if self.lapse_after.is_none() {
            return violation(buyer, Violation::LapsedEarly, ledger);
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
                    next: NextAction::Again { step: BuyerStep::ReadLapsed, pause: LAPSE_LOOK_EVERY },
                    unit_returned: false,
                }
            }
            OrderState::Reserved => violation(buyer, Violation::NotLapsed, ledger),
            OrderState::AwaitingPayment
            | OrderState::Paid
            | OrderState::Cancelled
            | OrderState::RefundDue
            | OrderState::Refunded => violation(buyer, Violation::WrongState, ledger),
        }
    }

    /// The engine decided "no".
    fn refused(&self, buyer: &mut Buyer, step: BuyerStep, refusal: RefusalKind, ledger: &mut Ledger) -> Reaction {
        match (step, refusal) {
            (BuyerStep::Order, RefusalKind::SoldOut) => match self.crowd {
                Crowd::Real => Reaction { next: NextAction::WaitForUnit, unit_returned: false },
                Crowd::Plain | Crowd::Checkout => {
                    ledger.end(BuyerEnd::Unsatisfied);
                    Reaction { next: NextAction::Done, unit_returned: false }
                }
            },
            (BuyerStep::AskTwice, RefusalKind::LimitReached) => self.go_on(buyer, step, ledger),
            // The server checks the limit before the stock: "sold out" means that the buyer holds nothing any more.
            (BuyerStep::AskTwice, RefusalKind::SoldOut) => self.lapsed(buyer, ledger),
            (BuyerStep::CheckOut | BuyerStep::Cancel, RefusalKind::OrderExpired) => self.lapsed(buyer, ledger),
            (
                BuyerStep::Order
                | BuyerStep::Repeat
                | BuyerStep::AskTwice
                | BuyerStep::CheckOut
                | BuyerStep::Cancel
                | BuyerStep::ReadLapsed,
                RefusalKind::SoldOut
                | RefusalKind::LimitReached
                | RefusalKind::OrderExpired
                | RefusalKind::IllegalTransition
                | RefusalKind::NotStarted
                | RefusalKind::Ended
                | RefusalKind::NotFound
                | RefusalKind::Other,
            ) => violation(buyer, Violation::UnexpectedRefusal, ledger),
        }
    }

    /// The buyer's reservation has lapsed. A buyer who wants to keep the unit asks again; others leave it to the next buyer.
    fn lapsed(&self, buyer: &mut Buyer, ledger: &mut Ledger) -> Reaction {
        ledger.lapsed();
        buyer.order = None;
        if self.lapse_after.is_none() {
            return violation(buyer, Violation::LapsedEarly, ledger);
        }
        if !self.keeps(buyer.number) {
            ledger.end(BuyerEnd::Lapsed);
            return Reaction { next: NextAction::Done, unit_returned: true };
        }
        if buyer.key >= KEYS_MAX {
            ledger.end(BuyerEnd::GaveUp);
            return Reaction { next: NextAction::Done, unit_returned: true };
        }
        *buyer = Buyer::new(buyer.number, buyer.key + 1);
        Reaction {
            next: NextAction::Again { step: BuyerStep::Order, pause: self.think(buyer, BuyerStep::Order) },
            unit_returned: false,
        }
    }

    /// The next step of a buyer who has a unit.
    fn go_on(&self, buyer: &mut Buyer, done: BuyerStep, ledger: &mut Ledger) -> Reaction {
        buyer.tries = 0;
        buyer.unsure = false;
        let later = AFTER_THE_ORDER.into_iter().filter(|step| *step as u8 > done as u8);
        let Some(step) = later.into_iter().find(|step| self.takes(buyer.number, *step)) else {
            ledger.end(BuyerEnd::Keeps);
            return Reaction { next: NextAction::Done, unit_returned: false };
        };
        let pause = match (step, self.lapse_after) {
            (BuyerStep::ReadLapsed, Some(reservation)) => reservation + LAPSE_SLACK,
            (
                BuyerStep::Order
                | BuyerStep::Repeat
                | BuyerStep::AskTwice
                | BuyerStep::CheckOut
                | BuyerStep::Cancel
                | BuyerStep::ReadLapsed,
                _,
            ) => self.think(buyer, step),
        };
        Reaction { next: NextAction::Again { step, pause }, unit_returned: false }
    }
}

/// True if the response is about the buyer's own order.
fn is_own(buyer: &Buyer, view: &OrderView) -> bool {
    buyer.order.is_some_and(|held| held.id == view.id)
}

/// The response breaks the contract: counted, and the buyer leaves.
fn violation(buyer: &Buyer, violation: Violation, ledger: &mut Ledger) -> Reaction {
    ledger.violated(violation, buyer.number);
    ledger.end(BuyerEnd::Violation);
    Reaction { next: NextAction::Done, unit_returned: false }
}

/// The pause after this number of failures.
fn doubled(failures: u16) -> Duration {
    (RETRY_PAUSE_FIRST * (1 << failures.min(10))).min(RETRY_PAUSE_MAX)
}

#[cfg(test)]
mod tests;
