//! The client of a provider's API, and the pause before a request is repeated.

use std::time::Duration;

use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use crate::config::ConfigError;
use crate::egress::{AddressGuard, ClientOptions, EgressClient, OutboundRequest, Target};
use crate::types::random;

/// The header of Stripe's answers that are repeated.
const IDEMPOTENT_REPLAYED: &str = "idempotent-replayed";
/// The longest wait that a provider may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// The longest error text of a provider that is logged.
const REASON_CHARS_MAX: usize = 100;

/// The shortest and the longest pause of [`backoff`], without its jitter.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// The reason why a request has no response.
#[derive(Debug)]
pub(super) enum NoResponse {
    /// The request was not sent, and never can be.
    BadUrl(String),
    /// The provider may have the request.
    Failed(String),
}

pub(super) struct ProviderApi {
    client: EgressClient,
    base_url: Box<str>,
}

pub(super) struct ApiResponse {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    /// True if the provider says that it repeats the answer that it gave to an earlier request with the same key.
    pub(super) is_replayed: bool,
    pub(super) body: Bytes,
}

impl ProviderApi {
    /// Opens the API at a URL of the configuration: on the public internet, or on this machine (a stub in tests).
    pub(super) fn open(url: &str, timeout: Duration) -> Result<ProviderApi, ConfigError> {
        let mistake = |reason: String| ConfigError(format!("{url}: {reason}"));
        let here = ["127.0.0.0/8", "::1/128"].map(|network| network.parse().ok()).into_iter().flatten().collect();
        let guard = AddressGuard::new(if url.starts_with("http://") { here } else { Vec::new() });
        Target::parse(url, &guard).map_err(|bad| mistake(bad.to_string()))?;
        let client =
            EgressClient::new(guard, ClientOptions { timeout, ..ClientOptions::default() }).map_err(mistake)?;
        Ok(ProviderApi { client, base_url: url.into() })
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        with: &[(HeaderName, HeaderValue)],
        content_type: &'static str,
        body: String,
    ) -> Result<ApiResponse, NoResponse> {
        let url = format!("{}{path}", self.base_url);
        let target = Target::parse(&url, self.client.guard()).map_err(|bad| NoResponse::BadUrl(bad.to_string()))?;
        let mut headers: HeaderMap = with.iter().cloned().collect();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let response = self.client.send(OutboundRequest { target: &target, method, headers, body: body.into() }).await;
        let response = response.map_err(|failure| NoResponse::Failed(failure.to_string()))?;
        let retry_after = retry_after(&response.headers);
        let is_replayed = response.headers.get(IDEMPOTENT_REPLAYED).is_some_and(|value| value == "true");
        Ok(ApiResponse { status: response.status.as_u16(), retry_after, is_replayed, body: response.body })
    }
}

impl ApiResponse {
    #[cfg(test)]
    pub(super) fn of(status: u16, body: String) -> ApiResponse {
        ApiResponse { status, retry_after: None, is_replayed: false, body: body.into() }
    }

    /// Returns the status and the provider's reason, for the log.
    pub(super) fn detail(&self, reason: Option<&str>) -> String {
        let shown: String = reason.unwrap_or("").chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
        format!("{} {shown}", self.status)
    }
}

/// Parses `Retry-After` in seconds; dates are not supported.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// Returns a wait that doubles with each attempt, with up to half as much random jitter, so that requests that failed
/// together are not repeated together.
pub(super) fn backoff(attempts: u32) -> Duration {
    let wait = BACKOFF_MIN.saturating_mul(1 << attempts.min(6)).min(BACKOFF_MAX);
    let mut spread = [0u8; 1];
    random::fill(&mut spread);
    wait.saturating_add(wait.saturating_mul(u32::from(spread[0])) / 512)
}
