//! Migration from an older schema: a copy is changed, verified, and swapped in.
//!
//! Schema 1 had no `file_id` in `meta`, and its chain sealed events without the rows of new orders. Its programs wrote no
//! watermark.
//! Schema 2 had one manual payment per order, in the order's row, and neither inbox nor sessions.
//! Schema 3 had neither challenges nor caps on identities nor tiers: its drops are without them from then on.
//! Schema 4 had no contacts of bidders.
//! Schema 5 had neither waiting rooms nor lines of buyers who stand by.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::advice;
use super::beside;
use super::chain::{Chain, ChainLink};
use super::fault_marker::FaultMarker;
use super::lock::DirectoryLock;
use super::open::{DATABASE_FILE, FileIdentity, SCHEMA_VERSION, check_identity};
use super::ownership::is_there;
use super::rebuild::{complete_interrupted, is_marked_interrupted, rebuild};
use super::recover::{AcceptedRisks, Compared};
use super::schema_parts::SCHEMA;
use super::verify::{self, Sealed, SealedRow, VerifyReport, Visited};
use super::watermark::{Watermark, WatermarkState};
use super::{StoreError, recover};
use crate::sqlite::{self, Access};
use crate::types::{Seq, UnixMillis, random};

/// Result of a migration.
#[derive(Debug)]
pub struct Migrated {
    /// Schema that the file had. `None` if it is current.
    pub from: Option<i64>,
    pub report: Option<VerifyReport>,
    /// Number of lost events.
    pub lost: u64,
    /// Directory with the old files.
    pub kept: Option<PathBuf>,
}

/// Migrates the file of `directory` to this program's schema.
///
/// # Errors
/// If the file belongs to another program, is newer, unreadable or inconsistent, or events are missing and exactly that
/// loss was not accepted. Nothing is changed in these cases.
pub fn migrate(directory: &Path, now: UnixMillis, accepted: AcceptedRisks) -> Result<Migrated, StoreError> {
    let path = directory.join(DATABASE_FILE);
    migrate_directory(directory, now, accepted).map_err(|error| recover::explain(&path, error))
}

fn migrate_directory(directory: &Path, now: UnixMillis, accepted: AcceptedRisks) -> Result<Migrated, StoreError> {
    let path = directory.join(DATABASE_FILE);
    if !is_there(&path)? && !directory.is_dir() {
        return Err(StoreError::Missing { path });
    }
    let _lock = DirectoryLock::take(directory)?;
    beside::check(directory)?;
    // In the middle of a swap the database is in neither place.
    let completed = complete_interrupted(directory, now)?;
    if !is_there(&path)? {
        return Err(StoreError::Missing { path });
    }
    let connection = sqlite::open(&path, Access::Read)?;
    let identity = check_identity(&connection, &path).map_err(|error| advice::named(&path, Some(&connection), error));
    let from = match identity {
        Ok(FileIdentity::Empty) => return Err(StoreError::Empty { path }),
        Ok(_) if completed.is_none() => {
            drop(connection);
            return check_current(directory, now, accepted);
        }
        Ok(_) => return Ok(Migrated { from: None, report: None, lost: 0, kept: completed }),
        Err(StoreError::OlderSchema { found, .. }) => found,
        Err(other) => return Err(other),
    };
    drop(connection);
    let rebuilt = rebuild(directory, now, |copy| {
        let database = copy.join(DATABASE_FILE);
        let Compared { missing, epoch } = if from < 2 {
            compare_first_schema(directory, accepted)?
        } else {
            recover::compare_copy(directory, &database, accepted)?
        };
        change(&database, from)?;
        Ok((recover::finish(copy, now, missing, epoch)?.report, missing))
    })?;
    let (report, lost) = rebuilt.made.map_or((None, 0), |(report, lost)| (Some(report), lost));
    Ok(Migrated { from: Some(from), report, lost, kept: Some(rebuilt.kept) })
}

/// Looks whether anything is left to do for a file that has this program's schema. If an interrupted run has left its mark
/// and an operator has put another file in the place of the old one, that file is verified and copied as by `recover`.
///
/// # Errors
/// If the mark is that of a fault.
fn check_current(directory: &Path, now: UnixMillis, accepted: AcceptedRisks) -> Result<Migrated, StoreError> {
    if is_marked_interrupted(directory)? {
        let recovered = recover::recover_locked(directory, now, accepted)?;
        let kept = Some(recovered.kept);
        return Ok(Migrated { from: None, report: recovered.report, lost: recovered.lost, kept });
    }
    match FaultMarker::read(directory)? {
        Some(what) => Err(StoreError::Marked { directory: directory.to_path_buf(), what }),
        None => Ok(Migrated { from: None, report: None, lost: 0, kept: None }),
    }
}

/// Compares a file of schema 1 with the watermark, which can only be of another file.
fn compare_first_schema(directory: &Path, accepted: AcceptedRisks) -> Result<Compared, StoreError> {
    let path = directory.join(DATABASE_FILE);
    match Watermark::read(directory)? {
        WatermarkState::Absent => Ok(Compared { missing: 0, epoch: None }),
        _ if accepted.without_watermark => recover::compare_copy(directory, &path, accepted),
        WatermarkState::Present(_) | WatermarkState::Unreadable => {
            Err(StoreError::Strange { path, what: "the watermark belongs to another file".into() })
        }
    }
}

/// Changes a copy, step by step, in one transaction.
pub(super) fn change(copy: &Path, from: i64) -> Result<(), StoreError> {
    let connection = sqlite::open(copy, Access::Write)?;
    // A table takes the place of another of its name, to which a third refers.
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    if from < 2 {
        add_file_id(&connection)?;
    }
    if from < 3 {
        add_payments(&connection)?;
    }
    if from < 4 {
        add_door(&connection)?;
    }
    if from < 5 {
        connection.execute_batch(statement("CREATE TABLE bidder_contacts (")?)?;
    }
    if from < 6 {
        if from >= 4 {
            connection.execute_batch(
                "ALTER TABLE drops ADD COLUMN standby INTEGER NOT NULL DEFAULT 0 CHECK (standby >= 0);
                 ALTER TABLE drops ADD COLUMN blind_ms INTEGER NOT NULL DEFAULT 0
                     CHECK (blind_ms BETWEEN 0 AND 5000);",
            )?;
        }
        connection.execute_batch("ALTER TABLE drop_seconds ADD COLUMN not_admitted INTEGER NOT NULL DEFAULT 0;")?;
        for beginning in [
            "CREATE TABLE rooms (",
            "CREATE TABLE tickets (",
            "CREATE TABLE admissions (",
            "CREATE TABLE draws (",
            "CREATE INDEX draws_running",
            "CREATE TABLE standby (",
            "CREATE UNIQUE INDEX standby_numbers",
            "CREATE TABLE standby_contacts (",
        ] {
            connection.execute_batch(statement(beginning)?)?;
        }
    }
    let sealed = if from < 2 { Sealed::Events } else { Sealed::EventsAndOrders };
    let report = verify::verify_sealed(&connection, sealed)?;
    if let Some(problem) = report.problems.first() {
        return Err(StoreError::Inconsistent(format!("{problem} ({} problems in all)", report.problem_count)));
    }
    if from < 2 {
        seal_orders(&connection)?;
    }
    connection.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}

/// Returns the statement of `schema.sql` with this beginning.
fn statement(beginning: &str) -> Result<&'static str, StoreError> {
    let found = SCHEMA.find(beginning).map(|at| &SCHEMA[at..]);
    // A statement ends where a line does: a comment may have a semicolon.
    let whole = found.and_then(|rest| rest.find(";\n").map(|end| &rest[..=end]));
    whole.ok_or_else(|| StoreError::Inconsistent(format!("schema.sql has no statement {beginning}")))
}

/// Moves payments from the rows of orders into rows of their own, and creates the missing tables.
fn add_payments(connection: &Connection) -> Result<(), StoreError> {
    let orders = statement("CREATE TABLE orders (")?.replacen("TABLE orders", "TABLE orders_3", 1);
    connection.execute_batch(&orders)?;
    for beginning in [
        "CREATE TABLE payments (",
        "CREATE INDEX payments_due ",
        "CREATE INDEX payments_not_kept ",
        "CREATE INDEX payments_of_stripe ",
        "CREATE TABLE auctions (",
        "CREATE TABLE bids (",
        "CREATE TABLE inbox (",
        "CREATE TABLE sessions (",
        "CREATE TABLE endpoints (",
        "CREATE TABLE deliveries (",
    ] {
        connection.execute_batch(statement(beginning)?)?;
    }
    connection.execute_batch(
        "INSERT INTO orders_3 (seq, secret, drop_id, buyer, key_digest, quantity, returned, unit_price, state,
             reserved_at_ms, expires_at_ms, last_seq, idle_at_ms, paid_at_ms, ended_at_ms, received, refunded)
         SELECT seq, secret, drop_id, buyer, key_digest, quantity, returned, unit_price, state, reserved_at_ms,
             expires_at_ms, last_seq, coalesce(paid_at_ms, ended_at_ms), paid_at_ms, ended_at_ms, received, refunded
         FROM orders;
         INSERT INTO payments (order_seq, seq, provider, reference, received, pays, refunded, refund_due)
         SELECT orders.seq, audit.seq, 'manual', orders.payment_reference, orders.received, 1, orders.refunded, 0
         FROM audit JOIN orders ON orders.seq = audit.order_seq WHERE audit.kind = 'order_paid';
         DROP TABLE orders;
         ALTER TABLE orders_3 RENAME TO orders;",
    )?;
    Ok(())
}

/// Gives drops the columns of challenges and caps, and creates the tables of identities and tiers.
fn add_door(connection: &Connection) -> Result<(), StoreError> {
    let drops = statement("CREATE TABLE drops (")?.replacen("TABLE drops", "TABLE drops_4", 1);
    connection.execute_batch(&drops)?;
    for beginning in ["CREATE TABLE order_identities (", "CREATE TABLE buyer_tiers ("] {
        connection.execute_batch(statement(beginning)?)?;
    }
    connection.execute_batch(
        "INSERT INTO drops_4 (id, sku, name, description, image_url, currency, unit_price, total, held, sold,
             starts_at_ms, ends_at_ms, per_buyer_limit, reservation_seconds, payment_seconds, revision, started, paused,
             ended, mismatch, last_seq, version, challenge, challenge_below)
         SELECT id, sku, name, description, image_url, currency, unit_price, total, held, sold, starts_at_ms, ends_at_ms,
             per_buyer_limit, reservation_seconds, payment_seconds, revision, started, paused, ended, mismatch, last_seq,
             version, 'none', 'verified'
         FROM drops;
         DROP TABLE drops;
         ALTER TABLE drops_4 RENAME TO drops;",
    )?;
    Ok(())
}

/// Creates `meta` again as in `schema.sql`, because a NOT NULL column cannot be added to a table with rows.
fn add_file_id(connection: &Connection) -> Result<(), StoreError> {
    let mut file_id = [0u8; 16];
    random::fill(&mut file_id);
    connection.execute_batch(
        "ALTER TABLE meta RENAME TO meta_1;
         CREATE TABLE meta (
             id            INTEGER PRIMARY KEY CHECK (id = 1),
             epoch         INTEGER NOT NULL CHECK (epoch >= 1),
             digest_key    BLOB    NOT NULL CHECK (length(digest_key) = 32),
             file_id       BLOB    NOT NULL CHECK (length(file_id) = 16),
             created_at_ms INTEGER NOT NULL,
             synced_at_ms  INTEGER NOT NULL
         ) STRICT;",
    )?;
    connection.execute(
        "INSERT INTO meta (id, epoch, digest_key, file_id, created_at_ms, synced_at_ms)
         SELECT id, epoch, digest_key, ?1, created_at_ms, synced_at_ms FROM meta_1",
        params![&file_id[..]],
    )?;
    connection.execute_batch("DROP TABLE meta_1")?;
    Ok(())
}

/// Computes the links again, including the rows of new orders.
fn seal_orders(connection: &Connection) -> Result<(), StoreError> {
    let mut chain = Chain::after(ChainLink::START);
    let mut links: Vec<(Seq, ChainLink)> = Vec::new();
    let ends: Vec<Seq> = {
        let mut statement = connection.prepare("SELECT seq FROM chain ORDER BY seq")?;
        statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?
    };
    let mut ends = ends.into_iter().peekable();
    verify::walk_sealed(connection, |visited| {
        let Visited::Event(row, sealed, _) = visited else { return Ok(()) };
        chain.add(row);
        if let SealedRow::Order(order) = &sealed {
            chain.add_order(order);
        }
        if ends.next_if_eq(&row.seq).is_some() {
            links.push((row.seq, chain.close()));
        }
        Ok(())
    })?;
    let mut update = connection.prepare("UPDATE chain SET hash = ?2 WHERE seq = ?1")?;
    for (seq, link) in links {
        update.execute(params![seq, &link.0[..]])?;
    }
    Ok(())
}
