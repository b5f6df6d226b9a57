//! The parameters of a waiting room, and the names of its state.

use super::UnixMillis;

/// The rule that gives tickets their positions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoomDraw {
    /// Positions are in the order in which the tickets were taken.
    Arrival,
    /// Tickets of the gathering are drawn at the start; later ones queue behind them in the order of arrival.
    Random {
        /// The public randomness that the draw waits for; none without.
        beacon: Option<BeaconRule>,
    },
}

/// The rule that lets a draw wait for public randomness.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BeaconRule {
    /// The longest time that the draw waits once its tickets are fixed, in seconds.
    pub seconds: u32,
}

impl RoomDraw {
    /// One rule of each name.
    pub const ALL: [RoomDraw; 2] = [RoomDraw::Arrival, RoomDraw::Random { beacon: None }];

    /// Returns its name in JSON and SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            RoomDraw::Arrival => "arrival",
            RoomDraw::Random { .. } => "random",
        }
    }

    /// Returns the rule of this name, without a beacon.
    #[must_use]
    pub fn parse(name: &str) -> Option<RoomDraw> {
        RoomDraw::ALL.into_iter().find(|draw| draw.as_str() == name)
    }

    /// Returns the rule with a beacon. `None` where nothing is drawn.
    #[must_use]
    pub const fn with_beacon(self, rule: BeaconRule) -> Option<RoomDraw> {
        match self {
            RoomDraw::Arrival => None,
            RoomDraw::Random { .. } => Some(RoomDraw::Random { beacon: Some(rule) }),
        }
    }

    /// Returns the rule of the beacon that the draw waits for.
    #[must_use]
    pub const fn beacon(self) -> Option<BeaconRule> {
        match self {
            RoomDraw::Arrival => None,
            RoomDraw::Random { beacon } => beacon,
        }
    }

    #[must_use]
    pub const fn is_random(self) -> bool {
        matches!(self, RoomDraw::Random { .. })
    }
}

/// The state of a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoomState {
    /// The room has not opened: it gives no tickets.
    Closed,
    /// Tickets are taken; the sale has not started.
    Gathering,
    /// The sale has started, and the positions of the tickets are being drawn.
    Drawing,
    /// Buyers are admitted in the order of their positions.
    Serving,
    /// The sale has ended.
    Over,
}

impl RoomState {
    pub const ALL: [RoomState; 5] =
        [RoomState::Closed, RoomState::Gathering, RoomState::Drawing, RoomState::Serving, RoomState::Over];

    /// Returns the state of a room whose opening, start, draw and end have come or not. A room without a draw counts as drawn.
    #[must_use]
    pub const fn of(opened: bool, started: bool, drawn: bool, ended: bool) -> RoomState {
        match (opened, started, drawn, ended) {
            (_, _, _, true) => RoomState::Over,
            (_, true, true, false) => RoomState::Serving,
            (_, true, false, false) => RoomState::Drawing,
            (true, false, _, false) => RoomState::Gathering,
            (false, false, _, false) => RoomState::Closed,
        }
    }

    /// Returns its name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            RoomState::Closed => "closed",
            RoomState::Gathering => "gathering",
            RoomState::Drawing => "drawing",
            RoomState::Serving => "serving",
            RoomState::Over => "over",
        }
    }
}

/// The state of a draw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DrawState {
    /// Tickets are taken that will be drawn.
    Pending,
    /// The number of the tickets is fixed; the root that binds them is being computed.
    Fixing,
    /// The root is published; the draw waits for its beacon.
    AwaitingBeacon,
    /// Nothing is waited for; the order is being computed.
    Drawing,
    /// The seed is published, and positions are known.
    Drawn,
    /// The drop ended before its draw was done, and the seed stays secret.
    Cancelled,
}

impl DrawState {
    pub const ALL: [DrawState; 6] = [
        DrawState::Pending,
        DrawState::Fixing,
        DrawState::AwaitingBeacon,
        DrawState::Drawing,
        DrawState::Drawn,
        DrawState::Cancelled,
    ];

    /// Returns its name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            DrawState::Pending => "pending",
            DrawState::Fixing => "fixing",
            DrawState::AwaitingBeacon => "awaiting_beacon",
            DrawState::Drawing => "drawing",
            DrawState::Drawn => "drawn",
            DrawState::Cancelled => "cancelled",
        }
    }
}

/// The parameters of a room, which stay as its drop was created. Ranges are checked where requests are read
/// (`api::json`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoomSpec {
    /// The first instant at which tickets are taken; before the drop's start.
    pub opens_at: UnixMillis,
    pub draw: RoomDraw,
    /// The most buyers who are admitted in a second.
    pub admit_per_second: u32,
    /// The time that an admitted buyer has for an order, in seconds.
    pub order_seconds: u32,
    /// The most admitted buyers without an order, in percent of the available units: 100 or more.
    pub oversubscribe_percent: u32,
}
