//! Following a running turn: what its log says goes into the fold, and what comes out of it is
//! asked of the supervisor.

use std::collections::VecDeque;
use std::time::Duration;

use aod_store::StopRequest;
use aod_supervisor::{Answer, Control, ControlError, Request};
use tokio::time::Instant;

use super::alarm::Alarm;
use super::answers::{Attempt, Refusal};
use super::derive::Derivation;
use super::fold::{Deed, Due, Standing, Wanted};
use super::task::{Failure, Task};
use crate::Error;
use crate::paths::SessionPaths;

/// How often it is checked that a silent turn's supervisor lives.
const PULSE: Duration = Duration::from_secs(1);
/// How long a supervisor may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// One that has not answered anything for so long is killed, and its turn is failed.
const LONGEST_SILENCE: Duration = Duration::from_secs(120);

/// What a supervisor made of a request.
pub(super) enum Heard {
    Done,
    /// It said no, and why.
    Refused(String),
    /// Nobody listens: the turn is over.
    Gone,
    /// It may be asked once more.
    Silent,
}

impl Task<'_> {
    /// Follows the log until the supervisor has recorded the end, and ends the turn.
    pub(super) async fn follow(mut self, mut derivation: Derivation) -> Result<(), Failure> {
        let turns = self.turns;
        let log = self.paths.log();
        let mut wake = turns
            .watch
            .subscribe(self.id(), &log)
            .map_err(Error::internal)?;
        let mut stopped = self.stopped.clone();
        let mut asked = None;
        let mut has_grown = true;
        let mut alarm = Alarm::default();
        // What is to be done, in order, until it is.
        let mut outbox = VecDeque::new();
        let mut pulse = tokio::time::interval(PULSE);
        pulse.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // Looked at before the log: what was recorded before the lock went is then seen.
            let alive = aod_log::is_locked(&log).map_err(Error::internal)?;
            if has_grown || !alive {
                let deeds;
                (derivation, deeds) = derivation.advance().await?;
                outbox.extend(deeds);
                // All that an earlier host had met was met once more.
                self.crossing = None;
            }
            if let Some(exited) = derivation.fold.exited.clone() {
                return self.finish(derivation, exited).await;
            }
            if !alive {
                return self.lost(Some(derivation)).await;
            }
            let done = derivation.fold.done();
            self.carry_out(&mut outbox, done).await?;
            let request = *stopped.borrow_and_update();
            if request != asked {
                asked = request;
                match request {
                    Some(StopRequest::Interrupt) => drop(self.ask(Request::Interrupt).await?),
                    Some(StopRequest::Terminate) => stop_for_good(&self.paths).await,
                    None => {}
                }
            }
            if self
                .silent_since
                .is_some_and(|since| since.elapsed() > LONGEST_SILENCE)
            {
                stop_for_good(&self.paths).await;
            }
            let (next, read) = (derivation.fold.next_due(), derivation.last_id());
            let due = self.keep_time(&mut alarm, next, read).await?;
            has_grown = false;
            tokio::select! {
                _ = wake.changed() => has_grown = true,
                _ = pulse.tick() => {}
                () = tokio::time::sleep(due.unwrap_or(PULSE)), if due.is_some() => {}
                Ok(()) = stopped.changed() => stopped.mark_changed(),
                Some(attempt) = self.answers.recv() => {
                    // What it answers to may not have been read yet.
                    let deeds;
                    (derivation, deeds) = derivation.advance().await?;
                    outbox.extend(deeds);
                    let standing = derivation.fold.standing(&attempt.question, &attempt.value);
                    self.answer(attempt, standing).await?;
                }
                () = turns.shutdown.cancelled() => return Err(Failure::LetGo),
            }
        }
    }

    /// Does what the adapter wants, in order, but for the first deeds, which are `done`. A
    /// supervisor that does not answer is asked again later: it does each deed once.
    async fn carry_out(&mut self, outbox: &mut VecDeque<Deed>, done: u64) -> Result<(), Failure> {
        while let Some(deed) = outbox.front() {
            match deed {
                Deed::Remember(token) => {
                    let store = &self.turns.store;
                    store
                        .set_resume_token(self.id(), self.number(), token.clone())
                        .await?;
                }
                Deed::Outside(seq, _) if *seq < done => {}
                Deed::Outside(seq, deed) => {
                    let (seq, deed) = (*seq, deed.clone());
                    match self.ask(Request::Deed { seq, deed }).await? {
                        // What it refuses it records, and the fold tells of it.
                        Heard::Done | Heard::Refused(_) => {}
                        Heard::Gone | Heard::Silent => return Ok(()),
                    }
                }
            }
            outbox.pop_front();
        }
        Ok(())
    }

    /// Has recorded what time has brought, where the log was read up to entry `read`; says when
    /// to look again.
    async fn keep_time(
        &mut self,
        alarm: &mut Alarm,
        next: Option<(Due, Wanted)>,
        read: u64,
    ) -> Result<Option<Duration>, Failure> {
        let Some((due, wanted)) = next else {
            return Ok(None);
        };
        let left = alarm.left(due);
        if !left.is_zero() {
            return Ok(Some(left));
        }
        let request = match wanted {
            Wanted::Default { question, value } => Request::Answer(Answer {
                question,
                value,
                by_default: true,
            }),
            Wanted::Tick(seq) => Request::Tick { seq, after: read },
        };
        // The record of it wakes this task; where there is none, the pulse does.
        self.ask(request).await?;
        Ok(None)
    }

    /// Gives a user's answer to a question, if that stands as it should.
    async fn answer(&mut self, attempt: Attempt, standing: Standing) -> Result<(), Failure> {
        let Attempt {
            question,
            value,
            reply,
        } = attempt;
        let verdict = match standing {
            Standing::Unknown => Err(Refusal::Unknown),
            Standing::NoChoice(choices) => Err(Refusal::NoChoice(choices)),
            Standing::Answered => Err(Refusal::Answered),
            Standing::Dropped => Err(Refusal::Stopping),
            Standing::Open => {
                let answer = Answer {
                    question,
                    value,
                    by_default: false,
                };
                match self.ask(Request::Answer(answer)).await? {
                    Heard::Done => Ok(()),
                    Heard::Refused(reason) => {
                        tracing::debug!(reason, "an answer came too late");
                        Err(Refusal::Answered)
                    }
                    Heard::Gone => Err(Refusal::Over),
                    Heard::Silent => Err(Refusal::Silent),
                }
            }
        };
        // Whoever asked may have gone away.
        let _ = reply.send(verdict);
        Ok(())
    }

    async fn ask(&mut self, request: Request) -> Result<Heard, Failure> {
        let heard = ask(&self.paths, request).await?;
        self.silent_since = match heard {
            Heard::Silent => self.silent_since.or_else(|| Some(Instant::now())),
            _ => None,
        };
        Ok(heard)
    }
}

/// Ends a session's supervisor and all that runs under it: one that does not end it itself within
/// its patience is killed.
pub(super) async fn stop_for_good(paths: &SessionPaths) {
    match ask(paths, Request::Terminate).await {
        Ok(Heard::Done | Heard::Gone) => return,
        Ok(Heard::Refused(reason)) => tracing::warn!(reason, "a supervisor refuses to end"),
        Ok(Heard::Silent) => {}
        Err(_) => tracing::warn!("a turn's supervisor cannot be asked to end it"),
    }
    let path = paths.control();
    match tokio::task::spawn_blocking(move || aod_supervisor::kill(&path)).await {
        Ok(Ok(())) => tracing::warn!("a supervisor that does not answer was killed"),
        Ok(Err(ControlError::Gone { .. })) => {}
        Ok(Err(error)) => tracing::error!(%error, "a supervisor cannot be killed"),
        Err(error) => tracing::error!(%error, "a supervisor cannot be killed"),
    }
}

/// Asks a session's supervisor. That it is gone is seen by its lock.
pub(super) async fn ask(paths: &SessionPaths, request: Request) -> Result<Heard, Failure> {
    let path = paths.control();
    let asked = tokio::task::spawn_blocking(move || {
        Control::connect(&path, PATIENCE).and_then(|mut control| control.send(&request))
    });
    Ok(match asked.await.map_err(Error::internal)? {
        Ok(()) => Heard::Done,
        Err(ControlError::Refused { reason }) => Heard::Refused(reason),
        Err(ControlError::Gone { .. }) => Heard::Gone,
        Err(error) => {
            tracing::warn!(%error, "a supervisor does not answer");
            Heard::Silent
        }
    })
}
