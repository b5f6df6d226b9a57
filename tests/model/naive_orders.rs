//! What is done with orders, once more, as plain as can be.

use firstcome::engine::{
    CancelByOperator, Command, Invalid, OrderCommand, Outcome, PaymentCommand, RecordPayment, RefundOrder, Refusal,
    Subject,
};
use firstcome::types::{Amount, IdentityDigests, IdentityKind, OrderState, Provider};

use super::naive::{Naive, NaiveOrder, NaivePayment, instant, seq};

impl Naive {
    /// The first cap of a drop that leaves no room for more units of these identities.
    pub(super) fn capped(
        &self,
        drop: usize,
        identities: &IdentityDigests,
        quantity: u16,
    ) -> Option<(IdentityKind, u32)> {
        let limits = self.drops[drop].spec.identity_limits;
        limits.iter().find(|(kind, limit)| {
            let Some(identity) = identities.get(*kind) else { return false };
            let same = self.orders.iter().filter(|o| o.drop == drop && o.identities.get(*kind) == Some(identity));
            same.map(NaiveOrder::units).sum::<u64>() + u64::from(quantity) > u64::from(*limit)
        })
    }

    pub(super) fn on_order(&mut self, command: &Command, index: usize) -> Outcome {
        let at = self.at;
        let order = &self.orders[index];
        let subject = Subject::Order(seq(order.seq));
        let spec = self.drops[order.drop].spec.clone();
        let cannot = |to| match order.state {
            OrderState::Expired => Refusal::OrderExpired { expired_at: instant(order.expires_at) },
            from => Refusal::IllegalTransition { from, to },
        };
        match command {
            Command::Order(OrderCommand::Checkout { .. }) if !order.live() => {
                self.refuse(cannot(OrderState::AwaitingPayment))
            }
            Command::Order(OrderCommand::Checkout { .. }) => {
                let order = &mut self.orders[index];
                if order.state == OrderState::Reserved {
                    order.state = OrderState::AwaitingPayment;
                    order.expires_at = at + i64::from(spec.payment_seconds) * 1000;
                }
                if order.amount() == 0 {
                    order.state = OrderState::Paid;
                    order.payments.push(NaivePayment::of_nothing(spec.currency));
                    order.left_at = Some(at);
                    let drop = order.drop;
                    self.events += 1;
                    self.paid_for(drop);
                }
                self.accept(subject)
            }
            Command::Order(OrderCommand::Cancel { .. })
            | Command::Order(OrderCommand::CancelByOperator(CancelByOperator { .. })) => match order.state {
                OrderState::Cancelled => self.repeat(subject),
                _ if order.live() => {
                    let order = &mut self.orders[index];
                    order.state = OrderState::Cancelled;
                    order.returned = order.quantity;
                    order.left_at = Some(at);
                    let drop = order.drop;
                    self.left(drop, at);
                    self.accept(subject)
                }
                _ => self.refuse(cannot(OrderState::Cancelled)),
            },
            Command::Payment(PaymentCommand::Record(RecordPayment { reference, amount, currency, .. })) => {
                let known =
                    order.payments.iter().any(|p| p.provider == Provider::Manual && *p.reference == **reference);
                if known && amount.get() == order.amount() && *currency == spec.currency {
                    return self.repeat(subject);
                }
                if !known && !order.live() {
                    return self.refuse(cannot(OrderState::Paid));
                }
                if amount.get() != order.amount() || *currency != spec.currency {
                    let amount = Amount::new(order.amount()).expect("in range");
                    return self.refuse(Refusal::Invalid(Invalid::PaymentDiffers { amount, currency: spec.currency }));
                }
                let order = &mut self.orders[index];
                order.state = OrderState::Paid;
                order.payments.push(NaivePayment {
                    provider: Provider::Manual,
                    reference: reference.to_string(),
                    currency: spec.currency,
                    received: amount.get(),
                    refunded: 0,
                    due: 0,
                    pays: true,
                    waits: Vec::new(),
                });
                order.left_at = Some(at);
                let drop = order.drop;
                self.paid_for(drop);
                self.accept(subject)
            }
            Command::Payment(PaymentCommand::Refund(refund)) => {
                let RefundOrder { key, amount, restock_quantity, .. } = &**refund;
                if let Some(known) = self.remembered(key) {
                    return match known.key.params == key.params && known.subject == order.seq {
                        true => self.repeat(subject),
                        false => self.refuse(Refusal::KeyReused),
                    };
                }
                if order.state != OrderState::Paid {
                    return self.refuse(cannot(OrderState::Refunded));
                }
                let left = order.kept();
                let wanted = amount.map_or(left, Amount::get);
                if wanted > left || (wanted == 0 && left > 0) {
                    let remaining = Amount::new(left).expect("in range");
                    return self.refuse(Refusal::Invalid(Invalid::RefundOutOfRange { remaining }));
                }
                let sold = order.quantity - order.returned;
                if *restock_quantity > sold {
                    return self.refuse(Refusal::Invalid(Invalid::RestockOutOfRange { sold }));
                }
                let number = order.seq;
                let order = &mut self.orders[index];
                order.returned += restock_quantity;
                let payment = order.payments.iter_mut().find(|p| p.pays).expect("it was paid");
                match payment.provider {
                    Provider::Manual => payment.refunded += wanted,
                    _ => payment.due += wanted,
                }
                if wanted == left {
                    order.state = if order.owes() { OrderState::RefundDue } else { OrderState::Refunded };
                }
                self.remember(key, number);
                self.accept(subject)
            }
            Command::Payment(PaymentCommand::SettleRefund(settle)) => self.settle(settle, index),
            Command::Payment(PaymentCommand::RecordSession { .. }) if order.live() => self.accept(subject),
            Command::Payment(PaymentCommand::RecordSession { .. }) => self.refuse(cannot(OrderState::AwaitingPayment)),
            Command::Order(OrderCommand::ReadContact { .. }) | Command::Order(OrderCommand::EraseContact { .. }) => {
                self.accept(subject)
            }
            other => panic!("no order's command: {other:?}"),
        }
    }
}
