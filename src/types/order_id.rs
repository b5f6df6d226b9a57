//! The public id of an order: a UUIDv8 (RFC 9562) of 48 bits `seq`, 8 bits shard and 66 random bits. The shard is 0 until
//! there are several. Ids made before shards have 74 random bits: they stay valid, and only a router looks at the shard.
//!
//! The id is the permission to read, check out and cancel the order, so the random part is compared in constant time and
//! never appears in logs, events, audit or captures.

use std::fmt;

use subtle::ConstantTimeEq;

use super::{Seq, Shard, hex};

/// The shard and the 66 random bits of an order's id, in ten bytes whose first six bits are 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OrderSecret([u8; 10]);

impl OrderSecret {
    /// Returns the secret of ten random bytes, of which 66 bits are kept.
    #[must_use]
    pub const fn from_random(shard: Shard, mut bytes: [u8; 10]) -> OrderSecret {
        bytes[0] = shard.get() >> 6;
        bytes[1] = (shard.get() << 2) | (bytes[1] & 0b11);
        OrderSecret(bytes)
    }

    /// The shard that made the id. Random in ids that were made before shards.
    #[must_use]
    pub const fn shard(&self) -> Shard {
        Shard::new((self.0[0] << 6) | (self.0[1] >> 2))
    }

    /// The ten bytes as they are stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 10] {
        &self.0
    }

    /// Returns the secret with these stored bytes. `None` if they are invalid.
    #[must_use]
    pub fn from_stored(bytes: &[u8]) -> Option<OrderSecret> {
        let bytes: [u8; 10] = bytes.try_into().ok()?;
        (bytes[0] <= 0b11).then_some(OrderSecret(bytes))
    }

    /// Compares in constant time.
    #[must_use]
    pub fn matches(&self, other: &OrderSecret) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for OrderSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OrderSecret(..)")
    }
}

/// The public id of an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderId {
    /// The number of the order's `OrderReserved` event.
    pub seq: Seq,
    /// Random part, which makes the id unguessable.
    pub secret: OrderSecret,
}

/// Length of an order id in text: 32 digits and 4 hyphens.
pub const ORDER_ID_CHARS: usize = 36;
/// The position of each byte's two digits in the text, between the hyphens.
const PAIRS: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

impl OrderId {
    /// The 16 bytes of the UUID: `seq` (48 bits), version 8, 12 random bits, variant 10, 62 random bits.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        let s = self.secret.0;
        let seq = self.seq.get().to_be_bytes();
        // The 74 bits, most significant first: s[0] holds 2, s[1..10] hold 72. The first 12 go behind the version.
        let high12 = (u16::from(s[0]) << 10) | (u16::from(s[1]) << 2) | u16::from(s[2] >> 6);
        let [high_a, high_b] = high12.to_be_bytes();
        [
            seq[2],
            seq[3],
            seq[4],
            seq[5],
            seq[6],
            seq[7],
            0x80 | high_a,
            high_b,
            0x80 | (s[2] & 0x3f),
            s[3],
            s[4],
            s[5],
            s[6],
            s[7],
            s[8],
            s[9],
        ]
    }

    /// Returns the id in the 16 bytes of a UUIDv8. `None` if they are another UUID.
    #[must_use]
    pub fn from_bytes(b: [u8; 16]) -> Option<OrderId> {
        if b[6] >> 4 != 8 || b[8] >> 6 != 0b10 {
            return None;
        }
        let seq = Seq::new(u64::from_be_bytes([0, 0, b[0], b[1], b[2], b[3], b[4], b[5]]))?;
        let high12 = (u16::from(b[6] & 0x0f) << 8) | u16::from(b[7]);
        let [top, middle] = (high12 >> 2).to_be_bytes();
        let [_, low2] = (high12 & 0b11).to_be_bytes();
        let secret = [top, middle, (low2 << 6) | (b[8] & 0x3f), b[9], b[10], b[11], b[12], b[13], b[14], b[15]];
        Some(OrderId { seq, secret: OrderSecret(secret) })
    }

    /// Parses the spelling that the server writes, with hyphens at 8, 13, 18 and 23; digits also in upper case, as RFC 9562
    /// (4) asks of readers.
    #[must_use]
    pub fn parse(text: &str) -> Option<OrderId> {
        let text = text.as_bytes();
        if text.len() != ORDER_ID_CHARS {
            return None;
        }
        let mut bytes = [0u8; 16];
        let mut digits = 0usize;
        for (position, &character) in text.iter().enumerate() {
            if matches!(position, 8 | 13 | 18 | 23) {
                if character != b'-' {
                    return None;
                }
                continue;
            }
            let value = hex::value(character.to_ascii_lowercase())?;
            bytes[digits / 2] = (bytes[digits / 2] << 4) | value;
            digits += 1;
        }
        OrderId::from_bytes(bytes)
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every answer to an order has one: no memory of its own, and one piece.
        let mut text = [b'-'; ORDER_ID_CHARS];
        for (byte, place) in self.to_bytes().into_iter().zip(PAIRS) {
            let [high, low] = hex::digits(byte);
            text[place] = high;
            text[place + 1] = low;
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

const CODE_DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Stands between the shard and the seq of a code: a letter that is neither a digit nor like one.
const CODE_SHARD: char = 'U';

/// The check digit of a code: the seq modulo 29, a prime to which 32 leaves 3, so that a swap of neighbours changes it too,
/// and moved by the shard.
fn check_digit(shard: Shard, seq: Seq) -> char {
    let check = (seq.get() % 29).saturating_add(u64::from(shard.get())) % 29;
    char::from(CODE_DIGITS[usize::try_from(check).unwrap_or(0)])
}

/// The short code of an order for people on the telephone: `FC-`, the seq in Crockford's base 32, and a check digit. In a
/// shard other than 0 the shard and a `U` come before the seq, so that no two shards give the same code.
#[must_use]
pub fn code_of(shard: Shard, seq: Seq) -> String {
    let mut reversed = Vec::with_capacity(14);
    let mut rest = seq.get();
    loop {
        reversed.push(CODE_DIGITS[usize::try_from(rest & 31).unwrap_or(0)]);
        rest >>= 5;
        if rest == 0 {
            break;
        }
    }
    let mut code = String::with_capacity("FC-7ZU".len().saturating_add(reversed.len()).saturating_add(1));
    code.push_str("FC-");
    if shard != Shard::SINGLE {
        let number = usize::from(shard.get());
        if number > 31 {
            code.push(char::from(CODE_DIGITS[number >> 5]));
        }
        code.push(char::from(CODE_DIGITS[number & 31]));
        code.push(CODE_SHARD);
    }
    code.extend(reversed.iter().rev().map(|&digit| char::from(digit)));
    code.push(check_digit(shard, seq));
    code
}

/// Returns the shard and the seq of a code as people type it: also in lower case, without `FC-`, with O for 0, I or L for 1.
#[must_use]
pub fn order_of_code(code: &str) -> Option<(Shard, Seq)> {
    let upper = code.trim().to_ascii_uppercase();
    let digits = upper.strip_prefix("FC-").or_else(|| upper.strip_prefix("FC")).unwrap_or(&upper);
    let (shard, digits) = match digits.split_once(CODE_SHARD) {
        Some((shard, digits)) => (u8::try_from(number_of_digits(shard)?).ok().map(Shard::new)?, digits),
        None => (Shard::SINGLE, digits),
    };
    let (number, check) = digits.split_at_checked(digits.len().checked_sub(1)?)?;
    let seq = Seq::new(number_of_digits(number)?)?;
    // The check digit is compared after the same mapping of look-alikes.
    let check = check.chars().next().map(without_look_alikes)?;
    (check_digit(shard, seq) == check).then_some((shard, seq))
}

fn without_look_alikes(character: char) -> char {
    match character {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    }
}

/// Reads at most ten digits of Crockford's base 32.
fn number_of_digits(digits: &str) -> Option<u64> {
    if digits.is_empty() || digits.len() > 10 {
        return None;
    }
    digits.chars().map(without_look_alikes).try_fold(0u64, |value, character| {
        let digit = CODE_DIGITS.iter().position(|digit| char::from(*digit) == character)?;
        Some((value << 5) | u64::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(seq: u64, fill: u8) -> OrderId {
        let mut random = [fill; 10];
        random[9] = fill.wrapping_add(1);
        OrderId { seq: Seq::new(seq).expect("in range"), secret: OrderSecret::from_random(Shard::SINGLE, random) }
    }

    #[test]
    fn an_id_survives_its_text_and_is_a_uuid_v8() {
        for (seq, fill) in [(0, 0), (1, 0xff), (0xffff_ffff_ffff, 0x5a), (123_456, 0xa5)] {
            let id = id(seq, fill);
            let text = id.to_string();
            assert_eq!(OrderId::parse(&text), Some(id), "{text}");
            assert_eq!(&text[14..15], "8");
            assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"), "{text}");
        }
    }

    #[test]
    fn an_id_shows_its_shard_behind_the_version() {
        for shard in [0, 1, 0x2a, 0xff].map(Shard::new) {
            let id = OrderId { seq: Seq::ZERO, secret: OrderSecret::from_random(shard, [0xff; 10]) };
            assert_eq!(id.secret.shard(), shard);
            assert_eq!(id.to_string(), format!("00000000-0000-8{:02x}f-bfff-ffffffffffff", shard.get()));
        }
    }

    #[test]
    fn every_one_of_the_74_bits_counts() {
        let mut seen = std::collections::BTreeSet::new();
        for bit in 0..74usize {
            let mut bytes = [0u8; 10];
            bytes[9 - bit / 8] |= 1 << (bit % 8);
            let secret = OrderSecret::from_stored(&bytes).expect("74 bits");
            let id = OrderId { seq: Seq::ZERO, secret };
            assert!(seen.insert(id.to_bytes()), "bit {bit} is lost");
            assert_eq!(OrderId::from_bytes(id.to_bytes()), Some(id));
        }
    }

    #[test]
    fn other_spellings_and_other_uuids_are_no_ids() {
        let good = id(77, 9).to_string();
        assert_eq!(OrderId::parse(&good.to_ascii_uppercase()), Some(id(77, 9)), "many libraries write upper case");
        for bad in [
            good.replace('-', ""),
            format!("{good}0"),
            good[..35].to_string(),
            "00000000-0000-4000-8000-000000000000".into(),
            "00000000-0000-8000-0000-000000000000".into(),
            "garbage".into(),
            String::new(),
        ] {
            assert_eq!(OrderId::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn codes_are_read_as_people_type_them_and_a_typing_error_is_noticed() {
        for seq in [0, 1, 31, 32, 12_345, 987_654_321, Seq::MAX.get()] {
            let seq = Seq::new(seq).expect("in range");
            for shard in [0, 1, 14, 31, 32, 255].map(Shard::new) {
                let code = code_of(shard, seq);
                let order = Some((shard, seq));
                assert_eq!(order_of_code(&code), order, "{code}");
                assert_eq!(order_of_code(&code.to_lowercase().replace("fc-", "")), order, "{code}");
                assert_eq!(order_of_code(&code.replace('-', "")), order, "{code}");
            }
        }
        let seq = Seq::new(12_345).expect("in range");
        assert_eq!(code_of(Shard::SINGLE, seq), "FC-C1SM");
        assert_eq!(code_of(Shard::new(3), seq), "FC-3UC1SQ");
        assert_eq!(code_of(Shard::new(255), seq), "FC-7ZUC1SE");
        for bad in ["FC-C1TM", "FC-1CSM", "FC-4UC1SQ", "FC-UC1SM", "FC-80UC1SM", "FC-3U", "", "FC-", "FC-💥"] {
            assert_eq!(order_of_code(bad), None, "{bad}");
        }
        assert_eq!(order_of_code("FC-CISM"), Some((Shard::SINGLE, seq)));
    }
}
