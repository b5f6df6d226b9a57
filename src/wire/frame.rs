//! Frames, without I/O: `type: u8, length: u8, payload[length]`, at most 257 bytes.
//!
//! What is malformed is told as soon as a byte shows it: a type at its first byte, a length at its second. So nobody can
//! make the other side wait for, or keep, what would be thrown away.

use std::ops::RangeInclusive;

/// Type and length.
pub const HEADER_BYTES: usize = 2;
/// What one byte can count.
pub const PAYLOAD_BYTES_MAX: usize = 255;
/// The longest frame.
pub const FRAME_BYTES_MAX: usize = HEADER_BYTES + PAYLOAD_BYTES_MAX;

/// Who sends a frame. A type belongs to one of the two: the other may not send it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    /// Buyers.
    Client,
    /// We.
    Server,
}

/// The types of frames.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum FrameType {
    /// A bid.
    Bid = 0x01,
    /// The answer to a bid.
    Result = 0x02,
    /// What is wrong with a frame, or why a HELLO or a SUBSCRIBE was refused.
    Error = 0x03,
    /// An auction has changed.
    Update = 0x04,
    /// Who calls.
    Hello = 0x05,
    /// Which auction's changes are wanted.
    Subscribe = 0x06,
    /// Are you there?
    Ping = 0x07,
    /// Yes.
    Pong = 0x08,
    /// An order.
    Reserve = 0x09,
    /// The answer to an order.
    Reserved = 0x0a,
    /// The answer to HELLO and SUBSCRIBE.
    Ok = 0x0b,
}

impl FrameType {
    /// Every type, in the order of their numbers.
    pub const ALL: [FrameType; 11] = [
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
    ];

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The type of a number.
    #[must_use]
    pub fn of(number: u8) -> Option<FrameType> {
        let index = usize::from(number).checked_sub(1)?;
        FrameType::ALL.get(index).copied()
    }

    /// Its name in PROTOCOL.md.
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
        }
    }

    /// Who sends it.
    #[must_use]
    pub const fn sender(self) -> Sender {
        match self {
            FrameType::Bid | FrameType::Hello | FrameType::Subscribe | FrameType::Ping | FrameType::Reserve => {
                Sender::Client
            }
            FrameType::Result
            | FrameType::Error
            | FrameType::Update
            | FrameType::Pong
            | FrameType::Reserved
            | FrameType::Ok => Sender::Server,
        }
    }

    /// How long its payload may be.
    #[must_use]
    pub const fn lengths(self) -> RangeInclusive<u8> {
        match self {
            FrameType::Bid => 16..=16,
            FrameType::Result | FrameType::Reserved => 34..=34,
            FrameType::Error | FrameType::Hello => 1..=255,
            FrameType::Update => 32..=32,
            FrameType::Subscribe => 12..=12,
            FrameType::Ping | FrameType::Pong => 0..=8,
            // A buyer has 1 to 128 bytes.
            FrameType::Reserve => 22..=149,
            FrameType::Ok => 8..=8,
        }
    }
}

impl FrameType {
    /// `16`, or `22 to 149`.
    #[must_use]
    pub fn lengths_in_words(self) -> String {
        let (least, most) = self.lengths().into_inner();
        if least == most { least.to_string() } else { format!("{least} to {most}") }
    }
}

/// A frame that cannot be: the connection ends with it.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// No such type, or none that this side may send.
    #[error("frames of type 0x{0:02x} are not known here")]
    UnknownType(u8),
    /// A length that no frame of its type has.
    #[error("{} has {} bytes of payload, not {length}", kind.name(), kind.lengths_in_words())]
    Length {
        /// The type.
        kind: FrameType,
        /// The length that was said.
        length: u8,
    },
    /// A field that cannot have this value.
    #[error("{} has a field that cannot be", .0.name())]
    Content(FrameType),
    /// The rest of a frame never came.
    #[error("the frame is not whole")]
    Truncated,
}

/// A frame whose type and length belong together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// Its type.
    pub kind: FrameType,
    /// Its payload.
    pub payload: &'a [u8],
}

/// The first frame in these bytes, and how many it takes; `None` if it is not whole yet.
///
/// # Errors
/// As soon as it is clear that no frame begins like this.
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

/// Bytes that came and are not used up yet: what one read brought, beside the beginning of a frame. Its memory grows when
/// bytes come and goes back when asked.
#[derive(Default, Debug)]
pub struct Inbox {
    bytes: Vec<u8>,
    used: usize,
}

impl Inbox {
    /// Adds what came.
    pub fn put(&mut self, bytes: &[u8]) {
        if self.used > 0 {
            self.bytes.drain(..self.used);
            self.used = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame; `None` if there is no whole one.
    ///
    /// # Errors
    /// If there never will be.
    pub fn next(&mut self, from: Sender) -> Result<Option<Frame<'_>>, Malformed> {
        let Some((frame, taken)) = decode(self.bytes.get(self.used..).unwrap_or_default(), from)? else {
            return Ok(None);
        };
        self.used = self.used.saturating_add(taken);
        Ok(Some(frame))
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used >= self.bytes.len()
    }

    /// Gives memory back of which more than this is held for nothing.
    pub fn give_back_above(&mut self, kept: usize) {
        if self.bytes.capacity() > kept && self.bytes.len().saturating_sub(self.used) <= kept {
            self.put(&[]);
            self.bytes.shrink_to(kept);
        }
    }

    /// How much memory it holds.
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
            assert_eq!(FrameType::of(number).map(FrameType::number), (1..=11).contains(&number).then_some(number));
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
            inbox.give_back_above(0);
            assert_eq!(inbox.capacity(), 0);
        }
    }
}
