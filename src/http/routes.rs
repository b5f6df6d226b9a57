//! THE table of routes: what exists, for whom, and what it may answer. OpenAPI, metrics and the router come from it.

use hyper::Method;

use crate::telemetry::MeteredRoute;

/// Who calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listener {
    /// Buyers.
    Public,
    /// Operators.
    Admin,
}

/// What a route does; one handler each (`handlers::run`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    ListDrops,
    GetDrop,
    StreamDrop,
    PlaceOrder,
    GetOrder,
    Checkout,
    CancelOrder,
    ListAuctions,
    GetAuction,
    StreamAuction,
    ListBids,
    GetAuctionOrder,
    PlaceBid,
    BuyNow,
    CreateAuction,
    CancelAuction,
    HearProvider,
    OpenApi,
    OrderPage,
    DemoShop,
    DemoReserve,
    DemoCheckout,
    DemoSandbox,
    CreateDrop,
    PatchDrop,
    PauseDrop,
    ResumeDrop,
    CloseDrop,
    AdjustStock,
    LookAtLastOrders,
    UndoLastOrders,
    RecordPayment,
    RefundOrder,
    SettleRefund,
    ListPayments,
    CreateEndpoint,
    ListEndpoints,
    GetEndpoint,
    PatchEndpoint,
    DeleteEndpoint,
    RotateSecret,
    ListDeliveries,
    ResendDeliveries,
    ReadContact,
    EraseContact,
    ListOrders,
    SearchOrders,
    Audit,
    Metrics,
    Healthz,
    Readyz,
}

impl Action {
    /// Whether it is a page of the demonstration: for people with a browser, no part of the contract with clients.
    #[must_use]
    pub const fn is_demo(self) -> bool {
        matches!(self, Action::DemoShop | Action::DemoReserve | Action::DemoCheckout | Action::DemoSandbox)
    }
}

/// What stands in the place of the braces in a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parameter {
    /// Nothing: the path has no braces.
    None,
    /// A drop's number.
    Drop,
    /// An order's public id.
    Order,
    /// An auction's number.
    Auction,
    /// A payment provider's name.
    Provider,
    /// An endpoint's number.
    Endpoint,
}

/// One route.
pub struct Route {
    /// On which listener.
    pub listener: Listener,
    /// The method.
    pub method: Method,
    /// The path, with its parameter in braces.
    pub path: &'static str,
    /// What stands in the braces.
    pub parameter: Parameter,
    /// What it does.
    pub action: Action,
    /// What it does, in a few words. What it may answer stands in `answers`.
    pub summary: &'static str,
}

impl Route {
    /// How the metrics name it. Latencies of operators' routes are counted together: nobody tells them apart in a sale, and
    /// each would be as many series as a histogram has buckets.
    pub(super) fn measured(&'static self) -> MeteredRoute {
        let timed_as = match self.listener {
            Listener::Public => self.path,
            Listener::Admin => "operators",
        };
        MeteredRoute { path: self.path, method: self.method.as_str(), timed_as }
    }
}

const fn route(
    listener: Listener,
    method: Method,
    path: &'static str,
    parameter: Parameter,
    action: Action,
    summary: &'static str,
) -> Route {
    Route { listener, method, path, parameter, action, summary }
}

use Action as A;
use Listener::{Admin, Public};
use Parameter as P;

const ENDPOINT: &str = "/v1/webhook-endpoints/{endpoint_id}";

const AUCTION: &str = "/v1/auctions/{auction_id}";
const BIDS: &str = "/v1/auctions/{auction_id}/bids";

/// Every route.
pub static ROUTES: &[Route] = &[
    route(Public, Method::GET, "/v1/drops", P::None, A::ListDrops, "List drops"),
    route(Public, Method::GET, "/v1/drops/{drop_id}", P::Drop, A::GetDrop, "Read a drop"),
    route(Public, Method::GET, "/v1/drops/{drop_id}/stream", P::Drop, A::StreamDrop, "Follow a drop"),
    route(Public, Method::POST, "/v1/drops/{drop_id}/orders", P::Drop, A::PlaceOrder, "Order units of a drop"),
    route(Public, Method::GET, "/v1/orders/{order_id}", P::Order, A::GetOrder, "Read an order"),
    route(Public, Method::POST, "/v1/orders/{order_id}/checkout", P::Order, A::Checkout, "Go on to payment"),
    route(Public, Method::POST, "/v1/orders/{order_id}/cancel", P::Order, A::CancelOrder, "Give the units back"),
    route(Public, Method::GET, "/v1/auctions", P::None, A::ListAuctions, "List auctions"),
    route(Public, Method::GET, AUCTION, P::Auction, A::GetAuction, "Read an auction"),
    route(Public, Method::GET, "/v1/auctions/{auction_id}/stream", P::Auction, A::StreamAuction, "Follow an auction"),
    route(Public, Method::GET, BIDS, P::Auction, A::ListBids, "List an auction's accepted bids"),
    route(
        Public,
        Method::GET,
        "/v1/auctions/{auction_id}/order",
        P::Auction,
        A::GetAuctionOrder,
        "Read the order that an auction led to",
    ),
    route(Public, Method::POST, BIDS, P::Auction, A::PlaceBid, "Bid in an auction"),
    route(
        Public,
        Method::POST,
        "/v1/auctions/{auction_id}/buy-now",
        P::Auction,
        A::BuyNow,
        "Take it before the first bid",
    ),
    route(
        Public,
        Method::POST,
        "/v1/payments/{provider}",
        P::Provider,
        A::HearProvider,
        "Take in a payment provider's webhook",
    ),
    route(Public, Method::GET, "/pay/{order_id}", P::Order, A::OrderPage, "The page of an order, where it is paid"),
    route(Public, Method::GET, "/", P::None, A::DemoShop, "The demo shop"),
    route(Public, Method::POST, "/", P::None, A::DemoReserve, "Reserve in the demo shop"),
    route(Public, Method::POST, "/pay/{order_id}/checkout", P::Order, A::DemoCheckout, "Check out in the demo shop"),
    route(Public, Method::POST, "/pay/{order_id}/sandbox", P::Order, A::DemoSandbox, "Pay with play money"),
    route(Public, Method::GET, "/openapi.json", P::None, A::OpenApi, "Describe this"),
    route(Admin, Method::POST, "/v1/drops", P::None, A::CreateDrop, "Create a drop"),
    route(Admin, Method::PATCH, "/v1/drops/{drop_id}", P::Drop, A::PatchDrop, "Change a drop"),
    route(Admin, Method::POST, "/v1/drops/{drop_id}/pause", P::Drop, A::PauseDrop, "Stop new orders"),
    route(Admin, Method::POST, "/v1/drops/{drop_id}/resume", P::Drop, A::ResumeDrop, "Let orders in again"),
    route(Admin, Method::POST, "/v1/drops/{drop_id}/close", P::Drop, A::CloseDrop, "End a drop for good"),
    route(Admin, Method::POST, "/v1/drops/{drop_id}/stock", P::Drop, A::AdjustStock, "Add or take free units"),
    route(
        Admin,
        Method::GET,
        "/v1/drops/{drop_id}/remedy",
        P::Drop,
        A::LookAtLastOrders,
        "Show the last live and paid orders",
    ),
    route(
        Admin,
        Method::POST,
        "/v1/drops/{drop_id}/remedy",
        P::Drop,
        A::UndoLastOrders,
        "Cancel and refund the last orders",
    ),
    route(Admin, Method::POST, "/v1/auctions", P::None, A::CreateAuction, "Create an auction"),
    route(Admin, Method::POST, "/v1/auctions/{auction_id}/cancel", P::Auction, A::CancelAuction, "Call an auction off"),
    route(
        Admin,
        Method::POST,
        "/v1/orders/{order_id}/payments",
        P::Order,
        A::RecordPayment,
        "Record a payment by hand",
    ),
    route(Admin, Method::POST, "/v1/orders/{order_id}/refund", P::Order, A::RefundOrder, "Refund an order"),
    route(
        Admin,
        Method::POST,
        "/v1/orders/{order_id}/refund-settled",
        P::Order,
        A::SettleRefund,
        "Record that a refund was paid out",
    ),
    route(Admin, Method::GET, "/v1/orders/{order_id}/payments", P::Order, A::ListPayments, "List an order's payments"),
    route(Admin, Method::GET, "/v1/orders/{order_id}/contact", P::Order, A::ReadContact, "Read a contact (audited)"),
    route(
        Admin,
        Method::DELETE,
        "/v1/orders/{order_id}/contact",
        P::Order,
        A::EraseContact,
        "Erase a contact (audited)",
    ),
    route(Admin, Method::GET, "/v1/orders", P::None, A::ListOrders, "List orders, as JSON or CSV"),
    route(Admin, Method::POST, "/v1/orders/search", P::None, A::SearchOrders, "Find orders by contact or code"),
    route(Admin, Method::POST, "/v1/webhook-endpoints", P::None, A::CreateEndpoint, "Tell somebody what happens"),
    route(Admin, Method::GET, "/v1/webhook-endpoints", P::None, A::ListEndpoints, "List who is told"),
    route(Admin, Method::GET, ENDPOINT, P::Endpoint, A::GetEndpoint, "Read an endpoint"),
    route(Admin, Method::PATCH, ENDPOINT, P::Endpoint, A::PatchEndpoint, "Change an endpoint"),
    route(Admin, Method::DELETE, ENDPOINT, P::Endpoint, A::DeleteEndpoint, "Forget an endpoint and its deliveries"),
    route(
        Admin,
        Method::POST,
        "/v1/webhook-endpoints/{endpoint_id}/rotate-secret",
        P::Endpoint,
        A::RotateSecret,
        "Make a new secret; the old one signs for 24 hours more",
    ),
    route(
        Admin,
        Method::GET,
        "/v1/webhook-endpoints/{endpoint_id}/deliveries",
        P::Endpoint,
        A::ListDeliveries,
        "List deliveries that failed",
    ),
    route(
        Admin,
        Method::POST,
        "/v1/webhook-endpoints/{endpoint_id}/resend",
        P::Endpoint,
        A::ResendDeliveries,
        "Deliver again, from an event on",
    ),
    route(Admin, Method::GET, "/v1/audit", P::None, A::Audit, "Read or follow the audit"),
    route(Admin, Method::GET, "/metrics", P::None, A::Metrics, "Metrics for Prometheus"),
    route(Admin, Method::GET, "/healthz", P::None, A::Healthz, "The process is alive"),
    route(Admin, Method::GET, "/readyz", P::None, A::Readyz, "It may take traffic"),
];

/// What a path and a method lead to.
#[derive(Debug)]
pub enum Found<'path> {
    /// A route, by its index in [`ROUTES`], and what stands in the braces.
    Route(usize, &'path str),
    /// Other methods.
    OtherMethods(String),
    /// Nothing.
    Nothing,
}

/// The routes of one listener.
pub struct Router {
    paths: matchit::Router<Vec<usize>>,
}

impl Router {
    /// The router of a listener.
    ///
    /// # Panics
    /// If two routes of the table contradict each other: at the start, before anything is served.
    #[must_use]
    pub fn new(listener: Listener) -> Router {
        let mut by_path: std::collections::BTreeMap<&str, Vec<usize>> = std::collections::BTreeMap::new();
        for (index, route) in ROUTES.iter().enumerate().filter(|(_, route)| route.listener == listener) {
            by_path.entry(route.path).or_default().push(index);
        }
        let mut paths = matchit::Router::new();
        for (path, indexes) in by_path {
            paths
                .insert(path, indexes)
                .unwrap_or_else(|error| panic!("the table of routes is ambiguous: {path}: {error}"));
        }
        Router { paths }
    }

    /// Looks up a request. HEAD is answered where GET is.
    #[must_use]
    pub fn find<'path>(&self, method: &Method, path: &'path str) -> Found<'path> {
        let Ok(matched) = self.paths.at(path) else { return Found::Nothing };
        let asked = if method == Method::HEAD { &Method::GET } else { method };
        let route = |index: usize| ROUTES.get(index);
        let found = matched.value.iter().copied().find(|index| route(*index).is_some_and(|r| r.method == *asked));
        match found {
            Some(index) => {
                let parameter = matched.params.iter().next().map_or("", |(_, value)| value);
                Found::Route(index, parameter)
            }
            None => {
                let mut methods: Vec<_> =
                    matched.value.iter().filter_map(|index| route(*index)).map(|r| r.method.as_str()).collect();
                // HEAD is answered where GET is, so it is allowed there too (RFC 9110, 10.2.1).
                if methods.contains(&"GET") {
                    methods.push("HEAD");
                }
                Found::OtherMethods(methods.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_their_route_and_parameter() {
        let public = Router::new(Listener::Public);
        let action = |found: Found<'_>| match found {
            Found::Route(index, parameter) => Some((ROUTES[index].action, parameter.to_string())),
            Found::OtherMethods(_) | Found::Nothing => None,
        };
        assert_eq!(action(public.find(&Method::GET, "/v1/drops/7")), Some((Action::GetDrop, "7".into())));
        assert_eq!(action(public.find(&Method::HEAD, "/v1/drops/7")), Some((Action::GetDrop, "7".into())));
        assert_eq!(action(public.find(&Method::POST, "/v1/drops/7/orders")), Some((Action::PlaceOrder, "7".into())));
        assert!(
            matches!(public.find(&Method::DELETE, "/v1/drops/7"), Found::OtherMethods(allow) if allow == "GET, HEAD")
        );
        assert!(matches!(public.find(&Method::GET, "/metrics"), Found::Nothing), "operators' routes are not public");
        let admin = Router::new(Listener::Admin);
        assert_eq!(action(admin.find(&Method::POST, "/v1/orders/search")), Some((Action::SearchOrders, String::new())));
    }

    #[test]
    fn parameters_stand_where_the_braces_are() {
        for route in ROUTES {
            let expected = match route.parameter {
                Parameter::None => "",
                Parameter::Drop => "{drop_id}",
                Parameter::Order => "{order_id}",
                Parameter::Auction => "{auction_id}",
                Parameter::Provider => "{provider}",
                Parameter::Endpoint => "{endpoint_id}",
            };
            assert!(route.path.contains(expected), "{}", route.path);
            assert_eq!(route.path.contains('{'), !expected.is_empty(), "{}", route.path);
        }
    }
}
