//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{Overrides, Settings};
use crate::output::outln;
use crate::{credentials, doctor, login, run, runtime, serve, session, tokens, vault, webhooks};

/// Run coding agents in sandboxes and stream what they do.
#[derive(Debug, Parser)]
#[command(name = "aod", version, max_term_width = 100)]
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
    /// Ctrl-C interrupts the turn, a second one terminates the session. The exit code is the
    /// session's own.
    Run(run::Run),
    /// Sessions. Asks the server at AOD_API_URL with the token in AOD_API_TOKEN.
    Session {
        #[command(subcommand)]
        command: session::SessionCommand,
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
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Compile the component at stdin for the server that started this.
    #[command(name = COMPILE, hide = true)]
    Compile {
        /// The hash of the server's engine.
        engine: String,
        /// The server's process.
        parent: u32,
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
            Command::Credential { command } => command.run(),
            Command::Webhook { command } => command.run(),
            Command::Runtime { command } => command.run(),
            Command::Model { command } => command.run(),
            Command::Vault { command } => command.run(),
            Command::Token { command } => command.run(),
            Command::User { command } => command.run(),
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
                let mut command = Self::command();
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut command, "aod", &mut script);
                let script = String::from_utf8_lossy(&script);
                crate::output::write(format_args!("{script}"))?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Compile { engine, parent } => {
                Ok(aod_runtime::compile_component(&engine, parent))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
