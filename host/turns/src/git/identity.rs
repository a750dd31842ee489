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
/// The variable that says how many settings are in variables of their own: these win over all
/// others (`git-config(1)`, "ENVIRONMENT").
const COUNT: &str = "GIT_CONFIG_COUNT";
/// The variable with the address that git takes where no setting has one.
const ADDRESS: &str = "EMAIL";

/// The identity that a session was given: the agent's, else the environment's.
fn given(session: &SessionRecord) -> Option<&GitIdentity> {
    let environment = session.environment.as_ref();
    let own = session.agent.git_identity.as_ref();
    own.or(environment.and_then(|it| it.git_identity.as_ref()))
}

/// The settings that are given as variables, too, because some CLIs keep the system's settings from
/// the commands that they run: what was asked for, and nothing that a repository may say itself.
fn variables(
    given: Option<&GitIdentity>,
    repositories: &[(String, String)],
) -> Vec<(String, String)> {
    let mut settings: Vec<(String, &str)> = repositories
        .iter()
        .map(|(inside, url)| (format!("url.{inside}.insteadOf"), url.as_str()))
        .collect();
    if let Some(identity) = given {
        settings.push(("user.name".to_owned(), &identity.name));
        settings.push(("user.email".to_owned(), &identity.email));
    }
    if settings.is_empty() {
        return Vec::new();
    }
    let mut variables = vec![(COUNT.to_owned(), settings.len().to_string())];
    for (n, (key, value)) in settings.into_iter().enumerate() {
        variables.push((format!("GIT_CONFIG_KEY_{n}"), key));
        variables.push((format!("GIT_CONFIG_VALUE_{n}"), value.to_owned()));
    }
    variables
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
    let given = given(session);
    let has = |spec: &SandboxSpec, wanted: &str| spec.env.iter().any(|(name, _)| name == wanted);
    if !has(spec, COUNT) {
        let own = variables(given, repositories);
        let own = own.into_iter();
        spec.env
            .extend(own.map(|(name, value)| (name, Zeroizing::new(value))));
    }
    let identity = given.cloned().unwrap_or_else(|| GitIdentity {
        name: "Agent".to_owned(),
        email: "agent@localhost".to_owned(),
    });
    if !has(spec, ADDRESS) {
        let address = Zeroizing::new(identity.email.clone());
        spec.env.push((ADDRESS.to_owned(), address));
    }
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
    fn what_was_asked_for_is_in_variables() {
        assert!(variables(None, &[]).is_empty());
        let identity = GitIdentity {
            name: "Ada".to_owned(),
            email: "ada@x".to_owned(),
        };
        let repositories = [("http://in".to_owned(), "https://out".to_owned())];
        let set = variables(Some(&identity), &repositories);
        let set: Vec<_> = set
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            set,
            [
                "GIT_CONFIG_COUNT=3",
                "GIT_CONFIG_KEY_0=url.http://in.insteadOf",
                "GIT_CONFIG_VALUE_0=https://out",
                "GIT_CONFIG_KEY_1=user.name",
                "GIT_CONFIG_VALUE_1=Ada",
                "GIT_CONFIG_KEY_2=user.email",
                "GIT_CONFIG_VALUE_2=ada@x",
            ]
        );
    }

    #[test]
    fn nothing_in_a_name_is_another_setting() {
        assert_eq!(quoted("Ada L"), "\"Ada L\"");
        assert_eq!(quoted("a\"\n[core]\\"), "\"a\\\" [core]\\\\\"");
    }
}
