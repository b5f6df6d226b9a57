//! Stripe's Checkout SessionService.

use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde_json::Value;

use super::api::ProviderApi;
use super::{ApiKey, ProviderSession, SessionError, SessionRequest, api_key};
use crate::config::{ConfigError, PaymentSettings};
use crate::payments::accepted_amounts::to_stripe;
use crate::types::{Amount, UnixMillis};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const FORM: &str = "application/x-www-form-urlencoded";
/// Stripe's minimum of 30 minutes, and a minute for the request. A session may outlive its order; a payment after the
/// order's end is then kept or refunded like any late payment.
const LIFE_SECONDS_MIN: i64 = 31 * 60;
/// Stripe's maximum of 24 hours, less a minute for the request.
const LIFE_SECONDS_MAX: i64 = 24 * 60 * 60 - 60;
/// Ends are multiples of this, so that a repeated request has the same parameters: Stripe refuses an idempotency key
/// with other parameters.
const END_STEP_SECONDS: i64 = 10 * 60;

/// Creates Checkout Sessions.
pub(super) struct StripeSessions {
    api: ProviderApi,
    key: ApiKey,
}

impl StripeSessions {
    pub(super) fn open(settings: &PaymentSettings) -> Result<StripeSessions, Vec<ConfigError>> {
        let key = api_key(settings.stripe_api_key_file.as_ref(), "payments.stripe_api_key_file");
        match (key, ProviderApi::open(&settings.stripe_url, settings.session_timeout)) {
            (Ok(key), Ok(api)) => Ok(StripeSessions { api, key }),
            (key, api) => Err(key.err().into_iter().chain(api.err()).collect()),
        }
    }

    pub(super) async fn create(
        &self,
        request: &SessionRequest,
        now: UnixMillis,
    ) -> Result<ProviderSession, SessionError> {
        let ends = ends_at(request.expires_at, now);
        let form = form(request, ends)?;
        let headers = [self.authorization(), (IDEMPOTENCY_KEY, secret(&format!("firstcome-{}-{ends}", request.id)))];
        let response = self.api.send(Method::POST, "/v1/checkout/sessions", &headers, FORM, form).await?;
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        match (response.status, body["url"].as_str(), body["id"].as_str()) {
            (200, Some(url), Some(id)) => ProviderSession::new(url, id),
            // Only the error's code or type is logged: its message may repeat data of the request.
            _ => Err(response.session_error(body["error"]["code"].as_str().or(body["error"]["type"].as_str()))),
        }
    }

    /// Expires a session. Stripe refuses it (400) for one that is complete or expired.
    pub(super) async fn close(&self, reference: &str) -> Result<(), SessionError> {
        let path = format!("/v1/checkout/sessions/{reference}/expire");
        let response = self.api.send(Method::POST, &path, &[self.authorization()], FORM, String::new()).await?;
        if response.status == 200 { Ok(()) } else { Err(response.session_error(None)) }
    }

    fn authorization(&self) -> (HeaderName, HeaderValue) {
        (AUTHORIZATION, secret(&format!("Bearer {}", self.key.secret())))
    }
}

fn secret(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// Returns the request's form. Events find their order by its metadata, on the session and on its payment intent.
fn form(request: &SessionRequest, ends: i64) -> Result<String, SessionError> {
    let (id, page) = (request.id.to_string(), &request.page);
    let unit = Amount::new(request.unit_price.get()).and_then(|unit| to_stripe(unit, request.currency));
    let unit = unit.ok_or_else(|| SessionError::Permanent("Stripe cannot represent this price".into()))?;
    let fields = [
        ("mode", "payment".into()),
        // A payment in another currency than the order's would not be kept.
        ("adaptive_pricing[enabled]", "false".into()),
        ("client_reference_id", id.clone()),
        ("metadata[order_id]", id.clone()),
        ("payment_intent_data[metadata][order_id]", id),
        ("line_items[0][quantity]", request.quantity.get().to_string()),
        ("line_items[0][price_data][currency]", request.currency.as_str().to_ascii_lowercase()),
        ("line_items[0][price_data][unit_amount]", unit.to_string()),
        ("line_items[0][price_data][product_data][name]", request.name.clone()),
        ("expires_at", ends.to_string()),
        ("success_url", page.clone()),
        ("cancel_url", page.clone()),
    ];
    serde_html_form::to_string(fields).map_err(|error| SessionError::Permanent(error.to_string()))
}

/// Returns the session's end in seconds since 1970: that of the order, if Stripe allows it.
fn ends_at(expires_at: UnixMillis, now: UnixMillis) -> i64 {
    let (order, now) = (expires_at.second(), now.second());
    if (LIFE_SECONDS_MIN..=LIFE_SECONDS_MAX).contains(&order.saturating_sub(now)) {
        return order;
    }
    let life = order.saturating_sub(now).clamp(LIFE_SECONDS_MIN, LIFE_SECONDS_MAX - END_STEP_SECONDS);
    let end = now.saturating_add(life);
    end.saturating_add(END_STEP_SECONDS - 1) / END_STEP_SECONDS * END_STEP_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_with_its_order_where_stripe_allows_it_and_repetitions_have_the_same_end() {
        let at = |seconds: i64| UnixMillis::new(seconds * 1000).expect("in range");
        let now = 1_795_251_600;
        assert_eq!(ends_at(at(now + 3600), at(now)), now + 3600);
        for (life, age) in [(900, 0), (900, 1), (900, 120), (90_000, 0), (-5, 0)] {
            let end = ends_at(at(now + life), at(now + age)) - (now + age);
            assert!((30 * 60..=24 * 60 * 60).contains(&end), "{life} {age}: {end}");
        }
        assert_eq!(ends_at(at(now + 900), at(now + 1)), ends_at(at(now + 900), at(now + 500)), "repeated");
    }
}
