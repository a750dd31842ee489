//! What an adapter does to the outside and is told besides lines: effects, questions, ticks, and the
//! user's wish to stop. All of it is on record: here is only what follows from the records.

use std::collections::HashMap;
use std::io;

use aod_log::{Kind, Record};
use aod_resources::event::{
    EventBody, InputState, Level, PermissionAnswer, PermissionRequest, PermissionWithdrawn,
    ToolWithdrawn, TurnInput,
};
use aod_runtime::types::{
    Answer, Block, Capability, Fragment, InjectMode, Injection, InjectionOutcome, InjectionState,
    Input, Reaction, SecretEncoding, StopMethod,
};
use aod_runtime::{AdapterError, Conversation};
use aod_supervisor::Note;

use super::{Effect, Fold, Step, notice};
use crate::turn::answers::UserAnswer;
use crate::turn::attachments::Attachments;

/// The state of a turn's dialogue.
#[derive(Debug, Default)]
pub(super) struct Dialogue {
    /// How many effects the adapter has asked for.
    effects: u64,
    /// How many of them are on record.
    done: u64,
    pub(super) questions: HashMap<String, Asked>,
    /// When the adapter was last told something, in microseconds since the Unix epoch.
    now: i64,
    /// How many ticks are on record.
    ticks: u64,
    /// When the adapter wants the next.
    wake: Option<Due>,
}

/// When something falls due, in microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::turn) struct Due {
    pub(in crate::turn) at: i64,
    /// From when on it is waited for.
    pub(in crate::turn) since: i64,
}

impl Due {
    pub(super) fn after(since: i64, milliseconds: u32) -> Self {
        let at = since.saturating_add(i64::from(milliseconds) * 1000);
        Self { at, since }
    }
}

/// Who asks, and so who is given the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// The adapter.
    Adapter,
    /// A call of a tool that needs a permission: its supervisor has the answer passed on.
    Permission,
    /// A call of one of the agent's own tools, in the same way.
    Tool,
}

/// A question and what became of it.
#[derive(Debug)]
pub(super) enum Asked {
    Pending {
        asker: Asker,
        choices: Vec<String>,
        default: String,
        /// With a call of a tool: whether the default tells of a failure.
        is_error: bool,
        due: Due,
    },
    Answered,
    /// The user stopped the turn instead.
    Dropped,
}

/// Whether a question can be given an answer.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::turn) enum QuestionState {
    /// It can be given.
    Open,
    /// It is none of these choices.
    NoChoice(Vec<String>),
    /// It is answered by this field of an answer.
    OtherForm(&'static str),
    /// Another one was given.
    Answered,
    /// The turn is being stopped.
    Dropped,
    /// There is no such question.
    Unknown,
}

/// Something that time brings.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::turn) enum TimerAction {
    /// Nobody has answered.
    Default {
        /// The question's id.
        question: String,
        /// What is answered then.
        value: String,
        /// With a call of a tool: whether that tells of a failure.
        is_error: bool,
    },
    /// The adapter wishes to be told the time: the tick of this number.
    Tick(u64),
}

impl Dialogue {
    /// The CLI wrote something.
    pub(super) fn heard(&mut self) {
        self.wake = None;
    }

    /// The adapter is told what was recorded at this time.
    pub(super) fn told(&mut self, time: i64) {
        self.now = time;
    }

    /// Ends a question's wait, and says who had asked; none where it waits no more.
    fn close(&mut self, question: &str, as_what: Asked) -> Option<Asker> {
        let asked = self.questions.get_mut(question)?;
        let Asked::Pending { asker, .. } = *asked else {
            return None;
        };
        *asked = as_what;
        Some(asker)
    }

    /// An effect is on record.
    pub(super) fn done(&mut self) {
        self.done += 1;
    }

    pub(super) fn wake(&mut self, milliseconds: u32) {
        self.wake = Some(Due::after(self.now, milliseconds));
    }
}

/// A question as the store keeps it. What its adapter says of it beyond that may be nested deeper
/// than is read.
pub(super) fn question_value(question: &PermissionRequest) -> serde_json::Value {
    serde_json::to_value(question).unwrap_or_else(|_| {
        let detail = serde_json::value::RawValue::NULL.to_owned();
        let shallow = PermissionRequest {
            detail,
            ..question.clone()
        };
        serde_json::to_value(shallow).unwrap_or_default()
    })
}

/// Text for stdin, as supervisors take it.
///
/// # Errors
/// An attachment cannot be read.
pub(in crate::turn) fn for_stdin(
    fragments: Vec<Fragment>,
    attachments: &Attachments,
) -> io::Result<Vec<aod_supervisor::Fragment>> {
    use aod_supervisor::Fragment as To;
    let each = fragments.into_iter().map(|fragment| match fragment {
        Fragment::Text(text) => Ok(To::Text(text)),
        Fragment::Secret(secret) => Ok(match secret.encoding {
            SecretEncoding::Raw => To::Secret(secret.name),
            SecretEncoding::Json => To::JsonSecret(secret.name),
        }),
        Fragment::Attachment(id) => {
            let data = attachments.base64(&id)?;
            Ok(To::Attachment { id, data })
        }
    });
    each.collect()
}

impl Fold {
    /// Whether a question can be given an answer of this value.
    pub(in crate::turn) fn question_state(
        &self,
        question: &str,
        answer: &UserAnswer,
    ) -> QuestionState {
        match self.dialogue.questions.get(question) {
            Some(Asked::Pending { asker, choices, .. }) => {
                let value = match (answer, asker) {
                    (UserAnswer::Result { .. }, Asker::Tool) => return QuestionState::Open,
                    (UserAnswer::Choice(_), Asker::Tool) => {
                        return QuestionState::OtherForm("content");
                    }
                    (UserAnswer::Result { .. }, _) => return QuestionState::OtherForm("answer"),
                    (UserAnswer::Choice(value), _) => value,
                };
                if choices.is_empty() || choices.iter().any(|choice| choice == value) {
                    QuestionState::Open
                } else {
                    QuestionState::NoChoice(choices.clone())
                }
            }
            Some(Asked::Answered) => QuestionState::Answered,
            Some(Asked::Dropped) => QuestionState::Dropped,
            None => QuestionState::Unknown,
        }
    }

    /// What time brings next, and when.
    pub(in crate::turn) fn next_due(&self) -> Option<(Due, TimerAction)> {
        let pending = self.dialogue.questions.iter();
        let first = pending
            .filter_map(|(question, asked)| match asked {
                Asked::Pending {
                    default,
                    due,
                    is_error,
                    ..
                } => Some((*due, question, default, *is_error)),
                Asked::Answered | Asked::Dropped => None,
            })
            .min();
        let default = first.map(|(due, question, value, is_error)| {
            let default = TimerAction::Default {
                question: question.clone(),
                value: value.clone(),
                is_error,
            };
            (due, default)
        });
        let tick = self
            .dialogue
            .wake
            .map(|due| (due, TimerAction::Tick(self.dialogue.ticks)));
        [default, tick]
            .into_iter()
            .flatten()
            .min_by_key(|(due, _)| *due)
    }

    /// How many effects have been done, as far as the log was read.
    pub(in crate::turn) fn done(&self) -> u64 {
        self.dialogue.done
    }

    pub(super) fn outside(&mut self, effect: aod_supervisor::Effect, step: &mut Step<'_>) {
        let number = self.dialogue.effects;
        // An earlier host has had those done that it has told of.
        if self.is_told() {
            step.effects.push(Effect::Outside(number, effect));
        }
        self.dialogue.effects += 1;
    }

    pub(super) fn ask(
        &mut self,
        question: PermissionRequest,
        step: &mut Step<'_>,
    ) -> io::Result<()> {
        let id = question.request_id.clone();
        if self.dialogue.questions.contains_key(&id) {
            let text = format!(
                "the runtime's adapter asks two questions with the id {id:?}; the second is ignored"
            );
            return self.tell(notice(Level::Warning, "adapter.question", text), step);
        }
        let asked = Asked::Pending {
            asker: Asker::Adapter,
            is_error: false,
            choices: question.choices.iter().map(|it| it.id.clone()).collect(),
            default: question.default.clone(),
            due: Due::after(self.dialogue.now, question.deadline_ms),
        };
        if self.is_told() {
            let noted = Effect::Asked(id.clone(), question_value(&question));
            step.effects.push(noted);
        }
        self.tell(EventBody::PermissionRequest(question), step)?;
        self.dialogue.questions.insert(id, asked);
        Ok(())
    }

    /// A question waits for no answer any more.
    fn settled(&self, question: &str, step: &mut Step<'_>) {
        if self.is_told() {
            step.effects.push(Effect::Settled(question.to_owned()));
        }
    }

    /// A question needs no answer any more; one that has its answer is left as it is.
    pub(super) fn withdraw(&mut self, question: String, step: &mut Step<'_>) -> io::Result<()> {
        let Some(asker) = self.dialogue.close(&question, Asked::Dropped) else {
            return Ok(());
        };
        self.settled(&question, step);
        let request_id = question;
        let told = match asker {
            Asker::Tool => EventBody::ToolWithdrawn(ToolWithdrawn { request_id }),
            _ => EventBody::PermissionWithdrawn(PermissionWithdrawn { request_id }),
        };
        self.tell(told, step)
    }

    /// Takes a record of the dialogue.
    pub(super) fn take_dialogue(
        &mut self,
        record: &Record<'_>,
        step: &mut Step<'_>,
    ) -> io::Result<()> {
        self.dialogue.told(record.time);
        match record.kind {
            Kind::Stdin => self.dialogue.done += 1,
            Kind::Note => return self.take_note(record, step),
            Kind::Answer => return self.take_answer(record, step),
            Kind::Input => return self.take_input(record, step),
            Kind::Tick => {
                self.dialogue.ticks += 1;
                self.dialogue.wake = None;
                let elapsed = self.ids.elapsed();
                return self.call(step, |conversation| conversation.tick(elapsed));
            }
            Kind::Interrupt => {
                // Without a limit it is the user's wish.
                self.limit = serde_json::from_slice(record.payload).ok();
                if self.description().stop != StopMethod::Dialogue {
                    return Ok(());
                }
                self.withdraw_all(step)?;
                return self.call(step, |conversation| conversation.receive(&Input::Interrupt));
            }
            _ => {}
        }
        Ok(())
    }

    /// The turn is stopped instead of answered.
    fn withdraw_all(&mut self, step: &mut Step<'_>) -> io::Result<()> {
        let pending = self.dialogue.questions.iter();
        let mut pending: Vec<String> = pending
            .filter(|(_, asked)| matches!(asked, Asked::Pending { .. }))
            .map(|(question, _)| question.clone())
            .collect();
        pending.sort();
        for question in pending {
            self.withdraw(question, step)?;
        }
        Ok(())
    }

    fn take_note(&mut self, record: &Record<'_>, step: &mut Step<'_>) -> io::Result<()> {
        let Ok(note) = serde_json::from_slice(record.payload) else {
            return Ok(());
        };
        self.dialogue.done += 1;
        let Note::Refused { reason } = note else {
            return Ok(());
        };
        let text = format!("what the runtime's adapter wrote did not reach the CLI: {reason}");
        self.tell(notice(Level::Error, "stdin.refused", text), step)
    }

    fn take_answer(&mut self, record: &Record<'_>, step: &mut Step<'_>) -> io::Result<()> {
        let Ok(answer) = serde_json::from_slice::<aod_supervisor::Answer>(record.payload) else {
            return Ok(());
        };
        let Some(asker) = self.dialogue.close(&answer.question, Asked::Answered) else {
            return Ok(());
        };
        self.settled(&answer.question, step);
        if asker == Asker::Tool {
            return self.tell_result(answer, step);
        }
        let told = EventBody::PermissionAnswer(PermissionAnswer {
            request_id: answer.question.clone(),
            answer: answer.value.clone(),
            by_default: answer.by_default,
        });
        self.tell(told, step)?;
        if asker != Asker::Adapter {
            return Ok(());
        }
        let answer = Input::Answer(Answer {
            question: answer.question,
            value: answer.value,
            edited_input: None,
            message: None,
            by_default: answer.by_default,
        });
        self.call(step, |conversation| conversation.receive(&answer))
    }

    /// Whether the turn takes more while it runs.
    pub(in crate::turn) fn can_be_steered(&self) -> bool {
        let steers = |capability: &Capability| match capability {
            Capability::Inject(modes) => modes.contains(&InjectMode::Steer),
            _ => false,
        };
        self.start.is_dialogue && self.description().capabilities.iter().any(steers)
    }

    fn take_input(&mut self, record: &Record<'_>, step: &mut Step<'_>) -> io::Result<()> {
        let Ok(input) = serde_json::from_slice::<aod_supervisor::TurnInput>(record.payload) else {
            return Ok(());
        };
        let told = TurnInput {
            input_id: input.id.clone(),
            state: InputState::Sent,
            text: Some(input.text.clone()),
            reason: None,
        };
        self.tell(EventBody::TurnInput(told), step)?;
        let injection = Input::Inject(Injection {
            id: input.id,
            blocks: vec![Block::Text(input.text)],
            mode: InjectMode::Steer,
        });
        self.call(step, |conversation| conversation.receive(&injection))
    }

    /// Tells what became of an input.
    pub(super) fn tell_input(
        &mut self,
        outcome: InjectionOutcome,
        step: &mut Step<'_>,
    ) -> io::Result<()> {
        let told = TurnInput {
            input_id: outcome.id,
            state: match outcome.state {
                InjectionState::Queued => InputState::Queued,
                InjectionState::Delivered => InputState::Delivered,
                InjectionState::Cancelled => InputState::Cancelled,
                InjectionState::Refused => InputState::Refused,
            },
            text: None,
            reason: outcome.message,
        };
        self.tell(EventBody::TurnInput(told), step)
    }

    /// Calls the adapter outside of its lines.
    pub(super) fn call(
        &mut self,
        step: &mut Step<'_>,
        call: impl FnOnce(&mut Conversation) -> Result<Reaction, AdapterError>,
    ) -> io::Result<()> {
        let Some(conversation) = &mut self.conversation else {
            return Ok(());
        };
        match call(conversation) {
            Ok(reaction) => self.act_all(reaction, step),
            Err(error) => {
                self.fail(&error, step)?;
                self.replace(step)
            }
        }
    }
}
