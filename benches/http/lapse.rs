//! A hundred thousand reservations that lapse in one instant, and buyers who come meanwhile.
//!
//! The file is made by the engine and the store, with one instant for all: no clock could hit it. Then the server starts
//! on it, and `rush` offers orders of another drop, open loop, from shortly before that instant until after it. The same
//! without anything that lapses stands beside it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use firstcome::engine::{
    Command, CommandKey, CreateDrop, DropCommand, DropSpec, Effect, OrderCommand, Outcome, PlaceOrder,
};
use firstcome::server::{RunningServer, start};
use firstcome::store::{Batch, PrivateData, Recorder, Store, load};
use firstcome::types::{BuyerText, OrderSecret, Quantity, Shard, UnixMillis};
use firstcome::writer::clock::wall_clock;
use serde_json::{Value, json};

use super::measure::{is_smoke_test, record, sale};
use super::{config, rush};

/// Events of a transaction, as the server's default.
const BATCH: usize = 4096;
/// From the reservations to their end: the server must have started by then.
const LAPSE_AFTER_SECONDS: u32 = 6;
/// Buyers come this long before the instant, and this long in all.
const BEFORE: Duration = Duration::from_millis(500);
const SECONDS: u32 = 2;
const RATE: u32 = 5_000;

/// Prints buyers' latencies with the lapse and without.
pub(crate) fn lapse(scratch: &Path) {
    let reservations: u32 = if is_smoke_test() { 1_000 } else { 100_000 };
    println!("\n{RATE} orders/s for {SECONDS} s; latency in ms from the intended start");
    println!("what lapses meanwhile      p50      p95      p99      max");
    for (name, count) in [("nothing", 1), ("all reservations at once", reservations)] {
        let directory = tempfile::tempdir_in(scratch).expect("a scratch directory");
        let data = directory.path().join("data");
        let lapses_at = reserve(&data, count);
        let running = start(config(&data), |message, _| panic!("the writer ended: {message}")).expect("a server");
        let held = |running: &RunningServer| held(running.server.public_address);
        assert_eq!(held(&running), u64::from(count), "the server started too late");
        let before = running.writer.clock.instant_of(lapses_at) - BEFORE;
        wait_until(before);
        let figures = rush(&running, directory.path(), 64, RATE * SECONDS, &["--rate", &RATE.to_string()]);
        assert_eq!(held(&running), 0, "nothing has lapsed");
        running.stop().expect("an orderly end");
        let of = |name: &str| {
            let value = figures.pointer("/latency_ms/orders/from_intended_start").and_then(|all| all.get(name));
            value.and_then(Value::as_f64).expect("a figure")
        };
        let (p99, max) = (of("p99"), of("max"));
        println!("{name:24} {:7.2}  {:7.2}  {p99:7.2}  {max:7.2}", of("p50"), of("p95"));
        record(&format!("lapse of {name}"), json!({ "p99_ms": p99, "max_ms": max }));
    }
}

#[expect(clippy::disallowed_methods, reason = "it is an instant that is waited for")]
fn wait_until(instant: Instant) {
    std::thread::sleep(instant.saturating_duration_since(Instant::now()));
}

/// A new file with a drop all of whose units are reserved at the same instant; says when all of them lapse.
fn reserve(data: &Path, count: u32) -> UnixMillis {
    let now = wall_clock();
    let store = Store::open(data, now).expect("opened");
    let loaded = load::load(&store.connection, &store.digest_key, 1_000_000).expect("loaded");
    let (mut state, digests) = (loaded.state, store.digest_key.clone());
    let mut batch = Batch::default();
    let mut recorder = Recorder::new(&store.connection, loaded.link).expect("prepared");
    let spec = DropSpec { starts_at: now, reservation_seconds: LAPSE_AFTER_SECONDS, ..sale::spec(count) };
    let key = CommandKey { digest: sale::digest(0, 2), params: sale::digest(0, 3) };
    let drop_id = sale::drop_id();
    let mut commands = vec![(Command::Drop(DropCommand::Create(CreateDrop { key, spec: Box::new(spec) })), None)];
    commands.extend((0..count).map(|number| {
        let buyer = format!("sleeper-{number:08}");
        let digest = digests.buyer(&buyer);
        let order = Command::Order(OrderCommand::Place(PlaceOrder {
            drop_id,
            buyer: digest,
            key: digests.order_key(drop_id, &digest, b"k"),
            quantity: Quantity::ONE,
            contact_given: false,
            facts: None,
        }));
        let mut secret = [0u8; 10];
        secret[..4].copy_from_slice(&number.to_le_bytes());
        let (secret, buyer) =
            (OrderSecret::from_random(Shard::SINGLE, secret), BuyerText::new(&buyer).expect("a buyer"));
        (order, Some(PrivateData::Order { secret, buyer, contact: None }))
    }));
    let last = commands.len() - 1;
    for (index, (command, private_data)) in commands.into_iter().enumerate() {
        let outcome = state.apply(now, &command, &mut batch.events);
        assert!(
            matches!(outcome, Outcome::Accepted(Effect::Changed { .. }) | Outcome::Accepted(Effect::Reserved(_))),
            "{outcome:?}"
        );
        batch.private_data.extend(private_data.map(|private_data| (state.seq(), private_data)));
        if batch.events.len() >= BATCH || index == last {
            recorder.begin().expect("begun");
            recorder.record(&batch).expect("recorded");
            recorder.commit().expect("committed");
            batch.clear_events();
        }
    }
    let mark = store.mark(state.seq(), recorder.link(), state.seq());
    drop(recorder);
    store.watermark.write(&mark).expect("written");
    now.plus_seconds(LAPSE_AFTER_SECONDS)
}

/// Units of the first drop that are held.
fn held(address: SocketAddr) -> u64 {
    let mut stream = TcpStream::connect(address).expect("connected");
    let request = format!("GET /v1/drops/1 HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let body: Value = serde_json::from_str(body).expect("JSON");
    body.get("held").and_then(Value::as_u64).expect("a number")
}
