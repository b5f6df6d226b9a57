//! Bodies of the checks before a sale.

use hyper::body::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use super::encoding::{time, to_bytes};
use super::scalars;
use crate::types::UnixMillis;

/// The checks that a running server makes about itself.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PreflightReport")]
pub struct PreflightJson<'a> {
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    pub at: UnixMillis,
    /// The drop that was checked, if one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub drop_id: Option<u32>,
    pub checks: Vec<CheckJson<'a>>,
    /// The number of checks that pass.
    pub pass: usize,
    /// The number of checks that warn: a sale can go ahead.
    pub warn: usize,
    /// The number of checks that fail: a sale should not go ahead.
    pub fail: usize,
}

/// One check.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PreflightCheck")]
pub struct CheckJson<'a> {
    pub check: &'a str,
    #[schemars(with = "VerdictWord")]
    pub verdict: &'static str,
    /// The finding, in words.
    pub found: &'a str,
    /// The remedy; present unless the check passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub to_do: Option<&'a str>,
}

/// The verdict of a check.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
#[expect(dead_code, reason = "a schema")]
enum VerdictWord {
    Pass,
    Warn,
    Fail,
}

impl PreflightJson<'_> {
    /// Returns the body.
    #[must_use]
    pub fn body(&self) -> Bytes {
        to_bytes(self)
    }
}
