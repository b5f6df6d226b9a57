//! Rows of orders and their contacts.

use rusqlite::{Connection, Statement, params};
use serde_json::{Value, json};

use super::audit::Columns;
use super::chain::{Chain, OrderSeal};
use super::private_data::PrivateData;
use crate::engine::{
    AuctionAwarded, CancelledByOperator, Event, OrderEvent, OrderReserved, ReservedWithFacts, StandbyGranted,
};
use crate::types::{BuyerOrigin, Contact, Digest, IdentityDigests, OrderFacts, Quantity, Seq, Signal, UnixMillis};

/// Writes the rows of orders and their contacts.
pub(super) struct OrderWriter<'conn> {
    /// True once a contact was erased or overwritten: the log still has the pages with it.
    has_erased: bool,
    insert_order: Statement<'conn>,
    insert_identities: Statement<'conn>,
    update_order: Statement<'conn>,
    put_contact: Statement<'conn>,
    erase_contact: Statement<'conn>,
    note_cancel_reason: Statement<'conn>,
}

/// The changes of an order's row; what is not given stays.
#[derive(Default)]
struct OrderChange {
    state: Option<&'static str>,
    expires_at: Option<UnixMillis>,
    /// The end of the order, by which its units come back.
    ended_at: Option<UnixMillis>,
}

impl<'conn> OrderWriter<'conn> {
    pub(super) fn new(connection: &'conn Connection) -> rusqlite::Result<OrderWriter<'conn>> {
        let prepare = |sql: &str| connection.prepare(sql);
        Ok(OrderWriter {
            has_erased: false,
            insert_order: prepare(
                "INSERT INTO orders (seq, secret, drop_id, buyer, key_digest, quantity, returned, unit_price, state,
                     reserved_at_ms, expires_at_ms, last_seq)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, 'reserved', ?8, ?9, ?1)",
            )?,
            insert_identities: prepare(
                "INSERT INTO order_identities (order_seq, email, phone, payment, address) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?,
            update_order: prepare(
                "UPDATE orders SET last_seq = ?2, state = coalesce(?3, state),
                     expires_at_ms = coalesce(?4, expires_at_ms), ended_at_ms = coalesce(?5, ended_at_ms),
                     idle_at_ms = coalesce(?5, idle_at_ms),
                     returned = CASE WHEN ?5 IS NULL THEN returned ELSE quantity END
                 WHERE seq = ?1",
            )?,
            put_contact: prepare(
                "INSERT INTO contacts (order_seq, name, email, phone, address) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (order_seq) DO UPDATE SET name = excluded.name, email = excluded.email,
                     phone = excluded.phone, address = excluded.address",
            )?,
            erase_contact: prepare("DELETE FROM contacts WHERE order_seq = ?1")?,
            note_cancel_reason: prepare("UPDATE orders SET cancel_reason = ?2 WHERE seq = ?1")?,
        })
    }

    /// Writes what an event changes of its order's rows.
    pub(super) fn record(
        &mut self,
        event: &Event,
        body: &OrderEvent,
        private_data: Option<&PrivateData>,
        chain: &mut Chain,
    ) -> rusqlite::Result<()> {
        let ended = |state| OrderChange { state: Some(state), ended_at: Some(event.at), ..OrderChange::default() };
        match body {
            OrderEvent::Reserved(reserved) => {
                self.insert(event, reserved, &IdentityDigests::default(), private_data, chain)
            }
            OrderEvent::ReservedWithFacts(with_facts) => {
                let ReservedWithFacts { reserved, facts } = &**with_facts;
                self.insert(event, reserved, &facts.identities, private_data, chain)
            }
            OrderEvent::Granted(granted) => {
                let StandbyGranted { reserved, facts, awaits_payment, .. } = &**granted;
                let identities = facts.as_deref().map_or(IdentityDigests::NONE, |facts| facts.identities);
                self.insert(event, reserved, &identities, private_data, chain)?;
                let state = awaits_payment.then_some("awaiting_payment");
                if state.is_some() {
                    self.update(event, &OrderChange { state, ..OrderChange::default() })
                } else {
                    Ok(())
                }
            }
            OrderEvent::CheckedOut { expires_at } => {
                let (state, expires_at) = (Some("awaiting_payment"), Some(*expires_at));
                self.update(event, &OrderChange { state, expires_at, ended_at: None })?;
                self.write_private_contact(event, private_data)
            }
            OrderEvent::ContactCorrected => {
                self.touch(event)?;
                self.has_erased = true;
                self.write_private_contact(event, private_data)
            }
            OrderEvent::Cancelled { .. } => self.update(event, &ended("cancelled")),
            OrderEvent::CancelledByOperator(CancelledByOperator { reason, .. }) => {
                self.update(event, &ended("cancelled"))?;
                self.note_cancel_reason.execute(params![event.order(), reason]).map(drop)
            }
            OrderEvent::Expired { .. } => self.update(event, &ended("expired")),
            OrderEvent::ContactRead => self.touch(event),
            OrderEvent::ContactErased => {
                self.touch(event)?;
                self.has_erased = true;
                self.erase_contact.execute(params![event.order()]).map(drop)
            }
        }
    }

    /// Returns whether a contact was erased or overwritten since the last call.
    pub(super) fn take_has_erased(&mut self) -> bool {
        std::mem::take(&mut self.has_erased)
    }

    /// Notes the event as its order's last one; an event without an order changes nothing.
    pub(super) fn touch(&mut self, event: &Event) -> rusqlite::Result<()> {
        self.update(event, &OrderChange::default())
    }

    fn update(&mut self, event: &Event, change: &OrderChange) -> rusqlite::Result<()> {
        let OrderChange { state, expires_at, ended_at } = change;
        self.update_order.execute(params![event.order(), event.seq, state, expires_at, ended_at]).map(drop)
    }

    fn insert(
        &mut self,
        event: &Event,
        reserved: &OrderReserved,
        identities: &IdentityDigests,
        private_data: Option<&PrivateData>,
        chain: &mut Chain,
    ) -> rusqlite::Result<()> {
        let OrderReserved { key, quantity, unit_price, expires_at, .. } = reserved;
        let Some(PrivateData::Order { secret, buyer, contact }) = private_data else {
            panic!("order {} came without its secret and buyer", event.seq)
        };
        let (seq, drop_id, buyer) = (event.seq, event.drop_id(), buyer.as_str());
        self.insert_order.execute((seq, secret, drop_id, buyer, key, quantity, unit_price, event.at, expires_at))?;
        if !identities.is_empty() {
            let IdentityDigests { email, phone, payment, address } = identities;
            self.insert_identities.execute(params![seq, email, phone, payment, address])?;
        }
        let secret = secret.as_bytes();
        chain.add_order(&OrderSeal { secret, buyer, key, unit_price: *unit_price, identities: *identities });
        match contact {
            Some(contact) => self.write_contact(seq, contact),
            None => Ok(()),
        }
    }

    /// Writes the order of an auction's winner. Its buyer's text is that of the bid.
    pub(super) fn insert_award(
        &mut self,
        event: &Event,
        awarded: &AuctionAwarded,
        buyer: &str,
        private_data: Option<&PrivateData>,
        chain: &mut Chain,
    ) -> rusqlite::Result<()> {
        let AuctionAwarded { unit_price, expires_at, .. } = awarded;
        let Some(PrivateData::Award { secret }) = private_data else {
            panic!("award {} came without its secret", event.seq)
        };
        let key = Digest::of_award(event.seq);
        let (seq, drop_id, at, quantity) = (event.seq, event.drop_id(), event.at, Quantity::ONE);
        self.insert_order.execute(params![seq, secret, drop_id, buyer, key, quantity, unit_price, at, expires_at])?;
        let (state, expires_at) = (Some("awaiting_payment"), Some(*expires_at));
        self.update(event, &OrderChange { state, expires_at, ended_at: None })?;
        let secret = secret.as_bytes();
        let identities = IdentityDigests::default();
        chain.add_order(&OrderSeal { secret, buyer, key: &key, unit_price: *unit_price, identities });
        Ok(())
    }

    /// Writes the contact that came with a checkout. An order that was placed with one has written it already.
    fn write_private_contact(&mut self, event: &Event, private_data: Option<&PrivateData>) -> rusqlite::Result<()> {
        if let (Some(PrivateData::Contact(contact)), Some(order)) = (private_data, event.order()) {
            self.write_contact(order, contact)?;
        }
        Ok(())
    }

    fn write_contact(&mut self, order: Seq, contact: &Contact) -> rusqlite::Result<()> {
        let Contact { name, email, phone, address } = contact;
        self.put_contact.execute(params![order, name, email, phone, address]).map(drop)
    }
}

/// The audit's columns of an order's event.
pub(super) fn columns(event: &OrderEvent) -> Columns {
    let detail = match event {
        OrderEvent::CancelledByOperator(CancelledByOperator { reason, .. }) => {
            Some(json!({ "by": "operator", "reason": reason }))
        }
        OrderEvent::ReservedWithFacts(with_facts) => Some(facts_detail(&with_facts.facts)),
        OrderEvent::Granted(granted) => {
            let mut detail = granted.facts.as_deref().map_or_else(|| json!({}), facts_detail);
            match granted.number {
                Some(number) => detail["ticket"] = number.get().into(),
                None => detail["standby"] = true.into(),
            }
            detail["joined_seq"] = granted.joined.get().into();
            if granted.awaits_payment {
                detail["state"] = "awaiting_payment".into();
            }
            Some(detail)
        }
        OrderEvent::Reserved(_)
        | OrderEvent::CheckedOut { .. }
        | OrderEvent::ContactCorrected
        | OrderEvent::Cancelled { .. }
        | OrderEvent::Expired { .. }
        | OrderEvent::ContactRead
        | OrderEvent::ContactErased => None,
    };
    Columns { quantity: event.quantity().map(|quantity| i64::from(quantity.get())), amount: None, detail }
}

/// The detail of a reservation with facts: the kinds of its identities, whose digests its row of `order_identities` has, the
/// risk, and the buyer's tier with the mark of the address block.
pub(super) fn facts_detail(facts: &OrderFacts) -> Value {
    let OrderFacts { identities, risk, origin } = facts;
    let mut detail = json!({});
    if !identities.is_empty() {
        detail["identities"] = identities.iter().map(|(kind, _)| kind.as_str()).collect();
    }
    if let Some(risk) = risk {
        let signals: Vec<&str> = risk.signals.iter().map(Signal::as_str).collect();
        detail["risk"] = json!({ "score": risk.score, "signals": signals });
    }
    note_origin(origin.as_ref(), &mut detail);
    detail
}

/// Adds the tier of a buyer and the mark of the address block to the detail of an order or a ticket.
pub(super) fn note_origin(origin: Option<&BuyerOrigin>, detail: &mut Value) {
    let Some(BuyerOrigin { tier, block }) = origin else { return };
    detail["tier"] = tier.as_str().into();
    if let Some(block) = block {
        detail["block"] = format!("{:06x}", block.get()).into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EventSubject;
    use crate::store::Store;
    use crate::store::chain::ChainLink;
    use crate::types::DropId;

    #[test]
    fn an_erased_or_overwritten_contact_is_told_once_and_nothing_else_is() {
        let scratch = tempfile::tempdir().expect("scratch");
        let store = Store::open(scratch.path(), UnixMillis::ZERO).expect("made");
        let mut writer = OrderWriter::new(&store.connection).expect("prepared");
        let (order, drop_id) = (Seq::new(2).expect("in range"), DropId::new(1).expect("not 0"));
        let mut tells = |body: OrderEvent| {
            let subject = EventSubject::Order { order, drop_id };
            let event =
                Event { seq: order.next(), at: UnixMillis::ZERO, prev_seq: order, subject, body: body.clone().into() };
            writer.record(&event, &body, None, &mut Chain::after(ChainLink::START)).expect("written");
            [writer.take_has_erased(), writer.take_has_erased()]
        };
        assert_eq!(tells(OrderEvent::ContactRead), [false, false]);
        assert_eq!(tells(OrderEvent::ContactErased), [true, false]);
        assert_eq!(tells(OrderEvent::ContactCorrected), [true, false]);
    }
}
