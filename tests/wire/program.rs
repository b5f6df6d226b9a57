//! `firstcome wire`, with commands from a pipe.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::peer::Site;

fn talk(site: &Site, lines: &str) -> (Output, String, String) {
    talk_to(&["--to", &site.server.0.server.wire_address.to_string()], lines)
}

pub(crate) fn talk_to(to: &[&str], lines: &str) -> (Output, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_firstcome"))
        .arg("wire")
        .args(to)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(lines.as_bytes()).expect("heard");
    drop(stdin);
    let output = child.wait_with_output().expect("ended");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, noted) = (text(&output.stdout), text(&output.stderr));
    (output, said, noted)
}

#[test]
fn frames_are_sent_and_shown_in_words() {
    let site = Site::open(|_| {});
    let key = "0".repeat(32);
    let (output, said, noted) = talk(
        &site,
        &format!(
            "hello\nping hi\nreserve 1 1 ann {key}\nreserve 1 3 ann\nbid 9 7 1500\nsubscribe 9\njoin 1 ann\nroom 1\n"
        ),
    );
    assert_eq!((output.status.code(), noted.as_str()), (Some(0), ""), "{said}");
    let answers: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("<- ")).collect();
    assert_eq!(answers.len(), 8, "{said}");
    assert_eq!((answers[0], answers[1]), ("OK event 1", "PONG hi"));
    assert!(answers[2].starts_with("RESERVED event 2, order 00000000-0002-8"), "{said}");
    assert_eq!(answers[3], "RESERVED no: limit-reached (12)");
    assert_eq!(answers[4], "RESULT no: not-found (7)");
    assert!(answers[5].starts_with("ERROR no: not-found (7)"), "{said}");
    assert_eq!(answers[6], "TICKET no: not-found (7)", "the drop has no room");
    assert!(answers[7].starts_with("ERROR no: not-found (7)"), "{said}");
    assert!(said.contains(&format!("-> RESERVE 1 of drop 1 for ann, key {key}")), "{said}");
    assert_eq!(site.held(), 1);
    site.end();
}

#[test]
fn what_is_no_command_is_told_and_what_is_no_frame_is_answered() {
    let site = Site::open(|_| {});
    let (output, said, noted) = talk(&site, "sell everything\nping 123456789\nraw ee\n");
    assert_eq!(output.status.code(), Some(64), "{noted}");
    assert!(
        noted.contains("reserve, bid, subscribe, join, room") && noted.contains("2 lines were not commands"),
        "{noted}"
    );
    assert!(said.contains("<- ERROR no: malformed (1): frame type 0xee"), "{said}");
    let gone = site.server.0.server.wire_address;
    site.end();
    let nobody = Command::new(env!("CARGO_BIN_EXE_firstcome")).args(["wire", "--to", &gone.to_string()]).output();
    assert_eq!(nobody.expect("run").status.code(), Some(69));
}
