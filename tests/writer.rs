//! The writer's promises, with a real file: first in first out, judged at the instant of acceptance, the operators'
//! reserve, expiry by itself, an ordered end. Commands are queued before the writer runs, so nothing depends on luck.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test cares for one outcome")]

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use firstcome::engine::{COMMAND_NAMES, Command, CommandKey, DropSpec, OUTCOME_NAMES, Outcome, Refusal, Subject};
use firstcome::store::{Beside, Durability, Store, load, verify};
use firstcome::telemetry::{Telemetry, WriterLabels, WriterMeter};
use firstcome::types::{BuyerText, Currency, DropId, OrderSecret, Quantity, SnapshotGate, UnitPrice, UnixMillis};
use firstcome::writer::checkpoint::Limits;
use firstcome::writer::clock::wall_clock;
use firstcome::writer::{
    Answer, Class, Clock, Decided, Options, Pin, Stopped, Submission, Ticket, TurnedAway, Writer, WriterHandle,
};

fn options() -> Options {
    Options {
        queue_capacity: 64,
        queue_reserve: 8,
        queue_wait_max: Duration::from_secs(60),
        batch_commands_max: 16,
        batch_events_max: 64,
        durability: Durability::Full,
        pin: Pin::Off,
        checkpoint: Limits { passive_bytes: 1 << 20, reset_bytes: 1 << 22, gate_max: Duration::from_millis(5) },
        free_bytes_min: 0,
        ports: 0,
    }
}

fn prepare(directory: &Path, options: Options) -> (Writer, WriterHandle) {
    let store = Store::open(directory, wall_clock()).expect("opened");
    let loaded = load::load(&store.connection, &store.digest_key, 1000).expect("loaded");
    let clock = Clock::start(loaded.state.at(), wall_clock(), false, false).expect("a sane clock");
    let labels = WriterLabels { commands: &COMMAND_NAMES, outcomes: &OUTCOME_NAMES };
    let meter = WriterMeter::new(&Arc::new(Telemetry::new()), labels);
    Writer::new(store, loaded, Arc::new(clock), Arc::new(SnapshotGate::default()), meter, options)
}

fn run(writer: Writer) -> JoinHandle<Stopped> {
    std::thread::spawn(move || writer.run(|_, _| {}))
}

fn end(handle: &WriterHandle, thread: JoinHandle<Stopped>) {
    handle.stop();
    let stopped = thread.join().expect("the writer's thread");
    assert!(matches!(stopped, Stopped::Orderly), "{stopped:?}");
}

fn create(handle: &WriterHandle, total: u32, reservation_seconds: u32) -> Ticket {
    let spec = DropSpec {
        sku: "S".into(),
        name: "N".into(),
        description: None,
        image_url: None,
        currency: Currency::new("EUR").expect("a currency"),
        unit_price: UnitPrice::new(100).expect("a price"),
        total,
        starts_at: UnixMillis::ZERO,
        ends_at: None,
        per_buyer_limit: 1,
        reservation_seconds,
        payment_seconds: 60,
    };
    let digest = handle.digest_key.params(b"create");
    let command = Command::CreateDrop { key: CommandKey { digest, params: digest }, spec: Box::new(spec) };
    handle.submit(Submission { command, beside: None, class: Class::Operator }).expect("let in")
}

fn drop_one() -> DropId {
    DropId::new(1).expect("not 0")
}

fn order(handle: &WriterHandle, buyer: &str) -> Result<Ticket, TurnedAway> {
    let digest = handle.digest_key.buyer(buyer);
    let command = Command::PlaceOrder {
        drop_id: drop_one(),
        buyer: digest,
        key: handle.digest_key.order_key(drop_one(), &digest, b"k"),
        quantity: Quantity::ONE,
        contact_given: false,
    };
    let beside = Beside::Order {
        secret: OrderSecret::from_random([1; 10]),
        buyer: BuyerText::new(buyer).expect("a buyer"),
        contact: None,
    };
    handle.submit(Submission { command, beside: Some(beside), class: Class::Buyer })
}

fn decided(ticket: Ticket) -> Decided {
    match ticket.wait() {
        Answer::Decided(decided) => decided,
        other => panic!("not decided: {other:?}"),
    }
}

/// Waits until something holds; a test that waits for ever fails after 20 s.
fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

#[test]
fn outcomes_come_in_the_order_of_acceptance() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (writer, handle) = prepare(scratch.path(), options());
    let created = create(&handle, 20, 60);
    let tickets: Vec<Ticket> = (0..40).map(|n| order(&handle, &format!("buyer{n}")).expect("let in")).collect();
    let thread = run(writer);
    assert!(matches!(decided(created).outcome, Outcome::Accepted { subject: Subject::Drop(_), .. }));
    let mut last = 0;
    for (n, ticket) in tickets.into_iter().enumerate() {
        match decided(ticket).outcome {
            Outcome::Reserved(reservation) => {
                assert!(n < 20, "buyer {n} got a unit that was gone");
                assert!(reservation.seq.get() > last, "seq shows the order");
                last = reservation.seq.get();
            }
            Outcome::Refused { refusal: Refusal::SoldOut { .. }, as_of_seq } => {
                assert!(n >= 20, "buyer {n} came in time");
                assert_eq!(as_of_seq.get(), last);
            }
            other => panic!("buyer {n}: {other:?}"),
        }
    }
    end(&handle, thread);
    assert_eq!(verify::verify(scratch.path()).expect("verified").problems, Vec::<String>::new());
}

#[test]
fn a_command_is_judged_at_the_instant_it_was_accepted_however_long_it_queued() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (writer, handle) = prepare(scratch.path(), Options { batch_commands_max: 1, ..options() });
    let _created = create(&handle, 1, 1);
    let first = order(&handle, "ann").expect("let in");
    let second = order(&handle, "bob").expect("let in");
    // Only now, when ann's reservation has lapsed by the clock, does the writer begin.
    let accepted = handle.clock.now();
    until("a second has passed", || handle.clock.now().since(accepted) > 1100);
    let thread = run(writer);
    assert!(matches!(decided(first).outcome, Outcome::Reserved(_)));
    let second = decided(second);
    assert!(
        matches!(second.outcome, Outcome::Refused { refusal: Refusal::SoldOut { .. }, .. }),
        "when bob was accepted, ann held the unit: {second:?}"
    );
    assert!(second.at.since(accepted) < 1000);
    until("the unit is back", || handle.published.seq() >= 3);
    end(&handle, thread);
}

#[test]
fn the_last_places_of_the_queue_are_for_operators() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (writer, handle) = prepare(scratch.path(), options());
    let _created = create(&handle, 1000, 60);
    let mut tickets = Vec::new();
    let turned_away = loop {
        match order(&handle, &format!("buyer{}", tickets.len())) {
            Ok(ticket) => tickets.push(ticket),
            Err(turned_away) => break turned_away,
        }
    };
    assert_eq!(turned_away, TurnedAway::QueueFull { depth: 56 });
    let pause = Command::PauseDrop { drop_id: drop_one(), reason: "full".into() };
    let pause =
        handle.submit(Submission { command: pause, beside: None, class: Class::Operator }).expect("the reserve");
    let thread = run(writer);
    assert!(matches!(decided(pause).outcome, Outcome::Accepted { .. }));
    let accepted = tickets.len();
    let reserved = tickets.into_iter().map(decided).filter(|d| matches!(d.outcome, Outcome::Reserved(_))).count();
    assert_eq!(reserved, accepted, "who was let in was decided, before the pause");
    end(&handle, thread);
    let report = verify::verify(scratch.path()).expect("verified");
    assert_eq!((report.held, report.problem_count), (u64::try_from(accepted).expect("few"), 0));
}

#[test]
fn a_buyers_command_that_waited_too_long_is_not_decided_and_an_operators_is() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (writer, handle) = prepare(scratch.path(), Options { queue_wait_max: Duration::from_millis(1), ..options() });
    let created = create(&handle, 5, 60);
    let late = order(&handle, "ann").expect("let in");
    let accepted = Instant::now();
    until("it is too late", || accepted.elapsed() > Duration::from_millis(5));
    let thread = run(writer);
    assert!(matches!(decided(created).outcome, Outcome::Accepted { .. }));
    assert!(matches!(late.wait(), Answer::TooOld));
    end(&handle, thread);
    assert_eq!(verify::verify(scratch.path()).expect("verified").orders, 0, "it had no effect");
}

#[test]
fn reservations_lapse_by_themselves_in_bounded_transactions() {
    let scratch = tempfile::tempdir().expect("scratch");
    let small = Options { queue_capacity: 400, batch_events_max: 16, ..options() };
    let (writer, handle) = prepare(scratch.path(), small);
    let thread = run(writer);
    decided(create(&handle, 200, 1));
    let tickets: Vec<Ticket> = (0..200).map(|n| order(&handle, &format!("buyer{n}")).expect("let in")).collect();
    for ticket in tickets {
        assert!(matches!(decided(ticket).outcome, Outcome::Reserved(_)));
    }
    // Nobody asks for anything: 200 reservations come back all the same.
    until("all have lapsed", || handle.published.seq() == 401);
    end(&handle, thread);
    let report = verify::verify(scratch.path()).expect("verified");
    assert_eq!((report.held, report.problem_count), (0, 0));
    assert!(report.links >= 400 / 32, "a transaction has few events: {} links for 401", report.links);
}

#[test]
fn an_ordered_end_decides_what_it_has_and_a_new_start_goes_on() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (writer, handle) = prepare(scratch.path(), options());
    let _created = create(&handle, 30, 60);
    let tickets: Vec<Ticket> = (0..30).map(|n| order(&handle, &format!("buyer{n}")).expect("let in")).collect();
    handle.stop();
    assert_eq!(order(&handle, "late").err(), Some(TurnedAway::Stopping));
    let stopped = run(writer).join().expect("the writer's thread");
    assert!(matches!(stopped, Stopped::Orderly), "{stopped:?}");
    for ticket in tickets {
        assert!(matches!(decided(ticket).outcome, Outcome::Reserved(_)), "it was let in before the end");
    }
    let wal = std::fs::metadata(scratch.path().join("firstcome.db-wal")).map_or(0, |file| file.len());
    assert_eq!(wal, 0, "the log is in the database");

    let (writer, handle) = prepare(scratch.path(), options());
    let thread = run(writer);
    let again = decided(order(&handle, "buyer7").expect("let in"));
    assert!(matches!(again.outcome, Outcome::Repeated { subject: Subject::Order(_), .. }), "{again:?}");
    end(&handle, thread);
}

#[test]
fn with_durability_interval_nothing_is_lost_by_an_ordered_end_either() {
    let scratch = tempfile::tempdir().expect("scratch");
    let interval = Options { durability: Durability::Interval(Duration::from_secs(5)), ..options() };
    let (writer, handle) = prepare(scratch.path(), interval);
    let thread = run(writer);
    decided(create(&handle, 30, 60));
    for n in 0..30 {
        decided(order(&handle, &format!("buyer{n}")).expect("let in"));
    }
    end(&handle, thread);
    let report = verify::verify(scratch.path()).expect("verified");
    assert_eq!((report.held, report.problem_count), (30, 0));
}
