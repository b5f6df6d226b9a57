//! A state as records, and back.

use std::io::{self, Write};

use super::format::{
    IdentityUsed, OrderIdentities, OrderKey, Record, RecordWriter, SavedAuction, SavedBest, SavedCommandKey, SavedDrop,
    SavedEndpoint, SavedTier, SnapshotBegun, Used,
};
use crate::engine::{AuctionEntry, DropEntry, Endpoint, RememberedOrder, State, invariants};
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
    entry
}
