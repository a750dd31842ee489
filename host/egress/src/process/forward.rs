//! Connections that are passed on as they are.

use tokio::net::TcpStream;

use super::both_ways::pass_both_ways;
use super::connect::Connector;

/// Connects to `host` and passes bytes both ways until both have ended. Where there is no
/// connection, the sandbox sees its own one closed.
pub(super) async fn pass_on(inside: TcpStream, connector: &Connector, host: &str, port: u16) {
    if let Ok(outside) = connector.connect(host, port).await {
        pass_both_ways(inside, outside).await;
    }
}
