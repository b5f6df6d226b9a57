//! `firstcome serve`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::leave;
use super::traces::Traces;
use crate::config::Config;
use crate::engine::{Command, CommandKey, DropSpec, Outcome, Subject};
use crate::exit::{self, Exit};
use crate::output;
use crate::server::{Running, start};
use crate::types::digest_key::KeyScope;
use crate::types::{Currency, DropId, UnitPrice, random};
use crate::writer::{Class, Submission, WriterHandle, WriterReply};

const EXAMPLES: &str = "Examples:
  firstcome serve --demo
  firstcome serve --data /var/lib/firstcome --public 0.0.0.0:8080
  FIRSTCOME__WRITER__DURABILITY=interval firstcome serve --config firstcome.toml
  FIRSTCOME__PUBLIC__TLS_CERTIFICATE=shop.crt FIRSTCOME__PUBLIC__TLS_KEY=shop.key firstcome serve

Flags win over the environment, the environment over the file. Every setting is in the README.";

/// `serve`'s flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ServeArgs {
    /// Make a drop to play with, unless one is live, and take play money
    #[arg(long)]
    demo: bool,
    /// The directory of the database; made if it is missing [default: ./firstcome-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Where buyers connect [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    public: Option<String>,
    /// Where operators connect [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Where the binary protocol is spoken [default: 127.0.0.1:8082]
    #[arg(long, value_name = "ADDR")]
    wire: Option<String>,
    /// What an acknowledged order survives: a power cut (full), or a crash (interval) [default: full]
    #[arg(long, value_name = "full|interval")]
    durability: Option<String>,
    /// Record every decided command in this file, for `firstcome replay`
    #[arg(long, value_name = "FILE")]
    capture: Option<String>,
    /// A TOML file with settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Start although the wall clock is far from the file's
    #[arg(long)]
    accept_clock: bool,
}

impl ServeArgs {
    /// The configuration that these flags, the environment and the file make.
    ///
    /// # Errors
    /// All mistakes, a line each; exit code 64.
    pub fn config(&self) -> Result<Config, Exit> {
        let mut flags = Vec::new();
        let mut flag = |key: &'static str, value: &Option<String>| {
            if let Some(value) = value {
                flags.push((key, value.clone()));
            }
        };
        flag("data", &self.data);
        flag("public.listen", &self.public);
        flag("admin.listen", &self.admin);
        flag("wire.listen", &self.wire);
        flag("writer.durability", &self.durability);
        flag("capture.file", &self.capture);
        if self.accept_clock {
            flags.push(("clock.accept", "true".into()));
        }
        if self.demo {
            // Play money for a drop to play with.
            flags.push(("payments.sandbox", "true".into()));
        }
        settings(self.config.as_deref(), &flags)
    }
}

/// The configuration that a file, the environment and flags make.
///
/// # Errors
/// All mistakes, a line each; exit code 64.
pub(super) fn settings(file: Option<&Path>, flags: &[(&'static str, String)]) -> Result<Config, Exit> {
    // A variable of ours that is not UTF-8 must be told as a mistake, not passed over.
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    Config::load(file, environment, flags).map_err(|mistakes| {
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        Exit::usage(lines.join("\n"))
    })
}

/// Runs the server until it is asked to end.
///
/// # Errors
/// One line per mistake, and the exit code.
pub fn run(args: ServeArgs) -> Result<(), Exit> {
    let config = args.config()?;
    let traces = Traces::begin(&config)?;
    let shown = config.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Exit::system(format!("no runtime for signals: {error}")))?;
    // A limit on file sizes must be a failed write, which is a fault with its code, and not a sudden end.
    let _heard = runtime.block_on(async { signal(SignalKind::from_raw(libc::SIGXFSZ)) }).map_err(no_signals)?;
    let running = start(config, |message, exit_code| {
        tracing::error!(exit_code, "the writer ended: {message}");
        // What was acknowledged is on the disk; whether a supervisor may start the process again is in the code.
        leave::at_once(exit_code);
    })?;
    let traces = traces.start(&running.telemetry)?;
    let demo = match running.found.newest_live {
        _ if !args.demo => None,
        Some(live) => Some(live),
        None => Some(make_demo_drop(&running.writer)?),
    };
    greet(&shown, &running, demo);
    let found = running.found;
    tracing::info!(
        public = %running.server.public_address,
        admin = %running.server.admin_address,
        wire = %running.server.wire_address,
        seq = found.seq,
        orders_live = found.orders_live,
        drops_live = found.drops_live,
        "serving"
    );
    runtime.block_on(wait_for_signal())?;
    if shown.log_json {
        // Standard error is the log's, whose lines are all JSON.
        tracing::info!("{ENDING}");
    } else {
        output::note(ENDING);
    }
    runtime.spawn(async {
        if wait_for_signal().await.is_ok() {
            // What was acknowledged is durable already.
            leave::at_once(exit::INTERRUPTED);
        }
    });
    let stopping = std::thread::spawn(move || {
        let ended = running.stop();
        traces.stop();
        ended
    });
    let ended = runtime.block_on(async {
        let finished = async {
            while !stopping.is_finished() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(STOP_WITHIN, finished).await
    });
    if ended.is_err() {
        tracing::error!(
            "the ordered end took longer than {} s and was cut; nothing acknowledged is lost",
            STOP_WITHIN.as_secs()
        );
        leave::at_once(exit::BUG);
    }
    let ended = stopping.join().map_err(|_| Exit::bug("the end itself panicked"))?;
    tracing::info!(orderly = ended.is_ok(), "ended");
    ended
}

fn no_signals(error: std::io::Error) -> Exit {
    Exit::system(format!("signals cannot be heard: {error}"))
}

async fn wait_for_signal() -> Result<(), Exit> {
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

const ENDING: &str = "ending: nothing more is accepted; what was is being committed (again to end at once)";

/// How long an ordered end may take: connections get 5 s of it, the rest is the last commit and checkpoint. A
/// supervisor's own limit (20 s in scripts/firstcome.service) must be longer.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// Units of the demo drop: what the README's rush asks for by default.
const DEMO_UNITS: u32 = 10_000;

fn make_demo_drop(writer: &WriterHandle) -> Result<DropId, Exit> {
    let failed = || Exit::bug("the demo drop could not be made");
    let mut key = [0u8; 16];
    random::fill(&mut key);
    let digests = &writer.digest_key;
    let spec = DropSpec {
        sku: "DEMO-1".into(),
        name: "Demo sneaker, limited".into(),
        description: Some("Made by firstcome serve --demo.".into()),
        image_url: None,
        currency: Currency::new("EUR").ok_or_else(failed)?,
        unit_price: UnitPrice::new(14_900).ok_or_else(failed)?,
        total: DEMO_UNITS,
        starts_at: writer.clock.now(),
        ends_at: None,
        per_buyer_limit: 2,
        reservation_seconds: 120,
        payment_seconds: 900,
    };
    let key =
        CommandKey { digest: digests.command_key(KeyScope::CreateDrop, "demo", &key), params: digests.params(b"demo") };
    let command = Command::CreateDrop { key, spec: Box::new(spec) };
    let ticket = writer.submit(Submission { command, beside: None, class: Class::Operator }).map_err(|_| failed())?;
    match ticket.wait() {
        WriterReply::Decided(decided) => match decided.outcome {
            Outcome::Accepted { subject: Subject::Drop(id), .. } => Ok(id),
            Outcome::Accepted { .. }
            | Outcome::Reserved(_)
            | Outcome::Heard { .. }
            | Outcome::Bid(_)
            | Outcome::Repeated { .. }
            | Outcome::Refused { .. }
            | Outcome::Advanced => Err(failed()),
        },
        WriterReply::TooOld | WriterReply::NotApplied(_) | WriterReply::Unknown => Err(failed()),
    }
}

/// What a person at the terminal needs next.
fn greet(config: &Config, running: &Running, demo: Option<DropId>) {
    let public = format!("{}://{}", Config::scheme(&config.public_tls), running.server.public_address);
    let admin = format!("{}://{}", Config::scheme(&config.admin_tls), running.server.admin_address);
    output::line(format!("firstcome {} sells from {}", env!("CARGO_PKG_VERSION"), config.data.display()));
    output::line(format!("  buyers     {public}/v1/drops"));
    output::line(format!("  operators  {admin}/metrics"));
    let transport = if config.wire_tls.is_some() { "tls" } else { "tcp" };
    output::line(format!("  frames     {transport}://{}", running.server.wire_address));
    let durability = if config.durability_full { "full (every answer is on the disk)" } else { "interval" };
    output::line(format!(
        "  durability {durability}; {} events, {} live orders in the file",
        running.found.seq, running.found.orders_live
    ));
    if let Some(id) = demo {
        output::line(format!("  demo drop  {id}, live now: {public}/v1/drops/{id}"));
        output::line("");
        output::line(format!("click through a sale with play money: {public}/"));
        output::line("order one:");
        output::line(format!(
            "  curl -s {public}/v1/drops/{id}/orders -H 'Content-Type: application/json' -H 'Idempotency-Key: '$RANDOM \\"
        ));
        output::line("    -d '{\"buyer\":\"ann\",\"quantity\":1}'");
        output::line("storm it, in a second terminal:");
        output::line(format!("  cargo run --release -- rush --public {public} --admin {admin}"));
        let data = config.data.display();
        output::line(format!("Ctrl-C ends it; then: cargo run --release -- verify --data {data}"));
    }
}
