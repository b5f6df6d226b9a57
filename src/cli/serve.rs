//! `firstcome serve`: runs the server, and shuts it down at a signal.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Args;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::service_manager;
use super::signals::HarmlessSignals;
use crate::config::{Config, all_settings, example};
use crate::engine::{Command, CommandKey, CreateDrop, DropCommand, DropSpec, Effect, Outcome, Subject};
use crate::exit::{self, Exit, exit_now};
use crate::otlp::{RunningExport, TraceExport};
use crate::output;
use crate::server::{RunningServer, mistakes_of_files, start};
use crate::store::open::DATABASE_FILE;
use crate::store::start_check::check_database;
use crate::telemetry::logging;
use crate::types::digest_key::KeyScope;
use crate::types::version::{REVISION, VERSION};
use crate::types::{ChallengeRule, Currency, DropId, IdentityLimits, Provider, UnitPrice, random};
use crate::writer::{Class, Submission, WriterHandle, WriterReply};

const EXAMPLES: &str = "Examples:
  firstcome serve --demo
  firstcome serve --data /var/lib/firstcome --public 0.0.0.0:8080 --public-url https://shop.example
  firstcome serve --print-config > firstcome.toml
  firstcome serve --check --config firstcome.toml
  FIRSTCOME__WRITER__DURABILITY=interval firstcome serve --config firstcome.toml
  FIRSTCOME__PUBLIC__TLS_CERTIFICATE=shop.crt FIRSTCOME__PUBLIC__TLS_KEY=shop.key firstcome serve

Flags override environment variables, which override the file. src/config/README.md lists all settings.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ServeArgs {
    /// Accept play money, and create a demo drop unless a drop is live
    #[arg(long)]
    demo: bool,
    /// Directory of the database, created if missing [default: ./firstcome-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Address of the public listener, for buyers [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    public: Option<String>,
    /// URL at which buyers reach the server; required if --public is every address [default: that of --public]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Address of the admin listener, for operators [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Address of the listener of the wire protocol [default: 127.0.0.1:8082]
    #[arg(long, value_name = "ADDR")]
    wire: Option<String>,
    /// Durability of acknowledged orders: they survive a power loss (full) or a crash (interval) [default: full]
    #[arg(long, value_name = "full|interval")]
    durability: Option<String>,
    /// Record every decided command in this file, for `firstcome replay`
    #[arg(long, value_name = "FILE")]
    capture: Option<String>,
    /// TOML file with settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Be a node of the cluster that this TOML file describes (src/log/README.md)
    #[arg(long, value_name = "FILE")]
    cluster: Option<String>,
    /// Start although the wall clock is far from the file's last instant
    #[arg(long)]
    accept_clock: bool,
    /// Tell whether the server would start with these settings, their files and this database, and end
    #[arg(long)]
    check: bool,
    /// Print a TOML file with every setting, its meaning and its default, and end
    #[arg(long, exclusive = true)]
    print_config: bool,
}

impl ServeArgs {
    /// Merges these flags, the environment and the file.
    ///
    /// # Errors
    /// 64: all mistakes, one line each.
    pub fn config(&self) -> Result<Config, Exit> {
        let mut flags = Vec::new();
        let mut flag = |key: &'static str, value: &Option<String>| {
            if let Some(value) = value {
                flags.push((key, value.clone()));
            }
        };
        flag("data", &self.data);
        flag("public.listen", &self.public);
        flag("public_url", &self.public_url);
        flag("admin.listen", &self.admin);
        flag("wire.listen", &self.wire);
        flag("writer.durability", &self.durability);
        flag("capture.file", &self.capture);
        flag("cluster.file", &self.cluster);
        if self.accept_clock {
            flags.push(("clock.accept", "true".into()));
        }
        if self.demo {
            flags.push(("payments.sandbox", "true".into()));
            flags.push(("storefront.enabled", "true".into()));
        }
        load_config(self.config.as_deref(), &flags)
    }
}

/// Merges a file, the environment and flags.
///
/// # Errors
/// 64: all mistakes, one line each.
pub(super) fn load_config(file: Option<&Path>, flags: &[(&'static str, String)]) -> Result<Config, Exit> {
    // A variable of ours that is not UTF-8 must be reported, not ignored.
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    let (config, mistakes) = Config::load_as_far_as_possible(file, environment, flags);
    if mistakes.is_empty() {
        return Ok(config);
    }
    // With those of the files that the settings name, so that one start shows all mistakes.
    let mut lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    let told = lines.join("\n");
    let is_told = |line: &String| {
        let key = line.split([' ', ':']).next().unwrap_or("");
        all_settings().any(|setting| setting.key == key) && told.contains(key)
    };
    lines.extend(mistakes_of_files(&config).into_iter().filter(|line| !is_told(line)));
    Err(Exit::usage(lines.join("\n")))
}

/// Runs the server until SIGTERM, SIGINT or SIGQUIT.
///
/// # Errors
/// One line per mistake, and the exit code.
pub fn run(args: ServeArgs) -> Result<(), Exit> {
    if args.print_config {
        output::line(example().trim_end());
        return Ok(());
    }
    let config = args.config()?;
    if args.check {
        return check(&config);
    }
    let traces = TraceExport::init(&config)?;
    let shown = config.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Exit::system(format!("no runtime for signals: {error}")))?;
    // With a handler, exceeding the limit on file sizes is a failed write with its exit code instead of a killed process.
    let _handler = runtime.block_on(async { signal(SignalKind::from_raw(libc::SIGXFSZ)) }).map_err(no_signals)?;
    // Before the start: their default is to end the process at once.
    let signals = runtime.block_on(async { HarmlessSignals::listen() }).map_err(no_signals)?;
    let serving = Arc::new(OnceLock::new());
    let args = Arc::new(args);
    signals.handle_on(&runtime, Arc::clone(&args), Arc::clone(&serving));
    let running = start(config, |message, exit_code| {
        tracing::error!(exit_code, "the writer ended: {message}");
        // Acknowledged orders are on the disk. The exit code says whether a supervisor may restart the process.
        logging::flush();
        exit_now(exit_code);
    })?;
    let _first = serving.set(Arc::clone(&running.server.admission));
    let traces = traces.start(&running.telemetry)?;
    let mut found = running.found;
    let demo = match found.newest_live {
        _ if !args.demo => None,
        Some(live) => Some(live),
        None => {
            let made = make_demo_drop(&running.writer, shown.payments.provider)?;
            found.drops_live = found.drops_live.saturating_add(1);
            Some(made)
        }
    };
    let mut end = runtime.block_on(async { EndSignals::listen() }).map_err(no_signals)?;
    // Programs read standard output then: it has lines of the access log only. The line below has the addresses, too.
    if !(shown.log_json && shown.access_log.one_in > 0) {
        print_addresses(&shown, &running, demo);
    }
    tracing::info!(
        version = VERSION,
        revision = REVISION,
        public = %running.server.public_address,
        admin = %running.server.admin_address,
        wire = %running.server.wire_address,
        seq = found.seq,
        orders_live = found.orders_live,
        drops_live = found.drops_live,
        "serving"
    );
    service_manager::ready();
    runtime.block_on(end.wait());
    service_manager::stopping();
    if shown.log_json {
        // Standard error has the lines of the log only, all of them JSON.
        tracing::info!("{SHUTTING_DOWN}");
    } else {
        logging::line(SHUTTING_DOWN);
    }
    let writer = running.writer.clone();
    runtime.spawn(async move {
        end.wait().await;
        if writer.has_the_only_copy() {
            tracing::error!("{STILL_RESCUING}");
            end.wait().await;
        }
        // Acknowledged orders are durable already, unless a third signal gives them up.
        logging::flush();
        exit_now(exit::INTERRUPTED);
    });
    let ended = shut_down(&runtime, running, traces)?;
    tracing::info!(orderly = ended.is_ok(), "ended");
    logging::flush();
    ended
}

/// Tells whether a server would start: it takes no lock and no port, so that it can be asked beside a running server.
fn check(config: &Config) -> Result<(), Exit> {
    let mistakes = mistakes_of_files(config);
    if !mistakes.is_empty() {
        return Err(Exit::usage(mistakes.join("\n")));
    }
    let file = config.data.join(DATABASE_FILE);
    let found = check_database(&config.data).map_err(|error| Exit::new(error.exit_code(), error.told(&file)))?;
    let database = match found {
        Some(seq) => format!("the database {} is this version's, up to event {seq}", file.display()),
        None => format!("there is no database {} yet, the start makes it", file.display()),
    };
    output::line(format!("would start: the settings and the files that they name are in order; {database}"));
    Ok(())
}

/// Stops the server on a thread of its own, because a second signal must be handled meanwhile.
fn shut_down(runtime: &Runtime, running: RunningServer, traces: RunningExport) -> Result<Result<(), Exit>, Exit> {
    let writer = running.writer.clone();
    let stopping = std::thread::spawn(move || {
        let ended = running.stop();
        traces.stop();
        ended
    });
    let in_time = || {
        runtime.block_on(async {
            let finished = async {
                while !stopping.is_finished() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(STOP_WITHIN, finished).await.is_ok()
        })
    };
    while !in_time() {
        let limit = STOP_WITHIN.as_secs();
        if !writer.has_the_only_copy() {
            tracing::error!("shutdown took longer than {limit} s and was cut off; acknowledged orders are kept");
            logging::flush();
            exit_now(exit::BUG);
        }
        // A rescue of lost files takes as long as it takes: without it what was acknowledged is gone.
        tracing::error!("shutdown goes on beyond {limit} s: {STILL_RESCUING}");
    }
    stopping.join().map_err(|_| Exit::bug("the shutdown panicked"))
}

fn no_signals(error: std::io::Error) -> Exit {
    Exit::system(format!("no signal handler: {error}"))
}

/// Signals that end the server.
struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl EndSignals {
    fn listen() -> std::io::Result<EndSignals> {
        Ok(EndSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Waits for the next of them.
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.quit.recv() => {}
        }
    }
}

const STILL_RESCUING: &str = "not ended: files of the data directory are lost, and what was acknowledged is in the open files of \
    this process only, until it is copied out (send the signal a third time to give it up and end now)";

const SHUTTING_DOWN: &str = "shutting down: committing accepted requests (send the signal again to exit now)";

/// Limit for an orderly shutdown: up to 5 s for connections, the rest for the last commit and checkpoint. The limit of a
/// supervisor (15 min in scripts/firstcome.service) must be longer, because a rescue of lost files may take longer.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// Units of the demo drop, as many as `rush` has by default.
const DEMO_UNITS: u32 = 10_000;

fn make_demo_drop(writer: &WriterHandle, provider: Option<Provider>) -> Result<DropId, Exit> {
    let failed = || Exit::bug("the demo drop could not be created");
    let mut key = [0u8; 16];
    random::fill(&mut key);
    let digests = &writer.digest_key;
    // The payment provider must take it.
    let (currency, price) = if provider == Some(Provider::Payos) { ("VND", 149_000) } else { ("EUR", 14_900) };
    let spec = DropSpec {
        sku: "DEMO-1".into(),
        name: "Demo sneaker, limited".into(),
        description: Some("Made by firstcome serve --demo.".into()),
        image_url: None,
        currency: Currency::new(currency).ok_or_else(failed)?,
        unit_price: UnitPrice::new(price).ok_or_else(failed)?,
        total: DEMO_UNITS,
        starts_at: writer.clock.now(),
        ends_at: None,
        per_buyer_limit: 2,
        reservation_seconds: 120,
        payment_seconds: 900,
        identity_limits: IdentityLimits::default(),
        challenge: ChallengeRule::default(),
        room: None,
        commitment: None,
        blind_ms: 0,
    };
    let key =
        CommandKey { digest: digests.command_key(KeyScope::CreateDrop, "demo", &key), params: digests.params(b"demo") };
    let command = Command::Drop(DropCommand::Create(CreateDrop { key, spec: Box::new(spec) }));
    let ticket =
        writer.submit(Submission { command, private_data: None, class: Class::Operator }).map_err(|_| failed())?;
    match ticket.wait() {
        WriterReply::Decided(decided) => match decided.outcome {
            Outcome::Accepted(Effect::Changed { subject: Subject::Drop(id), .. }) => Ok(id),
            Outcome::Accepted(_) | Outcome::Repeated { .. } | Outcome::Refused { .. } | Outcome::Advanced => {
                Err(failed())
            }
        },
        WriterReply::TooOld | WriterReply::NotApplied(_) | WriterReply::Unknown => Err(failed()),
    }
}

/// Prints the addresses, and with a demo drop the commands to try.
fn print_addresses(config: &Config, running: &RunningServer, demo: Option<DropId>) {
    let public = format!("{}://{}", Config::scheme(&config.public_tls), running.server.public_address);
    let admin = format!("{}://{}", Config::scheme(&config.admin_tls), running.server.admin_address);
    output::line(format!("firstcome {} serves {}", VERSION, config.data.display()));
    let shop = if config.public_url.is_empty() { &public } else { &config.public_url };
    let has_shop = config.storefront.enabled;
    output::line(format!("  buyers     {public}/{}", if has_shop { "" } else { "v1/drops" }));
    if has_shop && *shop != public {
        output::line(format!("  storefront {shop}/"));
    }
    output::line(format!("  operators  {admin}/console; the API is explained on {admin}/docs"));
    let transport = if config.wire_tls.is_some() { "tls" } else { "tcp" };
    output::line(format!("  wire       {transport}://{}", running.server.wire_address));
    let durability = if config.durability_full { "full (every response is on the disk)" } else { "interval" };
    output::line(format!(
        "  durability {durability}; {} events, {} live orders in the file",
        running.found.seq, running.found.orders_live
    ));
    if let Some(id) = demo {
        output::line(format!("  demo drop  {id}, live: {public}/v1/drops/{id}"));
        output::line("");
        output::line(format!("buy in the browser with play money: {shop}/"));
        output::line(format!("operate the sale in the browser: {admin}/console"));
        output::line("place an order:");
        output::line(format!(
            "  curl -s {public}/v1/drops/{id}/orders -H 'Content-Type: application/json' -H 'Idempotency-Key: '$RANDOM \\"
        ));
        output::line("    -d '{\"buyer\":\"ann\",\"quantity\":1}'");
        output::line("generate load, in a second terminal:");
        output::line(format!("  firstcome rush --public {public} --admin {admin}"));
        output::line("stop with Ctrl-C, then verify the file:");
        output::line(format!("  firstcome verify --data {}", config.data.display()));
    }
}
