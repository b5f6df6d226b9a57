//! A client's state under a rate limit, and the headers that tell it (draft-ietf-httpapi-ratelimit-headers).

use std::fmt::Write as _;
use std::time::Duration;

/// A client's state under one policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PolicyState {
    pub policy: &'static str,
    /// Requests in each window of the policy.
    pub quota: u32,
    /// Requests that the client may send at once.
    pub remaining: u32,
    /// The time until there is room for one more request than now.
    pub wait: Duration,
}

/// The window of every policy, in seconds.
pub const WINDOW_SECONDS: u64 = 60;

/// Returns a time in whole seconds, at least 1 and never less than the time.
#[must_use]
pub fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// Returns the values of `RateLimit-Policy` and `RateLimit`.
#[must_use]
pub fn rate_limit_headers(states: &[PolicyState]) -> (String, String) {
    let (mut policies, mut limits) = (String::with_capacity(64), String::with_capacity(64));
    for PolicyState { policy, quota, remaining, wait } in states {
        let separator = if policies.is_empty() { "" } else { ", " };
        let _infallible = write!(policies, "{separator}\"{policy}\";q={quota};w={WINDOW_SECONDS}");
        let _infallible = write!(limits, "{separator}\"{policy}\";r={remaining};t={}", whole_seconds(*wait));
    }
    (policies, limits)
}
