//! Lower-case hexadecimal, for ids and digests in text.

/// The bytes as lower-case hexadecimal digits.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        text.extend(digits(*byte).map(char::from));
    }
    text
}

/// The two digits of a byte.
#[must_use]
pub const fn digits(byte: u8) -> [u8; 2] {
    [digit(byte >> 4), digit(byte & 0x0f)]
}

/// Writes a number as 16 lower-case hexadecimal digits, without allocation.
#[must_use]
pub fn of_u64(number: u64) -> [u8; 16] {
    // Every answer bears one.
    let mut text = [0; 16];
    for (place, byte) in text.as_chunks_mut().0.iter_mut().zip(number.to_be_bytes()) {
        *place = digits(byte);
    }
    text
}

/// The value of one hexadecimal digit, lower case only, so that a value has one spelling.
#[must_use]
pub const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Decodes lower-case hexadecimal digits.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().map(value).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| (high << 4) | low).collect())
}

const fn digit(nibble: u8) -> u8 {
    b"0123456789abcdef"[(nibble & 0x0f) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_digits_of_its_bytes() {
        for number in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            assert_eq!(of_u64(number), encode(&number.to_be_bytes()).as_bytes());
        }
    }
}
