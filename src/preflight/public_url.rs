//! Check of the URL to which buyers are sent: the running server's own.

use super::finding::Finding;
use crate::client::http::{HttpClient, printable};
use crate::config::host_address;

const CHECK: &str = "public url";

/// Reads the URL from the server's OpenAPI document.
pub async fn public_url(public: &HttpClient) -> Finding {
    match public.get_json("/openapi.json").await {
        Ok(document) => judge(document["servers"][0]["url"].as_str().unwrap_or("")),
        Err(error) => Finding::warn(CHECK, format!("unknown: {error}"), "check --public"),
    }
}

/// Judges the URL to which buyers are sent.
#[must_use]
pub fn judge(url: &str) -> Finding {
    let found = format!("payment_url begins with {}", printable(url));
    let to_do = "set public_url to the address that buyers use, such as https://shop.example";
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let name = rest.split([':', '/']).next().unwrap_or("");
    match host_address(rest) {
        _ if name.is_empty() => Finding::fail(CHECK, "the server names no URL for buyers", to_do),
        Some(address) if address.is_unspecified() => Finding::fail(CHECK, found, to_do),
        Some(address) if address.is_loopback() => Finding::warn(CHECK, format!("{found}: only this machine"), to_do),
        None if name == "localhost" => Finding::warn(CHECK, format!("{found}: only this machine"), to_do),
        _ if scheme != "https" => Finding::warn(CHECK, format!("{found}: in clear text"), "serve buyers with https://"),
        Some(_) | None => Finding::pass(CHECK, found),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_url_that_leads_nowhere_fails_and_one_that_leads_to_this_machine_warns() {
        for (url, verdict) in [
            ("https://shop.example", Verdict::Pass),
            ("https://shop.example:8443/drops", Verdict::Pass),
            ("https://203.0.113.7", Verdict::Pass),
            ("http://shop.example", Verdict::Warn),
            ("https://127.0.0.1:8080", Verdict::Warn),
            ("http://[::1]:8080", Verdict::Warn),
            ("http://localhost:8080", Verdict::Warn),
            ("http://0.0.0.0:8080", Verdict::Fail),
            ("http://[::]:8080", Verdict::Fail),
            ("", Verdict::Fail),
        ] {
            assert_eq!(judge(url).verdict, verdict, "{url}");
        }
    }
}
