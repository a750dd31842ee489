//! Holding an agent where a test wants it.

use std::fs;

use serde_json::json;

use crate::api::Session;
use crate::client::Client;
use crate::server::Server;
use crate::wait::{DEADLINE, eventually};

/// A shell command that says that it has been reached, and waits until it is let through.
#[derive(Clone, Debug)]
pub struct Gate(String);

impl Gate {
    /// A gate; the name makes it differ from others of the same session.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The command, for `sh` in the workspace.
    #[must_use]
    pub fn command(&self) -> String {
        let name = &self.0;
        format!("echo x >>{name}.reached; while [ ! -e {name}.open ]; do sleep 0.05; done")
    }

    /// The command as a line of a prompt of the demo agent.
    #[must_use]
    pub fn step(&self) -> String {
        format!("$ {}", self.command())
    }

    /// An environment whose set-up goes through the gate, and then on with `more`.
    pub async fn environment(&self, client: &Client, more: &str) -> String {
        let script = format!("cd /workspace; {}{more}", self.command());
        let body = json!({"name": "gate", "setup_script": script});
        client.create_environment(&body).await
    }

    /// Waits until the agent stands at the gate.
    ///
    /// # Panics
    /// When it does not get there.
    pub async fn reached(&self, server: &Server, session: &Session) {
        let what = format!("the gate {:?} is reached", self.0);
        eventually(&what, DEADLINE, async || {
            (self.arrivals(server, session) > 0).then_some(())
        })
        .await;
    }

    /// How often the gate was reached.
    #[must_use]
    pub fn arrivals(&self, server: &Server, session: &Session) -> usize {
        let name = format!("{}.reached", self.0);
        server
            .workspace_file(&session.id, &name)
            .map_or(0, |text| text.lines().count())
    }

    /// Lets the agent through.
    ///
    /// # Panics
    /// When the workspace cannot be written.
    pub fn open(&self, server: &Server, session: &Session) {
        let folder = server.session_files(&session.id).join("workspace");
        let file = folder.join(format!("{}.open", self.0));
        if let Err(error) = fs::write(&file, "") {
            panic!("cannot open the gate at {}: {error}", file.display());
        }
    }
}
