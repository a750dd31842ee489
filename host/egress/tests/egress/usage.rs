//! Tokens that answers say were used.

use std::io::Write as _;
use std::net::TcpStream;

use aod_egress::{Figure, Service, TokenCounts, Upstream, UsageField, UsageFields};

use crate::support::{Egress, Server, ask, config, get, keyed, open, read_head, tls, upstream};

const KEY: &str = "x-api-key: aod-brokered-0\r\naccept-encoding: gzip, br\r\n";
const EVENTS: &str = "text/event-stream";

fn gateway(upstream: Upstream, usage: UsageFields) -> Service {
    keyed(upstream, "true-key", Some(usage))
}

fn start(port: u16, usage: UsageFields) -> Egress {
    let service = gateway(upstream("model.test", port), usage);
    Egress::start(&config(vec![service], open(&["model.test"])))
}

fn answer(status: &str, headers: &str, body: &str) -> &'static str {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}").leak()
}

fn json(body: &str) -> &'static str {
    answer("200 OK", "content-type: application/json\r\n", body)
}

/// What is counted of one answer.
fn counted(answer: &'static str) -> TokenCounts {
    let server = Server::start(answer);
    let egress = start(server.port, UsageFields::common());
    let got = ask(egress.at[0], &get("/v1/x", KEY));
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(got.ends_with(body), "{got}");
    let seen = server.seen().pop().unwrap();
    assert!(seen.contains("accept-encoding: identity\r\n"), "{seen}");
    assert!(!seen.contains("gzip"), "{seen}");
    egress.counted()
}

#[test]
fn what_the_provider_says_is_counted() {
    let stream = "event: message_start\ndata: {\"message\":{\"usage\":{\"input_tokens\":25,\
        \"output_tokens\":1}}}\n\nevent: message_delta\ndata: {\"usage\":{\"output_tokens\":15}}\n\n";
    let events = format!("content-type: {EVENTS}\r\n");
    for (answer, figures) in [
        (
            json(r#"{"usage":{"prompt_tokens":50,"completion_tokens":9}}"#),
            (1, 50, 9),
        ),
        (answer("200 OK", &events, stream), (1, 25, 15)),
        (json(r#"{"input_tokens":5}"#), (0, 0, 0)),
        (
            answer(
                "429 No",
                "content-type: application/json\r\n",
                r#"{"usage":{"input_tokens":5}}"#,
            ),
            (0, 0, 0),
        ),
    ] {
        let counts = counted(answer);
        assert_eq!((counts.requests, counts.input, counts.output), figures);
        assert_eq!(counts.unread, 0);
    }
    let encoded = "content-type: application/json\r\ncontent-encoding: br\r\n";
    let counts = counted(answer("200 OK", encoded, "\u{1}\u{2}"));
    assert_eq!((counts.requests, counts.unread), (0, 1));
}

#[test]
fn where_it_stands_may_be_said() {
    let server = Server::start(json(
        r#"{"meta":{"in":5,"out":6},"usage":{"input_tokens":1}}"#,
    ));
    let field = |figure, path: [&str; 2]| UsageField {
        figure,
        path: path.map(str::to_owned).to_vec(),
    };
    let fields = UsageFields::new([
        field(Figure::Input, ["meta", "in"]),
        field(Figure::Output, ["meta", "out"]),
    ]);
    let egress = start(server.port, fields);
    for _ in 0..3 {
        ask(egress.at[0], &get("/", KEY));
    }
    let counts = egress.counted();
    assert_eq!((counts.requests, counts.input, counts.output), (3, 15, 18));
}

/// It is told before whoever asked can have it, and however that ends.
#[test]
fn the_figures_of_an_answer_are_told_before_its_end() {
    let (port, authority) = tls("model.test", |mut stream| {
        read_head(&mut stream);
        let event = "data: {\"message\":{\"usage\":{\"input_tokens\":25}}}\n\n";
        let begin = format!("HTTP/1.1 200 OK\r\ncontent-type: {EVENTS}\r\n\r\n{event}");
        stream.write_all(begin.as_bytes()).unwrap();
        stream.flush().unwrap();
        // Never ends by itself.
        let _ = stream.read(&mut [0]);
    });
    let to = Upstream {
        tls: true,
        ..upstream("model.test", port)
    };
    let service = gateway(to, UsageFields::common());
    let mut egress = Egress::start(&aod_egress::Config {
        authorities: Some(authority),
        ..config(vec![service], open(&["model.test"]))
    });
    let mut stream = TcpStream::connect(egress.at[0]).unwrap();
    stream.write_all(get("/", KEY).as_bytes()).unwrap();
    assert_eq!(egress.token_report().input, 25);
    drop(stream);
    assert_eq!(egress.counted(), TokenCounts::default());
}

/// A body that is huge, deep and without end costs no memory and is not held up.
#[test]
fn a_hostile_answer_is_passed_on_and_kept_nowhere() {
    const SIZE: usize = 8 << 20;
    let piece = format!(
        "[{{\"usage\":{{\"input_tokens\":\"{}\",\"{}\":1",
        "x".repeat(4000),
        "k".repeat(4000)
    );
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {SIZE}\r\nconnection: close\r\n\r\n"
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_head(&mut stream);
        stream.write_all(head.as_bytes()).unwrap();
        let mut left = SIZE;
        while left > 0 {
            let part = &piece.as_bytes()[..piece.len().min(left)];
            stream.write_all(part).unwrap();
            left -= part.len();
        }
    });
    let egress = start(port, UsageFields::common());
    let mut stream = TcpStream::connect(egress.at[0]).unwrap();
    stream.write_all(get("/", KEY).as_bytes()).unwrap();
    read_head(&mut stream);
    let got = std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
    assert_eq!(got, SIZE as u64);
    let private = egress.private_kib();
    assert!(private <= 6 << 10, "{private} KiB");
    assert_eq!(egress.counted().input, 0);
}
