//! Probes.

use std::rc::Rc;

use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde_json::json;

use super::RouteEntry;
use crate::api::Problem;
use crate::api::code::Code;
use crate::api::json::queries::{ReadyQuery, ReadyRole};
use crate::api::problem::MissingState;
use crate::http::allowed_responses::QUERY;
use crate::http::body::{Body, full};
use crate::http::node;
use crate::http::request::Call;
use crate::http::route::ResponseBody::Inline;
use crate::http::route::{ResponseBody, Route};
use crate::http::worker::Worker;
use crate::writer::{NodeRole, NodeView};

const OK_BODY: &[ResponseBody] = &[Inline("text/plain", || json!({ "type": "string", "description": "`ok`." }))];

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::probe("/healthz", "Healthz", "The process is alive").responds(&[200], OK_BODY).now(|_, _| Ok(alive())),
    Route::probe("/readyz", "Readyz", "The server accepts traffic")
        .query::<ReadyQuery>()
        .responds(&[200], OK_BODY)
        .problems(&[QUERY, &[Code::ReadOnly, Code::NotLeader, Code::Behind]])
        .now(ready),
];

pub(super) fn text(body: impl Into<Bytes>, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(full(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `GET /healthz`.
pub(super) fn alive() -> Response<Body> {
    text("ok\n", "text/plain; charset=utf-8")
}

/// The oldest state of a follower that is ready: five of the leader's heartbeats, of which one comes a second, so that a
/// takeover of four or five seconds takes no follower out of rotation.
const STALE_MS_MAX: u64 = 5_000;

/// `GET /readyz`.
pub(super) fn ready(worker: &Rc<Worker>, call: &Call) -> Result<Response<Body>, Problem> {
    let ReadyQuery { role } = call.query()?;
    if *worker.server.stopping.borrow() {
        return Err(Problem::Draining);
    }
    match role {
        ReadyRole::Any => {}
        ReadyRole::Leader if worker.writer.may_act() => {}
        ReadyRole::Leader => return Err(node::not_leader(worker)),
        ReadyRole::Follower => {
            let missing = worker.writer.node.as_deref().map_or(Some(MissingState::Follower), missing_of_a_follower);
            if let Some(missing) = missing {
                return Err(node::behind(worker, missing));
            }
        }
    }
    if worker.writer.is_read_only() { Err(Problem::ReadOnly) } else { Ok(alive()) }
}

/// Returns what a node lacks of a follower that is ready.
fn missing_of_a_follower(node: &NodeView) -> Option<MissingState> {
    match node.role() {
        NodeRole::Leader | NodeRole::Stopped => Some(MissingState::Follower),
        NodeRole::Follower => {
            let is_young = node.stale_ms().is_some_and(|age| age <= STALE_MS_MAX);
            (!is_young).then_some(MissingState::Young)
        }
    }
}
