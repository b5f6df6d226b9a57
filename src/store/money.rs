//! Rows of money: payments, the inbox of what providers told, and where orders can be paid.

use rusqlite::{Connection, Statement, params};

use super::beside::Beside;
use crate::engine::{Event, EventKind};
use crate::types::{Amount, Disposition, OrderState, Provider, ReceivedPayment, Seq, UnixMillis};

/// Writes the rows that events of money make. They come at human pace, so its statements are not the hot path's.
pub(super) struct MoneyWriter<'conn> {
    insert_payment: Statement<'conn>,
    move_payment: Statement<'conn>,
    move_paying: Statement<'conn>,
    pay_order: Statement<'conn>,
    owe_order: Statement<'conn>,
    move_order: Statement<'conn>,
    insert_inbox: Statement<'conn>,
    put_session: Statement<'conn>,
}

/// What goes back, or is owed back, of an order's money.
struct Back<'a> {
    order: Seq,
    refunded: i64,
    refund_due: i64,
    returned: u16,
    state: OrderState,
    /// Of which payment; of the one that paid for the order if none is named.
    payment: Option<(Provider, &'a str)>,
    /// Whether it is money of another currency than the drop's: then it is not in the order's sums.
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
                 WHERE order_seq = ?1 AND provider = ?2 AND reference = ?3",
            )?,
            move_paying: prepare(
                "UPDATE payments SET refunded = refunded + ?2, refund_due = refund_due + ?3
                 WHERE order_seq = ?1 AND pays",
            )?,
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

    /// Writes what an event says of money into the rows of its order and its payments.
    #[expect(clippy::wildcard_enum_match_arm, reason = "its caller has sorted out the events that move money")]
    pub(super) fn record(&mut self, event: &Event) -> rusqlite::Result<()> {
        let back = |order: &Seq, refunded, refund_due, returned: u16, state: &OrderState| Back {
            order: *order,
            refunded,
            refund_due,
            returned,
            state: *state,
            payment: None,
            foreign: false,
        };
        match &event.kind {
            EventKind::OrderPaid { order, payment, .. } => {
                self.insert_payment(*order, event.seq, payment, true)?;
                self.pay_order.execute(params![order, event.seq, event.at, payment.amount]).map(drop)
            }
            EventKind::PaymentNotKept { order, payment, state, .. } => {
                self.insert_payment(*order, event.seq, payment, false)?;
                let amount = if payment.foreign.is_some() { Amount::ZERO } else { payment.amount };
                self.owe_order.execute(params![order, event.seq, state, amount, event.at]).map(drop)
            }
            EventKind::OrderRefunded { order, amount, restock_quantity, state, .. } => {
                self.go_back(event.seq, event.at, &back(order, minor(*amount), 0, *restock_quantity, state))
            }
            EventKind::RefundRequested { order, amount, restock_quantity, state, .. } => {
                self.go_back(event.seq, event.at, &back(order, 0, minor(*amount), *restock_quantity, state))
            }
            EventKind::RefundSettled { order, provider, payment, amount, foreign, state, .. } => {
                let amount = minor(*amount);
                let settled = Back {
                    payment: Some((*provider, payment)),
                    foreign: foreign.is_some(),
                    ..back(order, amount, amount.saturating_neg(), 0, state)
                };
                self.go_back(event.seq, event.at, &settled)
            }
            EventKind::RefundReported { order, provider, payment, amount, state, .. } => {
                let reported = Back { payment: Some((*provider, payment)), ..back(order, minor(*amount), 0, 0, state) };
                self.go_back(event.seq, event.at, &reported)
            }
            other => panic!("{} moves no money", other.name()),
        }
    }

    fn insert_payment(&mut self, order: Seq, seq: Seq, payment: &ReceivedPayment, pays: bool) -> rusqlite::Result<()> {
        let ReceivedPayment { provider, reference, amount, foreign } = payment;
        self.insert_payment.execute(params![order, seq, provider, reference, foreign, amount, pays]).map(drop)
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
    pub(super) fn put_in_inbox(&mut self, event: &Event, beside: Option<&Beside>) -> rusqlite::Result<()> {
        let EventKind::ProviderEventRecorded { order, provider, id, kind, told, .. } = &event.kind else {
            return Ok(());
        };
        let Some(Beside::ProviderEvent { event_id }) = beside else {
            panic!("event {} came without its provider's name of it", event.seq)
        };
        let ignored = match told {
            Disposition::Applied => None,
            Disposition::Ignored(because) => Some(because.as_str()),
        };
        let kind = kind.as_str();
        self.insert_inbox.execute(params![id, provider, event_id, kind, order, event.seq, event.at, ignored]).map(drop)
    }

    /// Writes where an order can be paid.
    pub(super) fn put_session(&mut self, event: &Event, beside: Option<&Beside>) -> rusqlite::Result<()> {
        let EventKind::SessionRecorded { order, provider, .. } = &event.kind else { return Ok(()) };
        let Some(Beside::Session { reference, url }) = beside else {
            panic!("event {} came without its session", event.seq)
        };
        self.put_session.execute(params![order, provider, reference, url, event.at]).map(drop)
    }
}

/// Money as SQL has it; it never exceeds 2^53.
fn minor(amount: Amount) -> i64 {
    i64::try_from(amount.get()).unwrap_or(i64::MAX)
}
