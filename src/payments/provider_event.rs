//! The provider-neutral form of a webhook, and the reasons for which a webhook is not accepted.

use hyper::header::{HeaderMap, HeaderName};

use crate::types::shard::NumberedOrder;
use crate::types::{Amount, Currency, OrderId, ProviderEventKind, UnixMillis};

/// The longest id of a provider's event, in bytes.
pub const EVENT_ID_BYTES_MAX: usize = 255;
/// The longest reference of a payment, in bytes.
pub const REFERENCE_BYTES_MAX: usize = 255;

/// A webhook as received.
pub struct WebhookRequest<'a> {
    /// The exact bytes of the body, which are signed.
    pub body: &'a [u8],
    pub headers: &'a HeaderMap,
    /// The time of its arrival by the wall clock.
    pub now: UnixMillis,
}

impl WebhookRequest<'_> {
    /// Returns a header that must occur exactly once: of two it is unknown which one was signed.
    pub(super) fn header(&self, name: &HeaderName, bytes_max: usize) -> Result<&str, WebhookError> {
        let mut values = self.headers.get_all(name).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Err(WebhookError::Unauthorized) };
        let text = value.to_str().map_err(|_| WebhookError::Unauthorized)?;
        if text.len() <= bytes_max { Ok(text) } else { Err(WebhookError::Unauthorized) }
    }

    /// Returns true if a Unix time in seconds lies within the tolerance.
    pub(super) fn is_fresh(&self, seconds: u64) -> bool {
        let now = u64::try_from(self.now.second()).unwrap_or(0);
        now.abs_diff(seconds) <= super::TOLERANCE_SECONDS
    }
}

/// Parses a number of a header in its only accepted spelling: without sign and leading zeros.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (plain && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok())?
}

/// An event at the provider, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderEvent {
    /// Identifies repetitions of the event.
    pub event_id: Box<str>,
    pub order: OrderRef,
    pub kind: ProviderEventKind,
    /// The payment's reference at the provider.
    pub reference: Box<str>,
    /// The amount of money; never 0.
    pub amount: Amount,
    pub currency: Currency,
    /// The time by the provider's clock.
    pub at: UnixMillis,
    /// The event id with which the opposite is reported: the failure of a refund that succeeded, or the success of one
    /// that failed.
    pub counterpart: Option<Box<str>>,
}

/// Returns the id of the event that reports the failure of a refund. Ids of Standard Webhooks have no dot.
pub(super) fn failure_of(refund: &str) -> Box<str> {
    format!("{refund}.failed").into()
}

/// The order that a provider's event names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderRef {
    /// The public id, which cannot be guessed.
    Id(OrderId),
    /// The number, which can be guessed and may be of another file: the session or the time must fit the order.
    Number {
        order: NumberedOrder,
        /// The provider's id of the session that was paid.
        session: Option<Box<str>>,
    },
    /// No order is named; it is found by the payment's reference.
    Payment,
    /// The text names no order of this server.
    Unknown,
}

impl OrderRef {
    /// Parses the public id of an order.
    pub(super) fn parse(text: &str) -> OrderRef {
        OrderId::parse(text).map_or(OrderRef::Unknown, OrderRef::Id)
    }
}

/// A missing or invalid field of a verified body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidField {
    /// JSON pointer to the field.
    pub pointer: &'static str,
    /// The values that are allowed.
    pub detail: &'static str,
}

/// The reason why a webhook is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookError {
    /// The provider has no secrets.
    NotConfigured,
    /// The signature is missing or invalid. The response does not say which of the two.
    Unauthorized,
    /// The signature is valid, but its time is outside the tolerance.
    Stale,
    /// The signature is valid, but the body is not JSON.
    Malformed(String),
    /// The signature is valid, but fields are missing or invalid.
    InvalidFields(Vec<InvalidField>),
    /// Valid, but of a type without meaning here, or about no order.
    Unused,
}
