//! The proof from the file: every counter recounted from orders and from audit rows, every link of the chain checked.
//! Reads only, at one snapshot; needs no server and trusts nothing that it can count.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};

use super::StoreError;
use super::audit::AuditRow;
use super::chain::{Chain, Link};
use super::open::{DATABASE_FILE, check_identity, configure};
use crate::types::{DropId, OrderState, Seq};

/// How many problems are listed at most; all are counted.
const PROBLEMS_LISTED_MAX: usize = 100;

/// What was found.
#[derive(Default, Debug)]
pub struct Report {
    /// Drops in the file.
    pub drops: u64,
    /// Orders in the file.
    pub orders: u64,
    /// Events in the file.
    pub events: u64,
    /// Links of the chain.
    pub links: u64,
    /// Units held now, over all drops.
    pub held: u64,
    /// Units sold now, over all drops.
    pub sold: u64,
    /// The last event.
    pub last_seq: Seq,
    /// What does not hold, one sentence each; at most 100.
    pub problems: Vec<String>,
    /// How many things do not hold.
    pub problem_count: u64,
}

impl Report {
    fn problem(&mut self, sentence: String) {
        self.problem_count = self.problem_count.saturating_add(1);
        if self.problems.len() < PROBLEMS_LISTED_MAX {
            self.problems.push(sentence);
        }
    }
}

/// What a count of orders or audit rows gives for one drop.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Stock {
    total: i64,
    held: i64,
    sold: i64,
}

type Stocks = BTreeMap<DropId, Stock>;

/// An order as the audit tells it.
struct Told {
    last_seq: Seq,
    state: OrderState,
    quantity: i64,
}

/// Verifies the file in `directory`.
///
/// # Errors
/// If there is no file, it is not ours, or SQLite cannot read it; what does not hold is in the [`Report`].
pub fn verify(directory: &Path) -> Result<Report, StoreError> {
    let path = directory.join(DATABASE_FILE);
    if !path.exists() {
        return Err(StoreError::Missing { path });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags)?;
    check_identity(&connection, &path)?;
    configure(&connection)?;
    connection.execute_batch("BEGIN")?;
    let mut report = Report::default();
    check_pages(&connection, &mut report)?;
    let (from_audit, told) = walk_audit(&connection, &mut report)?;
    let from_orders = walk_orders(&connection, &told, &mut report)?;
    compare(&connection, &from_orders, &from_audit, &mut report)?;
    Ok(report)
}

fn check_pages(connection: &Connection, report: &mut Report) -> Result<(), StoreError> {
    let mut statement = connection.prepare("PRAGMA quick_check(20)")?;
    let lines: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for line in lines.into_iter().filter(|line| line != "ok") {
        report.problem(format!("SQLite's own check: {line}"));
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

/// Walks all audit rows beside the chain: gapless, in time, linked; recounts every drop and every order.
fn walk_audit(connection: &Connection, report: &mut Report) -> Result<(Stocks, HashMap<Seq, Told>), StoreError> {
    let mut links = connection.prepare("SELECT seq, hash FROM chain ORDER BY seq")?;
    let mut links = links.query([])?;
    let mut next_link = || -> rusqlite::Result<Option<(Seq, [u8; 32])>> {
        links.next()?.map(|row| Ok((row.get(0)?, row.get(1)?))).transpose()
    };
    let mut link = next_link()?;
    let mut chain = Chain::after(Link::START);
    let mut recount = Recount::default();
    let mut statement = connection.prepare(
        "SELECT seq, at_ms, kind, drop_id, order_seq, quantity, amount, prev_seq, detail FROM audit ORDER BY seq",
    )?;
    let mut rows = statement.query([])?;
    let mut previous_at = crate::types::UnixMillis::ZERO;
    while let Some(row) = rows.next()? {
        let row = row_of(row)?;
        if row.seq != report.last_seq.next() {
            report.problem(format!("the audit jumps from event {} to event {}", report.last_seq, row.seq));
        }
        if row.at < previous_at {
            report.problem(format!("event {} is earlier than the event before it", row.seq));
        }
        (report.last_seq, previous_at) = (row.seq, row.at);
        report.events = report.events.saturating_add(1);
        recount.add(&row, report);
        chain.add(&row);
        if let Some((seq, hash)) = link
            && seq == row.seq
        {
            report.links = report.links.saturating_add(1);
            if chain.close() != Link(hash) {
                report.problem(format!("the chain breaks at event {seq}: a row up to it is not what was written"));
                chain = Chain::after(Link(hash));
            }
            link = next_link()?;
        }
    }
    if chain.has_rows() {
        report.problem(format!("the events up to {} have no link in the chain", report.last_seq));
    }
    if let Some((seq, _)) = link {
        report.problem(format!("the chain has a link for event {seq}, which is not in the audit"));
    }
    Ok((recount.stocks, recount.orders))
}

#[derive(Default)]
struct Recount {
    stocks: Stocks,
    orders: HashMap<Seq, Told>,
    subjects: HashMap<DropId, Seq>,
}

impl Recount {
    fn add(&mut self, row: &AuditRow, report: &mut Report) {
        let units = row.quantity.unwrap_or(0);
        self.check_previous(row, report);
        if let Some(drop_id) = row.drop_id {
            let stock = self.stocks.entry(drop_id).or_default();
            match &*row.kind {
                "drop_created" | "stock_adjusted" => stock.total = stock.total.saturating_add(units),
                "order_reserved" => stock.held = stock.held.saturating_add(units),
                "order_cancelled" | "order_expired" => stock.held = stock.held.saturating_sub(units),
                "order_paid" => {
                    stock.held = stock.held.saturating_sub(units);
                    stock.sold = stock.sold.saturating_add(units);
                }
                "order_refunded" => stock.sold = stock.sold.saturating_sub(units),
                _ => {}
            }
            if stock.held < 0 || stock.sold < 0 || stock.held.saturating_add(stock.sold) > stock.total {
                report.problem(format!("drop {drop_id} is oversold after event {}: {stock:?}", row.seq));
            }
        }
        if let (Some(order), Some(drop_id)) = (row.order, row.drop_id) {
            self.tell_order(order, drop_id, row, report);
        }
    }

    /// The previous event of the same subject is the one that the row names.
    fn check_previous(&mut self, row: &AuditRow, report: &mut Report) {
        let expected = match (row.order, row.drop_id) {
            (Some(order), _) => self.orders.get(&order).map_or(Seq::ZERO, |told| told.last_seq),
            (None, Some(drop_id)) => self.subjects.insert(drop_id, row.seq).unwrap_or_default(),
            (None, None) => Seq::ZERO,
        };
        if row.prev_seq != expected {
            report
                .problem(format!("event {} names event {} as the one before, it is {expected}", row.seq, row.prev_seq));
        }
    }

    fn tell_order(&mut self, order: Seq, drop_id: DropId, row: &AuditRow, report: &mut Report) {
        if &*row.kind == "order_reserved" {
            let told = Told { last_seq: row.seq, state: OrderState::Reserved, quantity: row.quantity.unwrap_or(0) };
            self.orders.insert(order, told);
            return;
        }
        let Some(told) = self.orders.get_mut(&order) else {
            report.problem(format!("event {} is about order {order} of drop {drop_id}, never reserved", row.seq));
            return;
        };
        told.last_seq = row.seq;
        let (state, may) = match &*row.kind {
            "order_checked_out" => (OrderState::AwaitingPayment, told.state == OrderState::Reserved),
            "order_cancelled" => (OrderState::Cancelled, told.state.is_live()),
            "order_expired" => (OrderState::Expired, told.state.is_live()),
            "order_paid" => (OrderState::Paid, told.state.is_live()),
            // Whether a refund was the last of its order is told by the amounts, in the order's row.
            _ => (told.state, true),
        };
        if !may {
            report.problem(format!("event {} ({}) cannot follow {:?}", row.seq, row.kind, told.state));
        }
        told.state = state;
    }
}

/// Walks all orders: each is what the audit tells; adds up what they take.
fn walk_orders(connection: &Connection, told: &HashMap<Seq, Told>, report: &mut Report) -> Result<Stocks, StoreError> {
    let mut stocks = Stocks::new();
    let mut statement = connection.prepare(
        "SELECT seq, drop_id, state, quantity, returned, last_seq, received, refunded FROM orders ORDER BY seq",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (seq, drop_id, state): (Seq, DropId, OrderState) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (quantity, returned): (i64, i64) = (row.get(3)?, row.get(4)?);
        let (last_seq, received, refunded): (Seq, i64, i64) = (row.get(5)?, row.get(6)?, row.get(7)?);
        report.orders = report.orders.saturating_add(1);
        let stock = stocks.entry(drop_id).or_default();
        let taken = quantity.saturating_sub(returned);
        if state.is_live() {
            stock.held = stock.held.saturating_add(taken);
        } else {
            stock.sold = stock.sold.saturating_add(taken);
        }
        match told.get(&seq) {
            None => report.problem(format!("order {seq} has a row, but no event made it")),
            Some(told) => {
                let as_told = told.state == state
                    || (told.state == OrderState::Paid && state == OrderState::Refunded && received == refunded);
                if !as_told || told.quantity != quantity || told.last_seq != last_seq {
                    report.problem(format!(
                        "order {seq}: the row says {state:?}, {quantity} units, last event {last_seq}; the audit says {:?}, {}, {}",
                        told.state, told.quantity, told.last_seq
                    ));
                }
            }
        }
    }
    let rows = u64::try_from(told.len()).unwrap_or(u64::MAX);
    if report.orders < rows {
        report.problem(format!("{rows} orders were reserved, {} have a row", report.orders));
    }
    Ok(stocks)
}

/// Holds the counters of every drop against both counts.
fn compare(
    connection: &Connection,
    from_orders: &Stocks,
    from_audit: &Stocks,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare("SELECT id, total, held, sold FROM drops ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: DropId = row.get(0)?;
        let counters = Stock { total: row.get(1)?, held: row.get(2)?, sold: row.get(3)? };
        report.drops = report.drops.saturating_add(1);
        report.held = report.held.saturating_add(u64::try_from(counters.held).unwrap_or(0));
        report.sold = report.sold.saturating_add(u64::try_from(counters.sold).unwrap_or(0));
        let audit = from_audit.get(&id).copied().unwrap_or_default();
        let orders = from_orders.get(&id).copied().unwrap_or_default();
        let orders = Stock { total: audit.total, ..orders };
        for (source, count) in [("audit rows", audit), ("orders", orders)] {
            if count != counters {
                report.problem(format!("drop {id}: the counters say {counters:?}, its {source} say {count:?}"));
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
