//! The vault's seals on the store's records.

use aod_metrics::count_vault;
use aod_resources::Secrets;
use aod_store::{SealedKey, SealedKind, SealedRecord, SealedValue};
use aod_vault::{Binding, Vault};
use secrecy::SecretString;
use uuid::Uuid;

use crate::hex::hex;
use crate::{Error, Result};

/// Seals and opens what the store keeps.
#[derive(Clone, Debug)]
pub struct Seals(Vault);

/// What a sealed value is bound to.
pub fn binding(key: &SealedKey) -> Binding {
    Binding {
        owner: key.owner.to_string(),
        kind: key.kind.as_str().to_owned(),
        record: key.record.to_string(),
        name: key.name.clone(),
    }
}

impl Seals {
    /// Of this vault.
    pub fn new(vault: Vault) -> Self {
        Self(vault)
    }

    /// The vault itself.
    pub fn vault(&self) -> &Vault {
        &self.0
    }

    /// A keyed hash of facts that may hold secrets, for one purpose: the same for the same facts, and
    /// tells nothing of them.
    pub(crate) fn hash(&self, purpose: &str, facts: &serde_json::Value) -> String {
        // Overwritten when it is dropped.
        let text = zeroize::Zeroizing::new(facts.to_string());
        hex(self.0.mac(purpose, text.as_bytes()).as_ref())
    }

    /// Seals each of the secrets to its place.
    pub fn seal_all(
        &self,
        owner: Uuid,
        kind: SealedKind,
        record: Uuid,
        secrets: &Secrets,
    ) -> Result<Vec<SealedValue>> {
        secrets
            .iter()
            .map(|(name, secret)| {
                let key = SealedKey {
                    owner,
                    kind,
                    record,
                    name: name.clone(),
                };
                Ok(SealedValue {
                    kind,
                    blob: self.seal(&key, secret)?,
                    name: key.name,
                })
            })
            .collect()
    }

    /// Seals a secret to its place.
    pub fn seal(&self, key: &SealedKey, secret: &SecretString) -> Result<Vec<u8>> {
        let sealed = self.0.seal(&binding(key), secret);
        count_vault("seal", &sealed);
        Ok(sealed.map_err(Error::internal)?.into_bytes())
    }

    /// Opens a record, if it is where it was sealed to.
    pub fn open(&self, record: &SealedRecord) -> Result<SecretString> {
        let sealed = aod_vault::Sealed::from(record.blob.clone());
        let opened = self.0.open_sealed(&binding(&record.key), &sealed);
        count_vault("open", &opened);
        opened.map_err(|source| Error::Sealed {
            name: record.key.name.clone(),
            source,
        })
    }
}
