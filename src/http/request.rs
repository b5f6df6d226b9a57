//! What handlers ask of a request, and how they answer.

use std::time::Instant;

use compact_str::CompactString;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HOST, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode, Version};
use serde::de::DeserializeOwned;

use super::body::{Body, full, read_json};
use crate::admission::Caller;
use crate::admission::operators::OWNER;
use crate::api::Problem;
use crate::api::json::{drop_body, etag};
use crate::config::ConnectionLimits;
use crate::read::{CachedResponse, DropRow};
use crate::types::text::parse_idempotency_key;
use crate::types::{AuctionId, DropId, OrderId};

/// `Idempotency-Key`.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// `Idempotent-Replayed`: this answer repeats an earlier one.
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// `Firstcome-Seq`: the last event of a write.
pub const FIRSTCOME_SEQ: HeaderName = HeaderName::from_static("firstcome-seq");
/// `Firstcome-Time-Ms`: the server's clock.
pub const FIRSTCOME_TIME_MS: HeaderName = HeaderName::from_static("firstcome-time-ms");
/// `Request-Id`.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// `Server-Timing`.
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const CACHED_FOR_A_SECOND: HeaderValue = HeaderValue::from_static("public, max-age=1, stale-while-revalidate=5");

/// Refuses what a proxy in front might read in another way than we do (RFC 9112, 3.2, 3.2.2 and 6.1). hyper refuses the
/// rest: two lengths that differ, spaces before a colon, folded lines, a coding that does not end in `chunked`; and it
/// closes a connection on which a length came beside a coding.
///
/// # Errors
/// `malformed`.
pub fn check_head(parts: &Parts) -> Result<(), Problem> {
    if parts.uri.authority().is_some() {
        return Err(Problem::BadHead("Send the path alone in the request line."));
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host.as_bytes()) => {}
        (None, None) if parts.version == Version::HTTP_10 => {}
        (Some(_) | None, _) => return Err(Problem::BadHead("Send one Host header with a name and perhaps a port.")),
    }
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        (Some(_), _) => Err(Problem::BadHead("The one Transfer-Encoding is chunked.")),
    }
}

/// Whether this can stand in `Host`: characters of names, addresses and ports.
fn is_host(host: &[u8]) -> bool {
    host.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]%~".contains(byte))
}

/// A request on its way through a handler.
pub struct Call {
    /// When its head was there.
    pub started: Instant,
    /// Who sent it, as far as he proved it.
    pub caller: Caller,
    /// Its head.
    pub parts: Parts,
    /// Its body, until it is read.
    pub body: Option<Incoming>,
    /// What stands in the braces of its route.
    pub parameter: CompactString,
}

impl Call {
    fn number(&self) -> Result<u32, Problem> {
        let canonical = !self.parameter.starts_with(['0', '+']);
        self.parameter.parse().ok().filter(|_| canonical).ok_or(Problem::NotFound)
    }

    /// The drop in the path.
    ///
    /// # Errors
    /// `not-found` if that is no drop's number, in the one spelling that the server writes.
    pub fn drop_id(&self) -> Result<DropId, Problem> {
        DropId::new(self.number()?).ok_or(Problem::NotFound)
    }

    /// The auction in the path.
    ///
    /// # Errors
    /// `not-found` if that is no auction's number, in the one spelling that the server writes.
    pub fn auction_id(&self) -> Result<AuctionId, Problem> {
        AuctionId::new(self.number()?).ok_or(Problem::NotFound)
    }

    /// The order in the path.
    ///
    /// # Errors
    /// `not-found` if that is no order's id.
    pub fn order_id(&self) -> Result<OrderId, Problem> {
        OrderId::parse(&self.parameter).ok_or(Problem::NotFound)
    }

    /// Whose idempotency keys an operator's are. Several tokens of one name are one operator, so that a new token can
    /// repeat what an old one began.
    #[must_use]
    pub fn operator_name(&self) -> &str {
        self.caller.operator().map_or(OWNER, |operator| &operator.name)
    }

    /// An operator's reason as the audit keeps it: with his name, where a token proves it.
    #[must_use]
    pub fn signed(&self, reason: Box<str>) -> Box<str> {
        match self.caller.operator().filter(|operator| operator.has_token()) {
            Some(operator) => format!("{}: {reason}", operator.name).into(),
            None => reason,
        }
    }

    /// The idempotency key.
    ///
    /// # Errors
    /// `idempotency-key-missing` if there is none, more than one, or it is none.
    pub fn idempotency_key(&self) -> Result<Vec<u8>, Problem> {
        const ALLOWED: &str = "Send one Idempotency-Key of 1 to 255 visible ASCII characters, such as a UUID.";
        let mut keys = self.parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let (Some(key), None) = (keys.next(), keys.next()) else { return Err(Problem::KeyMissing(ALLOWED)) };
        let key = parse_idempotency_key(key.as_bytes()).ok_or(Problem::KeyMissing(ALLOWED))?;
        Ok(key.into_owned())
    }

    /// The query string as a struct that denies unknown fields.
    ///
    /// # Errors
    /// `validation`.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_html_form::from_str(self.parts.uri.query().unwrap_or(""))
            .map_err(|error| Problem::invalid("?", error.to_string()))
    }

    /// Reads the JSON body, once.
    ///
    /// # Errors
    /// See [`read_json`].
    pub async fn json(&mut self, limits: &ConnectionLimits) -> Result<Bytes, Problem> {
        let Some(body) = self.body.take() else { return Ok(Bytes::new()) };
        read_json(&self.parts.headers, body, limits).await
    }
}

/// A JSON answer that nobody may keep.
#[must_use]
pub fn json(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// An answer without a body.
#[must_use]
pub fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// Whether the client has this version already (RFC 9110, 13.1.2: weak comparison).
fn client_has(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let tag = etag.as_bytes();
    headers.get_all(IF_NONE_MATCH).iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .any(|candidate| candidate == b"*" || candidate.strip_prefix(b"W/").unwrap_or(candidate) == tag)
    })
}

/// How long an answer may be kept by others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    /// By everybody, for a second.
    Public,
    /// By nobody.
    NoStore,
}

/// A tag as a header. Tags are made of digits and hyphens.
#[must_use]
pub fn tag(etag: &str) -> HeaderValue {
    HeaderValue::from_str(etag).unwrap_or(HeaderValue::from_static("\"0\""))
}

/// A drop's ready body: version, tag and JSON come from one row.
#[must_use]
pub fn hot_body(row: &DropRow, epoch: u64) -> CachedResponse {
    CachedResponse {
        version: row.version.get(),
        etag: tag(&etag("d", u64::from(row.id.get()), epoch, row.version)),
        body: drop_body(row, epoch),
    }
}

/// A tagged JSON answer, or 304 if the client has it.
#[must_use]
pub fn tagged(request: &HeaderMap, etag: HeaderValue, caching: Caching, body: Bytes) -> Response<Body> {
    let has_it = client_has(request, &etag);
    let mut response = Response::new(full(if has_it { Bytes::new() } else { body }));
    let headers = response.headers_mut();
    headers.insert(ETAG, etag);
    headers.insert(
        CACHE_CONTROL,
        match caching {
            Caching::Public => CACHED_FOR_A_SECOND,
            Caching::NoStore => NO_STORE,
        },
    );
    if has_it {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        response.headers_mut().insert(CONTENT_TYPE, JSON);
    }
    response
}
