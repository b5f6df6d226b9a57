//! Errors of the data directory as operators read them: the file, whose it is, and what helps, with the exit code that fits.

#![allow(clippy::print_stdout, reason = "the test says what it tried")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::{Client, Process, wait_until};
use rusqlite::Connection;

const PORTS: [&str; 6] = ["--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0"];
/// The user of the service, and another one.
const SERVICE: u32 = 61_234;
const OTHER: u32 = 61_235;

/// The program as a user, with its exit code and what it says.
fn run(user: u32, arguments: &[&str], data: &Path) -> (i32, String) {
    run_in(Path::new("/"), user, arguments, data)
}

fn run_in(directory: &Path, user: u32, arguments: &[&str], data: &Path) -> (i32, String) {
    let mut command = Command::new("timeout");
    command.args(["-k", "20", "3", env!("CARGO_BIN_EXE_firstcome")]).args(arguments).arg("--data").arg(data);
    if arguments == ["serve"] {
        command.args(PORTS);
    }
    let output = command.current_dir(directory).stdin(Stdio::null()).uid(user).gid(user).output().expect("run");
    (output.status.code().expect("an exit code"), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("needs root: not run");
    }
    is_root
}

fn sell(data: &Path) {
    let mut server = Process::start(data, &[]);
    server.create_drop(1000);
    let mut client = Client::connect(server.public).expect("connected");
    for buyer in 0..3 {
        assert_eq!(client.order(&format!("buyer-{buyer}")).expect("answered").status, 201);
    }
    server.kill();
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
}

/// A directory of the service with a sale in it, and the directory above.
fn shop(scratch: &Path) -> (PathBuf, PathBuf) {
    set_mode(scratch, 0o755);
    let above = scratch.join("above");
    let data = above.join("data");
    fs::create_dir(&above).expect("made");
    sell(&data);
    give(&above, SERVICE);
    give(&data, SERVICE);
    (above, data)
}

fn give(directory: &Path, user: u32) {
    let inside = fs::read_dir(directory).expect("read").map(|entry| entry.expect("read").path());
    for path in inside.chain([directory.to_path_buf()]) {
        chown(&path, Some(user), Some(user)).expect("given");
    }
}

#[test]
fn what_a_user_may_not_use_is_named_with_its_owner_and_77_by_every_command() {
    if !is_root() {
        return;
    }
    let scratch = tempfile::tempdir().expect("scratch");
    let (above, data) = shop(scratch.path());
    let check = |what: &str, user: u32, arguments: &[&str], named: &Path, advice: &str| {
        let (code, told) = run(user, arguments, &data);
        assert_eq!(code, 77, "{what}, {arguments:?}: {told}");
        let is_named = told.contains(&format!("permission denied for {}: it belongs to user", named.display()));
        assert!(is_named && told.contains(advice), "{what}, {arguments:?}: {told}");
        assert!(!told.contains("choose a writable") && !told.contains("free"), "{what}, {arguments:?}: {told}");
    };
    for name in ["firstcome.db-wal", "firstcome.db-shm"] {
        set_mode(&data.join(name), 0);
        for command in ["serve", "recover", "migrate", "verify"] {
            check(name, SERVICE, &[command], &data.join(name), "chmod -R u+rwX");
        }
        set_mode(&data.join(name), 0o600);
    }
    for name in ["rebuilding", "rebuilt"] {
        let made = data.join(name);
        fs::create_dir(&made).and_then(|()| fs::write(made.join("firstcome.db"), "")).expect("made");
        set_mode(&made, 0o700);
        check(name, SERVICE, &["recover"], &made, "chown -R");
        fs::remove_dir_all(&made).expect("removed");
    }
    let create = ["token", "create", "--role", "owner", "--name", "ann"];
    assert_eq!(run(SERVICE, &create, &data).0, 0);
    for (name, commands) in [
        ("operators.json", &[&["serve"][..], &["token", "list"], &["token", "revoke", "0123456789ab"], &create][..]),
        ("operators.lock", &[&create, &["token", "revoke", "0123456789ab"]]),
    ] {
        chown(data.join(name), Some(0), Some(0)).expect("given");
        for command in commands {
            check(name, SERVICE, command, &data.join(name), "chown -R");
        }
        give(&data, SERVICE);
    }
    // Others may read everything and write nothing: SQLite cannot make its index.
    set_mode(&data, 0o755);
    for entry in fs::read_dir(&data).expect("read") {
        set_mode(&entry.expect("read").path(), 0o644);
    }
    assert_eq!(run(OTHER, &["verify"], &data).0, 0, "the index is there");
    fs::remove_file(data.join("firstcome.db-shm")).expect("removed");
    let (code, told) = run(OTHER, &["verify"], &data);
    assert!(code == 64 && told.contains(&format!("`cp -r {} COPY`", data.display())), "{code}: {told}");
    let new = above.join("of-root");
    fs::create_dir(&new).expect("made");
    let (code, told) = run(SERVICE, &["serve"], &new.join("data"));
    assert!(code == 77 && told.contains("choose a writable directory with --data"), "{code}: {told}");
}

#[test]
fn a_file_where_the_directory_must_be_is_a_wrong_argument_and_no_fault_of_a_disk() {
    let scratch = tempfile::tempdir().expect("scratch");
    let user = rustix::process::geteuid().as_raw();
    let file = scratch.path().join("file");
    fs::write(&file, "").expect("written");
    for data in [file.clone(), file.join("data")] {
        for command in ["serve", "recover", "migrate", "verify"] {
            let (code, told) = run(user, &[command], &data);
            let is_told = told.contains(&format!("{} is not a directory", file.display()));
            assert!(code == 64 && is_told, "{command}, {}: {code}: {told}", data.display());
        }
    }
}

#[test]
fn an_error_of_the_content_names_the_file_also_in_the_current_directory() {
    let scratch = tempfile::tempdir().expect("scratch");
    let user = rustix::process::geteuid().as_raw();
    let data = scratch.path().join("data");
    sell(&data);
    let database = Connection::open(data.join("firstcome.db")).expect("opened");
    database.execute_batch("DROP TABLE contacts").expect("dropped");
    drop(database);
    for (at, given) in [(data.as_path(), "."), (data.as_path(), "../data"), (scratch.path(), "data")] {
        for command in ["serve", "recover", "migrate"] {
            let (code, told) = run_in(at, user, &[command], Path::new(given));
            let path = Path::new(given).join("firstcome.db");
            if command == "migrate" && code == 0 {
                continue;
            }
            assert!(code == 65 && told.contains(&*path.to_string_lossy()), "{command} {given}: {code}: {told}");
        }
    }
}

#[test]
fn a_rescue_that_may_not_write_asks_for_permission_and_not_for_space() {
    if !is_root() {
        return;
    }
    let scratch = tempfile::tempdir().expect("scratch");
    let (above, data) = shop(scratch.path());
    let log = scratch.path().join("log");
    let mut command = Command::new("setpriv");
    let user = SERVICE.to_string();
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups", env!("CARGO_BIN_EXE_firstcome")]);
    let said = Stdio::from(fs::File::create(&log).expect("made"));
    let mut server = Process::start_through(command, &data, &[], said);
    chown(&above, Some(0), Some(0)).expect("given");
    fs::rename(&data, scratch.path().join("moved")).expect("moved");
    let told = || fs::read_to_string(&log).expect("read");
    wait_until("it tells", || told().contains("there is no place for a copy"));
    let asked = format!("let user {user} make a directory in {}", above.display());
    assert!(told().contains(&asked) && !told().contains(" bytes "), "{}", told());
    chown(&above, Some(SERVICE), Some(SERVICE)).expect("given");
    assert_eq!(server.wait().code(), Some(72), "{}", told());
    assert!(fs::read_dir(&above).expect("read").count() > 0, "a copy");
}
