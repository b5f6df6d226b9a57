//! The draw of a waiting room, which buyers can verify: the order of tickets, the tree that binds them, and the check of a
//! transcript. This is the part that can be judged by itself (`tests/draw.rs`); `engine/draws.rs` has the phases of a room's.
//!
//! The operator publishes the commitment, SHA-256 of the seed, before the room opens. Once the gathering has ended, number and
//! root of the tickets are fixed ([`TicketSet`]); then the beacon, public randomness, may come, and the seed is published. The
//! position of a ticket is its rank, from 0, in ascending byte order of HMAC-SHA256(key = seed ‖ beacon, message = number of
//! the ticket as 8 bytes, big-endian). Numbers of tickets begin at 1.
//!
//! | hash | input |
//! |---|---|
//! | commitment | seed (32 bytes) |
//! | digest of a ticket, cut to 16 bytes | 4, commitment (32), keyed digest of the buyer (16) |
//! | leaf | 0, number (8), digest of the ticket (16) |
//! | node | 1, left (32), right (32) |
//! | root | 2, number of tickets (8), top of the tree (32); the top over no tickets is SHA-256 of nothing |
//! | result | 3, seed (32), length of the beacon (1), beacon, root (32), numbers of the tickets in their order (8 each) |
//!
//! Leaves and nodes are those of RFC 6962: a tree of n leaves splits at the largest power of two below n. A path of that tree
//! may fit another number of tickets as well, so the root binds the number. HMAC pads its key with zeros: beacons that differ
//! in zeros at their ends may draw the same order, so the result binds the beacon.

mod order;
mod transcript;
mod tree;

pub use order::{DrawRun, DrawStep, Drawn, Permutation};
pub use transcript::{DrawFault, TicketProof, Transcript};
pub use tree::{TICKETS_OF_BLOCK, TicketTree, TreeBuilder};

use crate::types::{MerkleRoot, draw::TICKETS_MAX};

/// The tickets of a draw: their number, at most [`TICKETS_MAX`], and the root that binds them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TicketSet {
    count: u32,
    root: MerkleRoot,
}

impl TicketSet {
    /// Returns the set with these published values. `None` if there are more than [`TICKETS_MAX`].
    #[must_use]
    pub const fn new(count: u32, root: MerkleRoot) -> Option<TicketSet> {
        if count <= TICKETS_MAX { Some(TicketSet { count, root }) } else { None }
    }

    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    #[must_use]
    pub const fn root(&self) -> MerkleRoot {
        self.root
    }
}
