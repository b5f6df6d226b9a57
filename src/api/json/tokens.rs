//! Bodies of operators' tokens.

use hyper::body::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::encoding::{optional_time, time, to_bytes};
use super::scalars;
use crate::api::problem::Problem;
use crate::api::validation::fields::BodyFields;
use crate::api::validation::rules;
use crate::types::UnixMillis;

/// The roles of operators, the least first.
const ROLES: &[&str] = &["viewer", "operator", "owner"];

/// A token of an operator.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OperatorToken")]
pub struct TokenJson<'a> {
    /// The public half of the token, which its path takes.
    #[schemars(regex(pattern = "^[0-9a-f]{12}$"), example = &"0123456789ab")]
    pub id: &'a str,
    /// The name of its holder in the log and in the audit.
    #[schemars(regex(pattern = rules::OPERATOR_NAME), example = &"shop")]
    pub name: &'a str,
    #[schemars(with = "super::console::RoleWord")]
    pub role: &'static str,
    #[schemars(with = "TokenState")]
    pub state: &'static str,
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    pub created_at: UnixMillis,
    /// The exclusive end; absent if it has none.
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Instant")]
    pub expires_at: Option<UnixMillis>,
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Instant")]
    pub revoked_at: Option<UnixMillis>,
    /// The token with its secret, in the answer that makes it alone: a repeat does not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub token: Option<&'a str>,
}

/// The state of a token.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
#[expect(dead_code, reason = "a schema")]
enum TokenState {
    InForce,
    Expired,
    Revoked,
}

impl TokenJson<'_> {
    /// Returns the body.
    #[must_use]
    pub fn body(&self) -> Bytes {
        to_bytes(self)
    }
}

/// `POST /v1/tokens`: the name, the role as a word, and the end.
pub struct NewToken {
    pub name: Box<str>,
    pub role: &'static str,
    pub expires_at: Option<UnixMillis>,
}

/// Reads a new token.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_new_token(body: &[u8]) -> Result<NewToken, Problem> {
    BodyFields::read(body, new_token)
}

fn new_token(fields: &mut BodyFields) -> Option<NewToken> {
    let name = fields.required("name", rules::operator_name());
    let role = fields.required("role", rules::word_of(ROLES));
    let expires_at = fields.optional("expires_at", rules::instant());
    Some(NewToken { name: name?, role: role?, expires_at })
}

/// Returns the schemas of requests.
pub(super) fn request_schemas() -> [(&'static str, Value); 1] {
    [("NewOperatorToken", BodyFields::describe(new_token))]
}

/// Returns a body that makes a token.
#[must_use]
pub fn new_token_example() -> Value {
    json!({ "name": "shop", "role": "operator", "expires_at": "2099-11-21T10:00:00Z" })
}
