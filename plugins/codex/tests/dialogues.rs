//! Dialogues with the real app server of Codex 0.169.0, played again: what it wrote, and the same
//! inputs at the same places.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;

use aod_plugin_codex::Codex;
use aod_plugin_sdk::testing::{
    Dialogue, Recording, context, dialogues, exit, laws, mcp_server, prompt, replay,
    restarts_change_nothing, setting, written,
};
use aod_plugin_sdk::{
    Action, Answer, Block, Context, Driver, EventBody, Fork, InjectMode, Injection, Input, Origin,
    OutputSource, Reaction,
};
use serde_json::{Value, json};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dialogues");

struct Player {
    driver: Driver<Codex>,
    context: Context,
    /// Requests that the adapter has written, and no recorded one has been matched with.
    written: VecDeque<(String, Value)>,
    /// The adapter's ids of recorded requests.
    ids: HashMap<String, Value>,
    /// Replies to requests that were not recorded, and that matter to nothing.
    replies: VecDeque<Value>,
    question: Option<String>,
    turn: u32,
    policy: Option<String>,
    /// Whether a new conversation goes on from the state after each turn.
    restarts: bool,
    told: String,
}

impl Player {
    fn new(resumed: Option<String>, restarts: bool) -> Self {
        let mut context = context("openai/gpt-4.1");
        context.live = true;
        context.secrets = vec!["OPENAI_API_KEY".to_owned()];
        context.mcp_servers = ["notes", "slow", "bad", "un"].map(mcp_server).into();
        if let Some(token) = resumed {
            context.origin = Origin::Resume(token);
        }
        Self {
            driver: Driver::new(context.clone(), None),
            context,
            written: VecDeque::from([("initialize".to_owned(), json!(0))]),
            ids: HashMap::new(),
            replies: VecDeque::new(),
            question: None,
            turn: 0,
            policy: None,
            restarts,
            told: String::new(),
        }
    }

    fn take(&mut self, reaction: Reaction) {
        let mut is_over = false;
        for action in reaction.actions {
            // Writing to a string cannot fail.
            let _ = match &action {
                Action::WriteStdin(fragments) => {
                    let line = written(fragments);
                    let message: Value = serde_json::from_str(&line).unwrap();
                    if let (Some(id), Some(method)) = (message.get("id"), message.get("method")) {
                        match method.as_str().unwrap() {
                            "thread/unsubscribe" => {
                                self.replies.push_back(json!({"id": id, "result": {}}));
                            }
                            method => self.written.push_back((method.to_owned(), id.clone())),
                        }
                    }
                    write!(self.told, "> {line}")
                }
                Action::Emit(event) => {
                    let inside = event.inside.as_deref().map(|id| format!(" inside {id}"));
                    let inside = inside.unwrap_or_default();
                    writeln!(self.told, "{:?}{inside} ({:?})", event.body, event.turn)
                }
                Action::Ask(question) => {
                    self.question = Some(question.id.clone());
                    writeln!(self.told, "{action:?}")
                }
                other => {
                    is_over |= matches!(other, Action::EndTurn);
                    writeln!(self.told, "{other:?}")
                }
            };
        }
        while let Some(reply) = self.replies.pop_front() {
            self.feed(&reply);
        }
        if is_over && self.restarts {
            let state = self.driver.state();
            assert!(
                state.as_ref().is_some_and(|state| state.len() < 65_536),
                "{}",
                self.told
            );
            self.driver = Driver::new(self.context.clone(), state);
        }
    }

    fn receive(&mut self, input: Input) {
        let reaction = self.driver.receive(input);
        self.take(reaction);
    }

    fn feed(&mut self, line: &Value) {
        let reaction = self.driver.feed(OutputSource::Stdout, &format!("{line}\n"));
        self.take(reaction);
    }

    /// A prompt as the recording has it, or as its thread is begun with where it has none yet.
    fn prompt(&mut self, line: &Value) {
        self.turn += 1;
        let text = line["params"]["input"][0]["text"].as_str();
        let mut prompt = prompt(text.unwrap_or("hello"));
        prompt.turn = self.turn;
        let schema = &line["params"]["outputSchema"];
        prompt.output_schema = schema.is_object().then(|| schema.to_string());
        if let Some(policy) = &self.policy {
            prompt.settings = vec![setting("permission_mode", &format!("\"{policy}\""))];
        }
        let _ = writeln!(self.told, "\n== turn {}", self.turn);
        self.receive(Input::Prompt(prompt));
    }

    fn said(&mut self, line: &Value) {
        let params = &line["params"];
        match (line["method"].as_str(), line.get("id")) {
            (Some("initialized"), _) => {}
            (Some(method), Some(id)) => {
                match method {
                    "turn/start" if self.turn == 0 || self.written.is_empty() => self.prompt(line),
                    "turn/interrupt" => self.receive(Input::Interrupt),
                    "turn/steer" => {
                        let text = params["input"][0]["text"].as_str().unwrap();
                        self.receive(Input::Inject(Injection {
                            id: "more".to_owned(),
                            blocks: vec![Block::Text(text.to_owned())],
                            mode: InjectMode::Steer,
                        }));
                    }
                    "thread/fork" => self.receive(Input::Fork(Fork {
                        id: "copy".to_owned(),
                        after_turn: None,
                    })),
                    _ => {}
                }
                let (there, ours) = self.written.pop_front().unwrap();
                assert_eq!(there, method, "{}", self.told);
                self.ids.insert(id.to_string(), ours);
            }
            (None, _) => {
                let Some(question) = self.question.take() else {
                    return;
                };
                let result = &line["result"];
                let value = match result["_meta"]["persist"].as_str() {
                    Some(_) => "acceptForSession",
                    None => result["decision"]
                        .as_str()
                        .or(result["action"].as_str())
                        .unwrap(),
                };
                self.receive(Input::Answer(Answer {
                    question,
                    value: value.to_owned(),
                    edited_input: None,
                    message: None,
                    by_default: false,
                }));
            }
            _ => {}
        }
    }

    fn heard(&mut self, mut line: Value) {
        if line.get("method").is_none()
            && let Some(id) = line.get("id")
        {
            let Some(ours) = self.ids.remove(&id.to_string()) else {
                return;
            };
            line["id"] = ours;
        }
        self.feed(&line);
    }
}

/// Whether keys keep their order depends on what else is built.
fn sorted(mut record: Value) -> Value {
    record.sort_all_objects();
    record
}

/// The first recorded prompt is given before the server has said anything, as a host does; where
/// none was recorded, any.
fn play(dialogue: &Dialogue, restarts: bool) -> String {
    let recorded = dialogue.read();
    let records: Vec<Value> = recorded
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .map(sorted)
        .collect();
    let said = |method: &str| {
        let mut said = records.iter().filter(|record| record["dir"] == "in");
        said.find(|record| record["line"]["method"] == method)
            .map(|record| &record["line"])
    };
    let resumed = said("thread/resume");
    let token = resumed.map(|line| {
        let thread = line["params"]["threadId"].as_str().unwrap();
        format!("{thread} 44 0 28 0 0")
    });
    let mut player = Player::new(token, restarts);
    let policy = said("thread/start").map(|line| &line["params"]["approvalPolicy"]);
    player.policy = policy.and_then(|policy| policy.as_str()).map(str::to_owned);
    let mut first = said("turn/start").cloned();
    player.prompt(first.as_ref().unwrap_or(&Value::Null));
    for record in &records {
        let line = &record["line"];
        match record["dir"].as_str() {
            Some("in") if line["method"] == "turn/start" => {
                if first.take().is_some() {
                    // It is written once the thread is open.
                    let (there, ours) = player.written.pop_front().unwrap();
                    assert_eq!(there, "turn/start");
                    player.ids.insert(line["id"].to_string(), ours);
                } else {
                    player.said(line);
                }
            }
            Some("in") => player.said(line),
            Some("out") => player.heard(line.clone()),
            Some("err") => {
                let line = format!("{}\n", line.as_str().unwrap());
                let reaction = player.driver.feed(OutputSource::Stderr, &line);
                player.take(reaction);
            }
            other => panic!("{other:?}"),
        }
    }
    player.receive(Input::Close);
    let reaction = player.driver.finish(exit(0));
    player.take(reaction);
    player.told
}

#[test]
fn recorded_dialogues() {
    for dialogue in dialogues(FOLDER) {
        insta::assert_snapshot!(dialogue.name.clone(), play(&dialogue, false));
    }
}

#[test]
fn a_restart_between_turns_changes_nothing() {
    restarts_change_nothing(FOLDER, &["unknown"], play);
}

/// All that the server wrote, as one process with one prompt.
fn recording(dialogue: &Dialogue) -> Recording {
    let (mut stdout, mut stderr) = (String::new(), String::new());
    for record in dialogue.read().lines() {
        let mut record: Value = serde_json::from_str(record).unwrap();
        let mut line = record["line"].take();
        match record["dir"].as_str() {
            Some("out") => {
                // The recorded requests were numbered from 1.
                if let (None, Some(id)) = (line.get("method"), line["id"].as_u64()) {
                    line["id"] = json!(id - 1);
                }
                stdout += &format!("{line}\n");
            }
            Some("err") => stderr += &format!("{}\n", line.as_str().unwrap()),
            _ => {}
        }
    }
    Recording {
        name: dialogue.name.clone(),
        stdout,
        stderr,
        exit: exit(0),
    }
}

#[test]
fn the_laws_hold() {
    let recordings: Vec<_> = dialogues(FOLDER).iter().map(recording).collect();
    let mut facts = context("openai/gpt-4.1");
    facts.live = true;
    facts.secrets = vec!["OPENAI_API_KEY".to_owned()];
    facts.mcp_servers = vec![mcp_server("notes")];
    let asked = prompt("x");
    // The answer is there: it is not the damage alone that is read.
    let whole = recordings.iter().find(|it| it.name == "turns");
    let replay = replay::<Codex>(facts.clone(), asked.clone(), whole.unwrap(), []);
    assert!(
        replay.events().any(
            |event| matches!(event, EventBody::TurnResult(result) if result.failure.is_none())
        ),
        "{replay:#?}"
    );
    laws::<Codex>(&facts, &asked, &recordings);
}
