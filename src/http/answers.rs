//! What each route may answer: the one typed place. The OpenAPI document is made from it, and in debug builds every
//! answer that leaves is held against it, so that each test of the server is a test of this table too.

use hyper::StatusCode;

use super::access::{self, Need};
use super::code::Code;
use super::routes::{Action, Listener, ROUTES};

/// What a route may answer, besides what every route may.
#[derive(Clone, Copy)]
pub struct Answers {
    /// The statuses of a good end.
    pub good: &'static [u16],
    /// The codes of its problems, in groups.
    pub problems: &'static [&'static [Code]],
}

/// The mistakes of a body.
const BODY: &[Code] = &[Code::UnsupportedMediaType, Code::BodyTooLarge, Code::Malformed, Code::Validation];
/// The mistakes of a signed body, which may be of any media type.
const SIGNED: &[Code] = &[Code::Unauthorized, Code::BodyTooLarge, Code::Malformed, Code::Validation];
/// The mistakes of a query.
const QUERY: &[Code] = &[Code::Validation];
/// The mistakes of an idempotency key.
const KEY: &[Code] = &[Code::KeyMissing, Code::KeyReused];
/// What the way to the writer may say.
const WRITER: &[Code] = &[Code::Overloaded, Code::Draining, Code::ReadOnly, Code::OutcomeUnknown];
/// What the desk may say, and a serving thread that has too many streams.
const BUSY: &[Code] = &[Code::Overloaded];
/// An id that is none.
const ID: &[Code] = &[Code::NotFound];
/// An order that is not where the command needs it.
const STATE: &[Code] = &[Code::OrderExpired, Code::IllegalTransition];
/// What a drop says to an order.
const DROP: &[Code] = &[Code::NotStarted, Code::Ended, Code::DropPaused, Code::LimitReached, Code::SoldOut];

/// What an auction says to a bid.
const AUCTION: &[Code] = &[Code::NotStarted, Code::Ended, Code::BidTooLow];

/// What an action may answer.
#[must_use]
pub const fn of(action: Action) -> Answers {
    use Action as A;
    const fn answers(good: &'static [u16], problems: &'static [&'static [Code]]) -> Answers {
        Answers { good, problems }
    }
    match action {
        A::ListDrops | A::ListAuctions => answers(&[200], &[QUERY, BUSY]),
        A::GetDrop | A::GetOrder | A::GetAuction => answers(&[200, 304], &[ID]),
        // Forbidden: the query names another buyer than the token.
        A::GetAuctionOrder => answers(&[200, 304], &[&[Code::Forbidden], QUERY, ID]),
        A::StreamDrop | A::StreamAuction => answers(&[200], &[ID, BUSY]),
        // Forbidden: the body names another buyer than the token.
        A::PlaceOrder => answers(&[201], &[&[Code::Forbidden], BODY, KEY, ID, DROP, WRITER]),
        A::ListBids => answers(&[200], &[QUERY, ID, BUSY]),
        A::PlaceBid => answers(&[201], &[&[Code::Forbidden], BODY, KEY, ID, AUCTION, &[Code::LimitReached], WRITER]),
        // A key belongs to the buyer and the one thing there is: there are no other parameters.
        A::BuyNow => answers(&[201], &[&[Code::Forbidden], BODY, &[Code::KeyMissing], ID, AUCTION, WRITER]),
        A::Checkout | A::RecordPayment | A::SettleRefund => answers(&[200], &[BODY, ID, STATE, WRITER]),
        // An unknown id is a page too.
        A::OrderPage => answers(&[200, 303, 404], &[]),
        // Refusals are pages too.
        A::DemoShop => answers(&[200], &[ID]),
        A::DemoReserve | A::DemoCheckout => answers(&[303, 409], &[BODY, ID, WRITER]),
        A::DemoSandbox => answers(&[303], &[BODY, ID, WRITER]),
        A::CancelOrder => answers(&[200], &[ID, STATE, WRITER]),
        A::HearProvider => answers(&[200], &[SIGNED, ID, WRITER]),
        A::CreateDrop | A::CreateAuction => answers(&[201], &[BODY, KEY, WRITER]),
        A::PatchDrop | A::AdjustStock => answers(&[200], &[BODY, ID, &[Code::Ended, Code::PreconditionFailed], WRITER]),
        A::PauseDrop | A::CancelAuction => answers(&[200], &[BODY, ID, &[Code::Ended], WRITER]),
        A::ResumeDrop => answers(&[200], &[BODY, ID, &[Code::Ended, Code::IllegalTransition], WRITER]),
        A::CloseDrop => answers(&[200], &[BODY, ID, WRITER]),
        A::LookAtLastOrders => answers(&[200], &[QUERY, ID]),
        // What the way to the writer says is told of each order.
        A::UndoLastOrders => answers(&[200], &[BODY, ID]),
        A::RefundOrder => answers(&[200], &[BODY, KEY, ID, STATE, WRITER]),
        A::ListPayments => answers(&[200], &[ID]),
        A::CreateEndpoint => answers(&[201], &[BODY, KEY, ID, WRITER]),
        A::ListEndpoints => answers(&[200], &[]),
        A::GetEndpoint => answers(&[200], &[ID]),
        A::PatchEndpoint | A::RotateSecret | A::ResendDeliveries => answers(&[200], &[BODY, ID, WRITER]),
        A::DeleteEndpoint => answers(&[204], &[ID, WRITER]),
        A::ListDeliveries => answers(&[200], &[QUERY, ID]),
        A::ReadContact => answers(&[200], &[ID, WRITER]),
        A::EraseContact => answers(&[204], &[ID, WRITER]),
        A::ListOrders => answers(&[200], &[QUERY, ID, WRITER]),
        A::SearchOrders => answers(&[200], &[BODY]),
        A::Audit => answers(&[200], &[QUERY, ID, BUSY]),
        A::OpenApi | A::Metrics | A::Healthz => answers(&[200], &[]),
        A::Readyz => answers(&[200], &[&[Code::Draining]]),
    }
}

/// What every route of a listener may answer.
#[must_use]
pub const fn everywhere(listener: Listener) -> &'static [Code] {
    match listener {
        Listener::Public => &[Code::Internal],
        // A Host header of another name, or a token whose role may not do this.
        Listener::Admin => &[Code::Forbidden, Code::Internal],
    }
}

/// What a request is told that leads to no route, or whose head is not well formed.
pub const UNROUTED: &[Code] = &[Code::Malformed, Code::NotFound, Code::MethodNotAllowed, Code::Forbidden];

/// The codes that a route may answer.
pub fn problems(listener: Listener, action: Action) -> impl Iterator<Item = Code> {
    let unauthorized = (access::need(action) != Need::Nothing).then_some(Code::Unauthorized);
    let limited = access::waits(action).then_some(Code::RateLimited);
    let own = of(action).problems.iter().copied().flatten().chain(everywhere(listener)).copied();
    own.chain(unauthorized).chain(limited)
}

/// Whether a route, by its index in the table, may answer this. An index past the table is no route.
#[must_use]
pub fn allowed(route: usize, answer: Result<StatusCode, Code>) -> bool {
    let Some(route) = ROUTES.get(route) else {
        return answer.map_or_else(|code| UNROUTED.contains(&code), |status| status == StatusCode::NO_CONTENT);
    };
    match answer {
        Ok(status) => of(route.action).good.contains(&status.as_u16()),
        Err(code) => problems(route.listener, route.action).any(|known| known == code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_route_lists_a_code_twice() {
        for route in ROUTES {
            let mut codes: Vec<Code> = problems(route.listener, route.action).collect();
            codes.sort_unstable();
            assert!(codes.windows(2).all(|pair| pair[0] != pair[1]), "{:?}: {codes:?}", route.action);
        }
    }

    #[test]
    fn what_is_not_listed_is_not_allowed() {
        let index = |action| ROUTES.iter().position(|route| route.action == action).expect("a route");
        let order = index(Action::PlaceOrder);
        assert!(allowed(order, Ok(StatusCode::CREATED)) && !allowed(order, Ok(StatusCode::OK)));
        assert!(allowed(order, Err(Code::SoldOut)) && !allowed(order, Err(Code::OrderExpired)));
        assert!(allowed(ROUTES.len(), Err(Code::MethodNotAllowed)) && !allowed(ROUTES.len(), Err(Code::SoldOut)));
    }
}
