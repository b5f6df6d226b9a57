//! The end of the log, by which appends are fenced.

use super::{EntryError, Tenure};
use crate::store::chain::ChainLink;
use crate::types::Seq;

/// The end of the log, as its last entry describes it. Two nodes with equal heads have equal files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Number of the last entry; 0 before the first.
    pub number: u64,
    /// The epoch of the leader that made it.
    pub epoch: u64,
    /// The tenure in which it was made: two candidates may begin the same epoch after the same head.
    pub tenure: Tenure,
    /// The last event of the file after it.
    pub seq: Seq,
    /// The link of the chain after it.
    pub link: ChainLink,
}

/// Length of a head in bytes: version, four numbers, the link, and the CRC-32C of these.
pub const HEAD_BYTES: usize = 1 + 4 * 8 + 32 + 4;

const VERSION: u8 = 1;

impl Head {
    /// The head before the first entry of a file that ends with `seq` and `link`.
    #[must_use]
    pub const fn before_all(seq: Seq, link: ChainLink) -> Head {
        Head { number: 0, epoch: 0, tenure: Tenure(0), seq, link }
    }

    /// Returns the head's bytes: numbers are little-endian.
    #[must_use]
    pub fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[0] = VERSION;
        bytes[1..9].copy_from_slice(&self.number.to_le_bytes());
        bytes[9..17].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[17..25].copy_from_slice(&self.tenure.0.to_le_bytes());
        bytes[25..33].copy_from_slice(&self.seq.get().to_le_bytes());
        bytes[33..65].copy_from_slice(&self.link.0);
        let crc = crc32c::crc32c(&bytes[..65]);
        bytes[65..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the bytes of a head.
    ///
    /// # Errors
    /// If they are damaged, or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Head, EntryError> {
        let bytes: &[u8; HEAD_BYTES] = bytes.try_into().map_err(|_| EntryError::Damaged)?;
        let (content, crc) = bytes.split_at(HEAD_BYTES - 4);
        if crc32c::crc32c(content).to_le_bytes() != *crc {
            return Err(EntryError::Damaged);
        }
        if bytes[0] != VERSION {
            return Err(EntryError::Newer { found: bytes[0] });
        }
        let number = |at: usize| bytes[at..].first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk));
        let seq = Seq::new(number(25)).ok_or_else(|| EntryError::Malformed("a seq above 2^48".into()))?;
        let link = bytes[33..].first_chunk().map_or(ChainLink::START, |link| ChainLink(*link));
        Ok(Head { number: number(1), epoch: number(9), tenure: Tenure(number(17)), seq, link })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_survives_its_bytes_and_a_flipped_bit_is_noticed() {
        let seq = Seq::new(0x0102_0304_0506).expect("in range");
        let head = Head { number: 7, epoch: 2, tenure: Tenure(0x0807_0605), seq, link: ChainLink([9; 32]) };
        let bytes = head.encode();
        assert_eq!(Head::decode(&bytes), Ok(head));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode(&flipped), Err(EntryError::Damaged), "bit {bit}");
        }
        assert_eq!(Head::decode(&bytes[1..]), Err(EntryError::Damaged));
    }
}
