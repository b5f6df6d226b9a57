//! Buyers by tier and by address block: the tickets that they took, their orders and their units.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use crate::types::{Tier, UnixMillis};

/// The buyers of a tier or of an address block.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct GroupSums {
    /// Buyers with a ticket, a recorded order or an order.
    pub members: u64,
    /// Tickets, or orders that a blind window recorded and that their buyers did not take back: one of a member at most.
    pub tickets: u64,
    /// Buyers with an order.
    pub buyers: u64,
    pub orders: u64,
    /// Units that are held or sold.
    pub units: u64,
}

impl GroupSums {
    /// Returns the sums of both.
    #[must_use]
    pub fn with(self, more: &GroupSums) -> GroupSums {
        self.each(more, u64::saturating_add)
    }

    /// Returns what the sums have more than a part of them.
    #[must_use]
    fn without(self, part: &GroupSums) -> GroupSums {
        self.each(part, u64::saturating_sub)
    }

    fn each(self, other: &GroupSums, of: fn(u64, u64) -> u64) -> GroupSums {
        GroupSums {
            members: of(self.members, other.members),
            tickets: of(self.tickets, other.tickets),
            buyers: of(self.buyers, other.buyers),
            orders: of(self.orders, other.orders),
            units: of(self.units, other.units),
        }
    }

    fn add(&mut self, more: &GroupSums) {
        *self = self.with(more);
    }
}

/// A buyer with an order.
#[derive(Clone, Copy, Default)]
pub(super) struct BuyerSums {
    /// The instant of the first order.
    pub(super) ordered_at: UnixMillis,
    pub(super) units: u32,
    orders: u32,
    /// A bit for each tier that an order or a ticket of the buyer had, and one for those without.
    tiers: u8,
    /// The address block of the first order that has one, else of the ticket: the buyer counts in it, with all orders.
    block: Option<u32>,
}

impl BuyerSums {
    pub(super) fn new(ordered_at: UnixMillis) -> BuyerSums {
        BuyerSums { ordered_at, ..BuyerSums::default() }
    }

    /// Notes a tier. Returns whether it is new to the buyer.
    fn add_tier(&mut self, tier: Option<Tier>) -> bool {
        let bit = tier.map_or(1 << 7, |tier| 1u8 << tier as u8);
        let is_new = self.tiers & bit == 0;
        self.tiers |= bit;
        is_new
    }

    fn sums(&self) -> GroupSums {
        GroupSums { members: 1, tickets: 0, buyers: 1, orders: self.orders.into(), units: self.units.into() }
    }
}

/// The tier and the mark of the address block in the detail of an order or a ticket; neither where none was noted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct NotedOrigin {
    pub(super) tier: Option<Tier>,
    pub(super) block: Option<u32>,
}

impl NotedOrigin {
    /// Reads the detail of an audit row.
    pub(super) fn of(detail: Option<&str>) -> NotedOrigin {
        #[derive(Deserialize, Default)]
        struct OriginMembers<'text> {
            #[serde(borrow)]
            tier: Option<Cow<'text, str>>,
            #[serde(borrow)]
            block: Option<Cow<'text, str>>,
        }
        let detail: OriginMembers<'_> = detail.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        NotedOrigin {
            tier: detail.tier.as_deref().and_then(Tier::parse),
            block: detail.block.as_deref().and_then(|digits| u32::from_str_radix(digits, 16).ok()),
        }
    }
}

/// The sums of all groups.
#[derive(Default)]
pub(super) struct OriginGroups {
    all: GroupSums,
    /// Buyers by the tier at the order and at the ticket; `None` where it was not noted.
    tiers: BTreeMap<Option<Tier>, GroupSums>,
    blocks: HashMap<u32, GroupSums>,
}

impl OriginGroups {
    /// Counts an order of a buyer. All orders come before the tickets.
    pub(super) fn count_order(&mut self, buyer: &mut BuyerSums, units: u32, origin: NotedOrigin) {
        let order = |is_new: bool| {
            let new = u64::from(is_new);
            GroupSums { members: new, tickets: 0, buyers: new, orders: 1, units: units.into() }
        };
        self.all.add(&order(buyer.orders == 0));
        (buyer.orders, buyer.units) = (buyer.orders.saturating_add(1), buyer.units.saturating_add(units));
        self.tiers.entry(origin.tier).or_default().add(&order(buyer.add_tier(origin.tier)));
        match (buyer.block, origin.block) {
            (Some(block), _) => self.blocks.entry(block).or_default().add(&order(false)),
            (None, Some(block)) => {
                buyer.block = Some(block);
                self.blocks.entry(block).or_default().add(&buyer.sums());
            }
            (None, None) => {}
        }
    }

    /// Counts a ticket. Its holder is a buyer with an order, or else a member of the groups by this ticket alone.
    pub(super) fn count_ticket(&mut self, holder: Option<&mut BuyerSums>, origin: NotedOrigin) {
        let ticket = |is_new: bool| GroupSums { members: is_new.into(), tickets: 1, ..GroupSums::default() };
        let Some(buyer) = holder else {
            self.all.add(&ticket(true));
            self.tiers.entry(origin.tier).or_default().add(&ticket(true));
            if let Some(block) = origin.block {
                self.blocks.entry(block).or_default().add(&ticket(true));
            }
            return;
        };
        self.all.add(&ticket(false));
        self.tiers.entry(origin.tier).or_default().add(&ticket(buyer.add_tier(origin.tier)));
        let moved = if buyer.block.is_none() { buyer.sums() } else { GroupSums::default() };
        buyer.block = buyer.block.or(origin.block);
        if let Some(block) = buyer.block {
            self.blocks.entry(block).or_default().add(&moved.with(&ticket(false)));
        }
    }

    /// Returns the number of address blocks.
    pub(super) fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// Returns the sums of each tier.
    pub(super) fn tiers(&self) -> impl Iterator<Item = (Tier, &GroupSums)> {
        self.tiers.iter().filter_map(|(tier, sums)| Some(((*tier)?, sums)))
    }

    /// Returns the sums of tickets and orders without a noted tier.
    pub(super) fn without_tier(&self) -> GroupSums {
        self.tiers.get(&None).copied().unwrap_or_default()
    }

    /// Returns the sums of each address block.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &GroupSums> {
        self.blocks.values()
    }

    /// Returns the sums of buyers without a noted block.
    pub(super) fn without_block(&self) -> GroupSums {
        self.all.without(&self.blocks.values().fold(GroupSums::default(), |sum, more| sum.with(more)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_block(block: Option<u32>) -> NotedOrigin {
        NotedOrigin { tier: None, block }
    }

    fn sums(members: u64, tickets: u64, buyers: u64, orders: u64) -> GroupSums {
        GroupSums { members, tickets, buyers, orders, units: orders }
    }

    #[test]
    fn a_buyer_of_several_address_blocks_counts_in_that_of_the_first_order_alone() {
        let (mut groups, mut one, mut other) = (OriginGroups::default(), BuyerSums::default(), BuyerSums::default());
        for block in [None, Some(1), Some(2), Some(1), Some(2), None] {
            groups.count_order(&mut one, 1, of_block(block));
        }
        groups.count_order(&mut other, 1, of_block(Some(2)));
        groups.count_ticket(Some(&mut one), of_block(Some(2)));
        let of = |groups: &OriginGroups, block| groups.blocks.get(&block).copied().unwrap_or_default();
        assert_eq!((of(&groups, 1), of(&groups, 2)), (sums(1, 1, 1, 6), sums(1, 0, 1, 1)));
        assert_eq!(groups.without_block(), GroupSums::default());
    }

    #[test]
    fn the_block_of_the_ticket_is_that_of_a_buyer_whose_orders_have_none_and_of_one_without_an_order() {
        let (mut groups, mut buyer) = (OriginGroups::default(), BuyerSums::default());
        groups.count_order(&mut buyer, 1, of_block(None));
        groups.count_order(&mut buyer, 1, of_block(None));
        assert_eq!(groups.without_block(), sums(1, 0, 1, 2));
        groups.count_ticket(Some(&mut buyer), of_block(Some(7)));
        groups.count_ticket(None, of_block(Some(7)));
        groups.count_ticket(None, of_block(None));
        assert_eq!(groups.blocks.get(&7), Some(&sums(2, 2, 1, 2)));
        assert_eq!(groups.without_block(), sums(1, 1, 0, 0));
    }

    #[test]
    fn a_ticket_counts_by_the_tier_that_its_holder_had_then() {
        let tier = |tier| NotedOrigin { tier: Some(tier), block: None };
        let (mut groups, mut buyer) = (OriginGroups::default(), BuyerSums::default());
        groups.count_order(&mut buyer, 1, tier(Tier::Verified));
        groups.count_ticket(Some(&mut buyer), tier(Tier::New));
        groups.count_ticket(None, tier(Tier::New));
        groups.count_ticket(None, NotedOrigin::default());
        let told: Vec<(Tier, GroupSums)> = groups.tiers().map(|(tier, sums)| (tier, *sums)).collect();
        assert_eq!(told, [(Tier::New, sums(2, 2, 0, 0)), (Tier::Verified, sums(1, 0, 1, 1))]);
        assert_eq!(groups.without_tier(), sums(1, 1, 0, 0));
    }

    #[test]
    fn the_detail_of_a_row_tells_tier_and_block_or_neither() {
        let noted = NotedOrigin::of(Some(r#"{"number":7,"tier":"verified","block":"00beef","buyer":"b0"}"#));
        assert_eq!(noted, NotedOrigin { tier: Some(Tier::Verified), block: Some(0xbeef) });
        for detail in [None, Some(r#"{"number":7}"#), Some("[]"), Some(r#"{"tier":"duke","block":"x"}"#)] {
            assert_eq!(NotedOrigin::of(detail), NotedOrigin::default(), "{detail:?}");
        }
    }
}
