//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::CompleteEnv;

use crate::config::{Overrides, Settings};
use crate::output::outln;
use crate::{
    backup, credentials, doctor, login, man, run, runtime, serve, session, template, tokens, vault,
    version, webhooks,
};

/// Run coding agents in sandboxes and stream what they do.
#[derive(Debug, Parser)]
#[command(name = "aod", version, long_version = version::long(), max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    ///
    /// Every setting can come from a flag, from the environment (AOD_LISTEN, AOD_DATA_DIR,
    /// `AOD_<SECTION>__<KEY>`) or from the configuration file, in this order. SIGTERM and Ctrl-C
    /// stop the server; running turns go on under their supervisors. SIGHUP reloads runtimes.
    Serve {
        #[command(flatten)]
        location: DataLocation,
        #[command(flatten)]
        server: ServerOptions,
        /// Print the effective configuration, with where each value comes from, and exit.
        #[arg(long)]
        print_config: bool,
    },
    /// Run one prompt in a new session and show what the agent does.
    ///
    /// The answer goes to stdout, and what the agent does meanwhile to stderr. Ctrl-C interrupts
    /// the turn, as SIGTERM and SIGHUP do; a second Ctrl-C terminates the session. The exit code is
    /// the session's own.
    Run(Box<run::Run>),
    /// Sessions. Asks the server at AOD_API_URL with the token in AOD_API_TOKEN.
    #[command(visible_alias = "sessions")]
    Session {
        #[command(subcommand)]
        command: session::SessionCommand,
    },
    /// Agents: what sessions are made from. Asks the server at AOD_API_URL.
    #[command(visible_alias = "agents")]
    Agent {
        #[command(subcommand)]
        command: template::AgentCommand,
    },
    /// Environments: what sandboxes hold. Asks the server at AOD_API_URL.
    #[command(visible_alias = "environment")]
    Env {
        #[command(subcommand)]
        command: template::EnvironmentCommand,
    },
    /// Registered credentials: given once, used by all of your sessions.
    ///
    /// Asks the server at AOD_API_URL with the token in AOD_API_TOKEN. Values go in and never come
    /// out again.
    Credential {
        #[command(subcommand)]
        command: credentials::CredentialCommand,
    },
    /// Webhooks: URLs that are told when turns of your sessions end or ask.
    ///
    /// Asks the server at AOD_API_URL with the token in AOD_API_TOKEN.
    Webhook {
        #[command(subcommand)]
        command: webhooks::WebhookCommand,
    },
    /// Runtimes: those of the server, and components of your own.
    ///
    /// `list`, `show` and `reload` ask the server at AOD_API_URL with the token in AOD_API_TOKEN;
    /// `check`, `new` and `pack` need no server.
    Runtime {
        #[command(subcommand)]
        command: runtime::RuntimeCommand,
    },
    /// Models that agents can be made of. Asks the server at AOD_API_URL.
    Model {
        #[command(subcommand)]
        command: runtime::ModelCommand,
    },
    /// The vault, in which all secrets are sealed. Works on the data folder, with or without a
    /// running server.
    Vault {
        #[command(subcommand)]
        command: vault::VaultCommand,
    },
    /// API tokens. Works on the data folder; no server is needed.
    Token {
        #[command(subcommand)]
        command: tokens::TokenCommand,
    },
    /// Users. Works on the data folder; no server is needed.
    User {
        #[command(subcommand)]
        command: tokens::UserCommand,
    },
    /// Print a link that logs a browser on this machine in to the console, once, within two minutes.
    ///
    /// Asks the server at AOD_API_URL with the token in AOD_API_TOKEN. No token stands in the link.
    Login,
    /// Take a backup of the data folder, while a server uses it or not.
    ///
    /// It has the database, logs, events and attachments; secrets stay sealed. Where it is cut
    /// short, there is no folder of this name, and it can be taken again.
    Backup(backup::Backup),
    /// Put a backup back into an empty data folder. No server may be running on it.
    Restore(backup::Restore),
    /// What a newer release makes of a data folder.
    Upgrade {
        #[command(subcommand)]
        command: backup::UpgradeCommand,
    },
    /// Show what this machine can do, what is enforced, and how to mend what is not.
    ///
    /// Takes the options of `aod serve`, and looks at what that would use.
    Doctor {
        #[command(flatten)]
        location: DataLocation,
        #[command(flatten)]
        server: ServerOptions,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the OpenAPI description of the HTTP API.
    Openapi,
    /// Print what makes a shell complete commands, options, and values such as sessions' ids.
    ///
    /// For bash: `source <(aod completions bash)`. Values are asked of the server at AOD_API_URL
    /// with the token in AOD_API_TOKEN.
    Completions {
        /// The shell.
        #[arg(value_parser = ["bash", "elvish", "fish", "powershell", "zsh"])]
        shell: String,
    },
    /// Write manual pages into a folder: one for each command.
    Man {
        /// The folder, such as ~/.local/share/man/man1; it is made where it is not there.
        #[arg(value_hint = clap::ValueHint::DirPath)]
        folder: PathBuf,
    },
    /// Compile the component at stdin for the server that started this.
    #[command(name = COMPILE, hide = true)]
    Compile {
        /// The hash of the server's engine.
        engine: String,
        /// The server's process.
        parent: u32,
    },
    /// Compile components into a folder of a release; `cargo xtask dist` calls it.
    #[command(name = "precompile-components", hide = true)]
    Precompile {
        /// The folder `precompiled` beside the program.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// The components.
        #[arg(required = true)]
        components: Vec<PathBuf>,
    },
}

/// The command by which the server starts itself to compile a component.
pub(crate) const COMPILE: &str = "compile-component";

/// Where configuration and data are.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct DataLocation {
    /// The configuration file; `aod.toml` in the working directory where there is one.
    #[arg(long, value_name = "FILE", env = "AOD_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// What a server does with them.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ServerOptions {
    /// Where to listen. Anything but a loopback address needs a token to exist.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// The runtimes' manifest.
    #[arg(long, value_name = "FILE")]
    runtimes: Option<PathBuf>,
}

impl DataLocation {
    /// The settings in force, without further flags.
    pub(crate) fn settings(&self) -> Result<Settings> {
        self.with(ServerOptions::default())
    }

    fn with(&self, server: ServerOptions) -> Result<Settings> {
        Settings::load(self.config.as_deref(), self.flags(server))
    }

    fn flags(&self, server: ServerOptions) -> Overrides {
        Overrides {
            listen: server.listen,
            data_dir: self.data.clone(),
            runtimes: server.runtimes,
        }
    }
}

impl Cli {
    /// Does what was asked for.
    pub(crate) fn dispatch(self) -> Result<ExitCode> {
        match self.command {
            Command::Serve {
                location,
                server,
                print_config,
            } => {
                if print_config {
                    let flags = location.flags(server);
                    crate::output::write(format_args!(
                        "{}",
                        Settings::explain(location.config.as_deref(), flags)?
                    ))?;
                    return Ok(ExitCode::SUCCESS);
                }
                serve::serve(location.with(server)?)?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Run(run) => run.run(),
            Command::Session { command } => command.run(),
            Command::Agent { command } => command.run(),
            Command::Env { command } => command.run(),
            Command::Credential { command } => command.run(),
            Command::Webhook { command } => command.run(),
            Command::Runtime { command } => command.run(),
            Command::Model { command } => command.run(),
            Command::Vault { command } => command.run(),
            Command::Token { command } => command.run(),
            Command::User { command } => command.run(),
            Command::Backup(backup) => backup.run(),
            Command::Restore(restore) => restore.run(),
            Command::Upgrade { command } => command.run(),
            Command::Doctor {
                location,
                server,
                json,
            } => doctor::run(&location.with(server)?, json),
            Command::Login => login::run(),
            Command::Openapi => {
                outln!("{}", serde_json::to_string_pretty(&aod_api::openapi())?)?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Completions { shell } => {
                crate::output::write(format_args!("{}", completions(&shell)?))?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Man { folder } => {
                man::write(Self::command(), &folder)?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Compile { engine, parent } => {
                Ok(aod_runtime::compile_component(&engine, parent))
            }
            Command::Precompile { out, components } => precompile(&out, &components),
        }
    }
}

fn precompile(out: &std::path::Path, components: &[PathBuf]) -> Result<ExitCode> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    for path in components {
        let cannot = || format!("cannot compile {}", path.display());
        let component = std::fs::read(path).with_context(cannot)?;
        let code = aod_runtime::precompile(&component, out).with_context(cannot)?;
        outln!("{}", code.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The variable by which a shell asks this program for completions.
const COMPLETE: &str = "AOD_COMPLETE";

/// Answers a shell that asks for completions, and ends; does nothing otherwise.
pub(crate) fn complete() {
    CompleteEnv::with_factory(Cli::command)
        .var(COMPLETE)
        .complete();
}

/// What a shell is to read so that it asks.
fn completions(shell: &str) -> Result<String> {
    let shells = clap_complete::env::Shells::builtins();
    let completer = shells.completer(shell).context("no such shell")?;
    let mut script = Vec::new();
    completer.write_registration(COMPLETE, "aod", "aod", "aod", &mut script)?;
    Ok(String::from_utf8(script)?)
}

#[cfg(test)]
mod tests;
