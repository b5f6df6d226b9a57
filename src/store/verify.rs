//! Verification of a file: recounts every counter from orders and from audit rows, and checks every link of the chain.
//! It only reads, at one snapshot, and needs no server.

mod endpoints;
mod recount;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use recount::{AuditRecount, AuditedBids, AuditedOrder, RecountedStock, Stocks};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};

use super::StoreError;
use super::audit::AuditRow;
use super::chain::{Chain, ChainLink, OrderSeal};
use super::early;
use super::open::{self, DATABASE_FILE, check_identity};
use super::settings::configure;
use super::watermark::{Watermark, WatermarkRecord, WatermarkState};
use crate::types::{AuctionId, DropId, OrderState, Seq, UnixMillis};

/// Maximum number of listed problems; all are counted.
const PROBLEMS_LISTED_MAX: usize = 100;

/// Result of a verification.
#[derive(Default, Debug)]
pub struct VerifyReport {
    pub drops: u64,
    pub orders: u64,
    pub events: u64,
    pub links: u64,
    /// Units held, over all drops.
    pub held: u64,
    /// Units sold, over all drops.
    pub sold: u64,
    pub last_seq: Seq,
    /// Problems, one sentence each; at most 100.
    pub problems: Vec<String>,
    /// Number of problems, listed or not.
    pub problem_count: u64,
}

impl VerifyReport {
    fn problem(&mut self, sentence: String) {
        self.problem_count = self.problem_count.saturating_add(1);
        if self.problems.len() < PROBLEMS_LISTED_MAX {
            self.problems.push(sentence);
        }
    }
}

/// Content of the links of a file's chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sealed {
    /// Events only (schema 1).
    Events,
    /// Events, and the rows of new orders.
    EventsAndOrders,
}

/// Verifies the file in `directory` and compares it with its watermark.
///
/// # Errors
/// If the file is missing, unreadable or of another program. Inconsistencies are in the [`VerifyReport`].
pub fn verify(directory: &Path) -> Result<VerifyReport, StoreError> {
    let path = directory.join(DATABASE_FILE);
    if !path.exists() {
        return Err(StoreError::Missing { path });
    }
    // Read before the snapshot: the file of a running server has at least the events of this watermark.
    let acknowledged = Watermark::read(directory)?;
    let connection = open_to_read(&path)?;
    let mut report = verify_connection(&connection)?;
    match acknowledged {
        WatermarkState::Present(mark) => check_watermark(&connection, &path, &mark, &mut report)?,
        WatermarkState::Unreadable => report.problem("the watermark is damaged".into()),
        WatermarkState::Absent if report.last_seq == Seq::ZERO => {}
        WatermarkState::Absent => report.problem("the watermark is missing: missing events cannot be detected".into()),
    }
    Ok(report)
}

/// Verifies a database without its watermark, through a connection of its own.
///
/// # Errors
/// If the file is unreadable or of another program. Inconsistencies are in the [`VerifyReport`].
pub fn verify_file(path: &Path) -> Result<VerifyReport, StoreError> {
    verify_connection(&open_to_read(path)?)
}

/// Opens a read-only connection at one snapshot.
fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    check_identity(&connection, path)?;
    configure(&connection)?;
    connection.execute_batch("BEGIN")?;
    Ok(connection)
}

/// Verifies the content that a connection sees.
pub fn verify_connection(connection: &Connection) -> Result<VerifyReport, StoreError> {
    verify_sealed(connection, Sealed::EventsAndOrders)
}

pub(super) fn verify_sealed(connection: &Connection, sealed: Sealed) -> Result<VerifyReport, StoreError> {
    let mut report = VerifyReport::default();
    check_pages(connection, &mut report)?;
    let AuditRecount { stocks: from_audit, orders: told, bids, endpoints, .. } =
        walk_audit(connection, sealed, &mut report)?;
    let from_orders = walk_orders(connection, &told, &mut report)?;
    compare(connection, &from_orders, &from_audit, &mut report)?;
    check_inbox(connection, &mut report)?;
    for seq in early::differing(connection)? {
        report.problem(format!("event {seq}: its row of payments and the audit differ"));
    }
    check_auctions(connection, &bids, &mut report)?;
    endpoints.compare(connection, &mut report)?;
    Ok(report)
}

fn check_watermark(
    connection: &Connection,
    path: &Path,
    acknowledged: &WatermarkRecord,
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    let (epoch, file_id): (i64, [u8; 16]) =
        connection
            .query_row("SELECT epoch, file_id FROM meta WHERE id = 1", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (seq, link) = open::last_link(connection)?;
    let file = WatermarkRecord { file_id, epoch: u64::try_from(epoch).unwrap_or(1), seq, link, synced: seq };
    match open::compare(connection, path, acknowledged, &file) {
        Ok(None) => {}
        Ok(Some(lost)) => report.problem(format!("{} acknowledged events are missing", lost.events)),
        Err(error) => report.problem(error.to_string()),
    }
    Ok(())
}

fn check_pages(connection: &Connection, report: &mut VerifyReport) -> Result<(), StoreError> {
    let mut statement = connection.prepare("PRAGMA quick_check(20)")?;
    let lines: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for line in lines.into_iter().filter(|line| line != "ok") {
        report.problem(format!("SQLite quick_check: {line}"));
    }
    Ok(())
}

fn row_of(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        seq: row.get(0)?,
        at: row.get(1)?,
        kind: row.get::<_, String>(2)?.into(),
        drop_id: row.get(3)?,
        order: row.get(4)?,
        quantity: row.get(5)?,
        amount: row.get(6)?,
        prev_seq: row.get(7)?,
        detail: row.get(8)?,
    })
}

/// Returns true if the event of an audit row creates an order.
fn makes_order(row: &AuditRow) -> bool {
    matches!(&*row.kind, "order_reserved" | "auction_awarded")
}

/// Visits all audit rows, each with the row of the order that it created.
pub(super) fn walk_sealed(
    connection: &Connection,
    mut visit: impl FnMut(&AuditRow, Option<&OrderSeal<'_>>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut orders = connection
        .prepare("SELECT seq, secret, buyer, key_digest, unit_price FROM orders WHERE seq >= ?1 ORDER BY seq")?;
    let mut orders = orders.query([Seq::ZERO])?;
    let mut statement = connection.prepare(
        "SELECT seq, at_ms, kind, drop_id, order_seq, quantity, amount, prev_seq, detail FROM audit ORDER BY seq",
    )?;
    let mut rows = statement.query([])?;
    let mut order = orders.next()?;
    while let Some(row) = rows.next()? {
        let row = row_of(row)?;
        if !makes_order(&row) {
            visit(&row, None)?;
            continue;
        }
        while let Some(found) = order
            && found.get::<_, Seq>(0)? < row.seq
        {
            order = orders.next()?;
        }
        match order {
            Some(found) if found.get::<_, Seq>(0)? == row.seq => {
                let key = found.get(3)?;
                let (secret, buyer) = (found.get_ref(1)?, found.get_ref(2)?);
                let secret = secret.as_blob().map_err(rusqlite::Error::from)?;
                let buyer = buyer.as_str().map_err(rusqlite::Error::from)?;
                visit(&row, Some(&OrderSeal { secret, buyer, key: &key, unit_price: found.get(4)? }))?;
            }
            Some(_) | None => visit(&row, None)?,
        }
    }
    Ok(())
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
    let mut recount = AuditRecount::default();
    let mut previous_at = UnixMillis::ZERO;
    walk_sealed(connection, |row, order| {
        if row.seq != report.last_seq.next() {
            report.problem(format!("the audit jumps from event {} to event {}", report.last_seq, row.seq));
        }
        if row.at < previous_at {
            report.problem(format!("event {} is earlier than the event before it", row.seq));
        }
        (report.last_seq, previous_at) = (row.seq, row.at);
        report.events = report.events.saturating_add(1);
        recount.add(row, report);
        chain.add(row);
        if let (Some(order), Sealed::EventsAndOrders) = (order, sealed) {
            chain.add_order(order);
        }
        if let Some((seq, hash)) = link
            && seq == row.seq
        {
            report.links = report.links.saturating_add(1);
            if chain.close() != hash {
                report.problem(format!("the chain breaks at event {seq}: a row up to it was altered"));
                chain = Chain::after(hash);
            }
            link = next_link()?;
        }
        Ok(())
    })?;
    if chain.has_rows() {
        report.problem(format!("the events up to {} have no link in the chain", report.last_seq));
    }
    if let Some((seq, _)) = link {
        report.problem(format!("the chain has a link for event {seq}, which is not in the audit"));
    }
    Ok(recount)
}

/// Walks all orders: compares each with the audit, and sums up their units.
fn walk_orders(
    connection: &Connection,
    told: &HashMap<Seq, AuditedOrder>,
    report: &mut VerifyReport,
) -> Result<Stocks, StoreError> {
    let mut stocks = Stocks::new();
    let mut payments = sums_of_payments(connection)?;
    let mut statement = connection.prepare(
        "SELECT seq, drop_id, state, quantity, returned, last_seq, received, refunded, refund_due FROM orders ORDER BY seq",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (seq, drop_id, state): (Seq, DropId, OrderState) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (quantity, returned): (i64, i64) = (row.get(3)?, row.get(4)?);
        let (last_seq, received, refunded): (Seq, i64, i64) = (row.get(5)?, row.get(6)?, row.get(7)?);
        let refund_due: i64 = row.get(8)?;
        report.orders = report.orders.saturating_add(1);
        let sums = payments.remove(&seq).unwrap_or_default();
        if sums != (received, refunded, refund_due) {
            report.problem(format!(
                "order {seq}: received, refunded and due are {received}, {refunded} and {refund_due}; its payments give \
                 {sums:?}"
            ));
        }
        let stock = stocks.entry(drop_id).or_default();
        let taken = quantity.saturating_sub(returned);
        if state.is_live() {
            stock.held = stock.held.saturating_add(taken);
        } else {
            stock.sold = stock.sold.saturating_add(taken);
        }
        match told.get(&seq) {
            None => report.problem(format!("order {seq} has a row, but no event created it")),
            Some(told) => {
                // Only the amounts show if a refund was the last of its order.
                let refunded_whole = told.state == OrderState::Paid && state == OrderState::Refunded;
                let told_state = if refunded_whole && received == refunded { state } else { told.state };
                let row = AuditedOrder { last_seq, state, drop_id, quantity, returned, received, refunded, refund_due };
                if row != (AuditedOrder { state: told_state, ..*told }) {
                    report.problem(format!("order {seq}: the row has {row:?}, the audit gives {told:?}"));
                }
            }
        }
    }
    for order in payments.keys() {
        report.problem(format!("order {order} has payments, but no row"));
    }
    let rows = u64::try_from(told.len()).unwrap_or(u64::MAX);
    if report.orders < rows {
        report.problem(format!("{rows} orders were created, {} have a row", report.orders));
    }
    Ok(stocks)
}

/// Returns the received, refunded and due amounts of each order with payments, in the currency of its drop.
fn sums_of_payments(connection: &Connection) -> rusqlite::Result<BTreeMap<Seq, (i64, i64, i64)>> {
    let mut statement = connection.prepare(
        "SELECT order_seq, coalesce(sum(received) FILTER (WHERE foreign_currency IS NULL), 0),
             coalesce(sum(refunded) FILTER (WHERE foreign_currency IS NULL), 0),
             coalesce(sum(refund_due) FILTER (WHERE foreign_currency IS NULL), 0)
         FROM payments WHERE order_seq > 0 GROUP BY order_seq",
    )?;
    let sums = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?))))?;
    sums.collect()
}

/// Checks that each auction's price and number of bids equal those of the audit, and that every bid has a row.
fn check_auctions(
    connection: &Connection,
    told: &BTreeMap<DropId, AuditedBids>,
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare(
        "SELECT id, drop_id, bids, current, (SELECT count(*) FROM bids WHERE auction_id = id) FROM auctions ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, drop_id): (AuctionId, DropId) = (row.get(0)?, row.get(1)?);
        let found = AuditedBids { count: row.get(2)?, current: row.get(3)? };
        let (told, rows) = (told.get(&drop_id).copied().unwrap_or_default(), row.get::<_, i64>(4)?);
        if found != told || rows != told.count {
            report.problem(format!(
                "auction {id}: the row has {found:?}, the audit gives {told:?}; {rows} bids have a row"
            ));
        }
    }
    Ok(())
}

/// Checks that the inbox has exactly the provider events of the audit.
fn check_inbox(connection: &Connection, report: &mut VerifyReport) -> Result<(), StoreError> {
    const TOLD_NOT_HEARD: &str = "SELECT seq FROM audit
         WHERE kind = 'provider_event_recorded' AND seq NOT IN (SELECT seq FROM inbox)";
    const HEARD_NOT_TOLD: &str = "SELECT seq FROM inbox
         WHERE seq NOT IN (SELECT seq FROM audit WHERE kind = 'provider_event_recorded')";
    for different in [TOLD_NOT_HEARD, HEARD_NOT_TOLD] {
        let mut statement = connection.prepare(different)?;
        for seq in statement.query_map([], |row| row.get::<_, Seq>(0))? {
            report.problem(format!("event {}: the inbox and the audit differ", seq?));
        }
    }
    Ok(())
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
    while let Some(row) = rows.next()? {
        let id: DropId = row.get(0)?;
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
    for id in from_audit.keys().chain(from_orders.keys()) {
        let known: Option<i64> =
            connection.query_row("SELECT 1 FROM drops WHERE id = ?1", [id], |row| row.get(0)).optional()?;
        if known.is_none() {
            report.problem(format!("drop {id} has events or orders, but no row"));
        }
    }
    Ok(())
}
