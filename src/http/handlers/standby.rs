//! The line behind a drop that is sold out: joining, looking and leaving.

use hyper::body::Bytes;
use hyper::header::HeaderValue;
use hyper::{Method, Response, StatusCode};
use serde_json::json;

use super::orders::{by_seq, decide_order, frame};
use super::{RouteEntry, accepted_seq, fault, rejected, submit, with_write_headers};
use crate::api::Problem;
use crate::api::code::Code;
use crate::api::json::queries::BuyerQuery;
use crate::api::json::{OrderRequest, granted_body, granted_to_another_body, left_body, recorded_body, standby_body};
use crate::engine::{Command, Effect, OrderCommand, Outcome, RecordedReceipt, StandbyReceipt, Subject};
use crate::http::allowed_responses::{ANOTHER_BUYER, BODY, CHALLENGE, ID, KEY, QUERY, WRITER};
use crate::http::body::Body;
use crate::http::request::{Call, IDEMPOTENT_REPLAYED, empty, json as json_response};
use crate::http::route::ResponseBody::Json;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::read::recorded::{LeftPlace, left_place};
use crate::read::rows::{self, OrderRow};
use crate::types::{BuyerText, Digest, DropId, Seq};
use crate::writer::Decided;

const PATH: &str = "/v1/drops/{drop_id}/standby";

/// Refusals of a buyer who would stand by: those of an order, but for the stock.
const LINE: &[Code] = &[
    Code::NotStarted,
    Code::Ended,
    Code::DropPaused,
    Code::NotAdmitted,
    Code::LimitReached,
    Code::IdentityLimitReached,
];

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::buyer(Method::POST, PATH, "JoinStandby", "Stand by for units that come back")
        .body("NewStandby", || json!({ "buyer": "buyer-7", "quantity": 1 }))
        .orders_drop()
        .responds(&[202], &[Json("Standby")])
        .problems(&[ANOTHER_BUYER, BODY, KEY, ID, CHALLENGE, LINE, WRITER])
        .later(|worker, call| Box::pin(join(worker, call))),
    Route::buyer(Method::GET, PATH, "GetStandby", "Read a buyer's place in the line")
        .query::<BuyerQuery>()
        .responds(&[200], &[Json("Standby")])
        .problems(&[ANOTHER_BUYER, QUERY, ID, WRITER])
        .later(|worker, call| Box::pin(look_up(worker, call))),
    Route::buyer(Method::DELETE, PATH, "LeaveStandby", "Leave the line")
        .query::<BuyerQuery>()
        .responds(&[204], &[])
        .problems(&[ANOTHER_BUYER, QUERY, ID, &[Code::Ended], WRITER])
        .later(|worker, call| Box::pin(leave(worker, call))),
];

/// Responds with the place of a buyer in the line.
pub(super) fn waiting_response(receipt: &StandbyReceipt, buyer: &str) -> Response<Body> {
    accepted(standby_body(receipt, buyer), receipt.repeated)
}

/// Responds with the number of an order that a blind window has recorded.
pub(super) fn recorded_response(receipt: &RecordedReceipt, buyer: &str) -> Response<Body> {
    accepted(recorded_body(receipt, buyer), receipt.repeated)
}

/// Responds with a body to a request whose effect may have been there before.
fn accepted(body: Bytes, repeated: bool) -> Response<Body> {
    let mut response = json_response(StatusCode::ACCEPTED, body);
    if repeated {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// `POST /v1/drops/{drop_id}/standby`.
pub(super) async fn join(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    worker.writer.check_buyer_capacity().map_err(|submit_error| rejected(worker, submit_error))?;
    let request = OrderRequest::parse_standby(&call.json(worker.body_bounds()).await?, call.caller.buyer())?;
    let buyer = request.buyer.clone();
    let (decided, _) = decide_order(worker, &call, request).await?;
    let done = accepted_seq(&decided)?;
    let response = match &decided.outcome {
        Outcome::Accepted(Effect::Standby(receipt)) if receipt.available > 0 => {
            // Units are free, so the buyer may have had an order in the same instant: the answer is what holds after that.
            let digest = worker.writer.digest_key.buyer(buyer.as_str());
            let find = Command::Order(OrderCommand::FindStandby { drop_id: receipt.drop_id, buyer: digest });
            match submit(worker, &call.caller, find, None).await {
                Ok(found) => accepted(place_body(worker, &call, &found, &buyer)?, receipt.repeated),
                Err(_) => waiting_response(receipt, buyer.as_str()),
            }
        }
        Outcome::Accepted(Effect::Standby(receipt)) => waiting_response(receipt, buyer.as_str()),
        Outcome::Accepted(Effect::Recorded(receipt)) => recorded_response(receipt, buyer.as_str()),
        Outcome::Repeated { subject: Subject::Order(order), .. } => {
            let body = granted_body(&by_seq(worker, *order)?, frame(worker));
            accepted(body, true)
        }
        Outcome::Accepted(_) | Outcome::Repeated { .. } | Outcome::Refused { .. } | Outcome::Advanced => {
            return Err(Problem::Internal);
        }
    };
    Ok(with_write_headers(response, done.seq, &decided))
}

/// Returns whether an order was placed, or its place in the line taken, with an idempotency key.
pub(super) fn is_key_of(worker: &Worker, order: &OrderRow, key: &[u8]) -> Result<bool, Problem> {
    let digests = &worker.writer.digest_key;
    let digest = digests.order_key(order.drop_id, &digests.buyer(&order.buyer), key);
    worker.reader.read(|connection| rows::order_has_key(connection, order.seq, &digest)).map_err(|error| fault(&error))
}

/// Returns a place that ended without an order, and whether it was taken with an idempotency key.
pub(super) fn left_by(worker: &Worker, joined: Seq, key: &[u8]) -> Result<(LeftPlace, bool), Problem> {
    let place = worker.reader.read(|connection| left_place(connection, joined));
    let place = place.map_err(|error| fault(&error))?.ok_or(Problem::Internal)?;
    let digests = &worker.writer.digest_key;
    let is_key = digests.order_key(place.drop_id, &digests.buyer(&place.buyer), key) == place.key;
    Ok((place, is_key))
}

/// Decides on a command about the buyer whom the query names, and returns the buyer's text with the decision.
async fn decide_about(
    worker: &Worker,
    call: &mut Call,
    command: fn(DropId, Digest) -> OrderCommand,
) -> Result<(BuyerText, Decided), Problem> {
    worker.writer.check_buyer_capacity().map_err(|submit_error| rejected(worker, submit_error))?;
    let BuyerQuery { buyer } = call.query()?;
    let named = call.asked_buyer(buyer)?;
    call.discard_body(worker.body_bounds()).await;
    let drop_id = call.drop_id()?;
    if worker.writer.published.version(drop_id) == 0 {
        return Err(Problem::NotFound);
    }
    let buyer = named.ok_or_else(|| Problem::invalid("/buyer", "is required without a buyer's token"))?;
    let buyer = BuyerText::new(&buyer)
        .ok_or_else(|| Problem::invalid("/buyer", "must be 1 to 128 bytes of text without control characters"))?;
    // Reads, too: each one is a command in the writer's queue.
    worker.admit_named(call, &buyer, Some(drop_id))?;
    let digest = worker.writer.digest_key.buyer(buyer.as_str());
    let decided = submit(worker, &call.caller, Command::Order(command(drop_id, digest)), None).await?;
    Ok((buyer, decided))
}

/// `GET /v1/drops/{drop_id}/standby`. The writer answers from memory: an index of the rows by buyer would be written in random
/// order at the pace of a sale. The order that came of a place is for those who prove the buyer by a token, or who have the
/// idempotency key of the joining; so is the reason for which none came.
pub(super) async fn look_up(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let command = |drop_id, buyer| OrderCommand::FindStandby { drop_id, buyer };
    let (buyer, decided) = decide_about(worker, &mut call, command).await?;
    let done = accepted_seq(&decided)?;
    let body = place_body(worker, &call, &decided, &buyer)?;
    Ok(with_write_headers(json_response(StatusCode::OK, body), done.seq, &decided))
}

/// Returns the body of the place that was found, of the order that a buyer of the line has had, or of the reason why none came.
fn place_body(worker: &Worker, call: &Call, found: &Decided, buyer: &BuyerText) -> Result<Bytes, Problem> {
    match &found.outcome {
        Outcome::Accepted(Effect::Standby(receipt)) => Ok(standby_body(receipt, buyer.as_str())),
        Outcome::Accepted(Effect::Recorded(receipt)) => Ok(recorded_body(receipt, buyer.as_str())),
        Outcome::Repeated { subject: Subject::Order(order), .. } => {
            let row = by_seq(worker, *order)?;
            let key = call.idempotency_key().ok();
            // The order's id is the key to the order, and a name alone proves no buyer.
            if call.caller.buyer().is_some() || is_key_of(worker, &row, key.as_deref().unwrap_or_default())? {
                Ok(granted_body(&row, frame(worker)))
            } else {
                Ok(granted_to_another_body(&row))
            }
        }
        Outcome::Repeated { subject: Subject::LineEntry(joined), .. } => {
            let key = call.idempotency_key().ok();
            let (place, is_key) = left_by(worker, *joined, key.as_deref().unwrap_or_default())?;
            // The reason may tell what else the buyer has ordered, and a name alone proves no buyer.
            if call.caller.buyer().is_some() || is_key { Ok(left_body(&place)) } else { Err(Problem::NotFound) }
        }
        Outcome::Accepted(_) | Outcome::Repeated { .. } | Outcome::Refused { .. } | Outcome::Advanced => {
            Err(Problem::Internal)
        }
    }
}

/// `DELETE /v1/drops/{drop_id}/standby`.
pub(super) async fn leave(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let command = |drop_id, buyer| OrderCommand::LeaveStandby { drop_id, buyer };
    let (_, decided) = decide_about(worker, &mut call, command).await?;
    let done = accepted_seq(&decided)?;
    Ok(with_write_headers(empty(StatusCode::NO_CONTENT), done.seq, &decided))
}
