//! Which connections there are, and whether there may be more.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aod_metrics::{as_gauge, metrics};
use rustix::process::{Resource, getrlimit};

use super::ConnectionLimits;

/// The open connections. Clones share them.
#[derive(Clone, Debug)]
pub struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: ConnectionLimits,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_peer: HashMap<IpAddr, usize>,
}

/// The place of one connection, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    connections: Connections,
    peer: IpAddr,
}

impl Connections {
    /// None yet. At most half of the descriptors that this process may open are for connections,
    /// whatever the limits say, and at most seven eighths of the connections for one address:
    /// turns go on, and others are served.
    pub fn new(limits: ConnectionLimits) -> Self {
        let descriptors = getrlimit(Resource::Nofile).current;
        let half = descriptors.map_or(usize::MAX, |most| {
            usize::try_from(most / 2).unwrap_or(usize::MAX)
        });
        let total = limits.total.min(half);
        if total < limits.total {
            tracing::warn!(
                asked = limits.total,
                total,
                "fewer connections than asked for: the limit on open files is too low"
            );
        }
        let limits = ConnectionLimits {
            total,
            per_peer: limits.per_peer.min(total - total / 8),
            ..limits
        };
        Self(Arc::new(Shared {
            limits,
            open: Mutex::default(),
        }))
    }

    /// What is in force.
    pub(super) fn limits(&self) -> ConnectionLimits {
        self.0.limits
    }

    /// Takes a place for a connection from `address`, if there is one.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Admitted> {
        let peer = peer_of(address);
        let ConnectionLimits {
            total, per_peer, ..
        } = self.0.limits;
        let mut open = self.open();
        let of_peer = open.by_peer.get(&peer).copied().unwrap_or(0);
        if open.total >= total || of_peer >= per_peer {
            metrics().connections_refused.inc();
            return None;
        }
        open.total += 1;
        open.by_peer.insert(peer, of_peer + 1);
        drop(open);
        Some(Admitted {
            connections: self.clone(),
            peer,
        })
    }

    /// Sets the metrics that say how many there are, and may be.
    pub(crate) fn measure(&self) {
        let metrics = metrics();
        metrics.connections.set(as_gauge(self.open().total as u64));
        let limit = self.limits().total as u64;
        metrics.connections_limit.set(as_gauge(limit));
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing can panic while the counts are being changed.
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.total -= 1;
        let left = open.by_peer.get(&self.peer).map_or(0, |count| count - 1);
        match left {
            0 => open.by_peer.remove(&self.peer),
            left => open.by_peer.insert(self.peer, left),
        };
    }
}

/// Whose connection it is: an IPv6 host has a network of 64 bits to itself.
fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(network).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(total: usize, per_peer: usize) -> Connections {
        Connections::new(ConnectionLimits {
            header_timeout: None,
            stall: std::time::Duration::ZERO,
            total,
            per_peer,
        })
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let connections = connections(3, 2);
        let [a, b]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        let first = connections.admit(a).unwrap();
        let _second = connections.admit(a).unwrap();
        assert!(connections.admit(a).is_none());
        let _third = connections.admit(b).unwrap();
        assert!(connections.admit(b).is_none(), "there are three");
        drop(first);
        let _fourth = connections.admit(b).unwrap();
        assert!(connections.admit(a).is_none());
        connections.measure();
        let text = metrics().text();
        assert!(text.contains("\naod_connections 3\n"), "{text}");
        assert!(
            text.contains("\naod_connections_refused_total 3\n"),
            "{text}"
        );
    }

    #[test]
    fn a_host_is_one_peer_whatever_it_calls_itself() {
        let peer = |text: &str| peer_of(text.parse().unwrap());
        assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
        assert_eq!(peer("2001:db8:1:2::3"), peer("2001:db8:1:2:ffff::"));
        assert_ne!(peer("2001:db8:1:2::3"), peer("2001:db8:1:3::3"));
        assert_ne!(peer("127.0.0.1"), peer("127.0.0.2"));
    }

    #[test]
    fn one_address_never_gets_all() {
        let limits = connections(8, 100).limits();
        assert_eq!((limits.total, limits.per_peer), (8, 7));
        assert_eq!(connections(1, 1).limits().per_peer, 1);
        let most = getrlimit(Resource::Nofile).current.unwrap();
        let limits = connections(usize::MAX, usize::MAX).limits();
        assert!(limits.total as u64 <= most / 2);
    }
}
