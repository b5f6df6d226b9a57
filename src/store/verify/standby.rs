//! Lines of drops, compared with their events: the entries, the orders that they became, and that none was passed over.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::types::Value;
use rusqlite::{Connection, Row};

use super::draws::AuditedDraws;
use super::expected_row::detail_of;
use super::report::VerifyReport;
use super::words::{MissingRow, differences, seq_value};
use crate::store::audit::AuditRow;
use crate::types::{DropId, Seq, hex};

/// Returns whether the row of a reservation is of an order that came from a line.
pub(super) fn is_granted(row: &AuditRow) -> bool {
    // Most reservations have no detail; those with one are few.
    row.detail.as_deref().is_some_and(|detail| detail.contains("\"joined_seq\""))
}

/// An entry by the audit.
#[derive(Clone, PartialEq, Eq)]
struct AuditedEntry {
    drop_id: DropId,
    quantity: i64,
    joined_at_ms: i64,
    order: Option<Seq>,
    left: Option<Seq>,
    /// The number of an order that a blind window recorded.
    number: Option<i64>,
}

/// The orders that a blind window recorded, by their numbers.
#[derive(Default)]
struct AuditedWindow {
    recorded: Vec<Seq>,
    /// The digests of their buyers.
    buyers: Vec<[u8; 16]>,
    /// Positions that were decided.
    decided: u32,
}

/// All lines by the audit.
#[derive(Default)]
pub(super) struct AuditedLines {
    entries: HashMap<Seq, AuditedEntry>,
    /// Entries that wait, by drop and quantity.
    waiting: HashMap<DropId, BTreeMap<i64, BTreeSet<Seq>>>,
    /// Entries that wait with a contact, and their drops.
    contacts: BTreeMap<Seq, DropId>,
    windows: HashMap<DropId, AuditedWindow>,
    /// Entries that waited with a contact when their drops ended: contacts of a long line are erased in steps.
    erasable: BTreeMap<Seq, DropId>,
}

impl AuditedLines {
    /// Adds a row that belongs to a drop, by itself or by its order.
    pub(super) fn add(&mut self, drop_id: DropId, row: &AuditRow, draws: &AuditedDraws, report: &mut VerifyReport) {
        match &*row.kind {
            "standby_joined" => {
                let entry = AuditedEntry::joined(drop_id, row);
                let of_drop = self.waiting.entry(drop_id).or_default();
                of_drop.entry(entry.quantity).or_default().insert(row.seq);
                if row.detail.is_some() && detail_of(row)["contact_given"] == true {
                    self.contacts.insert(row.seq, drop_id);
                }
                if let Some(number) = entry.number {
                    self.record(drop_id, row, number, report);
                }
                self.entries.insert(row.seq, entry);
            }
            "standby_left" => self.end(drop_id, row, draws, report),
            "order_reserved" if is_granted(row) => self.end(drop_id, row, draws, report),
            "drop_ended" | "drop_closed" => {
                self.waiting.remove(&drop_id);
                self.erasable.extend(self.contacts.extract_if(.., |_, of| *of == drop_id));
            }
            _ => {}
        }
    }

    /// An entry became an order, or left. An order must be that of the first whose wish fits: no entry of the same quantity or
    /// less waits longer.
    fn end(&mut self, drop_id: DropId, row: &AuditRow, draws: &AuditedDraws, report: &mut VerifyReport) {
        let joined = detail_of(row)["joined_seq"].as_u64().and_then(Seq::new).unwrap_or_default();
        let Some(entry) = self.entries.get_mut(&joined).filter(|entry| entry.drop_id == drop_id) else {
            return report.problem(format!("event {} is about entry {joined} of a line, which never joined", row.seq));
        };
        self.contacts.remove(&joined);
        let is_order = row.order.is_some();
        if entry.order.is_some() || entry.left.is_some() {
            report.problem(format!("event {}: entry {joined} of a line had left it", row.seq));
        }
        *(if is_order { &mut entry.order } else { &mut entry.left }) = Some(row.seq);
        let (quantity, number) = (entry.quantity, entry.number);
        if is_order && row.quantity != Some(quantity) {
            report.problem(format!("order {}: its units are not those for which its buyer stood by", row.seq));
        }
        let Some(line) = self.waiting.get_mut(&drop_id) else {
            return report.problem(format!("event {}: entry {joined} is of a line that has ended", row.seq));
        };
        let earlier = line.range(..=quantity).filter_map(|(_, waiting)| waiting.first().copied());
        let passed_over = earlier.min().filter(|first| *first < joined);
        if number.is_none()
            && is_order
            && let Some(first) = passed_over
        {
            report.problem(format!("order {}: entry {first} of the line was passed over", row.seq));
        }
        if let Some(waiting) = line.get_mut(&quantity) {
            waiting.remove(&joined);
            if waiting.is_empty() {
                line.remove(&quantity);
            }
        }
        let is_decision = is_order || detail_of(row)["reason"] != "buyer";
        if number.is_some() && is_decision && !self.is_next(drop_id, joined, draws) {
            report.problem(format!("event {}: recorded order {joined} was decided before its turn", row.seq));
        }
    }

    /// Adds an order that a blind window recorded.
    fn record(&mut self, drop_id: DropId, row: &AuditRow, number: i64, report: &mut VerifyReport) {
        let window = self.windows.entry(drop_id).or_default();
        let told = detail_of(row)["buyer"].as_str().and_then(hex::decode);
        let buyer = told.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        window.recorded.push(row.seq);
        window.buyers.push(buyer.unwrap_or_default());
        if buyer.is_none() || i64::try_from(window.recorded.len()) != Ok(number) {
            report.problem(format!("event {}: recorded order {number} is out of order, or tells no buyer", row.seq));
        }
    }

    /// Returns the digests of the buyers whose orders a blind window has recorded so far, by their numbers.
    pub(super) fn buyers_of(&self, drop_id: DropId) -> impl ExactSizeIterator<Item = &[u8; 16]> {
        self.windows.get(&drop_id).map_or(&[][..], |window| &window.buyers).iter()
    }

    /// Returns whether a recorded order that has just ended is the next by the draw: every one before it has ended, too.
    fn is_next(&mut self, drop_id: DropId, joined: Seq, draws: &AuditedDraws) -> bool {
        let Some(window) = self.windows.get_mut(&drop_id) else { return false };
        while let Some(number) = draws.number_at(drop_id, window.decided) {
            let recorded = number.checked_sub(1).and_then(|index| window.recorded.get(index as usize));
            let Some(recorded) = recorded else { return false };
            let has_ended =
                self.entries.get(recorded).is_some_and(|entry| entry.order.is_some() || entry.left.is_some());
            if !has_ended {
                return false;
            }
            window.decided = window.decided.saturating_add(1);
            if *recorded == joined {
                return true;
            }
        }
        false
    }

    /// Compares the rows with the audit. Problems name numbers and no buyer.
    pub(super) fn compare(&self, connection: &Connection, report: &mut VerifyReport) -> rusqlite::Result<()> {
        let mut statement = connection.prepare(
            "SELECT seq, drop_id, quantity, joined_at_ms, order_seq, left_seq, number FROM standby ORDER BY seq",
        )?;
        let mut rows = statement.query([])?;
        let mut found = 0usize;
        while let Some(row) = rows.next()? {
            let seq: Seq = row.get(0)?;
            let entry = AuditedEntry::read(row)?;
            found = found.saturating_add(usize::from(self.entries.contains_key(&seq)));
            match self.entries.get(&seq) {
                Some(told) if *told == entry => {}
                Some(told) => {
                    report.problem(format!("entry {seq} of a line: {}", entry.differences_from(told)));
                }
                None => report.problem(format!("entry {seq} of a line has a row, but no event created it")),
            }
        }
        if found < self.entries.len() {
            self.tell_missing(connection, found, report)?;
        }
        let mut strange = connection.prepare(
            "SELECT standby.seq FROM standby LEFT JOIN orders ON orders.seq = standby.order_seq
                 AND orders.buyer = standby.buyer AND orders.secret = standby.secret
                 AND orders.key_digest = standby.key_digest AND orders.drop_id = standby.drop_id
             WHERE standby.order_seq IS NOT NULL AND orders.seq IS NULL",
        )?;
        for seq in strange.query_map([], |row| row.get::<_, Seq>(0))? {
            report.problem(format!("entry {} of a line: its order is another buyer's", seq?));
        }
        let mut statement = connection.prepare("SELECT seq, drop_id FROM standby_contacts")?;
        let contacts = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut contacts = contacts.collect::<Result<BTreeMap<Seq, DropId>, _>>()?;
        contacts.retain(|seq, drop_id| self.erasable.get(seq) != Some(drop_id));
        if contacts != self.contacts {
            report
                .problem("the contacts of buyers who stand by are not those of the entries that wait with one".into());
        }
        Ok(())
    }
}

impl AuditedLines {
    /// Names the first entry without a row; `found` have one.
    fn tell_missing(&self, connection: &Connection, found: usize, report: &mut VerifyReport) -> rusqlite::Result<()> {
        let told: BTreeSet<Seq> = self.entries.keys().copied().collect();
        let mut missing = MissingRow::of(told.into_iter());
        let mut statement = connection.prepare("SELECT seq FROM standby ORDER BY seq")?;
        for seq in statement.query_map([], |row| row.get(0))? {
            missing.found(&seq?);
        }
        let missing = missing.first().and_then(|seq| Some((seq, self.entries.get(&seq)?)));
        if let Some((seq, AuditedEntry { drop_id, .. })) = missing {
            let none = format_args!("entry {seq} of the line of drop {drop_id} has none");
            report.problem(format!("{} buyers joined a line, {found} have a row: {none}", self.entries.len()));
        }
        Ok(())
    }
}

impl AuditedEntry {
    fn joined(drop_id: DropId, row: &AuditRow) -> AuditedEntry {
        let quantity = row.quantity.unwrap_or(0);
        let number = row.detail.as_deref().and_then(|_| detail_of(row)["number"].as_i64());
        AuditedEntry { drop_id, quantity, joined_at_ms: row.at.get(), order: None, left: None, number }
    }

    /// Names what a row has otherwise than the audit.
    fn differences_from(&self, told: &AuditedEntry) -> String {
        let drop = |entry: &AuditedEntry| Value::Text(entry.drop_id.to_string());
        differences([
            ("its drop", drop(self), drop(told)),
            ("quantity", self.quantity.into(), told.quantity.into()),
            ("joined_at_ms", self.joined_at_ms.into(), told.joined_at_ms.into()),
            ("order_seq", seq_value(self.order), seq_value(told.order)),
            ("left_seq", seq_value(self.left), seq_value(told.left)),
            ("number", self.number.into(), told.number.into()),
        ])
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<AuditedEntry> {
        Ok(AuditedEntry {
            drop_id: row.get(1)?,
            quantity: row.get(2)?,
            joined_at_ms: row.get(3)?,
            order: row.get(4)?,
            left: row.get(5)?,
            number: row.get(6)?,
        })
    }
}
