//! Restores a state from stored parts. Only `store::load` and a capture's snapshot call this,
//! before the first command; nothing here decides.

use std::collections::BTreeMap;

use super::{AuctionEntry, DropEntry, DropSpec, Order, RememberedCommand, RememberedOrder, State};
use crate::types::{AuctionId, Digest, DropId, IdentityDigests, OperatorTier, Seq, Shard, TicketNumber, UnixMillis};

/// The events by which the tickets of each room were taken, in the order of their numbers. A load alone needs them: an order
/// uses a ticket that was taken before it.
#[derive(Default, Debug)]
pub struct TicketSeqs(BTreeMap<DropId, Vec<Seq>>);

impl TicketSeqs {
    /// Sets the events of a room's tickets.
    pub fn insert(&mut self, drop_id: DropId, taken: Vec<Seq>) {
        self.0.insert(drop_id, taken);
    }

    /// Returns whether a ticket was taken before an event.
    fn is_before(&self, drop_id: DropId, number: TicketNumber, event: Seq) -> bool {
        self.0.get(&drop_id).and_then(|taken| taken.get(number.index())).is_some_and(|taken| *taken < event)
    }
}

impl State {
    /// Makes ids of this shard from now on, if the state has none of another.
    ///
    /// # Errors
    /// The shard of the drops, if they are of another one.
    pub fn settle_shard(&mut self, shard: Shard) -> Result<(), Shard> {
        if self.shard != shard && !self.drops.is_empty() {
            return Err(self.shard);
        }
        self.shard = shard;
        Ok(())
    }

    /// Sets the last event, the last instant and the drops, whose shard is the state's; puts the drops' windows on the list
    /// of what is due.
    pub fn restore(&mut self, seq: Seq, at: UnixMillis, drops: Vec<DropEntry>) {
        self.seq = seq;
        self.at = at;
        self.shard = drops.first().map_or(self.shard, |first| first.id.shard());
        self.drops = drops;
        let ids: Vec<_> = self.drops.iter().map(|entry| entry.id).collect();
        for id in ids {
            self.schedule_window(id);
        }
    }

    /// Notes that a drop is an auction's, and gives what it sells.
    pub fn hide_drop(&mut self, drop_id: DropId, auction: AuctionId) -> Option<&DropSpec> {
        let entry = self.drops.get_mut(drop_id.place_in(self.shard))?;
        entry.auction = Some(auction);
        Some(&entry.spec)
    }

    /// Sets the auctions, after all orders: what they were awarded has been counted by [`State::restore_order`].
    pub fn restore_auctions(&mut self, auctions: Vec<AuctionEntry>) {
        let awards = std::mem::take(&mut self.awards);
        self.auctions = auctions;
        for (drop_id, buyer) in awards {
            let auction = self.drop_entry(drop_id).and_then(|entry| entry.auction);
            if let Some(auction) = auction.and_then(|id| self.auctions.get_mut(id.place_in(self.shard))) {
                auction.best.remove(&buyer);
                auction.awards = auction.awards.saturating_add(1);
            }
        }
        let ids: Vec<_> = self.auctions.iter().map(|auction| auction.id).collect();
        for id in ids {
            self.schedule_auction(id);
            self.schedule_award(id, self.at);
        }
    }

    /// Puts a tier back that an operator had set.
    pub fn restore_operator_tier(&mut self, buyer: Digest, tier: OperatorTier) {
        self.operator_tiers.insert(buyer, tier);
    }

    /// Puts a ticket of a drop's room back, in the order of their numbers.
    pub fn restore_ticket(&mut self, drop_id: DropId, buyer: Digest, ordered: bool) -> bool {
        let room = self.room_mut(drop_id).filter(|room| room.ticket_of(&buyer).is_none());
        room.map(|room| room.add_ticket(buyer, ordered)).is_some()
    }

    /// Counts an order for its buyer and for the ticket that it used, and keeps it if it is live.
    pub fn restore_order(&mut self, order: Order, identities: &IdentityDigests, tickets: &TicketSeqs) {
        if order.key == Digest::of_award(order.seq) {
            self.awards.push((order.drop_id, order.buyer));
        }
        if let Some(entry) = self.drops.get_mut(order.drop_id.place_in(self.shard)) {
            if let Some(room) = &mut entry.room {
                let number = room.ticket_of(&order.buyer);
                if number.is_some_and(|number| tickets.is_before(order.drop_id, number, order.seq)) {
                    room.note_order(&order.buyer);
                }
                room.returned = room.returned.saturating_add(u64::from(order.returned));
            }
            entry.use_units(order.buyer, i64::from(order.taken()));
            if !identities.is_empty() {
                entry.use_identities(identities, i64::from(order.taken()));
            }
        }
        if order.state.is_live() {
            self.restore_identities(order.seq, identities);
        }
        if !order.state.is_live() {
            super::orders::count(self, order.state);
        }
        self.restore_live(order);
    }

    /// Keeps an order if it is live; its buyer's units are counted elsewhere.
    pub fn restore_live(&mut self, order: Order) {
        if order.state.is_live() {
            let (drop_id, expires_at, seq) = (order.drop_id, order.expires_at, order.seq);
            super::orders::count(self, order.state);
            self.orders.insert(seq, Box::new(order));
            self.schedule_expiry(drop_id, expires_at, seq);
        }
    }

    /// Keeps the identities of a live order; their units are counted elsewhere.
    pub fn restore_identities(&mut self, order: Seq, identities: &IdentityDigests) {
        if !identities.is_empty() {
            self.identities.insert(order, *identities);
        }
    }

    /// Sets the units that orders with an identity hold or have bought of a drop.
    pub fn restore_identity_units(&mut self, drop_id: DropId, digest: Digest, units: u32) {
        if let Some(entry) = self.drops.get_mut(drop_id.place_in(self.shard)) {
            entry.identity_units.insert(digest, units);
        }
    }

    /// Sets the units that a buyer holds or has bought of a drop.
    pub fn restore_used(&mut self, drop_id: DropId, buyer: Digest, units: u32) {
        if let Some(entry) = self.drops.get_mut(drop_id.place_in(self.shard)) {
            entry.used.insert(buyer, units);
        }
    }

    /// Remembers an order's key; `idle_since` if its order is no longer live. Live ones first, then by that instant.
    pub fn restore_key(&mut self, key: Digest, remembered: RememberedOrder, idle_since: Option<UnixMillis>) {
        self.order_keys.remember(key, remembered);
        if let Some(since) = idle_since {
            self.order_keys.release(key, since, remembered.seq);
        }
    }

    /// Remembers another command's key, in the order of their instants.
    pub fn restore_command_key(&mut self, key: Digest, remembered: RememberedCommand, at: UnixMillis) {
        self.command_keys.remember(key, remembered);
        self.command_keys.release(key, at, remembered.seq);
    }
}
