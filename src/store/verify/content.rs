//! The content of a database: what SQLite says of its pages, and its rows against its events.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use rusqlite::Connection;

use super::recount::{AuditRecount, RecountedStock, Stocks};
use super::report::VerifyReport;
use super::sealed_rows::{SealedRow, Visited, walk_sealed};
use super::{caps, digest_key, money, shards};
use crate::sqlite;
use crate::store::chain::{Chain, ChainLink};
use crate::store::{StoreError, advice, early};
use crate::types::{DropId, Seq, UnixMillis};

/// Content of the links of a file's chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::store) enum Sealed {
    /// Events only (schema 1).
    Events,
    /// Events, and the rows of new orders.
    EventsAndOrders,
}

/// Verifies the pages of a database, and its rows.
pub(in crate::store) fn verify_sealed(connection: &Connection, sealed: Sealed) -> Result<VerifyReport, StoreError> {
    let pages = verify_pages(connection)?;
    Ok(verify_rows(connection, sealed)?.after(pages))
}

/// Verifies what SQLite knows of the pages of a database, of the constraints of its columns, and of each index beside its table.
pub(super) fn verify_pages(connection: &Connection) -> Result<VerifyReport, StoreError> {
    unless_unread(connection, check_pages(connection))
}

/// Verifies the rows of a database.
pub(super) fn verify_rows(connection: &Connection, sealed: Sealed) -> Result<VerifyReport, StoreError> {
    unless_unread(connection, compare_rows(connection, sealed))
}

fn unless_unread(
    connection: &Connection,
    report: Result<VerifyReport, StoreError>,
) -> Result<VerifyReport, StoreError> {
    if report.as_ref().is_ok_and(|report| report.problem_count == 0) {
        return report;
    }
    // What could not be read is no damage: the disk may read it the next time.
    match sqlite::read_error(connection) {
        Some(source) => Err(advice::read_fault(Path::new(connection.path().unwrap_or_default()), source)),
        None => report,
    }
}

fn check_pages(connection: &Connection) -> Result<VerifyReport, StoreError> {
    let mut report = VerifyReport::default();
    let mut statement = connection.prepare("PRAGMA integrity_check(20)")?;
    let lines: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for line in lines.into_iter().filter(|line| line != "ok") {
        report.problem(format!("SQLite: {line}"));
    }
    Ok(report)
}

fn compare_rows(connection: &Connection, sealed: Sealed) -> Result<VerifyReport, StoreError> {
    let mut report = VerifyReport::default();
    let key = digest_key(connection)?;
    let told = walk_audit(connection, sealed, &mut report)?;
    compare(connection, &told.orders.stocks, &told.stocks, &mut report)?;
    caps::check_rows(connection, &mut report)?;
    shards::compare(connection, &mut report)?;
    told.drops.compare(connection, &mut report)?;
    told.auctions.compare(connection, &mut report)?;
    told.awards.compare(connection, &mut report)?;
    told.lines.compare(connection, &mut report)?;
    told.money.compare(connection, &key, &mut report)?;
    money::check_inbox(connection, &key, &mut report)?;
    for seq in early::differing(connection)? {
        report.problem(format!("event {seq}: its row of payments and the audit differ"));
    }
    told.endpoints.compare(connection, &key, &mut report)?;
    told.tiers.compare(connection, &key, &mut report)?;
    told.rooms.compare(connection, &key, &mut report)?;
    told.draws.compare(connection, &mut report)?;
    Ok(report)
}

/// Walks all audit rows along the chain: checks their numbers, instants and links, and recounts every drop and order.
fn walk_audit(connection: &Connection, sealed: Sealed, report: &mut VerifyReport) -> Result<AuditRecount, StoreError> {
    let mut links = connection.prepare("SELECT seq, hash FROM chain ORDER BY seq")?;
    let mut links = links.query([])?;
    let mut next_link = || -> rusqlite::Result<Option<(Seq, ChainLink)>> {
        links.next()?.map(|row| Ok((row.get(0)?, ChainLink(row.get(1)?)))).transpose()
    };
    let mut link = next_link()?;
    let mut chain = Chain::after(ChainLink::START);
    let mut bids: Vec<Range<usize>> = Vec::new();
    let mut recount = AuditRecount::default();
    let mut previous_at = UnixMillis::ZERO;
    walk_sealed(connection, |visited| {
        let (row, own, order) = match visited {
            Visited::Event(row, own, order) => (row, own, order),
            Visited::StrayOrder(order) => {
                recount.orders.add_stray(&order, report);
                return Ok(());
            }
            Visited::StrayPayments(order) => {
                report.problem(format!("order {order} has payments, but no row"));
                return Ok(());
            }
        };
        if row.seq != report.last_seq.next() {
            report.problem(format!("the audit jumps from event {} to event {}", report.last_seq, row.seq));
        }
        if row.at < previous_at {
            report.problem(format!("event {} is earlier than the event before it", row.seq));
        }
        (report.last_seq, previous_at) = (row.seq, row.at);
        report.events = report.events.saturating_add(1);
        recount.add(row, &own, order, report);
        shards::check_order(row, &own, report);
        chain.add(row);
        match &own {
            SealedRow::Order(order) if sealed == Sealed::EventsAndOrders => chain.add_order(order),
            SealedRow::Standby(entry) => chain.add_order(entry),
            SealedRow::Bid(bid) => bids.push(chain.add_bid(&bid.seal)),
            SealedRow::Order(_) | SealedRow::None => {}
        }
        if let Some((seq, hash)) = link
            && seq == row.seq
        {
            report.links = report.links.saturating_add(1);
            // Links of older programs have no bids in them.
            if chain.link() != hash && (bids.is_empty() || chain.link_without(&bids) != hash) {
                report.problem(format!("the chain breaks at event {seq}: a row up to it was altered"));
            }
            chain.go_on_after(hash);
            bids.clear();
            link = next_link()?;
        }
        Ok(())
    })?;
    recount.orders.finish(report);
    if chain.has_rows() {
        report.problem(format!("the events up to {} have no link in the chain", report.last_seq));
    }
    if let Some((seq, _)) = link {
        report.problem(format!("the chain has a link for event {seq}, which is not in the audit"));
    }
    Ok(recount)
}

/// Compares the counters of every drop with both counts.
fn compare(
    connection: &Connection,
    from_orders: &Stocks,
    from_audit: &Stocks,
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare("SELECT id, total, held, sold FROM drops ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut known = BTreeSet::new();
    while let Some(row) = rows.next()? {
        let id: DropId = row.get(0)?;
        known.insert(id);
        let counters = RecountedStock { total: row.get(1)?, held: row.get(2)?, sold: row.get(3)? };
        report.drops = report.drops.saturating_add(1);
        report.held = report.held.saturating_add(u64::try_from(counters.held).unwrap_or(0));
        report.sold = report.sold.saturating_add(u64::try_from(counters.sold).unwrap_or(0));
        let audit = from_audit.get(&id).copied().unwrap_or_default();
        let orders = from_orders.get(&id).copied().unwrap_or_default();
        let orders = RecountedStock { total: audit.total, ..orders };
        for (source, count) in [("audit rows", audit), ("orders", orders)] {
            if count != counters {
                report.problem(format!("drop {id}: the counters say {counters}; its {source} say {count}"));
            }
        }
    }
    for id in from_audit.keys().chain(from_orders.keys()).filter(|id| !known.contains(id)) {
        report.problem(format!("drop {id} has events or orders, but no row"));
    }
    Ok(())
}
