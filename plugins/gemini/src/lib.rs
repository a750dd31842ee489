//! Runtime adapter for the Gemini CLI.

mod outcome;
mod settings;
mod turn;
mod wire;

use aod_plugin_sdk::{
    Adapter, Capabilities, Cli, Credential, Description, InstallStep, Interrupt, Model, NoOptions,
    Plan, Provider, ResumeStrategy, Stdin, TurnContext, description, file, text, variable,
};

/// The adapter.
#[derive(Debug)]
pub struct Gemini;

/// The folder in `$HOME` that the CLI keeps its own files in.
const FOLDER: &str = ".gemini";

impl Adapter for Gemini {
    type Options = NoOptions;
    type Turn = turn::GeminiTurn;

    fn describe(_: &NoOptions) -> Result<Description, String> {
        let model = |id: &str, label: &str| Model {
            id: id.to_owned(),
            label: Some(label.to_owned()),
        };
        Ok(Description {
            cli: Cli {
                command: "gemini".to_owned(),
                version_args: vec!["--version".to_owned()],
                tested: ">=0.61.0, <0.62.0".to_owned(),
                install: vec![InstallStep::Npm("@google/gemini-cli@0.61.0".to_owned())],
            },
            providers: vec![Provider {
                id: "google".to_owned(),
                endpoint_variable: Some("GOOGLE_GEMINI_BASE_URL".to_owned()),
                whole_catalog: false,
            }],
            models: vec![
                model("google/gemini-2.5-pro", "Gemini 2.5 Pro"),
                model("google/gemini-2.5-flash", "Gemini 2.5 Flash"),
            ],
            credentials: vec![Credential {
                name: "provider_key:google".to_owned(),
                variable: "GEMINI_API_KEY".to_owned(),
                providers: vec!["google".to_owned()],
                displaces: Vec::new(),
                prefix: Some("AIza".to_owned()),
                label: "API key".to_owned(),
            }],
            skills_folder: Some(format!("{FOLDER}/skills")),
            resume: ResumeStrategy::CallerChosen,
            interrupt: Interrupt::Sigint,
            exit_grace_ms: 5_000,
            capabilities: Capabilities::DELTAS
                | Capabilities::USAGE
                | Capabilities::INTERRUPT
                | Capabilities::SYSTEM_PROMPT
                | Capabilities::MCP_STDIO
                | Capabilities::MCP_URL
                | Capabilities::SKILLS,
            ..description("gemini", env!("CARGO_PKG_VERSION"), "gemini")
        })
    }

    fn plan(_: &NoOptions, context: &TurnContext) -> Result<Plan, String> {
        let session = match context.resume_token() {
            Some(session) => ["--resume", session],
            None => ["--session-id", &context.turn_id],
        };
        let argv = ["gemini", "--output-format", "stream-json", "--yolo", "-m"]
            .into_iter()
            .chain([context.model_id()])
            .chain(session);
        let mut plan = aod_plugin_sdk::plan(argv, context.continuity());

        let settings = settings::settings(context)?;
        plan.env = settings.variables;
        plan.env.extend([
            variable("GEMINI_CLI_TRUST_WORKSPACE", "true"),
            // Otherwise it starts itself again, and the parent ignores SIGINT and SIGTERM.
            variable("GEMINI_CLI_NO_RELAUNCH", "true"),
        ]);
        plan.files = settings.files;
        let home = format!("{}/{FOLDER}", context.paths.home);
        plan.files
            .push(file(format!("{home}/settings.json"), text(settings.json)));
        // It leaves this behind, and a start that finds it waits 13 s.
        plan.delete = vec![format!("{home}/projects.json.lock")];
        let instructions = format!("{home}/{}", settings::INSTRUCTIONS);
        match &context.system {
            Some(system) => plan.files.push(file(instructions, text(system))),
            None => plan.delete.push(instructions),
        }
        plan.stdin = Stdin::Text(text(&context.prompt));
        Ok(plan)
    }

    fn turn(_: &NoOptions, context: TurnContext) -> turn::GeminiTurn {
        turn::GeminiTurn::new(&context)
    }
}

aod_plugin_sdk::export_adapter!(Gemini);
