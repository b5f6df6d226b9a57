//! `firstcome top` where nobody watches: one screen as text, by the real program against the real server.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};

use crate::http::{serve, serve_with_admin_tls, until};

fn top(admin: SocketAddr, arguments: &[&str]) -> Output {
    let program = Command::new(env!("CARGO_BIN_EXE_firstcome"))
        .args(["top", "--admin", &admin.to_string()])
        .args(arguments)
        .output();
    program.expect("run")
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text)
}

#[test]
fn a_pipe_gets_one_screen_of_text_with_the_drop_that_was_asked_for() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    assert_eq!(server.create(40).status, 201);
    assert_eq!(server.order("k1", "{\"buyer\":\"ann\",\"quantity\":2}").status, 201);
    let public = server.0.server.public_address.to_string();
    let (code, screen) = said(&top(server.0.server.admin_address, &["--drop", "1", "--public", &public]));
    assert_eq!(code, Some(0), "{screen}");
    assert!(!screen.contains('\u{1b}'), "no colours in a pipe: {screen:?}");
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    for part in [
        "  seq ",
        "queue  0 of 8,192",
        "1 N, live                        38        2        0",
        "oversold          0, undersold 0",
    ] {
        assert!(screen.contains(part), "{part} is not in\n{screen}");
    }
    let (_, screen) = said(&top(server.0.server.admin_address, &[]));
    assert!(screen.contains("\n1                                38        2        0"), "stock of all drops: {screen}");
    server.stop();
}

#[test]
fn what_is_not_there_is_said_in_a_line_and_ends_with_69() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let (admin, public) = (server.0.server.admin_address, server.0.server.public_address.to_string());
    let (code, line) = said(&top(admin, &["--once", "--drop", "7", "--public", &public]));
    assert_eq!((code, line.lines().count()), (Some(69), 1), "{line}");
    assert!(line.contains("there is no drop 7"), "{line}");
    let (code, line) = said(&top(server.0.server.public_address, &["--once"]));
    assert!(code == Some(69) && line.contains("status 404 not-found"), "no metrics for buyers: {line}");
    server.stop();
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let (code, line) = said(&top(nobody, &["--once"]));
    let hint = "is `firstcome serve` running? set its address with --admin";
    assert!(code == Some(69) && line.contains(hint), "{line}");
    let wrong =
        Command::new(env!("CARGO_BIN_EXE_firstcome")).args(["top", "--admin", "no address"]).output().expect("run");
    assert_eq!(wrong.status.code(), Some(64));
}

#[test]
fn a_listener_with_tls_is_watched_by_those_who_trust_its_authority() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (server, url, ca) = serve_with_admin_tls(scratch.path());
    let top = |more: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_firstcome")).args(["top", "--admin", &url, "--once"]).args(more).output();
        said(&output.expect("run"))
    };
    let (code, line) = top(&[]);
    assert!(code == Some(69) && line.contains("TLS handshake failed; --ca"), "{line}");
    let (code, screen) = top(&["--ca", &ca]);
    assert!(code == Some(0) && screen.contains("queue  0 of 8,192"), "{screen}");
    let (code, line) = top(&["--ca", "/dev/null"]);
    assert!(code == Some(64) && line.contains("no certificate"), "{line}");
    server.stop();
}

#[test]
fn a_terminal_that_goes_away_ends_the_program() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let (pid, program) = (scratch.path().join("pid"), env!("CARGO_BIN_EXE_firstcome"));
    let inside = format!("echo $$ > {}; exec {program} top --admin {}", pid.display(), server.0.server.admin_address);
    // `script` runs it in a terminal of its own; with its end that terminal is gone.
    let mut terminal = Command::new("script")
        .args(["-q", "-c", &inside, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script of util-linux");
    let mut screen = terminal.stdout.take().expect("piped");
    let shown = || std::fs::read_to_string(&pid).ok().and_then(|text| text.trim().parse::<u32>().ok());
    until("the program runs", || shown().is_some());
    let running = std::path::PathBuf::from(format!("/proc/{}/exe", shown().expect("a number")));
    until("it is top", || std::fs::read_link(&running).is_ok_and(|exe| exe.ends_with("firstcome")));
    // It has switched to the alternate screen, so it draws and waits for keys.
    let (mut seen, mut piece) = (Vec::new(), [0; 4096]);
    while !seen.windows(8).any(|part| part == b"\x1b[?1049h") {
        let read = screen.read(&mut piece).expect("a screen");
        assert_ne!(read, 0, "the terminal ended before top drew: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&piece[..read]);
    }
    terminal.kill().expect("killed");
    terminal.wait().expect("ended");
    until("it has ended", || std::fs::read_link(&running).is_err());
    server.stop();
}
