//! A client that says exactly what a test wants, in frames or in bytes.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use firstcome::config::Config;
use firstcome::wire::messages::{BidResult, Echo, Reply, Request, Reserve, Reserved, RoomUpdate, TicketReply, Update};

use crate::http::{Server, serve_with, until};

/// Longer than any deadline of a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the server said, kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    Result(BidResult),
    Error(u8, String),
    Update(Update),
    Pong(Vec<u8>),
    Reserved(Reserved),
    Ok(u64),
    Ticket(TicketReply),
    Room(RoomUpdate),
}

impl Said {
    fn of(reply: Reply<'_>) -> Said {
        match reply {
            Reply::Result(result) => Said::Result(result),
            Reply::Error { code, message } => Said::Error(code, message.into()),
            Reply::Update(update) => Said::Update(update),
            Reply::Pong(echo) => Said::Pong(echo.as_bytes().into()),
            Reply::Reserved(reserved) => Said::Reserved(reserved),
            Reply::Ok { seq } => Said::Ok(seq),
            Reply::Ticket(ticket) => Said::Ticket(ticket),
            Reply::RoomState(room) => Said::Room(room),
        }
    }

    /// The order that was made.
    pub(crate) fn order(&self) -> Reserved {
        let Said::Reserved(reserved) = self else { panic!("no order: {self:?}") };
        assert_eq!(reserved.reason, 0, "no order: {self:?}");
        *reserved
    }

    /// Why an order was not made, or what is wrong.
    pub(crate) fn no(&self) -> u8 {
        match self {
            Said::Reserved(Reserved { reason, .. }) | Said::Result(BidResult { reason, .. }) => *reason,
            Said::Ticket(TicketReply { reason, .. }) => *reason,
            Said::Error(code, _) => *code,
            Said::Update(_) | Said::Pong(_) | Said::Ok(_) | Said::Room(_) => 0,
        }
    }
}

pub(crate) struct Peer<S = TcpStream> {
    pub(crate) stream: S,
    heard: Vec<u8>,
}

impl Peer {
    pub(crate) fn connect(server: &Server) -> Peer {
        let stream = TcpStream::connect(server.0.server.wire_address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.set_write_timeout(Some(PATIENCE)).expect("set");
        stream.set_nodelay(true).expect("set");
        Peer::over(stream)
    }

    /// The client has said all.
    pub(crate) fn close_its_half(&self) {
        self.stream.shutdown(Shutdown::Write).expect("shut");
    }
}

impl<S: Read + Write> Peer<S> {
    pub(crate) fn over(stream: S) -> Peer<S> {
        Peer { stream, heard: Vec::new() }
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub(crate) fn send(&mut self, requests: &[Request<'_>]) {
        self.send_bytes(&bytes(requests)).expect("sent");
    }

    /// The next answer; `None` when the server has closed the connection.
    pub(crate) fn hear(&mut self) -> Option<Said> {
        loop {
            if let Some((reply, taken)) = Reply::first(&self.heard).expect("a frame of the protocol") {
                let said = Said::of(reply);
                self.heard.drain(..taken);
                return Some(said);
            }
            let mut piece = [0u8; 4096];
            match self.stream.read(&mut piece) {
                Ok(0) => {
                    assert!(self.heard.is_empty(), "the last frame is not whole: {:?}", self.heard);
                    return None;
                }
                Ok(count) => self.heard.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("neither answered nor closed: {error}"),
            }
        }
    }

    /// The next answers, so many.
    pub(crate) fn hear_many(&mut self, count: usize) -> Vec<Said> {
        (0..count).map(|_| self.hear().expect("an answer")).collect()
    }

    /// All answers until the server closes the connection.
    pub(crate) fn hear_all(&mut self) -> Vec<Said> {
        std::iter::from_fn(|| self.hear()).collect()
    }

    pub(crate) fn ask(&mut self, request: Request<'_>) -> Said {
        self.send(&[request]);
        self.hear().expect("an answer")
    }
}

/// Requests as bytes.
pub(crate) fn bytes(requests: &[Request<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for request in requests {
        assert!(request.write(&mut out), "{request:?} does not fit its frame");
    }
    out
}

pub(crate) fn ping(word: &str) -> Request<'static> {
    Request::Ping(Echo::new(word.as_bytes()).expect("at most eight bytes"))
}

pub(crate) fn pong(word: &str) -> Said {
    Said::Pong(word.as_bytes().into())
}

/// An order of one unit of drop 1.
pub(crate) fn reserve(key: u8, buyer: &str) -> Request<'_> {
    Request::Reserve(Reserve { drop_id: 1, quantity: 1, key: [key; 16], buyer: buyer.as_bytes() })
}

/// A server with a drop of nine units, two for each buyer.
pub(crate) struct Site {
    pub(crate) server: Server,
    _scratch: tempfile::TempDir,
}

impl Site {
    pub(crate) fn open(change: impl FnOnce(&mut Config)) -> Site {
        Site::open_in(tempfile::tempdir().expect("scratch"), change)
    }

    pub(crate) fn open_in(scratch: tempfile::TempDir, change: impl FnOnce(&mut Config)) -> Site {
        let server = serve_with(scratch.path(), change);
        assert_eq!(server.create(9).status, 201);
        Site { server, _scratch: scratch }
    }

    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(&self.server)
    }

    /// Units of the drop that are held.
    pub(crate) fn held(&self) -> u64 {
        self.server.public("GET", "/v1/drops/1").body["held"].as_u64().expect("a number")
    }

    /// How many connections were closed for this cause.
    pub(crate) fn closed(&self, cause: &str) -> f64 {
        self.server.metric(&format!("firstcome_connections_closed_total{{cause=\"{cause}\"}}"))
    }

    /// Somebody else is served as ever, and nothing of the others is left.
    pub(crate) fn end(self) {
        let mut good = self.connect();
        assert_eq!(good.ask(ping("good")), pong("good"));
        drop(good);
        let open = || self.server.metric("firstcome_connections{listener=\"wire\"}");
        until("all places are given back", || open() == 0.0);
        self.server.stop();
    }
}
