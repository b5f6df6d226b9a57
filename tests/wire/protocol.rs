//! PROTOCOL.md shows a real exchange, byte by byte: made anew here, and compared.

use std::fmt::Write as _;

use firstcome::wire::frame::{FrameType, HEADER_BYTES};
use firstcome::wire::messages::{BidResult, Request, Reserve, Reserved, RoomUpdate, Update};

use super::auctions::{auction, bid};
use super::peer::{Said, Site, bytes, ping, reserve};
use super::rooms::{LATER, join, room_drop};

const PROTOCOL: &str = include_str!("../../src/wire/PROTOCOL.md");

/// What is different in every run: the random bits of an order's id, and instants.
fn without_chance(reserved: Reserved) -> Reserved {
    let mut order_id = reserved.order_id;
    assert_eq!((order_id[6] >> 4, order_id[8] >> 6), (8, 0b10), "a UUID of version 8");
    order_id[6..].copy_from_slice(&[0x8a, 0xbc, 0xa0, 1, 2, 3, 4, 5, 6, 7]);
    Reserved { order_id, expires_at_ms: instant(reserved.expires_at_ms), ..reserved }
}

fn instant(ms: u64) -> u64 {
    assert!(ms > 1_700_000_000_000, "an instant of our days");
    1_795_251_720_000
}

/// A frame as `hexdump -C` shows it.
fn dump(out: &mut String, arrow: &str, frame: &[u8]) {
    let kind = FrameType::of(frame[0]).expect("a type");
    writeln!(out, "{arrow} {}, {} bytes of payload", kind.name(), frame.len() - HEADER_BYTES).expect("in memory");
    for (row, piece) in frame.chunks(16).enumerate() {
        let hex: Vec<String> = piece.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
        let text: String = piece.iter().map(shown).collect();
        writeln!(out, "   {:04x}  {:<47}  |{text}|", row * 16, hex.join(" ")).expect("in memory");
    }
}

fn exchange() -> String {
    let site = Site::open(|_| {});
    let mut peer = site.connect();
    let mut out = String::from("```text\n");
    for request in [
        Request::Hello { version: 1, token: b"" },
        ping("12345678"),
        reserve(0xab, "ann"),
        reserve(0xac, "ann"),
        reserve(0xad, "ann"),
    ] {
        dump(&mut out, "->", &bytes(&[request]));
        dump(&mut out, "<-", &raw(peer.ask(request)));
    }
    let id = auction(&site, 1, |_| {});
    let subscribe = Request::Subscribe { auction_id: id.get(), from_seq: 0 };
    dump(&mut out, "->", &bytes(&[subscribe]));
    dump(&mut out, "<-", &raw(peer.ask(subscribe)));
    dump(&mut out, "<-", &raw(peer.hear().expect("where it stands")));
    for request in [bid(id, 7, 1000), bid(id, 8, 1050)] {
        dump(&mut out, "->", &bytes(&[request]));
        // The UPDATE may come between the two or after them.
        peer.send(&[request]);
        let answer = std::iter::from_fn(|| peer.hear()).find(|said| matches!(said, Said::Result(_)));
        dump(&mut out, "<-", &raw(answer.expect("an answer")));
    }
    let drop_id = room_drop(&site, LATER, 3);
    let room = Request::Room { drop_id, from_seq: 0 };
    for request in [join(drop_id, "ann"), join(drop_id, "ann"), reserve_of(drop_id, "ann"), room] {
        dump(&mut out, "->", &bytes(&[request]));
        // The auction's last UPDATE may come before.
        peer.send(&[request]);
        let answer = std::iter::from_fn(|| peer.hear()).find(|said| !matches!(said, Said::Update(_)));
        dump(&mut out, "<-", &raw(answer.expect("an answer")));
    }
    let state = std::iter::from_fn(|| peer.hear()).find(|said| !matches!(said, Said::Update(_)));
    dump(&mut out, "<-", &raw(state.expect("where it stands")));
    peer = site.connect();
    peer.send_bytes(&[0x01, 0x03]).expect("sent");
    out.push_str("-> no frame: a BID of three bytes\n   0000  01 03                                            |..|\n");
    dump(&mut out, "<-", &raw(peer.hear().expect("a last word")));
    assert_eq!(peer.hear(), None);
    site.end();
    out + "```\n"
}

fn reserve_of(drop_id: u32, buyer: &str) -> Request<'_> {
    Request::Reserve(Reserve { drop_id, quantity: 1, key: [0xae; 16], buyer: buyer.as_bytes() })
}

/// What was said, as bytes again: written by the same code as the server's, which the codec's tests hold to the contract.
fn raw(said: Said) -> Vec<u8> {
    use firstcome::wire::messages::{Echo, Reply};
    let mut out = Vec::new();
    match said {
        Said::Result(result) => {
            Reply::Result(BidResult { ends_at_ms: instant(result.ends_at_ms), ..result }).write(&mut out)
        }
        Said::Error(code, message) => Reply::Error { code, message: &message }.write(&mut out),
        Said::Update(update) => {
            Reply::Update(Update { ends_at_ms: instant(update.ends_at_ms), ..update }).write(&mut out)
        }
        Said::Pong(echo) => Reply::Pong(Echo::new(&echo).expect("short")).write(&mut out),
        Said::Reserved(reserved) if reserved.reason == 0 => {
            Reply::Reserved(without_chance(reserved)).write(&mut out);
        }
        Said::Reserved(reserved) => Reply::Reserved(reserved).write(&mut out),
        Said::Ok(seq) => Reply::Ok { seq }.write(&mut out),
        Said::Ticket(ticket) => Reply::Ticket(ticket).write(&mut out),
        Said::Room(room) => {
            Reply::RoomState(RoomUpdate { updated_at_ms: instant(room.updated_at_ms), ..room }).write(&mut out);
        }
    }
    out
}

#[test]
fn the_page_shows_an_exchange_as_it_is() {
    let exchange = exchange();
    assert!(PROTOCOL.contains(&exchange), "put this into src/wire/PROTOCOL.md:\n{exchange}");
}

#[test]
fn the_page_names_every_type_with_its_number_and_its_lengths() {
    for kind in FrameType::ALL {
        let lengths = kind.lengths_as_text();
        let row = format!("| `0x{:02x}` | {} | ", kind.number(), kind.name());
        let line = PROTOCOL.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("no row {row}"));
        assert!(line.contains(&format!(" | {lengths} | ")), "{line}: {lengths} bytes");
    }
}
