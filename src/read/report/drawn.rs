//! The draw of a line, drawn again from what is public: the report does not believe the positions that were published.

use std::num::NonZeroU32;

use rusqlite::Connection;

use super::fairness::arrival_correlation;
use crate::engine::draw::{DrawRun, DrawStep, Permutation, TicketSet};
use crate::read::DrawRow;
use crate::read::draws::draw_by_drop;
use crate::types::{Beacon, DropId, TicketNumber};

/// Tickets that are drawn in one step: about 10 ms.
const TICKETS_PER_STEP: NonZeroU32 = NonZeroU32::new(20_000).unwrap();

/// A draw as it is published, and its order as it follows from that.
pub struct DrawFacts {
    pub row: DrawRow,
    run: Option<DrawRun>,
    order: Option<Permutation>,
    /// True if the seed is the one that was committed to, and the result follows; `None` before the draw.
    pub is_proven: Option<bool>,
}

impl DrawFacts {
    /// Reads the draw of a drop; `None` without one.
    pub(super) fn read(connection: &Connection, drop_id: DropId) -> rusqlite::Result<Option<DrawFacts>> {
        let Some(row) = draw_by_drop(connection, drop_id)? else { return Ok(None) };
        let tickets = row.tickets.zip(row.root).and_then(|(count, root)| TicketSet::new(count, root));
        let run = tickets
            .zip(row.seed.as_ref())
            .map(|(tickets, seed)| DrawRun::new(&tickets, seed, row.beacon.as_ref().unwrap_or(&Beacon::default())));
        Ok(Some(DrawFacts { row, run, order: None, is_proven: None }))
    }

    /// Does the next part of the work. Returns true if there is more.
    pub(super) fn step(&mut self) -> bool {
        let Some(run) = self.run.take() else { return false };
        match run.step(TICKETS_PER_STEP) {
            DrawStep::More(run) => {
                self.run = Some(run);
                true
            }
            DrawStep::Done(drawn) => {
                let is_committed = self.row.seed.as_ref().is_some_and(|seed| seed.commitment() == self.row.commitment);
                self.is_proven = Some(is_committed && self.row.result == Some(drawn.result));
                self.order = Some(drawn.order);
                false
            }
        }
    }

    /// Returns the position of a ticket: by the draw, or behind it in the order of arrival. `None` before the draw.
    pub(super) fn position_of(&self, number: TicketNumber) -> Option<u32> {
        let order = self.order.as_ref()?;
        Some(order.position(number).unwrap_or(number.position_by_arrival()).0)
    }

    /// Returns the correlation of arrival and position among the drawn tickets, in millionths.
    pub(super) fn correlation(&self) -> Option<i64> {
        arrival_correlation(self.order.as_ref()?.positions())
    }
}
