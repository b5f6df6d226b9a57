//! The words of a challenge: the demand on a client, and the work that it gets to do.

use super::ChallengeKind;

/// The reason why an order does not pass the challenge of its drop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChallengeReason {
    /// The order comes without a solution.
    Missing,
    /// The solution is not of the format, or there are two.
    Malformed,
    /// The solution is wrong, or its challenge was not made here.
    Wrong,
    /// The challenge was made for another drop.
    AnotherDrop,
    /// The challenge was made for another buyer.
    AnotherBuyer,
    /// The challenge has expired, or was made before the last start or by another node.
    Expired,
    /// Another order has used the challenge.
    Replayed,
    /// The service that verifies solutions does not answer.
    Unavailable,
}

impl ChallengeReason {
    pub const ALL: [ChallengeReason; 8] = [
        ChallengeReason::Missing,
        ChallengeReason::Malformed,
        ChallengeReason::Wrong,
        ChallengeReason::AnotherDrop,
        ChallengeReason::AnotherBuyer,
        ChallengeReason::Expired,
        ChallengeReason::Replayed,
        ChallengeReason::Unavailable,
    ];

    /// Returns its name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ChallengeReason::Missing => "missing",
            ChallengeReason::Malformed => "malformed",
            ChallengeReason::Wrong => "wrong",
            ChallengeReason::AnotherDrop => "another_drop",
            ChallengeReason::AnotherBuyer => "another_buyer",
            ChallengeReason::Expired => "expired",
            ChallengeReason::Replayed => "replayed",
            ChallengeReason::Unavailable => "unavailable",
        }
    }

    /// Returns the sentence for the client.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            ChallengeReason::Missing => "This drop demands a solved challenge.",
            ChallengeReason::Malformed => "The solution is malformed.",
            ChallengeReason::Wrong => "The solution is wrong.",
            ChallengeReason::AnotherDrop => "The solved challenge is another drop's.",
            ChallengeReason::AnotherBuyer => "The solved challenge is another buyer's.",
            ChallengeReason::Expired => "The solved challenge has expired.",
            ChallengeReason::Replayed => "The solved challenge was used before.",
            ChallengeReason::Unavailable => "The solution could not be verified.",
        }
    }
}

/// The challenge that a client must solve before it orders, and the reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChallengeDemand {
    pub kind: ChallengeKind,
    pub reason: ChallengeReason,
    /// The address of a new challenge, or of the service's widget; empty if the settings name none.
    pub url: Box<str>,
    /// The public key of the shop at the service; empty if the settings name none.
    pub site_key: Box<str>,
}

/// A proof of work to be done, in the format of ALTCHA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IssuedChallenge {
    /// The hash that salt and number must have, in hexadecimal digits.
    pub challenge: String,
    /// Random digits, and parameters like those of a URL.
    pub salt: String,
    /// The signature of `challenge`, in hexadecimal digits.
    pub signature: String,
    /// The largest number that the solution can be.
    pub maxnumber: u64,
}
