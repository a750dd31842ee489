//! Processes that rest between turns, so that the next prompt finds its CLI there.
//!
//! A process whose turn is over stays under its supervisor for as long as `live.idle`. What it
//! says meanwhile is told, and it is given up when its memory is wanted. The session's next turn
//! takes it over.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aod_supervisor::{Redactor, Request};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::context::BeginRecord;
use super::derive::Derivation;
use super::fold::Effect;
use super::{Turns, worker};
use crate::admission::RestPermit;
use crate::placement::WorkerId;
use crate::secrets::Opened;
use crate::{Error, Result};

/// How often it is looked whether a process at rest still lives.
const PULSE: Duration = Duration::from_secs(2);

/// A process that has served a turn and may serve another.
pub(super) struct LiveProcess {
    /// What it was started with.
    pub(super) begin: BeginRecord,
    /// The turn that it was started for.
    pub(super) first: u32,
    /// All that was read of it.
    pub(super) derivation: Derivation,
    /// The secrets of its last turn, where they are known.
    pub(super) hidden: Hidden,
}

/// A turn's secrets.
#[derive(Clone)]
pub(super) struct Hidden {
    /// Finds them.
    pub(super) redactor: Redactor,
    /// What they are told from others by; empty where they are not known.
    pub(super) mac: String,
    pub(super) opened: Opened,
}

impl Default for Hidden {
    fn default() -> Self {
        Self {
            redactor: Redactor::new([]),
            mac: String::new(),
            opened: Opened::default(),
        }
    }
}

/// A process that is about to rest.
pub(super) struct Rested {
    pub(super) worker: WorkerId,
    pub(super) process: LiveProcess,
    pub(super) wanted: TakeoverRequests,
}

/// Where whoever wants the process asks for it.
pub(super) type TakeoverRequests = mpsc::Receiver<oneshot::Sender<LiveProcess>>;

/// Where a session's process is asked for.
#[derive(Default)]
pub(super) struct RestingProcesses(
    Mutex<HashMap<Uuid, mpsc::Sender<oneshot::Sender<LiveProcess>>>>,
);

impl RestingProcesses {
    fn all(&self) -> MutexGuard<'_, HashMap<Uuid, mpsc::Sender<oneshot::Sender<LiveProcess>>>> {
        // Nothing can panic while the map is being changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sessions that have one.
    pub(super) fn sessions(&self) -> Vec<Uuid> {
        self.all().keys().copied().collect()
    }

    /// Announces that a session's process will rest: before its turn's end can be seen, since the
    /// next prompt may follow at once.
    pub(super) fn announce(&self, session: Uuid) -> TakeoverRequests {
        let (sender, wanted) = mpsc::channel(1);
        self.all().insert(session, sender);
        wanted
    }

    /// Takes a session's process over, once it rests. None where there is none any more.
    pub(super) async fn take(&self, session: Uuid) -> Option<LiveProcess> {
        let holder = self.all().remove(&session)?;
        let (give, taken) = oneshot::channel();
        holder.send(give).await.ok()?;
        taken.await.ok()
    }

    /// Whether a session's process rests, or is about to.
    pub(super) fn has(&self, session: Uuid) -> bool {
        self.all().contains_key(&session)
    }

    /// Forgets those that nobody holds any more.
    fn tidy(&self) {
        self.all().retain(|_, holder| !holder.is_closed());
    }
}

/// Watches over a process at rest until it ends or is taken over.
pub(super) async fn watch_over(turns: Turns, rested: Rested, permit: RestPermit) {
    let Rested {
        worker,
        process,
        mut wanted,
    } = rested;
    if let Err(error) = follow(&turns, worker, process, &mut wanted, &permit).await {
        // Its supervisor closes it when its time is over.
        tracing::warn!(session = %worker.session, error = %error.details(), "a resting process is left alone");
    }
    drop(wanted);
    turns.resting.tidy();
}

async fn follow(
    turns: &Turns,
    worker: WorkerId,
    process: LiveProcess,
    wanted: &mut TakeoverRequests,
    permit: &RestPermit,
) -> Result<()> {
    let LiveProcess {
        begin,
        first,
        mut derivation,
        hidden,
    } = process;
    let log = turns.paths.session(worker.session).log();
    let mut wake = turns
        .watch
        .subscribe(worker.session, &log)
        .map_err(Error::internal)?;
    let mut pulse = tokio::time::interval(PULSE);
    pulse.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut outbox = VecDeque::new();
    let mut has_grown = true;
    loop {
        // Looked at before the log: what was recorded before the lock went is then seen.
        let is_alive = turns
            .placement
            .is_running(worker)
            .map_err(Error::internal)?;
        if has_grown || !is_alive {
            let advance;
            (derivation, advance) = derivation.advance(turns).await?;
            outbox.extend(advance.effects);
            has_grown = advance.is_behind;
        }
        if derivation.fold.exited.is_some() || (!is_alive && !has_grown) {
            return Ok(());
        }
        while let Some(effect) = outbox.pop_front() {
            carry_out(turns, worker, effect).await?;
        }
        if has_grown {
            continue;
        }
        tokio::select! {
            _ = wake.changed() => has_grown = true,
            _ = pulse.tick() => {}
            asked = wanted.recv() => {
                if let Some(give) = asked {
                    // Whoever asked may have gone away: the process is closed in its time.
                    let _ = give.send(LiveProcess { begin, first, derivation, hidden });
                }
                return Ok(());
            }
            () = permit.unwanted() => {
                worker::ask(&turns.placement, worker, Request::Close).await?;
            }
            () = turns.shutdown.cancelled() => return Ok(()),
        }
    }
}

/// What an adapter wants done between turns.
async fn carry_out(turns: &Turns, worker: WorkerId, effect: Effect) -> Result<()> {
    match effect {
        Effect::Remember(token) => {
            let token = token.unwrap_or_default();
            turns
                .store
                .set_resume_token(worker.session, worker.turn, token)
                .await?;
        }
        Effect::Outside(seq, effect) => {
            worker::ask(&turns.placement, worker, Request::Effect { seq, effect }).await?;
        }
        // No turn runs that could be given an answer.
        Effect::Asked(..) | Effect::Settled(_) => {}
    }
    Ok(())
}
