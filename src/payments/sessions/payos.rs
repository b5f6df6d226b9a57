//! PayOS' payment requests.

use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::api::{ApiResponse, ProviderApi};
use super::{ApiKey, Keys, ProviderSession, SessionError, SessionRequest, api_key};
use crate::config::{ConfigError, PaymentSettings};
use crate::payments::payos::{is_signed, sign_request};
use crate::types::order_id::code_of;

const CLIENT_ID: HeaderName = HeaderName::from_static("x-client-id");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const JSON: &str = "application/json";
const PATH: &str = "/v2/payment-requests";
/// PayOS' code of a good end.
const GOOD: &str = "00";
/// PayOS' code for an `orderCode` that it has a link for.
const EXISTS: &str = "231";

/// The way to PayOS.
pub(super) struct PayosSessions {
    api: ProviderApi,
    keys: Keys,
    headers: [(HeaderName, HeaderValue); 2],
    checkout_url: Box<str>,
}

impl PayosSessions {
    pub(super) fn open(settings: &PaymentSettings) -> Result<PayosSessions, Vec<ConfigError>> {
        let mut mistakes = Vec::new();
        let api_key = api_key(settings.payos_api_key_file.as_ref(), "payments.payos_api_key_file")
            .map_err(|mistake| mistakes.push(mistake));
        let keys = Keys::text(&settings.payos_checksum_key_files).unwrap_or_else(|more| {
            mistakes.extend(more);
            None
        });
        let api =
            ProviderApi::open(&settings.payos_url, settings.session_timeout).map_err(|mistake| mistakes.push(mistake));
        let client_id = HeaderValue::from_str(&settings.payos_client_id)
            .map_err(|_| mistakes.push(ConfigError("payments.payos_client_id: visible ASCII characters".into())));
        match (api_key, keys, api, client_id) {
            (Ok(api_key), Some(keys), Ok(api), Ok(client_id)) => Ok(PayosSessions {
                api,
                keys,
                headers: [(CLIENT_ID, client_id), (API_KEY, secret(&api_key))],
                checkout_url: settings.payos_checkout_url.as_str().into(),
            }),
            _ => Err(mistakes),
        }
    }

    pub(super) async fn make(&self, wanted: &SessionRequest) -> Result<ProviderSession, SessionError> {
        if wanted.currency.as_str() != "VND" {
            return Err(SessionError::Permanent("PayOS takes VND only".into()));
        }
        let answer = self.api.ask(Method::POST, PATH, &self.headers, JSON, self.body(wanted)?).await?;
        let body = parse(&answer);
        if body["code"] == EXISTS {
            return self.made_before(wanted).await;
        }
        let data = self.data(&answer, &body)?;
        match (data["checkoutUrl"].as_str(), data["paymentLinkId"].as_str()) {
            (Some(url), Some(id)) => ProviderSession::of(url, id),
            _ => Err(SessionError::Permanent("PayOS' answer has no link".into())),
        }
    }

    /// A link that PayOS made, and whose answer was lost.
    async fn made_before(&self, wanted: &SessionRequest) -> Result<ProviderSession, SessionError> {
        let path = format!("{PATH}/{}", wanted.id.seq);
        let answer = self.api.ask(Method::GET, &path, &self.headers, JSON, String::new()).await?;
        let body = parse(&answer);
        let data = self.data(&answer, &body)?;
        let is_ours = data["amount"].as_u64() == Some(wanted.amount().get());
        match (data["id"].as_str(), data["status"].as_str()) {
            (Some(id), Some("PENDING" | "PROCESSING" | "UNDERPAID" | "PAID")) if is_ours => {
                ProviderSession::of(&format!("{}/{id}", self.checkout_url), id)
            }
            _ => Err(SessionError::Permanent("PayOS has another link under this number: is this file a copy?".into())),
        }
    }

    fn body(&self, wanted: &SessionRequest) -> Result<String, SessionError> {
        let (amount, order_code) = (wanted.amount().get(), wanted.id.seq.get());
        let page = &wanted.page;
        // Nine characters are sure to be shown in a bank's list: an order's code without its hyphen.
        let description = code_of(wanted.id.seq).replace('-', "");
        let signature = sign_request(&self.keys, amount, page, &description, order_code, page);
        let signature = signature.ok_or_else(|| SessionError::Permanent("there is no checksum key".into()))?;
        let body = json!({
            "orderCode": order_code,
            "amount": amount,
            "description": description,
            "items": [{ "name": wanted.name, "quantity": wanted.quantity.get(), "price": wanted.unit_price.get() }],
            "cancelUrl": page,
            "returnUrl": page,
            "expiredAt": wanted.expires_at.second(),
            "signature": signature,
        });
        Ok(body.to_string())
    }

    /// The data of a good answer, which PayOS has signed: a buyer is sent where it says.
    fn data<'a>(&self, answer: &ApiResponse, body: &'a Value) -> Result<&'a Value, SessionError> {
        if answer.status != 200 || body["code"] != GOOD {
            return Err(answer.no_session(body["code"].as_str().or(body["desc"].as_str())));
        }
        let data = &body["data"];
        let signed = body["signature"].as_str().is_some_and(|signature| is_signed(&self.keys, data, signature));
        if signed {
            Ok(data)
        } else {
            Err(SessionError::Permanent("PayOS' answer is not signed with the checksum key".into()))
        }
    }
}

fn parse(answer: &ApiResponse) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

fn secret(key: &ApiKey) -> HeaderValue {
    let mut value = HeaderValue::from_str(key.secret()).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}
