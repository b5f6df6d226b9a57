//! `firstcome wire`: the binary protocol with a person, since nobody can read frames.

mod words;

use std::cell::Cell;
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::client::wire::WireClient;
use crate::exit::Exit;
use crate::output;
use crate::wire::messages::Reply;
use words::{Line, said, sent};

const EXAMPLES: &str = "Examples:
  firstcome wire
  firstcome wire --to tls://shop.example:8082
  firstcome wire --to tls://localhost:8082 --ca certificate.pem
  printf 'ping\\nreserve 1 1 ann\\n' | firstcome wire

Lines, one frame each; what is sent and what comes is shown in words:
  reserve DROP QUANTITY BUYER [KEY]   order; KEY: 32 hex digits, else a new one
  bid AUCTION USER AMOUNT             bid, in minor units
  subscribe AUCTION [SEQ]             hear of an auction's changes
  hello [TOKEN]                       say who calls, where buyers have tokens
  ping [WORD]                         WORD: up to 8 bytes
  raw HEX                             these bytes, whatever they are
  quit

At the end of its input it waits for the answers. Exit code 64 if a line was none of these.";

/// `wire`'s flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct WireArgs {
    /// Where the binary protocol is spoken; tls://HOST:PORT where it is under TLS
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8082")]
    to: String,
    /// With tls://…: trust this authority too, a certificate in PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// Lines that wait for their frame to be sent.
const LINES_WAITING: usize = 16;

/// Talks until the input or the connection ends.
///
/// # Errors
/// If there is no server, or a line was no command.
pub fn run(args: &WireArgs) -> Result<(), Exit> {
    let client = WireClient::parse(&args.to, args.ca.as_deref(), true).map_err(|mistake| Exit::usage(mistake))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Exit::system(format!("no runtime: {error}")))?;
    let wrong = runtime.block_on(converse(&client)).map_err(|error| {
        Exit::unavailable(format!("{}: {error}; is the server running? --to says where", client.authority))
    })?;
    if wrong > 0 { Err(Exit::usage(format!("{wrong} lines were no commands; --help shows them"))) } else { Ok(()) }
}

/// Talks and listens; returns how many lines were no commands.
async fn converse(client: &WireClient) -> Result<usize, String> {
    let (reader, writer) = tokio::io::split(client.connect().await?);
    let wrong = Cell::new(0usize);
    let (mut talking, mut listening) = (std::pin::pin!(talk(writer, typed(), &wrong)), std::pin::pin!(listen(reader)));
    let heard = tokio::select! {
        heard = &mut listening => heard,
        // The server answers what it has, then it closes its half.
        () = &mut talking => listening.await,
    };
    heard.map(|()| wrong.get()).map_err(|error| error.to_string())
}

/// What a person types, line by line, from a thread that may block.
fn typed() -> mpsc::Receiver<std::io::Result<String>> {
    let (sender, lines) = mpsc::channel(LINES_WAITING);
    std::thread::spawn(move || {
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            output::note("reserve, bid, subscribe, hello, ping, raw, quit; --help explains them");
        }
        for line in stdin.lock().lines() {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Sends a frame for each line, then closes our half; counts the lines that were none.
async fn talk(
    mut stream: impl AsyncWrite + Unpin,
    mut lines: mpsc::Receiver<std::io::Result<String>>,
    wrong: &Cell<usize>,
) {
    let refuse = |why: &str| {
        wrong.set(wrong.get().saturating_add(1));
        output::note(why);
    };
    while let Some(Ok(line)) = lines.recv().await {
        let mut bytes = Vec::new();
        match Line::parse(&line) {
            Ok(Line::Nothing) => {}
            Ok(Line::Quit) => break,
            Ok(Line::Raw(raw)) => {
                output::line(format!("-> {} bytes", raw.len()));
                bytes = raw;
            }
            Ok(Line::Frame(frame)) => match frame.request() {
                Some(request) if request.write(&mut bytes) => output::line(format!("-> {}", sent(&request))),
                Some(_) | None => refuse("too long for its frame"),
            },
            Err(usage) => refuse(usage),
        }
        // Who was cut off learns why from what he hears.
        if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
            break;
        }
    }
    let _closed_already = stream.shutdown().await;
}

/// Shows what comes, until the server closes the connection.
async fn listen(mut stream: impl AsyncRead + Unpin) -> std::io::Result<()> {
    let (mut heard, mut piece) = (Vec::new(), [0u8; 4096]);
    loop {
        let count = match stream.read(&mut piece).await {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            read => read?,
        };
        heard.extend_from_slice(piece.get(..count).unwrap_or_default());
        loop {
            let taken = match Reply::first(&heard) {
                Ok(None) => break,
                Ok(Some((reply, taken))) => {
                    output::line(format!("<- {}", said(&reply)));
                    taken
                }
                Err(malformed) => {
                    return Err(std::io::Error::other(format!("no server of this protocol: {malformed}")));
                }
            };
            heard.drain(..taken);
        }
    }
}
