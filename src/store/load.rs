//! Loads the engine's state from the rows that `record` wrote.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;
use super::auctions::increments_of;
use super::chain::ChainLink;
use super::identity_rows::{IDENTITIES, IdentityRows};
use super::open;
pub use super::proof::load_verified;
use crate::engine::{
    Admitted, AuctionEntry, AuctionSpec, Best, DropEntry, DropSpec, Event, KEY_RETENTION_MS, Leader, Order, Payment,
    RememberedCommand, RememberedOrder, State, TicketSeqs, invariants,
};
use crate::failpoints::{self, Bug};
use crate::types::{
    AuctionEnding, AuctionId, AuctionState, ChallengeRule, Digest, DigestKey, DropId, IdentityDigests, IdentityLimits,
    ReceivedPayment, Seq, Shard, UnitPrice, UnixMillis,
};

/// The state of a file, and the end of its chain.
pub struct Loaded {
    pub state: State,
    /// Last link of the audit chain.
    pub link: ChainLink,
}

impl Loaded {
    /// Makes ids of this shard from now on: a file without drops may be of any.
    ///
    /// # Errors
    /// [`StoreError::OtherShard`] if its drops are of another shard.
    pub fn settle_shard(&mut self, shard: Shard) -> Result<(), StoreError> {
        let strange = |found: Shard| StoreError::OtherShard { found: found.get(), expected: shard.get() };
        self.state.settle_shard(shard).map_err(strange)
    }
}

/// Loads the state, which is of the shard of the file's drops; of shard 0 without any.
///
/// # Errors
/// [`StoreError::Inconsistent`] if the rows contradict each other.
pub fn load(connection: &Connection, key: &DigestKey, idempotency_keys_max: usize) -> Result<Loaded, StoreError> {
    let mut state = State::new(idempotency_keys_max);
    let last: Option<(Seq, UnixMillis)> = connection
        .query_row("SELECT seq, at_ms FROM audit ORDER BY seq DESC LIMIT 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (seq, at) = last.unwrap_or_default();
    let link = last_link(connection, seq)?;
    let mut drops = load_drops(connection)?;
    let tickets = super::rooms::load(connection, key, &mut drops)?;
    state.restore(seq, at, drops);
    let auctions = load_auctions(connection, key, &mut state)?;
    load_orders(connection, key, &tickets, &mut state)?;
    drop(tickets);
    state.restore_auctions(auctions);
    super::standby::load(connection, key, &mut state)?;
    state.schedule_rooms();
    load_command_keys(connection, &mut state)?;
    for (id, endpoint) in super::endpoints::load(connection)? {
        state.restore_endpoint(id, endpoint);
    }
    let tiers = super::buyer_tiers::load(connection, key)?;
    for (buyer, tier) in tiers.into_iter().filter(|_| !failpoints::enabled(Bug::TierForgotten)) {
        state.restore_operator_tier(buyer, tier);
    }
    invariants::check_loaded(&state).map_err(StoreError::Inconsistent)?;
    Ok(Loaded { state, link })
}

fn last_link(connection: &Connection, last_event: Seq) -> Result<ChainLink, StoreError> {
    let (seq, link) = open::last_link(connection)?;
    if seq == last_event {
        Ok(link)
    } else {
        Err(StoreError::Inconsistent(format!("the chain ends at event {seq}, the audit at event {last_event}")))
    }
}

fn load_drops(connection: &Connection) -> Result<Vec<DropEntry>, StoreError> {
    let mut statement = connection.prepare(
        "SELECT id, sku, name, description, image_url, currency, unit_price, total, starts_at_ms, ends_at_ms,
             per_buyer_limit, reservation_seconds, payment_seconds, held, sold, revision, started, paused, ended,
             mismatch, last_seq, version, email_limit, phone_limit, payment_limit, address_limit, challenge,
             challenge_below, blind_ms
         FROM drops ORDER BY id",
    )?;
    let drops = statement.query_map([], drop_of)?;
    drops.collect::<Result<_, _>>().map_err(StoreError::from)
}

fn drop_of(row: &Row<'_>) -> rusqlite::Result<DropEntry> {
    let spec = DropSpec {
        sku: row.get(1)?,
        name: row.get(2)?,
        description: row.get(3)?,
        image_url: row.get(4)?,
        currency: row.get(5)?,
        unit_price: row.get(6)?,
        total: row.get(7)?,
        starts_at: row.get(8)?,
        ends_at: row.get(9)?,
        per_buyer_limit: row.get(10)?,
        reservation_seconds: row.get(11)?,
        payment_seconds: row.get(12)?,
        identity_limits: IdentityLimits {
            email: row.get(22)?,
            phone: row.get(23)?,
            payment: row.get(24)?,
            address: row.get(25)?,
        },
        challenge: ChallengeRule { kind: row.get(26)?, below: row.get(27)? },
        room: None,
        commitment: None,
        blind_ms: row.get(28)?,
    };
    let id: DropId = row.get(0)?;
    let mut entry = DropEntry::created(id, Box::new(spec), row.get(20)?, UnixMillis::ZERO);
    entry.held = row.get(13)?;
    entry.sold = row.get(14)?;
    entry.revision = row.get(15)?;
    entry.started = row.get(16)?;
    entry.paused = row.get(17)?;
    entry.ended = row.get(18)?;
    entry.mismatch = row.get(19)?;
    entry.version = row.get(21)?;
    Ok(entry)
}

/// Loads the auctions, without the awards, which are restored from the orders.
fn load_auctions(connection: &Connection, key: &DigestKey, state: &mut State) -> Result<Vec<AuctionEntry>, StoreError> {
    let mut statement = connection.prepare(
        "SELECT id, drop_id, start_price, reserve_price, increments, buy_now, starts_at_ms, planned_end_ms,
             soft_close_seconds, extensions_max, hard_end_at_ms, payment_seconds, offer_next, exposure_limit,
             ends_at_ms, extensions, state, current, leader_seq, bids, settled
         FROM auctions ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    let mut auctions = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, drop_id): (AuctionId, DropId) = (row.get(0)?, row.get(1)?);
        let inconsistent = |what: &str| StoreError::Inconsistent(format!("auction {id}: {what}"));
        let hidden = state.hide_drop(drop_id, id).ok_or_else(|| inconsistent("its drop has no row"))?;
        let increments = increments_of(row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?);
        let spec = AuctionSpec {
            sku: hidden.sku.clone(),
            name: hidden.name.clone(),
            currency: hidden.currency,
            start_price: row.get(2)?,
            reserve_price: row.get(3)?,
            increments: increments.ok_or_else(|| inconsistent("its increments cannot be read"))?,
            buy_now: row.get(5)?,
            starts_at: row.get(6)?,
            ends_at: row.get(7)?,
            soft_close_seconds: row.get(8)?,
            extensions_max: row.get(9)?,
            hard_end_at: row.get(10)?,
            payment_seconds: row.get(11)?,
            offer_next: row.get(12)?,
            exposure_limit: row.get(13)?,
        };
        let mut auction = AuctionEntry::created(id, drop_id, Box::new(spec), UnixMillis::ZERO);
        (auction.ends_at, auction.extensions) = (row.get(14)?, row.get(15)?);
        (auction.state, auction.current) = (row.get(16)?, row.get(17)?);
        auction.bids = u64::try_from(row.get::<_, i64>(19)?).unwrap_or(0);
        let (leader, settled): (Option<Seq>, bool) = (row.get(18)?, row.get(20)?);
        load_bids(connection, key, &mut auction, leader, settled)?;
        if auction.leader.map(|found| found.bid) != leader {
            return Err(inconsistent("the leader's bid has no row"));
        }
        auctions.push(auction);
    }
    Ok(auctions)
}

/// Loads the leader, and every buyer's maximum as long as the unit may be offered to another buyer.
fn load_bids(
    connection: &Connection,
    key: &DigestKey,
    auction: &mut AuctionEntry,
    leader: Option<Seq>,
    settled: bool,
) -> Result<(), StoreError> {
    let open = match auction.state {
        AuctionState::Live => true,
        AuctionState::Ended(AuctionEnding::Sold) => !settled,
        AuctionState::Scheduled | AuctionState::Ended(_) | AuctionState::Cancelled => false,
    };
    // Otherwise only the leader's row is needed.
    let since = if open { Seq::ZERO } else { leader.unwrap_or(Seq::MAX) };
    let mut statement = connection.prepare_cached(
        "SELECT seq, buyer, amount, maximum FROM bids WHERE auction_id = ?1 AND seq >= ?2 ORDER BY seq",
    )?;
    let mut rows = statement.query(params![auction.id, since])?;
    while let Some(row) = rows.next()? {
        let (bid, maximum): (Seq, UnitPrice) = (row.get(0)?, row.get(3)?);
        let buyer = key.buyer(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?);
        if leader == Some(bid) {
            auction.leader = Some(Leader { buyer, bid, amount: row.get(2)?, maximum });
        }
        if !open {
            break;
        }
        auction.note_best(buyer, Best { maximum, bid });
    }
    Ok(())
}

/// Reads an order's row, and the instant from which on no live order needs its key.
fn order_of(row: &Row<'_>, key: &DigestKey) -> rusqlite::Result<(Order, Option<UnixMillis>)> {
    let order = Order {
        seq: row.get(0)?,
        last_seq: row.get(1)?,
        drop_id: row.get(2)?,
        buyer: key.buyer(row.get_ref(3)?.as_str()?),
        key: row.get(4)?,
        quantity: row.get(5)?,
        returned: row.get(6)?,
        unit_price: row.get(7)?,
        state: row.get(8)?,
        expires_at: row.get(9)?,
        payments: Box::default(),
    };
    Ok((order, row.get(10)?))
}

/// Loads the orders that events of another node change and that memory lacks. The leader had loaded them for its commands.
///
/// # Errors
/// The error of SQLite.
pub fn admit_orders_of(
    connection: &Connection,
    key: &DigestKey,
    events: &[Event],
    state: &mut State,
) -> rusqlite::Result<()> {
    for event in events {
        if let Some(seq) = event.order().filter(|seq| *seq != event.seq && state.order(*seq).is_none()) {
            let mut admitted = Admitted::default();
            load_named(connection, key, seq, &mut admitted)?;
            state.admit(admitted);
        }
    }
    Ok(())
}

/// Loads what a command needs of an order that it names: the order, and the identities that it counts for.
///
/// # Errors
/// The error of SQLite.
pub fn load_named(connection: &Connection, key: &DigestKey, seq: Seq, admitted: &mut Admitted) -> rusqlite::Result<()> {
    admitted.order = load_order(connection, key, seq)?;
    admitted.identities = load_identities(connection, seq)?.unwrap_or_default();
    Ok(())
}

/// Loads the identities of an order; `None` if its drop had no caps.
///
/// # Errors
/// The error of SQLite.
pub fn load_identities(connection: &Connection, order: Seq) -> rusqlite::Result<Option<IdentityDigests>> {
    let mut statement = connection
        .prepare_cached("SELECT email, phone, payment, address FROM order_identities WHERE order_seq = ?1")?;
    let digests = |row: &Row<'_>| {
        let (email, phone, payment, address) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(IdentityDigests { email, phone, payment, address })
    };
    statement.query_row(params![order], digests).optional()
}

/// Loads one order by its number, for a command that names it.
pub fn load_order(connection: &Connection, key: &DigestKey, seq: Seq) -> rusqlite::Result<Option<Order>> {
    // Rare: orders in memory need no look-up, so the statement cache is fast enough.
    let mut statement = connection.prepare_cached(
        "SELECT seq, last_seq, drop_id, buyer, key_digest, quantity, returned, unit_price, state, expires_at_ms,
             idle_at_ms
         FROM orders WHERE seq = ?1",
    )?;
    let Some((mut order, _)) = statement.query_row(params![seq], |row| order_of(row, key)).optional()? else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached(
        "SELECT order_seq, provider, reference, received, foreign_currency, pays, refunded, refund_due
         FROM payments WHERE order_seq = ?1 AND (received > 0 OR pays) ORDER BY seq",
    )?;
    let payments = statement.query_map(params![seq], payment_of)?;
    order.payments = payments.map(|found| found.map(|(_, payment)| payment)).collect::<Result<_, _>>()?;
    Ok(Some(order))
}

/// Reads a payment's row, and the number of its order.
fn payment_of(row: &Row<'_>) -> rusqlite::Result<(Seq, Payment)> {
    let received =
        ReceivedPayment { provider: row.get(1)?, reference: row.get(2)?, amount: row.get(3)?, foreign: row.get(4)? };
    let payment = Payment { received, pays: row.get(5)?, refunded: row.get(6)?, refund_due: row.get(7)? };
    Ok((row.get(0)?, payment))
}

/// Loads payments that were not kept, which live orders may have. They are rare.
fn load_not_kept(connection: &Connection) -> rusqlite::Result<BTreeMap<Seq, Vec<Payment>>> {
    let mut statement = connection.prepare(
        "SELECT order_seq, provider, reference, received, foreign_currency, pays, refunded, refund_due
         FROM payments INDEXED BY payments_not_kept WHERE pays = 0 AND received > 0
         ORDER BY order_seq, seq",
    )?;
    let mut payments: BTreeMap<Seq, Vec<Payment>> = BTreeMap::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (order, payment) = payment_of(row)?;
        payments.entry(order).or_default().push(payment);
    }
    Ok(payments)
}

/// Passes over all orders once: loads live ones into memory, counts those of open drops per buyer, and loads recent keys.
fn load_orders(
    connection: &Connection,
    key: &DigestKey,
    tickets: &TicketSeqs,
    state: &mut State,
) -> Result<(), StoreError> {
    let remembered_since = state.at().plus_millis(-KEY_RETENTION_MS);
    let mut idle_keys = Vec::new();
    let mut sold = vec![0u64; state.drops().count()];
    let mut not_kept = load_not_kept(connection)?;
    let mut statement = connection.prepare(
        "SELECT seq, last_seq, drop_id, buyer, key_digest, quantity, returned, unit_price, state, expires_at_ms,
             idle_at_ms
         FROM orders ORDER BY seq",
    )?;
    let mut rows = statement.query([])?;
    let mut identities = connection.prepare(IDENTITIES)?;
    let mut identities = IdentityRows::begin(&mut identities)?;
    while let Some(row) = rows.next()? {
        let (mut order, idle_since) = order_of(row, key)?;
        if order.state.is_live() && !not_kept.is_empty() {
            order.payments = not_kept.remove(&order.seq).unwrap_or_default().into();
        }
        let Some(sold) = sold.get_mut(order.drop_id.place_in(state.shard())) else {
            return Err(StoreError::Inconsistent(format!(
                "order {} is of drop {}, which has no row",
                order.seq, order.drop_id
            )));
        };
        if !order.state.is_live() {
            *sold = sold.saturating_add(u64::from(order.taken()));
        }
        let remembered = RememberedOrder { seq: order.seq, quantity: order.quantity };
        match idle_since {
            Some(since) if !order.state.is_live() => {
                if since > remembered_since {
                    idle_keys.push((since, order.seq, order.key, remembered));
                }
            }
            _ if failpoints::enabled(Bug::KeyOutsideTransaction) => {}
            _ => state.restore_key(order.key, remembered, None),
        }
        let identities = identities.of(order.seq)?;
        state.restore_order(order, &identities, tickets);
    }
    idle_keys.sort_unstable_by_key(|(since, seq, _, _)| (*since, *seq));
    for (since, _, key, remembered) in idle_keys {
        state.restore_key(key, remembered, Some(since));
    }
    for (entry, sold) in state.drops().zip(sold) {
        if u64::from(entry.sold) != sold {
            let (id, counted) = (entry.id, entry.sold);
            return Err(StoreError::Inconsistent(format!("drop {id}: sold is {counted}, its orders say {sold}")));
        }
    }
    Ok(())
}

fn load_command_keys(connection: &Connection, state: &mut State) -> Result<(), StoreError> {
    let mut statement = connection.prepare("SELECT digest, params, seq, at_ms FROM keys WHERE at_ms > ?1")?;
    let since = state.at().plus_millis(-KEY_RETENTION_MS);
    let keys = statement.query_map([since], |row| Ok((row.get(2)?, row.get(0)?, row.get(1)?, row.get(3)?)))?;
    let mut keys: Vec<(Seq, Digest, Digest, UnixMillis)> = keys.collect::<Result<_, _>>()?;
    // The table is in the order of digests: in that of events, which is that of instants, their pages are read one after another.
    keys.sort_unstable_by_key(|(seq, ..)| *seq);
    let mut subject = connection.prepare("SELECT coalesce(order_seq, drop_id, seq) FROM audit WHERE seq = ?1")?;
    for (seq, digest, params, at) in keys {
        let found: Option<Seq> = subject.query_row([seq], |row| row.get(0)).optional()?;
        let Some(subject) = found else { continue };
        state.restore_command_key(digest, RememberedCommand { params, seq, subject: subject.get() }, at);
    }
    Ok(())
}
