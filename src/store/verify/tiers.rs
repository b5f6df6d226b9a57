//! Tiers that operators have set, compared with their events.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::expected_row::{ExpectedRow, detail_of};
use super::report::VerifyReport;
use crate::store::audit::AuditRow;
use crate::types::{DigestKey, hex};

const COLUMNS: [&str; 4] = ["tier", "reason", "expires_at_ms", "seq"];

/// Tiers by the audit: the row that each buyer must have, by the digest of the buyer as hexadecimal digits.
#[derive(Default)]
pub(super) struct AuditedTiers(BTreeMap<String, ExpectedRow>);

impl AuditedTiers {
    /// Adds a row that belongs to no drop.
    pub(super) fn add(&mut self, row: &AuditRow) {
        if !row.kind.starts_with("buyer_tier_") {
            return;
        }
        let detail = detail_of(row);
        let buyer = detail["buyer"].as_str().unwrap_or_default().to_string();
        if &*row.kind == "buyer_tier_removed" {
            self.0.remove(&buyer);
            return;
        }
        let mut expected = ExpectedRow::new(&COLUMNS);
        expected.set_from("tier", &detail, "tier");
        expected.set_from("reason", &detail, "reason");
        expected.set_from("expires_at_ms", &detail, "expires_at_ms");
        expected.default_to("expires_at_ms", rusqlite::types::Value::Null);
        expected.set("seq", i64::try_from(row.seq.get()).unwrap_or(i64::MAX));
        self.0.insert(buyer, expected);
    }

    /// Compares the rows with the audit. Problems name the event and no buyer.
    pub(super) fn compare(
        &self,
        connection: &Connection,
        key: &DigestKey,
        report: &mut VerifyReport,
    ) -> rusqlite::Result<()> {
        let (mut found, mut missing) = (0usize, self.0.iter().collect::<BTreeMap<_, _>>());
        let sql = format!("SELECT buyer, seq, {} FROM buyer_tiers", ExpectedRow::list(&COLUMNS));
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (buyer, seq): (String, i64) = (row.get(0)?, row.get(1)?);
            let Some(told) = missing.remove(&hex::encode(&key.buyer(&buyer).0)) else {
                report.problem(format!("the tier of event {seq} has a row of a buyer that no event gave one"));
                continue;
            };
            found = found.saturating_add(1);
            told.compare(row, 2, format_args!("the tier of event {seq}"), report)?;
        }
        if let Some(seq) = missing.values().filter_map(|told| told.number("seq")).min() {
            let told = self.0.len();
            let none = format_args!("that of event {seq} has none");
            report.problem(format!("{told} tiers of buyers are in the audit, {found} have a row: {none}"));
        }
        Ok(())
    }
}
