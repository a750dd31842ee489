//! What can go wrong. No message holds a secret.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::Binding;

/// Why the vault cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder of the vault cannot be read or written.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Others than its owner can reach a file or folder of the vault.
    #[error(
        "{} has mode {mode:03o}: others can reach the vault's identity; run `chmod {wanted:03o} {}`",
        .path.display(), .path.display()
    )]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// What they must be at most.
        wanted: u32,
    },
    /// A file or folder of the vault belongs to another user of the machine.
    #[error("{} belongs to user {owner} of this machine; it must belong to user {wanted} or root", .path.display())]
    ForeignOwner {
        /// The file or folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it must be.
        wanted: u32,
    },
    /// The identity file is missing, although there are things sealed to it.
    #[error("the vault's identity {} is missing; restore it: nothing that is sealed opens without it", .path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file holds no age X25519 identity.
    #[error("{} holds no age identity (a line AGE-SECRET-KEY-1..., or a passphrase-protected file of one)", .path.display())]
    NotAnIdentity {
        /// The file.
        path: PathBuf,
    },
    /// The identity is protected, and no passphrase was given.
    #[error("the vault's identity {} is protected by a passphrase, and none was given", .path.display())]
    PassphraseNeeded {
        /// The identity file.
        path: PathBuf,
    },
    /// The passphrase does not open the identity.
    #[error("the passphrase does not open the vault's identity {}", .path.display())]
    WrongPassphrase {
        /// The identity file.
        path: PathBuf,
    },
    /// The identity is not the one that this vault's records are sealed to.
    #[error(
        "{} does not open with the identity {recipient}: this is not the identity that this \
         vault was used with", .path.display()
    )]
    WrongIdentity {
        /// The vault's own sealed file.
        path: PathBuf,
        /// The recipient of the identity that was tried.
        recipient: String,
    },
    /// There is no rotation to go on with or to finish.
    #[error("no rotation of the vault's identity is under way")]
    NotRotating,
    /// A value to be sealed anew does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Sealing failed.
    #[error("cannot seal: {0}")]
    Seal(io::Error),
    /// What the vault sealed a moment ago does not open.
    #[error("the vault does not open what it sealed: {0}")]
    SelfTest(#[source] OpenError),
}

/// Why a sealed value does not open.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It was sealed for another place: the ciphertext was moved or copied.
    #[error("the sealed value at {wanted} was sealed for {found}")]
    Misplaced {
        /// Where it was found.
        wanted: Box<Binding>,
        /// Where it belongs.
        found: Box<Binding>,
    },
    /// It was sealed to an identity that this vault does not have.
    #[error("the sealed value at {wanted} was sealed to another identity")]
    WrongIdentity {
        /// Where it was found.
        wanted: Box<Binding>,
    },
    /// It is no sealed value, or was changed or cut.
    #[error("the sealed value at {wanted} is damaged")]
    Damaged {
        /// Where it was found.
        wanted: Box<Binding>,
    },
}
