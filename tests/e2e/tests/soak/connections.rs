//! Connections that are opened and not used.

use std::time::Duration;

use aod_e2e::{Client, Session};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// How many at once.
const CONNECTIONS: usize = 60;
/// Readers of one stream.
const READERS: usize = 10;

async fn connect(client: &Client) -> Option<TcpStream> {
    let address = client.base().trim_start_matches("http://").to_owned();
    TcpStream::connect(address).await.ok()
}

/// Requests that are never finished: some in their first line, some in a header, some in a body.
pub(crate) async fn half_open(client: &Client) {
    let token = client.token().unwrap_or_default();
    let beginnings = [
        "GE".to_owned(),
        "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Endless: a".to_owned(),
        format!(
            "POST /sessions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
        ),
    ];
    let mut open = Vec::new();
    for number in 0..CONNECTIONS {
        if let Some(mut connection) = connect(client).await {
            let beginning = &beginnings[number % beginnings.len()];
            // A server that has cut it has done well.
            let _ = connection.write_all(beginning.as_bytes()).await;
            open.push(connection);
        }
    }
    sleep(Duration::from_secs(2)).await;
}

/// Readers of a session's stream that take nothing of it, for so long.
pub(crate) async fn stalled(session: &Session, time: Duration) {
    let token = session.client.token().unwrap_or_default();
    let request = format!(
        "GET /sessions/{}/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n",
        session.id
    );
    let mut open = Vec::new();
    for _ in 0..READERS {
        if let Some(mut connection) = connect(&session.client).await {
            let _ = connection.write_all(request.as_bytes()).await;
            open.push(connection);
        }
    }
    sleep(time).await;
}
