//! Events as rows of the audit: typed columns, and JSON only for what has no column.

use serde_json::Value;

use crate::engine::Event;
use crate::types::{Amount, DropId, Seq, UnixMillis};

/// One row of `audit`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditRow {
    pub seq: Seq,
    pub at: UnixMillis,
    pub kind: std::borrow::Cow<'static, str>,
    pub drop_id: Option<DropId>,
    pub order: Option<Seq>,
    /// The units that moved.
    pub quantity: Option<i64>,
    /// The money that moved.
    pub amount: Option<i64>,
    /// The previous event of the same subject; 0 for a subject's first event.
    pub prev_seq: Seq,
    /// JSON for values without a column.
    pub detail: Option<String>,
}

impl AuditRow {
    /// The row of an event.
    pub(super) fn of(event: &Event, columns: Columns) -> AuditRow {
        let Columns { quantity, amount, detail } = columns;
        AuditRow {
            seq: event.seq,
            at: event.at,
            kind: event.body.name().into(),
            drop_id: event.drop_id(),
            order: event.order(),
            quantity,
            amount,
            prev_seq: event.prev_seq,
            detail: detail.map(|detail| detail.to_string()),
        }
    }

    /// Appends the bytes that the chain hashes: every column in order, integers as 8 bytes little-endian, texts with
    /// their length before them, and one byte before what may be missing.
    pub fn canonical(&self, out: &mut Vec<u8>) {
        fn integer(out: &mut Vec<u8>, value: i64) {
            out.extend_from_slice(&value.to_le_bytes());
        }
        fn unsigned(out: &mut Vec<u8>, value: u64) {
            out.extend_from_slice(&value.to_le_bytes());
        }
        fn text(out: &mut Vec<u8>, value: &str) {
            unsigned(out, u64::try_from(value.len()).unwrap_or(u64::MAX));
            out.extend_from_slice(value.as_bytes());
        }
        fn optional<T>(out: &mut Vec<u8>, value: Option<T>, write: impl Fn(&mut Vec<u8>, T)) {
            out.push(u8::from(value.is_some()));
            if let Some(value) = value {
                write(out, value);
            }
        }
        unsigned(out, self.seq.get());
        integer(out, self.at.get());
        text(out, &self.kind);
        optional(out, self.drop_id, |out, id| unsigned(out, u64::from(id.get())));
        optional(out, self.order, |out, seq| unsigned(out, seq.get()));
        optional(out, self.quantity, integer);
        optional(out, self.amount, integer);
        unsigned(out, self.prev_seq.get());
        optional(out, self.detail.as_deref(), text);
    }
}

/// The columns of an audit row that differ by event.
#[derive(Default)]
pub(super) struct Columns {
    pub(super) quantity: Option<i64>,
    /// The amount, in the drop's currency.
    pub(super) amount: Option<i64>,
    pub(super) detail: Option<Value>,
}

impl Columns {
    /// Detail alone.
    pub(super) fn of(detail: Value) -> Columns {
        Columns { detail: Some(detail), ..Columns::default() }
    }
}

/// An amount as the columns have it.
pub(super) fn in_column(amount: Amount) -> Option<i64> {
    i64::try_from(amount.get()).ok()
}
