//! The configuration as a value: the sections and their fields. The text of each field's `Setting` explains it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use tracing::level_filters::LevelFilter;

use super::in_force::SettingsInForce;
use crate::types::shard::Shard;
use crate::types::{Amount, EventFilter, Packing, PhoneRegion, Provider, Signal, Tier};

/// The configuration of a server. The text of each field's [`Setting`](super::setting::Setting) explains it.
#[derive(Clone, Debug)]
pub struct Config {
    pub data: PathBuf,
    pub public_listen: SocketAddr,
    pub public_url: String,
    pub cors_origins: Vec<String>,
    pub cors_headers: Vec<String>,
    pub public_tls: Option<TlsFiles>,
    pub public_probes: bool,
    pub admin_tls: Option<TlsFiles>,
    pub admin_listen: SocketAddr,
    pub admin_hosts: Vec<String>,
    pub trusted_proxies: Vec<IpNet>,
    pub in_flight_per_client_max: u32,
    pub admission: AdmissionSettings,
    pub challenge: ChallengeSettings,
    pub risk: RiskSettings,
    pub identity_audience: String,
    pub identity_issuer: String,
    pub identity_leeway: Duration,
    pub identity_phone_region: Option<PhoneRegion>,
    pub hs256_secret_files: Vec<KeyFile>,
    pub eddsa_public_key_files: Vec<KeyFile>,
    pub payments: PaymentSettings,
    pub auctions: AuctionSettings,
    pub plan: PlanSettings,
    pub backup: BackupSettings,
    pub traces: TraceSettings,
    pub outbox: OutboxSettings,
    pub mail: MailSettings,
    pub wire_listen: SocketAddr,
    pub wire_tls: Option<TlsFiles>,
    pub wire: WireLimits,
    pub http_threads: usize,
    pub limits: ConnectionLimits,
    pub durability_full: bool,
    pub sync_interval: Duration,
    pub queue_capacity: usize,
    pub queue_reserve: usize,
    pub queue_wait_max: Duration,
    pub reply_deadline: Duration,
    pub batch_commands_max: usize,
    pub batch_events_max: usize,
    pub pin_core: PinCore,
    pub checkpoint_wal_bytes: u64,
    pub reset_wal_bytes: u64,
    pub reset_gate: Duration,
    pub free_bytes_min: u64,
    pub idempotency_keys_max: usize,
    pub hot_bodies_max: usize,
    pub hot_pages_max: usize,
    pub gzip_bytes_min: usize,
    pub compare_interval: Duration,
    pub capture_file: Option<PathBuf>,
    pub capture_bytes_max: u64,
    pub accept_clock: bool,
    pub log_level: LevelFilter,
    pub log_json: bool,
    pub access_log: AccessLogSettings,
    pub cluster_file: Option<PathBuf>,
    /// The content of that file, if a server is a node of a cluster.
    pub cluster: Option<ClusterConfig>,
    pub storefront: StorefrontSettings,
    pub prometheus_url: String,
    /// Every setting as text, for operators.
    pub in_force: SettingsInForce,
}

/// CPU core of the writer's thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PinCore {
    /// The last core, if there are more than two.
    Auto,
    Off,
    Core(usize),
}

/// A listener's certificate chain and its private key, in PEM. Both must be set.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TlsFiles {
    /// Chain with the listener's own certificate first.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// A file with a key that verifies buyers' tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyFile {
    /// Key id in the header of tokens (`kid`).
    pub kid: Option<String>,
    pub path: PathBuf,
}

/// An error in the configuration: one sentence without a full stop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError(pub String);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Config {
    /// Returns a configuration without any value, which the defaults then fill.
    pub(super) fn blank() -> Config {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Config {
            data: PathBuf::new(),
            public_listen: anywhere,
            public_url: String::new(),
            cors_origins: Vec::new(),
            cors_headers: Vec::new(),
            public_tls: None,
            public_probes: false,
            admin_tls: None,
            admin_listen: anywhere,
            admin_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            in_flight_per_client_max: 0,
            admission: AdmissionSettings::default(),
            challenge: ChallengeSettings::default(),
            risk: RiskSettings::default(),
            identity_audience: String::new(),
            identity_issuer: String::new(),
            identity_leeway: Duration::ZERO,
            identity_phone_region: None,
            hs256_secret_files: Vec::new(),
            eddsa_public_key_files: Vec::new(),
            payments: PaymentSettings::default(),
            auctions: AuctionSettings::default(),
            plan: PlanSettings::default(),
            backup: BackupSettings::default(),
            traces: TraceSettings::default(),
            outbox: OutboxSettings::default(),
            mail: MailSettings::default(),
            wire_listen: anywhere,
            wire_tls: None,
            wire: WireLimits::default(),
            http_threads: 0,
            limits: ConnectionLimits::default(),
            durability_full: true,
            sync_interval: Duration::ZERO,
            queue_capacity: 0,
            queue_reserve: 0,
            queue_wait_max: Duration::ZERO,
            reply_deadline: Duration::ZERO,
            batch_commands_max: 0,
            batch_events_max: 0,
            pin_core: PinCore::Auto,
            checkpoint_wal_bytes: 0,
            reset_wal_bytes: 0,
            reset_gate: Duration::ZERO,
            free_bytes_min: 0,
            idempotency_keys_max: 0,
            hot_bodies_max: 0,
            hot_pages_max: 0,
            gzip_bytes_min: usize::MAX,
            compare_interval: Duration::ZERO,
            capture_file: None,
            capture_bytes_max: 0,
            accept_clock: false,
            log_level: LevelFilter::INFO,
            log_json: false,
            access_log: AccessLogSettings::default(),
            cluster_file: None,
            cluster: None,
            storefront: StorefrontSettings::default(),
            prometheus_url: String::new(),
            in_force: SettingsInForce::default(),
        }
    }
}

/// Rate limits: requests a minute, 0 for no limit. The text of each field's `Setting` explains it.
#[derive(Clone, Debug, Default)]
pub struct AdmissionSettings {
    pub address_reads: u32,
    pub address_writes: u32,
    pub address_buyers: u32,
    pub address_invalid_tokens: u32,
    pub buyer_reads: u32,
    /// In the order of the tiers.
    pub tier_writes: [u32; 4],
    pub global_reads: u32,
    pub global_writes: u32,
    pub default_tier: Tier,
    pub exempt: Exemptions,
    pub entries_max: usize,
}

/// Challenges. The text of each field's `Setting` explains it.
#[derive(Clone, Debug, Default)]
pub struct ChallengeSettings {
    pub maxnumber: u64,
    pub minnumber: u64,
    pub expiry: Duration,
    pub used_max: usize,
    pub hashes_per_second_max: u64,
    pub siteverify_url: String,
    pub secret_file: Option<PathBuf>,
    pub site_key: String,
    pub widget_url: String,
    pub hostnames: Vec<String>,
    pub action: String,
    pub send_address: bool,
    pub timeout: Duration,
    pub fail_open: bool,
    pub in_flight_max: usize,
}

/// Bot signals: weights and thresholds. The text of each field's `Setting` explains it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RiskSettings {
    pub enabled: bool,
    pub suspect_at: u32,
    pub half_life_seconds: u32,
    pub entries_max: usize,
    /// In the order of the signals.
    pub weights: [u32; Signal::ALL.len()],
    pub interval_gaps: u32,
    pub interval_percent: u32,
    pub first_instant_ms: u32,
    pub addresses_max: u32,
    pub agents_max: u32,
    pub addresses_window_seconds: u32,
    pub shared_buyers_max: u32,
    pub shared_window_seconds: u32,
    pub fast_checkout_ms: u32,
}

/// Clients without limits.
#[derive(Clone, Debug, Default)]
pub struct Exemptions {
    pub networks: Vec<IpNet>,
    pub buyers: Vec<String>,
}

/// Access log. The text of each field's `Setting` explains it.
#[derive(Clone, Debug, Default)]
pub struct AccessLogSettings {
    pub one_in: u64,
    pub queue_lines: usize,
}

/// Limits of what one client may use. The text of each field's `Setting` explains it.
#[derive(Clone, Debug, Default)]
pub struct ConnectionLimits {
    pub connections_max: usize,
    pub connections_per_address_max: usize,
    pub loopback_is_client: bool,
    pub listen_backlog: i32,
    pub tls_handshake_timeout: Duration,
    pub tls_handshakes_max: usize,
    pub first_byte_timeout: Duration,
    pub header_read_timeout: Duration,
    pub idle_timeout: Duration,
    pub proxy_idle_timeout: Duration,
    pub body_read_timeout: Duration,
    pub body_stall_timeout: Duration,
    pub response_write_timeout: Duration,
    pub connection_age_max: Duration,
    pub body_bytes_max: usize,
    pub header_bytes_max: usize,
    pub headers_max: usize,
    pub uri_bytes_max: usize,
    pub streams_max: usize,
}

/// Sources of payment events, and the provider of payment sessions.
#[derive(Clone, Debug, Default)]
pub struct PaymentSettings {
    pub provider: Option<Provider>,
    pub sandbox: bool,
    pub sandbox_secret_files: Vec<PathBuf>,
    pub standard_webhooks_secret_files: Vec<PathBuf>,
    pub link_template: String,
    pub stripe_secret_files: Vec<PathBuf>,
    pub stripe_api_key_file: Option<PathBuf>,
    pub stripe_url: String,
    pub payos_checksum_key_files: Vec<PathBuf>,
    pub payos_client_id: String,
    pub payos_api_key_file: Option<PathBuf>,
    pub payos_url: String,
    pub payos_checkout_url: String,
    /// Refunds that are due are made at the provider.
    pub automatic_refunds: bool,
    pub sessions_in_flight_max: usize,
    pub session_timeout: Duration,
}

/// The pages for buyers.
#[derive(Clone, Debug, Default)]
pub struct StorefrontSettings {
    pub enabled: bool,
    /// The name of the shop; empty for the word for a shop.
    pub name: String,
    /// The address that gives buyers a token; empty without one.
    pub login_url: String,
    /// Origins whose pages may show these in a frame.
    pub frame_ancestors: Vec<String>,
}

/// Terms of all new auctions.
#[derive(Clone, Debug, Default)]
pub struct AuctionSettings {
    pub payment_seconds: u32,
    pub offer_next: bool,
    pub exposure_limit: Option<Amount>,
}

/// The plan of a sale; 0 means no plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlanSettings {
    pub requests_per_second: u32,
    pub depletion_seconds: u32,
    pub buyers: u32,
    pub units: u32,
    pub orders_per_second: u32,
    pub reads_per_second: u32,
}

/// Backups that the server makes by itself.
#[derive(Clone, Debug, Default)]
pub struct BackupSettings {
    pub directory: Option<PathBuf>,
    /// 0 if none is made.
    pub every_seconds: u64,
    pub keep: usize,
    pub packing: Packing,
    /// Pace of every copy.
    pub bytes_per_second: u64,
    pub at_leader: bool,
}

/// Choice of the writes that are traced.
#[derive(Clone, Debug, Default)]
pub struct TraceSettings {
    pub slow: Option<Duration>,
    pub one_in: u64,
    pub otlp_url: String,
}

/// The configured webhook endpoint, and the bounds of deliveries.
#[derive(Clone, Debug)]
pub struct OutboxSettings {
    pub endpoint_url: String,
    pub endpoint_secret_file: Option<PathBuf>,
    pub endpoint_events: EventFilter,
    pub allow_private_networks: Vec<IpNet>,
    pub authorities_file: Option<PathBuf>,
    pub timeout: Duration,
    pub response_bytes_max: usize,
    pub in_flight_max: usize,
    pub retry_waits: Vec<Duration>,
    pub success_redirects: Vec<SuccessRedirect>,
}

/// Endpoints that answer a delivery that succeeded with a redirect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SuccessRedirect {
    /// `HOST` or `HOST:PORT` of the endpoints, in lower case.
    pub endpoint: String,
    /// `HOST` or `HOST:PORT` to which they redirect. A redirect to any other, such as a login page, is a failure.
    pub location: String,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        OutboxSettings {
            endpoint_url: String::new(),
            endpoint_secret_file: None,
            endpoint_events: EventFilter::ALL,
            allow_private_networks: Vec::new(),
            authorities_file: None,
            timeout: Duration::ZERO,
            response_bytes_max: 0,
            in_flight_max: 0,
            retry_waits: Vec::new(),
            success_redirects: Vec::new(),
        }
    }
}

/// Encryption of the way to the mail server.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum MailTls {
    /// The connection begins in clear text and is encrypted before anything is said.
    #[default]
    Starttls,
    /// The connection is encrypted from its beginning.
    Implicit,
    /// Never encrypted: for a server on this machine.
    None,
}

/// The mail server, and what mails look like.
#[derive(Clone, Debug, Default)]
pub struct MailSettings {
    /// The host of the server; empty if no mails are sent.
    pub host: String,
    pub port: u16,
    pub tls: MailTls,
    pub credentials_file: Option<PathBuf>,
    pub authorities_file: Option<PathBuf>,
    pub from: String,
    pub reply_to: String,
    pub per_second: u32,
    pub in_flight_max: usize,
    pub timeout: Duration,
    pub age_max: Duration,
    pub templates: Option<PathBuf>,
    pub language: String,
    pub time_zone: String,
}

/// Limits of one client of the wire protocol. Its connections count together with those of HTTP.
#[derive(Clone, Debug, Default)]
pub struct WireLimits {
    pub in_flight_max: usize,
    pub subscriptions_max: usize,
    pub frames_per_second_max: u32,
    pub first_frame_timeout: Duration,
    pub frame_timeout: Duration,
    pub idle_timeout: Duration,
    pub write_timeout: Duration,
}

/// A node's part in a cluster, as its file describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterConfig {
    /// The file that it was read from, for messages.
    pub file: PathBuf,
    /// The id of the cluster, part of every key in etcd.
    pub cluster: String,
    pub shard: Shard,
    /// The node's name, which no other node of the cluster has.
    pub node: String,
    /// URLs of the members of etcd.
    pub members: Vec<String>,
    /// TLS to the members; none in drills on one machine.
    pub tls: Option<MemberTls>,
    /// File with the key that encrypts entries.
    pub key_file: PathBuf,
    pub advertise: AdvertisedAddresses,
    /// The members' `--quota-backend-bytes`, which etcd does not tell before version 3.6.
    pub quota_bytes: u64,
    /// A drill on one machine: fewer members, old versions of etcd, and loopback without TLS are allowed.
    pub test: bool,
}

/// The files of TLS to the members of etcd.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberTls {
    /// Authorities of the members' certificates.
    pub ca: PathBuf,
    /// The node's own certificate, which the members demand.
    pub certificate: PathBuf,
    /// The private key of that certificate.
    pub key: PathBuf,
}

/// The addresses at which clients of other nodes reach this one. Empty where a verb of the command line needs none, and
/// until the listeners are bound to a port that the system chose.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct AdvertisedAddresses {
    /// URL of the node's own public listener, not of the balancer in front of all: writes are redirected to it.
    pub public_url: String,
    /// URL of the node's admin listener.
    pub admin_url: String,
    /// Host and port of the wire listener.
    pub wire: String,
}
