//! Which of several values a variable gets.

use std::collections::HashSet;

use aod_runtime::types::Description;
use indexmap::IndexMap;

use super::PLAIN;

/// The names of all that a turn could be given.
#[derive(Debug, Default)]
pub(super) struct Candidates<'a> {
    /// Secret variables of the session.
    pub(super) session: Vec<&'a str>,
    /// Its other variables.
    pub(super) session_open: Vec<&'a str>,
    /// Secret variables of its environment.
    pub(super) environment: Vec<&'a str>,
    /// The environment's other variables.
    pub(super) environment_open: Vec<&'a str>,
    /// What its setup script left.
    pub(super) script: Vec<&'a str>,
    /// Credentials that its owner has registered.
    pub(super) credentials: Vec<&'a str>,
}

/// Where a variable's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Session,
    /// The session's `vars`.
    SessionOpen,
    Environment,
    /// The environment's `vars`.
    EnvironmentOpen,
    /// The setup script.
    Script,
    /// The registered credential of that name.
    Credential(String),
}

/// Who wins for each variable: the session, then its environment, then what the setup script left,
/// then the user's credentials; and of the two maps of one of them, the secret one.
pub(super) fn winners(
    candidates: &Candidates<'_>,
    description: &Description,
    model: &str,
) -> IndexMap<String, Source> {
    let mut winners = IndexMap::new();
    let mut offer = |variable: &str, source: Source| {
        winners.entry(variable.to_owned()).or_insert(source);
    };
    for variable in &candidates.session {
        offer(variable, Source::Session);
    }
    for variable in &candidates.session_open {
        offer(variable, Source::SessionOpen);
    }
    for variable in &candidates.environment {
        offer(variable, Source::Environment);
    }
    for variable in &candidates.environment_open {
        offer(variable, Source::EnvironmentOpen);
    }
    for variable in &candidates.script {
        offer(variable, Source::Script);
    }
    for (name, variable) in chosen(&candidates.credentials, description, model) {
        offer(variable, Source::Credential(name.to_owned()));
    }
    winners
}

/// Which registered credentials a turn with this model could use, and as which variables: those
/// that open the model's provider and every `env:NAME`, without what another of them displaces.
/// A credential's variable is displaced with it, under whatever name its value was registered.
fn chosen<'a>(
    registered: &[&'a str],
    description: &'a Description,
    model: &str,
) -> Vec<(&'a str, &'a str)> {
    let provider = model.split('/').next().unwrap_or_default();
    let useful: Vec<_> = description
        .credentials
        .iter()
        .filter(|kind| kind.providers.iter().any(|opened| opened == provider))
        .filter(|kind| registered.contains(&kind.name.as_str()))
        .collect();
    let displaced: HashSet<&str> = useful
        .iter()
        .flat_map(|kind| &kind.displaces)
        .map(String::as_str)
        .collect();
    let displaced_variables: HashSet<&str> = description
        .credentials
        .iter()
        .filter(|kind| displaced.contains(kind.name.as_str()))
        .map(|kind| kind.variable.as_str())
        .collect();
    let declared = useful
        .iter()
        .filter(|kind| !displaced.contains(kind.name.as_str()))
        .map(|kind| (kind.name.as_str(), kind.variable.as_str()));
    let plain = registered.iter().filter_map(|name| {
        let variable = name.strip_prefix(PLAIN)?;
        (!displaced_variables.contains(variable)).then_some((*name, variable))
    });
    declared.chain(plain).collect()
}

#[cfg(test)]
mod tests {
    use aod_runtime::types;

    use super::*;

    const MODEL: &str = "acme/large";
    const KEY: &str = "provider_key:acme";
    const TOKEN: &str = "runtime_token:acme-oauth";

    /// A CLI that takes a key or, in its stead, a token.
    fn description() -> Description {
        let credential = |name: &str, variable: &str, displaces: &[&str]| types::Credential {
            name: name.to_owned(),
            variable: variable.to_owned(),
            providers: vec!["acme".to_owned()],
            sent: Vec::new(),
            displaces: displaces.iter().map(|&name| name.to_owned()).collect(),
            prefix: None,
            label: String::new(),
        };
        let mut other = credential("provider_key:other", "OTHER_KEY", &[]);
        other.providers = vec!["other".to_owned()];
        Description {
            name: "acme".to_owned(),
            version: String::new(),
            cli: types::Cli {
                command: "acme".to_owned(),
                version_args: Vec::new(),
                tested: String::new(),
                install: Vec::new(),
            },
            providers: Vec::new(),
            models: Vec::new(),
            credentials: vec![
                credential(KEY, "ACME_KEY", &[]),
                credential(TOKEN, "ACME_TOKEN", &[KEY]),
                other,
            ],
            skills_folder: None,
            resume: types::ResumeStrategy::None,
            stop: types::StopMethod::Kill,
            exit_grace_ms: 0,
            capabilities: Vec::new(),
            options: Vec::new(),
        }
    }

    #[test]
    fn who_wins_for_a_variable() {
        let by = |name: &str| Source::Credential(name.to_owned());
        type Case<'a> = (
            &'a [&'a str],
            &'a [&'a str],
            &'a [&'a str],
            Vec<(&'a str, Source)>,
        );
        // The session's variables, the environment's, credentials, and what a turn gets.
        #[rustfmt::skip]
        let table: &[Case<'_>] = &[
            (&[], &[], &[], vec![]),
            // Each alone.
            (&["ACME_KEY"], &[], &[], vec![("ACME_KEY", Source::Session)]),
            (&[], &["ACME_KEY"], &[], vec![("ACME_KEY", Source::Environment)]),
            (&[], &[], &[KEY], vec![("ACME_KEY", by(KEY))]),
            (&[], &[], &[TOKEN], vec![("ACME_TOKEN", by(TOKEN))]),
            (&[], &[], &["env:ACME_KEY"], vec![("ACME_KEY", by("env:ACME_KEY"))]),
            // Every pair.
            (&["ACME_KEY"], &["ACME_KEY"], &[], vec![("ACME_KEY", Source::Session)]),
            (&["ACME_KEY"], &[], &[KEY], vec![("ACME_KEY", Source::Session)]),
            (&["ACME_KEY"], &[], &["env:ACME_KEY"], vec![("ACME_KEY", Source::Session)]),
            (&[], &["ACME_KEY"], &[KEY], vec![("ACME_KEY", Source::Environment)]),
            (&[], &["ACME_KEY"], &["env:ACME_KEY"], vec![("ACME_KEY", Source::Environment)]),
            (&["ACME_TOKEN"], &["ACME_TOKEN"], &[TOKEN], vec![("ACME_TOKEN", Source::Session)]),
            (&[], &["ACME_TOKEN"], &[TOKEN], vec![("ACME_TOKEN", Source::Environment)]),
            // All three.
            (&["ACME_KEY"], &["ACME_KEY"], &[KEY], vec![("ACME_KEY", Source::Session)]),
            // A declared credential comes before a plain one for the same variable.
            (&[], &[], &["env:ACME_KEY", KEY], vec![("ACME_KEY", by(KEY))]),
            // The token displaces the key among credentials, whatever name the key has there,
            (&[], &[], &[KEY, TOKEN], vec![("ACME_TOKEN", by(TOKEN))]),
            (&[], &[], &["env:ACME_KEY", TOKEN], vec![("ACME_TOKEN", by(TOKEN))]),
            // and nothing that comes from elsewhere; nor does one from elsewhere displace any.
            (&["ACME_KEY"], &[], &[KEY, TOKEN],
                vec![("ACME_KEY", Source::Session), ("ACME_TOKEN", by(TOKEN))]),
            (&[], &["ACME_KEY"], &[KEY, TOKEN],
                vec![("ACME_KEY", Source::Environment), ("ACME_TOKEN", by(TOKEN))]),
            (&["ACME_TOKEN"], &[], &[KEY],
                vec![("ACME_TOKEN", Source::Session), ("ACME_KEY", by(KEY))]),
            (&[], &["ACME_TOKEN"], &[KEY],
                vec![("ACME_TOKEN", Source::Environment), ("ACME_KEY", by(KEY))]),
            // A plain variable reaches every session, another provider's key none of these.
            (&[], &[], &["env:X", "provider_key:other"], vec![("X", by("env:X"))]),
        ];
        for (session, environment, credentials, wanted) in table {
            let candidates = Candidates {
                session: session.to_vec(),
                environment: environment.to_vec(),
                credentials: credentials.to_vec(),
                ..Candidates::default()
            };
            let won = winners(&candidates, &description(), MODEL);
            let won: Vec<_> = won
                .iter()
                .map(|(name, source)| (name.as_str(), source.clone()))
                .collect();
            assert_eq!(&won, wanted, "{candidates:?}");
        }
    }

    #[test]
    fn who_wins_among_secret_and_open_variables() {
        let all = || Candidates {
            session: vec!["X"],
            session_open: vec!["X"],
            environment: vec!["X"],
            environment_open: vec!["X"],
            script: vec!["X"],
            credentials: vec!["env:X"],
        };
        let wins = |candidates: &Candidates<'_>, source: Source| {
            let won = winners(candidates, &description(), MODEL);
            assert_eq!(
                won,
                IndexMap::from([("X".to_owned(), source)]),
                "{candidates:?}"
            );
        };
        let mut candidates = all();
        wins(&candidates, Source::Session);
        candidates.session.clear();
        wins(&candidates, Source::SessionOpen);
        candidates.session_open.clear();
        wins(&candidates, Source::Environment);
        candidates.environment.clear();
        wins(&candidates, Source::EnvironmentOpen);
        candidates.environment_open.clear();
        wins(&candidates, Source::Script);
        candidates.script.clear();
        wins(&candidates, Source::Credential("env:X".to_owned()));
    }
}
