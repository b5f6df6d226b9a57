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

use super::Problem;
use super::answers;
use super::body::Body;
use super::core::{Core, UNROUTED, preflight};
use super::handlers::{self, Handled, Handling};
use super::request::{Call, check_head, empty};
use super::routes::Found;
use super::traced::Noted;
use crate::admission::in_flight::Place;

/// A request, and how far it has come.
pub(super) enum Begun<'c> {
    /// It has its answer.
    Answered(Response<Body>),
    /// Its handler waits.
    Waiting(Waiting<'c>),
    /// Its answer was taken.
    Over,
}

/// A request whose handler waits.
pub(super) struct Waiting<'c> {
    ending: Ending<'c>,
    handling: Handling<'c>,
    /// Given back when the request ends.
    _place: Option<Place<'c>>,
}

/// What the end of a request needs to know of its beginning.
struct Ending<'c> {
    core: &'c Core,
    request_id: HeaderValue,
    origin: Option<HeaderValue>,
    route: usize,
    started: Instant,
    noted: Noted,
}

impl<'c> Begun<'c> {
    /// Begins to answer a request.
    pub(super) fn new(core: &'c Rc<Core>, peer: IpAddr, request: Request<Incoming>) -> Begun<'c> {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        let request_id = core.request_id(&parts.headers);
        let origin = core.allowed_origin(&parts.headers);
        let noted = Noted::of(&parts);
        let mut ending = Ending { core, request_id, origin, route: UNROUTED, started, noted };
        if parts.uri.path_and_query().is_some_and(|path| path.as_str().len() > core.site.config.limits.uri_bytes_max) {
            return Begun::Answered(ending.finish(empty(StatusCode::URI_TOO_LONG)));
        }
        let (index, parameter) = match find(core, &parts, ending.origin.is_some()) {
            Ok(Wanted::Preflight) => return Begun::Answered(ending.end(Ok(preflight()))),
            Ok(Wanted::Route(index, parameter)) => (index, parameter),
            Err(problem) => return Begun::Answered(ending.end(Err(problem))),
        };
        ending.route = index;
        let (caller, place) = match core.admit(index, &parts.headers, peer) {
            Ok(admitted) => admitted,
            Err(problem) => return Begun::Answered(ending.end(Err(problem))),
        };
        let call = Call { started, caller, parts, body: Some(body), parameter };
        match unless_it_panics(|| handlers::run(core, index, call)) {
            Ok(Handled::Now(result)) => Begun::Answered(ending.end(result)),
            Ok(Handled::Later(handling)) => Begun::Waiting(Waiting { ending, handling, _place: place }),
            Err(problem) => Begun::Answered(ending.end(Err(problem))),
        }
    }

    /// The answer, once it is there; it is told once.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Response<Body>> {
        match std::mem::replace(self, Begun::Over) {
            Begun::Answered(response) => Poll::Ready(response),
            Begun::Waiting(mut waiting) => match waiting.poll(context) {
                Poll::Ready(result) => Poll::Ready(waiting.ending.end(result)),
                Poll::Pending => {
                    *self = Begun::Waiting(waiting);
                    Poll::Pending
                }
            },
            Begun::Over => Poll::Pending,
        }
    }
}

impl Waiting<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Response<Body>, Problem>> {
        let polled = unless_it_panics(|| self.handling.as_mut().poll(context));
        // A thread polls one request at a time: what came back in this poll is this request's.
        let noted = &mut self.ending.noted;
        noted.timeline = self.ending.core.timeline.take().or(noted.timeline);
        polled.unwrap_or_else(|problem| Poll::Ready(Err(problem)))
    }
}

impl Ending<'_> {
    fn end(mut self, result: Result<Response<Body>, Problem>) -> Response<Body> {
        debug_assert!(
            answers::allowed(self.route, result.as_ref().map(Response::status).map_err(Problem::code)),
            "route {} may not answer {:?}",
            self.route,
            result.as_ref().map(Response::status),
        );
        self.noted.problem = result.as_ref().err().map(Problem::code);
        let response = result.unwrap_or_else(|problem| self.core.problem(&problem, &self.request_id));
        self.finish(response)
    }

    fn finish(self, response: Response<Body>) -> Response<Body> {
        self.core.finish(response, self.request_id, self.origin, self.route, self.started, self.noted)
    }
}

/// What a request wants.
enum Wanted {
    /// To know what pages of other origins may ask.
    Preflight,
    /// A route, by its index, and its parameter.
    Route(usize, CompactString),
}

fn find(core: &Core, parts: &Parts, of_an_origin: bool) -> Result<Wanted, Problem> {
    check_head(parts)?;
    if of_an_origin && parts.method == Method::OPTIONS {
        return Ok(Wanted::Preflight);
    }
    core.check_host(&parts.headers)?;
    match core.find(&parts.method, parts.uri.path()) {
        Found::Nothing => Err(Problem::NotFound),
        Found::OtherMethods(allow) => Err(Problem::MethodNotAllowed { allow }),
        Found::Route(index, parameter) => Ok(Wanted::Route(index, parameter.into())),
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
