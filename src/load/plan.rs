//! The parameters of a run of orders, checked.

use std::time::Duration;

use super::behavior::Crowd;
use crate::client::http::HttpClient;
use crate::client::target::ServerAddress;

/// Reservations of the load's own drop outlast the run by this, so that none lapses while it counts.
const OUTLAST_SECONDS: u64 = 60;
/// Reservations of the load's own drop where they are to lapse: people take some 0.1 s to check out.
const EXPIRE_SECONDS: u64 = 3;
/// The least payment window of the load's own drop: the server's default.
const PAYMENT_SECONDS_MIN: u64 = 900;

/// A run of orders and reads against one drop.
#[derive(Clone, Debug)]
pub(crate) struct LoadPlan {
    pub(crate) public: ServerAddress,
    /// The other nodes of a cluster.
    pub(crate) others: Vec<ServerAddress>,
    pub(crate) admin: HttpClient,
    pub(crate) buyers: u32,
    pub(crate) units: u32,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    /// Arrivals per second; without a rate, all at once.
    pub(crate) rate: Option<u32>,
    pub(crate) reads_percent: u8,
    /// Event streams of the drop that are open meanwhile.
    pub(crate) streams: usize,
    /// The blind window of the load's own drop, in milliseconds; 0 without one.
    pub(crate) blind_ms: u16,
    /// An existing drop instead of a new one.
    pub(crate) drop_id: Option<u32>,
    /// Abandoned reservations lapse during the run.
    pub(crate) expire: bool,
    pub(crate) crowd: Crowd,
    /// Buyers send nothing a second time: more requests than were offered would blur what a rate costs.
    pub(crate) asks_once: bool,
    pub(crate) seed: u64,
    pub(crate) deadline: Duration,
}

impl LoadPlan {
    /// The public listeners of all nodes, or of the one server.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &ServerAddress> {
        std::iter::once(&self.public).chain(&self.others)
    }

    /// The length of a reservation of the load's own drop.
    pub(super) const fn reservation_seconds(&self) -> u64 {
        if self.expire { EXPIRE_SECONDS } else { self.deadline.as_secs() + OUTLAST_SECONDS }
    }

    /// The payment window of the load's own drop: orders that were checked out are kept to the end.
    pub(super) fn payment_seconds(&self) -> u64 {
        PAYMENT_SECONDS_MIN.max(self.deadline.as_secs() + OUTLAST_SECONDS)
    }
}
