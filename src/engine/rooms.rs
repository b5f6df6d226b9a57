//! Waiting rooms: tickets in front of a drop, and the admission of orders by rate and by stock.
//!
//! A room lives as long as its drop has not ended. Positions are numbers from 0 in the order in which buyers are served:
//! those below [`Room::serving`] have been admitted. An admission is a batch of positions, in which each buyer has
//! [`RoomSpec::order_seconds`] for an order, by a [clock](RoomClock) that stands still while the drop is paused. Buyers of a
//! batch whose time has passed make room for the next ones.

mod admissions;
mod changes;
mod clock;
mod places;

use self::admissions::{Admissions, AdmittedBatch};
pub use self::clock::{RoomClock, RoomInstant};
use self::places::{Places, RoomStock};
use super::digest_map::DigestMap;
use super::draws::Draw;
use super::event::metadata::EventHeader;
use super::{DropEntry, Due, Refusal, State, StockDelta};
use crate::types::{
    Commitment, Digest, DropId, Quantity, RoomSpec, RoomState, TicketNumber, TicketPosition, UnixMillis,
};

/// The shortest time between two admissions, in milliseconds: ten events a second cost a sale nothing.
const TICK_MS: i64 = 100;
/// The most buyers of one admission. The writer looks at the ticket of each, which takes about 1 ms for so many; the next ones are
/// admitted a millisecond later.
pub const ADMITTED_MAX: u32 = 5000;

impl RoomSpec {
    /// The time in which the rate admits one buyer, in milliseconds, rounded up.
    fn one_admission_ms(&self) -> i64 {
        self.time_of(1)
    }

    /// The time in which the rate admits so many buyers, in milliseconds, rounded up.
    fn time_of(&self, buyers: u32) -> i64 {
        let ms = u64::from(buyers).saturating_mul(1000).div_ceil(u64::from(self.admit_per_second.max(1)));
        i64::try_from(ms).unwrap_or(i64::MAX)
    }

    /// The number of buyers whom the rate admits in a time.
    fn admitted_in(&self, ms: u64) -> u64 {
        ms.saturating_mul(u64::from(self.admit_per_second)) / 1000
    }
}

/// A ticket in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct HeldTicket {
    pub(crate) buyer: Digest,
    /// True once the buyer has placed an order of the drop since.
    pub(crate) ordered: bool,
}

/// A room in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Room {
    pub spec: RoomSpec,
    /// True once its opening has come.
    pub opened: bool,
    /// The draw of its tickets; `None` where their positions are by arrival.
    pub draw: Option<Draw>,
    /// The tickets, in the order of their numbers.
    pub(crate) tickets: Vec<HeldTicket>,
    by_buyer: DigestMap<TicketNumber>,
    /// The first position that has not been admitted.
    pub serving: u32,
    /// The instant of the last admission.
    pub served_at: UnixMillis,
    /// The instant up to which the rate has been used.
    pub rate_from: UnixMillis,
    /// Measures the time to order.
    pub(crate) clock: RoomClock,
    /// The instant of the version of its drop.
    pub(crate) version_at: UnixMillis,
    /// Units of the drop's orders that came back, and that no late payment took again.
    pub(crate) returned: u64,
    /// Admissions in which an order could be placed at the last admission.
    pub(crate) admissions: Admissions,
    /// The instant of the next admission on the list of what is due.
    due_at: Option<UnixMillis>,
}

/// An admission that was decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoomServed {
    /// The first position that is not admitted after it.
    pub serving: u32,
    /// The first position whose time to order has not passed at its instant.
    pub window_from: u32,
    /// The instant up to which the rate is used after it.
    pub rate_from: UnixMillis,
}

impl Room {
    /// A room without tickets. The commitment is that of its draw, if there is one.
    #[must_use]
    pub fn new(spec: RoomSpec, commitment: Option<Commitment>, at: UnixMillis) -> Room {
        Room {
            spec,
            opened: spec.opens_at <= at,
            draw: Draw::of(spec.draw, commitment),
            tickets: Vec::new(),
            by_buyer: DigestMap::default(),
            serving: 0,
            served_at: UnixMillis::ZERO,
            rate_from: UnixMillis::ZERO,
            clock: RoomClock::default(),
            version_at: at,
            returned: 0,
            admissions: Admissions::default(),
            due_at: None,
        }
    }

    /// The number of tickets.
    #[must_use]
    pub fn ticket_count(&self) -> u32 {
        u32::try_from(self.tickets.len()).unwrap_or(u32::MAX)
    }

    /// The ticket of a buyer.
    #[must_use]
    pub fn ticket_of(&self, buyer: &Digest) -> Option<TicketNumber> {
        self.by_buyer.get(buyer).copied()
    }

    /// The buyers of the tickets, in the order of their numbers.
    pub fn buyers(&self) -> impl Iterator<Item = &Digest> {
        self.tickets.iter().map(|ticket| &ticket.buyer)
    }

    /// The position of a ticket, once it is known.
    #[must_use]
    pub fn position_of(&self, number: TicketNumber) -> Option<TicketPosition> {
        match &self.draw {
            None => Some(number.position_by_arrival()),
            Some(draw) => draw.position_of(number),
        }
    }

    /// The index of the ticket at a position.
    fn index_at(&self, position: u32) -> usize {
        self.draw.as_ref().map_or(position as usize, |draw| draw.index_at(position))
    }

    /// The exclusive end of the time to order of an admission, on the room's clock.
    fn end_of(&self, admission: &AdmittedBatch) -> RoomInstant {
        admission.at.plus_seconds(self.spec.order_seconds)
    }

    /// The exclusive end of the time to order of an admission to a room that is not paused.
    fn lapses_at(&self, admission: &AdmittedBatch) -> UnixMillis {
        self.clock.instant_of(self.end_of(admission))
    }

    /// Returns the exclusive end of the time to order at an admitted position. It may have passed; later it is forgotten. Of a time
    /// that stands still it is not known.
    pub(super) fn order_until(&self, position: TicketPosition) -> Option<UnixMillis> {
        let admission = self.admissions.of(position)?;
        let stands_still = self.clock.stopped().is_some_and(|stopped| stopped < self.end_of(admission));
        (!stands_still).then(|| self.lapses_at(admission))
    }

    /// Returns whether its clock stands still.
    pub(super) fn is_stopped(&self) -> bool {
        self.clock.stopped().is_some()
    }

    /// Returns whether the time to order of a position has begun and not passed.
    fn has_turn(&self, position: TicketPosition, at: UnixMillis) -> bool {
        self.admissions.of(position).is_some_and(|admission| self.clock.reading(at) < self.end_of(admission))
    }

    /// Refuses the order of a buyer who is not admitted. Once every ticket has been admitted, buyers whose time has passed may
    /// have what those in their time leave over of the `available` units: a unit for each of them that has no order.
    pub(super) fn check_admission(
        &self,
        buyer: &Digest,
        quantity: Quantity,
        available: u32,
        at: UnixMillis,
    ) -> Result<(), Refusal> {
        let position = self.ticket_of(buyer).and_then(|number| self.position_of(number));
        if position.is_some_and(|position| self.has_turn(position, at)) {
            return Ok(());
        }
        let has_passed = position.is_some_and(|position| position.0 < self.serving);
        if has_passed && self.serving == self.ticket_count() {
            let idle = self.admitted_idle(at);
            if idle == 0 || idle.saturating_add(u64::from(quantity.get())) <= u64::from(available) {
                return Ok(());
            }
        }
        Err(Refusal::NotAdmitted { position, serving: self.serving })
    }

    /// The instant from which on the next buyer can be admitted; it may have passed.
    fn next_admission(&self, places: &Places) -> Option<UnixMillis> {
        if self.serving >= self.ticket_count() {
            return None;
        }
        let by_rate = self.rate_from.plus_millis(self.spec.one_admission_ms());
        let by_tick = self.served_at.plus_millis(self.pause_ms());
        Some(self.has_place_from(places)?.max(by_rate).max(by_tick))
    }

    /// The shortest time from the last admission to the next one, in milliseconds. One that was cut short goes on at once.
    fn pause_ms(&self) -> i64 {
        let was_cut = self.admissions.last().is_some_and(|last| last.until - last.from >= ADMITTED_MAX);
        if was_cut { 1 } else { TICK_MS }
    }

    /// The instant from which on fewer admitted buyers are without an order than there are places.
    fn has_place_from(&self, places: &Places) -> Option<UnixMillis> {
        let by_stock = self.has_fewer_idle_from(places.by_stock);
        let by_releases = places
            .by_releases
            .and_then(|(units, from)| Some(self.has_fewer_idle_from(places.by_stock.saturating_add(units))?.max(from)));
        by_stock.into_iter().chain(by_releases).min()
    }

    /// The instant from which on fewer admitted buyers than so many are without an order.
    fn has_fewer_idle_from(&self, most: u64) -> Option<UnixMillis> {
        if self.admissions.idle() < most {
            return Some(UnixMillis::ZERO);
        }
        self.admissions.first_below(most).map(|admission| self.lapses_at(admission))
    }

    /// Counts units that come back from orders, and those that a late payment takes again.
    pub(super) fn count_returned(&mut self, delta: &StockDelta) {
        // A new order holds units; every other event of an order gives them back, sells them or takes them again.
        if delta.held <= 0 {
            self.returned = self.returned.saturating_add_signed(-delta.held.saturating_add(delta.sold));
        }
    }

    /// The admission at an instant at which one is due.
    pub(super) fn admit(&self, at: UnixMillis, places: &Places) -> RoomServed {
        assert!(self.clock.stopped().is_none(), "a paused room admits no buyer");
        let window_from = self.admissions.last_of_first(self.lapsed(at)).map(|admission| admission.until);
        let first = self.admissions.first().map_or(self.serving, |first| first.from);
        let places = places.at(at).saturating_sub(self.admitted_idle(at));
        // What the rate left unused is lost, but for two steps: a room that stood still does not let a crowd in.
        let bound = self.spec.one_admission_ms().max(TICK_MS).saturating_mul(2);
        let rate_from = self.rate_from.max(at.plus_millis(-bound));
        let by_rate = self.spec.admitted_in(at.since(rate_from));
        let waiting = u64::from(self.ticket_count().saturating_sub(self.serving));
        let admitted = u32::try_from(places.min(by_rate).min(waiting)).unwrap_or(u32::MAX).min(ADMITTED_MAX);
        assert!(admitted > 0, "an admission is due when a buyer can be admitted");
        RoomServed {
            serving: self.serving.saturating_add(admitted),
            window_from: window_from.unwrap_or(first),
            rate_from: rate_from.plus_millis(self.spec.time_of(admitted)),
        }
    }

    /// Takes a buyer's ticket in.
    pub(crate) fn add_ticket(&mut self, buyer: Digest, ordered: bool) {
        self.tickets.push(HeldTicket { buyer, ordered });
        let number = TicketNumber::new(self.ticket_count());
        let number = number.unwrap_or_else(|| panic!("a room has more tickets than numbers"));
        let before = self.by_buyer.insert(buyer, number);
        assert!(before.is_none(), "a buyer has one ticket");
    }

    /// Moves on by an admission.
    pub(super) fn serve(&mut self, at: UnixMillis, served: &RoomServed) {
        assert!(self.serving < served.serving && served.serving <= self.ticket_count(), "a room serves its tickets");
        for _ in 0..self.lapsed(at) {
            self.admissions.pop_first();
        }
        self.add_admission(served.serving, self.clock.reading(at));
        (self.served_at, self.rate_from) = (at, served.rate_from);
    }

    /// The number of admissions whose time to order has passed at an instant: the oldest ones.
    fn lapsed(&self, at: UnixMillis) -> usize {
        let reading = self.clock.reading(at);
        self.admissions.count_while(|admission| self.end_of(admission) <= reading)
    }

    /// Adds an admission of all positions from the last one on.
    pub(crate) fn add_admission(&mut self, until: u32, at: RoomInstant) {
        let from = self.serving;
        let is_idle = |position: &u32| self.tickets.get(self.index_at(*position)).is_some_and(|ticket| !ticket.ordered);
        let idle = u32::try_from((from..until).filter(is_idle).count()).unwrap_or(u32::MAX);
        self.admissions.push(AdmittedBatch { from, until, at, idle });
        self.serving = until;
    }

    /// Notes that a buyer has placed an order.
    pub(super) fn note_order(&mut self, buyer: &Digest) {
        let Some(number) = self.ticket_of(buyer) else { return };
        let Some(ticket) = self.tickets.get_mut(number.index()).filter(|ticket| !ticket.ordered) else { return };
        ticket.ordered = true;
        if let Some(position) = self.position_of(number) {
            self.admissions.note_order(position);
        }
    }

    /// The number of admitted buyers without an order whose time to order has not passed.
    #[must_use]
    pub fn admitted_idle(&self, at: UnixMillis) -> u64 {
        self.admissions.idle().saturating_sub(self.admissions.idle_of_first(self.lapsed(at)))
    }

    /// The memory that its tickets take, in bytes.
    #[must_use]
    pub fn bytes_in_memory(&self) -> usize {
        let tickets = self.tickets.capacity().saturating_mul(size_of::<HeldTicket>());
        self.by_buyer.bytes_in_memory().saturating_add(tickets)
    }

    /// Frees a part of the memory of a room whose drop has ended. Returns whether little is left.
    pub(super) fn free_some(&mut self) -> bool {
        self.by_buyer.free_some()
    }

    /// Returns the first sentence about the room that does not hold.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        let joined =
            self.admissions.iter().zip(self.admissions.iter().skip(1)).all(|(one, next)| one.until == next.from);
        let recounted = self.admissions.iter().all(|admission| {
            let positions = (admission.from..admission.until).filter_map(|at| self.tickets.get(self.index_at(at)));
            u32::try_from(positions.filter(|ticket| !ticket.ordered).count()) == Ok(admission.idle)
        });
        let in_order = self.admissions.iter().zip(self.admissions.iter().skip(1)).all(|(one, next)| one.at <= next.at);
        let last = self.admissions.last().map(|last| last.until);
        let drawn = self.draw.as_ref().and_then(Draw::tickets);
        let known = |(index, ticket): (usize, &HeldTicket)| {
            self.ticket_of(&ticket.buyer).is_some_and(|number| number.index() == index)
        };
        [
            (self.serving <= self.ticket_count(), "it serves tickets that it does not have"),
            (self.admissions.is_summed_up() && recounted, "its admitted buyers without an order are counted wrongly"),
            (joined && last.is_none_or(|last| last == self.serving), "its admissions do not follow one another"),
            (in_order, "its clock went back"),
            (self.by_buyer.len() == self.tickets.len(), "its buyers are not those of its tickets"),
            (drawn.is_none_or(|drawn| drawn <= self.ticket_count()), "it draws tickets that it does not have"),
            (self.is_drawn() || self.serving == 0, "it serves tickets before its draw"),
            (self.tickets.iter().enumerate().all(known), "a buyer has another ticket"),
        ]
        .into_iter()
        .find(|(holds, _)| !holds)
        .map(|(_, what)| what)
    }
}

impl Room {
    /// Returns whether positions are known: nothing is drawn, or the draw is done.
    #[must_use]
    pub fn is_drawn(&self) -> bool {
        self.draw.as_ref().is_none_or(Draw::is_drawn)
    }

    /// Fixes the number of tickets that are drawn: the drop's start has come.
    pub(crate) fn begin_draw(&mut self) {
        let tickets = self.ticket_count();
        if let Some(draw) = &mut self.draw {
            draw.begin(tickets);
        }
    }
}

impl DropEntry {
    /// The state of its room.
    #[must_use]
    pub fn room_state(&self) -> RoomState {
        let (opened, drawn) = self.room.as_ref().map_or((false, true), |room| (room.opened, room.is_drawn()));
        RoomState::of(opened, self.started, drawn, self.ended)
    }

    /// The admission to its room at an instant at which one is due.
    pub(super) fn admit(&self, at: UnixMillis) -> Option<RoomServed> {
        let room = self.room.as_ref()?;
        Some(room.admit(at, &self.places(room)))
    }

    /// The places of its room.
    pub(super) fn places(&self, room: &Room) -> Places {
        let stock = RoomStock {
            available: self.available(),
            held: self.held,
            sold: self.sold,
            returned: room.returned,
            hold_seconds: self.spec.reservation_seconds.max(self.spec.payment_seconds),
            // What comes back goes to those who stand by.
            next_expiry: self.next_expiry().map(|(at, _)| at).filter(|_| self.standby_len() == 0),
        };
        Places::of(&room.spec, &stock)
    }

    /// Returns whether no unit is left or can come back by itself: every unit is sold.
    pub(super) fn is_sold_for_good(&self) -> bool {
        self.available() == 0 && self.held == 0
    }

    /// The instant at which its room admits the next buyer, as far as is known now; it may have passed. Units that those who
    /// stand by are to have admit no buyer.
    pub(super) fn next_admission(&self) -> Option<UnixMillis> {
        if self.owes_an_offer().is_some() {
            return None;
        }
        let room = self.room.as_ref().filter(|_| self.started && !self.paused && !self.ended)?;
        if room.is_drawn() { room.next_admission(&self.places(room)) } else { None }
    }
}

impl State {
    /// Puts the next admission of a drop's room on the list of what is due: within a stop of the server at its end, because no
    /// buyer could order before.
    #[cold]
    pub(crate) fn schedule_admission(&mut self, drop_id: DropId) {
        let Some(entry) = self.drops.get_mut(drop_id.place_in(self.shard)) else { return };
        let next = entry.next_admission().map(|at| at.max(self.stopped_until));
        let Some(room) = &mut entry.room else { return };
        let before = std::mem::replace(&mut room.due_at, next);
        if before == next {
            return;
        }
        if let Some(at) = before {
            self.due.remove(&(at, Due::RoomAdmission(drop_id)));
        }
        if let Some(at) = next {
            self.due.insert((at, Due::RoomAdmission(drop_id)));
        }
    }

    /// Puts the next admissions and the waits of the draws of all rooms on the list of what is due, after a state was restored.
    pub(crate) fn schedule_rooms(&mut self) {
        let with_rooms: Vec<_> = self.drops.iter().filter(|entry| entry.room.is_some()).map(|entry| entry.id).collect();
        for drop_id in with_rooms {
            self.schedule_admission(drop_id);
            self.schedule_beacon_end(drop_id);
        }
    }

    /// Opens a drop's room, and takes the opening off the list of what is due.
    pub(crate) fn open_room(&mut self, drop_id: DropId) {
        let Some(room) = self.room_mut(drop_id) else { return };
        room.opened = true;
        let opens_at = room.spec.opens_at;
        self.due.remove(&(opens_at, Due::RoomOpening(drop_id)));
    }

    /// The draw of a drop that has not ended.
    pub(crate) fn draw_mut(&mut self, drop_id: DropId) -> Option<&mut Draw> {
        let entry = self.drops.get_mut(drop_id.place_in(self.shard))?;
        match &mut entry.blind {
            Some(window) => Some(&mut window.draw),
            None => entry.room.as_mut()?.draw.as_mut(),
        }
    }

    /// Puts the end of a draw's wait for its beacon on the list of what is due.
    pub(crate) fn schedule_beacon_end(&mut self, drop_id: DropId) {
        if let Some(at) = self.draw_mut(drop_id).and_then(|draw| draw.waits_until()) {
            self.due.insert((at, Due::BeaconEnd(drop_id)));
        }
    }

    /// Takes the end of a draw's wait for its beacon off the list of what is due. Called while it still waits.
    pub(super) fn unschedule_beacon_end(&mut self, drop_id: DropId) {
        if let Some(at) = self.draw_mut(drop_id).and_then(|draw| draw.waits_until()) {
            self.due.remove(&(at, Due::BeaconEnd(drop_id)));
        }
    }

    /// A room in the making, whose drop is there.
    pub(crate) fn room_mut(&mut self, drop_id: DropId) -> Option<&mut Room> {
        self.drops.get_mut(drop_id.place_in(self.shard))?.room.as_deref_mut()
    }
}

/// An order was placed: if its drop has a room, the buyer's admission is used.
#[inline]
pub(super) fn note_order(state: &mut State, event: EventHeader, buyer: &Digest) {
    let Some(drop_id) = event.drop_id() else { return };
    if let Some(room) = state.room_mut(drop_id) {
        room.note_order(buyer);
    }
}
