//! For tests of adapters: a turn's facts to start from, replays of recorded output, and the laws
//! that hold for every adapter. With the feature `testing`.

mod laws;
mod plans;
mod recording;
mod replay;

pub use laws::laws;
pub use plans::{keeps_secrets_apart, shown, starts_afresh, with_everything};
pub use recording::{Recording, recordings};
pub use replay::{Replay, replay};

use crate::{
    Encoding, Exit, ExitCause, Fragment, McpServer, McpStdio, McpTransport, McpUrl, McpValue,
    Paths, TurnContext,
};

/// The facts of a first turn with nothing special about it.
#[must_use]
pub fn context(model: &str, prompt: &str) -> TurnContext {
    let id = "5e551011-0000-4000-8000-000000000000";
    TurnContext {
        session_id: id.to_owned(),
        turn: 1,
        turn_id: id.to_owned(),
        prompt: prompt.to_owned(),
        system: None,
        model: model.to_owned(),
        mcp_servers: Vec::new(),
        skills: Vec::new(),
        resume: None,
        secrets: Vec::new(),
        endpoints: Vec::new(),
        paths: Paths {
            home: "/home/agent".to_owned(),
            workspace: "/workspace".to_owned(),
            private: "/run/private".to_owned(),
        },
        cli_version: None,
        options: "{}".to_owned(),
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

/// What a host writes for fragments, with `<NAME>` for a raw secret and `<NAME as JSON>` for one
/// that stands in a JSON string.
#[must_use]
pub fn written(fragments: &[Fragment]) -> String {
    let each = fragments.iter().map(|fragment| match fragment {
        Fragment::Text(text) => text.clone(),
        Fragment::Secret(secret) if secret.encoding == Encoding::Json => {
            format!("<{} as JSON>", secret.name)
        }
        Fragment::Secret(secret) => format!("<{}>", secret.name),
    });
    each.collect()
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
        },
        McpServer {
            name: "local".to_owned(),
            transport: McpTransport::Stdio(McpStdio {
                command: "node".to_owned(),
                args: vec!["server.mjs".to_owned(), "q\"b\\s".to_owned()],
                env: vec![value("TOKEN", "local-token")],
            }),
        },
    ]
}
