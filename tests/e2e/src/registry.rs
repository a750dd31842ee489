//! A registry of packages of all languages, of the test's own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::program::repository;
use crate::server::{MODEL_HOST, ServerOptions};

/// A registry that has every package whose name begins with `sample`, and, once it is
/// [opened](Registry::open), every one whose name begins with `held`.
#[derive(Debug)]
pub struct Registry {
    folder: TempDir,
    process: Child,
    port: String,
}

impl Registry {
    /// Starts it.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start() -> Self {
        let folder = match tempfile::tempdir() {
            Ok(folder) => folder,
            Err(error) => panic!("no temporary folder: {error}"),
        };
        let process = Command::new("python3")
            .arg(repository().join("tests/e2e/src/registry.py"))
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn();
        let mut process = match process {
            Ok(process) => process,
            Err(error) => panic!("no registry: {error}"),
        };
        let mut port = String::new();
        let output = process.stdout.take().map(BufReader::new);
        match output.map(|mut output| output.read_line(&mut port)) {
            Some(Ok(_)) if !port.is_empty() => {}
            said => panic!("the registry says no port: {said:?}"),
        }
        Self {
            folder,
            process,
            port: port.trim().to_owned(),
        }
    }

    /// Has a server ask this registry and no other.
    #[must_use]
    pub fn serve(&self, options: ServerOptions) -> ServerOptions {
        let base = format!("http://{MODEL_HOST}:{}", self.port);
        let gems = self.folder.path().join("gemrc");
        if let Err(error) = fs::write(&gems, format!(":sources:\n- {base}/gem/\n")) {
            panic!("no settings of gem: {error}");
        }
        options
            .set("GEMRC", gems.display())
            .set("GOPROXY", format!("{base}/go"))
            .set("GOSUMDB", "off")
            .set("CARGO_REGISTRY_DEFAULT", "test")
            .set(
                "CARGO_REGISTRIES_TEST_INDEX",
                format!("sparse+{base}/cargo/"),
            )
            .set("PIP_INDEX_URL", format!("{base}/simple"))
            .set("PIP_TRUSTED_HOST", MODEL_HOST)
            .set("NPM_CONFIG_REGISTRY", format!("{base}/npm/"))
    }

    /// Gives out what was held.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn open(&self) {
        if let Err(error) = fs::write(self.folder.path().join("open"), "") {
            panic!("the registry cannot be opened: {error}");
        }
    }

    /// How often a path was asked for.
    #[must_use]
    pub fn asked(&self, path: &str) -> usize {
        let requests = fs::read_to_string(self.folder.path().join("requests")).unwrap_or_default();
        requests.lines().filter(|line| *line == path).count()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
