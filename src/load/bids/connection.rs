//! A connection of the wire protocol with one request at a time.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::tokens::BidderIdentity;
use crate::client::wire::{WireClient, WireStream};
use crate::wire::messages::{BidResult, Echo, Reply, Request, Update, VERSION};

/// The longest wait for a reply: above the server's own limit.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A connection of a bidder, authenticated where the bidder has a token.
pub(super) struct BidConnection {
    pub(super) stream: Box<dyn WireStream>,
    /// Bytes that were received and not yet parsed.
    pub(super) received: Vec<u8>,
}

/// The replies that bidders and subscribers expect.
pub(super) enum BidReply {
    Result(BidResult),
    Update(Update),
    Ok,
    Pong,
}

impl BidConnection {
    /// Connects, and sends a first frame at once, since the first bid may come much later: HELLO if there is a token, else PING.
    pub(super) async fn open(wire: &WireClient, identity: BidderIdentity<'_>) -> Result<BidConnection, String> {
        let mut connection = BidConnection { stream: wire.connect().await?, received: Vec::new() };
        let first = match identity.token {
            Some(token) => Request::Hello { version: VERSION, token: token.as_bytes() },
            None => Request::Ping(Echo::default()),
        };
        connection.send_request(first).await?;
        match (identity.token, connection.receive().await?) {
            (Some(_), BidReply::Ok) | (None, BidReply::Pong) => Ok(connection),
            (_, BidReply::Ok | BidReply::Result(_) | BidReply::Update(_) | BidReply::Pong) => {
                Err("a reply of another type".into())
            }
        }
    }

    pub(super) async fn send_request(&mut self, request: Request<'_>) -> Result<(), String> {
        let mut out = Vec::new();
        if !request.write(&mut out) {
            return Err("it does not fit its frame".into());
        }
        self.send(&out).await
    }

    /// Sends encoded frames.
    pub(super) async fn send(&mut self, frames: &[u8]) -> Result<(), String> {
        self.stream.write_all(frames).await.map_err(|error| error.to_string())?;
        self.stream.flush().await.map_err(|error| error.to_string())
    }

    /// The next reply, within [`PATIENCE`].
    pub(super) async fn receive(&mut self) -> Result<BidReply, String> {
        tokio::time::timeout(PATIENCE, self.next()).await.unwrap_or_else(|_| Err("no answer".into()))
    }

    /// The next reply, without a time limit. Safe to cancel: no byte is lost.
    pub(super) async fn next(&mut self) -> Result<BidReply, String> {
        loop {
            if let Some((reply, taken)) = Reply::first(&self.received).map_err(|error| error.to_string())? {
                let said = match reply {
                    Reply::Result(result) => BidReply::Result(result),
                    Reply::Update(update) => BidReply::Update(update),
                    Reply::Ok { .. } => BidReply::Ok,
                    Reply::Pong(_) => BidReply::Pong,
                    Reply::Error { code, message } => return Err(format!("ERROR {code}: {message}")),
                    Reply::Reserved(_) | Reply::Ticket(_) | Reply::RoomState(_) => {
                        return Err("a reply of another type".into());
                    }
                };
                self.received.drain(..taken);
                return Ok(said);
            }
            let mut piece = [0u8; 512];
            let count = self.stream.read(&mut piece).await.map_err(|error| error.to_string())?;
            if count == 0 {
                return Err("the server closed the connection".into());
            }
            self.received.extend_from_slice(piece.get(..count).unwrap_or_default());
        }
    }
}
