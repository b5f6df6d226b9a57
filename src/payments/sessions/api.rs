//! The client of a provider's API, and the meaning of its status codes.

use std::time::Duration;

use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use super::SessionError;
use crate::config::ConfigError;
use crate::egress::{AddressGuard, ClientOptions, EgressClient, OutboundRequest, Target};

/// The longest wait that a provider may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// The longest error text of a provider that is logged.
const REASON_CHARS_MAX: usize = 100;

pub(super) struct ProviderApi {
    client: EgressClient,
    base_url: Box<str>,
}

pub(super) struct ApiResponse {
    pub(super) status: u16,
    retry_after: Option<Duration>,
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
    ) -> Result<ApiResponse, SessionError> {
        let url = format!("{}{path}", self.base_url);
        let target = Target::parse(&url, self.client.guard()).map_err(|bad| SessionError::unusable(bad.to_string()))?;
        let mut headers: HeaderMap = with.iter().cloned().collect();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let response = self.client.send(OutboundRequest { target: &target, method, headers, body: body.into() }).await;
        let response = response.map_err(|failure| SessionError::retry(failure.to_string()))?;
        let retry_after = retry_after(&response.headers);
        Ok(ApiResponse { status: response.status.as_u16(), retry_after, body: response.body })
    }
}

impl ApiResponse {
    #[cfg(test)]
    pub(super) fn of(status: u16, body: String) -> ApiResponse {
        ApiResponse { status, retry_after: None, body: body.into() }
    }

    /// Returns the error for a response without a session. `reason` is the provider's text, and `is_of_order` says that the
    /// provider's error is about the order: only such an error with the status of a refusal is for good. Any other answer
    /// may be that of something between, or about the state of the provider.
    pub(super) fn session_error(&self, reason: Option<&str>, is_of_order: bool) -> SessionError {
        if is_of_order && matches!(self.status, 400 | 402 | 422) {
            return SessionError::Refused(self.detail(reason));
        }
        SessionError::Retry { reason: self.detail(reason), retry_after: self.retry_after }
    }

    /// Returns the error for a response that does not say that a session was closed. `is_of_session` says that the provider's
    /// error is about the session: with one of these statuses it was closed or paid before, or it does not exist. Any other
    /// answer may be that of something between, and a wrong key can be replaced.
    pub(super) fn closing_error(&self, reason: Option<&str>, is_of_session: bool) -> SessionError {
        if is_of_session && matches!(self.status, 200 | 400 | 404 | 410 | 422) {
            return SessionError::Refused(self.detail(reason));
        }
        SessionError::Retry { reason: self.detail(reason), retry_after: self.retry_after }
    }

    fn detail(&self, reason: Option<&str>) -> String {
        let shown: String = reason.unwrap_or("").chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
        format!("{} {shown}", self.status)
    }
}

/// Parses `Retry-After` in seconds; dates are not supported.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}
