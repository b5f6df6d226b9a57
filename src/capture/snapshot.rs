//! A state as records, and back.

use std::io::{self, Write};

use super::format::{
    IdentityUsed, OrderIdentities, OrderKey, Record, RecordWriter, SavedAdmission, SavedAuction, SavedBest,
    SavedCommandKey, SavedDraw, SavedDrop, SavedEndpoint, SavedGrant, SavedLeaving, SavedRecorded, SavedRoom,
    SavedStandby, SavedTicket, SavedTier, SnapshotBegun, Used,
};
use super::rooms::SavedPhase;
use crate::engine::{AuctionEntry, DropEntry, Endpoint, PlaceEnding, RememberedOrder, Room, State, invariants};
use crate::types::{OperatorTier, Shard, UnixMillis};

/// Writes a state between two batches: live orders and nothing that a running batch holds.
pub(super) fn write<W: Write>(state: &State, output: &mut RecordWriter<W>) -> io::Result<()> {
    output.write(&Record::SnapshotBegun(SnapshotBegun {
        seq: state.seq(),
        at: state.at(),
        idempotency_keys_max: state.idempotency_keys_max() as u64,
    }))?;
    let mut parts = 0u64;
    let mut part = |record: &Record| {
        parts = parts.saturating_add(1);
        output.write(record)
    };
    if state.shard() != Shard::SINGLE {
        part(&Record::OfShard(state.shard().get()))?;
    }
    for entry in state.drops() {
        part(&Record::Drop(Box::new(saved(entry))))?;
    }
    for entry in state.drops() {
        let mut used: Vec<_> = entry.used.iter().map(|(buyer, units)| (*buyer, *units)).collect();
        // The same state gives the same bytes.
        used.sort_unstable();
        for (buyer, units) in used {
            part(&Record::Used(Used { drop_id: entry.id, buyer, units }))?;
        }
        let mut used: Vec<_> = entry.identity_units.iter().map(|(identity, units)| (*identity, *units)).collect();
        used.sort_unstable();
        for (identity, units) in used {
            part(&Record::IdentityUsed(IdentityUsed { drop_id: entry.id, identity, units }))?;
        }
    }
    for entry in state.drops() {
        let Some(room) = &entry.room else { continue };
        let (drop_id, first) = (entry.id, room.admissions.first().map_or(room.serving, |first| first.from));
        let Room { opened, served_at, rate_from, returned, clock, .. } = **room;
        part(&Record::Room(SavedRoom { drop_id, opened, first, served_at, rate_from, returned, clock }))?;
        if let Some(phase) = room.draw.as_ref().and_then(|draw| SavedPhase::of(&draw.phase)) {
            part(&Record::Draw(Box::new(SavedDraw { drop_id, phase })))?;
        }
        for ticket in &room.tickets {
            part(&Record::Ticket(SavedTicket { drop_id, buyer: ticket.buyer, ordered: ticket.ordered }))?;
        }
        for admission in room.admissions.iter() {
            part(&Record::Admission(SavedAdmission { drop_id, until: admission.until, at: admission.at }))?;
        }
    }
    for entry in state.drops().filter(|entry| entry.spec.blind_ms > 0 && !entry.ended) {
        let drop_id = entry.id;
        let Some(window) = &entry.blind else {
            part(&Record::WindowOver(drop_id))?;
            continue;
        };
        if let Some(phase) = SavedPhase::of(&window.draw.phase) {
            part(&Record::Draw(Box::new(SavedDraw { drop_id, phase })))?;
        }
        for (seq, quantity) in window.recorded().iter().copied() {
            part(&Record::Recorded(SavedRecorded { drop_id, seq, quantity }))?;
        }
    }
    for auction in state.auctions() {
        part(&Record::Auction(Box::new(saved_auction(auction))))?;
        for (buyer, best) in &auction.best {
            part(&Record::Best(SavedBest { auction_id: auction.id, buyer: *buyer, best: *best }))?;
        }
    }
    for order in state.orders.values().filter(|order| order.state.is_live()) {
        part(&Record::LiveOrder(order.clone()))?;
        let identities = state.identities_of(order.seq);
        if !identities.is_empty() {
            part(&Record::Identities(OrderIdentities { order: order.seq, identities }))?;
        }
    }
    for (idle_since, _, key, remembered) in state.order_keys.idle() {
        part(&Record::OrderKey(OrderKey { key, remembered, idle_since }))?;
    }
    for (at, _, key, remembered) in state.command_keys.idle() {
        part(&Record::CommandKey(SavedCommandKey { key, remembered, at }))?;
    }
    for (id, endpoint) in state.endpoints() {
        let Endpoint { state, events, configured, position, revision } = endpoint.clone();
        part(&Record::Endpoint(SavedEndpoint { id, state, events, configured, position, revision }))?;
    }
    for (buyer, tier) in state.operator_tiers() {
        part(&Record::Tier(SavedTier { buyer, tier: tier.tier, expires_at: tier.expires_at }))?;
    }
    for entry in state.drops() {
        for (seq, waiting) in entry.standby.iter().flat_map(|line| line.entries()) {
            let (drop_id, waiting) = (entry.id, waiting.clone());
            part(&Record::Standby(Box::new(SavedStandby { drop_id, seq, waiting })))?;
        }
        for (buyer, ending) in entry.standby.iter().flat_map(|line| line.endings()) {
            let (drop_id, buyer) = (entry.id, *buyer);
            part(&match *ending {
                PlaceEnding::Ordered(order) => Record::Granted(SavedGrant { drop_id, buyer, order }),
                PlaceEnding::Left(joined) => Record::LeftLine(SavedLeaving { drop_id, buyer, joined }),
            })?;
        }
    }
    output.write(&Record::SnapshotEnded(parts))
}

fn saved(entry: &DropEntry) -> SavedDrop {
    SavedDrop {
        id: entry.id,
        spec: (*entry.spec).clone(),
        held: entry.held,
        sold: entry.sold,
        revision: entry.revision,
        paused: entry.paused,
        ended: entry.ended,
        started: entry.started,
        mismatch: entry.mismatch,
        last_seq: entry.last_seq,
        version: entry.version,
    }
}

fn saved_auction(auction: &AuctionEntry) -> SavedAuction {
    SavedAuction {
        id: auction.id,
        drop_id: auction.drop_id,
        spec: (*auction.spec).clone(),
        ends_at: auction.ends_at,
        extensions: auction.extensions,
        state: auction.state,
        current: auction.current,
        leader: auction.leader,
        bids: auction.bids,
        awards: auction.awards,
    }
}

fn auction_of(saved: SavedAuction) -> AuctionEntry {
    let mut auction = AuctionEntry::created(saved.id, saved.drop_id, Box::new(saved.spec), UnixMillis::ZERO);
    auction.ends_at = saved.ends_at;
    auction.extensions = saved.extensions;
    auction.state = saved.state;
    auction.current = saved.current;
    auction.leader = saved.leader;
    auction.bids = saved.bids;
    auction.awards = saved.awards;
    auction
}

/// A state in the making.
pub(super) struct Restoring {
    begun: SnapshotBegun,
    shard: Shard,
    drops: Vec<DropEntry>,
    auctions: Vec<AuctionEntry>,
    /// Made once the drops are there.
    state: Option<State>,
    parts: u64,
}

impl Restoring {
    pub(super) fn new(begun: SnapshotBegun) -> Restoring {
        Restoring { begun, shard: Shard::SINGLE, drops: Vec::new(), auctions: Vec::new(), state: None, parts: 0 }
    }

    /// Takes a part in; whether it is one that may stand here.
    pub(super) fn take(&mut self, record: Record) -> Result<(), String> {
        self.parts = self.parts.saturating_add(1);
        match record {
            Record::OfShard(number) if self.drops.is_empty() && self.state.is_none() => self.shard = Shard::new(number),
            Record::Drop(saved) if self.state.is_none() => self.drops.push(entry_of(*saved)),
            Record::Used(used) => self.state().restore_used(used.drop_id, used.buyer, used.units),
            Record::IdentityUsed(used) => self.state().restore_identity_units(used.drop_id, used.identity, used.units),
            Record::Identities(of) if self.state().order(of.order).is_some() => {
                self.state().restore_identities(of.order, &of.identities);
            }
            Record::Auction(saved) => {
                if self.state().hide_drop(saved.drop_id, saved.id).is_none() {
                    return Err(format!("auction {} is of a drop that is not there", saved.id));
                }
                self.auctions.push(auction_of(*saved));
            }
            Record::Best(saved) => match self.auctions.last_mut().filter(|auction| auction.id == saved.auction_id) {
                Some(auction) => drop(auction.best.insert(saved.buyer, saved.best)),
                None => return Err("a bid that is not behind its auction".into()),
            },
            Record::LiveOrder(order) if order.state.is_live() => {
                let remembered = RememberedOrder { seq: order.seq, quantity: order.quantity };
                let state = self.state();
                state.restore_key(order.key, remembered, None);
                state.restore_live(*order);
            }
            Record::OrderKey(key) => self.state().restore_key(key.key, key.remembered, Some(key.idle_since)),
            Record::CommandKey(key) => self.state().restore_command_key(key.key, key.remembered, key.at),
            Record::Endpoint(saved) => {
                let SavedEndpoint { id, state, events, configured, position, revision } = saved;
                self.state().restore_endpoint(id, Endpoint { state, events, configured, position, revision });
            }
            Record::Tier(SavedTier { buyer, tier, expires_at }) => {
                self.state().restore_operator_tier(buyer, OperatorTier { tier, expires_at });
            }
            Record::Room(saved) => return self.take_room(&saved),
            Record::Draw(saved) => return self.take_draw(*saved),
            Record::Ticket(SavedTicket { drop_id, buyer, ordered }) => {
                if !self.state().restore_ticket(drop_id, buyer, ordered) {
                    return Err(format!("a ticket of drop {drop_id}, which has no room, or of a buyer who has one"));
                }
            }
            Record::Admission(SavedAdmission { drop_id, until, at }) => {
                let room = self.state().room_mut(drop_id);
                match room.filter(|room| room.is_drawn() && room.serving < until && until <= room.ticket_count()) {
                    Some(room) => room.add_admission(until, at),
                    None => return Err(format!("an admission of drop {drop_id} that does not follow the last one")),
                }
            }
            Record::Standby(saved) => {
                let SavedStandby { drop_id, seq, waiting } = *saved;
                if !self.state().restore_standby(drop_id, seq, waiting) {
                    return Err(format!("entry {seq} is of a line that cannot have it"));
                }
            }
            Record::Recorded(SavedRecorded { drop_id, seq, quantity }) => {
                let window = self.state().window_mut(drop_id);
                if !window.is_some_and(|window| window.record(seq, quantity)) {
                    return Err(format!("order {seq} is of a window that cannot have recorded it"));
                }
            }
            Record::WindowOver(drop_id) => self.state().forget_window(drop_id),
            Record::Granted(SavedGrant { drop_id, buyer, order }) => {
                if !self.state().restore_ending(drop_id, buyer, Some(PlaceEnding::Ordered(order))) {
                    return Err(format!("order {order} is of a line that cannot have made it"));
                }
            }
            Record::LeftLine(SavedLeaving { drop_id, buyer, joined }) => {
                if !self.state().restore_ending(drop_id, buyer, Some(PlaceEnding::Left(joined))) {
                    return Err(format!("entry {joined} is of a line that cannot have had it"));
                }
            }
            Record::OfShard(_)
            | Record::Drop(_)
            | Record::LiveOrder(_)
            | Record::Identities(_)
            | Record::SnapshotBegun(_)
            | Record::SnapshotEnded(_)
            | Record::Decided(_)
            | Record::Committed(_)
            | Record::Gap(_) => return Err("a record that may not stand within a snapshot".into()),
        }
        Ok(())
    }

    fn take_room(&mut self, saved: &SavedRoom) -> Result<(), String> {
        let SavedRoom { drop_id, opened, first, served_at, rate_from, returned, clock } = *saved;
        let state = self.state();
        let room = state.room_mut(drop_id);
        let room = room.ok_or_else(|| format!("a room of drop {drop_id}, which has none"))?;
        (room.serving, room.served_at, room.rate_from, room.returned) = (first, served_at, rate_from, returned);
        room.clock = clock;
        if opened {
            state.open_room(drop_id);
        }
        Ok(())
    }

    fn take_draw(&mut self, saved: SavedDraw) -> Result<(), String> {
        let SavedDraw { drop_id, phase } = saved;
        // The draw of a window that has ended: its end is no longer due.
        self.state().unschedule_window_end(drop_id);
        let draw = self.state().draw_mut(drop_id);
        let draw = draw.ok_or_else(|| format!("a draw of drop {drop_id}, which has none"))?;
        draw.phase = phase.restore(&draw.commitment)?;
        Ok(())
    }

    fn state(&mut self) -> &mut State {
        let (begun, drops) = (&self.begun, &mut self.drops);
        self.state.get_or_insert_with(|| {
            let mut state = State::new(usize::try_from(begun.idempotency_keys_max).unwrap_or(usize::MAX));
            state.restore(begun.seq, begun.at, std::mem::take(drops));
            state
        })
    }

    /// The state, if it is whole and agrees with itself.
    pub(super) fn end(mut self, parts: u64) -> Result<State, String> {
        if parts != self.parts {
            return Err(format!("a snapshot of {parts} parts has {}", self.parts));
        }
        let auctions = std::mem::take(&mut self.auctions);
        self.state().restore_auctions(auctions);
        self.state().settle_windows();
        self.state().restore_offers();
        self.state().schedule_rooms();
        let Some(mut state) = self.state else { return Err("a snapshot without a state".into()) };
        let strange =
            |found: Shard| format!("a state of shard {} has drops of shard {}", self.shard.get(), found.get());
        state.settle_shard(self.shard).map_err(strange)?;
        invariants::check_loaded(&state).map_err(|broken| format!("a snapshot that contradicts itself: {broken}"))?;
        Ok(state)
    }
}

fn entry_of(saved: SavedDrop) -> DropEntry {
    let mut entry = DropEntry::created(saved.id, Box::new(saved.spec), saved.last_seq, UnixMillis::ZERO);
    entry.held = saved.held;
    entry.sold = saved.sold;
    entry.revision = saved.revision;
    entry.paused = saved.paused;
    entry.ended = saved.ended;
    entry.started = saved.started;
    entry.mismatch = saved.mismatch;
    entry.version = saved.version;
    entry.room = entry.room.filter(|_| !saved.ended);
    entry.blind = entry.blind.filter(|_| !saved.ended);
    entry
}
