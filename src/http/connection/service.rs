//! The path of every request: find its route, admit it, handle it, or respond with a problem.
//!
//! Most requests are reads that wait for nothing and get their response at once. A request that waits keeps only its
//! context and its handler in a box: as one `async fn`, every request was 3.5 kB that had to be copied.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use compact_str::CompactString;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use crate::admission::Caller;
use crate::admission::in_flight::InFlightPermit;
use crate::admission::limits::Passed;
use crate::admission::peer::Peer;
use crate::api::Problem;
use crate::http::access::AdmittedRequest;
use crate::http::body::{Body, discard};
use crate::http::handlers::page_problems::{PageRequest, read_refused};
use crate::http::handlers::{HandlerFuture, HandlerResponse};
use crate::http::node::{self, MinSeq, NodeRequest};
use crate::http::origin::preflight_response;
use crate::http::problem_response::add_rate_limits;
use crate::http::request::{Call, check_head, empty};
use crate::http::request_id::RequestId;
use crate::http::route::allows;
use crate::http::router::RouteMatch;
use crate::http::routes;
use crate::http::trace_context::TraceContext;
use crate::http::worker::Worker;
use crate::types::PolicyState;

/// The response to a request, or the handler that will make it.
pub(super) enum RequestFuture<'c> {
    Ready(Response<Body>),
    /// Boxed, so that the future is no larger than a response.
    Waiting(Box<WaitingRequest<'c>>),
    /// A body that no route reads is still to come.
    Discarding(Box<DiscardingRequest<'c>>),
    /// The response was returned.
    Done,
}

/// A request whose handler waits.
pub(super) struct WaitingRequest<'c> {
    request: RequestContext<'c>,
    handling: HandlerFuture<'c>,
    /// Given back when the request ends.
    _permit: Option<InFlightPermit<'c>>,
}

/// A request that is served once its body has come. Served before, it would be the last of its connection: hyper closes a
/// connection on which a body is left.
pub(super) struct DiscardingRequest<'c> {
    worker: &'c Rc<Worker>,
    peer: &'c Peer,
    discarding: Pin<Box<dyn Future<Output = (Parts, Incoming, bool)> + 'c>>,
}

/// The facts of a request that its response needs.
struct RequestContext<'c> {
    worker: &'c Worker,
    request_id: RequestId,
    origin: Option<HeaderValue>,
    route: usize,
    started: Instant,
    trace: TraceContext,
    /// On a node of a cluster: what its response says of the node. Boxed, so that it costs nothing elsewhere.
    node: Option<Box<NodeRequest>>,
    /// Of a browser that asks for a page: what a page about a refusal needs.
    page: Option<Box<PageRequest>>,
    /// The charges of its head, and those for the buyer that its body named.
    charges: [Option<Box<Passed>>; 2],
    /// The rest of its body is left: the connection ends with the response.
    is_last: bool,
}

impl<'c> RequestFuture<'c> {
    /// Starts to serve a request.
    pub(super) fn new(worker: &'c Rc<Worker>, peer: &'c Peer, request: Request<Incoming>) -> RequestFuture<'c> {
        let (parts, body) = request.into_parts();
        RequestFuture::start(worker, peer, parts, body, false)
    }

    /// Serves a request that has a body; if no route of its method reads one, after the body has come.
    pub(super) fn with_body(worker: &'c Rc<Worker>, peer: &'c Peer, request: Request<Incoming>) -> RequestFuture<'c> {
        if matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH) {
            return RequestFuture::new(worker, peer, request);
        }
        let (parts, mut body) = request.into_parts();
        let bounds = worker.body_bounds();
        let discarding = Box::pin(async move {
            let complete = discard(&parts.headers, &mut body, bounds).await;
            (parts, body, complete)
        });
        RequestFuture::Discarding(Box::new(DiscardingRequest { worker, peer, discarding }))
    }

    fn start(worker: &'c Rc<Worker>, peer: &'c Peer, parts: Parts, body: Incoming, is_last: bool) -> RequestFuture<'c> {
        let started = Instant::now();
        let request_id = worker.request_id(&parts.headers);
        let origin = worker.allowed_origin(&parts.headers);
        let trace = TraceContext::of(&parts);
        let route = worker.server.routes.len();
        let charges = [None, None];
        let mut context = RequestContext {
            worker,
            request_id,
            origin,
            route,
            started,
            trace,
            node: None,
            page: None,
            charges,
            is_last,
        };
        if parts
            .uri
            .path_and_query()
            .is_some_and(|path| path.as_str().len() > worker.server.config.limits.uri_bytes_max)
        {
            let mut response = empty(StatusCode::URI_TOO_LONG);
            context.finish(&mut response);
            return RequestFuture::Ready(response);
        }
        let (index, parameter) = match find_target(worker, &parts, context.origin.is_some()) {
            Ok(RequestTarget::Preflight) => {
                return RequestFuture::Ready(
                    context.respond(Ok(preflight_response(&worker.server.config.cors_headers))),
                );
            }
            Ok(RequestTarget::Route(index, parameter)) => (index, parameter),
            Err(problem) => {
                context.page = PageRequest::of(worker, None, &parts);
                return RequestFuture::Ready(context.respond(Err(problem)));
            }
        };
        context.route = index;
        context.page = worker.server.routes.get(index).and_then(|route| PageRequest::of(worker, Some(*route), &parts));
        let AdmittedRequest { caller, client, passed, mut permit } = match context.admit(&parts, &parameter, peer) {
            Ok(admitted) => admitted,
            Err(problem) if context.page.as_ref().is_some_and(|page| page.is_form()) => {
                let handling = read_refused(worker, parts, body, problem);
                return RequestFuture::waiting(context, handling, None);
            }
            Err(problem) => return RequestFuture::Ready(context.respond(Err(problem))),
        };
        context.charges[0] = passed;
        let missing = match context.missing_event(&parts, &caller, peer, &mut permit) {
            Ok(missing) => missing,
            Err(problem) => {
                if let Problem::RateLimited { .. } = problem {
                    worker.server.admission.door.give_back_read(client, &caller, started, Instant::now());
                }
                return RequestFuture::Ready(context.respond(Err(problem)));
            }
        };
        let call = Call {
            started,
            caller,
            client,
            peer: peer.address(),
            request_id: context.request_id.clone(),
            parts,
            body: Some(body),
            parameter,
        };
        if let Some(event) = missing {
            let handling = handle_after(worker, event, index, call);
            return RequestFuture::waiting(context, handling, permit);
        }
        match catch_panic(|| routes::handle(worker, index, call)) {
            Ok(HandlerResponse::Now(result)) => RequestFuture::Ready(context.respond(result)),
            Ok(HandlerResponse::Later(handling)) => RequestFuture::waiting(context, handling, permit),
            Err(problem) => RequestFuture::Ready(context.respond(Err(problem))),
        }
    }

    fn waiting(
        request: RequestContext<'c>,
        handling: HandlerFuture<'c>,
        permit: Option<InFlightPermit<'c>>,
    ) -> RequestFuture<'c> {
        RequestFuture::Waiting(Box::new(WaitingRequest { request, handling, _permit: permit }))
    }

    /// Refuses a request whose head may be read in two ways, like hyper: without a body, and as the connection's last.
    pub(super) fn refused() -> RequestFuture<'c> {
        let mut response = empty(StatusCode::BAD_REQUEST);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        RequestFuture::Ready(response)
    }

    /// Returns the response once it is there.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Response<Body>> {
        if let RequestFuture::Discarding(request) = self {
            let (parts, body, complete) = ready!(request.discarding.as_mut().poll(context));
            *self = RequestFuture::start(request.worker, request.peer, parts, body, !complete);
        }
        match self {
            RequestFuture::Waiting(waiting) => {
                let result = ready!(waiting.poll(context));
                let response = waiting.request.respond(result);
                *self = RequestFuture::Done;
                Poll::Ready(response)
            }
            RequestFuture::Ready(_) | RequestFuture::Discarding(_) | RequestFuture::Done => {
                match std::mem::replace(self, RequestFuture::Done) {
                    RequestFuture::Ready(response) => Poll::Ready(response),
                    RequestFuture::Waiting(_) | RequestFuture::Discarding(_) | RequestFuture::Done => Poll::Pending,
                }
            }
        }
    }
}

impl WaitingRequest<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Response<Body>, Problem>> {
        let polled = catch_panic(|| self.handling.as_mut().poll(context));
        // A worker polls one request at a time, so the timeline and the charges that this poll left are this request's.
        let RequestContext { worker, trace, page, charges: [_, named], .. } = &mut self.request;
        trace.timeline = worker.timeline.take().or(trace.timeline);
        let form = worker.page_form.take();
        if let (Some(page), Some(form)) = (page, form) {
            page.form = Some(form);
        }
        if let Some(passed) = worker.take_named() {
            *named = Some(passed);
        }
        polled.unwrap_or_else(|problem| Poll::Ready(Err(problem)))
    }
}

impl<'c> RequestContext<'c> {
    /// Admits the request, whose route is known, unless another node must answer it.
    fn admit(&mut self, parts: &Parts, parameter: &str, peer: &Peer) -> Result<AdmittedRequest<'c>, Problem> {
        let worker = self.worker;
        let mut is_served = Ok(());
        if let (Some(node), Some(route)) = (&worker.writer.node, worker.server.routes.get(self.route)) {
            self.node = Some(Box::new(NodeRequest::new(worker, node, route, parts)));
            is_served = node::check(worker, node, route);
        }
        let admitted = worker.admit((self.route, parameter), &parts.headers, peer, self.started)?;
        worker.check_query(self.route, &parts.uri)?;
        is_served.map(|()| admitted)
    }

    /// Returns the event that a read has to wait for. It counts as in flight then.
    fn missing_event(
        &mut self,
        parts: &Parts,
        caller: &Caller,
        peer: &Peer,
        permit: &mut Option<InFlightPermit<'c>>,
    ) -> Result<Option<MinSeq>, Problem> {
        let worker = self.worker;
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return Ok(None);
        }
        let Some(event) = MinSeq::named(worker, &parts.headers)? else { return Ok(None) };
        if let Some(node) = &mut self.node {
            node.begins_after(&event);
        }
        if event.is_there(worker) {
            return Ok(None);
        }
        if permit.is_none() {
            *permit = worker.permit(caller, &parts.headers, peer.address())?;
        }
        Ok(Some(event))
    }

    fn respond(&mut self, result: Result<Response<Body>, Problem>) -> Response<Body> {
        debug_assert!(
            allows(
                self.worker.server.routes.get(self.route).copied(),
                result.as_ref().map(Response::status).map_err(Problem::code)
            ),
            "route {} may not respond with {:?}",
            self.route,
            result.as_ref().map(Response::status),
        );
        match result {
            Ok(mut response) => {
                self.conclude(&mut response, Progress::Read);
                response
            }
            Err(problem) => self.refuse(problem),
        }
    }

    #[cold]
    fn refuse(&mut self, problem: Problem) -> Response<Body> {
        let problem = match &self.node {
            Some(node) => node.redirected(problem),
            None => problem,
        };
        self.trace.problem = Some(problem.code());
        let mut response = self.worker.problem(&problem, &self.request_id);
        if let Some(page) = &self.page {
            response = page.page_of(self.worker, &problem, response);
        }
        self.conclude(&mut response, Progress::before(&problem));
        response
    }

    fn conclude(&mut self, response: &mut Response<Body>, progress: Progress) {
        if self.charges.iter().any(Option::is_some) {
            self.settle_charges(progress == Progress::OverLimit, response);
        }
        if let Some(node) = &self.node {
            node.add_headers(self.worker, progress == Progress::Read, response.headers_mut());
        }
        self.finish(response);
    }

    /// Tells a client what it was charged, or gives it back to a request without room for its buyer.
    fn settle_charges(&self, is_over_limit: bool, response: &mut Response<Body>) {
        let charges = || self.charges.iter().flatten();
        if is_over_limit {
            let now = Instant::now();
            charges().for_each(|passed| self.worker.server.admission.door.give_back(passed, now));
        } else {
            let states: Vec<PolicyState> = charges().flat_map(|passed| passed.states()).collect();
            if !states.is_empty() {
                add_rate_limits(&states, response.headers_mut());
            }
        }
    }

    fn finish(&mut self, response: &mut Response<Body>) {
        let origin = self.origin.take();
        self.worker.finish(response, &self.request_id, origin, self.route, self.started, self.trace);
        if self.is_last {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// The stage that a request had reached when its response was made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The response tells of the state.
    Read,
    /// The request was refused before anything was read.
    Unread,
    /// A rate limit refused the request.
    OverLimit,
}

impl Progress {
    fn before(problem: &Problem) -> Progress {
        if matches!(problem, Problem::OverLimit(_)) {
            return Progress::OverLimit;
        }
        if matches!(problem, Problem::Behind { .. } | Problem::RateLimited { .. } | Problem::Draining) {
            return Progress::Unread;
        }
        Progress::Read
    }
}

/// Handles a read once the state has an event.
fn handle_after<'c>(worker: &'c Rc<Worker>, event: MinSeq, route: usize, call: Call) -> HandlerFuture<'c> {
    Box::pin(async move {
        event.wait(worker).await?;
        match routes::handle(worker, route, call) {
            HandlerResponse::Now(result) => result,
            HandlerResponse::Later(handling) => handling.await,
        }
    })
}

/// The target of a request.
enum RequestTarget {
    /// A preflight request of a page of another origin.
    Preflight,
    /// The index of a route, and the parameter in its path.
    Route(usize, CompactString),
}

fn find_target(worker: &Worker, parts: &Parts, has_origin: bool) -> Result<RequestTarget, Problem> {
    check_head(parts)?;
    if has_origin && parts.method == Method::OPTIONS {
        return Ok(RequestTarget::Preflight);
    }
    worker.check_host(parts)?;
    match worker.find(&parts.method, parts.uri.path()) {
        RouteMatch::Nothing => Err(worker.unrouted(&parts.headers, Problem::NotFound)),
        RouteMatch::OtherMethods(allow) => Err(worker.unrouted(&parts.headers, Problem::MethodNotAllowed { allow })),
        RouteMatch::Route(index, parameter) => Ok(RequestTarget::Route(index, parameter.into())),
    }
}

/// Turns a panic into an internal problem of its request; the server keeps running. A command that the request submitted
/// is decided all the same, so the response must not say that nothing was applied.
fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, Problem> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_logged_by_the_hook| Problem::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_internal_problem_and_nothing_else_does() {
        assert!(matches!(catch_panic(|| panic!("in a test")), Err::<(), _>(Problem::Internal)));
        assert!(matches!(catch_panic(|| 1), Ok(1)));
    }
}
