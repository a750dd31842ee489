//! Turns: from an accepted prompt to the terminal event.

mod alarm;
mod answers;
mod attachments;
mod background;
mod conclude;
mod context;
mod derive;
mod ending;
mod fold;
mod follow;
mod input;
mod launch;
mod layers;
mod limits;
mod live;
mod measure;
mod prepare;
mod queue;
mod resting;
mod restore;
mod seen;
mod task;
mod worker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aod_resources::{RepositoryDiff, Resource, Session};
use aod_sandbox::SandboxDriver;
use aod_store::{OnDisk, StopRequest, Store};
use aod_streams::LogWatch;
use aod_streams::events::Bell;
use aod_streams::follow::Tails;
use aod_trees::Trash;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::background::{BackgroundThreads, Others};
use self::resting::RestingProcesses;
use crate::adapters::Adapters;
use crate::admission::{Admission, AdmissionPermit, Claim};
use crate::checkpoints::Checkpoints;
use crate::fence::Suspects;
use crate::git::{Diffs, Mirrors};
use crate::oauth::OauthTokens;
use crate::packages::Packages;
use crate::periodic::Periodic;
use crate::placement::{Placement, WorkerId};
use crate::provision::{Installs, Sandboxes};
use crate::retention::Retention;
use crate::seal::Seals;
use crate::{Config, Paths, fence};

pub use answers::{Refusal, UserAnswer};
pub(crate) use ending::settle_left;
pub use fold::json_schema;
pub use input::SteerRefused;
pub(crate) use seen::forget_seen;

/// So many answers and the like wait for a turn to take them; whoever has more waits with them.
const WAITING_INPUTS: usize = 16;
/// When it is looked for sandboxes without a starter: the kernel kills those in between, from the
/// supervisor down, a moment after the supervisor is gone.
const ORPHANS_AFTER: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(10),
];

/// All turns of the server that wait or run, and what they are made with.
#[derive(Clone)]
pub struct Turns(Arc<Shared>);

pub struct Shared {
    pub(crate) config: Config,
    pub(crate) paths: Paths,
    pub(crate) store: Store,
    pub(crate) seals: Seals,
    pub(crate) oauth: OauthTokens,
    pub(crate) adapters: Adapters,
    pub(crate) sandboxes: Sandboxes,
    pub(crate) installs: Installs,
    /// Mirrors of repositories.
    pub(crate) mirrors: Mirrors,
    /// Layers of packages.
    pub(crate) packages: Packages,
    diffs: Diffs,
    /// Takes what agents have shaped out of the way.
    pub(crate) trash: Trash,
    pub(crate) placement: Arc<dyn Placement>,
    pub(crate) watch: LogWatch,
    /// Is told of ended turns.
    ended: Option<TurnObserver>,
    /// What all live readers of a log share.
    tails: Tails,
    /// Wakes readers of normalized events.
    pub(crate) bell: Bell,
    /// Wakes readers of provisioning's output.
    pub(crate) setup_bell: Bell,
    retention: Retention,
    /// Who works with checkpoints.
    pub(crate) checkpoints: Checkpoints,
    /// Room for running turns.
    admission: Admission,
    /// Those that an earlier host died with are gone on with one at a time.
    pub(crate) suspects: Suspects,
    /// Ends the host's part in every turn; their supervisors go on.
    pub(crate) shutdown: CancellationToken,
    tasks: TaskTracker,
    /// Processes between two turns.
    resting: RestingProcesses,
    background: BackgroundThreads,
    active: Mutex<HashMap<Uuid, Active>>,
    /// Held while events of ended turns are derived again.
    restoring: tokio::sync::Mutex<()>,
}

/// A turn that waits or runs.
struct Active {
    turn: u32,
    stop: watch::Sender<Option<StopRequest>>,
    inputs: mpsc::Sender<input::UserInput>,
    /// Held by the turn's task; closed when that ends.
    done: watch::Receiver<()>,
}

impl std::fmt::Debug for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turns").finish_non_exhaustive()
    }
}

impl std::ops::Deref for Turns {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// Where a turn comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    New,
    /// An earlier host had it in hand.
    Left,
    /// So many earlier hosts died while they went on with it.
    Fenced {
        deaths: u32,
    },
}

/// A turn that an earlier host left.
pub(crate) struct Left<'a> {
    pub(crate) session: &'a Session,
    pub(crate) owner: Uuid,
    pub(crate) turn: u32,
    pub(crate) runs: bool,
    pub(crate) asked: Option<StopRequest>,
}

/// What turns are made with.
pub struct Parts {
    /// Settings.
    pub config: Config,
    /// The data folder.
    pub paths: Paths,
    /// Takes what agents have shaped out of the way.
    pub trash: Trash,
    /// The store.
    pub store: Store,
    /// What opens sealed values.
    pub seals: Seals,
    /// The loaded runtimes.
    pub adapters: Adapters,
    /// What sandboxes are made by.
    pub driver: Arc<dyn SandboxDriver>,
    /// Where turns' workers run.
    pub placement: Arc<dyn Placement>,
    /// Wakes those who follow a log.
    pub watch: LogWatch,
    /// Is told of each turn whose end is committed.
    pub ended: Option<TurnObserver>,
}

/// Is told of a session's turn, and neither blocks nor fails.
pub type TurnObserver = Arc<dyn Fn(Uuid, u32) + Send + Sync>;

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

impl Turns {
    /// None yet.
    pub fn new(parts: Parts) -> Self {
        let Parts { config, paths, .. } = parts;
        let bell = Bell::default();
        let tasks = TaskTracker::new();
        let oauth = OauthTokens::new(
            parts.store.clone(),
            parts.seals.clone(),
            &config.egress,
            parts.placement.clone(),
            tasks.clone(),
        );
        Self(Arc::new(Shared {
            installs: Installs::new(paths.runtimes(), parts.trash.clone()),
            mirrors: Mirrors::new(
                paths.mirrors(),
                parts.trash.clone(),
                config.git.clone(),
                parts.seals.clone(),
            ),
            packages: Packages::new(
                paths.packages(),
                parts.trash.clone(),
                config.packages.clone(),
                parts.driver.clone(),
            ),
            diffs: Diffs::default(),
            trash: parts.trash,
            sandboxes: Sandboxes {
                driver: parts.driver,
                limits: config.sandbox.limits.clone(),
                egress: config.egress.clone(),
                step_timeout: config.turn.step_timeout,
            },
            retention: Retention {
                config: config.retention,
                paths: paths.clone(),
                watch: parts.watch.clone(),
                bell: bell.clone(),
            },
            checkpoints: Checkpoints::default(),
            admission: Admission::new(&config.admission),
            config,
            paths,
            oauth,
            store: parts.store,
            seals: parts.seals,
            adapters: parts.adapters,
            placement: parts.placement,
            watch: parts.watch,
            ended: parts.ended,
            tails: Tails::default(),
            bell,
            setup_bell: Bell::default(),
            suspects: Suspects::default(),
            shutdown: CancellationToken::new(),
            tasks,
            resting: RestingProcesses::default(),
            background: BackgroundThreads::new(),
            active: Mutex::default(),
            restoring: tokio::sync::Mutex::default(),
        }))
    }

    /// Work that ends with [`Turns::shut_down`].
    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    /// Settings.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The data folder.
    pub fn paths(&self) -> &Paths {
        &self.0.paths
    }

    /// Wakes those who follow a log.
    pub fn watch(&self) -> &LogWatch {
        &self.0.watch
    }

    /// What all live readers of a log share.
    pub fn tails(&self) -> &Tails {
        &self.0.tails
    }

    /// Wakes readers of normalized events.
    pub fn bell(&self) -> &Bell {
        &self.0.bell
    }

    /// Wakes readers of provisioning's output.
    pub fn setup_bell(&self) -> &Bell {
        &self.0.setup_bell
    }

    /// What a session has changed in these of its repositories since they were cloned.
    ///
    /// # Errors
    /// [`Error::Internal`](crate::Error::Internal).
    pub async fn diff(
        &self,
        session: Uuid,
        resources: Vec<Resource>,
    ) -> crate::Result<Vec<RepositoryDiff>> {
        let paths = self.0.paths.session(session);
        let shared = &self.0;
        shared
            .diffs
            .of(&shared.mirrors, &shared.sandboxes, &paths, resources)
            .await
    }

    fn active(&self) -> MutexGuard<'_, HashMap<Uuid, Active>> {
        // Nothing can panic while the map is being changed.
        self.0.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who might wait for a processor beside the turn that asks.
    fn others(&self) -> Others {
        match self.active().len() {
            0 | 1 => Others::None,
            _ => Others::Some,
        }
    }

    /// Ends what a supervisor or a server that was killed leaves of a sandbox that it was making.
    fn end_orphans_later(&self) {
        let (driver, shutdown) = (self.sandboxes.driver.clone(), self.shutdown.clone());
        let end = async move {
            for pause in ORPHANS_AFTER {
                tokio::time::sleep(pause).await;
                let driver = driver.clone();
                let ended = tokio::task::spawn_blocking(move || driver.end_orphans()).await;
                if let Ok(ended @ 1..) = ended {
                    tracing::warn!(ended, "ended sandboxes that had lost their starter");
                }
            }
        };
        self.tasks().spawn(async move {
            shutdown.run_until_cancelled(end).await;
        });
    }

    /// Begins what goes on beside the turns; it ends with [`Turns::shut_down`].
    pub fn watch_over(&self) {
        self.end_orphans_later();
        let turns = self.clone();
        let is_active = move |session| turns.is_active(session) || turns.resting.has(session);
        let retention = self.0.retention.clone();
        self.0
            .tasks
            .spawn(retention.run(self.0.shutdown.clone(), is_active));
        self.0.tasks.spawn(layers::sweep_now_and_then(self.clone()));
        self.0.tasks.spawn(crate::expiry::run(self.clone()));
        self.0.tasks.spawn(unmount_now_and_then(self.clone()));
    }

    /// Queues a new turn of an owner's session with this runtime. The order of these calls is the
    /// order in which an owner's turns get room. Where the turn is still on its way to the disk,
    /// `stored` says when it is there: nothing is begun before.
    pub fn queue(
        &self,
        owner: Uuid,
        session: Uuid,
        turn: u32,
        runtime: &str,
        stored: Option<OnDisk>,
    ) {
        fence::forgive(&self.0.paths.session(session));
        let memory = self.need(runtime);
        let permit = self.0.admission.enter(Claim {
            session,
            owner,
            memory,
        });
        let id = WorkerId { session, turn };
        self.spawn(id, None, permit, Origin::New, stored);
    }

    /// Goes on with a turn that an earlier host left, with what its user had asked of it. One that
    /// runs has room already.
    pub(crate) fn resume(&self, left: Left<'_>) {
        let claim = Claim {
            session: left.session.id,
            owner: left.owner,
            memory: self.need(&left.session.runtime),
        };
        let permit = match left.runs {
            true => self.0.admission.occupy(claim),
            false => self.0.admission.enter(claim),
        };
        let origin = match fence::deaths(&self.0.paths.session(left.session.id)) {
            deaths if deaths >= fence::DEATHS => Origin::Fenced { deaths },
            _ => Origin::Left,
        };
        let id = WorkerId {
            session: left.session.id,
            turn: left.turn,
        };
        self.spawn(id, left.asked, permit, origin, None);
    }

    /// The memory that a turn of a runtime counts for.
    fn need(&self, runtime: &str) -> u64 {
        let declared = self.0.adapters.turn_memory(runtime);
        let need = declared.unwrap_or(self.0.config.admission.turn_memory);
        let limit = self.0.config.sandbox.limits.memory_bytes;
        limit.map_or(need, |limit| need.min(limit))
    }

    /// Where a session's turn stands among those that wait for room, from 1.
    pub fn queue_position(&self, session: Uuid) -> Option<usize> {
        self.0.admission.position(session)
    }

    /// How many turns wait for room.
    pub fn waiting(&self) -> usize {
        self.0.admission.waiting()
    }

    /// Whether a turn of the session waits or runs.
    pub(crate) fn is_active(&self, session: Uuid) -> bool {
        self.active().contains_key(&session)
    }

    /// Spawns a turn's task.
    fn spawn(
        &self,
        id: WorkerId,
        asked: Option<StopRequest>,
        permit: AdmissionPermit,
        origin: Origin,
        stored: Option<OnDisk>,
    ) {
        let WorkerId { session, turn } = id;
        let (stop, stopped) = watch::channel(asked);
        let (inputs, told) = mpsc::channel(WAITING_INPUTS);
        let (running, done) = watch::channel(());
        let active = Active {
            turn,
            stop,
            inputs,
            done,
        };
        self.active().insert(session, active);
        let memory = permit.memory();
        let commands = task::TurnCommands {
            stop: stopped,
            inputs: told,
            stored,
        };
        let turns = self.clone();
        self.0.tasks.spawn(async move {
            // A task of its own, so that a panic in it ends there: the turn is failed, and all
            // others go on.
            let run = tokio::spawn({
                let turns = turns.clone();
                async move { task::run(&turns, id, commands, permit, origin).await }
            });
            let ran = run.await;
            if let Err(error) = &ran {
                tracing::error!(%session, turn, %error, "a turn's task panicked");
                let end = conclude::End::error(
                    "the server met a defect of its own while it ran this turn, and stopped it; \
                     its log has the cause",
                );
                ending::abandon(&turns, id, end).await;
            }
            let rested = ran.ok().flatten();
            if !turns.shutdown.is_cancelled() {
                turns.settle_files_later(session);
            }
            // What a process at rest was told may have to be read again.
            if rested.is_none() && !turns.shutdown.is_cancelled() {
                turns.retention.purge(session).await;
            }
            if let Some(rested) = rested {
                let permit = turns.admission.rest(session, memory);
                let watching = resting::watch_over(turns.clone(), rested, permit);
                turns.tasks.spawn(watching);
            }
            {
                let mut active = turns.active();
                // The next turn may have begun as soon as this one's end was committed.
                if active
                    .get(&session)
                    .is_some_and(|active| active.turn == turn)
                {
                    active.remove(&session);
                }
            }
            drop(running);
            if !turns.shutdown.is_cancelled() {
                // Apart, since a turn that runs would have room for it all the time.
                Box::pin(turns.begin_queued(session)).await;
            }
        });
    }

    /// Asks the session's turn to stop, if one waits or runs. Terminating outranks interrupting.
    pub fn stop(&self, session: Uuid, request: StopRequest) {
        if let Some(active) = self.active().get(&session) {
            active.stop.send_if_modified(|asked| {
                let raise = *asked != Some(StopRequest::Terminate) && *asked != Some(request);
                if raise {
                    *asked = Some(request);
                }
                raise
            });
        }
    }

    /// Waits until the session's turn has ended.
    pub async fn ended(&self, session: Uuid) {
        let done = self
            .active()
            .get(&session)
            .map(|active| active.done.clone());
        if let Some(mut done) = done {
            // An error says that the task has ended, which is what is waited for.
            while done.changed().await.is_ok() {}
        }
    }

    /// Ends the process of a session that has no turn, if one is at rest, and waits for its end: at
    /// most for some seconds, since whoever cannot be killed must not keep others waiting.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub(crate) async fn end_process(&self, session: Uuid) -> crate::Result<()> {
        // Whoever watches over it lets it go.
        drop(self.resting.take(session).await);
        let worker = WorkerId { session, turn: 0 };
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        let is_running = || {
            let running = self.placement.is_running(worker);
            running.map_err(crate::Error::internal)
        };
        if is_running()? {
            worker::stop_for_good(&self.placement, worker).await;
        }
        while is_running()? && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// How many turns wait or run.
    pub fn count(&self) -> usize {
        self.active().len()
    }

    /// Detaches from all turns and waits until their tasks have ended. Running CLIs go on under
    /// their supervisors.
    pub async fn shut_down(&self) {
        self.0.shutdown.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

/// Unmounts the disks that nobody uses any more, until the server stops.
async fn unmount_now_and_then(turns: Turns) {
    let mut periodic = Periodic::new(crate::disks::QUIET / 4, turns.shutdown.clone());
    while periodic.next().await {
        let paths = turns.paths().clone();
        // It has logged what went wrong.
        let _ = tokio::task::spawn_blocking(move || paths.unmount_quiet()).await;
    }
}
