//! Messages of waiting rooms: tickets, and the state of a room.

use super::{PayloadReader, reason};
use crate::types::{RoomState, TicketDigest};

/// Stands for a number that is not known.
const UNKNOWN: u32 = u32::MAX;

/// Stands for the digest of a ticket that has none.
const NO_DIGEST: [u8; 16] = [0; 16];

/// Requests a ticket, or the one that the buyer has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Join<'a> {
    pub drop_id: u32,
    /// The buyer's name in UTF-8.
    pub buyer: &'a [u8],
}

/// The buyer's ticket. Unknown fields of a refusal are 0.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct TicketReply {
    /// Number of the problem; 0 for accepted.
    pub reason: u8,
    /// Sequence number of the ticket's event; of a repeat or a refusal, the last event that it depends on.
    pub seq: u64,
    /// The number of the ticket, from 1.
    pub number: u32,
    /// The number of tickets before it in the line, once it is known.
    pub position: Option<u32>,
    /// The first position that has not been admitted.
    pub serving: u32,
    /// The state of the room; `None` in a refusal.
    pub state: Option<RoomState>,
    /// True while an operator has paused the drop.
    pub paused: bool,
    /// Of an admitted ticket, the exclusive end of its time to order; of the refusal `not-open`, the opening; else 0. In
    /// milliseconds since 1970.
    pub at_ms: u64,
    /// The digest that a proof of the draw has for the ticket. `None`, all zeros on the wire, where nothing is drawn and in a
    /// refusal.
    pub digest: Option<TicketDigest>,
}

/// The state of a waiting room after a change: the numbers of its public body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoomUpdate {
    pub drop_id: u32,
    /// Sequence number of the last event that changed the drop.
    pub seq: u64,
    pub state: RoomState,
    pub paused: bool,
    /// True when every unit is sold: no ticket can lead to an order.
    pub is_sold_for_good: bool,
    pub tickets: u32,
    /// The first position that has not been admitted.
    pub serving: u32,
    /// Tickets whose time to order had begun and not passed at the last admission.
    pub admitted: u32,
    /// Units that are free.
    pub available: u32,
    /// Units of unpaid orders.
    pub held: u32,
    /// Hundredths of tickets admitted per second, once they are known: over the last 30 seconds, and in the slowest and the
    /// fastest 10 of these.
    pub rate: [Option<u32>; 3],
    /// The instant of `seq`, in milliseconds since 1970.
    pub updated_at_ms: u64,
}

/// Returns the number of a state on the wire; 0 stands for none.
const fn number_of(state: Option<RoomState>) -> u8 {
    match state {
        None => 0,
        Some(RoomState::Closed) => 1,
        Some(RoomState::Gathering) => 2,
        Some(RoomState::Drawing) => 3,
        Some(RoomState::Serving) => 4,
        Some(RoomState::Over) => 5,
    }
}

fn state_of(number: u8) -> Option<RoomState> {
    RoomState::ALL.into_iter().find(|state| number_of(Some(*state)) == number)
}

/// Reads a byte that is 0 or 1.
fn flag(fields: &mut PayloadReader<'_>) -> Option<bool> {
    match fields.byte()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn known(number: u32) -> Option<u32> {
    Some(number).filter(|number| *number != UNKNOWN)
}

impl TicketReply {
    pub(super) fn read(fields: &mut PayloadReader<'_>) -> Option<TicketReply> {
        let reason = reason(fields)?;
        let (seq, number, position, serving) = (fields.eight()?, fields.four()?, fields.four()?, fields.four()?);
        let (state, paused, at_ms) = (fields.byte()?, flag(fields)?, fields.eight()?);
        let digest = Some(fields.array()?).filter(|digest| *digest != NO_DIGEST).map(TicketDigest);
        // A ticket has a state, and a refusal has none and no ticket.
        let is_whole = if reason == 0 {
            state > 0 && number > 0
        } else {
            state == 0 && number == 0 && position == UNKNOWN && digest.is_none()
        };
        let state = if state == 0 { None } else { Some(state_of(state)?) };
        let position = known(position);
        is_whole.then_some(TicketReply { reason, seq, number, position, serving, state, paused, at_ms, digest })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend([u8::from(self.reason == 0), self.reason]);
        out.extend(self.seq.to_be_bytes());
        for field in [self.number, self.position.unwrap_or(UNKNOWN), self.serving] {
            out.extend(field.to_be_bytes());
        }
        out.extend([number_of(self.state), u8::from(self.paused)]);
        out.extend(self.at_ms.to_be_bytes());
        out.extend(self.digest.map_or(NO_DIGEST, |digest| digest.0));
    }
}

impl RoomUpdate {
    pub(super) fn read(fields: &mut PayloadReader<'_>) -> Option<RoomUpdate> {
        let (drop_id, seq, state) = (fields.four()?, fields.eight()?, state_of(fields.byte()?)?);
        let (paused, is_sold_for_good) = (flag(fields)?, flag(fields)?);
        let (tickets, serving, admitted) = (fields.four()?, fields.four()?, fields.four()?);
        let (available, held) = (fields.four()?, fields.four()?);
        let rate = [known(fields.four()?), known(fields.four()?), known(fields.four()?)];
        let updated_at_ms = fields.eight()?;
        Some(RoomUpdate {
            drop_id,
            seq,
            state,
            paused,
            is_sold_for_good,
            tickets,
            serving,
            admitted,
            available,
            held,
            rate,
            updated_at_ms,
        })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.drop_id.to_be_bytes());
        out.extend(self.seq.to_be_bytes());
        out.extend([number_of(Some(self.state)), u8::from(self.paused), u8::from(self.is_sold_for_good)]);
        for field in [self.tickets, self.serving, self.admitted, self.available, self.held] {
            out.extend(field.to_be_bytes());
        }
        for rate in self.rate {
            out.extend(rate.unwrap_or(UNKNOWN).to_be_bytes());
        }
        out.extend(self.updated_at_ms.to_be_bytes());
    }
}
