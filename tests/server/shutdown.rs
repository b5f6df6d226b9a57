//! The ordered end of the real binary: streams first, everything accepted is answered and committed, exit code 0; and
//! the impatient end, which loses nothing that was acknowledged either.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::process::{Client, Process};
use firstcome::store::verify;
use rustix::process::Signal;

/// Buyers that were answered, and those whose request broke.
fn storm(server: &Process, until: impl FnOnce(&AtomicU64)) -> (Vec<String>, Vec<String>) {
    let answered = AtomicU64::new(0);
    let address = server.public;
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|n| {
                let answered = &answered;
                scope.spawn(move || {
                    let (mut good, mut client) = (Vec::new(), Client::connect(address).expect("connected"));
                    for buyer in 0u64.. {
                        let buyer = format!("buyer-{n}-{buyer}");
                        match client.order(&buyer) {
                            Ok(answer) if answer.status == 201 => {
                                answered.fetch_add(1, Ordering::Relaxed);
                                good.push(buyer);
                            }
                            Ok(answer) => {
                                let code = answer.body["code"].as_str().unwrap_or("").to_string();
                                assert_eq!((answer.status, code.as_str()), (503, "draining"), "{:?}", answer.body);
                                assert_eq!(answer.body["applied"], "no");
                                return (good, buyer);
                            }
                            Err(_) => return (good, buyer),
                        }
                    }
                    unreachable!("the server ends first")
                })
            })
            .collect();
        until(&answered);
        let ends = clients.into_iter().map(|client| client.join().expect("a client"));
        ends.fold((Vec::new(), Vec::new()), |(mut good, mut broken), (more, last)| {
            good.extend(more);
            broken.push(last);
            (good, broken)
        })
    })
}

fn wait_for(answered: &AtomicU64, count: u64) {
    while answered.load(Ordering::Relaxed) < count {
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

#[test]
fn sigterm_sigint_and_sigquit_end_streams_first_answer_what_was_accepted_and_exit_0() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let scratch = tempfile::tempdir().expect("scratch");
        let data = scratch.path().join("data");
        let mut server = Process::start(&data, &[]);
        server.create_drop(1_000_000);
        let mut stream = Client::connect(server.public).expect("connected");
        stream.send("GET /v1/drops/1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
        let (good, broken) = storm(&server, |answered| {
            wait_for(answered, 200);
            server.signal(signal);
        });
        let heard = stream.read_to_end();
        assert!(heard.contains("event: snapshot"), "{heard}");
        assert_eq!(server.wait().code(), Some(0), "{signal:?}");
        assert!(Client::connect(server.public).is_err(), "nobody listens any more");
        let log = std::fs::metadata(data.join("firstcome.db-wal")).map_or(0, |file| file.len());
        assert_eq!(log, 0, "the log is in the database");
        let report = verify::verify(&data).expect("verified");
        assert_eq!(report.problems, Vec::<String>::new());
        let orders = usize::try_from(report.orders).expect("few");
        assert_eq!(orders, good.len(), "{signal:?}: what was accepted was answered");
        let server = Process::start(&data, &[]);
        let mut client = Client::connect(server.public).expect("connected");
        for buyer in &broken {
            let answer = client.order(buyer).expect("answered");
            assert!(
                answer.status == 201 && !answer.is_repeat(),
                "{buyer} was not answered, so it had not been accepted"
            );
        }
    }
}

#[test]
fn a_second_signal_ends_at_once_and_loses_nothing_that_was_acknowledged() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    // A request that never ends holds the first end up for a second.
    let patient = [
        ("FIRSTCOME__HTTP__BODY_STALL_TIMEOUT_MS", "60000".into()),
        ("FIRSTCOME__HTTP__BODY_READ_TIMEOUT_MS", "60000".into()),
    ];
    let mut server = Process::start(&data, &patient);
    server.create_drop(1_000_000);
    let mut slow = Client::connect(server.public).expect("connected");
    slow.send("POST /v1/drops/1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nContent-Type: application/json\r\n\r\n{")
        .expect("sent");
    let (good, _) = storm(&server, |answered| {
        wait_for(answered, 200);
        // Two kinds of signals are two signals, however late the first is heard.
        server.signal(Signal::TERM);
        server.signal(Signal::INT);
    });
    assert_eq!(server.wait().code(), Some(130));
    let server = Process::start(&data, &[]);
    let mut client = Client::connect(server.public).expect("connected");
    for buyer in &good {
        let answer = client.order(buyer).expect("answered");
        assert!(answer.status == 201 && answer.is_repeat(), "{buyer} had an order");
    }
    drop(server);
    assert_eq!(verify::verify(&data).expect("verified").problems, Vec::<String>::new());
}

#[test]
fn a_body_that_trickles_does_not_hold_an_ordered_stop_and_is_told_that_nothing_was_applied() {
    let scratch = tempfile::tempdir().expect("scratch");
    let log = scratch.path().join("log");
    let said = std::fs::File::create(&log).expect("a file");
    let settings = [
        ("FIRSTCOME__LOG__LEVEL", "warn".to_string()),
        ("FIRSTCOME__HTTP__BODY_STALL_TIMEOUT_MS", "60000".into()),
        ("FIRSTCOME__HTTP__BODY_READ_TIMEOUT_MS", "60000".into()),
    ];
    let mut server = Process::start_saying(&scratch.path().join("data"), &settings, said.into());
    server.create_drop(9);
    let head =
        "Host: localhost\r\nContent-Length: 5000\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\n\r\n{";
    let mut clients = Vec::new();
    for request in ["POST /v1/drops/1/orders", "GET /v1/drops/1", "POST /v1/orders/none/cancel"] {
        let mut client = Client::connect(server.public).expect("connected");
        client.send(&format!("{request} HTTP/1.1\r\n{head}")).expect("sent");
        clients.push(client);
    }
    // Their heads have been read when a later request of the same threads has its answer.
    for _ in 0..8 {
        let mut client = Client::connect(server.public).expect("connected");
        client.send("GET /v1/drops/1 HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
        assert_eq!(client.receive().expect("answered").status, 200);
    }
    server.signal(Signal::TERM);
    // A byte each 20 ms, for as long as the server listens to any of them.
    let mut order = clients.remove(0);
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            while clients.iter_mut().any(|client| client.send(" ").is_ok()) {
                std::thread::park_timeout(Duration::from_millis(20));
            }
        });
        server.wait()
    });
    assert_eq!(ended.code(), Some(0));
    let said = std::fs::read_to_string(&log).expect("a log");
    assert!(!said.contains("connections closed before they finished"), "{said}");
    let heard = order.read_to_end();
    assert!(heard.contains("503 Service Unavailable") && heard.contains("\"applied\":\"no\""), "{heard}");
}

#[test]
fn slow_and_silent_clients_do_not_hold_an_ordered_stop() {
    let scratch = tempfile::tempdir().expect("scratch");
    let log = scratch.path().join("log");
    let said = std::fs::File::create(&log).expect("a file");
    let warn = [("FIRSTCOME__LOG__LEVEL", "warn".to_string())];
    let mut server = Process::start_saying(&scratch.path().join("data"), &warn, said.into());
    server.create_drop(9);
    let mut clients = Vec::new();
    for part in ["", "G", "GET /v1/drops/1 HT", "GET /v1/drops/1 HTTP/1.1\r\nHost: localhost\r\n"] {
        for first in ["", "GET /v1/drops/1 HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
            let mut client = Client::connect(server.public).expect("connected");
            client.send(&format!("{first}{part}")).expect("sent");
            if !first.is_empty() {
                assert_eq!(client.receive().expect("answered").status, 200);
            }
            clients.push(client);
        }
    }
    // Four of the eight bytes of a frame's head, at most.
    let mut frame = Client::connect(server.wire).expect("connected");
    frame.send("\u{1}\0").expect("sent");
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    let said = std::fs::read_to_string(&log).expect("a log");
    assert!(!said.contains("connections closed before they finished"), "{said}");
    for client in &mut clients {
        assert_eq!(client.read_to_end(), "", "nothing was asked");
    }
}

#[test]
fn signals_that_a_parent_has_blocked_end_the_server_in_order() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let scratch = tempfile::tempdir().expect("scratch");
        let mut blocking = Command::new("env");
        blocking.arg("--block-signal").arg(env!("CARGO_BIN_EXE_firstcome"));
        let mut server = Process::start_through(blocking, &scratch.path().join("data"), &[], Stdio::inherit());
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "{signal:?}");
    }
}

#[test]
fn other_signals_do_not_end_a_sale() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut server = Process::start(&scratch.path().join("data"), &[]);
    server.create_drop(9);
    let mut client = Client::connect(server.public).expect("connected");
    for (signal, buyer) in [(Signal::HUP, "ann"), (Signal::USR1, "bob"), (Signal::USR2, "eve")] {
        for _ in 0..2 {
            server.signal(signal);
        }
        // A signal that ends the process has ended it when the process answers nothing more.
        assert_eq!(client.order(buyer).expect("answered").status, 201, "{signal:?}");
        assert_eq!(client.get("/v1/drops/1").expect("answered").status, 200, "{signal:?}");
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}
