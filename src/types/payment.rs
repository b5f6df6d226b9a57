//! Words of payments that the engine, the store and the edge share.

use super::{Amount, Currency};

/// Who takes the money. A closed set, so that it may be a label.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Provider {
    /// An operator saw it come in.
    Manual,
    /// Anybody who signs as Standard Webhooks has it.
    StandardWebhooks,
    /// Stripe.
    Stripe,
    /// PayOS.
    Payos,
    /// Play money, for development.
    Sandbox,
}

impl Provider {
    /// All of them.
    pub const ALL: [Provider; 5] =
        [Provider::Manual, Provider::StandardWebhooks, Provider::Stripe, Provider::Payos, Provider::Sandbox];

    /// Its word, in paths, rows and labels.
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

    /// The provider of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Provider> {
        Provider::ALL.into_iter().find(|provider| provider.as_str() == word)
    }

    /// The provider of a path: those who send events.
    #[must_use]
    pub fn from_path(word: &str) -> Option<Provider> {
        Provider::from_word(word).filter(|provider| *provider != Provider::Manual)
    }
}

/// Money that came in, as its provider says. `(provider, reference)` names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceivedPayment {
    /// Who took it.
    pub provider: Provider,
    /// Its name there.
    pub reference: Box<str>,
    /// How much.
    pub amount: Amount,
    /// Its currency, where it is not the drop's.
    pub foreign: Option<Currency>,
}

/// What a provider's event is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProviderEventKind {
    /// Money came in.
    PaymentSucceeded,
    /// A buyer tried to pay, and could not.
    PaymentFailed,
    /// Money went back.
    RefundSucceeded,
    /// A buyer's bank takes the money back; what comes of it is between the shop and its provider.
    ChargebackCreated,
}

impl ProviderEventKind {
    /// All of them.
    pub const ALL: [ProviderEventKind; 4] = [
        ProviderEventKind::PaymentSucceeded,
        ProviderEventKind::PaymentFailed,
        ProviderEventKind::RefundSucceeded,
        ProviderEventKind::ChargebackCreated,
    ];

    /// Its word, as `standard-webhooks` bodies have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ProviderEventKind::PaymentSucceeded => "payment.succeeded",
            ProviderEventKind::PaymentFailed => "payment.failed",
            ProviderEventKind::RefundSucceeded => "refund.succeeded",
            ProviderEventKind::ChargebackCreated => "chargeback.created",
        }
    }

    /// The kind of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<ProviderEventKind> {
        ProviderEventKind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What became of a provider's event when it was heard first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// It had its effect.
    Applied,
    /// It is recorded, and changes nothing.
    Ignored(IgnoredReason),
}

/// Why a provider's event changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IgnoredReason {
    /// It names no order of ours.
    UnknownOrder,
    /// The payment that it tells of is known already.
    PaymentKnown,
    /// A failed attempt for an order that awaits no payment.
    NotAwaited,
    /// The order has no such payment.
    UnknownPayment,
    /// The money is of another currency than the payment.
    CurrencyDiffers,
    /// More would have gone back than came in.
    ExceedsReceived,
    /// The order has as many payments as one can have: something is wrong with who sends them.
    TooManyPayments,
}

impl IgnoredReason {
    /// All of them.
    pub const ALL: [IgnoredReason; 7] = [
        IgnoredReason::UnknownOrder,
        IgnoredReason::PaymentKnown,
        IgnoredReason::NotAwaited,
        IgnoredReason::UnknownPayment,
        IgnoredReason::CurrencyDiffers,
        IgnoredReason::ExceedsReceived,
        IgnoredReason::TooManyPayments,
    ];

    /// Its words, as answers and rows have them.
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
        }
    }
}

/// Why money that came in is owed back at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotKeptReason {
    /// It is not what the order costs.
    Differs,
    /// The order has been paid, or its money goes back already.
    PaidBefore,
    /// The buyer had cancelled.
    Cancelled,
    /// The order had expired, and its drop takes no orders: over, not started, or stopped by the auditor.
    DropClosed,
    /// The order had expired, and the buyer's limit leaves no room for it.
    LimitReached,
    /// The order had expired, and its units are gone.
    SoldOut,
}

impl NotKeptReason {
    /// All of them.
    pub const ALL: [NotKeptReason; 6] = [
        NotKeptReason::Differs,
        NotKeptReason::PaidBefore,
        NotKeptReason::Cancelled,
        NotKeptReason::DropClosed,
        NotKeptReason::LimitReached,
        NotKeptReason::SoldOut,
    ];

    /// Its words, as the audit has them.
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
