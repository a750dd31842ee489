//! What an adapter does to the outside and is told besides lines: deeds, questions, ticks, and the
//! user's wish to stop. All of it is on record: here is only what follows from the records.

use std::collections::HashMap;
use std::io;

use aod_log::{Kind, Record};
use aod_resources::event::{EventBody, Level};
use aod_runtime::types::{Answer, Encoding, Fragment, Interrupt, Question, Reaction};
use aod_runtime::{AdapterError, Turn};
use aod_supervisor::Note;

use super::{Deed, Fold, Step, tell};

/// The state of a turn's dialogue.
#[derive(Debug, Default)]
pub(super) struct Dialogue {
    /// How many deeds the adapter has asked for.
    deeds: u64,
    /// How many of them are on record.
    done: u64,
    questions: HashMap<String, Asked>,
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
    fn after(since: i64, milliseconds: u32) -> Self {
        let at = since.saturating_add(i64::from(milliseconds) * 1000);
        Self { at, since }
    }
}

/// A question and what became of it.
#[derive(Debug)]
enum Asked {
    Pending {
        choices: Vec<String>,
        default: String,
        due: Due,
    },
    Answered,
    /// The user stopped the turn instead.
    Dropped,
}

/// How a question stands towards an answer.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::turn) enum Standing {
    /// It can be given.
    Open,
    /// It is none of these choices.
    NoChoice(Vec<String>),
    /// Another one was given.
    Answered,
    /// The turn is being stopped.
    Dropped,
    /// There is no such question.
    Unknown,
}

/// Something that time brings.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::turn) enum Wanted {
    /// Nobody has answered.
    Default {
        /// The question's id.
        question: String,
        /// What is answered then.
        value: String,
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

    pub(super) fn wake(&mut self, milliseconds: u32) {
        self.wake = Some(Due::after(self.now, milliseconds));
    }
}

/// Text for stdin, as supervisors take it.
pub(super) fn write(fragments: Vec<Fragment>) -> aod_supervisor::Deed {
    use aod_supervisor::Fragment as To;
    let each = fragments.into_iter().map(|fragment| match fragment {
        Fragment::Text(text) => To::Text(text),
        Fragment::Secret(secret) => match secret.encoding {
            Encoding::Raw => To::Secret(secret.name),
            Encoding::Json => To::JsonSecret(secret.name),
        },
    });
    aod_supervisor::Deed::Write(each.collect())
}

impl Fold {
    /// How a question stands towards an answer of this value.
    pub(in crate::turn) fn standing(&self, question: &str, value: &str) -> Standing {
        match self.dialogue.questions.get(question) {
            Some(Asked::Pending { choices, .. }) => {
                if choices.is_empty() || choices.iter().any(|choice| choice == value) {
                    Standing::Open
                } else {
                    Standing::NoChoice(choices.clone())
                }
            }
            Some(Asked::Answered) => Standing::Answered,
            Some(Asked::Dropped) => Standing::Dropped,
            None => Standing::Unknown,
        }
    }

    /// What time brings next, and when.
    pub(in crate::turn) fn next_due(&self) -> Option<(Due, Wanted)> {
        let pending = self.dialogue.questions.iter();
        let first = pending
            .filter_map(|(question, asked)| match asked {
                Asked::Pending { default, due, .. } => Some((*due, question, default)),
                Asked::Answered | Asked::Dropped => None,
            })
            .min();
        let default = first.map(|(due, question, value)| {
            let (question, value) = (question.clone(), value.clone());
            (due, Wanted::Default { question, value })
        });
        let tick = self
            .dialogue
            .wake
            .map(|due| (due, Wanted::Tick(self.dialogue.ticks)));
        [default, tick]
            .into_iter()
            .flatten()
            .min_by_key(|(due, _)| *due)
    }

    /// How many deeds have been done, as far as the log was read.
    pub(in crate::turn) fn done(&self) -> u64 {
        self.dialogue.done
    }

    pub(super) fn outside(&mut self, deed: aod_supervisor::Deed, step: &mut Step<'_>) {
        step.deeds.push(Deed::Outside(self.dialogue.deeds, deed));
        self.dialogue.deeds += 1;
    }

    pub(super) fn ask(&mut self, question: Question, step: &mut Step<'_>) -> io::Result<()> {
        if self.dialogue.questions.contains_key(&question.id) {
            let text = format!(
                "the runtime's adapter asks two questions with the id {:?}; the second is ignored",
                question.id
            );
            let level = Level::Warning;
            return self.tell(EventBody::Notice { level, text }, step);
        }
        self.tell(tell::request(&question), step)?;
        let asked = Asked::Pending {
            choices: question.choices.into_iter().map(|it| it.id).collect(),
            default: question.default,
            due: Due::after(self.dialogue.now, question.deadline_ms),
        };
        self.dialogue.questions.insert(question.id, asked);
        Ok(())
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
            Kind::Tick => {
                self.dialogue.ticks += 1;
                self.dialogue.wake = None;
                let elapsed = self.numbers.elapsed();
                return self.call(step, |turn| turn.tick(elapsed));
            }
            Kind::Interrupt if self.description().interrupt == Interrupt::Dialogue => {
                for asked in self.dialogue.questions.values_mut() {
                    if matches!(asked, Asked::Pending { .. }) {
                        *asked = Asked::Dropped;
                    }
                }
                return self.call(step, Turn::interrupt);
            }
            _ => {}
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
        let level = Level::Error;
        let text = format!("what the runtime's adapter wrote did not reach the CLI: {reason}");
        self.tell(EventBody::Notice { level, text }, step)
    }

    fn take_answer(&mut self, record: &Record<'_>, step: &mut Step<'_>) -> io::Result<()> {
        let Ok(answer) = serde_json::from_slice::<aod_supervisor::Answer>(record.payload) else {
            return Ok(());
        };
        let Some(asked @ Asked::Pending { .. }) = self.dialogue.questions.get_mut(&answer.question)
        else {
            return Ok(());
        };
        *asked = Asked::Answered;
        let told = EventBody::PermissionAnswer {
            request_id: answer.question.clone(),
            answer: answer.value.clone(),
            by_default: answer.by_default,
        };
        self.tell(told, step)?;
        let answer = Answer {
            question: answer.question,
            value: answer.value,
            by_default: answer.by_default,
        };
        self.call(step, |turn| turn.answer(&answer))
    }

    /// Calls the adapter outside of its lines.
    fn call(
        &mut self,
        step: &mut Step<'_>,
        call: impl FnOnce(&mut Turn) -> Result<Reaction, AdapterError>,
    ) -> io::Result<()> {
        let Some(turn) = &mut self.turn else {
            return Ok(());
        };
        match call(turn) {
            Ok(reaction) => {
                for action in reaction.actions {
                    self.act(action, step)?;
                }
                Ok(())
            }
            Err(error) => {
                self.fail(&error, step)?;
                self.begin_turn(step)
            }
        }
    }
}
