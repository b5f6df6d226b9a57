//! Rows of the outbox, compared with their events: what an endpoint gets, where, and which deliveries wait.

use std::collections::BTreeMap;

use rusqlite::Connection;
use rusqlite::types::{Value, ValueRef};
use serde_json::Value as Json;

use super::expected_row::{ExpectedRow, detail_of};
use super::report::VerifyReport;
use super::words::{MissingRow, differences};
use crate::engine::endpoints::OLD_SECRET_MS;
use crate::store::audit::AuditRow;
use crate::store::seals::{self, SECRET_CHECK, URL_CHECK};
use crate::types::{AttemptError, DigestKey, EventFilter, Seq};

const COLUMNS: [&str; 7] =
    ["state", "events", "configured", "position", "revision", "created_at_ms", "old_secret_until_ms"];

/// An endpoint by its audit rows.
struct AuditedEndpoint {
    row: ExpectedRow,
    /// Check values of its URL, its secret and its old secret, where its events have them.
    url: Option<String>,
    secret: Option<String>,
    old_secret: Option<String>,
}

/// A delivery that failed, by its last mark.
#[derive(PartialEq, Eq)]
struct AuditedDelivery {
    attempts: i64,
    /// The next attempt; `None` if it was given up.
    next_at: Option<i64>,
    trouble: String,
}

type Deliveries = BTreeMap<(u64, u64), AuditedDelivery>;

/// Endpoints and their failed deliveries by the audit.
#[derive(Default)]
pub(super) struct AuditedEndpoints {
    endpoints: BTreeMap<u64, AuditedEndpoint>,
    deliveries: Deliveries,
}

impl AuditedEndpoints {
    /// Adds a row that belongs to no drop.
    pub(super) fn add(&mut self, row: &AuditRow) {
        if !row.kind.starts_with("endpoint_") && !row.kind.starts_with("deliveries_") {
            return;
        }
        let detail = detail_of(row);
        let number = |name: &str| detail[name].as_u64().unwrap_or(0);
        let id = number("endpoint");
        match &*row.kind {
            "endpoint_created" => drop(self.endpoints.insert(row.seq.get(), AuditedEndpoint::created(row, &detail))),
            "endpoint_patched" => {
                if let Some(known) = self.endpoints.get_mut(&id) {
                    known.patch(row, &detail);
                }
            }
            "endpoint_deleted" => {
                self.endpoints.remove(&id);
                self.deliveries.retain(|(of, _), _| *of != id);
            }
            "deliveries_marked" => {
                self.come_to(id, number("position"));
                for mark in detail["marks"].as_array().into_iter().flatten() {
                    self.mark(id, mark);
                }
            }
            "deliveries_resent" => self.resend(id, number("from_seq"), detail["dead_only"] == true, row),
            _ => {}
        }
    }

    fn come_to(&mut self, id: u64, position: u64) {
        if let Some(known) = self.endpoints.get_mut(&id) {
            known.row.set("position", i64::try_from(position).unwrap_or(i64::MAX));
        }
    }

    fn mark(&mut self, id: u64, mark: &Json) {
        let place = (id, mark["seq"].as_u64().unwrap_or(0));
        if mark["fate"] == "delivered" {
            self.deliveries.remove(&place);
            return;
        }
        let delivery = AuditedDelivery {
            attempts: mark["attempts"].as_i64().unwrap_or(0),
            next_at: mark["next_at_ms"].as_i64(),
            trouble: mark["trouble"].as_str().unwrap_or_default().to_string(),
        };
        self.deliveries.insert(place, delivery);
    }

    fn resend(&mut self, id: u64, from_seq: u64, dead_only: bool, row: &AuditRow) {
        let again = (id, from_seq)..=(id, u64::MAX);
        if dead_only {
            for (_, delivery) in self.deliveries.range_mut(again).filter(|(_, delivery)| delivery.next_at.is_none()) {
                (delivery.attempts, delivery.next_at) = (0, Some(row.at.get()));
            }
        } else {
            self.deliveries.retain(|place, _| !again.contains(place));
            self.come_to(id, from_seq.saturating_sub(1));
        }
        if let Some(known) = self.endpoints.get_mut(&id) {
            known.row.count("revision");
        }
    }

    /// Compares the rows of the outbox with the audit.
    pub(super) fn compare(
        &self,
        connection: &Connection,
        key: &DigestKey,
        report: &mut VerifyReport,
    ) -> rusqlite::Result<()> {
        let mut found = 0usize;
        let sql =
            format!("SELECT id, url, secret, old_secret, {} FROM endpoints ORDER BY id", ExpectedRow::list(&COLUMNS));
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut missing = MissingRow::of(self.endpoints.keys().copied());
        while let Some(row) = rows.next()? {
            let id = row.get::<_, Seq>(0)?.get();
            missing.found(&id);
            let Some(told) = self.endpoints.get(&id) else {
                report.problem(format!("endpoint {id} has a row, but no event created it"));
                continue;
            };
            found = found.saturating_add(1);
            told.row.compare(row, 4, format_args!("endpoint {id}"), report)?;
            let has_old_secret = row.get_ref(3)? != ValueRef::Null;
            if has_old_secret != told.row.number("old_secret_until_ms").is_some() {
                report.problem(format!("endpoint {id}: its old secret and the audit differ"));
            }
            let checks = [("URL", &told.url), ("secret", &told.secret), ("old secret", &told.old_secret)];
            for (column, (what, check)) in (1..).zip(checks) {
                let value = row.get_ref(column)?.as_str_or_null()?.unwrap_or_default();
                if check.as_ref().is_some_and(|check| *check != seals::of_endpoint(key, value)) {
                    report.problem(format!("endpoint {id}: its {what} is not the one of its event"));
                }
            }
        }
        if let Some(id) = missing.first() {
            let told = self.endpoints.len();
            report.problem(format!("{told} endpoints are in the audit, {found} have a row: endpoint {id} has none"));
        }
        self.compare_deliveries(connection, report)
    }

    fn compare_deliveries(&self, connection: &Connection, report: &mut VerifyReport) -> rusqlite::Result<()> {
        // The oldest dead letters may be deleted, because their number is bounded; those that wait may not.
        let waiting = self.deliveries.iter().filter(|(_, told)| told.next_at.is_some());
        let mut missing = MissingRow::of(waiting.map(|(place, _)| *place));
        let mut statement = connection.prepare(
            "SELECT endpoint_id, seq, attempts, next_at_ms, trouble FROM deliveries ORDER BY endpoint_id, seq",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let place = (row.get::<_, Seq>(0)?.get(), row.get::<_, Seq>(1)?.get());
            let trouble: AttemptError = row.get(4)?;
            let found = AuditedDelivery { attempts: row.get(2)?, next_at: row.get(3)?, trouble: trouble.to_string() };
            missing.found(&place);
            let (endpoint, seq) = place;
            let Some(told) = self.deliveries.get(&place) else {
                report.problem(format!(
                    "the delivery of event {seq} to endpoint {endpoint} has a row, but no mark of the audit"
                ));
                continue;
            };
            let differing = differences([
                ("attempts", found.attempts.into(), told.attempts.into()),
                ("next_at_ms", found.next_at.into(), told.next_at.into()),
                ("trouble", found.trouble.into(), told.trouble.clone().into()),
            ]);
            if !differing.is_empty() {
                report.problem(format!("the delivery of event {seq} to endpoint {endpoint}: {differing}"));
            }
        }
        if let Some((endpoint, seq)) = missing.first() {
            report.problem(format!("the delivery of event {seq} to endpoint {endpoint} waits, but has no row"));
        }
        Ok(())
    }
}

impl AuditedEndpoint {
    fn created(row: &AuditRow, detail: &Json) -> AuditedEndpoint {
        let mut expected = ExpectedRow::new(&COLUMNS);
        expected.set("state", "enabled".to_string());
        expected.set("position", i64::try_from(row.seq.get()).unwrap_or(i64::MAX));
        expected.set("revision", 1);
        expected.set("created_at_ms", row.at.get());
        expected.set("old_secret_until_ms", Value::Null);
        expected.set_from("configured", detail, "configured");
        set_events(&mut expected, detail);
        AuditedEndpoint {
            row: expected,
            url: text(detail, URL_CHECK),
            secret: text(detail, SECRET_CHECK),
            old_secret: None,
        }
    }

    fn patch(&mut self, row: &AuditRow, detail: &Json) {
        self.row.set_from("state", detail, "state");
        set_events(&mut self.row, detail);
        if detail["new_url"] == true {
            self.url = text(detail, URL_CHECK);
        }
        if detail["new_secret"] == true {
            self.old_secret = std::mem::replace(&mut self.secret, text(detail, SECRET_CHECK));
            self.row.set("old_secret_until_ms", row.at.plus_millis(OLD_SECRET_MS).get());
        }
        self.row.count("revision");
    }
}

fn text(detail: &Json, member: &str) -> Option<String> {
    detail[member].as_str().map(str::to_string)
}

fn set_events(expected: &mut ExpectedRow, detail: &Json) {
    let names = detail["events"].as_array().map(|names| names.iter().filter_map(Json::as_str));
    if let Some(Ok(filter)) = names.map(EventFilter::of_names) {
        expected.set("events", filter.get().cast_signed());
    }
}
