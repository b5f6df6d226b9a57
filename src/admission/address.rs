//! Where a client is: its peer address, or what proxies of ours say. A header is worth nothing from anybody else.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// Hops of a chain of proxies that are looked at; a longer one is nobody's honest header.
const HOPS_MAX: usize = 32;

/// The address of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientAddress(IpAddr);

/// What limits count by: an IPv4 address, or an IPv6 network of 64 bits, which is what one customer gets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AddressGroup(u128);

impl ClientAddress {
    /// An address, in the one form that it has: an IPv4 address that is written as IPv6 is an IPv4 address.
    #[must_use]
    pub fn new(address: IpAddr) -> ClientAddress {
        ClientAddress(address.to_canonical())
    }

    /// The address.
    #[must_use]
    pub const fn get(self) -> IpAddr {
        self.0
    }

    /// Whether it is this machine.
    #[must_use]
    pub const fn is_loopback(self) -> bool {
        self.0.is_loopback()
    }

    /// What limits count it by.
    #[must_use]
    pub const fn group(self) -> AddressGroup {
        match self.0 {
            // Mapped addresses have their own network, so the two kinds never meet.
            IpAddr::V4(address) => AddressGroup(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => AddressGroup(address.to_bits() >> 64 << 64),
        }
    }
}

/// Who may say on whose behalf it calls.
#[derive(Clone, Default, Debug)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// The proxies in these networks.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> TrustedProxies {
        TrustedProxies(networks)
    }

    /// Whether an address is one of them.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client behind a peer. `forwarded_for` are the values of all `X-Forwarded-For` lines in their order: read
    /// from the right, since what stands left of the first address that is not ours was written by anybody. What cannot
    /// be read makes all of it worthless.
    pub fn client<'headers>(
        &self,
        peer: IpAddr,
        forwarded_for: impl DoubleEndedIterator<Item = &'headers [u8]>,
    ) -> ClientAddress {
        if self.0.is_empty() || !self.contain(peer) {
            return ClientAddress::new(peer);
        }
        let hops = forwarded_for.rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
        let mut client = peer;
        for (index, hop) in hops.enumerate() {
            match address(hop) {
                Some(address) if index < HOPS_MAX => client = address,
                Some(_) | None => return ClientAddress::new(peer),
            }
            if !self.contain(client) {
                break;
            }
        }
        ClientAddress::new(client)
    }
}

/// An address, with or without a port, as proxies write it.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(networks: &[&str]) -> TrustedProxies {
        TrustedProxies::new(networks.iter().map(|network| network.parse().expect("a network")).collect())
    }

    #[test]
    fn the_client_is_the_first_address_from_the_right_that_is_not_ours() {
        let ours = ["10.0.0.0/8", "fd00::/8", "127.0.0.1/32"];
        #[rustfmt::skip] // a case per line
        let cases: &[(&[&str], &str, &[&str], &str)] = &[
            (&[], "10.0.0.1", &["1.2.3.4"], "10.0.0.1"), // no proxies: a header is worth nothing
            (&ours, "9.9.9.9", &["1.2.3.4"], "9.9.9.9"), // forged by somebody who is none of them
            (&ours, "10.0.0.1", &[], "10.0.0.1"),
            (&ours, "10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
            (&ours, "10.0.0.1", &["6.6.6.6, 1.2.3.4"], "1.2.3.4"), // the client's own words stand left
            (&ours, "10.0.0.1", &["6.6.6.6", "1.2.3.4"], "1.2.3.4"), // in lines of their own, too
            (&ours, "10.0.0.1", &["6.6.6.6, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
            (&ours, "10.0.0.1", &["6.6.6.6, 1.2.3.4", "10.0.0.2,10.0.0.3"], "1.2.3.4"),
            (&ours, "10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"), // all ours: the first of them
            (&ours, "10.0.0.1", &["127.0.0.1, 1.2.3.4"], "1.2.3.4"), // nobody becomes this machine by saying so
            (&ours, "10.0.0.1", &["nonsense"], "10.0.0.1"),
            (&ours, "10.0.0.1", &["1.2.3.4, "], "10.0.0.1"),
            (&ours, "10.0.0.1", &["nonsense, 1.2.3.4"], "1.2.3.4"), // left of it nobody looks
            (&ours, "10.0.0.1", &["1.2.3.4, nonsense, 10.0.0.2"], "10.0.0.1"),
            (&ours, "10.0.0.1", &["unknown"], "10.0.0.1"),
            (&ours, "10.0.0.1", &["1.2.3.4:5678"], "1.2.3.4"),
            (&ours, "10.0.0.1", &["[2001:db8::1]:443"], "2001:db8::1"),
            (&ours, "10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            (&ours, "fd00::1", &["2001:db8::1"], "2001:db8::1"),
            (&ours, "::ffff:10.0.0.1", &["::ffff:1.2.3.4"], "1.2.3.4"), // a dual-stack listener
        ];
        for (ours, peer, lines, expected) in cases {
            let found = proxies(ours).client(peer.parse().expect("an address"), lines.iter().map(|l| l.as_bytes()));
            assert_eq!(found.get(), expected.parse::<IpAddr>().expect("an address"), "{peer} {lines:?}");
        }
        let long = vec!["10.0.0.2"; HOPS_MAX].join(",");
        let client =
            |text: &str| proxies(&ours).client("10.0.0.1".parse().expect("one"), [text.as_bytes()].into_iter());
        assert_eq!(client(&format!("10.0.0.9,{long}")).get().to_string(), "10.0.0.1", "a chain without an end");
        assert_eq!(client(&long).get().to_string(), "10.0.0.2");
    }

    #[test]
    fn limits_count_ipv6_by_64_bits_and_ipv4_by_address() {
        let group = |text: &str| ClientAddress::new(text.parse().expect("an address")).group();
        assert_eq!(group("2001:db8:1:2::1"), group("2001:db8:1:2:ffff::9"));
        assert_ne!(group("2001:db8:1:2::1"), group("2001:db8:1:3::1"));
        assert_ne!(group("1.2.3.4"), group("1.2.3.5"));
        assert_eq!(group("1.2.3.4"), group("::ffff:1.2.3.4"));
        assert_ne!(group("0.0.0.0"), group("::"));
    }
}
