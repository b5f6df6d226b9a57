//! Reads of numbers and of blocks whose end may be missing.

use std::io::{self, Read};

/// The little-endian number at the front, and what follows it.
pub(super) fn number(bytes: &[u8]) -> (u32, &[u8]) {
    bytes.split_first_chunk().map_or((0, bytes), |(number, rest)| (u32::from_le_bytes(*number), rest))
}

/// Fills `bytes` as far as the input goes.
pub(super) fn read_up_to(input: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(count) => filled = filled.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
