//! The hash chain over the audit: a changed, removed or swapped old row breaks every later link.

use std::ops::Range;

use aws_lc_rs::digest;

use super::audit::AuditRow;
use crate::types::{Digest, IdentityDigests, UnitPrice};

/// A link: the SHA-256 of the previous link and of the canonical bytes of its rows, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChainLink(pub [u8; 32]);

impl ChainLink {
    /// Predecessor of the first link.
    pub const START: ChainLink = ChainLink([0; 32]);
}

/// The constant part of an order's row that is in no event. The chain seals it with the order's first event, so that a
/// damaged row is detected like a damaged event.
pub struct OrderSeal<'a> {
    /// Random part of the order's id.
    pub secret: &'a [u8],
    pub buyer: &'a str,
    /// Digest of the order's idempotency key.
    pub key: &'a Digest,
    pub unit_price: UnitPrice,
    /// Digests of the identities that the order counts for. The detail of its event names their kinds.
    pub identities: IdentityDigests,
}

/// The part of a bid's row that is in no event. The chain seals it with the bid's event.
pub struct BidSeal<'a> {
    pub buyer: &'a str,
    pub amount: UnitPrice,
    /// The most that the buyer would pay.
    pub maximum: UnitPrice,
    /// True if the buyer leads after it.
    pub leads: bool,
}

/// Computes links one after another.
pub struct Chain {
    last: ChainLink,
    rows: Vec<u8>,
}

impl Chain {
    /// Returns a chain that continues after `last`.
    #[must_use]
    pub fn after(last: ChainLink) -> Chain {
        Chain { last, rows: Vec::new() }
    }

    #[must_use]
    pub fn last(&self) -> ChainLink {
        self.last
    }

    /// Adds a row to the open link.
    pub fn add(&mut self, row: &AuditRow) {
        row.canonical(&mut self.rows);
    }

    /// Adds a new order's row, directly after its event.
    pub fn add_order(&mut self, order: &OrderSeal<'_>) {
        let OrderSeal { secret, buyer, key, unit_price, identities } = order;
        for part in [*secret, buyer.as_bytes()] {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            self.rows.extend_from_slice(&length.to_le_bytes());
            self.rows.extend_from_slice(part);
        }
        self.rows.extend_from_slice(&key.0);
        self.rows.extend_from_slice(&unit_price.get().to_le_bytes());
        for (_, digest) in identities.iter() {
            self.rows.extend_from_slice(&digest.0);
        }
    }

    /// Returns true if the open link has rows.
    #[must_use]
    pub fn has_rows(&self) -> bool {
        !self.rows.is_empty()
    }

    /// Adds a bid's row, directly after its event; returns its place in the open link.
    pub fn add_bid(&mut self, bid: &BidSeal<'_>) -> Range<usize> {
        let BidSeal { buyer, amount, maximum, leads } = bid;
        let start = self.rows.len();
        let length = u64::try_from(buyer.len()).unwrap_or(u64::MAX);
        self.rows.extend_from_slice(&length.to_le_bytes());
        self.rows.extend_from_slice(buyer.as_bytes());
        self.rows.extend_from_slice(&amount.get().to_le_bytes());
        self.rows.extend_from_slice(&maximum.get().to_le_bytes());
        self.rows.push(u8::from(*leads));
        start..self.rows.len()
    }

    /// Computes the open link, which stays open.
    #[must_use]
    pub fn link(&self) -> ChainLink {
        self.link_without(&[])
    }

    /// Computes the open link without some of its places, ascending.
    #[must_use]
    pub fn link_without(&self, places: &[Range<usize>]) -> ChainLink {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&self.last.0);
        let mut from = 0;
        for place in places {
            context.update(self.rows.get(from..place.start).unwrap_or_default());
            from = place.end;
        }
        context.update(self.rows.get(from..).unwrap_or_default());
        let mut hash = [0u8; 32];
        hash.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        ChainLink(hash)
    }

    /// Closes the open link and returns it.
    pub fn close(&mut self) -> ChainLink {
        let link = self.link();
        self.go_on_after(link);
        link
    }

    /// Empties the open link, and continues after `link`.
    pub fn go_on_after(&mut self, link: ChainLink) {
        self.rows.clear();
        self.last = link;
    }
}
