//! The place of a request: the shard that its path, its query or its header names.

use hyper::Method;
use hyper::header::HeaderMap;
use hyper::http::request::Parts;

use super::cursor::MergedList;
use super::problems::RouteProblem;
use super::view::ShardsView;
use crate::api::Problem;
use crate::http::request::{FIRSTCOME_SHARD, IDEMPOTENCY_KEY};
use crate::http::routes::Route;
use crate::types::shard::Shard;
use crate::types::{AuctionId, DropId, OrderId};

/// The place of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RequestPlace {
    /// A shard, by its place in the view.
    Shard(usize),
    /// The shard of an order's id. Ids that were made before there were shards name a random one.
    Order(usize),
    /// A page of a list that goes over all shards.
    List(MergedList),
    /// All shards are searched.
    EveryShard,
    /// A new drop or auction: a shard is chosen for it.
    New,
    /// A webhook of a payment provider, whose body names the order.
    Webhook,
    /// The router itself: a probe of it, or its metrics.
    Own,
}

/// The effect of a request, and what may be done with it when its outcome is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RequestEffect {
    /// Any node may answer, again and again.
    Read {
        /// The answer is audited, or a challenge: only the leader gives it.
        at_leader: bool,
    },
    /// Only the leader may decide it.
    Write {
        /// A second request has no second effect, and gets the first one's answer.
        is_repeatable: bool,
    },
}

/// Commands that have one effect however often they are sent, without the header of a key. Each order of a batch has its key.
const REPEATABLE: [&str; 5] = ["CancelOrder", "PauseDrop", "CloseDrop", "ReceiveProviderEvent", "PlaceOrders"];

/// Returns the effect of a request.
pub(super) fn effect(route: &Route, headers: &HeaderMap) -> RequestEffect {
    if route.method == Method::GET || route.operation == "SearchOrders" {
        // A page of orders is audited only with contacts, and a follower says so.
        return RequestEffect::Read { at_leader: route.needs_leader() && route.operation != "ListOrders" };
    }
    let has_key = route.takes_key() && headers.contains_key(IDEMPOTENCY_KEY);
    RequestEffect::Write { is_repeatable: has_key || REPEATABLE.contains(&route.operation) }
}

/// Returns the place of a request.
///
/// # Errors
/// The request names no shard, or one that the router does not have.
pub(super) fn place(
    view: &ShardsView,
    route: &Route,
    parameter: &str,
    parts: &Parts,
) -> Result<RequestPlace, RouteProblem> {
    if matches!(route.operation, "Healthz" | "Readyz" | "Metrics") {
        return Ok(RequestPlace::Own);
    }
    // It is about one node, which is typed at that node.
    if route.operation == "LeaveCluster" {
        return Err(Problem::NotFound.into());
    }
    if view.shards.len() == 1 {
        return Ok(RequestPlace::Shard(0));
    }
    match route.parameter() {
        Some("drop_id") => of_drop(view, parameter),
        Some("auction_id") => {
            let id = parameter.parse().ok().and_then(AuctionId::new);
            id.map_or(Ok(ANY), |id| known(view, id.shard()))
        }
        Some("order_id") => Ok(of_order(view, parameter)),
        Some(_) | None => without_id(view, route, parts),
    }
}

/// The shard that answers what is the same at every shard: malformed ids, and pages without one.
const ANY: RequestPlace = RequestPlace::Shard(0);

fn of_drop(view: &ShardsView, text: &str) -> Result<RequestPlace, RouteProblem> {
    let id = text.parse().ok().and_then(DropId::new);
    id.map_or(Ok(ANY), |id| known(view, id.shard()))
}

/// An order of a shard that the router does not have may be one of before there were shards: those are of shard 0.
fn of_order(view: &ShardsView, text: &str) -> RequestPlace {
    OrderId::parse(text).and_then(|id| view.find(id.secret.shard())).map_or(ANY, RequestPlace::Order)
}

fn known(view: &ShardsView, shard: Shard) -> Result<RequestPlace, RouteProblem> {
    view.find(shard).map(RequestPlace::Shard).ok_or(RouteProblem::UnknownShard(shard))
}

fn without_id(view: &ShardsView, route: &Route, parts: &Parts) -> Result<RequestPlace, RouteProblem> {
    let named = of_header(view, &parts.headers)?;
    match route.operation {
        "OpenApi" | "Shop" | "PublicAsset" | "AdminAsset" => Ok(named.unwrap_or(ANY)),
        "ListDrops" | "ListAuctions" => Ok(named.unwrap_or(RequestPlace::List(MergedList::ById))),
        "SearchOrders" => Ok(named.unwrap_or(RequestPlace::EveryShard)),
        "CreateDrop" | "CreateAuction" => Ok(named.unwrap_or(RequestPlace::New)),
        "ReceiveProviderEvent" => Ok(named.unwrap_or(RequestPlace::Webhook)),
        "ListOrders" | "ExportPayments" | "Audit" => {
            let query = parts.uri.query().unwrap_or("");
            match (parameter_of(query, "drop_id"), parameter_of(query, "order_id")) {
                (Some(drop), _) => of_drop(view, drop),
                (None, Some(order)) => Ok(of_order(view, order)),
                (None, None) if route.operation == "ListOrders" => {
                    Ok(named.unwrap_or(RequestPlace::List(MergedList::BySeq)))
                }
                (None, None) => named.ok_or(RouteProblem::ShardNotNamed),
            }
        }
        _ => named.ok_or(RouteProblem::ShardNotNamed),
    }
}

/// Returns the value of a parameter. Ids are not escaped.
fn parameter_of<'query>(query: &'query str, name: &str) -> Option<&'query str> {
    query.split('&').filter_map(|part| part.split_once('=')).find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// Returns the shard that the header names.
fn of_header(view: &ShardsView, headers: &HeaderMap) -> Result<Option<RequestPlace>, RouteProblem> {
    let mut values = headers.get_all(FIRSTCOME_SHARD).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let number = first.to_str().ok().filter(|_| values.next().is_none()).and_then(|text| text.parse().ok());
    known(view, Shard::new(number.ok_or(RouteProblem::ShardNotNamed)?)).map(Some)
}

#[cfg(test)]
mod tests {
    use hyper::Request;
    use hyper::header::HeaderValue;

    use super::*;
    use crate::http::router::{RouteMatch, Router};
    use crate::http::routes::{Listener, ROUTES};
    use crate::route::view::tests::view_of;
    use crate::types::Seq;
    use crate::types::order_id::OrderSecret;

    fn placed(
        shards: &[(u8, u16)],
        method: &Method,
        uri: &str,
        header: Option<&str>,
    ) -> Result<RequestPlace, RouteProblem> {
        let (mut parts, ()) = Request::new(()).into_parts();
        (parts.method, parts.uri) = (method.clone(), uri.parse().expect("a path"));
        if let Some(header) = header {
            parts.headers.insert(FIRSTCOME_SHARD, HeaderValue::from_str(header).expect("a value"));
        }
        let found = [Listener::Public, Listener::Admin].into_iter().find_map(|listener| {
            match Router::new(&ROUTES, listener).find(method, parts.uri.path()) {
                RouteMatch::Route(index, parameter) => Some((index, parameter.to_string())),
                RouteMatch::OtherMethods(_) | RouteMatch::Nothing => None,
            }
        });
        let (index, parameter) = found.unwrap_or_else(|| panic!("{uri} has no route"));
        place(&view_of(shards), ROUTES[index], &parameter, &parts)
    }

    fn order(shard: u8) -> String {
        let secret = OrderSecret::from_random(Shard::new(shard), [7; 10]);
        OrderId { seq: Seq::new(9).expect("in range"), secret }.to_string()
    }

    #[test]
    fn a_path_s_id_tells_the_shard() {
        let shards = [(0, 1), (1, 1), (7, 1)];
        let at = |method: &Method, uri: &str| placed(&shards, method, uri, None);
        let (of_1, of_7) = ((1 << 24) | 5, (7 << 24) | 5);
        for (method, uri, place) in [
            (Method::GET, "/v1/drops/5".into(), RequestPlace::Shard(0)),
            (Method::GET, format!("/v1/drops/{of_1}"), RequestPlace::Shard(1)),
            (Method::POST, format!("/v1/drops/{of_7}/orders"), RequestPlace::Shard(2)),
            (Method::GET, format!("/v1/drops/{of_7}/stream"), RequestPlace::Shard(2)),
            (Method::POST, format!("/v1/auctions/{of_1}/bids"), RequestPlace::Shard(1)),
            (Method::GET, format!("/v1/orders/{}", order(7)), RequestPlace::Order(2)),
            (Method::POST, format!("/v1/orders/{}/refund", order(1)), RequestPlace::Order(1)),
            (Method::GET, format!("/pay/{}", order(1)), RequestPlace::Order(1)),
            (Method::GET, format!("/v1/orders?drop_id={of_7}&limit=3"), RequestPlace::Shard(2)),
            (Method::GET, format!("/v1/audit?order_id={}", order(7)), RequestPlace::Order(2)),
            (Method::GET, "/v1/drops/abc".into(), RequestPlace::Shard(0)),
            (Method::GET, format!("/v1/orders/{}", order(200)), RequestPlace::Shard(0)),
            (Method::GET, "/openapi.json".into(), RequestPlace::Shard(0)),
            (Method::GET, "/metrics".into(), RequestPlace::Own),
            (Method::GET, "/readyz".into(), RequestPlace::Own),
        ] {
            assert_eq!(at(&method, &uri), Ok(place), "{method} {uri}");
        }
        assert_eq!(
            at(&Method::GET, &format!("/v1/drops/{}", 3 << 24 | 1)),
            Err(RouteProblem::UnknownShard(Shard::new(3)))
        );
        assert_eq!(at(&Method::GET, "/v1/audit"), Err(RouteProblem::ShardNotNamed));
    }

    #[test]
    fn a_header_names_the_shard_where_the_path_does_not_and_one_shard_needs_none() {
        let shards = [(0, 1), (7, 1)];
        let named = |header| placed(&shards, &Method::GET, "/v1/webhook-endpoints", header);
        assert_eq!(named(Some("7")), Ok(RequestPlace::Shard(1)));
        assert_eq!(named(Some("8")), Err(RouteProblem::UnknownShard(Shard::new(8))));
        for bad in [None, Some("x"), Some("256"), Some("")] {
            assert_eq!(named(bad), Err(RouteProblem::ShardNotNamed), "{bad:?}");
        }
        assert_eq!(placed(&[(7, 2)], &Method::GET, "/v1/webhook-endpoints", None), Ok(RequestPlace::Shard(0)));
        let own = placed(&shards, &Method::GET, &format!("/v1/drops/{}", (7 << 24) | 1), Some("0"));
        assert_eq!(own, Ok(RequestPlace::Shard(1)), "the path counts");
    }

    #[test]
    fn a_write_is_repeatable_only_if_its_repeat_has_no_second_effect() {
        let of = |operation: &str, key: bool| {
            let route = ROUTES.iter().find(|route| route.operation == operation).expect("a route");
            let mut headers = HeaderMap::new();
            if key {
                headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static("k"));
            }
            effect(route, &headers)
        };
        let write = |is_repeatable| RequestEffect::Write { is_repeatable };
        for (operation, without, with) in [
            ("PlaceOrder", false, true),
            ("PlaceBid", false, true),
            ("CreateDrop", false, true),
            ("CancelOrder", true, true),
            ("Checkout", false, false),
            ("ResumeDrop", false, false),
            ("AdjustStock", false, false),
            ("PatchDrop", false, false),
            ("HandOver", false, false),
            ("RotateSecret", false, false),
        ] {
            assert_eq!((of(operation, false), of(operation, true)), (write(without), write(with)), "{operation}");
        }
        assert_eq!(of("GetDrop", false), RequestEffect::Read { at_leader: false });
        assert_eq!(of("SearchOrders", false), RequestEffect::Read { at_leader: false });
        assert_eq!(of("ReadContact", false), RequestEffect::Read { at_leader: true });
        assert_eq!(of("GetChallenge", false), RequestEffect::Read { at_leader: true });
        for name in REPEATABLE {
            assert!(ROUTES.iter().any(|route| route.operation == name), "{name}");
        }
    }
}
