//! Blind windows once more: a list of who wrote when, and the draw's order over it.

use std::cell::Cell;
use std::collections::BTreeMap;

use firstcome::engine::draw::TreeBuilder;
use firstcome::engine::{DropSpec, Effect, Outcome, RecordedReceipt, State};
use firstcome::types::{Digest, DropId, MerkleRoot, Quantity, RoomDraw, TicketDigest, TicketNumber};

use super::naive::{Naive, instant, seq};
use super::naive_draws::NaiveDraw;

/// The number of orders that are decided at one instant.
const STEP: usize = 200;

pub struct NaiveWindow {
    pub(super) drop: usize,
    pub(super) draw: NaiveDraw,
    /// The number of recorded orders.
    recorded: usize,
    over: bool,
    /// The position that is decided next, and the instant since which it is.
    since: Cell<Option<(usize, i64)>>,
}

/// The buyers whose orders were recorded, as an observer of the answers knows them.
#[derive(Default)]
pub struct Recorded(BTreeMap<DropId, Vec<Digest>>);

impl Recorded {
    pub(super) fn note(&mut self, buyer: Option<Digest>, outcome: &Outcome) {
        if let (Some(buyer), Outcome::Accepted(Effect::Recorded(receipt))) = (buyer, outcome)
            && !receipt.repeated
        {
            self.0.entry(receipt.drop_id).or_default().push(buyer);
        }
    }

    /// The root over the orders of a window that are drawn.
    pub(super) fn root(&self, state: &State, drop_id: DropId) -> Option<MerkleRoot> {
        let draw = state.drop_entry(drop_id).filter(|entry| entry.spec.blind_ms > 0)?.draw()?;
        let mut tree = TreeBuilder::default();
        let buyers = self.0.get(&drop_id).map_or(&[][..], Vec::as_slice);
        for buyer in buyers.iter().take(usize::try_from(draw.tickets()?).expect("few")) {
            tree.push(&TicketDigest::of(&draw.commitment, buyer));
        }
        Some(tree.finish().tickets().root())
    }
}

impl Naive {
    /// Notes the window of the drop that is created next.
    pub(super) fn open_window(&mut self, spec: &DropSpec) {
        if spec.blind_ms > 0 {
            let draw = NaiveDraw::of(RoomDraw::Random { beacon: None }, spec.commitment).expect("it is drawn");
            self.windows.push(NaiveWindow {
                drop: self.drops.len(),
                draw,
                recorded: 0,
                over: false,
                since: Cell::new(None),
            });
        }
    }

    /// The window of a drop, as long as not all of it is decided.
    pub(super) fn window_of(&self, drop: usize) -> Option<usize> {
        self.windows.iter().position(|window| window.drop == drop && !window.over && !self.drops[drop].ended)
    }

    pub(super) fn window_end(&self, drop: usize) -> i64 {
        let spec = &self.drops[drop].spec;
        spec.starts_at.get() + i64::from(spec.blind_ms)
    }

    pub(super) fn windows_due(&self) -> Vec<(i64, u8, usize, u64)> {
        let open = self.windows.iter().filter(|window| {
            let drop = &self.drops[window.drop];
            drop.started && !drop.ended && !window.over && window.draw.tickets.is_none()
        });
        open.map(|window| (self.window_end(window.drop), 4, window.drop, 0)).collect()
    }

    pub(super) fn end_window(&mut self, drop: usize) {
        let window = self.window_of(drop).expect("it is due");
        let recorded = self.windows[window].recorded;
        self.windows[window].draw.tickets = Some(recorded);
    }

    /// The number, from 0, of an order that is recorded now, if the drop has a window.
    pub(super) fn record(&mut self, drop: usize) -> Option<usize> {
        let window = self.window_of(drop)?;
        let number = self.windows[window].recorded;
        self.windows[window].recorded += 1;
        Some(number)
    }

    pub(super) fn recorded(&self, drop: usize, number: usize, quantity: u16, repeated: bool) -> Outcome {
        Outcome::Accepted(Effect::Recorded(RecordedReceipt {
            drop_id: DropId::new(self.id_at(drop)).expect("not 0"),
            seq: seq(self.events),
            quantity: Quantity::new(quantity).expect("not 0"),
            ticket: TicketNumber::new(u32::try_from(number + 1).expect("few")).expect("not 0"),
            decided_at: instant(self.window_end(drop)),
            repeated,
        }))
    }

    /// The place in the line of the order of a window that is decided next, and its position.
    fn next_recorded(&self, window: usize) -> Option<(usize, usize)> {
        let window = &self.windows[window];
        window.draw.order.as_ref()?;
        let waiting = self.line.iter().enumerate().filter(|(_, waiting)| waiting.drop == window.drop);
        let placed = waiting.map(|(place, waiting)| {
            let number = waiting.number.expect("it was recorded");
            (window.draw.position_of(number).expect("drawn"), place)
        });
        placed.min().map(|(position, place)| (place, position))
    }

    /// The same while the drop runs, with the instant of the decision: every so often a millisecond later.
    pub(super) fn next_decision(&self, window: usize, runs: bool) -> Option<(usize, i64)> {
        let next = self.next_recorded(window).filter(|_| runs);
        let since = &self.windows[window].since;
        let Some((place, position)) = next else {
            since.set(None);
            return None;
        };
        let from = since.get().filter(|(known, _)| *known == position).map_or(self.at, |(_, from)| from);
        since.set(Some((position, from)));
        Some((place, from + i64::from(position.is_multiple_of(STEP))))
    }

    /// Notes that a window is over.
    pub(super) fn settle_window(&mut self, drop: usize) {
        if let Some(window) = self.window_of(drop)
            && self.windows[window].draw.order.is_some()
            && self.next_recorded(window).is_none()
        {
            self.windows[window].over = true;
        }
    }
}
