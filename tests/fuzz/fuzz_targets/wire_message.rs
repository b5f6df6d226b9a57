//! Any bytes as one frame: what is understood is written again in the same bytes, whichever side sends it.

#![no_main]

use firstcome::wire::frame::{Sender, decode};
use firstcome::wire::messages::{Reply, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some((frame, taken))) = decode(bytes, Sender::Client) {
        // Type and length are all that a client can get wrong in a frame.
        let request = Request::read(frame).expect("a frame of a client's is a request");
        assert_eq!(request.kind(), frame.kind);
        let mut again = Vec::new();
        assert!(request.write(&mut again), "it came in a frame");
        assert_eq!(again, bytes[..taken]);
    }
    if let Ok(Some((reply, taken))) = Reply::first(bytes) {
        let mut again = Vec::new();
        reply.write(&mut again);
        assert_eq!(again, bytes[..taken]);
        assert_eq!(Reply::first(&again), Ok(Some((reply, taken))));
    }
});
