//! `cargo xtask run`: from a clone to a streaming session.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::machine::{self, Need};
use crate::{plugins, server, target};

/// Build everything, start the server, run a first session and keep serving.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The runtime of the first session; the one whose key is in the environment, else the demo
    #[arg(long)]
    runtime: Option<String>,
    /// The model of the first session
    #[arg(long)]
    model: Option<String>,
    /// What the first session is asked
    #[arg(long, default_value = "Say hello, look around and leave a note.")]
    prompt: String,
    /// Stop after the first session, with its exit code
    #[arg(long)]
    once: bool,
    /// Where to listen
    #[arg(long, env = "AOD_LISTEN", default_value = "127.0.0.1:8777")]
    listen: SocketAddr,
    /// The data folder
    #[arg(long, default_value = "data")]
    data: PathBuf,
}

impl Run {
    pub(crate) fn run(self, root: &Path) -> Result<ExitCode> {
        // Before minutes of building.
        check_free(self.listen)?;
        machine::prepare(&[Need::Wasm, Need::Bubblewrap, Need::Node])?;
        eprintln!("building the adapters: some minutes the first time");
        for built in plugins::build_declared(root, false)? {
            eprintln!("{built}");
        }
        eprintln!("building the server: some minutes the first time");
        server::build(root, false, None)?;
        let aod = target(root).join("debug/aod");
        let data = root.join(&self.data);
        let token = token(&aod, &data)?;
        let (mut server, url) = self.serve(root, &aod, &data)?;
        let first = self.first_session(&aod, &url, &token);
        if self.once {
            stop(&mut server)?;
            return first;
        }
        match first {
            Ok(_) => {}
            Err(error) => eprintln!("the first session: {error:#}"),
        }
        match login_link(&aod, &url, &token) {
            Ok(link) => eprintln!(
                "\nThe console, good for one login within two minutes (`aod login` prints another):\n\n  {link}"
            ),
            Err(error) => eprintln!("no link to the console: {error:#}"),
        }
        eprintln!("\nServing at {url} until Ctrl-C. In another terminal:\n");
        eprintln!("  export AOD_API_URL={url} AOD_API_TOKEN={token}");
        eprintln!("  {} run \"What is in this folder?\"", aod.display());
        eprintln!("  curl -H \"Authorization: Bearer $AOD_API_TOKEN\" $AOD_API_URL/runtimes\n");
        // Ctrl-C reaches the server, too, which then ends by itself.
        let status = server.wait()?;
        Ok(if status.success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    /// Starts the server and waits until it listens.
    fn serve(&self, root: &Path, aod: &Path, data: &Path) -> Result<(Child, String)> {
        let mut server = Command::new(aod)
            .arg("serve")
            .args(["--listen", &self.listen.to_string()])
            .arg("--data")
            .arg(data)
            .arg("--runtimes")
            .arg(root.join("runtimes.toml"))
            .env("AOD_LOG__LEVEL", "warn,aod::serve=info,aod::report=info")
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", aod.display()))?;
        let log = server.stderr.take().context("the server has no log")?;
        let (send, listening) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if let Some((_, url)) = line.split_once("listening on ") {
                    // Nobody listens when the server was given up.
                    let _ = send.send(url.trim().to_owned());
                }
                eprintln!("{line}");
            }
        });
        match listening.recv() {
            Ok(url) => Ok((server, url)),
            Err(_) => bail!("the server ended before it listened: {}", server.wait()?),
        }
    }

    fn first_session(&self, aod: &Path, url: &str, token: &str) -> Result<ExitCode> {
        let mut command = Command::new(aod);
        command.arg("run").arg(&self.prompt);
        if let Some(runtime) = &self.runtime {
            command.args(["--runtime", runtime]);
        }
        if let Some(model) = &self.model {
            command.args(["--model", model]);
        }
        command.env("AOD_API_URL", url).env("AOD_API_TOKEN", token);
        // What is piped into this program is no context for the agent.
        command.stdin(std::process::Stdio::null());
        let status = command.status()?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
    }
}

/// Checks that a server can listen there. Another process may still be quicker.
fn check_free(address: SocketAddr) -> Result<()> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => bail!(
            "{address} is taken: stop what listens there (`ss -ltnp` names it), or choose another \
             address with --listen or AOD_LISTEN, such as --listen 127.0.0.1:8778"
        ),
        Err(error) => bail!("cannot listen on {address}: {error}"),
    }
}

/// Makes a token for this run.
fn token(aod: &Path, data: &Path) -> Result<String> {
    let made = Command::new(aod)
        .args(["token", "create", "xtask run", "--expires", "7d", "--data"])
        .arg(data)
        .stderr(Stdio::inherit())
        .output()?;
    if !made.status.success() {
        bail!("cannot make a token: {}", made.status);
    }
    Ok(String::from_utf8(made.stdout)?.trim().to_owned())
}

/// A link that logs a browser in to the console.
fn login_link(aod: &Path, url: &str, token: &str) -> Result<String> {
    let made = Command::new(aod)
        .arg("login")
        .env("AOD_API_URL", url)
        .env("AOD_API_TOKEN", token)
        .stderr(Stdio::inherit())
        .output()?;
    if !made.status.success() {
        bail!("`aod login`: {}", made.status);
    }
    Ok(String::from_utf8(made.stdout)?.trim().to_owned())
}

/// Stops the server as an operator would.
fn stop(server: &mut Child) -> Result<()> {
    let pid = server.id().to_string();
    Command::new("kill").args(["-TERM", &pid]).status()?;
    server.wait()?;
    Ok(())
}
