//! The way of a simulated buyer through a waiting room: a ticket, polls of the room, and the order at the turn. Pure.

use super::dice::{Dice, Spread};
use super::habits::{CrowdAnswer, CrowdRequest, DueRequest, Habits};

/// The time from one look of a person's page at the room to the next, where no stream tells it.
const PAGE_POLLS: f64 = 5.0;
/// The time from the turn to the click of a person.
const CLICK: Spread = Spread::LogNormal { median: 2.0, sigma: 0.6 };
/// The time from the turn to the order of a bot.
const MACHINE_TURN: f64 = 0.05;
/// A person who comes before the start takes the ticket within this time.
const TICKET_WITHIN: f64 = 3.0;

/// The room as its public body has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RoomNews {
    pub(super) is_serving: bool,
    /// The first position that is not admitted.
    pub(super) serving: u32,
    /// Every unit is sold, or the drop has ended.
    pub(super) is_over: bool,
}

/// The way of a buyer, at a drop with a room or without one.
pub(super) struct BuyerWalk {
    habits: Habits,
    room: Option<RoomWalk>,
}

/// The part of a way that leads through the room.
struct RoomWalk {
    has_ticket: bool,
    position: Option<u32>,
    polls: f64,
    dice: Dice,
}

impl BuyerWalk {
    /// The way of a buyer with these habits; `room` has the random numbers of one who has to wait in a room.
    pub(super) fn new(habits: Habits, room: Option<Dice>) -> BuyerWalk {
        let polls = match &habits {
            Habits::Human(_) => PAGE_POLLS,
            Habits::Machine(machine) => machine.every,
        };
        BuyerWalk { habits, room: room.map(|dice| RoomWalk { has_ticket: false, position: None, polls, dice }) }
    }

    /// True if each request comes from another address.
    pub(super) const fn roams(&self) -> bool {
        self.habits.roams()
    }

    /// The first request of the buyer.
    pub(super) fn first(&mut self) -> DueRequest {
        let first = self.habits.first();
        self.by_room(first, f64::NEG_INFINITY)
    }

    /// The next request after an answer; none if the buyer has finished. `due` is the time at which the answered request
    /// should have been sent, `now` the time of the answer.
    pub(super) fn after(&mut self, ask: CrowdRequest, answer: CrowdAnswer, due: f64, now: f64) -> Option<DueRequest> {
        match (ask, &mut self.room) {
            (CrowdRequest::Ticket, Some(room)) => room.after_ticket(answer, now),
            (CrowdRequest::Poll, Some(room)) => {
                let is_machine = matches!(self.habits, Habits::Machine(_));
                room.after_poll(answer, is_machine, now)
            }
            (CrowdRequest::Read | CrowdRequest::Order | CrowdRequest::CheckOut(_), Some(_))
            | (
                CrowdRequest::Read
                | CrowdRequest::Order
                | CrowdRequest::CheckOut(_)
                | CrowdRequest::Ticket
                | CrowdRequest::Poll,
                None,
            ) => {
                let next = self.habits.after(ask, answer, due, now)?;
                Some(self.by_room(next, now))
            }
        }
    }

    /// A first order becomes the ticket, which a buyer who comes before the start takes before it.
    fn by_room(&mut self, next: DueRequest, now: f64) -> DueRequest {
        let Some(room) = self.room.as_mut().filter(|room| next.ask == CrowdRequest::Order && !room.has_ticket) else {
            return next;
        };
        let soon = now.max(-2.0 * TICKET_WITHIN) + TICKET_WITHIN * room.dice.share();
        let at = if next.at > 0.0 && now < 0.0 { soon.min(next.at) } else { next.at };
        DueRequest { at, ask: CrowdRequest::Ticket }
    }
}

impl RoomWalk {
    fn poll(&mut self, now: f64, wait: f64) -> DueRequest {
        let pause = self.polls * (0.75 + 0.5 * self.dice.share());
        DueRequest { at: now + pause.max(wait), ask: CrowdRequest::Poll }
    }

    fn after_ticket(&mut self, answer: CrowdAnswer, now: f64) -> Option<DueRequest> {
        match answer {
            CrowdAnswer::Ticket(position) => {
                (self.has_ticket, self.position) = (true, position);
                Some(self.poll(now, 0.0))
            }
            CrowdAnswer::Rejected(wait) => Some(DueRequest { ask: CrowdRequest::Ticket, ..self.poll(now, wait) }),
            CrowdAnswer::NotStarted | CrowdAnswer::Lost => {
                Some(DueRequest { ask: CrowdRequest::Ticket, ..self.poll(now, 0.0) })
            }
            CrowdAnswer::Reserved(_) | CrowdAnswer::SoldOut | CrowdAnswer::Room(_) | CrowdAnswer::Done => None,
        }
    }

    fn after_poll(&mut self, answer: CrowdAnswer, is_machine: bool, now: f64) -> Option<DueRequest> {
        match answer {
            CrowdAnswer::Room(RoomNews { is_over: true, .. }) => None,
            CrowdAnswer::Room(news) if self.position.is_some_and(|position| position < news.serving) => {
                let pause = if is_machine { MACHINE_TURN } else { self.dice.time(CLICK) };
                Some(DueRequest { at: now + pause, ask: CrowdRequest::Order })
            }
            // The draw is done: the position has to be asked for.
            CrowdAnswer::Room(RoomNews { is_serving: true, .. }) if self.position.is_none() => {
                Some(DueRequest { at: now + self.dice.share(), ask: CrowdRequest::Ticket })
            }
            CrowdAnswer::Room(_) | CrowdAnswer::Lost => Some(self.poll(now, 0.0)),
            CrowdAnswer::Rejected(wait) => Some(self.poll(now, wait)),
            CrowdAnswer::Reserved(_)
            | CrowdAnswer::NotStarted
            | CrowdAnswer::SoldOut
            | CrowdAnswer::Ticket(_)
            | CrowdAnswer::Done => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::params::PopulationName;
    use super::super::population::{BuyerKind, Population};
    use super::*;
    use crate::types::OrderId;

    /// Plays a buyer against a room that starts at 0, gives the position 7, and admits one position a second from then on.
    fn plays(kind: BuyerKind, number: usize, is_drawn: bool) -> Vec<(f64, CrowdRequest)> {
        let population = Population::new(PopulationName::A, 5, 10);
        let member =
            population.members.iter().filter(|member| member.kind == kind).nth(number).expect("one of this kind");
        let mut walk = BuyerWalk::new(member.habits.clone(), Some(Dice::new(1, u64::from(member.number))));
        let order = OrderId::parse("00000000-0001-8000-8000-000000000001").expect("an id");
        let (mut asked, mut next) = (Vec::new(), Some(walk.first()));
        while let Some(DueRequest { at, ask }) = next {
            asked.push((at, ask));
            let serving = (0..).take_while(|second| f64::from(*second) <= at - 1.0).count();
            let serving = u32::try_from(serving).expect("few seconds");
            let answer = match ask {
                CrowdRequest::Ticket => CrowdAnswer::Ticket((!is_drawn || at > 0.0).then_some(7)),
                CrowdRequest::Poll => CrowdAnswer::Room(RoomNews { is_serving: at > 0.0, serving, is_over: false }),
                CrowdRequest::Order => CrowdAnswer::Reserved(order),
                CrowdRequest::Read | CrowdRequest::CheckOut(_) => CrowdAnswer::Done,
            };
            next = walk.after(ask, answer, at, at + 0.002);
        }
        asked
    }

    #[test]
    fn each_buyer_takes_a_ticket_before_the_order_and_orders_once_admitted() {
        for is_drawn in [false, true] {
            for kind in BuyerKind::ALL {
                for number in 0..3 {
                    let asked = plays(kind, number, is_drawn);
                    let times = |wanted: fn(CrowdRequest) -> bool| -> Vec<f64> {
                        asked.iter().filter(|(_, ask)| wanted(*ask)).map(|(at, _)| *at).collect()
                    };
                    let tickets = times(|ask| ask == CrowdRequest::Ticket);
                    let orders = times(|ask| ask == CrowdRequest::Order);
                    let polls = times(|ask| ask == CrowdRequest::Poll);
                    assert_eq!(orders.len(), 1, "{kind:?}: {asked:?}");
                    assert!(orders[0] >= 8.0 && tickets[0] < orders[0] && !polls.is_empty(), "{kind:?}: {asked:?}");
                    let again = usize::from(is_drawn && tickets[0] <= 0.0);
                    assert_eq!(tickets.len(), 1 + again, "the position is asked for after the draw: {asked:?}");
                    assert!(matches!(asked.last(), Some((_, CrowdRequest::CheckOut(_)))), "{asked:?}");
                }
            }
        }
    }

    #[test]
    fn who_comes_before_the_start_has_a_ticket_before_it_and_a_room_that_is_over_is_left() {
        let population = Population::new(PopulationName::A, 5, 10);
        let (mut early, mut tickets) = (0, 0);
        for member in &population.members {
            let mut walk = BuyerWalk::new(member.habits.clone(), Some(Dice::new(1, u64::from(member.number))));
            let mut next = Some(walk.first());
            early += u32::from(next.is_some_and(|first| first.at < -3.5));
            let is_early = next.is_some_and(|first| first.at < -3.5);
            while let Some(DueRequest { at, ask }) = next {
                let answer = match ask {
                    CrowdRequest::Ticket => {
                        tickets += u32::from(is_early && at < 0.0);
                        CrowdAnswer::Ticket(Some(7))
                    }
                    CrowdRequest::Poll => CrowdAnswer::Room(RoomNews { is_serving: true, serving: 9, is_over: true }),
                    CrowdRequest::Read => CrowdAnswer::Done,
                    CrowdRequest::Order | CrowdRequest::CheckOut(_) => panic!("a room that is over has no turn"),
                };
                next = walk.after(ask, answer, at, at + 0.002);
            }
        }
        // The others read and think until after it.
        assert!(early > 100 && tickets * 10 >= early * 7, "{tickets} of {early}");
    }
}
