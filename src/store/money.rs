//! Rows of money: payments, the inbox of what providers told, and where orders can be paid.

use rusqlite::{Connection, Statement, params};
use serde_json::{Value, json};

use super::audit::{Columns, in_column};
use super::private_data::PrivateData;
use crate::engine::{
    DeferredProviderEvent, Event, OrderPaid, PaymentEvent, PaymentNotKept, PaymentReplaced, ProviderEventRecorded,
    RefundFailed, RefundReported, RefundSettled,
};
use crate::types::{Amount, Currency, Disposition, OrderState, Provider, ReceivedPayment, Seq, UnixMillis, hex};

/// Writes the rows that events of money make. They come at human pace, so its statements are not the hot path's.
pub(super) struct MoneyWriter<'conn> {
    insert_payment: Statement<'conn>,
    move_payment: Statement<'conn>,
    move_paying: Statement<'conn>,
    insert_early: Statement<'conn>,
    replace_paying: Statement<'conn>,
    step_order: Statement<'conn>,
    pay_order: Statement<'conn>,
    owe_order: Statement<'conn>,
    move_order: Statement<'conn>,
    insert_inbox: Statement<'conn>,
    put_session: Statement<'conn>,
}

/// Money of an order that goes back or is owed back.
struct Back<'a> {
    order: Seq,
    refunded: i64,
    refund_due: i64,
    returned: u16,
    state: OrderState,
    /// Of which payment; of the one that paid for the order if none is named.
    payment: Option<(Provider, &'a str)>,
    /// True for money of another currency than the drop's, which is not in the order's sums.
    foreign: bool,
}

impl<'conn> MoneyWriter<'conn> {
    pub(super) fn new(connection: &'conn Connection) -> rusqlite::Result<MoneyWriter<'conn>> {
        let prepare = |sql: &str| connection.prepare(sql);
        Ok(MoneyWriter {
            insert_payment: prepare(
                "INSERT INTO payments (order_seq, seq, provider, reference, foreign_currency, received, pays, refunded,
                     refund_due)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, CASE WHEN ?7 THEN 0 ELSE ?6 END)",
            )?,
            move_payment: prepare(
                "UPDATE payments SET refunded = refunded + ?4, refund_due = refund_due + ?5
                 WHERE order_seq = ?1 AND provider = ?2 AND reference = ?3 AND received > 0",
            )?,
            move_paying: prepare(
                "UPDATE payments SET refunded = refunded + ?2, refund_due = refund_due + ?3
                 WHERE order_seq = ?1 AND pays",
            )?,
            // A refund or a chargeback before its payment: no money has come in. It is found by the payment's name.
            insert_early: prepare(
                "INSERT INTO payments (order_seq, seq, provider, reference, foreign_currency, received, pays, refunded,
                     refund_due)
                 VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0, 0)",
            )?,
            replace_paying: prepare(
                "UPDATE payments SET pays = ?4, refund_due = refund_due + ?5
                 WHERE order_seq = ?1 AND provider = ?2 AND reference = ?3 AND received > 0",
            )?,
            step_order: prepare("UPDATE orders SET last_seq = ?2 WHERE seq = ?1")?,
            // A retaken order has its units again and is not over.
            pay_order: prepare(
                "UPDATE orders SET last_seq = ?2, state = 'paid', paid_at_ms = ?3,
                     idle_at_ms = coalesce(idle_at_ms, ?3), ended_at_ms = NULL, returned = 0, received = received + ?4
                 WHERE seq = ?1",
            )?,
            owe_order: prepare(
                "UPDATE orders SET last_seq = ?2, state = ?3, received = received + ?4, refund_due = refund_due + ?4,
                     paid_at_ms = CASE WHEN ?3 = 'refund_due' THEN coalesce(paid_at_ms, ?5) ELSE paid_at_ms END
                 WHERE seq = ?1",
            )?,
            move_order: prepare(
                "UPDATE orders SET last_seq = ?2, state = ?3, refunded = refunded + ?4, refund_due = refund_due + ?5,
                     returned = returned + ?6,
                     ended_at_ms = CASE WHEN ?3 = 'refunded' AND state <> ?3 THEN ?7 ELSE ended_at_ms END
                 WHERE seq = ?1",
            )?,
            insert_inbox: prepare(
                "INSERT INTO inbox (digest, provider, event_id, kind, order_seq, seq, at_ms, ignored)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?,
            put_session: prepare(
                "INSERT INTO sessions (order_seq, provider, reference, url, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (order_seq) DO UPDATE SET provider = excluded.provider, reference = excluded.reference,
                     url = excluded.url, at_ms = excluded.at_ms",
            )?,
        })
    }

    /// Writes what an event changes of the rows of its order's payments, and of the order itself where money moves.
    /// Returns whether the order's row is written.
    pub(super) fn record(
        &mut self,
        event: &Event,
        body: &PaymentEvent,
        private_data: Option<&PrivateData>,
    ) -> rusqlite::Result<bool> {
        let (seq, at) = (event.seq, event.at);
        if let PaymentEvent::ProviderEventRecorded(recorded) = body {
            self.put_in_inbox(event, recorded, private_data)?;
        }
        if let PaymentEvent::ProviderEventDeferred(deferred) = body {
            let DeferredProviderEvent { provider, payment, currency, .. } = &**deferred;
            let order = event.order().unwrap_or(Seq::ZERO);
            self.insert_early.execute(params![order, seq, provider, payment, currency])?;
        }
        let Some(order) = event.order() else { return Ok(true) };
        let back = |refunded, refund_due, returned: u16, state: &OrderState| Back {
            order,
            refunded,
            refund_due,
            returned,
            state: *state,
            payment: None,
            foreign: false,
        };
        match body {
            PaymentEvent::Paid(OrderPaid { payment, .. }) => {
                self.insert_payment(order, seq, payment, true)?;
                self.pay_order.execute(params![order, seq, at, payment.amount])?;
            }
            PaymentEvent::NotKept(PaymentNotKept { payment, state, .. }) => {
                self.insert_payment(order, seq, payment, false)?;
                let amount = if payment.foreign.is_some() { Amount::ZERO } else { payment.amount };
                self.owe_order.execute(params![order, seq, state, amount, at])?;
            }
            PaymentEvent::Refunded(refund) => {
                self.go_back(seq, at, &back(minor(refund.amount), 0, refund.restock_quantity, &refund.state))?;
            }
            PaymentEvent::RefundRequested(refund) => {
                self.go_back(seq, at, &back(0, minor(refund.amount), refund.restock_quantity, &refund.state))?;
            }
            PaymentEvent::RefundSettled(settled) => {
                let amount = minor(settled.amount);
                let settled = Back {
                    payment: Some((settled.provider, &settled.payment)),
                    foreign: settled.foreign.is_some(),
                    ..back(amount, amount.saturating_neg(), 0, &settled.state)
                };
                self.go_back(seq, at, &settled)?;
            }
            PaymentEvent::RefundReported(RefundReported { provider, payment, amount, state }) => {
                let reported = Back { payment: Some((*provider, payment)), ..back(minor(*amount), 0, 0, state) };
                self.go_back(seq, at, &reported)?;
            }
            PaymentEvent::RefundFailed(failed) => {
                let RefundFailed { provider, payment, amount, foreign, state } = &**failed;
                let amount = minor(*amount);
                let failed = Back {
                    payment: Some((*provider, payment)),
                    foreign: foreign.is_some(),
                    ..back(amount.saturating_neg(), amount, 0, state)
                };
                self.go_back(seq, at, &failed)?;
            }
            PaymentEvent::PaymentReplaced(replaced) => self.replace_payment(order, seq, replaced)?,
            PaymentEvent::SessionRecorded { provider } => {
                self.put_session(event, order, *provider, private_data)?;
                return Ok(false);
            }
            PaymentEvent::Failed(_)
            | PaymentEvent::ChargebackCreated(_)
            | PaymentEvent::ProviderEventRecorded(_)
            | PaymentEvent::ProviderEventDeferred(_) => return Ok(false),
        }
        Ok(true)
    }

    fn insert_payment(&mut self, order: Seq, seq: Seq, payment: &ReceivedPayment, pays: bool) -> rusqlite::Result<()> {
        let ReceivedPayment { provider, reference, amount, foreign } = payment;
        self.insert_payment.execute(params![order, seq, provider, reference, foreign, amount, pays]).map(drop)
    }

    /// Another payment pays for the order: the amount that it keeps is owed back of the one before. The order's sums
    /// stay.
    fn replace_payment(&mut self, order: Seq, seq: Seq, replaced: &PaymentReplaced) -> rusqlite::Result<()> {
        let PaymentReplaced { provider, payment, by_provider, by_payment, amount } = replaced;
        let amount = minor(*amount);
        let mut rows = self.replace_paying.execute(params![order, provider, payment, false, amount])?;
        let less = amount.saturating_neg();
        rows = rows.saturating_add(self.replace_paying.execute(params![order, by_provider, by_payment, true, less])?);
        assert_eq!(rows, 2, "both payments of order {order} have a row");
        self.step_order.execute(params![order, seq]).map(drop)
    }

    fn go_back(&mut self, seq: Seq, at: UnixMillis, back: &Back<'_>) -> rusqlite::Result<()> {
        let Back { order, refunded, refund_due, returned, state, payment, foreign } = back;
        let rows = match payment {
            Some((provider, reference)) => {
                self.move_payment.execute(params![order, provider, reference, refunded, refund_due])?
            }
            None => self.move_paying.execute(params![order, refunded, refund_due])?,
        };
        assert_eq!(rows, 1, "the payment of order {order} has a row");
        let (refunded, refund_due) = if *foreign { (0, 0) } else { (*refunded, *refund_due) };
        self.move_order.execute(params![order, seq, state, refunded, refund_due, returned, at]).map(drop)
    }

    /// Writes a provider's event into the inbox.
    fn put_in_inbox(
        &mut self,
        event: &Event,
        recorded: &ProviderEventRecorded,
        private_data: Option<&PrivateData>,
    ) -> rusqlite::Result<()> {
        let Some(PrivateData::ProviderEvent { event_id }) = private_data else {
            panic!("event {} came without its provider's name of it", event.seq)
        };
        let ProviderEventRecorded { provider, id, kind, disposition } = recorded;
        let ignored = match disposition {
            Disposition::Applied => None,
            Disposition::Ignored(because) => Some(because.as_str()),
        };
        let (order, kind) = (event.order(), kind.as_str());
        self.insert_inbox.execute(params![id, provider, event_id, kind, order, event.seq, event.at, ignored]).map(drop)
    }

    /// Writes the address at which an order can be paid.
    fn put_session(
        &mut self,
        event: &Event,
        order: Seq,
        provider: Provider,
        private_data: Option<&PrivateData>,
    ) -> rusqlite::Result<()> {
        let Some(PrivateData::Session { reference, url }) = private_data else {
            panic!("event {} came without its session", event.seq)
        };
        self.put_session.execute(params![order, provider, reference, url, event.at]).map(drop)
    }
}

/// The audit's columns of an event of money. Money of another currency than the drop's is in the detail.
pub(super) fn columns(event: &PaymentEvent) -> Columns {
    match event {
        PaymentEvent::Paid(OrderPaid { quantity, payment, reason, .. }) => Columns {
            quantity: Some(i64::from(quantity.get())),
            amount: in_column(payment.amount),
            detail: Some(with_reason(named(payment), reason)),
        },
        PaymentEvent::NotKept(PaymentNotKept { payment, why, state }) => {
            let mut detail = named(payment);
            detail.insert("why".into(), why.as_str().into());
            add_foreign(&mut detail, payment.foreign, payment.amount);
            let amount = if payment.foreign.is_some() { None } else { in_column(payment.amount) };
            Columns { quantity: None, amount, detail: Some(with_state(detail, *state)) }
        }
        PaymentEvent::Failed(payment) | PaymentEvent::ChargebackCreated(payment) => {
            let mut detail = named(payment);
            detail.insert("amount".into(), payment.amount.get().into());
            if let Some(currency) = &payment.foreign {
                detail.insert("foreign_currency".into(), currency.as_str().into());
            }
            Columns::of(detail.into())
        }
        PaymentEvent::Refunded(refund) | PaymentEvent::RefundRequested(refund) => Columns {
            quantity: Some(i64::from(refund.restock_quantity)),
            amount: in_column(refund.amount),
            detail: Some(json!({ "reason": refund.reason, "state": refund.state.as_str() })),
        },
        PaymentEvent::RefundSettled(settled) => {
            let RefundSettled { provider, payment, amount, foreign, state, reference, reason } = &**settled;
            let mut detail = of_payment(*provider, payment);
            add_foreign(&mut detail, *foreign, *amount);
            if !reference.is_empty() {
                detail.insert("refund_reference".into(), (&**reference).into());
            }
            if !reason.is_empty() {
                detail.insert("reason".into(), (&**reason).into());
            }
            let amount = if foreign.is_some() { None } else { in_column(*amount) };
            Columns { quantity: None, amount, detail: Some(with_state(detail, *state)) }
        }
        PaymentEvent::RefundReported(RefundReported { provider, payment, amount, state }) => Columns {
            quantity: None,
            amount: in_column(*amount),
            detail: Some(with_state(of_payment(*provider, payment), *state)),
        },
        PaymentEvent::ProviderEventRecorded(ProviderEventRecorded { provider, kind, disposition, .. }) => {
            Columns::of(match disposition {
                Disposition::Applied => json!({ "provider": provider.as_str(), "kind": kind.as_str() }),
                Disposition::Ignored(because) => {
                    json!({ "provider": provider.as_str(), "kind": kind.as_str(), "ignored": because.as_str() })
                }
            })
        }
        PaymentEvent::ProviderEventDeferred(deferred) => {
            let DeferredProviderEvent { kind, provider, payment, amount, currency, counterpart } = &**deferred;
            let mut detail = of_payment(*provider, payment);
            detail.insert("kind".into(), kind.as_str().into());
            detail.insert("amount".into(), amount.get().into());
            detail.insert("currency".into(), currency.as_str().into());
            if let Some(counterpart) = counterpart {
                detail.insert("counterpart".into(), hex::encode(&counterpart.0).into());
            }
            Columns::of(detail.into())
        }
        PaymentEvent::PaymentReplaced(replaced) => {
            let PaymentReplaced { provider, payment, by_provider, by_payment, amount } = &**replaced;
            let mut detail = of_payment(*provider, payment);
            detail.insert("by_provider".into(), by_provider.as_str().into());
            detail.insert("by_reference".into(), (&**by_payment).into());
            Columns { quantity: None, amount: in_column(*amount), detail: Some(detail.into()) }
        }
        PaymentEvent::RefundFailed(failed) => {
            let RefundFailed { provider, payment, amount, foreign, state } = &**failed;
            let mut detail = of_payment(*provider, payment);
            detail.insert("failed".into(), true.into());
            add_foreign(&mut detail, *foreign, *amount);
            let amount = if foreign.is_some() { None } else { in_column(*amount) };
            Columns { quantity: None, amount, detail: Some(with_state(detail, *state)) }
        }
        PaymentEvent::SessionRecorded { provider } => Columns::of(json!({ "provider": provider.as_str() })),
    }
}

type Detail = serde_json::Map<String, Value>;

fn add_foreign(detail: &mut Detail, foreign: Option<Currency>, amount: Amount) {
    if let Some(currency) = foreign {
        detail.insert("foreign_currency".into(), currency.as_str().into());
        detail.insert("foreign_amount".into(), amount.get().into());
    }
}

fn of_payment(provider: Provider, reference: &str) -> Detail {
    let mut detail = Detail::new();
    detail.insert("provider".into(), provider.as_str().into());
    detail.insert("reference".into(), reference.into());
    detail
}

fn named(payment: &ReceivedPayment) -> Detail {
    of_payment(payment.provider, &payment.reference)
}

fn with_reason(mut detail: Detail, reason: &str) -> Value {
    if !reason.is_empty() {
        detail.insert("reason".into(), reason.into());
    }
    detail.into()
}

fn with_state(mut detail: Detail, state: OrderState) -> Value {
    detail.insert("state".into(), state.as_str().into());
    detail.into()
}

/// Money as SQL has it; it never exceeds 2^53.
fn minor(amount: Amount) -> i64 {
    i64::try_from(amount.get()).unwrap_or(i64::MAX)
}
