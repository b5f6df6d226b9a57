//! Stripe's Checkout SessionService.

use aws_lc_rs::digest;
use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde_json::Value;

use super::{ApiKey, ProviderSession, SessionError, SessionRequest, api_key};
use crate::config::{ConfigError, PaymentSettings};
use crate::payments::accepted_amounts::to_stripe;
use crate::payments::provider_api::{ApiResponse, ProviderApi};
use crate::types::{Amount, UnixMillis, hex};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The type of Stripe's errors about a key: with 400 it is known with other parameters, with 409 its first request has not
/// ended.
const IDEMPOTENCY_ERROR: &str = "idempotency_error";
/// The types of Stripe's errors about the order. Others are about the key, the limits or the state of Stripe.
const ERRORS_OF_ORDER: [&str; 2] = [INVALID_REQUEST, "card_error"];
const INVALID_REQUEST: &str = "invalid_request_error";
const FORM: &str = "application/x-www-form-urlencoded";
/// Time by which a session outlives its order: Stripe's minimum life of 30 minutes, and a minute for the request. So every
/// request for an order is valid as long as the order awaits its payment, and has the same end: Stripe answers a key that
/// it knows with the session that exists, and refuses it with other parameters. A payment after the order's end is kept
/// or refunded like any late payment.
const LONGER_SECONDS: i64 = 31 * 60;
/// Stripe's maximum of 24 hours, less a minute for the request.
const LIFE_SECONDS_MAX: i64 = 24 * 60 * 60 - 60;
/// Ends are multiples of this: the times of requests to peers move by seconds while the clocks differ.
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

    pub(super) async fn create(&self, request: &SessionRequest) -> Result<ProviderSession, SessionError> {
        let ends = ends_at(request.reserved_at, request.expires_at);
        let form = form(request, ends)?;
        let key = format!("firstcome-{}-{ends}", request.id);
        let (mut response, mut body) = self.request(&key, &form).await?;
        if is_key_of_other_parameters(response.status, &body) {
            tracing::warn!(
                order = request.id.seq.get(),
                "the drop's name or public_url changed after a request for a payment session whose answer was lost: a new \
                 session is requested; the earlier one, if it exists, stays open at the provider until its end"
            );
            let digest = digest::digest(&digest::SHA256, form.as_bytes());
            let digest: String = hex::encode(digest.as_ref()).chars().take(16).collect();
            (response, body) = self.request(&format!("{key}-{digest}"), &form).await?;
        }
        match (response.status, body["url"].as_str(), body["id"].as_str()) {
            (200, Some(url), Some(id)) => ProviderSession::new(url, id),
            _ => Err(error(&response, &body)),
        }
    }

    async fn request(&self, key: &str, form: &str) -> Result<(ApiResponse, Value), SessionError> {
        let headers = [self.authorization(), (IDEMPOTENCY_KEY, secret(key))];
        let response = self.api.send(Method::POST, "/v1/checkout/sessions", &headers, FORM, form.to_string()).await?;
        let body = serde_json::from_slice(&response.body).unwrap_or_default();
        Ok((response, body))
    }

    /// Expires a session. Stripe refuses it (400) for one that is complete or expired.
    pub(super) async fn close(&self, reference: &str) -> Result<(), SessionError> {
        let path = format!("/v1/checkout/sessions/{reference}/expire");
        let response = self.api.send(Method::POST, &path, &[self.authorization()], FORM, String::new()).await?;
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        // Stripe answers with the session.
        if response.status == 200 && body.is_object() { Ok(()) } else { Err(closing_error(&response, &body)) }
    }

    fn authorization(&self) -> (HeaderName, HeaderValue) {
        (AUTHORIZATION, secret(&format!("Bearer {}", self.key.secret())))
    }
}

/// Returns whether a request had an idempotency key that Stripe knows with other parameters.
fn is_key_of_other_parameters(status: u16, body: &Value) -> bool {
    status == 400 && body["error"]["type"] == IDEMPOTENCY_ERROR
}

/// Returns the error of a response without a session. Only the error's code or type is logged: its message may repeat data
/// of the request.
fn error(response: &ApiResponse, body: &Value) -> SessionError {
    let (code, class) = (body["error"]["code"].as_str(), body["error"]["type"].as_str());
    response.session_error(code.or(class), class.is_some_and(|class| ERRORS_OF_ORDER.contains(&class)))
}

/// Returns the error of a response that does not say that a session was expired: Stripe refuses one that is complete or
/// expired, and knows none of another account.
fn closing_error(response: &ApiResponse, body: &Value) -> SessionError {
    let (code, class) = (body["error"]["code"].as_str(), body["error"]["type"].as_str());
    response.closing_error(code.or(class), class == Some(INVALID_REQUEST))
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
    let unit = unit.ok_or_else(|| SessionError::Refused("Stripe cannot represent this price".into()))?;
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
    serde_html_form::to_string(fields).map_err(|error| SessionError::unusable(error.to_string()))
}

/// Returns the end of an order's session in seconds since 1970. An order that lives longer than a day has a session of one.
fn ends_at(reserved_at: UnixMillis, expires_at: UnixMillis) -> i64 {
    let longest = reserved_at.second().saturating_add(LIFE_SECONDS_MAX - END_STEP_SECONDS);
    let end = expires_at.second().saturating_add(LONGER_SECONDS).min(longest);
    end.saturating_add(END_STEP_SECONDS - 1) / END_STEP_SECONDS * END_STEP_SECONDS
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_an_error_about_the_order_refuses_it_and_a_key_in_use_makes_no_second_session() {
        // Status, type and code of Stripe's error; whether the order is refused, and whether a new key is used.
        for (status, class, code, refuses, asks_with_new_key) in [
            (400, Some("invalid_request_error"), Some("amount_too_small"), true, false),
            (400, Some("invalid_request_error"), None, true, false),
            (402, Some("card_error"), Some("card_declined"), true, false),
            (422, Some("invalid_request_error"), None, true, false),
            (400, Some(IDEMPOTENCY_ERROR), None, false, true),
            (402, Some(IDEMPOTENCY_ERROR), None, false, false),
            (409, Some(IDEMPOTENCY_ERROR), Some("idempotency_key_in_use"), false, false),
            (422, Some(IDEMPOTENCY_ERROR), None, false, false),
            (409, Some("invalid_request_error"), None, false, false),
            (400, Some("api_error"), None, false, false),
            (402, Some("api_error"), None, false, false),
            (429, Some("rate_limit_error"), Some("rate_limit"), false, false),
            (401, Some("authentication_error"), None, false, false),
            (401, Some("invalid_request_error"), Some("api_key_expired"), false, false),
            (404, Some("invalid_request_error"), Some("resource_missing"), false, false),
            (400, None, Some("amount_too_small"), false, false),
            (400, None, None, false, false),
            (200, None, None, false, false),
            (500, Some("api_error"), None, false, false),
        ] {
            let body = json!({ "error": { "type": class, "code": code } });
            let response = ApiResponse::of(status, body.to_string());
            let is_refused = matches!(error(&response, &body), SessionError::Refused(_));
            assert_eq!(is_refused, refuses, "{status} {body}");
            assert_eq!(is_key_of_other_parameters(status, &body), asks_with_new_key, "{status} {body}");
        }
    }

    #[test]
    fn a_session_is_left_open_only_if_stripe_itself_says_that_it_cannot_be_expired() {
        // Status, type of Stripe's error, and whether the request is repeated.
        for (status, class, is_repeated) in [
            (400, Some(INVALID_REQUEST), false),
            (404, Some(INVALID_REQUEST), false),
            (400, Some("api_error"), true),
            (401, Some(INVALID_REQUEST), true),
            (403, Some(INVALID_REQUEST), true),
            (409, Some(IDEMPOTENCY_ERROR), true),
            (429, Some("rate_limit_error"), true),
            (200, None, true),
            (302, None, true),
            (400, None, true),
            (404, None, true),
            (405, None, true),
            (410, None, true),
            (500, Some("api_error"), true),
        ] {
            let body = json!({ "error": { "type": class } });
            let error = closing_error(&ApiResponse::of(status, body.to_string()), &body);
            assert_eq!(matches!(error, SessionError::Retry { .. }), is_repeated, "{status} {body}");
        }
    }

    #[test]
    fn a_sessions_end_is_the_same_for_every_request_and_within_stripes_limits() {
        let at = |seconds: i64| UnixMillis::new(seconds * 1000).expect("in range");
        let reserved = 1_795_251_600;
        for life in [60, 900, 3600, 80_000, 90_000, 400_000] {
            let end = ends_at(at(reserved), at(reserved + life));
            assert_eq!(end % END_STEP_SECONDS, 0);
            assert!(end - reserved <= 24 * 60 * 60, "{life}: a request at once");
            // Orders of about a day and more have a session of a day.
            let last = (reserved + life).min(reserved + 22 * 60 * 60);
            assert!(end - last >= 30 * 60, "{life}: a request while the order awaits its payment");
        }
        assert_eq!(
            ends_at(at(reserved), at(reserved + 900)),
            ends_at(at(reserved), at(reserved + 901)),
            "clocks differ"
        );
    }
}
