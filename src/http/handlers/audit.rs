//! The audit as a stream of JSON lines, read in short steps.

use std::rc::Rc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response};

use super::{RouteEntry, fault, query_thread_busy};
use crate::admission::operators::Role;
use crate::api::Problem;
use crate::api::json::queries::AuditQuery;
use crate::http::allowed_responses::{BUSY, ID, QUERY};
use crate::http::body::{Body, pieces};
use crate::http::request::{Call, X_ACCEL_BUFFERING};
use crate::http::route::ResponseBody::Named;
use crate::http::route::{Presence, Route};
use crate::http::slow_queries::QueryThreadBusy;
use crate::http::worker::Worker;
use crate::read::lists::{self, AuditFilter};
use crate::read::rows;
use crate::telemetry::StreamKind;
use crate::types::{DropId, OrderId, Seq};
use crate::writer::clock::wall_clock;

pub(in crate::http) const ROUTES: &[RouteEntry] =
    &[Route::admin(Role::Viewer, Method::GET, "/v1/audit", "Audit", "Read or follow the audit")
        .query::<AuditQuery>()
        // OpenAPI 3.1 has no word for a sequence: the schema is that of each line.
        .responds(&[200], &[Named("application/x-ndjson", "AuditRow")])
        .headers(&[("X-Accel-Buffering", Presence::Sometimes)])
        .problems(&[QUERY, ID, BUSY])
        .now(stream)];

/// The interval at which a follower reads new rows.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);

/// `GET /v1/audit`.
pub(super) fn stream(worker: &Rc<Worker>, call: &Call) -> Result<Response<Body>, Problem> {
    let query: AuditQuery = call.query()?;
    let since = Seq::new(query.since_seq).ok_or_else(|| Problem::invalid("/since_seq", "must be at most 2^48 - 1"))?;
    let drop_id = match query.drop_id {
        Some(number) => Some(DropId::new(number).ok_or_else(|| Problem::invalid("/drop_id", "must be 1 or more"))?),
        None => None,
    };
    let order = match &query.order_id {
        Some(text) => {
            let id = OrderId::parse(text).ok_or(Problem::NotFound)?;
            let row =
                worker.reader.read(|connection| rows::order_by_id(connection, id)).map_err(|error| fault(&error))?;
            Some(row.ok_or(Problem::NotFound)?.seq)
        }
        None => None,
    };
    let filter = AuditFilter { drop_id, order, without_buyers: query.without_buyers };
    let (sender, body) = pieces();
    let (queries, mut stopping) = (worker.queries.clone(), worker.server.stopping.clone());
    let follow = query.follow;
    let slot = super::streams::Slot::take(worker, StreamKind::Audit).ok_or_else(|| query_thread_busy(worker))?;
    let (worker, caller) = (Rc::clone(worker), call.caller.clone());
    // The token of a client that follows for hours may be revoked meanwhile.
    let still_in = move || {
        worker.writer.may_serve()
            && caller
                .operator()
                .is_some_and(|operator| worker.server.admission.operators.is_still_admitted(operator, wall_clock()))
    };
    tokio::task::spawn_local(async move {
        let _slot = slot;
        let mut since = since;
        while !*stopping.borrow() && still_in() {
            let from = since;
            let page =
                queries.run(move |reader| reader.read(|connection| lists::audit(connection, from, filter))).await;
            let (lines, last, more) = match page {
                Ok(Ok(page)) => page,
                Ok(Err(error)) => {
                    tracing::error!(%error, "a read failed");
                    return;
                }
                // Ending the stream here would look like the end of the audit.
                Err(QueryThreadBusy) => {
                    tokio::time::sleep(FOLLOW_EVERY).await;
                    continue;
                }
            };
            since = last;
            if !lines.is_empty() {
                let mut text = lines.join("\n");
                text.push('\n');
                if sender.send(Bytes::from(text)).await.is_err() {
                    return;
                }
            }
            if more {
                continue;
            }
            if !follow {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(FOLLOW_EVERY) => {}
                _ = stopping.changed() => {}
                () = sender.closed() => return,
            }
        }
    });
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if follow {
        headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    }
    Ok(response)
}
