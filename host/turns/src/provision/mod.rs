//! Provisioning: the stages before a turn's CLI is started (`docs/vault-and-sandbox.md`).

mod install;
mod step;

use std::collections::HashSet;
use std::time::Instant;

use aod_log::{Kind, Reader};
use aod_resources::{NetworkingKind, Skill};
use aod_sandbox::{Network, SandboxSpec};
use aod_store::SessionRecord;
use aod_supervisor::Redactor;
use aod_trees::{Folder, Trash};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::paths::SessionPaths;
use crate::secrets::TurnSecrets;
use crate::turn::{Journal, Turns};

pub use install::installed_version;
pub(crate) use install::{Installation, Installs};
pub(crate) use step::{Cancelled, Output};

/// A stage of provisioning, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    CreateSandbox,
    EnvFile,
    ProvisionSetup,
    NetworkPolicy,
    McpConfig,
    Skills,
    RuntimeStart,
}

impl Stage {
    /// Its name on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CreateSandbox => "create_sandbox",
            Self::EnvFile => "env_file",
            Self::ProvisionSetup => "provision_setup",
            Self::NetworkPolicy => "network_policy",
            Self::McpConfig => "mcp_config",
            Self::Skills => "skills",
            Self::RuntimeStart => "runtime_start",
        }
    }
}

/// Why provisioning did not come to its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A stage failed; the journal has it.
    Failed(String),
    /// The turn was stopped meanwhile.
    Cancelled,
    /// The host could not do its part.
    Broken(crate::Error),
}

impl From<crate::Error> for Stop {
    fn from(error: crate::Error) -> Self {
        Self::Broken(error)
    }
}

/// What can be wrong inside a stage.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// For the user.
    Failed(String),
    /// It was stopped.
    Cancelled,
}

impl From<Cancelled> for Trouble {
    fn from(Cancelled: Cancelled) -> Self {
        Self::Cancelled
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<crate::Error> for Trouble {
    fn from(error: crate::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Writes a stage's beginning and end around what it does.
pub(crate) struct Stages<'a> {
    journal: &'a mut Journal,
    compat: bool,
    done: HashSet<String>,
    redactor: Redactor,
}

impl<'a> Stages<'a> {
    /// With what an earlier host, or an earlier turn, has done already.
    pub(crate) fn resume(
        journal: &'a mut Journal,
        paths: &SessionPaths,
        compat: bool,
    ) -> crate::Result<Self> {
        let mut done = HashSet::new();
        let mut reader = Reader::open(&paths.log()).map_err(crate::Error::internal)?;
        while let Some(record) = reader.next().map_err(crate::Error::internal)? {
            if record.kind.is_output() {
                // The first turn's CLI ran: all stages before it are done.
                break;
            }
            if record.kind != Kind::Stage {
                continue;
            }
            let Ok(stage) = serde_json::from_slice::<Value>(record.payload) else {
                continue;
            };
            if let (Some(name), Some("done")) = (stage["stage"].as_str(), stage["state"].as_str()) {
                done.insert(name.to_owned());
            }
        }
        Ok(Self {
            journal,
            compat,
            done,
            redactor: Redactor::new([]),
        })
    }

    /// Keeps a turn's secrets out of what failures say from now on.
    pub(crate) fn redact(&mut self, redactor: Redactor) {
        self.redactor = redactor;
    }

    /// Whether a stage is done already.
    pub(crate) fn is_done(&self, stage: Stage) -> bool {
        self.done.contains(self.wire_name(stage))
    }

    fn wire_name(&self, stage: Stage) -> &'static str {
        match stage {
            Stage::CreateSandbox if self.compat => "create_sprite",
            stage => stage.name(),
        }
    }

    /// Runs a stage.
    pub(crate) async fn run<T>(
        &mut self,
        stage: Stage,
        work: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Stop> {
        let name = self.wire_name(stage);
        let begun = Instant::now();
        self.journal
            .stage(&json!({ "stage": name, "state": "started" }))?;
        let result = work.await;
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        match result {
            Ok(done) => {
                self.journal
                    .stage(&json!({ "stage": name, "state": "done", "duration_ms": millis }))?;
                Ok(done)
            }
            Err(Trouble::Failed(message)) => {
                let message = self.redactor.redact_str(&message);
                self.journal.stage(&json!({
                    "stage": name, "state": "failed", "duration_ms": millis, "message": message,
                }))?;
                Err(Stop::Failed(format!("{name} failed: {message}")))
            }
            Err(Trouble::Cancelled) => {
                self.journal.stage(&json!({
                    "stage": name, "state": "failed", "duration_ms": millis, "message": "stopped by its user",
                }))?;
                Err(Stop::Cancelled)
            }
        }
    }
}

/// Where an installed CLI is, inside a sandbox.
pub(crate) const INSTALLED: &str = "/opt/aod/runtime";

/// A sandbox of a session, without a command yet.
pub(crate) fn sandbox(
    turns: &Turns,
    paths: &SessionPaths,
    installation: Option<&Installation>,
    argv: Vec<String>,
) -> SandboxSpec {
    let mut spec = SandboxSpec::new(argv, paths.home(), paths.workspace());
    let driver = &*turns.driver;
    spec.cwd = driver.place(&paths.workspace(), aod_sandbox::WORKSPACE.as_ref());
    spec.network = Network::Host;
    spec.limits = turns.config.sandbox.limits.clone();
    spec.hosts = turns
        .config
        .egress_hosts
        .iter()
        .map(|(name, address)| (name.clone(), address.ip()))
        .collect();
    let mut path = String::new();
    for installation in installation.into_iter().chain([Installation::node()]) {
        path.push_str(&installation.enter(driver, &mut spec.read_only));
    }
    let home = driver.place(&paths.home(), aod_sandbox::HOME.as_ref());
    path.push_str(&format!("{}/.local/bin:", home.display()));
    path.push_str("/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin");
    let mut set = |name: &str, value: String| {
        spec.env.push((name.to_owned(), Zeroizing::new(value)));
    };
    set("PATH", path);
    set("HOME", home.to_string_lossy().into_owned());
    set("LANG", "C.UTF-8".to_owned());
    set("TERM", "dumb".to_owned());
    spec
}

/// Whether a session's environment asks for a setup step, apart from the CLI's installation.
pub(crate) fn wants_setup(session: &SessionRecord) -> bool {
    let packages = |packages: &indexmap::IndexMap<_, Vec<String>>| {
        packages.values().any(|names| !names.is_empty())
    };
    !session.session.resources.is_empty()
        || session.environment.as_ref().is_some_and(|environment| {
            packages(&environment.packages)
                || environment
                    .setup_script
                    .as_ref()
                    .is_some_and(|script| !script.trim().is_empty())
        })
}

/// Runs what the environment asks for in a new sandbox.
pub(crate) async fn setup(
    turns: &Turns,
    session: &SessionRecord,
    paths: &SessionPaths,
    secrets: &TurnSecrets,
    output: &mut Output,
    cancelled: impl Future<Output = ()>,
) -> Result<(), Trouble> {
    let Some(environment) = &session.environment else {
        return unsupported_resources(session);
    };
    if environment.packages.values().any(|names| !names.is_empty()) {
        return Err(Trouble::Failed(
            "this version does not install `packages` yet: install them in setup_script".to_owned(),
        ));
    }
    unsupported_resources(session)?;
    let Some(script) = environment
        .setup_script
        .as_ref()
        .filter(|it| !it.trim().is_empty())
    else {
        return Ok(());
    };
    let argv = ["/bin/sh", "-e", "-s"].map(str::to_owned).to_vec();
    let mut spec = sandbox(turns, paths, None, argv);
    use secrecy::ExposeSecret;
    for (name, value) in &secrets.variables {
        spec.env
            .retain(|(known, _)| known != name || name == "HOME");
        if name != "HOME" {
            spec.env.push((
                name.clone(),
                Zeroizing::new(value.expose_secret().to_owned()),
            ));
        }
    }
    let script = script.clone().into_bytes();
    step::run(turns, spec, script, "setup_script", output, cancelled).await
}

fn unsupported_resources(session: &SessionRecord) -> Result<(), Trouble> {
    if session.session.resources.is_empty() {
        return Ok(());
    }
    Err(Trouble::Failed(
        "this version does not clone `resources` yet: clone them in setup_script".to_owned(),
    ))
}

/// Whether the environment limits the network.
pub(crate) fn wants_network_policy(session: &SessionRecord) -> bool {
    session
        .environment
        .as_ref()
        .is_some_and(|environment| environment.networking.kind == NetworkingKind::Limited)
}

/// Refuses to pretend: a policy that is not enforced would be worse than none.
pub(crate) fn network_policy() -> Result<(), Trouble> {
    Err(Trouble::Failed(
        "this version does not enforce networking \"limited\" yet, and does not run a session \
         that asks for it: use \"unrestricted\""
            .to_owned(),
    ))
}

/// Writes the agent's skills where the CLI looks for them.
pub(crate) fn skills(
    session: &SessionRecord,
    paths: &SessionPaths,
    folder: Option<&str>,
    trash: &Trash,
) -> Result<(), Trouble> {
    let Some(folder) = folder else {
        return Err(Trouble::Failed(format!(
            "runtime {:?} has no skills: remove them from the agent",
            session.session.runtime
        )));
    };
    let home = Folder::open(&paths.home()).map_err(|error| not_placed(folder, &error))?;
    for skill in &session.agent.skills {
        match skill {
            Skill::Inline {
                name,
                description,
                content,
            } => {
                let path = format!("{folder}/{name}/SKILL.md");
                let content = skill_file(name, description, content);
                home.write(path.as_ref(), 0o644, content.as_bytes(), trash)
                    .map_err(|error| not_placed(&path, &error))?;
            }
            Skill::Github { source, .. } => {
                return Err(Trouble::Failed(format!(
                    "this version does not fetch skills from repositories yet ({source}): give the skill inline"
                )));
            }
        }
    }
    Ok(())
}

/// Why a file of the host's is not in a sandbox.
pub(crate) fn not_placed(path: &str, error: &aod_trees::Error) -> Trouble {
    Trouble::Failed(format!("cannot place {path:?} in the sandbox: {error}"))
}

/// The text of a `SKILL.md`: with the front matter that CLIs look for, unless it has its own.
fn skill_file(name: &str, description: &str, content: &str) -> String {
    if content.trim_start().starts_with("---") {
        return content.to_owned();
    }
    // JSON strings are YAML strings.
    let description = Value::from(description);
    format!("---\nname: {name}\ndescription: {description}\n---\n\n{content}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skill_has_front_matter_once() {
        assert_eq!(
            skill_file("a", "says \"hi\": often", "Do it."),
            "---\nname: a\ndescription: \"says \\\"hi\\\": often\"\n---\n\nDo it."
        );
        let own = "---\nname: b\n---\nx";
        assert_eq!(skill_file("a", "d", own), own);
    }
}
