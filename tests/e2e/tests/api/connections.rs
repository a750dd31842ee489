//! What connections may cost: whoever sends half a request, nothing, or comes too often is cut,
//! and others are served.

use aod_e2e::{DEADLINE, Gate, Server, ServerOptions, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::runtimes;

/// What rests is to stay, however slow this machine is.
const NO_TIMEOUT: (&str, &str) = ("AOD_HTTP__HEADER_TIMEOUT", "0s");

async fn server_with(settings: &[(&str, &str)]) -> Server {
    let options = ServerOptions::new(runtimes());
    let set = |options: ServerOptions, (name, value): &(&str, &str)| options.set(name, value);
    Server::start(settings.iter().fold(options, set)).await
}

fn address(server: &Server) -> std::net::SocketAddr {
    let base = server.client().base();
    base.strip_prefix("http://").unwrap().parse().unwrap()
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(address(server)).await.unwrap()
}

/// The same, from another address of this machine.
async fn connect_from(server: &Server, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(from.parse().unwrap()).unwrap();
    socket.connect(address(server)).await.unwrap()
}

/// All that comes until the server ends the connection.
async fn until_the_end(stream: &mut TcpStream) -> String {
    let mut reply = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut reply)).await;
    match read.expect("the server ends the connection") {
        Ok(_) => {}
        // It was ended before what was sent was read.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    String::from_utf8(reply).unwrap()
}

/// One request on a connection that stays open.
async fn health(stream: &mut TcpStream) -> String {
    let request = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut reply = Vec::new();
    let asked = async {
        stream.write_all(request.as_bytes()).await?;
        while !reply.ends_with(b"}") && stream.read_buf(&mut reply).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // One that was turned away may be reset.
    let _ = tokio::time::timeout(DEADLINE, asked).await.unwrap();
    String::from_utf8(reply).unwrap()
}

#[tokio::test]
async fn half_a_head_is_cut_and_a_stream_is_not() {
    let server = server_with(&[("AOD_HTTP__HEADER_TIMEOUT", "2s")]).await;
    let gate = Gate::new("gate");
    let session = server.client().demo_session(&gate.step()).await;
    gate.reached(&server, &session).await;
    let mut stream = connect(&server).await;
    let (path, token) = (format!("/sessions/{}/stream", session.id), server.token());
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = vec![0; 12];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head, b"HTTP/1.1 200");

    let mut silent = connect(&server).await;
    let mut half = connect(&server).await;
    half.write_all(b"GET /health HTTP/1.1\r\nhost: localh")
        .await
        .unwrap();
    let mut resting = connect(&server).await;
    assert!(health(&mut resting).await.starts_with("HTTP/1.1 200"));
    for stream in [&mut silent, &mut half, &mut resting] {
        assert_eq!(until_the_end(stream).await, "");
    }
    // The stream is older than all of them, and sees the turn's end.
    gate.open(&server, &session);
    let mut told = Vec::new();
    let told_all = async {
        while memchr::memmem::find(&told, b"\"type\":\"exit\"").is_none() {
            assert_ne!(stream.read_buf(&mut told).await.unwrap(), 0, "it was cut");
        }
    };
    tokio::time::timeout(DEADLINE, told_all).await.unwrap();
}

#[tokio::test]
async fn a_body_that_stalls_is_refused() {
    let server = server_with(&[("AOD_HTTP__BODY_TIMEOUT", "300ms")]).await;
    let mut stream = connect(&server).await;
    let request = format!(
        "POST /agents HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-length: 1000\r\n\r\n{{\"name\":",
        server.token()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let reply = until_the_end(&mut stream).await;
    assert!(reply.starts_with("HTTP/1.1 408"), "{reply}");
    assert!(reply.contains("x-request-id: "), "{reply}");
    assert!(reply.contains("\r\n\r\n{\"detail\":\""), "{reply}");
}

#[tokio::test]
async fn who_comes_too_often_leaves_others_served() {
    let server = server_with(&[("AOD_HTTP__MAX_CONNECTIONS_PER_ADDRESS", "20"), NO_TIMEOUT]).await;
    let mut served = Vec::new();
    loop {
        let mut stream = connect_from(&server, "127.0.0.3:0").await;
        if !health(&mut stream).await.starts_with("HTTP/1.1 200") {
            break;
        }
        served.push(stream);
        assert!(served.len() <= 20, "there is no limit");
    }
    assert_eq!(served.len(), 20);
    let mut other = connect_from(&server, "127.0.0.2:0").await;
    assert!(health(&mut other).await.starts_with("HTTP/1.1 200"));
    let figures = server.client().get("/metrics").await.text;
    let figure = |name: &str| -> u64 {
        let line = figures.lines().find_map(|line| line.strip_prefix(name));
        line.expect(name).trim().parse().unwrap()
    };
    assert!(figure("aod_connections ") >= 21, "{figures}");
    assert_eq!(figure("aod_connections_refused_total "), 1, "{figures}");
    assert!(figure("aod_open_files ") < figure("aod_open_files_limit "));
    // A place is free again once its connection has ended.
    drop(served.pop());
    eventually("a place is free", DEADLINE, async || {
        let mut stream = connect_from(&server, "127.0.0.3:0").await;
        let reply = health(&mut stream).await;
        reply.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_full_says_so_at_once() {
    let server = server_with(&[("AOD_HTTP__MAX_CONNECTIONS", "8"), NO_TIMEOUT]).await;
    let mut served = Vec::new();
    loop {
        let mut stream = connect(&server).await;
        if !health(&mut stream).await.starts_with("HTTP/1.1 200") {
            break;
        }
        served.push(stream);
        assert!(served.len() <= 8, "there is no limit");
    }
    // Nothing is sent, so that nothing stands in the way of what is said.
    let reply = until_the_end(&mut connect(&server).await).await;
    assert!(reply.starts_with("HTTP/1.1 503"), "{reply}");
    assert!(reply.contains("\r\n\r\n{\"detail\":\""), "{reply}");
}

/// Most clients send all of a body before they read: whatever refuses it, they are to see why.
#[tokio::test]
async fn who_sends_all_of_a_long_body_first_reads_the_refusal() {
    use std::io::{Read as _, Write as _};
    let server = server_with(&[]).await;
    let to = address(&server);
    let token = server.token().to_owned();
    let id = uuid::Uuid::new_v4();
    let sent = tokio::task::spawn_blocking(move || {
        let file = format!("/sessions/{id}/files/large");
        for (status, method, path, token) in [
            (413, "POST", "/agents", token.as_str()),
            (401, "POST", "/agents", "aod_nobodys"),
            (404, "POST", "/nowhere", token.as_str()),
            (405, "PUT", "/sessions", token.as_str()),
            (404, "PUT", file.as_str(), token.as_str()),
        ] {
            let mut stream = std::net::TcpStream::connect(to).unwrap();
            let length = 100 << 20;
            write!(
                stream,
                "{method} {path} HTTP/1.1\r\nhost: {to}\r\nauthorization: Bearer {token}\r\n\
                 content-type: application/octet-stream\r\ncontent-length: {length}\r\n\r\n"
            )
            .unwrap();
            let piece = vec![b' '; 1 << 20];
            for _ in 0..length / piece.len() {
                stream.write_all(&piece).unwrap();
            }
            let mut reply = String::new();
            stream.read_to_string(&mut reply).unwrap();
            let wanted = format!("HTTP/1.1 {status} ");
            assert!(reply.starts_with(&wanted), "{method} {path}: {reply}");
        }
    });
    sent.await.unwrap();
}
