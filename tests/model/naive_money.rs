//! Money once more, as plain as can be: what providers tell, and what comes of it.

use firstcome::engine::{Effect, Invalid, Outcome, RecordProviderEvent, Refusal, SettleRefund, Subject};
use firstcome::types::{Amount, Disposition, IgnoredReason, OrderState, Provider, ProviderEventKind};

use super::naive::{Naive, NaiveOrder, NaivePayment, instant, seq};

impl Naive {
    pub(super) fn hear(&mut self, event: &RecordProviderEvent) -> Outcome {
        let index = event.order.and_then(|number| self.orders.iter().position(|o| o.seq == number.get()));
        if self.told.contains(&event.id) {
            return self.repeat(index.map_or(Subject::File, |index| Subject::Order(seq(self.orders[index].seq))));
        }
        self.told.push(event.id);
        self.events += 1;
        let about = !matches!(event.kind, ProviderEventKind::PaymentSucceeded | ProviderEventKind::PaymentFailed);
        let before = self.over_received(index);
        let result = match index {
            Some(index) => self.take_in(event, index),
            None if about && event.provider == Provider::Stripe => Err(IgnoredReason::UnknownPayment),
            None => Err(IgnoredReason::UnknownOrder),
        };
        let told = match result {
            Ok(1) if self.over_received(index) > before => {
                self.events += 1;
                Disposition::Ignored(IgnoredReason::ExceedsReceived)
            }
            Ok(events) => {
                self.events += events;
                Disposition::Applied
            }
            Err(IgnoredReason::UnknownPayment) if event.kind != ProviderEventKind::RefundFailed => {
                let before = self.early.iter().filter(|e| same_payment(e, event)).count();
                if before < 100 {
                    self.early.push(RecordProviderEvent { order: index.and(event.order), ..event.clone() });
                    self.events += 1;
                    Disposition::Ignored(IgnoredReason::UnknownPayment)
                } else {
                    Disposition::Ignored(IgnoredReason::TooManyPayments)
                }
            }
            Err(because) => Disposition::Ignored(because),
        };
        Outcome::Accepted(Effect::ProviderEventRecorded { seq: seq(self.events), disposition: told })
    }

    /// How many events it makes, or why none.
    fn take_in(&mut self, event: &RecordProviderEvent, index: usize) -> Result<u64, IgnoredReason> {
        let drop = self.orders[index].drop;
        let currency = self.drops[drop].spec.currency;
        let order = &self.orders[index];
        let known =
            order.payments.iter().position(|p| p.provider == event.provider && *p.reference == *event.reference);
        match (event.kind, known) {
            (ProviderEventKind::PaymentSucceeded, Some(_)) => Err(IgnoredReason::PaymentKnown),
            (ProviderEventKind::PaymentSucceeded, None) => {
                let ours = order.payments.iter().filter(|p| p.currency == currency);
                let sum = ours.map(|p| p.received).sum::<u64>() + event.amount.get();
                if event.currency == currency && sum >= 1 << 53 {
                    return Err(IgnoredReason::TotalTooLarge);
                }
                let fits = event.currency == currency && event.amount.get() == order.amount();
                let pays = fits && (order.live() || (order.state == OrderState::Expired && self.may_retake(index)));
                let lost = fits
                    && event.amount.get() > 0
                    && matches!(self.orders[index].state, OrderState::Cancelled | OrderState::Expired);
                let lost = lost || (event.amount.get() > 0 && self.orders[index].state == OrderState::Refunded);
                let order = &mut self.orders[index];
                let received = event.amount.get();
                order.payments.push(NaivePayment {
                    provider: event.provider,
                    reference: event.reference.to_string(),
                    currency: event.currency,
                    received,
                    refunded: 0,
                    due: if pays { 0 } else { received },
                    pays,
                    waits: Vec::new(),
                });
                if pays {
                    order.state = OrderState::Paid;
                    order.returned = 0;
                    order.left_at.get_or_insert(self.at);
                    self.paid_for(drop);
                } else if lost {
                    self.orders[index].state = OrderState::RefundDue;
                }
                let early: Vec<_> = self.early.iter().filter(|e| same_payment(e, event)).cloned().collect();
                Ok(1 + early.iter().map(|early| self.take_in(early, index).unwrap_or(0)).sum::<u64>())
            }
            (ProviderEventKind::PaymentFailed, None) if order.live() => Ok(1),
            (ProviderEventKind::PaymentFailed, _) => Err(IgnoredReason::NotAwaited),
            (_, None) => Err(IgnoredReason::UnknownPayment),
            (ProviderEventKind::ChargebackCreated, Some(_)) => Ok(1),
            (ProviderEventKind::RefundFailed, Some(known)) => {
                if event.counterpart.is_some_and(|success| self.told.contains(&success)) {
                    self.fail_refund(event, index, known)
                } else {
                    Err(IgnoredReason::UnknownRefund)
                }
            }
            (ProviderEventKind::RefundSucceeded, Some(known)) => self.refund(event, index, known),
        }
    }

    fn refund(&mut self, event: &RecordProviderEvent, index: usize, known: usize) -> Result<u64, IgnoredReason> {
        let order = &mut self.orders[index];
        let payment = &mut order.payments[known];
        if payment.currency != event.currency {
            return Err(IgnoredReason::CurrencyDiffers);
        }
        let told = event.amount.get();
        let back = told.min(payment.received - payment.refunded);
        let failed = event.counterpart.is_some_and(|failure| self.told.contains(&failure));
        if told > payment.received || (back < told && (event.counterpart.is_none() || (failed && back == 0))) {
            return Err(IgnoredReason::ExceedsReceived);
        }
        if failed {
            let events = self.give_back(index, known, back);
            return Ok(events + self.owe_again(index, known, back));
        }
        if back < told {
            if payment.waits.len() >= 100 {
                return Err(IgnoredReason::TooManyPayments);
            }
            payment.waits.push((event.counterpart.expect("it may fail"), told - back));
        }
        let events = self.give_back(index, known, back);
        Ok(events + u64::from(back < told))
    }

    /// How much of the refunds of an order is over the amounts received.
    fn over_received(&self, index: Option<usize>) -> u64 {
        let payments = index.iter().flat_map(|index| &self.orders[*index].payments);
        payments.flat_map(|payment| &payment.waits).map(|(_, waits)| waits).sum()
    }

    /// So much of a payment went back; there is room for it.
    fn give_back(&mut self, index: usize, known: usize, back: u64) -> u64 {
        let order = &mut self.orders[index];
        let currency = self.drops[order.drop].spec.currency;
        let mut events = 0;
        let kept = order.kept();
        if order.payments[known].pays && back > order.payments[known].due && kept > 0 {
            let able = |p: &NaivePayment| !p.pays && p.currency == currency && p.due >= kept;
            if let Some(other) = order.payments.iter().position(able) {
                order.payments[known].pays = false;
                order.payments[known].due += kept;
                order.payments[other].pays = true;
                order.payments[other].due -= kept;
                events += 1;
            }
        }
        let payment = &mut order.payments[known];
        let owed = back.min(payment.due);
        payment.due -= owed;
        payment.refunded += back;
        let more = back > owed;
        let over = order.kept() == 0 && matches!(order.state, OrderState::Paid | OrderState::RefundDue);
        if (order.state == OrderState::RefundDue && !order.owes()) || (over && more) {
            order.state = if order.owes() { OrderState::RefundDue } else { OrderState::Refunded };
        }
        events + u64::from(owed > 0) + u64::from(more)
    }

    /// The money of a refund did not arrive: it is owed again.
    fn fail_refund(&mut self, event: &RecordProviderEvent, index: usize, known: usize) -> Result<u64, IgnoredReason> {
        let order = &mut self.orders[index];
        let payment = &mut order.payments[known];
        if payment.currency != event.currency {
            return Err(IgnoredReason::CurrencyDiffers);
        }
        let waited = payment.waits.iter().position(|(failure, _)| *failure == event.id);
        let never = waited.map_or(0, |at| payment.waits[at].1);
        let counted = event.amount.get().saturating_sub(never);
        if payment.refunded < counted {
            return Err(IgnoredReason::ExceedsReceived);
        }
        if let Some(at) = waited {
            payment.waits.remove(at);
        }
        let mut events = u64::from(waited.is_some()) + self.owe_again(index, known, counted);
        loop {
            let payment = &mut self.orders[index].payments[known];
            let room = payment.received - payment.refunded;
            let Some((_, waits)) = payment.waits.first_mut().filter(|_| room > 0) else { break };
            let counts = room.min(*waits);
            *waits -= counts;
            payment.waits.retain(|(_, waits)| *waits > 0);
            events += 1 + self.give_back(index, known, counts);
        }
        Ok(events)
    }

    /// An operator says that a payment which is owed, or so much of it, has gone back.
    pub(super) fn settle(&mut self, settle: &SettleRefund, index: usize) -> Outcome {
        let order = &mut self.orders[index];
        let number = order.seq;
        let is_of_name = |reference: &str, payment: &str| {
            *reference == *settle.reference && settle.payment.as_ref().is_none_or(|named| **named == *payment)
        };
        let of_name = order.settled.iter().filter(|(reference, payment, _)| is_of_name(reference, payment));
        let of_name: Vec<Amount> = of_name.map(|(_, _, amount)| Amount::new(*amount).expect("in range")).collect();
        if let Some(first) = of_name.first() {
            return match settle.amount.is_none_or(|told| of_name.contains(&told)) {
                true => self.repeat(Subject::Order(seq(number))),
                false => self.refuse(Refusal::Invalid(Invalid::SettlementDiffers { amount: *first })),
            };
        }
        let owed: Vec<usize> = (0..order.payments.len()).filter(|at| order.payments[*at].due > 0).collect();
        let is_named = |at: &usize| settle.payment.as_ref().is_none_or(|name| *order.payments[*at].reference == **name);
        let named: Vec<usize> = owed.iter().copied().filter(is_named).collect();
        match (&*owed, &*named, order.state) {
            ([], _, OrderState::Expired) => {
                let expired_at = instant(order.expires_at);
                return self.refuse(Refusal::OrderExpired { expired_at });
            }
            ([], _, from) => return self.refuse(Refusal::IllegalTransition { from, to: OrderState::Refunded }),
            (_, [_], _) => {}
            (_, [_, ..], _) if settle.payment.is_some() => {}
            _ => {
                let owed = u16::try_from(owed.len()).expect("few");
                return self.refuse(Refusal::Invalid(Invalid::PaymentNotOwed { owed }));
            }
        }
        let payment = &mut order.payments[named[0]];
        let amount = settle.amount.map_or(payment.due, Amount::get);
        if amount == 0 || amount > payment.due {
            let owed = Amount::new(payment.due).expect("in range");
            return self.refuse(Refusal::Invalid(Invalid::SettlementOutOfRange { owed }));
        }
        payment.due -= amount;
        payment.refunded += amount;
        order.settled.push((settle.reference.clone(), payment.reference.clone().into(), amount));
        if order.state == OrderState::RefundDue && !order.owes() {
            order.state = OrderState::Refunded;
        }
        self.accept(Subject::Order(seq(number)))
    }

    fn owe_again(&mut self, index: usize, known: usize, amount: u64) -> u64 {
        if amount == 0 {
            return 0;
        }
        let order = &mut self.orders[index];
        order.payments[known].refunded -= amount;
        order.payments[known].due += amount;
        if order.state == OrderState::Refunded {
            order.state = OrderState::RefundDue;
        }
        1
    }

    /// Whether an expired order's buyer could have its units now, paused or not.
    fn may_retake(&self, index: usize) -> bool {
        let order = &self.orders[index];
        let d = &self.drops[order.drop];
        let used: u64 =
            self.orders.iter().filter(|o| o.drop == order.drop && o.buyer == order.buyer).map(NaiveOrder::units).sum();
        let wanted = u64::from(order.quantity);
        d.started
            && !d.ended
            && !d.mismatch
            && used + wanted <= u64::from(d.spec.per_buyer_limit)
            && self.capped(order.drop, &order.identities, order.quantity).is_none()
            && wanted <= self.free(order.drop)
    }

    /// What each order's money comes to: `kept = received - refunded - due` for every payment, and only one is kept.
    pub fn money_is_accounted_for(&self) -> bool {
        self.orders.iter().all(|order| {
            let kept = order.payments.iter().map(|p| p.received - p.refunded - p.due).filter(|kept| *kept > 0);
            let says_so = order.state != OrderState::Refunded || !order.owes();
            kept.count() <= 1 && says_so && (order.kept() == 0 || order.state == OrderState::Paid)
        })
    }
}

fn same_payment(early: &RecordProviderEvent, event: &RecordProviderEvent) -> bool {
    early.provider == event.provider
        && early.reference == event.reference
        && (early.order.is_none() || early.order == event.order)
}
