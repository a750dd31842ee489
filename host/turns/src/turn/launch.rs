//! From an adapter's launch to what a supervisor is told.

use aod_runtime::types::{
    self, Description, Fragment, Launch as Requested, SecretEncoding, Stdin as RequestedStdin,
    StopMethod,
};
use aod_sandbox::{Launch, PrivateFile, SandboxSpec};
use aod_store::TurnRecord;
use aod_supervisor::{Clock, Secret, SignalTarget, Stdin, TurnSpec};
use aod_trees::{Folder, Trash};
use secrecy::ExposeSecret;
use serde_json::Value;
use zeroize::Zeroizing;

use super::Turns;
use super::attachments::Attachments;
use super::fold::for_stdin;
use crate::paths::SessionPaths;
use crate::provision::{Sandboxes, StageError, not_placed};
use crate::secrets::TurnSecrets;

/// Writes and deletes what the adapter asks for. Files in the private folder are only returned: they
/// exist for the CLI alone and never on a disk.
pub(crate) fn place_files(
    requested: &Requested,
    places: &types::Paths,
    paths: &SessionPaths,
    trash: &Trash,
    secrets: &TurnSecrets,
) -> Result<Vec<PrivateFile>, StageError> {
    let attachments = Attachments::of(paths);
    let mut private = Vec::new();
    let inside = |path: &str| -> Result<Option<(Folder, String)>, StageError> {
        for (root, host) in [
            (&places.home, paths.home()),
            (&places.workspace, paths.workspace()),
        ] {
            if let Some(rest) = beneath(path, root) {
                let folder = Folder::open(&host).map_err(|error| not_placed(path, &error))?;
                return Ok(Some((folder, rest.to_owned())));
            }
        }
        Ok(None)
    };
    for path in &requested.delete {
        if let Some((folder, path)) = inside(path)? {
            folder
                .delete(path.as_ref(), trash)
                .map_err(|error| not_placed(&path, &error))?;
        }
    }
    for file in &requested.files {
        let content = fill(&file.content, secrets, Some(&attachments))?;
        // The private folder may lie within the home, so it is asked first.
        if beneath(&file.path, &places.private).is_some() {
            private.push(PrivateFile {
                path: file.path.clone().into(),
                mode: file.mode,
                content: Zeroizing::new(content.as_bytes().to_vec()),
            });
        } else if let Some((folder, path)) = inside(&file.path)? {
            folder
                .write(path.as_ref(), file.mode, content.as_bytes(), trash)
                .map_err(|error| not_placed(&path, &error))?;
        } else {
            return Err(StageError::Failed(format!(
                "the runtime's adapter wants to write {:?}, which is outside of the sandbox's own folders",
                file.path
            )));
        }
    }
    Ok(private)
}

fn beneath<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    path.strip_prefix(root)?.strip_prefix('/')
}

/// Text with its secrets filled in.
pub(crate) fn fill(
    fragments: &[Fragment],
    secrets: &TurnSecrets,
    attachments: Option<&Attachments>,
) -> Result<Zeroizing<String>, StageError> {
    let mut text = Zeroizing::new(String::new());
    for fragment in fragments {
        match fragment {
            Fragment::Text(literal) => text.push_str(literal),
            Fragment::Attachment(id) => {
                let data = attachments.map(|attachments| attachments.base64(id));
                match data {
                    Some(Ok(data)) => text.push_str(&data),
                    Some(Err(error)) => return Err(StageError::Failed(error.to_string())),
                    None => {
                        return Err(StageError::Failed(
                            "the runtime's adapter wants an attachment in a variable".to_owned(),
                        ));
                    }
                }
            }
            Fragment::Secret(reference) => {
                let secret = secrets.get(&reference.name).ok_or_else(|| {
                    StageError::Failed(format!(
                        "the runtime's adapter asks for the secret {:?}, which this turn does not have",
                        reference.name
                    ))
                })?;
                let secret = secret.expose_secret();
                match reference.encoding {
                    SecretEncoding::Raw => text.push_str(secret),
                    SecretEncoding::Json => {
                        let quoted = Zeroizing::new(Value::from(secret).to_string());
                        text.push_str(&quoted[1..quoted.len() - 1]);
                    }
                }
            }
        }
    }
    Ok(text)
}

fn first_input(
    text: &[Fragment],
    attachments: &Attachments,
) -> Result<Vec<aod_supervisor::Fragment>, StageError> {
    for_stdin(text.to_vec(), attachments).map_err(|error| StageError::Failed(error.to_string()))
}

/// Sets the CLI's variables. Who comes first wins: what the user gave, the operator's
/// `runtimes.toml`, the sandbox, the adapter. [`Sandboxes::set_variable`] has the exceptions.
pub(crate) fn set_variables(
    spec: &mut SandboxSpec,
    requested: &Requested,
    operator: &indexmap::IndexMap<String, String>,
    secrets: &TurnSecrets,
) -> Result<(), StageError> {
    let user = secrets
        .variables
        .iter()
        .filter(|(name, _)| !requested.withhold.contains(name))
        .map(|(name, value)| {
            (
                name.clone(),
                Zeroizing::new(value.expose_secret().to_owned()),
            )
        });
    let mut given = std::collections::HashSet::new();
    for (name, value) in user {
        Sandboxes::set_variable(spec, &name, value);
        given.insert(name);
    }
    let exposed = requested.expose.iter().filter_map(|name| {
        let value = secrets.mcp.get(name)?;
        Some((
            name.clone(),
            Zeroizing::new(value.expose_secret().to_owned()),
        ))
    });
    let exposed: Vec<_> = exposed.collect();
    given.extend(exposed.iter().map(|(name, _)| name.clone()));
    spec.env.extend(exposed);
    for (name, value) in operator {
        if !given.contains(name) {
            Sandboxes::set_variable(spec, name, Zeroizing::new(value.clone()));
        }
    }
    for variable in &requested.env {
        let value = fill(&variable.value, secrets, None)?;
        set_default(spec, &variable.name, value);
    }
    Ok(())
}

fn set_default(spec: &mut SandboxSpec, name: &str, value: Zeroizing<String>) {
    if !spec.env.iter().any(|(known, _)| known == name) {
        spec.env.push((name.to_owned(), value));
    }
}

/// What the supervisor is told of a turn, apart from its launch.
pub(crate) struct SpecInput<'a> {
    pub(crate) turn: &'a TurnRecord,
    pub(crate) description: &'a Description,
    pub(crate) requested: &'a Requested,
    pub(crate) begin: Value,
    /// Whether the process may rest after its turn.
    pub(crate) is_live: bool,
    /// The most requests to its model that it may make.
    pub(crate) max_requests: Option<u32>,
}

/// Everything a supervisor needs.
pub(crate) fn turn_spec(
    turns: &Turns,
    paths: &SessionPaths,
    launch: Launch,
    input: SpecInput<'_>,
    secrets: &TurnSecrets,
) -> Result<TurnSpec, StageError> {
    let settings = &turns.config.turn;
    let attachments = Attachments::of(paths);
    let stdin = match &input.requested.stdin {
        RequestedStdin::None => Stdin::None,
        RequestedStdin::Text(text) => Stdin::Text(first_input(text, &attachments)?),
        RequestedStdin::Open(text) => Stdin::Open(first_input(text, &attachments)?),
    };
    // A CLI that is spoken to only where it stays reads nothing once it has its one prompt.
    let is_spoken_to = matches!(input.requested.stdin, RequestedStdin::Open(_));
    let by_dialogue = input.description.stop == StopMethod::Dialogue && is_spoken_to;
    let (signal, to) = match input.description.stop {
        // Its user's wish to stop goes by its stdin; the signal is for when its time is over. Many
        // tell on this one what they had done so far, and on no other.
        StopMethod::Sigint | StopMethod::Dialogue => (Some(2), SignalTarget::Main),
        StopMethod::Sigterm => (Some(15), SignalTarget::Main),
        StopMethod::Kill => (None, SignalTarget::Main),
    };
    let millis =
        |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Ok(TurnSpec {
        session: input.turn.session.to_string(),
        turn: input.turn.turn.turn_number,
        log_dir: paths.log(),
        log: turns.config.log,
        // Known when the log is let go.
        last_id: 0,
        control_socket: paths.control(),
        begin: input.begin,
        stdin,
        secrets: told(secrets),
        clock: Clock {
            timeout_ms: u64::from(input.turn.turn.timeout) * 1000,
            idle_ms: settings.idle.map_or(0, millis),
            grace_ms: millis(settings.grace),
            after_result_grace_ms: u64::from(input.description.exit_grace_ms),
            rest_ms: if input.is_live {
                millis(turns.config.live.idle)
            } else {
                0
            },
        },
        interrupt: aod_supervisor::Interrupt {
            signal,
            to,
            by_dialogue,
        },
        max_requests: input.max_requests,
        launch,
    })
}

/// What stdin may name, and then what must not get into the log: of a secret that the sandbox has a
/// placeholder of, the placeholder comes first.
fn told(secrets: &TurnSecrets) -> Vec<Secret> {
    let open = secrets.iter().filter(|(name, _)| secrets.is_open(name));
    let open = open.map(|secret| (secret, true));
    let hidden = secrets.hidden().map(|secret| (secret, false));
    open.chain(hidden)
        .map(|((name, value), is_open)| Secret {
            name: name.to_owned(),
            value: value.expose_secret().to_owned(),
            is_open,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use aod_runtime::types::SecretReference;
    use secrecy::SecretString;

    use super::*;

    #[test]
    fn secrets_are_filled_in_as_asked() {
        let mut secrets = TurnSecrets::default();
        secrets
            .variables
            .insert("KEY".to_owned(), SecretString::from("a\"b\n"));
        let secret = |encoding| {
            Fragment::Secret(SecretReference {
                name: "KEY".to_owned(),
                encoding,
            })
        };
        let text = [
            Fragment::Text("<".to_owned()),
            secret(SecretEncoding::Raw),
            secret(SecretEncoding::Json),
        ];
        assert_eq!(&*fill(&text, &secrets, None).unwrap(), "<a\"b\na\\\"b\\n");
        let unknown = Fragment::Secret(SecretReference {
            name: "NO".to_owned(),
            encoding: SecretEncoding::Raw,
        });
        assert!(fill(&[unknown], &secrets, None).is_err());
    }

    #[test]
    fn a_path_of_the_users_comes_before_the_sandboxs_and_the_home_is_fixed() {
        let mut spec = SandboxSpec::new(vec!["/cli".to_owned()], "/h", "/w");
        for (name, value) in [
            ("PATH", "/usr/bin"),
            ("HOME", "/home/agent"),
            ("TERM", "dumb"),
        ] {
            spec.env.push((name.to_owned(), value.to_owned().into()));
        }
        let mut secrets = TurnSecrets::default();
        for name in ["PATH", "HOME", "LD_PRELOAD", "BOTH"] {
            let value = SecretString::from("/user");
            secrets.variables.insert(name.to_owned(), value);
        }
        let operator = [
            ("TERM", "xterm"),
            ("BOTH", "operator"),
            ("PATH", "/operator"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect();
        let requested = Requested {
            argv: Vec::new(),
            env: Vec::new(),
            withhold: Vec::new(),
            expose: Vec::new(),
            stdin: RequestedStdin::None,
            files: Vec::new(),
            delete: Vec::new(),
            continuity: types::Continuity::First,
            extras: Vec::new(),
        };
        set_variables(&mut spec, &requested, &operator, &secrets).unwrap();
        let value = |wanted: &str| {
            let found = spec.env.iter().rev().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(value("PATH"), Some("/user:/usr/bin"));
        assert_eq!(value("HOME"), Some("/home/agent"));
        assert_eq!(value("LD_PRELOAD"), Some("/user"));
        assert_eq!(value("TERM"), Some("xterm"));
        assert_eq!(value("BOTH"), Some("/user"));
    }

    #[test]
    fn a_path_is_beneath_its_root_and_not_beside_it() {
        assert_eq!(beneath("/home/agent/x", "/home/agent"), Some("x"));
        assert_eq!(beneath("/home/agentx", "/home/agent"), None);
        assert_eq!(beneath("/home/agent", "/home/agent"), None);
    }
}
