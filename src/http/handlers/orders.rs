//! Orders: buyers' reads and commands.

use std::time::Instant;

use hyper::body::Bytes;
use hyper::header::HeaderValue;
use hyper::{Method, Response, StatusCode};
use serde_json::json;

use super::{
    RouteEntry, accepted_seq, after_decision, challenges, fault, identities, prices, rejected, submit, submit_as,
    with_write_headers,
};
use crate::admission::Caller;
use crate::api::Problem;
use crate::api::json::{
    CreatedBody, OrderContext, OrderRequest, Placing, etag, order_body, parse_checkout, purchase_body, recorded_body,
    reservation_body, standby_body,
};
use crate::engine::{Command, Effect, OrderCommand, Outcome, PlaceOrder, Subject};
use crate::http::allowed_responses::{ANOTHER_BUYER, BODY, CHALLENGE, DROP, ID, KEY, STATE, WRITER};
use crate::http::body::Body;
use crate::http::request::{Caching, Call, IDEMPOTENT_REPLAYED, created, json, tag, tagged};
use crate::http::route::ResponseBody::Json;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::read::{OrderRow, rows};
use crate::store::PrivateData;
use crate::telemetry::ReadSource;
use crate::types::{BuyerOrigin, BuyerText, DropId, OrderFacts, OrderSecret, RiskNote, Seq, random};
use crate::writer::{Class, Decided};

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::buyer(Method::POST, "/v1/drops/{drop_id}/orders", "PlaceOrder", "Place an order")
        .body("NewOrder", || json!({ "buyer": "buyer-7", "quantity": 1 }))
        .orders_drop()
        .responds(&[201, 202], &[Json("Order")])
        .or_accepts("Standby")
        .problems(&[ANOTHER_BUYER, BODY, KEY, ID, CHALLENGE, DROP, WRITER])
        .links(&["GetOrder", "Checkout", "CancelOrder"])
        .later(|worker, mut call| Box::pin(async move { place(worker, &mut call).await })),
    Route::buyer(Method::GET, "/v1/orders/{order_id}", "GetOrder", "Read an order")
        .responds(&[200, 304], &[Json("Order")])
        .problems(&[ID])
        .now(|worker, call| get(worker, call)),
    Route::buyer(Method::POST, "/v1/orders/{order_id}/checkout", "Checkout", "Proceed to payment")
        .body("Checkout", || json!({ "contact": { "email": "ann@example.org" } }))
        .responds(&[200], &[Json("Order")])
        .problems(&[BODY, ID, STATE, WRITER])
        .links(&["GetOrder", "CancelOrder"])
        .later(|worker, call| Box::pin(checkout(worker, call))),
    Route::buyer(Method::POST, "/v1/orders/{order_id}/cancel", "CancelOrder", "Cancel an order")
        .responds(&[200], &[Json("Order")])
        .problems(&[ID, STATE, WRITER])
        .later(|worker, call| Box::pin(cancel(worker, call))),
];

pub(super) fn frame(worker: &Worker) -> OrderContext<'_> {
    OrderContext { public_url: &worker.server.config.public_url, epoch: worker.server.epoch }
}

/// `POST /v1/drops/{drop_id}/orders`: the hot path. The call is borrowed, because the future of an `async fn` stores an argument that
/// it owns twice.
async fn place(worker: &Worker, call: &mut Call) -> Result<Response<Body>, Problem> {
    worker.writer.check_buyer_capacity().map_err(|submit_error| rejected(worker, submit_error))?;
    let request = OrderRequest::parse(&call.json(worker.body_bounds()).await?, call.caller.buyer())?;
    let buyer = request.buyer.clone();
    let (decided, secret) = decide_order(worker, call, request).await?;
    let done = accepted_seq(&decided)?;
    let AcceptedOrder { body, repeated } = accepted_order(worker, &decided, secret, &buyer)?;
    let mut response = match body {
        AcceptedBody::Order(body) => created(body),
        AcceptedBody::Standby(body) => json(StatusCode::ACCEPTED, body),
    };
    if repeated {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(with_write_headers(response, done.seq, &decided))
}

/// The order, or the place in the line, that came of an accepted command.
pub(super) struct AcceptedOrder {
    pub(super) body: AcceptedBody,
    /// True if an earlier request had the same effect.
    pub(super) repeated: bool,
}

/// The body of an accepted order.
pub(super) enum AcceptedBody {
    Order(CreatedBody),
    /// The place of a buyer in the line.
    Standby(Bytes),
}

/// Returns the order, or the place in the line, that came of an accepted command.
pub(super) fn accepted_order(
    worker: &Worker,
    decided: &Decided,
    secret: OrderSecret,
    buyer: &BuyerText,
) -> Result<AcceptedOrder, Problem> {
    match &decided.outcome {
        Outcome::Accepted(Effect::Reserved(reservation)) => {
            let body = reservation_body(reservation, secret, buyer.as_str(), frame(worker));
            Ok(AcceptedOrder { body: AcceptedBody::Order(body), repeated: false })
        }
        Outcome::Repeated { subject: Subject::Order(seq), .. } => {
            let body = purchase_body(&by_seq(worker, *seq)?, frame(worker));
            Ok(AcceptedOrder { body: AcceptedBody::Order(body), repeated: true })
        }
        Outcome::Accepted(Effect::Standby(receipt)) => {
            let body = standby_body(receipt, buyer.as_str());
            Ok(AcceptedOrder { body: AcceptedBody::Standby(body), repeated: receipt.repeated })
        }
        Outcome::Accepted(Effect::Recorded(receipt)) => {
            let body = recorded_body(receipt, buyer.as_str());
            Ok(AcceptedOrder { body: AcceptedBody::Standby(body), repeated: receipt.repeated })
        }
        Outcome::Accepted(_) | Outcome::Repeated { .. } | Outcome::Refused { .. } | Outcome::Advanced => {
            Err(Problem::Internal)
        }
    }
}

/// Decides on what a buyer asks for, after the checks that come before the writer.
pub(super) async fn decide_order(
    worker: &Worker,
    call: &Call,
    request: OrderRequest,
) -> Result<(Decided, OrderSecret), Problem> {
    let key = call.idempotency_key()?;
    let drop_id = call.drop_id()?;
    worker.admit_named(call, &request.buyer, Some(drop_id))?;
    let is_challenged = worker.writer.published.drop_entry(drop_id).challenge().is_some();
    let repeated = if is_challenged {
        // Its future has a request to a verifying service in it: every order that waits in the queue would hold 4 kB for it.
        Box::pin(challenges::check(worker, call, drop_id, &request, &key)).await?
    } else {
        None
    };
    match repeated {
        Some(decided) => Ok((decided, random::order_secret(drop_id.shard()))),
        None => submit_order(worker, call, drop_id, request, &key).await,
    }
}

/// Responds to a purchase with its order, which is read: a purchase has more events than its order's.
pub(super) fn purchase_response(worker: &Worker, decided: &Decided) -> Result<Response<Body>, Problem> {
    let done = accepted_seq(decided)?;
    let order = decided.outcome.order_made().ok_or(Problem::Internal)?;
    let mut response = created(purchase_body(&by_seq(worker, order)?, frame(worker)));
    if done.repeated {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(with_write_headers(response, done.seq, decided))
}

/// Submits an order and returns the decision, with the secret of the order's id if the order is new.
pub(super) async fn submit_order(
    worker: &Worker,
    call: &Call,
    drop_id: DropId,
    request: OrderRequest,
    key: &[u8],
) -> Result<(Decided, OrderSecret), Problem> {
    let notes = |buyer: &BuyerText| {
        let origin = worker.origin_of(call, buyer, drop_id);
        (worker.note_order(call, buyer), origin)
    };
    let NewOrder { command, private_data, secret } = new_order(worker, drop_id, request, key, notes)?;
    let decided = submit(worker, &call.caller, command, Some(private_data)).await?;
    Ok((decided, secret))
}

/// An order that is ready for the writer.
pub(super) struct NewOrder {
    pub(super) command: Command,
    pub(super) private_data: PrivateData,
    /// The secret of its id.
    pub(super) secret: OrderSecret,
}

/// Makes the command of an order. `notes` are those of its client; they are taken once the order has passed its checks.
pub(super) fn new_order(
    worker: &Worker,
    drop_id: DropId,
    request: OrderRequest,
    key: &[u8],
    notes: impl FnOnce(&BuyerText) -> (Option<RiskNote>, Option<BuyerOrigin>),
) -> Result<NewOrder, Problem> {
    if worker.writer.published.version(drop_id) == 0 {
        return Err(Problem::NotFound);
    }
    let OrderRequest { buyer, quantity, contact, payment_fingerprint, placing } = request;
    prices::check_order(worker, drop_id, quantity)?;
    let identities = identities::digests(worker, drop_id, contact.as_ref(), payment_fingerprint.as_deref());
    let digests = &worker.writer.digest_key;
    let buyer_digest = digests.buyer(buyer.as_str());
    let (risk, origin) = notes(&buyer);
    let order = PlaceOrder {
        drop_id,
        buyer: buyer_digest,
        key: digests.order_key(drop_id, &buyer_digest, key),
        quantity,
        contact_given: contact.is_some(),
        facts: OrderFacts { identities, risk, origin }.boxed(),
    };
    let command = Command::Order(match placing {
        Placing::Order => OrderCommand::Place(order),
        Placing::OrderOrStandBy => OrderCommand::PlaceOrStandBy(order),
        Placing::StandBy => OrderCommand::JoinStandby(order),
    });
    let secret = random::order_secret(drop_id.shard());
    let private_data = PrivateData::Order { secret, buyer, contact: contact.map(Box::new) };
    Ok(NewOrder { command, private_data, secret })
}

/// Asks whether an order repeats an earlier one, and returns the decision if it does. Else nothing is decided.
pub(super) async fn ask_repeat(
    worker: &Worker,
    caller: &Caller,
    drop_id: DropId,
    request: &OrderRequest,
    key: &[u8],
) -> Result<Option<Decided>, Problem> {
    let digests = &worker.writer.digest_key;
    let buyer = digests.buyer(request.buyer.as_str());
    let command = Command::Order(OrderCommand::Place(PlaceOrder {
        drop_id,
        buyer,
        key: digests.order_key(drop_id, &buyer, key),
        quantity: request.quantity,
        contact_given: request.contact.is_some(),
        facts: None,
    }));
    match submit_as(worker, Class::Repeat, caller, command, None).await {
        Ok(decided) => Ok(Some(decided)),
        Err(Problem::NotFound) => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// Reads the order in the path. Its whole id must be right, including the secret.
pub(super) fn find_order(worker: &Worker, call: &Call) -> Result<OrderRow, Problem> {
    let id = call.order_id()?;
    let started = Instant::now();
    let row = worker.reader.read(|connection| rows::order_by_id(connection, id)).map_err(|error| fault(&error))?;
    worker.meter.borrow_mut().read(ReadSource::Cold, started.elapsed());
    row.ok_or(Problem::NotFound)
}

/// Returns the tag of an order's state.
pub(super) fn order_etag(worker: &Worker, order: &OrderRow) -> String {
    etag("o", order.seq.get(), worker.server.epoch, order.last_seq)
}

/// Reads the order in the path for a buyer. Where buyers have tokens, another buyer's order is not found.
fn find_own_order(worker: &Worker, call: &Call) -> Result<OrderRow, Problem> {
    let row = find_order(worker, call)?;
    match call.caller.buyer() {
        Some(buyer) if buyer.as_str() != &*row.buyer => Err(Problem::NotFound),
        Some(_) | None => Ok(row),
    }
}

/// Returns the order of a decision.
pub(super) fn by_seq(worker: &Worker, seq: Seq) -> Result<OrderRow, Problem> {
    let row = worker.reader.read(|connection| rows::order_by_seq(connection, seq));
    let row = row.map_err(|error| after_decision(fault(&error)))?;
    row.ok_or(Problem::Internal)
}

/// Responds to a write with the order's new state.
pub(super) fn current_order_response(worker: &Worker, seq: Seq, decided: &Decided) -> Result<Response<Body>, Problem> {
    let done = accepted_seq(decided)?;
    let response = json(StatusCode::OK, order_body(&by_seq(worker, seq)?, frame(worker)));
    Ok(with_write_headers(response, done.seq, decided))
}

/// `GET /v1/orders/{order_id}`.
pub(super) fn get(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    Ok(order_response(worker, call, &find_own_order(worker, call)?))
}

/// Responds with an order, or 304 if the client has this version.
pub(super) fn order_response(worker: &Worker, call: &Call, row: &OrderRow) -> Response<Body> {
    let etag = tag(&order_etag(worker, row));
    tagged(&call.parts.headers, etag, Caching::NoStore, order_body(row, frame(worker)))
}

/// `POST /v1/orders/{order_id}/checkout`.
pub(super) async fn checkout(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let contact = parse_checkout(&call.json(worker.body_bounds()).await?)?;
    let row = find_own_order(worker, &call)?;
    worker.note_checkout(&call, &row);
    identities::check_contact(worker, &row, &contact)?;
    let order = row.seq;
    let private_data = PrivateData::Contact(Box::new(contact));
    let decided =
        submit(worker, &call.caller, Command::Order(OrderCommand::Checkout { order }), Some(private_data)).await?;
    current_order_response(worker, order, &decided)
}

/// `POST /v1/orders/{order_id}/cancel`.
pub(super) async fn cancel(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    call.discard_body(worker.body_bounds()).await;
    let order = find_own_order(worker, &call)?.seq;
    let decided = submit(worker, &call.caller, Command::Order(OrderCommand::Cancel { order }), None).await?;
    current_order_response(worker, order, &decided)
}
