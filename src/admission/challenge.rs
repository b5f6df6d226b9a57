//! Challenges: what a drop can demand of buyers who are trusted too little, before their orders come to the writer.

mod proof_of_work;
mod site_verify;
mod used;

use std::net::IpAddr;
use std::time::Instant;

use proof_of_work::ProofOfWork;
use site_verify::SiteVerify;

use crate::config::{Config, ConfigError};
use crate::telemetry::{Telemetry, catalogue as metric};
use crate::types::{
    BuyerText, ChallengeDemand, ChallengeKind, ChallengeReason, Digest, DigestKey, DropId, IssuedChallenge, UnixMillis,
};

/// An order whose challenge is judged.
pub struct AskedOrder<'order> {
    pub drop_id: DropId,
    pub buyer: &'order BuyerText,
    /// The digest of (drop, buyer, idempotency key).
    pub key: &'order Digest,
    pub now: UnixMillis,
}

/// The judgement of a solution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SolutionVerdict {
    Solved {
        /// No browser solves so fast.
        too_fast: bool,
    },
    /// The same order has used this solution: it passes, because its repeat must have its answer.
    Repeated,
    /// The solution is right, but it does not pass any more: only a repeat of an order does, which the writer knows.
    Stale(ChallengeReason),
    /// The order does not pass.
    Refused(ChallengeReason),
    /// The service does not answer, and the settings let orders pass.
    Unverified,
    /// Too many solutions are being verified.
    Busy,
}

/// The labels of `firstcome_challenges_total`.
const RESULTS: [&str; 7] = ["issued", "solved", "failed", "replayed", "expired", "too_fast", "unavailable"];
const ISSUED: usize = 0;
const SOLVED: usize = 1;
const FAILED: usize = 2;
const REPLAYED: usize = 3;
const EXPIRED: usize = 4;
const TOO_FAST: usize = 5;
const UNAVAILABLE: usize = 6;

/// The challenges of one process.
pub struct Challenges {
    proof_of_work: ProofOfWork,
    /// The service of the settings, if they name one.
    site: Option<SiteVerify>,
    widget_url: Box<str>,
    site_key: Box<str>,
    results: [metrics::Counter; RESULTS.len()],
}

impl Challenges {
    /// Reads the secret that the settings name.
    ///
    /// # Errors
    /// All mistakes at once. Messages never contain the secret.
    pub fn open(config: &Config, telemetry: &Telemetry) -> Result<Challenges, Vec<ConfigError>> {
        let settings = &config.challenge;
        Ok(Challenges {
            proof_of_work: ProofOfWork::new(settings),
            site: SiteVerify::open(settings)?,
            widget_url: settings.widget_url.as_str().into(),
            site_key: settings.site_key.as_str().into(),
            results: RESULTS.map(|result| telemetry.counter(&metric::CHALLENGES, &[("result", result)])),
        })
    }

    /// Returns whether drops can demand challenges of the outside service.
    #[must_use]
    pub fn has_site(&self) -> bool {
        self.site.is_some()
    }

    /// Makes a proof of work for orders of a drop, by a buyer if a token names one.
    #[must_use]
    pub fn issue(
        &self,
        digests: &DigestKey,
        drop_id: DropId,
        buyer: Option<&BuyerText>,
        now: UnixMillis,
    ) -> IssuedChallenge {
        self.results[ISSUED].increment(1);
        self.proof_of_work.issue(digests, drop_id, buyer, now)
    }

    /// Returns the demand for a client that must solve a challenge. `base` is the URL of the public listener.
    #[must_use]
    pub fn demand(&self, kind: ChallengeKind, reason: ChallengeReason, base: &str, drop_id: DropId) -> ChallengeDemand {
        let (url, site_key) = match kind {
            ChallengeKind::External => (self.widget_url.clone(), self.site_key.clone()),
            ChallengeKind::None | ChallengeKind::ProofOfWork => {
                (format!("{base}/v1/drops/{}/challenge", drop_id.get()).into(), Box::default())
            }
        };
        ChallengeDemand { kind, reason, url, site_key }
    }

    /// Judges the proof of work that comes with an order. A right one is used by this.
    #[must_use]
    pub fn judge(&self, digests: &DigestKey, solution: &[u8], order: &AskedOrder<'_>) -> SolutionVerdict {
        self.proof_of_work.judge(digests, solution, order)
    }

    /// Returns whether a service's token was verified for this order before: such a token is never verified again.
    #[must_use]
    pub fn was_verified(&self, token: &[u8], order: &AskedOrder<'_>, now: Instant) -> bool {
        self.site.as_ref().is_some_and(|site| site.was_verified(token, order.key, now))
    }

    /// Has the service verify the token that comes with an order.
    pub async fn verify(&self, token: &[u8], order: &AskedOrder<'_>, address: IpAddr) -> SolutionVerdict {
        match &self.site {
            Some(site) => site.verify(token, order.key, address).await,
            // The drop is older than the settings.
            None => SolutionVerdict::Refused(ChallengeReason::Unavailable),
        }
    }

    /// Counts the result of an order that came with a solution. Repeats count once.
    pub fn count(&self, verdict: SolutionVerdict) {
        let result = match verdict {
            SolutionVerdict::Solved { too_fast: false } => SOLVED,
            SolutionVerdict::Solved { too_fast: true } => TOO_FAST,
            SolutionVerdict::Repeated | SolutionVerdict::Busy => return,
            SolutionVerdict::Unverified => UNAVAILABLE,
            SolutionVerdict::Stale(reason) | SolutionVerdict::Refused(reason) => match reason {
                ChallengeReason::Missing => return,
                ChallengeReason::Malformed
                | ChallengeReason::Wrong
                | ChallengeReason::AnotherDrop
                | ChallengeReason::AnotherBuyer => FAILED,
                ChallengeReason::Expired => EXPIRED,
                ChallengeReason::Replayed => REPLAYED,
                ChallengeReason::Unavailable => UNAVAILABLE,
            },
        };
        self.results[result].increment(1);
    }
}

impl SolutionVerdict {
    /// Returns whether a person in a browser seldom gets it: failed, replayed, or solved too fast.
    #[must_use]
    pub const fn is_suspicious(self) -> bool {
        match self {
            SolutionVerdict::Solved { too_fast } => too_fast,
            SolutionVerdict::Repeated | SolutionVerdict::Unverified | SolutionVerdict::Busy => false,
            SolutionVerdict::Stale(reason) | SolutionVerdict::Refused(reason) => match reason {
                ChallengeReason::Malformed
                | ChallengeReason::Wrong
                | ChallengeReason::AnotherDrop
                | ChallengeReason::AnotherBuyer
                | ChallengeReason::Replayed => true,
                ChallengeReason::Missing | ChallengeReason::Expired | ChallengeReason::Unavailable => false,
            },
        }
    }
}
