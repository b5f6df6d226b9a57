//! Rows of buyers who stand by. The secret and the buyer's text of the order that a row becomes are drawn and kept when the
//! buyer joins, so the grant needs nothing that a command brings.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Row, Statement, params};
use serde_json::{Value, json};

use super::StoreError;
use super::audit::Columns;
use super::chain::{Chain, OrderSeal};
use super::orders::facts_detail;
use super::private_data::PrivateData;
use crate::engine::{DropEvent, Event, PlaceEnding, StandbyJoined, StandbyLeaving, State, Waiting};
use crate::types::{
    BlockMark, BuyerOrigin, BuyerText, Contact, DigestKey, DropId, IdentityDigests, OrderFacts, OrderSecret, RiskNote,
    Seq, Signal, SignalSet, TicketNumber, Tier, UnitPrice, hex,
};

/// Writes the rows of buyers who stand by.
pub(super) struct StandbyWriter<'conn> {
    insert: Statement<'conn>,
    leave: Statement<'conn>,
    grant: Statement<'conn>,
    insert_contact: Statement<'conn>,
    move_contact: Statement<'conn>,
    erase_contact: Statement<'conn>,
    erase_contacts: Statement<'conn>,
    /// Drops that have ended and of whose lines contacts are left.
    ended: BTreeSet<DropId>,
    /// True once a contact was erased: the log still has the pages with it.
    has_erased: bool,
}

/// The most contacts of an ended line that are erased in one transaction, which takes the writer a few milliseconds.
const ERASED_MAX: u32 = 500;

impl<'conn> StandbyWriter<'conn> {
    pub(super) fn new(connection: &'conn Connection) -> rusqlite::Result<StandbyWriter<'conn>> {
        let prepare = |sql: &str| connection.prepare(sql);
        Ok(StandbyWriter {
            insert: prepare(
                "INSERT INTO standby (seq, drop_id, secret, buyer, key_digest, quantity, joined_at_ms, email, phone,
                     payment, address, number)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?,
            leave: prepare("UPDATE standby SET left_seq = ?2 WHERE seq = ?1")?,
            grant: prepare("UPDATE standby SET order_seq = ?2 WHERE seq = ?1 RETURNING secret, buyer")?,
            insert_contact: prepare(
                "INSERT INTO standby_contacts (seq, drop_id, name, email, phone, address) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?,
            move_contact: prepare(
                "DELETE FROM standby_contacts WHERE drop_id = ?1 AND seq = ?2 RETURNING name, email, phone, address",
            )?,
            erase_contact: prepare("DELETE FROM standby_contacts WHERE drop_id = ?1 AND seq = ?2")?,
            erase_contacts: prepare(
                "DELETE FROM standby_contacts WHERE drop_id = ?1 AND seq <= (
                     SELECT max(seq) FROM (SELECT seq FROM standby_contacts WHERE drop_id = ?1 ORDER BY seq LIMIT ?2))",
            )?,
            ended: ended_with_contacts(connection)?,
            has_erased: false,
        })
    }

    /// Writes what an event of a drop changes of its line.
    pub(super) fn record(
        &mut self,
        event: &Event,
        body: &DropEvent,
        private_data: Option<&PrivateData>,
        chain: &mut Chain,
    ) -> rusqlite::Result<()> {
        match body {
            DropEvent::StandbyJoined(joined) => self.join(event, joined, private_data, chain),
            DropEvent::StandbyLeft { joined, .. } => {
                let rows = self.leave.execute(params![joined, event.seq])?;
                assert_eq!(rows, 1, "entry {joined} of a line has a row");
                self.has_erased |= self.erase_contact.execute(params![event.drop_id(), joined])? > 0;
                Ok(())
            }
            // The line ends with its drop.
            DropEvent::Ended | DropEvent::Closed { .. } => event.drop_id().map_or(Ok(()), |id| self.erase_of(id)),
            DropEvent::Created(_)
            | DropEvent::Patched(_)
            | DropEvent::Started
            | DropEvent::Paused { .. }
            | DropEvent::Resumed { .. }
            | DropEvent::StockAdjusted(_)
            | DropEvent::MismatchFound
            | DropEvent::MismatchCleared
            | DropEvent::WindowEnded { .. } => Ok(()),
        }
    }

    fn join(
        &mut self,
        event: &Event,
        joined: &StandbyJoined,
        private_data: Option<&PrivateData>,
        chain: &mut Chain,
    ) -> rusqlite::Result<()> {
        let Waiting { key, quantity, facts, .. } = &joined.waiting;
        let Some(PrivateData::Order { secret, buyer, contact }) = private_data else {
            panic!("entry {} of a line came without its secret and buyer", event.seq)
        };
        let identities = facts.as_deref().map_or(IdentityDigests::NONE, |facts| facts.identities);
        let IdentityDigests { email, phone, payment, address } = identities;
        let (seq, drop_id, buyer) = (event.seq, event.drop_id(), buyer.as_str());
        self.insert.execute(params![
            seq,
            drop_id,
            secret,
            buyer,
            key,
            quantity,
            event.at,
            email,
            phone,
            payment,
            address,
            joined.number.map(TicketNumber::get)
        ])?;
        if let Some(contact) = contact {
            let Contact { name, email, phone, address } = &**contact;
            self.insert_contact.execute(params![seq, drop_id, name, email, phone, address])?;
        }
        let secret = secret.as_bytes();
        chain.add_order(&OrderSeal { secret, buyer, key, unit_price: UnitPrice::default(), identities });
        Ok(())
    }

    /// Notes the order that an entry became, and returns the private data of that order. The contact moves to the order.
    pub(super) fn grant(&mut self, drop_id: Option<DropId>, joined: Seq, order: Seq) -> rusqlite::Result<PrivateData> {
        let contact_of = |row: &Row<'_>| {
            let text = |column| row.get::<_, Option<Box<str>>>(column);
            Ok(Box::new(Contact { name: text(0)?, email: text(1)?, phone: text(2)?, address: text(3)? }))
        };
        let contact = self.move_contact.query_row(params![drop_id, joined], contact_of).optional()?;
        self.grant.query_row(params![joined, order], |row| {
            let buyer = BuyerText::new(row.get_ref(1)?.as_str()?).ok_or(rusqlite::types::FromSqlError::InvalidType)?;
            let secret: OrderSecret = row.get(0)?;
            Ok(PrivateData::Order { secret, buyer, contact })
        })
    }

    /// Erases contacts of a drop that has ended, at most [`ERASED_MAX`].
    fn erase_of(&mut self, drop_id: DropId) -> rusqlite::Result<()> {
        let erased = self.erase_contacts.execute(params![drop_id, ERASED_MAX])?;
        self.has_erased |= erased > 0;
        if erased < ERASED_MAX as usize {
            self.ended.remove(&drop_id);
        } else {
            self.ended.insert(drop_id);
        }
        Ok(())
    }

    /// Erases more contacts of the drops that have ended, at most [`ERASED_MAX`].
    pub(super) fn erase_more(&mut self) -> rusqlite::Result<()> {
        self.ended.first().copied().map_or(Ok(()), |drop_id| self.erase_of(drop_id))
    }

    /// Returns whether contacts of drops that have ended are left.
    pub(super) fn is_erasing(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Returns whether a contact was erased since the last call.
    pub(super) fn take_has_erased(&mut self) -> bool {
        std::mem::take(&mut self.has_erased)
    }
}

/// The drops that have ended and of whose lines contacts are left: the program ended before it had erased all.
fn ended_with_contacts(connection: &Connection) -> rusqlite::Result<BTreeSet<DropId>> {
    // Each step looks up the next drop by the key, so the contacts of a line are not walked over.
    let mut statement = connection.prepare(
        "WITH RECURSIVE found (drop_id) AS (
             SELECT min(drop_id) FROM standby_contacts
             UNION ALL SELECT (SELECT min(drop_id) FROM standby_contacts WHERE drop_id > found.drop_id)
             FROM found WHERE found.drop_id IS NOT NULL)
         SELECT drops.id FROM found JOIN drops ON drops.id = found.drop_id WHERE drops.ended",
    )?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// The audit's columns of a buyer who joined: the units are those of the order that it becomes.
pub(super) fn joined_columns(joined: &StandbyJoined) -> Columns {
    let Waiting { buyer, quantity, contact_given, facts, .. } = &joined.waiting;
    let mut detail = facts.as_deref().map(facts_detail);
    if *contact_given {
        detail.get_or_insert_with(|| json!({}))["contact_given"] = true.into();
    }
    // The draw binds the buyers of recorded orders, as it binds those of tickets.
    if let Some(number) = joined.number {
        let detail = detail.get_or_insert_with(|| json!({}));
        detail["number"] = number.get().into();
        detail["buyer"] = hex::encode(&buyer.0).into();
    }
    Columns { quantity: Some(i64::from(quantity.get())), amount: None, detail }
}

/// The detail of a buyer who left.
pub(super) fn left_detail(joined: Seq, leaving: StandbyLeaving) -> Value {
    json!({ "joined_seq": joined.get(), "reason": leaving.as_str() })
}

/// Returns the reason in the detail of a buyer who left.
fn leaving_in(detail: Option<&str>) -> Option<StandbyLeaving> {
    let detail: Value = serde_json::from_str(detail?).ok()?;
    detail["reason"].as_str().and_then(StandbyLeaving::parse)
}

/// Puts those who stand by, and the endings of places, back into the lines of the drops that are not over, after all orders.
///
/// # Errors
/// If the rows cannot be read.
pub(super) fn load(connection: &Connection, key: &DigestKey, state: &mut State) -> Result<(), StoreError> {
    let mut statement = connection.prepare(
        "SELECT standby.seq, standby.drop_id, buyer, key_digest, standby.quantity, email, phone, payment, address,
             audit.detail, standby.order_seq, standby.left_seq,
             (SELECT leaving.detail FROM audit AS leaving WHERE leaving.seq = standby.left_seq)
         FROM standby JOIN audit ON audit.seq = standby.seq ORDER BY standby.seq",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (seq, drop_id): (Seq, DropId) = (row.get(0)?, row.get(1)?);
        if state.drop_entry(drop_id).is_none_or(|entry| entry.ended) {
            continue;
        }
        let (order, left): (Option<Seq>, Option<Seq>) = (row.get(10)?, row.get(11)?);
        let waiting = waiting_of(row, key)?;
        let is_in = match (order, left) {
            (None, None) => state.restore_standby(drop_id, seq, waiting),
            (Some(order), _) => state.restore_ending(drop_id, waiting.buyer, Some(PlaceEnding::Ordered(order))),
            (None, Some(_)) => {
                let leaving = leaving_in(row.get::<_, Option<Box<str>>>(12)?.as_deref());
                state.restore_ending(drop_id, waiting.buyer, leaving.and_then(|leaving| leaving.ending_of(seq)))
            }
        };
        if !is_in {
            let what = format!("entry {seq} of the line of drop {drop_id} cannot stand there");
            return Err(StoreError::Inconsistent(what));
        }
    }
    state.settle_windows();
    state.restore_offers();
    Ok(())
}

fn waiting_of(row: &Row<'_>, key: &DigestKey) -> rusqlite::Result<Waiting> {
    let (email, phone, payment, address) = (row.get(5)?, row.get(6)?, row.get(7)?, row.get(8)?);
    let detail = row.get_ref(9)?.as_str_or_null()?.and_then(|text| serde_json::from_str(text).ok());
    let detail: Value = detail.unwrap_or_default();
    let identities = IdentityDigests { email, phone, payment, address };
    Ok(Waiting {
        buyer: key.buyer(row.get_ref(2)?.as_str()?),
        key: row.get(3)?,
        quantity: row.get(4)?,
        contact_given: detail["contact_given"] == true,
        facts: OrderFacts { identities, risk: risk_of(&detail["risk"]), origin: origin_of(&detail) }.boxed(),
    })
}

/// The origin that the detail of a joining tells, as `facts_detail` wrote it.
fn origin_of(told: &Value) -> Option<BuyerOrigin> {
    let tier = Tier::parse(told["tier"].as_str()?)?;
    let block = told["block"].as_str().and_then(|block| u32::from_str_radix(block, 16).ok());
    Some(BuyerOrigin { tier, block: block.and_then(BlockMark::new) })
}

/// The risk that the detail of a joining tells, as `facts_detail` wrote it.
fn risk_of(told: &Value) -> Option<RiskNote> {
    let score = told["score"].as_u64().and_then(|score| u16::try_from(score).ok())?;
    let names = told["signals"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_told = |signal: &Signal| names.iter().any(|name| name == signal.as_str());
    let signals = Signal::ALL.into_iter().filter(is_told).fold(SignalSet::default(), SignalSet::with);
    Some(RiskNote { score, signals })
}
