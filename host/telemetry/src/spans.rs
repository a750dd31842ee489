//! The spans of a turn, after OpenTelemetry's conventions for generative AI.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use aod_resources::event::{Event, EventBody, ToolCall, ToolResult, UsageDifference};
use aod_resources::{Outcome, Timestamp, Turn, Usage};
use aod_store::SessionRecord;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::content;

/// No turn has more spans than these; the turn's own says how many there would be.
const MOST: usize = 10_000;

/// Makes the spans of one turn.
pub(crate) struct TurnSpans {
    session: SessionRecord,
    turn: Turn,
    /// What all of them have.
    common: Vec<KeyValue>,
    content: bool,
    spans: Vec<SpanData>,
    left_out: i64,
    /// Calls of tools that were not answered yet, by their ids.
    open: HashMap<String, (Event, ToolCall)>,
    /// When the model was last given something: what it says after that is its answer.
    asked_at: Timestamp,
    requests: u32,
}

impl TurnSpans {
    pub(crate) fn new(
        session: SessionRecord,
        turn: Turn,
        common: Vec<KeyValue>,
        content: bool,
    ) -> Self {
        Self {
            asked_at: turn.started_at.unwrap_or(turn.created_at),
            session,
            turn,
            common,
            content,
            spans: Vec::new(),
            left_out: 0,
            open: HashMap::new(),
            requests: 0,
        }
    }

    /// Takes an event of the turn, in their order.
    pub(crate) fn take(&mut self, event: Event) {
        match &event.body {
            EventBody::ToolCall(call) => {
                let call = call.clone();
                let id = call.call_id.clone();
                if self.open.len() < MOST {
                    self.open.insert(id, (event, call));
                }
            }
            EventBody::ToolResult(result) => {
                if let Some((begun, call)) = self.open.remove(&result.call_id) {
                    self.tool(&begun, &call, Some(result), event.at);
                }
                if event.inside.is_none() {
                    self.asked_at = event.at;
                }
            }
            EventBody::Usage(used) => {
                self.chat(used, &event);
                self.asked_at = event.at;
            }
            _ => {}
        }
    }

    /// All of them, with the turn's own.
    pub(crate) fn finish(mut self) -> Vec<SpanData> {
        let ended = self.turn.ended_at.unwrap_or_else(Timestamp::now);
        for (_, (begun, call)) in std::mem::take(&mut self.open) {
            self.tool(&begun, &call, None, ended);
        }
        let started = self.turn.started_at.unwrap_or(ended);
        let number = i64::from(self.turn.turn_number);
        let agent = self.session.agent.name.clone();
        let mut attributes = self.common.clone();
        attributes.extend(usage_of(&self.turn.usage));
        attributes.extend([
            KeyValue::new("gen_ai.agent.id", self.session.agent.id.to_string()),
            KeyValue::new("gen_ai.agent.name", agent.clone()),
            KeyValue::new("aod.turn.number", number),
            KeyValue::new("aod.user.id", self.session.owner.to_string()),
        ]);
        if let Some(outcome) = self.turn.outcome {
            attributes.push(KeyValue::new("aod.turn.outcome", outcome.as_str()));
        }
        if let Some(cost) = self.turn.usage.cost_usd {
            attributes.push(KeyValue::new("aod.usage.cost_usd", cost));
        }
        if self.left_out > 0 {
            attributes.push(KeyValue::new("aod.spans.left_out", self.left_out));
        }
        let status = match self.turn.outcome {
            Some(Outcome::Failed) => {
                attributes.push(KeyValue::new("error.type", self.failure()));
                Status::error("the turn failed")
            }
            Some(Outcome::Completed) => Status::Ok,
            _ => Status::Unset,
        };
        if self.content {
            let prompt = &self.turn.prompt;
            attributes.push(content::message("gen_ai.input.messages", "user", prompt));
            let result = self.turn.result.as_ref();
            if let Some(text) = result.and_then(|result| result["text"].as_str()) {
                let said = content::message("gen_ai.output.messages", "assistant", text);
                attributes.push(said);
            }
        }
        let turn = self.turn_span();
        let root = self.id("session", "");
        let name = format!("invoke_agent {agent}");
        self.add(turn, root, name, (started, ended), attributes, status);
        let waited = (self.turn.created_at, started);
        let attributes = vec![KeyValue::new("aod.turn.number", number)];
        let id = self.id("provision", "");
        let name = "provision".to_owned();
        self.add(id, root, name, waited, attributes, Status::Unset);
        if number == 1 {
            let created = (self.session.session.created_at, ended);
            let attributes = vec![KeyValue::new("aod.runtime", self.runtime())];
            let name = "session".to_owned();
            self.add(
                root,
                SpanId::INVALID,
                name,
                created,
                attributes,
                Status::Unset,
            );
        }
        self.spans
    }

    fn runtime(&self) -> String {
        self.session.session.runtime.clone()
    }

    /// The kind of failure that the turn's result names.
    fn failure(&self) -> String {
        let result = self.turn.result.as_ref();
        let kind = result.and_then(|result| result["failure"]["kind"].as_str());
        kind.unwrap_or("failed").to_owned()
    }

    fn tool(&mut self, begun: &Event, call: &ToolCall, result: Option<&ToolResult>, to: Timestamp) {
        if !self.has_room() {
            return;
        }
        let kind = serde_json::to_value(call.kind).unwrap_or_default();
        let mut attributes = vec![
            KeyValue::new("gen_ai.operation.name", "execute_tool"),
            KeyValue::new("gen_ai.tool.name", call.name.clone()),
            KeyValue::new("gen_ai.tool.call.id", call.call_id.clone()),
            KeyValue::new("gen_ai.tool.type", "function"),
            KeyValue::new(
                "aod.tool.kind",
                kind.as_str().unwrap_or_default().to_owned(),
            ),
        ];
        if let Some(server) = &call.server {
            attributes.push(KeyValue::new("aod.mcp.server", server.clone()));
        }
        let status = match result {
            Some(result) if result.is_error => {
                attributes.push(KeyValue::new("error.type", "tool_error"));
                Status::error("the tool failed")
            }
            Some(_) => Status::Ok,
            None => Status::Unset,
        };
        if self.content {
            let input = call.input.get();
            attributes.push(content::text("gen_ai.tool.call.arguments", input));
            if let Some(result) = result {
                let output = &result.output;
                attributes.push(content::text("gen_ai.tool.call.result", output));
            }
        }
        let id = self.id("tool", &call.call_id);
        let parent = self.parent_of(begun);
        let name = format!("execute_tool {}", call.name);
        self.add(id, parent, name, (begun.at, to), attributes, status);
    }

    fn chat(&mut self, used: &UsageDifference, event: &Event) {
        if !self.has_room() {
            return;
        }
        self.requests += 1;
        let mut attributes = vec![KeyValue::new("gen_ai.operation.name", "chat")];
        attributes.extend(
            self.common
                .iter()
                .filter(|it| it.key.as_str() != "gen_ai.operation.name")
                .cloned(),
        );
        if let Some(model) = &used.model {
            attributes.push(KeyValue::new("gen_ai.response.model", model.clone()));
        }
        attributes.extend(usage_of(&Usage::from(used)));
        if let Some(cost) = used.cost_usd {
            attributes.push(KeyValue::new("aod.usage.cost_usd", cost));
        }
        let requested = self.session.session.model.rsplit('/').next();
        let model = used.model.as_deref().or(requested).unwrap_or_default();
        let id = self.id("chat", &self.requests.to_string());
        let parent = self.parent_of(event);
        let time = (self.asked_at, event.at);
        let name = format!("chat {model}");
        self.add(id, parent, name, time, attributes, Status::Unset);
    }

    /// Whether there may be one more beside the turn's own; counts those for which there is none.
    fn has_room(&mut self) -> bool {
        let has_room = self.spans.len() < MOST;
        self.left_out += i64::from(!has_room);
        has_room
    }

    /// The call that an event happened inside of, else the turn.
    fn parent_of(&self, event: &Event) -> SpanId {
        match &event.inside {
            Some(call) => self.id("tool", call),
            None => self.turn_span(),
        }
    }

    fn turn_span(&self) -> SpanId {
        self.id("turn", "")
    }

    /// The same for the same, so that spans find each other whoever tells of them, and when.
    fn id(&self, kind: &str, name: &str) -> SpanId {
        let session = self.session.session.id;
        let turn = match kind {
            "session" => 0,
            _ => self.turn.turn_number,
        };
        span_id(session, turn, kind, name)
    }

    fn add(
        &mut self,
        id: SpanId,
        parent: SpanId,
        name: String,
        (from, to): (Timestamp, Timestamp),
        mut attributes: Vec<KeyValue>,
        status: Status,
    ) {
        let session = self.session.session.id;
        attributes.push(KeyValue::new("gen_ai.conversation.id", session.to_string()));
        let is_request = name.starts_with("chat ");
        self.spans.push(SpanData {
            span_context: SpanContext::new(
                TraceId::from_bytes(*session.as_bytes()),
                id,
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: match is_request {
                true => SpanKind::Client,
                false => SpanKind::Internal,
            },
            name: Cow::Owned(name),
            start_time: time(from.min(to)),
            end_time: time(to),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: InstrumentationScope::builder("aod")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        });
    }
}

fn span_id(session: Uuid, turn: u32, kind: &str, name: &str) -> SpanId {
    let mut hash = Sha256::new();
    hash.update(session.as_bytes());
    hash.update(turn.to_be_bytes());
    hash.update(kind.as_bytes());
    hash.update([0]);
    hash.update(name.as_bytes());
    let hash = hash.finalize();
    let mut id = [0; 8];
    id.copy_from_slice(&hash[..8]);
    // Nothing but zeros would be no id.
    id[7] |= 1;
    SpanId::from_bytes(id)
}

/// Tokens as the conventions count them: what was read from a cache was sent, too.
fn usage_of(usage: &Usage) -> [KeyValue; 3] {
    let tokens = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let sent = usage.input_tokens.saturating_add(usage.cached_tokens);
    [
        KeyValue::new("gen_ai.usage.input_tokens", tokens(sent)),
        KeyValue::new("gen_ai.usage.output_tokens", tokens(usage.output_tokens)),
        KeyValue::new(
            "gen_ai.usage.cache_read.input_tokens",
            tokens(usage.cached_tokens),
        ),
    ]
}

fn time(at: Timestamp) -> SystemTime {
    let micros = u64::try_from(at.as_micros()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_named_by_what_they_are_of() {
        let session = Uuid::from_u128(7);
        let one = span_id(session, 1, "tool", "a");
        assert_eq!(one, span_id(session, 1, "tool", "a"));
        for other in [
            span_id(session, 2, "tool", "a"),
            span_id(session, 1, "tool", "b"),
            span_id(session, 1, "chat", "a"),
            span_id(Uuid::from_u128(8), 1, "tool", "a"),
        ] {
            assert_ne!(one, other);
            assert_ne!(other, SpanId::INVALID);
        }
    }

    #[test]
    fn what_was_cached_was_sent() {
        let usage = Usage {
            input_tokens: 3,
            output_tokens: 5,
            cached_tokens: 7,
            cost_usd: None,
        };
        let values = usage_of(&usage).map(|it| it.value.as_str().into_owned());
        assert_eq!(values, ["10", "5", "7"]);
    }
}
