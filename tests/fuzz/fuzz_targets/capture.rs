//! Any bytes as a capture file, and any bytes as the body of a record with a good checksum: the reader tells what is wrong
//! with them, takes no more room than one body, and what it understands it writes again in the same bytes.

#![no_main]

use firstcome::capture::format::{BODY_BYTES_MAX, HEADER_BYTES, Header, RecordReader, RecordWriter};
use libfuzzer_sys::fuzz_target;

const HEADER: Header = Header { file_id: [0; 16], epoch: 0 };

fuzz_target!(|bytes: &[u8]| {
    if let Ok(mut reader) = RecordReader::open(bytes) {
        while let Ok(Some(_)) = reader.read() {}
    }
    as_body(&bytes[..bytes.len().min(BODY_BYTES_MAX)]);
});

fn as_body(body: &[u8]) {
    let mut file = Vec::new();
    RecordWriter::begin(&mut file, &HEADER).expect("in memory");
    file.extend((body.len() as u32).to_le_bytes());
    file.extend(crc32c::crc32c(body).to_le_bytes());
    file.extend(body);
    let mut reader = RecordReader::open(&file[..]).expect("a good header");
    let Ok(Some(record)) = reader.read() else { return };
    let mut again = Vec::new();
    RecordWriter::begin(&mut again, &HEADER).expect("in memory").write(&record).expect("it was read");
    let read = RecordReader::open(&again[..]).expect("a good header").read().expect("it was written");
    assert_eq!(read, Some(record));
    // A number may come in a longer form than it is written in.
    assert!(again.len() <= file.len() && again.len() >= HEADER_BYTES);
}
