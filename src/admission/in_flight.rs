//! Limits the requests that one client has in flight: a client that waits for a hundred responses at once is a script.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use super::address::AddressGroup;
use crate::types::BuyerText;

/// Locks that share the clients, so that workers seldom wait for the same one. A power of two.
const SHARDS: usize = 64;

/// The unit that requests are counted by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ClientKey {
    /// All callers at one address.
    Address(AddressGroup),
    /// A buyer with a verified token, as a hash that is secret to this process.
    Buyer(u64),
}

/// Requests in flight by client. It holds only clients that have some, so that it is bounded by the connections.
pub struct InFlight {
    /// The value changes when the settings are read again.
    max: AtomicU32,
    /// Keyed by the process, so that clients cannot choose addresses that collide.
    hasher: RandomState,
    shards: Box<[Mutex<HashMap<ClientKey, u32>>]>,
}

impl InFlight {
    /// Returns an empty table with a limit of `max` per client. The caller handles 0, which means no limit.
    #[must_use]
    pub fn new(max: u32) -> InFlight {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        InFlight { max: AtomicU32::new(max), hasher: RandomState::new(), shards }
    }

    #[must_use]
    pub fn max(&self) -> u32 {
        self.max.load(Ordering::Relaxed)
    }

    pub(super) fn set_max(&self, max: u32) {
        self.max.store(max, Ordering::Relaxed);
    }

    pub(super) fn buyer(&self, buyer: &BuyerText) -> ClientKey {
        ClientKey::Buyer(self.hasher.hash_one(buyer.as_str()))
    }

    /// Takes a permit, unless the client has its maximum.
    pub(super) fn acquire(&self, client: ClientKey) -> Option<InFlightPermit<'_>> {
        let mut shard = self.shard(client)?.lock();
        let used = shard.entry(client).or_insert(0);
        if *used >= self.max() {
            return None;
        }
        *used = used.saturating_add(1);
        Some(InFlightPermit { of: self, client })
    }

    fn shard(&self, client: ClientKey) -> Option<&Mutex<HashMap<ClientKey, u32>>> {
        let hash = usize::try_from(self.hasher.hash_one(client) % (SHARDS as u64)).ok()?;
        self.shards.get(hash)
    }
}

/// Counts as one request of its client until it is dropped.
pub struct InFlightPermit<'a> {
    of: &'a InFlight,
    client: ClientKey,
}

impl Drop for InFlightPermit<'_> {
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
    fn a_client_has_its_permits_and_gives_them_back() {
        let in_flight = InFlight::new(2);
        let at = |text: &str| ClientKey::Address(ClientAddress::new(text.parse().expect("an address")).group());
        let one = in_flight.acquire(at("2001:db8::1")).expect("room");
        let two = in_flight.acquire(at("2001:db8::2")).expect("room");
        assert!(in_flight.acquire(at("2001:db8::3")).is_none(), "one network");
        assert!(in_flight.acquire(at("192.0.2.1")).is_some(), "another client has its own");
        let buyer = |text: &str| in_flight.buyer(&BuyerText::new(text).expect("a buyer"));
        assert!(in_flight.acquire(buyer("ann")).is_some() && buyer("ann") != buyer("bob"));
        drop(two);
        assert!(in_flight.acquire(at("2001:db8::3")).is_some());
        drop(one);
        let left: usize = in_flight.shards.iter().map(|shard| shard.lock().len()).sum();
        assert_eq!(left, 0, "no entry is left");
    }
}
