//! Permits of requests: how many of a shard wait for an answer at once, and how many answers are passed on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::view::{ShardView, ShardsView};
use crate::http::routes::Listener;

/// A bound of requests of one shard.
#[derive(Clone, Copy)]
pub(super) enum Bound {
    /// Requests of a listener that wait for an answer.
    InFlight(Listener),
    /// Answers that are being passed on.
    Answers,
}

/// One of the requests of a shard; given back when it is dropped.
pub(super) struct ShardPermit {
    view: Arc<ShardsView>,
    place: usize,
    bound: Bound,
}

impl ShardPermit {
    /// Takes a permit, unless there are too many. Returns their number then.
    pub(super) fn take(view: &Arc<ShardsView>, place: usize, bound: Bound) -> Result<ShardPermit, usize> {
        let max = match bound {
            Bound::InFlight(_) => view.limits.in_flight_per_shard_max,
            Bound::Answers => view.limits.answers_per_shard_max,
        };
        // Counted first and compared then: threads that count at the same moment do not exceed the bound.
        let before = counter(&view.shards[place], bound).fetch_add(1, Ordering::Relaxed);
        let permit = ShardPermit { view: Arc::clone(view), place, bound };
        if before < max { Ok(permit) } else { Err(before) }
    }

    /// Takes a permit whatever the bound says.
    pub(super) fn beyond(view: &Arc<ShardsView>, place: usize, bound: Bound) -> ShardPermit {
        counter(&view.shards[place], bound).fetch_add(1, Ordering::Relaxed);
        ShardPermit { view: Arc::clone(view), place, bound }
    }
}

impl Drop for ShardPermit {
    fn drop(&mut self) {
        counter(&self.view.shards[self.place], self.bound).fetch_sub(1, Ordering::Relaxed);
    }
}

/// The requests of a shard that have permits.
#[derive(Default)]
pub(super) struct PermitCounts {
    in_flight: AtomicUsize,
    /// Buyers do not shut operators out.
    operators_in_flight: AtomicUsize,
    answers: AtomicUsize,
}

fn counter(shard: &ShardView, bound: Bound) -> &AtomicUsize {
    match bound {
        Bound::InFlight(Listener::Public) => &shard.permits.in_flight,
        Bound::InFlight(Listener::Admin) => &shard.permits.operators_in_flight,
        Bound::Answers => &shard.permits.answers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::view::tests::view_of;

    #[test]
    fn permits_of_a_shard_are_bounded_and_given_back() {
        let mut view = view_of(&[(0, 1), (1, 1)]);
        view.limits.in_flight_per_shard_max = 1;
        let view = Arc::new(view);
        let waiting = Bound::InFlight(Listener::Public);
        let taken = ShardPermit::take(&view, 0, waiting);
        assert_eq!(ShardPermit::take(&view, 0, waiting).err(), Some(1));
        assert!(ShardPermit::take(&view, 1, waiting).is_ok(), "another shard has its own");
        assert!(ShardPermit::take(&view, 0, Bound::InFlight(Listener::Admin)).is_ok(), "operators have their own");
        drop(taken);
        assert!(ShardPermit::take(&view, 0, waiting).is_ok());
    }
}
