//! Rows of payments, of the inbox, of sessions and of idempotency keys, compared with their events.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use rusqlite::{Connection, OptionalExtension, Row, Rows, Statement};

use super::expected_row::detail_of;
use super::report::VerifyReport;
use crate::store::audit::AuditRow;
use crate::store::seals::{self, KEY_CHECK, PRIVATE_CHECK};
use crate::types::{Digest, DigestKey, Provider, Seq};

/// The constant parts of an order's payments, as one number, and which of them pays.
#[derive(Clone, Copy, Default)]
pub(super) struct OrderPayments {
    /// The sum of a hash of each payment.
    payments: u64,
    /// The sum of a hash of the name of each payment that pays; there is one at most.
    paying: u64,
}

/// The sums of the rows of an order's payments.
#[derive(Clone, Copy, Default)]
pub(super) struct PaymentSums {
    /// Received, refunded and due amounts, in the currency of the drop.
    pub(super) sums: (i64, i64, i64),
    pub(super) payments: OrderPayments,
}

/// The constant part of a payment.
#[derive(Hash)]
struct ConstantPart<'a> {
    seq: u64,
    provider: &'a str,
    reference: &'a str,
    foreign: Option<&'a str>,
    received: i64,
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl OrderPayments {
    fn count(&mut self, payment: &ConstantPart<'_>, pays: bool) {
        self.payments = self.payments.wrapping_add(hash(payment));
        if pays {
            self.paying = self.paying.wrapping_add(hash(&(payment.provider, payment.reference)));
        }
    }

    /// Adds a row of the order's audit.
    pub(super) fn add(&mut self, row: &AuditRow) {
        let pays = match &*row.kind {
            "order_paid" | "order_retaken" => true,
            "payment_not_kept" => false,
            "payment_replaced" => {
                let detail = detail_of(row);
                let name = |provider: &str, payment: &str| {
                    hash(&(detail[provider].as_str().unwrap_or_default(), detail[payment].as_str().unwrap_or_default()))
                };
                let (before, after) = (name("provider", "reference"), name("by_provider", "by_reference"));
                self.paying = self.paying.wrapping_sub(before).wrapping_add(after);
                return;
            }
            _ => return,
        };
        let detail = detail_of(row);
        let received = row.amount.or_else(|| detail["foreign_amount"].as_i64()).unwrap_or(0);
        if received == 0 && !pays {
            return;
        }
        let payment = ConstantPart {
            seq: row.seq.get(),
            // Before schema 3 every payment was recorded by hand.
            provider: detail["provider"].as_str().unwrap_or(Provider::Manual.as_str()),
            reference: detail["reference"].as_str().unwrap_or_default(),
            foreign: detail["foreign_currency"].as_str(),
            received,
        };
        self.count(&payment, pays);
    }

    pub(super) fn differs_from(self, told: OrderPayments) -> bool {
        (self.payments, self.paying) != (told.payments, told.paying)
    }
}

/// Selects the payments in the order of the orders' numbers, without providers' events that came before their payment.
pub(super) const PAYMENTS: &str =
    "SELECT order_seq, seq, provider, reference, foreign_currency, received, pays, refunded, refund_due
     FROM payments WHERE received <> 0 OR pays <> 0 ORDER BY order_seq, seq";

/// The rows of [`PAYMENTS`], read along with the orders.
pub(super) struct PaymentRows<'stmt> {
    rows: Rows<'stmt>,
    /// The next payment, and the number of its order.
    next: Option<(Seq, PaymentSums)>,
}

impl<'stmt> PaymentRows<'stmt> {
    pub(super) fn begin(statement: &'stmt mut Statement<'_>) -> rusqlite::Result<PaymentRows<'stmt>> {
        let mut payments = PaymentRows { rows: statement.query([])?, next: None };
        payments.step()?;
        Ok(payments)
    }

    fn step(&mut self) -> rusqlite::Result<()> {
        self.next = match self.rows.next()? {
            None => None,
            Some(row) => Some((row.get(0)?, payment_of(row)?)),
        };
        Ok(())
    }

    /// Returns the number of the next order before `order` that has payments, and passes over them.
    pub(super) fn next_before(&mut self, order: Seq) -> rusqlite::Result<Option<Seq>> {
        let Some(found) = self.next.map(|(seq, _)| seq).filter(|seq| *seq < order) else { return Ok(None) };
        self.of(found)?;
        Ok(Some(found))
    }

    /// Returns what the payments of an order say, which is the next that has some, and passes over them.
    pub(super) fn of(&mut self, order: Seq) -> rusqlite::Result<PaymentSums> {
        let mut sums = PaymentSums::default();
        while let Some((seq, payment)) = self.next
            && seq == order
        {
            sums.add(&payment);
            self.step()?;
        }
        Ok(sums)
    }
}

fn payment_of(row: &Row<'_>) -> rusqlite::Result<PaymentSums> {
    let (received, pays): (i64, bool) = (row.get(5)?, row.get(6)?);
    let foreign = row.get_ref(4)?.as_str_or_null()?;
    let (provider, reference) = (row.get_ref(2)?.as_str()?, row.get_ref(3)?.as_str()?);
    let seq = row.get::<_, Seq>(1)?.get();
    let mut payment = PaymentSums::default();
    payment.payments.count(&ConstantPart { seq, provider, reference, foreign, received }, pays);
    if foreign.is_none() {
        payment.sums = (received, row.get(7)?, row.get(8)?);
    }
    Ok(payment)
}

impl PaymentSums {
    fn add(&mut self, payment: &PaymentSums) {
        let ((received, refunded, due), of) = (self.sums, payment.sums);
        self.sums = (received.saturating_add(of.0), refunded.saturating_add(of.1), due.saturating_add(of.2));
        let OrderPayments { payments, paying } = payment.payments;
        self.payments.payments = self.payments.payments.wrapping_add(payments);
        self.payments.paying = self.payments.paying.wrapping_add(paying);
    }
}

/// Checks of idempotency keys and sessions by the audit.
#[derive(Default)]
pub(super) struct AuditedMoney {
    /// Check values of keys, by their event.
    keys: HashMap<Seq, String>,
    /// The last session of each order: its instant, provider and check value.
    sessions: HashMap<Seq, (i64, String, Option<String>)>,
    /// The first check value of the digest key, and its event.
    digest_key: Option<(Seq, String)>,
}

impl AuditedMoney {
    pub(super) fn add(&mut self, row: &AuditRow) {
        match &*row.kind {
            "drop_created" | "auction_created" | "endpoint_created" | "order_refunded" | "refund_requested" => {
                let detail = detail_of(row);
                if let Some(check) = detail[KEY_CHECK].as_str() {
                    self.keys.insert(row.seq, check.to_string());
                }
                if let (None, Some(check)) = (&self.digest_key, detail[seals::DIGEST_KEY_CHECK].as_str()) {
                    self.digest_key = Some((row.seq, check.to_string()));
                }
            }
            "session_recorded" => {
                let detail = detail_of(row);
                let text = |name: &str| detail[name].as_str().map(str::to_string);
                if let Some(order) = row.order {
                    let session = (row.at.get(), text("provider").unwrap_or_default(), text(PRIVATE_CHECK));
                    self.sessions.insert(order, session);
                }
            }
            _ => {}
        }
    }

    pub(super) fn compare(
        &self,
        connection: &Connection,
        key: &DigestKey,
        report: &mut VerifyReport,
    ) -> rusqlite::Result<()> {
        if let Some((seq, check)) = &self.digest_key
            && *check != seals::of_digest_key(key)
        {
            report.problem(format!("the key of digests is not the one of event {seq}"));
        }
        self.compare_keys(connection, key, report)?;
        self.compare_sessions(connection, key, report)
    }

    fn compare_keys(
        &self,
        connection: &Connection,
        key: &DigestKey,
        report: &mut VerifyReport,
    ) -> rusqlite::Result<()> {
        let mut statement = connection.prepare("SELECT seq, digest, params, at_ms FROM keys")?;
        let keys = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        let mut keys: Vec<(Seq, Digest, Digest, i64)> = keys.collect::<Result<_, _>>()?;
        // The table is in the order of digests: in that of events their pages are read one after another.
        keys.sort_unstable_by_key(|(seq, ..)| *seq);
        let mut event = connection.prepare(
            "SELECT at_ms = ?2 AND kind IN ('drop_created', 'auction_created', 'endpoint_created', 'order_refunded',
                 'refund_requested', 'bid_placed')
             FROM audit WHERE seq = ?1",
        )?;
        for (seq, digest, params, at) in keys {
            let of_its_event: Option<bool> = event.query_row((seq, at), |row| row.get(0)).optional()?;
            let sealed = self.keys.get(&seq).is_none_or(|check| *check == seals::of_command_key(key, &digest, &params));
            if of_its_event != Some(true) || !sealed {
                report.problem(format!("the idempotency key of event {seq} and the audit differ"));
            }
        }
        Ok(())
    }

    fn compare_sessions(
        &self,
        connection: &Connection,
        key: &DigestKey,
        report: &mut VerifyReport,
    ) -> rusqlite::Result<()> {
        let (mut found, mut told) = (0usize, 0usize);
        let mut statement = connection.prepare("SELECT order_seq, at_ms, provider, reference, url FROM sessions")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (order, at, provider): (Seq, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let (reference, url) = (row.get_ref(3)?.as_str()?, row.get_ref(4)?.as_str()?);
            found = found.saturating_add(1);
            let session = self.sessions.get(&order);
            told = told.saturating_add(usize::from(session.is_some()));
            let same = session.is_some_and(|(told_at, told_provider, check)| {
                let sealed = check.as_ref().is_none_or(|check| *check == seals::of_session(key, reference, url));
                sealed && *told_at == at && *told_provider == provider
            });
            if !same {
                report.problem(format!("order {order}: its payment session and the audit differ"));
            }
        }
        if told < self.sessions.len()
            && let Some(order) = self.first_without_session(connection)?
        {
            let had = self.sessions.len();
            let none = format_args!("that of order {order} has none");
            report.problem(format!("{had} orders had a payment session, {found} have a row: {none}"));
        }
        Ok(())
    }

    fn first_without_session(&self, connection: &Connection) -> rusqlite::Result<Option<Seq>> {
        let mut row = connection.prepare("SELECT 1 FROM sessions WHERE order_seq = ?1")?;
        let mut orders: Vec<Seq> = self.sessions.keys().copied().collect();
        orders.sort_unstable();
        for order in orders {
            if !row.exists([order])? {
                return Ok(Some(order));
            }
        }
        Ok(None)
    }
}

/// Checks that the inbox has exactly the provider events of the audit, each as the audit has it.
pub(super) fn check_inbox(connection: &Connection, key: &DigestKey, report: &mut VerifyReport) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(
        "SELECT inbox.seq, inbox.digest, inbox.provider, inbox.event_id, inbox.kind, inbox.ignored, audit.detail,
             inbox.at_ms = audit.at_ms AND inbox.order_seq IS audit.order_seq
         FROM inbox LEFT JOIN audit ON audit.seq = inbox.seq AND audit.kind = 'provider_event_recorded'",
    )?;
    let mut found = 0i64;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (seq, digest, provider): (Seq, Digest, Provider) = (row.get(0)?, row.get(1)?, row.get(2)?);
        found = found.saturating_add(1);
        let detail: serde_json::Value =
            row.get_ref(6)?.as_str_or_null()?.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let same = row.get::<_, Option<bool>>(7)? == Some(true)
            && detail["provider"].as_str() == Some(provider.as_str())
            && detail["kind"].as_str() == Some(row.get_ref(4)?.as_str()?)
            && detail["ignored"].as_str() == row.get_ref(5)?.as_str_or_null()?
            && digest == key.provider_event(provider, row.get_ref(3)?.as_str()?);
        if !same {
            report.problem(format!("event {seq}: the inbox and the audit differ"));
        }
    }
    let (recorded, missing): (i64, Option<Seq>) = connection.query_row(
        "SELECT count(*), min(CASE WHEN seq NOT IN (SELECT seq FROM inbox) THEN seq END)
         FROM audit WHERE kind = 'provider_event_recorded'",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    // Two rows that name one event of the audit may hide that another event has none.
    if recorded != found || missing.is_some() {
        let missing = missing.map_or_else(String::new, |seq| format!(": event {seq} is not"));
        report.problem(format!("{recorded} events of providers were recorded, {found} are in the inbox{missing}"));
    }
    Ok(())
}
