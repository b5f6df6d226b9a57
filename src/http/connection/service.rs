//! The one path that every request takes: route, admit, handle, or answer with a problem.
//!
//! Most requests are reads that wait for nothing: they are answered at once. What has to wait keeps only what its end
//! needs, and its handler in a box. As one `async fn` every request was 3.5 kB that was copied about.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use compact_str::CompactString;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use crate::admission::in_flight::InFlightPermit;
use crate::api::Problem;
use crate::http::body::Body;
use crate::http::handlers::{Handled, Handling};
use crate::http::request::{Call, check_head, empty};
use crate::http::route::allows;
use crate::http::router::RouteMatch;
use crate::http::routes;
use crate::http::trace_context::TraceContext;
use crate::http::worker::{Worker, preflight};

/// A request, and how far it has come.
pub(super) enum RequestFuture<'c> {
    /// It has its answer.
    Answered(Response<Body>),
    /// Its handler waits.
    Waiting(Waiting<'c>),
    /// Its answer was taken.
    Over,
}

/// A request whose handler waits.
pub(super) struct Waiting<'c> {
    ending: RequestContext<'c>,
    handling: Handling<'c>,
    /// Given back when the request ends.
    _permit: Option<InFlightPermit<'c>>,
}

/// What the end of a request needs to know of its beginning.
struct RequestContext<'c> {
    worker: &'c Worker,
    request_id: HeaderValue,
    origin: Option<HeaderValue>,
    route: usize,
    started: Instant,
    noted: TraceContext,
}

impl<'c> RequestFuture<'c> {
    /// Begins to answer a request.
    pub(super) fn new(worker: &'c Rc<Worker>, peer: IpAddr, request: Request<Incoming>) -> RequestFuture<'c> {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        let request_id = worker.request_id(&parts.headers);
        let origin = worker.allowed_origin(&parts.headers);
        let noted = TraceContext::of(&parts);
        let mut ending =
            RequestContext { worker, request_id, origin, route: worker.server.routes.len(), started, noted };
        if parts
            .uri
            .path_and_query()
            .is_some_and(|path| path.as_str().len() > worker.server.config.limits.uri_bytes_max)
        {
            return RequestFuture::Answered(ending.finish(empty(StatusCode::URI_TOO_LONG)));
        }
        let (index, parameter) = match find(worker, &parts, ending.origin.is_some()) {
            Ok(Wanted::Preflight) => return RequestFuture::Answered(ending.end(Ok(preflight()))),
            Ok(Wanted::Route(index, parameter)) => (index, parameter),
            Err(problem) => return RequestFuture::Answered(ending.end(Err(problem))),
        };
        ending.route = index;
        let (caller, permit) = match worker.admit(index, &parts.headers, peer) {
            Ok(admitted) => admitted,
            Err(problem) => return RequestFuture::Answered(ending.end(Err(problem))),
        };
        let call = Call { started, caller, parts, body: Some(body), parameter };
        match unless_it_panics(|| routes::handle(worker, index, call)) {
            Ok(Handled::Now(result)) => RequestFuture::Answered(ending.end(result)),
            Ok(Handled::Later(handling)) => RequestFuture::Waiting(Waiting { ending, handling, _permit: permit }),
            Err(problem) => RequestFuture::Answered(ending.end(Err(problem))),
        }
    }

    /// The answer, once it is there; it is told once.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Response<Body>> {
        match std::mem::replace(self, RequestFuture::Over) {
            RequestFuture::Answered(response) => Poll::Ready(response),
            RequestFuture::Waiting(mut waiting) => match waiting.poll(context) {
                Poll::Ready(result) => Poll::Ready(waiting.ending.end(result)),
                Poll::Pending => {
                    *self = RequestFuture::Waiting(waiting);
                    Poll::Pending
                }
            },
            RequestFuture::Over => Poll::Pending,
        }
    }
}

impl Waiting<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Response<Body>, Problem>> {
        let polled = unless_it_panics(|| self.handling.as_mut().poll(context));
        // A thread polls one request at a time: what came back in this poll is this request's.
        let noted = &mut self.ending.noted;
        noted.timeline = self.ending.worker.timeline.take().or(noted.timeline);
        polled.unwrap_or_else(|problem| Poll::Ready(Err(problem)))
    }
}

impl RequestContext<'_> {
    fn end(mut self, result: Result<Response<Body>, Problem>) -> Response<Body> {
        debug_assert!(
            allows(
                self.worker.server.routes.get(self.route).copied(),
                result.as_ref().map(Response::status).map_err(Problem::code)
            ),
            "route {} may not answer {:?}",
            self.route,
            result.as_ref().map(Response::status),
        );
        self.noted.problem = result.as_ref().err().map(Problem::code);
        let response = result.unwrap_or_else(|problem| self.worker.problem(&problem, &self.request_id));
        self.finish(response)
    }

    fn finish(self, response: Response<Body>) -> Response<Body> {
        self.worker.finish(response, self.request_id, self.origin, self.route, self.started, self.noted)
    }
}

/// What a request wants.
enum Wanted {
    /// To know what pages of other origins may ask.
    Preflight,
    /// A route, by its index, and its parameter.
    Route(usize, CompactString),
}

fn find(worker: &Worker, parts: &Parts, of_an_origin: bool) -> Result<Wanted, Problem> {
    check_head(parts)?;
    if of_an_origin && parts.method == Method::OPTIONS {
        return Ok(Wanted::Preflight);
    }
    worker.check_host(&parts.headers)?;
    match worker.find(&parts.method, parts.uri.path()) {
        RouteMatch::Nothing => Err(Problem::NotFound),
        RouteMatch::OtherMethods(allow) => Err(Problem::MethodNotAllowed { allow }),
        RouteMatch::Route(index, parameter) => Ok(Wanted::Route(index, parameter.into())),
    }
}

/// A panic in one request is that request's problem: the server lives on. What it had submitted is decided all the same,
/// so the client must not be told that nothing happened.
fn unless_it_panics<T>(work: impl FnOnce() -> T) -> Result<T, Problem> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_its_message_is_logged| Problem::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_internal_problem_and_nothing_else_does() {
        assert!(matches!(unless_it_panics(|| panic!("in a test")), Err::<(), _>(Problem::Internal)));
        assert!(matches!(unless_it_panics(|| 1), Ok(1)));
    }
}
