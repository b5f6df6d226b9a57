//! Stripe's refunds.

use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde_json::Value;

use super::{ProviderRefund, RefundError, RefundRequest, RefundStatus};
use crate::config::{ConfigError, PaymentSettings};
use crate::payments::accepted_amounts::{from_stripe, to_stripe};
use crate::payments::provider_api::{ApiResponse, ProviderApi};
use crate::payments::provider_event::REFERENCE_BYTES_MAX;
use crate::payments::secrets::ApiKey;
use crate::payments::sessions::api_key;
use crate::read::refunds::DuePayment;
use crate::types::{Amount, Currency};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const FORM: &str = "application/x-www-form-urlencoded";
const PATH: &str = "/v1/refunds";
/// The member of a refund's metadata that names our request. `order_id` is not used: events of refunds are found by their
/// payment.
const METADATA_KEY: &str = "firstcome_refund";
/// The most refunds that Stripe lists at once. A payment with more is left to the operator.
const LISTED_MAX: usize = 100;

pub(super) struct StripeRefunds {
    api: ProviderApi,
    key: ApiKey,
}

impl StripeRefunds {
    pub(super) fn open(settings: &PaymentSettings) -> Result<StripeRefunds, Vec<ConfigError>> {
        let key = api_key(settings.stripe_api_key_file.as_ref(), "payments.stripe_api_key_file");
        match (key, ProviderApi::open(&settings.stripe_url, settings.session_timeout)) {
            (Ok(key), Ok(api)) => Ok(StripeRefunds { api, key }),
            (key, api) => Err(key.err().into_iter().chain(api.err()).collect()),
        }
    }

    pub(super) async fn refunds_of(&self, payment: &DuePayment) -> Result<Vec<ProviderRefund>, RefundError> {
        let query = [("payment_intent", &*payment.reference), ("limit", "100")];
        let query = serde_html_form::to_string(query).map_err(|error| RefundError::GivenUp(error.to_string()))?;
        let path = format!("{PATH}?{query}");
        let response = self.api.send(Method::GET, &path, &[self.authorization()], FORM, String::new()).await?;
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        if response.status != 200 {
            return Err(error(&response, &body));
        }
        let strange = || RefundError::retry("Stripe's list of refunds is not one");
        let listed = body["data"].as_array().ok_or_else(strange)?;
        if body["has_more"] != false || listed.len() >= LISTED_MAX {
            return Err(RefundError::GivenUp("the payment has too many refunds at Stripe".into()));
        }
        let refunds = listed.iter().rev().map(|refund| parse(refund, payment)).collect::<Option<Vec<_>>>();
        refunds.ok_or_else(strange)
    }

    pub(super) async fn request(
        &self,
        payment: &DuePayment,
        request: &RefundRequest,
    ) -> Result<ProviderRefund, RefundError> {
        let form = form(payment, request)?;
        let headers = [self.authorization(), (IDEMPOTENCY_KEY, secret(&request.key))];
        let response = self.api.send(Method::POST, PATH, &headers, FORM, form).await?;
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        if response.status != 200 {
            return Err(error(&response, &body));
        }
        parse(&body, payment).ok_or_else(|| RefundError::retry("Stripe's answer is not a refund of this payment"))
    }

    fn authorization(&self) -> (HeaderName, HeaderValue) {
        (AUTHORIZATION, secret(&format!("Bearer {}", self.key.secret())))
    }
}

/// Returns the request's form. The reason is the same in every request, so that a repeat is.
fn form(payment: &DuePayment, request: &RefundRequest) -> Result<String, RefundError> {
    let amount = to_stripe(request.amount, payment.currency)
        .ok_or_else(|| RefundError::GivenUp("Stripe cannot represent this amount".into()))?;
    let fields = [
        ("payment_intent", payment.reference.to_string()),
        ("amount", amount.to_string()),
        ("reason", "requested_by_customer".into()),
        ("metadata[firstcome_order]", payment.order_id.to_string()),
        ("metadata[firstcome_refund]", request.key.clone()),
    ];
    serde_html_form::to_string(fields).map_err(|error| RefundError::GivenUp(error.to_string()))
}

/// Returns a refund of this payment; `None` for anything else.
fn parse(refund: &Value, payment: &DuePayment) -> Option<ProviderRefund> {
    let id = refund["id"]
        .as_str()
        .filter(|id| (1..=REFERENCE_BYTES_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()))?;
    let currency = refund["currency"].as_str()?.to_ascii_uppercase();
    let is_of_payment = refund["payment_intent"] == *payment.reference && currency == payment.currency.as_str();
    let status = match refund["status"].as_str()? {
        "succeeded" => RefundStatus::Succeeded,
        "pending" | "requires_action" => RefundStatus::Pending,
        "failed" | "canceled" => RefundStatus::Failed,
        _ => return None,
    };
    let amount = amount_of(refund["amount"].as_u64()?, payment.currency)?;
    let is_ours = refund["metadata"][METADATA_KEY].as_str().is_some_and(|key| key.starts_with("firstcome-refund-"));
    is_of_payment.then(|| ProviderRefund { id: id.into(), amount, status, is_ours })
}

fn amount_of(units: u64, currency: Currency) -> Option<Amount> {
    from_stripe(Amount::new(units)?, currency)
}

/// Returns the error of a response that is no refund. Stripe's own error about the refund is for good: its code says why.
/// Any other answer is repeated: about the key (401, 403), the limits, the state of Stripe, or of something between. Only
/// the error's code or type is logged: its message may repeat data of the request.
fn error(response: &ApiResponse, body: &Value) -> RefundError {
    let (code, class) = (body["error"]["code"].as_str(), body["error"]["type"].as_str());
    let reason = response.detail(code.or(class));
    // Stripe keeps the first answer to a key for a day, an error too: whatever mended it since, the key must be forgotten first.
    // So it does where the amount has changed since a request whose outcome it keeps.
    if response.is_replayed || (response.status == 400 && class == Some("idempotency_error")) {
        return RefundError::Replayed(reason);
    }
    if matches!(class, Some("invalid_request_error" | "card_error")) && matches!(response.status, 400 | 402 | 404 | 422)
    {
        return RefundError::GivenUp(reason);
    }
    RefundError::Retry { reason, retry_after: response.retry_after }
}

fn secret(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_stripes_own_error_about_the_refund_gives_it_up() {
        // Status and type of Stripe's error, and whether the refund is given up.
        for (status, class, is_given_up) in [
            (400, Some("invalid_request_error"), true),
            (402, Some("card_error"), true),
            (404, Some("invalid_request_error"), true),
            (422, Some("invalid_request_error"), true),
            (400, Some("idempotency_error"), false),
            (409, Some("idempotency_error"), false),
            (401, Some("invalid_request_error"), false),
            (403, Some("invalid_request_error"), false),
            (429, Some("rate_limit_error"), false),
            (429, Some("invalid_request_error"), false),
            (402, Some("api_error"), false),
            (500, Some("api_error"), false),
            (400, None, false),
            (404, None, false),
            (302, None, false),
        ] {
            let body = json!({ "error": { "type": class } });
            let mut response = ApiResponse::of(status, body.to_string());
            let answer = error(&response, &body);
            assert_eq!(matches!(answer, RefundError::GivenUp(_)), is_given_up, "{status} {body}");
            let waits = status == 400 && class == Some("idempotency_error");
            assert_eq!(matches!(answer, RefundError::Replayed(_)), waits, "{status} {body}");
            response.is_replayed = true;
            let answer = error(&response, &body);
            assert!(matches!(answer, RefundError::Replayed(_)), "{status} {body}, replayed");
        }
    }
}
