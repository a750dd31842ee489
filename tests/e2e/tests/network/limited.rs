//! Names that the operator maps, and an environment's allow-list. What goes around the list is tried
//! in `table.rs`; this is what it means for mapped names, and needs no machine of its own.

use aod_e2e::{Ended, Runtimes, Server, ServerOptions};
use serde_json::{Value, json};

use crate::web::Web;

/// What is to come of an attempt where `good.test` alone is allowed, and where everything is.
type Wanted = [&'static str; 2];

/// Attempts from inside: a name, a command that prints what it got, and what that is. `G` and `B`
/// are the ports of a good and of a bad server; `good.test` leads to all of the machine's ports,
/// `bad.test` to the bad server's alone.
const ATTEMPTS: &[(&str, &str, Wanted)] = &[
    ("http", "curl -sf http://good.test:$G/", ["good", "good"]),
    ("tunnel", "curl -sfp http://good.test:$G/", ["good", "good"]),
    (
        "another host in Host",
        "curl -sf -H 'Host: bad.test' http://good.test:$G/",
        ["good", "good"],
    ),
    (
        "http to another",
        "curl -sf --noproxy '' http://bad.test:$B/",
        ["", "bad"],
    ),
    (
        "tunnel to another, to whatever port",
        "curl -sfp --noproxy '' http://bad.test:1/",
        ["", "bad"],
    ),
    (
        "no proxy",
        "curl -sf --noproxy '*' http://bad.test:$B/",
        ["", "bad"],
    ),
    (
        "empty proxy",
        "curl -sf --proxy '' http://bad.test:$B/",
        ["", "bad"],
    ),
    (
        "node without a proxy",
        "node -e \"fetch('http://bad.test:'+process.env.B).then(r=>r.text()).then(console.log)\"",
        ["", "bad"],
    ),
    (
        "no proxy to another port",
        "curl -sf --noproxy '*' http://bad.test:$G/",
        ["", ""],
    ),
    (
        "no proxy where no port is named",
        "curl -sf --noproxy '*' http://good.test:$G/",
        ["", ""],
    ),
    (
        "the machine's loopback",
        "curl -sfp --noproxy '' http://127.0.0.1:$B/",
        ["", ""],
    ),
    (
        "the machine's address",
        "for a in $OWN; do curl -sfp --noproxy '' http://$a:$B/; done",
        ["", ""],
    ),
    (
        "CONNECT without a port",
        "printf 'CONNECT bad.test HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' | say",
        ["", ""],
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
        let name = name.replace('\'', "'\\''");
        script.push_str(&format!("try '{name}' <<'END'\n{command}\nEND\n"));
    }
    script
}

async fn run(server: &Server, networking: Value, script: &str) -> Ended {
    let client = server.client();
    let body = json!({"name": "e", "networking": networking});
    let environment = client.create_environment(&body).await;
    let body = json!({"name": "raw", "runtime": "raw", "model": aod_e2e::DEMO_MODEL});
    let agent = client.create_agent(&body).await;
    let body = json!({"agent_id": agent, "environment_id": environment, "prompt": script});
    client.create_session(&body).await.ended().await
}

/// What an attempt got: `good`, `bad` or nothing.
fn got<'a>(output: &'a str, name: &str) -> &'a str {
    let begin = format!("{name}: ");
    let line = output.lines().find_map(|line| line.strip_prefix(&begin));
    line.unwrap_or_else(|| panic!("{name} was not tried: {output}"))
}

#[tokio::test]
async fn an_allow_list_holds_for_mapped_names_too() {
    let (good, bad) = (Web::start("good"), Web::start("bad"));
    let hosts = format!("good.test=127.0.0.1,bad.test=127.0.0.1:{}", bad.port);
    let options = ServerOptions::new(Runtimes::demo().with_raw()).set("AOD_EGRESS__HOSTS", hosts);
    let server = Server::start(options).await;
    let script = script(&good, &bad);
    let limited = json!({"type": "limited", "allowed_hosts": ["good.test"]});
    for (at, networking) in [limited, json!({"type": "unrestricted"})]
        .into_iter()
        .enumerate()
    {
        let ended = run(&server, networking, &script).await;
        let output = ended.stdout();
        for (name, _, wanted) in ATTEMPTS {
            assert_eq!(got(&output, name), wanted[at], "{name}: {output}");
        }
        let is_limited = at == 0;
        assert_eq!(bad.hits() == 0, is_limited);
        if is_limited {
            let metrics = server.client().get("/metrics").await.text;
            let mut lines = metrics.lines();
            let refused = lines.find_map(|line| line.strip_prefix("aod_egress_refused_total "));
            assert!(refused.unwrap().parse::<u32>().unwrap() > 4, "{metrics}");
        }
    }
}
