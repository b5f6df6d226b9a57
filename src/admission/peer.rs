//! The other end of a connection.

use std::net::IpAddr;

use super::limits::PeerMemory;

/// The other end of a connection, with what the door has worked out about it.
#[derive(Debug)]
pub struct Peer {
    address: IpAddr,
    pub(super) memory: PeerMemory,
}

impl Peer {
    /// Returns a peer about which nothing is known but its address.
    #[must_use]
    pub fn new(address: IpAddr) -> Peer {
        Peer { address, memory: PeerMemory::default() }
    }

    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }
}
