//! What a sale is planned to be: the alerts hold the sale against it.

use super::Setting;
use super::settings::setting;
use super::values::number;

/// The plan of a sale; 0: there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlanSettings {
    pub requests_per_second: u32,
    pub depletion_seconds: u32,
}

/// A number up to a million, or 0 for no plan.
fn planned(text: &str) -> Result<u32, String> {
    u32::try_from(number(text, 0, 1_000_000)?).map_err(|error| error.to_string())
}

/// Its part of the table.
pub(super) const SETTINGS: [Setting; 2] = [
    setting!(
        "plan.requests_per_second",
        "0",
        "requests/s",
        "that the sale was planned for: an alert tells when there are more; 0: no plan, no alert",
        |c, t| c.plan.requests_per_second = planned(t)?
    ),
    setting!(
        "plan.depletion_seconds",
        "0",
        "s",
        "in which a drop is to be sold, evenly from its start: an alert tells when it is a fifth of its units off; 0: no plan, no alert",
        |c, t| c.plan.depletion_seconds = planned(t)?
    ),
];
