//! Challenges: what a drop can demand of buyers who are trusted too little, before their orders come to the writer.

mod proof_of_work;
mod site_verify;
mod used;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::RwLock;
use proof_of_work::{Difficulty, ProofOfWork};
use site_verify::{SiteVerify, VerifiedOrders};

use crate::config::{ChallengeSettings, ConfigError};
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

/// The settings that the next request sees.
pub struct ChallengeRules {
    difficulty: Difficulty,
    /// The service, if the settings name one.
    site: Option<SiteVerify>,
    widget_url: Box<str>,
    site_key: Box<str>,
}

/// The challenges of one process.
pub struct Challenges {
    proof_of_work: ProofOfWork,
    /// Held for the time of a copy of the reference.
    rules: RwLock<Arc<ChallengeRules>>,
    /// Orders whose tokens were verified, by whatever service.
    verified: Arc<VerifiedOrders>,
    results: [metrics::Counter; RESULTS.len()],
}

impl Challenges {
    /// Reads the secret that the settings name.
    ///
    /// # Errors
    /// All mistakes at once. Messages never contain the secret.
    pub fn open(settings: &ChallengeSettings, telemetry: &Telemetry) -> Result<Challenges, Vec<ConfigError>> {
        let verified = Arc::default();
        let rules = ChallengeRules::open(settings, &verified)?;
        Ok(Challenges {
            proof_of_work: ProofOfWork::new(settings.used_max),
            rules: RwLock::new(Arc::new(rules)),
            verified,
            results: RESULTS.map(|result| telemetry.counter(&metric::CHALLENGES, &[("result", result)])),
        })
    }

    /// Reads changed settings with their secret, and puts nothing in force.
    ///
    /// # Errors
    /// All mistakes at once. Messages never contain the secret.
    pub fn read_rules(&self, settings: &ChallengeSettings) -> Result<ChallengeRules, Vec<ConfigError>> {
        ChallengeRules::open(settings, &self.verified)
    }

    /// Puts other rules in force for the next request. The number of used challenges stays, and nothing is forgotten: a
    /// challenge that was made before has its own expiry, and a used one stays used.
    pub fn replace_rules(&self, rules: ChallengeRules) {
        *self.rules.write() = Arc::new(rules);
    }

    fn rules(&self) -> Arc<ChallengeRules> {
        Arc::clone(&self.rules.read())
    }

    /// Returns whether drops can demand challenges of the outside service.
    #[must_use]
    pub fn has_site(&self) -> bool {
        self.rules().site.is_some()
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
        self.proof_of_work.issue(&self.rules().difficulty, digests, (drop_id, buyer), now)
    }

    /// Returns the demand for a client that must solve a challenge. `base` is the URL of the public listener.
    #[must_use]
    pub fn demand(&self, kind: ChallengeKind, reason: ChallengeReason, base: &str, drop_id: DropId) -> ChallengeDemand {
        let (url, site_key) = match kind {
            ChallengeKind::External => {
                let rules = self.rules();
                (rules.widget_url.clone(), rules.site_key.clone())
            }
            ChallengeKind::None | ChallengeKind::ProofOfWork => {
                (format!("{base}/v1/drops/{}/challenge", drop_id.get()).into(), Box::default())
            }
        };
        ChallengeDemand { kind, reason, url, site_key }
    }

    /// Judges the proof of work that comes with an order. A right one is used by this.
    #[must_use]
    pub fn judge(&self, digests: &DigestKey, solution: &[u8], order: &AskedOrder<'_>) -> SolutionVerdict {
        self.proof_of_work.judge(&self.rules().difficulty, digests, solution, order)
    }

    /// Returns whether a service's token was verified for this order before: such a token is never verified again, not even
    /// after the settings have changed.
    #[must_use]
    pub fn was_verified(&self, token: &[u8], order: &AskedOrder<'_>, now: Instant) -> bool {
        self.verified.knows(token, order.key, now)
    }

    /// Has the service verify the token that comes with an order.
    pub async fn verify(&self, token: &[u8], order: &AskedOrder<'_>, address: IpAddr) -> SolutionVerdict {
        match &self.rules().site {
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

impl ChallengeRules {
    fn open(settings: &ChallengeSettings, verified: &Arc<VerifiedOrders>) -> Result<ChallengeRules, Vec<ConfigError>> {
        Ok(ChallengeRules {
            difficulty: Difficulty::new(settings),
            site: SiteVerify::open(settings, verified)?,
            widget_url: settings.widget_url.as_str().into(),
            site_key: settings.site_key.as_str().into(),
        })
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
