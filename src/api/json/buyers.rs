//! Bodies of buyers' tiers.

use hyper::body::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

use super::encoding::{optional_time, to_bytes};
use super::scalars;
use crate::api::problem::Problem;
use crate::api::validation::fields::BodyFields;
use crate::api::validation::rules::{self, Rule as _};
use crate::read::buyers::TierRow;
use crate::types::{BuyerText, RiskNote, Tier, TierSource, UnixMillis};

/// The tier of a buyer, as the door takes it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BuyerTier")]
pub(super) struct BuyerTierJson<'a> {
    buyer: &'a str,
    /// The tier in force. Without an operator's tier and without risk, a token's claim takes the place of the default.
    #[schemars(schema_with = "tier_words")]
    tier: &'static str,
    /// The origin of the tier: an operator set it, the risk score is too high, or nothing is known.
    #[schemars(schema_with = "source_words")]
    source: &'static str,
    /// The reason that the operator gave, with their name if a token proves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    reason: Option<&'a str>,
    /// The exclusive end of the operator's tier.
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Instant")]
    expires_at: Option<UnixMillis>,
    /// The risk score now, in points; absent where nothing was noted of the buyer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u16")]
    risk_score: Option<u16>,
    /// The signals that the score is made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    risk_signals: Option<Vec<&'static str>>,
}

fn tier_words(_: &mut SchemaGenerator) -> Schema {
    Schema::try_from(rules::tier().schema()).unwrap_or_default()
}

/// Returns the word of an origin. Without a request no token is known.
const fn source_word(source: TierSource) -> &'static str {
    match source {
        TierSource::Operator => "operator",
        TierSource::Risk => "risk",
        TierSource::Token | TierSource::Default => "default",
    }
}

fn source_words(_: &mut SchemaGenerator) -> Schema {
    let words = [TierSource::Operator, TierSource::Risk, TierSource::Default].map(source_word);
    Schema::try_from(serde_json::json!({ "type": "string", "enum": words })).unwrap_or_default()
}

/// Returns the body of a buyer's tier in force, and what an operator has set.
#[must_use]
pub fn buyer_tier_body(
    buyer: &BuyerText,
    (tier, source): (Tier, TierSource),
    set: Option<&TierRow>,
    risk: Option<RiskNote>,
) -> Bytes {
    to_bytes(&BuyerTierJson {
        buyer: buyer.as_str(),
        tier: tier.as_str(),
        source: source_word(source),
        reason: set.map(|row| &*row.reason),
        expires_at: set.and_then(|row| row.expires_at),
        risk_score: risk.map(|note| note.score),
        risk_signals: risk.map(|note| note.signals.iter().map(|signal| signal.as_str()).collect()),
    })
}

/// `PUT /v1/buyers/{buyer}/tier`: the tier, its end and the reason.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_tier(body: &[u8]) -> Result<(Tier, Option<UnixMillis>, Box<str>), Problem> {
    BodyFields::read(body, tier)
}

fn tier(fields: &mut BodyFields) -> Option<(Tier, Option<UnixMillis>, Box<str>)> {
    let tier = fields.required("tier", rules::tier());
    let expires_at = fields.optional("expires_at", rules::instant());
    let reason = super::requests::reason(fields);
    Some((tier?, expires_at, reason?))
}

/// Returns the schemas of requests.
pub(super) fn request_schemas() -> [(&'static str, Value); 1] {
    [("NewBuyerTier", BodyFields::describe(tier))]
}
