//! The table of settings, and the sections that have no file of their own.

use std::path::PathBuf;

use super::model::PinCore;
use super::payments::session_provider;
use super::setting::{Setting, setting};
use super::values::{
    address, api_url, count, file, files, header_names, hosts, millis, networks, number, one_of, origins, public_url,
    tls_file,
};
use super::{
    admission, auctions, backup, challenge, cluster, console, identity, log, mail, outbox, plan, risk, storefront,
    traces, wire,
};

/// All settings by section, in the order of the table in `README.md`.
static SECTIONS: &[&[Setting]] = &[
    CORE,
    identity::SETTINGS,
    admission::SETTINGS,
    challenge::SETTINGS,
    risk::SETTINGS,
    log::SETTINGS,
    outbox::SETTINGS,
    mail::SETTINGS,
    auctions::SETTINGS,
    plan::SETTINGS,
    backup::SETTINGS,
    traces::SETTINGS,
    wire::SETTINGS,
    cluster::SETTINGS,
    console::SETTINGS,
    storefront::SETTINGS,
];

/// Returns every setting, in the order of the table in `README.md`.
pub fn all_settings() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().copied().flatten()
}

/// The sections without a file of their own.
const CORE: &[Setting] = &[
    setting!(
        "data",
        "./firstcome-data",
        "directory",
        "directory of the database and its lock; created if only its last component is missing",
        |c, t| c.data = file(t).ok_or("the path of a directory")?
    ),
    setting!("public.listen", "127.0.0.1:8080", "address", "address of the public listener, for buyers", |c, t| c
        .public_listen =
        address(t)?),
    setting!(
        "public_url",
        "",
        "URL",
        "base URL of `payment_url`; the public listener's address if unset; required if that is every address (0.0.0.0)",
        |c, t| c.public_url = public_url(t)?
    ),
    setting!(
        "public.cors_origins",
        "",
        "list",
        "origins whose pages may call the API (CORS), each in full; none if unset",
        |c, t| c.cors_origins = origins(t)?
    ),
    setting!(
        "public.cors_headers",
        "baggage, sentry-trace, Last-Event-ID",
        "list",
        "further request headers that pages of these origins may send; the default is what tracing libraries and event streams add",
        |c, t| c.cors_headers = header_names(t)?
    ),
    setting!(
        "public.tls_certificate",
        "",
        "file",
        "certificate chain (PEM); the listener then accepts TLS only; a changed file takes effect within seconds, without a restart",
        |c, t| tls_file(&mut c.public_tls, t, |files| &mut files.certificate)
    ),
    setting!(
        "public.tls_key",
        "",
        "file",
        "private key of the certificate (PEM), readable by its owner only",
        |c, t| tls_file(&mut c.public_tls, t, |files| &mut files.key)
    ),
    setting!(
        "public.probes",
        "false",
        "true, false",
        "`GET /healthz` and `GET /readyz` on the public listener too, for a load balancer that reaches no other; anybody can ask then",
        |c, t| c.public_probes = one_of(t, "true", "false")?
    ),
    setting!(
        "admin.listen",
        "127.0.0.1:8081",
        "address",
        "address of the admin listener, for operators and metrics; any address but loopback requires an operator token",
        |c, t| c.admin_listen = address(t)?
    ),
    setting!(
        "admin.hosts",
        "",
        "list",
        "host names accepted besides localhost and IP addresses (protection against DNS rebinding)",
        |c, t| c.admin_hosts = hosts(t)?
    ),
    setting!("admin.tls_certificate", "", "file", "same as `public.tls_certificate`", |c, t| tls_file(
        &mut c.admin_tls,
        t,
        |files| &mut files.certificate
    )),
    setting!("admin.tls_key", "", "file", "same as `public.tls_key`", |c, t| tls_file(&mut c.admin_tls, t, |files| {
        &mut files.key
    })),
    setting!(
        "trusted_proxies",
        "",
        "list",
        "networks of proxies and of the shop's own back end; `X-Forwarded-For` is used from these only, read from the right",
        |c, t| c.trusted_proxies = networks(t)?
    ),
    setting!(
        "admission.in_flight_per_client_max",
        "32",
        "requests",
        "concurrent requests per buyer token, else per client address (IPv6: per /64); above it the answer is 429; loopback and a trusted proxy's own requests do not count; 0: no limit",
        |c, t| c.in_flight_per_client_max = u32::try_from(number(t, 0, 1_000_000)?).unwrap_or(0)
    ),
    setting!(
        "payments.provider",
        "",
        "stripe, payos, standard-webhooks, sandbox",
        "provider that creates payment sessions; if unset, the shop takes payments itself and reports them",
        |c, t| c.payments.provider = session_provider(t)?
    ),
    setting!(
        "payments.link_template",
        "",
        "URL",
        "payment link for the provider `standard-webhooks`; {order_id}, {seq}, {amount}, {currency}, {expires_at}, {return_url} and {signature} are replaced",
        |c, t| c.payments.link_template = t.trim().into()
    ),
    setting!(
        "payments.sandbox",
        "false",
        "true, false",
        "acceptance of sandbox payments (play money), for tests only; `--demo` turns it on",
        |c, t| c.payments.sandbox = one_of(t, "true", "false")?
    ),
    setting!(
        "payments.sandbox_secret_files",
        "",
        "list",
        "same as `payments.standard_webhooks_secret_files`, for sandbox payments; if unset, only this server can create them",
        |c, t| c.payments.sandbox_secret_files = files(t)?
    ),
    setting!(
        "payments.standard_webhooks_secret_files",
        "",
        "list",
        "files with one secret each (`whsec_…`, readable by their owner only) of a sender of payment events (Standard Webhooks); several during a key rotation",
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
        "file with Stripe's secret or restricted key, which creates checkout sessions",
        |c, t| c.payments.stripe_api_key_file = file(t)
    ),
    setting!("payments.stripe_url", "https://api.stripe.com", "URL", "base URL of Stripe's API", |c, t| c
        .payments
        .stripe_url =
        api_url(t)?),
    setting!(
        "payments.payos_checksum_key_files",
        "",
        "list",
        "files with PayOS checksum keys; the first one signs our requests",
        |c, t| c.payments.payos_checksum_key_files = files(t)?
    ),
    setting!("payments.payos_client_id", "", "text", "PayOS client id of the payment channel", |c, t| c
        .payments
        .payos_client_id =
        t.trim().into()),
    setting!(
        "payments.payos_api_key_file",
        "",
        "file",
        "file with the PayOS API key of the payment channel",
        |c, t| c.payments.payos_api_key_file = file(t)
    ),
    setting!("payments.payos_url", "https://api-merchant.payos.vn", "URL", "base URL of the PayOS API", |c, t| c
        .payments
        .payos_url =
        api_url(t)?),
    setting!(
        "payments.payos_checkout_url",
        "https://pay.payos.vn/web",
        "URL",
        "base URL of PayOS payment links, for a link that PayOS had created before its answer arrived here",
        |c, t| c.payments.payos_checkout_url = api_url(t)?
    ),
    setting!(
        "payments.refunds",
        "manual",
        "manual, automatic",
        "who makes refunds that are due: an operator at the provider, or this server at Stripe, with `payments.stripe_api_key_file`",
        |c, t| c.payments.automatic_refunds = one_of(t, "automatic", "manual")?
    ),
    setting!(
        "payments.sessions_in_flight_max",
        "16",
        "requests",
        "concurrent session requests: below providers' rate limits, and enough for 10,000 checkouts in minutes",
        |c, t| c.payments.sessions_in_flight_max = count(t, 1, 256)?
    ),
    setting!(
        "payments.session_timeout_ms",
        "10000",
        "ms",
        "time limit of a provider's answer; then the request is repeated with the same key",
        |c, t| c.payments.session_timeout = millis(t, 10, 60_000)?
    ),
    setting!(
        "http.threads",
        "0",
        "threads",
        "workers, each with its own listener and reader; 0: one per core",
        |c, t| c.http_threads = count(t, 0, 256)?
    ),
    setting!(
        "http.connections_max",
        "12000",
        "connections",
        "open connections in total: 10,000 buyers and a margin; further ones are closed at once",
        |c, t| c.limits.connections_max = count(t, 1, 1_000_000)?
    ),
    setting!(
        "http.connections_per_address_max",
        "1000",
        "connections",
        "open connections per client address (IPv6: per /64); high, because many buyers share a mobile network's address",
        |c, t| c.limits.connections_per_address_max = count(t, 1, 1_000_000)?
    ),
    setting!(
        "http.loopback_is_client",
        "false",
        "true, false",
        "treatment of peers on this machine; false: a proxy or a tool, not counted per address, with a proxy's idle timeout",
        |c, t| c.limits.loopback_is_client = one_of(t, "true", "false")?
    ),
    setting!(
        "http.listen_backlog",
        "4096",
        "connections",
        "connections waiting to be accepted, per listener; the kernel's `somaxconn` caps it, so each worker opens as many listeners as `http.connections_max` needs",
        |c, t| c.limits.listen_backlog = i32::try_from(number(t, 16, 65_535)?).unwrap_or(4096)
    ),
    setting!(
        "http.tls_handshake_timeout_ms",
        "5000",
        "ms",
        "time from accept to the end of the TLS handshake, including the wait for a handshake slot",
        |c, t| c.limits.tls_handshake_timeout = millis(t, 50, 600_000)?
    ),
    setting!(
        "http.tls_handshakes_max",
        "500",
        "handshakes",
        "concurrent TLS handshakes; each costs half a millisecond of a core and memory for its messages; further ones wait",
        |c, t| c.limits.tls_handshakes_max = count(t, 1, 100_000)?
    ),
    setting!("http.first_byte_timeout_ms", "5000", "ms", "time from accept to a connection's first byte", |c, t| c
        .limits
        .first_byte_timeout =
        millis(t, 50, 600_000)?),
    setting!(
        "http.header_read_timeout_ms",
        "10000",
        "ms",
        "time from the first to the last byte of a request's head, however slowly it arrives",
        |c, t| c.limits.header_read_timeout = millis(t, 50, 600_000)?
    ),
    setting!("http.idle_timeout_ms", "10000", "ms", "time between two requests of a client", |c, t| c
        .limits
        .idle_timeout =
        millis(t, 50, 3_600_000)?),
    setting!(
        "http.proxy_idle_timeout_ms",
        "90000",
        "ms",
        "same for a proxy: above the 60 to 75 s after which proxies close, so that no request meets a closing connection",
        |c, t| c.limits.proxy_idle_timeout = millis(t, 50, 3_600_000)?
    ),
    setting!("http.body_read_timeout_ms", "5000", "ms", "time for the whole body of a request", |c, t| c
        .limits
        .body_read_timeout =
        millis(t, 50, 600_000)?),
    setting!("http.body_stall_timeout_ms", "2000", "ms", "time between two parts of a body", |c, t| c
        .limits
        .body_stall_timeout =
        millis(t, 50, 600_000)?),
    setting!(
        "http.response_write_timeout_ms",
        "10000",
        "ms",
        "time until a response, or a part of a stream, is sent; a client that does not read is disconnected",
        |c, t| c.limits.response_write_timeout = millis(t, 50, 600_000)?
    ),
    setting!(
        "http.connection_age_max_ms",
        "600000",
        "ms",
        "age after which a connection is closed with its next response; event streams are exempt",
        |c, t| c.limits.connection_age_max = millis(t, 50, 86_400_000)?
    ),
    setting!("http.body_bytes_max", "8192", "bytes", "size of a request's body; an order takes about 200", |c, t| c
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
    setting!("http.headers_max", "100", "headers", "header fields per request", |c, t| c.limits.headers_max =
        count(t, 16, 1000)?),
    setting!("http.uri_bytes_max", "2048", "bytes", "size of a request's path and query", |c, t| c
        .limits
        .uri_bytes_max =
        count(t, 256, 65_534)?),
    setting!(
        "http.streams_max",
        "2000",
        "streams",
        "open event streams per worker; each costs a task and a buffer",
        |c, t| c.limits.streams_max = count(t, 1, 100_000)?
    ),
    setting!(
        "http.gzip_bytes_min",
        "1400",
        "bytes",
        "size from which on the OpenAPI document, pages of lists and metrics are compressed for clients that accept gzip; a smaller response fits one packet; 0: never",
        |c, t| c.gzip_bytes_min = Some(count(t, 0, 1 << 30)?).filter(|bytes| *bytes > 0).unwrap_or(usize::MAX)
    ),
    setting!(
        "writer.durability",
        "full",
        "full, interval",
        "full: each commit waits for the disk; interval: a power failure may lose orders of the last `writer.sync_interval_ms`, a crash loses none",
        |c, t| c.durability_full = one_of(t, "full", "interval")?
    ),
    setting!(
        "writer.sync_interval_ms",
        "20",
        "ms",
        "longest time between two disk syncs with durability `interval`",
        |c, t| c.sync_interval = millis(t, 1, 10_000)?
    ),
    setting!(
        "writer.queue_capacity",
        "8192",
        "commands",
        "commands waiting for the writer: 400 ms of work at 20,000 per second",
        |c, t| c.queue_capacity = count(t, 16, 1 << 20)?
    ),
    setting!(
        "writer.queue_reserve",
        "256",
        "commands",
        "queue slots reserved for operators and payments, so that a pause gets through a full queue",
        |c, t| c.queue_reserve = count(t, 1, 1 << 19)?
    ),
    setting!(
        "writer.queue_wait_max_ms",
        "1000",
        "ms",
        "queue time after which a buyer's command is answered `overloaded`, undecided",
        |c, t| c.queue_wait_max = millis(t, 1, 60_000)?
    ),
    setting!(
        "writer.reply_deadline_ms",
        "2000",
        "ms",
        "time after which a client is answered `outcome-unknown`",
        |c, t| c.reply_deadline = millis(t, 10, 120_000)?
    ),
    setting!(
        "writer.batch_commands_max",
        "512",
        "commands",
        "commands per commit: enough to share one fsync, few enough that the first does not wait long for the last",
        |c, t| c.batch_commands_max = count(t, 1, 65_536)?
    ),
    setting!(
        "writer.batch_events_max",
        "4096",
        "events",
        "events per transaction; a hundred thousand reservations that expire at once take several",
        |c, t| c.batch_events_max = count(t, 16, 1 << 20)?
    ),
    setting!(
        "writer.pin_core",
        "auto",
        "auto, off, core",
        "core of the writer's thread; auto: the last core if there are two or more",
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
        "new write-ahead log after which it is copied into the database",
        |c, t| c.checkpoint_wal_bytes = number(t, 65_536, 1 << 40)?
    ),
    setting!(
        "writer.free_bytes_min",
        "67108864",
        "bytes",
        "free disk space below which the server is read-only: room for the log until its next reset; 0: only a failed write stops sales",
        |c, t| c.free_bytes_min = number(t, 0, 1 << 50)?
    ),
    setting!(
        "writer.reset_wal_bytes",
        "67108864",
        "bytes",
        "size of the write-ahead log at which readers wait briefly while it is emptied",
        |c, t| c.reset_wal_bytes = number(t, 131_072, 1 << 40)?
    ),
    setting!("writer.reset_gate_ms", "5", "ms", "longest wait of readers for that reset", |c, t| c.reset_gate =
        millis(t, 1, 1000)?),
    setting!(
        "engine.idempotency_keys_max",
        "1000000",
        "keys",
        "remembered idempotency keys; above it the key of the oldest ended order is forgotten before its 24 hours",
        |c, t| c.idempotency_keys_max = count(t, 1000, 1 << 30)?
    ),
    setting!(
        "read.hot_bodies_max",
        "1024",
        "drops",
        "rendered drop responses cached per worker, and as many of auctions",
        |c, t| c.hot_bodies_max = count(t, 1, 100_000)?
    ),
    setting!(
        "read.hot_pages_max",
        "16",
        "pages",
        "rendered pages of the lists of drops and auctions cached per worker; a page of 100 drops is about 40 kB",
        |c, t| c.hot_pages_max = count(t, 1, 1000)?
    ),
    setting!(
        "audit.compare_interval_ms",
        "10000",
        "ms",
        "time between two recounts of all drops by the auditor",
        |c, t| { c.compare_interval = millis(t, 10, 3_600_000)? }
    ),
    setting!(
        "capture.file",
        "",
        "file",
        "file that records every decided command, for `firstcome replay`; if it exists, the first free name of FILE.1, FILE.2, … is used",
        |c, t| c.capture_file = Some(t.trim()).filter(|path| !path.is_empty()).map(PathBuf::from)
    ),
    setting!(
        "capture.bytes_max",
        "1073741824",
        "bytes",
        "size at which a capture ends; sales continue; about 10,000,000 commands",
        |c, t| c.capture_bytes_max = number(t, 4096, 1 << 50)?
    ),
    setting!("clock.accept", "false", "true, false", "start although the wall clock is far from the file's", |c, t| {
        c.accept_clock = one_of(t, "true", "false")?
    }),
];
