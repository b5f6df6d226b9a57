//! Headers of requests and answers that are passed on: those of a connection stay on it, and a client's words about its own
//! address are not passed on.

use std::net::IpAddr;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use ipnet::IpNet;

use crate::http::request::{FIRSTCOME_SHARD, REQUEST_ID};
use crate::types::shard::Shard;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Headers of one connection (RFC 9110, 7.6.1), besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];
/// Headers by which a client would give itself another address, and those that hyper writes.
const OWN: [HeaderName; 5] = [FORWARDED, X_REAL_IP, CONTENT_LENGTH, EXPECT, FIRSTCOME_SHARD];

/// Makes the headers of a request that is passed on.
pub(super) fn onward(mut headers: HeaderMap, peer: IpAddr, trusted: &[IpNet], request_id: &HeaderValue) -> HeaderMap {
    remove_hop_by_hop(&mut headers);
    OWN.iter().for_each(|name| drop(headers.remove(name)));
    let peer = peer.to_canonical();
    if !trusted.iter().any(|network| network.contains(&peer)) {
        headers.remove(X_FORWARDED_FOR);
    }
    // A node reads addresses from the right, up to the first that is no proxy of its own. It knows the router as one, not the
    // proxies before it: what a trusted one says of its client is passed on as it is.
    if !headers.contains_key(X_FORWARDED_FOR)
        && let Ok(value) = HeaderValue::from_str(&peer.to_string())
    {
        headers.append(X_FORWARDED_FOR, value);
    }
    headers.insert(REQUEST_ID, request_id.clone());
    headers
}

/// Makes the headers of an answer that is passed back. It names the shard of the file, unless the node names its own.
pub(super) fn back(headers: &mut HeaderMap, shard: Shard) {
    remove_hop_by_hop(headers);
    headers.entry(FIRSTCOME_SHARD).or_insert_with(|| HeaderValue::from(u16::from(shard.get())));
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    named.iter().chain(HOP_BY_HOP.iter()).for_each(|name| drop(headers.remove(name)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn sent(lines: &[(&'static str, &'static str)], peer: &str) -> Vec<(String, String)> {
        let trusted = ["10.0.0.0/8".parse().expect("a network")];
        let peer = peer.parse().expect("an address");
        let onward = onward(headers(lines), peer, &trusted, &HeaderValue::from_static("r1"));
        let text = |value: &HeaderValue| value.to_str().expect("text").to_string();
        onward.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
    }

    #[test]
    fn forged_addresses_and_headers_of_a_connection_are_not_passed_on() {
        let forged = [
            ("x-forwarded-for", "1.2.3.4"),
            ("forwarded", "for=1.2.3.4"),
            ("x-real-ip", "1.2.3.4"),
            ("connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "Basic x"),
            ("firstcome-shard", "3"),
            ("idempotency-key", "k"),
            ("traceparent", "00-1-2-01"),
        ];
        let mut passed = sent(&forged, "9.9.9.9");
        passed.sort();
        let expected = [
            ("idempotency-key", "k"),
            ("request-id", "r1"),
            ("traceparent", "00-1-2-01"),
            ("x-forwarded-for", "9.9.9.9"),
        ];
        assert_eq!(passed, expected.map(|(name, value)| (name.to_string(), value.to_string())));
    }

    #[test]
    fn a_trusted_proxy_s_words_are_kept_as_they_are_and_one_without_words_is_the_client() {
        let passed = sent(&[("x-forwarded-for", "6.6.6.6, 1.2.3.4")], "::ffff:10.0.0.1");
        let addresses: Vec<_> =
            passed.iter().filter(|(name, _)| name == "x-forwarded-for").map(|(_, value)| value.as_str()).collect();
        assert_eq!(addresses, ["6.6.6.6, 1.2.3.4"], "a node finds the client although it knows the router alone");
        let silent = sent(&[], "10.0.0.1");
        assert!(silent.contains(&("x-forwarded-for".to_string(), "10.0.0.1".to_string())));
    }

    #[test]
    fn an_answer_names_its_shard_and_keeps_what_it_says_of_its_state() {
        let mut answer = headers(&[
            ("connection", "keep-alive"),
            ("keep-alive", "5"),
            ("firstcome-as-of", "1-7"),
            ("etag", "\"d\""),
        ]);
        back(&mut answer, Shard::new(7));
        assert_eq!(answer.len(), 3);
        assert_eq!(
            (&answer["firstcome-shard"], &answer["firstcome-as-of"]),
            (&"7".parse().expect("a value"), &"1-7".parse().expect("a value"))
        );
    }
}
