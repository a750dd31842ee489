//! Credentials that have another value while the program runs.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use aod_egress::{Config, Credential, Gateway, Sent, Service};

use crate::support::{Egress, ask, config, get, open, read_body, read_head, renewed, upstream};

const PLACEHOLDER: &str = "aod-brokered-0";
/// The name under which the credential is renewed.
const NAME: &str = "ACME_TOKEN";

/// A provider that takes one key at a time.
#[derive(Clone)]
struct Provider {
    port: u16,
    key: Arc<Mutex<&'static str>>,
    /// The keys that came, each with its request's body.
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A key, and its request's body.
type Seen = (String, Vec<u8>);

impl Provider {
    fn start(key: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let provider = Self {
            port: listener.local_addr().unwrap().port(),
            key: Arc::new(Mutex::new(key)),
            seen: Arc::default(),
        };
        let serving = provider.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, serving) = (stream.unwrap(), serving.clone());
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        provider
    }

    /// Answers all requests of a connection.
    fn serve(&self, mut stream: TcpStream) {
        loop {
            let head = read_head(&mut stream);
            if head.is_empty() {
                return;
            }
            let mut body = read_body(&head, &mut stream);
            if head.contains("transfer-encoding: chunked") {
                body = pieces(&body).concat();
            }
            let key = head
                .lines()
                .find_map(|line| line.strip_prefix("authorization: Bearer "))
                .unwrap_or_default();
            let is_good = *self.key.lock().unwrap() == key;
            self.seen.lock().unwrap().push((key.to_owned(), body));
            let answer = match is_good {
                true => "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood",
                false => {
                    "HTTP/1.1 401 Unauthorized\r\nx-request-id: r1\r\ncontent-length: 7\r\n\r\nexpired"
                }
            };
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn keys(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|(key, _)| key.clone()).collect()
    }

    fn config(&self) -> Config {
        let service = Service::Gateway(Gateway {
            upstream: upstream("model.test", self.port),
            credentials: vec![Credential {
                placeholder: PLACEHOLDER.to_owned(),
                value: "first".to_owned().into(),
                sent: vec![Sent::Header {
                    name: "authorization".to_owned(),
                    prefix: "Bearer ".to_owned(),
                }],
                renewed_as: Some(NAME.to_owned()),
            }],
            authorization: None,
            tools: None,
            usage: None,
        });
        config(vec![service], open(&["model.test"]))
    }
}

fn key() -> String {
    format!("authorization: Bearer {PLACEHOLDER}\r\n")
}

/// A request with a body of a length that is said, or in chunks.
fn post(body: &str, chunked: bool) -> String {
    let (length, body) = match chunked {
        true => {
            let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
            ("transfer-encoding: chunked\r\n".to_owned(), chunk)
        }
        false => (
            format!("content-length: {}\r\n", body.len()),
            body.to_owned(),
        ),
    };
    format!(
        "POST /v1/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{}{length}\r\n{body}",
        key()
    )
}

/// What is in a body's chunks.
fn pieces(mut body: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while let Some(end) = body.windows(2).position(|it| it == b"\r\n") {
        let length = std::str::from_utf8(&body[..end]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        pieces.push(&body[end + 2..end + 2 + length]);
        body = &body[end + 4 + length..];
    }
    pieces
}

fn asking(at: SocketAddr, request: String) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || ask(at, &request))
}

#[test]
fn a_request_whose_key_was_refused_is_sent_once_more() {
    let large = "x".repeat(700_000);
    for (body, chunked) in [
        ("", false),
        ("{}", false),
        ("{}", true),
        (&large, false),
        (&large, true),
    ] {
        let provider = Provider::start("second");
        let mut egress = Egress::start(&provider.config());
        let answer = asking(egress.at[0], post(body, chunked));
        assert_eq!(egress.refused_credential(), NAME);
        egress.renew(NAME, Some("second"));
        let answer = answer.join().unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("good"),
            "{answer}"
        );
        let seen = provider.seen.lock().unwrap();
        assert_eq!(seen.len(), 2);
        assert_eq!(
            (seen[0].0.as_str(), seen[1].0.as_str()),
            ("first", "second")
        );
        assert!(seen.iter().all(|(_, sent)| sent == body.as_bytes()));
    }
}

#[test]
fn what_is_refused_for_no_other_value_stays_refused() {
    let provider = Provider::start("none");
    let mut egress = Egress::start(&provider.config());
    for (said, keys) in [(None, 1), (Some("first"), 2)] {
        let answer = asking(egress.at[0], post("{}", false));
        if said.is_none() {
            assert_eq!(egress.refused_credential(), NAME);
            egress.renew(NAME, said);
        }
        let answer = answer.join().unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 401") && answer.ends_with("expired"),
            "{answer}"
        );
        assert!(answer.contains("x-request-id: r1"), "{answer}");
        assert_eq!(provider.keys().len(), keys);
    }
    // One that is refused, too, is the last that is tried.
    egress.renew(NAME, Some("second"));
    let answer = asking(egress.at[0], post("{}", false));
    assert_eq!(egress.refused_credential(), NAME);
    egress.renew(NAME, Some("third"));
    assert!(answer.join().unwrap().starts_with("HTTP/1.1 401"));
    assert_eq!(provider.keys(), ["first", "first", "second", "third"]);
    drop(egress);
}

/// Its client may send it again, and has the new value then.
#[test]
fn what_is_too_long_to_be_kept_is_refused_at_once() {
    let provider = Provider::start("second");
    let mut egress = Egress::start(&provider.config());
    let answer = asking(egress.at[0], post(&"x".repeat(4 << 20), false));
    // Nobody has said anything yet.
    let answer = answer.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert_eq!(egress.refused_credential(), NAME);
    egress.renew(NAME, Some("second"));
    // What was given back may be kept again, and the value is there when a request comes that waits
    // for it.
    let answer = ask(egress.at[0], &post("{}", false));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        egress.private_kib() <= 6 << 10,
        "{} KiB",
        egress.private_kib()
    );
}

#[test]
fn a_value_that_is_told_is_used_from_then_on() {
    let provider = Provider::start("second");
    let told = renewed(NAME, Some("second"));
    let mut egress = Egress::start_with(&provider.config(), &[told]);
    let mut stream = TcpStream::connect(egress.at[0]).unwrap();
    let request = format!("GET /x HTTP/1.1\r\nhost: x\r\n{}\r\n", key());
    let mut once = || {
        stream.write_all(request.as_bytes()).unwrap();
        let head = read_head(&mut stream);
        stream.read_exact(&mut [0; 4]).unwrap();
        head
    };
    assert!(once().starts_with("HTTP/1.1 200"));
    *provider.key.lock().unwrap() = "third";
    egress.renew(NAME, Some("third"));
    // It may still be on its way, and is waited for then.
    assert!(once().starts_with("HTTP/1.1 200"));
    assert_eq!(provider.keys().last().unwrap(), "third");
    assert_eq!(provider.keys()[0], "second");
}

#[test]
fn all_that_wait_are_answered_at_once() {
    let provider = Provider::start("second");
    let mut egress = Egress::start(&provider.config());
    let asks: Vec<_> = (0..10)
        .map(|_| asking(egress.at[0], post("{}", false)))
        .collect();
    assert_eq!(egress.refused_credential(), NAME);
    egress.renew(NAME, Some("second"));
    for answer in asks {
        assert!(answer.join().unwrap().starts_with("HTTP/1.1 200"));
    }
    // The starter was asked once.
    assert!(egress.last_lines().is_empty());
}

#[test]
fn a_request_that_waits_is_not_sent_when_the_turn_is_over() {
    let provider = Provider::start("second");
    let mut egress = Egress::start(&provider.config());
    let answer = asking(egress.at[0], get("/x", &key()));
    assert_eq!(egress.refused_credential(), NAME);
    egress.in_use.set(false).unwrap();
    egress.renew(NAME, Some("second"));
    let answer = answer.join().unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 401") && answer.ends_with("expired"),
        "{answer}"
    );
    assert_eq!(provider.keys(), ["first"]);
}
