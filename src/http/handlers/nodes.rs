//! The work of operators on a node of a cluster: a copy of its file for another node, and the handover of the leadership.

use std::io::Read;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::{RouteEntry, query_thread_busy};
use crate::admission::operators::Role;
use crate::api::Problem;
use crate::api::code::Code;
use crate::api::json::queries::{CopyQuery, HandoverQuery};
use crate::api::problem::NodeConflict;
use crate::http::allowed_responses::{BUSY, ID, QUERY};
use crate::http::body::{Body, pieces};
use crate::http::node;
use crate::http::request::{Call, json};
use crate::http::route::ResponseBody::Inline;
use crate::http::route::{Presence, Route};
use crate::http::worker::Worker;
use crate::store::node_copy;
use crate::writer::{CopyTurn, HandoverStep, HandoverTurn, LeaderAddress, NodeView};

/// Requests that a node of a cluster cannot fulfil now. A server that is no node has no such path.
const CONFLICT: &[Code] = &[Code::NodeConflict];

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::admin(Role::Owner, Method::GET, "/v1/node/copy", "CopyNode", "Copy this node's file for another node")
        .query::<CopyQuery>()
        .responds(
            &[200],
            &[Inline("application/vnd.sqlite3", || json!({ "type": "string", "contentEncoding": "binary" }))],
        )
        .headers(&[("Content-Length", Presence::Always)])
        .problems(&[QUERY, ID, BUSY, CONFLICT])
        .later(|worker, call| Box::pin(copy(worker, call))),
    Route::admin(Role::Owner, Method::POST, "/v1/node/handover", "HandOver", "Hand the leadership over to another node")
        .query::<HandoverQuery>()
        .responds(
            &[200],
            &[Inline("application/json", || {
                json!({
                    "type": "object",
                    "required": ["leader", "public_url", "admin_url", "without_leader_ms"],
                    "properties": {
                        "leader": { "type": "string", "description": "The name of the node that leads now." },
                        "public_url": { "type": "string" },
                        "admin_url": { "type": "string" },
                        "without_leader_ms": { "type": "integer", "minimum": 0, "description": "Milliseconds in which no node led, as this one saw it." },
                    },
                })
            })],
        )
        .problems(&[QUERY, ID, CONFLICT, &[Code::NotLeader]])
        .later(|worker, call| Box::pin(hand_over(worker, call))),
    Route::admin(Role::Owner, Method::POST, "/v1/node/leave", "LeaveCluster", "Let this node lead no more, before it is stopped")
        .responds(
            &[200],
            &[Inline("application/json", || {
                json!({
                    "type": "object",
                    "required": ["node", "leader"],
                    "properties": {
                        "node": { "type": "string", "description": "The name of this node." },
                        "leader": { "type": ["string", "null"], "description": "The name of the node that leads, as far as this one knows." },
                    },
                })
            })],
        )
        .problems(&[ID, CONFLICT])
        .later(|worker, _| Box::pin(leave(worker))),
];

/// Bytes of a piece of a copy.
const PIECE_BYTES: usize = 256 * 1024;
/// Longest time until the log names the successor: two requests to it.
const NAMED_MAX: Duration = Duration::from_secs(3);
/// Longest time until another node leads: that in which it may find that it cannot.
const TAKEN_MAX: Duration = Duration::from_secs(5);
/// Interval of looks at a handover.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// `GET /v1/node/copy`.
async fn copy(worker: &Rc<Worker>, call: Call) -> Result<Response<Body>, Problem> {
    let CopyQuery { from_leader } = call.query()?;
    let node = worker.writer.node.as_ref().ok_or(Problem::NotFound)?;
    if node.may_lead() && !from_leader {
        return Err(Problem::NodeConflict(NodeConflict::CopiesAtLeader));
    }
    let turn = node.copy_turn().ok_or_else(|| query_thread_busy(worker))?;
    let path = worker.reader.path().to_path_buf();
    if !has_room(&path, worker.server.config.free_bytes_min) {
        return Err(Problem::NodeConflict(NodeConflict::NoRoomForCopy));
    }
    let (sender, body) = pieces();
    let (made, is_made) = oneshot::channel();
    // A thread of its own: a large file takes minutes.
    let thread = std::thread::Builder::new().name("fc-copy".into());
    let started = thread.spawn(move || run(&path, turn, made, &sender));
    started.map_err(|error| {
        tracing::error!(%error, "the thread of a copy could not start");
        Problem::Internal
    })?;
    let bytes = is_made.await.ok().flatten().ok_or(Problem::Internal)?;
    tracing::info!(bytes, "a copy of this node's file is sent");
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/vnd.sqlite3"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    Ok(response)
}

fn has_room(path: &Path, free_bytes_min: u64) -> bool {
    let free = rustix::fs::statvfs(path.parent().unwrap_or(path))
        .map_or(u64::MAX, |found| found.f_bavail.saturating_mul(found.f_frsize.max(1)));
    free >= node_copy::bytes_max(path).saturating_add(free_bytes_min)
}

/// Makes the copy, tells its length or that it failed, and sends it. A client that went away ends it.
fn run(path: &Path, _turn: CopyTurn, made: oneshot::Sender<Option<u64>>, sender: &mpsc::Sender<Bytes>) {
    let copied = node_copy::make(path).and_then(|file| {
        let bytes = file.metadata().map(|found| found.len());
        bytes
            .map(|bytes| (file, bytes))
            .map_err(|source| crate::store::StoreError::Io { path: path.to_path_buf(), source })
    });
    let (mut file, bytes) = match copied {
        Ok(copied) => copied,
        Err(error) => {
            tracing::error!(%error, "no copy of this node's file");
            let _gone = made.send(None);
            return;
        }
    };
    if made.send(Some(bytes)).is_err() {
        return;
    }
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return,
            Ok(read) => {
                let bytes = Bytes::copy_from_slice(piece.get(..read).unwrap_or_default());
                if sender.blocking_send(bytes).is_err() {
                    return;
                }
            }
            // The length says that something is missing.
            Err(error) => {
                tracing::error!(%error, "a copy of this node's file could not be read");
                return;
            }
        }
    }
}

/// `POST /v1/node/handover`.
async fn hand_over(worker: &Rc<Worker>, call: Call) -> Result<Response<Body>, Problem> {
    let HandoverQuery { to } = call.query()?;
    let view = worker.writer.node.as_ref().ok_or(Problem::NotFound)?;
    if !view.may_lead() {
        return Err(node::not_leader(worker));
    }
    let (leader, without_leader) = give_leadership(view, to).await?;
    let body = json!({
        "leader": leader.node,
        "public_url": leader.public_url,
        "admin_url": leader.admin_url,
        "without_leader_ms": u64::try_from(without_leader.as_millis()).unwrap_or(u64::MAX),
    });
    Ok(json(StatusCode::OK, Bytes::from(body.to_string())))
}

/// `POST /v1/node/leave`. A node that leads hands over first; one that has left already answers the same again.
async fn leave(worker: &Rc<Worker>) -> Result<Response<Body>, Problem> {
    let view = worker.writer.node.as_ref().ok_or(Problem::NotFound)?;
    if view.may_lead() {
        give_leadership(view, None).await?;
    }
    view.set_leaving();
    // Without an answer of the log the announcement ends after some seconds by itself.
    let began = Instant::now();
    while !view.has_left() && began.elapsed() < NAMED_MAX {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    tracing::info!("this node leaves its cluster: it follows until it is stopped, and does not lead");
    let leader = view.leader().map(|leader| leader.node.clone());
    let body = json!({ "node": view.name(), "leader": leader });
    Ok(json(StatusCode::OK, Bytes::from(body.to_string())))
}

/// Hands the leadership over. Returns the node that has taken it, and the time without a leader.
async fn give_leadership(view: &NodeView, to: Option<String>) -> Result<(Arc<LeaderAddress>, Duration), Problem> {
    let turn = view.handover().begin(to).ok_or(Problem::NodeConflict(NodeConflict::HandsOver))?;
    given_up(view, &turn).await?;
    let began = Instant::now();
    loop {
        if let Some(leader) = view.leader().filter(|leader| leader.node != view.name()) {
            return Ok((leader, began.elapsed()));
        }
        if began.elapsed() >= TAKEN_MAX {
            return Err(Problem::NodeConflict(NodeConflict::NotTaken));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until the node has given the leadership up.
async fn given_up(view: &NodeView, turn: &HandoverTurn) -> Result<(), Problem> {
    let began = Instant::now();
    loop {
        match turn.step() {
            HandoverStep::GivenUp(_) => return Ok(()),
            HandoverStep::Refused => return Err(Problem::NodeConflict(NodeConflict::NoSuccessor)),
            // It lost the leadership by itself.
            HandoverStep::None | HandoverStep::Asked(_) | HandoverStep::Naming | HandoverStep::Named(_)
                if !view.may_lead() =>
            {
                return Ok(());
            }
            HandoverStep::None | HandoverStep::Asked(_) | HandoverStep::Naming | HandoverStep::Named(_) => {}
        }
        if began.elapsed() >= NAMED_MAX {
            return Err(Problem::NodeConflict(NodeConflict::NoSuccessor));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
