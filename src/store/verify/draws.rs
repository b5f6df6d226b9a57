//! Draws, compared with what their events say, and drawn again: the root over the digests of the audited tickets, and the
//! result of seed, beacon and tickets.

use std::collections::BTreeMap;

use rusqlite::Connection;
use serde_json::Value as Json;

use super::expected_row::{ExpectedRow, detail_of};
use super::report::VerifyReport;
use super::words::MissingRow;
use crate::engine::FinishedDraw;
use crate::engine::draw::{TicketSet, TreeBuilder};
use crate::store::audit::AuditRow;
use crate::types::{Beacon, Commitment, Digest, DropId, MerkleRoot, Seed, TicketDigest, TicketNumber, TicketPosition};

/// Columns that have the values of members of events; hashes as hexadecimal digits.
const COLUMNS: [&str; 10] = [
    "commitment",
    "beacon_seconds",
    "tickets",
    "root",
    "fixed_at_ms",
    "beacon",
    "beacon_source",
    "ready",
    "result",
    "drawn_seq",
];

/// A draw by its audit rows.
struct AuditedDraw {
    row: ExpectedRow,
    commitment: Option<Commitment>,
    waits: bool,
    /// The kind of the event that fixes the number of tickets: the start, or the end of a blind window.
    begins_with: &'static str,
    /// The number of tickets then.
    tickets: Option<u32>,
    set: Option<TicketSet>,
    beacon: Option<Beacon>,
    /// The seed that was published.
    seed: Option<Seed>,
    /// The order that they give.
    drawn: Option<FinishedDraw>,
}

/// All draws by the audit, by their drops.
#[derive(Default)]
pub(super) struct AuditedDraws(BTreeMap<DropId, AuditedDraw>);

fn is_of_draw(row: &AuditRow) -> bool {
    matches!(&*row.kind, "room_tickets_fixed" | "room_beacon_posted" | "room_beacon_missed" | "room_drawn")
}

impl AuditedDraws {
    /// Returns whether [`AuditedDraws::add`] needs the row.
    pub(super) fn concern(&self, id: DropId, row: &AuditRow) -> bool {
        &*row.kind == "drop_created" || is_of_draw(row) || self.0.contains_key(&id)
    }

    /// Adds a row that belongs to a drop; `buyers` are the digests of the tickets, or of the recorded orders, so far.
    pub(super) fn add<'a>(
        &mut self,
        id: DropId,
        row: &AuditRow,
        tickets: u32,
        buyers: impl Iterator<Item = &'a [u8; 16]>,
        report: &mut VerifyReport,
    ) {
        if &*row.kind == "drop_created" {
            let detail = detail_of(row);
            if detail.get("commitment").is_some() {
                self.0.insert(id, AuditedDraw::created(row, &detail));
            }
            return;
        }
        let is_of_draw = is_of_draw(row);
        match self.0.get_mut(&id) {
            Some(known) if &*row.kind == known.begins_with => known.begin(tickets),
            Some(known) if is_of_draw => known.change(id, row, buyers, report),
            Some(_) => {}
            None if is_of_draw => {
                report.problem(format!("event {} is about the draw of drop {id}, which has none", row.seq));
            }
            None => {}
        }
    }

    /// The number of the recorded order at a position of a drop's draw; `None` before it is done.
    pub(super) fn number_at(&self, id: DropId, position: u32) -> Option<u32> {
        let drawn = self.0.get(&id)?.drawn.as_ref()?;
        let number = drawn.drawn.order.number(TicketPosition(position));
        Some(number.map_or(position.saturating_add(1), TicketNumber::get))
    }

    /// Compares all rows of draws. No problem tells a seed.
    pub(super) fn compare(&self, connection: &Connection, report: &mut VerifyReport) -> rusqlite::Result<()> {
        let mut statement = connection.prepare(
            "SELECT drop_id, seed, lower(hex(commitment)), beacon_seconds, tickets, lower(hex(root)), fixed_at_ms,
                 lower(hex(beacon)), beacon_source, ready, lower(hex(result)), drawn_seq
             FROM draws ORDER BY drop_id",
        )?;
        let mut rows = statement.query([])?;
        let mut draws = 0usize;
        let mut missing = MissingRow::of(self.0.keys().copied());
        while let Some(row) = rows.next()? {
            let id: DropId = row.get(0)?;
            let Some(told) = self.0.get(&id) else {
                report.problem(format!("the draw of drop {id} has a row, but no event created it"));
                continue;
            };
            draws = draws.saturating_add(1);
            missing.found(&id);
            told.row.compare(row, 2, format_args!("the draw of drop {id}"), report)?;
            let seed: Seed = row.get(1)?;
            if Some(seed.commitment()) != told.commitment || told.seed.as_ref().is_some_and(|told| *told != seed) {
                report.problem(format!("the draw of drop {id}: its seed is not the one that was committed to"));
            }
        }
        if let Some(id) = missing.first() {
            let created = self.0.len();
            report.problem(format!("{created} draws were created, {draws} have a row: the draw of drop {id} has none"));
        }
        Ok(())
    }
}

impl AuditedDraw {
    fn created(row: &AuditRow, detail: &Json) -> AuditedDraw {
        let mut expected = ExpectedRow::new(&COLUMNS);
        // The digits of a blob that is not there are an empty text.
        for hash in ["root", "beacon", "result"] {
            expected.set(hash, String::new());
        }
        for nothing in ["beacon_seconds", "tickets", "fixed_at_ms", "beacon_source", "drawn_seq"] {
            expected.set(nothing, rusqlite::types::Value::Null);
        }
        expected.set("ready", 0);
        expected.set_from("commitment", detail, "commitment");
        let room = detail.get("room").unwrap_or(&Json::Null);
        expected.set_from("beacon_seconds", room, "beacon_seconds");
        let commitment = detail["commitment"].as_str().and_then(Commitment::from_hex);
        let waits = room.get("beacon_seconds").is_some();
        let (tickets, set, beacon, seed) = (None, None, None, None);
        let begins_with = if detail.get("blind_ms").is_some() { "window_ended" } else { "drop_started" };
        let mut draw =
            AuditedDraw { row: expected, commitment, waits, begins_with, tickets, set, beacon, seed, drawn: None };
        if draw.begins_with == "drop_started"
            && detail["starts_at_ms"].as_i64().is_some_and(|starts_at| starts_at <= row.at.get())
        {
            draw.begin(0);
        }
        draw
    }

    fn begin(&mut self, tickets: u32) {
        self.tickets = Some(tickets);
        self.row.set("tickets", i64::from(tickets));
    }

    fn change<'a>(
        &mut self,
        id: DropId,
        row: &AuditRow,
        buyers: impl Iterator<Item = &'a [u8; 16]>,
        report: &mut VerifyReport,
    ) {
        let detail = detail_of(row);
        let text = |name: &str| detail[name].as_str().unwrap_or_default();
        let mut problem = |what: &str| report.problem(format!("event {}: {what} of the draw of drop {id}", row.seq));
        match &*row.kind {
            "room_tickets_fixed" => {
                self.row.set_from("root", &detail, "root");
                self.row.set("fixed_at_ms", row.at.get());
                self.row.set("ready", i64::from(!self.waits));
                if detail["tickets"].as_u64() != self.tickets.map(u64::from) {
                    problem("the number of tickets is not that at the start");
                }
                let told = MerkleRoot::from_hex(text("root"));
                let mut tree = TreeBuilder::default();
                if let Some(commitment) = &self.commitment {
                    let drawn = buyers.take(self.tickets.unwrap_or(0) as usize);
                    drawn.for_each(|buyer| tree.push(&TicketDigest::of(commitment, &Digest(*buyer))));
                }
                let set = tree.finish().tickets();
                if told != Some(set.root()) {
                    problem("the root is not that of the tickets");
                }
                self.set = Some(set);
            }
            "room_beacon_posted" => {
                if !self.waits || self.set.is_none() || self.beacon.is_some() || self.seed.is_some() {
                    problem("a beacon was taken that nothing waited for,");
                }
                self.row.set_from("beacon", &detail, "beacon");
                self.row.set_from("beacon_source", &detail, "source");
                self.row.set("ready", 1);
                self.beacon = Beacon::from_hex(text("beacon"));
            }
            "room_beacon_missed" => self.row.set("ready", 1),
            "room_drawn" => {
                if self.seed.is_some() {
                    problem("this is the second end");
                }
                self.row.set_from("result", &detail, "result");
                self.row.set("drawn_seq", i64::try_from(row.seq.get()).unwrap_or(i64::MAX));
                let told_beacon = detail.get("beacon").and_then(Json::as_str).and_then(Beacon::from_hex);
                let (Some(seed), Some(set)) = (Seed::from_hex(text("seed")), self.set) else {
                    return problem("seed or tickets cannot be read");
                };
                if Some(seed.commitment()) != self.commitment {
                    problem("the seed is not the one that was committed to, at the end");
                }
                if told_beacon != self.beacon {
                    problem("the beacon is not the one that was posted, at the end");
                }
                let done = FinishedDraw::draw(set, seed.clone(), told_beacon);
                if done.drawn.result.to_string() != text("result") {
                    problem("seed, beacon and tickets give another result at the end");
                }
                self.seed = Some(seed);
                self.drawn = Some(done);
            }
            _ => {}
        }
    }
}
