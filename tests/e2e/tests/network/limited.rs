//! An environment's allow-list.

use aod_e2e::{Ended, Runtimes, Server, ServerOptions};
use serde_json::{Value, json};

use crate::web::Web;

/// Attempts from inside: a name, a command that prints what it got, and what is to come of it with
/// the one host `good.test` allowed. `G` and `B` are the ports of a good and of another server.
const ATTEMPTS: &[(&str, &str, bool)] = &[
    ("http", "curl -sf http://good.test:$G/", true),
    ("upper case", "curl -sf http://GOOD.TEST:$G/", true),
    ("trailing dot", "curl -sf http://good.test.:$G/", true),
    ("tunnel", "curl -sfp http://good.test:$G/", true),
    ("tunnel by wget", "wget -qO- http://good.test:$G/", true),
    (
        "python",
        "python3 -c \"import os,urllib.request as r; print(r.urlopen('http://good.test:'+os.environ['G']).read().decode())\"",
        true,
    ),
    (
        "redirect within",
        "curl -sfL \"http://good.test:$G/to?http://good.test:$G/\"",
        true,
    ),
    (
        "another host in Host",
        "curl -sf -H 'Host: bad.test' http://good.test:$G/",
        true,
    ),
    ("http to another", "curl -sf http://bad.test:$B/", false),
    ("tunnel to another", "curl -sfp http://bad.test:$B/", false),
    (
        "redirect to another",
        "curl -sfL \"http://good.test:$G/to?http://bad.test:$B/\"",
        false,
    ),
    (
        "python to another",
        "python3 -c \"import os,urllib.request as r; print(r.urlopen('http://bad.test:'+os.environ['B']).read().decode())\"",
        false,
    ),
    (
        "no proxy",
        "curl -sf --noproxy '*' http://bad.test:$B/",
        false,
    ),
    (
        "empty proxy",
        "curl -sf --proxy '' http://bad.test:$B/",
        false,
    ),
    ("loopback", "curl -sf http://127.0.0.1:$B/", false),
    (
        "loopback by the proxy",
        "curl -sf --noproxy '' -x $http_proxy http://127.0.0.1:$B/",
        false,
    ),
    (
        "loopback by a tunnel",
        "curl -sfp --noproxy '' -x $http_proxy http://127.0.0.1:$B/",
        false,
    ),
    (
        "another loopback",
        "curl -sfp --noproxy '' -x $http_proxy http://127.9.9.9:$B/",
        false,
    ),
    (
        "loopback of IPv6",
        "curl -sfp --noproxy '' -x $http_proxy \"http://[::1]:$B/\"",
        false,
    ),
    (
        "mapped loopback",
        "curl -sfp --noproxy '' -x $http_proxy \"http://[::ffff:127.0.0.1]:$B/\"",
        false,
    ),
    (
        "localhost",
        "curl -sfp --noproxy '' -x $http_proxy http://localhost:$B/",
        false,
    ),
    (
        "a number",
        "curl -sfp --noproxy '' -x $http_proxy http://2130706433:$B/",
        false,
    ),
    (
        "a hexadecimal one",
        "curl -sfp --noproxy '' -x $http_proxy http://0x7f000001:$B/",
        false,
    ),
    (
        "an octal one",
        "curl -sfp --noproxy '' -x $http_proxy http://0177.0.0.1:$B/",
        false,
    ),
    (
        "zero",
        "curl -sfp --noproxy '' -x $http_proxy http://0.0.0.0:$B/",
        false,
    ),
    (
        "metadata",
        "curl -sfp --noproxy '' -x $http_proxy http://169.254.169.254/",
        false,
    ),
    (
        "the own address",
        "for a in $OWN; do curl -sfp --noproxy '' -x $http_proxy http://$a:$B/; done",
        false,
    ),
    (
        "a longer name",
        "curl -sfp http://good.test.bad.test:$B/",
        false,
    ),
    ("a name in front", "curl -sfp http://xgood.test:$B/", false),
    (
        "user information",
        "printf 'GET http://good.test:80@bad.test:%s/ HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' $B | say",
        false,
    ),
    (
        "CONNECT by hand",
        "printf 'CONNECT bad.test:%s HTTP/1.0\\r\\n\\r\\nGET / HTTP/1.0\\r\\n\\r\\n' $B | say",
        false,
    ),
    (
        "CONNECT without a port",
        "printf 'CONNECT bad.test HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' | say",
        false,
    ),
    (
        "git",
        "git ls-remote http://bad.test:$B/r 2>&1 | grep -v 403",
        false,
    ),
    (
        "pip",
        "pip download --no-cache-dir --index-url http://bad.test:$B/ six 2>&1 | grep -i bad$",
        false,
    ),
    (
        "node without a proxy",
        "node -e \"fetch('http://bad.test:'+process.env.B).then(r=>r.text()).then(console.log)\"",
        false,
    ),
    (
        "a raw socket",
        "python3 -c \"import os,socket; s=socket.create_connection(('127.0.0.1',int(os.environ['B'])),3); s.send(b'GET / HTTP/1.0\\r\\n\\r\\n'); print(s.makefile().read())\"",
        false,
    ),
    (
        "an address without a route",
        "python3 -c \"import socket; socket.create_connection(('192.0.2.1',80),3); print('bad')\"",
        false,
    ),
    (
        "IPv6",
        "python3 -c \"import socket; socket.create_connection(('2001:db8::1',80),3); print('bad')\"",
        false,
    ),
    (
        "UDP",
        "python3 -c \"import socket; socket.socket(socket.AF_INET,socket.SOCK_DGRAM).sendto(b'x',('192.0.2.1',53)); print('bad')\"",
        false,
    ),
    (
        "ICMP",
        "python3 -c \"import socket; socket.socket(socket.AF_INET,socket.SOCK_DGRAM,1).sendto(b'x'*8,('192.0.2.1',0)); print('bad')\"",
        false,
    ),
    (
        "resolving a name",
        "getent hosts bad.test && echo bad",
        false,
    ),
];

/// What every attempt may use: `say` sends its input to the proxy as it is, and prints the answer.
const PRELUDE: &str = r#"
mkdir -p /tmp/bin; export PATH=/tmp/bin:$PATH
cat >/tmp/bin/say <<'END'
#!/usr/bin/env python3
import socket, sys
proxy = socket.create_connection(("127.0.0.1", 61080), 5)
proxy.sendall(sys.stdin.buffer.read())
while piece := proxy.recv(4096):
    sys.stdout.buffer.write(piece)
END
chmod +x /tmp/bin/say
try() {
    got=$(timeout 20 bash -s 2>/dev/null | grep -oxE 'good|bad' | tail -n 1)
    echo "$1: $got"
}
"#;

/// Makes one script of all attempts.
fn script(good: &Web, bad: &Web) -> String {
    let own = std::process::Command::new("hostname").arg("-I").output();
    let own = String::from_utf8(own.unwrap().stdout).unwrap();
    let (own, good, bad) = (own.trim(), good.port, bad.port);
    let mut script = format!("{PRELUDE}export G={good} B={bad} OWN='{own}'\n");
    for (name, command, _) in ATTEMPTS {
        script.push_str(&format!("try '{name}' <<'END'\n{command}\nEND\n"));
    }
    script
}

async fn run(networking: Value, good: &Web, bad: &Web) -> (Server, Ended) {
    let hosts = format!("good.test=127.0.0.1,bad.test=127.0.0.1:{}", bad.port);
    let options = ServerOptions::new(Runtimes::demo().with_raw()).set("AOD_EGRESS__HOSTS", hosts);
    let server = Server::start(options).await;
    let client = server.client();
    let body = json!({"name": "e", "networking": networking});
    let environment = client.create_environment(&body).await;
    let body = json!({"name": "raw", "runtime": "raw", "model": aod_e2e::DEMO_MODEL});
    let agent = client.create_agent(&body).await;
    let session = client
        .create_session(&json!({
            "agent_id": agent, "environment_id": environment, "prompt": script(good, bad),
        }))
        .await;
    let ended = session.ended().await;
    (server, ended)
}

/// What an attempt got: `good`, `bad` or nothing.
fn got<'a>(output: &'a str, name: &str) -> &'a str {
    let begin = format!("{name}: ");
    let line = output.lines().find_map(|line| line.strip_prefix(&begin));
    line.unwrap_or_else(|| panic!("{name} was not tried: {output}"))
}

#[tokio::test]
async fn an_allow_list_lets_its_hosts_through_and_nothing_else() {
    let (good, bad) = (Web::start("good"), Web::start("bad"));
    let networking = json!({"type": "limited", "allowed_hosts": ["good.test"]});
    let (server, ended) = run(networking, &good, &bad).await;
    let output = ended.stdout();
    for (name, _, is_allowed) in ATTEMPTS {
        let wanted = if *is_allowed { "good" } else { "" };
        assert_eq!(got(&output, name), wanted, "{name}: {output}");
    }
    assert_eq!(bad.hits(), 0);
    assert!(good.hits() >= 8);
    let metrics = server.client().get("/metrics").await.text;
    let mut lines = metrics.lines();
    let refused = lines.find_map(|line| line.strip_prefix("aod_egress_refused_total "));
    assert!(refused.unwrap().parse::<u32>().unwrap() > 10, "{metrics}");
    // What the proxy refused can be seen.
    let id = ended.session["id"].as_str().unwrap();
    let path = format!("/sessions/{id}/events?limit=200");
    let client = server.client();
    let events = client.get(&path).await.expect(200);
    let told: Vec<String> = events["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["code"] == "network.refused")
        .map(|event| event["text"].as_str().unwrap().to_owned())
        .collect();
    for target in [
        "bad.test:",
        "127.0.0.1:",
        "[::1]:",
        "169.254.169.254:80",
        "localhost:",
        "xgood.test:",
    ] {
        let is_told = told.iter().any(|text| text.contains(&format!(" {target}")));
        assert!(is_told, "{target}: {told:#?}");
    }
}

#[tokio::test]
async fn without_a_list_the_same_attempts_get_through_where_they_use_the_proxy() {
    let (good, bad) = (Web::start("good"), Web::start("bad"));
    let (_server, ended) = run(json!({"type": "unrestricted"}), &good, &bad).await;
    let output = ended.stdout();
    for name in [
        "http to another",
        "tunnel to another",
        "redirect to another",
        "python to another",
        "no proxy",
        "empty proxy",
        "node without a proxy",
        "CONNECT by hand",
    ] {
        assert_eq!(got(&output, name), "bad", "{name}: {output}");
    }
    for name in [
        "loopback",
        "loopback by the proxy",
        "loopback of IPv6",
        "localhost",
        "a number",
        "metadata",
        "the own address",
        "a raw socket",
        "UDP",
    ] {
        assert_eq!(got(&output, name), "", "{name}: {output}");
    }
}

/// The attempts themselves work: with the machine's own network they reach what they are after.
#[tokio::test]
async fn with_the_hosts_network_raw_sockets_reach_the_machine() {
    let (good, bad) = (Web::start("good"), Web::start("bad"));
    let options =
        ServerOptions::new(Runtimes::demo().with_raw()).set("AOD_SANDBOX__NETWORK", "host");
    let server = Server::start(options).await;
    let session = server.client().raw_session(&script(&good, &bad)).await;
    let output = session.ended().await.stdout();
    for name in ["loopback", "a raw socket"] {
        assert_eq!(got(&output, name), "bad", "{name}: {output}");
    }
}
