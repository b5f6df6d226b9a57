//! The answers of a server to a crowd in a room. Pure.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;

use crate::load::client::ResponseHead;
use crate::load::response::{LoadResponse, RefusalKind, decode_order};
use crate::types::OrderId;

/// The public body of a room, as far as buyers need it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
pub(in crate::load) struct RoomView {
    pub(in crate::load) state: String,
    pub(in crate::load) tickets: u32,
    pub(in crate::load) serving: u32,
    pub(in crate::load) available: u32,
    /// `none` once every unit is sold.
    #[serde(default)]
    pub(in crate::load) odds: String,
}

/// A buyer's ticket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub(in crate::load) struct TicketView {
    pub(in crate::load) number: u32,
    #[serde(default)]
    pub(in crate::load) position: Option<u32>,
}

/// The answer to a request, as its buyer takes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::load) enum RoomAnswer {
    Ticket {
        ticket: TicketView,
        repeated: bool,
    },
    Room(RoomView),
    Unchanged,
    Order(OrderId),
    NotAdmitted {
        position: Option<u32>,
        serving: u32,
    },
    SoldOut,
    NotStarted,
    /// The buyer has a unit of the drop already.
    LimitReached,
    Refused,
    /// Undecided, and to be sent again after this time.
    Rejected(Duration),
    /// Applied or not: to be sent again.
    Unsure,
    /// Outside of the contract.
    Invalid,
}

#[derive(Deserialize)]
struct NotAdmittedBody<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
    #[serde(default)]
    position: Option<u32>,
    #[serde(default)]
    serving: u32,
}

/// The answer to a request for a ticket.
pub(in crate::load) fn read_ticket(head: &ResponseHead, body: &[u8]) -> RoomAnswer {
    if head.status == 201 {
        let ticket = serde_json::from_slice(body).ok();
        return ticket.map_or(RoomAnswer::Invalid, |ticket| RoomAnswer::Ticket { ticket, repeated: head.replayed });
    }
    read_order(head, body)
}

/// The answer to a poll of the room.
pub(in crate::load) fn read_room(head: &ResponseHead, body: &[u8]) -> RoomAnswer {
    match head.status {
        200 => serde_json::from_slice(body).ok().map_or(RoomAnswer::Invalid, RoomAnswer::Room),
        304 => RoomAnswer::Unchanged,
        _ => read_order(head, body),
    }
}

/// The answer to an order or a checkout, and every problem.
pub(in crate::load) fn read_order(head: &ResponseHead, body: &[u8]) -> RoomAnswer {
    if head.status == 409
        && let Ok(problem) = serde_json::from_slice::<NotAdmittedBody<'_>>(body)
        && problem.code == "not-admitted"
    {
        return RoomAnswer::NotAdmitted { position: problem.position, serving: problem.serving };
    }
    match decode_order(head, body).0 {
        LoadResponse::Order(view) => RoomAnswer::Order(view.id),
        LoadResponse::No(RefusalKind::SoldOut) => RoomAnswer::SoldOut,
        LoadResponse::No(RefusalKind::NotStarted) => RoomAnswer::NotStarted,
        LoadResponse::No(RefusalKind::LimitReached) => RoomAnswer::LimitReached,
        LoadResponse::No(
            RefusalKind::OrderExpired
            | RefusalKind::IllegalTransition
            | RefusalKind::Ended
            | RefusalKind::NotFound
            | RefusalKind::Other,
        ) => RoomAnswer::Refused,
        LoadResponse::Rejected { retry_after } => RoomAnswer::Rejected(retry_after),
        LoadResponse::Unsure | LoadResponse::NotSent => RoomAnswer::Unsure,
        LoadResponse::Drop(_) | LoadResponse::Ticket | LoadResponse::Recorded { .. } | LoadResponse::Invalid => {
            RoomAnswer::Invalid
        }
    }
}
