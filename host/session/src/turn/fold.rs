//! An adapter's turn as a fold over the log: what is recorded goes in, what it means comes out.

use aod_log::{Kind, Reader};
use aod_resources::Usage;
use aod_runtime::types::{
    Action, Answer, Description, Event, Exit, Failure, Fragment, Level, Notice, OutputStream,
    Reaction, TurnContext,
};
use aod_runtime::{Adapter, AdapterError};
use aod_supervisor::Exited;
use std::sync::Arc;

use super::conclude::cause;

/// Lines are handed over in batches of about this many bytes.
const BATCH: usize = 256 << 10;
/// How much of stderr is kept for messages.
const STDERR_TAIL: usize = 4 << 10;
/// After so many failed calls a turn goes on without its adapter.
const MAX_FAILURES: u32 = 3;

/// What the host is to do outside of the log.
#[derive(Debug)]
pub(crate) enum Deed {
    /// Keep this for the next turn.
    Remember(String),
    /// Write to the CLI's stdin.
    WriteStdin(Vec<Fragment>),
    /// Close it.
    CloseStdin,
    /// The turn is over as far as the output tells.
    EndTurn,
}

/// The state of a fold.
pub(crate) struct Fold {
    adapter: Arc<Adapter>,
    context: TurnContext,
    turn: Option<aod_runtime::Turn>,
    failed_calls: u32,
    number: u32,
    begun: bool,
    /// Lines that have not been handed over: whole ones of `current`, and of either stream the
    /// beginning of a line that goes on.
    pending: [String; 2],
    current: OutputStream,
    pub(crate) usage: Usage,
    pub(crate) failure: Option<Failure>,
    pub(crate) remember: Option<String>,
    pub(crate) exited: Option<Exited>,
    stderr_tail: String,
    notices: Vec<Notice>,
}

impl Fold {
    /// Begins at the turn's `Begin` record, wherever in front of it the reader stands.
    pub(crate) fn new(adapter: Arc<Adapter>, context: TurnContext) -> Self {
        let turn = match adapter.begin_turn(&context) {
            Ok(turn) => Some(turn),
            Err(error) => {
                tracing::warn!(%error, "an adapter cannot begin a turn");
                None
            }
        };
        Self {
            adapter,
            number: context.turn,
            context,
            turn,
            failed_calls: 0,
            begun: false,
            pending: [String::new(), String::new()],
            current: OutputStream::Stdout,
            usage: Usage::default(),
            failure: None,
            remember: None,
            exited: None,
            stderr_tail: String::new(),
            notices: Vec::new(),
        }
    }

    /// What the adapter says of its CLI.
    pub(crate) fn description(&self) -> &Description {
        self.adapter.description()
    }

    /// Whether the turn was given a secret of that name.
    pub(crate) fn has_secret(&self, name: &str) -> bool {
        self.context.secrets.iter().any(|known| known == name)
    }

    /// The last lines of stderr.
    pub(crate) fn stderr_tail(&self) -> &str {
        &self.stderr_tail
    }

    /// Reads what is there, up to the turn's `Exited`, and returns what is to be done. Blocks for
    /// as long as the adapter computes.
    pub(crate) fn advance(&mut self, reader: &mut Reader) -> aod_log::Result<Vec<Deed>> {
        let mut deeds = Vec::new();
        while self.exited.is_none() {
            let Some(record) = reader.next()? else { break };
            if record.turn != self.number {
                continue;
            }
            match record.kind {
                Kind::Begin => self.begun = true,
                Kind::Stdout | Kind::Stderr if self.begun => {
                    let stream = match record.kind {
                        Kind::Stdout => OutputStream::Stdout,
                        _ => OutputStream::Stderr,
                    };
                    if stream != self.current || self.pending[slot(stream)].len() > BATCH {
                        self.hand_over(&mut deeds);
                        self.current = stream;
                    }
                    if stream == OutputStream::Stderr {
                        keep_tail(&mut self.stderr_tail, record.text());
                    }
                    self.pending[slot(stream)].push_str(record.text());
                }
                Kind::Exited if self.begun => {
                    // What cannot be read is judged as a death without a word.
                    self.exited = Some(serde_json::from_slice(record.payload).unwrap_or(Exited {
                        code: None,
                        signal: None,
                        reason: aod_supervisor::Reason::LogError,
                        replaced_bytes: 0,
                        output_bytes: 0,
                        error: Some("the record of the turn's end cannot be read".to_owned()),
                    }));
                }
                _ => {}
            }
        }
        self.hand_over(&mut deeds);
        if self.exited.is_some() {
            // The other stream may have ended within a line.
            self.current = match self.current {
                OutputStream::Stdout => OutputStream::Stderr,
                OutputStream::Stderr => OutputStream::Stdout,
            };
            self.hand_over(&mut deeds);
        }
        Ok(deeds)
    }

    /// Whole lines only: a line that goes on in a record to come waits for its end.
    fn hand_over(&mut self, deeds: &mut Vec<Deed>) {
        let stream = self.current;
        let pending = &mut self.pending[slot(stream)];
        let end = match self.exited {
            Some(_) => pending.len(),
            None => pending.rfind('\n').map_or(0, |at| at + 1),
        };
        if end == 0 {
            return;
        }
        let rest = pending.split_off(end);
        let lines = std::mem::replace(pending, rest);
        if let Some(reaction) = self.call(|turn| turn.feed(stream, &lines)) {
            self.react(reaction, deeds);
        }
    }

    /// Calls the adapter. A call that fails costs the turn's instance; a new one goes on from
    /// here, until there have been too many.
    fn call<T>(
        &mut self,
        call: impl FnOnce(&mut aod_runtime::Turn) -> Result<T, AdapterError>,
    ) -> Option<T> {
        match call(self.turn.as_mut()?) {
            Ok(done) => Some(done),
            Err(error) => {
                self.failed_calls += 1;
                tracing::warn!(%error, session = self.context.session_id, "an adapter's call failed");
                self.notices.push(Notice {
                    level: Level::Warning,
                    text: format!("the runtime's adapter failed: {error}"),
                });
                self.turn = match self.failed_calls < MAX_FAILURES {
                    true => self.adapter.begin_turn(&self.context).ok(),
                    false => None,
                };
                None
            }
        }
    }

    fn react(&mut self, reaction: Reaction, deeds: &mut Vec<Deed>) {
        for action in reaction.actions {
            match action {
                Action::Emit(emitted) => self.note(emitted.event),
                Action::Remember(token) => {
                    self.remember = Some(token.clone());
                    deeds.push(Deed::Remember(token));
                }
                Action::WriteStdin(text) => deeds.push(Deed::WriteStdin(text)),
                Action::CloseStdin => deeds.push(Deed::CloseStdin),
                Action::EndTurn => deeds.push(Deed::EndTurn),
                // The API has no way to answer yet, so the adapter's own default stands at once.
                Action::Ask(question) => {
                    let answer = Answer {
                        question: question.id,
                        value: question.default,
                        by_default: true,
                    };
                    if let Some(reaction) = self.call(|turn| turn.answer(&answer)) {
                        self.react(reaction, deeds);
                    }
                }
                Action::WakeAfter(_) => {}
            }
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Usage(usage) => {
                self.usage += Usage {
                    input_tokens: usage.input_tokens,
                    output_tokens: usage.output_tokens,
                    cached_tokens: usage.cached_tokens,
                    cost_usd: usage.cost_usd.filter(|cost| cost.is_finite()),
                };
            }
            Event::TurnResult(result) => self.failure = result.failure,
            _ => {}
        }
    }

    /// Tells the adapter that the process has ended, and takes its last word.
    pub(crate) fn finish(&mut self, exited: &Exited) {
        let exit = Exit {
            code: exited.code,
            signal: exited.signal,
            cause: cause(exited.reason),
            stderr_tail: self.stderr_tail.clone(),
        };
        let Some(turn) = self.turn.take() else { return };
        match turn.finish(&exit) {
            Ok(conclusion) => {
                for event in conclusion.events {
                    self.note(event);
                }
                if conclusion.failure.is_some() {
                    self.failure = conclusion.failure;
                }
                if conclusion.remember.is_some() {
                    self.remember = conclusion.remember;
                }
            }
            Err(error) => tracing::warn!(%error, "an adapter cannot conclude a turn"),
        }
    }
}

const fn slot(stream: OutputStream) -> usize {
    match stream {
        OutputStream::Stdout => 0,
        OutputStream::Stderr => 1,
    }
}

/// Keeps the last bytes of a text, whole characters only.
fn keep_tail(tail: &mut String, more: &str) {
    tail.push_str(more);
    if tail.len() > STDERR_TAIL {
        let mut cut = tail.len() - STDERR_TAIL;
        while !tail.is_char_boundary(cut) {
            cut += 1;
        }
        tail.drain(..cut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_keeps_whole_characters() {
        let mut tail = String::new();
        for _ in 0..3000 {
            keep_tail(&mut tail, "äb");
        }
        assert!(tail.len() <= STDERR_TAIL && tail.len() > STDERR_TAIL - 4);
        assert!(tail.ends_with("äb"));
    }
}
