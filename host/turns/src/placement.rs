//! Where turns' workers run, and how they are spoken to.
//!
//! A worker owns one running turn: it is the only writer of the turn's records, enforces its clock
//! and outlives this process. Here it is a supervisor on this machine ([`LocalPlacement`]); a
//! container, or a worker on another machine, is another [`Placement`].

use std::path::PathBuf;
use std::time::Duration;

use aod_store::StopRequest;
use aod_supervisor::{Control, ControlError, Request, SpawnError, TurnSpec, Waiting};
use thiserror::Error;
use uuid::Uuid;

use crate::Paths;

/// How long a worker may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which worker: there is at most one for a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkerId {
    /// The session.
    pub session: Uuid,
    /// The turn's number in it.
    pub turn: u32,
}

/// Starts turns' workers and speaks to them. Its methods block, [`Placement::is_running`] excepted:
/// they are not for an async thread.
pub trait Placement: Send + Sync {
    /// Starts a worker that waits for its turn: it is started beside what else has to be done
    /// before a turn.
    ///
    /// # Errors
    /// [`PlacementError::Worker`].
    fn start(&self, worker: WorkerId) -> Result<Box<dyn PendingWorker>, PlacementError>;

    /// Whether a worker runs. Once it does not, nobody writes the turn's records any more. Asked
    /// whenever a log has grown, so it must answer at once, from what is known.
    ///
    /// # Errors
    /// [`PlacementError::Worker`] where that cannot be known.
    fn is_running(&self, worker: WorkerId) -> Result<bool, PlacementError>;

    /// Asks a worker for something. It is on record when it says so.
    fn ask(&self, worker: WorkerId, request: &Request) -> ControlReply {
        self.connect(worker).ask(request)
    }

    /// A connection to a worker, for who has several things to ask of it, or who will have something
    /// to ask at once.
    fn connect(&self, worker: WorkerId) -> Box<dyn WorkerConnection>;

    /// Has a worker end its turn. Whether it has is seen in the turn's records.
    fn stop(&self, worker: WorkerId, how: StopRequest) -> ControlReply {
        let request = match how {
            StopRequest::Interrupt => Request::Interrupt,
            StopRequest::Terminate => Request::Terminate,
        };
        self.ask(worker, &request)
    }
}

/// A connection to a worker, which may be gone.
pub trait WorkerConnection: Send {
    /// Asks it for something. It is on record when it says so. Blocks.
    fn ask(&mut self, request: &Request) -> ControlReply;
}

/// A worker that has yet to be given its turn. Dropping it ends it.
pub trait PendingWorker: Send {
    /// Gives it its turn, and waits until that runs. Blocks.
    ///
    /// # Errors
    /// See [`PlacementError`].
    fn run(self: Box<Self>, spec: &TurnSpec) -> Result<(), PlacementError>;
}

/// What a worker made of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlReply {
    /// It is done and on record.
    Done,
    /// It said no, and why.
    Refused(String),
    /// Nobody is there: the turn is over.
    Gone,
    /// It may be asked once more.
    Silent,
}

/// Why a turn has no worker.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// The worker was there and could not run the turn's command. The text is for the user.
    #[error("{message}")]
    Command {
        /// What was wrong, without secrets.
        message: String,
    },
    /// There is no worker; the cause is for the log.
    #[error("the server cannot start what runs the turn; its log has the cause")]
    Worker(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<SpawnError> for PlacementError {
    fn from(error: SpawnError) -> Self {
        match error {
            SpawnError::Failed {
                failure: aod_supervisor::StartFailure::Launch,
                message,
            } => Self::Command { message },
            error => Self::Worker(Box::new(error)),
        }
    }
}

/// Workers are supervisors on this machine, each a process of its own.
#[derive(Clone, Debug)]
pub struct LocalPlacement {
    /// The supervisor's program.
    supervisor: PathBuf,
    paths: Paths,
}

impl LocalPlacement {
    /// With the supervisor's program and the data folder, in which its turns' logs are.
    pub const fn new(supervisor: PathBuf, paths: Paths) -> Self {
        Self { supervisor, paths }
    }
}

impl Placement for LocalPlacement {
    fn start(&self, _: WorkerId) -> Result<Box<dyn PendingWorker>, PlacementError> {
        Ok(Box::new(PendingSupervisor(Waiting::start(
            &self.supervisor,
        )?)))
    }

    fn is_running(&self, worker: WorkerId) -> Result<bool, PlacementError> {
        // A supervisor holds its log's lock from before its first record until its end, however it
        // ends.
        aod_log::is_locked(&self.paths.session(worker.session).log())
            .map_err(|error| PlacementError::Worker(Box::new(error)))
    }

    fn connect(&self, worker: WorkerId) -> Box<dyn WorkerConnection> {
        let path = self.paths.session(worker.session).control();
        Box::new(LocalConnection {
            // Why there is none is met once more when it is asked.
            kept: Control::connect(&path, PATIENCE).ok(),
            path,
        })
    }
}

/// A connection to a supervisor.
struct LocalConnection {
    path: PathBuf,
    /// None where it has failed.
    kept: Option<Control>,
}

impl LocalConnection {
    fn send(&mut self, request: &Request) -> Result<(), ControlError> {
        if let Some(control) = &mut self.kept {
            let sent = control.send(request);
            if matches!(sent, Ok(()) | Err(ControlError::Refused { .. })) {
                return sent;
            }
            self.kept = None;
            // A supervisor drops connections where there are too many.
            if !matches!(sent, Err(ControlError::Gone { .. })) {
                return sent;
            }
        }
        let mut control = Control::connect(&self.path, PATIENCE)?;
        control.send(request)?;
        self.kept = Some(control);
        Ok(())
    }
}

impl WorkerConnection for LocalConnection {
    fn ask(&mut self, request: &Request) -> ControlReply {
        let asked = self.send(request);
        if *request == Request::Terminate && matches!(asked, Err(ControlError::TimedOut { .. })) {
            // It was stopped, or hangs. Its sandbox dies with it, and the turn ends without it.
            match aod_supervisor::kill_supervisor(&self.path) {
                Ok(()) => tracing::warn!("a supervisor that does not answer was killed"),
                Err(ControlError::Gone { .. }) => {}
                Err(error) => tracing::error!(%error, "a supervisor cannot be killed"),
            }
        }
        match asked {
            Ok(()) => ControlReply::Done,
            Err(ControlError::Refused { reason }) => ControlReply::Refused(reason),
            Err(ControlError::Gone { .. }) => ControlReply::Gone,
            Err(error) => {
                tracing::warn!(%error, "a supervisor does not answer");
                ControlReply::Silent
            }
        }
    }
}

struct PendingSupervisor(Waiting);

impl PendingWorker for PendingSupervisor {
    fn run(self: Box<Self>, spec: &TurnSpec) -> Result<(), PlacementError> {
        self.0.begin(spec)?;
        Ok(())
    }
}
