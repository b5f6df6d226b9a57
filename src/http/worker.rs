//! The state of a worker: its reader, response caches, meter and handle of the writer; and the headers of every response.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hyper::body::{Body as _, Bytes};
use hyper::header::{DATE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, Uri};
use tokio::sync::{Mutex, Semaphore, watch};

use super::access::{self, AdmittedRequest};
use super::body::{Body, BodyBounds, FormFields};
use super::console::prometheus::PrometheusClient;
use super::console::state::ConsoleState;
use super::date_header::DateHeader;
use super::feeds::Feeds;
use super::node_headers::NodeHeaders;
use super::origin::{add_origin_headers, allowed_origin, check_admin_host};
use super::problem_response::problem_response;
use super::ready_lists::ReadyLists;
use super::request::{Call, FIRSTCOME_TIME_MS, REQUEST_ID, named_host, refuse_parameters, values};
use super::request_id::RequestId;
use super::route::{Listener, Route};
use super::router::{RouteMatch, Router};
use super::slow_queries::QueryQueue;
use super::trace_context::{self, TraceContext, TracedResponse};
use crate::admission::in_flight::InFlightPermit;
use crate::admission::largest_amounts::LargestAmounts;
use crate::admission::limits::Passed;
use crate::admission::peer::Peer;
use crate::admission::verified::VerifiedTokens;
use crate::admission::{Admission, Caller};
use crate::api::Problem;
use crate::api::code::Code;
use crate::config::Config;
use crate::egress::EgressClient;
use crate::http::draw_proofs::DrawProofCache;
use crate::payments::refunds::RefundStates;
use crate::payments::sessions::RefusedSessions;
use crate::payments::{WebhookVerifiers, accepted_amounts};
use crate::read::metrics_sample::MetricsSampler;
use crate::read::{AuctionResponseCache, AuditorState, DropResponseCache, DropStarts, PageCache, Reader, RoomFacts};
use crate::store::backup_requests::BackupRequests;
use crate::telemetry::access_log::{AccessLog, AccessRecord, AccessSampler};
use crate::telemetry::traces::{Tracer, WriteTimeline};
use crate::telemetry::{HttpMeter, HttpMeterLabels, MeteredRoute, Telemetry};
use crate::types::shard::NumberSeries;
use crate::types::{BuyerText, DropId, UnixMillis};
use crate::writer::WriterHandle;
use crate::writer::clock::wall_clock;

/// The state that all workers of a server share.
pub struct ServerState {
    /// The table of routes. Each is known by its index; one past the end counts requests that led to none.
    pub routes: &'static [&'static Route],
    /// Makes the OpenAPI document for a public URL. It is made from the routes, and one of them shows it: hence the pointer.
    pub openapi: fn(&str) -> Bytes,
    /// The document once it was made.
    pub openapi_document: OnceLock<Bytes>,
    /// The document as gzip, once a client wanted it so.
    pub openapi_gzip: OnceLock<Bytes>,
    /// The page of the document once it was made.
    pub docs_page: OnceLock<Bytes>,
    /// The page as gzip, once a client wanted it so.
    pub docs_gzip: OnceLock<Bytes>,
    pub config: Config,
    pub epoch: u64,
    /// The series of the numbers that orders get at providers.
    pub series: NumberSeries,
    pub admission: Arc<Admission>,
    pub verifiers: WebhookVerifiers,
    /// Orders that the provider does not take.
    pub refused_sessions: Arc<RefusedSessions>,
    pub refund_states: Arc<RefundStates>,
    /// Checks the address of an endpoint before it is created.
    pub egress: EgressClient,
    /// Places for bodies of webhooks and batches that are longer than those of other requests (`body::places`).
    pub long_bodies: Semaphore,
    pub telemetry: Arc<Telemetry>,
    pub auditor: AuditorState,
    /// Turns true when the server is stopping.
    pub stopping: watch::Receiver<bool>,
    /// Counts commands that the queue did not take.
    pub queue_rejections: metrics::Counter,
    /// Counts clients whose command was not decided in time.
    pub reply_timeouts: metrics::Counter,
    pub access_log: Option<AccessLog>,
    /// The Prometheus whose alerts the console shows.
    pub prometheus: Option<PrometheusClient>,
    /// Requests of operators for backups, and the state of the last one.
    pub backups: Arc<BackupRequests>,
    /// Proofs of the draws that were asked for last.
    pub draw_proofs: DrawProofCache,
}

/// The labels of requests that lead to no route.
const NO_ROUTE: MeteredRoute = MeteredRoute { path: "other", method: "other", timed_as: "other" };

/// The times in a line of the access log.
struct AccessTimes {
    at: UnixMillis,
    took: Duration,
}

/// The state of a thread that serves HTTP.
pub struct Worker {
    pub server: Arc<ServerState>,
    pub listener: Listener,
    pub writer: WriterHandle,
    /// The index of the worker's mailbox for the writer's replies.
    pub mailbox: usize,
    pub reader: Reader,
    pub hot: RefCell<DropResponseCache>,
    pub hot_auctions: RefCell<AuctionResponseCache>,
    pub hot_rooms: RefCell<DropResponseCache>,
    /// Shared with the wire connections of the thread.
    pub room_facts: Rc<RefCell<RoomFacts>>,
    pub(super) pages: RefCell<PageCache>,
    /// The storefront's lists that are kept ready.
    pub(super) ready_lists: RefCell<ReadyLists>,
    /// The right to read a page of a list.
    pub(super) page_turn: Mutex<()>,
    pub meter: RefCell<HttpMeter>,
    pub(super) tracer: RefCell<Tracer>,
    access: Option<AccessSampler>,
    /// The timeline of the command that the request polled last has submitted; that request takes it after the poll.
    pub(super) timeline: Cell<Option<WriteTimeline>>,
    /// The charges of the request polled last, which has named a buyer; that request takes them after the poll.
    named: Cell<Option<Box<Passed>>>,
    /// The form that the request polled last has read; that request takes it after the poll.
    pub(super) page_form: Cell<Option<FormFields>>,
    /// Sends long queries to the query thread.
    pub queries: QueryQueue,
    pub sampler: RefCell<MetricsSampler>,
    /// The frames of the consoles, which the admin listener's thread makes.
    pub(super) console: ConsoleState,
    /// Number of open event streams.
    pub streams: Cell<usize>,
    /// The drops and auctions that streams show.
    pub(super) feeds: Feeds,
    router: Router,
    pub verified: Rc<RefCell<VerifiedTokens>>,
    /// Shared with the wire connections of the thread.
    pub largest_amounts: Rc<LargestAmounts>,
    pub(super) starts: RefCell<DropStarts>,
    request_ids: Cell<u64>,
    jitter: Cell<u64>,
    /// On a node of a cluster: the headers of its reads.
    pub(super) node_headers: Option<RefCell<NodeHeaders>>,
    /// The time of the last response, with its header value.
    last_time: RefCell<(UnixMillis, HeaderValue)>,
    date: RefCell<DateHeader>,
}

impl Worker {
    #[must_use]
    pub fn new(
        server: Arc<ServerState>,
        listener: Listener,
        writer: WriterHandle,
        mailbox: usize,
        reader: Reader,
        queries: QueryQueue,
    ) -> Worker {
        let routes: Vec<MeteredRoute> = server.routes.iter().map(|route| route.labels()).chain([NO_ROUTE]).collect();
        let worker = (listener == Listener::Public).then_some(mailbox);
        let meter =
            HttpMeter::new(&server.telemetry, HttpMeterLabels { routes: &routes, problems: &Code::NAMES, worker });
        let tracer = Tracer::new(&server.telemetry, trace_context::options(&server.config.traces));
        let access = server.access_log.as_ref().map(AccessLog::sampler);
        let hot = DropResponseCache::new(server.config.hot_bodies_max);
        let hot_auctions = AuctionResponseCache::new(server.config.hot_bodies_max);
        let hot_rooms = DropResponseCache::new(server.config.hot_bodies_max);
        let room_facts = RoomFacts::new(server.config.hot_bodies_max);
        let pages = RefCell::new(PageCache::new(server.config.hot_pages_max));
        let router = match listener {
            Listener::Public if server.config.public_probes => Router::with_probes(server.routes, listener),
            Listener::Public | Listener::Admin => Router::new(server.routes, listener),
        };
        let largest = accepted_amounts::largest(server.config.payments.provider);
        let shard = writer.published.shard();
        let node_headers =
            writer.node.as_ref().map(|node| RefCell::new(NodeHeaders::new(node.name(), shard, server.epoch)));
        let mut seed = [0u8; 8];
        crate::types::random::fill(&mut seed);
        Worker {
            server,
            listener,
            writer,
            mailbox,
            reader,
            hot: RefCell::new(hot),
            hot_auctions: RefCell::new(hot_auctions),
            hot_rooms: RefCell::new(hot_rooms),
            room_facts: Rc::new(RefCell::new(room_facts)),
            pages,
            ready_lists: RefCell::default(),
            page_turn: Mutex::new(()),
            meter: RefCell::new(meter),
            tracer: RefCell::new(tracer),
            access,
            timeline: Cell::new(None),
            named: Cell::new(None),
            page_form: Cell::new(None),
            queries,
            sampler: RefCell::default(),
            console: ConsoleState::default(),
            streams: Cell::new(0),
            feeds: Feeds::default(),
            router,
            verified: Rc::default(),
            largest_amounts: Rc::new(LargestAmounts::new(largest)),
            starts: RefCell::default(),
            request_ids: Cell::new(u64::from_le_bytes(seed)),
            jitter: Cell::new(u64::from_be_bytes(seed)),
            node_headers,
            last_time: RefCell::new((UnixMillis::ZERO, HeaderValue::from_static("0"))),
            date: RefCell::default(),
        }
    }

    /// Adds the headers of every response, and counts, logs and traces it.
    pub(super) fn finish(
        &self,
        response: &mut Response<Body>,
        request_id: &RequestId,
        origin: Option<HeaderValue>,
        route: usize,
        started: Instant,
        trace: TraceContext,
    ) {
        let ended = Instant::now();
        let at = self.writer.clock.at(ended);
        if let Some(access) = &self.access {
            let took = ended.saturating_duration_since(started);
            access.note(|| self.access_record(response, request_id, route, &trace, AccessTimes { at, took }));
        }
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, request_id.header());
        headers.insert(FIRSTCOME_TIME_MS, self.time_header(at));
        if let Some(date) = self.date.borrow().value() {
            headers.insert(DATE, date.clone());
        }
        add_origin_headers(&self.server.config.cors_origins, origin, headers);
        self.meter.borrow_mut().request(route, response.status().as_u16(), ended.saturating_duration_since(started));
        if let Some(timeline) = trace.timeline
            && let Some(reason) = trace.reason(&self.tracer, timeline, ended)
        {
            let route = self.server.routes.get(route).copied();
            trace.emit(timeline, reason, &TracedResponse { response, route, started, ended });
        }
    }

    /// Looks whether the wall clock went back, and tells bot signals the hour; once a second.
    pub fn look_at_clocks(&self) {
        self.server.admission.door.risk().tick(Instant::now());
        self.date.borrow_mut().look(wall_clock());
    }

    fn access_record(
        &self,
        response: &Response<Body>,
        request_id: &RequestId,
        route: usize,
        trace: &TraceContext,
        AccessTimes { at, took }: AccessTimes,
    ) -> AccessRecord {
        let labels = self.server.routes.get(route).map_or(NO_ROUTE, |route| route.labels());
        AccessRecord {
            at,
            listener: self.listener.as_str(),
            method: labels.method,
            route: labels.path,
            status: response.status().as_u16(),
            problem: trace.problem.map(|code| code.kind().code),
            bytes: response.body().size_hint().exact(),
            took,
            request_id: request_id.header(),
        }
    }

    /// Returns an instant as a header value, which is made once per millisecond.
    fn time_header(&self, at: UnixMillis) -> HeaderValue {
        let mut last = self.last_time.borrow_mut();
        if last.0 != at {
            *last = (at, HeaderValue::from(at.get()));
        }
        last.1.clone()
    }

    /// Returns the route of a path and a method on this listener.
    pub(super) fn find<'path>(&self, method: &Method, path: &'path str) -> RouteMatch<'path> {
        self.router.find(method, path)
    }

    /// Admits a request, whose head had arrived at `started`.
    pub(super) fn admit(
        &self,
        (route, parameter): (usize, &str),
        headers: &HeaderMap,
        peer: &Peer,
        started: Instant,
    ) -> Result<AdmittedRequest<'_>, Problem> {
        let Some(route) = self.server.routes.get(route) else { return Err(Problem::NotFound) };
        let note_write = |client, buyer: &BuyerText| {
            let drop_id = route.orders_drop.then(|| parameter.parse().ok().and_then(DropId::new)).flatten();
            self.note_write(client, buyer, headers, drop_id, started);
        };
        access::admit(&self.server.admission, &self.verified, route, headers, (peer, started), wall_clock, note_write)
    }

    /// Counts a request as in flight whose route does not always wait.
    pub(super) fn permit(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
        peer: IpAddr,
    ) -> Result<Option<InFlightPermit<'_>>, Problem> {
        access::permit(&self.server.admission, caller, headers, peer)
    }

    /// Charges the limits for the buyer that a request's body names, with the drop that they order. Where buyers have tokens, theirs has been charged.
    pub(super) fn admit_named(&self, call: &Call, buyer: &BuyerText, drop_id: Option<DropId>) -> Result<(), Problem> {
        let Call { client, started, .. } = *call;
        let admission = &self.server.admission;
        if client.is_exempt() || admission.buyers.is_some() {
            return Ok(());
        }
        // A name that the address has no room for is refused, and nothing is held against it.
        if admission.door.may_name(client, buyer, started) {
            self.note_write(client, buyer, &call.parts.headers, drop_id, started);
        }
        let passed = admission.door.named_buyer(client, buyer, started).map_err(access::over_limit)?;
        self.named.set((!passed.is_unlimited()).then(|| Box::new(passed)));
        Ok(())
    }

    /// Takes the charges of the request that was polled last.
    pub(super) fn take_named(&self) -> Option<Box<Passed>> {
        self.named.take()
    }

    /// Returns the bounds in which the body of a request is read.
    pub(super) fn body_bounds(&self) -> BodyBounds<'_> {
        BodyBounds { limits: &self.server.config.limits, stopping: &self.server.stopping }
    }

    /// Returns the client's request id if it is valid, else a new one.
    pub(super) fn request_id(&self, headers: &HeaderMap) -> RequestId {
        if let Some(given) = values(headers, REQUEST_ID).next().and_then(RequestId::given) {
            return given;
        }
        let number = self.request_ids.get().wrapping_add(1);
        self.request_ids.set(number);
        RequestId::Numbered(number)
    }

    /// Returns the request's origin, if pages of it may read the response.
    pub(super) fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        match self.listener {
            Listener::Public => allowed_origin(&self.server.config.cors_origins, headers),
            Listener::Admin => None,
        }
    }

    /// Checks the host that a request to the admin listener names.
    pub(super) fn check_host(&self, parts: &Parts) -> Result<(), Problem> {
        match self.listener {
            Listener::Public => Ok(()),
            Listener::Admin => check_admin_host(&self.server.config.admin_hosts, named_host(parts)),
        }
    }

    /// Returns the problem of a request that leads to no route. The admin listener tells operators only which paths it has.
    pub(super) fn unrouted(&self, headers: &HeaderMap, problem: Problem) -> Problem {
        match self.listener {
            Listener::Public => problem,
            Listener::Admin => {
                access::check_operator(&self.server.admission, headers, wall_clock).err().unwrap_or(problem)
            }
        }
    }

    /// Refuses the parameters of a query on a route that has none.
    pub(super) fn check_query(&self, route: usize, uri: &Uri) -> Result<(), Problem> {
        let Some(query) = uri.query() else { return Ok(()) };
        let refuses = self.server.routes.get(route).is_some_and(|route| route.refuses_parameters());
        if refuses { refuse_parameters(query) } else { Ok(()) }
    }

    /// Counts a problem, and returns its response.
    pub(super) fn problem(&self, problem: &Problem, request_id: &RequestId) -> Response<Body> {
        self.meter.borrow_mut().problem(problem.code() as usize);
        let config = &self.server.config;
        let queue_slots = config.queue_capacity.saturating_sub(config.queue_reserve);
        let request_id = request_id.header();
        problem_response(problem, request_id.to_str().unwrap_or(""), self.writer.clock.now(), queue_slots)
    }

    /// Returns the time that a rejected client should wait: until the queue has drained, and up to half as long again, so
    /// that the clients do not all return at once.
    #[must_use]
    pub fn wait_for_queue(&self) -> Duration {
        // SplitMix64's step: it must spread, and need not be secret.
        let mixed = self.jitter.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.jitter.set(mixed);
        let spread = u32::try_from((mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 55).unwrap_or(0);
        let base = self.writer.drain_time().max(Duration::from_secs(1));
        base.saturating_add(base.saturating_mul(spread) / 1024)
    }
}
