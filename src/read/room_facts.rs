//! Facts about rooms that answers to tickets need and that the engine does not have: tickets are taken as often as orders, so
//! each worker reads a fact at most once a second, or once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::draws::commitment_of;
use super::{AdmissionRate, Reader};
use crate::types::{Commitment, Digest, DropId, TicketDigest};

/// The time for which a measured rate is used.
const RATE_AGE_MAX: Duration = Duration::from_secs(1);

/// Facts that one worker has read.
pub struct RoomFacts {
    rates: BTreeMap<DropId, (Instant, Option<AdmissionRate>)>,
    /// They never change. `None` where nothing is drawn.
    commitments: BTreeMap<DropId, Option<Commitment>>,
    max: usize,
}

impl RoomFacts {
    /// Returns an empty cache for the facts of `max` rooms.
    #[must_use]
    pub fn new(max: usize) -> RoomFacts {
        RoomFacts { rates: BTreeMap::new(), commitments: BTreeMap::new(), max }
    }

    /// Returns the rate of a drop's room: one that is not older than a second, or one that is measured now.
    pub fn rate(
        &mut self,
        id: DropId,
        now: Instant,
        measure: impl FnOnce() -> rusqlite::Result<Option<AdmissionRate>>,
    ) -> rusqlite::Result<Option<AdmissionRate>> {
        if let Some((measured_at, rate)) = self.rates.get(&id)
            && now.saturating_duration_since(*measured_at) < RATE_AGE_MAX
        {
            return Ok(*rate);
        }
        let rate = measure()?;
        put(&mut self.rates, self.max, id, (now, rate));
        Ok(rate)
    }

    /// Returns the digest of a buyer's ticket, if the room draws: the buyer keeps it for the proof. The drop exists. A read
    /// that fails takes nothing from the ticket, which is decided.
    pub fn ticket_digest(&mut self, reader: &Reader, id: DropId, buyer: &Digest) -> Option<TicketDigest> {
        let commitment = self.commitment(reader, id).unwrap_or_else(|error| {
            tracing::warn!(%error, drop_id = id.get(), "the commitment of a draw could not be read");
            None
        });
        commitment.map(|commitment| TicketDigest::of(&commitment, buyer))
    }

    /// Returns the commitment of the draw of a drop that exists.
    fn commitment(&mut self, reader: &Reader, id: DropId) -> rusqlite::Result<Option<Commitment>> {
        if let Some(commitment) = self.commitments.get(&id) {
            return Ok(*commitment);
        }
        let commitment = reader.read(|connection| commitment_of(connection, id))?;
        put(&mut self.commitments, self.max, id, commitment);
        Ok(commitment)
    }
}

fn put<T>(facts: &mut BTreeMap<DropId, T>, max: usize, id: DropId, fact: T) {
    if facts.len() >= max && !facts.contains_key(&id) {
        // Rare and simple: each is read again when it is asked for.
        facts.clear();
    }
    facts.insert(id, fact);
}
