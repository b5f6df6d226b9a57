//! Asks the admin listener for the signals of the buyers who were suspected.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::plan::CrowdPlan;
use super::population::Population;
use super::requests::CrowdRequests;
use super::tally::CrowdTally;
use crate::exit::Exit;

/// Buyers whose answer is awaited at once.
const AT_ONCE: usize = 8;

/// The names of the signals of each suspected buyer, by number.
pub(super) type SuspectedSignals = BTreeMap<u32, Vec<String>>;

/// The part of a buyer's tier that is counted.
#[derive(Deserialize)]
struct TierOfBuyer {
    #[serde(default)]
    risk_signals: Vec<String>,
}

/// Reads the signals of all suspected buyers, soon after the run: most of their weights are left.
///
/// # Errors
/// 69: the admin listener does not answer.
pub(super) async fn of_suspected(
    plan: &CrowdPlan,
    population: &Population,
    requests: &CrowdRequests,
    tally: &CrowdTally,
) -> Result<SuspectedSignals, Exit> {
    let buyers = population.members.iter().zip(&tally.buyers);
    let suspected: Vec<u32> = buyers.filter(|(_, buyer)| buyer.is_suspected).map(|(member, _)| member.number).collect();
    let mut signals = SuspectedSignals::new();
    for some in suspected.chunks(AT_ONCE) {
        let mut asking = tokio::task::JoinSet::new();
        for number in some {
            let (admin, number, path) =
                (plan.admin.clone(), *number, format!("/v1/buyers/{}/tier", requests.buyer(*number)));
            asking.spawn(async move { (number, admin.get_json(&path).await) });
        }
        while let Some(asked) = asking.join_next().await {
            let (number, tier) = asked.map_err(|error| Exit::bug(format!("a request failed: {error}")))?;
            let tier = tier.map_err(|error| plan.admin.exit("GET /v1/buyers/{buyer}/tier", &error))?;
            let tier: TierOfBuyer = serde_json::from_value(tier)
                .map_err(|error| Exit::unavailable(format!("invalid response: a buyer's tier: {error}")))?;
            signals.insert(number, tier.risk_signals);
        }
    }
    Ok(signals)
}
