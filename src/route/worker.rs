//! The state of a router's threads, and the passing of a request to one shard.

use std::cell::Cell;
use std::sync::Arc;

use hyper::Response;
use tokio::sync::{Mutex, Semaphore, watch};

use super::body::RouteBody;
use super::forward::{PassedRequest, pass};
use super::problems::RouteProblem;
use super::view::ShardsView;
use crate::api::Problem;
use crate::config::{ConnectionLimits, ShardsConfig};
use crate::egress::EgressClient;
use crate::http::router::Router;
use crate::http::routes::{Listener, ROUTES};
use crate::telemetry::{RouteResult, Telemetry};

/// Places for long bodies, of payment providers and of batches, that are read at once, of 64 KiB each.
pub(super) const LONG_BODY_PLACES: usize = 64;

/// The state that all threads of a router share.
pub(super) struct RouteShared {
    pub(super) view: Arc<ShardsView>,
    pub(super) config: ShardsConfig,
    pub(super) telemetry: Telemetry,
    /// Bounds of bodies, as a node has them.
    pub(super) limits: ConnectionLimits,
    pub(super) long_bodies: Semaphore,
    /// New drops and auctions take turns, so that a key that comes twice at the same moment is found by the second.
    pub(super) creations: Mutex<()>,
    pub(super) public: Router,
    pub(super) admin: Router,
}

impl RouteShared {
    pub(super) fn new(
        view: Arc<ShardsView>,
        config: ShardsConfig,
        telemetry: Telemetry,
        limits: ConnectionLimits,
    ) -> RouteShared {
        RouteShared {
            view,
            config,
            telemetry,
            limits,
            long_bodies: Semaphore::new(LONG_BODY_PLACES),
            creations: Mutex::default(),
            public: Router::new(&ROUTES, Listener::Public),
            admin: Router::new(&ROUTES, Listener::Admin),
        }
    }
}

/// The state of a serving thread.
pub(super) struct RouteWorker {
    pub(super) shared: Arc<RouteShared>,
    pub(super) view: Arc<ShardsView>,
    /// Connections of this thread to the nodes.
    pub(super) client: EgressClient,
    pub(super) stopping: watch::Receiver<bool>,
    /// The next id of a request without one.
    pub(super) request_ids: Cell<u64>,
}

impl RouteWorker {
    /// Passes a request on to a shard, and counts its end.
    pub(super) async fn passed(
        &self,
        place: usize,
        request: &PassedRequest,
    ) -> Result<Response<RouteBody>, RouteProblem> {
        let passed = pass(self, place, request).await;
        let shard = &self.view.shards[place];
        match &passed {
            Ok(_) => shard.ended(RouteResult::Answered),
            Err(RouteProblem::ShardBusy { .. }) => shard.ended(RouteResult::Busy),
            Err(RouteProblem::Common(Problem::OutcomeUnknown)) => shard.ended(RouteResult::Unknown),
            Err(_) => shard.ended(RouteResult::Unavailable),
        }
        passed
    }
}
