//! The tier of a buyer: how much the shop trusts them.

/// A buyer's tier, from the least trusted to the most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum Tier {
    Suspected,
    #[default]
    New,
    Verified,
    Premium,
}

impl Tier {
    pub const ALL: [Tier; 4] = [Tier::Suspected, Tier::New, Tier::Verified, Tier::Premium];

    /// Returns its name in tokens, settings and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Tier::Suspected => "suspected",
            Tier::New => "new",
            Tier::Verified => "verified",
            Tier::Premium => "premium",
        }
    }

    /// Returns the tier of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Tier> {
        Tier::ALL.into_iter().find(|tier| tier.as_str() == name)
    }
}

/// The origin of a buyer's tier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TierSource {
    Operator,
    /// The risk score is too high.
    Risk,
    /// A claim of the buyer's token.
    Token,
    Default,
}
