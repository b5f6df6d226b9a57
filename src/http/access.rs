//! Authenticates a request, checks its role, and counts it against the limits: of requests in flight, and of requests a
//! minute.

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Instant;

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName};

use super::route::{RequiredRole, Route};
use crate::admission::buyers::TOKEN_BYTES_MAX;
use crate::admission::in_flight::InFlightPermit;
use crate::admission::limits::{Client, Exceeded, Passed};
use crate::admission::operators::Role;
use crate::admission::peer::Peer;
use crate::admission::verified::{VerifiedToken, VerifiedTokens};
use crate::admission::{Admission, Caller, Rejected, Unidentified};
use crate::api::Problem;
use crate::failpoints::{Bug, enabled};
use crate::types::{BuyerText, UnixMillis};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The role that `?contacts=true` on the list of orders needs: it exports the personal data of all buyers at once.
pub const CONTACTS_NEED: Role = Role::Owner;

/// Returns the bearer token. More than one `Authorization` header is ambiguous and counts as none.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

/// A request that may be handled.
pub struct AdmittedRequest<'server> {
    pub caller: Caller,
    /// The sender, as rate limits count it.
    pub client: Client,
    /// A write's charges, if limits apply to it.
    pub passed: Option<Box<Passed>>,
    pub permit: Option<InFlightPermit<'server>>,
}

/// Identifies the caller of a request, checks the role, acquires a permit if the route counts in flight, and charges the rate
/// limits. `note_write` sees a write whose buyer a token names, before it is charged.
///
/// # Errors
/// `unauthorized`, `forbidden`, `rate-limited`.
pub fn admit<'server>(
    admission: &'server Admission,
    known: &RefCell<VerifiedTokens>,
    route: &Route,
    headers: &HeaderMap,
    (peer, started): (&Peer, Instant),
    now: impl FnOnce() -> UnixMillis,
    note_write: impl FnOnce(Client, &BuyerText),
) -> Result<AdmittedRequest<'server>, Problem> {
    let client = if route.is_limited { admission.client_over(peer, || forwarded_for(headers)) } else { Client::EXEMPT };
    let caller = match identify(admission, known, route, headers, (client, started), now) {
        Ok(caller) => caller,
        Err(Unidentified::OverLimit(exceeded)) => return Err(over_limit(exceeded)),
        Err(Unidentified::Rejected(rejected)) => {
            // A client that guesses tokens is limited like one without a token.
            charge(admission, route, (peer, client), &Caller::Anonymous, started)?;
            return Err(problem(admission, rejected));
        }
    };
    let permit = if route.counts_in_flight { permit(admission, &caller, headers, peer.address())? } else { None };
    if let (false, false, Some(buyer)) = (client.is_exempt(), route.is_read(), caller.buyer()) {
        note_write(client, buyer);
    }
    let passed = charge(admission, route, (peer, client), &caller, started)?;
    Ok(AdmittedRequest { caller, client, passed, permit })
}

#[inline(never)] // scripts/instructions.sh counts its instructions by its name
fn charge(
    admission: &Admission,
    route: &Route,
    (peer, client): (&Peer, Client),
    caller: &Caller,
    started: Instant,
) -> Result<Option<Box<Passed>>, Problem> {
    if client.is_exempt() {
        return Ok(None);
    }
    if route.is_read() {
        return admission.door.read_over(peer, client, caller, started).map(|()| None).map_err(over_limit);
    }
    let passed = admission.door.write(client, caller, started).map_err(over_limit)?;
    Ok((!passed.is_unlimited()).then(|| Box::new(passed)))
}

/// Returns the problem of a request without room.
pub(super) fn over_limit(Exceeded(policies): Exceeded) -> Problem {
    Problem::OverLimit(policies)
}

fn forwarded_for(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = &[u8]> {
    headers.get_all(X_FORWARDED_FOR).iter().map(hyper::header::HeaderValue::as_bytes)
}

/// Returns the address of a client: that of its connection, or the one that a trusted proxy forwards.
pub fn address(admission: &Admission, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
    admission.address(peer, forwarded_for(headers))
}

/// Counts a request as in flight.
///
/// # Errors
/// `rate-limited`.
pub fn permit<'server>(
    admission: &'server Admission,
    caller: &Caller,
    headers: &HeaderMap,
    peer: IpAddr,
) -> Result<Option<InFlightPermit<'server>>, Problem> {
    admission.acquire_permit(caller, peer, forwarded_for(headers)).map_err(|rejected| problem(admission, rejected))
}

/// Checks that an operator sends the request, of whatever role.
///
/// # Errors
/// `unauthorized`.
pub fn check_operator(
    admission: &Admission,
    headers: &HeaderMap,
    now: impl FnOnce() -> UnixMillis,
) -> Result<(), Problem> {
    let found = admission.operators.check(bearer(headers), now());
    found.map(|_any_role| ()).map_err(|rejected| problem(admission, rejected))
}

/// Counts a rejection, and returns its problem.
fn problem(admission: &Admission, rejected: Rejected) -> Problem {
    admission.count(rejected);
    match rejected {
        Rejected::Unauthorized => Problem::Unauthorized,
        Rejected::TokenTooLong => Problem::TokenTooLong { max: TOKEN_BYTES_MAX },
        Rejected::Forbidden => Problem::Forbidden("The token's role may not do this."),
        Rejected::TooManyInFlight => Problem::RateLimited { in_flight_max: admission.in_flight_max() },
    }
}

fn identify(
    admission: &Admission,
    known: &RefCell<VerifiedTokens>,
    route: &Route,
    headers: &HeaderMap,
    sender: (Client, Instant),
    now: impl FnOnce() -> UnixMillis,
) -> Result<Caller, Unidentified> {
    let of_buyer = |buyers, token| {
        let VerifiedToken { buyer, tier, .. } =
            admission.identify_buyer(buyers, token, &mut known.borrow_mut(), sender)?;
        Ok(Caller::Buyer(buyer, tier))
    };
    match (route.required_role, &admission.buyers) {
        // A token that is not needed gives a read its buyer's budget; one that is wrong gives it nothing.
        (RequiredRole::None, Some(buyers)) if !sender.0.is_exempt() && route.is_read() => {
            match bearer(headers).map(|token| of_buyer(buyers, token)) {
                Some(Err(over_limit @ Unidentified::OverLimit(_))) => Err(over_limit),
                Some(Err(Unidentified::Rejected(_))) | None => Ok(Caller::Anonymous),
                Some(Ok(caller)) => Ok(caller),
            }
        }
        (RequiredRole::None, _) | (RequiredRole::Buyer, None) => Ok(Caller::Anonymous),
        (RequiredRole::Buyer, Some(buyers)) => of_buyer(buyers, bearer(headers).ok_or(Rejected::Unauthorized)?),
        (RequiredRole::Operator(least), _) => {
            let operator = admission.operators.check(bearer(headers), now())?;
            let may = operator.role >= least || enabled(Bug::ViewerMay);
            if may { Ok(Caller::Operator(operator)) } else { Err(Rejected::Forbidden.into()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
