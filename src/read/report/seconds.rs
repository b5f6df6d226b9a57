//! Rows of `drop_seconds` as a report adds them up.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::types::DropId;

/// Sums over seconds of a drop.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SecondFigures {
    /// Orders that were reserved, and their units.
    pub orders: u64,
    pub units: u64,
    pub other_commands: u64,
    pub repeated: u64,
    pub key_reused: u64,
    pub not_started: u64,
    pub ended: u64,
    pub paused: u64,
    pub limit_reached: u64,
    pub sold_out: u64,
    /// Orders of buyers whom the waiting room had not admitted.
    pub not_admitted: u64,
    pub other_refusals: u64,
    pub queue_wait_us: u64,
    pub queue_wait_us_max: u64,
    /// Batches that touched the drop.
    pub commits: u64,
    pub commit_us: u64,
}

impl SecondFigures {
    pub fn add(&mut self, more: &SecondFigures) {
        for (sum, count) in [
            (&mut self.orders, more.orders),
            (&mut self.units, more.units),
            (&mut self.other_commands, more.other_commands),
            (&mut self.repeated, more.repeated),
            (&mut self.key_reused, more.key_reused),
            (&mut self.not_started, more.not_started),
            (&mut self.ended, more.ended),
            (&mut self.paused, more.paused),
            (&mut self.limit_reached, more.limit_reached),
            (&mut self.sold_out, more.sold_out),
            (&mut self.not_admitted, more.not_admitted),
            (&mut self.other_refusals, more.other_refusals),
            (&mut self.queue_wait_us, more.queue_wait_us),
            (&mut self.commits, more.commits),
            (&mut self.commit_us, more.commit_us),
        ] {
            *sum = sum.saturating_add(count);
        }
        self.queue_wait_us_max = self.queue_wait_us_max.max(more.queue_wait_us_max);
    }

    /// Requests that were refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        [
            self.key_reused,
            self.not_started,
            self.ended,
            self.paused,
            self.limit_reached,
            self.sold_out,
            self.not_admitted,
            self.other_refusals,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }

    /// Commands that were decided, whatever the decision.
    #[must_use]
    pub fn commands(&self) -> u64 {
        self.refused().saturating_add(self.orders).saturating_add(self.other_commands).saturating_add(self.repeated)
    }
}

/// Returns the first second in which a client sent something to the drop: an order or a request that was refused.
pub(super) fn first_second(connection: &Connection, drop_id: DropId) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached(
        "SELECT second FROM drop_seconds WHERE drop_id = ?1
             AND (not_admitted > 0 OR
                 max(orders, repeated, not_started, ended, paused, limit_reached, sold_out, other_refusals) > 0)
         ORDER BY second LIMIT 1",
    )?;
    statement.query_row(params![drop_id], |row| row.get(0)).optional()
}

/// Passes the rows after a second to `each`, at most `limit`. Returns the last second if there may be more.
pub(super) fn rows_after(
    connection: &Connection,
    drop_id: DropId,
    after: i64,
    limit: u32,
    mut each: impl FnMut(i64, &SecondFigures),
) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached(
        "SELECT second, orders, units, other_commands, repeated, key_reused, not_started, ended, paused, limit_reached,
             sold_out, other_refusals, queue_wait_us, queue_wait_us_max, commits, commit_us, not_admitted
         FROM drop_seconds WHERE drop_id = ?1 AND second > ?2 ORDER BY second LIMIT ?3",
    )?;
    let mut rows = statement.query(params![drop_id, after, limit])?;
    let (mut last, mut read) = (after, 0u32);
    while let Some(row) = rows.next()? {
        last = row.get(0)?;
        read = read.saturating_add(1);
        each(last, &figures_of(row)?);
    }
    Ok((read == limit).then_some(last))
}

fn figures_of(row: &Row<'_>) -> rusqlite::Result<SecondFigures> {
    let count = |column: usize| row.get::<_, i64>(column).map(|count| u64::try_from(count).unwrap_or(0));
    Ok(SecondFigures {
        orders: count(1)?,
        units: count(2)?,
        other_commands: count(3)?,
        repeated: count(4)?,
        key_reused: count(5)?,
        not_started: count(6)?,
        ended: count(7)?,
        paused: count(8)?,
        limit_reached: count(9)?,
        sold_out: count(10)?,
        other_refusals: count(11)?,
        queue_wait_us: count(12)?,
        queue_wait_us_max: count(13)?,
        commits: count(14)?,
        commit_us: count(15)?,
        not_admitted: count(16)?,
    })
}
