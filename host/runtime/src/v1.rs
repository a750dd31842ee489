//! `aod:runtime@1.0.0`.

mod from_guest;
mod to_guest;

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower, ResourceAny,
};

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
    plan: ComponentExportIndex,
    constructor: ComponentExportIndex,
    feed: ComponentExportIndex,
    answer: ComponentExportIndex,
    tick: ComponentExportIndex,
    interrupt: ComponentExportIndex,
    finish: ComponentExportIndex,
}

/// One turn in an instance of its own.
pub(crate) struct Turn {
    functions: Arc<Functions>,
    instance: Instance,
    turn: ResourceAny,
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
        let adapter = component
            .get_export_index(None, format!("aod:runtime/adapter@{VERSION}").as_str())
            .ok_or_else(missing)?;
        let function = |name: &str| {
            component
                .get_export_index(Some(&adapter), name)
                .ok_or_else(missing)
        };
        let functions = Functions {
            plan: function("plan")?,
            constructor: function("[constructor]turn")?,
            feed: function("[method]turn.feed")?,
            answer: function("[method]turn.answer")?,
            tick: function("[method]turn.tick")?,
            interrupt: function("[method]turn.interrupt")?,
            finish: function("[method]turn.finish")?,
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
    ) -> wasmtime::Result<Result<types::Description, String>> {
        let instance = self.pre.instantiate(&mut *store)?;
        let checked = bindings::Runtime::new(&mut *store, &instance)
            .map_err(|error| wasmtime::Error::new(WrongShape(format!("{error:#}"))))?;
        let reply = checked
            .aod_runtime_adapter()
            .call_describe(store, options)?;
        Ok(reply.map(from_guest::description))
    }

    pub(crate) fn plan(
        &self,
        store: &mut Store<State>,
        context: &types::TurnContext,
    ) -> wasmtime::Result<Result<types::Plan, String>> {
        let instance = self.pre.instantiate(&mut *store)?;
        let context = to_guest::context(context);
        let reply: Result<wit::Plan, String> =
            call(store, instance, &self.functions.plan, (&context,))?;
        Ok(reply.map(from_guest::plan))
    }

    pub(crate) fn begin_turn(
        &self,
        store: &mut Store<State>,
        context: &types::TurnContext,
    ) -> wasmtime::Result<Turn> {
        let instance = self.pre.instantiate(&mut *store)?;
        let context = to_guest::context(context);
        let turn = call(store, instance, &self.functions.constructor, (&context,))?;
        Ok(Turn {
            functions: Arc::clone(&self.functions),
            instance,
            turn,
        })
    }
}

impl Turn {
    pub(crate) fn feed(
        &mut self,
        store: &mut Store<State>,
        source: types::OutputStream,
        lines: &str,
    ) -> Reply<types::Reaction> {
        let params = (self.turn, to_guest::output_stream(source), lines);
        let reaction = call(store, self.instance, &self.functions.feed, params)?;
        Ok(from_guest::reaction(reaction))
    }

    pub(crate) fn answer(
        &mut self,
        store: &mut Store<State>,
        answer: &types::Answer,
    ) -> Reply<types::Reaction> {
        let answer = to_guest::answer(answer);
        let reaction = call(
            store,
            self.instance,
            &self.functions.answer,
            (self.turn, &answer),
        )?;
        Ok(from_guest::reaction(reaction))
    }

    pub(crate) fn tick(
        &mut self,
        store: &mut Store<State>,
        elapsed_ms: u64,
    ) -> Reply<types::Reaction> {
        let reaction = call(
            store,
            self.instance,
            &self.functions.tick,
            (self.turn, elapsed_ms),
        )?;
        Ok(from_guest::reaction(reaction))
    }

    pub(crate) fn interrupt(&mut self, store: &mut Store<State>) -> Reply<types::Reaction> {
        let reaction = call(
            store,
            self.instance,
            &self.functions.interrupt,
            (self.turn,),
        )?;
        Ok(from_guest::reaction(reaction))
    }

    pub(crate) fn finish(
        &mut self,
        store: &mut Store<State>,
        exit: &types::Exit,
    ) -> Reply<types::Conclusion> {
        let exit = to_guest::exit(exit);
        let conclusion = call(
            store,
            self.instance,
            &self.functions.finish,
            (self.turn, &exit),
        )?;
        Ok(from_guest::conclusion(conclusion))
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
