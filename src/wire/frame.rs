//! Frames, without I/O: `type: u8, length: u8, payload[length]`, at most 257 bytes.
//!
//! A malformed frame is detected at the first byte that shows it: a type at its first byte, a length at its second. So no
//! peer can make the other side wait for, or keep, bytes that would be discarded.

use std::ops::RangeInclusive;

/// Bytes of type and length.
pub const HEADER_BYTES: usize = 2;
/// The longest payload that the length byte can express.
pub const PAYLOAD_BYTES_MAX: usize = 255;
/// Bytes of the longest frame.
pub const FRAME_BYTES_MAX: usize = HEADER_BYTES + PAYLOAD_BYTES_MAX;

/// The sender of a frame. A type belongs to one of the two: the other may not send it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    Client,
    Server,
}

/// Frame types, with their numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum FrameType {
    Bid = 0x01,
    /// The reply to a BID.
    Result = 0x02,
    /// The error of a malformed frame, or of a HELLO, a SUBSCRIBE or a ROOM that was not accepted.
    Error = 0x03,
    /// The new state of an auction.
    Update = 0x04,
    /// The version and the token of the client.
    Hello = 0x05,
    /// A request for the changes of an auction.
    Subscribe = 0x06,
    Ping = 0x07,
    /// The reply to a PING.
    Pong = 0x08,
    Reserve = 0x09,
    /// The reply to a RESERVE.
    Reserved = 0x0a,
    /// The positive reply to a HELLO, a SUBSCRIBE or a ROOM.
    Ok = 0x0b,
    /// A request for a ticket of a waiting room.
    Join = 0x0c,
    /// The reply to a JOIN.
    Ticket = 0x0d,
    /// A request for the changes of a waiting room.
    Room = 0x0e,
    /// The new state of a waiting room.
    RoomState = 0x0f,
}

impl FrameType {
    /// All types in the order of their numbers.
    pub const ALL: [FrameType; 15] = [
        FrameType::Bid,
        FrameType::Result,
        FrameType::Error,
        FrameType::Update,
        FrameType::Hello,
        FrameType::Subscribe,
        FrameType::Ping,
        FrameType::Pong,
        FrameType::Reserve,
        FrameType::Reserved,
        FrameType::Ok,
        FrameType::Join,
        FrameType::Ticket,
        FrameType::Room,
        FrameType::RoomState,
    ];

    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Returns the type with this number.
    #[must_use]
    pub fn of(number: u8) -> Option<FrameType> {
        let index = usize::from(number).checked_sub(1)?;
        FrameType::ALL.get(index).copied()
    }

    /// Returns the name in PROTOCOL.md.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            FrameType::Bid => "BID",
            FrameType::Result => "RESULT",
            FrameType::Error => "ERROR",
            FrameType::Update => "UPDATE",
            FrameType::Hello => "HELLO",
            FrameType::Subscribe => "SUBSCRIBE",
            FrameType::Ping => "PING",
            FrameType::Pong => "PONG",
            FrameType::Reserve => "RESERVE",
            FrameType::Reserved => "RESERVED",
            FrameType::Ok => "OK",
            FrameType::Join => "JOIN",
            FrameType::Ticket => "TICKET",
            FrameType::Room => "ROOM",
            FrameType::RoomState => "ROOM_STATE",
        }
    }

    #[must_use]
    pub const fn sender(self) -> Sender {
        match self {
            FrameType::Bid
            | FrameType::Hello
            | FrameType::Subscribe
            | FrameType::Ping
            | FrameType::Reserve
            | FrameType::Join
            | FrameType::Room => Sender::Client,
            FrameType::Result
            | FrameType::Error
            | FrameType::Update
            | FrameType::Pong
            | FrameType::Reserved
            | FrameType::Ok
            | FrameType::Ticket
            | FrameType::RoomState => Sender::Server,
        }
    }

    /// Returns the range of payload lengths in bytes.
    #[must_use]
    pub const fn lengths(self) -> RangeInclusive<u8> {
        match self {
            FrameType::Bid => 16..=16,
            FrameType::Result | FrameType::Reserved => 34..=34,
            FrameType::Error | FrameType::Hello => 1..=255,
            FrameType::Update => 32..=32,
            FrameType::Ticket => 48..=48,
            FrameType::Subscribe | FrameType::Room => 12..=12,
            FrameType::Ping | FrameType::Pong => 0..=8,
            // A buyer has 1 to 128 bytes, here and in JOIN.
            FrameType::Reserve => 22..=149,
            FrameType::Ok => 8..=8,
            FrameType::Join => 5..=132,
            FrameType::RoomState => 55..=55,
        }
    }
}

impl FrameType {
    /// Returns the lengths as text: `16`, or `22 to 149`.
    #[must_use]
    pub fn lengths_as_text(self) -> String {
        let (least, most) = self.lengths().into_inner();
        if least == most { least.to_string() } else { format!("{least} to {most}") }
    }
}

/// The error of a malformed frame, which closes the connection.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// The type does not exist, or this side may not send it.
    #[error("frame type 0x{0:02x} is unknown or not allowed from this side")]
    UnknownType(u8),
    /// The length is outside the type's range.
    #[error("{} has {} bytes of payload, not {length}", kind.name(), kind.lengths_as_text())]
    Length { kind: FrameType, length: u8 },
    /// A field has an impossible value.
    #[error("{} has a field with an impossible value", .0.name())]
    Content(FrameType),
    /// The connection ended, or timed out, within a frame.
    #[error("the frame is incomplete")]
    Truncated,
}

/// A frame whose length is in its type's range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    pub kind: FrameType,
    pub payload: &'a [u8],
}

/// Returns the first frame in these bytes and its length; `None` if it is still incomplete.
///
/// # Errors
/// As soon as no valid frame begins with these bytes.
pub fn decode(bytes: &[u8], from: Sender) -> Result<Option<(Frame<'_>, usize)>, Malformed> {
    let Some((&number, rest)) = bytes.split_first() else { return Ok(None) };
    let kind = FrameType::of(number).filter(|kind| kind.sender() == from).ok_or(Malformed::UnknownType(number))?;
    let Some((&length, rest)) = rest.split_first() else { return Ok(None) };
    if !kind.lengths().contains(&length) {
        return Err(Malformed::Length { kind, length });
    }
    let payload = rest.get(..usize::from(length));
    Ok(payload.map(|payload| (Frame { kind, payload }, HEADER_BYTES + usize::from(length))))
}

/// Received bytes that are not parsed yet: those of one read, after the beginning of a frame. It releases memory only
/// when asked.
#[derive(Default, Debug)]
pub struct Inbox {
    bytes: Vec<u8>,
    used: usize,
}

impl Inbox {
    /// Appends received bytes.
    pub fn put(&mut self, bytes: &[u8]) {
        if self.used > 0 {
            self.bytes.drain(..self.used);
            self.used = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the next frame; `None` if it is still incomplete.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn next(&mut self, from: Sender) -> Result<Option<Frame<'_>>, Malformed> {
        let Some((frame, taken)) = decode(self.bytes.get(self.used..).unwrap_or_default(), from)? else {
            return Ok(None);
        };
        self.used = self.used.saturating_add(taken);
        Ok(Some(frame))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used >= self.bytes.len()
    }

    /// Releases memory if more than `kept` bytes are allocated and not needed.
    pub fn shrink_above(&mut self, kept: usize) {
        if self.bytes.capacity() > kept && self.bytes.len().saturating_sub(self.used) <= kept {
            self.put(&[]);
            self.bytes.shrink_to(kept);
        }
    }

    /// Returns the allocated bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of every type and of every length that it may have.
    fn every_frame() -> Vec<(FrameType, Vec<u8>)> {
        let all = FrameType::ALL.into_iter().flat_map(|kind| kind.lengths().map(move |length| (kind, length)));
        all.map(|(kind, length)| {
            let mut bytes = vec![kind.number(), length];
            bytes.extend((0..length).map(|at| at ^ 0x5a));
            (kind, bytes)
        })
        .collect()
    }

    #[test]
    fn numbers_and_types_are_one_to_one() {
        for number in 0..=u8::MAX {
            assert_eq!(FrameType::of(number).map(FrameType::number), (1..=15).contains(&number).then_some(number));
        }
    }

    #[test]
    fn a_frame_cut_at_every_byte_is_not_whole_and_then_it_is() {
        for (kind, bytes) in every_frame() {
            for end in 0..bytes.len() {
                assert_eq!(decode(&bytes[..end], kind.sender()), Ok(None), "{kind:?} cut at {end}");
            }
            let mut followed = bytes.clone();
            followed.push(0xff);
            let whole = decode(&followed, kind.sender());
            assert_eq!(whole, Ok(Some((Frame { kind, payload: &bytes[2..] }, bytes.len()))));
        }
    }

    #[test]
    fn a_type_is_refused_at_its_first_byte_and_a_length_at_its_second() {
        for number in 0..=u8::MAX {
            for from in [Sender::Client, Sender::Server] {
                let Some(kind) = FrameType::of(number).filter(|kind| kind.sender() == from) else {
                    assert_eq!(decode(&[number], from), Err(Malformed::UnknownType(number)));
                    continue;
                };
                for length in 0..=u8::MAX {
                    let refused = Err(Malformed::Length { kind, length });
                    let fits = kind.lengths().contains(&length);
                    assert_eq!(decode(&[number, length], from) == refused, !fits, "{kind:?} {length}");
                }
            }
        }
    }

    #[test]
    fn an_inbox_gives_the_same_frames_however_the_bytes_are_cut() {
        let sent: Vec<u8> = every_frame()
            .into_iter()
            .filter(|(kind, _)| kind.sender() == Sender::Client)
            .flat_map(|(_, bytes)| bytes)
            .collect();
        for step in [1, 2, 3, 17, 257, 4096, sent.len()] {
            let (mut inbox, mut heard) = (Inbox::default(), Vec::new());
            for piece in sent.chunks(step) {
                inbox.put(piece);
                while let Some(frame) = inbox.next(Sender::Client).expect("good frames") {
                    heard.push(frame.kind.number());
                    heard.push(u8::try_from(frame.payload.len()).expect("short"));
                    heard.extend_from_slice(frame.payload);
                }
                assert!(inbox.capacity() <= 2 * (step + FRAME_BYTES_MAX), "{step}: {}", inbox.capacity());
            }
            assert_eq!(heard, sent, "{step}");
            assert!(inbox.is_empty());
            inbox.shrink_above(0);
            assert_eq!(inbox.capacity(), 0);
        }
    }
}
