//! Runtime adapter for any agent that speaks the Agent Client Protocol over stdio: JSON-RPC 2.0,
//! one message a line. Which agent, its table in `runtimes.toml` says.

mod open;
mod options;
mod permission;
mod request;
mod tools;
mod turn;
mod wire;

use aod_plugin_sdk::{
    Adapter, Capabilities, Cli, Description, Interrupt, Plan, ResumeStrategy, Stdin, TurnContext,
    description, file, text, variable,
};

pub use options::{Choice, Credential, Options, Permissions, Provider};

/// The adapter.
#[derive(Debug)]
pub struct Acp;

impl Adapter for Acp {
    type Options = Options;
    type Turn = turn::AcpTurn;

    fn describe(options: &Options) -> Result<Description, String> {
        options.check()?;
        let command = options.argv.first().cloned().unwrap_or_default();
        let mut capabilities = Capabilities::DELTAS
            | Capabilities::USAGE
            | Capabilities::INTERRUPT
            | Capabilities::SYSTEM_PROMPT
            | Capabilities::MCP_STDIO
            | Capabilities::MCP_URL;
        if options.permissions == Permissions::Ask {
            capabilities |= Capabilities::PERMISSIONS;
        }
        if options.skills_folder.is_some() {
            capabilities |= Capabilities::SKILLS;
        }
        Ok(Description {
            cli: Cli {
                version_args: options.version_args.clone(),
                tested: options.tested.clone(),
                ..description("acp", env!("CARGO_PKG_VERSION"), &command).cli
            },
            providers: options.providers.iter().map(Provider::described).collect(),
            credentials: options
                .credentials
                .iter()
                .map(Credential::described)
                .collect(),
            skills_folder: options.skills_folder.clone(),
            resume: ResumeStrategy::FromStream,
            interrupt: Interrupt::Dialogue,
            exit_grace_ms: options.exit_grace_ms,
            capabilities,
            ..description("acp", env!("CARGO_PKG_VERSION"), &command)
        })
    }

    fn plan(options: &Options, context: &TurnContext) -> Result<Plan, String> {
        let filled = |text: &String| options::filled(text, context);
        let argv: Vec<String> = options.argv.iter().filter_map(filled).collect();
        let mut plan = aod_plugin_sdk::plan(argv, context.continuity());
        for (name, value) in &options.env {
            // One that speaks of an endpoint which nobody gave is left out.
            if let Some(value) = filled(value) {
                plan.env.push(variable(name, &value));
            }
        }
        plan.delete = options.delete.iter().filter_map(filled).collect();
        if let Some(path) = options.system_prompt_file.as_ref().and_then(filled) {
            match &context.system {
                Some(system) => plan.files.push(file(path, text(system))),
                None => plan.delete.push(path),
            }
        }
        plan.stdin = Stdin::Open(text(request::initialize()));
        Ok(plan)
    }

    fn turn(options: &Options, context: TurnContext) -> turn::AcpTurn {
        turn::AcpTurn::new(options.clone(), context)
    }
}

aod_plugin_sdk::export_adapter!(Acp);
