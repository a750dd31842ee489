//! From the host's types to those of this version.

use super::wit;
use crate::types;

pub(super) fn context(context: &types::TurnContext) -> wit::TurnContext {
    wit::TurnContext {
        session_id: context.session_id.clone(),
        turn: context.turn,
        turn_id: context.turn_id.clone(),
        prompt: context.prompt.clone(),
        system: context.system.clone(),
        model: context.model.clone(),
        mcp_servers: context.mcp_servers.iter().map(mcp_server).collect(),
        skills: context
            .skills
            .iter()
            .map(|skill| wit::Skill {
                name: skill.name.clone(),
                description: skill.description.clone(),
            })
            .collect(),
        resume: context.resume.clone(),
        secrets: context.secrets.clone(),
        endpoints: context
            .endpoints
            .iter()
            .map(|endpoint| wit::Endpoint {
                provider: endpoint.provider.clone(),
                url: endpoint.url.clone(),
            })
            .collect(),
        paths: wit::Paths {
            home: context.paths.home.clone(),
            workspace: context.paths.workspace.clone(),
            private: context.paths.private.clone(),
        },
        cli_version: context.cli_version.clone(),
        options: context.options.clone(),
    }
}

fn mcp_server(server: &types::McpServer) -> wit::McpServer {
    let transport = match &server.transport {
        types::McpTransport::Url(url) => wit::McpTransport::Url(wit::McpUrl {
            url: url.url.clone(),
            headers: url.headers.iter().map(mcp_value).collect(),
        }),
        types::McpTransport::Stdio(stdio) => wit::McpTransport::Stdio(wit::McpStdio {
            command: stdio.command.clone(),
            args: stdio.args.clone(),
            env: stdio.env.iter().map(mcp_value).collect(),
        }),
    };
    wit::McpServer {
        name: server.name.clone(),
        transport,
    }
}

fn mcp_value(value: &types::McpValue) -> wit::McpValue {
    wit::McpValue {
        name: value.name.clone(),
        secret: value.secret.clone(),
    }
}

pub(super) fn output_stream(stream: types::OutputStream) -> wit::OutputStream {
    match stream {
        types::OutputStream::Stdout => wit::OutputStream::Stdout,
        types::OutputStream::Stderr => wit::OutputStream::Stderr,
    }
}

pub(super) fn answer(answer: &types::Answer) -> wit::Answer {
    wit::Answer {
        question: answer.question.clone(),
        value: answer.value.clone(),
        by_default: answer.by_default,
    }
}

pub(super) fn exit(exit: &types::Exit) -> wit::Exit {
    wit::Exit {
        code: exit.code,
        signal: exit.signal,
        cause: match exit.cause {
            types::ExitCause::Own => wit::ExitCause::Own,
            types::ExitCause::Interrupted => wit::ExitCause::Interrupted,
            types::ExitCause::Terminated => wit::ExitCause::Terminated,
            types::ExitCause::Timeout => wit::ExitCause::Timeout,
            types::ExitCause::Idle => wit::ExitCause::Idle,
        },
        stderr_tail: exit.stderr_tail.clone(),
    }
}
