//! `aod:runtime@1.0.0`.

mod from_guest;
mod to_guest;

use wasmtime::Store;
use wasmtime::component::{InstancePre, ResourceAny};

use crate::check::Invalid;
use crate::state::State;
use crate::types;

/// The version's name, as in the names of a component's exports.
pub(crate) const VERSION: &str = "1.0.0";

#[allow(missing_docs, clippy::all)]
mod bindings {
    wasmtime::component::bindgen!({ path: "../../wit/1.0.0", world: "runtime" });
}

use bindings::exports::aod::runtime::types as wit;

/// A component that was checked to have this interface.
pub(crate) struct Interface {
    pre: bindings::RuntimePre<State>,
}

/// One instance.
pub(crate) struct Instance {
    exports: bindings::Runtime,
}

impl Interface {
    pub(crate) fn new(pre: InstancePre<State>) -> wasmtime::Result<Self> {
        Ok(Self {
            pre: bindings::RuntimePre::new(pre)?,
        })
    }

    pub(crate) fn instantiate(&self, store: &mut Store<State>) -> wasmtime::Result<Instance> {
        Ok(Instance {
            exports: self.pre.instantiate(store)?,
        })
    }
}

/// What a guest replied: nothing where it trapped, and nothing valid where it broke a rule that
/// the types cannot say.
pub(crate) type Reply<T> = wasmtime::Result<Result<T, Invalid>>;

impl Instance {
    pub(crate) fn describe(
        &self,
        store: &mut Store<State>,
        options: &str,
    ) -> wasmtime::Result<Result<types::Description, String>> {
        let reply = self
            .exports
            .aod_runtime_adapter()
            .call_describe(store, options)?;
        Ok(reply.map(from_guest::description))
    }

    pub(crate) fn plan(
        &self,
        store: &mut Store<State>,
        context: &types::TurnContext,
    ) -> wasmtime::Result<Result<types::Plan, String>> {
        let context = to_guest::context(context);
        let reply = self
            .exports
            .aod_runtime_adapter()
            .call_plan(store, &context)?;
        Ok(reply.map(from_guest::plan))
    }

    pub(crate) fn begin_turn(
        &self,
        store: &mut Store<State>,
        context: &types::TurnContext,
    ) -> wasmtime::Result<ResourceAny> {
        let context = to_guest::context(context);
        self.exports
            .aod_runtime_adapter()
            .turn()
            .call_constructor(store, &context)
    }

    pub(crate) fn feed(
        &self,
        store: &mut Store<State>,
        turn: ResourceAny,
        source: types::OutputStream,
        lines: &str,
    ) -> Reply<types::Reaction> {
        let adapter = self.exports.aod_runtime_adapter();
        let source = to_guest::output_stream(source);
        Ok(from_guest::reaction(
            adapter.turn().call_feed(store, turn, source, lines)?,
        ))
    }

    pub(crate) fn answer(
        &self,
        store: &mut Store<State>,
        turn: ResourceAny,
        answer: &types::Answer,
    ) -> Reply<types::Reaction> {
        let adapter = self.exports.aod_runtime_adapter();
        let answer = to_guest::answer(answer);
        Ok(from_guest::reaction(
            adapter.turn().call_answer(store, turn, &answer)?,
        ))
    }

    pub(crate) fn tick(
        &self,
        store: &mut Store<State>,
        turn: ResourceAny,
        elapsed_ms: u64,
    ) -> Reply<types::Reaction> {
        let adapter = self.exports.aod_runtime_adapter();
        Ok(from_guest::reaction(
            adapter.turn().call_tick(store, turn, elapsed_ms)?,
        ))
    }

    pub(crate) fn interrupt(
        &self,
        store: &mut Store<State>,
        turn: ResourceAny,
    ) -> Reply<types::Reaction> {
        let adapter = self.exports.aod_runtime_adapter();
        Ok(from_guest::reaction(
            adapter.turn().call_interrupt(store, turn)?,
        ))
    }

    pub(crate) fn finish(
        &self,
        store: &mut Store<State>,
        turn: ResourceAny,
        exit: &types::Exit,
    ) -> Reply<types::Conclusion> {
        let adapter = self.exports.aod_runtime_adapter();
        let exit = to_guest::exit(exit);
        Ok(from_guest::conclusion(
            adapter.turn().call_finish(store, turn, &exit)?,
        ))
    }
}
