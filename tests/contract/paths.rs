//! Paths of routes with values for their parameters.

use firstcome::http::routes::Route;

const PARAMETERS: [&str; 8] =
    ["{drop_id}", "{order_id}", "{provider}", "{endpoint_id}", "{auction_id}", "{buyer}", "{runbook}", "{token_id}"];

/// Returns a path with these values of its parameters.
pub(crate) fn filled(path: &str, values: [&str; 8]) -> String {
    PARAMETERS.into_iter().zip(values).fold(path.into(), |path, (name, value)| path.replace(name, value))
}

/// Returns the path of a route with the first of everything, and an order.
pub(crate) fn path_with(route: &Route, order: &str) -> String {
    filled(route.path, ["1", order, "sandbox", "1", "1", "ann", "FirstcomeDown", "0123456789ab"])
}
