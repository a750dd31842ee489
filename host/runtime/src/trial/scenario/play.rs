//! Playing a scenario.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::step::Step;
use crate::adapter::Adapter;
use crate::conversation::Conversation;
use crate::error::AdapterError;
use crate::trial::cases::first;
use crate::types::{
    Action, Context, Fragment, Input, Item, OutputSource, Reaction, Stdin, TurnReference,
};

/// When a new instance goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restarts {
    None,
    /// At the end of each turn: from the state that the last one gave, or told everything anew.
    BetweenTurns,
}

/// All that came of it: events, actions and lines of stdin, in order.
pub(super) type Played = Vec<Value>;

/// Plays the steps until one of them does not find what it expects; the error says which.
pub(super) fn play(
    adapter: &Adapter,
    steps: &[Step],
    restarts: Restarts,
) -> Result<Played, String> {
    let (mut context, _) = first(adapter);
    let mut player = None;
    let mut turn = 0;
    for (at, step) in steps.iter().enumerate() {
        let named = |problem: String| format!("step {} ({}): {problem}", at + 1, name(step));
        if let (0, Step::Start(start)) = (at, step) {
            start.apply(&mut context);
            continue;
        }
        turn += u32::from(step.is_prompt());
        let player = match &mut player {
            Some(player) => player,
            empty => empty.insert(Player::begin(adapter, &context, step).map_err(named)?),
        };
        player.take(step, turn).map_err(named)?;
        if restarts == Restarts::BetweenTurns && player.turn_ended {
            player.turn_ended = false;
            player.restart(adapter, &context).map_err(named)?;
        }
    }
    Ok(player.map(|player| player.all).unwrap_or_default())
}

struct Player {
    /// None once the process has ended.
    conversation: Option<Conversation>,
    /// All that it was told, for an instance without a state.
    told: Vec<Told>,
    turn_ended: bool,
    /// What no step has asked for yet.
    events: VecDeque<Value>,
    actions: VecDeque<Value>,
    stdin: VecDeque<String>,
    /// The beginning of a line of stdin.
    begun: String,
    all: Played,
}

#[derive(Clone)]
enum Told {
    Input(Input),
    Lines(OutputSource, String),
    Tick(u64),
}

impl Player {
    /// Starts the process with its first prompt.
    fn begin(adapter: &Adapter, context: &Context, step: &Step) -> Result<Self, String> {
        let Some(Input::Prompt(prompt)) = step.input(1) else {
            return Err("a conversation begins with a prompt".to_owned());
        };
        let launch = adapter.prepare(context, &prompt).map_err(text)?;
        let mut player = Self {
            conversation: Some(adapter.converse(context, None).map_err(text)?),
            told: Vec::new(),
            turn_ended: false,
            events: VecDeque::new(),
            actions: VecDeque::new(),
            stdin: VecDeque::new(),
            begun: String::new(),
            all: Vec::new(),
        };
        if let Stdin::Text(stdin) | Stdin::Open(stdin) = &launch.stdin {
            player.write(stdin);
        }
        Ok(player)
    }

    fn take(&mut self, step: &Step, turn: u32) -> Result<(), String> {
        match step {
            Step::Start(_) => return Err("only the first step says how it starts".to_owned()),
            Step::Stdout(line) => self.feed(OutputSource::Stdout, line)?,
            Step::Stderr(line) => self.feed(OutputSource::Stderr, line)?,
            Step::Tick(elapsed) => self.tell(Told::Tick(*elapsed))?,
            Step::Exit(exit) => {
                let conversation = self.conversation.take().ok_or("the process has ended")?;
                let reaction = conversation.finish(&exit.exit()).map_err(text)?;
                self.react(reaction);
            }
            Step::Event(wanted) => find(&mut self.events, wanted, "event")?,
            Step::Action(wanted) => find(&mut self.actions, wanted, "action")?,
            Step::Stdin(wanted) => {
                let line = self.stdin.pop_front();
                let line = line.ok_or("nothing more was written to stdin")?;
                let matches = match wanted {
                    Value::String(text) => *text == line,
                    wanted => serde_json::from_str(&line).is_ok_and(|line| has(&line, wanted)),
                };
                if !matches {
                    return Err(format!("stdin has {line}"));
                }
            }
            step => {
                if let Some(input) = step.input(turn) {
                    self.tell(Told::Input(input))?;
                }
            }
        }
        Ok(())
    }

    fn feed(&mut self, source: OutputSource, line: &Value) -> Result<(), String> {
        let line = match line {
            Value::String(line) => format!("{line}\n"),
            value => format!("{value}\n"),
        };
        self.tell(Told::Lines(source, line))
    }

    fn tell(&mut self, told: Told) -> Result<(), String> {
        let conversation = self.conversation.as_mut().ok_or("the process has ended")?;
        let reaction = hand_over(conversation, &told).map_err(text)?;
        self.told.push(told);
        self.react(reaction);
        Ok(())
    }

    fn react(&mut self, reaction: Reaction) {
        for action in reaction.actions {
            let (name, mut fields) = match action {
                Action::Emit(emitted) => {
                    let mut event = json!(emitted.body);
                    if let Some(inside) = emitted.inside {
                        event["inside"] = inside.into();
                    }
                    match emitted.item {
                        Item::Whole(item) => event["item"] = item.into(),
                        Item::About(item) => {
                            if let Some(event) = event.as_object_mut() {
                                event.remove("message");
                            }
                            event["item"] = item.into();
                        }
                        Item::TurnTotal => event["counts"] = "turn_total".into(),
                        Item::None => {}
                    }
                    match emitted.turn {
                        TurnReference::Current => {}
                        TurnReference::Number(turn) => event["turn"] = turn.into(),
                        TurnReference::None => event["turn"] = Value::Null,
                    }
                    self.all.push(event.clone());
                    self.events.push_back(event);
                    continue;
                }
                Action::WriteStdin(fragments) => {
                    self.write(&fragments);
                    continue;
                }
                Action::Remember(token) => ("remember", json!({ "token": token })),
                Action::Forget => ("forget", json!({})),
                Action::CloseStdin => ("close_stdin", json!({})),
                Action::Ask(question) => ("ask", json!(question)),
                Action::Withdraw(question) => ("withdraw", json!({ "question": question })),
                Action::WakeAfter(ms) => ("wake_after", json!({ "milliseconds": ms })),
                Action::OpenTurn(cause) => ("open_turn", json!({ "cause": cause })),
                Action::EndTurn => {
                    self.turn_ended = true;
                    ("end_turn", json!({}))
                }
                Action::Close => ("close", json!({})),
                Action::Injected(outcome) => {
                    let state = format!("{:?}", outcome.state)
                        .rsplit("::")
                        .next()
                        .unwrap_or_default()
                        .to_lowercase();
                    ("injected", json!({ "id": outcome.id, "state": state }))
                }
                Action::Forked(outcome) => (
                    "forked",
                    match outcome.token {
                        Ok(token) => json!({ "id": outcome.id, "token": token }),
                        Err(failure) => json!({ "id": outcome.id, "failure": failure }),
                    },
                ),
            };
            fields["action"] = name.into();
            self.all.push(fields.clone());
            self.actions.push_back(fields);
        }
    }

    /// Writes to stdin, with names in the place of secrets and attachments.
    fn write(&mut self, fragments: &[Fragment]) {
        for fragment in fragments {
            match fragment {
                Fragment::Text(text) => self.begun.push_str(text),
                Fragment::Secret(secret) => self.begun.push_str(&format!("<{}>", secret.name)),
                Fragment::Attachment(id) => self.begun.push_str(&format!("<attachment {id}>")),
            }
        }
        while let Some((line, rest)) = self.begun.split_once('\n') {
            let (line, rest) = (line.to_owned(), rest.to_owned());
            self.all.push(json!({ "stdin": line }));
            self.stdin.push_back(line);
            self.begun = rest;
        }
    }

    /// Goes on with a new instance, which does nothing once more.
    fn restart(&mut self, adapter: &Adapter, context: &Context) -> Result<(), String> {
        let Some(old) = &mut self.conversation else {
            return Ok(());
        };
        let state = old.state().map_err(text)?;
        let mut new = adapter.converse(context, state.as_deref()).map_err(text)?;
        if state.is_none() {
            for told in &self.told {
                hand_over(&mut new, told).map_err(text)?;
            }
        }
        self.conversation = Some(new);
        Ok(())
    }
}

fn hand_over(conversation: &mut Conversation, told: &Told) -> Result<Reaction, AdapterError> {
    match told {
        Told::Input(input) => conversation.receive(input),
        Told::Lines(source, lines) => conversation.feed(*source, lines),
        Told::Tick(elapsed) => conversation.tick(*elapsed),
    }
}

/// Takes the first that has these fields, and all before it.
fn find(
    queue: &mut VecDeque<Value>,
    wanted: &Map<String, Value>,
    what: &str,
) -> Result<(), String> {
    let wanted = Value::Object(wanted.clone());
    match queue.iter().position(|there| has(there, &wanted)) {
        Some(at) => {
            queue.drain(..=at);
            Ok(())
        }
        None => {
            let there: Vec<String> = queue.iter().map(Value::to_string).collect();
            let there = match there.is_empty() {
                true => "nothing".to_owned(),
                false => there.join(", "),
            };
            Err(format!("there is no such {what}, but {there}"))
        }
    }
}

/// Whether a value has all that is wanted: an object may have more fields.
fn has(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => wanted.iter().all(|(name, wanted)| {
            let there = there.get(name).unwrap_or(&Value::Null);
            has(there, wanted)
        }),
        (Value::Array(there), Value::Array(wanted)) => {
            there.len() == wanted.len() && there.iter().zip(wanted).all(|(a, b)| has(a, b))
        }
        (there, wanted) => there == wanted,
    }
}

fn text(error: AdapterError) -> String {
    error.to_string()
}

/// What a step is called in the file.
fn name(step: &Step) -> String {
    let shown = format!("{step:?}");
    let end = shown.find(|c: char| !c.is_alphanumeric());
    shown[..end.unwrap_or(shown.len())].to_lowercase()
}
