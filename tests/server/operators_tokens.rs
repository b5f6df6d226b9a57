//! The file of operators' tokens that is lost: nobody takes the owner's place because of it; and files that are no files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::process::{Answer, Client, Process};
use rustix::process::Signal;

const TOKENS: &str = "operators.json";

fn firstcome(arguments: &[&str], data: &Path) -> Output {
    let mut run = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    run.args(arguments).arg("--data").arg(data).stdin(Stdio::null()).output().expect("run")
}

fn create_token(data: &Path) -> String {
    let made = firstcome(&["token", "create", "--role", "owner", "--name", "ann"], data);
    assert!(made.status.success(), "{made:?}");
    String::from_utf8(made.stdout).expect("text").trim().to_string()
}

fn stop(mut server: Process) {
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}

/// Makes a token whose text goes to `to`.
fn create_token_to(to: Stdio, data: &Path) -> Output {
    let mut run = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    run.args(["token", "create", "--role", "owner", "--name", "ann", "--before-first-start", "--data"]).arg(data);
    run.stdin(Stdio::null())
        .stdout(to)
        .stderr(Stdio::piped())
        .spawn()
        .and_then(|child| child.wait_with_output())
        .expect("run")
}

#[test]
fn a_token_that_could_not_be_printed_is_not_made_and_closes_nothing() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let server = Process::start(&data, &[]);
    for way in ["a full disk", "a closed pipe"] {
        let to = if way == "a full disk" {
            Stdio::from(fs::OpenOptions::new().write(true).open("/dev/full").expect("opened"))
        } else {
            let (reader, writer) = std::io::pipe().expect("a pipe");
            drop(reader);
            Stdio::from(writer)
        };
        let refused = create_token_to(to, &data);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(73), "{way}: {told}");
        assert!(told.contains("no token was made") && told.contains("os error") && !told.contains("fc_"), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(!data.join(TOKENS).exists(), "{way}");
        let listed = firstcome(&["token", "list"], &data);
        assert!(String::from_utf8_lossy(&listed.stderr).contains("no tokens in"), "{way}: {listed:?}");
    }
    assert_eq!(status(&server, None), 200, "the listener is as open as before");
    let file = fs::File::create(scratch.path().join("secret")).expect("made");
    assert!(create_token_to(Stdio::from(file), &data).status.success());
    let token = fs::read_to_string(scratch.path().join("secret")).expect("read");
    crate::process::wait_until("the token is in force", || status(&server, Some(token.trim())) == 200);
}

#[test]
fn a_result_that_standard_output_did_not_take_ends_with_73_and_a_pipe_that_is_closed_does_not() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, _) = used(scratch.path());
    let id = firstcome(&["token", "list", "--json"], &data);
    let id = String::from_utf8(id.stdout).expect("text");
    let id = id.split("\"id\": \"").nth(1).and_then(|rest| rest.split('"').next()).expect("an id").to_string();
    let of_data = ["--data".to_string(), data.display().to_string()];
    for (arguments, is_of_data) in [
        (&["--help"][..], false),
        (&["openapi"], false),
        (&["verify"], true),
        (&["migrate"], true),
        (&["recover"], true),
        (&["token", "list"], true),
        (&["token", "list", "--json"], true),
        (&["token", "revoke", &id], true),
    ] {
        for way in ["a full disk", "a closed pipe"] {
            let mut run = Command::new(env!("CARGO_BIN_EXE_firstcome"));
            run.args(arguments).args(of_data.iter().filter(|_| is_of_data)).stdin(Stdio::null());
            let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("opened");
            let (reader, writer) = std::io::pipe().expect("a pipe");
            drop(reader);
            run.stdout(if way == "a full disk" { Stdio::from(full) } else { Stdio::from(writer) });
            let ended = run.stderr(Stdio::piped()).spawn().and_then(|child| child.wait_with_output()).expect("run");
            let told = String::from_utf8_lossy(&ended.stderr).into_owned();
            let expected = if way == "a full disk" { 73 } else { 0 };
            assert_eq!(ended.status.code(), Some(expected), "{arguments:?}, {way}: {told}");
            assert_eq!(told.contains("has done its work"), way == "a full disk", "{arguments:?}, {way}: {told}");
        }
    }
}

/// The status of an operator's request.
fn status(server: &Process, token: Option<&str>) -> u16 {
    let authorization = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
    let mut client = Client::connect(server.admin).expect("connected");
    client.send(&format!("GET /v1/audit HTTP/1.1\r\nHost: localhost\r\n{authorization}\r\n")).expect("sent");
    let Answer { status, .. } = client.receive().expect("answered");
    status
}

/// A directory in which a server has served with a token, and the token.
fn used(scratch: &Path) -> (PathBuf, String) {
    let data = scratch.join("data");
    let server = Process::start(&data, &[]);
    server.create_drop(10);
    assert_eq!(status(&server, None), 200, "without tokens everybody is the owner");
    let token = create_token(&data);
    assert_eq!((status(&server, None), status(&server, Some(&token))), (401, 200));
    stop(server);
    (data, token)
}

#[test]
fn tokens_that_are_gone_at_a_start_admit_nobody_until_there_is_a_new_one() {
    for way in ["the file", "the directory, and only the database is restored"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let (data, token) = used(scratch.path());
        // The note is written at a start.
        stop(Process::start(&data, &[]));
        if way == "the file" {
            fs::remove_file(data.join(TOKENS)).expect("removed");
        } else {
            let backup = scratch.path().join("backup");
            fs::rename(&data, &backup).expect("moved");
            fs::create_dir(&data).expect("made");
            for name in ["firstcome.db", "firstcome.watermark"] {
                fs::copy(backup.join(name), data.join(name)).expect("copied");
            }
        }
        let log = scratch.path().join("log");
        let server = Process::start_saying(&data, &[], Stdio::from(fs::File::create(&log).expect("made")));
        assert_eq!((status(&server, None), status(&server, Some(&token))), (401, 401), "{way}");
        let told = fs::read_to_string(&log).expect("read");
        assert!(told.contains(TOKENS) && told.contains("firstcome token create"), "{way}: {told}");
        let new = create_token(&data);
        assert_eq!((status(&server, None), status(&server, Some(&new))), (401, 200), "{way}");
    }
}

#[test]
fn a_rescued_copy_has_the_tokens() {
    for way in ["the database", "the directory"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let (data, token) = used(scratch.path());
        let mut server = Process::start_saying(&data, &[], Stdio::null());
        match way {
            "the database" => fs::remove_file(data.join("firstcome.db")).expect("removed"),
            _ => server.remove_directory(&data),
        }
        assert_eq!(server.wait().code(), Some(72));
        let places = [scratch.path().to_path_buf(), data.clone()].into_iter().filter_map(|at| fs::read_dir(at).ok());
        let mut paths = places.flatten().map(|entry| entry.expect("read").path());
        let kept = paths.find(|path| path.to_string_lossy().contains("rescued-")).expect("a copy");
        let mode = fs::metadata(kept.join(TOKENS)).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{way}");
        let server = Process::start(&kept, &[]);
        assert_eq!((status(&server, None), status(&server, Some(&token))), (401, 200), "{way}");
    }
}

/// Returns the copy that a rescue has made of `data`.
fn copy_of(data: &Path) -> PathBuf {
    let entries = fs::read_dir(data.parent().expect("above")).expect("listed");
    let mut paths = entries.map(|entry| entry.expect("read").path());
    paths.find(|path| path.to_string_lossy().contains("rescued-")).expect("a copy")
}

#[test]
fn tokens_that_no_request_has_shown_to_the_server_are_in_force_in_a_copy_of_a_lost_directory() {
    for (was_seen, is_put_back, has_note) in
        [(false, true, true), (false, false, true), (true, true, true), (true, false, false)]
    {
        let case = format!("seen {was_seen}, put back {is_put_back}, note {has_note}");
        let scratch = tempfile::tempdir().expect("scratch");
        let (data, log) = (scratch.path().join("data"), scratch.path().join("log"));
        let level = [("FIRSTCOME__LOG__LEVEL", "info".to_string())];
        let saying = Stdio::from(fs::File::create(&log).expect("made"));
        let mut server = Process::start_saying(&data, &level, saying);
        server.create_drop(10);
        let token = create_token(&data);
        let note = scratch.path().join("data.firstcome");
        assert!(fs::read_to_string(&note).expect("read").contains("operators yes"), "{case}: the note says so at once");
        if was_seen {
            crate::process::wait_until("it has read the tokens", || {
                fs::read_to_string(&log).is_ok_and(|told| told.contains("tokens reloaded"))
            });
        }
        if !has_note {
            fs::remove_file(&note).expect("removed");
        }
        // The server may make a file while it goes.
        crate::process::wait_until("the directory is removed", || fs::remove_dir_all(&data).is_ok() || !data.exists());
        assert_eq!(server.wait().code(), Some(72), "{case}");
        let mut copy = copy_of(&data);
        if is_put_back {
            fs::rename(&copy, &data).expect("put back");
            copy = data;
        }
        let server = Process::start(&copy, &[]);
        assert_eq!(status(&server, None), 401, "{case}");
        // A race may show them also where nothing waited for it.
        if was_seen {
            assert_eq!(status(&server, Some(&token)), 200, "{case}");
        }
        let new = create_token(&copy);
        assert_eq!((status(&server, None), status(&server, Some(&new))), (401, 200), "{case}");
    }
}

#[test]
fn a_token_is_remembered_by_the_note_when_its_files_are_removed_and_the_server_is_killed() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let mut server = Process::start(&data, &[]);
    create_token(&data);
    for name in [TOKENS, "operators.lock"] {
        fs::remove_file(data.join(name)).expect("removed");
    }
    server.kill();
    assert_eq!(status(&Process::start(&data, &[]), None), 401);
}

#[test]
fn a_link_to_no_tokens_admits_nobody() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    stop(Process::start(&data, &[]));
    std::os::unix::fs::symlink(scratch.path().join("absent"), data.join(TOKENS)).expect("linked");
    let (code, told) = serve(&data, &[]);
    assert!(code == Some(64) && told.contains(TOKENS), "{code:?}: {told}");
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(path).status().expect("run").success());
}

/// Runs `serve`, which must end soon. Returns its exit code, and what it said.
fn serve(data: &Path, settings: &[(&str, &Path)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    command.args(["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0", "--data"]);
    command.arg(data).envs(settings.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("run");
    let deadline = Instant::now() + Duration::from_secs(20);
    while child.try_wait().expect("our own process").is_none() {
        if Instant::now() > deadline {
            child.kill().expect("killed");
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let output = child.wait_with_output().expect("ended");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_named_pipe_in_place_of_a_file_is_refused_and_not_waited_for() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, pipe) = (scratch.path().join("data"), scratch.path().join("pipe"));
    stop(Process::start(&data, &[]));
    make_pipe(&pipe);
    let other = scratch.path().join("other");
    fs::write(&other, "x".repeat(64)).expect("written");
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).expect("set");
    for settings in [
        &[("FIRSTCOME__PUBLIC__TLS_CERTIFICATE", &*other), ("FIRSTCOME__PUBLIC__TLS_KEY", &*pipe)][..],
        &[("FIRSTCOME__PUBLIC__TLS_CERTIFICATE", &*pipe), ("FIRSTCOME__PUBLIC__TLS_KEY", &*other)],
        &[("FIRSTCOME__IDENTITY__HS256_SECRET_FILES", &*pipe), ("FIRSTCOME__IDENTITY__AUDIENCE", Path::new("shop"))],
    ] {
        let (code, told) = serve(&data, settings);
        assert_eq!(code, Some(64), "{settings:?}: {told}");
        assert!(told.contains("pipe: not a regular file"), "{settings:?}: {told}");
    }
    for name in [TOKENS, "firstcome.clock", "firstcome.fault"] {
        let _absent = fs::remove_file(data.join(name));
        make_pipe(&data.join(name));
        let (code, told) = serve(&data, &[]);
        assert_eq!(code, Some(64), "{name}: {told}");
        assert!(told.contains(name) && told.contains("not a regular file"), "{name}: {told}");
        fs::remove_file(data.join(name)).expect("removed");
    }
}

#[test]
fn a_named_pipe_that_comes_while_the_server_runs_hangs_nothing() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, token) = used(scratch.path());
    let note = scratch.path().join("data.firstcome");
    let server = Process::start(&data, &[]);
    fs::remove_file(&note).expect("removed");
    make_pipe(&note);
    fs::remove_file(data.join(TOKENS)).expect("removed");
    make_pipe(&data.join(TOKENS));
    assert_eq!((status(&server, None), status(&server, Some(&token))), (401, 200), "the tokens known before");
    stop(server);
}

#[test]
fn files_that_a_recovery_keeps_are_never_served_without_the_tokens_of_their_time() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, token) = used(scratch.path());
    assert!(firstcome(&["recover"], &data).status.success());
    let kept = |directory: &Path, name: &str| -> PathBuf {
        let entries = fs::read_dir(directory).expect("read").map(|entry| entry.expect("read").path());
        let mut found =
            entries.filter(|path| path.file_name().is_some_and(|at| at.to_string_lossy().starts_with(name)));
        found.next().unwrap_or_else(|| panic!("no {name} directory"))
    };
    let before = kept(&data, "before-");
    let (code, told) = serve(&before, &[]);
    assert!(code == Some(74) && told.contains("recover --data"), "{code:?}: {told}");
    let is_closed = |directory: &Path, what: &str| {
        assert!(firstcome(&["recover"], directory).status.success(), "{what}");
        let server = Process::start(directory, &[]);
        assert_eq!((status(&server, None), status(&server, Some(&token))), (401, 200), "{what}");
        stop(server);
    };
    is_closed(&before, "replaced files");
    // A finished copy whose origin has moved on is set aside.
    let ready = data.join("rebuilt");
    fs::create_dir(&ready).expect("made");
    for name in ["firstcome.db", "firstcome.watermark"] {
        fs::copy(data.join(name), ready.join(name)).expect("copied");
    }
    assert!(firstcome(&["recover"], &data).status.success());
    is_closed(&kept(&data, "unused-"), "a copy that was set aside");
    // Where the file is gone, nobody is admitted.
    fs::remove_file(data.join(TOKENS)).expect("removed");
    make_pipe(&data.join(TOKENS));
    assert!(firstcome(&["recover"], &data).status.success(), "a named pipe is not waited for");
}

#[test]
fn a_settings_file_that_is_no_file_or_has_no_end_is_refused_at_once() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (pipe, large) = (scratch.path().join("pipe"), scratch.path().join("large"));
    make_pipe(&pipe);
    fs::write(&large, "#".repeat(2 << 20)).expect("written");
    for (path, what) in
        [("/dev/zero".into(), "not a regular file"), (pipe, "not a regular file"), (large, "larger than")]
    {
        let mut run = Command::new("timeout");
        run.args(["10", env!("CARGO_BIN_EXE_firstcome"), "serve", "--config"]).arg(&path);
        let ran = run.stdin(Stdio::null()).output().expect("run");
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.code() == Some(64) && told.contains(what), "{}: {told}", path.display());
    }
}
