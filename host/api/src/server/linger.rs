//! The end of a connection whose client may still be sending.
//!
//! A request is answered before all of its body was read where it is refused. If the connection were
//! closed then, the kernel would reset it, and with that throw away the reply that the client has not
//! read yet: most clients send all of a body before they read. So the client is told that nothing
//! will follow, and what it still sends is read and thrown away for a while (RFC 9112, section 9.6).

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// How long a client may go on sending, how long it may pause meanwhile, and how much it may send.
const LONGEST: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(2);
const MOST: u64 = 4 << 30;

/// Ends a connection on which nothing more will be written.
pub(super) async fn close(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let until = Instant::now() + LONGEST;
    let mut thrown_away = 0;
    let mut buffer = Vec::new();
    while thrown_away < MOST {
        // Most clients end the connection as well, without another byte.
        buffer.resize(if thrown_away == 0 { 1 } else { 64 << 10 }, 0);
        let left = until.saturating_duration_since(Instant::now());
        match timeout(left.min(PAUSE), stream.read(&mut buffer)).await {
            Ok(Ok(read @ 1..)) => thrown_away += read as u64,
            _ => return,
        }
    }
}
