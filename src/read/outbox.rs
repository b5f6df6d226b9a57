//! What the relay and operators read of the outbox: endpoints, deliveries that failed, and events to tell.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::types::webhooks::type_of;
use crate::types::{
    AttemptError, AuctionId, Currency, DropId, EndpointState, EndpointUrl, EventFilter, OrderId, OrderSecret, Seq,
    SigningSecret, UnixMillis,
};

/// Audit rows that one look passes over, at most, so that no snapshot stays open.
const ROWS_LOOKED_AT_MAX: u32 = 2000;

/// An endpoint, with its secrets.
#[derive(Clone, Debug)]
pub struct EndpointRow {
    /// The event that created it.
    pub id: Seq,
    /// Where it is.
    pub url: EndpointUrl,
    /// What signs what it is told.
    pub secret: SigningSecret,
    /// What signed before, and until when it does so too.
    pub old_secret: Option<(SigningSecret, UnixMillis)>,
    /// Whether it is told anything.
    pub state: EndpointState,
    /// What it is told.
    pub events: EventFilter,
    /// Whether the configuration names it.
    pub configured: bool,
    /// Every event up to it is delivered, waits, or is a dead letter.
    pub position: Seq,
    /// Counts what operators changed.
    pub revision: u32,
    /// Since when.
    pub created_at: UnixMillis,
}

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

/// All endpoints, in the order of their creation: a handful.
///
/// # Errors
/// What SQLite says.
pub fn endpoints(connection: &Connection) -> rusqlite::Result<Vec<EndpointRow>> {
    connection.prepare_cached(endpoint_where!("ORDER BY id"))?.query_map([], endpoint_of)?.collect()
}

/// One endpoint.
///
/// # Errors
/// What SQLite says.
pub fn endpoint(connection: &Connection, id: Seq) -> rusqlite::Result<Option<EndpointRow>> {
    connection.prepare_cached(endpoint_where!("WHERE id = ?1"))?.query_row([id], endpoint_of).optional()
}

/// The numbers and revisions of all endpoints: what changes when the relay has to look at them again.
///
/// # Errors
/// What SQLite says.
pub fn revisions(connection: &Connection) -> rusqlite::Result<Vec<(Seq, u32)>> {
    let mut statement = connection.prepare_cached("SELECT id, revision FROM endpoints ORDER BY id")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// A delivery that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeliveryRow {
    /// Which event.
    pub seq: Seq,
    /// The event's order.
    pub order: Option<Seq>,
    /// When the event happened.
    pub at: UnixMillis,
    /// Attempts so far.
    pub attempts: u8,
    /// When it is due again; nothing for a dead letter.
    pub next_at: Option<UnixMillis>,
    /// How the last attempt ended.
    pub trouble: AttemptError,
    /// What it tells, as its row in the audit says; nothing if it is no longer told.
    pub event: Option<&'static str>,
}

/// Which deliveries are looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryFilter {
    /// Those that wait.
    Waiting,
    /// Those that were given up.
    Dead,
}

impl DeliveryFilter {
    /// The word in SQL and in queries.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            DeliveryFilter::Waiting => "waiting",
            DeliveryFilter::Dead => "dead",
        }
    }
}

/// The deliveries of an endpoint after `after`, in the order of their events; at most `limit`.
///
/// # Errors
/// What SQLite says.
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

/// The events after `after` whose delivery to an endpoint has a row, whatever became of it.
///
/// # Errors
/// What SQLite says.
pub fn deliveries_after(connection: &Connection, endpoint: Seq, after: Seq) -> rusqlite::Result<Vec<Seq>> {
    let mut statement =
        connection.prepare_cached("SELECT seq FROM deliveries WHERE endpoint_id = ?1 AND seq > ?2 ORDER BY seq")?;
    statement.query_map(params![endpoint, after], |row| row.get(0))?.collect()
}

/// How many deliveries of an endpoint wait, and how many were given up.
///
/// # Errors
/// What SQLite says.
pub fn counts(connection: &Connection, endpoint: Seq) -> rusqlite::Result<(u64, u64)> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'dead')
         FROM deliveries WHERE endpoint_id = ?1",
    )?;
    let count = |row: &Row<'_>, index: usize| row.get::<_, i64>(index).map(i64::unsigned_abs);
    statement.query_row([endpoint], |row| Ok((count(row, 0)?, count(row, 1)?)))
}

/// An event that somebody is told, but for what it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventHead {
    /// Its number.
    pub seq: Seq,
    /// Its order.
    pub order: Option<Seq>,
    /// When it happened.
    pub at: UnixMillis,
}

/// The events after `after` that a filter wants, and the last one that was looked at.
///
/// # Errors
/// What SQLite says.
pub fn events_after(
    connection: &Connection,
    after: Seq,
    filter: EventFilter,
    limit: usize,
) -> rusqlite::Result<(Vec<EventHead>, Seq)> {
    let mut statement = connection
        .prepare_cached("SELECT seq, kind, order_seq, at_ms FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let mut rows = statement.query(params![after, ROWS_LOOKED_AT_MAX])?;
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

/// Everything that is told of an event. Nothing of it ever changes, so that each attempt sends the same bytes.
#[derive(Debug)]
pub struct OutboxEvent {
    /// Its number.
    pub seq: Seq,
    /// When it happened.
    pub at: UnixMillis,
    /// Its word in the audit.
    pub kind: String,
    /// Its drop: number, SKU and currency.
    pub drop: Option<(DropId, String, Currency)>,
    /// The auction whose hidden drop that is.
    pub auction: Option<AuctionId>,
    /// Its order: number, public id, and who ordered.
    pub order: Option<(OrderId, String)>,
    /// Units that moved.
    pub quantity: Option<i64>,
    /// Money that moved, in the drop's currency.
    pub amount: Option<i64>,
    /// What else its row says.
    pub detail: Option<String>,
}

/// Reads an event to be told.
///
/// # Errors
/// What SQLite says.
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
        })
    };
    statement.query_row([seq], of).optional()
}

/// The file's id: what tells its events from another file's.
///
/// # Errors
/// What SQLite says.
pub fn file_id(connection: &Connection) -> rusqlite::Result<[u8; 16]> {
    connection.query_row("SELECT file_id FROM meta WHERE id = 1", [], |row| row.get(0))
}
