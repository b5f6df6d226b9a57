//! Samples of single drops and auctions for the metrics: the live and scheduled ones that changed last. Their number is
//! bounded, and with it the number of series.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};

use super::Reader;
use super::rooms::{self, RoomStanding};
use crate::types::{AuctionEnding, AuctionId, AuctionState, DropId, RoomState, UnitPrice, UnixMillis};

/// Maximum number of sampled drops, and of auctions.
pub const SHOWN_MAX: u32 = 20;
/// Characters of a name that are shown: enough to tell drops apart in a legend.
const NAME_CHARS_MAX: u32 = 64;
/// Minimum time between two selections.
const CHOICE_HOLDS: Duration = Duration::from_secs(1);
/// A selection scans every drop. It may take one part in this many of the thread's time.
const CHOOSING_SHARE: u32 = 100;

/// Selects drops and auctions, and samples them.
#[derive(Default)]
pub struct MetricsSampler {
    drops: Vec<DropId>,
    auctions: Vec<AuctionId>,
    by_state: Vec<(AuctionState, u64)>,
    rooms_by_state: Vec<(RoomState, u64)>,
    until: Option<Instant>,
}

/// Units of a drop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DropStock {
    pub id: DropId,
    /// The name, at most `NAME_CHARS_MAX` characters of it.
    pub name: String,
    pub total: u32,
    /// Units of live orders.
    pub held: u32,
    /// Units of paid orders.
    pub sold: u32,
    /// Buyers who stand by.
    pub standby: u32,
    /// Start time, if the drop has started.
    pub started_at: Option<UnixMillis>,
    /// True while an operator or the auditor has paused it.
    pub paused: bool,
    /// The drop's waiting room, if there is one.
    pub room: Option<RoomStanding>,
}

/// Price and end of an auction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuctionStanding {
    pub id: AuctionId,
    /// The name, at most `NAME_CHARS_MAX` characters of it.
    pub name: String,
    /// Current price; `None` before the first bid.
    pub current: Option<UnitPrice>,
    /// Number of accepted bids.
    pub bids: u32,
    pub ends_at: UnixMillis,
}

/// One sample of drops and auctions.
#[derive(Default, Debug)]
pub struct MetricsSample {
    /// Drops, the latest change first.
    pub drops: Vec<DropStock>,
    /// Auctions, the latest change first.
    pub auctions: Vec<AuctionStanding>,
    /// Number of auctions in each state.
    pub by_state: Vec<(AuctionState, u64)>,
    /// Number of waiting rooms in each state.
    pub rooms_by_state: Vec<(RoomState, u64)>,
}

impl MetricsSampler {
    /// Takes a sample at one snapshot.
    pub fn sample(&mut self, reader: &Reader) -> rusqlite::Result<MetricsSample> {
        let started = Instant::now();
        if self.until.is_none_or(|until| until <= started) {
            reader.snapshot(|connection| self.choose(connection))?;
            let took = started.elapsed();
            self.until = Some(Instant::now() + CHOICE_HOLDS.max(took.saturating_mul(CHOOSING_SHARE)));
        }
        reader.snapshot(|connection| {
            let (mut drops, mut auctions) = (Vec::new(), Vec::new());
            for id in &self.drops {
                drops.extend(stock(connection, *id)?);
            }
            for id in &self.auctions {
                auctions.extend(standing(connection, *id)?);
            }
            let (by_state, rooms_by_state) = (self.by_state.clone(), self.rooms_by_state.clone());
            Ok(MetricsSample { drops, auctions, by_state, rooms_by_state })
        })
    }

    fn choose(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "SELECT id FROM drops WHERE ended = 0 AND NOT EXISTS (SELECT 1 FROM auctions WHERE drop_id = drops.id)
             ORDER BY version DESC LIMIT ?1",
        )?;
        self.drops = statement.query_map([SHOWN_MAX], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        let mut statement = connection.prepare_cached(
            "SELECT auctions.id FROM auctions JOIN drops ON drops.id = auctions.drop_id
             WHERE auctions.state = 'scheduled' OR auctions.state = 'live' ORDER BY drops.version DESC LIMIT ?1",
        )?;
        self.auctions = statement.query_map([SHOWN_MAX], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        let mut statement = connection.prepare_cached("SELECT state, count(*) FROM auctions GROUP BY state")?;
        let counted = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, u32>(1)?)))?;
        let counted = counted.collect::<rusqlite::Result<Vec<(AuctionState, u32)>>>()?;
        let count = |state| counted.iter().find(|(known, _)| *known == state).map_or(0, |(_, count)| u64::from(*count));
        let plain = [AuctionState::Scheduled, AuctionState::Live, AuctionState::Cancelled];
        let states = plain.into_iter().chain(AuctionEnding::ALL.map(AuctionState::Ended));
        self.by_state = states.map(|state| (state, count(state))).collect();
        self.rooms_by_state = rooms::count_by_state(connection)?;
        Ok(())
    }
}

fn stock(connection: &Connection, id: DropId) -> rusqlite::Result<Option<DropStock>> {
    let mut statement = connection.prepare_cached(
        "SELECT total, held, sold, started, starts_at_ms, substr(name, 1, ?2), standby, paused FROM drops WHERE id = ?1",
    )?;
    let stock = statement.query_row(params![id, NAME_CHARS_MAX], |row| {
        let started: bool = row.get(3)?;
        let started_at = if started { Some(row.get(4)?) } else { None };
        let (total, held, sold, name) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(5)?);
        let (standby, paused) = (row.get(6)?, row.get(7)?);
        Ok(DropStock { id, name, total, held, sold, standby, started_at, paused, room: None })
    });
    let Some(stock) = stock.optional()? else { return Ok(None) };
    Ok(Some(DropStock { room: rooms::standing(connection, id)?, ..stock }))
}

fn standing(connection: &Connection, id: AuctionId) -> rusqlite::Result<Option<AuctionStanding>> {
    let mut statement = connection.prepare_cached(
        "SELECT current, bids, auctions.ends_at_ms, substr(name, 1, ?2) FROM auctions
         JOIN drops ON drops.id = auctions.drop_id WHERE auctions.id = ?1",
    )?;
    let standing = statement.query_row(params![id, NAME_CHARS_MAX], |row| {
        let (current, bids, ends_at, name) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(AuctionStanding { id, name, current, bids, ends_at })
    });
    standing.optional()
}
