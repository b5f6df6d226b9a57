//! The head of a response, and chunked bodies: no I/O.

use httparse::{EMPTY_HEADER, Error, Header, Response, Status};

/// The parts of a response's head that the load generator needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    pub(crate) framing: Framing,
    /// The server closes the connection after this response.
    pub(crate) close: bool,
    /// `Idempotent-Replayed: true`: the answer to an earlier request.
    pub(crate) replayed: bool,
    /// `Retry-After` in seconds; its other form, a date, counts as absent.
    pub(crate) retry_after_seconds: Option<u32>,
    /// Requests a minute of the policy `buyer-suspected`, if `RateLimit-Policy` names it.
    pub(crate) suspected_quota: Option<u32>,
    /// `RateLimit-Policy` names an address' policy: of buyers with tokens, those of suspected ones alone.
    pub(crate) is_charged_by_address: bool,
    /// Requests that `RateLimit` leaves under the policy `address-writes`.
    pub(crate) address_writes_left: Option<u32>,
    /// `Firstcome-Time-Ms` of an answer that is to be asked for again (202), in milliseconds since 1970.
    pub(crate) time_ms: Option<i64>,
    /// `ETag`; a longer one than the server's counts as absent.
    pub(crate) etag: Option<EntityTag>,
}

/// An entity tag with its quotes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct EntityTag {
    bytes: [u8; 32],
    length: u8,
}

impl EntityTag {
    fn of(value: &[u8]) -> Option<EntityTag> {
        let mut bytes = [0; 32];
        bytes.get_mut(..value.len())?.copy_from_slice(value);
        Some(EntityTag { bytes, length: u8::try_from(value.len()).ok()? })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// The framing of a response's body.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Framing {
    #[default]
    UntilClose,
    Length(usize),
    Chunked,
}

/// Headers of one response, at most; the server's have about 15.
const HEADERS_MAX: usize = 64;

/// Parses a head; gives its length too, or nothing while it is incomplete.
///
/// # Errors
/// The first thing in the bytes that is not HTTP/1.1.
pub(super) fn parse_head(input: &[u8]) -> Result<Option<(ResponseHead, usize)>, &'static str> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut response = Response::new(&mut headers);
    let length = match response.parse(input).map_err(reason)? {
        Status::Complete(length) => length,
        Status::Partial => return Ok(None),
    };
    if response.version != Some(1) {
        return Err("another version than HTTP/1.1");
    }
    let status = response.code.filter(|code| (100..=599).contains(code)).ok_or("an invalid status code")?;
    let mut head = ResponseHead { status, ..ResponseHead::default() };
    for header in response.headers {
        read_header(header, &mut head)?;
    }
    if matches!(status, 100..=199 | 204 | 304) {
        head.framing = Framing::Length(0);
    }
    Ok(Some((head, length)))
}

const fn reason(error: Error) -> &'static str {
    match error {
        Error::HeaderName => "an invalid header name",
        Error::HeaderValue => "an invalid header value",
        Error::NewLine => "an invalid line end",
        Error::Status => "an invalid status code",
        Error::Token => "an invalid status line",
        Error::TooManyHeaders => "too many headers",
        Error::Version => "another version than HTTP/1.1",
    }
}

/// Takes over one header. The length of the name decides first: most headers are not compared at all.
fn read_header(header: &Header<'_>, head: &mut ResponseHead) -> Result<(), &'static str> {
    let is = |name: &str| header.name.eq_ignore_ascii_case(name);
    let value = header.value;
    match header.name.len() {
        14 if is("content-length") => {
            let length = number(value).and_then(|length| usize::try_from(length).ok());
            set_framing(head, Framing::Length(length.ok_or("an invalid Content-Length")?))?;
        }
        17 if head.status == 202 && is("firstcome-time-ms") => {
            head.time_ms = number(value).and_then(|time| i64::try_from(time).ok());
        }
        17 if is("transfer-encoding") => {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err("another transfer encoding than chunked");
            }
            set_framing(head, Framing::Chunked)?;
        }
        4 if is("etag") => head.etag = EntityTag::of(value),
        10 if is("connection") => head.close = value.eq_ignore_ascii_case(b"close"),
        11 if is("retry-after") => {
            head.retry_after_seconds = number(value).and_then(|seconds| u32::try_from(seconds).ok());
        }
        9 if is("ratelimit") => head.address_writes_left = parameter(value, r#""address-writes";r="#),
        16 if is("ratelimit-policy") => {
            head.suspected_quota = parameter(value, r#""buyer-suspected";q="#);
            head.is_charged_by_address = memchr::memmem::find(value, br#""address-"#).is_some();
        }
        19 if is("idempotent-replayed") => head.replayed = value == b"true",
        _ => {}
    }
    Ok(())
}

fn set_framing(head: &mut ResponseHead, framing: Framing) -> Result<(), &'static str> {
    if head.framing != Framing::UntilClose {
        return Err("the body has more than one length");
    }
    head.framing = framing;
    Ok(())
}

/// The number behind a part of a structured field.
fn parameter(value: &[u8], before: &str) -> Option<u32> {
    let at = memchr::memmem::find(value, before.as_bytes())?;
    let digits = value.get(at + before.len()..)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    number(digits.get(..end)?).and_then(|number| u32::try_from(number).ok())
}

/// A decimal number of at most 15 digits.
fn number(text: &[u8]) -> Option<u64> {
    let digits = text.len() <= 15 && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// Joins the chunks of a body; gives the length of the whole encoded body once its end is there.
///
/// # Errors
/// The first thing in the bytes that is not a chunked body of at most `bytes_max`.
pub(super) fn join_chunks(input: &[u8], joined: &mut Vec<u8>, bytes_max: usize) -> Result<Option<usize>, &'static str> {
    joined.clear();
    let mut at = 0;
    loop {
        if input.get(at).is_some_and(|byte| !byte.is_ascii_hexdigit()) {
            return Err("an invalid chunk size");
        }
        let (data, size) = match httparse::parse_chunk_size(&input[at..]).map_err(|_| "an invalid chunk size")? {
            Status::Complete((length, size)) => (at + length, usize::try_from(size).unwrap_or(usize::MAX)),
            Status::Partial => return Ok(None),
        };
        if size == 0 {
            return match httparse::parse_headers(&input[data..], &mut [EMPTY_HEADER; HEADERS_MAX]).map_err(reason)? {
                Status::Complete((length, _trailers)) => Ok(Some(data + length)),
                Status::Partial => Ok(None),
            };
        }
        if size > bytes_max {
            return Err("the body is too large");
        }
        let end = data + size;
        let Some(after) = input.get(end..end + 2) else { return Ok(None) };
        if after != b"\r\n" {
            return Err("a chunk is longer than its size");
        }
        joined.extend_from_slice(&input[data..end]);
        at = end + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> ResponseHead {
        match parse_head(text.as_bytes()) {
            Ok(Some((head, bytes))) if bytes == text.len() => head,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn the_head_gives_what_a_buyer_needs_whatever_the_case() {
        let head = parsed(
            "HTTP/1.1 201 Created\r\ncontent-length: 7\r\nIDEMPOTENT-REPLAYED:true\r\nx-other: a: b\r\n\
             Retry-After:  3 \r\nfirstcome-time-ms: 1767225600000\r\nconnection: close\r\n\r\n",
        );
        let expected = ResponseHead {
            status: 201,
            framing: Framing::Length(7),
            close: true,
            replayed: true,
            retry_after_seconds: Some(3),
            ..ResponseHead::default()
        };
        assert_eq!(head, expected);
    }

    #[test]
    fn the_head_gives_the_policies_of_a_suspected_buyer() {
        let head = |policy: &str, limit: &str| {
            let text = format!(
                "HTTP/1.1 429 X\r\nRateLimit-Policy: {policy}\r\nRateLimit: {limit}\r\ncontent-length: 0\r\n\r\n"
            );
            let head = parsed(&text);
            (head.suspected_quota, head.is_charged_by_address, head.address_writes_left)
        };
        let both = r#""buyer-suspected";q=1;w=60, "address-writes";q=100;w=60"#;
        assert_eq!(head(both, r#""buyer-suspected";r=0;t=60, "address-writes";r=97;t=1"#), (Some(1), true, Some(97)));
        assert_eq!(head(r#""buyer-new";q=50;w=60"#, r#""buyer-new";r=49;t=1"#), (None, false, None));
        assert_eq!(head(r#""address-buyers";q=20;w=60"#, r#""address-buyers";r=0;t=3"#), (None, true, None));
    }

    #[test]
    fn every_cut_of_a_head_is_incomplete_not_wrong() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        for cut in 0..text.len() {
            assert_eq!(parse_head(&text[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn answers_without_a_body_need_no_length() {
        assert_eq!(parsed("HTTP/1.1 304 Not Modified\r\n\r\n").framing, Framing::Length(0));
        assert_eq!(parsed("HTTP/1.1 200 OK\r\n\r\n").framing, Framing::UntilClose);
        assert_eq!(parsed("HTTP/1.1 204\r\n\r\n").status, 204);
    }

    #[test]
    fn invalid_heads_are_refused() {
        for text in [
            "HTTP/1.0 200 OK\r\n\r\n",
            "SSH-2.0-OpenSSH\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 999 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        ] {
            assert!(parse_head(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn chunks_are_put_together_at_any_cut() {
        let body = b"4\r\nWiki\r\n6;x=y\r\npedia \r\nA\r\nin\r\nchunks\r\n0\r\nTrailer: x\r\n\r\n";
        let mut joined = Vec::new();
        for cut in 0..body.len() {
            assert_eq!(join_chunks(&body[..cut], &mut joined, 1 << 20), Ok(None), "{cut}");
        }
        assert_eq!(join_chunks(body, &mut joined, 1 << 20), Ok(Some(body.len())));
        assert_eq!(joined, b"Wikipedia in\r\nchunks");
    }

    #[test]
    fn wrong_chunks_are_refused() {
        let mut joined = Vec::new();
        for body in ["x\r\n", "\r\n", "1000000\r\n", "-1\r\n", "1\r\nab\r\n", "1\r\nabc\r\n"] {
            assert!(join_chunks(body.as_bytes(), &mut joined, 1 << 20).is_err(), "{body:?}");
        }
    }
}
