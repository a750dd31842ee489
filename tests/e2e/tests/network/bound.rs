//! Credentials that are for certain hosts: registries' tokens and the like.

use aod_e2e::{GIT_HOST, GitServer, Runtimes, Server, ServerOptions, Session, files_with};
use serde_json::{Value, json};

use crate::registry::Registry;

/// A server whose user has the registry's tokens registered, for its host.
async fn server(registry: &Registry, more: &[(&str, &str)]) -> Server {
    let port = &registry.port;
    let hosts =
        format!("registry.test=127.0.0.1:{port},other.test=127.0.0.1:{port},{GIT_HOST}=127.0.0.1");
    let mut options = ServerOptions::new(Runtimes::demo().with_raw())
        .set("AOD_EGRESS__HOSTS", hosts)
        .set(
            "AOD_EGRESS__CA_FILE",
            registry.authority().display().to_string(),
        );
    for (name, value) in more {
        options = options.set(name, *value);
    }
    let server = Server::start(options).await;
    for (name, token) in [
        ("NPM_TOKEN", &registry.npm),
        ("PYPI_TOKEN", &registry.pypi),
        ("CARGO_REGISTRIES_ACME_TOKEN", &registry.cargo),
    ] {
        let path = format!("/credentials/env:{name}");
        let body = json!({"value": token, "hosts": ["Registry.test"]});
        let set = server.client().put(&path, &body).await.expect(200);
        assert_eq!(set["hosts"], json!(["registry.test"]), "{set}");
    }
    server
}

async fn run(server: &Server, environment: Value, script: &str) -> Session {
    let client = server.client();
    let environment = client.create_environment(&environment).await;
    let body = json!({"name": "raw", "runtime": "raw", "model": aod_e2e::DEMO_MODEL});
    let agent = client.create_agent(&body).await;
    let body = json!({"agent_id": agent, "environment_id": environment, "prompt": script});
    client.create_session(&body).await
}

/// What each way of asking is told of the credential that came with it.
const WAYS: &str = r#"
exec bash <<'END'
say() { echo "$1: $(timeout 60 bash -s 2>&1 | tail -n 1)"; }
say bearer <<<'curl -s -H "Authorization: Bearer $NPM_TOKEN" https://registry.test/whoami'
say header <<<'curl -s -H "X-Api-Key: $NPM_TOKEN" https://registry.test/whoami'
say basic <<<'curl -s -u "user:$PYPI_TOKEN" https://registry.test/whoami'
say url <<<'curl -s "https://__token__:$PYPI_TOKEN@registry.test/whoami"'
say python <<<'python3 -c "import os,urllib.request as r; print(r.urlopen(r.Request(\"https://registry.test/whoami\", headers={\"X-Key\": os.environ[\"NPM_TOKEN\"]})).read().decode())"'
say node <<<'node -e "const h=require(\"https\"),u=new URL(process.env.https_proxy);const c=require(\"http\").request({host:u.hostname,port:u.port,method:\"CONNECT\",path:\"registry.test:443\"});c.on(\"connect\",(_,s)=>h.get({host:\"registry.test\",path:\"/whoami\",socket:s,agent:false,headers:{\"x-key\":process.env.NPM_TOKEN}},r=>{r.pipe(process.stdout)}));c.end()"'
say other <<<'curl -sk -H "Authorization: Bearer $NPM_TOKEN" https://other.test:PORT/whoami'
say forged <<<'curl -sk -H "Host: registry.test" -H "Authorization: Bearer $NPM_TOKEN" https://other.test:PORT/whoami'
say disguised <<<'curl -sk --connect-to registry.test:443:other.test:443 -H "Authorization: Bearer $NPM_TOKEN" https://registry.test/whoami'
say port <<<'curl -sk -H "Authorization: Bearer $NPM_TOKEN" https://registry.test:8443/whoami'
mkdir -p /tmp/n && cd /tmp/n && echo '{}' >package.json
say git <<<'git clone -q "https://x:$THE_GIT_TOKEN@git.test:GIT/private/r.git" /tmp/r && cat /tmp/r/file'
say npm <<<'npm install --silent --no-audit --no-update-notifier --no-fund --registry=https://registry.test/npm/ @acme/thing; node -p "require(\"@acme/thing\")"'
say pip <<<'pip install -q --disable-pip-version-check --break-system-packages --target /tmp/p --index-url "https://__token__:$PYPI_TOKEN@registry.test/pypi/simple" acme-thing; PYTHONPATH=/tmp/p python3 -c "import acme_thing; print(acme_thing.said)"'
mkdir -p /tmp/c && cd /tmp/c && export CARGO_REGISTRIES_ACME_INDEX=sparse+https://registry.test/cargo/index/
say cargo <<<'cargo init -q --name c && cargo add -q --registry acme acme-thing && echo "fn main() { println!(\"{}\", acme_thing::SAID) }" >src/main.rs && cargo run -q'
env >/workspace/env; cat ~/.npmrc >>/workspace/env
END
"#;

/// What a setup script writes has to hold in turns.
const SETUP: &str = "echo \"//registry.test/npm/:_authToken=$NPM_TOKEN\" >~/.npmrc\n\
    echo \"setup: $(curl -s -H \"Authorization: Bearer $NPM_TOKEN\" https://registry.test/whoami)\" >/workspace/setup";

#[tokio::test]
async fn private_packages_are_installed_with_tokens_that_the_sandbox_does_not_have() {
    let registry = Registry::start();
    let git = GitServer::https();
    git.repository("private/r.git")
        .commit(&[("file", "from git")]);
    registry.add_authority(&git.authority());
    let server = server(&registry, &[]).await;
    let url = git.url("private/r.git");
    let (_, git_port) = url.split_once(".test:").unwrap();
    let (git_port, _) = git_port.split_once('/').unwrap();
    let body = json!({"value": git.token(), "hosts": [format!("{GIT_HOST}:{git_port}")]});
    let set = server
        .client()
        .put("/credentials/env:THE_GIT_TOKEN", &body)
        .await;
    set.expect(200);
    let ways = WAYS
        .replace("PORT", &registry.port)
        .replace("GIT/", &format!("{git_port}/"));
    let session = run(&server, json!({"name": "e", "setup_script": SETUP}), &ways).await;
    let output = format!("{}{}", session.ended().await.stdout(), registry.requests());
    for (way, wanted) in [
        ("bearer", "npm in authorization"),
        ("header", "npm in x-api-key"),
        ("basic", "pypi in authorization"),
        ("url", "pypi in authorization"),
        ("python", "npm in x-key"),
        ("node", "npm in x-key"),
        ("git", "from git"),
        ("npm", "from npm"),
        ("pip", "from pypi"),
        ("cargo", "from cargo"),
        // Nobody else is sent it, by whatever name.
        ("other", "nothing"),
        ("forged", "nothing"),
        ("disguised", "nothing"),
        ("port", "nothing"),
    ] {
        let line = format!("{way}: {wanted}");
        assert!(output.lines().any(|it| it == line), "{line}: {output}");
    }
    let setup = server.workspace_file(&session.id, "setup").unwrap();
    assert_eq!(setup.trim(), "setup: npm in authorization");
    let env = server.workspace_file(&session.id, "env").unwrap();
    assert!(env.contains("NPM_TOKEN=aod-brokered-"), "{env}");
    for token in [&registry.npm, &registry.pypi, &registry.cargo, git.token()] {
        let everywhere = files_with(&server.data(), token, &|_| false);
        assert!(everywhere.is_empty(), "{everywhere:?}");
    }
    assert!(output.contains("/whoami nothing"), "{output}");
}

#[tokio::test]
async fn where_credentials_are_injected_the_token_enters_and_that_is_told() {
    let registry = Registry::start();
    let server = server(&registry, &[("AOD_EGRESS__CREDENTIALS", "injected")]).await;
    let session = run(&server, json!({"name": "e"}), "printenv NPM_TOKEN >token").await;
    session.ended().await.completed();
    let token = server.workspace_file(&session.id, "token").unwrap();
    assert_eq!(token.trim(), registry.npm);
    let path = format!("/sessions/{}/events?limit=200", session.id);
    let events = server.client().get(&path).await.expect(200);
    assert!(
        events.to_string().contains("credentials.injected"),
        "{events}"
    );
}

#[tokio::test]
async fn a_credentials_hosts_are_checked_shown_and_kept() {
    let server = Server::start(ServerOptions::new(Runtimes::demo())).await;
    let client = server.client();
    let path = "/credentials/env:THE_TOKEN";
    for (name, hosts) in [
        ("env:THE_TOKEN", json!("api.example.com")),
        ("env:THE_TOKEN", json!(["https://api.example.com"])),
        ("env:THE_TOKEN", json!(["*.example.com"])),
        ("env:THE_TOKEN", json!(["10.0.0.1"])),
        ("env:THE_TOKEN", json!(["2130706433"])),
        ("env:THE_TOKEN", json!(["api.example.com:99999"])),
        ("env:THE_TOKEN", json!(["api.example.com/v1"])),
        ("env:THE_TOKEN", json!([""])),
        ("env:THE_TOKEN", json!(["a b"])),
        ("env:THE_TOKEN", json!(vec!["a.b"; 21])),
    ] {
        let body = json!({"value": "the-secret-value", "hosts": hosts});
        let refusal = client
            .put(&format!("/credentials/{name}"), &body)
            .await
            .refused(422);
        let text = refusal.to_string();
        assert!(
            text.contains("hosts") && !text.contains("the-secret-value"),
            "{hosts}: {text}"
        );
    }
    let hosts = json!([
        "API.example.com.",
        "api.example.com",
        "git.example.com:8443"
    ]);
    let body = json!({"value": "a\nb", "hosts": hosts});
    let refusal = client.put(path, &body).await.refused(422).to_string();
    assert!(refusal.contains("value"), "{refusal}");
    let kept = json!(["api.example.com", "git.example.com:8443"]);
    let body = json!({"value": "the-secret-value", "hosts": hosts});
    assert_eq!(client.put(path, &body).await.expect(200)["hosts"], kept);
    // Another value alone does not let it into sandboxes.
    let set = client.put(path, &json!({"value": "another-value"})).await;
    assert_eq!(set.expect(200)["hosts"], kept);
    client
        .put(path, &json!({"value": "a\nb"}))
        .await
        .refused(422);
    assert_eq!(client.get(path).await.expect(200)["hosts"], kept);
    let listed = client.get("/credentials").await.expect(200);
    assert_eq!(listed["data"][0]["hosts"], kept);
    let body = json!({"value": "another-value", "hosts": []});
    assert_eq!(
        client.put(path, &body).await.expect(200)["hosts"],
        json!([])
    );
    client
        .put(path, &json!({"value": "a\nb"}))
        .await
        .expect(200);
}
