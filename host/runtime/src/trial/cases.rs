//! The facts of processes and prompts that adapters are asked about.

use crate::adapter::Adapter;
use crate::types::{
    Block, Context, Description, McpOwner, McpServer, McpStdio, McpTransport, McpUrl, McpValue,
    Origin, Paths, Prompt, Skill, WorkspaceConfig,
};

/// Texts that stand nowhere by chance.
pub(super) const PROMPT: &str = "aod-trial-prompt: say hello";
pub(super) const SYSTEM: &str = "aod-trial-system: be brief";
pub(super) const MCP_URL: &str = "https://aod-trial.test/mcp";
pub(super) const MCP_COMMAND: &str = "aod-trial-mcp-server";

/// The largest word of a command line that Linux takes, in bytes.
pub(super) const MAX_WORD: usize = 128 << 10;

/// The facts of one process and its prompt, and what they are about.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) context: Context,
    pub(super) prompt: Prompt,
    /// Whether an adapter may say that it cannot run this.
    pub(super) may_refuse: bool,
}

/// The id of a session and of its first turn.
const ID: &str = "5e551011-0000-4000-8000-000000000000";

/// A first turn with every credential at hand and nothing special about it.
pub(super) fn first(adapter: &Adapter) -> (Context, Prompt) {
    let described = adapter.description();
    let context = Context {
        session_id: ID.to_owned(),
        system: None,
        model: models(described).swap_remove(0),
        mcp_servers: Vec::new(),
        skills: Vec::new(),
        origin: Origin::New,
        secrets: described
            .credentials
            .iter()
            .map(|credential| credential.variable.clone())
            .collect(),
        endpoints: Vec::new(),
        paths: Paths {
            home: "/home/agent".to_owned(),
            workspace: "/workspace".to_owned(),
            private: "/run/private".to_owned(),
        },
        cli_version: None,
        options: adapter.options().to_owned(),
        live: false,
        workspace_config: WorkspaceConfig::Instructions,
        tool_policies: Vec::new(),
    };
    let prompt = Prompt {
        turn: 1,
        turn_id: ID.to_owned(),
        blocks: vec![Block::Text(PROMPT.to_owned())],
        settings: Vec::new(),
        limits: Vec::new(),
        output_schema: None,
    };
    (context, prompt)
}

/// The models that an adapter serves: at least one, if need be of a name that it may not know.
fn models(described: &Description) -> Vec<String> {
    let named = described.models.iter().map(|model| model.id.clone());
    let open = described.providers.iter().filter(|p| p.whole_catalog);
    let mut models: Vec<String> = named
        .chain(open.map(|provider| format!("{}/any", provider.id)))
        .collect();
    if models.is_empty() {
        let provider = described.providers.first();
        models.push(format!("{}/any", provider.map_or("any", |p| p.id.as_str())));
    }
    models
}

/// All cases, the plainest first.
pub(super) fn cases(adapter: &Adapter) -> Vec<Case> {
    let plain = first(adapter);
    let mut cases = Vec::new();
    let mut add = |name: &str, may_refuse: bool, change: &dyn Fn(&mut Context, &mut Prompt)| {
        let (mut context, mut prompt) = plain.clone();
        change(&mut context, &mut prompt);
        cases.push(Case {
            name: name.to_owned(),
            context,
            prompt,
            may_refuse,
        });
    };
    add("first turn", false, &|_, _| {});
    for model in models(adapter.description()).into_iter().skip(1).take(50) {
        add(&format!("model {model}"), false, &|context, _| {
            context.model.clone_from(&model);
        });
    }
    let later = |_: &mut Context, prompt: &mut Prompt| {
        prompt.turn = 2;
        prompt.turn_id = "5e551011-0000-4000-8000-000000000002".to_owned();
    };
    add(
        "second turn, with something to resume",
        false,
        &|context, prompt| {
            later(context, prompt);
            context.origin = Origin::Resume(ID.to_owned());
        },
    );
    add("second turn, with nothing to resume", false, &later);
    add("system prompt", false, &|context, _| {
        context.system = Some(SYSTEM.to_owned());
    });
    add("MCP server by URL", false, &|context, _| {
        context.mcp_servers = vec![mcp_url()];
    });
    add("MCP server by command", false, &|context, _| {
        context.mcp_servers = vec![mcp_stdio()];
    });
    add("skills", false, &|context, _| {
        context.skills = vec![Skill {
            name: "tidy".to_owned(),
            description: "When things \"lie\" about.".to_owned(),
        }];
    });
    add("no credentials", true, &|context, _| {
        context.secrets.clear()
    });
    for (name, prompt) in [
        ("a prompt like an option", "--help".to_owned()),
        (
            "a prompt of shell syntax",
            "$(id) `id` \"'\\ ; exit 1 # \u{1f980}\nsecond line\t!".to_owned(),
        ),
        ("a prompt of blanks", " \n\t ".to_owned()),
        ("a long prompt", "long ".repeat(2 * MAX_WORD / 5)),
    ] {
        let may_refuse = prompt.trim().is_empty();
        add(name, may_refuse, &|_, given| {
            given.blocks = vec![Block::Text(prompt.clone())];
        });
    }
    add("everything at once", false, &|context, prompt| {
        later(context, prompt);
        context.system = Some(SYSTEM.to_owned());
        context.mcp_servers = vec![mcp_url(), mcp_stdio()];
        context.cli_version = Some("1.0.0".to_owned());
    });
    cases
}

fn mcp_url() -> McpServer {
    McpServer {
        name: "docs".to_owned(),
        transport: McpTransport::Url(McpUrl {
            url: MCP_URL.to_owned(),
            headers: vec![value("Authorization", "AOD_TRIAL_HEADER")],
        }),
        owner: McpOwner::Agent,
        call_timeout_ms: None,
    }
}

fn mcp_stdio() -> McpServer {
    McpServer {
        name: "local".to_owned(),
        transport: McpTransport::Stdio(McpStdio {
            command: MCP_COMMAND.to_owned(),
            args: vec!["a b".to_owned(), "q\"b\\s".to_owned()],
            env: vec![value("TOKEN", "AOD_TRIAL_TOKEN")],
        }),
        owner: McpOwner::Agent,
        call_timeout_ms: None,
    }
}

fn value(name: &str, secret: &str) -> McpValue {
    McpValue {
        name: name.to_owned(),
        secret: secret.to_owned(),
    }
}
