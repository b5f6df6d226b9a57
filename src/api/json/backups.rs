//! Bodies of backups.

use hyper::body::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Value, json};

use super::encoding::{optional_time, time, to_bytes};
use super::scalars;
use crate::api::problem::Problem;
use crate::api::validation::fields::BodyFields;
use crate::api::validation::rules;
use crate::types::{Packing, UnixMillis};

/// The longest path, in bytes: that of Linux.
const PATH_BYTES_MAX: usize = 4095;

/// The last backup that was begun.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Backup")]
pub struct BackupJson<'a> {
    /// The number of backups that were begun since the start of the server, this one included.
    pub number: u64,
    #[schemars(schema_with = "state_words")]
    pub state: &'static str,
    /// The file or directory that was asked for.
    pub to: &'a str,
    #[schemars(schema_with = "packing_schema")]
    pub compression: &'static str,
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    pub started_at: UnixMillis,
    /// Present once it is made or failed.
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Instant")]
    pub ended_at: Option<UnixMillis>,
    /// The file on the server's machine; present once it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub file: Option<&'a str>,
    /// The last event in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub seq: Option<u64>,
    /// The number of its orders.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub orders: Option<u64>,
    /// The size of the file, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub bytes: Option<u64>,
    /// The reason of a backup that failed. Nothing of it is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub error: Option<&'a str>,
}

impl BackupJson<'_> {
    pub const RUNNING: &'static str = "running";
    pub const MADE: &'static str = "made";
    pub const FAILED: &'static str = "failed";

    /// Returns the body.
    #[must_use]
    pub fn body(&self) -> Bytes {
        to_bytes(self)
    }
}

fn state_words(_: &mut SchemaGenerator) -> Schema {
    let words = [BackupJson::RUNNING, BackupJson::MADE, BackupJson::FAILED];
    Schema::try_from(json!({ "type": "string", "enum": words })).unwrap_or_default()
}

fn packing_schema(_: &mut SchemaGenerator) -> Schema {
    Schema::try_from(rules::packing_schema()).unwrap_or_default()
}

/// `POST /v1/backup`: the path on the server's machine, and the packing.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_backup(body: &[u8]) -> Result<(Box<str>, Packing), Problem> {
    BodyFields::read(body, backup)
}

fn backup(fields: &mut BodyFields) -> Option<(Box<str>, Packing)> {
    let to = fields.required("to", rules::absolute_path(PATH_BYTES_MAX));
    let packing = fields.defaulted_name("compression", Packing::Plain, Packing::as_str, rules::packing());
    Some((to?, packing))
}

/// Returns the schemas of requests.
pub(super) fn request_schemas() -> [(&'static str, Value); 1] {
    [("NewBackup", BodyFields::describe(backup))]
}
