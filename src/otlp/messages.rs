//! The messages of OTLP 1 that carry spans (opentelemetry/proto/trace/v1), with the fields that are filled here. The tags
//! are part of a stable protocol.

use prost::{Message, Oneof};

use crate::telemetry::spans::{FieldValue, FinishedSpan};

/// Body of the request to the collector.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportTraceServiceRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<InstrumentationScope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct InstrumentationScope {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 3")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Any {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const ERROR: i32 = 2;
const NANOS_PER_MICRO: u64 = 1000;

impl ExportTraceServiceRequest {
    pub(super) fn of(batch: impl Iterator<Item = FinishedSpan>) -> ExportTraceServiceRequest {
        let resource = Resource {
            attributes: vec![text("service.name", "firstcome"), text("service.version", env!("CARGO_PKG_VERSION"))],
        };
        let scope = InstrumentationScope { name: "firstcome".into() };
        let spans = ScopeSpans { scope: Some(scope), spans: batch.map(Span::of).collect() };
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans: vec![spans] }],
        }
    }
}

impl Span {
    fn of(ended: FinishedSpan) -> Span {
        let failed =
            ended.fields.iter().any(|(name, value)| *name == "status" && matches!(value, FieldValue::Number(500..)));
        Span {
            trace_id: ended.trace.into(),
            span_id: ended.id.into(),
            parent_span_id: ended.parent.map(Vec::from).unwrap_or_default(),
            name: ended.name.into(),
            kind: if ended.is_request { SERVER } else { INTERNAL },
            start_time_unix_nano: ended.start_unix_us.saturating_mul(NANOS_PER_MICRO),
            end_time_unix_nano: ended.start_unix_us.saturating_add(ended.took_us).saturating_mul(NANOS_PER_MICRO),
            status: failed.then_some(Status { code: ERROR }),
            attributes: ended.fields.into_iter().map(attribute).collect(),
        }
    }
}

/// Renames a field according to OpenTelemetry's semantic conventions for HTTP.
fn attribute((name, value): (&'static str, FieldValue)) -> KeyValue {
    let key = match name {
        "route" => "http.route",
        "method" => "http.request.method",
        "status" => "http.response.status_code",
        "problem" => "error.type",
        "request_id" => "firstcome.request_id",
        other => other,
    };
    match value {
        FieldValue::Text(value) => text(key, value),
        FieldValue::Number(value) => key_value(key, Any::Number(i64::try_from(value).unwrap_or(i64::MAX))),
    }
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    key_value(key, Any::Text(value.into()))
}

fn key_value(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }) }
}
