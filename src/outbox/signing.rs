//! Signatures of Standard Webhooks 1.0.0: HMAC-SHA256 over `id.timestamp.body`.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::types::SigningSecret;

/// Returns the value of `webhook-signature`: one signature per secret, so that either the old or the new one verifies.
#[must_use]
pub fn signatures(secrets: &[SigningSecret], id: &str, timestamp: i64, body: &[u8]) -> String {
    secrets.iter().map(|secret| sign(secret.as_bytes(), id, timestamp, body)).collect::<Vec<_>>().join(" ")
}

fn sign(secret: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    context.update(format!("{id}.{timestamp}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vectors of the specification and of its reference libraries.
    #[test]
    fn known_messages_have_their_known_signatures() {
        let sign = |secret: &str, id: &str, timestamp: i64, body: &str| {
            super::sign(&STANDARD.decode(secret).expect("base64"), id, timestamp, body.as_bytes())
        };
        assert_eq!(
            sign(
                "plJ3nmyCDGBKInavdOK15jsl",
                "msg_loFOjxBNrRLzqYUf",
                1_731_705_121,
                r#"{"event_type":"ping","data":{"success":true}}"#
            ),
            "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="
        );
        assert_eq!(
            sign(
                "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#
            ),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn while_a_secret_is_rotated_both_sign() {
        let (old, new) = (SigningSecret::random(), SigningSecret::random());
        let both = signatures(&[new.clone(), old.clone()], "evt_1", 1, b"{}");
        let alone = |secret: &SigningSecret| signatures(std::slice::from_ref(secret), "evt_1", 1, b"{}");
        assert_eq!(both, format!("{} {}", alone(&new), alone(&old)));
    }
}
