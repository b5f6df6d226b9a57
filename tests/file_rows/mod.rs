//! The rows of a file's tables as text, to compare the files of nodes.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

use rusqlite::Connection;

/// Returns the rows of every table but these, each with its table's name, in order.
pub fn rows_of_tables_but(connection: &Connection, left_out: &[&str]) -> Vec<String> {
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let mut statement = connection.prepare(names).expect("prepared");
    let tables: Vec<String> =
        statement.query_map([], |row| row.get(0)).expect("read").collect::<Result<_, _>>().expect("names");
    let mut all = Vec::new();
    for table in tables.iter().filter(|table| !left_out.contains(&table.as_str())) {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).expect("prepared");
        let columns = statement.column_count();
        let mut rows = statement.query([]).expect("read");
        while let Some(row) = rows.next().expect("a row") {
            let values: Vec<_> =
                (0..columns).map(|column| format!("{:?}", row.get_ref(column).expect("a value"))).collect();
            all.push(format!("{table}: {}", values.join(", ")));
        }
    }
    all.sort();
    all
}
