//! The socket that the server listens on.
//!
//! Agents share the host's network: whoever listens on the server's port while it is not there gets
//! its clients' tokens. A service manager that holds the socket (systemd's socket activation) keeps
//! the port across restarts, and requests wait for the next server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result, bail};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
use tokio::net::TcpListener;

/// The socket that a service manager has given to this process, by `LISTEN_FDS` and `LISTEN_PID`.
pub(crate) fn given() -> Result<Option<std::net::TcpListener>> {
    let mut all = listenfd::ListenFd::from_env();
    if all.len() > 1 {
        bail!(
            "the service manager gives {} sockets (LISTEN_FDS), and the server listens on one",
            all.len()
        );
    }
    all.take_tcp_listener(0)
        .context("the socket that the service manager gives (LISTEN_FDS) is no TCP listener")
}

/// The socket given, or else a new one on `address`.
pub(crate) async fn open(
    given: Option<std::net::TcpListener>,
    address: SocketAddr,
) -> Result<TcpListener> {
    let Some(given) = given else {
        let listener = TcpListener::bind(address).await;
        return listener.with_context(|| format!("cannot listen on {address}"));
    };
    given.set_nonblocking(true)?;
    Ok(TcpListener::from_std(given)?)
}

/// Occupies, without listening there, the loopback address of the other family, so that nobody
/// else answers there: many clients that are told `localhost` try `[::1]` first. None where there
/// is no such address.
///
/// # Errors
/// When somebody else has it. Of a port that nobody has chosen, nobody has heard either.
pub(crate) fn hold_twin(wanted: SocketAddr, actual: SocketAddr) -> Result<Option<OwnedFd>> {
    let Some(twin) = twin(actual) else {
        return Ok(None);
    };
    match occupy(twin) {
        Ok(held) => Ok(Some(held)),
        Err(Errno::ADDRINUSE) if wanted.port() != 0 => bail!(
            "somebody else uses {twin}, and clients that are told `localhost` may reach them \
             instead of this server and give them their tokens: end that process (`ss -ltnp` \
             shows it), or listen on another port"
        ),
        Err(error) => {
            tracing::debug!(%twin, %error, "the other loopback address is not occupied");
            Ok(None)
        }
    }
}

/// The address that `localhost` may also mean to clients of a server on this one.
fn twin(address: SocketAddr) -> Option<SocketAddr> {
    let other = match address.ip() {
        IpAddr::V4(Ipv4Addr::LOCALHOST | Ipv4Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Ipv4Addr::LOCALHOST.into(),
        _ => return None,
    };
    Some(SocketAddr::new(other, address.port()))
}

/// Without `SO_REUSEADDR`, so that nobody who sets it can have the address as well.
fn occupy(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_has_one_owner() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let Some(held) = hold_twin(address, address).unwrap() else {
            println!("skipped: there is no [::1] here");
            return;
        };
        let twin = twin(address).unwrap();
        let taken = std::net::TcpListener::bind(twin).unwrap_err();
        assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
        // It is held, and nobody answers.
        assert!(std::net::TcpStream::connect(twin).is_err());
        drop(held);
        let _other = std::net::TcpListener::bind(twin).unwrap();
        let error = hold_twin(address, address).unwrap_err().to_string();
        assert!(error.contains("localhost"), "{error}");
        let unasked = SocketAddr::new(address.ip(), 0);
        assert!(hold_twin(unasked, address).unwrap().is_none());
    }

    #[test]
    fn other_addresses_have_no_twin() {
        for address in ["192.0.2.1:80", "[::]:80", "127.0.0.2:80"] {
            assert_eq!(twin(address.parse().unwrap()), None, "{address}");
        }
        let any = twin("0.0.0.0:80".parse().unwrap());
        assert_eq!(any, "[::1]:80".parse().ok());
    }
}
