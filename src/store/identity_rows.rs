//! Rows of `order_identities`, read along with the orders.

use rusqlite::{Rows, Statement};

use crate::types::{IdentityDigests, Seq};

/// Selects the rows in the order of the orders' numbers.
pub(super) const IDENTITIES: &str =
    "SELECT order_seq, email, phone, payment, address FROM order_identities ORDER BY order_seq";

/// The rows of [`IDENTITIES`].
pub(super) struct IdentityRows<'stmt> {
    rows: Rows<'stmt>,
    next: Option<(Seq, IdentityDigests)>,
}

impl<'stmt> IdentityRows<'stmt> {
    pub(super) fn begin(statement: &'stmt mut Statement<'_>) -> rusqlite::Result<IdentityRows<'stmt>> {
        let mut identities = IdentityRows { rows: statement.query([])?, next: None };
        identities.step()?;
        Ok(identities)
    }

    fn step(&mut self) -> rusqlite::Result<()> {
        self.next = match self.rows.next()? {
            None => None,
            Some(row) => {
                let (email, phone, payment, address) = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
                Some((row.get(0)?, IdentityDigests { email, phone, payment, address }))
            }
        };
        Ok(())
    }

    /// Returns the identities of an order. Orders are asked for in the order of their numbers.
    pub(super) fn of(&mut self, order: Seq) -> rusqlite::Result<IdentityDigests> {
        loop {
            match self.next {
                Some((seq, _)) if seq < order => self.step()?,
                Some((seq, identities)) if seq == order => return Ok(identities),
                Some(_) | None => return Ok(IdentityDigests::default()),
            }
        }
    }
}
