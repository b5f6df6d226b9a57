//! Who tells us of money, and who takes it for us.

/// A payment provider, or an operator who saw the money himself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Provider {
    /// An operator.
    Manual,
    /// Anybody who signs as Standard Webhooks says: the shop's own adapter.
    StandardWebhooks,
    /// Stripe.
    Stripe,
    /// PayOS.
    Payos,
    /// Play money.
    Sandbox,
}

impl Provider {
    /// Every provider.
    pub const ALL: [Provider; 5] =
        [Provider::Manual, Provider::StandardWebhooks, Provider::Stripe, Provider::Payos, Provider::Sandbox];

    /// The word in paths, JSON and SQL.
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

    /// The provider out of its word in a path: never an operator, who has a route of his own.
    #[must_use]
    pub fn from_path(word: &str) -> Option<Provider> {
        Provider::ALL.into_iter().find(|provider| *provider != Provider::Manual && provider.as_str() == word)
    }
}
