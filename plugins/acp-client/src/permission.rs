//! Requests for permission: answered by the session's user, or by the options.

use aod_plugin_sdk::{Answer, Choice as Answerable, ChoiceMeaning, Out, Question, QuestionKind};
use serde_json::value::RawValue;

use crate::profile::{Choice, Permissions, Profile};
use crate::request;
use crate::wire::{Asked, Update};

/// What stands for "neither" where an agent offers nothing that the default could be.
const CANCELLED: &str = "cancelled";

/// The requests of a process.
#[derive(Debug, Default)]
pub(crate) struct Permission {
    /// How many were asked: each question has a number of its own.
    pub(crate) asked: u32,
    pending: Vec<Pending>,
}

/// A question that waits for an answer.
#[derive(Debug)]
struct Pending {
    question: String,
    /// The id of the agent's request.
    request: String,
    call: Option<String>,
    /// The answers that do not give permission.
    refusals: Vec<String>,
}

impl Permission {
    /// Returns whether the call may still be let.
    pub(crate) fn ask(
        &mut self,
        profile: &Profile,
        turn: u32,
        id: &RawValue,
        asked: &Asked<'_>,
        tool: &Update<'_>,
        out: &mut Out,
    ) -> bool {
        let request = id.get().to_owned();
        let wanted = match profile.permissions {
            Permissions::Allow => Choice::Allow,
            Permissions::Reject => Choice::Reject,
            Permissions::Ask => profile.permission_default,
        };
        let chosen = chosen(asked, wanted);
        if profile.permissions != Permissions::Ask {
            out.write_stdin(request::permission(&request, chosen));
            return wanted == Choice::Allow && chosen.is_some();
        }
        self.asked += 1;
        let question = format!("permission-{turn}-{}", self.asked);
        let call = Some(tool.tool_call_id.to_string()).filter(|id| !id.is_empty());
        self.pending.push(Pending {
            question: question.clone(),
            request,
            call: call.clone(),
            refusals: refusals(asked),
        });
        let mut choices: Vec<Answerable> = asked
            .options
            .iter()
            .map(|option| Answerable {
                id: option.option_id.to_string(),
                label: option.name.to_string(),
                meaning: meaning(&option.kind),
            })
            .collect();
        if chosen.is_none() {
            choices.push(Answerable {
                id: CANCELLED.to_owned(),
                label: "Cancel".to_owned(),
                meaning: None,
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
            call_id: call,
            choices,
            editable: false,
            default: chosen.unwrap_or(CANCELLED).to_owned(),
            deadline_ms: profile.permission_deadline.saturating_mul(1000),
        });
        true
    }

    /// Returns the call that the answer does not let.
    pub(crate) fn answer(&mut self, answer: &Answer, out: &mut Out) -> Option<String> {
        let found = self
            .pending
            .iter()
            .position(|pending| pending.question == answer.question);
        let pending = self.pending.remove(found?);
        let option = Some(answer.value.as_str()).filter(|value| *value != CANCELLED);
        out.write_stdin(request::permission(&pending.request, option));
        let is_refused = option.is_none_or(|id| pending.refusals.iter().any(|it| it == id));
        pending.call.filter(|_| is_refused)
    }

    /// The turn is stopped: the agent is told that nobody answers any more.
    pub(crate) fn cancel(&mut self, out: &mut Out) {
        for pending in self.pending.drain(..) {
            out.write_stdin(request::permission(&pending.request, None));
            out.withdraw(pending.question);
        }
    }

    /// The agent no longer waits: for what was asked for this call, or for anything.
    pub(crate) fn withdraw(&mut self, call: Option<&str>, out: &mut Out) {
        self.pending.retain_mut(|pending| {
            let is_meant = call.is_none() || pending.call.as_deref() == call;
            if is_meant {
                out.withdraw(std::mem::take(&mut pending.question));
            }
            !is_meant
        });
    }
}

fn refusals(asked: &Asked<'_>) -> Vec<String> {
    let refuses = |kind: &str| {
        let meaning = meaning(kind);
        matches!(
            meaning,
            Some(ChoiceMeaning::RejectOnce | ChoiceMeaning::RejectAlways)
        )
    };
    let options = asked.options.iter().filter(|option| refuses(&option.kind));
    options.map(|option| option.option_id.to_string()).collect()
}

fn meaning(kind: &str) -> Option<ChoiceMeaning> {
    match kind {
        "allow_once" => Some(ChoiceMeaning::AllowOnce),
        "allow_always" => Some(ChoiceMeaning::AllowAlways),
        "reject_once" => Some(ChoiceMeaning::RejectOnce),
        "reject_always" => Some(ChoiceMeaning::RejectAlways),
        _ => None,
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
