//! Events into rows: one transaction per batch.
//!
//! Every event makes an audit row; those of orders also an order row; all changes of a drop's counters in a batch are
//! added up and written by one UPDATE. Statements are prepared once and kept as long as the connection.

use std::collections::BTreeMap;

use rusqlite::{Connection, Statement, params};

use super::auctions::AuctionWriter;
use super::audit::AuditRow;
use super::beside::Beside;
use super::chain::{Chain, ChainLink, OrderSeal};
use super::endpoints::EndpointWriter;
use super::money::MoneyWriter;
use super::per_second_stats::{PerSecondTally, PerSecondWriter};
use crate::engine::{CommandKey, DropPatch, DropSpec, Event, EventKind, StockDelta};
use crate::types::{Contact, Digest, DropId, Quantity, Seq, UnixMillis, random};

/// The events of a batch, with what travels beside them.
#[derive(Default)]
pub struct Batch {
    /// The events, in order.
    pub events: Vec<Event>,
    /// Beside which event (by its seq, ascending) travels what.
    pub beside: Vec<(Seq, Beside)>,
}

impl Batch {
    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.events.clear();
        self.beside.clear();
    }
}

/// What a batch changes of one drop.
#[derive(Default)]
struct DropChange {
    delta: StockDelta,
    revisions: u32,
    version: Seq,
    last_seq: Seq,
}

/// Writes batches.
pub struct Recorder<'conn> {
    begin: Statement<'conn>,
    commit: Statement<'conn>,
    insert_audit: Statement<'conn>,
    insert_reserved: Statement<'conn>,
    insert_link: Statement<'conn>,
    insert_order: Statement<'conn>,
    update_order: Statement<'conn>,
    money: MoneyWriter<'conn>,
    auctions: AuctionWriter<'conn>,
    endpoints: EndpointWriter<'conn>,
    insert_drop: Statement<'conn>,
    patch_drop: Statement<'conn>,
    flag_drop: Statement<'conn>,
    move_drop: Statement<'conn>,
    put_contact: Statement<'conn>,
    erase_contact: Statement<'conn>,
    note_cancel_reason: Statement<'conn>,
    insert_key: Statement<'conn>,
    touch_meta: Statement<'conn>,
    raise_epoch: Statement<'conn>,
    seconds: PerSecondWriter<'conn>,
    chain: Chain,
    changes: BTreeMap<DropId, DropChange>,
}

impl<'conn> Recorder<'conn> {
    /// Prepares the statements; the chain goes on from `last`.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn new(connection: &'conn Connection, last: ChainLink) -> rusqlite::Result<Recorder<'conn>> {
        let prepare = |sql: &str| connection.prepare(sql);
        Ok(Recorder {
            begin: prepare("BEGIN IMMEDIATE")?,
            commit: prepare("COMMIT")?,
            insert_audit: prepare(
                "INSERT INTO audit (seq, at_ms, kind, drop_id, order_seq, quantity, amount, prev_seq, detail)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?,
            insert_link: prepare("INSERT INTO chain (seq, hash) VALUES (?1, ?2)")?,
            insert_reserved: prepare(
                "INSERT INTO audit (seq, at_ms, kind, drop_id, order_seq, quantity, prev_seq)
                 VALUES (?1, ?2, 'order_reserved', ?3, ?1, ?4, 0)",
            )?,
            insert_order: prepare(
                "INSERT INTO orders (seq, secret, drop_id, buyer, key_digest, quantity, returned, unit_price, state,
                     reserved_at_ms, expires_at_ms, last_seq)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, 'reserved', ?8, ?9, ?1)",
            )?,
            update_order: prepare(
                "UPDATE orders SET last_seq = ?2, state = coalesce(?3, state),
                     expires_at_ms = coalesce(?4, expires_at_ms), ended_at_ms = coalesce(?5, ended_at_ms),
                     idle_at_ms = coalesce(?5, idle_at_ms),
                     returned = CASE WHEN ?5 IS NULL THEN returned ELSE quantity END
                 WHERE seq = ?1",
            )?,
            money: MoneyWriter::new(connection)?,
            auctions: AuctionWriter::new(connection)?,
            endpoints: EndpointWriter::new(connection)?,
            insert_drop: prepare(
                "INSERT INTO drops (id, sku, name, description, image_url, currency, unit_price, total, held, sold,
                     starts_at_ms, ends_at_ms, per_buyer_limit, reservation_seconds, payment_seconds, revision, started,
                     paused, ended, mismatch, last_seq, version)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, 0, ?9, ?10, ?11, ?12, ?13, 1, ?14, 0, 0, 0, ?15, ?15)",
            )?,
            patch_drop: prepare(
                "UPDATE drops SET name = coalesce(?2, name), description = coalesce(?3, description),
                     image_url = coalesce(?4, image_url), unit_price = coalesce(?5, unit_price),
                     starts_at_ms = coalesce(?6, starts_at_ms), ends_at_ms = coalesce(?7, ends_at_ms),
                     per_buyer_limit = coalesce(?8, per_buyer_limit),
                     reservation_seconds = coalesce(?9, reservation_seconds),
                     payment_seconds = coalesce(?10, payment_seconds),
                     started = (coalesce(?6, starts_at_ms) <= ?11)
                 WHERE id = ?1",
            )?,
            flag_drop: prepare(
                "UPDATE drops SET started = coalesce(?2, started), paused = coalesce(?3, paused),
                     ended = coalesce(?4, ended), mismatch = coalesce(?5, mismatch),
                     ends_at_ms = coalesce(?6, ends_at_ms)
                 WHERE id = ?1",
            )?,
            move_drop: prepare(
                "UPDATE drops SET total = total + ?2, held = held + ?3, sold = sold + ?4, revision = revision + ?5,
                     version = max(version, ?6), last_seq = max(last_seq, ?7)
                 WHERE id = ?1",
            )?,
            put_contact: prepare(
                "INSERT INTO contacts (order_seq, name, email, phone, address) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (order_seq) DO UPDATE SET name = excluded.name, email = excluded.email,
                     phone = excluded.phone, address = excluded.address",
            )?,
            erase_contact: prepare("DELETE FROM contacts WHERE order_seq = ?1")?,
            note_cancel_reason: prepare("UPDATE orders SET cancel_reason = ?2 WHERE seq = ?1")?,
            insert_key: prepare(
                "INSERT INTO keys (digest, params, seq, at_ms) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (digest) DO UPDATE SET params = excluded.params, seq = excluded.seq, at_ms = excluded.at_ms",
            )?,
            touch_meta: prepare("UPDATE meta SET synced_at_ms = ?1")?,
            raise_epoch: prepare("UPDATE meta SET epoch = epoch + 1")?,
            seconds: PerSecondWriter::new(connection)?,
            chain: Chain::after(last),
            changes: BTreeMap::new(),
        })
    }

    /// Opens the transaction: nobody else can write from here on.
    ///
    /// # Errors
    /// What SQLite says; nothing is written.
    pub fn begin(&mut self) -> rusqlite::Result<()> {
        self.begin.execute([]).map(drop)
    }

    /// Writes a batch into the open transaction.
    ///
    /// # Errors
    /// What SQLite says; the transaction must not be committed.
    pub fn record(&mut self, batch: &Batch, tally: &mut PerSecondTally) -> rusqlite::Result<()> {
        let mut beside = batch.beside.iter().peekable();
        for event in &batch.events {
            let travels = beside.next_if(|(seq, _)| *seq == event.seq).map(|(_, beside)| beside);
            self.record_event(event, travels)?;
        }
        debug_assert!(beside.next().is_none(), "what travels beside an event must have its event in the batch");
        self.move_drops()?;
        self.auctions.move_auctions()?;
        if let Some(last) = batch.events.last() {
            let link = self.chain.close();
            self.insert_link.execute(params![last.seq, &link.0[..]])?;
        }
        self.seconds.write(tally)
    }

    /// Writes the heartbeat, so that a transaction with nothing else in it reaches the disk too.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn heartbeat(&mut self, at: UnixMillis) -> rusqlite::Result<()> {
        self.touch_meta.execute(params![at]).map(drop)
    }

    /// Commits: with `synchronous=FULL` the batch is on the disk when this returns.
    ///
    /// # Errors
    /// What SQLite says; whether the batch is in the file is then unknown.
    pub fn commit(&mut self) -> rusqlite::Result<()> {
        self.commit.execute([]).map(drop)
    }

    /// The last link: of everything that was recorded so far.
    #[must_use]
    pub fn link(&self) -> ChainLink {
        self.chain.last()
    }

    fn record_event(&mut self, event: &Event, beside: Option<&Beside>) -> rusqlite::Result<()> {
        let row = AuditRow::of(event);
        self.insert_audit(&row)?;
        self.chain.add(&row);
        self.note_change(event);
        self.record_kind(event, beside)
    }

    fn insert_audit(&mut self, row: &AuditRow) -> rusqlite::Result<()> {
        let AuditRow { seq, at, kind, drop_id, order, quantity, amount, prev_seq, detail } = row;
        // A fresh order: half of the columns say nothing new, and binding all would cost as much as writing them.
        let is_fresh = *order == Some(*seq) && kind == "order_reserved";
        let written = if is_fresh && *prev_seq == Seq::ZERO && amount.is_none() && detail.is_none() {
            self.insert_reserved.execute((seq, at, drop_id, quantity))
        } else {
            self.insert_audit.execute((seq, at, &**kind, drop_id, order, quantity, amount, prev_seq, detail))
        };
        written.map(drop)
    }

    /// Adds up what the event changes of its drop.
    fn note_change(&mut self, event: &Event) {
        let Some(drop_id) = event.kind.drop_id() else { return };
        let of_the_drop = event.kind.order().is_none() && !event.kind.makes_order();
        let delta = event.kind.stock_delta();
        if delta.is_none() && !of_the_drop {
            return;
        }
        let change = self.changes.entry(drop_id).or_default();
        if let Some(delta) = delta {
            change.version = event.seq;
            // A new drop's row is written with its total.
            if !matches!(event.kind, EventKind::DropCreated { .. } | EventKind::AuctionCreated { .. }) {
                change.delta.total = change.delta.total.saturating_add(delta.total);
            }
            change.delta.held = change.delta.held.saturating_add(delta.held);
            change.delta.sold = change.delta.sold.saturating_add(delta.sold);
        }
        if of_the_drop {
            change.last_seq = event.seq;
        }
        if matches!(
            event.kind,
            EventKind::DropPatched { .. }
                | EventKind::DropPaused { .. }
                | EventKind::DropResumed { .. }
                | EventKind::DropClosed { .. }
                | EventKind::StockAdjusted { .. }
        ) {
            change.revisions = change.revisions.saturating_add(1);
        }
    }

    fn move_drops(&mut self) -> rusqlite::Result<()> {
        while let Some((drop_id, change)) = self.changes.pop_first() {
            let DropChange { delta, revisions, version, last_seq } = change;
            let rows = self.move_drop.execute(params![
                drop_id,
                delta.total,
                delta.held,
                delta.sold,
                revisions,
                version,
                last_seq
            ])?;
            assert_eq!(rows, 1, "drop {drop_id} has a row");
        }
        Ok(())
    }

    fn record_kind(&mut self, event: &Event, beside: Option<&Beside>) -> rusqlite::Result<()> {
        type Flag = Option<bool>;
        const NO: Flag = None;
        const NO_TIME: Option<UnixMillis> = None;
        const NO_STATE: Option<&str> = None;
        let (seq, at) = (event.seq, event.at);
        match &event.kind {
            EventKind::OrderReserved { .. } => self.insert_order(event, beside),
            EventKind::OrderCheckedOut { order, expires_at, .. } => {
                self.update_order.execute(params![order, seq, "awaiting_payment", expires_at, NO_TIME])?;
                self.put_contact(*order, beside)
            }
            EventKind::ContactCorrected { order, .. } => {
                self.update_order.execute(params![order, seq, NO_STATE, NO_TIME, NO_TIME])?;
                self.put_contact(*order, beside)
            }
            EventKind::OrderCancelled { order, .. } => {
                self.update_order.execute(params![order, seq, "cancelled", NO_TIME, at]).map(drop)
            }
            EventKind::OrderCancelledByOperator { order, reason, .. } => {
                self.update_order.execute(params![order, seq, "cancelled", NO_TIME, at])?;
                self.note_cancel_reason.execute(params![order, reason]).map(drop)
            }
            EventKind::OrderExpired { order, .. } => {
                self.update_order.execute(params![order, seq, "expired", NO_TIME, at]).map(drop)
            }
            EventKind::OrderPaid { drop_id, .. } => {
                self.auctions.settle(*drop_id)?;
                self.money.record(event)
            }
            EventKind::PaymentNotKept { .. } | EventKind::RefundSettled { .. } | EventKind::RefundReported { .. } => {
                self.money.record(event)
            }
            EventKind::OrderRefunded { key, .. } | EventKind::RefundRequested { key, .. } => {
                self.money.record(event)?;
                self.insert_key(key, event)
            }
            EventKind::ProviderEventRecorded { order, .. } => {
                if let Some(order) = order {
                    self.update_order.execute(params![order, seq, NO_STATE, NO_TIME, NO_TIME])?;
                }
                self.money.put_in_inbox(event, beside)
            }
            EventKind::SessionRecorded { order, .. } => {
                self.update_order.execute(params![order, seq, NO_STATE, NO_TIME, NO_TIME])?;
                self.money.put_session(event, beside)
            }
            EventKind::PaymentFailed { order, .. } | EventKind::ChargebackCreated { order, .. } => {
                self.update_order.execute(params![order, seq, NO_STATE, NO_TIME, NO_TIME]).map(drop)
            }
            EventKind::ContactRead { order, .. } => {
                self.update_order.execute(params![order, seq, NO_STATE, NO_TIME, NO_TIME]).map(drop)
            }
            EventKind::ContactErased { order, .. } => {
                self.update_order.execute(params![order, seq, NO_STATE, NO_TIME, NO_TIME])?;
                self.erase_contact.execute(params![order]).map(drop)
            }
            EventKind::DropCreated { drop_id, spec, key } => {
                self.insert_drop(*drop_id, spec, event)?;
                self.insert_key(key, event)
            }
            EventKind::AuctionCreated { drop_id, spec, key, .. } => {
                self.insert_drop(*drop_id, &spec.hidden_drop(at), event)?;
                self.insert_key(key, event)?;
                self.auctions.record(event, beside)
            }
            EventKind::BidPlaced { key, .. } => {
                if let Some(key) = key {
                    self.insert_key(key, event)?;
                }
                self.auctions.record(event, beside)
            }
            EventKind::AuctionStarted { .. } | EventKind::AuctionEnded { .. } | EventKind::AuctionCancelled { .. } => {
                self.auctions.record(event, beside)
            }
            EventKind::AuctionAwarded { .. } => self.insert_award(event),
            EventKind::DropPatched { drop_id, patch, .. } => self.patch_drop(*drop_id, patch, at),
            EventKind::DropStarted { drop_id } => self.flag(*drop_id, [Some(true), NO, NO, NO], NO_TIME),
            EventKind::DropPaused { drop_id, .. } => self.flag(*drop_id, [NO, Some(true), NO, NO], NO_TIME),
            EventKind::DropResumed { drop_id, .. } => self.flag(*drop_id, [NO, Some(false), NO, NO], NO_TIME),
            EventKind::DropEnded { drop_id } => self.flag(*drop_id, [NO, NO, Some(true), NO], NO_TIME),
            EventKind::DropClosed { drop_id, .. } => self.flag(*drop_id, [NO, NO, Some(true), NO], Some(at)),
            EventKind::MismatchFound { drop_id } => self.flag(*drop_id, [NO, Some(true), NO, Some(true)], NO_TIME),
            EventKind::MismatchCleared { drop_id } => self.flag(*drop_id, [NO, NO, NO, Some(false)], NO_TIME),
            EventKind::Endpoint(kind) => {
                self.endpoints.record(event, beside)?;
                kind.key().map_or(Ok(()), |key| self.insert_key(key, event))
            }
            EventKind::EventsLost { .. } => self.raise_epoch.execute([]).map(drop),
            EventKind::StockAdjusted { .. } | EventKind::ContactsExported { .. } => Ok(()),
        }
    }

    fn insert_order(&mut self, event: &Event, beside: Option<&Beside>) -> rusqlite::Result<()> {
        let EventKind::OrderReserved { drop_id, key, quantity, unit_price, expires_at, .. } = &event.kind else {
            return Ok(());
        };
        let Some(Beside::Order { secret, buyer, contact }) = beside else {
            panic!("order {} came without its secret and buyer", event.seq)
        };
        self.insert_order.execute((
            event.seq,
            secret,
            drop_id,
            buyer.as_str(),
            key,
            quantity,
            unit_price,
            event.at,
            expires_at,
        ))?;
        let secret = secret.as_bytes();
        self.chain.add_order(&OrderSeal { secret, buyer: buyer.as_str(), key, unit_price: *unit_price });
        match contact {
            Some(contact) => self.write_contact(event.seq, contact),
            None => Ok(()),
        }
    }

    /// The order of who won an auction: nobody asked for it just now, so its secret is made here, and its buyer's text is
    /// that of the bid.
    fn insert_award(&mut self, event: &Event) -> rusqlite::Result<()> {
        let EventKind::AuctionAwarded { auction_id, drop_id, bid, unit_price, expires_at, .. } = &event.kind else {
            return Ok(());
        };
        let buyer = self.auctions.buyer_of(*auction_id, *bid)?;
        let (secret, key) = (random::order_secret(), Digest::of_award(event.seq));
        let (seq, at, quantity) = (event.seq, event.at, Quantity::ONE);
        self.insert_order.execute(params![seq, secret, drop_id, buyer, key, quantity, unit_price, at, expires_at])?;
        self.update_order.execute(params![seq, seq, "awaiting_payment", expires_at, None::<UnixMillis>])?;
        let secret = secret.as_bytes();
        self.chain.add_order(&OrderSeal { secret, buyer: &buyer, key: &key, unit_price: *unit_price });
        Ok(())
    }

    fn put_contact(&mut self, order: Seq, beside: Option<&Beside>) -> rusqlite::Result<()> {
        match beside {
            Some(Beside::Contact(contact)) => self.write_contact(order, contact),
            // An order with a contact in one step wrote it with its own row.
            Some(
                Beside::Order { .. }
                | Beside::Bid { .. }
                | Beside::ProviderEvent { .. }
                | Beside::Session { .. }
                | Beside::Endpoint { .. },
            )
            | None => Ok(()),
        }
    }

    fn write_contact(&mut self, order: Seq, contact: &Contact) -> rusqlite::Result<()> {
        let Contact { name, email, phone, address } = contact;
        self.put_contact.execute(params![order, name, email, phone, address]).map(drop)
    }

    fn insert_key(&mut self, key: &CommandKey, event: &Event) -> rusqlite::Result<()> {
        self.insert_key.execute(params![key.digest, key.params, event.seq, event.at]).map(drop)
    }

    fn insert_drop(&mut self, drop_id: DropId, spec: &DropSpec, event: &Event) -> rusqlite::Result<()> {
        self.insert_drop
            .execute(params![
                drop_id,
                spec.sku,
                spec.name,
                spec.description,
                spec.image_url,
                spec.currency,
                spec.unit_price,
                spec.total,
                spec.starts_at,
                spec.ends_at,
                spec.per_buyer_limit,
                spec.reservation_seconds,
                spec.payment_seconds,
                spec.has_started(event.at),
                event.seq,
            ])
            .map(drop)
    }

    fn patch_drop(&mut self, drop_id: DropId, patch: &DropPatch, at: UnixMillis) -> rusqlite::Result<()> {
        self.patch_drop
            .execute(params![
                drop_id,
                patch.name,
                patch.description,
                patch.image_url,
                patch.unit_price,
                patch.starts_at,
                patch.ends_at,
                patch.per_buyer_limit,
                patch.reservation_seconds,
                patch.payment_seconds,
                at,
            ])
            .map(drop)
    }

    /// Sets the flags (started, paused, ended, mismatch) that are given, and the end if it is.
    fn flag(&mut self, drop_id: DropId, flags: [Option<bool>; 4], ends_at: Option<UnixMillis>) -> rusqlite::Result<()> {
        let [started, paused, ended, mismatch] = flags;
        self.flag_drop.execute(params![drop_id, started, paused, ended, mismatch, ends_at]).map(drop)
    }
}
