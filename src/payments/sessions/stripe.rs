//! Stripe's Checkout SessionService.

use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde_json::Value;

use super::api::ProviderApi;
use super::{ApiKey, ProviderSession, SessionError, SessionRequest, api_key};
use crate::config::{ConfigError, PaymentSettings};
use crate::payments::stripe::to_stripe;
use crate::types::{Amount, UnixMillis};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const FORM: &str = "application/x-www-form-urlencoded";
/// A session lives 30 minutes at least, however soon its order expires; what is paid after that comes late, and is
/// taken or given back like any late payment. One more minute for the way.
const LIFE_SECONDS_MIN: i64 = 31 * 60;
/// And 24 hours at most.
const LIFE_SECONDS_MAX: i64 = 24 * 60 * 60 - 60;
/// Ends are whole multiples of this, so that a request that is sent again says the same: the same key with another end
/// would be refused.
const ENDS_EVERY_SECONDS: i64 = 10 * 60;

/// The way to Stripe.
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

    pub(super) async fn make(&self, wanted: &SessionRequest, now: UnixMillis) -> Result<ProviderSession, SessionError> {
        let ends = ends_at(wanted.expires_at, now);
        let form = form(wanted, ends)?;
        let secret = |text: String| {
            let mut value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
            value.set_sensitive(true);
            value
        };
        let headers = [
            (AUTHORIZATION, secret(format!("Bearer {}", self.key.secret()))),
            (IDEMPOTENCY_KEY, secret(format!("firstcome-{}-{ends}", wanted.id))),
        ];
        let answer = self.api.ask(Method::POST, "/v1/checkout/sessions", &headers, FORM, form).await?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match (answer.status, body["url"].as_str(), body["id"].as_str()) {
            (200, Some(url), Some(id)) => ProviderSession::of(url, id),
            // What Stripe calls the kind of an error; its message may repeat what we sent.
            _ => Err(answer.no_session(body["error"]["code"].as_str().or(body["error"]["type"].as_str()))),
        }
    }
}

/// The request. Its metadata is how an event finds its order: on the session, and on its payment intent.
fn form(wanted: &SessionRequest, ends: i64) -> Result<String, SessionError> {
    let (id, page) = (wanted.id.to_string(), &wanted.page);
    let unit = Amount::new(wanted.unit_price.get()).and_then(|unit| to_stripe(unit, wanted.currency));
    let unit = unit.ok_or_else(|| SessionError::Permanent("Stripe has no unit for this price".into()))?;
    let fields = [
        ("mode", "payment".into()),
        ("client_reference_id", id.clone()),
        ("metadata[order_id]", id.clone()),
        ("payment_intent_data[metadata][order_id]", id),
        ("line_items[0][quantity]", wanted.quantity.get().to_string()),
        ("line_items[0][price_data][currency]", wanted.currency.as_str().to_ascii_lowercase()),
        ("line_items[0][price_data][unit_amount]", unit.to_string()),
        ("line_items[0][price_data][product_data][name]", wanted.name.clone()),
        ("expires_at", ends.to_string()),
        ("success_url", page.clone()),
        ("cancel_url", page.clone()),
    ];
    serde_html_form::to_string(fields).map_err(|error| SessionError::Permanent(error.to_string()))
}

/// When the session ends, in seconds since 1970: with the order where Stripe allows it.
fn ends_at(expires_at: UnixMillis, now: UnixMillis) -> i64 {
    let (order, now) = (expires_at.second(), now.second());
    if (LIFE_SECONDS_MIN..=LIFE_SECONDS_MAX).contains(&order.saturating_sub(now)) {
        return order;
    }
    let life = order.saturating_sub(now).clamp(LIFE_SECONDS_MIN, LIFE_SECONDS_MAX - ENDS_EVERY_SECONDS);
    let end = now.saturating_add(life);
    end.saturating_add(ENDS_EVERY_SECONDS - 1) / ENDS_EVERY_SECONDS * ENDS_EVERY_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_with_its_order_where_stripe_allows_it_and_says_the_same_when_it_is_sent_again() {
        let at = |seconds: i64| UnixMillis::new(seconds * 1000).expect("in range");
        let now = 1_795_251_600;
        assert_eq!(ends_at(at(now + 3600), at(now)), now + 3600);
        for (life, age) in [(900, 0), (900, 1), (900, 120), (90_000, 0), (-5, 0)] {
            let end = ends_at(at(now + life), at(now + age)) - (now + age);
            assert!((30 * 60..=24 * 60 * 60).contains(&end), "{life} {age}: {end}");
        }
        assert_eq!(ends_at(at(now + 900), at(now + 1)), ends_at(at(now + 900), at(now + 500)), "sent again");
    }
}
