//! What an agent can do to the process that serves its sandbox: it stays within bounds, and what
//! else of the session goes through it is served meanwhile.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use aod_egress::{MappedHost, Outcome, Policy, Service};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{Egress, Server, ask, config, get, open, read_head};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
/// What the program may keep to itself, in KiB.
const MEMORY: u64 = 6 << 10;
/// More connections than one service takes at once, and not more than the kernel keeps besides.
const MANY: usize = 350;
/// The connections that a service takes at once.
const AT_ONCE: usize = 256;
/// As descriptors, with two for each connection.
const DESCRIPTORS: usize = 2 * AT_ONCE + 64;

/// A proxy, and another door of the same session, which leads to a server of its own.
struct Doors {
    egress: Egress,
    server: Server,
}

impl Doors {
    fn start() -> Self {
        let server = Server::start(OK);
        let mut policy = open(&["model.test"]);
        policy.hosts.push(MappedHost {
            name: "own.test".to_owned(),
            address: "127.0.0.1".parse().unwrap(),
            port: Some(server.port),
        });
        let services = vec![
            Service::Proxy,
            Service::Forward {
                host: "own.test".to_owned(),
                port: server.port,
            },
        ];
        let egress = Egress::start(&config(services, policy));
        Self { egress, server }
    }

    fn proxy(&self) -> TcpStream {
        TcpStream::connect(self.egress.at[0]).unwrap()
    }

    /// The other door is served at once.
    fn check_other(&self) {
        let started = Instant::now();
        let answer = ask(self.egress.at[1], &get("/", ""));
        assert!(answer.ends_with("hello"), "{answer}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    /// The proxy is served.
    fn check_proxy(&self) {
        let url = format!("http://model.test:{}/", self.server.port);
        let answer = ask(self.egress.at[0], &get(&url, ""));
        assert!(answer.ends_with("hello"), "{answer}");
    }

    /// The proxy is served once what was there is gone, and little is left of that.
    fn check_after(&self) {
        self.check_proxy();
        self.check_other();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let (private, open) = (self.egress.private_kib(), self.egress.descriptors());
            if private <= MEMORY && open < 64 {
                println!("{private} KiB are private, {open} descriptors are open");
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{private} KiB are private, {open} descriptors are open"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The test has both ends of all connections.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

/// A server that takes connections, hands them over, and says nothing.
fn silent() -> (u16, Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, taken) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if sender.send(stream.unwrap()).is_err() {
                return;
            }
        }
    });
    (port, taken)
}

/// Asks for a tunnel.
fn ask_for_tunnel(stream: &mut TcpStream, target: &str) {
    write!(
        stream,
        "CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n"
    )
    .unwrap();
}

#[test]
fn clients_that_are_slow_to_say_what_they_want_hold_up_nobody() {
    raise_descriptors();
    let doors = Doors::start();
    let mut slow: Vec<TcpStream> = (0..MANY).map(|_| doors.proxy()).collect();
    // A byte of a head each, again and again.
    for byte in b"GET htt" {
        for client in &mut slow {
            client.write_all(&[*byte]).unwrap();
        }
        doors.check_other();
    }
    assert!(doors.egress.descriptors() < DESCRIPTORS);
    drop(slow);
    doors.check_after();
}

#[test]
fn tunnels_that_nobody_uses_are_bounded_and_hold_up_nobody_else() {
    raise_descriptors();
    let doors = Doors::start();
    let (port, taken) = silent();
    let target = format!("model.test:{port}");
    let mut tunnels: Vec<TcpStream> = (0..MANY).map(|_| doors.proxy()).collect();
    for client in &mut tunnels {
        ask_for_tunnel(client, &target);
    }
    let mut outside = Vec::new();
    while outside.len() < AT_ONCE {
        outside.push(taken.recv_timeout(Duration::from_secs(60)).unwrap());
    }
    doors.check_other();
    assert!(doors.egress.descriptors() < DESCRIPTORS);
    let private = doors.egress.private_kib();
    println!("{private} KiB are private with {AT_ONCE} tunnels");
    assert!(private <= MEMORY, "{private} KiB");
    // No more than that are made, until others end.
    let more = taken.recv_timeout(Duration::from_millis(200));
    assert!(more.is_err(), "there are more tunnels than there may be");
    drop(tunnels);
    drop(outside);
    // Those that waited, and are gone.
    while taken.recv_timeout(Duration::from_millis(200)).is_ok() {}
    doors.check_after();
}

#[test]
fn what_one_side_of_a_tunnel_has_said_is_answered_though_it_says_no_more() {
    let doors = Doors::start();
    let (port, taken) = silent();
    let mut inside = doors.proxy();
    ask_for_tunnel(&mut inside, &format!("model.test:{port}"));
    assert!(read_head(&mut inside).starts_with("HTTP/1.1 200"));
    inside.write_all(b"question").unwrap();
    inside.shutdown(Shutdown::Write).unwrap();
    let mut outside = taken.recv().unwrap();
    let mut asked = String::new();
    outside.read_to_string(&mut asked).unwrap();
    assert_eq!(asked, "question");
    outside.write_all(b"answer").unwrap();
    drop(outside);
    let mut answer = String::new();
    inside.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
}

#[test]
fn heads_without_an_end_are_cut_off() {
    let doors = Doors::start();
    let clients: Vec<_> = (0..50)
        .map(|_| {
            let mut client = doors.proxy();
            std::thread::spawn(move || {
                client
                    .write_all(b"GET http://model.test/ HTTP/1.1\r\n")
                    .unwrap();
                let line = format!("x-{}: {}\r\n", "k".repeat(100), "v".repeat(1000));
                // Whoever does not want more of it closes the connection.
                (0..100_000).any(|_| client.write_all(line.as_bytes()).is_err())
            })
        })
        .collect();
    doors.check_other();
    for client in clients {
        assert!(client.join().unwrap(), "it is read without end");
    }
    let long = format!(
        "GET http://model.test/{} HTTP/1.1\r\n\r\n",
        "a".repeat(100_000)
    );
    let answer = ask(doors.egress.at[0], &long);
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    doors.check_after();
}

#[test]
fn names_that_are_too_long_are_refused_and_told_in_short() {
    let mut doors = Doors::start();
    for name in [
        "a".repeat(300),
        vec!["abcdefgh"; 40].join("."),
        "é".repeat(200),
    ] {
        let answer = ask(
            doors.egress.at[0],
            &format!("CONNECT {name}:443 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
        );
        // What is not even a URL's host is no request.
        let status = if name.is_ascii() { "403" } else { "400" };
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        if name.is_ascii() {
            let report = doors.egress.report();
            assert_eq!(report.outcome, Outcome::Refused);
            assert!(report.target.len() <= 400 && report.reason.len() <= 400);
        }
    }
    doors.check_after();
}

#[test]
fn clients_that_read_nothing_are_sent_no_more_than_they_take() {
    let doors = Doors::start();
    // A server whose answer never ends.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                read_head(&mut stream);
                let piece = [b'x'; 64 << 10];
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n");
                while stream.write_all(&piece).is_ok() {}
            });
        }
    });
    let target = format!("model.test:{port}");
    let clients: Vec<TcpStream> = (0..40)
        .map(|n| {
            let mut client = doors.proxy();
            if n % 2 == 0 {
                let url = format!("http://{target}/");
                client.write_all(get(&url, "").as_bytes()).unwrap();
            } else {
                ask_for_tunnel(&mut client, &target);
                client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            }
            // The first of it has come.
            assert_eq!(client.read(&mut [0; 1]).unwrap(), 1);
            client
        })
        .collect();
    doors.check_other();
    let private = doors.egress.private_kib();
    println!("{private} KiB are private while 40 clients read nothing");
    assert!(private <= MEMORY, "{private} KiB");
    drop(clients);
    doors.check_after();
}

/// A question for a name's address.
fn question(id: u16, name: &str) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

/// Asks until there is an answer, as resolvers do, and returns its code.
fn resolve(at: SocketAddr, name: &str) -> u8 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    for id in 0..40 {
        socket.send_to(&question(id, name), at).unwrap();
        let mut answer = [0; 1500];
        while let Ok((count, _)) = socket.recv_from(&mut answer) {
            if answer[..2] == id.to_be_bytes() {
                assert!(count > 12);
                return answer[3] & 0xf;
            }
        }
    }
    panic!("there is no answer");
}

#[test]
fn floods_of_questions_for_names_hold_up_nobody() {
    for service in [Service::NoNames, Service::Resolver] {
        let server = Server::start(OK);
        let mut policy: Policy = open(&["model.test"]);
        policy.allowed = Some(vec!["model.test".to_owned()]);
        let is_resolver = service == Service::Resolver;
        let mut egress = Egress::start(&config(vec![Service::Proxy, service], policy));
        let flood = UdpSocket::bind("127.0.0.1:0").unwrap();
        for n in 0..20_000_u16 {
            let _ = flood.send_to(&question(n, &format!("n{n}.bad.test")), egress.at[1]);
            // What is no question at all.
            let _ = flood.send_to(&n.to_be_bytes(), egress.at[1]);
        }
        let url = format!("http://model.test:{}/", server.port);
        let answer = ask(egress.at[0], &get(&url, ""));
        assert!(answer.ends_with("hello"), "{answer}");
        assert_eq!(resolve(egress.at[1], "bad.test"), 5);
        if is_resolver {
            assert_eq!(resolve(egress.at[1], "model.test"), 0);
        }
        let private = egress.private_kib();
        assert!(private <= MEMORY, "{private} KiB");
        // A bounded number of them is told, and that there were more.
        let mut told = Vec::new();
        while told.last().is_none_or(|last: &String| last != "others") {
            told.push(egress.report().target);
        }
        assert_eq!(told.len(), 101);
        assert!(
            told[0].starts_with('n') && told[0].ends_with(".bad.test:53"),
            "{told:?}"
        );
        assert!(egress.last_reports().is_empty());
    }
}
