//! Replacing the identity while the vault is in use.
//!
//! The state is what lies on disk:
//!
//! 1. only the identity: no rotation;
//! 2. the identity and, beside it, the next one: what is sealed is sealed to the next, both open.
//!    Whoever finds this goes on re-sealing;
//! 3. the next one renamed over the identity: done, and the old one is gone.
//!
//! Each step is one atomic rename, so a process killed at any instant leaves one of these.

use crate::{Binding, Error, Sealed, Vault, files, identity, sealed, vault::Inner};

impl Vault {
    /// Begins a rotation, or goes on with one that was begun: from now on secrets are sealed to
    /// the new identity, and both open. The new one is protected if this vault was opened with a
    /// passphrase. Other processes that use the vault notice when they next seal.
    ///
    /// # Errors
    /// When the new identity cannot be written.
    pub fn begin_rotation(&self) -> Result<(), Error> {
        let _lock = self.inner.lock()?;
        if !self.inner.reload()?.is_rotating() {
            self.inner.write_next()?;
            self.inner.reload()?;
        }
        Ok(())
    }

    /// Whether a rotation was begun and not finished.
    pub fn is_rotating(&self) -> bool {
        self.inner.keys().is_rotating()
    }

    /// Whether a value is not sealed to the newest identity. Cheaper than opening it.
    pub fn needs_rotation(&self, sealed: &Sealed) -> bool {
        !sealed::is_sealed_to(self.inner.keys().newest(), sealed)
    }

    /// The value sealed to the newest identity, for the same place; `None` when it is so already.
    ///
    /// # Errors
    /// [`Error::Open`] when it does not open.
    pub fn reseal(&self, binding: &Binding, sealed: &Sealed) -> Result<Option<Sealed>, Error> {
        if !self.needs_rotation(sealed) {
            return Ok(None);
        }
        let secret = self.open_sealed(binding, sealed)?;
        self.seal(binding, &secret).map(Some)
    }

    /// Retires the old identity, for good: what is still sealed to it never opens again. The
    /// caller has gone through all that is stored until a whole pass, begun after every process
    /// that uses the vault could notice the rotation, found nothing to re-seal; and has wiped
    /// what it replaced.
    ///
    /// # Errors
    /// [`Error::NotRotating`]; or when a file cannot be written, and the rotation is then still
    /// under way.
    pub fn finish_rotation(&self) -> Result<(), Error> {
        let _lock = self.inner.lock()?;
        if !self.inner.reload()?.is_rotating() {
            return Err(Error::NotRotating);
        }
        self.inner.reseal_mac_key()?;
        self.inner.promote_next()?;
        self.inner.reload()?;
        Ok(())
    }
}

/// The steps; the caller of each holds the lock.
impl Inner {
    fn write_next(&self) -> Result<(), Error> {
        identity::make(&self.paths.next, &self.protection()).map(drop)
    }

    fn reseal_mac_key(&self) -> Result<(), Error> {
        self.mac.store(&self.paths.mac, &self.keys().recipient())
    }

    fn promote_next(&self) -> Result<(), Error> {
        files::rename(&self.paths.next, &self.paths.identity)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use secrecy::{ExposeSecret, SecretString};

    use super::*;
    use crate::{OpenError, Options};

    /// What is done before the process dies.
    type Step = fn(&Inner) -> Result<(), Error>;

    /// The writes of a rotation in their order, each cut short before its rename and done.
    const STEPS: [(&str, Step); 6] = [
        ("writing the next identity", |it| cut(&it.paths.next)),
        ("next identity written", Inner::write_next),
        ("writing the key for hashes", |it| cut(&it.paths.mac)),
        ("key for hashes re-sealed", |it| {
            it.reload()?;
            it.reseal_mac_key()
        }),
        ("before the rename", |_| Ok(())),
        ("renamed", Inner::promote_next),
    ];

    /// What is left of a write that was cut short.
    fn cut(path: &std::path::Path) -> Result<(), Error> {
        fs::write(files::temporary(path), "AGE-SECRET-KEY-1HALF").unwrap();
        Ok(())
    }

    #[test]
    fn a_process_that_dies_after_any_step_leaves_a_vault_that_opens_and_finishes() {
        for dies_after in 0..STEPS.len() {
            let folder = tempfile::tempdir().unwrap();
            let options = Options::new(folder.path().join("vault"));
            let binding = Binding::new("ada", "credential", "1", "KEY");
            let vault = Vault::open(options.clone()).unwrap();
            let old = fs::read(vault.identity_file()).unwrap();
            let sealed = vault.seal(&binding, &"s3cret".into()).unwrap();
            let mac = vault.mac("test", b"body");
            for (_, step) in &STEPS[..=dies_after] {
                step(&vault.inner).unwrap();
            }
            drop(vault);

            let what = STEPS[dies_after].0;
            let vault = Vault::open(options.clone()).unwrap();
            let opened = |vault: &Vault, sealed: &Sealed| {
                vault
                    .open_sealed(&binding, sealed)
                    .map(|it| it.expose_secret().to_owned())
            };
            assert_eq!(vault.mac("test", b"body"), mac, "{what}");
            let renamed = dies_after == STEPS.len() - 1;
            assert_eq!(vault.is_rotating(), (1..5).contains(&dies_after), "{what}");
            if renamed {
                // The caller promised that nothing was left.
                let lost = opened(&vault, &sealed).unwrap_err();
                assert!(matches!(lost, OpenError::WrongIdentity { .. }), "{what}");
                continue;
            }
            assert_eq!(opened(&vault, &sealed).unwrap(), "s3cret", "{what}");
            vault.begin_rotation().unwrap();
            let resealed = vault.reseal(&binding, &sealed).unwrap().unwrap();
            assert_eq!(vault.reseal(&binding, &resealed).unwrap(), None, "{what}");
            vault.finish_rotation().unwrap();
            assert_eq!(opened(&vault, &resealed).unwrap(), "s3cret", "{what}");
            assert!(opened(&vault, &sealed).is_err(), "{what}");

            let mut names: Vec<_> = fs::read_dir(&options.folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            assert_eq!(names, ["identity.txt", "lock", "mac.age"], "{what}");
            assert_ne!(fs::read(vault.identity_file()).unwrap(), old, "{what}");
            assert_eq!(Vault::open(options).unwrap().mac("test", b"body"), mac);
        }
    }

    #[test]
    fn finishing_what_was_not_begun_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(Options::new(folder.path().join("vault"))).unwrap();
        assert!(matches!(vault.finish_rotation(), Err(Error::NotRotating)));
    }

    #[test]
    fn another_process_notices_the_rotation_at_its_next_seal() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::new(folder.path().join("vault"));
        let binding = Binding::new("ada", "credential", "1", "KEY");
        let secret = SecretString::from("s3cret");
        let (server, command) = (
            Vault::open(options.clone()).unwrap(),
            Vault::open(options).unwrap(),
        );
        command.begin_rotation().unwrap();
        let sealed = server.seal(&binding, &secret).unwrap();
        assert!(server.is_rotating());
        assert!(!command.needs_rotation(&sealed));

        command.finish_rotation().unwrap();
        let after = command.seal(&binding, &secret).unwrap();
        server.open_sealed(&binding, &after).unwrap();
        server.self_test().unwrap();
        assert!(!server.is_rotating());
        assert_eq!(server.recipient(), command.recipient());

        // A whole rotation while the other looked away.
        command.begin_rotation().unwrap();
        command.finish_rotation().unwrap();
        let after = command.seal(&binding, &secret).unwrap();
        server.open_sealed(&binding, &after).unwrap();
    }
}
