//! The auditor: recounts every drop from the audit rows, by its own arithmetic, and compares the counters.
//!
//! It runs on the query thread in short steps. It never corrects a counter: it reports, and has the drop paused. Counters
//! change by deltas, so a corrupted one stays visible until an operator has explained it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, params};

use super::Reader;
use crate::types::{DropId, Seq};

/// Audit rows counted per step, so that other work of the thread is not delayed.
const ROWS_PER_STEP: u32 = 5000;

/// Gauges of the auditor.
#[derive(Default)]
pub struct AuditorState {
    /// Recounted held and sold units above the total, over all drops.
    pub oversold_units: AtomicU64,
    /// Units in the counters but not in the recount, over all drops.
    pub undersold_units: AtomicU64,
    /// Number of drops whose counters differ from the recount.
    pub mismatched_drops: AtomicU64,
    /// Last event in the recount.
    pub counted_seq: AtomicU64,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct UnitCount {
    total: i64,
    held: i64,
    sold: i64,
}

/// The recount so far.
#[derive(Default)]
pub struct Auditor {
    counts: BTreeMap<DropId, UnitCount>,
    last: Seq,
    mismatched: BTreeSet<DropId>,
}

/// A drop whose counters began to differ from the recount, or equal it again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MismatchChange {
    pub drop_id: DropId,
    /// True if the counters differ now.
    pub stands: bool,
}

impl Auditor {
    /// Counts further rows. Returns true if there may be more at once.
    pub fn follow(&mut self, reader: &Reader, state: &AuditorState) -> rusqlite::Result<bool> {
        let more = reader.read(|connection| self.count_rows(connection))?;
        state.counted_seq.store(self.last.get(), Ordering::Relaxed);
        Ok(more)
    }

    /// Compares at one snapshot, after counting its rows. Returns the changes since the last comparison.
    pub fn compare(&mut self, reader: &Reader, state: &AuditorState) -> rusqlite::Result<Vec<MismatchChange>> {
        // Catch up first, so that the snapshot is open only briefly.
        while self.follow(reader, state)? {}
        reader.snapshot(|connection| {
            while self.count_rows(connection)? {}
            self.compare_counters(connection, state)
        })
    }

    fn count_rows(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        let mut statement = connection
            .prepare_cached("SELECT seq, kind, drop_id, quantity FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
        let mut rows = statement.query(params![self.last, ROWS_PER_STEP])?;
        let mut counted = 0u32;
        while let Some(row) = rows.next()? {
            counted = counted.saturating_add(1);
            self.last = row.get(0)?;
            let (drop_id, units): (Option<DropId>, Option<i64>) = (row.get(2)?, row.get(3)?);
            if let (Some(drop_id), Some(units)) = (drop_id, units) {
                let kind = row.get_ref(1)?;
                self.counts.entry(drop_id).or_default().add(kind.as_str()?, units);
            }
        }
        Ok(counted == ROWS_PER_STEP)
    }

    fn compare_counters(
        &mut self,
        connection: &Connection,
        state: &AuditorState,
    ) -> rusqlite::Result<Vec<MismatchChange>> {
        let mut statement = connection.prepare_cached("SELECT id, total, held, sold FROM drops ORDER BY id")?;
        let mut rows = statement.query([])?;
        let (mut oversold, mut undersold, mut mismatched) = (0u64, 0u64, 0u64);
        let mut changes = Vec::new();
        while let Some(row) = rows.next()? {
            let drop_id: DropId = row.get(0)?;
            let counters = UnitCount { total: row.get(1)?, held: row.get(2)?, sold: row.get(3)? };
            let count = self.counts.get(&drop_id).copied().unwrap_or_default();
            let above = |more: i64, less: i64| u64::try_from(more.saturating_sub(less)).unwrap_or(0);
            oversold = oversold.saturating_add(above(count.taken(), count.total.min(counters.total)));
            undersold = undersold.saturating_add(above(counters.taken(), count.taken()));
            let stands = counters != count;
            let stood = self.mismatched.contains(&drop_id);
            if stands != stood {
                changes.push(MismatchChange { drop_id, stands });
            }
            if stands {
                mismatched = mismatched.saturating_add(1);
                tracing::error!(%drop_id, ?counters, recount = ?count, "auditor: counters of a drop differ from the audit");
            }
        }
        state.oversold_units.store(oversold, Ordering::Relaxed);
        state.undersold_units.store(undersold, Ordering::Relaxed);
        state.mismatched_drops.store(mismatched, Ordering::Relaxed);
        Ok(changes)
    }

    /// Notes that a change was handled. Until then it is reported again.
    pub fn noted(&mut self, change: MismatchChange) {
        if change.stands {
            self.mismatched.insert(change.drop_id);
        } else {
            self.mismatched.remove(&change.drop_id);
        }
    }

    /// Notes a mismatch from before a restart, so that agreement is reported as a change.
    pub fn expect_mismatch(&mut self, drop_id: DropId) {
        self.mismatched.insert(drop_id);
    }
}

impl UnitCount {
    fn taken(&self) -> i64 {
        self.held.saturating_add(self.sold)
    }

    fn add(&mut self, kind: &str, units: i64) {
        match kind {
            "drop_created" | "auction_created" | "stock_adjusted" => self.total = self.total.saturating_add(units),
            "order_reserved" | "auction_awarded" => self.held = self.held.saturating_add(units),
            "order_cancelled" | "order_expired" => self.held = self.held.saturating_sub(units),
            "order_paid" => {
                self.held = self.held.saturating_sub(units);
                self.sold = self.sold.saturating_add(units);
            }
            "order_retaken" => self.sold = self.sold.saturating_add(units),
            "order_refunded" | "refund_requested" => self.sold = self.sold.saturating_sub(units),
            _ => {}
        }
    }
}
