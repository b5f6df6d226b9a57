//! The head of an answer, and chunked bodies: no I/O.

/// What of an answer's head matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    pub(crate) framing: Framing,
    /// `Connection: close`.
    pub(crate) close: bool,
    /// `Idempotent-Replayed: true`.
    pub(crate) replayed: bool,
    /// `Retry-After` in seconds; its other form, a date, is taken as absent.
    pub(crate) retry_after_seconds: Option<u32>,
    /// `Firstcome-Time-Ms`: the server's clock.
    pub(crate) time_ms: Option<i64>,
}

/// How the length of the body is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Framing {
    #[default]
    UntilClose,
    Length(usize),
    Chunked,
}

/// The head and its length, once it is complete.
///
/// # Errors
/// What about the bytes is not HTTP/1.1.
pub(super) fn parse_head(input: &[u8]) -> Result<Option<(ResponseHead, usize)>, &'static str> {
    let Some((status_line, mut at)) = line_at(input, 0)? else { return Ok(None) };
    let mut head = ResponseHead { status: parse_status(status_line)?, ..ResponseHead::default() };
    loop {
        let Some((line, next)) = line_at(input, at)? else { return Ok(None) };
        at = next;
        if line.is_empty() {
            break;
        }
        read_header(line, &mut head)?;
    }
    if matches!(head.status, 100..=199 | 204 | 304) {
        head.framing = Framing::Length(0);
    }
    Ok(Some((head, at)))
}

/// The line that begins at `from`, without its CRLF, and where the next one begins.
fn line_at(input: &[u8], from: usize) -> Result<Option<(&[u8], usize)>, &'static str> {
    let rest = &input[from..];
    let Some(length) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    match rest[..length].strip_suffix(b"\r") {
        Some(line) => Ok(Some((line, from + length + 1))),
        None => Err("a line does not end in CRLF"),
    }
}

fn parse_status(line: &[u8]) -> Result<u16, &'static str> {
    let rest = line.strip_prefix(b"HTTP/1.1 ").ok_or("it does not begin with HTTP/1.1")?;
    let digits = rest.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit)).ok_or("no status code")?;
    if !matches!(rest.get(3), None | Some(b' ')) {
        return Err("no status code");
    }
    match digits.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0')) {
        status @ 100..=599 => Ok(status),
        _ => Err("no status code"),
    }
}

/// Takes over one header. The length of the name decides first: most headers are not compared at all.
fn read_header(line: &[u8], head: &mut ResponseHead) -> Result<(), &'static str> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or("a header without a colon")?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    match name.len() {
        14 if name.eq_ignore_ascii_case(b"content-length") => {
            let length =
                number(value).and_then(|length| usize::try_from(length).ok()).ok_or("a wrong Content-Length")?;
            set_framing(head, Framing::Length(length))?;
        }
        17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err("another transfer encoding than chunked");
            }
            set_framing(head, Framing::Chunked)?;
        }
        10 if name.eq_ignore_ascii_case(b"connection") => head.close = value.eq_ignore_ascii_case(b"close"),
        11 if name.eq_ignore_ascii_case(b"retry-after") => {
            head.retry_after_seconds = number(value).and_then(|seconds| u32::try_from(seconds).ok());
        }
        17 if name.eq_ignore_ascii_case(b"firstcome-time-ms") => {
            head.time_ms = number(value).and_then(|ms| i64::try_from(ms).ok());
        }
        19 if name.eq_ignore_ascii_case(b"idempotent-replayed") => head.replayed = value == b"true",
        _ => {}
    }
    Ok(())
}

fn set_framing(head: &mut ResponseHead, framing: Framing) -> Result<(), &'static str> {
    if head.framing != Framing::UntilClose {
        return Err("the length of the body is told twice");
    }
    head.framing = framing;
    Ok(())
}

/// A decimal number of at most 15 digits.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 15 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

/// Puts the chunks together; gives the length of the whole encoded body once its end is there.
///
/// # Errors
/// What about the bytes is no chunked body.
pub(super) fn join_chunks(input: &[u8], joined: &mut Vec<u8>) -> Result<Option<usize>, &'static str> {
    joined.clear();
    let mut at = 0;
    loop {
        let Some((line, data)) = line_at(input, at)? else { return Ok(None) };
        let size = chunk_size(line)?;
        if size == 0 {
            return skip_trailers(input, data);
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

/// The size of a chunk: at most six hexadecimal digits; extensions are skipped.
fn chunk_size(line: &[u8]) -> Result<usize, &'static str> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or(line).trim_ascii();
    if digits.is_empty() || digits.len() > 6 {
        return Err("a wrong chunk size");
    }
    digits.iter().try_fold(0usize, |value, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or("a wrong chunk size")?;
        Ok(value * 16 + usize::try_from(digit).unwrap_or(0))
    })
}

fn skip_trailers(input: &[u8], mut at: usize) -> Result<Option<usize>, &'static str> {
    loop {
        let Some((line, next)) = line_at(input, at)? else { return Ok(None) };
        at = next;
        if line.is_empty() {
            return Ok(Some(at));
        }
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
            time_ms: Some(1_767_225_600_000),
        };
        assert_eq!(head, expected);
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
    fn strange_heads_are_refused() {
        for text in [
            "HTTP/1.0 200 OK\r\n\r\n",
            "SSH-2.0-OpenSSH\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 999 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 200 OK\n\n",
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
            assert_eq!(join_chunks(&body[..cut], &mut joined), Ok(None), "{cut}");
        }
        assert_eq!(join_chunks(body, &mut joined), Ok(Some(body.len())));
        assert_eq!(joined, b"Wikipedia in\r\nchunks");
    }

    #[test]
    fn wrong_chunks_are_refused() {
        let mut joined = Vec::new();
        for body in ["x\r\n", "\r\n", "1000000\r\n", "-1\r\n", "1\r\nab\r\n", "1\r\nabc\r\n"] {
            assert!(join_chunks(body.as_bytes(), &mut joined).is_err(), "{body:?}");
        }
    }
}
