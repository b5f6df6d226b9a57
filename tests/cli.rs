//! The program as an operator meets it: exit codes, one line per mistake, help.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn firstcome(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    command.args(arguments).stdin(Stdio::null()).output().expect("run")
}

/// `serve` on port 0 with other flags; it must end by itself.
fn refused_serve(data: &Path, more: &[&str]) -> (i32, String) {
    let data = data.to_str().expect("a path");
    let mut arguments = vec!["serve", "--data", data];
    for (flag, address) in [("--public", "127.0.0.1:0"), ("--admin", "127.0.0.1:0"), ("--wire", "127.0.0.1:0")] {
        if !more.contains(&flag) {
            arguments.extend([flag, address]);
        }
    }
    arguments.extend(more);
    let output = firstcome(&arguments);
    (output.status.code().expect("an exit code"), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn help_shows_examples_everywhere() {
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["rush", "--help"],
        &["verify", "--help"],
        &["openapi", "--help"],
        &["backup", "--help"],
        &["restore", "--help"],
    ] {
        let output = firstcome(arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("Examples:"), "{arguments:?}: {text}");
    }
    assert!(firstcome(&["--version"]).status.success());
}

#[test]
fn wrong_arguments_end_with_64() {
    for arguments in [&["serve", "--no-such-flag"][..], &["sell"], &[], &["verify", "--now"]] {
        assert_eq!(firstcome(arguments).status.code(), Some(64), "{arguments:?}");
    }
}

#[test]
fn wrong_settings_are_told_all_at_once_a_line_each() {
    let scratch = tempfile::tempdir().expect("scratch");
    let file = scratch.path().join("firstcome.toml");
    std::fs::write(&file, "[writer]\nqueue_capacity = 0\nqueue_capasity = 5\n").expect("written");
    let file = file.to_str().expect("a path");
    let (code, lines) = refused_serve(scratch.path(), &["--durability", "never", "--config", file]);
    assert_eq!(code, 64, "{lines}");
    assert_eq!(lines.lines().count(), 3, "{lines}");
    for word in ["writer.durability", "writer.queue_capacity", "writer.queue_capasity"] {
        assert!(lines.lines().any(|line| line.starts_with("firstcome: ") && line.contains(word)), "{word}: {lines}");
    }
}

#[test]
fn wrong_settings_and_missing_files_are_told_in_one_round() {
    let scratch = tempfile::tempdir().expect("scratch");
    let file = scratch.path().join("firstcome.toml");
    let text = "data = 3\n[payments]\nprovider = \"stripe\"\nstripe_secret_files = [\"/no/such/stripe.secret\"]\n\
                [identity]\naudience = \"drops\"\nhs256_secret_files = [\"/no/such/buyers.secret\"]\n\
                [public]\ntls_certificate = \"/no/such/shop.crt\"\n[admin]\ntls_certificate = \"/no/such/admin.crt\"\n\
                tls_key = \"/no/such/admin.key\"\n[outbox]\nendpoint_url = \"ftp://x\"\n\
                endpoint_secret_file = \"/no/such/endpoint.secret\"\nretry_seconds = [1, 1]\n";
    std::fs::write(&file, text).expect("written");
    let (code, lines) = refused_serve(
        &scratch.path().join("data"),
        &["--public", "0.0.0.0:0", "--config", file.to_str().expect("a path")],
    );
    assert_eq!(code, 64, "{lines}");
    for word in [
        "data = 3",
        "payments.stripe_api_key_file",
        "no such file: payments.stripe_secret_files",
        "no such file: identity.hs256_secret_files",
        "public.tls_key must both be set",
        "no such file: admin.tls_certificate",
        "no such file: admin.tls_key",
        "no such file: outbox.endpoint_secret_file",
        "public_url must be set",
    ] {
        let found = lines.lines().filter(|line| line.starts_with("firstcome: ") && line.contains(word)).count();
        assert_eq!(found, 1, "{word}: {lines}");
    }
    assert!(!lines.contains("retry_seconds") && !lines.contains("/no/such/"), "{lines}");
    assert!(!scratch.path().join("data").exists(), "nothing was made");
}

#[test]
fn every_example_of_a_listener_on_all_addresses_names_the_url_that_buyers_use() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, url) in [
        ("src/cli/serve.rs", "--public-url https://"),
        ("src/config/README.md", "public_url = \"https://"),
        ("scripts/Dockerfile", "-e FIRSTCOME__PUBLIC_URL=https://"),
        ("dashboards/docker-compose.yml", "FIRSTCOME__PUBLIC_URL: http://"),
    ] {
        let text = std::fs::read_to_string(root.join(file)).expect("a file");
        assert!(text.contains("0.0.0.0:") && text.contains(url), "{file}");
    }
}

#[test]
fn what_is_in_the_way_is_named_with_its_exit_code() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (code, line) = refused_serve(&scratch.path().join("no/such/parent"), &[]);
    assert_eq!((code, line.lines().count()), (64, 1), "{line}");

    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("an address").to_string();
    for flag in ["--public", "--admin", "--wire"] {
        let (code, line) = refused_serve(&scratch.path().join("a"), &[flag, &address]);
        assert!(code == 69 && line.contains(&address) && line.contains(flag), "{code}: {line}");
        assert!(
            !scratch.path().join("a").exists() && !scratch.path().join("a.firstcome").exists(),
            "{flag}: no database"
        );
    }

    let theirs = scratch.path().join("theirs");
    std::fs::create_dir(&theirs).expect("made");
    rusqlite::Connection::open(theirs.join("firstcome.db"))
        .and_then(|connection| connection.execute_batch("CREATE TABLE theirs (x)"))
        .expect("another program's database");
    assert_eq!(refused_serve(&theirs, &[]).0, 65);

    let ours = scratch.path().join("ours");
    let now = firstcome::types::UnixMillis::ZERO;
    let held = firstcome::store::Store::open(&ours, now).expect("opened");
    let (code, line) = refused_serve(&ours, &[]);
    assert_eq!(code, 73, "{line}");
    assert!(line.contains(&std::process::id().to_string()), "{line}");
    let refused = firstcome(&["recover", "--data", ours.to_str().expect("a path")]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(73), "{told}");
    assert!(!told.contains("copying"), "nothing was copied: {told}");
    drop(held);
    let recovered = firstcome(&["recover", "--data", ours.to_str().expect("a path")]);
    let told = String::from_utf8_lossy(&recovered.stderr).into_owned();
    assert!(recovered.status.success() && told.contains("copying and verifying the file"), "{told}");
}

#[test]
fn verify_says_what_it_found() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let path = data.to_str().expect("a path");
    assert_eq!(firstcome(&["verify", "--data", path]).status.code(), Some(66));
    drop(firstcome::store::Store::open(&data, firstcome::types::UnixMillis::ZERO).expect("made"));
    let output = firstcome(&["verify", "--data", path]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("verified"), "{output:?}");
}

#[test]
fn a_check_before_the_start_refuses_what_the_start_refuses_and_changes_nothing() {
    let scratch = tempfile::tempdir().expect("scratch");
    let check = |data: &Path, more: &[&str]| {
        let mut arguments = vec!["--check"];
        arguments.extend(more);
        refused_serve(data, &arguments)
    };
    let data = scratch.path().join("data");
    assert_eq!(check(&data, &[]).0, 0);
    assert!(!data.exists(), "a check makes no directory");
    let (code, lines) = check(&data, &["--durability", "never", "--config", "/no/such/file.toml"]);
    assert!(code == 64 && lines.lines().count() == 2, "{lines}");
    let nowhere = scratch.path().join("no/such/parent");
    assert_eq!(check(&nowhere, &[]), refused_serve(&nowhere, &[]));
    assert_eq!(check(&nowhere, &[]).0, 64);

    let store = firstcome::store::Store::open(&data, firstcome::types::UnixMillis::ZERO).expect("made");
    assert_eq!(check(&data, &[]).0, 0, "beside a running server");
    drop(store);
    assert_eq!(check(&data, &[]).0, 0);
    let file = data.join("firstcome.db");
    let connection = rusqlite::Connection::open(&file).expect("a database");
    connection.pragma_update(None, "user_version", 1_000_000).expect("newer");
    drop(connection);
    assert_eq!(check(&data, &[]), refused_serve(&data, &[]), "a newer schema");
    assert_eq!(check(&data, &[]).0, 65);
    std::fs::remove_file(&file).expect("lost");
    let (code, line) = check(&data, &[]);
    assert_eq!((code, line), refused_serve(&data, &[]), "a lost file");
}

#[test]
fn the_printed_example_of_a_configuration_starts() {
    let scratch = tempfile::tempdir().expect("scratch");
    let printed = firstcome(&["serve", "--print-config"]);
    let file = scratch.path().join("firstcome.toml");
    std::fs::write(&file, &printed.stdout).expect("written");
    let file = file.to_str().expect("a path");
    let (code, lines) = refused_serve(&scratch.path().join("data"), &["--check", "--config", file]);
    assert_eq!((code, lines.as_str()), (0, ""));
    assert_eq!(firstcome(&["serve", "--print-config", "--demo"]).status.code(), Some(64), "it does nothing else");
}

#[test]
fn every_command_has_a_man_page_and_every_shell_its_completions() {
    let scratch = tempfile::tempdir().expect("scratch");
    let directory = scratch.path().to_str().expect("a path");
    assert!(firstcome(&["man", "--to", directory]).status.success());
    for page in ["firstcome", "firstcome-serve", "firstcome-cluster-join", "firstcome-remedy"] {
        let text = std::fs::read_to_string(scratch.path().join(format!("{page}.1"))).expect("a page");
        assert!(text.contains(".SH SYNOPSIS") && text.contains("Examples:"), "{page}: {text}");
    }
    let printed = firstcome(&["man", "cluster", "join"]);
    assert!(String::from_utf8_lossy(&printed.stdout).contains("firstcome\\-cluster\\-join"), "{printed:?}");
    for (arguments, code) in
        [(&["man", "sell"][..], 64), (&["man", "--to", "/no/such/place"], 73), (&["completions", "ksh"], 64)]
    {
        let refused = firstcome(arguments);
        assert_eq!(refused.status.code(), Some(code), "{refused:?}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = firstcome(&["completions", shell]);
        assert!(String::from_utf8_lossy(&script.stdout).contains("handover"), "{shell}");
    }
}

#[test]
fn the_description_of_the_interface_is_printed_as_it_is_served() {
    let output = firstcome(&["openapi"]);
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let served = firstcome::http::openapi::document();
    assert_eq!(printed, serde_json::from_slice::<serde_json::Value>(&served).expect("JSON"));
}

#[test]
fn a_demo_prints_commands_of_an_installed_program_and_counts_its_drop() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let mut server = Command::new(env!("CARGO_BIN_EXE_firstcome"))
        .args(["serve", "--demo", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0"])
        .arg("--data")
        .arg(&data)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run");
    let (stdout, stderr) = (server.stdout.take().expect("piped"), server.stderr.take().expect("piped"));
    let read_until = |from: &mut dyn BufRead, end: &str| {
        let mut text = String::new();
        while !text.contains(end) && from.read_line(&mut text).expect("a line") > 0 {}
        text
    };
    let shown = read_until(&mut BufReader::new(stdout), "firstcome verify --data ");
    let logged = read_until(&mut BufReader::new(stderr), "drops_live");
    server.kill().expect("killed");
    server.wait().expect("ended");
    assert!(shown.contains("  firstcome rush --public http://127.0.0.1:"), "{shown}");
    assert!(shown.contains("  firstcome verify --data ") && !shown.contains("cargo"), "{shown}");
    let logged: String =
        logged.split("\u{1b}[").map(|part| part.split_once('m').map_or(part, |(_, rest)| rest)).collect();
    assert!(logged.contains("drops_live=1"), "{logged}");
}

/// An admin listener that answers every request with this.
fn standin(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let _gone = write!(&stream, "HTTP/1.1 {answer}");
        }
    });
    address
}

#[test]
fn health_asks_the_listener_of_the_settings_and_tells_alive_from_ready() {
    let health = |more: &[&str], admin: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
        command.arg("health").args(more).env("FIRSTCOME__ADMIN__LISTEN", admin).stdin(Stdio::null());
        let output = command.output().expect("run");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let good = standin("200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(health(&[], &good), (Some(0), String::new()));
    assert_eq!(health(&["--ready"], &good), (Some(0), String::new()));
    assert_eq!(health(&["--role", "leader"], &good), (Some(0), String::new()));
    assert_eq!(health(&["--role", "boss"], &good).0, Some(64));
    let everywhere = good.replace("127.0.0.1", "0.0.0.0");
    assert_eq!(health(&[], &everywhere), (Some(0), String::new()), "a wildcard is asked on loopback");
    let ending = standin("503 Service Unavailable\r\nContent-Length: 19\r\n\r\n{\"code\":\"draining\"}");
    let (code, text) = health(&["--ready"], &ending);
    assert!(code == Some(1) && text.contains("draining"), "{code:?} {text}");
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string();
    let (code, text) = health(&[], &nobody);
    assert!(code == Some(69) && text.contains(&nobody), "{code:?} {text}");
    assert_eq!(health(&[], "nowhere").0, Some(64));
    assert_eq!(health(&["--admin", &good], &nobody).0, Some(0), "the flag wins");
}
