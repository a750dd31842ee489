//! A follow-up prompt to a process that stays, until the first word of its answer: through the
//! server, against the same CLI spoken to through a pipe.
//!
//! A runtime that can be spoken to is a [`Dialogue`]: how its CLI is started and spoken to by
//! hand. One whose CLI is not installed is left out.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use aod_e2e::{MODEL_HOST, Runtimes, Server, ServerOptions, Session, cli_if_installed};
use aod_standin::{Options, Standin};
use serde_json::json;

use crate::{median, milliseconds, row};

const ROUNDS: usize = 20;
const PROMPT: &str = "[[words 3]]";
/// What the first piece of the answer says, and nothing before it.
const FIRST: &str = "word1 ";

/// A CLI that can be spoken to.
struct Dialogue {
    runtime: &'static str,
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

pub(crate) async fn measure() {
    for dialogue in DIALOGUES {
        match cli_if_installed(dialogue.runtime) {
            Some(cli) => compare(dialogue, &cli).await,
            None => eprintln!("{} is not installed: no row for it", dialogue.runtime),
        }
    }
}

async fn compare(dialogue: &Dialogue, cli: &Path) {
    let model = Standin::start(Options::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut pipe = Pipe::start(dialogue, cli, &model, folder.path());
    (dialogue.open)(&mut pipe);
    tokio::task::block_in_place(|| pipe.turn(dialogue));
    let options = ServerOptions::new(Runtimes::vendor(dialogue.runtime));
    let server = Server::start(options.set("AOD_LIVE__IDLE", "600s")).await;
    let (session, mut last) = begin(&server, dialogue, &model).await;
    let (mut through, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(tokio::task::block_in_place(|| pipe.turn(dialogue)));
        let took;
        (took, last) = turn(&session, last).await;
        through.push(took);
    }
    assert_eq!(server.supervisors().len(), 1, "it was one process");
    let (through, bare) = (median(through), median(bare));
    row(
        &format!(
            "a follow-up prompt of `{}` to the first word of its answer",
            dialogue.runtime
        ),
        &milliseconds(through),
        &format!("the CLI itself, spoken to, {}", milliseconds(bare)),
        &format!("{:.2}×", through.as_secs_f64() / bare.as_secs_f64()),
        "≤ 1.3×",
    );
}

/// Starts a session and waits for its first turn's end. Returns the last event's id, too.
async fn begin(server: &Server, dialogue: &Dialogue, model: &Standin) -> (Session, u64) {
    let client = server.client();
    let agent = json!({"name": "a", "runtime": dialogue.runtime, "model": dialogue.model});
    let agent = client.create_agent(&agent).await;
    let variables = json!({dialogue.key: "sk-bench", dialogue.endpoint: model.url_at(MODEL_HOST)});
    let environment = json!({"name": "e", "env_vars": variables});
    let environment = client.create_environment(&environment).await;
    let body = json!({"agent_id": agent, "environment_id": environment, "prompt": PROMPT});
    let session = client.create_session(&body).await;
    let ended = session.ended().await.completed();
    let last = ended.last().id().unwrap();
    (session, last)
}

/// Asks, and returns how long it took to the first word of the answer, and the last event's id.
async fn turn(session: &Session, last: u64) -> (Duration, u64) {
    let begun = Instant::now();
    session.prompt(PROMPT).await;
    let mut stream = session.client.stream_after(&session.id, last).await;
    let says = |data: &str| data.contains(FIRST);
    stream
        .until(|event| event.data["data"].as_str().is_some_and(says))
        .await;
    let took = begun.elapsed();
    let rest = stream.rest().await;
    (took, rest.last().and_then(|event| event.id()).unwrap())
}

/// A CLI on a pipe.
struct Pipe {
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

    fn until(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let mut lines = self.lines.by_ref().map(Result::unwrap);
        lines.find(|line| wanted(line)).expect("the CLI has ended")
    }

    /// Asks, and returns how long it took to the first word of the answer.
    fn turn(&mut self, dialogue: &Dialogue) -> Duration {
        let line = (dialogue.ask)(self, PROMPT);
        let begun = Instant::now();
        self.write(&line);
        self.until(|line| line.contains(FIRST));
        let took = begun.elapsed();
        self.until(dialogue.is_over);
        took
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
