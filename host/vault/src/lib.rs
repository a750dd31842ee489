//! Sealing of secrets with [age](https://age-encryption.org), X25519.
//!
//! A [`Vault`] seals a secret for one place, its [`Binding`], and opens it there only. The
//! vault's identity is a file; [`Vault::begin_rotation`] and [`Vault::finish_rotation`] replace it
//! while the vault is in use. The vault keeps no secrets itself: what it seals is stored by others.

mod binding;
mod error;
mod files;
mod identity;
mod mac;
mod rotation;
mod sealed;
pub mod token;
mod vault;

pub use binding::Binding;
pub use error::{Error, OpenError};
pub use sealed::Sealed;
pub use vault::{Options, Vault};
