//! Parses and checks URLs that requests may go to.

use std::fmt;
use std::net::IpAddr;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::PathAndQuery;

use super::AddressGuard;

const URL_BYTES_MAX: usize = 2048;

/// A URL that has been checked. The addresses of its name are checked later, at every connection.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    pub(super) origin: Origin,
    pub(super) path: PathAndQuery,
    pub(super) host_header: HeaderValue,
}

/// The server at the other end of a connection. Connections of one origin are interchangeable.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Origin {
    pub(super) encrypted: bool,
    pub(super) host: Host,
    pub(super) port: u16,
}

/// The host of a URL: a name to be resolved, or a literal address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Host {
    Name(Box<str>),
    Address(IpAddr),
}

/// The reason why a URL is not allowed. It never contains addresses, so that internal names cannot be probed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TargetError {
    /// Not an absolute HTTP URL, too long, or with user, password or fragment.
    #[error("must be https://HOST/PATH of at most 2048 bytes, without user, password and fragment")]
    Malformed,
    /// `http://`, although the configuration allows no private networks.
    #[error("must begin with https://")]
    NotEncrypted,
    /// The address is neither public nor in an allowed network.
    #[error("must lead to the public internet, or to a network that the configuration allows")]
    Forbidden,
}

impl Target {
    /// Parses a URL and checks its scheme and, if its host is a literal address, that address.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn parse(url: &str, guard: &AddressGuard) -> Result<Target, TargetError> {
        let plain = url.bytes().all(|byte| byte.is_ascii_graphic() && !b"#<>\"\\".contains(&byte));
        if url.len() > URL_BYTES_MAX || !plain {
            return Err(TargetError::Malformed);
        }
        let uri: Uri = url.parse().map_err(|_| TargetError::Malformed)?;
        let encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if guard.has_allowed_networks() => false,
            Some("http") => return Err(TargetError::NotEncrypted),
            Some(_) | None => return Err(TargetError::Malformed),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.ok_or(TargetError::Malformed)?;
        let host = host_of(authority.host()).ok_or(TargetError::Malformed)?;
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            // Text follows the host that is not a port.
            None if authority.as_str() != authority.host() => return Err(TargetError::Malformed),
            None if encrypted => 443,
            None => 80,
        };
        if port == 0 {
            return Err(TargetError::Malformed);
        }
        if let Host::Address(address) = host
            && !guard.permits(address, encrypted)
        {
            return Err(TargetError::Forbidden);
        }
        let host_header = HeaderValue::from_str(authority.as_str()).map_err(|_| TargetError::Malformed)?;
        let path = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        Ok(Target { origin: Origin { encrypted, host, port }, path, host_header })
    }

    /// Returns the target with another path and query on the same server.
    #[must_use]
    pub fn with_path(&self, path: PathAndQuery) -> Target {
        Target { origin: self.origin.clone(), path, host_header: self.host_header.clone() }
    }

    /// Returns whether the URL is at this `HOST` or `HOST:PORT`, in lower case.
    #[must_use]
    pub fn is_at(&self, authority: &str) -> bool {
        let host = self.host().to_ascii_lowercase();
        authority == host || authority == format!("{host}:{}", self.origin.port)
    }

    /// Returns the host, for logs and messages: a URL's path may be a secret.
    #[must_use]
    pub fn host(&self) -> String {
        match &self.origin.host {
            Host::Name(name) => name.to_string(),
            Host::Address(address) => address.to_string(),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.host())
    }
}

fn host_of(text: &str) -> Option<Host> {
    if let Some(inner) = text.strip_prefix('[') {
        return inner.strip_suffix(']')?.parse().ok().map(|address| Host::Address(IpAddr::V6(address)));
    }
    if let Ok(address) = text.parse() {
        return Some(Host::Address(IpAddr::V4(address)));
    }
    let good = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let labels = text.strip_suffix('.').unwrap_or(text);
    // A numeric last label makes an address in an old spelling (`127.1`, `0x7f.1`, `2130706433`): no name ends so.
    let last = labels.rsplit('.').next()?;
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").or_else(|| last.strip_prefix("0X")).is_some();
    let is_name = labels.len() <= 253 && labels.split('.').all(good) && !numeric;
    is_name.then(|| Host::Name(text.to_ascii_lowercase().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(allowed: &[&str], url: &str) -> Result<Target, TargetError> {
        let allowed = allowed.iter().map(|network| network.parse().expect("a network")).collect();
        Target::parse(url, &AddressGuard::new(allowed))
    }

    #[test]
    fn a_url_is_parsed_into_origin_and_path() {
        let target = parse(&[], "https://Shop.example/hooks?key=1").expect("good");
        assert_eq!((target.host().as_str(), target.origin.port), ("shop.example", 443));
        assert_eq!(target.path.as_str(), "/hooks?key=1");
        assert_eq!(parse(&[], "https://shop.example:8443").expect("good").path.as_str(), "/");
        assert_eq!(parse(&[], "https://[2606:4700::1]:8443/x").expect("good").origin.port, 8443);
        assert_eq!(format!("{target:?}"), "Target(shop.example)", "the path may be a secret");
    }

    #[test]
    fn malformed_urls_are_refused() {
        for url in [
            "",
            "shop.example",
            "/hooks",
            "ftp://shop.example/",
            "https://",
            "https:///hooks",
            "https://a b/",
            "https://user:word@shop.example/",
            "https://user@shop.example/",
            "https://shop.example/#part",
            "https://shop.example:0/",
            "https://shop.example:/",
            "https://shop.example:99999/",
            "https://-/..",
            "https://a..b/",
            "https://.example/",
            "https://shop.example/\u{e4}",
            "https://127.1/",
            "https://0x7f.0x1/",
            "https://2130706433/",
            "https://0177.0.0.1/",
            "https://1.2.3.4.5/",
            "https://[::1/",
            "https://[v1.x]/",
            "https://shop.example\r\nX: y/",
            "javascript:alert(1)",
            "file:///etc/passwd",
        ] {
            let refused = parse(&[], url).expect_err(url);
            assert!(matches!(refused, TargetError::Malformed), "{url}: {refused}");
        }
        assert_eq!(parse(&[], &format!("https://shop.example/{}", "x".repeat(2048))), Err(TargetError::Malformed));
    }

    #[test]
    fn literal_addresses_are_checked_when_the_url_is_parsed() {
        for url in [
            "https://127.0.0.1/",
            "https://10.0.0.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://0.0.0.0/",
            "https://[fe80::1]/",
        ] {
            assert_eq!(parse(&[], url), Err(TargetError::Forbidden), "{url}");
        }
        assert!(parse(&["127.0.0.0/8"], "https://127.0.0.1/").is_ok());
        assert!(parse(&["127.0.0.0/8"], "http://127.0.0.1:8000/").is_ok());
        assert_eq!(parse(&["127.0.0.0/8"], "http://10.0.0.1/"), Err(TargetError::Forbidden));
        assert_eq!(parse(&["127.0.0.0/8"], "http://1.1.1.1/"), Err(TargetError::Forbidden), "not without TLS");
    }

    #[test]
    fn http_needs_an_allowed_network() {
        assert_eq!(parse(&[], "http://shop.example/"), Err(TargetError::NotEncrypted));
        assert!(parse(&["10.0.0.0/8"], "http://shop.internal/").is_ok(), "its addresses are checked when it is called");
    }
}
