//! A request at the router: its route, its place, its body, and the answer of a node or of the router itself.

use std::net::IpAddr;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Response, StatusCode};

use super::body::{RouteBody, whole};
use super::forward::PassedRequest;
use super::headers::onward;
use super::place::{RequestEffect, RequestPlace, effect, place};
use super::problems::RouteProblem;
use super::worker::{LONG_BODY_PLACES, RouteWorker};
use super::{creation, lists, webhooks};
use crate::api::Problem;
use crate::http::body::{BodyBounds, places, read_whole};
use crate::http::origin::check_admin_host;
use crate::http::request::{REQUEST_ID, check_head, named_host};
use crate::http::router::RouteMatch;
use crate::http::routes::{Listener, ROUTES, Route};
use crate::types::hex;
use crate::types::shard::Shard;

/// Bytes of a path and its query; a node takes no more.
const URI_BYTES_MAX: usize = 2_048;

impl RouteWorker {
    /// Answers a request.
    pub(super) async fn answer(
        &self,
        listener: Listener,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> Response<RouteBody> {
        let (parts, body) = request.into_parts();
        let request_id = self.request_id(&parts.headers);
        let path = parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        if path.as_str().len() > URI_BYTES_MAX {
            let mut response = Response::new(whole(""));
            *response.status_mut() = StatusCode::URI_TOO_LONG;
            return response;
        }
        let answered = self.routed(listener, peer, &request_id, path, parts, body).await;
        let mut response = answered.unwrap_or_else(|problem| {
            self.count(&problem);
            problem.response(&request_id)
        });
        response.headers_mut().entry(REQUEST_ID).or_insert(request_id);
        response
    }

    async fn routed(
        &self,
        listener: Listener,
        peer: IpAddr,
        request_id: &HeaderValue,
        path: PathAndQuery,
        mut parts: Parts,
        body: Incoming,
    ) -> Result<Response<RouteBody>, RouteProblem> {
        check_head(&parts)?;
        let mut is_creation = false;
        let (at, effect, body_bytes_max) = match self.target(listener, &parts)? {
            // Any node knows which pages may send requests.
            RouteTarget::Preflight => (RequestPlace::Shard(0), RequestEffect::Read { at_leader: false }, 0),
            RouteTarget::Route(route, parameter) => {
                let at = place(&self.view, route, parameter, &parts)?;
                is_creation = matches!(route.operation, "CreateDrop" | "CreateAuction");
                (at, effect(route, &parts.headers), self.body_bytes_max(route))
            }
        };
        if at == RequestPlace::Own {
            return Ok(self.own(parts.uri.path()));
        }
        let body = self.read(&parts.headers, body, body_bytes_max).await?;
        let headers = std::mem::take(&mut parts.headers);
        let headers = onward(headers, peer, &self.shared.config.trusted_proxies, request_id);
        let request = PassedRequest { listener, method: parts.method, path, headers, body, effect };
        let (place, is_order) = match at {
            RequestPlace::Shard(place) if is_creation => return creation::create_at(self, place, &request).await,
            RequestPlace::Shard(place) => (place, false),
            RequestPlace::Order(place) => (place, true),
            RequestPlace::List(list) => return lists::page(self, &request, list).await,
            RequestPlace::EveryShard => return lists::search(self, &request).await,
            RequestPlace::New => return creation::create(self, &request).await,
            RequestPlace::Webhook => return webhooks::receive(self, &request).await,
            RequestPlace::Own => return Err(Problem::NotFound.into()),
        };
        let response = self.passed(place, &request).await?;
        // An id that was made before there were shards names a random one; its order is of shard 0.
        match self.view.find(Shard::SINGLE) {
            Some(first) if is_order && first != place && response.status() == StatusCode::NOT_FOUND => {
                self.passed(first, &request).await
            }
            Some(_) | None => Ok(response),
        }
    }

    /// Counts a request that no shard was asked for.
    fn count(&self, problem: &RouteProblem) {
        tracing::debug!(?problem, "not passed on");
    }

    fn target<'parts>(&self, listener: Listener, parts: &'parts Parts) -> Result<RouteTarget<'parts>, RouteProblem> {
        let router = match listener {
            Listener::Public if parts.method == Method::OPTIONS && parts.headers.contains_key(ORIGIN) => {
                return Ok(RouteTarget::Preflight);
            }
            Listener::Public => &self.shared.public,
            Listener::Admin => {
                check_admin_host(&self.shared.config.admin_hosts, named_host(parts))?;
                &self.shared.admin
            }
        };
        match router.find(&parts.method, parts.uri.path()) {
            RouteMatch::Route(index, parameter) => {
                let route = ROUTES.get(index).copied().ok_or(Problem::NotFound)?;
                Ok(RouteTarget::Route(route, parameter))
            }
            RouteMatch::OtherMethods(allow) => Err(Problem::MethodNotAllowed { allow }.into()),
            RouteMatch::Nothing => Err(Problem::NotFound.into()),
        }
    }

    fn body_bytes_max(&self, route: &Route) -> usize {
        route.long_body.unwrap_or(self.shared.limits.body_bytes_max)
    }

    /// Reads a body to its end: a request is sent again to another node.
    async fn read(&self, headers: &HeaderMap, body: Incoming, bytes_max: usize) -> Result<Bytes, RouteProblem> {
        use hyper::body::Body as _;
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        let bytes_max = bytes_max.max(self.shared.limits.body_bytes_max);
        let busy = || Problem::Overloaded { queue_depth: LONG_BODY_PLACES, retry_after: Duration::from_secs(1) };
        let places = places(headers, self.shared.limits.body_bytes_max, bytes_max);
        let _places = self.shared.long_bodies.try_acquire_many(places).map_err(|_| busy())?;
        let bounds = BodyBounds { limits: &self.shared.limits, stopping: &self.stopping };
        Ok(read_whole(headers, body, bounds, bytes_max).await?)
    }

    /// Answers a probe of the router itself, or its metrics.
    fn own(&self, path: &str) -> Response<RouteBody> {
        let (text, is_ready) = match path {
            "/metrics" => (self.shared.telemetry.render(), true),
            "/readyz" => {
                let is_ready = !*self.stopping.borrow() && self.view.shards.iter().any(|shard| shard.answers());
                let first = if is_ready { "ok\n" } else { "no node answers, or the router stops\n" };
                let misplaced = self.view.shards.iter().map(|shard| shard.misplaced_nodes());
                (std::iter::once(first.to_string()).chain(misplaced).collect(), is_ready)
            }
            _ => ("ok\n".to_string(), true),
        };
        let mut response = Response::new(whole(text));
        if !is_ready {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// Returns the client's request id if it is one, else a new one.
    fn request_id(&self, headers: &HeaderMap) -> HeaderValue {
        let is_one = |value: &&HeaderValue| {
            let bytes = value.as_bytes();
            (1..=64).contains(&bytes.len())
                && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        };
        if let Some(given) = headers.get(REQUEST_ID).filter(is_one) {
            return given.clone();
        }
        let number = self.request_ids.get().wrapping_add(1);
        self.request_ids.set(number);
        HeaderValue::from_bytes(&hex::of_u64(number)).unwrap_or(HeaderValue::from_static("none"))
    }
}

/// The target of a request.
enum RouteTarget<'parts> {
    /// A preflight request of a page of another origin.
    Preflight,
    /// A route, and the parameter in its path.
    Route(&'static Route, &'parts str),
}
