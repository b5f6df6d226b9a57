//! Compression of responses (gzip), for clients that accept it.
//!
//! Compressed are the OpenAPI document, pages of the lists of drops and auctions, and metrics: large, and without a secret.
//!
//! Never compressed is a response with a secret beside text that a client chose: its length would tell an observer
//! whether the two are alike, and a client that tries texts could spell the secret (BREACH). Orders, their lists, exports,
//! searches and pages have keys to orders and contacts beside buyers' texts; webhook endpoints have secrets. Nor are
//! drops, auctions and answers to writes, which fit one packet and are on the path of every order, nor streams.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue, VARY};

use super::body::Body;

/// The OpenAPI document becomes a twelfth in 1 ms; the levels above take several times as long for a sixth less.
const LEVEL: Compression = Compression::new(4);

/// Compresses a body.
#[must_use]
pub fn gzip(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), LEVEL);
    // Writing to memory cannot fail.
    let _in_memory = encoder.write_all(body);
    encoder.finish().unwrap_or_default().into()
}

/// Returns the entity tag of the compressed form: another sequence of bytes has another strong tag (RFC 9110, 8.8.3.3).
#[must_use]
pub fn gzip_tag(tag: &HeaderValue) -> HeaderValue {
    let plain = tag.to_str().unwrap_or("").trim_end_matches('"');
    HeaderValue::from_str(&format!("{plain}-gzip\"")).unwrap_or(HeaderValue::from_static("\"0-gzip\""))
}

/// Marks a response of a route that compresses for some clients: caches must tell these clients apart.
pub fn mark(response: &mut Response<Body>, compressed: bool) {
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    if compressed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
}

/// Returns true if the client accepts gzip, and does not like it less than no coding.
#[must_use]
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    accepts(headers, &["gzip", "x-gzip"])
}

/// Returns true if the client accepts a coding by one of its names, and does not like it less than no coding (RFC 9110, 12.5.3).
#[must_use]
pub fn accepts(headers: &HeaderMap, names: &[&str]) -> bool {
    let (mut wanted, mut any, mut identity) = (None, None, None);
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    for item in values.flat_map(|value| value.split(',')) {
        let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
        let coding = coding.trim();
        let known = if names.iter().any(|name| coding.eq_ignore_ascii_case(name)) {
            &mut wanted
        } else if coding == "*" {
            &mut any
        } else if coding.eq_ignore_ascii_case("identity") {
            &mut identity
        } else {
            continue;
        };
        *known = Some(weight(parameters));
    }
    let wanted = wanted.or(any).unwrap_or(0);
    wanted > 0 && wanted >= identity.unwrap_or(0)
}

/// Returns the weight of an item in thousandths: 1000 without one, 0 for a malformed one.
fn weight(parameters: &str) -> u16 {
    let mut given = parameters.split(';').map(str::trim).filter(|parameter| !parameter.is_empty());
    let Some(parameter) = given.next() else { return 1000 };
    let number = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="));
    number.and_then(thousandths).unwrap_or(0)
}

fn thousandths(number: &str) -> Option<u16> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if part.len() > 3 || !part.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    match whole {
        "0" => format!("{part:0<3}").parse().ok(),
        "1" if part.bytes().all(|digit| digit == b'0') => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn accepts(values: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_static(value));
        }
        accepts_gzip(&headers)
    }

    #[test]
    fn gzip_is_for_clients_that_accept_it_and_do_not_prefer_none() {
        let yes: &[&[&str]] = &[
            &["gzip"],
            &["GZIP"],
            &["x-gzip"],
            &["gzip, deflate, br, zstd"],
            &["br;q=1.0, gzip;q=0.8, *;q=0.1"],
            &["br", "gzip"],
            &["*"],
            &["gzip ; q=0.001"],
            &["gzip;Q=1.000"],
            &["identity, gzip"],
            &["identity;q=0, *;q=0.5"],
        ];
        for values in yes {
            assert!(accepts(values), "{values:?}");
        }
        let no: &[&[&str]] = &[
            &[],
            &[""],
            &["identity"],
            &["br"],
            &["gzip;q=0"],
            &["gzip;q=0.000, *"],
            &["*;q=0"],
            &["identity;q=1, gzip;q=0.5"],
            &["gzip;q=2"],
            &["gzip;q=0.0001"],
            &["gzip;q=-1"],
            &["gzip;level=9"],
            &["gzipped"],
        ];
        for values in no {
            assert!(!accepts(values), "{values:?}");
        }
    }

    #[test]
    fn a_compressed_body_is_the_same_after_decompression_and_has_a_tag_of_its_own() {
        let body = "text that repeats itself; ".repeat(400);
        let compressed = gzip(body.as_bytes());
        assert!(compressed.len() * 20 < body.len(), "{}", compressed.len());
        let mut text = String::new();
        flate2::read::GzDecoder::new(&compressed[..]).read_to_string(&mut text).expect("gzip");
        assert_eq!(text, body);
        assert_eq!(gzip_tag(&HeaderValue::from_static("\"dp10m0-0-7\"")), "\"dp10m0-0-7-gzip\"");
    }
}
