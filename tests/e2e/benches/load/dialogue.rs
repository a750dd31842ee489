//! A CLI that can be spoken to: through a pipe, by hand, and as the runtime of a session.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use aod_e2e::{MODEL_HOST, Server, Session, path_of_claude};
use aod_standin::{Options, Standin};
use serde_json::json;

use crate::clis::Dialogue;
use crate::options;

/// The same CLI twice: as a session's runtime, and spoken to by hand.
pub(crate) struct Pair {
    pub(crate) server: Server,
    pub(crate) session: Session,
    /// The id of the session's last event.
    pub(crate) last: u64,
    pub(crate) pipe: Pipe,
    _model: Standin,
    _folder: tempfile::TempDir,
}

impl Pair {
    pub(crate) async fn start(dialogue: &Dialogue, cli: &Path) -> Self {
        let model = Standin::start(Options::default()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut pipe = Pipe::start(dialogue, cli, &model, folder.path());
        (dialogue.open)(&mut pipe);
        let options = options(dialogue.runtimes());
        let server = Server::start(options.set("AOD_LIVE__IDLE", "600s")).await;
        let (session, last) = begin(&server, dialogue, &model).await;
        Self {
            server,
            session,
            last,
            pipe,
            _model: model,
            _folder: folder,
        }
    }
}

/// Starts a session and waits for its first turn's end. Returns the last event's id, too.
async fn begin(server: &Server, dialogue: &Dialogue, model: &Standin) -> (Session, u64) {
    let client = server.client();
    let agent = json!({"name": "a", "runtime": dialogue.runtime, "model": dialogue.model});
    let agent = client.create_agent(&agent).await;
    let variables = json!({dialogue.key: "sk-bench", dialogue.endpoint: model.url_at(MODEL_HOST)});
    let environment = json!({"name": "e", "env_vars": variables});
    let environment = client.create_environment(&environment).await;
    let body = json!({"agent_id": agent, "environment_id": environment, "prompt": "hello"});
    let session = client.create_session(&body).await;
    let ended = session.ended().await.completed();
    let last = ended.last().id().unwrap();
    (session, last)
}

/// A CLI on a pipe.
pub(crate) struct Pipe {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// The name that the CLI gave to the session, where one is to be named with each prompt.
    pub(crate) session: String,
    /// Where the CLI works.
    pub(crate) workspace: String,
}

impl Pipe {
    fn start(dialogue: &Dialogue, cli: &Path, model: &Standin, folder: &Path) -> Self {
        let (home, workspace) = (folder.join("home"), folder.join("workspace"));
        for folder in [&home, &workspace] {
            std::fs::create_dir_all(folder).unwrap();
        }
        for (path, text) in dialogue.files {
            let path = home.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text.replace("{url}", &model.url())).unwrap();
        }
        let workspace_path = workspace.to_str().unwrap().to_owned();
        let mut child = Command::new(cli)
            .args(dialogue.args)
            .env_clear()
            .envs(dialogue.env.iter().copied())
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", &home)
            .env("OPENCODE_CONFIG", home.join("opencode.json"))
            .env("CLAUDE_CODE_EXECUTABLE", path_of_claude())
            .env(dialogue.key, "sk-bench")
            .env(dialogue.endpoint, model.url())
            .current_dir(workspace)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            stdin,
            lines,
            session: String::new(),
            workspace: workspace_path,
        }
    }

    pub(crate) fn write(&mut self, line: &str) {
        self.stdin
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    /// Writes a request, and returns the reply to it.
    pub(crate) fn request(&mut self, request: &serde_json::Value) -> serde_json::Value {
        self.write(&request.to_string());
        for line in self.lines.by_ref().map(Result::unwrap) {
            let Ok(reply) = serde_json::from_str::<serde_json::Value>(&line) else {
                continue;
            };
            if reply["id"] == request["id"] && reply["method"].is_null() {
                assert!(reply["error"].is_null(), "{request}: {reply}");
                return reply["result"].clone();
            }
        }
        panic!("the CLI has ended");
    }

    /// Asks, and returns when the first line came that is `wanted`, and when the last.
    pub(crate) fn ask(
        &mut self,
        dialogue: &Dialogue,
        prompt: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> (Instant, Instant) {
        let line = (dialogue.ask)(self, prompt);
        self.write(&line);
        let mut seen = None;
        for line in self.lines.by_ref().map(Result::unwrap) {
            if wanted(&line) {
                let now = Instant::now();
                seen = Some((seen.map_or(now, |(first, _)| first), now));
            }
            if (dialogue.is_over)(&line) {
                return seen.expect("the answer has what was waited for");
            }
        }
        panic!("the CLI has ended");
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
