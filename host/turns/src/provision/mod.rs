//! Provisioning: the stages before a turn's CLI is started (`docs/vault-and-sandbox.md`).

mod error;
mod install;
pub(crate) mod program;
mod sandboxes;
mod script;
mod stages;
mod step;
mod variables;

use std::ops::Range;
use std::time::Duration;

use aod_resources::{NetworkingKind, Secrets, Skill};
use aod_store::SessionRecord;
use aod_trees::{Folder, Trash};
use serde_json::Value;

use crate::config::EgressConfig;
use crate::git::{Clones, RepositorySkill};
use crate::network::Bound;
use crate::packages::Layer;
use crate::paths::SessionPaths;
use crate::secrets::TurnSecrets;
use crate::turn::Turns;

pub(crate) use error::{ProvisionError, StageError};
pub use install::installed_version;
pub(crate) use install::{Installation, Installs};
pub use program::missing_program;
pub(crate) use sandboxes::{SYSTEM_PROGRAMS, Sandboxes};
pub(crate) use stages::{Stage, Stages};
pub(crate) use step::{Cancelled, Output, Readers, Step, execute, run as run_step};

/// Whether a session asks for a setup step, apart from installations.
pub(crate) fn wants_setup(session: &SessionRecord) -> bool {
    let environment = session.environment.as_ref();
    !session.session.resources.is_empty() || environment.and_then(script::of).is_some()
}

/// What a session's setup is done with.
pub(crate) struct Setup<'a> {
    pub(crate) sandboxes: &'a Sandboxes,
    pub(crate) session: &'a SessionRecord,
    pub(crate) paths: &'a SessionPaths,
    /// The environment's packages.
    pub(crate) layer: Option<&'a Layer>,
    pub(crate) secrets: &'a TurnSecrets,
    /// What the proxy puts into requests to certain hosts.
    pub(crate) bound: Option<&'a Bound>,
    pub(crate) trash: &'a Trash,
    pub(crate) clones: Clones<'a>,
    /// How long a setup script may take where its environment says nothing.
    pub(crate) script_timeout: Duration,
}

impl Setup<'_> {
    /// Runs what the environment asks for in a new sandbox. Gives the variables that the setup
    /// script left.
    pub(crate) async fn run(
        &self,
        output: &mut Output,
        cancelled: &Cancelled<'_>,
    ) -> Result<Secrets, StageError> {
        let environment = self.session.environment.as_ref();
        self.clones.run(output, cancelled).await?;
        let Some((environment, text)) = environment.and_then(|it| Some((it, script::of(it)?)))
        else {
            return Ok(Secrets::new());
        };
        let seconds = environment.setup_timeout.map(u64::from);
        let timeout = seconds.map_or(self.script_timeout, Duration::from_secs);
        script::run(self, text, timeout, output, cancelled()).await
    }
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
pub(crate) async fn skills(
    turns: &Turns,
    session: &SessionRecord,
    paths: &SessionPaths,
    folder: Option<&str>,
    output: &mut Output,
    cancelled: &Cancelled<'_>,
) -> Result<(), StageError> {
    let Some(folder) = folder else {
        return Err(StageError::Failed(format!(
            "runtime {:?} has no skills: remove them from the agent",
            session.session.runtime
        )));
    };
    for skill in &session.agent.skills {
        let home = Folder::open(&paths.home()).map_err(|error| not_placed(folder, &error))?;
        match skill {
            Skill::Inline {
                name,
                description,
                content,
            } => {
                let path = format!("{folder}/{name}/SKILL.md");
                let content = skill_file(name, description, content);
                home.write(path.as_ref(), 0o644, content.as_bytes(), &turns.trash)
                    .map_err(|error| not_placed(&path, &error))?;
            }
            Skill::Github { source, .. } => {
                let name = skill.name();
                let skill = RepositorySkill {
                    source,
                    name: &name,
                    place: &format!("{folder}/{name}"),
                };
                let (mirrors, sandboxes) = (&turns.mirrors, &turns.sandboxes);
                let home = paths.home();
                skill
                    .write(mirrors, sandboxes, &home, output, cancelled)
                    .await?;
            }
        }
    }
    Ok(())
}

/// Why a file of the host's is not in a sandbox.
pub(crate) fn not_placed(path: &str, error: &aod_trees::Error) -> StageError {
    StageError::Failed(format!("cannot place {path:?} in the sandbox: {error}"))
}

/// The text of a `SKILL.md`: with the front matter that CLIs look for, without which, or without a
/// description in it, they pass a skill over.
fn skill_file(name: &str, description: &str, content: &str) -> String {
    // JSON strings are YAML strings. Without the quotes, a name such as `2024` or `true` would be
    // none.
    let (name, description) = (Value::from(name), Value::from(description));
    let Some(place) = front_matter(content) else {
        return format!("---\nname: {name}\ndescription: {description}\n---\n\n{content}");
    };
    let own = &content[place.clone()];
    let mut more = String::new();
    if !has_key(own, "description") {
        if !has_key(own, "name") {
            more = format!("name: {name}\n");
        }
        more += &format!("description: {description}\n");
    }
    let (before, after) = content.split_at(place.start);
    format!("{before}{more}{after}")
}

/// Where a text's front matter is: between two lines of `---` at its beginning.
fn front_matter(content: &str) -> Option<Range<usize>> {
    let (first, rest) = content.trim_start().split_once('\n')?;
    let start = content.len() - rest.len();
    let mut end = start;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return (first.trim_end() == "---").then_some(start..end);
        }
        end += line.len();
    }
    None
}

/// Whether a mapping of YAML has this key.
fn has_key(yaml: &str, key: &str) -> bool {
    let value = |line: &str| {
        line.strip_prefix(key)?
            .trim_start()
            .strip_prefix(':')
            .map(drop)
    };
    yaml.lines().any(|line| value(line).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skill_has_front_matter_once() {
        assert_eq!(
            skill_file("a", "says \"hi\": often", "Do it."),
            "---\nname: \"a\"\ndescription: \"says \\\"hi\\\": often\"\n---\n\nDo it."
        );
        for own in [
            "---\nname: b\ndescription: e\n---\nx",
            "\n---\r\ndescription : |\r\n  e\r\n---\r\nx",
            "---\ndescription: e\n---",
        ] {
            assert_eq!(skill_file("a", "d", own), own);
        }
    }

    #[test]
    fn a_skill_has_a_description_whatever_its_text_begins_with() {
        for (content, expected) in [
            (
                "---\nname: b\n---\n---\nx",
                "---\ndescription: \"d\"\nname: b\n---\n---\nx",
            ),
            (
                "---\nlicense: MIT\n---\nx",
                "---\nname: \"7\"\ndescription: \"d\"\nlicense: MIT\n---\nx",
            ),
            (
                "---\n---\nx",
                "---\nname: \"7\"\ndescription: \"d\"\n---\nx",
            ),
            // A rule, and no front matter.
            (
                "---\nDo it.",
                "---\nname: \"7\"\ndescription: \"d\"\n---\n\n---\nDo it.",
            ),
            ("", "---\nname: \"7\"\ndescription: \"d\"\n---\n\n"),
        ] {
            assert_eq!(skill_file("7", "d", content), expected);
        }
    }
}
