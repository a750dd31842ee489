//! Requests that no honest client sends: what of them reaches the upstream, and what it costs.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::{Egress, PLACEHOLDER, Server, config, keyed, open, upstream};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const KEY: &str = "true-key-1234567890";

fn gateway(port: u16) -> Egress {
    let service = keyed(upstream("model.test", port), KEY, None);
    Egress::start(&config(vec![service], open(&["model.test"])))
}

/// Sends bytes and no more, and answers all that comes back.
fn send(at: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).unwrap();
    // It may be refused before its end.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is answered with this status, and reaches nobody.
    Refused(u16),
    /// Nobody is sent anything that ends, or the key of somebody else's request.
    Broken,
    /// So many requests reach the upstream, in its one form.
    Passed(usize),
}
use Fate::{Broken, Passed, Refused};

/// Each as the sandbox sends it, where `KEY` is a line with the placeholder.
const REQUESTS: [(&str, Fate); 44] = [
    // What is honest, first.
    ("GET /x HTTP/1.1\r\nhost: a\r\nKEY\r\n", Passed(1)),
    ("GET /x HTTP/1.0\r\nKEY\r\n", Passed(1)),
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYcontent-length: 2\r\n\r\n{}",
        Passed(1),
    ),
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYtransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        Passed(1),
    ),
    (
        "GET /x HTTP/1.1\r\nhost: a\r\nKEY\r\nGET /y HTTP/1.1\r\nhost: a\r\nKEY\r\n",
        Passed(2),
    ),
    // Where a body ends is said twice: one way holds, and is all that the upstream is told.
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYcontent-length: 50\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        Passed(1),
    ),
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYtransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        Passed(1),
    ),
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYcontent-length: 2\r\ncontent-length: 2\r\n\r\n{}",
        Passed(1),
    ),
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYcontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        Refused(400),
    ),
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYcontent-length: 2, 2\r\n\r\n{}",
        Refused(400),
    ),
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYcontent-length: +2\r\n\r\n{}",
        Refused(400),
    ),
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYcontent-length: -2\r\n\r\n{}",
        Refused(400),
    ),
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYcontent-length: 99999999999999999999\r\n\r\n{}",
        Refused(400),
    ),
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYtransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYtransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYtransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "POST /x HTTP/1.0\r\nKEYtransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    // Chunks.
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYtransfer-encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n",
        Passed(1),
    ),
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYtransfer-encoding: chunked\r\n\r\n2;a\nb\r\n{}\r\n0\r\n\r\n",
        Broken,
    ),
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYtransfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n{}",
        Broken,
    ),
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYtransfer-encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
        Broken,
    ),
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYtransfer-encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
        Broken,
    ),
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYtransfer-encoding: chunked\r\n\r\n2\r\n{}GET /y HTTP/1.1\r\n\r\n",
        Broken,
    ),
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYtransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nhost: b\r\nx-api-key: c\r\n\r\n",
        Passed(1),
    ),
    // Headers.
    (
        "GET /x HTTP/1.1\r\nhost: a\r\nhost: b\r\nKEY\r\n",
        Passed(1),
    ),
    (
        "GET /x HTTP/1.1\r\nhost: a\r\nKEYx-api-key: other\r\n\r\n",
        Passed(1),
    ),
    (
        "GET /x HTTP/1.1\r\nhost: a\r\nx-api-key: other\r\nKEY\r\n",
        Refused(401),
    ),
    (
        "GET /x HTTP/1.1\r\nhost: a\r\nKEYconnection: x-api-key\r\n\r\n",
        Refused(401),
    ),
    (
        "POST /x HTTP/1.1\r\nhost: a\r\nKEYcontent-length: 2\r\nconnection: content-length, host\r\n\r\n{}",
        Passed(1),
    ),
    (
        "GET /x HTTP/1.1\r\nhost: a\r\nKEYx-a: b\r\n c: d\r\n\r\n",
        Refused(400),
    ),
    (
        "GET /x HTTP/1.1\r\nhost: a\r\nKEYx-a : b\r\n\r\n",
        Refused(400),
    ),
    (
        "GET /x HTTP/1.1\r\nhost: a\r\nKEYx-a: b\0c\r\n\r\n",
        Refused(400),
    ),
    (
        "GET /x HTTP/1.1\r\nhost: a\r\nKEY:authority: b\r\n\r\n",
        Refused(400),
    ),
    // Targets.
    (
        "GET http://other.test/x HTTP/1.1\r\nhost: other.test\r\nKEY\r\n",
        Passed(1),
    ),
    (
        "GET http://u:p@other.test:1/x HTTP/1.1\r\nhost: a\r\nKEY\r\n",
        Passed(1),
    ),
    (
        "GET //other.test/x HTTP/1.1\r\nhost: a\r\nKEY\r\n",
        Passed(1),
    ),
    ("GET /x y HTTP/1.1\r\nhost: a\r\nKEY\r\n", Refused(400)),
    ("OPTIONS * HTTP/1.1\r\nhost: a\r\nKEY\r\n", Refused(403)),
    (
        "CONNECT other.test:443 HTTP/1.1\r\nhost: a\r\nKEY\r\n",
        Refused(405),
    ),
    // Methods, versions and other protocols.
    ("TRACE /x HTTP/1.1\r\nhost: a\r\nKEY\r\n", Refused(405)),
    (
        "GET /x HTTP/1.1\r\nhost: a\r\nKEYupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
        Refused(426),
    ),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Broken),
    ("GET /x\r\n\r\n", Refused(400)),
    (
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}",
        Refused(400),
    ),
];

#[test]
fn a_request_reaches_the_upstream_in_one_form_or_not_at_all() {
    for (request, fate) in REQUESTS {
        let server = Server::start(OK);
        let egress = gateway(server.port);
        let line = format!("x-api-key: {PLACEHOLDER}\r\n");
        // A client that stays until it is answered.
        let bytes = request.replace("KEY", &line);
        let mut stream = TcpStream::connect(egress.at[0]).unwrap();
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        let wanted = match fate {
            Passed(count) => count,
            Refused(_) | Broken => 1,
        };
        let mut answer = String::new();
        let mut piece = [0; 4096];
        while answer.matches("HTTP/1.").count() < wanted || !ends(&answer) {
            match stream.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(count) => answer.push_str(&String::from_utf8_lossy(&piece[..count])),
            }
        }
        let seen = server.seen();
        match fate {
            Refused(status) => {
                let said = format!(" {status} ");
                let first = answer.lines().next().unwrap_or_default();
                assert!(first.contains(&said), "{request:?}: {answer}");
                assert!(seen.is_empty(), "{request:?}: {seen:?}");
            }
            // What was sent of it ends in the middle, or was not sent.
            Broken => assert!(!answer.contains(" 200 "), "{request:?}: {answer}"),
            Passed(count) => {
                assert_eq!(
                    answer.matches("200 OK").count(),
                    count,
                    "{request:?}: {answer}"
                );
                assert_eq!(seen.len(), count, "{request:?}: {seen:?}");
            }
        }
        for head in seen {
            let head = head.to_ascii_lowercase();
            let count = |name: &str| head.lines().filter(|line| line.starts_with(name)).count();
            assert_eq!(
                (count("host:"), count("x-api-key:")),
                (1, 1),
                "{request:?}: {head}"
            );
            assert!(
                head.contains(&format!("host: model.test:{}\r\n", server.port)),
                "{head}"
            );
            assert!(head.contains(&format!("x-api-key: {KEY}\r\n")), "{head}");
            let lengths = count("content-length:") + count("transfer-encoding:");
            assert!(
                lengths <= 1 && count("connection:") == 0,
                "{request:?}: {head}"
            );
            let (path, _) = head.split_once(" http/1.1").unwrap();
            let path = path.split_once(' ').unwrap().1;
            assert!(
                ["/x", "/y", "//other.test/x"].contains(&path),
                "{request:?}: {head}"
            );
        }
    }
}

/// Whether an answer has its body.
fn ends(answer: &str) -> bool {
    answer.ends_with("\r\n\r\nok") || answer.ends_with('}')
}

#[test]
fn a_body_that_is_awaited_is_asked_for() {
    let server = Server::start(OK);
    let egress = gateway(server.port);
    let mut stream = TcpStream::connect(egress.at[0]).unwrap();
    let head = format!(
        "POST /x HTTP/1.1\r\nhost: a\r\nx-api-key: {PLACEHOLDER}\r\nexpect: 100-continue\r\n\
         content-length: 2\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"),
        "{answer}"
    );
    assert!(!server.seen()[0].contains("expect"), "{:?}", server.seen());
    // One that is refused is not asked for it.
    let refused = head.replace(PLACEHOLDER, "other");
    let answer = send(egress.at[0], refused.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

#[test]
fn a_head_has_an_end() {
    let server = Server::start(OK);
    let egress = gateway(server.port);
    let key = format!("x-api-key: {PLACEHOLDER}\r\n");
    let many: String = (0..500).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = format!("x-long: {}\r\n", "y".repeat(300 << 10));
    let path = "z".repeat(300 << 10);
    for (path, headers) in [("x", &many), ("x", &long), (path.as_str(), &String::new())] {
        let request = format!("GET /{path} HTTP/1.1\r\nhost: a\r\n{key}{headers}\r\n");
        let answer = send(egress.at[0], request.as_bytes());
        let is_refused = ["431", "414", "400"]
            .iter()
            .any(|it| answer.contains(&format!(" {it} ")));
        // What is read no more is reset, and the answer with it.
        assert!(is_refused || answer.is_empty(), "{answer}");
    }
    assert!(server.seen().is_empty());
    // What CLIs send fits.
    let large = format!("x-large: {}\r\n", "y".repeat(48 << 10));
    let request = format!("GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{key}{large}\r\n");
    let answer = send(egress.at[0], request.as_bytes());
    assert!(
        answer.starts_with("HTTP/1.1 200") || answer.is_empty(),
        "{answer}"
    );
}

/// Whoever connects as often as he can, and begins requests and ends none, costs the host no more than what the program may take,
/// and keeps nobody out for longer than his connections.
#[test]
fn hundreds_of_connections_cost_little() {
    let server = Server::start(OK);
    let egress = gateway(server.port);
    let begun = format!(
        "GET /x HTTP/1.1\r\nhost: a\r\nx-long: {}",
        "y".repeat(200 << 10)
    );
    let connections: Vec<TcpStream> = (0..600)
        .map(|_| {
            let mut stream = TcpStream::connect(egress.at[0]).unwrap();
            stream.set_nonblocking(true).unwrap();
            // As much as goes without waiting.
            let _ = stream.write(begun.as_bytes());
            stream
        })
        .collect();
    let most = (0..20).map(|_| {
        std::thread::sleep(Duration::from_millis(50));
        egress.private_kib()
    });
    let most = most.max().unwrap();
    println!("{most} KiB are private while requests begin and do not end");
    assert!(most <= 6 << 10, "{most} KiB");
    drop(connections);
    let key = format!("x-api-key: {PLACEHOLDER}\r\n");
    let request = format!("GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{key}\r\n");
    let mut stream = TcpStream::connect(egress.at[0]).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        egress.private_kib() <= 6 << 10,
        "{} KiB",
        egress.private_kib()
    );
}
