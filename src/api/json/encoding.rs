//! Serialization of response bodies.

use std::io::Write as _;

use hyper::body::Bytes;
use serde::{Serialize, Serializer};

use crate::types::UnixMillis;
use crate::types::text::rfc3339;

pub(super) fn time<S: Serializer>(at: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at))
}

pub(super) fn optional_time<S: Serializer>(at: &Option<UnixMillis>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => time(at, serializer),
        None => serializer.serialize_none(),
    }
}

/// The body of a new resource, and its path.
pub struct CreatedBody {
    pub body: Bytes,
    pub location: Bytes,
}

/// Serializes a new resource. Path and body share one allocation.
pub(super) fn to_created(location: std::fmt::Arguments<'_>, value: &impl Serialize) -> CreatedBody {
    let mut bytes = Vec::with_capacity(768);
    let _infallible = write!(bytes, "{location}");
    let end = bytes.len();
    let _infallible = serde_json::to_writer(&mut bytes, value);
    let mut body = Bytes::from(bytes);
    CreatedBody { location: body.split_to(end), body }
}

pub(super) fn to_bytes(value: &impl Serialize) -> Bytes {
    // Longer than most bodies, so that it rarely grows.
    let mut body = Vec::with_capacity(768);
    // The structs have only strings and numbers: serializing them to memory cannot fail.
    let _infallible = serde_json::to_writer(&mut body, value);
    Bytes::from(body)
}
