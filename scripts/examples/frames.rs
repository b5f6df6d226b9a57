//! A complete client of the wire protocol that needs only the standard library: it orders one unit for each of a number of
//! buyers, all at once on one connection, and counts the replies. src/wire/PROTOCOL.md describes every byte.
//!
//!   cargo run --release --example frames -- [ADDRESS [DROP [BUYERS [TOKEN]]]]

#![allow(clippy::print_stdout, reason = "the results are printed")]

use std::error::Error;
use std::io::{BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

const ERROR: u8 = 0x03;
const HELLO: u8 = 0x05;
const RESERVE: u8 = 0x09;
const RESERVED: u8 = 0x0a;
const OK: u8 = 0x0b;
const SOLD_OUT: u8 = 13;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, default: &str| arguments.get(index).cloned().unwrap_or_else(|| default.into());
    let drop_id: u32 = argument(1, "1").parse()?;
    let buyers: u32 = argument(2, "1000").parse()?;
    let stream = TcpStream::connect(argument(0, "127.0.0.1:8082"))?;
    stream.set_nodelay(true)?;

    let mut replies = BufReader::new(stream.try_clone()?);
    let mut frames = BufWriter::new(stream);
    frames.write_all(&frame(HELLO, &[&[1], argument(3, "").as_bytes()])?)?;
    frames.flush()?;
    match receive(&mut replies)? {
        (OK, _) => {}
        (kind, payload) => return Err(format!("no OK: {kind:#04x} {payload:?}").into()),
    }

    let began = Instant::now();
    // A thread writes while this one reads: the server stops reading from clients that do not read its replies.
    let writer = std::thread::spawn(move || -> std::io::Result<()> {
        for number in 0..buyers {
            let buyer = format!("frames-{number}");
            // The same key in each run: a second run gets the orders of the first one again.
            let key = u128::from(number).to_be_bytes();
            frames.write_all(&frame(RESERVE, &[&drop_id.to_be_bytes(), &[1], &key, buyer.as_bytes()])?)?;
        }
        frames.flush()
    });
    let (mut reserved, mut sold_out, mut other) = (0u32, 0u32, 0u32);
    for _ in 0..buyers {
        let (kind, payload) = receive(&mut replies)?;
        match (kind, payload.first(), payload.get(1)) {
            (RESERVED, Some(1), _) => reserved += 1,
            (RESERVED, Some(0), Some(&SOLD_OUT)) => sold_out += 1,
            (RESERVED, Some(0), Some(_)) => other += 1,
            (ERROR, ..) => return Err(String::from_utf8_lossy(&payload).into_owned().into()),
            _ => return Err(format!("no reply to an order: {kind:#04x}").into()),
        }
    }
    writer.join().map_err(|_| "the writing thread panicked")??;
    println!("{reserved} reserved, {sold_out} sold out, {other} other, in {:.1?}", began.elapsed());
    Ok(())
}

/// A frame: type, length, payload.
fn frame(kind: u8, fields: &[&[u8]]) -> std::io::Result<Vec<u8>> {
    let payload = fields.concat();
    let length = u8::try_from(payload.len()).map_err(std::io::Error::other)?;
    Ok([&[kind, length], payload.as_slice()].concat())
}

/// The next frame: its type and its payload.
fn receive(stream: &mut impl Read) -> std::io::Result<(u8, Vec<u8>)> {
    let mut head = [0u8; 2];
    stream.read_exact(&mut head)?;
    let mut payload = vec![0u8; usize::from(head[1])];
    stream.read_exact(&mut payload)?;
    Ok((head[0], payload))
}
