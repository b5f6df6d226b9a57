//! Operators' commands on an order's money: payments by hand and refunds.

use hyper::header::HeaderValue;
use hyper::{Method, Response, StatusCode};
use serde_json::json;

use super::orders::{current_order_response, find_order};
use super::{RouteEntry, fault, submit};
use crate::admission::operators::Role;
use crate::api::Problem;
use crate::api::json::{SettlementRequest, page_body, parse_payment, parse_refund, parse_settled, payment_body};
use crate::engine::{Command, CommandKey, Outcome, PaymentCommand, RecordPayment, RefundOrder, SettleRefund};
use crate::http::allowed_responses::{BODY, ID, KEY, STATE, WRITER};
use crate::http::body::Body;
use crate::http::request::{Call, IDEMPOTENT_REPLAYED, json};
use crate::http::route::ResponseBody::Json;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::read::refunds::PaymentKey;
use crate::read::{self, PaymentRow};
use crate::types::Amount;
use crate::types::digest_key::KeyScope;

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::admin(
        Role::Operator,
        Method::POST,
        "/v1/orders/{order_id}/payments",
        "RecordPayment",
        "Record a payment by hand",
    )
    .body(
        "Payment",
        || json!({ "reference": "transfer 4711", "amount": 12900, "currency": "EUR", "reason": "paid by transfer" }),
    )
    .responds(&[200], &[Json("Order")])
    .problems(&[BODY, ID, STATE, WRITER])
    .links(&["RefundOrder", "ListPayments", "ReadContact"])
    .later(|worker, call| Box::pin(record_payment(worker, call))),
    Route::admin(Role::Operator, Method::POST, "/v1/orders/{order_id}/refund", "RefundOrder", "Refund an order")
        .body("Refund", || json!({ "restock_quantity": 1, "reason": "came back unworn" }))
        .responds(&[200], &[Json("Order")])
        .problems(&[BODY, KEY, ID, STATE, WRITER])
        .later(|worker, call| Box::pin(refund(worker, call))),
    Route::admin(
        Role::Operator,
        Method::POST,
        "/v1/orders/{order_id}/refund-settled",
        "SettleRefund",
        "Record that a refund was paid out",
    )
    .body(
        "RefundSettlement",
        || json!({ "reference": "transfer 4712", "payment": "pay_1", "amount": 12900, "reason": "paid out" }),
    )
    .responds(&[200], &[Json("Order")])
    .problems(&[BODY, ID, STATE, WRITER])
    .later(|worker, call| Box::pin(settle_refund(worker, call))),
    Route::admin(
        Role::Operator,
        Method::GET,
        "/v1/orders/{order_id}/payments",
        "ListPayments",
        "List an order's payments",
    )
    .responds(&[200], &[Json("PaymentPage")])
    .problems(&[ID])
    .counts_in_flight()
    .now(|worker, call| payments(worker, call)),
];

/// `GET /v1/orders/{order_id}/payments`.
pub(super) fn payments(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let order = find_order(worker, call)?.seq;
    let rows = worker.reader.read(|connection| read::payments::payments_of(connection, order));
    let states = &worker.server.refund_states;
    let body = |row: &PaymentRow| {
        let state = states.state(PaymentKey { order, payment: row.seq });
        payment_body(row, state.as_ref().filter(|_| row.refund_due != Amount::ZERO))
    };
    let bodies: Vec<_> = rows.map_err(|error| fault(&error))?.iter().map(body).collect();
    Ok(json(StatusCode::OK, page_body(&bodies, None)))
}

/// `POST /v1/orders/{order_id}/payments`.
pub(super) async fn record_payment(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let payment = parse_payment(&call.json(worker.body_bounds()).await?)?;
    let order = find_order(worker, &call)?.seq;
    let payment = RecordPayment {
        order,
        reference: payment.reference,
        amount: payment.amount,
        currency: payment.currency,
        reason: call.signed(payment.reason),
    };
    let command = Command::Payment(PaymentCommand::Record(payment));
    let decided = submit(worker, &call.caller, command, None).await?;
    current_order_response(worker, order, &decided)
}

/// `POST /v1/orders/{order_id}/refund`.
pub(super) async fn refund(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let (amount, restock_quantity, reason) = parse_refund(&call.json(worker.body_bounds()).await?)?;
    let key = call.idempotency_key()?;
    let order = find_order(worker, &call)?.seq;
    let digests = &worker.writer.digest_key;
    let params = format!("{:?} {restock_quantity}", amount.map(Amount::get));
    let key = CommandKey {
        digest: digests.command_key(KeyScope::Refund(order), call.operator_name(), &key),
        params: digests.params(params.as_bytes()),
    };
    let reason = call.signed(reason);
    let refund = RefundOrder { order, key, amount, restock_quantity, reason };
    let command = Command::Payment(PaymentCommand::Refund(Box::new(refund)));
    let decided = submit(worker, &call.caller, command, None).await?;
    let repeated = matches!(decided.outcome, Outcome::Repeated { .. });
    let mut response = current_order_response(worker, order, &decided)?;
    if repeated {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// `POST /v1/orders/{order_id}/refund-settled`.
pub(super) async fn settle_refund(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let SettlementRequest { reference, payment, amount, reason } =
        parse_settled(&call.json(worker.body_bounds()).await?)?;
    let order = find_order(worker, &call)?.seq;
    let settle = SettleRefund { order, reference, payment, amount, reason: call.signed(reason) };
    let command = Command::Payment(PaymentCommand::SettleRefund(Box::new(settle)));
    let decided = submit(worker, &call.caller, command, None).await?;
    current_order_response(worker, order, &decided)
}
