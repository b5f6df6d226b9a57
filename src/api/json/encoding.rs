//! Serialization of response bodies.

use std::io::Write as _;

use hyper::body::Bytes;
use serde::{Serialize, Serializer};

use crate::types::text::rfc3339;
use crate::types::{Seq, UnixMillis};

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

/// The version of a resource: the epoch of the server and the last change.
pub(super) fn version_text(epoch: u64, change: Seq) -> String {
    let mut text = String::with_capacity(24);
    text.push_str(itoa::Buffer::new().format(epoch));
    text.push('-');
    text.push_str(itoa::Buffer::new().format(change.get()));
    text
}

/// Room for a body: more than most take, so that it rarely grows.
pub(super) const BODY_BYTES: usize = 768;

/// Serializes a new resource. Path and body share one allocation.
pub(super) fn to_created(location: std::fmt::Arguments<'_>, value: &impl Serialize) -> CreatedBody {
    let mut bytes = Vec::with_capacity(BODY_BYTES);
    let _infallible = write!(bytes, "{location}");
    let end = bytes.len();
    let _infallible = serde_json::to_writer(&mut bytes, value);
    split_created(bytes, end)
}

/// Takes a path and a body apart that are one behind the other.
pub(super) fn split_created(bytes: Vec<u8>, path_end: usize) -> CreatedBody {
    let mut body = Bytes::from(bytes);
    CreatedBody { location: body.split_to(path_end), body }
}

pub(super) fn to_bytes(value: &impl Serialize) -> Bytes {
    let mut body = Vec::with_capacity(BODY_BYTES);
    // The structs have only strings and numbers: serializing them to memory cannot fail.
    let _infallible = serde_json::to_writer(&mut body, value);
    Bytes::from(body)
}
