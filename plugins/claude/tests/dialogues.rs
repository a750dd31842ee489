//! Dialogues with the real CLI (2.1.331), played again: what it wrote, and the same inputs at the
//! same places. What the adapter writes must be what the CLI was told then.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::VecDeque;
use std::fmt::Write as _;

use aod_plugin_claude::Claude;
use aod_plugin_sdk::testing::{
    Dialogue, context, dialogues, exit, prompt, restarts_change_nothing, setting, written,
};
use aod_plugin_sdk::{
    Action, Answer, Attachment, Block, Context, Driver, Event, EventBody, Fork, InjectMode,
    Injection, Input, Origin, OutputSource, Prompt, Reaction, Stdin, TurnReference, prepare,
};
use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dialogues");

/// A host keeps no longer state than this.
const LONGEST_STATE: usize = 64 * 1024;

struct Player {
    driver: Driver<Claude>,
    context: Context,
    /// Lines that the adapter has written, and no recorded one has been held against.
    written: VecDeque<Value>,
    questions: VecDeque<String>,
    turn: u32,
    /// Whether a new conversation goes on from the state after each turn.
    restarts: bool,
    told: String,
}

impl Player {
    fn new(argv: &Value, restarts: bool) -> Self {
        let mut context = context("anthropic/claude-sonnet-4-6");
        context.live = true;
        let argv: Vec<&str> = argv
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        if let Some(at) = argv.iter().position(|word| *word == "--resume") {
            context.origin = Origin::Resume(format!("{} 0.5", argv[at + 1]));
        }
        Self {
            driver: Driver::new(context.clone(), None),
            context,
            written: VecDeque::new(),
            questions: VecDeque::new(),
            turn: 0,
            restarts,
            told: String::new(),
        }
    }

    fn write(&mut self, text: &str) {
        for line in text.lines() {
            let _ = writeln!(self.told, "> {line}");
            self.written.push_back(serde_json::from_str(line).unwrap());
        }
    }

    fn take(&mut self, reaction: Reaction) {
        let mut is_over = false;
        for action in reaction.actions {
            // Writing to a string cannot fail.
            let _ = match &action {
                Action::WriteStdin(fragments) => {
                    self.write(&written(fragments));
                    Ok(())
                }
                Action::Emit(Event {
                    body, turn, inside, ..
                }) => {
                    assert_eq!(*turn, TurnReference::Current);
                    assert!(!matches!(body, EventBody::Unparsed(_)), "{body:?}");
                    let inside = inside.as_deref().map(|id| format!(" inside {id}"));
                    writeln!(self.told, "{body:?}{}", inside.unwrap_or_default())
                }
                Action::Ask(question) => {
                    self.questions.push_back(question.id.clone());
                    writeln!(self.told, "{action:?}")
                }
                Action::Withdraw(id) => {
                    self.questions.retain(|question| question != id);
                    writeln!(self.told, "{action:?}")
                }
                // Each line while something is waited for asks anew.
                Action::WakeAfter(_) => Ok(()),
                other => {
                    is_over = matches!(other, Action::EndTurn) || is_over;
                    is_over &= !matches!(other, Action::OpenTurn(_));
                    writeln!(self.told, "{other:?}")
                }
            };
        }
        if is_over && self.restarts {
            let state = self.driver.state();
            assert!(state.as_ref().is_some_and(|it| it.len() <= LONGEST_STATE));
            self.driver = Driver::new(self.context.clone(), state);
        }
    }

    fn receive(&mut self, input: Input) {
        let reaction = self.driver.receive(input);
        self.take(reaction);
    }

    fn prompt(&mut self, record: &Value) {
        self.turn += 1;
        let mut prompt = prompt(record["text"].as_str().unwrap());
        prompt.turn = self.turn;
        prompt.turn_id = record["turn_id"].as_str().unwrap().to_owned();
        let settings = record["settings"].as_object().unwrap();
        prompt.settings = settings
            .iter()
            .map(|(id, value)| setting(id, &value.to_string()))
            .collect();
        if record["image"] == true {
            prompt.blocks.push(Block::Image(Attachment {
                id: "picture".to_owned(),
                name: "picture.png".to_owned(),
                media_type: "image/png".to_owned(),
                path: "/workspace/picture.png".to_owned(),
                size: 1,
            }));
        }
        let _ = writeln!(self.told, "\n== turn {}", self.turn);
        if self.turn == 1 {
            self.launch(&prompt);
        }
        self.receive(Input::Prompt(prompt));
    }

    fn launch(&mut self, prompt: &Prompt) {
        match prepare::<Claude>(&self.context, prompt).unwrap().stdin {
            Stdin::Open(first) => self.write(&written(&first)),
            other => panic!("{other:?}"),
        }
    }

    /// What the host told the adapter then.
    fn done(&mut self, record: &Value) {
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        match record["do"].as_str().unwrap() {
            "prompt" => self.prompt(record),
            "inject" => {
                let mode = match record["mode"].as_str().unwrap() {
                    "queue" => InjectMode::Queue,
                    "now" => InjectMode::Now,
                    _ => InjectMode::Steer,
                };
                self.receive(Input::Inject(Injection {
                    id: text("id"),
                    blocks: vec![Block::Text(text("text"))],
                    mode,
                }));
            }
            "cancel" => self.receive(Input::Cancel(text("id"))),
            "interrupt" => {
                self.receive(Input::Interrupt);
                // As a host does by itself.
                self.questions.clear();
            }
            "answer" => {
                let question = self.questions.pop_front().unwrap();
                self.receive(Input::Answer(Answer {
                    question,
                    value: text("value"),
                    edited_input: record.get("edited").map(Value::to_string),
                    message: record["message"].as_str().map(str::to_owned),
                    by_default: record["by_default"] == true,
                }));
            }
            "tick" => {
                let reaction = self.driver.tick(record["ms"].as_u64().unwrap());
                self.take(reaction);
            }
            "close" => {
                self.receive(Input::Fork(Fork {
                    id: "copy".to_owned(),
                    after_turn: None,
                }));
                self.receive(Input::Close);
            }
            other => panic!("{other}"),
        }
    }

    /// What the CLI was told then.
    fn was_told(&mut self, mut line: Value) {
        let data = line.pointer_mut("/message/content/1/source/data");
        if let Some(data) = data {
            *data = Value::from("<attachment picture>");
        }
        let ours = self.written.pop_front();
        assert_eq!(ours, Some(line), "{}", self.told);
    }
}

/// Whether keys keep their order depends on what else is built.
fn sorted(mut record: Value) -> Value {
    record.sort_all_objects();
    record
}

fn play(dialogue: &Dialogue, restarts: bool) -> String {
    let recording = dialogue.read();
    let mut records = recording
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(sorted);
    let mut player = Player::new(&records.next().unwrap()["argv"], restarts);
    for mut record in records {
        match record["dir"].as_str().unwrap() {
            "do" => player.done(&record),
            "in" => player.was_told(record["line"].take()),
            _ => {
                let line = format!("{}\n", record["line"]);
                let reaction = player.driver.feed(OutputSource::Stdout, &line);
                player.take(reaction);
            }
        }
    }
    assert!(player.written.is_empty(), "{:?}", player.written);
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
    restarts_change_nothing(FOLDER, &[], play);
}
