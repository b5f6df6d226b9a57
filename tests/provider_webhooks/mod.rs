//! Webhooks in the format and with the signatures of each provider.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firstcome::config::{Config, PaymentSettings};
use firstcome::types::hex;
use firstcome::writer::clock::wall_clock;
use serde_json::{Value, json};

/// The checksum key of the example in PayOS' documentation.
pub const PAYOS_KEY: &str = "1a54716c8f0efb2744fb28b6e38b25da7f67a925d98bc1c18bd8faaecadd7675";
pub const STRIPE_SECRET: &str = "whsec_c3RyaXBlIHNpZ25zIHdpdGggdGhpcw";
/// The second valid secret, as during a rotation.
pub const STRIPE_NEXT_SECRET: &str = "whsec_bmV4dCB5ZWFyIHdpdGggdGhpcw";
pub const STANDARD_KEY: [u8; 32] = [7; 32];
pub const STANDARD_NEXT_KEY: [u8; 32] = [8; 32];
pub const SANDBOX_KEY: [u8; 32] = [9; 32];

pub fn secret_file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, format!("{text}\n")).expect("written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("set");
    path
}

pub fn whsec(key: &[u8]) -> String {
    format!("whsec_{}", STANDARD.encode(key))
}

/// Returns settings with all providers enabled.
pub fn settings(directory: &Path) -> PaymentSettings {
    let file = |name: &str, text: &str| secret_file(directory, name, text);
    PaymentSettings {
        sandbox: true,
        sandbox_secret_files: vec![file("sandbox", &whsec(&SANDBOX_KEY))],
        standard_webhooks_secret_files: vec![
            file("standard", &whsec(&STANDARD_KEY)),
            file("standard-next", &whsec(&STANDARD_NEXT_KEY)),
        ],
        stripe_secret_files: vec![file("stripe", STRIPE_SECRET), file("stripe-next", STRIPE_NEXT_SECRET)],
        payos_checksum_key_files: vec![file("payos", PAYOS_KEY)],
        ..Config::defaults().payments
    }
}

pub fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    context.sign().as_ref().to_vec()
}

#[derive(Clone)]
pub struct Webhook {
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Webhook {
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Webhook {
        let value = value.into();
        let header = self.headers.iter_mut().find(|(known, _)| *known == name);
        header.expect("a header").1 = value;
        self
    }
    pub fn without(mut self, name: &str) -> Webhook {
        self.headers.retain(|(known, _)| *known != name);
        self
    }
    pub fn with_body(mut self, body: impl Into<String>) -> Webhook {
        self.body = body.into();
        self
    }
    /// Returns the header lines, without the request line.
    pub fn head(&self) -> String {
        let lines: Vec<String> = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        lines.concat()
    }
}

/// Signs as Standard Webhooks 1.0 says.
pub fn standard(key: &[u8], id: &str, at: i64, body: &str) -> Webhook {
    let timestamp = at.to_string();
    let signature = hmac(key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body.as_bytes()]);
    Webhook {
        headers: vec![
            ("Content-Type", "application/json".into()),
            ("webhook-id", id.into()),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", format!("v1,{}", STANDARD.encode(signature))),
        ],
        body: body.into(),
    }
}

/// Signs as Stripe does.
pub fn stripe(secret: &str, at: i64, body: &str) -> Webhook {
    let signature = hex::encode(&hmac(secret.as_bytes(), &[at.to_string().as_bytes(), b".", body.as_bytes()]));
    Webhook {
        headers: vec![
            ("Content-Type", "application/json; charset=utf-8".into()),
            ("Stripe-Signature", format!("t={at},v1={signature},v0={}", "0".repeat(64))),
        ],
        body: body.into(),
    }
}

/// Signs as PayOS does.
pub fn payos(data: &Value) -> Webhook {
    let sorted: std::collections::BTreeMap<&String, &Value> = data.as_object().expect("an object").iter().collect();
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    let signed: Vec<String> = sorted.into_iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
    let signature = hex::encode(&hmac(PAYOS_KEY.as_bytes(), &[signed.join("&").as_bytes()]));
    let body = json!({ "code": "00", "desc": "success", "success": true, "data": data, "signature": signature });
    Webhook { headers: vec![("Content-Type", "application/json".into())], body: body.to_string() }
}

/// Returns the wall clock in seconds.
pub fn now() -> i64 {
    wall_clock().second()
}

/// Returns the body of an event of `standard-webhooks` and `sandbox`.
pub fn event(kind: &str, order: &str, reference: &str, amount: u64, currency: &str) -> Value {
    json!({ "type": kind, "timestamp": "2026-11-21T09:00:00Z",
            "data": { "order_id": order, "reference": reference, "amount": amount, "currency": currency } })
}

/// Returns the data of the example in PayOS' documentation, with another transfer.
pub fn transfer(order_code: u64, reference: &str, amount: u64, at: &str) -> Value {
    json!({
        "orderCode": order_code, "amount": amount, "description": "VQRIO123", "accountNumber": "12345678",
        "reference": reference, "transactionDateTime": at, "currency": "VND",
        "paymentLinkId": "124c33293c43417ab7879e14c8d9eb18", "code": "00", "desc": "Thành công",
        "counterAccountBankId": null, "counterAccountBankName": "", "counterAccountName": "CTY A&B",
        "counterAccountNumber": "", "virtualAccountName": "", "virtualAccountNumber": "",
    })
}
