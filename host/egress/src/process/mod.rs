//! The program: a thread that serves all sockets, and ends when nobody is connected.

mod answers;
mod both_ways;
mod calls;
mod connect;
mod direct;
mod events;
mod figures;
mod fill;
mod forward;
mod gateway;
mod guard;
mod guarded;
mod http;
mod intercept;
mod listing;
mod packets;
mod proxy;
mod reporter;
mod resolver;
mod rounds;
mod serve;
mod tokens;
mod tools;

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::sync::Arc;

use aod_egress::{Config, Service};
use aod_launch::{ALLOWANCE, Allowance, FIRST_SOCKET, Flag, IN_USE_FLAG, REPLIES};

use self::calls::Calls;
use self::connect::Connector;
use self::direct::Direct;
use self::gateway::GatewayServer;
use self::http::{client, plain_client, trust};
use self::intercept::Interceptor;
use self::packets::{Gate, Known, Switch};
use self::reporter::Reporter;
use self::resolver::Resolver;
use self::rounds::Rounds;
use self::serve::{Activity, Handler, accept};
use self::tokens::Tokens;
use self::tools::ToolService;

/// Nobody else reads its memory, and it gains no privileges.
pub fn protect() {
    aod_launch::protect_memory();
    let _ = rustix::thread::set_no_new_privs(true);
    serve::raise_descriptors();
    // SAFETY: ignoring a signal installs no handler. A connection that breaks is an error of its
    // own.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Serves until nobody has been connected for a while.
pub fn run(config: Config) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Names are resolved there.
        .max_blocking_threads(4)
        .build()?;
    let served = runtime.block_on(serve(config));
    // Names that are being looked up are not waited for.
    runtime.shutdown_background();
    served
}

async fn serve(config: Config) -> io::Result<()> {
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
    let tls = trust(uses_tls, authorities.as_deref())?;
    let activity = Activity::new();
    let in_use = Arc::new(Flag::from(given(IN_USE_FLAG)?));
    let interceptor = match interception {
        Some(interception) => {
            let client = client(connector.clone(), tls.clone());
            let in_use = in_use.clone();
            let new = Interceptor::new(interception, client, connector.clone(), in_use)?;
            Some(Arc::new(new))
        }
        None => None,
    };
    let calls = Calls::default();
    let tokens = Tokens::default();
    let rounds = Rounds::new(Allowance::from(given(ALLOWANCE)?));
    let replies = calls.clone().take_replies(given(REPLIES)?);
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
                let client = client(connector.declared(), tls.clone());
                let (in_use, calls) = (in_use.clone(), calls.clone());
                let server = GatewayServer::new(gateway, client, in_use, calls, &tokens, &rounds)?;
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
