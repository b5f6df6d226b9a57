//! `firstcome draw verify`: draws the tickets of a room again, and compares.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, value_parser};

use crate::api::json::draw::DrawTranscript;
use crate::client::http::{HttpClient, RequestError, block_on, printable};
use crate::engine::draw::{TicketProof, Transcript};
use crate::exit::{self, Exit};
use crate::output;
use crate::types::{Beacon, Commitment, DrawState, MerkleRoot, TicketDigest};

/// The longest file of a transcript, in bytes; a real one has 4 kB.
const TRANSCRIPT_BYTES_MAX: u64 = 64 << 10;

const EXAMPLES: &str = "Examples:
  firstcome draw verify --url https://shop.example.org --drop 7 --ticket 1234
  firstcome draw verify --transcript draw.json
  firstcome draw verify --transcript draw.json --commitment 630dcd… --digest 1195a9…    with what was noted before the draw

A transcript is the JSON of GET /v1/drops/{drop_id}/draw?ticket=N. The tickets are drawn again from the seed and the beacon in it: the seed must be the one that was committed to, the ticket must be under the root of all tickets, and every position must be the published one. A server that alters everything alike is found by what was noted before the draw: the commitment of before the opening, the digest that came with the ticket, the root of before the beacon, and the beacon at its source.

Exit codes: 0 verified; 1 the draw or a noted value differs, or there is no draw, or none yet; 64 wrong argument; 65 no transcript; 66 the file is missing; 69 the server is unreachable; 77 the file may not be read.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct DrawArgs {
    #[command(subcommand)]
    command: DrawCommand,
}

#[derive(Subcommand, Debug)]
enum DrawCommand {
    /// Draw the tickets of a room again from what the server published, and compare
    Verify(VerifyDrawArgs),
}

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
struct VerifyDrawArgs {
    /// File with the published draw as JSON
    #[arg(long, value_name = "FILE", required_unless_present = "url")]
    transcript: Option<PathBuf>,
    /// Public listener of a server, instead of a file
    #[arg(long, value_name = "URL", conflicts_with = "transcript", requires = "drop")]
    url: Option<String>,
    /// With --url: number of the drop
    #[arg(long, value_name = "N", requires = "url", value_parser = value_parser!(u32).range(1..))]
    drop: Option<u32>,
    /// With --url: number of the ticket whose position is verified
    #[arg(long, value_name = "N", requires = "url", value_parser = value_parser!(u32).range(1..))]
    ticket: Option<u32>,
    /// With https://: trust the authorities in this PEM file as well
    #[arg(long, value_name = "FILE", requires = "url")]
    ca: Option<PathBuf>,
    /// Commitment as it was published before the room opened
    #[arg(long, value_name = "HEX", value_parser = hex(Commitment::from_hex))]
    commitment: Option<Commitment>,
    /// Digest that came with the ticket
    #[arg(long, value_name = "HEX", value_parser = hex(TicketDigest::from_hex))]
    digest: Option<TicketDigest>,
    /// Root of the tickets as it was published before the beacon
    #[arg(long, value_name = "HEX", value_parser = hex(MerkleRoot::from_hex))]
    root: Option<MerkleRoot>,
    /// Beacon as its source tells it
    #[arg(long, value_name = "HEX", value_parser = hex(Beacon::from_hex))]
    beacon: Option<Beacon>,
}

/// Makes a parser of clap from one of hexadecimal digits.
fn hex<T>(
    parse: impl Fn(&str) -> Option<T> + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| parse(text).ok_or_else(|| "must be all of its lower-case hexadecimal digits".into())
}

/// Runs the subcommand.
///
/// # Errors
/// 1, 64, 65, 66, 69 or 77 and a line for each mistake.
pub fn run(args: &DrawArgs) -> Result<(), Exit> {
    match &args.command {
        DrawCommand::Verify(args) => verify(args),
    }
}

fn verify(args: &VerifyDrawArgs) -> Result<(), Exit> {
    let (source, published) = match (&args.transcript, &args.url) {
        (Some(file), _) => (file.display().to_string(), read_file(file)?),
        (None, Some(url)) => (url.clone(), fetch(args, url)?),
        (None, None) => return Err(Exit::usage("--transcript FILE or --url URL must be given")),
    };
    if published.state == DrawState::Cancelled.as_str() {
        let what = "the drop ended before its draw: nothing was drawn, and the seed stays secret";
        return Err(Exit::failed(format!("{source}: {what}")));
    }
    if published.seed.is_none() {
        return Err(Exit::failed(format!("{source}: the tickets are not drawn yet: there is no seed")));
    }
    let (transcript, proof) = published.read().map_err(|mistakes| {
        let lines: Vec<_> = mistakes.iter().map(|mistake| format!("{source}: {mistake}")).collect();
        Exit::bad_data(lines.join("\n"))
    })?;
    check_request(args, &published)?;
    let differing = differing_from_noted(args, &transcript, proof.as_ref());
    if !differing.is_empty() {
        return Err(Exit::failed(differing.join("\n")));
    }
    let drawn = transcript.check(proof.as_ref());
    drawn.map_err(|fault| Exit::failed(format!("{source}: rejected: {fault}")))?;
    tell(args, &published, &transcript, proof.as_ref());
    Ok(())
}

fn read_file(path: &Path) -> Result<DrawTranscript, Exit> {
    let name = path.display();
    let failed = |error: std::io::Error| {
        let code = if error.kind() == ErrorKind::NotFound {
            exit::MISSING
        } else if error.kind() == ErrorKind::PermissionDenied {
            exit::DENIED
        } else {
            exit::BAD_DATA
        };
        Exit::new(code, format!("{name}: {error}{}", exit::next_step(&error)))
    };
    let mut text = Vec::new();
    File::open(path).and_then(|file| file.take(TRANSCRIPT_BYTES_MAX + 1).read_to_end(&mut text)).map_err(failed)?;
    if text.len() as u64 > TRANSCRIPT_BYTES_MAX {
        return Err(Exit::bad_data(format!("{name}: has more than {TRANSCRIPT_BYTES_MAX} bytes: it is no transcript")));
    }
    serde_json::from_slice(&text).map_err(|error| Exit::bad_data(format!("{name}: is no transcript: {error}")))
}

fn fetch(args: &VerifyDrawArgs, url: &str) -> Result<DrawTranscript, Exit> {
    let client = HttpClient::new(url, "--url", args.ca.as_deref())?;
    let drop = args.drop.unwrap_or_default();
    let query = args.ticket.map_or_else(String::new, |ticket| format!("?ticket={ticket}"));
    let path = format!("/v1/drops/{drop}/draw{query}");
    let request = format!("GET {path}");
    block_on(async {
        let body = client.get_json(&path).await.map_err(|error| match error {
            RequestError::Status(404 | 409, problem) => Exit::failed(format!("{}: {request}: {problem}", client.url)),
            error @ (RequestError::NoResponse(_) | RequestError::Status(..) | RequestError::Invalid(_)) => {
                client.exit(&request, &error)
            }
        })?;
        let read = serde_json::from_value(body);
        read.map_err(|error| Exit::bad_data(format!("{}: {request}: is no transcript: {error}", client.url)))
    })
}

/// Requires that a server answered for the drop and the ticket that it was asked for.
fn check_request(args: &VerifyDrawArgs, published: &DrawTranscript) -> Result<(), Exit> {
    let number = published.ticket.as_ref().map(|ticket| ticket.number);
    if args.drop.is_some_and(|drop| drop != published.drop_id) {
        return Err(Exit::failed(format!("the server answered with the draw of drop {}", published.drop_id)));
    }
    match (args.ticket, number) {
        (Some(asked), Some(number)) if asked != number => {
            Err(Exit::failed(format!("the server answered with ticket {number} instead of {asked}")))
        }
        (Some(asked), None) => {
            Err(Exit::failed(format!("ticket {asked} has no proof: it was not drawn, or the server keeps it back")))
        }
        (None | Some(_), _) => Ok(()),
    }
}

/// Returns a line for each published value that differs from what was noted before.
fn differing_from_noted(args: &VerifyDrawArgs, transcript: &Transcript, proof: Option<&TicketProof>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut compare = |what: &str, noted: Option<String>, published: String| {
        if let Some(noted) = noted.filter(|noted| *noted != published) {
            lines.push(format!("rejected: the {what} is not the one that was noted: {published} instead of {noted}"));
        }
    };
    let words = |value: String, none: &str| if value.is_empty() { none.to_owned() } else { value };
    compare("commitment", args.commitment.map(|noted| noted.to_string()), transcript.commitment.to_string());
    compare("root", args.root.map(|noted| noted.to_string()), transcript.tickets.root().to_string());
    let beacon = args.beacon.as_ref().map(|noted| words(noted.to_string(), "none"));
    compare("beacon", beacon, words(transcript.beacon.to_string(), "none"));
    let digest = proof.map_or_else(|| "no ticket".to_owned(), |proof| proof.digest.to_string());
    compare("ticket's digest", args.digest.map(|noted| noted.to_string()), digest);
    lines
}

fn tell(args: &VerifyDrawArgs, published: &DrawTranscript, transcript: &Transcript, proof: Option<&TicketProof>) {
    let count = transcript.tickets.count();
    output::line(format!("drop {}: {count} tickets, root {}", published.drop_id, transcript.tickets.root()));
    output::line(format!("seed: its SHA-256 is the commitment {}", transcript.commitment));
    if transcript.beacon.as_bytes().is_empty() {
        output::line(if published.beacon_missed {
            "beacon: MISSED. The room required one and none came in time, so the seed alone decided: ask the shop why"
        } else {
            "beacon: none, as the room required none: the seed alone decides"
        });
    } else {
        let source = published.beacon_source.as_deref().unwrap_or("no source is named");
        output::line(format!("beacon: {} ({})", transcript.beacon, printable(source)));
    }
    if let Some(proof) = proof {
        output::line(format!(
            "ticket {}: among the tickets, at position {}: as many are before it",
            proof.number, proof.position
        ));
    }
    output::line(format!("verified: seed and beacon draw the published order, result {}", transcript.result));
    let noted = [
        ("--commitment", args.commitment.is_some()),
        ("--digest", args.digest.is_some() || proof.is_none()),
        ("--root", args.root.is_some()),
        ("--beacon", args.beacon.is_some() || transcript.beacon.as_bytes().is_empty()),
    ];
    let missing: Vec<_> = noted.iter().filter(|(_, is_compared)| !is_compared).map(|(flag, _)| *flag).collect();
    if !missing.is_empty() {
        output::line(format!("not compared with what was noted before the draw: {}", missing.join(", ")));
    }
}
