//! The signals that a few numbers decide, without clocks or memory.

use std::time::Duration;

use crate::config::RiskSettings;
use crate::failpoints::{self, Bug};

/// Thousandths of a point, so that small weights decay smoothly.
pub type MilliPoints = u64;

/// Returns whether gaps between requests, in milliseconds, are regular: their coefficient of variation is below so many
/// percent. Gaps of 0 are requests at one instant, which rate limits count.
#[must_use]
pub fn is_regular(gaps_ms: &[u16], percent: u32) -> bool {
    let count = u64::try_from(gaps_ms.len()).unwrap_or(0);
    let sum: u64 = gaps_ms.iter().map(|gap| u64::from(*gap)).sum();
    let squares: u64 = gaps_ms.iter().map(|gap| u64::from(*gap).pow(2)).sum();
    // n² times the variance, and the square of n times the mean.
    let variance = count.saturating_mul(squares).saturating_sub(sum.saturating_mul(sum));
    let limit = sum.saturating_mul(sum).saturating_mul(u64::from(percent).pow(2));
    sum > 0 && variance.saturating_mul(10_000) < limit
}

/// Returns whether a buyer's first order of a drop came right after its start.
#[must_use]
pub fn is_first_instant(since_start: Option<Duration>, is_first: bool, rules: &RiskSettings) -> bool {
    is_first && since_start.is_some_and(|since| since < Duration::from_millis(rules.first_instant_ms.into()))
}

/// Returns whether a checkout followed its reservation faster than a person can.
#[must_use]
pub fn is_fast_checkout(since_reservation: Duration, rules: &RiskSettings) -> bool {
    since_reservation < Duration::from_millis(rules.fast_checkout_ms.into())
}

/// Returns what is left of a weight at an age: half of it after each half-life, and between two of them in a straight line.
#[must_use]
pub fn decayed(weight: u32, age_ms: u64, half_life_seconds: u32) -> MilliPoints {
    let half_life = u64::from(half_life_seconds).saturating_mul(1000).max(1);
    let age_ms = if failpoints::enabled(Bug::ScoreNeverDecays) { 0 } else { age_ms };
    let halvings = u32::try_from(age_ms / half_life).unwrap_or(u32::MAX);
    let whole = u64::from(weight).saturating_mul(1000).checked_shr(halvings).unwrap_or(0);
    let twice = half_life.saturating_mul(2);
    whole.saturating_mul(twice.saturating_sub(age_ms % half_life)).checked_div(twice).unwrap_or(0)
}
