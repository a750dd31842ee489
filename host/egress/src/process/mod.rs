//! The program: a thread that serves all sockets, and ends when nobody is connected.

mod calls;
mod connect;
mod forward;
mod gateway;
mod guard;
mod guarded;
mod http;
mod listing;
mod proxy;
mod reporter;
mod serve;
mod tools;

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::sync::Arc;

use aod_egress::{Config, Service};
use aod_launch::FIRST_SOCKET;

use self::calls::Calls;
use self::connect::Connector;
use self::gateway::GatewayServer;
use self::http::{client, plain_client, trust};
use self::reporter::Reporter;
use self::serve::{Activity, Handler, accept};
use self::tools::ToolService;

/// Nobody else reads its memory, and it gains no privileges.
pub fn protect() {
    aod_launch::protect_memory();
    let _ = rustix::thread::set_no_new_privs(true);
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
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> io::Result<()> {
    let Config {
        services,
        policy,
        authorities,
    } = config;
    let connector = Connector::new(Arc::new(policy), Arc::new(Reporter::default()));
    let uses_tls = services
        .iter()
        .any(|service| matches!(service, Service::Gateway(gateway) if gateway.upstream.tls));
    // Read once, for all gateways.
    let tls = trust(uses_tls, authorities.as_deref())?;
    let activity = Activity::new();
    let calls = Calls::default();
    let holds_calls = services.iter().any(|service| match service {
        Service::Gateway(gateway) => gateway.tools.is_some(),
        Service::Tools(_) => true,
        _ => false,
    });
    if holds_calls {
        let number = FIRST_SOCKET + i32::try_from(services.len()).map_err(io::Error::other)?;
        tokio::spawn(calls.clone().take_replies(number));
    }
    for (number, service) in (FIRST_SOCKET..).zip(services) {
        let listener = listener(number)?;
        let handler = match service {
            Service::Proxy => Handler::Proxy(connector.clone(), plain_client(connector.clone())),
            Service::Forward { host, port } => Handler::Forward(connector.clone(), host, port),
            Service::Gateway(gateway) => {
                let client = client(connector.declared(), tls.clone());
                let calls = calls.clone();
                Handler::Gateway(Arc::new(GatewayServer::new(gateway, client, calls)?))
            }
            Service::Tools(server) => {
                Handler::Tools(Arc::new(ToolService::new(server, calls.clone())))
            }
        };
        tokio::spawn(accept(listener, handler, activity.clone()));
    }
    activity.quiet().await;
    Ok(())
}

/// The listening socket that the starter has put under this number.
fn listener(number: RawFd) -> io::Result<tokio::net::TcpListener> {
    // SAFETY: the starter gives a socket for each service, and nobody else here owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_getfd(&socket)?;
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}
