//! The hash chain over the audit: whoever changes, drops or swaps an old row breaks every later link.

use aws_lc_rs::digest;

use super::audit::AuditRow;

/// A link: the SHA-256 of the link before it and of the canonical bytes of its rows, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link(pub [u8; 32]);

impl Link {
    /// What stands before the first link.
    pub const START: Link = Link([0; 32]);
}

/// Makes links; keeps its buffer from one to the next.
pub struct Chain {
    last: Link,
    rows: Vec<u8>,
}

impl Chain {
    /// A chain that goes on from `last`.
    #[must_use]
    pub fn after(last: Link) -> Chain {
        Chain { last, rows: Vec::new() }
    }

    /// The last link.
    #[must_use]
    pub fn last(&self) -> Link {
        self.last
    }

    /// Adds a row to the link in the making.
    pub fn add(&mut self, row: &AuditRow) {
        row.canonical(&mut self.rows);
    }

    /// Whether the link in the making has rows.
    #[must_use]
    pub fn has_rows(&self) -> bool {
        !self.rows.is_empty()
    }

    /// Ends the link in the making and starts the next.
    pub fn close(&mut self) -> Link {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&self.last.0);
        context.update(&self.rows);
        let mut hash = [0u8; 32];
        hash.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        self.rows.clear();
        self.last = Link(hash);
        self.last
    }
}
