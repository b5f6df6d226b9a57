//! The address of a client: its peer address, or the one that a trusted proxy forwards. The header is ignored from any
//! other peer.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::types::AddressBlock;

/// Hops of a chain of proxies that are read; a longer header is not trusted.
const HOPS_MAX: usize = 32;

/// The address of a client, in canonical form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientAddress(IpAddr);

/// The unit that limits count by: an IPv4 address, or an IPv6 network of 64 bits, which is what one customer gets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AddressGroup(u128);

impl ClientAddress {
    /// Returns the address in canonical form: an IPv4 address that is mapped to IPv6 is an IPv4 address.
    #[must_use]
    pub fn new(address: IpAddr) -> ClientAddress {
        ClientAddress(address.to_canonical())
    }

    #[must_use]
    pub const fn get(self) -> IpAddr {
        self.0
    }

    #[must_use]
    pub const fn is_loopback(self) -> bool {
        self.0.is_loopback()
    }

    /// Returns the group that limits count this address by.
    #[must_use]
    pub const fn group(self) -> AddressGroup {
        match self.0 {
            // Mapped addresses have their own network, so the two kinds never meet.
            IpAddr::V4(address) => AddressGroup(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => AddressGroup(address.to_bits() >> 64 << 64),
        }
    }
}

impl ClientAddress {
    /// Returns the block of this address: 24 bits of IPv4, 48 of IPv6, with a bit that tells them apart.
    #[must_use]
    pub const fn block(self) -> AddressBlock {
        match self.0 {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                AddressBlock(1 << 48 | u64::from_be_bytes([0, 0, 0, 0, 0, a, b, c]))
            }
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, ..] = address.octets();
                AddressBlock(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
            }
        }
    }
}

impl AddressGroup {
    /// Returns the group in 64 bits: the network of IPv6, or the IPv4 address in a range that IPv6 routes nowhere.
    pub(super) const fn bits(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0.to_be_bytes();
        let [.., i, j, k, l, m, n, o, p] = self.0.to_be_bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) ^ u64::from_be_bytes([i, j, k, l, m, n, o, p])
    }
}

/// The sender of a request, by its connection and by what a trusted proxy forwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestSender {
    pub address: ClientAddress,
    /// The header of a trusted proxy is malformed: the address is the proxy's, and the sender is a client behind it.
    pub is_unknown: bool,
}

/// The peers whose `X-Forwarded-For` is trusted.
#[derive(Clone, Default, Debug)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> TrustedProxies {
        TrustedProxies(networks)
    }

    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Returns the sender behind a peer. `forwarded_for` are the values of all `X-Forwarded-For` lines in their order.
    /// They are read from the right, because any client can write what stands left of the first address that is not a
    /// trusted proxy. If one of the addresses read is unparsable, the whole header is ignored, and the sender is unknown.
    pub fn sender<'headers>(
        &self,
        peer: IpAddr,
        forwarded_for: impl DoubleEndedIterator<Item = &'headers [u8]>,
    ) -> RequestSender {
        let of = |address| RequestSender { address: ClientAddress::new(address), is_unknown: false };
        if self.0.is_empty() || !self.contain(peer) {
            return of(peer);
        }
        let hops = forwarded_for.rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
        let mut client = peer;
        for (index, hop) in hops.enumerate() {
            match address(hop) {
                Some(address) if index < HOPS_MAX => client = address,
                Some(_) | None => return RequestSender { is_unknown: true, ..of(peer) },
            }
            if !self.contain(client) {
                break;
            }
        }
        of(client)
    }
}

/// Parses an address, with or without a port or a zone, as proxies write it.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    if let Some((head, zone)) = text.split_once('%') {
        let tail = zone.find(']').map_or("", |end| &zone[end..]);
        return address(format!("{head}{tail}").as_bytes());
    }
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
            (&[], "10.0.0.1", &["1.2.3.4"], "10.0.0.1"), // no proxies: the header is ignored
            (&ours, "9.9.9.9", &["1.2.3.4"], "9.9.9.9"), // forged by another peer
            (&ours, "10.0.0.1", &[], "10.0.0.1"),
            (&ours, "10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
            (&ours, "10.0.0.1", &["6.6.6.6, 1.2.3.4"], "1.2.3.4"), // the client's own words stand left
            (&ours, "10.0.0.1", &["6.6.6.6", "1.2.3.4"], "1.2.3.4"), // in lines of their own, too
            (&ours, "10.0.0.1", &["6.6.6.6, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
            (&ours, "10.0.0.1", &["6.6.6.6, 1.2.3.4", "10.0.0.2,10.0.0.3"], "1.2.3.4"),
            (&ours, "10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"), // all ours: the first of them
            (&ours, "10.0.0.1", &["127.0.0.1, 1.2.3.4"], "1.2.3.4"), // a client cannot claim to be loopback
            (&ours, "10.0.0.1", &["nonsense"], "10.0.0.1"),
            (&ours, "10.0.0.1", &["1.2.3.4, "], "10.0.0.1"),
            (&ours, "10.0.0.1", &["nonsense, 1.2.3.4"], "1.2.3.4"), // what stands left of it is not read
            (&ours, "10.0.0.1", &["1.2.3.4, nonsense, 10.0.0.2"], "10.0.0.1"),
            (&ours, "10.0.0.1", &["unknown"], "10.0.0.1"),
            (&ours, "10.0.0.1", &["fe80::1%eth0"], "fe80::1"), // a zone
            (&ours, "10.0.0.1", &["[fe80::1%eth0]:443"], "fe80::1"),
            (&ours, "10.0.0.1", &["1.2.3.4:5678"], "1.2.3.4"),
            (&ours, "10.0.0.1", &["[2001:db8::1]:443"], "2001:db8::1"),
            (&ours, "10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            (&ours, "fd00::1", &["2001:db8::1"], "2001:db8::1"),
            (&ours, "::ffff:10.0.0.1", &["::ffff:1.2.3.4"], "1.2.3.4"), // a dual-stack listener
        ];
        let unread = ["1.2.3.4, ", "nonsense", "unknown", "1.2.3.4, nonsense, 10.0.0.2"];
        for (ours, peer, lines, expected) in cases {
            let found = proxies(ours).sender(peer.parse().expect("an address"), lines.iter().map(|l| l.as_bytes()));
            assert_eq!(found.address.get(), expected.parse::<IpAddr>().expect("an address"), "{peer} {lines:?}");
            assert_eq!(found.is_unknown, unread.contains(&lines.concat().as_str()), "{lines:?}");
        }
        let long = vec!["10.0.0.2"; HOPS_MAX].join(",");
        let sender =
            |text: &str| proxies(&ours).sender("10.0.0.1".parse().expect("one"), [text.as_bytes()].into_iter());
        let endless = sender(&format!("10.0.0.9,{long}"));
        assert_eq!((endless.address.get().to_string().as_str(), endless.is_unknown), ("10.0.0.1", true));
        assert_eq!(sender(&long).address.get().to_string(), "10.0.0.2");
        assert!(sender("").is_unknown, "an empty header");
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
