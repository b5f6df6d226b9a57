//! Payment links of PayOS.

use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::{ApiKey, Keys, ProviderSession, SessionError, SessionRequest, api_key};
use crate::config::{ConfigError, PaymentSettings};
use crate::payments::payos::{is_signed, sign_request};
use crate::payments::provider_api::{ApiResponse, ProviderApi};
use crate::types::instant::parse_instant;

const CLIENT_ID: HeaderName = HeaderName::from_static("x-client-id");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const JSON: &str = "application/json";
const PATH: &str = "/v2/payment-requests";
/// The most characters of a transfer's text that every bank shows.
const DESCRIPTION_CHARS: usize = 9;
/// PayOS' code for success.
const SUCCESS: &str = "00";
/// The longest time by which PayOS' clock may be behind: a link is not older than its order.
const CREATED_BEFORE_MILLIS_MAX: i64 = 5 * 60 * 1000;
/// PayOS' code for an `orderCode` that has a link already.
const EXISTS: &str = "231";

/// Creates payment links.
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
        let keys = Keys::text("payments.payos_checksum_key_files", &settings.payos_checksum_key_files).unwrap_or_else(
            |more| {
                mistakes.extend(more);
                None
            },
        );
        let api =
            ProviderApi::open(&settings.payos_url, settings.session_timeout).map_err(|mistake| mistakes.push(mistake));
        let client_id = HeaderValue::from_str(&settings.payos_client_id)
            .map_err(|_| mistakes.push(ConfigError("payments.payos_client_id: visible ASCII characters".into())));
        if keys.is_none() && mistakes.is_empty() {
            mistakes
                .push(ConfigError("payments.payos_checksum_key_files must be set: requests are signed with it".into()));
        }
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

    pub(super) async fn create(&self, request: &SessionRequest) -> Result<ProviderSession, SessionError> {
        let response = self.api.send(Method::POST, PATH, &self.headers, JSON, self.body(request)?).await?;
        let body = parse(&response);
        if body["code"] == EXISTS {
            return self.existing(request).await;
        }
        let data = self.data(&response, &body)?;
        match (data["checkoutUrl"].as_str(), data["paymentLinkId"].as_str()) {
            (Some(url), Some(id)) => ProviderSession::new(url, id),
            // The link exists, and the next request asks for it.
            _ => Err(SessionError::retry("PayOS' response has no link")),
        }
    }

    /// Cancels a link by its id or its order's number. PayOS reports one that is paid or cancelled in the body of a 200, as a
    /// code.
    pub(super) async fn close(&self, link: &str) -> Result<(), SessionError> {
        let path = format!("{PATH}/{link}/cancel");
        let body = json!({ "cancellationReason": "the order has ended" }).to_string();
        let response = self.api.send(Method::POST, &path, &self.headers, JSON, body).await?;
        let body = parse(&response);
        match body["code"].as_str() {
            Some(SUCCESS) if response.status == 200 => Ok(()),
            code => Err(response.closing_error(code, code.is_some())),
        }
    }

    /// Returns the link that an earlier request has created.
    async fn existing(&self, request: &SessionRequest) -> Result<ProviderSession, SessionError> {
        let path = format!("{PATH}/{}", number_of(request)?);
        let response = self.api.send(Method::GET, &path, &self.headers, JSON, String::new()).await?;
        let body = parse(&response);
        let data = self.data(&response, &body)?;
        let made_at = data["createdAt"].as_str().and_then(|at| parse_instant(at).ok());
        // A link from before the order is another order's, of a copy of this file.
        let is_old = made_at.is_some_and(|at| at < request.reserved_at.plus_millis(-CREATED_BEFORE_MILLIS_MAX));
        let is_ours = data["amount"].as_u64() == Some(request.amount().get()) && !is_old;
        match (data["id"].as_str(), data["status"].as_str()) {
            (Some(id), Some("PENDING" | "PROCESSING" | "UNDERPAID")) if is_ours => {
                ProviderSession::new(&format!("{}/{id}", self.checkout_url), id)
            }
            // It may be another order's, so it is not closed.
            _ => Err(SessionError::unusable("PayOS has another link for this order number; is this database a copy?")),
        }
    }

    fn body(&self, request: &SessionRequest) -> Result<String, SessionError> {
        let amount = request.amount().get();
        let order_code = number_of(request)?;
        let page = &request.page;
        let description = description(&request.code);
        let signature = sign_request(&self.keys, amount, page, description, order_code, page);
        let signature = signature.ok_or_else(|| SessionError::unusable("no checksum key"))?;
        let body = json!({
            "orderCode": order_code,
            "amount": amount,
            "description": description,
            "items": [{ "name": request.name, "quantity": request.quantity.get(), "price": request.unit_price.get() }],
            "cancelUrl": page,
            "returnUrl": page,
            "expiredAt": request.expires_at.second(),
            "signature": signature,
        });
        Ok(body.to_string())
    }

    /// Returns the data of a successful response after checking its signature: the buyer is sent to the URL in it.
    fn data<'a>(&self, response: &ApiResponse, body: &'a Value) -> Result<&'a Value, SessionError> {
        if response.status != 200 || body["code"] != SUCCESS {
            let reason = body["code"].as_str().or(body["desc"].as_str());
            return Err(response.session_error(reason, reason.is_some()));
        }
        let data = &body["data"];
        let signed = body["signature"].as_str().is_some_and(|signature| is_signed(&self.keys, data, signature));
        // An answer of something between is not signed either.
        if signed { Ok(data) } else { Err(SessionError::retry("PayOS' response is not signed with the checksum key")) }
    }
}

/// Returns an order's number at PayOS.
pub(super) fn number_of(request: &SessionRequest) -> Result<u64, SessionError> {
    request.number.ok_or_else(|| SessionError::unusable("the order's number is above 2^37"))
}

/// Returns the text of the transfer, of which banks show at least nine characters: a code, without `FC` if it is longer.
fn description(code: &str) -> &str {
    if code.len() > DESCRIPTION_CHARS { code.strip_prefix("FC").unwrap_or(code) } else { code }
}

fn parse(response: &ApiResponse) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_default()
}

fn secret(key: &ApiKey) -> HeaderValue {
    let mut value = HeaderValue::from_str(key.secret()).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::description;
    use crate::types::order_id::{code_of, order_of_code};
    use crate::types::{Seq, Shard};

    #[test]
    fn a_transfers_text_is_a_code_that_banks_show_whole_and_that_names_its_order() {
        for (shard, seq, text) in [(0, 12_345, "FCC1SM"), (3, 12_345, "FC3UC1SQ"), (200, 12_345_678, "68UBRRAEV")] {
            let order = (Shard::new(shard), Seq::new(seq).expect("in range"));
            let code = code_of(order.0, order.1).replace('-', "");
            assert_eq!(description(&code), text);
            assert_eq!(order_of_code(text), Some(order));
        }
    }
}
