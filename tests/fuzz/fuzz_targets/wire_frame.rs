//! Any bytes as a connection, in any pieces: the decoder finds the same frames however they are cut, tells the same
//! mistake, writes nothing of its own into what it gives, and holds no more memory than one piece and one frame.

#![no_main]

use firstcome::wire::frame::{FRAME_BYTES_MAX, HEADER_BYTES, Inbox, Malformed, Sender, decode};
use libfuzzer_sys::fuzz_target;

// The first byte says who sends, the second how long pieces are; 0: all at once.
fuzz_target!(|bytes: &[u8]| {
    let [from, step, stream @ ..] = bytes else { return };
    let from = if from & 1 == 0 { Sender::Client } else { Sender::Server };
    let step = if *step == 0 { stream.len().max(1) } else { usize::from(*step) };
    let (whole, end) = at_once(stream, from);
    let (mut heard, mut inbox, mut refused) = (Vec::new(), Inbox::default(), None);
    'pieces: for piece in stream.chunks(step) {
        inbox.put(piece);
        loop {
            match inbox.next(from) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    assert!(frame.kind.sender() == from && frame.payload.len() <= FRAME_BYTES_MAX - HEADER_BYTES);
                    heard.push(frame.kind.number());
                    heard.push(u8::try_from(frame.payload.len()).expect("a byte counts it"));
                    heard.extend_from_slice(frame.payload);
                }
                Err(malformed) => {
                    refused = Some(malformed);
                    break 'pieces;
                }
            }
        }
        // Amortised growth doubles what is needed at most.
        assert!(inbox.capacity() <= 2 * (step + FRAME_BYTES_MAX), "{} for pieces of {step}", inbox.capacity());
    }
    assert_eq!((heard.as_slice(), refused), (&stream[..whole], end));
});

/// How many bytes are whole frames, and what is wrong with what follows.
fn at_once(stream: &[u8], from: Sender) -> (usize, Option<Malformed>) {
    let mut at = 0;
    loop {
        match decode(&stream[at..], from) {
            Ok(None) => return (at, None),
            Ok(Some((_, taken))) => at += taken,
            Err(malformed) => return (at, Some(malformed)),
        }
    }
}
