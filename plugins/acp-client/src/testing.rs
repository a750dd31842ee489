//! Recorded dialogues with real agents, for tests of adapters. With the feature `testing`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;

use aod_plugin_sdk::testing::{Dialogue, exit, prompt, written};
use aod_plugin_sdk::{
    Action, Adapter, Answer, Attachment, Block, Context, Driver, Input, OutputSource, Reaction,
    Setting,
};
use serde_json::{Value, json};

struct Player<A: Adapter> {
    driver: Driver<A>,
    context: Context,
    /// Requests that the adapter has written, and no recorded one has been matched with.
    written: VecDeque<(String, Value)>,
    /// The adapter's ids of recorded requests.
    ids: HashMap<String, Value>,
    question: Option<String>,
    turn: u32,
    /// The settings of every prompt.
    settings: Vec<Setting>,
    /// Whether a new conversation goes on from the state after each turn.
    restarts: bool,
    told: String,
}

impl<A: Adapter> Player<A> {
    fn new(context: Context, settings: Vec<Setting>, restarts: bool) -> Self {
        Self {
            driver: Driver::new(context.clone(), None),
            context,
            settings,
            written: VecDeque::from([("initialize".to_owned(), json!(0))]),
            ids: HashMap::new(),
            question: None,
            turn: 0,
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
                        let method = method.as_str().unwrap().to_owned();
                        self.written.push_back((method, id.clone()));
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

    fn said(&mut self, line: &Value, requests: &[&str]) {
        let method = line["method"].as_str();
        if method == Some("session/prompt") {
            self.turn += 1;
            let mut prompt = prompt("");
            prompt.settings.clone_from(&self.settings);
            prompt.turn = self.turn;
            let blocks = line["params"]["prompt"].as_array().unwrap();
            prompt.blocks = blocks.iter().map(block).collect();
            let _ = writeln!(self.told, "\n== turn {}", self.turn);
            if self.turn == 1 && self.written.front().is_some_and(|it| it.0 == "initialize") {
                self.receive(Input::Prompt(prompt));
                self.open(line["params"]["sessionId"].clone());
            } else if self.turn > 1 {
                self.receive(Input::Prompt(prompt));
            }
        }
        match (method, line.get("id")) {
            (Some("session/cancel"), _) => self.receive(Input::Interrupt),
            (Some(method), Some(id)) if requests.contains(&method) => {
                if method == "initialize" {
                    // Given before the agent has said anything, as a host does.
                    let mut first = prompt("hello");
                    first.settings.clone_from(&self.settings);
                    self.receive(Input::Prompt(first));
                }
                let (there, ours) = self.written.pop_front().unwrap();
                assert_eq!(there, method);
                self.ids.insert(id.to_string(), ours);
            }
            (None, _) => {
                let Some(question) = self.question.take() else {
                    return;
                };
                let outcome = &line["result"]["outcome"];
                let value = outcome["optionId"].as_str().unwrap_or("cancelled");
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

    /// For a recording that begins within a session.
    fn open(&mut self, session: Value) {
        let (_, id) = self.written.pop_front().unwrap();
        let agent = json!({"loadSession": true, "promptCapabilities": {"image": true}});
        let result = json!({"protocolVersion": 1, "agentCapabilities": agent});
        self.feed(&json!({"id": id, "result": result}));
        let (_, id) = self.written.pop_front().unwrap();
        self.feed(&json!({"id": id, "result": {"sessionId": session}}));
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

fn block(block: &Value) -> Block {
    match block["type"].as_str() {
        Some("image") => Block::Image(Attachment {
            id: "picture".to_owned(),
            name: "picture.png".to_owned(),
            media_type: block["mimeType"].as_str().unwrap().to_owned(),
            path: "/workspace/picture.png".to_owned(),
            size: 1,
        }),
        _ => Block::Text(block["text"].as_str().unwrap().to_owned()),
    }
}

/// Plays a dialogue: what the agent wrote, and the same inputs at the same places. Tells what the
/// adapter made of it and what it wrote.
///
/// `requests` are those of the recording that the adapter makes, too, in the same order; others
/// are left out, with their replies. With `restarts`, a new conversation goes on from the state
/// after each turn.
///
/// # Panics
///
/// When the adapter makes another request than is recorded.
#[must_use]
pub fn play<A: Adapter>(
    dialogue: &Dialogue,
    context: Context,
    settings: &[Setting],
    requests: &[&str],
    restarts: bool,
) -> String {
    let mut player = Player::<A>::new(context, settings.to_vec(), restarts);
    for line in dialogue.read().lines() {
        let mut record: Value = serde_json::from_str(line).unwrap();
        // Whether keys keep their order depends on what else is built.
        record.sort_all_objects();
        let line = record["line"].take();
        match record["dir"].as_str() {
            Some("in") => player.said(&line, requests),
            Some("out") => player.heard(line),
            _ => {}
        }
    }
    let reaction = player.driver.tick(1_000_000);
    player.take(reaction);
    player.receive(Input::Close);
    let reaction = player.driver.finish(exit(0));
    player.take(reaction);
    player.told
}
