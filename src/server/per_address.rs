//! The number of open connections of each client address.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::admission::address::AddressGroup;

/// Connections by address, over all threads. It holds at most as many entries as there are connections, and hashes with
/// a secret key because clients choose their addresses.
#[derive(Default)]
pub(super) struct ConnectionsPerAddress(Mutex<HashMap<AddressGroup, usize>>);

impl ConnectionsPerAddress {
    /// Counts one more connection of an address, unless it has `max` already.
    #[must_use]
    pub(super) fn take(&self, key: AddressGroup, max: usize) -> bool {
        let mut counts = self.0.lock();
        let count = counts.entry(key).or_insert(0);
        let free = *count < max;
        if free {
            *count = count.saturating_add(1);
        } else if *count == 0 {
            counts.remove(&key);
        }
        free
    }

    /// Counts one connection less.
    pub(super) fn give_back(&self, key: AddressGroup) {
        let mut counts = self.0.lock();
        if let Some(count) = counts.get_mut(&key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::address::ClientAddress;

    fn key(text: &str) -> AddressGroup {
        ClientAddress::new(text.parse().expect("an address")).group()
    }

    #[test]
    fn an_address_has_its_places_and_no_more_and_leaves_nothing_behind() {
        let addresses = ConnectionsPerAddress::default();
        assert!(addresses.take(key("192.0.2.1"), 2) && addresses.take(key("192.0.2.1"), 2));
        assert!(!addresses.take(key("192.0.2.1"), 2));
        assert!(!addresses.take(key("::ffff:192.0.2.1"), 2), "the same, as an IPv6 listener writes it");
        assert!(addresses.take(key("192.0.2.2"), 2), "its neighbour is another");
        addresses.give_back(key("192.0.2.1"));
        assert!(addresses.take(key("192.0.2.1"), 2));
        for address in ["192.0.2.1", "192.0.2.1", "192.0.2.2"] {
            addresses.give_back(key(address));
        }
        assert!(addresses.0.lock().is_empty());
    }
}
