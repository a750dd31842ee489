//! Finding a CLI's program before it is started, to say what is wrong where it is not there.

use std::path::{Path, PathBuf};

use aod_runtime::Cli;
use aod_sandbox::SandboxDriver;

use super::Installation;
use super::error::StageError;
use super::sandboxes::{LOCAL_PROGRAMS, SYSTEM_PROGRAMS};
use crate::paths::SessionPaths;

/// Checks a program that `runtimes.toml` names by its path, which a sandbox is going to be shown
/// together with its folder. `data` is a folder of the server's data.
pub(crate) fn check_operators(runtime: &str, cli: &Cli, data: &Path) -> Result<(), StageError> {
    let command = Path::new(&cli.command);
    if !cli.command.contains('/') || cli.install_key().is_some() {
        return Ok(());
    }
    if !command.is_file() {
        return Err(StageError::Failed(missing(runtime, &cli.command)));
    }
    let shown = Installation::of_operator(&cli.command)?;
    let data = data.canonicalize()?;
    match shown.mounts().any(|folder| data.starts_with(folder)) {
        false => Ok(()),
        true => Err(StageError::Failed(format!(
            "runtime {runtime:?} cannot be started: a sandbox sees the folder of its `command`, \
             {}, and the server's data is below it; move the program to a folder of its own and \
             change `command` in [runtime.{runtime}] of runtimes.toml",
            cli.command
        ))),
    }
}

/// The path of the program that a turn starts, as the sandbox sees it: it is found whatever `PATH`
/// the user gives to the CLI.
pub(crate) fn find(
    runtime: &str,
    program: &str,
    installation: &Installation,
    driver: &dyn SandboxDriver,
    paths: &SessionPaths,
) -> Result<String, StageError> {
    if program.contains('/') {
        return Ok(program.to_owned());
    }
    for place in [installation, Installation::node()] {
        if let Some(path) = place.program(driver, program) {
            return Ok(path);
        }
    }
    let shown = |path: PathBuf| Ok(path.to_string_lossy().into_owned());
    // A link in the home leads somewhere inside, so that it is not followed here.
    let local = paths.home().join(LOCAL_PROGRAMS).join(program);
    if local.symlink_metadata().is_ok() {
        let home = driver.place(&paths.home(), aod_sandbox::HOME.as_ref());
        return shown(home.join(LOCAL_PROGRAMS).join(program));
    }
    match in_system(program) {
        Some(path) => shown(path),
        None => Err(StageError::Failed(missing(runtime, program))),
    }
}

/// What is wrong with a runtime whose program is not there and that does not say how to install it,
/// as far as that can be told without a session: a setup script may bring it.
pub fn missing_program(runtime: &str, cli: &Cli) -> Option<String> {
    let found = cli.install_key().is_some()
        || match cli.command.contains('/') {
            true => Path::new(&cli.command).is_file(),
            false => {
                in_system(&cli.command).is_some()
                    || Installation::of_operator(&cli.command)
                        .is_ok_and(|it| it.mounts().next().is_some())
            }
        };
    (!found).then(|| missing(runtime, &cli.command))
}

fn in_system(program: &str) -> Option<PathBuf> {
    SYSTEM_PROGRAMS
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.symlink_metadata().is_ok())
}

fn missing(runtime: &str, program: &str) -> String {
    format!(
        "the program {program:?} of runtime {runtime:?} is not there: in [runtime.{runtime}] of \
         runtimes.toml, `command` says where it is on the server's machine, or `install` how to \
         install it (into $PREFIX/bin); a setup_script may also put it into ~/{LOCAL_PROGRAMS}"
    )
}

#[cfg(test)]
mod tests {
    use aod_runtime::types::InstallStep;

    use super::*;

    fn cli(command: &str) -> Cli {
        Cli {
            command: command.to_owned(),
            version_args: Vec::new(),
            tested: String::new(),
            install: Vec::new(),
            env: indexmap::IndexMap::new(),
        }
    }

    #[test]
    fn a_program_that_nothing_brings_is_missing() {
        assert_eq!(missing_program("a", &cli("sh")), None);
        assert_eq!(missing_program("a", &cli("/bin/sh")), None);
        for program in ["no-such-program", "/nowhere/no-such-program"] {
            let problem = missing_program("a", &cli(program)).unwrap();
            for word in [program, "[runtime.a]", "`command`", "`install`"] {
                assert!(problem.contains(word), "{problem}");
            }
        }
        let mut installed = cli("no-such-program");
        installed.install = vec![InstallStep::Npm("x@1".to_owned())];
        assert_eq!(missing_program("a", &installed), None);
    }

    #[test]
    fn a_command_must_not_show_the_servers_data() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let apart = folder.path().join("tools");
        for folder in [&data, &apart] {
            std::fs::create_dir(folder).unwrap();
        }
        for program in ["cli", "tools/cli"] {
            std::fs::write(folder.path().join(program), "").unwrap();
        }
        let check = |program: &str| {
            let program = folder.path().join(program);
            check_operators("a", &cli(program.to_str().unwrap()), &data)
        };
        assert!(check("tools/cli").is_ok());
        let refused = check("cli");
        assert!(
            matches!(&refused, Err(StageError::Failed(text)) if text.contains("server's data")),
            "{refused:?}"
        );
        assert!(matches!(check("none"), Err(StageError::Failed(_))));
    }
}
