//! The parameters of a run of the mixed crowd, checked.

use std::time::Duration;

use super::params::PopulationName;
use super::tokens::TokenKey;
use crate::client::http::HttpClient;
use crate::client::target::ServerAddress;
use crate::load::rooms::DrawKind;

/// A run of the mixed crowd.
#[derive(Clone, Debug)]
pub(crate) struct CrowdPlan {
    pub(crate) public: ServerAddress,
    pub(crate) admin: HttpClient,
    pub(crate) population: PopulationName,
    pub(crate) seed: u64,
    /// The size of the population, in percent of the full one.
    pub(crate) percent: u32,
    /// From the drop's start to the end of the run.
    pub(crate) sale: Duration,
    pub(crate) key: TokenKey,
    /// The claim `aud` of the tokens, which the server expects.
    pub(crate) audience: String,
    /// Connections to the server, which stands behind one proxy: all buyers share them.
    pub(crate) connections: usize,
    /// The waiting room of the drop, if it is to have one.
    pub(crate) room: Option<CrowdRoom>,
}

/// The waiting room of the mixed crowd, open from the beginning on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CrowdRoom {
    pub(crate) draw: DrawKind,
    pub(crate) admit_per_second: u32,
    /// The time that an admitted buyer has for an order.
    pub(crate) order_seconds: u32,
}
