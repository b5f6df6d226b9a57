//! Recount of endpoints from audit rows, compared with the rows of the outbox: no event is skipped silently.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use serde_json::Value;

use super::VerifyReport;
use crate::store::audit::AuditRow;
use crate::types::Seq;

/// Positions and pending deliveries of endpoints, by the audit.
#[derive(Default)]
pub(super) struct AuditedEndpoints {
    positions: BTreeMap<u64, u64>,
    waiting: BTreeSet<(u64, u64)>,
    dead: BTreeSet<(u64, u64)>,
}

impl AuditedEndpoints {
    /// Adds a row that belongs to no drop.
    pub(super) fn add(&mut self, row: &AuditRow) {
        if !matches!(&*row.kind, "endpoint_created" | "endpoint_deleted" | "deliveries_marked" | "deliveries_resent") {
            return;
        }
        let detail: Value = row.detail.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let number = |name: &str| detail[name].as_u64().unwrap_or(0);
        let endpoint = number("endpoint");
        match &*row.kind {
            "endpoint_created" => drop(self.positions.insert(row.seq.get(), row.seq.get())),
            "endpoint_deleted" => {
                self.positions.remove(&endpoint);
                self.waiting.retain(|(of, _)| *of != endpoint);
                self.dead.retain(|(of, _)| *of != endpoint);
            }
            "deliveries_marked" => {
                self.positions.insert(endpoint, number("position"));
                for mark in detail["marks"].as_array().into_iter().flatten() {
                    let place = (endpoint, mark["seq"].as_u64().unwrap_or(0));
                    self.waiting.remove(&place);
                    self.dead.remove(&place);
                    match mark["fate"].as_str() {
                        Some("waiting") => drop(self.waiting.insert(place)),
                        Some("dead") => drop(self.dead.insert(place)),
                        Some(_) | None => {}
                    }
                }
            }
            _ => self.resent(endpoint, number("from_seq"), detail["dead_only"] == true),
        }
    }

    fn resent(&mut self, endpoint: u64, from_seq: u64, dead_only: bool) {
        let again = (endpoint, from_seq)..=(endpoint, u64::MAX);
        let revived: Vec<(u64, u64)> = self.dead.range(again.clone()).copied().collect();
        self.dead.retain(|place| !again.contains(place));
        if dead_only {
            self.waiting.extend(revived);
        } else {
            self.waiting.retain(|place| !again.contains(place));
            self.positions.insert(endpoint, from_seq.saturating_sub(1));
        }
    }

    /// Compares the rows of the outbox with the audit.
    pub(super) fn compare(&self, connection: &Connection, report: &mut VerifyReport) -> rusqlite::Result<()> {
        let mut statement = connection.prepare("SELECT id, position FROM endpoints ORDER BY id")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, Seq>(0)?.get(), row.get::<_, Seq>(1)?.get())))?;
        let rows: BTreeMap<u64, u64> = rows.collect::<rusqlite::Result<_>>()?;
        if rows != self.positions {
            report.problem(format!("endpoint positions are {rows:?}, the audit gives {:?}", self.positions));
        }
        let mut waiting = BTreeSet::new();
        let mut statement = connection.prepare("SELECT endpoint_id, seq, state FROM deliveries")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let place = (row.get::<_, Seq>(0)?.get(), row.get::<_, Seq>(1)?.get());
            let waits = row.get_ref(2)?.as_str()? == "waiting";
            if waits {
                waiting.insert(place);
            } else if !self.dead.contains(&place) {
                report.problem(format!("the delivery of event {} to endpoint {} was never given up", place.1, place.0));
            }
        }
        // The oldest dead letters may be deleted, because their number is bounded.
        for (endpoint, seq) in waiting.symmetric_difference(&self.waiting) {
            report.problem(format!("the delivery of event {seq} to endpoint {endpoint}: its row and the audit differ"));
        }
        Ok(())
    }
}
