//! Webhooks of payment providers: verified, recorded once, and acknowledged with 200 once recorded.

use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, Response, StatusCode};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{RouteEntry, accepted_seq, fault, read_long, submit_as, with_write_headers};
use crate::admission::Caller;
use crate::api::Problem;
use crate::api::json::scalars::ORDER_ID_EXAMPLE;
use crate::api::json::{ProviderEventResult, provider_event_body};
use crate::api::problem::FieldError;
use crate::engine::{Command, Effect, Outcome, PaymentCommand, RecordProviderEvent};
use crate::http::allowed_responses::{ID, SIGNED, WRITER};
use crate::http::body::{Body, is_encoded};
use crate::http::request::{Call, json};
use crate::http::route::ResponseBody::Json;
use crate::http::route::{Presence, Route};
use crate::http::worker::Worker;
use crate::payments::provider_event::InvalidField;
use crate::payments::{BODY_BYTES_MAX, OrderRef, ProviderEvent, TOLERANCE_SECONDS, WebhookError, WebhookRequest};
use crate::read::{rows, sessions};
use crate::store::PrivateData;
use crate::telemetry::catalogue as metric;
use crate::types::shard::NumberedOrder;
use crate::types::{Disposition, IgnoredReason, Provider, ProviderEventKind, Seq, UnixMillis};
use crate::writer::clock::wall_clock;
use crate::writer::{Class, ClockReading};

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    // No token is needed: the handler verifies the provider's signature. A provider's events take milliseconds each, so
    // few are in flight at once, however many payments a crowd makes.
    Route::public(
        Method::POST,
        "/v1/payments/{provider}",
        "ReceiveProviderEvent",
        "Receive a payment provider's webhook",
    )
    // A provider sends all payments of a sale from few addresses, and its signature is checked.
    .without_limits()
    .ignores_query()
    .long_body(BODY_BYTES_MAX)
    .body("ProviderEvent", || {
        json!({
            "type": "payment.succeeded", "timestamp": "2026-11-21T09:00:00Z",
            "data": {
                "order_id": ORDER_ID_EXAMPLE, "reference": "pay_4711", "amount": 12900, "currency": "EUR",
            },
        })
    })
    .responds(&[200], &[Json("ProviderEventResult")])
    .problems(&[SIGNED, ID, WRITER])
    // Events that are not about orders of this server are not recorded.
    .headers(&[("Firstcome-Seq", Presence::Sometimes), ("Server-Timing", Presence::Sometimes)])
    .later(|worker, call| Box::pin(receive(worker, call))),
];

/// PayOS writes instants without a zone: a payment may seem a day older than its order.
const OLDER_BY_MILLIS_MAX: i64 = 24 * 60 * 60 * 1000;

/// `POST /v1/payments/{provider}`.
pub(super) async fn receive(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let provider =
        Provider::from_path(&call.parameter).filter(|provider| worker.server.verifiers.is_configured(*provider));
    let provider = provider.ok_or(Problem::NotFound)?;
    let (result, response) = match read_and_record(worker, &mut call, provider).await {
        Ok((result, response)) => (result.label(), Ok(response)),
        Err(RejectedEvent { label, problem }) => (label, Err(problem)),
    };
    count(worker, provider, result);
    response
}

fn count(worker: &Worker, provider: Provider, result: &'static str) {
    let labels = [("provider", provider.as_str()), ("result", result)];
    worker.server.telemetry.counter(&metric::PROVIDER_EVENTS, &labels).increment(1);
}

/// A webhook that is not recorded: its problem, and its label in the metrics.
struct RejectedEvent {
    label: &'static str,
    problem: Problem,
}

impl From<Problem> for RejectedEvent {
    fn from(problem: Problem) -> RejectedEvent {
        RejectedEvent { label: "failed", problem }
    }
}

async fn read_and_record(
    worker: &Worker,
    call: &mut Call,
    provider: Provider,
) -> Result<(ProviderEventResult, Response<Body>), RejectedEvent> {
    let body = read(worker, call).await?;
    // A signature's age is measured with the wall clock, not with the clock of decisions.
    let delivery = WebhookRequest { body: &body, headers: &call.parts.headers, now: wall_clock() };
    record(worker, &call.caller, provider, &delivery).await
}

/// Receives an event that the sandbox's page made: signed with the sandbox's own key, then handled like any webhook.
pub(super) async fn receive_sandbox_event(
    worker: &Worker,
    caller: &Caller,
    id: &str,
    event: &Value,
) -> Result<(), Problem> {
    let (body, now) = (event.to_string(), wall_clock());
    let seconds = u64::try_from(now.second()).unwrap_or(0);
    let signature = worker.server.verifiers.sign_sandbox(id, seconds, body.as_bytes()).ok_or(Problem::NotFound)?;
    let mut headers = HeaderMap::new();
    for (name, value) in
        [("webhook-id", id), ("webhook-timestamp", &seconds.to_string()), ("webhook-signature", &signature)]
    {
        headers.insert(name, HeaderValue::from_str(value).map_err(|_| Problem::Internal)?);
    }
    let delivery = WebhookRequest { body: body.as_bytes(), headers: &headers, now };
    let recorded = record(worker, caller, Provider::Sandbox, &delivery).await;
    count(
        worker,
        Provider::Sandbox,
        recorded.as_ref().map_or_else(|rejected| rejected.label, |(result, _)| result.label()),
    );
    recorded.map(drop).map_err(|rejected| rejected.problem)
}

/// Verifies a webhook and records its event.
async fn record(
    worker: &Worker,
    caller: &Caller,
    provider: Provider,
    delivery: &WebhookRequest<'_>,
) -> Result<(ProviderEventResult, Response<Body>), RejectedEvent> {
    let event = match worker.server.verifiers.receive(provider, delivery) {
        Ok(event) => event,
        Err(WebhookError::Unused) => return Ok(unused("unused")),
        Err(error) => return Err(rejected_event(provider, error)),
    };
    let order = find_order(worker, provider, &event)?;
    let is_ours = matches!(event.order, OrderRef::Id(_) | OrderRef::Number { .. });
    let ProviderEvent { event_id, kind, reference, amount, currency, counterpart, .. } = event;
    let came_in = (is_ours && kind == ProviderEventKind::PaymentSucceeded).then(|| reference.clone());
    let key = |event_id: &str| worker.writer.digest_key.provider_event(provider, event_id);
    let (id, counterpart) = (key(&event_id), counterpart.as_deref().map(key));
    let command = Command::Payment(PaymentCommand::RecordProviderEvent(Box::new(RecordProviderEvent {
        provider,
        id,
        order,
        kind,
        reference,
        amount,
        currency,
        counterpart,
    })));
    // Payments have reserved slots in the queue, so that buyers cannot delay them.
    let decided =
        submit_as(worker, Class::Operator, caller, command, Some(PrivateData::ProviderEvent { event_id })).await?;
    let done = accepted_seq(&decided)?;
    let result = match &decided.outcome {
        Outcome::Accepted(Effect::ProviderEventRecorded { disposition, .. }) => match disposition {
            Disposition::Applied => ProviderEventResult::Applied,
            Disposition::Ignored(because) => {
                if let (IgnoredReason::UnknownOrder, Some(reference)) = (because, came_in) {
                    warn_of_money(provider, &reference);
                }
                ProviderEventResult::Ignored(because.as_str())
            }
        },
        Outcome::Repeated { .. } => ProviderEventResult::Duplicate,
        Outcome::Accepted(_) | Outcome::Refused { .. } | Outcome::Advanced => return Err(Problem::Internal.into()),
    };
    Ok((result, with_write_headers(json(StatusCode::OK, provider_event_body(result)), done.seq, &decided)))
}

/// Tells of money for an order that this file does not have, as after a backup was put back: nothing else does.
fn warn_of_money(provider: Provider, reference: &str) {
    tracing::warn!(
        provider = provider.as_str(),
        reference,
        "a payment names an order that this database does not have, or is not of it. If it is this shop's (a restored copy may \
         have lost the order), find the buyer at the provider, or pay it back there"
    );
}

/// Reads a webhook. Its sender is not authenticated yet.
async fn read(worker: &Worker, call: &mut Call) -> Result<Bytes, Problem> {
    if is_encoded(&call.parts.headers) {
        return Err(Problem::UnsupportedMediaType);
    }
    read_long(worker, call, BODY_BYTES_MAX).await
}

/// Acknowledges an event that is not about orders of this server and is not recorded.
fn unused(why: &'static str) -> (ProviderEventResult, Response<Body>) {
    let result = ProviderEventResult::Unused(why);
    (result, json(StatusCode::OK, provider_event_body(result)))
}

fn rejected_event(provider: Provider, error: WebhookError) -> RejectedEvent {
    let (label, problem) = match error {
        WebhookError::Unauthorized => ("unauthorized", Problem::BadSignature),
        WebhookError::Stale => {
            // PayOS signs no time of sending: there the time of the payment itself lies ahead.
            let (pointer, what) = match provider {
                Provider::Payos => ("/data/transactionDateTime", format!("is more than {TOLERANCE_SECONDS} s ahead")),
                Provider::Sandbox | Provider::Manual | Provider::StandardWebhooks | Provider::Stripe => {
                    ("", format!("The webhook was signed more than {TOLERANCE_SECONDS} s ago or ahead"))
                }
            };
            ("stale", Problem::invalid(pointer, format!("{what}; check the clocks and send it again")))
        }
        WebhookError::Malformed(detail) => ("unfit", Problem::Malformed(detail)),
        WebhookError::InvalidFields(fields) => {
            let error = |field: InvalidField| FieldError { pointer: field.pointer.into(), detail: field.detail.into() };
            ("unfit", Problem::Validation(fields.into_iter().map(error).collect()))
        }
        // The callers handle these two before.
        WebhookError::NotConfigured => ("failed", Problem::NotFound),
        WebhookError::Unused => ("failed", Problem::Internal),
    };
    RejectedEvent { label, problem }
}

/// Finds the order that an event names. The lookup is here so that unknown orders never reach the writer.
fn find_order(worker: &Worker, provider: Provider, event: &ProviderEvent) -> Result<Option<Seq>, Problem> {
    let found = worker.reader.read(|connection| match &event.order {
        OrderRef::Id(id) => Ok(rows::order_by_id(connection, *id)?.map(|row| row.seq)),
        OrderRef::Number { order, session } => {
            order_of_number(worker, connection, provider, event.at, *order, session.as_deref())
        }
        // The writer finds it, after every payment that was reported before.
        OrderRef::Payment | OrderRef::Unknown => Ok(None),
    });
    found.map_err(|error| fault(&error))
}

/// Returns the order of a number, which is not secret, and which another file may have given, too: either its session was
/// paid, or the payment is not older than the order.
fn order_of_number(
    worker: &Worker,
    connection: &Connection,
    provider: Provider,
    at: UnixMillis,
    NumberedOrder { shard, seq, series }: NumberedOrder,
    session: Option<&str>,
) -> rusqlite::Result<Option<Seq>> {
    let row = rows::order_by_seq(connection, seq)?.filter(|row| row.drop_id.shard() == shard);
    let Some(row) = row else { return Ok(None) };
    let recorded = sessions::reference_at(connection, seq, provider)?;
    let fits = match (recorded.as_deref(), session) {
        (Some(recorded), Some(session)) => recorded == session,
        (None, _) | (_, None) => {
            // The provider has the wall clock only.
            let reserved_at = worker.writer.clock.for_peers(row.reserved_at, &ClockReading::take());
            let is_of_this_file = series.is_none_or(|series| series == worker.server.series);
            is_of_this_file && at >= reserved_at.plus_millis(-OLDER_BY_MILLIS_MAX)
        }
    };
    if !fits {
        tracing::warn!(
            order = seq.get(),
            provider = provider.as_str(),
            "a payment names this order by its number, but it is of another session or older than the order: it is not \
             applied; look for it at the provider"
        );
    }
    Ok(fits.then_some(seq))
}
