//! The bytes of an entry.
//!
//! ```text
//! version u8, body, refusals of waiting rooms (if there are any), CRC-32C u32 (little-endian) of all before it
//! ```
//!
//! The body is bincode 2 (little-endian, varint), bounded before anything is allocated. An entry carries events, not
//! commands, so that a node with another engine cannot decide differently. What it has been read from is not trusted:
//! [`Entry::decode`] returns only batches that [`Recorder::record`](crate::store::Recorder::record) takes.

use std::collections::BTreeMap;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::de::{Decode, Decoder};
use bincode::enc::write::SizeWriter;
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};

use super::{Head, Tenure, private_data};
use crate::capture::encoding::encoding_of_struct;
use crate::engine::Event;
use crate::store::chain::ChainLink;
use crate::store::{Batch, PerSecondFigures, PerSecondTally, PrivateData};
use crate::types::{DropId, Seq, UnixMillis};

/// The version of the encoding, and of the engine's types in it. A node that reads a newer one stops following.
pub const VERSION: u8 = 3;
/// The oldest version that is read. Version 2 added tags for drops with caps or challenges and for orders with facts,
/// version 3 those of waiting rooms, and behind the body the counts of buyers whom a room had not admitted.
const OLDEST_VERSION: u8 = 1;

/// The longest entry. etcd takes requests of at most 1.5 MiB (`--max-request-bytes`); shorter entries keep its p99 low.
pub const ENTRY_BYTES_MAX: usize = 512 * 1024;

const CRC_BYTES: usize = 4;

type EntryConfig = Configuration<LittleEndian, Varint, Limit<ENTRY_BYTES_MAX>>;
const CONFIG: EntryConfig =
    bincode::config::standard().with_little_endian().with_variable_int_encoding().with_limit::<ENTRY_BYTES_MAX>();

/// A batch of the log.
#[derive(PartialEq, Eq, Debug)]
pub struct Entry {
    /// Position in the log; the first is 1.
    pub number: u64,
    /// The epoch of the leader that made it.
    pub epoch: u64,
    /// The tenure in which it was made.
    pub tenure: Tenure,
    /// The last event of the file after it.
    pub seq: Seq,
    /// The link of the chain that the batch follows.
    pub before: ChainLink,
    /// The link of the chain after it; [`Entry::before`] if the batch has no event.
    pub link: ChainLink,
    /// The leader's instant at its commit.
    pub at: UnixMillis,
    pub batch: Batch,
}

/// Reasons why bytes are not an entry, or a batch does not become one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error("an entry of version {found}; this program reads versions {OLDEST_VERSION} to {VERSION}: upgrade it")]
    Newer { found: u8 },
    #[error("the entry does not match its checksum")]
    Damaged,
    #[error("no entry: {0}")]
    Malformed(String),
    /// The batch is longer than [`ENTRY_BYTES_MAX`].
    #[error("an entry of {bytes} bytes; {ENTRY_BYTES_MAX} are the most")]
    TooLong { bytes: usize },
}

impl Entry {
    /// The head of the log after the entry.
    #[must_use]
    pub fn head(&self) -> Head {
        let Entry { number, epoch, tenure, seq, link, .. } = *self;
        Head { number, epoch, tenure, seq, link }
    }

    /// Returns the entry's bytes.
    ///
    /// # Errors
    /// [`EntryError::TooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, EntryError> {
        let mut bytes = vec![VERSION];
        // Into memory, nothing but the length can be wrong.
        bincode::encode_into_std_write(self, &mut bytes, CONFIG)
            .map_err(|error| EntryError::Malformed(error.to_string()))?;
        let not_admitted = not_admitted(&self.batch.tally);
        if !not_admitted.is_empty() {
            bincode::encode_into_std_write(&not_admitted, &mut bytes, CONFIG)
                .map_err(|error| EntryError::Malformed(error.to_string()))?;
        }
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        if bytes.len() > ENTRY_BYTES_MAX { Err(EntryError::TooLong { bytes: bytes.len() }) } else { Ok(bytes) }
    }

    /// Reads the bytes of an entry.
    ///
    /// # Errors
    /// If they are longer than an entry may be, damaged, of another version, or if its parts do not belong together.
    pub fn decode(bytes: &[u8]) -> Result<Entry, EntryError> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(EntryError::TooLong { bytes: bytes.len() });
        }
        let (content, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(EntryError::Damaged)?;
        if crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
            return Err(EntryError::Damaged);
        }
        let (version, body) = content.split_first().ok_or(EntryError::Damaged)?;
        if !(OLDEST_VERSION..=VERSION).contains(version) {
            return Err(EntryError::Newer { found: *version });
        }
        let read = bincode::decode_from_slice::<Entry, _>(body, CONFIG);
        let (mut entry, used) = read.map_err(|error| EntryError::Malformed(error.to_string()))?;
        read_not_admitted(&body[used..], &mut entry.batch.tally)?;
        entry.check().map_err(|what| EntryError::Malformed(what.into()))?;
        Ok(entry)
    }

    /// Checks that events follow one another and that their private data are those that their rows need.
    fn check(&self) -> Result<(), &'static str> {
        let Batch { events, private_data, .. } = &self.batch;
        if events.is_empty() && self.before != self.link {
            return Err("a link of nothing");
        }
        let follows = |pair: &[crate::engine::Event]| pair[0].seq.next() == pair[1].seq && pair[0].at <= pair[1].at;
        if !events.windows(2).all(follows)
            || events.last().is_some_and(|last| last.at > self.at || last.seq != self.seq)
        {
            return Err("events out of order");
        }
        let mut private_data = private_data.iter().peekable();
        for event in events {
            let own = private_data.next_if(|(seq, _)| *seq == event.seq).map(|(_, own)| own);
            if !private_data::suffices(event, own) {
                return Err("an event without the private data of its rows");
            }
        }
        if private_data.next().is_some() { Err("private data of no event") } else { Ok(()) }
    }
}

/// Orders of buyers whom a waiting room had not admitted, by drop and second.
type NotAdmitted = BTreeMap<(DropId, i64), u32>;

fn not_admitted(tally: &PerSecondTally) -> NotAdmitted {
    let counts = tally.figures.iter().map(|(second, figures)| (*second, figures.not_admitted));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// Adds the counts that stand behind a body to its figures.
fn read_not_admitted(rest: &[u8], tally: &mut PerSecondTally) -> Result<(), EntryError> {
    if rest.is_empty() {
        return Ok(());
    }
    let read = bincode::decode_from_slice::<NotAdmitted, _>(rest, CONFIG);
    let (counts, used) = read.map_err(|error| EntryError::Malformed(error.to_string()))?;
    if used != rest.len() || counts.is_empty() {
        return Err(EntryError::Malformed(format!("{} bytes behind it", rest.len())));
    }
    for (second, count) in counts {
        let figures = tally.figures.get_mut(&second).filter(|_| count > 0);
        let figures = figures.ok_or_else(|| EntryError::Malformed("refusals of no second".into()))?;
        figures.not_admitted = count;
    }
    Ok(())
}

/// Returns the length that events and their private data add to an entry, in bytes.
#[must_use]
pub fn encoded_bytes(events: &[Event], private_data: &[(Seq, PrivateData)]) -> usize {
    let mut counted = SizeWriter::default();
    for event in events {
        // Nothing is limited here, and the writer cannot fail.
        let _counted = bincode::encode_into_writer(event, &mut counted, CONFIG.with_no_limit());
    }
    for own in private_data {
        let _counted = bincode::encode_into_writer(own, &mut counted, CONFIG.with_no_limit());
    }
    counted.bytes_written
}

impl Encode for ChainLink {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<Context> Decode<Context> for ChainLink {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        <[u8; 32]>::decode(decoder).map(ChainLink)
    }
}

impl Encode for Tenure {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<Context> Decode<Context> for Tenure {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        u64::decode(decoder).map(Tenure)
    }
}

encoding_of_struct!(Entry { number, epoch, tenure, seq, before, link, at, batch });
encoding_of_struct!(Batch { events, private_data, tally });
encoding_of_struct!(PerSecondTally { figures });
encoding_of_struct!(PerSecondFigures {
    orders,
    units,
    other_commands,
    repeated,
    key_reused,
    not_started,
    ended,
    paused,
    limit_reached,
    sold_out,
    other_refusals,
    queue_wait_us,
    queue_wait_us_max,
    commits,
    commit_us,
} later { not_admitted });
