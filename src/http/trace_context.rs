//! What the edge notes of a request in case it is traced, and the trace itself.

use std::time::Instant;

use hyper::header::{HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::request::REQUEST_ID;
use super::route::Route;
use super::worker::Worker;
use crate::api::code::Code;
use crate::config::TraceSettings;
use crate::telemetry::traces::{TraceOptions, TraceParent, TraceReason, WriteTimeline, WriteTrace};
use crate::writer::clock::wall_clock_us;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What is noted of a request on its way.
#[derive(Clone, Copy, Default)]
pub(super) struct TraceContext {
    /// Whose trace it is part of.
    parent: Option<TraceParent>,
    /// The way of what it submitted, the last of it if it was more.
    pub(super) timeline: Option<WriteTimeline>,
    /// The problem that it was answered with.
    pub(super) problem: Option<Code>,
}

impl TraceContext {
    /// What its head says. Reads are not traced, so nobody looks there.
    pub(super) fn of(parts: &Parts) -> TraceContext {
        let parent = if parts.method == Method::GET { None } else { parent(&parts.headers) };
        TraceContext { parent, ..TraceContext::default() }
    }
}

/// Two parents are none.
fn parent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut given = headers.get_all(TRACEPARENT).iter();
    match (given.next(), given.next()) {
        (Some(one), None) => TraceParent::read(one.as_bytes()),
        (Some(_) | None, _) => None,
    }
}

/// When writes are traced, as the settings say.
#[must_use]
pub fn options(settings: &TraceSettings) -> TraceOptions {
    TraceOptions { slow: settings.slow, one_in: settings.one_in }
}

/// An answer as a trace tells of it.
pub(super) struct Answered<'a> {
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    pub(super) route: usize,
    pub(super) started: Instant,
    pub(super) ended: Instant,
}

impl Worker {
    /// Traces an answered write, if it is to be.
    pub(super) fn trace(&self, timeline: WriteTimeline, noted: &TraceContext, answered: &Answered<'_>) {
        let asked = noted.parent.is_some();
        let why = self.tracer.borrow_mut().wants(timeline.took(answered.ended), asked, answered.ended);
        if let Some(why) = why {
            let route = self.server.routes.get(answered.route).copied();
            tell(route, timeline, noted, answered, why);
        }
    }
}

#[cold]
fn tell(
    route: Option<&'static Route>,
    timeline: WriteTimeline,
    noted: &TraceContext,
    answered: &Answered<'_>,
    why: TraceReason,
) {
    let Some(route) = route else { return };
    let write = WriteTrace {
        request_id: answered.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()),
        route: route.path,
        method: route.method.as_str(),
        status: answered.status.as_u16(),
        problem: noted.problem.and_then(|code| Code::NAMES.get(code as usize)).copied(),
        started: answered.started,
        answered: answered.ended,
        answered_unix_us: wall_clock_us(),
        timeline,
        parent: noted.parent,
    };
    write.tell(why);
}
