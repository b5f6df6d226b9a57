//! The requests of a capture that can be sent again over HTTP. Pure.
//!
//! Buyers are named by the hexadecimal digits of their digests. The requests of one buyer stay in order, on one lane; a
//! request that names an order follows the one that placed it.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use crate::capture::format::{Record, RecordReader, Recorded, SavedTicket, Trouble};
use crate::engine::{
    self, Command, CreateDrop, DropCommand, DropSpec, OrderCommand, PlaceOrder, Refusal, RoomCommand, TakeTicket,
    TicketReceipt,
};
use crate::load::outcome::RequestOutcome;
use crate::types::{Digest, DropId, IdentityDigests, Quantity, Seq, UnixMillis};

/// A drop that the replay creates.
pub(super) struct ReplayDrop {
    pub(super) spec: DropSpec,
    /// Free units at the start of the capture, or of the drop.
    pub(super) units: u32,
}

/// A request of the script.
pub(super) struct ReplayStep {
    /// The time since the first command of the capture.
    pub(super) after: Duration,
    pub(super) ask: ReplayRequest,
}

/// The kinds of requests of a script.
pub(super) enum ReplayRequest {
    /// A new order; `recorded` is its number in the capture. `identities` are those that caps of its drop count.
    Order {
        drop_id: DropId,
        buyer: Digest,
        key: Digest,
        quantity: Quantity,
        contact: bool,
        identities: Box<IdentityDigests>,
        recorded: Option<Seq>,
    },
    /// A ticket of a drop's waiting room.
    Ticket { drop_id: DropId, buyer: Digest },
    /// Checkout of the order that the capture has under this number.
    CheckOut(Seq),
    /// Cancellation of the order that the capture has under this number.
    Cancel(Seq),
}

impl ReplayRequest {
    /// Returns whether it is an order that was made in the capture.
    pub(super) const fn was_made(&self) -> bool {
        matches!(self, ReplayRequest::Order { recorded: Some(_), .. })
    }
}

/// The requests of a capture.
pub(super) struct ReplayScript {
    pub(super) drops: BTreeMap<DropId, ReplayDrop>,
    pub(super) lanes: Vec<Vec<ReplayStep>>,
    /// The recorded outcomes of these requests.
    pub(super) recorded: BTreeMap<RequestOutcome, u64>,
    /// Commands of operators, and commands on orders from before the capture.
    pub(super) left_out: u64,
    /// From the first to the last command.
    pub(super) took: Duration,
    /// The instant of the first command.
    first: Option<UnixMillis>,
}

impl ReplayScript {
    /// Reads the script of a capture, for this number of lanes. A torn tail ends it.
    ///
    /// # Errors
    /// If the file is damaged.
    pub(super) fn read<R: Read>(reader: &mut RecordReader<R>, lanes: usize) -> Result<ReplayScript, Trouble> {
        let mut script = ReplayScript {
            drops: BTreeMap::new(),
            lanes: (0..lanes.max(1)).map(|_| Vec::new()).collect(),
            recorded: BTreeMap::new(),
            left_out: 0,
            took: Duration::ZERO,
            first: None,
        };
        let mut lane_of = BTreeMap::new();
        loop {
            match reader.read() {
                Ok(Some(Record::Drop(saved))) => {
                    let units = saved.spec.total.saturating_sub(saved.held).saturating_sub(saved.sold);
                    script.drops.entry(saved.id).or_insert(ReplayDrop { spec: saved.spec, units });
                }
                Ok(Some(Record::Decided(recorded))) => script.take(*recorded, &mut lane_of),
                Ok(Some(Record::Ticket(SavedTicket { drop_id, buyer, .. }))) => script.take_first(drop_id, buyer),
                Ok(Some(
                    Record::SnapshotBegun(_)
                    | Record::Used(_)
                    | Record::LiveOrder(_)
                    | Record::OrderKey(_)
                    | Record::CommandKey(_)
                    | Record::SnapshotEnded(_)
                    | Record::Auction(_)
                    | Record::Best(_)
                    | Record::OfShard(_)
                    | Record::IdentityUsed(_)
                    | Record::Identities(_)
                    | Record::Room(_)
                    | Record::Draw(_)
                    | Record::Recorded(_)
                    | Record::WindowOver(_)
                    | Record::Admission(_)
                    | Record::Committed(_)
                    | Record::Endpoint(_)
                    | Record::Tier(_)
                    | Record::Standby(_)
                    | Record::Granted(_)
                    | Record::LeftLine(_)
                    | Record::Gap(_),
                )) => {}
                Ok(None) | Err(Trouble::Torn { .. }) => return Ok(script),
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// Takes a ticket of the first snapshot, which was taken before the capture. Later snapshots repeat what is known.
    fn take_first(&mut self, drop_id: DropId, buyer: Digest) {
        if self.first.is_none() {
            let lane = lane(&buyer, self.lanes.len());
            if let Some(steps) = self.lanes.get_mut(lane) {
                steps.push(ReplayStep { after: Duration::ZERO, ask: ReplayRequest::Ticket { drop_id, buyer } });
            }
        }
    }

    /// Returns how long after the first command a drop of the capture starts.
    pub(super) fn starts_after(&self, wanted: &ReplayDrop) -> Duration {
        self.first.map_or(Duration::ZERO, |first| Duration::from_millis(wanted.spec.starts_at.since(first)))
    }

    fn take(&mut self, recorded: Recorded, lane_of: &mut BTreeMap<Seq, usize>) {
        let Recorded { at, command, outcome, .. } = recorded;
        let after = Duration::from_millis(at.since(*self.first.get_or_insert(at)));
        self.took = after;
        let outcome_then = self.outcome_of(&command, &outcome);
        let (lane, ask) = match command {
            Command::Order(OrderCommand::Place(order)) => {
                let PlaceOrder { drop_id, buyer, key, quantity, contact_given, facts } = order;
                let lane = lane(&buyer, self.lanes.len());
                let recorded = outcome.reservation().map(|reservation| reservation.order);
                if let Some(order) = recorded {
                    lane_of.insert(order, lane);
                }
                let (contact, identities) =
                    (contact_given, Box::new(facts.map_or(IdentityDigests::NONE, |facts| facts.identities)));
                (Some(lane), ReplayRequest::Order { drop_id, buyer, key, quantity, contact, identities, recorded })
            }
            Command::Room(RoomCommand::TakeTicket(TakeTicket { drop_id, buyer, .. })) => {
                (Some(lane(&buyer, self.lanes.len())), ReplayRequest::Ticket { drop_id, buyer })
            }
            Command::Order(OrderCommand::Checkout { order }) => {
                (lane_of.get(&order).copied(), ReplayRequest::CheckOut(order))
            }
            Command::Order(OrderCommand::Cancel { order }) => {
                (lane_of.get(&order).copied(), ReplayRequest::Cancel(order))
            }
            Command::Drop(DropCommand::Create(CreateDrop { spec, .. })) => {
                if let engine::Outcome::Accepted(effect) = outcome
                    && let engine::Effect::Changed { subject: engine::Subject::Drop(id), .. } = effect
                {
                    let units = spec.total;
                    self.drops.entry(id).or_insert(ReplayDrop { spec: *spec, units });
                }
                return;
            }
            Command::Drop(_)
            | Command::Order(_)
            | Command::Payment(_)
            | Command::Auction(_)
            | Command::Endpoint(_)
            | Command::File(_)
            | Command::Buyer(_)
            | Command::Room(RoomCommand::FixTickets { .. } | RoomCommand::PostBeacon(_) | RoomCommand::FinishDraw(_))
            | Command::Advance => {
                self.left_out += 1;
                return;
            }
        };
        match lane.and_then(|lane| self.lanes.get_mut(lane)) {
            Some(steps) => {
                steps.push(ReplayStep { after, ask });
                *self.recorded.entry(outcome_then).or_default() += 1;
            }
            None => self.left_out += 1,
        }
    }

    /// The outcome as a buyer sees it.
    fn outcome_of(&self, command: &Command, outcome: &engine::Outcome) -> RequestOutcome {
        let cancels = matches!(command, Command::Order(OrderCommand::Cancel { .. }));
        match outcome {
            engine::Outcome::Accepted(engine::Effect::Reserved(_)) => RequestOutcome::Reserved,
            engine::Outcome::Repeated { .. } if !cancels => RequestOutcome::Repeated,
            engine::Outcome::Repeated { .. } => RequestOutcome::Cancelled,
            engine::Outcome::Accepted(engine::Effect::Changed { .. }) if cancels => RequestOutcome::Cancelled,
            engine::Outcome::Accepted(engine::Effect::Changed { .. }) => RequestOutcome::CheckedOut,
            engine::Outcome::Accepted(engine::Effect::Ticket(TicketReceipt { repeated: true, .. })) => {
                RequestOutcome::Repeated
            }
            engine::Outcome::Accepted(engine::Effect::Ticket(_)) => RequestOutcome::TicketTaken,
            engine::Outcome::Accepted(engine::Effect::Recorded(_)) => RequestOutcome::Recorded,
            engine::Outcome::Accepted(
                engine::Effect::ProviderEventRecorded { .. } | engine::Effect::Bid(_) | engine::Effect::Standby(_),
            )
            | engine::Outcome::Advanced => RequestOutcome::Invalid,
            engine::Outcome::Refused { refusal, .. } => match refusal {
                Refusal::NotFound => RequestOutcome::NotFound,
                Refusal::NotStarted { .. } => RequestOutcome::NotStarted,
                Refusal::NotOpen { .. } => RequestOutcome::NotOpen,
                Refusal::NotAdmitted { .. } => RequestOutcome::NotAdmitted,
                Refusal::Ended { .. } => RequestOutcome::Ended,
                Refusal::DropPaused => RequestOutcome::DropPaused,
                Refusal::LimitReached { .. } | Refusal::IdentityLimitReached { .. } => RequestOutcome::LimitReached,
                Refusal::SoldOut(_) | Refusal::AllSold { .. } => RequestOutcome::SoldOut,
                Refusal::OrderExpired { .. } => RequestOutcome::OrderExpired,
                Refusal::IllegalTransition { .. } => RequestOutcome::IllegalTransition,
                Refusal::KeyReused
                | Refusal::BidTooLow { .. }
                | Refusal::ExposureReached { .. }
                | Refusal::MismatchStands { .. }
                | Refusal::BeaconNotTaken { .. }
                | Refusal::PreconditionFailed { .. }
                | Refusal::Invalid(_) => RequestOutcome::OtherRefusal,
            },
        }
    }

    /// Drops the drops without an order and without a ticket, which need not be created.
    pub(super) fn keep_ordered_drops(&mut self) {
        let steps = self.lanes.iter().flatten();
        let ordered: std::collections::BTreeSet<DropId> = steps
            .filter_map(|step| match step.ask {
                ReplayRequest::Order { drop_id, .. } | ReplayRequest::Ticket { drop_id, .. } => Some(drop_id),
                ReplayRequest::CheckOut(_) | ReplayRequest::Cancel(_) => None,
            })
            .collect();
        self.drops.retain(|id, _| ordered.contains(id));
    }
}

fn lane(buyer: &Digest, lanes: usize) -> usize {
    let [first, second, ..] = buyer.0;
    usize::from(u16::from_le_bytes([first, second])) % lanes.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_captured_rush_keeps_each_buyer_on_a_lane_and_an_order_before_what_names_it() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/captures/rush.capture");
        let bytes = std::fs::read(path).expect("a capture");
        let mut script = ReplayScript::read(&mut RecordReader::open(&bytes[..]).expect("a header"), 7).expect("whole");
        script.keep_ordered_drops();
        assert_eq!(script.drops.values().map(|wanted| wanted.units).collect::<Vec<_>>(), [500]);
        assert_eq!(script.left_out, 0);
        let (mut lane_of, mut made) = (BTreeMap::new(), BTreeMap::new());
        for (lane, steps) in script.lanes.iter().enumerate() {
            assert!(steps.is_sorted_by_key(|step| step.after));
            for step in steps {
                match &step.ask {
                    ReplayRequest::Order { buyer, recorded, .. } => {
                        assert_eq!(*lane_of.entry(*buyer).or_insert(lane), lane, "a buyer has one lane");
                        made.extend(recorded.map(|order| (order, lane)));
                    }
                    ReplayRequest::CheckOut(order) | ReplayRequest::Cancel(order) => {
                        assert_eq!(made.get(order), Some(&lane))
                    }
                    ReplayRequest::Ticket { .. } => panic!("a drop without a room"),
                }
            }
        }
        assert_eq!(script.recorded.values().sum::<u64>(), script.lanes.iter().map(Vec::len).sum::<usize>() as u64);
        assert!(script.recorded[&RequestOutcome::SoldOut] > 1000 && script.recorded[&RequestOutcome::Cancelled] > 50);
    }
}
