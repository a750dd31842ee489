//! The HTTP proxy, and connections that are passed on as they are.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use aod_egress::{Outcome, Service};

use crate::support::{Egress, Server, ask, config, get, open};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

fn proxy(policy: aod_egress::Policy) -> Egress {
    Egress::start(&config(vec![Service::Proxy], policy))
}

#[test]
fn a_tunnel_leads_to_a_mapped_name() {
    let server = Server::start(OK);
    let egress = proxy(open(&["model.test"]));
    let mut stream = TcpStream::connect(egress.at[0]).unwrap();
    let target = format!("model.test:{}", server.port);
    write!(
        stream,
        "CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n"
    )
    .unwrap();
    let head = crate::support::read_head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    stream.write_all(b"GET /x HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = [0; 64];
    let count = stream.read(&mut answer).unwrap();
    assert!(answer[..count].ends_with(b"hello"));
    assert!(server.seen()[0].starts_with("GET /x"));
}

#[test]
fn plain_requests_are_passed_on_without_what_belongs_to_the_connection() {
    let server = Server::start(OK);
    let egress = proxy(open(&["model.test"]));
    let url = format!("http://model.test:{}/a?b=c", server.port);
    let headers = "proxy-authorization: Basic x\r\nx-hop: 1\r\nconnection: x-hop\r\nx-kept: 2\r\n";
    let answer = ask(egress.at[0], &get(&url, headers));
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"),
        "{answer}"
    );
    let seen = &server.seen()[0];
    assert!(seen.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{seen}");
    assert!(
        seen.contains(&format!("host: model.test:{}", server.port)),
        "{seen}"
    );
    assert!(seen.contains("x-kept: 2"), "{seen}");
    assert!(
        !seen.contains("x-hop") && !seen.contains("proxy-"),
        "{seen}"
    );
}

#[test]
fn what_is_not_allowed_is_refused_at_once_and_reported_once() {
    let server = Server::start(OK);
    let mut policy = open(&["good.test", "other.test"]);
    policy.allowed = Some(vec!["good.test".to_owned(), "localhost".to_owned()]);
    let mut egress = proxy(policy);
    let port = server.port;
    let at = egress.at[0];
    let connect = |target: &str| {
        ask(
            at,
            &format!("CONNECT {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
        )
    };
    for refused in [
        format!("other.test:{port}"),
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("2130706433:{port}"),
        format!("0x7f.1:{port}"),
        format!("good.test.evil.example:{port}"),
        "169.254.169.254:80".to_owned(),
    ] {
        let answer = connect(&refused);
        assert!(answer.starts_with("HTTP/1.1 403"), "{refused}: {answer}");
        let report = egress.report();
        assert_eq!(report.outcome, Outcome::Refused);
        assert_eq!(report.target, refused);
        let url = format!("http://{refused}/");
        let answer = ask(at, &get(&url, ""));
        assert!(answer.starts_with("HTTP/1.1 403"), "{refused}: {answer}");
    }
    // A name that the policy allows and that leads to the machine itself.
    let answer = connect(&format!("localhost:{port}"));
    assert!(
        answer.starts_with("HTTP/1.1 403") && answer.contains("egress.hosts"),
        "{answer}"
    );
    assert!(server.seen().is_empty());
    let answer = ask(at, &get(&format!("http://good.test:{port}/"), ""));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let left = egress.last_reports();
    assert_eq!(left.len(), 1, "each is told once: {left:?}");
}

#[test]
fn what_is_no_proxy_request_is_refused() {
    let egress = proxy(open(&["model.test"]));
    for (request, status) in [
        (
            "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            "400",
        ),
        (
            "GET https://model.test/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            "400",
        ),
        (
            "GET ftp://model.test/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            "400",
        ),
        (
            "GET http://u:p@model.test/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            "400",
        ),
        (
            "CONNECT model.test HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            "400",
        ),
        (
            "CONNECT u@model.test:1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            "400",
        ),
        (
            "GET http://model.test/ HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: close, upgrade\r\n\r\n",
            "501",
        ),
        ("\x16\x03\x01\x02\r\n\r\n", "400"),
    ] {
        let answer = ask(egress.at[0], request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request}: {answer}"
        );
    }
}

#[test]
fn an_offer_of_http_2_is_not_taken() {
    let server = Server::start(OK);
    let egress = proxy(open(&["model.test"]));
    let offer =
        "upgrade: h2c\r\nhttp2-settings: AAMAAABk\r\nconnection: upgrade, http2-settings\r\n";
    let url = format!("http://model.test:{}/", server.port);
    let answer = ask(egress.at[0], &get(&url, offer));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = server.seen().concat().to_ascii_lowercase();
    assert!(!seen.contains("h2c") && !seen.contains("http2"), "{seen}");
}

#[test]
fn where_nobody_listens_the_answer_says_so() {
    // Bound, so that nobody else has the port meanwhile, and not listening.
    let (_bound, free) = crate::support::bound();
    let egress = proxy(open(&["model.test"]));
    let answer = ask(
        egress.at[0],
        &get(&format!("http://model.test:{free}/"), ""),
    );
    assert!(
        answer.starts_with("HTTP/1.1 502") && answer.contains("model.test"),
        "{answer}"
    );
    // What the sandbox itself chose it is told itself.
    assert!(egress.last_reports().is_empty());
}

#[test]
fn a_mapped_port_is_passed_on_as_it_is() {
    let server = Server::start("no HTTP at all");
    let mut policy = open(&[]);
    policy.hosts.push(aod_egress::MappedHost {
        name: "db.test".to_owned(),
        address: "127.0.0.1".parse().unwrap(),
        port: Some(server.port),
    });
    let service = Service::Forward {
        host: "db.test".to_owned(),
        port: server.port,
    };
    let egress = Egress::start(&config(vec![service], policy));
    assert_eq!(ask(egress.at[0], "hi\r\n\r\n"), "no HTTP at all");
    assert_eq!(server.seen(), ["hi\r\n\r\n"]);
}
