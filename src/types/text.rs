//! Texts of clients, checked once.

use std::borrow::Cow;
use std::fmt;

use compact_str::CompactString;

pub use super::instant::{parse_rfc3339, rfc3339, write_rfc3339};

/// A buyer: opaque text from the shop, 1 to 128 bytes without control characters.
///
/// Short texts are stored inline: workers create them and the writer drops them, and memory that is allocated on one
/// thread and freed on another is slow. Personal data: its `Debug` shows nothing, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct BuyerText(CompactString);

/// Longest buyer text, in bytes (`src/http/README.md`).
pub const BUYER_BYTES_MAX: usize = 128;

impl BuyerText {
    /// Returns the buyer with this text. `None` if its form is wrong.
    #[must_use]
    pub fn new(text: &str) -> Option<BuyerText> {
        // Every order has a buyer, nearly always of these characters alone.
        let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let fits = (1..=BUYER_BYTES_MAX).contains(&text.len()) && (is_plain || !text.chars().any(char::is_control));
        fits.then(|| BuyerText(CompactString::new(text)))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BuyerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BuyerText(..)")
    }
}

/// Length of the longest name of an operator, in characters.
pub const OPERATOR_NAME_CHARS_MAX: usize = 64;

/// Returns whether a text may name an operator. Names are shown in logs, in the audit and on terminals without escaping.
#[must_use]
pub fn is_operator_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_@".contains(&byte);
    (1..=OPERATOR_NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(plain)
}

/// Returns a text for a cell of a spreadsheet: one that would be a formula there has an apostrophe before it.
#[must_use]
pub fn plain_cell(text: &str) -> Cow<'_, str> {
    // The wide forms are formulas in some versions for East Asian languages.
    const BEGINNINGS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    if text.starts_with(BEGINNINGS) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// Longest idempotency key, in characters (`src/http/README.md`, "Headers").
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;

/// Returns the key of an `Idempotency-Key` header: quoted (a structured-field string) or bare, 1 to 255 visible ASCII
/// characters. `None` for other values.
#[must_use]
pub fn parse_idempotency_key(header: &[u8]) -> Option<Cow<'_, [u8]>> {
    let key = match header {
        [b'"', inner @ .., b'"'] if inner.contains(&b'\\') => Cow::Owned(unescape(inner)?),
        [b'"', inner @ .., b'"'] if !inner.contains(&b'"') => Cow::Borrowed(inner),
        [b'"', ..] => return None,
        bare => Cow::Borrowed(bare),
    };
    is_idempotency_key(&key).then_some(key)
}

/// Returns whether a key has 1 to 255 visible ASCII characters.
#[must_use]
pub fn is_idempotency_key(key: &[u8]) -> bool {
    (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic)
}

/// The content of a structured-field string (RFC 8941, 3.3.3): only `\\` and `\"` are escapes.
fn unescape(inner: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                Some(&escaped @ (b'\\' | b'"')) => out.push(escaped),
                _ => return None,
            },
            b'"' => return None,
            other => out.push(other),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buyers_have_1_to_128_bytes_and_no_control_characters() {
        assert!(BuyerText::new("buyer-7").is_some());
        assert!(BuyerText::new("ünïcode 🙂").is_some());
        assert!(BuyerText::new(&"x".repeat(128)).is_some());
        for bad in ["", "a\nb", "\u{7f}", "\u{85}", &"x".repeat(129)] {
            assert!(BuyerText::new(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn keys_are_taken_quoted_or_bare() {
        let parse = |header: &str| parse_idempotency_key(header.as_bytes()).map(std::borrow::Cow::into_owned);
        assert_eq!(parse("abc"), Some(b"abc".to_vec()));
        assert_eq!(parse("\"abc\""), Some(b"abc".to_vec()));
        assert_eq!(parse(r#""a\"b\\c""#), Some(br#"a"b\c"#.to_vec()));
        assert!(parse(&"k".repeat(255)).is_some());
        for bad in ["", "\"\"", "\"abc", "a b", "\"a b\"", "ä", "\"a\"b\"", r#""a\x""#, &"k".repeat(256)] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
