//! A network device for programs that know no proxy.

use aod_egress::{Packets, Service};
use aod_sandbox::Tunnel;
use aod_store::SessionRecord;

use crate::config::{EgressConfig, RawEgress};

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
        RawEgress::Passt(program) => {
            let Tunnel { v4, v6, .. } = Tunnel::new(true);
            let program = program.clone();
            Ok(Some(Packets { program, v4, v6 }))
        }
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

/// The device in the sandbox that packets come from, and what serves it. Where none may be passed
/// on, the device and the resolver are there to refuse at once, and to tell, what is tried without
/// the proxy; a machine that has no such devices refuses all the same, and tells less.
pub(super) fn device(packets: Option<Packets>) -> (Tunnel, [Service; 2]) {
    let tunnel = Tunnel::new(packets.is_some());
    let services = match packets {
        Some(packets) => [Service::Resolver, Service::Packets(packets)],
        None => [Service::NoNames, Service::NoPackets],
    };
    (tunnel, services)
}
