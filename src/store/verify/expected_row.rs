//! A row as its events give it, column by column, for tables that change at human pace.

use std::fmt::Display;

use rusqlite::Row;
use rusqlite::types::Value;
use serde_json::Value as Json;

use super::report::VerifyReport;
use super::words::shown;
use crate::store::audit::AuditRow;

/// Returns the detail of an audit row; null where it has none.
pub(super) fn detail_of(row: &AuditRow) -> Json {
    row.detail.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Returns a value of a detail as its column has it.
fn in_column(value: &Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(yes) => Value::Integer(i64::from(*yes)),
        Json::Number(number) => number.as_i64().map_or(Value::Null, Value::Integer),
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(_) | Json::Object(_) => Value::Text(value.to_string()),
    }
}

/// The expected values of a row's columns.
pub(super) struct ExpectedRow {
    columns: &'static [&'static str],
    /// By place in `columns`; `None` where the events do not say.
    values: Vec<Option<Value>>,
}

impl ExpectedRow {
    /// Returns a row of which nothing is known yet.
    pub(super) fn new(columns: &'static [&'static str]) -> ExpectedRow {
        ExpectedRow { columns, values: vec![None; columns.len()] }
    }

    fn place(&mut self, column: &str) -> Option<&mut Option<Value>> {
        let at = self.columns.iter().position(|name| *name == column)?;
        self.values.get_mut(at)
    }

    pub(super) fn set(&mut self, column: &str, value: impl Into<Value>) {
        if let Some(place) = self.place(column) {
            *place = Some(value.into());
        }
    }

    /// Sets the column if nothing is known of it yet: details leave out what a drop does not use.
    pub(super) fn default_to(&mut self, column: &str, value: impl Into<Value>) {
        if let Some(place) = self.place(column) {
            place.get_or_insert_with(|| value.into());
        }
    }

    /// Sets the column to the member of the detail, if the detail has it.
    pub(super) fn set_from(&mut self, column: &str, detail: &Json, member: &str) {
        if let Some(value) = detail.get(member) {
            self.set(column, in_column(value));
        }
    }

    /// Sets every column of which the detail has a member with the same name.
    pub(super) fn set_all(&mut self, detail: &Json) {
        for column in self.columns {
            self.set_from(column, detail, column);
        }
    }

    /// Adds one to a column that counts.
    pub(super) fn count(&mut self, column: &str) {
        if let Some(known) = self.number(column) {
            self.set(column, known.saturating_add(1));
        }
    }

    /// Returns the number that is expected in a column, if it is known and is one.
    pub(super) fn number(&self, column: &str) -> Option<i64> {
        let at = self.columns.iter().position(|name| *name == column)?;
        if let Some(Some(Value::Integer(number))) = self.values.get(at) { Some(*number) } else { None }
    }

    /// Returns the columns as a list for a SELECT.
    pub(super) fn list(columns: &[&str]) -> String {
        columns.join(", ")
    }

    /// Compares a row whose columns begin at `first`.
    pub(super) fn compare(
        &self,
        row: &Row<'_>,
        first: usize,
        subject: impl Display,
        report: &mut VerifyReport,
    ) -> rusqlite::Result<()> {
        for (at, (column, expected)) in self.columns.iter().zip(&self.values).enumerate() {
            let Some(expected) = expected else { continue };
            let found: Value = row.get(first.saturating_add(at))?;
            if found != *expected {
                let (found, expected) = (shown(&found), shown(expected));
                report.problem(format!("{subject}: {column} is {found}, the audit gives {expected}"));
            }
        }
        Ok(())
    }
}
