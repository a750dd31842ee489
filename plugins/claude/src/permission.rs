//! Requests of the CLI that a person answers: whether a tool may be called, and the agent's own
//! questions.

use aod_plugin_sdk::json::{MaybeText, Text};
use aod_plugin_sdk::{Answer, Choice, ChoiceMeaning, Out, Question, QuestionKind, title};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::requests;

/// The tool by which the agent asks its user.
pub(crate) const QUESTIONS: &str = "AskUserQuestion";

/// How long a question waits for its answer.
const DEADLINE_MS: u32 = 300_000;

const ALLOW: &str = "allow";
const ALLOW_ALWAYS: &str = "allow_always";
const REJECT: &str = "reject";

/// What stands for an answer where nobody gives one.
const NO_ANSWER: &str = "no answer";

const REJECTED: &str = "The user does not allow this.";
const UNANSWERED: &str = "Nobody has answered. Go on as you think best, without asking again.";

/// What a process has asked.
#[derive(Debug, Default)]
pub(crate) struct Permission {
    /// How many questions: each has a number of its own.
    pub(crate) asked: u32,
    open: Vec<PendingRequest>,
}

/// A request that waits for an answer.
#[derive(Debug)]
struct PendingRequest {
    /// The CLI's id for it.
    request: String,
    /// The tool's input, as JSON.
    input: String,
    pending: PendingReply,
}

/// What its reply waits for.
#[derive(Debug)]
enum PendingReply {
    /// The permission, under this question. What `always` would allow is JSON.
    Permission {
        question: String,
        always: Option<String>,
    },
    /// Answers to these questions of the agent's.
    Answers(Vec<PendingQuestion>),
}

/// A question of the agent's.
#[derive(Debug)]
struct PendingQuestion {
    question: String,
    text: String,
    answer: Option<String>,
}

/// A request of the CLI.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Request<'a> {
    pub(crate) subtype: Text<'a>,
    tool_name: Text<'a>,
    display_name: MaybeText<'a>,
    description: MaybeText<'a>,
    tool_use_id: MaybeText<'a>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    permission_suggestions: Option<&'a RawValue>,
}

/// The input of the tool by which the agent asks.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct AgentsQuestions<'a> {
    #[serde(borrow)]
    questions: Vec<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct AgentsQuestion<'a> {
    question: Text<'a>,
}

impl Request<'_> {
    /// The tool that it is about, by the name that the model knows.
    pub(crate) fn tool(&self) -> &str {
        match &*self.tool_name {
            "Task" => "Agent",
            name => name,
        }
    }
}

impl Permission {
    /// Takes a request of the CLI. `asks_nothing`: this is allowed, and nobody is to be asked.
    pub(crate) fn ask(
        &mut self,
        turn: u32,
        id: &str,
        request: &Request<'_>,
        asks_nothing: bool,
        out: &mut Out,
    ) {
        out.absorb();
        if &*request.subtype != "can_use_tool" {
            out.write_stdin(requests::unknown(id, &request.subtype));
            return;
        }
        let input = request.input.map_or("{}", RawValue::get);
        let is_question = &*request.tool_name == QUESTIONS;
        if asks_nothing {
            out.write_stdin(match is_question {
                true => requests::deny(id, UNANSWERED),
                false => requests::allow(id, input, None),
            });
            return;
        }
        let call = request.tool_use_id.0.as_deref().map(str::to_owned);
        let pending = match is_question {
            true => PendingReply::Answers(self.agents_questions(turn, input, call.as_deref(), out)),
            false => self.whether(turn, request, input, call, out),
        };
        if matches!(&pending, PendingReply::Answers(asking) if asking.is_empty()) {
            out.write_stdin(requests::deny(id, "There is no question in this."));
            return;
        }
        self.open.push(PendingRequest {
            request: id.to_owned(),
            input: input.to_owned(),
            pending,
        });
    }

    fn number(&mut self, turn: u32) -> String {
        self.asked += 1;
        format!("question-{turn}-{}", self.asked)
    }

    fn whether(
        &mut self,
        turn: u32,
        request: &Request<'_>,
        input: &str,
        call_id: Option<String>,
        out: &mut Out,
    ) -> PendingReply {
        let question = self.number(turn);
        let tool = request.display_name.0.as_deref();
        let tool = tool.unwrap_or(&request.tool_name);
        let about = request.description.0.as_deref().and_then(title);
        let suggestions = request.permission_suggestions.map(RawValue::get);
        let always = suggestions.filter(|list| list.len() > "[]".len() && list.starts_with('['));
        let choice = |id: &str, label: &str, meaning| Choice {
            id: id.to_owned(),
            label: label.to_owned(),
            meaning: Some(meaning),
        };
        let mut choices = vec![choice(ALLOW, "Allow", ChoiceMeaning::AllowOnce)];
        if always.is_some() {
            let meaning = ChoiceMeaning::AllowAlways;
            choices.push(choice(ALLOW_ALWAYS, "Allow from now on", meaning));
        }
        choices.push(choice(REJECT, "Reject", ChoiceMeaning::RejectOnce));
        out.ask(Question {
            id: question.clone(),
            kind: QuestionKind::Permission,
            title: match about {
                Some(about) => format!("{tool}: {about}"),
                None => tool.to_owned(),
            },
            detail: input.to_owned(),
            call_id,
            choices,
            editable: true,
            default: REJECT.to_owned(),
            deadline_ms: DEADLINE_MS,
        });
        PendingReply::Permission {
            question,
            always: always.map(str::to_owned),
        }
    }

    /// Asks what the agent asks, each question by itself. Its options are in the detail; any text is
    /// an answer.
    fn agents_questions(
        &mut self,
        turn: u32,
        input: &str,
        call: Option<&str>,
        out: &mut Out,
    ) -> Vec<PendingQuestion> {
        let all: AgentsQuestions<'_> = serde_json::from_str(input).unwrap_or_default();
        let mut asking = Vec::new();
        for detail in all.questions {
            let Ok(asked) = serde_json::from_str::<AgentsQuestion<'_>>(detail.get()) else {
                continue;
            };
            let question = self.number(turn);
            out.ask(Question {
                id: question.clone(),
                kind: QuestionKind::Question,
                title: asked.question.to_string(),
                detail: detail.get().to_owned(),
                call_id: call.map(str::to_owned),
                choices: Vec::new(),
                editable: false,
                default: NO_ANSWER.to_owned(),
                deadline_ms: DEADLINE_MS,
            });
            asking.push(PendingQuestion {
                question,
                text: asked.question.to_string(),
                answer: None,
            });
        }
        asking
    }

    /// Takes an answer.
    pub(crate) fn answer(&mut self, answer: &Answer, out: &mut Out) {
        let Some(at) = self.open.iter().position(|asked| asked.awaits(answer)) else {
            return;
        };
        let asked = &mut self.open[at];
        let reply = match &mut asked.pending {
            PendingReply::Permission { always, .. } => {
                let input = answer.edited_input.as_deref().unwrap_or(&asked.input);
                match &*answer.value {
                    ALLOW => requests::allow(&asked.request, input, None),
                    ALLOW_ALWAYS => requests::allow(&asked.request, input, always.as_deref()),
                    _ => {
                        let why = answer.message.as_deref().unwrap_or(REJECTED);
                        requests::deny(&asked.request, why)
                    }
                }
            }
            PendingReply::Answers(asking) => {
                if answer.by_default {
                    // The others are not worth waiting for, either.
                    for other in asking.iter().filter(|it| it.question != answer.question) {
                        out.withdraw(&*other.question);
                    }
                    requests::deny(&asked.request, UNANSWERED)
                } else {
                    for it in asking.iter_mut() {
                        if it.question == answer.question {
                            it.answer = Some(answer.value.clone());
                        }
                    }
                    if asking.iter().any(|it| it.answer.is_none()) {
                        return;
                    }
                    let input = answered(&asked.input, asking);
                    requests::allow(&asked.request, &input, None)
                }
            }
        };
        out.write_stdin(reply);
        self.open.remove(at);
    }

    /// The CLI no longer waits for what it asked under this id.
    pub(crate) fn withdraw(&mut self, request: &str, out: &mut Out) {
        out.absorb();
        self.open.retain(|asked| {
            let stays = asked.request != request;
            if !stays {
                asked.each(|question| out.withdraw(question));
            }
            stays
        });
    }

    /// The turn is over: nothing is waited for.
    pub(crate) fn end(&mut self, out: &mut Out) {
        for asked in self.open.drain(..) {
            asked.each(|question| out.withdraw(question));
        }
    }
}

impl PendingRequest {
    fn awaits(&self, answer: &Answer) -> bool {
        let mut found = false;
        self.each(|question| found |= question == answer.question);
        found
    }

    /// Every question that is still to be answered.
    fn each(&self, mut each: impl FnMut(&str)) {
        match &self.pending {
            PendingReply::Permission { question, .. } => each(question),
            PendingReply::Answers(asking) => {
                let open = asking.iter().filter(|it| it.answer.is_none());
                open.for_each(|it| each(&it.question));
            }
        }
    }
}

/// The tool's input with the answers, by the questions' texts.
fn answered(input: &str, asking: &[PendingQuestion]) -> String {
    let by_text = asking.iter().filter_map(|it| {
        let answer = it.answer.clone()?;
        Some((it.text.clone(), serde_json::Value::from(answer)))
    });
    let answers: serde_json::Map<_, _> = by_text.collect();
    let mut whole = match serde_json::from_str(input) {
        Ok(serde_json::Value::Object(whole)) => whole,
        _ => serde_json::Map::new(),
    };
    whole.insert("answers".to_owned(), answers.into());
    let mut whole = serde_json::Value::from(whole);
    // Whether keys keep their order depends on what else is built.
    whole.sort_all_objects();
    whole.to_string()
}
