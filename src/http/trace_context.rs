//! The trace of a request: the facts that are noted while it is served, and the emission at its end.

use std::cell::RefCell;
use std::time::Instant;

use hyper::header::{HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::{Method, Response};

use super::body::Body;
use super::request::REQUEST_ID;
use super::route::Route;
use crate::api::code::Code;
use crate::config::TraceSettings;
use crate::telemetry::traces::{TraceOptions, TraceParent, TraceReason, Tracer, WriteTimeline, WriteTrace};
use crate::writer::clock::wall_clock_us;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The facts of a request that its trace needs.
#[derive(Clone, Copy, Default)]
pub(super) struct TraceContext {
    /// The client's trace, if the request is part of one.
    parent: Option<TraceParent>,
    /// The timeline of the last command that the request submitted.
    pub(super) timeline: Option<WriteTimeline>,
    /// The problem of its response.
    pub(super) problem: Option<Code>,
}

impl TraceContext {
    /// Reads the head of a request. Reads are not traced, so their heads are not parsed.
    pub(super) fn of(parts: &Parts) -> TraceContext {
        let parent = if parts.method == Method::GET { None } else { parent(&parts.headers) };
        TraceContext { parent, ..TraceContext::default() }
    }

    /// Returns the reason to trace a write, if there is one.
    pub(super) fn reason(
        &self,
        tracer: &RefCell<Tracer>,
        timeline: WriteTimeline,
        ended: Instant,
    ) -> Option<TraceReason> {
        tracer.borrow_mut().wants(timeline.took(ended), self.parent.is_some(), ended)
    }

    #[cold]
    pub(super) fn emit(&self, timeline: WriteTimeline, reason: TraceReason, traced: &TracedResponse<'_>) {
        let TracedResponse { response, route: Some(route), started, ended } = *traced else { return };
        let write = WriteTrace {
            request_id: response.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()),
            route: route.path,
            method: route.method.as_str(),
            status: response.status().as_u16(),
            problem: self.problem.and_then(|code| Code::NAMES.get(code as usize)).copied(),
            started,
            answered: ended,
            answered_unix_us: wall_clock_us(),
            timeline,
            parent: self.parent,
        };
        write.emit(reason);
    }
}

/// The response of a traced request.
pub(super) struct TracedResponse<'a> {
    pub(super) response: &'a Response<Body>,
    pub(super) route: Option<&'static Route>,
    pub(super) started: Instant,
    pub(super) ended: Instant,
}

/// Returns the client's trace. More than one header is ambiguous and counts as none.
fn parent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut given = headers.get_all(TRACEPARENT).iter();
    match (given.next(), given.next()) {
        (Some(one), None) => TraceParent::read(one.as_bytes()),
        (Some(_) | None, _) => None,
    }
}

/// Returns the settings of the tracer.
#[must_use]
pub fn options(settings: &TraceSettings) -> TraceOptions {
    TraceOptions { slow: settings.slow, one_in: settings.one_in }
}
