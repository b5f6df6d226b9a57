//! Compressed files: a backup may be packed with zstd or gzip, and is recognised by its first bytes.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};

use aws_lc_rs::digest;

use crate::types::Packing;

/// Bytes of one read.
const PIECE: usize = 256 * 1024;
/// A third of the size at about 300 MB/s; the levels above gain little for databases.
const ZSTD_LEVEL: i32 = 3;
/// The largest window that an archive may ask for, as a power of 2, in bytes: 128 MB, what `zstd -d` takes.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
const SQLITE: &[u8] = b"SQLite format 3\0";
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Returns the packing of a file by its first bytes; `None` if it is neither a database nor packed.
///
/// # Errors
/// If the file cannot be read.
pub fn packing_of(mut file: &File) -> io::Result<Option<Packing>> {
    let mut first = Vec::new();
    file.rewind()?;
    file.take(16).read_to_end(&mut first)?;
    file.rewind()?;
    let known = [(SQLITE, Packing::Plain), (ZSTD, Packing::Zstd), (GZIP, Packing::Gzip)];
    Ok(known.into_iter().find(|(magic, _)| first.starts_with(magic)).map(|(_, packing)| packing))
}

/// Packs a file into another. Returns the SHA-256 of what was read. `pace` gets the number of bytes of each piece.
///
/// # Errors
/// If a file cannot be read or written, or `pace` ends it.
pub fn pack<E: From<io::Error>>(
    packing: Packing,
    mut from: &File,
    to: &File,
    pace: impl FnMut(u64) -> Result<(), E>,
) -> Result<[u8; 32], E> {
    from.rewind()?;
    match packing {
        Packing::Plain => copy(from, to, pace),
        Packing::Zstd => {
            let mut encoder = zstd::Encoder::new(to, ZSTD_LEVEL)?;
            encoder.include_checksum(true)?;
            let read = copy(from, &mut encoder, pace)?;
            encoder.finish()?;
            Ok(read)
        }
        Packing::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(to, flate2::Compression::default());
            let read = copy(from, &mut encoder, pace)?;
            encoder.finish()?;
            Ok(read)
        }
    }
}

/// Unpacks a file. Returns the SHA-256 of the content.
///
/// # Errors
/// If it cannot be read, is cut or damaged, or what is unpacked cannot be written.
pub fn unpack(packing: Packing, from: &File, to: impl Write) -> io::Result<[u8; 32]> {
    let packed = BufReader::with_capacity(PIECE, from);
    let no_pace = |_| Ok::<(), io::Error>(());
    match packing {
        Packing::Plain => copy(packed, to, no_pace),
        Packing::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(packed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            copy(decoder, to, no_pace)
        }
        Packing::Gzip => copy(flate2::bufread::MultiGzDecoder::new(packed), to, no_pace),
    }
}

fn copy<E: From<io::Error>>(
    mut from: impl Read,
    mut to: impl Write,
    mut pace: impl FnMut(u64) -> Result<(), E>,
) -> Result<[u8; 32], E> {
    let mut sum = digest::Context::new(&digest::SHA256);
    let mut piece = vec![0; PIECE];
    loop {
        let read = from.read(&mut piece)?;
        let bytes = piece.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            to.flush()?;
            let mut found = [0; 32];
            found.iter_mut().zip(sum.finish().as_ref()).for_each(|(to, from)| *to = *from);
            return Ok(found);
        }
        sum.update(bytes);
        to.write_all(bytes)?;
        pace(u64::try_from(read).unwrap_or(u64::MAX))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_as_it_was_and_a_cut_one_is_refused() {
        let scratch = tempfile::tempdir().expect("scratch");
        let at = |name: &str| scratch.path().join(name);
        let content: Vec<u8> =
            SQLITE.iter().copied().chain((0..3 * PIECE).map(|at| u8::try_from(at / 7 % 251).expect("small"))).collect();
        std::fs::write(at("plain"), &content).expect("written");
        let plain = File::open(at("plain")).expect("opened");
        assert_eq!(packing_of(&plain).expect("read"), Some(Packing::Plain));
        for packing in [Packing::Plain, Packing::Zstd, Packing::Gzip] {
            let path = at(packing.as_str());
            let packed = File::options().create(true).read(true).write(true).truncate(true).open(&path).expect("made");
            let sum = pack(packing, &plain, &packed, |_| Ok::<(), io::Error>(())).expect("packed");
            assert_eq!(packing_of(&packed).expect("read"), Some(packing));
            let mut unpacked = Vec::new();
            assert_eq!(unpack(packing, &packed, &mut unpacked).expect("unpacked"), sum);
            assert!(unpacked == content, "{packing:?}");
            if packing != Packing::Plain {
                assert!(packed.metadata().expect("found").len() < 100_000, "{packing:?}");
                packed.set_len(packed.metadata().expect("found").len() - 5).expect("cut");
                let cut = File::open(&path).expect("opened");
                assert!(unpack(packing, &cut, io::sink()).is_err(), "{packing:?}");
            }
        }
        std::fs::write(at("other"), "neither").expect("written");
        assert_eq!(packing_of(&File::open(at("other")).expect("opened")).expect("read"), None);
    }
}
