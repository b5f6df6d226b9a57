//! The challenge that a drop demands of buyers who are trusted too little.

use super::Tier;

/// A kind of challenge.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum ChallengeKind {
    #[default]
    None,
    ProofOfWork,
    /// A challenge of a service outside, whose tokens the server has verified there.
    External,
}

impl ChallengeKind {
    pub const ALL: [ChallengeKind; 3] = [ChallengeKind::None, ChallengeKind::ProofOfWork, ChallengeKind::External];

    /// Returns its name in JSON and SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ChallengeKind::None => "none",
            ChallengeKind::ProofOfWork => "proof_of_work",
            ChallengeKind::External => "external",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<ChallengeKind> {
        ChallengeKind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The demand of a drop on buyers whose tier is lower than `below`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChallengeRule {
    pub kind: ChallengeKind,
    /// The lowest tier that orders without a challenge.
    pub below: Tier,
}

impl Default for ChallengeRule {
    fn default() -> Self {
        ChallengeRule { kind: ChallengeKind::None, below: Tier::Verified }
    }
}

impl ChallengeRule {
    /// Returns true if a buyer of this tier must solve a challenge.
    #[must_use]
    pub fn is_demanded_of(&self, tier: Tier) -> bool {
        self.kind != ChallengeKind::None && tier < self.below
    }
}
