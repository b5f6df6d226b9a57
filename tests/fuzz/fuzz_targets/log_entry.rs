//! Any bytes as an entry of the replicated log, also with a good checksum: they are refused, or they are an entry that is
//! written and read again as it was.

#![no_main]

use firstcome::log::Entry;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    let mut sealed = bytes.to_vec();
    sealed.extend(crc32c::crc32c(bytes).to_le_bytes());
    check(&sealed);
});

fn check(bytes: &[u8]) {
    let Ok(entry) = Entry::decode(bytes) else { return };
    let again = entry.encode().expect("it was read");
    assert_eq!(Entry::decode(&again).as_ref(), Ok(&entry));
    // A number may come in a longer form than it is written in.
    assert!(again.len() <= bytes.len());
}
