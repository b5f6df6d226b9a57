//! Lists that go over all shards, one page at a time, and searches of all shards. A shard that does not answer is never left
//! out in silence: a page ends before it, and one that would begin with it is a problem that names it.

use hyper::header::{ACCEPT_ENCODING, HeaderName, IF_NONE_MATCH};
use hyper::http::uri::PathAndQuery;
use hyper::{Response, StatusCode};

use super::body::RouteBody;
use super::cursor::MergedList;
use super::forward::PassedRequest;
use super::pages::{MergedPage, ShardPage};
use super::problems::RouteProblem;
use super::worker::RouteWorker;
use crate::api::Problem;
use crate::types::shard::Shard;

const FIRSTCOME_MIN_SEQ: HeaderName = HeaderName::from_static("firstcome-min-seq");

/// Answers a page of a list.
///
/// # Errors
/// The shard with which the page begins does not answer.
pub(super) async fn page(
    worker: &RouteWorker,
    request: &PassedRequest,
    list: MergedList,
) -> Result<Response<RouteBody>, RouteProblem> {
    if request.headers.contains_key(FIRSTCOME_MIN_SEQ) {
        // Each shard counts its events anew.
        return Err(RouteProblem::ShardNotNamed);
    }
    let query = request.path.query().unwrap_or("");
    let Some((after, limit)) = position_and_limit(query) else {
        // A node says what is wrong with it.
        return worker.passed(0, request).await;
    };
    let Some(from) = list.shard(after) else {
        let last = list.behind(Shard::new(u8::MAX));
        return Err(Problem::invalid("/after", format!("must be a whole number from 0 to {last}")).into());
    };
    let is_left = |shard| shard > from || (shard == from && after != list.behind(from));
    let mut merged = MergedPage::new(list);
    for (place, shard) in worker.view.shards.iter().enumerate().filter(|(_, view)| is_left(view.shard)) {
        let within = if shard.shard == from { list.within(after) } else { 0 };
        let is_first = merged.len() == 0;
        let left = if is_first { limit } else { Some(limit.unwrap_or(merged.limit()).saturating_sub(merged.len())) };
        let asked = PassedRequest { path: path_of(&request.path, query, within, left)?, ..plain(request) };
        let answered = worker.passed(place, &asked).await;
        let page = match answered {
            Ok(response) if response.status() == StatusCode::OK => ShardPage::read(response).await,
            Ok(response) if is_first => return Ok(response),
            Err(problem) if is_first => {
                return Err(problem.with_next_after(|shard| list.behind(shard)));
            }
            Ok(_) | Err(_) => None,
        };
        let Some(has_more) = page.and_then(|page| merged.add(shard.shard, page)) else {
            if is_first {
                let next_after = Some(list.behind(shard.shard));
                return Err(RouteProblem::Unavailable { shard: shard.shard, next_after });
            }
            return Ok(merged.response(true));
        };
        let is_full = merged.len() >= limit.unwrap_or(merged.limit());
        let is_last = place.saturating_add(1) == worker.view.shards.len();
        if has_more || is_full {
            return Ok(merged.response(has_more || !is_last));
        }
    }
    Ok(merged.response(false))
}

/// Searches all shards, and answers all that they find.
///
/// # Errors
/// A shard does not answer.
pub(super) async fn search(worker: &RouteWorker, request: &PassedRequest) -> Result<Response<RouteBody>, RouteProblem> {
    let mut found = MergedPage::new(MergedList::BySeq);
    for (place, shard) in worker.view.shards.iter().enumerate() {
        let response = worker.passed(place, &plain(request)).await?;
        if response.status() != StatusCode::OK {
            return Ok(response);
        }
        let page = ShardPage::read(response).await.ok_or(RouteProblem::unavailable(shard.shard))?;
        found.add(shard.shard, page).ok_or(RouteProblem::unavailable(shard.shard))?;
    }
    Ok(found.response(false))
}

/// Returns the request without what would change the form of a page that is read here.
fn plain(request: &PassedRequest) -> PassedRequest {
    let mut headers = request.headers.clone();
    headers.remove(ACCEPT_ENCODING);
    headers.remove(IF_NONE_MATCH);
    PassedRequest {
        listener: request.listener,
        // A HEAD has no body to put together.
        method: if request.method == hyper::Method::HEAD { hyper::Method::GET } else { request.method.clone() },
        path: request.path.clone(),
        headers,
        body: request.body.clone(),
        effect: request.effect,
    }
}

/// Returns the position after which a page begins, and the number of its items if the query has one. `None` if one of them is
/// no number, or is there twice.
fn position_and_limit(query: &str) -> Option<(u64, Option<usize>)> {
    let (mut after, mut limit) = (None, None);
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match name {
            "after" if after.is_none() => after = Some(value.parse().ok()?),
            "limit" if limit.is_none() => limit = Some(value.parse().ok().filter(|limit| *limit > 0)?),
            "after" | "limit" => return None,
            _ => {}
        }
    }
    Some((after.unwrap_or(0), limit))
}

/// Returns the path of a shard's page.
fn path_of(path: &PathAndQuery, query: &str, after: u64, limit: Option<usize>) -> Result<PathAndQuery, RouteProblem> {
    let is_kept = |part: &&str| {
        let name = part.split('=').next().unwrap_or("");
        !part.is_empty() && name != "after" && name != "limit"
    };
    let mut parts: Vec<String> = query.split('&').filter(is_kept).map(String::from).collect();
    parts.push(format!("after={after}"));
    parts.extend(limit.map(|limit| format!("limit={limit}")));
    let path = format!("{}?{}", path.path(), parts.join("&"));
    PathAndQuery::try_from(path).map_err(|_| Problem::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_s_page_has_the_query_of_the_request_with_its_own_position() {
        let path: PathAndQuery = "/v1/orders?state=paid&after=5&limit=3&refund_due=true".parse().expect("a path");
        let query = path.query().expect("a query");
        assert_eq!(position_and_limit(query), Some((5, Some(3))));
        let own = path_of(&path, query, 9, Some(2)).expect("a path");
        assert_eq!(own.as_str(), "/v1/orders?state=paid&refund_due=true&after=9&limit=2");
        assert_eq!(position_and_limit(""), Some((0, None)));
        for bad in ["after=x", "limit=", "limit=0", "after=-1", "after=1&after=2", "limit"] {
            assert_eq!(position_and_limit(bad), None, "{bad}");
        }
    }
}
