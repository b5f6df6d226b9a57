//! `firstcome wire`: sends commands typed as text over the wire protocol, and prints the replies as text.

mod text;

use std::cell::Cell;
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::client::http::block_on;
use crate::client::wire::WireClient;
use crate::exit::Exit;
use crate::output;
use crate::wire::messages::Reply;
use text::{Line, reply_text, request_text};

const EXAMPLES: &str = "Examples:
  firstcome wire
  firstcome wire --to tls://shop.example:8082
  firstcome wire --to tls://localhost:8082 --ca certificate.pem
  printf 'ping\\nreserve 1 1 ann\\n' | firstcome wire

Commands, one frame per line; frames sent and received are printed as text:
  reserve DROP QUANTITY BUYER [KEY]   order; KEY: 32 hex digits, by default new
  bid AUCTION USER AMOUNT             bid, in minor units
  subscribe AUCTION [SEQ]             receive the changes of an auction
  join DROP BUYER                     take a ticket of a drop's waiting room, or get the buyer's again
  room DROP [SEQ]                     receive the changes of a drop's waiting room
  hello [TOKEN]                       authenticate, if buyers have tokens
  ping [WORD]                         WORD: up to 8 bytes
  raw HEX                             send these bytes as they are
  quit

At the end of the input it waits for the outstanding replies.

Exit codes: 0 done; 64 a line was not a command; 69 the server is unreachable.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct WireArgs {
    /// Wire listener of the server: HOST:PORT, or tls://HOST:PORT under TLS
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8082")]
    to: String,
    /// With tls://…: trust the authorities in this PEM file as well
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// Lines that are read ahead of sending.
const LINES_WAITING: usize = 16;

/// Sends and prints until the input or the connection ends.
///
/// # Errors
/// 69: the server is unreachable; 64: a line was not a command.
pub fn run(args: &WireArgs) -> Result<(), Exit> {
    let client = WireClient::parse(&args.to, args.ca.as_deref(), true).map_err(Exit::usage)?;
    let unreachable = |error| {
        let hint = "is the server running? set its address with --to";
        Exit::unavailable(format!("{}: {error}; {hint}", client.authority))
    };
    let invalid = block_on(async { exchange(&client).await.map_err(unreachable) })?;
    if invalid > 0 { Err(Exit::usage(format!("{invalid} lines were not commands; see --help"))) } else { Ok(()) }
}

/// Sends and receives; returns the number of lines that were not commands.
async fn exchange(client: &WireClient) -> Result<usize, String> {
    let (reader, writer) = tokio::io::split(client.connect().await?);
    let invalid = Cell::new(0usize);
    let mut sending = std::pin::pin!(send_lines(writer, read_input(), &invalid));
    let mut receiving = std::pin::pin!(print_replies(reader));
    let received = tokio::select! {
        received = &mut receiving => received,
        // The server sends the outstanding replies, then closes its half.
        () = &mut sending => receiving.await,
    };
    received.map(|()| invalid.get()).map_err(|error| error.to_string())
}

/// Reads standard input on a thread of its own, which may block.
fn read_input() -> mpsc::Receiver<std::io::Result<String>> {
    let (sender, lines) = mpsc::channel(LINES_WAITING);
    std::thread::spawn(move || {
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            output::note("commands: reserve, bid, subscribe, join, room, hello, ping, raw, quit; see --help");
        }
        for line in stdin.lock().lines() {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Sends a frame per line, then closes the sending half. Counts the lines that are not commands.
async fn send_lines(
    mut stream: impl AsyncWrite + Unpin,
    mut lines: mpsc::Receiver<std::io::Result<String>>,
    invalid: &Cell<usize>,
) {
    let refuse = |usage: &str| {
        invalid.set(invalid.get().saturating_add(1));
        output::note(usage);
    };
    while let Some(Ok(line)) = lines.recv().await {
        let mut bytes = Vec::new();
        match Line::parse(&line) {
            Ok(Line::Empty) => {}
            Ok(Line::Quit) => break,
            Ok(Line::Raw(raw)) => {
                output::line(format!("-> {} bytes", raw.len()));
                bytes = raw;
            }
            Ok(Line::Frame(frame)) => match frame.request() {
                Some(request) if request.write(&mut bytes) => output::line(format!("-> {}", request_text(&request))),
                Some(_) | None => refuse("too long for its frame"),
            },
            Err(usage) => refuse(usage),
        }
        // The reason for a closed connection comes with the replies.
        if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
            break;
        }
    }
    let _closed_already = stream.shutdown().await;
}

/// Prints replies until the server closes the connection.
async fn print_replies(mut stream: impl AsyncRead + Unpin) -> std::io::Result<()> {
    let (mut received, mut piece) = (Vec::new(), [0u8; 4096]);
    loop {
        let count = match stream.read(&mut piece).await {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            read => read?,
        };
        received.extend_from_slice(piece.get(..count).unwrap_or_default());
        loop {
            let taken = match Reply::first(&received) {
                Ok(None) => break,
                Ok(Some((reply, taken))) => {
                    output::line(format!("<- {}", reply_text(&reply)));
                    taken
                }
                Err(malformed) => {
                    return Err(std::io::Error::other(format!("not a server of the wire protocol: {malformed}")));
                }
            };
            received.drain(..taken);
        }
    }
}
