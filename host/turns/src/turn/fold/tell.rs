//! From what an adapter says to numbered events, with an event for every line that it forgot.

use aod_resources::event::{
    ChangeKind, Choice, Event, EventBody, EventId, Failure, FailureKind, Level, QuestionKind, Role,
    TodoItem, TodoStatus,
};
use aod_resources::{Timestamp, Usage};
use aod_runtime::types;

use super::lines::{Lines, Origin};

/// Gives events their ids.
///
/// An event has the number of the entry that completed its line; one that came from no line
/// follows the one before it. Lines are handed over in the order of their completion, so the same
/// records give the same ids however they were batched.
#[derive(Debug)]
pub(super) struct Numbers {
    turn: u32,
    origin: Origin,
    index: u32,
    /// When the turn began.
    began: i64,
}

impl Numbers {
    pub(super) fn new(turn: u32) -> Self {
        Self {
            turn,
            origin: Origin::default(),
            index: 0,
            began: 0,
        }
    }

    /// The turn begins at this entry.
    pub(super) fn begin(&mut self, origin: Origin) {
        self.began = origin.time;
        self.reach(Origin {
            // The log's first entry may be this turn's output, and nothing is before it.
            entry: origin.entry.max(1),
            ..origin
        });
    }

    /// What is told next came from this entry.
    pub(super) fn reach(&mut self, origin: Origin) {
        if origin.entry > self.origin.entry {
            self.origin = origin;
            self.index = 0;
        } else {
            // A record without a number stands behind the entry whose number it has.
            self.origin.time = self.origin.time.max(origin.time);
        }
    }

    pub(super) fn event(&mut self, body: EventBody) -> Event {
        let event = Event {
            id: EventId {
                entry: self.origin.entry,
                index: self.index,
            },
            turn: self.turn,
            at: Timestamp::from_micros(self.origin.time),
            body,
        };
        self.index += 1;
        event
    }

    /// Milliseconds from the turn's beginning to now.
    pub(super) fn elapsed(&self) -> u64 {
        let micros = self.origin.time.saturating_sub(self.began);
        u64::try_from(micros / 1000).unwrap_or(0)
    }

    /// The event as it is stored.
    pub(super) fn body(&self, event: types::Event) -> EventBody {
        use types::Event as From;
        match event {
            From::SessionStarted(started) => EventBody::SessionStarted {
                native_session_id: started.native_session_id,
            },
            From::MessageDelta(text) => EventBody::MessageDelta { text },
            From::Message(message) => EventBody::Message {
                role: match message.role {
                    types::Role::Assistant => Role::Assistant,
                    types::Role::User => Role::User,
                    types::Role::System => Role::System,
                },
                text: message.text,
            },
            From::Reasoning(text) => EventBody::Reasoning { text },
            From::ToolCall(call) => EventBody::ToolCall {
                call_id: call.call_id,
                name: call.name,
                input: call.input,
            },
            From::ToolResult(result) => EventBody::ToolResult {
                call_id: result.call_id,
                output: result.output,
                is_error: result.is_error,
            },
            From::FileChange(change) => EventBody::FileChange {
                path: change.path,
                kind: match change.kind {
                    types::ChangeKind::Created => ChangeKind::Created,
                    types::ChangeKind::Modified => ChangeKind::Modified,
                    types::ChangeKind::Deleted => ChangeKind::Deleted,
                },
            },
            From::Todo(items) => EventBody::Todo {
                items: items.into_iter().map(todo).collect(),
            },
            From::Usage(used) => usage(&used).into(),
            From::Notice(notice) => EventBody::Notice {
                level: match notice.level {
                    types::Level::Info => Level::Info,
                    types::Level::Warning => Level::Warning,
                    types::Level::Error => Level::Error,
                },
                text: notice.text,
            },
            From::TurnResult(result) => EventBody::TurnResult {
                text: result.text,
                is_error: result.failure.is_some(),
                stop_reason: result.stop_reason,
                duration_ms: result.duration_ms.unwrap_or_else(|| self.elapsed()),
                failure: result.failure.map(failure),
            },
            From::Unparsed(data) => EventBody::Unparsed { data },
        }
    }
}

fn todo(item: types::TodoItem) -> TodoItem {
    TodoItem {
        text: item.text,
        status: match item.status {
            types::TodoStatus::Pending => TodoStatus::Pending,
            types::TodoStatus::InProgress => TodoStatus::InProgress,
            types::TodoStatus::Completed => TodoStatus::Completed,
        },
    }
}

fn failure(failure: types::Failure) -> Failure {
    Failure {
        kind: match failure.kind {
            types::FailureKind::Auth => FailureKind::Auth,
            types::FailureKind::Quota => FailureKind::Quota,
            types::FailureKind::Provider => FailureKind::Provider,
            types::FailureKind::Tool => FailureKind::Tool,
            types::FailureKind::Timeout => FailureKind::Timeout,
            types::FailureKind::Resume => FailureKind::Resume,
            types::FailureKind::Crash => FailureKind::Crash,
        },
        message: failure.message,
        retry_at: failure.retry_at_ms.map(|ms| {
            let micros = ms.saturating_mul(1000);
            Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
        }),
    }
}

pub(super) fn usage(usage: &types::Usage) -> Usage {
    Usage {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cached_tokens: usage.cached_tokens,
        cost_usd: usage.cost_usd.filter(|cost| cost.is_finite()),
    }
}

pub(super) fn request(question: &types::Question) -> EventBody {
    EventBody::PermissionRequest {
        request_id: question.id.clone(),
        kind: match question.kind {
            types::QuestionKind::Permission => QuestionKind::Permission,
            types::QuestionKind::Question => QuestionKind::Question,
        },
        title: question.title.clone(),
        detail: question.detail.clone(),
        choices: question
            .choices
            .iter()
            .map(|choice| Choice {
                id: choice.id.clone(),
                label: choice.label.clone(),
            })
            .collect(),
        default: question.default.clone(),
        deadline_ms: question.deadline_ms,
    }
}

pub(super) fn unparsed(line: &str) -> EventBody {
    EventBody::Unparsed {
        data: line.strip_suffix('\n').unwrap_or(line).to_owned(),
    }
}

/// Sees to it that each line of a batch is accounted for.
pub(super) struct Account<'a> {
    lines: &'a Lines,
    covered: Vec<bool>,
    /// Lines before this one are accounted for.
    next: usize,
}

impl<'a> Account<'a> {
    pub(super) fn new(lines: &'a Lines, reaction: &types::Reaction) -> Self {
        let mut covered = vec![false; lines.len()];
        let emitted = reaction.actions.iter().filter_map(|action| match action {
            types::Action::Emit(emitted) => Some(emitted.line),
            _ => None,
        });
        for line in emitted.chain(reaction.absorbed.iter().copied()) {
            if let Some(covered) = covered.get_mut(line as usize) {
                *covered = true;
            }
        }
        Self {
            lines,
            covered,
            next: 0,
        }
    }

    /// The forgotten lines in front of `line`, and where that came from.
    pub(super) fn before(&mut self, line: u32) -> (Vec<usize>, Option<Origin>) {
        let line = (line as usize).min(self.lines.len().saturating_sub(1));
        let forgotten = self.up_to(line);
        (
            forgotten,
            self.lines.lines.get(line).map(|line| line.origin),
        )
    }

    /// The forgotten lines that are left.
    pub(super) fn rest(&mut self) -> Vec<usize> {
        self.up_to(self.lines.len())
    }

    fn up_to(&mut self, line: usize) -> Vec<usize> {
        let range = self.next..line.max(self.next);
        self.next = range.end;
        range.filter(|line| !self.covered[*line]).collect()
    }
}
