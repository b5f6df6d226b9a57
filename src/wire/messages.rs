//! Typed messages of both sides, in exactly the bytes of PROTOCOL.md.
//!
//! A message holds every value that its bytes can express. The session checks ids and amounts: a wrong value gets a
//! negative reply, and only a malformed frame closes the connection.

mod rooms;

use super::frame::{Frame, FrameType, HEADER_BYTES, Malformed, PAYLOAD_BYTES_MAX, Sender, decode};
pub use rooms::{Join, RoomUpdate, TicketReply};

/// The version of the protocol.
pub const VERSION: u8 = 1;

/// A message of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request<'a> {
    Bid(Bid),
    Hello {
        version: u8,
        /// A buyer's token; it may be empty.
        token: &'a [u8],
    },
    /// Requests the changes of an auction.
    Subscribe {
        auction_id: u32,
        /// The last change that the client knows; 0 for none.
        from_seq: u64,
    },
    /// Requests these bytes back.
    Ping(Echo),
    Reserve(Reserve<'a>),
    Join(Join<'a>),
    /// Requests the changes of a waiting room.
    Room {
        drop_id: u32,
        /// The last change that the client knows; 0 for none.
        from_seq: u64,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bid {
    pub auction_id: u32,
    /// The buyer: its decimal text is the buyer's name.
    pub user_id: u32,
    /// The amount in minor units.
    pub amount: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reserve<'a> {
    pub drop_id: u32,
    /// The number of units.
    pub quantity: u8,
    /// The idempotency key; its hexadecimal text is the same key over HTTP.
    pub key: [u8; 16],
    /// The buyer's name in UTF-8.
    pub buyer: &'a [u8],
}

/// Up to eight bytes of a PING, which its PONG returns.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Echo {
    bytes: [u8; 8],
    length: u8,
}

impl Echo {
    /// Returns `None` for more than eight bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Echo> {
        let mut echo = Echo { bytes: [0; 8], length: u8::try_from(bytes.len()).ok()? };
        echo.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(echo)
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

/// A message of the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply<'a> {
    Result(BidResult),
    Error {
        /// Number of the problem (`reason`).
        code: u8,
        message: &'a str,
    },
    Update(Update),
    Pong(Echo),
    Reserved(Reserved),
    /// Accepts a HELLO, a SUBSCRIBE or a ROOM.
    Ok {
        /// Sequence number of the last durable event.
        seq: u64,
    },
    Ticket(TicketReply),
    RoomState(RoomUpdate),
}

/// The decision on a bid. Unknown fields of a refusal are 0.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct BidResult {
    /// Number of the problem; 0 for accepted.
    pub reason: u8,
    /// Sequence number of the bid's event; of a refusal, the last event that it depends on.
    pub seq: u64,
    /// The highest bid, in minor units.
    pub current: u64,
    /// The least next bid, in minor units.
    pub minimum_next: u64,
    /// End of the auction, in milliseconds since 1970.
    pub ends_at_ms: u64,
}

/// The decision on an order. Unknown fields of a refusal are 0.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Reserved {
    /// Number of the problem; 0 for accepted.
    pub reason: u8,
    /// Sequence number of the order's event; of a refusal, the last event that it depends on.
    pub seq: u64,
    /// The 16 bytes of the order's UUID.
    pub order_id: [u8; 16],
    /// End of the reservation, in milliseconds since 1970.
    pub expires_at_ms: u64,
}

/// The state of an auction after a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Update {
    pub auction_id: u32,
    /// Sequence number of the last event that changed the auction.
    pub seq: u64,
    /// The highest bid in minor units; 0 before the first.
    pub current: u64,
    /// The leading buyer; 0 before the first bid, and for a buyer whose name is not a number.
    pub user_id: u32,
    /// End of the auction, in milliseconds since 1970.
    pub ends_at_ms: u64,
}

/// Reads the fields of a payload one after the other.
struct PayloadReader<'a>(&'a [u8]);

impl<'a> PayloadReader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }
    fn byte(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }
    fn four(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }
    fn eight(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

impl<'a> Request<'a> {
    /// Parses a client's frame.
    ///
    /// # Errors
    /// If clients do not send frames of this type.
    pub fn read(frame: Frame<'a>) -> Result<Request<'a>, Malformed> {
        let mut fields = PayloadReader(frame.payload);
        let read = match frame.kind {
            FrameType::Bid => Self::bid(&mut fields),
            FrameType::Hello => fields.byte().map(|version| Request::Hello { version, token: fields.rest() }),
            FrameType::Subscribe => Self::subscribe(&mut fields),
            FrameType::Ping => Echo::new(fields.rest()).map(Request::Ping),
            FrameType::Reserve => Self::reserve(&mut fields),
            FrameType::Join => fields.four().map(|drop_id| Request::Join(Join { drop_id, buyer: fields.rest() })),
            FrameType::Room => Self::room(&mut fields),
            FrameType::Result
            | FrameType::Error
            | FrameType::Update
            | FrameType::Pong
            | FrameType::Reserved
            | FrameType::Ok
            | FrameType::Ticket
            | FrameType::RoomState => return Err(Malformed::UnknownType(frame.kind.number())),
        };
        read.ok_or(Malformed::Content(frame.kind))
    }

    fn bid(fields: &mut PayloadReader<'a>) -> Option<Request<'a>> {
        let (auction_id, user_id, amount) = (fields.four()?, fields.four()?, fields.eight()?);
        Some(Request::Bid(Bid { auction_id, user_id, amount }))
    }

    fn subscribe(fields: &mut PayloadReader<'a>) -> Option<Request<'a>> {
        Some(Request::Subscribe { auction_id: fields.four()?, from_seq: fields.eight()? })
    }

    fn room(fields: &mut PayloadReader<'a>) -> Option<Request<'a>> {
        Some(Request::Room { drop_id: fields.four()?, from_seq: fields.eight()? })
    }

    fn reserve(fields: &mut PayloadReader<'a>) -> Option<Request<'a>> {
        let (drop_id, quantity, key) = (fields.four()?, fields.byte()?, fields.array()?);
        Some(Request::Reserve(Reserve { drop_id, quantity, key, buyer: fields.rest() }))
    }

    #[must_use]
    pub const fn kind(&self) -> FrameType {
        match self {
            Request::Bid(_) => FrameType::Bid,
            Request::Hello { .. } => FrameType::Hello,
            Request::Subscribe { .. } => FrameType::Subscribe,
            Request::Ping(_) => FrameType::Ping,
            Request::Reserve(_) => FrameType::Reserve,
            Request::Join(_) => FrameType::Join,
            Request::Room { .. } => FrameType::Room,
        }
    }

    /// Writes the frame; `false`, and nothing is written, if a field is too long for its type.
    #[must_use]
    pub fn write(&self, out: &mut Vec<u8>) -> bool {
        frame(self.kind(), out, |out| match self {
            Request::Bid(bid) => {
                out.extend(bid.auction_id.to_be_bytes());
                out.extend(bid.user_id.to_be_bytes());
                out.extend(bid.amount.to_be_bytes());
            }
            Request::Hello { version, token } => {
                out.push(*version);
                out.extend_from_slice(token);
            }
            Request::Subscribe { auction_id: id, from_seq } | Request::Room { drop_id: id, from_seq } => {
                out.extend(id.to_be_bytes());
                out.extend(from_seq.to_be_bytes());
            }
            Request::Ping(echo) => out.extend_from_slice(echo.as_bytes()),
            Request::Reserve(reserve) => {
                out.extend(reserve.drop_id.to_be_bytes());
                out.push(reserve.quantity);
                out.extend(reserve.key);
                out.extend_from_slice(reserve.buyer);
            }
            Request::Join(join) => {
                out.extend(join.drop_id.to_be_bytes());
                out.extend_from_slice(join.buyer);
            }
        })
    }
}

impl<'a> Reply<'a> {
    /// Parses a server's frame.
    ///
    /// # Errors
    /// If servers do not send frames of this type, or a field has an impossible value.
    pub fn read(frame: Frame<'a>) -> Result<Reply<'a>, Malformed> {
        let mut fields = PayloadReader(frame.payload);
        let read = match frame.kind {
            FrameType::Result => Self::result(&mut fields),
            FrameType::Error => Self::error(&mut fields),
            FrameType::Update => Self::update(&mut fields),
            FrameType::Pong => Echo::new(fields.rest()).map(Reply::Pong),
            FrameType::Reserved => Self::reserved(&mut fields),
            FrameType::Ok => fields.eight().map(|seq| Reply::Ok { seq }),
            FrameType::Ticket => TicketReply::read(&mut fields).map(Reply::Ticket),
            FrameType::RoomState => RoomUpdate::read(&mut fields).map(Reply::RoomState),
            FrameType::Bid
            | FrameType::Hello
            | FrameType::Subscribe
            | FrameType::Ping
            | FrameType::Reserve
            | FrameType::Join
            | FrameType::Room => return Err(Malformed::UnknownType(frame.kind.number())),
        };
        read.ok_or(Malformed::Content(frame.kind))
    }

    /// Returns the first reply in these bytes and its length.
    ///
    /// # Errors
    /// If they do not begin with a reply.
    pub fn first(bytes: &'a [u8]) -> Result<Option<(Reply<'a>, usize)>, Malformed> {
        let Some((frame, taken)) = decode(bytes, Sender::Server)? else { return Ok(None) };
        Ok(Some((Reply::read(frame)?, taken)))
    }

    fn result(fields: &mut PayloadReader<'a>) -> Option<Reply<'a>> {
        let reason = reason(fields)?;
        let (seq, current) = (fields.eight()?, fields.eight()?);
        let (minimum_next, ends_at_ms) = (fields.eight()?, fields.eight()?);
        Some(Reply::Result(BidResult { reason, seq, current, minimum_next, ends_at_ms }))
    }

    fn error(fields: &mut PayloadReader<'a>) -> Option<Reply<'a>> {
        Some(Reply::Error { code: fields.byte()?, message: std::str::from_utf8(fields.rest()).ok()? })
    }

    fn update(fields: &mut PayloadReader<'a>) -> Option<Reply<'a>> {
        let (auction_id, seq, current) = (fields.four()?, fields.eight()?, fields.eight()?);
        let (user_id, ends_at_ms) = (fields.four()?, fields.eight()?);
        Some(Reply::Update(Update { auction_id, seq, current, user_id, ends_at_ms }))
    }

    fn reserved(fields: &mut PayloadReader<'a>) -> Option<Reply<'a>> {
        let reason = reason(fields)?;
        let (seq, order_id, expires_at_ms) = (fields.eight()?, fields.array()?, fields.eight()?);
        Some(Reply::Reserved(Reserved { reason, seq, order_id, expires_at_ms }))
    }

    #[must_use]
    pub const fn kind(&self) -> FrameType {
        match self {
            Reply::Result(_) => FrameType::Result,
            Reply::Error { .. } => FrameType::Error,
            Reply::Update(_) => FrameType::Update,
            Reply::Pong(_) => FrameType::Pong,
            Reply::Reserved(_) => FrameType::Reserved,
            Reply::Ok { .. } => FrameType::Ok,
            Reply::Ticket(_) => FrameType::Ticket,
            Reply::RoomState(_) => FrameType::RoomState,
        }
    }

    /// Writes the frame. A message that is too long for an ERROR is cut between two characters.
    pub fn write(&self, out: &mut Vec<u8>) {
        let fits = frame(self.kind(), out, |out| match self {
            Reply::Result(result) => {
                out.extend([u8::from(result.reason == 0), result.reason]);
                for field in [result.seq, result.current, result.minimum_next, result.ends_at_ms] {
                    out.extend(field.to_be_bytes());
                }
            }
            Reply::Error { code, message } => {
                out.push(*code);
                out.extend_from_slice(
                    message.get(..message.floor_char_boundary(PAYLOAD_BYTES_MAX - 1)).unwrap_or("").as_bytes(),
                );
            }
            Reply::Update(update) => {
                out.extend(update.auction_id.to_be_bytes());
                out.extend(update.seq.to_be_bytes());
                out.extend(update.current.to_be_bytes());
                out.extend(update.user_id.to_be_bytes());
                out.extend(update.ends_at_ms.to_be_bytes());
            }
            Reply::Pong(echo) => out.extend_from_slice(echo.as_bytes()),
            Reply::Reserved(reserved) => {
                out.extend([u8::from(reserved.reason == 0), reserved.reason]);
                out.extend(reserved.seq.to_be_bytes());
                out.extend(reserved.order_id);
                out.extend(reserved.expires_at_ms.to_be_bytes());
            }
            Reply::Ok { seq } => out.extend(seq.to_be_bytes()),
            Reply::Ticket(ticket) => ticket.write(out),
            Reply::RoomState(room) => room.write(out),
        });
        debug_assert!(fits, "every reply fits its frame");
    }
}

/// Reads `accepted` and `reason`, which are redundant: a reply in which they disagree is malformed.
fn reason(fields: &mut PayloadReader<'_>) -> Option<u8> {
    let (accepted, reason) = (fields.byte()?, fields.byte()?);
    (accepted == u8::from(reason == 0)).then_some(reason)
}

/// Writes a header and the payload; `false`, and nothing is written, if its length is outside the type's range.
fn frame(kind: FrameType, out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) -> bool {
    let start = out.len();
    out.extend([kind.number(), 0]);
    payload(out);
    let length = u8::try_from(out.len().saturating_sub(start).saturating_sub(HEADER_BYTES));
    match (length, out.get_mut(start.saturating_add(1))) {
        (Ok(length), Some(place)) if kind.lengths().contains(&length) => {
            *place = length;
            true
        }
        (Ok(_) | Err(_), _) => {
            out.truncate(start);
            false
        }
    }
}

#[cfg(test)]
mod tests;
