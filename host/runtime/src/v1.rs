//! `aod:runtime@1.0.0`.

mod events;

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower, ResourceAny,
};

use crate::check::Invalid;
use crate::state::State;
use crate::types::{
    Context, Description, Exit, Input, Launch, OutputSource, Prompt, Reaction, Refusal,
};

/// The version's name, as in the names of a component's exports.
pub(crate) const VERSION: &str = "1.0.0";

/// What a component of this version exports, as it is named without its version.
pub(crate) const INTERFACE: &str = "aod:runtime/conversations";

#[allow(missing_docs, clippy::all, reason = "generated from wit/")]
pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/1.0.0",
        world: "runtime",
        additional_derives: [PartialEq],
    });
}

use bindings::exports::aod::runtime::conversations as wit;

/// A component that exports what this interface has.
pub(crate) struct Interface {
    pre: InstancePre<State>,
    functions: Arc<Functions>,
}

/// Where the functions are found in an instance.
///
/// The generated wrapper checks the types of all functions in each instance that it wraps, which
/// takes longer than to make the instance. So it is used once, in [`Interface::describe`], and
/// after that only the functions that are called are looked up.
struct Functions {
    prepare: ComponentExportIndex,
    constructor: ComponentExportIndex,
    receive: ComponentExportIndex,
    feed: ComponentExportIndex,
    tick: ComponentExportIndex,
    state: ComponentExportIndex,
    finish: ComponentExportIndex,
}

/// One conversation in an instance of its own.
pub(crate) struct Conversation {
    functions: Arc<Functions>,
    instance: Instance,
    conversation: ResourceAny,
}

/// What a guest replied: nothing where it trapped, and nothing valid where it broke a rule that
/// the types cannot say.
pub(crate) type Reply<T> = wasmtime::Result<Result<T, Invalid>>;

/// The component's functions have other types than the interface's.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WrongShape(String);

impl Interface {
    pub(crate) fn new(pre: InstancePre<State>) -> wasmtime::Result<Self> {
        // Says what is missing, if anything is.
        bindings::RuntimePre::new(pre.clone())?;
        let component = pre.component();
        let missing = || wasmtime::Error::msg("an export is missing");
        let function = |interface: &str, name: &str| {
            let interface = format!("aod:runtime/{interface}@{VERSION}");
            let interface = component
                .get_export_index(None, interface.as_str())
                .ok_or_else(missing)?;
            component
                .get_export_index(Some(&interface), name)
                .ok_or_else(missing)
        };
        let functions = Functions {
            prepare: function("launching", "prepare")?,
            constructor: function("conversations", "[constructor]conversation")?,
            receive: function("conversations", "[method]conversation.receive")?,
            feed: function("conversations", "[method]conversation.feed")?,
            tick: function("conversations", "[method]conversation.tick")?,
            state: function("conversations", "[method]conversation.state")?,
            finish: function("conversations", "[method]conversation.finish")?,
        };
        Ok(Self {
            functions: Arc::new(functions),
            pre,
        })
    }

    /// Asks the component what it is, and checks the types of all its functions on the way.
    pub(crate) fn describe(
        &self,
        store: &mut Store<State>,
        options: &str,
    ) -> wasmtime::Result<Result<Description, String>> {
        let instance = self.pre.instantiate(&mut *store)?;
        let checked = bindings::Runtime::new(&mut *store, &instance)
            .map_err(|error| wasmtime::Error::new(WrongShape(format!("{error:#}"))))?;
        checked
            .aod_runtime_description()
            .call_describe(store, &options.to_owned())
    }

    pub(crate) fn prepare(
        &self,
        store: &mut Store<State>,
        context: &Context,
        prompt: &Prompt,
    ) -> wasmtime::Result<Result<Launch, Refusal>> {
        let instance = self.pre.instantiate(&mut *store)?;
        call(store, instance, &self.functions.prepare, (context, prompt))
    }

    pub(crate) fn converse(
        &self,
        store: &mut Store<State>,
        context: &Context,
        state: Option<&[u8]>,
    ) -> wasmtime::Result<Conversation> {
        let instance = self.pre.instantiate(&mut *store)?;
        let constructor = &self.functions.constructor;
        let conversation = call(store, instance, constructor, (context, state))?;
        Ok(Conversation {
            functions: Arc::clone(&self.functions),
            instance,
            conversation,
        })
    }
}

impl Conversation {
    pub(crate) fn receive(&mut self, store: &mut Store<State>, input: &Input) -> Reply<Reaction> {
        let params = (self.conversation, input);
        self.react(store, |functions| &functions.receive, params)
    }

    pub(crate) fn feed(
        &mut self,
        store: &mut Store<State>,
        source: OutputSource,
        lines: &str,
    ) -> Reply<Reaction> {
        let params = (self.conversation, source, lines);
        self.react(store, |functions| &functions.feed, params)
    }

    pub(crate) fn tick(&mut self, store: &mut Store<State>, elapsed_ms: u64) -> Reply<Reaction> {
        let params = (self.conversation, elapsed_ms);
        self.react(store, |functions| &functions.tick, params)
    }

    pub(crate) fn state(&mut self, store: &mut Store<State>) -> wasmtime::Result<Option<Vec<u8>>> {
        let function = &self.functions.state;
        call(store, self.instance, function, (self.conversation,))
    }

    pub(crate) fn finish(&mut self, store: &mut Store<State>, exit: &Exit) -> Reply<Reaction> {
        let params = (self.conversation, exit);
        self.react(store, |functions| &functions.finish, params)
    }

    fn react<P: ComponentNamedList + Lower>(
        &self,
        store: &mut Store<State>,
        function: impl FnOnce(&Functions) -> &ComponentExportIndex,
        params: P,
    ) -> Reply<Reaction> {
        let function = function(&self.functions);
        let reaction: wit::Reaction = call(store, self.instance, function, params)?;
        Ok(events::reaction(reaction))
    }
}

/// Looks a function up, checks its type, and calls it.
fn call<P, R>(
    store: &mut Store<State>,
    instance: Instance,
    function: &ComponentExportIndex,
    params: P,
) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower,
    (R,): ComponentNamedList + Lift,
{
    let function = instance.get_typed_func::<P, (R,)>(&mut *store, function)?;
    let (reply,) = function.call(store, params)?;
    Ok(reply)
}
