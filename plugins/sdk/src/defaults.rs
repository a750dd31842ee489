use crate::{
    Cli, Continuity, Description, File, Fragment, InstallStep, Launch, ResumeStrategy, Stdin,
    StopMethod, Variable, text,
};

/// A description with nothing but names in it, to be filled in: no providers, no credentials, no
/// resume, killed to stop, five seconds to exit.
#[must_use]
pub fn description(name: &str, version: &str, command: &str) -> Description {
    Description {
        name: name.to_owned(),
        version: version.to_owned(),
        cli: Cli {
            command: command.to_owned(),
            version_args: vec!["--version".to_owned()],
            tested: "*".to_owned(),
            install: Vec::<InstallStep>::new(),
        },
        providers: Vec::new(),
        models: Vec::new(),
        credentials: Vec::new(),
        options: Vec::new(),
        skills_folder: None,
        resume: ResumeStrategy::None,
        stop: StopMethod::Kill,
        exit_grace_ms: 5_000,
        capabilities: Vec::new(),
    }
}

/// A launch with nothing but a command line in it, to be filled in; stdin is closed from the start.
pub fn launch<S: Into<String>>(
    argv: impl IntoIterator<Item = S>,
    continuity: Continuity,
) -> Launch {
    Launch {
        argv: argv.into_iter().map(Into::into).collect(),
        env: Vec::new(),
        withhold: Vec::new(),
        expose: Vec::new(),
        stdin: Stdin::None,
        files: Vec::new(),
        delete: Vec::new(),
        continuity,
        extras: Vec::new(),
    }
}

/// A variable with a value that is no secret.
#[must_use]
pub fn variable(name: &str, value: &str) -> Variable {
    Variable {
        name: name.to_owned(),
        value: text(value),
    }
}

/// A file that only its owner may read.
#[must_use]
pub fn file(path: impl Into<String>, content: Vec<Fragment>) -> File {
    File {
        path: path.into(),
        mode: 0o600,
        content,
    }
}
