//! Whose name is on commits that an agent makes.

use std::fmt::Write as _;

use aod_resources::GitIdentity;
use aod_sandbox::{PrivateFile, SandboxSpec};
use aod_store::SessionRecord;
use zeroize::Zeroizing;

use crate::provision::Sandboxes;

/// The name of the file with it.
const FILE: &str = "gitconfig";
/// The variable that names git's settings of a system: a repository's and the home's own win.
const VARIABLE: &str = "GIT_CONFIG_SYSTEM";

/// The identity of a session: the agent's, else the environment's, else one that git takes.
fn identity(session: &SessionRecord) -> GitIdentity {
    let environment = session.environment.as_ref();
    let own = session.agent.git_identity.as_ref();
    let given = own.or(environment.and_then(|it| it.git_identity.as_ref()));
    given.cloned().unwrap_or_else(|| GitIdentity {
        name: "Agent".to_owned(),
        email: "agent@localhost".to_owned(),
    })
}

/// Lets git know the session's identity in a sandbox, and where it finds repositories whose token
/// it does not have: each where that is inside, with its true URL.
pub(crate) fn give_identity(
    spec: &mut SandboxSpec,
    sandboxes: &Sandboxes,
    session: &SessionRecord,
    repositories: &[(String, String)],
) {
    if spec.env.iter().any(|(name, _)| name == VARIABLE) {
        return;
    }
    let identity = identity(session);
    let mut settings = format!(
        "[user]\n\tname = {}\n\temail = {}\n",
        quoted(&identity.name),
        quoted(&identity.email)
    );
    for (inside, url) in repositories {
        // Writing to a string cannot fail.
        let _ = write!(
            settings,
            "[url {}]\n\tinsteadOf = {}\n",
            quoted(inside),
            quoted(url)
        );
    }
    let place = sandboxes.driver.private_dir(&spec.home).join(FILE);
    let path = place.to_string_lossy().into_owned();
    spec.env.push((VARIABLE.to_owned(), Zeroizing::new(path)));
    spec.private_files.push(PrivateFile {
        path: place,
        mode: 0o644,
        content: Zeroizing::new(settings.into_bytes()),
    });
}

/// A value as git's settings have it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_is_another_setting() {
        assert_eq!(quoted("Ada L"), "\"Ada L\"");
        assert_eq!(quoted("a\"\n[core]\\"), "\"a\\\" [core]\\\\\"");
    }
}
