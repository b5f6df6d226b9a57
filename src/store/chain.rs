//! The hash chain over the audit: a changed, removed or swapped old row breaks every later link.

use aws_lc_rs::digest;

use super::audit::AuditRow;
use crate::types::{Digest, UnitPrice};

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
        let OrderSeal { secret, buyer, key, unit_price } = order;
        for part in [*secret, buyer.as_bytes()] {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            self.rows.extend_from_slice(&length.to_le_bytes());
            self.rows.extend_from_slice(part);
        }
        self.rows.extend_from_slice(&key.0);
        self.rows.extend_from_slice(&unit_price.get().to_le_bytes());
    }

    /// Returns true if the open link has rows.
    #[must_use]
    pub fn has_rows(&self) -> bool {
        !self.rows.is_empty()
    }

    /// Closes the open link and returns it.
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
