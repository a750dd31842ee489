//! Requests to a model, of which a turn may make only so many.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use aod_egress::UsageFields;

use crate::support::{Egress, Server, ask, config, keyed, open, upstream};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A gateway to a model, or to something else.
fn gateway(port: u16, is_model: bool) -> Egress {
    let usage = is_model.then(UsageFields::common);
    let service = keyed(upstream("model.test", port), "true-key", usage);
    Egress::start(&config(vec![service], open(&["model.test"])))
}

fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: inside\r\nconnection: close\r\nx-api-key: aod-brokered-0\r\n\
         {headers}content-length: {length}\r\n\r\n{body}"
    )
}

const STEP: &str = r#"{"messages":[{"content":"[\"tools\":[1]]"}],"tools":[{"name":"ls"}]}"#;
const TITLE: &str = r#"{"messages":[{"content":"a title"}],"tools":[]}"#;

fn step(at: SocketAddr) -> String {
    ask(at, &post("/v1/messages", "", STEP))
}

#[test]
fn a_turn_makes_as_many_requests_as_it_may_and_no_more() {
    let server = Server::start(OK);
    let mut egress = gateway(server.port, true);
    egress.allowance.begin(Some(2)).unwrap();
    for _ in 0..2 {
        assert!(step(egress.at[0]).ends_with("ok"));
        // What offers no tools does not count.
        assert!(ask(egress.at[0], &post("/v1/messages", "", TITLE)).ends_with("ok"));
        let tokens = post("/v1/messages/count_tokens", "", STEP);
        assert!(ask(egress.at[0], &tokens).ends_with("ok"));
    }
    for _ in 0..3 {
        let answer = step(egress.at[0]);
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains("aod_gateway_limit") && answer.contains("the 2 requests"));
        assert_eq!(egress.spent(), 2);
    }
    assert!(ask(egress.at[0], &post("/v1/messages", "", TITLE)).ends_with("ok"));
    assert_eq!(server.seen().len(), 7);
    // What cannot be read counts.
    let packed = post("/v1/messages", "content-encoding: gzip\r\n", "????");
    assert!(ask(egress.at[0], &packed).starts_with("HTTP/1.1 400"));
    // The next turn.
    egress.allowance.begin(Some(1)).unwrap();
    assert!(step(egress.at[0]).ends_with("ok"));
    assert!(step(egress.at[0]).starts_with("HTTP/1.1 400"));
    egress.allowance.begin(None).unwrap();
    assert!((0..5).all(|_| step(egress.at[0]).ends_with("ok")));
}

#[test]
fn what_leads_to_no_model_is_not_counted() {
    let server = Server::start(OK);
    let egress = gateway(server.port, false);
    egress.allowance.begin(Some(1)).unwrap();
    assert!((0..3).all(|_| step(egress.at[0]).ends_with("ok")));
}

/// A long body, of which the tools are the last part or the first: the client has sent all of it
/// before it reads.
#[test]
fn who_sends_much_reads_the_refusal() {
    let server = Server::start(OK);
    let egress = gateway(server.port, true);
    egress.allowance.begin(Some(1)).unwrap();
    assert!(step(egress.at[0]).ends_with("ok"));
    let long = "x".repeat(8 << 20);
    for body in [
        format!(r#"{{"messages":"{long}","tools":[1]}}"#),
        format!(r#"{{"tools":[1],"messages":"{long}"}}"#),
    ] {
        for chunked in [false, true] {
            let mut stream = TcpStream::connect(egress.at[0]).unwrap();
            let framing = match chunked {
                true => "transfer-encoding: chunked".to_owned(),
                false => format!("content-length: {}", body.len()),
            };
            let head = format!(
                "POST /v1/messages HTTP/1.1\r\nhost: inside\r\nconnection: close\r\n\
                 x-api-key: aod-brokered-0\r\n{framing}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
            if chunked {
                write!(stream, "{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).unwrap();
            } else {
                stream.write_all(body.as_bytes()).unwrap();
            }
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        }
    }
}
