//! Bodies of the console: its frames, the session, alerts, and settings.

use hyper::body::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use super::encoding::{optional_time, time, to_bytes};
use super::scalars;
use crate::types::UnixMillis;

/// The figures of one second.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "ConsoleFrame")]
pub struct ConsoleFrame {
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    pub at: UnixMillis,
    /// Number of the last durable event.
    pub seq: u64,
    /// Nothing is sold: the disk is full, or another program has the file locked.
    pub read_only: bool,
    pub queue_depth: f64,
    pub queue_capacity: f64,
    /// Rates and latencies of the last seconds; absent in the first frame after a start.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ConsoleRates")]
    pub rates: Option<ConsoleRates>,
    pub gauges: ConsoleGauges,
    /// The live and scheduled drops that changed last.
    pub drops: Vec<ConsoleDrop>,
    /// The live and scheduled auctions that changed last.
    pub auctions: Vec<ConsoleAuction>,
    /// The seconds before, the oldest first; in the first event of a stream alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<ConsolePoint>")]
    pub recent: Option<Vec<ConsolePoint>>,
}

/// Rates per second, over the last few.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "ConsoleRates")]
pub struct ConsoleRates {
    pub events: f64,
    /// Orders that were accepted.
    pub orders: f64,
    /// Orders that were decided, and refused.
    pub refused: f64,
    /// Requests that were not admitted.
    pub rejected: f64,
    /// Answers with a status of 500 or more.
    pub errors: f64,
    pub bids: f64,
    pub outcomes: Vec<ConsoleOutcome>,
    pub latencies: Vec<ConsoleLatency>,
}

/// An outcome that occurred in the last seconds.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "ConsoleOutcome")]
pub struct ConsoleOutcome {
    /// Words for people, such as `order sold out`.
    pub name: String,
    pub level: &'static str,
    pub per_second: f64,
}

/// The latencies of a stage, in milliseconds; absent while nothing passed it.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "ConsoleLatency")]
pub struct ConsoleLatency {
    pub stage: &'static str,
    pub per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub p99_ms: Option<f64>,
}

/// Gauges, each as `/metrics` has it.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "ConsoleGauges")]
pub struct ConsoleGauges {
    pub oversold_units: f64,
    pub undersold_units: f64,
    pub mismatched_drops: f64,
    pub audit_lag: f64,
    pub refunds_due: f64,
    pub outbox_age_seconds: f64,
    pub outbox_waiting: f64,
    pub dead_letters: f64,
    pub breakers_open: f64,
    pub mail_dead_letters: f64,
    pub sessions_waiting: f64,
    pub wal_bytes: f64,
    pub database_bytes: f64,
    pub disk_free_bytes: f64,
    pub resident_bytes: f64,
    pub descriptors: f64,
    pub descriptors_max: f64,
    pub clock_offset_seconds: f64,
    pub suspected_buyers: f64,
    pub buyers_connected: f64,
    pub wire_connections: f64,
    pub streams: f64,
    /// The instant of the newest backup, in seconds since 1970; that of the start, if there was none.
    pub backup_last_seconds: f64,
    /// The interval of backups by schedule, in seconds; 0 if the schedule is off.
    pub backup_interval_seconds: f64,
    /// The size of the backup that was made last.
    pub backup_bytes: f64,
    /// The time that the backup took that was made last.
    pub backup_took_seconds: f64,
    /// Backups that were made since the start.
    pub backups_made: f64,
    /// Backups that failed since the start.
    pub backups_failed: f64,
}

/// The units of a drop.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "ConsoleDrop")]
pub struct ConsoleDrop {
    pub id: u32,
    pub name: String,
    pub total: u32,
    pub available: u32,
    pub held: u32,
    pub sold: u32,
}

/// The price of an auction.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "ConsoleAuction")]
pub struct ConsoleAuction {
    pub id: u32,
    pub name: String,
    /// The current price in minor units; absent before the first bid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub current: Option<u64>,
    pub bids: u32,
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    pub ends_at: UnixMillis,
}

/// A second of the charts.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[schemars(rename = "ConsolePoint")]
pub struct ConsolePoint {
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    pub at: UnixMillis,
    pub orders: f64,
    /// Orders that were refused, and requests that were not admitted.
    pub turned_down: f64,
    pub queue_depth: f64,
    /// The 99th percentile of whole orders; absent while there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub p99_ms: Option<f64>,
}

/// The operator of the token, and the server.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConsoleSession")]
pub struct ConsoleSession<'a> {
    /// The name of the token in the audit.
    pub name: &'a str,
    #[schemars(with = "RoleWord")]
    pub role: &'static str,
    /// False where the server has no tokens: every request has the role `owner`.
    pub needs_token: bool,
    pub version: &'static str,
    pub public_url: &'a str,
    /// The name of the node; absent on a single machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub node: Option<&'a str>,
    /// `leader`, `follower` or `stopped`; absent on a single machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub node_role: Option<&'static str>,
    /// The shard of a cluster; 0 without one.
    pub shard: u8,
    /// A Prometheus is asked for the alerts that fire.
    pub has_prometheus: bool,
    /// Payments are play money.
    pub has_play_money: bool,
}

/// A role of operators.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
#[expect(dead_code, reason = "a schema")]
pub(super) enum RoleWord {
    Viewer,
    Operator,
    Owner,
}

/// The alerts that fire, and the gauges beside their thresholds.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConsoleAlerts")]
pub struct ConsoleAlerts {
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    pub at: UnixMillis,
    #[schemars(with = "AlertSource")]
    pub source: &'static str,
    /// The reason why Prometheus was not heard; the alerts are those of the gauges then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub unheard: Option<String>,
    pub alerts: Vec<ConsoleAlert>,
    pub gauges: Vec<ConsoleGauge>,
}

/// The judge of the alerts.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
#[expect(dead_code, reason = "a schema")]
enum AlertSource {
    Prometheus,
    Gauges,
}

/// An alert that fires, or is about to.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConsoleAlert")]
pub struct ConsoleAlert {
    /// The name of the alert; that of its runbook, too.
    pub name: String,
    /// `page` wakes an operator, `ticket` can wait until the morning.
    pub severity: String,
    /// The state in Prometheus: `firing` or `pending`.
    pub state: String,
    pub summary: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub description: Option<String>,
    /// The instant from which on it is active, as Prometheus tells it.
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Instant")]
    pub since: Option<UnixMillis>,
    /// `GET /v1/runbooks/{runbook}` has a page of this name.
    pub has_runbook: bool,
}

/// A gauge beside the threshold of its alert.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "ConsoleGauge")]
pub struct ConsoleGauge {
    /// The name of the alert whose condition it is.
    pub name: &'static str,
    pub severity: &'static str,
    /// The condition, as the rules of Prometheus have it.
    pub condition: &'static str,
    pub value: f64,
    pub threshold: f64,
    pub fires: bool,
}

/// A setting in force.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SettingInForce")]
pub struct SettingJson<'a> {
    pub key: &'static str,
    /// Absent where a secret may stand in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub value: Option<&'a str>,
    pub default: &'static str,
    pub unit: &'static str,
    pub why: &'static str,
    /// The layer that set it: `default`, a file, an environment variable or `command line`.
    pub source: &'a str,
}

/// Returns a body of the console.
#[must_use]
pub fn console_body(value: &impl Serialize) -> Bytes {
    to_bytes(value)
}
