//! Rows of drops. All changes of a drop's counters in a batch are added up and written by one UPDATE.

use std::collections::BTreeMap;

use rusqlite::{Connection, Statement, params};
use serde_json::{Value, json};

use super::audit::Columns;
use super::rooms;
use super::standby;
use crate::engine::{
    AuctionEvent, DropCreated, DropEvent, DropPatch, DropPatched, DropSpec, Event, EventBody, OrderEvent,
    StockAdjusted, StockDelta,
};
use crate::failpoints::{self, Bug};
use crate::types::{ChallengeRule, DropId, IdentityKind, IdentityLimits, Seq, UnixMillis};

/// The changes of a batch to one drop.
#[derive(Default)]
struct DropChange {
    delta: StockDelta,
    /// Buyers who joined the line, less those who left it.
    standby: i64,
    /// True once the line has ended with its drop.
    line_ended: bool,
    revisions: u32,
    version: Seq,
    last_seq: Seq,
}

impl DropChange {
    /// Counts a buyer who got an order from the line.
    fn count_grant(&mut self, body: &EventBody) {
        if matches!(body, EventBody::Order(OrderEvent::Granted(_))) {
            self.standby = self.standby.saturating_sub(1);
        }
    }
}

/// Writes the rows of drops.
pub(super) struct DropWriter<'conn> {
    insert_drop: Statement<'conn>,
    patch_drop: Statement<'conn>,
    limit_identities: Statement<'conn>,
    flag_drop: Statement<'conn>,
    move_drop: Statement<'conn>,
    changes: BTreeMap<DropId, DropChange>,
}

impl<'conn> DropWriter<'conn> {
    pub(super) fn new(connection: &'conn Connection) -> rusqlite::Result<DropWriter<'conn>> {
        let prepare = |sql: &str| connection.prepare(sql);
        Ok(DropWriter {
            insert_drop: prepare(
                "INSERT INTO drops (id, sku, name, description, image_url, currency, unit_price, total, held, sold,
                     starts_at_ms, ends_at_ms, per_buyer_limit, reservation_seconds, payment_seconds, revision, started,
                     paused, ended, mismatch, last_seq, version, challenge, challenge_below, email_limit, phone_limit,
                     payment_limit, address_limit, blind_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, 0, ?9, ?10, ?11, ?12, ?13, 1, ?14, 0, 0, 0, ?15, ?15, ?16, ?17,
                     ?18, ?19, ?20, ?21, ?22)",
            )?,
            patch_drop: prepare(
                "UPDATE drops SET name = coalesce(?2, name), description = coalesce(?3, description),
                     image_url = coalesce(?4, image_url), unit_price = coalesce(?5, unit_price),
                     starts_at_ms = coalesce(?6, starts_at_ms), ends_at_ms = coalesce(?7, ends_at_ms),
                     per_buyer_limit = coalesce(?8, per_buyer_limit),
                     reservation_seconds = coalesce(?9, reservation_seconds),
                     payment_seconds = coalesce(?10, payment_seconds),
                     challenge = coalesce(?12, challenge), challenge_below = coalesce(?13, challenge_below),
                     started = (coalesce(?6, starts_at_ms) <= ?11)
                 WHERE id = ?1",
            )?,
            limit_identities: prepare(
                "UPDATE drops SET email_limit = ?2, phone_limit = ?3, payment_limit = ?4, address_limit = ?5
                 WHERE id = ?1",
            )?,
            flag_drop: prepare(
                "UPDATE drops SET started = coalesce(?2, started), paused = coalesce(?3, paused),
                     ended = coalesce(?4, ended), mismatch = coalesce(?5, mismatch),
                     ends_at_ms = coalesce(?6, ends_at_ms)
                 WHERE id = ?1",
            )?,
            move_drop: prepare(
                "UPDATE drops SET total = total + ?2, held = held + ?3, sold = sold + ?4, revision = revision + ?5,
                     version = max(version, ?6), last_seq = max(last_seq, ?7),
                     standby = CASE WHEN ?9 THEN 0 ELSE standby + ?8 END
                 WHERE id = ?1",
            )?,
            changes: BTreeMap::new(),
        })
    }

    /// Writes what an event changes of its drop's row, but for the counters.
    pub(super) fn record(&mut self, event: &Event, body: &DropEvent) -> rusqlite::Result<()> {
        type Flag = Option<bool>;
        const NO: Flag = None;
        const NO_TIME: Option<UnixMillis> = None;
        const YES: Flag = Some(true);
        let Some(drop_id) = event.drop_id() else { return Ok(()) };
        match body {
            DropEvent::Created(DropCreated { spec, .. }) => self.insert(drop_id, spec, event),
            DropEvent::Patched(DropPatched { patch, .. }) => self.patch(drop_id, patch, event.at),
            DropEvent::Started => self.flag(drop_id, [YES, NO, NO, NO], NO_TIME),
            DropEvent::Paused { .. } => self.flag(drop_id, [NO, YES, NO, NO], NO_TIME),
            DropEvent::Resumed { .. } => self.flag(drop_id, [NO, Some(false), NO, NO], NO_TIME),
            DropEvent::Ended => self.flag(drop_id, [NO, NO, YES, NO], NO_TIME),
            DropEvent::Closed { .. } => self.flag(drop_id, [NO, NO, YES, NO], Some(event.at)),
            DropEvent::MismatchFound => self.flag(drop_id, [NO, YES, NO, YES], NO_TIME),
            DropEvent::MismatchCleared => self.flag(drop_id, [NO, NO, NO, Some(false)], NO_TIME),
            DropEvent::StockAdjusted(_)
            | DropEvent::StandbyJoined(_)
            | DropEvent::StandbyLeft { .. }
            | DropEvent::WindowEnded { .. } => Ok(()),
        }
    }

    /// Writes the row of a new drop.
    pub(super) fn insert(&mut self, drop_id: DropId, spec: &DropSpec, event: &Event) -> rusqlite::Result<()> {
        self.insert_drop
            .execute(params![
                drop_id,
                spec.sku,
                spec.name,
                spec.description,
                spec.image_url,
                spec.currency,
                spec.unit_price,
                spec.total,
                spec.starts_at,
                spec.ends_at,
                spec.per_buyer_limit,
                spec.reservation_seconds,
                spec.payment_seconds,
                spec.has_started(event.at),
                event.seq,
                spec.challenge.kind,
                spec.challenge.below,
                spec.identity_limits.email,
                spec.identity_limits.phone,
                spec.identity_limits.payment,
                spec.identity_limits.address,
                spec.blind_ms,
            ])
            .map(drop)
    }

    fn patch(&mut self, drop_id: DropId, patch: &DropPatch, at: UnixMillis) -> rusqlite::Result<()> {
        self.patch_drop
            .execute(params![
                drop_id,
                patch.name,
                patch.description,
                patch.image_url,
                patch.unit_price,
                patch.starts_at,
                patch.ends_at,
                patch.per_buyer_limit,
                patch.reservation_seconds,
                patch.payment_seconds,
                at,
                patch.challenge,
                patch.challenge_below,
            ])
            .map(drop)?;
        let Some(IdentityLimits { email, phone, payment, address }) = patch.identity_limits else { return Ok(()) };
        self.limit_identities.execute(params![drop_id, email, phone, payment, address]).map(drop)
    }

    /// Sets the flags (started, paused, ended, mismatch) that are given, and the end if it is.
    fn flag(&mut self, drop_id: DropId, flags: [Option<bool>; 4], ends_at: Option<UnixMillis>) -> rusqlite::Result<()> {
        let [started, paused, ended, mismatch] = flags;
        self.flag_drop.execute(params![drop_id, started, paused, ended, mismatch, ends_at]).map(drop)
    }

    /// Adds up what the event changes of its drop's counters.
    pub(super) fn count(&mut self, event: &Event) {
        let Some(drop_id) = event.drop_id() else { return };
        let of_the_drop = event.order().is_none();
        let delta = event.stock_delta();
        if delta.is_none() && !of_the_drop {
            return;
        }
        let change = self.changes.entry(drop_id).or_default();
        if let Some(delta) = delta {
            change.version = event.seq;
            // A new drop's row is written with its total.
            let is_new = matches!(
                &event.body,
                EventBody::Drop(DropEvent::Created(_)) | EventBody::Auction { event: AuctionEvent::Created(_), .. }
            );
            if !is_new {
                change.delta.total = change.delta.total.saturating_add(delta.total);
            }
            change.delta.held = change.delta.held.saturating_add(delta.held);
            change.delta.sold = change.delta.sold.saturating_add(delta.sold);
        }
        if of_the_drop {
            change.last_seq = event.seq;
        }
        let EventBody::Drop(body) = &event.body else { return change.count_grant(&event.body) };
        if body.revises() {
            change.revisions = change.revisions.saturating_add(1);
        }
        match body {
            DropEvent::StandbyJoined(_) => change.standby = change.standby.saturating_add(1),
            DropEvent::StandbyLeft { .. } => change.standby = change.standby.saturating_sub(1),
            DropEvent::Ended | DropEvent::Closed { .. } => change.line_ended = true,
            DropEvent::Created(_)
            | DropEvent::Patched(_)
            | DropEvent::Started
            | DropEvent::Paused { .. }
            | DropEvent::Resumed { .. }
            | DropEvent::StockAdjusted(_)
            | DropEvent::MismatchFound
            | DropEvent::MismatchCleared
            | DropEvent::WindowEnded { .. } => {}
        }
    }

    /// Writes the counters that the batch has changed.
    pub(super) fn move_drops(&mut self) -> rusqlite::Result<()> {
        while let Some((drop_id, change)) = self.changes.pop_first() {
            let DropChange { mut delta, standby, line_ended, revisions, version, last_seq } = change;
            if failpoints::enabled(Bug::UnitsCountedTwice) {
                delta.held = delta.held.saturating_add(delta.held.max(0));
            }
            if failpoints::enabled(Bug::UnitsLeaveTotal) && delta.held > 0 {
                delta.total = delta.total.saturating_sub(delta.held.saturating_mul(2));
                delta.held = 0;
            }
            let rows = self.move_drop.execute(params![
                drop_id,
                delta.total,
                delta.held,
                delta.sold,
                revisions,
                version,
                last_seq,
                standby,
                line_ended
            ])?;
            assert_eq!(rows, 1, "drop {drop_id} has a row");
        }
        Ok(())
    }
}

/// The audit's columns of a drop's event.
pub(super) fn columns(event: &DropEvent) -> Columns {
    match event {
        DropEvent::Created(DropCreated { spec, .. }) => {
            Columns { quantity: Some(i64::from(spec.total)), ..Columns::of(spec_detail(spec)) }
        }
        DropEvent::Patched(DropPatched { patch, reason }) => Columns::of(patch_detail(patch, reason)),
        DropEvent::Paused { reason } | DropEvent::Resumed { reason } | DropEvent::Closed { reason } => {
            Columns::of(json!({ "reason": reason }))
        }
        DropEvent::StockAdjusted(StockAdjusted { delta, reason }) => {
            Columns { quantity: Some(*delta), ..Columns::of(json!({ "reason": reason })) }
        }
        DropEvent::Started | DropEvent::Ended | DropEvent::MismatchFound | DropEvent::MismatchCleared => {
            Columns::default()
        }
        DropEvent::WindowEnded { recorded } => Columns::of(json!({ "tickets": recorded })),
        DropEvent::StandbyJoined(joined) => standby::joined_columns(joined),
        DropEvent::StandbyLeft { joined, leaving, .. } => Columns::of(standby::left_detail(*joined, *leaving)),
    }
}

fn spec_detail(spec: &DropSpec) -> Value {
    let mut detail = json!({
        "sku": spec.sku,
        "name": spec.name,
        "description": spec.description,
        "image_url": spec.image_url,
        "currency": spec.currency.as_str(),
        "unit_price": spec.unit_price.get(),
        "starts_at_ms": spec.starts_at.get(),
        "ends_at_ms": spec.ends_at.map(UnixMillis::get),
        "per_buyer_limit": spec.per_buyer_limit,
        "reservation_seconds": spec.reservation_seconds,
        "payment_seconds": spec.payment_seconds,
    });
    if !spec.identity_limits.is_empty() {
        note_limits(&mut detail, &spec.identity_limits);
    }
    if spec.challenge != ChallengeRule::default() {
        detail["challenge"] = spec.challenge.kind.as_str().into();
        detail["challenge_below"] = spec.challenge.below.as_str().into();
    }
    if let Some(room) = &spec.room {
        detail["room"] = rooms::spec_detail(room);
    }
    if spec.blind_ms > 0 {
        detail["blind_ms"] = spec.blind_ms.into();
    }
    if let Some(commitment) = &spec.commitment {
        detail["commitment"] = commitment.to_string().into();
    }
    detail
}

/// Notes the caps on identities under the names of their columns.
fn note_limits(detail: &mut Value, limits: &IdentityLimits) {
    for kind in IdentityKind::ALL {
        detail[format!("{}_limit", kind.as_str())] = limits.get(kind).into();
    }
}

fn patch_detail(patch: &DropPatch, reason: &str) -> Value {
    let mut detail = serde_json::Map::new();
    let mut note = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            detail.insert(name.into(), value);
        }
    };
    note("name", patch.name.as_deref().map(Into::into));
    note("description", patch.description.as_deref().map(Into::into));
    note("image_url", patch.image_url.as_deref().map(Into::into));
    note("unit_price", patch.unit_price.map(|price| price.get().into()));
    note("starts_at_ms", patch.starts_at.map(|at| at.get().into()));
    note("ends_at_ms", patch.ends_at.map(|at| at.get().into()));
    note("per_buyer_limit", patch.per_buyer_limit.map(Into::into));
    note("reservation_seconds", patch.reservation_seconds.map(Into::into));
    note("payment_seconds", patch.payment_seconds.map(Into::into));
    note("challenge", patch.challenge.map(|kind| kind.as_str().into()));
    note("challenge_below", patch.challenge_below.map(|tier| tier.as_str().into()));
    note("room", patch.room.as_ref().map(rooms::patch_detail));
    note("reason", Some(reason.into()));
    let mut detail = Value::Object(detail);
    if let Some(limits) = &patch.identity_limits {
        note_limits(&mut detail, limits);
    }
    detail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_of_a_change_of_stock_has_its_units() {
        let columns = columns(&DropEvent::StockAdjusted(StockAdjusted { delta: -3, reason: "broken".into() }));
        assert_eq!((columns.quantity, columns.amount), (Some(-3), None));
        assert_eq!(columns.detail, Some(json!({ "reason": "broken" })));
    }
}
