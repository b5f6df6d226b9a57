//! Positions in lists that go over all shards: those of one shard after those of another, in ascending order of their numbers.
//!
//! Ids of drops and auctions carry the shard, so a position is the id itself. Orders are listed by their `seq`, which each
//! shard counts anew: the position has the shard above 45 bits of it, as providers' numbers do, and stays below 2^53.

use serde_json::Value;

use crate::types::shard::Shard;

/// A list that goes over all shards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MergedList {
    /// Drops or auctions, by id.
    ById,
    /// Orders, which are listed by `seq`.
    BySeq,
}

impl MergedList {
    /// Bits of a position below its shard.
    const fn bits(self) -> u32 {
        match self {
            MergedList::ById => 24,
            MergedList::BySeq => 45,
        }
    }

    /// The member of an item that is its place in the list of its shard.
    pub(super) const fn member(self) -> &'static str {
        match self {
            MergedList::ById => "id",
            MergedList::BySeq => "seq",
        }
    }

    /// Returns the shard in whose list a position is. `None` if it is beyond all shards.
    pub(super) fn shard(self, after: u64) -> Option<Shard> {
        u8::try_from(after >> self.bits()).ok().map(Shard::new)
    }

    /// Returns the `after` that a shard understands, of a position in its list.
    pub(super) const fn within(self, after: u64) -> u64 {
        match self {
            MergedList::ById => after,
            MergedList::BySeq => after & ((1 << self.bits()) - 1),
        }
    }

    /// Returns the position of an item by its place in the list of its shard.
    pub(super) fn position(self, shard: Shard, place: u64) -> u64 {
        match self {
            MergedList::ById => place,
            MergedList::BySeq => (u64::from(shard.get()) << self.bits()) | place,
        }
    }

    /// Returns the position behind everything that a shard may have.
    pub(super) fn behind(self, shard: Shard) -> u64 {
        let all = (1_u64 << self.bits()) - 1;
        (u64::from(shard.get()) << self.bits()) | all
    }

    /// Returns the position of an item in JSON.
    pub(super) fn of_item(self, shard: Shard, item: &Value) -> Option<u64> {
        item[self.member()].as_u64().map(|place| self.position(shard, place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{DropId, JSON_INTEGER_MAX};

    #[test]
    fn a_position_tells_its_shard_and_stays_an_integer_of_json() {
        for list in [MergedList::ById, MergedList::BySeq] {
            for number in [0, 1, 255] {
                let shard = Shard::new(number);
                let own = match list {
                    MergedList::ById => u64::from(DropId::in_shard(shard, 7).expect("an id").get()),
                    MergedList::BySeq => 7,
                };
                let position = list.position(shard, own);
                assert_eq!((list.shard(position), list.within(position)), (Some(shard), own), "{list:?} {number}");
                assert!(position < list.behind(shard) && list.behind(shard) <= JSON_INTEGER_MAX);
                assert_eq!(list.shard(list.behind(shard)), Some(shard));
            }
            assert_eq!(list.position(Shard::SINGLE, 7), 7, "shard 0 has the positions of a single machine");
            assert_eq!(list.shard(list.behind(Shard::new(255)) + 1), None);
        }
    }
}
