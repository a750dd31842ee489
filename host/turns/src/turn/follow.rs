//! Following a running turn: what its log says goes into the fold, and what comes out of it is
//! asked of the supervisor.

use std::collections::VecDeque;
use std::time::Duration;

use aod_resources::{ReachedLimit, Timestamp};
use aod_store::StopRequest;
use aod_supervisor::{Answer, Request, TurnInput};
use tokio::time::Instant;

use super::alarm::Alarm;
use super::answers::{Attempt, Refusal, UserAnswer};
use super::derive::Derivation;
use super::fold::{Due, Effect, QuestionState, TimerAction};
use super::input::{Steer, SteerRefused, UserInput};
use super::resting::Rested;
use super::task::{Failure, Task};
use super::worker;
use crate::Error;
use crate::placement::ControlReply;

/// How often it is checked that a silent turn's supervisor lives.
const PULSE: Duration = Duration::from_secs(1);

/// What a terminated turn has written is told for so long; whoever terminates it waits meanwhile, and
/// one that writes without end is far ahead of its adapter.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// A worker that has not answered anything for so long is killed, and its turn is failed.
const LONGEST_SILENCE: Duration = Duration::from_secs(120);

impl Task<'_> {
    /// Follows the log until the supervisor has recorded the end, and ends the turn. Answers its
    /// process, if that stays.
    pub(super) async fn follow(
        mut self,
        mut derivation: Derivation,
    ) -> Result<Option<Rested>, Failure> {
        let turns = self.turns;
        let log = self.paths.log();
        let mut wake = turns
            .watch
            .subscribe(self.id(), &log)
            .map_err(Error::internal)?;
        let mut stopped = self.stopped.clone();
        let mut asked = None;
        let mut terminated_at = None;
        let mut has_asked_for_limit = false;
        let mut renewed = 0;
        let mut has_grown = true;
        let mut alarm = Alarm::default();
        // What is to be done, in order, until it is.
        let mut outbox = VecDeque::new();
        let mut pulse = tokio::time::interval(PULSE);
        pulse.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // Looked at before the log: what was recorded before the lock went is then seen.
            let alive = turns
                .placement
                .is_running(self.worker())
                .map_err(Error::internal)?;
            let mut is_behind = false;
            if has_grown || !alive {
                let advance;
                (derivation, advance) = derivation.advance(turns).await?;
                outbox.extend(advance.effects);
                is_behind = advance.is_behind;
                if !is_behind {
                    // All that an earlier host had met was met once more.
                    self.crossing = None;
                }
            }
            if let Some(exited) = derivation.fold.exited.clone() {
                return self.finish(derivation, exited).await.map(|()| None);
            }
            if let Some(ended) = derivation.fold.ended {
                return self.rest(derivation, ended).await.map(Some);
            }
            let is_late = |since: Instant| since.elapsed() > LAST_WORDS;
            if !alive && is_behind && terminated_at.is_some_and(is_late) {
                return self.cut_short(derivation).await.map(|()| None);
            }
            if !alive && !is_behind {
                return self.lost(Some(derivation)).await.map(|()| None);
            }
            let done = derivation.fold.done();
            self.carry_out(&mut outbox, done).await?;
            let request = *stopped.borrow_and_update();
            if request != asked {
                asked = request;
                if request == Some(StopRequest::Terminate) {
                    terminated_at = Some(Instant::now());
                }
                if let Some(how) = request {
                    let reply = worker::stop(&turns.placement, self.worker(), how).await?;
                    self.note_silence(&reply);
                }
            }
            if self
                .silent_since
                .is_some_and(|since| since.elapsed() > LONGEST_SILENCE)
            {
                worker::stop_for_good(&turns.placement, self.worker()).await;
            }
            if !is_behind && !has_asked_for_limit {
                let limit = derivation.fold.limit_to_stop_at();
                if let Some(limit) = limit {
                    has_asked_for_limit = Box::pin(self.hold_limit(limit)).await?;
                }
            }
            if !is_behind {
                for (variable, refused) in derivation.fold.refused_tokens() {
                    if refused > renewed {
                        self.renew(variable, derivation.fold.adapter());
                    }
                }
                renewed = derivation.fold.refusals();
            }
            let (next, read) = (derivation.fold.next_due(), derivation.last_id());
            // What it waits for may be among what was not read yet.
            let due = match is_behind {
                true => None,
                false => self.keep_time(&mut alarm, next, read).await?,
            };
            has_grown = is_behind;
            tokio::select! {
                () = std::future::ready(()), if is_behind => {}
                _ = wake.changed() => has_grown = true,
                _ = pulse.tick() => {}
                () = tokio::time::sleep(due.unwrap_or(PULSE)), if due.is_some() => {}
                Ok(()) = stopped.changed() => stopped.mark_changed(),
                Some(input) = self.inputs.recv() => {
                    // What it is about may not have been read yet.
                    let advance;
                    (derivation, advance) = derivation.advance(turns).await?;
                    outbox.extend(advance.effects);
                    has_grown |= advance.is_behind;
                    match input {
                        UserInput::Answer(attempt) => {
                            let standing =
                                derivation.fold.question_state(&attempt.question, &attempt.answer);
                            self.answer(attempt, standing).await?;
                        }
                        UserInput::Steer(steer) => {
                            let can_be = derivation.fold.can_be_steered();
                            self.steer(steer, can_be).await?;
                        }
                    }
                }
                () = turns.shutdown.cancelled() => return Err(Failure::Detached),
            }
        }
    }

    /// Does what the adapter wants, in order, but for the first effects, which are `done`. A
    /// supervisor that does not answer is asked again later: it does each effect once.
    async fn carry_out(&mut self, outbox: &mut VecDeque<Effect>, done: u64) -> Result<(), Failure> {
        while let Some(effect) = outbox.front() {
            match effect {
                Effect::Remember(token) => {
                    let store = &self.turns.store;
                    store
                        .set_resume_token(
                            self.id(),
                            self.number(),
                            token.clone().unwrap_or_default(),
                        )
                        .await?;
                }
                Effect::Asked(id, question) => {
                    let (id, at, asked) = (id.clone(), Timestamp::now(), question.clone());
                    let store = &self.turns.store;
                    store
                        .note_question(self.id(), self.number(), id, asked, at)
                        .await?;
                }
                Effect::Settled(question) => {
                    let store = &self.turns.store;
                    store
                        .close_question(self.id(), self.number(), question.clone())
                        .await?;
                }
                Effect::Outside(seq, _) if *seq < done => {}
                Effect::Outside(seq, effect) => {
                    let (seq, effect) = (*seq, effect.clone());
                    match self.ask(Request::Effect { seq, effect }).await? {
                        // What it refuses it records, and the fold tells of it.
                        ControlReply::Done | ControlReply::Refused(_) => {}
                        ControlReply::Gone | ControlReply::Silent => return Ok(()),
                    }
                }
            }
            outbox.pop_front();
        }
        Ok(())
    }

    /// Has the turn stopped that has reached a limit; says whether that needs not be asked again.
    async fn hold_limit(&mut self, limit: ReachedLimit) -> Result<bool, Failure> {
        tracing::info!(%limit, "a turn has reached a limit");
        let limit = serde_json::to_value(limit).map_err(Error::internal)?;
        // What is refused is about to end anyway.
        Ok(self.ask(Request::Limit(limit)).await? != ControlReply::Silent)
    }

    /// Has recorded what time has brought, where the log was read up to entry `read`; says when
    /// to look again.
    async fn keep_time(
        &mut self,
        alarm: &mut Alarm,
        next: Option<(Due, TimerAction)>,
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
            TimerAction::Default {
                question,
                value,
                is_error,
            } => Request::Answer(Answer {
                question,
                value,
                by_default: true,
                is_error,
            }),
            TimerAction::Tick(seq) => Request::Tick { seq, after: read },
        };
        // The record of it wakes this task; where there is none, the pulse does.
        self.ask(request).await?;
        Ok(None)
    }

    /// Gives a user's answer to a question, if that stands as it should.
    async fn answer(&mut self, attempt: Attempt, standing: QuestionState) -> Result<(), Failure> {
        let Attempt {
            question,
            answer,
            reply,
        } = attempt;
        let verdict = match standing {
            QuestionState::Unknown => Err(Refusal::Unknown),
            QuestionState::OtherForm(field) => Err(Refusal::OtherForm(field)),
            QuestionState::NoChoice(choices) => Err(Refusal::NoChoice(choices)),
            QuestionState::Answered => Err(Refusal::Answered),
            QuestionState::Dropped => Err(Refusal::Stopping),
            QuestionState::Open => {
                let (value, is_error) = match answer {
                    UserAnswer::Choice(value) => (value, false),
                    UserAnswer::Result { content, is_error } => (content, is_error),
                };
                let answer = Answer {
                    question,
                    value,
                    by_default: false,
                    is_error,
                };
                match self.ask(Request::Answer(answer)).await? {
                    ControlReply::Done => Ok(()),
                    ControlReply::Refused(reason) => {
                        tracing::debug!(reason, "an answer came too late");
                        Err(Refusal::Answered)
                    }
                    ControlReply::Gone => Err(Refusal::Over),
                    ControlReply::Silent => Err(Refusal::Silent),
                }
            }
        };
        // Whoever asked may have gone away.
        let _ = reply.send(verdict);
        Ok(())
    }

    /// Tells the turn more, if its runtime takes that.
    async fn steer(&mut self, steer: Steer, can_be_steered: bool) -> Result<(), Failure> {
        let Steer { id, text, reply } = steer;
        let verdict = if can_be_steered {
            match self.ask(Request::Input(TurnInput { id, text })).await? {
                ControlReply::Done => Ok(()),
                ControlReply::Refused(_) | ControlReply::Gone => Err(SteerRefused::Over),
                ControlReply::Silent => Err(SteerRefused::Silent),
            }
        } else {
            Err(SteerRefused::Unsupported)
        };
        // Whoever asked may have gone away.
        let _ = reply.send(verdict);
        Ok(())
    }

    async fn ask(&mut self, request: Request) -> Result<ControlReply, Failure> {
        let reply = worker::ask(&self.turns.placement, self.worker(), request).await?;
        self.note_silence(&reply);
        Ok(reply)
    }

    /// Keeps since when the worker has not answered.
    fn note_silence(&mut self, reply: &ControlReply) {
        self.silent_since = match reply {
            ControlReply::Silent => self.silent_since.or_else(|| Some(Instant::now())),
            _ => None,
        };
    }
}
