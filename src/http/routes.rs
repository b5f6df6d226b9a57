//! The table of routes: the rows of all handlers' files. OpenAPI, metrics and the router are made from it.

use std::rc::Rc;

use super::handlers::{
    Handler, HandlerResponse, RouteEntry, assets, auctions, audit, backups, buyers, challenges, console, contacts,
    docs, draws, drops, endpoints, health, metrics, nodes, order_batches, order_history, order_lists, order_payments,
    orders, pages, payments, preflight, provider_events, reports, rooms, standby, storefront, storefront_auctions,
    storefront_list, storefront_rooms, storefront_standby, streams, tokens, undo,
};
use super::request::Call;
pub use super::route::{Listener, RequiredRole, Route};
use super::worker::Worker;
use crate::api::Problem;

/// The files' rows. Their order is that of the roles table in `src/http/README.md`.
const ROWS: &[&[RouteEntry]] = &[
    drops::ROUTES,
    challenges::ROUTES,
    streams::ROUTES,
    rooms::ROUTES,
    draws::ROUTES,
    standby::ROUTES,
    undo::ROUTES,
    reports::ROUTES,
    auctions::ROUTES,
    orders::ROUTES,
    order_batches::ROUTES,
    order_payments::ROUTES,
    order_history::ROUTES,
    payments::ROUTES,
    contacts::ROUTES,
    order_lists::ROUTES,
    provider_events::ROUTES,
    pages::ROUTES,
    storefront_list::ROUTES,
    storefront::ROUTES,
    storefront_auctions::ROUTES,
    storefront_rooms::ROUTES,
    storefront_standby::ROUTES,
    assets::ROUTES,
    endpoints::ROUTES,
    buyers::ROUTES,
    audit::ROUTES,
    tokens::ROUTES,
    backups::ROUTES,
    preflight::ROUTES,
    nodes::ROUTES,
    console::ROUTES,
    metrics::ROUTES,
    docs::ROUTES,
    health::ROUTES,
];

const COUNT: usize = {
    let (mut count, mut file) = (0, 0);
    while file < ROWS.len() {
        count += ROWS[file].len();
        file += 1;
    }
    count
};

const fn concatenated() -> [&'static RouteEntry; COUNT] {
    let mut all = [&ROWS[0][0]; COUNT];
    let (mut index, mut file) = (0, 0);
    while file < ROWS.len() {
        let mut row = 0;
        while row < ROWS[file].len() {
            all[index] = &ROWS[file][row];
            index += 1;
            row += 1;
        }
        file += 1;
    }
    all
}

static HANDLERS: [&RouteEntry; COUNT] = concatenated();

/// Every route. A route is known by its index here.
pub static ROUTES: [&Route; COUNT] = {
    let rows = concatenated();
    let mut routes = [&rows[0].route; COUNT];
    let mut index = 0;
    while index < COUNT {
        routes[index] = &rows[index].route;
        index += 1;
    }
    routes
};

/// Runs the handler of a route, or begins to.
pub(super) fn handle(worker: &Rc<Worker>, route: usize, call: Call) -> HandlerResponse<'_> {
    match HANDLERS.get(route).map(|entry| entry.handler) {
        Some(Handler::Now(handler)) => HandlerResponse::Now(handler(worker, &call)),
        Some(Handler::Later(handler)) => HandlerResponse::Later(handler(worker, call)),
        None => HandlerResponse::Now(Err(Problem::NotFound)),
    }
}

#[cfg(test)]
mod tests {
    use hyper::{Method, StatusCode};

    use super::*;
    use crate::admission::operators::Role;
    use crate::api::code::Code;
    use crate::http::access::CONTACTS_NEED;
    use crate::http::route::allows;
    use crate::http::router::{RouteMatch, Router};

    #[test]
    fn paths_lead_to_their_route_and_parameter() {
        let public = Router::new(&ROUTES, Listener::Public);
        let operation = |found: RouteMatch<'_>| match found {
            RouteMatch::Route(index, parameter) => Some((ROUTES[index].operation, parameter.to_string())),
            RouteMatch::OtherMethods(_) | RouteMatch::Nothing => None,
        };
        assert_eq!(operation(public.find(&Method::GET, "/v1/drops/7")), Some(("GetDrop", "7".into())));
        assert_eq!(operation(public.find(&Method::HEAD, "/v1/drops/7")), Some(("GetDrop", "7".into())));
        assert_eq!(operation(public.find(&Method::POST, "/v1/drops/7/orders")), Some(("PlaceOrder", "7".into())));
        assert!(
            matches!(public.find(&Method::DELETE, "/v1/drops/7"), RouteMatch::OtherMethods(allow) if allow == "GET, HEAD")
        );
        assert!(
            matches!(public.find(&Method::GET, "/metrics"), RouteMatch::Nothing),
            "operators' routes are not public"
        );
        let admin = Router::new(&ROUTES, Listener::Admin);
        assert_eq!(operation(admin.find(&Method::POST, "/v1/orders/search")), Some(("SearchOrders", String::new())));
    }

    #[test]
    fn only_probes_and_pages_of_the_admin_listener_are_open() {
        for route in ROUTES {
            let open = matches!(route.path, "/healthz" | "/readyz") || route.is_page;
            let is_operators = matches!(route.required_role, RequiredRole::Operator(_));
            assert_eq!(is_operators, route.listener == Listener::Admin && !open, "{}", route.operation);
        }
    }

    /// The table of roles, as Markdown.
    fn roles() -> String {
        let mut table = String::from("| route | no token | viewer | operator | owner |\n|---|---|---|---|---|\n");
        let mut row = |what: String, required: RequiredRole| {
            let roles = Role::ALL.map(|role| match required {
                RequiredRole::None => "yes",
                RequiredRole::Operator(least) if role >= least => "yes",
                RequiredRole::Operator(_) | RequiredRole::Buyer => "",
            });
            let without = if required == RequiredRole::None { "yes" } else { "" };
            table.push_str(&format!("| {what} | {without} | {} |\n", roles.join(" | ")));
        };
        for route in ROUTES.iter().filter(|route| route.listener == Listener::Admin && !route.is_page) {
            row(format!("`{} {}`", route.method, route.path), route.required_role);
            if route.operation == "ListOrders" {
                let contacts = RequiredRole::Operator(CONTACTS_NEED);
                row(format!("`{} {}?contacts=true`", route.method, route.path), contacts);
            }
        }
        table
    }

    #[test]
    fn the_documentation_has_the_table_of_roles() {
        let page = include_str!("README.md");
        assert!(page.contains(&roles()), "put this into src/http/README.md:\n{}", roles());
    }

    #[test]
    fn no_route_lists_a_code_twice() {
        for route in ROUTES {
            let mut codes: Vec<Code> = route.problem_codes().collect();
            codes.sort_unstable();
            assert!(codes.windows(2).all(|pair| pair[0] != pair[1]), "{}: {codes:?}", route.operation);
        }
    }

    #[test]
    fn what_is_not_listed_is_not_allowed() {
        let order = ROUTES.iter().copied().find(|route| route.operation == "PlaceOrder");
        assert!(allows(order, Ok(StatusCode::CREATED)) && !allows(order, Ok(StatusCode::OK)));
        assert!(allows(order, Err(Code::SoldOut)) && !allows(order, Err(Code::OrderExpired)));
        assert!(allows(None, Err(Code::MethodNotAllowed)) && !allows(None, Err(Code::SoldOut)));
    }
}
