//! What an adapter emits, as the events that the host stores. Strings are moved, not copied.

use aod_resources::Timestamp;
use aod_resources::event::{self, EventBody};

use super::bindings::exports::aod::runtime as wit;
use crate::check::{self, Invalid};
use crate::types::{Action, Emitted, ForkOutcome, Item, Reaction};

/// Enumerations whose cases have the same names on both sides.
macro_rules! same_cases {
    ($(fn $name:ident($from:path) -> $to:path { $($case:ident),* })*) => {
        $(fn $name(given: $from) -> $to {
            // An enumeration cannot be named by a path with a case behind it in a macro.
            use $from as From;
            use $to as To;
            match given {
                $(From::$case => To::$case,)*
            }
        })*
    };
}

same_cases! {
    fn role(wit::events::Role) -> event::Role { Assistant, User, System }
    fn tool_kind(wit::events::ToolKind) -> event::ToolKind {
        Read, Edit, Delete, Move, Search, Execute, Think, Fetch, Mcp, Agent, Other
    }
    fn change_kind(wit::events::ChangeKind) -> event::ChangeKind {
        Created, Modified, Deleted, Moved
    }
    fn todo_status(wit::events::TodoStatus) -> event::TodoStatus { Pending, InProgress, Completed }
    fn level(wit::events::Level) -> event::Level { Info, Warning, Error }
    fn task_state(wit::events::TaskState) -> event::TaskState {
        Opened, Progressed, Completed, Failed, Stopped
    }
    fn task_kind(wit::events::TaskKind) -> event::TaskKind { Command, Subagent, Other }
    fn mcp_state(wit::events::McpState) -> event::McpState {
        Connecting, Ready, Failed, NeedsAuth, Disabled
    }
    fn stop_kind(wit::events::StopKind) -> event::StopKind {
        Completed, Interrupted, Preempted, MaxRounds, Budget, Refused, Failed, Unasked
    }
    fn failure_kind(wit::content::FailureKind) -> event::FailureKind {
        Auth, Quota, Provider, Tool, Timeout, Resume, Crash, Limit, Output, Refused, Unsupported
    }
    fn question_kind(wit::conversations::QuestionKind) -> event::QuestionKind {
        Permission, Question
    }
    fn meaning(wit::conversations::ChoiceMeaning) -> event::ChoiceMeaning {
        AllowOnce, AllowAlways, RejectOnce, RejectAlways
    }
    fn turn_cause(wit::conversations::TurnCause) -> event::TurnCause { Injected, Background }
}

pub(super) fn reaction(given: wit::conversations::Reaction) -> Result<Reaction, Invalid> {
    check::items("actions", given.actions.len())?;
    Ok(Reaction {
        actions: given
            .actions
            .into_iter()
            .map(action)
            .collect::<Result<_, _>>()?,
        absorbed: given.absorbed,
    })
}

fn action(given: wit::conversations::Action) -> Result<Action, Invalid> {
    use wit::conversations::Action as Given;
    Ok(match given {
        Given::Emit(event) => Action::Emit(emitted(event)?),
        Given::Remember(token) => Action::Remember(token),
        Given::Forget => Action::Forget,
        Given::WriteStdin(text) => Action::WriteStdin(text),
        Given::CloseStdin => Action::CloseStdin,
        Given::Ask(question) => Action::Ask(ask(question)?),
        Given::Withdraw(question) => Action::Withdraw(question),
        Given::WakeAfter(milliseconds) => Action::WakeAfter(milliseconds),
        Given::OpenTurn(cause) => Action::OpenTurn(turn_cause(cause)),
        Given::EndTurn => Action::EndTurn,
        Given::Close => Action::Close,
        Given::Injected(outcome) => Action::Injected(outcome),
        Given::Forked(outcome) => Action::Forked(ForkOutcome {
            id: outcome.id,
            token: outcome.token.map_err(failure),
        }),
    })
}

fn ask(given: wit::conversations::Question) -> Result<event::PermissionRequest, Invalid> {
    Ok(event::PermissionRequest {
        request_id: given.id,
        kind: question_kind(given.kind),
        title: given.title,
        detail: check::json("question.detail", given.detail)?,
        call_id: given.call_id,
        choices: given
            .choices
            .into_iter()
            .map(|choice| event::Choice {
                id: choice.id,
                label: choice.label,
                meaning: choice.meaning.map(meaning),
            })
            .collect(),
        editable: given.editable,
        default: given.default,
        deadline_ms: given.deadline_ms,
    })
}

fn emitted(given: wit::events::Event) -> Result<Emitted, Invalid> {
    let (item, body) = body(given.body)?;
    Ok(Emitted {
        line: given.line,
        turn: given.turn,
        inside: given.inside,
        item,
        body,
    })
}

fn body(given: wit::events::EventBody) -> Result<(Item, EventBody), Invalid> {
    use wit::events::EventBody as Given;
    let about = |item, body| Ok((Item::About(item), body));
    let body = match given {
        Given::MessageDelta(delta) => {
            return about(delta.item, EventBody::MessageDelta(piece(delta.text)));
        }
        Given::ReasoningDelta(delta) => {
            return about(delta.item, EventBody::ReasoningDelta(piece(delta.text)));
        }
        Given::MessageDiscarded(discarded) => {
            let body = event::MessageDiscarded {
                message: 0,
                reason: discarded.reason,
            };
            return about(discarded.item, EventBody::MessageDiscarded(body));
        }
        Given::Message(message) => {
            let item = message.item.map_or(Item::None, Item::Whole);
            let body = event::Message {
                role: role(message.role),
                text: message.text,
                parts: parts(message.parts)?,
                aborted: message.aborted,
            };
            return Ok((item, EventBody::Message(body)));
        }
        Given::Reasoning(reasoning) => {
            let item = reasoning.item.map_or(Item::None, Item::Whole);
            let body = event::Reasoning {
                text: reasoning.text,
            };
            return Ok((item, EventBody::Reasoning(body)));
        }
        Given::Usage(usage) => {
            let item = match usage.counts {
                wit::events::UsageCounts::Difference => Item::None,
                wit::events::UsageCounts::TurnTotal => Item::TurnTotal,
            };
            return Ok((item, EventBody::Usage(used(usage)?)));
        }
        Given::SessionStarted(started) => EventBody::SessionStarted(event::SessionStarted {
            native_session_id: started.native_session_id,
        }),
        Given::ToolCall(call) => EventBody::ToolCall(event::ToolCall {
            call_id: call.call_id,
            name: call.name,
            kind: tool_kind(call.kind),
            title: call.title,
            server: call.server,
            canonical_name: call.canonical_name,
            input: check::json("tool-call.input", call.input)?,
            locations: locations(call.locations),
        }),
        Given::ToolUpdate(update) => EventBody::ToolUpdate(event::ToolUpdate {
            call_id: update.call_id,
            title: update.title,
            output: update.output,
            locations: locations(update.locations),
        }),
        Given::ToolResult(result) => EventBody::ToolResult(event::ToolResult {
            call_id: result.call_id,
            output: result.output,
            parts: parts(result.parts)?,
            is_error: result.is_error,
        }),
        Given::FileChange(change) => EventBody::FileChange(event::FileChange {
            seen_by_host: false,
            path: change.path,
            kind: change_kind(change.kind),
            moved_from: change.moved_from,
            diff: change.diff,
            call_id: change.call_id,
        }),
        Given::Todo(items) => EventBody::Todo(event::Todo {
            items: items
                .into_iter()
                .map(|item| event::TodoItem {
                    text: item.text,
                    status: todo_status(item.status),
                })
                .collect(),
        }),
        Given::Notice(notice) => EventBody::Notice(event::Notice {
            level: level(notice.level),
            text: notice.text,
            code: notice.code,
        }),
        Given::Task(task) => EventBody::Task(event::Task {
            task_id: task.task_id,
            state: task_state(task.state),
            kind: task_kind(task.kind),
            call_id: task.call_id,
            title: task.title,
        }),
        Given::McpServer(server) => EventBody::McpServer(event::McpServer {
            name: server.name,
            state: mcp_state(server.state),
            message: server.message,
        }),
        Given::Compaction(compaction) => EventBody::Compaction(event::Compaction {
            done: compaction.done,
            tokens_before: compaction.tokens_before,
            tokens_after: compaction.tokens_after,
        }),
        Given::TurnResult(result) => EventBody::TurnResult(turn_result(result)?),
        Given::Unparsed(data) => EventBody::Unparsed(event::Unparsed { data }),
        Given::Other(other) => EventBody::Other(event::Other {
            kind: other.kind,
            json: check::json("other.json", other.json)?,
        }),
    };
    Ok((Item::None, body))
}

/// A piece of a text. The host names the message that it belongs to.
fn piece(text: String) -> event::MessageDelta {
    event::MessageDelta { message: 0, text }
}

fn used(given: wit::events::Usage) -> Result<event::UsageDifference, Invalid> {
    Ok(event::UsageDifference {
        model: given.model,
        input_tokens: given.input_tokens,
        cache_write_tokens: given.cache_write_tokens,
        output_tokens: given.output_tokens,
        reasoning_tokens: given.reasoning_tokens,
        cached_tokens: given.cache_read_tokens,
        cost_usd: check::cost(given.cost_usd)?,
    })
}

fn turn_result(given: wit::events::TurnResult) -> Result<event::TurnResult, Invalid> {
    Ok(event::TurnResult {
        stop: stop_kind(given.stop),
        text: given.text,
        structured: given
            .structured
            .map(|structured| check::json("turn-result.structured", structured))
            .transpose()?,
        is_error: given.failure.is_some(),
        stop_reason: given.native_reason,
        duration_ms: given.duration_ms,
        failure: given.failure.map(failure),
    })
}

fn failure(given: wit::content::Failure) -> event::Failure {
    event::Failure {
        kind: failure_kind(given.kind),
        message: given.message,
        retry_at: given.retry_at_ms.map(|milliseconds| {
            let micros = milliseconds.saturating_mul(1000);
            Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
        }),
    }
}

fn locations(given: Vec<wit::events::Location>) -> Vec<event::Location> {
    given
        .into_iter()
        .map(|location| event::Location {
            path: location.path,
            line: location.line,
        })
        .collect()
}

fn parts(given: Vec<wit::events::Part>) -> Result<Vec<event::Part>, Invalid> {
    given.into_iter().map(part).collect()
}

fn part(given: wit::events::Part) -> Result<event::Part, Invalid> {
    use wit::events::Part as Given;
    Ok(match given {
        Given::Image(image) => event::Part::Image(event::Image {
            media_type: image.media_type,
            data: image.data,
        }),
        Given::Diff(diff) => event::Part::Diff(event::Diff {
            path: diff.path,
            unified: diff.unified,
        }),
        Given::Link(link) => event::Part::Link(event::Link {
            uri: link.uri,
            name: link.name,
            media_type: link.media_type,
        }),
        Given::Json(json) => event::Part::Json(check::json("part.json", json)?),
    })
}
