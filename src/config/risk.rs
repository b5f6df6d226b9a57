//! The settings of bot signals.

use super::limits::Relation;
use super::model::{Config, RiskSettings};
use super::setting::{Setting, setting};
use super::values::{count, number, one_of};
use crate::types::Signal;

/// The largest weight, and the largest score from which buyers are suspected.
const POINTS_MAX: u64 = 1000;
/// Places of a buyer's memory for gaps, addresses and user agents.
const PLACES: u64 = 8;
const DAY_SECONDS: u64 = 86_400;

fn within(text: &str, min: u64, max: u64) -> Result<u32, String> {
    u32::try_from(number(text, min, max)?).map_err(|error| error.to_string())
}

fn weight(risk: &mut RiskSettings, signal: Signal, text: &str) -> Result<(), String> {
    risk.weights[signal as usize] = within(text, 0, POINTS_MAX)?;
    Ok(())
}

pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "risk.enabled",
        "true",
        "true, false",
        "collect bot signals of buyers to whom limits apply; exempt clients have none",
        |c, t| c.risk.enabled = one_of(t, "true", "false")?
    ),
    setting!(
        "risk.suspect_at",
        "80",
        "points",
        "score from which a buyer's tier is `suspected`; above each single weight, so that no signal suspects anybody by itself; at most the sum of all weights",
        |c, t| c.risk.suspect_at = within(t, 1, POINTS_MAX * 8)?
    ),
    setting!(
        "risk.half_life_seconds",
        "600",
        "s",
        "time in which the weight of a signal that is not raised again halves; a wrong suspicion ends by itself within minutes, and a bot raises its signals with each request",
        |c, t| c.risk.half_life_seconds = within(t, 1, DAY_SECONDS * 7)?
    ),
    setting!(
        "risk.entries_max",
        "100000",
        "entries",
        "buyers whose signals are remembered at once, 102 bytes each, and pairs of an address and a user agent, 34 bytes each, taken when they are needed; 4 MiB more for reads of drops; bounded together with `admission.entries_max`",
        |c, t| c.risk.entries_max = count(t, 1000, 300_000)?
    ),
    setting!(
        "risk.regular_intervals_weight",
        "50",
        "points",
        "weight of the signal `regular_intervals`: a buyer's writes come at equal intervals; reads do not count, since pages poll by a timer; 0: off",
        |c, t| weight(&mut c.risk, Signal::RegularIntervals, t)?
    ),
    setting!(
        "risk.regular_intervals_gaps",
        "6",
        "gaps",
        "gaps between writes that are compared; a person whose gaps vary by half of their mean has six that look equal in one of a thousand cases; a gap above a minute starts anew",
        |c, t| c.risk.interval_gaps = within(t, 3, PLACES)?
    ),
    setting!(
        "risk.regular_intervals_percent",
        "10",
        "%",
        "coefficient of variation (standard deviation by mean) below which gaps are regular; a program's timer varies by 1 to 5 %, a person's clicks by 50 % and more",
        |c, t| c.risk.interval_percent = within(t, 1, 50)?
    ),
    setting!(
        "risk.no_read_before_purchase_weight",
        "35",
        "points",
        "weight of the signal `no_read_before_purchase`: an order of a drop that neither its buyer nor their address has read in the last 24 hours; set 0 if an HTTP cache or the shop's back end answers the reads; 0: off",
        |c, t| weight(&mut c.risk, Signal::NoReadBeforePurchase, t)?
    ),
    setting!(
        "risk.first_instant_weight",
        "15",
        "points",
        "weight of the signal `first_instant`: a buyer's first order of a drop comes right after its start; low, because a person with a countdown succeeds at times; 0: off",
        |c, t| weight(&mut c.risk, Signal::FirstInstant, t)?
    ),
    setting!(
        "risk.first_instant_ms",
        "100",
        "ms",
        "time after a drop's start in which no person reacts: the fastest reactions to a sight take 150 ms, and the network adds to them",
        |c, t| c.risk.first_instant_ms = within(t, 1, 5000)?
    ),
    setting!(
        "risk.many_addresses_weight",
        "40",
        "points",
        "weight of the signal `many_addresses`: one buyer comes from many addresses or with many user agents; 0: off",
        |c, t| weight(&mut c.risk, Signal::ManyAddresses, t)?
    ),
    setting!(
        "risk.many_addresses_max",
        "5",
        "addresses",
        "addresses (IPv6: /64) of one buyer in the window without the signal: a telephone changes between networks",
        |c, t| c.risk.addresses_max = within(t, 1, PLACES - 1)?
    ),
    setting!(
        "risk.many_addresses_agents_max",
        "3",
        "user agents",
        "user agents of one buyer in the window without the signal: a telephone, a computer and an app",
        |c, t| c.risk.agents_max = within(t, 1, PLACES - 1)?
    ),
    setting!(
        "risk.many_addresses_window_seconds",
        "600",
        "s",
        "time in which a buyer's addresses and user agents are counted",
        |c, t| c.risk.addresses_window_seconds = within(t, 1, DAY_SECONDS)?
    ),
    setting!(
        "risk.shared_client_weight",
        "25",
        "points",
        "weight of the signal `shared_client`: many buyers come from one address with one user agent; low, because people behind a carrier's NAT with the same telephone look like that; 0: off",
        |c, t| weight(&mut c.risk, Signal::SharedClient, t)?
    ),
    setting!(
        "risk.shared_client_buyers_max",
        "30",
        "buyers",
        "distinct buyers of one address and one user agent in the window without the signal; counted with an error of a tenth",
        |c, t| c.risk.shared_buyers_max = within(t, 1, 200)?
    ),
    setting!(
        "risk.shared_client_window_seconds",
        "600",
        "s",
        "time in which the buyers of an address and a user agent are counted",
        |c, t| c.risk.shared_window_seconds = within(t, 1, DAY_SECONDS)?
    ),
    setting!(
        "risk.odd_headers_weight",
        "25",
        "points",
        "weight of the signal `odd_headers`: headers that browsers send are missing or contradict each other; low, because extensions for privacy change headers; trusted proxies that call for buyers and the wire protocol have none; 0: off",
        |c, t| weight(&mut c.risk, Signal::OddHeaders, t)?
    ),
    setting!(
        "risk.fast_checkout_weight",
        "25",
        "points",
        "weight of the signal `fast_checkout`: a checkout comes right after its reservation; set 0 if the shop's page sends both by itself; 0: off",
        |c, t| weight(&mut c.risk, Signal::FastCheckout, t)?
    ),
    setting!(
        "risk.fast_checkout_ms",
        "500",
        "ms",
        "time from a reservation to its checkout below which no person has filled in a form, not even by the browser's memory",
        |c, t| c.risk.fast_checkout_ms = within(t, 1, 60_000)?
    ),
    setting!(
        "risk.challenge_weight",
        "50",
        "points",
        "weight of the signal `challenge`: a challenge was failed, replayed, or solved faster than hardware can; 0: off",
        |c, t| weight(&mut c.risk, Signal::Challenge, t)?
    ),
];

impl Config {
    /// Returns the settings of bot signals that hold here.
    #[must_use]
    pub fn risk_here(&self) -> RiskSettings {
        self.risk.of_server(self.cluster.is_some())
    }
}

impl RiskSettings {
    /// A node of a cluster sees only some of the reads, so it never tells that a buyer has not read.
    fn of_server(mut self, is_node: bool) -> RiskSettings {
        if is_node {
            self.weights[Signal::NoReadBeforePurchase as usize] = 0;
        }
        self
    }
}

pub(super) fn relations(config: &Config) -> [Relation; 1] {
    let risk = &config.risk;
    let sum: u32 = risk.weights.iter().sum();
    [(
        ["risk.suspect_at", "risk.regular_intervals_weight"],
        !risk.enabled || risk.suspect_at <= sum,
        format!(
            "risk.suspect_at must be at most the sum of all risk.*_weight ({sum}); otherwise no score reaches it; risk.enabled = false switches signals off"
        ),
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_of_a_cluster_which_sees_some_reads_alone_never_tells_that_a_buyer_has_not_read() {
        let weight = |is_node| {
            let risk = Config::defaults().risk.of_server(is_node);
            risk.weights[Signal::NoReadBeforePurchase as usize]
        };
        assert!(weight(false) > 0 && weight(true) == 0);
    }

    fn mistakes(settings: &[(&str, &str)]) -> Vec<String> {
        let environment = settings.iter().map(|(key, value)| {
            let key = key.to_uppercase();
            (format!("FIRSTCOME__RISK__{key}"), (*value).to_string())
        });
        let wrong = Config::load(None, environment, &[]).err().unwrap_or_default();
        wrong.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_threshold_above_the_sum_of_all_weights_and_values_out_of_range_are_told_all_at_once() {
        assert_eq!(mistakes(&[]), [""; 0]);
        assert_eq!(mistakes(&[("suspect_at", "265")]), [""; 0], "the sum of the defaults");
        assert_eq!(mistakes(&[("suspect_at", "266"), ("enabled", "false")]), [""; 0]);
        let told = mistakes(&[
            ("suspect_at", "266"),
            ("half_life_seconds", "0"),
            ("regular_intervals_gaps", "9"),
            ("many_addresses_max", "8"),
        ]);
        for key in ["risk.suspect_at", "HALF_LIFE_SECONDS", "REGULAR_INTERVALS_GAPS", "MANY_ADDRESSES_MAX"] {
            assert!(told.iter().any(|line| line.contains(key)), "{key}: {told:#?}");
        }
        assert_eq!(told.len(), 4, "{told:#?}");
        assert_eq!(mistakes(&[("challenge_weight", "0"), ("suspect_at", "216")]).len(), 1, "the sum is 215");
    }
}
