//! Helpers of handlers: the parts of a request, and common forms of responses.

use std::net::IpAddr;
use std::time::Instant;

use compact_str::CompactString;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HOST, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, LOCATION,
    TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::http::uri::Scheme;
use hyper::{Response, StatusCode, Uri, Version};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::body::{Body, BodyBounds, discard, full, read_json};
use super::query::parse_query;
use super::request_id::RequestId;
use crate::admission::Caller;
use crate::admission::limits::Client;
use crate::admission::operators::OWNER;
use crate::api::Problem;
use crate::api::json::{CreatedBody, drop_body, etag};
use crate::read::{CachedResponse, DropRow};
use crate::types::text::parse_idempotency_key;
use crate::types::{AuctionId, BuyerText, DropId, OrderId};

pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Marks a response that repeats an earlier one.
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Asks that a creation is answered only if its key is known: a router looks for the shard that knows it.
pub const FIRSTCOME_REPEAT_ONLY: HeaderName = HeaderName::from_static("firstcome-repeat-only");
/// At a node of a cluster, the number of its shard on every answer; at a router, that of the shard which a request is for.
pub const FIRSTCOME_SHARD: HeaderName = HeaderName::from_static("firstcome-shard");
/// The number of the last event of a write.
/// Orders of a batch that were not decided, or of which that is not known.
pub const FIRSTCOME_UNDECIDED: HeaderName = HeaderName::from_static("firstcome-undecided");
pub const FIRSTCOME_SEQ: HeaderName = HeaderName::from_static("firstcome-seq");
/// The server's clock in milliseconds since 1970.
pub const FIRSTCOME_TIME_MS: HeaderName = HeaderName::from_static("firstcome-time-ms");
/// Tells a proxy to pass a stream on as it comes: nginx otherwise holds it back.
pub const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
pub const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const CACHED_FOR_A_SECOND: HeaderValue = HeaderValue::from_static("public, max-age=1, stale-while-revalidate=5");

/// Refuses heads that a proxy in front might parse differently (RFC 9112, 3.2, 3.2.2 and 6.1). hyper refuses the rest:
/// two lengths that differ, spaces before a colon, folded lines, a coding that does not end in `chunked`; and it
/// closes a connection on which a length came beside a coding.
///
/// # Errors
/// `malformed`.
pub fn check_head(parts: &Parts) -> Result<(), Problem> {
    check_absolute_form(&parts.uri)?;
    // One look at each header, as in `values`.
    let (mut host, mut coding) = (SentOnce::No, SentOnce::No);
    for (name, value) in &parts.headers {
        if *name == HOST {
            host.note(value);
        } else if *name == TRANSFER_ENCODING {
            coding.note(value);
        }
    }
    match host {
        SentOnce::Yes(host) if is_host(host.as_bytes()) => {}
        SentOnce::No if parts.version == Version::HTTP_10 => {}
        SentOnce::Yes(_) | SentOnce::No | SentOnce::Repeated => {
            return Err(Problem::BadHead("Send exactly one Host header: a name, and optionally a port."));
        }
    }
    match coding {
        SentOnce::No => Ok(()),
        SentOnce::Yes(coding) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        SentOnce::Yes(_) | SentOnce::Repeated => {
            Err(Problem::BadHead("The only supported Transfer-Encoding is chunked."))
        }
    }
}

/// Returns the values of a header, for every request: requests have few headers, so that a look at each costs less than a
/// hash of the name.
pub fn values(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &HeaderValue> {
    headers.iter().filter(move |(given, _)| **given == name).map(|(_, value)| value)
}

/// The value of a header that may be sent once, and was perhaps sent more often.
enum SentOnce<'head> {
    No,
    Yes(&'head HeaderValue),
    Repeated,
}

impl<'head> SentOnce<'head> {
    fn note(&mut self, value: &'head HeaderValue) {
        *self = match self {
            SentOnce::No => SentOnce::Yes(value),
            SentOnce::Yes(_) | SentOnce::Repeated => SentOnce::Repeated,
        };
    }
}

/// Accepts the absolute form, as every server must (RFC 9112, 3.2.2): a proxy in front may send it. A tunnel has a host and
/// no scheme.
fn check_absolute_form(uri: &Uri) -> Result<(), Problem> {
    let Some(authority) = uri.authority() else { return Ok(()) };
    let known = uri.scheme().is_some_and(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
    if known && is_host(authority.as_str().as_bytes()) {
        Ok(())
    } else {
        Err(Problem::BadHead("The request line must have a path, or a URL of http:// or https:// without a user."))
    }
}

/// Returns the host that a request names: that of the absolute form, which overrides the header (RFC 9112, 3.2.2).
#[must_use]
pub fn named_host(parts: &Parts) -> &str {
    let of_header = || parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    parts.uri.authority().map_or_else(of_header, |authority| authority.as_str())
}

/// Returns true if `Host` has only characters of names, addresses and ports.
fn is_host(host: &[u8]) -> bool {
    host.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]%~".contains(byte))
}

/// A request as its handler sees it.
pub struct Call {
    /// The time when the head had arrived.
    pub started: Instant,
    /// The authenticated caller, if there is one.
    pub caller: Caller,
    /// The sender, as rate limits count it.
    pub client: Client,
    /// The address of the connection's other end.
    pub peer: IpAddr,
    /// The id that the response has, too.
    pub request_id: RequestId,
    pub parts: Parts,
    /// The body; none once it was read.
    pub body: Option<Incoming>,
    /// The value of the path's parameter.
    pub parameter: CompactString,
}

impl Call {
    fn number(&self) -> Result<u32, Problem> {
        let canonical = !self.parameter.starts_with(['0', '+']);
        self.parameter.parse().ok().filter(|_| canonical).ok_or(Problem::NotFound)
    }

    /// Returns the drop's id in the path.
    ///
    /// # Errors
    /// `not-found` if it is not a drop's id in the server's own spelling.
    pub fn drop_id(&self) -> Result<DropId, Problem> {
        DropId::new(self.number()?).ok_or(Problem::NotFound)
    }

    /// Returns the auction's id in the path.
    ///
    /// # Errors
    /// `not-found` if it is not an auction's id in the server's own spelling.
    pub fn auction_id(&self) -> Result<AuctionId, Problem> {
        AuctionId::new(self.number()?).ok_or(Problem::NotFound)
    }

    /// Returns the order's id in the path.
    ///
    /// # Errors
    /// `not-found` if it is not an order's id.
    pub fn order_id(&self) -> Result<OrderId, Problem> {
        OrderId::parse(&self.parameter).ok_or(Problem::NotFound)
    }

    /// Returns the scope of an operator's idempotency keys: the operator's name. Several tokens of one name are one
    /// operator, so that a new token can retry what an old one began.
    #[must_use]
    pub fn operator_name(&self) -> &str {
        self.caller.operator().map_or(OWNER, |operator| &operator.name)
    }

    /// Returns an operator's reason as the audit keeps it: with the operator's name, if a token proves it.
    #[must_use]
    pub fn signed(&self, reason: Box<str>) -> Box<str> {
        match self.caller.operator().filter(|operator| operator.has_token()) {
            Some(operator) => format!("{}: {reason}", operator.name).into(),
            None => reason,
        }
    }

    /// Returns the buyer that a query is about: the token's, else the one that it names.
    ///
    /// # Errors
    /// `forbidden` if it names another buyer than the token.
    pub fn asked_buyer(&self, named: Option<String>) -> Result<Option<String>, Problem> {
        let proven = self.caller.buyer().map(BuyerText::as_str);
        if proven.zip(named.as_deref()).is_some_and(|(proven, named)| proven != named) {
            return Err(Problem::Forbidden("The token belongs to another buyer."));
        }
        Ok(proven.map(Into::into).or(named))
    }

    /// Returns the idempotency key.
    ///
    /// # Errors
    /// `idempotency-key-missing` if it is missing, invalid, or there is more than one.
    pub fn idempotency_key(&self) -> Result<Vec<u8>, Problem> {
        const ALLOWED: &str = "Send one Idempotency-Key of 1 to 255 visible ASCII characters, such as a UUID.";
        let mut keys = self.parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let (Some(key), None) = (keys.next(), keys.next()) else { return Err(Problem::KeyMissing(ALLOWED)) };
        let key = parse_idempotency_key(key.as_bytes()).ok_or(Problem::KeyMissing(ALLOWED))?;
        Ok(key.into_owned())
    }

    /// Returns true if a creation with a new key must have no effect.
    ///
    /// # Errors
    /// `validation` if the header is there twice, or says anything but `true`.
    pub fn only_repeats(&self) -> Result<bool, Problem> {
        let mut given = self.parts.headers.get_all(FIRSTCOME_REPEAT_ONLY).iter();
        match (given.next(), given.next()) {
            (None, _) => Ok(false),
            (Some(value), None) if value.as_bytes() == b"true" => Ok(true),
            (Some(_), _) => Err(Problem::invalid("", "Firstcome-Repeat-Only must be `true`, once")),
        }
    }

    /// Parses the query string into a struct that denies unknown fields.
    ///
    /// # Errors
    /// `validation`.
    pub fn query<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, Problem> {
        parse_query(self.parts.uri.query().unwrap_or(""))
    }

    /// Reads the body of a route that has none, and drops it: some clients send `{}` with every POST.
    pub async fn discard_body(&mut self, bounds: BodyBounds<'_>) {
        if let Some(mut body) = self.body.take() {
            let _complete = discard(&self.parts.headers, &mut body, bounds).await;
        }
    }

    /// Reads the JSON body, once.
    ///
    /// # Errors
    /// See [`read_json`].
    pub async fn json(&mut self, bounds: BodyBounds<'_>) -> Result<Bytes, Problem> {
        let Some(body) = self.body.take() else { return Ok(Bytes::new()) };
        read_json(&self.parts.headers, body, bounds).await
    }
}

/// Refuses the parameters of a query where the route has none.
///
/// # Errors
/// `validation`.
pub fn refuse_parameters(query: &str) -> Result<(), Problem> {
    let Some(part) = query.split('&').find(|part| !part.is_empty()) else { return Ok(()) };
    let decoded: Vec<(String, String)> = serde_html_form::from_str(part).unwrap_or_default();
    let name = decoded.into_iter().next().map(|(name, _)| name).unwrap_or_default();
    Err(Problem::invalid(pointer_to(&name), "is an unknown parameter: this route has none"))
}

/// Returns the JSON pointer (RFC 6901) to a parameter.
pub(super) fn pointer_to(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Makes a JSON response that must not be cached.
#[must_use]
pub fn json(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// Makes the response for a new resource.
#[must_use]
pub fn created(resource: CreatedBody) -> Response<Body> {
    let CreatedBody { body, location } = resource;
    let mut response = Response::new(full(body));
    // Room for all headers at once: with `Location` they are more than the first table of a map holds.
    *response.headers_mut() = HeaderMap::with_capacity(8);
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, NO_STORE);
    if let Ok(location) = HeaderValue::from_maybe_shared(location) {
        headers.insert(LOCATION, location);
    }
    response
}

/// Makes a JSON response with a status; with the path of the resource if it is new.
#[must_use]
pub fn json_at(status: StatusCode, body: Bytes, path: &str) -> Response<Body> {
    let mut response = json(status, body);
    if status == StatusCode::CREATED
        && let Ok(location) = HeaderValue::from_str(path)
    {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Makes a response without a body.
#[must_use]
pub fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// Returns true if the client has this version already (RFC 9110, 13.1.2: weak comparison).
fn client_has(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let tag = etag.as_bytes();
    values(headers, IF_NONE_MATCH).any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .any(|candidate| candidate == b"*" || candidate.strip_prefix(b"W/").unwrap_or(candidate) == tag)
    })
}

/// The cache policy of a response.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    /// All caches may keep it for a second.
    Public,
    NoStore,
}

/// Makes a header of an entity tag. Tags consist of letters, digits, hyphens and quotes.
#[must_use]
pub fn tag(etag: &str) -> HeaderValue {
    HeaderValue::from_str(etag).unwrap_or(HeaderValue::from_static("\"0\""))
}

/// Makes a drop's cached response. Version, tag and JSON come from one row.
#[must_use]
pub fn hot_body(row: &DropRow, epoch: u64) -> CachedResponse {
    CachedResponse {
        version: row.version.get(),
        etag: tag(&etag("d", u64::from(row.id.get()), epoch, row.version)),
        body: drop_body(row, epoch),
    }
}

/// Makes a JSON response with an entity tag, or 304 if the client has this version.
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
