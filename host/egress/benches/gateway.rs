//! What the credential gateway costs a request: `cargo xtask bench gateway`.
//!
//! A provider that speaks TLS is asked directly, over TLS, and through the gateway, by the same
//! plain client, in turns; what counts is the ratio of the medians. The request is as long as those
//! of CLIs are, and the answer is a stream of events that say what was used, so that all that the
//! gateway does is done.
//!
//! The provider answers at once, which none does: what the gateway adds is then the largest part of
//! the whole that it can be. Then it takes as long as a fast one. `AOD_BENCH_ROUNDS` sets how often
//! each is asked (2000), and `AOD_BENCH_STREAM_MIB` how much is streamed (256).
//!
//! Of a stream it says besides how long each party has a processor for a GiB: that does not depend on
//! what else the machine does, and gives the least time in which so many processors can do it.

#![allow(clippy::unwrap_used, reason = "what fails here is told by its panic")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "figures for people have few digits"
)]

#[path = "../tests/egress/support.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aod_egress::{Config, Upstream, UsageFields};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use support::{Egress, PLACEHOLDER, config, keyed, open, upstream};

const NAME: &str = "model.test";
/// As long as a CLI's first request, with its prompt and its tools.
const REQUEST: usize = 64 << 10;
/// Far less than any provider takes until it says something.
const THINKING: Duration = Duration::from_millis(50);
/// The first event of an answer.
const FIRST: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":\
    {\"input_tokens\":12,\"output_tokens\":1}}}\n\n";
/// One of those that follow.
const DELTA: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":\
    0,\"delta\":{\"type\":\"text_delta\",\"text\":\"the quick brown fox \"}}\n\n";

fn main() {
    let rounds = amount("AOD_BENCH_ROUNDS", 2000);
    let mib = amount("AOD_BENCH_STREAM_MIB", 256);
    let provider = Provider::start();
    first_bytes(&provider, rounds);
    cold(&provider, (rounds / 20).max(5));
    streams(&provider, mib);
}

fn amount(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect(name))
}

/// The first byte of an answer, of a gateway that runs.
fn first_bytes(provider: &Provider, rounds: usize) {
    let egress = provider.gateway();
    for (what, thinking, is_kept, rounds, bar) in [
        (
            "on a kept connection, of a provider that answers at once",
            Duration::ZERO,
            true,
            rounds,
            "–",
        ),
        (
            "on a new connection, of a provider that answers at once",
            Duration::ZERO,
            false,
            rounds,
            "≤ 1.15×",
        ),
        (
            "on a kept connection, of a provider that takes 50 ms",
            THINKING,
            true,
            (rounds / 20).max(5),
            "≤ 1.15×",
        ),
        (
            "on a new connection, of a provider that takes 50 ms",
            THINKING,
            false,
            (rounds / 20).max(5),
            "≤ 1.15×",
        ),
    ] {
        let asked = Asked { thinking, mib: 0 };
        let mut direct = Client::direct(provider);
        let mut through = Client::of(&egress);
        let mut times = [Vec::new(), Vec::new()];
        // The first ones fill caches.
        for round in 0..rounds + 20 {
            for (client, times) in [&mut direct, &mut through].into_iter().zip(&mut times) {
                if !is_kept {
                    client.forget();
                }
                let took = client.ask(&asked).first;
                if round >= 20 {
                    times.push(took);
                }
            }
        }
        let [direct, through] = times.map(median);
        row(
            &format!("the first byte through the gateway {what}"),
            through,
            direct,
            bar,
        );
    }
}

/// The first byte of the first answer, for which the gateway has to be started.
fn cold(provider: &Provider, rounds: usize) {
    for (thinking, what, bar) in [
        (Duration::ZERO, "answers at once", "–"),
        (THINKING, "takes 50 ms", "≤ 1.15×"),
    ] {
        let asked = Asked { thinking, mib: 0 };
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            times[0].push(Client::direct(provider).ask(&asked).first);
            let began = Instant::now();
            let egress = provider.gateway();
            Client::of(&egress).ask(&asked);
            // Both connections are closed before the answer's end is.
            times[1].push(began.elapsed());
        }
        let [direct, through] = times.map(median);
        let what = format!(
            "the first answer of a turn, its gateway's start included, of a provider that {what}"
        );
        row(&what, through, direct, bar);
    }
}

/// Long answers.
fn streams(provider: &Provider, mib: usize) {
    let egress = provider.gateway();
    let asked = Asked {
        thinking: Duration::ZERO,
        mib,
    };
    let mut best = [Duration::MAX; 2];
    // Each the least of its party: the provider's, the gateway's and the client's.
    let mut busy = [[Duration::MAX; 3]; 2];
    for _ in 0..3 {
        let mut clients = [Client::direct(provider), Client::of(&egress)];
        let parties = || {
            [
                provider.busy(),
                busy_of(egress.id()),
                busy_of("thread-self"),
            ]
        };
        for ((client, best), busy) in clients.iter_mut().zip(&mut best).zip(&mut busy) {
            let before = parties();
            *best = (*best).min(client.ask(&asked).all);
            for ((busy, before), after) in busy.iter_mut().zip(before).zip(parties()) {
                *busy = (*busy).min(after - before);
            }
        }
    }
    let [direct, through] = best.map(|time| mib as f64 / time.as_secs_f64());
    println!(
        "| {mib} MiB of events through the gateway | {through:.0} MiB/s | direct, {direct:.0} MiB/s | {:.2} | ≥ 0.8 |",
        through / direct
    );
    let [direct, through] = busy.map(|busy| busy.map(|it| it * 1024 / mib as u32));
    let named = |[provider, gateway, client]: [Duration; 3]| {
        format!(
            "the provider's {} ms, the gateway's {} ms, the client's {} ms",
            provider.as_millis(),
            gateway.as_millis(),
            client.as_millis()
        )
    };
    println!(
        "| a processor's time for a GiB of it | {} | direct, {} | {:.2}× | – |",
        named(through),
        named(direct),
        least(through).as_secs_f64() / least(direct).as_secs_f64(),
    );
    println!(
        "| the gateway's private memory then | {} KiB | – | | ≤ 6144 KiB |",
        egress.private_kib()
    );
}

/// The least time in which this machine's processors can do what takes the parties so long.
fn least(busy: [Duration; 3]) -> Duration {
    let processors = std::thread::available_parallelism().map_or(1, |it| it.get() as u32);
    let sum: Duration = busy.iter().sum();
    busy.into_iter().fold(sum / processors, Duration::max)
}

/// How long a process, or a thread, has had a processor until now.
fn busy_of(task: impl std::fmt::Display) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{task}/schedstat")).unwrap();
    let nanos = text.split_whitespace().next().unwrap();
    Duration::from_nanos(nanos.parse().unwrap())
}

fn row(what: &str, through: Duration, direct: Duration, bar: &str) {
    let micros = |time: Duration| format!("{} µs", time.as_micros());
    println!(
        "| {what} | {} | direct, {} | {:.2}× | {bar} |",
        micros(through),
        micros(direct),
        through.as_secs_f64() / direct.as_secs_f64()
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// What a client wants of the provider.
struct Asked {
    /// How long that waits before it answers.
    thinking: Duration,
    /// How much it answers beside the first event.
    mib: usize,
}

/// How long an answer took.
struct Took {
    /// Until the first byte of its body.
    first: Duration,
    all: Duration,
}

/// A provider behind TLS.
struct Provider {
    at: SocketAddr,
    authority: String,
    trust: Arc<ClientConfig>,
    /// How long it has had a processor for its answers, in nanoseconds.
    busy: Arc<AtomicU64>,
}

impl Provider {
    fn start() -> Self {
        let own = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let chain: Vec<CertificateDer<'static>> = vec![own.cert.der().clone()];
        let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.clone(), key)
            .unwrap();
        let server = Arc::new(server);
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let busy = Arc::new(AtomicU64::new(0));
        let counter = busy.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, server) = (stream.unwrap(), server.clone());
                let busy = counter.clone();
                std::thread::spawn(move || {
                    stream.set_nodelay(true).unwrap();
                    let connection = ServerConnection::new(server).unwrap();
                    serve(rustls::StreamOwned::new(connection, stream), &busy);
                });
            }
        });
        Self {
            at,
            authority: own.cert.pem(),
            trust: Arc::new(client),
            busy,
        }
    }

    fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy.load(Ordering::SeqCst))
    }

    fn gateway(&self) -> Egress {
        let upstream = Upstream {
            tls: true,
            ..upstream(NAME, self.at.port())
        };
        let service = keyed(upstream, "true-key", Some(UsageFields::common()));
        let egress = Egress::start(&Config {
            authorities: Some(self.authority.clone()),
            ..config(vec![service], open(&[NAME]))
        });
        egress.ignore_reports();
        egress
    }
}

/// Answers requests until the client goes away.
fn serve(stream: impl Read + Write, busy: &AtomicU64) {
    let mut stream = BufReader::with_capacity(64 << 10, stream);
    while let Some((head, _)) = message(&mut stream) {
        let number = |name: &str| -> usize {
            let line = head.lines().find_map(|line| line.strip_prefix(name));
            line.map_or(0, |value| value.trim().parse().unwrap())
        };
        std::thread::sleep(Duration::from_millis(number("x-thinking:") as u64));
        let before = busy_of("thread-self");
        let begin = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\
             \r\n{:x}\r\n{FIRST}\r\n",
            FIRST.len()
        );
        let out = stream.get_mut();
        if out.write_all(begin.as_bytes()).is_err() {
            return;
        }
        let piece = DELTA.repeat((16 << 10) / DELTA.len());
        let piece = format!("{:x}\r\n{piece}\r\n", piece.len());
        let mut left = number("x-mib:") << 20;
        while left > 0 {
            left = left.saturating_sub(piece.len());
            if out.write_all(piece.as_bytes()).is_err() {
                return;
            }
        }
        // Before the answer ends, so that it counts for who waits for that.
        let taken = (busy_of("thread-self") - before).as_nanos();
        busy.fetch_add(taken as u64, Ordering::SeqCst);
        if out
            .write_all(b"0\r\n\r\n")
            .and_then(|()| out.flush())
            .is_err()
        {
            return;
        }
    }
}

/// A message's head, in lower case, and how long its body was, which is read.
fn message(stream: &mut impl BufRead) -> Option<(String, usize)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let mut left = length.map_or(0, |value| value.trim().parse().unwrap());
    let length = left;
    while left > 0 {
        let read = stream.fill_buf().ok()?.len().min(left);
        stream.consume(read);
        left -= read;
    }
    Some((head, length))
}

/// A client of the simplest kind: what it costs itself is next to nothing.
struct Client {
    to: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    stream: Option<BufReader<Box<dyn support::Stream>>>,
}

impl Client {
    fn direct(provider: &Provider) -> Self {
        Self {
            to: provider.at,
            tls: Some(provider.trust.clone()),
            stream: None,
        }
    }

    fn of(egress: &Egress) -> Self {
        Self {
            to: egress.at[0],
            tls: None,
            stream: None,
        }
    }

    /// The next request has a connection of its own, and nothing that an earlier one has left.
    fn forget(&mut self) {
        self.stream = None;
        if let Some(tls) = &mut self.tls {
            let mut anew = ClientConfig::clone(tls);
            anew.resumption = rustls::client::Resumption::disabled();
            *tls = Arc::new(anew);
        }
    }

    fn connect(&self) -> BufReader<Box<dyn support::Stream>> {
        let stream = TcpStream::connect(self.to).unwrap();
        stream.set_nodelay(true).unwrap();
        let stream: Box<dyn support::Stream> = match &self.tls {
            Some(tls) => {
                let name = ServerName::try_from(NAME).unwrap();
                let connection = ClientConnection::new(tls.clone(), name).unwrap();
                Box::new(rustls::StreamOwned::new(connection, stream))
            }
            None => Box::new(stream),
        };
        BufReader::with_capacity(64 << 10, stream)
    }

    fn ask(&mut self, asked: &Asked) -> Took {
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nhost: {NAME}\r\ncontent-type: application/json\r\n\
             x-api-key: {PLACEHOLDER}\r\nx-thinking: {}\r\nx-mib: {}\r\ncontent-length: {REQUEST}\
             \r\n\r\n",
            asked.thinking.as_millis(),
            asked.mib
        );
        let mut request = head.into_bytes();
        request.resize(request.len() + REQUEST, b'x');
        let began = Instant::now();
        let mut stream = self.stream.take().unwrap_or_else(|| self.connect());
        stream.get_mut().write_all(&request).unwrap();
        stream.get_mut().flush().unwrap();
        let (head, _) = message(&mut stream).unwrap();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(!stream.fill_buf().unwrap().is_empty());
        let first = began.elapsed();
        // All of it is one stream of chunks, and its end is known by the last one.
        read_chunks(&mut stream);
        let all = began.elapsed();
        self.stream = Some(stream);
        Took { first, all }
    }
}

/// Reads a body in chunks to its end.
fn read_chunks(stream: &mut impl BufRead) {
    let mut line = String::new();
    loop {
        line.clear();
        stream.read_line(&mut line).unwrap();
        let length = usize::from_str_radix(line.trim(), 16).unwrap();
        let mut left = length + 2;
        while left > 0 {
            let read = stream.fill_buf().unwrap().len().min(left);
            assert!(read > 0, "the body ends in the middle of a chunk");
            stream.consume(read);
            left -= read;
        }
        if length == 0 {
            return;
        }
    }
}
