//! What a bad capture gets: one line with the offset, an exit code, bounded memory, and never a panic.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod captured;

use std::path::Path;
use std::process::{Command, Output};

use captured::model::{Random, scaled};
use captured::{HEADER, Sale, limits, records, replayed};
use firstcome::capture::format::{BODY_BYTES_MAX, HEADER_BYTES, Record, RecordReader, RecordWriter, Trouble, VERSION};

/// A capture of a random sale.
fn capture(seed: u64, batches: u64) -> Vec<u8> {
    let scratch = tempfile::tempdir().expect("scratch");
    let path = scratch.path().join("sale.capture");
    let (mut sale, recorder) = Sale::new(seed, 1000, &path, limits());
    sale.batches(batches);
    drop(sale);
    recorder.run();
    std::fs::read(&path).expect("a file")
}

fn replay(path: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_firstcome")).arg("replay").arg(path).output().expect("run")
}

/// Runs `firstcome replay` on these bytes: its exit code, what it said, and the lines of its complaint.
fn judged(bytes: &[u8]) -> (i32, String, Vec<String>) {
    let scratch = tempfile::tempdir().expect("scratch");
    let path = scratch.path().join("bad.capture");
    std::fs::write(&path, bytes).expect("written");
    let output = replay(&path);
    let complaint = String::from_utf8(output.stderr).expect("text").lines().map(String::from).collect();
    (output.status.code().expect("no signal"), String::from_utf8(output.stdout).expect("text"), complaint)
}

/// The same bytes with another length, or checksum, of the record at `offset`.
fn with_number(bytes: &[u8], offset: u64, number: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let offset = usize::try_from(offset).expect("small");
    bytes[offset..offset + 4].copy_from_slice(&number.to_le_bytes());
    bytes
}

#[test]
fn each_kind_of_damage_is_one_line_with_its_offset_and_65() {
    let good = capture(3, 30);
    let (code, said, complaint) = judged(&good);
    assert_eq!((code, complaint.len()), (0, 0), "{complaint:?}");
    assert!(said.contains("byte for byte, the same events") && said.contains("commands/s"), "{said}");

    let middle = records(&good)[20].0;
    let four_gb = with_number(&good, middle, u32::MAX);
    let one_too_long = with_number(&good, middle, u32::try_from(BODY_BYTES_MAX).expect("small") + 1);
    let wrong_sum = with_number(&good, middle + 4, 0x0bad_5eed);
    let other_version = with_number(&good, 8, 1);
    let mut other_database = good.clone();
    other_database[12] ^= 1;
    for (bytes, offset, part) in [
        (four_gb, middle, "a record of 4294967295 bytes; 65536 are the most"),
        (one_too_long, middle, "a record of 65537 bytes"),
        (wrong_sum, middle, "does not match its checksum"),
        (other_version, 8, &format!("a capture of version 1; this program reads versions 3 to {VERSION}")),
        (other_database, 0, "the header does not match its checksum"),
        (good[..HEADER_BYTES - 1].to_vec(), 0, "the file ends within its header"),
        (Vec::new(), 0, "it is empty"),
        (b"SQLite format 3\0 and so on".to_vec(), 0, "this is no capture of firstcome"),
        (b"FC".to_vec(), 0, "the file ends within its header"),
    ] {
        let (code, _, complaint) = judged(&bytes);
        assert_eq!((code, complaint.len()), (65, 1), "{part}: {complaint:?}");
        assert!(complaint[0].contains(part), "{complaint:?}");
        assert!(complaint[0].contains(&format!("at byte {offset}: ")), "{complaint:?}");
    }
    let missing = replay(Path::new("/no/such/capture"));
    assert_eq!(missing.status.code(), Some(66));
}

#[test]
fn a_torn_tail_is_told_and_what_comes_before_it_replays() {
    let good = capture(4, 8);
    let all = records(&good);
    let ends: Vec<u64> = all.iter().skip(1).map(|(offset, _)| *offset).chain([good.len() as u64]).collect();
    for length in HEADER_BYTES..good.len() {
        let found = replayed(&good[..length]).expect("what is there is good");
        assert_eq!(found.difference, None);
        let length = length as u64;
        let whole = all.iter().zip(&ends).filter(|(_, end)| **end <= length);
        let commands = whole.filter(|((_, record), _)| matches!(record, Record::Decided(_))).count() as u64;
        assert_eq!(found.commands, commands, "cut at {length}");
        let boundary = length == HEADER_BYTES as u64 || ends.contains(&length);
        let torn = all.iter().rev().map(|(offset, _)| *offset).find(|offset| *offset < length);
        assert_eq!(found.torn_at, torn.filter(|_| !boundary), "cut at {length}");
    }
    let (code, said, complaint) = judged(&good[..good.len() - 3]);
    assert_eq!((code, complaint.len()), (0, 1), "{complaint:?}");
    assert!(complaint[0].contains(&format!("within a record at byte {}", all[all.len() - 1].0)), "{complaint:?}");
    assert!(said.contains("the same events"));
}

/// A file of these records, with good checksums.
fn written(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = RecordWriter::begin(&mut bytes, &HEADER).expect("in memory");
    for record in records {
        writer.write(record).expect("in memory");
    }
    bytes
}

#[test]
fn another_outcome_or_another_event_is_shown_with_its_command() {
    let good = capture(6, 40);
    let all = records(&good);
    let of_order = |(_, record): &&(u64, Record)| matches!(record, Record::Decided(recorded) if recorded.events != 0 && recorded.command.named_drop().is_some());
    let (offset, _) = all.iter().rev().find(of_order).expect("an order");
    let change = |change: &dyn Fn(&mut firstcome::capture::format::Recorded)| {
        let changed: Vec<Record> = all
            .iter()
            .map(|(at, record)| {
                let mut record = record.clone();
                if at == offset
                    && let Record::Decided(recorded) = &mut record
                {
                    change(recorded);
                }
                record
            })
            .collect();
        judged(&written(&changed))
    };
    let (code, _, complaint) = change(&|recorded| recorded.events ^= 1);
    assert_eq!((code, complaint.len()), (1, 1), "{complaint:?}");
    assert!(complaint[0].contains(&format!("at byte {offset}: command ")), "{complaint:?}");
    assert!(complaint[0].contains("the events are not; replayed [Event"), "{complaint:?}");
    let (code, _, complaint) = change(&|recorded| recorded.outcome = firstcome::engine::Outcome::Advanced);
    assert_eq!((code, complaint.len()), (1, 1), "{complaint:?}");
    assert!(complaint[0].contains("recorded Advanced, replayed "), "{complaint:?}");
}

#[test]
fn records_out_of_place_and_states_that_contradict_themselves_are_refused() {
    let all: Vec<Record> = records(&capture(7, 20)).into_iter().map(|(_, record)| record).collect();
    let from = |skip: usize| all.iter().skip(skip).cloned().collect::<Vec<_>>();
    let decided = all.iter().position(|record| matches!(record, Record::Decided(_))).expect("a command");
    let ended = all.iter().position(|record| matches!(record, Record::SnapshotEnded(_))).expect("a snapshot");
    let mut short = all.clone();
    short[ended] = Record::SnapshotEnded(9);
    let after_a_gap = [&from(0)[..=ended], &[Record::Gap(1)], &from(decided)[..1]].concat();
    for (file, part) in [
        (from(decided), "a command without a state before it"),
        (from(ended), "the end of no snapshot"),
        (short, "a snapshot of 9 parts has"),
        (after_a_gap, "a command without a state before it"),
    ] {
        let trouble = replayed(&written(&file)).err().expect("refused");
        assert!(matches!(trouble, Trouble::Damaged { .. }) && trouble.to_string().contains(part), "{trouble}");
    }
}

#[test]
fn no_change_of_a_byte_makes_it_panic_or_pass() {
    let good = capture(8, 15);
    let mut random = Random(1);
    let length = good.len() as u64;
    for _ in 0..scaled(20_000, 500) {
        let mut bad = good.clone();
        for _ in 0..=random.below(2) {
            let at = usize::try_from(random.below(length)).expect("small");
            match random.below(4) {
                0 => bad.truncate(at),
                1 => bad.insert(at.min(bad.len()), 0xff),
                _ => {
                    if let Some(byte) = bad.get_mut(at) {
                        *byte ^= 1 << random.below(8);
                    }
                }
            }
        }
        if bad == good {
            continue;
        }
        match replayed(&bad) {
            // Cut at the border of two records, or within one.
            Ok(found) => assert!(good.starts_with(&bad) || found.torn_at.is_some()),
            Err(trouble) => assert!(trouble.to_string().starts_with("at byte "), "{trouble}"),
        }
    }
}

#[test]
fn no_body_makes_the_reader_panic_even_with_a_good_checksum() {
    let good = capture(8, 15);
    let bodies: Vec<Vec<u8>> = records(&good)
        .windows(2)
        .map(|pair| {
            let at = |offset: u64| usize::try_from(offset).expect("small");
            good[at(pair[0].0) + 8..at(pair[1].0)].to_vec()
        })
        .collect();
    let mut random = Random(2);
    for _ in 0..scaled(50_000, 2_000) {
        let mut body = bodies[usize::try_from(random.below(bodies.len() as u64)).expect("small")].clone();
        for _ in 0..=random.below(3) {
            let at = usize::try_from(random.below(body.len().max(1) as u64)).expect("small");
            match (random.below(5), body.get_mut(at)) {
                (0, _) => body.truncate(at),
                (1, _) => body.push(0xfe),
                // The longest lengths and the largest numbers of bincode begin with these.
                (2, Some(byte)) => *byte = 0xfb + u8::try_from(random.below(5)).expect("small"),
                (_, Some(byte)) => *byte ^= 1 << random.below(8),
                (_, None) => {}
            }
        }
        let mut bytes = written(&[]);
        bytes.extend(u32::try_from(body.len()).expect("small").to_le_bytes());
        bytes.extend(crc32c::crc32c(&body).to_le_bytes());
        bytes.extend(&body);
        if let Err(trouble) = replayed(&bytes) {
            assert!(trouble.to_string().starts_with(&format!("at byte {HEADER_BYTES}: ")), "{trouble}");
        }
    }
}

/// Runs the fuzz target's check on the inputs that are kept for it.
#[test]
fn the_corpus_of_the_fuzz_target_is_told_what_is_wrong_with_it_or_written_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/capture");
    let (mut files, mut bodies) = (0, 0);
    for entry in std::fs::read_dir(folder).expect("a corpus") {
        let input = std::fs::read(entry.expect("an entry").path()).expect("an input");
        files += u32::from(replayed(&input).is_ok());
        let mut bytes = written(&[]);
        bytes.extend(u32::try_from(input.len()).expect("small").to_le_bytes());
        bytes.extend(crc32c::crc32c(&input).to_le_bytes());
        bytes.extend(&input);
        let mut reader = RecordReader::open(&bytes[..]).expect("a header");
        if let Ok(Some(record)) = reader.read() {
            assert_eq!(written(&[record]), bytes);
            bodies += 1;
        }
    }
    assert!(files >= 1 && bodies >= 12, "{files} files, {bodies} bodies");
}
