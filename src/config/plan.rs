//! The plan of a sale, which alerts compare with the sale, and `firstcome preflight --plan` with the machine.

use super::setting::{Setting, setting};
use super::values::number;

fn planned(text: &str) -> Result<u32, String> {
    u32::try_from(number(text, 0, 1_000_000)?).map_err(|error| error.to_string())
}

fn many(text: &str) -> Result<u32, String> {
    u32::try_from(number(text, 0, 100_000_000)?).map_err(|error| error.to_string())
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
    setting!(
        "plan.buyers",
        "0",
        "buyers",
        "buyers who are expected at once, for `firstcome preflight --plan`: each has a connection, and memory",
        |c, t| c.plan.buyers = many(t)?
    ),
    setting!("plan.units", "0", "units", "units to be sold, for `firstcome preflight --plan`", |c, t| c.plan.units =
        many(t)?),
    setting!(
        "plan.orders_per_second",
        "0",
        "orders/s",
        "orders a second at the start of the sale, for `firstcome preflight --plan`, which needs it",
        |c, t| c.plan.orders_per_second = planned(t)?
    ),
    setting!(
        "plan.reads_per_second",
        "0",
        "reads/s",
        "reads and polls a second at the start that reach the server, for `firstcome preflight --plan`",
        |c, t| c.plan.reads_per_second = planned(t)?
    ),
];
