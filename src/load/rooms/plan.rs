//! The parameters of a crowd in a room, checked.

use std::time::Duration;

use crate::client::http::HttpClient;
use crate::client::target::ServerAddress;

/// The rule that gives tickets their positions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum DrawKind {
    /// In the order in which the tickets were taken.
    Arrival,
    /// Positions by the verifiable draw at the start.
    Random,
}

impl DrawKind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            DrawKind::Arrival => "arrival",
            DrawKind::Random => "random",
        }
    }
}

/// A run of a crowd that waits in a room.
#[derive(Clone, Debug)]
pub(crate) struct RoomPlan {
    pub(crate) public: ServerAddress,
    pub(crate) admin: HttpClient,
    pub(crate) buyers: u32,
    pub(crate) units: u32,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    pub(crate) seed: u64,
    /// The time limit of the run.
    pub(crate) deadline: Duration,
    /// The time from the opening of the room to the start of the drop.
    pub(crate) gather: Duration,
    pub(crate) draw: DrawKind,
    pub(crate) admit_per_second: u32,
    pub(crate) order_seconds: u32,
    /// The time for which all connections poll the room as fast as they can, once the tickets are taken.
    pub(crate) polls: Duration,
}
