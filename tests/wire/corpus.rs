//! What the fuzz targets do with each input, on the inputs that are kept for them; and inputs near those.

use std::path::Path;

use firstcome::wire::frame::{Inbox, Malformed, Sender, decode};
use firstcome::wire::messages::{Reply, Request};

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let files = std::fs::read_dir(folder).expect("a corpus");
    files.map(|entry| std::fs::read(entry.expect("an entry").path()).expect("an input")).collect()
}

/// Whole frames of a stream, in pieces of so many bytes, and what is wrong with the rest.
fn heard(stream: &[u8], from: Sender, step: usize) -> (Vec<u8>, Option<Malformed>) {
    let (mut inbox, mut heard) = (Inbox::default(), Vec::new());
    for piece in stream.chunks(step) {
        inbox.put(piece);
        loop {
            match inbox.next(from) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    heard.extend([frame.kind.number(), u8::try_from(frame.payload.len()).expect("short")]);
                    heard.extend_from_slice(frame.payload);
                }
                Err(malformed) => return (heard, Some(malformed)),
            }
        }
    }
    (heard, None)
}

#[test]
fn streams_are_heard_the_same_however_they_are_cut() {
    let streams = corpus("wire_frame");
    assert!(streams.len() >= 12);
    let mut mistakes = 0;
    for input in streams {
        for from in [Sender::Client, Sender::Server] {
            let stream = &input[2..];
            let at_once = heard(stream, from, stream.len());
            assert!(stream.starts_with(&at_once.0));
            mistakes += usize::from(at_once.1.is_some());
            for step in [1, 2, 5, 100] {
                assert_eq!(heard(stream, from, step), at_once);
            }
        }
    }
    assert!(mistakes >= 12, "{mistakes}");
}

/// Whether a frame is one of either side; then it is written again in the same bytes.
fn is_message(bytes: &[u8]) -> bool {
    let mut again = Vec::new();
    if let Ok(Some((frame, taken))) = decode(bytes, Sender::Client) {
        assert!(Request::read(frame).expect("a request").write(&mut again));
        assert_eq!(again, bytes[..taken]);
        return true;
    }
    if let Ok(Some((reply, taken))) = Reply::first(bytes) {
        reply.write(&mut again);
        assert_eq!(again, bytes[..taken]);
        return true;
    }
    false
}

#[test]
fn messages_are_written_again_in_the_same_bytes_and_so_is_whatever_is_near_them() {
    let messages = corpus("wire_message");
    let good = messages.iter().filter(|message| is_message(message)).count();
    assert_eq!(good, messages.len() - 2, "an answer that says two things, and a text that is none");
    let mut near = 0;
    for message in messages {
        for at in 0..message.len() {
            for bit in 0..8 {
                let mut changed = message.clone();
                changed[at] ^= 1 << bit;
                near += usize::from(is_message(&changed));
            }
        }
    }
    assert!(near > 1000, "{near}");
}
