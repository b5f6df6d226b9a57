//! The metrics of a router, by shard.

use metrics::{Counter, Gauge};

use super::{Telemetry, catalogue as metric};

/// The end of a request at a router.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RouteResult {
    /// A node's answer was passed back.
    Answered,
    /// No node took the request.
    Unavailable,
    /// A node may have taken it, and did not answer.
    Unknown,
    /// Too many requests of the shard were in flight.
    Busy,
}

impl RouteResult {
    /// All results, in the order of their counters.
    const ALL: [(RouteResult, &'static str); 4] = [
        (RouteResult::Answered, "answered"),
        (RouteResult::Unavailable, "unavailable"),
        (RouteResult::Unknown, "unknown"),
        (RouteResult::Busy, "busy"),
    ];
}

/// The metrics of a shard at a router.
pub struct RouterMeter {
    requests: [Counter; RouteResult::ALL.len()],
    not_sent: Counter,
    unanswered: Counter,
    leader_changes: Counter,
    nodes: Gauge,
    misplaced: Gauge,
    has_leader: Gauge,
    drops_made: Counter,
}

impl RouterMeter {
    /// Returns the metrics of a shard.
    #[must_use]
    pub fn new(telemetry: &Telemetry, shard: u8) -> RouterMeter {
        let errors = |kind| telemetry.shard_counter(&metric::ROUTE_ERRORS, shard, Some(("error", kind)));
        RouterMeter {
            requests: RouteResult::ALL
                .map(|(_, result)| telemetry.shard_counter(&metric::ROUTE_REQUESTS, shard, Some(("result", result)))),
            not_sent: errors("not_sent"),
            unanswered: errors("unanswered"),
            leader_changes: telemetry.shard_counter(&metric::ROUTE_LEADER_CHANGES, shard, None),
            nodes: telemetry.shard_gauge(&metric::ROUTE_NODES, shard),
            misplaced: telemetry.shard_gauge(&metric::ROUTE_MISPLACED, shard),
            has_leader: telemetry.shard_gauge(&metric::ROUTE_LEADER, shard),
            drops_made: telemetry.shard_counter(&metric::ROUTE_DROPS_MADE, shard, None),
        }
    }

    pub fn request(&self, result: RouteResult) {
        if let Some(place) = RouteResult::ALL.iter().position(|(known, _)| *known == result) {
            self.requests[place].increment(1);
        }
    }

    /// Counts a request that a node did not answer.
    pub fn upstream_error(&self, was_sent: bool) {
        if was_sent { self.unanswered.increment(1) } else { self.not_sent.increment(1) }
    }

    pub fn leader_changed(&self) {
        self.leader_changes.increment(1);
    }

    /// Counts a drop or an auction that was made on this shard.
    pub fn drop_made(&self) {
        self.drops_made.increment(1);
    }

    /// Shows how many nodes serve reads, how many are of another shard, and whether one is known to lead.
    pub fn show_nodes(&self, serving: usize, misplaced: usize, has_leader: bool) {
        super::meters::set(&self.nodes, u64::try_from(serving).unwrap_or(u64::MAX));
        super::meters::set(&self.misplaced, u64::try_from(misplaced).unwrap_or(u64::MAX));
        super::meters::set(&self.has_leader, u64::from(has_leader));
    }
}
