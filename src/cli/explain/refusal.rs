//! A refusal that a client saved, decided again on the state that it saw.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::past::{AuditLine, PastDrop, PastRoom};
use super::rows::{self, PIECE_WAIT};
use crate::api::Problem;
use crate::cli::verbs::OperatorSession;
use crate::client::http::printable;
use crate::engine::Refusal;
use crate::exit::Exit;
use crate::output;
use crate::types::instant::parse_instant;
use crate::types::{Quantity, Seq, UnixMillis};

/// The longest problem document, in bytes.
const DOCUMENT_BYTES_MAX: u64 = 1 << 20;

/// A problem document.
pub(super) struct RefusedRequest {
    problem: Value,
    code: String,
    /// The state that the refusal saw; missing where nothing was decided.
    seen: Option<(Seq, UnixMillis)>,
}

/// The result of deciding again.
struct SecondDecision {
    /// The state that was counted again.
    state: Value,
    /// True if the decision is the same; `None` if it cannot be taken again.
    is_same: Option<bool>,
    words: String,
}

impl RefusedRequest {
    /// Reads a file.
    ///
    /// # Errors
    /// The mistake: it cannot be read, or is no problem document.
    pub(super) fn read(path: &Path) -> Result<RefusedRequest, String> {
        let name = path.display();
        let mut text = String::new();
        let read = if path == Path::new("-") {
            std::io::stdin().take(DOCUMENT_BYTES_MAX).read_to_string(&mut text)
        } else {
            std::fs::File::open(path).and_then(|file| file.take(DOCUMENT_BYTES_MAX).read_to_string(&mut text))
        };
        read.map_err(|error| format!("--refusal {name}: {error}"))?;
        let problem: Value = serde_json::from_str(&text)
            .map_err(|error| format!("--refusal {name}: must be a problem document in JSON: {error}"))?;
        let code = problem["code"].as_str().ok_or_else(|| format!("--refusal {name}: has no `code`"))?.to_owned();
        let seq = problem["as_of_seq"].as_u64().and_then(Seq::new);
        let at = problem["at"].as_str().and_then(|text| parse_instant(text).ok());
        Ok(RefusedRequest { problem, code, seen: seq.zip(at) })
    }

    /// Requires that the server's audit reaches the state that the refusal saw.
    pub(super) async fn require_reach(&self, session: &OperatorSession<'_>) -> Result<(), Exit> {
        let Some((seq, before)) = self.seen.and_then(|(seq, _)| Some((seq, seq.get().checked_sub(1)?))) else {
            return Ok(());
        };
        let path = format!("/v1/audit?since_seq={before}");
        let mut response =
            session.admin().open(&path, PIECE_WAIT).await.map_err(|error| session.admin().exit(&path, &error))?;
        let piece = response.piece(PIECE_WAIT).await;
        let piece = piece.map_err(|error| Exit::unavailable(format!("GET {path}: the audit was not read: {error}")))?;
        if piece.is_some_and(|piece| !piece.is_empty()) {
            return Ok(());
        }
        Err(Exit::failed(format!(
            "the refusal saw event {seq}, and the server's audit ends before it: the refusal is of another server, or of a time \
             before a backup was put back"
        )))
    }

    /// Decides a refused order again, on the drop as it was. `orders` are those of the buyer.
    pub(super) async fn explain_drop(
        &self,
        session: &OperatorSession<'_>,
        drop: u64,
        orders: Option<Vec<u64>>,
        quantity: Quantity,
    ) -> Result<(), Exit> {
        let Some((seq, at)) = self.seen else { return self.print(session, &self.rejected()) };
        let past = drop_at(session, drop, seq).await?;
        let Some(past) = past else {
            let words = format!("the drop did not exist at event {seq}");
            let is_same = Some(self.code == "not-found");
            return self.print(session, &SecondDecision { state: Value::Null, is_same, words });
        };
        let used = orders.as_deref().map(|orders| past.units_of(orders));
        let mut state = past.document();
        if let Some(used) = used {
            state["buyer_holds_or_bought"] = used.into();
        }
        let decided = match self.code.as_str() {
            "limit-reached" if used.is_none() => SecondDecision {
                state,
                is_same: None,
                words: "name the buyer with --buyer to have it decided again".into(),
            },
            "identity-limit-reached" => {
                let limits = past.identity_limits();
                let limit = match self.problem["identity"].as_str() {
                    Some("email") => limits.email,
                    Some("phone") => limits.phone,
                    Some("payment") => limits.payment,
                    Some("address") => limits.address,
                    Some(_) | None => None,
                };
                let is_same = self.problem["limit"].as_u64() == limit.map(u64::from);
                let words = match limit {
                    Some(limit) => {
                        format!("the cap was {limit}; the audit has no identities, so their units are not counted")
                    }
                    None => "the drop had no such cap".into(),
                };
                SecondDecision { state, is_same: (!is_same).then_some(false), words }
            }
            "precondition-failed" => {
                let is_same = self.problem["revision"].as_u64() == Some(past.revision().into());
                SecondDecision {
                    state,
                    is_same: Some(is_same),
                    words: format!("the drop was at revision {}", past.revision()),
                }
            }
            "not-admitted" => self.admission(state, past.room(), at),
            "sold-out" if self.problem["status"] == 410 => all_sold(state, past.room()),
            "not-started" | "ended" | "drop-paused" | "limit-reached" | "sold-out" | "not-found" => {
                let again = past.decide(seq, at, used.unwrap_or(0), quantity);
                self.compared(state, again, (seq, at))
            }
            _ => SecondDecision {
                state,
                is_same: None,
                words: "this kind of refusal is not decided again from a drop".into(),
            },
        };
        self.print(session, &decided)
    }

    /// Compares what the refusal says of a waiting room with its tickets and admissions up to there.
    fn admission(&self, mut state: Value, room: Option<&PastRoom>, at: UnixMillis) -> SecondDecision {
        let Some(room) = room else {
            return SecondDecision { state, is_same: Some(false), words: "the drop had no waiting room".into() };
        };
        state["room"] = room.document();
        let (words, holds) = room.why_not_admitted(self.problem["position"].as_u64(), at);
        let is_same = holds && self.problem["serving"].as_u64() == Some(room.serving());
        SecondDecision { state, is_same: Some(is_same), words }
    }

    /// Compares a second decision with the refusal.
    fn compared(
        &self,
        state: Value,
        again: Option<Result<(), Refusal>>,
        (as_of_seq, at): (Seq, UnixMillis),
    ) -> SecondDecision {
        match again {
            None => SecondDecision {
                state,
                is_same: None,
                words: "the counts contradict each other; run `firstcome verify`".into(),
            },
            Some(Ok(())) => {
                SecondDecision { state, is_same: Some(false), words: "the order would have been accepted".into() }
            }
            Some(Err(refusal)) => {
                let body = Problem::Refused { refusal, as_of_seq, at }.body("");
                let again: Value = serde_json::from_str(&body).unwrap_or_default();
                let is_same = self.is_same_as(&again);
                let told = ["title", "detail"].map(|member| again[member].as_str().unwrap_or(""));
                SecondDecision { state, is_same: Some(is_same), words: format!("{}: {}", told[0], told[1]) }
            }
        }
    }

    /// Returns whether another problem has the same code and the same values.
    fn is_same_as(&self, again: &Value) -> bool {
        const VALUES: [&str; 6] = ["code", "limit", "used", "available", "held", "starts_at"];
        let ends = |problem: &Value| problem["ends_at"].as_str().map(str::to_owned);
        VALUES.iter().all(|name| self.problem[*name] == again[*name]) && ends(&self.problem) == ends(again)
    }

    /// Decides a refused request about an order again, from its history.
    pub(super) fn explain_order(
        &self,
        session: &OperatorSession<'_>,
        order: &Value,
        events: &[Value],
    ) -> Result<(), Exit> {
        let Some((seq, _)) = self.seen else { return self.print(session, &self.rejected()) };
        let seen = events.iter().filter(|event| event["seq"].as_u64().is_some_and(|at| at <= seq.get()));
        let (mut state, mut expired_at) = ("", Value::Null);
        for event in seen {
            state = state_after(event).unwrap_or(state);
            if event["kind"] == "order_expired" {
                expired_at = event["at"].clone();
            }
        }
        let mut told = Map::new();
        told.insert("code".into(), order["code"].clone());
        told.insert("state".into(), state.into());
        let (is_same, words) = match self.code.as_str() {
            _ if state.is_empty() => {
                (Some(self.code == "not-found"), format!("the order did not exist at event {seq}"))
            }
            "order-expired" => {
                (Some(state == "expired" && self.problem["expired_at"] == expired_at), format!("the order was {state}"))
            }
            "illegal-transition" => (Some(self.problem["from"] == state), format!("the order was {state}")),
            _ => (None, format!("the order was {state}; this kind of refusal is not decided again from an order")),
        };
        self.print(session, &SecondDecision { state: Value::Object(told), is_same, words })
    }

    fn rejected(&self) -> SecondDecision {
        let words = "the request was rejected before a decision: it has no as_of_seq, and nothing was decided".into();
        SecondDecision { state: Value::Null, is_same: None, words }
    }

    /// Prints the refusal, the state and the second decision.
    fn print(&self, session: &OperatorSession<'_>, decided: &SecondDecision) -> Result<(), Exit> {
        let SecondDecision { state, is_same, words } = decided;
        if session.prints_json() {
            output::line(json!({ "refusal": self.problem, "state": state, "same": is_same, "decided_again": words }));
        } else {
            let text = |member: &str| printable(self.problem[member].as_str().unwrap_or(""));
            let when = self.seen.map(|(seq, _)| format!(" at {}, after event {seq}", text("at"))).unwrap_or_default();
            output::line(format!("refused{when}: {}: {}", text("title"), text("detail")));
            if let Some(members) = state.as_object() {
                let members = members.iter().map(|(name, value)| format!("{} {value}", name.replace('_', " ")));
                output::line(format!(
                    "the state then: {}",
                    printable(&members.collect::<Vec<_>>().join(", ").replace('"', ""))
                ));
            }
            let verdict = match is_same {
                Some(true) => "decided again, the same",
                Some(false) => "decided again, and it differs",
                None => "not decided again",
            };
            output::line(format!("{verdict}: {words}"));
        }
        if *is_same == Some(false) {
            return Err(Exit::failed(format!(
                "the refusal ({}) is not what the audit gives ({words}); are the drop, the buyer and the units those of the request?",
                printable(&self.code)
            )));
        }
        Ok(())
    }
}

/// Compares the refusal of an order on a drop with a waiting room, which comes before limits, with the stock.
fn all_sold(state: Value, room: Option<&PastRoom>) -> SecondDecision {
    let is_sold = state["available"] == 0 && state["held"] == 0;
    let words = match (room, is_sold) {
        (None, _) => "the drop had no waiting room",
        (Some(_), true) => "every unit was sold: none was free, and none was held",
        (Some(_), false) => "a unit was free or held",
    };
    let is_same = Some(room.is_some() && is_sold);
    SecondDecision { state, is_same, words: words.into() }
}

/// Returns the state of an order after one of its events, if the event changes it.
fn state_after(event: &Value) -> Option<&str> {
    match event["kind"].as_str()? {
        "order_reserved" => event["detail"]["state"].as_str().or(Some("reserved")),
        "auction_awarded" | "order_checked_out" => Some("awaiting_payment"),
        "order_cancelled" => Some("cancelled"),
        "order_expired" => Some("expired"),
        "order_paid" | "order_retaken" => Some("paid"),
        _ => event["state"].as_str(),
    }
}

/// Counts a drop again up to an event; `None` if it did not exist yet.
async fn drop_at(session: &OperatorSession<'_>, drop: u64, seq: Seq) -> Result<Option<PastDrop>, Exit> {
    let mut past = None::<PastDrop>;
    let goes_on = |row: &Value| {
        if row["seq"].as_u64().is_none_or(|at| at > seq.get()) {
            return false;
        }
        if let Some(line) = AuditLine::of(row) {
            match &mut past {
                Some(past) => past.add(&line),
                None => past = PastDrop::created(&line),
            }
        }
        true
    };
    rows::each(session, drop, goes_on).await?;
    Ok(past)
}
