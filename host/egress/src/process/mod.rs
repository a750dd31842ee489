//! The program: a thread that serves all sockets, and ends when nobody is connected.

mod answers;
mod bodies;
mod both_ways;
mod calls;
mod connect;
mod direct;
mod events;
mod figures;
mod fill;
mod forward;
mod front;
mod gateway;
mod gathered;
mod guard;
mod guarded;
mod http;
mod intercept;
mod listing;
mod marks;
mod packets;
mod proxy;
mod renewals;
mod reporter;
mod resolver;
mod room;
mod rounds;
mod serve;
mod stream;
mod tokens;
mod tools;
mod trust;

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::sync::Arc;

use aod_egress::{Config, Interception, RenewedCredential, Service};
use aod_launch::{ALLOWANCE, Allowance, FIRST_SOCKET, Flag, IN_USE_FLAG, REPLIES};
use zeroize::Zeroizing;

use self::bodies::Bodies;
use self::calls::Calls;
use self::connect::Connector;
use self::direct::Direct;
use self::gateway::{GatewayServer, Shared};
use self::http::{client, plain_client};
use self::intercept::Interceptor;
use self::packets::{Gate, Known, Switch};
use self::renewals::Renewals;
use self::reporter::Reporter;
use self::resolver::Resolver;
use self::rounds::Rounds;
use self::serve::{Activity, Handler, accept};
use self::tokens::Tokens;
use self::tools::ToolService;
use self::trust::Trust;

/// Nobody else reads its memory, and it gains no privileges.
pub fn protect() {
    aod_launch::protect_memory();
    limit_heap();
    let _ = rustix::thread::set_no_new_privs(true);
    serve::raise_descriptors();
    // SAFETY: ignoring a signal installs no handler. A connection that breaks is an error of its
    // own.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Memory is the whole process's, and what is freed is given back: threads that do one thing, and
/// connections that are gone, keep none.
fn limit_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: plain parameters of the allocator.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 128 << 10);
    }
}

/// Serves until nobody has been connected for a while. `renewed` are credentials that have another
/// value by now than in the configuration.
pub fn run(config: Config, renewed: Vec<RenewedCredential>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Names are resolved there, and authorities read.
        .max_blocking_threads(4)
        .build()?;
    let served = runtime.block_on(serve(config, renewed));
    // Names that are being looked up are not waited for.
    runtime.shutdown_background();
    served
}

async fn serve(config: Config, renewed: Vec<RenewedCredential>) -> io::Result<()> {
    let Config {
        services,
        policy,
        authorities,
        interception,
    } = config;
    let connector = Connector::new(Arc::new(policy), Arc::new(Reporter::default()));
    let uses_tls = interception.is_some()
        || services
            .iter()
            .any(|service| matches!(service, Service::Gateway(gateway) if gateway.upstream.tls));
    // Read once, for all gateways.
    let trust = Trust::new(authorities);
    if uses_tls {
        trust.begin();
    }
    let activity = Activity::new();
    let shared = Shared {
        in_use: Arc::new(Flag::from(given(IN_USE_FLAG)?)),
        renewals: Renewals::new(renewable(&services, interception.as_ref()), renewed),
        bodies: Bodies::new(),
    };
    let interceptor = match interception {
        Some(interception) => {
            let client = client(connector.clone(), trust.clone());
            let (connector, shared) = (connector.clone(), shared.clone());
            let new = Interceptor::new(interception, client, connector, shared)?;
            Some(Arc::new(new))
        }
        None => None,
    };
    let calls = Calls::default();
    let tokens = Tokens::default();
    let rounds = Rounds::new(Allowance::from(given(ALLOWANCE)?));
    let replies = calls
        .clone()
        .take_replies(given(REPLIES)?, shared.renewals.clone());
    let known = Known::default();
    // One of its own: however much is tried there, what the proxy refuses is told.
    let direct = Arc::new(Reporter::default());
    for (number, service) in (FIRST_SOCKET..).zip(services) {
        let handler = match service {
            Service::NoNames => {
                let refusing = Direct::new(direct.clone(), activity.clone());
                tokio::spawn(refusing.names(questions(number)?));
                continue;
            }
            Service::NoPackets => {
                if direct::has_device() {
                    let refusing = Direct::new(direct.clone(), activity.clone());
                    tokio::spawn(refusing.packets(direct::device(given(number)?)?));
                }
                continue;
            }
            Service::Resolver => {
                let socket = questions(number)?;
                let resolver = Resolver::new(connector.clone(), known.clone(), activity.clone());
                tokio::spawn(resolver.answer(socket));
                continue;
            }
            Service::Packets(packets) => {
                let gate = Gate::new(connector.clone(), known.clone());
                let switch = Switch::new(given(number)?, packets, gate, activity.clone())?;
                tokio::spawn(switch.run());
                continue;
            }
            Service::Proxy => Handler::Proxy(
                connector.clone(),
                plain_client(connector.clone()),
                interceptor.clone(),
            ),
            Service::Forward { host, port } => Handler::Forward(connector.clone(), host, port),
            Service::Gateway(gateway) => {
                let client = client(connector.declared(), trust.clone());
                let (shared, calls) = (shared.clone(), calls.clone());
                let server = GatewayServer::new(gateway, client, shared, calls, &tokens, &rounds)?;
                Handler::Gateway(Arc::new(server))
            }
            Service::Tools(server) => {
                Handler::Tools(Arc::new(ToolService::new(server, calls.clone())))
            }
        };
        tokio::spawn(accept(listener(number)?, handler, activity.clone()));
    }
    tokio::select! {
        () = activity.quiet() => {}
        // Its starter wants its end.
        ended = replies => ended?,
    }
    tokens.tell();
    Ok(())
}

/// The credentials that may be renewed, by the names under which they are.
fn renewable<'a>(
    services: &'a [Service],
    interception: Option<&'a Interception>,
) -> impl Iterator<Item = (&'a str, &'a Zeroizing<String>)> {
    let gateways = services.iter().filter_map(|service| match service {
        Service::Gateway(gateway) => Some(&gateway.credentials),
        _ => None,
    });
    let filled = gateways.flatten().map(|it| (&it.renewed_as, &it.value));
    let bound = interception.into_iter().flat_map(|it| &it.credentials);
    let bound = bound.map(|it| (&it.renewed_as, &it.value));
    filled
        .chain(bound)
        .filter_map(|(name, value)| Some((name.as_deref()?, value)))
}

/// The listening socket that the starter has put under this number.
fn listener(number: RawFd) -> io::Result<tokio::net::TcpListener> {
    let listener = std::net::TcpListener::from(given(number)?);
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}

/// The socket for questions for names that the starter has put under this number.
fn questions(number: RawFd) -> io::Result<tokio::net::UdpSocket> {
    let socket = std::net::UdpSocket::from(given(number)?);
    socket.set_nonblocking(true)?;
    tokio::net::UdpSocket::from_std(socket)
}

/// The descriptor that the starter has put under this number.
fn given(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the starter gives one for each number that is asked for here, each is asked for once,
    // and nobody else here owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    // Programs that this one starts have none of them.
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    Ok(fd)
}
