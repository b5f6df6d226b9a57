//! Webhook endpoints of the outbox, their secrets, and failed deliveries.

use hyper::header::HeaderValue;
use hyper::{Method, Response, StatusCode};
use serde_json::json;

use super::{RouteEntry, accepted_seq, after_decision, example_reason, fault, submit, with_write_headers};
use crate::admission::operators::Role;
use crate::api::Problem;
use crate::api::json::queries::DeliveriesQuery;
use crate::api::json::{
    EndpointChanges, delivery_body, endpoint_body, page_body, parse_endpoint_changes, parse_new_endpoint, parse_resend,
};
use crate::egress::{SendError, Target, TargetError};
use crate::engine::{
    Command, CommandKey, CreateEndpoint, DeleteEndpoint, EndpointCommand, EndpointPatch, PatchEndpoint,
    ResendDeliveries, Subject,
};
use crate::http::allowed_responses::{BODY, ID, KEY, QUERY, WRITER};
use crate::http::body::Body;
use crate::http::request::{Call, IDEMPOTENT_REPLAYED, empty, json, json_at};
use crate::http::route::ResponseBody::Json;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::read::outbox::{self as rows, DeliveryFilter, EndpointRow};
use crate::store::PrivateData;
use crate::types::digest_key::KeyScope;
use crate::types::{EndpointUrl, Seq, SigningSecret};

/// An endpoint receives every event, so only owners create or change one.
pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::admin(Role::Owner, Method::POST, "/v1/webhook-endpoints", "CreateEndpoint", "Create a webhook endpoint")
        .body(
            "NewWebhookEndpoint",
            || json!({ "url": "https://shop.example/hooks", "events": ["order.paid", "payment.not_kept"] }),
        )
        .responds(&[201], &[Json("WebhookEndpoint")])
        .problems(&[BODY, KEY, ID, WRITER])
        .links(&[
            "GetEndpoint",
            "PatchEndpoint",
            "RotateSecret",
            "ListDeliveries",
            "ResendDeliveries",
            "DeleteEndpoint",
        ])
        .later(|worker, call| Box::pin(create(worker, call))),
    Route::admin(Role::Operator, Method::GET, "/v1/webhook-endpoints", "ListEndpoints", "List webhook endpoints")
        .responds(&[200], &[Json("WebhookEndpointPage")])
        .now(|worker, _| list(worker)),
    Route::admin(Role::Operator, Method::GET, ENDPOINT, "GetEndpoint", "Read a webhook endpoint")
        .responds(&[200], &[Json("WebhookEndpoint")])
        .problems(&[ID])
        .now(|worker, call| get(worker, call)),
    Route::admin(Role::Owner, Method::PATCH, ENDPOINT, "PatchEndpoint", "Change a webhook endpoint")
        .body("WebhookEndpointPatch", || json!({ "state": "disabled", "reason": "the shop is being moved" }))
        .responds(&[200], &[Json("WebhookEndpoint")])
        .problems(&[BODY, ID, WRITER])
        .later(|worker, call| Box::pin(patch(worker, call))),
    Route::admin(
        Role::Owner,
        Method::DELETE,
        ENDPOINT,
        "DeleteEndpoint",
        "Delete a webhook endpoint and its deliveries",
    )
    .responds(&[204], &[])
    .problems(&[ID, WRITER])
    .later(|worker, call| Box::pin(async move { delete(worker, &call).await })),
    Route::admin(
        Role::Owner,
        Method::POST,
        "/v1/webhook-endpoints/{endpoint_id}/rotate-secret",
        "RotateSecret",
        "Make a new secret; the old one also signs for 24 hours",
    )
    .body("Reason", example_reason)
    .responds(&[200], &[Json("WebhookEndpoint")])
    .problems(&[BODY, ID, WRITER])
    .later(|worker, call| Box::pin(rotate(worker, call))),
    Route::admin(
        Role::Operator,
        Method::GET,
        "/v1/webhook-endpoints/{endpoint_id}/deliveries",
        "ListDeliveries",
        "List failed deliveries",
    )
    .query::<DeliveriesQuery>()
    .responds(&[200], &[Json("WebhookDeliveryPage")])
    .problems(&[QUERY, ID])
    .now(|worker, call| deliveries(worker, call)),
    Route::admin(
        Role::Operator,
        Method::POST,
        "/v1/webhook-endpoints/{endpoint_id}/resend",
        "ResendDeliveries",
        "Deliver again, starting at an event",
    )
    .body("Resend", || json!({ "from_seq": 1, "reason": "the shop is well again" }))
    .responds(&[200], &[Json("WebhookEndpoint")])
    .problems(&[BODY, ID, WRITER])
    .later(|worker, call| Box::pin(resend(worker, call))),
];

const ENDPOINT: &str = "/v1/webhook-endpoints/{endpoint_id}";

/// `POST /v1/webhook-endpoints`.
pub(super) async fn create(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let (url, events) = parse_new_endpoint(&call.json(worker.body_bounds()).await?)?;
    let key = call.idempotency_key()?;
    let url = reachable(worker, &url).await?;
    let digests = &worker.writer.digest_key;
    let key = CommandKey {
        digest: digests.command_key(KeyScope::CreateEndpoint, call.operator_name(), &key),
        params: digests.params(format!("{} {}", events.get(), url.reveal()).as_bytes()),
    };
    let secret = SigningSecret::random();
    let command = EndpointCommand::Create(CreateEndpoint { key, events, configured: false });
    operate(worker, &call, command, (Some(url), Some(secret)), StatusCode::CREATED).await
}

/// `GET /v1/webhook-endpoints`.
pub(super) fn list(worker: &Worker) -> Result<Response<Body>, Problem> {
    let endpoints = worker.reader.read(rows::endpoints).map_err(|error| fault(&error))?;
    let bodies = endpoints.iter().map(|row| body(worker, row, None)).collect::<Result<Vec<_>, _>>()?;
    Ok(json(StatusCode::OK, page_body(&bodies, None)))
}

/// Returns the list of endpoints as clients see it.
pub(super) fn as_value(worker: &Worker) -> Result<serde_json::Value, String> {
    let endpoints = worker.reader.read(rows::endpoints).map_err(|error| error.to_string())?;
    let bodies = endpoints.iter().map(|row| body(worker, row, None)).collect::<Result<Vec<_>, _>>();
    let bodies = bodies.map_err(|_| String::from("the list could not be read"))?;
    serde_json::from_slice(&page_body(&bodies, None)).map_err(|error| error.to_string())
}

/// `GET /v1/webhook-endpoints/{endpoint_id}`.
pub(super) fn get(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let row = find_endpoint(worker, call)?;
    Ok(json(StatusCode::OK, body(worker, &row, None)?))
}

/// `PATCH /v1/webhook-endpoints/{endpoint_id}`.
pub(super) async fn patch(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let EndpointChanges { url, events, state, reason } =
        parse_endpoint_changes(&call.json(worker.body_bounds()).await?)?;
    let known = find_endpoint(worker, &call)?;
    let url = match url {
        Some(_) if known.is_mail() => {
            return Err(Problem::invalid(
                "/url",
                "must not be given: mails go to the server that the configuration names",
            ));
        }
        Some(url) if *url != *known.url.reveal() => Some(reachable(worker, &url).await?),
        Some(_) | None => None,
    };
    let patch = EndpointPatch { state, events, new_url: url.is_some(), new_secret: false };
    let command = EndpointCommand::Patch(PatchEndpoint { endpoint: known.id, patch, reason: call.signed(reason) });
    operate(worker, &call, command, (url, None), StatusCode::OK).await
}

/// `POST /v1/webhook-endpoints/{endpoint_id}/rotate-secret`.
pub(super) async fn rotate(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let reason = crate::api::json::parse_reason(&call.json(worker.body_bounds()).await?)?;
    let endpoint = find_endpoint(worker, &call)?.id;
    let patch = EndpointPatch { new_secret: true, ..EndpointPatch::default() };
    let command = EndpointCommand::Patch(PatchEndpoint { endpoint, patch, reason: call.signed(reason) });
    operate(worker, &call, command, (None, Some(SigningSecret::random())), StatusCode::OK).await
}

/// `POST /v1/webhook-endpoints/{endpoint_id}/resend`.
pub(super) async fn resend(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let (from_seq, all, reason) = parse_resend(&call.json(worker.body_bounds()).await?)?;
    let endpoint = find_endpoint(worker, &call)?.id;
    let command =
        EndpointCommand::Resend(ResendDeliveries { endpoint, from_seq, dead_only: !all, reason: call.signed(reason) });
    operate(worker, &call, command, (None, None), StatusCode::OK).await
}

/// `DELETE /v1/webhook-endpoints/{endpoint_id}`.
pub(super) async fn delete(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let endpoint = find_endpoint(worker, call)?.id;
    let command = EndpointCommand::Delete(DeleteEndpoint { endpoint, reason: call.signed("deleted".into()) });
    let decided = submit(worker, &call.caller, Command::Endpoint(Box::new(command)), None).await?;
    let done = accepted_seq(&decided)?;
    Ok(with_write_headers(empty(StatusCode::NO_CONTENT), done.seq, &decided))
}

/// `GET /v1/webhook-endpoints/{endpoint_id}/deliveries`.
pub(super) fn deliveries(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let query: DeliveriesQuery = call.query()?;
    if !(1..=100).contains(&query.limit) {
        return Err(Problem::invalid("/limit", "must be a whole number from 1 to 100"));
    }
    let which = match query.state.as_deref() {
        None | Some("dead") => DeliveryFilter::Dead,
        Some("waiting") => DeliveryFilter::Waiting,
        Some(_) => return Err(Problem::invalid("/state", "must be dead or waiting")),
    };
    let after = Seq::new(query.after).ok_or_else(|| Problem::invalid("/after", "must be at most 2^48 - 1"))?;
    let endpoint = find_endpoint(worker, call)?.id;
    let limit = query.limit.saturating_add(1);
    let found = worker.reader.read(|connection| rows::deliveries(connection, endpoint, which, after, limit));
    let mut found = found.map_err(|error| fault(&error))?;
    let more = found.len() > usize::try_from(query.limit).unwrap_or(usize::MAX);
    found.truncate(usize::try_from(query.limit).unwrap_or(usize::MAX));
    let next_after = found.last().filter(|_| more).map(|row| row.seq.get());
    let bodies: Vec<_> = found.iter().map(delivery_body).collect();
    Ok(json(StatusCode::OK, page_body(&bodies, next_after)))
}

/// Reads the endpoint in the path.
fn find_endpoint(worker: &Worker, call: &Call) -> Result<EndpointRow, Problem> {
    let canonical = !call.parameter.starts_with(['0', '+']);
    let id = call.parameter.parse().ok().and_then(Seq::new).filter(|_| canonical).ok_or(Problem::NotFound)?;
    let found = worker.reader.read(|connection| rows::endpoint(connection, id)).map_err(|error| fault(&error))?;
    found.ok_or(Problem::NotFound)
}

fn body(worker: &Worker, row: &EndpointRow, secret: Option<&SigningSecret>) -> Result<hyper::body::Bytes, Problem> {
    let counts = worker.reader.read(|connection| rows::counts(connection, row.id)).map_err(|error| fault(&error))?;
    Ok(endpoint_body(row, counts, worker.writer.clock.now(), secret))
}

/// Checks that a URL may be called. The problem gives the reason, but never the addresses that the name resolves to.
async fn reachable(worker: &Worker, url: &str) -> Result<EndpointUrl, Problem> {
    let calls = &worker.server.egress;
    let target = Target::parse(url, calls.guard()).map_err(|wrong| Problem::invalid("/url", wrong.to_string()))?;
    match calls.check_addresses(&target).await {
        Ok(()) => Ok(EndpointUrl::new(url)),
        Err(SendError::Forbidden) => Err(Problem::invalid("/url", TargetError::Forbidden.to_string())),
        Err(SendError::TimedOut) => {
            Err(Problem::invalid("/url", "the name servers did not resolve its host in time; try again"))
        }
        Err(SendError::Unresolved | SendError::Unreachable | SendError::Tls | SendError::Broken) => {
            Err(Problem::invalid("/url", "its host name does not resolve"))
        }
    }
}

/// Submits a command and responds with the endpoint's new state; with its secret if that is new.
async fn operate(
    worker: &Worker,
    call: &Call,
    command: EndpointCommand,
    (url, secret): (Option<EndpointUrl>, Option<SigningSecret>),
    status: StatusCode,
) -> Result<Response<Body>, Problem> {
    let has_key = matches!(command, EndpointCommand::Create(_));
    let private_data = Some(PrivateData::Endpoint { url, secret: secret.clone() });
    let decided = submit(worker, &call.caller, Command::Endpoint(Box::new(command)), private_data).await?;
    let done = accepted_seq(&decided)?;
    let Some(Subject::Endpoint(id)) = decided.outcome.subject() else { return Err(Problem::Internal) };
    let row = worker.reader.read(|connection| rows::endpoint(connection, id));
    let row = row.map_err(|error| after_decision(fault(&error)))?;
    // An earlier request with this key created it, and it was deleted since.
    let row = row.ok_or(Problem::NotFound)?;
    let body = body(worker, &row, secret.as_ref().filter(|_| !done.repeated)).map_err(after_decision)?;
    let mut response = json_at(status, body, &format!("/v1/webhook-endpoints/{id}"));
    if done.repeated && has_key {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(with_write_headers(response, done.seq, &decided))
}
