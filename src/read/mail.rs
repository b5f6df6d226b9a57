//! The facts of a mail: an event, its order as it is now, and the buyer's contact as it is now.

use rusqlite::{Connection, OptionalExtension, Row};

use crate::types::{Amount, Currency, OrderId, OrderSecret, OrderState, Quantity, Seq, UnitPrice, UnixMillis};

/// An event of an order.
pub struct MailEvent {
    /// Instant of the event.
    pub at: UnixMillis,
    /// Kind of the event in the audit.
    pub kind: String,
    /// Amount in minor units of the drop's currency.
    pub amount: Option<Amount>,
    /// JSON object with further members.
    pub detail: Option<String>,
    pub order: OrderId,
    pub state: OrderState,
    pub quantity: Quantity,
    pub unit_price: UnitPrice,
    pub expires_at: UnixMillis,
    pub product: String,
    pub sku: String,
    pub currency: Currency,
    pub shard: crate::types::Shard,
    pub of_auction: bool,
    /// The buyer's name and address; `None` if they gave none, or theirs were erased.
    pub name: Option<String>,
    pub email: Option<String>,
}

/// Returns an event with its order; `None` if it has no order.
pub fn event(connection: &Connection, seq: Seq) -> rusqlite::Result<Option<MailEvent>> {
    let mut statement = connection.prepare_cached(
        "SELECT audit.at_ms, audit.kind, audit.amount, audit.detail, orders.seq, orders.secret, orders.state,
             orders.quantity, orders.unit_price, orders.expires_at_ms, drops.id, drops.name, drops.sku, drops.currency,
             auctions.id IS NOT NULL, contacts.name, contacts.email
         FROM audit JOIN orders ON orders.seq = audit.order_seq JOIN drops ON drops.id = orders.drop_id
             LEFT JOIN auctions ON auctions.drop_id = drops.id LEFT JOIN contacts ON contacts.order_seq = orders.seq
         WHERE audit.seq = ?1",
    )?;
    let of = |row: &Row<'_>| {
        let drop: crate::types::DropId = row.get(10)?;
        Ok(MailEvent {
            at: row.get(0)?,
            kind: row.get(1)?,
            amount: row.get::<_, Option<i64>>(2)?.and_then(|amount| Amount::new(u64::try_from(amount).ok()?)),
            detail: row.get(3)?,
            order: OrderId { seq: row.get(4)?, secret: row.get::<_, OrderSecret>(5)? },
            state: row.get(6)?,
            quantity: row.get(7)?,
            unit_price: row.get(8)?,
            expires_at: row.get(9)?,
            product: row.get(11)?,
            sku: row.get(12)?,
            currency: row.get(13)?,
            shard: drop.shard(),
            of_auction: row.get(14)?,
            name: row.get(15)?,
            email: row.get(16)?,
        })
    };
    statement.query_row([seq], of).optional()
}
