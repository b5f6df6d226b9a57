//! Refunds and chargebacks that were reported before their payment, and refunds over what it received: rows of
//! `payments` without money, found by the payment's name; their amounts are in the details of their events.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::StoreError;
use super::settlements::settled_by_hand;
use crate::engine::{Admitted, DeferredProviderEvent, EarlyEvent, RecordProviderEvent};
use crate::types::{Amount, Currency, Digest, DigestKey, Provider, ProviderEventKind, Seq, hex};

/// Loads what the decision about a provider's event needs of the events before it: whether it is in the inbox, and what
/// waits for the payment that it names. Of a refund that an operator settled in part by the provider's name of it, the
/// event's amount becomes that which is not counted yet; of the failure of such a refund, that which was.
///
/// # Errors
/// [`StoreError::Inconsistent`] if a detail cannot be read.
pub fn load_about(
    connection: &Connection,
    digests: &DigestKey,
    event: &mut RecordProviderEvent,
    admitted: &mut Admitted,
) -> Result<(), StoreError> {
    let settled = settled_by_hand(connection, digests, event)?;
    let is_all_settled = settled.get(&event.id).is_some_and(|by_hand| *by_hand >= event.amount);
    if is_all_settled || has_heard(connection, &event.id)? {
        admitted.heard.insert(event.id);
        return Ok(());
    }
    if let Some(rest) = settled.get(&event.id).and_then(|by_hand| event.amount.minus(*by_hand)) {
        event.amount = rest;
    }
    if event.kind == ProviderEventKind::PaymentFailed {
        return Ok(());
    }
    admitted.early = load_early(connection, event)?;
    let counterparts = admitted.early.values().filter_map(|early| early.event.counterpart).chain(event.counterpart);
    for counterpart in counterparts {
        if has_heard(connection, &counterpart)? {
            admitted.heard.insert(counterpart);
        } else if let Some(by_hand) = settled.get(&counterpart) {
            admitted.heard.insert(counterpart);
            if event.counterpart == Some(counterpart) {
                event.amount = event.amount.min(*by_hand);
            }
        }
    }
    Ok(())
}

fn has_heard(connection: &Connection, event: &Digest) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM inbox WHERE digest = ?1")?;
    statement.exists(params![event])
}

fn load_early(connection: &Connection, told: &RecordProviderEvent) -> Result<BTreeMap<Seq, EarlyEvent>, StoreError> {
    // Other providers name the order in each event, so that its rows are enough.
    let mut statement = connection.prepare_cached(if told.provider == Provider::Stripe {
        "SELECT payments.seq, payments.order_seq, payments.provider, payments.reference, audit.detail
         FROM payments INDEXED BY payments_of_stripe JOIN audit ON audit.seq = payments.seq
         WHERE payments.provider = 'stripe' AND payments.reference = ?3 AND received = 0 AND pays = 0
             AND audit.kind = 'provider_event_deferred' AND ?2 = 'stripe' AND payments.order_seq IN (0, ?1)"
    } else {
        "SELECT payments.seq, payments.order_seq, payments.provider, payments.reference, audit.detail
         FROM payments JOIN audit ON audit.seq = payments.seq
         WHERE payments.order_seq = ?1 AND payments.provider = ?2 AND payments.reference = ?3
             AND received = 0 AND pays = 0 AND audit.kind = 'provider_event_deferred'"
    })?;
    let order = told.order.unwrap_or(Seq::ZERO);
    let mut rows = statement.query(params![order, told.provider, told.reference])?;
    let mut early = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (seq, order): (Seq, Seq) = (row.get(0)?, row.get(1)?);
        let detail: Option<String> = row.get(4)?;
        let event = deferred(row.get(2)?, row.get::<_, String>(3)?.into(), detail.as_deref());
        let event =
            event.ok_or_else(|| StoreError::Inconsistent(format!("the detail of event {seq} cannot be read")))?;
        early.insert(seq, EarlyEvent { order: (order != Seq::ZERO).then_some(order), event });
    }
    Ok(early)
}

fn deferred(provider: Provider, payment: Box<str>, detail: Option<&str>) -> Option<DeferredProviderEvent> {
    let detail: Value = serde_json::from_str(detail?).ok()?;
    let text = |name: &str| detail.get(name).and_then(Value::as_str);
    let counterpart = match text("counterpart") {
        Some(digits) => Some(Digest::from_slice(&hex::decode(digits)?)?),
        None => None,
    };
    Some(DeferredProviderEvent {
        kind: ProviderEventKind::from_word(text("kind")?)?,
        provider,
        payment,
        amount: Amount::new(detail.get("amount")?.as_u64()?)?,
        currency: Currency::new(text("currency")?)?,
        counterpart,
    })
}

/// Returns the events whose rows here differ from the audit, or have none.
pub(super) fn differing(connection: &Connection) -> rusqlite::Result<Vec<Seq>> {
    let mut differing = Vec::new();
    let mut statement = connection.prepare(
        "SELECT audit.seq, detail, provider, reference, foreign_currency, received
         FROM audit LEFT JOIN payments ON payments.order_seq = coalesce(audit.order_seq, 0) AND payments.seq = audit.seq
         WHERE kind = 'provider_event_deferred'",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (detail, reference): (Option<String>, Option<String>) = (row.get(1)?, row.get(3)?);
        let provider: Option<String> = row.get(2)?;
        let (currency, received): (Option<String>, Option<i64>) = (row.get(4)?, row.get(5)?);
        let detail: Value = detail.and_then(|detail| serde_json::from_str(&detail).ok()).unwrap_or_default();
        let is = |name: &str, found: &Option<String>| found.is_some() && detail[name].as_str() == found.as_deref();
        if !(is("provider", &provider) && is("reference", &reference) && is("currency", &currency))
            || received != Some(0)
        {
            differing.push(row.get(0)?);
        }
    }
    let mut without_event = connection.prepare(
        "SELECT payments.seq FROM payments LEFT JOIN audit
             ON audit.seq = payments.seq AND kind = 'provider_event_deferred'
         WHERE payments.order_seq = 0 AND audit.seq IS NULL",
    )?;
    for seq in without_event.query_map([], |row| row.get(0))? {
        differing.push(seq?);
    }
    Ok(differing)
}

/// Returns the order of a Stripe payment, for an event that names no order.
pub fn order_of_stripes_payment(connection: &Connection, reference: &str) -> rusqlite::Result<Option<Seq>> {
    let mut statement = connection.prepare_cached(
        "SELECT order_seq FROM payments INDEXED BY payments_of_stripe
         WHERE provider = 'stripe' AND reference = ?1 AND received > 0",
    )?;
    statement.query_row(params![reference], |row| row.get(0)).optional()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::types::UnixMillis;

    const ORDER: u64 = 3;

    fn seq(number: u64) -> Seq {
        Seq::new(number).expect("in range")
    }

    /// Writes a refund that was reported before its payment, as `provider` reports it.
    fn defer(connection: &Connection, number: u64, order: Option<u64>, provider: Provider, reference: &str) {
        let detail = format!(
            r#"{{"kind":"{}","provider":"{}","reference":"{reference}","amount":5,"currency":"EUR"}}"#,
            ProviderEventKind::RefundSucceeded.as_str(),
            provider.as_str()
        );
        connection
            .execute(
                "INSERT INTO audit (seq, at_ms, kind, order_seq, prev_seq, detail)
                 VALUES (?1, 0, 'provider_event_deferred', ?2, 0, ?3)",
                params![seq(number), order.map(seq), detail],
            )
            .expect("written");
        pay(connection, number, order.unwrap_or(0), provider, reference, 0);
    }

    fn pay(connection: &Connection, number: u64, order: u64, provider: Provider, reference: &str, received: i64) {
        connection
            .execute(
                "INSERT INTO payments (order_seq, seq, provider, reference, foreign_currency, received, pays, refunded, refund_due)
                 VALUES (?1, ?2, ?3, ?4, 'EUR', ?5, ?6, 0, 0)",
                params![seq(order), seq(number), provider, reference, received, i64::from(received > 0)],
            )
            .expect("written");
    }

    /// Events that wait for the payment that an event names.
    fn waiting(store: &Store, provider: Provider, reference: &str) -> Vec<(u64, Option<u64>)> {
        let mut event = RecordProviderEvent {
            provider,
            id: Digest([9; 16]),
            order: Some(seq(ORDER)),
            kind: ProviderEventKind::PaymentSucceeded,
            reference: reference.into(),
            amount: Amount::new(5).expect("in range"),
            currency: Currency::new("EUR").expect("a currency"),
            counterpart: None,
        };
        let mut admitted = Admitted::default();
        load_about(&store.connection, &store.digest_key, &mut event, &mut admitted).expect("loaded");
        admitted.early.iter().map(|(seq, early)| (seq.get(), early.order.map(Seq::get))).collect()
    }

    #[test]
    fn a_payment_finds_what_was_reported_before_it_and_only_stripe_may_report_without_the_order() {
        let scratch = tempfile::tempdir().expect("scratch");
        let store = Store::open(scratch.path(), UnixMillis::ZERO).expect("made");
        let connection = &store.connection;
        defer(connection, 10, None, Provider::Stripe, "pi");
        defer(connection, 11, Some(ORDER), Provider::Stripe, "pi");
        defer(connection, 12, Some(ORDER + 1), Provider::Stripe, "pi");
        defer(connection, 13, None, Provider::Stripe, "other");
        defer(connection, 14, Some(ORDER), Provider::Payos, "pi");
        defer(connection, 15, Some(ORDER + 1), Provider::Payos, "pi");
        assert_eq!(waiting(&store, Provider::Stripe, "pi"), [(10, None), (11, Some(ORDER))]);
        assert_eq!(waiting(&store, Provider::Payos, "pi"), [(14, Some(ORDER))]);
        assert_eq!(waiting(&store, Provider::Sandbox, "pi"), []);

        assert_eq!(order_of_stripes_payment(connection, "pi").expect("read"), None, "none has money");
        pay(connection, 20, ORDER, Provider::Payos, "paid", 5);
        assert_eq!(order_of_stripes_payment(connection, "paid").expect("read"), None, "another provider's");
        pay(connection, 21, ORDER, Provider::Stripe, "paid", 5);
        assert_eq!(order_of_stripes_payment(connection, "paid").expect("read"), Some(seq(ORDER)));
    }
}
