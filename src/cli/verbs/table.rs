//! Tables for people, made of the members of JSON documents.

use serde_json::Value;

use crate::client::http::printable;
use crate::output;
use crate::types::{Amount, Currency, money};

/// A column of a table: its title, the member of the document, and how a value is written.
pub struct TableColumn {
    title: &'static str,
    member: &'static str,
    form: CellForm,
}

/// The way in which a value is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CellForm {
    /// At the left, as it is.
    Text,
    /// At the right, as it is.
    Number,
    /// Minor units of the document's `currency`, written in major units.
    Money,
}

/// Returns a column whose title is its member.
#[must_use]
pub const fn text(member: &'static str) -> TableColumn {
    TableColumn { title: member, member, form: CellForm::Text }
}

/// Returns a column of numbers.
#[must_use]
pub const fn number(member: &'static str) -> TableColumn {
    TableColumn { title: member, member, form: CellForm::Number }
}

/// Returns a column of amounts.
#[must_use]
pub const fn amount(title: &'static str, member: &'static str) -> TableColumn {
    TableColumn { title, member, form: CellForm::Money }
}

impl TableColumn {
    fn cell(&self, item: &Value) -> String {
        let value = &item[self.member];
        let currency = item["currency"].as_str().and_then(Currency::new);
        match (self.form, value.as_u64().and_then(Amount::new), currency) {
            (CellForm::Money, Some(amount), Some(currency)) => money::shown(amount, currency),
            (CellForm::Money | CellForm::Number | CellForm::Text, _, _) => plain(value),
        }
    }

    fn is_right(&self) -> bool {
        self.form != CellForm::Text
    }
}

/// Writes a value in one line. Instants lose the milliseconds that are all 0.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => {
            let text = printable(text);
            text.strip_suffix(".000Z").map_or(text.clone(), |seconds| format!("{seconds}Z"))
        }
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(members) => {
            members.iter().map(|(name, value)| format!("{name} {}", plain(value))).collect::<Vec<_>>().join(", ")
        }
    }
}

/// Prints a header and a row for each item.
pub fn print_rows(columns: &[TableColumn], items: &[Value]) {
    for line in rows(columns, items) {
        output::line(line);
    }
}

/// Returns a header and a row for each item, with columns as wide as their widest cell.
fn rows(columns: &[TableColumn], items: &[Value]) -> Vec<String> {
    let header = columns.iter().map(|column| column.title.to_owned()).collect();
    let mut rows: Vec<Vec<String>> = vec![header];
    rows.extend(items.iter().map(|item| columns.iter().map(|column| column.cell(item)).collect()));
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns.len()).map(|at| width(at).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(columns).zip(&widths).map(|((cell, column), width)| {
            if column.is_right() { format!("{cell:>width$}") } else { format!("{cell:width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Prints a line for each member that the document has.
pub fn print_members(columns: &[TableColumn], item: &Value) {
    let width = columns.iter().map(|column| column.title.chars().count()).max().unwrap_or(0);
    for column in columns {
        let cell = column.cell(item);
        if !cell.is_empty() {
            output::line(format!("{:width$}  {cell}", column.title));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells_and_money_has_its_currency() {
        let columns = [number("id"), text("name"), amount("price", "unit_price"), text("starts_at")];
        let items = [
            json!({ "id": 7, "name": "shoe\u{1b}[2J", "unit_price": 4990, "currency": "EUR", "starts_at": "2026-12-01T10:00:00.000Z" }),
            json!({ "id": 100, "name": "x", "unit_price": 5, "currency": "JPY" }),
        ];
        assert_eq!(
            rows(&columns, &items),
            [
                " id  name          price  starts_at",
                "  7  shoe [2J  49.90 EUR  2026-12-01T10:00:00Z",
                "100  x             5 JPY",
            ]
        );
        assert_eq!(rows(&columns, &[]), ["id  name  price  starts_at"]);
        assert_eq!(plain(&json!({ "a": [1, true], "b": null })), "a 1, yes, b ");
    }
}
