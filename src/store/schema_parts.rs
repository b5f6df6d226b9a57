//! The tables, indexes and columns that a file must have. SQLite keeps no record of what was dropped: without this list, the
//! first command that needs it would be the first to notice.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::StoreError;
use crate::sqlite;

/// Statements that make an empty file.
pub(super) const SCHEMA: &str = include_str!("../../schema.sql");

/// Returns a sentence about each table, index and column of the schema that a file does not have.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn missing(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let model = sqlite::open_in_memory()?;
    model.execute_batch(SCHEMA)?;
    let (needed, found) = (parts(&model)?, parts(connection)?);
    let lacks = |part: &&String| !is_of_missing_table(part, &found);
    Ok(needed.difference(&found).filter(lacks).map(|part| format!("the {part} is missing")).collect())
}

/// Refuses a file that lacks a part of the schema.
///
/// # Errors
/// [`StoreError::Inconsistent`] with the names of what is missing.
pub(super) fn require_all(connection: &Connection) -> Result<(), StoreError> {
    let missing = missing(connection)?;
    if missing.is_empty() { Ok(()) } else { Err(StoreError::Inconsistent(missing.join("; "))) }
}

/// Returns true for the columns of a table that is missing, which is said once.
fn is_of_missing_table(part: &str, found: &BTreeSet<String>) -> bool {
    let column = part.strip_prefix("column ").and_then(|name| name.split_once('.'));
    column.is_some_and(|(table, _)| !found.contains(&format!("table {table}")))
}

/// Returns the names of all tables, of their columns, and of all indexes.
fn parts(connection: &Connection) -> Result<BTreeSet<String>, StoreError> {
    let mut parts = BTreeSet::new();
    let mut named = connection.prepare(
        "SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'index') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )?;
    let named = named.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (kind, name) in named.collect::<Result<Vec<(String, String)>, _>>()? {
        if kind == "table" {
            let mut columns = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
            for column in columns.query_map([&name], |row| row.get::<_, String>(0))? {
                parts.insert(format!("column {name}.{}", column?));
            }
        }
        parts.insert(format!("{kind} {name}"));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_index_and_column_of_the_schema_is_missed_by_its_name_and_what_is_added_is_not() {
        let file = || {
            let file = Connection::open_in_memory().expect("opened");
            file.execute_batch(SCHEMA).expect("made");
            file
        };
        let whole = file();
        whole.execute_batch("CREATE TABLE more (a); CREATE INDEX more_a ON more (a)").expect("made");
        assert_eq!(missing(&whole).expect("read"), Vec::<String>::new());
        let all = parts(&file()).expect("read");
        assert!(all.contains("table contacts") && all.contains("index payments_not_kept"), "{all:?}");
        assert!(all.contains("column drops.held"), "{all:?}");
        for part in &all {
            let changed = file();
            let statement = match part.split_once(' ').expect("a kind and a name") {
                ("column", name) => {
                    let (table, column) = name.split_once('.').expect("of a table");
                    format!("ALTER TABLE {table} RENAME COLUMN {column} TO other")
                }
                (kind, name) => format!("PRAGMA foreign_keys = OFF; DROP {kind} {name}"),
            };
            changed.execute_batch(&statement).expect("changed");
            let said = missing(&changed).expect("read");
            assert!(said.contains(&format!("the {part} is missing")), "{part}: {said:?}");
            assert!(!said.iter().any(|line| line.contains("column")) || part.starts_with("column"), "{part}: {said:?}");
        }
    }
}
