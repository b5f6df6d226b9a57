//! Conversion between text and frames of the wire protocol.

use crate::api::code::Code;
use crate::types::text::rfc3339;
use crate::types::{OrderId, UnixMillis, hex, random};
use crate::wire::messages::{Bid, Echo, Join, Reply, Request, Reserve, RoomUpdate, TicketReply, VERSION};

#[derive(Debug)]
pub(super) enum Line {
    Empty,
    Quit,
    Raw(Vec<u8>),
    Frame(OwnedRequest),
}

/// A request with owned fields.
#[derive(Debug)]
pub(super) enum OwnedRequest {
    Bid(Bid),
    Hello(String),
    Subscribe { auction_id: u32, from_seq: u64 },
    Ping(String),
    Reserve { drop_id: u32, quantity: u8, key: [u8; 16], buyer: String },
    Join { drop_id: u32, buyer: String },
    Room { drop_id: u32, from_seq: u64 },
}

impl Line {
    /// Parses a line.
    ///
    /// # Errors
    /// The correct form of the command.
    pub(super) fn parse(line: &str) -> Result<Line, &'static str> {
        const RESERVE: &str = "reserve DROP QUANTITY BUYER [KEY of 32 hex digits]";
        const BID: &str = "bid AUCTION USER AMOUNT";
        const SUBSCRIBE: &str = "subscribe AUCTION [SEQ]";
        const JOIN: &str = "join DROP BUYER";
        const ROOM: &str = "room DROP [SEQ]";
        let words: Vec<&str> = line.split_whitespace().collect();
        let frame = match words[..] {
            [] => return Ok(Line::Empty),
            ["quit" | "exit"] => return Ok(Line::Quit),
            ["raw", ..] => return parse_hex(&words[1..].concat()).map(Line::Raw).ok_or("raw HEX, two digits per byte"),
            ["hello"] => OwnedRequest::Hello(String::new()),
            ["hello", token] => OwnedRequest::Hello(token.into()),
            ["ping"] => OwnedRequest::Ping(String::new()),
            ["ping", word] => OwnedRequest::Ping(word.into()),
            ["bid", auction, user, amount] => OwnedRequest::Bid(Bid {
                auction_id: auction.parse().map_err(|_| BID)?,
                user_id: user.parse().map_err(|_| BID)?,
                amount: amount.parse().map_err(|_| BID)?,
            }),
            ["subscribe", auction] => {
                OwnedRequest::Subscribe { auction_id: auction.parse().map_err(|_| SUBSCRIBE)?, from_seq: 0 }
            }
            ["subscribe", auction, seq] => OwnedRequest::Subscribe {
                auction_id: auction.parse().map_err(|_| SUBSCRIBE)?,
                from_seq: seq.parse().map_err(|_| SUBSCRIBE)?,
            },
            ["join", drop_id, buyer] => {
                OwnedRequest::Join { drop_id: drop_id.parse().map_err(|_| JOIN)?, buyer: buyer.into() }
            }
            ["room", drop_id, ref seq @ ..] => OwnedRequest::Room {
                drop_id: drop_id.parse().map_err(|_| ROOM)?,
                from_seq: match seq {
                    [] => 0,
                    [seq] => seq.parse().map_err(|_| ROOM)?,
                    _ => return Err(ROOM),
                },
            },
            ["reserve", drop_id, quantity, buyer, ref key @ ..] => OwnedRequest::Reserve {
                drop_id: drop_id.parse().map_err(|_| RESERVE)?,
                quantity: quantity.parse().map_err(|_| RESERVE)?,
                key: match key {
                    [] => new_key(),
                    [key] => parse_hex(key).and_then(|key| key.try_into().ok()).ok_or(RESERVE)?,
                    _ => return Err(RESERVE),
                },
                buyer: buyer.into(),
            },
            ["reserve", ..] => return Err(RESERVE),
            ["bid", ..] => return Err(BID),
            ["subscribe", ..] => return Err(SUBSCRIBE),
            ["join", ..] => return Err(JOIN),
            ["room", ..] => return Err(ROOM),
            ["hello", ..] => return Err("hello [TOKEN]"),
            ["ping", ..] => return Err("ping [WORD of up to 8 bytes]"),
            [..] => return Err("reserve, bid, subscribe, join, room, hello, ping, raw or quit"),
        };
        Ok(Line::Frame(frame))
    }
}

impl OwnedRequest {
    /// Returns the message; `None` if a word is too long for it.
    pub(super) fn request(&self) -> Option<Request<'_>> {
        Some(match self {
            OwnedRequest::Bid(bid) => Request::Bid(*bid),
            OwnedRequest::Hello(token) => Request::Hello { version: VERSION, token: token.as_bytes() },
            OwnedRequest::Subscribe { auction_id, from_seq } => {
                Request::Subscribe { auction_id: *auction_id, from_seq: *from_seq }
            }
            OwnedRequest::Ping(word) => Request::Ping(Echo::new(word.as_bytes())?),
            OwnedRequest::Reserve { drop_id, quantity, key, buyer } => {
                Request::Reserve(Reserve { drop_id: *drop_id, quantity: *quantity, key: *key, buyer: buyer.as_bytes() })
            }
            OwnedRequest::Join { drop_id, buyer } => Request::Join(Join { drop_id: *drop_id, buyer: buyer.as_bytes() }),
            OwnedRequest::Room { drop_id, from_seq } => Request::Room { drop_id: *drop_id, from_seq: *from_seq },
        })
    }
}

fn new_key() -> [u8; 16] {
    let mut key = [0; 16];
    random::fill(&mut key);
    key
}

fn parse_hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            std::str::from_utf8(pair)
                .ok()
                .filter(|pair| pair.len() == 2)
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
        })
        .collect()
}

/// Formats a request without its token.
pub(super) fn request_text(request: &Request<'_>) -> String {
    match request {
        Request::Bid(Bid { auction_id, user_id, amount }) => {
            format!("BID {amount} in auction {auction_id} by {user_id}")
        }
        Request::Hello { version, token: [] } => format!("HELLO in version {version}"),
        Request::Hello { version, token: [..] } => format!("HELLO in version {version}, with a token"),
        Request::Subscribe { auction_id, from_seq } => format!("SUBSCRIBE auction {auction_id} from {from_seq}"),
        Request::Ping(echo) => format!("PING {}", word(echo)),
        Request::Reserve(Reserve { drop_id, quantity, key, buyer }) => {
            let (key, buyer) = (hex::encode(key), String::from_utf8_lossy(buyer));
            format!("RESERVE {quantity} of drop {drop_id} for {buyer}, key {key}")
        }
        Request::Join(Join { drop_id, buyer }) => {
            format!("JOIN the room of drop {drop_id} for {}", String::from_utf8_lossy(buyer))
        }
        Request::Room { drop_id, from_seq } => format!("ROOM of drop {drop_id} from {from_seq}"),
    }
}

pub(super) fn reply_text(reply: &Reply<'_>) -> String {
    match reply {
        Reply::Result(result) => {
            let (current, next, ends) = (result.current, result.minimum_next, instant(result.ends_at_ms));
            let state = format!("current {current}, next at least {next}, until {ends}");
            match result.reason {
                0 => format!("RESULT accepted, event {}; {state}", result.seq),
                no if ends.is_empty() => format!("RESULT {}", reason_text(no)),
                no => format!("RESULT {}; {state}", reason_text(no)),
            }
        }
        Reply::Error { code, message } => format!("ERROR {}: {message}", reason_text(*code)),
        Reply::Update(update) => format!(
            "UPDATE auction {}, event {}: {} by {}, until {}",
            update.auction_id,
            update.seq,
            update.current,
            if update.user_id == 0 { "none, or another buyer".into() } else { update.user_id.to_string() },
            instant(update.ends_at_ms)
        ),
        Reply::Pong(echo) => format!("PONG {}", word(echo)),
        Reply::Reserved(reserved) => match (reserved.reason, OrderId::from_bytes(reserved.order_id)) {
            (0, Some(id)) => {
                format!("RESERVED event {}, order {id}, until {}", reserved.seq, instant(reserved.expires_at_ms))
            }
            (0, None) => "RESERVED an order with an invalid id".into(),
            (no, _) => format!("RESERVED {}", reason_text(no)),
        },
        Reply::Ok { seq } => format!("OK event {seq}"),
        Reply::Ticket(ticket) => ticket_text(ticket),
        Reply::RoomState(room) => room_text(room),
    }
}

fn ticket_text(ticket: &TicketReply) -> String {
    let TicketReply { reason, number, position, serving, state, at_ms, digest, .. } = *ticket;
    let at = instant(at_ms);
    let Some(state) = state else {
        let opens = if at.is_empty() { String::new() } else { format!("; the room opens at {at}") };
        return format!("TICKET {}{opens}", reason_text(reason));
    };
    let place = match position {
        None => "not drawn yet".to_owned(),
        Some(position) if position < serving && at.is_empty() => format!("position {position}, admitted before"),
        Some(position) if position < serving => format!("position {position}, admitted until {at}"),
        Some(position) => format!("position {position}, {} ahead", position.saturating_sub(serving)),
    };
    let digest = digest.map_or_else(String::new, |digest| format!("; digest {digest}"));
    format!("TICKET {number}, {place}; {}{}{digest}", state.as_str(), paused_text(ticket.paused))
}

fn room_text(room: &RoomUpdate) -> String {
    let RoomUpdate { drop_id, seq, tickets, serving, admitted, available, held, rate: [rate, ..], .. } = *room;
    let rate = rate.map_or_else(String::new, |rate| format!(", {}.{:02} admitted/s", rate / 100, rate % 100));
    let (state, paused) = (room.state.as_str(), paused_text(room.paused));
    let odds = if room.is_sold_for_good { ", every unit is sold" } else { "" };
    format!(
        "ROOM_STATE of drop {drop_id}, event {seq}: {state}{paused}, {tickets} tickets, serving {serving}, \
         {admitted} admitted, {available} available, {held} held{rate}{odds}, at {}",
        instant(room.updated_at_ms)
    )
}

const fn paused_text(paused: bool) -> &'static str {
    if paused { ", paused" } else { "" }
}

/// Formats a reason by its code in the table of problems.
fn reason_text(number: u8) -> String {
    let known = Code::ALL.into_iter().map(Code::kind).find(|kind| kind.number == number);
    known.map_or_else(|| format!("no: reason {number}"), |kind| format!("no: {} ({number})", kind.code))
}

fn word(echo: &Echo) -> String {
    String::from_utf8_lossy(echo.as_bytes()).escape_debug().to_string()
}

/// Formats an instant; empty for 0, which stands for "not known".
fn instant(ms: u64) -> String {
    let at = i64::try_from(ms).ok().filter(|ms| *ms > 0).and_then(UnixMillis::new);
    at.map_or_else(String::new, rfc3339)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{RoomState, TicketDigest};
    use crate::wire::messages::{BidResult, Reserved, Update};

    #[test]
    fn lines_become_frames_and_text_again() {
        for (line, shown) in [
            ("ping", "PING "),
            ("  ping hi", "PING hi"),
            ("bid 1 7 1500", "BID 1500 in auction 1 by 7"),
            ("subscribe 1", "SUBSCRIBE auction 1 from 0"),
            ("subscribe 1 99", "SUBSCRIBE auction 1 from 99"),
            ("join 1 ann", "JOIN the room of drop 1 for ann"),
            ("room 1", "ROOM of drop 1 from 0"),
            ("room 1 99", "ROOM of drop 1 from 99"),
            ("hello", "HELLO in version 1"),
            ("hello secret", "HELLO in version 1, with a token"),
            (
                "reserve 1 2 ann 000102030405060708090a0b0c0d0e0f",
                "RESERVE 2 of drop 1 for ann, key 000102030405060708090a0b0c0d0e0f",
            ),
        ] {
            let Ok(Line::Frame(request)) = Line::parse(line) else { panic!("no frame: {line}") };
            assert_eq!(request_text(&request.request().expect("it fits")), shown);
        }
        assert!(matches!(Line::parse("raw 01 0fff"), Ok(Line::Raw(bytes)) if bytes == [1, 15, 255]));
        assert!(matches!(Line::parse(" "), Ok(Line::Empty)) && matches!(Line::parse("quit"), Ok(Line::Quit)));
        let twice = [0, 1].map(|_| match Line::parse("reserve 1 1 ann") {
            Ok(Line::Frame(OwnedRequest::Reserve { key, .. })) => key,
            other => panic!("{other:?}"),
        });
        assert_ne!(twice[0], twice[1], "each order has a key of its own");
    }

    #[test]
    fn a_wrong_line_returns_the_correct_form() {
        for line in [
            "bid 1 7",
            "bid a 7 1",
            "reserve 1 256 ann",
            "reserve 1 1 ann 00",
            "raw 1",
            "raw zz",
            "sell",
            "hello a b",
            "join 1",
            "join a b",
            "room",
            "room 1 x",
        ] {
            let usage = Line::parse(line).expect_err(line);
            let verb = line.split(' ').next().unwrap_or("");
            assert!(usage.contains(verb) || verb == "sell", "{line}: {usage}");
        }
        let Ok(Line::Frame(long)) = Line::parse("ping 123456789") else { panic!("no frame") };
        assert!(long.request().is_none());
    }

    #[test]
    fn replies_become_text() {
        let result = BidResult { reason: 0, seq: 9, current: 1500, minimum_next: 1600, ends_at_ms: 1_795_251_600_007 };
        let update = Update { auction_id: 1, seq: 9, current: 1500, user_id: 7, ends_at_ms: 1_795_251_600_007 };
        let state = RoomState::Serving;
        let ticket =
            TicketReply { number: 9, position: Some(8), serving: 3, state: Some(state), ..TicketReply::default() };
        let room = RoomUpdate {
            drop_id: 1,
            seq: 2,
            state,
            paused: false,
            is_sold_for_good: false,
            tickets: 3,
            serving: 2,
            admitted: 1,
            available: 4,
            held: 5,
            rate: [Some(107), None, None],
            updated_at_ms: 1_795_251_600_007,
        };
        for (reply, shown) in [
            (
                Reply::Result(result),
                "RESULT accepted, event 9; current 1500, next at least 1600, until 2026-11-21T09:00:00.007Z",
            ),
            (Reply::Result(BidResult { reason: 7, ..BidResult::default() }), "RESULT no: not-found (7)"),
            (Reply::Reserved(Reserved { reason: 13, ..Reserved::default() }), "RESERVED no: sold-out (13)"),
            (Reply::Reserved(Reserved { reason: 99, ..Reserved::default() }), "RESERVED no: reason 99"),
            (Reply::Error { code: 22, message: "ending" }, "ERROR no: draining (22): ending"),
            (Reply::Update(update), "UPDATE auction 1, event 9: 1500 by 7, until 2026-11-21T09:00:00.007Z"),
            (Reply::Pong(Echo::new(b"a\n").expect("short")), "PONG a\\n"),
            (Reply::Ok { seq: 3 }, "OK event 3"),
            (Reply::Ticket(ticket), "TICKET 9, position 8, 5 ahead; serving"),
            (
                Reply::Ticket(TicketReply { serving: 9, at_ms: 1_795_251_600_007, paused: true, ..ticket }),
                "TICKET 9, position 8, admitted until 2026-11-21T09:00:00.007Z; serving, paused",
            ),
            (Reply::Ticket(TicketReply { serving: 9, ..ticket }), "TICKET 9, position 8, admitted before; serving"),
            (
                Reply::Ticket(TicketReply { position: None, digest: Some(TicketDigest([0xab; 16])), ..ticket }),
                "TICKET 9, not drawn yet; serving; digest abababababababababababababababab",
            ),
            (
                Reply::Ticket(TicketReply { reason: 32, at_ms: 1_795_251_600_007, ..TicketReply::default() }),
                "TICKET no: not-open (32); the room opens at 2026-11-21T09:00:00.007Z",
            ),
            (
                Reply::RoomState(room),
                "ROOM_STATE of drop 1, event 2: serving, 3 tickets, serving 2, 1 admitted, \
                4 available, 5 held, 1.07 admitted/s, at 2026-11-21T09:00:00.007Z",
            ),
            (
                Reply::RoomState(RoomUpdate { rate: [None; 3], paused: true, is_sold_for_good: true, ..room }),
                "ROOM_STATE of drop 1, event 2: serving, paused, 3 tickets, serving 2, 1 admitted, 4 available, 5 held, \
                every unit is sold, at 2026-11-21T09:00:00.007Z",
            ),
        ] {
            assert_eq!(reply_text(&reply), shown);
        }
    }
}
