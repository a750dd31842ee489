//! A turn in progress.

use std::collections::HashSet;

use crate::adapter::Call;
use crate::check;
use crate::component::Interface;
use crate::engine::Engine;
use crate::error::AdapterError;
use crate::limits::{Limits, MAX_FEED_BYTES};
use crate::types::{Answer, Conclusion, Exit, OutputStream, Reaction, TurnContext};
use crate::v1::{self, Reply};

/// One turn, as a fold over what is recorded of it, in an instance of its own.
///
/// After a call fails the instance is gone and every further call says [`AdapterError::Gone`];
/// the caller may begin another turn from the same context. Dropping a turn frees its instance.
///
/// As with [`Adapter`](crate::Adapter), calls compute on the calling thread.
pub struct Turn {
    live: Option<Live>,
    secrets: HashSet<String>,
}

struct Live {
    call: Call,
    guest: Guest,
}

enum Guest {
    V1(v1::Turn),
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn")
            .field("usable", &self.is_usable())
            .finish_non_exhaustive()
    }
}

impl Turn {
    pub(crate) fn begin(
        engine: &Engine,
        interface: &Interface,
        limits: Limits,
        context: &TurnContext,
    ) -> Result<Self, AdapterError> {
        let mut call = Call::begin("turn.constructor", engine, &limits);
        let guest = call.run(|store| match interface {
            Interface::V1(v1) => v1.begin_turn(store, context).map(Guest::V1),
        })?;
        let secrets = check::known_secrets(context)
            .into_iter()
            .map(str::to_owned)
            .collect();
        Ok(Self {
            live: Some(Live { call, guest }),
            secrets,
        })
    }

    /// Whether no call has failed yet.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.live.is_some()
    }

    /// Feeds consecutive lines of one stream, each ended by a line feed; the last one of a stream
    /// may lack it. At most [`MAX_FEED_BYTES`] bytes.
    ///
    /// # Errors
    ///
    /// [`AdapterError::BatchTooLarge`] leaves the turn as it was; everything else ends it.
    pub fn feed(&mut self, source: OutputStream, lines: &str) -> Result<Reaction, AdapterError> {
        if lines.len() > MAX_FEED_BYTES {
            let limit = MAX_FEED_BYTES;
            return Err(AdapterError::BatchTooLarge {
                bytes: lines.len(),
                limit,
            });
        }
        let reaction = self.react("turn.feed", |live| match &mut live.guest {
            Guest::V1(v1) => live.call.run_reply(|store| v1.feed(store, source, lines)),
        })?;
        self.accept("turn.feed", check::lines(&reaction, lines))?;
        Ok(reaction)
    }

    /// Gives the answer to a question.
    ///
    /// # Errors
    ///
    /// The adapter failed; the turn is over.
    pub fn answer(&mut self, answer: &Answer) -> Result<Reaction, AdapterError> {
        self.react("turn.answer", |live| match &mut live.guest {
            Guest::V1(v1) => live.call.run_reply(|store| v1.answer(store, answer)),
        })
    }

    /// Says how much time has passed since the turn's start, in milliseconds.
    ///
    /// # Errors
    ///
    /// As [`Turn::answer`].
    pub fn tick(&mut self, elapsed_ms: u64) -> Result<Reaction, AdapterError> {
        self.react("turn.tick", |live| match &mut live.guest {
            Guest::V1(v1) => live.call.run_reply(|store| v1.tick(store, elapsed_ms)),
        })
    }

    /// Says that the user wishes to stop the turn, where the CLI is interrupted by dialogue.
    ///
    /// # Errors
    ///
    /// As [`Turn::answer`].
    pub fn interrupt(&mut self) -> Result<Reaction, AdapterError> {
        self.react("turn.interrupt", |live| match &mut live.guest {
            Guest::V1(v1) => live.call.run_reply(|store| v1.interrupt(store)),
        })
    }

    /// Says how the process ended, and takes the adapter's last word.
    ///
    /// # Errors
    ///
    /// The adapter failed, now or in an earlier call.
    pub fn finish(mut self, exit: &Exit) -> Result<Conclusion, AdapterError> {
        self.attempt("turn.finish", |live| match &mut live.guest {
            Guest::V1(v1) => live.call.run_reply(|store| v1.finish(store, exit)),
        })
    }

    fn react(
        &mut self,
        name: &'static str,
        call: impl FnOnce(&mut Live) -> Result<Reaction, AdapterError>,
    ) -> Result<Reaction, AdapterError> {
        let reaction = self.attempt(name, call)?;
        self.accept(name, check::reaction(&reaction, &self.secrets))?;
        Ok(reaction)
    }

    /// Ends the turn where a reply broke a rule.
    fn accept(
        &mut self,
        call: &'static str,
        checked: Result<(), check::Invalid>,
    ) -> Result<(), AdapterError> {
        checked.map_err(|source| {
            self.live = None;
            AdapterError::Invalid { call, source }
        })
    }

    fn attempt<T>(
        &mut self,
        name: &'static str,
        call: impl FnOnce(&mut Live) -> Result<T, AdapterError>,
    ) -> Result<T, AdapterError> {
        let live = self.live.as_mut().ok_or(AdapterError::Gone)?;
        live.call.name = name;
        let result = call(live);
        if result.is_err() {
            self.live = None;
        }
        result
    }
}

impl Call {
    fn run_reply<T>(
        &mut self,
        guest: impl FnOnce(&mut wasmtime::Store<crate::state::State>) -> Reply<T>,
    ) -> Result<T, AdapterError> {
        let reply = self.run(guest)?;
        reply.map_err(|source| self.invalid(source))
    }
}
