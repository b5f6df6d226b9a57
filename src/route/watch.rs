//! Looks at each node once in a time-to-live, and at once when an answer says that the view is wrong.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, StatusCode};
use serde_json::Value;

use super::shard_word::ShardWord;
use super::view::{SeenState, ShardView, ShardsView};
use crate::api::code::Code;
use crate::egress::{EgressClient, OutboundRequest, OutboundResponse};
use crate::http::routes::Listener;

pub(super) const FIRSTCOME_STALE_MS: HeaderName = HeaderName::from_static("firstcome-stale-ms");

/// The probe that tells all: whether the node leads or who does, whether it serves, and the age of its state.
const PROBE: &str = "/readyz?role=leader";
/// Shortest time between two looks at a node, whatever answers say.
const LOOK_MIN: Duration = Duration::from_millis(20);

/// Longest time until a node that did not answer is looked at again.
const SILENT_MAX: Duration = Duration::from_secs(1);

/// Looks at a node for ever.
pub(super) async fn watch(view: Arc<ShardsView>, shard: usize, node: usize, client: EgressClient) {
    let watched = &view.shards[shard];
    loop {
        let look = look(watched, node, &client).await;
        match look.shard {
            ShardWord::Agrees => watched.agrees(node),
            ShardWord::Differs(other) => watched.misplaced(node, other),
            ShardWord::Nothing => {}
        }
        watched.saw(node, look.state);
        match look.leads {
            Some(true) => watched.leads(node),
            Some(false) => watched.does_not_lead(node, look.leader),
            None => {}
        }
        tokio::time::sleep(LOOK_MIN).await;
        let is_silent = look.state == SeenState::Silent;
        let interval = if is_silent { view.limits.view_ttl.min(SILENT_MAX) } else { view.limits.view_ttl };
        watched.nodes[node].next_look(interval).await;
    }
}

/// The findings of one look at a node.
#[derive(PartialEq, Eq, Debug)]
struct NodeLook {
    state: SeenState,
    shard: ShardWord,
    /// True if it leads; `None` if it did not say.
    leads: Option<bool>,
    /// The node that leads as far as this one knows.
    leader: Option<usize>,
}

async fn look(shard: &ShardView, node: usize, client: &EgressClient) -> NodeLook {
    let target = shard.nodes[node].target(Listener::Admin).with_path(PathAndQuery::from_static(PROBE));
    let request =
        OutboundRequest { target: &target, method: Method::GET, headers: HeaderMap::new(), body: Bytes::new() };
    match client.send(request).await {
        Ok(answer) => read(shard, &answer),
        Err(_) => NodeLook { state: SeenState::Silent, shard: ShardWord::Nothing, leads: None, leader: None },
    }
}

fn read(shard: &ShardView, answer: &OutboundResponse) -> NodeLook {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = body["code"].as_str().unwrap_or("");
    let is = |wanted: Code| code == wanted.kind().code;
    let stale_ms = answer.headers.get(FIRSTCOME_STALE_MS).and_then(|age| age.to_str().ok()?.parse().ok());
    if answer.status == StatusCode::OK || is(Code::ReadOnly) {
        // A single machine does not say how old its state is: it is the state.
        let state = SeenState::Serves { stale_ms: Some(stale_ms.unwrap_or(0)) };
        let shard = ShardWord::of_serving(shard.shard, &answer.headers);
        return NodeLook { state, shard, leads: Some(true), leader: None };
    }
    if is(Code::NotLeader) {
        let leader = body["leader"].as_str().and_then(|url| shard.node_at(url));
        let shard = ShardWord::of_serving(shard.shard, &answer.headers);
        return NodeLook { state: SeenState::Serves { stale_ms }, shard, leads: Some(false), leader };
    }
    let shard = ShardWord::of_answer(shard.shard, &answer.headers);
    NodeLook { state: SeenState::Closed, shard, leads: is(Code::Draining).then_some(false), leader: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::view::tests::view_of;

    fn answer(status: u16, stale: Option<&'static str>, body: &'static str) -> OutboundResponse {
        let mut headers = HeaderMap::new();
        if let Some(stale) = stale {
            headers.insert(FIRSTCOME_STALE_MS, hyper::header::HeaderValue::from_static(stale));
        }
        OutboundResponse {
            status: StatusCode::from_u16(status).expect("a status"),
            headers,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn a_probe_tells_who_leads_who_serves_and_how_old_a_state_is() {
        let view = view_of(&[(0, 3)]);
        let serves = |stale_ms| SeenState::Serves { stale_ms };
        let not_leader = r#"{"code":"not-leader","leader":"http://127.0.0.1:53"}"#;
        for (answer, state, leads, leader) in [
            (answer(200, None, "ok\n"), serves(Some(0)), Some(true), None),
            (answer(200, Some("0"), "ok\n"), serves(Some(0)), Some(true), None),
            (answer(503, Some("0"), r#"{"code":"read-only"}"#), serves(Some(0)), Some(true), None),
            (answer(503, Some("740"), not_leader), serves(Some(740)), Some(false), Some(2)),
            (answer(503, None, r#"{"code":"not-leader"}"#), serves(None), Some(false), None),
            (
                answer(503, Some("3"), r#"{"code":"not-leader","leader":"http://evil.example:1"}"#),
                serves(Some(3)),
                Some(false),
                None,
            ),
            (answer(503, None, r#"{"code":"draining"}"#), SeenState::Closed, Some(false), None),
            (answer(404, None, "<html>"), SeenState::Closed, None, None),
        ] {
            let body = answer.body.clone();
            let shard = if state == SeenState::Closed { ShardWord::Nothing } else { ShardWord::Agrees };
            assert_eq!(read(&view.shards[0], &answer), NodeLook { state, shard, leads, leader }, "{body:?}");
        }
    }
}
