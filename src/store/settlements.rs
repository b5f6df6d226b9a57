//! Refunds that operators settled, by the references that they gave: in the file they are events of their order alone.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use serde_json::Value;

use super::StoreError;
use crate::engine::{Admitted, KnownRefund, RecordProviderEvent, SettleRefund};
use crate::types::{Amount, Digest, DigestKey, IgnoredReason, Provider, ProviderEventKind, Seq};

/// A settlement of an order's refund, from its event.
struct Settlement {
    provider: Option<Provider>,
    payment: Box<str>,
    amount: Amount,
    reference: Box<str>,
}

/// Loads what the decision about a settlement needs: the refunds of the order that have its reference.
///
/// # Errors
/// Those of SQLite.
pub fn load_known_refunds(
    connection: &Connection,
    digests: &DigestKey,
    command: &SettleRefund,
    admitted: &mut Admitted,
) -> Result<(), StoreError> {
    let mut known = Vec::new();
    for settlement in settlements_of(connection, command.order)? {
        if settlement.reference == command.reference {
            known.push(KnownRefund::Settled { payment: settlement.payment, amount: settlement.amount });
        }
    }
    if is_reported(connection, digests, command)? {
        known.push(KnownRefund::Reported);
    }
    if !known.is_empty() {
        admitted.known_refunds.insert((command.order, command.reference.clone()), known);
    }
    Ok(())
}

/// Returns whether a provider reported a refund of the order by the settlement's reference, and its amount counts, waits
/// for room, or waited for its payment, for which Stripe names no order.
fn is_reported(connection: &Connection, digests: &DigestKey, command: &SettleRefund) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(
        "SELECT 1 FROM inbox
         WHERE digest = ?1 AND coalesce(order_seq, 0) IN (0, ?2) AND kind = ?3
             AND (ignored IS NULL OR ignored IN (?4, ?5))",
    )?;
    for provider in Provider::ALL {
        let digest = digests.provider_event(provider, &command.reference);
        let kind = ProviderEventKind::RefundSucceeded.as_str();
        let waits = [IgnoredReason::ExceedsReceived, IgnoredReason::UnknownPayment].map(IgnoredReason::as_str);
        if statement.exists(params![digest, command.order, kind, waits[0], waits[1]])? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns what operators settled of the payment that an event is about, by the inbox keys that their references have: so
/// much of a refund that has such a key is counted already.
pub(super) fn settled_by_hand(
    connection: &Connection,
    digests: &DigestKey,
    event: &RecordProviderEvent,
) -> rusqlite::Result<BTreeMap<Digest, Amount>> {
    let is_refund = matches!(event.kind, ProviderEventKind::RefundSucceeded | ProviderEventKind::RefundFailed);
    let Some(order) = event.order.filter(|_| is_refund) else { return Ok(BTreeMap::new()) };
    let mut settled = BTreeMap::new();
    for settlement in settlements_of(connection, order)? {
        if settlement.provider == Some(event.provider) && settlement.payment == event.reference {
            settled.insert(digests.provider_event(event.provider, &settlement.reference), settlement.amount);
        }
    }
    Ok(settled)
}

/// Returns the settlements of an order that have a reference, the last first.
fn settlements_of(connection: &Connection, order: Seq) -> rusqlite::Result<Vec<Settlement>> {
    let mut statement = connection.prepare_cached(
        // Each step goes back: a damaged row cannot make it endless.
        "WITH RECURSIVE of_order (seq, kind, prev_seq, amount, detail) AS (
             SELECT seq, kind, prev_seq, amount, detail FROM audit
             WHERE seq = (SELECT last_seq FROM orders WHERE seq = ?1) AND order_seq = ?1
             UNION ALL
             SELECT audit.seq, audit.kind, audit.prev_seq, audit.amount, audit.detail
             FROM of_order JOIN audit ON audit.seq = of_order.prev_seq
             WHERE audit.order_seq = ?1 AND audit.seq < of_order.seq)
         SELECT amount, detail FROM of_order WHERE kind = 'refund_settled'",
    )?;
    let mut settlements = Vec::new();
    let mut rows = statement.query(params![order])?;
    while let Some(row) = rows.next()? {
        let (amount, detail): (Option<Amount>, Option<String>) = (row.get(0)?, row.get(1)?);
        let detail: Value = detail.and_then(|detail| serde_json::from_str(&detail).ok()).unwrap_or_default();
        let text = |name: &str| detail[name].as_str();
        let Some(reference) = text("refund_reference") else { continue };
        settlements.push(Settlement {
            provider: text("provider").and_then(|name| Provider::ALL.into_iter().find(|known| known.as_str() == name)),
            payment: text("reference").unwrap_or_default().into(),
            amount: amount.or_else(|| Amount::new(detail["foreign_amount"].as_u64()?)).unwrap_or(Amount::ZERO),
            reference: reference.into(),
        });
    }
    Ok(settlements)
}
