//! CLIs that can be spoken to: through a pipe, by hand, and as the runtime of a session.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use aod_e2e::{MODEL_HOST, Runtimes, Server, ServerOptions, Session, cli_if_installed};
use aod_standin::{Options, Standin};
use serde_json::json;

/// A CLI that can be spoken to.
pub(crate) struct Dialogue {
    pub(crate) runtime: &'static str,
    model: &'static str,
    /// The variable of its key.
    key: &'static str,
    /// The variable of its model's address.
    endpoint: &'static str,
    /// Its arguments, and what must be in its environment besides.
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
    /// What is said before the first prompt; what it needs to remember is `Pipe::session`.
    open: fn(&mut Pipe),
    /// The line that asks.
    ask: fn(&Pipe, &str) -> String,
    /// Whether a line is the last one of a turn.
    is_over: fn(&str) -> bool,
}

const DIALOGUES: &[Dialogue] = &[Dialogue {
    runtime: "claude",
    model: "anthropic/claude-sonnet-4-6",
    key: "ANTHROPIC_API_KEY",
    endpoint: "ANTHROPIC_BASE_URL",
    args: &[
        "--print",
        "--input-format",
        "stream-json",
        "--output-format",
        "stream-json",
        "--verbose",
        "--include-partial-messages",
        "--dangerously-skip-permissions",
        "--model",
        "claude-sonnet-4-6",
    ],
    env: &[
        ("IS_SANDBOX", "1"),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
    ],
    open: |_| {},
    ask: |_, text| {
        let message = json!({"role": "user", "content": text});
        json!({"type": "user", "message": message, "parent_tool_use_id": null, "session_id": ""})
            .to_string()
    },
    is_over: |line| line.contains("session_state_changed") && line.contains("\"idle\""),
}];

/// The dialogues whose CLIs are installed, with these.
pub(crate) fn installed() -> impl Iterator<Item = (&'static Dialogue, PathBuf)> {
    DIALOGUES.iter().filter_map(|dialogue| {
        let cli = cli_if_installed(dialogue.runtime);
        if cli.is_none() {
            eprintln!("{} is not installed: no row for it", dialogue.runtime);
        }
        Some((dialogue, cli?))
    })
}

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
        let options = ServerOptions::new(Runtimes::vendor(dialogue.runtime));
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
    /// What the opening has found out.
    #[allow(dead_code, reason = "for CLIs whose session has a name")]
    session: String,
}

impl Pipe {
    fn start(dialogue: &Dialogue, cli: &Path, model: &Standin, folder: &Path) -> Self {
        let (home, workspace) = (folder.join("home"), folder.join("workspace"));
        for folder in [&home, &workspace] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let mut child = Command::new(cli)
            .args(dialogue.args)
            .env_clear()
            .envs(dialogue.env.iter().copied())
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", home)
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
        }
    }

    fn write(&mut self, line: &str) {
        self.stdin
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
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
