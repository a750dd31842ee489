//! What a packet of a sandbox's says of where it goes, and how one is refused.
//!
//! Only plain packets are taken: no options of IPv4, no extension headers of IPv6, no fragments, and
//! nothing but TCP, UDP and questions for an echo. Whoever takes them behind this reads them in the
//! same way then: there is nothing in them that could be understood in two.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const IGMP: u8 = 2;
/// Options of IPv6 that stand in front of what a packet holds.
const HOP_BY_HOP: u8 = 0;
/// So much of a refused packet the refusal of IPv6 has at most (RFC 4443, section 3.1).
const MAX_QUOTED: usize = 1232;

/// A packet that could be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Where it comes from.
    pub from: IpAddr,
    /// Where it goes.
    pub to: IpAddr,
    /// The port there; 0 for an echo.
    pub port: u16,
    /// Whether it begins something: a connection, or what has none. Others belong to something that
    /// began.
    pub begins: bool,
    /// Its bytes, without what stands behind its end.
    pub bytes: &'a [u8],
}

/// Reads a packet; none where it is not a plain one.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Packet<'_>> {
    let (bytes, header, protocol, from, to) = match bytes.first()? >> 4 {
        4 => read_v4(bytes)?,
        6 => read_v6(bytes)?,
        _ => return None,
    };
    let inner = &bytes[header..];
    let (port, begins) = match protocol {
        // Its flags: SYN, and not ACK.
        TCP if inner.len() >= 20 => (word(inner, 2), inner[13] & 0x12 == 0x02),
        UDP if inner.len() >= 8 => (word(inner, 2), true),
        ICMP if to.is_ipv4() && inner.len() >= 8 && inner[0] == 8 => (0, true),
        ICMPV6 if to.is_ipv6() && inner.len() >= 8 && inner[0] == 128 => (0, true),
        _ => return None,
    };
    Some(Packet {
        from,
        to,
        port,
        begins,
        bytes,
    })
}

/// Reads whatever the sandbox's programs send, for an answer that refuses it: plain packets as
/// [`read`] has them, and others as what has no port and begins something. None where it is nothing
/// of theirs: what the kernel says of its own accord, to its neighbours or of an error.
#[must_use]
pub fn read_any(bytes: &[u8]) -> Option<Packet<'_>> {
    if let Some(packet) = read(bytes) {
        return Some(packet);
    }
    let (length, from, to, protocol, kind) = match bytes.first()? >> 4 {
        4 if bytes.len() >= V4_HEADER => {
            let header = 4 * usize::from(bytes[0] & 0x0f);
            let (from, to) = (v4(bytes, 12), v4(bytes, 16));
            let length = usize::from(word(bytes, 2));
            let kind = bytes.get(header);
            (length, from.into(), to.into(), bytes[9], kind)
        }
        6 if bytes.len() >= V6_HEADER => {
            let (from, to) = (v6(bytes, 8), v6(bytes, 24));
            let length = V6_HEADER + usize::from(word(bytes, 4));
            // Groups are joined by a message behind an option.
            let (protocol, at) = match bytes[6] {
                HOP_BY_HOP => (*bytes.get(V6_HEADER)?, V6_HEADER + 8),
                protocol => (protocol, V6_HEADER),
            };
            (length, from.into(), to.into(), protocol, bytes.get(at))
        }
        _ => return None,
    };
    let is_kernels = match (protocol, kind) {
        (IGMP, _) => true,
        // Of both, errors and answers; of ICMPv6, what is between neighbours.
        (ICMP, kind) => kind != Some(&8),
        (ICMPV6, kind) => kind != Some(&128),
        _ => false,
    };
    (!is_kernels).then_some(Packet {
        from,
        to,
        port: 0,
        begins: true,
        bytes: &bytes[..length.clamp(V4_HEADER, bytes.len())],
    })
}

type Read<'a> = (&'a [u8], usize, u8, IpAddr, IpAddr);

fn read_v4(bytes: &[u8]) -> Option<Read<'_>> {
    if bytes.len() < V4_HEADER || bytes[0] != 0x45 {
        return None;
    }
    let length = usize::from(word(bytes, 2));
    // Neither a fragment nor the first of several.
    if length < V4_HEADER || length > bytes.len() || word(bytes, 6) & 0x3fff != 0 {
        return None;
    }
    Some((
        &bytes[..length],
        V4_HEADER,
        bytes[9],
        IpAddr::V4(v4(bytes, 12)),
        IpAddr::V4(v4(bytes, 16)),
    ))
}

fn read_v6(bytes: &[u8]) -> Option<Read<'_>> {
    if bytes.len() < V6_HEADER {
        return None;
    }
    let length = V6_HEADER + usize::from(word(bytes, 4));
    if length > bytes.len() {
        return None;
    }
    Some((
        &bytes[..length],
        V6_HEADER,
        bytes[6],
        IpAddr::V6(v6(bytes, 8)),
        IpAddr::V6(v6(bytes, 24)),
    ))
}

/// The packet that tells a sender that its own was refused: "administratively prohibited" (RFC 1812,
/// section 5.2.7.1, and RFC 4443, section 3.1).
#[must_use]
pub fn refusal(packet: &Packet<'_>) -> Vec<u8> {
    match (packet.from, packet.to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => refusal_v4(packet.bytes, from, to),
        (IpAddr::V6(from), IpAddr::V6(to)) => refusal_v6(packet.bytes, from, to),
        // A packet's addresses are of one kind.
        _ => Vec::new(),
    }
}

fn refusal_v4(packet: &[u8], sender: Ipv4Addr, refused: Ipv4Addr) -> Vec<u8> {
    let quoted = &packet[..packet.len().min(V4_HEADER + 8)];
    let mut message = vec![3, 13, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(quoted);
    let sum = checksum(&[&message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut answer = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, ICMP, 0, 0];
    let length = u16::try_from(V4_HEADER + message.len()).unwrap_or_default();
    answer[2..4].copy_from_slice(&length.to_be_bytes());
    answer.extend_from_slice(&refused.octets());
    answer.extend_from_slice(&sender.octets());
    let sum = checksum(&[&answer]);
    answer[10..12].copy_from_slice(&sum.to_be_bytes());
    answer.extend_from_slice(&message);
    answer
}

fn refusal_v6(packet: &[u8], sender: Ipv6Addr, refused: Ipv6Addr) -> Vec<u8> {
    let quoted = &packet[..packet.len().min(MAX_QUOTED)];
    let mut message = vec![1, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(quoted);
    let length = u16::try_from(message.len()).unwrap_or_default();
    let (from, to) = (refused.octets(), sender.octets());
    // What the sum is over besides (RFC 8200, section 8.1).
    let mut besides = [0; 8];
    besides[2..4].copy_from_slice(&length.to_be_bytes());
    besides[7] = ICMPV6;
    let sum = checksum(&[&from, &to, &besides, &message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut answer = vec![0x60, 0, 0, 0, 0, 0, ICMPV6, 64];
    answer[4..6].copy_from_slice(&length.to_be_bytes());
    answer.extend_from_slice(&from);
    answer.extend_from_slice(&to);
    answer.extend_from_slice(&message);
    answer
}

/// The internet's checksum (RFC 1071) of parts, all of whose lengths but the last's are even.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u64 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            let low = pair.get(1).copied().unwrap_or_default();
            sum += u64::from(u16::from_be_bytes([pair[0], low]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn v4(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3])
}

fn v6(bytes: &[u8], at: usize) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[at..at + 16]);
    octets.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn udp_v4(to: [u8; 4]) -> Vec<u8> {
        let mut bytes = vec![
            0x45, 0, 0, 30, 0, 1, 0x40, 0, 64, 17, 0, 0, 192, 0, 0, 2, to[0], to[1], to[2], to[3],
        ];
        bytes.extend_from_slice(&[0x9c, 0x40, 0, 53, 0, 10, 0, 0, b'h', b'i']);
        bytes
    }

    fn syn_v6(to: Ipv6Addr) -> Vec<u8> {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 20, 6, 64];
        bytes.extend_from_slice(&"fd00:61::2".parse::<Ipv6Addr>().unwrap().octets());
        bytes.extend_from_slice(&to.octets());
        bytes.extend_from_slice(&[
            0x9c, 0x40, 1, 187, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0,
        ]);
        bytes
    }

    #[test]
    fn plain_packets_say_where_they_go() {
        let bytes = udp_v4([10, 1, 2, 3]);
        let packet = read(&bytes).unwrap();
        assert_eq!(packet.to, IpAddr::from([10, 1, 2, 3]));
        assert_eq!((packet.port, packet.begins), (53, true));
        let to = "2001:db8::1".parse().unwrap();
        let mut bytes = syn_v6(to);
        let packet = read(&bytes).unwrap();
        assert_eq!((packet.to, packet.port), (IpAddr::V6(to), 443));
        assert!(packet.begins);
        bytes[40 + 13] = 0x12;
        assert!(!read(&bytes).unwrap().begins);
    }

    #[test]
    fn what_is_not_plain_is_not_read() {
        let good = udp_v4([1, 1, 1, 1]);
        let with = |at: usize, value: u8| {
            let mut bad = good.clone();
            bad[at] = value;
            bad
        };
        for (what, bad) in [
            ("options", with(0, 0x46)),
            ("another version", with(0, 0x55)),
            ("longer than it is", with(3, 31)),
            ("shorter than its header", with(3, 19)),
            ("a first fragment", with(6, 0x20)),
            ("a later fragment", with(7, 1)),
            ("another protocol", with(9, 47)),
            ("IPv6 within IPv4", with(9, 41)),
            ("ICMPv6 in IPv4", with(9, 58)),
            ("an answer to an echo", with(9, 1)),
            ("half of a header", good[..27].to_vec()),
            ("nothing", Vec::new()),
        ] {
            assert_eq!(read(&bad), None, "{what}");
        }
        let mut routed = syn_v6("2001:db8::1".parse().unwrap());
        routed[6] = 43;
        assert_eq!(read(&routed), None);
    }

    #[test]
    fn what_is_not_plain_is_read_to_be_refused_unless_it_is_the_kernels() {
        let good = udp_v4([1, 1, 1, 1]);
        let with = |at: usize, value: u8| {
            let mut other = good.clone();
            other[at] = value;
            other
        };
        assert_eq!(read_any(&good), read(&good));
        for (what, other) in [
            ("options", with(0, 0x46)),
            ("a first fragment", with(6, 0x20)),
            ("a later fragment", with(7, 1)),
            ("another protocol", with(9, 132)),
        ] {
            let packet = read_any(&other).unwrap();
            assert_eq!((packet.port, packet.begins), (0, true), "{what}");
            assert_eq!(packet.to, IpAddr::from([1, 1, 1, 1]), "{what}");
            assert!(!refusal(&packet).is_empty(), "{what}");
        }
        let mut routed = syn_v6("2001:db8::1".parse().unwrap());
        routed[6] = 43;
        assert_eq!(read_any(&routed).unwrap().port, 0);
        // Questions for routers, and reports of groups.
        let mut routers = routed.clone();
        routers[6] = ICMPV6;
        routers[40] = 133;
        let mut groups = routed.clone();
        groups[6] = HOP_BY_HOP;
        groups[40] = ICMPV6;
        groups[48] = 143;
        for (what, other) in [
            ("IGMP", with(9, IGMP)),
            ("an answer to an echo", with(9, ICMP)),
            ("another version", with(0, 0x55)),
            ("questions for routers", routers),
            ("reports of groups", groups),
            ("half of a header", good[..19].to_vec()),
            ("nothing", Vec::new()),
        ] {
            assert_eq!(read_any(&other), None, "{what}");
        }
    }

    #[test]
    fn what_stands_behind_a_packet_is_not_its() {
        let mut bytes = udp_v4([1, 1, 1, 1]);
        let length = bytes.len();
        bytes.extend_from_slice(b"more");
        assert_eq!(read(&bytes).unwrap().bytes.len(), length);
    }

    #[test]
    fn a_refusal_is_a_packet_to_the_sender_whose_sums_are_right() {
        let bytes = udp_v4([10, 1, 2, 3]);
        let answer = refusal(&read(&bytes).unwrap());
        assert_eq!(checksum(&[&answer[..20]]), 0);
        assert_eq!(checksum(&[&answer[20..]]), 0);
        assert_eq!(&answer[12..20], &[10, 1, 2, 3, 192, 0, 0, 2]);
        assert_eq!(&answer[20..22], &[3, 13]);
        assert_eq!(&answer[28..], &bytes[..28]);
        assert_eq!(usize::from(word(&answer, 2)), answer.len());
        let bytes = syn_v6("fe80::1".parse().unwrap());
        let answer = refusal(&read(&bytes).unwrap());
        let mut besides = [0; 8];
        besides[2..4].copy_from_slice(&answer[4..6]);
        besides[7] = ICMPV6;
        assert_eq!(checksum(&[&answer[8..40], &besides, &answer[40..]]), 0);
        assert_eq!(&answer[40..42], &[1, 1]);
        assert_eq!(&answer[24..40], &bytes[8..24]);
    }

    proptest! {
        #[test]
        fn no_packet_breaks_anything(
            mut bytes in prop::collection::vec(any::<u8>(), 0..120), version in 0..3_u8,
        ) {
            if let (Some(first), 1..) = (bytes.first_mut(), version) {
                *first = [0x45, 0x60][usize::from(version) - 1];
            }
            if let Some(packet) = read_any(&bytes) {
                prop_assert!(packet.bytes.len() <= bytes.len());
                prop_assert_eq!(packet.from.is_ipv4(), packet.to.is_ipv4());
                prop_assert!(!refusal(&packet).is_empty());
            }
        }
    }
}
