//! The plan of a sale, which alerts compare with the sale.

use super::setting::{Setting, setting};
use super::values::number;

fn planned(text: &str) -> Result<u32, String> {
    u32::try_from(number(text, 0, 1_000_000)?).map_err(|error| error.to_string())
}

pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "plan.requests_per_second",
        "0",
        "requests/s",
        "planned request rate of the sale; an alert fires above it; 0: no plan, no alert",
        |c, t| c.plan.requests_per_second = planned(t)?
    ),
    setting!(
        "plan.depletion_seconds",
        "0",
        "s",
        "planned time to sell a drop, evenly from its start; an alert fires when sales differ by a fifth of its units; 0: no plan, no alert",
        |c, t| c.plan.depletion_seconds = planned(t)?
    ),
];
