//! New drops and auctions: on the shard with the least load, and each key on one shard only.
//!
//! The load changes with each creation, so a repeat must not follow it. All other shards are asked first whether they know the
//! key (`Firstcome-Repeat-Only`): the one that does answers as it did before. While one of them does not answer, nothing is
//! created, unless the request names the shard.

use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Response, StatusCode};
use serde_json::Value;

use super::body::RouteBody;
use super::forward::PassedRequest;
use super::pages::ShardPage;
use super::place::RequestEffect;
use super::problems::RouteProblem;
use super::worker::RouteWorker;
use crate::api::Problem;
use crate::http::request::{FIRSTCOME_REPEAT_ONLY, IDEMPOTENCY_KEY, IDEMPOTENT_REPLAYED};
use crate::http::routes::Listener;

/// Items of a page of the lists that tell a shard's load: the most that a node gives.
const PAGE: usize = 100;
/// Pages that are counted of a shard.
const PAGES_MAX: usize = 200;

/// Creates a drop or an auction.
///
/// # Errors
/// A shard does not answer.
pub(super) async fn create(worker: &RouteWorker, request: &PassedRequest) -> Result<Response<RouteBody>, RouteProblem> {
    if !request.headers.contains_key(IDEMPOTENCY_KEY) {
        // Any node says that it is missing.
        return worker.passed(0, request).await;
    }
    let _turn = worker.shared.creations.lock().await;
    let chosen = least_loaded(worker).await?;
    let asked = PassedRequest {
        listener: request.listener,
        method: request.method.clone(),
        path: request.path.clone(),
        headers: only_repeats(&request.headers),
        body: request.body.clone(),
        effect: request.effect,
    };
    for place in (0..worker.view.shards.len()).filter(|place| *place != chosen) {
        let response = worker.passed(place, &asked).await?;
        // It knows the key, or the request is refused everywhere.
        if response.status() != StatusCode::NOT_FOUND {
            return Ok(response);
        }
    }
    create_at(worker, chosen, request).await
}

/// Creates a drop or an auction on a shard.
///
/// # Errors
/// The shard does not answer.
pub(super) async fn create_at(
    worker: &RouteWorker,
    place: usize,
    request: &PassedRequest,
) -> Result<Response<RouteBody>, RouteProblem> {
    let response = worker.passed(place, request).await?;
    if response.status() == StatusCode::CREATED && !response.headers().contains_key(IDEMPOTENT_REPLAYED) {
        worker.view.shards[place].drop_made();
    }
    Ok(response)
}

fn only_repeats(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.insert(FIRSTCOME_REPEAT_ONLY, HeaderValue::from_static("true"));
    headers
}

/// Returns the shard with the fewest drops and auctions that have not ended; of equal ones the one with the fewest in all, then
/// the first.
async fn least_loaded(worker: &RouteWorker) -> Result<usize, RouteProblem> {
    let mut least: Option<(ShardLoad, usize)> = None;
    for place in 0..worker.view.shards.len() {
        let mut load = ShardLoad::default();
        for path in ["/v1/drops", "/v1/auctions"] {
            load.add(count(worker, place, path).await?);
        }
        if least.is_none_or(|(fewest, _)| load < fewest) {
            least = Some((load, place));
        }
    }
    Ok(least.map_or(0, |(_, place)| place))
}

/// The load of a shard. Ordered by what counts first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
struct ShardLoad {
    /// Drops and auctions that have not ended.
    open: usize,
    all: usize,
}

impl ShardLoad {
    fn add(&mut self, other: ShardLoad) {
        self.open = self.open.saturating_add(other.open);
        self.all = self.all.saturating_add(other.all);
    }

    fn of(items: &[Value]) -> ShardLoad {
        let is_open = |item: &&Value| !matches!(item["state"].as_str(), Some("ended" | "cancelled"));
        ShardLoad { open: items.iter().filter(is_open).count(), all: items.len() }
    }
}

/// Counts the items of a list of one shard.
async fn count(worker: &RouteWorker, place: usize, path: &str) -> Result<ShardLoad, RouteProblem> {
    let shard = worker.view.shards[place].shard;
    let unreadable = || RouteProblem::unavailable(shard);
    let (mut load, mut after) = (ShardLoad::default(), 0);
    for _ in 0..PAGES_MAX {
        let path = format!("{path}?after={after}&limit={PAGE}");
        let request = PassedRequest {
            listener: Listener::Public,
            method: Method::GET,
            path: PathAndQuery::try_from(path).map_err(|_| Problem::Internal)?,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            effect: RequestEffect::Read { at_leader: false },
        };
        let response = worker.passed(place, &request).await?;
        let ShardPage::Json { items, has_more } = ShardPage::read(response).await.ok_or_else(unreadable)? else {
            return Err(unreadable());
        };
        load.add(ShardLoad::of(&items));
        match items.last().and_then(|item| item["id"].as_u64()) {
            Some(last) if has_more => after = last,
            Some(_) | None => break,
        }
    }
    Ok(load)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn open_drops_count_before_all_drops() {
        let items = [json!({ "state": "live" }), json!({ "state": "ended" }), json!({ "state": "scheduled" })];
        let load = ShardLoad::of(&items);
        assert_eq!(load, ShardLoad { open: 2, all: 3 });
        assert!(ShardLoad { open: 1, all: 90 } < load && ShardLoad { open: 2, all: 2 } < load);
    }
}
