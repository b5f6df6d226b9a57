//! `firstcome wire`: the binary protocol with a person, since nobody can read frames.

mod words;

use std::io::{BufRead, IsTerminal, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use clap::Args;

use super::{Exit, output};
use crate::wire::messages::Reply;
use words::{Line, said, sent};

const EXAMPLES: &str = "Examples:
  firstcome wire
  firstcome wire --to 127.0.0.1:8082
  printf 'ping\\nreserve 1 1 ann\\n' | firstcome wire

Lines, one frame each; what is sent and what comes is shown in words:
  reserve DROP QUANTITY BUYER [KEY]   order; KEY: 32 hex digits, else a new one
  bid AUCTION USER AMOUNT             bid, in minor units
  subscribe AUCTION [SEQ]             hear of an auction's changes
  hello [TOKEN]                       say who calls, where buyers have tokens
  ping [WORD]                         WORD: up to 8 bytes
  raw HEX                             these bytes, whatever they are
  quit

At the end of its input it waits for the answers. Without TLS. Exit code 64 if a line was none of these.";

/// `wire`'s flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct WireArgs {
    /// Where the binary protocol is spoken
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8082")]
    to: SocketAddr,
}

/// Talks until the input or the connection ends.
///
/// # Errors
/// If there is no server, or a line was no command.
pub fn run(args: &WireArgs) -> Result<(), Exit> {
    let to = args.to;
    let failed =
        |error: std::io::Error| Exit::new(69, format!("{to}: {error}; is the server running? --to says where"));
    let stream = TcpStream::connect(to).map_err(failed)?;
    let listening = stream.try_clone().map_err(failed)?;
    let listener = std::thread::spawn(move || listen(listening));
    let wrong = talk(&stream).map_err(failed)?;
    // The server answers what it has, then it closes its half.
    let _closed_already = stream.shutdown(Shutdown::Write);
    listener.join().map_err(|_| Exit::new(70, "the listener panicked"))?.map_err(failed)?;
    if wrong > 0 { Err(Exit::new(64, format!("{wrong} lines were no commands; --help shows them"))) } else { Ok(()) }
}

/// Sends a frame for each line; returns how many lines were none.
fn talk(mut stream: &TcpStream) -> std::io::Result<usize> {
    let stdin = std::io::stdin();
    let mut wrong = 0usize;
    if stdin.is_terminal() {
        output::note("reserve, bid, subscribe, hello, ping, raw, quit; --help explains them");
    }
    for line in stdin.lock().lines() {
        let line = line?;
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
                Some(_) | None => {
                    wrong = wrong.saturating_add(1);
                    output::note("too long for its frame");
                }
            },
            Err(usage) => {
                wrong = wrong.saturating_add(1);
                output::note(usage);
            }
        }
        // Who was cut off learns why from the listener.
        if stream.write_all(&bytes).is_err() {
            break;
        }
    }
    Ok(wrong)
}

/// Shows what comes, until the server closes the connection.
fn listen(mut stream: TcpStream) -> std::io::Result<()> {
    let (mut heard, mut piece) = (Vec::new(), [0u8; 4096]);
    loop {
        let count = match stream.read(&mut piece) {
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
