//! Ciphertext, and the two functions that make and open it.

use std::{
    fmt,
    io::{self, Read, Write},
    iter,
};

use age::{DecryptError, Decryptor, Encryptor, Identity, x25519};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::{Binding, OpenError};

/// A sealed secret: an age file in its binary form, 200 to 400 bytes longer than the secret and
/// its binding.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes to store.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl From<Vec<u8>> for Sealed {
    /// Takes bytes that were stored; whether they open is seen when they are opened.
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

pub(crate) fn seal(
    to: &x25519::Recipient,
    binding: &Binding,
    secret: &SecretString,
) -> io::Result<Sealed> {
    let plain = binding.wrap(secret.expose_secret().as_bytes());
    encrypt(to, &plain).map(Sealed)
}

pub(crate) fn encrypt(to: &dyn age::Recipient, plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut sealed = Vec::new();
    let encryptor = Encryptor::with_recipients(iter::once(to)).map_err(io::Error::other)?;
    let mut writer = encryptor.wrap_output(&mut sealed)?;
    writer.write_all(plain)?;
    writer.finish()?;
    Ok(sealed)
}

/// Decrypts into memory that is wiped.
pub(crate) fn decrypt<'a>(
    identities: impl Iterator<Item = &'a dyn Identity>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    let mut reader = Decryptor::new_buffered(sealed)?.decrypt(identities)?;
    // A plaintext is shorter than its ciphertext, so the buffer never grows and leaves no copy.
    let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
    reader.read_to_end(&mut plain)?;
    Ok(plain)
}

pub(crate) fn open<'a>(
    identities: impl Iterator<Item = &'a x25519::Identity>,
    binding: &Binding,
    sealed: &Sealed,
) -> Result<SecretString, OpenError> {
    let wanted = || Box::new(binding.clone());
    let plain = match decrypt(identities.map(|it| it as &dyn Identity), &sealed.0) {
        Ok(plain) => plain,
        Err(DecryptError::NoMatchingKeys) => {
            return Err(OpenError::WrongIdentity { wanted: wanted() });
        }
        Err(_) => return Err(OpenError::Damaged { wanted: wanted() }),
    };
    let (found, secret) =
        Binding::unwrap(&plain).ok_or_else(|| OpenError::Damaged { wanted: wanted() })?;
    if found != *binding {
        return Err(OpenError::Misplaced {
            wanted: wanted(),
            found: Box::new(found),
        });
    }
    Ok(SecretString::from(secret))
}

/// Whether `identity` is one that the value is sealed to. Only its header is opened.
pub(crate) fn is_sealed_to(identity: &x25519::Identity, sealed: &Sealed) -> bool {
    Decryptor::new_buffered(&sealed.0[..])
        .and_then(|it| it.decrypt(iter::once(identity as &dyn Identity)))
        .is_ok()
}
