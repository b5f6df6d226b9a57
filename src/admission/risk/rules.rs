//! The weights and thresholds in force: numbers that are replaced one by one, so that a request waits for no lock. A request
//! during a change may see some numbers of before it and some of after it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::config::RiskSettings;
use crate::types::Signal;

/// Numbers of the settings besides the weights.
const THRESHOLDS: usize = 11;

/// The rules that the next request sees.
#[derive(Default)]
pub(super) struct CurrentRiskRules {
    is_enabled: AtomicBool,
    weights: [AtomicU32; Signal::ALL.len()],
    thresholds: [AtomicU32; THRESHOLDS],
}

impl CurrentRiskRules {
    pub(super) fn new(settings: &RiskSettings) -> CurrentRiskRules {
        let rules = CurrentRiskRules::default();
        rules.replace(settings);
        rules
    }

    /// Puts other rules in force.
    pub(super) fn replace(&self, settings: &RiskSettings) {
        for (weight, value) in self.weights.iter().zip(settings.weights) {
            weight.store(value, Ordering::Relaxed);
        }
        for (threshold, value) in self.thresholds.iter().zip(thresholds(settings)) {
            threshold.store(value, Ordering::Relaxed);
        }
        self.is_enabled.store(settings.enabled, Ordering::Release);
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.is_enabled.load(Ordering::Acquire)
    }

    /// Returns the rules; `None` if signals are not collected.
    pub(super) fn in_force(&self) -> Option<RiskSettings> {
        if !self.is_enabled() {
            return None;
        }
        let thresholds = std::array::from_fn(|index| self.thresholds[index].load(Ordering::Relaxed));
        let [
            suspect_at,
            half_life_seconds,
            interval_gaps,
            interval_percent,
            first_instant_ms,
            addresses_max,
            agents_max,
            addresses_window_seconds,
            shared_buyers_max,
            shared_window_seconds,
            fast_checkout_ms,
        ]: [u32; THRESHOLDS] = thresholds;
        Some(RiskSettings {
            enabled: true,
            suspect_at,
            half_life_seconds,
            entries_max: 0,
            weights: std::array::from_fn(|index| self.weights[index].load(Ordering::Relaxed)),
            interval_gaps,
            interval_percent,
            first_instant_ms,
            addresses_max,
            agents_max,
            addresses_window_seconds,
            shared_buyers_max,
            shared_window_seconds,
            fast_checkout_ms,
        })
    }
}

fn thresholds(settings: &RiskSettings) -> [u32; THRESHOLDS] {
    [
        settings.suspect_at,
        settings.half_life_seconds,
        settings.interval_gaps,
        settings.interval_percent,
        settings.first_instant_ms,
        settings.addresses_max,
        settings.agents_max,
        settings.addresses_window_seconds,
        settings.shared_buyers_max,
        settings.shared_window_seconds,
        settings.fast_checkout_ms,
    ]
}
