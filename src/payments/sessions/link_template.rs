//! Signed payment links, for providers whose payment page takes all data of the order from its URL.
//!
//! No request is sent: the URL is made from the template `payments.link_template`, and signed with the first secret of
//! `payments.standard_webhooks_secret_files`.

use std::fmt::Write as _;

use super::{Keys, ProviderSession, SessionError, SessionRequest, is_link};
use crate::config::{ConfigError, PaymentSettings};
use crate::types::hex;

/// The placeholders of a template.
const PLACEHOLDERS: [&str; 7] = ["order_id", "seq", "amount", "currency", "expires_at", "return_url", "signature"];

/// A template, and the keys that sign its links.
pub(super) struct LinkTemplate {
    template: Box<str>,
    keys: Keys,
}

impl LinkTemplate {
    pub(super) fn open(settings: &PaymentSettings) -> Result<LinkTemplate, Vec<ConfigError>> {
        let mut mistakes = template_mistakes(&settings.link_template);
        let keys = Keys::standard("payments.standard_webhooks_secret_files", &settings.standard_webhooks_secret_files)
            .unwrap_or_else(|more| {
                mistakes.extend(more);
                None
            });
        match keys {
            Some(keys) if mistakes.is_empty() => {
                Ok(LinkTemplate { template: settings.link_template.as_str().into(), keys })
            }
            _ => Err(mistakes),
        }
    }

    /// Returns the payment link of an order. The signature is the HMAC-SHA256, in hex, of
    /// `order_id.amount.currency.expires_at.return_url`.
    pub(super) fn create(&self, request: &SessionRequest) -> Result<ProviderSession, SessionError> {
        let (id, amount, currency) = (request.id.to_string(), request.amount().get(), request.currency.as_str());
        let expires_at = request.expires_at.second();
        let signed = format!("{id}.{amount}.{currency}.{expires_at}.{}", request.page);
        let signature = self.keys.sign(&[signed.as_bytes()]);
        let signature = signature.ok_or_else(|| SessionError::unusable("no secret to sign with"))?;
        let url = self
            .template
            .replace("{order_id}", &id)
            .replace("{seq}", &request.id.seq.to_string())
            .replace("{amount}", &amount.to_string())
            .replace("{currency}", currency)
            .replace("{expires_at}", &expires_at.to_string())
            .replace("{return_url}", &percent_encoded(&request.page))
            .replace("{signature}", &hex::encode(signature.as_ref()));
        ProviderSession::new(&url, &id)
    }
}

/// Returns unknown placeholders, required ones that are missing, and a URL to which no buyer would be sent.
fn template_mistakes(template: &str) -> Vec<ConfigError> {
    let mut mistakes = Vec::new();
    for part in template.split('{').skip(1) {
        let word = part.split('}').next().unwrap_or_default();
        if !PLACEHOLDERS.contains(&word) {
            let known = PLACEHOLDERS.join(", ");
            mistakes.push(ConfigError(format!("payments.link_template: {{{word}}} is unknown; use {known}")));
        }
    }
    if !is_link(template) {
        mistakes.push(ConfigError("payments.link_template: a URL that begins with https://, of visible ASCII".into()));
    }
    if !template.contains("{signature}") || !template.contains("{order_id}") {
        mistakes.push(ConfigError("payments.link_template: needs {order_id} and {signature}".into()));
    }
    mistakes
}

/// Percent-encodes a value of a query: all but the unreserved characters of RFC 3986.
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a `String` never fails.
            let _done = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Currency, OrderId, Quantity, UnitPrice, UnixMillis};

    fn link(template: &str) -> LinkTemplate {
        LinkTemplate { template: template.into(), keys: Keys::of(&[b"a key of at least some bytes"]) }
    }

    #[test]
    fn a_link_has_the_orders_data_and_is_signed() {
        let request = SessionRequest {
            code: "FC42D".into(),
            number: None,
            reserved_at: UnixMillis::ZERO,
            id: OrderId::parse("00000000-0002-867d-b443-c4f68973857b").expect("an id"),
            page: "https://shop.example/pay/x?y=1".into(),
            name: "N".into(),
            quantity: Quantity::new(2).expect("not 0"),
            unit_price: UnitPrice::new(1500).expect("a price"),
            currency: Currency::new("EUR").expect("a currency"),
            expires_at: UnixMillis::new(1_800_000_000_999).expect("in range"),
        };
        let template =
            "https://pay.example/{seq}?o={order_id}&a={amount}{currency}&e={expires_at}&r={return_url}&s={signature}";
        let made = link(template).create(&request).expect("made");
        let (unsigned, signature) = made.url.rsplit_once("&s=").expect("signed");
        assert_eq!(
            unsigned,
            "https://pay.example/2?o=00000000-0002-867d-b443-c4f68973857b&a=3000EUR&e=1800000000&r=https%3A%2F%2Fshop.example%2Fpay%2Fx%3Fy%3D1"
        );
        assert_eq!(signature.len(), 64);
        let other = SessionRequest { unit_price: UnitPrice::new(1501).expect("a price"), ..request.clone() };
        assert!(
            !link(template).create(&other).expect("made").url.contains(signature),
            "another amount, another signature"
        );
        assert!(link("http://pay.example/{order_id}{signature}").create(&request).is_err(), "HTTPS only");
    }

    #[test]
    fn a_template_needs_known_placeholders_and_a_signature() {
        assert_eq!(template_mistakes("https://p.example/{order_id}/{signature}"), []);
        let mistakes = template_mistakes("https://p.example/{order}/{signature");
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        for wrong in ["http://p.example", "http://127.0.0.1.p.example", "https://p.example/a b", "//p", "https://p/ü"]
        {
            assert_eq!(template_mistakes(&format!("{wrong}/{{order_id}}{{signature}}")).len(), 1, "{wrong}");
        }
        for right in ["https://p.example", "http://127.0.0.1:7", "http://localhost", "http://[::1]:7"] {
            assert_eq!(template_mistakes(&format!("{right}/{{order_id}}{{signature}}")), [], "{right}");
        }
    }
}
