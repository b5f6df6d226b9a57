//! Invariants of a state, recounted from scratch: for tests after every command, and after loading a file.

use std::collections::BTreeMap;

use super::{AuctionEntry, Due, State};
use crate::types::{Amount, AuctionState, Digest, DropId, OrderState, Seq, UnixMillis};

/// The recount of one drop from the orders in memory.
#[derive(Default)]
struct Recount {
    held: u64,
    used: BTreeMap<Digest, u64>,
    identities: BTreeMap<Digest, u64>,
    expiries: Vec<(UnixMillis, Seq)>,
}

/// The part of the work due at the state's instant that is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    /// All that is due at it.
    All,
    /// A part: a transaction with a bound of events ended between two events of that instant.
    Part,
}

/// Checks a state against itself, after everything due at its instant is done.
///
/// # Errors
/// The first sentence that does not hold.
pub fn check(state: &State) -> Result<(), String> {
    check_done(state, Done::All)
}

/// Checks a state that was read from a file: the last transaction may have ended between two events of one instant,
/// and the next advance goes on there.
///
/// # Errors
/// The first sentence that does not hold.
pub fn check_loaded(state: &State) -> Result<(), String> {
    check_done(state, Done::Part)
}

fn check_done(state: &State, done: Done) -> Result<(), String> {
    let recounts = recount(state, done)?;
    for (position, entry) in state.drops.iter().enumerate() {
        let id = entry.id;
        if id.place_in(state.shard) != position {
            return Err(format!("drop {id} stands at place {position}"));
        }
        let taken = u64::from(entry.held).saturating_add(u64::from(entry.sold));
        if taken > u64::from(entry.spec.total) {
            return Err(format!("drop {id}: held {} + sold {} > total {}", entry.held, entry.sold, entry.spec.total));
        }
        let nothing = Recount::default();
        let recount = recounts.get(&id).unwrap_or(&nothing);
        if recount.held != u64::from(entry.held) {
            return Err(format!("drop {id}: held is {}, its live orders hold {}", entry.held, recount.held));
        }
        if !entry.expiries.iter().eq(recount.expiries.iter()) {
            return Err(format!("drop {id}: the expiries are not those of its live orders"));
        }
        if !entry.ended {
            for (buyer, held) in &recount.used {
                if *held > u64::from(entry.used_by(buyer)) {
                    return Err(format!("drop {id}: a buyer holds {held} units, {} are counted", entry.used_by(buyer)));
                }
            }
            for (identity, held) in &recount.identities {
                let counted = entry.used_by_identity(identity);
                if *held > u64::from(counted) {
                    return Err(format!("drop {id}: orders of an identity hold {held} units, {counted} are counted"));
                }
            }
        }
        let starts_next = done == Done::Part && !entry.started && entry.spec.starts_at == state.at;
        let started = entry.ended || starts_next || entry.started == entry.spec.has_started(state.at);
        if !started {
            return Err(format!("drop {id}: started is {}, but not by its start", entry.started));
        }
    }
    check_counts(state)?;
    check_due(state)
}

/// Live orders are in memory, all of them; ended ones are only counted.
fn check_counts(state: &State) -> Result<(), String> {
    if let Some(order) = state.identities.keys().find(|order| !state.orders.contains_key(order)) {
        return Err(format!("order {order} has identities, but is not in memory"));
    }
    for live in OrderState::ALL.into_iter().filter(|state| state.is_live()) {
        let counted = state.orders_by_state[live.index()];
        let found = state.orders.values().filter(|order| order.state == live).count();
        if u64::try_from(found) != Ok(counted) {
            return Err(format!("{counted} orders are counted as {}, {found} are in memory", live.as_str()));
        }
    }
    Ok(())
}

fn recount(state: &State, done: Done) -> Result<BTreeMap<DropId, Recount>, String> {
    let mut recounts: BTreeMap<DropId, Recount> = BTreeMap::new();
    for (seq, order) in &state.orders {
        if *seq != order.seq || order.last_seq < order.seq || order.last_seq > state.seq {
            return Err(format!("order {seq}: its numbers do not fit"));
        }
        if order.state == OrderState::RefundDue
            && !order.payments.iter().any(|payment| payment.refund_due != Amount::ZERO)
        {
            return Err(format!("order {seq} is refund_due and owes nothing"));
        }
        if order.state.is_live() == state.settled.contains(seq) {
            return Err(format!("order {seq} is {:?} and on the wrong list", order.state));
        }
        if order.state.is_live() {
            let lapses_next = done == Done::Part && order.expires_at == state.at;
            if order.expires_at <= state.at && !lapses_next {
                return Err(format!("order {seq} is live past its expiry"));
            }
            let recount = recounts.entry(order.drop_id).or_default();
            recount.held = recount.held.saturating_add(u64::from(order.taken()));
            let used = recount.used.entry(order.buyer).or_default();
            *used = used.saturating_add(u64::from(order.taken()));
            for (_, identity) in state.identities_of(*seq).iter() {
                let used = recount.identities.entry(identity).or_default();
                *used = used.saturating_add(u64::from(order.taken()));
            }
            recount.expiries.push((order.expires_at, order.seq));
        }
    }
    for recount in recounts.values_mut() {
        recount.expiries.sort_unstable();
    }
    Ok(recounts)
}

fn check_due(state: &State) -> Result<(), String> {
    let mut expected = std::collections::BTreeSet::new();
    for entry in &state.drops {
        if let Some((at, _)) = entry.next_expiry() {
            expected.insert((at, Due::OrderExpiry(entry.id)));
        }
        if entry.ended {
            continue;
        }
        if !entry.started {
            expected.insert((entry.spec.starts_at, Due::DropStart(entry.id)));
        }
        if let Some(ends_at) = entry.spec.ends_at {
            expected.insert((ends_at, Due::DropEnd(entry.id)));
        }
    }
    for auction in &state.auctions {
        match auction.state {
            AuctionState::Scheduled => expected.insert((auction.spec.starts_at, Due::AuctionStart(auction.id))),
            AuctionState::Live => expected.insert((auction.ends_at, Due::AuctionEnd(auction.id))),
            AuctionState::Ended(_) | AuctionState::Cancelled => false,
        };
        let hidden = state.drop_entry(auction.drop_id).filter(|entry| entry.auction == Some(auction.id));
        let Some(hidden) = hidden else { return Err(format!("auction {}: its drop is another's", auction.id)) };
        // The event that made it so says since when it is owed.
        let owed = state.due.iter().find(|(_, due)| *due == Due::AuctionOffer(auction.id));
        if owed.is_some() != auction.owes_an_award(hidden) {
            return Err(format!("auction {}: an award is due, or is not, against what it says", auction.id));
        }
        expected.extend(owed.copied());
        check_leader(auction)?;
    }
    if expected == state.due { Ok(()) } else { Err("what is due is not what the drops and orders say".into()) }
}

fn check_leader(auction: &AuctionEntry) -> Result<(), String> {
    match (auction.leader, auction.current) {
        (None, None) => Ok(()),
        (Some(leader), Some(current)) if current <= leader.maximum => Ok(()),
        (leader, current) => Err(format!("auction {}: {leader:?} leads at {current:?}", auction.id)),
    }
}
