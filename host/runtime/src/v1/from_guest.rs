//! From the types of this version to the host's. Strings are moved, not copied.

use super::wit;
use crate::check::{self, Invalid};
use crate::types;

pub(super) fn description(given: wit::Description) -> types::Description {
    let has = |flag| given.capabilities.contains(flag);
    types::Description {
        capabilities: types::Capabilities {
            deltas: has(wit::Capabilities::DELTAS),
            usage: has(wit::Capabilities::USAGE),
            cost: has(wit::Capabilities::COST),
            permissions: has(wit::Capabilities::PERMISSIONS),
            interrupt: has(wit::Capabilities::INTERRUPT),
            system_prompt: has(wit::Capabilities::SYSTEM_PROMPT),
            mcp_stdio: has(wit::Capabilities::MCP_STDIO),
            mcp_url: has(wit::Capabilities::MCP_URL),
            skills: has(wit::Capabilities::SKILLS),
        },
        name: given.name,
        version: given.version,
        cli: types::Cli {
            command: given.cli.command,
            version_args: given.cli.version_args,
            tested: given.cli.tested,
            install: given
                .cli
                .install
                .into_iter()
                .map(|step| match step {
                    wit::InstallStep::Npm(package) => types::InstallStep::Npm(package),
                    wit::InstallStep::Run(argv) => types::InstallStep::Run(argv),
                })
                .collect(),
        },
        providers: given
            .providers
            .into_iter()
            .map(|provider| types::Provider {
                id: provider.id,
                endpoint_variable: provider.endpoint_variable,
                whole_catalog: provider.whole_catalog,
            })
            .collect(),
        models: given
            .models
            .into_iter()
            .map(|model| types::Model {
                id: model.id,
                label: model.label,
            })
            .collect(),
        credentials: given
            .credentials
            .into_iter()
            .map(|credential| types::Credential {
                name: credential.name,
                variable: credential.variable,
                providers: credential.providers,
                displaces: credential.displaces,
                prefix: credential.prefix,
                label: credential.label,
            })
            .collect(),
        skills_folder: given.skills_folder,
        resume: match given.resume {
            wit::ResumeStrategy::CallerChosen => types::ResumeStrategy::CallerChosen,
            wit::ResumeStrategy::FromStream => types::ResumeStrategy::FromStream,
            wit::ResumeStrategy::Latest => types::ResumeStrategy::Latest,
            wit::ResumeStrategy::None => types::ResumeStrategy::None,
        },
        interrupt: match given.interrupt {
            wit::Interrupt::Sigint => types::Interrupt::Sigint,
            wit::Interrupt::Sigterm => types::Interrupt::Sigterm,
            wit::Interrupt::Dialogue => types::Interrupt::Dialogue,
            wit::Interrupt::Kill => types::Interrupt::Kill,
        },
        exit_grace_ms: given.exit_grace_ms,
    }
}

pub(super) fn plan(given: wit::Plan) -> types::Plan {
    types::Plan {
        argv: given.argv,
        env: given
            .env
            .into_iter()
            .map(|variable| types::Variable {
                name: variable.name,
                value: fragments(variable.value),
            })
            .collect(),
        withhold: given.withhold,
        expose: given.expose,
        stdin: match given.stdin {
            wit::Stdin::None => types::Stdin::None,
            wit::Stdin::Text(text) => types::Stdin::Text(fragments(text)),
            wit::Stdin::Open(text) => types::Stdin::Open(fragments(text)),
        },
        files: given
            .files
            .into_iter()
            .map(|file| types::File {
                path: file.path,
                mode: file.mode,
                content: fragments(file.content),
            })
            .collect(),
        delete: given.delete,
        continuity: match given.continuity {
            wit::Continuity::First => types::Continuity::First,
            wit::Continuity::Native => types::Continuity::Native,
            wit::Continuity::Fresh => types::Continuity::Fresh,
        },
    }
}

fn fragments(given: Vec<wit::Fragment>) -> Vec<types::Fragment> {
    given
        .into_iter()
        .map(|fragment| match fragment {
            wit::Fragment::Text(text) => types::Fragment::Text(text),
            wit::Fragment::Secret(secret) => types::Fragment::Secret(types::SecretRef {
                name: secret.name,
                encoding: match secret.encoding {
                    wit::Encoding::Raw => types::Encoding::Raw,
                    wit::Encoding::Json => types::Encoding::Json,
                },
            }),
        })
        .collect()
}

pub(super) fn reaction(given: wit::Reaction) -> Result<types::Reaction, Invalid> {
    check::items("actions", given.actions.len())?;
    Ok(types::Reaction {
        actions: given
            .actions
            .into_iter()
            .map(action)
            .collect::<Result<_, _>>()?,
        absorbed: given.absorbed,
    })
}

pub(super) fn conclusion(given: wit::Conclusion) -> Result<types::Conclusion, Invalid> {
    check::items("events", given.events.len())?;
    Ok(types::Conclusion {
        events: given
            .events
            .into_iter()
            .map(event)
            .collect::<Result<_, _>>()?,
        failure: given.failure.map(failure),
        remember: given.remember,
    })
}

fn action(given: wit::Action) -> Result<types::Action, Invalid> {
    Ok(match given {
        wit::Action::Emit(emitted) => types::Action::Emit(types::Emitted {
            line: emitted.line,
            event: event(emitted.event)?,
        }),
        wit::Action::Remember(token) => types::Action::Remember(token),
        wit::Action::WriteStdin(text) => types::Action::WriteStdin(fragments(text)),
        wit::Action::CloseStdin => types::Action::CloseStdin,
        wit::Action::Ask(question) => types::Action::Ask(ask(question)?),
        wit::Action::WakeAfter(ms) => types::Action::WakeAfter(ms),
        wit::Action::EndTurn => types::Action::EndTurn,
    })
}

fn ask(given: wit::Question) -> Result<types::Question, Invalid> {
    Ok(types::Question {
        id: given.id,
        kind: match given.kind {
            wit::QuestionKind::Permission => types::QuestionKind::Permission,
            wit::QuestionKind::Question => types::QuestionKind::Question,
        },
        title: given.title,
        detail: check::json("question.detail", given.detail)?,
        choices: given
            .choices
            .into_iter()
            .map(|choice| types::Choice {
                id: choice.id,
                label: choice.label,
            })
            .collect(),
        default: given.default,
        deadline_ms: given.deadline_ms,
    })
}

fn event(given: wit::Event) -> Result<types::Event, Invalid> {
    Ok(match given {
        wit::Event::SessionStarted(started) => {
            types::Event::SessionStarted(types::SessionStarted {
                native_session_id: started.native_session_id,
            })
        }
        wit::Event::MessageDelta(text) => types::Event::MessageDelta(text),
        wit::Event::Message(message) => types::Event::Message(types::Message {
            role: match message.role {
                wit::Role::Assistant => types::Role::Assistant,
                wit::Role::User => types::Role::User,
                wit::Role::System => types::Role::System,
            },
            text: message.text,
        }),
        wit::Event::Reasoning(text) => types::Event::Reasoning(text),
        wit::Event::ToolCall(call) => types::Event::ToolCall(types::ToolCall {
            call_id: call.call_id,
            name: call.name,
            input: check::json("tool-call.input", call.input)?,
        }),
        wit::Event::ToolResult(result) => types::Event::ToolResult(types::ToolResult {
            call_id: result.call_id,
            output: result.output,
            is_error: result.is_error,
        }),
        wit::Event::FileChange(change) => types::Event::FileChange(types::FileChange {
            path: change.path,
            kind: match change.kind {
                wit::ChangeKind::Created => types::ChangeKind::Created,
                wit::ChangeKind::Modified => types::ChangeKind::Modified,
                wit::ChangeKind::Deleted => types::ChangeKind::Deleted,
            },
        }),
        wit::Event::Todo(items) => types::Event::Todo(items.into_iter().map(todo).collect()),
        wit::Event::Usage(usage) => types::Event::Usage(types::Usage {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cached_tokens: usage.cached_tokens,
            cost_usd: check::cost(usage.cost_usd)?,
        }),
        wit::Event::Notice(notice) => types::Event::Notice(types::Notice {
            level: match notice.level {
                wit::Level::Info => types::Level::Info,
                wit::Level::Warning => types::Level::Warning,
                wit::Level::Error => types::Level::Error,
            },
            text: notice.text,
        }),
        wit::Event::TurnResult(result) => types::Event::TurnResult(types::TurnResult {
            text: result.text,
            failure: result.failure.map(failure),
            stop_reason: result.stop_reason,
            duration_ms: result.duration_ms,
        }),
        wit::Event::Unparsed(line) => types::Event::Unparsed(line),
    })
}

fn todo(given: wit::TodoItem) -> types::TodoItem {
    types::TodoItem {
        text: given.text,
        status: match given.status {
            wit::TodoStatus::Pending => types::TodoStatus::Pending,
            wit::TodoStatus::InProgress => types::TodoStatus::InProgress,
            wit::TodoStatus::Completed => types::TodoStatus::Completed,
        },
    }
}

fn failure(given: wit::Failure) -> types::Failure {
    types::Failure {
        kind: match given.kind {
            wit::FailureKind::Auth => types::FailureKind::Auth,
            wit::FailureKind::Quota => types::FailureKind::Quota,
            wit::FailureKind::Provider => types::FailureKind::Provider,
            wit::FailureKind::Tool => types::FailureKind::Tool,
            wit::FailureKind::Timeout => types::FailureKind::Timeout,
            wit::FailureKind::Resume => types::FailureKind::Resume,
            wit::FailureKind::Crash => types::FailureKind::Crash,
        },
        message: given.message,
        retry_at_ms: given.retry_at_ms,
    }
}
