//! What an agent tells beside the protocol, and what it means by it.

use std::fmt::Debug;

use aod_plugin_sdk::{Block, Failure, Out, Prompt, ToolCall, TurnResult};
use serde_json::value::RawValue;

use crate::turn::Turn;

/// What an agent tells beside the protocol, and what it means by it. Whatever is not said here is
/// as the protocol has it.
pub trait Dialect: Debug + 'static {
    /// A notification that the protocol does not have. Returns whether it was understood; otherwise
    /// it is told as it stands.
    fn notified(
        &mut self,
        method: &str,
        params: &RawValue,
        turn: &mut Turn,
        out: &mut Out,
    ) -> bool {
        let _ = (method, params, turn, out);
        false
    }

    /// A line of stderr.
    fn stderr(&mut self, line: &str, turn: &mut Turn, out: &mut Out) {
        let _ = turn;
        out.stderr(line);
    }

    /// Whether messages, calls and tokens are told by [`notified`](Self::notified), so that the
    /// protocol's own updates say nothing new.
    fn tells_all(&self) -> bool {
        false
    }

    /// Whether tokens and money are told by [`notified`](Self::notified).
    fn tells_usage(&self) -> bool {
        self.tells_all()
    }

    /// A turn begins.
    fn begin(&mut self, prompt: &Prompt) {
        let _ = prompt;
    }

    /// What is to stand before a prompt, such as something that keeps it from being taken for a
    /// command: blocks of the protocol, with commas between them.
    fn before(&mut self, blocks: &[Block]) -> Option<String> {
        let _ = blocks;
        None
    }

    /// How a call is told.
    fn call(&mut self, call: ToolCall) -> ToolCall {
        call
    }

    /// A call has ended, and its result was told.
    fn called(&mut self, call_id: &str, is_error: bool, out: &mut Out) {
        let _ = (call_id, is_error, out);
    }

    /// Why a prompt failed, by an error of the protocol's.
    fn failure(&mut self, failure: Failure) -> Failure {
        failure
    }

    /// A prompt has ended well, by the agent's own word. Returns how it has ended in truth, where
    /// that is otherwise.
    fn ends(&mut self, turn: &mut Turn, out: &mut Out) -> Option<TurnResult> {
        let _ = (turn, out);
        None
    }

    /// How a prompt has ended, as it is told.
    fn ended(&mut self, result: TurnResult) -> TurnResult {
        result
    }

    /// Time has passed, after the dialect's own wish to be woken.
    fn tick(&mut self, turn: &mut Turn, out: &mut Out) {
        let _ = (turn, out);
    }

    /// What is to be known again after a restart of the host.
    fn state(&self) -> Option<String> {
        None
    }

    /// Takes what [`state`](Self::state) gave.
    fn restore(&mut self, state: &str, turn: &mut Turn) {
        let _ = (state, turn);
    }
}

/// An agent that keeps to the protocol.
#[derive(Debug, Default, Clone, Copy)]
pub struct Plain;

impl Dialect for Plain {}
