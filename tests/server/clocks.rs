//! Clocks that step, sleep and begin anew: the guard of a start on a simulated machine (wall, monotonic and boot clock),
//! and a real server whose clock of decisions is far from the wall clock.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::http::{call, config, serve_with, try_serve, until};
use crate::process::{Client, Process};
use crate::webhook_sink::{Sink, SinkReply};
use crate::writing::test_drop;
use firstcome::admission::operators::file::change;
use firstcome::admission::operators::{Role, Token};
use firstcome::engine::DropSpec;
use firstcome::store::clock_file::{CLOCK_FILE, ClockFile};
use firstcome::store::{BootTime, KeptInstant, Store, load};
use firstcome::types::{SigningSecret, UnixMillis};
use firstcome::writer::clock::wall_clock;
use firstcome::writer::{Clock, ClockError, ClockReading, StartEvidence};
use serde_json::json;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// Slewing, and what lies between two instants that are kept.
const SLACK: i64 = 5 * SECOND;
const FILE_ID: [u8; 16] = [7; 16];

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        i64::try_from(self.0 >> 2).expect("62 bits") % bound
    }
    fn one_in(&mut self, times: i64) -> bool {
        self.below(times) == 0
    }
}

/// A machine whose true time the test knows.
struct Machine {
    begin: Instant,
    truth: i64,
    /// How far the wall clock is from the truth.
    wall_error: i64,
    monotonic: i64,
    boot: BootTime,
    /// Time that no clock of this boot has counted, since the last instant was kept or the last life began.
    uncounted: i64,
    /// How far the wall clock was from the truth when an instant was kept last.
    kept_error: i64,
}

impl Machine {
    fn new() -> Machine {
        let boot = BootTime { boot_id: [1; 16], since_boot_ms: 9 * SECOND };
        let truth = 1_800_000_000_000;
        Machine { begin: Instant::now(), truth, wall_error: 0, monotonic: 0, boot, uncounted: 0, kept_error: 0 }
    }
    fn reading(&self) -> ClockReading {
        let awake = Duration::from_millis(u64::try_from(self.monotonic).expect("not negative"));
        ClockReading {
            wall: UnixMillis::new(self.truth + self.wall_error).expect("in range"),
            monotonic: self.begin + awake,
            boot: Some(self.boot),
        }
    }
    fn run(&mut self, time: i64) {
        self.sleep(time);
        self.monotonic += time;
    }
    /// The machine is suspended: monotonic time stands, the boot clock goes on.
    fn sleep(&mut self, time: i64) {
        self.truth += time;
        self.boot.since_boot_ms += time;
    }
    /// The virtual machine is paused: no clock of it goes on, and its wall clock is set afterwards.
    fn pause(&mut self, time: i64) {
        self.truth += time;
        self.uncounted += time;
    }
    fn boot_again(&mut self, time: i64) {
        self.truth += time;
        self.monotonic = 9 * SECOND;
        let next = self.boot.boot_id[0].wrapping_add(1).max(1);
        self.boot = BootTime { boot_id: [next; 16], since_boot_ms: 9 * SECOND };
    }
}

/// Runs a server for a while; returns its last event and the true time of the instant that it kept last.
fn live(
    machine: &mut Machine,
    dice: &mut Dice,
    clock: &Clock,
    file: &ClockFile,
    last_event: UnixMillis,
) -> (UnixMillis, i64) {
    let mut last_event = last_event;
    let keep = |machine: &mut Machine| {
        file.keep(&clock.kept_instant(&machine.reading())).expect("kept");
        machine.kept_error = machine.wall_error;
        machine.truth
    };
    let mut kept = keep(machine);
    for _ in 0..dice.below(5) {
        match dice.below(6) {
            0 => machine.sleep(dice.below(10 * HOUR)),
            1 if dice.one_in(3) => machine.pause(dice.below(2 * HOUR)),
            2 => machine.wall_error = dice.below(6 * HOUR) - 3 * HOUR,
            3 => machine.wall_error = 0,
            _ => last_event = clock.at(machine.reading().monotonic),
        }
        for _ in 0..dice.below(90) {
            machine.run(MINUTE);
            clock.slew(&machine.reading(), Duration::from_secs(60));
            kept = keep(machine);
        }
        machine.run(dice.below(MINUTE));
    }
    if machine.wall_error < 0 {
        machine.wall_error = 0;
    }
    if dice.one_in(2) {
        kept = keep(machine);
    }
    (last_event, kept)
}

#[test]
fn a_right_clock_starts_after_any_stop_and_a_wrong_one_never_ends_anything() {
    let mut seen = [0u32; 5];
    for seed in 1..=60u64 {
        let (mut dice, mut machine) = (Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)), Machine::new());
        let scratch = tempfile::tempdir().expect("scratch");
        let mut last_event = UnixMillis::ZERO;
        for life in 0..12 {
            let file = ClockFile::open(scratch.path(), FILE_ID).expect("opened");
            let anything_due = !dice.one_in(4);
            let evidence = StartEvidence { last_event, kept: file.read(), orders_live: anything_due, anything_due };
            let kept_boot = evidence.kept.and_then(|kept| kept.boot).map(|boot| boot.boot_id);
            let within_one_boot = kept_boot == Some(machine.boot.boot_id);
            let told = |what: &str, now: &ClockReading| {
                format!("seed {seed}, life {life}: {what}: {evidence:?} {now:?}, uncounted {} ms", machine.uncounted)
            };
            if last_event != UnixMillis::ZERO {
                // A wall clock that was stepped while the server ran is still wrong, or it is wrong at this start.
                for error in [machine.wall_error, dice.below(48 * HOUR), -dice.below(48 * HOUR)] {
                    let now = ClockReading {
                        wall: UnixMillis::new(machine.truth + error).expect("in range"),
                        ..machine.reading()
                    };
                    let found = evidence.check(&now);
                    if anything_due && error > 0 && error + machine.uncounted > HOUR + SLACK {
                        assert!(matches!(found, Err(ClockError::Ahead(_))), "{}", told("too far ahead", &now));
                        seen[0] += 1;
                    } else if !anything_due && within_one_boot && machine.kept_error == 0 && error > HOUR + SLACK {
                        assert!(matches!(found, Err(ClockError::Stepped(_))), "{}", told("a step", &now));
                        seen[4] += 1;
                    } else if -error > machine.uncounted + MINUTE + SLACK - machine.kept_error.min(0) {
                        let is_behind =
                            matches!(found, Err(ClockError::Behind(_) | ClockError::BehindBootClock { .. }));
                        assert!(is_behind, "{}", told("behind", &now));
                        seen[1] += 1;
                    }
                }
                machine.wall_error = 0;
                let (now, uncounted) = (machine.reading(), machine.uncounted);
                let found = evidence.check(&now);
                if uncounted < HOUR - SLACK || (!anything_due && !within_one_boot) {
                    assert_eq!(found, Ok(()), "{}", told("a right clock", &now));
                    seen[2] += 1;
                } else if anything_due && uncounted > HOUR + SLACK {
                    // No clock of this machine knows that so much time has passed.
                    assert!(matches!(found, Err(ClockError::Ahead(_))), "{}", told("unknown time", &now));
                    seen[3] += 1;
                }
            }
            machine.uncounted = 0;
            let clock = Clock::start(&evidence, &machine.reading(), true).expect("accepted");
            if last_event == UnixMillis::ZERO {
                last_event = clock.at(machine.reading().monotonic);
            }
            let kept;
            (last_event, kept) = live(&mut machine, &mut dice, &clock, &file, last_event);
            if dice.one_in(3) {
                machine.boot_again(dice.below(3 * HOUR));
                machine.uncounted += machine.truth - kept;
            } else {
                machine.run(dice.below(72 * HOUR));
            }
        }
    }
    assert!(seen.iter().all(|times| *times > 20), "each case occurs: {seen:?}");
}

/// Reads what a start would know of the file in `directory`.
fn evidence(directory: &Path) -> StartEvidence {
    let store = Store::open(directory, wall_clock()).expect("opened");
    let loaded = load::load(&store.connection, &store.digest_key, 1000).expect("loaded");
    StartEvidence {
        last_event: loaded.state.at(),
        kept: store.clock_file.as_ref().and_then(ClockFile::read),
        orders_live: loaded.state.orders_in_memory() > 0,
        anything_due: loaded.state.next_due().is_some(),
    }
}

/// The clocks of this machine, later by some time; the wall clock may be wrong besides.
fn later(time: i64, wall_error: i64) -> ClockReading {
    let now = ClockReading::take();
    let boot = now.boot.map(|boot| BootTime { since_boot_ms: boot.since_boot_ms + time, ..boot });
    ClockReading { wall: now.wall.plus_millis(time + wall_error), boot, ..now }
}

#[test]
fn a_quiet_shop_starts_again_while_an_order_is_live() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (writer, handle) = crate::writing::prepare(scratch.path(), crate::writing::options());
    let thread = crate::writing::run(writer);
    crate::writing::decided(crate::writing::create(&handle, 5, 86_400));
    crate::writing::decided(crate::writing::order(&handle, "ann").expect("let in"));
    crate::writing::end(&handle, thread);
    let evidence = evidence(scratch.path());
    assert!(evidence.anything_due);
    for stop in [0, 3_700 * SECOND, 20 * HOUR] {
        assert_eq!(evidence.check(&later(stop, 0)), Ok(()), "a stop of {stop} ms");
        assert!(matches!(evidence.check(&later(stop, 2 * HOUR)), Err(ClockError::Ahead(7199..=7201))), "{stop}");
        let behind = evidence.check(&later(stop, -2 * HOUR));
        match stop {
            0 => assert!(matches!(behind, Err(ClockError::Behind(7199..=7201))), "{behind:?}"),
            _ if stop < 2 * HOUR => assert!(matches!(behind, Err(ClockError::Behind(_))), "{behind:?}"),
            // The wall clock went on since the last instant, only by less than the boot clock.
            _ => assert!(
                matches!(behind, Err(ClockError::BehindBootClock { behind: 7199..=7201, counted: 72_000..=72_005 })),
                "{behind:?}"
            ),
        }
    }
}

#[test]
fn a_crash_and_a_restart_within_a_boot_end_no_reservation_early_whatever_the_wall_clock_shows() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (writer, handle) = crate::writing::prepare(scratch.path(), crate::writing::options());
    let thread = crate::writing::run(writer);
    crate::writing::decided(crate::writing::create(&handle, 5, 900));
    crate::writing::decided(crate::writing::order(&handle, "ann").expect("let in"));
    crate::writing::end(&handle, thread);
    let due = evidence(scratch.path());
    let quiet = StartEvidence { orders_live: false, anything_due: false, ..due };
    for (ahead, believed) in [(50 * SECOND, true), (70 * SECOND, false), (50 * MINUTE, false)] {
        let now = later(5 * SECOND, ahead);
        let right = now.wall.plus_millis(-ahead);
        let started = |evidence: &StartEvidence| {
            let clock = Clock::start(evidence, &now, false).expect("accepted");
            clock.at(now.monotonic).get() - right.get()
        };
        let expected = if believed { ahead } else { 0 };
        assert!((started(&due) - expected).abs() < 2 * SECOND, "{ahead}: {} ms ahead", started(&due));
        assert!((started(&quiet) - ahead).abs() < 2 * SECOND, "with nothing due the wall clock counts");
    }
}

/// Ways to lose the clock file; before the first start of this version there is none.
fn lose_clock_file(directory: &Path, way: &str) {
    let path = directory.join(CLOCK_FILE);
    match way {
        "never there" => std::fs::remove_file(&path).expect("removed"),
        "emptied" => std::fs::write(&path, "").expect("cut"),
        "of another database" => {
            std::fs::remove_file(&path).expect("removed");
            let other = ClockFile::open(directory, [9; 16]).expect("made");
            let at = wall_clock();
            other.keep(&KeptInstant { known: at, decided: at, wall: at, boot: None }).expect("written");
        }
        _ => std::fs::write(&path, [7; 1024]).expect("written"),
    }
}

#[test]
fn a_start_without_a_kept_instant_compares_with_the_last_event_and_only_for_live_orders() {
    for way in ["never there", "emptied", "of another database", "damaged"] {
        for with_order in [false, true] {
            let scratch = tempfile::tempdir().expect("scratch");
            let (writer, handle) = crate::writing::prepare(scratch.path(), crate::writing::options());
            let thread = crate::writing::run(writer);
            let at = wall_clock();
            let spec = DropSpec { starts_at: at.plus_millis(48 * HOUR), ..test_drop(5) };
            crate::writing::decided(crate::writing::create_drop(&handle, "later", spec));
            if with_order {
                let now = DropSpec { reservation_seconds: 86_400, ..test_drop(5) };
                crate::writing::decided(crate::writing::create_drop(&handle, "now", now));
                crate::writing::decided(crate::writing::order_of(&handle, 2, "ann").expect("let in"));
            }
            crate::writing::end(&handle, thread);
            lose_clock_file(scratch.path(), way);
            let evidence = evidence(scratch.path());
            let what = format!("{way}, an order: {with_order}: {evidence:?}");
            assert_eq!(
                (evidence.kept, evidence.anything_due, evidence.orders_live),
                (None, true, with_order),
                "{what}"
            );
            // A quiet shop whose drop begins in two days is stopped for two hours.
            let found = evidence.check(&later(2 * HOUR, 0));
            assert_eq!(matches!(found, Err(ClockError::Ahead(_))), with_order, "{what}: {found:?}");
            assert!(matches!(evidence.check(&later(0, -HOUR)), Err(ClockError::Behind(_))), "{what}");
        }
    }
}

#[test]
fn a_clock_far_ahead_ends_no_drop_and_no_auction_without_orders() {
    let in_an_hour = |hours: i64| firstcome::types::text::rfc3339(wall_clock().plus_millis(hours * HOUR));
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 5,
                       "per_buyer_limit": 2, "starts_at": "2020-01-01T00:00:00Z" });
    let auction = json!({ "sku": "S", "name": "N", "currency": "EUR", "start_price": 100,
                          "increments": [[0, 5]], "starts_at": "2020-01-01T00:00:00Z" });
    let with = |base: &serde_json::Value, more: &[(&str, String)]| {
        let mut body = base.clone();
        for (name, value) in more {
            body[*name] = json!(value);
        }
        body
    };
    let cases = [
        ("/v1/drops", drop.clone(), false),
        ("/v1/drops", with(&drop, &[("ends_at", in_an_hour(1))]), true),
        ("/v1/drops", with(&drop, &[("starts_at", in_an_hour(1))]), true),
        ("/v1/auctions", with(&auction, &[("ends_at", in_an_hour(1))]), true),
        ("/v1/auctions", with(&auction, &[("starts_at", in_an_hour(1)), ("ends_at", in_an_hour(5))]), true),
    ];
    for (path, body, due) in cases {
        let scratch = tempfile::tempdir().expect("scratch");
        let server = serve_with(scratch.path(), |_| {});
        let made = server.admin("POST", path, &body);
        assert_eq!(made.status, 201, "{}", made.text);
        server.stop();
        let evidence = evidence(&config(scratch.path()).data);
        let found = evidence.check(&later(0, 3 * HOUR));
        assert_eq!(matches!(found, Err(ClockError::Ahead(_))), due, "{body}: {found:?}");
        // The boot clock knows that it was set, whatever is due.
        assert_eq!(matches!(found, Err(ClockError::Stepped(_))), !due, "{body}: {found:?}");
        let another_boot = ClockReading { boot: None, ..later(0, 3 * HOUR) };
        assert_eq!(evidence.check(&another_boot).is_err(), due, "{body}: after a boot");
        assert_eq!(evidence.check(&later(HOUR * 30, 0)), Ok(()), "{body}: a right clock after a long stop");
    }
}

/// Leaves a file whose last event is ten minutes in the future.
fn file_of_the_future(directory: &Path) {
    let now = ClockReading::take();
    let ahead = ClockReading { wall: now.wall.plus_millis(10 * MINUTE), ..now };
    let (writer, handle) = crate::writing::prepare_at(directory, crate::writing::options(), &ahead);
    let thread = crate::writing::run(writer);
    crate::writing::decided(crate::writing::create(&handle, 5, 600));
    crate::writing::end(&handle, thread);
}

#[test]
fn what_leaves_the_server_is_dated_by_the_wall_clock_however_far_off_the_clock_of_decisions_is() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = config(scratch.path()).data;
    file_of_the_future(&data);
    // A token that the wall clock still admits, and the clock of decisions would not.
    let expires = wall_clock().plus_millis(5 * MINUTE);
    let (token, text) = Token::new("ann", Role::Owner, wall_clock(), Some(expires));
    change(&data, |tokens| {
        tokens.push(token);
        Ok(())
    })
    .expect("written");
    let (refused, message) = try_serve(config(scratch.path())).err().expect("refused");
    assert_eq!(refused, 78, "{message}");

    let sink = Sink::new(|_| SinkReply::Status(204));
    let (url, secret) = (sink.url(), scratch.path().join("outbox.secret"));
    std::fs::write(&secret, SigningSecret::random().reveal()).expect("written");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("set");
    let start = |accept| {
        serve_with(scratch.path(), |config| {
            config.outbox.endpoint_url.clone_from(&url);
            config.outbox.endpoint_secret_file = Some(secret.clone());
            config.outbox.allow_private_networks = vec!["127.0.0.0/8".parse().expect("a network")];
            config.accept_clock = accept;
        })
    };
    let server = start(true);
    let sold = server.order("k1", r#"{"buyer":"ann","quantity":1}"#);
    assert_eq!(sold.status, 201, "{}", sold.text);
    let told: i64 = sold.headers["firstcome-time-ms"].parse().expect("a number");
    assert!(told - wall_clock().get() > 9 * MINUTE, "the clock of decisions stays ahead of its last event");
    until("the order is sent", || sink.received().iter().any(|one| one.kind() == "order.reserved"));
    for one in sink.received() {
        let dated: i64 = one.headers["webhook-timestamp"].parse().expect("a number");
        assert!((wall_clock().second() - dated).abs() < 60, "dated {dated}");
    }
    let authorization = format!("Authorization: Bearer {text}\r\n");
    let admitted = call(server.0.server.admin_address, "GET", "/v1/webhook-endpoints", &authorization, "");
    assert_eq!(admitted.status, 200, "{}", admitted.text);
    // The alert FirstcomeClockOff looks at this figure.
    until("the offset is told", || {
        let page = call(server.0.server.admin_address, "GET", "/metrics", &authorization, "").text;
        let line = page.lines().find(|line| line.starts_with("firstcome_clock_offset_seconds "));
        line.and_then(|line| line.split(' ').nth(1)?.parse::<f64>().ok()).is_some_and(|offset| offset < -500.0)
    });
    server.stop();
    // What the operator has accepted once need not be accepted at each start.
    start(false).stop();
}

#[test]
fn a_clock_that_was_accepted_stays_accepted_if_the_server_is_killed_after_its_first_answer() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    file_of_the_future(&data);
    let mut server = Process::start(&data, &[("FIRSTCOME__CLOCK__ACCEPT", "true".into())]);
    let mut client = Client::connect(server.public).expect("connected");
    let answer = client.order("first").expect("answered");
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    server.kill();
    // As a supervisor starts it again: without the flag.
    let server = Process::start(&data, &[]);
    let mut client = Client::connect(server.public).expect("connected");
    assert_eq!(client.order("second").expect("answered").status, 201);
}
