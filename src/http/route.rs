//! The description of one route. Its row stands beside its handler (`handlers`), and `routes` concatenates the rows.

use hyper::{Method, StatusCode};
use schemars::JsonSchema;
use serde_json::Value;

use super::allowed_responses::UNROUTED;
use crate::admission::operators::Role;
use crate::api::code::Code;
use crate::api::json::scalars;
use crate::telemetry::MeteredRoute;

/// The listeners that speak HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listener {
    Public,
    Admin,
}

impl Listener {
    /// Returns its name in the access log.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Listener::Public => "public",
            Listener::Admin => "admin",
        }
    }
}

/// The role that a caller of a route must have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequiredRole {
    /// No token is needed.
    None,
    /// A buyer, where buyers have tokens.
    Buyer,
    /// An operator of this role at least, where operators have tokens.
    Operator(Role),
}

/// The presence of a header in a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Presence {
    Always,
    Sometimes,
    Never,
}

/// The headers of a route whose responses are compressed for clients that accept it.
pub(super) const COMPRESSED_FOR_SOME: &[(&str, Presence)] =
    &[("Vary", Presence::Always), ("Content-Encoding", Presence::Sometimes)];

/// A JSON body that a route reads.
pub(super) struct RequestBody {
    /// Name of its schema in the OpenAPI document.
    pub(super) schema: &'static str,
    /// A body that the server accepts.
    pub(super) example: fn() -> Value,
}

/// A body that a route responds with on success.
#[derive(Clone, Copy)]
pub(super) enum ResponseBody {
    /// `application/json`, with the name of its schema in the OpenAPI document.
    Json(&'static str),
    /// Another media type, with the name of its schema in the OpenAPI document.
    Named(&'static str, &'static str),
    /// Another media type, with its schema.
    Inline(&'static str, fn() -> Value),
}

/// One route.
pub struct Route {
    pub listener: Listener,
    pub method: Method,
    /// The path, with at most one parameter in braces.
    pub path: &'static str,
    /// The `operationId` in the OpenAPI document; unique.
    pub operation: &'static str,
    /// A few words for the OpenAPI document.
    pub summary: &'static str,
    pub required_role: RequiredRole,
    /// Requests count against the limit of requests in flight per client. Those of handlers that wait do.
    pub counts_in_flight: bool,
    /// Rate limits apply to it.
    pub is_limited: bool,
    /// A read that only the leader of a cluster answers.
    is_leaders: bool,
    /// The request orders the drop that the path names.
    pub orders_drop: bool,
    /// A page, or a file of pages, for browsers only: not part of the contract with clients.
    pub is_page: bool,
    /// Browsers that ask for a page get their problems as pages.
    pub shows_pages: bool,
    /// The statuses of successful responses.
    pub success: &'static [u16],
    /// The codes of its own problems, in groups (`allowed_responses`).
    pub problems: &'static [&'static [Code]],
    pub(super) request_body: Option<RequestBody>,
    /// The most bytes of its body, where they are more than `http.body_bytes_max`.
    pub long_body: Option<usize>,
    /// The schema of the query, as that of an object.
    pub(super) query: Option<fn() -> Value>,
    /// Parameters of the query are ignored: people and providers call the address that the shop has given them.
    pub ignores_query: bool,
    /// The bodies of successful responses; empty if they have none.
    pub(super) response_bodies: &'static [ResponseBody],
    /// The schema of a response of 202 in a route that responds otherwise, too.
    pub(super) accepted: Option<&'static str>,
    /// Headers of successful responses, where the usual rules do not hold (`openapi::headers`).
    pub(super) headers: &'static [(&'static str, Presence)],
    /// The operations that take the `id` of a successful response as their path parameter.
    pub(super) links: &'static [&'static str],
}

/// Rows are built step by step, so that each names only what it has.
impl Route {
    const fn new(
        listener: Listener,
        required_role: RequiredRole,
        method: Method,
        path: &'static str,
        operation: &'static str,
        summary: &'static str,
    ) -> Route {
        Route {
            listener,
            method,
            path,
            operation,
            summary,
            required_role,
            counts_in_flight: false,
            is_limited: matches!(listener, Listener::Public),
            is_leaders: false,
            orders_drop: false,
            is_page: false,
            shows_pages: false,
            success: &[],
            problems: &[],
            request_body: None,
            long_body: None,
            query: None,
            ignores_query: false,
            response_bodies: &[],
            accepted: None,
            headers: &[],
            links: &[],
        }
    }

    /// A route of the public listener that needs no token.
    pub(super) const fn public(
        method: Method,
        path: &'static str,
        operation: &'static str,
        summary: &'static str,
    ) -> Route {
        Route::new(Listener::Public, RequiredRole::None, method, path, operation, summary)
    }

    /// A route of the public listener that needs a buyer's token.
    pub(super) const fn buyer(
        method: Method,
        path: &'static str,
        operation: &'static str,
        summary: &'static str,
    ) -> Route {
        Route::new(Listener::Public, RequiredRole::Buyer, method, path, operation, summary)
    }

    /// A route of the admin listener that needs a role.
    pub(super) const fn admin(
        role: Role,
        method: Method,
        path: &'static str,
        operation: &'static str,
        summary: &'static str,
    ) -> Route {
        Route::new(Listener::Admin, RequiredRole::Operator(role), method, path, operation, summary)
    }

    /// A route of the admin listener that needs no token, for probes.
    pub(super) const fn probe(path: &'static str, operation: &'static str, summary: &'static str) -> Route {
        Route::new(Listener::Admin, RequiredRole::None, Method::GET, path, operation, summary)
    }

    /// A page of the admin listener, or a file of one. It needs no token and shows nothing: what it shows it asks for with the
    /// token of the operator who looks at it.
    pub(super) const fn admin_page(path: &'static str, operation: &'static str, summary: &'static str) -> Route {
        Route::new(Listener::Admin, RequiredRole::None, Method::GET, path, operation, summary).page()
    }

    /// Returns true if it needs no token on the admin listener: a probe, which can be on the public listener too.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.listener == Listener::Admin && self.required_role == RequiredRole::None && !self.is_page
    }

    pub(super) const fn orders_drop(mut self) -> Route {
        self.orders_drop = true;
        self
    }

    pub(super) const fn page(mut self) -> Route {
        self.is_page = true;
        self.shows_pages()
    }

    pub(super) const fn shows_pages(mut self) -> Route {
        self.shows_pages = true;
        self
    }

    pub(super) const fn counts_in_flight(mut self) -> Route {
        self.counts_in_flight = true;
        self
    }

    pub(super) const fn of_leader(mut self) -> Route {
        self.is_leaders = true;
        self
    }

    pub(super) const fn without_limits(mut self) -> Route {
        self.is_limited = false;
        self
    }

    pub(super) const fn query<T: JsonSchema>(mut self) -> Route {
        self.query = Some(query_schema::<T>);
        self
    }

    pub(super) const fn ignores_query(mut self) -> Route {
        self.ignores_query = true;
        self
    }

    pub(super) const fn body(mut self, schema: &'static str, example: fn() -> Value) -> Route {
        self.request_body = Some(RequestBody { schema, example });
        self
    }

    pub(super) const fn long_body(mut self, bytes_max: usize) -> Route {
        self.long_body = Some(bytes_max);
        self
    }

    pub(super) const fn responds(mut self, success: &'static [u16], bodies: &'static [ResponseBody]) -> Route {
        self.success = success;
        self.response_bodies = bodies;
        self
    }

    /// Gives the response of 202 a JSON body of its own.
    pub(super) const fn or_accepts(mut self, schema: &'static str) -> Route {
        self.accepted = Some(schema);
        self
    }

    pub(super) const fn problems(mut self, problems: &'static [&'static [Code]]) -> Route {
        self.problems = problems;
        self
    }

    pub(super) const fn headers(mut self, headers: &'static [(&'static str, Presence)]) -> Route {
        self.headers = headers;
        self
    }

    pub(super) const fn links(mut self, operations: &'static [&'static str]) -> Route {
        self.links = operations;
        self
    }
}

impl Route {
    /// Returns its labels in the metrics. Latencies of the admin listener are counted together, and those of pages: they do not
    /// matter in a sale, and each route would add as many series as a histogram has buckets.
    pub(super) fn labels(&'static self) -> MeteredRoute {
        let timed_as = match self.listener {
            Listener::Public if self.is_page => "pages",
            Listener::Public => self.path,
            Listener::Admin => "operators",
        };
        MeteredRoute { path: self.path, method: self.method.as_str(), timed_as }
    }

    /// Returns the name between the braces of the path.
    #[must_use]
    pub fn parameter(&self) -> Option<&'static str> {
        self.path.split_once('{')?.1.split_once('}').map(|(name, _)| name)
    }

    /// Returns every code that it may respond with.
    pub fn problem_codes(&self) -> impl Iterator<Item = Code> {
        let unauthorized = (self.required_role != RequiredRole::None).then_some(Code::Unauthorized);
        // A read that waits for an event counts in flight.
        let limited = (self.counts_in_flight || self.is_read()).then_some(Code::RateLimited);
        let own = self.problems.iter().copied().flatten().chain(everywhere(self.listener)).copied();
        let checks_more = self.refuses_parameters() || self.is_read();
        let of_query = (checks_more && !self.lists(Code::Validation)).then_some(Code::Validation);
        let behind = (self.is_read() && !self.lists(Code::Behind)).then_some(Code::Behind);
        own.chain(unauthorized).chain(limited).chain(of_query).chain(behind)
    }

    /// Returns true if any parameter of a query is a mistake.
    #[must_use]
    pub const fn refuses_parameters(&self) -> bool {
        self.query.is_none() && !self.ignores_query
    }

    /// Returns true if it is a GET: it may name an event that the state must have.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.method == Method::GET
    }

    /// Returns true if it submits commands to the writer, always or for some parameters.
    #[must_use]
    pub fn submits(&self) -> bool {
        self.lists(Code::OutcomeUnknown)
    }

    /// Returns true if only the leader of a cluster answers it: it submits commands, or makes challenges.
    #[must_use]
    pub fn needs_leader(&self) -> bool {
        self.submits() || self.is_leaders
    }

    /// Returns true if a repeat with the same `Idempotency-Key` has no second effect.
    #[must_use]
    pub fn takes_key(&self) -> bool {
        self.lists(Code::KeyMissing)
    }

    /// Returns true if one of its own problems has this code.
    pub(super) fn lists(&self, code: Code) -> bool {
        self.problems.iter().any(|group| group.contains(&code))
    }
}

/// Returns true if a route may respond with this status or code. Without a route: if an unrouted request may.
#[must_use]
pub(super) fn allows(route: Option<&Route>, response: Result<StatusCode, Code>) -> bool {
    let Some(route) = route else {
        return response.map_or_else(|code| UNROUTED.contains(&code), |status| status == StatusCode::NO_CONTENT);
    };
    match response {
        Ok(status) => route.success.contains(&status.as_u16()),
        Err(code) => route.problem_codes().any(|known| known == code),
    }
}

/// Returns the codes that every route of a listener may respond with.
const fn everywhere(listener: Listener) -> &'static [Code] {
    match listener {
        // The server is stopping, or its file was replaced.
        Listener::Public => &[Code::Draining, Code::Internal],
        // A Host header of another name, or a token whose role may not do this.
        Listener::Admin => &[Code::Draining, Code::Forbidden, Code::Internal],
    }
}

pub(super) fn query_schema<T: JsonSchema>() -> Value {
    let mut settings = scalars::settings();
    settings.inline_subschemas = true;
    settings.into_generator().into_root_schema_for::<T>().to_value()
}
