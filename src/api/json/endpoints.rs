//! Bodies of webhook endpoints and failed deliveries.

use hyper::body::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

use super::encoding::{optional_time, time, to_bytes};
use super::scalars;
use crate::api::problem::Problem;
use crate::api::validation::fields::BodyFields;
use crate::api::validation::rules;
use crate::read::outbox::{DeliveryRow, EndpointRow};
use crate::types::{EndpointState, EventFilter, JSON_INTEGER_MAX, Seq, SigningSecret, UnixMillis};

/// A receiver of webhooks.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WebhookEndpoint")]
pub(super) struct EndpointJson<'a> {
    #[schemars(range(min = 1, max = Seq::MAX.get()))]
    id: u64,
    url: &'a str,
    #[schemars(schema_with = "event_list")]
    events: Vec<&'static str>,
    #[schemars(schema_with = "state_words")]
    state: &'static str,
    /// True if the configuration names it. Each start then resets it to the configured values.
    configured: bool,
    /// Every event up to this one is delivered, waits, or is a dead letter.
    #[schemars(range(max = Seq::MAX.get()))]
    position: u64,
    /// Number of deliveries that wait for their next attempt, or behind one that does.
    #[schemars(range(max = JSON_INTEGER_MAX))]
    waiting: u64,
    /// Number of deliveries that were given up.
    #[schemars(range(max = JSON_INTEGER_MAX))]
    dead: u64,
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    created_at: UnixMillis,
    /// The time until which the previous secret also signs.
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Instant")]
    old_secret_until: Option<UnixMillis>,
    /// The signing secret; shown only once, when it is created.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    secret: Option<String>,
}

/// A delivery that failed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WebhookDelivery")]
pub(super) struct DeliveryJson {
    /// The sequence number of the event.
    #[schemars(range(min = 1, max = Seq::MAX.get()))]
    seq: u64,
    /// The type of the event.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64", range(min = 1, max = Seq::MAX.get()))]
    order_seq: Option<u64>,
    /// The time of the event.
    #[serde(serialize_with = "time")]
    #[schemars(with = "scalars::Instant")]
    at: UnixMillis,
    attempts: u8,
    /// The time of the next attempt.
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Instant")]
    next_at: Option<UnixMillis>,
    /// The result of the last attempt: `status 500`, `timed-out`, …; `behind`: an earlier event of its order is not
    /// delivered yet.
    trouble: String,
}

fn event_list(_: &mut SchemaGenerator) -> Schema {
    Schema::try_from(rules::events_schema()).unwrap_or_default()
}

fn state_words(_: &mut SchemaGenerator) -> Schema {
    Schema::try_from(rules::endpoint_state_schema()).unwrap_or_default()
}

/// Returns the body of an endpoint; with its secret if that is new.
#[must_use]
pub fn endpoint_body(
    row: &EndpointRow,
    (waiting, dead): (u64, u64),
    now: UnixMillis,
    secret: Option<&SigningSecret>,
) -> Bytes {
    to_bytes(&EndpointJson {
        id: row.id.get(),
        url: row.url.reveal(),
        events: row.events.names().collect(),
        state: row.state.as_str(),
        configured: row.configured,
        position: row.position.get(),
        waiting,
        dead,
        created_at: row.created_at,
        old_secret_until: row.old_secret.as_ref().map(|(_, until)| *until).filter(|until| now < *until),
        secret: secret.map(SigningSecret::reveal),
    })
}

#[must_use]
pub fn delivery_body(row: &DeliveryRow) -> Bytes {
    to_bytes(&DeliveryJson {
        seq: row.seq.get(),
        kind: row.event,
        order_seq: row.order.map(Seq::get),
        at: row.at,
        attempts: row.attempts,
        next_at: row.next_at,
        trouble: row.trouble.to_string(),
    })
}

/// Reads a new endpoint: its URL, and the events that it receives.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_new_endpoint(body: &[u8]) -> Result<(Box<str>, EventFilter), Problem> {
    BodyFields::read(body, new_endpoint)
}

fn new_endpoint(fields: &mut BodyFields) -> Option<(Box<str>, EventFilter)> {
    let url = fields.required("url", rules::endpoint_url());
    let events = fields.optional("events", rules::events()).unwrap_or(EventFilter::ALL);
    Some((url?, events))
}

/// `PATCH /v1/webhook-endpoints/{endpoint_id}`.
pub struct EndpointChanges {
    pub url: Option<Box<str>>,
    /// The events that it receives from now on.
    pub events: Option<EventFilter>,
    pub state: Option<EndpointState>,
    pub reason: Box<str>,
}

/// Reads changes of an endpoint.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_endpoint_changes(body: &[u8]) -> Result<EndpointChanges, Problem> {
    BodyFields::read(body, changes)
}

fn changes(fields: &mut BodyFields) -> Option<EndpointChanges> {
    let url = fields.optional("url", rules::endpoint_url());
    let events = fields.optional("events", rules::events());
    let state = fields.optional("state", rules::endpoint_state());
    Some(EndpointChanges { url, events, state, reason: super::requests::reason(fields)? })
}

/// Reads a resend: the first event, true for all events instead of dead letters only, and the reason.
///
/// # Errors
/// `malformed`, or `validation` with every mistake.
pub fn parse_resend(body: &[u8]) -> Result<(Seq, bool, Box<str>), Problem> {
    BodyFields::read(body, resend)
}

fn resend(fields: &mut BodyFields) -> Option<(Seq, bool, Box<str>)> {
    let from_seq = fields.required("from_seq", rules::seq());
    let all = fields.defaulted("all", false, rules::flag());
    let reason = super::requests::reason(fields);
    Some((from_seq?, all, reason?))
}

/// Returns the schemas of requests.
pub(super) fn request_schemas() -> [(&'static str, Value); 3] {
    [
        ("NewWebhookEndpoint", BodyFields::describe(new_endpoint)),
        ("WebhookEndpointPatch", BodyFields::describe(changes)),
        ("Resend", BodyFields::describe(resend)),
    ]
}
