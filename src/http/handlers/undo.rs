//! Undo of a drop's last orders, for the case that too much was sold.
//!
//! A preview comes first and names the range of orders that it found, the *run*. Only such a range can be undone, so that
//! a retry concerns the same orders whatever was sold meanwhile. Buyers are notified by the usual events of cancellations
//! and refunds.

use hyper::{Method, Response, StatusCode};
use serde_json::json;

use super::{RouteEntry, accepted_seq, after_decision, fault, submit};
use crate::admission::operators::Role;
use crate::api::Problem;
use crate::api::json::queries::UndoQuery;
use crate::api::json::{
    OrderContext, UNDO_ORDERS_MAX, Undo, UndoReport, UndoResult, UndoneOrder, parse_undo, undo_body,
};
use crate::engine::{CancelByOperator, Command, CommandKey, OrderCommand, PaymentCommand, RefundOrder, Refusal};
use crate::http::allowed_responses::{BODY, ID, QUERY};
use crate::http::body::Body;
use crate::http::request::{Call, json};
use crate::http::route::ResponseBody::Json;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::read::lists::{self, LastOrders};
use crate::read::{DropRow, OrderRow, rows};
use crate::types::digest_key::KeyScope;
use crate::types::{OrderRange, OrderState, Seq};

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::admin(
        Role::Operator,
        Method::GET,
        "/v1/drops/{drop_id}/remedy",
        "PreviewUndo",
        "Show the last live and paid orders, which could be undone",
    )
    .query::<UndoQuery>()
    .responds(&[200], &[Json("UndoReport")])
    .problems(&[QUERY, ID])
    .later(|worker, call| Box::pin(async move { preview(worker, &call).await })),
    Route::admin(
        Role::Operator,
        Method::POST,
        "/v1/drops/{drop_id}/remedy",
        "UndoOrders",
        "Undo the last orders: cancel live ones, refund paid ones",
    )
    .body("Undo", || json!({ "run": "1201-1234", "reason": "ten more than there are" }))
    .responds(&[200], &[Json("UndoReport")])
    // Problems of the writer are reported per order.
    .problems(&[BODY, ID])
    .later(|worker, call| Box::pin(undo(worker, call))),
];

/// The maximum of orders in a preview.
const LAST_MAX: u32 = UNDO_ORDERS_MAX;
/// The maximum of orders that one request undoes; the response says where the next request continues.
const UNDONE_AT_ONCE: u32 = 20;
/// The scope of the refunds' idempotency keys. It is the same for all operators, so that another operator can continue
/// an undo; no operator's name has parentheses.
const KEY_OWNER: &str = "(remedy)";

/// `GET /v1/drops/{drop_id}/remedy`.
pub(super) async fn preview(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let query: UndoQuery = call.query()?;
    if !(1..=LAST_MAX).contains(&query.last) {
        return Err(Problem::invalid("/last", format!("must be a whole number from 1 to {LAST_MAX}")));
    }
    let drop = find_drop(worker, call)?;
    let (drop_id, drop_state) = (drop.id, drop.state());
    let (from, below) =
        worker.reader.read(|connection| lists::reach_of(connection, drop_id)).map_err(|error| fault(&error))?;
    let (orders, _) = find_orders(worker, LastOrders { drop_id, from, below, limit: query.last }).await?;
    let run = orders.last().zip(orders.first()).map(|(first, last)| OrderRange { first: first.seq, last: last.seq });
    let orders = orders.into_iter().map(|order| UndoneOrder { order, ending: None }).collect();
    response(worker, UndoReport { drop_id, drop_state, run, orders, next_below: None })
}

/// `POST /v1/drops/{drop_id}/remedy`.
pub(super) async fn undo(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let Undo { run, below, orders_max, reason } = parse_undo(&call.json(worker.body_bounds()).await?)?;
    let drop = find_drop(worker, &call)?;
    let (drop_id, drop_state) = (drop.id, drop.state());
    let end = run.last.next();
    let below = below.map_or(end, |below| end.min(below));
    if let Some(most) = orders_max {
        let wanted = LastOrders { drop_id, from: run.first, below, limit: most.saturating_add(1) };
        let is_first = below == end;
        refuse_more(worker, wanted, most, is_first).await?;
    }
    let (found, more) =
        find_orders(worker, LastOrders { drop_id, from: run.first, below, limit: UNDONE_AT_ONCE }).await?;
    let mut next_below = found.last().filter(|_| more).map(|order| order.seq);
    let reason = call.signed(reason);
    let mut orders = Vec::with_capacity(found.len());
    for order in found {
        let seq = order.seq;
        let ending = undo_order(worker, &call, &order, run, &reason).await;
        // Newest first, and nothing after a failure: a retry of the run continues where this request stopped.
        let stopped = matches!(ending, UndoResult::NotDone(_));
        orders.push(UndoneOrder { order: order_by_seq(worker, seq)?, ending: Some(ending) });
        if stopped {
            next_below = None;
            break;
        }
    }
    response(worker, UndoReport { drop_id, drop_state, run: Some(run), orders, next_below })
}

/// Refuses a run that has more live and paid orders than its preview listed. Undone orders are neither: a repeat has fewer.
/// A request that goes on below an earlier one knows nothing of what that one did.
async fn refuse_more(worker: &Worker, wanted: LastOrders, most: u32, is_first: bool) -> Result<(), Problem> {
    let (found, _) = find_orders(worker, wanted).await?;
    if u32::try_from(found.len()).is_ok_and(|found| found <= most) {
        return Ok(());
    }
    let what = if is_first {
        format!("the run has more than {most} live and paid orders: preview it again; nothing was undone")
    } else {
        format!(
            "the rest of the run has more than {most} live and paid orders: preview it again; this request undid nothing, and \
             what an earlier one undid stays so"
        )
    };
    Err(Problem::invalid("/orders_max", what))
}

fn find_drop(worker: &Worker, call: &Call) -> Result<DropRow, Problem> {
    let drop_id = call.drop_id()?;
    let row = worker.reader.read(|connection| rows::drop_by_id(connection, drop_id)).map_err(|error| fault(&error))?;
    row.ok_or(Problem::NotFound)
}

fn response(worker: &Worker, remedy: UndoReport) -> Result<Response<Body>, Problem> {
    let frame = OrderContext { public_url: &worker.server.config.public_url, epoch: worker.server.epoch };
    Ok(json(StatusCode::OK, undo_body(&remedy, frame)))
}

fn order_by_seq(worker: &Worker, seq: Seq) -> Result<OrderRow, Problem> {
    let row = worker.reader.read(|connection| rows::order_by_seq(connection, seq));
    let row = row.map_err(|error| after_decision(fault(&error)))?;
    row.ok_or(Problem::Internal)
}

/// Finds live and paid orders, newest first, and whether there are more. It reads in short steps, so that the thread
/// serves other requests in between.
async fn find_orders(worker: &Worker, wanted: LastOrders) -> Result<(Vec<OrderRow>, bool), Problem> {
    let (mut found, mut left) = (Vec::new(), wanted);
    loop {
        let page = worker.reader.read(|connection| lists::last_orders(connection, left));
        let page = page.map_err(|error| fault(&error))?;
        found.extend(page.items);
        left.limit = wanted.limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        match page.next_below {
            Some(below) if left.limit > 0 => left.below = below,
            more => return Ok((found, more.is_some())),
        }
        tokio::task::yield_now().await;
    }
}

/// Cancels an order that is live, refunds one that is paid.
async fn undo_order(worker: &Worker, call: &Call, order: &OrderRow, run: OrderRange, reason: &str) -> UndoResult {
    let cancel = CancelByOperator { order: order.seq, reason: reason.into() };
    let cancel = Command::Order(OrderCommand::CancelByOperator(cancel));
    if order.state.is_live() {
        match decide(worker, call, cancel).await {
            // The buyer paid meanwhile.
            Err(Problem::Refused { refusal: Refusal::IllegalTransition { from: OrderState::Paid, .. }, .. }) => {}
            Err(Problem::Refused { .. }) => return UndoResult::NotNeeded,
            Ok(()) => return UndoResult::Done,
            Err(problem) => return UndoResult::NotDone(problem.code()),
        }
    }
    let digests = &worker.writer.digest_key;
    let key = CommandKey {
        digest: digests.command_key(KeyScope::Refund(order.seq), KEY_OWNER, run.to_string().as_bytes()),
        params: digests.params(b"all that is left"),
    };
    let refund = RefundOrder { order: order.seq, key, amount: None, restock_quantity: 0, reason: reason.into() };
    let refund = Command::Payment(PaymentCommand::Refund(Box::new(refund)));
    match decide(worker, call, refund).await {
        Ok(()) => UndoResult::Done,
        Err(Problem::Refused { .. }) => UndoResult::NotNeeded,
        Err(problem) => UndoResult::NotDone(problem.code()),
    }
}

async fn decide(worker: &Worker, call: &Call, command: Command) -> Result<(), Problem> {
    accepted_seq(&submit(worker, &call.caller, command, None).await?).map(drop)
}
