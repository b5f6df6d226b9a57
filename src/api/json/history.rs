//! Bodies of an order's history.

use hyper::body::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::encoding::{time, to_bytes};
use super::scalars;
use crate::api::history::sentence;
use crate::read::history::HistoryRow;
use crate::types::{Currency, Seq, UnixMillis};

/// An event of an order.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HistoryEvent")]
pub(super) struct HistoryEventJson<'a> {
    #[schemars(range(min = 1, max = Seq::MAX.get()))]
    seq: u64,
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    at: UnixMillis,
    /// The kind of the event, as in the audit.
    kind: &'a str,
    /// A sentence for operators. Its words may change.
    text: String,
    /// The order's state after it, where its kind alone does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::OrderState")]
    state: Option<String>,
}

/// Returns the body of an event; `currency` is that of the order's drop.
#[must_use]
pub fn history_body(row: &HistoryRow, currency: Currency) -> Bytes {
    let detail: Value = row.detail.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    to_bytes(&HistoryEventJson {
        seq: row.seq.get(),
        at: row.at,
        kind: &row.kind,
        text: sentence(row, currency),
        state: detail["state"].as_str().map(String::from),
    })
}
