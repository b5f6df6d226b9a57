//! Backups by order of an operator. The server makes them on a disk of its own machine: the copy is verified where it lies, a
//! client that goes away ends nothing, and backups by schedule are made in the same way.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use hyper::body::Bytes;
use hyper::{Method, Response, StatusCode};
use serde_json::json;

use super::{RouteEntry, query_thread_busy};
use crate::admission::operators::Role;
use crate::api::Problem;
use crate::api::json::{BackupJson, parse_backup};
use crate::http::allowed_responses::{BODY, BUSY, ID};
use crate::http::body::Body;
use crate::http::request::{Call, json};
use crate::http::route::ResponseBody::Json;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::store::backup_requests::{BackupOrder, BackupReport, BackupResult};
use crate::writer::clock::wall_clock;

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::admin(Role::Owner, Method::POST, "/v1/backup", "MakeBackup", "Begin a backup on the server's machine")
        .body("NewBackup", || json!({ "to": "/var/backups/firstcome", "compression": "zstd" }))
        .responds(&[200], &[Json("Backup")])
        .problems(&[BODY, BUSY])
        .later(|worker, call| Box::pin(async move { make(worker, call).await })),
    Route::admin(Role::Owner, Method::GET, "/v1/backup", "GetBackup", "Read the state of the last backup")
        .responds(&[200], &[Json("Backup")])
        .problems(&[ID])
        .now(|worker, _| get(worker)),
];

/// `POST /v1/backup`.
async fn make(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let (to, packing) = parse_backup(&call.json(worker.body_bounds()).await?)?;
    let requests = &worker.server.backups;
    if requests.stopping.load(Ordering::Relaxed) {
        return Err(Problem::Draining);
    }
    let order = BackupOrder { to: PathBuf::from(&*to), packing };
    let report = requests.begin(order, wall_clock()).ok_or_else(|| query_thread_busy(worker))?;
    if let Some(operator) = call.caller.operator() {
        tracing::info!(operator = %operator.name, to = &*to, "an operator wants a backup");
    }
    Ok(json(StatusCode::OK, body(&report)))
}

/// `GET /v1/backup`.
fn get(worker: &Worker) -> Result<Response<Body>, Problem> {
    let report = worker.server.backups.last().ok_or(Problem::NotFound)?;
    Ok(json(StatusCode::OK, body(&report)))
}

fn body(report: &BackupReport) -> Bytes {
    let to = report.order.to.to_string_lossy();
    let mut shown = BackupJson {
        number: report.number,
        state: BackupJson::RUNNING,
        to: &to,
        compression: report.order.packing.as_str(),
        started_at: report.started_at,
        ended_at: None,
        file: None,
        seq: None,
        orders: None,
        bytes: None,
        error: None,
    };
    match &report.result {
        BackupResult::Running => shown.body(),
        BackupResult::Made { at, made } => {
            let file = made.path.to_string_lossy();
            let (seq, orders, bytes) = (Some(made.seq.get()), Some(made.orders), Some(made.bytes));
            let made = BackupJson {
                state: BackupJson::MADE,
                ended_at: Some(*at),
                file: Some(&file),
                seq,
                orders,
                bytes,
                ..shown
            };
            made.body()
        }
        BackupResult::Failed { at, error } => {
            (shown.state, shown.ended_at, shown.error) = (BackupJson::FAILED, Some(*at), Some(error.as_str()));
            shown.body()
        }
    }
}
