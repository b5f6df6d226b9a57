//! Addresses of plain listeners. Other machines than this one need the consent of `--allow-remote`.

use std::net::{SocketAddr, ToSocketAddrs};

/// Resolved address of a plain listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerAddress {
    /// Host and port for the `Host` header.
    pub authority: String,
    pub address: SocketAddr,
}

impl ServerAddress {
    /// Parses and resolves `127.0.0.1:8080` or `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// One line that names the mistake.
    pub fn parse(text: &str, allow_remote: bool) -> Result<ServerAddress, String> {
        if text.starts_with("https:") {
            return Err(format!("{text}: plain HTTP only; use http://host:port"));
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if !authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte)) {
            return Err(format!("{text}: expected host:port or http://host:port, without a path"));
        }
        let addresses: Vec<SocketAddr> =
            authority.to_socket_addrs().map_err(|error| format!("{text}: {error}; expected host:port"))?.collect();
        let first = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
        let Some(address) = first.copied() else { return Err(format!("{text}: no such host")) };
        if !address.ip().is_loopback() && !allow_remote {
            return Err(format!("{text} is another machine: use --allow-remote, with its owner's consent"));
        }
        Ok(ServerAddress { authority: authority.to_owned(), address })
    }

    /// Checks an address that may have the scheme https, without a path.
    ///
    /// # Errors
    /// As [`ServerAddress::parse`].
    pub fn check(text: &str, allow_remote: bool) -> Result<(), String> {
        let plain = text.strip_prefix("https://").unwrap_or(text);
        // The port may be that of the scheme.
        let authority = plain.trim_end_matches('/');
        let has_port =
            authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        let with_port =
            if plain.len() < text.len() && !has_port { format!("{authority}:443") } else { plain.to_owned() };
        ServerAddress::parse(&with_port, allow_remote).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_an_optional_scheme() {
        for text in ["127.0.0.1:8080", "http://127.0.0.1:8080", "http://127.0.0.1:8080/"] {
            let target = ServerAddress::parse(text, false).expect(text);
            assert_eq!((target.authority.as_str(), target.address.port()), ("127.0.0.1:8080", 8080));
        }
        assert_eq!(ServerAddress::parse("[::1]:81", false).map(|target| target.address.port()), Ok(81));
    }

    #[test]
    fn other_machines_need_consent() {
        assert!(ServerAddress::parse("192.0.2.1:80", false).is_err_and(|line| line.contains("--allow-remote")));
        assert!(ServerAddress::parse("192.0.2.1:80", true).is_ok());
        assert!(ServerAddress::check("https://192.0.2.1", false).is_err_and(|line| line.contains("--allow-remote")));
        assert_eq!(ServerAddress::check("https://127.0.0.1:81/", false), Ok(()));
        assert_eq!(ServerAddress::check("https://127.0.0.1", false), Ok(()));
    }

    #[test]
    fn malformed_addresses_are_errors() {
        for text in
            ["", "127.0.0.1", "https://127.0.0.1:1", "127.0.0.1:8080/v1", "127.0.0.1:99999", "a b:1", "u@127.0.0.1:1"]
        {
            assert!(ServerAddress::parse(text, true).is_err(), "{text}");
        }
    }
}
