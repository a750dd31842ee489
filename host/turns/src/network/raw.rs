//! A network device for programs that know no proxy.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use aod_egress::Packets;
use aod_sandbox::Tunnel;
use aod_store::SessionRecord;

use crate::config::{EgressConfig, RawEgress};

/// Addresses of sandboxes, the same in all of them, that are nobody's elsewhere: of the block for
/// what ends at a host (RFC 7335), and of one for local use (RFC 4193).
const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 2);
const V6: Ipv6Addr = Ipv6Addr::new(0xfd61, 0, 0, 0, 0, 0, 0, 2);
/// Where C libraries look for a resolver.
const RESOLVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 53);

/// How packets of a session's sandboxes are passed on; none where its environment does not ask for
/// it, or where all that is theirs is the host's network anyhow.
///
/// # Errors
/// With what to do, where this server does not.
pub(crate) fn packets(
    config: &EgressConfig,
    session: &SessionRecord,
) -> Result<Option<Packets>, String> {
    let environment = session.environment.as_ref();
    let is_wanted = environment.is_some_and(|environment| environment.networking.raw);
    if !is_wanted || config.shares_host {
        return Ok(None);
    }
    match &config.raw {
        RawEgress::Passt(program) => Ok(Some(Packets {
            program: program.clone(),
            v4: V4,
            v6: V6,
        })),
        RawEgress::Off => Err(
            "the environment asks for networking.raw, which this server does not have: leave it \
             out, so that programs use the proxy, or have its operator set `egress.raw = true`"
                .to_owned(),
        ),
        RawEgress::Missing => Err(
            "the environment asks for networking.raw, and this server's machine lacks the program \
             `passt`: have its operator install it (`apt install passt`)"
                .to_owned(),
        ),
    }
}

/// The device in the sandbox that the packets come from.
pub(super) fn tunnel(packets: &Packets) -> Tunnel {
    Tunnel {
        v4: packets.v4,
        v6: packets.v6,
        resolver: RESOLVER,
    }
}
