//! Events into rows: one transaction per batch.
//!
//! Every event makes an audit row; those of orders also an order row; all changes of a drop's counters in a batch are
//! added up and written by one UPDATE. Statements are prepared once and kept as long as the connection.

use rusqlite::{Connection, Statement, params};
use serde_json::json;

use super::auctions::{self, AuctionWriter};
use super::audit::{AuditRow, Columns};
use super::bidders::BidderWriter;
use super::buyer_tiers::{self, TierWriter};
use super::chain::{Chain, ChainLink};
use super::draws::DrawWriter;
use super::drops::{self, DropWriter};
use super::endpoints::{self, EndpointWriter};
use super::money::{self, MoneyWriter};
use super::orders::{self, OrderWriter};
use super::per_second_stats::{PerSecondTally, PerSecondWriter};
use super::private_data::PrivateData;
use super::rooms::{self, RoomWriter};
use super::standby::StandbyWriter;
use super::{seals, verify};
use crate::engine::{AuctionEvent, DropEvent, Event, EventBody, FileEvent, OrderEvent, PaymentEvent};
use crate::types::{DigestKey, Seq, UnixMillis, random};

/// All that a transaction writes: [`Recorder::record`] draws and counts nothing by itself, so the same batch after the
/// same link makes the same rows and the same next link in every file.
#[derive(PartialEq, Eq, Default, Debug)]
pub struct Batch {
    pub events: Vec<Event>,
    /// The private data of events, ascending by seq.
    pub private_data: Vec<(Seq, PrivateData)>,
    /// Figures since the commit before.
    pub tally: PerSecondTally,
}

impl Batch {
    /// Empties the events and their private data, and keeps their memory. The tally stays: it has counted since the
    /// commit.
    pub fn clear_events(&mut self) {
        self.events.clear();
        self.private_data.clear();
    }

    /// Draws the secrets of the orders that auctions have awarded by the events from the position `first` on, which were
    /// due: no command brought them.
    pub fn draw_secrets_of_awards(&mut self, first: usize) {
        for event in &self.events[first..] {
            if let (EventBody::Auction { event: AuctionEvent::Awarded(_), .. }, Some(drop_id)) =
                (&event.body, event.drop_id())
            {
                let secret = random::order_secret(drop_id.shard());
                self.private_data.push((event.seq, PrivateData::Award { secret }));
            }
        }
    }
}

/// Writes batches.
pub struct Recorder<'conn> {
    begin: Statement<'conn>,
    commit: Statement<'conn>,
    insert_audit: Statement<'conn>,
    insert_reserved: Statement<'conn>,
    insert_link: Statement<'conn>,
    drops: DropWriter<'conn>,
    orders: OrderWriter<'conn>,
    money: MoneyWriter<'conn>,
    auctions: AuctionWriter<'conn>,
    bidders: BidderWriter<'conn>,
    standby: StandbyWriter<'conn>,
    endpoints: EndpointWriter<'conn>,
    tiers: TierWriter<'conn>,
    rooms: RoomWriter<'conn>,
    draws: DrawWriter<'conn>,
    insert_key: Statement<'conn>,
    touch_meta: Statement<'conn>,
    raise_epoch: Statement<'conn>,
    seconds: PerSecondWriter<'conn>,
    chain: Chain,
    digest_key: DigestKey,
}

impl<'conn> Recorder<'conn> {
    /// Prepares the statements; the chain goes on from `last`.
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
            drops: DropWriter::new(connection)?,
            orders: OrderWriter::new(connection)?,
            money: MoneyWriter::new(connection)?,
            auctions: AuctionWriter::new(connection)?,
            bidders: BidderWriter::new(connection)?,
            standby: StandbyWriter::new(connection)?,
            endpoints: EndpointWriter::new(connection)?,
            tiers: TierWriter::new(connection)?,
            rooms: RoomWriter::new(connection)?,
            draws: DrawWriter::new(connection)?,
            insert_key: prepare(
                "INSERT INTO keys (digest, params, seq, at_ms) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (digest) DO UPDATE SET params = excluded.params, seq = excluded.seq, at_ms = excluded.at_ms",
            )?,
            touch_meta: prepare("UPDATE meta SET synced_at_ms = ?1")?,
            raise_epoch: prepare("UPDATE meta SET epoch = epoch + 1")?,
            seconds: PerSecondWriter::new(connection)?,
            chain: Chain::after(last),
            digest_key: verify::digest_key(connection)?,
        })
    }

    /// Opens the transaction: no other connection can write from here on.
    ///
    /// # Errors
    /// The error of SQLite; nothing is written.
    pub fn begin(&mut self) -> rusqlite::Result<()> {
        self.begin.execute([]).map(drop)
    }

    /// Writes a batch into the open transaction.
    ///
    /// # Errors
    /// The error of SQLite; the transaction must not be committed.
    pub fn record(&mut self, batch: &Batch) -> rusqlite::Result<()> {
        let mut private_data = batch.private_data.iter().peekable();
        for event in &batch.events {
            let own = private_data.next_if(|(seq, _)| *seq == event.seq).map(|(_, own)| own);
            self.record_event(event, own)?;
        }
        debug_assert!(private_data.next().is_none(), "private data belongs to an event of its batch");
        self.drops.move_drops()?;
        self.auctions.move_auctions()?;
        self.rooms.move_rooms()?;
        if let Some(last) = batch.events.last() {
            let link = self.chain.close();
            self.insert_link.execute(params![last.seq, &link.0[..]])?;
        }
        self.seconds.write(&batch.tally)
    }

    /// Writes the heartbeat, so that a transaction with nothing else in it reaches the disk too.
    pub fn heartbeat(&mut self, at: UnixMillis) -> rusqlite::Result<()> {
        self.touch_meta.execute(params![at]).map(drop)
    }

    /// Commits: with `synchronous=FULL` the batch is on the disk when this returns.
    ///
    /// # Errors
    /// The error of SQLite; whether the batch is in the file is then unknown.
    pub fn commit(&mut self) -> rusqlite::Result<()> {
        self.commit.execute([]).map(drop)
    }

    /// Returns whether contacts of lines whose drops have ended are left.
    #[must_use]
    pub fn is_erasing(&self) -> bool {
        self.standby.is_erasing()
    }

    /// Erases more of these contacts in the open transaction: what one statement of the end of a drop would erase would stop the
    /// writer too long.
    ///
    /// # Errors
    /// The error of SQLite; the transaction must not be committed.
    pub fn erase_more(&mut self) -> rusqlite::Result<()> {
        self.standby.erase_more()
    }

    /// Returns whether the log has pages with a contact that was erased or overwritten since the last call.
    pub fn take_has_erased(&mut self) -> bool {
        let of_bidders = self.bidders.take_has_erased();
        let of_lines = self.standby.take_has_erased();
        self.orders.take_has_erased() | of_bidders | of_lines
    }

    /// The last link: of everything that was recorded so far.
    #[must_use]
    pub fn link(&self) -> ChainLink {
        self.chain.last()
    }

    fn record_event(&mut self, event: &Event, private_data: Option<&PrivateData>) -> rusqlite::Result<()> {
        let mut columns = columns(event);
        seals::add(&mut columns, event, private_data, &self.digest_key);
        let row = AuditRow::of(event, columns);
        self.insert_audit(&row)?;
        self.chain.add(&row);
        self.drops.count(event);
        if let Some(key) = event.key() {
            self.insert_key.execute(params![key.digest, key.params, event.seq, event.at])?;
        }
        self.record_body(event, private_data)
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

    fn record_body(&mut self, event: &Event, private_data: Option<&PrivateData>) -> rusqlite::Result<()> {
        match &event.body {
            EventBody::Drop(body) => {
                self.record_room_of_drop(event, body, private_data)?;
                self.standby.record(event, body, private_data, &mut self.chain)?;
                self.drops.record(event, body)
            }
            EventBody::Order(body) => {
                if let (OrderEvent::ContactErased, Some(order)) = (body, event.order()) {
                    self.bidders.erase_of_order(order)?;
                }
                if let OrderEvent::Granted(granted) = body {
                    let own = self.standby.grant(event.drop_id(), granted.joined, event.seq)?;
                    return self.orders.record(event, body, Some(&own), &mut self.chain);
                }
                self.orders.record(event, body, private_data, &mut self.chain)
            }
            EventBody::Payment(body) => {
                if let (PaymentEvent::Paid(_), Some(drop_id)) = (body, event.drop_id()) {
                    self.auctions.settle(drop_id)?;
                }
                let order_is_written = self.money.record(event, body, private_data)?;
                if order_is_written { Ok(()) } else { self.orders.touch(event) }
            }
            EventBody::Auction { auction_id, event: body } => {
                if let (AuctionEvent::Created(created), Some(drop_id)) = (body, event.drop_id()) {
                    self.drops.insert(drop_id, &created.spec.hidden_drop(event.at), event)?;
                }
                if let AuctionEvent::Awarded(awarded) = body {
                    let buyer = self.auctions.buyer_of(*auction_id, awarded.bid)?;
                    self.orders.insert_award(event, awarded, &buyer, private_data, &mut self.chain)?;
                    return self.bidders.award(*auction_id, &buyer, event.seq);
                }
                self.bidders.record(event, *auction_id, body, private_data)?;
                self.auctions.record(event, *auction_id, body, private_data, &mut self.chain)
            }
            EventBody::Endpoint { endpoint, event: body } => {
                self.endpoints.record(event, *endpoint, body, private_data)
            }
            EventBody::File(FileEvent::EventsLost { .. }) => self.raise_epoch.execute([]).map(drop),
            EventBody::File(FileEvent::ContactsExported | FileEvent::StopEnded { .. }) => Ok(()),
            EventBody::Buyer(body) => self.tiers.record(event, body, private_data),
            EventBody::Room(body) => {
                self.rooms.record(event, body, private_data)?;
                self.draws.record(event, body)
            }
        }
    }

    /// Writes what an event of a drop changes of its room and of its draw.
    fn record_room_of_drop(
        &mut self,
        event: &Event,
        body: &DropEvent,
        private_data: Option<&PrivateData>,
    ) -> rusqlite::Result<()> {
        let Some(drop_id) = event.drop_id() else { return Ok(()) };
        match body {
            DropEvent::Created(created) => {
                let spec = &created.spec;
                if let Some(room) = &spec.room {
                    self.rooms.insert(drop_id, room, event.at)?;
                }
                let Some(commitment) = &spec.commitment else { return Ok(()) };
                let beacon = spec.room.as_ref().and_then(|room| room.draw.beacon());
                let tickets = (spec.blind_ms == 0 && spec.has_started(event.at)).then_some(0);
                self.draws.insert(drop_id, commitment, beacon, tickets, private_data)
            }
            DropEvent::Started => self.draws.begin(drop_id, self.rooms.unwritten_tickets(drop_id)),
            DropEvent::WindowEnded { recorded } => self.draws.begin_of_window(drop_id, *recorded),
            DropEvent::Patched(patched) => match &patched.patch.room {
                Some(room) => self.rooms.patch(drop_id, room, event.at),
                None => Ok(()),
            },
            DropEvent::Paused { .. } | DropEvent::MismatchFound => self.rooms.pause(drop_id, event.at),
            DropEvent::Resumed { .. } => self.rooms.resume(drop_id, event.at),
            DropEvent::Ended
            | DropEvent::Closed { .. }
            | DropEvent::StockAdjusted(_)
            | DropEvent::MismatchCleared
            | DropEvent::StandbyJoined(_)
            | DropEvent::StandbyLeft { .. } => Ok(()),
        }
    }
}

/// The audit's columns of an event, by noun.
fn columns(event: &Event) -> Columns {
    match &event.body {
        EventBody::Drop(event) => drops::columns(event),
        EventBody::Order(event) => orders::columns(event),
        EventBody::Payment(event) => money::columns(event),
        EventBody::Auction { auction_id, event } => auctions::columns(*auction_id, event),
        EventBody::Endpoint { endpoint, event } => Columns::of(endpoints::detail(*endpoint, event)),
        EventBody::File(FileEvent::ContactsExported) => Columns::default(),
        EventBody::File(FileEvent::EventsLost { lost, acknowledged }) => {
            Columns::of(json!({ "lost": lost, "acknowledged_seq": acknowledged.get() }))
        }
        EventBody::File(FileEvent::StopEnded { until }) => Columns::of(json!({ "until_ms": until.get() })),
        EventBody::Buyer(event) => Columns::of(buyer_tiers::detail(event)),
        EventBody::Room(event) => rooms::columns(event),
    }
}
