//! Runtime adapter for any agent that speaks the Agent Client Protocol over stdio: JSON-RPC 2.0,
//! one message a line. Which agent, its table in `runtimes.toml` says.

mod options;

use aod_acp::{AcpConversation, Plain};
use aod_plugin_sdk::failure::unsupported;
use aod_plugin_sdk::{
    Adapter, Cli, Context, Description, Launch, Origin, Prompt, Refusal, ResumeStrategy, Stdin,
    StopMethod, description, file, known_settings, text, variable,
};

pub use options::{Choice, Credential, Options, Permissions, Provider, Sent, Setting};

/// The adapter.
#[derive(Debug)]
pub struct Acp;

impl Adapter for Acp {
    type Options = Options;
    type Conversation = AcpConversation;

    fn describe(options: &Options) -> Result<Description, String> {
        options.check()?;
        let command = options.argv.first().cloned().unwrap_or_default();
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
            options: options.settings.iter().map(Setting::described).collect(),
            stop: StopMethod::Dialogue,
            exit_grace_ms: options.exit_grace_ms,
            capabilities: options.capabilities(),
            ..description("acp", env!("CARGO_PKG_VERSION"), &command)
        })
    }

    fn prepare(options: &Options, context: &Context, prompt: &Prompt) -> Result<Launch, Refusal> {
        let known: Vec<&str> = options.settings.iter().map(|it| it.id.as_str()).collect();
        known_settings(prompt, &known)?;
        if let Origin::Fork(origin) = &context.origin {
            if !options.fork {
                let message = "this agent cannot copy a conversation";
                return Err(unsupported("origin", message));
            }
            if origin.after_turn.is_some() {
                let message = "this agent copies a conversation from its end only";
                return Err(unsupported("origin.after_turn", message));
            }
        }
        let filled = |text: &String| options::filled(text, context);
        let argv: Vec<String> = options.argv.iter().filter_map(filled).collect();
        let mut launch = aod_plugin_sdk::launch(argv, context.continuity(prompt));
        for (name, value) in &options.env {
            // One that speaks of an endpoint which nobody gave is left out.
            if let Some(value) = filled(value) {
                launch.env.push(variable(name, &value));
            }
        }
        launch.delete = options.delete.iter().filter_map(filled).collect();
        if let Some(path) = options.system_prompt_file.as_ref().and_then(filled) {
            match &context.system {
                Some(system) => launch.files.push(file(path, text(system))),
                None => launch.delete.push(path),
            }
        }
        launch.stdin = Stdin::Open(text(aod_acp::initialize()));
        Ok(launch)
    }

    fn conversation(
        options: &Options,
        context: Context,
        state: Option<Vec<u8>>,
    ) -> AcpConversation {
        AcpConversation::new(options.profile(&context), Plain, context, state.as_deref())
    }
}

aod_plugin_sdk::export_adapter!(Acp);
