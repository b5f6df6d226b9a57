//! Who may do what: THE table of role by route, and the one place that asks.

use std::cell::RefCell;
use std::net::IpAddr;

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName};

use super::Problem;
use super::routes::{Action, Listener, ROUTES};
use crate::admission::in_flight::Place;
use crate::admission::operators::Role;
use crate::admission::verified::VerifiedTokens;
use crate::admission::{Admission, Caller, TurnedAway};
use crate::types::UnixMillis;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What a caller must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Nothing: everybody may.
    Nothing,
    /// A buyer, where buyers have tokens.
    Buyer,
    /// An operator of this role at least, where operators have tokens.
    Role(Role),
}

/// What `?contacts=true` on the list of orders needs on top: everybody's personal data at once.
pub const CONTACTS_NEED: Role = Role::Owner;

/// What a route needs. An order's id is the key to it, so lists of orders are not for viewers.
#[must_use]
pub const fn need(action: Action) -> Need {
    match action {
        // Whose secret signed it is what counts: the handler looks at that.
        Action::HearProvider
        | Action::ListDrops
        | Action::GetDrop
        | Action::StreamDrop
        | Action::ListAuctions
        | Action::GetAuction
        | Action::StreamAuction
        | Action::ListBids
        | Action::OpenApi
        | Action::OrderPage
        | Action::DemoShop
        | Action::DemoReserve
        | Action::DemoCheckout
        | Action::DemoSandbox
        | Action::Healthz
        | Action::Readyz => Need::Nothing,
        Action::PlaceOrder
        | Action::GetOrder
        | Action::GetAuctionOrder
        | Action::Checkout
        | Action::CancelOrder
        | Action::PlaceBid
        | Action::BuyNow => Need::Buyer,
        Action::Audit | Action::Metrics => Need::Role(Role::Viewer),
        Action::CreateDrop
        | Action::CreateAuction
        | Action::CancelAuction
        | Action::PatchDrop
        | Action::PauseDrop
        | Action::ResumeDrop
        | Action::CloseDrop
        | Action::AdjustStock
        | Action::LookAtLastOrders
        | Action::UndoLastOrders
        | Action::RecordPayment
        | Action::RefundOrder
        | Action::SettleRefund
        | Action::ListPayments
        | Action::ListEndpoints
        | Action::GetEndpoint
        | Action::ListDeliveries
        | Action::ResendDeliveries
        | Action::ReadContact
        | Action::ListOrders
        | Action::SearchOrders => Need::Role(Role::Operator),
        // Whoever makes an endpoint has everything told to him.
        Action::EraseContact
        | Action::CreateEndpoint
        | Action::PatchEndpoint
        | Action::DeleteEndpoint
        | Action::RotateSecret => Need::Role(Role::Owner),
    }
}

/// Whether the answer has to wait for something, so that a client can have several in flight on one thread.
#[must_use]
pub const fn waits(action: Action) -> bool {
    match action {
        Action::GetDrop
        | Action::StreamDrop
        | Action::GetAuction
        | Action::StreamAuction
        | Action::GetOrder
        | Action::GetAuctionOrder
        | Action::OpenApi
        | Action::OrderPage
        | Action::DemoShop
        | Action::ListEndpoints
        | Action::GetEndpoint
        | Action::ListDeliveries
        | Action::Audit
        | Action::Metrics
        | Action::Healthz
        | Action::Readyz => false,
        // A provider's events take milliseconds each: few are in flight at once, however many a crowd's payments make.
        Action::HearProvider
        | Action::ListDrops
        | Action::ListAuctions
        | Action::ListBids
        | Action::PlaceBid
        | Action::BuyNow
        | Action::CreateAuction
        | Action::CancelAuction
        | Action::PlaceOrder
        | Action::Checkout
        | Action::CancelOrder
        | Action::DemoReserve
        | Action::DemoCheckout
        | Action::DemoSandbox
        | Action::CreateDrop
        | Action::PatchDrop
        | Action::PauseDrop
        | Action::ResumeDrop
        | Action::CloseDrop
        | Action::AdjustStock
        | Action::LookAtLastOrders
        | Action::UndoLastOrders
        | Action::RecordPayment
        | Action::RefundOrder
        | Action::SettleRefund
        | Action::ListPayments
        | Action::ReadContact
        | Action::EraseContact
        | Action::CreateEndpoint
        | Action::PatchEndpoint
        | Action::DeleteEndpoint
        | Action::RotateSecret
        | Action::ResendDeliveries
        | Action::ListOrders
        | Action::SearchOrders => true,
    }
}

/// The one bearer token of a request. Two are none: which of them would be meant?
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

/// Lets a request in, or not: who it is, and a place among what its address has in flight.
///
/// # Errors
/// `unauthorized`, `forbidden`, `rate-limited`.
pub fn admit<'server>(
    admission: &'server Admission,
    known: &RefCell<VerifiedTokens>,
    action: Action,
    headers: &HeaderMap,
    peer: IpAddr,
    now: impl FnOnce() -> UnixMillis,
) -> Result<(Caller, Option<Place<'server>>), Problem> {
    let turned_away = |turned_away| {
        admission.count(turned_away);
        match turned_away {
            TurnedAway::Unauthorized => Problem::Unauthorized,
            TurnedAway::Forbidden => Problem::Forbidden("The token's role may not do this."),
            TurnedAway::TooManyInFlight => Problem::RateLimited { in_flight_max: admission.in_flight_max() },
        }
    };
    let caller = identify(admission, known, action, headers, now).map_err(turned_away)?;
    let place = if waits(action) {
        let forwarded_for = headers.get_all(X_FORWARDED_FOR).iter().map(hyper::header::HeaderValue::as_bytes);
        admission.enter(&caller, peer, forwarded_for).map_err(turned_away)?
    } else {
        None
    };
    Ok((caller, place))
}

fn identify(
    admission: &Admission,
    known: &RefCell<VerifiedTokens>,
    action: Action,
    headers: &HeaderMap,
    now: impl FnOnce() -> UnixMillis,
) -> Result<Caller, TurnedAway> {
    match (need(action), &admission.buyers) {
        (Need::Nothing, _) | (Need::Buyer, None) => Ok(Caller::Anybody),
        (Need::Buyer, Some(buyers)) => {
            let token = bearer(headers).ok_or(TurnedAway::Unauthorized)?;
            buyers.check(token, &mut known.borrow_mut()).map(Caller::Buyer)
        }
        (Need::Role(least), _) => {
            let operator = admission.operators.check(bearer(headers), now())?;
            if operator.role >= least { Ok(Caller::Operator(operator)) } else { Err(TurnedAway::Forbidden) }
        }
    }
}

/// Returns the table of roles in `src/http/README.md`.
#[must_use]
pub fn roles_as_markdown() -> String {
    let mut table = String::from("| route | nobody | viewer | operator | owner |\n|---|---|---|---|---|\n");
    let mut row = |what: String, need: Need| {
        let roles = Role::ALL.map(|role| match need {
            Need::Nothing => "yes",
            Need::Role(least) if role >= least => "yes",
            Need::Role(_) | Need::Buyer => "",
        });
        let nobody = if need == Need::Nothing { "yes" } else { "" };
        table.push_str(&format!("| {what} | {nobody} | {} |\n", roles.join(" | ")));
    };
    for route in ROUTES.iter().filter(|route| route.listener == Listener::Admin) {
        row(format!("`{} {}`", route.method, route.path), need(route.action));
        if route.action == Action::ListOrders {
            row(format!("`{} {}?contacts=true`", route.method, route.path), Need::Role(CONTACTS_NEED));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_routes_need_a_role_and_public_ones_none() {
        for route in ROUTES {
            let need = need(route.action);
            let open = matches!(route.action, Action::Healthz | Action::Readyz);
            let is_role = matches!(need, Need::Role(_));
            assert_eq!(is_role, route.listener == Listener::Admin && !open, "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn the_readme_has_this_table() {
        let readme = include_str!("README.md");
        assert!(readme.contains(&roles_as_markdown()), "put this into src/http/README.md:\n{}", roles_as_markdown());
    }

    #[test]
    fn one_bearer_token_is_found_and_nothing_else() {
        let headers = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, hyper::header::HeaderValue::from_static(value));
            }
            bearer(&headers).map(String::from)
        };
        assert_eq!(headers(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(headers(&["bearer  abc"]).as_deref(), Some("abc"));
        for bad in [&[][..], &["abc"], &["Basic abc"], &["Bearer"], &["Bearer abc", "Bearer abc"]] {
            assert_eq!(headers(bad), None, "{bad:?}");
        }
    }
}
