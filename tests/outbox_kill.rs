//! kill -9 on the real binary while it tells an endpoint what happens: before its answer, after it, before the mark and
//! after it. Everything is told at least once, nothing that is not in the file, and nothing gets lost.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod model;
mod process;
mod sink;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use firstcome::types::SigningSecret;
use firstcome::types::webhooks::type_of;
use model::Random;
use process::{Client, Process};
use rusqlite::{Connection, OpenFlags};
use sink::{Say, Sink};

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_micros(500));
    }
}

/// The events in the file that endpoints are told, in order.
fn events_in(data: &std::path::Path) -> Vec<u64> {
    let file =
        Connection::open_with_flags(data.join("firstcome.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a file");
    let mut rows = file.prepare("SELECT seq, kind FROM audit ORDER BY seq").expect("SQL");
    let rows = rows.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))).expect("rows");
    let told = rows.map(|row| row.expect("a row")).filter(|(_, kind)| type_of(kind).is_some());
    told.map(|(seq, _)| seq.unsigned_abs()).collect()
}

#[test]
fn whatever_is_killed_when_everything_is_told_at_least_once_and_nothing_that_did_not_happen() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let secret = scratch.path().join("secret");
    std::fs::write(&secret, SigningSecret::random().reveal()).expect("written");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("set");
    // Some calls get no answer at all: then the kill comes between the delivery and its answer.
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let sink = Sink::new(
        move |_| {
            if counted.fetch_add(1, Ordering::SeqCst) % 7 == 3 { Say::Nothing } else { Say::Status(204) }
        },
    );
    let environment = [
        ("FIRSTCOME__OUTBOX__ENDPOINT_URL", sink.url()),
        ("FIRSTCOME__OUTBOX__ENDPOINT_SECRET_FILE", secret.to_str().expect("a path").to_string()),
        ("FIRSTCOME__OUTBOX__ALLOW_PRIVATE_NETWORKS", "127.0.0.0/8".to_string()),
        ("FIRSTCOME__OUTBOX__RETRY_SECONDS", ["0"; 30].join(",")),
        ("FIRSTCOME__OUTBOX__TIMEOUT_MS", "200".to_string()),
    ];
    let mut random = Random(0xb0b);
    let rounds = model::scaled(30, 6);
    for round in 0..rounds {
        let mut server = Process::start(&data, &environment);
        if round == 0 {
            server.create_drop(100_000);
        }
        let public = server.public;
        let buyers = std::thread::spawn(move || {
            let Ok(mut client) = Client::connect(public) else { return };
            for n in 0.. {
                if client.order(&format!("buyer-{round}-{n}")).is_err() {
                    return;
                }
            }
        });
        let heard = calls.load(Ordering::SeqCst);
        let more = 1 + random.below(120);
        wait_until("the endpoint hears", || calls.load(Ordering::SeqCst) >= heard + more);
        server.kill();
        buyers.join().expect("ended");
        // What was told is in the file, whatever the kill took.
        let there: BTreeSet<u64> = events_in(&data).into_iter().collect();
        for seq in sink.seqs() {
            assert!(there.contains(&seq), "round {round}: event {seq} was told and never happened");
        }
    }
    let mut server = Process::start(&data, &environment);
    let all = events_in(&data);
    wait_until("all is told", || {
        let told: BTreeSet<u64> = sink.seqs().into_iter().collect();
        all.iter().all(|seq| told.contains(seq))
    });
    server.signal(rustix::process::Signal::TERM);
    assert!(server.wait().success());
    let mut texts: BTreeMap<u64, String> = BTreeMap::new();
    for heard in sink.heard() {
        let first = texts.entry(heard.seq()).or_insert_with(|| heard.text.clone());
        assert_eq!(*first, heard.text, "one number, one event, whatever was killed");
    }
    assert!(all.len() > usize::try_from(rounds).expect("few"), "{} events", all.len());
}
