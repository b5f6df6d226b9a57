//! A recorder that does not keep up: the writer goes on, and the capture goes on from the database's own state.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod writing;

use std::sync::Arc;
use std::time::Duration;

use firstcome::capture::format::{Header, RecordReader};
use firstcome::capture::recorder::{Limits, begin};
use firstcome::capture::replay::{Pace, replay};
use firstcome::engine::{Command, Effect, OrderCommand, Outcome, State};
use firstcome::read::connection::Reader;
use firstcome::store::load;
use firstcome::types::SnapshotGate;
use firstcome::writer::{Class, Submission, WriterHandle, WriterOptions};
use writing::{create, decided, end, options, order, prepare, run, until};

/// Orders of so many buyers, every third of them given back.
fn storm(handle: &WriterHandle, buyers: std::ops::Range<u32>) {
    for chunk in buyers.collect::<Vec<_>>().chunks(20) {
        let tickets: Vec<_> = chunk.iter().map(|n| (n, order(handle, &format!("buyer{n}")).expect("let in"))).collect();
        for (n, ticket) in tickets {
            let outcome = decided(ticket).outcome;
            if let Outcome::Accepted(Effect::Reserved(reservation)) = outcome
                && n % 3 == 0
            {
                let command = Command::Order(OrderCommand::Cancel { order: reservation.order });
                for _ in 0..2 {
                    let cancel = Submission { command: command.clone(), private_data: None, class: Class::Buyer };
                    decided(handle.submit(cancel).expect("let in"));
                }
            }
        }
    }
}

#[test]
fn after_a_gap_the_capture_goes_on_with_the_state_of_the_database() {
    let scratch = tempfile::tempdir().expect("scratch");
    let path = scratch.path().join("sale.capture");
    let data = scratch.path().join("data");
    let (mut writer, handle) = prepare(&data, WriterOptions { queue_capacity: 200, ..options() });
    let (database, key) = (data.join("firstcome.db"), handle.digest_key.clone());
    let load = move || {
        let reader = Reader::open(&database, Arc::new(SnapshotGate::default())).map_err(|error| error.to_string())?;
        let loaded = reader.snapshot(|connection| Ok(load::load(connection, &key, 1000)));
        Ok(loaded.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?.state)
    };
    let limits = Limits { bytes_max: 1 << 30, waiting_max: 100, load_pause: Duration::ZERO };
    let header = Header { file_id: [1; 16], epoch: 1 };
    let dropped = metrics::Counter::noop();
    let (tap, recorder) = begin(&path, header, &State::new(1000), limits, dropped, Box::new(load)).expect("a file");
    writer.capture(tap);
    let thread = run(writer);
    decided(create(&handle, 150, 1));
    // Nobody records: the writer does not wait.
    storm(&handle, 0..120);
    let begun = std::fs::metadata(&path).expect("a file").len();
    let recording = std::thread::spawn(|| recorder.run());
    until("what waited is recorded", || std::fs::metadata(&path).is_ok_and(|file| file.len() > begun));
    let mut buyers = 120;
    let mut written = 0;
    // Until the file has a state again and grows with each storm.
    until("it goes on", || {
        buyers += 30;
        storm(&handle, buyers - 30..buyers);
        let length = std::fs::metadata(&path).map_or(0, |file| file.len());
        let grown = length > written + 2000;
        written = length;
        let bytes = std::fs::read(&path).unwrap_or_default();
        let found = RecordReader::open(&bytes[..]).and_then(|mut reader| replay(&mut reader, Pace::Max));
        grown && found.is_ok_and(|found| found.snapshots >= 2 && found.commands > 100)
    });
    end(&handle, thread);
    recording.join().expect("recorded");
    let bytes = std::fs::read(&path).expect("a capture");
    let found = replay(&mut RecordReader::open(&bytes[..]).expect("a header"), Pace::Max).expect("whole");
    assert_eq!(found.difference, None);
    assert!(found.gaps >= 1 && found.missing > 0 && found.snapshots == found.gaps + 1, "{} gaps", found.gaps);
}
