//! Rows of waiting rooms, tickets and admissions. All tickets of a batch change their room's row by one UPDATE.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Statement, params};
use serde_json::{Value, json};

use super::audit::Columns;
use super::orders::note_origin;
use super::private_data::PrivateData;
use super::{StoreError, draws};
use crate::engine::{
    BlindWindow, DropEntry, Event, Room, RoomClock, RoomEvent, RoomInstant, RoomServed, RoomSpec, TicketSeqs,
    TicketTaken,
};
use crate::failpoints::{self, Bug};
use crate::types::{DigestKey, DropId, Quantity, RoomDraw, RoomPatch, Seq, UnixMillis, hex};

/// The changes of a batch to one room.
#[derive(Default)]
struct RoomChange {
    tickets: u32,
    opened: bool,
    served: Option<(RoomServed, UnixMillis)>,
}

/// Writes the rows that events of waiting rooms make.
pub(super) struct RoomWriter<'conn> {
    insert_room: Statement<'conn>,
    insert_ticket: Statement<'conn>,
    insert_admission: Statement<'conn>,
    pause_room: Statement<'conn>,
    resume_room: Statement<'conn>,
    move_room: Statement<'conn>,
    patch_room: Statement<'conn>,
    changes: BTreeMap<DropId, RoomChange>,
}

impl<'conn> RoomWriter<'conn> {
    pub(super) fn new(connection: &'conn Connection) -> rusqlite::Result<RoomWriter<'conn>> {
        let prepare = |sql: &str| connection.prepare(sql);
        Ok(RoomWriter {
            insert_room: prepare(
                "INSERT INTO rooms (drop_id, opens_at_ms, draw, admit_per_second, order_seconds, oversubscribe_percent,
                     opened, tickets, serving, window_from, served_at_ms, rate_from_ms, paused_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0, 0, 0, 0, 0)",
            )?,
            insert_ticket: prepare(
                "INSERT INTO tickets (drop_id, number, buyer, at_ms, seq) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?,
            insert_admission: prepare(
                "INSERT INTO admissions (drop_id, until, at_ms, paused_ms)
                 SELECT drop_id, ?2, ?3, paused_ms FROM rooms WHERE drop_id = ?1",
            )?,
            pause_room: prepare("UPDATE rooms SET paused_at_ms = coalesce(paused_at_ms, ?2) WHERE drop_id = ?1")?,
            resume_room: prepare(
                "UPDATE rooms SET paused_ms = paused_ms + ?2 - paused_at_ms, paused_at_ms = NULL WHERE drop_id = ?1",
            )?,
            move_room: prepare(
                "UPDATE rooms SET tickets = tickets + ?2, opened = opened OR ?3, serving = coalesce(?4, serving),
                     window_from = coalesce(?5, window_from), served_at_ms = coalesce(?6, served_at_ms),
                     rate_from_ms = coalesce(?7, rate_from_ms)
                 WHERE drop_id = ?1",
            )?,
            patch_room: prepare(
                "UPDATE rooms SET opens_at_ms = coalesce(?2, opens_at_ms),
                     admit_per_second = coalesce(?3, admit_per_second), order_seconds = coalesce(?4, order_seconds),
                     oversubscribe_percent = coalesce(?5, oversubscribe_percent),
                     opened = opened OR coalesce(?2, opens_at_ms) <= ?6
                 WHERE drop_id = ?1",
            )?,
            changes: BTreeMap::new(),
        })
    }

    /// Writes the row of a new drop's room.
    pub(super) fn insert(&mut self, drop_id: DropId, spec: &RoomSpec, at: UnixMillis) -> rusqlite::Result<()> {
        let RoomSpec { opens_at, draw, admit_per_second, order_seconds, oversubscribe_percent } = *spec;
        let opened = opens_at <= at;
        self.insert_room
            .execute(params![
                drop_id,
                opens_at,
                draw.as_str(),
                admit_per_second,
                order_seconds,
                oversubscribe_percent,
                opened
            ])
            .map(drop)
    }

    /// Writes what an event changes.
    pub(super) fn record(
        &mut self,
        event: &Event,
        body: &RoomEvent,
        private_data: Option<&PrivateData>,
    ) -> rusqlite::Result<()> {
        let Some(drop_id) = event.drop_id() else { return Ok(()) };
        match body {
            RoomEvent::Opened => self.changes.entry(drop_id).or_default().opened = true,
            RoomEvent::TicketTaken(TicketTaken { number, .. }) => {
                let Some(PrivateData::Ticket { buyer }) = private_data else {
                    panic!("ticket {} of drop {drop_id} came without its buyer", number.get())
                };
                let change = self.changes.entry(drop_id).or_default();
                change.tickets = change.tickets.saturating_add(1);
                self.insert_ticket.execute(params![drop_id, number.get(), buyer.as_str(), event.at, event.seq])?;
            }
            RoomEvent::Served(served) => {
                self.changes.entry(drop_id).or_default().served = Some((*served, event.at));
                let rows = self.insert_admission.execute(params![drop_id, served.serving, event.at])?;
                assert_eq!(rows, 1, "the room of drop {drop_id} has a row");
            }
            // A draw has a row of its own, and may be that of a blind window.
            RoomEvent::TicketsFixed { .. }
            | RoomEvent::BeaconPosted(_)
            | RoomEvent::BeaconMissed
            | RoomEvent::Drawn(_) => {}
        }
        Ok(())
    }

    /// Writes changed parameters.
    pub(super) fn patch(&mut self, drop_id: DropId, patch: &RoomPatch, at: UnixMillis) -> rusqlite::Result<()> {
        let RoomPatch { opens_at, admit_per_second, order_seconds, oversubscribe_percent } = *patch;
        let values = params![drop_id, opens_at, admit_per_second, order_seconds, oversubscribe_percent, at];
        assert_eq!(self.patch_room.execute(values)?, 1, "the room of drop {drop_id} has a row");
        Ok(())
    }

    /// Stops the clock of a drop's room, if it has one.
    pub(super) fn pause(&mut self, drop_id: DropId, at: UnixMillis) -> rusqlite::Result<()> {
        self.pause_room.execute(params![drop_id, at]).map(drop)
    }

    /// Lets the clock of a drop's room go on, if it has one.
    pub(super) fn resume(&mut self, drop_id: DropId, at: UnixMillis) -> rusqlite::Result<()> {
        self.resume_room.execute(params![drop_id, at]).map(drop)
    }

    /// The number of a room's tickets of this batch, which its row does not count yet.
    pub(super) fn unwritten_tickets(&self, drop_id: DropId) -> u32 {
        self.changes.get(&drop_id).map_or(0, |change| change.tickets)
    }

    /// Writes what the batch has changed of the rows of rooms.
    pub(super) fn move_rooms(&mut self) -> rusqlite::Result<()> {
        while let Some((drop_id, change)) = self.changes.pop_first() {
            let RoomChange { tickets, opened, served } = change;
            let (serving, window_from) = (served.map(|(s, _)| s.serving), served.map(|(s, _)| s.window_from));
            let (at, rate_from) = (served.map(|(_, at)| at), served.map(|(s, _)| s.rate_from));
            let values = params![drop_id, tickets, opened, serving, window_from, at, rate_from];
            assert_eq!(self.move_room.execute(values)?, 1, "the room of drop {drop_id} has a row");
        }
        Ok(())
    }
}

/// The audit's columns of a room's event.
pub(super) fn columns(event: &RoomEvent) -> Columns {
    match event {
        RoomEvent::Opened => Columns::default(),
        RoomEvent::TicketTaken(TicketTaken { buyer, number, origin }) => {
            let mut detail = json!({ "number": number.get(), "buyer": hex::encode(&buyer.0) });
            note_origin(origin.as_ref(), &mut detail);
            Columns::of(detail)
        }
        RoomEvent::Served(RoomServed { serving, window_from, rate_from }) => {
            Columns::of(json!({ "serving": serving, "window_from": window_from, "rate_from_ms": rate_from.get() }))
        }
        RoomEvent::TicketsFixed { .. } | RoomEvent::BeaconPosted(_) | RoomEvent::BeaconMissed | RoomEvent::Drawn(_) => {
            draws::detail(event).map(Columns::of).unwrap_or_default()
        }
    }
}

/// The parameters of a room in the detail of its drop's creation.
pub(super) fn spec_detail(spec: &RoomSpec) -> Value {
    let mut detail = json!({
        "opens_at_ms": spec.opens_at.get(),
        "draw": spec.draw.as_str(),
        "admit_per_second": spec.admit_per_second,
        "order_seconds": spec.order_seconds,
        "oversubscribe_percent": spec.oversubscribe_percent,
    });
    if let Some(beacon) = spec.draw.beacon() {
        detail["beacon_seconds"] = beacon.seconds.into();
    }
    detail
}

/// The changed parameters of a room in the detail of a patch of its drop.
pub(super) fn patch_detail(patch: &RoomPatch) -> Value {
    let RoomPatch { opens_at, admit_per_second, order_seconds, oversubscribe_percent } = *patch;
    let members = [
        ("opens_at_ms", opens_at.map(|at| at.get().into())),
        ("admit_per_second", admit_per_second.map(Value::from)),
        ("order_seconds", order_seconds.map(Value::from)),
        ("oversubscribe_percent", oversubscribe_percent.map(Value::from)),
    ];
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Loads the blind window of a drop without a room, without the orders that wait in it.
fn load_window(connection: &Connection, entry: &mut DropEntry) -> Result<(), StoreError> {
    if entry.spec.blind_ms == 0 {
        return Ok(());
    }
    let inconsistent = |what: &str| StoreError::Inconsistent(format!("the blind window of drop {}: {what}", entry.id));
    let stored = draws::load(connection, entry.id)?.ok_or_else(|| inconsistent("its draw has no row"))?;
    let mut statement = connection.prepare_cached(
        "SELECT seq, quantity, number FROM standby WHERE drop_id = ?1 AND number IS NOT NULL ORDER BY number",
    )?;
    let mut rows = statement.query([entry.id])?;
    entry.spec.commitment = Some(stored.commitment);
    let Some(mut window) = BlindWindow::of(&entry.spec).filter(|_| !entry.ended) else { return Ok(()) };
    while let Some(row) = rows.next()? {
        let (seq, quantity, number): (Seq, Quantity, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if !window.record(seq, quantity) || window.len() != number {
            return Err(inconsistent(&format!("order {number} is out of order")));
        }
    }
    window.draw.phase = stored.phase()?;
    entry.blind = Some(window);
    Ok(())
}

/// Loads the rooms of drops that have not ended, without the orders of their buyers. Returns the events by which their tickets
/// were taken.
pub(super) fn load(
    connection: &Connection,
    key: &DigestKey,
    drops: &mut [DropEntry],
) -> Result<TicketSeqs, StoreError> {
    let mut statement = connection.prepare(
        "SELECT opens_at_ms, draw, admit_per_second, order_seconds, oversubscribe_percent, opened, tickets, serving,
             served_at_ms, rate_from_ms, paused_ms, paused_at_ms, (SELECT at_ms FROM audit WHERE seq = ?2)
         FROM rooms WHERE drop_id = ?1",
    )?;
    let mut tickets_of = TicketSeqs::default();
    for entry in drops {
        let mut rows = statement.query(params![entry.id, entry.version])?;
        let Some(row) = rows.next()? else {
            load_window(connection, entry)?;
            continue;
        };
        let (draw, stored): (RoomDraw, _) = (row.get(1)?, draws::load(connection, entry.id)?);
        if draw.is_random() != stored.is_some() {
            let what = format!("the room of drop {}: its draw has no row, or one too many", entry.id);
            return Err(StoreError::Inconsistent(what));
        }
        let spec = RoomSpec {
            opens_at: row.get(0)?,
            draw: stored.as_ref().map_or(draw, |stored| stored.complete(draw)),
            admit_per_second: row.get(2)?,
            order_seconds: row.get(3)?,
            oversubscribe_percent: row.get(4)?,
        };
        entry.spec.room = Some(Box::new(spec));
        entry.spec.commitment = stored.as_ref().map(|stored| stored.commitment);
        if entry.ended {
            continue;
        }
        let version_at: Option<UnixMillis> = row.get(12)?;
        let version_at = version_at.ok_or_else(|| {
            StoreError::Inconsistent(format!("drop {}: the event of its version is missing", entry.id))
        })?;
        let mut room = Room::new(spec, entry.spec.commitment, UnixMillis::ZERO);
        room.version_at = version_at;
        if let (Some(draw), Some(stored)) = (&mut room.draw, stored) {
            draw.phase = stored.phase()?;
        }
        room.opened = row.get(5)?;
        let (tickets, serving): (u32, u32) = (row.get(6)?, row.get(7)?);
        let served_at: UnixMillis = row.get(8)?;
        room.clock = RoomClock { paused_ms: row.get(10)?, paused_at: row.get(11)? };
        tickets_of.insert(entry.id, load_tickets(connection, key, entry.id, &mut room)?);
        load_admissions(connection, entry.id, served_at, &mut room)?;
        room.rate_from = row.get(9)?;
        if (room.ticket_count(), room.serving, room.served_at) != (tickets, serving, served_at)
            && !failpoints::enabled(Bug::ServingGoesBack)
        {
            let what = "its tickets and admissions are not those that its row counts";
            return Err(StoreError::Inconsistent(format!("the room of drop {}: {what}", entry.id)));
        }
        entry.room = Some(Box::new(room));
    }
    Ok(tickets_of)
}

/// Loads the tickets of a room. Returns the events by which they were taken.
fn load_tickets(
    connection: &Connection,
    key: &DigestKey,
    drop_id: DropId,
    room: &mut Room,
) -> Result<Vec<Seq>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT number, buyer, seq FROM tickets WHERE drop_id = ?1 ORDER BY number")?;
    let mut rows = statement.query([drop_id])?;
    let (mut buyers, mut taken) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let number: u32 = row.get(0)?;
        let buyer = key.buyer(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?);
        buyers.push(buyer);
        taken.push(row.get(2)?);
        if usize::try_from(number) != Ok(buyers.len()) {
            let what = format!("the room of drop {drop_id}: ticket {number} is out of order");
            return Err(StoreError::Inconsistent(what));
        }
    }
    if failpoints::enabled(Bug::PositionsChangeAtRestart) {
        buyers.reverse();
    }
    for buyer in buyers {
        if room.ticket_of(&buyer).is_some() {
            let what = format!("the room of drop {drop_id}: a buyer has two tickets");
            return Err(StoreError::Inconsistent(what));
        }
        room.add_ticket(buyer, false);
    }
    Ok(taken)
}

/// Loads the admissions in which an order could be placed at the last one.
fn load_admissions(
    connection: &Connection,
    drop_id: DropId,
    served_at: UnixMillis,
    room: &mut Room,
) -> Result<(), StoreError> {
    let mut last =
        connection.prepare_cached("SELECT paused_ms FROM admissions WHERE drop_id = ?1 ORDER BY until DESC LIMIT 1")?;
    let last_paused_ms: Option<i64> = last.query_row([drop_id], |row| row.get(0)).optional()?;
    let last = RoomInstant::of(served_at, last_paused_ms.unwrap_or(0));
    let mut statement = connection
        .prepare_cached("SELECT until, at_ms, paused_ms FROM admissions WHERE drop_id = ?1 ORDER BY until")?;
    let mut rows = statement.query([drop_id])?;
    while let Some(row) = rows.next()? {
        let (until, at): (u32, UnixMillis) = (row.get(0)?, row.get(1)?);
        let reading = RoomInstant::of(at, row.get(2)?);
        if failpoints::enabled(Bug::ServingGoesBack) && at == served_at {
            continue;
        }
        if until <= room.serving || until > room.ticket_count() || !room.is_drawn() {
            let what = format!("the room of drop {drop_id}: an admission up to {until} is out of order");
            return Err(StoreError::Inconsistent(what));
        }
        if reading.plus_seconds(room.spec.order_seconds) > last {
            room.add_admission(until, reading);
        }
        (room.serving, room.served_at) = (until, at);
    }
    Ok(())
}
