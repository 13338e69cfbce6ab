//! Addresses that are not ordinary places on the Internet: the special-purpose registries of IANA, and the
//! metadata services of the large clouds.
//!
//! A few may be allowed by the policy (a private range that previews live in), the rest never.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// A block of addresses with a special purpose.
#[derive(Debug, Clone, Copy)]
struct Block<A> {
    base: A,
    prefix: u32,
    purpose: &'static str,
    is_listable: bool,
}

const fn v4(octets: [u8; 4], prefix: u32, purpose: &'static str, is_listable: bool) -> Block<Ipv4Addr> {
    let [a, b, c, d] = octets;
    Block { base: Ipv4Addr::new(a, b, c, d), prefix, purpose, is_listable }
}

const fn v6(segments: [u16; 8], prefix: u32, purpose: &'static str, is_listable: bool) -> Block<Ipv6Addr> {
    let [a, b, c, d, e, f, g, h] = segments;
    Block { base: Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix, purpose, is_listable }
}

/// <https://www.iana.org/assignments/iana-ipv4-special-registry>, and metadata services that live elsewhere.
/// The first match counts, so that narrow blocks stand before wide ones.
const SPECIAL_V4: [Block<Ipv4Addr>; 24] = [
    v4([0, 0, 0, 0], 8, "unspecified", false),
    v4([169, 254, 169, 254], 32, "cloud metadata", false),
    v4([169, 254, 170, 0], 24, "container metadata", false),
    v4([169, 254, 0, 0], 16, "link-local", false),
    v4([100, 100, 100, 200], 32, "cloud metadata", false),
    v4([168, 63, 129, 16], 32, "cloud metadata", false),
    v4([192, 0, 0, 192], 32, "cloud metadata", false),
    v4([255, 255, 255, 255], 32, "broadcast", false),
    v4([224, 0, 0, 0], 4, "multicast", false),
    v4([240, 0, 0, 0], 4, "reserved", false),
    v4([10, 0, 0, 0], 8, "private", true),
    v4([172, 16, 0, 0], 12, "private", true),
    v4([192, 168, 0, 0], 16, "private", true),
    v4([100, 64, 0, 0], 10, "carrier-grade NAT", true),
    v4([127, 0, 0, 0], 8, "loopback", true),
    v4([192, 0, 0, 0], 24, "protocol assignments", true),
    v4([192, 0, 2, 0], 24, "documentation", true),
    v4([192, 31, 196, 0], 24, "AS112", true),
    v4([192, 52, 193, 0], 24, "automatic multicast tunnelling", true),
    v4([192, 88, 99, 0], 24, "6to4 relay", true),
    v4([192, 175, 48, 0], 24, "AS112", true),
    v4([198, 18, 0, 0], 15, "benchmarking", true),
    v4([198, 51, 100, 0], 24, "documentation", true),
    v4([203, 0, 113, 0], 24, "documentation", true),
];

/// <https://www.iana.org/assignments/iana-ipv6-special-registry>; what is not global unicast (2000::/3) is special too.
const SPECIAL_V6: [Block<Ipv6Addr>; 24] = [
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified", false),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback", true),
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, "IPv4-mapped", false),
    v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, "IPv4-translated", false),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96, "IPv4-compatible", false),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "local NAT64", true),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 32, "discard-only", false),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32, "cloud metadata", false),
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0], 32, "cloud metadata", false),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local", false),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local", false),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast", false),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique local", true),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "Teredo", false),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, "benchmarking", true),
    v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, "ORCHID", false),
    v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, "ORCHID", false),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "protocol assignments", true),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation", true),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4", false),
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, "AS112", true),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation", true),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "segment routing", false),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, "NAT64", false),
];

/// The well-known prefix that NAT64 gateways put before public IPv4 addresses.
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// Why an address may not receive load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Special {
    /// What the address is for.
    pub(super) purpose: &'static str,
    /// Whether the policy could list its network.
    pub(super) is_listable: bool,
}

/// Returns what makes an address unfit, or `None` for an ordinary public address and for one that the policy lists.
pub(super) fn objection_to(address: IpAddr, listed: &[IpNet]) -> Option<Special> {
    let special = special_purpose(address)?;
    let is_listed = special.is_listable && listed.iter().any(|network| network.contains(&address));
    (!is_listed).then_some(special)
}

/// Returns whether a network lies inside one block that a policy may list.
pub(super) fn is_listable(network: &IpNet) -> bool {
    let first = special_purpose(network.network());
    let last = special_purpose(network.broadcast());
    matches!((first, last), (Some(first), Some(last)) if first == last && first.is_listable)
}

fn special_purpose(address: IpAddr) -> Option<Special> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<Special> {
    let block = SPECIAL_V4.iter().find(|block| {
        let differing = u32::from(address) ^ u32::from(block.base);
        differing.checked_shr(32 - block.prefix).unwrap_or(0) == 0
    })?;
    Some(Special { purpose: block.purpose, is_listable: block.is_listable })
}

fn special_v6(address: Ipv6Addr) -> Option<Special> {
    // A network with IPv6 alone reaches ordinary IPv4 hosts through NAT64, so the embedded address decides.
    if address.segments()[..6] == NAT64 {
        let [.., high, low] = address.segments();
        let embedded = Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
        return special_v4(embedded).map(|special| Special { purpose: special.purpose, is_listable: false });
    }
    let found = SPECIAL_V6.iter().find(|block| {
        let differing = u128::from(address) ^ u128::from(block.base);
        differing.checked_shr(128 - block.prefix).unwrap_or(0) == 0
    });
    match found {
        Some(block) => Some(Special { purpose: block.purpose, is_listable: block.is_listable }),
        None if address.segments()[0] & 0xe000 == 0x2000 => None,
        None => Some(Special { purpose: "outside global unicast", is_listable: false }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purpose(address: &str) -> Option<&'static str> {
        objection_to(address.parse().unwrap(), &[]).map(|special| special.purpose)
    }

    #[test]
    fn ordinary_addresses_are_fit() {
        for address in [
            "1.1.1.1",
            "76.76.21.21",
            "100.128.0.1",
            "172.32.0.1",
            "198.20.0.1",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "64:ff9b::101:101",
            "223.255.255.255",
        ] {
            assert_eq!(purpose(address), None, "{address}");
        }
    }

    #[test]
    fn special_addresses_are_unfit() {
        for (address, expected) in [
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("10.255.255.255", "private"),
            ("127.9.9.9", "loopback"),
            ("100.127.255.255", "carrier-grade NAT"),
            ("169.254.169.254", "cloud metadata"),
            ("169.254.170.23", "container metadata"),
            ("169.254.1.1", "link-local"),
            ("172.31.255.255", "private"),
            ("192.0.0.192", "cloud metadata"),
            ("192.168.0.1", "private"),
            ("198.19.255.255", "benchmarking"),
            ("203.0.113.1", "documentation"),
            ("224.0.0.251", "multicast"),
            ("255.255.255.255", "broadcast"),
            ("250.0.0.1", "reserved"),
            ("168.63.129.16", "cloud metadata"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::ffff:1.1.1.1", "IPv4-mapped"),
            ("::ffff:169.254.169.254", "IPv4-mapped"),
            ("::1.1.1.1", "IPv4-compatible"),
            ("64:ff9b::a9fe:a9fe", "cloud metadata"),
            ("64:ff9b::a00:5", "private"),
            ("64:ff9b:1::1", "local NAT64"),
            ("fd00:ec2::254", "cloud metadata"),
            ("fd12::1", "unique local"),
            ("fe80::1", "link-local"),
            ("ff02::1", "multicast"),
            ("2001::1", "Teredo"),
            ("2001:db8::1", "documentation"),
            ("2002:a9fe:a9fe::1", "6to4"),
            ("100::1", "discard-only"),
            ("4000::1", "outside global unicast"),
        ] {
            assert_eq!(purpose(address), Some(expected), "{address}");
        }
    }

    #[test]
    fn a_listed_network_is_fit_and_its_neighbour_is_not() {
        let listed = ["10.20.0.0/16".parse().unwrap()];

        assert_eq!(objection_to("10.20.0.5".parse().unwrap(), &listed), None);
        assert!(objection_to("10.21.0.5".parse().unwrap(), &listed).is_some());
    }

    #[test]
    fn metadata_and_wildcards_stay_unfit_even_when_listed() {
        let listed = ["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];

        for address in [
            "169.254.169.254",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "fd00:ec2::254",
            "::",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:5",
            "168.63.129.16",
        ] {
            assert!(objection_to(address.parse().unwrap(), &listed).is_some(), "{address}");
        }
    }

    #[test]
    fn only_networks_inside_one_private_block_can_be_listed() {
        for network in ["10.0.0.0/8", "192.168.3.0/24", "fd12:3456::/32", "127.0.0.0/8", "100.64.0.0/10"] {
            assert!(is_listable(&network.parse().unwrap()), "{network}");
        }
        for network in [
            "0.0.0.0/0",
            "10.0.0.0/7",
            "1.1.1.0/24",
            "169.254.0.0/16",
            "::/0",
            "224.0.0.0/4",
            "0.0.0.0/8",
            "fe80::/10",
            "2000::/3",
            "192.0.0.0/8",
        ] {
            assert!(!is_listable(&network.parse().unwrap()), "{network}");
        }
    }
}
