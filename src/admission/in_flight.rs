//! How many requests one client has in flight: a client that waits for a hundred answers at once is a script.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use parking_lot::Mutex;

use super::address::{AddressGroup, ClientAddress};

/// Locks that share the addresses, so that serving threads seldom meet at one. A power of two.
const SHARDS: usize = 64;

/// Requests in flight by address. It holds only addresses that have some, so connections bound it.
pub struct InFlight {
    max: u32,
    /// Keyed by the process, so that nobody can choose addresses that meet.
    hasher: RandomState,
    shards: Box<[Mutex<HashMap<AddressGroup, u32>>]>,
}

impl InFlight {
    /// At most `max` per address; 0: as many as they like.
    #[must_use]
    pub fn new(max: u32) -> InFlight {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        InFlight { max, hasher: RandomState::new(), shards }
    }

    /// How many an address may have.
    #[must_use]
    pub fn max(&self) -> u32 {
        self.max
    }

    /// A place for one more. `Some(None)`: this client is not counted; `None`: there is no room.
    pub(super) fn enter(&self, client: ClientAddress) -> Option<Option<Place<'_>>> {
        if self.max == 0 || client.is_loopback() {
            return Some(None);
        }
        let group = client.group();
        let mut shard = self.shard(group)?.lock();
        let used = shard.entry(group).or_insert(0);
        if *used >= self.max {
            return None;
        }
        *used = used.saturating_add(1);
        Some(Some(Place { of: self, group }))
    }

    fn shard(&self, group: AddressGroup) -> Option<&Mutex<HashMap<AddressGroup, u32>>> {
        let hash = usize::try_from(self.hasher.hash_one(group) % (SHARDS as u64)).ok()?;
        self.shards.get(hash)
    }
}

/// A request's place among its client's; given back when it ends, however it ends.
pub struct Place<'a> {
    of: &'a InFlight,
    group: AddressGroup,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(shard) = self.of.shard(self.group) else { return };
        let mut shard = shard.lock();
        let left = shard.get_mut(&self.group).map(|used| {
            *used = used.saturating_sub(1);
            *used
        });
        if left == Some(0) {
            shard.remove(&self.group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> ClientAddress {
        ClientAddress::new(text.parse().expect("an address"))
    }

    #[test]
    fn an_address_has_its_places_and_gets_them_back() {
        let in_flight = InFlight::new(2);
        let one = in_flight.enter(client("2001:db8::1")).expect("room");
        let two = in_flight.enter(client("2001:db8::2")).expect("room");
        assert!(one.is_some() && in_flight.enter(client("2001:db8::3")).is_none(), "one network");
        assert!(in_flight.enter(client("192.0.2.1")).is_some(), "another client has its own");
        drop(two);
        assert!(in_flight.enter(client("2001:db8::3")).is_some());
        drop(one);
        let left: usize = in_flight.shards.iter().map(|shard| shard.lock().len()).sum();
        assert_eq!(left, 0, "nothing is kept of who is gone");
    }

    #[test]
    fn this_machine_is_not_counted_and_0_counts_nobody() {
        let in_flight = InFlight::new(1);
        assert!((0..9).all(|_| matches!(in_flight.enter(client("127.0.0.1")), Some(None))));
        assert!(matches!(InFlight::new(0).enter(client("192.0.2.1")), Some(None)));
    }
}
