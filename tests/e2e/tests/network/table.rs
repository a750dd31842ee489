//! An environment's allow-list, tried with all kinds of programs, on a machine and an internet of
//! the test's own, where each attempt is shown to reach what it is after without the policy.

use std::collections::BTreeSet;

use aod_e2e::{Ended, Runtimes, Server, ServerOptions, Stranger};
use serde_json::json;

use crate::internet::Internet;
use crate::refusals;

/// What is to come of an attempt.
#[derive(Clone, Copy)]
enum Is {
    /// It gets through.
    Allowed,
    /// The proxy refuses it, and that is told of this target.
    Refused(&'static str),
    /// It goes around the proxy, where there is no way, and that is told of this target.
    Direct(&'static str),
    /// It meets what is the sandbox's own, where nobody is, or the kernel lets no such thing begin:
    /// nothing comes out that could be refused.
    Within,
}
use Is::{Allowed, Direct, Refused, Within};

/// Attempts: a name, a command whose output has `reached` where it got through, and what is to come
/// of it with `good.test`, and two names that lead inside, allowed.
const ATTEMPTS: &[(&str, &str, Is)] = &[
    ("curl", "curl -s http://good.test/", Allowed),
    ("curl, a tunnel", "curl -sp http://good.test/", Allowed),
    ("curl, upper case", "curl -s http://GOOD.Test/", Allowed),
    (
        "curl, a trailing dot",
        "curl -s http://good.test./",
        Allowed,
    ),
    ("wget", "wget -qO- http://good.test/", Allowed),
    ("git", "git ls-remote http://good.test/r", Allowed),
    (
        "npm",
        "npm view --registry http://good.test/ reached name",
        Allowed,
    ),
    (
        "pip",
        "pip index versions reached --index-url http://good.test/simple --trusted-host good.test",
        Allowed,
    ),
    ("node", "node /tmp/by-proxy.js good.test:80", Allowed),
    (
        "python",
        "python3 -c 'import urllib.request as r; print(r.urlopen(\"http://good.test/\").read())'",
        Allowed,
    ),
    (
        "redirect within",
        "curl -sL 'http://good.test/to?http://good.test/'",
        Allowed,
    ),
    // Other names, by the proxy.
    (
        "curl to another",
        "curl -s http://curl.bad.test/",
        Refused("curl.bad.test:80"),
    ),
    (
        "curl, a tunnel to another",
        "curl -sp http://tunnel.bad.test:80/",
        Refused("tunnel.bad.test:80"),
    ),
    (
        "curl, another by Host",
        "curl -s -H 'Host: good.test' http://host.bad.test/",
        Refused("host.bad.test:80"),
    ),
    (
        "wget to another",
        "wget -qO- http://wget.bad.test/",
        Refused("wget.bad.test:80"),
    ),
    (
        "git to another",
        "git ls-remote http://git.bad.test/r",
        Refused("git.bad.test:80"),
    ),
    (
        "npm to another",
        "npm view --fetch-retries 0 --registry http://npm.bad.test/ reached name",
        Refused("npm.bad.test:80"),
    ),
    (
        "pip to another",
        "pip index versions reached --retries 0 --index-url http://pip.bad.test/simple --trusted-host pip.bad.test",
        Refused("pip.bad.test:80"),
    ),
    (
        "node to another",
        "node /tmp/by-proxy.js node.bad.test:80",
        Refused("node.bad.test:80"),
    ),
    (
        "python to another",
        "python3 -c 'import urllib.request as r; print(r.urlopen(\"http://python.bad.test/\").read())'",
        Refused("python.bad.test:80"),
    ),
    (
        "redirect to another",
        "curl -sL 'http://good.test/to?http://redirect.bad.test/'",
        Refused("redirect.bad.test:80"),
    ),
    (
        "redirect to metadata",
        "curl -sL 'http://good.test/to?http://169.254.169.254/'",
        Refused("169.254.169.254:80"),
    ),
    (
        "redirect to loopback",
        "curl -sL --noproxy '' 'http://good.test/to?http://127.0.0.1/'",
        Refused("127.0.0.1:80"),
    ),
    (
        "a longer name",
        "curl -s http://good.test.bad.test/",
        Refused("good.test.bad.test:80"),
    ),
    (
        "a name in front",
        "curl -s http://xgood.test/",
        Refused("xgood.test:80"),
    ),
    (
        "user information",
        "printf 'GET http://good.test:80@user.bad.test/ HTTP/1.0\\r\\n\\r\\n' | say",
        Refused("user.bad.test:80"),
    ),
    (
        "CONNECT by hand",
        "printf 'CONNECT hand.bad.test:80 HTTP/1.0\\r\\n\\r\\nGET / HTTP/1.0\\r\\n\\r\\n' | say",
        Refused("hand.bad.test:80"),
    ),
    // Allowed names that lead inside.
    (
        "a rebinding name",
        "curl -s http://inside.test/",
        Refused("inside.test:80"),
    ),
    (
        "a rebinding name, a tunnel",
        "curl -sp http://inside.test:80/",
        Refused("inside.test:80"),
    ),
    (
        "a name that leads to the machine",
        "curl -sp http://own.test:80/",
        Refused("own.test:80"),
    ),
    // Addresses, by the proxy.
    (
        "CONNECT to the good address",
        "curl -sp http://203.0.113.80:80/",
        Refused("203.0.113.80:80"),
    ),
    (
        "CONNECT to another address",
        "curl -sp http://203.0.113.81:80/",
        Refused("203.0.113.81:80"),
    ),
    (
        "CONNECT to IPv6",
        "curl -sp 'http://[2001:db8:80::81]:80/'",
        Refused("[2001:db8:80::81]:80"),
    ),
    (
        "CONNECT to loopback",
        "curl -sp --noproxy '' http://127.0.0.1:80/",
        Refused("127.0.0.1:80"),
    ),
    (
        "CONNECT to loopback of IPv6",
        "curl -sp --noproxy '' 'http://[::1]:80/'",
        Refused("[::1]:80"),
    ),
    (
        "CONNECT to mapped loopback",
        "curl -sp 'http://[::ffff:127.0.0.1]:80/'",
        Refused("[::ffff:127.0.0.1]:80"),
    ),
    (
        "CONNECT to another loopback",
        "curl -sp --noproxy '' http://127.9.9.9:80/",
        Refused("127.9.9.9:80"),
    ),
    (
        "CONNECT to an octal one",
        "printf 'CONNECT 0177.0.0.1:80 HTTP/1.0\\r\\n\\r\\nGET / HTTP/1.0\\r\\n\\r\\n' | say",
        Refused("0177.0.0.1:80"),
    ),
    (
        "CONNECT to localhost",
        "curl -sp --noproxy '' http://localhost:80/",
        Refused("localhost:80"),
    ),
    (
        "CONNECT to a number",
        "printf 'CONNECT 2130706433:80 HTTP/1.0\\r\\n\\r\\nGET / HTTP/1.0\\r\\n\\r\\n' | say",
        Refused("2130706433:80"),
    ),
    (
        "CONNECT to a hexadecimal one",
        "printf 'CONNECT 0x7f000001:80 HTTP/1.0\\r\\n\\r\\nGET / HTTP/1.0\\r\\n\\r\\n' | say",
        Refused("0x7f000001:80"),
    ),
    (
        "CONNECT to zero",
        "curl -sp http://0.0.0.0:80/",
        Refused("0.0.0.0:80"),
    ),
    (
        "CONNECT to metadata",
        "curl -sp http://169.254.169.254:80/",
        Refused("169.254.169.254:80"),
    ),
    (
        "CONNECT to metadata of IPv6",
        "curl -sp 'http://[fd00:ec2::254]:80/'",
        Refused("[fd00:ec2::254]:80"),
    ),
    (
        "CONNECT to a private address",
        "curl -sp http://10.9.9.9:80/",
        Refused("10.9.9.9:80"),
    ),
    (
        "CONNECT to the machine",
        "curl -sp http://198.51.100.2:80/",
        Refused("198.51.100.2:80"),
    ),
    // Without the proxy there is no way, but one who tells of it.
    (
        "curl --proxy ''",
        "curl -s --proxy '' http://curl-proxy.bad.test/",
        Direct("curl-proxy.bad.test:53"),
    ),
    (
        "curl --noproxy",
        "curl -s --noproxy '*' http://curl-noproxy.bad.test/",
        Direct("curl-noproxy.bad.test:53"),
    ),
    (
        "curl without variables",
        "env -i /usr/bin/curl -s http://curl-env.bad.test/",
        Direct("curl-env.bad.test:53"),
    ),
    (
        "git without a proxy",
        "git -c http.proxy= ls-remote http://git-proxy.bad.test/r",
        Direct("git-proxy.bad.test:53"),
    ),
    (
        "node without a proxy",
        "node -e 'require(\"http\").get(\"http://100.64.1.1/\", r => r.pipe(process.stdout))'",
        Direct("100.64.1.1:80"),
    ),
    (
        "a raw socket",
        "python3 /tmp/raw.py tcp 203.0.113.81",
        Direct("203.0.113.81:80"),
    ),
    (
        "a raw socket to the good address",
        "python3 /tmp/raw.py tcp 203.0.113.80",
        Direct("203.0.113.80:80"),
    ),
    (
        "a raw socket to loopback",
        "python3 /tmp/raw.py tcp 127.0.0.1",
        Within,
    ),
    (
        "a raw socket to metadata",
        "python3 /tmp/raw.py tcp 169.254.169.254",
        Direct("169.254.169.254:80"),
    ),
    (
        "a raw socket to the machine",
        "python3 /tmp/raw.py tcp 198.51.100.2",
        Direct("198.51.100.2:80"),
    ),
    (
        "IPv6",
        "python3 /tmp/raw.py tcp 2001:db8:80::81",
        Direct("[2001:db8:80::81]:80"),
    ),
    (
        "link-local of IPv6",
        "python3 /tmp/raw.py tcp fe80::1%DEVICE",
        Direct("[fe80::1]:80"),
    ),
    (
        "UDP",
        "python3 /tmp/raw.py udp 203.0.113.81",
        Direct("203.0.113.81:7000"),
    ),
    (
        "UDP of IPv6",
        "python3 /tmp/raw.py udp 2001:db8:80::81",
        Direct("[2001:db8:80::81]:7000"),
    ),
    ("ICMP", "python3 /tmp/raw.py icmp 203.0.113.81", Within),
    (
        "DNS",
        "getent ahosts dns.bad.test >/dev/null && echo reached",
        Direct("dns.bad.test:53"),
    ),
    (
        "DNS by hand",
        "python3 /tmp/raw.py dns 198.51.100.1",
        Direct("198.51.100.1:53"),
    ),
    (
        "DNS of the machine",
        "python3 /tmp/raw.py dns 127.0.0.53",
        Within,
    ),
    (
        "an abstract socket",
        "python3 /tmp/raw.py abstract x",
        Within,
    ),
];

/// What attempts use: `say` sends its input to the proxy as it is; `try` makes one.
const PRELUDE: &str = r#"
cat >/tmp/say <<'END'
#!/usr/bin/env python3
import os, socket, sys, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["http_proxy"])
proxy = socket.create_connection((proxy.hostname, proxy.port), 5)
proxy.sendall(sys.stdin.buffer.read())
while piece := proxy.recv(4096):
    sys.stdout.buffer.write(piece)
END
cat >/tmp/raw.py <<'END'
import socket, sys
kind, host = sys.argv[1:]
# The device that the program has, without the policy and with it.
device = [name for _, name in socket.if_nameindex() if name in ("v0", "aod0")]
host = host.replace("DEVICE", (device or ["lo"])[0])
if kind == "abstract":
    s = socket.socket(socket.AF_UNIX)
    s.connect("\0aod-test-internet")
elif kind == "icmp":
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    s.settimeout(5)
    s.connect((host, 0))
    s.send(b"\x08\0\0\0\0\0\0\0")
else:
    port = {"tcp": 80, "udp": 7000, "dns": 53}[kind]
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    s.settimeout(5)
    s.connect(address)
    s.send({
        "tcp": b"GET / HTTP/1.0\r\n\r\n",
        "udp": b"x",
        "dns": b"\x12\x34\1\0\0\1\0\0\0\0\0\0\4good\4test\0\0\1\0\1",
    }[kind])
answer = s.recv(4096)
while kind == "tcp" and b"reached" not in answer:
    answer += s.recv(4096)
print("reached" if kind in ("icmp", "dns") and answer else answer)
END
cat >/tmp/by-proxy.js <<'END'
const proxy = new URL(process.env.http_proxy);
const asked = require("http").request({
  host: proxy.hostname, port: proxy.port, method: "CONNECT", path: process.argv[2],
});
asked.on("connect", (answer, socket) => {
  if (answer.statusCode != 200) process.exit(1);
  socket.pipe(process.stdout);
  socket.write("GET / HTTP/1.0\r\n\r\n");
});
asked.end();
END
chmod +x /tmp/say; PATH=/tmp:$PATH
export npm_config_update_notifier=false PIP_DISABLE_PIP_VERSION_CHECK=1
try() {
    case "$(timeout 30 bash -s 2>/dev/null)" in *reached*) echo "$1: reached" ;; *) echo "$1: no" ;; esac
}
"#;

/// For the same attempts where there is no policy: a proxy that leads everywhere.
const FREE: &str = "for name in http_proxy https_proxy HTTP_PROXY HTTPS_PROXY; do \
    export $name=http://127.0.0.1:3128; done; export no_proxy=\n";

fn options() -> ServerOptions {
    ServerOptions::new(Runtimes::demo().with_raw()).set("AOD_EGRESS__HOSTS", "")
}

fn limited() -> serde_json::Value {
    json!({"type": "limited", "allowed_hosts": ["good.test", "inside.test", "own.test"]})
}

/// Makes all attempts, in a turn.
async fn attempts(server: &Server, networking: serde_json::Value, before: &str) -> Ended {
    let mut script = format!("exec bash <<'ALL'\n{before}{PRELUDE}");
    for (name, command, _) in ATTEMPTS {
        let name = name.replace('\'', "'\\''");
        script.push_str(&format!("try '{name}' <<'END'\n{command}\nEND\n"));
    }
    script.push_str("ALL\n");
    turn(server, networking, &script).await
}

async fn turn(server: &Server, networking: serde_json::Value, script: &str) -> Ended {
    let client = server.client();
    let environment = client
        .create_environment(&json!({"name": "e", "networking": networking}))
        .await;
    let body = json!({"name": "raw", "runtime": "raw", "model": aod_e2e::DEMO_MODEL});
    let agent = client.create_agent(&body).await;
    let body = json!({"agent_id": agent, "environment_id": environment, "prompt": script});
    client.create_session(&body).await.ended().await
}

fn is_reached(output: &str, name: &str) -> bool {
    let begin = format!("{name}: ");
    let line = output.lines().find_map(|line| line.strip_prefix(&begin));
    line.unwrap_or_else(|| panic!("{name} was not tried: {output}")) == "reached"
}

#[tokio::test]
async fn each_attempt_is_allowed_or_refused_as_it_should_be_and_refusals_are_told() {
    let Some(_internet) = Internet::start() else {
        return;
    };
    let server = Server::start(options()).await;
    check(&server, &attempts(&server, limited(), "").await).await;
}

#[tokio::test]
async fn so_it_is_where_an_ordinary_user_runs_the_server() {
    let Some(internet) = Internet::start() else {
        return;
    };
    internet.open_devices();
    let server = Server::start(options().by(&Stranger::new())).await;
    check(&server, &attempts(&server, limited(), "").await).await;
}

#[tokio::test]
async fn where_there_can_be_no_device_attempts_fail_all_the_same() {
    let Some(internet) = Internet::start() else {
        return;
    };
    internet.close_devices();
    let server = Server::start(options().by(&Stranger::new())).await;
    let script = "cd /tmp; try() { timeout 30 \"$@\" >/dev/null 2>&1 && echo reached || echo $?; }
        try curl -s --noproxy '*' http://203.0.113.81/
        try curl -s --noproxy '*' 'http://[2001:db8:80::81]/'
        try curl -s --noproxy '*' http://good.test/";
    let ended = turn(&server, json!({"type": "unrestricted"}), script).await;
    // It is not reached, not reached, and not known by name.
    let output = ended.stdout();
    assert!(output.starts_with("7\n7\n6\n"), "{output}");
    let told = refusals(&server, &ended).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(" good.test:53 "), "{told:?}");
    ended.completed();
}

/// Each attempt came to what it should, what was refused was told, and nothing else was.
async fn check(server: &Server, ended: &Ended) {
    let output = ended.stdout();
    let told = refusals(server, ended).await;
    let mut expected = BTreeSet::new();
    for (name, _, wanted) in ATTEMPTS {
        let is_allowed = matches!(wanted, Allowed);
        assert_eq!(is_reached(&output, name), is_allowed, "{name}: {output}");
        let (target, is_direct) = match wanted {
            Refused(target) => (target, false),
            Direct(target) => (target, true),
            Allowed | Within => continue,
        };
        let begin = format!("a connection to {target} was refused: ");
        let is_it = |text: &&String| {
            text.starts_with(&begin) && text.contains("by the proxy alone") == is_direct
        };
        let found: Vec<&String> = told.iter().filter(is_it).collect();
        assert!(!found.is_empty(), "{name}: {told:#?}");
        expected.extend(found);
    }
    let others: Vec<&String> = told.iter().filter(|it| !expected.contains(it)).collect();
    assert!(others.is_empty(), "{others:#?}");
}

#[tokio::test]
async fn without_the_policy_each_attempt_gets_through() {
    let Some(_internet) = Internet::start() else {
        return;
    };
    let server = Server::start(options().set("AOD_SANDBOX__NETWORK", "host")).await;
    let ended = attempts(&server, json!({"type": "unrestricted"}), FREE).await;
    let output = ended.stdout();
    for (name, _, _) in ATTEMPTS {
        assert!(is_reached(&output, name), "{name}: {output}");
    }
}
