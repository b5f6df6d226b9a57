//! The rules once more, as slow and as plain as can be: flat lists, and every question answered by counting. It shares no
//! code with the engine but the words (commands, outcomes, ids).

use std::collections::BTreeSet;

use firstcome::engine::{
    AdjustStock, Command, CommandKey, CreateDrop, DropCommand, DropSpec, Effect, FileCommand, Invalid, OrderCommand,
    Outcome, PatchDrop, PaymentCommand, RecordProviderEvent, Refusal, Subject,
};
use firstcome::types::{Currency, Digest, DropId, DropState, IdentityDigests, OrderState, Provider, Seq, UnixMillis};

use super::naive_auctions::NaiveAuction;

use super::naive_blind::NaiveWindow;
use super::naive_endpoints::{NaiveEndpoint, NaiveEndpointKey};
use super::naive_rooms::{self, NaiveRoom};
use super::naive_standby::{NaiveEnding, NaiveWaiting};

pub(super) const DAY_MS: i64 = 24 * 3_600_000;

pub struct NaiveDrop {
    pub spec: DropSpec,
    pub(super) started: bool,
    pub(super) ended: bool,
    pub(super) paused: bool,
    pub(super) mismatch: bool,
    /// An auction's: clients do not see it.
    pub(super) hidden: bool,
    pub(super) revision: u32,
}

pub struct NaiveOrder {
    pub seq: u64,
    pub(super) drop: usize,
    pub(super) buyer: Digest,
    pub(super) key: Digest,
    pub(super) identities: IdentityDigests,
    pub(super) quantity: u16,
    pub(super) returned: u16,
    pub(super) unit_price: u64,
    pub(super) state: OrderState,
    pub(super) expires_at: i64,
    /// When it stopped being live.
    pub(super) left_at: Option<i64>,
    pub(super) payments: Vec<NaivePayment>,
    /// Settlements by operators: reference, payment, amount.
    pub(super) settled: Vec<(Box<str>, Box<str>, u64)>,
}

/// Money that came in, and what of it went back or must.
pub struct NaivePayment {
    pub(super) provider: Provider,
    pub(super) reference: String,
    pub currency: Currency,
    pub received: u64,
    pub refunded: u64,
    pub due: u64,
    /// It paid for the order.
    pub(super) pays: bool,
    /// Of refunds, by the names of their failures, what is over the amount received.
    pub(super) waits: Vec<(Digest, u64)>,
}

impl NaivePayment {
    /// The payment of a free order, which its checkout makes.
    pub(super) fn of_nothing(currency: Currency) -> NaivePayment {
        let (provider, reference) = (Provider::Manual, "free".to_string());
        NaivePayment { provider, reference, currency, received: 0, refunded: 0, due: 0, pays: true, waits: Vec::new() }
    }
}

pub struct NaiveKey {
    pub(super) key: CommandKey,
    at: i64,
    pub(super) subject: u64,
    /// The event of its command.
    pub(super) seq: u64,
}

#[derive(Default)]
pub struct Naive {
    pub at: i64,
    /// What the shard adds to the number of a drop or an auction.
    pub above: u32,
    /// How many events there were.
    pub events: u64,
    pub drops: Vec<NaiveDrop>,
    pub orders: Vec<NaiveOrder>,
    keys: Vec<NaiveKey>,
    pub(super) auctions: Vec<NaiveAuction>,
    pub(super) endpoints: Vec<NaiveEndpoint>,
    pub(super) endpoint_keys: Vec<NaiveEndpointKey>,
    /// The events of providers that have been heard.
    pub(super) told: Vec<Digest>,
    /// Refunds and chargebacks that were told before their payment.
    pub(super) early: Vec<RecordProviderEvent>,
    /// Who stands by, in the order in which they joined.
    pub(super) line: Vec<NaiveWaiting>,
    /// The endings of places in lines, but for those that their buyers ended.
    pub(super) endings: Vec<NaiveEnding>,
    /// The buyers for whom an operator has set a tier.
    pub(super) tiers: BTreeSet<Digest>,
    pub(super) rooms: Vec<NaiveRoom>,
    pub(super) windows: Vec<NaiveWindow>,
}

impl NaiveOrder {
    pub(super) fn live(&self) -> bool {
        matches!(self.state, OrderState::Reserved | OrderState::AwaitingPayment)
    }
    pub(super) fn amount(&self) -> u64 {
        self.unit_price * u64::from(self.quantity)
    }
    pub(super) fn owes(&self) -> bool {
        self.payments.iter().any(|p| p.due > 0)
    }
    /// What of the money that paid for it stays.
    pub fn kept(&self) -> u64 {
        self.payments.iter().filter(|p| p.pays).map(|p| p.received - p.refunded - p.due).sum()
    }
    pub(super) fn units(&self) -> u64 {
        u64::from(self.quantity - self.returned)
    }
}

pub(super) fn seq(n: u64) -> Seq {
    Seq::new(n).expect("in range")
}
pub(super) fn instant(ms: i64) -> UnixMillis {
    UnixMillis::new(ms).expect("in range")
}

impl Naive {
    pub fn held(&self, drop: usize) -> u64 {
        self.orders.iter().filter(|o| o.drop == drop && o.live()).map(NaiveOrder::units).sum()
    }
    pub fn sold(&self, drop: usize) -> u64 {
        self.orders.iter().filter(|o| o.drop == drop && !o.live()).map(NaiveOrder::units).sum()
    }
    pub(super) fn free(&self, drop: usize) -> u64 {
        u64::from(self.drops[drop].spec.total) - self.held(drop) - self.sold(drop)
    }
    fn state(&self, drop: usize) -> DropState {
        let d = &self.drops[drop];
        match () {
            () if d.ended => DropState::Ended,
            () if d.paused => DropState::Paused,
            () if !d.started => DropState::Scheduled,
            () if self.free(drop) == 0 => DropState::SoldOut,
            () => DropState::Live,
        }
    }

    /// Does what is due, the earliest first; at one instant rooms open, then starts before offers before expiries before
    /// admissions before ends.
    pub fn advance(&mut self, at: i64) {
        loop {
            let mut due: Vec<(i64, u8, usize, u64)> = Vec::new();
            for (index, drop) in self.drops.iter().enumerate().filter(|(_, drop)| !drop.ended) {
                if !drop.started {
                    due.push((drop.spec.starts_at.get(), 1, index, 0));
                }
                if let Some(end) = drop.spec.ends_at {
                    due.push((end.get(), 9, index, 0));
                }
                if let Some((_, when)) = self.next_offer(index) {
                    // Whatever made it due has just happened. A decision of a blind window that is late comes at the end.
                    let late = self.window_of(index).is_some() && when < at;
                    due.push((if late { at } else { when }, 5, index, 0));
                }
            }
            due.extend(self.orders.iter().filter(|o| o.live()).map(|o| (o.expires_at, 6, o.drop, o.seq)));
            due.extend(self.auctions_due());
            due.extend(self.rooms_due());
            due.extend(self.windows_due());
            let Some((when, kind, drop, order)) = due.into_iter().min().filter(|(when, ..)| *when <= at) else { break };
            self.events += 1;
            // An admission may have been possible since an instant that has passed.
            self.at = self.at.max(when);
            match kind {
                0 | 3 | 8 => self.do_rooms_due(kind, drop),
                1 => self.start(drop),
                4 => self.end_window(drop),
                5 => self.offer(drop),
                9 => self.end(drop),
                2 | 7 | 10 => self.do_due(kind, drop, when),
                _ => {
                    let order = self.orders.iter_mut().find(|o| o.seq == order).expect("there");
                    order.state = OrderState::Expired;
                    order.returned = order.quantity;
                    order.left_at = Some(when);
                    self.left(drop, when);
                }
            }
        }
        self.at = at;
    }

    fn end(&mut self, drop: usize) {
        self.drops[drop].ended = true;
        self.line.retain(|waiting| waiting.drop != drop);
        self.endings.retain(|ending| ending.drop != drop);
    }

    pub(super) fn refuse(&self, refusal: Refusal) -> Outcome {
        Outcome::Refused { as_of_seq: seq(self.events), refusal }
    }
    pub(super) fn repeat(&self, subject: Subject) -> Outcome {
        Outcome::Repeated { as_of_seq: seq(self.events), subject }
    }
    pub(super) fn accept(&mut self, subject: Subject) -> Outcome {
        self.events += 1;
        Outcome::Accepted(Effect::Changed { seq: seq(self.events), subject })
    }

    pub fn decide(&mut self, command: &Command) -> Outcome {
        match command {
            Command::Advance => Outcome::Advanced,
            Command::Drop(DropCommand::Create(CreateDrop { key, spec })) => self.create(key, spec),
            Command::Drop(command) => self.on_drop(command),
            Command::Order(OrderCommand::Place(order)) => self.place(order),
            Command::Order(
                command @ (OrderCommand::PlaceOrStandBy(_)
                | OrderCommand::JoinStandby(_)
                | OrderCommand::LeaveStandby { .. }
                | OrderCommand::FindStandby { .. }),
            ) => self.on_line(command),
            Command::Payment(PaymentCommand::RecordProviderEvent(event)) => self.hear(event),
            Command::Order(_) | Command::Payment(_) => {
                let named = command.named_order().expect("all others name one");
                match self.orders.iter().position(|o| o.seq == named.get()) {
                    None => self.refuse(Refusal::NotFound),
                    Some(index) => self.on_order(command, index),
                }
            }
            Command::Auction(command) => self.on_auctions(command),
            Command::Room(command) => self.on_room(command),
            Command::Endpoint(command) => self.endpoint(command),
            Command::File(FileCommand::ExportContacts { drop_id: Some(id) }) if self.index(*id).is_none() => {
                self.refuse(Refusal::NotFound)
            }
            Command::File(_) => self.accept(Subject::File),
            Command::Buyer(command) => self.on_buyer(command),
        }
    }

    fn on_drop(&mut self, command: &DropCommand) -> Outcome {
        let id = match command {
            DropCommand::Patch(PatchDrop { drop_id, .. }) | DropCommand::AdjustStock(AdjustStock { drop_id, .. }) => {
                *drop_id
            }
            DropCommand::Pause(change) | DropCommand::Resume(change) | DropCommand::Close(change) => change.drop_id,
            // The auditor counts hidden drops too.
            DropCommand::ReportMismatch { drop_id, .. } => match self.index(*drop_id).or(self.hidden(*drop_id)) {
                None => return self.refuse(Refusal::NotFound),
                Some(index) => return self.operate(command, *drop_id, index),
            },
            other => panic!("no operator's command: {other:?}"),
        };
        match self.index(id) {
            None => self.refuse(Refusal::NotFound),
            Some(index) => self.operate(command, id, index),
        }
    }

    /// The id of what stands at a place.
    pub(super) fn id_at(&self, index: usize) -> u32 {
        self.above + u32::try_from(index + 1).expect("few")
    }

    pub(super) fn index_of(&self, id: u32) -> Option<usize> {
        Some(usize::try_from(id.checked_sub(self.above + 1)?).expect("small"))
    }

    pub(super) fn index(&self, id: DropId) -> Option<usize> {
        let index = self.index_of(id.get())?;
        self.drops.get(index).filter(|drop| !drop.hidden).map(|_| index)
    }

    fn hidden(&self, id: DropId) -> Option<usize> {
        let index = self.index_of(id.get())?;
        self.drops.get(index).filter(|drop| drop.hidden).map(|_| index)
    }

    /// Remembers the key of the command that is being decided; its event comes next.
    pub(super) fn remember(&mut self, key: &CommandKey, subject: u64) {
        self.remember_as(key, subject, self.events + 1);
    }

    pub(super) fn remember_as(&mut self, key: &CommandKey, subject: u64, seq: u64) {
        self.keys.push(NaiveKey { key: *key, at: self.at, subject, seq });
    }

    /// The order of a key that is remembered.
    pub(super) fn by_key(&self, key: Digest) -> Option<u64> {
        let known = |o: &&NaiveOrder| o.key == key && o.left_at.is_none_or(|left| self.at < left + DAY_MS);
        self.orders.iter().rev().find(known).map(|o| o.seq)
    }

    fn window(&self, spec: &DropSpec) -> Option<Invalid> {
        if spec.room.as_ref().is_some_and(|room| room.opens_at >= spec.starts_at) {
            return Some(Invalid::RoomOpensLate);
        }
        let end = spec.ends_at?.get();
        if end <= spec.starts_at.get() {
            Some(Invalid::EndBeforeStart)
        } else if end <= self.at {
            Some(Invalid::EndInThePast)
        } else {
            None
        }
    }

    pub(super) fn remembered(&self, key: &CommandKey) -> Option<&NaiveKey> {
        self.keys.iter().rev().find(|k| k.key.digest == key.digest && self.at < k.at + DAY_MS)
    }

    fn create(&mut self, key: &CommandKey, spec: &DropSpec) -> Outcome {
        if let Some(known) = self.remembered(key) {
            // A key of a refund names an order; a drop of that number may not exist.
            let id = u32::try_from(known.subject).ok().and_then(DropId::new);
            return match id {
                Some(id) if known.key.params == key.params => self.repeat(Subject::Drop(id)),
                _ => self.refuse(Refusal::KeyReused),
            };
        }
        if let Some(invalid) = self.window(spec) {
            return self.refuse(Refusal::Invalid(invalid));
        }
        let started = spec.starts_at.get() <= self.at;
        self.open_room(spec, started);
        self.open_window(spec);
        self.drops.push(NaiveDrop {
            spec: spec.clone(),
            started,
            ended: false,
            paused: false,
            mismatch: false,
            hidden: false,
            revision: 1,
        });
        let number = self.id_at(self.drops.len() - 1);
        self.remember(key, u64::from(number));
        self.accept(Subject::Drop(DropId::new(number).expect("not 0")))
    }

    fn operate(&mut self, command: &DropCommand, id: DropId, index: usize) -> Outcome {
        let (held, sold, state) = (self.held(index), self.sold(index), self.state(index));
        let taken = held + sold;
        let at = self.at;
        let drop = &self.drops[index];
        let subject = Subject::Drop(id);
        let end = drop.spec.ends_at.unwrap_or_default();
        let always = matches!(command, DropCommand::Close(_) | DropCommand::ReportMismatch { .. });
        if drop.ended && !always {
            return self.refuse(Refusal::Ended { ends_at: end });
        }
        match command {
            DropCommand::Patch(PatchDrop { expected_revision, patch, .. }) => {
                if drop.revision != *expected_revision {
                    return self.refuse(Refusal::PreconditionFailed { revision: drop.revision });
                }
                let spec = naive_rooms::patched(&drop.spec, patch);
                if let Some(invalid) = self.window(&spec) {
                    return self.refuse(Refusal::Invalid(invalid));
                }
                if self.may_not_move(index, spec.starts_at.get()) {
                    return self.refuse(Refusal::Invalid(Invalid::RoomIsOpen));
                }
                if let Some(invalid) = self.room_refuses(index, patch) {
                    return self.refuse(Refusal::Invalid(invalid));
                }
                let drop = &mut self.drops[index];
                drop.started = spec.starts_at.get() <= at;
                drop.spec = spec;
                drop.revision += 1;
                self.change_room(index);
                self.accept(subject)
            }
            DropCommand::Pause(_) if drop.paused => self.repeat(subject),
            DropCommand::Pause(_) => {
                self.pause_room(index, true);
                self.drops[index].paused = true;
                self.drops[index].revision += 1;
                self.accept(subject)
            }
            DropCommand::Resume(_) if drop.mismatch => self.refuse(Refusal::MismatchStands { from: state }),
            DropCommand::Resume(_) if !drop.paused => self.repeat(subject),
            DropCommand::Resume(_) => {
                self.pause_room(index, false);
                self.drops[index].paused = false;
                self.drops[index].revision += 1;
                self.accept(subject)
            }
            DropCommand::Close(_) if drop.ended => self.repeat(subject),
            DropCommand::Close(_) => {
                self.end(index);
                let drop = &mut self.drops[index];
                drop.spec.ends_at = Some(instant(at));
                drop.revision += 1;
                self.accept(subject)
            }
            DropCommand::AdjustStock(AdjustStock { delta, expected_total, .. }) => {
                if drop.spec.total != *expected_total {
                    return self.refuse(Refusal::PreconditionFailed { revision: drop.revision });
                }
                let total = i64::from(drop.spec.total) + delta;
                if total > i64::from(u32::MAX) {
                    return self.refuse(Refusal::Invalid(Invalid::TotalTooLarge));
                }
                let taken = u32::try_from(taken).expect("in range");
                if total < i64::from(taken) {
                    return self.refuse(Refusal::Invalid(Invalid::TotalBelowTaken { taken }));
                }
                self.drops[index].spec.total = u32::try_from(total).expect("in range");
                self.drops[index].revision += 1;
                self.accept(subject)
            }
            DropCommand::ReportMismatch { stands, .. } if drop.mismatch == *stands => self.repeat(subject),
            DropCommand::ReportMismatch { stands, .. } => {
                self.drops[index].mismatch = *stands;
                if *stands {
                    self.pause_room(index, true);
                    self.drops[index].paused = true;
                }
                self.accept(subject)
            }
            other => panic!("no operator's command: {other:?}"),
        }
    }
}
