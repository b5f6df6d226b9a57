//! Request and response bodies.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Body as _, Bytes, Frame, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};

use crate::api::Problem;
use crate::config::ConnectionLimits;
use crate::deadlines::{STOPPING_MAX, within};

/// A response's body: whole, or piece by piece.
pub type Body = Either<Full<Bytes>, Pieces>;

/// Makes the pieces of a body.
type PieceMaker = Pin<Box<dyn hyper::body::Body<Data = Bytes, Error = Infallible>>>;

/// A body that is sent piece by piece.
pub enum Pieces {
    /// The sender of this channel notices at once when the client has disconnected; with http-body-util's channel only the next
    /// send shows that.
    Sent(mpsc::Receiver<Bytes>),
    /// Makes each piece when it is polled.
    Made(PieceMaker),
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Pieces::Sent(receiver) => {
                receiver.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
            }
            Pieces::Made(maker) => maker.as_mut().poll_frame(context),
        }
    }
}

/// Returns a body to be sent piece by piece. A few pieces wait for a client that reads slowly, then the sender waits.
#[must_use]
pub fn pieces() -> (mpsc::Sender<Bytes>, Body) {
    const WAITING_MAX: usize = 4;
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (sender, Either::Right(Pieces::Sent(receiver)))
}

/// Returns a body whose pieces are made when they are polled.
#[must_use]
pub fn made(maker: impl hyper::body::Body<Data = Bytes, Error = Infallible> + 'static) -> Body {
    Either::Right(Pieces::Made(Box::pin(maker)))
}

/// The bounds in which a body is read.
#[derive(Clone, Copy)]
pub struct BodyBounds<'s> {
    pub limits: &'s ConnectionLimits,
    /// Turns true when the server is stopping.
    pub stopping: &'s watch::Receiver<bool>,
}

/// Returns a body that is sent whole.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Either::Left(Full::new(bytes.into()))
}

/// Reads a JSON body within its bounds.
///
/// # Errors
/// `unsupported-media-type`, `body-too-large`, `malformed`, in this order.
pub async fn read_json(headers: &HeaderMap, body: Incoming, bounds: BodyBounds<'_>) -> Result<Bytes, Problem> {
    check_json(headers)?;
    read_whole(headers, body, bounds, bounds.limits.body_bytes_max).await
}

/// Checks that a body is announced as JSON.
///
/// # Errors
/// `unsupported-media-type`.
pub fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    let is_json = is_media_type(headers, "application/json") && !is_encoded(headers);
    if is_json { Ok(()) } else { Err(Problem::UnsupportedMediaType) }
}

/// Reads the form of a page.
///
/// # Errors
/// `unsupported-media-type`, `body-too-large`, `malformed`.
pub async fn read_form(headers: &HeaderMap, body: Option<Incoming>, bounds: BodyBounds<'_>) -> Result<Bytes, Problem> {
    if !is_media_type(headers, "application/x-www-form-urlencoded") || is_encoded(headers) {
        return Err(Problem::UnsupportedMediaType);
    }
    let Some(body) = body else { return Err(Problem::Malformed("Not the form.".into())) };
    read_whole(headers, body, bounds, bounds.limits.body_bytes_max).await
}

/// The fields of a form as they came.
pub type FormFields = Vec<(String, String)>;

/// Parses the form of a page.
///
/// # Errors
/// `malformed`.
pub fn parse_form<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // The input is not quoted in the response: a form has names and addresses.
    serde_html_form::from_bytes(bytes).map_err(|_| Problem::Malformed("Not the form of this page.".into()))
}

/// Reads a body of any kind of at most `bytes_max` bytes, in time.
///
/// # Errors
/// `body-too-large`, `malformed`; `draining` if the rest of it would hold a stop of the server.
pub async fn read_whole(
    headers: &HeaderMap,
    body: Incoming,
    BodyBounds { limits, stopping }: BodyBounds<'_>,
    bytes_max: usize,
) -> Result<Bytes, Problem> {
    let too_large = || Problem::BodyTooLarge { max: bytes_max };
    if announced(headers).is_some_and(|length| length > bytes_max) {
        return Err(too_large());
    }
    let unreadable = |error: Box<dyn std::error::Error + Send + Sync>| {
        let is_too_large = error.is::<http_body_util::LengthLimitError>();
        if is_too_large { too_large() } else { Problem::Malformed("The body broke off.".into()) }
    };
    let mut body = Limited::new(body, bytes_max);
    // Most often all of a body with a length came with the head: it needs no timer then, and the request's future no room for one.
    let first = match poll_fn(|context| Poll::Ready(Pin::new(&mut body).poll_frame(context))).await {
        Poll::Ready(None) => return Ok(Bytes::new()),
        Poll::Ready(Some(Err(error))) => return Err(unreadable(error)),
        // A frame that is not data is a trailer, which no route reads.
        Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        Poll::Pending => Bytes::new(),
    };
    if body.is_end_stream() {
        return Ok(first);
    }
    let rest = Box::pin(async {
        let whole = pin!(read(first, body, limits.body_stall_timeout));
        let in_time = pin!(within(limits.body_read_timeout, whole));
        before_stop(stopping, in_time).await
    });
    match rest.await.ok_or(Problem::Draining)? {
        Some(Ok(whole)) => Ok(whole),
        Some(Err(BodyError::Stalled)) | None => Err(Problem::BodyTooSlow),
        Some(Err(BodyError::Error(error))) => Err(unreadable(error)),
    }
}

/// Waits for a body; returns `None` if it is not there when the server has been stopping for as long as any client may
/// hold a stop.
async fn before_stop<F: Future>(stopping: &watch::Receiver<bool>, body: F) -> Option<F::Output> {
    let mut body = pin!(body);
    // Most often all of it is there.
    if let Poll::Ready(read) = poll_fn(|context| Poll::Ready(body.as_mut().poll(context))).await {
        return Some(read);
    }
    let mut stopping = stopping.clone();
    let stopped = async {
        let _or_ended = stopping.wait_for(|stopping| *stopping).await;
        tokio::time::sleep(STOPPING_MAX).await;
    };
    tokio::select! {
        biased;
        read = body => Some(read),
        () = stopped => None,
    }
}

/// Reads a body that no route reads, and drops it: hyper closes a connection on which a body is left. Returns false if it is
/// too long or too late.
pub async fn discard(headers: &HeaderMap, body: &mut Incoming, bounds: BodyBounds<'_>) -> bool {
    let BodyBounds { limits, stopping } = bounds;
    if announced(headers).is_some_and(|length| length > limits.body_bytes_max) {
        return false;
    }
    let all = async {
        let mut bytes = 0usize;
        while bytes <= limits.body_bytes_max {
            match within(limits.body_stall_timeout, body.frame()).await {
                Some(Some(Ok(frame))) => bytes = bytes.saturating_add(frame.data_ref().map_or(0, Bytes::len)),
                Some(None) => return true,
                Some(Some(Err(_))) | None => return false,
            }
        }
        false
    };
    before_stop(stopping, within(limits.body_read_timeout, all)).await.flatten().unwrap_or(false)
}

/// Returns the length that the head announces, in bytes.
#[must_use]
pub fn announced(headers: &HeaderMap) -> Option<usize> {
    let length: u64 = headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    Some(usize::try_from(length).unwrap_or(usize::MAX))
}

/// The bytes for which a long body takes one place.
const PLACE_BYTES: usize = 64 << 10;

/// Returns the places that a body takes while it is read: none if it is announced with at most `short` bytes, otherwise one for each
/// 64 KiB that it may have. The number of places bounds the memory of long bodies.
#[must_use]
pub fn places(headers: &HeaderMap, short: usize, bytes_max: usize) -> u32 {
    let length = announced(headers).map_or(bytes_max, |length| length.min(bytes_max));
    if length <= short { 0 } else { u32::try_from(length.div_ceil(PLACE_BYTES)).unwrap_or(u32::MAX) }
}

/// The failure to read a whole body.
enum BodyError {
    Stalled,
    Error(Box<dyn std::error::Error + Send + Sync>),
}

/// Reads the pieces of a body that follow the first. A body of one piece is not copied.
async fn read(mut first: Bytes, mut body: Limited<Incoming>, stall: Duration) -> Result<Bytes, BodyError> {
    let mut rest = Vec::new();
    while let Some(frame) = within(stall, body.frame()).await.ok_or(BodyError::Stalled)? {
        // A frame that is not data is a trailer, which no route reads.
        let Ok(piece) = frame.map_err(BodyError::Error)?.into_data() else { continue };
        if first.is_empty() {
            first = piece;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&piece);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.into() })
}

/// Returns true if the body has a content coding such as gzip: the server decodes none.
#[must_use]
pub fn is_encoded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// Returns true if the body has this media type, and no other: two headers, or a list in one, are ambiguous.
fn is_media_type(headers: &HeaderMap, wanted: &str) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Ok(value) = value.to_str() else { return false };
    let (media_type, parameters) = value.split_once(';').unwrap_or((value, ""));
    media_type.trim().eq_ignore_ascii_case(wanted) && !parameters.contains(',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_body_takes_a_place_for_each_64_kib_that_it_may_have() {
        let places_of = |length: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(length) = length {
                headers.insert(CONTENT_LENGTH, hyper::header::HeaderValue::from_static(length));
            }
            places(&headers, 8192, 819_200)
        };
        assert_eq!([places_of(Some("8192")), places_of(Some("8193")), places_of(Some("65537"))], [0, 1, 2]);
        assert_eq!([places_of(None), places_of(Some("99999999999"))], [13, 13]);
    }

    #[test]
    fn one_media_type_is_a_body_s_and_two_are_none() {
        let is_json = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_TYPE, hyper::header::HeaderValue::from_static(value));
            }
            is_media_type(&headers, "application/json")
        };
        for good in ["application/json", "Application/JSON ; charset=utf-8", "application/json;"] {
            assert!(is_json(&[good]), "{good}");
        }
        for bad in [
            &[][..],
            &["text/plain"],
            &["application/json", "application/json"],
            &["application/json", "text/plain"],
            &["text/plain", "application/json"],
            &["application/json, text/plain"],
            &["application/json; charset=utf-8, text/plain"],
        ] {
            assert!(!is_json(bad), "{bad:?}");
        }
    }
}
