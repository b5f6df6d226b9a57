//! HTTP client for a running server and for the systems that watch it: a few requests over HTTP or HTTPS.
//!
//! Waits and sizes are bounded, and redirects are not followed, so an operator's token reaches only the address that was
//! given on the command line. That address may lie in any network: the operator chose it.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rustls::pki_types::CertificateDer;
use serde_json::Value;

use super::wire::read_authorities;
use crate::egress::{
    AddressGuard, ClientOptions, EgressClient, OpenResponse, OutboundRequest, OutboundResponse, SendError, Target,
};
use crate::exit::Exit;

/// Limit for a whole response; a server under load responds within 2 s.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Limit for a response body; a page of 2,000 series is below 300 kB.
const BODY_BYTES_MAX: usize = 8 << 20;
/// Characters of a problem's detail that are shown.
const DETAIL_CHARS_MAX: usize = 300;

/// Client of one server. Clones share their connections, and so must be used on one runtime.
#[derive(Clone)]
pub struct HttpClient {
    /// Base URL without a trailing slash, for messages.
    pub url: String,
    /// Command-line flag that sets the address, for messages.
    flag: &'static str,
    client: EgressClient,
    authorities: Vec<CertificateDer<'static>>,
    token: Option<HeaderValue>,
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url)
    }
}

/// Reason for the lack of a usable response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RequestError {
    NoResponse(SendError),
    /// Status other than 200 and 201, with the code and the detail of the problem.
    Status(u16, String),
    /// Body of another form than expected.
    Invalid(String),
}

impl std::fmt::Display for RequestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RequestError::NoResponse(failure) => write!(f, "{failure}"),
            RequestError::Status(status, problem) => f.write_str(format!("status {status} {problem}").trim_end()),
            RequestError::Invalid(reason) => write!(f, "invalid response: {reason}"),
        }
    }
}

/// Response with the time from request to last byte.
pub struct TimedResponse {
    pub reply: OutboundResponse,
    pub elapsed: Duration,
}

/// Options of a request beside its path.
#[derive(Default)]
struct RequestOptions<'a> {
    body: Option<&'a Value>,
    idempotency_key: Option<&'a str>,
    new_connection: bool,
}

impl HttpClient {
    /// Makes a client for `host:port`, `http://host:port` or `https://host:port/prefix`. `ca` is a PEM file of authorities
    /// that are trusted in addition to the public ones.
    ///
    /// # Errors
    /// Exit code 64: the address is malformed, or the file has no certificate.
    pub fn new(address: &str, flag: &'static str, ca: Option<&Path>) -> Result<HttpClient, Exit> {
        let url = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let url = url.trim_end_matches('/').to_owned();
        let malformed =
            |_| Exit::usage(format!("{flag} {address}: expected host:port, http://host:port or https://host:port"));
        Target::parse(&format!("{url}/"), &any_network()).map_err(malformed)?;
        let authorities = ca.map(read_authorities).transpose().map_err(Exit::usage)?.unwrap_or_default();
        let client = egress_client(&authorities)?;
        Ok(HttpClient { url, flag, client, authorities, token: None })
    }

    /// Makes a client that sends the operator's token of the variable `FIRSTCOME_TOKEN`, if it is set. A secret is no
    /// argument: other users of the machine can read arguments.
    ///
    /// # Errors
    /// As [`HttpClient::new`].
    pub fn for_admin(address: &str, flag: &'static str, ca: Option<&Path>) -> Result<HttpClient, Exit> {
        let token = std::env::var("FIRSTCOME_TOKEN").ok().filter(|token| !token.is_empty());
        let header = token.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
        let token = header.map(|mut header| {
            header.set_sensitive(true);
            header
        });
        Ok(HttpClient { token, ..HttpClient::new(address, flag, ca)? })
    }

    /// Sends this operator's token instead of the variable's.
    ///
    /// # Errors
    /// Exit code 64: it is no token.
    pub fn with_token(self, token: &str) -> Result<HttpClient, Exit> {
        let header = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut header = header.map_err(|_| Exit::usage("--token-file: its content is no token"))?;
        header.set_sensitive(true);
        Ok(HttpClient { token: Some(header), ..self })
    }

    /// Makes a client with connections of its own, for another thread.
    ///
    /// # Errors
    /// As [`HttpClient::new`].
    pub fn unshared(&self) -> Result<HttpClient, Exit> {
        Ok(HttpClient { client: egress_client(&self.authorities)?, ..self.clone() })
    }

    /// Sends a request, with `body` as JSON.
    ///
    /// # Errors
    /// No response, or a status other than 200 and 201.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<TimedResponse, RequestError> {
        self.send(method, path, RequestOptions { body, ..RequestOptions::default() }).await
    }

    /// Reads over a new connection, which the kernel gives to any of the server's workers.
    ///
    /// # Errors
    /// As [`HttpClient::request`].
    pub async fn get_on_new_connection(&self, path: &str) -> Result<TimedResponse, RequestError> {
        self.send(Method::GET, path, RequestOptions { new_connection: true, ..RequestOptions::default() }).await
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// As [`HttpClient::request`], or the body is not JSON.
    pub async fn get_json(&self, path: &str) -> Result<Value, RequestError> {
        json_of(&self.request(Method::GET, path, None).await?.reply)
    }

    /// Posts JSON and returns the JSON of the response.
    ///
    /// # Errors
    /// As [`HttpClient::get_json`].
    pub async fn post_json(
        &self,
        path: &str,
        body: &Value,
        idempotency_key: Option<&str>,
    ) -> Result<Value, RequestError> {
        let options = RequestOptions { body: Some(body), idempotency_key, ..RequestOptions::default() };
        json_of(&self.send(Method::POST, path, options).await?.reply)
    }

    /// Reads text.
    ///
    /// # Errors
    /// As [`HttpClient::request`], or the body is not UTF-8.
    pub async fn get_text(&self, path: &str) -> Result<String, RequestError> {
        let response = self.request(Method::GET, path, None).await?;
        String::from_utf8(response.reply.body.to_vec()).map_err(|_| RequestError::Invalid("not UTF-8".into()))
    }

    /// Sends a request with a body as JSON, and returns the response whatever its status is.
    ///
    /// # Errors
    /// No response, or one of more than 8 MiB.
    pub async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        idempotency_key: Option<&str>,
    ) -> Result<OutboundResponse, RequestError> {
        let options = RequestOptions { body, idempotency_key, ..RequestOptions::default() };
        Ok(self.respond(method, path, options).await?.reply)
    }

    /// Opens a body of any length. The server may take `head_max` until it begins.
    ///
    /// # Errors
    /// No response, or a status other than 200.
    pub async fn open(&self, path: &str, head_max: Duration) -> Result<OpenResponse, RequestError> {
        let target = self.target(path)?;
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        let request = OutboundRequest { target: &target, method: Method::GET, headers, body: Bytes::new() };
        let mut response = self.client.open(request, head_max).await.map_err(RequestError::NoResponse)?;
        if response.status.as_u16() == 200 {
            return Ok(response);
        }
        let mut problem = Vec::new();
        while problem.len() < BODY_BYTES_MAX
            && let Ok(Some(piece)) = response.piece(TIMEOUT).await
        {
            problem.extend_from_slice(&piece);
        }
        Err(RequestError::Status(response.status.as_u16(), problem_of(&problem)))
    }

    fn target(&self, path: &str) -> Result<Target, RequestError> {
        Target::parse(&format!("{}{path}", self.url), self.client.guard())
            .map_err(|wrong| RequestError::Invalid(wrong.to_string()))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        options: RequestOptions<'_>,
    ) -> Result<TimedResponse, RequestError> {
        let response = self.respond(method, path, options).await?;
        match response.reply.status.as_u16() {
            200 | 201 => Ok(response),
            status => Err(RequestError::Status(status, problem_of(&response.reply.body))),
        }
    }

    /// Sends a request and returns a response of any status.
    async fn respond(
        &self,
        method: Method,
        path: &str,
        options: RequestOptions<'_>,
    ) -> Result<TimedResponse, RequestError> {
        let target = self.target(path)?;
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        if options.new_connection {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(key) = options.idempotency_key {
            let key = HeaderValue::from_str(key).map_err(|error| RequestError::Invalid(error.to_string()))?;
            headers.insert("idempotency-key", key);
        }
        let body = options.body.map(|body| {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Bytes::from(body.to_string())
        });
        let request = OutboundRequest { target: &target, method, headers, body: body.unwrap_or_default() };
        let started = Instant::now();
        let reply = self.client.send(request).await.map_err(RequestError::NoResponse)?;
        let elapsed = started.elapsed();
        if reply.body.len() >= BODY_BYTES_MAX {
            return Err(RequestError::Invalid(format!("more than {BODY_BYTES_MAX} bytes")));
        }
        Ok(TimedResponse { reply, elapsed })
    }

    /// Makes the exit of a command that needs the response: 69, with what to do.
    #[must_use]
    pub fn exit(&self, request: &str, error: &RequestError) -> Exit {
        let hint = match error {
            RequestError::NoResponse(SendError::Tls) => {
                "; --ca trusts an authority of your own, whose certificate must name the host".into()
            }
            RequestError::NoResponse(_) => {
                format!("; is `firstcome serve` running? set its address with {}", self.flag)
            }
            RequestError::Status(401, _) => "; put an operator's token into the variable FIRSTCOME_TOKEN".into(),
            RequestError::Status(403, _) => "; the role of the token in FIRSTCOME_TOKEN does not allow it".into(),
            RequestError::Status(..) | RequestError::Invalid(_) => String::new(),
        };
        Exit::unavailable(format!("{}: {request}: {error}{hint}", self.url))
    }
}

fn egress_client(authorities: &[CertificateDer<'static>]) -> Result<EgressClient, Exit> {
    let options = ClientOptions {
        timeout: TIMEOUT,
        response_bytes_max: BODY_BYTES_MAX,
        authorities: authorities.to_vec(),
        ..ClientOptions::default()
    };
    EgressClient::new(any_network(), options).map_err(|error| Exit::usage(format!("--ca: {error}")))
}

fn json_of(reply: &OutboundResponse) -> Result<Value, RequestError> {
    serde_json::from_slice(&reply.body).map_err(|error| RequestError::Invalid(error.to_string()))
}

/// Returns code, detail and errors of a problem (RFC 9457) in one line. Other bodies, which may be whole pages, give an
/// empty text.
fn problem_of(body: &[u8]) -> String {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or("").to_owned();
    let mut parts = vec![text(&problem, "code"), text(&problem, "detail")];
    parts.extend(
        problem["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|error| format!("{} {}", text(error, "pointer"), text(error, "detail"))),
    );
    parts.retain(|part| !part.is_empty());
    printable(&parts.join(": ")).chars().take(DETAIL_CHARS_MAX).collect()
}

/// Replaces control characters, so that text from elsewhere cannot move the cursor of a terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

fn any_network() -> AddressGuard {
    let all: [IpNet; 2] =
        [Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0).into(), Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0).into()];
    AddressGuard::new(all.to_vec())
}

/// Runs a future on a current-thread runtime made for it.
///
/// # Errors
/// Those of the future, or 71 if there is no runtime.
pub fn block_on<T>(work: impl Future<Output = Result<T, Exit>>) -> Result<T, Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Exit::system(format!("no runtime: {error}")))?.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_an_optional_scheme() {
        for (text, url) in [
            ("127.0.0.1:8081", "http://127.0.0.1:8081"),
            ("https://ops.example/", "https://ops.example"),
            ("http://prometheus:9090/sub/", "http://prometheus:9090/sub"),
        ] {
            assert_eq!(
                HttpClient::new(text, "--admin", None).map(|client| client.url).map_err(|exit| exit.message),
                Ok(url.into())
            );
        }
        for wrong in ["", "a b:1", "ftp://x", "http://u@h:1", "h:99999999"] {
            assert_eq!(
                HttpClient::new(wrong, "--admin", None).map(|_| ()).map_err(|exit| exit.code),
                Err(64),
                "{wrong}"
            );
        }
    }

    #[test]
    fn text_of_a_server_never_moves_the_cursor() {
        assert_eq!(problem_of(b"{\"code\":\"x\\u001b[2J\",\"detail\":\"y\\n\"}"), "x [2J: y ");
        assert_eq!(problem_of(b"<html>\x1b[2J"), "");
    }
}
