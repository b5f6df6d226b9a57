//! The line behind a drop: the buyers who stand by, by quantity, by buyer and by place.

use std::collections::BTreeMap;

use super::digest_map::DigestMap;
use super::ranks::Ranks;
use crate::failpoints::{self, Bug};
use crate::types::{Digest, OrderFacts, OrderState, Quantity, Seq, UnitPrice, UnixMillis};

/// Entries of an ended line that are freed in one step, which takes about 0.2 ms.
const FREED_AT_ONCE: usize = 2000;

/// A buyer in the line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    pub buyer: Digest,
    /// The digest of (drop, buyer, idempotency key); the order that it becomes has it, too.
    pub key: Digest,
    /// Units, all or none.
    pub quantity: Quantity,
    /// True if a contact came along: the order that it becomes awaits its payment.
    pub contact_given: bool,
    /// Notes of the front end, as those of an order.
    pub facts: Option<Box<OrderFacts>>,
}

// There may be a million of them.
const _: () = assert!(size_of::<Waiting>() <= 48);

impl Waiting {
    /// The state in which its order begins. An order that costs nothing is paid by a checkout of its own.
    #[must_use]
    pub fn state_of_order(&self, unit_price: UnitPrice) -> OrderState {
        if self.contact_given && unit_price != UnitPrice::default() {
            OrderState::AwaitingPayment
        } else {
            OrderState::Reserved
        }
    }
}

/// The end of a place in the line, but for one that its buyer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlaceEnding {
    /// The order that the buyer got.
    Ordered(Seq),
    /// A limit left no room, or a blind window too few units: the event by which the buyer had joined.
    Left(Seq),
}

/// The line of a drop.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct StandbyLine {
    /// Those who wait, by their quantity and the seq of the event by which they joined: so the first that fits is found
    /// without a walk over those that do not.
    by_quantity: BTreeMap<Quantity, BTreeMap<Seq, Waiting>>,
    by_buyer: DigestMap<(Quantity, Seq)>,
    /// The last ending of each buyer's place that was not the buyer's own doing, at about 50 bytes each: less than the place took.
    endings: BTreeMap<Digest, PlaceEnding>,
    pub(super) ranks: Ranks,
    /// The instant of the offer on the list of what is due.
    pub(super) offer_at: Option<UnixMillis>,
}

impl StandbyLine {
    /// The number of buyers in the line.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.by_buyer.len()).unwrap_or(u32::MAX)
    }

    /// Returns whether no buyer stands by.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_buyer.is_empty()
    }

    /// A buyer's entry, and the seq of the event by which they joined.
    #[must_use]
    pub fn of_buyer(&self, buyer: &Digest) -> Option<(Seq, &Waiting)> {
        let (quantity, seq) = self.by_buyer.get(buyer)?;
        Some((*seq, self.by_quantity.get(quantity)?.get(seq)?))
    }

    /// The place of an entry in the line, from 1.
    #[must_use]
    pub fn position_of(&self, joined: Seq) -> u32 {
        self.ranks.up_to(joined)
    }

    /// The last ending of a buyer's place in the line.
    #[must_use]
    pub fn ending_of(&self, buyer: &Digest) -> Option<PlaceEnding> {
        self.endings.get(buyer).copied()
    }

    /// The last ending of each buyer's place.
    #[must_use]
    pub fn endings(&self) -> &BTreeMap<Digest, PlaceEnding> {
        &self.endings
    }

    /// Returns whether the line has neither buyers nor endings to tell of.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_empty() && self.endings.is_empty()
    }

    /// The first whose quantity is at most `available`.
    #[must_use]
    pub fn next(&self, available: u32) -> Option<(Seq, &Waiting)> {
        let fitting = self.by_quantity.iter().take_while(|(quantity, _)| quantity.units() <= available);
        let heads = fitting.filter_map(|(_, waiting)| {
            if failpoints::enabled(Bug::StandbyPassedOver) {
                waiting.last_key_value()
            } else {
                waiting.first_key_value()
            }
        });
        heads.min_by_key(|(seq, _)| **seq).map(|(seq, waiting)| (*seq, waiting))
    }

    /// An entry, by the event by which its buyer joined and its quantity.
    #[must_use]
    pub fn entry(&self, joined: Seq, quantity: Quantity) -> Option<&Waiting> {
        self.by_quantity.get(&quantity)?.get(&joined)
    }

    /// Everyone in the line, in the order in which they joined.
    pub fn entries(&self) -> impl Iterator<Item = (Seq, &Waiting)> {
        let mut entries: Vec<_> = self.by_quantity.values().flatten().map(|(seq, waiting)| (*seq, waiting)).collect();
        entries.sort_unstable_by_key(|(seq, _)| *seq);
        entries.into_iter()
    }

    /// Notes the ending of a buyer's place.
    pub(super) fn end(&mut self, buyer: Digest, ending: PlaceEnding) {
        self.endings.insert(buyer, ending);
    }

    /// Forgets that a buyer left without an order: they have joined again.
    pub(super) fn forget_left(&mut self, buyer: &Digest) {
        if let Some(PlaceEnding::Left(_)) = self.endings.get(buyer) {
            self.endings.remove(buyer);
        }
    }

    pub(super) fn join(&mut self, seq: Seq, waiting: Waiting) {
        self.forget_left(&waiting.buyer);
        let before = self.by_buyer.insert(waiting.buyer, (waiting.quantity, seq));
        assert!(before.is_none(), "a buyer joins a line once");
        self.by_quantity.entry(waiting.quantity).or_default().insert(seq, waiting);
        self.ranks.push(seq);
    }

    pub(super) fn leave(&mut self, seq: Seq, buyer: &Digest) {
        let known = self.by_buyer.remove(buyer).filter(|(_, joined)| *joined == seq);
        let (quantity, _) = known.unwrap_or_else(|| panic!("entry {seq} leaves a line that it is not in"));
        if let Some(waiting) = self.by_quantity.get_mut(&quantity) {
            waiting.remove(&seq);
            if waiting.is_empty() {
                self.by_quantity.remove(&quantity);
            }
        }
        self.ranks.remove(seq);
    }

    /// Frees a part of the memory of a line that has ended. Returns whether all of it is free.
    pub(super) fn free_some(&mut self) -> bool {
        for _ in 0..FREED_AT_ONCE {
            if let Some(mut first) = self.by_quantity.first_entry() {
                if first.get_mut().pop_first().is_none() {
                    first.remove();
                }
            } else if self.endings.pop_first().is_none() {
                return self.by_buyer.free_some();
            }
        }
        false
    }

    /// Returns the first sentence about the line that does not hold.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        let entries = || self.by_quantity.iter().flat_map(|(quantity, of)| of.iter().map(move |one| (quantity, one)));
        let known = |(quantity, (seq, waiting)): (&Quantity, (&Seq, &Waiting))| {
            waiting.quantity == *quantity && self.by_buyer.get(&waiting.buyer) == Some(&(*quantity, *seq))
        };
        let ranked = self.entries().zip(1..).all(|((seq, _), position)| self.position_of(seq) == position);
        [
            (entries().all(known), "an entry is not that of its buyer"),
            (entries().count() == self.by_buyer.len(), "its buyers are not those of its entries"),
            (ranked, "a position is counted wrongly"),
        ]
        .into_iter()
        .find(|(holds, _)| !holds)
        .map(|(_, what)| what)
    }
}
