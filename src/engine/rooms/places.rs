//! The places of a room: the most admitted buyers without an order, by the units that are free and by those that are expected
//! to come back.

use crate::types::{RoomSpec, UnixMillis};

/// The units of a drop, as they count for its room.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoomStock {
    pub(super) available: u32,
    pub(super) held: u32,
    pub(super) sold: u32,
    /// Units of orders that came back.
    pub(super) returned: u64,
    /// The longest time that an order holds its units, in seconds.
    pub(super) hold_seconds: u32,
    /// The end of the first hold.
    pub(super) next_expiry: Option<UnixMillis>,
}

/// The most admitted buyers without an order, as the stock is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::engine) struct Places {
    /// Places by the units that are free.
    pub(super) by_stock: u64,
    /// More by the units that are expected to come back, and the instant from which on these count.
    pub(super) by_releases: Option<(u64, UnixMillis)>,
}

impl Places {
    pub(super) fn of(spec: &RoomSpec, stock: &RoomStock) -> Places {
        let by_stock = u64::from(stock.available).saturating_mul(u64::from(spec.oversubscribe_percent)) / 100;
        let time_to_order_ms = i64::from(spec.order_seconds).saturating_mul(1000);
        let from = stock.next_expiry.map(|at| at.plus_millis(-time_to_order_ms));
        let by_releases = from.map(|from| (stock.expected_releases(spec), from)).filter(|(units, _)| *units > 0);
        Places { by_stock, by_releases }
    }

    /// The places at an instant.
    pub(super) fn at(&self, at: UnixMillis) -> u64 {
        let releases = self.by_releases.filter(|(_, from)| *from <= at);
        self.by_stock.saturating_add(releases.map_or(0, |(units, _)| units))
    }
}

impl RoomStock {
    /// Units that held orders are expected to give back while an admitted buyer may order, rounded down: the part of all
    /// units ever ordered that came back, times the part of the longest hold that the time to order is.
    fn expected_releases(&self, spec: &RoomSpec) -> u64 {
        let (held, returned, hold) = (u128::from(self.held), u128::from(self.returned), u128::from(self.hold_seconds));
        let ever_ordered = held.saturating_add(u128::from(self.sold)).saturating_add(returned);
        let time_to_order = u128::from(spec.order_seconds).min(hold);
        let expected = held.saturating_mul(returned).saturating_mul(time_to_order);
        u64::try_from(expected.checked_div(ever_ordered.saturating_mul(hold)).unwrap_or(0)).unwrap_or(u64::MAX)
    }
}
