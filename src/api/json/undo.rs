//! The body of an undo's preview and result.

use hyper::body::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use super::encoding::to_bytes;
use super::responses::{OrderContext, OrderJson, order_json};
use super::scalars;
use crate::api::code::Code;
use crate::read::OrderRow;
use crate::types::{DropId, DropState, OrderRange, OrderState, Seq};

/// The last live and paid orders of a drop, newest first.
#[derive(Debug)]
pub struct UndoReport {
    pub drop_id: DropId,
    /// The present state of the drop.
    pub drop_state: DropState,
    /// The range of the orders, if there are any.
    pub run: Option<OrderRange>,
    pub orders: Vec<UndoneOrder>,
    /// The point where the next request continues, if there may be more orders.
    pub next_below: Option<Seq>,
}

/// An order in the report.
#[derive(Debug)]
pub struct UndoneOrder {
    /// The order in its present state.
    pub order: OrderRow,
    /// The result, unless this is a preview.
    pub ending: Option<UndoResult>,
}

/// The result of undoing one order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UndoResult {
    /// The order was cancelled or refunded, now or by an earlier request of the same run.
    Done,
    /// The order had ended otherwise meanwhile.
    NotNeeded,
    /// The order was not undone; after `outcome-unknown` it may have been.
    NotDone(Code),
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UndoReport")]
pub(super) struct UndoReportJson<'a> {
    #[schemars(range(min = 1))]
    drop_id: u32,
    #[schemars(with = "scalars::DropState")]
    drop_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::OrderRange")]
    run: Option<String>,
    /// The orders, newest first.
    orders: Vec<UndoneOrderJson<'a>>,
    /// The `below` of the next request of this run; present if there may be more orders.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64", range(min = 1, max = Seq::MAX.get()))]
    next_below: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UndoneOrder")]
struct UndoneOrderJson<'a> {
    order: OrderJson<'a>,
    /// The planned action: a live order is cancelled, a paid one refunded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["cancel", "refund"]))]
    #[schemars(with = "String")]
    to_do: Option<&'static str>,
    /// The result of the undo.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["done", "not_needed", "not_done"]))]
    #[schemars(with = "String")]
    ending: Option<&'static str>,
    /// The code of the problem if `ending` is `not_done`. After `outcome-unknown` the order may have been undone: repeat
    /// the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    problem: Option<&'static str>,
}

#[must_use]
pub fn undo_body(remedy: &UndoReport, frame: OrderContext<'_>) -> Bytes {
    let orders = remedy.orders.iter().map(|UndoneOrder { order, ending }| UndoneOrderJson {
        order: order_json(order, frame),
        to_do: match (ending, order.state) {
            (None, OrderState::Paid) => Some("refund"),
            (None, state) if state.is_live() => Some("cancel"),
            (None | Some(_), _) => None,
        },
        ending: ending.map(|ending| match ending {
            UndoResult::Done => "done",
            UndoResult::NotNeeded => "not_needed",
            UndoResult::NotDone(_) => "not_done",
        }),
        problem: ending.and_then(|ending| match ending {
            UndoResult::NotDone(code) => Some(code.kind().code),
            UndoResult::Done | UndoResult::NotNeeded => None,
        }),
    });
    to_bytes(&UndoReportJson {
        drop_id: remedy.drop_id.get(),
        drop_state: remedy.drop_state.as_str(),
        run: remedy.run.map(|run| run.to_string()),
        orders: orders.collect(),
        next_below: remedy.next_below.map(Seq::get),
    })
}
