//! Terms of payments that the engine, the store and the HTTP API share.

use super::{Amount, Currency};

/// A payment provider. A closed set, so that it may be a label of metrics.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Provider {
    /// Payments that an operator records by hand.
    Manual,
    /// Any sender that signs as Standard Webhooks 1.0 says.
    StandardWebhooks,
    Stripe,
    Payos,
    /// Play money, for development.
    Sandbox,
}

impl Provider {
    pub const ALL: [Provider; 5] =
        [Provider::Manual, Provider::StandardWebhooks, Provider::Stripe, Provider::Payos, Provider::Sandbox];

    /// Returns its word in paths, rows and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Provider::Manual => "manual",
            Provider::StandardWebhooks => "standard-webhooks",
            Provider::Stripe => "stripe",
            Provider::Payos => "payos",
            Provider::Sandbox => "sandbox",
        }
    }

    #[must_use]
    pub fn from_word(word: &str) -> Option<Provider> {
        Provider::ALL.into_iter().find(|provider| provider.as_str() == word)
    }

    /// Parses the provider in the path of a webhook; `manual` sends none.
    #[must_use]
    pub fn from_path(word: &str) -> Option<Provider> {
        Provider::from_word(word).filter(|provider| *provider != Provider::Manual)
    }
}

/// A payment as its provider reports it, identified by `(provider, reference)`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceivedPayment {
    pub provider: Provider,
    pub reference: Box<str>,
    pub amount: Amount,
    /// The currency, if it is not that of the drop.
    pub foreign: Option<Currency>,
}

/// The state of a payment's automatic refund.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AutomaticRefund {
    /// The provider has not finished it.
    Pending,
    /// The last attempt failed for this reason; another one follows.
    Retried(String),
    /// Left to an operator, for this reason.
    GivenUp(String),
}

impl AutomaticRefund {
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            AutomaticRefund::Pending => "pending",
            AutomaticRefund::Retried(_) => "retried",
            AutomaticRefund::GivenUp(_) => "given_up",
        }
    }

    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            AutomaticRefund::Pending => None,
            AutomaticRefund::Retried(reason) | AutomaticRefund::GivenUp(reason) => Some(reason),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProviderEventKind {
    PaymentSucceeded,
    PaymentFailed,
    RefundSucceeded,
    /// A refund that had succeeded did not reach the buyer.
    RefundFailed,
    /// The buyer's bank reclaims the payment; the dispute is between the shop and its provider.
    ChargebackCreated,
}

impl ProviderEventKind {
    pub const ALL: [ProviderEventKind; 5] = [
        ProviderEventKind::PaymentSucceeded,
        ProviderEventKind::PaymentFailed,
        ProviderEventKind::RefundSucceeded,
        ProviderEventKind::RefundFailed,
        ProviderEventKind::ChargebackCreated,
    ];

    /// Returns its word in bodies of `standard-webhooks`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ProviderEventKind::PaymentSucceeded => "payment.succeeded",
            ProviderEventKind::PaymentFailed => "payment.failed",
            ProviderEventKind::RefundSucceeded => "refund.succeeded",
            ProviderEventKind::RefundFailed => "refund.failed",
            ProviderEventKind::ChargebackCreated => "chargeback.created",
        }
    }

    #[must_use]
    pub fn from_word(word: &str) -> Option<ProviderEventKind> {
        ProviderEventKind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// The effect of a provider's event when it was first recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    Applied,
    /// The event is recorded, but changes nothing.
    Ignored(IgnoredReason),
}

/// The reason why a provider's event changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IgnoredReason {
    /// The event names no order of this server.
    UnknownOrder,
    /// The payment is recorded already.
    PaymentKnown,
    /// A payment failed for an order that awaits none.
    NotAwaited,
    /// The order has no payment with this reference. A refund or a chargeback waits for it.
    UnknownPayment,
    /// The currency is not that of the payment.
    CurrencyDiffers,
    /// Refunds would exceed the amount received. A refund that is not larger than it waits for room.
    ExceedsReceived,
    /// The order has `PAYMENTS_PER_ORDER_MAX` payments already, which indicates a faulty sender.
    TooManyPayments,
    /// A refund failed that was not reported as successful.
    UnknownRefund,
    /// With this payment the order's payments would sum up to 2^53 or more.
    TotalTooLarge,
}

impl IgnoredReason {
    pub const ALL: [IgnoredReason; 9] = [
        IgnoredReason::UnknownOrder,
        IgnoredReason::PaymentKnown,
        IgnoredReason::NotAwaited,
        IgnoredReason::UnknownPayment,
        IgnoredReason::CurrencyDiffers,
        IgnoredReason::ExceedsReceived,
        IgnoredReason::TooManyPayments,
        IgnoredReason::UnknownRefund,
        IgnoredReason::TotalTooLarge,
    ];

    /// Returns its word in responses and rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            IgnoredReason::UnknownOrder => "unknown-order",
            IgnoredReason::PaymentKnown => "payment-known",
            IgnoredReason::NotAwaited => "not-awaited",
            IgnoredReason::UnknownPayment => "unknown-payment",
            IgnoredReason::CurrencyDiffers => "currency-differs",
            IgnoredReason::ExceedsReceived => "exceeds-received",
            IgnoredReason::TooManyPayments => "too-many-payments",
            IgnoredReason::UnknownRefund => "unknown-refund",
            IgnoredReason::TotalTooLarge => "total-too-large",
        }
    }
}

/// The reason why a payment is owed back at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotKeptReason {
    /// Amount or currency is not that of the order.
    Differs,
    /// The order has been paid or refunded already.
    PaidBefore,
    /// The order was cancelled.
    Cancelled,
    /// The order had expired, and its drop is not on sale: ended, not started, or paused by the auditor.
    DropClosed,
    /// The order had expired, and the buyer has reached the limit of the drop.
    LimitReached,
    /// The order had expired, and its units are sold.
    SoldOut,
}

impl NotKeptReason {
    pub const ALL: [NotKeptReason; 6] = [
        NotKeptReason::Differs,
        NotKeptReason::PaidBefore,
        NotKeptReason::Cancelled,
        NotKeptReason::DropClosed,
        NotKeptReason::LimitReached,
        NotKeptReason::SoldOut,
    ];

    /// Returns its word in the audit.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            NotKeptReason::Differs => "differs",
            NotKeptReason::PaidBefore => "paid_before",
            NotKeptReason::Cancelled => "cancelled",
            NotKeptReason::DropClosed => "drop_closed",
            NotKeptReason::LimitReached => "limit_reached",
            NotKeptReason::SoldOut => "sold_out",
        }
    }
}
