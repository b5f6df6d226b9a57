//! One connection, one question after the other.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::tokens::BidderIdentity;
use crate::client::wire::{WireClient, WireStream};
use crate::wire::messages::{BidResult, Echo, Reply, Request, Update, VERSION};

/// Longer than the server lets anybody wait.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A connection of somebody, who has said who he is where that is wanted.
pub(super) struct BidConnection {
    pub(super) stream: Box<dyn WireStream>,
    /// What came and was not looked at.
    pub(super) heard: Vec<u8>,
}

/// What matters of an answer.
pub(super) enum BidReply {
    Result(BidResult),
    Update(Update),
    Ok,
    Pong,
}

impl BidConnection {
    /// Connects, and says its first frame at once, for a bid may be long in coming: HELLO if there is a token, else PING.
    pub(super) async fn open(wire: &WireClient, identity: BidderIdentity<'_>) -> Result<BidConnection, String> {
        let mut talk = BidConnection { stream: wire.connect().await?, heard: Vec::new() };
        let first = match identity.token {
            Some(token) => Request::Hello { version: VERSION, token: token.as_bytes() },
            None => Request::Ping(Echo::default()),
        };
        talk.say(first).await?;
        match (identity.token, talk.hear().await?) {
            (Some(_), BidReply::Ok) | (None, BidReply::Pong) => Ok(talk),
            (_, BidReply::Ok | BidReply::Result(_) | BidReply::Update(_) | BidReply::Pong) => {
                Err("an answer to something else".into())
            }
        }
    }

    /// Sends a request.
    pub(super) async fn say(&mut self, request: Request<'_>) -> Result<(), String> {
        let mut out = Vec::new();
        if !request.write(&mut out) {
            return Err("it does not fit its frame".into());
        }
        self.send(&out).await
    }

    /// Sends frames.
    pub(super) async fn send(&mut self, frames: &[u8]) -> Result<(), String> {
        self.stream.write_all(frames).await.map_err(|error| error.to_string())?;
        self.stream.flush().await.map_err(|error| error.to_string())
    }

    /// The next answer, if it comes in time.
    pub(super) async fn hear(&mut self) -> Result<BidReply, String> {
        tokio::time::timeout(PATIENCE, self.next()).await.unwrap_or_else(|_| Err("no answer".into()))
    }

    /// The next answer, whenever it comes. Nothing is lost if it is not waited for to the end.
    pub(super) async fn next(&mut self) -> Result<BidReply, String> {
        loop {
            if let Some((reply, taken)) = Reply::first(&self.heard).map_err(|error| error.to_string())? {
                let said = match reply {
                    Reply::Result(result) => BidReply::Result(result),
                    Reply::Update(update) => BidReply::Update(update),
                    Reply::Ok { .. } => BidReply::Ok,
                    Reply::Pong(_) => BidReply::Pong,
                    Reply::Error { code, message } => return Err(format!("ERROR {code}: {message}")),
                    Reply::Reserved(_) => return Err("an answer to something else".into()),
                };
                self.heard.drain(..taken);
                return Ok(said);
            }
            let mut piece = [0u8; 512];
            let count = self.stream.read(&mut piece).await.map_err(|error| error.to_string())?;
            if count == 0 {
                return Err("the server closed the connection".into());
            }
            self.heard.extend_from_slice(piece.get(..count).unwrap_or_default());
        }
    }
}
