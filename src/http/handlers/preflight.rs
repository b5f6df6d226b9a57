//! The checks before a sale, which the server makes about itself.

use hyper::{Method, Response, StatusCode};
use serde_json::Value;

use super::drops::cached_drop;
use super::metrics::measured;
use super::{RouteEntry, endpoints, query_thread_busy};
use crate::admission::operators::Role;
use crate::api::Problem;
use crate::api::json::preflight::{CheckJson, PreflightJson};
use crate::api::json::queries::PreflightQuery;
use crate::http::allowed_responses::{BUSY, ID, QUERY};
use crate::http::body::Body;
use crate::http::request::{Call, json};
use crate::http::route::ResponseBody::Json;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::preflight::finding::{Finding, Verdict, counts};
use crate::preflight::{OwnState, about_itself};
use crate::store::backup_file::newest_file;
use crate::telemetry::page::MetricsPage;
use crate::types::DropId;

pub(in crate::http) const ROUTES: &[RouteEntry] = &[Route::admin(
    Role::Operator,
    Method::GET,
    "/v1/preflight",
    "RunPreflight",
    "Check the running server before a sale",
)
.query::<PreflightQuery>()
.responds(&[200], &[Json("PreflightReport")])
.problems(&[QUERY, ID, BUSY])
.later(|worker, call| Box::pin(async move { check(worker, &call).await }))];

/// `GET /v1/preflight`: one run at a time, since the checks measure the disk and call others.
async fn check(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let PreflightQuery { drop_id } = call.query()?;
    let drop_id = match drop_id {
        Some(number) => {
            Some(DropId::new(number).ok_or_else(|| Problem::invalid("/drop_id", "must be a whole number from 1"))?)
        }
        None => None,
    };
    let drop = drop_id.map(|id| cached_drop(worker, id, call.started)).transpose()?;
    let drop = drop.map(|found| serde_json::from_slice::<Value>(&found.body).unwrap_or_default());
    let Ok(_turn) = worker.console.preflight.try_lock() else { return Err(query_thread_busy(worker)) };
    let page = MetricsPage::parse(&measured(worker).0).map_err(|error| {
        tracing::error!(%error, "the metrics cannot be read");
        Problem::Internal
    })?;
    let config = &worker.server.config;
    let directory = config.backup.directory.as_deref();
    let findings = about_itself(OwnState {
        config,
        page: &page,
        drop: drop.as_ref(),
        endpoints: endpoints::as_value(worker),
        newest_backup: directory.and_then(|directory| newest_file(directory, worker.server.backups.file_id)),
    })
    .await;
    let [pass, warn, fail] = counts(&findings);
    let report = PreflightJson {
        at: worker.writer.clock.now(),
        drop_id: drop_id.map(DropId::get),
        checks: findings.iter().map(shown).collect(),
        pass,
        warn,
        fail,
    };
    Ok(json(StatusCode::OK, report.body()))
}

fn shown(finding: &Finding) -> CheckJson<'_> {
    CheckJson {
        check: finding.check,
        verdict: finding.verdict.word(),
        found: &finding.found,
        to_do: (finding.verdict != Verdict::Pass).then_some(finding.to_do.as_str()),
    }
}
