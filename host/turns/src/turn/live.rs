//! A process that serves several turns: how a turn leaves it at rest, and how the next one takes it
//! over.

use std::collections::BTreeMap;
use std::time::Duration;

use aod_log::Reader;
use aod_resources::Timestamp;
use aod_supervisor::{CredentialUpdate, NextTurn, RenewedCredential, Request, TurnEnded};
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use super::attachments;
use super::conclude::conclude_resting;
use super::context::{BeginRecord, prompt, sandbox_paths};
use super::derive::{Derivation, Handover};
use super::ending::{TurnSummary, commit_resting};
use super::resting::{Hidden, LiveProcess, Rested};
use super::restore::rebuild;
use super::task::{Failure, Task};
use super::{measure, worker};
use crate::Error;
use crate::placement::ControlReply;
use crate::secrets::TurnSecrets;

/// How long a process that is closed may take to end before it is killed.
const CLOSED_IN: Duration = Duration::from_secs(10);
/// How often it is looked whether it has ended: nothing announces the end of a worker.
const LOOK: Duration = Duration::from_millis(20);

impl Task<'_> {
    /// Ends the turn and leaves its process at rest.
    pub(super) async fn rest(
        &mut self,
        derivation: Derivation,
        ended: TurnEnded,
    ) -> Result<Rested, Failure> {
        let derivation = derivation.sync().await?;
        let end = conclude_resting(ended, derivation.fold.failure.as_ref());
        let end = self.advised(end, &derivation.fold);
        let end = end.redacted(&self.hidden.redactor);
        let summary = TurnSummary::of(&derivation.fold);
        let begin = self.begin.take().ok_or_else(|| {
            Error::internal(std::io::Error::other(
                "a turn ends whose beginning is not known",
            ))
        })?;
        let wanted = self.turns.resting.announce(self.id());
        commit_resting(self.turns, self.worker(), &end, summary).await?;
        Ok(Rested {
            worker: self.worker(),
            process: LiveProcess {
                first: begin.first.unwrap_or(self.number()),
                begin,
                derivation,
                hidden: self.hidden.clone(),
            },
            wanted,
        })
    }

    /// Gives the turn to the process of the last one, if that rests and was started with what this
    /// turn would be started with. Otherwise it is closed, and the turn begins with one of its own.
    pub(super) async fn go_on(&mut self) -> Result<Option<Derivation>, Failure> {
        let id = self.id();
        let process = match self.turns.resting.take(id).await {
            Some(process) => Some(process),
            None => self.left_at_rest().await?,
        };
        let Some(process) = process else {
            return Ok(None);
        };
        let derivation = self.hand_on(process).await?;
        if derivation.is_none() {
            self.close_process().await?;
        }
        Ok(derivation)
    }

    /// The process that an earlier host left at rest.
    async fn left_at_rest(&self) -> Result<Option<LiveProcess>, Failure> {
        let is_held = || {
            let running = self.turns.placement.is_running(self.worker());
            running.map_err(Error::internal)
        };
        if !is_held()? {
            return Ok(None);
        }
        let Some((turn, begin)) = self.last_begun().map_err(Error::internal)? else {
            return Ok(None);
        };
        if !begin.live {
            return Ok(None);
        }
        let first = begin.first.unwrap_or(turn);
        let turns = self.turns;
        let record = turns.store.turn_record(self.id(), turn).await?;
        let entries = aod_log::tail(&self.paths.log()).map_err(Error::internal)?;
        let rebuilt = rebuild(
            turns,
            &self.session,
            &record,
            begin.clone(),
            entries.last_id,
        );
        let mut derivation = rebuilt.await?;
        loop {
            let advance;
            (derivation, advance) = derivation.advance(turns).await?;
            if !advance.is_behind {
                break;
            }
        }
        let rests = derivation.fold.ended.is_some() && derivation.fold.exited.is_none();
        Ok(rests.then_some(LiveProcess {
            begin,
            first,
            derivation,
            hidden: Hidden::default(),
        }))
    }

    /// The last turn that the log has begun, and with what.
    fn last_begun(&self) -> aod_log::Result<Option<(u32, BeginRecord)>> {
        let mut reader = Reader::open(&self.paths.log())?;
        let mut last = None;
        while let Some(record) = reader.next()? {
            if record.kind == aod_log::Kind::Begin {
                let begin = serde_json::from_slice(record.payload).ok();
                last = begin.map(|begin| (record.turn, begin));
            }
        }
        Ok(last)
    }

    async fn hand_on(&mut self, process: LiveProcess) -> Result<Option<Derivation>, Failure> {
        let turns = self.turns;
        let LiveProcess {
            mut begin,
            first,
            derivation,
            hidden,
        } = process;
        // Beside all else.
        let readied = derivation.make_ready(turns, self.worker());
        self.hidden = hidden;
        // What cannot be had now is told by the turn that begins anew.
        let Ok(chosen) = turns.adapters.choose(&self.session).await else {
            return Ok(None);
        };
        let Ok(secrets) = self.gather(&chosen.adapter).await else {
            return Ok(None);
        };
        if self.fingerprint(&chosen, &secrets, &begin.logins) != begin.fingerprint {
            tracing::debug!("a process was started with what is no longer so, and is closed");
            return Ok(None);
        }
        begin.first = Some(first);
        begin.limits = self.limits().await?;
        begin.notices.clone_from(&self.notices);
        if attachments::place(&self.turn.turn, &self.paths, &turns.trash).is_err() {
            return Ok(None);
        }
        self.run_with(&begin.logins);
        if !self.tell_tokens(&begin.logins, &secrets).await? {
            return Ok(None);
        }
        // Most of the time they are those of the turn before, and nothing is built anew.
        self.hide(&secrets);
        let places = sandbox_paths(&*turns.sandboxes.driver, &self.paths);
        let description = chosen.adapter.description();
        let handover = Handover {
            next: NextTurn {
                turn: self.number(),
                begin: serde_json::to_value(&begin).map_err(Error::internal)?,
                timeout_ms: u64::from(self.turn.turn.timeout) * 1000,
                max_requests: begin.limits.asked.max_rounds,
            },
            prompt: prompt(&self.session, &self.turn.turn, &places, description),
            watch: self.watch().await?,
            stored: self.stored.clone(),
        };
        let Some(derivation) = readied.await?.hand_on(handover).await? else {
            return Ok(None);
        };
        let digest = begin.adapter.clone();
        let (id, number, at) = (self.id(), self.number(), Timestamp::now());
        self.crossing = None;
        self.begin = Some(begin);
        // The process is at work meanwhile.
        let (noted, session) = tokio::join!(
            self.note_use(&secrets.credentials),
            turns.store.start_turn(id, number, digest, at),
        );
        noted?;
        let session = session?;
        measure::started(&session, &self.turn.turn, at);
        self.session.session = session;
        Ok(Some(derivation))
    }

    /// Tells the process's gateways what its tokens are by now; false where that cannot be told.
    async fn tell_tokens(
        &self,
        logins: &BTreeMap<String, String>,
        secrets: &TurnSecrets,
    ) -> Result<bool, Failure> {
        for variable in logins.keys() {
            let Some(token) = secrets.variables.get(variable) else {
                return Ok(false);
            };
            let credential = RenewedCredential {
                credential: variable.clone(),
                value: Some(token.expose_secret().to_owned().into()),
                is_answer: false,
            };
            let update = CredentialUpdate {
                credential,
                problem: None,
            };
            let request = Request::Credential(update);
            let told = worker::ask(&self.turns.placement, self.worker(), request).await?;
            if told != ControlReply::Done {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Closes the process of the last turn, and waits for its end.
    async fn close_process(&self) -> Result<(), Failure> {
        let turns = self.turns;
        worker::ask(&turns.placement, self.worker(), Request::Close).await?;
        let deadline = Instant::now() + CLOSED_IN;
        let is_running = || {
            let running = turns.placement.is_running(self.worker());
            running.map_err(Error::internal)
        };
        while is_running()? {
            if Instant::now() >= deadline {
                worker::stop_for_good(&turns.placement, self.worker()).await;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = turns.shutdown.cancelled() => return Err(Failure::Detached),
            }
        }
        Ok(())
    }
}
