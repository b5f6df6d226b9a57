//! Shards: several files sell side by side, and an id says which of them it belongs to.
//!
//! A drop's and an auction's id carry the shard in their upper 8 bits, an order's id in the first 8 of the bits that were
//! random before. So a router sends a request to its shard by its path alone.

use super::{AuctionId, DropId, Seq};

/// A file of a cluster, 0 to 255.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Shard(u8);

/// Bits of a drop's or an auction's id below the shard: 16,777,215 of them in a shard.
const NUMBER_BITS: u32 = 24;

/// Bits of a provider's number of an order below its shard. With 8 above, it stays below 2^53: PayOS takes no larger
/// integer.
const PROVIDER_NUMBER_BITS: u32 = 45;
/// Bits of the order's own number in it, below the series.
const ORDER_NUMBER_BITS: u32 = 37;

/// A series of the numbers that orders have at payment providers. Each file begins one in each epoch, because a file that
/// was put back from a copy gives its own numbers again, and a provider must not take the new order for the old one.
///
/// 1 to 255: a number of the series 0 is the order's own, which shops use that make payment links of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NumberSeries(u8);

impl NumberSeries {
    /// Returns the series of a file in an epoch. Those of 255 epochs in a row differ; two files have the same with a
    /// probability of 1 in 255.
    #[must_use]
    pub fn of(file_id: &[u8; 16], epoch: u64) -> NumberSeries {
        let [first, second, ..] = *file_id;
        let begin = u64::from(first).saturating_mul(256).saturating_add(u64::from(second));
        let place = begin.wrapping_add(epoch) % 255;
        NumberSeries(u8::try_from(place).unwrap_or(0).saturating_add(1))
    }
}

/// The order that a provider's number names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NumberedOrder {
    pub shard: Shard,
    pub seq: Seq,
    /// The series of the number; `None` if it is the order's own.
    pub series: Option<NumberSeries>,
}

impl Shard {
    /// The shard of a server without a cluster.
    pub const SINGLE: Shard = Shard(0);

    #[must_use]
    pub const fn new(number: u8) -> Shard {
        Shard(number)
    }

    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Returns the number of an order for payment providers, unique over all shards. `None` from 2^37 events in a shard
    /// on: four years at a thousand events per second.
    #[must_use]
    pub const fn order_number(self, series: NumberSeries, order: Seq) -> Option<u64> {
        if order.get() >> ORDER_NUMBER_BITS == 0 {
            let above = ((self.0 as u64) << PROVIDER_NUMBER_BITS) | ((series.0 as u64) << ORDER_NUMBER_BITS);
            Some(above | order.get())
        } else {
            None
        }
    }
}

impl NumberedOrder {
    /// Returns the order with this number of a provider. `None` if the number is out of range.
    #[must_use]
    pub fn of(number: u64) -> Option<NumberedOrder> {
        let shard = u8::try_from(number >> PROVIDER_NUMBER_BITS).ok().map(Shard)?;
        let seq = Seq::new(number & ((1 << ORDER_NUMBER_BITS) - 1))?;
        let series = u8::try_from((number >> ORDER_NUMBER_BITS) & 0xff).ok()?;
        Some(NumberedOrder { shard, seq, series: (series != 0).then_some(NumberSeries(series)) })
    }
}

/// The shard of an id, whose upper 8 bits it is.
const fn of_id(id: u32) -> Shard {
    let [shard, ..] = id.to_be_bytes();
    Shard(shard)
}

/// Returns the place of an id among those of a shard, from 0: its number less one. An id of another shard, or without a
/// number, is beyond every place that a table has.
fn place(id: u32, shard: Shard) -> usize {
    let number = id ^ (u32::from(shard.0) << NUMBER_BITS);
    usize::try_from(number.wrapping_sub(1)).unwrap_or(usize::MAX)
}

impl DropId {
    /// Returns the id of a shard's drop by its number there. `None` if the number is 0 or has more than 24 bits.
    #[must_use]
    pub const fn in_shard(shard: Shard, number: u32) -> Option<DropId> {
        if number >> NUMBER_BITS == 0 { DropId::new(((shard.0 as u32) << NUMBER_BITS) | number) } else { None }
    }

    /// The shard that sells the drop.
    #[must_use]
    pub const fn shard(self) -> Shard {
        of_id(self.get())
    }

    /// The place of the drop among those of a shard, from 0; beyond all of them for a drop of another shard.
    #[must_use]
    pub fn place_in(self, shard: Shard) -> usize {
        place(self.get(), shard)
    }
}

impl AuctionId {
    /// Returns the id of a shard's auction by its number there. `None` if the number is 0 or has more than 24 bits.
    #[must_use]
    pub const fn in_shard(shard: Shard, number: u32) -> Option<AuctionId> {
        if number >> NUMBER_BITS == 0 { AuctionId::new(((shard.0 as u32) << NUMBER_BITS) | number) } else { None }
    }

    /// The shard that runs the auction.
    #[must_use]
    pub const fn shard(self) -> Shard {
        of_id(self.get())
    }

    /// The place of the auction among those of a shard, from 0; beyond all of them for an auction of another shard.
    #[must_use]
    pub fn place_in(self, shard: Shard) -> usize {
        place(self.get(), shard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::JSON_INTEGER_MAX;

    #[test]
    fn an_id_of_a_server_alone_is_its_number_and_of_shard_0() {
        for number in [1, 2, 77_777, (1 << 24) - 1] {
            assert_eq!(DropId::in_shard(Shard::SINGLE, number).map(DropId::get), Some(number));
            assert_eq!(AuctionId::in_shard(Shard::SINGLE, number).map(AuctionId::get), Some(number));
            assert_eq!(DropId::new(number).map(DropId::shard), Some(Shard::SINGLE));
        }
    }

    #[test]
    fn ids_of_shards_differ_and_tell_their_shard() {
        for shard in [1, 16, 255].map(Shard::new) {
            let (drop, auction) = (DropId::in_shard(shard, 5), AuctionId::in_shard(shard, 5));
            assert_eq!(drop.map(|id| (id.shard(), id.get() & 0xff_ffff)), Some((shard, 5)));
            assert_eq!(auction.map(|id| (id.shard(), id.get() & 0xff_ffff)), Some((shard, 5)));
            assert_eq!(DropId::in_shard(shard, 1 << 24), None);
            assert_eq!(AuctionId::in_shard(shard, 1 << 24), None);
        }
    }

    #[test]
    fn an_id_has_a_place_in_its_own_shard_alone() {
        let last = Shard::new(255);
        for shard in [Shard::SINGLE, Shard::new(3), last] {
            let at = |number| DropId::in_shard(shard, number).map(|id| id.place_in(shard));
            assert_eq!((at(1), at(2), at((1 << 24) - 1)), (Some(0), Some(1), Some((1 << 24) - 2)));
            for other in
                [Shard::SINGLE, Shard::new(3), Shard::new(67), last].into_iter().filter(|other| *other != shard)
            {
                let (drop, auction) = (DropId::in_shard(other, 1), AuctionId::in_shard(other, 1));
                assert!(drop.is_some_and(|id| id.place_in(shard) >= 1 << 24), "{other:?} in {shard:?}");
                assert!(auction.is_some_and(|id| id.place_in(shard) >= 1 << 24), "{other:?} in {shard:?}");
            }
            // A number of 0 under a shard is an id by its value, and no drop's.
            let none = DropId::new(u32::from(shard.0) << NUMBER_BITS);
            assert!(none.is_none_or(|id| id.place_in(shard) >= 1 << 24));
        }
    }

    #[test]
    fn an_orders_number_for_providers_is_below_2_to_the_53_and_names_its_shard() {
        let last = Seq::new((1 << 37) - 1).expect("in range");
        let series = [0, 1, 253, 254].map(|epoch| NumberSeries::of(&[0; 16], epoch));
        assert_eq!(series.map(|series| series.0), [1, 2, 254, 255]);
        for shard in [0, 1, 255].map(Shard::new) {
            for (series, order) in series.into_iter().flat_map(|s| [(s, Seq::new(1).expect("in range")), (s, last)]) {
                let number = shard.order_number(series, order).expect("in range");
                assert!(number <= JSON_INTEGER_MAX);
                assert_eq!(NumberedOrder::of(number), Some(NumberedOrder { shard, seq: order, series: Some(series) }));
            }
            assert_eq!(shard.order_number(series[0], last.next()), None);
        }
        let own = NumberedOrder { shard: Shard::SINGLE, seq: last, series: None };
        assert_eq!(NumberedOrder::of(last.get()), Some(own), "an order's own number is one, too");
        assert_eq!([JSON_INTEGER_MAX + 1, u64::MAX].map(NumberedOrder::of), [None, None]);
    }

    #[test]
    fn a_file_begins_another_series_in_each_epoch() {
        for file in [[0; 16], [0xff; 16], [7; 16]] {
            let seen: std::collections::BTreeSet<u8> = (0..255).map(|epoch| NumberSeries::of(&file, epoch).0).collect();
            assert!(seen.len() == 255 && !seen.contains(&0));
        }
    }
}
