//! Messages as bytes, and bytes as messages.

use super::*;
use crate::types::{RoomState, TicketDigest};

const RESULT: BidResult = BidResult { reason: 16, seq: 2, current: 3, minimum_next: 4, ends_at_ms: 5 };
const RESERVED: Reserved = Reserved { reason: 0, seq: 7, order_id: [9; 16], expires_at_ms: 8 };

const TICKET: TicketReply = TicketReply {
    reason: 0,
    seq: 2,
    number: 3,
    position: Some(2),
    serving: 1,
    state: Some(RoomState::Serving),
    paused: false,
    at_ms: 4,
    digest: Some(TicketDigest([8; 16])),
};
const ROOM: RoomUpdate = RoomUpdate {
    drop_id: 1,
    seq: 2,
    state: RoomState::Gathering,
    paused: false,
    is_sold_for_good: false,
    tickets: 3,
    serving: 4,
    admitted: 5,
    available: 6,
    held: 7,
    rate: [Some(8), Some(0), Some(9)],
    updated_at_ms: 10,
};

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = b"before".to_vec();
    write(&mut out);
    assert!(out.starts_with(b"before"), "what is there stays");
    out.split_off(6)
}

#[test]
fn requests_come_back_as_they_were() {
    let long = [b'x'; 254];
    for request in [
        Request::Bid(Bid { auction_id: 1, user_id: u32::MAX, amount: u64::MAX }),
        Request::Hello { version: 1, token: b"" },
        Request::Hello { version: 255, token: &long },
        Request::Subscribe { auction_id: 7, from_seq: 1 << 47 },
        Request::Ping(Echo::default()),
        Request::Ping(Echo::new(b"12345678").expect("eight")),
        Request::Reserve(Reserve { drop_id: 1, quantity: 2, key: [7; 16], buyer: b"a" }),
        Request::Reserve(Reserve { drop_id: 1, quantity: 0, key: [7; 16], buyer: &long[..128] }),
        Request::Join(Join { drop_id: u32::MAX, buyer: b"a" }),
        Request::Join(Join { drop_id: 1, buyer: &long[..128] }),
        Request::Room { drop_id: 7, from_seq: 1 << 47 },
    ] {
        let bytes = written(|out| assert!(request.write(out)));
        let (frame, taken) = decode(&bytes, Sender::Client).expect("good").expect("whole");
        assert_eq!((Request::read(frame), taken), (Ok(request), bytes.len()));
    }
}

#[test]
fn replies_come_back_as_they_were() {
    for reply in [
        Reply::Result(RESULT),
        Reply::Result(BidResult { reason: 0, ..RESULT }),
        Reply::Error { code: 1, message: "" },
        Reply::Error { code: 25, message: "ünïcode 🙂" },
        Reply::Update(Update { auction_id: 1, seq: 2, current: 3, user_id: 4, ends_at_ms: 5 }),
        Reply::Pong(Echo::new(b"abc").expect("three")),
        Reply::Reserved(RESERVED),
        Reply::Ok { seq: u64::MAX },
        Reply::Ticket(TICKET),
        Reply::Ticket(TicketReply { position: None, paused: true, state: Some(RoomState::Over), ..TICKET }),
        Reply::Ticket(TicketReply { digest: None, ..TICKET }),
        Reply::Ticket(TicketReply { reason: 32, state: None, ..TicketReply::default() }),
        Reply::RoomState(ROOM),
        Reply::RoomState(RoomUpdate { rate: [None; 3], is_sold_for_good: true, paused: true, ..ROOM }),
    ] {
        let bytes = written(|out| reply.write(out));
        assert_eq!(Reply::first(&bytes), Ok(Some((reply, bytes.len()))));
    }
}

#[test]
fn the_bytes_are_those_of_the_protocol() {
    let bid = Request::Bid(Bid { auction_id: 1, user_id: 7, amount: 1500 });
    assert_eq!(written(|out| assert!(bid.write(out))), [1, 16, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 5, 220]);
    let result = written(|out| Reply::Result(RESULT).write(out));
    assert_eq!(result[..12], [2, 34, 0, 16, 0, 0, 0, 0, 0, 0, 0, 2]);
    let reserved = written(|out| Reply::Reserved(RESERVED).write(out));
    assert_eq!(reserved[..4], [10, 34, 1, 0]);
    assert_eq!(reserved[12..28], [9; 16]);
    let join = Request::Join(Join { drop_id: 258, buyer: b"ann" });
    assert_eq!(written(|out| assert!(join.write(out))), [12, 7, 0, 0, 1, 2, 97, 110, 110]);
    let ticket = written(|out| Reply::Ticket(TICKET).write(out));
    assert_eq!(ticket[..12], [13, 48, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    assert_eq!(ticket[12..26], [0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 4, 0]);
    assert_eq!(ticket[34..], [8; 16]);
    let room = written(|out| Reply::RoomState(ROOM).write(out));
    assert_eq!(room[14..21], [2, 0, 0, 0, 0, 0, 3]);
    assert_eq!(room[37..49], [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 9]);
}

#[test]
fn a_field_too_long_for_its_type_is_not_written() {
    let long = [b'x'; 255];
    for request in [
        Request::Hello { version: 1, token: &long },
        Request::Reserve(Reserve { drop_id: 1, quantity: 1, key: [0; 16], buyer: b"" }),
        Request::Reserve(Reserve { drop_id: 1, quantity: 1, key: [0; 16], buyer: &long[..129] }),
        Request::Join(Join { drop_id: 1, buyer: b"" }),
        Request::Join(Join { drop_id: 1, buyer: &long[..129] }),
    ] {
        assert!(written(|out| assert!(!request.write(out))).is_empty());
    }
    let message = format!("{}ü", "x".repeat(253));
    let bytes = written(|out| Reply::Error { code: 1, message: &message }.write(out));
    assert_eq!(Reply::first(&bytes), Ok(Some((Reply::Error { code: 1, message: &message[..253] }, 256))));
}

#[test]
fn a_reply_that_contradicts_itself_is_malformed() {
    for (at, value) in [(2, 1), (2, 2), (3, 0)] {
        let mut bytes = written(|out| Reply::Result(RESULT).write(out));
        bytes[at] = value;
        assert_eq!(Reply::first(&bytes), Err(Malformed::Content(FrameType::Result)), "{at}");
    }
    for (reply, at, value) in [
        (Reply::Ticket(TICKET), 2, 0),
        (Reply::Ticket(TICKET), 24, 0),
        (Reply::Ticket(TICKET), 24, 6),
        (Reply::Ticket(TICKET), 25, 2),
        (Reply::Ticket(TicketReply { reason: 7, state: None, ..TicketReply::default() }), 24, 1),
        (Reply::Ticket(TicketReply { reason: 7, state: None, ..TicketReply::default() }), 49, 1),
        (Reply::RoomState(ROOM), 14, 0),
        (Reply::RoomState(ROOM), 15, 2),
        (Reply::RoomState(ROOM), 16, 2),
    ] {
        let mut bytes = written(|out| reply.write(out));
        bytes[at] = value;
        assert_eq!(Reply::first(&bytes), Err(Malformed::Content(reply.kind())), "{at} {value}");
    }
    assert_eq!(Reply::first(&[3, 2, 1, 0xff]), Err(Malformed::Content(FrameType::Error)));
}
