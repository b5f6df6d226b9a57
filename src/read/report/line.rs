//! The facts of a line: the tickets of a waiting room, or the recorded orders of a blind window.

use hdrhistogram::Histogram;
use rusqlite::{Connection, OptionalExtension, params};

use super::drawn::DrawFacts;
use super::durations;
use super::fairness::{ArrivalHistogram, ArrivalOfUnits, TENTHS, arrival_correlation};
use crate::read::rooms::room_by_drop;
use crate::types::{DropId, RoomDraw, TicketNumber, UnixMillis};

/// The line of a room, or the recorded orders of a blind window.
pub struct LineFacts {
    /// True for a blind window: its orders count as tickets, and as admitted once the draw gave them units.
    pub is_blind: bool,
    pub draw: RoomDraw,
    pub tickets: u32,
    pub admitted: u32,
    /// The times at which tickets were taken; `None` without any.
    pub arrivals: Option<ArrivalHistogram>,
    /// Tenths of the tickets, in the order of arrival.
    pub tenths: [TenthFacts; TENTHS],
    /// The draw of the positions; `None` where they are by arrival.
    pub proof: Option<DrawFacts>,
    units: ArrivalOfUnits,
    /// Milliseconds from the ticket, and from the start or the ticket if that came later, to the admission, and from there to
    /// the order.
    pub since_ticket: Histogram<u64>,
    pub since_start: Histogram<u64>,
    pub until_order: Histogram<u64>,
    /// Tickets that were admitted and whose buyers have no order.
    pub without_order: u64,
    starts_at: UnixMillis,
    /// Positions below `.0` were admitted at `.1`, ascending.
    pub(super) admissions: Vec<(u32, UnixMillis)>,
}

/// A tenth of the tickets.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct TenthFacts {
    pub tickets: u64,
    pub admitted: u64,
    /// Tickets whose buyers have units.
    pub with_units: u64,
}

impl LineFacts {
    fn new(
        draw: RoomDraw,
        tickets: u32,
        (arrivals, proof): (Option<ArrivalHistogram>, Option<DrawFacts>),
        starts_at: UnixMillis,
    ) -> LineFacts {
        LineFacts {
            is_blind: false,
            draw,
            tickets,
            admitted: 0,
            arrivals,
            tenths: [TenthFacts::default(); TENTHS],
            proof,
            units: ArrivalOfUnits::default(),
            since_ticket: durations(),
            since_start: durations(),
            until_order: durations(),
            without_order: 0,
            starts_at,
            admissions: Vec::new(),
        }
    }

    /// Returns the correlation of arrival and position, in millionths; of a draw that of the drawn tickets.
    #[must_use]
    pub fn with_position(&self) -> Option<i64> {
        match &self.proof {
            Some(draw) => draw.correlation(),
            None => arrival_correlation(&[0, 1]).filter(|_| self.tickets > 1),
        }
    }

    /// Returns the correlation of arrival and units, in millionths.
    #[must_use]
    pub fn with_units(&self) -> Option<i64> {
        self.units.correlation()
    }

    /// Returns when the ticket at a position was admitted; `None` if it was not.
    pub(super) fn admitted_at(&self, position: u32) -> Option<UnixMillis> {
        let index = self.admissions.partition_point(|(until, _)| *until <= position);
        self.admissions.get(index).map(|(_, at)| *at)
    }

    pub(super) fn position_of(&self, number: u32) -> Option<u32> {
        match &self.proof {
            Some(draw) => draw.position_of(TicketNumber::new(number)?),
            None => number.checked_sub(1),
        }
    }

    /// Counts a ticket; its holder has units, and the instant of the first order, if there is one.
    pub(super) fn count_ticket(
        &mut self,
        number: u32,
        at: UnixMillis,
        admitted_at: Option<UnixMillis>,
        (holder, is_whole): (Option<(u32, UnixMillis)>, bool),
    ) {
        let has_units = holder.is_some_and(|(units, _)| units > 0);
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.add(at);
        }
        let place = u64::from(number.saturating_sub(1)).saturating_mul(10) / u64::from(self.tickets.max(1));
        if let Some(tenth) = usize::try_from(place).ok().and_then(|place| self.tenths.get_mut(place)) {
            tenth.tickets = tenth.tickets.saturating_add(1);
            tenth.admitted = tenth.admitted.saturating_add(u64::from(admitted_at.is_some()));
            tenth.with_units = tenth.with_units.saturating_add(u64::from(has_units));
        }
        self.units.add(has_units);
        let Some(admitted_at) = admitted_at else { return };
        if self.is_blind {
            self.admitted = self.admitted.saturating_add(1);
        }
        self.since_ticket.saturating_record(admitted_at.since(at));
        self.since_start.saturating_record(admitted_at.since(at.max(self.starts_at)));
        match holder {
            Some((_, ordered_at)) => self.until_order.saturating_record(ordered_at.since(admitted_at)),
            None => self.without_order = self.without_order.saturating_add(u64::from(is_whole)),
        }
    }
}

/// Reads the line of a drop's room, or of its blind window, at this snapshot; `None` without either.
pub(super) fn line_of(connection: &Connection, drop_id: DropId) -> rusqlite::Result<Option<LineFacts>> {
    let Some(room) = room_by_drop(connection, drop_id)? else { return window_of(connection, drop_id) };
    let mut statement = connection.prepare_cached("SELECT at_ms FROM tickets WHERE drop_id = ?1 AND number = ?2")?;
    let mut taken = |number: u32| statement.query_row(params![drop_id, number], |row| row.get(0)).optional();
    let (first, last): (Option<UnixMillis>, Option<UnixMillis>) = (taken(1)?, taken(room.tickets)?);
    let arrivals = first.zip(last).map(|(first, last)| ArrivalHistogram::between(first, last));
    let proof = DrawFacts::read(connection, drop_id)?;
    let line = LineFacts::new(room.spec.draw, room.tickets, (arrivals, proof), room.starts_at);
    Ok(Some(LineFacts { admitted: room.serving, ..line }))
}

fn window_of(connection: &Connection, drop_id: DropId) -> rusqlite::Result<Option<LineFacts>> {
    let mut statement = connection.prepare_cached("SELECT starts_at_ms FROM drops WHERE id = ?1 AND blind_ms > 0")?;
    let Some(starts_at) = statement.query_row([drop_id], |row| row.get(0)).optional()? else { return Ok(None) };
    let mut statement = connection
        .prepare_cached("SELECT number, joined_at_ms FROM standby WHERE drop_id = ?1 AND number IS NOT NULL ORDER BY number DESC LIMIT 1")?;
    let last: Option<(u32, UnixMillis)> =
        statement.query_row([drop_id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let mut statement =
        connection.prepare_cached("SELECT joined_at_ms FROM standby WHERE drop_id = ?1 AND number = 1")?;
    let first: Option<UnixMillis> = statement.query_row([drop_id], |row| row.get(0)).optional()?;
    let arrivals = first.zip(last).map(|(first, (_, last))| ArrivalHistogram::between(first, last));
    let (recorded, proof) = (last.map_or(0, |(number, _)| number), DrawFacts::read(connection, drop_id)?);
    let line = LineFacts::new(RoomDraw::Random { beacon: None }, recorded, (arrivals, proof), starts_at);
    Ok(Some(LineFacts { is_blind: true, ..line }))
}
