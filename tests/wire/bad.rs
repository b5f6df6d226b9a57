//! What no frame looks like.

use std::time::Duration;

use firstcome::wire::frame::{FrameType, Sender};
use firstcome::wire::messages::Request;

use super::http::until;
use super::peer::{Peer, Said, Site, bytes, ping, pong, reserve};

/// The code that ended a connection, and nothing after it.
fn code(peer: &mut Peer) -> u8 {
    match &peer.hear_all()[..] {
        [Said::Error(code, message)] if !message.is_empty() => *code,
        other => panic!("another end: {other:?}"),
    }
}

#[test]
fn types_that_nobody_knows_and_those_of_the_server_end_the_connection_with_an_error() {
    let site = Site::open(|_| {});
    let of_clients = |number| FrameType::of(number).is_some_and(|kind| kind.sender() == Sender::Client);
    let bad: Vec<u8> = (0..=255).filter(|number| !of_clients(*number)).collect();
    assert_eq!(bad.len(), 256 - 7);
    for number in bad {
        let mut peer = site.connect();
        // The first byte is enough; nobody waits for a second.
        peer.send_bytes(&[number]).expect("sent");
        assert_eq!(code(&mut peer), 1, "{number}");
    }
    assert_eq!(site.server.metric("firstcome_wire_malformed_total{reason=\"unknown_type\"}"), 249.0);
    site.end();
}

#[test]
fn lengths_that_do_not_fit_their_type_end_the_connection_with_an_error() {
    let site = Site::open(|_| {});
    for (kind, lengths) in [
        (FrameType::Bid, [0, 15, 17, 255]),
        (FrameType::Hello, [0, 0, 0, 0]),
        (FrameType::Subscribe, [0, 11, 13, 255]),
        (FrameType::Ping, [9, 10, 128, 255]),
        (FrameType::Reserve, [0, 21, 150, 255]),
    ] {
        for length in lengths {
            let mut peer = site.connect();
            peer.send_bytes(&[kind.number(), length]).expect("sent");
            assert_eq!(code(&mut peer), 1, "{kind:?} {length}");
        }
    }
    assert_eq!(site.server.metric("firstcome_wire_malformed_total{reason=\"length\"}"), 20.0);
    site.end();
}

#[test]
fn a_frame_cut_at_every_byte_orders_nothing_and_a_frame_that_comes_byte_by_byte_does() {
    let site = Site::open(|_| {});
    let whole = bytes(&[reserve(1, "ann")]);
    for end in 1..whole.len() {
        let mut peer = site.connect();
        peer.send_bytes(&whole[..end]).expect("sent");
        peer.close_its_half();
        assert_eq!(code(&mut peer), 1, "cut at {end}");
    }
    assert_eq!(site.held(), 0);
    let mut peer = site.connect();
    for byte in whole {
        peer.send_bytes(&[byte]).expect("sent");
    }
    assert_eq!(peer.hear().expect("an answer").no(), 0);
    assert_eq!(site.held(), 1);
    peer.close_its_half();
    assert_eq!(peer.hear(), None, "an end between two frames is no mistake");
    site.end();
}

#[test]
fn a_frame_whose_rest_never_comes_ends_the_connection_with_an_error() {
    let site = Site::open(|config| config.wire.frame_timeout = Duration::from_millis(100));
    let mut peer = site.connect();
    assert_eq!(peer.ask(ping("x")), pong("x"));
    peer.send_bytes(&bytes(&[reserve(1, "ann")])[..10]).expect("sent");
    assert_eq!(code(&mut peer), 1);
    assert_eq!((site.held(), site.closed("slow_frame")), (0, 1.0));
    site.end();
}

#[test]
fn a_frame_that_trickles_is_ended_although_it_never_pauses() {
    let site = Site::open(|config| config.wire.frame_timeout = Duration::from_millis(100));
    let mut peer = site.connect();
    let whole = bytes(&[reserve(1, &"a".repeat(128))]);
    for byte in &whole[..whole.len() - 1] {
        if peer.send_bytes(&[*byte]).is_err() || site.closed("slow_frame") > 0.0 {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    assert_eq!(code(&mut peer), 1);
    site.end();
}

#[test]
fn what_came_before_a_malformed_frame_is_done_and_answered_first() {
    let site = Site::open(|_| {});
    let mut peer = site.connect();
    let mut sent = bytes(&[reserve(1, "ann"), ping("x"), reserve(2, "bob")]);
    sent.push(0xee);
    sent.extend(bytes(&[reserve(3, "eve")]));
    peer.send_bytes(&sent).expect("sent");
    let said = peer.hear_all();
    assert_eq!(said.len(), 4, "{said:?}");
    assert_eq!((said[0].no(), &said[1], said[2].no(), said[3].no()), (0, &pong("x"), 0, 1));
    assert_eq!(site.held(), 2, "nothing behind it was done");
    site.end();
}

#[test]
fn a_flood_of_frames_ends_the_connection_with_an_error() {
    let site = Site::open(|config| config.wire.frames_per_second_max = 200);
    let mut peer = site.connect();
    let _closed_at_last = peer.send_bytes(&bytes(&vec![ping("flood"); 10_000]));
    let said = peer.hear_all();
    let (last, before) = said.split_last().expect("answers");
    assert_eq!(last.no(), 20, "{last:?}");
    assert!(before.len() >= 200 && before.iter().all(|said| *said == pong("flood")), "{}", before.len());
    assert_eq!(site.closed("flood"), 1.0);
    site.end();
}

#[test]
fn who_does_not_read_answers_is_not_read_either_and_closed_in_the_end() {
    let site = Site::open(|config| {
        config.wire.frames_per_second_max = 100_000_000;
        config.wire.write_timeout = Duration::from_millis(200);
    });
    let mut peer = site.connect();
    let many = bytes(&[ping("12345678"); 400]);
    while site.closed("slow_reader") < 1.0 {
        if peer.send_bytes(&many).is_err() {
            break;
        }
    }
    until("it is counted", || site.closed("slow_reader") >= 1.0);
    site.end();
}

#[test]
fn garbage_of_all_kinds_changes_nothing_and_disturbs_nobody() {
    let site = Site::open(|_| {});
    let mut good = site.connect();
    assert_eq!(good.ask(reserve(1, "ann")).no(), 0);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..100 {
        let garbage: Vec<u8> = (0..300)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_be_bytes()[0]
            })
            .collect();
        let mut peer = site.connect();
        let _closed_already = peer.send_bytes(&garbage);
        let _closed_already = peer.stream.shutdown(std::net::Shutdown::Write);
        let said = peer.hear_all();
        assert!(said.last().is_none_or(|last| last.no() != 0), "round {round}: {said:?}");
        assert_eq!(good.ask(ping("still")), pong("still"));
    }
    for text in ["GET / HTTP/1.1\r\nHost: shop\r\n\r\n", "\u{16}\u{3}\u{1}", "\n"] {
        let mut peer = site.connect();
        peer.send_bytes(text.as_bytes()).expect("sent");
        assert_eq!(code(&mut peer), 1, "{text:?}");
    }
    assert_eq!(site.held(), 1);
    assert!(matches!(good.ask(Request::Hello { version: 1, token: b"" }), Said::Ok(seq) if seq > 0));
    drop(good);
    site.end();
}
