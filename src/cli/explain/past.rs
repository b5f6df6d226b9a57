//! A drop as it was after an event, counted again from the rows of its audit, and what the engine decides on it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::engine::{Command, DropEntry, DropSpec, OrderCommand, Outcome, PlaceOrder, Refusal, State};
use crate::failpoints::{self, Bug};
use crate::types::instant::parse_instant;
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
}

/// A row of the audit, as the admin listener sends it.
pub(super) struct AuditLine<'a> {
    kind: &'a str,
    at: UnixMillis,
    order: Option<u64>,
    quantity: i64,
    detail: &'a Value,
}

impl AuditLine<'_> {
    /// Reads a row; `None` for a row without a kind or an instant.
    pub(super) fn of(row: &Value) -> Option<AuditLine<'_>> {
        Some(AuditLine {
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
        };
        let started = spec.has_started(line.at);
        let (total, units) = (line.quantity, BTreeMap::new());
        Some(PastDrop { spec, held: 0, sold: 0, total, started, paused: false, ended: false, revision: 1, units })
    }

    /// Adds the next row of the drop or of one of its orders.
    pub(super) fn add(&mut self, line: &AuditLine<'_>) {
        let quantity = line.quantity;
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
