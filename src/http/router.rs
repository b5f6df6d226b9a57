//! The lookup from method and path to a route, per listener.

use hyper::Method;

use super::route::{Listener, Route};

/// The result of a lookup.
#[derive(Debug)]
pub enum RouteMatch<'path> {
    /// The route's index in the table, and the text in the place of its braces.
    Route(usize, &'path str),
    /// The path has only other methods: the value of `Allow`.
    OtherMethods(String),
    Nothing,
}

/// The routes of one listener.
pub struct Router {
    table: &'static [&'static Route],
    paths: matchit::Router<Vec<usize>>,
}

impl Router {
    /// Makes the router of a listener.
    ///
    /// # Panics
    /// If two routes of the table contradict each other: at the start, before anything is served.
    #[must_use]
    pub fn new(table: &'static [&'static Route], listener: Listener) -> Router {
        Router::of(table, |route| route.listener == listener)
    }

    /// Makes the router of a listener that has the probes, whether they are its own or not.
    ///
    /// # Panics
    /// As [`Router::new`].
    #[must_use]
    pub fn with_probes(table: &'static [&'static Route], listener: Listener) -> Router {
        Router::of(table, |route| route.listener == listener || route.is_probe())
    }

    fn of(table: &'static [&'static Route], has: impl Fn(&Route) -> bool) -> Router {
        let mut by_path: std::collections::BTreeMap<&str, Vec<usize>> = std::collections::BTreeMap::new();
        for (index, route) in table.iter().enumerate().filter(|(_, route)| has(route)) {
            by_path.entry(route.path).or_default().push(index);
        }
        let mut paths = matchit::Router::new();
        for (path, indexes) in by_path {
            paths
                .insert(path, indexes)
                .unwrap_or_else(|error| panic!("the table of routes is ambiguous: {path}: {error}"));
        }
        Router { table, paths }
    }

    /// Looks up a request. HEAD is answered where GET is.
    #[must_use]
    pub fn find<'path>(&self, method: &Method, path: &'path str) -> RouteMatch<'path> {
        let Ok(matched) = self.paths.at(path) else { return RouteMatch::Nothing };
        let asked = if method == Method::HEAD { &Method::GET } else { method };
        let route = |index: usize| self.table.get(index);
        let found = matched.value.iter().copied().find(|index| route(*index).is_some_and(|r| r.method == *asked));
        match found {
            Some(index) => {
                let parameter = matched.params.iter().next().map_or("", |(_, value)| value);
                RouteMatch::Route(index, parameter)
            }
            None => {
                let mut methods: Vec<_> =
                    matched.value.iter().filter_map(|index| route(*index)).map(|r| r.method.as_str()).collect();
                // HEAD is answered where GET is, so it is allowed there too (RFC 9110, 10.2.1).
                if methods.contains(&"GET") {
                    methods.push("HEAD");
                }
                RouteMatch::OtherMethods(methods.join(", "))
            }
        }
    }
}
