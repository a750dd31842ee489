use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Answer, Conclusion, Description, Exit, Out, OutputStream, Plan, TurnContext};

/// What an adapter knows of its CLI.
///
/// All three functions are pure: the same arguments give the same answer.
pub trait Adapter: 'static {
    /// The runtime's `options` table in `runtimes.toml`. With `#[serde(deny_unknown_fields)]` a
    /// misspelt key is told to the operator instead of being ignored.
    type Options: DeserializeOwned + Default + 'static;
    /// A running turn.
    type Turn: Turn;

    /// Says what the adapter and its CLI are. The error tells an operator what is wrong with the
    /// options.
    fn describe(options: &Self::Options) -> Result<Description, String>;

    /// Says how to run a turn. The error tells a user why it cannot be run.
    fn plan(options: &Self::Options, context: &TurnContext) -> Result<Plan, String>;

    /// Begins to read a turn.
    fn turn(options: &Self::Options, context: TurnContext) -> Self::Turn;
}

/// A running turn, as a fold over its lines.
pub trait Turn: 'static {
    /// Takes one line, without its line end.
    ///
    /// A line for which this emits nothing and does not call [`Out::absorb`] becomes an
    /// `unparsed` event. Blank lines do not come here.
    fn line(&mut self, source: OutputStream, line: &str, out: &mut Out);

    /// Takes the answer to a question that was asked by [`Out::ask`].
    fn answer(&mut self, answer: Answer, out: &mut Out) {
        let _ = (answer, out);
    }

    /// Takes the passing of time, after [`Out::wake_after`]: milliseconds since the turn's start.
    fn tick(&mut self, elapsed_ms: u64, out: &mut Out) {
        let _ = (elapsed_ms, out);
    }

    /// Takes the user's wish to stop, where [`Description::interrupt`] is `Dialogue`.
    fn interrupt(&mut self, out: &mut Out) {
        let _ = out;
    }

    /// Takes the end of the process.
    fn finish(&mut self, exit: Exit) -> Conclusion;
}

/// For adapters without options: any key is refused.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}
