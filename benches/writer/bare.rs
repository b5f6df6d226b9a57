//! The limit: SQLite appending the very rows that the writer wrote, batch for batch, and nothing else: no engine, no
//! queue, no digests, no answers.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use firstcome::store::settings::set_synchronous;
use firstcome::store::{Durability, Store};
use firstcome::types::SnapshotGate;
use firstcome::writer::checkpoint::Checkpointer;
use firstcome::writer::clock::wall_clock;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, Statement};

use super::Turn;
use super::measure::own_cpu_time;
use super::ours::CHECKPOINT;

type Row = Vec<Value>;

/// What the writer committed at once; of each row what is not NULL, so that nothing is bound in vain.
pub(crate) struct Batch {
    orders: Vec<Row>,
    audit: Vec<Row>,
    link: Row,
}

/// A file of its own, with the same tables and settings.
pub(crate) struct Bare {
    store: Store,
    checkpointer: Checkpointer,
    durability: Durability,
    /// Whether the connection waits for the disk at a commit.
    full: bool,
    copied_seq: i64,
}

impl Bare {
    /// A new file that holds what the writer's does.
    pub(crate) fn start(directory: &Path, writers: &Path, durability: Durability) -> Bare {
        let mut store = Store::open(directory, wall_clock()).expect("opened");
        let gate = Arc::new(SnapshotGate::default());
        let checkpointer = Checkpointer::new(&mut store.connection, gate, CHECKPOINT).expect("hooked");
        let from = read_only(writers);
        for table in ["drops", "audit", "chain"] {
            let rows = rows(&from, &format!("SELECT * FROM {table} ORDER BY 1"), 0, i64::MAX);
            let mut insert = insert(&store.connection, table, &columns(&from, table));
            rows.iter().for_each(|row| append(&mut insert, row));
        }
        let copied_seq = last_seq(&store.connection);
        Bare { store, checkpointer, durability, full: true, copied_seq }
    }

    /// What the writer has committed since the last time, batch by batch: the chain has a link for each.
    pub(crate) fn read_batches(&mut self, writers: &Path) -> Vec<Batch> {
        let from = read_only(writers);
        let [orders, audit] = ["orders", "audit"].map(|table| {
            let columns = filled_columns(&from, table).join(", ");
            format!("SELECT {columns} FROM {table} WHERE seq > ?1 AND seq <= ?2 ORDER BY 1")
        });
        let links =
            rows(&from, "SELECT * FROM chain WHERE seq > ?1 AND seq <= ?2 ORDER BY 1", self.copied_seq, i64::MAX);
        let mut batches = Vec::with_capacity(links.len());
        for link in links {
            let Some(Value::Integer(to)) = link.first().cloned() else { panic!("a link has its seq first") };
            let of = |sql: &str| rows(&from, sql, self.copied_seq, to);
            batches.push(Batch { orders: of(&orders), audit: of(&audit), link });
            self.copied_seq = to;
        }
        batches
    }

    /// Appends the batches.
    pub(crate) fn turn(&mut self, batches: &[Batch], writers: &Path) -> Turn {
        let from = read_only(writers);
        let connection = &self.store.connection;
        let prepare = |sql: &str| connection.prepare(sql).expect("prepared");
        let (mut begin, mut commit) = (prepare("BEGIN IMMEDIATE"), prepare("COMMIT"));
        let mut move_drop = prepare("UPDATE drops SET held = held + ?1, version = max(version, ?2) WHERE id = 1");
        let mut tables =
            ["orders", "audit", "chain"].map(|table| insert(connection, table, &filled_columns(&from, table)));
        let (mut orders, mut synced) = (0u32, Instant::now());
        let cpu = own_cpu_time();
        let started = Instant::now();
        for batch in batches {
            self.full = durability_of_next(connection, self.durability, self.full, synced);
            begin.execute([]).expect("begun");
            let [order, audit, link] = &mut tables;
            for (order_row, audit_row) in batch.orders.iter().zip(&batch.audit) {
                append(audit, audit_row);
                append(order, order_row);
            }
            let units = u32::try_from(batch.orders.len()).expect("few");
            move_drop.execute((units, &batch.link[0])).expect("moved");
            append(link, &batch.link);
            commit.execute([]).expect("committed");
            if self.full {
                synced = Instant::now();
            }
            if let Some(due) = self.checkpointer.due() {
                self.checkpointer.run(due, connection).expect("a checkpoint");
            }
            orders += units;
        }
        let took = started.elapsed();
        Turn { orders, took, cpu: own_cpu_time().saturating_sub(cpu) }
    }

    /// Both files hold the same, byte for byte.
    pub(crate) fn compare(&self, writers: &Path) {
        let theirs = read_only(writers);
        for table in ["drops", "orders", "audit", "chain"] {
            let all = |connection| rows(connection, &format!("SELECT * FROM {table} ORDER BY 1"), 0, i64::MAX);
            assert!(all(&self.store.connection) == all(&theirs), "{table} differs");
        }
    }
}

/// With `interval` a commit waits for the disk when the last one that did is long enough ago.
fn durability_of_next(connection: &Connection, durability: Durability, full: bool, synced: Instant) -> bool {
    let wanted = match durability {
        Durability::Full => true,
        Durability::Interval(interval) => synced.elapsed() >= interval,
    };
    if wanted != full {
        set_synchronous(connection, wanted).expect("set");
    }
    wanted
}

fn read_only(database: &Path) -> Connection {
    Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opened")
}

fn last_seq(connection: &Connection) -> i64 {
    connection.query_row("SELECT max(seq) FROM audit", [], |row| row.get(0)).expect("asked")
}

/// Whole rows; where the statement has parameters, those after the first seq up to the second.
fn rows(connection: &Connection, sql: &str, after: i64, to: i64) -> Vec<Row> {
    let mut statement = connection.prepare(sql).expect("prepared");
    let columns = statement.column_count();
    let parameters = [after, to];
    let parameters = rusqlite::params_from_iter(parameters.iter().take(statement.parameter_count()));
    let row = |row: &rusqlite::Row<'_>| (0..columns).map(|column| row.get(column)).collect();
    statement.query_map(parameters, row).expect("asked").collect::<Result<_, _>>().expect("read")
}

fn columns(connection: &Connection, table: &str) -> Vec<String> {
    let statement = connection.prepare(&format!("SELECT * FROM {table}")).expect("prepared");
    statement.column_names().map(str::to_owned).collect()
}

/// The columns of a table that are not NULL in its last row: an order, its event, a link.
fn filled_columns(connection: &Connection, table: &str) -> Vec<String> {
    let last = rows(connection, &format!("SELECT * FROM {table} ORDER BY 1 DESC LIMIT 1"), 0, 0);
    let names = columns(connection, table).into_iter().zip(last.into_iter().flatten());
    names.filter(|(_, value)| *value != Value::Null).map(|(name, _)| name).collect()
}

/// Appends rows of these columns to a table.
fn insert<'conn>(connection: &'conn Connection, table: &str, columns: &[String]) -> Statement<'conn> {
    let (marks, columns) = (vec!["?"; columns.len()].join(", "), columns.join(", "));
    connection.prepare(&format!("INSERT INTO {table} ({columns}) VALUES ({marks})")).expect("prepared")
}

fn append(insert: &mut Statement<'_>, row: &Row) {
    insert.execute(rusqlite::params_from_iter(row)).expect("appended");
}

/// How long the disk takes to make one page durable that was appended to a file.
pub(crate) fn fdatasync(file: &mut std::fs::File) -> Duration {
    use std::io::Write as _;
    file.write_all(&[7; 4096]).expect("written");
    let started = Instant::now();
    file.sync_data().expect("on the disk");
    started.elapsed()
}
