//! Rows of waiting rooms, with what their drops say of stock and state.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::draws;
use crate::types::{BeaconRule, DrawState, DropId, RoomDraw, RoomSpec, RoomState, Seq, TicketNumber, UnixMillis};

/// The time over which the rate is measured, in milliseconds.
const RATE_MS: i64 = 30_000;

/// The parts of that time that the slowest and the fastest rate are of, in milliseconds.
const PART_MS: i64 = 10_000;

/// The measured speed of a room's admissions.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AdmissionRate {
    /// Tickets admitted per second over the last three times 10 seconds, as far as the room served in all of them; in the first
    /// 10 seconds since it began to serve. Rounded down to hundredths.
    pub mean: f64,
    /// Tickets admitted in the slowest and in the fastest of these times.
    parts: Option<(u32, u32)>,
}

impl AdmissionRate {
    /// The slowest and the fastest rate per second.
    #[must_use]
    pub fn bounds(&self) -> Option<(f64, f64)> {
        self.parts.map(|(least, most)| (f64::from(least) / 10.0, f64::from(most) / 10.0))
    }

    /// The seconds until a buyer is admitted with so many before: at the fastest rate the next admission is at once, at the
    /// slowest it has just been. `None` while the slowest admits no buyer.
    #[must_use]
    pub fn wait_for(&self, ahead: u32) -> Option<(u64, u64)> {
        let (least, most) = self.parts.filter(|(least, _)| *least > 0)?;
        let tenfold = |buyers: u64| buyers.saturating_mul(10);
        let ahead = u64::from(ahead);
        Some((tenfold(ahead) / u64::from(most), tenfold(ahead.saturating_add(1)).div_ceil(u64::from(least))))
    }
}

/// Returns the buyer of a ticket.
pub fn ticket_holder(connection: &Connection, drop: DropId, number: TicketNumber) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT buyer FROM tickets WHERE drop_id = ?1 AND number = ?2")?;
    statement.query_row(params![drop, number.get()], |row| row.get(0)).optional()
}

/// A room as clients see it.
#[derive(Clone, Debug)]
pub struct RoomRow {
    pub drop_id: DropId,
    pub spec: RoomSpec,
    pub starts_at: UnixMillis,
    pub available: u32,
    pub held: u32,
    pub paused: bool,
    pub tickets: u32,
    pub serving: u32,
    /// The first position whose time to order had not passed at the last admission.
    pub window_from: u32,
    /// The length of all pauses of the drop that are over, in milliseconds.
    pub paused_ms: i64,
    /// The version of the drop, which is the room's too.
    pub version: Seq,
    /// The instant of its version.
    pub updated_at: UnixMillis,
    /// The rate of the time before the version; `None` before the start.
    pub rate: Option<AdmissionRate>,
    opened: bool,
    started: bool,
    /// True if nothing is drawn, too.
    drawn: bool,
    ended: bool,
}

impl RoomRow {
    #[must_use]
    pub fn state(&self) -> RoomState {
        RoomState::of(self.opened, self.started, self.drawn, self.ended)
    }

    /// Returns whether every unit is sold.
    #[must_use]
    pub fn is_sold_for_good(&self) -> bool {
        self.available == 0 && self.held == 0
    }

    /// Returns whether no buyer can get a unit any more.
    #[must_use]
    pub fn has_no_odds(&self) -> bool {
        self.ended || self.is_sold_for_good()
    }
}

fn room_of(row: &Row<'_>) -> rusqlite::Result<RoomRow> {
    let (total, held, sold): (u32, u32, u32) = (row.get(7)?, row.get(8)?, row.get(9)?);
    let spec = spec_at(row, 1)?;
    Ok(RoomRow {
        drop_id: row.get(0)?,
        drawn: !spec.draw.is_random() || row.get(20)?,
        spec,
        available: total.saturating_sub(held).saturating_sub(sold),
        held,
        starts_at: row.get(10)?,
        started: row.get(11)?,
        paused: row.get(12)?,
        ended: row.get(13)?,
        version: row.get(14)?,
        opened: row.get(15)?,
        tickets: row.get(16)?,
        serving: row.get(17)?,
        window_from: row.get(18)?,
        paused_ms: row.get(22)?,
        updated_at: row.get(19)?,
        rate: None,
    })
}

/// Reads the parameters of a room from the column `first` on; `None` without a room.
pub(super) fn spec_of(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<RoomSpec>> {
    let opens_at: Option<UnixMillis> = row.get(first)?;
    opens_at.map(|_| spec_at(row, first)).transpose()
}

fn spec_at(row: &Row<'_>, first: usize) -> rusqlite::Result<RoomSpec> {
    let (draw, beacon_seconds): (RoomDraw, Option<u32>) = (row.get(first + 1)?, row.get(first + 5)?);
    let beacon = beacon_seconds.and_then(|seconds| draw.with_beacon(BeaconRule { seconds }));
    Ok(RoomSpec {
        opens_at: row.get(first)?,
        draw: beacon.unwrap_or(draw),
        admit_per_second: row.get(first + 2)?,
        order_seconds: row.get(first + 3)?,
        oversubscribe_percent: row.get(first + 4)?,
    })
}

/// Returns the room of a drop.
pub fn room_by_drop(connection: &Connection, drop_id: DropId) -> rusqlite::Result<Option<RoomRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT rooms.drop_id, opens_at_ms, draw, admit_per_second, order_seconds, oversubscribe_percent,
             (SELECT beacon_seconds FROM draws WHERE drop_id = rooms.drop_id),
             total, held, sold, starts_at_ms, started, paused, ended, version, opened, tickets, serving, window_from,
             audit.at_ms, EXISTS (SELECT 1 FROM draws WHERE drop_id = rooms.drop_id AND drawn_seq IS NOT NULL),
             (SELECT drawn.at_ms FROM draws JOIN audit AS drawn ON drawn.seq = drawn_seq WHERE draws.drop_id = rooms.drop_id),
             paused_ms
         FROM rooms JOIN drops ON drops.id = rooms.drop_id JOIN audit ON audit.seq = drops.version
         WHERE rooms.drop_id = ?1",
    )?;
    let read = |row: &Row<'_>| Ok((room_of(row)?, row.get(21)?));
    let found: Option<(RoomRow, Option<UnixMillis>)> = statement.query_row([drop_id], read).optional()?;
    let Some((mut room, drawn_at)) = found else { return Ok(None) };
    if room.started && room.drawn {
        let served = Service {
            from: drawn_at.map_or(room.starts_at, |drawn_at| drawn_at.max(room.starts_at)),
            serving: room.serving,
            admit_per_second: room.spec.admit_per_second,
        };
        room.rate = Some(admission_rate(connection, drop_id, &served, room.updated_at)?);
    }
    Ok(Some(room))
}

/// The time in which a room has admitted buyers, and how many.
struct Service {
    /// The start of the drop, or the end of the room's draw.
    from: UnixMillis,
    serving: u32,
    admit_per_second: u32,
}

/// Returns the speed at which a room that serves admits buyers at an instant.
pub fn rate_of(connection: &Connection, drop_id: DropId, at: UnixMillis) -> rusqlite::Result<Option<AdmissionRate>> {
    let mut statement = connection.prepare_cached(
        "SELECT max(starts_at_ms, ifnull(drawn.at_ms, 0)), serving, admit_per_second
         FROM rooms JOIN drops ON drops.id = rooms.drop_id
             LEFT JOIN draws ON draws.drop_id = rooms.drop_id LEFT JOIN audit AS drawn ON drawn.seq = draws.drawn_seq
         WHERE rooms.drop_id = ?1 AND started AND (draws.drop_id IS NULL OR drawn_seq IS NOT NULL)",
    )?;
    let service =
        |row: &Row<'_>| Ok(Service { from: row.get(0)?, serving: row.get(1)?, admit_per_second: row.get(2)? });
    let served = statement.query_row([drop_id], service).optional()?;
    served.map(|served| admission_rate(connection, drop_id, &served, at)).transpose()
}

/// Measures the rate of the time before an instant.
fn admission_rate(
    connection: &Connection,
    drop_id: DropId,
    served: &Service,
    at: UnixMillis,
) -> rusqlite::Result<AdmissionRate> {
    // Newest first: at most ten admissions a second are passed over.
    let mut statement = connection.prepare_cached(
        "SELECT until FROM admissions WHERE drop_id = ?1 AND at_ms <= ?2 ORDER BY until DESC LIMIT 1",
    )?;
    let mut served_by = |ms_before: i64| -> rusqlite::Result<u32> {
        let before = statement.query_row(params![drop_id, at.plus_millis(-ms_before)], |row| row.get(0));
        Ok(before.optional()?.unwrap_or(0))
    };
    let since = at.since(served.from);
    let mut parts: Option<(u32, u32)> = None;
    let (mut ms_before, mut until) = (0i64, served.serving);
    while ms_before < RATE_MS && ms_before.saturating_add(PART_MS).unsigned_abs() <= since {
        ms_before = ms_before.saturating_add(PART_MS);
        let from = served_by(ms_before)?;
        let admitted = until.saturating_sub(from);
        let (least, most) = parts.unwrap_or((admitted, admitted));
        (parts, until) = (Some((least.min(admitted), most.max(admitted))), from);
    }
    // In the first 10 s of everything since the beginning, over a second at least.
    let (admitted, ms) = match parts {
        Some(_) => (served.serving.saturating_sub(until), ms_before.unsigned_abs()),
        None => (served.serving, since.max(1000)),
    };
    // Two decimals: one buyer in the whole time is not 0.
    let hundredths = u64::from(admitted).saturating_mul(100_000) / ms.max(1);
    let mut mean = f64::from(u32::try_from(hundredths).unwrap_or(u32::MAX)) / 100.0;
    if parts.is_none() {
        // The first admission falls on the beginning itself, so that a short time has one too many.
        mean = mean.min(f64::from(served.admit_per_second));
    }
    Ok(AdmissionRate { mean, parts })
}

/// The line of a waiting room, and what it waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoomStanding {
    pub state: RoomState,
    /// Tickets that were taken.
    pub tickets: u32,
    /// Tickets that were admitted.
    pub serving: u32,
    /// The instant since which its draw waits for a beacon, if it does.
    pub beacon_awaited_since: Option<UnixMillis>,
}

/// Returns the line of a drop's room: a look by primary key.
pub(super) fn standing(connection: &Connection, drop_id: DropId) -> rusqlite::Result<Option<RoomStanding>> {
    let mut statement = connection.prepare_cached(
        "SELECT opened, started, ended,
             NOT EXISTS (SELECT 1 FROM draws WHERE drop_id = rooms.drop_id AND drawn_seq IS NULL), tickets, serving
         FROM rooms JOIN drops ON drops.id = rooms.drop_id
         WHERE rooms.drop_id = ?1",
    )?;
    let standing = statement.query_row([drop_id], |row| Ok((state_at(row)?, row.get(4)?, row.get(5)?)));
    let Some((state, tickets, serving)) = standing.optional()? else { return Ok(None) };
    let draw = if state == RoomState::Drawing { draws::draw_by_drop(connection, drop_id)? } else { None };
    let awaiting = draw.filter(|draw| draw.state() == DrawState::AwaitingBeacon);
    let beacon_awaited_since = awaiting.and_then(|draw| draw.fixed_at);
    Ok(Some(RoomStanding { state, tickets, serving, beacon_awaited_since }))
}

/// Counts the rooms in each state. Scans them all.
pub(super) fn count_by_state(connection: &Connection) -> rusqlite::Result<Vec<(RoomState, u64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT opened, started, ended,
             NOT EXISTS (SELECT 1 FROM draws WHERE drop_id = rooms.drop_id AND drawn_seq IS NULL), count(*)
         FROM rooms JOIN drops ON drops.id = rooms.drop_id GROUP BY 1, 2, 3, 4",
    )?;
    let counted = statement.query_map([], |row| Ok((state_at(row)?, row.get::<_, u32>(4)?)))?;
    let counted = counted.collect::<rusqlite::Result<Vec<(RoomState, u32)>>>()?;
    let of = |state| counted.iter().filter(|(known, _)| *known == state).map(|(_, count)| u64::from(*count)).sum();
    Ok(RoomState::ALL.into_iter().map(|state| (state, of(state))).collect())
}

/// Reads a room's state from its first four columns: opened, started, ended, and whether it is drawn or nothing is.
fn state_at(row: &Row<'_>) -> rusqlite::Result<RoomState> {
    Ok(RoomState::of(row.get(0)?, row.get(1)?, row.get(3)?, row.get(2)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> UnixMillis {
        UnixMillis::new(ms).expect("in range")
    }

    /// The rate at an instant of a room that serves since 100 s.
    fn rate(admissions: &[(u32, i64)], seconds: i64) -> AdmissionRate {
        rate_at(admissions, seconds * 1000, 1000)
    }

    fn rate_at(admissions: &[(u32, i64)], ms: i64, admit_per_second: u32) -> AdmissionRate {
        let connection = Connection::open_in_memory().expect("opened");
        connection
            .execute_batch("CREATE TABLE admissions (drop_id INTEGER, until INTEGER, at_ms INTEGER)")
            .expect("made");
        for (until, at_ms) in admissions {
            connection.execute("INSERT INTO admissions VALUES (1, ?1, ?2)", params![until, at_ms]).expect("written");
        }
        let serving = admissions.last().map_or(0, |(until, _)| *until);
        let drop_id = DropId::new(1).expect("not 0");
        let served = Service { from: at(100_000), serving, admit_per_second };
        admission_rate(&connection, drop_id, &served, at(ms)).expect("measured")
    }

    #[test]
    fn no_rate_is_above_the_room_s_and_none_lies_outside_of_its_bounds() {
        // Five buyers each 100 ms, from the beginning on.
        let steps: Vec<(u32, i64)> = (0..600).map(|step| (5 * (step + 1), 100_000 + 100 * i64::from(step))).collect();
        for since in (0..=45_000).step_by(37) {
            let until = steps.partition_point(|(_, at_ms)| *at_ms <= 100_000 + since);
            let measured = rate_at(&steps[..until], 100_000 + since, 50);
            assert!(measured.mean <= 50.0, "{since}: {measured:?}");
            assert!(since < 1000 || measured.mean > 47.0, "{since}: {measured:?}");
            if let Some((least, most)) = measured.bounds() {
                assert!(least <= measured.mean && measured.mean <= most, "{since}: {measured:?}");
            }
        }
        assert_eq!(rate_at(&steps[..20], 101_999, 50).mean, 50.0, "100 buyers in 1,999 ms");
        // A crowd of the first instant is no speed of what comes later.
        let burst = [(40, 100_050), (41, 114_000)];
        for since in [10_051, 15_000, 19_000, 23_999, 44_000] {
            let until = burst.partition_point(|(_, at_ms)| *at_ms <= 100_000 + since);
            let measured = rate_at(&burst[..until], 100_000 + since, 50);
            let (least, most) = measured.bounds().expect("after 10 s");
            assert!(least <= measured.mean && measured.mean <= most, "{since}: {measured:?}");
        }
    }

    #[test]
    fn the_rate_of_a_room_is_measured_and_nothing_is_estimated_without_a_measure() {
        // 50 buyers in 10 s, 10 in the next, 20 in the last.
        let admissions: Vec<_> = [(50, 100), (60, 110), (80, 120)]
            .into_iter()
            .flat_map(|(until, from)| {
                let of_part: Vec<_> = (1..=10).map(|n| (until - (10 - n), from * 1000 + i64::from(n) * 1000)).collect();
                of_part
            })
            .collect();
        let whole = rate(&admissions, 130);
        assert_eq!((whole.mean, whole.bounds()), (2.66, Some((1.0, 5.0))));
        assert_eq!(whole.wait_for(7), Some((1, 8)));
        assert_eq!(whole.wait_for(0), Some((0, 1)), "the buyer's own admission takes time, too");
        let one_part = rate(&admissions[..10], 110);
        assert_eq!((one_part.mean, one_part.bounds()), (5.0, Some((5.0, 5.0))));
        let early = rate(&admissions[..9], 109);
        assert_eq!((early.bounds(), early.wait_for(7)), (None, None), "no 10 s have passed since the start");
        let later = rate(&admissions, 145);
        assert_eq!(later.bounds(), Some((0.0, 2.0)), "no buyer was admitted for 10 s");
        assert_eq!(later.wait_for(7), None);
        assert_eq!(rate(&admissions, 1000).mean, 0.0);
    }
}
