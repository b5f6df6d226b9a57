//! Rows of drops, compared with what their events say of price, limits, window and flags.

use std::collections::BTreeMap;

use rusqlite::Connection;
use rusqlite::types::Value;
use serde_json::Value as Json;

use super::expected_row::{ExpectedRow, detail_of};
use super::report::VerifyReport;
use super::standby::is_granted;
use crate::store::audit::AuditRow;
use crate::types::{DropId, IdentityKind, Seq};

const COLUMNS: [&str; 24] = [
    "sku",
    "name",
    "description",
    "image_url",
    "currency",
    "unit_price",
    "starts_at_ms",
    "ends_at_ms",
    "per_buyer_limit",
    "reservation_seconds",
    "payment_seconds",
    "revision",
    "started",
    "paused",
    "ended",
    "mismatch",
    "challenge",
    "challenge_below",
    "email_limit",
    "phone_limit",
    "payment_limit",
    "address_limit",
    "standby",
    "blind_ms",
];
/// Returns the column of a cap.
const fn limit_of(kind: IdentityKind) -> &'static str {
    match kind {
        IdentityKind::Email => "email_limit",
        IdentityKind::Phone => "phone_limit",
        IdentityKind::Payment => "payment_limit",
        IdentityKind::Address => "address_limit",
    }
}

/// A drop by its audit rows.
pub(super) struct AuditedDrop {
    row: ExpectedRow,
    last_seq: Seq,
    version: Seq,
    /// The time that a reservation holds now, in milliseconds, if it is known.
    pub(super) reservation_ms: Option<i64>,
    /// The time that an order awaits its payment now, in milliseconds, if it is known.
    pub(super) payment_ms: Option<i64>,
}

/// All drops by the audit.
#[derive(Default)]
pub(super) struct AuditedDrops(BTreeMap<DropId, AuditedDrop>);

impl AuditedDrops {
    pub(super) fn get(&self, id: DropId) -> Option<&AuditedDrop> {
        self.0.get(&id)
    }

    /// Adds a row that belongs to a drop, by itself or by its order.
    pub(super) fn add(&mut self, id: DropId, row: &AuditRow) {
        match &*row.kind {
            "drop_created" => drop(self.0.insert(id, AuditedDrop::created(row, &detail_of(row)))),
            "auction_created" => drop(self.0.insert(id, AuditedDrop::hidden(row, &detail_of(row)))),
            _ => {
                if let Some(known) = self.0.get_mut(&id) {
                    known.change(row);
                }
            }
        }
    }

    pub(super) fn compare(&self, connection: &Connection, report: &mut VerifyReport) -> rusqlite::Result<()> {
        let sql = format!("SELECT id, last_seq, version, {} FROM drops ORDER BY id", ExpectedRow::list(&COLUMNS));
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id: DropId = row.get(0)?;
            let Some(told) = self.0.get(&id) else {
                report.problem(format!("drop {id} has a row, but no event created it"));
                continue;
            };
            let (last_seq, version): (Seq, Seq) = (row.get(1)?, row.get(2)?);
            if (last_seq, version) != (told.last_seq, told.version) {
                report.problem(format!(
                    "drop {id}: its last event and version are {last_seq} and {version}, the audit gives {} and {}",
                    told.last_seq, told.version
                ));
            }
            told.row.compare(row, 3, format_args!("drop {id}"), report)?;
        }
        Ok(())
    }
}

impl AuditedDrop {
    fn new(row: &AuditRow, expected: ExpectedRow) -> AuditedDrop {
        let mut made =
            AuditedDrop { row: expected, last_seq: row.seq, version: row.seq, reservation_ms: None, payment_ms: None };
        made.row.set("revision", 1);
        for flag in ["paused", "ended", "mismatch", "standby"] {
            made.row.set(flag, 0);
        }
        made.row.default_to("blind_ms", 0);
        made.row.default_to("challenge", "none".to_string());
        made.row.default_to("challenge_below", "verified".to_string());
        for kind in IdentityKind::ALL {
            made.row.default_to(limit_of(kind), Value::Null);
        }
        made.note_times();
        made
    }

    fn created(row: &AuditRow, detail: &Json) -> AuditedDrop {
        let mut expected = ExpectedRow::new(&COLUMNS);
        expected.set_all(detail);
        let mut made = AuditedDrop::new(row, expected);
        made.note_start(row);
        made
    }

    /// The hidden drop of an auction, as `AuctionSpec::hidden_drop` makes it.
    fn hidden(row: &AuditRow, detail: &Json) -> AuditedDrop {
        let mut expected = ExpectedRow::new(&COLUMNS);
        for member in ["sku", "name", "currency", "payment_seconds"] {
            expected.set_from(member, detail, member);
        }
        expected.set_from("unit_price", detail, "start_price");
        expected.set_from("reservation_seconds", detail, "payment_seconds");
        for nothing in ["description", "image_url", "ends_at_ms"] {
            expected.set(nothing, Value::Null);
        }
        expected.set("starts_at_ms", row.at.get());
        expected.set("per_buyer_limit", 1);
        expected.set("started", 1);
        AuditedDrop::new(row, expected)
    }

    /// The cap on a kind of identity now, if there is one.
    pub(super) fn cap(&self, kind: IdentityKind) -> Option<i64> {
        self.row.number(limit_of(kind))
    }

    fn note_start(&mut self, row: &AuditRow) {
        if let Some(starts_at) = self.row.number("starts_at_ms") {
            self.row.set("started", i64::from(starts_at <= row.at.get()));
        }
    }

    fn note_times(&mut self) {
        let in_ms = |seconds: i64| seconds.saturating_mul(1000);
        self.reservation_ms = self.row.number("reservation_seconds").map(in_ms);
        self.payment_ms = self.row.number("payment_seconds").map(in_ms);
    }

    fn move_standby(&mut self, buyers: i64) {
        let before = self.row.number("standby").unwrap_or(0);
        self.row.set("standby", before.saturating_add(buyers));
    }

    fn change(&mut self, row: &AuditRow) {
        let moved = row.quantity.unwrap_or(0) != 0;
        if row.order.is_none() {
            self.last_seq = row.seq;
        }
        let shown = match &*row.kind {
            "order_refunded" | "refund_requested" => moved,
            "order_reserved" | "auction_awarded" | "order_cancelled" | "order_expired" | "order_paid"
            | "order_retaken" => true,
            "contacts_exported" | "bidder_contact_erased" => false,
            _ => row.order.is_none(),
        };
        if shown {
            self.version = row.seq;
        }
        match &*row.kind {
            "drop_patched" => {
                self.row.set_all(&detail_of(row));
                self.note_start(row);
                self.note_times();
            }
            "drop_started" => self.row.set("started", 1),
            "standby_joined" => self.move_standby(1),
            "standby_left" => self.move_standby(-1),
            "order_reserved" if is_granted(row) => self.move_standby(-1),
            "drop_ended" => {
                self.row.set("ended", 1);
                self.row.set("standby", 0);
            }
            "drop_closed" => {
                self.row.set("ended", 1);
                self.row.set("standby", 0);
                self.row.set("ends_at_ms", row.at.get());
            }
            "drop_paused" => self.row.set("paused", 1),
            "drop_resumed" => self.row.set("paused", 0),
            "mismatch_found" => {
                self.row.set("paused", 1);
                self.row.set("mismatch", 1);
            }
            "mismatch_cleared" => self.row.set("mismatch", 0),
            _ => {}
        }
        if matches!(&*row.kind, "drop_patched" | "drop_paused" | "drop_resumed" | "drop_closed" | "stock_adjusted") {
            self.row.count("revision");
        }
    }
}
