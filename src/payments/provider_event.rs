//! What a provider's webhook says, in words that all providers share.

use hyper::header::{HeaderMap, HeaderName};

use crate::types::{Amount, Currency, OrderId, ProviderEventKind, Seq, UnixMillis};

/// The longest id of a provider's event, in bytes.
pub const EVENT_ID_BYTES_MAX: usize = 255;
/// The longest reference of a payment, in bytes.
pub const REFERENCE_BYTES_MAX: usize = 255;

/// A webhook as it came.
pub struct WebhookRequest<'a> {
    /// The body, to the byte.
    pub body: &'a [u8],
    /// The headers.
    pub headers: &'a HeaderMap,
    /// When it came.
    pub now: UnixMillis,
}

impl WebhookRequest<'_> {
    /// A header that must be there once. Of two nobody knows which one was signed.
    pub(super) fn header(&self, name: &HeaderName, bytes_max: usize) -> Result<&str, WebhookError> {
        let mut values = self.headers.get_all(name).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Err(WebhookError::Unauthorized) };
        let text = value.to_str().map_err(|_| WebhookError::Unauthorized)?;
        if text.len() <= bytes_max { Ok(text) } else { Err(WebhookError::Unauthorized) }
    }

    /// Whether an instant in seconds lies within the tolerance.
    pub(super) fn is_fresh(&self, seconds: u64) -> bool {
        let now = u64::try_from(self.now.second()).unwrap_or(0);
        now.abs_diff(seconds) <= super::TOLERANCE_SECONDS
    }
}

/// A number in a header, in the one spelling that has no sign and no zero before it.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (plain && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok())?
}

/// What happened at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderEvent {
    /// What makes the event the same one when it comes again.
    pub event_id: Box<str>,
    /// For which order.
    pub order: OrderRef,
    /// What happened.
    pub kind: ProviderEventKind,
    /// The payment's reference at the provider.
    pub reference: Box<str>,
    /// How much money it is about; not 0.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
    /// When, by the provider's clock.
    pub at: UnixMillis,
}

/// How a provider names an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderRef {
    /// By its public id, which nobody can guess.
    Id(OrderId),
    /// By its number, which means less: the money must not be older than the order.
    Seq(Seq),
    /// Not at all: by its payment, which we know by its reference.
    Payment,
    /// By something that is no order of ours.
    Unknown,
}

impl OrderRef {
    /// The order behind a text.
    pub(super) fn of(text: &str) -> OrderRef {
        OrderId::parse(text).map_or(OrderRef::Unknown, OrderRef::Id)
    }
}

/// Something in a verified body that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidField {
    /// Where: a JSON pointer.
    pub pointer: &'static str,
    /// What is allowed.
    pub detail: &'static str,
}

/// Why a delivery is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookError {
    /// There are no secrets for this provider.
    NotConfigured,
    /// No signature, or none that is good. Which of the two, nobody is told.
    Unauthorized,
    /// Signed, but too long ago, or for later.
    Stale,
    /// Signed, but not JSON.
    Malformed(String),
    /// Signed, but it does not fit.
    InvalidFields(Vec<InvalidField>),
    /// Signed and good, of a type that means nothing here, or about no order.
    Unused,
}
