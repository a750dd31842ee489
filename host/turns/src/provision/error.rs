//! Why provisioning did not come to its end.

use aod_sandbox::SandboxError;

use crate::Error;

/// Why provisioning did not come to its end.
#[derive(Debug)]
pub(crate) enum ProvisionError {
    /// The turn fails, and this is what its user is told. Where a stage failed, the journal has it.
    Failed(String),
    /// The turn was stopped meanwhile.
    Cancelled,
    /// The host could not do its own part, such as writing the journal.
    Host(Error),
}

impl From<Error> for ProvisionError {
    fn from(error: Error) -> Self {
        Self::Host(error)
    }
}

impl ProvisionError {
    /// A failure outside of a stage that the turn's user is told. What is not for them is logged.
    pub(crate) fn told(error: &Error) -> Self {
        if error.is_internal() {
            tracing::error!(error = %error.details(), "provisioning failed");
        }
        Self::Failed(error.to_string())
    }
}

/// What can be wrong inside a stage.
#[derive(Debug)]
pub(crate) enum StageError {
    /// It failed, and this is what the user is told.
    Failed(String),
    /// It failed, and its cause may be for the log alone.
    Host(Error),
    /// It was stopped.
    Cancelled,
}

impl From<Error> for StageError {
    fn from(error: Error) -> Self {
        Self::Host(error)
    }
}

impl From<std::io::Error> for StageError {
    fn from(error: std::io::Error) -> Self {
        Error::internal(error).into()
    }
}

impl From<SandboxError> for StageError {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::Io { .. } => Error::internal(error).into(),
            // The others say what to do about them.
            told => Self::Failed(told.to_string()),
        }
    }
}
