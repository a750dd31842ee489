//! Keyed hashes, for what must be recognised again but not read: the key lies sealed in the
//! vault's folder, so that hashes outlive a rotation and mean nothing to who has only the data.

use std::{io, path::Path};

use age::x25519;
use hmac::{Hmac, KeyInit, Mac};
use rand::RngCore;
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;

use crate::{
    Error, files,
    sealed::{decrypt, encrypt},
};

const KEY: usize = 32;

pub(crate) struct MacKey(SecretBox<[u8; KEY]>);

impl MacKey {
    /// The key in the file, or a new one in a new file.
    pub(crate) fn load_or_make(
        path: &Path,
        recipient: &x25519::Recipient,
        identities: &[x25519::Identity],
    ) -> Result<Self, Error> {
        if let Some(sealed) = files::read_private(path)? {
            let identities = identities.iter().map(|it| it as &dyn age::Identity);
            let key = decrypt(identities, &sealed).ok();
            let key = key.and_then(|key| <[u8; KEY]>::try_from(&**key).ok());
            return match key {
                Some(key) => Ok(Self(SecretBox::new(Box::new(key)))),
                None => Err(Error::WrongIdentity {
                    path: path.to_owned(),
                    recipient: recipient.to_string(),
                }),
            };
        }
        let key = Self(SecretBox::init_with_mut(|key: &mut [u8; KEY]| {
            rand::rng().fill_bytes(key);
        }));
        key.store(path, recipient)?;
        Ok(key)
    }

    /// Writes the key, sealed to `recipient`, in the place of what was there.
    pub(crate) fn store(&self, path: &Path, recipient: &x25519::Recipient) -> Result<(), Error> {
        let sealed = self.seal(recipient).map_err(Error::Seal)?;
        files::replace_private(path, &sealed)
    }

    fn seal(&self, recipient: &x25519::Recipient) -> io::Result<Vec<u8>> {
        encrypt(recipient, self.0.expose_secret())
    }

    /// HMAC-SHA256 over the domain's length, the domain and the bytes.
    pub(crate) fn mac(&self, domain: &str, bytes: &[u8]) -> [u8; 32] {
        // HMAC takes keys of any length, so this cannot fail.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret())
            .expect("HMAC takes keys of any length");
        mac.update(&(domain.len() as u64).to_le_bytes());
        mac.update(domain.as_bytes());
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }
}
