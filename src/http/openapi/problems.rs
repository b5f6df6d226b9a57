//! The schemas of problems (RFC 9457), one per code.

use serde_json::{Map, Value, json};

use crate::admission::limits::POLICY_NAMES;
use crate::api::code::Code;
use crate::api::problem::IN_FLIGHT_POLICY;
use crate::engine::BeaconObstacle;
use crate::http::allowed_responses::BATCHED_ORDER;
use crate::http::route::Presence;
use crate::types::{ChallengeKind, ChallengeReason, DropState, IdentityKind, OrderState, Seq};

/// The prefix of `type`.
const TYPE: &str = "https://firstcome.dev/problems/";

fn component(code: Code) -> String {
    // Two problems have this code, with a status each.
    if code == Code::AllSold {
        return "ProblemSoldOutForGood".into();
    }
    let words = code.kind().code.split('-');
    let capitals = words.map(|word| word.get(..1).unwrap_or("").to_ascii_uppercase() + word.get(1..).unwrap_or(""));
    format!("Problem{}", capitals.collect::<String>())
}

fn instant() -> Value {
    json!({ "$ref": "#/components/schemas/Instant" })
}

/// Money in minor units.
fn money() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": crate::types::JSON_INTEGER_MAX })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX })
}

/// Returns the presence of `as_of_seq` and `at`, which refusals of the engine have.
fn refused(code: Code) -> Presence {
    match code {
        Code::Malformed
        | Code::KeyMissing
        | Code::Unauthorized
        | Code::Forbidden
        | Code::MethodNotAllowed
        | Code::BodyTooLarge
        | Code::UnsupportedMediaType
        | Code::RateLimited
        | Code::Overloaded
        | Code::Draining
        | Code::ReadOnly
        | Code::OutcomeUnknown
        | Code::Internal
        | Code::NotLeader
        | Code::Behind
        | Code::NodeConflict
        | Code::ChallengeRequired => Presence::Never,
        // The HTTP layer uses these codes, too.
        Code::Validation | Code::NotFound => Presence::Sometimes,
        Code::KeyReused
        | Code::NotStarted
        | Code::Ended
        | Code::DropPaused
        | Code::LimitReached
        | Code::IdentityLimitReached
        | Code::SoldOut
        | Code::AllSold
        | Code::OrderExpired
        | Code::IllegalTransition
        | Code::BidTooLow
        | Code::NotAdmitted
        | Code::NotOpen
        | Code::BeaconNotTaken
        | Code::PreconditionFailed => Presence::Always,
    }
}

/// Returns the additional members of a code, and whether each is required.
fn members(code: Code) -> Vec<(&'static str, Value, bool)> {
    match code {
        Code::Malformed
        | Code::KeyMissing
        | Code::KeyReused
        | Code::Unauthorized
        | Code::Forbidden
        | Code::NotFound
        | Code::MethodNotAllowed
        | Code::DropPaused
        | Code::BodyTooLarge
        | Code::UnsupportedMediaType
        | Code::Draining
        | Code::ReadOnly
        | Code::OutcomeUnknown
        | Code::Internal
        | Code::NodeConflict => Vec::new(),
        Code::Validation => vec![("errors", json!({ "$ref": "#/components/schemas/FieldErrors" }), true)],
        Code::NotStarted => vec![("starts_at", instant(), true)],
        Code::Ended => vec![("ends_at", instant(), true)],
        // Units of a drop, or the sum of a buyer's leading bids.
        Code::LimitReached => vec![("limit", money(), true), ("used", money(), true)],
        Code::IdentityLimitReached => {
            let kinds = IdentityKind::ALL.map(IdentityKind::as_str);
            vec![("identity", json!({ "type": "string", "enum": kinds }), true), ("limit", count(), true)]
        }
        Code::SoldOut => {
            vec![
                ("available", count(), true),
                ("held", count(), true),
                ("standby", count(), true),
                ("next_expiry_at", instant(), false),
            ]
        }
        Code::AllSold => {
            vec![
                ("available", json!({ "const": 0 }), true),
                ("held", json!({ "const": 0 }), true),
                ("standby", count(), true),
            ]
        }
        Code::OrderExpired => vec![("expired_at", instant(), true)],
        Code::IllegalTransition => {
            let orders = OrderState::ALL.map(OrderState::as_str).into_iter();
            let states: Vec<_> = orders.chain(DropState::ALL.map(DropState::as_str)).collect();
            vec![
                ("from", json!({ "type": "string", "enum": states }), true),
                ("to", json!({ "type": "string", "enum": states }), true),
            ]
        }
        Code::BidTooLow => vec![("current", money(), true), ("minimum_next", money(), true)],
        Code::NotAdmitted => vec![("position", count(), false), ("serving", count(), true)],
        Code::NotOpen => vec![("opens_at", instant(), true)],
        Code::BeaconNotTaken => {
            vec![("reason", json!({ "enum": BeaconObstacle::ALL.map(BeaconObstacle::as_str) }), true)]
        }
        Code::PreconditionFailed => vec![("revision", json!({ "type": "integer", "minimum": 1 }), true)],
        Code::RateLimited => {
            let names: Vec<&str> = [IN_FLIGHT_POLICY].into_iter().chain(POLICY_NAMES).collect();
            vec![("violated_policies", json!({ "type": "array", "minItems": 1, "items": { "enum": names } }), true)]
        }
        Code::NotLeader | Code::Behind => vec![("leader", json!({ "type": "string", "minLength": 1 }), false)],
        Code::ChallengeRequired => {
            let text = json!({ "type": "string", "minLength": 1 });
            let kinds = [ChallengeKind::ProofOfWork, ChallengeKind::External].map(ChallengeKind::as_str);
            let challenge = json!({
                "type": "object",
                "required": ["kind"],
                "properties": { "kind": { "enum": kinds }, "url": text.clone(), "site_key": text },
            });
            vec![
                ("reason", json!({ "enum": ChallengeReason::ALL.map(ChallengeReason::as_str) }), true),
                ("challenge", challenge, true),
            ]
        }
        Code::Overloaded => vec![("queue_depth", json!({ "type": "integer", "minimum": 0 }), true)],
    }
}

/// Returns the member `applied` of a code's problems.
fn applied(code: Code) -> Option<&'static str> {
    match code.kind().status.as_u16() {
        503 if code == Code::OutcomeUnknown => Some("unknown"),
        503 => Some("no"),
        _ => None,
    }
}

fn schema(code: Code) -> Value {
    let kind = code.kind();
    let mut required = vec!["type", "code", "title", "status", "detail", "request_id"];
    let mut properties = Map::new();
    let mut put = |name: &'static str, schema: Value| properties.insert(name.into(), schema);
    put("type", json!({ "const": format!("{TYPE}{}", kind.code) }));
    put("code", json!({ "const": kind.code }));
    put("title", json!({ "const": kind.title }));
    let status = match code.redirect() {
        Some(redirect) => json!({ "enum": [redirect.as_u16(), kind.status.as_u16()] }),
        None => json!({ "const": kind.status.as_u16() }),
    };
    put("status", status);
    put("detail", json!({ "type": "string", "description": "A sentence about this occurrence; not to be parsed." }));
    put("request_id", json!({ "type": "string", "minLength": 1, "maxLength": 64 }));
    if refused(code) != Presence::Never {
        put("as_of_seq", json!({ "type": "integer", "minimum": 0, "maximum": Seq::MAX.get() }));
        put("at", instant());
    }
    if refused(code) == Presence::Always {
        required.extend(["as_of_seq", "at"]);
    }
    for (name, schema, always) in members(code) {
        put(name, schema);
        required.extend(always.then_some(name));
    }
    if let Some(applied) = applied(code) {
        put("applied", json!({ "const": applied }));
        required.push("applied");
    }
    json!({ "type": "object", "required": required, "properties": properties })
}

/// Returns the schemas of all problems, under their names in the document.
pub(super) fn schemas() -> Map<String, Value> {
    let mut schemas: Map<String, Value> = Code::ALL.map(|code| (component(code), schema(code))).into_iter().collect();
    let errors = json!({
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "required": ["pointer", "detail"],
            "properties": {
                "pointer": {
                    "type": "string",
                    "description": "A JSON pointer into the body. For a query parameter, a JSON pointer into the object of parameters, such as \
                        `/limit`.",
                },
                "detail": { "type": "string", "description": "The mistake, and the values that are allowed." },
            },
        },
    });
    schemas.insert("FieldErrors".into(), errors);
    schemas.insert("OrderProblem".into(), any_of(BATCHED_ORDER));
    schemas
}

/// Returns the schema of a response with one of these codes.
pub(super) fn any_of(codes: &[Code]) -> Value {
    let reference = |code: &Code| json!({ "$ref": format!("#/components/schemas/{}", component(*code)) });
    match codes {
        [code] => reference(code),
        codes => json!({ "anyOf": codes.iter().map(reference).collect::<Vec<_>>() }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::Problem;
    use crate::api::problem::{MissingState, NodeConflict};
    use crate::engine::{Invalid, Refusal, SoldOut};
    use crate::types::{Amount, ChallengeDemand, PolicyState, TicketPosition, UnitPrice, UnixMillis};

    /// One of every kind, so that each member is seen.
    fn samples() -> Vec<Problem> {
        let at = UnixMillis::ZERO;
        let refusals = vec![
            Refusal::NotFound,
            Refusal::KeyReused,
            Refusal::NotStarted { starts_at: at },
            Refusal::Ended { ends_at: at },
            Refusal::DropPaused,
            Refusal::LimitReached { limit: 1, used: 1 },
            Refusal::IdentityLimitReached { identity: IdentityKind::Email, limit: 1 },
            Refusal::Invalid(Invalid::IdentityMissing { kind: IdentityKind::Payment }),
            Refusal::SoldOut(SoldOut { available: 0, held: 1, next_expiry_at: Some(at), standby: 1 }),
            Refusal::SoldOut(SoldOut { available: 0, held: 0, next_expiry_at: None, standby: 0 }),
            Refusal::AllSold { standby: 3 },
            Refusal::OrderExpired { expired_at: at },
            Refusal::IllegalTransition { from: OrderState::Paid, to: OrderState::Cancelled },
            Refusal::MismatchStands { from: DropState::Paused },
            Refusal::BidTooLow { current: UnitPrice::default(), minimum_next: UnitPrice::default(), ends_at: at },
            Refusal::ExposureReached { limit: Amount::ZERO, used: Amount::ZERO },
            Refusal::NotAdmitted { position: Some(TicketPosition(3)), serving: 2 },
            Refusal::NotAdmitted { position: None, serving: 2 },
            Refusal::NotOpen { opens_at: at },
            Refusal::BeaconNotTaken { why: BeaconObstacle::Posted },
            Refusal::PreconditionFailed { revision: 2 },
            Refusal::Invalid(Invalid::EndBeforeStart),
        ];
        let refused = refusals.into_iter().map(|refusal| Problem::Refused { refusal, as_of_seq: Seq::ZERO, at });
        let others = vec![
            Problem::BadHead("x"),
            Problem::Malformed("x".into()),
            Problem::invalid("/a", "b"),
            Problem::KeyMissing("x"),
            Problem::Unauthorized,
            Problem::TokenTooLong { max: 1 },
            Problem::BadSignature,
            Problem::Forbidden("x"),
            Problem::NotFound,
            Problem::MethodNotAllowed { allow: "GET".into() },
            Problem::BodyTooLarge { max: 1 },
            Problem::BodyTooSlow,
            Problem::UnsupportedMediaType,
            Problem::RateLimited { in_flight_max: 1 },
            Problem::OverLimit(Box::new([PolicyState {
                policy: POLICY_NAMES[0],
                quota: 1,
                remaining: 0,
                wait: Duration::from_millis(1),
            }])),
            Problem::Overloaded { queue_depth: 1, retry_after: Duration::ZERO },
            Problem::Draining,
            Problem::ReadOnly,
            Problem::OutcomeUnknown,
            Problem::Internal,
            Problem::NotLeader { leader: None, location: None },
            Problem::NotLeader { leader: Some("http://a".into()), location: Some("http://a/v1/drops".into()) },
            Problem::Behind { missing: MissingState::Event, leader: Some("http://a".into()) },
            Problem::Behind { missing: MissingState::Young, leader: None },
            Problem::NodeConflict(NodeConflict::NoSuccessor),
            Problem::ChallengeRequired(Box::new(ChallengeDemand {
                kind: ChallengeKind::External,
                reason: ChallengeReason::Missing,
                url: "https://a".into(),
                site_key: "k".into(),
            })),
        ];
        refused.chain(others).collect()
    }

    #[test]
    fn every_problem_is_what_its_schema_says_and_has_no_member_more() {
        let document: Value = serde_json::from_slice(&crate::http::openapi::document()).expect("JSON");
        let mut schemas = document["components"]["schemas"].clone();
        for schema in schemas.as_object_mut().expect("schemas").values_mut().filter(|s| s["type"] == "object") {
            schema["additionalProperties"] = false.into();
        }
        let mut unseen: Vec<Code> = Code::ALL.into();
        for problem in samples() {
            unseen.retain(|code| *code != problem.code());
            let mut schema = schemas[component(problem.code())].clone();
            schema["components"] = json!({ "schemas": schemas });
            let body: Value = serde_json::from_str(&problem.body("r")).expect("JSON");
            let validator = jsonschema::validator_for(&schema).expect("a schema");
            let errors: Vec<String> = validator.iter_errors(&body).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{body}: {errors:?}");
        }
        assert!(unseen.is_empty(), "{unseen:?}");
    }
}
