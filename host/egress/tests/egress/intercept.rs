//! Credentials that are put into requests to the hosts that they are for.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aod_egress::{
    BoundCredential, Config, HostPort, Interception, MappedHost, Outcome, Policy, Service,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::{Egress, Server, ask, read_body, read_head, tls};

const KEY: &str = "true-key-1234567890";
const PLACEHOLDER: &str = "aod-brokered-0123456789abcdef";
/// Another user's, or another host's.
const OTHER: &str = "aod-brokered-fedcba9876543210";
const OTHER_KEY: &str = "other-key-1234567890";

/// A sandbox's network: a credential for `api.test`, another for `other.test`, and no credential
/// for `evil.test`, which the first one's server is, too.
struct Lab {
    egress: Egress,
    /// Heads of requests that came over TLS: the name of the server, and the head.
    seen: Arc<Mutex<Vec<(&'static str, String)>>>,
    /// Trusts the interceptor.
    trusted: String,
    /// Trusts the true servers.
    true_authority: String,
    plain: Server,
}

impl Lab {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut authorities = String::new();
        let mut hosts = Vec::new();
        for name in ["api.test", "other.test", "evil.test"] {
            let heads = seen.clone();
            let (port, authority) = tls(name, move |mut stream| {
                loop {
                    let head = read_head(&mut stream);
                    if head.is_empty() {
                        return;
                    }
                    read_body(&head, &mut stream);
                    let answer = answer(&head);
                    let is_last = head.contains("connection: close");
                    heads.lock().unwrap().push((name, head));
                    if stream.write_all(answer.as_bytes()).is_err() || stream.flush().is_err() {
                        return;
                    }
                    if is_last {
                        return;
                    }
                    if answer.starts_with("HTTP/1.1 101") {
                        let mut word = [0; 4];
                        stream.read_exact(&mut word).unwrap();
                        stream.write_all(&word).unwrap();
                        stream.flush().unwrap();
                        return;
                    }
                }
            });
            authorities.push_str(&authority);
            hosts.push((name, port));
        }
        let plain = Server::start("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nplain");
        hosts.push(("plain.test", plain.port));
        let names = vec!["api.test".to_owned(), "other.test".to_owned()];
        let own = rcgen::generate_simple_self_signed(names).unwrap();
        let bound = |placeholder: &str, value: &str, host: &str| BoundCredential {
            placeholder: placeholder.to_owned(),
            value: value.to_owned().into(),
            hosts: vec![HostPort {
                host: host.to_owned(),
                port: 443,
            }],
            renewed_as: Some(host.to_owned()),
        };
        let mut config = Config {
            services: vec![Service::Proxy],
            policy: Policy {
                hosts: hosts
                    .into_iter()
                    .map(|(name, port)| MappedHost {
                        name: name.to_owned(),
                        address: "127.0.0.1".parse().unwrap(),
                        port: Some(port),
                    })
                    .collect(),
                ..Policy::default()
            },
            authorities: Some(authorities.clone()),
            interception: Some(Interception {
                certificate: own.cert.pem(),
                key: own.signing_key.serialize_pem().into_bytes().into(),
                credentials: vec![
                    bound(PLACEHOLDER, KEY, "api.test"),
                    bound(OTHER, OTHER_KEY, "other.test"),
                ],
            }),
        };
        change(&mut config);
        Self {
            egress: Egress::start(&config),
            seen,
            trusted: own.cert.pem(),
            true_authority: authorities,
            plain,
        }
    }

    fn proxy(&self) -> SocketAddr {
        self.egress.at[0]
    }

    /// A tunnel, and TLS in it with whoever has a certificate of this authority.
    fn connect(&self, target: &str, name: &str, authority: &str) -> Result<Tunnel, String> {
        let mut stream = TcpStream::connect(self.proxy()).unwrap();
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).unwrap();
        let connect = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n");
        stream.write_all(connect.as_bytes()).unwrap();
        let head = read_head(&mut stream);
        if !head.starts_with("HTTP/1.1 200") {
            return Err(head);
        }
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        match client.complete_io(&mut stream) {
            Ok(_) => Ok(StreamOwned::new(client, stream)),
            Err(error) => {
                // The alert that says why.
                let _ = client.write_tls(&mut stream);
                Err(error.to_string())
            }
        }
    }

    /// A request through a tunnel to `api.test`, as it stands.
    fn ask(&self, request: &str) -> String {
        let mut tunnel = self
            .connect("api.test:443", "api.test", &self.trusted)
            .unwrap();
        exchange(&mut tunnel, request)
    }

    /// What the servers were sent, and no more of it the next time.
    fn sent(&self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

type Tunnel = StreamOwned<ClientConnection, TcpStream>;

fn answer(head: &str) -> String {
    if head.starts_with("GET /to?") {
        let (_, rest) = head.split_once("/to?").unwrap();
        let (to, _) = rest.split_once(' ').unwrap();
        return format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
    }
    if head.to_ascii_lowercase().contains("upgrade: echo") {
        return "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n"
            .to_owned();
    }
    if head.starts_with("POST /refuse") && head.contains(KEY) {
        return "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno".to_owned();
    }
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned()
}

fn exchange(tunnel: &mut Tunnel, request: &str) -> String {
    tunnel.write_all(request.as_bytes()).unwrap();
    tunnel.flush().unwrap();
    let mut answer = read_head(tunnel);
    let mut rest = Vec::new();
    let _ = tunnel.read_to_end(&mut rest);
    answer.push_str(&String::from_utf8_lossy(&rest));
    answer
}

fn get(headers: &str) -> String {
    format!("GET /v1/x HTTP/1.1\r\nhost: api.test\r\nconnection: close\r\n{headers}\r\n")
}

#[test]
fn its_host_sees_the_credential_and_the_sandbox_never_does() {
    let lab = Lab::new();
    for (headers, wanted) in [
        (
            format!("authorization: Bearer {PLACEHOLDER}\r\n"),
            format!("Bearer {KEY}"),
        ),
        (
            format!("X-Api-Key: {PLACEHOLDER}\r\n"),
            format!("x-api-key: {KEY}"),
        ),
        (
            // user:PLACEHOLDER
            "authorization: Basic dXNlcjphb2QtYnJva2VyZWQtMDEyMzQ1Njc4OWFiY2RlZg==\r\n".to_owned(),
            "Basic dXNlcjp0cnVlLWtleS0xMjM0NTY3ODkw".to_owned(),
        ),
    ] {
        let answer = lab.ask(&get(&headers));
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"),
            "{answer}"
        );
        let (server, head) = lab.sent().pop().unwrap();
        assert_eq!(server, "api.test");
        assert!(
            head.contains(&wanted) && !head.contains(PLACEHOLDER),
            "{head}"
        );
        assert!(head.contains("host: api.test\r\n"), "{head}");
    }
    let answer = lab.ask(&get("x-none: 1\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let asked = format!(
        "GET /v1/x?a=b&key={PLACEHOLDER} HTTP/1.1\r\nhost: API.test:443\r\nconnection: close\r\n\r\n"
    );
    assert!(lab.ask(&asked).starts_with("HTTP/1.1 200"));
    let (_, head) = lab.sent().pop().unwrap();
    assert!(
        head.starts_with("GET /v1/x?a=b&key=true%2Dkey%2D"),
        "{head}"
    );
}

#[test]
fn requests_follow_each_other_in_one_tunnel() {
    let lab = Lab::new();
    let mut tunnel = lab
        .connect("api.test:443", "api.test", &lab.trusted)
        .unwrap();
    for _ in 0..3 {
        let request = format!("GET /x HTTP/1.1\r\nhost: api.test\r\nx-key: {PLACEHOLDER}\r\n\r\n");
        tunnel.write_all(request.as_bytes()).unwrap();
        assert!(read_head(&mut tunnel).starts_with("HTTP/1.1 200"));
        tunnel.read_exact(&mut [0; 2]).unwrap();
    }
    let sent = lab.sent();
    assert!(
        sent.len() == 3 && sent.iter().all(|(_, head)| head.contains(KEY)),
        "{sent:?}"
    );
}

#[test]
fn a_body_is_passed_on_as_it_is() {
    let lab = Lab::new();
    let body = format!("the body holds {PLACEHOLDER}");
    let request = format!(
        "POST /x HTTP/1.1\r\nhost: api.test\r\nconnection: close\r\nx-key: {PLACEHOLDER}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    // The body is the head of what the server takes for the next request.
    assert!(lab.ask(&request).starts_with("HTTP/1.1 200"));
    let sent = lab.sent();
    assert!(sent[0].1.contains(KEY), "{sent:?}");
    assert!(
        sent.iter().skip(1).all(|(_, text)| !text.contains(KEY)),
        "{sent:?}"
    );
}

/// The ways in which an agent could have its placeholder filled in for somebody else.
#[test]
fn nobody_else_is_sent_the_credential() {
    let lab = Lab::with(|config| {
        // Names that are like the right one, and lead to another's server.
        let hosts = &mut config.policy.hosts;
        let evil = hosts.iter().find(|it| it.name == "evil.test").cloned();
        hosts.extend(["xapi.test", "api.test.evil.test"].map(|name| MappedHost {
            name: name.to_owned(),
            ..evil.clone().unwrap()
        }));
    });
    let key = format!("x-key: {PLACEHOLDER}\r\n");
    // Another host's tunnel is not even read: its certificate is the true one.
    let mut evil = lab
        .connect("evil.test:443", "evil.test", &lab.true_authority)
        .unwrap();
    exchange(
        &mut evil,
        &format!("GET / HTTP/1.1\r\nhost: evil.test\r\n{key}connection: close\r\n\r\n"),
    );
    // By the name of the right one, in the handshake and in the request.
    for name in ["api.test", "evil.test"] {
        let tunnel = lab.connect("evil.test:443", name, &lab.true_authority);
        if let Ok(mut tunnel) = tunnel {
            exchange(&mut tunnel, &get(&key));
        }
    }
    // The host of another credential.
    let mut other = lab
        .connect("other.test:443", "other.test", &lab.trusted)
        .unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: other.test\r\n{key}connection: close\r\n\r\n");
    assert!(exchange(&mut other, &request).starts_with("HTTP/1.1 200"));
    // The right name at another port, and in other forms.
    for target in [
        "api.test:8443",
        "api.test:80",
        "xapi.test:443",
        "api.test.evil.test:443",
    ] {
        if let Ok(mut tunnel) = lab.connect(target, "api.test", &lab.true_authority) {
            exchange(&mut tunnel, &get(&key));
        }
    }
    // In clear, by the proxy.
    let clear = format!(
        "GET http://api.test/ HTTP/1.1\r\nhost: api.test\r\n{key}connection: close\r\n\r\n"
    );
    ask(lab.proxy(), &clear);
    let clear = format!(
        "GET http://plain.test/ HTTP/1.1\r\nhost: api.test\r\n{key}connection: close\r\n\r\n"
    );
    assert!(ask(lab.proxy(), &clear).ends_with("plain"));
    // In clear, through a tunnel.
    let tunnel = format!(
        "CONNECT plain.test:443 HTTP/1.1\r\nhost: api.test\r\n\r\n{}",
        get(&key)
    );
    ask(lab.proxy(), &tunnel);
    for (server, head) in lab.sent() {
        assert!(!head.contains(KEY), "{server}: {head}");
    }
    let plain = lab.plain.seen();
    assert!(
        !plain.is_empty() && plain.iter().all(|head| !head.contains(KEY)),
        "{plain:?}"
    );
}

#[test]
fn what_says_another_host_within_a_tunnel_reaches_nobody() {
    let lab = Lab::new();
    let key = format!("x-key: {PLACEHOLDER}\r\nconnection: close\r\n");
    for request in [
        format!("GET / HTTP/1.1\r\nhost: evil.test\r\n{key}\r\n"),
        format!("GET / HTTP/1.1\r\nhost: other.test\r\n{key}\r\n"),
        format!("GET / HTTP/1.1\r\nhost: api.test:8443\r\n{key}\r\n"),
        format!("GET / HTTP/1.1\r\nhost: api.test@evil.test\r\n{key}\r\n"),
        format!("GET / HTTP/1.1\r\nhost: api.test\r\nhost: evil.test\r\n{key}\r\n"),
        format!("GET https://evil.test/ HTTP/1.1\r\nhost: api.test\r\n{key}\r\n"),
        format!("GET http://api.test/ HTTP/1.1\r\nhost: api.test\r\n{key}\r\n"),
        format!("GET https://api.test@evil.test/ HTTP/1.1\r\nhost: api.test\r\n{key}\r\n"),
        format!("GET https://api.test:8443/ HTTP/1.1\r\nhost: api.test\r\n{key}\r\n"),
        format!("CONNECT evil.test:443 HTTP/1.1\r\nhost: api.test\r\n{key}\r\n"),
    ] {
        let answer = lab.ask(&request);
        assert!(answer.starts_with("HTTP/1.1 4"), "{request}: {answer}");
        assert!(lab.sent().is_empty(), "{request}");
    }
    // Without a host, and in the old version, it is the tunnel's.
    for request in [
        format!("GET / HTTP/1.0\r\n{key}\r\n"),
        format!("GET / HTTP/1.1\r\n{key}\r\n"),
        format!("GET https://api.test/ HTTP/1.1\r\nhost: api.test\r\n{key}\r\n"),
    ] {
        lab.ask(&request);
        for (server, head) in lab.sent() {
            assert!(
                server == "api.test" && head.contains("host: api.test"),
                "{head}"
            );
        }
    }
}

/// A second request in the first one's body, a header in a header, a header that is this hop's.
#[test]
fn what_is_smuggled_is_one_request_or_none() {
    let lab = Lab::new();
    let inner = format!("GET /inner HTTP/1.1\r\nhost: evil.test\r\nx-key: {PLACEHOLDER}\r\n\r\n");
    let smuggled = [
        format!(
            "POST /x HTTP/1.1\r\nhost: api.test\r\nconnection: close\r\ncontent-length: 4\r\n\
             transfer-encoding: chunked\r\n\r\n0\r\n\r\n{inner}"
        ),
        format!(
            "POST /x HTTP/1.1\r\nhost: api.test\r\nconnection: close\r\ntransfer-encoding: xchunked\r\n\
             content-length: 5\r\n\r\n0\r\n\r\n{inner}"
        ),
        format!(
            "POST /x HTTP/1.1\r\nhost: api.test\r\nconnection: close\r\ncontent-length: 0\r\n\
             content-length: {}\r\n\r\n{inner}",
            inner.len()
        ),
        format!(
            "GET /x HTTP/1.1\r\nhost: api.test\r\nx-a: b\nx-key: {PLACEHOLDER}\r\nconnection: close\r\n\r\n"
        ),
    ];
    for request in smuggled {
        lab.ask(&request);
        for (server, head) in lab.sent() {
            assert_eq!(server, "api.test");
            assert!(!head.starts_with("GET /inner"), "{request}: {head}");
        }
    }
    let hop = format!(
        "connection: x-key\r\nx-key: {PLACEHOLDER}\r\nproxy-authorization: {PLACEHOLDER}\r\n"
    );
    lab.ask(&get(&hop));
    assert!(lab.sent().iter().all(|(_, head)| !head.contains(KEY)));
}

#[test]
fn a_redirect_is_the_clients_to_follow_with_what_it_has() {
    let lab = Lab::new();
    let request = format!(
        "GET /to?https://evil.test/ HTTP/1.1\r\nhost: api.test\r\nx-key: {PLACEHOLDER}\r\nconnection: close\r\n\r\n"
    );
    let answer = lab.ask(&request);
    assert!(
        answer.starts_with("HTTP/1.1 302") && answer.contains("https://evil.test/"),
        "{answer}"
    );
    assert_eq!(lab.sent().len(), 1);
}

#[test]
fn between_turns_requests_with_the_placeholder_are_refused() {
    let lab = Lab::new();
    lab.egress.in_use.set(false).unwrap();
    let basic = "authorization: Basic dXNlcjphb2QtYnJva2VyZWQtMDEyMzQ1Njc4OWFiY2RlZg==\r\n";
    for headers in [format!("x-key: {PLACEHOLDER}\r\n"), basic.to_owned()] {
        let answer = lab.ask(&get(&headers));
        assert!(
            answer.starts_with("HTTP/1.1 401") && answer.contains("no turn"),
            "{answer}"
        );
    }
    assert!(lab.sent().is_empty());
    assert!(lab.ask(&get("")).starts_with("HTTP/1.1 200"));
    lab.egress.in_use.set(true).unwrap();
    assert!(lab.ask(&get(basic)).starts_with("HTTP/1.1 200"));
}

#[test]
fn an_upgraded_connection_is_passed_on() {
    let lab = Lab::new();
    let mut tunnel = lab
        .connect("api.test:443", "api.test", &lab.trusted)
        .unwrap();
    let request = format!(
        "GET /ws HTTP/1.1\r\nhost: api.test\r\nconnection: Upgrade\r\nupgrade: echo\r\n\
         authorization: Bearer {PLACEHOLDER}\r\n\r\n"
    );
    tunnel.write_all(request.as_bytes()).unwrap();
    let head = read_head(&mut tunnel);
    assert!(
        head.starts_with("HTTP/1.1 101") && head.contains("upgrade: echo"),
        "{head}"
    );
    tunnel.write_all(b"ping").unwrap();
    let mut word = [0; 4];
    tunnel.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"ping");
    assert!(lab.sent()[0].1.contains(KEY));
}

#[test]
fn the_allow_list_holds_for_hosts_of_credentials_too() {
    let mut lab = Lab::with(|config| config.policy.allowed = Some(vec!["other.test".to_owned()]));
    let refused = lab
        .connect("api.test:443", "api.test", &lab.trusted)
        .unwrap_err();
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    assert_eq!(lab.egress.report().outcome, Outcome::Refused);
    assert!(
        lab.connect("other.test:443", "other.test", &lab.trusted)
            .is_ok()
    );
}

#[test]
fn a_host_that_is_not_who_it_should_be_gets_nothing() {
    let lab = Lab::with(|config| config.authorities = None);
    let answer = lab.ask(&get(&format!("x-key: {PLACEHOLDER}\r\n")));
    assert!(
        answer.starts_with("HTTP/1.1 502") && answer.contains("certificate"),
        "{answer}"
    );
    assert!(!answer.contains(KEY));
    assert!(lab.sent().iter().all(|(_, head)| head.is_empty()));
}

#[test]
fn a_client_that_does_not_trust_the_certificate_is_told_of() {
    let mut lab = Lab::new();
    let refused = lab.connect("api.test:443", "api.test", &lab.true_authority);
    assert!(refused.is_err());
    let report = lab.egress.report();
    assert_eq!(report.outcome, Outcome::Failed);
    assert!(report.reason.contains("SSL_CERT_FILE"), "{report:?}");
}

/// Every answer of the host is its own: one that refuses is the last.
#[test]
fn a_credential_that_its_host_refuses_is_renewed() {
    let mut lab = Lab::new();
    let key = format!("authorization: Bearer {PLACEHOLDER}\r\n");
    let request = format!(
        "POST /refuse HTTP/1.1\r\nhost: api.test\r\nconnection: close\r\n{key}content-length: 4\r\n\r\nbody"
    );
    let mut tunnel = lab
        .connect("api.test:443", "api.test", &lab.trusted)
        .unwrap();
    let asking = std::thread::spawn(move || exchange(&mut tunnel, &request));
    assert_eq!(lab.egress.refused_credential(), "api.test");
    lab.egress.renew("api.test", Some("another-key"));
    let answer = asking.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let sent = lab.sent();
    assert_eq!(sent.len(), 2);
    assert!(
        sent[0].1.contains(KEY) && sent[1].1.contains("Bearer another-key"),
        "{sent:?}"
    );
}
