//! A captured sale through an engine, again and again: how fast it decides, and how fast captures are read and written.
//!
//! `cargo bench --bench replay`. `FIRSTCOME_CAPTURE` names a file of your own (`firstcome serve --capture FILE`); without
//! it `captures/rush.capture` is taken, a `rush` with refusals, repeats, cancellations and expiries.
//! `FIRSTCOME_BENCH_ROUNDS` sets how often (15). Figures are medians, in brackets the range; what a round compares must
//! be the same, or the bench fails.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench: it prints, and what fails ends it")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use firstcome::capture::format::{HEADER_BYTES, Header, Record, RecordReader, RecordWriter, Trouble};
use firstcome::capture::replay::{Pace, Replayed, replay};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let own = std::env::var_os("FIRSTCOME_CAPTURE").map(PathBuf::from);
    let path = own.unwrap_or_else(|| {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches").join("captures").join("rush.capture")
    });
    let rounds = std::env::var("FIRSTCOME_BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(15usize);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let records = read_all(&bytes).unwrap_or_else(|trouble| panic!("{}: {trouble}", path.display()));

    let (mut decide, mut whole, mut read, mut write) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut last = None;
    for _ in 0..rounds.max(1) {
        let (found, took) = timed(|| replayed(&bytes));
        if let Some((offset, what)) = &found.difference {
            panic!("{} at byte {offset}: {what}", path.display());
        }
        decide.push(per_second(found.commands, found.deciding));
        whole.push(per_second(found.commands, took));
        let (again, took) = timed(|| read_all(&bytes).map(|records| records.len()));
        assert_eq!(again.expect("read before"), records.len());
        read.push(per_second(bytes.len() as u64, took) / 1e6);
        let (written, took) = timed(|| write_all(&records, bytes.len()));
        assert!(written.len() <= bytes.len() && bytes[HEADER_BYTES..].starts_with(&written[HEADER_BYTES..]));
        write.push(per_second(written.len() as u64, took) / 1e6);
        last = Some(found);
    }
    let Some(found) = last else { return };
    println!("{}: {} commands, {} events, {} bytes", path.display(), found.commands, found.events, bytes.len());
    println!("  decided              {}", spread(&mut decide, "commands/s"));
    println!("  with reading, digest {}", spread(&mut whole, "commands/s"));
    println!("  captures read        {}", spread(&mut read, "MB/s"));
    println!("  captures written     {}", spread(&mut write, "MB/s, in memory"));
    let quantile = |q: f64| Duration::from_nanos(found.decide.value_at_quantile(q));
    println!("  a command            p50 {:?}, p99 {:?}, p99.9 {:?}", quantile(0.5), quantile(0.99), quantile(0.999));
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let result = work();
    (result, started.elapsed())
}

fn replayed(bytes: &[u8]) -> Replayed {
    let replayed = RecordReader::open(bytes).and_then(|mut reader| replay(&mut reader, Pace::Max));
    replayed.unwrap_or_else(|trouble| panic!("{trouble}"))
}

/// The records up to a torn tail, if there is one.
fn read_all(bytes: &[u8]) -> Result<Vec<Record>, Trouble> {
    let mut reader = RecordReader::open(bytes)?;
    let mut records = Vec::new();
    loop {
        match reader.read() {
            Ok(Some(record)) => records.push(record),
            Ok(None) | Err(Trouble::Torn { .. }) => return Ok(records),
            Err(trouble) => return Err(trouble),
        }
    }
}

fn write_all(records: &[Record], room: usize) -> Vec<u8> {
    let mut written = Vec::with_capacity(room);
    let header = Header { file_id: [0; 16], epoch: 0 };
    let mut writer = RecordWriter::begin(&mut written, &header).expect("in memory");
    for record in records {
        writer.write(record).expect("in memory");
    }
    written
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}

fn spread(figures: &mut [f64], unit: &str) -> String {
    figures.sort_by(f64::total_cmp);
    let at = |index: usize| figures.get(index).copied().unwrap_or(0.0);
    format!("{:.0} {unit} ({:.0} to {:.0})", at(figures.len() / 2), at(0), at(figures.len().saturating_sub(1)))
}
