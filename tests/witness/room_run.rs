//! The sequential run of a waiting room, by the rules of the contract, and what the file says that the server itself did.

use std::collections::BTreeMap;
use std::path::Path;

use aws_lc_rs::hmac;
use firstcome::types::hex;
use rusqlite::Connection;
use serde_json::Value;

use super::rooms::{Asked, STOCK, Seen, Told};

/// An event of the server itself.
pub(crate) enum Step {
    /// The start came.
    Started,
    /// The positions of the first tickets, by their number.
    Drawn(Vec<u64>),
    /// The first position that is not admitted after it.
    Served(u64),
}

/// The sequential run, by the rules of the contract.
#[derive(Default)]
pub(crate) struct Sequential {
    is_random: bool,
    /// Buyers by the numbers of their tickets.
    pub(crate) tickets: Vec<u64>,
    /// The number of tickets at the start, once it has come.
    at_start: Option<usize>,
    /// Positions of the tickets of before the start.
    pub(crate) drawn: Option<Vec<u64>>,
    pub(crate) serving: u64,
    pub(crate) held: u64,
    /// Units that came back.
    pub(crate) returned: u64,
    /// Buyers who have ordered at some time.
    ordered: BTreeMap<u64, u64>,
}

impl Sequential {
    /// A room before its start, or without a draw after it.
    pub(crate) fn of(is_random: bool) -> Sequential {
        Sequential { is_random, at_start: (!is_random).then_some(0), ..Sequential::default() }
    }

    fn index(&self, buyer: u64) -> Option<usize> {
        self.tickets.iter().position(|of| *of == buyer)
    }

    fn position_of(&self, index: usize) -> Option<u64> {
        let by_arrival = u64::try_from(index).expect("few");
        match (&self.drawn, self.at_start) {
            _ if !self.is_random => Some(by_arrival),
            (Some(drawn), _) => Some(drawn.get(index).copied().unwrap_or(by_arrival)),
            (None, Some(count)) => (index >= count).then_some(by_arrival),
            (None, None) => None,
        }
    }

    fn position(&self, buyer: u64) -> Option<u64> {
        self.position_of(self.index(buyer)?)
    }

    pub(crate) fn step(&mut self, step: Step) {
        match step {
            Step::Started => self.at_start = Some(self.tickets.len()),
            Step::Drawn(positions) => {
                assert_eq!(Some(positions.len()), self.at_start, "the tickets of before the start");
                assert!(self.drawn.replace(positions).is_none(), "it is drawn twice");
            }
            Step::Served(until) => self.serve(until),
        }
    }

    fn serve(&mut self, until: u64) {
        assert!(until > self.serving, "serving goes back from {} to {until}", self.serving);
        assert!(until <= self.tickets.len() as u64, "{until} are admitted of {}", self.tickets.len());
        let is_admitted = |index: usize| self.position_of(index).is_some_and(|position| position < until);
        let idle = self.tickets.iter().enumerate().filter(|(index, _)| is_admitted(*index));
        let idle = idle.filter(|(_, buyer)| !self.ordered.contains_key(buyer)).count() as u64;
        // Units of unpaid orders may be expected to come back.
        assert!(idle <= STOCK, "{idle} buyers are admitted without an order");
        self.serving = until;
    }

    pub(crate) fn check(&mut self, seen: &Seen) {
        let code = seen.body["code"].as_str().filter(|_| seen.status >= 400).unwrap_or("");
        match (&seen.asked, seen.told) {
            (Asked::Ticket { buyer }, told) => {
                if seen.when.is_event {
                    assert_eq!(self.index(*buyer), None, "a second ticket: {seen:?}");
                    self.tickets.push(*buyer);
                }
                let index = self.index(*buyer).unwrap_or_else(|| panic!("no ticket was taken: {seen:?}"));
                let number = u64::try_from(index).expect("few") + 1;
                let expected = Told { number, position: self.position_of(index), serving: self.serving };
                assert_eq!(told, Some(expected), "{seen:?}");
            }
            (Asked::Order { buyer }, _) => {
                let position = self.position(*buyer);
                let expected = match position.is_some_and(|position| position < self.serving) {
                    false if self.at_start.is_none() => (403, "not-started"),
                    false => (409, "not-admitted"),
                    true if self.held == STOCK => (409, "sold-out"),
                    true => (201, ""),
                };
                assert_eq!((seen.status, code), expected, "{seen:?}");
                if code == "not-admitted" {
                    let told = (seen.body["position"].as_u64(), seen.body["serving"].as_u64());
                    assert_eq!(told, (position, Some(self.serving)), "{seen:?}");
                }
                if seen.status == 201 {
                    self.held += 1;
                    *self.ordered.entry(*buyer).or_default() += 1;
                }
            }
            (Asked::Cancel { .. }, _) => {
                assert_eq!(seen.status, 200, "{seen:?}");
                self.held -= 1;
                self.returned += 1;
            }
        }
    }
}

/// The acts of the server itself, from the file.
pub(crate) fn steps(data: &Path) -> Vec<(u64, Step)> {
    let file = Connection::open(data.join("firstcome.db")).expect("opened");
    let sql =
        "SELECT seq, kind, detail FROM audit WHERE kind IN ('drop_started', 'room_drawn', 'room_served') ORDER BY seq";
    let mut rows = file.prepare(sql).expect("prepared");
    let rows = rows
        .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<String>>(2)?)));
    let tickets: u32 =
        file.query_row("SELECT coalesce(max(tickets), 0) FROM draws", [], |row| row.get(0)).expect("read");
    let step = |kind: &str, detail: &Value| match kind {
        "drop_started" => Step::Started,
        "room_drawn" => Step::Drawn(drawn(tickets.into(), detail)),
        _ => Step::Served(detail["serving"].as_u64().expect("a number")),
    };
    rows.expect("read")
        .map(|row| {
            let (seq, kind, detail) = row.expect("a row");
            let detail = detail.map_or(Value::Null, |detail| serde_json::from_str(&detail).expect("JSON"));
            (seq.unsigned_abs(), step(&kind, &detail))
        })
        .collect()
}

/// The positions of so many tickets: ranks of HMAC-SHA256 with seed and beacon as the key.
fn drawn(tickets: u64, detail: &Value) -> Vec<u64> {
    let bytes =
        |name: &str| detail[name].as_str().map_or_else(Vec::new, |text| hex::decode(text).expect("hexadecimal"));
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[bytes("seed"), bytes("beacon")].concat());
    let hash = |number: u64| hmac::sign(&key, &number.to_be_bytes()).as_ref().to_vec();
    let mut order: Vec<u64> = (1..=tickets).collect();
    order.sort_by_key(|number| hash(*number));
    let place = |number: u64| order.iter().position(|of| *of == number).expect("drawn") as u64;
    (1..=tickets).map(place).collect()
}
