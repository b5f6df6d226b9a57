//! Invariants of a state, recounted from scratch: for tests after every command, and after loading a file.

use std::collections::BTreeMap;

use super::digest_map::DigestMap;
use super::{AuctionEntry, DropEntry, Due, Order, State};
use crate::types::{Amount, AuctionId, AuctionState, Digest, DropId, IdentityDigests, OrderState, UnixMillis};

/// The recount of one drop from the orders in memory.
#[derive(Default)]
struct Recount {
    held: u64,
    used: DigestMap<u64>,
    by_identity: DigestMap<u64>,
    /// The number of live orders, each of which has its expiry on the list.
    live: usize,
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
        if entry.expiries.len() != recount.live {
            return Err(format!("drop {id}: the expiries are not those of its live orders"));
        }
        let starts_next = done == Done::Part && !entry.started && entry.spec.starts_at == state.at;
        if entry
            .room
            .as_ref()
            .and_then(|room| room.draw.as_ref())
            .is_some_and(|draw| draw.tickets().is_some() != entry.started)
        {
            return Err(format!("drop {id}: started is {}, but its draw has not begun with it", entry.started));
        }
        let started = entry.ended || starts_next || entry.started == entry.spec.has_started(state.at);
        if !started {
            return Err(format!("drop {id}: started is {}, but not by its start", entry.started));
        }
    }
    let rooms = state.drops.iter().filter_map(|entry| Some((entry.id, entry.room.as_ref()?.contradiction()?)));
    if let Some((id, what)) = rooms.into_iter().next() {
        return Err(format!("the room of drop {id}: {what}"));
    }
    let stopped = |entry: &&super::DropEntry| entry.room.as_ref().is_some_and(|room| room.is_stopped() != entry.paused);
    if let Some(entry) = state.drops.iter().find(stopped) {
        return Err(format!("the room of drop {}: its clock runs in a pause, or stands still without one", entry.id));
    }
    let lines = state.drops.iter().filter_map(|entry| Some((entry.id, entry.standby.as_ref()?.contradiction()?)));
    if let Some((id, what)) = lines.into_iter().next() {
        return Err(format!("the line of drop {id}: {what}"));
    }
    let windows = state
        .drops
        .iter()
        .filter_map(|entry| Some((entry.id, entry.blind.as_ref()?.contradiction(entry.standby.as_deref())?)));
    if let Some((id, what)) = windows.into_iter().next() {
        return Err(format!("the blind window of drop {id}: {what}"));
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
            recount.live = recount.live.saturating_add(1);
            let Some(entry) = state.drop_entry(order.drop_id) else { continue };
            if !entry.expiries.contains(&(order.expires_at, *seq)) {
                return Err(format!("drop {}: the expiries are not those of its live orders", order.drop_id));
            }
            if !entry.ended {
                recount.add_units(entry, order, &state.identities_of(*seq))?;
            }
        }
    }
    Ok(recounts)
}

impl Recount {
    /// Adds the units of a live order to those of its buyer and of its identities. The last order of each has the whole sum.
    fn add_units(&mut self, entry: &DropEntry, order: &Order, identities: &IdentityDigests) -> Result<(), String> {
        let (id, counted) = (entry.id, entry.used_by(&order.buyer));
        let held = add(&mut self.used, order.buyer, order.taken());
        if held > u64::from(counted) {
            return Err(format!("drop {id}: a buyer holds {held} units, {counted} are counted"));
        }
        for (_, identity) in identities.iter() {
            let counted = entry.used_by_identity(&identity);
            let held = add(&mut self.by_identity, identity, order.taken());
            if held > u64::from(counted) {
                return Err(format!("drop {id}: orders of an identity hold {held} units, {counted} are counted"));
            }
        }
        Ok(())
    }
}

/// Adds units of a digest, and returns their sum.
fn add(units: &mut DigestMap<u64>, digest: Digest, more: u16) -> u64 {
    let sum = units.get(&digest).copied().unwrap_or(0).saturating_add(u64::from(more));
    units.insert(digest, sum);
    sum
}

/// The offers that are due, of lines and of auctions.
struct OwedOffers {
    lines: BTreeMap<DropId, (UnixMillis, Due)>,
    auctions: BTreeMap<AuctionId, (UnixMillis, Due)>,
}

fn owed_offers(state: &State) -> OwedOffers {
    let mut owed = OwedOffers { lines: BTreeMap::new(), auctions: BTreeMap::new() };
    for (at, due) in &state.due {
        match due {
            Due::StandbyOffer(id) => drop(owed.lines.insert(*id, (*at, *due))),
            Due::AuctionOffer(id) => drop(owed.auctions.insert(*id, (*at, *due))),
            Due::RoomOpening(_)
            | Due::DropStart(_)
            | Due::AuctionStart(_)
            | Due::BeaconEnd(_)
            | Due::WindowEnd(_)
            | Due::OrderExpiry(_)
            | Due::RoomAdmission(_)
            | Due::DropEnd(_)
            | Due::AuctionEnd(_) => {}
        }
    }
    owed
}

fn check_due(state: &State) -> Result<(), String> {
    let mut expected = std::collections::BTreeSet::new();
    let offers = owed_offers(state);
    for entry in &state.drops {
        if let Some((at, _)) = entry.next_expiry() {
            expected.insert((at, Due::OrderExpiry(entry.id)));
        }
        if let Some(line) = &entry.standby {
            if entry.ended || line.is_over() || entry.auction.is_some() {
                return Err(format!("drop {}: a line that should not be", entry.id));
            }
            // The event that made it so says since when it is owed.
            let owed = offers.lines.get(&entry.id);
            if owed.is_some() != entry.owes_an_offer().is_some() {
                return Err(format!("drop {}: an offer is due, or is not, against what its line says", entry.id));
            }
            expected.extend(owed.copied());
        }
        if entry.ended {
            continue;
        }
        if let Some(room) = entry.room.as_ref().filter(|room| !room.opened) {
            expected.insert((room.spec.opens_at, Due::RoomOpening(entry.id)));
        }
        let waits_until = entry.room.as_ref().and_then(|room| room.draw.as_ref()?.waits_until());
        expected.extend(waits_until.map(|at| (at, Due::BeaconEnd(entry.id))));
        let next_admission = entry.next_admission().map(|at| at.max(state.stopped_until));
        expected.extend(next_admission.map(|at| (at, Due::RoomAdmission(entry.id))));
        expected.extend(entry.window_end().map(|at| (at, Due::WindowEnd(entry.id))));
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
        let owed = offers.auctions.get(&auction.id);
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
