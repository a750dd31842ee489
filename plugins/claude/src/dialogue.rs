//! When a turn begins, what it is told while it runs, and when it is over.

use aod_plugin_sdk::failure::failure;
use aod_plugin_sdk::{Ending, Failure, FailureKind, Limit, Out, Prompt, TurnCause};

use crate::conversation::ClaudeConversation;
use crate::messages::Messages;
use crate::permission::Request;
use crate::requests;
use crate::results::{AbortCause, Results};
use crate::settings::Settings;
use crate::wait::{self, Wait, WaitReason};
use crate::wire::Line;

/// Why something is refused that is said while a turn runs.
pub(crate) const UNTOLD: &str = "the CLI does not say what becomes of it";

/// The turn that runs, or ran last.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Its number; 0 before the first.
    pub(crate) number: u32,
    /// Its id, under which the CLI knows its prompt.
    pub(crate) id: String,
    /// What the CLI says of the prompt.
    prompt: PromptState,
    /// Whether the CLI has nothing to do; None: it does not say.
    pub(crate) is_idle: Option<bool>,
    /// How often the model was asked, and how often it may be.
    rounds: u32,
    most_rounds: Option<u32>,
}

/// What the CLI says of a prompt.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum PromptState {
    /// Nothing.
    #[default]
    Nothing,
    Queued,
    Started,
    /// It was taken back, or broken off.
    Cancelled,
}

impl Turn {
    /// Whether the prompt waits for something older.
    pub(crate) fn is_waiting(&self) -> bool {
        self.prompt == PromptState::Queued
    }

    /// Whether the CLI has not come to the prompt yet.
    pub(crate) fn is_starting(&self) -> bool {
        self.prompt == PromptState::Nothing && self.rounds == 0
    }

    /// Whether the CLI tells what becomes of what it is told.
    pub(crate) fn is_told_of(&self) -> bool {
        self.prompt != PromptState::Nothing
    }
}

impl ClaudeConversation {
    /// A prompt's turn begins. The first prompt of a process is in its launch.
    pub(crate) fn begin(&mut self, prompt: Prompt, out: &mut Out) {
        let is_first = self.turn.number == 0;
        if !self.results.is_told() && !is_first {
            // The CLI has begun something by itself, which the prompt waits for.
            self.end(out);
        }
        let cost = |limit: &Limit| matches!(limit, Limit::MaxCostUsd(_));
        if is_first && prompt.limits.iter().any(cost) {
            // The CLI counts what its process spends: another turn would begin with it spent.
            self.stays = false;
        }
        self.turn = Turn {
            number: prompt.turn,
            id: prompt.turn_id.clone(),
            is_idle: self.turn.is_idle,
            most_rounds: prompt.limits.iter().find_map(|limit| match limit {
                Limit::MaxRounds(rounds) if self.is_live => Some(*rounds),
                _ => None,
            }),
            ..Turn::default()
        };
        self.messages = Messages::default();
        self.background.begin();
        self.injections.begin();
        self.results.begin(Some(&prompt));
        let background = prompt.limits.iter().find_map(|limit| match limit {
            Limit::BackgroundWaitMs(milliseconds) => Some(*milliseconds),
            _ => None,
        });
        self.wait = Wait::new(background.unwrap_or(wait::BACKGROUND_MS));
        let wanted = Settings::of(&prompt);
        if is_first {
            self.settings = wanted;
        } else {
            self.settings.change_to(wanted, &mut self.control, out);
            out.write_stdin(requests::user(&prompt.turn_id, &prompt.blocks, false));
        }
    }

    /// The CLI begins a round: it waits for nothing.
    pub(crate) fn goes_on(&mut self, out: &mut Out) {
        self.wait.end();
        if self.results.broken_off().is_some() && self.results.is_answered() {
            // The model would be told of what was stopped with the turn.
            self.control.interrupt(out);
        }
        if self.is_live && self.results.is_told() {
            out.open_turn(TurnCause::Background);
            self.messages = Messages::default();
            self.background.begin();
            self.results.begin(None);
            self.results.is_unasked();
        }
    }

    /// The model is asked.
    pub(crate) fn round(&mut self, out: &mut Out) {
        self.turn.rounds += 1;
        if !self.turn.is_told_of() {
            self.injections.refuse_early(UNTOLD, out);
        }
        if let Some(most) = self.turn.most_rounds
            && self.turn.rounds > most
            && self.results.broken_off().is_none()
        {
            self.break_off(AbortCause::MaxRounds(most), out);
        }
    }

    /// Whether the CLI has something to do.
    pub(crate) fn session_state(&mut self, line: &Line<'_>, out: &mut Out) {
        out.absorb();
        let is_idle = line.rest.state.0.as_deref() == Some("idle");
        // Work that has ended while the CLI was at rest is followed by a round; while it was not,
        // the model has been told of it by now.
        if self.turn.is_idle != Some(true) || !is_idle {
            self.background.is_heard();
        }
        self.turn.is_idle = Some(is_idle);
        if !is_idle {
            self.wait.end_quiet();
        }
    }

    /// What becomes of something that the CLI was told.
    pub(crate) fn lifecycle(&mut self, line: &Line<'_>, out: &mut Out) {
        out.absorb();
        let uuid = line.rest.command_uuid.0.as_deref().unwrap_or_default();
        let state = line.rest.state.0.as_deref().unwrap_or_default();
        if uuid == self.turn.id {
            self.turn.prompt = match state {
                "queued" => PromptState::Queued,
                "cancelled" => PromptState::Cancelled,
                _ => PromptState::Started,
            };
            if self.turn.prompt != PromptState::Cancelled {
                self.injections.prompt_is_taken(&self.turn.id, out);
            }
        } else if !self.injections.told(uuid, state, out) {
            return;
        }
        // What waited has begun in spite of the wish to stop.
        if state == "started" && self.results.broken_off().is_some() {
            self.control.interrupt(out);
        }
    }

    /// The CLI asks.
    pub(crate) fn asked(&mut self, line: &Line<'_>, out: &mut Out) {
        let request = line.rest.request.map_or("{}", |request| request.get());
        let Ok(request) = serde_json::from_str::<Request<'_>>(request) else {
            return;
        };
        let id = line.rest.request_id.0.as_deref().unwrap_or_default();
        let tool = request.tool();
        let asks_nothing = self.settings.asks_nothing() && !self.asked_for.contains(&tool);
        self.permission
            .ask(self.turn.number, id, &request, asks_nothing, out);
    }

    /// Breaks the turn off, with what it has left running.
    pub(crate) fn break_off(&mut self, why: AbortCause, out: &mut Out) {
        if self.results.is_told() {
            return;
        }
        self.results.break_off(why);
        self.injections.take_back(&mut self.control, out);
        self.control.interrupt(out);
        if self.background.stop(&mut self.control, out) {
            self.wait.begin(WaitReason::Stop, out);
        }
    }

    /// Ends the turn once it is sure that nothing more comes.
    pub(crate) fn settle(&mut self, out: &mut Out) {
        if self.results.is_told() || self.turn.number == 0 {
            return;
        }
        if self.results.is_preempted() && self.injections.breaks_off() {
            self.end(out);
            self.open_injected(out);
            return;
        }
        let is_idle = self.turn.is_idle;
        let was_taken_back = self.turn.prompt == PromptState::Cancelled && is_idle == Some(true);
        if !(self.results.is_answered() || was_taken_back) || self.injections.is_open() {
            return;
        }
        if self.background.is_at_work() {
            let is_stopping = self.results.broken_off().is_some();
            let reason = match is_stopping || self.wait.is_stopping() {
                true => WaitReason::Stop,
                false => WaitReason::Background,
            };
            self.wait.begin(reason, out);
            return;
        }
        if self.wait.is_for_background() {
            self.wait.end();
        }
        let goes_on = match is_idle {
            Some(true) => self.background.has_news(),
            Some(false) => return,
            None => self.background.was_any(),
        };
        if goes_on {
            self.wait.begin(WaitReason::Quiet, out);
        } else {
            self.end(out);
        }
    }

    /// The turn is over.
    pub(crate) fn end(&mut self, out: &mut Out) {
        self.wait.end();
        self.injections.refuse_early("the turn has ended", out);
        self.messages.break_off(out);
        self.permission.end(out);
        if !self.stays {
            self.injections.end("the process has ended", out);
            if self.is_live {
                out.close();
            }
        }
        self.results.tell(out);
        if self.injections.has_queued() {
            self.open_injected(out);
            self.injections.give_next(&self.turn.id, out);
        }
    }

    /// What was said while the last turn ran has a turn of its own.
    fn open_injected(&mut self, out: &mut Out) {
        out.open_turn(TurnCause::Injected);
        self.messages = Messages::default();
        self.results.begin(None);
    }

    /// What a copy of the conversation begins with.
    pub(crate) fn copy(&self, after_turn: Option<u32>) -> Result<String, Failure> {
        let refuse = |text: &str| Err(failure(FailureKind::Unsupported, text));
        if !self.results.is_told() {
            return refuse("a conversation is copied between its turns");
        }
        if after_turn.is_some_and(|turn| turn != self.turn.number) {
            return refuse("this runtime copies a conversation from its end only");
        }
        if !self.remembered {
            return refuse("there is nothing to copy yet");
        }
        Ok(self.resume.write())
    }
}

/// What the results of a process that is gone on with begin with.
pub(crate) fn resting() -> Results {
    Results::new(Ending::resting())
}
