//! The encoding of lines of buyers who stand by, by the rules of [`encoding`](super::encoding).

use super::encoding::{encoding_of_enum, encoding_of_struct};
use crate::engine::{StandbyGranted, StandbyJoined, StandbyLeaving, Waiting};
use crate::types::{Digest, DropId, Seq};

encoding_of_struct!(Waiting { buyer, key, quantity, contact_given, facts });
encoding_of_struct!(StandbyJoined { waiting, number });
encoding_of_enum!(StandbyLeaving { 1 = Buyer, 2 = Limit, 3 = SoldOut });
encoding_of_struct!(StandbyGranted { reserved, joined, awaits_payment, number, facts });

/// A buyer who stands by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavedStandby {
    pub drop_id: DropId,
    /// The event by which the buyer joined.
    pub seq: Seq,
    pub waiting: Waiting,
}
encoding_of_struct!(SavedStandby { drop_id, seq, waiting });

/// The last order that a buyer got from the line of a drop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SavedGrant {
    pub drop_id: DropId,
    pub buyer: Digest,
    pub order: Seq,
}
encoding_of_struct!(SavedGrant { drop_id, buyer, order });

/// A buyer who left the line of a drop because a limit or the stock left no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SavedLeaving {
    pub drop_id: DropId,
    pub buyer: Digest,
    /// The event by which the buyer had joined.
    pub joined: Seq,
}
encoding_of_struct!(SavedLeaving { drop_id, buyer, joined });
