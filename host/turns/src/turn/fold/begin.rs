//! How a turn begins: what its user should know of it, and the instance of its adapter, which another
//! one follows where it fails.

use std::io;

use aod_metrics::metrics;
use aod_resources::event::{
    Continuity as EventContinuity, EventBody, Level, TurnCause, TurnStarted,
};
use aod_runtime::AdapterError;
use aod_runtime::types::{Input, Reaction};

use super::lines::Origin;
use super::{Fold, MAX_FAILURES, Step, notice};
use crate::turn::context::{BeginNotice, Continuity};

/// What a turn's `Begin` has for its user.
pub(super) fn notices_of(begin: &[u8]) -> Vec<BeginNotice> {
    #[derive(Default, serde::Deserialize)]
    struct Begin {
        #[serde(default)]
        notices: Vec<BeginNotice>,
    }
    let begin: Begin = serde_json::from_slice(begin).unwrap_or_default();
    begin.notices
}

impl Fold {
    /// Says that the turn begins, and what its user should know of how.
    pub(super) fn tell_start(
        &mut self,
        notices: &[BeginNotice],
        step: &mut Step<'_>,
    ) -> io::Result<()> {
        let continuity = match self.start.continuity {
            Continuity::First => EventContinuity::First,
            Continuity::Native => EventContinuity::Native,
            Continuity::Fresh => EventContinuity::Fresh,
        };
        // It goes on with what it has in hand.
        let goes_on = self.conversation.is_some() || self.state.is_some();
        let continuity = if goes_on {
            EventContinuity::Native
        } else {
            continuity
        };
        let started = TurnStarted {
            cause: TurnCause::Prompt,
            continuity,
        };
        self.tell(EventBody::TurnStarted(started), step)?;
        if continuity == EventContinuity::Fresh {
            let text = "the earlier conversation cannot be gone on with: the agent remembers \
                        nothing of it; the workspace is as it was";
            self.tell(notice(Level::Warning, "conversation.fresh", text), step)?;
        }
        for BeginNotice { code, text } in notices {
            self.tell(notice(Level::Warning, code, text), step)?;
        }
        if self.start.has_lost_history {
            let text = "a part of this session's history is gone from the server's disk, and with \
                        it perhaps its workspace; numbers go on behind those that were given";
            self.tell(notice(Level::Warning, "history.lost", text), step)?;
        }
        if self.start.holds_credentials && !goes_on {
            let text = "the provider's credential is in the sandbox (\"injected\"): the agent can \
                        read it";
            self.tell(notice(Level::Info, "credentials.injected", text), step)?;
        }
        if let Some(text) = self.untested().filter(|_| !goes_on) {
            self.tell(notice(Level::Warning, "cli.untested", text), step)?;
        }
        Ok(())
    }

    /// What to say where the CLI's version is none that the adapter was tested with.
    fn untested(&self) -> Option<String> {
        let version = self.context.cli_version.as_deref()?;
        let cli = self.adapter.cli();
        (cli.is_tested(version) == Some(false)).then(|| {
            format!(
                "{} is of version {version}; its adapter was tested with {}",
                cli.command, cli.tested
            )
        })
    }

    /// Begins with an instance of the adapter and tells it the prompt, unless too many have failed.
    pub(super) fn begin(&mut self, step: &mut Step<'_>) -> io::Result<()> {
        if let Some(reaction) = self.instantiate(step)? {
            self.act_all(reaction, step)?;
        }
        Ok(())
    }

    /// [`Fold::begin`], told as what came of a record.
    pub(super) fn begin_at(&mut self, origin: Origin, step: &mut Step<'_>) -> io::Result<()> {
        if self.failed_calls < MAX_FAILURES {
            self.ids.reach(origin);
            self.begin(step)?;
        }
        Ok(())
    }

    /// Goes on with a new instance in the place of one that has failed. What it wants done about
    /// the prompt was done before.
    pub(super) fn replace(&mut self, step: &mut Step<'_>) -> io::Result<()> {
        self.instantiate(step).map(drop)
    }

    fn instantiate(&mut self, step: &mut Step<'_>) -> io::Result<Option<Reaction>> {
        while self.conversation.is_none() && self.failed_calls < MAX_FAILURES {
            let begun = self
                .adapter
                .converse(&self.context, self.state.as_deref())
                .and_then(|mut begun| {
                    let reaction = begun.receive(&Input::Prompt(self.prompt.clone()))?;
                    Ok((begun, reaction))
                });
            match begun {
                Ok((conversation, reaction)) => {
                    self.conversation = Some(conversation);
                    return Ok(Some(reaction));
                }
                Err(error) => self.fail(&error, step)?,
            }
        }
        Ok(None)
    }

    /// A call that fails costs the turn's instance.
    pub(super) fn fail(&mut self, error: &AdapterError, step: &mut Step<'_>) -> io::Result<()> {
        let session = &self.context.session_id;
        tracing::warn!(%error, session, "an adapter's call failed");
        let failures = &metrics().adapter_failures;
        failures.with_label_values(&[self.adapter.runtime()]).inc();
        self.failed_calls += 1;
        self.conversation = None;
        let consequence = match self.failed_calls {
            ..MAX_FAILURES => "",
            _ => "; what follows is passed on as it stands",
        };
        let text = format!("the runtime's adapter failed: {error}{consequence}");
        self.tell(notice(Level::Warning, "adapter.failed", text), step)
    }
}
