//! Files of the data directory that are removed, moved, replaced or cut while the server sells: it notices within seconds,
//! ends with a code that no supervisor restarts, keeps what was acknowledged, and never starts with less.

#![allow(clippy::print_stdout, reason = "the test says what it tried")]

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::namespace::{in_a_namespace, mount_over};
use crate::process::{Client, Process, wait_until};
use firstcome::store::recover::{AcceptedRisks, recover};
use firstcome::store::{Store, load, verify};
use firstcome::writer::clock::wall_clock;

const DATABASE: &str = "firstcome.db";
const LOG: &str = "firstcome.db-wal";
const INDEX: &str = "firstcome.db-shm";
const WATERMARK: &str = "firstcome.watermark";

/// One way to lose a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Removed,
    Moved,
    /// An older copy is renamed over it.
    Replaced,
    /// An older copy is written into it.
    Overwritten,
    Emptied,
    Halved,
}

const WAYS: [Way; 6] = [Way::Removed, Way::Moved, Way::Replaced, Way::Overwritten, Way::Emptied, Way::Halved];

fn lose(path: &Path, older: &Path, way: Way) {
    let cut = |bytes| OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(bytes)).expect("cut");
    match way {
        Way::Removed => fs::remove_file(path).expect("removed"),
        Way::Moved => fs::rename(path, path.with_extension("moved")).expect("moved"),
        Way::Replaced => {
            let beside = path.with_extension("copy");
            fs::copy(older, &beside).expect("copied");
            fs::rename(&beside, path).expect("replaced");
        }
        Way::Overwritten => fs::write(path, fs::read(older).expect("read")).expect("written"),
        Way::Emptied => cut(0),
        Way::Halved => cut(fs::metadata(path).expect("there").len() / 2),
    }
}

/// A server that sells, and what it acknowledged.
struct Sale {
    server: Process,
    data: PathBuf,
    older: PathBuf,
    log: PathBuf,
    buyers: JoinHandle<Vec<String>>,
}

/// A user that owns nothing else.
const SERVICE: u32 = 54_321;

/// Starts a sale; copies of the files from its begin are in `older`.
fn sale(scratch: &Path) -> Sale {
    sale_in(scratch, scratch.join("data"))
}

fn sale_in(scratch: &Path, data: PathBuf) -> Sale {
    let (older, log) = (scratch.join("older"), scratch.join("log"));
    fs::create_dir(&older).expect("made");
    // A checkpoint every few orders, so that the database file is written too.
    let environment = [("FIRSTCOME__WRITER__CHECKPOINT_WAL_BYTES", "1048576".to_string())];
    let server = Process::start_saying(&data, &environment, Stdio::from(File::create(&log).expect("made")));
    server.create_drop(1_000_000);
    let mut client = Client::connect(server.public).expect("connected");
    let mut acknowledged = Vec::new();
    let sold = Arc::new(AtomicUsize::new(0));
    let selling = Arc::clone(&sold);
    for number in 0..40 {
        let buyer = format!("first-{number}");
        assert_eq!(client.order(&buyer).expect("answered").status, 201);
        acknowledged.push(buyer);
    }
    for name in [DATABASE, LOG, INDEX, WATERMARK, "firstcome.fault", "firstcome.lock"] {
        fs::copy(data.join(name), older.join(name)).expect("copied");
    }
    let buyers = std::thread::spawn(move || {
        for number in 0.. {
            let buyer = format!("later-{number}");
            match client.order(&buyer) {
                Ok(answer) if answer.status == 201 => {
                    acknowledged.push(buyer);
                    selling.fetch_add(1, Ordering::SeqCst);
                }
                Ok(answer) => {
                    let applied = answer.body["applied"].as_str();
                    assert!(answer.status == 503 && applied.is_some(), "{:?}", answer.body);
                    break;
                }
                Err(_) => break,
            }
        }
        acknowledged
    });
    let bytes = |directory: &Path| fs::metadata(directory.join(DATABASE)).map_or(0, |found| found.len());
    wait_until("a checkpoint is behind it", || bytes(&data) > bytes(&older) && sold.load(Ordering::SeqCst) > 100);
    Sale { server, data, older, log, buyers }
}

fn serve(data: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    command.args(["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0", "--data"]);
    command.arg(data).stdin(Stdio::null()).output().expect("run")
}

/// Buyers of the orders that a whole data directory has.
fn sold_in(directory: &Path) -> Vec<String> {
    let report = verify::verify(directory).expect("verified");
    assert_eq!(report.problems, Vec::<String>::new(), "{}", directory.display());
    let store = Store::open(directory, wall_clock()).expect("starts");
    load::load_verified(&store, 1000).expect("loaded");
    let mut statement = store.connection.prepare("SELECT buyer FROM orders").expect("prepared");
    statement.query_map([], |row| row.get(0)).expect("asked").collect::<Result<_, _>>().expect("read")
}

fn rescued(scratch: &Path) -> Option<PathBuf> {
    let entries = [scratch.to_path_buf(), scratch.join("data")].into_iter().filter_map(|at| fs::read_dir(at).ok());
    let mut paths = entries.flatten().map(|entry| entry.expect("read").path());
    paths.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains("rescued-")))
}

/// Waits for the end, and checks what is left of the sale.
fn check(scratch: &Path, mut sale: Sale, what: &str, code: Option<i32>) -> bool {
    let begun = Instant::now();
    let status = sale.server.wait();
    let took = begun.elapsed();
    let acknowledged = sale.buyers.join().expect("the buyers");
    let told = fs::read_to_string(&sale.log).expect("read");
    let cut_index = status.signal() == Some(libc::SIGBUS) && what.starts_with(INDEX);
    assert!(cut_index || status.code() == code, "{what}: {status}, {told}");
    assert!(took < Duration::from_secs(8), "{what}: {took:?}");
    let complete = |directory: &Path| {
        let sold = sold_in(directory);
        let missing: Vec<&String> = acknowledged.iter().filter(|buyer| !sold.contains(buyer)).collect();
        assert!(missing.is_empty(), "{what}: {} of {} acknowledged are missing", missing.len(), acknowledged.len());
    };
    let kept = rescued(scratch);
    if let Some(kept) = &kept {
        complete(kept);
        assert!(told.contains(&kept.display().to_string()), "{what}: it says where: {told}");
    }
    // The next start is refused, or has everything.
    if kept.is_some() || status.code() == Some(72) && !told.contains("start the server again") {
        let refused = serve(&sale.data);
        let refused_with = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code().is_some_and(|code| [65, 66, 74].contains(&code)), "{what}: {refused_with}");
    } else {
        complete(&sale.data);
    }
    println!("{what}: {status} after {took:?}, {} acknowledged, kept: {kept:?}", acknowledged.len());
    kept.is_some()
}

fn lose_each(name: &str, must_keep: impl Fn(Way) -> bool) {
    for way in WAYS {
        let scratch = tempfile::tempdir().expect("scratch");
        let sale = sale(scratch.path());
        lose(&sale.data.join(name), &sale.older.join(name), way);
        let kept = check(scratch.path(), sale, &format!("{name} {way:?}"), Some(72));
        assert!(kept || !must_keep(way), "{name} {way:?}: nothing is kept");
    }
}

#[test]
fn a_database_that_is_lost_replaced_or_cut_under_load_is_noticed_and_kept() {
    lose_each(DATABASE, |way| [Way::Removed, Way::Moved, Way::Replaced].contains(&way));
}

#[test]
fn reads_of_a_file_that_was_replaced_are_answered_503_until_the_server_ends() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let mut server = Process::start(&data, &[]);
    server.create_drop(9);
    let mut client = Client::connect(server.public).expect("connected");
    let order = client.order("ann").expect("answered").body["id"].as_str().expect("an id").to_string();
    let path = format!("/v1/orders/{order}");
    assert_eq!(client.get(&path).expect("answered").status, 200);
    // A reader compares its file with the path once a second, so that its next read does.
    std::thread::park_timeout(Duration::from_millis(1100));
    let (database, other) = (data.join(DATABASE), data.join("other"));
    fs::copy(&database, &other).and_then(|_| fs::rename(&other, &database)).expect("replaced");
    let mut refused = 0;
    while let Ok(answer) = client.get(&path) {
        if answer.status != 200 {
            let retry = answer.header("Retry-After").is_some();
            assert_eq!((answer.status, retry, &answer.body["code"]), (503, true, &"draining".into()), "{answer:?}");
            refused += 1;
        }
    }
    assert!(refused > 0, "the server ended before it looked");
    assert_eq!(server.wait().code(), Some(72));
}

#[test]
fn a_log_that_is_lost_replaced_or_cut_under_load_is_noticed() {
    lose_each(LOG, |way| [Way::Removed, Way::Moved, Way::Replaced].contains(&way));
}

#[test]
fn the_index_and_the_small_files_are_missed_and_everything_is_in_the_database() {
    for (name, ways) in [
        (INDEX, &[Way::Removed, Way::Moved, Way::Replaced, Way::Emptied][..]),
        (WATERMARK, &[Way::Removed, Way::Moved, Way::Replaced]),
        ("firstcome.fault", &[Way::Removed, Way::Moved, Way::Replaced]),
        ("firstcome.lock", &[Way::Removed, Way::Moved, Way::Replaced]),
    ] {
        for way in ways {
            let scratch = tempfile::tempdir().expect("scratch");
            let sale = sale(scratch.path());
            lose(&sale.data.join(name), &sale.older.join(name), *way);
            check(scratch.path(), sale, &format!("{name} {way:?}"), Some(72));
        }
    }
}

#[test]
fn an_older_index_that_is_written_over_the_running_one_takes_nothing_and_no_backup_is_advised() {
    for round in 0..4 {
        let scratch = tempfile::tempdir().expect("scratch");
        let mut sale = sale(scratch.path());
        lose(&sale.data.join(INDEX), &sale.older.join(INDEX), Way::Overwritten);
        let status = sale.server.wait();
        let acknowledged = sale.buyers.join().expect("the buyers");
        let told = fs::read_to_string(&sale.log).expect("read");
        println!("round {round}: {status}, {} acknowledged: {told}", acknowledged.len());
        assert!(!told.contains("backup"), "{status}: {told}");
        let whole = match rescued(scratch.path()) {
            Some(kept) => kept,
            None => {
                recover(&sale.data, wall_clock(), AcceptedRisks::default()).expect("recovered");
                sale.data
            }
        };
        let sold = sold_in(&whole);
        assert!(acknowledged.iter().all(|buyer| sold.contains(buyer)), "round {round}: {told}");
    }
}

#[test]
fn a_directory_that_is_removed_or_moved_under_load_is_noticed_and_no_empty_one_takes_its_place() {
    for way in [Way::Removed, Way::Moved] {
        let scratch = tempfile::tempdir().expect("scratch");
        let sale = sale(scratch.path());
        match way {
            Way::Removed => sale.server.remove_directory(&sale.data),
            Way::Moved | Way::Replaced | Way::Overwritten | Way::Emptied | Way::Halved => {
                lose(&sale.data, &sale.older, way);
            }
        }
        let data = sale.data.clone();
        assert!(check(scratch.path(), sale, &format!("directory {way:?}"), Some(72)), "{way:?}: nothing is kept");
        assert!(!data.join(DATABASE).exists(), "no empty file");
    }
}

#[test]
fn a_watermark_that_is_cut_is_written_again_by_the_next_commit() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut sale = sale(scratch.path());
    for way in [Way::Emptied, Way::Halved] {
        lose(&sale.data.join(WATERMARK), &sale.older.join(WATERMARK), way);
        let mut client = Client::connect(sale.server.public).expect("connected");
        for number in 0..2 {
            assert_eq!(client.order(&format!("{way:?}-{number}")).expect("answered").status, 201);
        }
    }
    sale.server.kill();
    let acknowledged = sale.buyers.join().expect("the buyers");
    let sold = sold_in(&sale.data);
    assert!(acknowledged.iter().all(|buyer| sold.contains(buyer)));
}

#[test]
fn another_directory_in_the_place_of_this_one_is_noticed_however_it_came_there() {
    for way in ["exchanged", "mounted over"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let test = "another_directory_in_the_place_of_this_one_is_noticed_however_it_came_there";
        if way == "mounted over" && !in_a_namespace(test, way) {
            continue;
        }
        let sale = sale(scratch.path());
        let empty = scratch.path().join("empty");
        fs::create_dir(&empty).expect("made");
        match way {
            "exchanged" => {
                let (cwd, flags) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
                rustix::fs::renameat_with(cwd, &sale.data, cwd, &empty, flags).expect("exchanged");
            }
            _ => mount_over(&empty, &sale.data),
        }
        let data = sale.data.clone();
        assert!(check(scratch.path(), sale, &format!("directory {way}"), Some(72)), "{way}: nothing is kept");
        assert!(!data.join(DATABASE).exists(), "{way}: no empty file");
    }
}

#[test]
fn a_server_that_has_no_place_for_a_copy_waits_until_there_is_one() {
    let scratch = tempfile::tempdir().expect("scratch");
    let above = scratch.path().join("above");
    fs::create_dir(&above).expect("made");
    let mut sale = sale_in(scratch.path(), above.join("data"));
    sale.server.remove_directory(&above);
    let told = || fs::read_to_string(scratch.path().join("log")).expect("read");
    let waits = || told().contains("there is no place for a copy");
    wait_until("it ends, or tells that there is no place", || waits() || told().contains("the writer ended"));
    assert!(waits(), "{}", told());
    let acknowledged = sale.buyers.join().expect("the buyers");
    fs::create_dir(&above).expect("made again");
    assert_eq!(sale.server.wait().code(), Some(72), "{}", told());
    let kept = rescued(&above).expect("a copy");
    let sold = sold_in(&kept);
    assert!(acknowledged.iter().all(|buyer| sold.contains(buyer)), "{}", told());
}

#[test]
fn a_start_on_a_copy_in_the_place_of_the_lost_directory_says_how_many_events_are_missing() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sale = sale(scratch.path());
    let (data, older, log) = (sale.data.clone(), sale.older.clone(), scratch.path().join("start"));
    fs::rename(&data, scratch.path().join("moved")).expect("moved");
    assert!(check(scratch.path(), sale, "directory moved", Some(72)));
    // The start that was refused has made it for its lock.
    fs::remove_dir_all(&data).expect("removed");
    fs::rename(&older, &data).expect("put in its place");
    let environment = [("FIRSTCOME__LOG__LEVEL", "warn".to_string())];
    drop(Process::start_saying(&data, &environment, Stdio::from(File::create(&log).expect("made"))));
    let told = fs::read_to_string(&log).expect("read");
    assert!(told.contains("a new epoch begins") && told.contains("events are missing"), "{told}");
}

/// Runs a subcommand on a data directory. Returns its exit code and what it told.
fn told_by(arguments: &[&str], data: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    let ran = command.args(arguments).arg("--data").arg(data).stdin(Stdio::null()).output().expect("run");
    (ran.status.code(), String::from_utf8_lossy(&ran.stderr).into_owned())
}

#[test]
fn start_and_recovery_tell_of_a_rescue_with_commands_that_work_and_give_nothing_up_that_it_has() {
    for lost in [DATABASE, LOG, "directory"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let mut sale = sale(scratch.path());
        let data = sale.data.clone();
        match lost {
            "directory" => sale.server.remove_directory(&data),
            name => fs::remove_file(data.join(name)).expect("removed"),
        }
        assert_eq!(sale.server.wait().code(), Some(72), "{lost}");
        let acknowledged = sale.buyers.join().expect("the buyers");
        let kept = rescued(scratch.path()).expect("a copy");
        let name = kept.file_name().expect("a name").to_string_lossy().into_owned();
        let started = String::from_utf8_lossy(&serve(&data).stderr).into_owned();
        assert!(started.contains(&name) && !started.contains("recover"), "{lost}: {started}");
        for arguments in [&["recover"][..], &["recover", "--accept-loss=1"], &["recover", "--without-watermark"]] {
            let (code, told) = told_by(arguments, &data);
            assert!(matches!(code, Some(65 | 66)), "{lost} {arguments:?}: {code:?} {told}");
            assert!(told.contains(&name) && !told.contains("--accept-loss"), "{lost} {arguments:?}: {told}");
        }
        let (_, commands) = started.split_once("place of the directory with `").expect("commands");
        let (commands, _) = commands.split_once('`').expect("their end");
        assert!(Command::new("sh").args(["-c", commands]).status().expect("run").success(), "{lost}: {commands}");
        let sold = sold_in(&data);
        assert!(acknowledged.iter().all(|buyer| sold.contains(buyer)), "{lost}: {commands}");
        drop(Process::start(&data, &[]));
    }
}

#[test]
fn a_note_that_is_removed_with_the_directory_is_written_again() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sale = sale(scratch.path());
    fs::remove_file(scratch.path().join("data.firstcome")).expect("removed");
    sale.server.remove_directory(&sale.data);
    let data = sale.data.clone();
    assert!(check(scratch.path(), sale, "directory and note removed", Some(72)), "nothing is kept");
    assert!(!data.join(DATABASE).exists(), "no empty file");
}

#[test]
fn a_hard_link_keeps_nothing_from_being_noticed() {
    for name in [DATABASE, LOG] {
        for way in [Way::Removed, Way::Moved, Way::Replaced] {
            let scratch = tempfile::tempdir().expect("scratch");
            let sale = sale(scratch.path());
            fs::hard_link(sale.data.join(name), scratch.path().join("second-name")).expect("linked");
            lose(&sale.data.join(name), &sale.older.join(name), way);
            let kept = check(scratch.path(), sale, &format!("{name} with a second name {way:?}"), Some(72));
            assert!(kept, "{name} {way:?}: nothing is kept");
        }
    }
}

#[test]
fn what_nothing_acknowledged_depends_on_may_be_lost_under_load() {
    for (name, ways) in [
        ("firstcome.clock", &WAYS[..]),
        ("../data.firstcome", &[Way::Removed, Way::Moved, Way::Replaced, Way::Overwritten, Way::Emptied]),
        // The next commit writes it again.
        (WATERMARK, &[Way::Overwritten]),
    ] {
        for way in ways {
            let scratch = tempfile::tempdir().expect("scratch");
            let mut sale = sale(scratch.path());
            let path = sale.data.join(name);
            let older = scratch.path().join("older-copy");
            fs::copy(&path, &older).expect("copied");
            lose(&path, &older, *way);
            let mut client = Client::connect(sale.server.public).expect("connected");
            for number in 0..20 {
                assert_eq!(client.order(&format!("{way:?}-{number}")).expect("answered").status, 201, "{name} {way:?}");
            }
            sale.server.kill();
            let acknowledged = sale.buyers.join().expect("the buyers");
            if path.ends_with("data.firstcome") && fs::metadata(&path).is_ok_and(|note| note.len() == 0) {
                let refused = serve(&sale.data);
                let told = String::from_utf8_lossy(&refused.stderr).into_owned();
                assert!(refused.status.code() == Some(64) && told.contains("delete it"), "{name} {way:?}: {told}");
                fs::remove_file(&path).expect("as the message says");
            }
            let sold = sold_in(&sale.data);
            assert!(acknowledged.iter().all(|buyer| sold.contains(buyer)), "{name} {way:?}");
            let mut again = Process::start(&sale.data, &[]);
            let mut client = Client::connect(again.public).expect("connected");
            assert!(client.order("first-0").expect("answered").is_repeat(), "{name} {way:?}");
            again.kill();
        }
    }
}

#[test]
fn files_that_nobody_may_read_any_more_stop_the_next_start_and_not_the_sale() {
    if !rustix::process::geteuid().is_root() {
        println!("needs root: not run");
        return;
    }
    for name in [DATABASE, LOG, INDEX, WATERMARK, "firstcome.fault", "firstcome.lock", "firstcome.clock"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let mut sale = sale(scratch.path());
        let path = sale.data.join(name);
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        mode(0o000);
        let mut client = Client::connect(sale.server.public).expect("connected");
        for number in 0..20 {
            assert_eq!(client.order(&format!("no-mode-{number}")).expect("answered").status, 201, "{name}");
        }
        sale.server.kill();
        let acknowledged = sale.buyers.join().expect("the buyers");
        let entries = fs::read_dir(&sale.data).expect("read").map(|entry| entry.expect("read").path());
        entries.chain([sale.data.clone(), scratch.path().to_path_buf()]).for_each(|path| {
            std::os::unix::fs::chown(path, Some(SERVICE), Some(SERVICE)).expect("given");
        });
        let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
        command.args(["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0", "--data"]);
        let refused = command.arg(&sale.data).stdin(Stdio::null()).uid(SERVICE).gid(SERVICE).output().expect("run");
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(77), "{name}: {told}");
        mode(0o600);
        let sold = sold_in(&sale.data);
        assert!(acknowledged.iter().all(|buyer| sold.contains(buyer)), "{name}");
    }
}

#[test]
fn an_ordered_end_after_the_loss_is_no_success() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sale = sale(scratch.path());
    sale.server.remove_directory(&sale.data);
    sale.server.signal(rustix::process::Signal::TERM);
    assert!(check(scratch.path(), sale, "directory removed, then SIGTERM", Some(72)));
}
