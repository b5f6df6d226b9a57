//! A provider's API: the one server that is asked, and what its answers mean before anybody reads them.

use std::time::Duration;

use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use super::SessionError;
use crate::config::ConfigError;
use crate::egress::{AddressGuard, ClientOptions, EgressClient, OutboundRequest, Target};

/// The longest wait that a provider may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// The longest word of a provider that is logged.
const WHY_CHARS_MAX: usize = 100;

/// A provider's server.
pub(super) struct ProviderApi {
    client: EgressClient,
    base_url: Box<str>,
}

/// What it answered.
pub(super) struct ApiResponse {
    pub(super) status: u16,
    retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

impl ProviderApi {
    /// The server behind a URL of the configuration: on the public internet, or this machine (a test's stand-in).
    pub(super) fn open(url: &str, timeout: Duration) -> Result<ProviderApi, ConfigError> {
        let told = |why: String| ConfigError(format!("{url}: {why}"));
        let here = ["127.0.0.0/8", "::1/128"].map(|network| network.parse().ok()).into_iter().flatten().collect();
        let guard = AddressGuard::new(if url.starts_with("http://") { here } else { Vec::new() });
        Target::parse(url, &guard).map_err(|bad| told(bad.to_string()))?;
        let client = EgressClient::new(guard, ClientOptions { timeout, ..ClientOptions::default() }).map_err(told)?;
        Ok(ProviderApi { client, base_url: url.into() })
    }

    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        with: &[(HeaderName, HeaderValue)],
        content_type: &'static str,
        body: String,
    ) -> Result<ApiResponse, SessionError> {
        let url = format!("{}{path}", self.base_url);
        let target =
            Target::parse(&url, self.client.guard()).map_err(|bad| SessionError::Permanent(bad.to_string()))?;
        let mut headers: HeaderMap = with.iter().cloned().collect();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let reply = self.client.send(OutboundRequest { target: &target, method, headers, body: body.into() }).await;
        let reply = reply.map_err(|failure| SessionError::Retry { why: failure.to_string(), retry_after: None })?;
        let retry_after = retry_after(&reply.headers);
        Ok(ApiResponse { status: reply.status.as_u16(), retry_after, body: reply.body })
    }
}

impl ApiResponse {
    /// What an answer means that is no session. `why` is the provider's own word for it.
    pub(super) fn no_session(&self, why: Option<&str>) -> SessionError {
        let shown: String = why.unwrap_or("").chars().filter(|c| !c.is_control()).take(WHY_CHARS_MAX).collect();
        let told = format!("{} {shown}", self.status);
        match self.status {
            // A key that is wrong can be set right, and a conflict is with a request of ours that is on its way. PayOS
            // says in its body what is wrong, and that may pass.
            200 | 401 | 403 | 408 | 409 | 429 | 500.. => {
                SessionError::Retry { why: told, retry_after: self.retry_after }
            }
            _ => SessionError::Permanent(told),
        }
    }
}

/// `Retry-After` in seconds; a date is for people who wait.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}
