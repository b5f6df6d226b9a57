//! Proof of work in the format of ALTCHA (protocol version 1): the client looks for the number that gives, behind the salt, the
//! hash of the challenge.
//!
//! The salt carries what the challenge is bound to, like the query of a URL: the drop, the buyer if a token names one, the
//! instants of issue and expiry, its number, and the process that made it. It ends with `&`, so that no digit of the solution can
//! be moved into it. The hash covers the salt, and the signature covers the hash.
//!
//! The signature's key is the file's: a challenge of before a restart, or of another node of the cluster, is recognized. It does
//! not pass, because only its process knows whether it was used; but it tells a repeat of an order from an order without work.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::used::{Use, UsedChallenges};
use super::{AskedOrder, SolutionVerdict};
use crate::config::ChallengeSettings;
use crate::types::{BuyerText, ChallengeReason, DigestKey, DropId, IssuedChallenge, UnixMillis, hex, random};

/// Longest payload that is decoded; ours have about 500 bytes.
const PAYLOAD_BYTES_MAX: usize = 2048;
const ALGORITHM: &str = "SHA-256";
/// Random bytes of a salt: no client can work ahead.
const SALT_BYTES: usize = 12;

/// The difficulty of the next challenges, and the speed at which a solution is too fast.
pub(super) struct Difficulty {
    maxnumber: u64,
    minnumber: u64,
    expiry_ms: i64,
    hashes_per_second_max: u64,
}

pub(super) struct ProofOfWork {
    /// Names this run of the process, in hexadecimal digits.
    process: String,
    issued: AtomicU64,
    used: UsedChallenges,
    key: OnceLock<hmac::Key>,
}

/// The solution as the widget sends it. Further members, such as `took`, are for the service of ALTCHA's makers.
#[derive(Deserialize)]
struct Payload {
    algorithm: String,
    challenge: String,
    number: u64,
    salt: String,
    signature: String,
}

/// The parameters of a salt.
struct SaltFacts<'salt> {
    drop: &'salt str,
    buyer: Option<&'salt str>,
    process: &'salt str,
    number: u64,
    issued_ms: i64,
    expires_ms: i64,
}

impl<'salt> SaltFacts<'salt> {
    /// Reads a salt of ours.
    fn read(salt: &'salt str) -> Option<SaltFacts<'salt>> {
        let (_random, parameters) = salt.strip_suffix('&')?.split_once('?')?;
        let of = |name: &str| {
            let mut pairs = parameters.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
        };
        let seconds: i64 = of("expires")?.parse().ok()?;
        Some(SaltFacts {
            drop: of("drop")?,
            buyer: of("buyer"),
            process: of("process")?,
            number: of("number")?.parse().ok()?,
            issued_ms: of("issued")?.parse().ok()?,
            expires_ms: seconds.checked_mul(1000)?,
        })
    }
}

/// Returns what stands for a buyer in a salt: it tells nothing without the file's key.
fn buyer_mark(digests: &DigestKey, buyer: &BuyerText) -> String {
    digests.check(&[b"challenge", buyer.as_str().as_bytes()])
}

impl Difficulty {
    pub(super) fn new(settings: &ChallengeSettings) -> Difficulty {
        Difficulty {
            maxnumber: settings.maxnumber,
            minnumber: settings.minnumber,
            expiry_ms: i64::try_from(settings.expiry.as_millis()).unwrap_or(i64::MAX),
            hashes_per_second_max: settings.hashes_per_second_max,
        }
    }

    fn is_too_fast(&self, payload: &Payload, facts: &SaltFacts<'_>, now: UnixMillis) -> bool {
        let took = u64::try_from(now.get().saturating_sub(facts.issued_ms)).unwrap_or(0).max(1);
        let possible = self.hashes_per_second_max.saturating_mul(took);
        possible > 0 && payload.number.saturating_mul(1000) > possible
    }
}

impl ProofOfWork {
    pub(super) fn new(used_max: usize) -> ProofOfWork {
        let mut process = [0u8; 8];
        random::fill(&mut process);
        ProofOfWork {
            process: hex::encode(&process),
            issued: AtomicU64::new(0),
            used: UsedChallenges::new(used_max),
            key: OnceLock::new(),
        }
    }

    fn key(&self, digests: &DigestKey) -> &hmac::Key {
        self.key.get_or_init(|| digests.challenge_key())
    }

    /// Makes a challenge for orders of a drop, by a buyer if a token names one.
    pub(super) fn issue(
        &self,
        difficulty: &Difficulty,
        digests: &DigestKey,
        (drop_id, buyer): (DropId, Option<&BuyerText>),
        now: UnixMillis,
    ) -> IssuedChallenge {
        let mut bytes = [0u8; SALT_BYTES + 8];
        random::fill(&mut bytes);
        let (salt, number) = bytes.split_at(SALT_BYTES);
        let number = number.first_chunk::<8>().map_or(0, |number| u64::from_be_bytes(*number));
        let span = difficulty.maxnumber.saturating_sub(difficulty.minnumber).saturating_add(1);
        let number = difficulty.minnumber.saturating_add(number % span);
        // Rounded up: the client has the time of the settings at least.
        let expires = now.plus_millis(difficulty.expiry_ms).get().saturating_add(999) / 1000;
        let bound = buyer.map(|buyer| format!("&buyer={}", buyer_mark(digests, buyer))).unwrap_or_default();
        let salt = format!(
            "{}?expires={expires}&drop={}{bound}&issued={}&process={}&number={}&",
            hex::encode(salt),
            drop_id.get(),
            now.get(),
            self.process,
            self.issued.fetch_add(1, Ordering::Relaxed),
        );
        let challenge = hash(&salt, number);
        let signature = hex::encode(hmac::sign(self.key(digests), challenge.as_bytes()).as_ref());
        IssuedChallenge { challenge, salt, signature, maxnumber: difficulty.maxnumber }
    }

    /// Judges the solution that comes with an order; a right one is used by this.
    pub(super) fn judge(
        &self,
        difficulty: &Difficulty,
        digests: &DigestKey,
        solution: &[u8],
        order: &AskedOrder<'_>,
    ) -> SolutionVerdict {
        let Some(payload) = decode(solution) else { return SolutionVerdict::Refused(ChallengeReason::Malformed) };
        let Some(facts) = self.facts_of(digests, &payload) else {
            return SolutionVerdict::Refused(ChallengeReason::Wrong);
        };
        if facts.drop.parse() != Ok(order.drop_id.get()) {
            return SolutionVerdict::Refused(ChallengeReason::AnotherDrop);
        }
        if facts.buyer.is_some_and(|mark| mark != buyer_mark(digests, order.buyer)) {
            return SolutionVerdict::Refused(ChallengeReason::AnotherBuyer);
        }
        if facts.process != self.process {
            return SolutionVerdict::Stale(ChallengeReason::Expired);
        }
        if order.now.get() >= facts.expires_ms {
            // The order that used it may have been refused, so a late one passes only if the writer knows it as a repeat.
            return SolutionVerdict::Stale(match self.used.look(facts.number, order.key) {
                Use::Replayed => ChallengeReason::Replayed,
                Use::First | Use::Repeated | Use::Forgotten => ChallengeReason::Expired,
            });
        }
        match self.used.note(facts.number, order.key) {
            Use::First => SolutionVerdict::Solved { too_fast: difficulty.is_too_fast(&payload, &facts, order.now) },
            Use::Repeated => SolutionVerdict::Repeated,
            Use::Replayed => SolutionVerdict::Stale(ChallengeReason::Replayed),
            Use::Forgotten => SolutionVerdict::Stale(ChallengeReason::Expired),
        }
    }

    /// Returns what the salt of a solution says, if the solution is right and its challenge was made with the file's key.
    fn facts_of<'payload>(&self, digests: &DigestKey, payload: &'payload Payload) -> Option<SaltFacts<'payload>> {
        let signature = hex::decode(&payload.signature)?;
        hmac::verify(self.key(digests), payload.challenge.as_bytes(), &signature).ok()?;
        if hash(&payload.salt, payload.number) == payload.challenge { SaltFacts::read(&payload.salt) } else { None }
    }
}

fn hash(salt: &str, number: u64) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(salt.as_bytes());
    context.update(number.to_string().as_bytes());
    hex::encode(context.finish().as_ref())
}

fn decode(solution: &[u8]) -> Option<Payload> {
    if solution.len() > PAYLOAD_BYTES_MAX {
        return None;
    }
    let payload: Payload = serde_json::from_slice(&STANDARD.decode(solution).ok()?).ok()?;
    (payload.algorithm == ALGORITHM).then_some(payload)
}

#[cfg(test)]
mod tests;
