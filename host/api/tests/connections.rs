//! A server that has run out of descriptors turns clients away, and serves again when it can.
//!
//! Alone in its process, whose descriptors it uses up.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use aod_api::{ConnectionLimits, Connections, serve};
use axum::Router;
use axum::routing::get;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the server does about a connection: the reply, or nothing where it closes it.
fn ask(mut stream: TcpStream) -> String {
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let mut reply = Vec::new();
    match stream.read_to_end(&mut reply) {
        Ok(_) => {}
        // It did not read what was asked.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    String::from_utf8(reply).unwrap()
}

fn exchange(address: SocketAddr) -> String {
    ask(TcpStream::connect(address).unwrap())
}

#[test]
fn it_serves_again_when_there_are_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let low = Rlimit {
        current: Some(128),
        ..limit
    };
    setrlimit(Resource::Nofile, low).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Connections::new(ConnectionLimits {
        header_timeout: Some(Duration::from_secs(60)),
        stall: Duration::from_secs(60),
        total: 100,
        per_peer: 100,
    });
    let router = Router::new().route("/", get(|| async { "served" }));
    runtime.spawn(serve(listener, router, connections));

    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    // Three clients of which none is left to wait, with the one descriptor that they need.
    for _ in 0..3 {
        files.pop();
        let stream = TcpStream::connect(address).unwrap();
        let reply = ask(stream);
        assert!(!reply.ends_with("served"), "{reply}");
        files.push(File::open("/dev/null").unwrap());
    }
    drop(files);
    assert!(exchange(address).ends_with("served"));
}
