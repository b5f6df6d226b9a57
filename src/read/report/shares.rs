//! The facts of a sale's fairness: units of buyers, identities, tiers and address blocks, and the tickets of a waiting room or the
//! recorded orders of a blind window.
//!
//! Buyers are keys of a map by a hash that no other process has, so that a copy of the memory names no buyer.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::drawn::DrawFacts;
use super::groups::{BuyerSums, GroupSums, NotedOrigin, OriginGroups};
use super::line::{LineFacts, line_of};
use crate::types::{DropId, IdentityKind, Seq, Tier, UnixMillis};

/// Rows of orders, of tickets and of admissions per step; one takes about 10 ms.
const ORDERS_PER_STEP: u32 = 2000;
const TICKETS_PER_STEP: u32 = 2000;
const ADMISSIONS_PER_STEP: u32 = 4000;
/// The most buyers with orders, address blocks, and identities of a kind, with figures of their own: about 170 MB of memory for the
/// buyers, 200 MB for the blocks and 70 MB for each kind. A larger sale has no figures of them, and their memory is free again.
const KEYS_MAX: usize = 2_000_000;

/// Tickets after the number `?2` up to `?3`: number, buyer, instant, detail; neither the instant of an order nor whether it was taken
/// back.
const TICKETS: &str = "SELECT number, buyer, at_ms, (SELECT detail FROM audit WHERE audit.seq = tickets.seq), NULL, 0
     FROM tickets WHERE drop_id = ?1 AND number > ?2 AND number <= ?3 ORDER BY number LIMIT ?4";
/// Orders that a blind window recorded, the same way: with the instant of the order that each became, and whether its buyer took it
/// back.
const RECORDED_ORDERS: &str = r#"SELECT number, buyer, joined_at_ms, (SELECT detail FROM audit WHERE audit.seq = standby.seq),
         (SELECT reserved_at_ms FROM orders WHERE orders.seq = order_seq),
         coalesce((SELECT instr(detail, '"reason":"buyer"') > 0 FROM audit WHERE audit.seq = left_seq), 0)
     FROM standby WHERE drop_id = ?1 AND number > ?2 AND number <= ?3 ORDER BY number LIMIT ?4"#;

/// The shares of a drop, counted a bounded number of rows at a time.
pub struct ShareCounter {
    hasher: RandomState,
    buyers: HashMap<u64, BuyerSums>,
    identities: BTreeMap<IdentityKind, HashMap<u64, u32>>,
    groups: OriginGroups,
    /// False once there are too many for figures of each.
    is_whole: bool,
    /// The most keys of a map.
    keys_max: usize,
    pub line: Option<LineFacts>,
    phase: SharePhase,
}

#[derive(Clone, Copy)]
enum SharePhase {
    /// Orders after this one.
    Orders(Seq),
    /// Admissions after this position.
    Admissions(u32),
    /// The draw, from what is public.
    Draw,
    /// Tickets after this number.
    Tickets(u32),
    Finished,
}

impl ShareCounter {
    /// Begins before the order of `after`.
    pub(super) fn begin(connection: &Connection, drop_id: DropId, after: Seq) -> rusqlite::Result<ShareCounter> {
        Ok(ShareCounter::new(line_of(connection, drop_id)?, SharePhase::Orders(after), KEYS_MAX))
    }

    fn new(line: Option<LineFacts>, phase: SharePhase, keys_max: usize) -> ShareCounter {
        ShareCounter {
            hasher: RandomState::new(),
            buyers: HashMap::new(),
            identities: BTreeMap::new(),
            groups: OriginGroups::default(),
            is_whole: true,
            keys_max,
            line,
            phase,
        }
    }

    /// Counts the next rows up to the event `last`. Returns true if there are more.
    pub(super) fn step(&mut self, connection: &Connection, drop_id: DropId, last: Seq) -> rusqlite::Result<bool> {
        let after_orders = if self.line.is_some() { SharePhase::Admissions(0) } else { SharePhase::Finished };
        self.phase = match self.phase {
            SharePhase::Orders(after) => match self.count_orders(connection, drop_id, (after, last))? {
                Some(seq) if self.is_whole => SharePhase::Orders(seq),
                Some(_) | None => after_orders,
            },
            SharePhase::Admissions(after) => match self.read_admissions(connection, drop_id, after)? {
                Some(until) => SharePhase::Admissions(until),
                None => SharePhase::Draw,
            },
            SharePhase::Draw => {
                let draw = self.line.as_mut().and_then(|line| line.proof.as_mut());
                if draw.is_some_and(DrawFacts::step) { SharePhase::Draw } else { SharePhase::Tickets(0) }
            }
            SharePhase::Tickets(after) => match self.count_tickets(connection, drop_id, after)? {
                Some(number) => SharePhase::Tickets(number),
                None => SharePhase::Finished,
            },
            SharePhase::Finished => SharePhase::Finished,
        };
        Ok(!matches!(self.phase, SharePhase::Finished))
    }

    fn count_orders(
        &mut self,
        connection: &Connection,
        drop_id: DropId,
        (after, last): (Seq, Seq),
    ) -> rusqlite::Result<Option<Seq>> {
        let mut orders = connection.prepare_cached(
            "SELECT seq, drop_id, buyer, quantity - returned, reserved_at_ms FROM orders
             WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3",
        )?;
        let mut details = connection.prepare_cached("SELECT detail FROM audit WHERE seq = ?1")?;
        let mut identities = connection
            .prepare_cached("SELECT email, phone, payment, address FROM order_identities WHERE order_seq = ?1")?;
        let mut rows = orders.query(params![after, last, ORDERS_PER_STEP])?;
        let (mut reached, mut read) = (after, 0u32);
        while let Some(row) = rows.next()? {
            reached = row.get(0)?;
            read = read.saturating_add(1);
            if row.get::<_, DropId>(1)? != drop_id {
                continue;
            }
            let units: u32 = row.get(3)?;
            let detail: Option<String> = details.query_row([reached], |row| row.get(0))?;
            let buyer = self.hasher.hash_one(row.get_ref(2)?.as_str()?);
            self.count_order(buyer, units, row.get(4)?, NotedOrigin::of(detail.as_deref()));
            identities.query_row([reached], |row| self.count_identities(row, units)).optional()?;
            if !self.is_whole {
                return Ok(None);
            }
        }
        Ok((read == ORDERS_PER_STEP).then_some(reached))
    }

    fn count_order(&mut self, buyer: u64, units: u32, at: UnixMillis, origin: NotedOrigin) {
        let sums = self.buyers.entry(buyer).or_insert_with(|| BuyerSums::new(at));
        self.groups.count_order(sums, units, origin);
        self.forget_above(self.buyers.len());
    }

    /// Forgets the figures of all keys if a map has too many.
    fn forget_above(&mut self, keys: usize) {
        if keys > self.keys_max {
            (self.buyers, self.identities) = (HashMap::new(), BTreeMap::new());
            self.groups = OriginGroups::default();
            self.is_whole = false;
        }
    }

    fn count_identities(&mut self, row: &Row<'_>, units: u32) -> rusqlite::Result<()> {
        for (column, kind) in IdentityKind::ALL.into_iter().enumerate() {
            let Some(digest) = row.get_ref(column)?.as_blob_or_null()? else { continue };
            self.count_identity(kind, self.hasher.hash_one(digest), units);
        }
        Ok(())
    }

    fn count_identity(&mut self, kind: IdentityKind, identity: u64, units: u32) {
        if !self.is_whole {
            return;
        }
        let units_of = self.identities.entry(kind).or_default();
        let sum = units_of.entry(identity).or_default();
        *sum = sum.saturating_add(units);
        let keys = units_of.len();
        self.forget_above(keys);
    }

    fn read_admissions(
        &mut self,
        connection: &Connection,
        drop_id: DropId,
        after: u32,
    ) -> rusqlite::Result<Option<u32>> {
        let Some(line) = &mut self.line else { return Ok(None) };
        let mut statement = connection.prepare_cached(
            "SELECT until, at_ms FROM admissions WHERE drop_id = ?1 AND until > ?2 ORDER BY until LIMIT ?3",
        )?;
        let mut rows = statement.query(params![drop_id, after, ADMISSIONS_PER_STEP])?;
        let (mut reached, mut read) = (after, 0u32);
        while let Some(row) = rows.next()? {
            reached = row.get(0)?;
            read = read.saturating_add(1);
            line.admissions.push((reached, row.get(1)?));
        }
        Ok((read == ADMISSIONS_PER_STEP).then_some(reached))
    }

    fn count_tickets(&mut self, connection: &Connection, drop_id: DropId, after: u32) -> rusqlite::Result<Option<u32>> {
        let ShareCounter { line: Some(line), buyers, groups, hasher, is_whole, .. } = self else { return Ok(None) };
        let mut statement = connection.prepare_cached(if line.is_blind { RECORDED_ORDERS } else { TICKETS })?;
        let mut rows = statement.query(params![drop_id, after, line.tickets, TICKETS_PER_STEP])?;
        let (mut reached, mut read) = (after, 0u32);
        while let Some(row) = rows.next()? {
            reached = row.get(0)?;
            read = read.saturating_add(1);
            let mut holder = buyers.get_mut(&hasher.hash_one(row.get_ref(1)?.as_str()?));
            let is_taken_back: bool = row.get(5)?;
            if *is_whole && !is_taken_back {
                groups.count_ticket(holder.as_deref_mut(), NotedOrigin::of(row.get_ref(3)?.as_str_or_null()?));
            }
            let admitted_at = match line.is_blind {
                true => row.get(4)?,
                false => line.position_of(reached).and_then(|position| line.admitted_at(position)),
            };
            let holder = holder.map(|buyer| (buyer.units, buyer.ordered_at));
            line.count_ticket(reached, row.get(2)?, admitted_at, (holder, *is_whole));
        }
        let blocks = groups.block_count();
        self.forget_above(blocks);
        Ok((read == TICKETS_PER_STEP).then_some(reached))
    }

    /// Returns buyers by their units; `None` if there are too many buyers.
    #[must_use]
    pub fn by_units(&self) -> Option<BTreeMap<u32, u64>> {
        self.is_whole.then(|| counts_of(self.buyers.values().map(|sums| sums.units)))
    }

    /// Returns identities of each recorded kind by their units.
    #[must_use]
    pub fn identities_by_units(&self) -> Option<BTreeMap<IdentityKind, BTreeMap<u32, u64>>> {
        let of = |(kind, units): (&IdentityKind, &HashMap<u64, u32>)| (*kind, counts_of(units.values().copied()));
        self.is_whole.then(|| self.identities.iter().map(of).collect())
    }

    /// Returns the sums of each tier, and of what has none; `None` if there are too many buyers.
    #[must_use]
    pub fn tiers(&self) -> Option<(impl Iterator<Item = (Tier, &GroupSums)>, GroupSums)> {
        self.is_whole.then(|| (self.groups.tiers(), self.groups.without_tier()))
    }

    /// Returns the sums of each address block, and of buyers without one; `None` if there are too many buyers.
    #[must_use]
    pub fn blocks(&self) -> Option<(impl Iterator<Item = &GroupSums>, GroupSums)> {
        self.is_whole.then(|| (self.groups.blocks(), self.groups.without_block()))
    }

    /// Returns whether units of buyers are known.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }
}

fn counts_of(units: impl Iterator<Item = u32>) -> BTreeMap<u32, u64> {
    let mut counts = BTreeMap::new();
    for units in units {
        let count: &mut u64 = counts.entry(units).or_default();
        *count = count.saturating_add(1);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(keys_max: usize) -> ShareCounter {
        ShareCounter::new(None, SharePhase::Finished, keys_max)
    }

    #[test]
    fn too_many_buyers_or_identities_of_one_kind_leave_no_figures_and_take_no_memory() {
        let order =
            |counted: &mut ShareCounter, buyer| counted.count_order(buyer, 1, UnixMillis::ZERO, NotedOrigin::default());
        let mut buyers = counter(2);
        (1..=2).for_each(|buyer| order(&mut buyers, buyer));
        assert!(buyers.by_units().is_some() && buyers.blocks().is_some());
        order(&mut buyers, 3);
        let mut identities = counter(2);
        order(&mut identities, 1);
        for email in 1..=3 {
            identities.count_identity(IdentityKind::Phone, email, 1);
            identities.count_identity(IdentityKind::Email, email, 1);
        }
        for counted in [&buyers, &identities] {
            assert!(!counted.is_whole() && counted.by_units().is_none() && counted.blocks().is_none());
            assert!(counted.identities_by_units().is_none() && counted.tiers().is_none());
            assert!(counted.buyers.capacity() == 0 && counted.identities.is_empty());
        }
    }
}
