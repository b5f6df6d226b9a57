//! The report of a drop, counted on the query thread in short steps.

use hyper::{Method, Response, StatusCode};

use super::{RouteEntry, fault, query_thread_busy};
use crate::admission::operators::Role;
use crate::api::Problem;
use crate::api::json::report::{DropReport, RejectionSum};
use crate::http::allowed_responses::{BUSY, ID};
use crate::http::body::Body;
use crate::http::request::{Call, json};
use crate::http::route::ResponseBody::Json;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::read::report::ReportCounter;
use crate::telemetry::catalogue as metric;

/// A report names no buyer and no order, so viewers may read it.
pub(in crate::http) const ROUTES: &[RouteEntry] =
    &[Route::admin(Role::Viewer, Method::GET, "/v1/drops/{drop_id}/report", "ReportDrop", "Report on a drop's sale")
        .responds(&[200], &[Json("DropReport")])
        .problems(&[ID, BUSY])
        .later(|worker, call| Box::pin(async move { report(worker, &call).await }))];

/// `GET /v1/drops/{drop_id}/report`. A client that disconnects ends the work.
pub(super) async fn report(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let drop_id = call.drop_id()?;
    let begun =
        worker.queries.run(move |reader| reader.snapshot(|connection| ReportCounter::begin(connection, drop_id)));
    let begun = begun.await.map_err(|_| query_thread_busy(worker))?;
    let mut counter = begun.map_err(|error| fault(&error))?.ok_or(Problem::NotFound)?;
    let mut more = true;
    while more {
        let step = worker.queries.run(move |reader| {
            let more = reader.snapshot(|connection| counter.step(connection));
            (counter, more)
        });
        let (counted, stepped) = step.await.map_err(|_| query_thread_busy(worker))?;
        counter = counted;
        more = stepped.map_err(|error| fault(&error))?;
    }
    let rejections = worker.server.telemetry.counts_by_label(&metric::TURNED_AWAY);
    let rejections = rejections.into_iter().map(|(reason, requests)| RejectionSum { reason, requests }).collect();
    let report = DropReport::new(&counter.finish(), Some(worker.server.config.plan), Some(rejections));
    Ok(json(StatusCode::OK, report.body()))
}
