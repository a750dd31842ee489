//! What can go wrong in a driver.

use std::io;
use std::path::PathBuf;

/// Why a sandbox could not be described or started.
///
/// Messages never contain values of environment variables or contents of private files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// No driver has the configured name.
    #[error("there is no sandbox driver `{name}`: choose `bubblewrap` or `process`")]
    UnknownDriver {
        /// The name asked for.
        name: String,
    },
    /// A program that the driver needs is not on this machine.
    #[error("`{program}` was not found: {fix}")]
    MissingProgram {
        /// The program's name.
        program: String,
        /// What to do about it.
        fix: &'static str,
    },
    /// The spec contradicts itself or the driver's rules.
    #[error("invalid sandbox description: {what}")]
    Invalid {
        /// What is wrong, with the offending name or path.
        what: String,
    },
    /// The spec asks for something that this driver cannot give.
    #[error("the `{driver}` sandbox driver cannot give {what}")]
    Unsupported {
        /// The driver's name.
        driver: &'static str,
        /// What was asked for.
        what: String,
    },
    /// Sandboxes cannot have files that lie over the system's own.
    #[error("no files can be laid over the system's own in sandboxes of this machine: {why}")]
    NoLayers {
        /// What is in the way, and what to do about it.
        why: String,
    },
    /// Commands cannot change a system of their own.
    #[error("no command can change a system of its own in sandboxes of this machine: {why}")]
    NoSystemChange {
        /// What is in the way.
        why: String,
    },
    /// One argument or variable, or all together, exceed what the kernel passes to a program.
    #[error(
        "{what} takes {bytes} bytes, and the kernel passes at most {limit} to a program: \
         hand long content over by stdin or as a file"
    )]
    TooLong {
        /// Which argument or variable, or that it is the sum of all.
        what: String,
        /// Its size.
        bytes: u64,
        /// The kernel's limit.
        limit: u64,
    },
    /// A path inside the sandbox's home or workspace leads through a symbolic link, so that what
    /// is to be mounted there could end up elsewhere.
    #[error(
        "`{}` cannot be used as a mount point: `{}` is a symbolic link or not a folder; remove it",
        path.display(), culprit.display()
    )]
    UnsafeMountPoint {
        /// The mount point, on the host.
        path: PathBuf,
        /// The component that is not what it should be, on the host.
        culprit: PathBuf,
    },
    /// The system call filter cannot be made on this machine.
    #[error(transparent)]
    Filter(#[from] crate::seccomp::FilterError),
    /// The command could not be started.
    #[error(transparent)]
    Start(#[from] aod_launch::StartError),
    /// An operation on the host failed.
    #[error("could not {action}: {source}")]
    Io {
        /// What was tried, with the path.
        action: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl SandboxError {
    pub(crate) fn io(action: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io {
            action: action.into(),
            source: source.into(),
        }
    }

    /// The program that is every sandbox's init is not there.
    pub(crate) fn missing_init() -> Self {
        Self::MissingProgram {
            program: "aod-supervisor".into(),
            fix: "install it beside the server",
        }
    }

    pub(crate) fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid { what: what.into() }
    }
}
