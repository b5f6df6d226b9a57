//! Rows of draws. A draw's seed is secret until the draw is done: it is in its row from the creation of the drop on, and in no
//! event before.

use rusqlite::{Connection, OptionalExtension, Row, Statement, params};
use serde_json::{Value, json};

use super::StoreError;
use super::private_data::PrivateData;
use crate::engine::draw::TicketSet;
use crate::engine::{BeaconPosted, DrawFinished, DrawPhase, Event, FinishedDraw, FixedDraw, RoomEvent};
use crate::types::{Beacon, BeaconRule, Commitment, DrawResult, DropId, MerkleRoot, RoomDraw, Seed, Seq, UnixMillis};

/// Writes the rows that draws make.
pub(super) struct DrawWriter<'conn> {
    insert: Statement<'conn>,
    begin: Statement<'conn>,
    begin_of_window: Statement<'conn>,
    fix: Statement<'conn>,
    note_beacon: Statement<'conn>,
    finish: Statement<'conn>,
}

impl<'conn> DrawWriter<'conn> {
    pub(super) fn new(connection: &'conn Connection) -> rusqlite::Result<DrawWriter<'conn>> {
        let prepare = |sql: &str| connection.prepare(sql);
        Ok(DrawWriter {
            insert: prepare(
                "INSERT INTO draws (drop_id, commitment, seed, beacon_seconds, tickets, ready)
                 VALUES (?1, ?2, ?3, ?4, ?5, 0)",
            )?,
            begin: prepare(
                "UPDATE draws SET tickets = ?2 + (SELECT tickets FROM rooms WHERE drop_id = ?1)
                 WHERE drop_id = ?1 AND tickets IS NULL AND EXISTS (SELECT 1 FROM rooms WHERE drop_id = ?1)",
            )?,
            begin_of_window: prepare("UPDATE draws SET tickets = ?2 WHERE drop_id = ?1")?,
            fix: prepare(
                "UPDATE draws SET root = ?2, fixed_at_ms = ?3, ready = (beacon_seconds IS NULL) WHERE drop_id = ?1",
            )?,
            note_beacon: prepare("UPDATE draws SET beacon = ?2, beacon_source = ?3, ready = 1 WHERE drop_id = ?1")?,
            finish: prepare("UPDATE draws SET result = ?2, drawn_seq = ?3 WHERE drop_id = ?1")?,
        })
    }

    /// Writes the row of a new drop's draw; `tickets` is 0 if the drop has started.
    pub(super) fn insert(
        &mut self,
        drop_id: DropId,
        commitment: &Commitment,
        beacon: Option<BeaconRule>,
        tickets: Option<u32>,
        private_data: Option<&PrivateData>,
    ) -> rusqlite::Result<()> {
        let Some(PrivateData::Seed { seed }) = private_data else {
            panic!("the draw of drop {drop_id} came without its seed")
        };
        let seconds = beacon.map(|rule| rule.seconds);
        self.insert.execute(params![drop_id, &commitment.0[..], &seed.as_bytes()[..], seconds, tickets]).map(drop)
    }

    /// Fixes the number of tickets of a drop's draw, if it has one. `unwritten` is the number of tickets that the room's row does
    /// not count yet.
    pub(super) fn begin(&mut self, drop_id: DropId, unwritten: u32) -> rusqlite::Result<()> {
        self.begin.execute(params![drop_id, unwritten]).map(drop)
    }

    /// Fixes the number of orders that the draw of a drop's blind window has.
    pub(super) fn begin_of_window(&mut self, drop_id: DropId, recorded: u32) -> rusqlite::Result<()> {
        let rows = self.begin_of_window.execute(params![drop_id, recorded])?;
        assert_eq!(rows, 1, "the draw of drop {drop_id} has a row");
        Ok(())
    }

    /// Writes what an event changes.
    pub(super) fn record(&mut self, event: &Event, body: &RoomEvent) -> rusqlite::Result<()> {
        let Some(drop_id) = event.drop_id() else { return Ok(()) };
        let rows = match body {
            RoomEvent::Opened | RoomEvent::TicketTaken(_) | RoomEvent::Served(_) => return Ok(()),
            RoomEvent::TicketsFixed { root, .. } => self.fix.execute(params![drop_id, &root.0[..], event.at])?,
            RoomEvent::BeaconPosted(posted) => {
                let BeaconPosted { beacon, source, .. } = &**posted;
                self.note_beacon.execute(params![drop_id, beacon.as_bytes(), source])?
            }
            RoomEvent::BeaconMissed => self.note_beacon.execute(params![drop_id, None::<&[u8]>, None::<&str>])?,
            RoomEvent::Drawn(finished) => self.finish.execute(params![drop_id, &finished.result.0[..], event.seq])?,
        };
        assert_eq!(rows, 1, "the draw of drop {drop_id} has a row");
        Ok(())
    }
}

/// The detail of an event of a draw.
pub(super) fn detail(event: &RoomEvent) -> Option<Value> {
    match event {
        RoomEvent::Opened | RoomEvent::TicketTaken(_) | RoomEvent::Served(_) | RoomEvent::BeaconMissed => None,
        RoomEvent::TicketsFixed { tickets, root } => Some(json!({ "tickets": tickets, "root": root.to_string() })),
        RoomEvent::BeaconPosted(posted) => {
            let BeaconPosted { beacon, source, reason } = &**posted;
            Some(json!({ "beacon": beacon.to_string(), "source": source, "reason": reason }))
        }
        RoomEvent::Drawn(finished) => {
            let DrawFinished { seed, beacon, result, prepared: _ } = &**finished;
            let mut detail = json!({ "seed": seed.reveal(), "result": result.to_string() });
            if let Some(beacon) = beacon {
                detail["beacon"] = beacon.to_string().into();
            }
            Some(detail)
        }
    }
}

/// A draw as its row has it.
pub(super) struct StoredDraw {
    drop_id: DropId,
    pub(super) commitment: Commitment,
    beacon: Option<BeaconRule>,
    columns: DrawColumns,
}

impl StoredDraw {
    /// Returns how far the draw is; one that is done is drawn again, so that its order is the one that its seed gives: half a second
    /// for a million tickets.
    pub(super) fn phase(self) -> Result<DrawPhase, StoreError> {
        let inconsistent = |what: &str| inconsistent(self.drop_id, what);
        let DrawColumns { commitment: _, seed, beacon_seconds: _, tickets, fixed, beacon, ready, done } = self.columns;
        Ok(match (tickets, fixed, done) {
            (None, None, None) => DrawPhase::Pending,
            (Some(tickets), None, None) => DrawPhase::Begun { tickets },
            (Some(tickets), Some((root, at)), done) => {
                let tickets = TicketSet::new(tickets, root).ok_or_else(|| inconsistent("it has too many tickets"))?;
                match done {
                    None => {
                        let missed = ready && self.beacon.is_some() && beacon.is_none();
                        DrawPhase::Fixed(Box::new(FixedDraw { tickets, at, beacon, missed }))
                    }
                    Some(result) => {
                        let done = FinishedDraw::draw(tickets, seed, beacon);
                        if done.drawn.result != result {
                            return Err(inconsistent("seed, beacon and tickets give another result"));
                        }
                        DrawPhase::Drawn(done.into())
                    }
                }
            }
            (None, ..) | (Some(_), None, Some(_)) => return Err(inconsistent("its row contradicts itself")),
        })
    }

    /// Adds the rule of the beacon to the rule of positions.
    pub(super) fn complete(&self, rule: RoomDraw) -> RoomDraw {
        self.beacon.and_then(|beacon| rule.with_beacon(beacon)).unwrap_or(rule)
    }
}

/// Loads the row of the draw of a drop.
pub(super) fn load(connection: &Connection, drop_id: DropId) -> Result<Option<StoredDraw>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT commitment, seed, beacon_seconds, tickets, root, fixed_at_ms, beacon, ready, result, drawn_seq
         FROM draws WHERE drop_id = ?1",
    )?;
    let Some(columns) = statement.query_row([drop_id], row_of).optional()? else { return Ok(None) };
    let commitment = columns.commitment;
    if columns.seed.commitment() != commitment {
        return Err(inconsistent(drop_id, "its seed is not the one that was committed to"));
    }
    let beacon = columns.beacon_seconds.map(|seconds| BeaconRule { seconds });
    Ok(Some(StoredDraw { drop_id, commitment, beacon, columns }))
}

fn inconsistent(drop_id: DropId, what: &str) -> StoreError {
    StoreError::Inconsistent(format!("the draw of drop {drop_id}: {what}"))
}

struct DrawColumns {
    commitment: Commitment,
    seed: Seed,
    beacon_seconds: Option<u32>,
    tickets: Option<u32>,
    fixed: Option<(MerkleRoot, UnixMillis)>,
    beacon: Option<Beacon>,
    ready: bool,
    done: Option<DrawResult>,
}

fn row_of(row: &Row<'_>) -> rusqlite::Result<DrawColumns> {
    let (root, fixed_at): (Option<MerkleRoot>, Option<UnixMillis>) = (row.get(4)?, row.get(5)?);
    let (result, drawn_seq): (Option<DrawResult>, Option<Seq>) = (row.get(8)?, row.get(9)?);
    Ok(DrawColumns {
        commitment: row.get(0)?,
        seed: row.get(1)?,
        beacon_seconds: row.get(2)?,
        tickets: row.get(3)?,
        fixed: root.zip(fixed_at),
        beacon: row.get(6)?,
        ready: row.get(7)?,
        done: result.filter(|_| drawn_seq.is_some()),
    })
}
