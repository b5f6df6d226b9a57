//! Rows of drops and orders, read by primary key.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::types::{
    Amount, ChallengeRule, Commitment, Contact, Currency, Digest, DropId, DropState, IdentityDigests, IdentityLimits,
    JSON_INTEGER_MAX, OrderId, OrderSecret, OrderState, Quantity, RoomSpec, Seq, UnitPrice, UnixMillis,
};

/// A drop as clients see it.
#[derive(Clone, Debug)]
pub struct DropRow {
    pub id: DropId,
    pub sku: String,
    pub name: String,
    pub description: Option<String>,
    pub image_url: Option<String>,
    pub currency: Currency,
    pub unit_price: UnitPrice,
    pub total: u32,
    pub held: u32,
    pub sold: u32,
    pub starts_at: UnixMillis,
    pub ends_at: Option<UnixMillis>,
    pub per_buyer_limit: u32,
    pub reservation_seconds: u32,
    pub payment_seconds: u32,
    pub revision: u32,
    pub started: bool,
    pub paused: bool,
    pub ended: bool,
    pub mismatch: bool,
    pub version: Seq,
    pub identity_limits: IdentityLimits,
    pub challenge: ChallengeRule,
    pub room: Option<RoomSpec>,
    /// The commitment to the seed of its draw.
    pub commitment: Option<Commitment>,
    /// The length of its blind window, in milliseconds; 0 without.
    pub blind_ms: u16,
    /// Buyers who stand by.
    pub standby: u32,
}

impl DropRow {
    /// Number of units neither held nor sold. A CHECK of the table keeps the difference from going below 0.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.total.saturating_sub(self.held).saturating_sub(self.sold)
    }

    #[must_use]
    pub fn state(&self) -> DropState {
        DropState::of(self.ended, self.paused, self.started, self.available())
    }
}

pub(super) fn drop_of(row: &Row<'_>) -> rusqlite::Result<DropRow> {
    Ok(DropRow {
        id: row.get(0)?,
        sku: row.get(1)?,
        name: row.get(2)?,
        description: row.get(3)?,
        image_url: row.get(4)?,
        currency: row.get(5)?,
        unit_price: row.get(6)?,
        total: row.get(7)?,
        held: row.get(8)?,
        sold: row.get(9)?,
        starts_at: row.get(10)?,
        ends_at: row.get(11)?,
        per_buyer_limit: row.get(12)?,
        reservation_seconds: row.get(13)?,
        payment_seconds: row.get(14)?,
        revision: row.get(15)?,
        started: row.get(16)?,
        paused: row.get(17)?,
        ended: row.get(18)?,
        mismatch: row.get(19)?,
        version: row.get(20)?,
        identity_limits: IdentityLimits {
            email: row.get(21)?,
            phone: row.get(22)?,
            payment: row.get(23)?,
            address: row.get(24)?,
        },
        challenge: ChallengeRule { kind: row.get(25)?, below: row.get(26)? },
        room: super::rooms::spec_of(row, 27)?,
        commitment: row.get(33)?,
        blind_ms: row.get("blind_ms")?,
        standby: row.get("standby")?,
    })
}

/// Returns a drop by its number. Hidden drops of auctions are not found.
pub fn drop_by_id(connection: &Connection, id: DropId) -> rusqlite::Result<Option<DropRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, sku, name, description, image_url, currency, unit_price, total, held, sold, starts_at_ms, ends_at_ms,
             per_buyer_limit, reservation_seconds, payment_seconds, revision, started, paused, ended, mismatch, version,
             email_limit, phone_limit, payment_limit, address_limit, challenge, challenge_below, opens_at_ms, draw,
             admit_per_second, order_seconds, oversubscribe_percent,
             (SELECT beacon_seconds FROM draws WHERE drop_id = drops.id), (SELECT commitment FROM draws WHERE drop_id = drops.id),
             standby, blind_ms
         FROM drops LEFT JOIN rooms ON rooms.drop_id = drops.id
         WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM auctions WHERE drop_id = drops.id)",
    )?;
    statement.query_row(params![id], drop_of).optional()
}

/// An order as clients see it.
#[derive(Clone, Debug)]
pub struct OrderRow {
    pub seq: Seq,
    pub secret: OrderSecret,
    pub drop_id: DropId,
    pub buyer: String,
    pub quantity: Quantity,
    pub unit_price: UnitPrice,
    pub currency: Currency,
    pub state: OrderState,
    pub reserved_at: UnixMillis,
    pub expires_at: UnixMillis,
    pub paid_at: Option<UnixMillis>,
    pub ended_at: Option<UnixMillis>,
    pub refunded: Amount,
    pub refund_due: Amount,
    pub last_seq: Seq,
    pub cancelled_by_operator: bool,
}

impl OrderRow {
    #[must_use]
    pub fn id(&self) -> OrderId {
        OrderId { seq: self.seq, secret: self.secret }
    }

    /// Total price of the order.
    #[must_use]
    pub fn amount(&self) -> Amount {
        self.unit_price.times(self.quantity)
    }
}

pub(super) fn order_of(row: &Row<'_>) -> rusqlite::Result<OrderRow> {
    Ok(OrderRow {
        seq: row.get(0)?,
        secret: row.get(1)?,
        drop_id: row.get(2)?,
        buyer: row.get(3)?,
        quantity: row.get(4)?,
        unit_price: row.get(5)?,
        currency: row.get(6)?,
        state: row.get(7)?,
        reserved_at: row.get(8)?,
        expires_at: row.get(9)?,
        paid_at: row.get(10)?,
        ended_at: row.get(11)?,
        refunded: sum(row, 12)?,
        last_seq: row.get(13)?,
        refund_due: sum(row, 14)?,
        cancelled_by_operator: row.get(15)?,
    })
}

/// Reads a sum of payments. The engine bounds it; a row that says more, of an older version or another program, is shown
/// with the largest amount, so that it never hides the other rows of a list.
fn sum(row: &Row<'_>, column: usize) -> rusqlite::Result<Amount> {
    let minor = u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0);
    Ok(Amount::new(minor.min(JSON_INTEGER_MAX)).unwrap_or(Amount::ZERO))
}

/// Returns an order by its number. Requests with an id must use [`order_by_id`], which compares the secret.
pub fn order_by_seq(connection: &Connection, seq: Seq) -> rusqlite::Result<Option<OrderRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT orders.seq, orders.secret, orders.drop_id, orders.buyer, orders.quantity, orders.unit_price,
             drops.currency, orders.state, orders.reserved_at_ms, orders.expires_at_ms, orders.paid_at_ms,
             orders.ended_at_ms, orders.refunded, orders.last_seq, orders.refund_due,
             orders.cancel_reason IS NOT NULL
         FROM orders JOIN drops ON drops.id = orders.drop_id WHERE orders.seq = ?1",
    )?;
    statement.query_row(params![seq], order_of).optional()
}

/// Returns an order by its public id. `None` if the secret differs from the order's.
pub fn order_by_id(connection: &Connection, id: OrderId) -> rusqlite::Result<Option<OrderRow>> {
    Ok(order_by_seq(connection, id.seq)?.filter(|order| order.secret.matches(&id.secret)))
}

/// Returns whether an order has an idempotency key of this digest.
pub fn order_has_key(connection: &Connection, order: Seq, key: &Digest) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached("SELECT key_digest = ?2 FROM orders WHERE seq = ?1")?;
    let found: Option<bool> = statement.query_row(params![order, key], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or(false))
}

/// Returns the digests of the identities that an order counts for; `None` if its drop had no caps.
pub fn identities_of(connection: &Connection, order: Seq) -> rusqlite::Result<Option<IdentityDigests>> {
    let mut statement = connection
        .prepare_cached("SELECT email, phone, payment, address FROM order_identities WHERE order_seq = ?1")?;
    let digests = |row: &Row<'_>| {
        let (email, phone, payment, address) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(IdentityDigests { email, phone, payment, address })
    };
    statement.query_row(params![order], digests).optional()
}

pub fn contact_of(connection: &Connection, order: Seq) -> rusqlite::Result<Option<Contact>> {
    let mut statement =
        connection.prepare_cached("SELECT name, email, phone, address FROM contacts WHERE order_seq = ?1")?;
    let contact =
        |row: &Row<'_>| Ok(Contact { name: row.get(0)?, email: row.get(1)?, phone: row.get(2)?, address: row.get(3)? });
    statement.query_row(params![order], contact).optional()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_beyond_the_largest_amount_is_shown_as_the_largest_and_a_negative_one_as_nothing() {
        let file = Connection::open_in_memory().expect("opened");
        let read = |minor: i64| file.query_row("SELECT ?1", [minor], |row| sum(row, 0)).expect("read").get();
        assert_eq!([1 << 60, i64::MAX, -1, 7].map(read), [JSON_INTEGER_MAX, JSON_INTEGER_MAX, 0, 7]);
    }
}
