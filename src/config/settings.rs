//! The table of settings.

use std::path::PathBuf;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::payments::session_provider;
use super::values::{
    address, api_url, count, file, files, hosts, joined, key_files, millis, networks, number, one_of, origins,
    tls_file, url,
};
use super::{PinCore, Setting, auctions, outbox, plan, traces, wire};

macro_rules! setting {
    ($key:literal, $default:literal, $unit:literal, $why:literal, |$config:ident, $text:ident| $set:expr) => {
        Setting {
            key: $key,
            default: $default,
            unit: $unit,
            why: $why,
            set: |$config, $text| {
                $set;
                Ok(())
            },
        }
    };
}

pub(super) use setting;

/// Every setting, in the order of the README's table.
pub static SETTINGS: &[Setting] =
    &joined::<{ WITH_TRACES.len() + wire::SETTINGS.len() }>(&WITH_TRACES, &wire::SETTINGS);

const WITH_OUTBOX: [Setting; OURS.len() + outbox::SETTINGS.len()] = joined(OURS, &outbox::SETTINGS);

const WITH_AUCTIONS: [Setting; WITH_OUTBOX.len() + auctions::SETTINGS.len()] =
    joined(&WITH_OUTBOX, &auctions::SETTINGS);

const WITH_PLAN: [Setting; WITH_AUCTIONS.len() + plan::SETTINGS.len()] = joined(&WITH_AUCTIONS, &plan::SETTINGS);

const WITH_TRACES: [Setting; WITH_PLAN.len() + traces::SETTINGS.len()] = joined(&WITH_PLAN, &traces::SETTINGS);

/// All but those that have a file of their own.
const OURS: &[Setting] = &[
    setting!(
        "data",
        "./firstcome-data",
        "directory",
        "the database and its lock; made if only it is missing",
        |c, t| c.data = t.into()
    ),
    setting!("public.listen", "127.0.0.1:8080", "address", "buyers", |c, t| c.public_listen = address(t)?),
    setting!("public_url", "", "URL", "what `payment_url` begins with; the public address if not set", |c, t| c
        .public_url =
        url(t)?),
    setting!(
        "public.cors_origins",
        "",
        "list",
        "origins whose pages may call, each in full; none by default",
        |c, t| c.cors_origins = origins(t)?
    ),
    setting!(
        "public.tls_certificate",
        "",
        "file",
        "certificate chain (PEM): with it the listener speaks TLS only; a changed file is in force within seconds, without a restart",
        |c, t| tls_file(&mut c.public_tls, t, |files| &mut files.certificate)
    ),
    setting!("public.tls_key", "", "file", "its private key (PEM), readable by its owner alone", |c, t| tls_file(
        &mut c.public_tls,
        t,
        |files| &mut files.key
    )),
    setting!(
        "admin.listen",
        "127.0.0.1:8081",
        "address",
        "operators and metrics; elsewhere than on loopback only with an operator token",
        |c, t| c.admin_listen = address(t)?
    ),
    setting!(
        "admin.hosts",
        "",
        "list",
        "names besides localhost and the addresses under which operators reach it (DNS rebinding)",
        |c, t| c.admin_hosts = hosts(t)?
    ),
    setting!("admin.tls_certificate", "", "file", "as `public.tls_certificate`", |c, t| tls_file(
        &mut c.admin_tls,
        t,
        |files| &mut files.certificate
    )),
    setting!("admin.tls_key", "", "file", "as `public.tls_key`", |c, t| tls_file(&mut c.admin_tls, t, |files| {
        &mut files.key
    })),
    setting!(
        "trusted_proxies",
        "",
        "list",
        "networks of proxies and of the shop's own back end: their `X-Forwarded-For` is believed, read from the right; from anybody else it is ignored",
        |c, t| c.trusted_proxies = networks(t)?
    ),
    setting!(
        "admission.in_flight_per_client_max",
        "32",
        "requests",
        "at once of one buyer with a token, else of one address (IPv6: one /64); not counted: loopback, and trusted proxies that call for themselves; more get 429; 0: no limit",
        |c, t| c.in_flight_per_client_max = u32::try_from(number(t, 0, 1_000_000)?).unwrap_or(0)
    ),
    setting!(
        "identity.hs256_secret_files",
        "",
        "list",
        "FILE or KID=FILE: secrets of at least 32 bytes that sign buyers' tokens; with any key, buyers need a token",
        |c, t| c.hs256_secret_files = key_files(t)?
    ),
    setting!(
        "identity.eddsa_public_key_files",
        "",
        "list",
        "FILE or KID=FILE: Ed25519 public keys (PEM) of buyers' tokens; several while one follows another",
        |c, t| c.eddsa_public_key_files = key_files(t)?
    ),
    setting!("identity.audience", "", "text", "`aud` of buyers' tokens; needed with any key", |c, t| c
        .identity_audience =
        t.trim().into()),
    setting!("identity.issuer", "", "text", "`iss` of buyers' tokens; if not set, nobody asks", |c, t| c
        .identity_issuer =
        t.trim().into()),
    setting!(
        "identity.leeway_seconds",
        "30",
        "s",
        "that the shop's clock and this one may differ, for `exp`, `nbf` and `iat`",
        |c, t| c.identity_leeway = Duration::from_secs(number(t, 0, 300)?)
    ),
    setting!(
        "payments.provider",
        "",
        "stripe, payos, sandbox",
        "who makes the session in which a buyer pays; none: the shop takes the money itself, and tells",
        |c, t| c.payments.provider = session_provider(t)?
    ),
    setting!(
        "payments.link_template",
        "",
        "URL",
        "with the provider `standard-webhooks`: where buyers pay; {order_id}, {seq}, {amount}, {currency}, {expires_at}, {return_url} and {signature} are filled in",
        |c, t| c.payments.link_template = t.trim().into()
    ),
    setting!(
        "payments.sandbox",
        "false",
        "true, false",
        "play money is taken: for a shop's tests, never for a sale; `--demo` turns it on",
        |c, t| c.payments.sandbox = one_of(t, "true", "false")?
    ),
    setting!(
        "payments.sandbox_secret_files",
        "",
        "list",
        "as `payments.standard_webhooks_secret_files`, of play money; none: only this server can make it",
        |c, t| c.payments.sandbox_secret_files = files(t)?
    ),
    setting!(
        "payments.standard_webhooks_secret_files",
        "",
        "list",
        "files with a secret each (`whsec_…`, readable by their owner alone) of whoever tells of payments as Standard Webhooks says; several while one follows another",
        |c, t| c.payments.standard_webhooks_secret_files = files(t)?
    ),
    setting!(
        "payments.stripe_secret_files",
        "",
        "list",
        "files with the signing secrets (`whsec_…`) of Stripe's webhook endpoint",
        |c, t| c.payments.stripe_secret_files = files(t)?
    ),
    setting!(
        "payments.stripe_api_key_file",
        "",
        "file",
        "Stripe's secret or restricted key, which makes checkout sessions",
        |c, t| c.payments.stripe_api_key_file = file(t)
    ),
    setting!("payments.stripe_url", "https://api.stripe.com", "URL", "Stripe's API", |c, t| c.payments.stripe_url =
        api_url(t)?),
    setting!(
        "payments.payos_checksum_key_files",
        "",
        "list",
        "files with PayOS' checksum keys; the first one signs our requests",
        |c, t| c.payments.payos_checksum_key_files = files(t)?
    ),
    setting!("payments.payos_client_id", "", "text", "PayOS' client id of the payment channel", |c, t| c
        .payments
        .payos_client_id =
        t.trim().into()),
    setting!("payments.payos_api_key_file", "", "file", "PayOS' API key of the payment channel", |c, t| c
        .payments
        .payos_api_key_file =
        file(t)),
    setting!("payments.payos_url", "https://api-merchant.payos.vn", "URL", "PayOS' API", |c, t| c.payments.payos_url =
        api_url(t)?),
    setting!(
        "payments.payos_checkout_url",
        "https://pay.payos.vn/web",
        "URL",
        "where PayOS' payment links lead, for one that it had made before we heard of it",
        |c, t| c.payments.payos_checkout_url = api_url(t)?
    ),
    setting!(
        "payments.sessions_in_flight_max",
        "16",
        "requests",
        "for sessions at once: below what providers allow, and enough for 10,000 checkouts in some minutes",
        |c, t| c.payments.sessions_in_flight_max = count(t, 1, 256)?
    ),
    setting!(
        "payments.session_timeout_ms",
        "10000",
        "ms",
        "for a provider's answer; then the request is sent again, with the same key",
        |c, t| c.payments.session_timeout = millis(t, 10, 60_000)?
    ),
    setting!(
        "http.threads",
        "0",
        "threads",
        "serving threads, each with its own listener and reader; 0: one per core",
        |c, t| c.http_threads = count(t, 0, 256)?
    ),
    setting!(
        "http.connections_max",
        "12000",
        "connections",
        "in total; more are closed at once: 10,000 buyers and room for operators",
        |c, t| c.limits.connections_max = count(t, 1, 1_000_000)?
    ),
    setting!(
        "http.connections_per_address_max",
        "1000",
        "connections",
        "of one client address (IPv6: one /64); many buyers share a mobile network's address, so not fewer",
        |c, t| c.limits.connections_per_address_max = count(t, 1, 1_000_000)?
    ),
    setting!(
        "http.loopback_is_client",
        "false",
        "true, false",
        "false: peers on this machine are a proxy or a tool: not counted per address, and idle as long as a proxy",
        |c, t| c.limits.loopback_is_client = one_of(t, "true", "false")?
    ),
    setting!(
        "http.listen_backlog",
        "4096",
        "connections",
        "that wait to be accepted, per listener; the kernel's `somaxconn` cuts it, so threads have as many listeners as `http.connections_max` needs",
        |c, t| c.limits.listen_backlog = i32::try_from(number(t, 16, 65_535)?).unwrap_or(4096)
    ),
    setting!(
        "http.tls_handshake_timeout_ms",
        "5000",
        "ms",
        "from the connection to the end of the TLS handshake, the wait for its turn included",
        |c, t| c.limits.tls_handshake_timeout = millis(t, 50, 600_000)?
    ),
    setting!(
        "http.tls_handshakes_max",
        "500",
        "handshakes",
        "at once; each costs half a millisecond of a core and memory for its messages, others wait",
        |c, t| c.limits.tls_handshakes_max = count(t, 1, 100_000)?
    ),
    setting!(
        "http.first_byte_timeout_ms",
        "5000",
        "ms",
        "from the connection to its first byte; who says nothing is closed",
        |c, t| c.limits.first_byte_timeout = millis(t, 50, 600_000)?
    ),
    setting!(
        "http.header_read_timeout_ms",
        "10000",
        "ms",
        "from the first byte of a request's head to its last, however it trickles",
        |c, t| c.limits.header_read_timeout = millis(t, 50, 600_000)?
    ),
    setting!("http.idle_timeout_ms", "10000", "ms", "between two requests of a client", |c, t| c.limits.idle_timeout =
        millis(t, 50, 3_600_000)?),
    setting!(
        "http.proxy_idle_timeout_ms",
        "90000",
        "ms",
        "of a proxy: above the 60 to 75 s after which proxies close, else orders die in that race",
        |c, t| c.limits.proxy_idle_timeout = millis(t, 50, 3_600_000)?
    ),
    setting!("http.body_read_timeout_ms", "5000", "ms", "for a request's body in total", |c, t| c
        .limits
        .body_read_timeout =
        millis(t, 50, 600_000)?),
    setting!("http.body_stall_timeout_ms", "2000", "ms", "between two pieces of a body", |c, t| c
        .limits
        .body_stall_timeout =
        millis(t, 50, 600_000)?),
    setting!(
        "http.response_write_timeout_ms",
        "10000",
        "ms",
        "until an answer, or a piece of a stream, has left; who does not read is closed",
        |c, t| c.limits.response_write_timeout = millis(t, 50, 600_000)?
    ),
    setting!(
        "http.connection_age_max_ms",
        "600000",
        "ms",
        "then a connection is closed after its answer; event streams live on",
        |c, t| c.limits.connection_age_max = millis(t, 50, 86_400_000)?
    ),
    setting!("http.body_bytes_max", "8192", "bytes", "a request's body; orders take about 200", |c, t| c
        .limits
        .body_bytes_max =
        count(t, 1024, 1 << 20)?),
    setting!(
        "http.header_bytes_max",
        "16384",
        "bytes",
        "read buffer of a connection, which bounds a request's head (hyper's own default is 400 kB)",
        |c, t| c.limits.header_bytes_max = count(t, 8192, 1 << 20)?
    ),
    setting!("http.headers_max", "100", "headers", "in one request", |c, t| c.limits.headers_max = count(t, 16, 1000)?),
    setting!("http.uri_bytes_max", "2048", "bytes", "path and query of a request", |c, t| c.limits.uri_bytes_max =
        count(t, 256, 65_534)?),
    setting!(
        "http.streams_max",
        "1000",
        "streams",
        "open event streams per thread; each costs a task and a buffer",
        |c, t| c.limits.streams_max = count(t, 1, 100_000)?
    ),
    setting!(
        "writer.durability",
        "full",
        "full, interval",
        "full: every acknowledged order is on the disk; interval: at most `writer.sync_interval_ms` of them are lost by a power cut, none by a crash",
        |c, t| c.durability_full = one_of(t, "full", "interval")?
    ),
    setting!(
        "writer.sync_interval_ms",
        "20",
        "ms",
        "with durability `interval`: the disk is waited for at least this often",
        |c, t| c.sync_interval = millis(t, 1, 10_000)?
    ),
    setting!(
        "writer.queue_capacity",
        "8192",
        "commands",
        "that wait for the writer: 400 ms of work at 20,000 a second",
        |c, t| c.queue_capacity = count(t, 16, 1 << 20)?
    ),
    setting!(
        "writer.queue_reserve",
        "256",
        "commands",
        "of these places for operators and payments, so that a pause gets through a full queue",
        |c, t| c.queue_reserve = count(t, 1, 1 << 19)?
    ),
    setting!(
        "writer.queue_wait_max_ms",
        "1000",
        "ms",
        "a buyer's command that waited longer is answered `overloaded`, undecided",
        |c, t| c.queue_wait_max = millis(t, 1, 60_000)?
    ),
    setting!("writer.reply_deadline_ms", "2000", "ms", "after this a client is told `outcome-unknown`", |c, t| c
        .reply_deadline =
        millis(t, 10, 120_000)?),
    setting!(
        "writer.batch_commands_max",
        "512",
        "commands",
        "per commit: enough to share one fsync, few enough for the first not to wait for the last",
        |c, t| c.batch_commands_max = count(t, 1, 65_536)?
    ),
    setting!(
        "writer.batch_events_max",
        "4096",
        "events",
        "per transaction: a hundred thousand reservations that lapse at once go in several",
        |c, t| c.batch_events_max = count(t, 16, 1 << 20)?
    ),
    setting!(
        "writer.pin_core",
        "auto",
        "auto, off, core",
        "auto: the last core, where there are more than two",
        |c, t| c.pin_core = match t.trim() {
            "auto" => PinCore::Auto,
            "off" => PinCore::Off,
            core => PinCore::Core(count(core, 0, 1023).map_err(|_| "auto, off, or the number of a core".to_string())?),
        }
    ),
    setting!(
        "writer.checkpoint_wal_bytes",
        "16777216",
        "bytes",
        "of new write-ahead log; then it is copied into the database",
        |c, t| c.checkpoint_wal_bytes = number(t, 65_536, 1 << 40)?
    ),
    setting!(
        "writer.free_bytes_min",
        "67108864",
        "bytes",
        "free on the disk below which nothing is sold: room for the log until its next reset; 0: only a failed write tells",
        |c, t| c.free_bytes_min = number(t, 0, 1 << 50)?
    ),
    setting!(
        "writer.reset_wal_bytes",
        "67108864",
        "bytes",
        "of write-ahead log; then readers wait a moment and it is emptied",
        |c, t| c.reset_wal_bytes = number(t, 131_072, 1 << 40)?
    ),
    setting!("writer.reset_gate_ms", "5", "ms", "that readers wait for this at most", |c, t| c.reset_gate =
        millis(t, 1, 1000)?),
    setting!(
        "engine.idempotency_keys_max",
        "1000000",
        "keys",
        "remembered; beyond it the oldest ended order's key goes before its 24 hours",
        |c, t| c.idempotency_keys_max = count(t, 1000, 1 << 30)?
    ),
    setting!(
        "read.hot_bodies_max",
        "1024",
        "drops",
        "whose rendered answers each serving thread keeps, and of as many auctions",
        |c, t| c.hot_bodies_max = count(t, 1, 100_000)?
    ),
    setting!("audit.compare_interval_ms", "10000", "ms", "between two recounts of all drops by the auditor", |c, t| {
        c.compare_interval = millis(t, 10, 3_600_000)?
    }),
    setting!(
        "capture.file",
        "",
        "file",
        "every decided command is recorded there, for `firstcome replay`; if it exists, the first free of FILE.1, FILE.2, … is taken",
        |c, t| c.capture_file = Some(t.trim()).filter(|path| !path.is_empty()).map(PathBuf::from)
    ),
    setting!(
        "capture.bytes_max",
        "1073741824",
        "bytes",
        "of a capture; then it ends and selling goes on: about 10,000,000 commands",
        |c, t| c.capture_bytes_max = number(t, 4096, 1 << 50)?
    ),
    setting!("clock.accept", "false", "true, false", "start although the wall clock is far from the file's", |c, t| {
        c.accept_clock = one_of(t, "true", "false")?
    }),
    setting!("log.level", "info", "level", "error, warn, info, debug or trace", |c, t| c.log_level = match t.trim() {
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => return Err("error, warn, info, debug or trace".into()),
    }),
    setting!("log.format", "text", "text, json", "one line each, on standard error", |c, t| c.log_json =
        one_of(t, "json", "text")?),
];
