//! Drops: their commands, their events, their counters.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasherDefault;

use super::idempotency::DigestHasher;
use super::{
    CommandKey, Decision, DropPatch, DropSpec, Due, Event, EventKind, Invalid, Outcome, Refusal, RememberedCommand,
    State, StockDelta, Subject,
};
use crate::types::published::DROPS_MAX;
use crate::types::{AuctionId, Digest, DropId, DropState, Seq, UnixMillis};

/// A drop in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DropEntry {
    /// Its number.
    pub id: DropId,
    /// What it sells; `spec.total` is the total as it is now.
    pub spec: Box<DropSpec>,
    /// Units of live orders.
    pub held: u32,
    /// Units of paid orders, and of refunded ones that did not come back.
    pub sold: u32,
    /// How many times operators changed it, counting its creation.
    pub revision: u32,
    /// Stopped by an operator or by the auditor.
    pub paused: bool,
    /// Over, for good.
    pub ended: bool,
    /// Whether its start has come.
    pub started: bool,
    /// The auction whose one unit this is: then clients do not see the drop.
    pub auction: Option<AuctionId>,
    /// The auditor's recount does not agree: it cannot be resumed.
    pub mismatch: bool,
    /// The last event of the drop itself (not of its orders).
    pub last_seq: Seq,
    /// The last event that changed the drop as clients see it.
    pub version: Seq,
    /// Units that each buyer holds or has bought; empty once the drop has ended.
    pub(crate) used: HashMap<Digest, u32, BuildHasherDefault<DigestHasher>>,
    /// When its live orders expire.
    pub(crate) expiries: BTreeSet<(UnixMillis, Seq)>,
}

/// The position of a drop in memory.
pub(crate) fn index(id: DropId) -> usize {
    usize::try_from(id.get().saturating_sub(1)).unwrap_or(usize::MAX)
}

impl DropEntry {
    /// A drop as its creation makes it.
    #[must_use]
    pub fn created(id: DropId, spec: Box<DropSpec>, seq: Seq, at: UnixMillis) -> DropEntry {
        DropEntry {
            id,
            started: spec.has_started(at),
            spec,
            held: 0,
            sold: 0,
            revision: 1,
            paused: false,
            ended: false,
            auction: None,
            mismatch: false,
            last_seq: seq,
            version: seq,
            used: HashMap::default(),
            expiries: BTreeSet::new(),
        }
    }

    /// Units that are held or sold.
    ///
    /// # Panics
    /// If the counters are broken beyond 2^32: an invariant.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.held.checked_add(self.sold).unwrap_or_else(|| panic!("drop {}: held + sold overflows", self.id))
    }

    /// Units that are free.
    ///
    /// # Panics
    /// If more units are taken than there are: an invariant.
    #[must_use]
    pub fn available(&self) -> u32 {
        let taken = self.taken();
        self.spec.total.checked_sub(taken).unwrap_or_else(|| panic!("drop {}: oversold", self.id))
    }

    /// The state that clients see.
    #[must_use]
    pub fn state(&self) -> DropState {
        DropState::of(self.ended, self.paused, self.started, self.available())
    }

    /// Units that a buyer holds or has bought, while the drop has not ended.
    #[must_use]
    pub fn used_by(&self, buyer: &Digest) -> u32 {
        self.used.get(buyer).copied().unwrap_or(0)
    }

    /// The earliest expiry of its live orders.
    #[must_use]
    pub fn next_expiry(&self) -> Option<(UnixMillis, Seq)> {
        self.expiries.first().copied()
    }

    /// Moves a buyer's count by `units`.
    pub(crate) fn use_units(&mut self, buyer: Digest, units: i64) {
        if self.ended {
            return;
        }
        let used = moved(self.used_by(&buyer), units, "a buyer's count");
        if used == 0 {
            self.used.remove(&buyer);
        } else {
            self.used.insert(buyer, used);
        }
    }

    fn move_counters(&mut self, delta: StockDelta) {
        self.spec.total = moved(self.spec.total, delta.total, "total");
        self.held = moved(self.held, delta.held, "held");
        self.sold = moved(self.sold, delta.sold, "sold");
        assert!(self.taken() <= self.spec.total, "drop {}: oversold", self.id);
    }
}

fn moved(counter: u32, delta: i64, what: &str) -> u32 {
    let value = i64::from(counter).checked_add(delta).and_then(|value| u32::try_from(value).ok());
    value.unwrap_or_else(|| panic!("{what} leaves its range: {counter} moved by {delta}"))
}

pub(super) fn create(decision: &mut Decision<'_>, key: &CommandKey, spec: &DropSpec) -> Outcome {
    if let Some(remembered) = decision.state.command_keys.get(&key.digest) {
        let subject = u32::try_from(remembered.subject).ok().and_then(DropId::new).map(Subject::Drop);
        return match subject {
            Some(subject) if remembered.params == key.params => decision.repeat(subject),
            _ => decision.refuse(Refusal::KeyReused),
        };
    }
    if let Err(invalid) = window_is_sound(spec, decision.at()) {
        return decision.refuse(Refusal::Invalid(invalid));
    }
    let count = decision.state.drops.len();
    // Ids start at 1 and their versions are published in a table of DROPS_MAX places.
    let id = u32::try_from(count.saturating_add(1)).ok().and_then(DropId::new);
    let Some(drop_id) = id.filter(|_| count.saturating_add(1) < DROPS_MAX) else {
        return decision.refuse(Refusal::Invalid(Invalid::TooManyDrops));
    };
    let kind = EventKind::DropCreated { drop_id, spec: Box::new(spec.clone()), key: *key };
    let seq = decision.emit(Seq::ZERO, kind);
    Outcome::Accepted { seq, subject: Subject::Drop(drop_id) }
}

fn window_is_sound(spec: &DropSpec, at: UnixMillis) -> Result<(), Invalid> {
    match spec.ends_at {
        Some(ends_at) if ends_at <= spec.starts_at => Err(Invalid::EndBeforeStart),
        Some(ends_at) if ends_at <= at => Err(Invalid::EndInThePast),
        _ => Ok(()),
    }
}

/// The drop that a command names.
pub(super) fn find(state: &State, drop_id: DropId) -> Result<&DropEntry, Refusal> {
    state.drop_entry(drop_id).filter(|entry| entry.auction.is_none()).ok_or(Refusal::NotFound)
}

/// The drop that a command names, unless it is over.
fn find_open(state: &State, drop_id: DropId) -> Result<&DropEntry, Refusal> {
    let entry = find(state, drop_id)?;
    if entry.ended { Err(ended(entry)) } else { Ok(entry) }
}

/// The refusal of whatever comes after a drop's end.
pub(super) fn ended(entry: &DropEntry) -> Refusal {
    // A drop without an end gets one when it is closed.
    Refusal::Ended { ends_at: entry.spec.ends_at.unwrap_or_default() }
}

/// Emits an event of the drop itself.
fn accept(decision: &mut Decision<'_>, entry: &DropEntry, kind: EventKind) -> Outcome {
    let seq = decision.emit(entry.last_seq, kind);
    Outcome::Accepted { seq, subject: Subject::Drop(entry.id) }
}

pub(super) fn patch(
    decision: &mut Decision<'_>,
    drop_id: DropId,
    expected_revision: u32,
    patch: &DropPatch,
    reason: &str,
) -> Outcome {
    let entry = match find_open(decision.state, drop_id) {
        Ok(entry) => entry,
        Err(refusal) => return decision.refuse(refusal),
    };
    if entry.revision != expected_revision {
        return decision.refuse(Refusal::PreconditionFailed { revision: entry.revision });
    }
    let mut spec = entry.spec.clone();
    patch.apply_to(&mut spec);
    if let Err(invalid) = window_is_sound(&spec, decision.at()) {
        return decision.refuse(Refusal::Invalid(invalid));
    }
    accept(decision, entry, EventKind::DropPatched { drop_id, patch: Box::new(patch.clone()), reason: reason.into() })
}

pub(super) fn pause(decision: &mut Decision<'_>, drop_id: DropId, reason: &str) -> Outcome {
    match find_open(decision.state, drop_id) {
        Err(refusal) => decision.refuse(refusal),
        Ok(entry) if entry.paused => decision.repeat(Subject::Drop(drop_id)),
        Ok(entry) => accept(decision, entry, EventKind::DropPaused { drop_id, reason: reason.into() }),
    }
}

pub(super) fn resume(decision: &mut Decision<'_>, drop_id: DropId, reason: &str) -> Outcome {
    match find_open(decision.state, drop_id) {
        Err(refusal) => decision.refuse(refusal),
        Ok(entry) if entry.mismatch => decision.refuse(Refusal::MismatchStands { from: entry.state() }),
        Ok(entry) if !entry.paused => decision.repeat(Subject::Drop(drop_id)),
        Ok(entry) => accept(decision, entry, EventKind::DropResumed { drop_id, reason: reason.into() }),
    }
}

pub(super) fn close(decision: &mut Decision<'_>, drop_id: DropId, reason: &str) -> Outcome {
    match find(decision.state, drop_id) {
        Err(refusal) => decision.refuse(refusal),
        Ok(entry) if entry.ended => decision.repeat(Subject::Drop(drop_id)),
        Ok(entry) => accept(decision, entry, EventKind::DropClosed { drop_id, reason: reason.into() }),
    }
}

pub(super) fn adjust_stock(
    decision: &mut Decision<'_>,
    drop_id: DropId,
    delta: i64,
    expected_total: u32,
    reason: &str,
) -> Outcome {
    let entry = match find_open(decision.state, drop_id) {
        Ok(entry) => entry,
        Err(refusal) => return decision.refuse(refusal),
    };
    if entry.spec.total != expected_total {
        return decision.refuse(Refusal::PreconditionFailed { revision: entry.revision });
    }
    let total = i64::from(entry.spec.total).saturating_add(delta);
    if total > i64::from(u32::MAX) {
        return decision.refuse(Refusal::Invalid(Invalid::TotalTooLarge));
    }
    if total < i64::from(entry.taken()) {
        return decision.refuse(Refusal::Invalid(Invalid::TotalBelowTaken { taken: entry.taken() }));
    }
    accept(decision, entry, EventKind::StockAdjusted { drop_id, delta, reason: reason.into() })
}

pub(super) fn report_mismatch(decision: &mut Decision<'_>, drop_id: DropId, stands: bool) -> Outcome {
    // The auditor counts hidden drops too.
    match decision.state.drop_entry(drop_id).ok_or(Refusal::NotFound) {
        Err(refusal) => decision.refuse(refusal),
        Ok(entry) if entry.mismatch == stands => decision.repeat(Subject::Drop(drop_id)),
        Ok(entry) if stands => accept(decision, entry, EventKind::MismatchFound { drop_id }),
        Ok(entry) => accept(decision, entry, EventKind::MismatchCleared { drop_id }),
    }
}

pub(super) fn export_contacts(decision: &mut Decision<'_>, drop_id: Option<DropId>) -> Outcome {
    let prev_seq = match drop_id.map(|id| find(decision.state, id)) {
        Some(Err(refusal)) => return decision.refuse(refusal),
        Some(Ok(entry)) => entry.last_seq,
        None => Seq::ZERO,
    };
    let seq = decision.emit(prev_seq, EventKind::ContactsExported { drop_id });
    Outcome::Accepted { seq, subject: Subject::File }
}

/// The drops' part of an event. Every event of an order moves its drop's counters here too.
pub(super) fn evolve(state: &mut State, event: &Event) {
    if let EventKind::DropCreated { drop_id, spec, key } = &event.kind {
        return created(state, event, *drop_id, spec, key);
    }
    if let EventKind::AuctionCreated { auction_id, drop_id, spec, .. } = &event.kind {
        assert_eq!(index(*drop_id), state.drops.len(), "drops are numbered in order");
        let mut hidden = DropEntry::created(*drop_id, Box::new(spec.hidden_drop(event.at)), event.seq, event.at);
        hidden.auction = Some(*auction_id);
        state.drops.push(hidden);
        return;
    }
    let Some(drop_id) = event.kind.drop_id() else { return };
    let Some(entry) = state.drops.get_mut(index(drop_id)) else {
        panic!("event {} is about drop {drop_id}, which does not exist", event.seq)
    };
    if let Some(delta) = event.kind.stock_delta() {
        entry.move_counters(delta);
        entry.version = event.seq;
    }
    if event.kind.order().is_none() && !event.kind.makes_order() {
        entry.last_seq = event.seq;
    }
    change_state(state, event, drop_id);
}

fn created(state: &mut State, event: &Event, drop_id: DropId, spec: &DropSpec, key: &CommandKey) {
    assert_eq!(index(drop_id), state.drops.len(), "drops are numbered in order");
    let remembered = RememberedCommand { seq: event.seq, params: key.params, subject: u64::from(drop_id.get()) };
    state.command_keys.remember(key.digest, remembered);
    state.command_keys.release(key.digest, event.at, event.seq);
    state.drops.push(DropEntry::created(drop_id, Box::new(spec.clone()), event.seq, event.at));
    state.schedule_window(drop_id);
}

fn change_state(state: &mut State, event: &Event, drop_id: DropId) {
    let Some(entry) = state.drops.get_mut(index(drop_id)) else { return };
    match &event.kind {
        EventKind::DropPatched { patch, .. } => {
            let (starts_at, ends_at) = (entry.spec.starts_at, entry.spec.ends_at);
            patch.apply_to(&mut entry.spec);
            entry.started = entry.spec.has_started(event.at);
            entry.count_revision();
            state.unschedule_window(drop_id, starts_at, ends_at);
            state.schedule_window(drop_id);
        }
        EventKind::DropStarted { .. } => {
            entry.started = true;
            let starts_at = entry.spec.starts_at;
            state.due.remove(&(starts_at, Due::DropStart(drop_id)));
        }
        EventKind::DropEnded { .. } | EventKind::DropClosed { .. } => {
            let (starts_at, ends_at) = (entry.spec.starts_at, entry.spec.ends_at);
            entry.ended = true;
            entry.used = HashMap::default();
            if matches!(event.kind, EventKind::DropClosed { .. }) {
                entry.spec.ends_at = Some(event.at);
                entry.count_revision();
            }
            state.unschedule_window(drop_id, starts_at, ends_at);
        }
        EventKind::DropPaused { .. } => {
            entry.paused = true;
            entry.count_revision();
        }
        EventKind::DropResumed { .. } => {
            entry.paused = false;
            entry.count_revision();
        }
        EventKind::StockAdjusted { .. } => entry.count_revision(),
        EventKind::MismatchFound { .. } => {
            entry.mismatch = true;
            entry.paused = true;
        }
        EventKind::MismatchCleared { .. } => entry.mismatch = false,
        EventKind::DropCreated { .. }
        | EventKind::OrderReserved { .. }
        | EventKind::AuctionCreated { .. }
        | EventKind::AuctionStarted { .. }
        | EventKind::BidPlaced { .. }
        | EventKind::AuctionEnded { .. }
        | EventKind::AuctionCancelled { .. }
        | EventKind::AuctionAwarded { .. }
        | EventKind::OrderCheckedOut { .. }
        | EventKind::ContactCorrected { .. }
        | EventKind::OrderCancelled { .. }
        | EventKind::OrderCancelledByOperator { .. }
        | EventKind::OrderExpired { .. }
        | EventKind::OrderPaid { .. }
        | EventKind::OrderRefunded { .. }
        | EventKind::PaymentNotKept { .. }
        | EventKind::PaymentFailed { .. }
        | EventKind::RefundRequested { .. }
        | EventKind::RefundSettled { .. }
        | EventKind::RefundReported { .. }
        | EventKind::ChargebackCreated { .. }
        | EventKind::ProviderEventRecorded { .. }
        | EventKind::SessionRecorded { .. }
        | EventKind::ContactRead { .. }
        | EventKind::ContactErased { .. }
        | EventKind::ContactsExported { .. }
        | EventKind::Endpoint(_)
        | EventKind::EventsLost { .. } => {}
    }
}

impl DropEntry {
    fn count_revision(&mut self) {
        self.revision = self.revision.checked_add(1).unwrap_or_else(|| panic!("drop {}: revisions used up", self.id));
    }
}

impl State {
    /// Puts a drop's start and end on the list of what is due, as far as they lie ahead.
    pub(crate) fn schedule_window(&mut self, drop_id: DropId) {
        let Some(entry) = self.drops.get(index(drop_id)) else { return };
        if entry.ended {
            return;
        }
        if !entry.started {
            self.due.insert((entry.spec.starts_at, Due::DropStart(drop_id)));
        }
        if let Some(ends_at) = entry.spec.ends_at {
            self.due.insert((ends_at, Due::DropEnd(drop_id)));
        }
    }

    fn unschedule_window(&mut self, drop_id: DropId, starts_at: UnixMillis, ends_at: Option<UnixMillis>) {
        self.due.remove(&(starts_at, Due::DropStart(drop_id)));
        if let Some(ends_at) = ends_at {
            self.due.remove(&(ends_at, Due::DropEnd(drop_id)));
        }
    }
}
