//! Rows of draws. A seed is read only once its draw is done, but for the task that draws.

use std::ops::RangeInclusive;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::types::{
    Beacon, Commitment, DigestKey, DrawResult, DrawState, DropId, MerkleRoot, Seed, Seq, TicketDigest, UnixMillis,
};

/// A draw as clients see it.
#[derive(Clone, Debug)]
pub struct DrawRow {
    pub drop_id: DropId,
    pub commitment: Commitment,
    /// The longest wait for a beacon, in seconds; `None` for a draw without one.
    pub beacon_seconds: Option<u32>,
    /// Number of tickets that are drawn, once the start has come.
    pub tickets: Option<u32>,
    pub root: Option<MerkleRoot>,
    /// The instant at which the root was published.
    pub fixed_at: Option<UnixMillis>,
    pub beacon: Option<Beacon>,
    pub beacon_source: Option<String>,
    /// True once nothing is waited for.
    pub ready: bool,
    /// Only once the draw is done.
    pub seed: Option<Seed>,
    pub result: Option<DrawResult>,
    /// The event that published seed and result.
    pub drawn_seq: Option<Seq>,
    /// True once the drop has ended.
    pub ended: bool,
}

impl DrawRow {
    /// Returns whether a beacon was required and its time passed: the draw goes on without one.
    #[must_use]
    pub const fn missed_its_beacon(&self) -> bool {
        self.ready && self.beacon_seconds.is_some() && self.beacon.is_none()
    }

    #[must_use]
    pub const fn state(&self) -> DrawState {
        if self.drawn_seq.is_some() {
            return DrawState::Drawn;
        }
        match (self.tickets, self.root, self.ready) {
            _ if self.ended => DrawState::Cancelled,
            (None, ..) => DrawState::Pending,
            (Some(_), None, _) => DrawState::Fixing,
            (Some(_), Some(_), true) => DrawState::Drawing,
            (Some(_), Some(_), false) => DrawState::AwaitingBeacon,
        }
    }
}

macro_rules! draw_where {
    ($rest:literal) => {
        concat!(
            "SELECT draws.drop_id, commitment, beacon_seconds, tickets, root, fixed_at_ms, beacon, beacon_source, ready,
                 CASE WHEN drawn_seq IS NOT NULL THEN seed END, result, drawn_seq, ended
             FROM draws ",
            $rest
        )
    };
}

fn draw_of(row: &Row<'_>) -> rusqlite::Result<DrawRow> {
    Ok(DrawRow {
        drop_id: row.get(0)?,
        commitment: row.get(1)?,
        beacon_seconds: row.get(2)?,
        tickets: row.get(3)?,
        root: row.get(4)?,
        fixed_at: row.get(5)?,
        beacon: row.get(6)?,
        beacon_source: row.get(7)?,
        ready: row.get(8)?,
        seed: row.get(9)?,
        result: row.get(10)?,
        drawn_seq: row.get(11)?,
        ended: row.get(12)?,
    })
}

/// Returns the draw of a drop.
pub fn draw_by_drop(connection: &Connection, drop_id: DropId) -> rusqlite::Result<Option<DrawRow>> {
    connection
        .prepare_cached(draw_where!("JOIN drops ON drops.id = drop_id WHERE drop_id = ?1"))?
        .query_row([drop_id], draw_of)
        .optional()
}

/// Returns the commitment of the draw of a drop.
pub fn commitment_of(connection: &Connection, drop_id: DropId) -> rusqlite::Result<Option<Commitment>> {
    let mut statement = connection.prepare_cached("SELECT commitment FROM draws WHERE drop_id = ?1")?;
    statement.query_row([drop_id], |row| row.get(0)).optional()
}

/// Returns the draws that have begun and are not done, of drops that neither have ended nor are paused.
pub fn running_draws(connection: &Connection) -> rusqlite::Result<Vec<DrawRow>> {
    let mut statement = connection.prepare_cached(draw_where!(
        "INDEXED BY draws_running JOIN drops ON drops.id = draws.drop_id
         WHERE tickets IS NOT NULL AND drawn_seq IS NULL AND NOT ended AND NOT paused ORDER BY draws.drop_id"
    ))?;
    statement.query_map([], draw_of)?.collect()
}

/// Returns the seed of a draw for which nothing is waited any more: only the task that draws may ask for it.
pub fn seed_of_ready_draw(connection: &Connection, drop_id: DropId) -> rusqlite::Result<Option<Seed>> {
    let mut statement = connection.prepare_cached("SELECT seed FROM draws WHERE drop_id = ?1 AND ready = 1")?;
    statement.query_row([drop_id], |row| row.get(0)).optional()
}

/// Returns the digests of these tickets of a room, in the order of their numbers.
pub fn ticket_digests(
    connection: &Connection,
    key: &DigestKey,
    drop_id: DropId,
    commitment: &Commitment,
    numbers: RangeInclusive<u32>,
) -> rusqlite::Result<Vec<TicketDigest>> {
    let mut statement = connection
        // A drop has a room with tickets, or a blind window with recorded orders.
        .prepare_cached(
            "SELECT buyer, number FROM tickets WHERE drop_id = ?1 AND number BETWEEN ?2 AND ?3
             UNION ALL SELECT buyer, number FROM standby WHERE drop_id = ?1 AND number BETWEEN ?2 AND ?3
             ORDER BY number",
        )?;
    let mut rows = statement.query(params![drop_id, numbers.start(), numbers.end()])?;
    let mut digests = Vec::new();
    while let Some(row) = rows.next()? {
        digests.push(TicketDigest::of(commitment, &key.buyer(row.get_ref(0)?.as_str()?)));
    }
    Ok(digests)
}
