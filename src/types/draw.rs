//! Values of a room's draw: the seed and its commitment, public randomness, numbers and positions of tickets.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use super::{Digest, hex, random};

/// Most tickets of one draw: eight times the largest sale that was measured.
pub const TICKETS_MAX: u32 = 8_000_000;

/// Tickets whose digests are read and hashed in one step of the query thread: about 2 ms.
pub const TICKETS_PER_READ: u32 = 1024;
/// Tickets that are drawn in one step of the query thread: about 2 ms.
pub const TICKETS_PER_STEP: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// The secret of a draw, which is published at the start of the sale. `Debug` does not show it, and its memory is cleared.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed(Zeroizing<[u8; Seed::BYTES]>);

impl Seed {
    pub const BYTES: usize = 32;

    /// Returns a seed of the operating system's random bytes.
    #[must_use]
    pub fn random() -> Seed {
        let mut bytes = Zeroizing::new([0; Seed::BYTES]);
        random::fill(bytes.as_mut());
        Seed(bytes)
    }

    /// Returns the seed with these stored bytes. `None` if they are not 32.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Seed> {
        bytes.try_into().ok().map(|bytes| Seed(Zeroizing::new(bytes)))
    }

    /// Returns the seed of 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Seed> {
        Seed::from_slice(&Zeroizing::new(hex::decode(text)?))
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Seed::BYTES] {
        &self.0
    }

    /// Returns the seed in hexadecimal digits, for its publication.
    #[must_use]
    pub fn reveal(&self) -> String {
        hex::encode(self.as_bytes())
    }

    #[must_use]
    pub fn commitment(&self) -> Commitment {
        Commitment(sha256(&[self.as_bytes()]))
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
    }
}

/// Defines a hash of 32 bytes as a type of its own.
macro_rules! hash {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// Returns the hash with these stored bytes. `None` if they are not 32.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<$name> {
                bytes.try_into().ok().map($name)
            }

            /// Returns the hash of 64 hexadecimal digits.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<$name> {
                $name::from_slice(&hex::decode(text)?)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

hash! {
    /// SHA-256 of a seed, published before the room opens.
    Commitment
}

hash! {
    /// Hash that binds all tickets of a draw and their number, published before the seed.
    MerkleRoot
}

hash! {
    /// A node of the tree of tickets: the hash of a ticket or of two nodes.
    TreeNode
}

hash! {
    /// Hash that binds a whole draw: seed, beacon, tickets and their order.
    DrawResult
}

/// Public randomness that is known only after the last ticket of the draw: 0 to 64 bytes. A draw without one has 0.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Beacon(Box<[u8]>);

impl Beacon {
    pub const BYTES_MAX: usize = 64;

    /// Returns the beacon with these bytes. `None` if they are more than 64.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Beacon> {
        (bytes.len() <= Beacon::BYTES_MAX).then(|| Beacon(bytes.into()))
    }

    /// Returns the beacon of up to 128 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Beacon> {
        Beacon::from_slice(&hex::decode(text)?)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Beacon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Beacon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Beacon({self})")
    }
}

/// Number of a ticket in its room: from 1, in the order of arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TicketNumber(u32);

impl TicketNumber {
    /// Returns the ticket with this number. `None` if it is 0.
    #[must_use]
    pub const fn new(value: u32) -> Option<TicketNumber> {
        if value == 0 { None } else { Some(TicketNumber(value)) }
    }

    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the index in lists by number, which begin with ticket 1.
    #[must_use]
    pub const fn index(self) -> usize {
        (self.0 - 1) as usize
    }

    /// Returns the position of a ticket that was not drawn: behind all tickets before it.
    #[must_use]
    pub const fn position_by_arrival(self) -> TicketPosition {
        TicketPosition(self.0 - 1)
    }
}

impl fmt::Display for TicketNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Place of a ticket in the line: from 0, so that it is the number of tickets before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TicketPosition(pub u32);

impl fmt::Display for TicketPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A ticket's holder in the draw: a hash of 16 bytes that differs by drop, so that no holder can be recognized in another draw.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TicketDigest(pub [u8; 16]);

impl TicketDigest {
    /// Returns the digest of a buyer's ticket in the room with this commitment. Every room has another seed, and so another
    /// commitment.
    #[must_use]
    pub fn of(commitment: &Commitment, buyer: &Digest) -> TicketDigest {
        let whole = sha256(&[&[DigestTag::Ticket as u8], &commitment.0, &buyer.0]);
        let mut digest = [0; 16];
        digest.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        TicketDigest(digest)
    }

    /// Returns the digest with these stored bytes. `None` if they are not 16.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<TicketDigest> {
        bytes.try_into().ok().map(TicketDigest)
    }

    /// Returns the digest of 32 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<TicketDigest> {
        TicketDigest::from_slice(&hex::decode(text)?)
    }
}

impl fmt::Display for TicketDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

/// First byte of everything that a draw hashes, but for its seed: no input of one kind is one of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum DigestTag {
    /// A leaf of the tree (RFC 6962).
    Leaf = 0,
    /// An inner node of the tree (RFC 6962).
    Node = 1,
    /// The root, with the number of tickets.
    Root = 2,
    /// The whole draw with its order.
    Result = 3,
    /// The holder of a ticket.
    Ticket = 4,
}

/// Returns the SHA-256 of the parts, one behind the other.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_not_printed_and_its_commitment_is_its_sha256() {
        let seed = Seed::from_slice(&[7; 32]).expect("32 bytes");
        assert_eq!(format!("{seed:?}"), "Seed");
        // printf '\007%.0s' {1..32} | sha256sum
        let commitment = "4bb06f8e4e3a7715d201d573d0aa423762e55dabd61a2c02278fa56cc6d294e0";
        assert_eq!(seed.commitment().to_string(), commitment);
        assert_eq!(Seed::from_hex(&seed.reveal()), Some(seed));
        assert_ne!(Seed::random(), Seed::random());
    }

    #[test]
    fn values_have_one_spelling_and_one_length() {
        let digits = |count: usize| "a".repeat(count);
        for wrong in [digits(62), digits(66), digits(63), "A".repeat(64)] {
            assert!(Seed::from_hex(&wrong).is_none() && Commitment::from_hex(&wrong).is_none(), "{wrong}");
        }
        assert_eq!(Commitment::from_hex(&digits(64)).map(|hash| hash.to_string()), Some(digits(64)));
        assert_eq!(Beacon::from_hex(&digits(128)).map(|beacon| beacon.to_string()), Some(digits(128)));
        assert_eq!(Beacon::from_hex(""), Some(Beacon::default()));
        assert!(Beacon::from_hex(&digits(130)).is_none() && Beacon::from_hex("abc").is_none());
        assert!(TicketNumber::new(0).is_none());
        assert_eq!(TicketNumber::new(1).map(TicketNumber::position_by_arrival), Some(TicketPosition(0)));
    }

    #[test]
    fn a_buyer_has_another_digest_in_every_room() {
        let room = |byte: u8| Seed::from_slice(&[byte; 32]).expect("32 bytes").commitment();
        let of = |byte: u8, buyer: u8| TicketDigest::of(&room(byte), &Digest([buyer; 16]));
        assert_eq!(of(1, 1), of(1, 1));
        assert!(of(1, 1) != of(2, 1) && of(1, 1) != of(1, 2));
    }
}
