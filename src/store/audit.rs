//! Events as rows of the audit: typed columns, and JSON only for what has no column.

use serde_json::json;

use crate::engine::{AuctionSpec, DropPatch, DropSpec, Event, EventKind};
use crate::types::{
    Amount, AuctionId, Disposition, DropId, OrderState, Provider, ReceivedPayment, Seq, UnitPrice, UnixMillis,
};

/// One row of `audit`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditRow {
    /// The event's number.
    pub seq: Seq,
    /// Its instant.
    pub at: UnixMillis,
    /// Its name.
    pub kind: std::borrow::Cow<'static, str>,
    /// Its drop.
    pub drop_id: Option<DropId>,
    /// Its order.
    pub order: Option<Seq>,
    /// The units that moved.
    pub quantity: Option<i64>,
    /// The money that moved.
    pub amount: Option<i64>,
    /// The previous event of the same subject; 0 if there is none.
    pub prev_seq: Seq,
    /// What has no column.
    pub detail: Option<String>,
}

impl AuditRow {
    /// The row of an event.
    #[must_use]
    pub fn of(event: &Event) -> AuditRow {
        let order = if event.kind.makes_order() { Some(event.seq) } else { event.kind.order() };
        let (quantity, amount) = moved(&event.kind);
        AuditRow {
            seq: event.seq,
            at: event.at,
            kind: event.kind.name().into(),
            drop_id: event.kind.drop_id(),
            order,
            quantity,
            amount,
            prev_seq: event.prev_seq,
            detail: detail(&event.kind),
        }
    }

    /// Appends the bytes that the chain hashes: every column in order, integers as 8 bytes little-endian, texts with
    /// their length before them, and one byte before what may be missing.
    pub fn canonical(&self, out: &mut Vec<u8>) {
        fn integer(out: &mut Vec<u8>, value: i64) {
            out.extend_from_slice(&value.to_le_bytes());
        }
        fn unsigned(out: &mut Vec<u8>, value: u64) {
            out.extend_from_slice(&value.to_le_bytes());
        }
        fn text(out: &mut Vec<u8>, value: &str) {
            unsigned(out, u64::try_from(value.len()).unwrap_or(u64::MAX));
            out.extend_from_slice(value.as_bytes());
        }
        fn optional<T>(out: &mut Vec<u8>, value: Option<T>, write: impl Fn(&mut Vec<u8>, T)) {
            out.push(u8::from(value.is_some()));
            if let Some(value) = value {
                write(out, value);
            }
        }
        unsigned(out, self.seq.get());
        integer(out, self.at.get());
        text(out, &self.kind);
        optional(out, self.drop_id, |out, id| unsigned(out, u64::from(id.get())));
        optional(out, self.order, |out, seq| unsigned(out, seq.get()));
        optional(out, self.quantity, integer);
        optional(out, self.amount, integer);
        unsigned(out, self.prev_seq.get());
        optional(out, self.detail.as_deref(), text);
    }
}

fn money(amount: crate::types::Amount) -> Option<i64> {
    i64::try_from(amount.get()).ok()
}

/// The units and the money that an event moves, as the audit's columns say it.
fn moved(kind: &EventKind) -> (Option<i64>, Option<i64>) {
    match kind {
        EventKind::DropCreated { spec, .. } => (Some(i64::from(spec.total)), None),
        EventKind::StockAdjusted { delta, .. } => (Some(*delta), None),
        EventKind::OrderReserved { quantity, .. }
        | EventKind::OrderCancelled { quantity, .. }
        | EventKind::OrderCancelledByOperator { quantity, .. }
        | EventKind::OrderExpired { quantity, .. } => (Some(i64::from(quantity.get())), None),
        EventKind::OrderPaid { quantity, payment, .. } => (Some(i64::from(quantity.get())), money(payment.amount)),
        EventKind::AuctionCreated { .. } | EventKind::AuctionAwarded { .. } => (Some(1), None),
        // The price after the bid.
        EventKind::BidPlaced { current, .. } => (None, i64::try_from(current.get()).ok()),
        // Money of another currency than the drop's is in the detail: the column is in the drop's.
        EventKind::PaymentNotKept { payment: ReceivedPayment { foreign: Some(_), .. }, .. }
        | EventKind::RefundSettled { foreign: Some(_), .. } => (None, None),
        EventKind::PaymentNotKept { payment, .. } => (None, money(payment.amount)),
        EventKind::OrderRefunded { restock_quantity, amount, .. }
        | EventKind::RefundRequested { restock_quantity, amount, .. } => {
            (Some(i64::from(*restock_quantity)), money(*amount))
        }
        EventKind::RefundSettled { amount, .. } | EventKind::RefundReported { amount, .. } => (None, money(*amount)),
        EventKind::DropPatched { .. }
        | EventKind::DropStarted { .. }
        | EventKind::DropEnded { .. }
        | EventKind::DropPaused { .. }
        | EventKind::DropResumed { .. }
        | EventKind::DropClosed { .. }
        | EventKind::MismatchFound { .. }
        | EventKind::MismatchCleared { .. }
        | EventKind::OrderCheckedOut { .. }
        | EventKind::ContactCorrected { .. }
        // No money moved.
        | EventKind::AuctionStarted { .. }
        | EventKind::AuctionEnded { .. }
        | EventKind::AuctionCancelled { .. }
        | EventKind::PaymentFailed { .. }
        | EventKind::ChargebackCreated { .. }
        | EventKind::ProviderEventRecorded { .. }
        | EventKind::SessionRecorded { .. }
        | EventKind::ContactRead { .. }
        | EventKind::ContactErased { .. }
        | EventKind::ContactsExported { .. }
        | EventKind::Endpoint(_)
        | EventKind::EventsLost { .. } => (None, None),
    }
}

fn detail(kind: &EventKind) -> Option<String> {
    let value = match kind {
        EventKind::DropCreated { spec, .. } => spec_detail(spec),
        EventKind::DropPatched { patch, reason, .. } => patch_detail(patch, reason),
        EventKind::AuctionCreated { auction_id, spec, .. } => auction_detail(*auction_id, spec),
        EventKind::AuctionEnded { auction_id, ending, .. } => {
            json!({ "auction_id": auction_id.get(), "ending": ending.as_str() })
        }
        EventKind::AuctionAwarded { auction_id, bid, unit_price, .. } => {
            json!({ "auction_id": auction_id.get(), "bid_seq": bid.get(), "unit_price": unit_price.get() })
        }
        EventKind::AuctionCancelled { auction_id, reason, .. } => {
            json!({ "auction_id": auction_id.get(), "reason": reason })
        }
        EventKind::DropPaused { reason, .. }
        | EventKind::DropResumed { reason, .. }
        | EventKind::DropClosed { reason, .. }
        | EventKind::StockAdjusted { reason, .. } => json!({ "reason": reason }),
        EventKind::OrderCancelledByOperator { reason, .. } => json!({ "by": "operator", "reason": reason }),
        EventKind::OrderPaid { payment, reason, .. } => with_reason(named(payment), reason),
        EventKind::PaymentNotKept { payment, why, state, .. } => {
            let mut detail = named(payment);
            detail.insert("why".into(), why.as_str().into());
            if let Some(currency) = &payment.foreign {
                detail.insert("foreign_currency".into(), currency.as_str().into());
                detail.insert("foreign_amount".into(), payment.amount.get().into());
            }
            with_state(detail, *state)
        }
        EventKind::PaymentFailed { payment, .. } | EventKind::ChargebackCreated { payment, .. } => {
            let mut detail = named(payment);
            detail.insert("amount".into(), payment.amount.get().into());
            if let Some(currency) = &payment.foreign {
                detail.insert("foreign_currency".into(), currency.as_str().into());
            }
            detail.into()
        }
        EventKind::OrderRefunded { reason, state, .. } | EventKind::RefundRequested { reason, state, .. } => {
            json!({ "reason": reason, "state": state.as_str() })
        }
        EventKind::RefundSettled { provider, payment, amount, foreign, state, reference, reason, .. } => {
            let mut detail = of_payment(*provider, payment);
            if let Some(currency) = foreign {
                detail.insert("foreign_currency".into(), currency.as_str().into());
                detail.insert("foreign_amount".into(), amount.get().into());
            }
            if !reference.is_empty() {
                detail.insert("refund_reference".into(), (&**reference).into());
            }
            if !reason.is_empty() {
                detail.insert("reason".into(), (&**reason).into());
            }
            with_state(detail, *state)
        }
        EventKind::RefundReported { provider, payment, state, .. } => {
            with_state(of_payment(*provider, payment), *state)
        }
        EventKind::ProviderEventRecorded { provider, kind, told, .. } => match told {
            Disposition::Applied => json!({ "provider": provider.as_str(), "kind": kind.as_str() }),
            Disposition::Ignored(because) => {
                json!({ "provider": provider.as_str(), "kind": kind.as_str(), "ignored": because.as_str() })
            }
        },
        EventKind::SessionRecorded { provider, .. } => json!({ "provider": provider.as_str() }),
        EventKind::Endpoint(event) => super::endpoints::detail(event),
        EventKind::EventsLost { lost, acknowledged } => json!({ "lost": lost, "acknowledged_seq": acknowledged.get() }),
        EventKind::DropStarted { .. }
        | EventKind::DropEnded { .. }
        | EventKind::MismatchFound { .. }
        | EventKind::MismatchCleared { .. }
        | EventKind::OrderReserved { .. }
        // On the hot path: the rest is in `bids`.
        | EventKind::BidPlaced { .. }
        | EventKind::AuctionStarted { .. }
        | EventKind::OrderCheckedOut { .. }
        | EventKind::ContactCorrected { .. }
        | EventKind::OrderCancelled { .. }
        | EventKind::OrderExpired { .. }
        | EventKind::ContactRead { .. }
        | EventKind::ContactErased { .. }
        | EventKind::ContactsExported { .. } => return None,
    };
    Some(value.to_string())
}

type Detail = serde_json::Map<String, serde_json::Value>;

fn of_payment(provider: Provider, reference: &str) -> Detail {
    let mut detail = Detail::new();
    detail.insert("provider".into(), provider.as_str().into());
    detail.insert("reference".into(), reference.into());
    detail
}

fn named(payment: &ReceivedPayment) -> Detail {
    of_payment(payment.provider, &payment.reference)
}

fn with_reason(mut detail: Detail, reason: &str) -> serde_json::Value {
    if !reason.is_empty() {
        detail.insert("reason".into(), reason.into());
    }
    detail.into()
}

fn with_state(mut detail: Detail, state: OrderState) -> serde_json::Value {
    detail.insert("state".into(), state.as_str().into());
    detail.into()
}

fn spec_detail(spec: &DropSpec) -> serde_json::Value {
    json!({
        "sku": spec.sku,
        "name": spec.name,
        "currency": spec.currency.as_str(),
        "unit_price": spec.unit_price.get(),
        "starts_at_ms": spec.starts_at.get(),
        "ends_at_ms": spec.ends_at.map(UnixMillis::get),
        "per_buyer_limit": spec.per_buyer_limit,
        "reservation_seconds": spec.reservation_seconds,
        "payment_seconds": spec.payment_seconds,
    })
}

fn auction_detail(id: AuctionId, spec: &AuctionSpec) -> serde_json::Value {
    let increments: Vec<_> =
        spec.increments.iter().map(|increment| [increment.from.get(), increment.step.get()]).collect();
    json!({
        "auction_id": id.get(),
        "sku": spec.sku,
        "name": spec.name,
        "currency": spec.currency.as_str(),
        "start_price": spec.start_price.get(),
        "reserve_price": spec.reserve_price.map(UnitPrice::get),
        "increments": increments,
        "buy_now": spec.buy_now.map(UnitPrice::get),
        "starts_at_ms": spec.starts_at.get(),
        "ends_at_ms": spec.ends_at.get(),
        "soft_close_seconds": spec.soft_close_seconds,
        "extensions_max": spec.extensions_max,
        "hard_end_at_ms": spec.hard_end_at.map(UnixMillis::get),
        "payment_seconds": spec.payment_seconds,
        "offer_next": spec.offer_next,
        "exposure_limit": spec.exposure_limit.map(Amount::get),
    })
}

fn patch_detail(patch: &DropPatch, reason: &str) -> serde_json::Value {
    let mut detail = serde_json::Map::new();
    let mut note = |name: &str, value: Option<serde_json::Value>| {
        if let Some(value) = value {
            detail.insert(name.into(), value);
        }
    };
    note("name", patch.name.as_deref().map(Into::into));
    note("description", patch.description.as_deref().map(Into::into));
    note("image_url", patch.image_url.as_deref().map(Into::into));
    note("unit_price", patch.unit_price.map(|price| price.get().into()));
    note("starts_at_ms", patch.starts_at.map(|at| at.get().into()));
    note("ends_at_ms", patch.ends_at.map(|at| at.get().into()));
    note("per_buyer_limit", patch.per_buyer_limit.map(Into::into));
    note("reservation_seconds", patch.reservation_seconds.map(Into::into));
    note("payment_seconds", patch.payment_seconds.map(Into::into));
    note("reason", Some(reason.into()));
    serde_json::Value::Object(detail)
}
