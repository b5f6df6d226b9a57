//! A fault at every call that SQLite makes of the file layer: answers of the right class, nothing acknowledged after
//! it, and a recovery that has everything that was. And a full disk, filled and freed.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test cares for one outcome")]

mod model;
mod shim;
mod writing;

use std::path::Path;
use std::time::Duration;

use firstcome::engine::{
    Command, CommandKey, Effect, OrderCommand, Outcome, PaymentCommand, RecordPayment, RefundOrder, Subject,
};
use firstcome::store::recover::{AcceptedRisks, recover};
use firstcome::store::{Store, StoreError, load, verify};
use firstcome::types::digest_key::KeyScope;
use firstcome::types::{Amount, Currency, Seq};
use firstcome::writer::checkpoint::CheckpointLimits;
use firstcome::writer::clock::wall_clock;
use firstcome::writer::{
    Class, NotApplied, Submission, SubmitError, Ticket, WriterExit, WriterHandle, WriterOptions, WriterReply,
};
use shim::{Plan, Shim};
use writing::{create, decided, end, options, order, order_with_key, prepare, run, stand_by, until};

const BUYERS: u64 = 24;

/// Small batches and small logs, so that a short run has many commits, checkpoints and resets.
fn small() -> WriterOptions {
    let checkpoint =
        CheckpointLimits { passive_bytes: 1 << 15, reset_bytes: 1 << 17, gate_max: Duration::from_millis(5) };
    WriterOptions { queue_capacity: 256, batch_commands_max: 5, checkpoint, ..options() }
}

fn operate(handle: &WriterHandle, command: Command) -> Ticket {
    handle.submit(Submission { command, private_data: None, class: Class::Operator }).expect("let in")
}

/// Buyers order, some twice with the same key in one batch; orders are paid and refunded in one batch, and cancelled.
/// Everything is in the queue before the writer runs: the same batches, the same calls, every time.
fn submit_all(handle: &WriterHandle) -> Vec<Ticket> {
    let mut tickets = vec![create(handle, 40, 3600)];
    for buyer in 0..BUYERS {
        tickets.push(order(handle, &format!("buyer{buyer}")).expect("let in"));
        if buyer % 3 == 0 {
            tickets.push(order(handle, &format!("buyer{buyer}")).expect("let in"));
        }
        if buyer > 16 {
            let second = order_with_key(handle, &format!("buyer{buyer}"), b"one more").expect("let in");
            tickets.push(second); // Refused: one each.
        }
    }
    // The drop is event 1, the orders are 2 to 25.
    for order in (2..14).map(|seq| Seq::new(seq).expect("in range")) {
        let currency = Currency::new("EUR").expect("a currency");
        let amount = Amount::new(100).expect("small");
        let digest = handle.digest_key.command_key(KeyScope::Refund(order), "owner", b"r");
        let key = CommandKey { digest, params: digest };
        let (reference, reason): (Box<str>, Box<str>) = ("ref".into(), "test".into());
        tickets.push(operate(
            handle,
            Command::Payment(PaymentCommand::Record(RecordPayment {
                order,
                reference,
                amount,
                currency,
                reason: reason.clone(),
            })),
        ));
        tickets.push(operate(
            handle,
            Command::Payment(PaymentCommand::Refund(Box::new(RefundOrder {
                order,
                key,
                amount: None,
                restock_quantity: 1,
                reason,
            }))),
        ));
    }
    for order in (14..18).map(|seq| Seq::new(seq).expect("in range")) {
        tickets.push(operate(handle, Command::Order(OrderCommand::Cancel { order })));
    }
    tickets
}

/// An event, its kind, its order, its units.
type Told = (u64, String, Option<u64>, Option<i64>);

/// What the file tells, without the instants.
fn events(directory: &Path) -> Vec<Told> {
    let connection = rusqlite::Connection::open(directory.join("firstcome.db")).expect("opened");
    let mut statement =
        connection.prepare("SELECT seq, kind, order_seq, quantity FROM audit ORDER BY seq").expect("prepared");
    let rows = statement
        .query_map([], |row| {
            let (seq, order): (i64, Option<i64>) = (row.get(0)?, row.get(2)?);
            Ok((seq.unsigned_abs(), row.get(1)?, order.map(i64::unsigned_abs), row.get(3)?))
        })
        .expect("asked");
    rows.collect::<Result<_, _>>().expect("read")
}

#[derive(Debug)]
struct Ran {
    /// The last event that an answer told.
    acknowledged: u64,
    /// How many answers were definite, from the first on.
    decided: usize,
    unknown: usize,
    /// What the answers told, one after another: the last event that each saw.
    seqs: Vec<u64>,
    stopped: WriterExit,
}

/// Runs all commands; holds that after the first answer that is not definite none is.
fn run_all(directory: &Path, shim: &Shim, plan: Plan) -> Ran {
    run_with(directory, shim, plan, small())
}

fn run_with(directory: &Path, shim: &Shim, plan: Plan, options: WriterOptions) -> Ran {
    let (writer, handle) = prepare(directory, options);
    let tickets = submit_all(&handle);
    handle.stop();
    shim.arm(plan);
    let stopped = run(writer).join().expect("the writer's thread");
    let mut ran = Ran { acknowledged: 0, decided: 0, unknown: 0, seqs: Vec::new(), stopped };
    let mut broken = false;
    for (n, ticket) in tickets.into_iter().enumerate() {
        match ticket.wait() {
            WriterReply::Decided(decided) => {
                assert!(!broken, "{plan:?}: answer {n} was definite after the fault");
                ran.decided += 1;
                let seq = match decided.outcome {
                    Outcome::Accepted(Effect::Reserved(reservation)) => reservation.seq,
                    Outcome::Accepted(Effect::Changed { seq, .. })
                    | Outcome::Accepted(Effect::ProviderEventRecorded { seq, .. }) => seq,
                    Outcome::Accepted(Effect::Bid(receipt)) => receipt.seq,
                    Outcome::Accepted(Effect::Ticket(receipt)) => receipt.seq,
                    Outcome::Accepted(Effect::Standby(receipt)) => receipt.seq,
                    Outcome::Accepted(Effect::Recorded(receipt)) => receipt.seq,
                    Outcome::Repeated { as_of_seq, .. } | Outcome::Refused { as_of_seq, .. } => as_of_seq,
                    Outcome::Advanced => Seq::ZERO,
                };
                ran.acknowledged = ran.acknowledged.max(seq.get());
                ran.seqs.push(ran.acknowledged);
            }
            WriterReply::Unknown => {
                broken = true;
                ran.unknown += 1;
            }
            WriterReply::NotApplied(NotApplied::Ending) => broken = true,
            other => panic!("{plan:?}: answer {n} is {other:?}"),
        }
    }
    ran
}

/// One fault, one recovery. Returns whether the fault ended the writer.
fn survive(shim: &Shim, plan: Plan, whole: &[Told], clean: &Ran) -> bool {
    let scratch = tempfile::tempdir().expect("scratch");
    let ran = run_all(scratch.path(), shim, plan);
    shim.disarm();
    let ended = match &ran.stopped {
        WriterExit::Orderly => false,
        WriterExit::Fault { exit_code, message } => {
            assert_eq!(*exit_code, 74, "{plan:?}: {message}");
            let refused = Store::open(scratch.path(), wall_clock()).err();
            assert!(matches!(refused, Some(StoreError::Marked { .. })), "{plan:?}: {refused:?}");
            true
        }
    };
    assert!(ended || ran.unknown == 0, "{plan:?}: {ran:?}");
    let recovered = recover(scratch.path(), wall_clock(), AcceptedRisks::default())
        .unwrap_or_else(|error| panic!("{plan:?}: {ran:?}: {error}"));
    assert_eq!(recovered.lost, 0);
    let found = events(scratch.path());
    assert!(
        u64::try_from(found.len()).expect("few") >= ran.acknowledged,
        "{plan:?}: event {} was acknowledged, the recovered file ends at {}",
        ran.acknowledged,
        found.len()
    );
    // What the answers allow at most: what was called "not applied" never takes effect.
    let answered = ran.decided + ran.unknown;
    let ceiling = answered.checked_sub(1).map_or(0, |last| clean.seqs[last]);
    assert!(
        u64::try_from(found.len()).expect("few") <= ceiling,
        "{plan:?}: {} events, although everything after event {ceiling} was answered as not applied",
        found.len()
    );
    assert_eq!(found, whole[..found.len()], "{plan:?}: the file tells the same story, up to a point");
    // Every retry with the same key learns what happened, and at the end the story is whole.
    let again = run_all(scratch.path(), shim, Plan::Count);
    assert!(matches!(again.stopped, WriterExit::Orderly), "{plan:?}: {again:?}");
    assert_eq!(events(scratch.path()).len(), whole.len(), "{plan:?}: nothing twice, nothing missing");
    let report = verify::verify(scratch.path()).expect("verified");
    assert_eq!(report.problems, Vec::<String>::new(), "{plan:?}");
    ended
}

#[test]
fn a_fault_at_any_call_of_the_file_layer_loses_nothing_that_was_acknowledged() {
    let shim = Shim::take();
    let scratch = tempfile::tempdir().expect("scratch");
    let ran = run_all(scratch.path(), &shim, Plan::Count);
    let calls = shim.disarm();
    assert!(matches!(ran.stopped, WriterExit::Orderly), "{ran:?}");
    let whole = events(scratch.path());
    let clean = ran;
    assert!(calls > 200 && whole.len() > 40, "{calls} calls, {} events", whole.len());

    // All of them with FIRSTCOME_TEST_SCALE (scripts/soak.sh); else a stride that reaches every kind of call.
    let stride = if cfg!(debug_assertions) { 41 } else { 7 };
    let stride = usize::try_from(stride / model::scaled(1, 1)).expect("small").max(1);
    let (mut tried, mut ended) = (0u64, 0u64);
    for call in (1..=calls).step_by(stride) {
        for plan in [Plan::Once(call), Plan::Forever(call)] {
            tried += 1;
            ended += u64::from(survive(&shim, plan, &whole, &clean));
        }
    }
    println!("{calls} calls, {tried} faults tried, {ended} ended the writer");
    assert!(ended * 2 > tried, "most faults end the writer: {ended} of {tried}");
}

#[test]
fn a_commit_whose_fsync_failed_is_unknown_and_has_happened_after_all() {
    let shim = Shim::take();
    let scratch = tempfile::tempdir().expect("scratch");
    // Without a checkpoint every sync is a commit's: what it was to make durable has been written already.
    let no_checkpoint = WriterOptions { checkpoint: options().checkpoint, ..small() };
    let ran = run_with(scratch.path(), &shim, Plan::Sync(3), no_checkpoint);
    shim.disarm();
    assert!(ran.decided > 0 && ran.unknown > 0, "{ran:?}");
    recover(scratch.path(), wall_clock(), AcceptedRisks::default()).expect("recovered");
    let found = u64::try_from(events(scratch.path()).len()).expect("few");
    assert!(found > ran.acknowledged, "the ghost: {found} events, {} were acknowledged", ran.acknowledged);
}

#[test]
fn a_fault_at_any_call_of_a_start_leaves_the_file_as_it_was() {
    let shim = Shim::take();
    let scratch = tempfile::tempdir().expect("scratch");
    // A log that is still to be read: the file of a process that was killed.
    let crashed = scratch.path().join("crashed");
    crash(&crashed);
    let whole = events(&crashed);
    let start = |directory: &Path| -> Result<u64, StoreError> {
        let store = Store::open(directory, wall_clock())?;
        Ok(load::load_verified(&store, 1000)?.state.seq().get())
    };
    let copy = |name: String| {
        let directory = scratch.path().join(name);
        copy_directory(&crashed, &directory);
        directory
    };
    shim.arm(Plan::Count);
    assert_eq!(start(&copy("clean".into())).expect("starts"), u64::try_from(whole.len()).expect("few"));
    let calls = shim.disarm();
    for call in 1..=calls {
        let directory = copy(format!("{call}"));
        shim.arm(Plan::Once(call));
        let started = start(&directory);
        shim.disarm();
        match started {
            Ok(seq) => assert_eq!(seq, u64::try_from(whole.len()).expect("few"), "call {call}"),
            Err(error) => assert!([73, 74].contains(&error.exit_code()), "call {call}: {error}"),
        }
        start(&directory).unwrap_or_else(|error| panic!("call {call}: the next start finds all: {error}"));
        assert_eq!(events(&directory), whole, "call {call}");
    }
}

/// Leaves the files of a process that was killed in `directory`: its log is not in the database.
fn crash(directory: &Path) {
    let living = directory.with_extension("living");
    let (writer, handle) = prepare(&living, WriterOptions { checkpoint: options().checkpoint, ..small() });
    let tickets = submit_all(&handle);
    let thread = run(writer);
    for ticket in tickets {
        decided(ticket);
    }
    copy_directory(&living, directory);
    handle.stop();
    assert!(matches!(thread.join().expect("the writer's thread"), WriterExit::Orderly));
}

fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("made");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        std::fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copied");
    }
}

#[test]
fn a_disk_that_fills_and_frees_twenty_times_sells_exactly_what_it_said() {
    let shim = Shim::take();
    fill_and_free(|room| shim.fill(room));
}

#[test]
fn a_quota_that_is_used_up_is_a_full_disk() {
    let shim = Shim::take();
    fill_and_free(|room| shim.fill_quota(room));
}

fn fill_and_free(fill: impl Fn(Option<u32>)) {
    let scratch = tempfile::tempdir().expect("scratch");
    let (writer, handle) = prepare(scratch.path(), WriterOptions { batch_commands_max: 3, ..options() });
    let thread = run(writer);
    decided(create(&handle, 10_000, 3600));
    let (mut sold, mut first) = (0u64, None);
    let mut turned_away = 0u64;
    let mut buyer = 0u64;
    let rounds = if cfg!(debug_assertions) { 3 } else { 20 };
    for round in 0..rounds {
        fill(Some(9000 + round * 1311));
        // Until the disk is full: each answer is "yes" or "nothing happened".
        while !handle.is_read_only() {
            buyer += 1;
            match order(&handle, &format!("buyer{buyer}")).map(Ticket::wait) {
                Ok(WriterReply::Decided(decided)) => {
                    assert!(matches!(decided.outcome, Outcome::Accepted(Effect::Reserved(_))), "{decided:?}");
                    sold += 1;
                    first = first.or(Some(buyer));
                }
                Ok(WriterReply::NotApplied(NotApplied::ReadOnly)) | Err(SubmitError::ReadOnly) => turned_away += 1,
                other => panic!("round {round}: {other:?}"),
            }
            assert!(buyer < 20_000, "the disk never gets full");
        }
        assert_eq!(order(&handle, "while full").err(), Some(SubmitError::ReadOnly));
        fill(None);
        until("selling goes on by itself", || !handle.is_read_only());
    }
    assert!(turned_away >= rounds.into(), "each time somebody was in the way: {turned_away}");
    let again = decided(order(&handle, &format!("buyer{}", first.expect("some"))).expect("let in"));
    assert!(matches!(again.outcome, Outcome::Repeated { .. }), "{again:?}");
    handle.stop();
    assert!(matches!(thread.join().expect("the writer's thread"), WriterExit::Orderly));
    let report = verify::verify(scratch.path()).expect("verified");
    assert_eq!((report.problems, report.held), (Vec::new(), sold), "not applied is not applied");
}

/// The unit comes back while nothing is decided, and the time of two buyers in the line would be over before the end of it.
#[test]
fn a_standstill_is_no_time_to_pay_for_a_unit_that_comes_back_in_it() {
    let shim = Shim::take();
    let scratch = tempfile::tempdir().expect("scratch");
    let (writer, handle) = prepare(scratch.path(), options());
    let thread = run(writer);
    decided(create(&handle, 1, 2));
    let reserved = decided(order(&handle, "ann").expect("let in"));
    let Outcome::Accepted(Effect::Reserved(reservation)) = reserved.outcome else { panic!("{reserved:?}") };
    for buyer in ["ben", "cat"] {
        decided(stand_by(&handle, buyer).expect("let in"));
    }
    shim.fill(Some(0));
    let mut more = 0;
    until("the disk is full", || {
        more += 1;
        drop(stand_by(&handle, &format!("more{more}")).map(Ticket::wait));
        handle.is_read_only()
    });
    assert!(handle.clock.now() < reservation.expires_at, "the unit is held when the standstill begins");
    let over = reservation.expires_at.plus_seconds(5);
    until("the time of ben and of cat would be over", || handle.clock.now() > over);
    shim.fill(None);
    until("selling goes on by itself", || !handle.is_read_only());
    let again = decided(stand_by(&handle, "ben").expect("let in"));
    assert!(matches!(again.outcome, Outcome::Repeated { subject: Subject::Order(_), .. }), "{again:?}");
    end(&handle, thread);
    let connection = rusqlite::Connection::open(scratch.path().join("firstcome.db")).expect("opened");
    let names: Vec<String> = connection
        .prepare("SELECT buyer FROM orders ORDER BY seq")
        .expect("a statement")
        .query_map([], |row| row.get(0))
        .expect("rows")
        .collect::<Result<_, _>>()
        .expect("orders");
    assert_eq!(names, ["ann", "ben"], "cat waits while ben has time to pay");
    assert_eq!(verify::verify(scratch.path()).expect("verified").problems, Vec::<String>::new());
}

#[test]
fn a_foreign_lock_stops_the_sale_while_it_lasts_and_only_a_foreign_write_ends_the_server() {
    let _alone = Shim::take();
    let scratch = tempfile::tempdir().expect("scratch");
    let (writer, handle) = prepare(scratch.path(), options());
    let thread = run(writer);
    decided(create(&handle, 10, 60));
    let other = rusqlite::Connection::open(scratch.path().join("firstcome.db")).expect("opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("begun");
    for buyer in ["ann", "ben"] {
        match order(&handle, buyer) {
            Ok(ticket) => assert!(matches!(ticket.wait(), WriterReply::NotApplied(NotApplied::ReadOnly)), "{buyer}"),
            Err(error) => assert!(handle.is_read_only(), "{error:?}"),
        }
    }
    assert!(handle.is_read_only() && !thread.is_finished(), "it goes on answering");
    other.execute_batch("ROLLBACK").expect("rolled back");
    until("the sale goes on by itself", || !handle.is_read_only());
    decided(order(&handle, "ann").expect("let in"));

    other.execute_batch("BEGIN IMMEDIATE; UPDATE drops SET held = 5").expect("written");
    let ticket = order(&handle, "cy").expect("let in");
    assert!(matches!(ticket.wait(), WriterReply::NotApplied(NotApplied::ReadOnly)));
    other.execute_batch("COMMIT").expect("committed");
    let stopped = thread.join().expect("the writer's thread");
    assert!(matches!(stopped, WriterExit::Fault { exit_code: 73, .. }), "{stopped:?}");
}

#[test]
fn a_failed_sync_stays_a_fault_of_the_disk_although_a_small_file_is_missing_too() {
    let shim = Shim::take();
    for name in ["firstcome.watermark", "firstcome.lock", "firstcome.fault", "firstcome.db-shm"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let (writer, handle) = prepare(scratch.path(), options());
        let thread = run(writer);
        decided(create(&handle, 10, 60));
        end(&handle, thread);
        // Everything is queued before the writer runs: it commits before it looks at its files.
        let (writer, handle) = prepare(scratch.path(), options());
        let ticket = order(&handle, "ann").expect("let in");
        std::fs::remove_file(scratch.path().join(name)).expect("removed");
        shim.arm(Plan::Sync(1));
        let thread = run(writer);
        assert!(matches!(ticket.wait(), WriterReply::Unknown), "{name}");
        let stopped = thread.join().expect("the writer's thread");
        shim.disarm();
        assert!(matches!(stopped, WriterExit::Fault { exit_code: 74, .. }), "{name}: {stopped:?}");
        drop(handle);
        // No server sells on these files before they are copied.
        let refused = Store::open(scratch.path(), wall_clock()).err().unwrap_or_else(|| panic!("{name}: it starts"));
        assert_eq!(refused.exit_code(), 74, "{name}: {refused}");
        recover(scratch.path(), wall_clock(), AcceptedRisks::default())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!events(scratch.path()).is_empty(), "{name}");
    }
}

#[test]
fn a_check_that_fires_is_a_bug_with_70_and_leaves_no_marker() {
    let _alone = Shim::take();
    let scratch = tempfile::tempdir().expect("scratch");
    let (writer, handle) = prepare(scratch.path(), options());
    let thread = run(writer);
    decided(create(&handle, 10, 60));
    end(&handle, thread);
    // Somebody has tampered with the counters behind the engine's back, and the order comes before the writer looks.
    let (writer, handle) = prepare(scratch.path(), options());
    let other = rusqlite::Connection::open(scratch.path().join("firstcome.db")).expect("opened");
    other.execute_batch("UPDATE drops SET held = 10").expect("changed");
    drop(other);
    let ticket = order(&handle, "ann").expect("let in");
    let thread = run(writer);
    assert!(matches!(ticket.wait(), WriterReply::Unknown));
    let stopped = thread.join().expect("the writer's thread");
    assert!(matches!(stopped, WriterExit::Fault { exit_code: 70, .. }), "{stopped:?}");
    drop(handle);
    let store = Store::open(scratch.path(), wall_clock()).expect("no marker");
    let error = load::load_verified(&store, 1000).err().expect("but the file contradicts itself");
    assert_eq!(error.exit_code(), 65, "{error}");
}
