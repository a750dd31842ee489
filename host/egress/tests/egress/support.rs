//! The program, servers behind it, and a plain client.

use std::io::{BufRead as _, BufReader, PipeWriter, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aod_egress::{
    Config, Credential, CredentialReport, Gateway, MappedHost, Policy, RenewedCredential, Report,
    Sent, Service, TokenCounts, TokenReport, Upstream, UsageFields,
};
use aod_launch::{
    ALLOWANCE, Allowance, AllowanceReport, CallAnswer, CallReply, CallReport, FIRST_SOCKET, Flag,
    HeldCall, IN_USE_FLAG, REPLIES,
};

/// The running program; killed when dropped.
pub(crate) struct Egress {
    child: Child,
    reports: BufReader<ChildStdout>,
    replies: PipeWriter,
    /// Where each service listens.
    pub(crate) at: Vec<SocketAddr>,
    /// Whether a turn runs.
    pub(crate) in_use: Flag,
    /// How many requests to the model it may make.
    pub(crate) allowance: Allowance,
}

impl Egress {
    pub(crate) fn start(config: &Config) -> Self {
        Self::start_with(config, &[])
    }

    /// With credentials that have another value by now.
    pub(crate) fn start_with(config: &Config, renewed: &[RenewedCredential]) -> Self {
        let (sockets, at): (Vec<OwnedFd>, Vec<SocketAddr>) =
            config.services.iter().map(listen).unzip();
        let in_use = Flag::new(true).unwrap();
        let flag = in_use.as_fd().as_raw_fd();
        let allowance = Allowance::new().unwrap();
        let allowed = allowance.as_fd().as_raw_fd();
        let (reader, replies) = std::io::pipe().unwrap();
        let given =
            sockets
                .iter()
                .map(AsRawFd::as_raw_fd)
                .chain([reader.as_raw_fd(), flag, allowed]);
        let numbers: Vec<i32> = given.collect();
        let last = FIRST_SOCKET + i32::try_from(sockets.len()).unwrap();
        let targets = (FIRST_SOCKET..last).chain([REPLIES, IN_USE_FLAG, ALLOWANCE]);
        let targets: Vec<i32> = targets.collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_aod-egress"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // SAFETY: between fork and exec this makes system calls alone.
        unsafe {
            command.pre_exec(move || {
                // Out of the way first: a target may be another's number.
                let mut lifted = [0; 16];
                for (copy, number) in lifted.iter_mut().zip(&numbers) {
                    *copy = libc::fcntl(*number, libc::F_DUPFD_CLOEXEC, 100);
                }
                for (copy, target) in lifted.iter().zip(&targets) {
                    if libc::dup2(*copy, *target) < 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        let mut child = command.spawn().unwrap();
        let mut json = serde_json::to_vec(config).unwrap();
        for credential in renewed {
            json.push(b'\n');
            serde_json::to_writer(&mut json, credential).unwrap();
        }
        child.stdin.take().unwrap().write_all(&json).unwrap();
        let reports = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            reports,
            replies,
            at,
            in_use,
            allowance,
        }
    }

    /// The next report of a call; waits for it.
    pub(crate) fn call_report(&mut self) -> CallReport {
        let mut line = String::new();
        self.reports.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// The next report, of a call that waits.
    pub(crate) fn held(&mut self) -> HeldCall {
        match self.call_report() {
            CallReport::CallHeld(call) => call,
            other => panic!("{other:?}"),
        }
    }

    /// Answers a call; `None`: there will be no answer.
    pub(crate) fn reply(&mut self, id: u64, answer: Option<(&str, bool)>) {
        let answer = answer.map(|(content, is_error)| CallAnswer {
            content: content.to_owned(),
            is_error,
        });
        let mut line = serde_json::to_vec(&CallReply { id, answer }).unwrap();
        line.push(b'\n');
        self.replies.write_all(&line).unwrap();
    }

    /// Reads what it reports for whoever has no use for that: it waits for its starter to read.
    #[allow(dead_code, reason = "the benchmark uses it")]
    pub(crate) fn ignore_reports(&self) {
        let reports = self.reports.get_ref().as_fd().try_clone_to_owned();
        let mut reports = std::fs::File::from(reports.unwrap());
        std::thread::spawn(move || std::io::copy(&mut reports, &mut std::io::sink()));
    }

    /// The program's process.
    #[allow(dead_code, reason = "the benchmark uses it")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How many descriptors the program has.
    pub(crate) fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(path).unwrap().count()
    }

    /// The name of the next credential that is reported as refused; waits for it.
    pub(crate) fn refused_credential(&mut self) -> String {
        let mut line = String::new();
        self.reports.read_line(&mut line).unwrap();
        let CredentialReport::CredentialRefused(name) = serde_json::from_str(&line).unwrap();
        name
    }

    /// Tells what a credential is by now; `None`: there is no other value.
    pub(crate) fn renew(&mut self, name: &str, value: Option<&str>) {
        let mut line = serde_json::to_vec(&renewed(name, value)).unwrap();
        line.push(b'\n');
        self.replies.write_all(&line).unwrap();
    }

    /// The private memory of the program, in KiB.
    pub(crate) fn private_kib(&self) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = std::fs::read_to_string(path).unwrap();
        let line = text.lines().find(|line| line.starts_with("Private_Dirty:"));
        let value = line.unwrap().split_whitespace().nth(1).unwrap();
        value.parse().unwrap()
    }

    /// The next report; waits for it.
    pub(crate) fn report(&mut self) -> Report {
        let mut line = String::new();
        self.reports.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// The next report of tokens; waits for it.
    pub(crate) fn token_report(&mut self) -> TokenCounts {
        let mut line = String::new();
        self.reports.read_line(&mut line).unwrap();
        let TokenReport::Counted(counts) = serde_json::from_str(&line).unwrap();
        counts
    }

    /// The next report, that a turn has made all its requests.
    pub(crate) fn spent(&mut self) -> u32 {
        let mut line = String::new();
        self.reports.read_line(&mut line).unwrap();
        let AllowanceReport::RequestsSpent { most } = serde_json::from_str(&line).unwrap();
        most
    }

    /// All tokens that it reports until it is asked to end.
    pub(crate) fn counted(mut self) -> TokenCounts {
        let (_, unused) = std::io::pipe().unwrap();
        drop(std::mem::replace(&mut self.replies, unused));
        let mut text = String::new();
        self.reports.read_to_string(&mut text).unwrap();
        assert!(self.child.wait().unwrap().success());
        let mut sum = TokenCounts::default();
        for line in text.lines() {
            let TokenReport::Counted(counts) = serde_json::from_str(line).unwrap();
            sum += counts;
        }
        sum
    }

    /// The reports that are left when it is killed.
    pub(crate) fn last_reports(self) -> Vec<Report> {
        let lines = self.last_lines();
        let lines = lines.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// What it has still said when it is killed.
    pub(crate) fn last_lines(mut self) -> String {
        self.child.kill().unwrap();
        let mut text = String::new();
        self.reports.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Egress {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A socket for a service, and where it listens.
fn listen(service: &Service) -> (OwnedFd, SocketAddr) {
    if matches!(service, Service::Resolver | Service::NoNames) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        return (socket.into(), at);
    }
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    (socket.into(), at)
}

/// A socket that has a port of the machine's to itself, and at which nobody listens.
pub(crate) fn bound() -> (OwnedFd, u16) {
    use rustix::net::{AddressFamily, SocketType};
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = rustix::net::getsockname(&socket).unwrap();
    let at = SocketAddr::try_from(at).unwrap();
    (socket, at.port())
}

/// What a starter tells of a credential.
pub(crate) fn renewed(name: &str, value: Option<&str>) -> RenewedCredential {
    RenewedCredential {
        credential: name.to_owned(),
        value: value.map(|value| value.to_owned().into()),
        is_answer: true,
    }
}

/// What requests have in the place of a credential.
pub(crate) const PLACEHOLDER: &str = "aod-brokered-0";

/// A gateway whose credential, of this value, is sent as the header `x-api-key`.
pub(crate) fn keyed(upstream: Upstream, value: &str, usage: Option<UsageFields>) -> Service {
    Service::Gateway(Gateway {
        upstream,
        credentials: vec![Credential {
            placeholder: PLACEHOLDER.to_owned(),
            value: value.to_owned().into(),
            sent: vec![Sent::Header {
                name: "x-api-key".to_owned(),
                prefix: String::new(),
            }],
            renewed_as: None,
        }],
        authorization: None,
        tools: None,
        usage,
    })
}

/// A policy that lets everything public through, and these names to the machine's own ports.
pub(crate) fn open(names: &[&str]) -> Policy {
    Policy {
        hosts: names
            .iter()
            .map(|&name| MappedHost {
                name: name.to_owned(),
                address: "127.0.0.1".parse().unwrap(),
                port: None,
            })
            .collect(),
        ..Policy::default()
    }
}

pub(crate) fn config(services: Vec<Service>, policy: Policy) -> Config {
    Config {
        services,
        policy,
        authorities: None,
        interception: None,
    }
}

pub(crate) fn upstream(host: &str, port: u16) -> Upstream {
    Upstream {
        tls: false,
        host: host.to_owned(),
        port,
        path: String::new(),
    }
}

/// Sends bytes, and answers all that comes back.
pub(crate) fn ask(at: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A server may reset what it has answered.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// A request that wants the connection closed behind its answer.
pub(crate) fn get(target: &str, headers: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: inside\r\nconnection: close\r\n{headers}\r\n")
}

/// A server that records requests' heads and gives one answer to all.
pub(crate) struct Server {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let heads = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let head = read_head(&mut stream);
                read_body(&head, &mut stream);
                heads.lock().unwrap().push(head);
                // Said, so that nobody sends the next request on a connection that ends.
                let answer = answer.replacen("\r\n", "\r\nconnection: close\r\n", 1);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { port, seen }
    }

    /// Requests so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// Reads a request's head.
pub(crate) fn read_head(stream: &mut impl std::io::Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Reads what follows a request's head, as it is sent, so that nothing of it is taken for the next
/// request.
pub(crate) fn read_body(head: &str, stream: &mut impl std::io::Read) -> Vec<u8> {
    let head = head.to_ascii_lowercase();
    let mut body = Vec::new();
    if head.contains("transfer-encoding: chunked") {
        loop {
            let chunk = read_chunk(stream);
            body.extend_from_slice(chunk.as_bytes());
            if ["0\r\n\r\n", ""].contains(&chunk.as_str()) {
                return body;
            }
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |value| value.parse::<u64>().unwrap());
    stream.take(length).read_to_end(&mut body).unwrap();
    body
}

/// A chunk of a body: its length, what is in it, and the end of the line.
fn read_chunk(stream: &mut impl std::io::Read) -> String {
    let mut chunk = Vec::new();
    let mut byte = [0];
    let mut end = None;
    while end.is_none_or(|end| chunk.len() < end) && stream.read(&mut byte).unwrap_or(0) > 0 {
        chunk.push(byte[0]);
        if end.is_none() && chunk.ends_with(b"\r\n") {
            let length = std::str::from_utf8(&chunk).unwrap().trim_end();
            end = Some(chunk.len() + usize::from_str_radix(length, 16).unwrap() + 2);
        }
    }
    String::from_utf8(chunk).unwrap()
}

/// A server with TLS, and the certificate of its authority.
pub(crate) fn tls(name: &str, serve: impl Fn(&mut dyn Stream) + Send + 'static) -> (u16, String) {
    let key = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let certificate = key.cert.pem();
    let chain = vec![key.cert.der().clone()];
    let secret = rustls::pki_types::PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            serve(&mut rustls::StreamOwned::new(connection, stream.unwrap()));
        }
    });
    (port, certificate)
}

pub(crate) trait Stream: std::io::Read + std::io::Write {}
impl<T: std::io::Read + std::io::Write> Stream for T {}
