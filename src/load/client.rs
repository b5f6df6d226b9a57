//! A small HTTP/1.1 client for one server: one request at a time on a kept-alive connection.
//!
//! The load shares its cores with the server that it measures, so it does without a general client: requests are written
//! from a reused buffer, and only the parts of a response that the load needs are read. A response that is not plain
//! HTTP/1.1 within the limits below ends the connection with an error.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};

mod head;
pub(super) use head::{EntityTag, ResponseHead};
use head::{Framing, parse_head};

/// The longest time for opening a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The longest time for a response, after which the request is sent again with the same key: above the server's own limit
/// (2 s).
const REPLY_WITHIN: Duration = Duration::from_secs(5);
/// The largest head of a response: the server's are well below 1 KiB.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The largest body of a response: orders and drops are below 8 KiB.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Capacity for one whole response, so that one read takes it.
const INPUT_BYTES: usize = 16 * 1024;

/// A request without a response.
#[derive(Debug)]
pub(super) enum ExchangeError {
    /// No connection could be opened, so nothing was sent.
    NotConnected(io::Error),
    /// The connection broke while the request was under way.
    Lost,
    /// No response within the time limit.
    TimedOut,
    /// The response is not HTTP/1.1 within this client's limits.
    Invalid(&'static str),
}

impl std::fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExchangeError::NotConnected(error) => write!(f, "cannot connect: {error}"),
            ExchangeError::Lost => f.write_str("the connection broke"),
            ExchangeError::TimedOut => f.write_str("no answer in time"),
            ExchangeError::Invalid(what) => write!(f, "not an HTTP/1.1 response: {what}"),
        }
    }
}

/// A response: the needed parts of its head, and its body.
#[derive(Debug)]
pub(super) struct HttpReply<'a> {
    pub(super) head: ResponseHead,
    pub(super) body: &'a [u8],
}

/// A kept-alive connection.
pub(super) struct LoadConnection {
    /// The address of the server.
    pub(super) address: SocketAddr,
    stream: TcpStream,
    input: Vec<u8>,
    /// The joined body of a chunked response.
    joined: Vec<u8>,
    /// Fires at most once in [`REPLY_WITHIN`], so that a request costs no timer.
    watchdog: Pin<Box<Sleep>>,
    reusable: bool,
}

impl LoadConnection {
    /// Opens a connection.
    pub(super) async fn open(address: SocketAddr) -> Result<LoadConnection, ExchangeError> {
        let stream = match timeout(CONNECT_WITHIN, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(ExchangeError::NotConnected(error)),
            Err(_) => return Err(ExchangeError::NotConnected(io::ErrorKind::TimedOut.into())),
        };
        stream.set_nodelay(true).map_err(ExchangeError::NotConnected)?;
        Ok(LoadConnection {
            address,
            stream,
            input: Vec::with_capacity(INPUT_BYTES),
            joined: Vec::new(),
            watchdog: Box::pin(sleep(REPLY_WITHIN)),
            reusable: true,
        })
    }

    /// True if another request may be sent on this connection.
    pub(super) const fn is_reusable(&self) -> bool {
        self.reusable
    }

    /// True if the server has sent and closed nothing since the last response. Costs no system call in that case.
    pub(super) fn is_quiet(&self) -> bool {
        let read = self.stream.try_read(&mut [0; 1]);
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends a request and reads its response. After an error the connection must not be used again.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> Result<HttpReply<'_>, ExchangeError> {
        let started = Instant::now();
        self.reusable = false;
        let (head, body_at) = {
            let mut exchange = pin!(send_and_receive(&mut self.stream, &mut self.input, &mut self.joined, request));
            loop {
                tokio::select! {
                    biased;
                    answered = &mut exchange => break answered?,
                    () = self.watchdog.as_mut() => {
                        if started.elapsed() >= REPLY_WITHIN {
                            return Err(ExchangeError::TimedOut);
                        }
                        self.watchdog.as_mut().reset(started + REPLY_WITHIN);
                    }
                }
            }
        };
        self.reusable = !head.close;
        let body = match body_at {
            BodyLocation::Input { from, to } => &self.input[from..to],
            BodyLocation::Joined => &self.joined,
        };
        Ok(HttpReply { head, body })
    }
}

/// The location of a response's body.
enum BodyLocation {
    Input { from: usize, to: usize },
    Joined,
}

async fn send_and_receive(
    stream: &mut TcpStream,
    input: &mut Vec<u8>,
    joined: &mut Vec<u8>,
    request: &[u8],
) -> Result<(ResponseHead, BodyLocation), ExchangeError> {
    input.clear();
    stream.write_all(request).await.map_err(|_| ExchangeError::Lost)?;
    let (head, head_bytes) = read_head(stream, input).await?;
    match head.framing {
        Framing::Length(bytes) if bytes > BODY_BYTES_MAX => Err(ExchangeError::Invalid("the body is too large")),
        Framing::Length(bytes) => {
            let to = head_bytes + bytes;
            while input.len() < to {
                fill(stream, input).await?;
            }
            ends_here(input, to)?;
            Ok((head, BodyLocation::Input { from: head_bytes, to }))
        }
        Framing::Chunked => loop {
            if let Some(bytes) =
                head::join_chunks(&input[head_bytes..], joined, BODY_BYTES_MAX).map_err(ExchangeError::Invalid)?
            {
                ends_here(input, head_bytes + bytes)?;
                return Ok((head, BodyLocation::Joined));
            }
            if input.len() > head_bytes + BODY_BYTES_MAX {
                return Err(ExchangeError::Invalid("the body is too large"));
            }
            fill(stream, input).await?;
        },
        Framing::UntilClose => Err(ExchangeError::Invalid("neither Content-Length nor chunked")),
    }
}

/// Reads until the head of the final response is complete; interim responses (1xx) are skipped.
async fn read_head(stream: &mut TcpStream, input: &mut Vec<u8>) -> Result<(ResponseHead, usize), ExchangeError> {
    loop {
        fill(stream, input).await?;
        while let Some((head, bytes)) = parse_head(input).map_err(ExchangeError::Invalid)? {
            if !matches!(head.status, 100..=199) {
                return Ok((head, bytes));
            }
            input.drain(..bytes);
        }
        if input.len() > HEAD_BYTES_MAX {
            return Err(ExchangeError::Invalid("the head is too large"));
        }
    }
}

/// Reads the received bytes; the end of the stream is a lost connection.
async fn fill(stream: &mut TcpStream, input: &mut Vec<u8>) -> Result<(), ExchangeError> {
    if input.capacity() - input.len() < INPUT_BYTES / 4 {
        input.reserve(INPUT_BYTES);
    }
    match stream.read_buf(input).await {
        Ok(0) | Err(_) => Err(ExchangeError::Lost),
        Ok(_) => Ok(()),
    }
}

/// With one request at a time, nothing may follow its response.
fn ends_here(input: &[u8], end: usize) -> Result<(), ExchangeError> {
    if input.len() == end { Ok(()) } else { Err(ExchangeError::Invalid("more bytes than one response")) }
}

#[cfg(test)]
mod tests;
