//! Package registries of the test's own, behind TLS.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use aod_e2e::start;

/// `registry.test`, and `other.test` at the same address.
pub(crate) struct Registry {
    folder: tempfile::TempDir,
    process: Child,
    pub(crate) port: String,
    pub(crate) npm: String,
    pub(crate) pypi: String,
    pub(crate) cargo: String,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("aod-registry-")
            .tempdir()
            .unwrap();
        let path = |name: &str| folder.path().join(name);
        let names = ["registry.test".to_owned(), "other.test".to_owned()];
        let own = rcgen::generate_simple_self_signed(names).unwrap();
        fs::write(path("server.pem"), own.cert.pem()).unwrap();
        fs::write(path("authorities.pem"), own.cert.pem()).unwrap();
        fs::write(path("server.key"), own.signing_key.serialize_pem()).unwrap();
        let token = || format!("registry-token-{}", uuid::Uuid::new_v4());
        let (npm, pypi, cargo) = (token(), token(), token());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/network/registry.py");
        let mut command = Command::new("python3");
        command
            .arg(script)
            .args([path("server.pem"), path("server.key"), path("requests")])
            .env("NPM_TOKEN", &npm)
            .env("PYPI_TOKEN", &pypi)
            .env("CARGO_TOKEN", &cargo);
        let (process, port) = start(command);
        Self {
            folder,
            process,
            port,
            npm,
            pypi,
            cargo,
        }
    }

    /// The file with the certificate by which it is known.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("authorities.pem")
    }

    /// Adds another server's authority to that file.
    pub(crate) fn add_authority(&self, other: &Path) {
        let both = [self.authority(), other.to_owned()].map(|it| fs::read_to_string(it).unwrap());
        fs::write(self.authority(), both.concat()).unwrap();
    }

    /// The requests so far: host, path, which token came and in which header.
    pub(crate) fn requests(&self) -> String {
        fs::read_to_string(self.folder.path().join("requests")).unwrap_or_default()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
