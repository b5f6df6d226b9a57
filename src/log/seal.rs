//! Encryption of entries: they have buyers' names and contacts, and the disks of the log's members must not.
//!
//! AES-256-GCM-SIV (RFC 8452) with a random nonce, which stays safe if two nonces should ever be equal. The entry's number
//! stands in front in clear, and is authenticated.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::types::{hex, random};

const KEY_BYTES: usize = 32;
const NUMBER_BYTES: usize = 8;

/// The key of a cluster.
pub struct Seal(LessSafeKey);

impl Seal {
    /// Parses a key: 64 hexadecimal digits in lower case, as `openssl rand -hex 32` prints them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Seal> {
        let bytes = hex::decode(text.trim()).filter(|bytes| bytes.len() == KEY_BYTES)?;
        Some(Seal(LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &bytes).ok()?)))
    }

    /// Encrypts an entry: its number in clear, the nonce, the ciphertext and its tag. The slot of a ring does not tell which
    /// round's entry it has.
    ///
    /// # Panics
    /// If the system has no random bytes.
    #[must_use]
    pub fn close(&self, number: u64, entry: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        random::fill(&mut nonce);
        let mut sealed = number.to_le_bytes().to_vec();
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(entry);
        let (_, content) = sealed.split_at_mut(NUMBER_BYTES + NONCE_LEN);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(number.to_le_bytes()), content);
        // Fails only beyond 2^36 bytes; what has no tag is refused where it is read.
        if let Ok(tag) = tag {
            sealed.extend_from_slice(tag.as_ref());
        }
        sealed
    }

    /// Returns the number that an encrypted entry bears in clear. It may be damaged.
    #[must_use]
    pub fn number_of(sealed: &[u8]) -> Option<u64> {
        sealed.first_chunk::<NUMBER_BYTES>().map(|number| u64::from_le_bytes(*number))
    }

    /// Decrypts an entry. `None` if it is damaged, or of another key.
    #[must_use]
    pub fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (number, rest) = sealed.split_first_chunk::<NUMBER_BYTES>()?;
        let (nonce, content) = rest.split_first_chunk::<NONCE_LEN>()?;
        let mut content = content.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let entry = self.0.open_in_place(nonce, Aad::from(*number), &mut content).ok()?;
        Some(entry.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_with_its_key_alone_and_with_every_bit() {
        let (seal, other) = (Seal::parse(&"a1".repeat(32)), Seal::parse(&"a2".repeat(32)));
        let (seal, other) = (seal.expect("a key"), other.expect("a key"));
        let sealed = seal.close(7, b"ann@example.com bought");
        assert_eq!(seal.open(&sealed).as_deref(), Some(&b"ann@example.com bought"[..]));
        assert_eq!((Seal::number_of(&sealed), Seal::number_of(&sealed[..7])), (Some(7), None));
        assert!(!sealed.windows(3).any(|part| part == b"ann"), "nothing is in clear");
        assert_ne!(seal.close(7, b"the same"), seal.close(7, b"the same"));
        assert!(other.open(&sealed).is_none());
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert!(seal.open(&flipped).is_none() && seal.open(&sealed[..at]).is_none(), "{at}");
        }
    }

    #[test]
    fn a_key_has_64_digits() {
        let digits = "0f".repeat(32);
        assert!(Seal::parse(&format!("{digits}\n")).is_some());
        for wrong in [&digits[1..], &format!("{digits}00"), &digits.to_uppercase(), "", "secret"] {
            assert!(Seal::parse(wrong).is_none(), "{wrong}");
        }
    }
}
