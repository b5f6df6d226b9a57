//! Words of problems: the values that differ, and the first row that is missing.

use std::iter::Peekable;

use rusqlite::types::Value;

use crate::types::Seq;

/// Returns the value of a column as a reader of problems sees it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "empty".into(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => format!("\"{text}\""),
        Value::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}

/// Returns the number of an event as its column has it.
pub(super) fn seq_value(seq: Option<Seq>) -> Value {
    seq.map_or(Value::Null, |seq| Value::Integer(i64::try_from(seq.get()).unwrap_or(i64::MAX)))
}

/// Names the fields whose value in the row, the first one, is not that of the audit; empty if all are the same.
pub(super) fn differences<const N: usize>(fields: [(&str, Value, Value); N]) -> String {
    let differing = fields.iter().filter(|(_, found, told)| found != told);
    let said =
        differing.map(|(name, found, told)| format!("{name} is {}, the audit gives {}", shown(found), shown(told)));
    said.collect::<Vec<_>>().join("; ")
}

/// Finds the first row that is missing: the keys that the audit gives are walked beside those of the rows, both ascending.
pub(super) struct MissingRow<I: Iterator> {
    told: Peekable<I>,
    first: Option<I::Item>,
}

impl<I: Iterator<Item: Ord>> MissingRow<I> {
    pub(super) fn of(told: I) -> MissingRow<I> {
        MissingRow { told: told.peekable(), first: None }
    }

    /// Notes the key of the next row.
    pub(super) fn found(&mut self, key: &I::Item) {
        while let Some(passed) = self.told.next_if(|told| told < key) {
            self.first.get_or_insert(passed);
        }
        self.told.next_if_eq(key);
    }

    /// Returns the lowest key without a row, after all rows.
    pub(super) fn first(mut self) -> Option<I::Item> {
        self.first.or_else(|| self.told.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(told: &[u32], found: &[u32]) -> Option<u32> {
        let mut missing = MissingRow::of(told.iter().copied());
        found.iter().for_each(|key| missing.found(key));
        missing.first()
    }

    #[test]
    fn the_first_missing_row_is_found_at_each_end_and_beside_rows_that_nothing_created() {
        assert_eq!(missing(&[], &[]), None);
        assert_eq!(missing(&[1, 2, 3], &[1, 2, 3]), None);
        assert_eq!(missing(&[1, 2, 3], &[]), Some(1));
        assert_eq!(missing(&[1, 2, 3], &[2, 3]), Some(1));
        assert_eq!(missing(&[1, 2, 3, 4], &[1, 3]), Some(2));
        assert_eq!(missing(&[1, 2, 3], &[1, 2]), Some(3));
        assert_eq!(missing(&[2, 4], &[1, 2, 3, 5]), Some(4));
        assert_eq!(missing(&[2, 4], &[1, 2, 3, 4, 5]), None);
    }

    #[test]
    fn differences_name_only_what_differs_and_no_type() {
        let same = ("units", Value::Integer(2), Value::Integer(2));
        let order = ("order", seq_value(None), seq_value(Seq::new(85)));
        let state = ("state", Value::Text("paid".into()), Value::Null);
        let told = "order is empty, the audit gives 85; state is \"paid\", the audit gives empty";
        assert_eq!(differences([same.clone(), order, state]), told);
        assert_eq!(differences([same]), "");
    }
}
