//! What a CLI tells that is spoken to, by the Agent Client Protocol and by its companion.

use std::collections::HashMap;

use aod_acp::{Dialect, Turn};
use aod_plugin_sdk::failure::failure;
use aod_plugin_sdk::json::{Text, write_string};
use aod_plugin_sdk::mcp::ToolPrefixes;
use aod_plugin_sdk::{
    Block, Context, Failure, FailureKind, Level, Limit, Out, Prompt, StopKind, TodoItem, ToolCall,
    ToolKind, TurnResult, failed, stopped, text_of,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::attempts::{Attempts, used};
use crate::companion::Report;
use crate::outcome::{broken_off, is_noise};
use crate::tools::{self, Effect, prefix};

/// Commands that the CLI obeys when it is spoken to.
const COMMANDS: &[&str] = &["memory", "extensions", "init", "restore", "about", "help"];

/// A character without a width: what follows it is not at the beginning.
const WORD_JOINER: &str = "\u{2060}";

/// So many bytes of what it was asked and has forgotten are said to it again.
const MUCH: usize = 32 << 10;

/// What a CLI tells that is spoken to.
#[derive(Debug)]
pub struct Live {
    servers: ToolPrefixes,
    attempts: Attempts,
    /// What the calls do that are open.
    todos: HashMap<String, Vec<TodoItem>>,
    max_rounds: Option<u32>,
    /// The prompt, and whether anything was done for it.
    asked: String,
    has_calls: bool,
    /// Whether stderr tells an error that the reply has told.
    in_report: bool,
    memory: Memory,
}

/// What is to be known again after a restart of the host.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    /// Whether the companion is there.
    is_there: bool,
    /// Prompts that the CLI has forgotten, since they were stopped.
    forgotten: Vec<String>,
}

impl Live {
    pub(crate) fn new(context: &Context) -> Self {
        Self {
            servers: ToolPrefixes::new(&context.mcp_servers, prefix),
            attempts: Attempts::default(),
            todos: HashMap::new(),
            max_rounds: None,
            asked: String::new(),
            has_calls: false,
            in_report: false,
            memory: Memory::default(),
        }
    }

    fn request(&mut self, told: &Report<'_>, turn: &mut Turn, out: &mut Out) {
        for result in &told.results {
            let output = tools::output(&result.name, &result.output);
            turn.tools
                .answered(result.id.as_deref(), &result.name, &output, out);
        }
        if !std::mem::replace(&mut self.memory.is_there, true) {
            turn.tools.await_answers();
            told.tell_servers(self.servers.servers(), out);
        }
        if let Some(why) = self.attempts.request(told) {
            turn.texts.discard(&why, out);
        }
        if self
            .max_rounds
            .is_some_and(|most| self.attempts.rounds() > most)
        {
            let message = "the turn reached its limit of requests to the model";
            let result = TurnResult {
                failure: Some(failure(FailureKind::Limit, message)),
                ..stopped(StopKind::MaxRounds, "max_rounds")
            };
            turn.give_up(result, out);
        }
    }

    fn call(&mut self, told: &Report<'_>, turn: &mut Turn) {
        let input = told.input.map_or("{}", RawValue::get);
        turn.tools.expect(told.id.as_deref(), &told.name, input);
    }
}

impl Dialect for Live {
    fn notified(
        &mut self,
        method: &str,
        params: &RawValue,
        turn: &mut Turn,
        out: &mut Out,
    ) -> bool {
        let read = serde_json::from_str::<Report<'_>>(params.get());
        let (Ok(told), "_aod/model") = (read, method) else {
            return false;
        };
        match &*told.kind {
            "request" => self.request(&told, turn, out),
            "call" => self.call(&told, turn),
            "reply" => {
                if told.finish.is_some() {
                    turn.works();
                }
                self.attempts.reply(&told, &mut turn.ending);
                if let Some(counted) = told.usage {
                    out.usage(used(&told, counted));
                }
            }
            "failed" => {
                out.coded_notice(Level::Warning, "retry", &*told.message);
                self.attempts.failed(&told, &mut turn.ending);
            }
            _ => return false,
        }
        true
    }

    fn stderr(&mut self, line: &str, _: &mut Turn, out: &mut Out) {
        self.in_report |= line.starts_with("Error when talking to Gemini API");
        let is_reported = self.in_report && line.starts_with([' ', '}']);
        if is_noise(line) || is_reported {
            out.absorb();
        } else {
            out.stderr(line);
        }
    }

    fn tells_usage(&self) -> bool {
        self.memory.is_there
    }

    fn begin(&mut self, prompt: &Prompt) {
        self.attempts = Attempts::default();
        self.todos.clear();
        self.has_calls = false;
        self.in_report = false;
        self.asked = prompt.text();
        self.max_rounds = prompt.limits.iter().find_map(|limit| match limit {
            Limit::MaxRounds(rounds) => Some(*rounds),
            _ => None,
        });
    }

    /// What it has forgotten is said again; and nothing in a prompt is taken for a command.
    fn before(&mut self, blocks: &[Block]) -> Option<String> {
        let mut texts = std::mem::take(&mut self.memory.forgotten);
        let mut texts_of_prompt = blocks
            .iter()
            .take_while(|it| !matches!(it, Block::Image(_)));
        let first = texts_of_prompt
            .next()
            .map(|it| text_of(std::slice::from_ref(it)));
        let first = texts.first().or(first.as_ref())?;
        if is_command(first) {
            texts.insert(0, WORD_JOINER.to_owned());
        }
        let mut json = String::new();
        for text in &texts {
            json.push_str(if json.is_empty() { "" } else { "," });
            json.push_str("{\"type\":\"text\",\"text\":");
            write_string(&mut json, text);
            json.push('}');
        }
        (!json.is_empty()).then_some(json)
    }

    /// As in print mode, which says more of a call than the protocol does.
    fn call(&mut self, call: ToolCall) -> ToolCall {
        self.has_calls = true;
        let text = |text: &str| Text(text.to_owned().into());
        let (own, effect) = tools::call(
            &self.servers,
            text(&call.call_id),
            text(&call.name),
            &call.input,
        );
        if let Some(Effect::Todos(items)) = effect {
            self.todos.insert(call.call_id.clone(), items);
        }
        ToolCall {
            kind: match own.kind {
                ToolKind::Other => call.kind,
                kind => kind,
            },
            title: call.title.or(own.title),
            server: own.server.or(call.server),
            canonical_name: own.canonical_name.or(call.canonical_name),
            locations: match call.locations.is_empty() {
                true => own.locations,
                false => call.locations,
            },
            ..call
        }
    }

    fn called(&mut self, call_id: &str, is_error: bool, out: &mut Out) {
        if let (Some(items), false) = (self.todos.remove(call_id), is_error) {
            out.todo(items);
        }
    }

    fn failure(&mut self, failure: Failure) -> Failure {
        self.attempts.take_failure().unwrap_or(failure)
    }

    /// A reply that came to nothing is no end, though the CLI says that it is one.
    fn ends(&mut self, turn: &mut Turn, out: &mut Out) -> Option<TurnResult> {
        let why = self.attempts.take_broken();
        if turn.is_stopping() {
            return None;
        }
        let Some(why) = why else {
            return self.attempts.cut_off(out);
        };
        turn.texts.discard(&why, out);
        Some(failed(broken_off(&why)))
    }

    fn ended(&mut self, result: TurnResult) -> TurnResult {
        if result.stop == StopKind::Interrupted && !self.has_calls {
            let asked = std::mem::take(&mut self.asked);
            self.memory.forgotten.push(asked);
            while self.memory.forgotten.iter().map(String::len).sum::<usize>() > MUCH {
                self.memory.forgotten.remove(0);
            }
        }
        result
    }

    fn state(&self) -> Option<String> {
        serde_json::to_string(&self.memory).ok()
    }

    fn restore(&mut self, state: &str, turn: &mut Turn) {
        self.memory = serde_json::from_str(state).unwrap_or_default();
        if self.memory.is_there {
            turn.tools.await_answers();
        }
    }
}

fn is_command(text: &str) -> bool {
    let text = text.trim();
    let Some(command) = text.strip_prefix(['/', '$']) else {
        return false;
    };
    let first = command.split_whitespace().next();
    first.is_some_and(|first| COMMANDS.contains(&first))
}
