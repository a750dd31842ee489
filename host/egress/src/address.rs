//! Which addresses belong to the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Blocks that are not globally reachable, of the IANA's special-purpose registry for IPv4
/// (RFC 6890), and the blocks for multicast and for later use. Those for documentation are not
/// among them: they belong to nobody's inside, and some networks route them.
const IPV4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// The block of globally routed unicast addresses of IPv6 (RFC 4291): all else is refused.
const IPV6_GLOBAL: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Blocks in it that are not globally reachable, or that lead to IPv4 by a tunnel.
const IPV6: &[(Ipv6Addr, u32)] = &[
    // Protocol assignments, Teredo, ORCHID and benchmarking among them.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    // 6to4.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
];

/// Prefixes whose last 32 bits are an IPv4 address: mapped ones (RFC 4291) and the well-known prefix
/// of translators (RFC 6052).
const IPV4_IN_IPV6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96),
];

/// Where a cloud has its metadata service, among addresses that are private otherwise.
const METADATA: (Ipv6Addr, u32) = (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32);

/// Whether an address is one of the public internet: not the machine's own, not one of a private
/// network, not link-local, not a group's.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !IPV4.iter().any(|block| is_in_v4(address, *block)),
        IpAddr::V6(address) => {
            if let Some(inner) = inner_v4(address) {
                return is_public(IpAddr::V4(inner));
            }
            is_in_v6(address, IPV6_GLOBAL) && !IPV6.iter().any(|block| is_in_v6(address, *block))
        }
    }
}

/// Whether an address is one of a private network (RFC 1918, RFC 4193).
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => match inner_v4(address) {
            Some(inner) => inner.is_private(),
            None => {
                is_in_v6(address, (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7))
                    && !is_in_v6(address, METADATA)
            }
        },
    }
}

/// Whether an address is one of this machine's own: the kernel would then send from it, too.
/// Nothing is sent.
#[must_use]
pub fn is_own(address: IpAddr) -> bool {
    if let IpAddr::V6(outer) = address
        && let Some(inner) = inner_v4(outer)
    {
        return is_own(IpAddr::V4(inner));
    }
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let own = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    own.is_ok_and(|own| own.ip() == address)
}

fn inner_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b, c, d] = address.octets();
    IPV4_IN_IPV6
        .iter()
        .any(|block| is_in_v6(address, *block))
        .then(|| Ipv4Addr::new(a, b, c, d))
}

fn is_in_v4(address: Ipv4Addr, (block, length): (Ipv4Addr, u32)) -> bool {
    (address.to_bits() ^ block.to_bits()) >> (32 - length) == 0
}

fn is_in_v6(address: Ipv6Addr, (block, length): (Ipv6Addr, u32)) -> bool {
    (address.to_bits() ^ block.to_bits()) >> (128 - length) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_are_told_from_all_others() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "223.255.255.255",
            "203.0.113.80",
            "2001:db8::1",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "::ffff:1.1.1.1",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for other in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2001::1",
            "2002:7f00:1::",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn the_machines_own_addresses_are_found() {
        assert!(is_own("127.0.0.1".parse().unwrap()));
        assert!(!is_own("203.0.113.1".parse().unwrap()));
    }

    #[test]
    fn private_addresses_are_no_loopback_and_no_link_local_ones() {
        for private in [
            "10.1.2.3",
            "172.16.0.1",
            "192.168.0.1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for other in [
            "127.0.0.1",
            "169.254.169.254",
            "::1",
            "fe80::1",
            "1.1.1.1",
            "0.0.0.0",
            "fd00:ec2::254",
        ] {
            assert!(!is_private(other.parse().unwrap()), "{other}");
        }
    }
}
