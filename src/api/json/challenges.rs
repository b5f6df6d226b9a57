//! The body of a challenge. Its members and their spelling are those of ALTCHA, whose widget reads it.

use hyper::body::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use super::encoding::to_bytes;
use crate::types::IssuedChallenge;

/// A proof of work in the format of ALTCHA, version 1: find the number up to `maxnumber` for which SHA-256 of `salt` and the
/// number, in decimal digits, is `challenge`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Challenge")]
pub(super) struct ChallengeJson<'a> {
    #[schemars(schema_with = "algorithm")]
    algorithm: &'static str,
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    challenge: &'a str,
    #[schemars(range(min = 1, max = 1_000_000_000))]
    maxnumber: u64,
    /// Random digits and the parameters that the challenge is bound to; to be returned as it is.
    #[schemars(regex(pattern = "^[0-9a-f]+\\?.+&$"))]
    salt: &'a str,
    /// HMAC-SHA-256 of the text of `challenge`, with a key of the server.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    signature: &'a str,
}

fn algorithm(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "const": "SHA-256" })
}

/// Returns the body of a challenge.
#[must_use]
pub fn challenge_body(issued: &IssuedChallenge) -> Bytes {
    let IssuedChallenge { challenge, salt, signature, maxnumber } = issued;
    to_bytes(&ChallengeJson { algorithm: "SHA-256", challenge, maxnumber: *maxnumber, salt, signature })
}
