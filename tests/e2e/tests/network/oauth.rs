//! OAuth tokens that expire: renewed by the host alone, and never in a sandbox.

use std::fs;
use std::process::{Child, Command};

use aod_e2e::{
    DEADLINE, Gate, Runtimes, Server, ServerOptions, Session, eventually, files_with, start,
};
use serde_json::{Value, json};

const CREDENTIAL: &str = "env:ACME_TOKEN";
/// Says to the login's server who it is.
const WHO: &str =
    r#"curl -s -H "Authorization: Bearer $ACME_TOKEN" https://login.test/whoami; env"#;

/// Sends it something that it repeats where it takes the token.
const ASK: &str =
    r#"curl -s -H "Authorization: Bearer $ACME_TOKEN" -d question https://login.test/strict; "#;
/// Has the newest token taken no more.
const REVOKE: &str = "curl -s https://login.test/revoke; ";

/// `login.test`.
struct Login {
    folder: tempfile::TempDir,
    process: Child,
    port: String,
}

impl Login {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let own = rcgen::generate_simple_self_signed(["login.test".to_owned()]).unwrap();
        fs::write(path("server.pem"), own.cert.pem()).unwrap();
        fs::write(path("server.key"), own.signing_key.serialize_pem()).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/network/login.py");
        let mut command = Command::new("python3");
        command
            .arg(script)
            .args([path("server.pem"), path("server.key")])
            .arg(folder.path());
        let (process, port) = start(command);
        Self {
            folder,
            process,
            port,
        }
    }

    fn set(&self, mode: &str) {
        fs::write(self.folder.path().join("mode"), mode).unwrap();
    }

    fn renewals(&self) -> usize {
        let renewals = fs::read_to_string(self.folder.path().join("renewals"));
        let renewals = renewals.unwrap_or_default();
        let ours = "acme-client refresh_token";
        assert!(renewals.lines().all(|line| line == ours), "{renewals}");
        renewals.lines().count()
    }

    /// Has the newest token taken no more.
    fn revoke(&self) {
        self.set("");
        fs::write(self.folder.path().join("revoke"), "").unwrap();
    }

    /// Waits until so many requests were refused.
    async fn has_refused(&self, count: usize) {
        eventually("a request is refused", DEADLINE, async || {
            (self.refusals() >= count).then_some(())
        })
        .await;
    }

    fn refusals(&self) -> usize {
        let refusals = fs::read_to_string(self.folder.path().join("refusals"));
        refusals.unwrap_or_default().lines().count()
    }

    /// A server whose user has a login that expires then, in seconds since the Unix epoch.
    async fn server(&self, expires_at: u64) -> Server {
        let agent = concat!(env!("CARGO_MANIFEST_DIR"), "/raw-agent.sh");
        let runtime = format!(
            "command = {agent:?}\n[runtime.raw.oauth.\"{CREDENTIAL}\"]\n\
             token_url = \"https://login.test/token\"\nclient_id = \"acme-client\"\n\
             access_token = \"/login/access\"\nrefresh_token = \"/login/refresh\"\n\
             expires_at = \"/login/expires\"\n"
        );
        let runtimes = Runtimes::default().with("raw", &aod_e2e::plugin("demo"), &runtime);
        let authority = self.folder.path().join("server.pem");
        let options = ServerOptions::new(runtimes)
            .set(
                "AOD_EGRESS__HOSTS",
                format!("login.test=127.0.0.1:{}", self.port),
            )
            .set("AOD_EGRESS__CA_FILE", authority.display().to_string());
        let server = Server::start(options).await;
        let login = json!({"login": {
            "access": "opens-the-door-0", "refresh": "renews-the-login-0",
            "expires": expires_at * 1000, "scopes": ["x"],
        }});
        let body = json!({"value": login.to_string(), "hosts": ["login.test"]});
        let path = format!("/credentials/{CREDENTIAL}");
        server.client().put(&path, &body).await.expect(200);
        server
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn agent(server: &Server) -> String {
    let body = json!({"name": "raw", "runtime": "raw", "model": aod_e2e::DEMO_MODEL});
    server.client().create_agent(&body).await
}

async fn session(server: &Server, agent: &str) -> Session {
    session_of(server, agent, WHO).await
}

async fn session_of(server: &Server, agent: &str, script: &str) -> Session {
    let body = json!({"agent_id": agent, "prompt": script});
    server.client().create_session(&body).await
}

/// What a session's agent is told by the login's server, and its environment.
async fn told(server: &Server, agent: &str) -> String {
    let ended = session(server, agent).await.ended().await;
    ended.completed().stdout()
}

/// In an hour, or an hour ago.
fn in_hours(hours: i64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_secs().saturating_add_signed(hours * 3600)
}

async fn updates(server: &Server) -> usize {
    let trail = server.client().get("/credentials/audit").await.expect(200);
    let entries = trail["data"].as_array().unwrap();
    let is_update = |entry: &&Value| entry["action"] == "update";
    entries.iter().filter(is_update).count()
}

#[tokio::test]
async fn turns_that_begin_together_have_an_expired_token_renewed_once() {
    let login = Login::start();
    let mut server = login.server(in_hours(-1)).await;
    let raw = agent(&server).await;
    let mut sessions = Vec::new();
    for _ in 0..10 {
        sessions.push(session(&server, &raw).await);
    }
    for session in &sessions {
        let ended = session.ended().await.completed();
        let said = ended.stdout();
        assert!(said.contains(r#"{"newest": true}"#), "{said}");
        assert!(said.contains("ACME_TOKEN=aod-brokered-"), "{said}");
    }
    assert_eq!(login.renewals(), 1);
    assert_eq!(updates(&server).await, 1);
    // It was kept, with what renews it the next time.
    server.kill_and_start_again().await;
    let again = session(&server, &raw).await;
    let said = again.ended().await.completed().stdout();
    assert!(said.contains(r#"{"newest": true}"#), "{said}");
    assert_eq!(login.renewals(), 1);
    for secret in ["opens-the-door-", "renews-the-login-"] {
        let found = files_with(&server.data(), secret, &|_| false);
        assert!(found.is_empty(), "{secret}: {found:?}");
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_is_an_error_that_says_so() {
    let login = Login::start();
    let server = login.server(in_hours(-1)).await;
    let raw = agent(&server).await;
    for (mode, why) in [
        ("fail", "just now (temporarily_unavailable)"),
        ("refuse", "invalid_grant"),
    ] {
        login.set(mode);
        let error = session(&server, &raw).await.ended().await.failed();
        assert!(error.contains(CREDENTIAL) && error.contains(why), "{error}");
        assert!(!error.contains("renews-the-login"), "{error}");
    }
    // The next one begins, once the login's server has thought better of it.
    session(&server, &raw).await.ended().await.failed();
    login.set("");
    let said = told(&server, &raw).await;
    assert!(said.contains(r#"{"newest": true}"#), "{said}");
    assert_eq!(login.renewals(), 4);
}

/// One that is good for longer than the turn may take is left alone.
#[tokio::test]
async fn a_token_that_is_good_is_used_as_it_is() {
    let login = Login::start();
    let server = login.server(in_hours(2)).await;
    let raw = agent(&server).await;
    let said = told(&server, &raw).await;
    assert!(said.contains(r#"{"newest": true}"#), "{said}");
    assert_eq!(login.renewals(), 0);
    // In five minutes: too soon for a turn of ten.
    let soon = json!({"login": {"access": "opens-the-door-0", "refresh": "renews-the-login-0",
        "expires": in_hours(0) + 300}});
    let body = json!({"value": soon.to_string()});
    let path = format!("/credentials/{CREDENTIAL}");
    server.client().put(&path, &body).await.expect(200);
    let said = told(&server, &raw).await;
    assert!(said.contains(r#"{"newest": true}"#), "{said}");
    assert_eq!(login.renewals(), 1);
}

#[tokio::test]
async fn a_token_that_is_refused_in_a_turn_is_renewed_in_it() {
    let login = Login::start();
    let server = login.server(in_hours(2)).await;
    let raw = agent(&server).await;
    let session = session_of(&server, &raw, &format!("{ASK}{REVOKE}{ASK}{ASK}env")).await;
    let said = session.ended().await.completed().stdout();
    assert_eq!(
        said.matches(r#"{"taken": "question"}"#).count(),
        3,
        "{said}"
    );
    assert!(!said.contains("token_revoked"), "{said}");
    assert!(said.contains("ACME_TOKEN=aod-brokered-"), "{said}");
    assert_eq!((login.renewals(), login.refusals()), (1, 1));
    assert_eq!(updates(&server).await, 1);
    for secret in ["opens-the-door-", "renews-the-login-"] {
        let found = files_with(&server.data(), secret, &|_| false);
        assert!(found.is_empty(), "{secret}: {found:?}");
    }
}

/// Whoever has it renewed, and however often the host was started again meanwhile.
#[tokio::test]
async fn a_turn_that_runs_has_the_token_that_another_had_renewed() {
    let login = Login::start();
    let mut server = login.server(in_hours(2)).await;
    let raw = agent(&server).await;
    let [here, there] = [Gate::new("here"), Gate::new("there")];
    let script = format!(
        "{ASK}{}; {ASK}{}; {ASK}echo",
        here.command(),
        there.command()
    );
    let first = session_of(&server, &raw, &script).await;
    here.reached(&server, &first).await;
    server.kill_and_start_again().await;
    let first = first.at(server.client());
    let other = session_of(&server, &raw, &format!("{REVOKE}{ASK}echo")).await;
    other.ended().await.completed();
    assert_eq!((login.renewals(), login.refusals()), (1, 1));
    here.open(&server, &first);
    there.reached(&server, &first).await;
    // It was told, and has met no refusal of its own.
    assert_eq!((login.renewals(), login.refusals()), (1, 1));
    // What it meets while nobody is there is renewed by the next host.
    login.revoke();
    server.kill();
    there.open(&server, &first);
    login.has_refused(2).await;
    server.start_again().await;
    let first = first.at(server.client());
    let said = first.ended().await.completed().stdout();
    assert_eq!(
        said.matches(r#"{"taken": "question"}"#).count(),
        3,
        "{said}"
    );
    assert_eq!((login.renewals(), login.refusals()), (2, 2));
}

#[tokio::test]
async fn a_login_that_its_provider_renews_no_more_has_expired() {
    let login = Login::start();
    let server = login.server(in_hours(2)).await;
    let raw = agent(&server).await;
    let hook = json!({"url": "https://hooks.example/aod"});
    let hook = server.client().post("/webhooks", &hook).await.expect(201);
    let deliveries = format!("/webhooks/{}/deliveries", hook["id"].as_str().unwrap());
    login.set("refuse");
    let session = session_of(&server, &raw, &format!("{REVOKE}{ASK}echo")).await;
    let ended = session.ended().await.completed();
    // As its provider has said it.
    assert!(
        ended.stdout().contains("token_revoked"),
        "{}",
        ended.stdout()
    );
    let path = format!("/sessions/{}/events?limit=200", session.id);
    let events = server.client().get(&path).await.expect(200).to_string();
    assert!(events.contains("credential.refused"), "{events}");
    assert!(
        events.contains("invalid_grant") && events.contains("ACME_TOKEN"),
        "{events}"
    );
    let credential = format!("/credentials/{CREDENTIAL}");
    let read = server.client().get(&credential).await.expect(200);
    let reason = read["expired_reason"].as_str().unwrap_or_default();
    assert!(
        read["expired_at"].is_string() && reason.contains("invalid_grant"),
        "{read}"
    );
    // It is told once, however many turns meet it.
    session_of(&server, &raw, &format!("{REVOKE}{ASK}echo"))
        .await
        .ended()
        .await
        .completed();
    let told = server.client().get(&deliveries).await.expect(200);
    let told = told["data"].as_array().unwrap();
    let told: Vec<_> = told
        .iter()
        .filter(|it| it["event"] == "credential.expired")
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["session_id"], session.id.as_str());
    // A login that is set anew is as good as new.
    let anew = json!({"login": {"access": "x-new-token", "refresh": "x-new-refresh"}});
    let body = json!({"value": anew.to_string()});
    server.client().put(&credential, &body).await.expect(200);
    let read = server.client().get(&credential).await.expect(200);
    assert!(
        read.get("expired_at").is_none() && read.get("expired_reason").is_none(),
        "{read}"
    );
}
