//! Following a running turn: what its log says goes into the fold, and what comes out of it is
//! asked of the supervisor.

use std::collections::VecDeque;
use std::time::Duration;

use aod_store::StopRequest;
use aod_supervisor::{Answer, Control, ControlError, Request};

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
                    Some(StopRequest::Terminate) => drop(self.ask(Request::Terminate).await?),
                    None => {}
                }
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
    async fn carry_out(&self, outbox: &mut VecDeque<Deed>, done: u64) -> Result<(), Failure> {
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
                    let (seq, effect) = (*seq, deed.clone());
                    match self.ask(Request::Effect { seq, effect }).await? {
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
        &self,
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
    async fn answer(&self, attempt: Attempt, standing: Standing) -> Result<(), Failure> {
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

    async fn ask(&self, request: Request) -> Result<Heard, Failure> {
        ask(&self.paths, request).await
    }
}

/// Asks a session's supervisor. That it is gone is seen by its lock.
pub(super) async fn ask(paths: &SessionPaths, request: Request) -> Result<Heard, Failure> {
    let path = paths.control();
    let asked = tokio::task::spawn_blocking(move || {
        let sent = Control::connect(&path, PATIENCE).and_then(|mut control| control.send(&request));
        if request == Request::Terminate && matches!(sent, Err(ControlError::TimedOut { .. })) {
            // It was stopped, or hangs. Its sandbox dies with it, and the turn ends without it.
            let _ = aod_supervisor::kill_supervisor(&path);
        }
        sent
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
