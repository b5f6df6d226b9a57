//! The facts of a mail: an event, its order or its auction as it is now, and the buyer's contact as it is now.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::outbox::{EventHead, ROWS_SCANNED_MAX};
use crate::failpoints::{self, Bug};
use crate::types::webhooks::type_of;
use crate::types::{
    Amount, AuctionId, Currency, DropId, EventFilter, OrderId, OrderSecret, OrderState, Quantity, Seq, Shard,
    UnitPrice, UnixMillis,
};

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
    pub shard: Shard,
    /// True if an auction awarded the order.
    pub is_awarded: bool,
    /// True if the mail of the award is due with this event.
    pub tells_of_award: bool,
    /// The buyer's name and address; `None` if they gave none, or theirs were erased.
    pub name: Option<String>,
    pub email: Option<String>,
}

/// Returns an event with its order; `None` if it has no order.
pub fn event(connection: &Connection, seq: Seq) -> rusqlite::Result<Option<MailEvent>> {
    let mut statement = connection.prepare_cached(
        "SELECT audit.at_ms, audit.kind, audit.amount, audit.detail, orders.seq, orders.secret, orders.state,
             orders.quantity, orders.unit_price, orders.expires_at_ms, drops.id, drops.name, drops.sku, drops.currency,
             first.kind = 'auction_awarded', contacts.name, contacts.email
         FROM audit JOIN orders ON orders.seq = audit.order_seq JOIN drops ON drops.id = orders.drop_id
             JOIN audit AS first ON first.seq = orders.seq LEFT JOIN contacts ON contacts.order_seq = orders.seq
         WHERE audit.seq = ?1",
    )?;
    let of = |row: &Row<'_>| {
        let drop: DropId = row.get(10)?;
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
            is_awarded: row.get(14)?,
            tells_of_award: false,
            name: row.get(15)?,
            email: row.get(16)?,
        })
    };
    let mut event = statement.query_row([seq], of).optional()?;
    if let Some(event) = event.as_mut().filter(|event| event.is_awarded && event.email.is_some()) {
        event.tells_of_award = tells_of_award(connection, seq, event.order.seq)?;
    }
    Ok(event)
}

impl MailEvent {
    /// Returns whether units that came back are held for the next in line.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        self.kind == RESERVED && self.detail.as_deref().is_some_and(tells_of_line)
    }
}

/// Returns whether the detail of a reservation tells that the order came from a line.
fn tells_of_line(detail: &str) -> bool {
    detail.contains("\"joined_seq\"")
}

/// The kinds of events that become mails under a condition that only the file tells.
const RESERVED: &str = "order_reserved";
const BID: &str = "bid_placed";
const CONTACT: &str = "contact_corrected";
/// Events of an order that are walked back to find its first contact; beyond it a contact is not the first.
const STEPS_MAX: usize = 64;

/// Returns whether the mail of an awarded order is due with this event: at the award, if the bidder had given an address,
/// otherwise with the first contact of the order. So no winner gets two.
fn tells_of_award(connection: &Connection, seq: Seq, order: Seq) -> rusqlite::Result<bool> {
    let mut with_bid = connection.prepare_cached(
        "SELECT 1 FROM orders JOIN auctions ON auctions.drop_id = orders.drop_id
             JOIN bidder_contacts ON bidder_contacts.auction_id = auctions.id AND bidder_contacts.buyer = orders.buyer
         WHERE orders.seq = ?1 AND bidder_contacts.order_seq = ?1 AND bidder_contacts.email IS NOT NULL",
    )?;
    let is_award = seq == order;
    if with_bid.exists([order])? {
        return Ok(is_award);
    }
    Ok(!is_award && is_first_contact(connection, seq, order)?)
}

fn is_first_contact(connection: &Connection, seq: Seq, order: Seq) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached("SELECT prev_seq FROM audit WHERE seq = ?1")?;
    let mut kind_of = connection.prepare_cached("SELECT kind FROM audit WHERE seq = ?1")?;
    let mut at = seq;
    for _ in 0..STEPS_MAX {
        at = statement.query_row([at], |row| row.get(0))?;
        if at <= order {
            return Ok(true);
        }
        if kind_of.query_row([at], |row| Ok(row.get_ref(0)?.as_str()? == CONTACT))? {
            return Ok(false);
        }
    }
    Ok(false)
}

/// Returns the events after `after` that may become mails, and the last scanned event. Bids are among them only where they
/// take the lead in an auction whose bidders gave contacts, later contacts only those of awarded orders, and reservations only
/// those that came from a line. Events that
/// belong to no order wait for none, so each gets its own number for it.
pub fn events_after(
    connection: &Connection,
    after: Seq,
    filter: EventFilter,
    limit: usize,
) -> rusqlite::Result<(Vec<EventHead>, Seq)> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, kind, order_seq, at_ms, drop_id, detail FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?;
    let has = |kind: &str| type_of(kind).is_some_and(|(bit, _)| filter.has(bit));
    let has_contacts = connection.prepare_cached("SELECT 1 FROM bidder_contacts LIMIT 1")?.exists([])?;
    let mut rows = statement.query(params![after, ROWS_SCANNED_MAX])?;
    let (mut found, mut last) = (Vec::new(), after);
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        last = row.get(0)?;
        let order: Option<Seq> = row.get(2)?;
        let is_mail = match row.get_ref(1)?.as_str()? {
            BID => has_contacts && has("auction_ended") && takes_lead(connection, row.get(4)?, last)?,
            RESERVED => has("order_checked_out") && row.get_ref(5)?.as_str_or_null()?.is_some_and(tells_of_line),
            CONTACT => has("auction_awarded") && is_awarded(connection, order)?,
            kind => has(kind),
        };
        if is_mail {
            found.push(EventHead { seq: last, order: order.or(Some(last)), at: row.get(3)? });
        }
    }
    Ok((found, last))
}

/// Returns whether a bid took the lead in an auction of whose bidders contacts are kept.
fn takes_lead(connection: &Connection, drop: Option<DropId>, bid: Seq) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(
        "SELECT 1 FROM auctions JOIN bids ON bids.auction_id = auctions.id AND bids.seq = ?2
             JOIN bidder_contacts ON bidder_contacts.auction_id = auctions.id
         WHERE auctions.drop_id = ?1 AND bids.leads LIMIT 1",
    )?;
    statement.exists(params![drop, bid])
}

/// Returns whether an auction has awarded an order.
fn is_awarded(connection: &Connection, order: Option<Seq>) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM audit WHERE seq = ?1 AND kind = 'auction_awarded'")?;
    statement.exists([order])
}

/// An event of an auction.
pub struct EventOfAuction {
    pub seq: Seq,
    /// Instant of the event.
    pub at: UnixMillis,
    /// Kind of the event in the audit.
    pub kind: String,
    pub auction: AuctionId,
}

/// Returns an event of an auction; `None` if it belongs to none.
pub fn auction_event(connection: &Connection, seq: Seq) -> rusqlite::Result<Option<EventOfAuction>> {
    let mut statement = connection.prepare_cached(
        "SELECT audit.at_ms, audit.kind, auctions.id FROM audit JOIN auctions ON auctions.drop_id = audit.drop_id
         WHERE audit.seq = ?1",
    )?;
    let of = |row: &Row<'_>| Ok(EventOfAuction { seq, at: row.get(0)?, kind: row.get(1)?, auction: row.get(2)? });
    statement.query_row([seq], of).optional()
}

/// A bidder with an address.
pub struct ReachableBidder {
    pub buyer: String,
    /// The bid that the contact came with.
    pub bid: Seq,
    pub name: Option<String>,
    pub email: String,
}

fn bidder_of(row: &Row<'_>) -> rusqlite::Result<ReachableBidder> {
    Ok(ReachableBidder { buyer: row.get(0)?, bid: row.get(1)?, name: row.get(2)?, email: row.get(3)? })
}

/// Returns the buyer from whom a bid took the lead of another, if they gave an address and have not led again since: a later
/// bid has taken that lead, or they have it.
pub fn outbid(connection: &Connection, auction: AuctionId, bid: Seq) -> rusqlite::Result<Option<ReachableBidder>> {
    let mut leader = connection.prepare_cached(
        "SELECT buyer FROM bids WHERE auction_id = ?1 AND seq <= ?2 AND leads ORDER BY seq DESC LIMIT 2",
    )?;
    let leaders: Vec<String> =
        leader.query_map(params![auction, bid], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let [new, former] = leaders.as_slice() else { return Ok(None) };
    if new == former {
        return Ok(None);
    }
    let mut contact = connection.prepare_cached(
        "SELECT buyer, bid_seq, name, email FROM bidder_contacts
         WHERE auction_id = ?1 AND buyer = ?2 AND email IS NOT NULL",
    )?;
    let Some(bidder) = contact.query_row(params![auction, former], bidder_of).optional()? else { return Ok(None) };
    let mut led_again = connection
        .prepare_cached("SELECT 1 FROM bids WHERE auction_id = ?1 AND seq > ?2 AND leads AND buyer = ?3 LIMIT 1")?;
    Ok((!led_again.exists(params![auction, bid, former])?).then_some(bidder))
}

/// Returns the first bidder after a bid who has an address and got no award. The winner of an auction is excluded by name: the
/// award may be later than the end.
pub fn next_loser(
    connection: &Connection,
    auction: AuctionId,
    after: Seq,
    winner: Option<&str>,
) -> rusqlite::Result<Option<ReachableBidder>> {
    let with_winner = failpoints::enabled(Bug::WinnerLosesToo);
    let mut statement = connection.prepare_cached(
        "SELECT buyer, bid_seq, name, email FROM bidder_contacts
         WHERE auction_id = ?1 AND bid_seq > ?2 AND email IS NOT NULL AND (?4 OR (order_seq IS NULL AND buyer IS NOT ?3))
         ORDER BY bid_seq LIMIT 1",
    )?;
    statement.query_row(params![auction, after, winner, with_winner], bidder_of).optional()
}
