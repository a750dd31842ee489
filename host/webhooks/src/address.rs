//! Which addresses are public, and so may be connected to for a user's sake.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::{Ipv4Net, Ipv6Net};

/// What the registries of special-purpose addresses (RFC 6890 and its successors) do not route
/// globally, and multicast.
const V4: [&str; 15] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// Of what is assigned to be routed globally, `2000::/3`: what is not, or leads elsewhere.
const V6: [&str; 5] = [
    // Protocol assignments, Teredo and documentation among them.
    "2001::/23",
    "2001:db8::/32",
    // 6to4, which is IPv4 in disguise.
    "2002::/16",
    "3ffe::/16",
    "3fff::/20",
];

static V4_NETS: LazyLock<Vec<Ipv4Net>> =
    LazyLock::new(|| V4.iter().filter_map(|net| net.parse().ok()).collect());
static V6_NETS: LazyLock<Vec<Ipv6Net>> =
    LazyLock::new(|| V6.iter().filter_map(|net| net.parse().ok()).collect());

/// Whether an address belongs to the public internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !V4_NETS.iter().any(|net| net.contains(&address))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(address) = embedded(address) {
        return is_public_v4(address);
    }
    let is_global = address.segments()[0] & 0xe000 == 0x2000;
    is_global && !V6_NETS.iter().any(|net| net.contains(&address))
}

/// The IPv4 address that stands behind one of IPv6: mapped (`::ffff:0:0/96`) or translated
/// (`64:ff9b::/96`).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if let Some(address) = address.to_ipv4_mapped() {
        return Some(address);
    }
    let octets = address.octets();
    let (prefix, rest) = octets.split_at(12);
    let rest: [u8; 4] = rest.try_into().ok()?;
    (prefix == [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]).then(|| rest.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_net_is_one() {
        assert_eq!(V4_NETS.len(), V4.len());
        assert_eq!(V6_NETS.len(), V6.len());
    }

    #[test]
    fn what_is_public() {
        for (address, expected) in [
            ("1.1.1.1", true),
            ("93.184.215.14", true),
            ("172.15.255.255", true),
            ("172.32.0.0", true),
            ("2606:4700:4700::1111", true),
            ("64:ff9b::101:101", true),
            ("::ffff:1.1.1.1", true),
            ("127.0.0.1", false),
            ("127.255.0.1", false),
            ("0.0.0.0", false),
            ("10.1.2.3", false),
            ("100.64.0.1", false),
            ("169.254.169.254", false),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("192.168.1.1", false),
            ("198.19.255.255", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::127.0.0.1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b:1::a00:1", false),
            ("2002:7f00:1::", false),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", false),
            ("2001:db8::1", false),
            ("fc00::1", false),
            ("fd12:3456::1", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(is_public(address), expected, "{address}");
        }
    }
}
