//! Contacts that came with bids: personal data, for mails until it is erased.

use rusqlite::{Connection, OptionalExtension, Statement, params};

use super::private_data::PrivateData;
use crate::engine::{AuctionEvent, Event};
use crate::types::{AuctionId, BuyerText, Contact, Seq};

/// Writes the rows of bidders' contacts.
pub(super) struct BidderWriter<'conn> {
    /// True once a contact was erased or overwritten: the log still has the pages with it.
    has_erased: bool,
    find: Statement<'conn>,
    renew: Statement<'conn>,
    remove: Statement<'conn>,
    insert: Statement<'conn>,
    copy_to_order: Statement<'conn>,
    note_order: Statement<'conn>,
    erase_of_order: Statement<'conn>,
    erase_order: Statement<'conn>,
}

impl<'conn> BidderWriter<'conn> {
    pub(super) fn new(connection: &'conn Connection) -> rusqlite::Result<BidderWriter<'conn>> {
        let prepare = |sql: &str| connection.prepare(sql);
        Ok(BidderWriter {
            has_erased: false,
            find: prepare(
                "SELECT name, email, phone, address FROM bidder_contacts WHERE auction_id = ?1 AND buyer = ?2",
            )?,
            renew: prepare("UPDATE bidder_contacts SET bid_seq = ?3 WHERE auction_id = ?1 AND buyer = ?2")?,
            remove: prepare("DELETE FROM bidder_contacts WHERE auction_id = ?1 AND buyer = ?2 RETURNING order_seq")?,
            insert: prepare(
                "INSERT INTO bidder_contacts (auction_id, bid_seq, buyer, name, email, phone, address)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?,
            copy_to_order: prepare(
                "INSERT INTO contacts (order_seq, name, email, phone, address)
                 SELECT ?3, name, email, phone, address FROM bidder_contacts WHERE auction_id = ?1 AND buyer = ?2",
            )?,
            note_order: prepare("UPDATE bidder_contacts SET order_seq = ?3 WHERE auction_id = ?1 AND buyer = ?2")?,
            erase_of_order: prepare(
                "DELETE FROM bidder_contacts
                 WHERE auction_id = (SELECT auctions.id FROM auctions JOIN orders ON orders.drop_id = auctions.drop_id
                                     WHERE orders.seq = ?1)
                     AND order_seq = ?1",
            )?,
            erase_order: prepare("DELETE FROM contacts WHERE order_seq = ?1")?,
        })
    }

    /// Writes what an event of an auction changes of its bidders' contacts.
    pub(super) fn record(
        &mut self,
        event: &Event,
        id: AuctionId,
        body: &AuctionEvent,
        private_data: Option<&PrivateData>,
    ) -> rusqlite::Result<()> {
        match (body, private_data) {
            (AuctionEvent::BidPlaced(_), Some(PrivateData::BidWithContact { buyer, contact })) => {
                self.keep(id, event.seq, buyer, contact)
            }
            (AuctionEvent::ContactErased { .. }, Some(PrivateData::Bid { buyer })) => self.erase(id, buyer),
            (AuctionEvent::ContactErased { .. }, _) => panic!("erasure {} came without its buyer", event.seq),
            (
                AuctionEvent::Created(_)
                | AuctionEvent::Started
                | AuctionEvent::BidPlaced(_)
                | AuctionEvent::Ended { .. }
                | AuctionEvent::Cancelled { .. }
                | AuctionEvent::Awarded(_),
                _,
            ) => Ok(()),
        }
    }

    /// Keeps the contact of a bidder: the newest wins.
    fn keep(&mut self, id: AuctionId, bid: Seq, buyer: &BuyerText, contact: &Contact) -> rusqlite::Result<()> {
        let buyer = buyer.as_str();
        let contact_of = |row: &rusqlite::Row<'_>| {
            let text = |column| row.get::<_, Option<Box<str>>>(column);
            Ok(Contact { name: text(0)?, email: text(1)?, phone: text(2)?, address: text(3)? })
        };
        match self.find.query_row(params![id, buyer], contact_of).optional()? {
            // The same again erases nothing, so that no log has to be emptied for it.
            Some(known) if known == *contact => return self.renew.execute(params![id, buyer, bid]).map(drop),
            Some(_) => {
                self.has_erased = true;
                self.remove.query_row(params![id, buyer], |_| Ok(()))?;
            }
            None => {}
        }
        let Contact { name, email, phone, address } = contact;
        self.insert.execute(params![id, bid, buyer, name, email, phone, address]).map(drop)
    }

    /// Erases the contact of a bidder, and that of the order which the auction awarded to them.
    fn erase(&mut self, id: AuctionId, buyer: &BuyerText) -> rusqlite::Result<()> {
        self.has_erased = true;
        let order: Option<Option<Seq>> =
            self.remove.query_row(params![id, buyer.as_str()], |row| row.get(0)).optional()?;
        if let Some(order) = order.flatten() {
            self.erase_order.execute([order])?;
        }
        Ok(())
    }

    /// Gives the order that an auction awards the contact of the bids.
    pub(super) fn award(&mut self, id: AuctionId, buyer: &str, order: Seq) -> rusqlite::Result<()> {
        if self.copy_to_order.execute(params![id, buyer, order])? > 0 {
            self.note_order.execute(params![id, buyer, order])?;
        }
        Ok(())
    }

    /// Erases the contact of the bids that won an order whose contact is erased.
    pub(super) fn erase_of_order(&mut self, order: Seq) -> rusqlite::Result<()> {
        self.erase_of_order.execute([order]).map(drop)
    }

    /// Returns whether a contact was erased or overwritten since the last call.
    pub(super) fn take_has_erased(&mut self) -> bool {
        std::mem::take(&mut self.has_erased)
    }
}
