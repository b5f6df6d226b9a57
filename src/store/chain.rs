//! The hash chain over the audit: whoever changes, drops or swaps an old row breaks every later link.

use aws_lc_rs::digest;

use super::audit::AuditRow;
use crate::types::{Digest, UnitPrice};

/// A link: the SHA-256 of the link before it and of the canonical bytes of its rows, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChainLink(pub [u8; 32]);

impl ChainLink {
    /// What stands before the first link.
    pub const START: ChainLink = ChainLink([0; 32]);
}

/// What an order's row says that no event says and that never changes again: the chain seals it with the order's first
/// event, so that a damaged row is noticed like a damaged event.
pub struct OrderSeal<'a> {
    /// The unguessable part of its id.
    pub secret: &'a [u8],
    /// The buyer's text.
    pub buyer: &'a str,
    /// The digest of its idempotency key.
    pub key: &'a Digest,
    /// The price of one unit.
    pub unit_price: UnitPrice,
}

/// Makes links; keeps its buffer from one to the next.
pub struct Chain {
    last: ChainLink,
    rows: Vec<u8>,
}

impl Chain {
    /// A chain that goes on from `last`.
    #[must_use]
    pub fn after(last: ChainLink) -> Chain {
        Chain { last, rows: Vec::new() }
    }

    /// The last link.
    #[must_use]
    pub fn last(&self) -> ChainLink {
        self.last
    }

    /// Adds a row to the link in the making.
    pub fn add(&mut self, row: &AuditRow) {
        row.canonical(&mut self.rows);
    }

    /// Adds a new order's row, directly after its event.
    pub fn add_order(&mut self, order: &OrderSeal<'_>) {
        let OrderSeal { secret, buyer, key, unit_price } = order;
        for part in [*secret, buyer.as_bytes()] {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            self.rows.extend_from_slice(&length.to_le_bytes());
            self.rows.extend_from_slice(part);
        }
        self.rows.extend_from_slice(&key.0);
        self.rows.extend_from_slice(&unit_price.get().to_le_bytes());
    }

    /// Whether the link in the making has rows.
    #[must_use]
    pub fn has_rows(&self) -> bool {
        !self.rows.is_empty()
    }

    /// Ends the link in the making and starts the next.
    pub fn close(&mut self) -> ChainLink {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&self.last.0);
        context.update(&self.rows);
        let mut hash = [0u8; 32];
        hash.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        self.rows.clear();
        self.last = ChainLink(hash);
        self.last
    }
}
