//! Drops: reads, and operators' commands.

use std::time::Instant;

use hyper::header::HeaderValue;
use hyper::{Method, Response, StatusCode};
use rusqlite::Connection;
use serde_json::json;

use super::cached_pages::{ListReaders, cached_page};
use super::{
    RouteEntry, accepted_seq, after_decision, challenges, example_reason, fault, prices, submit_operation,
    with_write_headers,
};
use crate::admission::operators::Role;
use crate::api::Problem;
use crate::api::code::Code;
use crate::api::json::queries::DropsQuery;
use crate::api::json::{drop_body, parse_drop, parse_patch, parse_reason, parse_stock};
use crate::engine::{
    AdjustStock, ChangeDrop, Command, CommandKey, CreateDrop, DropCommand, DropSpec, PatchDrop, Subject,
};
use crate::http::allowed_responses::{BODY, BUSY, ID, KEY, QUERY, WRITER};
use crate::http::body::Body;
use crate::http::request::{Caching, Call, IDEMPOTENT_REPLAYED, hot_body, json_at, tagged};
use crate::http::route::ResponseBody::Json;
use crate::http::route::{COMPRESSED_FOR_SOME, Route};
use crate::http::worker::Worker;
use crate::read::lists::ListPage;
use crate::read::page_cache::{PageItem, PagedList};
use crate::read::{CachedResponse, DropRow, lists, rows};
use crate::store::PrivateData;
use crate::telemetry::ReadSource;
use crate::types::digest_key::KeyScope;
use crate::types::{ChallengeRule, DigestKey, DropId, IdentityLimits, Seed};

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::public(Method::GET, "/v1/drops", "ListDrops", "List drops")
        .query::<DropsQuery>()
        .responds(&[200, 304], &[Json("DropPage")])
        .problems(&[QUERY, BUSY])
        .headers(COMPRESSED_FOR_SOME)
        .later(|worker, call| Box::pin(async move { list(worker, &call).await })),
    Route::public(Method::GET, "/v1/drops/{drop_id}", "GetDrop", "Read a drop")
        .responds(&[200, 304], &[Json("Drop")])
        .problems(&[ID])
        .now(|worker, call| get(worker, call)),
    Route::admin(Role::Operator, Method::POST, "/v1/drops", "CreateDrop", "Create a drop")
        .body("NewDrop", || {
            json!({
                "sku": "SHOE-42", "name": "Limited shoe", "currency": "EUR", "unit_price": 12900, "total": 10000,
                "starts_at": "2026-11-21T09:00:00Z", "per_buyer_limit": 2,
            })
        })
        .responds(&[201], &[Json("Drop")])
        .problems(&[BODY, KEY, ID, WRITER])
        .links(&["PatchDrop", "PauseDrop", "ResumeDrop", "AdjustStock", "CloseDrop"])
        .later(|worker, call| Box::pin(create(worker, call))),
    Route::admin(Role::Operator, Method::PATCH, "/v1/drops/{drop_id}", "PatchDrop", "Change a drop")
        .body("DropPatch", || json!({ "expected_revision": 1, "reason": "a typing error", "name": "Limited shoe" }))
        .responds(&[200], &[Json("Drop")])
        .problems(&[BODY, ID, &[Code::Ended, Code::PreconditionFailed], WRITER])
        .later(|worker, call| Box::pin(patch(worker, call))),
    Route::admin(Role::Operator, Method::POST, "/v1/drops/{drop_id}/pause", "PauseDrop", "Pause a drop")
        .body("Reason", example_reason)
        .responds(&[200], &[Json("Drop")])
        .problems(&[BODY, ID, &[Code::Ended], WRITER])
        .later(|worker, call| Box::pin(with_reason(worker, call, DropCommand::Pause))),
    Route::admin(Role::Operator, Method::POST, "/v1/drops/{drop_id}/resume", "ResumeDrop", "Resume a drop")
        .body("Reason", example_reason)
        .responds(&[200], &[Json("Drop")])
        .problems(&[BODY, ID, &[Code::Ended, Code::IllegalTransition], WRITER])
        .later(|worker, call| Box::pin(with_reason(worker, call, DropCommand::Resume))),
    Route::admin(Role::Operator, Method::POST, "/v1/drops/{drop_id}/close", "CloseDrop", "End a drop for good")
        .body("Reason", example_reason)
        .responds(&[200], &[Json("Drop")])
        .problems(&[BODY, ID, WRITER])
        .later(|worker, call| Box::pin(with_reason(worker, call, DropCommand::Close))),
    Route::admin(Role::Operator, Method::POST, "/v1/drops/{drop_id}/stock", "AdjustStock", "Add or remove free units")
        .body("StockAdjustment", || json!({ "delta": 50, "expected_total": 10000, "reason": "a box was found" }))
        .responds(&[200], &[Json("Drop")])
        .problems(&[BODY, ID, &[Code::Ended, Code::PreconditionFailed], WRITER])
        .later(|worker, call| Box::pin(adjust_stock(worker, call))),
];

/// `GET /v1/drops/{drop_id}`: the hot read.
pub(super) fn get(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let drop_id = call.drop_id()?;
    let found = cached_drop(worker, drop_id, call.started)?;
    worker.note_read(call, Some(drop_id));
    Ok(tagged(&call.parts.headers, found.etag, Caching::Public, found.body))
}

/// Returns a drop's cached response. The read began at `started`.
pub(super) fn cached_drop(worker: &Worker, id: DropId, started: Instant) -> Result<CachedResponse, Problem> {
    let epoch = worker.server.epoch;
    let render = || {
        let row = worker.reader.read(|connection| rows::drop_by_id(connection, id))?;
        Ok(row.map(|row| hot_body(&row, epoch)))
    };
    let found = worker.hot.borrow_mut().get(&worker.writer.published, id, render).map_err(|error| fault(&error))?;
    let found = found.ok_or(Problem::NotFound)?;
    let source = if found.was_cached { ReadSource::Hot } else { ReadSource::Cold };
    worker.meter.borrow_mut().read(source, started.elapsed());
    Ok(found.body)
}

/// `GET /v1/drops`.
pub(super) async fn list(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    worker.note_read(call, None);
    cached_page(worker, call, PagedList::Drops, ListReaders { page: read_page, item: read_item }).await
}

fn page_item(row: &DropRow, epoch: u64) -> PageItem {
    PageItem { number: row.id.get(), drop_id: row.id, version: row.version, body: drop_body(row, epoch) }
}

fn read_page(
    connection: &Connection,
    &DropsQuery { after, limit }: &DropsQuery,
    epoch: u64,
) -> rusqlite::Result<ListPage<PageItem>> {
    Ok(lists::drops(connection, after, limit)?.map(|row| page_item(row, epoch)))
}

fn read_item(connection: &Connection, number: u32, epoch: u64) -> rusqlite::Result<Option<PageItem>> {
    let row = DropId::new(number).map(|id| rows::drop_by_id(connection, id)).transpose()?.flatten();
    Ok(row.map(|row| page_item(&row, epoch)))
}

/// Digests the parameters of a new drop, to compare retries.
fn spec_params(key: &DigestKey, spec: &DropSpec) -> crate::types::Digest {
    let mut text = format!("{spec:?}");
    // A drop without caps and challenge has the digest that it had before there were any, so that a repeat is known across an
    // upgrade. So has a drop without a waiting room or a blind window, which came later still. The commitment is not there yet: a repeat would
    // have another.
    if let Some(before) = text.strip_suffix(", room: None, commitment: None, blind_ms: 0 }") {
        text = format!("{before} }}");
    }
    let plain = DropSpec {
        identity_limits: IdentityLimits::default(),
        challenge: ChallengeRule::default(),
        room: None,
        commitment: None,
        blind_ms: 0,
        ..spec.clone()
    };
    if *spec == plain {
        let later = format!(", identity_limits: {:?}, challenge: {:?} }}", plain.identity_limits, plain.challenge);
        if let Some(before) = text.strip_suffix(&later) {
            text = format!("{before} }}");
        }
    }
    key.params(text.as_bytes())
}

/// `POST /v1/drops`.
pub(super) async fn create(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let mut spec = parse_drop(&call.json(worker.body_bounds()).await?)?;
    prices::check_drop(worker, &spec)?;
    challenges::check_kind(worker, spec.challenge.kind)?;
    let key = call.idempotency_key()?;
    let digests = &worker.writer.digest_key;
    let key = CommandKey {
        digest: digests.command_key(KeyScope::CreateDrop, call.operator_name(), &key),
        params: spec_params(digests, &spec),
    };
    let seed = spec.has_draw().then(Seed::random);
    spec.commitment = seed.as_ref().map(Seed::commitment);
    let command = DropCommand::Create(CreateDrop { key, spec: Box::new(spec) });
    let seed = seed.map(|seed| PrivateData::Seed { seed });
    operate_with(worker, &call, command, seed, StatusCode::CREATED).await
}

/// `PATCH /v1/drops/{drop_id}`.
pub(super) async fn patch(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let (expected_revision, patch, reason) = parse_patch(&call.json(worker.body_bounds()).await?)?;
    let drop_id = call.drop_id()?;
    prices::check_new_price(worker, drop_id, patch.unit_price)?;
    challenges::check_kind(worker, patch.challenge.unwrap_or_default())?;
    let reason = call.signed(reason);
    let command = DropCommand::Patch(PatchDrop { drop_id, expected_revision, patch: Box::new(patch), reason });
    operate(worker, &call, command, StatusCode::OK).await
}

/// `POST /v1/drops/{drop_id}/pause`, `/resume`, `/close`.
pub(super) async fn with_reason(
    worker: &Worker,
    mut call: Call,
    command: impl FnOnce(ChangeDrop) -> DropCommand,
) -> Result<Response<Body>, Problem> {
    let reason = parse_reason(&call.json(worker.body_bounds()).await?)?;
    let command = command(ChangeDrop { drop_id: call.drop_id()?, reason: call.signed(reason) });
    operate(worker, &call, command, StatusCode::OK).await
}

/// `POST /v1/drops/{drop_id}/stock`.
pub(super) async fn adjust_stock(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let (delta, expected_total, reason) = parse_stock(&call.json(worker.body_bounds()).await?)?;
    let drop_id = call.drop_id()?;
    let reason = call.signed(reason);
    let adjust = AdjustStock { drop_id, delta, expected_total, reason };
    operate(worker, &call, DropCommand::AdjustStock(adjust), StatusCode::OK).await
}

/// Submits an operator's command on a drop and responds with the drop's new state.
async fn operate(
    worker: &Worker,
    call: &Call,
    command: DropCommand,
    status: StatusCode,
) -> Result<Response<Body>, Problem> {
    operate_with(worker, call, command, None, status).await
}

/// Submits an operator's command on a drop with its private data, and responds with the drop's new state.
async fn operate_with(
    worker: &Worker,
    call: &Call,
    command: DropCommand,
    private_data: Option<PrivateData>,
    status: StatusCode,
) -> Result<Response<Body>, Problem> {
    let has_key = matches!(command, DropCommand::Create(_));
    let decided = submit_operation(worker, call, has_key, Command::Drop(command), private_data).await?;
    let done = accepted_seq(&decided)?;
    let Some(Subject::Drop(id)) = decided.outcome.subject() else { return Err(Problem::Internal) };
    let row = worker.reader.read(|connection| rows::drop_by_id(connection, id));
    let row = row.map_err(|error| after_decision(fault(&error)))?.ok_or(Problem::Internal)?;
    let mut response = json_at(status, drop_body(&row, worker.server.epoch), &format!("/v1/drops/{id}"));
    if done.repeated && has_key {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(with_write_headers(response, done.seq, &decided))
}
