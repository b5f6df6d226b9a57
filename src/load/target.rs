//! Where the load goes: an address on this machine, unless the person insists.

use std::net::{SocketAddr, ToSocketAddrs};

/// A listener of the server under load.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    /// Host and port as the `Host` header names them.
    pub(crate) authority: String,
    /// Where to connect.
    pub(crate) address: SocketAddr,
}

impl Target {
    /// A target out of `127.0.0.1:8080` or `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// One line that says what is wrong with it.
    pub(crate) fn parse(text: &str, allow_remote: bool) -> Result<Target, String> {
        if text.starts_with("https:") {
            return Err(format!("{text}: rush speaks plain HTTP only; use http://host:port"));
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
            return Err(format!(
                "{text} is another machine: load it only with its owner's consent, and --allow-remote"
            ));
        }
        Ok(Target { authority: authority.to_owned(), address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_goes_with_and_without_its_scheme() {
        for text in ["127.0.0.1:8080", "http://127.0.0.1:8080", "http://127.0.0.1:8080/"] {
            let target = Target::parse(text, false).expect(text);
            assert_eq!((target.authority.as_str(), target.address.port()), ("127.0.0.1:8080", 8080));
        }
        assert_eq!(Target::parse("[::1]:81", false).map(|target| target.address.port()), Ok(81));
    }

    #[test]
    fn other_machines_need_consent() {
        assert!(Target::parse("192.0.2.1:80", false).is_err_and(|line| line.contains("--allow-remote")));
        assert!(Target::parse("192.0.2.1:80", true).is_ok());
    }

    #[test]
    fn what_is_no_address_is_said_so() {
        for text in
            ["", "127.0.0.1", "https://127.0.0.1:1", "127.0.0.1:8080/v1", "127.0.0.1:99999", "a b:1", "u@127.0.0.1:1"]
        {
            assert!(Target::parse(text, true).is_err(), "{text}");
        }
    }
}
