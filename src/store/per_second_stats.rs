//! Figures per drop and second: refusals are not events, but a buyer's question "why did I get nothing?" needs an answer.
//!
//! The writer counts in memory and writes with the next commit, or by itself within a second.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::{Connection, Statement, params};

use crate::engine::{Effect, Outcome, Refusal};
use crate::types::{DropId, Quantity, UnixMillis};

/// Figures of one drop in one second.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PerSecondFigures {
    /// Accepted orders, and their units in the next field.
    pub orders: u32,
    pub units: u32,
    pub other_commands: u32,
    pub repeated: u32,
    pub key_reused: u32,
    pub not_started: u32,
    pub ended: u32,
    pub paused: u32,
    pub limit_reached: u32,
    pub sold_out: u32,
    /// Orders of buyers whom the waiting room had not admitted.
    pub not_admitted: u32,
    pub other_refusals: u32,
    /// Sum over the commands.
    pub queue_wait_us: u64,
    pub queue_wait_us_max: u64,
    pub commits: u32,
    pub commit_us: u64,
}

/// Figures that are not yet written to the file.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PerSecondTally {
    /// By drop, and by second since 1970.
    pub figures: BTreeMap<(DropId, i64), PerSecondFigures>,
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn bump(counter: &mut u32) {
    *counter = counter.saturating_add(1);
}

impl PerSecondTally {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.figures.is_empty()
    }

    /// Empties the tally: a commit has written it.
    pub fn clear(&mut self) {
        self.figures.clear();
    }

    /// Counts an outcome of a command on a drop.
    pub fn count(&mut self, drop_id: DropId, at: UnixMillis, outcome: &Outcome, queue_wait: Duration) {
        let figures = self.figures.entry((drop_id, at.second())).or_default();
        match outcome {
            Outcome::Accepted(Effect::Reserved(reservation)) => figures.count_order(reservation.quantity),
            Outcome::Accepted(_) => bump(&mut figures.other_commands),
            Outcome::Repeated { .. } => bump(&mut figures.repeated),
            Outcome::Refused { refusal, .. } => figures.count_refusal(refusal),
            Outcome::Advanced => {}
        }
        let wait = microseconds(queue_wait);
        figures.queue_wait_us = figures.queue_wait_us.saturating_add(wait);
        figures.queue_wait_us_max = figures.queue_wait_us_max.max(wait);
    }

    /// Counts a commit that changed a drop.
    pub fn count_commit(&mut self, drop_id: DropId, at: UnixMillis, took: Duration) {
        let figures = self.figures.entry((drop_id, at.second())).or_default();
        bump(&mut figures.commits);
        figures.commit_us = figures.commit_us.saturating_add(microseconds(took));
    }
}

impl PerSecondFigures {
    fn count_order(&mut self, quantity: Quantity) {
        bump(&mut self.orders);
        self.units = self.units.saturating_add(quantity.units());
    }

    fn count_refusal(&mut self, refusal: &Refusal) {
        bump(match refusal {
            Refusal::KeyReused => &mut self.key_reused,
            Refusal::NotStarted { .. } => &mut self.not_started,
            Refusal::Ended { .. } => &mut self.ended,
            Refusal::DropPaused => &mut self.paused,
            Refusal::LimitReached { .. } => &mut self.limit_reached,
            Refusal::SoldOut(_) | Refusal::AllSold { .. } => &mut self.sold_out,
            Refusal::NotAdmitted { .. } => &mut self.not_admitted,
            Refusal::NotFound
            | Refusal::IdentityLimitReached { .. }
            | Refusal::OrderExpired { .. }
            | Refusal::IllegalTransition { .. }
            | Refusal::BidTooLow { .. }
            | Refusal::ExposureReached { .. }
            | Refusal::MismatchStands { .. }
            | Refusal::BeaconNotTaken { .. }
            | Refusal::NotOpen { .. }
            | Refusal::PreconditionFailed { .. }
            | Refusal::Invalid(_) => &mut self.other_refusals,
        });
    }
}

/// Adds figures to the rows of their seconds.
pub(super) struct PerSecondWriter<'conn>(Statement<'conn>);

impl<'conn> PerSecondWriter<'conn> {
    pub(super) fn new(connection: &'conn Connection) -> rusqlite::Result<PerSecondWriter<'conn>> {
        let statement = connection.prepare(
            "INSERT INTO drop_seconds (drop_id, second, orders, units, other_commands, repeated, key_reused, not_started,
                 ended, paused, limit_reached, sold_out, not_admitted, other_refusals, queue_wait_us, queue_wait_us_max,
                 commits, commit_us)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
             ON CONFLICT (drop_id, second) DO UPDATE SET
                 orders = orders + excluded.orders, units = units + excluded.units,
                 other_commands = other_commands + excluded.other_commands, repeated = repeated + excluded.repeated,
                 key_reused = key_reused + excluded.key_reused, not_started = not_started + excluded.not_started,
                 ended = ended + excluded.ended, paused = paused + excluded.paused,
                 limit_reached = limit_reached + excluded.limit_reached, sold_out = sold_out + excluded.sold_out,
                 not_admitted = not_admitted + excluded.not_admitted,
                 other_refusals = other_refusals + excluded.other_refusals,
                 queue_wait_us = queue_wait_us + excluded.queue_wait_us,
                 queue_wait_us_max = max(queue_wait_us_max, excluded.queue_wait_us_max),
                 commits = commits + excluded.commits, commit_us = commit_us + excluded.commit_us",
        )?;
        Ok(PerSecondWriter(statement))
    }

    /// Adds a tally to the rows.
    pub(super) fn write(&mut self, tally: &PerSecondTally) -> rusqlite::Result<()> {
        let clamp = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        for ((drop_id, second), f) in &tally.figures {
            self.0.execute(params![
                drop_id,
                second,
                f.orders,
                f.units,
                f.other_commands,
                f.repeated,
                f.key_reused,
                f.not_started,
                f.ended,
                f.paused,
                f.limit_reached,
                f.sold_out,
                f.not_admitted,
                f.other_refusals,
                clamp(f.queue_wait_us),
                clamp(f.queue_wait_us_max),
                f.commits,
                clamp(f.commit_us),
            ])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::SoldOut;
    use crate::store::Store;
    use crate::types::{OrderState, Seq};

    const COLUMNS: [&str; 16] = [
        "orders",
        "units",
        "other_commands",
        "repeated",
        "key_reused",
        "not_started",
        "ended",
        "paused",
        "limit_reached",
        "sold_out",
        "not_admitted",
        "other_refusals",
        "queue_wait_us",
        "queue_wait_us_max",
        "commits",
        "commit_us",
    ];

    #[test]
    fn every_figure_is_in_its_column_and_added_to_the_second() {
        let scratch = tempfile::tempdir().expect("scratch");
        let store = Store::open(scratch.path(), UnixMillis::ZERO).expect("made");
        let at = UnixMillis::ZERO;
        let refusals = [
            Refusal::KeyReused,
            Refusal::NotStarted { starts_at: at },
            Refusal::Ended { ends_at: at },
            Refusal::DropPaused,
            Refusal::LimitReached { limit: 1, used: 1 },
            Refusal::SoldOut(SoldOut { available: 0, held: 0, next_expiry_at: None, standby: 0 }),
            Refusal::NotAdmitted { position: None, serving: 0 },
            Refusal::NotFound,
            Refusal::OrderExpired { expired_at: at },
            Refusal::IllegalTransition { from: OrderState::Paid, to: OrderState::Paid },
        ];
        let drop_id = DropId::new(1).expect("in range");
        let mut writer = PerSecondWriter::new(&store.connection).expect("prepared");
        for _ in 0..2 {
            let mut tally = PerSecondTally::default();
            assert!(tally.is_empty());
            for (index, refusal) in refusals.clone().into_iter().enumerate() {
                let outcome = Outcome::Refused { as_of_seq: Seq::ZERO, refusal };
                // Each kind of refusal another number of times.
                for _ in 0..=index {
                    tally.count(drop_id, at, &outcome, Duration::from_micros(7));
                }
            }
            tally.figures.get_mut(&(drop_id, 0)).expect("counted").count_order(Quantity::new(3).expect("in range"));
            tally.count_commit(drop_id, at, Duration::from_micros(40));
            tally.count_commit(drop_id, at, Duration::from_micros(2));
            assert!(!tally.is_empty());
            writer.write(&tally).expect("written");
        }
        let sql = format!("SELECT {} FROM drop_seconds WHERE drop_id = 1 AND second = 0", COLUMNS.join(", "));
        let found: Vec<i64> = store
            .connection
            .query_row(&sql, [], |row| (0..COLUMNS.len()).map(|column| row.get(column)).collect())
            .expect("one row");
        let others = 8 + 9 + 10;
        assert_eq!(found, [2, 6, 0, 0, 2, 4, 6, 8, 10, 12, 14, 2 * others, 2 * 55 * 7, 7, 4, 84]);
    }
}
