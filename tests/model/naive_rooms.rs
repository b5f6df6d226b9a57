//! Waiting rooms once more, as plain as can be: a list of buyers, a list of admissions, and every question answered by
//! looking through them and through all orders.

use firstcome::engine::{
    Command, DrawPhase, DropEntry, DropPatch, DropSpec, Effect, Invalid, Outcome, Refusal, Room, RoomCommand, RoomSpec,
    State, Subject, TakeTicket, TicketReceipt,
};
use firstcome::store::PrivateData;
use firstcome::types::{
    BeaconRule, BlockMark, BuyerOrigin, Digest, DropId, RoomDraw, RoomMember, RoomPatch, RoomState, TicketNumber,
    TicketPosition, Tier, UnixMillis,
};

use super::naive::{Naive, instant, seq};
use super::naive_draws::{self, NaiveDraw};
use super::{Random, World};

/// The number of buyers who are admitted at once.
const AT_ONCE: usize = 5000;

pub struct NaiveRoom {
    pub(super) drop: usize,
    spec: RoomSpec,
    opened: bool,
    /// The buyer and the event of each.
    tickets: Vec<(Digest, u64)>,
    pub(super) draw: Option<NaiveDraw>,
    /// First position, first position behind it, and when.
    admissions: Vec<(usize, usize, i64)>,
    rate_from: i64,
    /// When each pause of the drop began, and when it ended.
    pauses: Vec<(i64, Option<i64>)>,
}

impl NaiveRoom {
    fn serving(&self) -> usize {
        self.admissions.last().map_or(0, |(_, until, _)| *until)
    }
    /// The position of the ticket at an index, once it is known.
    fn position_of(&self, index: usize) -> Option<usize> {
        self.draw.as_ref().map_or(Some(index), |draw| draw.position_of(index))
    }
    /// The buyer at a position, once it is known, and the event of the ticket.
    fn ticket_at(&self, position: usize) -> (Digest, u64) {
        let found = (0..self.tickets.len()).find(|index| self.position_of(*index) == Some(position));
        self.tickets[found.expect("an admitted ticket")]
    }
    fn is_drawn(&self) -> bool {
        self.draw.as_ref().is_none_or(|draw| draw.order.is_some())
    }
    /// How long after the last admission the next one comes: not at all if the last one left buyers waiting for being too many.
    fn pause(&self) -> i64 {
        if self.admissions.last().is_some_and(|(from, until, _)| until - from == AT_ONCE) { 1 } else { 100 }
    }
    fn window(&self) -> i64 {
        i64::from(self.spec.order_seconds) * 1000
    }
    /// How long the drop was paused in all between two instants.
    fn paused_between(&self, from: i64, until: i64) -> i64 {
        self.pauses.iter().map(|(began, ended)| (ended.unwrap_or(until).min(until) - from.max(*began)).max(0)).sum()
    }
    /// Whether who was admitted at `when` has had the whole time, pauses aside, at `at`.
    fn has_lapsed(&self, when: i64, at: i64) -> bool {
        at - when - self.paused_between(when, at) >= self.window()
    }
    /// When the time of who was admitted at `when` ends if no further pause comes.
    fn lapses(&self, when: i64) -> i64 {
        let over = self.pauses.iter().filter(|(began, _)| *began >= when);
        let paused: i64 = over.filter_map(|(began, ended)| Some((*ended)? - began)).sum();
        when + self.window() + paused
    }
    fn stands_still(&self) -> bool {
        self.pauses.last().is_some_and(|(_, ended)| ended.is_none())
    }
    /// How long the rate takes for so many.
    fn time_of(&self, buyers: usize) -> i64 {
        let (buyers, rate) = (i64::try_from(buyers).expect("few"), i64::from(self.spec.admit_per_second));
        (buyers * 1000 + rate - 1) / rate
    }
}

/// A room that opens before the start, which may come later for it: small ones, fast ones, generous ones.
pub(super) fn spec(random: &mut Random, starts_at: &mut UnixMillis) -> Option<Box<RoomSpec>> {
    let small = |n: u64| u32::try_from(n).expect("small");
    random.one_in(3).then(|| {
        *starts_at = starts_at.plus_millis(random.pick(&[0, 0, 60_000, 300_000]));
        Box::new(RoomSpec {
            opens_at: starts_at.plus_millis(random.pick(&[0, -1, -500, -2000, -60_000, -400_000])),
            draw: random.pick(&[
                RoomDraw::Arrival,
                RoomDraw::Random { beacon: None },
                RoomDraw::Random { beacon: Some(BeaconRule { seconds: 1 }) },
                RoomDraw::Random { beacon: Some(BeaconRule { seconds: 60 }) },
            ]),
            admit_per_second: small(random.pick(&[1, 3, 10, 1000])),
            order_seconds: small(random.pick(&[1, 2, 60])),
            oversubscribe_percent: small(random.pick(&[100, 150, 1000])),
        })
    })
}

/// Changes of a room: of one parameter or of all.
pub(super) fn patch(random: &mut Random, at: i64) -> Option<RoomPatch> {
    let small = |n: u64| u32::try_from(n).expect("small");
    let patch = random.one_in(2).then(|| RoomPatch {
        opens_at: random.one_in(4).then(|| instant(at + 100)),
        admit_per_second: random.one_in(2).then(|| small(random.pick(&[1, 3, 10, 1000]))),
        order_seconds: random.one_in(4).then(|| small(random.pick(&[1, 2, 60]))),
        oversubscribe_percent: random.one_in(3).then(|| small(random.pick(&[100, 150, 1000]))),
    });
    patch.filter(|patch| *patch != RoomPatch::default())
}

/// A drop's parameters with what a patch gives in the place of what was, as far as the model's patches give it.
pub(super) fn patched(before: &DropSpec, patch: &DropPatch) -> DropSpec {
    let mut spec = before.clone();
    if let Some(name) = &patch.name {
        spec.name = name.clone();
    }
    if let Some(at) = patch.starts_at {
        spec.starts_at = at;
    }
    if patch.ends_at.is_some() {
        spec.ends_at = patch.ends_at;
    }
    if let Some(limits) = patch.identity_limits {
        spec.identity_limits = limits;
    }
    if let Some(limit) = patch.per_buyer_limit {
        spec.per_buyer_limit = limit;
    }
    if let (Some(room), Some(changes)) = (&mut spec.room, &patch.room) {
        take_over(room, changes);
    }
    spec
}

fn take_over(room: &mut RoomSpec, changes: &RoomPatch) {
    if let Some(at) = changes.opens_at {
        room.opens_at = at;
    }
    if let Some(rate) = changes.admit_per_second {
        room.admit_per_second = rate;
    }
    if let Some(seconds) = changes.order_seconds {
        room.order_seconds = seconds;
    }
    if let Some(percent) = changes.oversubscribe_percent {
        room.oversubscribe_percent = percent;
    }
}

pub(super) fn has_room(state: &State, drop_id: DropId) -> bool {
    state.drop_entry(drop_id).is_some_and(|entry| entry.spec.room.is_some())
}

/// A spec, with a room in front of it and the commitment of a draw, if there is one.
pub(super) fn add_room(random: &mut Random, mut spec: DropSpec) -> DropSpec {
    spec.room = self::spec(random, &mut spec.starts_at);
    if spec.room.is_none() && random.one_in(3) {
        spec.blind_ms = random.pick(&[1, 500, 5000]);
    }
    let seed = spec.has_draw().then(|| naive_draws::seed(random.pick(&naive_draws::SEEDS)));
    spec.commitment = seed.map(|seed| seed.commitment());
    spec
}

/// What travels beside the creation of a drop with a draw.
pub(super) fn seed_of(spec: &DropSpec) -> Option<PrivateData> {
    spec.commitment.map(|commitment| PrivateData::Seed { seed: naive_draws::seed_behind(&commitment) })
}

/// A ticket or a step of a draw that gathers its tickets or is being made, mostly.
pub(super) fn gather(world: &mut World, state: &State) -> Option<Command> {
    let decides = |entry: &&DropEntry| {
        let draw = entry.draw().filter(|_| entry.spec.blind_ms > 0);
        draw.is_some_and(|draw| draw.tickets().is_some() && !draw.is_drawn())
    };
    let window = state.drops().find(|entry| !entry.ended && decides(entry)).map(|entry| entry.id);
    if let Some(drop_id) = window.filter(|_| !world.random.one_in(3)) {
        return Some(command(world, state, drop_id));
    }
    let mut drops = state.drops().filter(|entry| !entry.ended);
    let is_running = |room: &Room| room.opened && room.draw.as_ref().is_some_and(|draw| !draw.is_drawn());
    let drop_id = drops.find(|entry| entry.room.as_deref().is_some_and(is_running)).map(|entry| entry.id)?;
    (!world.random.one_in(3)).then(|| command(world, state, drop_id))
}

/// A ticket of one of the six buyers, or a step of the draw.
pub(super) fn command(world: &mut World, state: &State, drop_id: DropId) -> Command {
    let draw = state.drop_entry(drop_id).and_then(|entry| entry.draw());
    let steps = match draw.map(|draw| &draw.phase) {
        None => world.random.one_in(20),
        Some(DrawPhase::Pending | DrawPhase::Drawn(_)) => world.random.one_in(6),
        Some(DrawPhase::Begun { .. } | DrawPhase::Fixed(_)) => world.random.one_in(2),
    };
    if steps {
        return Command::Room(naive_draws::command(world, state, drop_id));
    }
    let number = world.random.below(6);
    let buyer = world.digests.buyer(&format!("buyer{number}"));
    let origin = (number < 3).then_some(BuyerOrigin { tier: Tier::Verified, block: BlockMark::new(0x00ab_cdef) });
    Command::Room(RoomCommand::TakeTicket(TakeTicket { drop_id, buyer, origin }))
}

/// What travels beside a ticket.
pub(super) fn private_data(world: &World, command: &RoomCommand) -> Option<PrivateData> {
    match command {
        RoomCommand::TakeTicket(ticket) => Some(PrivateData::Ticket { buyer: world.text_of(&ticket.buyer) }),
        RoomCommand::FixTickets { .. } | RoomCommand::PostBeacon(_) | RoomCommand::FinishDraw(_) => None,
    }
}

impl Naive {
    /// Notes the room of the drop that is created next.
    pub(super) fn open_room(&mut self, spec: &DropSpec, started: bool) {
        if let Some(room) = &spec.room {
            let (drop, opened) = (self.drops.len(), room.opens_at.get() <= self.at);
            let (tickets, admissions, pauses) = (Vec::new(), Vec::new(), Vec::new());
            let mut draw = NaiveDraw::of(room.draw, spec.commitment);
            if let Some(draw) = draw.as_mut().filter(|_| started) {
                draw.tickets = Some(0);
            }
            self.rooms.push(NaiveRoom { drop, spec: **room, opened, tickets, draw, admissions, rate_from: 0, pauses });
        }
    }

    /// A drop starts; tickets from here on are not drawn.
    pub(super) fn start(&mut self, drop: usize) {
        self.drops[drop].started = true;
        if let Some(room) = self.rooms.iter_mut().find(|room| room.drop == drop) {
            let tickets = room.tickets.len();
            room.draw.iter_mut().for_each(|draw| draw.tickets = Some(tickets));
        }
    }

    /// A drop is paused, or goes on.
    pub(super) fn pause_room(&mut self, drop: usize, pauses: bool) {
        let at = self.at;
        let Some(room) = self.rooms.iter_mut().find(|room| room.drop == drop) else { return };
        match pauses {
            true if !room.stands_still() => room.pauses.push((at, None)),
            true => {}
            false => room.pauses.last_mut().expect("it is paused").1 = Some(at),
        }
    }

    /// An order uses a ticket that was taken before it.
    fn has_ordered(&self, drop: usize, (buyer, taken): (Digest, u64)) -> bool {
        self.orders.iter().any(|order| order.drop == drop && order.buyer == buyer && order.seq > taken)
    }

    /// How many admitted buyers have no order and still time for one, just after an instant.
    fn idle(&self, room: &NaiveRoom, at: i64) -> u64 {
        let running = room.admissions.iter().filter(|(.., when)| !room.has_lapsed(*when, at));
        let positions = running.flat_map(|(from, until, _)| *from..*until);
        positions.filter(|at| !self.has_ordered(room.drop, room.ticket_at(*at))).count() as u64
    }

    /// The most admitted buyers without an order at an instant.
    fn capacity(&self, room: &NaiveRoom, at: i64) -> u64 {
        let by_stock = self.free(room.drop) * u64::from(room.spec.oversubscribe_percent) / 100;
        let line = self.standing_by(room.drop) > 0;
        let soon = !line && self.first_expiry(room.drop).is_some_and(|expiry| expiry - room.window() <= at);
        by_stock + if soon { self.expected_releases(room) } else { 0 }
    }

    /// When the first unit comes back by itself.
    fn first_expiry(&self, drop: usize) -> Option<i64> {
        self.orders.iter().filter(|order| order.drop == drop && order.live()).map(|o| o.expires_at).min()
    }

    /// Of all units ever ordered a part came back: as many of those that are held will, while an admitted buyer may order.
    fn expected_releases(&self, room: &NaiveRoom) -> u64 {
        let spec = &self.drops[room.drop].spec;
        let ordered = self.orders.iter().filter(|order| order.drop == room.drop);
        let (ever, returned) = ordered
            .fold((0, 0), |(ever, back), order| (ever + u64::from(order.quantity), back + u64::from(order.returned)));
        let longest = u64::from(spec.reservation_seconds.max(spec.payment_seconds));
        let window = u64::from(room.spec.order_seconds).min(longest);
        if ever == 0 { 0 } else { self.held(room.drop) * returned * window / (ever * longest) }
    }

    /// Since when, or from when on, the next buyer can be admitted.
    fn next_admission(&self, room: &NaiveRoom) -> Option<i64> {
        let drop = &self.drops[room.drop];
        let owes = self.next_in_line(room.drop).is_some();
        let stands = owes || !drop.started || drop.paused || drop.ended || !room.is_drawn();
        if stands || room.serving() == room.tickets.len() {
            return None;
        }
        let last = room.admissions.last().map_or(0, |(.., when)| *when);
        let lapses = room.admissions.iter().map(|(.., when)| room.lapses(*when)).filter(|at| *at > last);
        let releases = self.first_expiry(room.drop).map(|expiry| expiry - room.window());
        let mut instants: Vec<i64> = lapses.chain([0]).chain(releases).collect();
        instants.sort_unstable();
        let place = instants.into_iter().find(|at| self.idle(room, last.max(*at)) < self.capacity(room, *at))?;
        Some(place.max(room.rate_from + room.time_of(1)).max(last + room.pause()))
    }

    pub(super) fn rooms_due(&self) -> Vec<(i64, u8, usize, u64)> {
        let mut due = Vec::new();
        for room in &self.rooms {
            if !room.opened && !self.drops[room.drop].ended {
                due.push((room.spec.opens_at.get(), 0, room.drop, 0));
            }
            due.extend(self.next_admission(room).map(|at| (at, 8, room.drop, 0)));
            let waits_until =
                room.draw.as_ref().and_then(NaiveDraw::waits_until).filter(|_| !self.drops[room.drop].ended);
            due.extend(waits_until.map(|at| (at, 3, room.drop, 0)));
        }
        due
    }

    pub(super) fn do_rooms_due(&mut self, kind: u8, drop: usize) {
        let index = self.rooms.iter().position(|room| room.drop == drop).expect("it is due");
        if kind == 0 {
            self.rooms[index].opened = true;
            return;
        }
        if kind == 3 {
            self.rooms[index].draw.as_mut().expect("it waits").missed = true;
            return;
        }
        let (at, room) = (self.at, &self.rooms[index]);
        let places = self.capacity(room, at).saturating_sub(self.idle(room, at));
        let slowest = room.time_of(1).max(100) * 2;
        let since = room.rate_from.max(at - slowest);
        let by_rate = u64::try_from((at - since) * i64::from(room.spec.admit_per_second) / 1000).expect("not back");
        let serving = room.serving();
        let waiting = (room.tickets.len() - serving) as u64;
        let admitted = usize::try_from(places.min(by_rate).min(waiting)).expect("few").min(AT_ONCE);
        assert!(admitted > 0, "a buyer can be admitted");
        let rate_from = since + room.time_of(admitted);
        let room = &mut self.rooms[index];
        room.rate_from = rate_from;
        room.admissions.push((serving, serving + admitted, at));
    }

    /// What of a patch a drop's room does not allow.
    pub(super) fn room_refuses(&self, drop: usize, patch: &DropPatch) -> Option<Invalid> {
        let Some(changes) = &patch.room else { return None };
        let Some(room) = self.rooms.iter().find(|room| room.drop == drop) else { return Some(Invalid::NoRoom) };
        let started = self.drops[drop].started;
        let fixed = |member| Some(Invalid::RoomFixed { member, started });
        let before = room.spec;
        let differs = |new: Option<u32>, old| new.is_some_and(|new| new != old);
        match () {
            () if !room.opened => None,
            () if changes.opens_at.is_some_and(|at| at != before.opens_at) => fixed(RoomMember::OpensAt),
            () if !started && differs(changes.admit_per_second, before.admit_per_second) => {
                fixed(RoomMember::AdmitPerSecond)
            }
            () if differs(changes.order_seconds, before.order_seconds) => fixed(RoomMember::OrderSeconds),
            () if !started && differs(changes.oversubscribe_percent, before.oversubscribe_percent) => {
                fixed(RoomMember::OversubscribePercent)
            }
            () => None,
        }
    }

    /// Takes over what a patch made of the parameters of a drop's room.
    pub(super) fn change_room(&mut self, drop: usize) {
        let spec = self.drops[drop].spec.room.clone();
        for room in self.rooms.iter_mut().filter(|room| room.drop == drop) {
            room.spec = **spec.as_ref().expect("a room");
            room.opened |= room.spec.opens_at.get() <= self.at;
        }
    }

    /// True if buyers wait for the start of a drop, so that it may not come earlier, or if it has come.
    pub(super) fn may_not_move(&self, drop: usize, starts_at: i64) -> bool {
        let open = self.rooms.iter().any(|room| room.drop == drop && room.opened);
        let (before, started) = (self.drops[drop].spec.starts_at.get(), self.drops[drop].started);
        let has_room = self.drops[drop].spec.room.is_some();
        let begins_at_once = has_room && !started && starts_at <= self.at;
        let blind = self.drops[drop].spec.blind_ms > 0;
        before != starts_at && (begins_at_once || blind && started || open && (started || starts_at < before))
    }

    /// The refusal of a buyer who is not admitted to a drop with a room.
    pub(super) fn not_admitted(&self, drop: usize, buyer: Digest, quantity: u16) -> Option<Refusal> {
        let room = self.rooms.iter().find(|room| room.drop == drop)?;
        let index = room.tickets.iter().position(|(of, _)| *of == buyer);
        let position = index.and_then(|index| room.position_of(index));
        let admitted = position.is_some_and(|position| {
            let mut admissions = room.admissions.iter();
            let own = admissions.find(|(from, until, _)| (*from..*until).contains(&position));
            own.is_some_and(|(.., when)| !room.has_lapsed(*when, self.at))
        });
        // All were admitted: who came late may have what those in their time leave over.
        let late = position.is_some_and(|position| position < room.serving()) && room.serving() == room.tickets.len();
        let idle = self.idle(room, self.at);
        if admitted || late && (idle == 0 || idle + u64::from(quantity) <= self.free(drop)) {
            return None;
        }
        if self.free(drop) == 0 && self.held(drop) == 0 {
            return Some(Refusal::AllSold { standby: self.standing_by(drop) });
        }
        let small = |n: usize| u32::try_from(n).expect("few");
        let position = position.map(|position| TicketPosition(small(position)));
        Some(Refusal::NotAdmitted { position, serving: small(room.serving()) })
    }

    pub(super) fn on_room(&mut self, command: &RoomCommand) -> Outcome {
        let RoomCommand::TakeTicket(ticket) = command else { return self.on_draw(command) };
        let TakeTicket { drop_id, buyer, origin: _ } = ticket;
        let Some(drop) = self.index_of(drop_id.get()).filter(|index| *index < self.drops.len()) else {
            return self.refuse(Refusal::NotFound);
        };
        let Some(index) = self.rooms.iter().position(|room| room.drop == drop) else {
            return self.refuse(Refusal::NotFound);
        };
        let (d, room) = (&self.drops[drop], &self.rooms[index]);
        if d.ended {
            return self.refuse(Refusal::Ended { ends_at: d.spec.ends_at.unwrap_or_default() });
        }
        if let Some(ticket) = room.tickets.iter().position(|(of, _)| of == buyer) {
            return self.ticket(*drop_id, index, ticket, true);
        }
        if !room.opened {
            return self.refuse(Refusal::NotOpen { opens_at: instant(room.spec.opens_at.get()) });
        }
        if self.free(drop) == 0 && self.held(drop) == 0 {
            return self.refuse(Refusal::AllSold { standby: self.standing_by(drop) });
        }
        self.events += 1;
        self.rooms[index].tickets.push((*buyer, self.events));
        self.ticket(*drop_id, index, self.rooms[index].tickets.len() - 1, false)
    }

    fn ticket(&self, drop_id: DropId, index: usize, ticket: usize, repeated: bool) -> Outcome {
        let room = &self.rooms[index];
        let small = |n: usize| u32::try_from(n).expect("few");
        let position = room.position_of(ticket);
        Outcome::Accepted(Effect::Ticket(TicketReceipt {
            drop_id,
            seq: seq(self.events),
            number: TicketNumber::new(small(ticket + 1)).expect("not 0"),
            position: position.map(|position| TicketPosition(small(position))),
            serving: small(room.serving()),
            state: match (self.drops[room.drop].started, room.opened) {
                (true, _) if room.is_drawn() => RoomState::Serving,
                (true, _) => RoomState::Drawing,
                (false, true) => RoomState::Gathering,
                (false, false) => RoomState::Closed,
            },
            paused: self.drops[room.drop].paused,
            available: u32::try_from(self.free(room.drop)).expect("small"),
            held: u32::try_from(self.held(room.drop)).expect("small"),
            paused_ms: {
                let over = room.pauses.iter().filter_map(|(began, ended)| Some((*ended)? - began));
                over.sum()
            },
            order_until: {
                let mut admissions = room.admissions.iter();
                let own = admissions
                    .find(|(from, until, _)| position.is_some_and(|position| (*from..*until).contains(&position)));
                // Those that had passed at the last admission are forgotten, and of one that stands still no end is known.
                let last = room.admissions.last().map_or(0, |(.., when)| *when);
                let kept = own.filter(|(.., when)| !room.has_lapsed(*when, last));
                let told = kept.filter(|(.., when)| !room.stands_still() || room.has_lapsed(*when, self.at));
                told.map(|(.., when)| instant(room.lapses(*when)))
            },
            repeated,
        }))
    }

    /// The drop that a step of a draw names, if it has a draw and has not ended.
    pub(super) fn drawing_drop(&self, drop_id: DropId) -> Result<usize, Outcome> {
        let drop = self.index_of(drop_id.get()).filter(|index| self.drops.get(*index).is_some_and(|d| !d.hidden));
        let Some(drop) = drop else { return Err(self.refuse(Refusal::NotFound)) };
        if self.drops[drop].ended {
            let ends_at = self.drops[drop].spec.ends_at.unwrap_or_default();
            return Err(self.refuse(Refusal::Ended { ends_at }));
        }
        let drawn = self.rooms.iter().any(|room| room.drop == drop && room.draw.is_some());
        if drawn || self.window_of(drop).is_some() { Ok(drop) } else { Err(self.refuse(Refusal::NotFound)) }
    }

    /// The draw of a drop that has one.
    pub(super) fn draw_of(&mut self, drop: usize) -> &mut NaiveDraw {
        if let Some(window) = self.window_of(drop) {
            return &mut self.windows[window].draw;
        }
        let room = self.rooms.iter_mut().find(|room| room.drop == drop).expect("it has a draw");
        room.draw.as_mut().expect("it has a draw")
    }

    pub(super) fn changed(&mut self, drop_id: DropId) -> Outcome {
        self.accept(Subject::Drop(drop_id))
    }
}
