//! Programs that know no proxy (`networking.raw`).

use aod_e2e::{DEADLINE, Ended, Runtimes, Server, ServerOptions, Session, Stranger, eventually};
use serde_json::{Value, json};

use crate::internet::Internet;
use crate::refusals;

/// Who is allowed to be reached, by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// By sandboxes that may reach the whole internet.
    Open,
    /// By those with `good.test` allowed, too.
    Good,
    /// By nobody.
    Never,
}
use Reach::{Good, Never, Open};

/// Attempts, in order: a name, what is tried, where, and who gets through. `DEVICE` is the device
/// that the program has.
const ATTEMPTS: &[(&str, &str, &str, Reach)] = &[
    ("an address before its name", "tcp", "203.0.113.80", Open),
    ("a name", "tcp", "good.test", Good),
    ("its address", "tcp", "203.0.113.80", Good),
    ("its address of IPv6", "tcp", "2001:db8:80::80", Good),
    ("bound to the device", "bound", "203.0.113.80", Good),
    ("UDP", "udp", "203.0.113.80", Good),
    ("UDP of IPv6", "udp", "2001:db8:80::80", Good),
    ("an echo", "icmp", "203.0.113.80", Good),
    ("much", "large", "good.test", Good),
    ("another name", "tcp", "bad.test", Open),
    ("another address", "tcp", "203.0.113.81", Open),
    ("another address, bound", "bound", "203.0.113.81", Open),
    ("UDP to another", "udp", "203.0.113.81", Open),
    ("another resolver", "dns", "198.51.100.1", Open),
    ("loopback", "tcp", "127.0.0.1", Never),
    ("another loopback", "tcp", "127.9.9.9", Never),
    ("loopback of IPv6", "tcp", "::1", Never),
    ("loopback by the device", "bound", "127.0.0.1", Never),
    ("UDP to loopback", "udp", "127.0.0.1", Never),
    (
        "the host's resolver on loopback",
        "dns",
        "127.0.0.53",
        Never,
    ),
    ("the host's address", "tcp", "198.51.100.2", Never),
    ("the host's address, bound", "bound", "198.51.100.2", Never),
    ("UDP to the host's address", "udp", "198.51.100.2", Never),
    ("the host's resolver", "dns", "198.51.100.2", Never),
    ("the host's other address", "tcp", "203.0.113.99", Never),
    ("the host's address of IPv6", "tcp", "2001:db8:1::2", Never),
    ("the same, bound", "bound", "2001:db8:1::2", Never),
    ("a name that leads to the host", "tcp", "own.test", Never),
    ("metadata", "tcp", "169.254.169.254", Never),
    ("metadata, bound", "bound", "169.254.169.254", Never),
    ("UDP to metadata", "udp", "169.254.169.254", Never),
    ("metadata of IPv6", "tcp", "fd00:ec2::254", Never),
    ("link-local of IPv6", "tcp", "fe80::1%DEVICE", Never),
    ("private", "tcp", "10.9.9.9", Never),
    ("private, bound", "bound", "10.9.9.9", Never),
    ("a private echo", "icmp", "10.9.9.9", Never),
    ("UDP to private, bound", "boundudp", "10.9.9.9", Never),
    ("private of the second block", "bound", "172.16.5.5", Never),
    ("private of the third block", "bound", "192.168.7.7", Never),
    ("of a provider's network", "bound", "100.64.1.1", Never),
    ("private of IPv6", "tcp", "fd00:9::9", Never),
    ("private of IPv6, bound", "bound", "fd00:9::9", Never),
    ("IPv4 in IPv6", "bound", "::ffff:10.9.9.9", Never),
    ("a name that leads inside", "tcp", "inside.test", Never),
];

/// Does what the lines of `attempts` say, without any proxy.
const CLIENT: &str = r#"
import socket
device = next(name for _, name in socket.if_nameindex() if name in ("aod0", "v0"))
def tried(kind, host, expected):
    if kind == "icmp":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as s:
            s.settimeout(5 if expected == "Never" else 20)
            s.connect((host, 0))
            s.send(b"\x08\0\0\0\0\0\0\0")
            return "reached" if s.recv(100)[0] == 0 else "?"
    udp = kind in ("udp", "boundudp", "dns")
    port = {"udp": 7000, "boundudp": 7000, "dns": 53}.get(kind, 80)
    family, _, _, _, address = socket.getaddrinfo(host.replace("DEVICE", device), port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as s:
        s.settimeout(5 if expected == "Never" else 20)
        if kind.startswith("bound"):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        s.connect(address)
        if kind == "dns":
            s.send(b"\x12\x34\1\0\0\1\0\0\0\0\0\0\4good\4test\0\0\1\0\1")
            return "reached" if s.recv(500)[-4:] == socket.inet_aton("203.0.113.80") else "?"
        if udp:
            s.send(b"x")
            return s.recv(100).decode()
        s.send(b"GET %s HTTP/1.0\r\n\r\n" % (b"/large" if kind == "large" else b"/"))
        answer = b""
        while piece := s.recv(1 << 16):
            answer += piece
        body = answer.split(b"\r\n\r\n")[1]
        return "reached" if body == b"x" * 5_000_000 or body.startswith(b"reached") else "?"
for line in open("attempts"):
    name, kind, host, expected = line.rstrip().split("\t")
    try: got = tried(kind, host, expected)
    except Exception as error: got = repr(error)
    print(f"{name}: {got}", flush=True)
"#;

fn script() -> String {
    let lines: Vec<String> = ATTEMPTS
        .iter()
        .map(|(name, kind, host, reach)| format!("{name}\t{kind}\t{host}\t{reach:?}\n"))
        .collect();
    format!(
        "cat >attempts <<'END'\n{}END\ncat >client.py <<'END'{CLIENT}END\npython3 client.py\n",
        lines.concat()
    )
}

async fn session(server: &Server, networking: Value, prompt: &str) -> Session {
    let client = server.client();
    let body = json!({"name": "e", "networking": networking});
    let environment = client.create_environment(&body).await;
    let body = json!({"name": "raw", "runtime": "raw", "model": aod_e2e::DEMO_MODEL});
    let agent = client.create_agent(&body).await;
    let body = json!({"agent_id": agent, "environment_id": environment, "prompt": prompt});
    client.create_session(&body).await
}

fn options(settings: &[(&str, &str)]) -> ServerOptions {
    let mut options = ServerOptions::new(Runtimes::demo().with_raw()).set("AOD_EGRESS__HOSTS", "");
    for (name, value) in settings {
        options = options.set(name, *value);
    }
    options
}

async fn server(settings: &[(&str, &str)]) -> Server {
    Server::start(options(settings)).await
}

const RAW: &[(&str, &str)] = &[("AOD_EGRESS__RAW", "true")];

fn check(ended: &Ended, is_reached: impl Fn(&str, Reach) -> bool) {
    let output = ended.stdout();
    for (name, _, _, reach) in ATTEMPTS {
        let begin = format!("{name}: ");
        let line = output.lines().find_map(|line| line.strip_prefix(&begin));
        let got = line.unwrap_or_else(|| panic!("{name} was not tried: {output}"));
        assert_eq!(
            got == "reached",
            is_reached(name, *reach),
            "{name}: {output}"
        );
    }
}

/// Some of the targets that are told of where the whole internet may be reached, and where one name
/// may.
const TOLD: &[&str] = &[
    "198.51.100.2:80",
    "198.51.100.2:7000",
    "203.0.113.99:80",
    "[2001:db8:1::2]:80",
    "169.254.169.254:80",
    "10.9.9.9:80",
    "10.9.9.9:7000",
    "10.9.9.9 was",
    "[fd00:9::9]:80",
    "inside.test:",
    "own.test:",
];
const TOLD_OF_LIMITED: &[&str] = &[
    "203.0.113.80:80",
    "203.0.113.81:7000",
    "198.51.100.1:53",
    "bad.test:",
];

fn check_told(told: &[String], targets: &[&str]) {
    for target in targets {
        let is_told = told.iter().any(|text| text.contains(&format!(" {target}")));
        assert!(is_told, "{target}: {told:#?}");
    }
}

#[tokio::test]
async fn programs_without_a_proxy_reach_the_internet_and_nothing_else() {
    let Some(_internet) = Internet::start() else {
        return;
    };
    let server = server(RAW).await;
    let networking = json!({"type": "unrestricted", "raw": true});
    let ended = session(&server, networking, &script()).await.ended().await;
    check(&ended, |_, reach| reach != Never);
    let told = refusals(&server, &ended).await;
    check_told(&told, TOLD);
}

#[tokio::test]
async fn an_allow_list_holds_without_a_proxy() {
    let Some(_internet) = Internet::start() else {
        return;
    };
    let server = server(RAW).await;
    let networking = json!({"type": "limited", "allowed_hosts": ["good.test"], "raw": true});
    let ended = session(&server, networking, &script()).await.ended().await;
    check(&ended, |_, reach| reach == Good);
    let told = refusals(&server, &ended).await;
    check_told(&told, TOLD_OF_LIMITED);
}

#[tokio::test]
async fn so_it_is_where_an_ordinary_user_runs_the_server() {
    let Some(internet) = Internet::start() else {
        return;
    };
    internet.open_devices();
    let server = Server::start(options(RAW).by(&Stranger::new())).await;
    let open = json!({"type": "unrestricted", "raw": true});
    let limited = json!({"type": "limited", "allowed_hosts": ["good.test"], "raw": true});
    let (open, limited) = tokio::join!(
        async { session(&server, open, &script()).await.ended().await },
        async { session(&server, limited, &script()).await.ended().await },
    );
    check(&open, |_, reach| reach != Never);
    check_told(&refusals(&server, &open).await, TOLD);
    check(&limited, |_, reach| reach == Good);
    check_told(&refusals(&server, &limited).await, TOLD_OF_LIMITED);
}

/// The attempts themselves work: with the machine's own network they reach what they are after.
#[tokio::test]
async fn with_the_hosts_network_the_same_attempts_get_through() {
    let Some(_internet) = Internet::start() else {
        return;
    };
    let server = server(&[("AOD_SANDBOX__NETWORK", "host")]).await;
    let networking = json!({"type": "unrestricted", "raw": true});
    let ended = session(&server, networking, &script()).await.ended().await;
    // Of all of them only loopback is not to be had by another device.
    check(&ended, |name, _| name != "loopback by the device");
}

#[tokio::test]
async fn it_outlives_the_host_and_ends_with_the_turn() {
    let Some(_internet) = Internet::start() else {
        return;
    };
    let mut server = server(RAW).await;
    let prompt = r#"cat >client.py <<'END'
import os, pathlib, socket, time
held = socket.create_connection(("good.test", 80), 10)
held.settimeout(20)
pathlib.Path("connected").touch()
while not os.path.exists("go"): time.sleep(0.02)
for s in (held, socket.create_connection(("good.test", 80), 10)):
    s.send(b"GET / HTTP/1.0\r\n\r\n")
    print(s.makefile().read().split()[-2])
END
python3 client.py"#;
    let networking = json!({"type": "unrestricted", "raw": true});
    let session = session(&server, networking, prompt).await;
    let id = session.id.clone();
    eventually("it is connected", DEADLINE, async || {
        server.workspace_file(&id, "connected")
    })
    .await;
    assert!(!switches().is_empty());
    server.kill();
    let workspace = server.session_files(&id).join("workspace");
    std::fs::write(workspace.join("go"), "").unwrap();
    server.start_again().await;
    let ended = session.at(server.client()).ended().await;
    let output = ended.stdout();
    assert_eq!(output.matches("reached").count(), 2, "{output}");
    eventually("the network ends with the turn", DEADLINE, async || {
        switches().is_empty().then_some(())
    })
    .await;
}

/// The processes that pass packets on in this test's network.
fn switches() -> Vec<String> {
    let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|process| {
            std::fs::read_link(process.path().join("ns/net")).is_ok_and(|network| network == own)
        })
        .filter_map(|process| std::fs::read_to_string(process.path().join("comm")).ok())
        .filter(|name| name.starts_with("passt"))
        .collect()
}

#[tokio::test]
async fn an_environment_that_wants_it_where_it_is_not_to_be_had_is_told_so() {
    let programs = tempfile::tempdir().unwrap();
    for folder in ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin"] {
        for program in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = program.file_name();
            if !name.to_string_lossy().starts_with("passt") {
                let _ = std::os::unix::fs::symlink(program.path(), programs.path().join(name));
            }
        }
    }
    let programs = programs.path().to_str().unwrap();
    for (settings, wanted) in [
        (&[][..], "egress.raw = true"),
        (
            &[("AOD_EGRESS__RAW", "true"), ("PATH", programs)][..],
            "apt install passt",
        ),
    ] {
        let server = server(settings).await;
        let networking = json!({"type": "unrestricted", "raw": true});
        let failed = session(&server, networking, "echo")
            .await
            .ended()
            .await
            .failed();
        assert!(
            failed.contains("networking.raw") && failed.contains(wanted),
            "{failed}"
        );
        let session = session(&server, json!({"type": "unrestricted"}), "echo").await;
        session.ended().await.completed();
    }
}
