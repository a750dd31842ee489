//! What the server asks its user.

use std::collections::VecDeque;

use aod_plugin_sdk::json::write_string;
use aod_plugin_sdk::{Answer, Choice, ChoiceMeaning, Out, Question, QuestionKind, title};
use serde_json::value::RawValue;

use super::request;
use super::wire::{self, Params};
use crate::calls::unwrapped;
use crate::errors::is_json;

/// How long a question waits for an answer, in milliseconds.
const DEADLINE_MS: u32 = 300_000;

const ACCEPT: &str = "accept";
const ACCEPT_FOR_SESSION: &str = "acceptForSession";
const DECLINE: &str = "decline";
const CANCEL: &str = "cancel";

/// The questions of a process.
#[derive(Debug, Default)]
pub(super) struct Questions {
    /// How many were asked: each has a number of its own.
    pub(super) asked: u32,
    pending: Vec<Pending>,
}

/// A question that waits for its answer.
#[derive(Debug)]
struct Pending {
    question: String,
    /// The id of the server's request.
    request: String,
    /// Whether the agent waits, and not a subagent.
    is_main: bool,
    form: Form,
}

/// What the answer looks like.
#[derive(Debug)]
enum Form {
    /// A decision.
    Decision,
    /// What is asked for is granted, or nothing is.
    Permissions(String),
    /// An action, with what an MCP server wants to know.
    Elicitation,
    /// Answers to several questions: those that are still to be asked, and those given.
    Input {
        left: VecDeque<Asked>,
        id: String,
        given: Vec<(String, String)>,
    },
}

/// One of several questions of one request.
#[derive(Debug)]
struct Asked {
    id: String,
    text: String,
    options: Vec<String>,
}

/// Who asks, and about what.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) turn: u32,
    pub(super) is_main: bool,
    /// The call that waits, by its id in the session.
    pub(super) call: Option<&'a str>,
    pub(super) title: Option<&'a str>,
    pub(super) detail: &'a RawValue,
}

impl Questions {
    /// Asks what a request asks; returns whether it is one that can be asked.
    pub(super) fn ask(
        &mut self,
        id: &RawValue,
        method: &str,
        params: &Params<'_>,
        about: About<'_>,
        out: &mut Out,
    ) -> bool {
        let command = params.command.0.as_deref().map(unwrapped);
        let text = params.message.0.as_deref();
        let text = text.or(params.reason.0.as_deref());
        let text = text.or(about.title).or(command.as_deref());
        let text = text.and_then(title);
        let mut choices = vec![ACCEPT, ACCEPT_FOR_SESSION, DECLINE, CANCEL];
        let form = match method {
            "item/commandExecution/requestApproval" | "item/fileChange/requestApproval" => {
                Form::Decision
            }
            "item/permissions/requestApproval" => {
                choices.pop();
                let asked = params.permissions.map_or("{}", RawValue::get);
                Form::Permissions(asked.to_owned())
            }
            "mcpServer/elicitation/request" => {
                let meta = params.meta.as_ref();
                let is_call = meta.is_some_and(|it| it.codex_approval_kind.0.is_some());
                let persist = meta.and_then(|it| it.persist).map_or("", RawValue::get);
                if !is_call || !persist.contains("\"session\"") {
                    choices.remove(1);
                }
                Form::Elicitation
            }
            "item/tool/requestUserInput" => {
                let mut left: VecDeque<Asked> = params.questions.iter().map(Asked::new).collect();
                let Some(first) = left.pop_front() else {
                    out.write_stdin(request::reply(id.get(), "{\"answers\":{}}"));
                    return true;
                };
                let pending = Pending {
                    question: self.next(about.turn),
                    request: id.get().to_owned(),
                    is_main: about.is_main,
                    form: Form::Input {
                        left,
                        id: first.id.clone(),
                        given: Vec::new(),
                    },
                };
                out.ask(first.question(&pending.question, about));
                self.pending.push(pending);
                return true;
            }
            _ => return false,
        };
        let question = self.next(about.turn);
        let is_editable = matches!(form, Form::Elicitation);
        self.pending.push(Pending {
            question: question.clone(),
            request: id.get().to_owned(),
            is_main: about.is_main,
            form,
        });
        out.ask(Question {
            id: question,
            kind: QuestionKind::Permission,
            title: text.unwrap_or_else(|| "The agent asks for permission".to_owned()),
            detail: about.detail.get().to_owned(),
            call_id: about.call.map(str::to_owned),
            choices: choices.into_iter().map(choice).collect(),
            editable: is_editable,
            default: DECLINE.to_owned(),
            deadline_ms: DEADLINE_MS,
        });
        true
    }

    fn next(&mut self, turn: u32) -> String {
        self.asked += 1;
        format!("question-{turn}-{}", self.asked)
    }

    /// Hands an answer on; with several questions, asks the next.
    pub(super) fn answer(&mut self, answer: &Answer, out: &mut Out) {
        let mut all = self.pending.iter();
        let Some(at) = all.position(|it| it.question == answer.question) else {
            return;
        };
        let Pending {
            question,
            request,
            is_main,
            form,
        } = self.pending.remove(at);
        let value = answer.value.as_str();
        let is_accepted = matches!(value, ACCEPT | ACCEPT_FOR_SESSION);
        let result = match form {
            Form::Decision => object(&[("decision", &quoted(value))]),
            Form::Permissions(asked) => {
                let granted = if is_accepted { asked.as_str() } else { "{}" };
                let scope = match value {
                    ACCEPT_FOR_SESSION => "\"session\"",
                    _ => "\"turn\"",
                };
                object(&[("permissions", granted), ("scope", scope)])
            }
            Form::Elicitation => {
                let content = answer.edited_input.as_deref();
                let content = content.filter(|content| is_accepted && is_json(content));
                let content = match (content, is_accepted) {
                    (Some(content), _) => content.replace(['\n', '\r'], " "),
                    (None, true) => "{}".to_owned(),
                    (None, false) => "null".to_owned(),
                };
                let action = if is_accepted { ACCEPT } else { value };
                let meta = match value {
                    ACCEPT_FOR_SESSION => "{\"persist\":\"session\"}",
                    _ => "null",
                };
                object(&[
                    ("action", &quoted(action)),
                    ("content", &content),
                    ("_meta", meta),
                ])
            }
            Form::Input {
                mut left,
                id,
                mut given,
            } => {
                given.push((id, value.to_owned()));
                if let Some(next) = left.pop_front() {
                    let about = format!("{question}-{}", given.len());
                    let id = next.id.clone();
                    out.ask(next.question(
                        &about,
                        About {
                            turn: 0,
                            is_main,
                            call: None,
                            title: None,
                            detail: RawValue::NULL,
                        },
                    ));
                    self.pending.push(Pending {
                        question: about,
                        request,
                        is_main,
                        form: Form::Input { left, id, given },
                    });
                    return;
                }
                answers(&given)
            }
        };
        out.write_stdin(request::reply(&request, &result));
    }

    /// The server no longer waits.
    pub(super) fn resolved(&mut self, request: &RawValue, out: &mut Out) {
        self.pending.retain_mut(|pending| {
            let is_meant = pending.request == request.get();
            if is_meant {
                out.withdraw(std::mem::take(&mut pending.question));
            }
            !is_meant
        });
    }

    /// The agent waits for no answer any more; subagents may.
    pub(super) fn withdraw_main(&mut self, out: &mut Out) {
        self.pending.retain_mut(|pending| {
            if pending.is_main {
                out.withdraw(std::mem::take(&mut pending.question));
            }
            !pending.is_main
        });
    }

    /// Nobody waits for an answer any more.
    pub(super) fn withdraw(&mut self, out: &mut Out) {
        for pending in self.pending.drain(..) {
            out.withdraw(pending.question);
        }
    }
}

impl Asked {
    fn new(question: &wire::Question<'_>) -> Self {
        let options = question.options.iter().flatten();
        Self {
            id: question.id.to_string(),
            text: question.question.to_string(),
            options: options.map(|option| option.label.to_string()).collect(),
        }
    }

    fn question(&self, id: &str, about: About<'_>) -> Question {
        Question {
            id: id.to_owned(),
            kind: QuestionKind::Question,
            title: self.text.clone(),
            detail: about.detail.get().to_owned(),
            call_id: about.call.map(str::to_owned),
            choices: self
                .options
                .iter()
                .map(|label| Choice {
                    id: label.clone(),
                    label: label.clone(),
                    meaning: None,
                })
                .collect(),
            editable: false,
            default: self.options.first().cloned().unwrap_or_default(),
            deadline_ms: DEADLINE_MS,
        }
    }
}

fn choice(id: &str) -> Choice {
    let (label, meaning) = match id {
        ACCEPT => ("Allow", Some(ChoiceMeaning::AllowOnce)),
        ACCEPT_FOR_SESSION => ("Allow in this session", Some(ChoiceMeaning::AllowAlways)),
        DECLINE => ("Decline", Some(ChoiceMeaning::RejectOnce)),
        _ => ("Decline and stop", None),
    };
    Choice {
        id: id.to_owned(),
        label: label.to_owned(),
        meaning,
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    write_string(&mut quoted, text);
    quoted
}

fn object(entries: &[(&str, &str)]) -> String {
    let each = entries.iter();
    let entries: Vec<String> = each
        .map(|(key, value)| format!("{}:{value}", quoted(key)))
        .collect();
    format!("{{{}}}", entries.join(","))
}

fn answers(given: &[(String, String)]) -> String {
    let each = given.iter();
    let entries: Vec<(String, String)> = each
        .map(|(id, answer)| (id.clone(), format!("{{\"answers\":[{}]}}", quoted(answer))))
        .collect();
    let entries: Vec<(&str, &str)> = entries
        .iter()
        .map(|(id, answer)| (id.as_str(), answer.as_str()))
        .collect();
    object(&[("answers", &object(&entries))])
}
