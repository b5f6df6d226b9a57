//! The guard against server-side request forgery: requests go to the public internet, and to networks that the operator
//! allows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(first: u16, second: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), prefix)
}

/// Networks without public hosts (IANA's registry of special-purpose IPv4 addresses).
const SPECIAL_V4: [Ipv4Net; 16] = [
    v4(0, 0, 0, 0, 8),       // this host; connecting there reaches the machine itself
    v4(10, 0, 0, 0, 8),      // private
    v4(100, 64, 0, 0, 10),   // between a carrier and its customers
    v4(127, 0, 0, 0, 8),     // loopback
    v4(169, 254, 0, 0, 16),  // link-local: the metadata services of clouds
    v4(172, 16, 0, 0, 12),   // private
    v4(192, 0, 0, 0, 24),    // protocol assignments
    v4(192, 0, 2, 0, 24),    // documentation
    v4(192, 88, 99, 0, 24),  // 6to4 relays
    v4(192, 168, 0, 0, 16),  // private
    v4(198, 18, 0, 0, 15),   // benchmarks
    v4(198, 51, 100, 0, 24), // documentation
    v4(203, 0, 113, 0, 24),  // documentation
    v4(224, 0, 0, 0, 4),     // multicast
    v4(240, 0, 0, 0, 4),     // reserved
    v4(255, 255, 255, 255, 32),
];

/// The only IPv6 addresses of the public internet. Outside of it are loopback, IPv4-mapped, NAT64, private, link-local
/// and multicast ones.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 3);

/// Networks inside [`GLOBAL_V6`] without public hosts of their own.
const SPECIAL_V6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 23),     // protocol assignments: Teredo, which hides an IPv4 address, among them
    v6(0x2001, 0xdb8, 32), // documentation
    v6(0x2002, 0, 16),     // 6to4, which hides an IPv4 address
    v6(0x3fff, 0, 20),     // documentation
];

/// Decides which addresses requests may go to.
#[derive(Clone, Debug, Default)]
pub struct AddressGuard {
    allowed: Vec<IpNet>,
}

/// The class of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AddressClass {
    /// A public host; permitted over TLS only.
    Public,
    /// In a network that the operator allows; permitted with or without TLS.
    Allowed,
    Forbidden,
}

impl AddressGuard {
    /// Creates a guard that permits the public internet and these networks.
    #[must_use]
    pub fn new(allowed: Vec<IpNet>) -> AddressGuard {
        AddressGuard { allowed }
    }

    /// Returns the class of an address. Callers pass the address that they connect to, never one that is resolved again.
    pub(super) fn classify(&self, address: IpAddr) -> AddressClass {
        if self.allowed.iter().any(|network| network.contains(&address)) {
            return AddressClass::Allowed;
        }
        let special = match address {
            IpAddr::V4(address) => SPECIAL_V4.iter().any(|network| network.contains(&address)),
            IpAddr::V6(address) => {
                !GLOBAL_V6.contains(&address) || SPECIAL_V6.iter().any(|network| network.contains(&address))
            }
        };
        if special { AddressClass::Forbidden } else { AddressClass::Public }
    }

    /// Returns true if a request may go to this address; `encrypted` is true for `https`.
    pub(super) fn permits(&self, address: IpAddr, encrypted: bool) -> bool {
        match self.classify(address) {
            AddressClass::Public => encrypted,
            AddressClass::Allowed => true,
            AddressClass::Forbidden => false,
        }
    }

    /// Returns true if the operator allows any network. Without one, no `http` URL can be permitted.
    pub(super) fn has_allowed_networks(&self) -> bool {
        !self.allowed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(allowed: &[&str], address: &str) -> AddressClass {
        let allowed = allowed.iter().map(|network| network.parse().expect("a network")).collect();
        AddressGuard::new(allowed).classify(address.parse().expect("an address"))
    }

    #[test]
    fn public_hosts_are_permitted() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1",
            "2a00:1450::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2003::1",
            "3ffe::1",
        ] {
            assert_eq!(verdict(&[], address), AddressClass::Public, "{address}");
        }
    }

    #[test]
    fn special_purpose_addresses_are_forbidden() {
        for address in [
            // this host, private, carriers, loopback, link-local
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "192.168.255.255",
            // assignments, documentation, benchmarks, multicast, reserved, broadcast
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            // IPv6: unspecified, loopback, private, link-local, site-local, multicast, discard, documentation
            "::",
            "::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "2001:db8::1",
            "3fff::1",
            // an IPv4 address inside: mapped, compatible, NAT64, 6to4, Teredo: forbidden for every address inside
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::a00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:0:a00:1::1",
        ] {
            assert_eq!(verdict(&[], address), AddressClass::Forbidden, "{address}");
        }
    }

    #[test]
    fn an_allowed_network_is_permitted_and_nothing_beside_it() {
        assert_eq!(verdict(&["10.1.0.0/16"], "10.1.2.3"), AddressClass::Allowed);
        assert_eq!(verdict(&["10.1.0.0/16"], "10.2.2.3"), AddressClass::Forbidden);
        assert_eq!(verdict(&["10.1.0.0/16"], "::ffff:10.1.2.3"), AddressClass::Forbidden, "an IPv4-mapped spelling");
        assert_eq!(verdict(&["fd00:1::/32"], "fd00:1::5"), AddressClass::Allowed);
        assert_eq!(verdict(&["0.0.0.0/0"], "::1"), AddressClass::Forbidden, "all of IPv4, but no IPv6");
    }

    #[test]
    fn only_allowed_networks_are_called_without_tls() {
        let guard = AddressGuard::new(vec!["127.0.0.0/8".parse().expect("a network")]);
        let through = |address: &str, encrypted| guard.permits(address.parse().expect("an address"), encrypted);
        assert!(through("127.0.0.1", false) && through("127.0.0.1", true) && through("1.1.1.1", true));
        assert!(!through("1.1.1.1", false) && !through("10.0.0.1", true) && !through("10.0.0.1", false));
    }
}
