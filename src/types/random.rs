//! Random bits from the operating system, drawn a page at a time: one system call serves a hundred orders.

use std::cell::RefCell;

use super::{OrderSecret, Shard};

const BUFFER_BYTES: usize = 1000;

struct Buffer {
    bytes: [u8; BUFFER_BYTES],
    used: usize,
}

thread_local! {
    static BUFFER: RefCell<Buffer> = const { RefCell::new(Buffer { bytes: [0; BUFFER_BYTES], used: BUFFER_BYTES }) };
}

/// Fills `out` with random bytes of the operating system.
///
/// # Panics
/// If the system has no generator: without unguessable ids nothing may be sold.
pub fn fill(out: &mut [u8]) {
    let mut filled = 0;
    while let Some(rest) = out.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("the operating system gives no random bytes: {error}"),
        }
    }
}

/// A fresh secret for the id of a shard's order.
#[must_use]
pub fn order_secret(shard: Shard) -> OrderSecret {
    BUFFER.with_borrow_mut(|buffer| {
        let mut secret = [0u8; 10];
        if buffer.used + secret.len() > BUFFER_BYTES {
            fill(&mut buffer.bytes);
            buffer.used = 0;
        }
        let taken = buffer.used..buffer.used + secret.len();
        secret.copy_from_slice(&buffer.bytes[taken.clone()]);
        // What was given out is not kept.
        buffer.bytes[taken.clone()].fill(0);
        buffer.used = taken.end;
        OrderSecret::from_random(shard, secret)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_repeat_across_refills() {
        let secrets: std::collections::BTreeSet<_> =
            (0..1000).map(|_| *order_secret(Shard::SINGLE).as_bytes()).collect();
        assert_eq!(secrets.len(), 1000);
    }
}
