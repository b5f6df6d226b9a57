//! Notes of the front end about an order, for its caps and for the audit. Most orders have none.

use super::{IdentityDigests, Tier};

/// A sign that a request comes from a bot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Signal {
    /// The buyer's requests come at equal intervals.
    RegularIntervals,
    /// The buyer has not read the drop.
    NoReadBeforePurchase,
    /// The request came within milliseconds of the start.
    FirstInstant,
    /// One buyer comes from many addresses or user agents.
    ManyAddresses,
    /// Many buyers come from one address and one user agent.
    SharedClient,
    /// Headers of browsers are missing or contradict each other.
    OddHeaders,
    /// The checkout follows the reservation faster than a person.
    FastCheckout,
    /// A challenge was failed, replayed, or solved faster than hardware can.
    Challenge,
}

impl Signal {
    pub const ALL: [Signal; 8] = [
        Signal::RegularIntervals,
        Signal::NoReadBeforePurchase,
        Signal::FirstInstant,
        Signal::ManyAddresses,
        Signal::SharedClient,
        Signal::OddHeaders,
        Signal::FastCheckout,
        Signal::Challenge,
    ];

    /// Returns its name in the audit, in settings and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Signal::RegularIntervals => "regular_intervals",
            Signal::NoReadBeforePurchase => "no_read_before_purchase",
            Signal::FirstInstant => "first_instant",
            Signal::ManyAddresses => "many_addresses",
            Signal::SharedClient => "shared_client",
            Signal::OddHeaders => "odd_headers",
            Signal::FastCheckout => "fast_checkout",
            Signal::Challenge => "challenge",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of signals: a bit for each, by its place in [`Signal::ALL`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SignalSet(u16);

impl SignalSet {
    /// Returns the set with these bits. `None` if a bit belongs to no signal.
    #[must_use]
    pub const fn new(bits: u16) -> Option<SignalSet> {
        if bits >> Signal::ALL.len() == 0 { Some(SignalSet(bits)) } else { None }
    }

    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub const fn with(self, signal: Signal) -> SignalSet {
        SignalSet(self.0 | signal.bit())
    }

    #[must_use]
    pub const fn has(self, signal: Signal) -> bool {
        self.0 & signal.bit() != 0
    }

    /// Returns the signals of the set, in the order of [`Signal::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        Signal::ALL.into_iter().filter(move |signal| self.has(*signal))
    }
}

/// The risk that an order was placed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RiskNote {
    /// Points: the sum of the signals' weights, as far as it had not decayed.
    pub score: u16,
    pub signals: SignalSet,
}

/// A network of addresses that often belong to one client: 24 bits of IPv4, 48 of IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AddressBlock(pub u64);

/// A mark of an address block in one drop: 24 bits of a keyed digest, so that neither the block nor a block of another drop is
/// found by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockMark(u32);

impl BlockMark {
    /// Returns the mark of a number. `None` above 24 bits.
    #[must_use]
    pub const fn new(number: u32) -> Option<BlockMark> {
        if number >> 24 == 0 { Some(BlockMark(number)) } else { None }
    }

    /// Returns the mark of three bytes.
    #[must_use]
    pub const fn of_bytes([a, b, c]: [u8; 3]) -> BlockMark {
        BlockMark(u32::from_be_bytes([0, a, b, c]))
    }

    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The tier of the buyer of an order or a ticket and the address block that it came from, for the report of a drop with a waiting
/// room or a blind window. The block is not known behind the shop's back end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BuyerOrigin {
    pub tier: Tier,
    pub block: Option<BlockMark>,
}

/// Notes about an order besides its buyer and its units.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct OrderFacts {
    pub identities: IdentityDigests,
    pub risk: Option<RiskNote>,
    pub origin: Option<BuyerOrigin>,
}

impl OrderFacts {
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.identities.is_empty() && self.risk.is_none() && self.origin.is_none()
    }

    /// Returns the facts as a command carries them: none without anything in them.
    #[must_use]
    pub fn boxed(self) -> Option<Box<OrderFacts>> {
        if self.is_empty() { None } else { Some(Box::new(self)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_the_signals_that_were_added_and_no_bits_of_others() {
        let set = SignalSet::default()
            .with(Signal::NoReadBeforePurchase)
            .with(Signal::Challenge)
            .with(Signal::NoReadBeforePurchase);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Signal::NoReadBeforePurchase, Signal::Challenge]);
        assert_eq!(SignalSet::new(set.get()), Some(set));
        assert!(SignalSet::default().is_empty() && !set.is_empty());
        assert_eq!(SignalSet::new(1 << 8), None);
        let all = Signal::ALL.into_iter().fold(SignalSet::default(), SignalSet::with);
        assert_eq!(all.iter().collect::<Vec<_>>(), Signal::ALL);
    }
}
