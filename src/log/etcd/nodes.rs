//! The keys of nodes beside the log: which of them leads, to which one it hands the leadership over, and how far
//! each is.

use etcd_client::{Client, Compare, CompareOp, Error, EventType, GetOptions, PutOptions, Txn, TxnOp};

use super::{EtcdLog, REQUEST_MAX};
use crate::log::Tenure;
use crate::log::announcement::{HandoverAnnouncement, LeaderAnnouncement, NodeAnnouncement};

/// Seconds for which a node's announcement is kept after its last one.
const ANNOUNCED_SECONDS: i64 = 5;

/// A change of the leader's key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LeaderKey {
    /// A node leads, and perhaps hands the leadership over.
    Put {
        successor: Option<String>,
    },
    Deleted,
}

impl EtcdLog {
    /// Sets the value of the leader's key for the tenures of this node.
    pub fn lead_as(&self, value: Vec<u8>) {
        *self.leader_value.lock() = value;
    }

    /// Reads the addresses of the node that leads. `None` while no node leads, or if the leader gave none.
    ///
    /// # Errors
    /// If the member that is used does not answer; the next one is used from then on.
    pub async fn leader(&self) -> Result<Option<LeaderAnnouncement>, Error> {
        Ok(self.value(self.leader_key()).await?.and_then(|value| LeaderAnnouncement::parse(&value)))
    }

    /// Tells others of this node: the value is kept for `ANNOUNCED_SECONDS` after the last call.
    ///
    /// # Errors
    /// If the member that is used does not answer; the next one is used from then on.
    pub async fn announce(&self, value: Vec<u8>) -> Result<(), Error> {
        let known = *self.announced.lock();
        let key = format!("{}nodes/{}", self.prefix, self.node);
        let put = self.in_time(async |mut member: Client| {
            let lease = match known {
                Some(lease) if member.lease_keep_alive(lease).await.is_ok() => lease,
                Some(_) | None => member.lease_grant(ANNOUNCED_SECONDS, None).await?.id(),
            };
            member.put(key.clone(), value.clone(), Some(PutOptions::new().with_lease(lease))).await.map(|_| lease)
        });
        let lease = put.await?;
        *self.announced.lock() = Some(lease);
        Ok(())
    }

    /// Withdraws the announcement, so that the node may start again at once.
    pub async fn withdraw(&self) {
        let lease = self.announced.lock().take();
        if let Some(lease) = lease {
            // Without an answer it runs out by itself.
            let _unused = self.in_time(async |mut member: Client| member.lease_revoke(lease).await).await;
        }
    }

    /// Reads what nodes tell of themselves, by their names.
    ///
    /// # Errors
    /// If the member that is used does not answer; the next one is used from then on.
    pub async fn nodes(&self) -> Result<Vec<NodeAnnouncement>, Error> {
        let prefix = format!("{}nodes/", self.prefix);
        let all = GetOptions::new().with_prefix();
        let found = self.in_time(async |mut member: Client| member.get(prefix, Some(all)).await).await?;
        Ok(found.kvs().iter().filter_map(|pair| NodeAnnouncement::parse(pair.value())).collect())
    }

    /// Names the node that is to lead next in the leader's key. Returns whether this node leads.
    ///
    /// # Errors
    /// If the member that is used does not answer.
    pub async fn name_successor(&self, value: &HandoverAnnouncement) -> Result<bool, Error> {
        let Some((Tenure(tenure), lease)) = *self.lease.lock() else { return Ok(false) };
        let leads = Compare::create_revision(self.leader_key(), CompareOp::Equal, i64::try_from(tenure).unwrap_or(-1));
        let put = TxnOp::put(self.leader_key(), value.to_bytes(), Some(PutOptions::new().with_lease(lease)));
        let txn = Txn::new().when([leads]).and_then([put]);
        Ok(self.in_time(async |mut member: Client| member.txn(txn).await).await?.succeeded())
    }

    /// Watches the leader's key through the member that is used, until that one fails. What it tells comes soon, not surely:
    /// the log is asked before anything depends on it.
    pub async fn watch_leader(&self, mut changed: impl FnMut(LeaderKey)) {
        let (at, mut member) = self.member();
        let opened = tokio::time::timeout(REQUEST_MAX, member.watch(self.leader_key(), None)).await;
        if let Ok(Ok(mut watched)) = opened {
            while let Ok(Some(told)) = watched.message().await {
                for event in told.events() {
                    match (event.event_type(), event.kv()) {
                        (EventType::Put, Some(pair)) => {
                            changed(LeaderKey::Put { successor: HandoverAnnouncement::successor(pair.value()) });
                        }
                        (EventType::Put | EventType::Delete, _) => changed(LeaderKey::Deleted),
                    }
                }
                if told.canceled() {
                    break;
                }
            }
        }
        self.leave(at);
    }
}
