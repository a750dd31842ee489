//! The identity's file: plain, or protected by a passphrase.

use std::{io::Read, iter, path::Path};

use age::{
    DecryptError, Decryptor, armor::ArmoredReader, armor::ArmoredWriter, armor::Format, scrypt,
    x25519,
};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::{Error, files};

/// The largest work that opening a protected identity may ask for: 2^22 takes some 16 seconds.
const MAX_WORK: u8 = 22;

pub(crate) struct Loaded {
    pub identity: x25519::Identity,
    pub protected: bool,
}

/// How an identity file is protected when it is made, and opened when it is protected.
pub(crate) struct Protection<'a> {
    pub passphrase: Option<&'a SecretString>,
    pub work: Option<u8>,
}

/// The identity in the file; `None` when there is no such file.
pub(crate) fn load(path: &Path, protection: &Protection<'_>) -> Result<Option<Loaded>, Error> {
    let Some(content) = files::read_private(path)? else {
        return Ok(None);
    };
    let invalid = || Error::NotAnIdentity {
        path: path.to_owned(),
    };
    let protected = is_age_file(&content);
    let content = if protected {
        unprotect(path, &content, protection)?
    } else {
        content
    };
    let text = std::str::from_utf8(&content).map_err(|_| invalid())?;
    let identity = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .and_then(|line| line.parse().ok())
        .ok_or_else(invalid)?;
    Ok(Some(Loaded {
        identity,
        protected,
    }))
}

fn is_age_file(content: &[u8]) -> bool {
    content.starts_with(b"age-encryption.org/")
        || content.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
}

fn unprotect(
    path: &Path,
    content: &[u8],
    protection: &Protection<'_>,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let Some(passphrase) = protection.passphrase else {
        return Err(Error::PassphraseNeeded {
            path: path.to_owned(),
        });
    };
    let mut identity = scrypt::Identity::new(passphrase.clone());
    identity.set_max_work_factor(MAX_WORK);
    let mut plain = Zeroizing::new(Vec::with_capacity(content.len()));
    Decryptor::new_buffered(ArmoredReader::new(content))
        .and_then(|it| it.decrypt(iter::once(&identity as &dyn age::Identity)))
        .and_then(|mut reader| Ok(reader.read_to_end(&mut plain)?))
        .map_err(|error| match error {
            DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
                Error::WrongPassphrase {
                    path: path.to_owned(),
                }
            }
            _ => Error::NotAnIdentity {
                path: path.to_owned(),
            },
        })?;
    Ok(plain)
}

/// Makes a new identity and writes it to `path`, durably.
pub(crate) fn make(path: &Path, protection: &Protection<'_>) -> Result<Loaded, Error> {
    let identity = x25519::Identity::generate();
    let text = {
        let secret = identity.to_string();
        let (recipient, secret) = (identity.to_public(), secret.expose_secret());
        Zeroizing::new(format!("# public key: {recipient}\n{secret}\n"))
    };
    match protection.passphrase {
        None => files::replace_private(path, text.as_bytes())?,
        Some(passphrase) => {
            let mut recipient = scrypt::Recipient::new(passphrase.clone());
            if let Some(work) = protection.work {
                recipient.set_work_factor(work);
            }
            let protected = protect(&recipient, text.as_bytes()).map_err(Error::Seal)?;
            files::replace_private(path, &protected)?;
        }
    }
    Ok(Loaded {
        identity,
        protected: protection.passphrase.is_some(),
    })
}

fn protect(recipient: &scrypt::Recipient, text: &[u8]) -> std::io::Result<Vec<u8>> {
    use std::io::Write;

    let mut protected = Vec::new();
    let armor = ArmoredWriter::wrap_output(&mut protected, Format::AsciiArmor)?;
    let encryptor = age::Encryptor::with_recipients(iter::once(recipient as &dyn age::Recipient))
        .map_err(std::io::Error::other)?;
    let mut writer = encryptor.wrap_output(armor)?;
    writer.write_all(text)?;
    writer.finish()?.finish()?;
    Ok(protected)
}
