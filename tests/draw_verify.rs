//! `firstcome draw verify` and the independent script beside it, over true transcripts and altered ones.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use firstcome::api::json::draw::DrawTranscript;
use firstcome::engine::draw::{DrawRun, TicketProof, TreeBuilder};
use firstcome::read::DrawRow;
use firstcome::types::{Beacon, Digest, DropId, Seed, Seq, TicketDigest, TicketNumber, UnixMillis};
use serde_json::{Value, json};

/// Returns the published draw of a room, with the proof of a ticket.
fn published(tickets: u32, beacon: &[u8], ticket: u32) -> Value {
    let seed = Seed::from_slice(&[7; 32]).expect("32 bytes");
    let (commitment, beacon) = (seed.commitment(), Beacon::from_slice(beacon).expect("short"));
    let digests: Vec<_> =
        (1..=tickets).map(|number| TicketDigest::of(&commitment, &Digest(u128::from(number).to_be_bytes()))).collect();
    let mut tree = TreeBuilder::default();
    digests.iter().for_each(|digest| tree.push(digest));
    let tree = tree.finish();
    let drawn = DrawRun::new(&tree.tickets(), &seed, &beacon).run();
    let proof = TicketNumber::new(ticket).map(|number| {
        let block: Vec<_> = tree.block_of(number).map(|number| digests[number as usize - 1]).collect();
        TicketProof {
            number,
            digest: digests[number.index()],
            position: drawn.order.position(number).expect("drawn"),
            path: tree.path(number, &block).expect("a ticket of the tree"),
        }
    });
    let draw = DrawRow {
        drop_id: DropId::new(7).expect("not 0"),
        commitment,
        beacon_seconds: Some(300).filter(|_| !beacon.as_bytes().is_empty()),
        tickets: Some(tree.tickets().count()),
        root: Some(tree.tickets().root()),
        fixed_at: Some(UnixMillis::ZERO),
        beacon: Some(beacon).filter(|beacon| !beacon.as_bytes().is_empty()),
        beacon_source: Some("drand".into()),
        ready: true,
        seed: Some(seed),
        result: Some(drawn.result),
        drawn_seq: Seq::new(9),
        ended: false,
    };
    serde_json::to_value(DrawTranscript::of(&draw, proof.as_ref())).expect("JSON")
}

struct Verifiers {
    scratch: tempfile::TempDir,
}

impl Verifiers {
    fn new() -> Verifiers {
        Verifiers { scratch: tempfile::tempdir().expect("scratch") }
    }

    fn file(&self, transcript: &Value) -> PathBuf {
        let file = self.scratch.path().join("draw.json");
        std::fs::write(&file, transcript.to_string()).expect("written");
        file
    }

    fn program(&self, transcript: &Value, more: &[&str]) -> Output {
        verify(&[&["--transcript", self.file(transcript).to_str().expect("a path")], more].concat())
    }

    fn script(&self, transcript: &Value) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/examples/draw_verify.py");
        let mut python = Command::new("python3");
        python.arg(script).arg(self.file(transcript)).stdin(Stdio::null()).output().expect("python3")
    }
}

fn verify(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    program.args(["draw", "verify"]).args(arguments).stdin(Stdio::null()).output().expect("run")
}

/// The exit code, and everything that was printed.
fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code().expect("a code"), String::from_utf8(text).expect("text"))
}

#[test]
fn both_verifiers_accept_true_transcripts() {
    let verifiers = Verifiers::new();
    let cases: [(u32, &[u8], u32); 8] = [
        (0, b"", 0),
        (1, b"", 1),
        (2, b"beacon", 2),
        (3, b"", 3),
        (255, &[0xff; 64], 17),
        (256, b"", 0),
        (1000, b"b", 1000),
        (10_000, b"", 4321),
    ];
    for (tickets, beacon, ticket) in cases {
        let transcript = published(tickets, beacon, ticket);
        let (code, text) = said(&verifiers.program(&transcript, &[]));
        assert_eq!(code, 0, "{tickets} tickets: {text}");
        for part in [&format!("drop 7: {tickets} tickets"), transcript["result"].as_str().expect("a hash")] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(text.contains(&format!("ticket {ticket}: among")), ticket > 0, "{text}");
        let (code, text) = said(&verifiers.script(&transcript));
        assert_eq!((code, text.contains("verified")), (0, true), "{tickets} tickets: {text}");
    }
}

#[test]
fn both_verifiers_reject_every_alteration() {
    let verifiers = Verifiers::new();
    let hash = |byte: u8| "0123456789abcdef".chars().cycle().skip(byte.into()).take(64).collect::<String>();
    let beacon = *b"beacon";
    let truth = published(1000, &beacon, 321);
    let pointed = |pointer: &str| truth.pointer(pointer).cloned().expect("a member");
    let position = pointed("/ticket/position").as_u64().expect("a number");
    let mut shorter = pointed("/ticket/path");
    shorter.as_array_mut().expect("a path").pop();
    let mut longer = pointed("/ticket/path");
    longer.as_array_mut().expect("a path").push(json!(hash(3)));
    let other_seed = Seed::from_slice(&[8; 32]).expect("32 bytes");
    let without_last = published(999, &beacon, 321);
    let with_one_more = published(1001, &beacon, 321);
    let alterations = [
        ("another seed", vec![("/seed", json!(hash(1)))]),
        ("another commitment", vec![("/commitment", json!(hash(2)))]),
        (
            "another seed with its commitment",
            vec![("/seed", json!(other_seed.reveal())), ("/commitment", json!(other_seed.commitment().to_string()))],
        ),
        ("a missing ticket", vec![("/tickets/count", json!(999))]),
        ("an added ticket", vec![("/tickets/count", json!(1001))]),
        ("a missing ticket and its root", vec![("/tickets", without_last["tickets"].clone())]),
        ("an added ticket and its root", vec![("/tickets", with_one_more["tickets"].clone())]),
        ("another root", vec![("/tickets/root", json!(hash(4)))]),
        ("a swapped pair", vec![("/ticket/position", json!(if position == 0 { 1 } else { position - 1 }))]),
        ("another number", vec![("/ticket/number", json!(322))]),
        ("a number behind the last", vec![("/ticket/number", json!(1001))]),
        ("another holder", vec![("/ticket/digest", json!(hash(5)[..32].to_owned()))]),
        ("a shorter path", vec![("/ticket/path", shorter)]),
        ("a longer path", vec![("/ticket/path", longer)]),
        ("another beacon", vec![("/beacon", json!("00ff"))]),
        (
            "another beacon and its result",
            vec![("/beacon", json!("62")), ("/result", published(1000, b"b", 1)["result"].clone())],
        ),
        ("zeros behind the beacon, which draw the same order", vec![("/beacon", json!("626561636f6e00"))]),
        ("another result", vec![("/result", json!(hash(6)))]),
    ];
    for (what, members) in alterations {
        let mut transcript = truth.clone();
        for (pointer, value) in members {
            let member = transcript.pointer_mut(pointer).expect("a member");
            assert_ne!(*member, value, "{what}");
            *member = value;
        }
        for output in [verifiers.program(&transcript, &[]), verifiers.script(&transcript)] {
            let (code, text) = said(&output);
            assert_eq!((code, text.contains("rejected: ")), (1, true), "{what}: {text}");
        }
    }
    let (code, no_beacon) = said(&verifiers.program(&without(&truth, "beacon"), &[]));
    assert_eq!((code, no_beacon.contains("/beacon_rule: ")), (65, true), "{no_beacon}");
    let mut missed = without(&truth, "beacon");
    missed["beacon_missed"] = json!(true);
    let (_, no_beacon) = said(&verifiers.program(&missed, &[]));
    assert!(no_beacon.contains("rejected: "), "{no_beacon}");
    for without_beacon in [&without(&truth, "beacon"), &missed] {
        let (code, text) = said(&verifiers.script(without_beacon));
        assert_eq!((code, text.contains("rejected: ")), (1, true), "{text}");
    }
}

#[test]
fn both_verifiers_tell_a_beacon_that_was_missed_from_none_and_from_one() {
    let verifiers = Verifiers::new();
    let none = published(10, b"", 3);
    let mut missed = none.clone();
    (missed["beacon_rule"], missed["beacon_missed"]) = (json!("required"), json!(true));
    for (draw, words) in [(&missed, "MISSED"), (&none, "required none"), (&published(10, b"abc", 3), "616263")] {
        for output in [verifiers.program(draw, &[]), verifiers.script(draw)] {
            let (code, text) = said(&output);
            let beacon = text.lines().find(|line| line.starts_with("beacon: ")).expect("a line about it");
            assert_eq!((code, beacon.contains(words)), (0, true), "{words}: {text}");
        }
    }
}

#[test]
fn the_script_names_the_ticket_that_it_proves_or_says_that_there_is_none() {
    let verifiers = Verifiers::new();
    let of = |draw: &Value| said(&verifiers.script(draw));
    let truth = published(10, b"", 3);
    let ticket = &truth["ticket"];
    let (_, text) = of(&truth);
    let named = format!("ticket 3 with the digest {} was drawn", ticket["digest"].as_str().expect("a digest"));
    assert!(text.contains(&named) && text.contains(&format!("position {}", ticket["position"])), "{text}");
    let mut null = truth.clone();
    null["ticket"] = Value::Null;
    for none in [without(&truth, "ticket"), null] {
        let (code, text) = of(&none);
        assert_eq!((code, text.contains("NO ticket was proved")), (0, true), "{text}");
    }
    for forged in [json!(8_000_001), json!(1_000_000_000_000u64), json!(-1), json!(10.0), json!("10")] {
        let mut huge = truth.clone();
        huge["tickets"]["count"] = forged;
        let (code, text) = of(&huge);
        assert_eq!((code, text.contains("rejected: ")), (1, true), "{text}");
    }
}

fn without(transcript: &Value, member: &str) -> Value {
    let mut transcript = transcript.clone();
    transcript.as_object_mut().expect("an object").remove(member);
    transcript
}

#[test]
fn a_server_that_alters_everything_alike_is_found_by_what_was_noted() {
    let verifiers = Verifiers::new();
    let truth = published(1000, b"beacon", 321);
    let noted = |pointer: &str| truth.pointer(pointer).and_then(Value::as_str).expect("a text").to_owned();
    let (commitment, root) = (noted("/commitment"), noted("/tickets/root"));
    let (digest, beacon) = (noted("/ticket/digest"), noted("/beacon"));
    let all = ["--commitment", &commitment, "--root", &root, "--digest", &digest, "--beacon", &beacon];
    let (code, text) = said(&verifiers.program(&truth, &all));
    assert_eq!((code, text.contains("not compared")), (0, false), "{text}");
    let (_, text) = said(&verifiers.program(&truth, &all[..4]));
    assert!(text.contains("not compared with what was noted before the draw: --digest, --beacon"), "{text}");
    // Other tickets and another beacon, drawn honestly.
    let altered = published(1001, b"other", 321);
    assert_eq!(said(&verifiers.program(&altered, &[])).0, 0);
    let (code, text) = said(&verifiers.program(&altered, &all));
    assert_eq!((code, text.lines().count()), (1, 2), "{text}");
    for what in ["the root is not", "the beacon is not"] {
        assert!(text.contains(&format!("rejected: {what} the one that was noted")), "{text}");
    }
    // The ticket of another buyer at this number.
    let (code, text) = said(&verifiers.program(&published(1000, b"beacon", 322), &["--digest", &digest]));
    assert_eq!((code, text.contains("the ticket's digest is not the one that was noted")), (1, true), "{text}");
}

#[test]
fn what_is_no_transcript_is_told_with_every_mistake() {
    let verifiers = Verifiers::new();
    let truth = published(10, b"", 3);
    let mut wrong = truth.clone();
    wrong["seed"] = json!("AB");
    wrong["tickets"]["count"] = json!(4_000_000_000u32);
    wrong["ticket"]["digest"] = json!("");
    wrong["ticket"]["path"] = json!(["00"]);
    let (code, text) = said(&verifiers.program(&wrong, &[]));
    assert_eq!((code, text.lines().count()), (65, 4), "{text}");
    for pointer in ["/seed", "/tickets/count", "/ticket/digest", "/ticket/path"] {
        assert!(text.contains(&format!(" {pointer}: must be")), "{pointer}: {text}");
    }
    let (code, text) = said(&verifiers.program(&json!({ "drop_id": 7 }), &[]));
    assert_eq!((code, text.contains("is no transcript: missing field")), (65, true), "{text}");
    let (code, text) = said(&verifiers.program(&json!("x".repeat(70_000)), &[]));
    assert_eq!((code, text.contains("more than 65536 bytes")), (65, true), "{text}");
    let (code, text) = said(&verifiers.program(&without(&truth, "seed"), &[]));
    assert_eq!((code, text.contains("not drawn yet")), (1, true), "{text}");
    assert_eq!(said(&verify(&["--transcript", "/no/such/draw.json"])).0, 66);
    for arguments in [
        &[][..],
        &["--transcript", "a", "--url", "127.0.0.1:1", "--drop", "1"],
        &["--url", "127.0.0.1:1"],
        &["--url", "127.0.0.1:1", "--drop", "0"],
        &["--transcript", "a", "--commitment", "00"],
    ] {
        assert_eq!(said(&verify(arguments)).0, 64, "{arguments:?}");
    }
    assert_eq!(said(&verify(&["--url", "127.0.0.1:9", "--drop", "1", "--ticket", "1"])).0, 69);
}
