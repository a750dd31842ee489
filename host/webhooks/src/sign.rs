//! Secrets and signatures, as the Standard Webhooks have them: HMAC-SHA256 over
//! `<id>.<timestamp>.<body>`.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngCore as _;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

/// What every secret begins with.
const PREFIX: &str = "whsec_";
/// How many bytes a secret may have.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A text is no secret of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a webhook's secret is whsec_ and 24 to 64 bytes in base64")]
pub struct InvalidSecret;

/// What a webhook's messages are signed with.
pub struct SigningSecret(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningSecret").finish_non_exhaustive()
    }
}

impl SigningSecret {
    /// Makes one, and gives it as text.
    pub fn generate() -> SecretString {
        let mut bytes = Zeroizing::new([0; 32]);
        rand::rng().fill_bytes(bytes.as_mut());
        format!("{PREFIX}{}", STANDARD.encode(&bytes[..])).into()
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`InvalidSecret`].
    pub fn read(text: &SecretString) -> Result<Self, InvalidSecret> {
        let digits = text.expose_secret().strip_prefix(PREFIX);
        let bytes = digits.and_then(|digits| STANDARD.decode(digits).ok());
        let bytes = Zeroizing::new(bytes.ok_or(InvalidSecret)?);
        match BYTES.contains(&bytes.len()) {
            true => Ok(Self(bytes)),
            false => Err(InvalidSecret),
        }
    }

    fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return String::new();
        };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        STANDARD.encode(mac.finalize().into_bytes())
    }
}

/// The header `webhook-signature`: a signature with each of the secrets.
pub(crate) fn signatures(
    secrets: &[SigningSecret],
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> String {
    let mut header = String::new();
    for secret in secrets {
        if !header.is_empty() {
            header.push(' ');
        }
        // Writing to a string cannot fail.
        let _ = write!(header, "v1,{}", secret.sign(id, timestamp, body));
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard() {
        let secret = SigningSecret::read(&"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()).unwrap();
        let header = signatures(
            &[secret],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(header, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_made_can_be_read() {
        let made = SigningSecret::generate();
        assert_eq!(SigningSecret::read(&made).unwrap().0.len(), 32);
        assert_ne!(
            made.expose_secret(),
            SigningSecret::generate().expose_secret()
        );
        for wrong in [
            "",
            "whsec_",
            "whsec_AAAA",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            assert!(SigningSecret::read(&wrong.into()).is_err(), "{wrong}");
        }
    }
}
