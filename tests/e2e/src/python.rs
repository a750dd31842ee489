//! Python programs that tests run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::program::target;
use crate::wait::within;

/// With what has to be downloaded.
const PATIENCE: Duration = Duration::from_secs(300);

/// A Python with what a file of requirements names, in the target folder under this name.
///
/// # Panics
/// When it cannot be made.
pub async fn python_with(name: &str, requirements: &Path) -> PathBuf {
    let wanted = match std::fs::read_to_string(requirements) {
        Ok(wanted) => wanted,
        Err(error) => panic!("{}: {error}", requirements.display()),
    };
    let folder = target().join(name);
    // Tests run in processes of their own, side by side.
    let lock = target().join(format!("{name}.lock"));
    let locked = std::fs::File::create(&lock).and_then(|file| file.lock().map(|()| file));
    let _locked = match locked {
        Ok(file) => file,
        Err(error) => panic!("{}: {error}", lock.display()),
    };
    let python = folder.join("bin/python");
    let installed = folder.join("installed.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return python;
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&folder);
    run("python3 -m venv", venv).await;
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ])
    .arg("-r")
    .arg(requirements);
    run("pip install", pip).await;
    if let Err(error) = std::fs::write(&installed, wanted) {
        panic!("{}: {error}", installed.display());
    }
    python
}

/// Runs a program to its end and returns what it printed.
///
/// # Panics
/// When it fails, or takes too long.
pub async fn run(what: &str, mut command: Command) -> String {
    command.kill_on_drop(true);
    let output = within(what, PATIENCE, command.output()).await;
    let output = match output {
        Ok(output) => output,
        Err(error) => panic!("{what}: {error}"),
    };
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    println!("{said}");
    assert!(output.status.success(), "{what}: {}\n{said}", output.status);
    said
}
