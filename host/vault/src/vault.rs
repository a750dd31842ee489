//! The vault: its files, its keys, and what it does with them.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use age::x25519;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    Binding, Error, OpenError, Sealed, files,
    files::Fingerprint,
    identity::{self, Loaded, Protection},
    mac::MacKey,
    sealed, token,
};

/// Where a vault is and how its identity is protected.
#[derive(Clone, Debug)]
pub struct Options {
    /// The vault's folder, made with mode 0700 when it is not there.
    pub folder: PathBuf,
    /// The identity's file when it is not `identity.txt` in the folder; it must exist.
    pub identity_file: Option<PathBuf>,
    /// Opens a protected identity, and protects an identity that is made. An unprotected one
    /// stays so until the next rotation.
    pub passphrase: Option<SecretString>,
    /// How hard a passphrase is to guess: the base-2 logarithm of scrypt's N, for an identity
    /// that is made. By default about a second of work on this machine.
    pub work_factor: Option<u8>,
}

impl Options {
    /// A vault in that folder with its identity in it, unprotected.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            identity_file: None,
            passphrase: None,
            work_factor: None,
        }
    }
}

/// Seals and opens secrets; clones share its keys. Sealing and opening take a fraction of a
/// millisecond of computing and two looks at file dates, so they may be called from async code.
#[derive(Clone)]
pub struct Vault {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) paths: Paths,
    passphrase: Option<SecretString>,
    work_factor: Option<u8>,
    pub(crate) mac: MacKey,
    keys: RwLock<Arc<Keys>>,
}

/// The files of a vault.
pub(crate) struct Paths {
    /// The present identity.
    pub(crate) identity: PathBuf,
    /// While a rotation is under way, the one that takes its place.
    pub(crate) next: PathBuf,
    /// The key for hashes, sealed.
    pub(crate) mac: PathBuf,
    /// Locked by whoever changes the others.
    lock: PathBuf,
    /// Whether an identity may be made when there is none.
    may_make: bool,
}

/// The identities as they were last read.
pub(crate) struct Keys {
    /// What is sealed is sealed to the first; all open.
    pub(crate) identities: Vec<x25519::Identity>,
    protected: bool,
    seen: [Option<Fingerprint>; 2],
}

impl Keys {
    pub(crate) fn recipient(&self) -> x25519::Recipient {
        self.newest().to_public()
    }

    pub(crate) fn newest(&self) -> &x25519::Identity {
        // Made by `Paths::load` alone, which puts one in at least.
        &self.identities[0]
    }

    pub(crate) fn is_rotating(&self) -> bool {
        self.identities.len() > 1
    }
}

impl Paths {
    fn new(options: &Options) -> Self {
        let identity = match &options.identity_file {
            Some(file) => file.clone(),
            None => options.folder.join("identity.txt"),
        };
        Self {
            next: files::with_suffix(&identity, ".next"),
            identity,
            mac: options.folder.join("mac.age"),
            lock: options.folder.join("lock"),
            may_make: options.identity_file.is_none(),
        }
    }

    fn seen(&self) -> [Option<Fingerprint>; 2] {
        [
            files::fingerprint(&self.identity),
            files::fingerprint(&self.next),
        ]
    }

    /// What a process that died while it wrote left behind. Under the lock there is no other.
    fn remove_leftovers(&self) -> Result<(), Error> {
        for path in [&self.identity, &self.next, &self.mac] {
            files::remove_if_there(&files::temporary(path))?;
        }
        Ok(())
    }

    fn load(&self, protection: &Protection<'_>) -> Result<Keys, Error> {
        // Looked at before they are read: a change in between is then seen as one.
        let seen = self.seen();
        let current = match identity::load(&self.identity, protection)? {
            Some(loaded) => loaded,
            None if self.may_make && self.is_new()? => {
                let made = identity::make(&self.identity, protection)?;
                return Ok(Keys {
                    identities: vec![made.identity],
                    protected: made.protected,
                    seen: self.seen(),
                });
            }
            None => {
                return Err(Error::Missing {
                    path: self.identity.clone(),
                });
            }
        };
        let next = identity::load(&self.next, protection)?;
        let Loaded { protected, .. } = *next.as_ref().unwrap_or(&current);
        Ok(Keys {
            identities: next
                .into_iter()
                .chain([current])
                .map(|it| it.identity)
                .collect(),
            protected,
            seen,
        })
    }

    /// Whether nothing was sealed here yet: the key for hashes is the first thing that is.
    fn is_new(&self) -> Result<bool, Error> {
        let there = |path: &Path| path.try_exists().map_err(files::io_error("look for", path));
        Ok(!there(&self.mac)? && !there(&self.next)?)
    }
}

impl Vault {
    /// Opens a vault, and makes what it needs on the first start. With a passphrase this takes
    /// about a second.
    ///
    /// # Errors
    /// When others can reach the identity, when it is missing although the vault was used, when
    /// it is not the one that the vault was used with, or when the passphrase is wrong.
    pub fn open(options: Options) -> Result<Self, Error> {
        files::private_folder(&options.folder)?;
        let paths = Paths::new(&options);
        let protection = Protection {
            passphrase: options.passphrase.as_ref(),
            work: options.work_factor,
        };
        let _lock = files::lock(&paths.lock)?;
        paths.remove_leftovers()?;
        let keys = paths.load(&protection)?;
        let mac = MacKey::load_or_make(&paths.mac, &keys.recipient(), &keys.identities)?;
        Ok(Self {
            inner: Arc::new(Inner {
                paths,
                passphrase: options.passphrase,
                work_factor: options.work_factor,
                mac,
                keys: RwLock::new(Arc::new(keys)),
            }),
        })
    }

    /// Seals a secret for its place.
    ///
    /// # Errors
    /// When the identity's file was changed and cannot be read.
    pub fn seal(&self, binding: &Binding, secret: &SecretString) -> Result<Sealed, Error> {
        // A rotation may have been begun by another process: what is sealed now must be sealed
        // to the new identity.
        let keys = self.inner.fresh_keys()?;
        sealed::seal(&keys.recipient(), binding, secret).map_err(Error::Seal)
    }

    /// Opens what was sealed for that place.
    ///
    /// # Errors
    /// When it was sealed for another place or to another identity, or was changed.
    pub fn open_sealed(
        &self,
        binding: &Binding,
        sealed: &Sealed,
    ) -> Result<SecretString, OpenError> {
        let keys = self.inner.keys();
        let opened = sealed::open(keys.identities.iter(), binding, sealed);
        if !matches!(opened, Err(OpenError::WrongIdentity { .. })) {
            return opened;
        }
        match self.inner.fresh_keys() {
            Ok(fresh) if !Arc::ptr_eq(&fresh, &keys) => {
                sealed::open(fresh.identities.iter(), binding, sealed)
            }
            _ => opened,
        }
    }

    /// Seals a random secret and opens it again.
    ///
    /// # Errors
    /// What does not work.
    pub fn self_test(&self) -> Result<(), Error> {
        let binding = Binding::new("vault", "self-test", "", "");
        let (secret, _) = token::generate();
        let sealed = self.seal(&binding, &secret)?;
        let opened = self
            .open_sealed(&binding, &sealed)
            .map_err(Error::SelfTest)?;
        if opened.expose_secret() != secret.expose_secret() {
            let wanted = Box::new(binding);
            return Err(Error::SelfTest(OpenError::Damaged { wanted }));
        }
        Ok(())
    }

    /// The public half of the identity that secrets are sealed to, `age1…`.
    pub fn recipient(&self) -> String {
        self.inner.keys().recipient().to_string()
    }

    /// The file of the present identity.
    pub fn identity_file(&self) -> &Path {
        &self.inner.paths.identity
    }

    /// Whether the identity that secrets are sealed to is protected by a passphrase.
    pub fn is_protected(&self) -> bool {
        self.inner.keys().protected
    }

    /// A keyed hash (HMAC-SHA256): equal for equal bytes in equal domains, in this vault alone. It
    /// outlives rotations.
    pub fn mac(&self, domain: &str, bytes: &[u8]) -> [u8; 32] {
        self.inner.mac.mac(domain, bytes)
    }
}

impl Inner {
    pub(crate) fn keys(&self) -> Arc<Keys> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&keys)
    }

    /// The keys, read anew when their files are not those that were read.
    pub(crate) fn fresh_keys(&self) -> Result<Arc<Keys>, Error> {
        let keys = self.keys();
        let seen = self.paths.seen();
        // An identity whose file was taken away after the start is still good.
        if seen == keys.seen || seen[0].is_none() {
            return Ok(keys);
        }
        let _lock = self.lock()?;
        self.reload()
    }

    pub(crate) fn lock(&self) -> Result<std::fs::File, Error> {
        files::lock(&self.paths.lock)
    }

    /// Reads the keys anew. The caller holds the lock.
    pub(crate) fn reload(&self) -> Result<Arc<Keys>, Error> {
        let fresh = Arc::new(self.paths.load(&self.protection())?);
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        *keys = Arc::clone(&fresh);
        Ok(fresh)
    }

    pub(crate) fn protection(&self) -> Protection<'_> {
        Protection {
            passphrase: self.passphrase.as_ref(),
            work: self.work_factor,
        }
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("identity", &format_args!("[redacted]"))
            .field("recipient", &self.recipient())
            .finish_non_exhaustive()
    }
}
