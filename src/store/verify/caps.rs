//! The recount of caps: units of orders with the same identity, along the audit, against the caps of their drop at that event.

use std::collections::HashMap;

use rusqlite::Connection;

use super::drops::AuditedDrop;
use super::expected_row::detail_of;
use super::report::VerifyReport;
use super::sealed_rows::SealedRow;
use super::standby::is_granted;
use crate::failpoints::{self, Bug};
use crate::store::audit::AuditRow;
use crate::types::{Digest, DropId, IdentityDigests, IdentityKind, Seq};

/// Identities of orders, and the units that each has by the audit.
#[derive(Default)]
pub(super) struct AuditedCaps {
    orders: HashMap<Seq, IdentityDigests>,
    units: HashMap<(DropId, Digest), i64>,
}

impl AuditedCaps {
    /// Adds a row that belongs to an order of a drop, whose caps are those after the row.
    pub(super) fn add(
        &mut self,
        order: Seq,
        drop_id: DropId,
        row: &AuditRow,
        sealed: &SealedRow<'_>,
        drop: Option<&AuditedDrop>,
        report: &mut VerifyReport,
    ) {
        if failpoints::enabled(Bug::VerifySkipsCaps) {
            return;
        }
        if &*row.kind == "order_reserved" {
            self.note_order(order, drop_id, row, sealed, drop, report);
        }
        let Some(identities) = self.orders.get(&order).copied() else { return };
        let units = row.quantity.unwrap_or(0);
        let (moved, takes) = match &*row.kind {
            "order_reserved" | "order_retaken" => (units, true),
            "order_cancelled" | "order_expired" | "order_refunded" | "refund_requested" => {
                (units.saturating_neg(), false)
            }
            _ => return,
        };
        for (kind, identity) in identities.iter() {
            let counted = self.units.entry((drop_id, identity)).or_default();
            *counted = counted.saturating_add(moved);
            let cap = drop.and_then(|drop| drop.cap(kind));
            if takes && let Some(cap) = cap.filter(|cap| *counted > *cap) {
                let kind = kind.as_str();
                report.problem(format!(
                    "drop {drop_id}: after event {} orders with the {kind} of order {order} have {counted} units, its cap is {cap}",
                    row.seq
                ));
            }
        }
    }

    /// Notes the identities of a new order: those of the kinds that its event names, and of every kind with a cap. One from the
    /// line has those of the caps when its buyer joined.
    fn note_order(
        &mut self,
        order: Seq,
        drop_id: DropId,
        row: &AuditRow,
        sealed: &SealedRow<'_>,
        drop: Option<&AuditedDrop>,
        report: &mut VerifyReport,
    ) {
        let identities = match sealed {
            SealedRow::Order(seal) => seal.identities,
            SealedRow::Bid(_) | SealedRow::Standby(_) | SealedRow::None => IdentityDigests::default(),
        };
        let told: Vec<IdentityKind> = row.detail.as_ref().map(|_| kinds_of(row)).unwrap_or_default();
        if !identities.iter().map(|(kind, _)| kind).eq(told.iter().copied()) {
            report.problem(format!("order {order}: its row of identities and the audit differ"));
        }
        let needs_all = !is_granted(row);
        for kind in IdentityKind::ALL.into_iter().filter(|_| needs_all) {
            if drop.and_then(|drop| drop.cap(kind)).is_some() && identities.get(kind).is_none() {
                let kind = kind.as_str();
                report.problem(format!("order {order} has no {kind}, on which drop {drop_id} has a cap"));
            }
        }
        if !identities.is_empty() {
            self.orders.insert(order, identities);
        }
    }
}

/// Returns the kinds of identities that the event of an order names.
fn kinds_of(row: &AuditRow) -> Vec<IdentityKind> {
    let detail = detail_of(row);
    let names = detail["identities"].as_array().map(Vec::as_slice).unwrap_or_default();
    names.iter().filter_map(|name| IdentityKind::parse(name.as_str()?)).collect()
}

/// Reports rows of identities that belong to no order.
pub(super) fn check_rows(connection: &Connection, report: &mut VerifyReport) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare("SELECT order_seq FROM order_identities WHERE order_seq NOT IN (SELECT seq FROM orders)")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        report.problem(format!("order {} has identities, but no row", row.get::<_, i64>(0)?));
    }
    Ok(())
}
