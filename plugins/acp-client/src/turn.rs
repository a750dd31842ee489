//! The turn that runs, or ran last.

use aod_plugin_sdk::{Ending, Failure, Out, TurnResult};

use crate::request;
use crate::texts::Texts;
use crate::tools::Tools;
use crate::usage::Money;

/// The turn that runs, or ran last.
#[derive(Debug)]
pub struct Turn {
    /// Its number.
    pub number: u32,
    /// What is said in it.
    pub texts: Texts,
    /// The calls of the process.
    pub tools: Tools,
    /// How it ends.
    pub ending: Ending,
    pub(crate) money: Money,
    /// The agent's own id of the session.
    pub(crate) session: Option<String>,
    /// Whether a prompt is with the agent.
    pub(crate) is_asked: bool,
    /// Whether the agent works on it.
    pub(crate) works: bool,
    /// Whether the prompt is being stopped.
    pub(crate) stopping: bool,
    /// How the turn ends once the prompt that is being stopped is over.
    pub(crate) verdict: Option<TurnResult>,
}

/// How long an agent may take to give up a prompt that is of no use, in milliseconds.
pub(crate) const CANCEL_MS: u32 = 10_000;

impl Turn {
    pub(crate) fn new(tools: Tools, ending: Ending) -> Self {
        Self {
            number: 1,
            texts: Texts::default(),
            tools,
            ending,
            money: Money::default(),
            session: None,
            is_asked: false,
            works: false,
            stopping: false,
            verdict: None,
        }
    }

    /// The agent's own id of the session.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Whether a prompt is with the agent.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// The agent works on the prompt, so that it will know the session again.
    pub fn works(&mut self) {
        self.works = self.is_asked;
    }

    /// Whether the prompt is being stopped.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping || self.verdict.is_some()
    }

    /// The prompt can come to nothing: it is cancelled, and the turn fails when that is done.
    pub fn fail(&mut self, failure: Failure, out: &mut Out) {
        self.give_up(aod_plugin_sdk::failed(failure), out);
    }

    /// The prompt is cancelled, and the turn ends so when that is done.
    pub fn give_up(&mut self, result: TurnResult, out: &mut Out) {
        if !self.is_asked || self.is_stopping() {
            return;
        }
        self.verdict = Some(result);
        let session = self.session.as_deref().unwrap_or_default();
        out.write_stdin(request::cancel(session));
        out.wake_after(CANCEL_MS);
    }
}
