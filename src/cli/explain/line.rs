//! The history of a ticket of a waiting room by the rows of the drop's audit, which names no buyer. A ticket is known by its number.

use hyper::Method;
use serde_json::{Map, Value, json};

use super::past::{AuditLine, PastDrop, TurnEnd};
use super::rows;
use crate::cli::verbs::{OperatorSession, Verb, VerbCall, VerbListener};
use crate::client::http::printable;
use crate::exit::Exit;
use crate::output;
use crate::types::UnixMillis;
use crate::types::text::rfc3339;

static DRAW: Verb = Verb {
    method: Method::GET,
    listener: VerbListener::Admin,
    path: "/v1/console/drops/{}",
    has_key: false,
    done: "",
    undone: "the draw of drop {} was not read",
    missing: "there is no such draw",
    columns: &[],
};

/// A first line, and a line for each event.
pub(super) struct Story {
    /// The subject, in the JSON output and in the first line.
    pub(super) noun: &'static str,
    members: Map<String, Value>,
    pub(super) words: String,
    events: Vec<Value>,
}

impl Story {
    pub(super) fn new(noun: &'static str, drop: u64, number: u64) -> Story {
        let mut members = Map::new();
        members.insert("drop_id".into(), drop.into());
        members.insert("number".into(), number.into());
        Story { noun, members, words: String::new(), events: Vec::new() }
    }

    pub(super) fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.members.insert(name.into(), value.into());
    }

    pub(super) fn tell(&mut self, line: &AuditLine<'_>, text: impl Into<String>) {
        let (kind, text) = (line.kind, text.into());
        self.events.push(json!({ "seq": line.seq, "at": rfc3339(line.at), "kind": kind, "text": text }));
    }

    pub(super) fn print(mut self, session: &OperatorSession<'_>) {
        // The place of a drawn ticket is known last, and the draw came before its admission.
        self.events.sort_by_key(|event| event["seq"].as_u64());
        if session.prints_json() {
            return output::line(json!({ self.noun: self.members, "history": self.events }));
        }
        let (drop, number) = (&self.members["drop_id"], &self.members["number"]);
        output::line(format!("{} {number} of drop {drop}: {}", self.noun.replace('_', " "), self.words));
        for event in &self.events {
            let text = |member: &str| printable(event[member].as_str().unwrap_or(""));
            output::line(format!("  {}  event {:<8}  {}", text("at"), event["seq"], text("text")));
        }
    }
}

/// The orders that a blind window recorded, up to the one with a number.
#[derive(Default)]
struct RecordedPast {
    orders: u64,
    /// The event that recorded it.
    joined: Option<u64>,
}

impl RecordedPast {
    fn add(&mut self, line: &AuditLine<'_>, number: u64) {
        if let ("standby_joined", Some(recorded)) = (line.kind, line.detail["number"].as_u64()) {
            self.orders = recorded;
            self.joined = self.joined.or((recorded == number).then_some(line.seq));
        }
    }
}

/// A waiting room as one of its tickets meets it.
#[derive(Default)]
struct TicketPast {
    is_taken: bool,
    /// Tickets from 1 to this number are drawn.
    drawn_tickets: Option<u64>,
    drawn_at: Option<(u64, UnixMillis)>,
    /// The first position that was not admitted after each admission, its event and its instant.
    admissions: Vec<(u64, u64, UnixMillis)>,
}

/// Explains a ticket, or an order that a blind window recorded.
///
/// # Errors
/// 1 if there is no such ticket, or 69.
pub(super) async fn explain_ticket(session: &OperatorSession<'_>, drop: u64, number: u64) -> Result<(), Exit> {
    let mut story = Story::new("ticket", drop, number);
    let (mut past, mut seen, mut is_random) = (None::<PastDrop>, TicketPast::default(), false);
    let mut recorded = RecordedPast::default();
    rows::each(session, drop, |row| {
        let Some(line) = AuditLine::of(row) else { return true };
        match &mut past {
            Some(past) => past.add(&line),
            None => {
                past = PastDrop::created(&line);
                is_random = line.detail["room"]["draw"] == "random";
            }
        }
        seen.add(&line, number, &mut story);
        recorded.add(&line, number);
        true
    })
    .await?;
    if let Some(joined) = recorded.joined {
        return super::standby::explain_standby(session, drop, joined).await;
    }
    let room = past.as_ref().and_then(PastDrop::room);
    let Some((past, room)) = past.as_ref().zip(room).filter(|_| seen.is_taken) else {
        let taken = match (room, recorded.orders) {
            (Some(room), _) => format!("{} tickets", room.tickets()),
            (None, 0) => "no waiting room".into(),
            (None, orders) => format!("{orders} recorded orders"),
        };
        return Err(Exit::failed(format!("drop {drop} has {taken}, and no ticket {number}")));
    };
    let position = match (is_random, seen.drawn_tickets) {
        (true, None) => None,
        (true, Some(drawn)) if number <= drawn => match seen.drawn_at {
            Some(_) => Some(drawn_position(session, drop, number).await?),
            None => None,
        },
        (_, _) => number.checked_sub(1),
    };
    let document = past.document();
    let stock = format!(
        "of {} units {} are free, {} held, {} sold",
        document["total"], document["available"], document["held"], document["sold"]
    );
    let state = document["state"].as_str().unwrap_or("").replace('_', " ");
    let serving = room.serving();
    if let Some(position) = position {
        story.put("position", position);
        if let Some((seq, at)) = seen.drawn_at.filter(|_| seen.drawn_tickets.is_some_and(|drawn| number <= drawn)) {
            let text = format!("the draw gave the ticket position {position}");
            story.events.push(json!({ "seq": seq, "at": rfc3339(at), "kind": "room_drawn", "text": text }));
        }
    }
    story.put("serving", serving);
    let admission = position.and_then(|position| seen.admissions.iter().find(|(until, _, _)| position < *until));
    story.words = match (position, admission) {
        (None, _) if state == "ended" => "the drop ended before its draw: it has no position".into(),
        (None, _) => format!("its position is not known before the draw; the drop is {state}"),
        (Some(position), None) => {
            let ahead = position.saturating_sub(serving);
            story.put("ahead", ahead);
            format!(
                "position {position} is not admitted: {serving} were, {ahead} are ahead; the drop is {state}, {stock}"
            )
        }
        (Some(position), Some((_, seq, at))) => {
            let ends = room.turn_end(*at);
            let until = ends.words();
            let text = format!("the buyer was admitted, and could order {until}");
            story.events.push(json!({ "seq": seq, "at": rfc3339(*at), "kind": "room_served", "text": text }));
            if let TurnEnd::At(end) = ends {
                story.put("order_until", rfc3339(end));
            }
            let at = rfc3339(*at);
            format!("position {position} was admitted at {at}, for an order {until}; the drop is {state}, {stock}")
        }
    };
    story.print(session);
    Ok(())
}

impl TicketPast {
    fn add(&mut self, line: &AuditLine<'_>, number: u64, story: &mut Story) {
        match line.kind {
            "ticket_taken" if line.detail["number"].as_u64() == Some(number) => {
                self.is_taken = true;
                story.tell(line, "the buyer took the ticket");
            }
            "drop_started" => story.tell(line, "the sale started"),
            "room_tickets_fixed" => {
                self.drawn_tickets = line.detail["tickets"].as_u64();
                let count = self.drawn_tickets.unwrap_or(0);
                story.tell(line, format!("the tickets of the draw were fixed: 1 to {count}"));
            }
            "room_beacon_posted" => {
                let source = line.detail["source"].as_str().unwrap_or("");
                story.tell(line, format!("an operator posted the beacon of the draw: {source}"));
            }
            "room_beacon_missed" => story.tell(line, "no beacon came in time: the draw went on without one"),
            "room_drawn" => self.drawn_at = Some((line.seq, line.at)),
            "room_served" => {
                self.admissions.extend(line.detail["serving"].as_u64().map(|until| (until, line.seq, line.at)));
            }
            "drop_paused" | "mismatch_found" => story.tell(line, "the drop was paused: no buyer is admitted"),
            "drop_resumed" => story.tell(line, "the drop went on"),
            "drop_ended" | "drop_closed" => story.tell(line, "the drop ended"),
            _ => {}
        }
    }
}

/// Asks for the position that a draw gave to a ticket or a recorded order.
pub(super) async fn drawn_position(session: &OperatorSession<'_>, drop: u64, number: u64) -> Result<u64, Exit> {
    let path = format!("{drop}/draw?ticket={number}");
    let call = VerbCall { subject: &drop.to_string(), parameter: Some(&path), ..VerbCall::default() };
    let draw = session.send(&DRAW, &call).await?;
    let position = draw["ticket"]["position"].as_u64();
    position.ok_or_else(|| Exit::failed(format!("the draw of drop {drop} has no position for ticket {number}")))
}
