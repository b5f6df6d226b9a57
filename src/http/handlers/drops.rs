//! Drops: reading them, and what operators do with them.

use std::time::Instant;

use hyper::header::HeaderValue;
use hyper::{Response, StatusCode};

use super::{done, fault, query_thread_busy, submit, written};
use crate::engine::{Command, CommandKey, DropSpec, Outcome, Subject};
use crate::http::Problem;
use crate::http::body::Body;
use crate::http::json::queries::DropsQuery;
use crate::http::json::{drop_body, page_body, parse_drop, parse_patch, parse_reason, parse_stock};
use crate::http::request::{Caching, Call, IDEMPOTENT_REPLAYED, hot_body, json, tagged};
use crate::http::worker::Worker;
use crate::read::{CachedResponse, lists, rows};
use crate::telemetry::ReadSource;
use crate::types::digest_key::KeyScope;
use crate::types::{DigestKey, DropId};

/// `GET /v1/drops/{drop_id}`: the hot read.
pub(super) fn get(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let found = ready(worker, call.drop_id()?, call.started)?;
    Ok(tagged(&call.parts.headers, found.etag, Caching::Public, found.body))
}

/// A drop's ready body. The read began at `started`.
pub(super) fn ready(worker: &Worker, id: DropId, started: Instant) -> Result<CachedResponse, Problem> {
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
    let query: DropsQuery = call.query()?;
    if !(1..=100).contains(&query.limit) {
        return Err(Problem::invalid("?limit", "must be a whole number from 1 to 100"));
    }
    let page =
        worker.queries.run(move |reader| reader.read(|connection| lists::drops(connection, query.after, query.limit)));
    let page = page.await.map_err(|_| query_thread_busy(worker))?.map_err(|error| fault(&error))?;
    let items: Vec<_> = page.items.iter().map(|row| drop_body(row, worker.server.epoch)).collect();
    Ok(json(StatusCode::OK, page_body(&items, page.next_after)))
}

/// The parameters of a creation in one spelling, for the comparison of repeats.
fn spec_params(key: &DigestKey, spec: &DropSpec) -> crate::types::Digest {
    key.params(format!("{spec:?}").as_bytes())
}

/// `POST /v1/drops`.
pub(super) async fn create(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let spec = parse_drop(&call.json(worker).await?)?;
    let key = call.idempotency_key()?;
    let digests = &worker.writer.digest_key;
    let key = CommandKey {
        digest: digests.command_key(KeyScope::CreateDrop, call.operator_name(), &key),
        params: spec_params(digests, &spec),
    };
    let command = Command::CreateDrop { key, spec: Box::new(spec) };
    operate(worker, &call, command, StatusCode::CREATED).await
}

/// `PATCH /v1/drops/{drop_id}`.
pub(super) async fn patch(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let (expected_revision, patch, reason) = parse_patch(&call.json(worker).await?)?;
    let drop_id = call.drop_id()?;
    let reason = call.signed(reason);
    let command = Command::PatchDrop { drop_id, expected_revision, patch: Box::new(patch), reason };
    operate(worker, &call, command, StatusCode::OK).await
}

/// `POST /v1/drops/{drop_id}/pause`, `/resume`, `/close`.
pub(super) async fn with_reason(
    worker: &Worker,
    mut call: Call,
    command: impl FnOnce(DropId, Box<str>) -> Command,
) -> Result<Response<Body>, Problem> {
    let reason = parse_reason(&call.json(worker).await?)?;
    let command = command(call.drop_id()?, call.signed(reason));
    operate(worker, &call, command, StatusCode::OK).await
}

/// `POST /v1/drops/{drop_id}/stock`.
pub(super) async fn adjust_stock(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let (delta, expected_total, reason) = parse_stock(&call.json(worker).await?)?;
    let drop_id = call.drop_id()?;
    let reason = call.signed(reason);
    operate(worker, &call, Command::AdjustStock { drop_id, delta, expected_total, reason }, StatusCode::OK).await
}

/// Submits an operator's command on a drop and answers with the drop as it is then.
async fn operate(
    worker: &Worker,
    call: &Call,
    command: Command,
    status: StatusCode,
) -> Result<Response<Body>, Problem> {
    let has_key = matches!(command, Command::CreateDrop { .. });
    let decided = submit(worker, &call.caller, command, None).await?;
    let done = done(&decided)?;
    let (Outcome::Accepted { subject: Subject::Drop(id), .. } | Outcome::Repeated { subject: Subject::Drop(id), .. }) =
        decided.outcome
    else {
        return Err(Problem::Internal);
    };
    let row = worker.reader.read(|connection| rows::drop_by_id(connection, id)).map_err(|error| fault(&error))?;
    let row = row.ok_or(Problem::Internal)?;
    let mut response = json(status, drop_body(&row, worker.server.epoch));
    if done.repeated && has_key {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(written(response, done.seq, &decided))
}
