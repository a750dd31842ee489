use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::failure::{failure, unsupported};
use crate::{
    Answer, Context, Description, Exit, FailureKind, Fork, Injection, InjectionState, Launch, Out,
    OutputSource, Prompt, Refusal, Setting,
};

/// What an adapter knows of its CLI.
///
/// All three functions are pure: the same arguments give the same answer.
pub trait Adapter: 'static {
    /// The runtime's `options` table in `runtimes.toml`. With `#[serde(deny_unknown_fields)]` a
    /// misspelt key is told to the operator instead of being ignored.
    type Options: DeserializeOwned + Default + 'static;
    /// One process of the CLI, and what is said there.
    type Conversation: Conversation;

    /// Says what the adapter and its CLI are.
    ///
    /// # Errors
    ///
    /// The options are wrong; the text tells an operator how.
    fn describe(options: &Self::Options) -> Result<Description, String>;

    /// Says how to start the CLI for a prompt.
    ///
    /// # Errors
    ///
    /// It cannot be started as asked; the refusal tells the user why, and which field is to blame.
    fn prepare(
        options: &Self::Options,
        context: &Context,
        prompt: &Prompt,
    ) -> Result<Launch, Refusal>;

    /// Begins to read a process. `state` is what [`Conversation::state`] gave for the same process
    /// before the host was restarted.
    fn conversation(
        options: &Self::Options,
        context: Context,
        state: Option<Vec<u8>>,
    ) -> Self::Conversation;
}

/// One process of a CLI, as a fold over what it writes and what it is told.
///
/// Only [`line`](Self::line) and [`finish`](Self::finish) must be written. A CLI that runs one
/// prompt a process and reads it from the command line or stdin needs [`prompt`](Self::prompt) for
/// the turn's facts, if at all; one that is spoken to writes the prompt there. The host calls only
/// what the description's capabilities promise.
pub trait Conversation: 'static {
    /// Takes one line, without its line end.
    ///
    /// A line for which this emits nothing and does not call [`Out::absorb`] becomes an `unparsed`
    /// event. Blank lines do not come here.
    fn line(&mut self, source: OutputSource, line: &str, out: &mut Out);

    /// Takes the end of the process.
    fn finish(&mut self, exit: Exit, out: &mut Out);

    /// A turn begins. What [`Adapter::prepare`] has put on the command line or stdin is not written
    /// once more.
    fn prompt(&mut self, prompt: Prompt, out: &mut Out) {
        let _ = (prompt, out);
    }

    /// Takes more for the turn that runs.
    fn inject(&mut self, injection: Injection, out: &mut Out) {
        out.injected(injection.id, InjectionState::Refused, Some(UNSUPPORTED));
    }

    /// The injection of this id is no longer wanted.
    fn cancel(&mut self, id: &str, out: &mut Out) {
        let _ = (id, out);
    }

    /// Takes the user's wish to stop, where [`Description::stop`] is `Dialogue`.
    fn interrupt(&mut self, out: &mut Out) {
        let _ = out;
    }

    /// Takes the answer to a question that was asked by [`Out::ask`].
    fn answer(&mut self, answer: Answer, out: &mut Out) {
        let _ = (answer, out);
    }

    /// Takes the user's wish to stop work in the background.
    fn stop_task(&mut self, task_id: &str, out: &mut Out) {
        let _ = (task_id, out);
    }

    /// The turn was stopped: what its tools left running is to go.
    fn clean_up(&mut self, out: &mut Out) {
        let _ = out;
    }

    /// Settings change between turns.
    fn configure(&mut self, settings: Vec<Setting>, out: &mut Out) {
        let _ = (settings, out);
    }

    /// Takes the wish to copy the conversation.
    fn fork(&mut self, fork: Fork, out: &mut Out) {
        out.forked(fork.id, Err(failure(FailureKind::Unsupported, UNSUPPORTED)));
    }

    /// The process is to be closed in good order.
    fn close(&mut self, out: &mut Out) {
        out.close();
    }

    /// Takes the passing of time, after [`Out::wake_after`]: milliseconds since the process's start.
    fn tick(&mut self, elapsed_ms: u64, out: &mut Out) {
        let _ = (elapsed_ms, out);
    }

    /// Everything that [`Adapter::conversation`] needs to go on from here, between turns.
    fn state(&self) -> Option<Vec<u8>> {
        None
    }
}

const UNSUPPORTED: &str = "this CLI cannot do that";

/// Refuses a setting that the description does not declare, or a value that it does not have.
///
/// Adapters without options call it first in [`Adapter::prepare`]. The host has checked the values
/// against the declared schemas, so only settings of another version of the adapter come here.
///
/// # Errors
///
/// A setting is not among `known`.
pub fn known_settings(prompt: &Prompt, known: &[&str]) -> Result<(), Refusal> {
    match prompt
        .settings
        .iter()
        .find(|setting| !known.contains(&setting.id.as_str()))
    {
        Some(unknown) => Err(unsupported(
            &format!("settings.{}", unknown.id),
            "this runtime has no such option",
        )),
        None => Ok(()),
    }
}

/// For adapters without options: any key is refused.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}
