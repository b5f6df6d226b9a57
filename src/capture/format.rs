//! The format of a capture file.
//!
//! ```text
//! header   magic "FCcaptur", version u32, file id [16], epoch u64, CRC-32C of these u32
//! record   length of the body u32, CRC-32C of the body u32, body
//! ```
//!
//! Numbers outside of bodies are little-endian. A body is one [`Record`] in bincode 2 (little-endian, varint), at most
//! [`BODY_BYTES_MAX`] long. The length is held against that bound before anything is allocated, the checksum against
//! the body before anything is decoded, and a body is used up by its record. So whatever a file says, reading it takes
//! no more than one body's room.
//!
//! A file that ends within a record has a torn tail: what comes before it is good.

use std::io::{self, Read, Write};

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::error::EncodeError;

use super::bytes::{number, read_up_to};
use super::encoding::{encoding_of_enum, encoding_of_struct};
use super::extensions::{extension_of, room_of_spec};
pub use super::rooms::{SavedAdmission, SavedDraw, SavedPhase, SavedRecorded, SavedRoom, SavedTicket};
pub use super::standby::{SavedGrant, SavedLeaving, SavedStandby};
use crate::engine::{
    Admitted, AuctionSpec, Best, Command, DropSpec, Leader, Order, Outcome, RememberedCommand, RememberedOrder,
};
use crate::types::{
    AuctionId, AuctionState, Digest, DropId, EndpointState, EventFilter, IdentityDigests, Seq, Tier, UnitPrice,
    UnixMillis, hex,
};

/// The first bytes of every capture.
pub const MAGIC: [u8; 8] = *b"FCcaptur";
/// The version of the format, and of the engine's types in it.
pub const VERSION: u32 = 5;
/// The oldest version that is read: what came after it has tags of its own.
const OLDEST_VERSION: u32 = 3;
/// The length of the header.
pub const HEADER_BYTES: usize = 40;
/// The longest body: a drop with the longest texts that a request may carry takes a fifth of it.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// The frame before a body.
const FRAME_BYTES: usize = 8;

type BincodeConfig = Configuration<LittleEndian, Varint, Limit<BODY_BYTES_MAX>>;
const CONFIG: BincodeConfig =
    bincode::config::standard().with_little_endian().with_variable_int_encoding().with_limit::<BODY_BYTES_MAX>();

/// The database whose commands a file holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The database that was served.
    pub file_id: [u8; 16],
    pub epoch: u64,
}

/// One piece of a capture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// A state begins: its parts follow, drops first.
    SnapshotBegun(SnapshotBegun),
    /// A drop of the state.
    Drop(Box<SavedDrop>),
    /// Units of a drop that a buyer holds or has bought.
    Used(Used),
    /// A live order of the state.
    LiveOrder(Box<Order>),
    /// The key of an order that is no longer live, oldest first.
    OrderKey(OrderKey),
    /// The key of another command, oldest first.
    CommandKey(SavedCommandKey),
    /// An auction of the state; after the drops.
    Auction(Box<SavedAuction>),
    /// The most that a buyer would pay in an auction.
    Best(SavedBest),
    /// The state is whole; so many parts it has.
    SnapshotEnded(u64),
    Endpoint(SavedEndpoint),
    Tier(SavedTier),
    /// A buyer who stands by, in a snapshot.
    Standby(Box<SavedStandby>),
    /// The last order that a buyer got from a line, in a snapshot.
    Granted(SavedGrant),
    /// A buyer who left a line without an order, in a snapshot.
    LeftLine(SavedLeaving),
    Decided(Box<Recorded>),
    Committed(Committed),
    /// So many commands were decided but not recorded; a snapshot follows.
    Gap(u64),
    /// The shard of the state, before its drops; 0 without it.
    OfShard(u8),
    /// Units of a drop that orders with the same identity hold or have bought.
    IdentityUsed(IdentityUsed),
    /// The identities of a live order, after it.
    Identities(OrderIdentities),
    /// A waiting room, after the drops; its tickets and admissions follow.
    Room(SavedRoom),
    /// The draw of the room before it, once it has begun.
    Draw(Box<SavedDraw>),
    /// An order that the blind window of a drop recorded, in the order of their numbers; after the draw.
    Recorded(SavedRecorded),
    /// The blind window of a drop is over.
    WindowOver(DropId),
    /// A ticket of the room before it, in the order of their numbers.
    Ticket(SavedTicket),
    /// An admission of the room before it, oldest first.
    Admission(SavedAdmission),
}
encoding_of_enum!(Record {
    1 = SnapshotBegun(begun),
    2 = Drop(saved),
    3 = Used(used),
    4 = LiveOrder(order),
    5 = OrderKey(key),
    6 = CommandKey(key),
    7 = SnapshotEnded(parts),
    8 = Decided(recorded),
    9 = Committed(committed),
    10 = Gap(dropped),
    11 = Auction(saved),
    12 = Best(best),
    13 = Endpoint(saved),
    14 = OfShard(number),
    16 = IdentityUsed(used),
    17 = Identities(identities),
    18 = Tier(saved),
    19 = Standby(saved),
    20 = Granted(saved),
    21 = Room(saved),
    22 = Ticket(saved),
    23 = Admission(saved),
    25 = Draw(saved),
    26 = Recorded(saved),
    27 = WindowOver(drop_id),
    28 = LeftLine(saved),
} extended {
    15 = Drop(saved),
} with_room {
    24 = Drop(saved),
});

/// The parts of a state that are not lists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotBegun {
    pub seq: Seq,
    pub at: UnixMillis,
    /// The most keys that are remembered.
    pub idempotency_keys_max: u64,
}
encoding_of_struct!(SnapshotBegun { seq, at, idempotency_keys_max });

/// A drop of a state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavedDrop {
    pub id: DropId,
    pub spec: DropSpec,
    pub held: u32,
    pub sold: u32,
    pub revision: u32,
    pub paused: bool,
    pub ended: bool,
    pub started: bool,
    pub mismatch: bool,
    pub last_seq: Seq,
    pub version: Seq,
}
encoding_of_struct!(SavedDrop { id, spec, held, sold, revision, paused, ended, started, mismatch, last_seq, version });
extension_of!(SavedDrop { spec });
room_of_spec!(SavedDrop);

/// An auction of a state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavedAuction {
    pub id: AuctionId,
    pub drop_id: DropId,
    pub spec: AuctionSpec,
    pub ends_at: UnixMillis,
    pub extensions: u32,
    pub state: AuctionState,
    pub current: Option<UnitPrice>,
    pub leader: Option<Leader>,
    pub bids: u64,
    pub awards: u32,
}
encoding_of_struct!(SavedAuction { id, drop_id, spec, ends_at, extensions, state, current, leader, bids, awards });

/// The most that a buyer would pay in an auction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavedBest {
    pub auction_id: AuctionId,
    pub buyer: Digest,
    pub best: Best,
}
encoding_of_struct!(SavedBest { auction_id, buyer, best });

/// Units that a buyer holds or has bought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Used {
    pub drop_id: DropId,
    pub buyer: Digest,
    pub units: u32,
}
encoding_of_struct!(Used { drop_id, buyer, units });

/// Units that orders with the same identity hold or have bought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentityUsed {
    pub drop_id: DropId,
    pub identity: Digest,
    pub units: u32,
}
encoding_of_struct!(IdentityUsed { drop_id, identity, units });

/// The identities of a live order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderIdentities {
    pub order: Seq,
    pub identities: IdentityDigests,
}
encoding_of_struct!(OrderIdentities { order, identities });

/// A remembered key of an order that is no longer live.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderKey {
    pub key: Digest,
    pub remembered: RememberedOrder,
    /// Since when nothing live needs it.
    pub idle_since: UnixMillis,
}
encoding_of_struct!(OrderKey { key, remembered, idle_since });

/// A remembered key of another command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavedCommandKey {
    pub key: Digest,
    pub remembered: RememberedCommand,
    pub at: UnixMillis,
}
encoding_of_struct!(SavedCommandKey { key, remembered, at });

/// An endpoint of a state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavedEndpoint {
    pub id: Seq,
    pub state: EndpointState,
    pub events: EventFilter,
    pub configured: bool,
    pub position: Seq,
    pub revision: u32,
}
encoding_of_struct!(SavedEndpoint { id, state, events, configured, position, revision });

/// A tier that an operator has set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SavedTier {
    pub buyer: Digest,
    pub tier: Tier,
    pub expires_at: Option<UnixMillis>,
}
encoding_of_struct!(SavedTier { buyer, tier, expires_at });

/// A decided command, and all that its decision needed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded {
    pub at: UnixMillis,
    pub command: Command,
    pub admitted: Admitted,
    pub outcome: Outcome,
    /// The digest of its events, and of those that were due before it ([`digest_of`]).
    pub events: u64,
}
encoding_of_struct!(Recorded { at, command, admitted, outcome, events });

/// The end of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed {
    /// The last event of the state.
    pub seq: Seq,
    /// The instant of that event, or of the last one before.
    pub at: UnixMillis,
    /// The digest of events that were due after the batch's last command.
    pub events: u64,
    /// True if there was any event, so that orders that are not live left memory.
    pub released: bool,
}
encoding_of_struct!(Committed { seq, at, events, released });

/// Reasons why a capture cannot be read further.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The system says so.
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("at byte 0: this is no capture of firstcome ({0})")]
    NotOurs(&'static str),
    #[error("at byte 8: a capture of version {found}; this program reads versions {OLDEST_VERSION} to {VERSION}")]
    Version { found: u32 },
    /// The file ends within a record.
    #[error("at byte {offset}: the file ends within a record")]
    Torn {
        /// The byte at which that record begins.
        offset: u64,
    },
    /// A record is not what was written.
    #[error("at byte {offset}: {what}")]
    Damaged {
        /// The byte at which the record begins.
        offset: u64,
        what: String,
    },
}

/// Appends what is encoded to bytes in memory, which cannot fail; bincode's adapter for `io::Write` counts and maps errors.
struct Memory<'a>(&'a mut Vec<u8>);

impl bincode::enc::write::Writer for Memory<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Writes a file, one record after another.
pub struct RecordWriter<W> {
    output: W,
    /// The frame of the record that is written, and its body.
    framed: Vec<u8>,
    written: u64,
}

impl<W: Write> RecordWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn begin(mut output: W, header: &Header) -> io::Result<RecordWriter<W>> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&header.file_id);
        bytes.extend_from_slice(&header.epoch.to_le_bytes());
        let sum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        output.write_all(&bytes)?;
        Ok(RecordWriter { output, framed: Vec::with_capacity(1024), written: bytes.len() as u64 })
    }

    /// Writes a record.
    ///
    /// # Errors
    /// The error of the operating system, or that the record is too long to be read again.
    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        self.framed.clear();
        self.framed.extend_from_slice(&[0; FRAME_BYTES]);
        bincode::encode_into_writer(record, Memory(&mut self.framed), CONFIG).map_err(io::Error::other)?;
        let (frame, body) = self.framed.split_at_mut(FRAME_BYTES);
        let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= BODY_BYTES_MAX);
        let length = length.ok_or_else(|| io::Error::other(format!("a record of {} bytes", body.len())))?;
        let (of_length, of_sum) = frame.split_at_mut(FRAME_BYTES / 2);
        of_length.copy_from_slice(&length.to_le_bytes());
        of_sum.copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
        self.output.write_all(&self.framed)?;
        self.written = self.written.saturating_add(self.framed.len() as u64);
        Ok(())
    }

    /// Hands what was written to the system.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    /// The length of the file in bytes.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }
}

/// Reads a file, one record after another.
pub struct RecordReader<R> {
    input: R,
    body: Vec<u8>,
    offset: u64,
    pub header: Header,
}

impl<R: Read> RecordReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// If it is not that of a capture that this program can read.
    pub fn open(mut input: R) -> Result<RecordReader<R>, Trouble> {
        let mut bytes = [0u8; HEADER_BYTES];
        let length = read_up_to(&mut input, &mut bytes)?;
        let (magic, rest) = bytes.split_at(MAGIC.len());
        if length == 0 {
            return Err(Trouble::NotOurs("it is empty"));
        }
        if !MAGIC.starts_with(&magic[..length.min(MAGIC.len())]) {
            return Err(Trouble::NotOurs("it begins with other bytes"));
        }
        let (version, rest) = number(rest);
        if length >= MAGIC.len() + 4 && !(OLDEST_VERSION..=VERSION).contains(&version) {
            return Err(Trouble::Version { found: version });
        }
        if length < HEADER_BYTES {
            return Err(Trouble::Damaged { offset: 0, what: "the file ends within its header".into() });
        }
        let (body, sum) = bytes.split_at(HEADER_BYTES - 4);
        if number(sum).0 != crc32c::crc32c(body) {
            return Err(Trouble::Damaged { offset: 0, what: "the header does not match its checksum".into() });
        }
        let (file_id, rest) = rest.split_first_chunk().unwrap_or((&[0; 16], rest));
        let epoch = rest.first_chunk().map_or(0, |epoch| u64::from_le_bytes(*epoch));
        let header = Header { file_id: *file_id, epoch };
        Ok(RecordReader { input, body: Vec::new(), offset: HEADER_BYTES as u64, header })
    }

    /// Returns the byte at which the next record begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record; none at the end of the file.
    ///
    /// # Errors
    /// [`Trouble::Torn`] if the file ends within it, [`Trouble::Damaged`] if it is not what was written.
    pub fn read(&mut self) -> Result<Option<Record>, Trouble> {
        let offset = self.offset;
        let damaged = |what: String| Trouble::Damaged { offset, what };
        let mut frame = [0u8; FRAME_BYTES];
        match read_up_to(&mut self.input, &mut frame)? {
            0 => return Ok(None),
            FRAME_BYTES => {}
            _ => return Err(Trouble::Torn { offset }),
        }
        let (length, sum) = number(&frame);
        let bytes = usize::try_from(length).unwrap_or(usize::MAX);
        if bytes > BODY_BYTES_MAX {
            return Err(damaged(format!("a record of {length} bytes; {BODY_BYTES_MAX} are the most")));
        }
        self.body.resize(bytes, 0);
        if read_up_to(&mut self.input, &mut self.body)? < bytes {
            return Err(Trouble::Torn { offset });
        }
        if number(sum).0 != crc32c::crc32c(&self.body) {
            return Err(damaged("the record does not match its checksum".into()));
        }
        let (record, used): (Record, usize) =
            bincode::decode_from_slice(&self.body, CONFIG).map_err(|error| damaged(format!("no record: {error}")))?;
        if used != bytes {
            return Err(damaged(format!("a record of {used} bytes with {} more behind it", bytes - used)));
        }
        self.offset = offset.saturating_add((FRAME_BYTES + bytes) as u64);
        Ok(Some(record))
    }
}

/// The digest of events: of their bytes, in order. 0 without events, so that a refusal costs nothing.
#[must_use]
pub fn digest_of(events: &[crate::engine::Event]) -> u64 {
    if events.is_empty() {
        return 0;
    }
    let mut bytes = Vec::with_capacity(events.len().saturating_mul(96));
    for event in events {
        // Into memory this does not fail, and what it would leave out changes the digest.
        let _fits = bincode::encode_into_writer(event, Memory(&mut bytes), CONFIG);
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
    digest.as_ref().first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

impl Header {
    /// The database in hexadecimal digits.
    #[must_use]
    pub fn database(&self) -> String {
        hex::encode(&self.file_id)
    }
}
