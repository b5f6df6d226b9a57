//! The view of all nodes: which of them leads, which serve reads, and how old their states are. Shared by all threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::permit::PermitCounts;
use super::shard_word::OtherShard;
use crate::config::{RouteLimits, ShardNode, ShardNodes};
use crate::egress::{AddressGuard, Target, TargetError};
use crate::http::routes::Listener;
use crate::telemetry::{RouteResult, RouterMeter, Telemetry};
use crate::types::shard::Shard;

/// The age of a state up to which nodes take turns with reads: two heartbeats of the leader.
const FRESH_MS_MAX: u64 = 2_000;
/// No node is known to lead.
const NO_NODE: usize = usize::MAX;

/// All shards of a router.
pub(super) struct ShardsView {
    /// In ascending order of their numbers; at least one.
    pub(super) shards: Vec<ShardView>,
    pub(super) limits: RouteLimits,
}

/// A shard's nodes.
pub(super) struct ShardView {
    pub(super) shard: Shard,
    pub(super) nodes: Vec<NodeSeen>,
    /// The place of the node that leads.
    leader: AtomicUsize,
    /// The place of the node that led last: between two leaders followers still name the old one.
    last_leader: AtomicUsize,
    /// Counts reads, so that nodes take turns.
    turn: AtomicUsize,
    /// Told when the leader changes.
    changed: Notify,
    pub(super) permits: PermitCounts,
    meter: RouterMeter,
}

/// A node as it was seen last.
pub(super) struct NodeSeen {
    urls: ShardNode,
    public: Target,
    admin: Target,
    state: Mutex<SeenState>,
    /// The shard that the node named last, if it is not that of the file: it takes no part then.
    other_shard: Mutex<Option<OtherShard>>,
    /// Told when the node is to be looked at before its time.
    look: Notify,
}

/// The state of a node as it was seen last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SeenState {
    /// The node did not answer the last look.
    Silent,
    /// The node answers, and must not or will not serve.
    Closed,
    /// The node serves reads of a state of at most this age, if that is known.
    Serves { stale_ms: Option<u64> },
}

impl ShardsView {
    /// Makes a view in which no node was seen yet.
    ///
    /// # Errors
    /// The URL of a node that leads nowhere.
    pub(super) fn new(
        shards: &[ShardNodes],
        limits: RouteLimits,
        guard: &AddressGuard,
        telemetry: &Telemetry,
    ) -> Result<ShardsView, String> {
        let shards = shards.iter().map(|nodes| ShardView::new(nodes, guard, telemetry)).collect::<Result<_, _>>()?;
        Ok(ShardsView { shards, limits })
    }

    /// Returns the place of a shard in the view.
    pub(super) fn find(&self, shard: Shard) -> Option<usize> {
        self.shards.iter().position(|view| view.shard == shard)
    }
}

impl ShardView {
    fn new(nodes: &ShardNodes, guard: &AddressGuard, telemetry: &Telemetry) -> Result<ShardView, String> {
        let seen = nodes.nodes.iter().map(|urls| {
            let target = |url: &str| Target::parse(url, guard).map_err(|error: TargetError| format!("{url}: {error}"));
            Ok(NodeSeen {
                public: target(&urls.public_url)?,
                admin: target(&urls.admin_url)?,
                urls: urls.clone(),
                state: Mutex::new(SeenState::Silent),
                other_shard: Mutex::default(),
                look: Notify::new(),
            })
        });
        let view = ShardView {
            shard: nodes.shard,
            nodes: seen.collect::<Result<_, String>>()?,
            leader: AtomicUsize::new(NO_NODE),
            last_leader: AtomicUsize::new(NO_NODE),
            turn: AtomicUsize::new(0),
            changed: Notify::new(),
            permits: PermitCounts::default(),
            meter: RouterMeter::new(telemetry, nodes.shard.get()),
        };
        view.show();
        Ok(view)
    }

    /// The place of the node that leads, if one is known.
    pub(super) fn leader(&self) -> Option<usize> {
        let leader = self.leader.load(Ordering::Acquire);
        self.nodes.get(leader).filter(|node| node.other_shard().is_none()).map(|_| leader)
    }

    /// Notes that a node leads, unless it leads another shard.
    pub(super) fn leads(&self, node: usize) {
        if self.nodes[node].other_shard().is_some() {
            return;
        }
        let before = self.leader.swap(node, Ordering::AcqRel);
        if before != node {
            self.changed.notify_waiters();
            self.show();
        }
        if self.last_leader.swap(node, Ordering::AcqRel) != node {
            self.meter.leader_changed();
            tracing::info!(shard = self.shard.get(), leader = %self.nodes[node].urls.public_url, "leads");
        }
    }

    /// Notes that a node does not lead, and who does as far as it knows. One of another shard knows nothing of this one.
    pub(super) fn does_not_lead(&self, node: usize, hint: Option<usize>) {
        if self.nodes[node].other_shard().is_some() {
            return;
        }
        let known = self.leader();
        match hint.filter(|hint| *hint != node) {
            Some(hint) if known.is_none() || known == Some(node) => self.leads(hint),
            None if known == Some(node) => {
                if self.leader.compare_exchange(node, NO_NODE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                    self.show();
                    let node = &self.nodes[node].urls.public_url;
                    tracing::warn!(shard = self.shard.get(), %node, "leads no more, and no other node is known to lead");
                }
            }
            Some(_) | None => {}
        }
    }

    /// Notes that a node names another shard than the file: until it agrees it is asked nothing, and not believed.
    pub(super) fn misplaced(&self, node: usize, other: OtherShard) {
        let seen = &self.nodes[node];
        if seen.other_shard.lock().replace(other) != Some(other) {
            tracing::warn!(
                node = %seen.urls.public_url,
                shard_of_file = self.shard.get(),
                shard_of_node = %other,
                "left out: the node is not of the shard under which the file of shards names it; correct the file and restart \
                 the router, or the node's cluster file (shard)"
            );
        }
        self.show();
    }

    /// Notes that a node is of this shard.
    pub(super) fn agrees(&self, node: usize) {
        let seen = &self.nodes[node];
        if seen.other_shard.lock().take().is_some() {
            tracing::info!(node = %seen.urls.public_url, shard = self.shard.get(), "is of this shard now, and takes part");
        }
    }

    /// Returns the nodes that are left out because of their shards, one a line.
    pub(super) fn misplaced_nodes(&self) -> String {
        let lines = self.nodes.iter().filter_map(|node| {
            let (url, shard) = (&node.urls.public_url, self.shard.get());
            Some(format!("left out: {url} is under shard {shard} in the file, and says {}\n", node.other_shard()?))
        });
        lines.collect()
    }

    /// Returns the node with a listener of this URL, as the log names it.
    pub(super) fn node_at(&self, url: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.urls.public_url == url || node.urls.admin_url == url)
    }

    /// Waits until another node leads, at most for so long.
    pub(super) async fn changed(&self, longest: Duration) {
        let _either_way = tokio::time::timeout(longest, self.changed.notified()).await;
    }

    /// Lets all nodes be looked at soon.
    pub(super) fn look_soon(&self) {
        self.nodes.iter().for_each(|node| node.look.notify_one());
    }

    /// Returns the nodes in the order in which a read asks them: those whose states are young in turns, then the others by
    /// the ages of their states, then those that are silent or closed. Nodes of another shard are not among them.
    pub(super) fn readers(&self) -> Vec<usize> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.nodes.len();
        let in_turn = (0..count).map(|node| node.wrapping_add(turn) % count);
        let mut nodes: Vec<usize> = in_turn.filter(|node| self.nodes[*node].other_shard().is_none()).collect();
        // The sort is stable: equal ones stay in turn.
        nodes.sort_by_key(|node| match self.nodes[*node].state() {
            SeenState::Serves { stale_ms: Some(age) } if age <= FRESH_MS_MAX => (0, 0),
            SeenState::Serves { stale_ms } => (1, stale_ms.unwrap_or(u64::MAX)),
            SeenState::Silent | SeenState::Closed => (2, 0),
        });
        nodes
    }

    /// Returns whether a node of this shard answers.
    pub(super) fn answers(&self) -> bool {
        self.nodes.iter().any(|node| node.other_shard().is_none() && node.state() != SeenState::Silent)
    }

    /// Notes what a look at a node found.
    pub(super) fn saw(&self, node: usize, state: SeenState) {
        *self.nodes[node].state.lock() = state;
        self.show();
    }

    fn show(&self) {
        let (misplaced, placed): (Vec<_>, Vec<_>) = self.nodes.iter().partition(|node| node.other_shard().is_some());
        let serving = placed.iter().filter(|node| matches!(node.state(), SeenState::Serves { .. })).count();
        self.meter.show_nodes(serving, misplaced.len(), self.leader().is_some());
    }

    /// Counts the end of a request.
    pub(super) fn ended(&self, result: RouteResult) {
        self.meter.request(result);
    }

    /// Counts a drop or an auction that was made on this shard.
    pub(super) fn drop_made(&self) {
        self.meter.drop_made();
    }

    /// Counts a request that a node did not answer.
    pub(super) fn failed(&self, was_sent: bool) {
        self.meter.upstream_error(was_sent);
    }
}

impl NodeSeen {
    pub(super) fn state(&self) -> SeenState {
        *self.state.lock()
    }

    /// The shard that the node names, if it is not that of the file.
    fn other_shard(&self) -> Option<OtherShard> {
        *self.other_shard.lock()
    }

    pub(super) fn target(&self, listener: Listener) -> &Target {
        match listener {
            Listener::Public => &self.public,
            Listener::Admin => &self.admin,
        }
    }

    /// Waits until the node is to be looked at again.
    pub(super) async fn next_look(&self, interval: Duration) {
        let _either_way = tokio::time::timeout(interval, self.look.notified()).await;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A view of shards with so many nodes.
    pub(in crate::route) fn view_of(shards: &[(u8, u16)]) -> ShardsView {
        let guard = AddressGuard::new(vec!["127.0.0.0/8".parse().expect("a network")]);
        let nodes: Vec<ShardNodes> = shards
            .iter()
            .map(|(shard, count)| ShardNodes {
                shard: Shard::new(*shard),
                nodes: (1..=*count)
                    .map(|node| ShardNode {
                        public_url: format!("http://127.0.0.1:{}", u16::from(*shard) * 100 + node),
                        admin_url: format!("http://127.0.0.1:{}", u16::from(*shard) * 100 + 50 + node),
                    })
                    .collect(),
            })
            .collect();
        ShardsView::new(&nodes, RouteLimits::default(), &guard, &Telemetry::new()).expect("URLs")
    }

    #[test]
    fn reads_take_turns_among_young_states_and_prefer_them_to_old_ones() {
        let view = view_of(&[(0, 4)]);
        let shard = &view.shards[0];
        shard.saw(0, SeenState::Serves { stale_ms: Some(1_000) });
        shard.saw(1, SeenState::Serves { stale_ms: Some(4_000) });
        shard.saw(2, SeenState::Serves { stale_ms: Some(0) });
        shard.saw(3, SeenState::Closed);
        let first: Vec<Vec<usize>> = (0..4).map(|_| shard.readers()).collect();
        for readers in &first {
            assert_eq!(&readers[2..], [1, 3], "{readers:?}");
        }
        assert!([0, 2].iter().all(|node| first.iter().any(|readers| readers[0] == *node)), "{first:?}");
    }

    #[test]
    fn a_leader_is_replaced_by_another_that_leads_and_forgotten_by_its_own_word_alone() {
        let view = view_of(&[(0, 3)]);
        let shard = &view.shards[0];
        shard.does_not_lead(1, None);
        assert_eq!(shard.leader(), None);
        shard.does_not_lead(1, Some(2));
        assert_eq!(shard.leader(), Some(2), "a follower names it");
        shard.does_not_lead(1, Some(0));
        assert_eq!(shard.leader(), Some(2), "an old word of a follower does not replace what is known");
        shard.does_not_lead(2, None);
        assert_eq!(shard.leader(), None);
        shard.leads(0);
        shard.does_not_lead(0, Some(1));
        assert_eq!((shard.leader(), shard.node_at("http://127.0.0.1:52")), (Some(1), Some(1)));
    }

    #[test]
    fn a_node_of_another_shard_is_asked_nothing_and_not_believed_until_it_agrees() {
        let view = view_of(&[(0, 2)]);
        let shard = &view.shards[0];
        let serves = SeenState::Serves { stale_ms: Some(0) };
        shard.saw(0, serves);
        shard.leads(0);
        shard.misplaced(0, OtherShard::Number(Shard::new(3)));
        shard.saw(0, serves);
        shard.leads(0);
        assert_eq!((shard.leader(), shard.readers(), shard.answers()), (None, vec![1], false));
        shard.does_not_lead(0, Some(1));
        assert_eq!(shard.leader(), None, "it names the leader of another shard");
        shard.leads(1);
        shard.does_not_lead(1, Some(0));
        assert_eq!(shard.leader(), Some(1), "and does not lead this one");
        assert_eq!(shard.misplaced_nodes(), "left out: http://127.0.0.1:1 is under shard 0 in the file, and says 3\n");
        shard.agrees(0);
        shard.leads(0);
        assert_eq!((shard.leader(), shard.readers().len(), shard.answers()), (Some(0), 2, true));
        assert_eq!(shard.misplaced_nodes(), "");
    }
}
