//! OAuth tokens that expire: renewed by the host alone, and never in a sandbox.

use std::fs;
use std::process::{Child, Command};

use aod_e2e::{Runtimes, Server, ServerOptions, Session, files_with, start};
use serde_json::{Value, json};

const CREDENTIAL: &str = "env:ACME_TOKEN";
/// Says to the login's server who it is.
const WHO: &str =
    r#"curl -s -H "Authorization: Bearer $ACME_TOKEN" https://login.test/whoami; env"#;

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
    let body = json!({"agent_id": agent, "prompt": WHO});
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
