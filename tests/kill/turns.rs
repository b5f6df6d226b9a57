//! An operator who pauses a drop with a waiting room and resumes it, again and again, while the server is killed: what is left of
//! the turn of an admitted buyer is the same before and after each pause, be the kill in one or not.

use std::time::Duration;

use firstcome::types::instant::parse_instant;
use serde_json::json;

use super::draws::{Positions, create};
use super::process::{Broken, Client, Process};
use super::rooms::take_ticket;

/// The turn of one buyer, who does not order.
pub(crate) struct Turn {
    drop: u64,
    /// Its end less the length of all pauses, in milliseconds since 1970.
    end: Option<i64>,
    paused_ms: i64,
    /// Answers that told its end.
    told: u64,
}

impl Turn {
    /// Makes the drop.
    pub(crate) fn begin(server: &Process) -> Turn {
        let made = create(server, "pauses", Duration::ZERO, Positions::ByArrival);
        Turn { drop: made.id, end: None, paused_ms: 0, told: 0 }
    }

    fn ask(&mut self, client: &mut Client) -> Result<(), Broken> {
        let told = take_ticket(client, self.drop, "one")?.body;
        let paused_ms = told["paused_ms"].as_i64().expect("a number");
        assert!(self.paused_ms <= paused_ms, "{} ms of pauses were told before: {told}", self.paused_ms);
        self.paused_ms = paused_ms;
        if let Some(until) = told["order_until"].as_str() {
            assert_eq!(told["paused"], false, "{told}");
            let end = parse_instant(until).expect("an instant").get() - paused_ms;
            assert_eq!(*self.end.get_or_insert(end), end, "the pauses take nothing from the turn: {told}");
            self.told += 1;
        }
        Ok(())
    }

    /// Pauses and resumes the drop until the connection breaks.
    pub(crate) fn pause_until_killed(&mut self, server: &Process) -> Result<(), Broken> {
        let (mut admin, mut client) = (Client::connect(server.admin)?, Client::connect(server.public)?);
        loop {
            self.ask(&mut client)?;
            for what in ["pause", "resume"] {
                let path = format!("/v1/drops/{}/{what}", self.drop);
                let answer = admin.post(&path, "none", &json!({ "reason": "a test" }))?;
                assert_eq!(answer.status, 200, "{:?}", answer.body);
                self.ask(&mut client)?;
            }
        }
    }

    /// Resumes the drop and asks for the turn a last time. Returns how often its end was told.
    pub(crate) fn check(mut self, server: &Process) -> u64 {
        let mut admin = Client::connect(server.admin).expect("connected");
        let path = format!("/v1/drops/{}/resume", self.drop);
        let answer = admin.post(&path, "none", &json!({ "reason": "a test" })).expect("answered");
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        let before = self.told;
        self.ask(&mut Client::connect(server.public).expect("connected")).expect("answered");
        assert_eq!(self.told, before + 1, "the turn has not passed");
        self.told
    }
}
