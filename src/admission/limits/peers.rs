//! The memory of a connection: the client that its peer is, and the charge of a read without a token. So the reads of a connection
//! do not work these out again.

use std::cell::Cell;
use std::time::Instant;

use super::gcra::Quota;
use super::rules::Policy;
use super::table::Key;
use super::{Client, ClientKind, Door, Exceeded, purpose};
use crate::admission::Caller;
use crate::admission::address::ClientAddress;
use crate::admission::peer::Peer;

/// The memory of a connection; empty for those of trusted proxies, which belong to many clients.
#[derive(Default, Debug)]
pub struct PeerMemory(Cell<Option<KnownPeer>>);

/// A peer under some rules. Other rules make it unknown.
#[derive(Clone, Copy, Debug)]
struct KnownPeer {
    /// The id of the rules.
    rules: u64,
    client: Client,
    /// The key and the quota of a read without a token; none if more policies apply than its address', or no policy.
    read: Option<(Key, Quota)>,
}

impl PeerMemory {
    fn under(&self, rules: u64) -> Option<KnownPeer> {
        self.0.get().filter(|known| known.rules == rules)
    }
}

impl Door {
    /// Returns the client that a peer is, which is no trusted proxy.
    #[inline]
    pub(in crate::admission) fn client_of(&self, peer: &Peer) -> Client {
        match peer.memory.under(self.rules.id()) {
            Some(known) => known.client,
            None => self.remember(peer),
        }
    }

    #[cold]
    fn remember(&self, peer: &Peer) -> Client {
        let client = self.client(ClientAddress::new(peer.address()), true, false);
        let known = self.rules.ask(|rules| {
            let read = match (client.0, rules.quota(Policy::GlobalReads), rules.quota(Policy::AddressReads)) {
                (ClientKind::Address(address), None, Some(quota)) => Some((address.of(purpose::READS), quota)),
                (ClientKind::Address(_) | ClientKind::Backend | ClientKind::Exempt, _, _) => None,
            };
            KnownPeer { rules: rules.id(), client, read }
        });
        peer.memory.0.set(Some(known));
        client
    }

    /// Lets a read of a connection pass, or not.
    ///
    /// # Errors
    /// The policies that have no room for it.
    #[inline]
    pub fn read_over(&self, peer: &Peer, client: Client, caller: &Caller, now: Instant) -> Result<(), Exceeded> {
        if let (Some(KnownPeer { client: known, read: Some((key, quota)), .. }), Caller::Anonymous) =
            (peer.memory.under(self.rules.id()), caller)
            && known == client
        {
            return self.charge_read(key, quota, self.nanos(now));
        }
        self.read(client, caller, now)
    }
}
