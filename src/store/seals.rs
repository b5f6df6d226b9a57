//! Check values in the details of events: they seal what is in rows only, and the key of digests itself.
//!
//! The chain covers the details, so `verify` and a start notice a row that no longer has the value of its event. A check
//! value is a keyed digest: it tells nothing of an URL, a secret or a key. Events of older files have none.

use super::audit::Columns;
use super::private_data::PrivateData;
use crate::engine::{AuctionEvent, DropEvent, EndpointEvent, Event, EventBody, PaymentEvent};
use crate::failpoints::{self, Bug};
use crate::types::{Digest, DigestKey};

/// Member for the digests of an idempotency key and of its parameters.
pub(super) const KEY_CHECK: &str = "key_check";
/// Member for the key of the file's digests.
pub(super) const DIGEST_KEY_CHECK: &str = "digest_key_check";
/// Member for a payment session's reference and URL.
pub(super) const PRIVATE_CHECK: &str = "session_check";
/// Member for an endpoint's URL.
pub(super) const URL_CHECK: &str = "url_check";
/// Member for an endpoint's secret.
pub(super) const SECRET_CHECK: &str = "secret_check";

/// Returns the check value of the key of digests.
pub(super) fn of_digest_key(key: &DigestKey) -> String {
    key.check(&[b"digest key"])
}

/// Returns the check value of a command's idempotency key and its parameters.
pub(super) fn of_command_key(key: &DigestKey, digest: &Digest, params: &Digest) -> String {
    key.check(&[b"key", &digest.0, &params.0])
}

/// Returns the check value of a payment session.
pub(super) fn of_session(key: &DigestKey, reference: &str, url: &str) -> String {
    key.check(&[b"session", reference.as_bytes(), url.as_bytes()])
}

/// Returns the check value of an endpoint's URL or secret.
pub(super) fn of_endpoint(key: &DigestKey, value: &str) -> String {
    key.check(&[b"endpoint", value.as_bytes()])
}

/// Adds the check values of an event to its detail. Events of orders and bids have none: the chain seals their rows.
pub(super) fn add(columns: &mut Columns, event: &Event, private_data: Option<&PrivateData>, key: &DigestKey) {
    let (creates, may_have) = match &event.body {
        EventBody::Order(_) | EventBody::File(_) | EventBody::Buyer(_) | EventBody::Room(_) => return,
        EventBody::Auction { event, .. } => (matches!(event, AuctionEvent::Created(_)), false),
        EventBody::Drop(event) => (matches!(event, DropEvent::Created(_)), false),
        EventBody::Endpoint { event, .. } => {
            (matches!(**event, EndpointEvent::Created(_)), matches!(**event, EndpointEvent::Patched(_)))
        }
        EventBody::Payment(event) => {
            let refund = matches!(event, PaymentEvent::Refunded(_) | PaymentEvent::RefundRequested(_));
            (false, refund || matches!(event, PaymentEvent::SessionRecorded { .. }))
        }
    };
    let Some(serde_json::Value::Object(detail)) = columns.detail.as_mut().filter(|_| creates || may_have) else {
        return;
    };
    if creates {
        detail.insert(DIGEST_KEY_CHECK.into(), of_digest_key(key).into());
    }
    if let Some(own) = event.key() {
        detail.insert(KEY_CHECK.into(), of_command_key(key, &own.digest, &own.params).into());
    }
    match private_data {
        Some(PrivateData::Seed { seed }) if failpoints::enabled(Bug::SeedToldEarly) => {
            detail.insert("seed".into(), seed.reveal().into());
        }
        Some(PrivateData::Endpoint { url, secret }) => {
            if let Some(url) = url {
                detail.insert(URL_CHECK.into(), of_endpoint(key, url.reveal()).into());
            }
            if let Some(secret) = secret {
                detail.insert(SECRET_CHECK.into(), of_endpoint(key, &secret.reveal()).into());
            }
        }
        Some(PrivateData::Session { reference, url }) => {
            detail.insert(PRIVATE_CHECK.into(), of_session(key, reference, url).into());
        }
        Some(
            PrivateData::Order { .. }
            | PrivateData::Award { .. }
            | PrivateData::Bid { .. }
            | PrivateData::BidWithContact { .. }
            | PrivateData::Contact(_)
            | PrivateData::ProviderEvent { .. }
            | PrivateData::Seed { .. }
            | PrivateData::Ticket { .. }
            | PrivateData::Tier { .. },
        )
        | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::digest_key::DIGEST_KEY_BYTES;

    #[test]
    fn a_check_value_depends_on_the_key_on_its_kind_and_on_everything_that_it_seals() {
        let (key, other) = (DigestKey::new(&[1; DIGEST_KEY_BYTES]), DigestKey::new(&[2; DIGEST_KEY_BYTES]));
        let (one, two) = (Digest([1; 16]), Digest([2; 16]));
        let values = [
            of_command_key(&key, &one, &one),
            of_command_key(&key, &one, &two),
            of_command_key(&key, &two, &one),
            of_command_key(&other, &one, &one),
            of_digest_key(&key),
            of_digest_key(&other),
            of_session(&key, "a", "b"),
            of_session(&key, "a", "c"),
            of_session(&key, "c", "b"),
            of_session(&key, "ab", ""),
            of_endpoint(&key, "a"),
            of_endpoint(&key, "b"),
        ];
        let different: std::collections::BTreeSet<&String> = values.iter().collect();
        assert_eq!(different.len(), values.len(), "{values:?}");
        assert_eq!(of_command_key(&key, &one, &two), values[1], "the same each time");
    }
}
