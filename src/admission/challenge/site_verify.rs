//! Verifies the tokens of an outside service at its `siteverify` address. Turnstile, hCaptcha and reCAPTCHA speak the same form:
//! `secret`, `response` and perhaps `remoteip` are posted, and the answer is JSON with `success`, `hostname`, `action` and
//! `error-codes`.
//!
//! A token is verified once: the service itself refuses a second use. So the tokens that were verified are remembered with
//! their order's key for a while, and the order may come again.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use hyper::Method;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::SolutionVerdict;
use crate::config::secret_file::{FileProtection, read};
use crate::config::{ChallengeSettings, ConfigError};
use crate::egress::{AddressGuard, ClientOptions, EgressClient, OutboundRequest, Target};
use crate::failpoints::{self, Bug};
use crate::types::{ChallengeReason, Digest};

const SECRET_BYTES_MAX: u64 = 1024;
/// Longest token that is sent on: those of the services have at most a few kilobytes.
const TOKEN_BYTES_MAX: usize = 8192;
/// Bytes of an answer that are read; usual ones have about 300.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Verified tokens that each of the two generations remembers.
const GENERATION_MAX: usize = 65_536;
/// Time after which a generation ends, so that an order can come again for that long at least.
const GENERATION: Duration = Duration::from_secs(300);

pub(super) struct SiteVerify {
    client: EgressClient,
    target: Target,
    secret: Box<str>,
    hostnames: Vec<String>,
    action: String,
    send_address: bool,
    fail_open: bool,
    permits: Semaphore,
    verified: Arc<VerifiedOrders>,
}

/// The orders whose tokens were verified. Changed settings keep them.
pub(super) struct VerifiedOrders(Mutex<Generations>);

/// Digests of tokens with their orders' keys.
struct Generations {
    young: HashSet<[u8; 16]>,
    old: HashSet<[u8; 16]>,
    began: Instant,
}

/// The service's answer.
#[derive(Deserialize)]
struct Answer {
    success: bool,
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default)]
    action: Option<String>,
    #[serde(default, rename = "error-codes")]
    errors: Vec<String>,
}

impl Default for VerifiedOrders {
    fn default() -> VerifiedOrders {
        VerifiedOrders(Mutex::new(Generations::new()))
    }
}

impl VerifiedOrders {
    pub(super) fn knows(&self, token: &[u8], key: &Digest, now: Instant) -> bool {
        self.0.lock().knows(&mark(token, key), now)
    }
}

impl Generations {
    fn new() -> Generations {
        Generations { young: HashSet::new(), old: HashSet::new(), began: Instant::now() }
    }

    fn keep(&mut self, mark: [u8; 16]) {
        self.turn(Instant::now());
        self.young.insert(mark);
    }

    fn knows(&mut self, mark: &[u8; 16], now: Instant) -> bool {
        self.turn(now);
        self.young.contains(mark) || self.old.contains(mark)
    }

    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.began);
        if self.young.len() >= GENERATION_MAX || age >= GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.began = now;
        }
        if age >= 2 * GENERATION {
            self.old.clear();
        }
    }
}

/// The reason why a question has no verdict.
enum NoVerdict {
    /// The service is out of reach, or failed.
    Down(String),
    /// Something refused the question (a 4xx without a verdict): a client may cause that, so `fail_open` does not hold.
    Rejected(String),
}

/// Returns the digest of a token with its order's key.
fn mark(token: &[u8], key: &Digest) -> [u8; 16] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&key.0);
    context.update(token);
    context.finish().as_ref().first_chunk::<16>().copied().unwrap_or_default()
}

impl SiteVerify {
    pub(super) fn open(
        settings: &ChallengeSettings,
        verified: &Arc<VerifiedOrders>,
    ) -> Result<Option<SiteVerify>, Vec<ConfigError>> {
        let url = &settings.siteverify_url;
        let Some(file) = settings.secret_file.as_deref().filter(|_| !url.is_empty()) else { return Ok(None) };
        let mistake = |reason: String| vec![ConfigError(format!("challenge.siteverify_url: {reason}"))];
        let secret =
            read("challenge.secret_file", file, FileProtection::Secret, SECRET_BYTES_MAX).map_err(|m| vec![m])?;
        let secret = std::str::from_utf8(&secret).map(str::trim).unwrap_or("");
        if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            let name = file.display();
            return Err(vec![ConfigError(format!("{name}: must be the secret as one line of visible ASCII"))]);
        }
        // On the public internet, or on this machine (a stub in tests).
        let here = ["127.0.0.0/8", "::1/128"].map(|network| network.parse().ok()).into_iter().flatten().collect();
        let guard = AddressGuard::new(if url.starts_with("http://") { here } else { Vec::new() });
        let target = Target::parse(url, &guard).map_err(|wrong| mistake(wrong.to_string()))?;
        let options = ClientOptions {
            timeout: settings.timeout,
            connect_timeout: settings.timeout,
            response_bytes_max: ANSWER_BYTES_MAX,
            idle_per_origin_max: settings.in_flight_max,
            ..ClientOptions::default()
        };
        Ok(Some(SiteVerify {
            client: EgressClient::new(guard, options).map_err(mistake)?,
            target,
            secret: secret.into(),
            hostnames: settings.hostnames.clone(),
            action: settings.action.clone(),
            send_address: settings.send_address,
            fail_open: settings.fail_open,
            permits: Semaphore::new(settings.in_flight_max),
            verified: Arc::clone(verified),
        }))
    }

    pub(super) async fn verify(&self, token: &[u8], key: &Digest, address: IpAddr) -> SolutionVerdict {
        let text = std::str::from_utf8(token).ok().filter(|text| text.len() <= TOKEN_BYTES_MAX);
        let Some(text) = text else { return SolutionVerdict::Refused(ChallengeReason::Malformed) };
        // A flood of tokens must not open the door, however the settings stand.
        let Ok(_permit) = self.permits.try_acquire() else { return SolutionVerdict::Busy };
        let verdict = match self.ask(text, address).await {
            Ok(answer) => self.judge(&answer),
            Err(NoVerdict::Down(reason)) => self.without_answer(&reason),
            Err(NoVerdict::Rejected(reason)) => {
                self.warn(&reason, false);
                SolutionVerdict::Refused(ChallengeReason::Unavailable)
            }
        };
        if verdict == (SolutionVerdict::Solved { too_fast: false }) {
            self.verified.0.lock().keep(mark(token, key));
        }
        verdict
    }

    async fn ask(&self, token: &str, address: IpAddr) -> Result<Answer, NoVerdict> {
        let remote = address.to_canonical().to_string();
        let mut form = vec![("secret", &*self.secret), ("response", token)];
        if self.send_address {
            form.push(("remoteip", &remote));
        }
        let body = serde_html_form::to_string(form).map_err(|error| NoVerdict::Rejected(error.to_string()))?;
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ]);
        let request = OutboundRequest { target: &self.target, method: Method::POST, headers, body: body.into() };
        let response = self.client.send(request).await.map_err(|error| NoVerdict::Down(error.to_string()))?;
        // Some services answer a wrong token with 400 and the same JSON.
        serde_json::from_slice(&response.body).map_err(|_| {
            let reason = format!("status {} without a verdict", response.status.as_u16());
            if response.status.is_server_error() { NoVerdict::Down(reason) } else { NoVerdict::Rejected(reason) }
        })
    }

    fn judge(&self, answer: &Answer) -> SolutionVerdict {
        if answer.success {
            let hostname = answer.hostname.as_deref().unwrap_or("");
            let is_ours = (self.hostnames.is_empty()
                || self.hostnames.iter().any(|known| known.eq_ignore_ascii_case(hostname)))
                && (self.action.is_empty() || answer.action.as_deref() == Some(&self.action));
            return if is_ours {
                SolutionVerdict::Solved { too_fast: false }
            } else {
                SolutionVerdict::Refused(ChallengeReason::Wrong)
            };
        }
        let has = |codes: &[&str]| answer.errors.iter().any(|error| codes.contains(&error.as_str()));
        if has(&["missing-input-secret", "invalid-input-secret", "sitekey-secret-mismatch", "internal-error"]) {
            return self.without_answer(&answer.errors.join(", "));
        }
        SolutionVerdict::Refused(if has(&["already-seen-response"]) {
            ChallengeReason::Replayed
        } else if has(&["timeout-or-duplicate", "expired-input-response"]) {
            ChallengeReason::Expired
        } else {
            ChallengeReason::Wrong
        })
    }

    fn warn(&self, reason: &str, passes: bool) {
        let reason: String = reason.chars().filter(|c| !c.is_control()).take(200).collect();
        tracing::warn!(host = %self.target.host(), reason, passes, "a challenge could not be verified");
    }

    /// Decides on an order whose token could not be verified. The reason contains nothing of token and secret.
    fn without_answer(&self, reason: &str) -> SolutionVerdict {
        self.warn(reason, self.fail_open);
        if self.fail_open || failpoints::enabled(Bug::FailsOpen) {
            SolutionVerdict::Unverified
        } else {
            SolutionVerdict::Refused(ChallengeReason::Unavailable)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verified_order_is_known_for_one_generation_at_least_and_two_at_most() {
        let mut verified = Generations::new();
        let began = verified.began;
        verified.keep([1; 16]);
        let mut silent = Generations { young: verified.young.clone(), old: HashSet::new(), began };
        assert!(!silent.knows(&[1; 16], began + 2 * GENERATION), "also if nobody asked meanwhile");
        assert!(verified.knows(&[1; 16], began) && !verified.knows(&[2; 16], began));
        assert!(verified.knows(&[1; 16], began + GENERATION));
        assert!(!verified.knows(&[1; 16], began + 2 * GENERATION));
    }

    #[test]
    fn a_token_is_remembered_with_its_order_only() {
        assert_ne!(mark(b"token", &Digest([1; 16])), mark(b"token", &Digest([2; 16])));
        assert_ne!(mark(b"token", &Digest([1; 16])), mark(b"other", &Digest([1; 16])));
    }
}
