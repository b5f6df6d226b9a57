//! Bodies, in and out.

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};

use super::Problem;

/// An answer's body: whole, or piece by piece.
pub type Body = Either<Full<Bytes>, Channel<Bytes, Infallible>>;

/// A whole body.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Either::Left(Full::new(bytes.into()))
}

/// Reads a JSON body within its bounds.
///
/// # Errors
/// `unsupported-media-type`, `body-too-large`, `malformed`, in this order.
pub async fn read_json(
    headers: &HeaderMap,
    body: Incoming,
    bytes_max: usize,
    timeout: Duration,
) -> Result<Bytes, Problem> {
    if !is_json(headers) {
        return Err(Problem::UnsupportedMediaType);
    }
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| usize::try_from(length).is_ok_and(|length| length > bytes_max)) {
        return Err(Problem::BodyTooLarge { max: bytes_max });
    }
    match tokio::time::timeout(timeout, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Problem::BodyTooLarge { max: bytes_max })
        }
        Ok(Err(_)) => Err(Problem::Malformed("The body broke off.".into())),
        Err(_) => Err(Problem::BodyTooSlow),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let media_type = value.split(';').next().unwrap_or("").trim();
    media_type.eq_ignore_ascii_case("application/json")
}
