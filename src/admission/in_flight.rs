//! How many requests one client has in flight: a client that waits for a hundred answers at once is a script.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use parking_lot::Mutex;

use super::address::AddressGroup;
use crate::types::BuyerText;

/// Locks that share the clients, so that serving threads seldom meet at one. A power of two.
const SHARDS: usize = 64;

/// Who is counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Client {
    /// Whoever is at an address.
    Address(AddressGroup),
    /// A buyer whom a token proves, as a hash of this process.
    Buyer(u64),
}

/// Requests in flight by client. It holds only clients that have some, so connections bound it.
pub struct InFlight {
    max: u32,
    /// Keyed by the process, so that nobody can choose addresses that meet.
    hasher: RandomState,
    shards: Box<[Mutex<HashMap<Client, u32>>]>,
}

impl InFlight {
    /// At most `max` per client; 0: as many as they like, which is the caller's to know.
    #[must_use]
    pub fn new(max: u32) -> InFlight {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        InFlight { max, hasher: RandomState::new(), shards }
    }

    /// How many a client may have.
    #[must_use]
    pub fn max(&self) -> u32 {
        self.max
    }

    /// A buyer as a client.
    pub(super) fn buyer(&self, buyer: &BuyerText) -> Client {
        Client::Buyer(self.hasher.hash_one(buyer.as_str()))
    }

    /// A place for one more, if there is room.
    pub(super) fn enter(&self, client: Client) -> Option<Place<'_>> {
        let mut shard = self.shard(client)?.lock();
        let used = shard.entry(client).or_insert(0);
        if *used >= self.max {
            return None;
        }
        *used = used.saturating_add(1);
        Some(Place { of: self, client })
    }

    fn shard(&self, client: Client) -> Option<&Mutex<HashMap<Client, u32>>> {
        let hash = usize::try_from(self.hasher.hash_one(client) % (SHARDS as u64)).ok()?;
        self.shards.get(hash)
    }
}

/// A request's place among its client's; given back when it ends, however it ends.
pub struct Place<'a> {
    of: &'a InFlight,
    client: Client,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(shard) = self.of.shard(self.client) else { return };
        let mut shard = shard.lock();
        let left = shard.get_mut(&self.client).map(|used| {
            *used = used.saturating_sub(1);
            *used
        });
        if left == Some(0) {
            shard.remove(&self.client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::address::ClientAddress;
    use super::*;

    #[test]
    fn a_client_has_its_places_and_gets_them_back() {
        let in_flight = InFlight::new(2);
        let at = |text: &str| Client::Address(ClientAddress::new(text.parse().expect("an address")).group());
        let one = in_flight.enter(at("2001:db8::1")).expect("room");
        let two = in_flight.enter(at("2001:db8::2")).expect("room");
        assert!(in_flight.enter(at("2001:db8::3")).is_none(), "one network");
        assert!(in_flight.enter(at("192.0.2.1")).is_some(), "another client has its own");
        let buyer = |text: &str| in_flight.buyer(&BuyerText::new(text).expect("a buyer"));
        assert!(in_flight.enter(buyer("ann")).is_some() && buyer("ann") != buyer("bob"));
        drop(two);
        assert!(in_flight.enter(at("2001:db8::3")).is_some());
        drop(one);
        let left: usize = in_flight.shards.iter().map(|shard| shard.lock().len()).sum();
        assert_eq!(left, 0, "nothing is kept of who is gone");
    }
}
