//! Queries of the outbox: endpoints, failed deliveries, and events to send.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use crate::types::webhooks::type_of;
use crate::types::{
    AttemptError, AuctionId, Currency, DropId, EndpointState, EndpointUrl, EventFilter, OrderId, OrderSecret, Seq,
    SigningSecret, UnixMillis,
};

/// Maximum number of audit rows per scan, so that no snapshot stays open.
pub(super) const ROWS_SCANNED_MAX: u32 = 2000;

/// An endpoint, with its secrets.
#[derive(Clone, Debug)]
pub struct EndpointRow {
    /// Number of the event that created the endpoint.
    pub id: Seq,
    pub url: EndpointUrl,
    pub secret: SigningSecret,
    /// Previous secret, and the end of its validity.
    pub old_secret: Option<(SigningSecret, UnixMillis)>,
    pub state: EndpointState,
    pub events: EventFilter,
    /// True if the endpoint comes from the configuration.
    pub configured: bool,
    /// Last event of those that are all delivered, waiting or dead letters.
    pub position: Seq,
    /// Number of changes by operators.
    pub revision: u32,
    pub created_at: UnixMillis,
}

impl EndpointRow {
    /// Returns whether it is the built-in endpoint of mails to buyers.
    #[must_use]
    pub fn is_mail(&self) -> bool {
        self.url.reveal() == MAIL_URL
    }
}

/// The URL of the built-in endpoint of mails to buyers. No other endpoint can have it: it is not `https:`.
pub const MAIL_URL: &str = "mail:buyers";

macro_rules! endpoint_where {
    ($rest:literal) => {
        concat!(
            "SELECT id, url, secret, old_secret, old_secret_until_ms, state, events, configured, position, revision,
                 created_at_ms
             FROM endpoints ",
            $rest
        )
    };
}

fn endpoint_of(row: &Row<'_>) -> rusqlite::Result<EndpointRow> {
    let secret = |index: usize| -> rusqlite::Result<Option<SigningSecret>> {
        Ok(row.get_ref(index)?.as_str_or_null()?.and_then(SigningSecret::parse))
    };
    let unreadable = || rusqlite::Error::InvalidColumnType(2, "secret".into(), rusqlite::types::Type::Text);
    let url: String = row.get(1)?;
    Ok(EndpointRow {
        id: row.get(0)?,
        url: EndpointUrl::new(&url),
        secret: secret(2)?.ok_or_else(unreadable)?,
        old_secret: secret(3)?.zip(row.get(4)?),
        state: row.get(5)?,
        events: row.get(6)?,
        configured: row.get(7)?,
        position: row.get(8)?,
        revision: row.get(9)?,
        created_at: row.get(10)?,
    })
}

/// Returns all endpoints, in the order of their creation. They are few.
pub fn endpoints(connection: &Connection) -> rusqlite::Result<Vec<EndpointRow>> {
    connection.prepare_cached(endpoint_where!("ORDER BY id"))?.query_map([], endpoint_of)?.collect()
}

pub fn endpoint(connection: &Connection, id: Seq) -> rusqlite::Result<Option<EndpointRow>> {
    connection.prepare_cached(endpoint_where!("WHERE id = ?1"))?.query_row([id], endpoint_of).optional()
}

/// Returns the ids and revisions of all endpoints, which change whenever the relay must reload them.
pub fn revisions(connection: &Connection) -> rusqlite::Result<Vec<(Seq, u32)>> {
    let mut statement = connection.prepare_cached("SELECT id, revision FROM endpoints ORDER BY id")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// A failed or waiting delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeliveryRow {
    pub seq: Seq,
    pub order: Option<Seq>,
    /// Instant of the event.
    pub at: UnixMillis,
    pub attempts: u8,
    /// Time of the next attempt; `None` for a dead letter.
    pub next_at: Option<UnixMillis>,
    /// Result of the last attempt.
    pub trouble: AttemptError,
    /// Event type; `None` if the event's kind is no longer sent.
    pub event: Option<&'static str>,
}

/// Filter of deliveries by state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryFilter {
    Waiting,
    /// Dead letters, which were given up.
    Dead,
}

impl DeliveryFilter {
    /// Name in SQL and in queries.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            DeliveryFilter::Waiting => "waiting",
            DeliveryFilter::Dead => "dead",
        }
    }
}

/// Returns the deliveries of an endpoint after `after`, in the order of their events.
pub fn deliveries(
    connection: &Connection,
    endpoint: Seq,
    which: DeliveryFilter,
    after: Seq,
    limit: u32,
) -> rusqlite::Result<Vec<DeliveryRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT deliveries.seq, audit.order_seq, audit.at_ms, deliveries.attempts, deliveries.next_at_ms,
             deliveries.trouble, audit.kind
         FROM deliveries JOIN audit ON audit.seq = deliveries.seq
         WHERE deliveries.endpoint_id = ?1 AND deliveries.state = ?2 AND deliveries.seq > ?3
         ORDER BY deliveries.seq LIMIT ?4",
    )?;
    let of = |row: &Row<'_>| {
        Ok(DeliveryRow {
            seq: row.get(0)?,
            order: row.get(1)?,
            at: row.get(2)?,
            attempts: row.get(3)?,
            next_at: row.get(4)?,
            trouble: row.get(5)?,
            event: type_of(row.get_ref(6)?.as_str()?).map(|(_, event)| event.name),
        })
    };
    statement.query_map(params![endpoint, which.as_str(), after, limit], of)?.collect()
}

/// Returns the events after `after` whose delivery to an endpoint has a row, in any state.
pub fn deliveries_after(connection: &Connection, endpoint: Seq, after: Seq) -> rusqlite::Result<Vec<Seq>> {
    let mut statement =
        connection.prepare_cached("SELECT seq FROM deliveries WHERE endpoint_id = ?1 AND seq > ?2 ORDER BY seq")?;
    statement.query_map(params![endpoint, after], |row| row.get(0))?.collect()
}

/// Returns the numbers of waiting deliveries and of dead letters of an endpoint.
pub fn counts(connection: &Connection, endpoint: Seq) -> rusqlite::Result<(u64, u64)> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'dead')
         FROM deliveries WHERE endpoint_id = ?1",
    )?;
    let count = |row: &Row<'_>, index: usize| row.get::<_, i64>(index).map(i64::unsigned_abs);
    statement.query_row([endpoint], |row| Ok((count(row, 0)?, count(row, 1)?)))
}

/// An event to be sent, without its content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventHead {
    pub seq: Seq,
    pub order: Option<Seq>,
    /// Instant of the event.
    pub at: UnixMillis,
}

/// Returns the events after `after` that pass a filter, and the last scanned event.
pub fn events_after(
    connection: &Connection,
    after: Seq,
    filter: EventFilter,
    limit: usize,
) -> rusqlite::Result<(Vec<EventHead>, Seq)> {
    let mut statement = connection
        .prepare_cached("SELECT seq, kind, order_seq, at_ms FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let mut rows = statement.query(params![after, ROWS_SCANNED_MAX])?;
    let (mut found, mut last) = (Vec::new(), after);
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        last = row.get(0)?;
        if type_of(row.get_ref(1)?.as_str()?).is_some_and(|(bit, _)| filter.has(bit)) {
            found.push(EventHead { seq: last, order: row.get(2)?, at: row.get(3)? });
        }
    }
    Ok((found, last))
}

/// The content of an event to be sent. It never changes, so that each attempt sends the same bytes.
#[derive(Debug)]
pub struct OutboxEvent {
    pub seq: Seq,
    /// Instant of the event.
    pub at: UnixMillis,
    /// Kind of the event in the audit.
    pub kind: String,
    /// Number, SKU and currency of the drop.
    pub drop: Option<(DropId, String, Currency)>,
    /// Auction, if the drop is its hidden drop.
    pub auction: Option<AuctionId>,
    /// Public id and buyer of the order.
    pub order: Option<(OrderId, String)>,
    pub quantity: Option<i64>,
    /// Amount in minor units of the drop's currency.
    pub amount: Option<i64>,
    /// JSON object with further members.
    pub detail: Option<String>,
    /// The place in a line that the event ends without an order.
    pub place: Option<EndedPlace>,
}

/// A place in a line that ended without an order.
#[derive(Debug)]
pub struct EndedPlace {
    pub buyer: String,
    pub quantity: i64,
    /// The number of an order that a blind window recorded.
    pub ticket: Option<u32>,
}

/// Returns the content of an event.
pub fn event(connection: &Connection, seq: Seq) -> rusqlite::Result<Option<OutboxEvent>> {
    let mut statement = connection.prepare_cached(
        "SELECT audit.at_ms, audit.kind, audit.drop_id, drops.sku, drops.currency, audit.order_seq, orders.secret,
             orders.buyer, audit.quantity, audit.amount, audit.detail, auctions.id
         FROM audit LEFT JOIN drops ON drops.id = audit.drop_id LEFT JOIN orders ON orders.seq = audit.order_seq
             LEFT JOIN auctions ON auctions.drop_id = audit.drop_id
         WHERE audit.seq = ?1",
    )?;
    let of = |row: &Row<'_>| {
        let drop: Option<DropId> = row.get(2)?;
        let order: Option<Seq> = row.get(5)?;
        let secret: Option<OrderSecret> = row.get(6)?;
        let buyer: Option<String> = row.get(7)?;
        Ok(OutboxEvent {
            seq,
            at: row.get(0)?,
            kind: row.get(1)?,
            drop: drop.map(|id| Ok::<_, rusqlite::Error>((id, row.get(3)?, row.get(4)?))).transpose()?,
            order: order.zip(secret).zip(buyer).map(|((seq, secret), buyer)| (OrderId { seq, secret }, buyer)),
            quantity: row.get(8)?,
            amount: row.get(9)?,
            detail: row.get(10)?,
            auction: row.get(11)?,
            place: None,
        })
    };
    let mut event = statement.query_row([seq], of).optional()?;
    if let Some(event) = event.as_mut().filter(|event| event.kind == "standby_left") {
        event.place = ended_place(connection, event.detail.as_deref())?;
    }
    Ok(event)
}

/// Returns the place whose number is in the detail of a buyer who left.
fn ended_place(connection: &Connection, detail: Option<&str>) -> rusqlite::Result<Option<EndedPlace>> {
    let detail: Value = detail.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let joined = detail["joined_seq"].as_u64().and_then(Seq::new);
    let mut statement = connection.prepare_cached("SELECT buyer, quantity, number FROM standby WHERE seq = ?1")?;
    let of = |row: &Row<'_>| Ok(EndedPlace { buyer: row.get(0)?, quantity: row.get(1)?, ticket: row.get(2)? });
    statement.query_row([joined], of).optional()
}

/// Returns the file's id, which distinguishes its events from those of other files.
pub fn file_id(connection: &Connection) -> rusqlite::Result<[u8; 16]> {
    connection.query_row("SELECT file_id FROM meta WHERE id = 1", [], |row| row.get(0))
}
