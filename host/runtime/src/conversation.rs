//! A conversation in progress.

use std::collections::HashSet;

use crate::adapter::Call;
use crate::check;
use crate::component::Interface;
use crate::engine::Engine;
use crate::error::AdapterError;
use crate::limits::{Limits, MAX_FEED_BYTES, MAX_STATE_BYTES};
use crate::types::{Action, Context, Exit, Input, OutputSource, Reaction};
use crate::v1::{self, Reply};

/// One process of a CLI, as a fold over what is recorded of it, in an instance of its own.
///
/// After a call fails the instance is gone and every further call says [`AdapterError::Gone`]; the
/// caller may begin another conversation from the same context. Dropping a conversation frees its
/// instance.
///
/// As with [`Adapter`](crate::Adapter), calls compute on the calling thread.
pub struct Conversation {
    live: Option<Live>,
    secrets: HashSet<String>,
    attachments: HashSet<String>,
}

struct Live {
    call: Call,
    guest: Guest,
}

enum Guest {
    V1(v1::Conversation),
}

impl std::fmt::Debug for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversation")
            .field("usable", &self.is_usable())
            .finish_non_exhaustive()
    }
}

impl Conversation {
    pub(crate) fn begin(
        engine: &Engine,
        interface: &Interface,
        limits: Limits,
        context: &Context,
        state: Option<&[u8]>,
    ) -> Result<Self, AdapterError> {
        let mut call = Call::begin("conversation.constructor", engine, &limits);
        let guest = call.run(|store| match interface {
            Interface::V1(v1) => v1.converse(store, context, state).map(Guest::V1),
        })?;
        let secrets = check::known_secrets(context)
            .into_iter()
            .map(str::to_owned)
            .collect();
        Ok(Self {
            live: Some(Live { call, guest }),
            secrets,
            attachments: HashSet::new(),
        })
    }

    /// Whether no call has failed yet.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.live.is_some()
    }

    /// Hands over an input.
    ///
    /// # Errors
    ///
    /// The adapter failed; the conversation is over.
    pub fn receive(&mut self, input: &Input) -> Result<Reaction, AdapterError> {
        self.attachments.extend(check::attachments(input));
        self.react("conversation.receive", |live| match &mut live.guest {
            Guest::V1(v1) => live.call.run_reply(|store| v1.receive(store, input)),
        })
    }

    /// Feeds consecutive lines of one source, each ended by a line feed; the last one of a source
    /// may lack it. At most [`MAX_FEED_BYTES`] bytes.
    ///
    /// # Errors
    ///
    /// [`AdapterError::BatchTooLarge`] leaves the conversation as it was; everything else ends it.
    pub fn feed(&mut self, source: OutputSource, lines: &str) -> Result<Reaction, AdapterError> {
        const NAME: &str = "conversation.feed";
        if lines.len() > MAX_FEED_BYTES {
            let limit = MAX_FEED_BYTES;
            return Err(AdapterError::BatchTooLarge {
                bytes: lines.len(),
                limit,
            });
        }
        let reaction = self.react(NAME, |live| match &mut live.guest {
            Guest::V1(v1) => live.call.run_reply(|store| v1.feed(store, source, lines)),
        })?;
        self.accept(NAME, check::lines(&reaction, lines))?;
        Ok(reaction)
    }

    /// Says how much time has passed since the process's start, in milliseconds.
    ///
    /// # Errors
    ///
    /// As [`Conversation::receive`].
    pub fn tick(&mut self, elapsed_ms: u64) -> Result<Reaction, AdapterError> {
        self.react("conversation.tick", |live| match &mut live.guest {
            Guest::V1(v1) => live.call.run_reply(|store| v1.tick(store, elapsed_ms)),
        })
    }

    /// Asks for what a new instance needs to go on from here, at most [`MAX_STATE_BYTES`] bytes.
    /// None: it must be told everything from the start.
    ///
    /// # Errors
    ///
    /// As [`Conversation::receive`].
    pub fn state(&mut self) -> Result<Option<Vec<u8>>, AdapterError> {
        const NAME: &str = "conversation.state";
        let state = self.attempt(NAME, |live| match &mut live.guest {
            Guest::V1(v1) => live.call.run(|store| v1.state(store)),
        })?;
        let length = state.as_ref().map_or(0, Vec::len);
        let checked = match length {
            ..=MAX_STATE_BYTES => Ok(()),
            _ => Err(check::Invalid::new(
                "state",
                format!("{length} bytes; at most {MAX_STATE_BYTES} are kept"),
            )),
        };
        self.accept(NAME, checked)?;
        Ok(state)
    }

    /// Says how the process ended, and takes the adapter's last word.
    ///
    /// # Errors
    ///
    /// The adapter failed, now or in an earlier call.
    pub fn finish(mut self, exit: &Exit) -> Result<Reaction, AdapterError> {
        let mut reaction = self.react("conversation.finish", |live| match &mut live.guest {
            Guest::V1(v1) => live.call.run_reply(|store| v1.finish(store, exit)),
        })?;
        // Nobody is left to be written to or asked.
        reaction.actions.retain(|action| {
            matches!(
                action,
                Action::Emit(_) | Action::Remember(_) | Action::Forget | Action::Withdraw(_)
            )
        });
        Ok(reaction)
    }

    fn react(
        &mut self,
        name: &'static str,
        call: impl FnOnce(&mut Live) -> Result<Reaction, AdapterError>,
    ) -> Result<Reaction, AdapterError> {
        let reaction = self.attempt(name, call)?;
        let checked = check::reaction(&reaction, &self.secrets, &self.attachments);
        self.accept(name, checked)?;
        Ok(reaction)
    }

    /// Ends the conversation where a reply broke a rule.
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
