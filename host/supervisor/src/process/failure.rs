//! Why a turn was not started.

use aod_supervisor::StartFailure;

/// Why the CLI was not started: what the supervisor reports to the host, and the particulars.
pub struct Failure(pub StartFailure, pub String);

impl Failure {
    /// With an error and all that caused it.
    pub fn new(failure: StartFailure, what: &str, error: &dyn std::error::Error) -> Self {
        Self(failure, format!("{what}: {}", with_causes(error)))
    }
}

/// An error's text with those of its causes.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    message
}
