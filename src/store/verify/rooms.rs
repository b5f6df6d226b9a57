//! Waiting rooms, tickets and admissions, compared with what their events say.

use std::collections::BTreeMap;

use rusqlite::Connection;
use rusqlite::types::Value;
use serde_json::Value as Json;

use super::expected_row::{ExpectedRow, detail_of};
use super::report::VerifyReport;
use super::words::MissingRow;
use crate::store::audit::AuditRow;
use crate::types::{DigestKey, DropId, Seq, UnixMillis, hex};

const COLUMNS: [&str; 13] = [
    "opens_at_ms",
    "draw",
    "admit_per_second",
    "order_seconds",
    "oversubscribe_percent",
    "opened",
    "tickets",
    "serving",
    "window_from",
    "served_at_ms",
    "rate_from_ms",
    "paused_ms",
    "paused_at_ms",
];

/// A ticket by its audit row.
#[derive(PartialEq, Eq)]
struct AuditedTicket {
    seq: Seq,
    at: UnixMillis,
    /// The digest of its buyer.
    buyer: [u8; 16],
}

/// A room by its audit rows.
struct AuditedRoom {
    row: ExpectedRow,
    tickets: Vec<AuditedTicket>,
    /// The first position behind each admission, its instant, and the length of all pauses before it in milliseconds.
    admissions: Vec<(i64, UnixMillis, i64)>,
}

/// All rooms by the audit, by their drops.
#[derive(Default)]
pub(super) struct AuditedRooms(BTreeMap<DropId, AuditedRoom>);

impl AuditedRooms {
    /// Adds a row that belongs to a drop.
    pub(super) fn add(&mut self, id: DropId, row: &AuditRow, report: &mut VerifyReport) {
        if &*row.kind == "drop_created" {
            if let Some(room) = detail_of(row).get("room") {
                self.0.insert(id, AuditedRoom::created(row, room));
            }
            return;
        }
        if matches!(&*row.kind, "drop_paused" | "drop_resumed" | "mismatch_found") {
            if let Some(room) = self.0.get_mut(&id) {
                room.pause_or_resume(row);
            }
            return;
        }
        let is_patch = &*row.kind == "drop_patched" && detail_of(row).get("room").is_some();
        if !is_patch && !matches!(&*row.kind, "room_opened" | "ticket_taken" | "room_served") {
            return;
        }
        match self.0.get_mut(&id) {
            Some(known) => known.change(id, row, report),
            None => report.problem(format!("event {} is about the room of drop {id}, which has none", row.seq)),
        }
    }

    /// Returns the digests of the buyers who have taken tickets so far, in the order of their numbers.
    pub(super) fn buyers_of(&self, id: DropId) -> impl ExactSizeIterator<Item = &[u8; 16]> {
        self.0.get(&id).map_or(&[][..], |room| &room.tickets).iter().map(|ticket| &ticket.buyer)
    }

    /// Compares all rows of rooms, tickets and admissions. Problems name numbers and no buyer.
    pub(super) fn compare(
        &self,
        connection: &Connection,
        key: &DigestKey,
        report: &mut VerifyReport,
    ) -> rusqlite::Result<()> {
        let sql = format!("SELECT drop_id, {} FROM rooms ORDER BY drop_id", ExpectedRow::list(&COLUMNS));
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut rooms = 0usize;
        let mut missing = MissingRow::of(self.0.keys().copied());
        while let Some(row) = rows.next()? {
            let id: DropId = row.get(0)?;
            let Some(told) = self.0.get(&id) else {
                report.problem(format!("the room of drop {id} has a row, but no event created it"));
                continue;
            };
            rooms = rooms.saturating_add(1);
            missing.found(&id);
            told.row.compare(row, 1, format_args!("the room of drop {id}"), report)?;
        }
        if let Some(id) = missing.first() {
            let created = self.0.len();
            report.problem(format!("{created} rooms were created, {rooms} have a row: the room of drop {id} has none"));
        }
        self.compare_tickets(connection, key, report)?;
        self.compare_admissions(connection, report)
    }

    fn compare_tickets(
        &self,
        connection: &Connection,
        key: &DigestKey,
        report: &mut VerifyReport,
    ) -> rusqlite::Result<()> {
        let mut statement =
            connection.prepare("SELECT drop_id, number, buyer, at_ms, seq FROM tickets ORDER BY drop_id, number")?;
        let mut rows = statement.query([])?;
        let numbers = |(id, room): (&DropId, &AuditedRoom)| {
            let id = *id;
            (1..=room.tickets.len()).map(move |number| (id, number))
        };
        let mut missing = MissingRow::of(self.0.iter().flat_map(numbers));
        let mut found = 0usize;
        while let Some(row) = rows.next()? {
            let (id, number): (DropId, u32) = (row.get(0)?, row.get(1)?);
            let buyer = key.buyer(row.get_ref(2)?.as_str()?).0;
            let ticket = AuditedTicket { seq: row.get(4)?, at: row.get(3)?, buyer };
            let place = usize::try_from(number).unwrap_or(0);
            missing.found(&(id, place));
            let index = place.checked_sub(1);
            let told = self.0.get(&id).and_then(|room| room.tickets.get(index?));
            found = found.saturating_add(1);
            if told != Some(&ticket) {
                report.problem(format!("ticket {number} of drop {id}: its row is not what the audit says"));
            }
        }
        if let Some((id, number)) = missing.first() {
            let told: usize = self.0.values().map(|room| room.tickets.len()).sum();
            let none = format_args!("ticket {number} of drop {id} has none");
            report.problem(format!("{told} tickets were taken, {found} have a row: {none}"));
        }
        Ok(())
    }

    fn compare_admissions(&self, connection: &Connection, report: &mut VerifyReport) -> rusqlite::Result<()> {
        let mut statement =
            connection.prepare("SELECT drop_id, until, at_ms, paused_ms FROM admissions ORDER BY drop_id, until")?;
        let found = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?))))?;
        let found: Vec<(DropId, (i64, UnixMillis, i64))> = found.collect::<Result<_, _>>()?;
        let told = self.0.iter().flat_map(|(id, room)| room.admissions.iter().map(|admission| (*id, *admission)));
        let told: Vec<_> = told.collect();
        let differing = (0..told.len().max(found.len())).find(|at| told.get(*at) != found.get(*at));
        if let Some((id, (until, ..))) = differing.and_then(|at| told.get(at).or(found.get(at))) {
            report.problem(format!("the admission up to {until} of drop {id}: its row is not what the audit says"));
        }
        Ok(())
    }
}

impl AuditedRoom {
    fn created(row: &AuditRow, room: &Json) -> AuditedRoom {
        let mut expected = ExpectedRow::new(&COLUMNS);
        for count in ["tickets", "serving", "window_from", "served_at_ms", "rate_from_ms", "paused_ms"] {
            expected.set(count, 0);
        }
        expected.set("paused_at_ms", Value::Null);
        expected.set_all(room);
        if let Some(opens_at) = expected.number("opens_at_ms") {
            expected.set("opened", i64::from(opens_at <= row.at.get()));
        }
        AuditedRoom { row: expected, tickets: Vec::new(), admissions: Vec::new() }
    }

    /// Stops the room's clock or lets it go on, by an event of its drop.
    fn pause_or_resume(&mut self, row: &AuditRow) {
        let paused_at = self.row.number("paused_at_ms");
        match (&*row.kind, paused_at) {
            ("drop_resumed", Some(from)) => {
                let before = self.row.number("paused_ms").unwrap_or(0);
                self.row.set("paused_ms", before.saturating_add(row.at.get()).saturating_sub(from));
                self.row.set("paused_at_ms", Value::Null);
            }
            ("drop_paused" | "mismatch_found", None) => self.row.set("paused_at_ms", row.at.get()),
            (_, _) => {}
        }
    }

    fn change(&mut self, id: DropId, row: &AuditRow, report: &mut VerifyReport) {
        let detail = detail_of(row);
        match &*row.kind {
            "room_opened" => self.row.set("opened", 1),
            "drop_patched" => {
                self.row.set_all(&detail["room"]);
                if self.row.number("opens_at_ms").is_some_and(|opens_at| opens_at <= row.at.get()) {
                    self.row.set("opened", 1);
                }
            }
            "ticket_taken" => {
                self.row.count("tickets");
                let buyer = detail["buyer"].as_str().and_then(hex::decode).and_then(|bytes| bytes.try_into().ok());
                self.tickets.push(AuditedTicket { seq: row.seq, at: row.at, buyer: buyer.unwrap_or_default() });
                if detail["number"].as_u64() != u64::try_from(self.tickets.len()).ok() {
                    report.problem(format!("event {}: the number of the ticket does not follow the last one", row.seq));
                }
            }
            "room_served" => {
                let before = self.row.number("serving");
                self.row.set_all(&detail);
                self.row.set("served_at_ms", row.at.get());
                let serving = self.row.number("serving");
                if serving <= before {
                    let back = serving.unwrap_or(0);
                    report.problem(format!("event {}: the room of drop {id} goes back to {back}", row.seq));
                }
                self.admissions.push((serving.unwrap_or(0), row.at, self.row.number("paused_ms").unwrap_or(0)));
            }
            _ => {}
        }
    }
}
