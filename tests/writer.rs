//! The writer's promises, with a real file: first in first out, judged at the instant of acceptance, the operators'
//! reserve, expiry by itself, an ordered end. Commands are queued before the writer runs, so nothing depends on luck.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test cares for one outcome")]

mod writing;

use std::time::{Duration, Instant};

use firstcome::engine::{ChangeDrop, Command, DropCommand, Effect, Outcome, Refusal, Subject};
use firstcome::store::{Durability, verify};
use firstcome::writer::checkpoint::CheckpointLimits;
use firstcome::writer::{Class, Submission, SubmitError, Ticket, WriterExit, WriterOptions, WriterReply};
use writing::{create, decided, drop_one, end, options, order, prepare, run, until};

#[test]
fn outcomes_come_in_the_order_of_acceptance() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (writer, handle) = prepare(scratch.path(), options());
    let created = create(&handle, 20, 60);
    let tickets: Vec<Ticket> = (0..40).map(|n| order(&handle, &format!("buyer{n}")).expect("let in")).collect();
    let thread = run(writer);
    assert!(matches!(decided(created).outcome, Outcome::Accepted(Effect::Changed { subject: Subject::Drop(_), .. })));
    let mut last = 0;
    for (n, ticket) in tickets.into_iter().enumerate() {
        match decided(ticket).outcome {
            Outcome::Accepted(Effect::Reserved(reservation)) => {
                assert!(n < 20, "buyer {n} got a unit that was gone");
                assert!(reservation.seq.get() > last, "seq shows the order");
                last = reservation.seq.get();
            }
            Outcome::Refused { refusal: Refusal::SoldOut(_), as_of_seq } => {
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
    let (writer, handle) = prepare(scratch.path(), WriterOptions { batch_commands_max: 1, ..options() });
    let _created = create(&handle, 1, 1);
    let first = order(&handle, "ann").expect("let in");
    let second = order(&handle, "bob").expect("let in");
    // Only now, when ann's reservation has lapsed by the clock, does the writer begin.
    let accepted = handle.clock.now();
    until("a second has passed", || handle.clock.now().since(accepted) > 1100);
    let thread = run(writer);
    assert!(matches!(decided(first).outcome, Outcome::Accepted(Effect::Reserved(_))));
    let second = decided(second);
    assert!(
        matches!(second.outcome, Outcome::Refused { refusal: Refusal::SoldOut(_), .. }),
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
    assert_eq!(turned_away, SubmitError::QueueFull { depth: 56 });
    let pause = Command::Drop(DropCommand::Pause(ChangeDrop { drop_id: drop_one(), reason: "full".into() }));
    let pause =
        handle.submit(Submission { command: pause, private_data: None, class: Class::Operator }).expect("the reserve");
    let thread = run(writer);
    assert!(matches!(decided(pause).outcome, Outcome::Accepted(Effect::Changed { .. })));
    let accepted = tickets.len();
    let reserved = tickets
        .into_iter()
        .map(decided)
        .filter(|d| matches!(d.outcome, Outcome::Accepted(Effect::Reserved(_))))
        .count();
    assert_eq!(reserved, accepted, "who was let in was decided, before the pause");
    end(&handle, thread);
    let report = verify::verify(scratch.path()).expect("verified");
    assert_eq!((report.held, report.problem_count), (u64::try_from(accepted).expect("few"), 0));
}

#[test]
fn a_buyers_command_that_waited_too_long_is_not_decided_and_an_operators_is() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (writer, handle) =
        prepare(scratch.path(), WriterOptions { queue_wait_max: Duration::from_millis(1), ..options() });
    let created = create(&handle, 5, 60);
    let late = order(&handle, "ann").expect("let in");
    let accepted = Instant::now();
    until("it is too late", || accepted.elapsed() > Duration::from_millis(5));
    let thread = run(writer);
    assert!(matches!(decided(created).outcome, Outcome::Accepted(Effect::Changed { .. })));
    assert!(matches!(late.wait(), WriterReply::TooOld));
    end(&handle, thread);
    assert_eq!(verify::verify(scratch.path()).expect("verified").orders, 0, "it had no effect");
}

#[test]
fn a_client_that_leaves_takes_nothing_with_it() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (writer, handle) = prepare(scratch.path(), options());
    let created = create(&handle, 5, 60);
    drop(order(&handle, "ann").expect("let in"));
    let thread = run(writer);
    decided(created);
    let again = decided(order(&handle, "ann").expect("let in"));
    assert!(matches!(again.outcome, Outcome::Repeated { subject: Subject::Order(_), .. }), "{again:?}");
    end(&handle, thread);
}

#[test]
fn commands_that_are_queued_share_a_commit_up_to_the_bound() {
    const BATCH: i64 = 24;
    let scratch = tempfile::tempdir().expect("scratch");
    let bounds = WriterOptions { batch_commands_max: usize::try_from(BATCH).expect("small"), ..options() };
    let (writer, handle) = prepare(scratch.path(), bounds);
    let created = create(&handle, 100, 60);
    let orders: Vec<_> = (1..2 * BATCH + 2).map(|n| order(&handle, &format!("b{n}")).expect("let in")).collect();
    let thread = run(writer);
    decided(created);
    for ticket in orders {
        decided(ticket);
    }
    end(&handle, thread);
    // Every commit with events closes one link of the chain.
    let connection = rusqlite::Connection::open(scratch.path().join("firstcome.db")).expect("opened");
    let links: Vec<i64> = connection
        .prepare("SELECT seq FROM chain ORDER BY seq")
        .and_then(|mut links| links.query_map([], |row| row.get(0))?.collect())
        .expect("read");
    assert_eq!(links, [BATCH, 2 * BATCH, 2 * BATCH + 2]);
}

#[test]
fn the_write_ahead_log_stays_below_its_limit_however_much_is_sold() {
    const LIMIT: u64 = 256 * 1024;
    let scratch = tempfile::tempdir().expect("scratch");
    let gate_max = Duration::from_millis(5);
    let checkpoint = CheckpointLimits { passive_bytes: LIMIT / 4, reset_bytes: LIMIT, gate_max };
    let (writer, handle) = prepare(scratch.path(), WriterOptions { checkpoint, ..options() });
    let thread = run(writer);
    decided(create(&handle, 1000, 60));
    let mut longest = 0;
    for n in 0..150 {
        // One commit each, of several pages.
        decided(order(&handle, &format!("b{n}")).expect("let in"));
        let log = std::fs::metadata(scratch.path().join("firstcome.db-wal")).expect("the log");
        longest = longest.max(log.len());
    }
    end(&handle, thread);
    assert!(longest > LIMIT / 8, "it grows: {longest}");
    assert!(longest < 2 * LIMIT, "it is emptied: {longest}");
}

#[test]
fn reservations_lapse_by_themselves_in_bounded_transactions() {
    let scratch = tempfile::tempdir().expect("scratch");
    let small = WriterOptions { queue_capacity: 400, batch_events_max: 16, ..options() };
    let (writer, handle) = prepare(scratch.path(), small);
    let thread = run(writer);
    decided(create(&handle, 200, 1));
    let tickets: Vec<Ticket> = (0..200).map(|n| order(&handle, &format!("buyer{n}")).expect("let in")).collect();
    for ticket in tickets {
        assert!(matches!(decided(ticket).outcome, Outcome::Accepted(Effect::Reserved(_))));
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
    assert_eq!(order(&handle, "late").err(), Some(SubmitError::Stopping));
    let stopped = run(writer).join().expect("the writer's thread");
    assert!(matches!(stopped, WriterExit::Orderly), "{stopped:?}");
    for ticket in tickets {
        assert!(
            matches!(decided(ticket).outcome, Outcome::Accepted(Effect::Reserved(_))),
            "it was let in before the end"
        );
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
    let interval = WriterOptions { durability: Durability::Interval(Duration::from_secs(5)), ..options() };
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
