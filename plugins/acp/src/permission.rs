//! Requests for permission: answered by the session's user, or by the options.

use aod_plugin_sdk::{Answer, Choice as Answerable, Out, Question, QuestionKind};
use serde_json::value::RawValue;

use crate::options::{Choice, Options, Permissions};
use crate::request;
use crate::wire::{Asked, Update};

/// What stands for "neither" where an agent offers nothing that the default could be.
const CANCELLED: &str = "cancelled";

/// The requests of a turn.
#[derive(Debug, Default)]
pub(crate) struct Permission {
    asked: u32,
    /// The questions that wait for an answer, with the ids of the agent's requests.
    pending: Vec<(String, String)>,
}

impl Permission {
    pub(crate) fn ask(
        &mut self,
        options: &Options,
        id: &RawValue,
        asked: &Asked<'_>,
        tool: &Update<'_>,
        out: &mut Out,
    ) {
        let id = id.get().to_owned();
        let wanted = match options.permissions {
            Permissions::Allow => Choice::Allow,
            Permissions::Reject => Choice::Reject,
            Permissions::Ask => options.permission_default,
        };
        let chosen = chosen(asked, wanted);
        if options.permissions != Permissions::Ask {
            out.write_stdin(request::permission(&id, chosen));
            return;
        }
        self.asked += 1;
        let question = format!("permission-{}", self.asked);
        self.pending.push((question.clone(), id));
        let mut choices: Vec<Answerable> = asked
            .options
            .iter()
            .map(|option| Answerable {
                id: option.option_id.to_string(),
                label: option.name.to_string(),
            })
            .collect();
        if chosen.is_none() {
            choices.push(Answerable {
                id: CANCELLED.to_owned(),
                label: "Cancel".to_owned(),
            });
        }
        out.ask(Question {
            id: question,
            kind: QuestionKind::Permission,
            title: tool
                .title
                .0
                .as_deref()
                .unwrap_or("The agent asks for permission")
                .to_owned(),
            detail: asked
                .tool_call
                .map_or_else(|| "null".to_owned(), |tool| tool.get().to_owned()),
            choices,
            default: chosen.unwrap_or(CANCELLED).to_owned(),
            deadline_ms: options.permission_deadline.saturating_mul(1000),
        });
    }

    pub(crate) fn answer(&mut self, answer: &Answer, out: &mut Out) {
        let found = self
            .pending
            .iter()
            .position(|(question, _)| *question == answer.question);
        if let Some(at) = found {
            let (_, id) = self.pending.remove(at);
            let option = Some(answer.value.as_str()).filter(|value| *value != CANCELLED);
            out.write_stdin(request::permission(&id, option));
        }
    }

    /// The turn is stopped: whoever waits for an answer is told so.
    pub(crate) fn cancel(&mut self, out: &mut Out) {
        for (_, id) in self.pending.drain(..) {
            out.write_stdin(request::permission(&id, None));
        }
    }
}

/// The option of that kind, for once rather than for always.
fn chosen<'a>(asked: &'a Asked<'_>, wanted: Choice) -> Option<&'a str> {
    let kinds = match wanted {
        Choice::Allow => ["allow_once", "allow_always"],
        Choice::Reject => ["reject_once", "reject_always"],
    };
    kinds.into_iter().find_map(|kind| {
        let mut options = asked.options.iter();
        options
            .find(|option| &*option.kind == kind)
            .map(|option| &*option.option_id)
    })
}
