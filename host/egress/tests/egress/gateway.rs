//! The credential gateway.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use aod_egress::{Config, Credential, Gateway, Outcome, Sent, Service, Upstream};

use crate::support::{Egress, Server, ask, config, get, open, read_head, tls, upstream};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const KEY: &str = "true-key-1234567890";
const PLACEHOLDER: &str = "aod-brokered-0";

fn service(upstream: Upstream) -> Service {
    Service::Gateway(Gateway {
        upstream,
        credentials: vec![Credential {
            placeholder: PLACEHOLDER.to_owned(),
            value: KEY.to_owned().into(),
            sent: vec![
                Sent::Header {
                    name: "x-api-key".to_owned(),
                    prefix: String::new(),
                },
                Sent::Header {
                    name: "authorization".to_owned(),
                    prefix: "Bearer ".to_owned(),
                },
                Sent::Query("key".to_owned()),
            ],
            renewed_as: None,
        }],
        authorization: None,
        tools: None,
        usage: None,
    })
}

fn gateway(upstream: Upstream) -> Egress {
    Egress::start(&config(vec![service(upstream)], open(&["model.test"])))
}

#[test]
fn the_upstream_sees_the_credential_in_each_place_where_it_is_sent() {
    let server = Server::start(OK);
    let egress = gateway(upstream("model.test", server.port));
    for (target, headers, wanted) in [
        (
            "/v1/x?a=b",
            format!("x-api-key: {PLACEHOLDER}\r\n"),
            format!("x-api-key: {KEY}\r\n"),
        ),
        (
            "/v1/x?a=b",
            format!("Authorization: Bearer {PLACEHOLDER}\r\n"),
            format!("authorization: Bearer {KEY}\r\n"),
        ),
        (
            "/v1/x?key=aod-brokered-0&a=b",
            String::new(),
            "true%2Dkey%2D1234567890&a=b".to_owned(),
        ),
    ] {
        let answer = ask(egress.at[0], &get(target, &headers));
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"),
            "{answer}"
        );
        let seen = server.seen().pop().unwrap();
        assert!(seen.contains(&wanted), "{seen}");
        assert!(
            !seen.contains(PLACEHOLDER) && seen.starts_with("GET /v1/x?"),
            "{seen}"
        );
        assert!(
            seen.contains(&format!("host: model.test:{}", server.port)),
            "{seen}"
        );
    }
}

#[test]
fn a_request_without_the_placeholder_reaches_nobody() {
    let server = Server::start(OK);
    let egress = gateway(upstream("model.test", server.port));
    for headers in [
        String::new(),
        "x-api-key: another\r\n".to_owned(),
        format!("x-other: {PLACEHOLDER}\r\n"),
        format!("authorization: Basic {PLACEHOLDER}\r\n"),
        format!("x-api-key: {PLACEHOLDER}1\r\n"),
    ] {
        let answer = ask(egress.at[0], &get("/v1/x", &headers));
        assert!(answer.starts_with("HTTP/1.1 401"), "{headers}: {answer}");
        assert!(!answer.contains(KEY));
    }
    assert!(server.seen().is_empty());
}

#[test]
fn the_sandbox_does_not_choose_the_upstream() {
    let server = Server::start(OK);
    let other = Server::start(OK);
    let mut to = upstream("model.test", server.port);
    to.path = "/team".to_owned();
    let egress = gateway(to);
    let key = format!("x-api-key: {PLACEHOLDER}\r\n");
    let absolute = format!("http://model.test:{}/team/x", other.port);
    let answer = ask(egress.at[0], &get(&absolute, &key));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let forged = format!("{key}host: model.test:{}\r\n", other.port);
    ask(egress.at[0], &get("/team/x", &forged));
    assert!(other.seen().is_empty());
    for path in [
        "/other",
        "/teams",
        "/team/../x",
        "/team/%2e%2e/x",
        "/team/..%2fx",
        "/team/..%5cx",
    ] {
        let answer = ask(egress.at[0], &get(path, &key));
        assert!(answer.starts_with("HTTP/1.1 403"), "{path}: {answer}");
    }
    assert!(
        server
            .seen()
            .iter()
            .all(|head| head.starts_with("GET /team/x "))
    );
    let answer = ask(
        egress.at[0],
        &format!(
            "CONNECT model.test:{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{key}\r\n",
            other.port
        ),
    );
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[test]
fn between_turns_a_placeholder_is_worth_nothing() {
    let server = Server::start(OK);
    let mut to = upstream("model.test", server.port);
    let own = Service::Gateway(Gateway {
        upstream: to.clone(),
        credentials: Vec::new(),
        authorization: Some(b"Basic true".to_vec().into()),
        tools: None,
        usage: None,
    });
    to.path = "/team".to_owned();
    let services = vec![service(to), own];
    let egress = Egress::start(&config(services, open(&["model.test"])));
    let key = format!("x-api-key: {PLACEHOLDER}\r\n");
    let asks = [get("/team/x", &key), get("/team/x", "")];
    for (in_use, status) in [(true, "200"), (false, "401"), (true, "200"), (false, "401")] {
        egress.in_use.set(in_use).unwrap();
        for (at, ask_for) in egress.at.iter().zip(&asks) {
            let answer = ask(*at, ask_for);
            let said = format!("HTTP/1.1 {status}");
            assert!(answer.starts_with(&said), "{in_use}: {answer}");
            assert_eq!(answer.contains("no turn"), !in_use, "{answer}");
        }
    }
    assert_eq!(server.seen().len(), 4);
}

/// A connection that was made in a turn and is kept is no way around it.
#[test]
fn a_connection_that_is_kept_is_refused_between_turns() {
    let server = Server::start(OK);
    let egress = gateway(upstream("model.test", server.port));
    let mut stream = TcpStream::connect(egress.at[0]).unwrap();
    let request = format!("GET /x HTTP/1.1\r\nhost: x\r\nx-api-key: {PLACEHOLDER}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 200"));
    stream.read_exact(&mut [0; 2]).unwrap();
    egress.in_use.set(false).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 401"));
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_websocket_is_asked_to_do_without() {
    let server = Server::start(OK);
    let egress = gateway(upstream("model.test", server.port));
    let headers = format!("x-api-key: {PLACEHOLDER}\r\nupgrade: websocket\r\n");
    let answer = ask(egress.at[0], &get("/v1/responses", &headers));
    assert!(answer.starts_with("HTTP/1.1 426"), "{answer}");
}

#[test]
fn a_client_without_a_placeholder_is_given_its_authorization() {
    let server = Server::start(OK);
    let mut to = upstream("model.test", server.port);
    to.path = "/o/r.git".to_owned();
    let service = Service::Gateway(Gateway {
        upstream: to,
        credentials: Vec::new(),
        authorization: Some(b"Basic true".to_vec().into()),
        tools: None,
        usage: None,
    });
    assert!(!format!("{service:?}").contains("true\""), "{service:?}");
    let egress = Egress::start(&config(vec![service], open(&["model.test"])));
    let own = "authorization: Basic mine\r\n";
    let path = "/o/r.git/info/refs?service=git-receive-pack";
    assert!(ask(egress.at[0], &get(path, own)).starts_with("HTTP/1.1 200"));
    let seen = server.seen().pop().unwrap();
    assert!(
        seen.contains("authorization: Basic true\r\n") && !seen.contains("mine"),
        "{seen}"
    );
    for other in [
        "/o/r.gitx/info/refs",
        "/o/other.git/info/refs",
        "/o/r.git/../other.git",
    ] {
        assert!(
            ask(egress.at[0], &get(other, own)).starts_with("HTTP/1.1 403"),
            "{other}"
        );
    }
}

#[test]
fn errors_of_the_provider_are_kept_as_they_are() {
    let body = r#"{"type":"error","error":{"type":"rate_limit_error"}}"#;
    let limited = format!(
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 17\r\nx-request-id: r1\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let server = Server::start(limited.leak());
    let egress = gateway(upstream("model.test", server.port));
    let answer = ask(
        egress.at[0],
        &get("/v1/x", &format!("x-api-key: {PLACEHOLDER}\r\n")),
    );
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert!(
        answer.contains("retry-after: 17") && answer.contains("x-request-id: r1"),
        "{answer}"
    );
    assert!(answer.ends_with(body), "{answer}");
}

#[test]
fn an_upstream_at_a_private_address_needs_the_operators_word() {
    let server = Server::start(OK);
    let mut egress = gateway(upstream("127.0.0.1", server.port));
    let answer = ask(
        egress.at[0],
        &get("/", &format!("x-api-key: {PLACEHOLDER}\r\n")),
    );
    assert!(
        answer.starts_with("HTTP/1.1 403") && answer.contains("egress.hosts"),
        "{answer}"
    );
    assert_eq!(egress.report().outcome, Outcome::Refused);
    assert!(server.seen().is_empty());
}

#[test]
fn answers_over_tls_are_streamed_as_they_come() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let (port, authority) = tls("model.test", move |mut stream| {
        let head = read_head(&mut stream);
        assert!(head.contains(&format!("x-api-key: {KEY}")), "{head}");
        let begin = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n6\r\nfirst\n\r\n";
        stream.write_all(begin.as_bytes()).unwrap();
        stream.flush().unwrap();
        // Only once the first piece has come through.
        wait.lock().unwrap().recv().unwrap();
        stream.write_all(b"7\r\nsecond\n\r\n0\r\n\r\n").unwrap();
        stream.flush().unwrap();
    });
    let to = Upstream {
        tls: true,
        ..upstream("model.test", port)
    };
    let egress = Egress::start(&Config {
        authorities: Some(authority),
        ..config(vec![service(to)], open(&["model.test"]))
    });
    let mut stream = TcpStream::connect(egress.at[0]).unwrap();
    let request = get("/v1/x", &format!("x-api-key: {PLACEHOLDER}\r\n"));
    stream.write_all(request.as_bytes()).unwrap();
    let head = read_head(&mut stream);
    assert!(head.contains("text/event-stream"), "{head}");
    let mut text = Vec::new();
    let mut piece = [0; 256];
    while !text.windows(6).any(|it| it == b"first\n") {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0);
        text.extend_from_slice(&piece[..count]);
    }
    go.send(()).unwrap();
    stream.read_to_end(&mut text).unwrap();
    assert!(text.windows(7).any(|it| it == b"second\n"));
}

#[test]
fn an_upstream_that_is_not_who_it_should_be_gets_nothing() {
    let heads = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = heads.clone();
    let (port, authority) = tls("another.test", move |mut stream| {
        seen.lock().unwrap().push(read_head(&mut stream));
    });
    for authorities in [None, Some(authority)] {
        let to = Upstream {
            tls: true,
            ..upstream("model.test", port)
        };
        let egress = Egress::start(&Config {
            authorities,
            ..config(vec![service(to)], open(&["model.test"]))
        });
        let answer = ask(
            egress.at[0],
            &get("/", &format!("x-api-key: {PLACEHOLDER}\r\n")),
        );
        assert!(
            answer.starts_with("HTTP/1.1 502") && answer.contains("certificate"),
            "{answer}"
        );
    }
    assert!(heads.lock().unwrap().iter().all(String::is_empty));
}
