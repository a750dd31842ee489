//! Compiled components: used where they can be trusted, made again where not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aod_runtime::{CacheError, Registry};

use crate::engine;
use aod_guests::Guest;

struct Setup {
    folder: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Guest::default().write(folder.path(), "guest");
        let toml = "[runtime.guest]\ncomponent = \"guest.wasm\"\n";
        fs::write(folder.path().join("runtimes.toml"), toml).unwrap();
        Self { folder }
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache/cwasm")
    }

    fn load(&self) -> Registry {
        let path = self.folder.path();
        Registry::load(
            engine().clone(),
            &path.join("runtimes.toml"),
            &self.cache(),
            &path.join("adapters"),
        )
    }

    fn compiled(&self) -> PathBuf {
        let entries = fs::read_dir(self.cache()).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .find(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "cwasm")
            })
            .expect("a compiled component")
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_component_is_compiled_once() {
    let setup = Setup::new();
    assert!(setup.load().get("guest").is_some());
    let compiled = setup.compiled();
    assert_eq!((mode(&setup.cache()), mode(&compiled)), (0o700, 0o600));
    let before = fs::metadata(&compiled).unwrap().modified().unwrap();
    assert!(setup.load().get("guest").is_some());
    assert_eq!(fs::metadata(&compiled).unwrap().modified().unwrap(), before);
}

#[test]
fn a_damaged_file_is_compiled_again() {
    let setup = Setup::new();
    setup.load();
    let compiled = setup.compiled();
    let sound = fs::read(&compiled).unwrap();
    for damage in [0, sound.len() / 2, sound.len() - 1] {
        let mut bytes = sound.clone();
        bytes[damage] ^= 0xff;
        fs::write(&compiled, &bytes).unwrap();
        assert!(setup.load().get("guest").is_some());
        assert_eq!(fs::read(&compiled).unwrap(), sound);
    }
    fs::write(&compiled, &sound[..sound.len() / 2]).unwrap();
    assert!(setup.load().get("guest").is_some());
    assert_eq!(fs::read(&compiled).unwrap(), sound);
}

#[test]
fn what_a_killed_server_left_is_compiled_again() {
    let setup = Setup::new();
    setup.load();
    let compiled = setup.compiled();
    let sound = fs::read(&compiled).unwrap();
    // It was killed before the checksum was there; and before the code was.
    fs::remove_file(compiled.with_extension("sum")).unwrap();
    fs::write(&compiled, &sound[..sound.len() / 2]).unwrap();
    let draft = compiled.with_extension("cwasm.1");
    fs::write(&draft, &sound[..sound.len() / 3]).unwrap();
    assert!(setup.load().get("guest").is_some());
    assert_eq!(fs::read(&compiled).unwrap(), sound);
    assert!(!draft.exists());
}

#[test]
fn what_others_can_write_is_not_loaded() {
    let setup = Setup::new();
    setup.load();
    let compiled = setup.compiled();
    fs::set_permissions(&compiled, fs::Permissions::from_mode(0o620)).unwrap();
    let registry = setup.load();
    assert!(registry.get("guest").is_some());
    assert_eq!(mode(&compiled), 0o600, "it was compiled again");

    fs::set_permissions(setup.cache(), fs::Permissions::from_mode(0o777)).unwrap();
    let registry = setup.load();
    assert!(matches!(
        registry.cache_problem(),
        Some(CacheError::Untrusted { .. })
    ));
    assert!(registry.get("guest").is_some());
}

#[test]
fn what_other_engines_left_is_swept() {
    let setup = Setup::new();
    setup.load();
    let stale = setup.cache().join("0000-1111.cwasm");
    fs::write(&stale, "x").unwrap();
    setup.load();
    assert!(!stale.exists());
    assert!(setup.compiled().exists());
}
