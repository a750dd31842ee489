//! For tests of adapters: facts to start from, replays of recorded output, and the laws that hold
//! for every adapter. With the feature `testing`.

mod dialogue;
mod launches;
mod laws;
mod recording;
mod replay;

pub use dialogue::{Dialogue, dialogues, restarts_change_nothing};
pub use launches::{keeps_secrets_apart, shown, starts_afresh, with_everything};
pub use laws::laws;
pub use recording::{Recording, recordings};
pub use replay::{Replay, replay};

use crate::{
    Block, Context, Exit, ExitCause, Fragment, McpOwner, McpServer, McpStdio, McpTransport, McpUrl,
    McpValue, Origin, Paths, Prompt, SecretEncoding, Setting, WorkspaceConfig,
};

/// The id of the session and of its first turn, in [`context`] and [`prompt`].
pub const SESSION: &str = "5e551011-0000-4000-8000-000000000000";

/// The facts of a conversation's first process with nothing special about it.
#[must_use]
pub fn context(model: &str) -> Context {
    Context {
        session_id: SESSION.to_owned(),
        system: None,
        model: model.to_owned(),
        mcp_servers: Vec::new(),
        skills: Vec::new(),
        origin: Origin::New,
        secrets: Vec::new(),
        endpoints: Vec::new(),
        paths: Paths {
            home: "/home/agent".to_owned(),
            workspace: "/workspace".to_owned(),
            private: "/run/private".to_owned(),
        },
        cli_version: None,
        options: "{}".to_owned(),
        live: false,
        workspace_config: WorkspaceConfig::Instructions,
        tool_policies: Vec::new(),
    }
}

/// A first prompt with nothing special about it.
#[must_use]
pub fn prompt(text: &str) -> Prompt {
    Prompt {
        turn: 1,
        turn_id: SESSION.to_owned(),
        blocks: vec![Block::Text(text.to_owned())],
        settings: Vec::new(),
        limits: Vec::new(),
        output_schema: None,
    }
}

/// An end of the process by itself, with this code.
#[must_use]
pub fn exit(code: i32) -> Exit {
    Exit {
        code: Some(code),
        signal: None,
        cause: ExitCause::Own,
        stderr_tail: String::new(),
    }
}

/// What a host writes for fragments, with `<NAME>` for a raw secret, `<NAME as JSON>` for one that
/// stands in a JSON string, and `<attachment ID>` for an attachment.
#[must_use]
pub fn written(fragments: &[Fragment]) -> String {
    let each = fragments.iter().map(|fragment| match fragment {
        Fragment::Text(text) => text.clone(),
        Fragment::Secret(secret) if secret.encoding == SecretEncoding::Json => {
            format!("<{} as JSON>", secret.name)
        }
        Fragment::Secret(secret) => format!("<{}>", secret.name),
        Fragment::Attachment(id) => format!("<attachment {id}>"),
    });
    each.collect()
}

/// A prompt's setting, with its value as JSON.
#[must_use]
pub fn setting(id: &str, value: &str) -> Setting {
    Setting {
        id: id.to_owned(),
        value: value.to_owned(),
    }
}

/// An MCP server with this name, run as a command.
#[must_use]
pub fn mcp_server(name: &str) -> McpServer {
    McpServer {
        name: name.to_owned(),
        ..mcp_servers().remove(1)
    }
}

/// Two MCP servers, one of each kind, with a secret each and characters that want escaping.
#[must_use]
pub fn mcp_servers() -> Vec<McpServer> {
    let value = |name: &str, secret: &str| McpValue {
        name: name.to_owned(),
        secret: secret.to_owned(),
    };
    vec![
        McpServer {
            name: "docs".to_owned(),
            transport: McpTransport::Url(McpUrl {
                url: "https://example.test/mcp?a=$b".to_owned(),
                headers: vec![value("Authorization", "docs-header")],
            }),
            owner: McpOwner::Agent,
            call_timeout_ms: None,
        },
        McpServer {
            name: "local".to_owned(),
            transport: McpTransport::Stdio(McpStdio {
                command: "node".to_owned(),
                args: vec!["server.mjs".to_owned(), "q\"b\\s".to_owned()],
                env: vec![value("TOKEN", "local-token")],
            }),
            owner: McpOwner::Agent,
            call_timeout_ms: None,
        },
    ]
}
