//! Batches of orders, for the back end of a shop.
//!
//! A shop's own requests have no buyer at their other end: rate limits, challenges and notes of risk are those of its front. The
//! rules of the engine hold for each order as for one that a buyer sends.

use std::time::Instant;

use hyper::header::HeaderValue;
use hyper::{Method, Response, StatusCode};
use serde_json::json;

use super::orders::{AcceptedBody, AcceptedOrder, NewOrder, accepted_order, new_order};
use super::{RouteEntry, accepted_seq, queue, read_long, rejected, reply_to, with_write_headers};
use crate::admission::operators::Role;
use crate::api::Problem;
use crate::api::json::{BATCH_ORDERS_MAX, BatchOrder, BatchResult, batch_body, parse_batch};
use crate::http::allowed_responses::{BODY, WRITER};
use crate::http::body::{Body, check_json};
use crate::http::request::{Call, FIRSTCOME_UNDECIDED, json as json_response};
use crate::http::route::ResponseBody::Json;
use crate::http::route::{Presence, Route};
use crate::http::worker::Worker;
use crate::types::{BuyerText, OrderSecret, Seq};
use crate::writer::{Class, Decided, Submission, Ticket};

/// The most bytes of a batch's body: for each order as many as the default of `http.body_bytes_max`. The longest order takes 7,700
/// from a client that writes ASCII only (`\u00e9`).
const BODY_BYTES_MAX: usize = BATCH_ORDERS_MAX * 8192;

pub(in crate::http) const ROUTES: &[RouteEntry] =
    &[Route::admin(Role::Operator, Method::POST, "/v1/orders:batch", "PlaceOrders", "Place up to 100 orders")
        .long_body(BODY_BYTES_MAX)
        .body(
            "NewOrderBatch",
            || json!({ "orders": [{ "drop_id": 1, "key": "basket-4711", "buyer": "buyer-7", "quantity": 1 }] }),
        )
        .responds(&[200], &[Json("OrderBatchResults")])
        .problems(&[BODY, WRITER])
        // The first two are those of the last order that was accepted.
        .headers(&[
            ("Firstcome-Seq", Presence::Sometimes),
            ("Server-Timing", Presence::Sometimes),
            ("Firstcome-Undecided", Presence::Sometimes),
        ])
        .later(|worker, call| Box::pin(place_all(worker, call)))];

/// An order of a batch before it is queued.
struct ReadyOrder {
    submission: Submission,
    secret: OrderSecret,
    buyer: BuyerText,
}

/// An order of a batch that the writer decides.
struct QueuedOrder {
    ticket: Ticket,
    secret: OrderSecret,
    buyer: BuyerText,
}

/// `POST /v1/orders:batch`. Orders are queued one behind the other; a problem of the first one's queueing is that of the request,
/// since nothing was decided. So it is if no order was decided, so that a router asks the next leader.
async fn place_all(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    worker.writer.check_buyer_capacity().map_err(|submit_error| rejected(worker, submit_error))?;
    check_json(&call.parts.headers)?;
    let orders = parse_batch(&read_long(worker, &mut call, BODY_BYTES_MAX).await?)?;
    // Digests take longer than a slot in the queue: all orders are made ready first, so that the writer, which begins with the
    // first one, finds the others beside it and commits them together.
    let ready: Vec<_> = orders.into_iter().map(|order| make_ready(worker, order)).collect();
    let mut queued = Vec::with_capacity(ready.len());
    for order in ready {
        let order = order.and_then(|order| queue_order(worker, order));
        match order {
            Err(problem) if queued.is_empty() && problem.is_undecided() => return Err(problem),
            Ok(_) | Err(_) => queued.push(order),
        }
    }
    let (mut results, mut last) = (Vec::with_capacity(queued.len()), None);
    let deadline = Instant::now().checked_add(worker.server.config.reply_deadline);
    for order in queued {
        results.push(match order {
            Ok(order) => result(worker, order, deadline, &mut last).await,
            Err(problem) => Err(problem),
        });
    }
    let undecided = results.iter().filter(|result| result.as_ref().is_err_and(Problem::is_undecided)).count();
    if undecided == results.len() {
        return Err(as_a_whole(results));
    }
    let request_id = call.request_id.header();
    let request_id = request_id.to_str().unwrap_or_default();
    let told = |result: Result<_, _>| result.unwrap_or_else(|problem| problem_result(worker, &problem, request_id));
    let results: Vec<_> = results.into_iter().map(told).collect();
    let mut response = json_response(StatusCode::OK, batch_body(&results));
    if undecided > 0 {
        response.headers_mut().insert(FIRSTCOME_UNDECIDED, HeaderValue::from(undecided));
    }
    Ok(match last {
        Some((seq, decided)) => with_write_headers(response, seq, &decided),
        None => response,
    })
}

/// Returns the problem of a batch of which no order was decided, as far as is known.
fn as_a_whole(results: Vec<Result<BatchResult, Problem>>) -> Problem {
    let mut problems = results.into_iter().filter_map(Result::err);
    let first = problems.next().unwrap_or(Problem::Internal);
    problems.find(|problem| matches!(problem, Problem::OutcomeUnknown)).unwrap_or(first)
}

/// Makes an order ready as that of a buyer: the slots that operators have in the queue are not for orders.
fn make_ready(worker: &Worker, BatchOrder { drop_id, key, order }: BatchOrder) -> Result<ReadyOrder, Problem> {
    let buyer = order.buyer.clone();
    let no_notes = |_: &BuyerText| (None, None);
    let NewOrder { command, private_data, secret } = new_order(worker, drop_id, order, key.as_bytes(), no_notes)?;
    let submission = Submission { command, private_data: Some(private_data), class: Class::Buyer };
    Ok(ReadyOrder { submission, secret, buyer })
}

fn queue_order(worker: &Worker, ReadyOrder { submission, secret, buyer }: ReadyOrder) -> Result<QueuedOrder, Problem> {
    Ok(QueuedOrder { ticket: queue(worker, submission)?, secret, buyer })
}

/// Waits for the decision on an order. `last` takes the last one that is not a refusal.
async fn result(
    worker: &Worker,
    QueuedOrder { ticket, secret, buyer }: QueuedOrder,
    deadline: Option<Instant>,
    last: &mut Option<(Seq, Decided)>,
) -> Result<BatchResult, Problem> {
    let left = deadline.map_or(worker.server.config.reply_deadline, |at| at.saturating_duration_since(Instant::now()));
    let decided = reply_to(worker, ticket, left).await?;
    let seq = accepted_seq(&decided)?.seq;
    let AcceptedOrder { body, repeated } = accepted_order(worker, &decided, secret, &buyer)?;
    *last = Some((seq, decided));
    Ok(match body {
        AcceptedBody::Order(order) => BatchResult { status: StatusCode::CREATED, body: order.body, repeated },
        AcceptedBody::Standby(body) => BatchResult { status: StatusCode::ACCEPTED, body, repeated },
    })
}

fn problem_result(worker: &Worker, problem: &Problem, request_id: &str) -> BatchResult {
    worker.meter.borrow_mut().problem(problem.code() as usize);
    BatchResult { status: problem.status(), body: problem.body(request_id).into(), repeated: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Refusal;
    use crate::types::UnixMillis;

    #[test]
    fn a_refusal_is_a_decision_whatever_its_status_is() {
        let paused = Problem::Refused { refusal: Refusal::DropPaused, as_of_seq: Seq::ZERO, at: UnixMillis::ZERO };
        assert_eq!((paused.status(), paused.is_undecided()), (StatusCode::SERVICE_UNAVAILABLE, false));
    }

    #[test]
    fn a_batch_of_which_nothing_was_decided_is_unknown_if_one_of_its_orders_is() {
        let whole = |problems: Vec<Problem>| as_a_whole(problems.into_iter().map(Err).collect()).code();
        assert_eq!(whole(vec![Problem::Draining, Problem::ReadOnly]), Problem::Draining.code());
        assert_eq!(whole(vec![Problem::ReadOnly, Problem::OutcomeUnknown]), Problem::OutcomeUnknown.code());
    }
}
