//! Calls of tools that wait for somebody's answer: their supervisor holds them, whether the host lives
//! or not, and has the answers passed on.

use std::io;

use aod_log::Record;
use aod_metrics::metrics;
use aod_resources::event::{
    Choice, ChoiceMeaning, EventBody, PermissionRequest, QuestionKind, ToolAnswer,
    ToolAnswerContent, ToolRequest,
};
use aod_supervisor::{AskedCall, CallAnswer, CallRecord, HeldKind};
use serde_json::json;
use serde_json::value::to_raw_value;

use super::dialogue::{Asked, Asker, Due, question_value};
use super::{Effect, Fold, Step};

impl Fold {
    /// Tells what is on record of a call.
    pub(super) fn take_call(&mut self, record: &Record<'_>, step: &mut Step<'_>) -> io::Result<()> {
        match serde_json::from_slice(record.payload) {
            Ok(CallRecord::Asked(call)) => self.ask_call(call, record.time, step),
            Ok(CallRecord::Withdrawn { request_id }) => self.withdraw(request_id, step),
            Err(_) => Ok(()),
        }
    }

    fn ask_call(&mut self, call: AskedCall, at: i64, step: &mut Step<'_>) -> io::Result<()> {
        let id = call.request_id.clone();
        let due = Due::after(at, call.deadline_ms);
        let CallAnswer { content, is_error } = call.default.clone();
        let (asker, choices, told, noted) = match call.kind {
            HeldKind::Result => {
                let request = ToolRequest {
                    request_id: call.request_id,
                    name: call.tool,
                    input: call.input,
                    default: ToolAnswerContent {
                        content: content.clone(),
                        is_error,
                    },
                    deadline_ms: call.deadline_ms,
                };
                let mut noted = serde_json::to_value(&request)?;
                noted["kind"] = json!(QuestionKind::Tool);
                let told = EventBody::ToolRequest(request);
                (Asker::Tool, Vec::new(), told, noted)
            }
            HeldKind::Permission => {
                let choices = choices();
                let question = permission(call, &choices)?;
                let noted = question_value(&question);
                let told = EventBody::PermissionRequest(question);
                (Asker::Permission, choices, told, noted)
            }
        };
        if self.is_told() {
            step.effects.push(Effect::Asked(id.clone(), noted));
        }
        self.tell(told, step)?;
        let asked = Asked::Pending {
            asker,
            choices: choices.into_iter().map(|choice| choice.id).collect(),
            default: content,
            is_error,
            due,
        };
        self.dialogue.questions.insert(id, asked);
        Ok(())
    }

    /// Tells the answer to a call of one of the agent's own tools.
    pub(super) fn tell_result(
        &mut self,
        answer: aod_supervisor::Answer,
        step: &mut Step<'_>,
    ) -> io::Result<()> {
        if self.is_told() {
            let word = if answer.by_default {
                "default"
            } else {
                "answered"
            };
            metrics().tool_calls.with_label_values(&[word]).inc();
        }
        let told = ToolAnswer {
            request_id: answer.question,
            content: answer.value,
            is_error: answer.is_error,
            by_default: answer.by_default,
        };
        self.tell(EventBody::ToolAnswer(told), step)
    }
}

/// The question whether a tool may be called.
fn permission(call: AskedCall, choices: &[Choice]) -> io::Result<PermissionRequest> {
    let title = match &call.server {
        Some(server) => format!(
            "Call the tool {:?} of the MCP server {server:?}?",
            call.tool
        ),
        None => format!("Call the tool {:?}?", call.tool),
    };
    let detail = json!({ "server": call.server, "tool": call.tool, "input": call.input });
    Ok(PermissionRequest {
        request_id: call.request_id,
        kind: QuestionKind::Permission,
        title,
        detail: to_raw_value(&detail)?,
        call_id: None,
        choices: choices.to_vec(),
        editable: false,
        default: call.default.content,
        deadline_ms: call.deadline_ms,
    })
}

fn choices() -> Vec<Choice> {
    let choice = |id: &str, label: &str, meaning| Choice {
        id: id.to_owned(),
        label: label.to_owned(),
        meaning: Some(meaning),
    };
    vec![
        choice(CallAnswer::ALLOW, "Allow once", ChoiceMeaning::AllowOnce),
        choice(CallAnswer::DENY, "Deny", ChoiceMeaning::RejectOnce),
    ]
}
