//! Provisioning: the stages before a turn's CLI is started (`docs/vault-and-sandbox.md`).

mod error;
mod install;
pub(crate) mod program;
mod sandboxes;
mod stages;
mod step;

use aod_resources::{NetworkingKind, Skill};
use aod_store::SessionRecord;
use aod_trees::{Folder, Trash};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::config::EgressConfig;
use crate::network::SandboxNetwork;
use crate::paths::SessionPaths;
use crate::secrets::TurnSecrets;

pub(crate) use error::{ProvisionError, StageError};
pub use install::installed_version;
pub(crate) use install::{Installation, Installs};
pub use program::missing_program;
pub(crate) use sandboxes::Sandboxes;
pub(crate) use stages::{Stage, Stages};
pub(crate) use step::Output;

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
    sandboxes: &Sandboxes,
    session: &SessionRecord,
    paths: &SessionPaths,
    secrets: &TurnSecrets,
    output: &mut Output,
    cancelled: impl Future<Output = ()>,
) -> Result<(), StageError> {
    let Some(environment) = &session.environment else {
        return unsupported_resources(session);
    };
    if environment.packages.values().any(|names| !names.is_empty()) {
        return Err(StageError::Failed(
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
    let mut spec = sandboxes.of_session(paths, None, argv);
    use secrecy::ExposeSecret;
    for (name, value) in &secrets.variables {
        let value = Zeroizing::new(value.expose_secret().to_owned());
        Sandboxes::set_variable(&mut spec, name, value);
    }
    SandboxNetwork::open(&sandboxes.egress)?.apply(&mut spec);
    let script = script.clone().into_bytes();
    step::run(sandboxes, spec, script, "setup_script", output, cancelled).await
}

fn unsupported_resources(session: &SessionRecord) -> Result<(), StageError> {
    if session.session.resources.is_empty() {
        return Ok(());
    }
    Err(StageError::Failed(
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
pub(crate) fn network_policy(egress: &EgressConfig) -> Result<(), StageError> {
    if egress.shares_host {
        return Err(StageError::Failed(
            "this server's sandboxes share the host's network, so that networking \"limited\" is \
             not enforced: use \"unrestricted\", or a server with `sandbox.network = \"own\"`"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Writes the agent's skills where the CLI looks for them.
pub(crate) fn skills(
    session: &SessionRecord,
    paths: &SessionPaths,
    folder: Option<&str>,
    trash: &Trash,
) -> Result<(), StageError> {
    let Some(folder) = folder else {
        return Err(StageError::Failed(format!(
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
                return Err(StageError::Failed(format!(
                    "this version does not fetch skills from repositories yet ({source}): give the skill inline"
                )));
            }
        }
    }
    Ok(())
}

/// Why a file of the host's is not in a sandbox.
pub(crate) fn not_placed(path: &str, error: &aod_trees::Error) -> StageError {
    StageError::Failed(format!("cannot place {path:?} in the sandbox: {error}"))
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
