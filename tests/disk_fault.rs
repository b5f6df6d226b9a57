//! A failed write, as an operator meets it: the real binary ends with 74, does not start again, is recovered, and sells
//! on with everything that it had acknowledged.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod process;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use firstcome::store::verify;
use process::{Client, Process};

fn firstcome(arguments: &[&str], data: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    let listen: &[&str] = if arguments == ["serve"] {
        &["--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0"]
    } else {
        &[]
    };
    command.args(arguments).args(listen).arg("--data").arg(data).stdin(Stdio::null()).output().expect("run")
}

#[test]
fn a_failed_write_ends_it_with_74_until_somebody_recovers_the_file() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let log = scratch.path().join("log");
    let mut server = Process::start_saying(&data, &[], Stdio::from(std::fs::File::create(&log).expect("made")));
    server.create_drop(1000);
    let mut client = Client::connect(server.public).expect("connected");
    for buyer in 0..20 {
        assert_eq!(client.order(&format!("before-{buyer}")).expect("answered").status, 201);
    }
    let bytes = std::fs::metadata(data.join("firstcome.db-wal")).expect("a log").len();
    server.limit_file_size(bytes);
    let answer = client.order("during").expect("an answer, within the grace");
    assert_eq!((answer.status, answer.body["code"].as_str()), (503, Some("outcome-unknown")));
    assert_eq!(answer.body["applied"], "unknown");
    assert_eq!(server.wait().code(), Some(74));
    let ended = std::fs::read_to_string(&log).expect("read");
    assert!(ended.contains("firstcome.db or its log") && ended.contains("File too large (os error 27)"), "{ended}");

    let refused = firstcome(&["serve"], &data);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(74), "{told}");
    assert!(told.contains("firstcome recover") && told.contains("before any reboot"), "{told}");
    let fault = std::fs::read_to_string(data.join("firstcome.fault")).expect("the mark");
    assert!(fault.starts_with("exit 74: "), "{fault}");

    let recovered = firstcome(&["recover"], &data);
    assert!(recovered.status.success(), "{recovered:?}");
    let server = Process::start(&data, &[]);
    let mut client = Client::connect(server.public).expect("connected");
    for buyer in 0..20 {
        assert!(client.order(&format!("before-{buyer}")).expect("answered").is_repeat(), "buyer {buyer} had an order");
    }
    assert_eq!(client.order("during").expect("answered").status, 201, "what was unknown is known after a retry");
    drop(server);
    let report = verify::verify(&data).expect("verified");
    assert_eq!((report.problems, report.orders), (Vec::new(), 21));
}
