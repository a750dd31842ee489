//! An adapter, and calls to it.

use std::sync::Arc;

use indexmap::IndexMap;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap};

use crate::cache::Cache;
use crate::check::{self, Invalid};
use crate::component::{self, Binary, Interface};
use crate::conversation::Conversation;
use crate::digest::Digest;
use crate::engine::Engine;
use crate::error::{AdapterError, ComponentError};
use crate::installation::Cli;
use crate::limits::Limits;
use crate::settings::{OauthEndpoint, Settings, UsagePaths};
use crate::state::State;
use crate::types::{Context, Description, Launch, Prompt};
use crate::v1;

/// A component together with what `runtimes.toml` says of its runtime.
///
/// Calls compute for as long as `limits.call_deadline` on the calling thread, and panic where a
/// guest that was built with WASI is called on a thread that drives async tasks: call from
/// `tokio::task::spawn_blocking`.
pub struct Adapter {
    runtime: String,
    engine: Engine,
    interface: Arc<Interface>,
    digest: Digest,
    settings: Settings,
    description: Description,
    cli: Cli,
}

impl std::fmt::Debug for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adapter")
            .field("runtime", &self.runtime)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Adapter {
    /// Loads a component that no `runtimes.toml` names, such as one that is being written.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is no adapter that this host knows, or cannot describe itself.
    pub fn from_file(
        engine: &Engine,
        runtime: &str,
        path: &std::path::Path,
        settings: Settings,
    ) -> Result<Self, ComponentError> {
        Self::load(engine, None, runtime, &Binary::read(path, None)?, settings)
    }

    /// An adapter whose component is in the cache; none where it has to be compiled.
    pub(crate) fn cached(
        engine: &Engine,
        cache: Option<&Cache>,
        runtime: &str,
        binary: &Binary,
        settings: Settings,
    ) -> Option<Result<Self, ComponentError>> {
        let interface = component::cached(engine, cache, binary)?;
        Some(interface.and_then(|interface| {
            Self::describe(
                engine,
                Arc::new(interface),
                binary.digest,
                runtime,
                settings,
            )
            .map_err(ComponentError::Describe)
        }))
    }

    pub(crate) fn load(
        engine: &Engine,
        cache: Option<&Cache>,
        runtime: &str,
        binary: &Binary,
        settings: Settings,
    ) -> Result<Self, ComponentError> {
        let deadline = settings.limits.compile_deadline;
        let interface = Arc::new(component::load(engine, cache, binary, deadline)?);
        Self::describe(engine, interface, binary.digest, runtime, settings)
            .map_err(ComponentError::Describe)
    }

    /// The same component for another runtime, or with other settings.
    pub(crate) fn with_settings(
        &self,
        runtime: &str,
        settings: Settings,
    ) -> Result<Self, ComponentError> {
        Self::describe(
            &self.engine,
            Arc::clone(&self.interface),
            self.digest,
            runtime,
            settings,
        )
        .map_err(ComponentError::Describe)
    }

    pub(crate) fn describe(
        engine: &Engine,
        interface: Arc<Interface>,
        digest: Digest,
        runtime: &str,
        settings: Settings,
    ) -> Result<Self, AdapterError> {
        let mut call = Call::begin("describe", engine, &settings.limits);
        let described = call.run(|store| match &*interface {
            Interface::V1(interface) => interface.describe(store, &settings.options),
        })?;
        let description = described.map_err(AdapterError::Options)?;
        check::description(&description).map_err(|source| call.invalid(source))?;
        let cli = Cli::new(&description.cli, &settings);
        Ok(Self {
            runtime: runtime.to_owned(),
            engine: engine.clone(),
            interface,
            digest,
            settings,
            description,
            cli,
        })
    }

    /// The runtime's name in `runtimes.toml`.
    #[must_use]
    pub fn runtime(&self) -> &str {
        &self.runtime
    }

    /// The component's digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The version of the interface that the component speaks.
    #[must_use]
    pub fn interface_version(&self) -> &'static str {
        match &*self.interface {
            Interface::V1(_) => v1::VERSION,
        }
    }

    /// What the adapter says of itself. It was asked once, when it was loaded.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The runtime's `options` as a JSON object, for [`Context::options`].
    #[must_use]
    pub fn options(&self) -> &str {
        &self.settings.options
    }

    /// Where `runtimes.toml` says that a provider's answers tell how many tokens were used.
    #[must_use]
    pub fn usage_paths(&self, provider: &str) -> Option<&UsagePaths> {
        self.settings.usage.get(provider)
    }

    /// Where `runtimes.toml` says that OAuth tokens are renewed, by the names of credentials.
    #[must_use]
    pub fn oauth(&self) -> &IndexMap<String, OauthEndpoint> {
        &self.settings.oauth
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The memory that a turn's processes need, as `runtimes.toml` says it.
    #[must_use]
    pub fn turn_memory(&self) -> Option<u64> {
        self.settings.turn_memory
    }

    /// What the adapter may take.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.settings.limits
    }

    /// How the CLI is installed, found and started.
    #[must_use]
    pub fn cli(&self) -> &Cli {
        &self.cli
    }

    /// Asks how to start the CLI for a prompt. The reply is checked.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Refused`] carries the adapter's own words for the user; everything else is
    /// a fault of the adapter.
    pub fn prepare(&self, context: &Context, prompt: &Prompt) -> Result<Launch, AdapterError> {
        let mut call = Call::begin("prepare", &self.engine, &self.settings.limits);
        let prepared = call.run(|store| match &*self.interface {
            Interface::V1(interface) => interface.prepare(store, context, prompt),
        })?;
        let launch = prepared.map_err(AdapterError::Refused)?;
        check::launch(&launch, context, prompt).map_err(|source| call.invalid(source))?;
        Ok(launch)
    }

    /// Begins to read a process, in an instance of its own. `state` is what
    /// [`Conversation::state`] gave for the same process before.
    ///
    /// # Errors
    ///
    /// No instance is to be had, or the adapter fails to make a conversation.
    pub fn converse(
        &self,
        context: &Context,
        state: Option<&[u8]>,
    ) -> Result<Conversation, AdapterError> {
        let limits = self.settings.limits;
        Conversation::begin(&self.engine, &self.interface, limits, context, state)
    }
}

/// A call, or several to the same instance, under the limits of its adapter.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    engine: Engine,
    pub(crate) store: Store<State>,
    limits: Limits,
}

impl Call {
    pub(crate) fn begin(name: &'static str, engine: &Engine, limits: &Limits) -> Self {
        Self {
            name,
            engine: engine.clone(),
            store: engine.store(limits),
            limits: *limits,
        }
    }

    /// Runs guest code until the deadline.
    pub(crate) fn run<T>(
        &mut self,
        guest: impl FnOnce(&mut Store<State>) -> wasmtime::Result<T>,
    ) -> Result<T, AdapterError> {
        let running = self
            .engine
            .start_call(&mut self.store, self.limits.call_deadline);
        let result = guest(&mut self.store);
        drop(running);
        result.map_err(|error| self.failure(&error))
    }

    pub(crate) fn invalid(&self, source: Invalid) -> AdapterError {
        AdapterError::Invalid {
            call: self.name,
            source,
        }
    }

    fn failure(&self, error: &wasmtime::Error) -> AdapterError {
        let call = self.name;
        if error.is::<PoolConcurrencyLimitError>() {
            return AdapterError::Exhausted;
        }
        if let Some(wrong) = error.downcast_ref::<v1::WrongShape>() {
            return self.invalid(Invalid::new("aod:runtime", wrong.to_string()));
        }
        if error.downcast_ref::<Trap>() == Some(&Trap::Interrupt) {
            return AdapterError::Deadline {
                call,
                limit: self.limits.call_deadline,
            };
        }
        if self.store.data().limiter.refused {
            return AdapterError::Memory {
                call,
                limit: self.limits.memory,
            };
        }
        let message = format!("{error:#}");
        // The engine has no type for this that could be asked for.
        if message.contains("fuel allocated for hostcalls has been exhausted") {
            return AdapterError::ReplyTooLarge { call };
        }
        AdapterError::Trap { call, message }
    }
}
