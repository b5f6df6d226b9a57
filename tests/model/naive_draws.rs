//! Draws once more: all tickets sorted by their whole hashes, as the issue of a draw defines it.

use aws_lc_rs::hmac;
use firstcome::engine::draw::TreeBuilder;
use firstcome::engine::{
    BeaconObstacle, Draw, DrawPhase, FinishDraw, FinishedDraw, Invalid, Outcome, PostBeacon, PreparedDraw, Refusal,
    Room, RoomCommand, State, Subject,
};
use firstcome::types::{Beacon, Commitment, DropId, MerkleRoot, RoomDraw, Seed, TicketDigest};

use super::World;
use super::naive::Naive;

pub struct NaiveDraw {
    commitment: Commitment,
    wait_ms: Option<i64>,
    /// How many are drawn, once the start has come.
    pub(super) tickets: Option<usize>,
    /// The root, and when it was published.
    root: Option<(MerkleRoot, i64)>,
    beacon: Option<Beacon>,
    pub(super) missed: bool,
    /// The indexes of the tickets by position, once it is done.
    pub(super) order: Option<Vec<usize>>,
}

/// The bytes of which a world's seeds are made.
pub(super) const SEEDS: [u8; 3] = [1, 2, 3];

pub(super) fn seed(byte: u8) -> Seed {
    Seed::from_slice(&[byte; Seed::BYTES]).expect("32 bytes")
}

pub(super) fn seed_behind(commitment: &Commitment) -> Seed {
    SEEDS.map(seed).into_iter().find(|seed| seed.commitment() == *commitment).expect("a seed of this world")
}

/// A step of a draw, mostly the one that comes next.
pub(super) fn command(world: &mut World, state: &State, drop_id: DropId) -> RoomCommand {
    let entry = state.drop_entry(drop_id);
    let room = entry.and_then(|entry| entry.room.as_deref());
    let draw = entry.and_then(|entry| entry.draw());
    let step = match draw.map(|draw| &draw.phase) {
        Some(DrawPhase::Begun { .. }) if !world.random.one_in(4) => 0,
        Some(DrawPhase::Fixed(_)) if world.random.one_in(2) => world.random.pick(&[1, 2]),
        _ => world.random.below(3),
    };
    match step {
        0 => {
            let wrong = world.random.one_in(4) && !matches!(draw, Some(Draw { phase: DrawPhase::Begun { .. }, .. }));
            let of_window = || world.recorded.root(state, drop_id);
            let root = room.filter(|_| !wrong).and_then(root_of).or_else(of_window);
            RoomCommand::FixTickets { drop_id, root: root.unwrap_or(MerkleRoot([9; 32])) }
        }
        1 => RoomCommand::PostBeacon(Box::new(PostBeacon {
            drop_id,
            beacon: Beacon::from_slice(&[world.random.pick(&[7, 8]); 5]).expect("short"),
            source: "the news".into(),
            reason: "because".into(),
        })),
        _ => {
            let own = draw.map(|draw| seed_behind(&draw.commitment)).filter(|_| !world.random.one_in(6));
            let seed = own.unwrap_or_else(|| seed(world.random.pick(&SEEDS)));
            // As the task of the server does it, or as a replay.
            let prepared = match draw.map(|draw| &draw.phase) {
                Some(DrawPhase::Fixed(fixed)) if world.random.one_in(2) => {
                    PreparedDraw::new(FinishedDraw::draw(fixed.tickets, seed.clone(), fixed.beacon.clone()))
                }
                _ => PreparedDraw::default(),
            };
            RoomCommand::FinishDraw(Box::new(FinishDraw { drop_id, seed, prepared }))
        }
    }
}

/// The root over the drawn tickets.
fn root_of(room: &Room) -> Option<MerkleRoot> {
    let draw = room.draw.as_ref()?;
    let mut tree = TreeBuilder::default();
    for buyer in room.buyers().take(usize::try_from(draw.tickets()?).expect("few")) {
        tree.push(&TicketDigest::of(&draw.commitment, buyer));
    }
    Some(tree.finish().tickets().root())
}

impl NaiveDraw {
    pub(super) fn of(rule: RoomDraw, commitment: Option<Commitment>) -> Option<NaiveDraw> {
        let RoomDraw::Random { beacon } = rule else { return None };
        Some(NaiveDraw {
            commitment: commitment.expect("it is drawn"),
            wait_ms: beacon.map(|rule| i64::from(rule.seconds) * 1000),
            tickets: None,
            root: None,
            beacon: None,
            missed: false,
            order: None,
        })
    }

    pub(super) fn position_of(&self, index: usize) -> Option<usize> {
        if index >= self.tickets? {
            return Some(index);
        }
        self.order.as_ref()?.iter().position(|ticket| *ticket == index)
    }

    fn waits(&self) -> bool {
        self.root.is_some() && self.order.is_none() && self.wait_ms.is_some() && self.beacon.is_none() && !self.missed
    }

    pub(super) fn waits_until(&self) -> Option<i64> {
        let (_, since) = self.root?;
        self.wait_ms.filter(|_| self.waits()).map(|wait| since + wait)
    }

    fn finish(&mut self, seed: &Seed) {
        let beacon = self.beacon.clone().unwrap_or_default();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[seed.as_bytes(), beacon.as_bytes()].concat());
        let mut order: Vec<usize> = (0..self.tickets.expect("begun")).collect();
        order.sort_by_cached_key(|index| hmac::sign(&key, &(*index as u64 + 1).to_be_bytes()).as_ref().to_vec());
        self.order = Some(order);
    }
}

impl Naive {
    pub(super) fn on_draw(&mut self, command: &RoomCommand) -> Outcome {
        let drop_id = match command {
            RoomCommand::TakeTicket(ticket) => ticket.drop_id,
            RoomCommand::FixTickets { drop_id, .. } => *drop_id,
            RoomCommand::PostBeacon(post) => post.drop_id,
            RoomCommand::FinishDraw(finish) => finish.drop_id,
        };
        let drop = match self.drawing_drop(drop_id) {
            Ok(drop) => drop,
            Err(refused) => return refused,
        };
        let (at, paused) = (self.at, self.drops[drop].paused);
        let draw = self.draw_of(drop);
        let refusal = match command {
            RoomCommand::FixTickets { root, .. } => match (draw.tickets, draw.root) {
                (None, _) => Refusal::Invalid(Invalid::DrawNotReady),
                (Some(_), None) => {
                    draw.root = Some((*root, at));
                    return self.changed(drop_id);
                }
                (Some(_), Some((known, _))) if known == *root => return self.repeat(Subject::Drop(drop_id)),
                (Some(_), Some(_)) => Refusal::Invalid(Invalid::RootDiffers),
            },
            RoomCommand::PostBeacon(_) if draw.waits() => {
                let RoomCommand::PostBeacon(post) = command else { unreachable!("it is one") };
                draw.beacon = Some(post.beacon.clone());
                return self.changed(drop_id);
            }
            RoomCommand::PostBeacon(_) => Refusal::BeaconNotTaken {
                why: match () {
                    () if draw.wait_ms.is_none() => BeaconObstacle::NotAwaited,
                    () if draw.root.is_none() => BeaconObstacle::TicketsNotFixed,
                    () if draw.order.is_some() => BeaconObstacle::Drawn,
                    () if draw.beacon.is_some() => BeaconObstacle::Posted,
                    () => BeaconObstacle::TooLate,
                },
            },
            RoomCommand::FinishDraw(_) if draw.order.is_some() => return self.repeat(Subject::Drop(drop_id)),
            RoomCommand::FinishDraw(_) if draw.root.is_none() || draw.waits() => {
                Refusal::Invalid(Invalid::DrawNotReady)
            }
            RoomCommand::FinishDraw(finish) if finish.seed.commitment() != draw.commitment => {
                Refusal::Invalid(Invalid::SeedDiffers)
            }
            RoomCommand::FinishDraw(_) if paused => Refusal::DropPaused,
            RoomCommand::FinishDraw(finish) => {
                draw.finish(&finish.seed);
                self.settle_window(drop);
                return self.changed(drop_id);
            }
            RoomCommand::TakeTicket(_) => panic!("no step of a draw"),
        };
        self.refuse(refusal)
    }
}
