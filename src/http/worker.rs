//! What each serving thread has: its reader, its ready bodies, its meter, its way to the writer; and what every answer
//! is made of (`begun` is the path to it).

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue,
    ORIGIN, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use hyper::{Method, Response, StatusCode};
use tokio::sync::{Semaphore, watch};

use super::access;
use super::body::{Body, full};
use super::request::{FIRSTCOME_TIME_MS, REQUEST_ID, empty};
use super::route::{Listener, Route};
use super::router::{RouteMatch, Router};
use super::slow_queries::QueryQueue;
use super::trace_context::{self, Answered, TraceContext};
use crate::admission::in_flight::InFlightPermit;
use crate::admission::verified::VerifiedTokens;
use crate::admission::{Admission, Caller};
use crate::api::Problem;
use crate::api::code::Code;
use crate::api::problem::whole_seconds;
use crate::config::Config;
use crate::egress::EgressClient;
use crate::payments::WebhookVerifiers;
use crate::read::metrics_sample::MetricsSampler;
use crate::read::{AuctionResponseCache, AuditorState, DropResponseCache, Reader};
use crate::telemetry::traces::{Tracer, WriteTimeline};
use crate::telemetry::{HttpMeter, HttpMeterLabels, MeteredRoute, Telemetry};
use crate::types::{UnixMillis, hex};
use crate::writer::WriterHandle;

/// What all threads of a server share.
pub struct ServerState {
    /// The table of routes. Each is known by its index; one past the end counts requests that led to none.
    pub routes: &'static [&'static Route],
    /// Returns the OpenAPI document. It is made from the routes, and one of them shows it: hence the pointer.
    pub openapi: fn() -> Bytes,
    /// The settings.
    pub config: Config,
    /// The file's epoch.
    pub epoch: u64,
    /// Who may come in.
    pub admission: Arc<Admission>,
    /// Which payment providers may tell us anything.
    pub verifiers: WebhookVerifiers,
    /// The way to endpoints: asked whether one could be called.
    pub calls: EgressClient,
    /// Bodies of webhooks that are longer than any other request's and may be read now.
    pub long_bodies: Semaphore,
    /// The metrics.
    pub telemetry: Arc<Telemetry>,
    /// What the auditor shows.
    pub auditor: AuditorState,
    /// Whether the server is ending.
    pub stopping: watch::Receiver<bool>,
    /// Commands that were turned away.
    pub turned_away: metrics::Counter,
    /// Clients whose answer was late.
    pub reply_timeouts: metrics::Counter,
}

/// What a serving thread has.
pub struct Worker {
    /// What it shares.
    pub server: Arc<ServerState>,
    /// For whom it serves.
    pub listener: Listener,
    /// The way to the writer.
    pub writer: WriterHandle,
    /// Through which port the writer's answers come.
    pub port: usize,
    /// Its connection.
    pub reader: Rc<Reader>,
    /// Its ready drops.
    pub hot: RefCell<DropResponseCache>,
    /// Its ready auctions.
    pub hot_auctions: RefCell<AuctionResponseCache>,
    /// Its figures.
    pub meter: RefCell<HttpMeter>,
    /// Decides which writes are traced.
    pub(super) tracer: RefCell<Tracer>,
    /// The way of what the request submitted that is being polled.
    pub(super) timeline: Cell<Option<WriteTimeline>>,
    /// Sends long queries to the query thread.
    pub queries: QueryQueue,
    /// What the metrics show of single drops and auctions.
    pub sampler: RefCell<MetricsSampler>,
    /// Its open event streams.
    pub streams: Cell<usize>,
    router: Router,
    /// Tokens that it has verified.
    pub verified: Rc<RefCell<VerifiedTokens>>,
    request_ids: Cell<u64>,
    jitter: Cell<u64>,
    /// The last instant that an answer told, as its header.
    last_time: RefCell<(UnixMillis, HeaderValue)>,
}

impl Worker {
    /// Puts a thread's things together.
    #[must_use]
    pub fn new(
        server: Arc<ServerState>,
        listener: Listener,
        writer: WriterHandle,
        port: usize,
        reader: Reader,
        queries: QueryQueue,
    ) -> Worker {
        let other = MeteredRoute { path: "other", method: "other", timed_as: "other" };
        let routes: Vec<MeteredRoute> = server.routes.iter().map(|route| route.labels()).chain([other]).collect();
        let worker = (listener == Listener::Public).then_some(port);
        let meter =
            HttpMeter::new(&server.telemetry, HttpMeterLabels { routes: &routes, problems: &Code::NAMES, worker });
        let tracer = Tracer::new(&server.telemetry, trace_context::options(&server.config.traces));
        let hot = DropResponseCache::new(server.config.hot_bodies_max);
        let hot_auctions = AuctionResponseCache::new(server.config.hot_bodies_max);
        let router = Router::new(server.routes, listener);
        let mut seed = [0u8; 8];
        crate::types::random::fill(&mut seed);
        Worker {
            server,
            listener,
            writer,
            port,
            reader: Rc::new(reader),
            hot: RefCell::new(hot),
            hot_auctions: RefCell::new(hot_auctions),
            meter: RefCell::new(meter),
            tracer: RefCell::new(tracer),
            timeline: Cell::new(None),
            queries,
            sampler: RefCell::default(),
            streams: Cell::new(0),
            router,
            verified: Rc::default(),
            request_ids: Cell::new(u64::from_le_bytes(seed)),
            jitter: Cell::new(u64::from_be_bytes(seed)),
            last_time: RefCell::new((UnixMillis::ZERO, HeaderValue::from_static("0"))),
        }
    }

    /// Adds what every answer says, and counts it.
    pub(super) fn finish(
        &self,
        mut response: Response<Body>,
        request_id: HeaderValue,
        origin: Option<HeaderValue>,
        route: usize,
        started: Instant,
        noted: TraceContext,
    ) -> Response<Body> {
        let ended = Instant::now();
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, request_id);
        headers.insert(FIRSTCOME_TIME_MS, self.time_header(self.writer.clock.at(ended)));
        if !self.server.config.cors_origins.is_empty() {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static(
                    "ETag, Retry-After, Request-Id, Idempotent-Replayed, Firstcome-Seq, Firstcome-Time-Ms, Server-Timing",
                ),
            );
        }
        self.meter.borrow_mut().request(route, response.status().as_u16(), ended.saturating_duration_since(started));
        if let Some(timeline) = noted.timeline {
            let (status, headers) = (response.status(), response.headers());
            self.trace(timeline, &noted, &Answered { status, headers, route, started, ended });
        }
        response
    }

    /// An instant as a header; made once per millisecond.
    fn time_header(&self, at: UnixMillis) -> HeaderValue {
        let mut last = self.last_time.borrow_mut();
        if last.0 != at {
            *last = (at, HeaderValue::from(at.get()));
        }
        last.1.clone()
    }

    /// A problem as an answer.
    pub(super) fn problem(&self, problem: &Problem, request_id: &HeaderValue) -> Response<Body> {
        let kind = problem.kind();
        self.meter.borrow_mut().problem(problem.code() as usize);
        let mut response = Response::new(full(problem.body(request_id.to_str().unwrap_or(""))));
        *response.status_mut() = kind.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = problem.retry_after(self.writer.clock.now()) {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        let places = self.server.config.queue_capacity.saturating_sub(self.server.config.queue_reserve);
        if let Some((policy, limit)) = problem.quota(places)
            && let (Ok(policy), Ok(limit)) = (HeaderValue::from_str(&policy), HeaderValue::from_str(&limit))
        {
            headers.insert("ratelimit-policy", policy);
            headers.insert("ratelimit", limit);
        }
        if let Problem::BadHead(_) = problem {
            // What follows on this connection cannot be trusted either.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Problem::MethodNotAllowed { allow } = problem
            && let Ok(allow) = HeaderValue::from_str(allow)
        {
            headers.insert(ALLOW, allow);
        }
        if kind.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if kind.status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(request_id = request_id.to_str().unwrap_or(""), "a request ended in an internal problem");
        }
        response
    }

    /// What a path and a method lead to on this listener.
    pub(super) fn find<'path>(&self, method: &Method, path: &'path str) -> RouteMatch<'path> {
        self.router.find(method, path)
    }

    /// Whether a request may come in, and whose it is.
    pub(super) fn admit(
        &self,
        route: usize,
        headers: &HeaderMap,
        peer: IpAddr,
    ) -> Result<(Caller, Option<InFlightPermit<'_>>), Problem> {
        let Some(route) = self.server.routes.get(route) else { return Err(Problem::NotFound) };
        access::admit(&self.server.admission, &self.verified, route, headers, peer, || self.writer.clock.now())
    }

    /// The client's request id if it is sane, else a new one.
    pub(super) fn request_id(&self, headers: &HeaderMap) -> HeaderValue {
        let sane = |value: &&HeaderValue| {
            let bytes = value.as_bytes();
            (1..=64).contains(&bytes.len())
                && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        };
        if let Some(given) = headers.get(REQUEST_ID).filter(sane) {
            return given.clone();
        }
        let number = self.request_ids.get().wrapping_add(1);
        self.request_ids.set(number);
        HeaderValue::from_bytes(&hex::of_u64(number)).unwrap_or(HeaderValue::from_static("none"))
    }

    /// The origin that asks, if it is on the list.
    pub(super) fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let allowed = &self.server.config.cors_origins;
        if allowed.is_empty() || self.listener == Listener::Admin {
            return None;
        }
        let origin = headers.get(ORIGIN)?;
        allowed.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }

    /// Operators' pages must ask for the listener by a name of ours: else any page in an operator's browser could, by a
    /// name that it points here (DNS rebinding).
    pub(super) fn check_host(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.listener == Listener::Public {
            return Ok(());
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let ours = name == "localhost"
            || name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
            || self.server.config.admin_hosts.iter().any(|known| known.eq_ignore_ascii_case(name));
        if ours { Ok(()) } else { Err(Problem::Forbidden("The Host header names none of admin.hosts.")) }
    }

    /// How long a client that was turned away should wait: until the queue has drained, and up to half as long again,
    /// so that not all come back at once.
    #[must_use]
    pub fn wait_for_queue(&self) -> Duration {
        // SplitMix64's step: spread, not secret.
        let mixed = self.jitter.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.jitter.set(mixed);
        let spread = u32::try_from((mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 55).unwrap_or(0);
        let base = self.writer.drain_time().max(Duration::from_secs(1));
        base.saturating_add(base.saturating_mul(spread) / 1024)
    }
}

/// What pages of other origins may ask.
pub(super) fn preflight() -> Response<Body> {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "Content-Type, Idempotency-Key, Authorization, If-None-Match, Request-Id, Traceparent",
        ),
    );
    response
}
