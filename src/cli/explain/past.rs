//! A drop as it was after an event, counted again from the rows of its audit, and what the engine decides on it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::engine::{Command, DropEntry, DropSpec, OrderCommand, Outcome, PlaceOrder, Refusal, State};
use crate::failpoints::{self, Bug};
use crate::types::instant::parse_instant;
use crate::types::text::rfc3339;
use crate::types::{ChallengeRule, Currency, DigestKey, DropId, IdentityLimits, Quantity, Seq, UnitPrice, UnixMillis};

/// A drop after the rows that were added so far.
pub(super) struct PastDrop {
    spec: DropSpec,
    held: i64,
    sold: i64,
    total: i64,
    started: bool,
    paused: bool,
    ended: bool,
    revision: u32,
    /// Units that each order holds or has bought, by its number.
    units: BTreeMap<u64, i64>,
    room: Option<PastRoom>,
}

/// A waiting room after these rows.
pub(super) struct PastRoom {
    order_seconds: u32,
    tickets: u64,
    /// The first position that was not admitted after each admission, and its instant.
    admissions: Vec<(u64, UnixMillis)>,
    /// The pauses of the drop, oldest first; the last one may have no end.
    pauses: Vec<(UnixMillis, Option<UnixMillis>)>,
}

/// The end of a buyer's time to order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TurnEnd {
    At(UnixMillis),
    /// The drop is paused since this instant, and no time passes.
    StandsStill(UnixMillis),
}

impl TurnEnd {
    /// Returns whether the time had passed at an instant.
    fn has_come(self, at: UnixMillis) -> bool {
        if let TurnEnd::At(end) = self { end <= at } else { false }
    }

    /// Returns the end in words that follow on a verb.
    pub(super) fn words(self) -> String {
        match self {
            TurnEnd::At(end) => format!("until {}", rfc3339(end)),
            TurnEnd::StandsStill(since) => {
                format!("with a time that stands still since {}, while the drop is paused", rfc3339(since))
            }
        }
    }
}

/// A row of the audit, as the admin listener sends it.
pub(super) struct AuditLine<'a> {
    pub(super) seq: u64,
    pub(super) kind: &'a str,
    pub(super) at: UnixMillis,
    pub(super) order: Option<u64>,
    pub(super) quantity: i64,
    pub(super) detail: &'a Value,
}

impl AuditLine<'_> {
    /// Reads a row; `None` for a row without a number, a kind or an instant.
    pub(super) fn of(row: &Value) -> Option<AuditLine<'_>> {
        Some(AuditLine {
            seq: row["seq"].as_u64()?,
            kind: row["kind"].as_str()?,
            at: parse_instant(row["at"].as_str()?).ok()?,
            order: row["order_seq"].as_u64(),
            quantity: row["quantity"].as_i64().unwrap_or(0),
            detail: &row["detail"],
        })
    }
}

impl PastDrop {
    /// Begins with the row that created the drop; `None` for another row.
    pub(super) fn created(line: &AuditLine<'_>) -> Option<PastDrop> {
        if line.kind != "drop_created" {
            return None;
        }
        let detail = line.detail;
        let text = |name: &str| detail[name].as_str().map(Box::from);
        let spec = DropSpec {
            sku: text("sku")?,
            name: text("name")?,
            description: text("description"),
            image_url: text("image_url"),
            currency: Currency::new(detail["currency"].as_str()?)?,
            unit_price: UnitPrice::new(detail["unit_price"].as_u64()?)?,
            total: u32::try_from(line.quantity).ok()?,
            starts_at: instant(detail, "starts_at_ms")?,
            ends_at: instant(detail, "ends_at_ms"),
            per_buyer_limit: small(detail, "per_buyer_limit")?,
            reservation_seconds: small(detail, "reservation_seconds")?,
            payment_seconds: small(detail, "payment_seconds")?,
            identity_limits: limits_of(detail),
            challenge: ChallengeRule::default(),
            room: None,
            commitment: None,
            blind_ms: 0,
        };
        let started = spec.has_started(line.at);
        let (total, units) = (line.quantity, BTreeMap::new());
        let order_seconds = small(&detail["room"], "order_seconds");
        let (admissions, pauses) = (Vec::new(), Vec::new());
        let room = order_seconds.map(|order_seconds| PastRoom { order_seconds, tickets: 0, admissions, pauses });
        let (paused, ended) = (false, false);
        Some(PastDrop { spec, held: 0, sold: 0, total, started, paused, ended, revision: 1, units, room })
    }

    /// Adds the next row of the drop or of one of its orders.
    pub(super) fn add(&mut self, line: &AuditLine<'_>) {
        let quantity = line.quantity;
        if let Some(room) = &mut self.room {
            room.add(line);
        }
        let of_order = self.units.entry(line.order.unwrap_or(0)).or_insert(0);
        match line.kind {
            "order_reserved" | "auction_awarded" => (self.held, *of_order) = (self.held + quantity, quantity),
            "order_cancelled" | "order_expired" if failpoints::enabled(Bug::ReturnsNotCounted) => {}
            "order_cancelled" | "order_expired" => (self.held, *of_order) = (self.held - quantity, 0),
            "order_paid" => (self.held, self.sold) = (self.held - quantity, self.sold + quantity),
            "order_retaken" => (self.sold, *of_order) = (self.sold + quantity, quantity),
            "order_refunded" | "refund_requested" => {
                (self.sold, *of_order) = (self.sold - quantity, *of_order - quantity);
            }
            "stock_adjusted" => self.total += quantity,
            "drop_patched" => self.patch(line),
            "drop_started" => self.started = true,
            "drop_ended" => self.ended = true,
            "drop_closed" => (self.ended, self.spec.ends_at) = (true, Some(line.at)),
            "drop_paused" | "mismatch_found" => self.paused = true,
            "drop_resumed" => self.paused = false,
            _ => {}
        }
        if matches!(line.kind, "drop_patched" | "drop_paused" | "drop_resumed" | "drop_closed" | "stock_adjusted") {
            self.revision = self.revision.saturating_add(1);
        }
    }

    fn patch(&mut self, line: &AuditLine<'_>) {
        let (detail, spec) = (line.detail, &mut self.spec);
        spec.starts_at = instant(detail, "starts_at_ms").unwrap_or(spec.starts_at);
        spec.ends_at = instant(detail, "ends_at_ms").or(spec.ends_at);
        spec.per_buyer_limit = small(detail, "per_buyer_limit").unwrap_or(spec.per_buyer_limit);
        if detail.get("email_limit").is_some() {
            spec.identity_limits = limits_of(detail);
        }
        self.started = spec.starts_at <= line.at;
    }

    /// Returns the units that these orders hold or have bought.
    pub(super) fn units_of(&self, orders: &[u64]) -> u32 {
        let units: i64 = orders.iter().filter_map(|order| self.units.get(order)).sum();
        u32::try_from(units).unwrap_or(0)
    }

    pub(super) fn room(&self) -> Option<&PastRoom> {
        self.room.as_ref()
    }

    pub(super) fn revision(&self) -> u32 {
        self.revision
    }

    pub(super) fn identity_limits(&self) -> IdentityLimits {
        self.spec.identity_limits
    }

    /// Returns the counters and flags as a document.
    pub(super) fn document(&self) -> Value {
        let state = match self {
            PastDrop { ended: true, .. } => "ended",
            PastDrop { paused: true, .. } => "paused",
            PastDrop { started: false, .. } => "scheduled",
            PastDrop { total, held, sold, .. } if held + sold >= *total => "sold_out",
            PastDrop { .. } => "live",
        };
        json!({
            "state": state, "total": self.total, "available": self.total - self.held - self.sold, "held": self.held,
            "sold": self.sold, "per_buyer_limit": self.spec.per_buyer_limit, "revision": self.revision,
        })
    }

    /// Decides an order again by the engine, on this drop alone. Caps on identities are left out: the audit has no
    /// identities.
    pub(super) fn decide(
        &self,
        seq: Seq,
        at: UnixMillis,
        used: u32,
        quantity: Quantity,
    ) -> Option<Result<(), Refusal>> {
        let id = DropId::new(1)?;
        let count = |units: i64| u32::try_from(units).ok();
        let spec =
            DropSpec { total: count(self.total)?, identity_limits: IdentityLimits::default(), ..self.spec.clone() };
        let mut entry = DropEntry::created(id, Box::new(spec), Seq::ZERO, at);
        (entry.held, entry.sold) = (count(self.held)?, count(self.sold)?);
        if self.held + self.sold > self.total {
            return None;
        }
        (entry.started, entry.paused, entry.ended) = (self.started, self.paused, self.ended);
        let mut state = State::new(1);
        state.restore(seq, at, vec![entry]);
        // Digests name the buyer within this state only.
        let digests = DigestKey::new(&[0; 32]);
        let (buyer, key) = (digests.buyer("buyer"), digests.params(b"key"));
        state.restore_used(id, buyer, used);
        let order = PlaceOrder { drop_id: id, buyer, key, quantity, contact_given: false, facts: None };
        match state.decide(&Command::Order(OrderCommand::Place(order)), &mut Vec::new()) {
            Outcome::Refused { refusal, .. } => Some(Err(refusal)),
            Outcome::Accepted(_) => Some(Ok(())),
            Outcome::Repeated { .. } | Outcome::Advanced => None,
        }
    }
}

impl PastRoom {
    fn add(&mut self, line: &AuditLine<'_>) {
        match line.kind {
            "ticket_taken" => self.tickets = self.tickets.saturating_add(1),
            "room_served" => self.admissions.extend(line.detail["serving"].as_u64().map(|until| (until, line.at))),
            "drop_paused" | "mismatch_found" if self.pauses.last().is_none_or(|(_, end)| end.is_some()) => {
                self.pauses.push((line.at, None));
            }
            "drop_resumed" => self.pauses.iter_mut().for_each(|(_, end)| *end = end.or(Some(line.at))),
            "drop_patched" => {
                self.order_seconds = small(&line.detail["room"], "order_seconds").unwrap_or(self.order_seconds);
            }
            _ => {}
        }
    }

    pub(super) fn tickets(&self) -> u64 {
        self.tickets
    }

    /// Returns the end of the time to order of a buyer who was admitted at an instant. Each pause that began before it moves it on.
    pub(super) fn turn_end(&self, admitted_at: UnixMillis) -> TurnEnd {
        let mut ends = admitted_at.plus_seconds(self.order_seconds);
        for (from, end) in self.pauses.iter().filter(|(from, _)| admitted_at <= *from) {
            if ends <= *from {
                break;
            }
            let Some(end) = end else { return TurnEnd::StandsStill(*from) };
            ends = ends.plus_millis(end.get().saturating_sub(from.get()));
        }
        TurnEnd::At(ends)
    }

    /// The first position that was not admitted.
    pub(super) fn serving(&self) -> u64 {
        self.admissions.last().map_or(0, |(until, _)| *until)
    }

    /// The counters as a document.
    pub(super) fn document(&self) -> Value {
        json!({ "tickets": self.tickets, "serving": self.serving(), "order_seconds": self.order_seconds })
    }

    /// Says why a buyer at this position, or without a ticket, could not order at an instant; the second value is whether
    /// that is so.
    pub(super) fn why_not_admitted(&self, position: Option<u64>, at: UnixMillis) -> (String, bool) {
        let Some(position) = position else { return ("the buyer had no ticket with a position".into(), true) };
        let serving = self.serving();
        let Some((_, admitted_at)) = self.admissions.iter().find(|(until, _)| position < *until) else {
            let ahead = position.saturating_sub(serving);
            return (format!("position {position} waited: {ahead} were ahead, {serving} had been admitted"), true);
        };
        let ends = self.turn_end(*admitted_at);
        let (seconds, admitted_at, until) = (self.order_seconds, rfc3339(*admitted_at), ends.words());
        (format!("position {position} was admitted at {admitted_at}, for {seconds} s {until}"), ends.has_come(at))
    }
}

fn instant(detail: &Value, member: &str) -> Option<UnixMillis> {
    detail[member].as_i64().and_then(UnixMillis::new)
}

fn small(detail: &Value, member: &str) -> Option<u32> {
    detail[member].as_u64().and_then(|number| u32::try_from(number).ok())
}

fn limits_of(detail: &Value) -> IdentityLimits {
    IdentityLimits {
        email: small(detail, "email_limit"),
        phone: small(detail, "phone_limit"),
        payment: small(detail, "payment_limit"),
        address: small(detail, "address_limit"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UnixMillis {
        UnixMillis::new(seconds * 1000).expect("in range")
    }

    #[test]
    fn a_turn_is_as_much_longer_as_the_pauses_in_it() {
        let of = |pauses: &[(i64, Option<i64>)]| {
            let pauses = pauses.iter().map(|(from, end)| (at(*from), end.map(at))).collect();
            let room = PastRoom { order_seconds: 10, tickets: 5, admissions: vec![(5, at(100))], pauses };
            (room.turn_end(at(100)), room.why_not_admitted(Some(4), at(125)).1)
        };
        assert_eq!(of(&[]), (TurnEnd::At(at(110)), true));
        assert_eq!(of(&[(80, Some(90))]), (TurnEnd::At(at(110)), true), "before the admission");
        assert_eq!(
            of(&[(105, Some(110)), (114, Some(120))]),
            (TurnEnd::At(at(121)), true),
            "one of 5 s, and one of 6 s"
        );
        assert_eq!(of(&[(105, Some(121))]), (TurnEnd::At(at(126)), false));
        assert_eq!(of(&[(110, Some(120))]), (TurnEnd::At(at(110)), true), "after its end");
        assert_eq!(of(&[(105, Some(106)), (110, None)]), (TurnEnd::StandsStill(at(110)), false));
    }
}
